"""Whether a zip archive can be read in one way only: part after part, by the one directory at its end.

Programs differ in how they read archives that nobody writes by accident: two directories, something before the first
part, names that are told twice. Whoever looks at such a file by one program and reads it by another has seen nothing.
"""

from __future__ import annotations

import struct
from zipfile import BadZipFile, ZipFile, ZipInfo

_END = struct.Struct("<4s4H2IH")
_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCAL = struct.Struct("<4s2x2H4x3I2H")
_EXTRA = struct.Struct("<2H")
_STREAMED, _UTF8 = 0x8, 0x800
_FLAGS = 0x2041 | _UTF8
"""Of encryption, and of how a name is written."""
_SECOND_NAME = 0x7075
"""Extra field that gives a part another name, for some programs."""
_ELSEWHERE = {0xFFFF, 0xFFFFFFFF}
"""A number that stands in a field of 64 bits."""


def check_plain(archive: ZipFile) -> None:
    """Refuse what programs could read differently.

    Raises:
        BadZipFile: the archive is such a one.
    """
    parts = sorted(archive.infolist(), key=lambda part: part.header_offset)
    _require(bool(parts) and parts[0].header_offset == 0, "something before the first part")
    _check_directory(archive, len(parts))
    begins = [*(part.header_offset for part in parts[1:]), archive.start_dir]
    for part, begin in zip(parts, begins, strict=True):
        _require(_end(archive, part) <= begin, "parts in one another")


def _check_directory(archive: ZipFile, parts: int) -> None:
    """See that it ends where the archive ends, and that its place and length are told in one way."""
    assert archive.fp is not None  # noqa: S101 (the archive is open)
    end = archive.fp.seek(0, 2) - _END.size
    mark, *_, comment = told = _END.unpack(_read(archive, end, _END.size))
    _require(mark == b"PK\5\6" and not comment, "something after the directory")
    numbers = list(told[1:-1])
    locator = end - _LOCATOR.size
    if locator >= 0 and _read(archive, locator, 4) == b"PK\6\7":
        _, _, end, _ = _LOCATOR.unpack(_read(archive, locator, _LOCATOR.size))
        _require(end == locator - _END64.size, "something after the directory")
        numbers = list(_END64.unpack(_read(archive, end, _END64.size))[4:])
        agree = all(short in _ELSEWHERE or short == long for short, long in zip(told[1:-1], numbers, strict=True))
        _require(agree, "two directories")
    disk, first, here, count, length, offset = numbers
    _require(not disk and not first and here == count == parts, "parts that are left out")
    _require(offset == archive.start_dir and offset + length == end, "something around the directory")


def _end(archive: ZipFile, part: ZipInfo) -> int:
    """Where a part ends, whose header says the same as the directory."""
    mark, flags, method, *told, length, extra = _LOCAL.unpack(_read(archive, part.header_offset, _LOCAL.size))
    _require(mark == b"PK\3\4" and method == part.compress_type, "another header")
    _require(flags & _FLAGS == part.flag_bits & _FLAGS, "another header")
    for said, true in zip(told, (part.CRC, part.compress_size, part.file_size), strict=True):
        _require(said in (true, 0xFFFFFFFF) or (said == 0 and flags & _STREAMED), "another header")
    begin: int = part.header_offset + _LOCAL.size
    own_name = part.orig_filename.encode("utf-8" if flags & _UTF8 else "cp437")
    _require(_read(archive, begin, length) == own_name, "another name")
    _require("\\" not in part.filename and part.filename == part.orig_filename, "a name that is read differently")
    _require(_SECOND_NAME not in _extra_fields(part.extra), "a second name")
    end: int = begin + length + extra + part.compress_size
    return end


def _extra_fields(extra: bytes) -> set[int]:
    found, at = set[int](), 0
    while at + _EXTRA.size <= len(extra):
        field, length = _EXTRA.unpack_from(extra, at)
        found.add(field)
        at += _EXTRA.size + length
    return found


def _read(archive: ZipFile, at: int, length: int) -> bytes:
    file = archive.fp
    assert file is not None  # noqa: S101 (the archive is open)
    file.seek(at)
    found: bytes = file.read(length)
    return found


def _require(condition: bool | int, text: str) -> None:
    if not condition:
        raise BadZipFile(text)
