"""The audit log: what happened at a node in each session, in entries that are chained by hashes and signed.

An entry tells one event by its facts: numbers, names of nodes, digests, and reasons in words; never anything of a
record. It holds the hash of the entry before it, so that none can be changed, left out or moved without changing all
that follow. Parties exchange heads, signed statements of how their logs stand: a node that rewrites its own log, which
it has the key to, contradicts what it has signed and others hold. That another node stated a head is an entry itself,
so the logs of all parties hold each other in place.

Sources: B. Schneier, J. Kelsey, "Secure audit logs to support computer forensics", ACM TISSEC 2 (1999), the chain;
P. Maniatis, M. Baker, "Secure history preservation through timeline entanglement", USENIX Security 2002, the heads.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from functools import cached_property
from string import Formatter
from types import MappingProxyType
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from parties.errors import AuditError, StorageError, line
from parties.manifest import NAME
from parties.signatures import Verifier

NOTHING = bytes(32)
"""Stands for the entry before the first."""
NODE = b""
"""Stands in a session's place for what happens to the node itself."""
MAX_TEXT_CHARS = 1000
MAX_ITEMS = 2000
"""Of a list among the facts."""
MAX_HEADS = 1000
"""So many statements of one node on its log of one session are kept; an honest one makes a few dozen."""
Fact = str | int | list[str] | list[int]
NO_FACTS: Mapping[str, Fact] = MappingProxyType({})


@dataclass(frozen=True)
class _Kind:
    """What a fact may be, and how people read it."""

    fits: Callable[[Any], bool]
    shown: Callable[[Any], str]


def _several(kind: _Kind, nothing: str = "none") -> _Kind:
    return _Kind(
        lambda v: isinstance(v, list) and len(v) <= MAX_ITEMS and all(map(kind.fits, v)),
        lambda v: ", ".join(map(kind.shown, v)) or nothing,
    )


_NAME = _Kind(lambda v: isinstance(v, str) and NAME.fullmatch(v) is not None, str)
_NUMBER = _Kind(lambda v: type(v) is int and 0 <= v < 1 << 63, "{:,}".format)
_DIGEST = _Kind(lambda v: isinstance(v, str) and re.fullmatch("[0-9a-f]{64}", v) is not None, lambda v: v[:16])
_TEXT = _Kind(lambda v: isinstance(v, str) and len(v) <= MAX_TEXT_CHARS and v.isprintable(), lambda v: v.rstrip(" ."))
_TEXTS = _several(_TEXT)
_KINDS = {
    **dict.fromkeys(("name", "node", "member", "coordinator"), _NAME),
    **dict.fromkeys(("records", "new_records", "keys", "rows", "attempt", "seconds", "number"), _NUMBER),
    **dict.fromkeys(("commitment", "contributions", "hash", "certificate", "policy"), _DIGEST),
    **dict.fromkeys(("title", "person", "reason", "decision", "version", "made"), _TEXT),
    **dict.fromkeys(("members", "names"), _several(_NAME)),
    **dict.fromkeys(("group_sizes", "block_sizes"), _several(_NUMBER, "not opened")),
    "reasons": _TEXTS,
}
"""Every fact that an entry may have: no others, so that nothing of a record slips in."""


class Event(Enum):
    """What can be logged: its sentence for people, which names the facts that it has."""

    PROPOSED = "{coordinator} proposed the terms of '{title}'."
    POLICY = "This node's policy decided: {decision}; reasons: {reasons}."
    CONSENTED = "{person} consented for this node."
    APPROVED = "{name} approved the terms."
    APPROVALS = "{names} approved the terms."
    """What a node hears at once is one entry: else every log of a session of a thousand had a thousand of them."""
    REFUSED = "{name} refused the terms: {reason}."
    EXPIRED = "The session expired: the agreed date has passed."
    CONTRIBUTED = (
        "{member} contributed {records} records, {new_records} of them new, as {keys} keys (commitment {commitment})."
    )
    RECEIVED = (
        "This node received shares of {member}: {records} records, {new_records} of them new, {keys} keys "
        "(commitment {commitment})."
    )
    ATTEMPT = "Attempt {attempt} began, on the contributions of {members} (digest {contributions})."
    COMPUTED = "Attempt {attempt} was computed in {seconds} seconds; keys held by 1, 2, 3 … members: {group_sizes}."
    BLOCKS = "In attempt {attempt}, blocking keys were shared by 1, 2, 3 … records: {block_sizes}."
    RELEASED = "The results of attempt {attempt} were released to all members."
    ABORTED = "Attempt {attempt} was stopped: {reason}."
    FETCHED = "{member} fetched this node's part of its result."
    GOT_RESULT = "This node got its own result, on {rows} rows."
    """Not how many of them matched: the log may be shown to others."""
    DELETED = "This node deleted its shares and results: {reason}."
    OVERWRITTEN_LATER = "Pages of deleted shares are overwritten when this node is started again."
    DELETION_TOLD = "{name} stated that it deleted its shares and results."
    FORGOT = "This node deleted its private copy of the list that it had contributed."
    CLOSED = "The session was closed."
    HEAD = "{node} stated that entry {number} of its log is {hash}."
    CONTRADICTION = (
        "{node} signed two different statements on entry {number} of its log: it rewrote its log, or restored it from "
        "a backup."
    )
    STARTED = "Matchbit {version} was started."
    STOPPED = "Matchbit was stopped."
    RECOVERED = "This node was started again and took up what had been cut off."
    BACKED_UP = "A backup of this node was made."
    RESTORED = "This node was restored from a backup of {made}; what it had logged since then is lost."
    ROTATED = "This node began to use the certificate {certificate}."
    POLICY_CHANGED = "This node's policy was changed (digest {policy})."

    @property
    def code(self) -> str:
        """As it stands in an entry."""
        return self.name.lower()

    def checked(self, facts: Mapping[str, Any]) -> dict[str, Fact]:
        """The facts of an entry; texts are made one printable line.

        Raises:
            ValueError: they are not this event's, or not what facts may be.
        """
        wanted = {name for _, name, _, _ in Formatter().parse(self.value) if name}
        if set(facts) != wanted:
            raise ValueError(f"{self.code} must have the facts {sorted(wanted)}, not {sorted(facts)}")
        lines = {name: _line(value) if _KINDS[name] in (_TEXT, _TEXTS) else value for name, value in facts.items()}
        wrong = [name for name, value in lines.items() if not _KINDS[name].fits(value)]
        if wrong:
            raise ValueError(f"{self.code}: {wrong} are not what these facts may be")
        return lines


def facts_of(value: Any) -> dict[str, Fact]:
    """The facts of an entry that was written anywhere: of whatever event, but flat.

    Raises:
        ValueError: they cannot be facts.
    """
    items = list(value.values()) if isinstance(value, dict) else [None]
    if not all(isinstance(item, str | int) for fact in items for item in (fact if isinstance(fact, list) else [fact])):
        raise ValueError("not what facts may be")
    return dict(value)


def _line(text: Any) -> Any:
    """A text, or several, without line breaks and whatever else a terminal obeys; reasons may come from a peer."""
    match text:
        case str():
            return line(text, MAX_TEXT_CHARS)
        case list():
            return [_line(t) for t in text]
        case _:
            return text


@dataclass(frozen=True)
class Entry:
    """One event in a node's log.

    Attributes:
        node: whose log.
        session: 32 bytes, or `NODE`.
        number: 1, 2, 3 … within the session.
        at: by the node's clock: UTC, ISO 8601 to the microsecond.
        event: code of the event.
        facts: what it tells.
        previous: 32 bytes: hash of the entry before, or `NOTHING`.
        signature: 64 bytes, by the node, on all of this.
    """

    node: str
    session: bytes
    number: int
    at: str
    event: str
    facts: Mapping[str, Fact]
    previous: bytes
    signature: bytes = b""

    def statement(self) -> dict[str, Any]:
        """What is signed, as JSON values."""
        return {
            "node": self.node,
            "session": self.session.hex(),
            "number": self.number,
            "at": self.at,
            "event": self.event,
            "facts": dict(self.facts),
            "previous": self.previous.hex(),
        }

    @cached_property
    def signed_bytes(self) -> bytes:
        """What the signature is over."""
        return _canonical("audit", self.statement())

    @cached_property
    def hash(self) -> bytes:
        """32 bytes: the SHA-256 of what is signed and of the signature, without which facts could be guessed by it."""
        return hashlib.sha256(self.signed_bytes + self.signature).digest()

    @cached_property
    def kind(self) -> Event | None:
        """Its event; None where this version does not know it, or knows it with other facts."""
        try:
            event = Event[self.event.upper()]
            event.checked(self.facts)
        except (KeyError, ValueError):
            return None
        return event

    @property
    def shown(self) -> dict[str, str]:
        """Its facts as people read them; nothing where its event is not known."""
        return {name: _KINDS[name].shown(value) for name, value in self.facts.items()} if self.kind else {}

    @property
    def sentence(self) -> str:
        """What happened, for people."""
        if self.kind is None:
            return f"Something that this version of Matchbit does not know: {_line(self.event)}."
        return str(self.kind.value).format(**self.shown)


@dataclass(frozen=True)
class Head:
    """A node's signed statement of how its log of a session stands.

    Attributes:
        node: whose log.
        session: 32 bytes, or `NODE`.
        number: of an entry.
        hash: 32 bytes: that entry's, and by the chain that of all before it.
        signature: 64 bytes, by the node.
    """

    node: str
    session: bytes
    number: int
    hash: bytes
    signature: bytes = b""

    def statement(self) -> dict[str, Any]:
        """What is signed, as JSON values."""
        own = {"node": self.node, "session": self.session.hex(), "number": self.number}
        return own | {"hash": self.hash.hex()}

    @cached_property
    def signed_bytes(self) -> bytes:
        """What the signature is over."""
        return _canonical("head", self.statement())

    def check(self, key: Verifier) -> None:
        """Check the signature.

        Raises:
            AuditError: it is not that of the node's pinned key.
        """
        try:
            key.verify(self.signature, self.signed_bytes)
        except InvalidSignature:
            raise AuditError(
                f"A statement on entry {self.number} of the log of {self.node} is not signed by its pinned key."
            ) from None


def _canonical(kind: str, statement: Mapping[str, Any]) -> bytes:
    """A text that no entry may have gives bytes too, which then nobody has signed."""
    return f"matchbit.v1 {kind}\0".encode() + _json(statement).encode("utf-8", "surrogatepass")


def _json(value: Mapping[str, Any]) -> str:
    """In the canonical form of `parties.manifest`."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


class Log:
    """A node's log, in its database.

    Args:
        name: of the node.
        key: what it signs with; None where nothing is written.
        clock: the time, with its zone.
    """

    def __init__(self, name: str, key: Ed25519PrivateKey | None, clock: Callable[[], datetime]) -> None:
        self._name, self._key, self._clock = name, key, clock

    def append(
        self, db: sqlite3.Connection, session: bytes, event: Event, facts: Mapping[str, Fact] = NO_FACTS
    ) -> Entry:
        """Add an entry, within the caller's transaction.

        Raises:
            ValueError: the facts are not this event's.
            StorageError: there is no key to sign with.
        """
        last = self._last(db, session)
        number, previous = (last.number + 1, last.hash) if last else (1, NOTHING)
        at = self._clock().isoformat(timespec="microseconds")
        entry = Entry(self._name, session, number, at, event.code, event.checked(facts), previous)
        entry = replace(entry, signature=self._sign(entry.signed_bytes))
        row = (session, number, at, entry.event, _json(entry.facts), previous, entry.signature)
        db.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return entry

    def entries(self, db: sqlite3.Connection, session: bytes) -> list[Entry]:
        """The log of a session, oldest first.

        Raises:
            AuditError: an entry cannot be read.
        """
        rows = db.execute(f"{_ENTRIES} ORDER BY number", (session,))
        return [self._entry(session, row) for row in rows]

    def of_event(self, db: sqlite3.Connection, session: bytes, event: Event) -> list[Entry]:
        """The entries of one event, oldest first.

        Raises:
            AuditError: one cannot be read.
        """
        rows = db.execute(f"{_ENTRIES} AND event = ? ORDER BY number", (session, event.code))
        return [self._entry(session, row) for row in rows]

    def head(self, db: sqlite3.Connection, session: bytes) -> Head | None:
        """How the log of a session stands; None where it has no entry.

        Entries on others' heads are left out at its end: else two nodes that answer each other's heads would have news
        for each other forever.
        """
        last = self._last(db, session, but=Event.HEAD.code)
        if last is None:
            return None
        head = Head(self._name, session, last.number, last.hash)
        return replace(head, signature=self._sign(head.signed_bytes))

    def add_heads(self, db: sqlite3.Connection, heads: Iterable[Head]) -> None:
        """Keep what other nodes, by checked signatures, state of their logs; what is known already changes nothing.

        A second statement on the same entry contradicts the first: both are kept, as evidence.
        """
        for head in heads:
            if not self.lacks(db, head):
                continue
            place: dict[str, Fact] = {"node": head.node, "number": head.number}
            query = "SELECT 1 FROM heads WHERE session = ? AND node = ? AND number = ?"
            other = db.execute(query, (head.session, head.node, head.number)).fetchone()
            row = (head.session, head.node, head.number, head.hash, head.signature)
            db.execute("INSERT INTO heads VALUES (?, ?, ?, ?, ?)", row)
            self.append(db, head.session, Event.HEAD, place | {"hash": head.hash.hex()})
            if other:
                self.append(db, head.session, Event.CONTRADICTION, place)

    def lacks(self, db: sqlite3.Connection, head: Head) -> bool:
        """Whether a head is another node's, is not here yet, and is still to be kept."""
        query = "SELECT count(*), total(number = ? AND hash = ?) FROM heads WHERE session = ? AND node = ?"
        held, known = db.execute(query, (head.number, head.hash, head.session, head.node)).fetchone()
        return head.node != self._name and not known and held < MAX_HEADS

    def restored(self, db: sqlite3.Connection, made: str) -> None:
        """Say in the log of every session, and in the node's own, that it begins anew from a backup of that time."""
        sessions = {NODE, *(row[0] for row in db.execute("SELECT DISTINCT session FROM entries"))}
        for session in sorted(sessions):
            self.append(db, session, Event.RESTORED, {"made": made})

    def _last(self, db: sqlite3.Connection, session: bytes, but: str = "") -> Entry | None:
        row = db.execute(f"{_ENTRIES} AND event != ? ORDER BY number DESC LIMIT 1", (session, but)).fetchone()
        return None if row is None else self._entry(session, row)

    def _entry(self, session: bytes, row: tuple[int, str, str, str, bytes, bytes]) -> Entry:
        number, at, event, text, previous, signature = row
        try:
            facts = facts_of(json.loads(text))
        except (ValueError, RecursionError):
            raise AuditError(f"Entry {number} of the log of {self._name} cannot be read: it was changed.") from None
        return Entry(self._name, session, number, at, event, facts, previous, signature)

    def _sign(self, data: bytes) -> bytes:
        if self._key is None:
            raise StorageError("The log cannot be written without the node's signing key.")
        return self._key.sign(data)


_ENTRIES = "SELECT number, at, event, facts, previous, signature FROM entries WHERE session = ?"
