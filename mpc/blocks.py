"""How the lists of a session are cut into polynomials for the MPyC engine, and what that costs. Pure arithmetic.

A member's key x is another member's when the product of its differences (x - y) to all of that one's keys is zero. The
keys y are taken in blocks: a block's differences are one polynomial in x, whose coefficients are computed once, and
its value at x is one inner product with the powers of x. So a list of n keys needs about √n multiplications of shares
for each x in place of n.

Source: polynomials for private matching, Freedman, Nissim, Pinkas, EUROCRYPT 2004; powers and coefficients as in
Paterson, Stockmeyer, "On the Number of Nonscalar Multiplications Necessary to Evaluate Polynomials", 1973.
"""

from __future__ import annotations

from collections.abc import Sequence

from mpc.matching import Reveal

LARGEST = 1 << 10
"""Keys of a block at most: one row of powers of each of a chunk's keys is in memory at once."""
ZERO_TEST = 133
"""Multiplications that tell as a shared bit whether a shared element is zero."""


def block_keys(counts: Sequence[int]) -> int:
    """Keys of a block, a power of two, for members with so many keys each.

    Each x needs as many powers as a block has keys, and about two multiplications for each block of the others.
    """
    others = sum(counts) - min(counts)
    size = 1
    while size < LARGEST and size * size < 2 * others:
        size *= 2
    return size


def multiplications(counts: Sequence[int], reveal: Reveal) -> int:
    """Multiplications of shares that a session takes, each with a message of 2t + 1 parties to every other.

    Exact but for STATISTICS, where few more are not counted: of holders of each cell.
    """
    size, others = block_keys(counts), len(counts) - 1
    blocks = [max(-(-count // size), 1) for count in counts]
    after = {Reveal.COUNT: others * (others + 5) // 2, Reveal.STATISTICS: others * (ZERO_TEST + others)}
    found = sum(n * (size - 1 + 2 * (sum(blocks) - own)) for n, own in zip(counts, blocks, strict=True))
    return found + sum(counts) * after.get(reveal, 0) + sum(blocks) * size * (size.bit_length() - 1)


MULTIPLICATION_S = 0.75e-6
"""What a multiplication takes a party for each party that it sends to, and for each that it hears of."""
ELEMENT_S = 0.5e-6
"""What is done locally to an element that tells of a row and a cell, for each member."""
COMPARISON_S = 1e-3
"""What it takes a party to compare a number with the smallest that may be shown."""
MOST_SECONDS = 1800.0
"""Lists that take longer, by `seconds`, are for the other engine."""


def seconds(members: int, keys_each: int, committee: int, threshold: int, reveal: Reveal, *, cells: int = 0) -> float:
    """About how long a session takes where each node has a core of its own, at a fast line.

    Args:
        members: that bring lists.
        keys_each: keys of each.
        committee: nodes.
        threshold: t.
        reveal: what members learn.
        cells: of a table.
    """
    counts = [keys_each] * members
    multiplied = multiplications(counts, reveal) * (committee + 2 * threshold) * MULTIPLICATION_S
    return multiplied + (sum(counts) * ELEMENT_S + COMPARISON_S) * cells * members


def table_seconds(members: int, keys_each: int, cells: int) -> float:
    """About how long a table takes at the end of the replicated engine, besides its own time; as for `seconds`."""
    others = members - 1
    each = 3 * (others + cells) + others * (others + 5) // 2
    rows, numbers = members * keys_each, cells * members
    return rows * each * 5 * MULTIPLICATION_S + (rows * ELEMENT_S + COMPARISON_S) * numbers
