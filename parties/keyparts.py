"""What becomes of the fields of a batch: parts of canonical bytes, keys of their combinations, repeated values."""

from __future__ import annotations

from array import array
from itertools import product

import numpy as np

from mpc.replicated import Array
from parties.fields import FieldBatch
from parties.findings import FIRST_ROWS
from parties.rules import FieldUse, KeyMaker, part

MAX_KEYS_OF_A_ROW = 64
"""Under one rule: so many combinations of its fields' values."""


def parts_of(values: FieldBatch, use: FieldUse) -> list[tuple[bytes, ...]]:
    """For each row the field's parts of canonical bytes, in the form that is used."""
    parts = []
    for values_of_cell, _ in values.normals:
        forms = map(use.apply, values_of_cell)
        once = forms if len(values_of_cell) < 2 else dict.fromkeys(forms)
        parts.append(tuple([part(form) for form in once if form]))
    return [parts[code] for code in values.codes.tolist()]


def derive(
    maker: KeyMaker, parts: list[list[tuple[bytes, ...]]], start: int, rows: array[int], digests: bytearray
) -> list[int]:
    """A key for each combination of a row's values, one of each field; returns rows that have too many."""
    cut = []
    for row, values in enumerate(zip(*parts, strict=True), start):
        for number, combination in enumerate(product(*values)):
            if number == MAX_KEYS_OF_A_ROW:
                cut.append(row)
                break
            digests += maker.key(b"".join(combination))
            rows.append(row)
    return cut


def note_values(values: FieldBatch, start: int, hashes: array[int], rows: array[int]) -> None:
    """Note the values of a batch, by a hash of each, and the rows that they stand on, from `start`."""
    for row, code in enumerate(values.codes.tolist(), start):
        for value in values.normals[code].values:
            hashes.append(hash(value))
            rows.append(row)


def most_repeated(hashes: array[int], rows: array[int], numbers: Array) -> list[tuple[int, tuple[int, ...]]]:
    """The values that stand on most rows: on how many, and on which first."""
    _, first, codes, counts = np.unique(np.frombuffer(hashes, np.int64), True, True, True)
    on = np.frombuffer(rows, np.int32)
    most = np.lexsort((first, -counts))[:FIRST_ROWS]  # hashes differ from run to run, so rows decide between equals
    found = [(int(counts[k]), numbers[on[np.flatnonzero(codes == k)[:FIRST_ROWS]]]) for k in most if counts[k] > 1]
    return [(count, tuple(some.tolist())) for count, some in found]


def distinct_keys(digests: bytes) -> tuple[Array, Array]:
    """Distinct keys in ascending order, (n, 2) uint64, and for each digest its place among them, int32."""
    words = np.frombuffer(digests, np.uint64).reshape(-1, 2)
    order = np.lexsort((words[:, 1], words[:, 0]))
    ordered = words[order]
    is_new = np.ones(len(words), bool)
    np.any(ordered[1:] != ordered[:-1], axis=1, out=is_new[1:])
    places = np.empty(len(words), np.int32)
    places[order] = np.cumsum(is_new, dtype=np.int32) - 1
    return ordered[is_new], places
