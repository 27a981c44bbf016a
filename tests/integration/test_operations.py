"""Daemons that are stopped in order cut nobody off; a running federation is well, and can be backed up and restored."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from parties import config
from parties.cli import main
from parties.config import KEY_FILE
from parties.lifecycle import State
from parties.loopback import COORDINATOR, NEUTRAL
from tests.integration.federations import CHUNKED, MEMBERS, Federation, Keys, random_keys

COMMON_ROWS = 1000


class Leaving(Federation):
    """A federation whose neutral node is asked to stop at a point, and is started again once it has stopped."""

    point: tuple[str, Path] | None = None
    logged = 0

    def program(self, name: str) -> list[str]:
        if self.point is None or name != NEUTRAL:
            return super().program(name)
        point, mark = self.point
        return [sys.executable, "-m", "tests.integration.leaving", point, str(mark)]

    def leave(self, point: str, mark: Path) -> threading.Thread:
        """Let the neutral node leave at a point; the thread ends when it is back."""
        self.stop(NEUTRAL)
        self.point, self.logged = (point, mark), len(self._log)
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
        """What the neutral node has logged since it was last let leave."""
        return self._log[self.logged :]

    @property
    def _log(self) -> str:
        return (self.configs[NEUTRAL].folder / "log.txt").read_text("utf-8")


@pytest.fixture(scope="module")
def leaving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leaving]:
    with Leaving(tmp_path_factory.mktemp("leaving")) as running:
        yield running


@pytest.fixture(scope="module")
def keys() -> Keys:
    return random_keys(CHUNKED, COMMON_ROWS)


@pytest.mark.parametrize("point", ["send tag/schedule", "send finish"])
def test_a_computation_that_has_begun_comes_to_its_end(
    leaving: Leaving, keys: Keys, tmp_path: Path, point: str
) -> None:
    """One attempt is enough, though a node was asked to stop in the midst of it."""
    back = leaving.leave(point, tmp_path / "left")
    record = leaving.approved()
    for name in MEMBERS:
        leaving.member(name).contribute_keys(record, keys[name])
    done = leaving.operator.run(record.id)
    back.join()
    assert (tmp_path / "left").exists(), "the point was not reached"
    assert "uploads and runs under way: 1" in leaving.said
    assert (done.state, done.attempt) == (State.DONE, 1)
    leaving.check_keys(record, keys, COMMON_ROWS)


def test_an_upload_that_has_begun_comes_to_its_end(leaving: Leaving, keys: Keys, tmp_path: Path) -> None:
    record = leaving.approved()
    back = leaving.leave("chunk 1", tmp_path / "left")
    leaving.member(MEMBERS[0]).contribute_keys(record, keys[MEMBERS[0]])
    back.join()
    assert (tmp_path / "left").exists(), "the point was not reached"
    assert "uploads and runs under way: 1" in leaving.said
    assert "stopping before all that had begun is done" not in leaving.said
    for name in MEMBERS[1:]:
        leaving.member(name).contribute_keys(record, keys[name])
    assert leaving.operator.run(record.id).state is State.DONE
    leaving.check_keys(record, keys, COMMON_ROWS)


def test_a_running_federation_is_well(federation: Federation, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (COORDINATOR, NEUTRAL, "agency-c"):
        assert main(["node", "doctor", "--json", *federation.own(name)]) == 0
        checks = json.loads(capsys.readouterr().out)["checks"]
        partners = {check["subject"] for check in checks if check["part"] == "partners"}
        assert partners == set(federation.daemons) - {name}
        assert {check["subject"] for check in checks if check["grade"] != "ok"} == {"key file"}


def test_a_node_that_is_lost_is_restored_and_takes_part(leaving: Leaving, keys: Keys, tmp_path: Path) -> None:
    """From a backup that was made while a session was under way: what was uploaded is uploaded again."""
    record = leaving.approved()
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
    leaving.check_keys(record, keys, COMMON_ROWS)
