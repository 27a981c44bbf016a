"""What both daemons have in common: they listen, keep house, tell how they are, and stop without cutting anyone off."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from parties import heads, metrics, protocols
from parties.admission import Admission, who_calls
from parties.config import Config
from parties.errors import ConfigError, PeerUnavailable, ServiceError
from parties.identity import valid_until
from parties.store import Store
from parties.transport import listen
from parties.wire import SESSION_ID_BYTES, head_of, head_to_pb, sized
from protos.matchbit.v1 import node_pb2 as pb
from protos.matchbit.v1.node_pb2_grpc import NodeServiceServicer

if sys.platform != "win32":
    import fcntl
    import resource

log = logging.getLogger("matchbit")
FILES = 1 << 14
"""Open at the same time: a connection is one, a thread that has used the database three. Connections get three
quarters, so that ten thousand of a stranger's leave room for others'."""
SILENCE_S = 10.0
"""How long an upload may be silent when the daemon is to stop; what is here of it is kept for when it is back."""
GRACE_S = 1.0
"""How long the last calls may take when nothing is waited for any more."""


_REST = 0
"""What the main thread is told when nothing is being done any more. Any other number asks it to stop, as signals do."""


class Service:
    """A daemon from its start to its end.

    Args:
        config: of the node.
        role: node or coordinator.
    """

    def __init__(self, config: Config, role: str) -> None:
        self._config, self.role = config, role
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        self._lock = threading.Lock()
        self._working = 0
        self._draining = False
        self._health = HealthServicer()
        self._admission = Admission(config.name, config.federation)
        self._signals: tuple[signal.Signals, ...] = ()

    @classmethod
    def until_signal(cls, config: Config, role: str) -> Service:
        """A service that SIGTERM and SIGINT stop; for the main thread.

        A signal's own handler may run late, since any thread can be the one that the system interrupts. So Python
        writes the signal's number to where the main thread listens.
        """
        service = cls(config, role)
        service._signals = (signal.SIGTERM, signal.SIGINT)
        for number in service._signals:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(service._mouth.fileno())
        return service

    def stop(self) -> None:
        """Ask it to stop when what has begun is done; asked once more, it stops at once."""
        self._tell(signal.SIGTERM)

    def _tell(self, what: int) -> None:
        with suppress(OSError):  # it has ended
            self._mouth.send(bytes([what]))

    @property
    def draining(self) -> bool:
        """Whether it was asked to stop, and begins nothing new."""
        return self._draining

    @contextmanager
    def working(self) -> Iterator[None]:
        """Work that is not cut off when the service is asked to stop meanwhile: an upload, a run.

        Raises:
            PeerUnavailable: it has been asked to stop already.
        """
        with self._lock:
            if self._draining:
                raise PeerUnavailable(f"{self._config.name} is being stopped; try again when it is back.")
            self._working += 1
        try:
            yield
        finally:
            with self._lock:
                self._working -= 1
                if self._draining and not self._working:
                    self._tell(_REST)

    def run(
        self,
        add_services: Callable[[grpc.Server], None],
        housekeeping: Callable[[], None],
        every_s: float,
        cut: Callable[[], None],
    ) -> None:
        """Listen until asked to stop, then drain.

        Args:
            add_services: adds the daemon's own, to that of health.
            housekeeping: what is done at the start and now and then.
            every_s: how often.
            cut: ends what is still being done.

        Raises:
            ConfigError: the node cannot listen.
        """

        def add(server: grpc.Server) -> None:
            server.add_generic_rpc_handlers([_asked(self._health)])
            add_services(server)

        connections = allow_files() * 3 // 4
        metrics.ask_certificate(lambda: valid_until(self._config.identity().certificate))
        with metrics.served(self._config.metrics, protocols.program()):
            server = listen(self._config, add, self._admission, connections)
            log.info("%s %s listens on %s", self.role, self._config.name, self._config.listen)
            try:
                self._keep_house(housekeeping, every_s)
                self._drain()
            finally:
                self._listen_no_more()
                cut()
                server.stop(GRACE_S).wait()
                log.info("%s %s has stopped", self.role, self._config.name)

    def _keep_house(self, housekeeping: Callable[[], None], every_s: float) -> None:
        """Until asked to stop."""
        while True:
            self._admission.end_silent()  # where all threads wait, no call comes in that would do it
            try:
                housekeeping()
            except ServiceError:
                log.exception("housekeeping failed; trying again in %g s", every_s)
            if self._woken(every_s) is not None:
                return

    def _drain(self) -> None:
        """Begin nothing new, and wait for what has begun."""
        with self._lock:
            self._draining = True
            working = self._working
        self._health.enter_graceful_shutdown()
        if not working:
            return
        patience_s = self._config.drain_timeout_s
        log.info("asked to stop; uploads and runs under way: %d; waiting for them up to %g s", working, patience_s)
        until, told = time.monotonic() + patience_s, None
        while told is None and (left_s := until - time.monotonic()) > 0:
            self._admission.end_silent(SILENCE_S)
            told = self._woken(min(left_s, 1.0))
        if told != _REST:
            log.warning("stopping before all that had begun is done")

    def _woken(self, timeout_s: float) -> int | None:
        """What the main thread was told; None when time is up."""
        self._ear.settimeout(timeout_s)
        try:
            return self._ear.recv(1)[0]
        except TimeoutError:
            return None

    def _listen_no_more(self) -> None:
        """From here on another signal ends the process as it is."""
        if self._signals:
            signal.set_wakeup_fd(-1)
        for number in self._signals:
            signal.signal(number, signal.SIG_DFL)
        self._mouth.close()
        self._ear.close()


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a node's folder for this daemon: a second one would take the first one's work for cut off.

    Raises:
        ConfigError: another process serves it.
    """
    with (folder / "serving.lock").open("a") as file:
        if sys.platform != "win32":
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ConfigError(f"Another process serves {folder}; stop it first.") from None
        yield


def _asked(health: HealthServicer) -> grpc.GenericRpcHandler:
    """Health for those who ask; to watch it would hold a thread without end."""
    check = grpc.unary_unary_rpc_method_handler(
        health.Check,
        request_deserializer=HealthCheckRequest.FromString,
        response_serializer=HealthCheckResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(HEALTH, {"Check": check})


def allow_files() -> int:
    """Let this process have as many files open as connections and threads at their limits need, or as many as it may.

    Returns:
        How many of FILES that is.
    """
    if sys.platform == "win32":
        return FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < FILES:  # below 0 stands for any number
        more = FILES if hard < 0 else min(FILES, hard)
        with suppress(OSError, ValueError):  # forbidden, by a sandbox for one
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
            soft = more
    return FILES if soft < 0 else min(FILES, soft)


class NodeServicer(NodeServiceServicer):
    """Who answers here, in which version, and how its audit log stands."""

    def __init__(self, config: Config, role: str, store: Store) -> None:
        self._config, self._role, self._store = config, role, store

    def GetNode(self, _request: pb.GetNodeRequest, _context: grpc.ServicerContext) -> pb.GetNodeResponse:  # noqa: N802
        """Tell version and time to a node of the federation."""
        return pb.GetNodeResponse(
            name=self._config.name,
            version=protocols.program(),
            protocols=protocols.SUPPORTED,
            unix_ms=time.time_ns() // 1_000_000,
            role=self._role,
        )

    def ExchangeHeads(  # noqa: N802
        self, request: pb.ExchangeHeadsRequest, _context: grpc.ServicerContext
    ) -> pb.ExchangeHeadsResponse:
        """Hear how the logs of a session stand at others, and tell what is known here; among its parties only."""
        federation, session_id = self._config.federation(), sized(request.session_id, SESSION_ID_BYTES, "session_id")
        caller = who_calls()
        manifest = self._store.of_party(session_id, caller).manifest
        heads.receive(self._store, federation, manifest, [head_of(head) for head in request.heads[: heads.MAX_HEADS]])
        return pb.ExchangeHeadsResponse(heads=map(head_to_pb, heads.told(self._store, manifest, caller)))
