"""Columns more in a worksheet's XML: cells are put before the ends of rows, and every other byte stays as it is.

The sheet is never held as a whole: the parser says where rows end, and the bytes are copied around these places.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.parsers.expat import ParserCreate
from xml.sax.saxutils import escape

from parties.errors import InputError
from parties.xlsxextent import column_letters, column_number

_TAG = re.compile(rb"""<(?:[^>"']|"[^"]*"|'[^']*')*>""")
_SPANS = re.compile(rb"""\sspans\s*=\s*(?:"[^"]*"|'[^']*')""")
_REF = re.compile(rb"""(\sref\s*=\s*)(?:"[^"]*"|'[^']*')""")
_NOT_XML = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff\ud800-\udfff]|_(?=x[0-9A-Fa-f]{4}_)")
"""Characters that XML lacks or changes, and what would be read as the code of one."""


def patched(
    pieces: Iterator[bytes], path: Path, right: int, width: int, targets: Iterator[tuple[int, Sequence[str]]]
) -> Iterator[bytes]:
    """A sheet with cells more at the right.

    Args:
        pieces: the worksheet's XML in UTF-8.
        path: the workbook, for sentences.
        right: number of the rightmost column that is in use.
        width: how many columns are added.
        targets: number of a row, ascending, and its cells; empty ones are left out.

    Raises:
        InputError: the sheet's rows are not in order.
        ExpatError: it is not XML.
    """
    splicer = _Splicer(path, right, width, targets)
    for piece in pieces:
        yield splicer.feed(piece)
    yield splicer.end()


class _Splicer:
    """Collects, while the parser goes on, which bytes are replaced by what.

    Offsets are of the sheet's bytes; `_done` of them have been given back, and all that follow are in `_buffer`.
    """

    def __init__(self, path: Path, right: int, width: int, targets: Iterator[tuple[int, Sequence[str]]]) -> None:
        self._path = path
        self._targets = targets
        self._columns = [column_letters(right + k + 1) for k in range(width)]
        self._parser = ParserCreate()
        self._parser.StartElementHandler = self._root
        self._buffer = bytearray()
        self._done = 0
        self._known = 0  # no replacement will come before this offset
        self._edits: list[tuple[int, int, bytes]] = []  # offset, bytes to leave out, bytes to put there
        self._prefix = ""
        self._row_name = ""
        self._row = 0
        self._inside = False
        self._number, self._cells = next(targets, (0, ()))

    def feed(self, piece: bytes) -> bytes:
        """Parse a piece, and give back what is certain."""
        self._buffer += piece
        self._parser.Parse(piece, False)
        return self._flush(self._known)

    def end(self) -> bytes:
        """Give back the rest."""
        self._parser.Parse(b"", True)
        if self._number:
            raise self._disordered()
        return self._flush(self._done + len(self._buffer))

    def _flush(self, until: int) -> bytes:
        parts: list[bytes | bytearray] = []
        at = self._done
        for offset, length, text in self._edits:
            parts += [self._buffer[at - self._done : offset - self._done], text]
            at = offset + length
        until = max(until, at)
        parts.append(self._buffer[at - self._done : until - self._done])
        del self._buffer[: until - self._done]
        self._done = until
        self._edits.clear()
        return b"".join(parts)

    def _root(self, name: str, _: dict[str, str]) -> None:
        """The first element, whose prefix all others of the sheet have."""
        self._prefix = name[: name.rfind(":") + 1]
        self._row_name = self._prefix + "row"
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name == self._row_name and self._inside:
            self._start_row(attributes)
        elif name == self._prefix + "sheetData":
            self._inside = True
        elif name == self._prefix + "dimension" and not self._inside:
            self._replace(_REF, rb'\1"%s"' % self._wider(attributes.get("ref", "")).encode())

    def _start_row(self, attributes: dict[str, str]) -> None:
        stated = attributes.get("r", str(self._row + 1))
        if not stated.isdecimal() or int(stated) <= self._row:
            raise self._disordered()
        self._row = int(stated)
        if self._row == self._number and "spans" in attributes:
            self._replace(_SPANS, b"")

    def _end(self, name: str) -> None:
        if name == self._row_name and self._inside:
            self._known = self._parser.CurrentByteIndex
            if self._row == self._number:
                self._edits.append((self._known, 0, self._added()))
                self._number, self._cells = next(self._targets, (0, ()))
        elif name == self._prefix + "sheetData":
            self._inside = False

    def _replace(self, pattern: re.Pattern[bytes], text: bytes) -> None:
        """Change the tag that has just been parsed."""
        self._known = self._parser.CurrentByteIndex
        tag = _TAG.match(self._buffer, self._known - self._done)
        if tag:
            self._edits.append((self._known, len(tag[0]), pattern.sub(text, tag[0])))

    def _wider(self, ref: str) -> str:
        """A range such as A1:H9 with the new columns."""
        first, _, last = ref.partition(":")
        letters = (last or first).rstrip("0123456789")
        new = max(letters, self._columns[-1], key=column_number)
        return f"{first}:{new}{(last or first)[len(letters) :]}"

    def _added(self) -> bytes:
        """The row's new cells: text in place, so that nothing becomes a formula."""
        p = self._prefix
        return "".join(
            f'<{p}c r="{column}{self._row}" t="inlineStr"><{p}is><{p}t xml:space="preserve">{_escaped(text)}'
            f"</{p}t></{p}is></{p}c>"
            for column, text in zip(self._columns, self._cells, strict=True)
            if text
        ).encode()

    def _disordered(self) -> InputError:
        return InputError(
            f"{self._path} has rows that are not in their order, so columns cannot be added. Open it in Excel, save it "
            "again and contribute that file."
        )


def _escaped(text: str) -> str:
    return escape(_NOT_XML.sub(lambda match: f"_x{ord(match[0]):04X}_", text))
