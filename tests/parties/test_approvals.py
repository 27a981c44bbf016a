"""A node's answers to proposals, with a real coordinator, by real connections."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from parties.approvals import Proposal
from parties.audit import NODE, Event
from parties.errors import ConfigError, InputError, PeerIdentityError, PeerUnavailable, SessionRefused
from parties.identity import utc_now
from parties.lifecycle import State
from parties.policy import Decision
from parties.store import Store
from tests.parties.proposing import NAMES, STANDING, TWO, Hub, listening, node

Clock = Callable[[], datetime]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with listening(tmp_path) as made:
        yield made


def told(store: Store, session_id: bytes) -> list[str]:
    """What a node logged of its own decisions."""
    return [entry.event for entry in store.entries(session_id) if entry.event not in ("proposed", "head")]


def answers(proposals: list[Proposal]) -> list[tuple[str, str]]:
    return [(p.record.manifest.title, p.done) for p in proposals]


# One proposal


def test_without_a_policy_it_waits_for_a_person(hub: Hub) -> None:
    session_id = hub.propose()
    approvals, store = node(hub)
    (pending,) = approvals.pending()
    assert (pending.record.id, pending.ruling.decision, pending.waits_for) == (session_id, Decision.PERSON, ())
    assert told(store, session_id) == []  # looking is no decision
    for _ in range(2):
        assert answers(approvals.act()) == [("Session 1", "")]
    assert told(store, session_id) == ["policy"]
    record, waits_for = approvals.consent(session_id[:4])
    assert (record.id, waits_for) == (session_id, ())
    assert set(hub.store.get(session_id).signatures) == {"agency-a"}
    assert told(store, session_id) == ["policy", "approved"]
    assert approvals.pending() == approvals.act() == []


def test_who_consents_is_kept_where_it_is_said(hub: Hub) -> None:
    session_id = hub.propose()
    approvals, store = node(hub)
    approvals.consent(session_id, "Olena K.")
    assert set(store.consents(session_id)) == {"Olena K."}
    assert told(store, session_id) == ["policy", "consented", "approved"]


def test_to_approve_once_more_changes_nothing(hub: Hub) -> None:
    session_id = hub.propose()
    approvals, store = node(hub)
    approvals.consent(session_id)
    before = told(store, session_id)
    assert approvals.consent(session_id, "somebody else")[1] == ()
    assert told(store, session_id) == before


def test_what_the_policy_refuses_is_refused_with_its_reasons(hub: Hub) -> None:
    session_id = hub.propose()
    approvals, store = node(hub, policy="max_records = 999\nmin_members = 4\n")
    assert answers(approvals.act()) == [("Session 1", "refused")]
    reasons = [
        "`max_records` is 1,000; this node allows 999 at most.",
        "`min_members` is 3; this node allows 4 at least.",
    ]
    record = hub.store.get(session_id)
    assert (record.state, record.reason) == (State.REFUSED, f"agency-a: {' '.join(reasons)}")
    decided, refused = store.entries(session_id)
    assert (decided.event, dict(decided.facts)) == ("policy", {"decision": "refused", "reasons": reasons})
    assert (refused.event, dict(refused.facts)) == ("refused", {"name": "agency-a", "reason": " ".join(reasons)})
    assert approvals.act() == []


def test_nobody_can_approve_what_the_policy_refuses(hub: Hub) -> None:
    session_id = hub.propose()
    approvals, store = node(hub, policy="max_records = 999\n")
    with pytest.raises(SessionRefused, match=r"^The policy of agency-a refuses the terms. `max_records` is 1,000"):
        approvals.consent(session_id, "Olena K.")
    assert store.consents(session_id) == hub.store.get(session_id).signatures == {}
    assert told(store, session_id) == ["policy"]


def test_standing_consent(hub: Hub) -> None:
    first, second = hub.propose(), hub.propose(reveal="count")
    approvals, store = node(hub, policy=STANDING)
    assert answers(approvals.act()) == [("Session 1", "approved"), ("Session 2", "refused")]
    assert set(hub.store.get(first).signatures) == {"agency-a"}
    assert hub.store.get(second).state is State.REFUSED
    assert told(store, first) == ["policy", "approved"]
    assert approvals.act() == []


def test_a_change_of_the_policy_counts_at_once(hub: Hub) -> None:
    session_id = hub.propose()
    approvals, store = node(hub)
    approvals.act()
    hub.nodes["agency-a"].policy_path.write_text(STANDING, "utf-8")
    assert answers(approvals.act()) == [("Session 1", "approved")]
    decisions = [e.facts["decision"] for e in store.entries(session_id) if e.event == Event.POLICY.code]
    assert decisions == ["person", "standing"]


def test_changes_of_the_policy_are_logged_once(hub: Hub) -> None:
    approvals, store = node(hub)
    path = hub.nodes["agency-a"].policy_path
    approvals.act()
    assert store.entries(NODE) == []  # there is no policy, as there was none
    contents = ["", "min_members = 2\n", "min_members = 3\n"]
    for content in contents[:2]:
        path.write_text(content, "utf-8")
        for again in (approvals, node(hub)[0]):
            again.act()
    path.write_text(contents[2], "utf-8")
    approvals.consent(hub.propose())
    path.unlink()
    approvals.pending()
    approvals.act()
    changed = [contents[1], contents[2], ""]
    assert [e.event for e in store.entries(NODE)] == ["policy_changed"] * 3
    assert [e.facts["policy"] for e in store.entries(NODE)] == [sha256(c.encode()).hexdigest() for c in changed]


# Approvers


def test_all_approvers_must_consent(hub: Hub) -> None:
    session_id = hub.propose()
    approvals, store = node(hub, policy=TWO)
    assert approvals.pending()[0].waits_for == ("Data protection", "Programme")
    for _ in range(2):
        assert approvals.consent(session_id, "Programme")[1] == ("Data protection",)
    assert answers(approvals.act()) == [("Session 1", "")]
    assert hub.store.get(session_id).signatures == {}
    assert approvals.consent(session_id, "Data protection")[1] == ()
    assert set(hub.store.get(session_id).signatures) == {"agency-a"}
    assert told(store, session_id) == ["policy", "consented", "consented", "approved"]


def test_who_is_no_approver(hub: Hub) -> None:
    session_id = hub.propose()
    approvals, store = node(hub, policy=TWO)
    with pytest.raises(InputError, match=r"Say with --by who consents: Data protection or Programme\."):
        approvals.consent(session_id)
    says = "`programme` is not among the `approvers` of this node's policy: Data protection, Programme."
    with pytest.raises(SessionRefused) as refused:
        approvals.consent(session_id, "programme")
    assert str(refused.value) == says
    for name in ("x" * 101, "a\nb"):
        with pytest.raises(InputError, match="must be one line of at most 100 characters"):
            approvals.consent(session_id, name)
    assert store.consents(session_id) == {}


def test_consent_that_was_complete_when_the_coordinator_was_away(hub: Hub) -> None:
    session_id = hub.propose()
    approvals, store = node(hub, policy=TWO)
    for person in ("Programme", "Data protection"):
        store.add_consent(session_id, person)
    assert answers(approvals.act()) == [("Session 1", "approved")]
    assert set(hub.store.get(session_id).signatures) == {"agency-a"}


def test_consent_to_other_terms_does_not_count(hub: Hub) -> None:
    first = hub.propose()
    approvals, _ = node(hub, policy='approvers = ["Programme"]\n')
    approvals.consent(first, "Programme")
    hub.propose()
    assert approvals.pending()[0].waits_for == ("Programme",)


@pytest.mark.parametrize("state", [State.READY, State.REFUSED, State.EXPIRED])
def test_too_late(hub: Hub, state: State) -> None:
    session_id = hub.propose()
    hub.put(session_id, state)
    approvals, store = node(hub)
    assert approvals.pending() == []
    with pytest.raises(SessionRefused, match="; approvals are closed"):
        approvals.consent(session_id, "Programme")
    assert store.consents(session_id) == {}


def test_a_coordinator_has_nothing_to_approve(hub: Hub) -> None:
    session_id = hub.propose()
    approvals, _ = node(hub, "hub")
    assert approvals.pending() == []
    with pytest.raises(SessionRefused, match="hub takes no part in this session"):
        approvals.consent(session_id)


def test_expired_proposals_do_not_wait(hub: Hub) -> None:
    hub.propose()
    assert node(hub, clock=lambda: datetime.fromisoformat("2999-12-31T00:00:00+00:00"))[0].pending() == []


# Several proposals


def test_one_that_cannot_be_answered_does_not_stand_in_the_way(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    terms = hub.terms()
    other = replace(terms, nodes={**terms.nodes, "agency-b": "00" * 32})
    hub.store.add_session(other, State.PROPOSED)
    second = hub.propose()
    approvals, _ = node(hub, policy=STANDING)
    with caplog.at_level(logging.WARNING, "matchbit"):
        for _ in range(2):
            proposals = approvals.act()
            assert proposals[0].failure.startswith("The session pins other keys for agency-b than")
            assert proposals[0].done == ""
    assert set(hub.store.get(second).signatures) == {"agency-a"}
    assert [r.levelname for r in caplog.records if "cannot be answered" in r.message] == ["WARNING"]
    with pytest.raises(PeerIdentityError):
        approvals.consent(other.session_id)


def test_when_the_coordinator_goes_away_the_rest_waits(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have our signature: what it does not have yet is judged when that is known."""
    sessions = hub.propose(), hub.propose()
    approvals, store = node(hub, policy=STANDING + "cooldown_days = 7\n")

    def go_away(*_: object) -> State:
        raise PeerUnavailable("hub is being stopped; try again when it is back.")

    with monkeypatch.context() as going:
        going.setattr(hub.registry, "approve", go_away)
        with pytest.raises(PeerUnavailable):
            approvals.act()
    assert told(store, sessions[1]) == []
    assert answers(approvals.act()) == [("Session 1", "approved"), ("Session 2", "refused")]


def test_without_a_coordinator(tmp_path: Path) -> None:
    approvals, _ = node(Hub(tmp_path))
    for ask in (approvals.pending, approvals.act):
        with pytest.raises(PeerUnavailable):
            ask()


def test_a_policy_that_cannot_be_read_decides_nothing(hub: Hub) -> None:
    session_id = hub.propose()
    approvals, store = node(hub, policy="max_records = 0\n")
    for ask in (approvals.pending, approvals.act, lambda: approvals.consent(session_id)):
        with pytest.raises(ConfigError, match="`max_records` must be a whole number"):
            ask()
    assert told(store, session_id) == []


# Cooldown

COOL = STANDING + "cooldown_days = 7\n"


def later(days: int) -> Clock:
    return lambda: utc_now() + timedelta(days=days)


def cooled(hub: Hub, name: str = "agency-a", clock: Clock = utc_now) -> bool:
    """Whether a proposal of the same members would be refused now."""
    hub.propose()
    *_, proposal = node(hub, name, COOL, clock)[0].pending()
    return proposal.ruling.decision is Decision.REFUSED


def test_of_two_proposals_at_once_one_is_too_many(hub: Hub) -> None:
    hub.propose()
    hub.propose()
    hub.propose(members=("agency-a", "neutral"))
    approvals, _ = node(hub, policy=COOL)
    assert answers(approvals.act()) == [("Session 1", "approved"), ("Session 2", "refused"), ("Session 3", "approved")]
    assert cooled(hub)


def test_a_session_that_waits_for_others_counts(hub: Hub) -> None:
    session_id = hub.propose()
    assert not cooled(hub)
    hub.approve(session_id, "agency-b")
    assert not cooled(hub)
    hub.approve(session_id, "agency-a")
    assert cooled(hub)


@pytest.mark.parametrize("state", State)
def test_what_the_coordinator_says_of_other_sessions(hub: Hub, state: State) -> None:
    """agency-c is on no committee: how sessions stand it knows by the coordinator alone."""
    session_id = hub.propose()
    hub.approve(session_id, *NAMES)
    hub.put(session_id, state)
    over = state in (State.REFUSED, State.EXPIRED, State.CLOSED)
    assert cooled(hub, "agency-c") is not over


@pytest.mark.parametrize("state", [State.PROPOSED, State.APPROVED, State.READY, State.ABORTED, State.RUNNING])
def test_what_has_expired_without_being_computed_is_over(hub: Hub, state: State) -> None:
    session_id = hub.propose(expires=(utc_now() + timedelta(days=1)).isoformat(), retention_days=90)
    hub.approve(session_id, *NAMES)
    hub.put(session_id, state)
    assert cooled(hub, "agency-c")
    assert cooled(hub, "agency-c", later(2)) is (state is State.RUNNING)


def test_results_whose_end_is_not_known_here(hub: Hub) -> None:
    """They were given out for as long as the agreed retention, and the cooldown begins then."""
    session_id = hub.propose(retention_days=10)
    hub.approve(session_id, *NAMES)
    hub.put(session_id, State.DONE)
    for days, too_soon in ((9, True), (11, True), (16, True), (17, False)):
        assert cooled(hub, "agency-c", later(days)) is too_soon


@pytest.mark.parametrize("event", [Event.RELEASED, Event.GOT_RESULT])
def test_results_that_were_had(hub: Hub, event: Event) -> None:
    """From the first time on: to fetch them again begins nothing anew."""
    terms = hub.terms(retention_days=90)
    for days in (0, 3):
        store = node(hub, "agency-c", clock=later(days))[1]
        store.add_session(terms, State.APPROVED, {})
        store.log(terms.session_id, event, **({"attempt": 1} if event is Event.RELEASED else {"rows": 7}))
    hub.store.add_session(terms, State.DONE)
    for days, too_soon in ((0, True), (6, True), (7, False)):
        assert cooled(hub, "agency-c", later(days)) is too_soon


def test_a_member_learns_from_the_coordinator_that_a_session_is_over(hub: Hub) -> None:
    terms = hub.terms()
    node(hub, "agency-c")[1].add_session(terms, State.APPROVED, {"agency-c": b"s" * 64})
    hub.store.add_session(terms, State.CLOSED)
    assert not cooled(hub, "agency-c")


def test_a_committee_node_knows_its_sessions_best(hub: Hub) -> None:
    session_id = hub.propose()
    hub.approve(session_id, *NAMES)
    record = hub.store.get(session_id)
    _, store = node(hub)
    store.add_session(record.manifest, State.APPROVED, record.signatures)
    hub.put(session_id, State.CLOSED)  # says the coordinator
    assert cooled(hub)
    with store.transaction() as db:
        db.execute("UPDATE sessions SET state = 'closed'")
    hub.put(session_id, State.RUNNING)
    assert not cooled(hub)


def test_a_committee_node_learns_that_others_refused(hub: Hub) -> None:
    session_id = hub.propose()
    approvals, _ = node(hub)
    approvals.consent(session_id)
    assert cooled(hub)
    hub.registry.refuse("agency-b", session_id, "not agreed")
    assert not cooled(hub)


def test_a_session_that_the_coordinator_leaves_out_counts(hub: Hub) -> None:
    terms = hub.terms()
    _, store = node(hub, "agency-c")
    store.add_session(terms, State.APPROVED, {"agency-c": b"s" * 64})
    assert cooled(hub, "agency-c")
