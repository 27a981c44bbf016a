"""What a committee node keeps for members, sealed: their shares until they are computed on, its parts of their results.

An upload arrives in chunks and can be continued after a lost connection. A member's newest two that are complete are
kept until one is computed on: a second one that reaches this node but not the others does not replace the first.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.constant_time import bytes_eq

from mpc.channel import MAX_MESSAGE_BYTES
from parties import audit
from parties.contribution import SEED_BYTES
from parties.errors import SessionRefused, StorageError
from parties.lifecycle import Event
from parties.statements import Commitment, Completion
from parties.store import Store
from parties.vault import NONCE_BYTES, TAG_BYTES, Vault

KEPT_UPLOADS = 2
RESERVE_BYTES = 512 << 20
"""Of the node's disk, which uploads do not fill: for results, logs, and everything else on it."""
MOST_BLOCK_SIZES = 200
"""So many sizes of groups that share a blocking key are logged one by one."""
REPLACED = "This upload has been replaced or ended by another one."


@dataclass(frozen=True, repr=False)
class Upload:
    """What a member has sent.

    Attributes:
        id: owns the chunks of the component that travels whole.
        commitment: the member's signed statement on it.
        seeds: of this node's components; secret.
        complete: whether all of it has arrived and fits the commitment.
    """

    id: bytes
    commitment: Commitment
    seeds: tuple[bytes, ...] = field(repr=False)
    complete: bool


class Shares:
    """The uploads and results of a committee node.

    Args:
        store: of the node.
        vault: what they are sealed with.
    """

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store, self._vault = store, vault

    # Uploads

    def open_upload(self, commitment: Commitment, seeds: tuple[bytes, ...], due_bytes: int) -> Upload:
        """The upload that a commitment is on: the one that was begun, or a new one if so many bytes have room."""
        session_id, member = commitment.session_id, commitment.name
        with self._store.transaction() as db:
            found = self.upload(session_id, member, commitment.digest)
            if found is not None and (found.complete or bytes_eq(b"".join(found.seeds), b"".join(seeds))):
                return found
            if found is not None:
                self._drop(db, found.id)
            self._check_room(due_bytes)
            upload = Upload(os.urandom(16), commitment, seeds, complete=False)
            sealed = self._vault.seal(b"".join(seeds), upload.id)
            row = (upload.id, session_id, member, commitment.digest, commitment.to_text(), sealed)
            insert = "INSERT INTO uploads (id, session, member, commitment, statement, seeds) VALUES (?, ?, ?, ?, ?, ?)"
            db.execute(insert, row)
            query = "SELECT id FROM uploads WHERE session = ? AND member = ? AND NOT complete AND id != ?"
            for (old,) in db.execute(query, (session_id, member, upload.id)).fetchall():
                self._drop(db, old)
        return upload

    def upload(self, session_id: bytes, member: str, commitment: bytes) -> Upload | None:
        """The upload to a commitment of this digest, if there is one."""
        query = "SELECT id, statement, seeds, complete FROM uploads WHERE session = ? AND member = ? AND commitment = ?"
        rows = self._store.read(query, (session_id, member, commitment))
        return self._upload(*rows[0]) if rows else None

    def _upload(self, upload: bytes, statement: str, sealed: bytes, complete: int) -> Upload:
        opened = self._vault.open(sealed, upload)
        seeds = tuple(opened[start : start + SEED_BYTES] for start in range(0, len(opened), SEED_BYTES))
        return Upload(upload, Commitment.from_text(statement), seeds, bool(complete))

    def received_bytes(self, upload: Upload) -> int:
        """How much of the component that travels whole has arrived."""
        query = "SELECT coalesce(sum(length(body)) - count(*) * ?, 0) FROM chunks WHERE owner = ?"
        return int(self._store.read(query, (NONCE_BYTES + TAG_BYTES, upload.id))[0][0])

    def add_chunk(self, upload: Upload, part: int, body: bytes) -> None:
        """Keep the next piece of an upload."""
        self._check_room(len(body))
        with self._store.transaction() as db:
            if not db.execute("SELECT 1 FROM uploads WHERE id = ? AND NOT complete", (upload.id,)).fetchone():
                raise SessionRefused(REPLACED)
            try:
                self._add(db, upload.id, part, body)
            except sqlite3.IntegrityError:  # this chunk is there: somebody else goes on with the upload
                raise SessionRefused(REPLACED) from None

    def _check_room(self, more_bytes: int) -> None:
        """Leave room on the disk for results and logs, whatever members upload."""
        if shutil.disk_usage(self._store.path.parent).free < more_bytes + RESERVE_BYTES:
            raise StorageError(
                "There is no room for this upload on the disk of the node that was called; its operator must make some."
            )

    def finish_upload(self, upload: Upload) -> None:
        """All has arrived, and fits."""
        with self._store.transaction() as db:
            found = db.execute("SELECT complete FROM uploads WHERE id = ?", (upload.id,)).fetchone()
            if found is None:
                raise SessionRefused(REPLACED)
            if found[0]:  # by another call at the same time
                return
            db.execute("UPDATE uploads SET complete = 1 WHERE id = ?", (upload.id,))
            c = upload.commitment
            query = "SELECT id FROM uploads WHERE session = ? AND member = ? AND complete ORDER BY rowid DESC"
            for (old,) in db.execute(query, (c.session_id, c.name)).fetchall()[KEPT_UPLOADS:]:
                self._drop(db, old)
            self._store.log(c.session_id, audit.Event.RECEIVED, **c.facts())

    def drop_upload(self, upload: Upload) -> None:
        """Delete what does not fit its commitment."""
        with self._store.transaction() as db:
            self._drop(db, upload.id)

    def choose(self, session_id: bytes, commitments: Mapping[str, bytes]) -> None:
        """Keep the uploads to these commitments, digests by member, and no others: they are being computed on."""
        with self._store.transaction() as db:
            query = "SELECT id, member, commitment FROM uploads WHERE session = ?"
            for upload, member, commitment in db.execute(query, (session_id,)).fetchall():
                if commitments.get(member) != commitment:
                    self._drop(db, upload)

    def uploads(self, session_id: bytes) -> dict[str, Upload]:
        """The complete uploads of a session by member; the newest where a member has two."""
        query = "SELECT id, statement, seeds, complete FROM uploads WHERE session = ? AND complete ORDER BY rowid"
        found = (self._upload(*row) for row in self._store.read(query, (session_id,)))
        return {upload.commitment.name: upload for upload in found}

    # Chunks

    def _add(self, db: sqlite3.Connection, owner: bytes, part: int, body: bytes) -> None:
        sealed = self._vault.seal(body, _place(owner, part))
        db.execute("INSERT INTO chunks VALUES (?, ?, ?)", (owner, part, sealed))

    def chunks(self, owner: bytes) -> Iterator[bytes]:
        """The pieces, in order; read one by one, since an open read would keep deleted bytes in the log file."""
        query = "SELECT part, body FROM chunks WHERE owner = ? AND part > ? ORDER BY part LIMIT 1"
        part = -1
        while rows := self._store.read(query, (owner, part)):
            part, body = rows[0]
            yield self._vault.open(body, _place(owner, part))

    def _drop(self, db: sqlite3.Connection, upload: bytes) -> None:
        db.execute("DELETE FROM chunks WHERE owner = ?", (upload,))
        db.execute("DELETE FROM uploads WHERE id = ?", (upload,))

    # Results

    def add_results(
        self,
        completion: Completion,
        parts: Mapping[str, bytes],
        group_sizes: list[int],
        phases: Mapping[str, float],
        block_sizes: Sequence[int] = (),
    ) -> None:
        """Keep this node's part of every member's result, and its statement that it has them, all at once.

        Raises:
            SessionRefused: the attempt is no longer the session's, or no longer runs.
        """
        session_id = completion.session_id
        with self._store.transaction() as db:
            attempt = self._store.get(session_id).attempt
            if attempt != completion.attempt:
                raise SessionRefused(f"Attempt {completion.attempt} has been replaced by attempt {attempt}.")
            seconds = round(sum(phases.values()))
            entry = audit.Event.COMPUTED
            self._store.change(
                session_id, Event.COMPUTE, entry, attempt=attempt, group_sizes=group_sizes, seconds=seconds
            )
            if block_sizes:
                sizes = folded(block_sizes, MOST_BLOCK_SIZES)
                self._store.log(session_id, audit.Event.BLOCKS, attempt=attempt, block_sizes=sizes)
            self._store.add_statement(completion)
            for member, part in parts.items():
                owner = os.urandom(16)
                db.execute("INSERT INTO results VALUES (?, ?, ?)", (session_id, member, owner))
                for number, start in enumerate(range(0, len(part), MAX_MESSAGE_BYTES)):
                    self._add(db, owner, number, part[start : start + MAX_MESSAGE_BYTES])

    def result(self, session_id: bytes, member: str) -> Iterator[bytes] | None:
        """The pieces of this node's part of a member's result, or None."""
        rows = self._store.read("SELECT chunks FROM results WHERE session = ? AND member = ?", (session_id, member))
        return self.chunks(rows[0][0]) if rows else None

    # Deletion

    def drop_results(self, session_id: bytes) -> None:
        """Delete the results of an attempt that was not released."""
        with self._store.transaction() as db:
            _delete(db, session_id, "results", "chunks")

    def delete(self, session_id: bytes, event: Event, reason: str) -> None:
        """Delete a session's shares and results, overwrite their pages, and take the session to its end."""
        with self._store.transaction() as db:
            _delete(db, session_id, "uploads", "id")
            _delete(db, session_id, "results", "chunks")
            self._store.change(session_id, event, audit.Event.DELETED, reason, reason=reason)
        if not self._store.overwrite_log():
            self._store.log(session_id, audit.Event.OVERWRITTEN_LATER)

    def recover(self) -> None:
        """After a restart: delete chunks that nothing owns."""
        with self._store.transaction() as db:
            owned = "SELECT id FROM uploads UNION SELECT chunks FROM results"
            db.execute(f"DELETE FROM chunks WHERE owner NOT IN ({owned})")  # noqa: S608 - a constant query


def folded(sizes: Sequence[int], most: int) -> list[int]:
    """No more sizes than an entry of the log is to have: those of larger groups are added up."""
    return [*sizes[:most], sum(sizes[most:])] if len(sizes) > most else [*sizes]


def _place(owner: bytes, part: int) -> bytes:
    """What a sealed chunk is bound to: it opens nowhere else."""
    return owner + part.to_bytes(8, "big")


def _delete(db: sqlite3.Connection, session_id: bytes, table: str, column: str) -> None:
    """Delete a session's rows of a table, and the chunks that its column owns."""
    owners = f"SELECT {column} FROM {table} WHERE session = ?"  # noqa: S608 - constant names
    db.execute(f"DELETE FROM chunks WHERE owner IN ({owners})", (session_id,))  # noqa: S608
    db.execute(f"DELETE FROM {table} WHERE session = ?", (session_id,))  # noqa: S608
