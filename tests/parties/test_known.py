"""How many records of a list are new to a member, as its own node knows it."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from mpc.replicated import Array
from parties.errors import StorageError
from parties.known import KEPT, KnownRecords
from parties.store import Store
from parties.vault import Vault
from tests.parties.deciding import VAULT, Clock, store_of
from tests.parties.samples import on_disk

FIRST, SECOND, THIRD = (bytes([k]) * 32 for k in range(3))
LIST, OTHER_LIST = b"\x0a" * 32, b"\x0b" * 32
"""Digests of commitments."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "matchbit.db"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(path: Path, clock: Clock) -> Store:
    return store_of(path, "agency-a", clock)


@pytest.fixture
def known(store: Store) -> KnownRecords:
    return KnownRecords(store, VAULT)


def records(*people: int) -> Array:
    """Digests of these people's records."""
    digests = np.random.default_rng(7).integers(0, 1 << 64, (100, 2), np.uint64)
    return np.ascontiguousarray(digests[list(people)]).view("V16").reshape(-1)


def had(known: KnownRecords, session: bytes, *people: int) -> None:
    """Results were had on these people."""
    known.keep(session, LIST, records(*people))
    known.release(session, LIST)


def test_at_first_everybody_is_new(known: KnownRecords) -> None:
    assert known.count_new(records(1, 2, 3)) == 3
    assert known.count_new(records()) == 0


def test_whoever_was_in_a_session_with_results_is_not_new(known: KnownRecords) -> None:
    had(known, FIRST, 1, 2, 3)
    assert known.count_new(records(1, 2, 3)) == 0
    assert known.count_new(records(3, 4, 2, 5)) == 2
    had(known, SECOND, 4, 3)
    assert known.count_new(records(1, 3, 4, 5)) == 1


def test_whoever_was_in_a_session_without_results_is_still_new(known: KnownRecords) -> None:
    known.keep(FIRST, LIST, records(1, 2))
    assert known.count_new(records(1, 2)) == 2
    known.release(SECOND, LIST)
    assert known.count_new(records(1, 2)) == 2


@pytest.mark.parametrize(("commitment", "new"), [(LIST, [3]), (OTHER_LIST, [1])])
def test_the_list_that_was_computed_on_counts(
    known: KnownRecords, store: Store, commitment: bytes, new: list[int]
) -> None:
    """The one that was contributed last may have been cut off on its way."""
    known.keep(FIRST, LIST, records(1, 2))
    known.keep(FIRST, OTHER_LIST, records(2, 3))
    known.keep(FIRST, OTHER_LIST, records(2, 3))
    known.keep(SECOND, OTHER_LIST, records(4))
    known.release(FIRST, commitment)
    assert [person for person in (1, 2, 3, 4) if known.count_new(records(person))] == [*new, 4]
    kept = store.read("SELECT session, contribution FROM known_records ORDER BY session")
    assert kept == [(FIRST, commitment), (SECOND, OTHER_LIST)]


def test_a_record_that_is_there_twice_is_two_records(known: KnownRecords) -> None:
    had(known, FIRST, 1, 1, 2)
    assert known.count_new(records(1, 1, 3, 3)) == 2


def test_what_is_known_outlasts_a_restart(known: KnownRecords, path: Path) -> None:
    had(known, FIRST, 1)
    assert KnownRecords(store_of(path, "agency-a"), VAULT).count_new(records(1, 2)) == 1


def test_after_a_time_a_record_is_new_again(known: KnownRecords, store: Store, clock: Clock) -> None:
    had(known, FIRST, 1)
    clock.at += KEPT - timedelta(seconds=1)
    assert known.count_new(records(1)) == 0
    clock.move(seconds=1)
    assert known.count_new(records(1)) == 1
    known.keep(SECOND, LIST, records(2))
    assert store.read("SELECT session FROM known_records") == [(SECOND,)]


def test_the_database_knows_no_digest(known: KnownRecords, path: Path) -> None:
    people = range(100)
    had(known, FIRST, *people)
    content = on_disk(path)
    assert FIRST in content
    assert not any(record.tobytes()[:8] in content or record.tobytes()[8:] in content for record in records(*people))


def test_what_is_kept_opens_with_the_nodes_storage_key_for_its_session_only(known: KnownRecords, store: Store) -> None:
    had(known, FIRST, 1)
    with pytest.raises(StorageError):
        KnownRecords(store, Vault(bytes(32))).count_new(records(1))
    with store.transaction() as db:
        db.execute("UPDATE known_records SET session = ?", (THIRD,))
    with pytest.raises(StorageError):
        known.count_new(records(1))
