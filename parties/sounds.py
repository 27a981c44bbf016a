"""How words sound that are compared for likeness, and the filters that stand for them. Pure.

A word's code is that of `parties.normalise.phonetic`, in which spellings of one name in most scripts agree. For
likeness alone it goes two steps further: Burmese letters, which the standard leaves as they are, are read by a small
table, and an `h` before another consonant at the beginning is not heard (Htun, Tun; Hla, La).

A filter has a bit for each letter of a code, in its lower half, and one for each two neighbours, ends included, in its
upper half; which bit, BLAKE2b says. Codes that differ in one letter differ in a few bits.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

from parties.normalise.phonetic import phonetic

_REMEMBERED = 1 << 16
_UNHEARD = re.compile("^h(?=[bcdfgjklmnpqrstvwxz])")
_BURMESE = re.compile("[\u1000-\u1049]+")
_BURMESE_SPELLING = tuple(
    (re.compile(pattern), spelling)
    for pattern, spelling in (
        ("(.)\u1039\\1", r"\1"),  # Wunna: one letter written below itself
        ("ရ(ွ?)ှ|လ(?:ျ(ွ?)ှ)", r"sha\1\2"),
        ("ခ[ျြ]", "cha"),
        ("(?:[ေ][ာါ]|ို)င့?်", "ang"),
        ("(?:[ေ][ာါ]|ို)က်", "ak"),
        ("ွ(?=[နတမပ]့?်)", ""),
        ("[ငနမ]့်", "ant"),
        ("[ငဉဏနမ]်|ံ", "an"),
        ("[ကစတဒပ]်", "at"),
        ("[ညယ]်", "a"),
        ("^ရ(?=[ေဲ])", "e"),
        ("^[ယရ]", "ya"),
        ("ွ", "w"),
    )
)
"""What several signs are together, in this order: finals by their vowels, what stands below a letter."""
_BURMESE_LETTERS = (
    "ကka ခka ဂga ဃga ငnga စsa ဆsa ဇza ဈza ညnya ဉnya ဋta ဌta ဍda ဎda ဏna တta ထta ဒda ဓda နna ပpa ဖpha ဗba ဘba မma "
    "ယya ရra လla ဝwa သta ဟha ဠla အa ဣa ဤa ဥa ဦa ဧa ဩa ဪa ဿta ာa ါa ိa ီa ုa ူa ေa ဲa"
)
"""Each with its spelling right after it: consonants with their own vowel, since inside a word no vowel is heard."""
_BURMESE_SPELT = {ord(entry[0]): entry[1:] for entry in _BURMESE_LETTERS.split()}
_BURMESE_SPELT |= dict.fromkeys(map(ord, "\u1037\u1038\u1039\u103a\u103b\u103c\u103e"), "")
"""Tones, and what `_BURMESE_SPELLING` left, are silent."""


def sounds(words: str) -> str:
    """The codes of a name's words, in their order, with one space between; the code of a code is itself.

    Args:
        words: as `parties.normalise.names.name` gives them.
    """
    return " ".join(filter(None, map(_sound, words.split())))


@lru_cache(_REMEMBERED)  # lists repeat the same words
def _sound(word: str) -> str:
    if not word.isascii():
        word = _BURMESE.sub(lambda found: _from_burmese(found[0]), word)
    return phonetic(_UNHEARD.sub("", word))


def _from_burmese(word: str) -> str:
    for pattern, spelling in _BURMESE_SPELLING:
        word = pattern.sub(spelling, word)
    return word.translate(_BURMESE_SPELT)


@lru_cache(_REMEMBERED)
def word_filter(code: str, bits: int) -> int:
    """A filter of a code, or of a text, as a number of so many bits, the lowest first."""
    half, ends = bits // 2, f"^{code}$"
    letters = sum(1 << bit for bit in {_bit(f"l{letter}", half) for letter in code})
    return letters | sum(1 << half + bit for bit in {_bit("b" + ends[k : k + 2], half) for k in range(len(ends) - 1)})


@lru_cache(_REMEMBERED)
def _bit(gram: str, bits: int) -> int:
    return int.from_bytes(hashlib.blake2b(gram.encode("utf-8", "surrogatepass"), digest_size=4).digest(), "big") % bits
