"""Messages of the steps that compare records changed, cut, repeated or lost: named, and nothing wrong is learned."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from mpc import engine, similar
from mpc.committee import PARTIES
from mpc.errors import MpcError, PeerError
from tests.mpc import alike
from tests.mpc.alike import LINKAGE, Record, encoded
from tests.mpc.test_compare import counts_of, inputs, silent
from tests.mpc.test_tampering import Change, Message, flip
from tests.world import Tamper, World

STEPS = ("similar/shuffle", "similar/compare", "similar/unshuffle", "similar/records")
"""Those that sessions on keys have as well are in test_tampering.py."""
_RANDOM = np.random.default_rng(5)
_VECTOR = alike._vector(LINKAGE, _RANDOM)
RECORDS = [Record(m, (k % 3, 7, m), alike._told(LINKAGE, _VECTOR, _RANDOM)) for m in range(3) for k in range(2)]
ROWS, COUNTS = encoded(LINKAGE, RECORDS), counts_of(RECORDS)
GIVEN = inputs(ROWS, COUNTS)
FOUND = similar.plain(LINKAGE, ROWS, COUNTS).tolist()


def session(tamper: Tamper | None = None) -> World:
    return World(tamper, watched=True).run(lambda s: engine.run(s, GIVEN[s.party], silent, 1), 1)


@cache
def messages() -> list[Message]:
    """All messages of an honest run's steps on records."""
    world = session()
    assert not world.errors
    p0, p1 = (world.results[p].parts for p in PARTIES[:2])
    assert [v for a, b in zip(p0, p1, strict=True) for v in (a ^ b).tolist()] == FOUND
    assert len(set(FOUND)) > 1
    sent = sorted(world.sent, key=lambda m: m.sender)
    return [(m.sender, m.receiver, m.step) for m in sent if m.step.startswith(STEPS)]


def test_every_step_has_its_messages() -> None:
    assert all(any(step.startswith(of) for _, _, step in messages()) for of in STEPS)
    assert len(set(messages())) == len(messages()) > 60


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (flip, "malformed"),
        (lambda _, message: [message[:-1]], "malformed"),
        (lambda _, message: [message + bytes(8)], "malformed"),
        (lambda _, message: [message, message], "violation"),
        (lambda *_: [], "timeout"),
    ],
    ids=["flipped", "cut", "longer", "repeated", "lost"],
)
def test_what_is_done_to_a_message_is_named(change: Change, reason: str) -> None:
    for target in messages():
        sender, receiver, step = target

        def tamper(s: int, r: int, at: str, message: bytes, target: Message = target) -> list[bytes]:
            return change(target, message) if (s, r, at) == target else [message]

        world = session(tamper)
        error = world.errors.get(receiver)
        assert isinstance(error, PeerError), target
        assert (error.peer, error.step, error.reason) == (sender, step, reason), target
        assert all(isinstance(e, MpcError) for e in world.errors.values()), target
