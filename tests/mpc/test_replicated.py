from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.committee import PARTIES, PartyId
from mpc.errors import ShareError
from mpc.replicated import Share, concatenate, deal, public, reconstruct, share
from tests.mpc.arrays import SEEDS, random_array
from tests.world import shares

SHAPES = st.sampled_from([(), (0,), (1,), (7,), (3, 2), (2, 8, 5)])
DTYPES = st.sampled_from(["uint8", "uint16", "uint32", "uint64"])


@given(SHAPES, DTYPES, SEEDS)
def test_reconstruct_undoes_deal_and_share(shape: tuple[int, ...], dtype: str, seed: int) -> None:
    value, mask0, mask1 = (random_array(seed + k, shape, dtype) for k in range(3))
    dealt = deal(share(value, mask0, mask1))
    result = reconstruct(dealt)
    assert np.array_equal(result, value)
    assert result.dtype == value.dtype
    assert np.array_equal(dealt[0].a, mask0)
    assert np.array_equal(dealt[0].b, mask1)


@given(SHAPES, DTYPES, SEEDS)
def test_linear(shape: tuple[int, ...], dtype: str, seed: int) -> None:
    x, y, constant = (random_array(seed + k, shape, dtype) for k in range(3))
    both = [p ^ q for p, q in zip(shares(x, seed), shares(y, seed + 9), strict=True)]
    assert np.array_equal(reconstruct(tuple(both)), x ^ y)
    shifted = [s ^ public(p, constant) for p, s in zip(PARTIES, both, strict=True)]
    assert np.array_equal(reconstruct(tuple(shifted)), x ^ y ^ constant)
    masked = [s.map(lambda c: c & constant) for s in both]
    assert np.array_equal(reconstruct(tuple(masked)), (x ^ y) & constant)


def test_indexing() -> None:
    x = random_array(1, (5, 3))
    assert np.array_equal(reconstruct(tuple(s[1:4, 0] for s in shares(x))), x[1:4, 0])


def test_concatenation() -> None:
    x, y = random_array(1, (5, 3)), random_array(2, (2, 3))
    both = [concatenate(pair) for pair in zip(shares(x), shares(y), strict=True)]
    assert np.array_equal(reconstruct(tuple(both)), np.concatenate([x, y]))
    wide = [concatenate([s, s], axis=1) for s in shares(x)]
    assert np.array_equal(reconstruct(tuple(wide)), np.hstack([x, x]))


@given(st.sampled_from(PARTIES), st.sampled_from("ab"), st.integers(0, 11), st.integers(0, 63))
def test_differing_copies_raise(party: PartyId, component: str, place: int, bit: int) -> None:
    dealt = list(shares(random_array(2, (4, 3))))
    broken = dealt[party].map(np.copy)
    getattr(broken, component).reshape(-1)[place] ^= np.uint64(1 << bit)
    dealt[party] = broken
    with pytest.raises(ShareError, match=f"component {party if component == 'a' else party.next}"):
        reconstruct(tuple(dealt))


@pytest.mark.parametrize("b", [np.zeros(3, np.uint64), np.zeros((2, 1), np.uint64), np.zeros(2, np.uint32)])
def test_a_share_has_components_alike(b: np.ndarray) -> None:
    with pytest.raises(ShareError):
        Share(np.zeros(2, np.uint64), b)


def test_two_parties_reconstruct_and_one_alone_sees_masks() -> None:
    x = random_array(3, (6,))
    for p in PARTIES:
        mine, theirs = shares(x)[p], shares(x)[p.next]
        assert np.array_equal(mine.a ^ mine.b ^ theirs.b, x)
        other = shares(~x)[p]
        same = [np.array_equal(mine.a, other.a), np.array_equal(mine.b, other.b)]
        assert same == [p != PartyId.P2, p.next != PartyId.P2], "components 0 and 1 are the masks alone"
