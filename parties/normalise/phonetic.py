"""How a name sounds, roughly: its consonants, so that spellings of one name in any script agree. Pure.

Arabic script leaves short vowels out, and every romanisation has its own way with vowels and doubtful consonants; what
they share is the order of the others. A vowel, whichever, counts at the beginning and at the end of a word only; a last
`h` sounds like one. Codes are in capitals, so that they cannot be mistaken for names: the code of a code is itself.
"""

from __future__ import annotations

import re
from functools import lru_cache

_SOUNDS = {
    r"^abdul(?=.)": "ABD",  # Abdul Rahman, Abdirahman
    r"^[ou]s(?=man)": "AT",  # Osman, Othman
    r"^[yi](?=e)": "",  # Yelena, Elena
    r"^(?:y|i(?=[aou]))": "J",  # Yulia, Iuliia, Julia
    r"^ou(?=[aei])": "V",  # Oualid, Walid
    r"(?<=[aeiouy])w(?![aei])": "",  # Tawfiq, Toufic; Dawood, Daoud; but Nawal
    r"w": "V",
    r"ch(?=[lr])": "K",  # Christina, Kristina
    r"shch|t?s?ch|t?sh": "X",  # Aicha, Aisha
    r"dzh|dj|dz(?=[aeiouy])": "J",  # Djamila, Jamila
    r"gh": "G",
    r"(?<=.)(?:(?<!n)g|h)$": "A",  # Oleg, Oleh; Fatimah, Fatima
    r"(?<!n)g": "H",  # Sergey, Serhii; but Aung
    r"kh|ck|q|c(?![eiy])": "K",
    r"c": "S",
    r"dh": "D",
    r"th": "T",
    r"zh": "Z",
    r"ph": "F",
    r"x": "KS",
}
"""What is not heard as it is written; at each place the first that fits."""
_HEARD = tuple(_SOUNDS.values())
_UNLIKE = re.compile("|".join(f"({pattern})" for pattern in _SOUNDS))
_REPEATED = re.compile(r"(.)\1+")
_OUTER_VOWELS = re.compile("^[AEIOUY]+|[AEIOUY]+$")
_ONLY_OUTER_VOWELS = str.maketrans("*", "A", "AEIOUY")


def phonetic(words: str) -> str:
    """The codes of a name's words, in their order, with one space between.

    Args:
        words: as `parties.normalise.names.name` gives them.

    Returns:
        One code for each word, never an empty one; a word that is not of lower-case a to z stays as it is.
    """
    return " ".join(map(_code, words.split()))


@lru_cache(1 << 16)  # lists repeat the same words
def _code(word: str) -> str:
    if not (word.isascii() and word.isalpha() and word.islower()):
        return word
    heard = _UNLIKE.sub(lambda found: _HEARD[(found.lastindex or 0) - 1], word).upper()
    once = _REPEATED.sub(r"\1", heard)
    return _OUTER_VOWELS.sub("*", once).translate(_ONLY_OUTER_VOWELS)
