"""A node that was restored from a backup, or died when it had signed, learns again what it has signed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from parties.lifecycle import State
from parties.manifest import sign
from tests.parties.proposing import Hub, listening, node


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with listening(tmp_path) as made:
        yield made


def signed(hub: Hub, name: str, key: str = "") -> bytes:
    """A session with a signature in a node's name that its own database does not know."""
    session_id = hub.propose()
    signature = sign(hub.nodes[key or name].identity().signing_key, session_id, name)
    hub.store.add_signature(session_id, name, signature)
    return session_id


@pytest.mark.parametrize("state", [State.PROPOSED, State.APPROVED, State.RUNNING, State.DONE])
def test_what_was_signed_and_forgotten_is_known_again(hub: Hub, state: State) -> None:
    """Else nobody could contribute to it there: a node has nothing looked up that it does not know."""
    session_id = signed(hub, "neutral")
    hub.put(session_id, state)
    approvals, store = node(hub, "neutral")
    approvals.act()
    record = store.get(session_id)
    assert (record.state, [*record.signatures]) == (State.PROPOSED, ["neutral"])
    before = store.entries(session_id)
    approvals.act()
    assert store.entries(session_id) == before


def test_what_was_not_signed_or_is_over_is_not_remembered(hub: Hub) -> None:
    others, forged, over = signed(hub, "agency-a"), signed(hub, "neutral", "agency-a"), signed(hub, "neutral")
    for session_id, state in ((others, State.APPROVED), (forged, State.APPROVED), (over, State.CLOSED)):
        hub.put(session_id, state)
    approvals, store = node(hub, "neutral")
    approvals.act()
    assert store.session_ids() == []
