from __future__ import annotations

import itertools

import numpy as np
import pytest

from mpc import tower
from mpc.circuit import Matrix


def aes_product(x: int, y: int) -> int:
    """FIPS 197, section 4.2, by shift and add."""
    total = 0
    for k in range(8):
        total ^= x << k if y >> k & 1 else 0
    for k in range(14, 7, -1):
        total ^= 0x11B << k - 8 if total >> k & 1 else 0
    return total


def images(matrix: Matrix) -> list[int]:
    return [tower.apply(matrix, x) for x in range(256)]


def test_the_reference_itself() -> None:
    assert aes_product(0x57, 0x83) == 0xC1  # FIPS 197, section 4.2
    assert aes_product(0x57, 0x13) == 0xFE  # section 4.2.1


def test_the_tower_is_aes_field() -> None:
    to = images(tower.TO_TOWER)
    wrong = [(x, y) for x in range(256) for y in range(256) if tower.multiply(to[x], to[y], 8) != to[aes_product(x, y)]]
    assert not wrong
    assert sorted(to) == list(range(256))


def test_there_and_back() -> None:
    assert np.array_equal(tower.TO_TOWER @ tower.FROM_TOWER % 2, np.eye(8))
    assert np.array_equal(tower.FROM_TOWER @ tower.TO_TOWER % 2, np.eye(8))


@pytest.mark.parametrize(("constant", "bits"), [(1, 1), (tower.M, 2), (tower.N, 4)])
def test_the_polynomials_are_irreducible(constant: int, bits: int) -> None:
    assert all(tower.multiply(x, x, bits) ^ x ^ constant for x in range(1 << bits)), "x² + x + c has a root"


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_every_element_but_zero_has_an_inverse(bits: int) -> None:
    for x in range(1, 1 << bits, 1 if bits < 8 else 7):
        assert tower.multiply(x, tower.power(x, (1 << bits) - 2, bits), bits) == 1


@pytest.mark.parametrize(
    ("bits", "expand", "contract"),
    [(2, tower.EXPAND4, tower.CONTRACT4), (4, tower.EXPAND16, tower.CONTRACT16)],
)
def test_the_bilinear_maps_are_the_products(bits: int, expand: Matrix, contract: Matrix) -> None:
    def vector(x: int) -> Matrix:
        return np.array([x >> k & 1 for k in range(bits)], np.uint8)

    for x, y in itertools.product(range(1 << bits), repeat=2):
        product = contract @ ((expand @ vector(x) % 2) * (expand @ vector(y) % 2)) % 2
        assert np.array_equal(product, vector(tower.multiply(x, y, bits))), (x, y)


def test_matrix_and_apply_agree() -> None:
    square = tower.matrix(lambda x: tower.multiply(x, x, 8), 8, 8)
    assert images(square) == [tower.multiply(x, x, 8) for x in range(256)]


def test_powers() -> None:
    assert [tower.power(3, k) for k in range(3)] == [1, 3, tower.multiply(3, 3, 8)]
