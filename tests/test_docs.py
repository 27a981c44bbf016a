"""The documentation is true: every command in it is run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from parties import manifestfile, metrics, policyfile
from parties.cli import main, parser
from parties.loopback import COORDINATOR, free_port
from tests.integration.federations import MEMBERS, Federation, read, write_numbers

ROOT = Path(__file__).parent.parent
DOCS = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
ELSEWHERE = {
    "make demo   # real nodes, real lists, a whole session on this machine": "by hand; .ci/run runs `matchbit demo`",
    "make test   # every test": ".ci/run",
    "make bench": "by hand",
    'make bench SCENARIOS="small growth"': "by hand",
    "matchbit bench --list": "tests/parties/test_bench.py",
    "matchbit bench growth --out growth.json": "by hand; tests/parties/test_network.py runs smaller ones",
    "make bench-lists": "by hand",
    "make bench-peers": "by hand",
    "make bench-kernels": ".ci/run",
    "make bench-transport": "by hand",
    "make bench-lanes": "by hand; tests/mpc/test_engine.py has the lanes",
    "make profile": "by hand; its parts are tested by tests/benchmarks/test_plots.py",
    "make plots": "by hand; tests/benchmarks/test_plots.py",
    "make bench-hostile": "by hand; tests/integration/test_hostile.py makes the same attacks, smaller",
    "make bench-recovery": "by hand; tests/integration/test_recovery.py kills at more points",
    "make quality": "by hand; its parts are tested by tests/test_quality.py",
    "make lock": "by hand; tests/test_supply.py",
    "make audit": ".ci/run",
    "make release KEY=~/.ssh/matchbit-release": "by hand; its steps are tested by tests/test_supply.py",
    "python3 -m venv /opt/matchbit": ".ci/run",
    "/opt/matchbit/bin/pip install --require-hashes --only-binary :all: -r matchbit-0.1.0-requirements.txt": ".ci/run",
    "/opt/matchbit/bin/pip install --no-deps matchbit-0.1.0-py3-none-any.whl": ".ci/run",
    "ssh-keygen -Y verify -f ../allowed_signers -I releases@matchbit -n matchbit-release "
    "-s SHA256SUMS.sig < SHA256SUMS": "tests/test_supply.py",
    "sha256sum --strict --check SHA256SUMS": "tests/test_supply.py",
    "python -m tests.vectors": "tests/parties/normalise/test_pythons.py",
    "matchbit bench similar-10k similar-100k similar-weekly": "by hand; tests/parties/test_bench.py",
    "matchbit bench --similar --rows 20000 --members 4": "by hand; tests/parties/test_bench.py",
    "matchbit demo --similar --reveal grade": "tests/parties/test_trial.py",
    "matchbit demo --engine mpyc": "tests/parties/test_trial.py",
    "matchbit demo --engine mpyc --committee 5 --reveal statistics": "tests/parties/test_trial.py",
    "matchbit bench mpyc-200 mpyc-1000 mpyc-committees": "by hand; tests/parties/test_scenarios.py",
    "matchbit bench --engine mpyc --rows 10000": "by hand; tests/parties/test_bench.py",
    "matchbit bench --engine mpyc --rows 1000 --reveal statistics": "by hand; tests/parties/test_bench.py",
    "matchbit bench --engine mpyc --rows 1000 --delay 30": "by hand; tests/parties/test_bench.py",
    "matchbit tune winter.csv": "tests/parties/test_tune.py",
    "matchbit demo --lists A.csv B.csv C.csv --rules rules.toml --out results": "test_demo_over_ones_own_lists",
}


def blocks(path: Path) -> list[str]:
    """The shell commands of a page."""
    return re.findall(r"^```sh\n(.*?)^```", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def environment() -> dict[str, str]:
    """One in which `matchbit` is this source."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def test_the_walk_through(tmp_path: Path) -> None:
    """docs/operating.md from top to bottom, in one shell; daemons are waited for and stopped at the end."""
    script = "\n".join(blocks(ROOT / "docs" / "operating.md"))
    for port in ("7700", "7701", "7702", "7703"):
        script = script.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}")
    up = 'until (exec 3<>"/dev/tcp/${ADDRESS%:*}/${ADDRESS#*:}") 2>/dev/null; do kill -0 $!; done'
    waiting = rf'\1 2>\2.log &\nADDRESS=$(sed -n "s/^listen = \\"\(.*\)\\"/\\1/p" \2/node.toml); {up}'
    script = re.sub(r"^(matchbit .* --config (\S+)/node.toml) &$", waiting, script, flags=re.MULTILINE)
    prelude = "set -euo pipefail\ntrap 'kill $(jobs -p)' EXIT\n"
    run = subprocess.run(
        ["bash", "-c", prelude + script], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    found = {name: read(tmp_path / f"{name}-result.csv") for name in "abc"}
    both = "phone and birth date; name by sound and birth date; family"
    assert [(row["match"], row["matched_on"]) for row in found["a"]] == [
        ("yes", "id; phone and birth date; name by sound and birth date; family"),
        ("no", ""),
        ("yes", "family"),
    ]
    assert [(row["match"], row["matched_on"]) for row in found["b"]] == [
        ("yes", "id; phone and birth date; name by sound and birth date; family"),
        ("yes", both),
    ]
    assert [(row["match"], row["matched_on"]) for row in found["c"]] == [("yes", both)]
    assert "<svg" in (tmp_path / "a-result.html").read_text("utf-8")
    story = (tmp_path / "agency-a.html").read_text("utf-8")
    assert "Attempt 1 began, on the contributions of agency-a, agency-b, agency-c" in story
    assert "This node deleted its shares and results: the coordinator closed the session." in story


def test_the_page_on_lists(tmp_path: Path) -> None:
    """docs/lists.md: its commands, with its map file."""
    page = ROOT / "docs" / "lists.md"
    (map_file,) = re.findall(r"^```toml\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (tmp_path / "columns.toml").write_text(map_file, "utf-8")
    (tmp_path / "rules.toml").write_text('[[rule]]\nname = "id"\nfields = ["id_number"]\n', "utf-8")
    headings = "Name of beneficiary;Phone 1;Phone 2;Passport No;РНОКПП;ІПН (old)"
    (tmp_path / "winter.csv").write_text(f"{headings}\nOlena Kovalchuk;0671234567;;AB123457;;\n", "utf-8")
    script = "set -e\n" + "\n".join(blocks(page))
    run = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "UA:passport:AB123457" in run.stdout
    assert "Olena Kovalchuk" in (tmp_path / "winter.html").read_text("utf-8")


def test_every_command_is_run_somewhere() -> None:
    for path in DOCS:
        if path.name in ("operating.md", "lists.md"):
            continue
        for line in "\n".join(blocks(path)).splitlines():
            assert not line.strip() or line in ELSEWHERE, f"{path.name}: no test runs `{line}`"


def test_every_link_leads_somewhere() -> None:
    for path in DOCS:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text("utf-8")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def anchors(page: Path) -> set[str]:
    """What links can say behind `#`, as GitHub makes it of headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"(?ms)^```.*?^```", "", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_into_a_page_finds_its_heading() -> None:
    for path in DOCS:
        for target, anchor in re.findall(r"\]\(([^)#]*)#([^)]+)\)", path.read_text("utf-8")):
            page = path.parent / target if target else path
            assert anchor in anchors(page), f"{path.name} links to {target}#{anchor}"


def test_every_named_file_exists() -> None:
    """Paths in backquotes are paths of this repository."""
    for path in DOCS:
        for name in re.findall(r"`((?:mpc|parties|protos|tests|docs)/[\w./-]+\.\w+)`", path.read_text("utf-8")):
            assert (ROOT / name).exists(), f"{path.name} names {name}"
        for name, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", path.read_text("utf-8")):
            assert f"def {test}(" in (ROOT / name).read_text("utf-8"), f"{path.name} names {name}::{test}"


def test_every_promise_and_defence_names_a_test() -> None:
    """Rows of the tables that have a column `test`."""
    for page in ("threat-model", "known-attacks"):
        tables = re.findall(r"(?m)^\|[^\n]*\| test \|\n(?:\|.*\n)+", (ROOT / "docs" / f"{page}.md").read_text("utf-8"))
        rows = [row for table in tables for row in table.splitlines()[2:]]
        assert len(rows) > 20
        assert not [row for row in rows if not re.search(r"`(tests|protos)/[^`]+`[^|]*\|$", row)]


def test_every_command_of_the_program_is_in_the_docs() -> None:
    text = "\n".join(path.read_text("utf-8") for path in DOCS)
    top = parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    for name, command in top.items():  # type: ignore[union-attr]
        inner = command._subparsers._group_actions[0].choices if command._subparsers else [""]
        for sub in inner:
            assert f"{name} {sub}".strip() in text, f"nothing in the docs says `matchbit {name} {sub}`"


def test_every_term_figure_and_module_is_in_the_docs() -> None:
    operating, development = (
        (ROOT / "docs" / f"{page}.md").read_text("utf-8") for page in ("operating", "development")
    )
    terms = operating.split("\n## The terms\n")[1].split("\n## ")[0]
    assert not {term for term in manifestfile._SESSION_KEYS if f"`{term}`" not in terms}
    figures = {family.name for family in metrics.REGISTRY.collect() if family.name.startswith("matchbit_")}
    assert figures
    assert not {figure for figure in figures if f"`{figure}" not in operating}
    modules = {path.stem for path in (ROOT / "parties").glob("*.py")} - {"__init__"}
    assert not {module for module in modules if f"`{module}`" not in development}
    policies = (ROOT / "docs" / "examples" / "policy.toml").read_text("utf-8")
    assert not {entry for entry in policyfile._ENTRIES if not re.search(rf"(?m)^{entry} = ", policies)}


def test_demo_over_ones_own_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lists = {"A": ["1", "2"], "B": ["2", "3"], "C": ["4", "1"]}
    for name, numbers in lists.items():
        write_numbers(tmp_path / f"{name}.csv", numbers)
    (tmp_path / "rules.toml").write_text('[[rule]]\nname = "id"\nfields = ["id_number"]\n', "utf-8")
    names = [str(tmp_path / f"{name}.csv") for name in lists]
    rules, out = str(tmp_path / "rules.toml"), tmp_path / "results"
    assert main(["demo", "--lists", *names, "--rules", rules, "--out", str(out)]) == 0
    assert "exactly right" not in capsys.readouterr().out  # the truth of one's own lists is not known
    found = [[line.split(",")[2] for line in (out / f"{n}.csv").read_text("utf-8-sig").splitlines()[1:]] for n in lists]
    assert found == [["yes", "yes"], ["yes", "no"], ["no", "yes"]]


def test_a_demo_does_not_overwrite_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [write_numbers(tmp_path / f"{name}.csv", ["1"]) for name in "ab"]
    (tmp_path / "rules.toml").write_text('[[rule]]\nname = "id"\nfields = ["id_number"]\n', "utf-8-sig")
    before = paths[0].read_bytes()
    names, rules = [str(path) for path in paths], str(tmp_path / "rules.toml")
    assert main(["demo", "--lists", *names, "--rules", rules, "--out", str(tmp_path)]) == 2
    assert "give --out another folder" in capsys.readouterr().err
    assert paths[0].read_bytes() == before


def test_launch_script(tmp_path: Path) -> None:
    """The coordinator's script, while everybody else does their part."""
    with Federation(tmp_path / "nodes") as federation:
        config = federation.configs[COORDINATOR].folder / "node.toml"
        (tmp_path / "manifest.toml").write_text(
            (ROOT / "docs" / "operating.md").read_text("utf-8").split("<<'END'\n")[1].split("END\n")[0], "utf-8"
        )
        script = ROOT / "docs" / "examples" / "launch-session.sh"
        command = [str(script), str(config), str(tmp_path / "manifest.toml"), str(tmp_path / "report.json"), "60s"]
        launched = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True)
        assert launched.stderr is not None
        session = bytes.fromhex(next(line.split()[1].strip(";") for line in launched.stderr if "Proposed" in line))
        for name in (*MEMBERS, "neutral"):
            federation.member(name).approve(session)
        for name in MEMBERS:
            path = tmp_path / f"{name}.csv"
            path.write_text("id_number,phone,birth_date\nX1,,\n", "utf-8")
            federation.member(name).contribute(session, path, accept=True)
        launched.communicate(timeout=60)
        assert launched.returncode == 0
        assert f'"session": "{session.hex()}", "state": "done"' in (tmp_path / "report.json").read_text("utf-8")


def test_units_are_valid(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    for unit in (ROOT / "docs" / "examples").glob("matchbit-*"):
        text = re.sub(r"/opt/matchbit/\S*(matchbit|launch-session.sh)\b", "/bin/true", unit.read_text("utf-8"))
        (tmp_path / unit.name).write_text(text.replace("User=matchbit\n", ""), "utf-8")
    units = [str(path) for path in sorted(tmp_path.iterdir())]
    run = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
