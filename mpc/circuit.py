"""Straight-line programs of XOR and AND on bit planes.

A plane is a one-dimensional uint64 array that holds one bit of 64 rows in every word; a circuit applies the same
gates to all rows at once. Matrices over GF(2) become XOR gates by Paar's greedy algorithm, which shares common sums;
gates are then given registers so that a block's working set stays in the processor's cache.

Source: Paar, "Optimized arithmetic for Reed-Solomon encoders", ISIT 1997 (greedy common sums); linear-scan register
allocation after Poletto and Sarkar, TOPLAS 1999.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.uint64]
Signal = int


class Circuit:
    """A circuit under construction, then compiled: `inputs` planes in, `outputs` planes out.

    Signals 0 … inputs-1 are the inputs; every gate adds one.
    """

    def __init__(self, inputs: int) -> None:
        self.inputs = inputs
        self._gates: list[tuple[np.ufunc, Signal, Signal]] = []
        self._known: dict[tuple[np.ufunc, Signal, Signal], Signal] = {}

    def gate(self, op: np.ufunc, left: Signal, right: Signal) -> Signal:
        """The signal op(left, right); the same gate is made only once."""
        key = (op, min(left, right), max(left, right))
        if key not in self._known:
            self._known[key] = self.inputs + len(self._gates)
            self._gates.append(key)
        return self._known[key]

    def xor(self, left: Signal, right: Signal) -> Signal:
        """The sum of two signals."""
        return self.gate(np.bitwise_xor, left, right)

    def both(self, left: Signal, right: Signal) -> Signal:
        """The product of two signals."""
        return self.gate(np.bitwise_and, left, right)

    def linear(self, matrix: Matrix, signals: Sequence[Signal]) -> list[Signal]:
        """The signals matrix · signals over GF(2).

        Args:
            matrix: (outputs, inputs) of 0 and 1.
            signals: the inputs; one that is named twice counts twice.

        Raises:
            ValueError: a row's sum is zero, for which there is no signal.
        """
        rows: list[set[Signal]] = [set() for _ in matrix]
        for row, column in np.argwhere(matrix).tolist():
            rows[row] ^= {signals[column]}
        while any(len(row) > 1 for row in rows):
            pairs = Counter(pair for row in rows for pair in combinations(sorted(row), 2))
            left, right = max(sorted(pairs), key=pairs.__getitem__)
            total = self.xor(left, right)
            rows = [(row - {left, right}) ^ {total} if {left, right} <= row else row for row in rows]
        if not all(rows):
            raise ValueError("every row must have a sum other than zero")
        return [row.pop() for row in rows]

    def compile(self, outputs: Sequence[Signal]) -> Program:
        """Order the gates by need, give each a register, and write every output straight where it belongs.

        Raises:
            ValueError: an output is named twice.
        """
        outputs = [self.gate(np.bitwise_or, s, s) if s < self.inputs else s for s in outputs]
        if len(set(outputs)) != len(outputs):
            raise ValueError("every output must be a signal of its own")
        order: list[Signal] = []
        for output in outputs:
            self._order(output, order)
        last_use = {s: at for at, gate in enumerate(order) for s in self._gates[gate - self.inputs][1:]}
        place = {signal: signal for signal in range(self.inputs)}
        place |= {signal: self.inputs + k for k, signal in enumerate(outputs)}
        first_register = registers = self.inputs + len(outputs)
        free: list[int] = []
        tape = []
        for at, signal in enumerate(order):
            op, *operands = self._gates[signal - self.inputs]
            source = [place[s] for s in operands]
            free += [place[s] for s in set(operands) if last_use[s] == at and place[s] >= first_register]
            if signal not in place:
                if not free:
                    free.append(registers)
                    registers += 1
                place[signal] = free.pop()
            tape.append((op, source[0], source[1], place[signal]))
        return Program(tape, len(outputs), registers - first_register)

    def _order(self, output: Signal, order: list[Signal]) -> None:
        """Append the gates that an output needs, operands first."""
        done, stack = set(order), [output]
        while stack:
            signal = stack[-1]
            missing = [s for s in self._gates[signal - self.inputs][1:] if s >= self.inputs and s not in done]
            if signal in done or not missing:
                stack.pop()
                if signal not in done:
                    order.append(signal)
                    done.add(signal)
            else:
                stack += missing


class Program:
    """A compiled circuit: a tape of (ufunc, left, right, target) over inputs, outputs and scratch registers."""

    def __init__(self, tape: list[tuple[np.ufunc, int, int, int]], outputs: int, registers: int) -> None:
        self.tape, self.outputs, self.registers = tape, outputs, registers

    def run(self, inputs: Sequence[Plane], outputs: Sequence[Plane], scratch: npt.NDArray[np.uint64]) -> None:
        """Run the circuit on planes of any one length.

        Args:
            inputs: the input planes, unchanged afterwards.
            outputs: planes to write, none of them an input.
            scratch: (at least `registers`, length) uint64, overwritten.
        """
        planes: list[Any] = [*inputs, *outputs, *scratch[: self.registers]]
        for op, left, right, target in self.tape:
            op(planes[left], planes[right], planes[target])
