"""A member's commands may be killed outright too, and a node may be stopped in order: nothing is lost or half done."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from parties.cli import main
from parties.lifecycle import State
from parties.store import SessionRecord
from tests.integration.federations import MEMBERS, Federation, overlapping, read, write_numbers
from tests.integration.test_failures import bulk, check_bulk, until_tagging


def killed(federation: Federation, point: str, mark: Path, *command: str) -> None:
    """Run a command that dies at a point."""
    program = [sys.executable, "-m", "tests.integration.dying", point, str(mark)]
    done = subprocess.run([*program, *command, *federation.own("agency-a")], capture_output=True, check=False)
    assert mark.exists(), "the point was not reached"
    assert done.returncode == -9


@pytest.mark.parametrize("point", ["sealed dealing", "call report", "before contributed", "after contributed"])
def test_contribute(federation: Federation, tmp_path: Path, point: str) -> None:
    """The result is on the list that was last reported, whatever else was begun; contributing again completes it."""
    lists = overlapping(MEMBERS, 20)
    first = lists | {"agency-a": ["OLD1", *lists["agency-b"][:3]]}
    record = federation.ready(tmp_path, first)
    path = write_numbers(tmp_path / "agency-a.csv", lists["agency-a"])
    if point == "sealed dealing":
        record = federation.approved()
        for name in MEMBERS[1:]:
            federation.member(name).contribute(record.id, tmp_path / f"{name}.csv")
    killed(federation, point, tmp_path / "mark", "contribute", record.id.hex(), str(path))
    shown = federation.operator.coordinator.get(record.id).commitments.get("agency-a")
    if shown is None or shown.records != len(lists["agency-a"]):
        assert main(["contribute", record.id.hex(), str(path), *federation.own("agency-a")]) == 0
    federation.check(tmp_path, federation.operator.run(record.id), lists)


def test_contribute_killed_and_left_so(federation: Federation, tmp_path: Path) -> None:
    """A second list that was not reported: the result is on the first one, and read with it."""
    lists = overlapping(MEMBERS, 20)
    record = federation.ready(tmp_path, lists)
    other = write_numbers(tmp_path / "other.csv", ["X1", "X2", "X3"])
    killed(federation, "call report", tmp_path / "mark", "contribute", record.id.hex(), str(other))
    federation.check(tmp_path, federation.operator.run(record.id), lists)


def done(federation: Federation, tmp_path: Path, prefix: str = "") -> tuple[SessionRecord, dict[str, list[str]]]:
    """A session that has been computed; its numbers begin with the prefix."""
    lists = {name: [number and prefix + number for number in own] for name, own in overlapping(MEMBERS, 20).items()}
    record = federation.ready(tmp_path, lists)
    return federation.operator.run(record.id), lists


@pytest.mark.parametrize("point", ["before got_result", "after got_result", "call write", "replace"])
def test_results(federation: Federation, tmp_path: Path, point: str) -> None:
    """A sheet is there whole or not at all, and can be fetched again."""
    record, lists = done(federation, tmp_path)
    out = tmp_path / "agency-a-result.csv"
    killed(federation, point, tmp_path / "mark", "results", record.id.hex(), "--accept", "--out", str(out))
    assert not out.exists()
    federation.check(tmp_path, record, lists)


@pytest.mark.parametrize("point", ["commit 1", "commit 2"])
def test_review_import(federation: Federation, tmp_path: Path, point: str) -> None:
    """All decisions of a file or none."""
    record, lists = done(federation, tmp_path, point.upper())  # records of which nothing has been decided yet
    federation.check(tmp_path, record, lists)
    own, queue = federation.own("agency-a"), tmp_path / "queue.csv"
    assert main(["review", "export", record.id.hex(), "--out", str(queue), *own]) == 0
    rows = read(queue)
    text = queue.read_text("utf-8-sig").splitlines()
    assert rows
    names = text[0].split(",")
    place = [names.index(name) for name in ("decision", "note", "reviewer")]
    filled = [text[0]]
    for line in text[1:]:
        cells = line.split(",")
        for where, value in zip(place, ("distinct", "", "Ana"), strict=True):
            cells[where] = value
        filled.append(",".join(cells))
    queue.write_text("\n".join(filled) + "\n", "utf-8")
    killed(federation, point, tmp_path / "mark", "review", "import", record.id.hex(), str(queue))
    assert main(["review", "import", record.id.hex(), str(queue), *own]) == 0
    assert main(["review", "export", record.id.hex(), "--out", str(tmp_path / "left.csv"), *own]) == 0
    assert not (tmp_path / "left.csv").exists(), "nothing is left to review"


def test_a_node_that_is_asked_to_stop_finishes_what_it_computes(shaken: Federation) -> None:
    record, keys = bulk(shaken)
    shaken.operator.coordinator.run(record.id)
    until_tagging(shaken, record)
    shaken.stop("agency-b")
    assert shaken.configs["agency-b"].store().get(record.id).state in (State.COMPUTED, State.DONE)
    shaken.start("agency-b")
    done = shaken.operator.wait(record.id, State.DONE, 60)
    assert done.attempt == 1
    check_bulk(shaken, done, keys)
