"""Rows through the cipher, chunk after chunk, several chunks in flight: their rounds overlap."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TypeVar

from mpc.errors import MpcError
from mpc.session import Session

CHUNKS = 16
"""At least so many, where there are rows enough: lanes have something to overlap, over slow lines above all."""
CHUNK_ROWS = 1 << 14, 1 << 17
"""Fewest and most: a step of a chunk costs the interpreter a tenth of a millisecond, and a lane takes 200 B a row."""
LANES, MOST_LANES = 4, 32
"""A party that is ahead with more lanes than another one would fill that one's mailbox: see `mpc.channel`."""

T = TypeVar("T")
Progress = Callable[[str, int, int], None]
"""(phase, rows done, rows in all)."""


def suitable(rows: int) -> int:
    """Rows of a chunk, of so many in all."""
    fewest, most = CHUNK_ROWS
    return min(max(-(-rows // (64 * CHUNKS)) * 64, fewest), most)


@dataclass(frozen=True)
class Lanes:
    """How rows are cut, and how far they are.

    Attributes:
        progress: told of every chunk, from any thread.
        number: chunks in flight, each in a thread with step labels of its own.
        chunk_rows: rows of a chunk; the same at all parties.
    """

    progress: Progress
    number: int
    chunk_rows: int

    def map(self, session: Session, rows: int, phase: str, lane: Callable[[Session, slice], T]) -> list[T]:
        """Do something to every chunk; where one fails, the other lanes end, here and at the peers.

        Args:
            session: at a step of its own.
            rows: in all.
            phase: as progress is told.
            lane: given the session at the chunk's own step, and the places of its rows.

        Returns:
            What it made of each chunk, in their order.

        Raises:
            MpcError: what a lane raises.
        """
        places = [slice(start, min(start + self.chunk_rows, rows)) for start in range(0, rows, self.chunk_rows)]
        self.progress(phase, 0, rows)
        with ThreadPoolExecutor(self.number) as pool:
            chunks = {pool.submit(lane, session.at(f"chunk{k}"), place): place for k, place in enumerate(places)}
            done = 0
            try:
                for chunk in as_completed(chunks):
                    chunk.result()
                    done += chunks[chunk].stop - chunks[chunk].start
                    self.progress(phase, done, rows)
            except BaseException as error:
                pool.shutdown(wait=False, cancel_futures=True)
                session.channel.abort(error if isinstance(error, MpcError) else MpcError("another lane failed"))
                raise
        return [chunk.result() for chunk in chunks]
