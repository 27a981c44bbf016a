"""When a committee node computes, on what, and how an attempt ends there."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from parties.audit import NODE
from parties.errors import InputError, SessionRefused
from parties.lifecycle import Event, State
from parties.statements import contributions
from tests.parties.deciding import (
    CommitteeNode,
    Contribution,
    check_logs,
    commitments,
    everyones,
    logged,
    terms,
)
from tests.parties.samples import chunk_owners

TERMS = terms()
ID = TERMS.session_id
NOT_YET = "Results are not released yet: {} did not say that it has computed."


@pytest.fixture
def node(tmp_path: Path) -> CommitteeNode:
    made = CommitteeNode(tmp_path)
    made.agree(TERMS)
    return made


@pytest.fixture
def made(node: CommitteeNode) -> list[Contribution]:
    """Everyone's contribution, uploaded."""
    contributed = everyones(TERMS)
    for c in contributed:
        node.take(c)
    return contributed


@pytest.fixture
def computed(node: CommitteeNode) -> list[Contribution]:
    """Everyone's contribution, computed on."""
    return node.computed(TERMS)


def begin_refused(node: CommitteeNode, made: Sequence[Contribution], attempt: int = 1, **how: Any) -> str:
    return node.refusal(SessionRefused, lambda: node.begin(TERMS, made, attempt, **how))


# Attempts begin


def test_an_attempt_begins_on_what_members_committed_to(node: CommitteeNode, made: list[Contribution]) -> None:
    assert node.begin(TERMS, made)
    record, digest = node.store.get(ID), contributions(commitments(made))
    assert (record.state, record.attempt, record.contributions) == (State.RUNNING, 1, digest)
    assert node.store.commitments(ID) == {c.member: c.commitment for c in made}
    assert node.store.entries(ID)[-1].facts == {
        "attempt": 1, "contributions": digest.hex(), "members": list(TERMS.members),
    }  # fmt: skip


@pytest.mark.parametrize("events", [[], [Event.COMPUTE], [Event.COMPUTE, Event.RELEASE]])
def test_what_has_begun_is_not_begun_again(node: CommitteeNode, made: list[Contribution], events: list[Event]) -> None:
    """The answer to the first call may have been lost."""
    node.begin(TERMS, made)
    for event in events:
        node.store.change(ID, event)
    before = node.store.get(ID), node.store.entries(ID)
    assert not node.begin(TERMS, made[::-1])
    assert (node.store.get(ID), node.store.entries(ID)) == before


@pytest.mark.parametrize("caller", ["agency-a", "neutral"])
def test_only_the_coordinator_begins_and_ends(node: CommitteeNode, made: list[Contribution], caller: str) -> None:
    says = "Only the session's coordinator may do this."
    assert begin_refused(node, made, by=caller) == says
    node.begin(TERMS, made)
    assert node.refusal(SessionRefused, lambda: node.guard.abort(caller, ID, 1, "because")) == says
    assert node.refusal(SessionRefused, lambda: node.guard.delete(caller, ID)) == says


def test_fewer_members_than_agreed(node: CommitteeNode, made: list[Contribution]) -> None:
    says = "2 members have contributed; nothing is computed before 3 have."
    assert begin_refused(node, made[:2]) == says
    assert begin_refused(node, [*made[:2], made[1]]) == says
    assert begin_refused(node, []) == "0 members have contributed; nothing is computed before 3 have."


def test_a_member_twice(node: CommitteeNode, made: list[Contribution]) -> None:
    begin_refused(node, [*made, made[0]])
    second = Contribution(TERMS, "agency-a", seed=1)
    node.take(second)
    begin_refused(node, [*made, second])


def test_as_many_as_agreed_compute_without_the_others(node: CommitteeNode) -> None:
    few = node.agree(terms(min_members=2))
    made = everyones(few)
    for c in made:
        node.take(c)
    assert node.begin(few, made[:2])
    assert set(node.shares.uploads(few.session_id)) == {"agency-a", "agency-b"}
    assert len(chunk_owners(node.path)) == 2


def test_a_commitment_to_another_session(node: CommitteeNode, made: list[Contribution]) -> None:
    other = Contribution(node.agree(terms(title="Other")), "agency-c")
    assert begin_refused(node, [*made[:2], other]) == "A commitment is to another session."


def test_a_commitment_that_is_not_here_or_not_whole(node: CommitteeNode, made: list[Contribution]) -> None:
    absent, begun = Contribution(TERMS, "agency-b", seed=1), Contribution(TERMS, "agency-c", seed=1)
    with pytest.raises(InputError):
        node.take(begun, chunks=[])
    says = "agency-b, agency-c did not finish contributing and must contribute again."
    assert begin_refused(node, [made[0], absent, begun]) == says


def test_what_is_begun_with_is_held_against_the_terms_again(node: CommitteeNode, made: list[Contribution]) -> None:
    forged = Contribution(TERMS, "agency-a", signer="hub")
    assert "is not signed by its pinned key" in node.refusal(InputError, lambda: node.begin(TERMS, [forged, *made[1:]]))
    large = Contribution(TERMS, "agency-a", records=1001)
    assert "outside the session's limit of 1000" in begin_refused(node, [large, *made[1:]])
    stranger = Contribution(TERMS, "neutral")
    assert begin_refused(node, [stranger, *made[1:]]) == "neutral is not a member of this session."


def test_budgets_count_when_an_attempt_begins(node: CommitteeNode, made: list[Contribution]) -> None:
    """Members may have contributed to two sessions before either was computed; neither need be released."""
    later = node.agree(terms(title="Later", max_sessions=1))
    second = everyones(later)
    for c in second:
        node.take(c)
    node.begin(TERMS, made)
    node.compute(TERMS)
    with pytest.raises(SessionRefused, match="agency-a has had results of 1 other session in the last 30 days"):
        node.begin(later, second)
    assert node.state(later) is State.APPROVED


@pytest.mark.parametrize("end", [None, Event.COMPUTE, Event.ABORT])
def test_later_attempts_are_on_the_same_contributions(
    node: CommitteeNode, made: list[Contribution], end: Event | None
) -> None:
    second = Contribution(TERMS, "agency-a", seed=1)
    node.take(second)
    node.begin(TERMS, made)
    if end is not None:
        node.store.change(ID, end)
    says = "agency-a did not finish contributing and must contribute again."
    assert begin_refused(node, [second, *made[1:]], 2) == says
    assert node.begin(TERMS, made, 2)


def test_members_are_not_left_out_of_a_later_attempt(node: CommitteeNode) -> None:
    few = node.agree(terms(min_members=2))
    made = everyones(few)
    for c in made:
        node.take(c)
    node.begin(few, made)
    node.guard.failed(few.session_id, 1, "neutral went away.")
    with pytest.raises(SessionRefused, match="lists of this session have been compared; they cannot be changed"):
        node.begin(few, made[:2], 2)
    assert node.begin(few, made, 2)


def test_attempts_are_used_once(node: CommitteeNode, made: list[Contribution]) -> None:
    node.begin(TERMS, made, 4)
    node.guard.failed(ID, 4, "neutral went away.")
    for attempt in range(5):
        assert begin_refused(node, made, attempt) == f"Attempt {attempt} of this session has been used already."
    assert node.begin(TERMS, made, 9)


# Asking first


def test_asking_whether_an_attempt_could_begin_changes_nothing(node: CommitteeNode, made: list[Contribution]) -> None:
    before = node.kept()
    node.guard.check("hub", ID, commitments(made))
    assert node.kept() == before
    assert (node.state(TERMS), node.store.commitments(ID)) == (State.APPROVED, {})


def test_asking_is_refused_for_what_beginning_is_refused_for(node: CommitteeNode, made: list[Contribution]) -> None:
    other = Contribution(TERMS, "agency-a", seed=1)
    for by, given in (("agency-a", made), ("hub", made[:2]), ("hub", [other, *made[1:]])):
        says = node.refusal(SessionRefused, partial(node.guard.check, by, ID, commitments(given)))
        assert says == begin_refused(node, given, by=by)


# Attempts end


FAILED = "neutral went away."


def test_a_failed_attempt_leaves_the_contributions(node: CommitteeNode, made: list[Contribution]) -> None:
    node.begin(TERMS, made)
    node.guard.failed(ID, 1, FAILED)
    assert (node.state(TERMS), node.store.get(ID).reason) == (State.ABORTED, FAILED)
    assert node.store.entries(ID)[-1].facts == {"reason": FAILED, "attempt": 1}
    assert set(node.shares.uploads(ID)) == set(TERMS.members)
    assert node.begin(TERMS, made, 2)
    check_logs(node.store)


def test_a_failure_of_an_attempt_that_was_replaced_or_ended_changes_nothing(
    node: CommitteeNode, made: list[Contribution]
) -> None:
    node.begin(TERMS, made)
    node.begin(TERMS, made, 2)
    before = node.kept()
    node.guard.failed(ID, 1, FAILED)
    assert node.kept() == before
    node.compute(TERMS)
    before = node.kept()
    node.guard.failed(ID, 2, FAILED)
    assert node.kept() == before


def test_results_of_an_attempt_that_failed_meanwhile_are_refused(node: CommitteeNode, made: list[Contribution]) -> None:
    node.begin(TERMS, made)
    node.guard.failed(ID, 1, FAILED)
    node.refusal(SessionRefused, lambda: node.compute(TERMS))


@pytest.mark.parametrize("compute", [False, True])
def test_the_coordinator_gives_an_attempt_up(node: CommitteeNode, made: list[Contribution], compute: bool) -> None:
    node.begin(TERMS, made)
    if compute:
        node.compute(TERMS)
    assert node.guard.abort("hub", ID, 1, FAILED) is State.ABORTED
    assert (node.state(TERMS), node.store.get(ID).reason) == (State.ABORTED, FAILED)
    assert len(chunk_owners(node.path)) == 3
    before = node.kept()
    assert node.guard.abort("hub", ID, 1, FAILED) is State.ABORTED  # the answer may have been lost
    assert node.kept() == before
    assert node.begin(TERMS, made, 2)


def test_the_coordinators_reason_takes_the_place_of_the_nodes_own(
    node: CommitteeNode, made: list[Contribution]
) -> None:
    """So that it is the same at all nodes."""
    node.begin(TERMS, made)
    node.guard.failed(ID, 1, "agency-a did not answer in time.")
    node.guard.abort("hub", ID, 1, FAILED)
    assert node.store.get(ID).reason == FAILED
    assert logged(node.store, ID)[-2:] == ["aborted", "aborted"]


def test_the_coordinator_has_so_many_reasons_and_no_more(node: CommitteeNode, made: list[Contribution]) -> None:
    """Each is an entry of the log."""
    node.begin(TERMS, made)
    for k in range(10):
        assert node.guard.abort("hub", ID, 1 + k, f"{FAILED} ({k})") is State.ABORTED
    most = logged(node.store, ID).count("aborted")
    assert most == 4  # the node's own and the coordinator's, of this attempt and of one that did not begin here
    assert node.begin(TERMS, made, 2)
    node.guard.failed(ID, 2, "agency-a did not answer in time.")
    node.guard.abort("hub", ID, 2, FAILED)
    assert node.store.get(ID).reason == FAILED
    assert logged(node.store, ID).count("aborted") == most + 2


@pytest.mark.parametrize("known", [False, True])
def test_an_attempt_that_did_not_begin_here_is_given_up_too(node: CommitteeNode, known: bool) -> None:
    made = everyones(TERMS)
    for c in made:
        node.take(c)
    if not known:
        node.path.unlink()
        node.restart()
    assert node.guard.abort("hub", ID, 1, FAILED) is State.ABORTED
    assert (node.state(TERMS), node.store.get(ID).attempt) == (State.ABORTED, 0)


def test_a_later_attempt_is_not_given_up_for_an_earlier_one(node: CommitteeNode, made: list[Contribution]) -> None:
    node.begin(TERMS, made)
    node.begin(TERMS, made, 2)
    says = node.refusal(SessionRefused, lambda: node.guard.abort("hub", ID, 1, FAILED))
    assert says == "Attempt 1 has been replaced by attempt 2."


def test_what_was_released_is_not_given_up(node: CommitteeNode) -> None:
    node.release(TERMS, node.computed(TERMS))
    says = node.refusal(SessionRefused, lambda: node.guard.abort("hub", ID, 1, FAILED))
    assert says == "The session has results to fetch, so 'the run failed' is not possible now."


@pytest.mark.parametrize("event", [Event.CLOSE, Event.EXPIRE])
def test_a_session_that_is_over_stays_so(node: CommitteeNode, event: Event) -> None:
    node.guard.served(ID, "hub")
    node.store.change(ID, event)
    before = node.kept()
    assert node.guard.abort("hub", ID, 1, FAILED) is node.state(TERMS)
    assert node.kept() == before


# After a restart


def test_attempts_that_were_cut_off_end_and_can_be_run_again(node: CommitteeNode, made: list[Contribution]) -> None:
    node.begin(TERMS, made, 3)
    node.restart()
    node.guard.recover()
    assert node.store.get(ID).reason == "neutral was restarted while it computed."
    assert node.store.entries(ID)[-1].facts["attempt"] == 3
    assert logged(node.store, NODE) == ["recovered"]
    assert node.begin(TERMS, made, 4)


def test_a_node_that_computed_nothing_has_nothing_to_recover(node: CommitteeNode, made: list[Contribution]) -> None:
    before = node.kept()
    node.restart()
    node.guard.recover()
    assert node.kept() == before
    assert logged(node.store, NODE) == []
