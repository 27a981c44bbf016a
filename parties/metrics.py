"""What a node tells of itself to Prometheus: counts and times, never anybody's words, names or values.

One registry for the process. The daemons call the functions below; `served` answers scrapes, meant for loopback, since
it asks nobody who they are. Labels are this program's own words, so that no peer can fill memory with series.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram, Info
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from parties.errors import ConfigError, ServiceError
from parties.lifecycle import State

log = logging.getLogger("matchbit")
PHASE_SECONDS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)
"""Buckets of the phases' histogram: a demo's blink to a night's run."""

REGISTRY = CollectorRegistry()
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
ProcessCollector(registry=REGISTRY)
_BUILD = Info("matchbit_build", "Version of this program and of its Python.", registry=REGISTRY)
_ROWS = Counter("matchbit_rows", "Rows that computations were finished on.", registry=REGISTRY)
_RECEIVED = Counter("matchbit_received_bytes", "Bytes of messages from other nodes.", registry=REGISTRY)
_SENT = Counter("matchbit_sent_bytes", "Bytes of messages to other nodes.", registry=REGISTRY)
_PHASES = Histogram(
    "matchbit_phase_seconds", "How long a run's phases took.", ["phase"], registry=REGISTRY, buckets=PHASE_SECONDS
)
_REFUSALS = Counter("matchbit_refusals", "Calls that were answered with an error.", ["status"], registry=REGISTRY)
_RUNS = Counter("matchbit_runs", "Attempts that ended, by how.", ["outcome"], registry=REGISTRY)


def add_rows(count: int) -> None:
    """Rows of a run that is done."""
    _ROWS.inc(count)


def received(size_bytes: int) -> None:
    """Bytes that came from other nodes."""
    _RECEIVED.inc(size_bytes)


def sent(size_bytes: int) -> None:
    """Bytes that went to other nodes."""
    _SENT.inc(size_bytes)


def phase(name: str, seconds: float) -> None:
    """One phase of a run; the name is the engine's."""
    _PHASES.labels(name).observe(seconds)


def refused(status: str) -> None:
    """A call was answered with an error.

    Args:
        status: name of the gRPC status.
    """
    _REFUSALS.labels(status).inc()


def run_ended(outcome: State) -> None:
    """An attempt ended on this node: done or aborted."""
    _RUNS.labels(outcome.value).inc()


class _Asked(Collector):
    """What is found out at the moment of a scrape."""

    sessions: Callable[[], Mapping[State, int]] | None = None
    certificate: Callable[[], datetime] | None = None

    def describe(self) -> list[Metric]:
        """Nothing in advance: that would ask."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The figures that can be had; the others are missing from this scrape."""
        for ask in (self._sessions, self._certificate):
            try:
                yield from ask()
            except ServiceError as error:
                log.warning("metrics: %s", error)

    def _sessions(self) -> Iterator[Metric]:
        if self.sessions is None:
            return
        counts = self.sessions()
        family = GaugeMetricFamily("matchbit_sessions", "Sessions that this node knows, by state.", labels=["state"])
        for state in State:
            family.add_metric([state.value], counts.get(state, 0))
        yield family

    def _certificate(self) -> Iterator[Metric]:
        if self.certificate is None:
            return
        text = "Unix time at which this node's certificate expires."
        yield GaugeMetricFamily("matchbit_certificate_expires_seconds", text, self.certificate().timestamp())


_asked = _Asked()
REGISTRY.register(_asked)


def ask_sessions(counts: Callable[[], Mapping[State, int]]) -> None:
    """From where each scrape learns how many sessions are in which state; must be quick."""
    _asked.sessions = counts


def ask_certificate(expires: Callable[[], datetime]) -> None:
    """From where each scrape learns when the node's certificate expires."""
    _asked.certificate = expires


@contextmanager
def served(address: str, program: str) -> Iterator[None]:
    """Answer scrapes for the length of a block.

    Args:
        address: HOST:PORT, or empty for not at all.
        program: its version.

    Raises:
        ConfigError: the address cannot be used.
    """
    if not address:
        yield
        return
    _BUILD.info({"version": program, "python": platform.python_version()})
    host, _, port = address.rpartition(":")
    try:
        server, thread = prometheus_client.start_http_server(int(port), host.strip("[]"), REGISTRY)
    except (OSError, OverflowError):
        raise ConfigError(f"Cannot answer for `metrics` on {address}; is another program using the port?") from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
