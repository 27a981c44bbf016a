"""Rules and baseline, run over a pair of lists."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mpc.replicated import Array
from parties import fields
from parties.keys import make_keys
from parties.rules import Rule
from tests.quality import measure
from tests.quality.measure import Score
from tests.quality.ranking import Ranking, Rates
from tests.quality.rulesets import Sets
from tests.quality.samples import Sample

_SESSION = bytes(32)


@dataclass(frozen=True)
class Evaluation:
    """What was found in a sample.

    Attributes:
        sample: the lists.
        true: pairs of rows of one person.
        found: name of a rule, a set or a threshold of the baseline → pairs.
        rules_s: seconds for reading, canonical forms, keys and comparing, under all rules.
        baseline_s: seconds for training and scoring.
        threshold: the best of the baseline.
        ranking: records by how sure the baseline is of them; None where it has not looked.
    """

    sample: Sample
    true: Array
    found: Mapping[str, Array]
    rules_s: float
    baseline_s: float = 0.0
    threshold: float = 0.0
    ranking: Ranking | None = None

    def rows(self, name: str, tradition: str = "") -> Score:
        """Rows that are found to have a match; of one tradition, or all."""
        known = self.sample.traditions
        among = np.equal(known, tradition) if tradition and known is not None else None
        return measure.row_score(self.found[name], self.true, self.sample.sizes, among)

    def rows_found(self, name: str) -> Array:
        """(rows of both lists,) bool: which rows are found to have a match."""
        return measure.flags(self.found[name], self.sample.sizes)

    def rates(self, name: str, tradition: str = "") -> Rates:
        """How many are, with the false positives."""
        has = self.rows_found(name)
        should = measure.flags(self.true, self.sample.sizes)
        return Ranking(has.astype(float), should, self.sample.traditions).rates(1, tradition)

    def pairs(self, name: str) -> Score:
        """Pairs of rows that are found."""
        return measure.pair_score(self.found[name], self.true)


def by_rules(sample: Sample, rules: Sequence[Rule], sets: Sets) -> Evaluation:
    """Find people by rules, alone and in sets."""
    every = tuple(dict.fromkeys([*rules, *(rule for chosen in sets.values() for rule in chosen)]))
    started = time.monotonic()
    left, right = (
        make_keys(fields.open_list(path, sample.map_file), _SESSION, every, sample.country)[0] for path in sample.paths
    )
    of_rule = dict(zip(every, measure.rule_pairs(left, right), strict=True))
    seconds = time.monotonic() - started
    found = {rule.name: of_rule[rule] for rule in rules}
    found |= {name: reduce(np.union1d, [of_rule[rule] for rule in chosen]) for name, chosen in sets.items()}
    return Evaluation(sample, measure.true_pairs(*sample.people), found, seconds)


def canonical(sample: Sample, side: int, columns: Mapping[str, str]) -> pa.Table:
    """A list in canonical form.

    Args:
        sample: two lists.
        side: which of them, 0 or 1.
        columns: name → field with transforms, as in rules.

    Returns:
        For each name the first value of each row, null where there is none; `unique_id` is the row.
    """
    opened = fields.open_list(sample.paths[side], sample.map_file)
    uses = dict(zip(columns, Rule("columns", tuple(columns.values())).uses, strict=True))
    names = {use.field for use in uses.values()}
    sources = {name: fields.source(opened, name, "a measurement", sample.country) for name in names}
    values: dict[str, list[str | None]] = {name: [] for name in columns}
    for batch in opened.source.batches():
        for name, use in uses.items():
            read = sources[use.field].read(batch)
            distinct = [(use.apply(n.values[0]) or None) if n.values else None for n in read.normals]
            values[name] += [distinct[code] for code in read.codes.tolist()]
    rows = len(sample.people[side])
    return pa.table({"unique_id": range(rows)} | {name: pa.array(v, pa.string()) for name, v in values.items()})


def why_missed(evaluation: Evaluation, name: str, columns: Mapping[str, str]) -> dict[str, tuple[Score, Score]]:
    """What missed pairs have in common, column by column of canonical lists, beside all true pairs.

    Returns:
        What the column holds → scores over missed and over all true pairs: right where it agrees, found where both
        lists have it.
    """
    sample = evaluation.sample
    tables = [canonical(sample, side, columns) for side in (0, 1)]
    missed = np.setdiff1d(evaluation.true, evaluation.found[name], assume_unique=True)
    return {
        holds: (
            _agreement(tables, column, missed, sample.sizes[1]),
            _agreement(tables, column, evaluation.true, sample.sizes[1]),
        )
        for column, holds in columns.items()
    }


def _agreement(tables: list[pa.Table], column: str, pairs: Array, right_size: int) -> Score:
    left, right = np.divmod(pairs, right_size)
    equal = pc.equal(tables[0][column].take(pa.array(left)), tables[1][column].take(pa.array(right)))
    return Score(pc.sum(equal, min_count=0).as_py(), len(pairs) - equal.null_count, len(pairs))
