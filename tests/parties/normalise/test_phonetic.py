import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.normalise import Context
from parties.normalise.names import name
from parties.normalise.phonetic import phonetic
from tests.parties.normalise.cases import VECTORS
from tests.parties.samples import examples

CASES = json.loads((VECTORS / "phonetic.json").read_text("utf-8"))["cases"]


def code(cell: str, country: str = "SY") -> str:
    (value,) = name(cell, Context(country)).values
    return phonetic(value)


@pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(case["in"]))
def test_vectors(case: dict[str, str]) -> None:
    assert phonetic(case["in"]) == case["out"]


@given(st.text(st.characters(), max_size=30) | st.text("abcdghikostuwxyz ", max_size=12))
@examples(1000)
def test_total_and_the_code_of_a_code_is_itself(value: str) -> None:
    once = phonetic(value)
    assert phonetic(once) == once
    assert len(once.split()) == len(value.split())


@pytest.mark.parametrize(
    "spellings",
    [
        "محمد Mohammad Muhammad Mohamed Mohammed",
        "خالد Khaled Khalid",
        "يوسف Youssef Yusuf Yousef",
        "فاطمة فاطمه Fatima Fatma Fatimah",
        "عائشة عايشة Aisha Aicha Ayşha",
        "حسين Hussein Hussain Husayn Hossein",
        "عبد_الرحمن عبدالرحمن Abdul_Rahman Abdurrahman Abdirahman Abd_al-Rahman",
        "الخطيب Al-Khatib Khateeb El-Khatib",
        "سهيل Suhail Suheil",
        "طه Taha",
        "صالح Saleh Salih",
        "عمر Omar Umar",
        "Юлія Юлия Yuliia Yulia Julia Iuliia",
        "Наталія Наталья Nataliia Natalya Natalia",
        "Сергій Сергей Serhii Sergey Sergiy",
        "Євген Yevhen Evgen",
        "ትዕግስት Tigist Tegest",
        "መንግስቱ Mengistu Mengestu",
        "García Garcia Garsía",
        "Usman Othman Osman عثمان",
    ],
)
def test_spellings_of_one_name(spellings: str) -> None:
    assert len({code(spelling.replace("_", " ")) for spelling in spellings.split()}) == 1


@pytest.mark.parametrize(
    "pair",
    [
        "محمد أحمد",
        "أحمد حمد",
        "خالد كريم",
        "كريم كريمة",
        "غسان حسن",
        "Ghassan Hassan",
        "Ahmad Ahmadi",
        "Anna Hanna",
        "Aung An",
    ],
)
def test_names_that_are_not_the_same(pair: str) -> None:
    one, other = pair.split()
    assert code(one) != code(other)


def test_what_consonants_cannot_tell_apart() -> None:
    assert code("Hassan") == code("Hussein") == code("حسن") == code("حسين")


@pytest.mark.parametrize("cell", [*"abcdefghijklmnopqrstuvwxyz", "aa", "hh", "ow", "gh", "yew", "ouh"])
def test_a_short_word_keeps_a_code(cell: str) -> None:
    assert phonetic(cell).isupper()
