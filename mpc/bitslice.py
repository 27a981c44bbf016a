"""Rows of 16 bytes ↔ bit planes.

Planes come in blocks that fit the processor's cache: an array (blocks, planes, bytes · words) uint64. Word w of a
byte's plane k holds bit k of that byte in 64 rows; row r of the 64 is bit r (little-endian throughout).

Source: Biham, "A Fast New DES Implementation in Software", FSE 1997 (bit-slicing); Warren, "Hacker's Delight",
section 7-3 (the 8 × 8 bit transposition).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mpc.replicated import Array, Share

if sys.byteorder != "little":
    raise ImportError("Matchbit computes on little-endian machines only: shares would mean other rows elsewhere.")

BLOCK_ROWS = 16384
"""Rows of a full block: a plane of it is 32 KB, so that a block's S-boxes stay in a second-level cache."""
ROW_BYTES = 16


@dataclass(frozen=True)
class Layout:
    """How a number of rows is laid out in planes.

    Attributes:
        rows: rows in all, at least one.
        blocks: blocks they are cut into, all of the same size.
        words: 64-row words of each block. The rows fill the blocks in order; the padding, less than one word for
            each block, is at the end.
    """

    rows: int
    blocks: int
    words: int

    @classmethod
    def of(cls, rows: int) -> Layout:
        """The layout with the fewest full blocks and the least padding."""
        blocks = -(-rows // BLOCK_ROWS)
        return cls(rows, blocks, -(-rows // (64 * blocks)))


def to_planes(rows: Array, layout: Layout) -> Array:
    """Transpose rows into planes; padding is zero. GF(2)-linear.

    Args:
        rows: (layout.rows, 2) uint64: 16 bytes a row.
        layout: of this many rows.

    Returns:
        (blocks, 8, 16 · words) uint64; plane k holds bit k of bytes 0 … 15, byte after byte.
    """
    padded = np.zeros((layout.blocks * layout.words * 64, ROW_BYTES), np.uint8)
    padded[: layout.rows] = rows.view(np.uint8)
    by_byte = padded.reshape(layout.blocks, layout.words * 64, ROW_BYTES).transpose(0, 2, 1)
    words = np.ascontiguousarray(by_byte).view(np.uint64)
    _transpose_bits(words)
    by_bit = words.view(np.uint8).reshape(layout.blocks, ROW_BYTES * layout.words * 8, 8).transpose(0, 2, 1)
    return np.ascontiguousarray(by_bit).view(np.uint64)


def from_planes(planes: Array, layout: Layout) -> Array:
    """The rows again: the inverse of `to_planes`.

    Args:
        planes: (blocks, 8, 16 · words) uint64.
        layout: as it was for `to_planes`.

    Returns:
        (layout.rows, 2) uint64.
    """
    by_row = planes.view(np.uint8).transpose(0, 2, 1)
    words = np.ascontiguousarray(by_row).view(np.uint64).reshape(layout.blocks, ROW_BYTES, layout.words * 8)
    _transpose_bits(words)
    rows = words.view(np.uint8).transpose(0, 2, 1).reshape(-1, ROW_BYTES)
    return np.ascontiguousarray(rows[: layout.rows]).view(np.uint64)


def on_planes(rows: Share, cipher: Callable[[Share], Share]) -> Share:
    """What becomes of shared rows (n, 2) uint64 when a cipher has gone over their planes; of the same shape."""
    layout = Layout.of(rows.shape[0])
    planes = rows.map(lambda c: to_planes(np.ascontiguousarray(c), layout))
    return cipher(planes).map(lambda c: from_planes(c, layout))


def _transpose_bits(words: Array) -> None:
    """Transpose every word as an 8 × 8 matrix of bits, in place."""
    for shift, mask in ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0)):
        swapped = (words ^ words >> np.uint64(shift)) & np.uint64(mask)
        words ^= swapped
        words ^= swapped << np.uint64(shift)
