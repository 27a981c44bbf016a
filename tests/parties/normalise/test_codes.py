from pathlib import Path
from typing import Any

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.normalise import Context, codes
from parties.normalise.cells import words
from tests.parties.normalise.cases import cases, expected, found
from tests.parties.samples import examples

NORMALISERS = [codes.sex, codes.country, codes.place, codes.code, codes.amount, codes.plain, codes.period]
COUNTRIES = Path(codes.__file__).with_name("countries.txt").read_text("utf-8").splitlines()


@pytest.mark.parametrize("case", cases("codes"))
def test_vectors(case: dict[str, Any]) -> None:
    normal = getattr(codes, case["function"])(case["in"], Context(case["country"]))
    assert found(normal) == expected(case)


@pytest.mark.parametrize("normalise", NORMALISERS)
@given(st.text(st.characters() | st.sampled_from("0123456789.,- мUAFобл"), max_size=20))
@examples(300)
def test_any_text_and_again(normalise: Any, cell: str) -> None:
    normal = normalise(cell, Context("UA"))
    assert normal.values or normal.note
    for value in normal.values:
        assert normalise(value, Context("UA")).values == (value,)


def test_every_country_has_its_codes_and_no_name_twice() -> None:
    assert sorted(COUNTRIES) == COUNTRIES
    two, three = {line[:2] for line in COUNTRIES}, {line[3:6] for line in COUNTRIES}
    assert len(COUNTRIES) == len(two) == len(three)
    assert set(phonenumbers.SUPPORTED_REGIONS) - two == {"AC", "TA"}  # islands without a code of their own
    owners: dict[str, set[str]] = {}
    for line in COUNTRIES:
        for name in (line[:2], line[3:6], *filter(None, line[7:].split(","))):
            owners.setdefault(words(name.lower()), set()).add(line[:2])
    assert not {name: of for name, of in owners.items() if len(of) > 1}


@pytest.mark.parametrize("line", COUNTRIES, ids=lambda line: line[:2])
def test_every_name_of_a_country(line: str) -> None:
    for name in (line[3:6], *filter(None, line[7:].split(","))):
        assert codes.country(f" {name.upper()}", Context()).values == (line[:2],)


def test_a_kind_of_place_is_left_out_whatever_its_script() -> None:
    assert codes.place("Харківська область", Context("UA")) == codes.place("KHARKIVSKA OBLAST", Context("UA"))
    assert codes.place("محافظة حلب", Context("SY")) == codes.place("حلب", Context("SY"))
    assert codes.place("Camp 3", Context()) != codes.place("Camp 4", Context())
