"""The same bytes on every Python: the published vectors, here and on all other Pythons of this machine."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import phonenumbers
import pytest

from tests import vectors

ROOT = Path(__file__).parents[3]
NEWEST = 20


def others() -> list[str]:
    """Pythons that are supported, by the path or beside this one's, each version once."""
    found = []
    for name in (f"python3.{minor}" for minor in range(11, NEWEST) if minor != sys.version_info.minor):
        paths = [*map(str, Path(sys.base_prefix).parent.glob(f"*/bin/{name}")), shutil.which(name)]
        found += [path for path in paths if path and runs(path)][:1]
    return found


def runs(path: str) -> bool:
    """Whether this is a Python, and not a wrapper around none."""
    return subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0


def test_here() -> None:
    assert vectors.wrong() == []
    assert sum(1 for _ in vectors.cases()) > 700


@pytest.mark.parametrize("python", others() or [""])
def test_on_another_python(python: str) -> None:
    if not python:
        pytest.skip("there is no other supported Python on this machine")
    packages = Path(phonenumbers.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(packages)))}
    run = subprocess.run(
        [python, "-m", "tests.vectors"], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert ", 0 of them wrong, Python 3." in run.stdout
