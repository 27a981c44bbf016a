"""Tapes of gates over planes, run by compiled code where it is there (kernel.c), else by NumPy: the reference.

A tape is a straight-line program of XOR, AND and COPY; `mpc.circuit` makes them. NumPy takes the interpreter lock
between any two gates, and every plane through the second-level cache; the compiled code runs whole programs without the
lock, in strips that fit the first-level cache. Both write the same bits, which the tests hold them to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mpc.replicated import Array

try:
    from mpc._kernel import ffi, lib
except ImportError:  # built without a compiler
    COMPILED = False
else:
    COMPILED = True

XOR, AND, COPY = range(3)
UFUNCS = (np.bitwise_xor, np.bitwise_and, np.bitwise_or)
"""By code; a copy is x | x."""
STRIP_WORDS = 64
"""As in kernel.c."""


@dataclass(frozen=True, eq=False, repr=False)
class Step:
    """A tape, and the planes that it runs on.

    Attributes:
        tape: (gates, 4) uint16: code, left, right and target, by number of plane or register.
        arrays: their planes are numbered in this order, the registers follow. Each (blocks, planes, length) uint64 with
            neighbouring words; one with a single block serves for all, one with a single word stands for equal words.
        registers: that the tape needs.
    """

    tape: Array
    arrays: tuple[Array, ...]
    registers: int

    @property
    def length(self) -> int:
        """Words of a plane."""
        return max(int(array.shape[2]) for array in self.arrays)


def run(steps: Sequence[Step], blocks: int) -> None:
    """Run all steps on one block, then on the next.

    Raises:
        ValueError: an array is not of uint64, its words are not neighbours, or it has other blocks or words.
    """
    for step in steps:
        for array in step.arrays:
            fits = array.shape[0] in (1, blocks) and array.shape[2] in (1, step.length)
            neighbours = array.shape[2] == 1 or array.strides[2] == array.itemsize
            if array.dtype != np.uint64 or not neighbours or not fits:
                raise ValueError(f"planes {array.dtype}{array.shape} for {blocks} blocks of {step.length} words")
    if COMPILED:
        _run_compiled(steps, blocks)
    else:
        _run_numpy(steps, blocks)


def _run_numpy(steps: Sequence[Step], blocks: int) -> None:
    scratch = [np.empty((step.registers, step.length), np.uint64) for step in steps]
    for block in range(blocks):
        for step, registers in zip(steps, scratch, strict=True):
            planes = [plane for array in step.arrays for plane in array[min(block, len(array) - 1)]]
            planes += list(registers)
            for op, left, right, target in step.tape.tolist():
                UFUNCS[op](planes[left], planes[right], planes[target])


def _run_compiled(steps: Sequence[Step], blocks: int) -> None:
    programs = ffi.new("program[]", len(steps))
    kept = []  # what the programs point to
    for program, step in zip(programs, steps, strict=True):
        address = [a.__array_interface__["data"][0] + np.arange(a.shape[1]) * a.strides[1] for a in step.arrays]
        moves = [(a.strides[0] if len(a) > 1 else 0, int(a.shape[2] > 1 or step.length == 1)) for a in step.arrays]
        move = np.repeat(np.array(moves, np.intp).T, [a.shape[1] for a in step.arrays], axis=1)
        numbers = np.concatenate([np.concatenate(address)[None], move]).astype(np.intp)
        kept.append(numbers)
        program.tape, program.gates = ffi.from_buffer("uint16_t[]", step.tape), len(step.tape)
        program.address = ffi.from_buffer("uintptr_t[]", numbers[0])
        program.step, program.advance = (ffi.from_buffer("ptrdiff_t[]", row) for row in numbers[1:])
        program.planes, program.registers, program.length = numbers.shape[1], step.registers, step.length
    scratch = ffi.new("uint64_t[]", STRIP_WORDS * max(step.registers for step in steps) or 1)
    at = ffi.new("uint64_t *[]", max(program.planes + program.registers for program in programs))
    lib.matchbit_run(programs, len(steps), blocks, scratch, at)
