from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.circuit import Circuit
from mpc.committee import PARTIES
from mpc.errors import PrssReuseError
from mpc.multiply import AND, Affine, Quadratic, multiply
from mpc.replicated import Array, public, reconstruct
from tests.mpc.arrays import SEEDS, bits, random_array, times
from tests.world import World, run_parties, shares


def plaintext(quadratic: Quadratic, x: Array) -> Array:
    """Q(x) for planes (inputs, length)."""
    products = times(quadratic.left, x) & times(quadratic.right, x)
    return times(quadratic.contract, products) ^ times(quadratic.linear, x)


def at_three_parties(quadratic: Quadratic, inputs: list[Array], seed: int = 1) -> Array:
    """Inputs (blocks, planes, length) each; the reconstructed result."""
    dealt = [shares(x, seed + k) for k, x in enumerate(inputs)]
    results = run_parties(lambda s: multiply(s.at("test"), quadratic, [d[s.party] for d in dealt]), seed)
    return reconstruct(tuple(results))


@st.composite
def quadratics(draw: st.DrawFn) -> tuple[Quadratic, list[int]]:
    """A map whose outputs are no sum of zero and differ as sums of products and inputs; the planes of each input."""
    planes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    inputs, rank = sum(planes), draw(st.integers(1, 6))
    forms = st.lists(st.integers(1, 2**inputs - 1), min_size=rank, max_size=rank)
    left, right = draw(forms), draw(forms)
    pairs = [tuple(sorted(pair)) for pair in zip(left, right, strict=True)]
    rows: dict[frozenset[object], tuple[int, int]] = {}
    for _ in range(draw(st.integers(1, 6))):
        contract, linear = draw(st.integers(0, 2**rank - 1)), draw(st.integers(0, 2**inputs - 1))
        odd = [p for p in set(pairs) if sum(contract >> k & 1 for k, q in enumerate(pairs) if p == q) % 2]
        rows[frozenset([*odd, *(k for k in range(inputs) if linear >> k & 1)])] = contract, linear
    rows.pop(frozenset(), None)
    rows = rows or {frozenset([0]): (0, 1)}
    contract, linear = zip(*rows.values(), strict=True)
    return Quadratic(bits(left, inputs), bits(right, inputs), bits([*contract], rank), bits([*linear], inputs)), planes


@settings(max_examples=60)
@given(quadratics(), st.integers(1, 3), st.integers(1, 3), SEEDS)
def test_any_quadratic_map(case: tuple[Quadratic, list[int]], blocks: int, length: int, seed: int) -> None:
    quadratic, planes = case
    inputs = [random_array(seed + k, (blocks, p, length)) for k, p in enumerate(planes)]
    x = np.concatenate(inputs, axis=1)
    expected = np.stack([plaintext(quadratic, block) for block in x])
    assert np.array_equal(at_three_parties(quadratic, inputs, seed), expected)


def test_and_truth_table() -> None:
    ones = 2**64 - 1
    x, y = (np.array([[bits]], np.uint64) for bits in ([0, 0, ones, ones], [0, ones, 0, ones]))
    assert at_three_parties(AND, [x, y]).tolist() == [[[0, 0, 0, ones]]]


def test_and_of_random_planes() -> None:
    x, y = random_array(1, (2, 1, 9)), random_array(2, (2, 1, 9))
    assert np.array_equal(at_three_parties(AND, [x, y]), x & y)


@pytest.mark.parametrize("seed", range(3))
def test_then_maps_what_is_sent(seed: int) -> None:
    """Four products of eight planes, then each twice, the second time with its two halves swapped; plus a constant."""
    eye, nothing = np.eye(4, dtype=np.uint8), np.zeros((4, 4), np.uint8)
    quadratic = Quadratic(np.hstack([eye, nothing]), np.hstack([nothing, eye]), eye, np.zeros((4, 8), np.uint8))
    x, constant = random_array(seed, (3, 8, 6)), random_array(seed + 1, (8, 2, 1))
    dealt = shares(x, seed)
    circuit = Circuit(4 * 2 + 8 * 2, constants=8 * 2)
    pieces = [*range(8), 1, 0, 3, 2, 5, 4, 7, 6]
    program = circuit.compile([circuit.xor(piece, 8 + k) for k, piece in enumerate(pieces)])

    def protocol(session):
        then = Affine(program, public(session.party, constant).a.reshape(-1, 1), 2)
        return multiply(session.at("test"), quadratic, [dealt[session.party]], then)

    products = (x[:, :4] & x[:, 4:]).reshape(3, 4, 2, 3)
    expected = (np.concatenate([products, products[:, :, ::-1]], axis=1) ^ constant).reshape(x.shape)
    assert np.array_equal(reconstruct(tuple(run_parties(protocol, seed))), expected)


def test_the_result_is_a_fresh_sharing() -> None:
    x, y = shares(random_array(1, (1, 1, 50))), shares(random_array(2, (1, 1, 50)))

    def protocol(session):
        return [multiply(session.at(step), AND, [x[session.party], y[session.party]]) for step in ("one", "two")]

    results = run_parties(protocol, 5)
    for party in PARTIES:
        one, two = results[party]
        assert np.all(one.a != two.a)
        assert np.all(one.b != two.b)
    assert np.array_equal(*(reconstruct(tuple(r[k] for r in results)) for k in (0, 1)))


def test_inputs_stay_as_they_were() -> None:
    x, y = shares(random_array(1, (1, 1, 5))), shares(random_array(2, (1, 1, 5)))
    before = [c.copy() for s in (*x, *y) for c in (s.a, s.b)]
    run_parties(lambda s: multiply(s, AND, [x[s.party], y[s.party]]))
    assert all(np.array_equal(c, b) for c, b in zip((c for s in (*x, *y) for c in (s.a, s.b)), before, strict=True))


def test_a_step_serves_once() -> None:
    x = shares(random_array(1, (1, 1, 5)))
    world = World().run(lambda s: [multiply(s, AND, [x[s.party], x[s.party]]) for _ in range(2)])
    assert any(isinstance(error, PrssReuseError) for error in world.errors.values())
    assert not world.results


@pytest.mark.parametrize("contract", [[[0, 0], [1, 0]], [[1, 1]]])
def test_a_map_with_an_output_of_nothing_is_refused(contract: list[list[int]]) -> None:
    """The second one sums the same product twice."""
    same = np.array([[1, 0], [1, 0]], np.uint8)
    other = np.array([[0, 1], [0, 1]], np.uint8)
    outputs = len(contract)
    quadratic = Quadratic(same, other, np.array(contract, np.uint8), np.zeros((outputs, 2), np.uint8))
    with pytest.raises(ValueError, match="zero"):
        _ = quadratic.program
