"""The pieces of circuits, run in plain text and held to whole numbers; and how many AND gates each takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.circuit import Signal
from mpc.kernel import AND
from mpc.logic import ONE, ZERO, Logic, Number, combined
from mpc.replicated import Array
from tests.mpc.arrays import SEEDS, random_array

ROWS = 128
Build = Callable[[Logic, list[Number]], Sequence[Signal]]


def run(widths: Sequence[int], numbers: Sequence[Array], build: Build) -> list[int]:
    """Feed each row's numbers, of so many bits each, to a circuit; returns the number that its outputs make."""
    logic, planes, inputs = Logic(sum(widths)), [], []
    for width, values in zip(widths, numbers, strict=True):
        inputs.append(list(range(len(planes), len(planes) + width)))
        planes += [np.packbits(values >> k & 1, bitorder="little").view(np.uint64) for k in range(width)]
    outputs = [logic.plane(s) for s in build(logic, inputs)]
    program = logic.circuit.compile(distinct := list(dict.fromkeys(outputs)))
    found = program.run(np.array([*planes, np.full(ROWS // 64, np.uint64(2**64 - 1))]))
    bits = np.unpackbits(found.view(np.uint8), axis=1, bitorder="little").astype(int)
    return sum((bits[distinct.index(s)] << k for k, s in enumerate(outputs)), np.zeros(ROWS, int)).tolist()


def cost(inputs: int, build: Callable[[Logic], Sequence[Signal]]) -> tuple[int, int]:
    """AND gates and levels of them."""
    logic = Logic(inputs)
    outputs = [s for s in build(logic) if s not in (ZERO, ONE)]
    gates = logic.circuit.needed(outputs).values()
    return sum(op == AND for op, *_ in gates), max(map(logic.level, outputs), default=0)


def numbers(seed: int, widths: Sequence[int]) -> list[Array]:
    return [(random_array(seed + k, (ROWS,)) % np.uint64(1 << width)).astype(int) for k, width in enumerate(widths)]


@given(st.integers(1, 40), SEEDS)
def test_equal(width: int, seed: int) -> None:
    left, right = numbers(seed, [width, width])
    right[::2] = left[::2]
    found = run([width, width], [left, right], lambda logic, n: [logic.equal(*n)])
    assert found == (left == right).astype(int).tolist()


@given(st.integers(1, 33), SEEDS)
def test_any_and_all(width: int, seed: int) -> None:
    [bits] = numbers(seed, [width])
    bits[0], bits[1] = 0, 2**width - 1
    assert run([width], [bits], lambda logic, n: [logic.any_of(n[0])]) == (bits > 0).astype(int).tolist()
    assert run([width], [bits], lambda logic, n: [logic.all_of(n[0])]) == (bits == 2**width - 1).astype(int).tolist()


@given(st.integers(1, 48), SEEDS)
def test_popcount(width: int, seed: int) -> None:
    [bits] = numbers(seed, [width])
    bits[0] = 2**width - 1
    assert run([width], [bits], lambda logic, n: logic.popcount(n[0])) == [int(b).bit_count() for b in bits]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), SEEDS)
def test_total(widths: list[int], seed: int) -> None:
    given = numbers(seed, widths)
    for one in given:
        one[0] = one.max()
    assert run(widths, given, lambda logic, n: logic.total(n)) == np.sum(given, axis=0).tolist()


@given(st.integers(1, 10), st.integers(-3, 1100), SEEDS)
def test_at_least(width: int, least: int, seed: int) -> None:
    [values] = numbers(seed, [width])
    values[:4] = np.clip([least - 1, least, least + 1, 0], 0, 2**width - 1)
    found = run([width], [values], lambda logic, n: [logic.at_least(n[0], least)])
    assert found == (values >= least).astype(int).tolist()


@given(st.lists(st.integers(0, 300), min_size=1, max_size=6).filter(any), SEEDS)
def test_combined(beside: list[int], seed: int) -> None:
    chosen = np.random.default_rng(seed).integers(-1, len(beside), ROWS)
    flags = [(chosen == k).astype(int) for k in range(len(beside))]
    found = run(
        [1] * len(beside),
        flags,
        lambda logic, n: combined(logic, [(s[0], number) for s, number in zip(n, beside, strict=True)]),
    )
    assert found == [0 if k < 0 else beside[k] for k in chosen]


@pytest.mark.parametrize("op", ["xor", "both", "either"])
def test_constants_are_folded(op: str) -> None:
    table = {"xor": lambda x, y: x ^ y, "both": lambda x, y: x & y, "either": lambda x, y: x | y}[op]
    for left in (0, 1, ZERO, ONE):
        for right in (0, 1, ZERO, ONE):
            bits = numbers(7, [1, 1])
            known = {0: bits[0], 1: bits[1], ZERO: np.zeros(ROWS, int), ONE: np.ones(ROWS, int)}
            found = run([1, 1], bits, lambda logic, _n, x=left, y=right: [getattr(logic, op)(x, y)])
            assert found == table(known[left], known[right]).tolist()
    logic = Logic(1)
    assert (logic.both(0, ZERO), logic.both(0, ONE), logic.xor(0, 0), logic.inverse(ZERO)) == (ZERO, 0, ZERO, ONE)
    assert logic.inverse(logic.inverse(0)) in (0, *logic.circuit.needed([logic.inverse(logic.inverse(0))]))
    assert not any(op == AND for op, *_ in logic.circuit.needed([logic.inverse(0)]).values())


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 15, 32, 33, 64])
def test_costs_are_what_the_docstrings_say(n: int) -> None:
    levels = (n - 1).bit_length()
    assert cost(2 * n, lambda logic: [logic.equal(range(n), range(n, 2 * n))]) == (n - 1, levels)
    assert cost(n, lambda logic: [logic.any_of(range(n))]) == (n - 1, levels)
    assert cost(n, lambda logic: [logic.all_of(range(n))]) == (n - 1, levels)
    assert cost(n, lambda logic: logic.popcount(range(n)))[0] == n - n.bit_count()
    assert cost(2 * n, lambda logic: logic.total([range(n), range(n, 2 * n)])) == (n, n)
    assert cost(n, lambda logic: [logic.xor(logic.inverse(0), n - 1)]) == (0, 0)
    for least in (1, 2**n // 3, 2**n - 1):
        ands, deep = cost(n, lambda logic, least=least: [logic.at_least(range(n), least)])
        assert ands <= n - 1
        assert deep == ands
