import random
from itertools import product
from typing import Any

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneMetadata, PhoneNumberFormat

from parties.normalise import Context, Note
from parties.normalise.phones import _by_library, _by_parts, _fast, phones
from tests.parties.normalise.cases import cases, expected, found
from tests.parties.samples import examples

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
PATTERNS = {
    "UA": ["+380 50 ### ## ##", "+380 67 ### ## ##", "066-###-##-##", "(099) ### ## ##", "093#######", "+38063#######"],
    "SY": ["+963 93# ### ###", "093# ### ###", "+961 71 ### ###", "009639########"],
    "IQ": ["+964 770 ### ####", "0770-###-####"],
    "ET": ["+251 91# ######", "091# ## ## ##", "09########", "+251-92#-######"],
    "NG": ["+234 803 ### ####", "0806 ### ####", "0703-###-####", "0813#######"],
    "CO": ["+57 31# ### ####", "320-###-####", "(300) ### ## ##", "+58 414-#######"],
    "CD": ["+243 81# ### ###", "0970 ### ###", "+243-99#-###-###", "085#######"],
    "MM": ["+95 9 ### ### ###", "09-#########", "09 4## ### ###"],
    "AF": ["+93 70# ### ###", "070# ### ###", "0799-###-###", "+9378#######"],
}
"""Country → how its people write numbers, those of neighbours too."""


@pytest.mark.parametrize("case", cases("phones"))
def test_vectors(case: dict[str, Any]) -> None:
    assert found(phones(case["in"], Context(case["country"]))) == expected(case)


@given(
    st.text(st.characters() | st.sampled_from("+0123456789 ()-./;,x#'eE\n٣٤３"), max_size=30), st.sampled_from(REGIONS)
)
@examples(500)
def test_any_text_and_again(cell: str, country: str) -> None:
    normal = phones(cell, Context(country))
    assert normal.values or normal.note
    for value in normal.values:
        assert phones(value, Context(country)).values == (value,) == phones(value, Context()).values


# The fast path


def numbers_of(region: str) -> list[str]:
    """Numbers of a region and of around it: by beginning, by length, by what is dialled before."""
    rng = random.Random(region)
    data = PhoneMetadata.metadata_for_region(region, None)
    code = str(data.country_code)
    lengths = data.general_desc.possible_length
    before = [
        "",
        "0",
        "1",
        "8",
        "00",
        "011",
        "+",
        code,
        "+" + code,
        "00" + code,
        f"+{code}0",
        data.national_prefix or "9",
    ]
    numbers = []
    for first, length in product(range(0, 100, 4), range(min(lengths) - 1, max(lengths) + 3)):
        digits = f"{first + rng.randrange(4):02}{rng.randrange(10**18):018}"
        numbers.append(rng.choice(before) + digits[:length])
    return numbers


@pytest.mark.parametrize("region", REGIONS)
def test_the_fast_path_agrees_with_the_library(region: str) -> None:
    answers = {number: _fast(number, region) for number in numbers_of(region)}
    certain = {number: answer for number, answer in answers.items() if answer}
    assert certain == {number: _by_library(number, region) for number in certain}
    assert len(certain) >= len(answers) / 20


def test_the_fast_path_agrees_with_the_library_without_a_country() -> None:
    answers = {number: _fast(number, "") for region in REGIONS[::10] for number in numbers_of(region)}
    certain = {number: answer for number, answer in answers.items() if answer}
    assert certain == {number: _by_library(number, "") for number in certain}
    assert len(certain) >= 100


@given(st.from_regex(r"\+?[0-9]{5,18}", fullmatch=True), st.sampled_from(REGIONS))
@examples(1000)
def test_the_fast_path_agrees_with_the_library_on_any_digits(number: str, region: str) -> None:
    assert _fast(number, region) in (None, _by_library(number, region))


@given(st.from_regex(r"\(?\+?[0-9]{2,4}[ .)-]{1,2}[0-9 ().-]{5,15}", fullmatch=True), st.sampled_from(sorted(PATTERNS)))
@examples(500)
def test_punctuation_makes_no_difference_between_the_paths(cell: str, country: str) -> None:
    assert phones(cell, Context(country)) == _by_parts(cell, Context(country))


def examples_of_the_library() -> list[tuple[str, str]]:
    kinds = (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE)
    formats = (PhoneNumberFormat.E164, PhoneNumberFormat.NATIONAL, PhoneNumberFormat.INTERNATIONAL)
    found = [(region, phonenumbers.example_number_for_type(region, kind)) for region in REGIONS for kind in kinds]
    return [(phonenumbers.format_number(n, form), region) for region, n in found if n for form in formats]


def written_numbers() -> list[tuple[str, str]]:
    rng = random.Random(1)
    return [
        ("".join(str(rng.randrange(10)) if c == "#" else c for c in pattern), country)
        for country, patterns in PATTERNS.items()
        for pattern in patterns
        for _ in range(20)
    ]


@pytest.mark.parametrize("numbers", [examples_of_the_library(), written_numbers()], ids=["library", "lists"])
def test_most_numbers_take_the_fast_path(numbers: list[tuple[str, str]]) -> None:
    answers = [_fast("".join(c for c in cell if c not in " ()-."), country) for cell, country in numbers]
    assert len([answer for answer in answers if answer]) >= 0.95 * len(numbers)


@pytest.mark.parametrize("region", REGIONS)
def test_every_region_reads_its_own_mobile_numbers(region: str) -> None:
    number = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    if number is None:
        assert region in {"AC", "TA"}
        return
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    for form in (PhoneNumberFormat.NATIONAL, PhoneNumberFormat.INTERNATIONAL):
        normal = phones(phonenumbers.format_number(number, form), Context(region))
        assert normal.values == (e164,) or normal.note is Note.PLACEHOLDER
