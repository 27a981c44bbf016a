"""Lists in XLSX, as Excel and others write it: values are read, and columns are added to the same workbook."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    SheetTypeEnum,
    SheetVisibleEnum,
    load_workbook,
)

from parties import columns, xlsxparts
from parties.errors import InputError
from parties.findings import FIRST_ROWS, Finding, Severity
from parties.sheet import Head, ListOptions, SourceList, find_heading, first_rows, head_at, is_blank
from parties.xlsxparts import Extent
from parties.xlsxpatch import MAX_COLUMNS, patched

WHOLE = 1e15
"""Excel keeps 15 digits: larger whole numbers are shown as rounded ones."""
Merge = tuple[tuple[int, int], tuple[int, int]]
"""Row and column of the first and of the last cell, counted from 0."""


@dataclass(frozen=True)
class XlsxList(SourceList):
    """A list in a workbook.

    Attributes:
        sheet: as it was read.
        part: where it is in the file.
        right: number of the rightmost column in use.
    """

    sheet: CalamineSheet
    part: str
    right: int

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """The rows below the headings, blank ones left out: number, and a cell for each heading."""
        return (
            (number, cells)
            for number, cells in islice(enumerate(_rows(self.sheet), 1), self.head.last, None)
            if not is_blank(cells)
        )

    def _write(self, file: BinaryIO, headings: list[str], cells: Iterator[Sequence[str]]) -> None:
        if self.right + len(headings) > MAX_COLUMNS:
            raise InputError(f"{self.path} has no room for {len(headings)} columns more: Excel ends at column XFD.")
        with xlsxparts.opened(self.path) as archive, ZipFile(file, "w", ZIP_DEFLATED) as out:
            for part in archive.infolist():
                content = xlsxparts.pieces(archive, part)
                if part.filename == self.part:
                    content = patched(content, self.path, self.right, len(headings), self._added(headings, cells))
                with out.open(_like(part), "w", force_zip64=part.file_size > xlsxparts.MAX_BYTES // 4) as copy:
                    copy.writelines(content)

    def _added(self, headings: list[str], cells: Iterator[Sequence[str]]) -> Iterator[tuple[int, Sequence[str]]]:
        yield self.head.row, headings
        for (number, _), more in zip(self.rows(), cells, strict=True):
            yield number, more


def _like(part: ZipInfo) -> ZipInfo:
    copy = ZipInfo(part.filename, part.date_time)
    copy.compress_type, copy.external_attr, copy.comment = part.compress_type, part.external_attr, part.comment
    return copy


def open_xlsx(path: Path, options: ListOptions, findings: Sequence[Finding]) -> XlsxList:
    """Choose a workbook's sheet and read it.

    Args:
        path: the file.
        options: what its owner states of it.
        findings: what is known of it already.

    Raises:
        InputError: it is damaged, unsafe to open, or has no visible sheet with headings and rows.
    """
    with xlsxparts.opened(path) as archive:
        xlsxparts.check(archive)
        try:
            chosen, others = _choose(path, archive, load_workbook(path), options.sheet)
        except CalamineError as error:
            raise InputError(f"{path} is a damaged workbook ({error}). Open it in Excel and save it again.") from None
        suffix = ".xlsm" if xlsxparts.has_macros(archive) else ".xlsx"
    head = _head(path, chosen.sheet, options.heading_row)
    found = (
        *findings,
        *_tell_choice(chosen.name, others),
        *head.findings(options.heading_row),
        *_tell_missing(head, chosen.extent),
        *_tell_merged(head, chosen.merges),
    )
    right = max([chosen.extent.columns, len(head.headings), *(last + 1 for _, (_, last) in chosen.merges)])
    source = XlsxList(path, suffix, head, found, chosen.sheet, chosen.part, right)
    if next(source.rows(), None) is None:
        raise InputError(f"{path} has no rows below its heading; there is nothing to compare.")
    return source


@dataclass(frozen=True)
class _Sheet:
    name: str
    part: str
    extent: Extent
    sheet: CalamineSheet

    @property
    def merges(self) -> list[Merge]:
        return _merges(self.sheet)


def _choose(path: Path, archive: ZipFile, book: CalamineWorkbook, stated: str) -> tuple[_Sheet, list[str]]:
    """The stated sheet, else the visible one with most headings that Matchbit knows; and the others' names."""
    parts, names = xlsxparts.sheet_parts(archive), book.sheet_names
    if len(parts) != len(names):
        raise BadZipFile("sheets that are told differently")

    def read(index: int) -> _Sheet:
        extent = xlsxparts.measure(archive, parts[index])  # before the sheet is held in memory
        return _Sheet(names[index], parts[index], extent, book.get_sheet_by_index(index))

    if stated:
        if stated not in names:
            raise InputError(f"{path} has no sheet `{stated}`. Its sheets are: {', '.join(names)}.")
        return read(names.index(stated)), []
    visible = [
        index
        for index, sheet in enumerate(book.sheets_metadata)
        if sheet.visible == SheetVisibleEnum.Visible and sheet.typ == SheetTypeEnum.WorkSheet
    ]
    best, most, others = None, -1, []
    for sheet in map(read, visible):
        if sheet.sheet.end is None:
            continue
        known = _known_headings(path, sheet.sheet)
        others.append(sheet.name)
        if known > most:
            best, most = sheet, known
    if best is None:
        raise InputError(
            f"{path} has no visible sheet with a heading. Its sheets are: {', '.join(names)}. Make the list's sheet "
            'visible, or state it in the --map file: [list] sheet = "…"'
        )
    return best, [name for name in others if name != best.name]


def _known_headings(path: Path, sheet: CalamineSheet) -> int:
    with suppress(InputError):
        return columns.recognised(_head(path, sheet, 0).headings)
    return -1


def _head(path: Path, sheet: CalamineSheet, stated: int) -> Head:
    """The headings; where a merged cell joins rows of headings, the lowest of them, completed from above."""
    own = list(islice(_rows(sheet), first_rows(stated)))
    merges = [merge for merge in _merges(sheet) if merge[0][0] < len(own)]
    rows = _filled(own, merges)
    row = find_heading(path, rows, stated)
    lows = (low + 1 for (top, _), (low, _) in merges if top == row - 1 and low < len(own) and not is_blank(own[low]))
    lowest = row if stated else max(lows, default=row)
    highest = min((top + 1 for (top, _), (low, _) in merges if low == lowest - 1), default=lowest)
    for above in range(lowest - 1, highest - 1, -1):
        rows[lowest - 1] = [low or high for low, high in zip(rows[lowest - 1], rows[above - 1], strict=True)]
    return head_at(rows, lowest)


def _filled(rows: list[list[str]], merges: list[Merge]) -> list[list[str]]:
    """The rows with the text of merged cells in all cells that they cover, numbered from the second column on."""
    filled = [list(row) for row in rows]
    for (top, left), (low, right) in merges:
        text = rows[top][left] if left < len(rows[top]) else ""
        for row in filled[top : low + 1] if text else ():
            if is_blank(row):
                continue
            for column in range(left, min(right + 1, len(row))):
                row[column] = row[column] or (text if column == left else f"{text} ({column - left + 1})")
    return filled


def _merges(sheet: CalamineSheet) -> list[Merge]:
    return sheet.merged_cell_ranges or []


def _tell_choice(name: str, others: list[str]) -> list[Finding]:
    if not others:
        return []
    text = (
        f"The list is taken from the sheet `{name}`; there are also: {', '.join(others)}. If it is another one, state "
        'it in the --map file: [list] sheet = "…"'
    )
    return [Finding(Severity.NOTE, text)]


def _tell_missing(head: Head, extent: Extent) -> list[Finding]:
    """Formulas whose results a program has not written: they are read as empty."""
    text = "has formulas whose results are not in the file; open it in Excel, save it again and use that file"
    return _by_column(head, Severity.STOP, text, extent.without_value)


def _tell_merged(head: Head, merges: list[Merge]) -> list[Finding]:
    """Merged cells among the data: only the uppermost row has the value."""
    places: dict[int, list[int]] = {}
    for (top, left), (low, _) in merges:
        if low > top >= head.last:
            places.setdefault(left + 1, []).extend(range(top + 2, low + 2))
    text = "has cells that are merged with the one above and so are read as empty; unmerge them and fill them"
    return _by_column(head, Severity.WARNING, text, places)


def _by_column(head: Head, severity: Severity, text: str, places: Mapping[int, Sequence[int]]) -> list[Finding]:
    """One finding for each column, counted from 1, with rows below the headings."""
    below = {column: sorted(row for row in rows if row > head.last) for column, rows in sorted(places.items())}
    return [
        Finding(severity, text, "".join(head.headings[column - 1 : column]), len(rows), tuple(rows[:FIRST_ROWS]))
        for column, rows in below.items()
        if rows
    ]


def _rows(sheet: CalamineSheet) -> Iterator[list[str]]:
    """All rows of a sheet from its first row and column on, as text."""
    left = [""] * (sheet.start[1] if sheet.start else 0)
    for cells in sheet.iter_rows():
        yield [*left, *(cell if type(cell) is str else _TEXT[type(cell)](cell) for cell in cells)]


def _number(value: float) -> str:
    """A number without `.0`, or as `1.23E+15` where digits are lost."""
    if abs(value) >= WHOLE:
        return np.format_float_scientific(value, trim="-", exp_digits=2).upper()
    return str(int(value)) if value == int(value) else repr(value).upper()


def _moment(value: datetime) -> str:
    """A day, with the time where it has one."""
    return (value.date() if value.time() == time() else value).isoformat()


_TEXT: dict[type, Callable[[Any], str]] = {
    str: str,
    bool: lambda value: str(value).upper(),
    int: _number,
    float: _number,
    date: date.isoformat,
    datetime: _moment,
    time: time.isoformat,
    timedelta: str,
}
