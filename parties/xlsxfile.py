"""Lists in XLSX, as Excel and others write it: values are read, and columns are added to the same workbook."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
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

from parties import columns, xlsxextent, xlsxparts
from parties.errors import InputError
from parties.findings import FIRST_ROWS, Finding, Severity
from parties.sheet import MAX_COLUMNS, Head, ListOptions, SourceList, find_heading, first_rows, head_at, is_blank
from parties.shown import NAMES, listed, shown
from parties.xlsxextent import Extent, column_letters
from parties.xlsxpatch import patched

MAX_MERGED = 1 << 22
WHOLE = 1e15
"""Excel keeps 15 digits: larger whole numbers are shown as rounded ones."""
Merge = tuple[tuple[int, int], tuple[int, int]]
"""Row and column of the first and of the last cell, counted from 0."""
_WITHOUT_VALUE = "has formulas whose results are not in the file; open it in Excel, save it again and use that file"
_ERRORS = "has errors such as #N/A, which are read as empty; correct the formulas and save again"
_MERGED = "has cells that are merged with the one above and so are read as empty; unmerge them and fill them"


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
        return _data(self.path, self.sheet, self.head)

    def _write(self, file: BinaryIO, headings: list[str], cells: Iterator[Sequence[str]]) -> None:
        if self.right + len(headings) > MAX_COLUMNS:
            raise InputError(f"{self.path} has no room for the result's columns: Excel ends at column XFD.")
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
        with _told(BadZipFile):
            chosen, told = _choose(path, archive, load_workbook(path), options)
        suffix = ".xlsm" if xlsxparts.has_macros(archive) else ".xlsx"
    head = _head(path, chosen.sheet, options.heading_row)
    head.check(path, options.heading_row)
    found = (
        *findings,
        *told,
        *head.findings(options.heading_row),
        *_by_column(head, Severity.STOP, _WITHOUT_VALUE, chosen.extent.without_value),
        *_by_column(head, Severity.WARNING, _ERRORS, chosen.extent.errors),
        *_by_column(head, Severity.WARNING, _MERGED, _covered(chosen, head)),
        *_tell_hidden(path, chosen, head),
    )
    right = max([chosen.extent.columns, len(head.headings), *(last + 1 for _, (_, last) in chosen.merges)])
    source = XlsxList(path, suffix, head, found, chosen.sheet, chosen.part, right)
    if next(source.rows(), None) is None:
        raise InputError(f"{path} has no rows below its heading; there is nothing to compare.")
    return source


@contextmanager
def _told(refusal: Callable[[], Exception]) -> Iterator[None]:
    """What goes wrong in the program that reads workbooks is told so; its own words may hold values."""
    try:
        yield
    except (CalamineError, OverflowError):
        raise refusal() from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # which is no Exception, and of no module
            raise
        raise refusal() from None


@dataclass(frozen=True)
class _Sheet:
    name: str
    part: str
    extent: Extent
    sheet: CalamineSheet

    @property
    def merges(self) -> list[Merge]:
        return _merges(self.sheet)

    @property
    def merged(self) -> int:
        """How many cells are gone through for ranges of merged cells: those that lie on one another take long."""
        lengths = ((min(low + 1, self.extent.rows) - top) for (top, _), (low, _) in self.merges)
        widths = ((min(right + 1, self.extent.columns) - left) for (_, left), (_, right) in self.merges)
        return sum(max(0, length) * max(0, width) for length, width in zip(lengths, widths, strict=True))


def _choose(path: Path, archive: ZipFile, book: CalamineWorkbook, options: ListOptions) -> tuple[_Sheet, list[Finding]]:
    """The stated sheet, else the visible one with most headings that Matchbit knows; and what to tell of the choice."""
    sheets, names = xlsxparts.sheet_parts(archive), book.sheet_names
    if [name for name, _ in sheets] != names:
        raise BadZipFile("sheets that are told differently")

    merged = 0

    def read(index: int, extent: Extent) -> _Sheet:
        nonlocal merged
        sheet = _Sheet(*sheets[index], extent, book.get_sheet_by_index(index))
        merged += sheet.merged
        if merged > MAX_MERGED:
            raise InputError(f"{path} has more than {MAX_MERGED:,} merged cells; unmerge them and fill them.")
        return sheet

    if options.sheet:
        if options.sheet not in names:
            raise InputError(f"{path} has no sheet `{shown(options.sheet)}`. Its sheets are: {listed(names)}.")
        index = names.index(options.sheet)
        return read(index, *xlsxextent.measure(archive, [sheets[index][1]])), []
    lists = [(k, sheet.visible) for k, sheet in enumerate(book.sheets_metadata) if sheet.typ == SheetTypeEnum.WorkSheet]
    hidden = [names[k] for k, visible in lists if visible != SheetVisibleEnum.Visible]
    visible_ones = [k for k, visible in lists if visible == SheetVisibleEnum.Visible]
    extents = xlsxextent.measure(archive, [sheets[k][1] for k in visible_ones])  # before one is held in memory
    best, known = None, dict[str, int]()
    for sheet in map(read, visible_ones, extents):
        if sheet.sheet.end is not None:
            known[sheet.name] = _known_headings(path, sheet.sheet, options.heading_row)
            if best is None or known[sheet.name] > known[best.name]:
                best = sheet
        del sheet  # one that is not the best is not held while the next one is read
    if best is None or (hidden and known[best.name] < 0):
        kind = "hidden sheets" if hidden else "sheets"
        raise InputError(
            f"{path} has no visible sheet with a heading and rows. Its {kind} are: {listed(hidden or names)}. Make "
            'the list\'s sheet visible, or state it in the --map file: [list] sheet = "…"'
        )
    return best, _tell_choice(best.name, known)


def _known_headings(path: Path, sheet: CalamineSheet, stated: int) -> int:
    """How many headings of a sheet Matchbit knows; -1 where it has none, or no row below them."""
    with suppress(InputError):
        head = _head(path, sheet, stated)
        if next(_data(path, sheet, head), None):
            return columns.recognised(head.headings)
    return -1


def _head(path: Path, sheet: CalamineSheet, stated: int) -> Head:
    """The headings; where a merged cell joins rows of headings, the lowest of them, completed from above."""
    own = list(islice(_rows(path, sheet), first_rows(stated)))
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


def _tell_choice(name: str, known: Mapping[str, int]) -> list[Finding]:
    """That there are other sheets than the chosen one, by their known headings; a person decides between equals."""
    *equals, last = [f"`{shown(sheet)}`" for sheet, count in known.items() if count == known[name]]
    if equals and known[name] >= 2:
        text = (
            f"{', '.join(equals[:NAMES])} and {last} {'all' if equals[1:] else 'both'} look like the list; state "
            '[list] sheet = "…" in a --map file, or put them into one sheet.'
        )
        return [Finding(Severity.STOP, text)]
    others = [sheet for sheet in known if sheet != name]
    if not others:
        return []
    text = (
        f"The list is taken from the sheet `{shown(name)}`; there are also: {listed(others)}. If it is another one, "
        'state it in the --map file: [list] sheet = "…"'
    )
    return [Finding(Severity.NOTE, text)]


def _covered(chosen: _Sheet, head: Head) -> dict[int, array[int]]:
    """Column, counted from 1 → rows whose cells are merged with those above, which alone have the value."""
    places: dict[int, array[int]] = {}
    for (top, left), (low, right) in chosen.merges:
        if low > top >= head.last:
            rows = range(top + 2, min(low + 1, chosen.extent.rows) + 1)
            for column in range(left + 1, min(right + 1, len(head.headings)) + 1):
                places.setdefault(column, array("q")).extend(rows)
    return places


def _tell_hidden(path: Path, chosen: _Sheet, head: Head) -> list[Finding]:
    """Rows of data that are hidden."""
    hidden = set(chosen.extent.hidden)
    rows = [number for number, _ in _data(path, chosen.sheet, head) if number in hidden] if hidden else []
    text = "hidden rows take part like all others; delete them if they should not."
    return [Finding(Severity.WARNING, text, "", len(rows), tuple(rows[:FIRST_ROWS]))] if rows else []


def _by_column(head: Head, severity: Severity, text: str, places: Mapping[int, array[int]]) -> list[Finding]:
    """One finding for each column, counted from 1, with rows below the headings.

    A column without a heading is named in the sentence; without a tag either, no rule can use it.
    """
    findings = []
    for column, all_rows in sorted(places.items()):
        rows = np.sort(np.array(all_rows, np.int64))
        rows = rows[rows > head.last]
        if not len(rows):
            continue
        heading, tag = ("".join(names[column - 1 : column]) for names in (head.headings, head.tags))
        found = Finding(severity, text, heading, len(rows), tuple(rows[:FIRST_ROWS].tolist()))
        if not heading.strip():
            grave = severity if tag.strip() else Severity.NOTE
            found = replace(found, severity=grave, column="", text=f"column {column_letters(column)} {text}")
        findings.append(found)
    return findings


def _data(path: Path, sheet: CalamineSheet, head: Head) -> Iterator[tuple[int, list[str]]]:
    rows = islice(enumerate(_rows(path, sheet), 1), head.last, None)
    return ((number, cells) for number, cells in rows if not is_blank(cells))


def _rows(path: Path, sheet: CalamineSheet) -> Iterator[list[str]]:
    """All rows of a sheet from its first row and column on, as text."""
    left = [""] * (sheet.start[1] if sheet.start else 0)
    number = 0

    def beyond() -> InputError:
        text = "has a date or a length of time that is beyond all calendars; correct it, or make it plain text."
        return InputError(f"{path}, row {number + 1} {text}")

    with _told(beyond):
        for number, cells in enumerate(sheet.iter_rows(), 1):  # noqa: B007 (told where the next one fails)
            yield [*left, *(cell if type(cell) is str else _TEXT[type(cell)](cell) for cell in cells)]


def _number(value: float) -> str:
    """A number without `.0`, or as `1.23E+15` where digits are lost."""
    if not math.isfinite(value):
        return repr(value).upper()
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
