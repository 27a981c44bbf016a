"""The report: Markdown tables and bar plots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from tests.quality.evaluate import Evaluation
from tests.quality.measure import Score
from tests.quality.rulesets import Sets

_STYLE = (
    "text{font:13px sans-serif;fill:#24292f}.t{font-weight:bold}.a{fill:#0969da}.b{fill:#bf8700}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.a{fill:#58a6ff}.b{fill:#e3b341}}"
)
_LEFT, _BAR, _RIGHT, _LINE = 180, 440, 60, 15


def percent(part: float) -> str:
    """A part of 1 in percent."""
    return f"{part * 100:.1f}"


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


def bars(title: str, kinds: tuple[str, str], groups: Mapping[str, tuple[float, float]]) -> str:
    """A self-contained SVG: two bars, of two kinds, for each group."""
    most = max((value for pair in groups.values() for value in pair), default=0) or 1
    parts = [
        _text(0, 16, title, ' class="t"'),
        _text(_LEFT + 16, 38, kinds[0]),
        _text(_LEFT + 216, 38, kinds[1]),
    ]
    parts += [_rect(_LEFT, 27, 12, "a"), _rect(_LEFT + 200, 27, 12, "b")]
    top = 52.0
    for name, values in groups.items():
        parts.append(_text(_LEFT - 8, top + _LINE + 3, name, ' text-anchor="end"'))
        for kind, value in zip("ab", values, strict=True):
            width = _BAR * value / most
            parts += [_rect(_LEFT, top, width, kind), _text(_LEFT + width + 5, top + 11, f"{round(value, 1):,g}")]
            top += _LINE
        top += _LINE / 2
    size = f'viewBox="0 0 {_LEFT + _BAR + _RIGHT} {top:g}"'
    label = f'role="img" aria-label="{escape(title)}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {label}>\n<style>{_STYLE}</style>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _text(x: float, y: float, words: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{escape(words)}</text>'


def _rect(x: float, y: float, width: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="12"/>'
