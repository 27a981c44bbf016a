"""Orders by packed words: right for every number of places, and exactly uniform where they are drawn."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.shuffle import permutation
from mpc.sorting import in_runs, order_of
from tests.mpc.arrays import SEEDS, random_array

SIZES = st.sampled_from([0, 1, 2, 3, 4, 5, 63, 64, 65, 127, 128, 129]) | st.integers(0, 300)


def upper(words: np.ndarray) -> list[int]:
    """What of each word counts."""
    bits = max(len(words) - 1, 0).bit_length()
    return [word >> bits for word in words.tolist()]


@given(SIZES, st.integers(0, 8), SEEDS)
def test_places_in_the_order_of_the_upper_bits(n: int, kinds: int, seed: int) -> None:
    words = random_array(seed, (n,))
    words[kinds:] = words[: max(n - kinds, 0)] if kinds >= n else np.resize(words[: kinds or 1], n - kinds)
    by = upper(words)
    order, tied = order_of(words.copy())
    assert order.dtype == np.uint32
    assert sorted(order.tolist()) == list(range(n))
    found = [by[place] for place in order]
    assert found == sorted(by)
    assert tied.tolist() == [k > 0 and found[k] == found[k - 1] for k in range(n)]
    runs = in_runs(tied).tolist()
    assert runs == [k for k in range(n) if found.count(found[k]) > 1]


def test_too_many_places_are_refused() -> None:
    class Long(np.ndarray):
        def __len__(self) -> int:
            return 1 << 32

    with pytest.raises(ValueError, match="32 bits"):
        order_of(np.zeros(1, np.uint64).view(Long))


class Drawn:
    """A stream whose first words are all the same but for their lowest bits, which do not count."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._first = True

    def random(self, shape: tuple[int, ...]) -> np.ndarray:
        first, self._first = self._first, False
        return (
            np.array([7 << 60, 7 << 60, 3 << 60, 7 << 60], np.uint64)
            if first
            else self._random.integers(0, 2**64, shape, np.uint64)
        )


def test_what_is_tied_is_in_every_order_equally_often() -> None:
    draws = 6000
    found = [tuple(permutation(Drawn(seed), 4).tolist()) for seed in range(draws)]  # type: ignore[arg-type]
    due = [(2, *tied) for tied in permutations((0, 1, 3))]
    counts = [found.count(order) for order in due]
    assert sum(counts) == draws
    assert (
        sum((count - draws / 6) ** 2 / (draws / 6) for count in counts) < 25.7
    )  # 5 degrees of freedom: once in 10,000
