import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from parties.normalise import VERSION, text
from tests.parties.samples import examples

ANY = st.text(st.characters(), max_size=20)  # surrogates too: not every list is clean


@given(ANY)
@example("\u0345\u0301")
@example("\u03b1\u0345")
@example("\ud800")
@example("\ud83d\ude00")
@example("\u00b4e")
@example("ß\u0301")
@example("\u1f80\u0308")
@examples(500)
def test_total_and_idempotent_on_any_text(value: str) -> None:
    once = text(value)
    assert isinstance(once, str)
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


@pytest.mark.parametrize(
    ("written", "compared"),
    [
        ("", ""),
        (" \t\r\n\u00a0\u2003\u3000 ", ""),
        ("AB-123", "ab-123"),
        ("ＡＢ－１２３", "ab-123"),
        ("Ａｎｎａ　Ｍａｒｉａ", "anna maria"),
        ("  Anna \t\u00a0 Maria\u2003", "anna maria"),
        ("Anna\nMaria", "anna maria"),
        ("Straße", "strasse"),
        ("STRAẞE", "strasse"),
        ("E\u0301lodie", "élodie"),
        ("ÉLODIE", "élodie"),
        ("Σίσυφος", "σίσυφοσ"),
        ("ﬁﬂ", "fifl"),
        ("№ ½", "no 1⁄2"),
        ("ﻣﺤﻤﺪ", "محمد"),
        ("ﷲ", "الله"),
        ("ß\u0301", "sś"),
        ("Кириленко", "кириленко"),
        ("ＫＡＴＡＫＡＮＡ ｶﾞ", "katakana ガ"),
        ("I", "i"),
        ("İ", "i\u0307"),
        ("ı", "ı"),
    ],
)
def test_examples(written: str, compared: str) -> None:
    assert text(written) == compared


def test_turkish_letters_stay_four_of_three_kinds() -> None:
    """Case-folding is the same in every country: dotted and dotless i remain different letters."""
    assert text("DİYARBAKIR") != text("DIYARBAKIR")
    assert text("Isparta") == text("ISPARTA") != text("ısparta")


def test_what_looks_alike_is_not_the_same() -> None:
    assert text("Аnna") != text("Anna")  # the first begins with a Cyrillic letter
    assert text("0") != text("O")
    assert text("٣") != text("3")
    assert text("Anna-Maria") != text("Anna Maria")


def test_the_version_is_part_of_what_agencies_sign() -> None:
    assert VERSION == "text-1"
