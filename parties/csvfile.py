"""Lists in CSV, as agencies' programs export it: read row by row, every fault named by row and line.

The standard library's parser is used because it is strict: faster ones take the rest of a file for one cell where a
quote is not closed, and say nothing.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TextIO

from parties import columns, encodings
from parties.encodings import MAX_LINE_CHARS, Encoding
from parties.errors import InputError
from parties.findings import Finding, Severity
from parties.formulas import DELIMITERS, inert
from parties.sheet import MAX_COLUMNS, ListOptions, SourceList, find_heading, first_rows, head_at, is_blank

SUFFIXES = (".csv", ".tsv", ".txt")
MAX_CELL_CHARS = 1 << 17


@dataclass(frozen=True)
class CsvList(SourceList):
    """A list in CSV.

    Attributes:
        encoding: as Python names it.
        delimiter: between cells.
    """

    encoding: str
    delimiter: str

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """The rows below the headings, blank ones left out: number, and a cell for each heading.

        Raises:
            InputError: a row has another number of cells than the headings, or is not proper CSV.
        """
        return ((number, cells) for number, cells in self._data() if not is_blank(cells))

    def _data(self) -> Iterator[tuple[int, list[str]]]:
        """The rows below the headings, blank ones as they are.

        Programs end rows, or the headings alone, with delimiters too many: such blank cells are dropped, or added.
        """
        width = len(self.headings)
        needed = max((k for k, heading in enumerate(self.headings, 1) if heading.strip()), default=0)
        for number, line, cells in islice(self._records(), self.head.last, None):
            if is_blank(cells):
                yield number, cells
                continue
            if len(cells) < needed or not is_blank(cells[width:]):
                many = "1 cell" if len(cells) == 1 else f"{len(cells)} cells"
                raise InputError(
                    f"{self.path}, row {number} (line {line}): {many} where the heading has {width}. "
                    "Correct the row, or export the list again."
                )
            yield number, [*cells[:width], *[""] * (width - len(cells))]

    def _records(self) -> Iterator[tuple[int, int, list[str]]]:
        return _records(self.path, self.encoding, self.delimiter)

    def _write(self, file: BinaryIO, headings: list[str], cells: Iterator[Sequence[str]]) -> None:
        write_rows(file, self._written(headings, cells), self.delimiter)

    def _written(self, headings: list[str], cells: Iterator[Sequence[str]]) -> Iterator[Sequence[str]]:
        """All rows as they are written: those above the headings and blank ones have nothing more."""
        for number, _, above in islice(self._records(), self.head.last):
            more = headings if number == self.head.row else [""] * len(headings) if number > self.head.row else []
            yield (*above, *more)
        for _, own in self._data():
            if is_blank(own):
                yield own
                continue
            added = next(cells, None)
            if added is None:
                raise ValueError("fewer cells than rows")
            yield (*own, *added)
        if next(cells, None) is not None:
            raise ValueError("more cells than rows")


def open_csv(path: Path, options: ListOptions, findings: Sequence[Finding]) -> CsvList:
    """Read the rows above a list's data.

    Args:
        path: the file.
        options: what its owner states of it.
        findings: what is known of it already.

    Raises:
        InputError: it is not text, has no headings, or no row below them.
    """
    encoding = encodings.find(path, options.encoding)
    delimiter = options.delimiter or _delimiter(path, encoding.name, options.heading_row)
    if len(delimiter) != 1 or delimiter in '"\r\n\0':
        raise InputError(f'{path}: `delimiter` in the --map file must be one character, such as ";" or "\\t".')
    records = _records(path, encoding.name, delimiter)
    rows = [cells for _, _, cells in islice(records, first_rows(options.heading_row))]
    head = head_at(rows, find_heading(path, rows, options.heading_row))
    head.check(path, options.heading_row)
    found = (*findings, *head.findings(options.heading_row), *_confirm(path, encoding, delimiter))
    source = CsvList(
        path, path.suffix.lower() if _is_named_csv(path) else ".csv", head, found, encoding.name, delimiter
    )
    if next(source.rows(), None) is None:
        raise InputError(f"{path} has no rows below its heading; there is nothing to compare.")
    return source


def write_rows(file: BinaryIO, rows: Iterable[Sequence[str]], delimiter: str = ",") -> None:
    """Write rows in UTF-8 with a byte order mark; no cell of theirs becomes a formula."""
    text = io.TextIOWrapper(file, "utf-8-sig", newline="")
    try:
        csv.writer(text, delimiter=delimiter).writerows(map(inert, row) for row in rows)
    finally:
        text.detach()


def _is_named_csv(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _records(path: Path, encoding: str, delimiter: str, strict: bool = True) -> Iterator[tuple[int, int, list[str]]]:
    """All rows of a file: number, line in which it ends, cells."""
    csv.field_size_limit(MAX_CELL_CHARS)
    try:
        with path.open(encoding=encoding, newline="") as file:
            lines = _Lines(path, file)
            reader = csv.reader(lines, delimiter=delimiter, strict=strict)
            for number, cells in enumerate(reader, 1):
                if len(cells) > MAX_COLUMNS:
                    raise _too_large(path, number, f"{MAX_COLUMNS:,} cells")
                lines.begin_row(number + 1)
                yield number, reader.line_num, cells
    except csv.Error as error:
        raise InputError(
            f"{path}, line {reader.line_num}: not proper CSV ({error}). Look for a quote without its partner, or "
            "export the list again."
        ) from None
    except UnicodeError:
        raise InputError(f"{path} was changed while it was read, or is not {encoding} text.") from None
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from None


class _Lines:
    """The lines of a file, as long as no row of them is too long to be held."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self._path, self._file = path, file
        self.begin_row(1)

    def begin_row(self, number: int) -> None:
        """What follows is a row of this number."""
        self._row, self._chars = number, 0

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            self._chars += len(line)
            if self._chars > MAX_LINE_CHARS:
                raise _too_large(self._path, self._row, "a million characters; look for a quote without its partner")
            yield line


def _too_large(path: Path, row: int, what: str) -> InputError:
    return InputError(f"{path}, row {row}: it has more than {what}. Correct the row, or export the list again.")


def _delimiter(path: Path, encoding: str, heading_row: int) -> str:
    """The delimiter that makes most headings that Matchbit knows, or most cells."""

    def score(delimiter: str) -> tuple[int, int]:
        rows: list[list[str]] = []
        with suppress(InputError):  # told when the file is read with the delimiter that is chosen
            for _, _, cells in islice(_records(path, encoding, delimiter, strict=False), first_rows(heading_row)):
                rows.append(cells)  # those before a fault count
        with suppress(InputError):
            heading = rows[find_heading(path, rows, heading_row) - 1]
            if any(cell.strip(DELIMITERS) for cell in heading):
                return columns.recognised(heading), len(heading)
        return 0, 0

    return max(DELIMITERS, key=score)


def _confirm(path: Path, encoding: Encoding, delimiter: str) -> list[Finding]:
    """What a person must confirm where the encoding is a guess."""
    if not encoding.is_guess:
        return []
    rows = _records(path, encoding.name, delimiter)
    example = next((cell for _, _, cells in rows for cell in cells if not cell.isascii()), "")
    text = (
        f"The file is not UTF-8. It is read as {encoding.name}, and so has, for example, "
        f"`{' '.join(example.split())[:40]}`. If that reads well, state it in the --map file: [list] encoding = "
        f'"{encoding.name}"; if not, save the list as CSV UTF-8'
    )
    return [Finding(Severity.STOP, text)]
