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
        registers: that the tape needs.
        arrays: their planes are numbered in this order, the registers follow. Each (blocks, planes, length) uint64 with
            neighbouring words; one with a single block serves for all.
        constants: which of the arrays has a single word, which stands for equal words, and is only added to others; -1
            for none.
    """

    tape: Array
    registers: int
    arrays: tuple[Array, ...]
    constants: int = -1

    @property
    def length(self) -> int:
        """Words of a plane."""
        return int(self.arrays[-1].shape[2])


def run(steps: Sequence[Step], blocks: int) -> None:
    """Run all steps on one block, then on the next.

    Raises:
        ValueError: an array is not of uint64, its words are not neighbours, or it has other blocks or words.
    """
    for step in steps:
        for number, array in enumerate(step.arrays):
            held, _, length = array.shape
            fits = held in (1, blocks) and length == (1 if number == step.constants else step.length)
            if not fits or array.dtype != np.uint64 or (length > 1 and array.strides[2] != array.itemsize):
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
    most = registers = 1
    for program, step in zip(programs, steps, strict=True):
        arrays = ffi.new("array[]", [_described(array) for array in step.arrays])
        tape = ffi.from_buffer("uint16_t[]", step.tape)
        kept += [arrays, tape]
        sizes = [array.shape[1] for array in step.arrays]
        first, after = (sum(sizes[: step.constants + k]) if step.constants >= 0 else 0 for k in (0, 1))
        program.tape, program.gates, program.arrays, program.count = tape, len(step.tape), arrays, len(arrays)
        program.registers, program.length, program.constants, program.after = step.registers, step.length, first, after
        most, registers = max(most, sum(sizes) + step.registers), max(registers, step.registers)
    lib.matchbit_run(
        programs, len(steps), blocks, ffi.new("uint64_t[]", STRIP_WORDS * registers), ffi.new("uintptr_t[]", most)
    )


def _described(array: Array) -> tuple[int, int, int, int, int]:
    """As kernel.c has it."""
    of_block, of_plane, of_word = array.strides
    address = array.__array_interface__["data"][0]
    return address, array.shape[1], of_block if len(array) > 1 else 0, of_plane, of_word if array.shape[2] > 1 else 0
