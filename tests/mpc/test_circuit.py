from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.circuit import Circuit
from mpc.kernel import XOR
from tests.mpc.arrays import SEEDS, bits, random_array, times


def evaluate(circuit: Circuit, outputs: list[int], planes: np.ndarray) -> np.ndarray:
    """Compile and run on planes that must stay as they were."""
    before = planes.copy()
    result = circuit.compile(outputs).run(planes)
    assert np.array_equal(planes, before)
    return result


@st.composite
def distinct_rows(draw: st.DrawFn) -> tuple[int, list[int]]:
    """Inputs and distinct rows without zero; those with one bit are rows of the identity."""
    columns = draw(st.integers(1, 12))
    rows = st.integers(1, 2**columns - 1) | st.integers(0, columns - 1).map(lambda k: 1 << k)
    return columns, draw(st.lists(rows, min_size=1, max_size=14, unique=True))


@given(distinct_rows(), st.integers(1, 5), SEEDS)
def test_linear_is_the_matrix_product(shape: tuple[int, list[int]], length: int, seed: int) -> None:
    columns, rows = shape
    matrix, planes = bits(rows, columns), random_array(seed, (columns, length))
    circuit = Circuit(columns)
    assert np.array_equal(evaluate(circuit, circuit.linear(matrix, range(columns)), planes), times(matrix, planes))


@given(st.integers(1, 12), SEEDS)
def test_the_identity_copies(size: int, seed: int) -> None:
    planes = random_array(seed, (size, 3))
    circuit = Circuit(size)
    outputs = circuit.linear(np.eye(size, dtype=np.uint8), range(size))
    assert np.array_equal(evaluate(circuit, outputs, planes), planes)


@given(st.data(), SEEDS)
def test_linear_counts_a_signal_as_often_as_it_is_named(data: st.DataObject, seed: int) -> None:
    signals = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=8))
    row = data.draw(st.integers(1, 2 ** len(signals) - 1))
    matrix = bits([row], len(signals))
    circuit, planes = Circuit(4), random_array(seed, (4, 2))
    expected = times(matrix, planes[signals])
    if len({s for s in signals if sum(t == s and row >> k & 1 for k, t in enumerate(signals)) % 2}) == 0:
        with pytest.raises(ValueError, match="zero"):
            circuit.linear(matrix, signals)
    else:
        assert np.array_equal(evaluate(circuit, circuit.linear(matrix, signals), planes), expected)


@given(st.data(), st.integers(1, 6), SEEDS)
def test_any_circuit_gives_its_gates_values(data: st.DataObject, inputs: int, seed: int) -> None:
    circuit, planes = Circuit(inputs), random_array(seed, (inputs, 2))
    values = dict(enumerate(planes))
    for _ in range(data.draw(st.integers(1, 40), "gates")):
        left, right = (data.draw(st.sampled_from(sorted(values))) for _ in "lr")
        xor = data.draw(st.booleans())
        signal = circuit.xor(left, right) if xor else circuit.both(left, right)
        value = values[left] ^ values[right] if xor else values[left] & values[right]
        assert np.array_equal(values.setdefault(signal, value), value), "one signal, two values"
    outputs = data.draw(st.lists(st.sampled_from(sorted(values)), min_size=1, unique=True), "outputs")
    assert np.array_equal(evaluate(circuit, outputs, planes), np.stack([values[s] for s in outputs]))


def test_the_same_gate_is_made_once() -> None:
    circuit = Circuit(2)
    assert circuit.xor(0, 1) == circuit.xor(1, 0)
    assert circuit.both(0, 1) == circuit.both(1, 0) != circuit.xor(0, 1)


def test_common_sums_are_shared() -> None:
    circuit = Circuit(3)
    program = circuit.compile(circuit.linear(bits([0b011, 0b111], 3), range(3)))
    assert len(program.tape) == 2


def test_gates_that_no_output_needs_are_left_out() -> None:
    circuit = Circuit(2)
    circuit.both(0, 1)
    assert len(circuit.compile([circuit.xor(0, 1)]).tape) == 1


@pytest.mark.parametrize("outputs", [[2, 2], [0, 0]])
def test_an_output_named_twice_is_refused(outputs: list[int]) -> None:
    circuit = Circuit(2)
    circuit.xor(0, 1)
    with pytest.raises(ValueError, match="own"):
        circuit.compile(outputs)


def test_a_constant_is_added_whichever_way_round() -> None:
    circuit = Circuit(3, constants=1)
    outputs = [circuit.xor(0, 2), circuit.xor(2, circuit.both(0, 1))]
    tape = circuit.compile(outputs).tape
    assert [right for op, _, right, _ in tape.tolist() if op == XOR] == [2, 2]


@pytest.mark.parametrize("wrong", [lambda c: c.both(0, 1), lambda c: c.xor(1, 2), lambda c: 1])
def test_a_constant_is_good_for_nothing_else(wrong: Callable[[Circuit], int]) -> None:
    circuit = Circuit(3, constants=2)
    with pytest.raises(ValueError, match="constant"):
        circuit.compile([wrong(circuit)])


def test_a_zero_row_is_refused() -> None:
    with pytest.raises(ValueError, match="zero"):
        Circuit(2).linear(bits([0b01, 0b00], 2), range(2))
