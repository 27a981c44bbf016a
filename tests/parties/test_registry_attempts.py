"""How attempts begin and end at the coordinator: each above the last, and released on the words of all three nodes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from parties import normalise
from parties.errors import InputError, PeerUnavailable, SessionRefused
from parties.lifecycle import Event, State
from parties.statements import contributions
from tests.parties.deciding import (
    COMMITTEE,
    KEYS,
    Contribution,
    Hub,
    check_logs,
    commitments,
    completions,
    everyones,
    logged,
    terms,
)

TERMS = terms()
ID = TERMS.session_id
FAILED = "neutral went away."


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    return Hub(tmp_path)


@pytest.fixture
def made(hub: Hub) -> list[Contribution]:
    """Everyone's contribution to a session that can be run."""
    return hub.ready(TERMS)


@pytest.fixture
def running(hub: Hub, made: list[Contribution]) -> list[Contribution]:
    """Everyone's contribution to a session that runs."""
    hub.registry.run("hub", ID)
    return made


def collect(hub: Hub, made: list[Contribution], names: tuple[str, ...] = COMMITTEE, **changes: Any) -> list[bool]:
    """What becomes of these nodes' words."""
    record = hub.store.get(ID)
    changes = {"attempt": record.attempt} | changes
    return [hub.registry.collect(record, c) for c in completions(TERMS, made, names=names, **changes)]


# Beginning


def test_a_run_begins_the_first_attempt(hub: Hub, running: list[Contribution]) -> None:
    record = hub.store.get(ID)
    assert (record.state, record.attempt) == (State.RUNNING, 1)
    assert hub.store.entries(ID)[-1].facts["members"] == sorted(TERMS.members)
    assert record.contributions is None
    hub.registry.fix(ID)
    assert hub.store.get(ID).contributions == contributions(commitments(running))


def test_a_session_runs_once_at_a_time(hub: Hub, running: list[Contribution]) -> None:
    says = hub.refusal(SessionRefused, lambda: hub.registry.run("hub", ID))
    assert says == "The session is being computed."


def test_nothing_is_run_before_all_have_approved_and_contributed(hub: Hub) -> None:
    hub.proposed(TERMS)
    says = hub.refusal(SessionRefused, lambda: hub.registry.run("hub", ID))
    assert says.startswith("Not yet approved by agency-a, agency-b, agency-c, neutral;")
    other = hub.approved(terms(title="Other"))
    hub.report(Contribution(other, "agency-b"))
    says = hub.refusal(SessionRefused, lambda: hub.registry.run("hub", other.session_id))
    assert says == "Not yet contributed by agency-a, agency-c; each runs `matchbit contribute`."


def test_as_many_members_as_agreed_are_enough(hub: Hub) -> None:
    few = hub.approved(terms(min_members=2))
    made = everyones(few)[1:]
    for c in made:
        hub.report(c)
    hub.registry.run("hub", few.session_id)
    hub.registry.fix(few.session_id)
    assert hub.store.get(few.session_id).contributions == contributions(commitments(made))
    says = hub.refusal(SessionRefused, lambda: hub.report(Contribution(few, "agency-a")))
    assert says == "The session is running; contributions are closed."


@pytest.mark.parametrize(
    ("events", "says"),
    [
        ([Event.BEGIN, Event.RELEASE], "The session has results to fetch"),
        ([Event.CLOSE], "The session is closed"),
        ([Event.REFUSE], "The session was refused"),
        ([Event.EXPIRE], "The session has expired"),
    ],
)
def test_a_session_that_is_over_is_not_run(hub: Hub, made: list[Contribution], events: list[Event], says: str) -> None:
    for event in events:
        hub.store.change(ID, event)
    assert hub.refusal(SessionRefused, lambda: hub.registry.run("hub", ID)).startswith(says)


def test_an_expired_session_is_not_run(hub: Hub, made: list[Contribution]) -> None:
    hub.clock.move(days=41)
    with pytest.raises(SessionRefused, match="has expired"):
        hub.registry.run("hub", ID)
    assert hub.state(TERMS) is State.EXPIRED


def test_another_run_after_a_failure_is_on_the_same_contributions(hub: Hub, running: list[Contribution]) -> None:
    hub.registry.fix(ID)
    before = hub.store.get(ID).contributions
    hub.registry.abort(ID, FAILED)
    hub.restart()
    hub.registry.run("hub", ID)
    record = hub.store.get(ID)
    assert (record.state, record.attempt, record.reason, record.contributions) == (State.RUNNING, 2, "", before)


@pytest.mark.parametrize(("last", "attempt"), [(0, 2), (1, 2), (2, 3), (7, 8)])
def test_another_attempt_is_above_all_that_any_node_knows(
    hub: Hub, running: list[Contribution], last: int, attempt: int
) -> None:
    hub.registry.again(ID, last)
    assert (hub.state(TERMS), hub.store.get(ID).attempt) == (State.RUNNING, attempt)


@pytest.mark.parametrize("end", [Event.RELEASE, Event.ABORT])
def test_there_is_no_other_attempt_when_it_has_ended(hub: Hub, running: list[Contribution], end: Event) -> None:
    """What a runner decides on may be older than what the database says."""
    hub.store.change(ID, end)
    before = hub.kept()
    hub.registry.again(ID, 1)
    hub.registry.abort(ID, FAILED)
    assert hub.kept() == before


# Completions


def test_results_are_released_on_the_third_word(hub: Hub, running: list[Contribution]) -> None:
    assert collect(hub, running, COMMITTEE[:2]) == [False, False]
    assert hub.state(TERMS) is State.RUNNING
    hub.restart()
    assert collect(hub, running, COMMITTEE[2:]) == [True]
    assert hub.state(TERMS) is State.DONE
    assert hub.store.completions(ID) == completions(TERMS, running)
    assert hub.store.entries(ID)[-1].facts == {"attempt": 1}
    assert collect(hub, running) == [True] * 3
    assert logged(hub.store, ID).count("released") == 1
    check_logs(hub.store)


def test_a_nodes_word_counts_once(hub: Hub, running: list[Contribution]) -> None:
    assert collect(hub, running, ("neutral",) * 5) == [False] * 5
    assert hub.state(TERMS) is State.RUNNING


def test_words_on_an_earlier_attempt_do_not_count(hub: Hub, running: list[Contribution]) -> None:
    collect(hub, running, COMMITTEE[:2])
    hub.registry.again(ID, 1)
    assert hub.store.completions(ID) == []
    assert collect(hub, running, attempt=1) == [False] * 3
    assert hub.store.completions(ID) == []
    assert collect(hub, running) == [False, False, True]


def test_words_after_the_end_do_not_count(hub: Hub, running: list[Contribution]) -> None:
    hub.registry.abort(ID, FAILED)
    assert collect(hub, running) == [False] * 3
    assert (hub.state(TERMS), hub.store.completions(ID)) == (State.ABORTED, [])


@pytest.mark.parametrize("name", ["agency-c", "hub", "stranger"])
def test_a_word_of_no_committee_node(hub: Hub, running: list[Contribution], name: str) -> None:
    says = hub.refusal(InputError, lambda: collect(hub, running, (name,)))
    assert says == "A completion is of another node or session."


def test_a_word_on_another_session(hub: Hub, running: list[Contribution]) -> None:
    says = hub.refusal(InputError, lambda: collect(hub, running, session_id=bytes(32)))
    assert says == "A completion is of another node or session."


def test_a_word_that_its_node_did_not_sign(hub: Hub, running: list[Contribution]) -> None:
    false = replace(completions(TERMS, running)[0], signature=b"").signed(KEYS["hub"])
    says = hub.refusal(InputError, lambda: hub.registry.collect(hub.store.get(ID), false))
    assert says == "A completion in the name of agency-a is not signed by its pinned key."
    assert hub.store.completions(ID) == []


def test_nodes_that_computed_on_different_contributions_release_nothing(hub: Hub, running: list[Contribution]) -> None:
    collect(hub, running, COMMITTEE[:2])
    says = hub.refusal(SessionRefused, lambda: collect(hub, running, COMMITTEE[2:], contributions=bytes(32)))
    assert says == "neutral computed on other contributions than members have shown here."
    assert hub.state(TERMS) is State.RUNNING


def test_an_attempt_is_given_up_with_its_reason(hub: Hub, running: list[Contribution]) -> None:
    collect(hub, running, COMMITTEE[:2])
    hub.registry.abort(ID, FAILED)
    assert (hub.state(TERMS), hub.store.get(ID).reason) == (State.ABORTED, FAILED)
    assert hub.store.entries(ID)[-1].facts == {"reason": FAILED, "attempt": 1}


# The end


def test_a_session_closes_when_all_nodes_have_deleted(hub: Hub, running: list[Contribution]) -> None:
    hub.registry.abort(ID, FAILED)
    asked: list[str] = []
    hub.registry.close("hub", ID, asked.append)
    assert asked == list(COMMITTEE)
    assert hub.state(TERMS) is State.CLOSED
    assert logged(hub.store, ID)[-4:] == [*["deletion_told"] * 3, "closed"]
    hub.registry.close("hub", ID, asked.append)
    assert logged(hub.store, ID).count("closed") == 1


def test_a_session_stays_open_when_a_node_cannot_delete(hub: Hub, made: list[Contribution]) -> None:
    def delete(name: str) -> None:
        if name == "agency-b":
            raise PeerUnavailable("agency-b cannot be reached.")

    with pytest.raises(PeerUnavailable):
        hub.registry.close("hub", ID, delete)
    assert hub.state(TERMS) is State.READY
    assert [e.facts for e in hub.store.entries(ID)][-1] == {"name": "agency-a"}


def test_a_session_that_runs_is_aborted_before_nodes_delete(hub: Hub, running: list[Contribution]) -> None:
    """So that an operator has a way out, whatever the committee says."""
    seen: list[State] = []
    hub.registry.close("hub", ID, lambda _: seen.append(hub.state(TERMS)))
    assert seen == [State.ABORTED] * 3
    assert hub.state(TERMS) is State.CLOSED
    aborted = next(e for e in hub.store.entries(ID) if e.event == "aborted")
    assert aborted.facts == {"reason": "its operator closed it while it was computed", "attempt": 1}


def test_only_its_operator_closes_a_session(hub: Hub, running: list[Contribution]) -> None:
    says = hub.refusal(SessionRefused, lambda: hub.registry.close("agency-a", ID, pytest.fail))
    assert says == "Only the coordinator's own operator may do this."


@pytest.mark.parametrize("released", [False, True])
def test_a_session_is_closed_when_the_agreed_retention_ends(
    hub: Hub, running: list[Contribution], released: bool
) -> None:
    if released:
        collect(hub, running)
    hub.clock.move(days=7, seconds=-1)
    before = hub.kept()
    hub.registry.end_overdue()
    assert hub.kept() == before
    hub.clock.move(seconds=1)
    hub.restart()
    hub.registry.end_overdue()
    assert hub.state(TERMS) is (State.CLOSED if released else State.RUNNING)
    assert (logged(hub.store, ID)[-1] == "closed") == released
    before = hub.kept()
    hub.registry.end_overdue()
    assert hub.kept() == before


def test_a_session_that_cannot_be_ended_does_not_keep_the_others(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    several = [hub.approved(terms(title=f"Session {k}")) for k in range(3)]
    with hub.store.transaction() as db:
        db.execute("UPDATE entries SET facts = '[' WHERE session = ?", (several[1].session_id,))
    hub.clock.move(days=41)
    hub.registry.end_overdue()
    assert [hub.state(t) for t in several] == [State.EXPIRED, State.APPROVED, State.EXPIRED]
    assert f"session {several[1].session_id[:8].hex()}: cannot be ended just now" in caplog.text


def test_sessions_of_another_standard_are_listed_and_ended(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    agreed = hub.approved(TERMS)
    monkeypatch.setattr(normalise, "VERSION", "matchbit-999")
    assert [record.id for record in hub.registry.sessions("agency-a")] == [ID]
    hub.clock.move(days=41)
    hub.registry.end_overdue()
    assert hub.state(agreed) is State.EXPIRED


def test_what_waits_expires_although_nobody_asks(hub: Hub) -> None:
    agreed = hub.approved(terms(retention_days=90))
    hub.clock.move(days=41)
    hub.registry.end_overdue()
    assert hub.state(agreed) is State.EXPIRED
    assert logged(hub.store, agreed.session_id)[-1] == "expired"
