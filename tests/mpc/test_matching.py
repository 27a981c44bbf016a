from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.committee import PARTIES
from mpc.matching import Reveal, group, member_masks, other_members
from mpc.replicated import Array, Share, reconstruct
from tests.mpc.arrays import random_array
from tests.world import OF_KEYS, shares

TAGS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)
"""Few different halves, so that groups are large and halves are shared by chance."""


def tags_of(pairs: list[tuple[int, int]]) -> Array:
    return np.array(pairs, np.uint64)


def members_of(words: Array) -> set[int]:
    return {64 * w + k for w, word in enumerate(words.tolist()) for k in range(64) if word >> k & 1}


@given(TAGS)
def test_groups_are_the_equal_tags(pairs: list[tuple[int, int]]) -> None:
    groups = group(tags_of(pairs))
    assert sorted(groups.order.tolist()) == list(range(len(pairs)))
    assert np.array_equal(groups.sizes, np.bincount(groups.number, minlength=len(pairs)))
    found = [{pairs[row] for row in groups.order[groups.number == k]} for k in np.unique(groups.number)]
    assert all(len(tags) == 1 for tags in found)
    assert sorted(next(iter(tags)) for tags in found) == sorted(set(pairs))


@given(TAGS)
def test_spread_brings_a_groups_value_to_its_rows(pairs: list[tuple[int, int]]) -> None:
    groups = group(tags_of(pairs))
    number = groups.spread(np.arange(len(pairs)))
    assert len({*zip(number.tolist(), pairs, strict=True)}) == len(set(pairs)) == len(set(number.tolist()))
    assert np.array_equal(groups.spread(groups.sizes), [pairs.count(pair) for pair in pairs])


def test_half_a_tag_is_not_a_tag() -> None:
    pairs = [(7, 1), (7, 2), (7, 1), (8, 1), (7, 3), (7, 2)]
    assert group(tags_of(pairs)).spread(np.arange(6)).tolist() != [0] * 6
    assert sorted(group(tags_of(pairs)).sizes.tolist()) == [0, 0, 1, 1, 2, 2]
    assert group(tags_of([(1, 2), (2, 2)])).sizes.tolist() == [1, 1], "the same second half alone is no match either"


@pytest.mark.parametrize("seed", range(3))
def test_many_tags_with_shared_first_halves(seed: int) -> None:
    tags = random_array(seed, (500, 2))
    tags[:, 0] &= np.uint64(31)
    tags = np.concatenate([tags, tags[:200], tags[:50]])
    np.random.default_rng(seed).shuffle(tags)
    assert np.bincount(group(tags).sizes)[1:].tolist() == [300, 150, 50]


@given(TAGS, st.sampled_from([Reveal.FLAG, Reveal.COUNT]))
def test_flags_and_counts(pairs: list[tuple[int, int]], reveal: Reveal) -> None:
    groups = group(tags_of(pairs))
    nothing = Share(np.zeros((len(pairs), 0), np.uint64), np.zeros((len(pairs), 0), np.uint64))
    value = reconstruct(tuple(other_members(p, groups, nothing, reveal) for p in PARTIES))
    others = [pairs.count(pair) - 1 for pair in pairs]
    assert value.dtype == (np.uint8 if reveal is Reveal.FLAG else np.uint16)
    assert value.tolist() == ([int(o > 0) for o in others] if reveal is Reveal.FLAG else others)


def test_counts_above_a_byte() -> None:
    groups = group(np.ones((300, 2), np.uint64))
    nothing = Share(np.zeros((300, 0), np.uint64), np.zeros((300, 0), np.uint64))
    assert set(reconstruct(tuple(other_members(p, groups, nothing, Reveal.COUNT) for p in PARTIES)).tolist()) == {299}


@given(st.lists(st.integers(0, 4), min_size=1, max_size=200))
def test_member_masks_have_one_bit_and_dummies_none(counts: list[int]) -> None:
    masks = reconstruct(tuple(member_masks(p, tuple(counts), sum(counts) + 3) for p in PARTIES))
    assert masks.shape == (sum(counts) + 3, -(-len(counts) // 64))
    expected = [{member} for member, count in enumerate(counts) for _ in range(count)]
    assert [members_of(row) for row in masks] == [*expected, set(), set(), set()]


@pytest.mark.parametrize("members", [1, 2, 63, 64, 65, 128, 200])
def test_members(members: int) -> None:
    """Every member holds some of twelve keys, in an order of the rows as after a shuffle."""
    rng = np.random.default_rng(members)
    held = [sorted(rng.choice(12, rng.integers(0, 6), replace=False).tolist()) for _ in range(members)]
    held[0] = [0, 1]
    rows = [(member, key) for member, keys in enumerate(held) for key in keys]
    order = rng.permutation(len(rows))
    masks = reconstruct(tuple(member_masks(p, tuple(map(len, held)), len(rows)) for p in PARTIES))[order]
    groups = group(random_array(1, (12, 2))[[rows[k][1] for k in order]])
    dealt = shares(masks, members)
    result = reconstruct(tuple(other_members(p, groups, dealt[p], Reveal.MEMBERS) for p in PARTIES))
    expected = [{m for m, keys in enumerate(held) if rows[k][1] in keys} - {rows[k][0]} for k in order]
    assert [members_of(row) for row in result] == expected


def memory_of(reveal: Reveal, shared: int) -> int:
    """Bytes that matching takes at most, of 9,999 rows of three members who share so many keys."""
    rows = random_array(shared, (9_999, 2))
    for member in (1, 2):
        rows[member * 3_333 :][:shared] = rows[:shared]
    rows[-1] = rows[-2] ^ np.array([0, 1], np.uint64)  # what rows are sorted by is shared by chance
    rows = rows[np.random.default_rng(1).permutation(9_999)]
    masks = Share(random_array(1, (9_999, 1)), random_array(2, (9_999, 1)))
    tracemalloc.start()
    other_members(PARTIES[0], group(rows), masks, reveal)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("reveal", OF_KEYS)
def test_memory_does_not_tell_group_sizes(reveal: Reveal) -> None:
    """A node tells the coordinator how much memory it took. What little differs is Python's own."""
    peaks = [memory_of(reveal, shared) for shared in (0, 1_666, 3_333)]
    assert max(peaks) - min(peaks) < 1_000, f"{peaks}: no byte for ten rows"
    assert min(peaks) > 9_999 * 24, "NumPy's arrays are counted"
