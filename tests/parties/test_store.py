"""A node's state: what is remembered, in which order things can happen, and that the log tells all of it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from parties import audit
from parties.errors import SessionRefused
from parties.lifecycle import Event, State
from parties.statements import Commitment, Completion, Receipt
from parties.store import Store
from tests.parties.deciding import (
    COMMITTEE,
    KEYS,
    Clock,
    Contribution,
    check_logs,
    completions,
    everyones,
    logged,
    signatures,
    store_of,
    terms,
)
from tests.parties.samples import NOW
from tests.parties.test_database import in_threads

TERMS = terms()
ID = TERMS.session_id
OTHER = terms(title="Other")
DIGEST, OTHER_DIGEST = b"\x01" * 32, b"\x02" * 32
MEMBERS = list(TERMS.members)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "matchbit.db"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(path: Path, clock: Clock) -> Store:
    opened = store_of(path, "neutral", clock)
    opened.add_session(TERMS, State.APPROVED)
    return opened


def begin(store: Store, attempt: int = 1, digest: bytes = DIGEST) -> None:
    store.begin(ID, attempt, digest, MEMBERS)


def abort(store: Store, why: str) -> State:
    return store.change(ID, Event.ABORT, audit.Event.ABORTED, why, reason=why, attempt=1)


def last(store: Store, session_id: bytes = ID) -> audit.Entry:
    return store.entries(session_id)[-1]


# Sessions; everything is there again after reopening the file


def test_a_session(store: Store, path: Path) -> None:
    for opened in (store, store_of(path)):
        record = opened.get(ID)
        assert (record.manifest, record.id, record.state) == (TERMS, ID, State.APPROVED)
        assert (record.reason, record.attempt, record.signatures, record.contributions) == ("", 0, {}, None)
        assert opened.session_ids() == [ID]


def test_a_session_with_its_signatures_in_one_step(path: Path) -> None:
    given = signatures(TERMS)
    store_of(path).add_session(TERMS, State.APPROVED, given)
    again = store_of(path)
    assert again.get(ID).signatures == given
    assert logged(again, ID) == ["proposed", "approvals"]
    told = again.entries(ID)[1]
    assert told.facts == {"names": list(given)}
    assert told.sentence == f"{', '.join(given)} approved the terms."
    assert again.entries(ID)[0].facts == {"coordinator": "hub", "title": TERMS.title}


def test_a_known_session_stays_as_it_is(store: Store) -> None:
    store.add_signature(ID, "agency-b", b"b" * 64)
    store.add_session(TERMS, State.PROPOSED, signatures(TERMS))
    assert store.get(ID).state is State.APPROVED
    assert store.get(ID).signatures == signatures(TERMS) | {"agency-b": b"b" * 64}
    assert logged(store, ID) == ["proposed", "approved", "approvals"]
    assert store.entries(ID)[-1].facts == {"names": [name for name in signatures(TERMS) if name != "agency-b"]}


def test_a_session_that_was_proposed_can_be_approved(store: Store) -> None:
    """A participant keeps what it signs; all signatures come later."""
    own = {"agency-a": signatures(OTHER)["agency-a"]}
    store.add_session(OTHER, State.PROPOSED, own)
    assert (store.get(OTHER.session_id).state, store.get(OTHER.session_id).signatures) == (State.PROPOSED, own)
    store.add_session(OTHER, State.APPROVED, signatures(OTHER))
    assert store.get(OTHER.session_id).state is State.APPROVED
    assert store.get(OTHER.session_id).signatures == signatures(OTHER)
    assert logged(store, OTHER.session_id) == ["proposed", "approved", "approvals"]


def test_an_unknown_session(store: Store) -> None:
    assert store.session(bytes(32)) is None
    with pytest.raises(SessionRefused, match="No session 0000000000000000 is known here; see `matchbit session list`"):
        store.get(bytes(32))


def test_sessions_newest_first_by_prefix_and_by_state(store: Store) -> None:
    others = [terms(title=f"Session {k}") for k in range(20)]
    for one in others:
        store.add_session(one, State.PROPOSED)
    newest_first = [one.session_id for one in reversed(others)]
    assert store.session_ids() == [*newest_first, ID]
    assert store.session_ids(state=State.PROPOSED) == newest_first
    assert store.session_ids(state=State.APPROVED) == [ID]
    assert store.session_ids(state=State.DONE) == []
    assert store.session_ids(ID[:4]) == store.session_ids(ID) == [ID]
    assert store.session_ids(ID[:4], State.PROPOSED) == []
    assert store.session_ids(ID + b"\0") == []
    assert store.session_ids(b"%") == [s for s in newest_first if s.startswith(b"%")]


def test_how_many_sessions_are_in_which_state(store: Store) -> None:
    for k in range(2):
        store.add_session(terms(title=f"Session {k}"), State.PROPOSED)
    assert store.count_states() == {State.APPROVED: 1, State.PROPOSED: 2}


def test_the_first_signature_of_a_name_stays_and_is_logged_once(store: Store, path: Path) -> None:
    for name, signature in (("agency-a", b"a" * 64), ("neutral", b"n" * 64), ("neutral", b"x" * 64)):
        store.add_signature(ID, name, signature)
    assert store_of(path).get(ID).signatures == {"agency-a": b"a" * 64, "neutral": b"n" * 64}
    assert logged(store, ID) == ["proposed", "approved", "approved"]


# States


def test_change_follows_the_table(store: Store, path: Path) -> None:
    assert store.change(ID, Event.ALL_CONTRIBUTED) is State.READY
    begin(store)
    assert abort(store, "neutral went away") is State.ABORTED
    record = store_of(path).get(ID)
    assert (record.state, record.reason) == (State.ABORTED, "neutral went away")
    assert last(store).facts == {"reason": "neutral went away", "attempt": 1}


def test_a_new_attempt_has_no_reason_of_the_old_one(store: Store) -> None:
    begin(store)
    abort(store, "neutral went away")
    begin(store, 2)
    assert (store.get(ID).state, store.get(ID).reason) == (State.RUNNING, "")


def test_a_change_without_an_entry_is_not_logged(store: Store) -> None:
    store.change(ID, Event.ALL_CONTRIBUTED)
    assert logged(store, ID) == ["proposed"]


def test_an_impossible_change_changes_nothing(store: Store) -> None:
    before = store.get(ID), store.entries(ID)
    with pytest.raises(SessionRefused, match=r"waits for contributions, so 'all committee nodes have computed' is not"):
        store.change(ID, Event.RELEASE, audit.Event.RELEASED, attempt=1)
    assert (store.get(ID), store.entries(ID)) == before


def test_a_change_that_cannot_be_logged_is_not_made(store: Store) -> None:
    before = store.get(ID), store.entries(ID)
    with pytest.raises(ValueError, match="must have the facts"):
        store.change(ID, Event.CLOSE, audit.Event.DELETED)
    assert (store.get(ID), store.entries(ID)) == before


# Attempts


def test_an_attempt_begins(store: Store, path: Path) -> None:
    begin(store, 3)
    record = store_of(path).get(ID)
    assert (record.state, record.attempt, record.contributions) == (State.RUNNING, 3, DIGEST)
    assert last(store).facts == {"attempt": 3, "contributions": DIGEST.hex(), "members": MEMBERS}


@pytest.mark.parametrize("used", [1, 5])
def test_attempts_that_were_used_are_refused(store: Store, used: int) -> None:
    begin(store, used)
    for number in range(used + 1):
        with pytest.raises(SessionRefused, match=f"^Attempt {number} of this session has been used already"):
            begin(store, number)
    assert store.get(ID).attempt == used
    begin(store, used + 7)
    assert (store.get(ID).state, store.get(ID).attempt) == (State.RUNNING, used + 7)


@pytest.mark.parametrize("ended", [[], [Event.COMPUTE], [Event.ABORT]])
def test_later_attempts_are_on_the_same_contributions(store: Store, ended: list[Event]) -> None:
    begin(store)
    for event in ended:
        store.change(ID, event)
    before = store.get(ID), store.entries(ID)
    with pytest.raises(SessionRefused, match="lists of this session have been compared; they cannot be changed any"):
        begin(store, 2, OTHER_DIGEST)
    assert (store.get(ID), store.entries(ID)) == before
    begin(store, 2)
    assert store.get(ID).contributions == DIGEST


@pytest.mark.parametrize("events", [[Event.CLOSE], [Event.REFUSE], [Event.EXPIRE], [Event.REFUSE, Event.CLOSE]])
def test_sessions_that_are_over_are_not_run(store: Store, events: list[Event]) -> None:
    for event in events:
        store.change(ID, event)
    with pytest.raises(SessionRefused, match="so 'an attempt begins, with fresh randomness' is not possible now"):
        begin(store)
    record = store.get(ID)
    assert (record.attempt, record.contributions) == (0, None)


def test_what_has_been_released_is_never_computed_again(store: Store) -> None:
    begin(store)
    store.change(ID, Event.RELEASE)
    with pytest.raises(SessionRefused, match="The session has results to fetch, so"):
        begin(store, 2)
    assert store.get(ID).attempt == 1


def test_only_one_of_many_threads_begins_an_attempt(store: Store) -> None:
    errors = in_threads(*[lambda: begin(store)] * 6)
    assert len(errors) == 5
    assert all(isinstance(error, SessionRefused) for error in errors)
    assert logged(store, ID) == ["proposed", "attempt"]


def test_a_new_attempt_forgets_who_computed_the_old_one_and_who_knew_its_end(store: Store) -> None:
    made = everyones(TERMS)
    for statement in (*completions(TERMS, made), *(c.commitment for c in made), *made[0].receipts()):
        store.add_statement(statement)
    store.tell(ID, "neutral", State.ABORTED)
    begin(store)
    assert (store.completions(ID), store.told(ID, State.ABORTED)) == ([], set())
    assert store.commitments(ID) == {c.member: c.commitment for c in made}


def test_an_attempt_that_is_not_fixed_yet_can_be_followed_by_one_on_other_contributions(
    store: Store, path: Path
) -> None:
    """The coordinator begins one before it knows whether the committee can."""
    store.begin(ID, 1, DIGEST, MEMBERS, fixed=False)
    assert (store.get(ID).state, store.get(ID).attempt, store.get(ID).contributions) == (State.RUNNING, 1, None)
    assert last(store).facts["contributions"] == DIGEST.hex()
    store.begin(ID, 2, OTHER_DIGEST, MEMBERS, fixed=False)
    store.fix(ID, OTHER_DIGEST)
    assert store_of(path).get(ID).contributions == OTHER_DIGEST
    with pytest.raises(SessionRefused, match="they cannot be changed any more"):
        store.begin(ID, 3, DIGEST, MEMBERS, fixed=False)
    store.begin(ID, 3, OTHER_DIGEST, MEMBERS, fixed=False)
    assert store.get(ID).contributions == OTHER_DIGEST


@pytest.mark.parametrize("events", [[Event.COMPUTE], [Event.RELEASE], [Event.COMPUTE, Event.ABORT]])
def test_when_results_were_there_is_kept_to_the_end(store: Store, clock: Clock, events: list[Event]) -> None:
    """Released or not: a member on the committee has seen how large the groups are."""
    store.add_session(OTHER, State.APPROVED)
    store.add_statement(Commitment(ID, "agency-a"))
    store.add_statement(Commitment(OTHER.session_id, "agency-a"))
    begin(store)
    assert store.had_results("agency-a", OTHER.session_id) == []
    for event in events:
        store.change(ID, event)
    clock.move(days=3)
    store.change(ID, Event.CLOSE)
    assert store.had_results("agency-a", OTHER.session_id) == [NOW]
    assert store.had_results("agency-a", ID) == []
    assert store.had_results("agency-b", OTHER.session_id) == []


# What was signed


def test_the_newest_statement_of_a_kind_name_and_member_counts(store: Store, path: Path) -> None:
    a, b = Contribution(TERMS, "agency-a"), Contribution(TERMS, "agency-b")
    again = Contribution(TERMS, "agency-a", seed=1)
    for statement in (a.commitment, *a.receipts(), b.commitment, *b.receipts(), again.commitment, *again.receipts()):
        store.add_statement(statement)
    held = store_of(path)
    assert held.commitments(ID) == {"agency-a": again.commitment, "agency-b": b.commitment}
    kept = {Receipt.from_text(row[0]) for row in held.read("SELECT statement FROM statements WHERE kind = 'receipt'")}
    assert kept == {*again.receipts(), *b.receipts()}
    assert (held.commitments(bytes(32)), held.completions(bytes(32))) == ({}, [])


def test_completions_are_told_by_name(store: Store) -> None:
    said = completions(TERMS, everyones(TERMS))
    for completion in reversed(said):
        store.add_statement(completion)
    assert store.completions(ID) == said
    assert [c.name for c in said] == sorted(COMMITTEE)
    later = replace(said[0], attempt=2).signed(KEYS[said[0].name])
    store.add_statement(later)
    assert store.completions(ID) == [later, *said[1:]]


def test_statements_come_back_with_their_signatures(store: Store) -> None:
    commitment = Contribution(TERMS, "agency-a").commitment
    store.add_statement(commitment)
    read = store.commitments(ID)["agency-a"]
    assert isinstance(read, Commitment)
    read.check(KEYS["agency-a"].public_key())


def test_who_was_told(store: Store, path: Path) -> None:
    for name in ("neutral", "agency-a", "neutral"):
        store.tell(ID, name, State.APPROVED)
    assert store_of(path).told(ID, State.APPROVED) == {"neutral", "agency-a"}
    assert store.untold([State.APPROVED]) == [ID]
    store.tell(ID, "agency-b", State.APPROVED)
    assert store.untold([State.APPROVED]) == []
    store.tell(ID, "agency-b", State.DONE)
    assert store.told(ID, State.APPROVED) == {"neutral", "agency-a"}
    assert store.told(OTHER.session_id, State.APPROVED) == set()


# Consent


def test_the_first_consent_of_a_person_stays_and_is_logged_once(store: Store, path: Path, clock: Clock) -> None:
    store.add_consent(ID, "Olha K.")
    clock.move(hours=1)
    store.add_consent(ID, "Anna")
    store.add_consent(ID, "Olha K.")
    later = (NOW + timedelta(hours=1)).isoformat()
    assert list(store_of(path).consents(ID).items()) == [("Olha K.", NOW.isoformat()), ("Anna", later)]
    assert logged(store, ID) == ["proposed", "consented", "consented"]
    assert store.consents(OTHER.session_id) == {}


# The log


def test_what_is_undone_is_not_logged(store: Store) -> None:
    def fail() -> None:
        with store.transaction():
            store.add_signature(ID, "agency-a", b"a" * 64)
            store.log(ID, audit.Event.FORGOT)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert logged(store, ID) == ["proposed"]


def test_logs_are_apart_and_told_with_their_time(store: Store, path: Path, clock: Clock) -> None:
    clock.move(minutes=5)
    store.log(audit.NODE, audit.Event.STOPPED)
    store.add_session(OTHER, State.PROPOSED)
    again = store_of(path)
    assert again.audited() == sorted([audit.NODE, ID, OTHER.session_id])
    assert logged(again, audit.NODE) == ["stopped"]
    assert last(again, audit.NODE).at == (NOW + timedelta(minutes=5)).isoformat(timespec="microseconds")
    check_logs(again)


def test_writers_in_threads_keep_the_chain(store: Store) -> None:
    def writer(k: int) -> Callable[[], object]:
        def consent() -> None:
            for part in range(5):
                store.add_consent(ID, f"{k} {part}")

        return consent

    assert in_threads(*map(writer, range(6))) == []
    assert len(store.entries(ID)) == 31
    check_logs(store)


def test_heads_are_of_others_and_of_oneself(store: Store, path: Path, tmp_path: Path) -> None:
    assert store.heads(bytes(32)) == []
    other = store_of(tmp_path / "other.db", "agency-a")
    other.add_session(TERMS, State.PROPOSED)
    first = other.heads(ID)
    other.log(ID, audit.Event.FORGOT)
    second = other.heads(ID)
    store.add_heads([*first, *second])
    own = store.heads(ID)[-1]
    assert store_of(path).heads(ID) == [*first, *second, own]
    assert (own.node, own.number) == ("neutral", 1)
    assert store.latest_heads(ID) == [*second, own]
    assert logged(store, ID) == ["proposed", "head", "head"]


def test_statements_of_other_kinds_are_no_completions(store: Store) -> None:
    store.add_statement(Completion(ID, "neutral", attempt=1, contributions=DIGEST))
    assert store.commitments(ID) == {}
