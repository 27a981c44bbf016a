"""Nodes with logs, for the tests of the audit log and what reads it."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from parties.audit import Entry, Event, Fact, Head, Log
from parties.auditfile import Export
from parties.database import Database
from parties.manifest import sign
from parties.verdict import Keys
from tests.parties.samples import NOW, manifest

TERMS = manifest()
ID = TERMS.session_id
DIGEST = "0123456789abcdef" * 4
COUNTS: Mapping[str, Fact] = {"records": 1_000, "new_records": 200, "keys": 1_950, "commitment": DIGEST}
LIFE: tuple[tuple[Event, Mapping[str, Fact]], ...] = (
    (Event.PROPOSED, {"coordinator": "hub", "title": TERMS.title}),
    (Event.POLICY, {"decision": "ask a person", "reasons": ["agency-c is new", "a long list"]}),
    (Event.CONSENTED, {"person": "Olha K."}),
    (Event.APPROVED, {"name": "agency-a"}),
    (Event.RECEIVED, {"member": "agency-b", **COUNTS}),
    (Event.ATTEMPT, {"attempt": 1, "contributions": DIGEST, "members": ["agency-a", "agency-b"]}),
    (Event.COMPUTED, {"attempt": 1, "group_sizes": [3_700, 100], "seconds": 4}),
    (Event.RELEASED, {"attempt": 1}),
    (Event.FETCHED, {"member": "agency-b"}),
    (Event.DELETED, {"reason": "the agreed retention ended."}),
)
"""A session as a committee node lives it."""


class Clock:
    """A second later each time."""

    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def __call__(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


class Node:
    """A node with a log of its own, in a real database."""

    def __init__(self, name: str, folder: Path, key: Ed25519PrivateKey | None = None) -> None:
        self.name, self.key = name, key or Ed25519PrivateKey.generate()
        self.clock = Clock()
        self.log = Log(name, self.key, self.clock)
        self.database = Database(folder / f"{name}.db")

    def live(self, events: Iterable[tuple[Event, Mapping[str, Fact]]] = LIFE, session: bytes = ID) -> list[Entry]:
        """Log these events."""
        with self.database.transaction() as db:
            return [self.log.append(db, session, event, facts) for event, facts in events]

    def entries(self, session: bytes = ID) -> list[Entry]:
        """The log of a session."""
        with self.database.transaction() as db:
            return self.log.entries(db, session)

    def head(self, session: bytes = ID) -> Head:
        """How the log stands."""
        with self.database.transaction() as db:
            head = self.log.head(db, session)
        assert head is not None
        return head

    def hear(self, *heads: Head) -> None:
        """Keep what others state."""
        with self.database.transaction() as db:
            self.log.add_heads(db, heads)

    def held(self, session: bytes = ID) -> list[Head]:
        """What others have stated."""
        query = "SELECT node, number, hash, signature FROM heads WHERE session = ? ORDER BY node, number, rowid"
        return [Head(node, session, n, digest, s) for node, n, digest, s in self.database.read(query, (session,))]

    def approval(self) -> bytes:
        """This node's signature on the terms."""
        return sign(self.key, ID, self.name)

    def export(self, session: bytes = ID, approvals: Mapping[str, bytes] | None = None) -> Export:
        """What the node hands on."""
        terms = TERMS.to_bytes() if session == ID else b""
        return Export(self.name, session, terms, approvals or {}, self.entries(session), self.held(session))

    def tamper(self, statement: str, *values: object) -> None:
        """What somebody does to the file who has it, but not the node's program."""
        with self.database.transaction() as db:
            assert db.execute(statement, values).rowcount > 0


def keys(*nodes: Node) -> Keys:
    """What a federation pins."""
    return {node.name: node.key.public_key() for node in nodes}
