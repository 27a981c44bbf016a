"""GF(2^8) as the tower GF(((2^2)^2)^2): the S-box's field in the basis where inversion is cheap.

GF(4) = GF(2)[w]/(w² + w + 1); GF(16) = GF(4)[X]/(X² + X + M); GF(256) = GF(16)[Y]/(Y² + Y + N).
An element is an int; its upper half is the coefficient of the upper variable. Products are given as bilinear maps of
rank 3 over GF(2) for GF(4) and rank 9 for GF(16), by Karatsuba's method: p = contract · (expand·x ∘ expand·y).

Source: Canright, "A Very Compact S-Box for AES", CHES 2005 (the tower; here with polynomial bases).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mpc.circuit import Matrix

M, N = 0b10, 0b1000
"""Coefficients that make the two upper polynomials irreducible (checked by the tests)."""
AES_POLYNOMIAL = 0x11B


def multiply(x: int, y: int, bits: int) -> int:
    """The product of two elements of GF(2^bits), bits in (1, 2, 4, 8), in the tower's basis."""
    if bits == 1:
        return x & y
    half = bits // 2
    mask = (1 << half) - 1
    xh, xl, yh, yl = x >> half, x & mask, y >> half, y & mask
    high, low = multiply(xh, yh, half), multiply(xl, yl, half)
    middle = multiply(xh ^ xl, yh ^ yl, half)
    reduction = {1: 1, 2: M, 4: N}[half]
    return (middle ^ low) << half | low ^ multiply(reduction, high, half)


def power(x: int, exponent: int, bits: int = 8) -> int:
    """The power of x to a non-negative exponent in GF(2^bits), in the tower's basis."""
    result = 1
    for _ in range(exponent):
        result = multiply(result, x, bits)
    return result


def matrix(linear: Callable[[int], int], inputs: int, outputs: int) -> Matrix:
    """The (outputs, inputs) matrix of a GF(2)-linear function of ints; bit k is row or column k."""
    columns = [linear(1 << k) for k in range(inputs)]
    return np.array([[c >> row & 1 for c in columns] for row in range(outputs)], np.uint8)


def apply(linear: Matrix, x: int) -> int:
    """The matrix's product with the bits of x."""
    bits = np.array([x >> k & 1 for k in range(linear.shape[1])], np.uint8)
    return sum(int(bit) << k for k, bit in enumerate(linear @ bits % 2))


def _generator() -> int:
    """A root of AES's polynomial: where AES's x goes in the tower."""
    for root in range(2, 256):
        total = 0
        for k in range(9):
            total ^= power(root, k) if AES_POLYNOMIAL >> k & 1 else 0
        if total == 0:
            return root
    raise AssertionError("GF(256) has a root of every irreducible polynomial of degree 8")


def inverse(square: Matrix) -> Matrix:
    """The inverse of an invertible 8 × 8 matrix over GF(2)."""
    table = {apply(square, x): x for x in range(256)}
    return matrix(lambda y: table[y], 8, 8)


_ROOT = _generator()
TO_TOWER: Matrix = np.stack(
    [np.array([power(_ROOT, k) >> row & 1 for row in range(8)], np.uint8) for k in range(8)], axis=1
)
"""(8, 8): from AES's representation to the tower's."""
FROM_TOWER: Matrix = inverse(TO_TOWER)
"""(8, 8): from the tower's representation to AES's."""

EXPAND4: Matrix = np.array([[1, 0], [0, 1], [1, 1]], np.uint8)
"""(3, 2): low, high, low + high."""
CONTRACT4: Matrix = np.array([[1, 1, 0], [1, 0, 1]], np.uint8)
"""(2, 3): the product in GF(4) from the three products of bits."""
EXPAND16: Matrix = np.kron(EXPAND4, EXPAND4)
"""(9, 4): EXPAND4 of low, high, low + high."""


def _contract16() -> Matrix:
    low, high, middle = (np.kron(unit, CONTRACT4) for unit in np.eye(3, dtype=np.uint8)[:, None])
    times_m = matrix(lambda x: multiply(M, x, 2), 2, 2)
    rows: Matrix = np.concatenate([low ^ times_m @ high % 2, middle ^ low])
    return rows


CONTRACT16: Matrix = _contract16()
"""(4, 9): the product in GF(16) from the nine products of bits."""
