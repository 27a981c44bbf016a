"""The rule in plain text, against the same rule told pair by pair without circuits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc import similar
from mpc.linkage import LEVELS, Comparison, Kind, Linkage
from mpc.matching import group
from mpc.similar import CHUNK_PAIRS, Chunks
from tests.mpc import alike
from tests.mpc.alike import FLAGS, LINKAGE, Record, encoded, expected, people


def counts_of(records: list[Record], members: int = 3) -> list[int]:
    return np.bincount([r.member for r in records], minlength=members).tolist()


@pytest.mark.parametrize("linkage", [LINKAGE, FLAGS], ids=["grades", "flag"])
@settings(max_examples=60)
@given(people())
def test_plain_is_the_rule(linkage: Linkage, records: list[Record]) -> None:
    found = similar.plain(linkage, encoded(linkage, records), counts_of(records))
    assert found.tolist() == expected(linkage, records)


@given(people(most=15))
def test_levels_and_scores(records: list[Record]) -> None:
    vectors = encoded(LINKAGE, records)[:, 2 * LINKAGE.keys :]
    left, right = (side.reshape(-1) for side in np.meshgrid(*[np.arange(len(records))] * 2))
    levels = similar.levels(LINKAGE, vectors[left], vectors[right])
    pairs = [(records[a].vector, records[b].vector) for a, b in zip(left.tolist(), right.tolist(), strict=True)]
    wanted = [
        [alike.level_of(c.kind, x, y) for c, x, y in zip(LINKAGE.comparisons, a, b, strict=True)] for a, b in pairs
    ]
    assert levels.tolist() == [[-1 if level is None else level for level in row] for row in wanted]
    assert similar.scores(LINKAGE, vectors[left], vectors[right]).tolist() == [
        alike.score(LINKAGE, a, b) for a, b in pairs
    ]


@pytest.mark.parametrize("kind", Kind)
def test_every_level_can_be_reached(kind: Kind) -> None:
    linkage = Linkage(1, (Comparison(kind, 4, tuple(range(LEVELS[kind]))),), (1,), 2)
    rng = np.random.default_rng(3)
    seen = set()
    for _ in range(1500):
        vector = alike._vector(linkage, rng)
        told = [Record(0, (0,), alike._told(linkage, v, rng)) for v in (vector, vector, alike._vector(linkage, rng))]
        vectors = encoded(linkage, told)[:, 2:]
        seen |= set(similar.levels(linkage, vectors[[0, 0]], vectors[[1, 2]]).reshape(-1).tolist())
    assert seen == {*range(-1, LEVELS[kind])}


@given(people())
def test_candidates_are_the_pairs_that_share_a_key(records: list[Record]) -> None:
    keys = encoded(LINKAGE, records)[:, : 2 * LINKAGE.keys].reshape(len(records), LINKAGE.keys, 2)
    groups: dict[tuple[int, int], list[int]] = {}
    for k, record in enumerate(records):
        for slot, key in enumerate(record.keys):
            groups.setdefault((slot, key), []).append(k)
    wanted = {
        (a, b)
        for group in groups.values()
        if len(group) <= LINKAGE.largest_group
        for a in group
        for b in group
        if a < b and records[a].member != records[b].member
    }
    assert similar.candidates(LINKAGE, keys, counts_of(records)).tolist() == sorted(map(list, wanted))


@pytest.mark.parametrize("sizes", [[], [1], [2], [5, 1, 4, 3], [1] * 7, [4] * 30, [2, 3] * 40])
def test_chunks_hold_each_pair_of_compared_groups_once(sizes: list[int]) -> None:
    tags = np.repeat(np.arange(len(sizes), dtype=np.uint64), sizes)
    rows = np.random.default_rng(1).permutation(len(tags))
    chunks = Chunks(LINKAGE, group(np.stack([tags[rows]] * 2, axis=1))) if len(tags) else None
    found = []
    for number in range(chunks.number if chunks else 0):
        pairs = chunks.pairs(number)
        assert len(set(pairs.rows.tolist())) == len(pairs.rows)
        found += [frozenset(p) for p in zip(pairs.rows[pairs.left], pairs.rows[pairs.right], strict=True)]
        of_row, lengths = pairs.by_row()
        for row, own in enumerate(np.split(of_row, np.cumsum(lengths)[:-1])):
            assert sorted(own) == np.flatnonzero((pairs.left == row) | (pairs.right == row)).tolist()
            assert lengths[row] > 0
    tag_of = tags[rows]
    wanted = {
        frozenset((a, b))
        for a in range(len(rows))
        for b in range(a)
        if tag_of[a] == tag_of[b] and sizes[int(tag_of[a])] <= LINKAGE.largest_group
    }
    assert len(found) == len(set(found))
    assert set(found) == wanted
    assert (chunks.total if chunks else 0) == len(wanted)


@given(st.integers(0, 3))
def test_chunks_are_not_longer_than_they_may_be(seed: int) -> None:
    tags = np.random.default_rng(seed).integers(0, 20_000, (120_000, 1)).astype(np.uint64).repeat(2, axis=1)
    linkage = Linkage(1, LINKAGE.comparisons, (1,), 40)
    chunks = Chunks(linkage, group(tags))
    sizes = [len(chunks.pairs(number).left) for number in range(chunks.number)]
    assert chunks.number > 3
    assert sum(sizes) == chunks.total
    assert max(sizes) < CHUNK_PAIRS + 40 * 39 // 2
    assert min(sizes[:-1]) > CHUNK_PAIRS - 40 * 39 // 2


def test_nothing_is_found_where_there_is_nothing() -> None:
    for counts in ([0, 0], [1, 0], [0, 3]):
        records = [
            Record(m, (9, 9, 9), alike._vector(LINKAGE, np.random.default_rng(1)))
            for m in (0, 1)
            for _ in range(counts[m])
        ]
        assert similar.plain(LINKAGE, encoded(LINKAGE, records), counts).tolist() == [0] * sum(counts)
    nobody = Record(0, (1, 1, 1), tuple((None,) * c.values for c in LINKAGE.comparisons))
    pair = [nobody, Record(1, nobody.keys, nobody.vector)]
    assert similar.plain(LINKAGE, encoded(LINKAGE, pair), [1, 1]).tolist() == [0, 0], "what is missing weighs nothing"
