"""The measurements behind docs/quality.md, on lists small enough to count by hand; the baseline is not needed."""

from __future__ import annotations

import re
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from parties.manifestfile import rules_from_toml
from parties.rules import Rule
from tests import drawing
from tests.quality import measure, report, rulesets, samples
from tests.quality.evaluate import Evaluation, by_rules, why_missed
from tests.quality.measure import Score

DOCS = Path(__file__).parent.parent / "docs"
ID, PHONE = Rule("id", ("id_number",)), Rule("phone", ("phone",))


def of(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


@pytest.fixture
def evaluation(tmp_path: Path) -> Evaluation:
    """Two lists: Ann and Ben are in both, Ben with a slip in his number; Dan has the phone of Ann."""
    left, right = tmp_path / "left.csv", tmp_path / "right.csv"
    left.write_text("ID number,Phone\nAB1001,+380671112233\nAB1002,\nAB1003,+380671112299\n", "utf-8")
    right.write_text("ID number,Phone\nAB1004,+380671112233\nAB1020,+380671112255\nab 1001,067 111 22 33\n", "utf-8")
    sample = samples.Sample("small", (left, right), (of(1, 2, 3), of(4, 2, 1)), country="UA")
    return by_rules(sample, (ID, PHONE), {"both": (ID, PHONE)})


def test_rules_find_pairs(evaluation: Evaluation) -> None:
    assert evaluation.true.tolist() == [0 * 3 + 2, 1 * 3 + 1]
    assert {name: pairs.tolist() for name, pairs in evaluation.found.items()} == {
        "id": [2],
        "phone": [0, 2],
        "both": [0, 2],
    }
    assert evaluation.pairs("both") == Score(right=1, found=2, true=2)
    # Dan gets a yes and should not; both Bens should and do not.
    assert evaluation.rows("both") == Score(right=2, found=3, true=4)
    assert evaluation.rows("id") == Score(right=2, found=2, true=4)


def test_why_pairs_are_missed(evaluation: Evaluation) -> None:
    why = why_missed(evaluation, "both", {"id": "id_number", "phone": "phone"})
    assert why["id_number"] == (Score(right=0, found=1, true=1), Score(right=1, found=2, true=2))
    assert why["phone"] == (Score(right=0, found=0, true=1), Score(right=1, found=1, true=2))


def test_join_pairs_all_rows_that_agree() -> None:
    pairs = measure.join(of(7, 8, 7), of(9, 7, 7), of(0, 1, 4), of(0, 1, 2), 3)
    assert [divmod(pair, 3) for pair in pairs.tolist()] == [(0, 1), (0, 2), (4, 1), (4, 2)]
    assert measure.join(of(), of(1), of(), of(0), 1).tolist() == []


def test_a_row_that_has_several_codes_is_paired_once() -> None:
    assert measure.join(of(1, 2), of(1, 2), of(0, 0), of(0, 0), 1).tolist() == [0]


def test_rows_of_one_tradition() -> None:
    found, true = of(0, 3), of(3)  # of two rows each: first with first, second with second
    assert measure.row_score(found, true, (2, 2)) == Score(right=2, found=4, true=2)
    assert measure.row_score(found, true, (2, 2), np.array([True, False, True, False])) == Score(0, 2, 0)


def test_scores() -> None:
    score = Score(right=3, found=4, true=6)
    assert (score.precision, score.recall, score.f1, score.wrong) == (0.75, 0.5, 0.6, 1)
    assert (Score(0, 0, 0).precision, Score(0, 0, 0).recall, Score(0, 0, 0).f1) == (1, 1, 1)


def test_the_best_threshold_keeps_pairs_of_equal_probability_together() -> None:
    pairs, true = of(10, 11, 12, 13), of(10, 12)
    threshold, best = measure.best(pairs, np.array([0.9, 0.7, 0.7, 0.2]), true)
    assert threshold == 0.7
    assert best.tolist() == [10, 11, 12]
    assert measure.best(pairs, np.array([0.9, 0.6, 0.7, 0.2]), true)[1].tolist() == [10, 12]


def test_lists_without_the_column_that_says_who_is_who(tmp_path: Path) -> None:
    rows = [
        {"rec_id": f"rec-{k}", "given_name": name}
        for k, name in [("7-org", "Ann"), ("8-org", "Ben"), ("7-dup-0", "An")]
    ]
    sample = samples.split("FEBRL 9", rows, tmp_path)
    assert [path.read_text("utf-8").split() for path in sample.paths] == [
        ["given_name", "Ann", "Ben"],
        ["given_name", "An"],
    ]
    assert [people.tolist() for people in sample.people] == [[7, 8], [7]]
    assert sample.sizes == (2, 1)


def test_made_up_lists_are_measured_by_tradition(tmp_path: Path) -> None:
    evaluation = by_rules(samples.generated(tmp_path, 600), rulesets.PEOPLE, rulesets.PEOPLE_SETS)
    assert len(report.traditions(evaluation)) == 8
    parts = [evaluation.rows(rulesets.USUAL, tradition) for tradition in report.traditions(evaluation)]
    whole = evaluation.rows(rulesets.USUAL)
    assert (whole.right, whole.found, whole.true) == tuple(
        sum(getattr(s, n) for s in parts) for n in ("right", "found", "true")
    )
    assert whole.precision > 0.95
    assert whole.recall > 0.9


def test_tables(evaluation: Evaluation) -> None:
    lines = report.scores(evaluation, ["id"]).splitlines()
    assert lines[1] == "| --- " + "| ---: " * 7 + "|"
    assert lines[2] == "| id | 100.0 | 50.0 | 66.7 | 2 | 0 | 100.0 | 50.0 |"
    assert report.by_sample([evaluation], ["both"]).splitlines()[2] == "| small (3 + 3 rows) | 50.0 / 66.7 |"


def test_plots_are_well_formed_and_need_nothing_else() -> None:
    svg = drawing.bars("A & B", ("missed", "wrong"), {"<usual>": (10, 5), "none": (0, 0)})
    root = ET.fromstring(svg)  # noqa: S314 - our own
    widths = [float(bar.get("width", "")) for bar in root.iter("{http://www.w3.org/2000/svg}rect")][2:]
    assert widths == [440, 220, 0, 0]
    small = drawing.bars("", ("", ""), {"": (0.044, 12.34)})
    assert all(f">{shown}</text>" in small for shown in ("0.04", "12.3"))
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")


def test_rules_in_the_report_are_the_rules_that_were_measured() -> None:
    text = (DOCS / "quality.md").read_text("utf-8")
    shown = [rules_from_toml(tomllib.loads(block)) for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL)]
    assert sorted(shown, key=str) == sorted(rulesets.PEOPLE_SETS.values(), key=str)


def test_rules_that_the_report_calls_too_little_are_warned_about() -> None:
    weak = {rule.name for rule in rulesets.PEOPLE if rule.weakness(samples.ROWS, samples.ROWS)}
    assert "one name, sex and birth date" in weak
    assert not weak & {rule.name for rule in rulesets.PEOPLE_SETS[rulesets.USUAL]}
