"""Sex, countries, places, codes and amounts. Pure."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from parties.normalise import dates, names
from parties.normalise.cells import capitals, content, is_scientific, opened, without_decimal, without_zeros, words
from parties.normalise.notes import Context, Normal, Note, unusable
from parties.normalise.placeholders import is_placeholder

_TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
_SEXES = {words(word): sex for sex, synonyms in _TABLES["sex"].items() for word in synonyms}
_COUNTRIES = {
    words(word.lower()): line[:2]
    for line in Path(__file__).with_name("countries.txt").read_text("utf-8").splitlines()
    for word in (line[:2], line[3:6], *line[7:].split(","))
    if word
}
"""Two letters, three letters or a name → two letters."""
COUNTRIES = frozenset(_COUNTRIES.values())
"""Two letters of every country."""
_KINDS = frozenset(
    word
    for kind in _TABLES["places"]["kinds"]
    for country in ("UA", "RU")
    for word in names.name(kind, Context(country)).values
)
"""`district` and the like, spelt as names are."""
_KIND_IN_SHORT = re.compile(r"(?<!\w)(?:[мсгп]\.|р-н(?!\w))")
_P_CODE = re.compile(r"([a-z]{2,3})[0-9]{2,}")
_AMOUNT = re.compile(r"([1-9][0-9]{0,2}(?:([.,])[0-9]{3})(?:\2[0-9]{3})*|[0-9]+)(?:(?!\2)[.,]([0-9]*))?")


def sex(cell: str, _: Context) -> Normal:
    """`F`, `M` or `X`, from a letter or a word. Digits are not read: their meaning differs from list to list."""
    value = opened(cell)
    if isinstance(value, Note):
        return unusable(value)
    found = _SEXES.get(words(value))  # before placeholders: X is one elsewhere
    return Normal((found,)) if found else unusable(_reason(value))


def country(cell: str, context: Context) -> Normal:
    """A country in two letters, from two or three letters or its name in six languages.

    `NA` and `NO` are placeholders unless they are the session's country: Namibia and Norway have names too.
    """
    value = opened(cell)
    if isinstance(value, Note):
        return unusable(value)
    found = _COUNTRIES.get(words(value))
    if found and (not is_placeholder(value) or found == context.country):
        return Normal((found,))
    return unusable(_reason(value))


def place(cell: str, context: Context) -> Normal:
    """A p-code such as `UA6312`, digits, or the name without the word for the kind of place; its digits come last."""
    value = content(cell)
    if isinstance(value, Note):
        return unusable(value)
    if _is_code(value):
        return code(value, context)
    name = names.name(_KIND_IN_SHORT.sub(" ", value), context)
    if not name.values:
        return name
    said = name.values[0].split()
    own = [word for word in said if word not in _KINDS]
    canonical = " ".join((*(own or said), *re.findall("[0-9]+", value)))
    return code(canonical, context) if _is_code(canonical) else Normal((canonical,))


def _is_code(value: str) -> bool:
    """Whether a place is digits alone or a country and digits."""
    compact = capitals(value).lower()
    p_code = _P_CODE.fullmatch(compact)
    return compact.isdecimal() or bool(p_code and p_code[1] in _COUNTRIES)


def code(cell: str, _: Context) -> Normal:
    """A household's or another code: capitals and digits; digits alone without leading zeros."""
    found = written(cell)
    return Normal(tuple(map(without_zeros, found.values)), found.note)


def written(cell: str) -> Normal:
    """A code with the leading zeros that it is written with."""
    value = content(cell)
    if isinstance(value, Note):
        return unusable(value)
    if is_scientific(value):
        return unusable(Note.SCIENTIFIC)
    whole = without_decimal(value)
    characters = capitals(whole or value)
    if is_placeholder(without_zeros(characters).lower()):
        return unusable(Note.PLACEHOLDER if characters else Note.NOT_RECOGNISED)
    return Normal((characters,), Note.DECIMAL if whole else None)


def amount(cell: str, _: Context) -> Normal:
    """A number with at most two decimals, `1234.5`; a sign before three last digits parts thousands.

    A currency is not read: the same number of two currencies is not the same amount.
    """
    value = opened(cell)
    if isinstance(value, Note):
        return unusable(value)
    found = _AMOUNT.fullmatch(re.sub(r"[\s']", "", value))
    decimals = (found[3] or "").rstrip("0") if found else ""
    if not found or len(decimals) > 2:
        return unusable(Note.SCIENTIFIC if is_scientific(value) else _reason(re.sub("[0-9]", "a", value)))
    whole = re.sub("[.,]", "", found[1]).lstrip("0") or "0"
    return Normal((f"{whole}.{decimals}" if decimals else whole,))


def plain(cell: str, _: Context) -> Normal:
    """Any other text: NFKC, small letters, one space between words."""
    value = opened(cell)
    if isinstance(value, Note):
        return unusable(value)
    return unusable(Note.PLACEHOLDER) if is_placeholder(value) else Normal((value,))


def period(cell: str, context: Context) -> Normal:
    """A month as `2026-01` where it is one, else plain text."""
    month = dates.date(cell, context)
    return Normal(month.values) if any(len(value) == len("2026-01") for value in month.values) else plain(cell, context)


def _reason(value: str) -> Note:
    return Note.PLACEHOLDER if is_placeholder(value) else Note.NOT_RECOGNISED
