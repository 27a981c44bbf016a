"""What must be true of a session at any time, held against everything that was ever seen of it."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np

from mpc.replicated import Array
from parties import verdict
from parties.audit import NOTHING, Entry, Event
from parties.lifecycle import State
from parties.manifest import verify
from parties.statements import Commitment
from parties.store import SessionRecord
from tests.parties.daemons import COMMITTEE
from tests.parties.mortal import Daemon
from tests.parties.simulator import World, matches

HAS_RESULTS = (State.COMPUTED, State.DONE)
AGREED = {*State} - {State.PROPOSED, State.REFUSED, State.EXPIRED, State.CLOSED}
DELETED = (State.CLOSED, State.EXPIRED)


class Witness:
    """Looks at all parties after every step, and remembers.

    Args:
        world: everyone; real daemons can stand in for it.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen: dict[str, tuple[int, int]] = {}
        self._attempts = dict.fromkeys(COMMITTEE, 0)
        self._contributions: dict[str, bytes] = {}
        self._results: dict[str, bytes] = {}
        self._last: dict[str, tuple[int, bytes]] = dict.fromkeys(world.daemons, (0, NOTHING))
        self._past: dict[str, Counter[str]] = {name: Counter() for name in world.daemons}
        self._given = 0

    def look(self) -> None:
        """Look at everyone, and at what the dead have left.

        Raises:
            AssertionError: something is not as it must be.
        """
        for daemon in self._world.daemons.values():
            seen = daemon.life, daemon.store.changes
            if self._seen.get(daemon.name) != seen:
                self._seen[daemon.name] = seen
                self._daemon(daemon)
        while self._given < len(self._world.given):
            self._part(*self._world.given[self._given])
            self._given += 1

    def _daemon(self, daemon: Daemon) -> None:
        """What has changed at a daemon."""
        self._log(daemon)
        record = daemon.store.session(self._world.id)
        if record and record.state in AGREED:
            self._signed(record.signatures)
        if record and record.attempt:
            self._world.note_completions(daemon)
        if record and record.contributions:
            first = self._contributions.setdefault(daemon.name, record.contributions)
            assert record.contributions == first, "contributions were changed after commitment"
        if record and daemon.name in COMMITTEE:
            self._node(daemon, record)

    def _signed(self, signatures: dict[str, bytes]) -> None:
        """Everyone has approved, and said so."""
        for name in self._world.terms.participants:
            assert name in self._world.signatures, "something goes on without an approval"
            verify(self._world.keys[name], self._world.id, name, signatures[name])

    def _node(self, node: Daemon, record: SessionRecord) -> None:
        assert record.attempt >= self._attempts[node.name], "the number of attempts falls"
        self._attempts[node.name] = record.attempt
        query = (
            "SELECT (SELECT count(*) FROM results WHERE session = ?), (SELECT count(*) FROM uploads WHERE session = ?)"
        )
        held, uploads = node.store.read(query, (self._world.id, self._world.id))[0]
        assert record.state in HAS_RESULTS or not held, "a node has results that it did not compute, or must not have"
        assert record.state not in DELETED or not uploads, "shares outlive their session"

    def _part(self, node: str, member: str, attempt: int, part: bytes) -> None:
        """A node gave out a part of a result."""
        said = self._world.completions.get(attempt, {})
        assert set(said) == set(COMMITTEE), "a part was given out before all nodes had computed"
        assert len({c.contributions for c in said.values()}) == 1, "a part was given out of different contributions"
        assert self._attempts[node] == attempt, "an attempt began after a part was given out"
        earlier = [(a, p) for n, m, a, p in self._world.given if (n, m) == (node, member)]
        assert set(earlier) == {(attempt, part)}, "two different parts of one result were given out"

    def result(self, own: Commitment, values: Array) -> None:
        """A member recombined its result."""
        attempts = {attempt for _, member, attempt, _ in self._world.given if member == own.name}
        keys = self._world.inputs[max(attempts)]
        assert np.array_equal(keys[own.name], self._world.agencies[own.name].committed(own)), "another list's result"
        assert np.array_equal(values, matches(self._world.terms, keys)[own.name]), "a result is wrong"
        assert self._results.setdefault(own.name, values.tobytes()) == values.tobytes(), "two results of one session"

    # Logs

    def _log(self, daemon: Daemon) -> None:
        """What is new in a daemon's log is signed, goes on from what was there, and tells a possible story."""
        number, last = self._last[daemon.name]
        query = (
            "SELECT number, at, event, facts, previous, signature FROM entries WHERE session = ? AND number > ? "
            "ORDER BY number"
        )
        for n, at, event, facts, previous, signature in daemon.store.read(query, (self._world.id, number)):
            entry = Entry(daemon.name, self._world.id, n, at, event, json.loads(facts), previous, signature)
            assert (entry.number, entry.previous) == (number + 1, last), "a log was rewritten"
            self._world.keys[daemon.name].verify(entry.signature, entry.signed_bytes)
            number, last = entry.number, entry.hash
            self._story(self._past[daemon.name], entry)
            if entry.kind is Event.RECEIVED and self._past[daemon.name][Event.ATTEMPT.code]:
                chosen = daemon.store.commitments(self._world.id)[str(entry.facts["member"])]
                assert entry.facts["commitment"] == chosen.digest.hex(), "another list was received after an attempt"
        self._last[daemon.name] = (number, last)

    def _story(self, past: Counter[str], entry: Entry) -> None:
        never_after = {
            Event.RECEIVED: (Event.DELETED,),
            Event.ATTEMPT: (Event.RELEASED, Event.DELETED),
            Event.COMPUTED: (Event.RELEASED, Event.DELETED),
            Event.ABORTED: (Event.RELEASED,),
            Event.FETCHED: (Event.DELETED,),
        }
        assert entry.kind is not None
        for event in never_after.get(entry.kind, ()):
            assert not past[event.code], f"{entry.event} after {event.code}"
        assert entry.kind is not Event.CONTRADICTION, "a node contradicts itself"
        if entry.kind is Event.ATTEMPT:
            number = int(str(entry.facts["attempt"]))
            assert number > past["number"], "an attempt's number is used again"
            past["number"] = number
        assert entry.kind is not Event.FETCHED or past[Event.RELEASED.code], "fetched before it was released"
        past[entry.event] += 1

    def read_logs(self) -> None:
        """Every log is whole, as `audit verify` finds it."""
        for daemon in self._world.daemons.values():
            entries = daemon.store.entries(self._world.id)
            if entries:
                verdict.check(entries, daemon.name, self._world.id, self._world.keys[daemon.name])
