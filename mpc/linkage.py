"""How alike two records are: a Fellegi–Sunter score of their comparison vectors, as a circuit on bits.

A record's comparison vector holds, for each comparison of the rule, one or more values, each a presence bit and the
value's bits. A pair of records reaches one level of each comparison; every level has an integer weight, its log-odds in
quarters of a bit; a comparison that one of the records has no value for weighs nothing. The sum of all weights is held
against thresholds.

    kind     bits of a value                         levels, from the worst
    names    a filter of each word                   none in common; for one, two, three or more words in common:
                                                     others of both differ, or not
    date     year mod 128, month, day                different; two parts of three; the year, and one of both estimated;
                                                     day and month swapped; equal and estimated; equal
    number   the last characters                     different; one or two characters differ; equal
    text     a filter of the whole text              different; alike; nearly equal
    exact    a digest                                different; equal

A filter has a bit for each letter and each pair of neighbouring letters, hashed; similar words differ in few of them.
A date whose day and month are not known is written as the first of January, where estimated dates stand.

Source: Fellegi and Sunter, "A Theory for Record Linkage", JASA 1969; filters of q-grams after Schnell, Bachteler,
Reiher, "Privacy-preserving record linkage using Bloom filters", BMC Medical Informatics and Decision Making 2009.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import reduce
from itertools import accumulate, combinations, product

from mpc.circuit import Signal
from mpc.logic import ZERO, Logic, Number, combined

MEMBER_BITS = 16
"""At the end of a comparison vector: the number of its member, which the parties write there."""
YEAR_BITS, MONTH_BITS, DAY_BITS = 7, 4, 5
CHARACTERS, CHARACTER_BITS = 11, 4
NEAR_CHARACTERS = 2
"""Characters in which near numbers differ at most."""
WORD_FILTER_BITS, TEXT_FILTER_BITS = 32, 64
NEAR_WORD = 3
"""Bits in which the filters of near words differ at most."""
NEAR_TEXT, ALIKE_TEXT = 4, 6
"""The same for texts that are nearly equal, and alike."""
DIGEST_BITS = 15


class Kind(Enum):
    """How values are compared; the value is what the terms say."""

    NAMES = "names"
    DATE = "date"
    NUMBER = "number"
    TEXT = "text"
    EXACT = "exact"


VALUE_BITS = {
    Kind.NAMES: WORD_FILTER_BITS,
    Kind.DATE: YEAR_BITS + MONTH_BITS + DAY_BITS,
    Kind.NUMBER: CHARACTERS * CHARACTER_BITS,
    Kind.TEXT: TEXT_FILTER_BITS,
    Kind.EXACT: DIGEST_BITS,
}
"""Of one value, besides its presence bit."""
LEVELS = {Kind.NAMES: 7, Kind.DATE: 6, Kind.NUMBER: 3, Kind.TEXT: 3, Kind.EXACT: 2}
"""How many levels a comparison has."""
MOST_VALUES = 4
MOST_WEIGHT = 1000


@dataclass(frozen=True)
class Comparison:
    """One of a rule's comparisons; public.

    Attributes:
        kind: how.
        values: of a record at most, 1 to MOST_VALUES; of names the words. The pair's level is the best of any two.
        weights: of the levels, in their order; each from -MOST_WEIGHT to MOST_WEIGHT.
    """

    kind: Kind
    values: int
    weights: tuple[int, ...]

    @property
    def bits(self) -> int:
        """Of a comparison vector: for each value its presence bit, then the value's bits, the lowest first."""
        return self.values * (1 + VALUE_BITS[self.kind])


@dataclass(frozen=True)
class Linkage:
    """A rule on similar records; public, and the same at all parties.

    Attributes:
        keys: blocking keys of a record.
        comparisons: in the order of their bits.
        thresholds: least scores of the grades, ascending and positive; one grade for `flag`.
        largest_group: records that a blocking key may be shared by: what more share is not compared.
    """

    keys: int
    comparisons: tuple[Comparison, ...]
    thresholds: tuple[int, ...]
    largest_group: int

    @property
    def bits(self) -> int:
        """Of a comparison vector, without its member's number."""
        return sum(c.bits for c in self.comparisons)

    @property
    def words(self) -> int:
        """64-bit words of a comparison vector, an even number; the last MEMBER_BITS of them are the member's number."""
        return 2 * -(-(self.bits + MEMBER_BITS) // 128)

    @property
    def record_words(self) -> int:
        """Words of a record: two for each blocking key, then its comparison vector."""
        return 2 * self.keys + self.words

    @property
    def starts(self) -> tuple[int, ...]:
        """The first bit of each comparison."""
        return tuple(accumulate((c.bits for c in self.comparisons[:-1]), initial=0))


class Pair:
    """The circuit that compares two records.

    Its inputs are the planes of one comparison vector, those of the other one, and a plane of ones.

    Args:
        linkage: the rule.

    Attributes:
        levels: for each comparison its levels' signals, of which one is 1, or none where a record has no value.
        grades: for each threshold whether the score reaches it, and the records are of different members.
    """

    def __init__(self, linkage: Linkage) -> None:
        self.planes = 64 * linkage.words
        self.logic = Logic(2 * self.planes)
        self.levels = [
            _LEVELS[c.kind](self.logic, *(self._values(c, start + side) for side in (0, self.planes)))
            for c, start in zip(linkage.comparisons, linkage.starts, strict=True)
        ]
        score, offset = self._score(linkage)
        members = [range(start + self.planes - MEMBER_BITS, start + self.planes) for start in (0, self.planes)]
        others = self.logic.inverse(self.logic.equal(*members))
        self.grades = [
            self.logic.both(self.logic.at_least(score, least + offset), others) for least in linkage.thresholds
        ]

    def _values(self, comparison: Comparison, start: int) -> list[list[Signal]]:
        """For each value its presence bit and its other bits."""
        size = comparison.bits // comparison.values
        return [list(range(start + k * size, start + (k + 1) * size)) for k in range(comparison.values)]

    def _score(self, linkage: Linkage) -> tuple[Number, int]:
        """The sum of weights, raised by an offset so that none is negative; and the offset."""
        numbers, offset = [], 0
        for comparison, levels in zip(linkage.comparisons, self.levels, strict=True):
            lowest = -min(0, *comparison.weights)
            absent = self.logic.inverse(reduce(self.logic.xor, levels))
            weights = [lowest, *(weight + lowest for weight in comparison.weights)]
            numbers.append(combined(self.logic, list(zip([absent, *levels], weights, strict=True))))
            offset += lowest
        return self.logic.total(numbers), offset


Values = Sequence[Sequence[Signal]]
"""For each value its presence bit and its other bits."""
Levels = list[Signal]
"""Of which one is 1 for two values that are there, from the worst."""


def _names(logic: Logic, left: Values, right: Values) -> Levels:
    """Words are in common if their filters are near; how many is the smaller number of either's words that are."""
    near = [[_both_near(logic, one, other) for other in right] for one in left]
    found = [[logic.any_of(row) for row in near], [logic.any_of(column) for column in zip(*near, strict=True)]]
    counts = [logic.popcount(bits) for bits in found]
    common = [logic.all_of(logic.at_least(count, k) for count in counts) for k in (1, 2, 3)]
    named = logic.all_of(logic.any_of(word[0] for word in words) for words in (left, right))
    others = logic.all_of(
        logic.any_of(logic.both(word[0], logic.inverse(bit)) for word, bit in zip(words, bits, strict=True))
        for words, bits in zip((left, right), found, strict=True)
    )
    levels = [logic.xor(named, common[0])]
    for these, more in zip(common, [*common[1:], ZERO], strict=True):
        exactly = logic.xor(these, more)
        with_others = logic.both(exactly, others)
        levels += [with_others, logic.xor(exactly, with_others)]
    return levels


def _both_near(logic: Logic, left: Sequence[Signal], right: Sequence[Signal]) -> Signal:
    [near] = _within(logic, logic.differences(left[1:], right[1:]), NEAR_WORD)
    return logic.all_of([left[0], right[0], near])


def _best(compare: Callable[[Logic, Sequence[Signal], Sequence[Signal]], Levels]) -> Callable[..., Levels]:
    """The best level of any two values, from what says which levels above the worst two values reach."""

    def levels(logic: Logic, left: Values, right: Values) -> Levels:
        pairs = []
        for one, other in product(left, right):
            here = logic.both(one[0], other[0])
            pairs.append([here, *(logic.both(here, better) for better in compare(logic, one[1:], other[1:]))])
        reached = [logic.any_of(of_level) for of_level in zip(*pairs, strict=True)]
        return [logic.xor(this, better) for this, better in zip(reached, [*reached[1:], ZERO], strict=True)]

    return levels


def _dates(logic: Logic, left: Sequence[Signal], right: Sequence[Signal]) -> Levels:
    year, month, day = _parts(left)
    other_year, other_month, other_day = _parts(right)
    same = [logic.equal(*both) for both in ((year, other_year), (month, other_month), (day, other_day))]
    two = logic.any_of(logic.both(*both) for both in combinations(same, 2))
    estimated = [_is_first_of_january(logic, *both) for both in ((month, day), (other_month, other_day))]
    swapped = logic.all_of([same[0], logic.equal(month, other_day), logic.equal(day, other_month)])
    equal = logic.all_of(same)
    from_swapped = logic.either(equal, swapped)
    from_estimated = logic.either(from_swapped, logic.both(same[0], logic.either(*estimated)))
    certain = logic.both(equal, logic.inverse(estimated[0]))
    return [logic.either(from_estimated, two), from_estimated, from_swapped, equal, certain]


def _parts(bits: Sequence[Signal]) -> tuple[Number, Number, Number]:
    """Year, month and day, the last two equally long."""
    month_at, day_at = YEAR_BITS, YEAR_BITS + MONTH_BITS
    month = [*bits[month_at:day_at], *[ZERO] * (DAY_BITS - MONTH_BITS)]
    return list(bits[:month_at]), month, list(bits[day_at:])


def _is_first_of_january(logic: Logic, month: Number, day: Number) -> Signal:
    return logic.all_of([month[0], day[0], *map(logic.inverse, month[1:]), *map(logic.inverse, day[1:])])


def _numbers(logic: Logic, left: Sequence[Signal], right: Sequence[Signal]) -> Levels:
    bits = logic.differences(left, right)
    characters = [logic.any_of(bits[k : k + CHARACTER_BITS]) for k in range(0, len(bits), CHARACTER_BITS)]
    return _within(logic, characters, NEAR_CHARACTERS, 0)


def _texts(logic: Logic, left: Sequence[Signal], right: Sequence[Signal]) -> Levels:
    return _within(logic, logic.differences(left, right), ALIKE_TEXT, NEAR_TEXT)


def _digests(logic: Logic, left: Sequence[Signal], right: Sequence[Signal]) -> Levels:
    return [logic.equal(left, right)]


def _within(logic: Logic, bits: Sequence[Signal], *limits: int) -> list[Signal]:
    """For each limit whether at most so many bits are 1."""
    count = logic.popcount(bits)
    return [logic.inverse(logic.at_least(count, limit + 1)) for limit in limits]


_LEVELS = {
    Kind.NAMES: _names,
    Kind.DATE: _best(_dates),
    Kind.NUMBER: _best(_numbers),
    Kind.TEXT: _best(_texts),
    Kind.EXACT: _best(_digests),
}
