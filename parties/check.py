"""A look at a list before it is used: how columns and rows read, what is unusable, what a person must decide."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from operator import itemgetter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mpc.replicated import Array
from parties import fields
from parties.columns import Column
from parties.fields import ReadableList
from parties.findings import FIRST_ROWS, Finding, Severity
from parties.keys import NO_VALUE, NOTES, Keys, make_keys
from parties.normalise.notes import Note
from parties.rules import Rule

MIN_ROWS = 20
"""A list or a part of it with fewer rows is not judged by its shares."""
MOST = 0.5
"""A rule that more of the rows cannot use, or a result that more of the rows match, stops for a person."""
MANY_ROWS = (20, 100)
"""A phone or a number on so many rows is reported, and stops for a person."""
USUAL = 0.8
"""A length that so many numbers of a column have is the column's usual one."""
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

    def to_text(self) -> str:
        """For people."""
        from parties.report import table  # noqa: PLC0415 - report shows checks too

        lines = [f"{self.path}: {self.rows:,} rows, {self.usable:,} of them can be compared.", ""]
        columns = [(c.heading, c.stands_for or "-", c.how or "-", c.filled, *c.example) for c in self.columns]
        lines += [table(("column", "stands for", "found by", "filled", "for example", "compared as"), columns), ""]
        rules = [(r.name, r.usable, self.rows - r.usable, r.repeated, " | ".join(r.example)) for r in self.rules]
        lines += [table(("rule", "usable rows", "unusable", "repeat others", "compared as, for example"), rules)]
        lines += ["", *(finding.to_text() for finding in self.findings)]
        return "\n".join(lines).rstrip()


def check_list(opened: ReadableList, rules: Sequence[Rule], country: str) -> ListCheck:
    """Read a whole list as a session with these rules would. Offline.

    Raises:
        InputError: the list cannot be read.
    """
    keys, findings = make_keys(opened, os.urandom(32), rules, country)
    judged = [*findings, *judge(opened, keys, rules, 2 * keys.rows)]
    filled = _filled(opened)
    usable = np.any([keys.usable(k) for k in range(len(rules))], axis=0)
    return ListCheck(
        path=str(opened.path),
        headings=opened.source.headings,
        rows=keys.rows,
        empty={h: keys.rows - n for h, n in zip(opened.source.headings, filled, strict=True)},
        columns=tuple(_columns(opened, filled, country)),
        rules=tuple(_rule(opened, keys, k, rule, country) for k, rule in enumerate(rules)),
        usable=int(usable.sum()),
        findings=gravest_first([*opened.findings, *judged]),
        missing=keys.missing,
    )


def gravest_first(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """What stops before what warns before what is good to know."""
    order = list(Severity)[::-1]
    return tuple(sorted(findings, key=lambda f: order.index(f.severity)))


def judge(opened: ReadableList, keys: Keys, rules: Sequence[Rule], other_rows: int) -> list[Finding]:
    """What a person should know of a list's rows, or decide before they are used.

    Args:
        opened: the list.
        keys: its keys.
        rules: of the session.
        other_rows: rows of all others together, as far as known.
    """
    findings = [f for name in keys.states for f in _notes(keys, name)]
    for name, repeats in keys.repeats.items():
        for count, rows in repeats:
            if count > MANY_ROWS[0]:
                text = "one value stands on many rows: is it a placeholder, or somebody who registers for others?"
                severity = Severity.STOP if count > MANY_ROWS[1] else Severity.WARNING
                findings.append(Finding(severity, text, keys.headings[name], count, rows))
    for k, rule in enumerate(rules):
        lacking = np.flatnonzero(~keys.usable(k))
        if keys.rows >= MIN_ROWS and len(lacking) > MOST * keys.rows:
            text = f"Rule `{rule.name}` ({rule.shown}) cannot be used for {len(lacking) / keys.rows:.0%} of the rows."
            findings.append(Finding(Severity.STOP, text, "", len(lacking), _first(keys, lacking)))
        weak = rule.weakness(keys.rows, other_rows)
        findings += [Finding(Severity.WARNING, weak)] if weak else []
    return [*findings, *_lost_zeros(opened), *_unclear_sexes(opened)]


def _first(keys: Keys, rows: Array) -> tuple[int, ...]:
    return tuple(keys.numbers[rows[:FIRST_ROWS]].tolist())


def _notes(keys: Keys, name: str) -> Iterator[Finding]:
    """One finding for each kind of fault in a field."""
    states = keys.states[name]
    for code in np.unique(states[states > 0]).tolist():
        note = NOTES[(code & ~NO_VALUE) - 1]
        severity = SEVERITY.get(note, Severity.WARNING)
        if severity:
            rows = np.flatnonzero(states == code)
            yield Finding(severity, f"{note.value}.", keys.headings[name], len(rows), _first(keys, rows))


def _lost_zeros(opened: ReadableList) -> Iterator[Finding]:
    """Numbers one digit shorter than almost all others of their column, which begin with 0 here and there."""
    for column in opened.columns.of("id_number"):
        rows: dict[int, list[int]] = {}  # of the numbers of each length
        lengths: Counter[int] = Counter()
        with_zero = set()
        for numbers, cells in _trimmed(opened, column):
            digits = pc.match_substring_regex(cells, r"^\d+$").to_numpy(zero_copy_only=False)
            of_row = np.where(digits, pc.utf8_length(cells).to_numpy(zero_copy_only=False), 0)
            zero = pc.starts_with(cells, "0").to_numpy(zero_copy_only=False)
            with_zero |= set(of_row[zero].tolist())
            for length in np.unique(of_row[digits]).tolist():
                lengths[length] += int(np.count_nonzero(of_row == length))
                rows[length] = (rows.get(length, []) + numbers[of_row == length][:FIRST_ROWS].tolist())[:FIRST_ROWS]
        usual, count = max(lengths.items(), key=itemgetter(1), default=(0, 0))
        if lengths[usual - 1] and usual in with_zero and count >= USUAL * lengths.total():
            text = (
                f"numbers of {usual - 1} digits where almost all have {usual}, some with a 0 in front: a spreadsheet "
                "probably took the zero away. Numbers are compared without zeros in front, so they match all the same."
            )
            yield Finding(Severity.WARNING, text, column.heading, lengths[usual - 1], tuple(rows[usual - 1]))


def _unclear_sexes(opened: ReadableList) -> Iterator[Finding]:
    """A column where M may be mujer: it stands beside H."""
    for column in opened.columns.of("sex"):
        words: Counter[str] = Counter()
        for _, cells in _trimmed(opened, column):
            for seen in pc.value_counts(pc.utf8_lower(cells)).to_pylist():
                words[seen["values"]] += seen["counts"]
        if words["h"] and words["m"]:
            text = (
                "M stands beside H: if these are hombre and mujer, write mujer instead of M, since M is read as male."
            )
            yield Finding(Severity.STOP, text, column.heading, words["m"])


def _trimmed(opened: ReadableList, column: Column) -> Iterator[tuple[Array, pa.StringArray]]:
    """A column's cells without spaces around them, with the rows' numbers, batch by batch."""
    for batch in opened.source.batches():
        yield batch.numbers, pc.utf8_trim_whitespace(batch.columns.column(column.index))


def _filled(opened: ReadableList) -> list[int]:
    """For each column the rows that have something in it."""
    filled = [0] * len(opened.source.headings)
    for batch in opened.source.batches():
        for k, cells in enumerate(batch.columns.columns):
            filled[k] += pc.sum(pc.not_equal(pc.utf8_trim_whitespace(cells), "")).as_py() or 0
    return filled


def _columns(opened: ReadableList, filled: Sequence[int], country: str) -> Iterator[ColumnCheck]:
    """How each column reads, with a cell for example."""
    stands_for = {c.index: (name, c.how) for name, found in opened.columns.fields.items() for c in found}
    sample = next(opened.source.batches(), None)
    sources = {name: fields.source(opened, name, "", country) for name in opened.columns.fields}
    for k, heading in enumerate(opened.source.headings):
        name, how = stands_for.get(k, ("", ""))
        cells = sample.columns.column(k).to_pylist() if sample else []
        row = next((r for r, cell in enumerate(cells) if cell.strip()), None)
        example = ("", "")
        if row is not None and sample:
            compared = ""
            if name:
                normals, codes = sources[name].read(sample)
                normal = normals[codes[row]]
                compared = "; ".join(normal.values) or f"not: it {normal.note.value if normal.note else ''}"
            example = (_short(cells[row]), _short(compared))
        yield ColumnCheck(heading, name, how, filled[k], example)


def _short(text: str) -> str:
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))
    return line if len(line) <= 28 else f"{line[:27]}…"


def _rule(opened: ReadableList, keys: Keys, k: int, rule: Rule, country: str) -> RuleCheck:
    of, usable = keys.of_rule[k], keys.usable(k)
    again = np.unique(of.rows[keys.first_rows(k) != of.rows])
    return RuleCheck(
        rule.name,
        rule.fields,
        int(usable.sum()),
        _first(keys, np.flatnonzero(~usable)),
        len(again),
        _example(opened, rule, country) if len(of.rows) else (),
    )


def _example(opened: ReadableList, rule: Rule, country: str) -> tuple[str, ...]:
    """The first usable row of the first batch, as it is compared."""
    batch = next(opened.source.batches())
    columns = [(use, fields.source(opened, use.field, "", country).read(batch)) for use in rule.uses]
    for row in range(len(batch.numbers)):
        values = [[v for v in map(use.apply, f.normals[f.codes[row]].values) if v] for use, f in columns]
        if all(values):
            return tuple(v[0] for v in values)
    return ()
