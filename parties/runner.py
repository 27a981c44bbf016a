"""Has sessions computed, for the coordinator: starts attempts at the nodes, follows them, and tells how they end.

Everything that must last is in the coordinator's database; what a runner remembers besides is only for its patience. So
a coordinator that was away goes on where the nodes are.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from parties.errors import InputError, PeerUnavailable, ServiceError, SessionRefused, TooManyCalls
from parties.lifecycle import State
from parties.registry import Registry
from parties.statements import Commitment, Completion
from parties.store import SessionRecord
from parties.wire import Answer

log = logging.getLogger("matchbit")
MAX_TRIES = 3
"""Attempts for one `run`; each has fresh randomness."""
ENDED = (State.DONE, State.ABORTED, State.REFUSED, State.EXPIRED, State.CLOSED)
"""States that committee nodes are told of."""
GOES_ON = (State.RUNNING, State.COMPUTED, State.DONE)
"""States of a node in which an attempt may still come to its end; in all others it has failed there."""
RUN_TIMEOUT_S = 24 * 3600.0
MAX_AHEAD = 1000
"""A node that says it is further ahead than that is not believed."""
POLL_S = (0.02, 0.25)
"""Shortest and longest pause between questions to the committee."""
TELL_S = (0.25, 60.0)
"""Shortest and longest pause before a node that could not be told is told again."""


class Committee(Protocol):
    """What a coordinator asks of committee nodes; each raises a ServiceError where a node refuses or is silent."""

    def look(self, name: str, session_id: bytes) -> Answer:
        """How the newest attempt goes; a node that does not know the session says so by attempt 0."""

    def check(self, name: str, session_id: bytes, commitments: list[Commitment]) -> None:
        """Ask whether an attempt could begin; nothing is changed."""

    def start(self, name: str, session_id: bytes, attempt: int, commitments: list[Commitment]) -> None:
        """Begin an attempt; waits for its turn."""

    def release(self, name: str, session_id: bytes, attempt: int, completions: list[Completion]) -> None:
        """Tell that results are released."""

    def abort(self, name: str, session_id: bytes, attempt: int, reason: str) -> None:
        """Tell that the session is aborted."""

    def delete(self, name: str, session_id: bytes) -> None:
        """Let a node delete a session's shares and results."""

    def exchange_heads(self, name: str, session_id: bytes) -> None:
        """Exchange how the audit logs stand."""


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed, and whether another one may succeed."""

    reason: str
    retriable: bool = True


@dataclass
class Patience:
    """How long a session's runner has been waiting; forgotten when the coordinator is restarted."""

    heard: float
    moved: object = None
    tries: int = 1
    pause_s: float = POLL_S[0]
    tell_s: float = TELL_S[0]
    queued: float = math.inf
    """Since when this attempt is kept from beginning by others' turns."""


class Runner:
    """Follows sessions.

    Nodes are asked to begin in the order of their names. Each makes a session wait for its turn, so sessions that share
    nodes queue in the same order everywhere and never wait for each other.

    Args:
        registry: the coordinator's decisions.
        committee: how nodes are reached.
        patience_s: how long a silent node is waited for.
        clock: seconds that only go forward.
    """

    def __init__(
        self, registry: Registry, committee: Committee, patience_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._registry, self._store, self._committee = registry, registry.store, committee
        self._patience_s, self._clock = patience_s, clock
        self._waits: dict[bytes, Patience] = {}
        self._driven: set[bytes] = set()
        self._asked_again: set[bytes] = set()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self.progress: dict[bytes, tuple[str, int, int]] = {}

    def drive_all(self) -> None:
        """Go on with every session that is being computed, or whose end is not known to all nodes."""
        for session_id in self._store.untold((State.RUNNING, *ENDED)):
            self._follow_in_thread(session_id)

    def drive(self, session_id: bytes) -> None:
        """Follow a session to its end everywhere, with patience as at the beginning."""
        with self._lock:
            self._waits.pop(session_id, None)
        self._follow_in_thread(session_id)

    def _follow_in_thread(self, session_id: bytes) -> None:
        with self._lock:
            if session_id in self._driven:
                self._asked_again.add(session_id)
                return
            self._driven.add(session_id)
        threading.Thread(target=self._drive, args=(session_id,), name="run", daemon=True).start()

    def stop(self) -> None:
        """Follow nothing any more."""
        self._stopped.set()

    @property
    def busy(self) -> bool:
        """Whether a session is being followed."""
        return bool(self._driven)

    def _drive(self, session_id: bytes) -> None:
        while not self._stopped.is_set():
            try:
                pause = self.step(session_id)
            except ServiceError:
                log.exception("session %s: cannot go on just now", session_id[:8].hex())
                pause = TELL_S[1]
            except Exception:
                log.exception("session %s", session_id[:8].hex())
                with suppress(Exception):  # the next look tries again
                    self._registry.abort(session_id, "An unexpected error at the coordinator; see its log.")
                pause = TELL_S[1]
            with self._lock:
                if pause is None and session_id not in self._asked_again:
                    self._driven.discard(session_id)
                    return
                self._asked_again.discard(session_id)
            self._stopped.wait(pause or 0.0)

    def step(self, session_id: bytes) -> float | None:
        """Do what is to be done now; returns when to look again, or None when there is nothing more to do."""
        record = self._store.get(session_id)
        wait = self._waits.setdefault(session_id, Patience(self._clock()))
        match record.state:
            case State.RUNNING:
                return self._follow(record, wait)
            case state if state in ENDED:
                return self._tell(record, wait)
            case _:
                return None

    # While it is computed

    def _follow(self, record: SessionRecord, wait: Patience) -> float:
        answers, lost = self._ask(record)
        moved = {n: (a.attempt, a.state, a.progress) for n, a in answers.items()}
        if not lost and moved != wait.moved:
            wait.heard, wait.moved = self._clock(), moved
        computed = [a.attempt for a in answers.values() if a.completion]
        if len(computed) == len(record.manifest.committee) and len({*computed}) == 1:
            # Another process with this coordinator's key, or itself before it was restored from a backup, was here.
            self._registry.catch_up(record.id, computed[0])
            record = self._store.get(record.id)
        try:
            if self._collect(record, answers):
                return 0.0
            failure = self._failure(record, wait, answers, lost)
        except (InputError, SessionRefused) as error:  # a false statement, which will not be true later
            failure = Failure(str(error), retriable=False)
        if failure:
            return self._again(record, wait, answers, failure)
        begun = [name for name, a in answers.items() if a.attempt == record.attempt]
        if not lost and len(begun) < len(answers):
            return self._start(record, wait, answers)
        self._note(record, answers)
        wait.pause_s = min(wait.pause_s * 1.3, POLL_S[1])
        return wait.pause_s

    def _collect(self, record: SessionRecord, answers: dict[str, Answer]) -> bool:
        """Whether all have computed the attempt."""
        said = {name: a.completion for name, a in answers.items() if a.completion and a.attempt == record.attempt}
        collected = False
        for name, completion in said.items():
            try:
                collected |= self._registry.collect(record, completion)
            except (InputError, SessionRefused) as error:  # by its name, whomever the statement is of
                raise type(error)(_said(name, str(error))) from None
        return collected

    def _failure(self, record: SessionRecord, wait: Patience, answers: dict[str, Answer], lost: str) -> Failure | None:
        """Why this attempt cannot come to its end; None while it may."""
        ahead = [name for name, a in answers.items() if a.attempt > record.attempt]
        if ahead:
            return Failure(f"{', '.join(ahead)} had begun a later attempt, which this coordinator does not know.")
        of_attempt = {name: a for name, a in answers.items() if a.attempt == record.attempt}
        running = [name for name, a in of_attempt.items() if a.state is State.RUNNING]
        failed = {name: a for name, a in of_attempt.items() if a.state not in GOES_ON}
        if failed and not running:
            # Of nodes that blame each other, the one is right that blames who does not answer here either.
            silent = tuple(f"{name} " for name in record.manifest.committee if name not in answers)
            name, worst = min(failed.items(), key=lambda f: (f[1].retriable, not f[1].reason.startswith(silent)))
            return Failure(_said(name, worst.reason), worst.retriable)
        if self._clock() - wait.heard > (self._patience_s if lost or failed else RUN_TIMEOUT_S):
            return Failure(lost or f"{', '.join(running)} did not come to an end, nor said why.")
        return None

    def _ask(self, record: SessionRecord) -> tuple[dict[str, Answer], str]:
        """What the nodes answer, and why one does not."""
        answers, lost = {}, ""
        for name in record.manifest.committee:
            try:
                answers[name] = self._committee.look(name, record.id)
            except ServiceError as error:
                lost = str(error)
        return answers, lost

    def _start(self, record: SessionRecord, wait: Patience, answers: dict[str, Answer]) -> float:
        """Begin the attempt where it has not begun; all nodes have just answered."""
        self.progress[record.id] = ("waiting for the committee", 0, 0)
        commitments, name, asked = list(self._store.commitments(record.id).values()), "", self._clock()
        try:
            if record.contributions is None:
                for name in sorted(record.manifest.committee):
                    self._committee.check(name, record.id, commitments)
                self._registry.fix(record.id)
            for name in sorted(record.manifest.committee):
                if answers[name].attempt != record.attempt:
                    self._committee.start(name, record.id, record.attempt, commitments)
        except TooManyCalls:  # others have their turn there: this one asks again
            wait.queued = min(wait.queued, asked)
            return POLL_S[1]
        except ServiceError as error:
            retriable = isinstance(error, PeerUnavailable)
            self._again(record, wait, answers, Failure(_said(name, str(error)), retriable))
        wait.heard, wait.pause_s = self._clock(), POLL_S[0]
        return 0.0

    def _again(self, record: SessionRecord, wait: Patience, answers: dict[str, Answer], failure: Failure) -> float:
        """Give up this attempt, for another one if that may help.

        One that others' turns kept from beginning, until nodes that had begun waited no longer, is no try.
        """
        log.error("session %s, attempt %d: %s", record.id[:8].hex(), record.attempt, failure.reason)
        in_vain = self._clock() - wait.queued > self._patience_s
        if failure.retriable and (in_vain or wait.tries < MAX_TRIES):
            wait.tries += not in_vain
            wait.heard, wait.queued = self._clock(), math.inf
            known = [a.attempt for a in answers.values() if a.attempt <= record.attempt + MAX_AHEAD]
            self._registry.again(record.id, max(known, default=0))
        else:
            self._registry.abort(record.id, failure.reason)
        return 0.0

    def _note(self, record: SessionRecord, answers: dict[str, Answer]) -> None:
        known = [a.progress for a in answers.values() if a.progress[2]] or [a.progress for a in answers.values()]
        if known:
            self.progress[record.id] = min(known, key=lambda p: p[1])

    # When it has ended

    def _untold(self, record: SessionRecord) -> list[str]:
        told = self._store.told(record.id, record.state)
        return [name for name in record.manifest.committee if name not in told]

    def _tell(self, record: SessionRecord, wait: Patience) -> float | None:
        """Let every node know how it ended; those that cannot be reached are told later."""
        self.progress.pop(record.id, None)
        for name in self._untold(record):
            try:
                self._tell_one(name, record)
            except PeerUnavailable as error:
                log.warning("session %s: %s could not be told of its end: %s", record.id[:8].hex(), name, error)
                continue
            except ServiceError as error:  # it will not be of another mind later
                log.error("session %s: %s does not take its end: %s", record.id[:8].hex(), name, error)
            self._store.tell(record.id, name, record.state)
        if not self._untold(record):
            return None
        wait.tell_s = min(wait.tell_s * 2, TELL_S[1])
        return wait.tell_s

    def _tell_one(self, name: str, record: SessionRecord) -> None:
        match record.state:
            case State.DONE:
                self._committee.release(name, record.id, record.attempt, self._store.completions(record.id))
            case State.ABORTED:
                self._committee.abort(name, record.id, record.attempt, record.reason)
            case _:
                self._committee.delete(name, record.id)
        self._committee.exchange_heads(name, record.id)


def _said(name: str, reason: str) -> str:
    """What a node says, with its name before it where it speaks of another."""
    return reason if reason.startswith(name) else f"{name}: {reason}"
