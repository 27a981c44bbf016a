"""A committee node's runs: one computes at a time, the others wait their turn."""

from __future__ import annotations

import ctypes
import hashlib
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mpc import engine
from mpc.channel import MAILBOX_BYTES, Mailbox
from mpc.committee import PARTIES, PartyId
from mpc.dummies import Noise, pair_secret
from mpc.engine import Inputs, Outputs
from mpc.errors import MpcError, PeerError
from mpc.matching import Reveal
from mpc.replicated import Array, Share
from mpc.reveal import DIGEST_BYTES
from mpc.session import open_session
from parties import errors, metrics
from parties.config import Config
from parties.contribution import fill_share, held_by
from parties.errors import PeerUnavailable, ServiceError, StorageError, TooManyCalls
from parties.guard import Guard
from parties.lifecycle import State
from parties.service import Service
from parties.statements import Commitment
from parties.store import SessionRecord
from parties.transport import ExchangeChannel, Mailboxes

log = logging.getLogger("matchbit")
ROW_S = 0.005
"""What an attempt may take for each row, besides a time for itself: on a line of 1 Mbit/s it takes as long."""
TURN_S = 0.0005
"""How long a thread that only wants the interpreter's lock for a moment waits for one that does not give it up."""
KEPT = {-1: 64 << 20, -2: 4 << 20, -3: 4 << 20, -8: 1}
"""glibc's M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD and M_ARENA_MAX. A message is a megabyte, taken by one thread
and freed by another, a thousand a second: by its own defaults the library gives each back to the system, takes a tenth
of all time to get it again, and keeps what many threads had at most, each for itself."""


def prepare() -> None:
    """Make a daemon's process one that computes: lanes take turns quickly, and memory is kept between messages."""
    sys.setswitchinterval(TURN_S)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    if mallopt is not None:  # glibc's
        for option, value in KEPT.items():
            mallopt(option, value)


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
    failure: str = ""

    def mark(self, phase: str, done: int, total: int) -> None:
        """Take note of progress, and of when a phase began."""
        if not self.marks or self.marks[-1][0] != phase:
            self.marks.append((phase, time.monotonic()))
        self.progress = (phase, done, total)

    def end(self) -> None:
        """Free who still delivers, and keep nothing: the traceback of an error in the mailbox would hold shares."""
        ended = MpcError("the attempt has ended")
        self.mailbox.abort(ended)
        self.mailbox = Mailbox(0.0)
        self.mailbox.abort(ended)

    def phases(self) -> tuple[tuple[str, float], ...]:
        """Seconds of each phase."""
        ends = [at for _, at in self.marks[1:]]
        return tuple((name, end - at) for (name, at), end in zip(self.marks, ends, strict=False))


class Runs:
    """Starts runs and answers for them.

    Args:
        config: of this node.
        guard: decides.
        mailboxes: where the exchange servicer delivers.
        service: of this node; a run is not cut off when it is asked to stop.
    """

    def __init__(self, config: Config, guard: Guard, mailboxes: Mailboxes, service: Service) -> None:
        self._config, self._guard, self._mailboxes, self._service = config, guard, mailboxes, service
        self._turn = threading.Condition()
        self._queue: deque[object] = deque()
        self._runs: dict[bytes, Run] = {}

    def get(self, session_id: bytes) -> Run | None:
        """The newest attempt since this node was started."""
        return self._runs.get(session_id)

    def start(
        self,
        caller: str,
        session_id: bytes,
        attempt: int,
        commitments: Sequence[Commitment],
        is_waited_for: Callable[[], bool],
    ) -> None:
        """Wait for this node's turn, then begin an attempt in a thread of its own.

        Args:
            caller: who asks.
            session_id: 32 bytes.
            attempt: its number; 0 to ask whether one could begin.
            commitments: what it is to be computed on.
            is_waited_for: whether the coordinator still waits.

        Raises:
            SessionRefused: the attempt cannot begin.
            TooManyCalls: other sessions had their turn for as long as the coordinator waits.
            PeerUnavailable: the node is being stopped.
        """
        self._guard.check(caller, session_id, commitments)
        if attempt == 0:
            return
        self.abort(session_id, attempt - 1, f"attempt {attempt} replaces it")
        with ExitStack() as at_its_end:
            self._wait(is_waited_for)
            at_its_end.callback(self._next)
            at_its_end.enter_context(self._service.working())
            if self._guard.begin(caller, session_id, attempt, commitments):
                record = self._guard.store.get(session_id)
                run = Run(self._guard.party(record.manifest), attempt, Mailbox(self._config.start_timeout_s))
                self._runs[session_id] = run
                self._mailboxes.open(session_id, attempt, run.mailbox)
                at_its_end.callback(run.end)
                at_its_end.callback(self._mailboxes.close, session_id, attempt)
                until_its_end = at_its_end.pop_all()
                try:
                    args = (record, commitments, run, until_its_end)
                    threading.Thread(target=self._compute, args=args, name="compute", daemon=True).start()
                except BaseException:
                    with until_its_end:
                        self._guard.failed(
                            session_id, attempt, f"{self._config.name} has no thread left to compute in."
                        )
                    raise

    def _wait(self, is_waited_for: Callable[[], bool]) -> None:
        ticket = object()
        with self._turn:
            self._queue.append(ticket)
            while self._queue[0] is not ticket and is_waited_for():
                self._turn.wait(1.0)
            if self._queue[0] is not ticket:
                self._queue.remove(ticket)
                raise TooManyCalls(f"{self._config.name} computes other sessions; this one waits for its turn.")

    def _next(self) -> None:
        with self._turn:
            self._queue.popleft()
            self._turn.notify_all()

    def abort(self, session_id: bytes, attempt: int, reason: str) -> None:
        """End a session's run, if it is of this attempt or an earlier one."""
        run = self._runs.get(session_id)
        if run is not None and run.attempt <= attempt:
            run.mailbox.abort(MpcError(reason))

    def stop(self) -> None:
        """End every run: the node is being stopped, and the session can be run again when it is back."""
        for run in list(self._runs.values()):
            run.mailbox.abort(PeerError(run.party, "channel", "disconnected", "its operator stopped it"))

    def _compute(
        self, record: SessionRecord, commitments: Sequence[Commitment], run: Run, at_its_end: ExitStack
    ) -> None:
        told = {"session": record.id[:8].hex(), "attempt": run.attempt}
        log.info("session %s, attempt %d: started", *told.values(), extra=told)
        with at_its_end:
            try:
                outputs = self._attempt(record, commitments, run)
                parts = {} if outputs.parts is None else dict(zip(record.manifest.members, outputs.parts, strict=True))
                shown = {c.name: parts[c.name].tobytes() for c in commitments if parts}
                phases = dict(run.figures.phases)
                self._guard.computed(record, shown, list(outputs.group_sizes[1:]), phases)
                metrics.add_rows(sum(c.keys for c in commitments))
                _measure(State.COMPUTED, run.figures)
                log.info("session %s, attempt %d: computed", *told.values(), extra=told)
            except Exception as error:
                self._fail(record, run, error, told)

    def _fail(self, record: SessionRecord, run: Run, error: Exception, told: dict[str, object]) -> None:
        reason = errors.sentence(error, record.manifest.committee, record.manifest.members)
        known = isinstance(error, MpcError | errors.ServiceError)
        details = None if known else error
        log.error("session %s, attempt %d: %s", *told.values(), reason, exc_info=details, extra=told)
        silent = isinstance(error, PeerError) and error.reason in ("timeout", "disconnected")
        run.retriable = silent or isinstance(error, PeerUnavailable | StorageError)
        _measure(State.ABORTED, run.figures)
        run.failure = reason
        self.settle(record.id)

    def settle(self, session_id: bytes) -> None:
        """Write down that a run has failed, also where the disk was full when it did."""
        run = self._runs.get(session_id)
        if run is not None and run.failure:
            try:
                self._guard.failed(session_id, run.attempt, run.failure)
            except StorageError as full:  # the coordinator hears of the failure all the same
                log.error("session %s: %s", session_id[:8].hex(), full)

    def _attempt(self, record: SessionRecord, commitments: Sequence[Commitment], run: Run) -> Outputs:
        manifest, federation, identity = record.manifest, self._config.federation(), self._config.identity()
        party = run.party
        nodes = {p: federation[manifest.committee[p]] for p in PARTIES if p != party}
        started, idle = time.process_time(), memory()[0]
        run.mark("load", 0, 0)
        inputs = load_inputs(self._guard, record, commitments)
        most = longest_queue(inputs)
        channel = ExchangeChannel(run.mailbox, record.id, run.attempt, nodes, identity, most_unread_bytes=most)
        done = False
        try:
            context = record.id + run.attempt.to_bytes(4, "big")
            run.mark("waiting for the others", 0, inputs.total)
            session = open_session(party, channel, X25519PrivateKey.generate(), context)
            run.mailbox.timeout_s = self._config.step_timeout_s
            with _expiring(run.mailbox, self._config.attempt_timeout_s + ROW_S * inputs.total):
                outputs = engine.run(session, inputs, run.mark, self._config.lanes)
            done = True
        finally:
            try:
                channel.close(done=done)
            except ServiceError as error:  # what was computed is computed
                log.warning("session %s: a stream did not end in order: %s", record.id[:8].hex(), error)
            cpu_s = time.process_time() - started
            run.figures = Figures(cpu_s, channel.sent_bytes, idle, memory()[1], run.phases())
        return outputs


@contextmanager
def _expiring(mailbox: Mailbox, seconds: float) -> Iterator[None]:
    """Wait no longer than this in all."""
    timer = threading.Timer(seconds, mailbox.expire)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _measure(outcome: State, figures: Figures) -> None:
    metrics.run_ended(outcome)
    metrics.sent(figures.sent_bytes)
    for name, seconds in figures.phases:
        metrics.phase(name, seconds)


def load_inputs(guard: Guard, record: SessionRecord, commitments: Sequence[Commitment]) -> Inputs:
    """Everything that this node computes an attempt on, in the members' order; those that are absent have no rows."""
    manifest, party = record.manifest, guard.party(record.manifest)
    committed = {c.name: c for c in commitments}
    found = {c.name: guard.shares.upload(record.id, c.name, c.digest) for c in commitments}
    held = {name: upload for name, upload in found.items() if upload}
    if len(held) < len(found):  # begun only when all were there
        raise StorageError(f"Shares are missing, of {', '.join(found.keys() - held.keys())}; see the disk.")
    counts = tuple(committed[m].keys if m in committed else 0 for m in manifest.members)

    def rows() -> Share:
        share = Share(*(np.zeros((sum(counts), 2), np.uint64) for _ in "ab"))
        start = 0
        for member, number in zip(manifest.members, counts, strict=True):
            if upload := held.get(member):
                fill_share(party, share[start : start + number], upload.seeds, guard.shares.chunks(upload.id))
                start += number
        return share

    assert record.contributions is not None  # noqa: S101 - set when the attempt began
    terms = hashlib.sha256(record.id + record.contributions).digest()
    seeds = zip(*(held[m].seeds for m in manifest.members if m in committed), strict=True)
    of_a, of_b = (pair_secret(dealt, terms) for dealt in seeds)
    noise = None if manifest.dummies is None else Noise(manifest.dummies, len(manifest.rules), len(manifest.members))
    digests = tuple(_digests(committed.get(m), held_by(party)) for m in manifest.members)
    return Inputs(terms, counts, digests, rows, Reveal(manifest.reveal), noise, (of_a, of_b), manifest.verify_tags)


def _digests(commitment: Commitment | None, components: tuple[int, int]) -> tuple[Array, Array]:
    """(32,) uint8 each: what a member committed to of two components; zeros for one that is absent."""
    of_a, of_b = (commitment.digests[c] if commitment else bytes(DIGEST_BYTES) for c in components)
    return np.frombuffer(of_a, np.uint8), np.frombuffer(of_b, np.uint8)


def longest_queue(inputs: Inputs) -> int:
    """Bytes that an honest peer may leave unread: two passes of the shuffle, and a mailbox for what lanes send."""
    words = 2 + (-(-len(inputs.counts) // 64) if inputs.reveal is Reveal.MEMBERS else 0)
    words = max(words, 4 if inputs.verified else 0)  # rows and tags are shuffled together
    return MAILBOX_BYTES + 2 * 8 * words * inputs.total


def memory() -> tuple[int, int]:
    """Resident bytes of this process now, and at most so far; zeros where the system does not tell."""
    if not sys.platform.startswith("linux"):
        return 0, 0
    lines = (line.split() for line in Path("/proc/self/status").read_text("ascii").splitlines())
    kilobytes = {line[0]: line[1] for line in lines if len(line) > 1}
    now, peak = (int(kilobytes[key]) * 1024 for key in ("VmRSS:", "VmHWM:"))
    return now, peak
