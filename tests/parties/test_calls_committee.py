"""Committee nodes as a coordinator calls them, heads of logs, and connections that cannot be."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from parties import calls, config, federation
from parties.audit import Event, Head
from parties.errors import AuditError, ConfigError, PeerIdentityError, PeerUnavailable, SessionRefused
from parties.federation import Node
from parties.lifecycle import State
from parties.manifest import Manifest
from parties.participant import Participant
from parties.statements import Commitment, Completion
from parties.store import Store
from parties.wire import Answer, commitment_of, completion_of, completion_to_pb, head_of
from protos.matchbit.v1 import committee_pb2 as pb
from protos.matchbit.v1 import session_pb2
from tests.parties.answering import Nodes
from tests.parties.samples import terms_of, write

ID = bytes(range(32))
COMMITMENTS = [
    Commitment(ID, name, b"s" * 64, records=3, new_records=2, keys=3, digests=(b"d" * 32,) * 3) for name in "ab"
]
COMPLETIONS = [Completion(ID, name, b"s" * 64, attempt=2, contributions=b"c" * 32) for name in "abc"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    nodes = Nodes(tmp_path_factory.mktemp("nodes"))
    with nodes.served():
        yield nodes


@pytest.fixture
def nodes(running: Nodes) -> Nodes:
    running.neutral.forget()
    return running


@pytest.fixture(scope="module")
def store(running: Nodes) -> Store:
    return running.configs["hub"].store()


@pytest.fixture
def committee(nodes: Nodes, store: Store) -> calls.Committee:
    return calls.Committee(nodes.configs["hub"], store)


# Attempts


def test_how_an_attempt_goes(nodes: Nodes, committee: calls.Committee) -> None:
    nodes.neutral.answer = pb.GetRunResponse(
        state=session_pb2.SESSION_STATE_COMPUTED,
        attempt=2,
        progress=session_pb2.Progress(phase="tag", rows_done=5, rows_total=9),
        completion=completion_to_pb(COMPLETIONS[0]),
    )
    expected = Answer(State.COMPUTED, "", 2, ("tag", 5, 9), False, COMPLETIONS[0])
    assert committee.look("neutral", ID) == expected
    assert nodes.neutral.asked == [pb.GetRunRequest(session_id=ID)]


def test_an_attempt_begins(nodes: Nodes, committee: calls.Committee) -> None:
    committee.start("neutral", ID, 7, COMMITMENTS)
    (asked,) = nodes.neutral.asked
    assert (asked.session_id, asked.attempt) == (ID, 7)
    assert list(map(commitment_of, asked.commitments)) == COMMITMENTS


def test_whether_an_attempt_could_begin(nodes: Nodes, committee: calls.Committee) -> None:
    committee.check("neutral", ID, COMMITMENTS)
    (asked,) = nodes.neutral.asked
    assert (asked.session_id, asked.attempt) == (ID, 0)
    assert list(map(commitment_of, asked.commitments)) == COMMITMENTS


def test_how_an_attempt_ended(nodes: Nodes, committee: calls.Committee) -> None:
    committee.release("neutral", ID, 7, COMPLETIONS)
    committee.abort("neutral", ID, 8, "agency-b went away.")
    released, aborted = nodes.neutral.asked
    assert (released.session_id, released.attempt, released.WhichOneof("outcome")) == (ID, 7, "completions")
    assert list(map(completion_of, released.completions.completions)) == COMPLETIONS
    assert (aborted.attempt, aborted.WhichOneof("outcome"), aborted.reason) == (8, "reason", "agency-b went away.")


def test_a_session_is_deleted(nodes: Nodes, committee: calls.Committee) -> None:
    committee.delete("neutral", ID)
    assert nodes.neutral.asked == [pb.DeleteSessionRequest(session_id=ID)]


def test_a_nodes_refusal_reaches_the_coordinator(nodes: Nodes, committee: calls.Committee) -> None:
    nodes.neutral.refusal = SessionRefused("Attempt 2 of this session has been used already.")
    for act in (
        lambda: committee.look("neutral", ID),
        lambda: committee.start("neutral", ID, 2, COMMITMENTS),
        lambda: committee.release("neutral", ID, 2, COMPLETIONS),
        lambda: committee.abort("neutral", ID, 2, "why"),
        lambda: committee.delete("neutral", ID),
    ):
        with pytest.raises(SessionRefused, match=r"^Attempt 2 of this session has been used already\.$"):
            act()


def test_a_node_that_is_away(committee: calls.Committee) -> None:
    with pytest.raises(PeerUnavailable, match=r"^agency-b cannot be reached; check its address"):
        committee.delete("agency-b", ID)


# Heads of logs


@pytest.fixture
def terms(nodes: Nodes, store: Store) -> Manifest:
    """A session that the coordinator knows."""
    made = terms_of(nodes.configs)
    store.add_session(made, State.PROPOSED)
    return made


def head(nodes: Nodes, terms: Manifest, name: str = "neutral", number: int = 3) -> Head:
    made = Head(name, terms.session_id, number, b"h" * 32)
    return replace(made, signature=nodes.configs[name].identity().signing_key.sign(made.signed_bytes))


def test_heads_are_told_heard_and_kept(nodes: Nodes, committee: calls.Committee, store: Store, terms: Manifest) -> None:
    own = store.latest_heads(terms.session_id)
    nodes.neutral.heads = [head(nodes, terms), head(nodes, terms, "agency-c", 9)]
    committee.exchange_heads("neutral", terms.session_id)
    (asked,) = nodes.neutral.asked
    assert (asked.session_id, list(map(head_of, asked.heads))) == (terms.session_id, own)
    assert {h.node: h.number for h in store.latest_heads(terms.session_id)} == {"neutral": 3, "agency-c": 9, "hub": 1}


def test_a_forged_head_is_not_kept(nodes: Nodes, committee: calls.Committee, store: Store, terms: Manifest) -> None:
    before = store.entries(terms.session_id)
    nodes.neutral.heads = [replace(head(nodes, terms, "agency-b", 4), node="agency-c")]
    with pytest.raises(AuditError, match="A statement on entry 4 of the log of agency-c is not signed"):
        committee.exchange_heads("neutral", terms.session_id)
    assert store.entries(terms.session_id) == before


def test_a_member_exchanges_heads_with_the_coordinator(nodes: Nodes, terms: Manifest, tmp_path: Path) -> None:
    nodes.neutral.heads = [head(nodes, terms)]
    own = nodes.own.store()
    own.log(terms.session_id, Event.FORGOT)
    told = own.latest_heads(terms.session_id)
    assert nodes.coordinator.exchange_heads(terms.session_id, told) == nodes.neutral.heads
    assert list(map(head_of, nodes.neutral.asked[0].heads)) == told


def test_a_member_tells_its_own_head_and_no_others(nodes: Nodes, terms: Manifest) -> None:
    """Where other members' logs stand is not for it to pass on."""
    own = Participant(nodes.own)
    own.store.add_session(terms, State.PROPOSED)
    nodes.neutral.heads = [head(nodes, terms), head(nodes, terms, "agency-b")]
    for _ in range(2):
        own.exchange_heads(own.store.get(terms.session_id))
    assert {h.node for h in own.store.latest_heads(terms.session_id)} == {"agency-a", "agency-b", "neutral"}
    assert [[head_of(h).node for h in asked.heads] for asked in nodes.neutral.asked] == [["agency-a"]] * 2


# Connections


def test_a_node_without_an_address(nodes: Nodes) -> None:
    with pytest.raises(ConfigError, match=r"agency-c has no address in federation\.toml, so it cannot be called"):
        calls.get_run(nodes.own, nodes.known["agency-c"], ID)


def test_a_node_that_shows_another_certificate(nodes: Nodes, tmp_path: Path) -> None:
    other = config.create("neutral", tmp_path / "other", nodes.known["neutral"].address, False)
    pinned: Node = other.federation()["neutral"]
    with pytest.raises(PeerIdentityError, match=r"neutral does not show the certificate that federation\.toml pins"):
        calls.fetch_result(nodes.own, pinned, ID, [], 0)


def test_a_federation_without_a_coordinator(nodes: Nodes, tmp_path: Path) -> None:
    alone = federation.load(write(tmp_path / "f.toml", (nodes.own.folder / "entry.toml").read_bytes()))
    with pytest.raises(ConfigError, match="exactly one coordinator"):
        calls.Coordinator(nodes.own, alone)
