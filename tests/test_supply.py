"""What Matchbit is built from and how it is published: locks, audit, reproducible archives, signatures."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from datetime import date
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from supply.audit import judge

ROOT = Path(__file__).parent.parent
SUPPLY = ROOT / "supply"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
RUN = PROJECT["project"]["dependencies"]
LOCKS = {
    "matchbit.txt": RUN,
    "dev.txt": RUN + PROJECT["project"]["optional-dependencies"]["dev"],
    "release.txt": PROJECT["dependency-groups"]["release"],
}


def locked(text: str) -> dict[str, tuple[Requirement, list[str]]]:
    """What a lock pins: name → requirement and hashes."""
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip() and line.lstrip()[0] != "#"]
    found = {}
    for line in lines:
        pin, *hashes = line.split("--hash=")
        requirement = Requirement(pin)
        found[canonicalize_name(requirement.name)] = requirement, [hashed.strip() for hashed in hashes]
    assert len(found) == len(lines)  # one version serves every Python and system
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_what_is_asked_for_by_its_hashes(lock: str) -> None:
    pins = locked((SUPPLY / lock).read_text("utf-8"))
    for requirement, hashes in pins.values():
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), requirement
        assert hashes, requirement
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", hashed) for hashed in hashes), requirement
    for asked in map(Requirement, LOCKS[lock]):
        requirement, _ = pins[canonicalize_name(asked.name)]
        (pin,) = requirement.specifier
        assert asked.specifier.contains(pin.version), f"`make lock`: {lock} has {requirement}, asked for is {asked}"


def test_locks_come_from_the_package_index_alone() -> None:
    for lock in LOCKS:
        text = (SUPPLY / lock).read_text("utf-8")
        assert not re.search(r"://|--(extra-)?index|--find-links|--trusted", text), lock


def test_development_and_operation_use_the_same_versions() -> None:
    run, dev = (locked((SUPPLY / lock).read_text("utf-8")) for lock in ("matchbit.txt", "dev.txt"))
    assert run == {name: dev[name] for name in run}


def test_every_locked_version_was_reviewed() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    review = page.split("\n## Review\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([\w-]+) \| (\d[\w.]*) \|", review, re.MULTILINE)
    pins = locked((SUPPLY / "matchbit.txt").read_text("utf-8"))
    assert dict(rows) == {name: str(requirement.specifier)[2:] for name, (requirement, _) in pins.items()}
    (day,) = re.findall(r"^Reviewed on (\d{4}-\d{2}-\d{2})", review, re.MULTILINE)
    assert date.fromisoformat(day)


@pytest.mark.parametrize(
    ("report", "said", "passes"),
    [
        ([{"name": "a", "version": "1", "vulns": []}], "No vulnerability is known in 1 packages.", True),
        (
            [{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "not found"}],
            "NOT AUDITED: the database knows nothing of the locked version of b.\n"
            "No vulnerability is known in 1 packages.",
            True,
        ),
        ([], "NOT AUDITED: no package was asked for.", True),
        (
            [{"name": "b", "skip_reason": "x"}],
            "NOT AUDITED: the database knows nothing of the locked version of b.",
            True,
        ),
        (
            [
                {"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1", "2"]}]},
                {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-2", "fix_versions": []}]},
            ],
            "a 1: PYSEC-1; fixed in 1.1, 2.\nb 2: PYSEC-2; fixed in no version yet.",
            False,
        ),
    ],
)
def test_an_audit_says_what_it_could_not_ask(report: list[dict[str, object]], said: str, passes: bool) -> None:
    assert judge(report) == (said, passes)


def test_an_audit_without_a_database_says_so(tmp_path: Path) -> None:
    """In this environment, where pip-audit is not: it has one of its own."""
    command = [sys.executable, "-m", "supply.audit", str(tmp_path / "none.txt")]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert run.stdout.startswith("NOT AUDITED: the vulnerability database could not be asked")


# A release


def commit_of(folder: Path) -> Path:
    """These sources as a repository with one commit."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    who = {f"GIT_{role}_{what}": "x" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for command in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "--all"],
        ["-c", "commit.gpgsign=false", "commit", "--quiet", "--message=x"],
    ):
        subprocess.run(["git", *command], cwd=folder, env={**os.environ, **who}, check=True)
    return folder


def build(sources: Path, folder: Path, umask: int) -> dict[str, bytes]:
    """The archives that `supply/build` makes of a clone under this umask, by name."""
    before = os.umask(umask)
    try:
        subprocess.run(["git", "clone", "--quiet", sources, folder], check=True)
    finally:
        os.umask(before)
    (folder / "parties" / "left.toml").write_text("x = 1\n", "utf-8")
    environment = {**os.environ, "PYTHON": sys.executable}
    run = subprocess.run(
        [folder / "supply" / "build", "dist"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return {path.name: path.read_bytes() for path in (folder / "dist").iterdir()}


def kernels(wheel: bytes) -> list[str]:
    """What is compiled in a wheel."""
    return [name for name in zipfile.ZipFile(io.BytesIO(wheel)).namelist() if name.endswith((".so", ".pyd"))]


@pytest.mark.skipif(not shutil.which("git") or not (ROOT / ".git").exists(), reason="needs git and a clone")
def test_the_same_commit_gives_the_same_bytes(tmp_path: Path) -> None:
    sources = commit_of(tmp_path / "sources")
    first, second = (build(sources, tmp_path / name, umask) for name, umask in (("one", 0o022), ("another", 0o077)))
    version = PROJECT["project"]["version"]
    (compiled,) = (name for name in first if name.endswith(".whl") and "-cp311-abi3-" in name)
    ends = ("-py3-none-any.whl", ".tar.gz", "-requirements.txt")
    assert first.keys() == {compiled, *(f"matchbit-{version}{end}" for end in ends)}
    assert kernels(first[compiled]) == ["mpc/_kernel.abi3.so"]
    assert kernels(first[f"matchbit-{version}-py3-none-any.whl"]) == []
    assert [name for name in first if first[name] != second[name]] == []
    with tarfile.open(tmp_path / "one" / "dist" / f"matchbit-{version}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "supply/matchbit.txt", "tests/test_supply.py", "LICENSE"} <= names
    assert "parties/left.toml" not in names  # was never committed
    assert b"left.toml" not in first[f"matchbit-{version}-py3-none-any.whl"]


def verification() -> str:
    """The commands of docs/releases.md by which a release is checked."""
    page = (ROOT / "docs" / "releases.md").read_text("utf-8")
    return page.split("\n## Checking a release\n")[1].split("```sh\n")[1].split("```")[0]


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen is not installed")
def test_a_release_is_signed_and_checked_as_the_page_says(tmp_path: Path) -> None:
    key, release = tmp_path / "key", tmp_path / "release"
    for path in (key, tmp_path / "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    release.mkdir()
    (release / "matchbit-1.whl").write_bytes(b"wheel")
    (release / "audit.txt").write_bytes(b"fine")

    def sign(by: Path) -> None:
        subprocess.run([SUPPLY / "sign", release, by], capture_output=True, check=True)
        signer = f'releases@matchbit namespaces="matchbit-release" {key.with_suffix(".pub").read_text()}'
        (tmp_path / "allowed_signers").write_text(signer)

    def check() -> tuple[bool, str]:
        command = ["bash", "-euc", verification()]
        run = subprocess.run(command, cwd=release, capture_output=True, text=True, check=False)
        return run.returncode == 0, run.stdout + run.stderr

    sign(key)
    accepted, said = check()
    assert accepted, said
    assert re.search(r"(?s)Good .*releases@matchbit.*matchbit-1.whl: OK", said)
    (release / "matchbit-1.whl").write_bytes(b"other")
    assert not check()[0]
    sign(tmp_path / "other")
    accepted, said = check()
    assert not accepted
    assert "Could not verify signature" in said
