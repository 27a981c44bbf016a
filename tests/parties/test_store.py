import os
import sqlite3
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mpc.channel import MAX_MESSAGE_BYTES
from parties.errors import ConfigError, SessionRefused
from parties.lifecycle import Event, State
from parties.store import MIGRATIONS, Receipt, Store
from tests.parties.samples import chunk_owners, contribute, contribution, manifest, write

TERMS = manifest()
ID = TERMS.session_id
SIGNATURES = {"agency-a": b"a" * 64, "neutral": b"n" * 64}
DIGESTS = (b"d" * 32, b"e" * 32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "matchbit.db"


@pytest.fixture
def store(path: Path) -> Store:
    opened = Store(path)
    opened.add_session(TERMS, State.APPROVED)
    return opened


def receipt(member: str, node: str, rows: int = 7) -> Receipt:
    return Receipt(ID, member, node, rows, DIGESTS, b"x" * 64)


# Everything is there again after reopening the file


def test_a_session(store: Store, path: Path) -> None:
    for opened in (store, Store(path)):
        record = opened.get(ID)
        assert (record.manifest, record.id, record.state) == (TERMS, ID, State.APPROVED)
        assert (record.reason, record.attempt, record.signatures) == ("", 0, {})
        assert opened.session_ids() == [ID]


def test_a_session_with_its_signatures_in_one_step(path: Path) -> None:
    Store(path).add_session(TERMS, State.APPROVED, SIGNATURES)
    again = Store(path)
    assert again.get(ID).signatures == SIGNATURES
    assert [event for _, event in again.events(ID)] == ["approved, approved by agency-a, neutral"]


def test_a_known_session_stays_as_it_is(store: Store) -> None:
    store.add_signature(ID, "agency-b", b"b" * 64)
    store.add_session(TERMS, State.PROPOSED, SIGNATURES)
    assert store.get(ID).state is State.APPROVED
    assert store.get(ID).signatures == {"agency-b": b"b" * 64}
    assert len(store.events(ID)) == 2


def test_an_unknown_session(store: Store) -> None:
    assert store.session(bytes(32)) is None
    with pytest.raises(SessionRefused, match="No session 0000000000000000 is known here"):
        store.get(bytes(32))


def test_sessions_newest_first_and_by_prefix(store: Store) -> None:
    others = [manifest(title=f"Session {k}") for k in range(20)]
    for terms in others:
        store.add_session(terms, State.PROPOSED)
    assert store.session_ids() == [*(m.session_id for m in reversed(others)), ID]
    assert store.session_ids(ID[:4]) == [ID]
    assert store.session_ids(ID) == [ID]
    assert store.session_ids(ID + b"\0") == []
    assert store.session_ids(b"%") == [m.session_id for m in reversed(others) if m.session_id.startswith(b"%")]


def test_signatures(store: Store, path: Path) -> None:
    for name, signature in SIGNATURES.items():
        store.add_signature(ID, name, signature)
    store.add_signature(ID, "neutral", b"again" + b"n" * 59)
    assert Store(path).get(ID).signatures == SIGNATURES | {"neutral": b"again" + b"n" * 59}


def test_receipts(store: Store, path: Path) -> None:
    first = [receipt("agency-a", node) for node in TERMS.committee]
    store.add_receipts(first)
    store.add_receipts([receipt("agency-b", node, 8) for node in TERMS.committee])
    again = [receipt("agency-a", node, 9) for node in TERMS.committee]
    store.add_receipts(again)
    held = Store(path).receipts(ID)
    assert {(r.member, r.node): r for r in held} == {
        **{("agency-a", r.node): r for r in again},
        **{("agency-b", n): receipt("agency-b", n, 8) for n in TERMS.committee},
    }
    assert store.receipts(bytes(32)) == []


def test_contributions(store: Store, path: Path) -> None:
    bodies = [bytes([k]) * 1000 for k in range(12)]
    contribute(store, ID, "agency-b", b"u" * 16, *bodies)
    opened = Store(path)
    assert opened.contributions(ID) == {"agency-b": contribution("agency-b", b"u" * 16)}
    assert list(opened.chunks(b"u" * 16)) == bodies
    assert opened.contributions(bytes(32)) == {}
    assert list(opened.chunks(b"?")) == []


def test_results_of_more_than_one_message(store: Store, path: Path) -> None:
    long, short = bytes(range(256)) * (MAX_MESSAGE_BYTES // 256) + b"tail", b""
    store.set_attempt(ID, 1)
    store.add_results(ID, 1, {"agency-a": long, "agency-b": short}, "done")
    opened = Store(path)
    pieces = list(opened.result(ID, "agency-a") or [])
    assert [len(piece) for piece in pieces] == [MAX_MESSAGE_BYTES, 4]
    assert b"".join(pieces) == long
    assert list(opened.result(ID, "agency-b") or [None]) == []
    assert opened.result(ID, "agency-c") is None
    assert opened.result(bytes(32), "agency-a") is None
    assert opened.get(ID).state is State.DONE


def test_events_are_kept_with_their_time(store: Store, path: Path) -> None:
    store.change(ID, Event.ALL_CONTRIBUTED)
    store.log(ID, "neutral deleted shares and results")
    store.log(b"other", "not this session's")
    events = Store(path).events(ID)
    assert [event for _, event in events] == [
        "approved", "every member contributed", "neutral deleted shares and results",
    ]  # fmt: skip
    assert [at for at, _ in events] == sorted(at for at, _ in events)
    assert all(at.endswith("+00:00") for at, _ in events)


# Receipts


def test_what_a_receipt_signs_differs_in_every_field() -> None:
    base = receipt("agency-a", "neutral")
    changed = [
        base,
        Receipt(bytes(32), "agency-a", "neutral", 7, DIGESTS),
        receipt("agency-b", "neutral"),
        receipt("agency-a", "agency-b"),
        receipt("agency-a", "neutral", 8),
        Receipt(ID, "agency-a", "neutral", 7, (DIGESTS[1], DIGESTS[0])),
        Receipt(ID, "agency-a", "neutral", 7, (DIGESTS[0], DIGESTS[0])),
        Receipt(ID, "agency-aneutral", "", 7, DIGESTS),
    ]
    assert len({r.signed_bytes() for r in changed}) == len(changed)
    expected = b"matchbit.v1 receipt\0agency-a\0neutral\x007\0" + ID + DIGESTS[0] + DIGESTS[1]
    assert base.signed_bytes() == expected
    assert base.with_signature(b"y").signed_bytes() == expected
    assert base.with_signature(b"y").signature == b"y"


# States and attempts


def test_change_follows_the_table_and_counts_attempts(store: Store) -> None:
    assert store.change(ID, Event.ALL_CONTRIBUTED) is State.READY
    assert store.change(ID, Event.RUN) is State.RUNNING
    assert store.get(ID).attempt == 1
    store.change(ID, Event.RETRY, "neutral went away")
    assert (store.get(ID).attempt, store.get(ID).reason) == (2, "neutral went away")
    store.change(ID, Event.ABORT, "it went away again")
    assert (store.get(ID).state, store.get(ID).reason) == (State.ABORTED, "it went away again")
    store.change(ID, Event.RUN)
    assert (store.get(ID).attempt, store.get(ID).reason) == (3, "")


def test_an_impossible_change_changes_nothing(store: Store) -> None:
    before = store.get(ID), store.events(ID)
    with pytest.raises(SessionRefused):
        store.change(ID, Event.FINISH, "why")
    assert (store.get(ID), store.events(ID)) == before


@pytest.mark.parametrize("used", [1, 5])
def test_old_attempts_are_refused(store: Store, used: int) -> None:
    store.set_attempt(ID, used)
    for number in range(used + 1):
        with pytest.raises(SessionRefused, match=f"Attempt {number} of this session has been used already"):
            store.set_attempt(ID, number)
    assert store.get(ID).attempt == used
    store.set_attempt(ID, used + 7)
    assert (store.get(ID).state, store.get(ID).attempt) == (State.RUNNING, used + 7)


@pytest.mark.parametrize("events", [[Event.CLOSE], [Event.REFUSE], [Event.EXPIRE], [Event.REFUSE, Event.CLOSE]])
def test_sessions_that_are_over_are_not_run(store: Store, events: list[Event]) -> None:
    for event in events:
        store.change(ID, event)
    with pytest.raises(SessionRefused, match="so it cannot be run"):
        store.set_attempt(ID, 1)
    assert store.get(ID).attempt == 0


def test_a_new_attempt_deletes_the_results_of_the_old_one_and_keeps_contributions(store: Store, path: Path) -> None:
    contribute(store, ID, "agency-a", b"u" * 16, b"share")
    store.set_attempt(ID, 1)
    store.add_results(ID, 1, {"agency-a": b"old"}, "done")
    assert len(chunk_owners(path)) == 2
    store.set_attempt(ID, 2)
    assert store.result(ID, "agency-a") is None
    assert chunk_owners(path) == {b"u" * 16}
    assert (store.get(ID).state, store.get(ID).reason) == (State.RUNNING, "")
    store.add_results(ID, 2, {"agency-a": b"new"}, "done")
    assert list(store.result(ID, "agency-a") or []) == [b"new"]


def test_results_of_a_replaced_attempt_are_refused(store: Store, path: Path) -> None:
    store.set_attempt(ID, 1)
    store.set_attempt(ID, 2)
    with pytest.raises(SessionRefused, match="Attempt 1 has been replaced by attempt 2"):
        store.add_results(ID, 1, {"agency-a": b"late"}, "done")
    assert store.get(ID).state is State.RUNNING
    assert chunk_owners(path) == set()


def test_results_that_cannot_be_ended_leave_nothing(store: Store, path: Path) -> None:
    with pytest.raises(SessionRefused):
        store.add_results(ID, 0, {"agency-a": b"never run"}, "done")
    assert store.result(ID, "agency-a") is None
    assert chunk_owners(path) == set()


# Contributions are replaced and closed


def test_a_new_contribution_deletes_the_chunks_of_the_old_one(store: Store, path: Path) -> None:
    contribute(store, ID, "agency-a", b"1" * 16, b"old one", b"old two")
    contribute(store, ID, "agency-b", b"b" * 16, b"other")
    contribute(store, ID, "agency-a", b"2" * 16, b"new")
    assert store.contributions(ID)["agency-a"].upload == b"2" * 16
    assert chunk_owners(path) == {b"2" * 16, b"b" * 16}


@pytest.mark.parametrize("events", [[Event.CLOSE], [Event.ALL_CONTRIBUTED, Event.RUN], [Event.EXPIRE], [Event.REFUSE]])
def test_contributions_are_closed_when_the_session_is_computed_or_over(store: Store, events: list[Event]) -> None:
    contribute(store, ID, "agency-a", b"1" * 16, b"share")
    for event in events:
        store.change(ID, event)
    store.add_chunk(b"2" * 16, 0, b"late")
    with pytest.raises(SessionRefused, match="contributions are closed"):
        store.add_contribution(ID, contribution("agency-a", b"2" * 16))
    assert store.contributions(ID)["agency-a"].upload == b"1" * 16
    assert list(store.chunks(b"1" * 16)) == [b"share"]


def test_an_upload_that_was_not_finished_is_dropped(store: Store, path: Path) -> None:
    contribute(store, ID, "agency-a", b"1" * 16, b"share")
    store.add_chunk(b"2" * 16, 0, b"half")
    store.drop_chunks(b"2" * 16)
    assert chunk_owners(path) == {b"1" * 16}


# The file


@pytest.mark.skipif(os.name != "posix", reason="file modes are a matter of POSIX systems")
def test_only_the_owner_can_read_the_files(path: Path) -> None:
    mask = os.umask(0)
    try:
        opened = Store(path)
        opened.add_session(TERMS, State.APPROVED)
        made = [p for p in path.parent.iterdir() if p.name.startswith("matchbit.db")]
    finally:
        os.umask(mask)
    assert len(made) == 3
    assert {stat.S_IMODE(p.stat().st_mode) for p in made} == {0o600}


def test_a_database_of_a_newer_version_is_left_alone(store: Store, path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(ConfigError, match="was written by a newer Matchbit; update this one"):
        Store(path)
    assert store.get(ID).state is State.APPROVED


@pytest.mark.parametrize("content", [b"not a database " * 1000, b"SQLite format 3\0" + b"\xff" * 5000, b"x" * 600])
def test_a_damaged_file(path: Path, content: bytes) -> None:
    write(path, content)
    with pytest.raises(ConfigError, match="Cannot open the database"):
        Store(path)
    assert path.read_bytes() == content


def test_a_database_with_other_tables(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE sessions (x)")
    connection.close()
    with pytest.raises(ConfigError, match="Cannot open the database"):
        Store(path)


def test_a_place_that_cannot_be_opened(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none" / "matchbit.db"):
        with pytest.raises(ConfigError, match="Cannot open the database"):
            Store(place)


# Threads


def in_threads(work: list[Callable[[], None]]) -> list[BaseException]:
    errors: list[BaseException] = []
    together = threading.Barrier(len(work))

    def run(task: Callable[[], None]) -> None:
        together.wait()
        try:
            task()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(task,)) for task in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_writers_in_threads_lose_nothing(store: Store) -> None:
    def writer(k: int) -> Callable[[], None]:
        def write_some() -> None:
            owner = bytes([k]) * 16
            for part in range(8):
                store.add_chunk(owner, part, bytes([k, part]) * 500)
                store.log(ID, f"writer {k}, part {part}")
            assert list(store.chunks(owner)) == [bytes([k, part]) * 500 for part in range(8)]

        return write_some

    assert in_threads([writer(k) for k in range(6)]) == []
    events = [event for _, event in store.events(ID)][1:]
    assert sorted(events) == sorted(f"writer {k}, part {part}" for k in range(6) for part in range(8))
    for k in range(6):
        assert [e for e in events if e.startswith(f"writer {k},")] == [f"writer {k}, part {p}" for p in range(8)]


def test_only_one_of_many_threads_begins_an_attempt(store: Store) -> None:
    errors = in_threads([lambda: store.set_attempt(ID, 1)] * 6)
    assert len(errors) == 5
    assert all(isinstance(error, SessionRefused) for error in errors)
    assert store.get(ID).attempt == 1


def test_a_failed_transaction_leaves_nothing(store: Store) -> None:
    def fail() -> None:
        with store.transaction() as db:
            db.execute("DELETE FROM sessions")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert store.get(ID).manifest == TERMS
    store.log(ID, "and the store can be written again")
