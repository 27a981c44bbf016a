"""A queue of matches as a file that people fill in: written as CSV, read back from CSV or XLSX."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from pathlib import Path

from parties import normalise, records
from parties.csvfile import write_rows
from parties.errors import InputError
from parties.findings import Severity
from parties.review import Item, Verdict
from parties.sheet import ListOptions, SourceList, appearing, numbered

COLUMNS = ("session", "row", "matched_on", "matched_with", "decision", "note", "reviewer")
"""Before the columns of the list itself; the last three are to be filled in."""
_READ = ("session", "row", "decision", "note", "reviewer")


def write_queue(out: Path, session_id: bytes, items: Iterable[Item], own: SourceList | None) -> None:
    """Write rows to be reviewed, with their own cells where the list is given.

    Raises:
        InputError: the file cannot be written, or the list not be read.
    """
    if out.suffix.lower() != ".csv":
        raise InputError(f"{out} must end in .csv; spreadsheets open that.")
    items = list(items)
    cells = cells_of(own, {item.row for item in items})
    headings = numbered(own.headings, COLUMNS) if own else []
    rows = ([*_cells(session_id, item), *cells.get(item.row, [""] * len(headings))] for item in items)
    with appearing(out) as file:
        write_rows(file, chain([[*COLUMNS, *headings]], rows))


def read_verdicts(path: Path, session_id: bytes) -> Iterator[Verdict]:
    """The decisions in a file that `write_queue` wrote and people filled in; rows without one are passed over.

    Raises:
        InputError: it is no such file, of another session, or a row's number is none.
    """
    source = records.open_list(path, ListOptions(heading_row=1))
    if any(finding.severity is Severity.STOP for finding in source.findings):
        raise InputError(f"{path} cannot be read for certain: save it as XLSX or CSV UTF-8, and import that.")
    places, seen = [_place(source, name) for name in _READ], set[int]()
    for batch in source.batches():
        cells = zip(*(batch.columns.column(place).to_pylist() for place in places), strict=True)
        for number, (session, row, decision, note, reviewer) in zip(batch.numbers.tolist(), cells, strict=True):
            if not decision.strip():
                continue
            if session.strip() != _name(session_id):
                raise InputError(f"{path}, row {number}, column `session`: the line is of another session.")
            if not re.fullmatch("[0-9]{1,9}", row.strip()):
                raise InputError(f"{path}, row {number}, column `row`: it must be a row's number, as it was exported.")
            if int(row) in seen:
                raise InputError(f"{path}, row {number}, column `row`: this row has been decided on further up.")
            seen.add(int(row))
            yield Verdict(int(row), decision, note, reviewer, f"{path}, row {number}: ")


def cells_of(own: SourceList | None, rows: Collection[int]) -> dict[int, list[str]]:
    """The cells of some rows of a list, by their numbers; nothing without a list."""
    return {number: cells for number, cells in own.rows() if number in rows} if own else {}


def _cells(session_id: bytes, item: Item) -> list[str]:
    j = item.judgement
    judged = [j.decision.value, j.note, j.reviewer] if j else ["", "", ""]
    return [_name(session_id), str(item.row), "; ".join(item.matched_on), "; ".join(item.matched_with), *judged]


def _name(session_id: bytes) -> str:
    """A session's name in the file; letters first, or spreadsheets take some ids for numbers."""
    return f"session-{session_id[:8].hex()}"


def _place(source: SourceList, name: str) -> int:
    """Where a column of ours is: left of any of the list's own with such a heading."""
    headings = [normalise.text(heading) for heading in source.headings]
    if name not in headings:
        raise InputError(f"{source.path} has no column `{name}` in its first row: import a file that was exported.")
    return headings.index(name)
