"""When a committee node gives results out, to whom, and when it deletes everything."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from parties import guard, normalise
from parties.errors import ConfigError, InputError, SessionRefused
from parties.lifecycle import Event, State
from parties.shares import MOST_BLOCK_SIZES
from parties.statements import Completion
from tests.parties.deciding import (
    COMMITTEE,
    FEDERATION,
    KEYS,
    CommitteeNode,
    Contribution,
    check_logs,
    completions,
    everyones,
    logged,
    store_of,
    terms,
)
from tests.parties.samples import NOW, chunk_owners

TERMS = terms()
ID = TERMS.session_id
NOT_YET = "Results are not released yet: {} did not say that it has computed."


@pytest.fixture
def node(tmp_path: Path) -> CommitteeNode:
    made = CommitteeNode(tmp_path)
    made.agree(TERMS)
    return made


@pytest.fixture
def computed(node: CommitteeNode) -> list[Contribution]:
    """Everyone's contribution, computed on."""
    return node.computed(TERMS)


def result(node: CommitteeNode, member: str, said: Sequence[Completion]) -> bytes:
    return b"".join(node.guard.result(member, ID, said))


# Results


def test_what_a_node_says_when_it_has_computed(node: CommitteeNode, computed: list[Contribution]) -> None:
    assert node.store.completions(ID) == completions(TERMS, computed, names=["neutral"])
    node.store.completions(ID)[0].check(KEYS["neutral"].public_key())
    assert node.state(TERMS) is State.COMPUTED
    assert node.store.entries(ID)[-1].facts == {"attempt": 1, "group_sizes": [5, 2], "seconds": 1}


def test_results_are_released_on_three_statements_on_this_attempt(
    node: CommitteeNode, computed: list[Contribution]
) -> None:
    assert node.release(TERMS, computed) is State.DONE
    assert node.store.entries(ID)[-1].facts == {"attempt": 1}
    assert node.release(TERMS, computed) is State.DONE
    assert logged(node.store, ID).count("released") == 1
    assert result(node, "agency-b", completions(TERMS, computed)) == b"part"


def test_a_member_that_shows_the_statements_releases_too(node: CommitteeNode, computed: list[Contribution]) -> None:
    """The coordinator may have gone."""
    assert result(node, "agency-b", completions(TERMS, computed)[::-1]) == b"part"
    assert node.state(TERMS) is State.DONE
    assert logged(node.store, ID)[-2:] == ["released", "fetched"]
    assert node.store.entries(ID)[-1].facts == {"member": "agency-b"}
    check_logs(node.store)


def forged(said: list[Completion], place: int, signer: str) -> list[Completion]:
    return [replace(c, signature=c.signed(KEYS[signer]).signature) if k == place else c for k, c in enumerate(said)]


@pytest.mark.parametrize("place", range(3))
def test_every_word_counts(node: CommitteeNode, computed: list[Contribution], place: int) -> None:
    said = completions(TERMS, computed)
    record, missing = node.store.get(ID), COMMITTEE[place]
    others = [c for c in said if c.name != missing]
    twice = [*others, others[0]]
    strange = [*others, replace(said[place], name="agency-c").signed(KEYS["agency-c"])]
    for lacking in (others, twice, strange):
        assert node.refusal(SessionRefused, partial(node.guard.release, record, lacking)) == NOT_YET.format(missing)
        assert node.refusal(SessionRefused, partial(result, node, "agency-a", lacking)) == NOT_YET.format(missing)
    for wrong in (forged(said, place, "hub"), forged(said, place, COMMITTEE[place - 1])):
        says = f"A completion in the name of {missing} is not signed by its pinned key."
        assert node.refusal(InputError, partial(result, node, "agency-a", wrong)) == says


def test_nobodys_word(node: CommitteeNode, computed: list[Contribution]) -> None:
    says = node.refusal(SessionRefused, lambda: result(node, "agency-a", []))
    assert says == NOT_YET.format("agency-a, agency-b, neutral")


def test_more_words_than_nodes(node: CommitteeNode, computed: list[Contribution]) -> None:
    said = completions(TERMS, computed)
    says = node.refusal(SessionRefused, lambda: result(node, "agency-a", [*said, said[0]]))
    assert says == "There are more statements than committee nodes."


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("change", [{"attempt": 2}, {"contributions": bytes(32)}, {"session_id": bytes(32)}])
def test_the_words_are_on_one_attempt(
    node: CommitteeNode, computed: list[Contribution], place: int, change: dict[str, Any]
) -> None:
    said = completions(TERMS, computed)
    said[place] = replace(said[place], **change).signed(KEYS[said[place].name])
    says = node.refusal(SessionRefused, lambda: result(node, "agency-a", said))
    another = "session_id" in change
    assert says == (
        "A committee node's statement is on another session."
        if another
        else "The committee nodes' statements are on different attempts."
    )


@pytest.mark.parametrize("change", [{"attempt": 2}, {"contributions": bytes(32)}])
def test_the_words_are_on_this_nodes_attempt(
    node: CommitteeNode, computed: list[Contribution], change: dict[str, Any]
) -> None:
    said = completions(TERMS, computed, **change)
    says = node.refusal(SessionRefused, lambda: result(node, "agency-a", said))
    assert says == "The committee nodes' statements are on another attempt than this node computed."


def test_a_stranger_who_asks_for_results_takes_no_turn_to_write(
    node: CommitteeNode, computed: list[Contribution]
) -> None:
    said = completions(TERMS, computed)
    with store_of(node.path).transaction():  # held by another process
        says = node.refusal(SessionRefused, lambda: result(node, "stranger", said))
    assert "is known here" in says


def test_a_result_is_its_members_own(node: CommitteeNode) -> None:
    made = everyones(TERMS)
    for c in made:
        node.take(c)
    node.begin(TERMS, made)
    node.compute(TERMS, {m: m.encode() for m in TERMS.members})
    said = completions(TERMS, made)
    for member in TERMS.members:
        assert result(node, member, said) == member.encode()
    for other in ("neutral", "hub"):
        says = node.refusal(SessionRefused, partial(result, node, other, said))
        assert says == "This node has no result of this session for the caller."


def test_a_member_that_fetches_again_is_logged_once(node: CommitteeNode, computed: list[Contribution]) -> None:
    said = completions(TERMS, computed)
    for member in ("agency-b", "agency-a", "agency-b", "agency-b"):
        assert result(node, member, said) == b"part"
    fetched = [e.facts["member"] for e in node.store.entries(ID) if e.event == "fetched"]
    assert fetched == ["agency-b", "agency-a"]


def test_a_member_that_repeats_its_keys_makes_no_longer_log_than_others(node: CommitteeNode) -> None:
    """A group has as many keys as members, unless one repeats a key; the size of that is the member's to choose."""
    made = everyones(TERMS)
    for c in made:
        node.take(c)
    node.begin(TERMS, made)
    node.guard.computed(node.store.get(ID), {}, [5, 2, 1, *[0] * 3000, 1, 7], {"tag": 1.4})
    assert node.store.entries(ID)[-1].facts["group_sizes"] == [5, 2, 1, 8]
    assert node.release(TERMS, made) is State.DONE


def test_sizes_of_blocking_groups_are_logged_as_far_as_they_are_not_too_many(node: CommitteeNode) -> None:
    made = everyones(TERMS)
    for c in made:
        node.take(c)
    node.begin(TERMS, made)
    node.guard.computed(node.store.get(ID), {}, [5], {"tag": 1.4}, [9, 4, *[0] * 300, 2, 1])
    keys, records = node.store.entries(ID)[-2:]
    assert (keys.event, keys.facts["group_sizes"]) == ("computed", [5])
    assert records.facts == {"attempt": 1, "block_sizes": [9, 4, *[0] * (MOST_BLOCK_SIZES - 2), 3]}
    assert records.sentence.startswith("In attempt 1, blocking keys were shared by 1, 2, 3 … records: 9, 4, 0")


def test_an_absent_member_has_no_result(node: CommitteeNode) -> None:
    few = node.agree(terms(min_members=2))
    made = everyones(few)[:2]
    for c in made:
        node.take(c)
    node.begin(few, made)
    node.compute(few, dict.fromkeys(("agency-a", "agency-b"), b"part"))
    with pytest.raises(SessionRefused, match="no result of this session for the caller"):
        node.guard.result("agency-c", few.session_id, completions(few, made))


@pytest.mark.parametrize(
    ("failed", "says"),
    [
        (False, "The session is being computed; there is nothing to release here."),
        (True, "The session was stopped by a failure and can be run again; there is nothing to release here."),
    ],
)
def test_there_is_nothing_to_release_of_what_is_not_computed(node: CommitteeNode, failed: bool, says: str) -> None:
    made = everyones(TERMS)
    for c in made:
        node.take(c)
    node.begin(TERMS, made)
    if failed:
        node.guard.failed(ID, 1, "neutral went away.")
    assert node.refusal(SessionRefused, lambda: node.release(TERMS, made)) == says


def test_completions_are_checked_by_members_too(computed: list[Contribution]) -> None:
    guard.check_completions(FEDERATION, TERMS, completions(TERMS, computed))
    with pytest.raises(SessionRefused, match="A committee node's statement is on another session"):
        guard.check_completions(FEDERATION, terms(title="Other"), completions(TERMS, computed))


def test_results_of_an_earlier_attempt_go_when_another_begins(
    node: CommitteeNode, computed: list[Contribution]
) -> None:
    said = completions(TERMS, computed)
    assert node.begin(TERMS, computed, 2)
    assert (len(chunk_owners(node.path)), node.store.completions(ID)) == (3, [])
    assert node.refusal(SessionRefused, lambda: result(node, "agency-a", said)).startswith("This node has no result")
    node.compute(TERMS)
    assert "on another attempt than this node computed" in node.refusal(
        SessionRefused, lambda: result(node, "agency-a", said)
    )


# The end

EXPIRES, RETAINED = timedelta(days=40, hours=12), timedelta(days=7)


def test_results_are_not_given_out_after_the_retention(node: CommitteeNode, computed: list[Contribution]) -> None:
    said = completions(TERMS, computed)
    node.clock.at = NOW + RETAINED - timedelta(seconds=1)
    assert result(node, "agency-a", said) == b"part"
    node.clock.at = NOW + RETAINED
    says = node.refusal(SessionRefused, lambda: result(node, "agency-a", said))
    assert says == "The agreed retention has ended; results are no longer given out."


def test_the_coordinator_has_everything_deleted(node: CommitteeNode, computed: list[Contribution]) -> None:
    node.release(TERMS, computed)
    node.guard.delete("hub", ID)
    assert (node.state(TERMS), chunk_owners(node.path)) == (State.CLOSED, set())
    assert node.store.entries(ID)[-1].facts == {"reason": "the coordinator closed the session"}
    before = node.kept()
    node.guard.delete("hub", ID)  # the answer may have been lost
    node.guard.delete("hub", bytes(32))
    assert node.kept() == before
    says = node.refusal(SessionRefused, lambda: result(node, "agency-a", completions(TERMS, computed)))
    assert says == "This node has no result of this session for the caller."
    node.refusal(SessionRefused, lambda: node.begin(TERMS, computed, 2))
    check_logs(node.store)


def test_what_is_being_computed_is_ended_and_deleted(node: CommitteeNode, computed: list[Contribution]) -> None:
    node.begin(TERMS, computed, 2)
    node.guard.delete("hub", ID)
    assert (node.state(TERMS), chunk_owners(node.path)) == (State.CLOSED, set())
    assert logged(node.store, ID)[-2:] == ["aborted", "deleted"]
    assert node.store.entries(ID)[-2].facts == {"reason": "the coordinator ended the session", "attempt": 2}
    node.refusal(SessionRefused, lambda: node.compute(TERMS))


def test_what_is_being_computed_is_not_overdue(node: CommitteeNode, computed: list[Contribution]) -> None:
    node.begin(TERMS, computed, 2)
    node.clock.move(days=400)
    before = node.kept()
    node.guard.delete_overdue()
    assert node.kept() == before
    node.guard.failed(ID, 2, "neutral went away.")
    node.guard.delete_overdue()
    assert chunk_owners(node.path) == set()


@pytest.mark.parametrize("ended", [None, Event.COMPUTE, Event.RELEASE, Event.ABORT])
def test_everything_is_deleted_when_the_agreed_retention_ends(node: CommitteeNode, ended: Event | None) -> None:
    if ended is None:
        node.take(Contribution(TERMS, "agency-a"))
    else:
        made = node.computed(TERMS)
        if ended is Event.RELEASE:
            node.release(TERMS, made)
        elif ended is Event.ABORT:
            node.guard.abort("hub", ID, 1, "neutral went away.")
    node.clock.at = NOW + RETAINED - timedelta(seconds=1)
    before = node.kept()
    node.guard.delete_overdue()
    assert node.kept() == before
    node.clock.at = NOW + RETAINED
    node.restart()  # also after it was away
    node.guard.delete_overdue()
    assert (node.state(TERMS), chunk_owners(node.path)) == (State.CLOSED, set())
    assert node.store.entries(ID)[-1].facts == {"reason": "the agreed retention ended"}
    before = node.kept()
    node.guard.delete_overdue()
    assert node.kept() == before


@pytest.mark.parametrize("begun", [False, True])
def test_a_session_that_expires_without_results_is_deleted(node: CommitteeNode, begun: bool) -> None:
    long = node.agree(terms(title="Long", retention_days=90))
    if begun:
        node.computed(long)
        node.guard.abort("hub", long.session_id, 1, "neutral went away.")
    else:
        node.take(Contribution(long, "agency-a"))
    node.clock.at = NOW + EXPIRES - timedelta(hours=1)
    node.guard.delete_overdue()
    assert len(chunk_owners(node.path)) == (3 if begun else 1)
    node.clock.at = NOW + EXPIRES
    node.guard.delete_overdue()
    assert (node.state(long), chunk_owners(node.path)) == (State.EXPIRED, set())
    assert node.store.entries(long.session_id)[-1].facts == {"reason": "the session expired"}


def test_a_proposal_that_expires_is_over(node: CommitteeNode) -> None:
    node.store.add_session(TERMS, State.PROPOSED)
    node.clock.at = NOW + EXPIRES
    node.guard.delete_overdue()
    assert node.state(TERMS) is State.EXPIRED


def test_results_outlast_the_expiry_until_the_retention_ends(node: CommitteeNode) -> None:
    long = node.agree(terms(title="Long", retention_days=90))
    made = node.computed(long)
    node.clock.at = NOW + EXPIRES + timedelta(days=1)
    node.guard.delete_overdue()
    assert b"".join(node.guard.result("agency-a", long.session_id, completions(long, made))) == b"part"
    with pytest.raises(SessionRefused, match="expired on"):
        node.begin(long, made, 2)


def test_a_session_that_cannot_be_deleted_does_not_keep_the_others(
    node: CommitteeNode, computed: list[Contribution], caplog: pytest.LogCaptureFixture
) -> None:
    others = [node.agree(terms(title=f"Session {k}")) for k in range(4)]
    for other in others:
        node.take(Contribution(other, "agency-a"))
    with node.store.transaction() as db:
        damage = "UPDATE entries SET facts = '[' WHERE session = ?"
        assert db.execute(damage, (others[2].session_id,)).rowcount > 0
    node.clock.at = NOW + RETAINED
    node.guard.delete_overdue()
    assert [node.state(t) for t in others] == [State.CLOSED, State.CLOSED, State.APPROVED, State.CLOSED]
    assert node.state(TERMS) is State.CLOSED
    assert len(chunk_owners(node.path)) == 1
    assert f"session {others[2].session_id[:8].hex()}: cannot be deleted just now" in caplog.text


def test_sessions_of_another_standard_are_deleted_too(
    node: CommitteeNode, computed: list[Contribution], monkeypatch: pytest.MonkeyPatch
) -> None:
    """This node has been updated since; what it has of the session goes as agreed."""
    monkeypatch.setattr(normalise, "VERSION", "matchbit-999")
    says = node.refusal(ConfigError, lambda: node.begin(TERMS, computed, 2))
    assert "update the older" in says
    node.clock.at = NOW + RETAINED
    node.restart()
    node.guard.delete_overdue()
    assert (node.state(TERMS), chunk_owners(node.path)) == (State.CLOSED, set())


def test_overdue_sessions_do_not_keep_each_other(node: CommitteeNode, computed: list[Contribution]) -> None:
    others = [node.agree(terms(title=f"Session {k}")) for k in range(3)]
    for other in others:
        node.take(Contribution(other, "agency-a"))
    running = node.agree(terms(title="Running"))
    made = everyones(running)
    for c in made:
        node.take(c)
    node.begin(running, made)
    node.clock.at = NOW + RETAINED
    node.guard.delete_overdue()
    assert {node.state(t) for t in (TERMS, *others)} == {State.CLOSED}
    assert node.state(running) is State.RUNNING
    assert len(chunk_owners(node.path)) == 3
