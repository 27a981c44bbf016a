"""Verified tags: whatever one party errs in is noticed before a tag is opened, and what is opened then is one bit.

What passes all the same is in test_weaknesses.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc import aes, engine, verify
from mpc.committee import PARTIES, PartyId
from mpc.errors import IntegrityError
from mpc.replicated import Array
from tests.mpc.arrays import SEEDS, random_array
from tests.mpc.faults import before_the_last_sboxes, faulty_sboxes, undone_by_decryption
from tests.mpc.lying import (
    FLAGS,
    LISTS,
    POOL,
    SEED,
    Lie,
    adding,
    all_of,
    flags,
    flipped,
    instead,
    noticed,
    run,
    spoilt,
)
from tests.world import World, dealt, run_parties, shares

P0, P1, P2 = PARTIES
INPUTS = dealt(LISTS, verified=True)
SHUFFLE = [(P0, "pass1"), (P1, "pass2"), (P0, "components"), (P2, "components")]
"""Who sends what, where rows and tags are shuffled together."""


def verified(liar: PartyId, lie: Lie, lists: list[Array] = LISTS, seed: int = SEED) -> World:
    return run(liar, lie, inputs=dealt(lists, verified=True), seed=seed)


def stopped(world: World, liar: PartyId) -> None:
    """No result anywhere, no tag opened, and nobody is named: it may have been any of the three."""
    found = noticed(world, liar)
    assert found
    for error in found.values():
        assert isinstance(error, IntegrityError)
        assert (error.step, error.peers) == ("tag/verify/zero", ())
    assert not world.results
    assert not [m.step for m in world.sent if m.step.startswith(("tag/reveal", "tag/chunk0/reveal", "unshuffle"))]


# Errors


@pytest.mark.parametrize("liar", PARTIES)
@pytest.mark.parametrize(
    "step",
    ["schedule/round3/norm16", "chunk0/round3/norm16", "chunk0/round10/substitute", "verify/chunk0/round4/invert"],
)
def test_an_error_in_some_row(liar: PartyId, step: str) -> None:
    """In the key schedule too, which goes over 64 rows at once: in the other order they are others."""
    stopped(verified(liar, instead(f"tag/{step}", spoilt)), liar)


@pytest.mark.parametrize(("liar", "step"), SHUFFLE)
def test_an_error_in_the_shuffle_of_rows_and_tags(liar: PartyId, step: str) -> None:
    stopped(verified(liar, instead(f"tag/verify/shuffle/{step}", spoilt)), liar)


@pytest.mark.parametrize("liar", PARTIES)
def test_an_error_in_the_check_itself(liar: PartyId) -> None:
    """Where all is right, and where it should hide that something is not."""
    in_the_check = instead("tag/verify/zero", spoilt)
    stopped(verified(liar, in_the_check), liar)
    stopped(verified(liar, all_of(instead("tag/chunk0/round3/norm16", spoilt), in_the_check)), liar)


@pytest.mark.parametrize("liar", PARTIES)
def test_another_component_or_digest_of_what_is_opened(liar: PartyId) -> None:
    for step, by in (("reveal", liar.next), ("reveal/hash", liar.previous)):
        world = verified(liar, instead(f"tag/verify/zero/{step}", flipped))
        assert set(noticed(world, liar)) == {by}
        assert not world.results


@pytest.mark.parametrize("liar", PARTIES)
def test_the_faults_that_would_read_every_key(liar: PartyId) -> None:
    shared = random_array(5, (12, 2))
    lists = [np.concatenate([shared, random_array(10 + member, (4, 2))]) for member in range(3)]
    stopped(verified(liar, before_the_last_sboxes([(0x00, 0x1D, 0xB4)[row % 3] for row in range(48)]), lists), liar)


@pytest.mark.parametrize("liar", PARTIES)
def test_one_error_in_all_rows_both_ways(liar: PartyId) -> None:
    lists = [random_array(10 + member, (200, 2)) for member in range(3)]
    steps = "tag/chunk0/round10/scale16", "tag/verify/chunk0/round9/scale16"
    stopped(verified(liar, all_of(*(adding(step, [0b0110] * 600) for step in steps)), lists), liar)


def test_the_same_error_in_a_second_encryption_would_not_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With which the cipher key could be read, as test_weaknesses.py does."""
    monkeypatch.setattr(aes, "decrypt", aes.encrypt)
    twice = verify.verify
    monkeypatch.setattr(engine, "verify", lambda s, schedule, rows, tags, lanes: twice(s, schedule, tags, rows, lanes))
    assert flags(verified(P0, lambda step, peer, due: due)) == FLAGS
    steps = "tag/chunk0/round10/scale16", "tag/verify/chunk0/round10/scale16"
    world = verified(P0, all_of(*(adding(step, [0b0110] * 15) for step in steps)))
    assert not world.errors


def test_no_error_inside_an_sbox_can_be_undone() -> None:
    """Of all 1023, also where something is added before or after the S-box: 34 inputs are lost at least."""
    images = np.array([len(np.unique(sbox)) for sbox in faulty_sboxes().reshape(-1, 256)])
    assert images[0] == 256
    assert images[1:].max() == 222


def test_an_error_that_is_met_at_the_same_row_passes_once_in_so_many_rows() -> None:
    """Its place in the other order is not known: of four rows, one in four times."""
    lie = all_of(before_the_last_sboxes([0x1D]), undone_by_decryption([0x1D]))
    ends = [verified(P1, lie, [POOL[:2], POOL[1:3]], seed).errors for seed in range(20)]
    assert 1 <= sum(not errors for errors in ends) <= 10


# The check


@settings(max_examples=15)
@given(st.sampled_from([(1, 2), (70, 2), (verify.BLOCK_WORDS // 2 + 3, 2)]), st.booleans(), SEEDS)
def test_a_difference_of_one_bit_is_noticed(shape: tuple[int, int], is_zero: bool, seed: int) -> None:
    difference = np.zeros(shape, np.uint64)
    if not is_zero:
        place, bit = np.random.default_rng(seed).integers(0, [difference.size, 64])
        difference.reshape(-1)[place] = np.uint64(1) << np.uint64(bit)
    held = shares(difference, seed)
    world = World().run(lambda s: verify.require_zero(s.at("zero"), held[s.party]), seed)
    assert is_zero is not bool(world.errors)


def opened(difference: Array, seed: int) -> Array:
    """(ZERO_BITS,) uint8: w, as all three see it."""
    held = shares(difference, seed)
    world = World().run(lambda s: verify.require_zero(s.at("zero"), held[s.party]), seed)
    sent = [np.frombuffer(m.message[: verify.ZERO_BITS], np.uint8) for m in world.sent if m.step == "zero/reveal#0"]
    assert len(sent) == 3
    return np.bitwise_xor.reduce(sent)


@pytest.mark.parametrize("rows", [[(1, 0)], [(0, 1 << 63), (0, 1 << 63)], [(2**64 - 1, 2**64 - 1)] * 3 + [(5, 7)]])
def test_what_is_opened_is_random_whatever_the_difference(rows: list[tuple[int, int]]) -> None:
    """Every bit about as often one as zero, and no two alike: six standard deviations."""
    difference, runs = np.array(rows, np.uint64), 150
    w = np.array([opened(difference, seed) for seed in range(runs)])
    assert w.max() == 1
    assert np.abs(w.sum(axis=0) - runs / 2).max() < 6 * np.sqrt(runs) / 2
    assert np.abs(w.sum() - w.size / 2) < 6 * np.sqrt(w.size) / 2
    assert np.abs((w[:, 1:] ^ w[:, :-1]).sum() - runs * 39 / 2) < 6 * np.sqrt(runs * 39) / 2
    assert len(np.unique(w, axis=0)) == runs


def test_nothing_is_opened_but_zero_where_there_is_no_difference() -> None:
    assert not opened(np.zeros((70, 2), np.uint64), 1).any()


def test_each_party_opens_its_part_when_it_has_all_others_parts() -> None:
    """So that nobody chooses its own part by what is opened."""
    world = World().run(lambda s: engine.run(s, INPUTS[s.party], lambda *_: None), SEED)
    assert not world.errors
    first_opened = min(m.time for m in world.sent if m.step == "tag/verify/zero/reveal#0")
    assert first_opened > max(m.time for m in world.sent if m.step.startswith("tag/verify/chunk0"))
    first_tag = min(m.time for m in world.sent if m.step == "tag/reveal#0")
    assert first_tag > max(m.time for m in world.sent if m.step.startswith("tag/verify/zero/reveal"))


def test_results_are_those_without() -> None:
    bare = dealt(LISTS)
    both = [run_parties(lambda s, i=i: engine.run(s, i[s.party], lambda *_: None), SEED) for i in (bare, INPUTS)]
    assert both[0][0].group_sizes == both[1][0].group_sizes
    learned = [[(a ^ b).tolist() for a, b in zip(r[P0].parts, r[P1].parts, strict=True)] for r in both]
    assert learned[0] == learned[1] == FLAGS
