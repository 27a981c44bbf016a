"""A node's state: sessions, what was signed in them, who has consented, and the audit log. Shares are in `shares`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from parties import audit
from parties.audit import Entry, Head, Log
from parties.database import Database
from parties.errors import SessionRefused
from parties.identity import utc_now
from parties.lifecycle import Event, State, after
from parties.manifest import Manifest, read
from parties.statements import Commitment, Completion, Receipt, Statement

AnyStatement = TypeVar("AnyStatement", bound=Statement)


@dataclass(frozen=True)
class SessionRecord:
    """A session as this node knows it.

    Attributes:
        manifest: its terms.
        state: where it is.
        reason: why it was refused or aborted.
        attempt: number of the newest attempt.
        signatures: approvals by name.
        contributions: what stands for the commitments that were computed on first, and always will be; None before.
    """

    manifest: Manifest
    state: State
    reason: str
    attempt: int
    signatures: dict[str, bytes]
    contributions: bytes | None = None

    @property
    def id(self) -> bytes:
        """32 bytes."""
        return self.manifest.session_id


class Store(Database):
    """One node's database.

    Args:
        path: the SQLite file, made if missing, readable by its owner alone.
        log: signs and chains what happens here.
        clock: the time.

    Raises:
        ConfigError: it cannot be opened, or was written by a newer version.
    """

    def __init__(self, path: Path, log: Log, clock: Callable[[], datetime] = utc_now) -> None:
        super().__init__(path)
        self._log, self.clock = log, clock

    # Sessions

    def add_session(
        self, manifest: Manifest, state: State, signatures: Mapping[str, bytes] = MappingProxyType({})
    ) -> None:
        """Remember a session and its checked approvals.

        One that is known already stays as it is, unless it was proposed and is approved now.
        """
        session_id = manifest.session_id
        row = (session_id, manifest.to_bytes(), state.value, self.clock().isoformat())
        with self.transaction() as db:
            insert = "INSERT OR IGNORE INTO sessions (id, manifest, state, created) VALUES (?, ?, ?, ?)"
            if db.execute(insert, row).rowcount:
                self.log(session_id, audit.Event.PROPOSED, title=manifest.title, coordinator=manifest.coordinator)
            self._add_signatures(session_id, signatures)
            if state is State.APPROVED and self.get(session_id).state is State.PROPOSED:
                self.change(session_id, Event.ALL_APPROVED)

    def session(self, session_id: bytes) -> SessionRecord | None:
        """The session, or None."""
        query = "SELECT manifest, state, reason, attempt, contributions FROM sessions WHERE id = ?"
        rows = self.read(query, (session_id,))
        if not rows:
            return None
        signatures = dict(self.read("SELECT name, signature FROM signatures WHERE session = ?", (session_id,)))
        manifest, state, reason, attempt, contributions = rows[0]
        return SessionRecord(read(manifest), State(state), reason, attempt, signatures, contributions)

    def get(self, session_id: bytes) -> SessionRecord:
        """The session.

        Raises:
            SessionRefused: it is unknown here.
        """
        record = self.session(session_id)
        if record is None:
            raise _unknown(session_id)
        return record

    def state(self, session_id: bytes) -> State:
        """Where a known session is."""
        return State(self.read("SELECT state FROM sessions WHERE id = ?", (session_id,))[0][0])

    def of_party(self, session_id: bytes, name: str) -> SessionRecord:
        """The session, for one of its parties; of all others it is as unknown as one that there is not.

        Raises:
            SessionRefused: it is unknown here, or they take no part in it.
        """
        return for_party(self.session(session_id), session_id, name)

    def session_ids(self, prefix: bytes = b"", state: State | None = None) -> list[bytes]:
        """All sessions whose id begins so, and that are in a state if one is given; newest first."""
        which = "substr(id, 1, ?) = ? AND ? IN (state, '')"
        query = f"SELECT id FROM sessions WHERE {which} ORDER BY created DESC, rowid DESC"  # noqa: S608 - constant
        wanted = "" if state is None else state.value
        return [row[0] for row in self.read(query, (len(prefix), prefix, wanted))]

    def count_states(self) -> dict[State, int]:
        """How many sessions are in which state."""
        return {
            State(state): count for state, count in self.read("SELECT state, count(*) FROM sessions GROUP BY state")
        }

    def change(
        self, session_id: bytes, event: Event, entry: audit.Event | None = None, why: str = "", **facts: Any
    ) -> State:
        """Take a session to its next state, and log it.

        Args:
            session_id: which.
            event: what happens.
            entry: how the log tells it; None where another entry does.
            why: what the session's record says of it, if it is refused, aborted or deleted.
            facts: the entry's.

        Raises:
            SessionRefused: the event cannot happen in the session's state.
        """
        with self.transaction() as db:
            row = db.execute("SELECT state FROM sessions WHERE id = ?", (session_id,)).fetchone()
            state = after(State(row[0]), event)
            ended = self.clock().isoformat() if event in (Event.COMPUTE, Event.RELEASE) else None
            update = "UPDATE sessions SET state = ?, reason = ?, ended = coalesce(?, ended) WHERE id = ?"
            db.execute(update, (state.value, why, ended, session_id))
            if entry is not None:
                self.log(session_id, entry, **facts)
        return state

    def begin(
        self, session_id: bytes, attempt: int, contributions: bytes, members: list[str], *, fixed: bool = True
    ) -> None:
        """Begin an attempt; once fixed, what it computes on is what every later one computes on.

        Raises:
            SessionRefused: a later attempt has begun, it is to be on other contributions, or the session is over.
        """
        with self.transaction() as db:
            record = self.get(session_id)
            if record.attempt >= attempt:
                raise SessionRefused(f"Attempt {attempt} of this session has been used already.")
            if record.contributions not in (None, contributions):
                raise SessionRefused("The lists of this session have been compared; they cannot be changed any more.")
            digest = contributions.hex()
            entry = audit.Event.ATTEMPT
            self.change(session_id, Event.BEGIN, entry, attempt=attempt, contributions=digest, members=members)
            db.execute("UPDATE sessions SET attempt = ? WHERE id = ?", (attempt, session_id))
            if fixed:
                self.fix(session_id, contributions)
            db.execute("DELETE FROM told WHERE session = ?", (session_id,))
            db.execute("DELETE FROM statements WHERE session = ? AND kind = ?", (session_id, Completion.KIND))

    def fix(self, session_id: bytes, contributions: bytes) -> None:
        """Take no other contributions from here on."""
        with self.transaction() as db:
            db.execute("UPDATE sessions SET contributions = ? WHERE id = ?", (contributions, session_id))

    def had_results(self, member: str, but: bytes) -> list[datetime]:
        """When results on a member's contributions were there, in all sessions but one."""
        query = "SELECT ended FROM sessions JOIN statements ON session = id WHERE kind = ? AND name = ? AND id != ?"
        rows = self.read(f"{query} AND ended IS NOT NULL", (Commitment.KIND, member, but))
        return [datetime.fromisoformat(ended) for (ended,) in rows]

    # What was signed

    def add_signature(self, session_id: bytes, name: str, signature: bytes) -> None:
        """Remember a checked approval."""
        self._add_signatures(session_id, {name: signature})

    def _add_signatures(self, session_id: bytes, signatures: Mapping[str, bytes]) -> None:
        with self.transaction() as db:
            known = {row[0] for row in db.execute("SELECT name FROM signatures WHERE session = ?", (session_id,))}
            new = [name for name in signatures if name not in known]
            rows = [(session_id, name, signatures[name]) for name in new]
            db.executemany("INSERT INTO signatures VALUES (?, ?, ?)", rows)
            if len(new) > 1:
                self.log(session_id, audit.Event.APPROVALS, names=new)
            elif new:
                self.log(session_id, audit.Event.APPROVED, name=new[0])

    def add_statement(self, statement: Statement) -> None:
        """Remember a checked statement, in place of an earlier one of the same kind, name and member."""
        member = statement.member if isinstance(statement, Receipt) else ""
        row = (statement.session_id, statement.KIND, statement.name, member, statement.to_text())
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO statements VALUES (?, ?, ?, ?, ?)", row)

    def commitments(self, session_id: bytes) -> dict[str, Commitment]:
        """What members have committed to and shown to be held, by member."""
        return {c.name: c for c in self._statements(session_id, Commitment)}

    def commitment(self, session_id: bytes, member: str) -> Commitment | None:
        """What one member has committed to."""
        query = "SELECT statement FROM statements WHERE session = ? AND kind = ? AND name = ?"
        rows = self.read(query, (session_id, Commitment.KIND, member))
        return Commitment.from_text(rows[0][0]) if rows else None

    def contributed(self, session_id: bytes) -> set[str]:
        """The members that have committed to something."""
        query = "SELECT name FROM statements WHERE session = ? AND kind = ?"
        return {row[0] for row in self.read(query, (session_id, Commitment.KIND))}

    def completions(self, session_id: bytes) -> list[Completion]:
        """Which committee nodes have computed the newest attempt."""
        return self._statements(session_id, Completion)

    def _statements(self, session_id: bytes, kind: type[AnyStatement]) -> list[AnyStatement]:
        query = "SELECT statement FROM statements WHERE session = ? AND kind = ? ORDER BY name, member"
        return [kind.from_text(row[0]) for row in self.read(query, (session_id, kind.KIND))]

    def tell(self, session_id: bytes, name: str, state: State) -> None:
        """Remember that a committee node knows of the session's state."""
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO told VALUES (?, ?, ?)", (session_id, name, state.value))

    def told(self, session_id: bytes, state: State) -> set[str]:
        """The committee nodes that know of this state of the session, as the last one that they were told of."""
        query = "SELECT name FROM told WHERE session = ? AND state = ?"
        return {row[0] for row in self.read(query, (session_id, state.value))}

    def untold(self, states: Collection[State]) -> list[bytes]:
        """Sessions in one of these states that not all their committee nodes know of."""
        marks = ", ".join("?" * len(states))
        known = "SELECT count(*) FROM told WHERE session = id AND told.state = sessions.state"
        nodes = "json_array_length(CAST(manifest AS TEXT), '$.committee')"
        query = f"SELECT id FROM sessions WHERE state IN ({marks}) AND ({known}) < {nodes}"  # noqa: S608 - constant
        return [row[0] for row in self.read(query, [state.value for state in states])]

    # Consent

    def add_consent(self, session_id: bytes, person: str) -> None:
        """Remember that a person at this node consents to a session."""
        with self.transaction() as db:
            insert = "INSERT OR IGNORE INTO consents VALUES (?, ?, ?)"
            if db.execute(insert, (session_id, person, self.clock().isoformat())).rowcount:
                self.log(session_id, audit.Event.CONSENTED, person=person)

    def consents(self, session_id: bytes) -> dict[str, str]:
        """Who at this node has consented, and when."""
        return dict(self.read("SELECT person, at FROM consents WHERE session = ? ORDER BY at", (session_id,)))

    # The audit log

    def log(self, session_id: bytes, event: audit.Event, **facts: Any) -> None:
        """Add an entry to the log; never with record values, keys or shares."""
        with self.transaction() as db:
            self._log.append(db, session_id, event, facts)

    def entries(self, session_id: bytes) -> list[Entry]:
        """The log of a session, or of the node itself where the id is empty."""
        return self._log.entries(self._connection, session_id)

    def logged(self, session_id: bytes, event: audit.Event) -> list[Entry]:
        """What the log of a session has of one event."""
        return self._log.of_event(self._connection, session_id, event)

    def times(self, session_id: bytes, event: audit.Event, member: str) -> int:
        """How often the log of a session tells one event of a member."""
        query = "SELECT count(*) FROM entries WHERE session = ? AND event = ? AND json_extract(facts, '$.member') = ?"
        return int(self.read(query, (session_id, event.code, member))[0][0])

    def audited(self) -> list[bytes]:
        """Every session with entries; the node itself is the empty id."""
        return [row[0] for row in self.read("SELECT DISTINCT session FROM entries ORDER BY session")]

    def heads(self, session_id: bytes) -> list[Head]:
        """How others said that their logs of a session stand, and how this node's does."""
        query = "SELECT node, number, hash, signature FROM heads WHERE session = ? ORDER BY node, number"
        return self._heads(session_id, query)

    def latest_heads(self, session_id: bytes, nodes: Collection[str] | None = None) -> list[Head]:
        """Of each party the head of its longest log, or of each of these and of this node."""
        which = "session = ?" if nodes is None else f"session = ? AND node IN ({', '.join('?' * len(nodes))})"
        query = f"SELECT node, max(number), hash, signature FROM heads WHERE {which} GROUP BY node ORDER BY node"  # noqa: S608
        return self._heads(session_id, query, nodes or ())

    def _heads(self, session_id: bytes, query: str, nodes: Collection[str] = ()) -> list[Head]:
        """Those of others that a query finds, and this node's own."""
        rows = self.read(query, (session_id, *nodes))
        others = [Head(node, session_id, number, digest, signature) for node, number, digest, signature in rows]
        own = self._log.head(self._connection, session_id)
        return [*others, *([own] if own else [])]

    def lacks(self, head: Head) -> bool:
        """Whether a head is another party's, is not here yet, and is still to be kept."""
        return self._log.lacks(self._connection, head)

    def add_heads(self, heads: Iterable[Head]) -> None:
        """Remember checked heads of other parties."""
        with self.transaction() as db:
            self._log.add_heads(db, list(heads))


def for_party(record: SessionRecord | None, session_id: bytes, name: str) -> SessionRecord:
    """A session that was looked up, if there is one and the node of this name is a party of it.

    Raises:
        SessionRefused: as `Store.of_party` says.
    """
    if record is None or name not in record.manifest.nodes:
        raise _unknown(session_id)
    return record


def _unknown(session_id: bytes) -> SessionRefused:
    return SessionRefused(f"No session {session_id[:8].hex()} is known here; see `matchbit session list`.")
