"""What a node has refused it never signs, whatever the coordinator makes of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from parties import calls
from parties.errors import PeerUnavailable, SessionRefused
from parties.lifecycle import State
from parties.store import Store
from tests.parties.proposing import STANDING, Hub, listening, node


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with listening(tmp_path) as made:
        yield made


def told(store: Store, session_id: bytes) -> list[str]:
    """What a node logged of its own decisions."""
    return [entry.event for entry in store.entries(session_id) if entry.event not in ("proposed", "head")]


def test_a_person_refuses(hub: Hub) -> None:
    session_id = hub.propose()
    approvals, store = node(hub)
    approvals.refuse(session_id[:8], "not agreed")
    assert (hub.store.get(session_id).state, hub.store.get(session_id).reason) == (
        State.REFUSED,
        "agency-a: not agreed",
    )
    (refused,) = store.entries(session_id)
    assert dict(refused.facts) == {"name": "agency-a", "reason": "not agreed"}


def test_what_this_node_refused_is_not_signed_by_standing_consent(hub: Hub) -> None:
    """Whatever the coordinator says of it later: it may have been restored, or lie."""
    session_id = hub.propose()
    approvals, store = node(hub, policy=STANDING)
    approvals.refuse(session_id, "not agreed")
    hub.put(session_id, State.PROPOSED)
    assert approvals.pending() == approvals.act() == []
    assert hub.store.get(session_id).signatures == {}
    assert told(store, session_id) == ["refused"]


def test_what_this_node_refused_is_not_signed_by_a_person(hub: Hub) -> None:
    session_id = hub.propose()
    approvals, store = node(hub)
    approvals.refuse(session_id, "not agreed")
    hub.put(session_id, State.PROPOSED)
    with pytest.raises(SessionRefused, match=r"^agency-a has refused this session, and a refusal is for good\.$"):
        approvals.consent(session_id)
    assert hub.store.get(session_id).signatures == {}
    assert told(store, session_id) == ["refused"]


def test_a_refusal_counts_although_the_coordinator_did_not_hear_it(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise PeerUnavailable("hub cannot be reached.")

    session_id = hub.propose()
    approvals, store = node(hub, policy=STANDING)
    with monkeypatch.context() as patched:
        patched.setattr(calls.Coordinator, "refuse", away)
        with pytest.raises(PeerUnavailable):
            approvals.refuse(session_id, "not agreed")
    assert approvals.act() == []
    assert hub.store.get(session_id).signatures == {}
    approvals.refuse(session_id, "not agreed")
    assert hub.store.get(session_id).state is State.REFUSED
    assert told(store, session_id) == ["refused"]
