"""A session's life as anything may happen to it."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from mpc.errors import IntegrityError
from parties.errors import ResultError, ServiceError
from parties.lifecycle import State
from parties.manifest import sign
from tests.parties.attacked import Attacked
from tests.parties.beginnings import PAST, STAGES, TERMS, Beginning
from tests.parties.daemons import COMMITTEE, HUB, KEYS, STRANGER, Reached
from tests.parties.mortal import Daemon, Fate, Trouble
from tests.parties.simulator import UPLOADS
from tests.parties.witness import Witness

MEMORY = Path("/dev/shm")  # noqa: S108 - where there is one, databases in it are quicker
MAY = ((), (), ("lie",), ("lie",), ("close",), ("expire",), ("refuse",), ("lie", "close", "expire"))
"""What of all that ends a history early may happen in one; the first is the simplest."""
DOES = ("upload", "upload", "fetch", "keep house")
HOW = ("same", "less", "other", "twice", "backwards")
LARGEST = (1 << 32) - 1
"""Number that an attempt can have."""
lists = st.integers(0, 1)
daemons = st.sampled_from((HUB, *COMMITTEE))
nodes = st.sampled_from(COMMITTEE)
some = st.integers(0, 11)
"""One of several, however many they are."""


class Life(Attacked):
    """Members and committee nodes follow the program, though badly; so does the coordinator, unless it lies."""

    begin_at: dict[tuple[int, str], Beginning]

    def __init__(self) -> None:
        super().__init__()
        self.lied = self.closing = False

    @initialize(members=st.sampled_from([*TERMS]), stage=st.sampled_from([*STAGES]), may=st.sampled_from(MAY))
    def begin(self, members: int, stage: str, may: tuple[str, ...]) -> None:
        self.set_out(members, stage, may)

    def set_out(self, members: int, stage: str, may: tuple[str, ...]) -> None:
        """Begin at a stage, with what may happen of all that ends a history early."""
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.world = self.begin_at[members, stage].world(self.folder)
        self.witness = Witness(self.world)
        self.stranger = Daemon(STRANGER, KEYS[STRANGER], self.world)
        self.may = may

    @invariant()
    def nothing_is_wrong(self) -> None:
        self.witness.look()

    # Terms

    @rule()
    def propose(self) -> None:
        """Once more."""
        hub = self.world.hub
        with suppress(ServiceError):
            self.world.call(None, hub, lambda: hub.registry.propose(HUB, self.world.terms))

    @precondition(lambda self: len(self.world.signatures) < len(self.world.terms.participants))
    @rule(who=some)
    def approve(self, who: int) -> None:
        with suppress(ServiceError):
            self.world.approve(self.participant(who))

    @precondition(lambda self: "refuse" in self.may)
    @rule(who=some)
    def refuse(self, who: int) -> None:
        hub, name = self.world.hub, self.participant(who)
        with suppress(ServiceError):
            self.world.call(None, hub, lambda: hub.registry.refuse(name, self.world.id, "the list is too old"))

    # Contributions

    @rule(who=some, which=lists)
    def contribute(self, who: int, which: int) -> None:
        with suppress(ServiceError):
            self.world.agencies[self.member(who)].bring(self.world, which)

    @rule(who=some, node=nodes, which=lists, pieces=st.sampled_from((None, 0, 1)), how=st.sampled_from([*UPLOADS]))
    def upload(self, who: int, node: str, which: int, pieces: int | None, how: str) -> None:
        """To one node; it may be cut off, and later continued."""
        with suppress(ServiceError):
            self.world.agencies[self.member(who)].upload(self.world.nodes[node], which, pieces, how)

    @rule(who=some, which=lists, mixed=st.booleans())
    def report(self, who: int, which: int, mixed: bool) -> None:
        """Again, or with receipts on two lists."""
        agency = self.world.agencies[self.member(who)]
        receipts = agency.receipts[which] | (agency.receipts[1 - which] if mixed else {})
        with suppress(ServiceError):
            agency.report(self.world, which, list(receipts.values()))

    # Computing

    @rule()
    def run(self) -> None:
        with suppress(ServiceError):
            self.world.run()

    @rule()
    def step(self) -> None:
        with suppress(ServiceError):
            self.world.step()

    @rule(node=nodes)
    def finish(self, node: str) -> None:
        """A node comes to the end of its run."""
        self.world.meet()
        with suppress(ServiceError):
            self.world.finish(node)

    @rule(node=nodes)
    def hear_nothing(self, node: str) -> None:
        """A node gives up its run, although others may come to its end."""
        self.world.meet()
        with suppress(ServiceError):
            self.world.finish(node, silent=True)

    @rule(node=nodes)
    def contradict(self, node: str) -> None:
        """A node's run ends since what others sent does not fit."""
        if self.world.nodes[node].alive:
            self.world.nodes[node].runs.end_with(IntegrityError("tag", "two values of one component"))
        with suppress(ServiceError):
            self.world.finish(node)

    @rule()
    def work(self) -> None:
        """All who are alive do what they have to."""
        self.world.work()
        self.world.wait(seconds=30)

    @rule(times=st.integers(2, 5))
    def carry_on(self, times: int) -> None:
        """They go on for some time, and those that die are started again."""
        for _ in range(times):
            self.world.start()
            self.work()

    # What goes wrong

    @rule(fates=st.lists(st.sampled_from(Fate), min_size=1, max_size=4))
    def weather(self, fates: list[Fate]) -> None:
        self.world.fates.extend(fates)

    @rule(which=some)
    def arrive(self, which: int) -> None:
        self.world.deliver_late(which)

    @rule(name=daemons, edges=st.integers(0, 6), trouble=st.sampled_from(Trouble))
    def trouble(self, name: str, edges: int, trouble: Trouble) -> None:
        self.world.daemons[name].troubles.append((edges, trouble))

    @rule(name=daemons, edges=st.sampled_from((0, 0, 1, 2, 3, 5)), who=some, what=st.sampled_from(DOES))
    def meanwhile(self, name: str, edges: int, who: int, what: str) -> None:
        """Others go on in the middle of what a daemon does."""
        self.world.daemons[name].troubles.appendleft((edges, Trouble.MEANWHILE))
        match what:
            case "upload":
                self.contribute(who, 1)
            case "fetch":
                self.fetch(who)
            case _:
                self.keep_house(name)

    @rule(name=daemons, again=st.booleans())
    def crash(self, name: str, again: bool) -> None:
        """At a time when it does nothing; it may be started again at once."""
        self.world.daemons[name].die()
        if again:
            self.world.daemons[name].start()

    @precondition(lambda self: "expire" in self.may)
    @rule(hours=st.sampled_from((1, 30)))
    def time_passes(self, hours: int) -> None:
        self.world.wait(hours=hours)

    @rule(name=daemons)
    def keep_house(self, name: str) -> None:
        daemon = self.world.daemons[name]
        with suppress(ServiceError):
            daemon.do(daemon.keep_house)

    # Results and the end

    @rule(who=some)
    def fetch(self, who: int) -> None:
        try:
            self.witness.result(*self.world.agencies[self.member(who)].result(self.world))
        except ResultError:
            assert self.may, "parts of a result do not fit"
        except ServiceError:
            return

    @rule(who=some, node=nodes, attempt=some, left_out=st.integers(0, 3))
    def fetch_with_old_words(self, who: int, node: str, attempt: int, left_out: int) -> None:
        at, name = self.world.nodes[node], self.member(who)
        said = self.words(attempt, left_out)
        self.lied |= "lie" in self.may
        with suppress(ServiceError):
            self.world.call(None, at, lambda: at.give(name, self.world.id, said))

    @precondition(lambda self: "close" in self.may)
    @rule()
    def close(self) -> None:
        self.closing = True
        with suppress(ServiceError):
            self.world.call(None, self.world.hub, lambda: self.world.hub.close(HUB, self.world.id))

    # Lies of the coordinator

    def lie(self, what: Callable[[Reached], object]) -> None:
        self.lied = True
        with suppress(ServiceError):
            self.world.hub.do(lambda: what(Reached(self.world, self.world.hub)))

    @precondition(lambda self: "lie" in self.may and self.world.hub.alive)
    @rule(node=nodes, above=st.sampled_from((-1, 0, 1, 2, LARGEST)), how=st.sampled_from(HOW), who=some)
    def start_alone(self, node: str, above: int, how: str, who: int) -> None:
        """An attempt at one node, with a number that is not due, on what members have shown or something else."""
        attempt = min(max(self.world.hub.store.get(self.world.id).attempt + above, 0), LARGEST)
        chosen = self.commitments(how, who)
        self.lie(lambda nodes: nodes.start(node, self.world.id, attempt, chosen))

    @precondition(lambda self: "lie" in self.may and self.world.completions)
    @rule(node=nodes, other=nodes, attempt=some, left_out=st.integers(0, 3))
    def end_in_two_ways(self, node: str, other: str, attempt: int, left_out: int) -> None:
        """Release at a node, and an abort at another one."""
        last, said = max(self.world.completions), self.words(attempt, left_out)
        self.lie(lambda nodes: nodes.release(node, self.world.id, last, said))
        self.lie(lambda nodes: nodes.abort(other, self.world.id, last, "a lie"))

    @precondition(lambda self: "lie" in self.may)
    @rule()
    def forge_approvals(self) -> None:
        """Tell of approvals that were made in another session."""
        self.lied = True
        names = self.world.terms.participants
        self.world.hub.forged = {name: sign(KEYS[name], PAST.session_id, name) for name in names}

    # What must be refused

    @rule(who=some, node=nodes)
    def attack(self, who: int, node: str) -> None:
        hub, name = self.world.hub, self.participant(who)
        self.approve_falsely(who)
        self.refused(hub, lambda: hub.registry.propose(name, self.world.terms))
        self.refused(hub, lambda: hub.run(name, self.world.id))
        self.refused(hub, lambda: hub.close(name, self.world.id))
        self.coordinate(node)
        self.forge_words(self.world.nodes[node], who)
        self.break_terms(self.world.nodes[node], self.world.agencies[self.member(who)], self.member(who + 1))

    # The end of a history

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            if sys.exc_info()[0] is None:  # else the history has failed already
                self.come_to_rest()
        finally:
            self.world.end()
            shutil.rmtree(self.folder)

    def come_to_rest(self) -> None:
        """When all is well again, everyone agrees on the end, and what can be run can be run without contributing."""
        self.world.heal()
        self.world.settle()
        if self.closing:
            self.world.hub.close(HUB, self.world.id)
        for daemon in self.world.daemons.values():
            daemon.keep_house()
        self.world.settle()
        self.witness.look()
        if not self.lied:
            self.everyone_agrees()
            self.all_or_none()
        self.witness.look()
        self.witness.read_logs()

    def everyone_agrees(self) -> None:
        state = self.world.hub.store.get(self.world.id).state
        records = {name: node.store.session(self.world.id) for name, node in self.world.nodes.items()}
        found = {name: record and record.state for name, record in records.items()}
        allowed: dict[State, set[State | None]] = {
            State.PROPOSED: {None, State.PROPOSED},
            State.APPROVED: {None, State.PROPOSED, State.APPROVED},
            State.READY: {State.APPROVED},
            State.ABORTED: {State.ABORTED},
            State.DONE: {State.DONE},
            State.REFUSED: {None, State.CLOSED},
            State.EXPIRED: {None, State.EXPIRED, State.CLOSED},
            State.CLOSED: {None, State.CLOSED},
        }
        assert set(found.values()) <= allowed[state], f"{state} at the coordinator, {found} at the nodes"

    def all_or_none(self) -> None:
        world, record = self.world, self.world.hub.store.get(self.world.id)
        contributed = world.hub.store.commitments(world.id)
        enough = len(contributed) >= world.terms.min_members and set(world.terms.participants) == set(record.signatures)
        if record.state in (State.APPROVED, State.READY, State.ABORTED) and enough:
            world.run()
            world.settle()
            record = world.hub.store.get(world.id)
            assert record.state is State.DONE, f"it cannot be run again: {record.reason}"
        self.witness.look()
        if record.state is State.DONE:
            for name in contributed:
                self.witness.result(*world.agencies[name].result(world))
