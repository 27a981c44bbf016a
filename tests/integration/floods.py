"""Attacks below the calls: connections, HTTP/2, compression, and calls by the thousands."""

from __future__ import annotations

import os
import socket
import ssl
import zlib
from collections.abc import Callable
from contextlib import suppress
from itertools import cycle

from parties.loopback import COORDINATOR
from parties.wire import SESSION_ID_BYTES
from protos.matchbit.v1 import committee_pb2 as pb
from tests.integration import http2
from tests.integration.attacker import ROGUE, Attacker, Moves
from tests.integration.http2 import Connection, frame, message

# Connections


def silent(attacker: Attacker, number: int) -> Moves:
    """Connections on which nothing is said."""
    attacker.many(number, attacker.touch)
    yield


def half_greeted(attacker: Attacker, number: int) -> Moves:
    """A TLS hello, and then silence."""
    hello, context = ssl.MemoryBIO(), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="x").do_handshake()
    said = hello.read()
    attacker.many(number, lambda: attacker.touch().sendall(said))
    yield


def garbled(attacker: Attacker, number: int) -> Moves:
    """Connections on which no TLS is spoken, one after the other."""
    host, port = attacker.node.address.rsplit(":", 1)
    while True:
        with suppress(OSError), socket.create_connection((host, int(port)), timeout=http2.PATIENCE_S) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n" * number)
            raw.recv(1)
        yield


def idle(attacker: Attacker, number: int) -> Moves:
    """Pinned connections without a call."""
    attacker.many(number, attacker.connect)
    yield


# Floods


def _flood(attacker: Attacker, number: int, make: Callable[[Connection], bytes], name: str = ROGUE) -> Moves:
    """Send without a pause, so many times what is made at once, and connect again where the node hangs up."""
    while True:
        try:
            connection = attacker.connect(name=name)
        except OSError:
            attacker.told["hung up"] += 1
            yield
            continue
        with suppress(OSError):
            while True:
                connection.send(b"".join(make(connection) for _ in range(number)))
                yield
                attacker.told.update(connection.heard())
        if not attacker.over.is_set():
            attacker.drop(connection)
        yield


def short_calls(attacker: Attacker, number: int) -> Moves:
    """Calls that are complete, of sessions that do not exist."""
    at_node = attacker.aim.target != COORDINATOR
    kinds = cycle(["GetRun", "EndRun", "DeleteSession"] if at_node else ["GetSession", "ListSessions", "CloseSession"])
    service = "RunService" if at_node else "SessionService"

    def make(connection: Connection) -> bytes:
        request = pb.GetRunRequest(session_id=os.urandom(SESSION_ID_BYTES)).SerializeToString()
        return connection.opening(f"{service}/{next(kinds)}", message(request), end=True)

    return _flood(attacker, number, make)


def runs(attacker: Attacker, number: int) -> Moves:
    """Runs of sessions that do not exist, by whoever has the coordinator's keys."""

    def make(connection: Connection) -> bytes:
        request = pb.StartRunRequest(session_id=os.urandom(SESSION_ID_BYTES), attempt=1).SerializeToString()
        return connection.opening("RunService/StartRun", message(request), end=True)

    return _flood(attacker, number, make, COORDINATOR)


def bombs(attacker: Attacker, number: int) -> Moves:
    """Messages of 64 KB that become 60 MB each."""
    packing = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packing.compress(bytes(1 << 20)) for _ in range(60)) + packing.flush()
    methods = attacker.methods()
    packed = message(bomb, compressed=True)

    def throw() -> None:
        connection = attacker.connect()
        connection.send(connection.opening(next(methods), packed, end=True, grpc_encoding="gzip"))

    attacker.many(number, throw)
    yield


def resets(attacker: Attacker, number: int) -> Moves:
    """Calls that are opened and taken back at once."""
    methods, cancel = attacker.methods(), http2.CANCEL.to_bytes(4, "big")

    def make(connection: Connection) -> bytes:
        return connection.opening(next(methods)) + frame(http2.RST_STREAM, cancel, connection.streams[-1])

    return _flood(attacker, number, make)


def pings(attacker: Attacker, number: int) -> Moves:
    """Pings."""
    return _flood(attacker, number, lambda _: frame(http2.PING, bytes(8)))


def settings(attacker: Attacker, number: int) -> Moves:
    """Settings, each to be confirmed."""
    size = http2.INITIAL_WINDOW_SIZE.to_bytes(2, "big")
    turns = cycle(size + k.to_bytes(4, "big") for k in (1 << 16, 1 << 17))
    return _flood(attacker, number, lambda _: frame(http2.SETTINGS, next(turns)))


def continuations(attacker: Attacker, number: int) -> Moves:
    """A call whose headers never end."""
    piece = http2.block({f"x-{k}": "y" * 100 for k in range(100)})

    def make(connection: Connection) -> bytes:
        if connection.streams:
            return frame(http2.CONTINUATION, piece, 1)
        return connection.opening("NodeService/GetNode", flags=0)

    return _flood(attacker, number, make)


def header_bombs(attacker: Attacker, number: int) -> Moves:
    """Calls whose headers name one long field thousands of times, so many on each of one connection after the other."""
    stored = b"\x40" + http2.text("x-long") + http2.text("y" * 3900)  # RFC 7541, 6.2.1: into the table's first place
    named = stored + b"\xbe" * (http2.FRAME_BYTES // 2)

    def throw() -> None:
        connection = attacker.connect()
        connection.send(b"".join(connection.opening("NodeService/GetNode", more=named) for _ in range(number)))
        attacker.drop(connection)

    while True:
        attacker.many(30, throw)
        yield
