"""Reading lists: CSV files as agencies export them, row by row, every fault named by file, row and column."""

from __future__ import annotations

import csv
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from parties import normalise
from parties.errors import InputError
from parties.rules import Rule

DELIMITERS = ",;\t|"
MAX_CELL_CHARS = 1 << 17
NOT_CSV = {b"PK": "an Excel workbook or a zip archive", b"%PDF": "a PDF", b"\xd0\xcf\x11\xe0": "an old Excel workbook"}


@dataclass(frozen=True)
class SourceList:
    """A list file whose heading has been read.

    Attributes:
        path: the file.
        headings: as written.
        delimiter: between cells.
        names: for a rule's field the heading that stands for it here; other fields are headings themselves.
    """

    path: Path
    headings: tuple[str, ...]
    delimiter: str
    names: Mapping[str, str] = field(default_factory=dict)

    def rows(self) -> Iterator[list[str]]:
        """The rows below the heading, blank lines left out.

        Raises:
            InputError: a row has another number of cells than the heading, or is not UTF-8 text.
        """
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=self.delimiter, strict=True)
            try:
                next(reader)
                for number, row in enumerate((r for r in reader if r), 2):
                    if len(row) != len(self.headings):
                        raise InputError(
                            f"{self.path}, row {number} (line {reader.line_num}): {len(row)} cells where the heading "
                            f"has {len(self.headings)}. Correct the row, or export the list again."
                        )
                    yield row
            except UnicodeDecodeError:
                raise InputError(_not_text(self.path)) from None
            except csv.Error as error:
                raise InputError(f"{self.path}, line {reader.line_num}: not proper CSV ({error}).") from None

    def columns(self, rule: Rule) -> list[int]:
        """Where a rule's fields are.

        Raises:
            InputError: the list lacks one, or has it twice.
        """
        found = []
        for name in rule.fields:
            wanted = _heading(self.names.get(name, name))
            places = [k for k, heading in enumerate(self.headings) if _heading(heading) == wanted]
            if len(places) != 1:
                what = "has no column" if not places else "has more than one column"
                raise InputError(
                    f"{self.path} {what} `{self.names.get(name, name)}`, which the rule `{rule.name}` needs. Its "
                    f"columns are: {', '.join(self.headings)}. Rename the column, or name it in a --map file."
                )
            found += places
        return found


def open_list(path: Path, names: Mapping[str, str] = MappingProxyType({})) -> SourceList:
    """Read a list's heading.

    Args:
        path: the file.
        names: for a rule's field the heading that stands for it in this list.

    Raises:
        InputError: the file cannot be read, is not text, or has no heading or no row.
    """
    csv.field_size_limit(MAX_CELL_CHARS)
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a file.")
        with path.open("rb") as raw:
            start = raw.read(8)
        for magic, kind in NOT_CSV.items():
            if start.startswith(magic):
                raise InputError(f"{path} is {kind}. Save the list as CSV (UTF-8) and use that file.")
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline(MAX_CELL_CHARS + 1)
        if "\0" in head or len(head) > MAX_CELL_CHARS:
            raise InputError(_not_text(path))
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise InputError(_not_text(path)) from None
    delimiter = max(DELIMITERS, key=re.sub(r'"[^"]*("|$)', "", head).count)
    source = SourceList(path, _headings(path, delimiter), delimiter, names)
    if next(source.rows(), None) is None:
        raise InputError(f"{path} has no rows below its heading; there is nothing to compare.")
    return source


def column_names(toml: Mapping[str, Any], path: Path) -> dict[str, str]:
    """The `[columns]` table of a --map file: field = "heading of my list".

    Raises:
        InputError: it is something else.
    """
    names = toml.get("columns")
    if set(toml) != {"columns"} or not isinstance(names, dict) or not all(isinstance(n, str) for n in names.values()):
        raise InputError(f'{path} must be a [columns] table with lines like: id_number = "Beneficiary No."')
    return dict(names)


def write_list(source: SourceList, path: Path, headings: Sequence[str], cells: Iterator[Sequence[str]]) -> None:
    """Write a list's own rows with columns more, readable by its owner alone; the file appears when it is whole.

    Raises:
        InputError: the file cannot be written.
    """
    partial = path.with_name(path.name + ".part")
    try:
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8-sig", newline="") as file:
            writer = csv.writer(file, delimiter=source.delimiter)
            taken = {_heading(h) for h in source.headings}
            writer.writerow([*source.headings, *(_free(heading, taken) for heading in headings)])
            writer.writerows([*row, *more] for row, more in zip(source.rows(), cells, strict=True))
        partial.replace(path)
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror}.") from None
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _headings(path: Path, delimiter: str) -> tuple[str, ...]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            headings = tuple(next(csv.reader(file, delimiter=delimiter, strict=True), ()))
        except UnicodeDecodeError:
            raise InputError(_not_text(path)) from None
        except csv.Error as error:
            raise InputError(f"{path}, line 1: not proper CSV ({error}).") from None
    if not any(heading.strip() for heading in headings):
        raise InputError(f"{path} has no heading: its first line must name the columns.")
    return headings


def _free(heading: str, taken: set[str]) -> str:
    """The heading, numbered where the list has it already."""
    numbered = (f"{heading} ({k})" for k in itertools.count(2))
    return next(h for h in itertools.chain((heading,), numbered) if _heading(h) not in taken)


def _heading(text: str) -> str:
    """A heading as it is compared."""
    return normalise.text(text)


def _not_text(path: Path) -> str:
    return f"{path} is not UTF-8 text. In Excel choose 'Save as', then 'CSV UTF-8 (comma delimited)'."
