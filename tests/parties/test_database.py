"""A node's SQLite file: who can read it, what versions it has, and that all of a transaction happens or nothing."""

import os
import resource
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from parties.database import Database
from parties.errors import ConfigError, StorageError
from parties.schema import MIGRATIONS
from tests.parties.samples import JARGON, write

INSERT = "INSERT INTO secrets VALUES (?, ?)"
NAMES = "SELECT name FROM secrets ORDER BY rowid"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "matchbit.db"


@pytest.fixture
def database(path: Path) -> Database:
    return Database(path)


def names(database: Database) -> list[str]:
    return [row[0] for row in database.read(NAMES)]


def insert(database: Database, name: str) -> None:
    with database.transaction() as db:
        db.execute(INSERT, (name, b"value"))


@contextmanager
def by_hand(path: Path) -> Iterator[sqlite3.Connection]:
    """The file without our program."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def schema(path: Path) -> list[str]:
    with by_hand(path) as db:
        return sorted(row[0] for row in db.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL"))


# The file


@pytest.mark.skipif(os.name != "posix", reason="file modes are a matter of POSIX systems")
def test_only_the_owner_can_read_the_files(path: Path) -> None:
    mask = os.umask(0)
    try:
        insert(Database(path), "a")
        made = [p for p in path.parent.iterdir() if p.name.startswith(path.name)]
    finally:
        os.umask(mask)
    assert len(made) == 3
    assert {stat.S_IMODE(p.stat().st_mode) for p in made} == {0o600}


def test_a_database_of_a_newer_version_is_left_alone(database: Database, path: Path) -> None:
    insert(database, "a")
    with by_hand(path) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(ConfigError, match=r"was written by a newer Matchbit; update this one\.$"):
        Database(path)
    assert names(database) == ["a"]


@pytest.mark.parametrize("content", [b"not a database " * 1000, b"SQLite format 3\0" + b"\xff" * 5000, b"x" * 600])
def test_a_damaged_file(path: Path, content: bytes) -> None:
    write(path, content)
    with pytest.raises(ConfigError, match="Cannot open the database"):
        Database(path)
    assert path.read_bytes() == content


def test_a_database_with_other_tables(path: Path) -> None:
    with by_hand(path) as db:
        db.execute("CREATE TABLE sessions (x)")
    with pytest.raises(ConfigError, match="Cannot open the database"):
        Database(path)


def test_a_place_that_cannot_be_opened(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none" / "matchbit.db"):
        with pytest.raises(ConfigError, match="Cannot open the database"):
            Database(place)


# Versions


@pytest.mark.parametrize("version", range(len(MIGRATIONS) + 1))
def test_a_database_of_every_earlier_version_becomes_one_of_today(version: int, path: Path, tmp_path: Path) -> None:
    with by_hand(path) as db:
        for number in range(version):
            db.executescript(MIGRATIONS[number])
        db.execute(f"PRAGMA user_version = {version}")
    Database(path)
    fresh = tmp_path / "fresh.db"
    Database(fresh)
    renamed = [s for s in schema(path) if "unsigned_audit" in s]
    assert [s for s in schema(path) if s not in renamed] == [s for s in schema(fresh) if "unsigned_audit" not in s]
    with by_hand(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


def test_decisions_and_the_old_log_outlast_an_update_and_shares_in_the_clear_do_not(path: Path) -> None:
    share, result = b"a share in the clear " * 40, b"a result in the clear " * 40
    with by_hand(path) as db:
        for number in range(2):
            db.executescript(MIGRATIONS[number])
        db.execute("PRAGMA user_version = 2")
        db.execute("INSERT INTO sessions (id, manifest, state, created) VALUES (x'01', x'02', 'done', '2026')")
        db.execute("INSERT INTO contributions VALUES (x'01', 'agency-a', x'0a', 7, x'0b', x'0c', x'0d', x'0e')")
        db.execute("INSERT INTO results VALUES (x'01', 'agency-a', x'0f')")
        db.executemany("INSERT INTO chunks VALUES (?, 0, ?)", [(b"\x0a", share), (b"\x0f", result)])
        db.execute("INSERT INTO audit (at, session, event) VALUES ('2026', x'01', 'done')")
        db.execute("INSERT INTO decisions VALUES (x'aa', 'distinct', '', 'Olena', '2026', x'01')")
    database = Database(path)
    database.overwrite_log()
    assert database.read("SELECT event FROM unsigned_audit") == [("done",)]
    assert database.read("SELECT reviewer FROM decisions") == [("Olena",)]
    assert database.read("SELECT * FROM chunks") == []
    assert database.read("SELECT * FROM results") == []
    on_disk = b"".join(p.read_bytes() for p in path.parent.iterdir())
    assert share[:21] not in on_disk
    assert result[:22] not in on_disk


# Transactions


class BrokenOffError(Exception):
    pass


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    insert(database, "before")

    def fail() -> None:
        with database.transaction() as db:
            db.execute("DELETE FROM secrets")
            insert(database, "inside")
            raise BrokenOffError

    with pytest.raises(BrokenOffError):
        fail()
    assert names(database) == ["before"]
    insert(database, "and it can be written again")
    assert len(names(database)) == 2


def test_one_within_another_is_part_of_it(database: Database) -> None:
    def inner(name: str) -> None:
        with database.transaction() as db:
            db.execute(INSERT, (name, b""))
            if name == "second":
                raise BrokenOffError

    def outer() -> None:
        with database.transaction():
            inner("first")
            inner("second")

    with pytest.raises(BrokenOffError):
        outer()
    assert names(database) == []
    with database.transaction():
        inner("first")
        with pytest.raises(BrokenOffError):
            inner("second")
    assert names(database) == ["first", "second"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_stops_a_program_stops_a_transaction(database: Database, error: type[BaseException]) -> None:
    with pytest.raises(error), database.transaction():  # noqa: PT012 - the block is the test
        insert(database, "a")
        raise error
    assert names(database) == []


def test_a_full_disk_is_told_and_leaves_what_there_was(database: Database) -> None:
    insert(database, "before")
    with database.transaction() as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError) as error, database.transaction() as db:  # noqa: PT012
        db.execute("DELETE FROM secrets")
        db.execute(INSERT, ("large", bytes(1 << 20)))
    assert str(error.value) == "matchbit.db cannot be written (database or disk is full); its disk may be full."
    assert not any(word in str(error.value) for word in JARGON)
    assert names(database) == ["before"]
    with database.transaction() as db:
        db.execute(f"PRAGMA max_page_count = {pages + 1000}")
        db.execute(INSERT, ("large", bytes(1 << 20)))
    assert names(database) == ["before", "large"]


def test_another_mistake_is_not_taken_for_a_full_disk(database: Database) -> None:
    insert(database, "a")
    with pytest.raises(sqlite3.IntegrityError):
        insert(database, "a")
    assert names(database) == ["a"]


# Threads and processes


def in_threads(*work: Callable[[], object]) -> list[BaseException]:
    errors: list[BaseException] = []
    together = threading.Barrier(len(work))

    def run(task: Callable[[], object]) -> None:
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


def test_writers_in_threads_lose_nothing(database: Database) -> None:
    def writer(k: int) -> Callable[[], object]:
        def write_some() -> None:
            for part in range(8):
                insert(database, f"{k} {part}")

        return write_some

    assert in_threads(*map(writer, range(6))) == []
    assert sorted(names(database)) == sorted(f"{k} {part}" for k in range(6) for part in range(8))


def test_who_reads_what_it_changes_is_alone_meanwhile(database: Database) -> None:
    insert(database, "counter")

    def count() -> None:
        for _ in range(5):
            with database.transaction() as db:
                (value,) = db.execute("SELECT length(value) FROM secrets").fetchone()
                db.execute("UPDATE secrets SET value = ?", (bytes(value + 1),))

    assert in_threads(*[count] * 6) == []
    assert database.read("SELECT length(value) FROM secrets") == [(len(b"value") + 30,)]


class Told(sqlite3.Connection):
    """Tells when it has asked for the log file."""

    asked = threading.Event()

    def execute(self, *statement: Any) -> sqlite3.Cursor:
        try:
            return super().execute(*statement)
        finally:
            if "journal_mode" in statement[0]:
                self.asked.set()


def test_of_several_that_make_a_database_at_once_the_second_waits(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = list[Database]()
    monkeypatch.setattr("parties.database.sqlite3.connect", partial(sqlite3.connect, factory=Told))
    with by_hand(path) as first:
        first.execute("BEGIN IMMEDIATE")
        second = threading.Thread(target=lambda: opened.append(Database(path)))
        second.start()
        assert Told.asked.wait(60)
        first.execute("COMMIT")
    second.join()
    assert len(opened) == 1


def test_of_many_that_open_an_old_database_one_updates_it(path: Path) -> None:
    with by_hand(path) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(MIGRATIONS[0])
        db.execute("PRAGMA user_version = 1")
    assert in_threads(*[lambda: Database(path)] * 6) == []
    assert names(Database(path)) == []


@pytest.mark.skipif(os.name != "posix", reason="limits of file sizes are a matter of POSIX systems")
def test_a_full_disk_keeps_deleted_bytes_in_the_log_file_and_ends_nothing(database: Database, path: Path) -> None:
    insert(database, "some " * 10_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, hard))  # the file cannot grow
    try:
        assert not database.overwrite_log()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert database.overwrite_log()
    assert names(database) == ["some " * 10_000]


def test_deleted_bytes_stay_in_the_log_file_only_while_somebody_reads(database: Database, path: Path) -> None:
    insert(database, "to be gone " * 1000)
    with by_hand(path) as reader:
        reader.execute("BEGIN")
        assert len(reader.execute(NAMES).fetchall()) == 1
        with database.transaction() as db:
            db.execute("PRAGMA busy_timeout = 0")  # do not wait for the reader
            db.execute("DELETE FROM secrets")
        assert not database.overwrite_log()
        reader.execute("COMMIT")
    assert database.overwrite_log()
    assert path.with_name(path.name + "-wal").stat().st_size == 0
    assert b"to be gone" not in path.read_bytes()
