"""Worker processes of the MPyC engine over in-memory channels, and what they must find."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from mpc import shamir
from mpc.channel import Channel
from mpc.matching import Reveal
from mpc.replicated import Array
from parties import worker
from parties.worker import Task
from tests.world import Tamper, World

Lists = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Case:
    """A session of the MPyC engine.

    Attributes:
        lists: the keys of each member.
        reveal: what members learn.
        parties: of the committee.
        threshold: of the committee.
        cells: for statistics, the cell of each key.
        number: of cells.
        smallest: for statistics.
    """

    lists: Lists
    reveal: Reveal = Reveal.FLAG
    parties: int = 3
    threshold: int = 1
    cells: Lists = field(default=())
    number: int = 0
    smallest: int = 1

    @property
    def counts(self) -> tuple[int, ...]:
        """Keys of each member."""
        return tuple(map(len, self.lists))

    def tasks(self) -> list[Task]:
        """What honest members give each party."""
        width = 1 + self.number
        rows = np.zeros((sum(self.counts), width), object)
        rows[:, 0] = [int(key) for keys in self.lists for key in keys]
        for row, cell in enumerate(cell for cells in self.cells for cell in cells):
            rows[row, 1 + cell] = 1
        shape = (self.threshold, *rows.shape)
        coefficients = shamir.uniform(os.urandom(shamir.WIDE_BYTES * int(np.prod(shape))), shape)
        shares = shamir.split(rows, coefficients, self.parties)
        return [
            Task(
                p, self.parties, self.threshold, b"a session", b"t" * 32, self.counts, self.reveal, self.number,
                self.smallest, shamir.encode(share),
            )
            for p, share in enumerate(shares)
        ]  # fmt: skip

    def opened(self, parts: Sequence[Sequence[Array]]) -> list[Array]:
        """What members reconstruct: for each one (n, w) object."""
        found = []
        for member, count in enumerate(self.counts):
            shares = [shamir.decode(part[member]) for part in parts]
            rows = self.number if self.reveal is Reveal.STATISTICS else count
            values = shamir.reconstruct(shares, self.threshold)
            found.append(values.reshape(rows, -1) if rows else values.reshape(0, 1))
        return found

    def table(self) -> Array:
        """(cells, members) int: the table that all must get."""
        counted, seen = np.zeros((self.number, len(self.lists)), int), set()
        for keys, cells in zip(self.lists, self.cells, strict=True):
            for key, cell in zip(keys, cells, strict=True):
                if key not in seen:
                    seen.add(key)
                    counted[cell, sum(key in other for other in self.lists) - 1] += 1
        return np.where(counted < self.smallest, 0, counted)


def run(tasks: Sequence[Task], tamper: Tamper | None = None) -> World:
    """Compute with one worker process a party; `results` and `errors` are by party."""
    world = World(tamper=tamper, timeout_s=60.0, parties=len(tasks))

    def party(me: int, channel: Channel) -> list[Array]:
        return worker.compute(tasks[me], channel, lambda *_: None).parts

    return world.connect(party)


def results(tasks: Sequence[Task]) -> list[list[Array]]:
    """What each party returns; an error is raised."""
    world = run(tasks)
    for error in world.errors.values():
        raise error
    return [world.results[p] for p in range(len(tasks))]


def held(values: Array, reveal: Reveal) -> list[object]:
    """What a member reads in its result of each key: a flag, a number, or which others."""
    is_zero = values == 0
    match reveal:
        case Reveal.FLAG:
            return [bool(row[0]) for row in is_zero]
        case Reveal.COUNT:
            return [int(np.argmin(np.append(row, False))) for row in is_zero]
        case _:
            return [tuple(np.flatnonzero(row).tolist()) for row in is_zero]


def truth(lists: Lists, reveal: Reveal) -> list[list[object]]:
    """What each member must read."""
    found: list[list[object]] = []
    for member, keys in enumerate(lists):
        others = [set(other) for k, other in enumerate(lists) if k != member]
        which = [tuple(k for k, other in enumerate(others) if key in other) for key in keys]
        read: Callable[[tuple[int, ...]], object] = {Reveal.FLAG: bool, Reveal.COUNT: len}.get(reveal, tuple)
        found.append([read(w) for w in which])
    return found
