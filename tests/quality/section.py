"""The report's section on similar rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from mpc.matching import Reveal
from mpc.replicated import Array
from parties.similar import GRADES, USUAL_TRADITION, Similar, from_toml, presets
from tests import drawing
from tests.quality import minhash, report, samples
from tests.quality.baseline import BEST, PEOPLE, SURE, with_baseline
from tests.quality.evaluate import Evaluation, by_rules
from tests.quality.likeness import Likeness
from tests.quality.pooled import SEEDS, Pooled
from tests.quality.ranking import Ranking, Rates
from tests.quality.report import fine, table
from tests.quality.rulesets import CAREFUL, FEBRL_SIMILAR, USUAL, WIDE
from tests.quality.samples import Sample
from tests.quality.train import trained

ALLOWED = 1e-3
FALSE_POSITIVES = (2e-4, 5e-4, 1e-3, 2e-3, 5e-3)
"""At which recall is compared."""
OF_THREE = (20_000, 100_000)
"""Rows of each of three members' lists."""
LACKING: tuple[tuple[str, ...], ...] = (("id_number",), ("phone",), ("id_number", "phone"))
BANDS = ((1, 3), (1, 4), (1, 5), (2, 4))
"""Of MinHash: how many for each blocking key of the rule, and of how many hashes."""
KEPT = "FEBRL 3"
GROUPS = (2, 3, 6, 11, 21, 51)
_CURVE = tuple(float(part) for part in np.geomspace(1e-4, 1e-2, 13))


def preset_rule(records: int, tradition: str = USUAL_TRADITION) -> Similar:
    """A preset, as a session of so many records of all members has it."""
    return from_toml({"tradition": tradition}, Reveal.GRADE.value, records)


def preset(sample: Sample, tradition: str = USUAL_TRADITION) -> Likeness:
    """What a preset makes of some lists."""
    return Likeness.of(sample, preset_rule(sum(sample.sizes), tradition))


def figures(pooled: Pooled, more: Sequence[Sample], folder: Path) -> dict[str, str]:
    """Word in the template → what stands there.

    Args:
        pooled: what is found in the pairs of lists.
        more: lists of other lengths.
        folder: for lists of three members, and others without some fields.
    """
    rule, likeness = pooled.rule, pooled.likenesses[0]
    three = [samples.generated(folder, rows, 3, samples.SEED + k) for k, rows in enumerate(OF_THREE, 1)]
    lacking = list(_lacking(folder, rule))
    probable = pooled.ranking.rates(rule.thresholds[1])
    return {
        "grades": _grades(pooled),
        "probable": str(rule.thresholds[1]),
        "allowed_threshold": f"{pooled.ranking.threshold(ALLOWED):.0f}",
        "seeds": f"{SEEDS[0]} to {SEEDS[-1]}",
        "similar_recall": fine(probable.recall),
        "similar_false": fine(probable.false_positives),
        "similar_at": fine(pooled.ranking.at_most(ALLOWED).recall),
        "splink_at": fine(pooled.baseline.at_most(ALLOWED).recall),
        "usual_pooled": fine(pooled.rates(USUAL).recall),
        "usual_false": fine(pooled.rates(USUAL).false_positives),
        "at_rates": _at_rates({"similar": pooled.ranking, "Splink": pooled.baseline}),
        "similar_traditions": _by_tradition(pooled),
        "traditions_beside": _beside(pooled),
        "similar_lists": _by_lists(map(preset, (*more, *three))),
        "lacking": _by_field(lacking, rule.thresholds[1]),
        "similar_no_id": fine(lacking[0][0].at_most(ALLOWED).recall),
        "strangers": _strangers(pooled),
        "blocks": _blocks(likeness),
        "groups": _groups(likeness.group_sizes),
        "keys": str(likeness.linkage.keys),
        "largest": str(rule.largest_group),
    }


def plots(pooled: Pooled) -> dict[str, str]:
    """Name → SVG."""
    least = pooled.rule.thresholds[1]
    sets = (pooled.rates(name) for name in (CAREFUL, USUAL, WIDE))
    series = {
        "similar": _curve(pooled.ranking.at_most(part) for part in _CURVE),
        "Splink": _curve(pooled.baseline.at_most(part) for part in _CURVE),
        "careful, usual, wide": _curve(sets),
    }
    missed = {
        tradition: (
            100 * (1 - pooled.ranking.rates(least, tradition).recall),
            100 * (1 - pooled.rates(SURE, tradition).recall),
        )
        for tradition in report.traditions(pooled.people[0])
    }
    labels = "false positives, percent of rows without a match", "missed, percent of rows with a match"
    return {
        "curves": drawing.curves("What is missed for how many false positives", labels, series),
        "similar": drawing.bars("Rows missed, percent", ("similar, probable", SURE), missed),
    }


def febrl(evaluations: Sequence[Evaluation]) -> dict[str, str]:
    """The rule for FEBRL beside the baseline, taught by all sets but the one that is kept."""
    names = [one.sample.name for one in evaluations]
    rule = trained(FEBRL_SIMILAR, [one.sample for one in evaluations if one.sample.name != KEPT])
    body = []
    for one in evaluations:
        own = Likeness.of(one.sample, rule).ranking.rates(rule.thresholds[0])
        rates = [own, *map(one.rates, (SURE, BEST))]
        name = f"**{KEPT}, kept**" if one.sample.name == KEPT else one.sample.name
        body.append([name, *(f"{fine(r.recall)} / {fine(r.precision)} ({_counts(r)})" for r in rates)])
    taught = f"{', '.join(name for name in names if name != KEPT)}"
    return {
        "febrl_similar": table(["recall / precision (missed, wrong)", "similar", SURE, BEST], body),
        "febrl_taught": taught,
    }


def _counts(rates: Rates) -> str:
    return f"{rates.missed:,}, {rates.wrong:,}"


def _grades(pooled: Pooled) -> str:
    thresholds = pooled.rule.thresholds
    rows = {
        f"similar, {grade}: score {least} or more": pooled.ranking.rates(least)
        for grade, least in zip(GRADES, thresholds, strict=True)
    }
    rows |= {name: pooled.rates(name) for name in (CAREFUL, USUAL, WIDE)}
    rows |= {f"{name} and similar, probable": pooled.either(name, thresholds[1]) for name in ("id", USUAL)}
    rows[SURE] = pooled.rates(SURE)
    return table(
        ("", "recall", "false positives", "precision", "rows missed", "rows wrong"),
        ([name, *_shares(rates), f"{rates.missed:,}", f"{rates.wrong:,}"] for name, rates in rows.items()),
    )


def _shares(rates: Rates) -> list[str]:
    return [fine(rates.recall), fine(rates.false_positives), fine(rates.precision)]


def _at_rates(rankings: Mapping[str, Ranking]) -> str:
    headings = ["recall at false positives of", *(f"{fine(part)} %" for part in FALSE_POSITIVES)]
    return table(
        headings,
        ([name, *(fine(each.at_most(p).recall) for p in FALSE_POSITIVES)] for name, each in rankings.items()),
    )


def _by_tradition(pooled: Pooled) -> str:
    """The similar rule at two thresholds, the same for all traditions."""
    ranking, least = pooled.ranking, pooled.rule.thresholds[1]
    allowed = ranking.threshold(ALLOWED)
    known = report.traditions(pooled.people[0])
    body = []
    for tradition in (*known, ""):
        rates = [ranking.rates(threshold, tradition) for threshold in (least, allowed)]
        body.append([tradition or "**all**", f"{rates[0].shared:,}", *(cell for r in rates for cell in _closely(r))])
    shown = ("rows missed", "false positives")
    return table(("", "rows with a match", "probable: recall", *shown, "at 0.10 %: recall", *shown), body)


def _closely(rates: Rates) -> list[str]:
    low, high = map(fine, rates.recall_interval)
    return [f"{fine(rates.recall)} ({low} to {high})", f"{rates.missed:,}", fine(rates.false_positives)]


def _beside(pooled: Pooled) -> str:
    """Exact rules, the baseline, and presets of one tradition."""
    ranking, least, records = pooled.ranking, pooled.rule.thresholds[1], sum(pooled.people[0].sample.sizes)
    own = {name: preset_rule(records, name) for name in presets() if name != USUAL_TRADITION}
    body = []
    for tradition in report.traditions(pooled.people[0]):
        found = ranking.rates(least, tradition)
        rates = [found, *(pooled.rates(name, tradition) for name in (USUAL, SURE))]
        shown = [_recall_and_false(each) for each in rates]
        if tradition in own:
            special = pooled.by(own[tradition]).of_tradition(tradition)
            shown += [_recall_and_false(special.rates(own[tradition].thresholds[1]))]
            shown += [fine(special.at_most(found.false_positives).recall)]
        body.append([tradition, *shown, *[""] * (5 - len(shown))])
    headings = ("recall / false positives", "similar, probable", USUAL, SURE, "own preset, probable")
    return table((*headings, "own preset: recall at equal false positives"), body)


def _recall_and_false(rates: Rates) -> str:
    return f"{fine(rates.recall)} / {fine(rates.false_positives)}"


def _by_lists(likenesses: Iterable[Likeness]) -> str:
    body = []
    for each in likenesses:
        rates = each.ranking.rates(each.rule.thresholds[1])
        at = each.ranking.at_most(ALLOWED).recall
        sizes = " + ".join(f"{size:,}" for size in each.sample.sizes)
        compared = f"{len(each.pairs):,}", fine(each.blocking_recall)
        body.append([sizes, each.rule.thresholds[1], *compared, *_shares(rates), fine(at)])
    headings = ("rows", "probable from", "pairs compared", "true pairs among them")
    return table((*headings, "recall", "false positives", "precision", "recall at 0.10 %"), body)


def _lacking(folder: Path, rule: Similar) -> Iterator[tuple[Ranking, Evaluation]]:
    """What the rule and the baseline make of lists without some fields."""
    for number, fields in enumerate(LACKING, 10):
        sample = samples.generated(folder, seed=samples.SEED + number, without=fields)
        people = with_baseline(by_rules(sample, (), {}), PEOPLE.without(fields))
        yield Likeness.of(sample, rule).ranking, people


def _by_field(lacking: Sequence[tuple[Ranking, Evaluation]], least: int) -> str:
    body = []
    for fields, (ranking, people) in zip(LACKING, lacking, strict=True):
        assert people.ranking is not None
        shown = [_recall_and_false(r) for r in (ranking.rates(least), people.rates(SURE))]
        body.append(
            [" and ".join(fields), *shown, *(fine(r.at_most(ALLOWED).recall) for r in (ranking, people.ranking))]
        )
    headings = ("no list has", "similar, probable: recall / false positives", SURE)
    return table((*headings, "recall of similar at 0.10 %", "of Splink"), body)


def _strangers(pooled: Pooled) -> str:
    found = pooled.strangers(pooled.rule.thresholds[1])
    return table(
        ("pairs of two people", "compared", "taken for one"),
        ([kind, f"{pairs.compared:,}", f"{pairs.wrong:,}"] for kind, pairs in found.items()),
    )


def _blocks(likeness: Likeness) -> str:
    body = [[b.name, b.keys, f"{b.pairs:,}", fine(b.recall), fine(b.joint_recall)] for b in likeness.by_block()]
    for times, rows in BANDS:
        bands = times * likeness.linkage.keys
        other = likeness.by_keys("", minhash.keys(likeness.sample, bands, rows))
        body.append([f"MinHash: {bands} bands of {rows}", bands, f"{other.pairs:,}", fine(other.recall), ""])
    return table(("block", "keys", "pairs", "true pairs among them", "with those above"), body)


def _groups(sizes: Array) -> str:
    ends = [*GROUPS[1:], sizes.max(initial=0) + 1]
    body = []
    for first, end in zip(GROUPS, ends, strict=True):
        within = sizes[(sizes >= first) & (sizes < end)]
        if len(within):
            body.append(
                [
                    f"{first} to {end - 1}" if end - 1 > first else str(first),
                    f"{len(within):,}",
                    f"{int(within.sum()):,}",
                ]
            )
    return table(("rows that share a key", "keys", "rows"), body)


def _curve(points: Iterable[Rates]) -> list[tuple[float, float]]:
    """Points that logarithmic axes can show, each once, from few false positives to many."""
    shown = {(100 * r.false_positives, 100 * (1 - r.recall)) for r in points if r.false_positives > 0 and r.recall < 1}
    return sorted(shown)
