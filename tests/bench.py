"""The usual table of docs/performance.md: `make bench`; `python -m tests.bench ROWS …` for other sizes."""

from __future__ import annotations

import os
import platform
import sys
import time

import numpy as np

from mpc import aes, bitslice
from mpc.committee import PARTIES, PartyId
from mpc.errors import MpcError
from mpc.prss import Keystream, Prss
from mpc.replicated import Share
from mpc.session import Session
from parties.cli import main

CHUNK_ROWS = 1 << 16
CHUNKS = 8


class Mirror:
    """A channel on which a party receives what it sends: for timing local work."""

    def __init__(self) -> None:
        self._messages: dict[str, bytes] = {}

    def send(self, peer: PartyId, step: str, message: bytes) -> None:
        """Keep the message."""
        del peer
        self._messages[step] = message

    def receive(self, peer: PartyId, step: str) -> bytes:
        """Give it back."""
        del peer
        return self._messages.pop(step)

    def abort(self, error: MpcError) -> None:
        """Nobody waits here."""


def local_work() -> None:
    """One party's part of oblivious AES on one core: every product, mask, copy and authenticator, without a network."""
    key = bytes(16)
    session = Session(PARTIES[0], Mirror(), Prss(os.urandom(32), os.urandom(32)), dict.fromkeys(PARTIES, (key, key)))
    random = np.random.default_rng()
    rows = Share(*(random.integers(0, 2**64, (CHUNK_ROWS, 2), np.uint64) for _ in "ab"))
    schedule = aes.key_schedule(session.at("schedule"), Share(*np.zeros((2, 8, 16), np.uint64)))
    layout = bitslice.Layout.of(CHUNK_ROWS)
    scratch = np.ones(880 * CHUNK_ROWS, np.uint8)
    seconds = {"rows to planes": 0.0, "oblivious AES": 0.0, "planes to rows": 0.0, "(880 bytes a row of AES-CTR)": 0.0}
    for chunk in range(CHUNKS):
        marks = [time.process_time()]
        planes = rows.map(lambda c: bitslice.to_planes(c, layout))
        marks.append(time.process_time())
        tags = aes.encrypt(session.at(f"chunk{chunk}"), schedule, planes)
        marks.append(time.process_time())
        bitslice.from_planes(tags.a, layout)
        marks.append(time.process_time())
        Keystream(key).xor_into(scratch)
        marks.append(time.process_time())
        for name, start, end in zip(seconds, marks, marks[1:], strict=False):
            seconds[name] += end - start
    print("local work of one party, seconds of one core per million rows")
    for name, total in seconds.items():
        print(f"  {name:<28}{total / (CHUNKS * CHUNK_ROWS) * 1e6:>8.2f}")


if __name__ == "__main__":
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, {os.cpu_count()} cores, {platform.machine()}\n")
    local_work()
    for size in sys.argv[1:] or ("1000", "100000", "1000000"):
        print(f"\nmatchbit bench --rows {size}\n", flush=True)
        if code := main(["bench", "--rows", size]):
            sys.exit(code)
