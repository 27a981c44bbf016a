"""How words sound, and the filters that stand for them: the same in every version, or no two lists agree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc import linkage
from mpc.linkage import LEVELS, NEAR_WORD, VALUE_BITS, WORD_FILTER_BITS, Kind
from parties import normalise
from parties.normalise.phonetic import phonetic
from parties.sounds import sounds, word_filter

SPELLINGS = """
အောင်=aung မောင်=maung ဝင်း=win ထွန်း=htun ထက်=htet ကျော်=kyaw ချစ်=chit မြင့်=myint ရွှေ=shwe လှ=hla သူရ=thura
ဝဏ္ဏ=wunna ယဉ်=yin ရဲ=ye နွယ်=nwe ဦး=oo သိန်း=thein နိုင်=naing ညွန့်=nyunt လွင်=lwin
"""
BURMESE = dict(pair.split("=") for pair in SPELLINGS.split())
VECTORS = {
    "": (0x00010000, 0x0001000000000000),
    "A": (0x48000080, 0x0000480000000080),
    "KVLNKA": (0x2C390180, 0x0401283800800180),
    "MHMD": (0x0C214240, 0x0421080002004040),
    "TN": (0x20148080, 0x2010000400808000),
}
"""Code → its filters of 32 and of 64 bits."""


def test_burmese_letters_sound_as_their_usual_spellings() -> None:
    assert {word: sounds(word) for word in BURMESE} == {word: sounds(latin) for word, latin in BURMESE.items()}


def test_an_h_before_a_consonant_is_not_heard() -> None:
    assert sounds("htun hla han") == sounds("tun la han")
    assert sounds("htun") != phonetic("htun")


@given(st.text("abcdefghijklmnopqrstuvwxyz ကခငစတနမယရလဝသအိုော့်း", max_size=30))
def test_the_code_of_a_code_is_itself(words: str) -> None:
    assert sounds(sounds(words)) == sounds(words)


@pytest.mark.parametrize("code", VECTORS)
def test_filters_are_pinned(code: str) -> None:
    assert (word_filter(code, 32), word_filter(code, 64)) == VECTORS[code]


def test_what_is_pinned_besides() -> None:
    """What members must agree on for their vectors to be compared; whoever changes it raises `normalise.VERSION`."""
    assert (normalise.VERSION, VALUE_BITS, LEVELS) == (
        "matchbit-1",
        {Kind.NAMES: 32, Kind.DATE: 16, Kind.NUMBER: 44, Kind.TEXT: 64, Kind.EXACT: 15},
        {Kind.NAMES: 7, Kind.DATE: 6, Kind.NUMBER: 3, Kind.TEXT: 3, Kind.EXACT: 2},
    )
    assert (linkage.YEAR_BITS, linkage.MONTH_BITS, linkage.DAY_BITS) == (7, 4, 5)
    assert (linkage.CHARACTERS, linkage.CHARACTER_BITS, linkage.NEAR_CHARACTERS) == (11, 4, 2)
    assert (linkage.NEAR_WORD, linkage.NEAR_TEXT, linkage.ALIKE_TEXT, linkage.MEMBER_BITS) == (3, 4, 6, 16)


def test_half_a_character_has_a_filter_too() -> None:
    """Damaged files hold such."""
    assert word_filter("\ud800", 32) != word_filter("\udfff", 32)


def test_similar_words_have_near_filters() -> None:
    def distance(one: str, other: str) -> int:
        filters = [word_filter(sounds(word), WORD_FILTER_BITS) for word in (one, other)]
        return (filters[0] ^ filters[1]).bit_count()

    assert distance("mohammad", "muhamed") == 0
    assert 0 < distance("kovalenko", "kovaleno") <= NEAR_WORD
    assert distance("fatima", "olena") > NEAR_WORD
