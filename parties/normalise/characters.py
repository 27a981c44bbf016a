"""Characters, the same on every Python: those of Unicode 14.0, in NFKC and case-folded.

Unicode promises that the normalisation and the folding of an assigned character never change, so a Python with newer
tables gives the same bytes for all characters that Unicode 14.0 (Python 3.11) knows; all others are refused.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

MAX_CHARS = 1000
"""Longest cell that is compared."""


def ranges(name: str) -> str:
    """The inside of a regular expression's character class, from a file beside this one with a range a word."""
    words = Path(__file__).with_name(name).read_text("ascii").split()
    return "".join(rf"\U{first:0>8}-\U{last:0>8}" for first, last in (word.split("-") for word in words))


LETTERS = ranges("letters-14.txt")
"""Letters and marks of Unicode 14.0, so that no Python's own tables decide what a word is."""
_UNKNOWN = re.compile(f"[^{ranges('unicode-14.txt')}]")
_DIGIT = re.compile(r"(?![0-9])\d")


def is_supported(value: str) -> bool:
    """Whether every character is assigned in Unicode 14.0, and is neither a surrogate nor for private use."""
    return value.isascii() or not _UNKNOWN.search(value)


def text(value: str) -> str:
    """A cell as it is compared: NFKC, case-folded, trimmed; white space inside counts as one space.

    NFKC is applied again after case-folding, which can undo it (Unicode, section 3.13), so the form is idempotent.
    """
    if value.isascii():
        return " ".join(value.lower().split())
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).casefold())
    return " ".join(folded.split())


def ascii_digits(value: str) -> str:
    """The text with every script's decimal digits as 0 to 9."""
    return value if value.isascii() else _DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), value)
