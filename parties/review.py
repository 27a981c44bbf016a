"""What a member's own people decide on its matches; kept in its node's database.

What is judged is a pair: a record of the list, and a member that has it too under some rule, or another record of the
same list. The database knows a pair by a keyed digest of the record's canonical fields, the rule's fields and the
counterpart. So a pair that was judged distinct is not raised again in any session, but it is another pair, and raised,
once the record is changed, a further rule finds it, or it is found at a further member. Where the terms do not name
the members that have a record, the counterpart is any other member of the session: with other members it is another.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import Enum
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from mpc.matching import Reveal
from parties.errors import InputError, SessionRefused
from parties.identity import utc_now
from parties.results import Result
from parties.shown import harmless
from parties.store import Store
from parties.vault import Vault

OWN_LIST = "own list"
"""Stands for a rule where two rows of one list are a pair."""
SIMILAR = "similar"
"""In place of a rule's scope where it finds similar records: what is decided on them is decided on no exact match."""
MAX_REVIEWER_CHARS, MAX_NOTE_CHARS = 100, 1000
_DIGEST_BYTES = 16
_RECORD_KEY, _RECORD_KEY_BYTES = b"record key", 32
_QUEUE = """
    SELECT m.row, m.rule, m.counterpart, m.pair, d.decision, d.note, d.reviewer, d.at, d.session
    FROM matches m LEFT JOIN decisions d USING (pair) WHERE m.session = ? ORDER BY m.row, m.rowid
"""


class Decision(Enum):
    """What a person found out about a match, the gravest first."""

    DUPLICATE = "duplicate"
    """It is one person, on the list twice or on another member's too."""
    UNSURE = "unsure"
    DISTINCT = "distinct"
    """It is another person."""


_GRAVEST_FIRST = tuple(Decision)


@dataclass(frozen=True)
class Judgement:
    """A decision, and whose.

    Attributes:
        decision: what was decided.
        reviewer: name of the person who did.
        note: why; may be empty.
        at: UTC, ISO 8601.
    """

    decision: Decision
    reviewer: str
    note: str
    at: str

    def to_text(self) -> str:
        """As the result's `review` column shows it."""
        return f"{self.decision.value} ({self.reviewer}, {self.at[:10]})"


@dataclass(frozen=True)
class Item:
    """A row to be reviewed: all pairs that it is in.

    Attributes:
        row: its number in the spreadsheet.
        matched_on: names of rules, or `own list`.
        matched_with: members, what the terms let be known of them, or a row.
        judgement: the gravest of its pairs; None while one of them has none.
    """

    row: int
    matched_on: tuple[str, ...]
    matched_with: tuple[str, ...]
    judgement: Judgement | None

    @property
    def decision(self) -> str:
        """What was decided, or `open`."""
        return self.judgement.decision.value if self.judgement else "open"

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        j = self.judgement
        shown = {"row": self.row, "matched_on": self.matched_on, "matched_with": self.matched_with}
        return shown | {"decision": self.decision} | ({"note": j.note, "reviewer": j.reviewer, "at": j.at} if j else {})


class Verdict(NamedTuple):
    """A decision as a person gives it.

    Attributes:
        row: number of a row.
        decision: a word.
        note: why; may be empty.
        reviewer: name of the person.
        where: before the sentence that says what is wrong with it: file and row, or nothing.
    """

    row: int
    decision: str
    note: str
    reviewer: str
    where: str = ""


class _Pair(NamedTuple):
    row: int
    rule: str
    counterpart: str
    digest: bytes
    judgement: Judgement | None
    session: bytes | None
    """In which it was judged."""


class Reviews:
    """A member's decisions.

    Args:
        store: its node's database.
        vault: what the node's secrets are sealed with.
    """

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store, self._vault = store, vault

    def record_key(self) -> bytes:
        """32 random bytes, made once for the node, that its digests of records are made with."""
        with self._store.transaction() as db:
            sealed = self._vault.seal(os.urandom(_RECORD_KEY_BYTES), _RECORD_KEY)
            db.execute("INSERT OR IGNORE INTO secrets VALUES ('record key', ?)", (sealed,))
            (sealed,) = db.execute("SELECT value FROM secrets WHERE name = 'record key'").fetchone()
            if len(sealed) == _RECORD_KEY_BYTES:  # by a version that did not seal it
                db.execute(
                    "UPDATE secrets SET value = ? WHERE name = 'record key'", (self._vault.seal(sealed, _RECORD_KEY),)
                )
                return bytes(sealed)
            return self._vault.open(sealed, _RECORD_KEY)

    def raise_matches(self, result: Result) -> dict[int, str]:
        """Make a result's matches and duplicates inside the list the session's queue, in place of an earlier one.

        Args:
            result: with digests of its records, made with `record_key`.

        Returns:
            Place of a row in the list → what has been decided on all its pairs, as text for people.
        """
        session = result.manifest.session_id
        pairs = [(session, *pair) for pair in _pairs(result, self.record_key())]
        with self._store.transaction() as db:
            db.execute("DELETE FROM matches WHERE session = ?", (session,))
            db.executemany("INSERT INTO matches VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", pairs)
        judged = {item.row: item.judgement.to_text() for item in self.items(session) if item.judgement}
        return {k: judged[number] for k, number in enumerate(result.keys.numbers.tolist()) if number in judged}

    def session(self, prefix: bytes) -> bytes:
        """Id of the session with a queue here that begins so.

        Raises:
            SessionRefused: there is none, or more than one.
        """
        query = "SELECT DISTINCT session FROM matches WHERE substr(session, 1, ?) = ?"
        found = self._store.read(query, (len(prefix), prefix))
        if len(found) != 1:
            raise SessionRefused(
                f"More than one session begins with {prefix.hex()}; give more digits of its id."
                if found
                else f"Session {prefix[:8].hex()} has no matches to review on this computer. Run `matchbit results` "
                "first, if you have not; a session that gives a table has none."
            )
        session_id: bytes = found[0][0]
        return session_id

    def items(self, session_id: bytes) -> list[Item]:
        """All rows of a session's queue, by number."""
        return [_item(row, pairs) for row, pairs in self._rows(session_id).items()]

    def open_items(self, session_id: bytes) -> list[Item]:
        """Rows of a session's queue that are not judged distinct, by number."""
        return [item for item in self.items(session_id) if item.decision != Decision.DISTINCT.value]

    def decide(self, session_id: bytes, verdicts: Sequence[Verdict]) -> int:
        """Keep decisions, all or none.

        Each is on all pairs of its row but those judged distinct in earlier sessions, unless there are no others. A row
        that has been judged so already keeps the day of its judgement.

        Args:
            session_id: of the queue.
            verdicts: on different rows.

        Returns:
            How many rows are judged otherwise than before.

        Raises:
            InputError: one is on a row that is not in the queue, or is none that can be kept, or two are of different
                decisions on one pair; no decision is kept then.
        """
        at = utc_now().isoformat(timespec="seconds")
        changed, decided = 0, dict[bytes, tuple[int, Decision]]()
        with self._store.transaction() as db:
            rows = self._rows(session_id)
            for v in verdicts:
                judgement, pairs = _judgement(v, at), rows.get(v.row)
                if pairs is None:
                    raise InputError(
                        f"{v.where}Row {v.row} is not among this session's matches; see `matchbit review show`."
                    )
                known, raised = _item(v.row, pairs).judgement, _raised(pairs, session_id)
                is_known = known is not None and replace(judgement, at=known.at) == known
                _require_one(decided, v, judgement.decision, raised if not is_known else _so_judged(raised, known))
                if is_known:
                    continue
                j = (judgement.decision.value, judgement.note, judgement.reviewer, judgement.at)
                values = [(pair.digest, *j, session_id) for pair in raised]
                db.executemany("INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?, ?, ?)", values)
                changed += 1
        return changed

    def drop_queue(self, session_id: bytes) -> None:
        """Delete a session's queue; decisions stay."""
        with self._store.transaction() as db:
            db.execute("DELETE FROM matches WHERE session = ?", (session_id,))
        self._store.overwrite_log()

    def forget(self, before: date) -> int:
        """Delete the decisions of earlier days; returns how many pairs they were on."""
        with self._store.transaction() as db:
            deleted = db.execute("DELETE FROM decisions WHERE at < ?", (before.isoformat(),)).rowcount
        self._store.overwrite_log()
        return deleted

    def _rows(self, session_id: bytes) -> dict[int, list[_Pair]]:
        """The pairs of each row of a queue."""
        pairs = map(_pair, self._store.read(_QUEUE, (session_id,)))
        return {row: list(of_row) for row, of_row in groupby(pairs, lambda pair: pair.row)}


def _pairs(result: Result, key: bytes) -> Iterator[tuple[int, bytes, str, str]]:
    """All pairs of a result: number of the row, digest, rule, counterpart."""
    m, numbers, records = result.manifest, result.keys.numbers, result.keys.records
    if records is None:
        raise ValueError("keys were made without digests of the records")
    unnamed = () if Reveal(m.reveal) is Reveal.MEMBERS else sorted({*m.members} - {result.member})
    for row in np.flatnonzero(result.matched_rows).tolist():
        record, number = records[row].tobytes(), int(numbers[row])
        for rule, whom in result.found(row):
            scope = SIMILAR if rule.similar else rule.scope
            parts = (scope, *rule.fields, "", whom, *unnamed)  # no field is empty, so these are told apart
            yield number, _digest(key, record, *(part.encode() for part in parts)), rule.name, whom
    for row, earlier in result.twins[result.reported[result.twins].any(axis=1)].tolist():
        both = sorted((records[row].tobytes(), records[earlier].tobytes()))
        yield int(numbers[row]), _digest(key, *both), OWN_LIST, f"row {numbers[earlier]}"


def _digest(key: bytes, *parts: bytes) -> bytes:
    keyed = hashlib.blake2b(digest_size=_DIGEST_BYTES, key=key, person=b"matchbit pair")
    for part in parts:
        keyed.update(len(part).to_bytes(4, "big") + part)
    return keyed.digest()


def _pair(row: tuple[Any, ...]) -> _Pair:
    """One row of `_QUEUE`."""
    number, rule, counterpart, digest, decision, note, reviewer, at, session = row
    judgement = Judgement(Decision(decision), reviewer, note, at) if decision else None
    return _Pair(number, rule, counterpart, digest, judgement, session)


def _item(row: int, pairs: Sequence[_Pair]) -> Item:
    judged = sorted((pair.judgement for pair in pairs if pair.judgement), key=lambda j: j.at, reverse=True)
    gravest = min(judged, key=lambda j: _GRAVEST_FIRST.index(j.decision), default=None)
    return Item(
        row,
        _distinct(pair.rule for pair in pairs),
        _distinct(pair.counterpart for pair in pairs),
        gravest if len(judged) == len(pairs) else None,
    )


def _raised(pairs: Sequence[_Pair], session_id: bytes) -> Sequence[_Pair]:
    """The pairs that a decision in this session is on."""

    def is_settled(pair: _Pair) -> bool:
        return (
            pair.session != session_id and pair.judgement is not None and pair.judgement.decision is Decision.DISTINCT
        )

    return [pair for pair in pairs if not is_settled(pair)] or pairs


def _so_judged(pairs: Sequence[_Pair], known: Judgement | None) -> Sequence[_Pair]:
    """The pairs of a row that its judgement comes from: others of them may have been judged less grave."""
    return [pair for pair in pairs if pair.judgement and known and pair.judgement.decision is known.decision]


def _require_one(
    decided: dict[bytes, tuple[int, Decision]], v: Verdict, decision: Decision, pairs: Sequence[_Pair]
) -> None:
    """Refuse different decisions on one pair, which rows that hold the same record have in common.

    Args:
        decided: pair → row and decision so far; this one is added.
        v: as it was given.
        decision: of it.
        pairs: that it is on.
    """
    for pair in pairs:
        row, first = decided.setdefault(pair.digest, (v.row, decision))
        if first is not decision:
            raise InputError(
                f"{v.where}Rows {row} and {v.row} hold the same record, so a decision counts for both; here one is "
                f"{first.value} and the other {decision.value}."
            )


def _judgement(v: Verdict, at: str) -> Judgement:
    """A verdict, if it can be kept."""
    words = [d.value for d in Decision]
    word = v.decision.strip().casefold()
    if word not in words:
        raise InputError(f"{v.where}`decision` must be one of {', '.join(words)}.")
    reviewer = _line(v, "reviewer", v.reviewer, MAX_REVIEWER_CHARS)
    if not reviewer:
        raise InputError(f"{v.where}`reviewer` must name the person who decided.")
    return Judgement(Decision(word), reviewer, _line(v, "note", v.note, MAX_NOTE_CHARS), at)


def _line(v: Verdict, name: str, text: str, longest: int) -> str:
    """Text as one line."""
    line = " ".join(text.split())
    if len(line) > longest or harmless(line) != line:
        raise InputError(f"{v.where}`{name}` must be at most {longest} printable characters.")
    return line


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
