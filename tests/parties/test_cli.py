import argparse
import json
import re
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest

from parties import approvalcommands, auditcommands, cli, commands, nodecommands, tune, upkeep
from parties.config import Config
from parties.errors import InputError
from parties.manifest import TWO_AGENCIES
from tests.parties.conftest import ID_RULE
from tests.parties.samples import JARGON, federate, write

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = """
[session]
title = "Winter cash"
purpose = "deconfliction"
members = ["agency-a", "agency-b"]
committee = ["agency-a", "agency-b"]
max_records = 10
expires = 2999-12-31T00:00:00Z
"""
COMMANDS: dict[str, object] = {
    "demo": commands.demo,
    "demo --members 3 --rows 10000 --overlap 0.1 --json": commands.demo,
    "demo --engine mpyc --committee 5 --reveal statistics": commands.demo,
    "demo --lists A.csv B.csv C.csv --rules rules.toml --out DIR --json": commands.demo,
    "node init NAME --dir DIR": nodecommands.node_init,
    "node init NAME --dir DIR --address HOST:PORT": nodecommands.node_init,
    "node init NAME --dir DIR --address HOST:PORT --coordinator": nodecommands.node_init,
    "node init NAME --dir DIR --passphrase": nodecommands.node_init,
    "node show": nodecommands.node_show,
    "node show NAME": nodecommands.node_show,
    "node protect --passphrase": nodecommands.node_protect,
    "node protect --key-file FILE": nodecommands.node_protect,
    "node rotate": nodecommands.node_rotate,
    "node rotate --finish": nodecommands.node_rotate,
    "node update ENTRY.toml": nodecommands.node_update,
    "node doctor --config DIR/node.toml --json": upkeep.node_doctor,
    "node health": upkeep.node_health,
    "node backup --out FILE.tar": upkeep.node_backup,
    "node restore FILE.tar --dir DIR": upkeep.node_restore,
    "node serve --config DIR/node.toml": cli.node_serve,
    "coordinator serve --config DIR/node.toml": cli.coordinator_serve,
    "check LIST": commands.check,
    "check LIST --rules rules.toml --json": commands.check,
    "tune LIST": tune.tune,
    "tune LIST --other LIST --labels HEADING --rules RULES.toml --out RULE.toml": tune.tune,
    "session propose MANIFEST.toml": commands.session_propose,
    "session launch M --wait-approvals 2h --json": commands.session_launch,
    "session launch M": commands.session_launch,
    "session list": commands.session_list,
    "session show ID": commands.session_show,
    "session approve ID": approvalcommands.session_approve,
    "session approve ID --by NAME": approvalcommands.session_approve,
    "session refuse ID --reason TEXT": approvalcommands.session_refuse,
    "session pending --act --json": approvalcommands.session_pending,
    "session run ID": commands.session_run,
    "audit verify": auditcommands.audit_verify,
    "audit verify A.jsonl B.jsonl --offline": auditcommands.audit_verify,
    "audit export ID --out FILE.jsonl --page FILE.html --json": auditcommands.audit_export,
    "session close ID": commands.session_close,
    "contribute ID LIST": commands.contribute,
    "contribute ID LIST --map columns.toml": commands.contribute,
    "contribute ID LIST --new-since 2026-01-31 --accept": commands.contribute,
    "contribute ID LIST --new-column HEADING": commands.contribute,
    "results ID --out FILE.xlsx --page FILE.html --accept": commands.results,
    "check LIST --map columns.toml --country UA --page FILE.html": commands.check,
    "demo --lists A.csv B.csv --map columns.toml --out DIR": commands.demo,
    "review show ID --json": commands.review_show,
    "review decide ID 7 distinct --by NAME --note TEXT": commands.review_decide,
    "review export ID --out FILE.csv": commands.review_export,
    "review import ID FILE.csv": commands.review_import,
    "review forget --before 2026-01-31": commands.review_forget,
    "results ID --out FILE.csv": commands.results,
    "bench": commands.bench,
    "bench --members 3 --rows 1000000 --rate 100mbit --delay 30 --overlap 0.1 --json --out FILE.json": commands.bench,
    "bench small growth --rows 1000": commands.bench,
    "bench --list": commands.bench,
}
"""The contract in full, and what each command runs."""
TECHNICAL = ("argparse", "None", "namespace", "gRPC", "protobuf", "SQLite", "PRSS", "shuffle", "stdout", "daemon", "==")


def parsers(top: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """All commands and groups of commands."""
    yield path
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield from parsers(inner, (*path, name))


PATHS = list(parsers(cli.parser()))
Captured = pytest.CaptureFixture[str]


def fails(code: int, capsys: Captured, *argv: str | Path) -> str:
    """Run a command that fails; returns its one sentence."""
    assert cli.main([str(a) for a in argv]) == code
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("matchbit: ")
    assert error.count("\n") == 1
    assert error.endswith(".\n") or '"\n' in error
    assert not any(word in error for word in JARGON)
    return error


@pytest.fixture
def hub(tmp_path: Path) -> Config:
    return federate(tmp_path / "nodes", ["agency-a", "agency-b", "neutral"])["hub"]


@pytest.fixture
def own(hub: Config) -> tuple[str, str]:
    return "--config", str(hub.folder / "node.toml")


# The contract


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_contract_is_understood(line: str) -> None:
    run = cli.parser().parse_args(line.split()).run
    if isinstance(run, partial):
        module, _, function = run.args[0].rpartition(".")
        run = getattr(import_module(f"parties.{module or 'commands'}"), function)
    assert run is COMMANDS[line]


def test_what_the_options_mean() -> None:
    parse = cli.parser().parse_args
    demo = parse(["demo", "--lists", "A.csv", "B.csv", "--out", "DIR"])
    assert (demo.lists, demo.out, demo.rules, demo.json) == ([Path("A.csv"), Path("B.csv")], Path("DIR"), None, False)
    demo = parse(["demo"])
    assert (demo.members, demo.rows, demo.overlap, demo.engine, demo.reveal) == (3, None, 0.1, None, None)
    bench = parse(["bench"])
    assert (bench.names, bench.members, bench.rows, bench.rate, bench.delay) == ([], None, None, None, None)
    launch = parse(["session", "launch", "M"])
    assert (launch.wait_approvals, launch.config, launch.json) == ("2h", Path("node.toml"), False)
    init = parse(["node", "init", "agency-a", "--dir", "D"])
    assert (init.name, init.dir, init.address, init.coordinator) == ("agency-a", Path("D"), None, False)


def test_no_command_is_outside_the_contract() -> None:
    groups = {path[:k] for path in PATHS for k in range(len(path))}
    known = {tuple(line.split())[: len(path)] for line in COMMANDS for path in PATHS}
    assert set(PATHS) - groups <= known


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_help_is_for_people(path: tuple[str, ...], capsys: Captured) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main([*path, "--help"])
    assert left.value.code == 0
    out, error = capsys.readouterr()
    assert error == ""
    assert out.startswith(" ".join(["usage: matchbit", *path]))
    assert not any(word in out for word in (*JARGON, *TECHNICAL))
    description = out.split("\n\n")[1].strip()
    assert description[0].isupper()
    assert description.endswith(".")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "sing",
        "session",
        "session sing",
        "node init agency-a",
        "check",
        "contribute abcdef01",
        "results abcdef01",
        "session refuse abcdef01",
        "demo --rows many",
        "demo --members 2.5",
        "session launch",
        "check LIST --colour red",
    ],
)
def test_wrong_usage(line: str, capsys: Captured) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(line.split())
    assert left.value.code == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("usage: matchbit")


# Arguments


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1d", 86_400), ("1.5h", 5400), ("0s", 0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert commands._seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "2 h", "-2h", "2H", "1e3s", "2h30m", "two hours", "nan", "inf", ".5h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(InputError, match="is not a duration: write for example 90s, 30m, 2h or 1d"):
        commands._seconds(text)


@pytest.mark.parametrize("text", ["abcdef01", "0123456789", "ab" * 32])
def test_session_ids(text: str) -> None:
    assert commands.id_bytes(text).hex() == text
    assert commands.id_bytes(f" {text.upper()}\n").hex() == text


BAD_IDS = ["", "abcdef", "abcdef0", "abcdef012", "abcdefgh", "ab" * 33, "../abcdef01"]


@pytest.mark.parametrize("text", BAD_IDS)
def test_what_is_no_session_id(text: str) -> None:
    with pytest.raises(InputError, match="is not a session id"):
        commands.id_bytes(text)


# Exit codes


@pytest.mark.parametrize("text", ["abcdef", "winter"])
@pytest.mark.parametrize(
    "command",
    ["session show {}", "session approve {}", "session refuse {} --reason x", "session run {}", "session close {}",
     "contribute {} list.csv", "results {} --out out.csv"],
)  # fmt: skip
def test_a_bad_id(command: str, text: str, own: tuple[str, str], capsys: Captured) -> None:
    assert f"`{text}` is not a session id" in fails(2, capsys, *command.format(text).split(), *own)


def test_a_bad_duration_is_told_before_anything_is_proposed(
    own: tuple[str, str], tmp_path: Path, capsys: Captured
) -> None:
    path = write(tmp_path / "m.toml", MANIFEST + ID_RULE)
    error = fails(2, capsys, "session", "launch", path, "--wait-approvals", "soon", *own)
    assert "`soon` is not a duration" in error


@pytest.mark.parametrize("command", ["propose", "launch"])
def test_bad_manifests_are_told_before_anything_is_sent(
    command: str, own: tuple[str, str], tmp_path: Path, capsys: Captured
) -> None:
    path = tmp_path / "m.toml"
    assert f"Cannot read {path}" in fails(2, capsys, "session", command, path, *own)
    assert f"{path} is not valid TOML" in fails(2, capsys, "session", command, write(path, "["), *own)
    assert TWO_AGENCIES in fails(2, capsys, "session", command, write(path, MANIFEST + ID_RULE), *own)


@pytest.mark.parametrize(
    "command",
    ["node serve", "coordinator serve", "session list", "session show abcdef01", "session propose m.toml",
     "contribute abcdef01 list.csv", "results abcdef01 --out out.csv"],
)  # fmt: skip
def test_without_a_node(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.chdir(tmp_path)
    assert "Cannot read node.toml" in fails(2, capsys, *command.split())
    assert "`matchbit node init` makes it" in fails(2, capsys, *command.split(), "--config", tmp_path / "node.toml")


@pytest.mark.parametrize("command", ["session list", "session show abcdef01", "results abcdef01 --out out.csv"])
def test_a_coordinator_that_cannot_be_reached(command: str, own: tuple[str, str], capsys: Captured) -> None:
    assert "hub cannot be reached" in fails(4, capsys, *command.split(), *own)


def test_a_federation_that_pins_other_keys(own: tuple[str, str], hub: Config, tmp_path: Path, capsys: Captured) -> None:
    other = federate(tmp_path / "others", [])["hub"]
    write(hub.federation_path, other.federation_path.read_bytes())
    assert "pins another key for hub" in fails(2, capsys, "session", "list", *own)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--members 1", "--members must be 2 to 50"),
        ("--members 51", "--members must be 2 to 50"),
        ("--rows 0", "--rows at least 1"),
        ("--overlap 1.5", "--overlap from 0 to 1"),
        ("--overlap nan", "--overlap from 0 to 1"),
        ("--lists a.csv b.csv", "say with --out into which folder"),
    ],
)
def test_a_demo_that_cannot_be(options: str, says: str, capsys: Captured) -> None:
    assert says in fails(2, capsys, "demo", *options.split())


def test_a_demo_over_lists_that_cannot_be_used(tmp_path: Path, listed: Path, rules: Path, capsys: Captured) -> None:
    demo = ["demo", "--rules", rules, "--out", tmp_path / "out", "--lists"]
    assert "Give at least two lists" in fails(2, capsys, *demo, listed)
    assert "Cannot read" in fails(2, capsys, *demo, listed, tmp_path / "none.csv")
    assert "rename one of them" in fails(2, capsys, *demo, listed, listed)
    other = write(tmp_path / "other.csv", "number\n1\n")
    assert "has no column for `id_number`" in fails(2, capsys, *demo, listed, other)
    file = write(tmp_path / "file", "")
    assert f"Cannot read or write {file}: " in fails(
        2, capsys, "demo", "--rules", rules, "--out", file, "--lists", listed, other
    )


@pytest.mark.parametrize("options", ["--members 1", "--members 1001"])
def test_a_benchmark_that_cannot_be(options: str, capsys: Captured) -> None:
    assert "--members must be" in fails(2, capsys, "bench", *options.split())


# Looking at a list, from end to end


def test_check_for_programs(listed: Path, rules: Path, capsys: Captured) -> None:
    assert cli.main(["check", str(listed), "--rules", str(rules), "--json"]) == 0
    out, _ = capsys.readouterr()
    assert out.count("\n") == 1
    report = json.loads(out.splitlines()[-1])
    assert (report["path"], report["rows"], report["usable"]) == (str(listed), 4, 3)
    assert report["headings"] == ["id_number", "name"]
    assert report["rules"][0]["unusable_rows"] == [4]
    assert report["rules"][0]["repeated"] == 1


def test_check_for_people(listed: Path, rules: Path, capsys: Captured) -> None:
    assert cli.main(["check", str(listed), "--rules", str(rules)]) == 0
    out, _ = capsys.readouterr()
    assert out.startswith(f"{listed}: 4 rows, 3 of them can be compared.")
    assert re.search(r"^id +3 +1 +1 +-:-:A1$", out, re.MULTILINE)


def test_check_with_the_rules_of_the_demo(listed: Path, tmp_path: Path, capsys: Captured) -> None:
    assert cli.main(["check", str(listed)]) == 0
    assert "has no column for `phone`" in capsys.readouterr().out
    whole = write(tmp_path / "whole.csv", "id_number,phone,birth_date\n1,2,3\n")
    assert cli.main(["check", str(whole), "--json"]) == 0
    assert [r["name"] for r in json.loads(capsys.readouterr().out)["rules"]] == ["id", "phone and birth date"]


def test_check_with_columns_of_other_names(tmp_path: Path, rules: Path, capsys: Captured) -> None:
    path = write(tmp_path / "list.csv", "Card.\nA1\n")
    names = write(tmp_path / "columns.toml", '[columns]\nid_number = "Card."\n')
    assert cli.main(["check", str(path), "--rules", str(rules), "--map", str(names), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["usable"] == 1
    assert "none of the tables [columns], [constants] and [list]" in fails(
        2, capsys, "check", path, "--rules", rules, "--map", rules
    )


def test_check_looks_at_the_table_of_a_manifest(tmp_path: Path, capsys: Captured) -> None:
    of = '[[session.statistics.category]]\nfield = "Camp"\nvalues = ["North", "South"]\n'
    terms = write(tmp_path / "terms.toml", f"{of}{ID_RULE}")
    path = write(tmp_path / "list.csv", "id_number,camp\n" + "".join(f"A{k},Camp {k}\n" for k in range(20)))
    assert cli.main(["check", str(path), "--rules", str(terms), "--json"]) == 0
    (off,) = [f for f in json.loads(capsys.readouterr().out)["findings"] if "agreed values" in f["text"]]
    assert (off["severity"], off["column"], off["count"]) == ("stop", "camp", 20)
    other = write(tmp_path / "other.csv", "id_number\nA1\n")
    assert cli.main(["check", str(other), "--rules", str(terms)]) == 2
    assert "has no column for `Camp`" in capsys.readouterr().err


def test_check_with_terms_that_could_not_be_proposed(listed: Path, tmp_path: Path, capsys: Captured) -> None:
    terms = '[session]\nengine = "mpyc"\n[[rule]]\nname = "alike"\nkind = "similar"\n'
    assert 'needs `engine` "replicated"' in fails(2, capsys, "check", listed, "--rules", write(tmp_path / "t", terms))


def test_check_of_what_cannot_be_used(listed: Path, rules: Path, tmp_path: Path, capsys: Captured) -> None:
    check = ["check", listed, "--rules"]
    assert "Cannot read" in fails(2, capsys, "check", tmp_path / "none.csv")
    assert "Cannot read" in fails(2, capsys, *check, tmp_path / "none.toml")
    assert "is not valid TOML" in fails(2, capsys, *check, listed)
    assert "1 to 32 [[rule]] tables" in fails(2, capsys, *check, write(rules, ""))
    assert cli.main(["check", str(listed), "--rules", str(write(rules, ID_RULE.replace("id_number", "Phone")))]) == 2
    assert "has no column for `Phone`" in capsys.readouterr().err
    damaged = write(tmp_path / "list.xlsx", b"PK\x03\x04")
    assert str(damaged) in fails(2, capsys, "check", damaged)
