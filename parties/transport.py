"""gRPC over mutual TLS with pinned certificates, and the computation's channel over its streams.

A caller is who its certificate says by exact comparison with federation.toml; a name inside the certificate counts
for nothing. Each direction between two committee nodes is one client-streaming call per attempt.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, cast

# gRPC for Python has no option for the lowest TLS version. Of TLS 1.2 this allows one suite only, which needs an RSA
# certificate, and ours are ECDSA: so nothing below TLS 1.3 can be agreed (TLS 1.3's suites are not affected).
os.environ.setdefault("GRPC_SSL_CIPHER_SUITES", "ECDHE-RSA-AES256-GCM-SHA384")
# gRPC's own lines on every handshake that fails would let anyone who has the port fill the disk.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc

from mpc.channel import MAILBOX_BYTES, MAX_MESSAGE_BYTES, Mailbox
from mpc.errors import MpcError, PeerError
from parties import errors, frames, protocols
from parties.admission import EXCHANGE, SAID, Admission
from parties.config import Config
from parties.errors import (
    ConfigError,
    PeerIdentityError,
    PeerUnavailable,
    ServiceError,
    SessionAborted,
    TooManyCalls,
)
from parties.federation import Node
from parties.identity import Identity, tls_name
from parties.wire import reason_of
from protos.matchbit.v1 import committee_pb2 as pb

CALL_TIMEOUT_S = 30.0
UPLOAD_TIMEOUT_S = 6 * 3600.0
RUN_TIMEOUT_S = 24 * 3600.0
THREADS = 256
"""Calls answered at the same time: those of the coordinator and of six other callers at their limits, and 4 besides."""
WAITING = 2048
"""Calls that are answered or wait for a thread, which takes short ones less than a second."""
PENDING = 64
"""Calls that gRPC holds before it hands them over: headers that name one long field again and again have 17 MB each."""
CONNECTIONS = 1024
"""At the same time, unless more is said; above, a new one is closed before its handshake."""

_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES + (1 << 16)),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES + (1 << 16)),
    ("grpc.max_metadata_size", 1 << 14),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
]
_CALLER_OPTIONS = [*_OPTIONS, ("grpc.keepalive_permit_without_calls", 0), ("grpc.enable_retries", 0)]
_LISTENER_OPTIONS = [
    *_OPTIONS,
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 20_000),
    ("grpc.http2.max_ping_strikes", 2),
    ("grpc.server_handshake_timeout_ms", 5_000),
    ("grpc.max_concurrent_streams", 64),
    ("grpc.server.max_pending_requests", PENDING),
    ("grpc.server.max_pending_requests_hard_limit", 2 * PENDING),
    ("grpc.max_connection_idle_ms", 15_000),
    ("grpc.so_reuseport", 0),
]


@contextmanager
def calling(node: str) -> Iterator[None]:
    """Turn what a call to a node raises into our own errors.

    Raises:
        ServiceError: of the kind that the status stands for.
    """
    try:
        yield
    except grpc.RpcError as error:
        raise from_rpc(node, error) from None


_UNEXPECTED = SessionAborted, "had an unexpected error; its operator should look at its log."
_UNSAID: dict[grpc.StatusCode, tuple[type[ServiceError], str]] = {
    grpc.StatusCode.DEADLINE_EXCEEDED: (
        PeerUnavailable, "did not answer in time; its operator should look at its log.",
    ),
    grpc.StatusCode.CANCELLED: (
        TooManyCalls, "ended the call: it waited for us too long, has too many, or is being stopped; try again.",
    ),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (TooManyCalls, "is busy with other calls; try again in a while."),
    grpc.StatusCode.INTERNAL: _UNEXPECTED,
    grpc.StatusCode.UNKNOWN: _UNEXPECTED,
}  # fmt: skip
"""What a status means of a node that did not say it in its own words."""


def from_rpc(node: str, error: grpc.RpcError) -> ServiceError:
    """Our own error for a failed call."""
    status, details = error.code(), reason_of(error.details() or "")
    if any(datum.key == SAID for datum in error.trailing_metadata() or ()) and status.name in errors.FROM_STATUS:
        named = status is not grpc.StatusCode.UNAVAILABLE or details.startswith(node)
        return errors.FROM_STATUS[status.name](details if named else f"{node}: {details}")
    if status is grpc.StatusCode.UNAVAILABLE:
        return _unavailable(node, details)
    kind, words = _UNSAID.get(status, (PeerUnavailable, f"failed: {status.name.lower()} {details}"))
    return kind(f"{node} {words}".strip())


def _unavailable(node: str, details: str) -> ServiceError:
    """Why there was no connection, as far as gRPC tells."""
    # not other failures of a handshake: who is killed in its midst, for one
    if any(words in details.lower() for words in ("certificate", "hostname verification")):
        return PeerIdentityError(
            f"{node} does not show the certificate that federation.toml pins, or does not accept ours; compare "
            "federation.toml with its operator."
        )
    if "Socket closed" in details:
        return PeerUnavailable(
            f"{node} hung up: it has just been stopped, has too many connections, or its federation.toml does not hold "
            "our certificate."
        )
    return PeerUnavailable(f"{node} cannot be reached; check its address, and that its operator has started it.")


def dial(identity: Identity, node: Node) -> grpc.Channel:
    """A connection to a node, to be closed after use; only its pinned certificates are accepted.

    Raises:
        ConfigError: the node has no address.
    """
    if not node.address:
        raise ConfigError(f"{node.name} has no address in federation.toml, so it cannot be called.")
    pinned = b"".join(node.certificates)
    credentials = grpc.ssl_channel_credentials(pinned, identity.tls_key, identity.certificate)
    options = [*_CALLER_OPTIONS, ("grpc.ssl_target_name_override", tls_name(node.name))]
    connection = grpc.secure_channel(node.address, credentials, options)
    return protocols.announced(grpc.intercept_channel(connection, _Answered(node.name)))


class _Answered(grpc.UnaryUnaryClientInterceptor, grpc.StreamUnaryClientInterceptor):
    """Refuses calls that end well without an answer, for which gRPC returns None.

    Args:
        node: name of who is called.
    """

    def __init__(self, node: str) -> None:
        self._node = node

    def _call(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        call = continuation(details, request)
        if call.done() and call.code() is grpc.StatusCode.OK and call.result() is None:
            raise SessionAborted(f"{self._node} ended a call without an answer; compare versions with its operator.")
        return call

    intercept_unary_unary = intercept_stream_unary = _call  # type: ignore[assignment]  # stubs tell the kinds apart


def listen(
    config: Config,
    add_services: Callable[[grpc.Server], None],
    admission: Admission | None = None,
    connections: int = CONNECTIONS,
) -> grpc.Server:
    """Start serving on the node's port; what the node shows and whom it accepts follows its files without a restart.

    Args:
        config: of the node.
        add_services: adds the daemon's own.
        admission: lets callers in; a new one if left out.
        connections: at most so many at the same time.

    Raises:
        ConfigError: no address, or it cannot be used.
    """
    if not config.listen:
        raise ConfigError(f"{config.folder / 'node.toml'}: `listen` is empty; a node that serves needs HOST:PORT.")
    shown = _Shown(config)
    changed = cast("Callable[[], grpc.ServerCertificateConfiguration]", shown.changed)  # the stubs forget None
    credentials = grpc.dynamic_ssl_server_credentials(shown.now(), changed, require_client_authentication=True)
    pool = ThreadPoolExecutor(THREADS)
    interceptors = [protocols.Gate(config.name), admission or Admission(config.name, config.federation)]
    options = [*_LISTENER_OPTIONS, ("grpc.max_allowed_incoming_connections", connections)]
    server = grpc.server(pool, interceptors=interceptors, options=options, maximum_concurrent_rpcs=WAITING)
    add_services(server)
    try:
        server.add_secure_port(config.listen, credentials)
    except RuntimeError:
        raise ConfigError(f"Cannot listen on {config.listen}; is another program using the port?") from None
    server.start()
    return server


class _Shown:
    """What a listener shows and the certificates that it accepts.

    gRPC asks at every new connection. Connections that were there before are held to it at every call: see `Admission`.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._last = config.identity(), config.federation()

    def now(self) -> grpc.ServerCertificateConfiguration:
        """As the files said when last asked."""
        identity, federation = self._last
        pinned = b"".join(pem for node in federation.nodes.values() for pem in node.certificates)
        return grpc.ssl_server_certificate_configuration([(identity.tls_key, identity.certificate)], pinned)

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """As the files say; None where that is as before."""
        identity, federation = self._config.identity(), self._config.federation()
        if identity is self._last[0] and federation is self._last[1]:
            return None
        self._last = identity, federation
        return self.now()


def add_exchange(exchange: Callable[[Iterator[Any], grpc.ServicerContext], pb.ExchangeResponse], server: Any) -> None:
    """Let a listener answer ExchangeService, whose messages `frames` reads."""
    service, method = EXCHANGE.strip("/").split("/")
    answer = grpc.stream_unary_rpc_method_handler(exchange, frames.read, pb.ExchangeResponse.SerializeToString)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {method: answer})])


class ExchangeChannel:
    """The computation's channel of one attempt: a mailbox that others fill, and a stream to each peer.

    Sending never waits: a party sends only so much before it must receive, and a peer that leaves more than that unread
    ends the attempt. What peers send is bounded by the mailbox, which stops reading their streams when it is full.

    Args:
        mailbox: where the peers' frames arrive.
        session_id: 32 bytes.
        attempt: its number.
        peers: the others, by number.
        identity: of this node.
        most_unread_bytes: that a peer may leave unread, besides what its own mailbox holds.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        session_id: bytes,
        attempt: int,
        peers: dict[int, Node],
        identity: Identity,
        *,
        most_unread_bytes: int = MAILBOX_BYTES,
    ) -> None:
        self._mailbox, self.most_unread_bytes = mailbox, most_unread_bytes
        self._streams = {p: _Outgoing(identity, node, session_id, attempt) for p, node in peers.items()}
        for peer, stream in self._streams.items():
            stream.start(partial(self._lost, peer))

    @property
    def sent_bytes(self) -> int:
        """Bytes of the frames that were sent so far, as serialised."""
        return sum(stream.sent_bytes for stream in self._streams.values())

    def unread_bytes(self, peer: int) -> int:
        """Bytes for a peer that are not on their way yet."""
        return self._streams[peer].unread_bytes

    def send(self, peer: int, step: str, *pieces: bytes | memoryview) -> None:
        """Queue a message.

        Raises:
            PeerError: the peer does not read.
        """
        self._streams[peer].put(frames.write(step, *pieces))
        if self.unread_bytes(peer) > self.most_unread_bytes:
            error = PeerError(peer, step, "timeout", "it does not read what it is sent")
            self.abort(error)
            raise error

    def receive(self, peer: int, step: str) -> bytes | memoryview:
        """Wait for a message."""
        return self._mailbox.receive(peer, step)

    def abort(self, error: MpcError) -> None:
        """Stop all lanes."""
        self._mailbox.abort(error)

    def _lost(self, peer: int, detail: str) -> None:
        self._mailbox.abort(PeerError(peer, "exchange", "disconnected", detail))

    def close(self, *, done: bool) -> None:
        """End the streams: in order when the session is done, at once otherwise."""
        with ExitStack() as every:  # also where one of them does not end in order
            for stream in self._streams.values():
                every.callback(stream.close, done=done)


class _Outgoing:
    """One direction to one peer."""

    def __init__(self, identity: Identity, node: Node, session_id: bytes, attempt: int) -> None:
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._connection = dial(identity, node)
        self._lock = threading.Lock()
        self.sent_bytes = self.unread_bytes = 0
        header = pb.ExchangeHeader(session_id=session_id, attempt=attempt)
        self.put(pb.ExchangeRequest(header=header).SerializeToString())

    def put(self, request: bytes) -> None:
        with self._lock:
            self.sent_bytes += len(request)
            self.unread_bytes += len(request)
        self._queue.put(request)

    def _requests(self) -> Iterator[bytes]:
        """For gRPC, which takes one when those before it are on their way."""
        while (request := self._queue.get()) is not None:
            with self._lock:
                self.unread_bytes -= len(request)
            yield request

    def start(self, on_failure: Callable[[str], None]) -> None:
        exchange: Any = self._connection.stream_unary(EXCHANGE, None, pb.ExchangeResponse.FromString)
        self._call = exchange.future(self._requests(), timeout=RUN_TIMEOUT_S, wait_for_ready=False)
        self._call.add_done_callback(lambda call: None if call.code() is grpc.StatusCode.OK else on_failure(_why(call)))

    def close(self, *, done: bool) -> None:
        try:
            if done:
                self._queue.put(None)
                with calling("a peer"):
                    self._call.result(timeout=CALL_TIMEOUT_S)
        except grpc.FutureTimeoutError:
            raise PeerUnavailable("A peer does not end its stream, although all has been sent.") from None
        finally:
            self._call.cancel()
            self._queue.put(None)  # gRPC's thread waits for it, and would keep what was not sent
            self._connection.close()


def _why(call: Any) -> str:
    return "it cannot be reached" if call.code() is grpc.StatusCode.UNAVAILABLE else str(call.details() or "it hung up")


class Mailboxes:
    """The mailboxes of the attempts that this node computes, for the exchange servicer to find."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open: dict[tuple[bytes, int], Mailbox] = {}
        self._stopped = False

    def open(self, session_id: bytes, attempt: int, mailbox: Mailbox) -> None:
        """Let peers deliver."""
        with self._changed:
            self._open[session_id, attempt] = mailbox
            self._changed.notify_all()

    def close(self, session_id: bytes, attempt: int) -> None:
        """Deliver nothing more."""
        with self._changed:
            del self._open[session_id, attempt]

    def stop(self) -> None:
        """Let nobody wait any longer: the node is being stopped."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def find(self, session_id: bytes, attempt: int, timeout_s: float, is_waited_for: Callable[[], bool]) -> Mailbox:
        """The mailbox of an attempt; waits until this node begins it, since a peer may be first.

        Raises:
            PeerUnavailable: this node does not begin in time.
        """
        with self._changed:
            until = time.monotonic() + timeout_s
            while not self._stopped and (session_id, attempt) not in self._open:
                if time.monotonic() > until or not is_waited_for():
                    break
                self._changed.wait(1.0)
            if self._stopped or (session_id, attempt) not in self._open:
                raise PeerUnavailable("The node that was called has not begun this attempt in time.")
            return self._open[session_id, attempt]
