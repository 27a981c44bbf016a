"""The baseline: Splink, a probabilistic linkage that sees both lists in plain text, on the same canonical values."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import duckdb
import numpy as np
import splink.comparison_level_library as cll
import splink.comparison_library as cl
from splink import DuckDBAPI, Linker, SettingsCreator, block_on

from mpc.replicated import Array
from tests.quality import measure
from tests.quality.evaluate import Evaluation, canonical
from tests.quality.ranking import Ranking
from tests.quality.samples import Sample

CANDIDATE = 0.01
"""Pairs of a lower match probability are not looked at."""
SURE_PROBABILITY = 0.95
"""The threshold that a careful user would choose without knowing the truth."""
SURE, BEST = f"Splink, probability {SURE_PROBABILITY}", "Splink, best threshold"
_SEED = 1


@dataclass(frozen=True)
class Model:
    """What is compared, and which pairs are looked at.

    Attributes:
        columns: name → field with transforms, as in rules, for each column that Splink sees.
        comparisons: column → how it is compared.
        blocks: pairs that agree in one of these are scored.
        training: blocks within which expectation maximisation estimates.
        certain: what agreeing pairs are matches for the first estimate of how many there are.
    """

    columns: Mapping[str, str]
    comparisons: Mapping[str, object]
    blocks: tuple[tuple[str, ...], ...]
    training: tuple[tuple[str, ...], ...]
    certain: tuple[tuple[str, ...], ...]

    def without(self, fields: Collection[str]) -> Model:
        """The same for lists that lack some fields."""
        lacking = {name for name, field in self.columns.items() if field.split(":")[0] in fields}
        pairs = self.blocks, self.training, self.certain
        return Model(
            {name: field for name, field in self.columns.items() if name not in lacking},
            {name: compared for name, compared in self.comparisons.items() if name not in lacking},
            *(tuple(c for c in columns if lacking.isdisjoint(c)) for columns in pairs),
        )


def _name(column: str, sound: str) -> object:
    """Names: equal, of equal sound, alike, with two words of equal sound, or different."""
    return cl.CustomComparison(
        [
            cll.NullLevel(column),
            cll.ExactMatchLevel(column),
            cll.ExactMatchLevel(sound),
            cll.JaroWinklerLevel(column, 0.92),
            cll.CustomLevel(f"len(list_intersect(split({sound}_l, ' '), split({sound}_r, ' '))) >= 2", "two words"),
            cll.JaroWinklerLevel(column, 0.8),
            cll.ElseLevel(),
        ],
        output_column_name=column,
    )


PEOPLE = Model(
    {
        "id": "id_number", "phone": "phone", "born": "birth_date", "name": "full_name:sorted",
        "sound": "full_name:phonetic:sorted", "sex": "sex", "place": "admin2",
    },
    {
        "id": cl.LevenshteinAtThresholds("id", [1, 2]),
        "phone": cl.LevenshteinAtThresholds("phone", [1]),
        "born": cl.DateOfBirthComparison("born", input_is_string=True),
        "name": _name("name", "sound"),
        "sex": cl.ExactMatch("sex"),
        "place": cl.JaroWinklerAtThresholds("place", [0.9]),
    },
    (("id",), ("phone",), ("born",), ("sound",)),
    (("born",), ("sound",)),
    (("id",), ("phone", "born"), ("name", "born")),
)  # fmt: skip
FEBRL = Model(
    {
        "id": "id_number", "born": "birth_date", "given": "given_name", "family": "family_name", "suburb": "suburb",
        "postcode": "postcode", "street": "address_1", "given_sound": "given_name:phonetic",
        "family_sound": "family_name:phonetic",
    },
    {
        "id": cl.LevenshteinAtThresholds("id", [1, 2]),
        "born": cl.DateOfBirthComparison("born", input_is_string=True),
        "given": cl.NameComparison("given"),
        "family": cl.NameComparison("family"),
        "suburb": cl.JaroWinklerAtThresholds("suburb", [0.9, 0.8]),
        "postcode": cl.LevenshteinAtThresholds("postcode", [1]),
        "street": cl.JaroWinklerAtThresholds("street", [0.9, 0.8]),
    },
    (("id",), ("born",), ("given_sound", "family_sound"), ("postcode", "family_sound"), ("postcode", "given_sound"),
     ("suburb", "street")),
    (("born",), ("postcode",)),
    (("id",), ("given", "family", "born")),
)  # fmt: skip


@dataclass(frozen=True)
class Scored:
    """What the baseline says.

    Attributes:
        pairs: (k,) int64, as `measure.join` gives them.
        probability: (k,) float64: of each that it is one person.
        seconds: for training and scoring; reading and canonical forms not counted.
    """

    pairs: Array
    probability: Array
    seconds: float


def run(sample: Sample, model: Model) -> Scored:
    """Train on two lists without knowing the truth, and score pairs."""
    logging.getLogger("splink").setLevel(logging.ERROR)
    tables = [canonical(sample, side, model.columns) for side in (0, 1)]
    started = time.monotonic()
    # One thread: the same order of sums, so the same figures every time; and one core, as the rules have.
    database = DuckDBAPI(duckdb.connect(config={"threads": 1}))
    frames = [database.register(t, dataset_display_name=n) for t, n in zip(tables, ("list_a", "list_b"), strict=True)]
    linker = Linker(
        frames,
        SettingsCreator(
            link_type="link_only",
            comparisons=list(model.comparisons.values()),  # type: ignore[arg-type]
            blocking_rules_to_generate_predictions=[block_on(*columns) for columns in model.blocks],
            retain_matching_columns=False,
        ),
        log_level=logging.ERROR,
    )
    linker.training.estimate_probability_two_random_records_match([block_on(*c) for c in model.certain], recall=0.8)
    linker.training.estimate_u_using_random_sampling(max_pairs=2e6, seed=_SEED)
    for columns in model.training:
        linker.training.estimate_parameters_using_expectation_maximisation(block_on(*columns))
    found = linker.inference.predict(threshold_match_probability=CANDIDATE)
    scores = found.as_duckdbpyrelation().select("unique_id_l, unique_id_r, match_probability").fetchnumpy()
    seconds = time.monotonic() - started
    pairs = scores["unique_id_l"].astype(np.int64) * sample.sizes[1] + scores["unique_id_r"]
    order = np.argsort(pairs)
    return Scored(pairs[order], scores["match_probability"][order], seconds)


def with_baseline(evaluation: Evaluation, model: Model) -> Evaluation:
    """What the baseline finds in the same lists, beside what was found."""
    scored = run(evaluation.sample, model)
    sure = scored.pairs[scored.probability >= SURE_PROBABILITY]
    threshold, best = measure.best(scored.pairs, scored.probability, evaluation.true)
    found = {**evaluation.found, SURE: sure, BEST: best}
    sample = evaluation.sample
    left, right = np.divmod(scored.pairs, sample.sizes[1])
    ranking = Ranking.of(
        np.stack([left, sample.sizes[0] + right], axis=1), scored.probability, sample.people, sample.traditions
    )
    return replace(evaluation, found=found, baseline_s=scored.seconds, threshold=threshold, ranking=ranking)
