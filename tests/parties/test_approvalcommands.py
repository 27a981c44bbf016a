"""`matchbit session approve`, `refuse` and `pending`, with a real coordinator."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from parties import cli
from parties.lifecycle import State
from tests.parties.proposing import STANDING, TWO, Hub, listening, node


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with listening(tmp_path) as made:
        yield made


def test_the_command_shows_what_waits_and_why(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["session", "pending", *hub.own("agency-a")]) == 0
    assert capsys.readouterr().out == "No proposal waits for this node.\n"
    session_id = hub.propose()
    node(hub, policy=TWO)
    assert cli.main(["session", "pending", *hub.own("agency-a")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["id", "title", "policy", "waits", "for", "done"]
    short = session_id.hex()[:16]
    assert re.split(" {2,}", lines[2]) == [short, "Session 1", "person", "Data protection, Programme", "-"]
    why = "Data protection, Programme must read the terms, and approve or refuse them."
    assert lines[-2:] == [session_id.hex(), f"  {why}"]
    assert cli.main(["session", "pending", "--json", *hub.own("agency-a")]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "sessions": [
            {"id": session_id.hex(), "title": "Session 1", "policy": "person", "reasons": [why],
             "waits_for": ["Data protection", "Programme"], "done": "", "failure": ""}
        ]
    }  # fmt: skip


def test_the_command_acts(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.propose()
    terms = hub.terms()
    hub.store.add_session(replace(terms, nodes={**terms.nodes, "agency-b": "00" * 32}), State.PROPOSED)
    node(hub, policy=STANDING)
    assert cli.main(["session", "pending", "--act", "--json", *hub.own("agency-a")]) == 3
    out, error = capsys.readouterr()
    assert [s["done"] for s in json.loads(out)["sessions"]] == ["approved", ""]
    assert "matchbit: Of 2 proposals 1 could not be answered; see why above." in error
    assert cli.main(["session", "pending", "--act", *hub.own("agency-a")]) == 3
    assert "The session pins other keys for agency-b" in capsys.readouterr().out


def test_approving_and_refusing_by_command(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    session_id = hub.propose()
    node(hub, policy=TWO)
    approve = ["session", "approve", session_id.hex(), *hub.own("agency-a")]
    assert cli.main(approve) == 2
    assert cli.main(["session", "approve", session_id.hex()[:62], *hub.own("agency-a"), "--by", "Programme"]) == 2
    assert "Approving needs the session's whole id of 64 digits" in capsys.readouterr().err
    assert hub.store.get(session_id).signatures == {}
    assert cli.main([*approve, "--by", "Director"]) == 3
    capsys.readouterr()
    what = f"'Session 1' ({session_id.hex()[:16]})"
    assert cli.main([*approve, "--by", "Programme"]) == 0
    says = f"Programme consents to {what}; agency-a still waits for Data protection.\n"
    assert capsys.readouterr().out == says
    assert cli.main([*approve, "--by", "Data protection"]) == 0
    assert capsys.readouterr().out == f"agency-a approved {what}.\n"
    assert cli.main(["session", "refuse", session_id.hex()[:8], "--reason", "no", *hub.own("agency-b")]) == 0
    assert capsys.readouterr().out == "agency-b refused 'Session 1'.\n"
    assert hub.store.get(session_id).state is State.REFUSED
