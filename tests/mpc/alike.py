"""Records for tests of similar rules, and what a rule says of two of them, told without circuits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from hypothesis import strategies as st

from mpc.linkage import (
    ALIKE_TEXT,
    CHARACTER_BITS,
    DAY_BITS,
    LEVELS,
    MONTH_BITS,
    NEAR_CHARACTERS,
    NEAR_TEXT,
    NEAR_WORD,
    VALUE_BITS,
    YEAR_BITS,
    Comparison,
    Kind,
    Linkage,
)
from mpc.replicated import Array

LINKAGE = Linkage(
    3,
    (
        Comparison(Kind.NAMES, 3, (-18, -16, 36, -2, 29, 14, 43)),
        Comparison(Kind.DATE, 1, (-52, -34, 12, 35, 29, 61)),
        Comparison(Kind.EXACT, 1, (-48, 4)),
        Comparison(Kind.NUMBER, 2, (-15, 8, 62)),
        Comparison(Kind.TEXT, 1, (-19, 10, 20)),
    ),
    (10, 40, 90),
    4,
)
FLAGS = replace(LINKAGE, thresholds=(40,))
Vector = tuple[tuple[int | None, ...], ...]
"""For each comparison its values' bits as a number; None where there is none."""


@dataclass(frozen=True)
class Record:
    """What a member knows of one.

    Attributes:
        member: whose.
        keys: as many as the rule has.
        vector: as many values as the rule has.
    """

    member: int
    keys: tuple[int, ...]
    vector: Vector


def encoded(linkage: Linkage, records: list[Record]) -> Array:
    """(n, record_words) uint64, as members give them."""
    rows = []
    for record in records:
        bits, at = 0, 0
        for comparison, values in zip(linkage.comparisons, record.vector, strict=True):
            for value in values:
                bits |= 0 if value is None else (1 | value << 1) << at
                at += 1 + VALUE_BITS[comparison.kind]
        keys = [word for slot, key in enumerate(record.keys) for word in (key, slot)]
        rows.append([*keys, *(bits >> 64 * k & (2**64 - 1) for k in range(linkage.words))])
    return np.array(rows, np.uint64).reshape(len(records), linkage.record_words)


def score(linkage: Linkage, left: Vector, right: Vector) -> int:
    """The sum of weights."""
    total = 0
    for comparison, one, other in zip(linkage.comparisons, left, right, strict=True):
        level = level_of(comparison.kind, one, other)
        total += 0 if level is None else comparison.weights[level]
    return total


def level_of(kind: Kind, left: tuple[int | None, ...], right: tuple[int | None, ...]) -> int | None:
    """The level of a comparison; None where one has no value."""
    ours, theirs = ([v for v in values if v is not None] for values in (left, right))
    if not ours or not theirs:
        return None
    if kind is Kind.NAMES:
        return _names(ours, theirs)
    return max(_OF_VALUES[kind](a, b) for a in ours for b in theirs)


def _names(ours: list[int], theirs: list[int]) -> int:
    found = [any((a ^ b).bit_count() <= NEAR_WORD for b in theirs) for a in ours]
    back = [any((a ^ b).bit_count() <= NEAR_WORD for a in ours) for b in theirs]
    common = min(sum(found), sum(back), 3)
    others = not all(found) and not all(back)
    return 2 * common - others if common else 0


def _dates(a: int, b: int) -> int:
    (y, m, d), (yy, mm, dd) = (_parts(value) for value in (a, b))
    same = [y == yy, m == mm, d == dd]
    if all(same):
        return 4 if (m, d) == (1, 1) else 5
    if y == yy and (m, d) == (dd, mm):
        return 3
    if y == yy and (1, 1) in ((m, d), (mm, dd)):
        return 2
    return int(sum(same) == 2)


def _parts(value: int) -> tuple[int, int, int]:
    rest = value >> YEAR_BITS
    return value % (1 << YEAR_BITS), rest % (1 << MONTH_BITS), rest >> MONTH_BITS


def date(year: int, month: int, day: int) -> int:
    """A date's bits."""
    return year % (1 << YEAR_BITS) | month << YEAR_BITS | day << YEAR_BITS + MONTH_BITS


def _numbers(a: int, b: int) -> int:
    characters = VALUE_BITS[Kind.NUMBER] // CHARACTER_BITS
    differ = sum((a ^ b) >> CHARACTER_BITS * k & (1 << CHARACTER_BITS) - 1 > 0 for k in range(characters))
    return 2 if not differ else int(differ <= NEAR_CHARACTERS)


def _texts(a: int, b: int) -> int:
    bits = (a ^ b).bit_count()
    return (bits <= ALIKE_TEXT) + (bits <= NEAR_TEXT)


_OF_VALUES: dict[Kind, Callable[[int, int], int]] = {
    Kind.DATE: _dates,
    Kind.NUMBER: _numbers,
    Kind.TEXT: _texts,
    Kind.EXACT: lambda a, b: int(a == b),
}


def expected(linkage: Linkage, records: list[Record]) -> list[int]:
    """What each record's member learns, pair by pair."""
    found = [0] * len(records)
    groups = defaultdict(list)
    for k, record in enumerate(records):
        for slot, key in enumerate(record.keys):
            groups[slot, key].append(k)
    for group in groups.values():
        if len(group) > linkage.largest_group:
            continue
        for one, other in combinations(group, 2):
            if records[one].member != records[other].member:
                total = score(linkage, records[one].vector, records[other].vector)
                grades = sum((total >= least) << k for k, least in enumerate(linkage.thresholds))
                found[one] |= grades
                found[other] |= grades
    return found


@st.composite
def people(draw: st.DrawFn, linkage: Linkage = LINKAGE, members: int = 3, most: int = 40) -> list[Record]:
    """Records of few people, told more or less well, in the members' order."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    known = [_vector(linkage, rng) for _ in range(draw(st.integers(1, 6)))]
    counts = [draw(st.integers(0, most)) for _ in range(members)]
    return [
        Record(
            member,
            tuple(int(k) for k in rng.integers(0, max(1, sum(counts) // 3), linkage.keys)),
            _told(linkage, known[rng.integers(len(known))], rng),
        )
        for member, count in enumerate(counts)
        for _ in range(count)
    ]


def _vector(linkage: Linkage, rng: np.random.Generator) -> Vector:
    return tuple(tuple(_value(c.kind, rng) for _ in range(c.values)) for c in linkage.comparisons)


def _value(kind: Kind, rng: np.random.Generator) -> int:
    if kind is Kind.DATE:
        month, day = (1, 1) if rng.random() < 0.3 else (int(rng.integers(1, 13)), int(rng.integers(1, 1 << DAY_BITS)))
        return date(int(rng.integers(0, 100)), month, day)
    return int.from_bytes(rng.bytes(8)) % (1 << VALUE_BITS[kind])


def _told(linkage: Linkage, vector: Vector, rng: np.random.Generator) -> Vector:
    """A vector with values that are missing, in another order, or a little wrong."""
    told = []
    for comparison, values in zip(linkage.comparisons, vector, strict=True):
        here = [_changed(comparison.kind, v, rng) for v in rng.permutation(np.array(values, object))]
        told.append(tuple(None if rng.random() < 0.2 else v for v in here))
    return tuple(told)


def _changed(kind: Kind, value: int, rng: np.random.Generator) -> int:
    if rng.random() < 0.5:
        return value
    if kind is Kind.DATE:
        year, month, day = _parts(value)
        others = [date(year, day % 16, month), date(year, 1, 1), date(year, month, 9), date(year + 1, month, day)]
        return others[rng.integers(len(others))]
    for _ in range(rng.integers(0, 12)):
        value ^= 1 << int(rng.integers(VALUE_BITS[kind]))
    return value


assert all(len(c.weights) == LEVELS[c.kind] for c in LINKAGE.comparisons)
