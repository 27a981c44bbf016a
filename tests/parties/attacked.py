"""What a session's parties must refuse, whatever has happened to it, and whoever asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from hypothesis.stateful import RuleBasedStateMachine

from parties.errors import ServiceError
from parties.lifecycle import State
from parties.manifest import sign
from parties.statements import Commitment, Completion, contributions
from tests.parties.beginnings import PAST
from tests.parties.daemons import COMMITTEE, HUB, KEYS, STRANGER, CommitteeNode, Reached
from tests.parties.mortal import Daemon
from tests.parties.simulator import Agency, World

UNKNOWN = (
    r"^No session [0-9a-f]{16} is known here; see `matchbit session list`\.$"
    r"|(did not answer in time|cannot be reached|went away)\.$"
)
"""What strangers hear, of this session as of any."""


class Attacked(RuleBasedStateMachine):
    """A session and those who are no part of it, or lie about it."""

    world: World
    stranger: Daemon
    may: tuple[str, ...]

    def participant(self, which: int) -> str:
        return self.world.terms.participants[which % len(self.world.terms.participants)]

    def member(self, which: int) -> str:
        return self.world.terms.members[which % len(self.world.terms.members)]

    def refused(self, daemon: Daemon, what: Callable[[], object]) -> None:
        """Have a daemon do what it must not do."""
        try:
            daemon.do(what)
        except ServiceError:
            return
        raise AssertionError("what is against the terms was not refused")

    def commitments(self, how: str = "same", who: int = 0) -> list[Commitment]:
        """What members have shown, or might have; or without that of one of them, or with that to its other list."""
        shown = self.world.hub.store.commitments(self.world.id) if self.world.hub.alive else {}
        chosen = {name: shown.get(name, agency.commitments[0]) for name, agency in self.world.agencies.items()}
        name = self.member(who)
        if how == "less":
            del chosen[name]
        if how == "twice":
            return [*chosen.values(), chosen[name]]
        if how == "backwards":
            return [*chosen.values()][::-1]
        if how == "other":
            first, second = self.world.agencies[name].commitments
            chosen[name] = second if chosen[name] == first else first
        return list(chosen.values())

    def words(self, attempt: int, left_out: int) -> list[Completion]:
        """What nodes said of some attempt, maybe without one of them; where they lie, to anybody."""
        known = self.world.completions if "lie" in self.may else self.world.shown
        said = list(known[sorted(known)[attempt % len(known)]].values()) if known else []
        return said[:left_out] + said[left_out + 1 :]

    def approve_falsely(self, who: int) -> None:
        """With another one's signature, and with one's own on another session."""
        hub, name, other = self.world.hub, self.participant(who), self.participant(who + 1)
        for signature in (sign(KEYS[other], self.world.id, other), sign(KEYS[name], PAST.session_id, name)):
            self.refused(hub, partial(hub.registry.approve, name, self.world.id, signature))

    def coordinate(self, node: str) -> None:
        """As somebody else than the session's coordinator."""
        at, session = self.world.nodes[node], self.world.id
        another = Reached(self.world, self.stranger)
        for what in (
            lambda: another.look(node, session),
            lambda: another.start(node, session, 1, self.commitments()),
            lambda: another.release(node, session, 1, self.words(0, 3)),
            lambda: another.abort(node, session, 1, "a lie"),
        ):
            with pytest.raises(ServiceError, match=UNKNOWN):
                what()
        known = at.store.session(session) if at.alive else None
        if known and known.state is not State.CLOSED:
            self.refused(at, lambda: at.guard.delete(STRANGER, session))

    def forge_words(self, at: CommitteeNode, which: int) -> None:
        """What nodes say that they have computed: two of them truly, and one by another's key, session or member."""
        hub, session = self.world.hub, self.world.id
        number = at.store.get(session).attempt if at.alive and at.store.session(session) else 1
        first, second, last = (self.said(name, number) for name in COMMITTEE)

        def release(said: list[Completion]) -> object:
            return at.guard.release(at.guard.by_coordinator(session, HUB), said)

        def collect(said: Completion) -> object:
            return hub.registry.collect(hub.store.get(session), said)

        forged = [
            replace(last, signature=second.signature),
            replace(last, name=HUB).signed(KEYS[HUB]),
            replace(last, session_id=PAST.session_id).signed(KEYS[last.name]),
            replace(last, contributions=bytes(32)).signed(KEYS[last.name]),
            replace(last, attempt=number + 1).signed(KEYS[last.name]),
        ]
        self.refused(at, partial(release, [first, second, forged[which % len(forged)]]))
        self.refused(hub, partial(collect, forged[which % 3]))

    def said(self, name: str, attempt: int) -> Completion:
        """That a node has computed an attempt, on whatever members have shown, or might have."""
        chosen = contributions(self.commitments())
        return Completion(self.world.id, name, attempt=attempt, contributions=chosen).signed(KEYS[name])

    def break_terms(self, at: CommitteeNode, agency: Agency, other: str) -> None:
        """With commitments that are outside the terms, or not the member's own on this session."""
        dealings, good = agency.dealings[0], agency.commitments[0]
        wrong = [
            agency.commit(dealings, records=6),
            agency.commit(dealings, keys=11),
            agency.commit(dealings, records=1, new_records=1),
            replace(good, name=other),
            replace(good, signature=agency.commitments[1].signature),
            replace(good, session_id=PAST.session_id).signed(KEYS[agency.name]),
        ]
        wrong += [agency.commit(dealings, new_records=3)] if agency.name in PAST.members else []
        seeds = dealings[COMMITTEE.index(at.name)].seeds
        for commitment in wrong:
            self.refused(at, partial(at.guard.receive, agency.name, commitment, seeds, 0, ()))
