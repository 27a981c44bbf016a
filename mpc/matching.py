"""From opened tags to what each row's owner is to learn.

Equal tags are equal keys, so the rows of one tag are one person's rows at different members (a member's own keys are
distinct) or dummies. The tags are pseudo-random and in an order that nobody knows: they tell the committee the group
sizes and nothing else. What follows is local, or linear on shares; and it takes as much memory and as many operations
whatever the groups are, so that who sees only how a party works does not learn of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from mpc.committee import PartyId
from mpc.replicated import Array, Share, public
from mpc.sorting import order_of

ALL_GRADES = 0b111
"""What an equal key is worth where similar records are graded."""


class Reveal(Enum):
    """What a member learns of each of its keys."""

    FLAG = "flag"
    """1 if at least one other member holds it, else 0; uint8."""
    GRADE = "grade"
    """How sure it is that another member holds it, beside `mpc.linkage`'s thresholds; uint8, a bit for each grade."""
    COUNT = "count"
    """How many other members hold it; uint16."""
    MEMBERS = "members"
    """Which other members hold it, bit m of word m // 64 for member m; (ceil(members / 64),) uint64."""
    STATISTICS = "statistics"
    """Nothing of single keys: a table that all members get, of how many people are held by 1, 2, 3 … members."""

    @property
    def by_member(self) -> bool:
        """Whether it takes which others hold a key, not only how many."""
        return self in (Reveal.MEMBERS, Reveal.STATISTICS)


@dataclass(frozen=True, repr=False)
class Groups:
    """Rows sorted so that equal tags are neighbours.

    Attributes:
        order: (n,) uint32, row at each sorted place.
        number: (n,) uint32, number of the group at each sorted place: 0, 1, 2 …
        sizes: (n,) uint32, rows of each group, by its number; zero where there is no group of this number.
    """

    order: Array
    number: Array
    sizes: Array

    def spread(self, values: Array) -> Array:
        """From one value a group, by its number, to one value a row; both (n, ...)."""
        return self.at_rows(values[self.number])

    def at_rows(self, values: Array) -> Array:
        """From one value a sorted place to one value a row; both (n, ...)."""
        rows = np.empty_like(values)
        rows[self.order] = values
        return rows

    def add(self, values: Array) -> Array:
        """From one value a row to each group's sum, by its number; both (n, ...)."""
        ends = np.cumsum(self.sizes, dtype=np.intp)
        sums = np.zeros((len(values) + 1, *values.shape[1:]), values.dtype)
        np.bitwise_xor.accumulate(values[self.order], axis=0, out=sums[1:])
        found: Array = sums[ends] ^ sums[ends - self.sizes]
        return found


def group(tags: Array) -> Groups:
    """Group rows by tag.

    Args:
        tags: (n, 2) uint64, public, n at least one.

    Returns:
        The groups; which comes first has no meaning.
    """
    order, tied = order_of(tags[:, 0].copy())
    same = _same(tags, order)
    if np.any(mixed := tied & ~same):  # what was sorted by is shared by chance: sort those runs by all of the tag
        run = np.cumsum(~tied, dtype=np.uint32)
        is_mixed = np.zeros(len(tags) + 1, bool)
        is_mixed[run[mixed]] = True
        places = np.flatnonzero(is_mixed[run])  # no others: how many tags are equal shows in no time or memory
        first, second = np.take(tags, order[places], axis=0).T
        order[places] = order[places][np.lexsort((second, first, run[places]))]
        same = _same(tags, order)
    number = np.cumsum(~same, dtype=np.uint32)
    number -= np.uint32(1)
    return Groups(order, number, np.bincount(number, minlength=len(tags)).astype(np.uint32))


def _same(tags: Array, order: Array) -> Array:
    """(n,) bool: whether the tag at a sorted place is that of the one before it."""
    ordered = np.take(tags, order, axis=0)
    same = np.zeros(len(tags), bool)
    np.equal(ordered[1:, 0], ordered[:-1, 0], out=same[1:])
    same[1:] &= ordered[1:, 1] == ordered[:-1, 1]
    return same


def member_masks(party: PartyId, counts: tuple[int, ...], rows: int) -> Share:
    """For every row a sharing of a mask with its member's bit set; public until the rows are shuffled.

    Args:
        party: who I am.
        counts: rows of each member, in the rows' order.
        rows: in all; those after the members' are dummies, whose masks are zero.

    Returns:
        Share of (rows, ceil(members / 64)) uint64.
    """
    member = np.repeat(np.arange(len(counts)), counts)
    masks = np.zeros((rows, -(-len(counts) // 64)), np.uint64)
    masks[np.arange(len(member)), member // 64] = np.uint64(1) << (member % 64).astype(np.uint64)
    return public(party, masks)


def other_members(party: PartyId, groups: Groups, masks: Share, reveal: Reveal) -> Share:
    """What each row's owner is to learn, still in shuffled order. Local.

    Args:
        party: who I am.
        groups: of the opened tags.
        masks: shuffled `member_masks`, Share of (n, words) uint64; read where it is by member only.
        reveal: what the session's terms allow; where it is grades, an equal key has all of them.

    Returns:
        Share of (n,) uint8 or uint16 (a public value), or of (n, words) uint64 (hidden from the committee).
    """
    if reveal.by_member:
        held = masks.map(lambda c: groups.spread(groups.add(c)))
        return held ^ masks
    others = np.clip(groups.sizes, 1, 1 + np.iinfo(np.uint16).max) - np.uint32(1)
    if reveal is Reveal.COUNT:
        return public(party, groups.spread(others.astype(np.uint16)))
    found = np.uint8(1 if reveal is Reveal.FLAG else ALL_GRADES)
    return public(party, groups.spread((others > 0) * found))
