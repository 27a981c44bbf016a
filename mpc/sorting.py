"""Sorting by 64-bit words with each place packed into the word's lower bits, so that NumPy sorts plain numbers.

That is several times as fast as an argsort, takes no second array, and depends on no sorting algorithm, since no two
numbers are equal. The price: only the upper bits decide, and what is equal there is tied.
"""

from __future__ import annotations

import numpy as np

from mpc.replicated import Array


def order_of(words: Array) -> tuple[Array, Array]:
    """The places of words in the order of their upper bits.

    Args:
        words: (n,) uint64; overwritten. Of each the upper 64 - ceil(log2 n) bits count.

    Returns:
        (n,) uint32, the places in order; (n,) bool, whether the word at a sorted place is tied with the one before it.

    Raises:
        ValueError: n is 2^32 or more.
    """
    n = len(words)
    if n >> 32:
        raise ValueError(f"{n} places do not fit 32 bits")
    bits = np.uint64(max(n - 1, 0).bit_length())
    low = np.uint64((1 << int(bits)) - 1)
    words &= ~low
    words |= np.arange(n, dtype=np.uint64)
    words.sort()
    order = (words & low).astype(np.uint32)
    words >>= bits
    tied = np.zeros(n, bool)
    np.equal(words[1:], words[:-1], out=tied[1:])
    return order, tied


def in_runs(tied: Array) -> Array:
    """The sorted places that are tied with a neighbour: runs, one after the other.

    Args:
        tied: (n,) bool, from `order_of`.

    Returns:
        (k,) sorted places.
    """
    run = tied.copy()
    run[:-1] |= tied[1:]
    return np.flatnonzero(run)
