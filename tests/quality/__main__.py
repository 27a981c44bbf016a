"""Write docs/quality.md and its plots: `make quality`."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from string import Template

from tests import drawing
from tests.quality import baseline, report, rulesets, samples, section
from tests.quality.baseline import BEST, SURE, with_baseline
from tests.quality.evaluate import Evaluation, by_rules, why_missed
from tests.quality.pooled import SEEDS, Pooled
from tests.quality.rulesets import CAREFUL, NO_DOCUMENTS, PLAIN, USUAL, WIDE

DOCS = Path(__file__).resolve().parents[2] / "docs"
SIZES = (2_000, 100_000)
SETS = {"plain": PLAIN, "careful": CAREFUL, "usual": USUAL, "wide": WIDE, "without": NO_DOCUMENTS}
"""Word in the template → set."""
BY_NAME = ("name and birth date", "sound of name and birth date")


def main() -> None:
    """Measure and write."""
    with tempfile.TemporaryDirectory(prefix="matchbit-quality-") as name:
        folder = Path(name)
        pairs = [_made_up(folder, seed) for seed in SEEDS]
        people = pairs[0]
        missed = report.missed(why_missed(people, USUAL, baseline.PEOPLE.columns))
        febrl = [
            with_baseline(by_rules(sample, rulesets.FEBRL, rulesets.FEBRL_SETS), baseline.FEBRL)
            for sample in samples.febrl(folder)
        ]
        small, large = (by_rules(samples.generated(folder, rows), (), rulesets.PEOPLE_SETS) for rows in SIZES)
        pooled = Pooled.of(pairs, section.preset_rule(sum(people.sample.sizes)))
        more = [one.sample for one in (small, people, large)]
        figures = {**section.figures(pooled, more, folder), **section.febrl(febrl)}
        plots = {**_plots(people), **section.plots(pooled)}
    figures |= {
        **_general(people),
        **_people(people),
        **_febrl(febrl),
        "missed": missed,
        "sizes": report.by_sample([small, people, large], list(SETS.values())),
        "seconds": _seconds([people, *febrl]),
    }
    template = Template(Path(__file__).with_name("template.md").read_text("utf-8"))
    (DOCS / "quality.md").write_text(template.substitute(figures), "utf-8")
    for plot, svg in plots.items():
        (DOCS / "images" / f"quality-{plot}.svg").write_text(svg, "utf-8")


def _made_up(folder: Path, seed: int) -> Evaluation:
    sample = samples.generated(folder, seed=seed)
    return with_baseline(by_rules(sample, rulesets.PEOPLE, rulesets.PEOPLE_SETS), baseline.PEOPLE)


def _general(people: Evaluation) -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "versions": ", ".join(f"{name} {version(name)}" for name in ("splink", "duckdb", "recordlinkage")),
        "seed": str(samples.SEED),
        "rows": f"{samples.ROWS:,}",
        "shared": f"{len(people.true):,}",
        "count": str(len(rulesets.PEOPLE)),
    }


def _people(people: Evaluation) -> dict[str, str]:
    figures = {
        "rules": report.scores(people, [rule.name for rule in rulesets.PEOPLE]),
        "set_rules": report.sets(rulesets.PEOPLE_SETS),
        "sets": report.scores(people, [*SETS.values(), SURE, BEST]),
        "threshold": f"{people.threshold:.4f}",
        "traditions": report.by_tradition(people, [*BY_NAME, USUAL, NO_DOCUMENTS, SURE]),
    }
    for word, name in {**SETS, "splink": SURE}.items():
        rows = people.rows(name)
        figures |= {f"{word}_precision": report.percent(rows.precision), f"{word}_recall": report.percent(rows.recall)}
    return figures | {f"{word}_toml": rulesets.to_toml(rulesets.PEOPLE_SETS[name]) for word, name in SETS.items()}


def _febrl(febrl: Sequence[Evaluation]) -> dict[str, str]:
    return {
        "febrl_rules": report.scores(febrl[-1], [rule.name for rule in rulesets.FEBRL]),
        "febrl_set_rules": report.sets(rulesets.FEBRL_SETS),
        "febrl": report.by_sample(febrl, [*SETS.values(), SURE, BEST]),
    }


def _seconds(evaluations: Sequence[Evaluation]) -> str:
    rows = ([e.sample.name, f"{sum(e.sample.sizes):,}", f"{e.rules_s:.1f}", f"{e.baseline_s:.1f}"] for e in evaluations)
    return report.table(("lists", "rows", "rules", "Splink"), rows)


def _plots(people: Evaluation) -> dict[str, str]:
    """Name → SVG."""
    scores = {name: people.rows(name) for name in (*SETS.values(), SURE, BEST)}
    counts = {name: (s.true - s.right, s.wrong) for name, s in scores.items()}
    recall = {
        tradition: (100 * people.rows(BY_NAME[0], tradition).recall, 100 * people.rows(BY_NAME[1], tradition).recall)
        for tradition in report.traditions(people)
    }
    title = f"Rows missed and rows matched wrongly, of {sum(people.sample.sizes):,}"
    return {
        "sets": drawing.bars(title, ("missed", "wrong"), counts),
        "traditions": drawing.bars("Recall by names and birth dates, percent of rows", BY_NAME, recall),
    }


if __name__ == "__main__":
    main()
