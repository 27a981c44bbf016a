"""Rows of bytes ↔ bit planes.

Planes come in blocks that fit the processor's cache: an array (blocks, planes, bytes · words) uint64. Word w of a
byte's plane k holds bit k of that byte in 64 rows; row r of the 64 is bit r (little-endian throughout).

Source: Biham, "A Fast New DES Implementation in Software", FSE 1997 (bit-slicing).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mpc import kernel
from mpc.replicated import Array, Share

if sys.byteorder != "little":
    raise ImportError("Matchbit computes on little-endian machines only: shares would mean other rows elsewhere.")

BLOCK_ROWS = 16384
"""Rows of a full block: a plane of it is 32 KB, so that a block's S-boxes stay in a second-level cache."""


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
        rows: (layout.rows, k) uint64: 8k bytes a row.
        layout: of this many rows.

    Returns:
        (blocks, 8, 8k · words) uint64; plane j holds bit j of all bytes, byte after byte.
    """
    step, blocks = 64 * layout.words, layout.blocks
    planes = np.empty((blocks, 8, 8 * rows.shape[1], layout.words), np.uint64)
    for block in range(blocks):
        of_block = rows[block * step : (block + 1) * step]
        if len(of_block) < step:
            of_block = np.pad(of_block, ((0, step - len(of_block)), (0, 0)))
        planes[block] = kernel.to_planes(of_block).reshape(-1, 8, layout.words).transpose(1, 0, 2)
    return planes.reshape(blocks, 8, -1)


def from_planes(planes: Array, layout: Layout) -> Array:
    """The rows again: the inverse of `to_planes`.

    Args:
        planes: (blocks, 8, 8k · words) uint64.
        layout: as it was for `to_planes`.

    Returns:
        (layout.rows, k) uint64.
    """
    step, row_bytes = 64 * layout.words, planes.shape[2] // layout.words
    rows: Array = np.empty((layout.blocks * step, row_bytes // 8), np.uint64)
    for block, by_bit in enumerate(planes.reshape(layout.blocks, 8, row_bytes, layout.words)):
        of_block = by_bit.transpose(1, 0, 2).reshape(8 * row_bytes, layout.words)
        rows[block * step : (block + 1) * step] = kernel.to_rows(of_block, step)
    return rows[: layout.rows]


def on_planes(rows: Share, cipher: Callable[[Share], Share]) -> Share:
    """What becomes of shared rows (n, 2) uint64 when a cipher has gone over their planes; of the same shape."""
    layout = Layout.of(rows.shape[0])
    planes = rows.map(lambda c: to_planes(np.ascontiguousarray(c), layout))
    return cipher(planes).map(lambda c: from_planes(c, layout))
