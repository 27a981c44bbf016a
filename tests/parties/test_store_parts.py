"""What is asked of a store for one party or in one word gives what all of it says."""

from pathlib import Path

import pytest

from parties import audit
from parties.lifecycle import State
from parties.statements import Commitment, Completion
from parties.store import Store
from tests.parties.deciding import store_of, terms
from tests.parties.samples import manifest

TERMS = terms()
ID = TERMS.session_id
OTHER = terms(title="Other")


def commitment(name: str, session_id: bytes = ID, keys: int = 3) -> Commitment:
    return Commitment(session_id, name, bytes(64), records=keys, new_records=keys, keys=keys, digests=(bytes(32),) * 3)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = store_of(tmp_path / "matchbit.db", "neutral")
    for one in (TERMS, OTHER):
        opened.add_session(one, State.APPROVED)
    return opened


def test_what_one_member_has_committed_to(store: Store) -> None:
    store.add_statement(commitment("agency-a"))
    store.add_statement(commitment("agency-b", OTHER.session_id))
    store.add_statement(Completion(ID, "agency-b", bytes(64), 1, bytes(32)))
    assert store.commitment(ID, "agency-a") == commitment("agency-a")
    assert store.commitment(ID, "agency-b") is None
    assert store.contributed(ID) == set(store.commitments(ID)) == {"agency-a"}
    store.add_statement(commitment("agency-a", keys=5))
    assert store.commitment(ID, "agency-a") == commitment("agency-a", keys=5)


def test_how_often_something_was_logged_of_a_member(store: Store) -> None:
    for name, session_id in (("agency-a", ID), ("agency-a", ID), ("agency-b", ID), ("agency-a", OTHER.session_id)):
        store.log(session_id, audit.Event.CONTRIBUTED, **commitment(name, session_id).facts())
    store.log(ID, audit.Event.FETCHED, member="agency-a")
    assert store.times(ID, audit.Event.CONTRIBUTED, "agency-a") == 2
    assert store.times(ID, audit.Event.CONTRIBUTED, "agency-b") == 1
    assert store.times(ID, audit.Event.FETCHED, "agency-a") == 1
    assert store.times(ID, audit.Event.FETCHED, "agency") == 0


def test_a_state(store: Store) -> None:
    assert store.state(ID) is State.APPROVED
    store.begin(ID, 1, bytes(32), list(TERMS.members))
    assert (store.state(ID), store.state(OTHER.session_id)) == (State.RUNNING, State.APPROVED)


def test_the_newest_heads_of_some_and_of_this_node(store: Store) -> None:
    heads = [audit.Head(node, ID, k, bytes([k]) * 32, bytes(64)) for node in ("agency-a", "agency-b") for k in (1, 2)]
    store.add_heads(heads)
    own = store.latest_heads(ID)[-1]
    assert own.node == "neutral"
    assert store.latest_heads(ID) == [heads[1], heads[3], own]
    assert store.latest_heads(ID, ["agency-b", "agency-c"]) == [heads[3], own]
    assert store.latest_heads(ID, ()) == [own]


def test_a_larger_committee_is_told_to_the_last_node(store: Store) -> None:
    large = manifest(engine="mpyc", threshold=2, committee=("agency-a", "agency-b", "agency-c", "neutral", "other"))
    store.add_session(large, State.CLOSED)
    for name in large.committee:
        assert store.untold([State.CLOSED]) == [large.session_id]
        store.tell(large.session_id, name, State.CLOSED)
    assert store.untold([State.CLOSED]) == []
