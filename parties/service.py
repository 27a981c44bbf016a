"""What both daemons have in common: they listen, keep house, tell how they are, and stop without cutting anyone off."""

from __future__ import annotations

import logging
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum

import grpc
from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from parties import heads, metrics, protocols
from parties.config import Config
from parties.errors import PeerUnavailable, ServiceError, SessionRefused
from parties.identity import valid_until
from parties.store import Store
from parties.transport import Caller, guarded, listen
from parties.wire import SESSION_ID_BYTES, head_of, head_to_pb, sized
from protos.matchbit.v1 import node_pb2 as pb
from protos.matchbit.v1.node_pb2_grpc import NodeServiceServicer

log = logging.getLogger("matchbit")
GRACE_S = 1.0
"""How long the last calls may take when nothing is waited for any more."""


class _Wake(Enum):
    """What the main thread sleeps for."""

    STOP = "somebody asks the node to stop"
    REST = "nothing is being done any more"


class Service:
    """A daemon from its start to its end.

    Args:
        config: of the node.
        role: node or coordinator.
    """

    def __init__(self, config: Config, role: str) -> None:
        self._config, self.role = config, role
        self._wake: queue.SimpleQueue[_Wake] = queue.SimpleQueue()  # the one queue that a signal may put into
        self._lock = threading.Lock()
        self._working = 0
        self._draining = False
        self._health = HealthServicer()
        self._signals: tuple[signal.Signals, ...] = ()

    @classmethod
    def until_signal(cls, config: Config, role: str) -> Service:
        """A service that SIGTERM and SIGINT stop; for the main thread."""
        service = cls(config, role)
        service._signals = (signal.SIGTERM, signal.SIGINT)
        for number in service._signals:
            signal.signal(number, service.stop)
        return service

    def stop(self, *_signal: object) -> None:
        """Ask it to stop when what has begun is done; asked once more, it stops at once."""
        self._wake.put(_Wake.STOP)

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
                    self._wake.put(_Wake.REST)

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
            add_HealthServicer_to_server(self._health, server)
            add_services(server)

        metrics.ask_certificate(lambda: valid_until(self._config.identity().certificate))
        with metrics.served(self._config.metrics, protocols.program()):
            server = listen(self._config, add)
            log.info("%s %s listens on %s", self.role, self._config.name, self._config.listen)
            try:
                self._keep_house(housekeeping, every_s)
                self._drain()
            finally:
                for number in self._signals:  # from here on one more ends the process as it is
                    signal.signal(number, signal.SIG_DFL)
                cut()
                server.stop(GRACE_S).wait()
                log.info("%s %s has stopped", self.role, self._config.name)

    def _keep_house(self, housekeeping: Callable[[], None], every_s: float) -> None:
        """Until asked to stop."""
        while True:
            try:
                housekeeping()
            except ServiceError:
                log.exception("housekeeping failed; trying again in %g s", every_s)
            if self._woken(every_s):
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
        if self._woken(patience_s) is not _Wake.REST:
            log.warning("stopping before all that had begun is done")

    def _woken(self, timeout_s: float) -> _Wake | None:
        """What the main thread was woken for; None when time is up."""
        try:
            return self._wake.get(timeout=timeout_s)
        except queue.Empty:
            return None


class NodeServicer(NodeServiceServicer):
    """Who answers here, in which version, and how its audit log stands."""

    def __init__(self, config: Config, role: str, store: Store) -> None:
        self._config, self._role, self._store = config, role, store

    @guarded
    def GetNode(self, request: pb.GetNodeRequest, context: grpc.ServicerContext) -> pb.GetNodeResponse:  # noqa: N802
        """Tell version and time to a node of the federation."""
        del request
        Caller(self._config.federation(), context)
        return pb.GetNodeResponse(
            name=self._config.name,
            version=protocols.program(),
            protocols=protocols.SUPPORTED,
            unix_ms=time.time_ns() // 1_000_000,
            role=self._role,
        )

    @guarded
    def ExchangeHeads(  # noqa: N802
        self, request: pb.ExchangeHeadsRequest, context: grpc.ServicerContext
    ) -> pb.ExchangeHeadsResponse:
        """Hear how the logs of a session stand at others, and tell what is known here; among its parties only."""
        federation, session_id = self._config.federation(), sized(request.session_id, SESSION_ID_BYTES, "session_id")
        manifest = self._store.get(session_id).manifest
        if Caller(federation, context).name not in manifest.nodes:
            raise SessionRefused("Only the parties of a session exchange how its logs stand.")
        heads.receive(self._store, federation, manifest, [head_of(head) for head in request.heads[: heads.MAX_HEADS]])
        return pb.ExchangeHeadsResponse(heads=map(head_to_pb, self._store.latest_heads(session_id)))
