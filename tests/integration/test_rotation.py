"""A committee node's certificate is replaced while every daemon runs and a session is under way."""

from __future__ import annotations

from pathlib import Path

from parties import cli
from tests.integration.federations import MEMBERS, Federation, overlapping

ROTATING = "agency-b"


def distribute(nodes: Federation) -> None:
    """What operators do with an entry that they are sent."""
    entry = str(nodes.configs[ROTATING].folder / "entry.toml")
    for name in nodes.configs:
        assert name == ROTATING or cli.main(["node", "update", entry, *nodes.own(name)]) == 0
    nodes._members.clear()  # members' next commands are new processes


def test_no_session_and_no_daemon_is_stopped(tmp_path: Path) -> None:
    lists = overlapping(MEMBERS, 30)
    with Federation(tmp_path / "nodes") as running:
        first, second = (running.ready(tmp_path, lists) for _ in range(2))
        processes = {name: running.pid(name) for name in running.daemons}
        before = running.configs[ROTATING].identity().certificate
        assert cli.main(["node", "rotate", *running.own(ROTATING)]) == 0
        distribute(running)
        assert cli.main(["node", "rotate", "--finish", *running.own(ROTATING)]) == 0
        assert running.configs[ROTATING].identity().certificate != before
        running.check(tmp_path, running.operator.run(first.id), lists)  # others pin both
        distribute(running)
        running.check(tmp_path, running.operator.run(second.id), lists)  # others pin the new one alone
        assert {name: running.pid(name) for name in running.daemons} == processes
