"""Compiled tapes against the reference, NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc import aes, kernel
from mpc.circuit import Circuit
from mpc.kernel import AND, COPY, STRIP_WORDS, XOR, Step
from mpc.multiply import Quadratic
from tests.mpc.arrays import SEEDS, random_array

LENGTHS = st.sampled_from([1, 2, 7, 8, 63, 64, 65, 128, 129]) | st.integers(1, 300)
PROGRAMS = {name: each.program for name, each in vars(aes).items() if isinstance(each, Quadratic)}
MOVES = {name: each.program for name, each in vars(aes).items() if isinstance(each, aes.Move)}

needs_compiled = pytest.mark.skipif(not kernel.COMPILED, reason="Matchbit was installed without a compiler")


def by_both(steps: list[Step], blocks: int, *written: np.ndarray) -> None:
    """Run both versions; they must write the same to these arrays, and to nothing else."""
    arrays = [array for step in steps for array in step.arrays]
    before = [array.copy() for array in arrays]
    kernel._run_numpy(steps, blocks)
    due = [array.copy() for array in arrays]
    for array, old in zip(arrays, before, strict=True):
        array[:] = old
    kernel._run_compiled(steps, blocks)
    for array, expected, old in zip(arrays, due, before, strict=True):
        assert np.array_equal(array, expected)
        if not any(array is one for one in written):
            assert np.array_equal(array, old)


@needs_compiled
@pytest.mark.parametrize("name", PROGRAMS)
@given(st.integers(1, 3), LENGTHS, SEEDS)
def test_every_quadratic_map_of_the_cipher(name: str, blocks: int, length: int, seed: int) -> None:
    program = PROGRAMS[name]
    inputs = random_array(seed, (blocks, program.inputs, length))
    outputs = random_array(seed + 1, (blocks, program.outputs, length))
    by_both([program.on(inputs, outputs)], blocks, outputs)


@needs_compiled
@pytest.mark.parametrize("name", MOVES)
@given(st.integers(1, 3), st.integers(1, 200), SEEDS)
def test_every_move_of_bytes(name: str, blocks: int, words: int, seed: int) -> None:
    program = MOVES[name]
    inputs, key = random_array(seed, (1, program.inputs - 128, words)), random_array(seed + 1, (1, 128, 1))
    outputs = random_array(seed + 2, (blocks, 128, words))
    by_both([program.on(inputs, key, outputs, constants=1)], blocks, outputs)


@needs_compiled
@given(st.integers(1, 3), LENGTHS, SEEDS)
def test_one_program_goes_on_where_another_ended(blocks: int, length: int, seed: int) -> None:
    first, second = PROGRAMS["NORM256"], PROGRAMS["INVERSE_NORM16"]
    inputs = random_array(seed, (blocks, 16, length))
    between, outputs = random_array(seed + 1, (1, 4, length)), random_array(seed + 2, (blocks, 2, length))
    steps = [first.on(inputs, between), second.on(between, between.copy(), outputs)]
    by_both(steps, blocks, between, outputs)


@needs_compiled
@given(st.data(), LENGTHS, SEEDS)
def test_any_tape(data: st.DataObject, length: int, seed: int) -> None:
    """Registers that are overwritten by what is made of them, copies, a constant, planes that are not neighbours."""
    number = st.integers(0, 4)
    tape = [(COPY, k % 3, k % 3, k) for k in (4, 5, 6)]  # planes 0 to 2 in, 3 constant, 4 out, registers 5 and 6
    for _ in range(data.draw(st.integers(1, 30))):
        op, left, target = data.draw(st.sampled_from([XOR, AND, COPY])), data.draw(number), data.draw(st.integers(4, 6))
        right = data.draw(number) if op == XOR else left
        left, right = (k if k < 3 else k + 1 for k in (left, right))
        tape.append((op, left, 3 if op == XOR and data.draw(st.booleans()) else right, target))
    held = random_array(seed, (2, 6, length))
    constant, outputs = random_array(seed + 1, (1, 1, 1)), random_array(seed + 2, (2, 1, length))
    step = Step(np.array(tape, np.uint16), 2, (held[:, ::2], constant, outputs), 1)
    by_both([step], 2, outputs)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((1, 2, 4), np.uint32),
        np.zeros((1, 2, 8), np.uint64)[:, :, ::2],
        np.zeros((3, 2, 4), np.uint64),
        np.zeros((1, 2, 3), np.uint64),
    ],
)
def test_planes_that_do_not_fit_are_refused(array: np.ndarray) -> None:
    circuit = Circuit(2)
    program = circuit.compile([circuit.xor(0, 1)])
    with pytest.raises(ValueError, match=r"^planes uint\d\d\(\d, 2, \d\) for 2 blocks of 4 words$"):
        kernel.run([program.on(array, np.zeros((2, 1, 4), np.uint64))], 2)


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (3, 1), (2, 2)])
def test_other_planes_than_the_programs_are_refused(inputs: int, outputs: int) -> None:
    circuit = Circuit(2)
    program = circuit.compile([circuit.xor(0, 1)])
    with pytest.raises(ValueError, match="for 2 inputs and 1 outputs to write"):
        program.on(np.zeros((1, inputs, 4), np.uint64), np.zeros((1, outputs, 4), np.uint64))


def test_what_cannot_be_written_to_is_no_output() -> None:
    circuit = Circuit(2)
    program = circuit.compile([circuit.xor(0, 1)])
    with pytest.raises(ValueError, match="to write"):
        program.on(np.zeros((1, 2, 4), np.uint64), np.frombuffer(bytes(32), np.uint64).reshape(1, 1, 4))


def test_without_a_compiler_it_is_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "COMPILED", False)
    monkeypatch.delattr(kernel, "lib", raising=False)
    circuit = Circuit(2)
    planes = random_array(1, (2, STRIP_WORDS + 1))
    assert np.array_equal(circuit.compile([circuit.both(0, 1)]).run(planes), planes[:1] & planes[1:])


@given(st.integers(0, 5), st.sampled_from([0, 1, 63, 64, 65, 511, 512, 513]) | st.integers(0, 1200), SEEDS)
def test_rows_and_planes(words: int, count: int, seed: int) -> None:
    """By either version; bit by bit what they are defined as."""
    rows = random_array(seed, (count, words))
    planes = kernel.to_planes(rows)
    assert np.array_equal(planes, kernel._to_planes_numpy(rows, -(-count // 64)))
    bits = np.unpackbits(rows.view(np.uint8).reshape(count, 8 * words), axis=1, bitorder="little")
    by_plane = np.unpackbits(planes.view(np.uint8).reshape(64 * words, 8 * planes.shape[1]), axis=1, bitorder="little")
    assert np.array_equal(by_plane[:, :count], bits.T)
    assert not by_plane[:, count:].any()
    for back in (kernel.to_rows(planes, count), kernel._to_rows_numpy(planes, count)):
        assert np.array_equal(back, rows)


@pytest.mark.parametrize("count", [0, 64, 129, 1 << 40])
def test_planes_of_other_rows_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="planes"):
        kernel.to_rows(random_array(1, (64, 2)), count)
