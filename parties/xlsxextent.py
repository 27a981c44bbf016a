"""How far sheets of a workbook go and how much memory they take, before any is held in memory.

A sheet is well-formed XML (`xlsxparts.check`), so a tag ends at the `>` that is in no quotes, and no tag can hide in
another one: what looks like a cell in a comment counts as one, and no cell is overlooked.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from xml.parsers.expat import ParserCreate
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np

from mpc.replicated import Array
from parties.errors import InputError
from parties.sheet import MAX_COLUMNS
from parties.xlsxparts import SHARED, SMALL_BYTES, part_named, pieces, too_large

MAX_ROWS = 1 << 20
"""As in Excel."""
MAX_MEMORY_BYTES = 1 << 32
"""Of all sheets that are read; 30 columns of text under a million rows."""
MAX_ALL_ROWS, MAX_ALL_COLUMNS = 1 << 22, 1 << 17
"""Of all sheets that are read: so many take seconds to look through, blank ones too."""
MAX_ELEMENTS = 1 << 21
"""Of a row, and of all that stands below the rows."""
MAX_TEXT_BYTES = 1 << 19
"""Of a text that cells share; Excel has 32,767 characters."""
MAX_AT_ONCE_BYTES = 1 << 28
"""Of the texts in a piece of the sheet, and so in a row."""
MAX_MERGES = 1 << 18
_PLACE, _VALUE, _TEXT = 32, 72, 60
"""Bytes that are taken for each place of the rectangle, for each cell, and for each shared text besides its own."""
_CELL_XML = 24
"""At least so much of a cell's XML is no text."""
_P = rb"""<(?:[^\s<>/!?:"']*:)?"""


def _others(name: bytes) -> bytes:
    """Attributes but this one; their values may look like anything."""
    return rb"""(?:\s+(?!%s\s*=)[^\s=<>"'/]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*+""" % name


def _place(element: bytes, form: bytes) -> re.Pattern[bytes]:
    """Finds elements: what their place says, of a form, and something where it is of no such form."""
    return re.compile(
        _P + element + rb"(?=[\s/>])" + _others(b"r") + rb"""(?:\s+r\s*=\s*["'](?:%s["']|([^<])))?""" % form
    )


_CELL = _place(b"c", b"([A-Za-z]+)([0-9]+)")
_ROW = _place(b"row", b"([0-9]+)")
_HIDDEN = re.compile(
    _P + rb"""row\b(?=[^<>]*\shidden\s*=\s*["'](?:1|true)["'])""" + _others(b"r") + rb"""\s+r\s*=\s*["']([0-9]+)["']"""
)
_ERROR = re.compile(_P + rb"""c\b(?=[^<>]*\st\s*=\s*["']e["'])([^<>]*)>""")
_WITHOUT_VALUE = re.compile(
    _P + rb"""c\b(?![^<>]*\bt\s*=\s*["']str["'])([^<>]*)>\s*"""
    + _P + rb"""f\b(?:[^<>]*/>|[^<>]*>[^<]*</(?:[^\s<>/!?:]*:)?f\s*>)\s*"""
    rb"(?:" + _P + rb"v\s*/>\s*|" + _P + rb"""v\s*></(?:[^\s<>/!?:]*:)?v\s*>\s*)?</(?:[^\s<>/!?:]*:)?c\s*>"""
)  # fmt: skip
_SHARED = re.compile(
    _P + rb"c(?=\s)" + _others(b"t") + rb"""\s+t\s*=\s*["']s["']""" + _others(b"t") + rb"\s*>"
    rb"(?:\s*" + _P + rb"""v(?:\s[^<>]*)?>\s*([0-9]{1,9})\s*</[^<>]*>\s*</[^<>]*>)?"""
)  # fmt: skip
"""A cell with a shared text, and which, where nothing else stands in it."""
_REFERENCE = re.compile(rb"""\br\s*=\s*["']([A-Za-z]+)([0-9]+)["']""")
_ROW_END = re.compile(rb"</(?:[^\s<>/!?:]*:)?row\s*>")


@dataclass
class Extent:
    """How far a sheet goes.

    Attributes:
        columns: at least as many as its cells fill, styled blank ones included.
        rows: the same for rows.
        cells: at least as many as it has.
        merges: the same for ranges of merged cells.
        without_value: column, counted from 1 → numbers of rows where a formula's result is not in the file.
        errors: the same for errors such as #N/A.
        hidden: numbers of rows that are hidden, by a filter or by hand.
    """

    columns: int = 0
    rows: int = 0
    cells: int = 0
    merges: int = 0
    without_value: dict[int, array[int]] = field(default_factory=dict)
    errors: dict[int, array[int]] = field(default_factory=dict)
    hidden: array[int] = field(default_factory=lambda: array("q"))

    @property
    def rectangle(self) -> int:
        """Bytes that its places take, blank ones too."""
        return _PLACE * self.columns * self.rows


def measure(archive: ZipFile, names: Sequence[str]) -> list[Extent]:
    """How far sheets go, styled blank cells included.

    Args:
        archive: a workbook that was checked.
        names: of the parts of all sheets that will be read.

    Raises:
        InputError: together they could not be held in memory, or looked through in seconds.
        BadZipFile: one is of a form that Excel does not write.
    """
    extents = list[Extent]()
    left = MAX_MEMORY_BYTES
    for name in names:
        extent = _extent(archive, name)
        extents.append(extent)
        own_text = max(0, archive.getinfo(name).file_size - _CELL_XML * extent.cells)
        left -= extent.rectangle + _VALUE * extent.cells + own_text
        if left < 0:
            break
    _check_all(archive, extents)
    if left < 0 or not _has_room(archive, names, sum(extent.cells for extent in extents), left):
        raise too_large(archive, "its cells are too many, or hold too much text")
    return extents


def _check_all(archive: ZipFile, extents: Sequence[Extent]) -> None:
    """Refuse sheets that would take long to look through together, each of them being no larger than a sheet can be."""
    rows, columns = sum(extent.rows for extent in extents), sum(extent.columns for extent in extents)
    if rows > MAX_ALL_ROWS or columns > MAX_ALL_COLUMNS:
        raise InputError(
            f"{archive.filename} has visible sheets with more than {MAX_ALL_ROWS:,} rows or {MAX_ALL_COLUMNS:,} "
            'columns together. State the list\'s sheet in the --map file: [list] sheet = "…"'
        )
    if sum(extent.merges for extent in extents) > MAX_MERGES:
        raise too_large(archive, f"it has more than {MAX_MERGES:,} ranges of merged cells")


def _extent(archive: ZipFile, name: str) -> Extent:
    """How far one sheet goes."""
    extent = Extent()
    unplaced_columns = unplaced_rows = 0  # cells and rows that say nothing of their place follow others
    for xml in _cut(archive, name):
        columns, rows = _count(extent, xml)
        unplaced_columns, unplaced_rows = max(unplaced_columns, columns), unplaced_rows + rows
        if _VALUE * extent.cells > MAX_MEMORY_BYTES or len(extent.hidden) > MAX_ROWS:
            raise too_large(archive, "its cells or rows are too many")
    extent.columns, extent.rows = extent.columns + unplaced_columns, extent.rows + unplaced_rows
    if extent.columns > MAX_COLUMNS or extent.rows > MAX_ROWS or extent.rectangle > MAX_MEMORY_BYTES // 2:
        raise InputError(
            f"{archive.filename} has a sheet with cells as far as row {extent.rows} and column {extent.columns}. "
            "Delete the rows and columns that do not belong to the list, or copy the list into a new workbook."
        )
    return extent


def _cut(archive: ZipFile, name: str) -> Iterator[bytes]:
    """A sheet's bytes, cut only before ends of rows."""
    rest = b""
    for piece in pieces(archive, archive.getinfo(name)):
        end = _last_end(piece)
        if end >= 0:
            yield rest + piece[:end]
        rest = rest + piece if end < 0 else piece[end:]
        if len(rest) > SMALL_BYTES or rest.count(b"<") > MAX_ELEMENTS:
            raise BadZipFile("a row of a size that Excel does not have")
    yield rest


def _last_end(piece: bytes) -> int:
    """Where the last end of a row begins, or -1; a `<` is where a tag begins, since no attribute's value has one."""
    end = len(piece)
    while (end := piece.rfind(b"</", 0, end)) >= 0 and not _ROW_END.match(piece, end):
        pass
    return end


def _count(extent: Extent, xml: bytes) -> tuple[int, int]:
    """Add some rows to what is known of a sheet.

    Returns:
        The most cells of a row that say nothing of their place, and the number of such rows.
    """
    found = _CELL.findall(xml)
    rows = _ROW.findall(xml)
    if {odd for *_, odd in found}.union(odd for _, odd in rows) - {b""}:
        raise BadZipFile("a place that programs could read differently")
    columns = {column for column, *_ in found}
    numbers = {number for _, number, _ in found}.union(number for number, _ in rows)
    extent.cells += len(found)
    extent.merges += xml.count(b"mergeCell")
    extent.columns = max([extent.columns, *(_column(c) for c in columns if c)])
    extent.rows = max([extent.rows, *(_row(n) for n in numbers if n)])
    if b"<f" in xml or b":f" in xml:
        _add(extent.without_value, _WITHOUT_VALUE.findall(xml))
    if b'"e"' in xml or b"'e'" in xml:
        _add(extent.errors, _ERROR.findall(xml))
    if b"hidden" in xml:
        extent.hidden.extend(_row(number) for number in _HIDDEN.findall(xml))
    unplaced_rows = rows.count((b"", b""))
    if b"" not in columns:
        return 0, unplaced_rows
    if b"<!" in xml or xml.count(b"<?") > xml.count(b"<?xml "):
        raise BadZipFile("cells without places beside what could hide the end of a row, or make one up")
    return max(sum(not c for c, *_ in _CELL.findall(row)) for row in _ROW_END.split(xml)), unplaced_rows


def _add(places: dict[int, array[int]], cells: list[bytes]) -> None:
    """Add cells, by their attributes, to column → rows."""
    for cell in cells:
        found = _REFERENCE.search(cell)
        column, number = found.groups() if found else (b"", b"0")
        places.setdefault(_column(column), array("q")).append(_row(number))


def _column(letters: bytes) -> int:
    """Number of a column; of any that no sheet has, one that is too large."""
    return column_number(letters[:9].decode())


def _row(digits: bytes) -> int:
    """The same for a row."""
    return int(digits.lstrip(b"0")[:9] or b"0")


def _has_room(archive: ZipFile, names: Sequence[str], cells: int, left: int) -> bool:
    """Whether the texts that cells share, and those that sheets' cells make of them, take no more than is left."""
    part = part_named(archive, SHARED)
    if part is None:
        return True
    lengths = _lengths(archive, part)
    longest = int(lengths.max(initial=0))
    left -= part.file_size + _TEXT * len(lengths)
    if left < 0 or longest > MAX_TEXT_BYTES:
        return False
    if longest * cells <= left and longest * MAX_COLUMNS <= MAX_AT_ONCE_BYTES:
        return True
    of_cells = np.append(lengths, longest)  # the longest for those whose text is not certain
    for xml in (xml for name in names for xml in _cut(archive, name)):
        used = [int(index) if index else -1 for index in _SHARED.findall(xml)]
        taken = int(of_cells.take(used, mode="wrap").sum())
        left -= taken
        if left < 0 or taken > MAX_AT_ONCE_BYTES:
            return False
    return True


def _lengths(archive: ZipFile, part: ZipInfo) -> Array:
    """(texts,) int64: at least the length of each text that cells share, in bytes."""
    parser, begins, begun, ended = ParserCreate(), array("q"), 0, list[str]()

    def start(name: str, _: object) -> None:
        nonlocal begun
        if name == "si" or name.endswith(":si"):
            if begun - len(ended) != 1:
                raise BadZipFile("a text that is not in its place")
            begins.append(parser.CurrentByteIndex)
        begun += 1

    parser.StartElementHandler, parser.EndElementHandler = start, ended.append
    for piece in pieces(archive, part):
        parser.Parse(piece, False)
        begun -= len(ended)
        ended.clear()
    return np.diff(np.append(np.frombuffer(begins, np.int64), part.file_size))


def column_number(letters: str) -> int:
    """A, B, …, Z, AA → 1, 2, …, 26, 27; of no letters 0."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - 64
    return number


def column_letters(number: int) -> str:
    """The way back."""
    letters = ""
    while number:
        number, digit = divmod(number - 1, 26)
        letters = chr(65 + digit) + letters
    return letters
