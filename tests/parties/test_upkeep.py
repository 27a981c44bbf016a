"""`matchbit node doctor`, `health`, `backup` and `restore`, as an operator runs them."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest

from parties import audit, coordinator
from parties import config as configs
from parties.audit import Event
from parties.cli import main
from parties.config import KEY_FILE, Config
from parties.loopback import free_port
from parties.service import Service
from tests.parties.samples import JARGON, write

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def node(tmp_path: Path) -> Config:
    """A coordinator by itself; its key file is kept apart."""
    made = configs.create("hub", tmp_path / "hub", f"127.0.0.1:{free_port()}", coordinator=True)
    shutil.move(made.key_path, tmp_path / KEY_FILE)
    configs.set_key_file(made.folder / "node.toml", tmp_path / KEY_FILE)
    return configs.load(made.folder / "node.toml")


def run(node: Config, *arguments: str) -> int:
    return main(["node", *arguments, "--config", str(node.folder / "node.toml")])


class Served:
    """The coordinator's daemon, in a thread."""

    def __init__(self, node: Config) -> None:
        self._service = Service(node, "coordinator")
        self._thread = threading.Thread(target=coordinator.serve, args=(node, self._service))
        self._node = node

    def __enter__(self) -> None:
        self._thread.start()
        while run(self._node, "health") and self._thread.is_alive():
            pass

    def __exit__(self, *_: object) -> None:
        self._service.stop()
        self._thread.join()


def test_a_node_that_is_well(node: Config, capsys: Captured) -> None:
    with Served(node):
        capsys.readouterr()
        assert run(node, "health") == 0
        assert run(node, "doctor") == 0
        assert run(node, "doctor", "--json") == 0
    health, *lines, last = capsys.readouterr().out.splitlines()
    assert health == "hub is well."
    assert lines
    assert all(line.startswith("ok ") for line in lines)
    checks = json.loads(last)["checks"]
    assert {check["grade"] for check in checks} == {"ok"}
    assert len(checks) == len(lines)


def test_a_node_that_does_not_run(node: Config, capsys: Captured) -> None:
    assert run(node, "health") == 4
    assert "hub cannot be reached" in capsys.readouterr().err
    assert run(node, "doctor") == 0  # it may be meant not to: a warning
    assert "warning  service" in capsys.readouterr().out


def test_ones_own_settings_are_wrong(node: Config, capsys: Captured) -> None:
    write(node.policy_path, "no toml")
    assert run(node, "doctor") == 2
    printed = capsys.readouterr()
    assert "FAIL     policy" in printed.out
    assert printed.err == "matchbit: Not well: policy. What to do stands beside each FAIL.\n"


def test_something_else_is_wrong(node: Config, tmp_path: Path, capsys: Captured) -> None:
    other = configs.create("agency-a", tmp_path / "a", f"127.0.0.1:{free_port()}", coordinator=False)
    with node.federation_path.open("a", encoding="utf-8") as known:
        known.write((other.folder / "entry.toml").read_text("utf-8"))
    assert run(node, "doctor", "--json") == 4
    printed = capsys.readouterr()
    failed = [check for check in json.loads(printed.out)["checks"] if check["grade"] == "FAIL"]
    assert [(check["part"], check["subject"]) for check in failed] == [("partners", "agency-a")]
    assert "Not well: agency-a." in printed.err


def test_no_settings_at_all(tmp_path: Path, capsys: Captured) -> None:
    assert main(["node", "doctor", "--config", str(tmp_path / "node.toml")]) == 2
    assert "`matchbit node init` makes it" in capsys.readouterr().err


def test_backup_and_restore(node: Config, tmp_path: Path, capsys: Captured) -> None:
    out, again = tmp_path / "hub.tar", tmp_path / "again"
    with Served(node):
        assert run(node, "backup", "--out", str(out)) == 0
    assert node.store().entries(audit.NODE)[-2].event == Event.BACKED_UP.code  # then it was stopped
    assert main(["node", "restore", str(out), "--dir", str(again)]) == 0
    printed = capsys.readouterr()
    assert "no shares" in printed.out.lower()
    assert f"hub is in {again} as it was on " in printed.out
    assert not [word for word in JARGON if word in printed.out + printed.err]
    restored = configs.load(again / "node.toml")
    assert restored.store().entries(audit.NODE)[-1].event == Event.RESTORED.code
    with Served(restored):
        assert run(restored, "doctor") == 0


def test_where_settings_name_files_elsewhere(node: Config, tmp_path: Path, capsys: Captured) -> None:
    elsewhere = tmp_path / "federation.toml"
    shutil.move(node.federation_path, elsewhere)
    settings = node.folder / "node.toml"
    write(settings, settings.read_text("utf-8").replace('"federation.toml"', f'"{elsewhere}"'))
    assert run(node, "backup", "--out", str(tmp_path / "b.tar")) == 0
    assert main(["node", "restore", str(tmp_path / "b.tar"), "--dir", str(tmp_path / "again")]) == 0
    assert f"node.toml names {elsewhere}: the backup's copy is in {tmp_path / 'again'}." in capsys.readouterr().out
    assert (tmp_path / "again" / "federation.toml").read_bytes() == elsewhere.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("restore no-such-file.tar --dir new", "Cannot read or write no-such-file.tar"),
        ("restore b.tar --dir new", "is damaged or no backup"),
        ("restore b.tar --dir .", "is not empty"),
        ("backup --out b.tar --config hub/node.toml", "is there already"),
        ("backup --out no/b.tar --config hub/node.toml", "Cannot read or write"),
    ],
)
@pytest.mark.usefixtures("node")
def test_refusals_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured, arguments: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "b.tar", "no backup")
    assert main(["node", *arguments.split()]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("matchbit: ")
    assert told in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "new").exists()
