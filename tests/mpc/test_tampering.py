"""Every message of a small session changed, cut, emptied, moved, replayed or lost: named, or without any effect."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from mpc import engine
from mpc.committee import PARTIES, PartyId
from mpc.errors import MpcError, PeerError
from tests.mpc.arrays import random_array
from tests.world import Tamper, World, dealt

Message = tuple[PartyId, PartyId, str]
"""(sender, receiver, step)."""
Change = Callable[[Message, bytes], list[bytes]]
SEED = 1
POOL = random_array(1, (9, 2))
INPUTS = dealt([POOL[:5], POOL[3:8], POOL[[0, 3, 4, 7, 8]]])
FLAGS = [[1, 0, 0, 1, 1], [1, 1, 0, 0, 1], [1, 1, 1, 1, 0]]
GROUP_SIZES = (0, 5, 2, 2)
"""Keys 1, 2, 5, 6 and 8 are held by one member, 0 and 7 by two, 3 and 4 by all three."""


def session(tamper: Tamper | None = None) -> World:
    return World(tamper, watched=True).run(lambda s: engine.run(s, INPUTS[s.party], lambda *_: None), SEED)


@cache
def messages() -> list[tuple[Message, int]]:
    """All messages of an honest run with their lengths, each party's in its order."""
    sent = sorted(session().sent, key=lambda m: m.sender)
    return [((m.sender, m.receiver, m.step), len(m.message)) for m in sent]


def tampered(target: Message, change: Change) -> World:
    """A run in which one message is changed."""

    def tamper(sender: PartyId, receiver: PartyId, step: str, message: bytes) -> list[bytes]:
        return change(target, message) if (sender, receiver, step) == target else [message]

    return session(tamper)


def wrong_results(world: World) -> list[str]:
    """Whatever a party returned must be right, and both parts of it together."""
    wrong = [f"party {p} returned other group sizes" for p, r in world.results.items() if r.group_sizes != GROUP_SIZES]
    wrong += [f"party {p} raised {e!r}" for p, e in world.errors.items() if not isinstance(e, MpcError)]
    p0, p1 = (world.results.get(p) for p in (PartyId.P0, PartyId.P1))
    if p0 and p1 and [(a ^ b).tolist() for a, b in zip(p0.parts, p1.parts, strict=True)] != FLAGS:
        wrong.append("the members would learn something wrong")
    return wrong


def complaints(world: World, target: Message, reason: str) -> list[str]:
    """What is wrong with the way this run ended: its receiver is to blame the sender at this step."""
    sender, receiver, step = target
    error = world.errors.get(receiver)
    found = wrong_results(world)
    if not isinstance(error, PeerError) or (error.peer, error.step, error.reason) != (sender, step, reason):
        found.append(f"party {receiver} ended with {error!r}")
    return [f"{sender} → {receiver} {step}: {complaint}" for complaint in found]


def flip(target: Message, message: bytes) -> list[bytes]:
    """One bit, in the payload or the authenticator, another for every message."""
    changed = bytearray(message)
    bit = random.Random(str(target)).randrange(8 * len(message))
    changed[bit // 8] ^= 1 << bit % 8
    return [bytes(changed)]


def test_the_honest_session() -> None:
    world = session()
    assert not world.errors
    assert not wrong_results(world)
    assert len(messages()) == len({m for m, _ in messages()}) > 250
    assert {(s, r) for (s, r, _), _ in messages()} == {(p, q) for p in PARTIES for q in PARTIES if p != q}


@pytest.mark.parametrize(
    "change",
    [flip, lambda _, message: [message[:-1]], lambda _, message: [b""]],
    ids=["flipped", "truncated", "emptied"],
)
def test_changed_messages_are_named(change: Change) -> None:
    found = []
    for target, _ in messages():
        if target[2] == "keys" and change is flip:
            continue  # see below
        found += complaints(tampered(target, change), target, "malformed")
    assert not found


def swapped(target: Message, source: str) -> Tamper:
    """Deliver the message of the source's step once more in place of the target's."""
    kept: list[bytes] = []

    def tamper(sender: PartyId, receiver: PartyId, step: str, message: bytes) -> list[bytes]:
        if (sender, receiver, step) == (*target[:2], source):
            kept.append(message)
        return kept if (sender, receiver, step) == target else [message]

    return tamper


def test_moved_messages_are_named() -> None:
    """In place of a message another one of equal length, which the sender sent the same receiver before."""
    found, moved = [], 0
    latest: dict[tuple[PartyId, PartyId, int], str] = {}
    for target, length in messages():
        sender, receiver, step = target
        source = latest.get((sender, receiver, length))
        latest[sender, receiver, length] = step
        if source is None:
            continue
        if moved % 3 == 0:  # a third of them, for time
            found += complaints(session(swapped(target, source)), target, "malformed")
        moved += 1
    assert moved > 200
    assert not found


def test_replayed_messages_are_named() -> None:
    found = []
    for target, _ in messages():
        found += complaints(tampered(target, lambda _, message: [message, message]), target, "violation")
    assert not found


def test_lost_messages_are_named() -> None:
    found = []
    for target, _ in messages():
        found += complaints(tampered(target, lambda *_: []), target, "timeout")
    assert not found


@pytest.mark.parametrize("sender", PARTIES)
def test_a_changed_public_key_shows_between_its_two_parties(sender: PartyId) -> None:
    """They then have different keys, so the first message from one of them to the other is not authentic."""
    for receiver in (sender.next, sender.previous):
        for bit in (0, 7, 100, 254, 255):  # the last of which X25519 itself ignores (RFC 7748, section 5)

            def change(_, message: bytes, bit=bit) -> list[bytes]:
                changed = bytearray(message)
                changed[bit // 8] ^= 1 << bit % 8
                return [bytes(changed)]

            world = tampered((sender, receiver, "keys"), change)
            assert not wrong_results(world)
            assert not world.results
            blames = {(p, e.peer) for p, e in world.errors.items() if getattr(e, "reason", "") == "malformed"}
            assert blames, world.errors
            assert blames <= {(sender, receiver), (receiver, sender)}


def test_messages_of_an_earlier_session_are_refused() -> None:
    """The same members, inputs and steps; only the parties' keys are fresh."""
    earlier = World().run(lambda s: engine.run(s, INPUTS[s.party], lambda *_: None), SEED + 1)
    assert not earlier.errors
    old = {(m.sender, m.receiver, m.step): m.message for m in earlier.sent}
    found, steps = [], set()
    for target, _ in messages():
        kind = target[2].split("/")[0], target[2].split("/")[-1]
        if target[2] == "keys" or kind in steps:
            continue
        steps.add(kind)
        found += complaints(tampered(target, lambda t, _: [old[t]]), target, "malformed")
    assert len(steps) > 10
    assert not found


def test_an_earlier_public_key_is_noticed() -> None:
    key = World().run(lambda s: None, SEED + 1).sent[0]
    world = tampered((key.sender, key.receiver, "keys"), lambda *_: [key.message])
    assert not world.results
    assert any(getattr(e, "reason", "") == "malformed" for e in world.errors.values())


def test_a_step_that_is_not_due_is_harmless() -> None:
    """Messages for steps that no protocol has: they wait unread, and the session ends as if they were not there."""
    boxes = []

    def protocol(s):
        for k in range(20):
            s.channel.send(s.party.next, f"no such step {k}", bytes(50))
        boxes.append(s.party)
        return engine.run(s, INPUTS[s.party], lambda *_: None)

    world = World(watched=True).run(protocol, SEED)
    assert not world.errors
    assert sorted(boxes) == list(PARTIES)
    assert not wrong_results(world)


def test_a_party_that_stops_stops_the_others() -> None:
    """P1 goes away in the middle: neither of the others returns anything, and who hears of it first names P1."""

    def protocol(s):
        if s.party is PartyId.P1:
            engine.agree(s.at("agree"), INPUTS[s.party])
            raise MpcError("gone")
        return engine.run(s, INPUTS[s.party], lambda *_: None)

    world = World(watched=True).run(protocol, SEED)
    assert not world.results
    told = [world.errors[p] for p in (PartyId.P0, PartyId.P2)]
    assert all(isinstance(e, PeerError) and e.reason == "disconnected" for e in told)
    assert 1 in [e.peer for e in told]


def test_the_oracle_of_these_tests_sees_a_wrong_flag() -> None:
    """The check itself can fail: a world whose result is off by one bit is not taken for a right one."""
    world = session()
    parts = world.results[PartyId.P0].parts
    parts[1][2] ^= np.uint8(1)
    assert wrong_results(world) == ["the members would learn something wrong"]
