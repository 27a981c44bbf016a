"""What a committee node keeps for members: sealed, whole or not at all, and each thing in its own place."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from mpc.channel import MAX_MESSAGE_BYTES
from mpc.committee import PartyId
from parties.errors import SessionRefused, StorageError
from parties.lifecycle import State
from parties.shares import REPLACED, Shares, Upload
from parties.statements import Completion
from parties.store import Store
from parties.vault import Vault
from tests.parties.deciding import (
    KEYS,
    VAULT,
    Contribution,
    check_logs,
    completions,
    everyones,
    logged,
    signatures,
    store_of,
    terms,
)
from tests.parties.samples import chunk_owners, on_disk

TERMS, OTHER = terms(), terms(title="Other")
ID = TERMS.session_id
PARTY = PartyId.P2
SIZES, PHASES = [5, 2], {"load": 0.7, "tag": 1.6}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "matchbit.db"


@pytest.fixture
def store(path: Path) -> Store:
    opened = store_of(path)
    opened.add_session(TERMS, State.APPROVED, signatures(TERMS))
    opened.add_session(OTHER, State.APPROVED, signatures(OTHER))
    return opened


@pytest.fixture
def shares(store: Store) -> Shares:
    return Shares(store, VAULT)


def upload(shares: Shares, c: Contribution, *, finished: bool = True) -> Upload:
    """All of a contribution."""
    opened = shares.open_upload(c.commitment, c.seeds(PARTY), c.due(PARTY))
    for part, body in enumerate(c.chunks(PARTY)):
        shares.add_chunk(opened, part, body)
    if finished:
        shares.finish_upload(opened)
    return opened


def held(shares: Shares, c: Contribution) -> Upload | None:
    return shares.upload(c.commitment.session_id, c.member, c.commitment.digest)


def body(shares: Shares, upload: Upload) -> bytes:
    return b"".join(shares.chunks(upload.id))


def running(store: Store, attempt: int = 1) -> Completion:
    """An attempt has begun; what this node says when it has computed."""
    made = everyones(TERMS)
    said = completions(TERMS, made, attempt, ["neutral"])[0]
    store.begin(ID, attempt, said.contributions, list(TERMS.members))
    return said


def tamper(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute(statement, values).rowcount > 0


# Sealed


def pieces(data: bytes) -> list[bytes]:
    return [data[start : start + 16] for start in range(0, len(data), 16)]


def secrets_of(c: Contribution) -> list[bytes]:
    """Every seed, and every row of the component that travels whole."""
    return [*c.seeds(PARTY), *pieces(b"".join(c.chunks(PARTY)))]


def test_no_byte_of_shares_or_results_is_in_the_files(store: Store, shares: Shares, path: Path) -> None:
    made = [Contribution(TERMS, member, 200) for member in TERMS.members]
    for c in made:
        upload(shares, c)
    results = {c.member: b"".join(secrets_of(Contribution(TERMS, c.member, 300, seed=7))) for c in made}
    shares.add_results(running(store), results, SIZES, PHASES)
    content = on_disk(path)
    secret = [piece for c in made for piece in secrets_of(c)]
    secret += [piece for result in results.values() for piece in pieces(result)]
    assert len(set(secret)) > 1500
    assert not any(piece in content or piece[:8] in content for piece in secret)
    for public in (c.commitment.to_text().encode() for c in made):  # what is not secret is found
        assert public in content


def test_what_is_kept_is_read_back_after_a_restart(store: Store, shares: Shares, path: Path) -> None:
    c = Contribution(TERMS, "agency-a", 200)
    upload(shares, c)
    shares.add_results(running(store), {"agency-a": b"result"}, SIZES, PHASES)
    again = Shares(store_of(path), VAULT)
    found = held(again, c)
    assert found is not None
    assert (found.commitment, found.seeds, found.complete) == (c.commitment, c.seeds(PARTY), True)
    assert body(again, found) == b"".join(c.chunks(PARTY))
    assert list(again.result(ID, "agency-a") or []) == [b"result"]
    assert again.uploads(ID) == {"agency-a": found}


def test_a_sealed_piece_opens_in_its_own_place_only(shares: Shares, path: Path) -> None:
    count = MAX_MESSAGE_BYTES // 16 + 1
    a, b = (upload(shares, Contribution(TERMS, member, count)) for member in ("agency-a", "agency-b"))
    tamper(path, "UPDATE chunks SET body = (SELECT body FROM chunks WHERE part = 0 AND owner = ?) WHERE part = 0", a.id)
    assert len(body(shares, a)) == 16 * count
    with pytest.raises(StorageError, match="cannot be opened: it was changed, or sealed under another storage key"):
        body(shares, b)


def test_pieces_in_another_order_do_not_open(shares: Shares, path: Path) -> None:
    kept = upload(shares, Contribution(TERMS, "agency-a", MAX_MESSAGE_BYTES // 16 + 1))
    tamper(path, "UPDATE chunks SET part = 5 WHERE part = 0")
    with pytest.raises(StorageError):
        body(shares, kept)


def test_seeds_open_at_their_own_upload_only(shares: Shares, path: Path) -> None:
    a, b = Contribution(TERMS, "agency-a"), Contribution(TERMS, "agency-b")
    upload(shares, a)
    upload(shares, b)
    tamper(path, "UPDATE uploads SET seeds = (SELECT seeds FROM uploads WHERE member = 'agency-a')")
    assert held(shares, a) is not None
    with pytest.raises(StorageError):
        held(shares, b)


def test_another_storage_key_opens_nothing(store: Store, shares: Shares) -> None:
    c = Contribution(TERMS, "agency-a")
    upload(shares, c)
    shares.add_results(running(store), {"agency-a": b"result"}, SIZES, PHASES)
    other = Shares(store, Vault(bytes(32)))
    with pytest.raises(StorageError):
        held(other, c)
    with pytest.raises(StorageError):
        list(other.result(ID, "agency-a") or [])


def test_seeds_are_not_shown(shares: Shares) -> None:
    c = Contribution(TERMS, "agency-a")
    shown = repr(upload(shares, c)) + str(held(shares, c))
    assert not any(repr(seed)[2:-1] in shown or seed.hex() in shown for seed in c.seeds(PARTY))


# Uploads


def test_an_upload_goes_on_after_a_restart(shares: Shares, path: Path) -> None:
    c = Contribution(TERMS, "agency-a", 2 * MAX_MESSAGE_BYTES // 16 + 1)
    first, *rest = c.chunks(PARTY)
    begun = shares.open_upload(c.commitment, c.seeds(PARTY), c.due(PARTY))
    assert shares.received_bytes(begun) == 0
    shares.add_chunk(begun, 0, first)
    again = Shares(store_of(path), VAULT)
    found = again.open_upload(c.commitment, c.seeds(PARTY), c.due(PARTY))
    assert (found, again.received_bytes(found)) == (begun, MAX_MESSAGE_BYTES)
    for part, piece in enumerate(rest, 1):
        again.add_chunk(found, part, piece)
    again.finish_upload(found)
    assert again.received_bytes(found) == 16 * c.commitment.keys
    assert body(again, found) == b"".join(c.chunks(PARTY))


def test_uploads_leave_room_on_the_disk(shares: Shares, monkeypatch: pytest.MonkeyPatch) -> None:
    c = Contribution(OTHER, "agency-a", 3)
    says = r"^There is no room for this upload on the disk of the node that was called; its operator must make some\.$"
    free = shutil.disk_usage("/").free
    for reserve in (free + 1, free - 16 * 2):
        monkeypatch.setattr("parties.shares.RESERVE_BYTES", reserve)
        monkeypatch.setattr("parties.shares.shutil.disk_usage", lambda _: SimpleNamespace(free=free))
        with pytest.raises(StorageError, match=says):
            shares.open_upload(c.commitment, c.seeds(PARTY), c.due(PARTY))
        assert held(shares, c) is None
    monkeypatch.setattr("parties.shares.RESERVE_BYTES", free - 16 * 3)
    upload(shares, c)
    monkeypatch.setattr("parties.shares.RESERVE_BYTES", free)
    upload_again = shares.open_upload(c.commitment, c.seeds(PARTY), c.due(PARTY))  # what is here takes no more
    assert upload_again.complete
    with pytest.raises(StorageError, match=says):
        shares.add_chunk(upload_again, 1, b"more")


def test_a_piece_is_taken_once(shares: Shares) -> None:
    c = Contribution(TERMS, "agency-a")
    begun = shares.open_upload(c.commitment, c.seeds(PARTY), c.due(PARTY))
    shares.add_chunk(begun, 0, b"one")
    with pytest.raises(SessionRefused, match=REPLACED):  # another connection goes on with it
        shares.add_chunk(begun, 0, b"two")
    assert body(shares, begun) == b"one"


def test_other_seeds_are_another_upload_in_place_of_the_first(shares: Shares, path: Path) -> None:
    c = Contribution(TERMS, "agency-a")
    old = upload(shares, c, finished=False)
    new = shares.open_upload(c.commitment, c.seeds(PARTY)[::-1], c.due(PARTY))
    assert (new.complete, held(shares, c)) == (False, new)
    assert shares.received_bytes(new) == 0
    assert chunk_owners(path) == set()
    with pytest.raises(SessionRefused, match=r"^This upload has been replaced or ended by another one\.$"):
        shares.add_chunk(old, 1, b"late")


def test_what_is_complete_is_never_taken_back(shares: Shares, path: Path) -> None:
    """It may be what was reported to the coordinator, and be computed on."""
    c = Contribution(TERMS, "agency-a")
    kept = upload(shares, c)
    again = shares.open_upload(c.commitment, c.seeds(PARTY)[::-1], c.due(PARTY))
    assert (again.id, again.seeds, again.complete) == (kept.id, c.seeds(PARTY), True)
    assert chunk_owners(path) == {kept.id}


def test_a_members_newest_two_complete_uploads_are_kept(shares: Shares, path: Path) -> None:
    first, second, third = (Contribution(TERMS, "agency-a", seed=seed) for seed in range(3))
    others = [upload(shares, Contribution(TERMS, "agency-b")), upload(shares, Contribution(OTHER, "agency-a"))]
    kept = [upload(shares, first), upload(shares, second)]
    assert shares.uploads(ID)["agency-a"] == held(shares, second)
    assert chunk_owners(path) == {u.id for u in (*kept, *others)}
    begun = shares.open_upload(third.commitment, third.seeds(PARTY), third.due(PARTY))
    shares.add_chunk(begun, 0, b"".join(third.chunks(PARTY)))
    assert shares.uploads(ID)["agency-a"] == held(shares, second)
    assert chunk_owners(path) == {u.id for u in (*kept, begun, *others)}
    shares.finish_upload(begun)
    assert held(shares, first) is None
    assert shares.uploads(ID)["agency-a"].id == begun.id
    assert chunk_owners(path) == {u.id for u in (kept[1], begun, *others)}


def test_of_incomplete_uploads_the_newest_is_kept(shares: Shares, path: Path) -> None:
    """However often a member begins, it does not cost what is complete."""
    whole = [upload(shares, Contribution(TERMS, "agency-a", seed=seed)) for seed in range(2)]
    begun = [upload(shares, Contribution(TERMS, "agency-a", seed=2 + k), finished=False) for k in range(3)]
    assert chunk_owners(path) == {u.id for u in (*whole, begun[-1])}
    with pytest.raises(SessionRefused, match=REPLACED):
        shares.finish_upload(begun[0])


def test_nothing_is_added_to_an_upload_that_is_finished(shares: Shares) -> None:
    c = Contribution(TERMS, "agency-a")
    finished = upload(shares, c)
    with pytest.raises(SessionRefused, match="replaced or ended by another one"):
        shares.add_chunk(finished, 1, b"more")
    assert body(shares, finished) == b"".join(c.chunks(PARTY))


def test_only_finished_uploads_count_and_are_logged(store: Store, shares: Shares) -> None:
    c = Contribution(TERMS, "agency-a", records=9, new_records=4)
    begun = upload(shares, c, finished=False)
    assert shares.uploads(ID) == {}
    assert "received" not in logged(store, ID)
    shares.finish_upload(begun)
    assert list(shares.uploads(ID)) == ["agency-a"]
    digest = c.commitment.digest.hex()
    facts = {"member": "agency-a", "records": 9, "new_records": 4, "keys": 3, "commitment": digest}
    assert store.entries(ID)[-1].facts == facts


def test_an_upload_that_does_not_fit_is_dropped(shares: Shares, path: Path) -> None:
    good, bad = Contribution(TERMS, "agency-a"), Contribution(TERMS, "agency-a", seed=1)
    kept = upload(shares, good)
    shares.drop_upload(upload(shares, bad, finished=False))
    assert held(shares, bad) is None
    assert chunk_owners(path) == {kept.id}


def test_what_is_computed_on_is_chosen_and_all_else_dropped(shares: Shares, path: Path) -> None:
    first, second = Contribution(TERMS, "agency-a"), Contribution(TERMS, "agency-a", seed=1)
    b, elsewhere = Contribution(TERMS, "agency-b"), Contribution(OTHER, "agency-b")
    kept = [upload(shares, first), upload(shares, elsewhere)]
    upload(shares, second)
    upload(shares, b)
    shares.choose(ID, {"agency-a": first.commitment.digest})
    assert {member: u.commitment for member, u in shares.uploads(ID).items()} == {"agency-a": first.commitment}
    assert chunk_owners(path) == {u.id for u in kept}


# Results


def test_results_of_more_than_one_message(store: Store, shares: Shares) -> None:
    long, short = bytes(range(256)) * (MAX_MESSAGE_BYTES // 256) + b"tail", b""
    completion = running(store).signed(KEYS["neutral"])
    shares.add_results(completion, {"agency-a": long, "agency-b": short}, SIZES, PHASES)
    given = list(shares.result(ID, "agency-a") or [])
    assert [len(piece) for piece in given] == [MAX_MESSAGE_BYTES, 4]
    assert b"".join(given) == long
    assert list(shares.result(ID, "agency-b") or [None]) == []
    assert shares.result(ID, "agency-c") is None
    assert shares.result(OTHER.session_id, "agency-a") is None
    assert (store.get(ID).state, store.completions(ID)) == (State.COMPUTED, [completion])
    assert store.entries(ID)[-1].facts == {"attempt": 1, "group_sizes": SIZES, "seconds": 2}


def test_results_of_a_replaced_attempt_are_refused(store: Store, shares: Shares, path: Path) -> None:
    old = running(store)
    running(store, 2)
    with pytest.raises(SessionRefused, match=r"^Attempt 1 has been replaced by attempt 2\.$"):
        shares.add_results(old, {"agency-a": b"late"}, SIZES, PHASES)
    assert (store.get(ID).state, store.completions(ID)) == (State.RUNNING, [])
    assert chunk_owners(path) == set()


def test_results_of_an_attempt_that_does_not_run_leave_nothing(store: Store, shares: Shares, path: Path) -> None:
    said = completions(TERMS, everyones(TERMS), 0, ["neutral"])[0]
    with pytest.raises(SessionRefused, match="waits for contributions, so 'this node has computed' is not possible"):
        shares.add_results(said, {"agency-a": b"never run"}, SIZES, PHASES)
    assert shares.result(ID, "agency-a") is None
    assert (chunk_owners(path), store.completions(ID)) == (set(), [])


def test_results_are_kept_once(store: Store, shares: Shares) -> None:
    said = running(store)
    shares.add_results(said, {"agency-a": b"first"}, SIZES, PHASES)
    with pytest.raises(SessionRefused):
        shares.add_results(said, {"agency-a": b"second"}, SIZES, PHASES)
    assert list(shares.result(ID, "agency-a") or []) == [b"first"]
    check_logs(store)
