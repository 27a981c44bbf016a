"""`matchbit tune`: weights and thresholds of a similar rule from one's own lists. Nothing leaves the computer."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from mpc import similar as linking
from mpc.linkage import Kind
from mpc.matching import Reveal
from mpc.replicated import Array
from parties import columns, fields, similar, toml, tuning
from parties.check import MIN_ROWS
from parties.columns import MapFile
from parties.errors import InputError
from parties.features import Records
from parties.fields import ReadableList
from parties.manifest import COUNTRY_WANTED, is_country
from parties.needs import has_block, no_block, sources_of
from parties.progress import say
from parties.report import table
from parties.shown import listed, shown
from parties.similar import GRADES, PER_DOUBLING, Similar
from parties.tuning import Compared, Prediction, Weights

LEVEL_NAMES = {
    Kind.NAMES: (
        "no word in common", "one word, others differ", "one word, no others", "two words, others differ",
        "two words, no others", "three or more, others differ", "three or more, no others",
    ),
    Kind.DATE: ("different", "two parts of three", "same year, one estimated", "day and month swapped",
                "equal, estimated", "equal"),
    Kind.NUMBER: ("different", "one or two characters differ", "equal"),
    Kind.TEXT: ("different", "alike", "equal or nearly"),
    Kind.EXACT: ("different", "equal"),
}  # fmt: skip
"""Of each kind, from the worst."""
STAYS_HERE = "Nothing has left your computer, and nothing of these lists is in what is written but weights."
FEWEST, FEWEST_OF_RECORDS = 50, 0.001
"""Pairs that are known or sure to be of one person, from which weights can be learnt: so many, and of all records."""
TOO_FEW = (
    "{pairs} of records are known or sure to be of one person, too few to learn from: weights and thresholds stay as "
    "they were."
)
NOT_KNOWN = (
    "Whether records are flagged rightly is not known without labels: those of people who are on the list twice are "
    "counted as well."
)
UNREACHED = (
    "What was learnt contradicts the rule that was begun with: no two records would be certain. Give labels that are "
    "equal just where two rows are of one person, or a list on which more people are twice."
)
LACKING = (
    "There is nothing to compare of {fields}, so its weights and all thresholds stay as they were: thresholds are sums "
    "over all comparisons."
)
LOWER = (
    "Thresholds fall: {which}. By them more records are flagged than by the rule that was begun with. They are for "
    "{records:,} records, as were read; add {more} to each for every doubling from there to those of all members. Take "
    "them only if pairs of such scores look like one person{labels}."
)
_SESSION = bytes(32)
"""Blocking keys only meet others of this run."""
_SHOWN = 12
"""Lines of the table of thresholds, about."""


@dataclass(frozen=True, repr=False)
class Tuned:
    """What was learnt.

    Attributes:
        similar: the rule, with weights and thresholds as they are proposed.
        predictions: what each threshold would do.
        same: for each comparison the share of each level among pairs of one person.
        others: among other pairs that blocks bring together.
        pairs: of one person, as labelled or expected.
        blocked: of labelled pairs the share that blocks bring together; None without labels.
    """

    similar: Similar
    predictions: list[Prediction]
    same: list[Array]
    others: list[Array]
    pairs: float
    blocked: float | None

    @property
    def is_judged(self) -> bool:
        """Whether it is known, or estimated, which pairs are of one person."""
        return self.blocked is not None or self.pairs > 0


def tune(a: argparse.Namespace) -> None:
    """Find weights and thresholds, show what they do, and write a rule."""
    _check_paths(a.list, a.other, a.out)
    base, country = _base(a.rules)
    country, mapped = (
        _country(a.country or "") or country,
        columns.read_map(toml.read(a.map), a.map) if a.map else MapFile(),
    )
    opened = [fields.open_list(path, mapped) for path in (a.list, *([a.other] if a.other else []))]
    tuned, sentences = tuned_on(opened, base, country, a.labels or "")
    for sentence in sentences:
        say(sentence, sys.stderr)
    say(report_text(tuned))
    written = to_toml(tuned.similar)
    if a.out:
        a.out.write_text(written, "utf-8")
        say(f"The rule is in {a.out}: put it into the terms. {STAYS_HERE}")
    else:
        say(f"{written}\n{STAYS_HERE}")


def _check_paths(path: Path, other: Path | None, out: Path | None) -> None:
    if other and path.exists() and other.exists() and path.samefile(other):
        raise InputError(f"{path} is given as LIST and as --other. Leave --other out: a list is compared with itself.")
    if out and out.exists():
        raise InputError(f"{out} is there already; give --out another name.")
    if out and not out.parent.is_dir():
        raise InputError(f"{out} cannot be written: there is no folder {out.parent}.")


def _base(path: Path | None) -> tuple[Similar, str]:
    """The rule to begin with, and its country."""
    given = toml.read(path) if path else {}
    session, rules = given.get("session"), given.get("rule")
    country = given.get("country", session.get("country", "") if isinstance(session, Mapping) else "")
    tables = [rule for rule in (rules if isinstance(rules, list) else ()) if isinstance(rule, Mapping)]
    of_kind = [rule for rule in tables if rule.get("kind") == "similar"] if path else [{}]
    if not of_kind:
        raise InputError(f'{path} has no rule of `kind` "similar". Without --rules, the preset general is taken.')
    base = similar.from_toml(of_kind[0], Reveal.GRADE.value)
    similar.check(base, (Reveal.FLAG if len(base.thresholds) == 1 else Reveal.GRADE).value)
    return base, _country(country)


def _country(text: Any) -> str:
    if not is_country(text):
        raise InputError(COUNTRY_WANTED)
    return str(text)


def tuned_on(opened: Sequence[ReadableList], base: Similar, country: str, labels: str) -> tuple[Tuned, list[str]]:
    """Learn from one list, compared with itself, or from two, compared with each other.

    Args:
        opened: the lists.
        base: the rule to begin with.
        country: of national phone numbers.
        labels: heading of the column that is equal where two rows are of one person; empty if there is none.

    Returns:
        What was learnt, and sentences on what could not be, or should be looked at.

    Raises:
        InputError: a list is too short, lacks the column of labels or all that a block needs, or no two records share a
            blocking key; or
            what is learnt makes no rule.
    """
    read = [_read(one, base, country, labels, number) for number, one in enumerate(opened)]
    arrays, people, missing = zip(*read, strict=True)
    counts = [len(records) for records in arrays] if len(opened) > 1 else [1] * len(arrays[0])
    compared = _compared(base, np.concatenate(arrays), counts)
    if not len(compared.pairs):
        raise InputError("No two records share a blocking key: the list is too short to learn from, or lacks columns.")
    lacks = _lacks(base, compared, frozenset().union(*missing))
    sentences = [LACKING.format(fields=listed([f"`{name}`" for name in lacks]))] if lacks else []
    weights, blocked = _weights(base), None
    if labels:
        who = _people(people)
        same = (who[compared.pairs[:, 0]] == who[compared.pairs[:, 1]]).astype(np.float64)
        blocked = float(same.sum()) / max(_true_pairs(who, counts), 1)
        enough = int(same.sum())
    else:
        enough = int((compared.scores(weights) >= base.thresholds[-1]).sum())
        same = tuning.expected(compared, weights, base.thresholds[len(base.thresholds) // 2])
    if enough >= max(FEWEST, FEWEST_OF_RECORDS * compared.records):
        learnt = _with(base, tuning.learnt(compared, same, weights))
        predictions = tuning.predicted(compared, same, _weights(learnt))
        if not lacks:
            learnt = replace(learnt, thresholds=tuning.thresholds(predictions, base.thresholds[-1]))
            sentences += _lower(base, learnt, compared.records, labels)
        if learnt.thresholds[-1] > sum(max(0, *c.weights) for c in learnt.comparisons):
            raise InputError(UNREACHED)
    else:
        learnt, same = base, same if labels else np.zeros(len(same))
        predictions = tuning.predicted(compared, same, weights)
        sentences.append(TOO_FEW.format(pairs=f"Only {enough:,} pairs" if enough else "No pairs"))
        sentences += [] if labels else [NOT_KNOWN]
    agree, differ = (tuning.shares(compared, w) for w in (same, 1 - same))
    return Tuned(learnt, predictions, agree, differ, float(same.sum()), blocked), sentences


def _lacks(rule: Similar, compared: Compared, missing: Set[str]) -> list[str]:
    """Fields of which no two records have anything to compare, or of which a list has no column."""
    levels = zip(rule.comparisons, compared.levels.max(axis=0).tolist(), strict=True)
    lacks = missing | {c.field for c, best in levels if best < 0}
    return [name for name in rule.fields if name in lacks]


def _lower(base: Similar, learnt: Similar, records: int, labels: str) -> list[str]:
    """What is said where thresholds fall below those of the rule that was begun with."""
    grades = GRADES if len(base.thresholds) == len(GRADES) else GRADES[1:2]
    begun, found = dict(zip(grades, base.thresholds, strict=True)), dict(zip(GRADES, learnt.thresholds, strict=True))
    which = [f"{grade} from {begun[grade]} to {found[grade]}" for grade in grades if found[grade] < begun[grade]]
    right = f", and if `{shown(labels)}` is equal just where two rows are of one person" if labels else ""
    said = LOWER.format(which=", ".join(which), records=records, more=PER_DOUBLING, labels=right)
    return [said] if which else []


def _weights(rule: Similar) -> Weights:
    return tuple(c.weights for c in rule.comparisons)


def _with(rule: Similar, weights: Weights) -> Similar:
    return replace(
        rule, comparisons=tuple(replace(c, weights=w) for c, w in zip(rule.comparisons, weights, strict=True))
    )


def _read(
    one: ReadableList, base: Similar, country: str, labels: str, number: int
) -> tuple[Array, list[str], Set[str]]:
    """A list's records, what its column of labels says, and the fields that it has no column for."""
    sources, missing = sources_of(one, dict.fromkeys(base.fields, "the similar rule"), country)
    if not has_block(base, sources):
        raise InputError(no_block(one, base, "the similar rule"))
    if labels and not one.columns.of(labels):
        named, headings = shown(labels), listed(one.source.headings)
        raise InputError(f"{one.path} has no column `{named}`: give --labels one of these headings: {headings}.")
    label = fields.source(one, labels, "--labels", country) if labels else None
    gathered, people = Records(_SESSION, base, bytes([number])), list[str]()
    for batch in one.source.batches():
        rows = len(batch.numbers)
        gathered.take({name: source.read(batch) for name, source in sources.items()}, rows)
        if label:
            read = label.read(batch)
            people += [next(iter(read.normals[code].values), "") for code in read.codes.tolist()]
    records = gathered.array()
    if len(records) < MIN_ROWS:
        raise InputError(f"{one.path} is too short to learn from: it has {len(records)} rows, of {MIN_ROWS} at least.")
    return records, people, missing.keys()


def _compared(base: Similar, records: Array, counts: Sequence[int]) -> Compared:
    keys, vectors = linking.split(base.linkage, records)
    pairs = linking.candidates(base.linkage, keys, counts)
    levels = linking.levels(base.linkage, *(vectors[side] for side in pairs.T))
    return Compared(base.linkage, pairs, levels, len(records))


def _people(lists: Sequence[Sequence[str]]) -> Array:
    """(records,) int64: equal for records of one person; whoever has no label is nobody else."""
    known: dict[str, int] = {}
    return np.array([known.setdefault(label or f"\0{k}", k) for k, label in enumerate(chain.from_iterable(lists))])


def _true_pairs(people: Array, counts: Sequence[int]) -> int:
    """Pairs of records of one person, of different members."""

    def of(some: Array) -> int:
        times = np.unique(some, return_counts=True)[1]
        return int((times * (times - 1) // 2).sum())

    ends = np.cumsum(counts)[:-1]
    return of(people) - sum(of(own) for own in np.split(people, ends) if len(counts) < len(people))


# What people read


def report_text(tuned: Tuned) -> str:
    """What was found, in sentences and two tables."""
    lines = []
    pairs = ("same person", "others") if tuned.is_judged else ("all compared",)
    flagged = "flagged wrongly" if tuned.is_judged else "flagged, rightly or not"
    if tuned.pairs:
        by = "as expected from how they agree" if tuned.blocked is None else "by their labels"
        lines.append(f"{tuned.pairs:,.0f} pairs of records are of one person, {by}.")
    if tuned.blocked:
        lines.append(f"Blocks bring together {_percent(tuned.blocked)} of all such pairs; others cannot be found.")
    lines += ["", table(("field", "level", *pairs, "weight"), _levels(tuned)), ""]
    headings = ("threshold", "people found", flagged, "of 10,000", "grade")
    return "\n".join([*lines, table(headings, _thresholds(tuned))])


def _levels(tuned: Tuned) -> Iterator[tuple[str, ...]]:
    """Each comparison's levels: how often pairs reach them, and what they weigh."""
    for compared, same, others in zip(tuned.similar.comparisons, tuned.same, tuned.others, strict=True):
        names = LEVEL_NAMES[Kind(compared.kind)]
        for name, *shares, weight in zip(names, same, others, compared.weights, strict=True):
            yield compared.field, name, *map(_percent, shares[not tuned.is_judged :]), f"{weight:+d}"


def _thresholds(tuned: Tuned) -> Iterator[tuple[str, ...]]:
    """Some thresholds, those of the grades among them, and what each would do."""
    names = GRADES if len(tuned.similar.thresholds) == len(GRADES) else ("flagged",)
    grades = dict(zip(tuned.similar.thresholds, names, strict=True))
    last = min(len(tuned.predictions), 2 * max(grades))
    told = {p.threshold: p for p in tuned.predictions}
    for threshold in sorted({*list(told)[: last : max(1, last // _SHOWN)], *grades}):
        p = told.get(threshold, Prediction(threshold, 0.0, 0.0))  # above every score
        found = _percent(p.recall) if tuned.pairs else "-"
        yield str(threshold), found, _percent(p.wrong), f"{10_000 * p.wrong:,.1f}", grades.get(threshold, "")


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def to_toml(rule: Similar) -> str:
    """A rule's table for a manifest or a rules file."""
    return '[[rule]]\nname = "similar people"\nkind = "similar"\n' + entries(rule)


def entries(rule: Similar) -> str:
    """What of a rule's table a preset may hold."""
    blocks = [f"    {{ fields = {json.dumps(b.fields, ensure_ascii=False)}, keys = {b.keys} }}," for b in rule.blocks]
    compared = [
        f"    {{ field = {json.dumps(c.field, ensure_ascii=False)}, kind = {json.dumps(c.kind)}, values = {c.values}, "
        f"weights = {list(c.weights)} }},"
        for c in rule.comparisons
    ]
    lines = ["blocks = [", *blocks, "]", "compare = [", *compared, "]", f"thresholds = {list(rule.thresholds)}"]
    return "\n".join([*lines, f"largest_group = {rule.largest_group}", ""])
