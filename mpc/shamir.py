"""Shamir secret sharing over a prime field that holds a 128-bit key.

Ideal functionality: hold a value so that any t of m parties learn nothing of it, and t + 1 can reconstruct it. Party p,
counted from 0, holds the value at p + 1 of a random polynomial of degree at most t whose value at 0 is the secret.
Arrays of field elements are NumPy's of Python integers (dtype object), as MPyC has them.

Source: Shamir, "How to Share a Secret", CACM 22(11), 1979.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from mpc.errors import ShareError
from mpc.prss import Keystream
from mpc.replicated import Array

PRIME = 2**128 + 51
"""The smallest prime above all keys; less one it is nearly a power of two, so that a zero test is mostly squarings."""
ELEMENT_BYTES = 17
"""Of a field element, the least significant first."""
DIGITS = 9
"""Of 16 bits, of a field element."""
WIDE_BYTES = 32
"""So many random bytes make an element whose distribution is within 2^-126 of uniform."""


def encode(values: Array) -> Array:
    """Field elements as bytes.

    Args:
        values: (…,) object, integers from 0 to PRIME - 1.

    Returns:
        (…, 17) uint8.
    """
    data = b"".join([value.to_bytes(ELEMENT_BYTES, "little") for value in values.reshape(-1).tolist()])
    return np.frombuffer(data, np.uint8).reshape(*values.shape, ELEMENT_BYTES)


def decode(data: Array) -> Array:
    """Field elements from bytes.

    Args:
        data: (…, 17) uint8.

    Returns:
        (…,) object.

    Raises:
        ShareError: something else, or one of them is no element of the field.
    """
    if data.dtype != np.uint8 or data.shape[-1:] != (ELEMENT_BYTES,):
        raise ShareError(f"{data.dtype}{data.shape} where field elements are due")
    values = _integers(data.tobytes(), ELEMENT_BYTES, data.shape[:-1])
    if np.any(values >= PRIME):
        raise ShareError("a number that is no element of the field")
    return values


def _integers(data: bytes, size: int, shape: tuple[int, ...]) -> Array:
    numbers = [int.from_bytes(data[k : k + size], "little") for k in range(0, len(data), size)]
    values = np.empty(len(numbers), object)
    values[:] = numbers
    return values.reshape(shape)


def uniform(data: bytes, shape: tuple[int, ...]) -> Array:
    """Uniform field elements, object array of this shape, from 32 uniform bytes for each."""
    return _integers(data, WIDE_BYTES, shape) % PRIME


def field_elements(stream: Keystream, shape: tuple[int, ...]) -> Array:
    """The next uniform field elements of a stream, object array of this shape."""
    return uniform(stream.random((WIDE_BYTES * math.prod(shape),), np.uint8).tobytes(), shape)


def keys_as_elements(keys: Array) -> Array:
    """Keys, (n, 2) uint64, as field elements, (n,) object: word 0 holds the lower 64 bits."""
    low, high = keys.astype(object).T
    values: Array = low + (high << 64)
    return values


def split(values: Array, coefficients: Array, parties: int) -> list[Array]:
    """Shares of values.

    Args:
        values: object array of any shape; secret.
        coefficients: (t, …) object: uniformly random field elements, for each value t of them.
        parties: m.

    Returns:
        m object arrays of the values' shape; that of party p is at point p + 1.
    """
    shares = []
    for point in range(1, parties + 1):
        share = np.zeros_like(values)
        for coefficient in coefficients:
            share = (share + coefficient) * point
        shares.append((share + values) % PRIME)
    return shares


def reconstruct(shares: Sequence[Array], threshold: int) -> Array:
    """The secrets from all parties' shares.

    Args:
        shares: in the parties' order; object arrays of one shape.
        threshold: t.

    Returns:
        (…,) object.

    Raises:
        ShareError: they are not on polynomials of degree at most t: a party gave something else.
    """
    few = np.stack(shares[: threshold + 1])
    for point in range(threshold + 2, len(shares) + 1):
        if np.any(interpolate(few, point) != shares[point - 1]):
            raise ShareError("shares that do not fit together")
    return interpolate(few, 0)


def interpolate(shares: Array, at: int) -> Array:
    """The values at a point of the polynomials of least degree through the first parties' shares, (k, …) object."""
    weights = np.array(lagrange(tuple(range(1, len(shares) + 1)), at), object)
    return np.tensordot(weights, shares, 1) % PRIME


@lru_cache
def lagrange(points: tuple[int, ...], at: int) -> tuple[int, ...]:
    """By what the values at distinct points are multiplied to give, summed up, the value at another one."""
    weights = []
    for i in points:
        others = [j for j in points if j != i]
        above, below = math.prod(at - j for j in others), math.prod(i - j for j in others)
        weights.append(above * pow(below, -1, PRIME) % PRIME)
    return tuple(weights)


def matmul(a: Array, b: Array) -> Array:
    """The product of two matrices of field elements, by floating-point products of their 16-bit digits.

    Each such product is of integers below 2^16, and sums of up to 2^17 of nine of them are exact in 53 bits. It takes a
    tenth of the time of Python's integers.

    Args:
        a: (n, k) object.
        b: (k, m) object; k at most 2^17.

    Returns:
        (n, m) object.
    """
    left, right = _digits(a), _digits(b)
    sums = np.zeros((2 * DIGITS + 2, a.shape[0], b.shape[1]), np.int64)
    for i, one in enumerate(left):
        for j, other in enumerate(right):
            sums[i + j] += (one @ other).astype(np.int64)
    digits, carry = np.empty((*sums.shape[1:], len(sums)), np.uint16), np.zeros(sums.shape[1:], np.int64)
    for place, value in enumerate(sums):
        carry += value
        digits[..., place] = carry & 0xFFFF
        carry >>= 16
    product: Array = _integers(digits.tobytes(), 2 * len(sums), sums.shape[1:]) % PRIME
    return product


def _digits(values: Array) -> Array:
    """(9, …) float64: the 16-bit digits of field elements, the least significant first."""
    padded = np.zeros((*values.shape, 2 * DIGITS), np.uint8)
    padded[..., :ELEMENT_BYTES] = encode(values)
    return np.ascontiguousarray(np.moveaxis(padded.view("<u2"), -1, 0)).astype(np.float64)
