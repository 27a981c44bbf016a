import hashlib
import json
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from parties.normalise import Context, Note
from parties.normalise.characters import MAX_CHARS, is_supported
from parties.normalise.names import name
from tests.parties.normalise.cases import VECTORS
from tests.parties.samples import examples

CASES = json.loads((VECTORS / "names.json").read_text("utf-8"))["cases"]
DIGEST = "951d7c7435ba237125568adb71493ca0cc39896a72ea2b3524bb6e84ef3c77df"
PARTS = """
    al as ash el de la bin don mr u haji sheikh abd abdul abdel abu allah ullah din uddin ddin lah h k n s a d
    пан є ґ и й зг э عبد ال الله الدين ه و ي ع سيد ዶክተር ဦး unknown na na- ' - , 1
"""
COUNTRIES = st.sampled_from(["", "UA", "RU", "SY", "AF"])


def words(cell: str, country: str = "UA") -> list[str]:
    (value,) = name(cell, Context(country)).values
    return sorted(value.split())


@pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(case["in"][:30]) + case["country"])
def test_vectors(case: dict[str, Any]) -> None:
    values, note = name(case["in"], Context(case["country"]))
    assert (list(values), note and note.name) == (case["out"], case["note"])


@given(st.text(st.characters(), max_size=40), COUNTRIES)
@example("ß\u0301", "")
@example("\u1100\u200b\u1161", "")
@example("か\u0301\u3099", "")
@example("\u09c7\u0301\u09be", "")
@example("ŉ", "")
@example("ﷺ" * 100, "")
@examples(500)
def test_any_text_gives_one_name_or_a_reason(cell: str, country: str) -> None:
    values, note = name(cell, Context(country))
    assert len(values) == (note is None)
    for value in values:
        assert name(value, Context(country)) == ((value,), None)
        assert 0 < len(value) <= MAX_CHARS
        assert value.split() == value.split(" ")


@given(st.lists(st.sampled_from(PARTS.split()), max_size=8), st.sampled_from(["", " "]), COUNTRIES)
@example(["al", "s", "din"], "", "")
@example(["as", "as", "s"], " ", "")
@example(["al", "abd", "ul", "h"], "", "")
@examples(1000)
def test_the_name_of_a_name_is_itself(parts: list[str], between: str, country: str) -> None:
    for value in name(between.join(parts), Context(country)).values:
        assert name(value, Context(country)) == ((value,), None)


def test_the_same_bytes_on_every_python() -> None:
    """Every character alone and inside a word."""
    digest = hashlib.sha256()
    for character in filter(is_supported, map(chr, range(sys.maxunicode + 1))):
        values, note = name(f"x{character}y {character}", Context())
        digest.update("\0".join([*values, note.name if note else "", ""]).encode())
    assert digest.hexdigest() == DIGEST


@pytest.mark.parametrize(
    "spellings",
    [
        ["Олена Ковальчук", "Olena Kovalchuk", "KOVALCHUK OLENA", "Ковальчук, Олена", "Oлeнa Koвaльчук"],
        ["Дем'яненко", "Дем’яненко", "Демʼяненко", "Дем`яненко", "Demianenko", "DEM'IANENKO"],
        ["Al-Hassan", "Al Hassan", "el Hassan", "Alhassan", "AL - HASSAN", "Hassan"],
        ["الحسن", "الْحَسَن", "حسن", "الحســن"],
        [
            "Abd al-Rahman",
            "Abdul Rahman",
            "Abdulrahman",
            "Abdel-Rahman",
            "Abdurrahman",
            "ABDUL-RAHMAN",
            "Abd ur Rahman",
        ],
        ["عبد الرحمن", "عبدالرحمن", "عَبْدُ الرَّحْمٰن"],
        ["عبد الله", "عبدالله", "Abdullah", "Abdallah", "Abd Allah", "Abdulla"],
        ["Dr. José Muñoz", "Munoz José", "Sr. JOSE\u0301 MUN\u0303OZ"],
        ["María de los Ángeles", "maria angeles"],
        ["السيد محمد بن علي", "محمد علي", "على محمد", "محمد، علی"],
    ],
    ids=lambda spellings: spellings[0],
)
def test_spellings_of_one_name(spellings: list[str]) -> None:
    assert len({tuple(words(spelling)) for spelling in spellings}) == 1


def test_names_that_are_not_the_same() -> None:
    different = [
        "Olena",
        "Olha",
        "Hassan",
        "Hussein",
        "Ali",
        "Alina",
        "Alberto",
        "Berto",
        "حسن",
        "حسين",
        "Abdul",
        "Rahman",
    ]
    assert len({name(cell, Context()).values for cell in different}) == len(different)


@pytest.mark.parametrize("cell", ["Mr", "Don", "Al", "De La", "Haji", "U", "Bin", "Пан"])
def test_a_name_is_never_emptied(cell: str) -> None:
    assert name(cell, Context("UA")).values


def test_the_country_decides_what_the_letters_do_not() -> None:
    assert words("Гоголь", "") == words("Гоголь", "UA") == ["hohol"]
    assert words("Гоголь", "RU") == ["gogol"]
    assert words("Гоголь Эдуард", "UA") == ["eduard", "gogol"]
    assert words("Гоголь Ілля", "RU") == ["hohol", "illia"]
    assert words("رمضان", "SY") == ["rmdan"]
    assert words("رمضان", "AF") == ["rmzan"]


def test_too_long() -> None:
    assert name("ab" * (MAX_CHARS // 2), Context()).values
    assert name("a" * (MAX_CHARS + 1), Context()).note is Note.TOO_LONG
    assert name("щ" * MAX_CHARS, Context()).note is Note.TOO_LONG


def test_a_word_of_scripts_of_which_one_has_no_table() -> None:
    """Read once and read again it would be two names: Arabic h, as Latin h, beside a letter that looks Cyrillic."""
    assert name("ه\u052d", Context()) == ((), Note.UNSUPPORTED)
    assert name("張 ه", Context()).values == ("張 h",)
