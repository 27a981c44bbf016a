"""docs/examples: units and a container that fit the program as it is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from configparser import RawConfigParser
from pathlib import Path

import pytest

from parties.cli import parser
from parties.config import Config

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "docs" / "examples"
DAEMONS = ("node", "coordinator")
UNITS = (*DAEMONS, "launch")
CONTAINERFILE = (EXAMPLES / "Containerfile").read_text("utf-8")
LOOSEST = 20
"""systemd's exposure level of a unit, in tenths."""


def unit(name: str) -> str:
    return (EXAMPLES / f"matchbit-{name}.service").read_text("utf-8")


def setting(name: str, key: str) -> str:
    """One setting of a unit's service."""
    read = RawConfigParser(strict=False)
    read.optionxform = str  # type: ignore[assignment, method-assign]
    read.read_string(unit(name))
    return read["Service"][key]


def instructions() -> list[tuple[str, str]]:
    """The container's instructions and what stands behind them."""
    text = re.sub(r"(?m)^#.*\n", "", CONTAINERFILE).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def rest_of(word: str) -> list[str]:
    return [rest for found, rest in instructions() if found == word]


# Units


@pytest.mark.parametrize("role", DAEMONS)
def test_units_start_daemons_that_there_are(role: str) -> None:
    program, *arguments = setting(role, "ExecStart").split()
    assert program == "/opt/matchbit/bin/matchbit"
    assert arguments[:2] == [role, "serve"]
    parser().parse_args(arguments)


@pytest.mark.parametrize("role", DAEMONS)
def test_units_have_more_patience_than_the_daemon(role: str) -> None:
    assert int(setting(role, "TimeoutStopSec")) > Config.drain_timeout_s


def test_what_units_forbid_is_the_same_in_all() -> None:
    forbidden = [unit(name).split("# The only place", 1)[1].split("[Install]")[0].strip() for name in UNITS]
    assert forbidden[0] == forbidden[1] == forbidden[2]
    assert "MemoryDenyWriteExecute=yes" in forbidden[0]


@pytest.mark.parametrize("name", UNITS)
def test_units_are_as_closed_as_systemd_thinks_well(name: str) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    path = EXAMPLES / f"matchbit-{name}.service"
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={LOOSEST}", str(path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


# The container


def test_all_that_is_copied_is_there_and_all_that_a_wheel_needs_is_copied() -> None:
    copied = [source for rest in rest_of("COPY") if "--from" not in rest for source in rest.split()[:-1]]
    assert all((ROOT / source).exists() for source in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packages = {package.split(".")[0] for package in project["tool"]["setuptools"]["packages"]}
    licences = project["project"]["license-files"]
    assert set(copied) == {"pyproject.toml", project["project"]["readme"], *licences, *packages}


def test_its_python_is_one_that_we_support() -> None:
    bases = {rest.split()[0] for rest in rest_of("FROM")}
    (version,) = {re.fullmatch(r"docker\.io/library/python:3\.(\d+)-slim", base)[1] for base in bases}  # type: ignore[index]
    assert int(version) >= 11
    assert len(rest_of("FROM")) == 2


def test_its_commands_are_commands_of_the_program() -> None:
    (entry,), (served,) = rest_of("ENTRYPOINT"), rest_of("CMD")
    assert json.loads(entry) == ["matchbit"]
    parser().parse_args(json.loads(served))
    (health,) = rest_of("HEALTHCHECK")
    program, *arguments = json.loads(health.split(" CMD ")[1])
    assert program == "matchbit"
    parser().parse_args(arguments)
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    assert "matchbit" in scripts


def test_the_commands_in_its_comments_are_commands_of_the_program() -> None:
    text = re.sub(r"(?m)^#\s*", "", CONTAINERFILE).replace("HOST:7700", "node.example.org:7700")
    commands = re.findall(r"((?:node|coordinator) (?:init|serve) [^\n\"`]+)", text)
    assert [command.split()[:2] for command in commands] == [["node", "init"], ["coordinator", "serve"]]
    for command in commands:
        parser().parse_args(command.split())


def test_it_runs_as_nobody_special_and_keeps_nothing_but_its_volume() -> None:
    words = [word for word, _ in instructions()]
    assert rest_of("USER") == ["matchbit"]
    assert words.index("USER") > words.index("RUN", words.index("RUN") + 1)
    assert rest_of("VOLUME") == rest_of("WORKDIR")[1:] == ["/var/lib/matchbit"]
    assert not rest_of("ARG")
    assert not rest_of("ADD")
