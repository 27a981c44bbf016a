"""Which records a member has had results on, so that it can say how many are new.

Members that may bring new records without limit could try out guesses. What is kept is half of the keyed digest of each
record, sealed, at the member's own node; only a number leaves it, in the member's signed commitment.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from mpc.replicated import Array
from parties.store import Store
from parties.vault import Vault

KEPT = timedelta(days=400)
"""After that a record counts as new again."""


class KnownRecords:
    """One member's known records.

    Args:
        store: of its node.
        vault: what they are sealed with.
    """

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store, self._vault = store, vault

    def count_new(self, records: Array) -> int:
        """How many records of a list are in no session that this member has had results of.

        Args:
            records: (n,) V16: digests, as `Keys.records`.
        """
        since = (self._store.clock() - KEPT).isoformat()
        query = "SELECT session, digests FROM known_records WHERE released AND at > ?"
        new = _halves(records)
        for session, sealed in self._store.read(query, (since,)):
            new = np.setdiff1d(new, np.frombuffer(self._vault.open(sealed, session), np.uint64))
        return int(np.isin(_halves(records), new).sum())

    def keep(self, session_id: bytes, commitment: bytes, records: Array) -> None:
        """Remember the list that a commitment of this digest is on."""
        sealed = self._vault.seal(np.unique(_halves(records)).tobytes(), session_id)
        now = self._store.clock()
        with self._store.transaction() as db:
            db.execute("DELETE FROM known_records WHERE at <= ?", ((now - KEPT).isoformat(),))
            row = (session_id, commitment, sealed, now.isoformat())
            insert = "INSERT OR IGNORE INTO known_records (session, contribution, digests, at) VALUES (?, ?, ?, ?)"
            db.execute(insert, row)

    def release(self, session_id: bytes, commitment: bytes) -> None:
        """Results were had on this list: its records are not new any more; other lists of the session are forgotten."""
        with self._store.transaction() as db:
            row = (session_id, commitment)
            db.execute("UPDATE known_records SET released = 1 WHERE session = ? AND contribution = ?", row)
            db.execute("DELETE FROM known_records WHERE session = ? AND contribution != ?", row)


def _halves(records: Array) -> Array:
    """(n,) uint64: the first half of each digest, which is enough to count by."""
    halves: Array = np.ascontiguousarray(records).view(np.uint64).reshape(-1, 2)[:, 0]
    return halves
