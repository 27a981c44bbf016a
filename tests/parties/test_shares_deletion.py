"""Deleted means gone: from the tables, and byte for byte from the files."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from mpc.channel import MAX_MESSAGE_BYTES
from parties.errors import SessionRefused
from parties.lifecycle import Event, State
from tests.parties.deciding import (
    CommitteeNode,
    Contribution,
    check_logs,
    completions,
    everyones,
    logged,
    terms,
)
from tests.parties.samples import chunk_owners, on_disk

TERMS, OTHER = terms(max_records=100_000), terms(title="Other")
ID = TERMS.session_id
CLOSED = "the coordinator closed the session"


@pytest.fixture
def node(tmp_path: Path) -> CommitteeNode:
    made = CommitteeNode(tmp_path)
    made.agree(TERMS)
    made.agree(OTHER)
    return made


def full(node: CommitteeNode, size: int = 100_000) -> list[Contribution]:
    """A session with shares in small and large pieces, and results that wait to be released."""
    made = [Contribution(TERMS, m, count) for m, count in zip(TERMS.members, (3, 4000, 70_000), strict=True)]
    for c in made:
        node.take(c)
    node.begin(TERMS, made)
    node.compute(TERMS, dict.fromkeys(TERMS.members, bytes(size)))
    return made


def sealed(path: Path) -> list[bytes]:
    """Pieces of all that is kept sealed, as they are found in the files; they are read past our own code."""
    with closing(sqlite3.connect(path)) as connection:
        kept = [row[0] for row in connection.execute("SELECT body FROM chunks UNION SELECT seeds FROM uploads")]
    assert len(kept) > 9  # seeds of three, their shares, results
    samples = [b[at : at + 20] for b in kept for at in range(0, len(b) - 20, max(20, len(b) // 20))]
    content = on_disk(path)
    found = [sample for sample in samples if sample in content]
    assert len(found) > 0.9 * len(samples) > 100  # some go over a page's end
    return found


def left(path: Path, samples: list[bytes]) -> list[bytes]:
    """What is still there."""
    content = on_disk(path)
    assert ID in content
    return [sample for sample in samples if sample in content]


@pytest.mark.parametrize("reopened", [False, True])
def test_deleted_shares_and_results_leave_no_bytes_in_the_files(node: CommitteeNode, reopened: bool) -> None:
    full(node)
    kept = sealed(node.path)
    if reopened:
        node.restart()
    node.shares.delete(ID, Event.CLOSE, CLOSED)
    assert left(node.path, kept) == []
    assert chunk_owners(node.path) == set()
    assert node.shares.uploads(ID) == {}
    assert node.shares.result(ID, "agency-a") is None


def test_a_member_that_reads_its_result_slowly_does_not_keep_deleted_bytes(node: CommitteeNode) -> None:
    full(node, 2 * MAX_MESSAGE_BYTES + 1)
    kept = sealed(node.path)
    reads, goes_on = threading.Event(), threading.Event()
    got: list[bytes] = []

    def member() -> None:
        for piece in node.shares.result(ID, "agency-a") or []:
            got.append(piece)
            reads.set()
            goes_on.wait()

    thread = threading.Thread(target=member)
    thread.start()
    reads.wait()
    try:
        node.shares.delete(ID, Event.CLOSE, CLOSED)
        assert left(node.path, kept) == []
    finally:
        goes_on.set()
        thread.join()
    assert len(got) == 1


def test_pages_that_another_process_reads_are_overwritten_later_and_the_log_says_so(node: CommitteeNode) -> None:
    full(node)
    with node.store.transaction() as db:
        db.execute("PRAGMA busy_timeout = 0")  # do not wait for the reader
    with closing(sqlite3.connect(node.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM chunks").fetchone()[0] > 0
        node.shares.delete(ID, Event.CLOSE, CLOSED)
    assert logged(node.store, ID)[-2:] == ["deleted", "overwritten_later"]


def test_deletion_ends_the_session_with_an_entry_in_its_log(node: CommitteeNode) -> None:
    full(node)
    node.shares.delete(ID, Event.CLOSE, CLOSED)
    assert (node.store.get(ID).state, node.store.get(ID).reason) == (State.CLOSED, CLOSED)
    assert (node.store.entries(ID)[-1].event, node.store.entries(ID)[-1].facts) == ("deleted", {"reason": CLOSED})
    check_logs(node.store)


def test_deletion_leaves_other_sessions_alone(node: CommitteeNode) -> None:
    kept = Contribution(OTHER, "agency-a")
    node.take(kept)
    full(node)
    node.shares.delete(ID, Event.CLOSE, CLOSED)
    assert node.state(OTHER) is State.APPROVED
    upload = node.shares.uploads(OTHER.session_id)["agency-a"]
    assert b"".join(node.shares.chunks(upload.id)) == b"".join(kept.chunks(node.party))
    assert chunk_owners(node.path) == {upload.id}


def test_a_running_session_keeps_its_shares(node: CommitteeNode) -> None:
    made = everyones(TERMS)
    for c in made:
        node.take(c)
    node.begin(TERMS, made)
    with pytest.raises(SessionRefused, match="The session is being computed, so 'close' is not possible now"):
        node.shares.delete(ID, Event.CLOSE, "too early")
    assert len(chunk_owners(node.path)) == 3
    assert set(node.shares.uploads(ID)) == set(TERMS.members)
    assert node.state(TERMS) is State.RUNNING


@pytest.mark.parametrize("released", [False, True])
def test_results_of_an_attempt_that_is_given_up_go_and_shares_stay(node: CommitteeNode, released: bool) -> None:
    made = full(node)
    if released:
        node.release(TERMS, made)
    else:
        node.shares.drop_results(ID)
    assert (node.shares.result(ID, "agency-a") is None) != released
    assert len(chunk_owners(node.path)) == (6 if released else 3)
    assert set(node.shares.uploads(ID)) == set(TERMS.members)


# After a restart


def test_recovery_ends_cut_off_runs_and_drops_what_nobody_owns(node: CommitteeNode) -> None:
    begun = Contribution(OTHER, "agency-b")
    node.guard.served(OTHER.session_id, "hub")
    upload = node.shares.open_upload(begun.commitment, begun.seeds(node.party), begun.due(node.party))
    node.shares.add_chunk(upload, 0, begun.chunks(node.party)[0])
    made = everyones(TERMS)
    for c in made:
        node.take(c)
    node.begin(TERMS, made)
    owners = chunk_owners(node.path)
    with closing(sqlite3.connect(node.path, isolation_level=None)) as connection:
        connection.execute("INSERT INTO chunks VALUES (x'ff', 0, x'00')")
    node.restart()
    node.guard.recover()
    record = node.store.get(ID)
    assert (record.state, record.reason) == (State.ABORTED, "neutral was restarted while it computed.")
    assert node.state(OTHER) is State.APPROVED
    assert chunk_owners(node.path) == owners
    assert node.begin(TERMS, made, 2)


@pytest.mark.parametrize("released", [False, True])
def test_recovery_keeps_results_that_wait_for_others_or_to_be_fetched(node: CommitteeNode, released: bool) -> None:
    made = full(node)
    if released:
        node.release(TERMS, made)
    before = node.store.get(ID), node.store.entries(ID), node.store.completions(ID)
    node.restart()
    node.guard.recover()
    assert (node.store.get(ID), node.store.entries(ID), node.store.completions(ID)) == before
    assert b"".join(node.guard.result("agency-c", ID, completions(TERMS, made))) == bytes(100_000)
