"""Certificates over real connections: who is accepted, and what changes under a running listener."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from mpc.channel import Mailbox
from mpc.committee import PARTIES
from parties import config, transport
from parties.config import Config
from parties.errors import PeerIdentityError, PeerUnavailable
from parties.federation import Federation, Node, entry_of
from parties.identity import Identity, utc_now
from parties.loopback import free_port
from parties.transport import Caller, ExchangeChannel, calling, dial, listen, refuse
from tests.parties.samples import federate, write

NAMES = ("agency-a", "agency-b", "agency-c")
WHO = "/matchbit.v1.NodeService/Who"
HUNG_UP = r"agency-a hung up: .* its federation\.toml does not hold our certificate"
SHOWS_ANOTHER = r"agency-a does not show the certificate that federation\.toml pins"


class Nodes:
    """agency-a listens and tells callers who they are; agency-b calls."""

    def __init__(self, folder: Path) -> None:
        configs = federate(folder, ["agency-a", "agency-b"], {"agency-a": f"127.0.0.1:{free_port()}"})
        self.a, self.b = configs["agency-a"], configs["agency-b"]
        self.keys = self.b.identity()
        self.server = listen(self.a, lambda server: server.add_generic_rpc_handlers([Who(self.a)]))

    def pin(self, *entries: Node) -> None:
        """Let agency-a's federation.toml hold these entries besides those that it has."""
        known: Federation = self.a.federation()
        for entry in entries:
            known = known.with_own(entry)
        write(self.a.federation_path, "\n".join(node.entry() for node in known.nodes.values()))

    def call(self, keys: Identity, pinned: Node | None = None) -> str:
        """Who agency-a says is calling, on a new connection."""
        connection = dial(keys, pinned or self.b.federation()["agency-a"])
        try:
            return ask(connection)
        finally:
            connection.close()


class Who(grpc.GenericRpcHandler):
    """Answers with the caller's name, by the federation of the moment."""

    def __init__(self, own: Config) -> None:
        self._own = own

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        def who(_request: bytes, context: grpc.ServicerContext) -> bytes:
            try:
                return Caller(self._own.federation(), context).name.encode()
            except PeerIdentityError as error:
                refuse(context, error)

        return grpc.unary_unary_rpc_method_handler(who) if handler_call_details.method == WHO else None


def ask(connection: grpc.Channel) -> str:
    with calling("agency-a"):
        answer: bytes = connection.unary_unary(WHO)(b"", timeout=10)
    return answer.decode()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    running = Nodes(tmp_path)
    yield running
    running.server.stop(None).wait()


def test_a_caller_rotates_its_certificate(nodes: Nodes) -> None:
    """The old one is accepted, then both, then the new one alone; the listener is never stopped."""
    begun = nodes.keys.rotating(utc_now())
    old, new = nodes.keys, begun.rotated()
    assert nodes.call(old) == "agency-b"
    with pytest.raises(PeerUnavailable, match=HUNG_UP):
        nodes.call(new)
    nodes.pin(entry_of(begun, "", False))
    assert nodes.call(old) == nodes.call(new) == "agency-b"
    nodes.pin(entry_of(new, "", False))
    assert nodes.call(new) == "agency-b"
    with pytest.raises(PeerUnavailable, match=HUNG_UP):
        nodes.call(old)


def test_a_listener_rotates_its_certificate(nodes: Nodes) -> None:
    begun = nodes.a.identity().rotating(utc_now())
    address = nodes.a.listen
    old, both, new = (entry_of(keys, address, False) for keys in (nodes.a.identity(), begun, begun.rotated()))
    begun.save(nodes.a.folder, nodes.a.vault())
    assert nodes.call(nodes.keys, old) == nodes.call(nodes.keys, both) == "agency-b"
    with pytest.raises(PeerIdentityError, match=SHOWS_ANOTHER):
        nodes.call(nodes.keys, new)
    begun.rotated().save(nodes.a.folder, nodes.a.vault())
    assert nodes.call(nodes.keys, both) == nodes.call(nodes.keys, new) == "agency-b"
    with pytest.raises(PeerIdentityError, match=SHOWS_ANOTHER):
        nodes.call(nodes.keys, old)


def test_a_node_that_was_added_is_let_in_and_one_that_was_removed_is_not(nodes: Nodes, tmp_path: Path) -> None:
    newcomer = config.create("agency-c", tmp_path / "agency-c", "", False).identity()
    with pytest.raises(PeerUnavailable, match=HUNG_UP):
        nodes.call(newcomer)
    before = nodes.a.federation_path.read_bytes()
    nodes.pin(entry_of(newcomer, "", False))
    assert nodes.call(newcomer) == "agency-c"
    write(nodes.a.federation_path, before)
    with pytest.raises(PeerUnavailable, match=HUNG_UP):
        nodes.call(newcomer)


def test_a_connection_that_stands_is_held_to_the_federation_at_every_call(nodes: Nodes) -> None:
    connection = dial(nodes.keys, nodes.b.federation()["agency-a"])
    assert ask(connection) == "agency-b"
    nodes.pin(entry_of(nodes.keys.rotating(utc_now()).rotated(), "", False))
    with pytest.raises(PeerIdentityError, match=r"not in this node's federation\.toml"):
        ask(connection)
    connection.close()


def test_files_that_are_broken_under_a_listener_change_nothing(nodes: Nodes, caplog: pytest.LogCaptureFixture) -> None:
    write(nodes.a.federation_path, "[[node")
    write(nodes.a.folder / "identity.sealed", "cut")
    for _ in range(3):
        assert nodes.call(nodes.keys) == "agency-b"
    assert sorted({record.levelno for record in caplog.records}) == [logging.ERROR]
    assert caplog.text.count("is not valid TOML") == 1
    assert caplog.text.count("identity.sealed") == 1


def test_where_one_stream_does_not_end_the_other_is_ended_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        own, *others = federate(tmp_path, NAMES, dict.fromkeys(NAMES, address)).values()
        peers = {party: own.federation()[other.name] for party, other in zip(PARTIES[1:], others, strict=False)}
        channel = ExchangeChannel(Mailbox(1.0), bytes(32), 1, peers, own.identity())
        monkeypatch.setattr(transport, "CALL_TIMEOUT_S", 0.1)
        with pytest.raises(PeerUnavailable, match="A peer does not end its stream"):
            channel.close(done=True)
        assert [stream._call.done() for stream in channel._streams.values()] == [True, True]
