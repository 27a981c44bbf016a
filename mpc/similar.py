"""What a rule on similar records finds, in plain text: which pairs it compares, and what of them each record learns.

It says which rows make a group, which groups are compared and in what chunks, for the run on shares (`mpc.compare`) as
well; the grades come from the same circuit. Both find the same, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mpc import kernel, matching
from mpc.circuit import Program
from mpc.linkage import MEMBER_BITS, Linkage, Pair
from mpc.logic import distinct
from mpc.matching import Groups
from mpc.replicated import Array

CHUNK_PAIRS = 1 << 15
"""Pairs that are compared together at most, and those that the last group of them has besides."""


@dataclass(frozen=True, repr=False)
class Pairs:
    """Pairs within some groups.

    Attributes:
        rows: (r,) rows, group after group.
        left: (p,) places in `rows`; with `right` the two rows of each pair.
        right: (p,) places in `rows`.
    """

    rows: Array
    left: Array
    right: Array

    def by_row(self) -> tuple[Array, Array]:
        """(2p,) each row's pairs, row after row; and (r,) how many it has."""
        both = np.concatenate([self.left, self.right])
        return np.argsort(both, kind="stable") % len(self.left), np.bincount(both, minlength=len(self.rows))


class Chunks:
    """The pairs of all groups that are compared, cut into chunks of whole groups. Public.

    Args:
        linkage: the rule.
        groups: of the rows.
        size: pairs of a chunk, and those that its last group has besides; a chunk may have none at all.

    Attributes:
        total: pairs in all.
    """

    def __init__(self, linkage: Linkage, groups: Groups, size: int = CHUNK_PAIRS) -> None:
        self.size = size
        self._order = groups.order
        sizes = groups.sizes.astype(np.int64)
        starts = np.cumsum(sizes) - sizes
        compared = (sizes > 1) & (sizes <= linkage.largest_group)
        self._starts, self._sizes = starts[compared], sizes[compared]
        pairs = self._sizes * (self._sizes - 1) // 2
        self.total = int(pairs.sum())
        self._cuts = np.searchsorted(np.cumsum(pairs) - pairs, np.arange(0, self.total + size, size))

    @property
    def number(self) -> int:
        """How many there are."""
        return -(-self.total // self.size)

    def pairs(self, number: int) -> Pairs:
        """One chunk's pairs."""
        groups = slice(*self._cuts[number : number + 2])
        sizes = self._sizes[groups]
        first = np.repeat(np.cumsum(sizes), sizes)  # the place after each row's group
        here = np.arange(len(first))
        after = first - 1 - here
        left = np.repeat(here, after)
        return Pairs(self._order[places(self._starts[groups], sizes)], left, places(here + 1, after))


def split(linkage: Linkage, records: Array) -> tuple[Array, Array]:
    """Blocking keys (n, keys, 2) and comparison vectors (n, words)."""
    cut = 2 * linkage.keys
    return records[:, :cut].reshape(len(records), linkage.keys, 2), records[:, cut:]


def member_numbers(counts: Sequence[int]) -> Array:
    """(sum of counts,) uint64: each record's member, in the bits for it."""
    return np.repeat(np.arange(len(counts), dtype=np.uint64), counts) << np.uint64(64 - MEMBER_BITS)


def marked(vectors: Array, numbers: Array) -> Array:
    """Comparison vectors (n, words) with the numbers (n,) of their members where these belong, whatever was there."""
    made = vectors.copy()
    made[:, -1] = vectors[:, -1] & np.uint64(2 ** (64 - MEMBER_BITS) - 1) ^ numbers
    return made


def pair_planes(vectors: Array, pairs: Pairs) -> Array:
    """(2 · 64 · words, length) uint64: the planes of the left records' vectors, then those of the right ones'."""
    return np.concatenate([kernel.to_planes(np.take(vectors, side, axis=0)) for side in (pairs.left, pairs.right)])


def as_bytes(planes: Array, count: int) -> Array:
    """(count,) uint8 with bit k from plane k."""
    bits = np.unpackbits(np.ascontiguousarray(planes).view(np.uint8), axis=1, count=count, bitorder="little")
    joint: Array = np.bitwise_or.reduce(bits << np.arange(len(bits), dtype=np.uint8)[:, None], axis=0)
    return joint


def places(starts: Array, counts: Array) -> Array:
    """Runs of places: counts[k] of them from starts[k] on, one run after the other."""
    ends = np.cumsum(counts)
    return np.repeat(starts - (ends - counts), counts) + np.arange(ends[-1] if len(ends) else 0)


def plain(linkage: Linkage, records: Array, counts: Sequence[int]) -> Array:
    """What all members together learn, computed on their pooled records in plain text.

    Args:
        linkage: the rule.
        records: (n, record_words) uint64, member after member.
        counts: records of each member.

    Returns:
        (n,) uint8, as in `compare`.
    """
    if not len(records):
        return np.zeros(0, np.uint8)
    keys, vectors = split(linkage, records)
    vectors = marked(vectors, member_numbers(counts))
    groups, (program, which) = matching.group(keys.reshape(-1, 2)), _program(linkage)
    values, chunks = np.zeros(len(groups.order), np.uint8), Chunks(linkage, groups)
    for number in range(chunks.number):
        pairs = chunks.pairs(number)
        planes = pair_planes(vectors[pairs.rows // linkage.keys], pairs)
        grades = as_bytes(program.run(_with_ones(planes))[which], len(pairs.left))
        for side in (pairs.left, pairs.right):
            np.bitwise_or.at(values, pairs.rows[side], grades)
    found: Array = np.bitwise_or.reduce(values.reshape(len(records), linkage.keys), axis=1)
    return found


def candidates(linkage: Linkage, keys: Array, counts: Sequence[int]) -> Array:
    """The pairs of records that a rule compares.

    Args:
        linkage: the rule.
        keys: (n, keys, 2) uint64: blocking keys, member after member.
        counts: records of each member.

    Returns:
        (p, 2) int64, ascending: distinct pairs of records of different members that share a blocking key, the earlier
        record first.
    """
    if not len(keys):
        return np.zeros((0, 2), np.int64)
    member = np.repeat(np.arange(len(counts)), counts)
    chunks, found = Chunks(linkage, matching.group(keys.reshape(-1, 2))), [np.zeros(0, np.int64)]
    for number in range(chunks.number):
        pairs = chunks.pairs(number)
        left, right = (pairs.rows[side].astype(np.int64) // linkage.keys for side in (pairs.left, pairs.right))
        other = member[left] != member[right]
        first, second = np.minimum(left, right)[other], np.maximum(left, right)[other]
        found.append(np.unique(first * len(keys) + second))
    return np.stack(np.divmod(np.unique(np.concatenate(found)), max(len(keys), 1)), axis=1)


def levels(linkage: Linkage, left: Array, right: Array) -> Array:
    """The level of each comparison.

    Args:
        linkage: the rule.
        left: (p, words) uint64: a comparison vector of each pair.
        right: the same of the other record.

    Returns:
        (p, comparisons) int8; -1 where one of the two has no value.
    """
    pair, count = Pair(linkage), len(left)
    outputs, which = distinct(pair.logic, [signal for of_comparison in pair.levels for signal in of_comparison])
    program = pair.logic.circuit.compile(outputs)
    found = np.full((count, len(linkage.comparisons)), -1, np.int8)
    for start in range(0, count, CHUNK_PAIRS):
        end = min(start + CHUNK_PAIRS, count)
        size = end - start
        both = np.concatenate([left[start:end], right[start:end]])
        planes = pair_planes(both, Pairs(np.arange(2 * size), np.arange(size), np.arange(size, 2 * size)))
        bits = np.unpackbits(program.run(_with_ones(planes)).view(np.uint8), axis=1, count=size, bitorder="little")
        output = iter(which)
        for column, of_comparison in enumerate(pair.levels):
            for level in range(len(of_comparison)):
                found[start:end, column][bits[next(output)].astype(bool)] = level
    return found


def scores(linkage: Linkage, left: Array, right: Array) -> Array:
    """(p,) int32: the sum of weights of the levels of each pair, from comparison vectors as in `levels`."""
    reached, total = levels(linkage, left, right), np.zeros(len(left), np.int32)
    for column, comparison in enumerate(linkage.comparisons):
        total += np.array([*comparison.weights, 0], np.int32)[reached[:, column]]
    return total


def _program(linkage: Linkage) -> tuple[Program, list[int]]:
    pair = Pair(linkage)
    outputs, which = distinct(pair.logic, pair.grades)
    return pair.logic.circuit.compile(outputs), which


def _with_ones(planes: Array) -> Array:
    return np.concatenate([planes, np.full((1, planes.shape[1]), np.uint64(2**64 - 1))])
