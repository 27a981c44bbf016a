"""The demo on real daemons by either engine: its committees, what it shows, and what it says before anything begins."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from parties import generator, manifestfile, trial
from parties.cli import main
from parties.columns import MapFile
from parties.demo import Asked, Demo, table_of
from parties.errors import ConfigError
from parties.loopback import Loopback
from parties.rules import Rule
from tests.integration.federations import write_numbers

Captured = pytest.CaptureFixture[str]
MEMBERS = ("agency-a", "agency-b", "agency-c")
BY_ID = (Rule("id", ("id_number",)),)


@pytest.mark.parametrize(
    ("members", "size", "committee"),
    [
        (2, 3, "agency-a agency-b neutral"),
        (3, 3, "agency-a agency-b neutral"),
        (2, 5, "agency-a agency-b neutral neutral-2 neutral-3"),
        (3, 5, "agency-a agency-b agency-c neutral neutral-2"),
        (9, 5, "agency-a agency-b agency-c agency-d neutral"),
        (9, 1, "neutral"),
        (9, -3, ""),
    ],
)
def test_a_committee_is_of_members_and_at_least_one_neutral_node(members: int, size: int, committee: str) -> None:
    assert " ".join(trial.committee_for(trial.names(members), size)) == committee


@pytest.mark.parametrize("asked", [Asked(engine="mpyc"), Asked(reveal="members")], ids=str)
def test_the_demo_is_right(asked: Asked, capsys: Captured) -> None:
    command = ["demo", "--engine", asked.engine, "--reveal", asked.reveal]
    assert main(command if asked.engine == "mpyc" else [*command, "--rows", "200"]) == 0
    shown, told = capsys.readouterr()
    assert shown.count("  yes\n") == len(MEMBERS)
    assert ("The mpyc engine is for short lists: 200 people on each.\n" in told) is (asked.engine == "mpyc")


@pytest.mark.parametrize(("engine", "committee"), [("replicated", 3), ("mpyc", 5)])
def test_the_demo_of_a_table_is_right(engine: str, committee: int, tmp_path: Path, capsys: Captured) -> None:
    options = ["--engine", engine, "--committee", str(committee), "--out", str(tmp_path)]
    assert main(["demo", "--reveal", "statistics", "--rows", "100", "--json", *options]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["correct"] is True
    assert len(report["committee"]) == committee
    assert list(report["tables"]) == list(MEMBERS)
    cells = [table["cells"] for table in report["tables"].values()]
    assert cells[0] == cells[1] == cells[2]
    assert any(number for cell in cells[0] for number in cell["held_by"])
    assert "matched" not in report
    assert all((tmp_path / f"{name}.csv").read_text("utf-8-sig").startswith("sex,age,") for name in MEMBERS)


@pytest.mark.parametrize("reveal", ["flag", "grade"])
def test_the_demo_of_similar_people_is_right(reveal: str, tmp_path: Path, capsys: Captured) -> None:
    """Every value is that of the rules in the clear; and most people whom others have are found."""
    command = ["demo", "--similar", "--reveal", reveal, "--rows", "120", "--overlap", "0.3", "--out", str(tmp_path)]
    assert main([*command, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["correct"] is True
    assert list(report["truth"]) == (["match"] if reveal == "flag" else ["possible", "probable", "certain"])
    for truth in report["truth"].values():
        assert truth["shared"] == sum(report["expected"].values())
        assert truth["shared"] + truth["others"] == 360
        assert truth["recall"] == truth["found"] / truth["shared"] > 0.9
        assert truth["false_positives"] == truth["wrong"] / truth["others"] < 0.1
    headings = (tmp_path / "agency-a.csv").read_text("utf-8-sig").splitlines()[0]
    assert ("grade" in headings) is (reveal == "grade")


def test_the_demo_of_similar_people_for_people(capsys: Captured) -> None:
    assert main(["demo", "--similar", "--rows", "60"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("  yes\n") == len(MEMBERS)
    assert "others have  exactly right\n" in shown
    assert "rows whose person others have" in shown
    assert "bit for bit what the same rules give" in shown


def test_a_rule_on_similar_records_for_ones_own_lists(tmp_path: Path, capsys: Captured) -> None:
    """With terms of all three grades, whatever is revealed; the truth is not known, but values are compared."""
    (tmp_path / "rules.toml").write_text('country = "UA"\n[[rule]]\nname = "alike"\nkind = "similar"\n', "utf-8")
    lists = generator.generate(["A", "B"], 40, 0.5, 1)
    for name, own in lists.items():
        generator.write_csv(tmp_path / f"{name}.csv", own)
    paths = [str(tmp_path / f"{name}.csv") for name in lists]
    command = ["demo", "--lists", *paths, "--rules", str(tmp_path / "rules.toml"), "--out", str(tmp_path / "out")]
    assert main([*command, "--reveal", "grade", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["correct"], report["expected"]) == (True, None)
    assert "truth" not in report
    assert main([*command, "--similar"]) == 2
    assert "--similar is for made-up lists" in capsys.readouterr().err


def test_a_rule_is_written_as_it_is_read() -> None:
    tables = [table_of(rule) for rule in Asked(similar=True).rules]
    assert manifestfile.rules_from_toml({"rule": tables}) == Asked(similar=True).rules


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--similar --reveal count", "--similar goes with --reveal flag or grade"),
        ("--reveal grade", "add --similar"),
        ("--similar --engine mpyc", "--similar goes with --engine replicated only"),
        ("--committee 5", "`committee` must name exactly three nodes"),
        ("--engine mpyc --committee 2", "`committee` must name 3 to 9 nodes"),
        ("--rows 0", "--rows at least 1"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_begins(
    options: str, sentence: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Loopback, "start", pytest.fail)
    assert main(["demo", *options.split()]) == 2
    assert sentence in capsys.readouterr().err


def test_a_list_is_no_neutral_node(tmp_path: Path) -> None:
    names = ("neutral", "neutral-2", "coordinator", "other")
    paths = [write_numbers(tmp_path / f"{name}.csv", ["1"]) for name in names]
    demo = Demo.given(paths, BY_ID, "UA", MapFile())
    assert list(demo.lists) == ["neutral-list", "neutral-2-list", "coordinator-list", "other"]


def test_the_engines_limit_is_for_the_longest_list(tmp_path: Path) -> None:
    paths = [write_numbers(tmp_path / f"{rows}.csv", ["1"] * rows) for rows in (3, 7)]
    demo = Demo.given(paths, BY_ID, "UA", MapFile())
    assert demo._terms(Asked(engine="mpyc"))["session"]["max_records"] == 7


def test_terms_are_checked_as_a_coordinators_are() -> None:
    terms = {"session": {"title": "x", "purpose": "y", "max_records": 10}, "rule": [{"name": "id", "fields": ["id"]}]}
    trial.check_terms(MEMBERS, trial.committee_for(MEMBERS), terms)
    with pytest.raises(ConfigError, match="exactly three nodes"):
        trial.check_terms(MEMBERS, trial.committee_for(MEMBERS, 5), terms)


def test_the_table_that_a_demo_expects() -> None:
    """By the rule on identity numbers, with the ages of the day, and each person with its first list."""
    (one,) = generator.generate(["a"], 1, 0.0, 1).values()
    born = generator.HEADINGS.index("birth_date")
    row = ["X1"] * len(one.rows[0])
    unknown = [*row[:born], "", *row[born + 1 :]]
    woman = one.registered[0]._replace(id_number="X1", sex="F", birth_date="2020-05-02")
    other = woman._replace(id_number="X2", sex="M")
    first = replace(one, rows=[row, unknown, [*unknown]], registered=[woman, woman, other])
    second = replace(one, rows=[unknown], registered=[woman._replace(sex="M")])
    for day, band in ((date(2025, 5, 1), 0), (date(2025, 5, 2), 1)):
        found = generator.expected_table([first, second], 1, day)
        told = Counter({(c, n): people for c, row in enumerate(found) for n, people in enumerate(row, 1) if people})
        assert told == {(band, 2): 1, (5 + 4, 1): 1}
        assert not any(map(any, generator.expected_table([first, second], 2, day)))
