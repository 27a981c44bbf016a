"""What lists of every format have in common: finding the headings, batches of columns, writing with columns more."""

from __future__ import annotations

import re
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from mpc.replicated import Array
from parties import columns, normalise
from parties.errors import InputError
from parties.findings import Finding, Severity
from parties.formulas import plain
from parties.normalise import Context, dates

BATCH_ROWS = 1 << 14
"""Most rows of a batch."""
HEAD_ROWS = 20
"""Among so many rows the headings are looked for."""
MAX_HEADING_ROW = 100
"""Where headings may be stated to be."""
MAX_COLUMNS = 16_384
"""As in Excel."""
BATCH_CHARS = 1 << 26
"""A batch with more is not made larger, however few rows it has."""
_LONG_NUMBER = re.compile(r"(?:\W*[^\W\d_]{1,3})?(?:[\W_]*\d){6,}[\W_]*")
"""Of a phone, a document or a date: six digits or more, with separators, and up to three letters in front."""


@dataclass(frozen=True)
class ListOptions:
    """What a person states of a list, in the map file's `[list]` table; what is empty is found out.

    Attributes:
        encoding: of a CSV file, as Python names it.
        delimiter: of a CSV file.
        sheet: of a workbook.
        heading_row: number of the row of the headings, as the spreadsheet shows it; 0 when unknown.
    """

    encoding: str = ""
    delimiter: str = ""
    sheet: str = ""
    heading_row: int = 0


@dataclass(frozen=True, repr=False)
class Batch:
    """Some rows of a list, in their order.

    Attributes:
        numbers: (rows,) int64, as the spreadsheet shows them.
        columns: `rows` rows; one column of strings for each heading, without nulls.
    """

    numbers: Array
    columns: pa.RecordBatch


@dataclass(frozen=True)
class Head:
    """The rows above the data.

    Attributes:
        row: number of the row of the headings.
        headings: as written.
        tags: the row of HXL hashtags, or empty.
        last: number of the last row of them; data follow.
    """

    row: int
    headings: tuple[str, ...]
    tags: tuple[str, ...]
    last: int

    def findings(self, stated: int) -> list[Finding]:
        """What to tell where the headings were not in the first row and nobody had stated it."""
        if stated or self.row == 1:
            return []
        text = (
            f"The headings are taken from row {self.row}. If they are in another row, state it in the --map file, for "
            "example: [list] heading_row = …"
        )
        return [Finding(Severity.NOTE, text)]

    def check(self, path: Path, stated: int) -> None:
        """Refuse the values of a person in place of headings, where nobody has stated that they are headings.

        Raises:
            InputError: no heading is known, and one is a date or a long number.
        """
        if stated or self.tags or columns.recognised(self.headings) or not any(map(_is_value, self.headings)):
            return
        raise InputError(
            f"{path}: row {self.row} looks like a person and not like headings; add a row of headings, or say [list] "
            "heading_row = … in a --map file."
        )


@dataclass(frozen=True)
class SourceList(ABC):
    """A list file whose headings have been read.

    Attributes:
        path: the file.
        suffix: what a file of its format is named by, such as `.csv`.
        head: the rows above the data.
        findings: what had to be guessed or was noticed.
    """

    path: Path
    suffix: str
    head: Head
    findings: tuple[Finding, ...]

    @property
    def headings(self) -> tuple[str, ...]:
        """As written."""
        return self.head.headings

    @property
    def tags(self) -> tuple[str, ...]:
        """The row of HXL hashtags, or empty."""
        return self.head.tags

    @abstractmethod
    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """The rows below the headings, blank ones left out: number, and a cell for each heading.

        Raises:
            InputError: a row cannot be read.
        """

    def batches(self, batch_rows: int = BATCH_ROWS) -> Iterator[Batch]:
        """The same rows as columns; apostrophes that keep a cell from being a formula are taken off.

        Raises:
            InputError: a row cannot be read.
        """
        rows = self.rows()
        while some := _some(rows, batch_rows):
            numbers, cells = zip(*some, strict=True)
            arrays = [_column(values) for values in zip(*cells, strict=True)]
            yield Batch(np.array(numbers, np.int64), pa.RecordBatch.from_arrays(arrays, names=list(self.headings)))

    def write(self, out: Path, headings: Sequence[str], cells: Iterator[Sequence[str]]) -> None:
        """Write the list's own sheet with columns more, readable by its owner alone; it appears when it is whole.

        Args:
            out: the new file, of the list's own format.
            headings: of the columns; numbered where the list has one already.
            cells: of the columns, for each row of `rows` in their order.

        Raises:
            InputError: the list cannot be read again, or the file not be written.
        """
        self.check_target(out)
        with appearing(out) as file:
            self._write(file, numbered(headings, self.headings), cells)

    def check_target(self, out: Path) -> None:
        """Refuse a file that `write` could not write, before work is done for it.

        Raises:
            InputError: it is of another format, or its folder does not exist.
        """
        texts = (".csv", ".tsv", ".txt")
        if out.suffix.lower() not in (texts if self.suffix in texts else (self.suffix,)):
            raise InputError(f"{out} must end in {self.suffix}: the list is written back in its own format.")
        if not out.parent.is_dir():
            raise InputError(f"{out} cannot be written: there is no folder {out.parent}.")

    @abstractmethod
    def _write(self, file: BinaryIO, headings: list[str], cells: Iterator[Sequence[str]]) -> None:
        """Write everything into an open file."""


def is_blank(cells: Sequence[str]) -> bool:
    """Whether there is nothing but white space in a row."""
    return not any(map(str.strip, cells))


def _is_value(cell: str) -> bool:
    """Whether a cell is a long number or a whole date."""
    date = dates.date(cell, Context("", "dmy"))
    return bool(_LONG_NUMBER.fullmatch(cell)) or (bool(date.values) and date.note is None)


def first_rows(stated: int) -> int:
    """How many rows are looked at for headings and hashtags."""
    return max(HEAD_ROWS, min(stated, MAX_HEADING_ROW)) + 1


def find_heading(path: Path, rows: Sequence[Sequence[str]], stated: int) -> int:
    """Number of the row of the headings.

    It is the row above HXL hashtags; else the first one with two headings that Matchbit knows; else the first that is
    not blank.

    Args:
        path: for sentences.
        rows: the first rows.
        stated: the number where a person has stated it, or 0.

    Raises:
        InputError: there is no such row.
    """
    if stated:
        if not 0 < stated <= len(rows) or is_blank(rows[stated - 1]):
            raise InputError(f"{path} has no headings in row {stated}; correct `heading_row` in the --map file.")
        return stated
    filled = [(number, cells) for number, cells in enumerate(rows[:HEAD_ROWS], 1) if not is_blank(cells)]
    if not filled:
        raise InputError(f"{path} has no heading: its first row must name the columns.")
    tagged = next((k for k, (_, cells) in enumerate(filled) if columns.is_hxl(cells)), None)
    if tagged is not None:
        return filled[max(tagged - 1, 0)][0]
    return next((number for number, cells in filled if columns.recognised(cells) >= 2), filled[0][0])


def head_at(rows: Sequence[Sequence[str]], row: int) -> Head:
    """The headings of a row, with the row of HXL hashtags where it follows, or where the headings are hashtags."""
    headings = _plain(rows[row - 1])
    below = _plain(rows[row]) if row < len(rows) else ()
    if columns.is_hxl(below):
        tags = (*below, *("",) * len(headings))[: len(headings)]
        return Head(row, headings, tags, row + 1)
    return Head(row, headings, headings if columns.is_hxl(headings) else (), row)


def _plain(cells: Sequence[str]) -> tuple[str, ...]:
    return tuple(map(plain, cells))


def _some(rows: Iterator[tuple[int, list[str]]], most: int) -> list[tuple[int, list[str]]]:
    """The next rows, fewer than `most` where they are long."""
    some, chars = list[tuple[int, list[str]]](), 0
    while len(some) < most and chars < BATCH_CHARS and (row := next(rows, None)):
        some.append(row)
        chars += sum(map(len, row[1]))
    return some


def _column(values: Sequence[str]) -> pa.StringArray:
    return pa.array([*map(plain, values)], pa.string())


def numbered(headings: Sequence[str], own: Sequence[str]) -> list[str]:
    """Headings of new columns, numbered where the list has them already."""
    taken = {normalise.text(heading) for heading in own}
    return [next(free for free in _numbers(heading) if normalise.text(free) not in taken) for heading in headings]


def _numbers(heading: str) -> Iterator[str]:
    yield heading
    yield from (f"{heading} ({k})" for k in count(2))


@contextmanager
def appearing(path: Path) -> Iterator[BinaryIO]:
    """A new file that only its owner can read and that appears, or replaces an earlier one, when it is whole.

    Raises:
        InputError: it cannot be written.
    """
    partial = None
    try:
        # A name that nobody knows before: two writers of one file do not meet, and no link waits there.
        descriptor, name = tempfile.mkstemp(".part", "matchbit-", path.parent)
        partial = Path(name)
        with open(descriptor, "w+b") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror}.") from None
    finally:
        with suppress(OSError):
            if partial:
                partial.unlink(missing_ok=True)
