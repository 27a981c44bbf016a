"""Deleted means gone: from the tables, and byte for byte from the files."""

import threading
from pathlib import Path

import pytest

from mpc.channel import MAX_MESSAGE_BYTES
from parties.errors import SessionRefused
from parties.lifecycle import Event, State
from parties.store import Store, StoredContribution
from tests.parties.samples import chunk_owners, contribute, contribution, manifest

TERMS = manifest()
ID = TERMS.session_id
MARKER = b"a share that must be gone "


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "matchbit.db"


@pytest.fixture
def store(path: Path) -> Store:
    opened = Store(path)
    opened.add_session(TERMS, State.APPROVED)
    return opened


def on_disk(path: Path) -> bytes:
    """The database and all that belongs to it, byte for byte."""
    return b"".join(p.read_bytes() for p in sorted(path.parent.iterdir()) if p.name.startswith(path.name))


def full(store: Store) -> None:
    """A session with marked shares in small and large pieces, and a marked result."""
    for k, member in enumerate(TERMS.members):
        seeds = (MARKER[:16], MARKER[4:20])
        for part in range(3):
            store.add_chunk(bytes([k]) * 16, part, MARKER * (3 if part else 5000))
        store.add_contribution(ID, StoredContribution(member, bytes([k]) * 16, 7, seeds, (b"d" * 32, b"e" * 32)))
    store.set_attempt(ID, 1)
    store.add_results(ID, 1, dict.fromkeys(TERMS.members, MARKER * 4000), "done")


@pytest.mark.parametrize("reopened", [False, True])
def test_deleted_shares_leave_no_bytes_in_the_files(store: Store, path: Path, reopened: bool) -> None:
    full(store)
    assert on_disk(path).count(MARKER) > 20_000
    if reopened:
        store = Store(path)
    store.delete_shares(ID, Event.CLOSE, "the session was closed")
    left = on_disk(path)
    for length in (len(MARKER), 16, 10):
        assert MARKER[:length] not in left
    assert chunk_owners(path) == set()
    assert store.contributions(ID) == {}
    assert store.result(ID, "agency-a") is None
    assert ID in left
    assert TERMS.title.encode() in left


def test_a_member_that_reads_its_result_slowly_does_not_keep_deleted_bytes(store: Store, path: Path) -> None:
    store.set_attempt(ID, 1)
    store.add_results(ID, 1, {"agency-a": MARKER * (2 * MAX_MESSAGE_BYTES // len(MARKER))}, "done")
    reads, goes_on = threading.Event(), threading.Event()
    got: list[bytes] = []

    def member() -> None:
        for piece in store.result(ID, "agency-a") or []:
            got.append(piece)
            reads.set()
            goes_on.wait()

    thread = threading.Thread(target=member)
    thread.start()
    reads.wait()
    try:
        store.delete_shares(ID, Event.CLOSE, "the session was closed")
        assert MARKER not in on_disk(path)
    finally:
        goes_on.set()
        thread.join()
    assert len(got) == 1


def test_deletion_ends_the_session_with_an_entry_in_its_log(store: Store) -> None:
    full(store)
    store.delete_shares(ID, Event.CLOSE, "the agreed retention ended")
    assert (store.get(ID).state, store.get(ID).reason) == (State.CLOSED, "the agreed retention ended")
    assert store.events(ID)[-1][1] == "shares and results deleted: the agreed retention ended"


def test_deletion_leaves_other_sessions_alone(store: Store) -> None:
    other = manifest(title="Other")
    store.add_session(other, State.APPROVED)
    store.add_chunk(b"o" * 16, 0, b"kept")
    store.add_contribution(other.session_id, contribution("agency-a", b"o" * 16))
    full(store)
    store.delete_shares(ID, Event.CLOSE, "the session was closed")
    assert list(store.chunks(b"o" * 16)) == [b"kept"]
    assert store.get(other.session_id).state is State.APPROVED
    assert list(store.contributions(other.session_id)) == ["agency-a"]


def test_a_running_session_keeps_its_shares(store: Store, path: Path) -> None:
    contribute(store, ID, "agency-a", b"u" * 16, b"share")
    store.set_attempt(ID, 1)
    with pytest.raises(SessionRefused):
        store.delete_shares(ID, Event.CLOSE, "too early")
    assert chunk_owners(path) == {b"u" * 16}
    assert store.get(ID).state is State.RUNNING
    assert "agency-a" in store.contributions(ID)


# After a restart


def test_recovery_ends_cut_off_runs_and_drops_what_nobody_owns(store: Store, path: Path) -> None:
    other = manifest(title="Other")
    store.add_session(other, State.PROPOSED)
    contribute(store, ID, "agency-a", b"u" * 16, b"share")
    store.set_attempt(ID, 1)
    store.add_chunk(b"?" * 16, 0, b"half an upload")
    opened = Store(path)
    opened.recover("the node was restarted while it computed")
    assert (opened.get(ID).state, opened.get(ID).reason) == (State.ABORTED, "the node was restarted while it computed")
    assert opened.get(other.session_id).state is State.PROPOSED
    assert chunk_owners(path) == {b"u" * 16}
    opened.set_attempt(ID, 2)


def test_recovery_keeps_results_that_wait_to_be_fetched(store: Store, path: Path) -> None:
    full(store)
    Store(path).recover("restarted")
    assert store.get(ID).state is State.DONE
    assert len(chunk_owners(path)) == 6
    assert b"".join(store.result(ID, "agency-c") or []) == MARKER * 4000
