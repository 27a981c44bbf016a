"""The parts of an XLSX file, which is a zip archive of XML, read without trust in what it says of itself.

Every part is inflated once, piece by piece, before anything else reads the file: what is larger than it says, or than
a list can be, or defines entities, is refused.
"""

from __future__ import annotations

import re
import struct
import zlib
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from posixpath import join, normpath
from xml.etree import ElementTree  # entities are refused before anything is parsed
from xml.parsers.expat import ExpatError
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np

from parties.errors import InputError

MAX_PARTS = 10_000
MAX_BYTES = 1 << 32
"""Of all parts together, inflated; a million rows of eight columns are 500 MB."""
MAX_RATIO = 200
"""Of a part's bytes to its deflated bytes, above `SMALL_BYTES`; lists reach 30."""
SMALL_BYTES = 1 << 26
MAX_CELLS = 1 << 26
"""Of the rectangle that a sheet fills, which is held as a whole when it is read."""
WORKBOOK = "xl/workbook.xml"
SHARED = "xl/sharedStrings.xml"
_NOT_READ = ("customXml/", "docProps/")
CONTENT_TYPES = "[Content_Types].xml"
_PIECE = 1 << 20
_ENCODING = re.compile(rb"""(?:\xef\xbb\xbf)?<\?xml[^>]*?\sencoding\s*=\s*["'](?!utf-8["']|us-ascii["'])""", re.I)
_CELL = re.compile(rb"""<(?:[^\s<>/!?:]+:)?c(?:\s[^<>]*?\br\s*=\s*["']([A-Za-z]+)([0-9]+)["']|[\s/>])""")
_WITHOUT_VALUE = re.compile(
    rb"""<(?:[^\s<>/!?:]+:)?c\b(?![^<>]*\bt\s*=\s*["']str["'])([^<>]*)>\s*"""
    rb"""<(?:[^\s<>/!?:]+:)?f\b(?:[^<>]*/>|[^<>]*>[^<]*</(?:[^\s<>/!?:]+:)?f\s*>)\s*"""
    rb"""(?:<(?:[^\s<>/!?:]+:)?v\s*/>\s*|<(?:[^\s<>/!?:]+:)?v\s*></(?:[^\s<>/!?:]+:)?v\s*>\s*)?</(?:[^\s<>/!?:]+:)?c\s*>"""
)
_ERROR = re.compile(rb"""<(?:[^\s<>/!?:]+:)?c\b(?=[^<>]*\st\s*=\s*["']e["'])([^<>]*)>""")
_HIDDEN = re.compile(
    rb"""<(?:[^\s<>/!?:]+:)?row\b(?=[^<>]*\shidden\s*=\s*["'](?:1|true)["'])[^<>]*\sr\s*=\s*["']([0-9]+)["']"""
)
_ROW = re.compile(rb"""<(?:[^\s<>/!?:]+:)?row\s[^<>]*?\br\s*=\s*["']([0-9]+)["']""")
_REFERENCE = re.compile(rb"""\br\s*=\s*["']([A-Za-z]+)([0-9]+)["']""")
_DAMAGE = (
    BadZipFile, EOFError, ExpatError, ElementTree.ParseError, KeyError, NotImplementedError, struct.error, zlib.error
)  # fmt: skip
_ROW_END = re.compile(rb"</(?:[^\s<>/!?:]+:)?row\s*>")
_TEXT_END = re.compile(rb"</(?:[^\s<>/!?:]+:)?si\s*>")
_SHARED = re.compile(
    rb"""<(?:[^\s<>/!?:]+:)?c\s(?:[^<>]*?\s)?t\s*=\s*["']s["'][^<>]*>(?:\s*<(?:[^\s<>/!?:]+:)?v[^<>]*>\s*([0-9]{1,9})\s*<)?"""
)


@dataclass
class Extent:
    """How far a sheet goes.

    Attributes:
        columns: at least as many as its cells fill, styled blank ones included.
        rows: the same for rows.
        without_value: column, counted from 1 → numbers of rows where a formula's result is not in the file.
        errors: the same for errors such as #N/A.
        hidden: numbers of rows that are hidden, by a filter or by hand.
    """

    columns: int = 0
    rows: int = 0
    without_value: dict[int, array[int]] = field(default_factory=dict)
    errors: dict[int, array[int]] = field(default_factory=dict)
    hidden: array[int] = field(default_factory=lambda: array("q"))


@contextmanager
def opened(path: Path) -> Iterator[ZipFile]:
    """An XLSX file.

    Raises:
        InputError: it, or what is read in it, is damaged.
    """
    try:
        with ZipFile(path) as archive:
            yield archive
    except _DAMAGE:
        raise InputError(f"{path} is a damaged workbook. Open it in Excel, save it again and use that file.") from None


def check(archive: ZipFile) -> None:
    """Inflate every part once.

    Raises:
        InputError: a part is larger than any list needs, or defines entities, or is not UTF-8.
        BadZipFile: the archive is not what it says.
    """
    parts = archive.infolist()
    if len({part.filename.lower() for part in parts}) < len(parts):
        raise BadZipFile("two parts of one name")
    huge = any(part.file_size > max(SMALL_BYTES, MAX_RATIO * part.compress_size) for part in parts)
    if huge or len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_BYTES:
        raise InputError(
            f"{archive.filename} would fill the memory when opened: its parts are too many, or far larger than a list "
            "needs. Copy the list's rows into a new workbook, or save the sheet as CSV UTF-8."
        )
    for part in parts:
        is_read = part.filename.endswith((".xml", ".rels")) and not part.filename.startswith(_NOT_READ)
        start, end = b"", b""
        for piece in pieces(archive, part):
            if is_read and (_is_other_encoding(start or piece) or b"<!DOCTYPE" in end + piece):
                raise InputError(
                    f"{archive.filename} is not written as Excel writes workbooks (part {part.filename}). Open it in "
                    "Excel, save it again and use that file."
                )
            start, end = start or piece, piece[-9:]


def _is_other_encoding(start: bytes) -> bool:
    return b"\0" in start[:4] or start[:2] in (b"\xff\xfe", b"\xfe\xff") or bool(_ENCODING.match(start))


def pieces(archive: ZipFile, part: ZipInfo) -> Iterator[bytes]:
    """A part's bytes; not one more than the archive's directory says.

    Raises:
        BadZipFile: its size or its check sum is another, or it is encrypted.
    """
    if part.flag_bits & 1 or part.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise BadZipFile("a part that Excel would not write")
    size, crc = 0, 0
    for piece in _inflated(archive, part):
        size, crc = size + len(piece), zlib.crc32(piece, crc)
        if size > part.file_size:
            break
        yield piece
    if (size, crc) != (part.file_size, part.CRC):
        raise BadZipFile("a part of another size or content")


def _inflated(archive: ZipFile, part: ZipInfo) -> Iterator[bytes]:
    deflated = _deflated(archive, part)
    if part.compress_type == ZIP_STORED:
        yield from deflated
        return
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    for piece in deflated:
        waiting = piece
        while waiting:
            yield inflate.decompress(waiting, _PIECE)
            waiting = inflate.unconsumed_tail
    while not inflate.eof:
        piece = inflate.decompress(b"", _PIECE)
        if not piece:
            raise BadZipFile("a part that ends too early")
        yield piece


def _deflated(archive: ZipFile, part: ZipInfo) -> Iterator[bytes]:
    """A part's bytes as they are in the archive; zipfile itself would stop where the directory says, unnoticed."""
    file = archive.fp
    assert file is not None  # noqa: S101 (the archive is open)
    file.seek(part.header_offset)
    header = struct.unpack("<4s22xHH", file.read(30))
    at, left = part.header_offset + 30 + header[1] + header[2], part.compress_size
    while left:
        file.seek(at)
        piece = file.read(min(left, _PIECE))
        if not piece:
            raise BadZipFile("an archive that ends too early")
        yield piece
        at, left = at + len(piece), left - len(piece)


def sheet_parts(archive: ZipFile) -> list[str]:
    """Name of the part of every sheet, in the workbook's order."""
    workbook = ElementTree.fromstring(_whole(archive, WORKBOOK))  # noqa: S314 (checked before)
    links = ElementTree.fromstring(_whole(archive, "xl/_rels/workbook.xml.rels"))  # noqa: S314
    targets = {link.get("Id"): link.get("Target", "") for link in links}
    ids = [_attribute(sheet, "id") for sheet in workbook.iter() if _local(sheet.tag) == "sheet"]
    return [normpath(join("/xl", targets[sheet_id])).lstrip("/") for sheet_id in ids]


def has_macros(archive: ZipFile) -> bool:
    """Whether it is a workbook that only opens under a name in `.xlsm`."""
    return b"application/vnd.ms-excel.sheet.macroEnabled" in _whole(archive, CONTENT_TYPES)


def _whole(archive: ZipFile, name: str) -> bytes:
    return b"".join(pieces(archive, archive.getinfo(name)))


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _attribute(element: ElementTree.Element, name: str) -> str:
    """An attribute of another namespace, whichever of the standard's two it is."""
    return next((value for key, value in element.attrib.items() if "}" in key and _local(key) == name), "")


def measure(archive: ZipFile, name: str) -> Extent:
    """How far a sheet goes, styled blank cells included.

    Raises:
        InputError: its cells are so far apart, or share such long texts, that it could not be held in memory.
    """
    extent = Extent()
    for rows in _cut(archive, name, b"row"):
        _count(extent, rows)
    if extent.columns * extent.rows > MAX_CELLS:
        raise InputError(
            f"{archive.filename} has a sheet with cells as far as row {extent.rows} and column {extent.columns}. "
            "Delete the rows and columns that do not belong to the list, or copy the list into a new workbook."
        )
    if SHARED in archive.namelist():
        _check_shared(archive, name, extent)
    return extent


def _check_shared(archive: ZipFile, name: str, extent: Extent) -> None:
    """Refuse a sheet whose cells repeat a few long texts until they would fill the memory."""
    texts = (_TEXT_END.split(some) for some in _cut(archive, SHARED, b"si"))
    lengths = np.array([len(text) for some in texts for text in some], np.int64)
    if lengths.max() * extent.columns * extent.rows <= MAX_BYTES:
        return
    longest, total = int(lengths.argmax()), 0
    for rows in _cut(archive, name, b"row"):
        used = [int(index or longest) for index in _SHARED.findall(rows)]
        total += int(lengths.take(used, mode="clip").sum())
    if total > MAX_BYTES:
        raise InputError(f"{archive.filename} would fill the memory when opened: its cells hold too much text.")


def _cut(archive: ZipFile, name: str, element: bytes) -> Iterator[bytes]:
    """A part's bytes, cut only before ends of an element."""
    rest = b""
    for piece in pieces(archive, archive.getinfo(name)):
        ends = max(piece.rfind(b"</%s" % element), piece.rfind(b":%s>" % element))
        if ends < 0:
            rest += piece
            if len(rest) > SMALL_BYTES:
                raise BadZipFile("a row or text of a size that Excel does not have")
            continue
        yield rest + piece[:ends]
        rest = piece[ends:]
    yield rest


def _count(extent: Extent, rows: bytes) -> None:
    """Add some rows to what is known of a sheet."""
    found = _CELL.findall(rows)
    columns, numbers = {column for column, _ in found}, {number for _, number in found}
    if b"" in columns:  # cells that say nothing of their place follow one another
        some = _ROW_END.split(rows)
        extent.columns += max(len(_CELL.findall(row)) for row in some)
        extent.rows += len(some)
    extent.columns = max([extent.columns, *(_column(c) for c in columns if c)])
    extent.rows = max([extent.rows, *(_row(n) for n in numbers | set(_ROW.findall(rows)) if n)])
    if b"<f" in rows or b":f" in rows:
        _add(extent.without_value, _WITHOUT_VALUE.findall(rows))
    if b'"e"' in rows or b"'e'" in rows:
        _add(extent.errors, _ERROR.findall(rows))
    if b"hidden" in rows:
        extent.hidden.extend(_row(number) for number in _HIDDEN.findall(rows))


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
