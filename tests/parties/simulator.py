"""All parties of a session in one thread: a network that loses, delays and repeats calls, and daemons that die.

The decisions are the program's own, on real databases: Registry and Runner at the coordinator, RunServicer, Guard and
Shares at the committee nodes, signatures by real keys. Simulated are the wires, the time, and the committee's
computation, which is done in the clear where all three nodes are at the same attempt.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from functools import lru_cache
from pathlib import Path
from sqlite3 import Connection
from typing import Any, TypeVar

import grpc
import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mpc.channel import Mailbox
from mpc.engine import Inputs, Outputs
from mpc.errors import IntegrityError
from mpc.replicated import Array, reconstruct
from parties import compute, heads
from parties.audit import Log
from parties.errors import FROM_STATUS, PeerUnavailable, ServiceError, StorageError, status
from parties.federation import Federation, Node
from parties.guard import Guard, Surroundings
from parties.manifest import Manifest
from parties.node import RunServicer
from parties.policy import Policy
from parties.registry import Registry
from parties.runner import Runner
from parties.shares import Shares
from parties.statements import Commitment, Completion
from parties.store import SessionRecord, Store
from parties.vault import Vault
from parties.wire import Answer, View, answer_of, commitment_to_pb, completion_to_pb
from protos.matchbit.v1 import committee_pb2 as pb
from tests.parties.samples import NOW, manifest

HUB, STRANGER = "hub", "other-hub"
COMMITTEE = ("agency-a", "agency-b", "neutral")
NAMES = ("agency-a", "agency-b", "agency-c", "agency-d", "neutral", HUB, STRANGER)
PATIENCE_S = 100.0
VAULT = Vault(bytes(32))
T = TypeVar("T")


class Signer:
    """A real Ed25519 key, both halves; what it has signed or checked before it does not compute once more."""

    def __init__(self, name: str) -> None:
        key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
        self.public_bytes, self._public = key.public_key().public_bytes_raw(), key.public_key()
        self.sign = lru_cache(1 << 14)(key.sign)
        self._fits = lru_cache(1 << 14)(self._check)

    def _check(self, signature: bytes, data: bytes) -> bool:
        try:
            self._public.verify(signature, data)
        except InvalidSignature:
            return False
        return True

    def verify(self, signature: bytes, data: bytes) -> None:
        """As a public key does."""
        if not self._fits(signature, data):
            raise InvalidSignature


KEYS: dict[str, Any] = {name: Signer(name) for name in NAMES}


class Pinned(Node):
    """An entry of the federation whose key is one of `KEYS`."""

    def verifier(self) -> Any:
        """The key that checks its signatures."""
        return KEYS[self.name]


FEDERATION = Federation({n: Pinned(n, "127.0.0.1:1", n == HUB, KEYS[n].public_bytes, b"") for n in NAMES})


def terms_of(**changes: Any) -> Manifest:
    """Terms by these keys."""
    terms = manifest(**changes)
    return manifest(**changes | {"nodes": {name: FEDERATION[name].digest for name in terms.nodes}})


class Fate(Enum):
    """What becomes of a call."""

    LOST = "it does not arrive"
    ANSWER_LOST = "it is done, and its answer does not arrive"
    DELAYED = "the caller gives it up, and it arrives later"
    TWICE = "it is done, and once more later"
    OVERTAKEN = "it is done, and before its answer arrives so is a call that was late"


class Trouble(Enum):
    """What happens to a daemon at the edge of a transaction."""

    CRASH = "it dies"
    FULL = "its disk is full"
    MEANWHILE = "a call that was late arrives"


class Crash(BaseException):
    """A daemon dies: nothing that it would have done happens."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Disk(Store):
    """A daemon's database; whoever simulates is told of the edges of its transactions."""

    def __init__(self, path: Path, log: Log, clock: Callable[[], datetime], edge: Callable[[bool], None]) -> None:
        self._edge = edge
        super().__init__(path, log, clock)

    @property
    def _connection(self) -> Connection:
        fresh = not hasattr(self._local, "connection")
        connection = super()._connection
        if fresh:
            connection.execute("PRAGMA synchronous=OFF")  # a process dies here, not the machine
        return connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """As it is, between two edges."""
        within = self._connection.in_transaction
        if not within:
            self._edge(True)
        with super().transaction() as db:
            yield db
        if not within:
            self._edge(False)

    def close(self) -> None:
        """What the system does to the file of a process that has ended."""
        self._connection.close()


class Daemon:
    """A process on a database of its own."""

    def __init__(self, name: str, world: World) -> None:
        self.name, self.world, self.path = name, world, world.folder / f"{name}.db"
        self.alive, self.life = False, 0
        self.troubles: deque[tuple[int, Trouble]] = deque()
        """How many edges before each, after the one before it."""

    def start(self) -> None:
        """Begin a life, on what the last one left."""
        self.alive, self.life = True, self.life + 1
        log = Log(self.name, KEYS[self.name], self.world.clock)
        self.store = Disk(self.path, log, self.world.clock, self._edge)
        self.take_up()

    def take_up(self) -> None:
        """What the daemon does at its start."""

    def die(self) -> None:
        """End this life, if there is one."""
        if self.alive:
            self.alive = False
            self.store.close()

    def _edge(self, before: bool) -> None:
        if not self.troubles or (self.troubles[0][1] is Trouble.FULL and not before):
            return
        left, trouble = self.troubles.popleft()
        if left:
            self.troubles.appendleft((left - 1, trouble))
        elif trouble is Trouble.CRASH:
            raise Crash(self.name)
        elif trouble is Trouble.FULL:
            raise StorageError("The disk is full.")
        else:
            self.world.interrupt(self)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Do something as this daemon; whoever called it learns that it went away."""
        if not self.alive:
            raise PeerUnavailable(f"{self.name} cannot be reached.")
        life = self.life
        try:
            yield
        except Crash as crash:
            if crash.name != self.name:
                raise
            if life == self.life:
                self.die()
            raise PeerUnavailable(f"{self.name} went away.") from None


class Context:
    """What a servicer sees of a call."""

    def __init__(self, caller: str) -> None:
        self.caller = caller

    def is_active(self) -> bool:
        """The caller still waits."""
        return True

    def abort(self, code: grpc.StatusCode, details: str) -> None:
        """As the calling side reads it."""
        raise FROM_STATUS[code.name](details)

    def set_code(self, _code: grpc.StatusCode) -> None:
        """Bugs are raised as they are."""

    set_details = set_code


class Servicer(RunServicer):
    """The real one, called by names."""

    def _caller(self, context: Any) -> str:
        return str(context.caller)


@dataclass
class Begun:
    """An attempt that a node computes."""

    record: SessionRecord
    commitments: Sequence[Commitment]
    run: compute.Run
    outcome: Outputs | Exception | None = None


class Runs(compute.Runs):
    """A node's runs: they go on when they are told to, with the outcome that they are given."""

    def __init__(self, guard: Guard) -> None:
        self._guard, self._runs = guard, {}
        self.begun: Begun | None = None
        self._taken = False

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        if self._taken:
            raise PeerUnavailable("The coordinator stopped waiting for its turn.")
        self._taken = True
        try:
            yield
        finally:
            self._taken = False

    def start(
        self,
        caller: str,
        session_id: bytes,
        attempt: int,
        commitments: Sequence[Commitment],
        is_waited_for: Callable[[], bool],
    ) -> None:
        """As the real one, but for the thread."""
        self._guard.by_coordinator(self._guard.served(session_id), caller)
        self.abort(session_id, attempt - 1, f"attempt {attempt} replaces it")
        if self.begun and self.begun.run.attempt < attempt:
            self.finish(silent=True)
        with self._my_turn():
            if self._guard.begin(caller, session_id, attempt, commitments):
                record = self._guard.store.get(session_id)
                run = compute.Run(self._guard.party(record.manifest), attempt, Mailbox(0.0))
                self._runs[session_id] = run
                self.begun = Begun(record, commitments, run)

    def finish(self, *, silent: bool) -> None:
        """Come to an end: with the outcome, or, where there is none or peers fall silent, with none."""
        if self.begun is not None:
            with self._my_turn():
                begun, self.begun = self.begun, None
                begun.outcome = None if silent else begun.outcome
                self._ending = begun
                self._compute(begun.record, begun.commitments, begun.run, ExitStack())

    def _attempt(self, record: SessionRecord, commitments: Sequence[Commitment], run: compute.Run) -> Outputs:
        outcome = self._ending.outcome
        if outcome is None:
            run.mailbox.receive(run.party.next, "finish")  # raises: nothing came, or it was aborted
        if isinstance(outcome, Exception):
            raise outcome
        assert outcome is not None
        return outcome


class CommitteeNode(Daemon):
    """A committee node."""

    def take_up(self) -> None:
        """As `node.serve` does."""
        around = Surroundings(self.name, KEYS[self.name], lambda: FEDERATION, Policy, self._fetch)
        self.guard = Guard(self.store, Shares(self.store, VAULT), around)
        self.runs = Runs(self.guard)
        self.servicer = Servicer(None, self.guard, self.runs)  # type: ignore[arg-type]
        self.guard.recover()

    def _fetch(self, session_id: bytes) -> SessionRecord:
        hub = self.world.hub
        record = self.world.call(self, hub, lambda: hub.tell(session_id, self.name))
        return replace(record, contributions=None)

    def give(self, member: str, session_id: bytes, completions: Sequence[Completion]) -> bytes:
        """This node's part of a member's result."""
        part = b"".join(self.guard.result(member, session_id, completions))
        self.world.given.append((self.name, member, completions[0].attempt, part))
        return part


class Hub(Daemon):
    """The coordinator; one that lies tells of signatures that nobody made."""

    forged: dict[str, bytes] | None = None

    def take_up(self) -> None:
        """As `coordinator.serve` does."""
        self.registry = Registry(self.name, self.store, lambda: FEDERATION)
        self.runner = Followed(self.registry, Reached(self.world, self), PATIENCE_S, lambda: self.world.seconds)

    def tell(self, session_id: bytes, caller: str) -> SessionRecord:
        """The session as its parties are told."""
        record = self.registry.session(session_id, caller)
        return replace(record, signatures={**(self.forged or {}), **record.signatures})

    def view(self, session_id: bytes, caller: str) -> View:
        """The session as its members are told."""
        record, store = self.registry.session(session_id, caller), self.store
        return View(record, store.commitments(session_id), tuple(store.completions(session_id)), ("", 0, 0))

    def run(self, caller: str, session_id: bytes) -> None:
        """Have a session computed."""
        self.registry.run(caller, session_id)
        self.runner.drive(session_id)

    def close(self, caller: str, session_id: bytes) -> None:
        """Close a session."""
        reached = Reached(self.world, self)

        def delete(name: str) -> None:
            reached.delete(name, session_id)
            reached.exchange_heads(name, session_id)

        self.registry.close(caller, session_id, delete)

    def step(self) -> None:
        """Go on with every session that is to be followed, as the runner's threads do."""
        self.runner.drive_all()
        for session_id in sorted(self.runner.followed):
            try:
                if self.runner.step(session_id) is None:
                    self.runner.followed.discard(session_id)
            except ServiceError:
                continue


class Followed(Runner):
    """The real one, without threads."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.followed: set[bytes] = set()

    def _follow_in_thread(self, session_id: bytes) -> None:
        self.followed.add(session_id)


class Reached:
    """Committee nodes as a coordinator reaches them: `calls.Committee` over this network."""

    def __init__(self, world: World, caller: Daemon) -> None:
        self._world, self._caller = world, caller

    def _ask(self, name: str, method: str, request: Any) -> Any:
        node, context = self._world.nodes[name], Context(self._caller.name)
        return self._world.call(self._caller, node, lambda: getattr(node.servicer, method)(request, context))

    def look(self, name: str, session_id: bytes) -> Answer:
        """How the newest attempt goes."""
        return answer_of(self._ask(name, "GetRun", pb.GetRunRequest(session_id=session_id)))

    def start(self, name: str, session_id: bytes, attempt: int, commitments: Sequence[Commitment]) -> None:
        """Begin an attempt."""
        shown = [commitment_to_pb(c) for c in commitments]
        request = pb.StartRunRequest(session_id=session_id, attempt=attempt, commitments=shown)
        self._ask(name, "StartRun", request)

    def release(self, name: str, session_id: bytes, attempt: int, completions: Sequence[Completion]) -> None:
        """Tell that results are released."""
        shown = pb.Completions(completions=[completion_to_pb(c) for c in completions])
        self._ask(name, "EndRun", pb.EndRunRequest(session_id=session_id, attempt=attempt, completions=shown))

    def abort(self, name: str, session_id: bytes, attempt: int, reason: str) -> None:
        """Tell that the session is aborted."""
        self._ask(name, "EndRun", pb.EndRunRequest(session_id=session_id, attempt=attempt, reason=reason))

    def delete(self, name: str, session_id: bytes) -> None:
        """Let a node delete a session's shares and results."""
        self._ask(name, "DeleteSession", pb.DeleteSessionRequest(session_id=session_id))

    def exchange_heads(self, name: str, session_id: bytes) -> None:
        """Exchange how the audit logs stand."""
        node, hub = self._world.nodes[name], self._caller
        told = hub.store.latest_heads(session_id)

        def exchange() -> list[Any]:
            terms = node.store.get(session_id).manifest
            heads.receive(node.store, FEDERATION, terms, told)
            return node.store.latest_heads(session_id)

        answer = self._world.call(hub, node, exchange)
        heads.receive(hub.store, FEDERATION, hub.store.get(session_id).manifest, answer)
