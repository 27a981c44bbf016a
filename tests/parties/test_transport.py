"""Certificates over real connections: who is accepted, and what changes under a running listener."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest

from mpc.channel import MAX_MESSAGE_BYTES, Mailbox
from mpc.committee import PARTIES
from mpc.errors import PeerError
from parties import config, transport
from parties.admission import who_calls
from parties.errors import PeerIdentityError, PeerUnavailable, SessionRefused, TooManyCalls
from parties.federation import Federation, Node, entry_of
from parties.identity import Identity, utc_now
from parties.loopback import free_port
from parties.transport import ExchangeChannel, add_exchange, calling, dial, from_rpc, listen
from protos.matchbit.v1.committee_pb2 import ExchangeResponse
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
        self.server = listen(self.a, lambda server: server.add_generic_rpc_handlers([Who()]))

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

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        def who(_request: bytes, _context: grpc.ServicerContext) -> bytes:
            return who_calls().encode()

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


def test_a_node_is_known_by_its_own_name_only(nodes: Nodes) -> None:
    """gRPC's words of it end like a sentence."""
    other = replace(nodes.b.federation()["agency-a"], name="agency-c")
    with pytest.raises(PeerIdentityError, match=r"^agency-a does not show the certificate that federation\.toml pins"):
        nodes.call(nodes.keys, other)


def test_words_that_are_not_the_called_nodes_are_not_told_as_its_own() -> None:
    def refused(code: grpc.StatusCode, **said: str) -> tuple[type[Exception], str]:
        error = from_rpc("agency-a", Failed(code, "The list is too long.", said))
        return type(error), str(error)

    said = {"matchbit-said": "1"}
    assert refused(grpc.StatusCode.FAILED_PRECONDITION, **said) == (SessionRefused, "The list is too long.")
    assert refused(grpc.StatusCode.UNAVAILABLE, **said) == (PeerUnavailable, "agency-a: The list is too long.")
    assert "too long" not in refused(grpc.StatusCode.UNAVAILABLE)[1]
    assert refused(grpc.StatusCode.CANCELLED)[0] is TooManyCalls
    assert refused(grpc.StatusCode.RESOURCE_EXHAUSTED) == (
        TooManyCalls,
        "agency-a is busy with other calls; try again in a while.",
    )


class Failed(grpc.RpcError):
    """A call that failed."""

    def __init__(self, code: grpc.StatusCode, details: str, metadata: dict[str, str]) -> None:
        self.code, self.details = lambda: code, lambda: details
        self.trailing_metadata = lambda: tuple(starmap(Datum, metadata.items()))


class Datum(NamedTuple):
    """As gRPC gives them."""

    key: str
    value: str


def test_connections_above_the_limit_are_closed_and_take_nothing_from_those_that_stand(nodes: Nodes) -> None:
    address = f"127.0.0.1:{free_port()}"
    config = replace(nodes.a, listen=address)
    server = listen(config, lambda server: server.add_generic_rpc_handlers([Who()]), connections=2)
    stands = dial(nodes.keys, replace(nodes.b.federation()["agency-a"], address=address))
    assert ask(stands) == "agency-b"
    host, port = address.split(":")
    with ExitStack() as opened:
        silent = [opened.enter_context(socket.create_connection((host, int(port)))) for _ in range(3)]
        assert [connection.recv(1) for connection in silent[1:]] == [b"", b""]
        assert ask(stands) == "agency-b"
        with pytest.raises(PeerUnavailable, match="has too many connections"):
            nodes.call(nodes.keys, replace(nodes.b.federation()["agency-a"], address=address))
    stands.close()
    server.stop(None).wait()


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_a_message_that_swells_is_refused(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch, compression: grpc.Compression
) -> None:
    """By who is called: the caller's own limit is lifted."""
    options = [(k, v) for k, v in transport._CALLER_OPTIONS if k != "grpc.max_send_message_length"]
    monkeypatch.setattr(transport, "_CALLER_OPTIONS", options)
    with dial(nodes.keys, nodes.b.federation()["agency-a"]) as connection, pytest.raises(grpc.RpcError) as refused:
        connection.unary_unary(WHO)(bytes(64 << 20), timeout=60, compression=compression)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # type: ignore[attr-defined]
    assert refused.value.details() == "Decompressed message larger than max"  # type: ignore[attr-defined]


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


class Sleepy:
    """Takes a stream, and reads it when `reads` is set."""

    def __init__(self) -> None:
        self.reads = threading.Event()

    def exchange(self, requests: Iterator[object], _: grpc.ServicerContext) -> ExchangeResponse:
        self.reads.wait()
        for _request in requests:
            pass
        return ExchangeResponse()


@contextmanager
def sleepy_peers(folder: Path) -> Iterator[tuple[Sleepy, ExchangeChannel]]:
    """Two, and a channel to them that lets them leave 8 MiB unread."""
    own, *others = federate(folder, NAMES, {name: f"127.0.0.1:{free_port()}" for name in NAMES}).values()
    peer = Sleepy()
    servers = [listen(other, partial(add_exchange, peer.exchange)) for other in others]
    peers = {party: own.federation()[other.name] for party, other in zip(PARTIES[1:], others, strict=False)}
    yield peer, ExchangeChannel(Mailbox(60.0), bytes(32), 1, peers, own.identity(), most_unread_bytes=8 << 20)
    peer.reads.set()
    for server in servers:
        server.stop(None).wait()


def test_a_peer_that_does_not_read_ends_the_attempt(tmp_path: Path) -> None:
    """What is sent to it would fill the memory."""
    first, second = PARTIES[1:]

    def send_on(channel: ExchangeChannel) -> None:
        for k in range(64):
            channel.send(first, f"step{k}", bytes(MAX_MESSAGE_BYTES))

    with sleepy_peers(tmp_path) as (_, channel):
        with pytest.raises(PeerError, match="it does not read what it is sent") as raised:
            send_on(channel)
        assert (raised.value.peer, raised.value.reason) == (first, "timeout")
        assert channel.unread_bytes(first) < 10 << 20
        with pytest.raises(PeerError, match="it does not read what it is sent"):
            channel.receive(second, "another step")
        channel.close(done=False)


def test_of_a_peer_that_reads_only_what_is_on_its_way_counts(tmp_path: Path) -> None:
    with sleepy_peers(tmp_path) as (peer, channel):
        peer.reads.set()
        for k in range(64):
            channel.send(PARTIES[1], f"step{k}", bytes(MAX_MESSAGE_BYTES))
            while channel.unread_bytes(PARTIES[1]):
                pass
        channel.close(done=True)
        assert channel.sent_bytes > 64 * MAX_MESSAGE_BYTES


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
