"""A node's state in SQLite: sessions, signatures, receipts, shares waiting to be computed, results not yet fetched.

Write-ahead logging, one connection for each thread, migrations by version number. Deleted pages are overwritten.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mpc.channel import MAX_MESSAGE_BYTES
from parties.errors import ConfigError, SessionRefused, StorageError
from parties.identity import utc_now
from parties.lifecycle import MEANING, Event, State, after
from parties.manifest import Manifest, from_bytes
from parties.schema import MIGRATIONS


@dataclass(frozen=True)
class SessionRecord:
    """A session as this node knows it."""

    manifest: Manifest
    state: State
    reason: str
    attempt: int
    signatures: dict[str, bytes]

    @property
    def id(self) -> bytes:
        """32 bytes."""
        return self.manifest.session_id


@dataclass(frozen=True)
class Receipt:
    """A committee node's signed statement that it holds a member's shares; see session.proto."""

    session_id: bytes
    member: str
    node: str
    rows: int
    digests: tuple[bytes, bytes]
    signature: bytes = b""

    def signed_bytes(self) -> bytes:
        """What the signature is over."""
        head = f"matchbit.v1 receipt\0{self.member}\0{self.node}\0{self.rows}\0".encode()
        return head + self.session_id + self.digests[0] + self.digests[1]

    def with_signature(self, signature: bytes) -> Receipt:
        """The same, signed."""
        return replace(self, signature=signature)


@dataclass(frozen=True)
class StoredContribution:
    """What a committee node holds of a member's contribution; `upload` owns the chunks of the whole component."""

    member: str
    upload: bytes
    rows: int
    seeds: tuple[bytes, bytes]
    digests: tuple[bytes, bytes]


class Store:
    """One node's database.

    Args:
        path: the SQLite file, made if missing, readable by its owner alone.

    Raises:
        ConfigError: it cannot be opened, or was written by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._migrate()
        except (OSError, sqlite3.DatabaseError, StorageError) as error:
            raise ConfigError(f"Cannot open the database {path}: {error}.") from None

    @property
    def _connection(self) -> sqlite3.Connection:
        if not hasattr(self._local, "connection"):
            connection = sqlite3.connect(self._path, timeout=60, isolation_level=None)
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
                connection.execute(f"PRAGMA {pragma}")
            self._local.connection = connection
        connection = self._local.connection
        assert isinstance(connection, sqlite3.Connection)  # noqa: S101 - set above
        return connection

    def _migrate(self) -> None:
        with self.transaction() as db:  # of several processes that open a database at once, one does it
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > len(MIGRATIONS):
                raise ConfigError(f"{self._path} was written by a newer Matchbit; update this one.")
            for number in range(version, len(MIGRATIONS)):
                for statement in MIGRATIONS[number].split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {number + 1}")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: all of it happens or nothing."""
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise StorageError(f"{self._path} cannot be written ({error}): is the disk full?") from error
            raise

    def read(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        """All rows that a query finds."""
        return self._connection.execute(query, values).fetchall()

    def overwrite_log(self) -> bool:
        """Write the log file's pages back and empty it; whether no reader of another process was in the way."""
        return not self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]

    # Sessions

    def add_session(
        self, manifest: Manifest, state: State, signatures: Mapping[str, bytes] = MappingProxyType({})
    ) -> None:
        """Remember a session and its checked approvals; one that is known already stays as it is."""
        session_id = manifest.session_id
        row = (session_id, manifest.to_bytes(), state.value, utc_now().isoformat())
        with self.transaction() as db:
            insert = "INSERT OR IGNORE INTO sessions (id, manifest, state, created) VALUES (?, ?, ?, ?)"
            if db.execute(insert, row).rowcount:
                signed = [(session_id, name, signature) for name, signature in signatures.items()]
                db.executemany("INSERT INTO signatures VALUES (?, ?, ?)", signed)
                approved = f", approved by {', '.join(signatures)}" if signatures else ""
                self._log(db, session_id, f"{state.value}{approved}")

    def session(self, session_id: bytes) -> SessionRecord | None:
        """The session, or None."""
        query = "SELECT manifest, state, reason, attempt FROM sessions WHERE id = ?"
        row = self._connection.execute(query, (session_id,)).fetchone()
        if row is None:
            return None
        query = "SELECT name, signature FROM signatures WHERE session = ?"
        signatures = dict(self._connection.execute(query, (session_id,)).fetchall())
        return SessionRecord(from_bytes(row[0]), State(row[1]), row[2], row[3], signatures)

    def get(self, session_id: bytes) -> SessionRecord:
        """The session.

        Raises:
            SessionRefused: it is unknown here.
        """
        record = self.session(session_id)
        if record is None:
            raise SessionRefused(f"No session {session_id[:8].hex()} is known here; see `matchbit session list`.")
        return record

    def session_ids(self, prefix: bytes = b"") -> list[bytes]:
        """All sessions whose id begins so, newest first."""
        query = "SELECT id FROM sessions WHERE substr(id, 1, ?) = ? ORDER BY created DESC, rowid DESC"
        return [row[0] for row in self._connection.execute(query, (len(prefix), prefix))]

    def change(self, session_id: bytes, event: Event, reason: str = "") -> State:
        """Take a session to its next state, and log it.

        Raises:
            SessionRefused: the event cannot happen in the session's state.
        """
        with self.transaction() as db:
            row = db.execute("SELECT state FROM sessions WHERE id = ?", (session_id,)).fetchone()
            state = after(State(row[0]), event)
            attempt = 1 if event in (Event.RUN, Event.RETRY) else 0
            update = "UPDATE sessions SET state = ?, reason = ?, attempt = attempt + ? WHERE id = ?"
            db.execute(update, (state.value, reason, attempt, session_id))
            self._log(db, session_id, event.value + (f": {reason}" if reason else ""))
        return state

    def set_attempt(self, session_id: bytes, attempt: int) -> None:
        """Begin an attempt that the coordinator numbered; results of an earlier one are deleted.

        Raises:
            SessionRefused: this number or a later one has been used, or the session is over.
        """
        with self.transaction() as db:
            row = db.execute("SELECT state, attempt FROM sessions WHERE id = ?", (session_id,)).fetchone()
            if State(row[0]) not in (State.APPROVED, State.RUNNING, State.ABORTED, State.DONE):
                raise SessionRefused(f"The session {MEANING[State(row[0])]}, so it cannot be run.")
            if row[1] >= attempt:
                raise SessionRefused(f"Attempt {attempt} of this session has been used already.")
            self._delete(db, session_id, "results", "chunks")
            update = "UPDATE sessions SET state = ?, reason = '', attempt = ? WHERE id = ?"
            db.execute(update, (State.RUNNING.value, attempt, session_id))
            self._log(db, session_id, f"attempt {attempt} began")

    def seal(self, session_id: bytes) -> None:
        """Take no other contributions: group sizes may be opened from here on, and another list would open others."""
        with self.transaction() as db:
            db.execute("UPDATE sessions SET sealed = 1 WHERE id = ?", (session_id,))

    def log(self, session_id: bytes, event: str) -> None:
        """Add an entry to the node's log of events; never with record values, keys or shares."""
        with self.transaction() as db:
            self._log(db, session_id, event)

    def _log(self, db: sqlite3.Connection, session_id: bytes, event: str) -> None:
        row = (utc_now().isoformat(), session_id, event)
        db.execute("INSERT INTO audit (at, session, event) VALUES (?, ?, ?)", row)

    def events(self, session_id: bytes) -> list[tuple[str, str]]:
        """(time, event) of all that was logged of a session."""
        query = "SELECT at, event FROM audit WHERE session = ? ORDER BY number"
        return self._connection.execute(query, (session_id,)).fetchall()

    # Signatures and receipts

    def add_signature(self, session_id: bytes, name: str, signature: bytes) -> None:
        """Remember a checked approval."""
        with self.transaction() as db:
            row = (session_id, name, signature)
            db.execute("INSERT OR REPLACE INTO signatures VALUES (?, ?, ?)", row)
            self._log(db, session_id, f"{name} approved")

    def add_receipts(self, receipts: Sequence[Receipt]) -> None:
        """Remember checked receipts, in place of earlier ones of the same member."""
        with self.transaction() as db:
            for r in receipts:
                row = (r.session_id, r.member, r.node, r.rows, *r.digests, r.signature)
                db.execute("INSERT OR REPLACE INTO receipts VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            self._log(db, receipts[0].session_id, f"{receipts[0].member} contributed {receipts[0].rows} keys")

    def contributed(self, session_id: bytes) -> dict[str, int]:
        """Number of keys of each member that has shown receipts."""
        return {r.member: r.rows for r in self.receipts(session_id)}

    def receipts(self, session_id: bytes) -> list[Receipt]:
        """All receipts of a session."""
        query = "SELECT session, member, node, rows, digest_a, digest_b, signature FROM receipts WHERE session = ?"
        rows = self._connection.execute(query, (session_id,))
        return [Receipt(s, member, node, n, (a, b), signature) for s, member, node, n, a, b, signature in rows]

    # Shares and results

    def add_chunk(self, owner: bytes, part: int, body: bytes) -> None:
        """Keep one piece of an upload or a result under its owner's id."""
        with self.transaction() as db:
            db.execute("INSERT INTO chunks VALUES (?, ?, ?)", (owner, part, body))

    def chunks(self, owner: bytes) -> Iterator[bytes]:
        """The pieces, in order; read one by one, since an open read would keep deleted bytes in the log file."""
        query = "SELECT part, body FROM chunks WHERE owner = ? AND part > ? ORDER BY part LIMIT 1"
        part = -1
        while rows := self._connection.execute(query, (owner, part)).fetchall():
            part, body = rows[0]
            yield body

    def drop_chunks(self, owner: bytes) -> None:
        """Delete an upload that was not finished."""
        with self.transaction() as db:
            db.execute("DELETE FROM chunks WHERE owner = ?", (owner,))

    def add_contribution(self, session_id: bytes, c: StoredContribution) -> None:
        """Make a finished upload the member's contribution; an earlier one is deleted.

        Raises:
            SessionRefused: the session is being computed or over.
        """
        with self.transaction() as db:
            query = "SELECT state, sealed FROM sessions WHERE id = ?"
            state, sealed = db.execute(query, (session_id,)).fetchone()
            if State(state) not in (State.APPROVED, State.READY, State.ABORTED):
                raise SessionRefused("The session is being computed or over; contributions are closed.")
            if sealed:
                raise SessionRefused("The lists of this session have been compared; they cannot be changed any more.")
            key = (session_id, c.member)
            old = "SELECT upload FROM contributions WHERE session = ? AND member = ?"
            db.execute(f"DELETE FROM chunks WHERE owner IN ({old})", key)  # noqa: S608 - a constant query
            row = (*key, c.upload, c.rows, *c.seeds, *c.digests)
            db.execute("INSERT OR REPLACE INTO contributions VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            self._log(db, session_id, f"received {c.rows} keys of {c.member}")

    def contributions(self, session_id: bytes) -> dict[str, StoredContribution]:
        """All contributions of a session, by member."""
        query = "SELECT member, upload, rows, seed_a, seed_b, digest_a, digest_b FROM contributions WHERE session = ?"
        rows = self._connection.execute(query, (session_id,))
        return {m: StoredContribution(m, upload, n, (sa, sb), (da, db)) for m, upload, n, sa, sb, da, db in rows}

    def add_results(self, session_id: bytes, attempt: int, parts: dict[str, bytes], event: str) -> None:
        """Keep this node's part of every member's result and end the run, all at once.

        Raises:
            SessionRefused: the attempt is no longer the session's.
        """
        with self.transaction() as db:
            row = db.execute("SELECT state, attempt FROM sessions WHERE id = ?", (session_id,)).fetchone()
            if row[1] != attempt:
                raise SessionRefused(f"Attempt {attempt} has been replaced by attempt {row[1]}.")
            for member, part in parts.items():
                owner = os.urandom(16)
                db.execute("INSERT INTO results VALUES (?, ?, ?)", (session_id, member, owner))
                for number, start in enumerate(range(0, len(part), MAX_MESSAGE_BYTES)):
                    body = part[start : start + MAX_MESSAGE_BYTES]
                    db.execute("INSERT INTO chunks VALUES (?, ?, ?)", (owner, number, body))
            update = "UPDATE sessions SET state = ? WHERE id = ?"
            db.execute(update, (after(State(row[0]), Event.FINISH).value, session_id))
            self._log(db, session_id, event)

    def result(self, session_id: bytes, member: str) -> Iterator[bytes] | None:
        """The pieces of this node's part of a member's result, or None."""
        query = "SELECT chunks FROM results WHERE session = ? AND member = ?"
        row = self._connection.execute(query, (session_id, member)).fetchone()
        return None if row is None else self.chunks(row[0])

    def delete_shares(self, session_id: bytes, event: Event, reason: str) -> None:
        """Delete a session's shares and results, overwrite their pages, and take the session to its end."""
        with self.transaction() as db:
            self._delete(db, session_id, "contributions", "upload")
            self._delete(db, session_id, "results", "chunks")
            row = db.execute("SELECT state FROM sessions WHERE id = ?", (session_id,)).fetchone()
            state = after(State(row[0]), event).value
            db.execute("UPDATE sessions SET state = ?, reason = ? WHERE id = ?", (state, reason, session_id))
            self._log(db, session_id, f"shares and results deleted: {reason}")
        if not self.overwrite_log():
            self.log(session_id, "pages of deleted shares are overwritten when the node is started again")

    def _delete(self, db: sqlite3.Connection, session_id: bytes, table: str, column: str) -> None:
        """Delete a session's rows of a table, and the chunks that its column owns."""
        owners = f"SELECT {column} FROM {table} WHERE session = ?"  # noqa: S608 - constant names
        db.execute(f"DELETE FROM chunks WHERE owner IN ({owners})", (session_id,))  # noqa: S608
        db.execute(f"DELETE FROM {table} WHERE session = ?", (session_id,))  # noqa: S608

    def recover(self, reason: str) -> None:
        """After a restart: end runs that were cut off, and delete uploads that were not finished."""
        for session_id in self.session_ids():
            if self.get(session_id).state is State.RUNNING:
                self.change(session_id, Event.ABORT, reason)
        with self.transaction() as db:
            owned = "SELECT upload FROM contributions UNION SELECT chunks FROM results"
            db.execute(f"DELETE FROM chunks WHERE owner NOT IN ({owned})")  # noqa: S608 - a constant query
