"""All parties of a session: daemons that die, a network that loses calls, members, and a committee that computes.

It computes in the clear, where all three nodes are at the same attempt; everything else is the program's own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from mpc.committee import PARTIES
from mpc.engine import Inputs, Outputs
from mpc.errors import IntegrityError, ShareError
from mpc.replicated import Array, reconstruct
from parties import results
from parties.contribution import Dealing, deal, scheme_of
from parties.errors import PeerUnavailable, ServiceError
from parties.inputs import load_inputs
from parties.lifecycle import State
from parties.manifest import Manifest, sign
from parties.member import Member
from parties.statements import Commitment, Completion, Receipt
from tests.parties.daemons import COMMITTEE, FEDERATION, HUB, KEYS, CommitteeNode, Hub
from tests.parties.mortal import Daemon, Network
from tests.parties.samples import manifest

POOL = np.random.default_rng(4).integers(0, 1 << 64, (8, 2), np.uint64)
LISTS = {
    "agency-a": ((0, 1, 2, 3), (0, 4, 5)),
    "agency-b": ((1, 2, 4), (2, 4, 5, 6)),
    "agency-c": ((2, 3, 6), (0, 1, 7)),
    "agency-d": ((0, 2, 7), (3, 4, 5)),
}
"""Each member's first list, and the one that it may contribute in its place."""
UPLOADS: dict[str, Callable[[bytes], bytes]] = {
    "well": lambda body: body,
    "wrong": lambda body: bytes(byte ^ 1 for byte in body),
    "short": lambda body: body[:-16],
    "long": lambda body: body + bytes(16),
}
"""What becomes of the component that travels whole."""
PIECE_BYTES = 24
"""In place of messages of 1 MiB."""


def terms_of(**changes: Any) -> Manifest:
    """Terms by these keys."""
    named = manifest(**changes).nodes
    return manifest(**changes | {"nodes": {name: FEDERATION[name].digest for name in named}})


class Agency(Member):
    """A member: its two lists, what it has signed on them, and the receipts that it holds."""

    def __init__(self, name: str, terms: Manifest) -> None:
        self.config, self.federation = SimpleNamespace(name=name), FEDERATION  # type: ignore[assignment]
        self.name, self.terms = name, terms
        self.lists = [POOL[list(rows)] for rows in LISTS[name]]
        self.dealings = [deal(scheme_of(terms), keys, name.encode().ljust(32)) for keys in self.lists]
        self.commitments = [self.commit(dealings) for dealings in self.dealings]
        self.receipts: list[dict[str, Receipt]] = [{} for _ in self.lists]

    def commit(self, dealings: list[Dealing], **changes: int) -> Commitment:
        """Sign a commitment."""
        rows = dealings[0].rows
        stated: dict[str, Any] = {"records": rows, "new_records": self.terms.max_new_records, "keys": rows} | changes
        commitment = Commitment(self.terms.session_id, self.name, digests=dealings[0].digests, **stated)
        return commitment.signed(KEYS[self.name])

    def _no_copy(self, _session_id: bytes) -> str:
        return f"{self.name} has not contributed."

    def committed(self, commitment: Commitment) -> Array:
        """The keys that it signed for."""
        return self.lists[[c.digest for c in self.commitments].index(commitment.digest)]

    def upload(self, node: CommitteeNode, which: int, pieces: int | None = None, how: str = "well") -> None:
        """Give a node its shares of a list, well or not, or so many pieces of them before the connection is lost."""
        commitment, world = self.commitments[which], node.world
        dealing = self.dealings[which][COMMITTEE.index(node.name)]
        body = UPLOADS[how](b"" if dealing.whole is None else dealing.whole.tobytes())

        def received() -> int:
            return node.guard.received_bytes(self.name, commitment.session_id, commitment.digest)

        offset = world.call(None, node, received)

        def receive() -> Receipt:
            return node.guard.receive(self.name, commitment, dealing.seeds, offset, _pieces(body[offset:], pieces))

        self.receipts[which][node.name] = world.call(None, node, receive)

    def bring(self, world: World, which: int) -> None:
        """Give all nodes their shares of a list, and show their receipts."""
        for node in world.nodes.values():
            self.upload(node, which)
        self.report(world, which, list(self.receipts[which].values()))

    def report(self, world: World, which: int, receipts: list[Receipt]) -> None:
        """Show receipts."""
        world.call(None, world.hub, lambda: world.hub.registry.report(self.name, self.commitments[which], receipts))

    def result(self, world: World) -> tuple[Commitment, Array]:
        """What it was computed on, and the values of its keys."""
        view = world.call(None, world.hub, lambda: world.hub.view(self.terms.session_id, self.name))
        own = self._computed(view)
        nodes = [world.nodes[name] for name in COMMITTEE[:2]]
        parts = [world.call(None, n, partial(n.give, self.name, view.record.id, view.completions)) for n in nodes]
        return own, results.recombine(self.terms, self.name, parts, own.keys)


def _pieces(body: bytes, count: int | None) -> Iterator[bytes]:
    for number, start in enumerate(range(0, len(body), PIECE_BYTES)):
        if number == count:
            raise PeerUnavailable("The connection was lost.")
        yield body[start : start + PIECE_BYTES]


class World(Network):
    """Everyone, and a session's terms.

    Attributes:
        keys: by name.
        signatures: approvals that their signers made.
        given: (node, member, attempt, part) of every part of a result that a node gave out, whoever got it.
        inputs: of every attempt that was computed, the keys of each member.
        completions: that nodes made, by attempt and node.
        shown: those of them that the coordinator has had, and so may everyone.
    """

    def __init__(self, folder: Path, terms: Manifest) -> None:
        super().__init__(folder)
        self.terms, self.id = terms, terms.session_id
        self.hub = Hub(HUB, self)
        self.nodes = {name: CommitteeNode(name, self) for name in COMMITTEE}
        self.daemons: dict[str, Daemon] = {HUB: self.hub, **self.nodes}
        self.agencies = {name: Agency(name, terms) for name in terms.members}
        self.keys, self.signatures = KEYS, dict[str, bytes]()
        self.given: list[tuple[str, str, int, bytes]] = []
        self.inputs: dict[int, dict[str, Array]] = {}
        self.completions: dict[int, dict[str, Completion]] = {}
        self.shown: dict[int, dict[str, Completion]] = {}

    def start(self) -> None:
        """Start every daemon that is not alive."""
        for daemon in self.daemons.values():
            if not daemon.alive:
                daemon.start()

    def end(self) -> None:
        """Close all files."""
        for daemon in self.daemons.values():
            daemon.store.close()

    def approve(self, name: str) -> None:
        """Sign the terms."""
        signature, hub = sign(KEYS[name], self.id, name), self.hub
        self.signatures[name] = signature
        self.call(None, hub, lambda: hub.registry.approve(name, self.id, signature))
        if name in self.nodes:
            store = self.nodes[name].store
            self.nodes[name].do(lambda: store.add_session(self.terms, State.PROPOSED))
            self.nodes[name].do(lambda: store.add_signature(self.id, name, signature))

    def run(self, caller: str = HUB) -> None:
        """Have the session computed."""
        self.call(None, self.hub, lambda: self.hub.run(caller, self.id))

    def step(self) -> None:
        """Let the coordinator go on."""
        self.hub.do(self.hub.step)

    def meet(self) -> None:
        """Let the committee compute, if all nodes are at one attempt, to where each has still to say that it has."""
        begun = [node.runs.begun for node in self.nodes.values() if node.alive and node.runs.begun]
        if len(begun) < 3 or len({b.run.attempt for b in begun}) > 1 or any(b.outcome for b in begun):
            return
        loaded = []
        for node, b in zip(self.nodes.values(), begun, strict=True):
            try:
                loaded.append(load_inputs(node.guard, b.record, b.commitments))
            except Exception as error:  # it ends this node's run, and the others hear nothing
                b.outcome = error
                return
        for b in begun:
            b.outcome = IntegrityError("agree", "a peer computes on other terms")
        if _agree(loaded):
            keys = _by_member(self.terms, loaded)
            for c in begun[0].commitments:
                assert np.array_equal(keys[c.name], self.agencies[c.name].committed(c)), "computed on another list"
            self.inputs[begun[0].run.attempt] = keys
            for b, outputs in zip(begun, _compute(self.terms, keys), strict=True):
                b.outcome = outputs

    def finish(self, name: str, *, silent: bool = False) -> None:
        """Let a node's run come to its end."""
        node = self.nodes[name]
        node.do(lambda: node.runs.finish(silent=silent))

    def meanwhile(self) -> None:
        """What was late arrives; if nothing was, the coordinator's operator has the session computed, and all work."""
        if self.late:
            self.deliver_late(0)
            return
        if not self.hub.calls:
            with suppress(ServiceError):
                self.hub.do(lambda: self.hub.run(HUB, self.id))
        self.work()

    def work(self) -> None:
        """Let everyone who is alive do what is to be done now."""
        if not self.hub.calls:
            with suppress(ServiceError):
                self.step()
        self.meet()
        for name in COMMITTEE:
            with suppress(ServiceError):
                self.finish(name)

    def note_completions(self, daemon: Daemon) -> None:
        """Remember what is said there to be computed: a later attempt takes its place."""
        known = self.shown if daemon is self.hub else self.completions
        for completion in daemon.store.completions(self.id):
            known.setdefault(completion.attempt, {})[completion.name] = completion

    def heal(self) -> None:
        """Let all that was on its way arrive, and everyone be alive and well."""
        self.fates.clear()
        for daemon in self.daemons.values():
            daemon.troubles.clear()
        self.start()
        while self.late:
            self.deliver_late(0)

    def settle(self) -> None:
        """Let everyone work until nothing is left to be done."""
        for _ in range(40):
            self.work()
            self.wait(seconds=30)
            if not self.hub.runner.followed and not any(node.runs.begun for node in self.nodes.values()):
                return
        raise AssertionError("the session does not come to an end")


def _agree(inputs: list[Inputs]) -> bool:
    """What the engine compares before it computes."""
    same = len({(i.terms, i.counts) for i in inputs}) == 1
    pairs = [(inputs[p].digests, inputs[p.previous].digests) for p in PARTIES]
    return same and all(np.array_equal(x[0], y[1]) for a, b in pairs for x, y in zip(a, b, strict=True))


def _by_member(terms: Manifest, inputs: list[Inputs]) -> dict[str, Array]:
    """The keys of each member that the three nodes hold shares of."""
    try:
        rows = reconstruct((inputs[0].rows(), inputs[1].rows(), inputs[2].rows()))
    except ShareError:
        raise AssertionError("computed on shares that do not fit together") from None
    ends = np.cumsum(inputs[0].counts)[:-1]
    return dict(zip(terms.members, np.split(rows, ends), strict=True))


def matches(terms: Manifest, keys: dict[str, Array]) -> dict[str, Array]:
    """What each member is to learn: of each of its keys which others have it, (n, 1) uint64."""
    held = {name: {row.tobytes() for row in rows} for name, rows in keys.items()}
    return {
        name: np.array(
            [
                [sum(1 << m for m, other in enumerate(terms.members) if other != name and row.tobytes() in held[other])]
                for row in rows
            ],
            np.uint64,
        ).reshape(len(rows), 1)
        for name, rows in keys.items()
    }


def _compute(terms: Manifest, keys: dict[str, Array]) -> list[Outputs]:
    """Each node's outputs, with fresh randomness."""
    values = [matches(terms, keys)[name] for name in terms.members]
    masks = [np.frombuffer(os.urandom(v.nbytes), np.uint64).reshape(v.shape) for v in values]
    parts = (tuple(masks), tuple(v ^ m for v, m in zip(values, masks, strict=True)), None)
    return [Outputs(part, (0, 1)) for part in parts]
