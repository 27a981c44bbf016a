"""`matchbit tune`: weights and thresholds of a similar rule from one's own lists. Nothing leaves the computer."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
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
from parties.columns import MapFile
from parties.errors import InputError
from parties.features import Records
from parties.fields import ReadableList
from parties.manifest import COUNTRY_WANTED, is_country
from parties.needs import sources_of
from parties.progress import say
from parties.report import table
from parties.similar import GRADES, Similar
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
    "Only {pairs:,} pairs of records are known or sure to be of one person, too few to learn from: weights and "
    "thresholds stay as they were. How many records are flagged wrongly is seen from your list: so many, or fewer."
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


def tune(a: argparse.Namespace) -> None:
    """Find weights and thresholds, show what they do, and write a rule."""
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
        What was learnt, and sentences on what could not be.

    Raises:
        InputError: a list lacks the column of labels, or no two records share a blocking key.
    """
    read = [_read(one, base, country, labels, number) for number, one in enumerate(opened)]
    arrays, people, missing = zip(*read, strict=True)
    sentences = list(chain.from_iterable(missing))
    counts = [len(records) for records in arrays] if len(opened) > 1 else [1] * len(arrays[0])
    compared = _compared(base, np.concatenate(arrays), counts)
    if not len(compared.pairs):
        raise InputError("No two records share a blocking key: the list is too short to learn from, or lacks columns.")
    weights, blocked = _weights(base), None
    if labels:
        who = _people(people)
        same = (who[compared.pairs[:, 0]] == who[compared.pairs[:, 1]]).astype(np.float64)
        blocked = float(same.sum()) / max(_true_pairs(who, counts), 1)
        enough = int(same.sum())
    else:
        enough = int((compared.scores(weights) >= base.thresholds[-1]).sum())
        same = tuning.expected(compared, weights, base.thresholds[len(base.thresholds) // 2])
    is_enough = enough >= max(FEWEST, FEWEST_OF_RECORDS * compared.records)
    if is_enough:
        base = _with(base, tuning.learnt(compared, same, weights))
        predictions = tuning.predicted(compared, same, _weights(base))
        base = replace(base, thresholds=tuning.thresholds(predictions))
    else:
        same = same if labels else np.zeros(len(same))
        predictions = tuning.predicted(compared, same, weights)
        sentences.append(TOO_FEW.format(pairs=enough))
    agree, differ = (tuning.shares(compared, w) for w in (same, 1 - same))
    return Tuned(base, predictions, agree, differ, float(same.sum()), blocked), sentences


def _weights(rule: Similar) -> Weights:
    return tuple(c.weights for c in rule.comparisons)


def _with(rule: Similar, weights: Weights) -> Similar:
    return replace(
        rule, comparisons=tuple(replace(c, weights=w) for c, w in zip(rule.comparisons, weights, strict=True))
    )


def _read(
    one: ReadableList, base: Similar, country: str, labels: str, number: int
) -> tuple[Array, list[str], list[str]]:
    """A list's records, what its column of labels says, and a sentence for each field that it lacks."""
    sources, missing = sources_of(one, dict.fromkeys(base.fields, "the similar rule"), country)
    label = fields.source(one, labels, "--labels", country) if labels else None
    gathered, people = Records(_SESSION, base, bytes([number])), list[str]()
    for batch in one.source.batches():
        rows = len(batch.numbers)
        gathered.take({name: source.read(batch) for name, source in sources.items()}, rows)
        if label:
            read = label.read(batch)
            people += [next(iter(read.normals[code].values), "") for code in read.codes.tolist()]
    lacks = [f"{one.path} has no column for `{name}`: what is compared of it keeps its weights." for name in missing]
    return gathered.array(), people, lacks


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
    if tuned.pairs:
        by = "as expected from how they agree" if tuned.blocked is None else "by their labels"
        lines.append(f"{tuned.pairs:,.0f} pairs of records are of one person, {by}.")
    if tuned.blocked:
        lines.append(f"Blocks bring together {_percent(tuned.blocked)} of all such pairs; others cannot be found.")
    lines += ["", table(("field", "level", "same person", "others", "weight"), _levels(tuned)), ""]
    headings = ("threshold", "people found", "flagged wrongly", "of 10,000", "grade")
    return "\n".join([*lines, table(headings, _thresholds(tuned))])


def _levels(tuned: Tuned) -> Iterator[tuple[str, ...]]:
    """Each comparison's levels: how often pairs reach them, and what they weigh."""
    for compared, same, others in zip(tuned.similar.comparisons, tuned.same, tuned.others, strict=True):
        names = LEVEL_NAMES[Kind(compared.kind)]
        for name, *shares, weight in zip(names, same, others, compared.weights, strict=True):
            yield (compared.field, name, *map(_percent, shares), f"{weight:+d}")


def _thresholds(tuned: Tuned) -> Iterator[tuple[str, ...]]:
    """Some thresholds, those of the grades among them, and what each would do."""
    names = GRADES if len(tuned.similar.thresholds) == len(GRADES) else ("flagged",)
    grades = dict(zip(tuned.similar.thresholds, names, strict=True))
    last = min(len(tuned.predictions), 2 * max(grades))
    shown = {p.threshold for p in tuned.predictions[: last : max(1, last // _SHOWN)]} | grades.keys()
    for p in tuned.predictions:
        if p.threshold in shown:
            wrong = f"{10_000 * p.wrong:,.1f}"
            found = _percent(p.recall) if tuned.pairs else "-"
            yield str(p.threshold), found, _percent(p.wrong), wrong, grades.get(p.threshold, "")


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
