"""Weights and thresholds of a similar rule, from pairs of records that its blocks bring together. Pure.

Weights are found among just these pairs: of two strangers at random hardly any share a phone and a village, but of
those who are compared many do, since they share a household. A weight that counts each agreement by itself, against
strangers, finds whole families; a regression on all levels together learns what an agreement tells beside the others.

Which pairs are the same person is known from labels, or estimated by expectation maximisation, beginning with what the
rule's own weights say. The regression leans towards the rule's weights, so that levels that few pairs reach keep them.

Source: Fellegi and Sunter, JASA 1969; Winkler, "Using the EM Algorithm for Weight Computation in the Fellegi–Sunter
Model of Record Linkage", ASA 1988; ridge regression after le Cessie and van Houwelingen, Applied Statistics 1992.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mpc.linkage import LEVELS, MOST_WEIGHT, Kind, Linkage
from mpc.replicated import Array

UNIT = math.log(2) / 4
"""Of weights, in natural logarithms of odds: a quarter of a bit."""
WRONGLY = (0.005, 0.0008, 0.00002)
"""Shares of records without a match that may be flagged: possible, probable, certain."""
APART = 10
"""Between the thresholds of two grades, at least: more than five times as probable."""
_ROUNDS, _STEPS = 500, 100
_SETTLED = 1e-5
_STEEPEST = 40.0
_ORDERED = (Kind.NUMBER, Kind.TEXT)
"""Kinds of which a better level never weighs less: nearly equal numbers are no better evidence than equal ones."""
Weights = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, repr=False)
class Compared:
    """Pairs of records that were compared.

    Attributes:
        linkage: the rule.
        pairs: (p, 2) int64: records.
        levels: (p, comparisons) int8, as `mpc.similar.levels` gives them.
        records: how many there are, compared or not.
    """

    linkage: Linkage
    pairs: Array
    levels: Array
    records: int

    def scores(self, weights: Weights) -> Array:
        """(p,) int64: sums of weights."""
        return _scores(self.levels, weights)


class Prediction(NamedTuple):
    """What a threshold would do on lists like these.

    Attributes:
        threshold: least score.
        recall: share of records with a match that are flagged, of those that blocks bring together.
        wrong: share of records without a match that are flagged.
    """

    threshold: int
    recall: float
    wrong: float


def expected(compared: Compared, weights: Weights, threshold: int) -> Array:
    """How probable it is that pairs are of one person, by expectation maximisation.

    Args:
        compared: the pairs.
        weights: to begin with.
        threshold: to begin with: a pair of this score is as probably one person as two.

    Returns:
        (p,) float64.
    """
    of_pair, levels, counts = _patterns(compared.levels)
    reached = _reached(levels, compared.linkage)
    same = _probability(UNIT * (_scores(levels, weights) - threshold))
    for _ in range(_ROUNDS):
        share = float(counts @ same / counts.sum())
        odds = np.full(len(levels), math.log((share + 1e-9) / (1 - share + 1e-9)))
        for of_level in reached:
            agree, differ = ((counts * p) @ of_level + 0.5 for p in (same, 1 - same))
            odds = odds + of_level @ np.log((agree / agree.sum()) / (differ / differ.sum()))
        before, same = same, _probability(odds)
        if np.abs(same - before).max() < _SETTLED:
            break
    found: Array = same[of_pair]
    return found


def learnt(compared: Compared, same: Array, weights: Weights) -> Weights:
    """The weights that tell pairs of one person best from the others, by logistic regression.

    Args:
        compared: the pairs.
        same: (p,) probabilities, or what is known: 0 and 1.
        weights: that levels keep where little is known of them.
    """
    of_pair, levels, counts = _patterns(compared.levels)
    share = np.bincount(of_pair, weights=same) / counts
    x = np.concatenate([*_reached(levels, compared.linkage), np.ones((len(levels), 1))], axis=1)
    lean = np.append(np.ones(x.shape[1] - 1), 1e-6)
    start = UNIT * np.array([w for of_kind in weights for w in of_kind] + [0.0])
    begun = float(counts @ share / counts.sum())
    beta = start.copy()
    beta[-1] = math.log((begun + 1e-9) / (1 - begun + 1e-9)) - float(np.average(x[:, :-1] @ beta[:-1], weights=counts))
    for _ in range(_STEPS):
        p = _probability(x @ beta)
        slope = x.T @ (counts * (share - p)) - lean * (beta - start) * (np.arange(len(beta)) < len(beta) - 1)
        curve = (x * (counts * np.maximum(p * (1 - p), 1e-9))[:, None]).T @ x + np.diag(lean)
        step = np.linalg.solve(curve, slope)
        beta += step * min(1.0, 4 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < _SETTLED:
            break
    return _rounded(beta[:-1] / UNIT, compared.linkage)


def predicted(compared: Compared, same: Array, weights: Weights) -> list[Prediction]:
    """What each threshold would do, from 1 on, where something changes."""
    scores = compared.scores(weights)
    best = np.zeros(compared.records, np.int64)
    alone = np.ones(compared.records)
    for side in compared.pairs.T:
        np.maximum.at(best, side, scores)
        np.multiply.at(alone, side, 1 - same)
    matched = 1 - alone
    order = np.arange(best.max(initial=0) + 2)
    flagged = [np.bincount(best, weights=w, minlength=len(order))[::-1].cumsum()[::-1] for w in (matched, alone)]
    shares = [of / max(float(w.sum()), 1e-9) for of, w in zip(flagged, (matched, alone), strict=True)]
    return [Prediction(t, float(shares[0][t]), float(shares[1][t])) for t in order[1:].tolist()]


def thresholds(predictions: Sequence[Prediction], certain: int = 1) -> tuple[int, ...]:
    """For each grade the least threshold by which no more records than `WRONGLY` are flagged; ascending, `APART`.

    Args:
        predictions: as `predicted` gives them.
        certain: below which the last is not.
    """
    found: list[int] = []
    for most in WRONGLY:
        least = next((p.threshold for p in predictions if p.wrong <= most), predictions[-1].threshold)
        found.append(max(least, found[-1] + APART if found else 1))
    return *found[:-1], max(found[-1], certain)


def shares(compared: Compared, weights_of_pairs: Array) -> list[Array]:
    """For each comparison the share of each level among pairs that have it, counted with these weights."""
    found = []
    for column, comparison in enumerate(compared.linkage.comparisons):
        level = compared.levels[:, column]
        has = level >= 0
        counts = np.bincount(level[has], weights=weights_of_pairs[has], minlength=LEVELS[comparison.kind])
        found.append(counts / max(counts.sum(), 1e-9))
    return found


def _scores(levels: Array, weights: Weights) -> Array:
    total = np.zeros(len(levels), np.int64)
    for column, of_level in enumerate(weights):
        total += np.array([*of_level, 0], np.int64)[levels[:, column]]
    return total


def _patterns(levels: Array) -> tuple[Array, Array, Array]:
    """For each pair which distinct row of levels it has, these rows, and how often each is there."""
    places = 16 ** np.arange(levels.shape[1], dtype=np.int64)
    codes = (levels.astype(np.int64) + 1) @ places
    _, first, of_pair, counts = np.unique(codes, return_index=True, return_inverse=True, return_counts=True)
    return of_pair, levels[first], counts.astype(np.float64)


def _reached(levels: Array, linkage: Linkage) -> list[Array]:
    """For each comparison (rows, levels) float64 with a one where a row has a level."""
    return [
        (levels[:, column, None] == np.arange(LEVELS[comparison.kind])).astype(np.float64)
        for column, comparison in enumerate(linkage.comparisons)
    ]


def _probability(odds: Array) -> Array:
    found: Array = 1 / (1 + np.exp(-np.clip(odds, -_STEEPEST, _STEEPEST)))
    return found


def _rounded(weights: Array, linkage: Linkage) -> Weights:
    rounded = np.clip(np.round(weights), -MOST_WEIGHT, MOST_WEIGHT).astype(int).tolist()
    found = []
    for comparison in linkage.comparisons:
        of_kind, rounded = rounded[: LEVELS[comparison.kind]], rounded[LEVELS[comparison.kind] :]
        if comparison.kind in _ORDERED:  # from the best down: none weighs more than the one above it
            of_kind = np.minimum.accumulate(of_kind[::-1])[::-1].tolist()
        found.append(tuple(of_kind))
    return tuple(found)
