import hashlib
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.exceptions import ValidationError

from parties.normalise import Context, Note, documents
from parties.normalise.characters import is_supported
from parties.normalise.documents import _TABLES, _module, document_type, identity, number
from tests.parties.normalise.cases import cases, expected, found
from tests.parties.samples import examples

ANY = st.text(st.characters() | st.sampled_from("0123456789ABКВαβ-/.№º"), max_size=20)
CHECKS = [(country, kind) for country, kinds in _TABLES["checks"].items() for kind in kinds]
EVERY_CHARACTER = "fbc753aaea5997787ba2d008d2049f47673f58f885456ec8b0d4c18f0250483e"


@pytest.mark.parametrize("case", cases("documents"))
def test_vectors(case: dict[str, Any]) -> None:
    match case["function"]:
        case "identity":
            normal = identity(*case["in"], Context(case["country"]))
        case function:
            normal = getattr(documents, function)(case["in"])
    assert found(normal) == expected(case)


@given(ANY)
@examples(500)
def test_any_text_and_again(cell: str) -> None:
    for normalise in (number, document_type):
        normal = normalise(cell)
        assert normal.values or normal.note
        for value in normal.values:
            assert normalise(value).values == (value,)


@given(ANY, ANY, st.sampled_from(["", "Ukraine", "TR", "nowhere"]) | ANY)
@examples(300)
def test_any_identity_and_its_number_again(cell: str, kind: str, country: str) -> None:
    normal = identity(cell, kind, country, Context("UA"))
    assert normal.values or normal.note
    for value in normal.values:
        assert number(value.rpartition(":")[2]).values == (value.rpartition(":")[2],)


def test_equal_digits_of_other_types_and_countries_differ() -> None:
    kinds = ("passport", "tax", "", "library card")
    values = {identity("7654321", kind, of, Context("UA")).values for kind in kinds for of in ("UA", "PL")}
    assert len(values) == 8


@given(st.text(st.characters(), max_size=20) | st.from_regex(r"[A-Z]{0,2}[0-9]{0,19}", fullmatch=True))
@pytest.mark.parametrize(("country", "kind"), CHECKS)
@examples(30)
def test_every_check_takes_any_number(country: str, kind: str, cell: str) -> None:
    normal = identity(cell, kind, country, Context())
    assert normal.note is not Note.CHECK_DIGIT or normal.values


@pytest.mark.parametrize(("country", "kind"), CHECKS)
def test_every_check_is_one_of_the_library_with_its_length(country: str, kind: str) -> None:
    name, length = _TABLES["checks"][country][kind]
    assert identity("7", kind, country, Context()).note is Note.CHECK_DIGIT
    if length:
        with pytest.raises(ValidationError):
            _module(name).validate("1" * (length + 1))


def test_a_lost_leading_zero_is_put_back_for_the_check_digit() -> None:
    whole, short = "0123456700", "123456700"
    assert _module("ua.rntrc").is_valid(whole)
    assert not _module("ua.rntrc").is_valid(short)
    for cell in (whole, short):
        assert identity(cell, "tax", "UA", Context()) == (("UA:tax:123456700",), None)


def test_every_character_gives_the_same_bytes_on_every_python() -> None:
    digest = hashlib.sha256()
    for character in filter(is_supported, map(chr, range(sys.maxunicode + 1))):
        digest.update(repr((number(f"{character}7").values, document_type(f"a{character}").values)).encode())
    assert digest.hexdigest() == EVERY_CHARACTER
