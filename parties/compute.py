"""A committee node's runs: one computes at a time, the others wait their turn."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mpc import blocks, engine
from mpc.channel import Channel, Mailbox
from mpc.committee import PartyId
from mpc.engine import Outputs
from mpc.errors import MpcError, PeerError
from mpc.lanes import Progress
from mpc.matching import Reveal
from mpc.session import open_session
from parties import errors, metrics, worker
from parties.config import Config
from parties.engines import Engine
from parties.errors import PeerUnavailable, ServiceError, StorageError, TooManyCalls
from parties.guard import Guard
from parties.inputs import load_inputs, load_task, longest_queue, table_task
from parties.lifecycle import State
from parties.memory import memory
from parties.service import Service
from parties.statements import Commitment
from parties.store import SessionRecord
from parties.transport import ExchangeChannel, Mailboxes
from parties.worker import Task

log = logging.getLogger("matchbit")
ROW_S = 0.005
"""What an attempt may take for each row, besides a time for itself: on a line of 1 Mbit/s it takes as long."""
PAIR_S = 0.0001
"""The same for each pair of records that there may be at most; a tenth of them on such a line."""
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

    party: int
    attempt: int
    mailbox: Mailbox
    progress: tuple[str, int, int] = ("waiting for the others", 0, 0)
    marks: list[tuple[str, float]] = field(default_factory=list)
    figures: Figures = field(default_factory=Figures)
    worker_rss_bytes: int = 0
    retriable: bool = False
    failure: str = ""

    def mark(self, phase: str, done: int, total: int) -> None:
        """Take note of progress, and of when a phase began."""
        if not self.marks or self.marks[-1][0] != phase:
            self.marks.append((phase, time.monotonic()))
        self.progress = (phase, done, total)

    def apart(self, task: Task, channel: Channel, progress: Progress, group_sizes: tuple[int, ...]) -> Outputs:
        """Have a task computed in a process of its own, and note what memory that took."""
        computed = worker.compute(task, channel, progress)
        self.worker_rss_bytes = computed.peak_rss_bytes
        return Outputs(computed.parts, group_sizes)

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
                found = self._attempt(record, commitments, run)
                parts = dict(zip(record.manifest.members, found.parts or (), strict=found.parts is not None))
                shown = {c.name: parts[c.name].tobytes() for c in commitments if parts}
                phases = dict(run.figures.phases)
                self._guard.computed(record, shown, found.group_sizes[1:], phases, found.block_sizes[1:])
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
        nodes = {p: federation[name] for p, name in enumerate(manifest.committee) if p != run.party}
        context = record.id + run.attempt.to_bytes(4, "big")
        compute = self._by_mpyc if manifest.engine == Engine.MPYC.value else self._replicated
        started, idle = _cpu_s(), memory()[0]
        run.mark("load", 0, 0)
        channel, done = ExchangeChannel(run.mailbox, record.id, run.attempt, nodes, identity), False
        try:
            outputs = compute(record, commitments, run, channel, context)
            done = True
        finally:
            try:
                channel.close(done=done)
            except ServiceError as error:  # what was computed is computed
                log.warning("session %s: a stream did not end in order: %s", record.id[:8].hex(), error)
            peak = memory()[1] + run.worker_rss_bytes
            run.figures = Figures(_cpu_s() - started, channel.sent_bytes, idle, peak, run.phases())
        return outputs

    def _replicated(
        self,
        record: SessionRecord,
        commitments: Sequence[Commitment],
        run: Run,
        channel: ExchangeChannel,
        context: bytes,
    ) -> Outputs:
        inputs = load_inputs(self._guard, record, commitments)
        channel.most_unread_bytes = longest_queue(inputs)
        run.mark("waiting for the others", 0, inputs.total)
        session = open_session(PartyId(run.party), channel, X25519PrivateKey.generate(), context)
        run.mailbox.timeout_s = self._config.step_timeout_s
        of_table = blocks.MOST_SECONDS if inputs.reveal is Reveal.STATISTICS else 0.0
        of_rows = ROW_S * inputs.total + PAIR_S * inputs.most_pairs
        with _expiring(run.mailbox, self._config.attempt_timeout_s + of_rows + of_table):
            outputs = engine.run(session, inputs, run.mark, self._config.lanes)
            if inputs.reveal is not Reveal.STATISTICS:
                return outputs
            run.mark("tabulate", 0, inputs.total)
            task = table_task(self._guard, record.manifest, context, inputs, outputs)
            return run.apart(task, channel, run.mark, outputs.group_sizes)

    def _by_mpyc(
        self,
        record: SessionRecord,
        commitments: Sequence[Commitment],
        run: Run,
        channel: ExchangeChannel,
        context: bytes,
    ) -> Outputs:
        task = load_task(self._guard, record, commitments, context)
        run.mark("waiting for the others", 0, sum(task.counts))

        def progress(phase: str, done: int, total: int) -> None:
            run.mailbox.timeout_s = self._config.step_timeout_s  # all have begun
            run.mark(phase, done, total)

        with _expiring(run.mailbox, self._config.attempt_timeout_s + blocks.MOST_SECONDS):
            return run.apart(task, channel, progress, (0,))


def _cpu_s() -> float:
    """Seconds of processor time of this process, and of those that it has waited for."""
    return sum(os.times()[:4])


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
