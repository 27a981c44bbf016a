"""How much faster two lanes are than one: `make bench-lanes`. One party's part of oblivious AES, without a network.

One and two lanes take turns, and the median of each is taken: what else the machine does meets both.
"""

from __future__ import annotations

import statistics
import sys
import time
from functools import partial
from unittest.mock import patch

import mpc.kernel
from mpc import aes
from mpc.bitslice import on_planes
from mpc.lanes import Lanes, suitable
from mpc.replicated import Share
from mpc.session import Session
from parties.compute import prepare
from tests.benchmarks.baseline import aligned
from tests.benchmarks.kernels import schedule, sessions, shared

ROWS = 1 << 21
TURNS = 5


def seconds(number: int, session: Session, rows: Share) -> float:
    """Of the clock, for all chunks in this many lanes."""

    def lane(here: Session, chunk: slice) -> Share:
        return on_planes(rows[chunk], partial(aes.encrypt, here, schedule()))

    started = time.perf_counter()
    Lanes(lambda *_: None, number, suitable(ROWS)).map(session, rows.shape[0], "tag", lane)
    return time.perf_counter() - started


def compare(numbers: tuple[int, ...], turns: int = TURNS) -> dict[int, float]:
    """Median seconds by number of lanes."""
    at, rows = sessions(), shared(ROWS, 2)
    taken = [{number: seconds(number, next(at), rows) for number in numbers} for _ in range(turns)]
    return {number: statistics.median(turn[number] for turn in taken) for number in numbers}


def main() -> int:
    """Print rows a second by lanes, compiled and by NumPy alone, in a process like a node's."""
    prepare()
    lines = [["rows a second", "one lane", "two lanes", "ratio"]]
    for name, compiled in (("compiled", True), ("NumPy", False)):
        if compiled and not mpc.kernel.COMPILED:
            continue
        with patch.object(mpc.kernel, "COMPILED", new=compiled):
            found = compare((1, 2))
        one, two = (ROWS / found[number] for number in (1, 2))
        lines.append([name, f"{one:,.0f}", f"{two:,.0f}", f"{two / one:.2f}"])
    print(aligned(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
