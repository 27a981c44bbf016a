"""The benchmark over real daemons, small: what it prints, writes and refuses; and the keys that it makes."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parties import bench, network, trial
from parties.cli import main
from parties.errors import ConfigError
from parties.scenarios import SCENARIOS, Step
from parties.statistics import Category, Statistics
from tests.parties.samples import manifest

Captured = pytest.CaptureFixture[str]
COMMITTEE = ["agency-a", "agency-b", "neutral"]
OF_NODES = ("committee", "sent_bytes_per_row", "memory_bytes_per_row")
OF_MEMBERS = ("rows", "matched", "expected")
NUMBERS = ("members", "wall_s", "rows_per_s")
OF_LISTS = ("members_s", "members_cpu_s", "members_rss_bytes", "truth", "pairs", "in_the_clear_s")
COSTS = {"wall_s", "compute_s", "cpu_s", "sent_bytes", "memory_bytes"}
FIGURES = {"cpu_s", "sent_bytes", "idle_rss_bytes", "peak_rss_bytes", "phases"}


def check_step(report: dict[str, Any], members: list[str]) -> None:
    """A step's report has its form."""
    texts = {"session"}
    others = {"step", "daemons_s", "seconds", "phases", "correct"}
    assert set(report) - {"line_used"} == {*OF_NODES, *OF_MEMBERS, *NUMBERS, *texts, *others}
    assert all(isinstance(report[name], int | float) and report[name] > 0 for name in NUMBERS)
    assert all(list(report[name]) == members for name in OF_MEMBERS)
    assert all(list(report[name]) == COMMITTEE for name in OF_NODES)
    assert all(set(figures) == FIGURES for figures in report["committee"].values())
    assert list(report["daemons_s"]) == ["coordinator", *COMMITTEE]
    assert set(report["seconds"]) == {"propose", "approve", "contribute", "compute", "results"}
    assert Step(**report["step"]).members == report["members"]
    assert report["matched"] == report["expected"]
    assert report["correct"] is True


def test_a_scenario_from_end_to_end(tmp_path: Path, capsys: Captured) -> None:
    """Over lines with a delay, which needs no rights."""
    out = tmp_path / "report.json"
    command = ["bench", "verified", "--rows", "40", "--delay", "1", "--json", "--out", str(out)]
    assert main(command) == 0
    shown, told = capsys.readouterr()
    report = json.loads(shown)
    assert json.loads(out.read_text("utf-8")) == report
    assert set(report) == {"environment", "scenarios"}
    assert report["environment"] == bench.environment()
    (verified,) = report["scenarios"]
    assert set(verified) == {"name", "shows", "steps", "ratios"}
    assert len(verified["steps"]) == len(verified["ratios"]) == 2
    assert all(set(each) <= COSTS and "sent_bytes" in each for each in verified["ratios"])
    for step in verified["steps"]:
        check_step(step, ["agency-a", "agency-b", "agency-c"])
        assert (step["step"]["rows"], step["step"]["delay_ms"]) == (40, 1)
    assert [step["step"]["verify_tags"] for step in verified["steps"]] == [False, True]
    assert verified["ratios"][1]["sent_bytes"] > 1.0
    assert "verified, 2 of 2: 3 × 40 rows, 1 ms each way, verify_tags\n" in told


def test_made_up_lists_from_end_to_end(tmp_path: Path, capsys: Captured) -> None:
    """A batch of new records: of them alone it is told whom others have."""
    out = tmp_path / "report.json"
    assert main(["bench", "similar-weekly", "--rows", "200", "--overlap", "0.4", "--new", "90", "--out", str(out)]) == 0
    shown, told = capsys.readouterr()
    assert "similar-weekly, 1 of 1: 3 × 200 rows, similar, 90 new\n" in told
    ((report,),) = (scenario["steps"] for scenario in json.loads(out.read_text("utf-8"))["scenarios"])
    lists = {name: report.pop(name) for name in OF_LISTS}
    check_step(report, ["agency-a", "agency-b", "agency-c"])
    assert all(lists[name] > 0 for name in ("pairs", "in_the_clear_s"))
    truth = lists["truth"]["match"]
    assert truth["shared"] + truth["others"] == 90
    assert sum(report["matched"].values()) == truth["found"] + truth["wrong"] > 0
    assert truth["recall"] > 0.9
    for seconds in lists["members_s"].values():
        assert {"reading rows", "uploading bytes"} == set(seconds)
    assert all(seconds > 0 for cpu in lists["members_cpu_s"].values() for seconds in cpu.values())
    assert all(bytes_ > 0 for bytes_ in lists["members_rss_bytes"].values())
    assert "pairs of records compared" in shown
    assert shown.endswith("result: exactly right\n\n")


def test_ones_own_session_for_people(capsys: Captured) -> None:
    assert main(["bench", "--rows", "40", "--members", "2", "--overlap", "1"]) == 0
    shown, _ = capsys.readouterr()
    assert "2 × 40 rows, 80 in all" in shown
    assert shown.endswith("result: exactly right\n\n")


@pytest.mark.parametrize(
    ("engine", "reveal"), [("replicated", "members"), ("replicated", "statistics"), ("mpyc", "count")]
)
def test_other_reveals_by_either_engine(engine: str, reveal: str, capsys: Captured) -> None:
    assert main(["bench", "--rows", "40", "--engine", engine, "--reveal", reveal, "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)["scenarios"][0]["steps"]
    check_step(report, ["agency-a", "agency-b", "agency-c"])
    assert sum(report["matched"].values()) > 0


def test_a_wrong_result_is_no_success(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Captured) -> None:
    wrong = {"rows": {"a": 1}, "wall_s": 1.0, "seconds": {"compute": 1.0}, "committee": {"a": {"cpu_s": 1.0}}}
    wrong |= {"sent_bytes_per_row": {"a": 1.0}, "memory_bytes_per_row": {"a": 1.0}, "correct": False}
    monkeypatch.setattr(network, "measure", lambda *_: wrong)
    assert main(["bench", "three", "--json", "--out", str(tmp_path / "report.json")]) == 5
    shown, told = capsys.readouterr()
    assert json.loads(shown)["scenarios"][0]["steps"] == [wrong]
    assert told.endswith("matchbit: The benchmark found other rows than it expected; please report this.\n")


def test_the_list(capsys: Captured) -> None:
    assert main(["bench", "--list"]) == 0
    shown = capsys.readouterr().out
    assert all(scenario.name in shown and scenario.shows in shown for scenario in SCENARIOS)
    assert all(step.to_text() in shown for scenario in SCENARIOS for step in scenario.steps)
    assert main(["bench", "--list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["scenarios"]
    assert [scenario["name"] for scenario in listed] == [scenario.name for scenario in SCENARIOS]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("nonsense", "There is no scenario `nonsense`: choose from small, "),
        ("small --new 5", "--new must be 0 to the number of all records, and goes with --similar."),
        ("similar-10k --engine mpyc", "The manifest is wrong: "),
        ("similar-10k --reveal members", "The similar rule is wrong: "),
        ("members --members 5", "The steps of `members` differ in their members; leave --members out."),
        ("small --rows 0", "--rows must be at least 1."),
        ("small --delay -1", "--delay must be 0 to 1000 milliseconds."),
        ("small --rate fast", "`fast` is not a rate: "),
        ("small --committee 5", "The manifest is wrong: `committee` must name exactly three nodes"),
        ("small --engine mpyc --committee 10", "The manifest is wrong: `committee` must name 3 to 9 nodes"),
        ("small --engine mpyc --threshold 2", "The manifest is wrong: `threshold` must be "),
        ("verified --engine mpyc", "The manifest is wrong: `dummies` and `verify_tags` are of the replicated engine"),
        ("million --engine mpyc", "3 lists of 1,000,000 records, 1 key each, would take the mpyc engine about "),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(options: str, sentence: str, capsys: Captured) -> None:
    assert main(["bench", *options.split()]) == 2
    shown, told = capsys.readouterr()
    assert shown == ""
    assert told.startswith(f"matchbit: {sentence}")
    assert told.count("\n") == 1


def test_a_relay_that_does_not_start_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bench, "RELAY", ["true"])
    with pytest.raises(ConfigError, match=r"^The relay of agency-a did not start"):
        bench.Measurement(str(tmp_path), Step(2, 10, delay_ms=1.0), {}).run(lambda *_: None)


def test_when_a_daemon_listened_is_in_its_log(tmp_path: Path) -> None:
    since = datetime(2026, 1, 31, 12, 0, 59, 500_000, UTC)
    lines = [f"{since:%Y-%m-%dT%H:%M:%S}.600Z INFO begins", "2026-01-31T12:01:00.250Z INFO node a listens on x:1"]
    (tmp_path / "log.txt").write_text("\n".join(lines), "utf-8")
    assert bench.listened_s(tmp_path / "log.txt", since) == timedelta(seconds=0.75).total_seconds()


SHAPES = [(2, 1, 0.5), (2, 40, 1.0), (3, 1000, 0.1), (10, 101, 1.0), (5, 40, 0.0), (70, 20, 0.5)]


def holders_of(made: bench.Generated) -> dict[bytes, list[int]]:
    """Who holds each key, found by looking for it everywhere."""
    found: dict[bytes, list[int]] = {}
    for member, keys in enumerate(made.keys):
        for key in keys:
            found.setdefault(key.tobytes(), []).append(member)
    return found


@pytest.mark.parametrize(("members", "rows", "overlap"), SHAPES)
def test_the_truth_of_generated_keys(members: int, rows: int, overlap: float) -> None:
    made = bench.bench_keys(members, rows, overlap)
    holders = holders_of(made)
    names = tuple(trial.names(members))
    flags, counts, bits = (
        [made.expected(manifest(members=names, reveal=reveal), member) for member in range(members)]
        for reveal in ("flag", "count", "members")
    )
    for member, keys in enumerate(made.keys):
        assert keys.shape == (rows, 2)
        assert len(np.unique(keys, axis=0)) == rows
        others = [set(holders[key.tobytes()]) - {member} for key in keys]
        assert flags[member].tolist() == [bool(found) for found in others]
        assert counts[member].tolist() == [len(found) for found in others]
        words = bits[member].view(np.uint8).reshape(rows, -1)
        set_bits = np.unpackbits(words, axis=1, bitorder="little")
        assert [set(np.flatnonzero(row).tolist()) for row in set_bits] == others


@pytest.mark.parametrize(("members", "rows", "overlap"), SHAPES)
def test_the_table_of_generated_keys(members: int, rows: int, overlap: float) -> None:
    made, smallest = bench.bench_keys(members, rows, overlap), 3
    statistics = Statistics(smallest, (Category("sex", ("female", "male")),))
    terms = manifest(members=tuple(trial.names(members)), reveal="statistics", statistics=statistics)
    shares = [made.rows(terms, member) for member in range(members)]
    cells = {row[:2].tobytes(): int(row[2]).bit_length() - 1 for of_member in shares[::-1] for row in of_member}
    people = Counter((cells[key], len(found)) for key, found in holders_of(made).items())
    found = [[people[cell, times] for times in range(1, members + 1)] for cell in range(3)]
    expected = [[number if number >= smallest else 0 for number in row] for row in found]
    assert made.expected(terms, 0).tolist() == expected
    assert rows < 40 or any(map(any, expected))


def test_as_many_keys_are_shared_as_was_asked_for() -> None:
    made = bench.bench_keys(3, 1000, 0.1)
    assert [int(np.count_nonzero(of_member != bench.NOBODY)) for of_member in made.holders] == [100] * 3
