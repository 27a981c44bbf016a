"""From opened tags to what each row's owner is to learn.

Equal tags are equal keys, so the rows of one tag are one person's rows at different members (a member's own keys are
distinct) or dummies. The tags are pseudo-random and in an order that nobody knows: they tell the committee the group
sizes and nothing else. What follows is local, or linear on shares.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from mpc.committee import PartyId
from mpc.replicated import Array, Share, public


class Reveal(Enum):
    """What a member learns of each of its keys."""

    FLAG = "flag"
    """1 if at least one other member holds it, else 0; uint8."""
    COUNT = "count"
    """How many other members hold it; uint16."""
    MEMBERS = "members"
    """Which other members hold it, bit m of word m // 64 for member m; (ceil(members / 64),) uint64."""


@dataclass(frozen=True, repr=False)
class Groups:
    """Rows sorted so that equal tags are neighbours.

    Attributes:
        order: (n,) row at each sorted place.
        starts: (groups,) first place of each group.
        sizes: (groups,) rows of each group.
    """

    order: Array
    starts: Array
    sizes: Array

    def spread(self, values: Array) -> Array:
        """From one value a group, (groups, ...), to one value a row, (n, ...)."""
        rows = np.empty((len(self.order), *values.shape[1:]), values.dtype)
        rows[self.order] = np.repeat(values, self.sizes, axis=0)
        return rows


def group(tags: Array) -> Groups:
    """Group rows by tag.

    Args:
        tags: (n, 2) uint64, public, n at least one.

    Returns:
        The groups; which comes first has no meaning.
    """
    order = np.argsort(tags[:, 0])
    new = np.empty(len(tags), bool)
    new[0] = True
    first, second = tags[order, 0], tags[order, 1]
    same = first[1:] == first[:-1]
    if np.any(same & (second[1:] != second[:-1])):  # half a tag is shared by chance: sort by both halves
        order = np.lexsort((tags[:, 1], tags[:, 0]))
        first, second = tags[order, 0], tags[order, 1]
        same = first[1:] == first[:-1]
    new[1:] = ~(same & (second[1:] == second[:-1]))
    starts = np.flatnonzero(new)
    return Groups(order, starts, np.diff(starts, append=len(tags)))


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
        masks: shuffled `member_masks`, Share of (n, words) uint64; read for MEMBERS only.
        reveal: what the session's terms allow.

    Returns:
        Share of (n,) uint8 or uint16 (a public value), or of (n, words) uint64 (hidden from the committee).
    """
    if reveal is Reveal.MEMBERS:
        held = masks.map(lambda c: groups.spread(np.bitwise_xor.reduceat(c[groups.order], groups.starts, axis=0)))
        return held ^ masks
    others = np.minimum(groups.sizes - 1, np.iinfo(np.uint16).max)
    value = others > 0 if reveal is Reveal.FLAG else others
    return public(party, groups.spread(value.astype(np.uint8 if reveal is Reveal.FLAG else np.uint16)))
