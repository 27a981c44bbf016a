"""A look at a list before it is used: how columns and rows read, what is unusable, what a person must decide."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from mpc.replicated import Array
from parties import fields
from parties.fields import ReadableList
from parties.findings import FIRST_ROWS, Finding, Severity
from parties.keys import NO_VALUE, NOTES, Keys, make_keys
from parties.needs import has_block
from parties.normalise.notes import Note
from parties.rules import FieldUse, Rule
from parties.shown import listed, shown
from parties.statistics import OTHER, Cells, Statistics

EXAMPLE_CHARS = 28
"""Of a cell so much is shown."""
MIN_ROWS = 20
"""A list or a part of it with fewer rows is not judged by its shares."""
MOST = 0.5
"""A rule that more of the rows cannot use, or a result that more of the rows match, stops for a person.

A category that more of the rows with a value have no agreed value of is reported."""
MANY_ROWS = (20, 100)
"""A phone or a number on so many rows is reported, and stops for a person."""
UNTYPED = (
    "numbers of an unknown kind of document match each other only: say in a --map file which column has the kind "
    '([columns] id_type = "…") or that all are one kind ([constants] id_type = "national_id").'
)
BLANK = (Note.EMPTY, Note.PLACEHOLDER)
"""Notes on cells that hold no value, of any kind."""
SEVERITY = {
    Note.EMPTY: None,
    Note.CHECK_DIGIT: Severity.NOTE,
    Note.DECIMAL: Severity.NOTE,
    Note.PARTIAL_DATE: Severity.NOTE,
}
"""How notes on cells are reported; others are warnings."""


@dataclass(frozen=True)
class RuleCheck:
    """How a rule fares on a list.

    Attributes:
        name: of the rule.
        fields: as in the terms.
        usable: rows that have a key under it.
        unusable_rows: numbers of the first rows that have none.
        repeated: rows that agree with an earlier row of the same list.
        example: a usable row's values as they are compared.
    """

    name: str
    fields: tuple[str, ...]
    usable: int
    unusable_rows: tuple[int, ...]
    repeated: int
    example: tuple[str, ...]


@dataclass(frozen=True)
class ColumnCheck:
    """How a column reads.

    Attributes:
        heading: as written.
        stands_for: the standard field, or nothing.
        how: how that was found: map file, HXL, heading.
        filled: rows that have something in it.
        example: a cell, and after it how it is compared.
    """

    heading: str
    stands_for: str
    how: str
    filled: int
    example: tuple[str, str]


@dataclass(frozen=True)
class ListCheck:
    """What a list looks like to Matchbit.

    Attributes:
        path: the file.
        headings: its columns.
        rows: below the heading.
        empty: for each heading the number of rows with an empty cell under it.
        columns: one check for each.
        rules: one check for each.
        usable: rows that at least one rule can use.
        findings: what a person should know, gravest first.
        missing: why some rules cannot be used at all; a sentence for each.
    """

    path: str
    headings: tuple[str, ...]
    rows: int
    empty: dict[str, int]
    columns: tuple[ColumnCheck, ...]
    rules: tuple[RuleCheck, ...]
    usable: int
    findings: tuple[Finding, ...]
    missing: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """As one JSON object."""
        return asdict(self) | {"findings": [f.to_json() for f in self.findings]}


def check_list(opened: ReadableList, rules: Sequence[Rule], country: str, table: Cells | None = None) -> ListCheck:
    """Read a whole list as a session with these rules, and perhaps a table, would. Offline.

    Raises:
        InputError: the list cannot be read.
    """
    keys, findings = make_keys(opened, os.urandom(32), rules, country, table=table)
    filled = opened.survey.filled
    usable = np.any([keys.usable(k) for k in range(len(rules))], axis=0)
    return ListCheck(
        path=str(opened.path),
        headings=opened.source.headings,
        rows=keys.rows,
        empty={h: keys.rows - n for h, n in zip(opened.source.headings, filled, strict=True)},
        columns=tuple(_columns(opened, filled, country)),
        rules=tuple(_rule(opened, keys, k, rule, country) for k, rule in enumerate(rules)),
        usable=int(usable.sum()),
        findings=judged(opened, keys, findings, 2 * keys.rows),
        missing=keys.missing,
    )


def judged(opened: ReadableList, keys: Keys, findings: Sequence[Finding], other_rows: int) -> tuple[Finding, ...]:
    """All that a person should know of a list, or decide before it is used: what stops, what warns, what else.

    Args:
        opened: the list.
        keys: its keys.
        findings: that came with them.
        other_rows: rows of all others together, as far as known.
    """
    of_file = [
        f if not f.column or f.column in keys.used else replace(f, severity=Severity.NOTE)
        for f in opened.source.findings
    ]
    order = list(Severity)[::-1]
    found = [*of_file, *opened.columns.findings, *findings, *_untyped(opened, keys), *_judge(keys, other_rows)]
    return tuple(sorted(found, key=lambda f: order.index(f.severity)))


def _untyped(opened: ReadableList, keys: Keys) -> Iterator[Finding]:
    """Columns of document numbers of which nothing says what kind they are, where an exact rule compares kinds."""
    compares = any(FieldUse("id_number") in rule.uses for rule in keys.rules if rule.similar is None)
    if not compares or "id_type" in opened.columns.constants or opened.columns.of("id_type"):
        return
    for column in opened.columns.of("id_number"):
        if not column.id_type and opened.survey.filled[column.index]:
            yield Finding(Severity.WARNING, UNTYPED, column.heading)


def _judge(keys: Keys, other_rows: int) -> Iterator[Finding]:
    """What a list's rows and the session's rules bring up."""
    for name in keys.states:
        yield from _notes(keys, name)
    for name, repeats in keys.repeats.items():
        for count, rows in repeats:
            if count > MANY_ROWS[0]:
                text = "one value stands on many rows: is it a placeholder, or somebody who registers for others?"
                severity = Severity.STOP if count > MANY_ROWS[1] else Severity.WARNING
                yield Finding(severity, text, keys.headings[name], count, rows)
    for k, rule in enumerate(keys.rules):
        lacking = np.flatnonzero(~keys.usable(k))
        alike, read = rule.similar, keys.states
        has_columns = has_block(alike, read) if alike else all(use.field in read for use in rule.uses)
        if has_columns and keys.rows >= MIN_ROWS and len(lacking) > MOST * keys.rows:
            text = f"Rule `{rule.name}` ({rule.shown}) cannot be used for {len(lacking) / keys.rows:.0%} of the rows."
            yield Finding(Severity.STOP, text, "", len(lacking), _first(keys, lacking))
        weak = rule.weakness(keys.rows, other_rows)
        if weak:
            yield Finding(Severity.WARNING, weak)
    if keys.cells is not None and keys.table is not None:
        yield from _counted(keys, keys.cells)
        yield from _told(keys, keys.cells, keys.table)


def _counted(keys: Keys, cells: Array) -> Iterator[Finding]:
    """Rows that are not one person each in the session's table, which has one rule."""
    of = keys.of_rule[0]
    several = np.flatnonzero(np.bincount(of.rows, minlength=keys.rows) > 1)
    if len(several):
        text = "rows with several values under the session's rule, of which each is counted as a person in the table."
        yield Finding(Severity.WARNING, text, "", len(several), _first(keys, several))
    other = np.unique(of.rows[cells[of.rows] != cells[keys.first_rows(0)[of.places]]])
    if len(other):
        text = "rows of people whom an earlier row puts in another cell of the table: the first row counts."
        yield Finding(Severity.WARNING, text, "", len(other), _first(keys, other))


def _told(keys: Keys, cells: Array, table: Statistics) -> Iterator[Finding]:
    """Categories of which most of the list's values are none of the session's, maybe because they are other codes."""
    blank = [1 + NOTES.index(note) for note in BLANK]
    for category, kinds in table.kinds(cells):
        if category.field not in keys.states:
            continue  # that the column is missing stops already
        has_value = ~np.isin(keys.states[category.field] & ~np.uint8(NO_VALUE), blank)
        agreed = category.labels[:-1]
        other = np.flatnonzero(has_value & (kinds == len(agreed)))
        number = int(has_value.sum())
        if number >= MIN_ROWS and len(other) > MOST * number:
            severity = Severity.STOP if len(other) == number else Severity.WARNING
            text = (
                f"{len(other) / number:.0%} of the rows with a value are `{OTHER}` in the session's table: of "
                f"`{shown(category.heading)}` the agreed values are {listed(agreed)}."
            )
            yield Finding(severity, text, keys.headings[category.field], len(other), _first(keys, other))


def _first(keys: Keys, rows: Array) -> tuple[int, ...]:
    return tuple(keys.numbers[rows[:FIRST_ROWS]].tolist())


def _notes(keys: Keys, name: str) -> Iterator[Finding]:
    """One finding for each kind of fault in a field."""
    faults = keys.states[name] & ~np.uint8(NO_VALUE)
    for fault in np.unique(faults[faults > 0]).tolist():
        note = NOTES[fault - 1]
        severity = SEVERITY.get(note, Severity.WARNING)
        if severity:
            rows = np.flatnonzero(faults == fault)
            yield Finding(severity, f"{note.value}.", keys.headings[name], len(rows), _first(keys, rows))


def _columns(opened: ReadableList, filled: Sequence[int], country: str) -> Iterator[ColumnCheck]:
    """How each column reads, with a cell for example."""
    stands_for = {c.index: (name, c) for name, found in opened.columns.fields.items() for c in found}
    sample = next(opened.source.batches())
    for k, heading in enumerate(opened.source.headings):
        cells = sample.columns.column(k).to_pylist()
        row = next((r for r, cell in enumerate(cells) if cell.strip()), None)
        name, column = stands_for.get(k, ("", None))
        compared = ""
        if column and row is not None:
            normals, codes = fields.source_of(opened, name, [column], country).read(sample)
            normal = normals[codes[row]]
            compared = "; ".join(normal.values) or f"not: it {normal.note.value if normal.note else ''}"
        example = ("" if row is None else shown(cells[row], EXAMPLE_CHARS), shown(compared, EXAMPLE_CHARS))
        yield ColumnCheck(heading, name, column.how if column else "", filled[k], example)


def _rule(opened: ReadableList, keys: Keys, k: int, rule: Rule, country: str) -> RuleCheck:
    usable = keys.usable(k)
    return RuleCheck(
        rule.name,
        rule.fields,
        int(usable.sum()),
        _first(keys, np.flatnonzero(~usable)),
        len(np.unique(keys.twins(k)[:, 0])),
        _example(opened, keys, rule, country) if len(keys.of_rule[k].rows) else (),
    )


def _example(opened: ReadableList, keys: Keys, rule: Rule, country: str) -> tuple[str, ...]:
    """The first usable row of the first batch, as it is compared; under a similar rule, what it has of the fields."""
    batch, some = next(opened.source.batches()), all if rule.similar is None else any
    uses = [use for use in rule.uses if use.field in keys.states]
    columns = [(use, fields.source(opened, use.field, "", country).read(batch)) for use in uses]
    for row in range(len(batch.numbers)):
        values = [[v for v in map(use.apply, f.normals[f.codes[row]].values) if v] for use, f in columns]
        if some(values):
            return tuple(v[0] for v in values if v)
    return ()
