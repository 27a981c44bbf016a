"""The command line as a program of its own."""

import os
import subprocess
import sys
from pathlib import Path

from tests.parties.conftest import ID_RULE
from tests.parties.samples import write
from tests.parties.test_cli import ROOT


def test_as_a_program_of_its_own_on_a_terminal_without_the_lists_script(listed: Path, rules: Path) -> None:
    def run(*argv: str | Path) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "parties.cli", *map(str, argv)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    write(rules, ID_RULE.replace("id_number", "name"))
    good = run("check", listed, "--rules", rules)
    assert (good.returncode, good.stderr) == (0, "")
    assert "????" in good.stdout
    bad = run("check", listed.with_name("немає.csv"), "--rules", rules)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.startswith("matchbit: Cannot read ")
    assert bad.stderr.count("\n") == 1


def test_a_reader_that_has_enough(listed: Path, rules: Path) -> None:
    command = f"{sys.executable} -m parties.cli check {listed} --rules {rules} | head -c 1"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment, check=False)
    assert (run.stdout, run.stderr) == (str(listed)[0], "")
