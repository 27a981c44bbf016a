"""The direction of imports, the places where the world is touched, and the length of files."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
IMPURE = {"socket", "os", "time", "logging", "grpc", "sqlite3", "subprocess", "pathlib"}
GRPC = {"transport", "node", "coordinator", "member", "cli", "calls", "loopback", "service", "protocols", "partners"}
"""The channel, the servicers, the calling side, and what waits for daemons to answer."""
PB2 = {"wire", "node", "coordinator", "member", "transport", "calls", "service", "partners"}
MAX_LINES = 400


def files(*folders: str) -> list[Path]:
    """Python files of the folders that exist."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def is_generated(path: Path) -> bool:
    return path.stem.endswith(("_pb2", "_pb2_grpc"))


def imported(path: Path, source: str | None = None) -> set[str]:
    """All modules that a file imports anywhere in it, with what is taken from them: `a`, `a.b`, `a.b.name`."""
    names = set()
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text("utf-8") if source is None else source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *filter(None, [node.module])])
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return names


def tops(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)}


def calls(path: Path, source: str | None = None) -> set[str]:
    """What a file calls by name: `eval`, `yaml.load`."""
    tree = ast.parse(path.read_text("utf-8") if source is None else source)
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def where(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [("mpc", {"protos", "parties", "tests"}), ("protos", {"mpc", "parties", "tests"}), ("parties", {"tests"})],
)
def test_imports_go_one_way(folder: str, forbidden: set[str]) -> None:
    assert not {where(p): found for p in files(folder) if (found := tops(p) & forbidden)}


def test_the_computation_does_not_touch_the_world() -> None:
    assert files("mpc")
    assert not {where(p): found for p in files("mpc") if (found := tops(p) & IMPURE)}
    assert not [where(p) for p in files("mpc") if "open" in calls(p)]


def test_grpc_has_its_places() -> None:
    wrong = [
        where(path)
        for path in files("mpc", "parties", "protos")
        if "grpc" in tops(path)
        and not path.stem.endswith("_pb2_grpc")
        and not (path.parent == ROOT / "parties" and any(path.stem.startswith(name) for name in GRPC))
    ]
    assert not wrong


def test_generated_messages_have_their_places() -> None:
    wrong = [
        where(path)
        for path in files("mpc", "parties")
        if any("_pb2" in name for name in imported(path))
        and not (path.parent == ROOT / "parties" and any(path.stem.startswith(name) for name in PB2))
    ]
    assert not wrong


def test_nothing_is_unpickled_or_evaluated() -> None:
    modules = {"pickle", "marshal", "shelve", "dill"}
    functions = {"eval", "exec", "yaml.load", "__import__"}
    wrong = {}
    for path in files("mpc", "parties"):
        found = tops(path) & modules | calls(path) & functions
        found |= {name for name in imported(path) if name == "yaml.load"}
        if found:
            wrong[where(path)] = found
    assert not wrong


def test_daemons_do_without_what_lists_need() -> None:
    """A node's memory is for rows of the computation."""
    heavy = "import sys, parties.cli; print({'pyarrow', 'phonenumbers', 'python_calamine'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, cwd=ROOT, check=True)
    assert run.stdout.strip() == "set()"


def test_files_are_short() -> None:
    lengths = {
        where(path): len(path.read_text("utf-8").splitlines())
        for path in files("mpc", "parties", "protos", "tests")
        if not is_generated(path)
    }
    assert not {path: lines for path, lines in lengths.items() if lines > MAX_LINES}


def test_these_checks_see_what_they_look_for() -> None:
    path = ROOT / "mpc" / "sample.py"
    assert imported(path, "import os.path\ndef f():\n    from grpc import aio") == {"os.path", "grpc", "grpc.aio"}
    assert imported(path, "from . import aes\nfrom .tower import M") == {"mpc", "mpc.aes", "mpc.tower", "mpc.tower.M"}
    assert calls(path, "x = yaml.load(eval('1'))") == {"yaml.load", "eval"}
