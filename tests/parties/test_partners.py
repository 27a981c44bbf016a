"""Asking nodes how they are, over real connections: those that are well, those that are not, and those that lie."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from parties import config as configs
from parties import doctor, partners, protocols
from parties.config import Config
from parties.doctor import Diagnosis, Grade
from parties.errors import ConfigError, PeerIdentityError, PeerUnavailable
from parties.loopback import free_port
from parties.partners import Answer
from parties.transport import listen
from protos.matchbit.v1 import node_pb2 as pb
from protos.matchbit.v1.node_pb2_grpc import NodeServiceServicer, add_NodeServiceServicer_to_server
from tests.parties.samples import federate

OK, WARNING, FAIL = Grade.OK, Grade.WARNING, Grade.FAIL


class Neutral(NodeServiceServicer):
    """Says what a test wants of it, besides the truth."""

    def __init__(self, ahead_s: float, **said: Any) -> None:
        self._ahead_s, self._said = ahead_s, said

    def GetNode(self, _request: Any, _context: Any) -> pb.GetNodeResponse:  # noqa: N802
        said: dict[str, Any] = {"name": "neutral", "version": protocols.program(), "protocols": protocols.SUPPORTED}
        return pb.GetNodeResponse(**said | self._said, unix_ms=round((time.time() + self._ahead_s) * 1000))


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Config]:
    """agency-a asks; the neutral node listens, or a test's idea of it; the coordinator does not run."""
    known = {"neutral": f"127.0.0.1:{free_port()}", "hub": f"127.0.0.1:{free_port()}"}
    return federate(tmp_path_factory.mktemp("nodes"), ("agency-a", "neutral"), known)


@contextmanager
def answering(config: Config, ahead_s: float = 0.0, *, stopping: bool = False, **said: Any) -> Iterator[None]:
    """While the neutral node listens."""
    health = HealthServicer()

    def add(server: grpc.Server) -> None:
        add_HealthServicer_to_server(health, server)
        add_NodeServiceServicer_to_server(Neutral(ahead_s, **said), server)

    server = listen(config, add)
    if stopping:
        health.enter_graceful_shutdown()
    try:
        yield
    finally:
        server.stop(None).wait()


def ask(nodes: dict[str, Config]) -> Answer:
    own = nodes["agency-a"]
    return partners.ask(own, own.federation()["neutral"])


def seen(nodes: dict[str, Config]) -> list[Diagnosis]:
    """What agency-a's doctor finds of the neutral node."""
    return [found for found in doctor.examine(nodes["agency-a"]) if found.subject == "neutral"]


def test_a_node_that_is_well(nodes: dict[str, Config]) -> None:
    with answering(nodes["neutral"]):
        answer = ask(nodes)
        assert (answer.name, answer.version, answer.protocols) == ("neutral", protocols.program(), (1,))
        assert answer.is_serving
        assert abs(answer.ahead_s) <= answer.uncertain_s + 0.002  # its clock is ours; told in whole milliseconds
        assert [found.grade for found in seen(nodes)] == [OK, OK]


@pytest.mark.parametrize("ahead_s", [5.0, -5.0, 3600.0, -3600.0])
def test_clocks_that_differ(nodes: dict[str, Config], ahead_s: float) -> None:
    with answering(nodes["neutral"], ahead_s):
        assert ask(nodes).ahead_s == pytest.approx(ahead_s, abs=1.0)
        clock = seen(nodes)[-1]
    assert clock.grade is (WARNING if abs(ahead_s) < 60 else FAIL)
    assert ("ahead of ours" if ahead_s > 0 else "behind ours") in clock.text
    assert "NTP" in clock.text


def test_a_clock_is_not_blamed_for_a_slow_line() -> None:
    slow = Answer("neutral", "1", (1,), ahead_s=4.0, uncertain_s=3.0, is_serving=True)
    assert doctor._clock(slow)[0] is OK
    assert doctor._clock(replace(slow, uncertain_s=1.0))[0] is WARNING


@pytest.mark.parametrize(
    ("said", "grades", "told"),
    [
        ({"version": "9.9"}, [OK, WARNING, OK], "It runs 9.9, this node"),
        ({"protocols": (2, 3)}, [OK, FAIL, OK], "agency-a version 1: agency-a must update Matchbit"),
        ({"protocols": ()}, [OK, FAIL, OK], "neutral must update Matchbit"),
        ({"protocols": (1, 2)}, [OK, OK], "takes new work"),
        ({"name": "agency-b"}, [FAIL, OK, OK], "calls itself agency-b"),
        ({"stopping": True}, [WARNING, OK], "being stopped"),
    ],
)
def test_nodes_that_are_not_well(
    nodes: dict[str, Config], said: dict[str, Any], grades: list[Grade], told: str
) -> None:
    with answering(nodes["neutral"], **said):
        found = seen(nodes)
    assert [each.grade for each in found] == grades
    assert told in " ".join(each.text for each in found)


def test_words_of_a_node_are_cut(nodes: dict[str, Config]) -> None:
    with answering(nodes["neutral"], version="x" * 10_000, protocols=range(1, 2000)):
        answer = ask(nodes)
    assert len(answer.version) == partners.MAX_VERSION_CHARS
    assert len(answer.protocols) == partners.MAX_PROTOCOLS


def test_a_node_that_does_not_run(nodes: dict[str, Config]) -> None:
    with pytest.raises(PeerUnavailable, match="neutral cannot be reached"):
        ask(nodes)
    (found,) = seen(nodes)
    assert found.grade is FAIL
    assert "neutral cannot be reached" in found.text


def test_a_node_that_shows_another_certificate(nodes: dict[str, Config], tmp_path: Path) -> None:
    other = configs.create("neutral", tmp_path / "other", nodes["neutral"].listen, coordinator=False)
    write_known = (nodes["neutral"].federation_path).read_text("utf-8").split("[[node]]")
    mine = (other.folder / "entry.toml").read_text("utf-8")
    kept = [entry for entry in write_known[1:] if 'name = "neutral"' not in entry]
    other.federation_path.write_text("\n".join([mine, *(f"[[node]]{entry}" for entry in kept)]), "utf-8")
    with answering(other), pytest.raises(PeerIdentityError, match="does not show the certificate"):
        ask(nodes)


def test_a_node_from_before_it_could_be_asked(nodes: dict[str, Config]) -> None:
    server = listen(nodes["neutral"], lambda _: None)
    try:
        with pytest.raises(PeerUnavailable, match="neutral runs a Matchbit that cannot tell how it is; it must update"):
            ask(nodes)
    finally:
        server.stop(None).wait()


def test_nodes_are_asked_together_and_each_answers_for_itself(nodes: dict[str, Config]) -> None:
    own = nodes["agency-a"]
    with answering(nodes["neutral"]):
        answers = partners.ask_all(own, [own.federation()[name] for name in ("hub", "neutral")])
    assert isinstance(answers["hub"], PeerUnavailable)
    assert isinstance(answers["neutral"], Answer)


# One's own service


def test_ones_own_service(nodes: dict[str, Config]) -> None:
    own = nodes["neutral"]
    with answering(own):
        partners.check_own(own)
        assert [d.grade for d in doctor.examine(own) if d.subject == "service"] == [OK]
    with answering(own, stopping=True), pytest.raises(PeerUnavailable, match=r"^neutral is being stopped\.$"):
        partners.check_own(own)
    with pytest.raises(PeerUnavailable, match="cannot be reached"):
        partners.check_own(own)


def test_ones_own_service_is_older_than_what_is_installed(nodes: dict[str, Config]) -> None:
    own = nodes["neutral"]
    with answering(own, version="0.0.1"):
        ((grade, text),) = [(d.grade, d.text) for d in doctor.examine(own) if d.subject == "service"]
    assert grade is WARNING
    assert "restart it" in text


@pytest.mark.parametrize(
    ("listens_on", "asked_at"),
    [
        ("0.0.0.0:7700", "127.0.0.1:7700"),
        ("[::]:7700", "[::1]:7700"),
        ("10.0.0.7:7700", "10.0.0.7:7700"),
        ("node.example.org:7700", "node.example.org:7700"),
        ("", ""),
    ],
)
def test_where_ones_own_service_is_asked(nodes: dict[str, Config], listens_on: str, asked_at: str) -> None:
    assert partners.own_node(replace(nodes["neutral"], listen=listens_on)).address == asked_at


def test_a_node_that_does_not_listen_cannot_be_asked(nodes: dict[str, Config]) -> None:
    with pytest.raises(ConfigError):
        partners.check_own(nodes["agency-a"])
