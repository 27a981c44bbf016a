"""Lists as agencies have them, in CSV or XLSX: what a file is, is told by its content and not by its name."""

from __future__ import annotations

import mmap
from pathlib import Path

from parties import xlsxparts
from parties.csvfile import open_csv
from parties.errors import InputError
from parties.findings import Finding, Severity
from parties.sheet import BATCH_ROWS, Batch, ListOptions, SourceList
from parties.xlsxfile import open_xlsx

__all__ = ["BATCH_ROWS", "Batch", "ListOptions", "SourceList", "open_list"]

_FIND_OUT = ListOptions()
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_OLE = b"\xd0\xcf\x11\xe0"
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_SAVE = "Open it where it was made, save the list as XLSX or CSV UTF-8, and use that file."


def open_list(path: Path, options: ListOptions = _FIND_OUT) -> SourceList:
    """Read a list's headings.

    Args:
        path: the file.
        options: what its owner states of it; the rest is found out, and what had to be guessed is told in `findings`.

    Raises:
        InputError: the file cannot be read as a list with headings and at least one row.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a file.")
        with path.open("rb") as file:
            start = file.read(512)
        if not start:
            raise InputError(f"{path} is empty.")
        kind = _unreadable(path, start)
        if kind:
            raise InputError(f"{path} is {kind}. {_SAVE}")
        is_workbook = start.startswith(_ZIP)
        named = _misnamed(path, is_workbook)
        return open_xlsx(path, options, named) if is_workbook else open_csv(path, options, named)
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from None


def _unreadable(path: Path, start: bytes) -> str:
    """What a file is that is no list in a format that is read, or empty."""
    if start.startswith(_ZIP):
        return _archive(path)
    if start.startswith(_OLE):
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            is_encrypted = content.find(_ENCRYPTED) >= 0
        return "protected by a password" if is_encrypted else "an old Excel workbook (.xls)"
    if start.startswith(b"%PDF"):
        return "a PDF"
    return "a web page or XML" if start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<") else ""


def _archive(path: Path) -> str:
    """What a zip archive is that is no XLSX workbook, or empty."""
    with xlsxparts.opened(path) as archive:
        names = set(archive.namelist())
    if {xlsxparts.WORKBOOK, xlsxparts.CONTENT_TYPES} <= names:
        return ""
    if "xl/workbook.bin" in names:
        return "a binary Excel workbook (.xlsb)"
    return "an OpenDocument file (.ods)" if {"mimetype", "content.xml"} <= names else "a zip archive, not a workbook"


def _misnamed(path: Path, is_workbook: bool) -> list[Finding]:
    is_named_workbook = path.suffix.lower() in (".xlsx", ".xlsm", ".xls", ".xltx")
    if is_workbook == is_named_workbook:
        return []
    kind, suffix = ("an Excel workbook", ".xlsx") if is_workbook else ("CSV", ".csv")
    text = f"The file is named {path.name}, but is {kind}. It is read as that, and written back as {suffix}"
    return [Finding(Severity.NOTE, text)]
