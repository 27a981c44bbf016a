from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.committee import PARTIES
from mpc.errors import IntegrityError
from mpc.replicated import Share
from mpc.reveal import digest, reveal
from tests.mpc.arrays import SEEDS, random_array
from tests.world import World, run_parties, shares


@settings(max_examples=25)
@given(st.sampled_from([(1,), (5,), (3, 4), (2, 8, 3)]), st.sampled_from(["uint8", "uint64"]), SEEDS)
def test_all_learn_the_value(shape: tuple[int, ...], dtype: str, seed: int) -> None:
    value = random_array(seed, shape, dtype)
    dealt = shares(value, seed)
    for opened in run_parties(lambda s: reveal(s.at("reveal"), dealt[s.party]), seed):
        assert np.array_equal(opened, value)
        assert opened.dtype == dtype


def test_longer_than_one_message() -> None:
    value = random_array(1, (150_000,))
    dealt = shares(value)
    assert all(np.array_equal(v, value) for v in run_parties(lambda s: reveal(s, dealt[s.party])))


@pytest.mark.parametrize("which", "ab")
@pytest.mark.parametrize("cheat", PARTIES)
def test_a_party_that_opens_another_copy_is_noticed(cheat, which: str) -> None:
    """P_i's `a` goes to P_{i+1} and its `b`, as a hash, to P_{i-1}: the one that is told notices."""
    dealt = list(shares(random_array(3, (6,))))
    own = dealt[cheat]
    one = np.zeros(6, np.uint64)
    one[4] = 1
    dealt[cheat] = Share(own.a ^ one, own.b) if which == "a" else Share(own.a, own.b ^ one)
    told = cheat.next if which == "a" else cheat.previous
    world = World().run(lambda s: reveal(s.at("reveal"), dealt[s.party]), 1)
    error = world.errors[told]
    assert isinstance(error, IntegrityError)
    assert (error.step, error.peers) == ("reveal", (told.previous, told.next))


def test_digest() -> None:
    array = random_array(1, (6, 4))
    assert digest(array).tobytes() == hashlib.blake2b(array.tobytes(), digest_size=32).digest()
    assert np.array_equal(digest(array[:, ::2]), digest(array[:, ::2].copy())), "of the values, however they lie"
    assert not np.array_equal(digest(array), digest(array ^ np.uint64(1)))
