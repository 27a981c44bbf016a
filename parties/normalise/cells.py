"""What readers of a cell begin with: supported, not empty, no placeholder; what spreadsheets do to numbers. Pure."""

from __future__ import annotations

import re
import unicodedata

from parties.normalise.characters import LETTERS, MAX_CHARS, ascii_digits, is_supported, text
from parties.normalise.notes import Note
from parties.normalise.placeholders import is_placeholder

_INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_SCIENTIFIC = re.compile(r"[+-]?[0-9](?:[.,][0-9]+)?e\+[0-9]{1,3}")
_DECIMAL = re.compile(r"([0-9]+)[.,]0+")
_PUNCTUATION = re.compile(r"[\s!-/:-@\[-`{-~\u00ab\u00bb\u060c\u061b\u061f\u2010-\u201f]+")
_BETWEEN = re.compile(f"[^0-9{LETTERS}]+")
"""What is no letter, mark or digit of Unicode 14.0."""
_CAPITALS = {k: k - 32 for k in (*range(ord("a"), ord("z") + 1), *range(ord("а"), ord("я") + 1))}
_CAPITALS |= {k: k - 32 for k in range(ord("à"), ord("þ") + 1) if chr(k) != "÷"}
_CAPITALS |= {k: k - 80 for k in range(ord("ѐ"), ord("џ") + 1)} | {ord("ґ"): ord("Ґ")}
_CAPITALS |= {ord(a): ord(b) for a, b in zip("авеікмнорстухѕј", "ABEIKMHOPCTYXSJ", strict=True)}
_CAPITALS |= {ord(a): ord(b) for a, b in zip("αβεζηικμνορτυχ", "ABEZHIKMNOPTYX", strict=True)}
"""Small letter → capital. Cyrillic and Greek letters whose capital looks like a Latin one become that one."""


def opened(cell: str) -> str | Note:
    """A cell's text without invisible characters (marks of direction and the like) and with digits 0 to 9.

    Returns:
        Text that is not empty, or why there is none: EMPTY, TOO_LONG or UNSUPPORTED.
    """
    if len(cell) > MAX_CHARS:
        return Note.TOO_LONG
    if not is_supported(cell):
        return Note.UNSUPPORTED
    value = ascii_digits(text(cell if cell.isascii() else _INVISIBLE.sub("", cell)))
    if len(value) > MAX_CHARS:  # NFKC writes some characters out
        return Note.TOO_LONG
    return value or Note.EMPTY


def content(cell: str) -> str | Note:
    """As `opened`; a placeholder is a reason too."""
    value = opened(cell)
    return Note.PLACEHOLDER if isinstance(value, str) and is_placeholder(value) else value


def is_scientific(value: str) -> bool:
    """Whether an opened cell is a long number that a spreadsheet rounded, such as `3.8067e+11`."""
    return bool(_SCIENTIFIC.fullmatch(value))


def without_decimal(value: str) -> str | None:
    """The digits of a whole number that a spreadsheet wrote as a decimal, `123.0` or `123,00`; None for all else."""
    decimal = _DECIMAL.fullmatch(value)
    return decimal[1] if decimal else None


def capitals(value: str) -> str:
    """The letters, marks and digits of opened text, in capitals; look-alikes of Latin capitals are Latin."""
    if value.isascii() and value.isalnum():
        return value.upper()
    return unicodedata.normalize("NFC", _BETWEEN.sub("", value)).translate(_CAPITALS)


def without_zeros(characters: str) -> str:
    """A number without leading zeros, which spreadsheets lose; anything else as it is."""
    return characters.lstrip("0") if characters.isdecimal() else characters


def words(value: str) -> str:
    """Opened text as it is looked up in a table: words without marks, such as accents, and without punctuation."""
    letters = unicodedata.normalize("NFD", _PUNCTUATION.sub(" ", value))
    plain = "".join(c for c in letters if not unicodedata.combining(c))
    return unicodedata.normalize("NFC", " ".join(plain.split()))
