"""The presets of similar rules, learnt from made-up lists that nothing reported is measured on.

`python -m tests.quality.presets` writes parties/similar.toml: weights from scratch, thresholds by how many records are
flagged wrongly on two lists of 20,000. Some lists lack fields, as some agencies do not ask for them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import parties
from mpc.linkage import LEVELS, Kind
from mpc.replicated import Array
from parties import tune, tuning
from parties.similar import Block, Compared, Similar
from tests.quality import samples
from tests.quality.likeness import Likeness

OWN = ("Burmese",)
"""Naming traditions with a preset of their own. All others were tried too: they gain less than a record in 1,000."""
COMPLETE: tuple[tuple[int, int, tuple[str, ...]], ...] = ((2, 20_000, ()),) * 4
LACKING = ((2, 20_000, ("id_number",)), (2, 20_000, ("phone",)), (2, 20_000, ("id_number", "phone")))
LARGE = ((3, 100_000, ()),)
"""Members, rows of each, and fields that they lack; the n-th lists are of seed n."""
_BLOCKS = (
    Block(("id_number:number",), 1),
    Block(("phone",), 2),
    Block(("birth_date:unordered", "full_name:each-word"), 3),
    Block(("birth_date:year", "full_name:word-pairs"), 2),
    Block(("birth_date:unordered", "admin2", "sex"), 1),
    Block(("full_name:word-pairs", "admin2", "sex"), 2),
)
_COMPARED = (
    ("full_name", Kind.NAMES, 4), ("birth_date", Kind.DATE, 1), ("sex", Kind.EXACT, 1), ("phone", Kind.NUMBER, 2),
    ("id_number", Kind.NUMBER, 1), ("admin2", Kind.TEXT, 1),
)  # fmt: skip
_COMPARISONS = tuple(Compared(field, kind.value, values, (0,) * LEVELS[kind]) for field, kind, values in _COMPARED)
EMPTY = Similar(_BLOCKS, _COMPARISONS, (1, 2, 3), 50)
"""The rule without weights."""
_HEAD = """\
# Rules on similar people by naming tradition: what a rule of kind "similar" does not say itself, it has from here.
# Weights and thresholds are in quarters of a bit; docs/tuning.md says how to find one's own.
# Written by `python -m tests.quality.presets`.
"""


def main() -> None:
    """Learn and write."""
    with tempfile.TemporaryDirectory(prefix="matchbit-presets-") as name:
        made = [_likeness(Path(name), seed, lists) for seed, lists in enumerate((*COMPLETE, *LACKING, *LARGE), 1)]
    presets = {"general": learnt(made)} | {tradition: learnt(made, tradition) for tradition in OWN}
    text = "\n".join([_HEAD, *(f"[{name}]\n{tune.entries(rule)}" for name, rule in presets.items())])
    (Path(parties.__file__).parent / "similar.toml").write_text(text, "utf-8")


def learnt(made: Sequence[tuple[tuning.Compared, Array, Array]], tradition: str = "") -> Similar:
    """A preset for people of a tradition, or for all."""
    chosen = [_of(tradition, *each) for each in made]
    whole, same = pooled(chosen)
    weights = tuning.learnt(whole, same, tuple(c.weights for c in EMPTY.comparisons))
    thresholds = tuning.thresholds(tuning.predicted(*pooled(chosen[: len(COMPLETE)]), weights))
    comparisons = (replace(c, weights=own) for c, own in zip(EMPTY.comparisons, weights, strict=True))
    return replace(EMPTY, comparisons=tuple(comparisons), thresholds=thresholds)


def _likeness(folder: Path, seed: int, lists: tuple[int, int, tuple[str, ...]]) -> tuple[tuning.Compared, Array, Array]:
    """Compared pairs of one sample, whether they are one person, and each record's tradition."""
    members, rows, without = lists
    likeness = Likeness.of(samples.generated(folder, rows, members, seed, without), EMPTY)
    levels = likeness.levels(likeness.pairs)
    assert likeness.sample.traditions is not None
    compared = tuning.Compared(EMPTY.linkage, likeness.pairs, levels, len(likeness.records))
    return compared, likeness.same.astype(np.float64), likeness.sample.traditions


def _of(tradition: str, compared: tuning.Compared, same: Array, traditions: Array) -> tuple[tuning.Compared, Array]:
    """What concerns records of one tradition only, or all."""
    among = traditions == tradition if tradition else np.ones(len(traditions), bool)
    number = np.cumsum(among) - 1
    kept = among[compared.pairs].all(axis=1)
    pairs = number[compared.pairs[kept]]
    return tuning.Compared(compared.linkage, pairs, compared.levels[kept], int(among.sum())), same[kept]


def pooled(samples: Sequence[tuple[tuning.Compared, Array]]) -> tuple[tuning.Compared, Array]:
    """Several samples as one, in which no record of one meets one of another."""
    ends = np.cumsum([compared.records for compared, _ in samples]).tolist()
    pairs = [compared.pairs + (end - compared.records) for (compared, _), end in zip(samples, ends, strict=True)]
    levels = np.concatenate([compared.levels for compared, _ in samples])
    whole = tuning.Compared(samples[0][0].linkage, np.concatenate(pairs), levels, ends[-1])
    return whole, np.concatenate([same for _, same in samples])


if __name__ == "__main__":
    main()
