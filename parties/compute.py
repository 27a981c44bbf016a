"""A committee node's runs: one computes at a time, the others wait their turn."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mpc import engine
from mpc.channel import Mailbox
from mpc.committee import PARTIES, PartyId
from mpc.engine import Inputs, Outputs
from mpc.errors import MpcError, PeerError
from mpc.matching import Reveal
from mpc.replicated import Share
from mpc.session import open_session
from parties import errors
from parties.config import Config
from parties.contribution import expand_share
from parties.errors import PeerUnavailable, SessionRefused
from parties.lifecycle import Event
from parties.store import SessionRecord, Store
from parties.transport import ExchangeChannel, Mailboxes

log = logging.getLogger("matchbit")


@dataclass(frozen=True)
class Figures:
    """What a run cost this node; see committee.proto."""

    cpu_s: float = 0.0
    sent_bytes: int = 0
    idle_rss_bytes: int = 0
    peak_rss_bytes: int = 0
    phases: tuple[tuple[str, float], ...] = ()


@dataclass
class Run:
    """One attempt on this node."""

    party: PartyId
    attempt: int
    mailbox: Mailbox
    progress: tuple[str, int, int] = ("waiting for the others", 0, 0)
    marks: list[tuple[str, float]] = field(default_factory=list)
    figures: Figures = field(default_factory=Figures)
    retriable: bool = False

    def mark(self, phase: str, done: int, total: int) -> None:
        """Take note of progress, and of when a phase began."""
        if not self.marks or self.marks[-1][0] != phase:
            self.marks.append((phase, time.monotonic()))
        self.progress = (phase, done, total)

    def phases(self) -> tuple[tuple[str, float], ...]:
        """Seconds of each phase."""
        ends = [at for _, at in self.marks[1:]]
        return tuple((name, end - at) for (name, at), end in zip(self.marks, ends, strict=False))


class Runs:
    """Starts runs and answers for them.

    Args:
        config: of this node.
        store: of this node.
        mailboxes: where the exchange servicer delivers.
    """

    def __init__(self, config: Config, store: Store, mailboxes: Mailboxes) -> None:
        self._config, self._store, self._mailboxes = config, store, mailboxes
        self._turn = threading.Condition()
        self._queue: deque[object] = deque()
        self._runs: dict[bytes, Run] = {}

    def get(self, session_id: bytes) -> Run | None:
        """The newest attempt since this node was started."""
        return self._runs.get(session_id)

    def start(
        self,
        record: SessionRecord,
        attempt: int,
        reported: Mapping[str, tuple[bytes, bytes]],
        is_waited_for: Callable[[], bool],
    ) -> None:
        """Wait for this node's turn, then begin an attempt in a thread of its own.

        Args:
            record: of a session whose terms have been checked.
            attempt: its number.
            reported: for each member the digests of the contribution that it reported.
            is_waited_for: whether the coordinator still waits.

        Raises:
            SessionRefused: the attempt cannot begin.
            PeerUnavailable: the coordinator gave up waiting.
        """
        older = self._runs.get(record.id)
        if older is not None and older.attempt < attempt:
            older.mailbox.abort(MpcError(f"attempt {attempt} replaces it"))
        ticket = object()
        with self._turn:
            self._queue.append(ticket)
            while self._queue[0] is not ticket and is_waited_for():
                self._turn.wait(1.0)
            if self._queue[0] is not ticket:
                self._queue.remove(ticket)
                raise PeerUnavailable("The coordinator stopped waiting for its turn.")
        try:
            self._store.set_attempt(record.id, attempt)
            self._check_contributions(record, reported)
            party = PartyId(record.manifest.committee.index(self._config.name))
            run = self._runs[record.id] = Run(party, attempt, Mailbox(self._config.start_timeout_s))
            self._mailboxes.open(record.id, attempt, run.mailbox)
            thread = threading.Thread(target=self._compute, args=(record, run), name="compute", daemon=True)
        except BaseException:
            self._next()
            raise
        thread.start()

    def _check_contributions(self, record: SessionRecord, reported: Mapping[str, tuple[bytes, bytes]]) -> None:
        """Hold what is stored, which nobody can change while the session runs, against what members reported."""
        held = self._store.contributions(record.id)
        other = [m for m in record.manifest.members if m not in held or held[m].digests != reported.get(m)]
        if other:
            reason = f"{', '.join(other)} did not finish contributing and must contribute again."
            self._store.change(record.id, Event.ABORT, reason)
            raise SessionRefused(reason)

    def stop(self) -> None:
        """End every run: the node is being stopped, and the session can be run again when it is back."""
        for run in list(self._runs.values()):
            run.mailbox.abort(PeerError(run.party, "channel", "disconnected", "its operator stopped it"))

    def _next(self) -> None:
        with self._turn:
            self._queue.popleft()
            self._turn.notify_all()

    def _compute(self, record: SessionRecord, run: Run) -> None:
        title = f"session {record.id[:8].hex()}, attempt {run.attempt}"
        log.info("%s: started", title)
        try:
            outputs = self._attempt(record, run)
            parts = {} if outputs.parts is None else dict(zip(record.manifest.members, outputs.parts, strict=True))
            learned = ", ".join(f"{n} keys at {s}" for s, n in enumerate(outputs.group_sizes) if n)
            event = f"attempt {run.attempt} is done; this node learned how many members hold a key: {learned}"
            self._store.add_results(record.id, run.attempt, {m: p.tobytes() for m, p in parts.items()}, event)
            log.info("%s: done", title)
        except Exception as error:
            self._fail(record, run, error, title)
        finally:
            self._mailboxes.close(record.id, run.attempt)
            self._next()

    def _fail(self, record: SessionRecord, run: Run, error: Exception, title: str) -> None:
        reason = errors.sentence(error, record.manifest.committee, record.manifest.members)
        known = isinstance(error, MpcError | errors.ServiceError)
        log.error("%s: %s", title, reason, exc_info=None if known else error)
        silent = isinstance(error, PeerError) and error.reason in ("timeout", "disconnected")
        run.retriable = silent or isinstance(error, PeerUnavailable)
        if self._store.get(record.id).attempt == run.attempt:
            self._store.change(record.id, Event.ABORT, reason)

    def _attempt(self, record: SessionRecord, run: Run) -> Outputs:
        manifest, federation, identity = record.manifest, self._config.federation(), self._config.identity()
        party = run.party
        nodes = {p: federation[manifest.committee[p]] for p in PARTIES if p != party}
        started, idle = time.process_time(), memory()[0]
        run.mark("load", 0, 0)
        inputs = load_inputs(self._store, record, party)
        channel = ExchangeChannel(run.mailbox, record.id, run.attempt, nodes, identity)
        done = False
        try:
            context = record.id + run.attempt.to_bytes(4, "big")
            run.mark("waiting for the others", 0, len(inputs.rows.a))
            session = open_session(party, channel, X25519PrivateKey.generate(), context)
            run.mailbox.timeout_s = self._config.step_timeout_s

            def progress(phase: str, rows: int, total: int) -> None:
                if phase == "shuffle":
                    self._store.seal(record.id)
                run.mark(phase, rows, total)

            outputs = engine.run(session, inputs, progress, self._config.lanes)
            done = True
        finally:
            channel.close(done=done)
            cpu_s = time.process_time() - started
            run.figures = Figures(cpu_s, channel.sent_bytes, idle, memory()[1], run.phases())
        return outputs


def load_inputs(store: Store, record: SessionRecord, party: PartyId) -> Inputs:
    """Everything that this node holds for a session, in the members' order."""
    held = store.contributions(record.id)
    contributions = [held[m] for m in record.manifest.members]
    counts = tuple(c.rows for c in contributions)
    a, b = (np.empty((sum(counts), 2), np.uint64) for _ in "ab")
    start = 0
    for c in contributions:
        body = b"".join(store.chunks(c.upload))
        whole = np.frombuffer(body, np.uint64).reshape(-1, 2) if body else None
        share = expand_share(party, c.rows, c.seeds, whole)
        a[start : start + c.rows], b[start : start + c.rows] = share.a, share.b
        start += c.rows
    dealt = [[np.frombuffer(digest, np.uint8) for digest in c.digests] for c in contributions]
    digests = tuple((of_a, of_b) for of_a, of_b in dealt)
    return Inputs(record.id, counts, digests, Share(a, b), Reveal(record.manifest.reveal))


def memory() -> tuple[int, int]:
    """Resident bytes of this process now, and at most so far; zeros where the system does not tell."""
    if not sys.platform.startswith("linux"):
        return 0, 0
    lines = (line.split() for line in Path("/proc/self/status").read_text("ascii").splitlines())
    kilobytes = {line[0]: line[1] for line in lines if len(line) > 1}
    now, peak = (int(kilobytes[key]) * 1024 for key in ("VmRSS:", "VmHWM:"))
    return now, peak
