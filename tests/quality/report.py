"""The report: Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tests.quality.evaluate import Evaluation
from tests.quality.measure import Score
from tests.quality.rulesets import Sets


def percent(part: float) -> str:
    """A part of 1 in percent."""
    return f"{part * 100:.1f}"


def fine(part: float) -> str:
    """The same with one more digit."""
    return f"{part * 100:.2f}"


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; all columns but the first are numbers."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def scores(evaluation: Evaluation, names: Iterable[str]) -> str:
    """Rules, sets or thresholds in rows: how well each does, over rows and over pairs."""
    headings = ("", "precision", "recall", "F1", "rows missed", "rows wrong", "precision of pairs", "recall of pairs")
    return table(headings, (_scores(name, evaluation.rows(name), evaluation.pairs(name)) for name in names))


def _scores(name: str, rows: Score, pairs: Score) -> list[str]:
    counts = [f"{rows.true - rows.right:,}", f"{rows.wrong:,}"]
    return [
        name,
        *map(percent, (rows.precision, rows.recall, rows.f1)),
        *counts,
        percent(pairs.precision),
        percent(pairs.recall),
    ]


def by_tradition(evaluation: Evaluation, names: Sequence[str]) -> str:
    """Recall and precision over the rows of each tradition."""
    body = []
    for tradition in traditions(evaluation):
        found = [evaluation.rows(name, tradition) for name in names]
        body.append([tradition, *(f"{percent(s.recall)} / {percent(s.precision)}" for s in found)])
    return table(["recall / precision", *names], body)


def by_sample(evaluations: Sequence[Evaluation], names: Sequence[str]) -> str:
    """Recall and precision over the rows of each sample."""
    body = []
    for one in evaluations:
        found = [one.rows(name) for name in names]
        sizes = " + ".join(f"{size:,}" for size in one.sample.sizes)
        body.append(
            [f"{one.sample.name} ({sizes} rows)", *(f"{percent(s.recall)} / {percent(s.precision)}" for s in found)]
        )
    return table(["recall / precision", *names], body)


def missed(why: Mapping[str, tuple[Score, Score]]) -> str:
    """What missed pairs have in common, beside all true pairs."""
    headings = ("", "missed: agrees", "differs", "one lacks it", "all: agrees", "differs", "one lacks it")
    return table(
        headings, ([column, *(part for score in both for part in _parts(score))] for column, both in why.items())
    )


def _parts(score: Score) -> list[str]:
    parts = score.right, score.wrong, score.true - score.found
    return [percent(part / max(score.true, 1)) for part in parts]


def sets(chosen: Sets) -> str:
    """Which rules are in which set."""
    return "\n".join(f"- *{name}*: {'; '.join(rule.name for rule in rules)}" for name, rules in chosen.items())


def traditions(evaluation: Evaluation) -> list[str]:
    """The traditions in a sample."""
    known = evaluation.sample.traditions
    return [] if known is None else sorted(set(known.tolist()))
