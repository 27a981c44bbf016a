"""Boolean circuits from the pieces that comparing takes: equality, popcount, adder, comparison with a constant.

A signal is a bit of 64 rows in every word, as in `mpc.circuit`; what is known beforehand is `ZERO` or `ONE` and costs
no gate. Numbers are signals, the lowest bit first. AND gates are what costs: on shares each is a bit that each party
sends, and each level of them a round; XOR and NOT are free. So the Cost lines here count AND gates, and their levels.

Source: Wallace, "A Suggestion for a Fast Multiplier", IEEE Trans. EC 1964 (carry-save addition); Boyar, Peralta,
Pochuev, "On the multiplicative complexity of Boolean functions over the basis (∧,⊕,1)", TCS 2000 (a full adder with one
AND, the popcount of n bits with n less the number of ones of n).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from functools import reduce

from mpc.circuit import Circuit, Signal

ZERO, ONE = -1, -2
"""Signals that are the same in all rows."""
Number = list[Signal]


class Logic:
    """A circuit under construction; its last input is a plane of ones, from which constants are made.

    Args:
        inputs: planes besides that one.
    """

    def __init__(self, inputs: int) -> None:
        self.circuit = Circuit(inputs + 1)
        self._ones = inputs
        self._levels: dict[Signal, int] = {}

    def level(self, signal: Signal) -> int:
        """AND gates on the longest way to a signal."""
        return self._levels.get(signal, 0)

    def plane(self, signal: Signal) -> Signal:
        """The signal as one of the circuit, also if it is a constant."""
        if signal == ZERO:
            return self.circuit.xor(self._ones, self._ones)
        return self._ones if signal == ONE else signal

    def xor(self, left: Signal, right: Signal) -> Signal:
        """Left ⊕ right. Cost: none."""
        if left == right:
            return ZERO
        for one, other in ((left, right), (right, left)):
            if one == ZERO:
                return other
            if one == ONE and other == self._ones:
                return ZERO
        return self._made(self.circuit.xor(self.plane(left), self.plane(right)), max(map(self.level, (left, right))))

    def both(self, left: Signal, right: Signal) -> Signal:
        """Left ∧ right. Cost: 1 AND."""
        if ZERO in (left, right):
            return ZERO
        if right in {left, ONE}:
            return left
        if left == ONE:
            return right
        return self._made(self.circuit.both(left, right), 1 + max(map(self.level, (left, right))))

    def inverse(self, signal: Signal) -> Signal:
        """¬signal. Cost: none."""
        return {ZERO: ONE, ONE: ZERO}[signal] if signal in (ZERO, ONE) else self.xor(signal, ONE)

    def either(self, left: Signal, right: Signal) -> Signal:
        """Left ∨ right. Cost: 1 AND."""
        return self.inverse(self.both(self.inverse(left), self.inverse(right)))

    def all_of(self, signals: Iterable[Signal]) -> Signal:
        """Whether all are 1. Cost: n - 1 ANDs, in ceil(log2 n) levels."""
        return self._tree(signals, ONE)

    def any_of(self, signals: Iterable[Signal]) -> Signal:
        """Whether one is 1. Cost: as `all_of`."""
        return self.inverse(self._tree(map(self.inverse, signals), ONE))

    def differences(self, left: Sequence[Signal], right: Sequence[Signal]) -> list[Signal]:
        """Where two values differ. Cost: none."""
        return [self.xor(a, b) for a, b in zip(left, right, strict=True)]

    def equal(self, left: Sequence[Signal], right: Sequence[Signal]) -> Signal:
        """Whether two values of n bits are equal. Cost: n - 1 ANDs, in ceil(log2 n) levels."""
        return self.all_of(map(self.inverse, self.differences(left, right)))

    def popcount(self, bits: Sequence[Signal]) -> Number:
        """How many of n bits are 1. Cost: n less the number of ones of n, in ANDs."""
        return self.total([[bit] for bit in bits])

    def total(self, numbers: Iterable[Sequence[Signal]]) -> Number:
        """The sum of numbers, by full adders on whichever three bits of a place are there first.

        Cost: for two numbers of n bits n ANDs, in n levels; for each number more as many ANDs, in few levels more.
        """
        places: list[list[tuple[int, int, Signal]]] = []

        def put(place: int, signal: Signal) -> None:
            while len(places) <= place:
                places.append([])
            if signal != ZERO:
                heapq.heappush(places[place], (self.level(signal), len(places[place]), signal))

        for number in numbers:
            for place, signal in enumerate(number):
                put(place, signal)
        place = 0
        while place < len(places):
            here = places[place]
            while len(here) > 1:
                three = [heapq.heappop(here)[2] for _ in range(min(3, len(here)))]
                one, other, carried = (*three, ZERO)[:3]
                kept = self.xor(one, carried)
                put(place + 1, self.xor(self.both(kept, self.xor(other, carried)), carried))
                put(place, self.xor(kept, other))
            place += 1
        return [here[0][2] if here else ZERO for here in places]

    def at_least(self, number: Sequence[Signal], least: int) -> Signal:
        """Whether a number of n bits is at least a constant. Cost: n - 1 ANDs at most, in as many levels."""
        if least <= 0:
            return ONE
        if least >> len(number):
            return ZERO
        carry, addend = ZERO, (1 << len(number)) - least  # number + addend reaches 2^n
        for place, signal in enumerate(number):
            carry = self.either(signal, carry) if addend >> place & 1 else self.both(signal, carry)
        return carry

    def _tree(self, signals: Iterable[Signal], nothing: Signal) -> Signal:
        """The AND of signals, those first that are there first."""
        waiting = [(self.level(s), k, s) for k, s in enumerate(dict.fromkeys(signals))]
        heapq.heapify(waiting)
        number = len(waiting)
        while len(waiting) > 1:
            (_, _, one), (_, _, other) = heapq.heappop(waiting), heapq.heappop(waiting)
            joint = self.both(one, other)
            number += 1
            heapq.heappush(waiting, (self.level(joint), number, joint))
        return waiting[0][2] if waiting else nothing

    def _made(self, signal: Signal, level: int) -> Signal:
        self._levels[signal] = level
        return signal


def distinct(logic: Logic, signals: Iterable[Signal]) -> tuple[list[Signal], list[int]]:
    """The circuit's signals behind these, each once, as outputs must be; and for each of these which of them it is."""
    planes = list(map(logic.plane, signals))
    once = list(dict.fromkeys(planes))
    return once, list(map(once.index, planes))


def combined(logic: Logic, chosen: Sequence[tuple[Signal, int]]) -> Number:
    """The number that stands beside the signal that is 1, of signals of which one at most is. Cost: none.

    Args:
        logic: the circuit.
        chosen: signals, each with a number of 0 or more.
    """
    bits = max((number.bit_length() for _, number in chosen), default=0)
    return [reduce(logic.xor, [s for s, number in chosen if number >> k & 1], ZERO) for k in range(bits)]
