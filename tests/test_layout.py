"""The direction of imports, where the world is touched, what is not called or shown at all, and the length of files."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
IMPURE = {"socket", "os", "time", "logging", "grpc", "sqlite3", "subprocess", "pathlib"}
GRPC = {
    *("admission", "transport", "protocols", "service", "node", "coordinator"),
    *("member", "cli", "calls", "loopback", "partners"),
}
"""The channel, the servicers, the calling side, and what waits for daemons to answer."""
PB2 = {"wire", "node", "coordinator", "member", "transport", "calls", "service", "partners", "frames"}
MAX_LINES = 400
INSECURE = {
    *("pickle", "marshal", "shelve", "dill", "yaml", "cgitb"),
    *("eval", "exec", "compile", "__import__"),
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "tempfile.mktemp"),
    *("hashlib.md5", "hashlib.sha1", "hashlib.new", "hashes.MD5", "hashes.SHA1"),
}
"""Modules, all of them, and functions."""
OF_TYPES = r"[\w.]+ is not None|isinstance\(.*\)"
"""What may be asserted: what only mypy does not see, since `python -O` leaves asserts out."""
CHANCE = r"(random|np\.random|numpy\.random)\b"
TELLING = r"\b(bytes|Array|Share|Prss|Vault|\w+PrivateKey)\b"
KEYED = r"(?!len\()[\w.(]*(seed|secret|passphrase|mac_key|tls_key|dealt|theirs|_tag\()"
"""Begins what stands for a secret, or for a digest under a key: the length of one is none."""
PUBLIC = {
    *("session", "session_id", "terms", "approvals", "commitment", "contributions", "digests"),
    *("previous", "hash", "signature", "signatures", "signing_key", "certificate", "next_certificate"),
}
"""Bytes that parties show each other; `signing_key` is the public one of a federation's entry."""


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
    contained = {"mpc/mpyc_runtime.py": {"logging"}}  # to undo what MPyC's import does to it
    found = {where(p): tops(p) & IMPURE for p in files("mpc")}
    assert {name: touched for name, touched in found.items() if touched} == contained
    assert not [where(p) for p in files("mpc") if "open" in calls(p)]


def test_mpyc_has_its_place() -> None:
    """One module imports it; the processes that do so are workers."""
    assert [where(p) for p in files("mpc", "parties") if "mpyc" in tops(p)] == ["mpc/mpyc_runtime.py"]
    takes = {"mpc.mpyc_runtime", "mpc.mpyc_engine", "mpc.dealing", "mpc.polynomials"}
    assert [where(p) for p in files("parties") if imported(p) & takes] == ["parties/worker.py"]
    assert not [where(p) for p in files("mpc") if p.stem in ("engine", "session") and imported(p) & takes]


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


def insecure(path: Path, source: str | None = None) -> set[str]:
    """What a file has that nothing needs to have: modules, functions, a shell, asserts that more than types rest on."""
    text = path.read_text("utf-8") if source is None else source
    found = imported(path, text) | calls(path, text)
    named = {name for name in found if name in INSECURE or name.split(".")[0] in INSECURE}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.keyword) and node.arg in ("shell", "capture_locals"):
            named.add(node.arg)
        if isinstance(node, ast.Assert) and not re.fullmatch(OF_TYPES, ast.unparse(node.test)):
            named.add(ast.unparse(node))
    return named


def test_nothing_insecure_is_called() -> None:
    assert not {where(path): found for path in files("mpc", "parties") if (found := insecure(path))}


def test_chance_is_the_systems_but_for_invented_people() -> None:
    found = {where(p) for p in files("mpc", "parties") for name in imported(p) | calls(p) if re.match(CHANCE, name)}
    assert found == {"parties/generator.py", "parties/population.py", "parties/habits.py", "parties/bench.py"}


def shown(path: Path, source: str | None = None) -> set[str]:
    """Fields of dataclasses that a repr, and so an error or a log line, would show: arrays, private keys, bytes."""
    text = path.read_text("utf-8") if source is None else source
    classes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]
    return {
        f"{node.name}.{ast.unparse(field.target)}"
        for node in classes
        if (made := "".join(map(ast.unparse, node.decorator_list))).startswith("dataclass") and "repr=False" not in made
        for field in node.body
        if isinstance(field, ast.AnnAssign)
        and re.search(TELLING, ast.unparse(field.annotation))
        and not ("bytes" in ast.unparse(field.annotation) and ast.unparse(field.target) in PUBLIC)
    }


def test_no_secret_shows_itself() -> None:
    assert not {where(path): found for path in files("mpc", "parties") if (found := shown(path))}


def timed(path: Path, source: str | None = None) -> set[str]:
    """Comparisons of secrets that take longer the longer these agree, where `bytes_eq` takes always the same time."""
    text = path.read_text("utf-8") if source is None else source
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
            compared = [node.left, *node.comparators]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("array_equal"):
            compared = node.args
        else:
            continue
        if any(re.match(KEYED, ast.unparse(side)) for side in compared):
            found.add(ast.unparse(node))
    return found


def test_secrets_are_compared_in_constant_time() -> None:
    assert not {where(path): found for path in files("mpc", "parties") if (found := timed(path))}


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
    for text in ("import yaml", "from hashlib import sha1", "hashlib.md5(x)", "hashes.SHA1()", "from os import system"):
        assert insecure(path, text), text
    for text in ("run(x, shell=True)", "exec(x)", "assert x > 1", "x = pickle.loads(y)", "import shelve as s"):
        assert insecure(path, text), text
    assert not insecure(path, "import subprocess, hashlib\nassert x is not None\nhashlib.sha256(re.compile(x))")
    fields = "seed: tuple[bytes, bytes]\n    key: Ed25519PrivateKey\n    hash: bytes"
    made = "@dataclass(frozen=True{})\nclass C:\n    " + fields
    assert shown(path, made.format("")) == {"C.seed", "C.key"}
    assert not shown(path, made.format(", repr=False"))
    assert timed(path, "a.seeds == b\nx == y\nlen(secret) != 3\nnp.array_equal(theirs, b)") == {
        "a.seeds == b",
        "np.array_equal(theirs, b)",
    }
