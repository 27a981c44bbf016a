import json
import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from parties.normalise.characters import ascii_digits, is_supported, text
from tests.parties.normalise.cases import VECTORS
from tests.parties.samples import examples

CASES = json.loads((VECTORS / "text.json").read_text("utf-8"))["cases"]
ANY = st.text(st.characters(), max_size=20)  # surrogates too: not every list is clean


@pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(case["in"]))
def test_vectors(case: dict[str, str]) -> None:
    assert text(case["in"]) == case["out"]


@given(ANY)
@example("\u0345\u0301")
@example("\u03b1\u0345")
@example("\ud800")
@example("\u00b4e")
@example("\u1f80\u0308")
@examples(500)
def test_total_and_idempotent_on_any_text(value: str) -> None:
    once = text(value)
    assert text(once) == once


def test_idempotent_on_every_character() -> None:
    assert [c for c in map(chr, range(sys.maxunicode + 1)) if text(text(c)) != text(c)] == []


@given(ANY, ANY)
@examples(200)
def test_white_space_inside_is_one_space_and_none_around(left: str, right: str) -> None:
    assert text(f"\t {left} \u00a0\u3000\r\n {right} ") == text(f"{left} {right}")
    assert not text(left)[:1].isspace()
    assert not text(left)[-1:].isspace()


@given(st.text("abcABC äÄßẞΣσς", max_size=10))
@examples(100)
def test_case_does_not_matter(value: str) -> None:
    assert text(value.upper()) == text(value.lower()) == text(value)


def test_turkish_letters_stay_four_of_three_kinds() -> None:
    """Case-folding is the same in every country: dotted and dotless i remain different letters."""
    assert text("DİYARBAKIR") != text("DIYARBAKIR")
    assert text("Isparta") == text("ISPARTA") != text("ısparta")


def test_supported_is_what_unicode_14_assigns() -> None:
    supported = sum(map(is_supported, map(chr, range(sys.maxunicode + 1))))
    assert supported == 144_762
    for refused in ("\ud800", "\udfff", "\ue000", "\U0010fffd", "\u0378", "\uffff", "a\U0001fae8"):
        assert not is_supported(refused)
    for known in ("", "Anna", "Олена", "محمد", "አበበ", "အောင်", "😀", "\U0001fae0"):
        assert is_supported(known)


def test_digits_of_every_script() -> None:
    assert ascii_digits("٠١٢ ۳۴۵ ०१ １２ ၁၂ a7²") == "012 345 01 12 12 a7²"


@given(st.text(st.characters(), max_size=20))
@examples(200)
def test_digits_keep_all_else(value: str) -> None:
    for new, old in zip(ascii_digits(value), value, strict=True):
        assert new == old or (new.isascii() and int(new) == unicodedata.decimal(old))
