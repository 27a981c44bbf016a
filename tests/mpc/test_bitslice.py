from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.bitslice import BLOCK_ROWS, Layout, from_planes, to_planes
from tests.mpc.arrays import SEEDS, random_array

TAILS = [1, 2, 63, 64, 65, 127, 128, 129, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 2 * BLOCK_ROWS + 1, 40_000]


@pytest.mark.parametrize("rows", TAILS)
def test_round_trip(rows: int) -> None:
    layout, keys = Layout.of(rows), random_array(rows, (rows, 2))
    planes = to_planes(keys, layout)
    assert planes.shape == (layout.blocks, 8, 16 * layout.words)
    assert planes.dtype == np.uint64
    assert np.array_equal(from_planes(planes, layout), keys)


@given(st.integers(1, 700), SEEDS)
def test_round_trip_at_any_size(rows: int, seed: int) -> None:
    layout, keys = Layout.of(rows), random_array(seed, (rows, 2))
    assert np.array_equal(from_planes(to_planes(keys, layout), layout), keys)


@pytest.mark.parametrize("rows", [1, 65, 200, BLOCK_ROWS + 100])
def test_bit_order(rows: int) -> None:
    layout, keys = Layout.of(rows), random_array(rows, (rows, 2))
    planes = to_planes(keys, layout)
    words = layout.words
    padded = np.zeros((layout.blocks, words, 64, 16), np.uint8)
    padded.reshape(-1, 16)[:rows] = keys.view(np.uint8)
    shifts = np.arange(64, dtype=np.uint64)
    for k in range(8):
        for byte in range(16):
            expected = (padded[..., byte] >> k & 1).astype(np.uint64)  # (blocks, words, 64)
            found = planes[:, k, byte * words : (byte + 1) * words, None] >> shifts & np.uint64(1)
            assert np.array_equal(found, expected), (k, byte)


def test_one_bit_by_hand() -> None:
    rows = np.zeros((130, 16), np.uint8)
    rows[67, 5] = 1 << 3  # row 67 is bit 3 of the second word of 64 rows
    planes = to_planes(rows.view(np.uint64), Layout.of(130))
    words = Layout.of(130).words
    assert words == 3
    assert np.argwhere(planes).tolist() == [[0, 3, 5 * words + 1]]
    assert planes[0, 3, 5 * words + 1] == 1 << 3


@given(SEEDS, SEEDS)
def test_linear(one: int, other: int) -> None:
    layout = Layout.of(100)
    x, y = random_array(one, (100, 2)), random_array(other, (100, 2))
    assert np.array_equal(to_planes(x ^ y, layout), to_planes(x, layout) ^ to_planes(y, layout))


@given(st.integers(1, 10_000_000) | st.sampled_from(TAILS))
def test_layouts_pad_less_than_a_word_a_block(rows: int) -> None:
    layout = Layout.of(rows)
    assert 1 <= layout.words * 64 <= BLOCK_ROWS
    assert layout.blocks == (rows + BLOCK_ROWS - 1) // BLOCK_ROWS, "the fewest full blocks"
    assert 0 <= layout.blocks * layout.words * 64 - rows < 64 * layout.blocks


def test_padding_is_zero_and_at_the_end() -> None:
    layout = Layout.of(BLOCK_ROWS + 1)
    padded = Layout(layout.blocks * layout.words * 64, layout.blocks, layout.words)
    rows = from_planes(to_planes(np.full((layout.rows, 2), 2**64 - 1, np.uint64), layout), padded)
    assert np.all(rows[: layout.rows] == 2**64 - 1)
    assert not rows[layout.rows :].any()
