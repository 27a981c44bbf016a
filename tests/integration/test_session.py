"""Sessions over real daemons with mutual TLS, from proposal to deletion, as their users run them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from parties.cli import main
from parties.errors import SessionRefused
from parties.lifecycle import State
from parties.shares import Shares
from tests.integration.federations import (
    COMMITTEE,
    COORDINATOR,
    MEMBERS,
    NEUTRAL,
    Federation,
    overlapping,
    write_numbers,
)

MANIFEST = """
[session]
title = "Зимова допомога / المساعدة الشتوية"
purpose = "deconfliction of multi-purpose cash before distribution"
members = ["agency-a", "agency-b", "agency-c"]
committee = ["agency-a", "agency-b", "neutral"]
reveal = "members"
max_records = 1000
expires = 2099-12-31T00:00:00Z

[[rule]]
name = "id"
fields = ["id_number"]
"""


def test_every_step_by_hand(federation: Federation, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The commands of product.md, in the order in which people run them."""
    (tmp_path / "manifest.toml").write_text(MANIFEST, "utf-8")
    operator = federation.own(COORDINATOR)

    def run(*command: str, code: int = 0) -> str:
        assert main(command) == code, capsys.readouterr().err
        return capsys.readouterr().out

    session = run("session", "propose", str(tmp_path / "manifest.toml"), *operator).strip()
    assert run("session", "list", *federation.own("agency-c")).startswith(session[:16])
    shown = run("session", "show", session[:8], *federation.own("agency-c"))
    assert "waits for approvals" in shown
    assert "which other members have it too" in shown
    run("session", "run", session, *operator, code=3)
    for name in (*MEMBERS, NEUTRAL):
        run("session", "approve", session, *federation.own(name))
    lists = overlapping(MEMBERS, 65)
    for name, numbers in lists.items():
        path = write_numbers(tmp_path / f"{name}.csv", numbers)
        assert "67 rows as 65 distinct keys" in run("contribute", session, str(path), *federation.own(name))
    run("results", session, "--out", str(tmp_path / "early.csv"), *federation.own("agency-a"), code=3)
    assert "has results to fetch" in run("session", "run", session, *operator)
    record = federation.operator.coordinator.get(bytes.fromhex(session)).record
    federation.check(tmp_path, record, lists)
    out = str(tmp_path / "again.csv")
    summary = json.loads(run("results", session, "--out", out, "--json", *federation.own("agency-b")))
    assert (summary["rows"], summary["not_compared"], summary["same_inside"]) == (67, 1, 1)
    state = json.loads(run("session", "show", session, "--json", *operator))
    assert state["contributed"] == dict.fromkeys(MEMBERS, 65)
    run("session", "close", session, *operator)
    run("session", "close", session, *federation.own("agency-a"))
    run("results", session, "--out", out, *federation.own("agency-b"), code=3)
    run("session", "run", session, *operator, code=3)
    assert not list((federation.configs["agency-a"].folder / "lists").glob(session))
    for name in COMMITTEE:
        store = federation.configs[name].store()
        shares = Shares(store, federation.configs[name].vault())
        assert not shares.uploads(bytes.fromhex(session))
        assert shares.result(bytes.fromhex(session), "agency-a") is None
        story = [entry.sentence for entry in store.entries(bytes.fromhex(session))]
        assert "This node deleted its shares and results: the coordinator closed the session." in story


@pytest.mark.parametrize("reveal", ["flag", "count", "members"])
@pytest.mark.parametrize("rows", [1, 63, 64])
def test_reveals(federation: Federation, tmp_path: Path, reveal: str, rows: int) -> None:
    lists = overlapping(MEMBERS, rows)
    record = federation.ready(tmp_path, lists, reveal=reveal)
    federation.check(tmp_path, federation.operator.run(record.id), lists)


def test_lists_of_very_different_sizes(federation: Federation, tmp_path: Path) -> None:
    lists = {"agency-a": ["X1"], "agency-b": [f"X{k}" for k in range(3000)], "agency-c": ["Y", "X7", "X1"]}
    record = federation.ready(tmp_path, lists, reveal="count")
    federation.check(tmp_path, federation.operator.run(record.id), lists)


def test_members_numbering_and_committee(tmp_path: Path) -> None:
    """Two to ten members; committees with no, one and two neutral nodes."""
    names = [f"agency-{k}" for k in range(10)]
    for committee, sizes in ((names[:3], (3, 10)), ((names[1], "neutral", "host"), (2, 7))):
        with Federation(tmp_path / str(len(set(committee) - set(names))), names, committee) as federation:
            for size in sizes:
                lists = overlapping(names[:size], 40)
                record = federation.ready(tmp_path, lists, reveal="members")
                federation.check(tmp_path, federation.operator.run(record.id), lists)


def test_many_members(tmp_path: Path) -> None:
    names = [f"agency-{k}" for k in range(130)]
    with Federation(tmp_path / "nodes", names, (*names[:2], NEUTRAL)) as federation:
        lists = {name: [f"N{k}", f"N{k + 1}", f"N{k % 7}", "everyone"] for k, name in enumerate(names)}
        lists = {name: list(dict.fromkeys(numbers)) for name, numbers in lists.items()}
        record = federation.ready(tmp_path, lists, reveal="members")
        federation.check(tmp_path, federation.operator.run(record.id), lists)


def test_two_sessions_at_once_queue(federation: Federation, tmp_path: Path) -> None:
    lists = overlapping(MEMBERS, 500)
    records = [federation.ready(tmp_path, lists, title=f"Session {k}") for k in range(3)]
    for record in records:
        federation.operator.coordinator.run(record.id)
    for record in records:
        federation.check(tmp_path, federation.operator.wait(record.id, State.DONE, 60), lists)


def test_launch(federation: Federation, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`session launch` waits for nobody longer than it is told, and reports as JSON."""
    (tmp_path / "manifest.toml").write_text(MANIFEST, "utf-8")
    command = ["session", "launch", str(tmp_path / "manifest.toml"), "--wait-approvals", "1s", "--json"]
    assert main([*command, *federation.own(COORDINATOR)]) == 3
    captured = capsys.readouterr()
    assert "Not yet approved by agency-a, agency-b, agency-c, neutral" in captured.err
    assert captured.out == ""


def test_contributing_again_replaces(federation: Federation, tmp_path: Path) -> None:
    lists = overlapping(MEMBERS, 20)
    record = federation.ready(tmp_path, lists)
    lists["agency-c"] = ["AB000006", "other"]
    federation.member("agency-c").contribute(record.id, write_numbers(tmp_path / "new.csv", lists["agency-c"]))
    federation.check(tmp_path, federation.operator.run(record.id), lists)
    with pytest.raises(SessionRefused, match="contributions are closed"):
        federation.member("agency-c").contribute(record.id, tmp_path / "new.csv")


def test_columns_by_another_name(federation: Federation, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = federation.approved()
    for name in MEMBERS:
        (tmp_path / f"{name}.csv").write_text("Nr.;Ім'я\r\n ab1 ;Олена\r\n", "utf-8-sig")
    (tmp_path / "columns.toml").write_text('[columns]\nid_number = "nr."\n', "utf-8")
    for name in MEMBERS:
        own, path = federation.own(name), str(tmp_path / f"{name}.csv")
        assert main(["contribute", record.id.hex(), path, *own]) == 2
        assert "has no column for `id_number`" in capsys.readouterr().err
        assert main(["contribute", record.id.hex(), path, "--map", str(tmp_path / "columns.toml"), *own]) == 0
    federation.operator.run(record.id)
    own, out = federation.own("agency-b"), tmp_path / "out.csv"
    assert main(["results", record.id.hex(), "--out", str(out), *own]) == 0
    assert out.read_text("utf-8-sig").splitlines()[1] == " ab1 ;Олена;yes;id;;;"


@pytest.mark.parametrize(
    ("session", "sentence"),
    [
        ({"members": ["agency-a", "agency-b"], "committee": ["agency-a", "agency-b"]}, "third, neutral node is needed"),
        ({"committee": ["agency-a", "agency-b"]}, "exactly three nodes"),
        ({"members": ["agency-a", "agency-a", "agency-b"]}, "names agency-a twice"),
        ({"members": ["agency-a", "agency-x"]}, "Not in federation.toml: agency-x"),
        ({"expires": datetime(2020, 1, 1, tzinfo=UTC)}, "expired on 2020-01-01"),
        ({"committee": ["agency-a", "agency-b", "agency-c"]}, "agency-c has no address"),
        ({"members": ["agency-a", COORDINATOR]}, "the coordinator cannot take part"),
        ({"max_records": 0}, "`max_records` must be a whole number"),
        ({"reveal": "names"}, "`reveal` must be flag, grade, count, members or statistics"),
        ({"rule": []}, "there must be 1 to 32"),
    ],
)
def test_terms_that_are_refused(
    federation: Federation,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    session: dict[str, object],
    sentence: str,
) -> None:
    """Each says in one sentence what is wrong, with exit code 2, and leaves no session behind."""
    terms = federation.terms(**session)
    lines = ["[session]", *(f"{k} = {_toml(v)}" for k, v in terms["session"].items())]
    for rule in terms["rule"]:
        lines += ["[[rule]]", *(f"{k} = {_toml(v)}" for k, v in rule.items())]
    (tmp_path / "manifest.toml").write_text("\n".join(lines), "utf-8")
    before = len(federation.operator.coordinator.sessions())
    assert main(["session", "propose", str(tmp_path / "manifest.toml"), *federation.own(COORDINATOR)]) == 2
    assert sentence in capsys.readouterr().err
    assert len(federation.operator.coordinator.sessions()) == before


def _toml(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else json.dumps(value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"id_number\n", "has no rows below its heading"),
        (b"", "is empty"),
        (b"number\n1\n", "has no column for `id_number`"),
        (b"id_number,x\n1\n", "row 2 (line 2): 1 cell where the heading has 2"),
        (b"id_number,x\n,1\n ,2\n", "No row of"),
        (b"PK\x03\x04 and so on", "is a damaged workbook"),
        (b"\xff\xfei\x00d\x00", "has no rows below its heading"),
        (b"id_number\n" + b"1\n" * 101, "has 101 rows; the session allows 100"),
    ],
)
def test_lists_that_are_refused(
    federation: Federation, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, sentence: str
) -> None:
    """Each says in one sentence what is wrong, with exit code 2; no node hears of it."""
    record = federation.approved(max_records=100)
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    assert main(["contribute", record.id.hex(), str(path), *federation.own("agency-a")]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert path.read_bytes() == content
    assert federation.operator.coordinator.get(record.id).commitments == {}
    assert not (federation.configs["agency-a"].folder / "lists" / record.id.hex() / "list").exists()


def test_refusal_ends_a_session(federation: Federation, capsys: pytest.CaptureFixture[str]) -> None:
    record = federation.approved()
    own = federation.own(NEUTRAL)
    assert main(["session", "refuse", record.id.hex(), "--reason", "no agreement\nwith agency-c", *own]) == 0
    assert main(["session", "run", record.id.hex(), *federation.own(COORDINATOR)]) == 3
    capsys.readouterr()
    assert main(["session", "show", record.id.hex(), *own]) == 0
    assert "neutral: no agreement with agency-c" in capsys.readouterr().out


def test_what_is_not_ones_own(federation: Federation, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Members cannot run or close sessions, strangers to a session see nothing of it."""
    record = federation.approved(members=["agency-a", "agency-b"])
    path = str(write_numbers(tmp_path / "list.csv", ["1"]))
    session = record.id.hex()
    assert main(["session", "show", session, *federation.own("agency-c")]) == 3
    assert main(["contribute", session, path, *federation.own("agency-c")]) == 3
    assert main(["contribute", session, path, *federation.own(NEUTRAL)]) == 3
    assert "not a member" in capsys.readouterr().err
    with pytest.raises(SessionRefused, match="operator"):
        federation.member("agency-a").coordinator.run(record.id)
    with pytest.raises(SessionRefused, match="operator"):
        federation.member("agency-a").coordinator.close(record.id)
    with pytest.raises(SessionRefused, match="operator"):
        federation.member("agency-a").coordinator.propose(record.manifest)
