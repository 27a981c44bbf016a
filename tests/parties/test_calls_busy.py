"""The calling side where a node is busy, or is asked several things in a row."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from parties import calls
from parties.errors import PeerUnavailable, SessionRefused, TooManyCalls
from parties.wire import view_to_pb
from protos.matchbit.v1 import session_pb2
from tests.parties.answering import Hub, Nodes
from tests.parties.test_calls import ID, contribute, view

BUSY = "neutral answers at most 16 calls of agency-a at a time; try again when one has ended."


class Watched(Hub):
    """Notes over which connection each call came."""

    def __init__(self) -> None:
        super().__init__()
        self.peers: list[str] = []

    def ApproveSession(self, request: Any, context: Any) -> session_pb2.ApproveSessionResponse:  # noqa: N802
        self.peers.append(context.peer())
        return super().ApproveSession(request, context)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    nodes = Nodes(tmp_path_factory.mktemp("nodes"))
    nodes.hub = Watched()
    with nodes.served():
        yield nodes


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, none of which is waited for."""
    made: list[float] = []
    monkeypatch.setattr("parties.calls.time.sleep", made.append)
    return made


def busy(times: int, otherwise: Callable[[], Any]) -> Callable[[], Any]:
    left = [TooManyCalls(BUSY)] * times

    def answer() -> Any:
        if left:
            raise left.pop()
        return otherwise()

    return answer


def test_a_busy_node_is_asked_again_after_longer_and_longer_pauses(pauses: list[float]) -> None:
    assert calls.patiently(busy(len(calls.BUSY_PAUSES_S), lambda: "an answer")) == "an answer"
    assert len(pauses) == len(calls.BUSY_PAUSES_S)
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses, calls.BUSY_PAUSES_S, strict=True))


def test_patience_ends(pauses: list[float]) -> None:
    with pytest.raises(TooManyCalls, match="try again when one has ended"):
        calls.patiently(busy(len(calls.BUSY_PAUSES_S) + 1, str))
    assert len(pauses) == len(calls.BUSY_PAUSES_S)


def test_who_has_none_asks_once(pauses: list[float]) -> None:
    with pytest.raises(TooManyCalls):
        calls.patiently(busy(1, str), 0.0)
    assert pauses == []


@pytest.mark.parametrize(
    ("say", "times"),
    [
        (lambda coordinator: coordinator.get(bytes(32)), 1 + len(calls.BUSY_PAUSES_S)),
        (lambda coordinator: coordinator.run(bytes(32)), 1),
        (lambda coordinator: coordinator.refuse(bytes(32), "No."), 1),
    ],
)
def test_what_may_have_been_heard_is_not_said_again(
    running: Nodes, pauses: list[float], monkeypatch: pytest.MonkeyPatch, say: Callable[[Any], Any], times: int
) -> None:
    asked: list[object] = []

    def connected(*called: object) -> None:
        asked.append(called)
        raise TooManyCalls(BUSY)

    monkeypatch.setattr(calls, "connected", connected)
    with pytest.raises(TooManyCalls):
        say(running.coordinator)
    assert len(asked) == times == len(pauses) + 1


@pytest.mark.parametrize("error", [PeerUnavailable("hub cannot be reached."), SessionRefused("No.")])
def test_any_other_refusal_is_the_answer(pauses: list[float], error: Exception) -> None:
    def answer() -> None:
        raise error

    with pytest.raises(type(error)):
        calls.patiently(answer)
    assert pauses == []


def test_a_busy_coordinator(running: Nodes, pauses: list[float]) -> None:
    known = view(running)
    running.hub.answer = busy(2, lambda: view_to_pb(known))
    assert running.coordinator.get(known.record.id) == known
    assert len(pauses) == 2


def test_a_busy_node_gets_its_upload_later(running: Nodes, pauses: list[float]) -> None:
    running.neutral.forget()
    running.neutral.refusal = TooManyCalls(BUSY)

    def free(pause_s: float) -> None:
        pauses.append(pause_s)
        running.neutral.refusal = None

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("parties.calls.time.sleep", free)
        contribute(running)
    assert len(pauses) == 1
    assert len(running.neutral.headers) == 1


def test_calls_of_a_block_share_a_connection(running: Nodes) -> None:
    hub, coordinator = running.hub, running.coordinator
    assert isinstance(hub, Watched)
    hub.peers.clear()
    with coordinator.kept():
        for _ in range(3):
            coordinator.approve(ID, b"s" * 64)
    coordinator.approve(ID, b"s" * 64)
    inside, after = set(hub.peers[:3]), set(hub.peers[3:])
    assert len(inside) == len(after) == 1
    assert inside != after


def test_a_session_that_has_changed_is_not_taken_for_what_it_was(running: Nodes) -> None:
    known = view(running)
    changed = view(running, title="Other")
    for told in (known, changed, known):
        running.hub.answer = partial(view_to_pb, told)
        assert running.coordinator.get(told.record.id) == told
