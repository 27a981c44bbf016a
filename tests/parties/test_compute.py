"""What a committee node computes on, and in whose turn."""

import socket
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mpc.channel import MAILBOX_BYTES, Mailbox
from mpc.committee import PARTIES, PartyId
from mpc.dummies import Dummies, Noise
from mpc.engine import Inputs, Outputs, gather
from mpc.errors import IntegrityError, MpcError
from mpc.matching import Reveal
from mpc.replicated import reconstruct
from mpc.shuffle import shuffle
from mpc.verify import require_zero
from parties import compute, transport
from parties.admission import answer_to
from parties.compute import Run, Runs
from parties.config import Config
from parties.errors import SessionRefused, TooManyCalls
from parties.guard import Guard
from parties.inputs import load_inputs, longest_queue
from parties.lifecycle import State
from parties.manifest import Manifest
from parties.memory import memory
from parties.node import LAST_S, RunServicer
from parties.service import Service
from parties.statements import Commitment
from parties.transport import Mailboxes
from protos.matchbit.v1.committee_pb2 import StartRunRequest
from tests.parties.deciding import COMMITTEE, CommitteeNode, Contribution, commitments, everyones, terms
from tests.parties.samples import federate
from tests.world import World, dealt, shares


def inputs(folder: Path, agreed: Manifest, made: list[Contribution], attempt: int = 1) -> list[Inputs]:
    """What the three nodes compute on."""
    folder.mkdir(exist_ok=True)
    loaded = []
    for name in COMMITTEE:
        node = CommitteeNode(folder, name)
        node.agree(agreed)
        if attempt == 1:
            for c in made:
                node.take(c)
        assert node.begin(agreed, made, attempt)
        loaded.append(load_inputs(node.guard, node.store.get(agreed.session_id), commitments(made)))
        node.guard.failed(agreed.session_id, attempt, "neutral went away.")
    return loaded


@pytest.fixture
def made() -> list[Contribution]:
    return [Contribution(terms(), m, count) for m, count in zip(terms().members, (3, 70, 1), strict=True)]


def test_everything_in_the_members_order_whatever_order_it_came_in(tmp_path: Path, made: list[Contribution]) -> None:
    loaded = inputs(tmp_path, terms(), [made[2], made[0], made[1]])
    held = [given.rows() for given in loaded]
    assert np.array_equal(reconstruct((held[0], held[1], held[2])), np.concatenate([c.rows for c in made]))
    for given in loaded:
        assert given.counts == (3, 70, 1)
        assert (given.reveal, given.noise) == (Reveal.FLAG, None)
    assert len({given.terms for given in loaded}) == 1


def test_absent_members_have_no_rows(tmp_path: Path) -> None:
    few = terms(min_members=2)
    made = [Contribution(few, "agency-c", 5), Contribution(few, "agency-a", 2)]
    loaded = inputs(tmp_path, few, made)
    shares = [given.rows() for given in loaded]
    assert loaded[0].counts == (2, 0, 5)
    assert np.array_equal(reconstruct((shares[0], shares[1], shares[2])), np.concatenate([made[1].rows, made[0].rows]))
    for given in loaded:
        assert not any(digest.any() for digest in given.digests[1])
        assert all(digest.any() for k in (0, 2) for digest in given.digests[k])


def test_digests_are_those_that_members_committed_to(tmp_path: Path, made: list[Contribution]) -> None:
    for party, given in zip(PARTIES, inputs(tmp_path, terms(), made), strict=True):
        for c, (of_a, of_b) in zip(made, given.digests, strict=True):
            committed = c.commitment.digests
            assert (of_a.tobytes(), of_b.tobytes()) == (committed[party], committed[party.next])


def test_holders_of_a_component_share_a_secret_that_the_third_does_not_know(
    tmp_path: Path, made: list[Contribution]
) -> None:
    loaded = inputs(tmp_path, terms(), made)
    assert len({secret for given in loaded for secret in given.secrets}) == 3
    for party in PARTIES:
        assert loaded[party].secrets[1] == loaded[party.next].secrets[0]


def test_the_noise_of_dummies_is_the_sessions_and_not_the_attempts(tmp_path: Path) -> None:
    """Else attempts could be averaged."""
    hidden = terms(dummies=Dummies(1.0, 1e-6))
    made = [Contribution(hidden, m) for m in hidden.members]
    first, second = inputs(tmp_path, hidden, made), inputs(tmp_path, hidden, made, 2)
    for one, other in zip(first, second, strict=True):
        assert one.noise is not None
        assert (one.noise.dummies, one.noise.keys, one.noise.largest) == (Dummies(1.0, 1e-6), 2, 3)
        assert (one.noise, one.secrets, one.terms) == (other.noise, other.secrets, other.terms)


@pytest.mark.parametrize("reveal", [Reveal.FLAG, Reveal.MEMBERS])
@pytest.mark.parametrize("noise", [None, Noise(Dummies(1.0, 1e-6), 1, 70)])
def test_a_shuffle_fits_into_what_a_peer_may_leave_unread(reveal: Reveal, noise: Noise | None) -> None:
    """All of it, whatever the peer reads meanwhile."""
    keys = [np.arange(2 * (k + 1), dtype=np.uint64).reshape(-1, 2) for k in range(70)]
    given = dealt(keys, reveal, noise=noise)
    world = World().run(lambda session: shuffle(session.at("shuffle"), gather(session.party, given[session.party])[0]))
    unread = Counter[tuple[PartyId, PartyId]]()
    for message in world.sent:
        unread[message.sender, message.receiver] += len(message.message)
    assert not world.errors
    assert max(unread.values()) <= longest_queue(given[0]) - MAILBOX_BYTES + 1024 < 2 * max(unread.values())


@pytest.mark.parametrize("verified", [False, True])
def test_tags_are_verified_where_the_terms_ask_for_it(tmp_path: Path, verified: bool) -> None:
    agreed = terms(verify_tags=verified)
    made = [Contribution(agreed, m) for m in agreed.members]
    assert {given.verified for given in inputs(tmp_path, agreed, made)} == {verified}


def test_another_list_is_another_session_to_the_committee(tmp_path: Path, made: list[Contribution]) -> None:
    other = [Contribution(terms(), "agency-a", seed=1), *made[1:]]
    first, second = (inputs(tmp_path / str(k), terms(), some)[0] for k, some in enumerate((made, other)))
    assert first.terms != second.terms
    assert not set(first.secrets) & set(second.secrets)


def test_phases_last_until_the_next_one_begins() -> None:
    run = Run(PartyId.P0, 1, Mailbox(1.0))
    assert (run.progress, run.phases()) == (("waiting for the others", 0, 0), ())
    for phase, done in (("load", 0), ("tag", 0), ("tag", 50), ("done", 90)):
        run.mark(phase, done, 90)
    assert run.progress == ("done", 90, 90)
    run.marks = [(name, at) for (name, _), at in zip(run.marks, (10.0, 12.5, 13.0), strict=True)]
    assert run.phases() == (("load", 2.5), ("tag", 0.5))


def test_memory_is_told_where_the_system_tells_it() -> None:
    now, peak = memory()
    assert 0 <= now <= peak


# Turns


class Slow(Guard):
    """Would begin anything that the coordinator asks for, but begins nothing, and only when it is let."""

    def __init__(self, node: CommitteeNode) -> None:
        super().__init__(node.store, node.shares, node.guard._around)
        self.begun: list[bytes] = []
        self.let = threading.Semaphore(0)
        self.began = threading.Semaphore(0)

    def check(self, caller: str, session_id: bytes, commitments: Sequence[Commitment]) -> None:
        del commitments
        self.by_coordinator(session_id, caller)

    def begin(self, caller: str, session_id: bytes, attempt: int, commitments: Sequence[Commitment]) -> bool:
        del caller, attempt, commitments
        self.begun.append(session_id)
        self.began.release()
        assert self.let.acquire(timeout=60)
        raise SessionRefused("Not now.")


class Turns:
    """Sessions that are to begin at one node."""

    def __init__(self, folder: Path) -> None:
        node = CommitteeNode(folder)
        config = Config(folder, "neutral", "", folder / "federation.toml", folder / "policy.toml")
        self.sessions = [node.agree(terms(title=f"Session {k}")).session_id for k in range(3)]
        self.guard, self.service = Slow(node), Service(config, "node")
        self.runs = Runs(config, self.guard, Mailboxes(), self.service)
        self.servicer = RunServicer(self.guard, self.runs)
        self.errors: dict[bytes, Exception] = {}
        self.threads: list[threading.Thread] = []

    def start(self, number: int, is_waited_for: Callable[[], bool]) -> None:
        """Ask for a session's turn in a thread."""

        def ask() -> None:
            try:
                self.runs.start("hub", self.sessions[number], 1, [], is_waited_for)
            except Exception as error:
                self.errors[self.sessions[number]] = error

        self.threads.append(threading.Thread(target=ask))
        self.threads[-1].start()

    def wait(self, number: int) -> None:
        """Ask for a session's turn, and go on when it waits for it."""
        waits = threading.Event()

        def is_waited_for() -> bool:
            waits.set()
            return True

        self.start(number, is_waited_for)
        assert waits.wait(60)

    def end(self) -> None:
        for thread in self.threads:
            thread.join()


def test_sessions_begin_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    turns = Turns(tmp_path)
    turns.start(0, lambda: True)
    assert turns.guard.began.acquire(timeout=60)
    turns.wait(1)
    turns.wait(2)
    assert turns.guard.begun == turns.sessions[:1]
    turns.guard.let.release(3)
    turns.end()
    assert turns.guard.begun == turns.sessions
    assert {str(error) for error in turns.errors.values()} == {"Not now."}


def test_a_session_that_nobody_waits_for_loses_its_turn(tmp_path: Path) -> None:
    turns = Turns(tmp_path)
    turns.start(0, lambda: True)
    assert turns.guard.began.acquire(timeout=60)
    with pytest.raises(TooManyCalls, match="neutral computes other sessions; this one waits for its turn"):
        turns.runs.start("hub", turns.sessions[1], 1, [], lambda: False)
    turns.wait(2)
    turns.guard.let.release(2)
    turns.end()
    assert turns.guard.begun == [turns.sessions[0], turns.sessions[2]]


def test_a_session_hears_that_it_must_wait_before_its_call_ends(tmp_path: Path) -> None:
    """Else its coordinator would find this node silent."""
    turns = Turns(tmp_path)
    turns.start(0, lambda: True)
    assert turns.guard.began.acquire(timeout=60)
    answer_to("hub")
    call: Any = SimpleNamespace(is_active=lambda: True, time_remaining=lambda: LAST_S)
    with pytest.raises(TooManyCalls):
        turns.servicer.StartRun(StartRunRequest(session_id=turns.sessions[1], attempt=1), call)
    turns.guard.let.release()
    turns.end()


def test_only_the_coordinator_gets_a_turn(tmp_path: Path) -> None:
    turns = Turns(tmp_path)
    with pytest.raises(SessionRefused, match="Only the session's coordinator may do this"):
        turns.runs.start("agency-a", turns.sessions[0], 1, [], lambda: True)
    assert turns.guard.begun == []


class Ready:
    """A node that can compute a session."""

    def __init__(self, folder: Path, config: Config | None = None) -> None:
        self.node = CommitteeNode(folder)
        self.agreed = self.node.agree(terms())
        self.made = everyones(self.agreed)
        for c in self.made:
            self.node.take(c)
        config = config or Config(folder, "neutral", "", folder / "federation.toml", folder / "policy.toml")
        self.runs = Runs(config, self.node.guard, Mailboxes(), Service(config, "node"))

    def start(self, attempt: int, made: list[Contribution] | None = None) -> None:
        given = commitments(self.made if made is None else made)
        self.runs.start("hub", self.agreed.session_id, attempt, given, lambda: True)

    def compute(self) -> None:
        """The first attempt, to its end."""
        self.start(1)
        for thread in threading.enumerate():
            if thread.name == "compute":
                thread.join()


def test_whether_an_attempt_could_begin_is_asked_without_beginning_it(tmp_path: Path) -> None:
    ready = Ready(tmp_path)
    before = ready.node.kept()
    ready.start(0)
    with pytest.raises(SessionRefused, match="2 members have contributed; nothing is computed before 3 have"):
        ready.start(0, ready.made[:2])
    assert ready.node.kept() == before
    assert ready.runs.get(ready.agreed.session_id) is None


def test_what_could_not_begin_does_not_wait_for_its_turn(tmp_path: Path) -> None:
    ready = Ready(tmp_path)
    with pytest.raises(SessionRefused, match="nothing is computed before 3 have"):
        ready.runs.start("hub", ready.agreed.session_id, 1, [], pytest.fail)


class Unsent:
    """A channel to peers that never sends."""

    sent_bytes = 0

    def __init__(self, mailbox: Mailbox, *_: object, **_limits: int) -> None:
        self.mailbox = mailbox

    def close(self, *, done: bool) -> None:
        assert not done


def test_without_a_thread_to_compute_in_an_attempt_fails_and_the_next_can_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    ready = Ready(tmp_path)
    session_id = ready.agreed.session_id
    for attempt in (1, 2):
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", no_thread_left)
            with pytest.raises(RuntimeError):
                ready.start(attempt)
        record = ready.node.store.get(session_id)
        assert (record.state, record.attempt) == (State.ABORTED, attempt)
        assert record.reason == "neutral has no thread left to compute in."
        run = ready.runs.get(session_id)
        assert run is not None
        with pytest.raises(MpcError, match="the attempt has ended"):
            run.mailbox.put(PartyId.P0, "tag", b"")


def test_an_attempt_whose_tags_are_wrong_is_not_tried_again_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try would be another chance for whoever deviates: people are to decide."""
    held = shares(np.ones((1, 2), np.uint64))
    errors = World().run(lambda s: require_zero(s.at("zero"), held[s.party]), 1).errors.values()
    found = next(error for error in errors if isinstance(error, IntegrityError))

    def attempt(*_: object) -> Outputs:
        raise found

    ready = Ready(tmp_path)
    monkeypatch.setattr(Runs, "_attempt", attempt)
    ready.compute()
    run = ready.runs.get(ready.agreed.session_id)
    assert run is not None
    assert not run.retriable
    assert "one of the three does not follow the protocol" in run.failure
    assert "must compare versions and logs before another run" in run.failure


def test_a_peer_that_is_slow_without_end_is_named_and_not_waited_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silent at no step, it would hold this node, and other sessions with it, for a day."""
    configs = federate(tmp_path, COMMITTEE, dict.fromkeys(COMMITTEE, "127.0.0.1:1"))
    ready = Ready(tmp_path, replace(configs["neutral"], attempt_timeout_s=1e-3))
    monkeypatch.setattr(compute, "ExchangeChannel", Unsent)
    monkeypatch.setattr(compute, "open_session", lambda _, channel, *__: channel.mailbox)
    monkeypatch.setattr("parties.compute.engine.run", lambda mailbox, *_: mailbox.receive(PartyId.P0, "tag"))
    ready.compute()
    run = ready.runs.get(ready.agreed.session_id)
    assert run is not None
    assert not run.retriable
    assert run.failure.startswith("agency-a was still waited for when the attempt's time was up")


@pytest.mark.parametrize("listens", [False, True])
def test_what_is_computed_does_not_fail_with_its_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listens: bool
) -> None:
    """A peer that went away when it had all, or that never ends its stream."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        if not listens:
            silent.close()
        configs = federate(tmp_path, COMMITTEE, dict.fromkeys(COMMITTEE, address))
        ready = Ready(tmp_path, configs["neutral"])
        monkeypatch.setattr(transport, "CALL_TIMEOUT_S", 0.1)
        monkeypatch.setattr(compute, "open_session", lambda *_: None)
        monkeypatch.setattr("parties.compute.engine.run", lambda *_: Outputs(None, (0, 5, 2, 0)))
        ready.compute()
        assert ready.node.state(ready.agreed) is State.COMPUTED
        assert ready.node.store.entries(ready.agreed.session_id)[-1].facts["group_sizes"] == [5, 2, 0]
