"""Several pairs of made-up lists, each compared by itself and counted together, so that chance weighs less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from parties.similar import Similar
from tests.quality import samples
from tests.quality.evaluate import Evaluation
from tests.quality.likeness import CONFUSED, Confused, Likeness
from tests.quality.ranking import Ranking, Rates

SEEDS = range(samples.SEED, samples.SEED + 5)
"""Of the pairs; no preset was learnt from them."""


@dataclass(frozen=True, repr=False)
class Pooled:
    """What is found in all pairs of lists.

    Attributes:
        people: what exact rules and the baseline find in each.
        likenesses: what one similar rule makes of each.
    """

    people: Sequence[Evaluation]
    likenesses: Sequence[Likeness]

    @classmethod
    def of(cls, people: Sequence[Evaluation], rule: Similar) -> Pooled:
        """The similar rule on the same lists."""
        return cls(people, [Likeness.of(one.sample, rule) for one in people])

    @property
    def rule(self) -> Similar:
        """The similar rule."""
        return self.likenesses[0].rule

    @cached_property
    def ranking(self) -> Ranking:
        """All records by their best scores."""
        return Ranking.pooled([each.ranking for each in self.likenesses])

    @cached_property
    def baseline(self) -> Ranking:
        """The same by the probabilities that the baseline gives them, which learns from each pair by itself."""
        return Ranking.pooled([one.ranking for one in self.people if one.ranking is not None])

    def rates(self, name: str, tradition: str = "") -> Rates:
        """What a set of exact rules, or a threshold of the baseline, finds."""
        return Rates.total(one.rates(name, tradition) for one in self.people)

    def either(self, name: str, threshold: int) -> Rates:
        """What a set of exact rules finds, or the similar rule."""
        found = np.concatenate([one.rows_found(name) for one in self.people])
        return Ranking(np.where(found, np.inf, self.ranking.best), self.ranking.shared).rates(threshold)

    def strangers(self, threshold: int) -> dict[str, Confused]:
        """As `Likeness` has them, of all pairs of lists."""
        each = [likeness.strangers(threshold) for likeness in self.likenesses]
        return {
            kind: Confused(sum(e[kind].compared for e in each), sum(e[kind].wrong for e in each)) for kind in CONFUSED
        }

    def by(self, rule: Similar) -> Ranking:
        """All records by what another similar rule says of them."""
        return Ranking.pooled([Likeness.of(one.sample, rule).ranking for one in self.people])
