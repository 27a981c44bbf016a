"""Weights and thresholds from compared pairs, on pairs of which the truth is made up."""

from __future__ import annotations

import numpy as np
import pytest

from mpc.linkage import Comparison, Kind, Linkage
from mpc.replicated import Array
from parties import tuning
from parties.tuning import APART, Compared, Prediction, Weights

LINKAGE = Linkage(
    1,
    (
        Comparison(Kind.EXACT, 1, (-9, 9)),
        Comparison(Kind.EXACT, 1, (-9, 9)),
        Comparison(Kind.TEXT, 1, (-9, 0, 9)),
        Comparison(Kind.NUMBER, 1, (-9, 0, 9)),
    ),
    (10,),
    50,
)
START: Weights = tuple(c.weights for c in LINKAGE.comparisons)
AGREE, DIFFER = 0.95, 0.2


def made(pairs: int, same: float, seed: int = 1) -> tuple[Compared, Array]:
    """Pairs of records of their own; the fields agree independently, and in one of ten a value is missing."""
    rng = np.random.default_rng(seed)
    one = rng.random(pairs) < same
    agree = rng.random((pairs, 4)) < np.where(one, AGREE, DIFFER)[:, None]
    levels = np.where(agree, [1, 1, 2, 2], 0).astype(np.int8)
    near = (levels[:, 2] == 0) & (rng.random(pairs) < 0.3)
    levels[near, 2] = 1
    levels[rng.random((pairs, 4)) < 0.1] = -1
    return Compared(LINKAGE, np.arange(2 * pairs).reshape(-1, 2), levels, 2 * pairs), one.astype(np.float64)


def quarters(odds: float) -> float:
    return 4 * float(np.log2(odds))


def test_weights_are_log_odds_where_fields_are_independent() -> None:
    compared, same = made(200_000, 0.3)
    weights = tuning.learnt(compared, same, START)
    apart = quarters(AGREE / DIFFER) - quarters((1 - AGREE) / (1 - DIFFER))
    for column in (0, 1):
        assert weights[column][1] - weights[column][0] == pytest.approx(apart, abs=2)


def test_what_comes_together_counts_once() -> None:
    compared, same = made(100_000, 0.3)
    compared.levels[:, 1] = compared.levels[:, 0]
    twice = tuning.learnt(compared, same, START)
    apart = sum(twice[k][1] - twice[k][0] for k in (0, 1))
    assert apart == pytest.approx(quarters(AGREE / DIFFER) - quarters((1 - AGREE) / (1 - DIFFER)), abs=3)


def test_levels_that_nobody_reaches_keep_their_weights() -> None:
    compared, same = made(20_000, 0.3)
    compared.levels[compared.levels[:, 2] == 1, 2] = 0
    assert tuning.learnt(compared, same, ((-9, 9), (-9, 9), (-9, -3, 9), (-9, 0, 9)))[2][1] == -3


def test_a_better_level_of_a_number_never_weighs_less() -> None:
    compared, same = made(20_000, 0.3)
    compared.levels[same == 1, 3] = 1
    low, near, equal = tuning.learnt(compared, same, START)[3]
    assert low <= near <= equal


def test_the_truth_is_found_without_labels() -> None:
    compared, same = made(50_000, 0.2)
    found = tuning.expected(compared, START, 10)
    assert found.sum() == pytest.approx(same.sum(), rel=0.05)
    assert ((found > 0.5) == (same > 0.5)).mean() > 0.95
    blind, knowing = (tuning.learnt(compared, one, START) for one in (found, same))
    assert np.abs(np.array(blind[0]) - np.array(knowing[0])).max() <= 3


def test_what_thresholds_would_do() -> None:
    """Records 0 and 1 are one person, 2 and 3 are not; 1 meets 2 as well, and 4 meets nobody."""
    levels = np.array([[1, 1, -1, -1], [1, -1, -1, -1], [0, 1, 1, -1]], np.int8)
    compared = Compared(LINKAGE, np.array([[0, 1], [2, 3], [1, 2]]), levels, 5)
    assert compared.scores(START).tolist() == [18, 9, 0]
    predictions = tuning.predicted(compared, np.array([1.0, 0, 0]), START)
    assert len(predictions) == 19
    assert predictions[8] == Prediction(9, 1.0, 2 / 3)
    assert predictions[9] == Prediction(10, 1.0, 0.0)
    assert predictions[18] == Prediction(19, 0.0, 0.0)


def test_thresholds_rise_and_stay_apart() -> None:
    few = [Prediction(t, 1.0, wrong) for t, wrong in enumerate((0.1, 0.004, 0.0, 0.0, 0.0), 1)]
    assert tuning.thresholds(few) == (2, 2 + APART, 2 + 2 * APART)
    none = [Prediction(t, 1.0, 0.0) for t in (1, 2)]
    assert tuning.thresholds(none) == (1, 1 + APART, 1 + 2 * APART)
    assert tuning.thresholds(none, 20) == (1, 1 + APART, 1 + 2 * APART)
    assert tuning.thresholds(none, 50) == (1, 1 + APART, 50)
    far = [Prediction(t, 1.0, 0.0 if t >= 90 else 0.0002 if t >= 60 else 0.002) for t in range(1, 100)]
    assert tuning.thresholds(far, 50) == (1, 60, 90)


def test_shares_of_levels() -> None:
    levels = np.array([[1, 1, 2, -1], [0, 1, 1, -1], [-1, 1, 0, -1]], np.int8)
    compared = Compared(LINKAGE, np.zeros((3, 2), np.int64), levels, 2)
    found = tuning.shares(compared, np.array([3.0, 1, 5]))
    assert [of.tolist() for of in found] == [[0.25, 0.75], [0, 1], [5 / 9, 1 / 9, 3 / 9], [0, 0, 0]]
