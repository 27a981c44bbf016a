"""The daemons of a simulation: a coordinator and committee nodes, whose decisions are the program's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mpc.channel import Mailbox
from mpc.committee import PARTIES
from mpc.engine import Outputs
from parties import compute, heads
from parties.admission import answer_to
from parties.audit import Head
from parties.errors import FROM_STATUS, PeerUnavailable, ServiceError, SessionRefused, sentence, status
from parties.federation import Federation, Node
from parties.guard import Guard, Surroundings
from parties.lifecycle import State
from parties.node import RunServicer
from parties.policy import Policy
from parties.registry import Registry
from parties.runner import Runner
from parties.shares import Shares
from parties.statements import Commitment, Completion
from parties.store import SessionRecord
from parties.vault import Vault
from parties.wire import Answer, View, answer_of, commitment_to_pb, completion_to_pb
from protos.matchbit.v1 import committee_pb2 as pb
from tests.parties.mortal import Daemon, Signer

if TYPE_CHECKING:
    from tests.parties.simulator import World

HUB, STRANGER = "hub", "other-hub"
COMMITTEE = ("agency-a", "agency-b", "neutral")
MEMBERS = ("agency-a", "agency-b", "agency-c", "agency-d")
PATIENCE_S = 100.0
VAULT = Vault(bytes(32))
KEYS: dict[str, Any] = {name: Signer(name) for name in (*MEMBERS, "neutral", HUB, STRANGER)}


class Pinned(Node):
    """An entry of the federation whose key is one of `KEYS`."""

    def verifier(self) -> Any:
        """The key that checks its signatures."""
        return KEYS[self.name]


FEDERATION = Federation({n: Pinned(n, "127.0.0.1:1", n == HUB, key.public_bytes, b"") for n, key in KEYS.items()})


class Context:
    """What a servicer sees of a call."""

    def is_active(self) -> bool:
        """The caller still waits."""
        return True


@contextmanager
def answering(caller: str) -> Iterator[None]:
    """A call as `admission` has it answered; a failure as the calling side reads it."""
    answer_to(caller)
    try:
        yield
    except Exception as error:
        if status(error) == "INTERNAL":
            raise  # a bug
        raise FROM_STATUS[status(error)](sentence(error)) from None


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
        is_waited_for: Callable[[], bool],  # noqa: ARG002 - the real one's
    ) -> None:
        """As the real one, but for the thread."""
        self._guard.check(caller, session_id, commitments)
        if attempt == 0:
            return
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
        if self.begun is not None and not self._taken:
            with self._my_turn():
                begun, self.begun = self.begun, None
                begun.outcome = None if silent else begun.outcome
                self._ending = begun
                self._compute(begun.record, begun.commitments, begun.run, ExitStack())

    def end_with(self, outcome: Outputs | Exception) -> None:
        """What the run comes to, if there is one."""
        if self.begun is not None:
            self.begun.outcome = outcome

    def _attempt(self, record: SessionRecord, commitments: Sequence[Commitment], run: compute.Run) -> Outputs:  # noqa: ARG002
        outcome = self._ending.outcome
        if outcome is None:
            run.mailbox.receive(PARTIES[run.party].next, "finish")  # raises: nothing came, or it was aborted
        if isinstance(outcome, Exception):
            raise outcome
        assert outcome is not None
        return outcome


class CommitteeNode(Daemon):
    """A committee node."""

    def __init__(self, name: str, world: World) -> None:
        super().__init__(name, KEYS[name], world)
        self.world = world

    def take_up(self) -> None:
        """As `node.serve` does."""
        around = Surroundings(self.name, KEYS[self.name], lambda: FEDERATION, Policy, self._fetch)
        self.guard = Guard(self.store, Shares(self.store, VAULT), around)
        self.runs = Runs(self.guard)
        self.servicer = RunServicer(self.guard, self.runs)
        self.guard.recover()

    def keep_house(self) -> None:
        """As `node.serve` does."""
        self.guard.delete_overdue()

    def _fetch(self, session_id: bytes) -> SessionRecord:
        hub = self.world.hub
        record = self.world.call(self, hub, lambda: hub.tell(session_id, self.name))
        return replace(record, contributions=None)

    def give(self, member: str, session_id: bytes, completions: Sequence[Completion]) -> bytes:
        """This node's part of a member's result."""
        part = b"".join(self.guard.result(member, session_id, completions))
        for node in self.world.nodes.values():
            self.world.note_completions(node)
        self.world.given.append((self.name, member, self.store.get(session_id).attempt, part))
        return part


class Hub(Daemon):
    """The coordinator; one that lies tells of signatures that nobody made."""

    forged: dict[str, bytes] | None = None

    def __init__(self, name: str, world: World) -> None:
        super().__init__(name, KEYS[name], world)
        self.world = world

    @property
    def busy(self) -> bool:
        """Whether a thread of it is deciding something."""
        return bool(self.registry._changing._is_owned())  # type: ignore[attr-defined]

    def take_up(self) -> None:
        """As `coordinator.serve` does."""
        self.registry = Registry(self.name, self.store, lambda: FEDERATION)
        self.runner = Followed(self.registry, Reached(self.world, self), PATIENCE_S, self.world.seconds)

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
            record = self.store.get(session_id)
            if record.state is State.ABORTED:
                with suppress(SessionRefused):
                    reached.abort(name, session_id, record.attempt, record.reason)
            reached.delete(name, session_id)
            with suppress(ServiceError):
                reached.exchange_heads(name, session_id)

        self.registry.close(caller, session_id, delete)

    def keep_house(self) -> None:
        """As `coordinator.serve` does."""
        self.registry.end_overdue()
        self.runner.drive_all()

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
        node = self._world.nodes[name]

        def answer() -> Any:
            with answering(self._caller.name):
                return getattr(node.servicer, method)(request, Context())

        return self._world.call(self._caller, node, answer)

    def look(self, name: str, session_id: bytes) -> Answer:
        """How the newest attempt goes."""
        return answer_of(self._ask(name, "GetRun", pb.GetRunRequest(session_id=session_id)))

    def check(self, name: str, session_id: bytes, commitments: Sequence[Commitment]) -> None:
        """Ask whether an attempt could begin."""
        self.start(name, session_id, 0, commitments)

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

        def exchange() -> list[Head]:
            terms = node.store.get(session_id).manifest
            heads.receive(node.store, FEDERATION, terms, told)
            return node.store.latest_heads(session_id)

        answer = self._world.call(hub, node, exchange)
        heads.receive(hub.store, FEDERATION, hub.store.get(session_id).manifest, answer)
