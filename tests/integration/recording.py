"""A federation whose daemons are threads of the test, so that all that crosses the wire can be recorded.

All else is real: the servicers, mutual TLS, databases. Every call is answered by one of the four daemons, so what these
read and write is all that parties say to each other. Below them relays count the bytes of the connections, one for each
two parties.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from parties import coordinator, federation, node, protocols
from parties.config import Config
from parties.service import Service
from tests.integration.federations import COMMITTEE, COORDINATOR, MEMBERS, NEUTRAL, Federation

LONG_S = 60.0


@dataclass
class Call:
    """One call, as the daemon that was called read and wrote it.

    Attributes:
        caller: who called.
        called: the daemon.
        method: as in the contract.
        metadata: what came before the first message.
        messages: ("read" or "written", as serialised), in order.
        status: how it ended; None while it goes on.
        details: the sentence of an error.
        trailing: metadata after the last message.
    """

    caller: str
    called: str
    method: str
    metadata: list[tuple[str, Any]]
    messages: list[tuple[str, bytes]] = field(default_factory=list)
    status: grpc.StatusCode | None = None
    details: str = ""
    trailing: list[tuple[str, Any]] = field(default_factory=list)


class Record:
    """All calls since the last `take`, in the order in which they began."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._calls: list[Call] = []

    def add(self, call: Call) -> None:
        """A call has begun."""
        with self._changed:
            self._calls.append(call)

    def ended(self, call: Call, context: Any) -> None:
        """A call has ended."""
        with self._changed:
            call.status = context.code() or grpc.StatusCode.OK
            call.details = (context.details() or b"").decode()
            call.trailing = list(context.trailing_metadata() or ())
            self._changed.notify_all()

    def wait_for(self, method: str, times: int) -> None:
        """Wait until so many calls of a method have ended."""
        with self._changed:
            assert self._changed.wait_for(
                lambda: sum(c.method == method and c.status is not None for c in self._calls) >= times, LONG_S
            ), f"{method} was not called {times} times"

    def take(self) -> list[Call]:
        """The calls so far, which have all ended; the record begins anew."""
        with self._changed:
            assert self._changed.wait_for(lambda: all(c.status is not None for c in self._calls), LONG_S)
            calls, self._calls = self._calls, []
        return calls


class RecordingGate(protocols.Gate):
    """The program's gate, behind which every call is recorded."""

    record: Record
    federation: federation.Federation

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        handler = super().intercept_service(continuation, details)
        if handler is None:
            return None
        call = Call("", self._called, details.method.rpartition("/")[2], list(details.invocation_metadata))
        kind = f"{_kind(handler.request_streaming)}_{_kind(handler.response_streaming)}"
        behaviour = getattr(handler, kind)

        def called(requests: Any, context: Any) -> Any:
            call.caller = self.federation.by_certificate(bytes(context.auth_context()["x509_pem_cert"][0])).name
            self.record.add(call)
            context.add_callback(lambda: self.record.ended(call, context))
            return behaviour(requests, context)

        def read(message: bytes) -> Any:
            call.messages.append(("read", message))
            return handler.request_deserializer(message) if handler.request_deserializer else message

        def write(message: Any) -> bytes:
            raw: bytes = handler.response_serializer(message) if handler.response_serializer else message
            call.messages.append(("written", raw))
            return raw

        return getattr(grpc, f"{kind}_rpc_method_handler")(called, read, write)


def _kind(streaming: bool) -> str:
    return "stream" if streaming else "unary"


class Relay:
    """Hands on connections from one party to another, and counts their bytes.

    Attributes:
        address: HOST:PORT, for the caller.
        connections: [bytes of the caller, bytes of the called], oldest first.
    """

    def __init__(self) -> None:
        self.connections: list[list[int]] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"

    def start(self, called: str) -> None:
        """Take connections to an address."""
        threading.Thread(target=self._accept, args=(tuple(called.split(":")),), daemon=True).start()

    def _accept(self, called: tuple[str, str]) -> None:
        while True:
            try:
                near = self._socket.accept()[0]
                far, counts = socket.create_connection(called), [0, 0]
            except OSError:  # it is being closed, or the called party is
                return
            self.connections.append(counts)
            for source, sink, way in ((near, far, 0), (far, near, 1)):
                sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._hand_on, args=(source, sink, counts, way), daemon=True).start()

    def _hand_on(self, source: socket.socket, sink: socket.socket, counts: list[int], way: int) -> None:
        try:
            while piece := source.recv(1 << 16):
                counts[way] += len(piece)
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)
        except OSError:  # the other side has gone
            source.close()

    def close(self) -> None:
        """Take no more connections."""
        self._socket.close()


class Recorded(Federation):
    """A federation that is recorded.

    Attributes:
        record: what the daemons read and write.
        relays: by (caller, called).
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        pairs = [(name, called) for called in (COORDINATOR, *COMMITTEE) for name in (COORDINATOR, NEUTRAL, *MEMBERS)]
        self.relays = {pair: Relay() for pair in pairs if len({*pair}) == 2}  # before the daemons' ports are chosen
        super().__init__(folder)
        self.record, self._ends = Record(), ExitStack()
        known = self.configs[COORDINATOR].federation()
        patch.setattr(RecordingGate, "record", self.record, raising=False)
        patch.setattr(RecordingGate, "federation", known, raising=False)
        patch.setattr(protocols, "Gate", RecordingGate)
        for module in (node, coordinator):  # what is done by the clock comes at any time
            patch.setattr(module, "HOUSEKEEPING_S", 3600.0)
        for name, config in self.configs.items():
            text = config.federation_path.read_text("utf-8")
            for called in self.daemons:
                if called != name:
                    relay, address = self.relays[name, called], self.configs[called].listen
                    relay.start(address)
                    self._ends.callback(relay.close)
                    text = text.replace(f'"{address}"', f'"{relay.address}"')
            config.federation_path.unlink()  # it is one file for all
            config.federation_path.write_text(text, "utf-8")

    def start(self, *_: str) -> None:
        """Serve in threads, until all listen and have looked for proposals once."""
        for name in self.daemons:
            self._ends.enter_context(self._served(name))
        self.record.wait_for("ListSessions", len(self.committee))
        self.record.take()

    @contextmanager
    def _served(self, name: str) -> Iterator[None]:
        role, serve = ("coordinator", coordinator.serve) if name == COORDINATOR else ("node", node.serve)
        service = Listening(self.configs[name], role)

        def run() -> None:
            try:
                serve(self.configs[name], service)
            finally:
                service.listens.set()  # a failure must not leave the test waiting

        thread = threading.Thread(target=run, name=name)
        thread.start()
        try:
            assert service.listens.wait(LONG_S)
            assert thread.is_alive(), f"{name} did not start"
            yield
        finally:
            service.stop()
            thread.join()

    def rest(self) -> None:
        """Wait until no daemon does anything of its own accord."""
        for thread in threading.enumerate():
            if thread.name in ("run", "compute"):
                thread.join(LONG_S)

    def stop(self, *_: str, **__: bool) -> None:
        """End all daemons and relays."""
        self._ends.close()


class Listening(Service):
    """A service that says when it listens."""

    def __init__(self, config: Config, role: str) -> None:
        super().__init__(config, role)
        self.listens = threading.Event()

    def _keep_house(self, housekeeping: Callable[[], None], every_s: float) -> None:
        self.listens.set()
        super()._keep_house(housekeeping, every_s)
