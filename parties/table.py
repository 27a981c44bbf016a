"""The table that statistics give, at each of the members: how it is shown, and what must be known of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mpc.replicated import Array
from parties.csvfile import write_rows
from parties.errors import InputError
from parties.manifest import Manifest
from parties.sheet import appearing
from parties.statistics import Statistics

COUNTED = (
    "A person is counted once, however many members hold the person: in the cell that the first of them, in the order "
    "of the terms, gave. People without a key of the session's rule are not counted."
)
SUBTRACTED = (
    "The limit is on the people of all members together. A member knows its own people, can count them by cell and "
    "subtract them: of a cell that shows 30 people of whom 29 are its own it learns that there is one other; invented "
    "people on its list lift a small cell over the limit. Two tables of nearly the same lists, or of other categories, "
    "can be subtracted from each other in the same way. Everybody knows how many keys each member has, so where only "
    "one or two numbers are hidden they can be worked out from the sum of the others. So agree on large cells and few "
    "tables, and publish no table of a single member's list beside this one."
)
"""What whoever passes a table on must know."""


@dataclass(frozen=True)
class Table:
    """What all members of a session learn of their people.

    Attributes:
        session: title.
        member: whose copy it is.
        statistics: its terms.
        numbers: for each cell how many people 1, 2, 3 … members hold; 0 where they are too few to be shown.
    """

    session: str
    member: str
    statistics: Statistics
    numbers: tuple[tuple[int, ...], ...]

    @property
    def headings(self) -> tuple[str, ...]:
        """Of its columns: categories, then numbers of members."""
        return (*self.statistics.headings, *self._holders())

    def rows(self) -> Iterator[tuple[str | int, ...]]:
        """A line for each cell: what it says of its people, then numbers."""
        for labels, numbers in zip(self.statistics.labels(), self.numbers, strict=True):
            yield (*labels, *(number or self.too_few for number in numbers))

    @property
    def too_few(self) -> str:
        """What stands in place of a number that is not shown."""
        return f"fewer than {self.statistics.smallest_cell}"

    @property
    def hidden(self) -> str:
        """What numbers are not shown, in a sentence."""
        return (
            f"Numbers below {self.statistics.smallest_cell}, 0 among them, are shown as `{self.too_few}`: the "
            "committee took them out while nobody could see them."
        )

    @property
    def is_whole(self) -> bool:
        """Whether every number is shown."""
        return all(map(all, self.numbers))

    def held_by(self) -> dict[str, int]:
        """The people of all cells by how many members hold them; too few where numbers are not shown."""
        return dict(zip(self._holders(), map(sum, zip(*self.numbers, strict=True)), strict=True))

    def to_json(self) -> dict[str, object]:
        """As one JSON object; numbers that are not shown are null."""
        cells = [
            {"cell": dict(zip(self.statistics.headings, labels, strict=True)), "held_by": [n or None for n in numbers]}
            for labels, numbers in zip(self.statistics.labels(), self.numbers, strict=True)
        ]
        return {
            "session": self.session,
            "member": self.member,
            "smallest_cell": self.statistics.smallest_cell,
            "cells": cells,
        }

    def write(self, path: Path) -> None:
        """Write it as CSV; the file appears when it is whole.

        Raises:
            InputError: it cannot be written.
        """
        with appearing(path) as file:
            write_rows(file, [self.headings, *(tuple(map(str, row)) for row in self.rows())])

    def _holders(self) -> list[str]:
        return [f"held by {k} member{'s' * (k > 1)}" for k in range(1, len(self.numbers[0]) + 1)]


def table_of(manifest: Manifest, member: str, numbers: Array) -> Table:
    """A member's table.

    Args:
        manifest: the session's terms, with statistics.
        member: whose copy it is.
        numbers: (cells, members), from `results.recombine`.
    """
    assert manifest.statistics is not None  # noqa: S101 - only such sessions have a table
    return Table(manifest.title, member, manifest.statistics, tuple(map(tuple, numbers.tolist())))


def check_table_target(out: Path, *taken: Path) -> None:
    """Refuse to write a table over something else, or as something else than CSV.

    Raises:
        InputError: it is no CSV file by its name, is one of the files taken, or its folder does not exist.
    """
    if out.suffix.lower() != ".csv" or out.resolve() in {path.resolve() for path in taken}:
        raise InputError(
            f"{out} cannot be written: the session gives a table, not your list with columns more; give --out a name "
            "of its own that ends in .csv."
        )
    if not out.parent.is_dir():
        raise InputError(f"{out} cannot be written: there is no folder {out.parent}.")
