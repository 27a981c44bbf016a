"""`matchbit audit` at real nodes, with a coordinator that listens where one is asked."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from parties import auditfile, calls, cli
from parties.audit import NODE, Event
from parties.config import Config
from parties.coordinator import SessionServicer
from parties.lifecycle import State
from parties.loopback import free_port
from parties.manifest import Manifest
from parties.registry import Registry
from parties.runner import Runner
from parties.service import NodeServicer
from parties.transport import listen
from protos.matchbit.v1.node_pb2_grpc import add_NodeServiceServicer_to_server
from protos.matchbit.v1.session_pb2_grpc import add_SessionServiceServicer_to_server
from tests.parties.auditing import COUNTS, DIGEST
from tests.parties.samples import JARGON, approvals, federate, terms_of

NAMES = ("agency-a", "agency-b", "agency-c", "neutral")
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def nodes(tmp_path: Path) -> dict[str, Config]:
    return federate(tmp_path, NAMES, {"hub": f"127.0.0.1:{free_port()}"})


@pytest.fixture
def terms(nodes: dict[str, Config]) -> Manifest:
    """Terms that every node knows, and some that has happened."""
    terms = terms_of(nodes)
    for config in nodes.values():
        store = config.store()
        store.add_session(terms, State.APPROVED, approvals(nodes, terms))
        store.log(terms.session_id, Event.RECEIVED, member="agency-c", **COUNTS)
    return terms


@contextmanager
def listening(hub: Config) -> Iterator[None]:
    """The coordinator while it is up."""
    store = hub.store()
    registry, committee = Registry(hub.name, store, hub.federation), calls.Committee(hub, store)
    sessions = SessionServicer(registry, Runner(registry, committee, hub.step_timeout_s), committee)

    def add(server: grpc.Server) -> None:
        add_SessionServiceServicer_to_server(sessions, server)
        add_NodeServiceServicer_to_server(NodeServicer(hub, "coordinator", store), server)

    server = listen(hub, add)
    try:
        yield
    finally:
        server.stop(0).wait()


def tell(config: Config, terms: Manifest) -> None:
    """Let the coordinator hear how a node's log stands."""
    heads = config.store().latest_heads(terms.session_id)
    calls.Coordinator(config, config.federation()).exchange_heads(terms.session_id, heads)


def run(code: int, capsys: Captured, own: Config, *argv: object) -> tuple[str, str]:
    """One command of a node: what it prints, and says of errors."""
    arguments = [*map(str, argv), "--config", str(own.folder / "node.toml")]
    assert cli.main(["audit", *arguments]) == code
    out, error = capsys.readouterr()
    assert not any(word in out + error for word in JARGON)
    return out, error


def tamper(own: Config, statement: str) -> None:
    """What somebody does who has the file, but not the node's program."""
    connection = sqlite3.connect(own.database)
    assert connection.execute(statement).rowcount > 0
    connection.commit()
    connection.close()


# verify


def test_a_nodes_own_log(nodes: dict[str, Config], terms: Manifest, capsys: Captured) -> None:
    own = nodes["agency-a"]
    own.store().log(NODE, Event.STARTED, version="0.1.0")
    out, error = run(0, capsys, own, "verify", "--offline")
    assert [line.split() for line in out.splitlines()[2:]] == [
        ["agency-a", "the", "node", "itself", "1", "0", "intact"],
        ["agency-a", terms.session_id.hex()[:16], "3", "0", "intact"],
    ]
    assert error == ""


def test_nothing_logged_yet(nodes: dict[str, Config], capsys: Captured) -> None:
    assert run(0, capsys, nodes["agency-a"], "verify")[0] == "Nothing has been logged here yet.\n"


def test_a_log_is_compared_with_what_the_coordinator_holds(
    nodes: dict[str, Config], terms: Manifest, capsys: Captured
) -> None:
    own = nodes["agency-a"]
    with listening(nodes["hub"]):
        tell(own, terms)
        out, _ = run(0, capsys, own, "verify")
        assert out.splitlines()[2].split()[-2:] == ["1", "intact"]
        tamper(own, "DELETE FROM entries WHERE number = 3")
        out, error = run(5, capsys, own, "verify")
    assert "NOT INTACT" in out
    assert "ends at entry 2, but hub holds its statement on entry 3" in out
    assert error.startswith("matchbit: 1 of 1 logs are not as their nodes wrote them")
    run(0, capsys, own, "verify", "--offline")


def test_a_coordinator_that_cannot_be_asked_is_told_after_what_was_found(
    nodes: dict[str, Config], terms: Manifest, capsys: Captured
) -> None:
    out, error = run(4, capsys, nodes["agency-a"], "verify")
    assert out.splitlines()[2].split()[-1] == "intact"
    assert "hub cannot be reached" in error
    assert "The log was checked by itself only" in error
    tamper(nodes["agency-a"], "DELETE FROM entries WHERE number = 2")
    run(5, capsys, nodes["agency-a"], "verify")


def test_a_coordinator_that_knows_nothing_of_a_session(
    nodes: dict[str, Config], terms: Manifest, capsys: Captured
) -> None:
    tamper(nodes["hub"], "DELETE FROM signatures")
    tamper(nodes["hub"], "DELETE FROM sessions")
    with listening(nodes["hub"]):
        assert run(0, capsys, nodes["agency-a"], "verify")[0].splitlines()[2].split()[-2:] == ["0", "intact"]


def test_the_coordinator_does_not_ask_itself(nodes: dict[str, Config], terms: Manifest, capsys: Captured) -> None:
    run(0, capsys, nodes["hub"], "verify")


def test_an_entry_that_cannot_even_be_read(nodes: dict[str, Config], terms: Manifest, capsys: Captured) -> None:
    tamper(nodes["agency-a"], "UPDATE entries SET facts = '[' WHERE number = 3")
    out, _ = run(5, capsys, nodes["agency-a"], "verify", "--offline")
    assert "Entry 3 of the log of agency-a cannot be read: it was changed." in out


def test_exports_of_several_parties(
    nodes: dict[str, Config], terms: Manifest, tmp_path: Path, capsys: Captured
) -> None:
    with listening(nodes["hub"]):
        for name in NAMES:
            tell(nodes[name], terms)
    files = {name: tmp_path / f"{name}.jsonl" for name in (*NAMES, "hub")}
    for name, path in files.items():
        run(0, capsys, nodes[name], "export", terms.session_id.hex(), "--out", path)
    out, error = run(0, capsys, nodes["agency-b"], "verify", *files.values())
    assert [line.split()[-2:] for line in out.splitlines()[2:]] == [["1", "intact"]] * 4 + [["0", "intact"]]
    assert error == ""
    tamper(nodes["agency-a"], "DELETE FROM entries WHERE number >= 3")
    run(0, capsys, nodes["agency-a"], "export", terms.session_id.hex(), "--out", files["agency-a"])
    out, error = run(5, capsys, nodes["agency-b"], "verify", *files.values())
    assert "agency-a ends at entry 2, but hub holds its statement on entry 3" in out
    assert "ask the operators of the nodes that are named" in error


def test_remarks_are_told(nodes: dict[str, Config], terms: Manifest, tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "a.jsonl"
    own = nodes["agency-a"]
    run(0, capsys, own, "export", terms.session_id.hex()[:8], "--out", path)
    federation = own.federation_path.read_text("utf-8")
    own.federation_path.write_text(
        federation[: federation.index('name = "agency-b"')].rpartition("[[node]]")[0], "utf-8"
    )
    out, _ = run(0, capsys, own, "verify", path)
    assert out.splitlines()[2].endswith("  intact, with remarks")
    where = f"agency-a, {terms.session_id.hex()[:16]}"
    assert f"{where}: agency-b is not in federation.toml: what it signed was not checked." in out


def test_what_is_no_export(nodes: dict[str, Config], tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "list.csv"
    path.write_text("id_number,name\n")
    out, error = run(2, capsys, nodes["agency-a"], "verify", path)
    assert out == ""
    assert f"{path}, line 1, is not of a log that `matchbit audit export --out` wrote" in error
    assert "Cannot read or write" in run(2, capsys, nodes["agency-a"], "verify", tmp_path / "none")[1]


# export


def test_a_story(nodes: dict[str, Config], terms: Manifest, capsys: Captured) -> None:
    out, error = run(0, capsys, nodes["neutral"], "export", terms.session_id.hex()[:8].upper())
    assert out.startswith("Winter cash\nAs told by the log of neutral, of session ")
    flat = " ".join(out.split())
    assert "signed by agency-a, agency-b, agency-c, neutral" in flat
    assert "agency-c 1,000 records, 200 of them new; 1,950 keys" in flat
    assert "3 entries without a gap, each signed by neutral" in flat
    assert error == ""


def test_a_member_that_keeps_no_terms_asks_for_them(
    nodes: dict[str, Config], terms: Manifest, capsys: Captured
) -> None:
    own, session = nodes["agency-c"], terms.session_id.hex()
    tamper(own, "DELETE FROM signatures")
    tamper(own, "DELETE FROM sessions")
    with listening(nodes["hub"]):
        out, error = run(0, capsys, own, "export", session)
    assert out.startswith("Winter cash\n")
    assert "agency-a, agency-b, agency-c, neutral" in out
    assert error == ""
    out, error = run(0, capsys, own, "export", session)
    assert out.startswith("What happened at agency-c\n")
    assert "What happened" in out
    assert "What was agreed" not in out
    assert "The terms are not kept here, and the coordinator did not give them: hub cannot be reached" in error


def test_a_story_for_programs(nodes: dict[str, Config], terms: Manifest, capsys: Captured) -> None:
    out, _ = run(0, capsys, nodes["neutral"], "export", terms.session_id.hex(), "--json")
    assert out.count("\n") == 1
    told = json.loads(out)
    assert (told["node"], told["session"], told["intact"]) == ("neutral", terms.session_id.hex(), True)
    assert told["terms"]["title"] == "Winter cash"
    assert told["approved"] == sorted(NAMES)
    assert [entry["event"] for entry in told["entries"]] == ["proposed", "approvals", "received"]
    assert told["entries"][-1]["facts"] == {"member": "agency-c", **COUNTS}
    assert told["entries"][-1]["sentence"].startswith("This node received shares of agency-c")


def test_a_file_and_a_page(nodes: dict[str, Config], terms: Manifest, tmp_path: Path, capsys: Captured) -> None:
    own, session = nodes["neutral"], terms.session_id.hex()
    file, page = tmp_path / "log.jsonl", tmp_path / "story.html"
    _, error = run(0, capsys, own, "export", session, "--out", file, "--page", page)
    assert error == f"{file} has all that neutral logged of it.\n"
    assert auditfile.read(file).entries == own.store().entries(terms.session_id)
    assert "<h1" in page.read_text("utf-8")
    assert (file.stat().st_mode | page.stat().st_mode) & 0o077 == 0
    own.store().log(terms.session_id, Event.COMPUTED, attempt=1, group_sizes=[7, 2], seconds=3)
    _, error = run(0, capsys, own, "export", session, "--out", file)
    assert "also how many keys are shared: give it to those only who may know that" in error
    assert "--page a name of its own" in run(2, capsys, own, "export", session, "--page", tmp_path / "x.txt")[1]


def test_what_mpyc_does_not_open_is_not_warned_of(nodes: dict[str, Config], tmp_path: Path, capsys: Captured) -> None:
    own, terms = nodes["neutral"], terms_of(nodes, engine="mpyc")
    own.store().add_session(terms, State.APPROVED, approvals(nodes, terms))
    own.store().log(terms.session_id, Event.COMPUTED, attempt=1, group_sizes=[], seconds=3)
    file = tmp_path / "log.jsonl"
    _, error = run(0, capsys, own, "export", terms.session_id.hex(), "--out", file)
    assert error == f"{file} has all that neutral logged of it.\n"


def test_the_nodes_own_events(nodes: dict[str, Config], terms: Manifest, capsys: Captured) -> None:
    nodes["neutral"].store().log(NODE, Event.ROTATED, certificate=DIGEST)
    out, _ = run(0, capsys, nodes["neutral"], "export", "node")
    assert out.startswith("What happened at neutral\n")
    assert "This node began to use the certificate 0123456789abcdef." in out
    assert "Winter cash" not in out


def test_a_story_that_cannot_be_believed_is_told_with_a_warning(
    nodes: dict[str, Config], terms: Manifest, capsys: Captured
) -> None:
    tamper(nodes["neutral"], "UPDATE entries SET at = replace(at, '-', '/') WHERE number = 2")
    out, error = run(5, capsys, nodes["neutral"], "export", terms.session_id.hex())
    assert "Entry 2 of the log of neutral is not signed" in out
    assert "Entry 2 of the log of neutral is not signed" in error


@pytest.mark.parametrize("text", ["", "abcdef0", "ffffffffff", "winter", "../../etc"])
def test_a_session_that_is_not_logged(nodes: dict[str, Config], terms: Manifest, text: str, capsys: Captured) -> None:
    assert f"Nothing is logged here of a session `{text}`" in run(2, capsys, nodes["neutral"], "export", text)[1]


def test_digits_that_fit_two_sessions(nodes: dict[str, Config], terms: Manifest, capsys: Captured) -> None:
    store = nodes["neutral"].store()
    store.log(terms.session_id[:8] + bytes(24), Event.EXPIRED)
    assert "give more of them" in run(2, capsys, nodes["neutral"], "export", terms.session_id.hex()[:16])[1]
    run(0, capsys, nodes["neutral"], "export", terms.session_id.hex()[:18])
