"""Shamir's scheme: any t + 1 shares give the secret, t tell nothing, and what does not fit together is noticed."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.errors import ShareError
from mpc.prss import Keystream
from mpc.shamir import (
    ELEMENT_BYTES,
    PRIME,
    decode,
    encode,
    field_elements,
    interpolate,
    keys_as_elements,
    lagrange,
    matmul,
    reconstruct,
    split,
    uniform,
)

ELEMENTS = st.integers(0, PRIME - 1) | st.sampled_from([0, 1, 2**64 - 1, 2**64, 2**128 - 1, 2**128, PRIME - 1])
SCHEMES = st.integers(3, 9).flatmap(lambda m: st.tuples(st.just(m), st.integers(1, (m - 1) // 2)))


def elements(values: list[int]) -> np.ndarray:
    return np.array([*values, None], object)[:-1]


def matrices(rows: int, columns: int) -> st.SearchStrategy[np.ndarray]:
    size = rows * columns
    return st.lists(ELEMENTS, min_size=size, max_size=size).map(lambda v: elements(v).reshape(rows, columns))


@given(st.lists(ELEMENTS, max_size=5))
def test_bytes_and_back(values: list[int]) -> None:
    data = encode(elements(values))
    assert (data.shape, data.dtype) == ((len(values), ELEMENT_BYTES), np.uint8)
    assert decode(data).tolist() == values


@pytest.mark.parametrize("value", [PRIME, 2**136 - 1])
def test_a_number_above_the_field_is_refused(value: int) -> None:
    data = np.frombuffer(value.to_bytes(ELEMENT_BYTES, "little"), np.uint8).reshape(1, -1)
    with pytest.raises(ShareError):
        decode(data)


@pytest.mark.parametrize("data", [np.zeros((2, 16), np.uint8), np.zeros((2, 17), np.int8), np.zeros(3, np.uint8)])
def test_other_bytes_are_refused(data: np.ndarray) -> None:
    with pytest.raises(ShareError):
        decode(data)


@given(SCHEMES, st.lists(ELEMENTS, min_size=1, max_size=4), st.integers(0, 2**64))
def test_all_parties_reconstruct(scheme: tuple[int, int], values: list[int], seed: int) -> None:
    m, t = scheme
    coefficients = field_elements(Keystream(seed.to_bytes(16, "little")), (t, len(values)))
    shares = split(elements(values), coefficients, m)
    assert reconstruct(shares, t).tolist() == values
    for few in combinations(range(m), t + 1):  # and any t + 1 of them by themselves
        weights = lagrange(tuple(p + 1 for p in few), 0)
        assert [
            sum(w * shares[p][k] for w, p in zip(weights, few, strict=True)) % PRIME for k in range(len(values))
        ] == values


@given(SCHEMES, ELEMENTS, ELEMENTS, st.integers(0, 2**64))
def test_t_shares_fit_every_secret(scheme: tuple[int, int], value: int, other: int, seed: int) -> None:
    """For the first t shares of a value there are coefficients that give the same shares of any other one."""
    m, t = scheme
    coefficients = field_elements(Keystream(seed.to_bytes(16, "little")), (t, 1))
    shares = split(elements([value]), coefficients, m)[:t]
    points = (0, *range(1, t + 1))
    through = [other, *(int(share[0]) for share in shares)]
    rest = [
        sum(w * v for w, v in zip(lagrange(points, at), through, strict=True)) % PRIME for at in range(t + 1, m + 1)
    ]
    assert reconstruct([*shares, *(elements([v]) for v in rest)], t).tolist() == [other]


@given(SCHEMES, st.lists(ELEMENTS, min_size=1, max_size=3), st.data())
def test_one_share_that_is_another_is_noticed(scheme: tuple[int, int], values: list[int], data: st.DataObject) -> None:
    m, t = scheme
    shares = split(elements(values), field_elements(Keystream(bytes(16)), (t, len(values))), m)
    party = data.draw(st.integers(0, m - 1))
    shares[party] = (shares[party] + data.draw(st.integers(1, PRIME - 1))) % PRIME
    with pytest.raises(ShareError):
        reconstruct(shares, t)


def test_shares_of_a_higher_degree_are_noticed() -> None:
    shares = split(elements([5]), elements([1, 1]).reshape(2, 1), 3)
    with pytest.raises(ShareError):
        reconstruct(shares, 1)


def test_interpolation_gives_what_was_left_out() -> None:
    shares = split(elements([7, 8]), elements([3, 4]).reshape(1, 2), 5)
    assert interpolate(np.stack(shares[:2]), 5).tolist() == shares[4].tolist()


def test_keys_as_elements() -> None:
    keys = np.array([[1, 0], [0, 1], [2**64 - 1, 2**64 - 1]], np.uint64)
    assert keys_as_elements(keys).tolist() == [1, 2**64, 2**128 - 1]
    assert keys_as_elements(np.zeros((0, 2), np.uint64)).shape == (0,)


def test_uniform_elements_fill_the_field() -> None:
    values = uniform(b"\xff" * 32 + bytes(32) + (PRIME + 3).to_bytes(32, "little"), (3,))
    assert values.tolist() == [(2**256 - 1) % PRIME, 0, 3]


@settings(deadline=None)
@given(st.data(), st.integers(0, 4), st.integers(0, 5), st.integers(0, 4))
def test_matrices_multiply_as_integers_do(data: st.DataObject, n: int, k: int, m: int) -> None:
    a, b = data.draw(matrices(n, k)), data.draw(matrices(k, m))
    wanted = [[sum(int(a[i, x]) * int(b[x, j]) for x in range(k)) % PRIME for j in range(m)] for i in range(n)]
    assert matmul(a, b).tolist() == wanted


def test_the_largest_matrices_are_exact() -> None:
    a, b = np.full((2, 1 << 13), PRIME - 1, object), np.full((1 << 13, 1), PRIME - 1, object)
    assert matmul(a, b).tolist() == [[1 << 13]] * 2


def test_a_product_opened_at_degree_2t_tells_its_factor() -> None:
    """Why a product is shared anew before it is opened: a party that knows one share of a factor gets the factor."""
    a, r = (
        split(elements([1234567]), elements([2**100 + 9]).reshape(1, 1), 3),
        split(elements([99]), elements([77]).reshape(1, 1), 3),
    )
    seen = [int(x[0] * y[0] % PRIME) for x, y in zip(a, r, strict=True)]  # what all would see
    value = [sum(w * v for w, v in zip(lagrange((1, 2, 3), at), seen, strict=True)) % PRIME for at in (0, 1, 2)]
    c, half = value[0], pow(2, -1, PRIME)
    top = (value[2] - 2 * value[1] + c) * half % PRIME
    middle = (value[1] - c - top) % PRIME
    root = pow(middle * middle - 4 * top * c, (PRIME + 1) // 4, PRIME)  # the prime is 3 modulo 4
    zeros = [(sign * root - middle) * half * pow(top, -1, PRIME) % PRIME for sign in (1, -1)]
    guesses = [
        int(a[0][0]) * zero * pow(zero - 1, -1, PRIME) % PRIME for zero in zeros
    ]  # by the first party's own share
    assert 1234567 in guesses
