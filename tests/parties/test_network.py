"""The benchmark's limited lines: what is refused, and a real limited run where the system allows one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from parties import bench, errors, network
from parties.cli import main
from parties.errors import ConfigError, InputError, ServiceError, SessionAborted
from parties.scenarios import Step

COMMITTEE = ("agency-a", "agency-b", "neutral")


@pytest.fixture
def stem(monkeypatch: pytest.MonkeyPatch) -> str:
    """Skip where lines cannot be limited; else what this test's namespaces are called."""
    try:
        network.check_machine()
        with network.limited_lines(("probe",), 10**6):
            pass
    except ConfigError as error:
        pytest.skip(str(error))
    token = f"test{os.getpid()}"
    monkeypatch.setattr("parties.network.secrets.token_hex", lambda _: token)
    return f"matchbit-{token}"


@pytest.fixture
def capable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Linux machine with everything, whatever the test runs on."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: name)


def namespaces() -> list[str]:
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in listed.splitlines()]


@pytest.mark.parametrize(
    ("text", "bits"),
    [("100mbit", 10**8), ("1gbit", 10**9), ("500kbit", 500_000), ("100kbit", 10**5), ("100gbit", 10**11)],
)
def test_a_rate_is_read(text: str, bits: int) -> None:
    assert network.parse_rate(text) == bits


@pytest.mark.parametrize(
    "text", ["100", "mbit", "0mbit", "-1mbit", "1.5gbit", "100 mbit", "100MBit", "100mbps", "99kbit", "101gbit",
             "100mbit\n", "100mbit; true", "١mbit", "9999999kbit"],
)  # fmt: skip
def test_what_is_no_rate_is_refused_before_anything_is_done(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", pytest.fail)
    with pytest.raises(InputError, match="write for example 100mbit"):
        network.check_rates(["", "100mbit", text])


@pytest.mark.usefixtures("capable")
def test_a_capable_machine_is_accepted() -> None:
    network.check_machine()


def test_without_rates_any_machine_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "check_machine", pytest.fail)
    network.check_rates(["", ""])


@pytest.mark.usefixtures("capable")
@pytest.mark.parametrize(
    ("missing", "sentence"),
    [({"ip"}, "need `ip`; install"), ({"tc"}, "need `tc`; install"), ({"ip", "tc"}, "need `ip` and `tc`; install")],
)
def test_missing_programs_are_named(missing: set[str], sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name in missing else name)
    with pytest.raises(ConfigError, match=sentence):
        network.check_machine()


@pytest.mark.usefixtures("capable")
def test_it_takes_root(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000, raising=False)
    for argv in (["--rows", "10", "--rate", "100mbit"], ["small", "line"]):
        assert main(["bench", *argv]) == 2
        sentence = r"matchbit: Lines of a --rate .* only root may make; run it with sudo, .*\.\n"
        assert re.fullmatch(sentence, capsys.readouterr().err), "before anything is begun"


@pytest.mark.usefixtures("capable")
def test_it_takes_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ConfigError, match="need Linux"):
        network.check_machine()


def test_a_failing_command_is_told_and_everything_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    run: list[tuple[str, ...]] = []

    def refuse(*command: str) -> subprocess.CompletedProcess[str]:
        run.append(command)
        return subprocess.CompletedProcess(command, int("qdisc" in command), "", "Operation not\npermitted\n")

    monkeypatch.setattr(network, "_try", refuse)
    with pytest.raises(ConfigError, match=r"^`tc .* tbf .*` failed \(Operation not permitted\)") as caught:  # noqa: SIM117
        with network.limited_lines(COMMITTEE, 10**8):
            pytest.fail("there are no lines")
    assert errors.exit_code(caught.value) == 2
    made = [c[-1] for c in run if c[:3] == ("ip", "netns", "add")]
    assert made
    assert set(made) <= {c[-1] for c in run if c[:3] == ("ip", "netns", "delete")}


@pytest.mark.parametrize(("bits", "size"), [(10**5, 65_536), (2 * 10**7, 65_536), (10**8, 125_000), (10**9, 1_250_000)])
def test_a_burst_carries_one_tick_and_one_big_packet(bits: int, size: int) -> None:
    assert network.burst_bytes(bits) == size


def test_line_used_is_what_was_sent_of_what_could_be_while_computing() -> None:
    phases = {"load": 50.0, "waiting for the others": 50.0, "shuffle": 1.0, "tag": 2.5, "match": 0.5}
    assert network.line_used({"a": {"sent_bytes": 10**6, "phases": phases}}, 4 * 10**6) == {"a": 0.5}


def test_no_time_at_all_is_no_division_by_zero() -> None:
    assert network.line_used({"a": {"sent_bytes": 0, "phases": {}}}, 10**6) == {"a": 0.0}


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ConfigError, RuntimeError])
def test_a_failed_run_leaves_neither_namespaces_nor_processes(stem: str, failure: type[BaseException]) -> None:
    left: list[subprocess.Popen[bytes]] = []

    def run() -> None:
        with network.limited_lines(COMMITTEE, 10**8) as lines:
            assert {lines.hub, *(n for n, _ in lines.nodes.values())} <= set(namespaces())
            for _, prefix in lines.hosts().values():
                # `cat` answers once it runs inside, and then waits for ever.
                left.append(subprocess.Popen([*prefix, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
                _answered(left[-1])
            raise failure

    with pytest.raises(failure):
        run()
    for process in left[1:]:  # the first one has no prefix: it stands for what runs elsewhere on the machine
        process.communicate()
        assert process.returncode == -9
    assert left[0].poll() is None
    left[0].communicate()
    assert not [name for name in namespaces() if name.startswith(stem)]


def _answered(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"!")
    process.stdin.flush()
    assert process.stdout.read(1) == b"!"


def test_both_ends_of_every_line_are_limited(stem: str) -> None:
    with network.limited_lines(COMMITTEE, 20 * 10**6) as lines:
        ends = [(lines.hub, f"line{k}") for k in range(3)] + [(name, "line") for name, _ in lines.nodes.values()]
        for namespace, end in ends:
            command = ["tc", "-n", namespace, "qdisc", "show", "dev", end]
            shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            assert re.match(r"qdisc tbf \S+ root .*rate 20Mbit burst 64Kb lat 50(\.0)?ms", shown)


def test_limited_runs_are_right_and_leave_nothing(stem: str, capsys: pytest.CaptureFixture[str]) -> None:
    """All but the first with a relay in each node's namespace."""
    command = ["bench", "far", "--members", "2", "--rows", "2000", "--rate", "20mbit", "--json"]
    assert main(command) == 0
    steps = json.loads(capsys.readouterr().out)["scenarios"][0]["steps"]
    assert [report["step"]["delay_ms"] for report in steps] == [0, 30, 30]
    for report in steps:
        assert report["correct"]
        assert report["step"]["rate"] == "20mbit"
        assert set(report["line_used"]) == set(COMMITTEE)
        assert all(0 < part <= 1.1 for part in report["line_used"].values())
    assert not [name for name in namespaces() if name.startswith(stem)]


def test_an_error_in_the_hub_is_raised_outside(stem: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="Cannot make a node in"):
        network.measure(tmp_path / "file", Step(2, 10, rate="20mbit"), lambda *_: None)
    assert not [name for name in namespaces() if name.startswith(stem)]


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the process in the hub seems to answer: Python code in its place."""
    code: list[str] = []
    monkeypatch.setattr(network, "_enter", lambda _: [sys.executable, "-c", code[0]])
    return code


def in_hub() -> None:
    network._in_hub(network.Lines.named(COMMITTEE), bench.Measurement("", Step(2, 1), {}))


def test_every_kind_of_error_comes_back_as_itself(answered: list[str]) -> None:
    for kind in (k for k in errors.TABLE if issubclass(k, ServiceError)):
        answered[:] = [f'import sys; sys.stdin.read(); print(\'{{"error": "{kind.__name__}", "sentence": "So."}}\')']
        with pytest.raises(kind, match=r"^So\.$"):
            in_hub()


def test_a_crash_in_the_hub_is_not_taken_for_a_report(answered: list[str]) -> None:
    answered[:] = ["import sys; sys.stdin.read(); sys.exit(7)"]
    with pytest.raises(RuntimeError, match="ended with 7"):
        in_hub()


def test_the_process_in_the_hub_tells_its_errors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise SessionAborted("It stopped.")

    monkeypatch.setattr(bench.Measurement, "run", fail)
    monkeypatch.setattr("parties.network.json.load", lambda _: asdict(bench.Measurement("", Step(2, 1), {})))
    network.main()
    assert json.loads(capsys.readouterr().out) == {"error": "SessionAborted", "sentence": "It stopped."}
