"""Which column of a list is which standard field: by the owner's map file, HXL tags, or recognised headings. Pure.

Nothing is guessed silently: what could be two things stays unmapped, with a finding that asks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from parties import headings as vocabulary
from parties import normalise
from parties.errors import InputError
from parties.findings import Finding, Severity
from parties.headings import MULTIPLE, is_hxl, recognised
from parties.normalise import Context, Normal, codes, dates, documents
from parties.shown import NAMES, listed, shown

__all__ = [
    "FIELDS",
    "ID_TYPES",
    "MULTIPLE",
    "Column",
    "Columns",
    "MapFile",
    "is_hxl",
    "map_columns",
    "read_map",
    "recognised",
]

FIELDS = (
    "given_name", "middle_name", "family_name", "full_name", "birth_date", "birth_year", "sex", "phone", "id_type",
    "id_country", "id_number", "household_id", "admin1", "admin2", "admin3", "admin4", "registration_date",
    "assistance_type", "amount", "period",
)  # fmt: skip
"""The standard fields."""
ID_TYPES = (
    "passport", "national_id", "tax", "birth_certificate", "refugee", "driving_licence", "voter", "residence",
)  # fmt: skip
"""Kinds of documents that a column of numbers can be said to hold."""
MAP_FILE, HXL, HEADING = "map file", "HXL", "heading"


@dataclass(frozen=True)
class Column:
    """A column that stands for a field.

    Attributes:
        index: from 0.
        heading: as written.
        how: it was found: `map file`, `HXL` or `heading`.
        id_type: of a column of document numbers, where the map file, the tag or the heading says it.
    """

    index: int
    heading: str
    how: str
    id_type: str = ""


@dataclass(frozen=True)
class Columns:
    """What a list's columns stand for.

    Attributes:
        fields: standard field, or other name of the map file → its columns.
        constants: field → the one value of every row.
        unknown: headings that stand for no field; used only where a rule names them.
        findings: what a person should know or decide.
        headings: all of them, as written.
    """

    fields: Mapping[str, tuple[Column, ...]]
    constants: Mapping[str, str]
    unknown: tuple[str, ...]
    findings: tuple[Finding, ...]
    headings: tuple[str, ...]

    def has(self, field: str) -> bool:
        """Whether a standard field has a column or a constant."""
        return field in self.fields or field in self.constants

    def of(self, name: str) -> tuple[Column, ...]:
        """The columns of a field; of a name that is no field, those with this heading."""
        if name in FIELDS or name in self.fields:
            return self.fields.get(name, ())
        return tuple(Column(k, self.headings[k], HEADING) for k in _places(self.headings, name))


@dataclass(frozen=True)
class MapFile:
    """What a list's owner says about it.

    Attributes:
        columns: field → (heading, kind of document or empty) of each of its columns.
        constants: field → the one value of every row.
        date_order: dmy, mdy, or empty: find out. The same for what follows.
        encoding: of a CSV file.
        delimiter: of a CSV file.
        sheet: of a workbook.
        heading_row: as the spreadsheet shows it, or 0.
    """

    columns: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    date_order: str = ""
    encoding: str = ""
    delimiter: str = ""
    sheet: str = ""
    heading_row: int = 0

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)

    @staticmethod
    def from_json(kept: Mapping[str, Any]) -> MapFile:
        """The way back from `to_json`."""
        columns = {name: tuple((heading, kind) for heading, kind in named) for name, named in kept["columns"].items()}
        return MapFile(**{**kept, "columns": columns})


# The map file

_OPTIONS = ("encoding", "delimiter", "sheet", "heading_row", "date_order")
_CONSTANTS: Mapping[str, tuple[str, str, Callable[[str, Context], Normal]]] = {
    "id_country": ("a country", "UA", codes.country),
    "id_type": ("a kind of document", "passport", lambda value, _: documents.document_type(value)),
    "birth_date": ("a date", "1980-01-31", dates.date),
    "birth_year": ("a year", "1980", dates.year),
    "registration_date": ("a date", "2026-01-31", dates.date),
    "sex": ("a sex", "F", codes.sex),
    "amount": ("an amount", "1500.50", codes.amount),
}
"""Field whose constant can be unreadable → what it is, an example, and what reads it."""


def read_map(toml: Mapping[str, Any], path: Path) -> MapFile:
    """The map file that this TOML is.

    Raises:
        InputError: one sentence that says which entry is wrong and how to write it.
    """
    strange = ", ".join(sorted(set(toml) - {"columns", "constants", "list"}))
    _require(not strange, path, f"`{strange}` is none of the tables [columns], [constants] and [list]")
    columns, constants, options = (_table(toml, name, path) for name in ("columns", "constants", "list"))
    for name, value in constants.items():
        _require(name in FIELDS, path, f"[constants] `{name}` is no standard field; these are {', '.join(FIELDS)}")
        _require(_is_text(value), path, f'[constants] `{name}` must be a text in quotes, like id_country = "UA"')
        _require(name not in columns, path, f"`{name}` is under [columns] and under [constants]; one must go")
        _require_readable(name, value, path)
    for name, value in options.items():
        _require(name in _OPTIONS, path, f"[list] `{name}` is unknown; there are {', '.join(_OPTIONS)}")
        number = isinstance(value, int) and not isinstance(value, bool) and value > 0
        text = isinstance(value, str) and value != ""
        _require(number or name != "heading_row", path, "[list] `heading_row` must be a whole number, 1 or more")
        _require(text or name == "heading_row", path, f"[list] `{name}` must be a text in quotes")
    mapped = MapFile({name: _named(name, entry, path) for name, entry in columns.items()}, dict(constants), **options)
    _require(mapped.date_order in ("", "dmy", "mdy"), path, '[list] `date_order` must be "dmy" or "mdy"')
    _require(len(mapped.delimiter) < 2, path, r'[list] `delimiter` must be one character, like ";" or "\t"')
    return mapped


def _named(name: str, entry: Any, path: Path) -> tuple[tuple[str, str], ...]:
    """A field's headings with their kinds of document."""
    kinds = entry if isinstance(entry, Mapping) and name == "id_number" else {"": entry}
    strange = ", ".join(sorted(set(kinds) - {"", *ID_TYPES}))
    _require(not strange, path, f"`{strange}` is no kind of document; these are {', '.join(ID_TYPES)}")
    listed = [(h, kind) for kind, one in kinds.items() for h in (one if isinstance(one, list) else [one])]
    good = bool(listed) and all(_is_text(h) for h, _ in listed)
    _require(good, path, f'[columns] `{name}` must name a heading of the list, like {name} = "My heading"')
    single = len(listed) == 1 or name in MULTIPLE
    _require(single, path, f"`{name}` can be one column only; {' and '.join(MULTIPLE)} can be several")
    twice = len({normalise.text(h) for h, _ in listed}) < len(listed)
    _require(not twice, path, f"`{name}` names the same heading twice")
    return tuple(listed)


def _require_readable(name: str, value: str, path: Path) -> None:
    """Refuse a constant that would be no value, or no known one, in every row."""
    if name in _CONSTANTS:
        what, example, read = _CONSTANTS[name]
        values = read(value, Context()).values
        written = json.dumps(value, ensure_ascii=False)
        fault = f"[constants] `{name}` = {written} cannot be read as {what}; write for example {example}"
        _require(bool(values) and (name != "id_type" or values[0] in ID_TYPES), path, fault)


def _table(toml: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    table = toml.get(name, {})
    if isinstance(table, Mapping):
        return table
    raise _fault(path, f'`{name}` must be a table: a line [{name}], then lines like key = "text"')


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _require(condition: bool, path: Path, text: str) -> None:
    if not condition:
        raise _fault(path, text)


def _fault(path: Path, text: str) -> InputError:
    return InputError(f"The map file {path} cannot be used: {text}.")


# From headings to fields


class _Reading(NamedTuple):
    """What a column that the map file does not name may stand for.

    The lowest rank is the surest: tags before headings, codes of places before names, a field's own name before others.
    """

    column: Column
    fields: tuple[str, ...]
    rank: tuple[bool, bool, bool]


def map_columns(headings: Sequence[str], tags: Sequence[str], map_file: MapFile, path: Path) -> Columns:
    """Find the columns of the standard fields.

    Args:
        headings: of the list.
        tags: its HXL row, or empty.
        map_file: what its owner says.
        path: of the list, for messages.

    Raises:
        InputError: the map file names a heading that the list has not, or has twice.
    """
    fields = {name: _from_map(headings, name, named, path) for name, named in map_file.columns.items()}
    findings = [_note(f"{_NOT_STANDARD}: {name}.", c.heading) for name, (c, *_) in fields.items() if name not in FIELDS]
    named = {c.index for columns in fields.values() for c in columns}
    cells = enumerate(zip_longest(headings, tags[: len(headings)], fillvalue=""))
    read = [_read(k, heading, tag, findings) for k, (heading, tag) in cells if k not in named]
    readings = _settled(read, {*fields, *map_file.constants}, findings)
    for name in FIELDS:
        found = _chosen(name, [r for r in readings if r.fields == (name,)], findings)
        fields |= {name: found} if found else {}
    used = {c.index for columns in fields.values() for c in columns}
    unknown = tuple(h for k, h in enumerate(headings) if k not in used and h.strip())
    return Columns(fields, dict(map_file.constants), unknown, tuple(findings), tuple(headings))


_NOT_STANDARD = "the map file gives it a name that is no standard field and counts only where a rule uses it"


def _from_map(headings: Sequence[str], name: str, named: Sequence[tuple[str, str]], path: Path) -> tuple[Column, ...]:
    """The columns that the map file names for a field."""
    columns = []
    for heading, kind in named:
        places = _places(headings, heading)
        if len(places) != 1:
            what = "has no column" if not places else "has more than one column"
            raise InputError(
                f"{path} {what} `{shown(heading)}`, which the map file names for `{name}`. Its columns are: "
                f"{listed(headings)}. Correct the name in the map file or in the list."
            )
        columns.append(Column(places[0], headings[places[0]], MAP_FILE, kind))
    return tuple(columns)


def _places(headings: Sequence[str], heading: str) -> list[int]:
    wanted = normalise.text(heading)
    return [k for k, h in enumerate(headings) if normalise.text(h) == wanted]


def _read(index: int, heading: str, tag: str, findings: list[Finding]) -> _Reading:
    """What a tag says, else a heading; where both speak and differ, the tag counts and a note says so."""
    tagged, headed = vocabulary.of_tag(tag), vocabulary.of_heading(heading)
    meaning = headed if tagged is None else tagged
    if meaning.fields == headed.fields and not meaning.id_type:
        meaning = headed  # which may know the kind of document
    agree = set(meaning.fields) & set(headed.fields) and headed.id_type in ("", meaning.id_type)
    if headed.fields and not agree:
        says = " ".join((*meaning.fields, meaning.id_type)).strip() or "not about the person of the row"
        findings.append(_note(f"the tag {shown(tag)} counts, not the heading: it is {says}.", heading))
    how = HEADING if tagged is None else HXL
    names = any(name.startswith("admin") for name in meaning.fields) and not vocabulary.is_code(heading, tag)
    rank = (how == HEADING, names, normalise.text(heading) not in meaning.fields)
    return _Reading(Column(index, heading or tag.strip(), how, meaning.id_type), meaning.fields, rank)


def _settled(readings: Sequence[_Reading], named: Set[str], findings: list[Finding]) -> list[_Reading]:
    """Readings of one field each that the map file has not named: of two, other columns decide, or a person."""
    known = {*named, *(r.fields[0] for r in readings if len(r.fields) == 1)}
    settled = []
    for reading in readings:
        choice = _choice(reading.fields, known)
        if choice in named:
            continue
        if len(reading.fields) > 1:
            findings.append(_told(reading, choice, known))
        if choice:
            known.add(choice)
            settled.append(reading._replace(fields=(choice,)))
    return settled


def _told(reading: _Reading, choice: str, known: Set[str]) -> Finding:
    """What became of a heading with two meanings."""
    heading, either = reading.column.heading, " or ".join(reading.fields)
    if choice:
        return _note(f"could be {either}; by the list's other columns it is {choice}.", heading)
    if known >= set(reading.fields):
        return _note(f"is left aside: other columns are {either}.", heading)
    return _ask(f"could be {either}, so it is not used", reading.fields[0], heading)


def _choice(fields: Sequence[str], known: Set[str]) -> str:
    """The field that a heading stands for, beside known ones, or none.

    `Name` or `Nom` is the full name, but beside a surname alone, or given names alone, the part that is missing.
    """
    if len(fields) < 2:
        return fields[0] if fields else ""
    if "full_name" in fields and len(known & {"given_name", "family_name"}) != 1:
        return "full_name"
    missing = [f for f in fields if f not in known and f != "full_name"]
    return missing[0] if len(missing) == 1 else ""


def _chosen(name: str, readings: Sequence[_Reading], findings: list[Finding]) -> tuple[Column, ...]:
    """The columns of a field: all where it may have several, else the surest if there is one surest."""
    columns = tuple(r.column for r in readings)
    if name in MULTIPLE or len(columns) < 2:
        return columns
    surest = min(r.rank for r in readings)
    first, *rest = (r.column for r in readings if r.rank == surest)
    if rest:
        several = " and ".join(f"`{shown(c.heading)}`" for c in columns[:NAMES])
        findings.append(_ask(f"{several} could each be {name}, so none is used", name))
        return ()
    findings += [_note(f"is left aside: {name} is `{shown(first.heading)}`.", c.heading) for c in columns if c != first]
    return (first,)


def _ask(what: str, name: str, heading: str = "") -> Finding:
    example = f"{name} = {json.dumps(shown(heading) or 'the right heading', ensure_ascii=False)}"
    text = f"{what}: say which it is in a --map file, like [columns] {example}, or give it a name of your own there."
    # A field that a rule needs stops by itself; these change what is compared without being named by a rule.
    severity = Severity.STOP if name in ("id_type", "id_country", "household_id") else Severity.WARNING
    return Finding(severity, text, heading)


def _note(text: str, heading: str) -> Finding:
    return Finding(Severity.NOTE, text, heading)
