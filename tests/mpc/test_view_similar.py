"""What a party sees where records are compared: the same for all of equal leakage, and bytes that look random."""

from __future__ import annotations

import numpy as np
import pytest

from mpc import engine
from mpc.committee import PARTIES, PartyId
from mpc.prss import Prss
from mpc.replicated import Array
from tests.mpc import alike
from tests.mpc.alike import LINKAGE, Record, encoded
from tests.mpc.test_compare import counts_of, inputs, silent
from tests.mpc.test_view import LIMIT, difference, payload, received, uniformity
from tests.world import World

PEOPLE = 60


def session(case: int) -> World:
    """Two cases of equal leakage: groups of two and three rows, of records that are all similar, or none."""
    rng = np.random.default_rng(case)
    vectors = [alike._vector(LINKAGE, rng) for _ in range(PEOPLE)]
    records = []
    for member in range(3):
        for k in range(PEOPLE):
            key = (k // 2 if member == 0 else k, 1000 * member + k, 2000 + 1000 * member + k)
            vector = vectors[k] if case == 0 else alike._vector(LINKAGE, rng)
            records.append(Record(member, key, vector))
    rows = encoded(LINKAGE, records)
    given = inputs(rows, counts_of(records))
    world = World().run(lambda s: engine.run(s, given[s.party], silent), seed=40 + case)
    assert not world.errors
    return world


def bytes_of(world: World, party: PartyId) -> Array:
    everything = np.concatenate([payload(m) for m in received(world, party)])
    return np.bincount(everything, minlength=256)


def test_views_of_equal_leakage_look_the_same() -> None:
    one, other = session(0), session(1)
    sizes = {world.results[p].block_sizes for world in (one, other) for p in PARTIES}
    assert len(sizes) == 1
    learned = [np.concatenate(w.results[0].parts) ^ np.concatenate(w.results[1].parts) for w in (one, other)]
    assert learned[0].any()
    assert not np.array_equal(*learned)
    for party in PARTIES:
        for peer in (party.next, party.previous):
            views = [[(m.step, len(m.message)) for m in w.received(party)[peer]] for w in (one, other)]
            assert views[0] == views[1]
        mine, theirs = bytes_of(one, party), bytes_of(other, party)
        assert mine.sum() > 20_000
        assert max(uniformity(mine), uniformity(theirs), difference(mine, theirs)) < LIMIT


def test_gates_without_their_mask_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Prss, "add_zero", lambda self, label, array: None)
    world = session(0)
    assert all(uniformity(bytes_of(world, party)) > LIMIT for party in PARTIES)
