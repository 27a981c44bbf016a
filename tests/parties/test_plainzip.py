"""Archives that two programs could read differently are refused; those that honest programs write are not."""

import io
import struct
import zipfile
from pathlib import Path

import pytest

from parties.plainzip import check_plain
from tests.parties.workbooks import PARTS, SHEET, row, sheet, unpacked, workbook


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return workbook(tmp_path / "list.xlsx", sheet(row(1, "id") + row(2, "a")))


def is_plain(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            check_plain(archive)
    except (zipfile.BadZipFile, UnicodeError):
        return False
    return True


class Pipe(io.RawIOBase):
    """A file that cannot be gone back in, as a browser's download."""

    def __init__(self) -> None:
        self.written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.written += data
        return len(data)


def test_what_programs_write(path: Path, tmp_path: Path) -> None:
    parts = unpacked(path)
    pipe = Pipe()
    for name, file, force in (("plain", io.BytesIO(), False), ("large", io.BytesIO(), True), ("streamed", pipe, True)):
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
            archive.mkdir("xl/")
            for part, content in parts.items():
                with archive.open(part, "w", force_zip64=force) as copy:
                    copy.write(content)
            archive.writestr("xl/média.bin", b"1")
        (tmp_path / name).write_bytes(pipe.written if file is pipe else file.getvalue())  # type: ignore[union-attr]
        assert is_plain(tmp_path / name)


def directory(data: bytes) -> int:
    return struct.unpack_from("<I", data, len(data) - 6)[0]


def changed(path: Path, offset: int, form: str, value: int) -> None:
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, offset if offset >= 0 else len(data) + offset, value)
    path.write_bytes(data)


def test_bytes_around_the_archive(path: Path) -> None:
    data = path.read_bytes()
    commented = bytearray(data + b"PK")
    struct.pack_into("<H", commented, len(data) - 2, 2)
    for wrong in (
        b"PK" + data,
        data + b"\0",
        bytes(commented),
        data[: directory(data)] + b"?" + data[directory(data) :],
    ):
        path.write_bytes(wrong)
        assert not is_plain(path)


def test_a_directory_that_hides_another(path: Path, tmp_path: Path) -> None:
    """Who looks for a directory from the beginning reads another list than who looks from the end."""
    other = workbook(tmp_path / "other.xlsx", sheet(row(1, "id") + row(2, "b"))).read_bytes()
    path.write_bytes(other + path.read_bytes())
    assert not is_plain(path)


@pytest.mark.parametrize(("offset", "form"), [(-14, "<H"), (-12, "<H"), (-18, "<H"), (-16, "<H"), (-10, "<I")])
def test_an_end_that_says_something_else(path: Path, offset: int, form: str) -> None:
    """Parts here, parts in all, number of this file, of the directory's file, the directory's length."""
    changed(path, offset, form, 1)
    assert not is_plain(path)


@pytest.mark.parametrize("place", [6, 8, 14, 18, 22, 30], ids=["flags", "method", "sum", "deflated", "size", "name"])
def test_a_header_that_says_something_else(path: Path, place: int) -> None:
    data = path.read_bytes()
    at = data.index(b"PK\3\4", 1)
    changed(path, at + place, "<B", data[at + place] ^ 1)
    assert not is_plain(path)


def test_parts_in_one_another(path: Path) -> None:
    """The second part of the directory is where the first is: one deflated megabyte could stand for thousands."""
    data = path.read_bytes()
    second = data.index(b"PK\1\2", directory(data) + 1)
    names = [struct.unpack_from("<H", data, at + 28)[0] for at in (directory(data), second)]
    copy = data[directory(data) + 46 : directory(data) + 46 + names[0]]
    assert copy.decode() in PARTS
    changed(path, second + 42, "<I", 0)
    assert not is_plain(path)


@pytest.mark.parametrize("name", ["xl\\sharedStrings.xml", "xl/a\0.xml"])
def test_names_that_are_read_differently(path: Path, name: str) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        part = zipfile.ZipInfo("x")
        part.filename = part.orig_filename = name
        archive.writestr(part, "x")
    assert not is_plain(path)


def test_a_second_name(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        part = zipfile.ZipInfo("xl/a.bin")
        part.extra = struct.pack("<2HBI", 0x7075, 5 + len(SHEET), 1, 0) + SHEET.encode()
        archive.writestr(part, "x")
    assert not is_plain(path)


def test_two_ends_that_disagree(path: Path) -> None:
    """An end for large archives counts for some programs wherever it stands, for others where the short one is full."""
    data = path.read_bytes()
    at, end = directory(data), data[-22:]
    _, _, _, here, count, length, offset, _ = struct.unpack("<4s4H2IH", end)

    def large(offset: int) -> bytes:
        record = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, here, count, length, offset)
        return record + struct.pack("<4sIQI", b"PK\6\7", 0, at + length, 1)

    path.write_bytes(data[:-22] + large(offset) + end)
    assert is_plain(path), "both say the same"
    moved = data[:at] + data[at:-22] + large(offset) + end[:16] + struct.pack("<IH", offset + 46, 0)
    path.write_bytes(moved)
    assert not is_plain(path)
