"""A committee node that deviates on purpose: its own code lies, and authenticates its lies, for it has the keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from mpc import engine
from mpc.committee import PARTIES, PartyId
from mpc.engine import Inputs, Outputs
from mpc.errors import MpcError
from mpc.replicated import Array, Share
from mpc.session import TAG_BYTES, Session
from tests.mpc.arrays import random_array
from tests.world import World, dealt

Lie = Callable[[str, PartyId, Array], Array | None]
"""(step, peer, what is due) → what is sent instead; None for nothing. What is changed in place the liar computes on."""
SEED = 1
POOL = random_array(1, (9, 2))
LISTS = [POOL[:5], POOL[3:8], POOL[[0, 3, 4, 7, 8]]]
FLAGS = [[1, 0, 0, 1, 1], [1, 1, 0, 0, 1], [1, 1, 1, 1, 0]]


def truth(step: str, peer: PartyId, due: Array) -> Array:
    return due


@dataclass(frozen=True, repr=False)
class Liar(Session):
    """The session of a party that lies."""

    lie: Lie = truth

    def send(self, peer: PartyId, array: Array) -> None:
        said = self.lie(self.step, peer, array)
        if said is not None:
            super().send(peer, said)


def lying(session: Session, lie: Lie = truth) -> Liar:
    """This party from now on; where its own code stops, it tells nobody."""
    session.channel.abort = lambda error: None  # type: ignore[method-assign]
    return Liar(**{f.name: getattr(session, f.name) for f in fields(Session)}, lie=lie)


def instead(at: str, change: Callable[[Array], Array | None], to: PartyId | None = None) -> Lie:
    """Lie at one step, to both peers or to one."""
    return lambda step, peer, due: change(due) if step == at and (to is None or peer == to) else due


def all_of(*lies: Lie) -> Lie:
    """One lie after the other."""

    def lie(step: str, peer: PartyId, due: Array) -> Array | None:
        for one in lies:
            due = one(step, peer, due)  # type: ignore[assignment]
        return due

    return lie


def adding(at: str, rows: Sequence[int]) -> Lie:
    """Add to every byte of row k the element rows[k], as the planes (1, bits, 16 · words) at this step have it."""

    def add(planes: Array) -> Array:
        padded = np.zeros(planes.shape[2] // 16 * 64, np.uint8)
        padded[: len(rows)] = rows
        bits = np.packbits([padded >> bit & 1 for bit in range(planes.shape[1])], axis=1, bitorder="little")
        planes ^= np.tile(bits.view(np.uint64), 16)
        return planes

    return instead(at, add)


def flipped(array: Array) -> Array:
    """A copy with one bit changed."""
    other = array.copy()
    other.reshape(-1).view(np.uint8)[3] ^= 1
    return other


def spoilt(array: Array) -> Array:
    """The array itself with one bit changed: the liar and who is sent it agree on it."""
    array.reshape(-1)[0] ^= array.dtype.type(1)
    return array


def run(
    liar: PartyId,
    lie: Lie = truth,
    lists: Sequence[Array] = LISTS,
    inputs: Sequence[Inputs] | None = None,
    changed: Callable[[Inputs], Inputs] = lambda own: own,
    *,
    seed: int = SEED,
) -> World:
    """A session in which one party lies in what it sends, or computes on other inputs than it was given."""
    given = inputs or dealt(lists)

    def protocol(session: Session) -> Outputs:
        if session.party != liar:
            return engine.run(session, given[session.party], lambda *_: None)
        return engine.run(lying(session, lie), changed(given[liar]), lambda *_: None)

    return World(watched=True).run(protocol, seed)


def honest(liar: PartyId) -> list[PartyId]:
    return [p for p in PARTIES if p != liar]


def noticed(world: World, liar: PartyId) -> dict[PartyId, MpcError]:
    """What the honest parties found by themselves, all of them having stopped: not that another one went away."""
    errors = {p: world.errors[p] for p in honest(liar)}
    assert all(isinstance(e, MpcError) for e in errors.values()), errors
    return {p: e for p, e in errors.items() if getattr(e, "reason", "") != "disconnected"}


def flags(world: World) -> list[list[int]]:
    """What members add up; nobody has noticed anything."""
    assert not world.errors, world.errors
    p0, p1 = (world.results[p].parts for p in (PartyId.P0, PartyId.P1))
    return [(a ^ b).tolist() for a, b in zip(p0, p1, strict=True)]


def opened(world: World) -> Array:
    """(n, 16) uint8: the tags, as every party adds them up from its two components and what it is sent."""
    sent = [m.message[:-TAG_BYTES] for m in world.sent if m.step == "tag/chunk0/reveal#0"]
    return np.bitwise_xor.reduce([np.frombuffer(message, np.uint8) for message in sent]).reshape(-1, 16)


def other_row(own: Inputs, row: int) -> Inputs:
    """The same inputs, but for the shares of one row; the digests of what was dealt stay."""
    rows = own.rows()
    a, b = rows.a.copy(), rows.b.copy()
    a[row] ^= np.uint64(1)  # only one of them: what P0 sends is the sum of both
    b[row] ^= np.uint64(2)
    return replace(own, rows=lambda: Share(a, b))
