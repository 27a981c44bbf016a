"""A node's SQLite file: write-ahead logging, one connection for each thread, migrations by version number.

Deleted pages are overwritten.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from parties.errors import ConfigError, StorageError
from parties.schema import MIGRATIONS

BUSY_S = 60.0
"""How long a writer waits for others, of this process and of others."""


class Database:
    """One node's database.

    Args:
        path: the SQLite file, made if missing, readable by its owner alone.

    Raises:
        ConfigError: it cannot be opened, or was written by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._writing = threading.Lock()  # SQLite's own makes those who wait sleep longer and longer, in no order
        try:
            if not path.exists():  # closing any other descriptor of it would drop the locks of this process
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._migrate()
        except (OSError, sqlite3.DatabaseError, StorageError) as error:
            raise ConfigError(f"Cannot open the database {path}: {error}.") from None

    @property
    def _connection(self) -> sqlite3.Connection:
        if not hasattr(self._local, "connection"):
            connection = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)
            _keep_log(connection)
            for pragma in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
                connection.execute(f"PRAGMA {pragma}")
            self._local.connection = connection
        connection = self._local.connection
        assert isinstance(connection, sqlite3.Connection)  # noqa: S101 - set above
        return connection

    def _migrate(self) -> None:
        with self.transaction() as db:  # of several processes that open a database at once, one does it
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > len(MIGRATIONS):
                raise ConfigError(f"{self.path} was written by a newer Matchbit; update this one.")
            for number in range(version, len(MIGRATIONS)):
                for statement in MIGRATIONS[number].split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {number + 1}")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: all of it happens or nothing. One within another is part of that one.

        Raises:
            StorageError: the database cannot be written.
        """
        connection = self._connection
        if connection.in_transaction:
            yield connection
            return
        if not self._writing.acquire(timeout=BUSY_S):
            raise StorageError(f"{self.path.name} is being written by others for too long; try again.")
        try:
            yield from self._transaction(connection)
        finally:
            self._writing.release()

    def _transaction(self, connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise StorageError(f"{self.path.name} cannot be written ({error}); its disk may be full.") from error
            raise

    def read(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        """All rows that a query finds."""
        return self._connection.execute(query, values).fetchall()

    def overwrite_log(self) -> bool:
        """Write the log file's pages back and empty it; whether no reader of another process was in the way."""
        try:
            return not self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.OperationalError:  # the file cannot grow by what is in the log
            return False


def _keep_log(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging, which a file keeps.

    Where another connection makes the database just now, SQLite gives up at once instead of waiting: see
    https://sqlite.org/c3ref/busy_handler.html. So this waits for its turn to write, and tries again.
    """
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("COMMIT")
