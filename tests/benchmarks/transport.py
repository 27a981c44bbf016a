"""What it costs to carry bulk messages between two processes over mutual TLS on loopback: `make bench-transport`.

By these figures the node's way of using gRPC is chosen. A frame is a step's label and a payload, as nodes send them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

import grpc
import grpc.aio

from parties import config, frames
from parties.identity import tls_name
from protos.matchbit.v1 import committee_pb2 as pb
from tests.benchmarks.baseline import aligned

SIZES = (64 << 10, 512 << 10, 1 << 20)
NAME, HOST = "node-a", "127.0.0.1"
LABEL = "tag/chunk1/round1/substitute#0"
OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # or connections to one address would be one
    ("grpc.ssl_target_name_override", tls_name(NAME)),
]


@dataclass(frozen=True)
class Way:
    """A way to carry frames.

    Attributes:
        engine: `sync` or `asyncio` gRPC at both ends, or `sockets` without gRPC.
        call: `stream` for one call with many frames, or `unary` for a call each.
        frame: `Protobuf` for its own code, or `bytes` for the same messages as `parties.frames` writes and reads them.
        callers: at the same time; frames in flight where calls are unary.
        connections: that they share.
    """

    engine: str
    call: str
    frame: str
    callers: int
    connections: int


WAYS = [
    Way(engine, call, frame, callers, connections)
    for engine in ("sync", "asyncio")
    for frame in ("Protobuf", "bytes")
    for call, callers, connections in (
        *(("stream", 1, 1), ("stream", 4, 4)),
        *(("unary", 1, 1), ("unary", 8, 1), ("unary", 8, 4)),
    )
] + [Way("sockets", "stream", "bytes", k, k) for k in (1, 4)]


@dataclass(frozen=True)
class Cost:
    """Of a gigabyte (10^9 bytes) of payloads: seconds of one core at either end, and of the clock."""

    sender_s: float
    receiver_s: float
    wall_s: float


@dataclass(frozen=True)
class Codec:
    """How a payload becomes what gRPC is handed, and what gRPC is told of that.

    Attributes:
        pack: from a payload to a request.
        unpack: from a request to its payload, made as a node would read it.
        request: gRPC's encoder and decoder of requests.
        answer: the same of answers.
        empty: an answer.
    """

    pack: Callable[[bytes], Any]
    unpack: Callable[[Any], bytes | memoryview]
    request: tuple[Any, Any] = (None, None)
    answer: tuple[Any, Any] = (None, None)
    empty: Any = b""


CODECS = {
    "Protobuf": Codec(
        lambda payload: pb.ExchangeRequest(frame=pb.ExchangeFrame(step=LABEL, payload=payload)),
        lambda request: bytes(request.frame.payload),
        (pb.ExchangeRequest.SerializeToString, pb.ExchangeRequest.FromString),
        (pb.ExchangeResponse.SerializeToString, pb.ExchangeResponse.FromString),
        pb.ExchangeResponse(),
    ),
    "bytes": Codec(
        lambda payload: frames.write(LABEL, payload),
        lambda request: cast("frames.Frame", request).payload,
        (None, frames.read),
    ),
}


@dataclass(frozen=True, repr=False)
class Identity:
    """The key and certificate of both ends, and where they are for what reads files only."""

    key: bytes
    certificate: bytes
    folder: Path

    @classmethod
    def new(cls, folder: Path) -> Identity:
        """A node's, in a folder."""
        made = config.create(NAME, folder / NAME, "", False).identity()
        (folder / "key.pem").write_bytes(made.tls_key)
        (folder / "certificate.pem").write_bytes(made.certificate)
        return cls(made.tls_key, made.certificate, folder)

    def context(self, purpose: ssl.Purpose) -> ssl.SSLContext:
        """TLS 1.3 for sockets, with both certificates checked."""
        context = ssl.create_default_context(purpose, cadata=self.certificate.decode())
        context.minimum_version, context.verify_mode = ssl.TLSVersion.TLSv1_3, ssl.CERT_REQUIRED
        context.load_cert_chain(self.folder / "certificate.pem", self.folder / "key.pem")
        return context

    def listening(self) -> grpc.ServerCredentials:
        """For gRPC's side that is called."""
        return grpc.ssl_server_credentials([(self.key, self.certificate)], self.certificate, True)

    def calling(self) -> grpc.ChannelCredentials:
        """For gRPC's side that calls."""
        return grpc.ssl_channel_credentials(self.certificate, self.key, self.certificate)


# The receiver: a process that tells its port, and then its processor time whenever it is asked.


def _receive(engine: str, identity: Identity, pipe: Connection) -> None:
    match engine:
        case "sync":
            _receive_sync(identity, pipe)
        case "asyncio":
            asyncio.run(_receive_asyncio(identity, pipe))
        case "sockets":
            _receive_sockets(identity, pipe)


def _tell(pipe: Connection, port: int) -> None:
    pipe.send(port)
    while pipe.recv():
        pipe.send(time.process_time())


def _methods(service: str, codec: Codec, stream: Any, unary: Any) -> Any:
    decode, encode = codec.request[1], codec.answer[0]
    methods = {
        "stream": grpc.stream_unary_rpc_method_handler(stream, decode, encode),
        "unary": grpc.unary_unary_rpc_method_handler(unary, decode, encode),
    }
    return grpc.method_handlers_generic_handler(service, methods)


def _receive_sync(identity: Identity, pipe: Connection) -> None:
    listener = grpc.server(ThreadPoolExecutor(16), options=OPTIONS)
    for name, codec in CODECS.items():

        def stream(requests: Iterator[Any], _: Any, codec: Codec = codec) -> Any:
            for request in requests:
                codec.unpack(request)
            return codec.empty

        def unary(request: Any, _: Any, codec: Codec = codec) -> Any:
            codec.unpack(request)
            return codec.empty

        listener.add_generic_rpc_handlers((_methods(name, codec, stream, unary),))
    port = listener.add_secure_port(f"{HOST}:0", identity.listening())
    listener.start()
    _tell(pipe, port)
    listener.stop(None)


async def _receive_asyncio(identity: Identity, pipe: Connection) -> None:
    listener = grpc.aio.server(options=OPTIONS)
    for name, codec in CODECS.items():

        async def stream(requests: Any, _: Any, codec: Codec = codec) -> Any:
            async for request in requests:
                codec.unpack(request)
            return codec.empty

        async def unary(request: Any, _: Any, codec: Codec = codec) -> Any:
            codec.unpack(request)
            return codec.empty

        listener.add_generic_rpc_handlers((_methods(name, codec, stream, unary),))
    port = listener.add_secure_port(f"{HOST}:0", identity.listening())
    await listener.start()
    await asyncio.to_thread(_tell, pipe, port)
    await listener.stop(None)


def _receive_sockets(identity: Identity, pipe: Connection) -> None:
    context = identity.context(ssl.Purpose.CLIENT_AUTH)
    listener = socket.create_server((HOST, 0))

    def read(plain: socket.socket) -> None:
        with context.wrap_socket(plain, server_side=True) as connection:
            size, number = (int.from_bytes(connection.recv(8)) for _ in "ab")
            message = memoryview(bytearray(size))
            for _ in range(number):
                at = 0
                while at < size:
                    at += connection.recv_into(message[at:])
            connection.sendall(b".")

    def accept() -> None:
        while True:
            threading.Thread(target=read, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    _tell(pipe, listener.getsockname()[1])


@contextmanager
def receiver(engine: str, identity: Identity) -> Iterator[tuple[int, Callable[[], float]]]:
    """A receiving process: its port, and what asks for its processor time."""
    spawn = multiprocessing.get_context("spawn")
    own, theirs = spawn.Pipe()
    process = spawn.Process(target=_receive, args=(engine, identity, theirs), daemon=True)
    process.start()

    def asked() -> float:
        own.send(True)
        return float(own.recv())

    try:
        yield int(own.recv()), asked
    finally:
        own.send(False)
        process.join()


# The sender


@contextmanager
def sender(way: Way, port: int, identity: Identity) -> Iterator[Callable[[bytes, int], None]]:
    """What sends a payload again and again by connections that are open already: given it and how often."""
    if way.engine == "asyncio":
        with asyncio.Runner() as runner:
            send, close = runner.run(_connect_asyncio(way, port, identity))
            yield lambda payload, times: runner.run(send(payload, times))
            runner.run(close())
        return
    with ExitStack() as connections:
        callers = (_sockets if way.engine == "sockets" else _calls)(way, port, identity, connections)
        pool = connections.enter_context(ThreadPoolExecutor(way.callers))
        yield lambda payload, times: [*pool.map(lambda call: call(payload, times // way.callers), callers)].clear()


def _calls(way: Way, port: int, identity: Identity, connections: ExitStack) -> list[Callable[[bytes, int], None]]:
    """What each caller of the sync engine does."""
    codec, channels = CODECS[way.frame], []
    for _ in range(way.connections):
        channels.append(connections.enter_context(grpc.secure_channel(f"{HOST}:{port}", identity.calling(), OPTIONS)))
        grpc.channel_ready_future(channels[-1]).result()
    encode, decode = codec.request[0], codec.answer[1]

    def stream(channel: grpc.Channel, payload: bytes, times: int) -> None:
        channel.stream_unary(f"/{way.frame}/stream", encode, decode)(codec.pack(payload) for _ in range(times))

    def unary(channel: grpc.Channel, payload: bytes, times: int) -> None:
        call = channel.unary_unary(f"/{way.frame}/unary", encode, decode)
        for _ in range(times):
            call(codec.pack(payload))

    does = stream if way.call == "stream" else unary
    return [partial(does, channels[k % way.connections]) for k in range(way.callers)]


async def _connect_asyncio(way: Way, port: int, identity: Identity) -> tuple[Any, Any]:
    """The same of the asyncio engine: what sends by all callers, and what closes."""
    codec = CODECS[way.frame]
    channels = [grpc.aio.secure_channel(f"{HOST}:{port}", identity.calling(), OPTIONS) for _ in range(way.connections)]
    await asyncio.gather(*(channel.channel_ready() for channel in channels))
    encode, decode = codec.request[0], codec.answer[1]

    async def stream(channel: Any, payload: bytes, times: int) -> None:
        call = channel.stream_unary(f"/{way.frame}/stream", encode, decode)()
        for _ in range(times):
            await call.write(codec.pack(payload))
        await call.done_writing()
        await call

    async def unary(channel: Any, payload: bytes, times: int) -> None:
        call = channel.unary_unary(f"/{way.frame}/unary", encode, decode)
        for _ in range(times):
            await call(codec.pack(payload))

    async def send(payload: bytes, times: int) -> None:
        does = stream if way.call == "stream" else unary
        callers = [does(channels[k % way.connections], payload, times // way.callers) for k in range(way.callers)]
        await asyncio.gather(*callers)

    async def close() -> None:
        await asyncio.gather(*(channel.close() for channel in channels))

    return send, close


def _sockets(way: Way, port: int, identity: Identity, connections: ExitStack) -> list[Callable[[bytes, int], None]]:
    """The same without gRPC; each connection carries one stream."""
    context = identity.context(ssl.Purpose.SERVER_AUTH)

    def stream(connection: ssl.SSLSocket, payload: bytes, times: int) -> None:
        for number in (len(payload), times):
            connection.sendall(number.to_bytes(8))
        for _ in range(times):
            connection.sendall(payload)
        connection.recv(1)

    opened = [
        context.wrap_socket(socket.create_connection((HOST, port)), server_hostname=tls_name(NAME))
        for _ in range(way.callers)
    ]
    return [partial(stream, connections.enter_context(connection)) for connection in opened]


def measured(way: Way, size: int, number: int, identity: Identity, at: tuple[int, Callable[[], float]]) -> Cost:
    """Carry so many frames of a size, or a few less so that all callers carry the same, to a `receiver`."""
    port, asked = at
    payload, times = os.urandom(size), max(way.callers, number // way.callers * way.callers)
    with sender(way, port, identity) as send:
        before = asked(), time.process_time(), time.monotonic()
        send(payload, times)
        own, wall = time.process_time() - before[1], time.monotonic() - before[2]
        theirs = asked() - before[0]
    gigabytes = times * size / 1e9
    return Cost(*(round(s / gigabytes, 3) for s in (own, theirs, wall)))


def main() -> None:
    """Measure all ways with all sizes, and show them."""
    arguments = argparse.ArgumentParser(prog="python -m tests.benchmarks.transport", description=__doc__)
    arguments.add_argument("--megabytes", type=int, default=256, help="carried by each way for each size (256)")
    arguments.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    given = arguments.parse_args()
    found: list[tuple[int, Way, Cost]] = []
    with tempfile.TemporaryDirectory(prefix="matchbit-transport-") as folder:
        identity = Identity.new(Path(folder))
        for engine in dict.fromkeys(way.engine for way in WAYS):
            with receiver(engine, identity) as at:
                for way in (way for way in WAYS if way.engine == engine):
                    for size in SIZES:
                        number = given.megabytes * 10**6 // size
                        found.append((size, way, measured(way, size, number, identity, at)))
    if given.json:
        print(json.dumps([{"bytes": size, **asdict(way), **asdict(cost)} for size, way, cost in found], indent=2))
    else:
        print(table(found))


def table(found: Iterable[tuple[int, Way, Cost]]) -> str:
    """A line for each way, with seconds of one core at both ends and of the clock for each size of frames."""
    lines: dict[Way, list[str]] = {}
    for _, way, cost in found:
        each = lines.setdefault(way, [f"{way.engine} {way.call}", way.frame, str(way.callers), str(way.connections)])
        each += [f"{cost.sender_s:.2f} + {cost.receiver_s:.2f}", f"{cost.wall_s:.2f}"]
    sizes = (word for size in SIZES for word in (f"core s/GB, {size >> 10} KiB", "wall"))
    return aligned([["way", "frame", "callers", "connections", *sizes], *lines.values()])


if __name__ == "__main__":
    main()
