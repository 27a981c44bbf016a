"""Identity documents: number, type and country, which are one value together. Pure."""

from __future__ import annotations

import re
import tomllib
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from parties.normalise import codes
from parties.normalise.cells import content, without_zeros, words
from parties.normalise.notes import Context, Normal, Note, unusable
from parties.normalise.placeholders import is_placeholder

UNKNOWN = "-"
"""Stands for a type or a country that is not known."""
_TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
_TYPES = {words(word): kind for kind, synonyms in _TABLES["types"].items() for word in (kind, *synonyms)}
_NUMBER_SIGN = re.compile(r"^\s*(?:\N{NUMERO SIGN}|[nN][\N{DEGREE SIGN}\N{MASCULINE ORDINAL INDICATOR}]|[nN][oOrR]\.)")
_REMARK = re.compile(r"(.+)\((.+)\)")
_HAS_DIGIT = re.compile("[0-9]").search
_CHECKED_CHARS = 40
"""Longer numbers are well-formed nowhere."""


def number(cell: str) -> Normal:
    """A document's number: capitals and digits; digits alone without leading zeros, which spreadsheets lose.

    Cyrillic and Greek letters that look like Latin ones become Latin, as a series of letters is typed in either.
    """
    written = _written(cell)
    return Normal(tuple(map(without_zeros, written.values)), written.note)


def document_type(cell: str) -> Normal:
    """A document's type: one of eight, such as `passport`, or its own words.

    Behind a known word a country or the same type once more may stand in parentheses: `Passport (UA)`, `CNI (carte
    nationale)`. Other words there may make it another document: `ID (school)`.
    """
    value = content(cell)
    if isinstance(value, Note):
        return unusable(value)
    own = words(value)
    return unusable(Note.PLACEHOLDER) if is_placeholder(own) else Normal((_TYPES.get(own) or _remarked(value) or own,))


def _remarked(value: str) -> str:
    """The type of a known word with a remark behind it that leaves it what it is; empty where there is none."""
    found = _REMARK.fullmatch(value)
    if not found:
        return ""
    kind, again = (_TYPES.get(words(part), "") for part in found.groups())
    return kind if again == kind or codes.country(found[2], Context()).values else ""


def identity(number_cell: str, type_cell: str, country_cell: str, context: Context) -> Normal:
    """Country, type and number as one value, `UA:passport:AB123456`, so that equal digits of two types differ.

    A country that is not given is the session's. A number that python-stdnum finds wrong is kept and noted.
    """
    written = _written(number_cell)
    if not written.values:
        return written
    of = _country_and_type(country_cell, type_cell, context)
    if isinstance(of, Note):
        return unusable(of)
    characters = written.values[0]
    note = written.note if _is_well_formed(characters, *of) else Note.CHECK_DIGIT
    return Normal((":".join((*of, without_zeros(characters))),), note)


@lru_cache(maxsize=1024)
def _country_and_type(country_cell: str, type_cell: str, context: Context) -> tuple[str, str] | Note:
    """Of a document; either cell may be left empty. A list repeats a few of them, so they are remembered."""
    country, kind = codes.country(country_cell, context), document_type(type_cell)
    known = []
    for found, default in ((country, context.country or UNKNOWN), (kind, UNKNOWN)):
        if found.note and found.note not in {Note.EMPTY, Note.PLACEHOLDER}:
            return found.note
        known.append(found.values[0] if found.values else default)
    return known[0], known[1]


def _written(cell: str) -> Normal:
    """The number with the leading zeros that it is written with; words without a digit are no number but a remark."""
    found = codes.written(_NUMBER_SIGN.sub("", cell))
    if not found.values or _HAS_DIGIT(found.values[0]):
        return found
    is_remark = len(cell.split()) > 1 or words(found.values[0].lower()) in _TYPES
    return unusable(Note.NOT_RECOGNISED) if is_remark else found


def _is_well_formed(characters: str, country: str, kind: str) -> bool:
    """Whether python-stdnum accepts a number or does not know its kind; lost leading zeros are put back."""
    name, length = _TABLES["checks"].get(country, {}).get(kind, ("", 0))
    if not name:
        return True
    whole = characters.zfill(length) if characters.isdecimal() else characters
    return whole.isascii() and len(whole) <= _CHECKED_CHARS and bool(_module(name).is_valid(whole))


@cache
def _module(name: str) -> Any:
    return import_module(f"stdnum.{name}")
