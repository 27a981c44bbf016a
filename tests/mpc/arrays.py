"""What several tests need of arrays: strategies, keys from a seed, and the matrix of a set of rows."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from mpc.circuit import Matrix
from mpc.replicated import Array

SEEDS = st.integers(0, 2**32 - 1)


def random_array(seed: int, shape: tuple[int, ...], dtype: str = "uint64") -> Array:
    """Uniformly random, of any unsigned dtype."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8).view(dtype).reshape(shape)


def bits(rows: list[int], columns: int) -> Matrix:
    """One row of the matrix for each int; bit k is column k."""
    return np.array([[row >> k & 1 for k in range(columns)] for row in rows], np.uint8).reshape(-1, columns)


def times(matrix: Matrix, planes: Array) -> Array:
    """matrix · planes over GF(2), bit by bit; planes (inputs, ...) of any unsigned dtype."""
    result = np.zeros((len(matrix), *planes.shape[1:]), planes.dtype)
    for row, column in np.argwhere(matrix).tolist():
        result[row] ^= planes[column]
    return result
