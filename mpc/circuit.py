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

import numpy as np
import numpy.typing as npt

from mpc import kernel
from mpc.kernel import AND, COPY, XOR, Step
from mpc.replicated import Array

Matrix = npt.NDArray[np.uint8]
Signal = int


class Circuit:
    """A circuit under construction, then compiled: `inputs` planes in, `outputs` planes out.

    Signals 0 … inputs-1 are the inputs, the last `constants` of them the same in every word; every gate adds one.
    """

    def __init__(self, inputs: int, constants: int = 0) -> None:
        self.inputs, self.constants = inputs, range(inputs - constants, inputs)
        self._gates: list[tuple[int, Signal, Signal]] = []
        self._known: dict[tuple[int, Signal, Signal], Signal] = {}

    def gate(self, op: int, left: Signal, right: Signal) -> Signal:
        """The signal op(left, right); the same gate is made only once."""
        key = (op, min(left, right), max(left, right))
        if key not in self._known:
            self._known[key] = self.inputs + len(self._gates)
            self._gates.append(key)
        return self._known[key]

    def xor(self, left: Signal, right: Signal) -> Signal:
        """The sum of two signals."""
        return self.gate(XOR, left, right)

    def both(self, left: Signal, right: Signal) -> Signal:
        """The product of two signals."""
        return self.gate(AND, left, right)

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

    def needed(self, outputs: Sequence[Signal]) -> dict[Signal, tuple[int, Signal, Signal]]:
        """The gates (code, left, right) that outputs need, operands first."""
        order: dict[Signal, None] = {}
        for output in outputs:
            self._order(output, order)
        return {signal: self._gates[signal - self.inputs] for signal in order}

    def compile(self, outputs: Sequence[Signal]) -> Program:
        """Order the gates by need, give each a register, and write every output straight where it belongs.

        Raises:
            ValueError: an output is named twice, or a constant used but to be added.
        """
        outputs = [self.gate(COPY, s, s) if s < self.inputs else s for s in outputs]
        if len(set(outputs)) != len(outputs):
            raise ValueError("every output must be a signal of its own")
        gates = self.needed(outputs)
        last_use = {s: at for at, (_, *operands) in enumerate(gates.values()) for s in operands}
        place = {signal: signal for signal in range(self.inputs)}
        place |= {signal: self.inputs + k for k, signal in enumerate(outputs)}
        first_register = registers = self.inputs + len(outputs)
        free: list[int] = []
        tape = []
        for at, (signal, (op, *operands)) in enumerate(gates.items()):
            operands.sort(key=self.constants.__contains__)  # the kernel takes them on the right, to add them
            if (op != XOR and operands[1] in self.constants) or operands[0] in self.constants:
                raise ValueError("a constant can only be added to something that is none")
            source = [place[s] for s in operands]
            free += [place[s] for s in set(operands) if last_use[s] == at and place[s] >= first_register]
            if signal not in place:
                if not free:
                    free.append(registers)
                    registers += 1
                place[signal] = free.pop()
            tape.append((op, source[0], source[1], place[signal]))
        return Program(tape, self.inputs, len(outputs), registers - first_register)

    def _order(self, output: Signal, order: dict[Signal, None]) -> None:
        """Add the gates that an output needs, operands first."""
        stack = [output] if output >= self.inputs else []
        while stack:
            missing = [s for s in self._gates[stack[-1] - self.inputs][1:] if s >= self.inputs and s not in order]
            if missing:
                stack += missing
            else:
                order.setdefault(stack.pop())


class Program:
    """A compiled circuit: a tape over planes of inputs, planes of outputs, and registers."""

    def __init__(self, tape: Sequence[tuple[int, int, int, int]], inputs: int, outputs: int, registers: int) -> None:
        self.tape = np.array(tape, np.uint16).reshape(-1, 4)
        self.inputs, self.outputs, self.registers = inputs, outputs, registers

    def on(self, *arrays: Array, constants: int = -1) -> Step:
        """The program on arrays that hold its inputs' planes, and one with its outputs', see `kernel.Step`.

        Raises:
            ValueError: there are other planes, or the last array cannot be written to.
        """
        planes = [array.shape[1] for array in arrays]
        if (sum(planes[:-1]), planes[-1]) != (self.inputs, self.outputs) or not arrays[-1].flags.writeable:
            raise ValueError(f"arrays of {planes} planes for {self.inputs} inputs and {self.outputs} outputs to write")
        return Step(self.tape, self.registers, arrays, constants)

    def run(self, inputs: Array) -> Array:
        """The outputs (outputs, length) of one block of inputs (inputs, length) uint64."""
        outputs = np.empty((self.outputs, inputs.shape[1]), np.uint64)
        kernel.run([self.on(inputs[None], outputs[None])], 1)
        return outputs
