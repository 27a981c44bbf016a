"""Replicated secret sharing over GF(2), two out of three.

Ideal functionality: hold a value so that any two parties can reconstruct it and no single one learns anything.
x = x0 ⊕ x1 ⊕ x2, and P_i holds the pair (x_i, x_{i+1}). Bits are GF(2); an array of any unsigned type is a
vector of bits, so one type serves rows and planes alike.

Source: Araki, Furukawa, Lindell, Nof, Ohara, "High-Throughput Semi-Honest Secure Three-Party Computation with an
Honest Majority", CCS 2016, section 2.1 (here without its subtraction of neighbouring components, as in Mohassel and
Rindal, "ABY3", CCS 2018, section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mpc.committee import PARTIES, PartyId
from mpc.errors import ShareError

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, repr=False)
class Share:
    """One party's part of a shared array.

    Attributes:
        a: component i of party P_i; any shape, unsigned integer dtype, one shared bit for each bit.
        b: component i+1, of the same shape and dtype.

    Raises:
        ShareError: the two components differ in shape or dtype.
    """

    a: Array
    b: Array

    def __post_init__(self) -> None:
        if self.a.shape != self.b.shape or self.a.dtype != self.b.dtype:
            raise ShareError(f"components {self.a.dtype}{self.a.shape} and {self.b.dtype}{self.b.shape}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the shared array."""
        return self.a.shape

    def map(self, linear: Callable[[Array], Array]) -> Share:
        """Apply a GF(2)-linear map of arrays to the shared value. Local."""
        return Share(linear(self.a), linear(self.b))

    def __getitem__(self, index: Any) -> Share:
        return Share(self.a[index], self.b[index])

    def __xor__(self, other: Share) -> Share:
        return Share(self.a ^ other.a, self.b ^ other.b)


def share(value: Array, mask0: Array, mask1: Array) -> tuple[Array, Array, Array]:
    """Split an array into its three components, given two uniformly random arrays like it.

    Args:
        value: any shape, unsigned dtype; secret.
        mask0: uniformly random, same shape and dtype; becomes component 0.
        mask1: the same; becomes component 1.

    Returns:
        The components x0, x1, x2.
    """
    return mask0, mask1, value ^ mask0 ^ mask1


def deal(components: tuple[Array, Array, Array]) -> tuple[Share, Share, Share]:
    """The pair that each party holds, in the order of the parties."""
    p0, p1, p2 = (Share(components[p], components[p.next]) for p in PARTIES)
    return p0, p1, p2


def public(party: PartyId, value: Array) -> Share:
    """A sharing of a public array: the value is component 0, the others are zero. Local."""
    zero = np.zeros_like(value)
    return Share(value if party == PartyId.P0 else zero, value if party.next == PartyId.P0 else zero)


def additive(party: PartyId, share: Share) -> Array | None:
    """The parts whose sum is the value: x0 ⊕ x1 at P0, x2 at P1, none at P2. Local."""
    match party:
        case PartyId.P0:
            return share.a ^ share.b
        case PartyId.P1:
            return share.b
        case PartyId.P2:
            return None


def concatenate(parts: Sequence[Share], axis: int = 0) -> Share:
    """Shared arrays of one dtype joined along an axis. Local."""
    return Share(np.concatenate([p.a for p in parts], axis), np.concatenate([p.b for p in parts], axis))


def reconstruct(shares: tuple[Share, Share, Share]) -> Array:
    """The shared array from all three parties' shares, for owners and tests.

    Raises:
        ShareError: two parties hold different copies of one component.
    """
    for p in PARTIES:
        if not np.array_equal(shares[p].a, shares[p.previous].b):
            raise ShareError(f"parties {p.previous} and {p} differ in component {p}")
    value: Array = shares[0].a ^ shares[1].a ^ shares[2].a
    return value
