"""A similar rule's weights and threshold from lists of which it is known who is who, as `matchbit tune` finds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mpc.replicated import Array
from parties import tuning
from parties.similar import GRADES, Similar
from tests.quality.likeness import Likeness
from tests.quality.presets import pooled
from tests.quality.samples import Sample


def trained(rule: Similar, lists: Sequence[Sample]) -> Similar:
    """The rule with weights from the pairs that it compares in all these lists, and the threshold of a flag."""
    compared, same = pooled([_compared(Likeness.of(sample, rule)) for sample in lists])
    weights = tuning.learnt(compared, same, tuple(c.weights for c in rule.comparisons))
    least = tuning.thresholds(tuning.predicted(compared, same, weights))[len(GRADES) // 2]
    comparisons = (replace(c, weights=own) for c, own in zip(rule.comparisons, weights, strict=True))
    return replace(rule, comparisons=tuple(comparisons), thresholds=(least,))


def _compared(likeness: Likeness) -> tuple[tuning.Compared, Array]:
    levels = likeness.levels(likeness.pairs)
    whole = tuning.Compared(likeness.linkage, likeness.pairs, levels, len(likeness.records))
    return whole, likeness.same.astype(np.float64)
