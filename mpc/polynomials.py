"""Polynomials of shared elements: those whose zeros are a list's keys, and those that count.

Source: Freedman, Nissim, Pinkas, "Efficient Private Matching and Set Intersection", EUROCRYPT 2004; Kissner, Song,
"Privacy-Preserving Set Operations", CRYPTO 2005; see `mpc.blocks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from mpc.blocks import block_keys
from mpc.lanes import Progress
from mpc.mpyc_runtime import CHUNK_ELEMENTS, Runtime, SecureArray


def coefficients(rt: Runtime, keys: SecureArray, size: int) -> SecureArray:
    """The polynomials whose zeros are a list's keys, `size` keys each.

    Args:
        rt: the runtime.
        keys: (n,), shared.
        size: a power of two.

    Returns:
        (blocks, size + 1), shared: at least one block, each with the coefficients of z^0 … z^size, the last of them 1.
        What fills the last block is zero at random elements that nobody knows.

    Cost: log2(size) multiplications of `size` elements each block.
    Reveals: nothing.
    """
    n = keys.shape[0]
    filling = rt.random((-n % size if n else size,))
    found = -np.concatenate((keys, filling)).reshape(-1, 1)
    while (degree := found.shape[1]) < size:
        one, other = found[0::2], found[1::2]
        padding = rt.constant(0, (one.shape[0], degree))
        padded = np.concatenate((padding, one, padding), axis=1)
        places = np.subtract.outer(np.arange(2 * degree), np.arange(degree)) + degree
        product = (padded[:, places] @ other.reshape(-1, degree, 1)).reshape(-1, 2 * degree)
        found = product + np.concatenate((padding, one + other), axis=1)
    return np.concatenate((found, rt.constant(1, (found.shape[0], 1))), axis=1)


def differences(
    rt: Runtime, lists: Sequence[SecureArray], progress: Progress
) -> Iterator[tuple[int, slice, SecureArray]]:
    """For each key and each other member the product of the key's differences to all keys of that member.

    Args:
        rt: the runtime.
        lists: for each member (n,), shared.
        progress: told of every chunk.

    Yields:
        Chunk after chunk the member, which of its keys, and (keys, members - 1), shared: zero where the other one, in
        their order, holds the key.

    Cost: for each key as many multiplications as a block has keys, and two for each block of the others.
    Reveals: nothing.
    Source: see `mpc.blocks`.
    """
    counts = [keys.shape[0] for keys in lists]
    size, total, done, polynomials = block_keys(counts), sum(counts), 0, []
    for keys in lists:
        progress("polynomials", done, total)
        piece = size * max(CHUNK_ELEMENTS // size**2, 1)
        pieces = [coefficients(rt, keys[k : k + piece], size) for k in range(0, max(keys.shape[0], 1), piece)]
        polynomials.append(np.concatenate(pieces, axis=0))
        done += keys.shape[0]
    blocks, done = sum(polynomial.shape[0] for polynomial in polynomials), 0
    for member, keys in enumerate(lists):
        others = [polynomial for k, polynomial in enumerate(polynomials) if k != member]
        columns, ends = np.transpose(np.concatenate(others, axis=0)), np.cumsum([p.shape[0] for p in others])
        for rows in slices(keys.shape[0], max(size + 1, blocks)):
            progress("match", done, total)
            values = rt.matmul(rt.np_vander(keys[rows], size + 1, increasing=True), columns)
            of_others = pairwise((0, *ends.tolist()))
            yield member, rows, np.stack([np.prod(values[:, start:end], axis=1) for start, end in of_others], axis=1)
            done += rows.stop - rows.start


def slices(count: int, columns: int) -> Iterator[slice]:
    """Rows of so many columns in pieces that one operation works on."""
    step = max(CHUNK_ELEMENTS // columns, 1)
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def generating(rt: Runtime, weights: SecureArray, *, stays: int) -> SecureArray:
    """The coefficients of the product of all (1 - stays * w + w z) over the weights w of a row.

    With shared bits and stays = 1 the coefficient of z^c is 1 where c of them are set, and all others are zero; with
    stays = 0 the coefficients are the elementary symmetric polynomials.

    Args:
        rt: the runtime.
        weights: (n, k), shared.
        stays: 0 or 1.

    Returns:
        (n, k + 1), shared: of z^0 … z^k.

    Cost: k (k + 3) / 2 multiplications a row.
    Reveals: nothing.
    """
    found, zero = rt.constant(1, (weights.shape[0], 1)), rt.constant(0, (weights.shape[0], 1))
    for k in range(weights.shape[1]):
        low, high = np.concatenate((found, zero), axis=1), np.concatenate((zero, found), axis=1)
        found = low + (high - stays * low) * weights[:, k : k + 1]
    return found
