"""The parts of an XLSX file, which is a zip archive of XML, read without trust in what it says of itself.

Another program reads the same file after us, so there must be one way only to read it: one directory, no two parts of
one name or in one place, well-formed XML. Every part is inflated once, piece by piece, before anything else reads the
file: what is larger than it says, or than a list can be, or defines entities, is refused.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.parsers.expat import ExpatError, ParserCreate
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from parties.errors import InputError
from parties.plainzip import check_plain
from parties.shown import shown

MAX_PARTS = 10_000
"""Of a workbook: parts, sheets, and links to them."""
MAX_BYTES = 1 << 31
"""Of all parts together, inflated; a million rows of eight columns are 500 MB."""
MAX_RATIO = 200
"""Of a part's bytes to its deflated bytes, above `SMALL_BYTES`; lists reach 30."""
SMALL_BYTES = 1 << 26
MAX_TABLE_BYTES = 1 << 24
"""Of a part that is held as a whole when it is read: names of sheets, links, styles."""
MAX_TOKEN_BYTES = 1 << 24
"""Between one `<` and the next."""
MAX_DEPTH = 1 << 16
"""Of elements in one another."""
WORKBOOK = "xl/workbook.xml"
SHARED = "xl/sharedStrings.xml"
CONTENT_TYPES = "[Content_Types].xml"
_LINKS = "xl/_rels/workbook.xml.rels"
_HELD = {WORKBOOK.lower(), CONTENT_TYPES.lower(), _LINKS.lower(), "xl/styles.xml"}
_NOT_READ = ("customXml/", "docProps/")
_OTHER_FORMATS = {"content.xml", "xl/workbook.bin"}
"""Parts by which the program that reads workbooks takes an archive for an .ods or an .xlsb."""
_TARGET = re.compile(r"(?:/xl/)?((?:work|chart|dialog|macro)sheets/[A-Za-z0-9_-][A-Za-z0-9_.-]*\.xml)")
"""Where a sheet is: more ways to say it than these two are not read alike by all programs."""
_PIECE = 1 << 20
_ENCODING = re.compile(rb"""(?:\xef\xbb\xbf)?<\?xml[^>]*?\sencoding\s*=\s*["'](?!utf-8["']|us-ascii["'])""", re.I)
_DAMAGE = (BadZipFile, EOFError, ExpatError, KeyError, NotImplementedError, UnicodeError, struct.error, zlib.error)


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
        BadZipFile: the archive is not what it says, or can be read in two ways.
        ExpatError: a part is no XML.
    """
    parts = archive.infolist()
    names = {part.filename.lower() for part in parts}
    if len(names) < len(parts) or names & _OTHER_FORMATS:
        raise BadZipFile("two parts of one name, or a file of two formats")
    huge = any(part.file_size > max(SMALL_BYTES, MAX_RATIO * part.compress_size) for part in parts)
    if huge or len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_BYTES:
        raise too_large(archive, "its parts are too many, or far larger than a list needs")
    held = next((part for part in parts if part.filename.lower() in _HELD and part.file_size > MAX_TABLE_BYTES), None)
    if held:
        raise too_large(archive, f"its part {shown(held.filename)} is larger than {MAX_TABLE_BYTES >> 20} MB")
    check_plain(archive)
    for part in parts:
        _check_part(archive, part)


def too_large(archive: ZipFile, why: str) -> InputError:
    """The refusal of a workbook that is larger than a list needs."""
    return InputError(
        f"{archive.filename} would fill the memory when opened: {why}. Copy the list's rows into a new workbook, or "
        "save the sheet as CSV UTF-8."
    )


def _check_part(archive: ZipFile, part: ZipInfo) -> None:
    """Inflate a part, and see that it is XML if it is named so."""
    is_xml = part.filename.lower().endswith((".xml", ".rels")) and not part.filename.startswith(_NOT_READ)
    xml = _Xml() if is_xml else None
    for piece in pieces(archive, part):
        if xml and not xml.feed(piece):
            raise InputError(
                f"{archive.filename} is not written as Excel writes workbooks (part {shown(part.filename)}). Open it "
                "in Excel, save it again and use that file."
            )
    if xml:
        xml.end()


class _Xml:
    """Sees that a part is well-formed XML, which all programs read alike, and neither too deep nor of endless texts."""

    def __init__(self) -> None:
        self._parser = ParserCreate()
        self._ends: list[str] = []
        self._parser.EndElementHandler = self._ends.append
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._has_doctype = False
        self._begun = False
        self._depth = 0  # or more
        self._bytes = 0
        self._since = 0  # the last `<`

    def feed(self, piece: bytes) -> bool:
        """Parse a piece; returns whether it is of the XML that Excel writes.

        Raises:
            BadZipFile: elements are too deep in one another, or a text or a comment is too long.
            ExpatError: it is not well-formed.
        """
        if not self._begun and _is_other_encoding(piece):
            return False
        self._begun = True
        self._parser.Parse(piece, False)
        self._bytes += len(piece)
        # Every element begins with a `<` that is followed by none of these; comments can only add to what is counted.
        self._depth += piece.count(b"<") - sum(piece.count(other) for other in (b"</", b"<!", b"<?")) - len(self._ends)
        self._ends.clear()
        last = piece.rfind(b"<")
        self._since = self._since + len(piece) if last < 0 else len(piece) - last
        if self._depth > MAX_DEPTH or max(self._since, self._bytes - self._parser.CurrentByteIndex) > MAX_TOKEN_BYTES:
            raise BadZipFile("elements or texts of a size that Excel does not write")
        return not self._has_doctype

    def end(self) -> None:
        """See that nothing is missing.

        Raises:
            ExpatError: it ends too early.
        """
        self._parser.Parse(b"", True)

    def _doctype(self, *_: object) -> None:
        self._has_doctype = True


def _is_other_encoding(start: bytes) -> bool:
    return b"\0" in start[:4] or start[:2] in (b"\xff\xfe", b"\xfe\xff") or bool(_ENCODING.match(start))


def part_named(archive: ZipFile, name: str) -> ZipInfo | None:
    """A part by its name; capitals do not count, as they do not for the program that reads the sheets."""
    return next((part for part in archive.infolist() if part.filename.lower() == name.lower()), None)


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


def sheet_parts(archive: ZipFile) -> list[tuple[str, str]]:
    """Name of every sheet, and of its part, in the workbook's order.

    Raises:
        InputError: there are too many.
        BadZipFile: it could be said otherwise which part is which sheet.
    """
    links = _elements(archive, _LINKS, "Relationship")
    targets = {link["Id"]: link.get("Target", "") for link in links}
    sheets = [(sheet["name"], _part(targets[_link(sheet)])) for sheet in _elements(archive, WORKBOOK, "sheet")]
    names, parts = {name.casefold() for name, _ in sheets}, {part.lower() for _, part in sheets}
    if len(targets) < len(links) or len(names) < len(sheets) or len(parts) < len(sheets):
        raise BadZipFile("two sheets, or two links, of one name")
    return sheets


def _link(sheet: dict[str, str]) -> str:
    """Which link leads to a sheet."""
    found = [value for key, value in sheet.items() if key.endswith(":id")]
    if len(found) != 1:
        raise BadZipFile("a sheet with no link, or two")
    return found[0]


def _part(target: str) -> str:
    plain = _TARGET.fullmatch(target)
    if not plain:
        raise BadZipFile("a sheet in a place that programs could read differently")
    return f"xl/{plain[1]}"


def has_macros(archive: ZipFile) -> bool:
    """Whether it is a workbook that only opens under a name in `.xlsm`."""
    content = b"".join(pieces(archive, archive.getinfo(CONTENT_TYPES)))
    return b"application/vnd.ms-excel.sheet.macroEnabled" in content


def _elements(archive: ZipFile, name: str, local: str) -> list[dict[str, str]]:
    """The attributes of all elements of a part with this name, whatever its prefix."""
    found: list[dict[str, str]] = []

    def start(element: str, attributes: dict[str, str]) -> None:
        if element.rpartition(":")[2] == local:
            found.append(attributes)
            if len(found) > MAX_PARTS:
                raise too_large(archive, f"it has more than {MAX_PARTS:,} sheets or links")

    parser = ParserCreate()
    parser.StartElementHandler = start
    for piece in pieces(archive, archive.getinfo(name)):
        parser.Parse(piece, False)
    parser.Parse(b"", True)
    return found
