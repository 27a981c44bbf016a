"""Gates over planes, and rows to planes and back: by compiled code where it is there (kernel.c), else by NumPy.

NumPy is the reference. A tape is a straight-line program of XOR, AND and COPY; `mpc.circuit` makes them. NumPy takes
the interpreter lock between any two gates, and every plane through the second-level cache; the compiled code runs whole
programs without the lock, in strips that fit the first-level cache. Both write the same bits, which the tests hold them
to.

Source of the transpositions: Warren, "Hacker's Delight", section 7-3.
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


def to_planes(rows: Array) -> Array:
    """Transpose rows into planes.

    Args:
        rows: (n, k) uint64.

    Returns:
        (64k, ceil(n / 64)) uint64: bit r of word w of plane b is bit b of row 64w + r; padding is zero.
    """
    rows, length = np.ascontiguousarray(rows, np.uint64), -(-len(rows) // 64)
    if not COMPILED:
        return _to_planes_numpy(rows, length)
    planes: Array = np.empty((64 * rows.shape[1], length), np.uint64)
    lib.matchbit_to_planes(_words(rows), *rows.shape, _words(planes))
    return planes


def to_rows(planes: Array, count: int) -> Array:
    """The rows (count, k) again: the inverse of `to_planes`.

    Raises:
        ValueError: planes are of other rows.
    """
    planes, words = np.ascontiguousarray(planes, np.uint64), len(planes) // 64
    if planes.shape != (64 * words, -(-count // 64)):
        raise ValueError(f"planes {planes.shape} for {count} rows")
    if not COMPILED:
        return _to_rows_numpy(planes, count)
    rows: Array = np.empty((count, words), np.uint64)
    lib.matchbit_to_rows(_words(planes), *rows.shape, _words(rows))
    return rows


def _words(array: Array) -> object:
    return ffi.cast("uint64_t *", array.__array_interface__["data"][0])


def _to_planes_numpy(rows: Array, length: int) -> Array:
    row_bytes = 8 * rows.shape[1]
    padded = np.zeros((64 * length, row_bytes), np.uint8)
    padded[: len(rows)] = rows.view(np.uint8).reshape(len(rows), row_bytes)
    words = np.ascontiguousarray(padded.T).view(np.uint64)
    _transpose_bits(words)
    by_bit = words.view(np.uint8).reshape(row_bytes, 8 * length, 8).transpose(0, 2, 1)
    return np.ascontiguousarray(by_bit).view(np.uint64).reshape(8 * row_bytes, length)


def _to_rows_numpy(planes: Array, count: int) -> Array:
    row_bytes, length = len(planes) // 8, planes.shape[1]
    by_row = planes.view(np.uint8).reshape(row_bytes, 8, 8 * length).transpose(0, 2, 1)
    words = np.ascontiguousarray(by_row).view(np.uint64).reshape(row_bytes, 8 * length)
    _transpose_bits(words)
    rows = np.ascontiguousarray(words.view(np.uint8).T[:count])
    return rows.view(np.uint64).reshape(count, row_bytes // 8)


def _transpose_bits(words: Array) -> None:
    """Transpose every word as an 8 × 8 matrix of bits, in place."""
    for shift, mask in ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0)):
        swapped = (words ^ words >> np.uint64(shift)) & np.uint64(mask)
        words ^= swapped
        words ^= swapped << np.uint64(shift)
