"""Daemons that are stopped in order cut nobody off; a running federation is well, and can be backed up and restored."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from parties import config
from parties.cli import main
from parties.config import KEY_FILE
from parties.lifecycle import State
from parties.loopback import COORDINATOR, NEUTRAL
from parties.store import SessionRecord
from tests.integration.federations import MEMBERS, Federation

Keys = dict[str, np.typing.NDArray[np.uint64]]
ROWS = 70_000
"""More than one chunk of an upload, and more than one chunk of the cipher."""


class Leaving(Federation):
    """A federation whose neutral node is asked to stop at a point, and is started again once it has stopped."""

    point: tuple[str, Path] | None = None

    def program(self, name: str) -> list[str]:
        if self.point is None or name != NEUTRAL:
            return super().program(name)
        point, mark = self.point
        return [sys.executable, "-m", "tests.integration.leaving", point, str(mark)]

    def leave(self, point: str, mark: Path) -> threading.Thread:
        """Let the neutral node leave at a point; the thread ends when it is back."""
        self.stop(NEUTRAL)
        self.point = point, mark
        self.start(NEUTRAL)
        self.point = None
        process = self._processes[NEUTRAL]

        def come_back() -> None:
            if process.wait() == 0 and mark.exists():
                self.start(NEUTRAL)

        thread = threading.Thread(target=come_back)
        thread.start()
        return thread

    @property
    def said(self) -> str:
        """What the neutral node has logged."""
        return (self.configs[NEUTRAL].folder / "log.txt").read_text("utf-8")


@pytest.fixture
def leaving(tmp_path: Path) -> Iterator[Leaving]:
    with Leaving(tmp_path / "nodes") as running:
        yield running


@pytest.fixture
def keys() -> Keys:
    """Of each member; the first half is common."""
    random = np.random.default_rng(7)
    common = random.integers(0, 2**64, (ROWS // 2, 2), np.uint64)
    return {m: np.concatenate([common, random.integers(0, 2**64, (ROWS // 2, 2), np.uint64)]) for m in MEMBERS}


def check_results(federation: Leaving, record: SessionRecord) -> None:
    for name in MEMBERS:
        member = federation.member(name)
        flags = member.fetch(member.coordinator.get(record.id), ROWS)
        assert flags[: ROWS // 2].all()
        assert not flags[ROWS // 2 :].any()


@pytest.mark.parametrize("point", ["send tag/schedule", "send finish"])
def test_a_computation_that_has_begun_comes_to_its_end(
    leaving: Leaving, keys: Keys, tmp_path: Path, point: str
) -> None:
    """One attempt is enough, though a node was asked to stop in the midst of it."""
    back = leaving.leave(point, tmp_path / "left")
    record = leaving.approved(max_records=ROWS)
    for name in MEMBERS:
        leaving.member(name).contribute_keys(record, keys[name])
    done = leaving.operator.run(record.id)
    back.join()
    assert (tmp_path / "left").exists(), "the point was not reached"
    assert "uploads and runs under way: 1" in leaving.said
    assert (done.state, done.attempt) == (State.DONE, 1)
    check_results(leaving, record)


def test_an_upload_that_has_begun_comes_to_its_end(leaving: Leaving, keys: Keys, tmp_path: Path) -> None:
    record = leaving.approved(max_records=ROWS)
    back = leaving.leave("chunk 1", tmp_path / "left")
    leaving.member(MEMBERS[0]).contribute_keys(record, keys[MEMBERS[0]])
    back.join()
    assert (tmp_path / "left").exists(), "the point was not reached"
    assert "uploads and runs under way: 1" in leaving.said
    assert "stopping before all that had begun is done" not in leaving.said
    for name in MEMBERS[1:]:
        leaving.member(name).contribute_keys(record, keys[name])
    assert leaving.operator.run(record.id).state is State.DONE
    check_results(leaving, record)


def test_a_running_federation_is_well(federation: Federation, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (COORDINATOR, NEUTRAL, "agency-c"):
        assert main(["node", "doctor", "--json", *federation.own(name)]) == 0
        checks = json.loads(capsys.readouterr().out)["checks"]
        partners = {check["subject"] for check in checks if check["part"] == "partners"}
        assert partners == set(federation.daemons) - {name}
        assert {check["subject"] for check in checks if check["grade"] != "ok"} == {"key file"}


def test_a_node_that_is_lost_is_restored_and_takes_part(leaving: Leaving, keys: Keys, tmp_path: Path) -> None:
    """From a backup that was made while a session was under way: what was uploaded is uploaded again."""
    record = leaving.approved(max_records=ROWS)
    for name in MEMBERS:
        leaving.member(name).contribute_keys(record, keys[name])
    lost = leaving.configs[NEUTRAL].folder
    assert main(["node", "backup", "--out", str(tmp_path / "neutral.tar"), *leaving.own(NEUTRAL)]) == 0
    leaving.stop(NEUTRAL, kill=True)
    shutil.move(lost / KEY_FILE, tmp_path / KEY_FILE)
    shutil.rmtree(lost)
    assert main(["node", "restore", str(tmp_path / "neutral.tar"), "--dir", str(lost)]) == 0
    shutil.move(tmp_path / KEY_FILE, lost / KEY_FILE)
    leaving.configs[NEUTRAL] = config.load(lost / "node.toml")
    leaving.start(NEUTRAL)
    for name in MEMBERS:
        leaving.member(name).contribute_keys(record, keys[name])
    assert leaving.operator.run(record.id).state is State.DONE
    check_results(leaving, record)
