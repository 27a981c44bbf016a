"""The fields of a list in canonical form, batch by batch: from mapped columns to what rules compare.

Only distinct cells of a batch are normalised; rows refer to them by code, so nothing of a whole list is ever held.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mpc.replicated import Array
from parties import columns, normalise, records
from parties.columns import Column, Columns, MapFile
from parties.errors import InputError
from parties.findings import Finding
from parties.identity import utc_now
from parties.normalise import Context, Normal, documents, names, standard
from parties.normalise.notes import Note, unusable
from parties.records import Batch, SourceList
from parties.shown import listed, shown
from parties.survey import REMEMBERED, Survey, survey

NAME_PARTS = ("given_name", "middle_name", "family_name")
TELLING = ("full_name", *NAME_PARTS, "birth_date", "birth_year", "phone", "id_number")


@dataclass(frozen=True)
class ReadableList:
    """A list, and what its columns stand for.

    Attributes:
        source: the file.
        columns: field → columns.
        map_file: what its owner said about it.
    """

    source: SourceList
    columns: Columns
    map_file: MapFile

    @property
    def path(self) -> Path:
        """The file."""
        return self.source.path

    @cached_property
    def survey(self) -> Survey:
        """What its columns show when all of it is read."""
        return survey(self.source, self.columns, self.map_file.date_order, utc_now().date())


def open_list(path: Path, map_file: MapFile | None = None) -> ReadableList:
    """Open a list and find out what its columns stand for.

    Raises:
        InputError: the file or the map cannot be used.
    """
    m = map_file or MapFile()
    options = records.ListOptions(m.encoding, m.delimiter, m.sheet, m.heading_row)
    source = records.open_list(path, options)
    return ReadableList(source, columns.map_columns(source.headings, source.tags, m, path), m)


def telling(opened: ReadableList) -> list[int]:
    """The columns by which a person recognises somebody first, then all others."""
    known = [c.index for name in TELLING for c in opened.columns.of(name)]
    return list(dict.fromkeys([*known, *range(len(opened.source.headings))]))


class FieldBatch(NamedTuple):
    """A field in one batch.

    Attributes:
        normals: distinct ones.
        codes: (rows,) integers: which of them each row has.
    """

    normals: list[Normal]
    codes: Array


@dataclass
class FieldSource:
    """Where a field's values come from.

    Attributes:
        indices: of the columns that are read.
        make: from one row's cells of these columns to the field's values.
        headings: of these columns, for people.
        findings: what a person should know of these columns.
    """

    indices: tuple[int, ...]
    make: Callable[[tuple[str, ...]], Normal]
    headings: str
    findings: tuple[Finding, ...] = ()
    _known: dict[tuple[str, ...], Normal] = field(default_factory=dict)

    def read(self, batch: Batch) -> FieldBatch:
        """The field's values in a batch."""
        if not self.indices:
            return FieldBatch([self.make(())], np.zeros(len(batch.numbers), np.int32))
        encoded = [batch.columns.column(k).dictionary_encode() for k in self.indices]
        codes, cells = encoded[0].indices.to_numpy(), [(c,) for c in encoded[0].dictionary.to_pylist()]
        for more in encoded[1:]:  # number the pairs of what there was and the next column
            pairs = codes.astype(np.int64) * len(more.dictionary) + more.indices.to_numpy()
            distinct, codes = np.unique(pairs, return_inverse=True)
            last = more.dictionary.to_pylist()
            before, after = np.divmod(distinct, len(more.dictionary))
            cells = [(*cells[b], last[a]) for b, a in zip(before.tolist(), after.tolist(), strict=True)]
        return FieldBatch([self._normal(c) for c in cells], codes)

    def _normal(self, cells: tuple[str, ...]) -> Normal:
        known = self._known.get(cells)
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            known = self._known[cells] = self.make(cells)
        return known


def source(opened: ReadableList, name: str, why: str, country: str) -> FieldSource:
    """Where the values of a field come from.

    Args:
        opened: the list.
        name: of the field.
        why: what needs it, for people.
        country: of the session.

    Raises:
        InputError: the list has no column for it.
    """
    found, constants = opened.columns.of(name), opened.columns.constants
    if len(found) > 1 and name not in columns.MULTIPLE:
        raise InputError(f"{opened.path} has more than one column `{name}`, which {why} needs. Rename all but one.")
    born = opened.columns.of("birth_date")
    if name == "birth_year" and not found and born:
        return source_of(opened, name, born, country)
    if name == "full_name" and not found:
        parts = [c for part in NAME_PARTS for c in opened.columns.of(part)]
        if parts:
            return _over(parts, lambda cells: _whole_name(cells, Context(country)))
    if found:
        return source_of(opened, name, found, country)
    if name in constants:
        normal = standard.canonical(name, constants[name], Context(country))
        return FieldSource((), lambda _: normal, f"constant {name}")
    raise InputError(_missing(opened, name, why))


def source_of(opened: ReadableList, name: str, found: Sequence[Column], country: str) -> FieldSource:
    """The values of a field from these columns, at least one."""
    context = Context(country, opened.survey.orders.get(found[0].index, ""))
    if name == "id_number":
        made = _identity(opened.columns, found, context)
    else:
        made = _over(found, lambda cells: merged([standard.canonical(name, cell, context) for cell in cells]))
    needless = opened.survey.of_order if name == "birth_year" else frozenset()
    findings = (f for k in made.indices for f in opened.survey.findings.get(k, ()))
    return replace(made, findings=tuple(f for f in findings if f not in needless))


def _whole_name(cells: Sequence[str], context: Context) -> Normal:
    """A name of its parts; placeholders among them are left out: `Olena`, `n/a`, `Kovalchuk` are two words."""
    parts = [(cell, names.name(cell, context)) for cell in cells]
    notes = [n.note for _, n in parts if n.note not in (None, Note.EMPTY)]
    whole = names.name(" ".join(cell for cell, n in parts if n.values), context)
    return Normal(whole.values, notes[0]) if notes else whole


def _over(found: Sequence[Column], make: Callable[[tuple[str, ...]], Normal]) -> FieldSource:
    return FieldSource(tuple(c.index for c in found), make, listed([c.heading for c in found]))


def _identity(mapped: Columns, found: Sequence[Column], context: Context) -> FieldSource:
    """Numbers with their type and country: a column of its own, what the heading says, or the list's constant."""
    type_of = () if all(c.id_type for c in found) else mapped.of("id_type")[:1]
    country_of = mapped.of("id_country")[:1]
    usual_type, usual_country = (mapped.constants.get(name, "") for name in ("id_type", "id_country"))

    def make(cells: tuple[str, ...]) -> Normal:
        written_type = cells[len(found)] if type_of else usual_type
        country = cells[-1] if country_of else usual_country
        numbers = zip(found, cells, strict=False)
        return merged([documents.identity(n, c.id_type or written_type, country, context) for c, n in numbers])

    indices = tuple(c.index for c in (*found, *type_of, *country_of))
    return FieldSource(indices, make, listed([c.heading for c in found]))


def merged(normals: Sequence[Normal]) -> Normal:
    """The values of several cells, in order, without repeats; empty cells beside others are no fault."""
    if len(normals) == 1:
        return normals[0]
    values = tuple(dict.fromkeys(value for n in normals for value in n.values))
    notes = [n.note for n in normals if n.note not in (None, Note.EMPTY)]
    return Normal(values, notes[0] if notes else None) if values else unusable(notes[0] if notes else Note.EMPTY)


def _missing(opened: ReadableList, name: str, why: str) -> str:
    split = name in NAME_PARTS and opened.columns.of("full_name")
    hint = " It has a full name only, which cannot be split; a rule on full_name:sorted could use it." if split else ""
    return (
        f"{opened.path} has no column for `{name}`, which {why} needs.{hint} Its columns are: {_headings(opened)}. "
        f'Say in a --map file which one it is: [columns] {name} = "…".'
    )


def _headings(opened: ReadableList) -> str:
    return listed(opened.source.headings)


# Rows that are new


@dataclass(frozen=True)
class NewRows:
    """Which rows of a list are new, and reported: those registered since a day, or marked in a column.

    Attributes:
        since: ISO date, or empty.
        column: heading, or empty.

    Raises:
        InputError: the day is not one.
    """

    since: str = ""
    column: str = ""

    def __post_init__(self) -> None:
        try:
            iso = date.fromisoformat(self.since).isoformat() if self.since else ""
        except ValueError:
            iso = ""
        if iso != self.since:
            raise InputError(f"`{self.since}` is not a day: write it like 2026-01-31.")

    def __bool__(self) -> bool:
        return bool(self.since or self.column)

    def source(self, opened: ReadableList) -> FieldSource:
        """The column that tells; its one value is `yes` for a new row.

        Raises:
            InputError: the list has no such column.
        """
        if self.column:
            found = opened.columns.of(self.column)
            if len(found) != 1:
                what = "has no column" if not found else "has more than one column"
                raise InputError(f"{opened.path} {what} `{shown(self.column)}`. Its columns are: {_headings(opened)}.")
            return _over(found, lambda cells: _marked(cells[0]))
        registered = source(opened, "registration_date", "--new-since", "")
        make = registered.make
        return replace(registered, make=lambda cells: _since(make(cells), self.since), _known={})


_YES = frozenset(normalise.text("x yes y 1 true new так нова новий да новый oui nouveau sí si nuevo نعم جديد").split())
_NO = frozenset(normalise.text("- no n 0 false old ні нет non لا").split()) | {""}


def _marked(cell: str) -> Normal:
    word = normalise.text(cell)
    if word in _YES:
        return Normal(("yes",))
    return Normal(("no",)) if word in _NO else unusable(Note.NOT_RECOGNISED)


def _since(registered: Normal, since: str) -> Normal:
    """Rows whose day of registration is unknown count as new: nothing is left unreported by mistake."""
    known = [value for value in registered.values if len(value) == len(since)]
    return Normal(("no",)) if known and known[0] < since else Normal(("yes",), registered.note)
