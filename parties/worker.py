"""A process of its own for what MPyC computes, and the node's side of it.

MPyC keeps its runtime in globals of its process, so each attempt gets a process. It is given shares on its standard
input, no keys of the node and no connection: whatever it sends to peers and receives from them goes through the node,
one message at a time. Both sides of the pipe are ours; a message is a line of JSON, then as many
bytes as it says.

    node → worker: the task; what a peer sent
    worker → node: send this to a peer; wait for a peer's message; progress; the result, or an error
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mpc.channel import Channel
from mpc.errors import DealingError, IntegrityError, MpcError, PeerError
from mpc.lanes import Progress
from mpc.matching import Reveal
from mpc.replicated import Array
from mpc.session import open_links
from mpc.shamir import ELEMENT_BYTES
from parties.errors import PeerUnavailable
from parties.memory import memory
from parties.secrecy import forbid_dumps

COMMAND = [sys.executable, "-P", "-m", "parties.worker"]
ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT")
"""What a worker inherits: neither MPyC's own settings nor where the node's credentials are."""
STEP = "mpyc"
"""Under which all its messages are labelled."""
ERRORS: dict[str, type[MpcError]] = {e.__name__: e for e in (PeerError, IntegrityError, DealingError, MpcError)}
"""What a worker's errors are at the node."""


@dataclass(frozen=True, repr=False)
class Task:
    """What a worker computes.

    Attributes:
        party: who we are.
        parties: how many there are.
        threshold: t.
        context: public: session id and attempt.
        terms: 32 bytes, public: a digest of the agreed terms.
        counts: rows of each member.
        reveal: what members learn.
        cells: of a row, for statistics.
        smallest: number that a table may show.
        rows: (sum of counts, 1 + cells, 17) uint8 shares; or, of an attempt of the replicated engine at its end,
            (sum of counts, members - 1 + cells) uint8 bits, or None at the party that has none.
        follows: whether the replicated engine has gone before.
    """

    party: int
    parties: int
    threshold: int
    context: bytes
    terms: bytes
    counts: tuple[int, ...]
    reveal: Reveal
    cells: int
    smallest: int
    rows: Array | None
    follows: bool = False


@dataclass(frozen=True, repr=False)
class Computed:
    """What a worker gives back.

    Attributes:
        parts: for each member this party's shares of its result, (n, 17) uint8.
        peak_rss_bytes: resident bytes of the worker at most.
    """

    parts: tuple[Array, ...]
    peak_rss_bytes: int


class Pipe:
    """One side of the pipes between a node and its worker.

    Args:
        incoming: to read from, binary.
        outgoing: to write to, binary.
    """

    def __init__(self, incoming: IO[bytes], outgoing: IO[bytes]) -> None:
        self._incoming, self._outgoing = incoming, outgoing

    def put(self, kind: str, *facts: Any, data: bytes | memoryview = b"") -> None:
        """Send a message."""
        self._outgoing.write(json.dumps([kind, facts, len(data)]).encode() + b"\n")
        self._outgoing.write(data)
        self._outgoing.flush()

    def get(self) -> tuple[str, list[Any], bytes]:
        """Wait for a message: its kind, facts and data.

        Raises:
            EOFError: the other side is gone.
        """
        line = self._incoming.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        kind, facts, length = json.loads(line)
        data = self._incoming.read(length)
        if len(data) < length:
            raise EOFError
        return kind, facts, data


# The node's side


def compute(task: Task, channel: Channel, progress: Progress) -> Computed:
    """Have a task computed in a process of its own.

    Args:
        task: what.
        channel: to the peers.
        progress: told of every phase and chunk.

    Raises:
        MpcError: as the protocols and the channel raise.
        PeerUnavailable: the process ended before its time.
    """
    with _process() as process:
        pipe = Pipe(process.stdout, process.stdin)  # type: ignore[arg-type]  # both are pipes
        try:
            _give(pipe, task)
            return _serve(pipe, channel, progress)
        except (EOFError, BrokenPipeError):
            raise PeerUnavailable(
                f"The process that computes for this node ended before its time ({_ended(process)}); its operator "
                "should look at its log, and whether the machine has memory enough."
            ) from None


@contextmanager
def _process() -> Iterator[subprocess.Popen[bytes]]:
    """A worker for the length of a block; it does not outlive it."""
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    environment |= {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(  # noqa: S603 - our own program
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what it was not told any more
                    pipe.close()


def _ended(process: subprocess.Popen[bytes]) -> str:
    code = process.wait()
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _give(pipe: Pipe, task: Task) -> None:
    rows = b"" if task.rows is None else np.ascontiguousarray(task.rows).reshape(-1).data
    facts = (
        task.party, task.parties, task.threshold, task.context.hex(), task.terms.hex(), task.counts, task.reveal.value,
        task.cells, task.smallest, task.rows is not None, task.follows,
    )  # fmt: skip
    pipe.put("task", *facts, data=rows)


def _serve(pipe: Pipe, channel: Channel, progress: Progress) -> Computed:
    """Do for a worker what it asks, until it has a result."""
    parts = []
    while True:
        match pipe.get():
            case "send", [peer, step], message:
                channel.send(peer, step, message)
            case "receive", [peer, step], _:
                pipe.put("message", data=memoryview(channel.receive(peer, step)))
            case "progress", [phase, done, total], _:
                progress(phase, done, total)
            case "part", _, part:
                parts.append(np.frombuffer(part, np.uint8).reshape(-1, ELEMENT_BYTES))
            case "done", [peak_rss_bytes], _:
                return Computed(tuple(parts), peak_rss_bytes)
            case "failed", [name, facts], _:
                raise ERRORS[name](*facts)


# The worker's side


class _PipeChannel:
    """The channel as a worker sees it."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def send(self, peer: int, step: str, *pieces: bytes | memoryview) -> None:
        self._pipe.put("send", peer, f"{STEP}/{step}", data=b"".join(pieces))

    def receive(self, peer: int, step: str) -> bytes:
        self._pipe.put("receive", peer, f"{STEP}/{step}")
        return self._pipe.get()[2]

    def abort(self, error: MpcError) -> None:
        """Nothing waits here."""


def main() -> None:
    """Compute what the node asks for."""
    for number in (signal.SIGTERM, signal.SIGINT):  # to a whole service or terminal: a node ends its run first
        signal.signal(number, signal.SIG_IGN)
    forbid_dumps()
    pipe = Pipe(sys.stdin.buffer, sys.stdout.buffer)
    sys.stdout = sys.stderr  # whatever else is written
    try:
        _answer(pipe, *pipe.get()[1:])
    except (EOFError, BrokenPipeError):  # the node is gone, or wants no more
        return


def _answer(pipe: Pipe, facts: list[Any], data: bytes) -> None:
    """Compute a task and tell the result, or why there is none."""
    try:
        for part in _computed(pipe, facts, data):
            pipe.put("part", data=np.ascontiguousarray(part).reshape(-1).data)
        pipe.put("done", memory()[1])
    except PeerError as error:
        pipe.put("failed", "PeerError", [error.peer, error.step, error.reason, error.detail])
    except IntegrityError as error:
        pipe.put("failed", "IntegrityError", [error.step, error.detail, error.peers])
    except DealingError as error:
        pipe.put("failed", "DealingError", [error.member, error.peer])
    except (EOFError, BrokenPipeError):
        raise
    except Exception as error:  # a bug of ours; where it is, but not what it says: that could be of shares
        print(f"{type(error).__name__} in a worker", *traceback.format_tb(error.__traceback__), file=sys.stderr)
        pipe.put("failed", "MpcError", [f"an unexpected error ({type(error).__name__}), see the log"])


def _computed(pipe: Pipe, facts: list[Any], data: bytes) -> Sequence[Array]:
    """For each member this party's shares of its result."""
    from mpc import mpyc_engine  # noqa: PLC0415 - its import, half a second, is for the worker alone

    (party, parties, threshold, context, terms, counts, reveal, cells, smallest, given, follows) = facts
    links = open_links(party, parties, _PipeChannel(pipe), X25519PrivateKey.generate(), bytes.fromhex(context))

    def progress(phase: str, done: int, total: int) -> None:
        pipe.put("progress", phase, done, total)

    rows = np.frombuffer(data, np.uint8)
    if follows:
        part = rows.reshape(sum(counts), len(counts) - 1 + cells) if given else None
        bits = mpyc_engine.Bits(bytes.fromhex(terms), tuple(counts), smallest, cells, part)
        return [mpyc_engine.tabulate(links, bits, progress)] * len(counts)
    shares = rows.reshape(sum(counts), 1 + cells, ELEMENT_BYTES)
    inputs = mpyc_engine.Inputs(bytes.fromhex(terms), tuple(counts), shares, Reveal(reveal), smallest)
    return mpyc_engine.run(links, threshold, inputs, progress)


if __name__ == "__main__":
    main()
