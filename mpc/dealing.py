"""Whether what members dealt by Shamir's scheme is what they have to deal.

A member's rows are shares of degree t: of a key and, for statistics, of one element for each cell, of which one is 1.
One random combination of all of a member's elements is shown, with a coin that falls after they are dealt.

Source: checks by a random linear combination as in Damgård, Nielsen, "Scalable and Unconditionally Secure Multiparty
Computation", CRYPTO 2007.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mpc import shamir
from mpc.errors import DealingError, ShareError
from mpc.mpyc_runtime import CHUNK_ELEMENTS, Runtime, SecureArray
from mpc.replicated import Array
from mpc.shamir import ELEMENT_BYTES, PRIME


def check_dealing(rt: Runtime, given: Sequence[Array]) -> None:
    """Check that what each member dealt is shares of degree t: one random combination of all of it is shown.

    A member that dealt others could have products come out as it likes. The combination is masked by a random element.

    Args:
        rt: the runtime.
        given: for each member (keys, width, 17) uint8.

    Cost: 2 rounds; 17 B, and 17 B for each member, from each party to each other.
    Reveals: nothing.
    Raises: PeerError; DealingError.
    Source: Damgård, Nielsen, CRYPTO 2007.
    """
    weight = coin(rt)
    combined = np.array([_combined(member, shares, weight) for member, shares in enumerate(given)], object)
    shares = rt.shown((combined + rt.share(rt.random(combined.shape))) % PRIME)
    for member in range(len(given)):
        try:
            shamir.reconstruct([share[member : member + 1] for share in shares], rt.threshold)
        except ShareError:
            raise DealingError(member) from None


def _combined(member: int, shares: Array, weight: int) -> int:
    """The sum of a member's elements, each times another power of a weight."""
    flat, total = shares.reshape(-1, ELEMENT_BYTES), 0
    for start in range(0, len(flat), CHUNK_ELEMENTS):
        try:
            values = shamir.decode(flat[start : start + CHUNK_ELEMENTS])
        except ShareError:
            raise DealingError(member) from None
        total += pow(weight, start, PRIME) * int(np.dot(_powers(weight, values.size), values))
    return total % PRIME


def coin(rt: Runtime) -> int:
    """A random element that all parties learn.

    Cost: 1 round; 17 B from each party to each other.
    Reveals: the element, which depends on nothing.
    """
    return int(rt.opened(rt.random((1,)))[0])


def _powers(base: int, number: int) -> Array:
    """base^1 … base^number, (number,) object."""
    powers, power = np.empty(number, object), 1
    for k in range(number):
        powers[k] = power = power * base % PRIME
    return powers


def check_cells(rt: Runtime, member: int, cells: SecureArray) -> SecureArray:
    """Check that each row is in exactly one cell; returns the cells.

    Args:
        rt: the runtime.
        member: whose rows they are.
        cells: (n, cells), shared.

    Cost: 3 rounds.
    Reveals: for an honest member nothing: a random combination of zeros.
    Raises: PeerError; DealingError.
    """
    if not cells.shape[0]:
        return cells
    weight = coin(rt)
    flat = cells.reshape(1, -1)
    weights = _powers(weight, flat.shape[1] + cells.shape[0])
    of_bits = (flat * weights[: flat.shape[1]]) @ (flat - 1).reshape(-1, 1)
    of_rows = (np.sum(cells, axis=1) - 1) * weights[flat.shape[1] :]
    if rt.opened(of_bits.reshape(1) + np.sum(of_rows.reshape(1, -1), axis=1))[0] != 0:
        raise DealingError(member)
    return cells
