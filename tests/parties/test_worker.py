"""A worker process and its node: what either says when the other goes wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mpc.errors import MpcError
from parties import worker
from parties.errors import PeerUnavailable
from tests.mpc.workers import Case, run

PROGRAM = "import sys; sys.stdin.buffer.readline(); {}"


def failures(monkeypatch: pytest.MonkeyPatch, program: str) -> dict[int, BaseException]:
    monkeypatch.setattr(worker, "COMMAND", [sys.executable, "-c", program])
    return run(Case([[1], [1]]).tasks()).errors


@pytest.mark.parametrize(
    ("dies", "how"), [("import os; os.kill(os.getpid(), 9)", "signal 9"), ("sys.exit(3)", "exit code 3")]
)
def test_a_worker_that_dies_is_the_operators(monkeypatch: pytest.MonkeyPatch, dies: str, how: str) -> None:
    errors = failures(monkeypatch, PROGRAM.format(dies))
    assert all(isinstance(e, PeerUnavailable) or getattr(e, "reason", "") == "disconnected" for e in errors.values())
    assert any(how in str(e) for e in errors.values())


def test_an_error_of_ours_in_a_worker_says_where_and_no_values(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    program = (
        "from parties import worker\n"
        "def wrong(*_): raise ValueError('4242 is a share')\n"
        "worker._computed = wrong\n"
        "worker.main()"
    )
    errors = failures(monkeypatch, program)
    assert any(type(e) is MpcError and "ValueError" in str(e) for e in errors.values())
    told = capfd.readouterr().err
    assert "in wrong" in told
    assert "4242" not in told + repr(errors)


def test_a_worker_has_nothing_of_the_nodes_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/nowhere")
    monkeypatch.setenv("MPYC_NOPRSS", "1")
    seen = tmp_path / "seen"
    failures(monkeypatch, f"import os; open({str(seen)!r}, 'w').write(' '.join(os.environ))")
    assert not {"CREDENTIALS_DIRECTORY", "MPYC_NOPRSS"} & {*seen.read_text().split()}


def test_signals_to_the_whole_group_leave_a_worker_to_its_node() -> None:
    """Its node ends it; what is sent to all of a service or terminal does not."""
    ours = "import signal; from parties import worker; worker.main(); print(repr(signal.getsignal(15)))"
    done = subprocess.run([sys.executable, "-c", ours], input=b"", capture_output=True, check=True)
    assert b"SIG_IGN" in done.stderr  # where all that is printed goes


def test_a_worker_takes_no_modules_from_the_folder_it_is_started_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secrets.py").write_text("raise SystemExit('foreign code')")
    (tmp_path / "parties").mkdir()
    monkeypatch.chdir(tmp_path)
    assert not run(Case([[1], [1]]).tasks()).errors
