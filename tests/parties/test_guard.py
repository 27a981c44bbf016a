"""What a committee node takes from members: within terms that all have signed, and exactly what was committed to."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from parties.errors import ConfigError, InputError, PeerIdentityError, ServiceError, SessionRefused
from parties.federation import Federation
from parties.lifecycle import State
from parties.manifest import Manifest
from parties.policy import Policy
from parties.store import SessionRecord
from tests.parties.deciding import (
    COMMITTEE,
    FEDERATION,
    KEYS,
    CommitteeNode,
    Contribution,
    everyones,
    logged,
    refusal,
    signatures,
    terms,
)
from tests.parties.samples import chunk_owners

TERMS = terms()
ID = TERMS.session_id


@pytest.fixture
def node(tmp_path: Path) -> CommitteeNode:
    made = CommitteeNode(tmp_path)
    made.agree(TERMS)
    return made


def refused(node: CommitteeNode, kind: type[ServiceError], c: Contribution, **how: Any) -> str:
    """The sentence with which an upload is refused; nothing of it counts then."""
    says = refusal(kind, lambda: node.take(c, **how))
    assert not node.shares.uploads(c.commitment.session_id)
    return says


def received(node: CommitteeNode, c: Contribution) -> int:
    return node.guard.received_bytes(c.member, c.commitment.session_id, c.commitment.digest)


# Terms


def test_terms_are_fetched_and_checked_once_and_kept_with_their_signatures(node: CommitteeNode) -> None:
    record = node.guard.served(ID, "agency-a")
    assert (record.manifest, record.state, record.signatures) == (TERMS, State.APPROVED, signatures(TERMS))
    node.agreed.clear()
    node.restart()
    assert node.guard.served(ID, "agency-a") == record
    assert node.asked == [ID]
    assert logged(node.store, ID) == ["proposed", "approvals"]


def missing(name: str) -> dict[str, bytes]:
    return {n: s for n, s in signatures(TERMS).items() if n != name}


@pytest.mark.parametrize("name", TERMS.participants)
def test_nothing_is_done_without_everyones_signature(node: CommitteeNode, name: str) -> None:
    node.agree(TERMS, missing(name))
    c = Contribution(TERMS, "agency-a")
    assert f"Not yet approved by {name}; each runs" in refused(node, SessionRefused, c)
    assert node.state(TERMS) is State.PROPOSED
    node.agree(TERMS, signatures(TERMS) | {name: signatures(terms(title="Other"))[name]})
    assert f"in the name of {name} is not signed by {name}'s pinned key" in refused(node, ConfigError, c)
    swapped = next(n for n in TERMS.participants if n != name)
    node.agree(TERMS, signatures(TERMS) | {name: signatures(TERMS)[swapped]})
    assert f"in the name of {name} is not signed" in refused(node, ConfigError, c)
    assert node.state(TERMS) is State.PROPOSED


def test_signatures_are_checked_again_each_time(node: CommitteeNode) -> None:
    """By the keys that are pinned now, also where the terms are known."""
    node.guard.served(ID, "agency-a")
    other = replace(FEDERATION["agency-b"], signing_key=KEYS["stranger"].public_key().public_bytes_raw())
    node.federation = Federation({**FEDERATION.nodes, "agency-b": other})
    with pytest.raises(PeerIdentityError, match="The session pins other keys for agency-b than this node's"):
        node.guard.served(ID, "agency-a")


UNKNOWN = r"^No session [0-9a-f]{16} is known here; see `matchbit session list`\.$"


@pytest.mark.parametrize("caller", ["agency-a", "agency-b", "stranger"])
def test_nothing_is_looked_up_of_a_session_that_the_node_has_not_signed(tmp_path: Path, caller: str) -> None:
    """Else whoever makes up sessions has every node ask the coordinator."""
    node = CommitteeNode(tmp_path)
    node.agreed[ID] = SessionRecord(TERMS, State.APPROVED, "", 0, signatures(TERMS))
    for act in everything(node, caller, Contribution(TERMS, "agency-a")):
        assert re.match(UNKNOWN, node.refusal(SessionRefused, act))
    assert node.asked == []


@pytest.mark.parametrize("state", State)
def test_a_stranger_hears_the_same_of_sessions_that_there_are(node: CommitteeNode, state: State) -> None:
    with node.store.transaction() as db:
        db.execute("UPDATE sessions SET state = ? WHERE id = ?", (state.value, ID))
    node.policy = Policy(max_records=1)
    for act in everything(node, "stranger", Contribution(TERMS, "agency-a")):
        assert re.match(UNKNOWN, node.refusal(SessionRefused, act))
    assert node.asked == []


def everything(node: CommitteeNode, caller: str, c: Contribution) -> Iterator[Callable[[], object]]:
    """All that a caller may ask of a session, its members' contribution aside."""
    guard = node.guard
    yield lambda: node.take(c, by=caller)
    yield lambda: guard.check(caller, ID, [c.commitment])
    yield lambda: guard.begin(caller, ID, 1, [c.commitment])
    yield lambda: guard.by_coordinator(ID, caller)
    yield lambda: guard.abort(caller, ID, 1, "because")
    yield lambda: guard.delete(caller, ID)
    yield lambda: guard.served(ID, caller)
    yield lambda: guard.result(caller, ID, [])


def test_the_coordinator_may_ask_of_a_session_that_the_node_has_forgotten(tmp_path: Path) -> None:
    node = CommitteeNode(tmp_path)
    node.agreed[ID] = SessionRecord(TERMS, State.APPROVED, "", 0, signatures(TERMS))
    assert node.guard.by_coordinator(ID, "hub").state is State.APPROVED
    assert node.asked == [ID]
    with pytest.raises(SessionRefused, match="No such session is known here"):
        node.guard.by_coordinator(bytes(32), "hub")


def test_a_session_on_whose_committee_the_node_is_not(tmp_path: Path) -> None:
    node = CommitteeNode(tmp_path, "agency-c")
    node.agree(TERMS)
    with pytest.raises(SessionRefused, match=r"^agency-c is not on the committee of this session\.$"):
        node.guard.served(ID, "agency-a")
    assert node.state(TERMS) is State.PROPOSED


def test_a_session_of_the_future(node: CommitteeNode) -> None:
    node.clock.move(days=-2)
    with pytest.raises(SessionRefused, match=r"The session says it was created on .*, which is still to come"):
        node.guard.served(ID, "agency-a")


@pytest.mark.parametrize("known", [False, True])
def test_an_expired_session(node: CommitteeNode, known: bool) -> None:
    if known:
        node.guard.served(ID, "agency-a")
    node.clock.move(days=41)
    says = refused(node, SessionRefused, Contribution(TERMS, "agency-a"))
    assert says == f"The session 'Winter cash' expired on {TERMS.expires}."


@pytest.mark.parametrize("known", [False, True])
def test_the_nodes_policy_counts_whatever_was_signed(node: CommitteeNode, known: bool) -> None:
    if known:
        node.guard.served(ID, "agency-a")
    node.policy = Policy(max_records=999)
    says = refused(node, SessionRefused, Contribution(TERMS, "agency-a"))
    assert says.startswith("The policy of neutral refuses the terms: `max_records` is 1,000")
    node.policy = Policy(max_records=1000)
    node.take(Contribution(TERMS, "agency-a"))


@pytest.mark.parametrize("name", COMMITTEE)
def test_which_party_a_node_is(tmp_path: Path, name: str) -> None:
    node = CommitteeNode(tmp_path, name)
    assert node.guard.party(TERMS) == COMMITTEE.index(name)


def test_a_session_that_the_node_has_only_signed_itself(node: CommitteeNode) -> None:
    own = {"neutral": signatures(TERMS)["neutral"]}
    node.store.add_session(TERMS, State.PROPOSED, own)
    node.agree(TERMS, own)
    assert "Not yet approved by agency-a" in refused(node, SessionRefused, Contribution(TERMS, "agency-a"))
    assert node.state(TERMS) is State.PROPOSED
    node.agree(TERMS)
    assert node.guard.served(ID, "agency-a").signatures == signatures(TERMS)
    assert node.state(TERMS) is State.APPROVED


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (State.REFUSED, "The session was refused."),
        (State.EXPIRED, "The session has expired."),
        (State.CLOSED, "The session is closed; shares and results are deleted."),
    ],
)
def test_a_session_that_is_over_by_its_coordinators_word(node: CommitteeNode, state: State, says: str) -> None:
    node.agreed[ID] = replace(node.agreed[ID], state=state)
    assert refused(node, SessionRefused, Contribution(TERMS, "agency-a")) == says
    assert node.state(TERMS) is State.PROPOSED


def test_the_coordinators_word_does_not_count_for_what_is_known(node: CommitteeNode) -> None:
    node.guard.served(ID, "agency-a")
    node.agreed[ID] = replace(node.agreed[ID], state=State.REFUSED)
    node.take(Contribution(TERMS, "agency-a"))


# What members commit to


def agreed(node: CommitteeNode, **changes: Any) -> Manifest:
    return node.agree(terms(**changes))


def test_only_members_contribute_and_each_for_itself(node: CommitteeNode) -> None:
    c = Contribution(TERMS, "agency-a")
    says = refused(node, SessionRefused, c, by="agency-b")
    assert says == "agency-b cannot contribute in the name of agency-a."
    assert "neutral is not a member of this session." in refused(node, SessionRefused, Contribution(TERMS, "neutral"))
    assert received(node, c) == 0


@pytest.mark.parametrize("signer", ["agency-b", "neutral", "hub"])
def test_a_commitment_that_its_member_did_not_sign(node: CommitteeNode, signer: str) -> None:
    says = refused(node, InputError, Contribution(TERMS, "agency-a", signer=signer))
    assert says == "A commitment in the name of agency-a is not signed by its pinned key."


@pytest.mark.parametrize("field", ["records", "new_records", "keys", "digests"])
def test_a_commitment_that_was_changed_on_its_way(node: CommitteeNode, field: str) -> None:
    c = Contribution(TERMS, "agency-a", 3, records=5, new_records=4)
    value: Any = c.commitment.digests[::-1] if field == "digests" else getattr(c.commitment, field) - 1
    c.commitment = replace(c.commitment, **{field: value})
    assert "is not signed by its pinned key" in refused(node, InputError, c)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"keys": 0}, "0 keys are outside the session's limit of 1 to 2000."),
        ({"keys": 2001}, "2001 keys are outside the session's limit of 1 to 2000."),
        (
            {"records": 1001},
            "1001 records of agency-a, 3 of them new, are outside the session's limit of 1000.",
        ),
        (
            {"records": 3, "new_records": 4},
            "3 records of agency-a, 4 of them new, are outside the session's limit of 1000.",
        ),
    ],
)
def test_more_than_the_terms_allow(node: CommitteeNode, changes: dict[str, Any], says: str) -> None:
    assert refused(node, SessionRefused, Contribution(TERMS, "agency-a", **changes)) == says
    assert chunk_owners(node.path) == set()


@pytest.mark.parametrize(("records", "keys"), [(19, 20), (20, 19), (0, 19), (1, 20)])
def test_lists_that_are_too_short(node: CommitteeNode, records: int, keys: int) -> None:
    short = agreed(node, min_records=20)
    says = refused(node, SessionRefused, Contribution(short, "agency-a", keys, records=records, new_records=0))
    assert says == (
        f"agency-a has {records} records, {keys} distinct keys; the session asks for at least 20 of each, so that "
        "no one is singled out."
    )
    node.take(Contribution(short, "agency-a", 20, new_records=0))


def test_the_limits_themselves_are_allowed(node: CommitteeNode) -> None:
    tight = agreed(node, max_records=20, min_records=20)
    node.take(Contribution(tight, "agency-a", 40, records=20, new_records=20))


# Budgets


def after_results(node: CommitteeNode, **changes: Any) -> Manifest:
    """Terms after a session that all three members had results of."""
    node.release(TERMS, node.computed(TERMS))
    return agreed(node, title="Later", **changes)


def test_new_records_are_limited_after_the_first_session(node: CommitteeNode) -> None:
    limited = {"max_new_records": 2}
    node.take(Contribution(agreed(node, title="First", **limited), "agency-a", 3))  # all are new
    later = after_results(node, **limited)
    says = refused(node, SessionRefused, Contribution(later, "agency-a", 3))
    assert says == "3 records of agency-a are new since its last session; this session allows 2."
    node.take(Contribution(later, "agency-a", 3, new_records=2))


def test_results_in_a_period_are_limited(node: CommitteeNode) -> None:
    later = after_results(node, max_sessions=1, period_days=30)
    says = refused(node, SessionRefused, Contribution(later, "agency-a"))
    assert (
        says == "agency-a has had results of 1 other session in the last 30 days; this session allows 1 with its own."
    )
    node.take(Contribution(agreed(node, title="More", max_sessions=2), "agency-a"))
    node.clock.move(days=30)
    node.take(Contribution(later, "agency-a"))


def test_a_session_that_was_not_computed_counts_for_nothing(node: CommitteeNode) -> None:
    made = everyones(TERMS)
    for c in made:
        node.take(c)
    node.begin(TERMS, made)
    later = agreed(node, title="Later", max_sessions=1, max_new_records=1)
    node.take(Contribution(later, "agency-a", 3))
    node.guard.failed(ID, 1, "neutral went away.")
    node.take(Contribution(later, "agency-b", 3))


def test_results_count_when_they_are_there_whatever_becomes_of_them(node: CommitteeNode) -> None:
    """Else sessions could be computed side by side and released later, or never: who is on the committee sees sizes."""
    node.computed(TERMS)
    later = agreed(node, title="Later", max_sessions=1, max_new_records=1)
    says = "agency-a has had results of 1 other session in the last 30 days; this session allows 1 with its own."
    assert refused(node, SessionRefused, Contribution(later, "agency-a")) == says
    node.guard.abort("hub", ID, 1, "neutral went away.")
    assert refused(node, SessionRefused, Contribution(later, "agency-a")) == says


def test_a_session_that_is_closed_still_counts(node: CommitteeNode) -> None:
    later = after_results(node, max_sessions=1)
    node.guard.delete("hub", ID)
    assert "has had results of 1 other session" in refused(node, SessionRefused, Contribution(later, "agency-a"))


def test_sessions_of_others_are_not_a_members_own(node: CommitteeNode) -> None:
    pair = node.agree(terms(title="Pair", members=("agency-b", "agency-c"), committee=COMMITTEE))
    node.release(pair, node.computed(pair))
    later = agreed(node, title="Later", max_sessions=1, max_new_records=1)
    node.take(Contribution(later, "agency-a", 3))
    with pytest.raises(SessionRefused, match="agency-b has had results of 1 other session"):
        node.take(Contribution(later, "agency-b", 3))


def test_a_session_that_a_member_took_no_part_in_does_not_count(node: CommitteeNode) -> None:
    few = agreed(node, title="Few", min_members=2)
    made = [Contribution(few, member) for member in ("agency-a", "agency-b")]
    for c in made:
        node.take(c)
    node.begin(few, made)
    node.compute(few, dict.fromkeys(("agency-a", "agency-b"), b"part"))
    node.release(few, made)
    later = agreed(node, title="Later", max_sessions=1, max_new_records=1)
    node.take(Contribution(later, "agency-c", 3))
    assert "agency-a has had results of 1 other session" in refusal(
        SessionRefused, lambda: node.take(Contribution(later, "agency-a", 3))
    )
