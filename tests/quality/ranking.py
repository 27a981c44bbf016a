"""Records by how sure something is that another list has them too: recall against false positives, at any threshold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mpc.replicated import Array

_DEVIATIONS = 1.96
"""Standard deviations on both sides that hold 95 % of a normal distribution."""


class Rates(NamedTuple):
    """How well one threshold does.

    Attributes:
        shared: records that another list has.
        found: of those, how many reach the threshold.
        others: records that no other list has.
        wrong: of those, how many reach it.
    """

    shared: int
    found: int
    others: int
    wrong: int

    @classmethod
    def total(cls, each: Iterable[Rates]) -> Rates:
        """Of several samples together."""
        return cls(*np.sum(list(each), axis=0).tolist())

    @property
    def recall(self) -> float:
        """Part of the shared records that are found."""
        return self.found / max(self.shared, 1)

    @property
    def missed(self) -> int:
        """Shared records that are not found."""
        return self.shared - self.found

    @property
    def recall_interval(self) -> tuple[float, float]:
        """Where recall is with 95 % confidence: Wilson's interval (JASA 1927).

        Both records of a person are mostly found or missed together, so half as many count as independent.
        """
        independent = max(self.shared / 2, 1)
        spread = _DEVIATIONS**2 / independent
        middle = self.recall + spread / 2
        half = math.sqrt(spread * (self.recall * (1 - self.recall) + spread / 4))
        return (middle - half) / (1 + spread), (middle + half) / (1 + spread)

    @property
    def false_positives(self) -> float:
        """Part of the other records that are found."""
        return self.wrong / max(self.others, 1)

    @property
    def precision(self) -> float:
        """Part of what is found that should be."""
        return self.found / max(self.found + self.wrong, 1)


@dataclass(frozen=True)
class Ranking:
    """The best pair of each record.

    Attributes:
        best: (n,) float64: its score; minus infinity where it has no pair.
        shared: (n,) bool: whether another list has the record's person.
        traditions: (n,) of str: whose names the records bear; None where all are alike.
    """

    best: Array
    shared: Array
    traditions: Array | None = None

    @classmethod
    def of(cls, pairs: Array, scores: Array, people: Sequence[Array], traditions: Array | None = None) -> Ranking:
        """What scored pairs of records say.

        Args:
            pairs: (p, 2) integers: places of records, list after list.
            scores: (p,) of each.
            people: for each list who each record is.
            traditions: as in the ranking.
        """
        best = np.full(sum(map(len, people)), -np.inf)
        for side in (0, 1):
            np.maximum.at(best, pairs[:, side], scores)
        return cls(best, np.isin(np.arange(len(best)), true_pairs(people)), traditions)

    @classmethod
    def pooled(cls, rankings: Sequence[Ranking]) -> Ranking:
        """Several samples as one, all with traditions or all without."""
        traditions = [each.traditions for each in rankings if each.traditions is not None]
        return cls(
            np.concatenate([each.best for each in rankings]),
            np.concatenate([each.shared for each in rankings]),
            np.concatenate(traditions) if traditions else None,
        )

    def of_tradition(self, tradition: str) -> Ranking:
        """The records that bear names of one tradition; all, where that is not known."""
        if self.traditions is None:
            return self
        among = self.traditions == tradition
        return Ranking(self.best[among], self.shared[among])

    def rates(self, threshold: float, tradition: str = "") -> Rates:
        """What reaches the threshold; of one tradition, or all."""
        if tradition:
            return self.of_tradition(tradition).rates(threshold)
        reached, shared = self.best >= threshold, self.shared
        found, wrong = int((reached & shared).sum()), int((reached & ~shared).sum())
        return Rates(int(shared.sum()), found, int((~shared).sum()), wrong)

    def at_most(self, false_positives: float) -> Rates:
        """At the least threshold that lets so many false positives pass, or fewer."""
        return self.rates(self.threshold(false_positives))

    def threshold(self, false_positives: float) -> float:
        """That threshold."""
        wrong = -np.sort(-self.best[~self.shared])
        allowed = int(false_positives * len(wrong) + 1e-6)  # a part that is k of them allows k, however it is rounded
        floor = wrong[allowed] if allowed < len(wrong) else -np.inf
        above = self.best[self.best > floor]
        return float(above.min()) if len(above) else np.inf


def true_pairs(people: Sequence[Array]) -> Array:
    """All pairs of records of one person in different lists.

    Args:
        people: for each list (rows,) integers: who each record is.

    Returns:
        (p, 2) int64, ascending: places of records, list after list, the earlier first.
    """
    who, where = np.concatenate(people), np.repeat(np.arange(len(people)), list(map(len, people)))
    order = np.argsort(who, kind="stable")
    found = [np.zeros((0, 2), np.int64)]
    # A person's records stand next to each other: pair each with the next one, the one after, until none is alike.
    for step in range(1, len(who)):
        left, right = order[:-step], order[step:]
        same = who[left] == who[right]
        if not same.any():
            break
        found.append(np.stack([left, right], axis=1)[same & (where[left] != where[right])])
    pairs = np.concatenate(found)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def coded(pairs: Array, records: int) -> Array:
    """(p,) int64: pairs as numbers, to be compared with each other."""
    code: Array = pairs[:, 0].astype(np.int64) * records + pairs[:, 1]
    return code
