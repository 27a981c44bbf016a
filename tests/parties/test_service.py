"""A daemon's life over real connections: it listens, keeps house, and stops without cutting anyone off."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from parties import calls, coordinator, metrics, node, protocols, service
from parties.audit import Head
from parties.config import Config
from parties.errors import ConfigError, PeerUnavailable, SessionRefused, StorageError
from parties.lifecycle import State
from parties.loopback import free_port
from parties.service import NodeServicer, Service
from protos.matchbit.v1 import node_pb2 as pb
from protos.matchbit.v1.node_pb2_grpc import NodeServiceStub, add_NodeServiceServicer_to_server
from tests.parties.samples import approvals, federate, terms_of

UPLOAD = "/test/upload"
SENTENCE = r"^neutral is being stopped; try again when it is back\.$"


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Config]:
    """The neutral node listens; agency-a calls."""
    address = f"127.0.0.1:{free_port()}"
    names = ("agency-a", "agency-b", "agency-c", "stranger", "neutral")
    return federate(tmp_path_factory.mktemp("nodes"), names, {"neutral": address})


class Daemon:
    """The neutral node's service in a thread, and work that it does until it is told that it is done, or cut off."""

    def __init__(self, config: Config, every_s: float = 3600.0) -> None:
        self.service, self._every_s = Service(config, "node"), every_s
        self.housekept, self.done, self.was_cut = threading.Event(), threading.Event(), threading.Event()
        self._config = config
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        try:
            self.service.run(self._add, self.housekept.set, self._every_s, self._cut)
        finally:
            self.housekept.set()  # a failure must not leave the test waiting

    def _add(self, server: grpc.Server) -> None:
        servicer = NodeServicer(self._config, "node", self._config.store())
        add_NodeServiceServicer_to_server(servicer, server)
        upload = grpc.stream_stream_rpc_method_handler(self._upload)
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test", {"upload": upload})])

    def _upload(self, requests: Iterator[bytes], _context: grpc.ServicerContext) -> Iterator[bytes]:
        with self.service.working():
            yield from requests

    def _cut(self) -> None:
        self.was_cut.set()
        self.done.set()

    @contextmanager
    def working(self) -> Iterator[threading.Thread]:
        """While an upload is under way."""
        begun = threading.Event()

        def upload() -> None:
            with self.service.working():
                begun.set()
                self.done.wait()

        thread = threading.Thread(target=upload)
        thread.start()
        begun.wait()
        yield thread
        thread.join()

    def __enter__(self) -> Daemon:
        self._thread.start()
        self.housekept.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.service.stop()
        self._cut()
        self._thread.join()

    def join(self) -> None:
        self._thread.join()


@contextmanager
def asking(configs: dict[str, Config], name: str = "agency-a") -> Iterator[grpc.Channel]:
    """A node's connection to the neutral node."""
    own = configs[name]
    with calls.connected(own, own.federation()["neutral"]) as connection:
        yield connection


def refusals(status: str) -> float:
    """How many calls have been answered with this status."""
    return metrics.REGISTRY.get_sample_value("matchbit_refusals_total", {"status": status}) or 0.0


def health_of(connection: grpc.Channel) -> int:
    """The node's, when asked."""
    return int(HealthStub(connection).Check(HealthCheckRequest(), timeout=10).status)


def test_it_serves_and_says_who_it_is(configs: dict[str, Config]) -> None:
    with Daemon(configs["neutral"]), asking(configs) as connection:
        assert health_of(connection) == HealthCheckResponse.SERVING
        node = NodeServiceStub(connection).GetNode(pb.GetNodeRequest(), timeout=10)
        assert (node.name, node.role, tuple(node.protocols)) == ("neutral", "node", protocols.SUPPORTED)
        assert node.version == protocols.program()
        assert node.unix_ms > 1_700_000_000_000


def test_health_is_not_watched(configs: dict[str, Config]) -> None:
    """Whoever watches would hold a thread for as long as it likes."""
    with (
        Daemon(configs["neutral"]),
        pytest.raises(PeerUnavailable, match="unimplemented"),
        asking(configs) as connection,
    ):
        next(HealthStub(connection).Watch(HealthCheckRequest(), timeout=10))


def test_logs_heads_are_exchanged_among_a_sessions_parties_only(configs: dict[str, Config]) -> None:
    terms = terms_of(configs)
    own, its = configs["agency-a"].store(), configs["neutral"].store()
    for store in (own, its):
        store.add_session(terms, State.APPROVED, approvals(configs, terms))
    node = configs["agency-a"].federation()["neutral"]

    def exchanged(caller: str, session_id: bytes, heads: Sequence[Head]) -> list[Head]:
        with calls.connected(configs[caller], node) as connection:
            return calls.exchange_heads(connection, session_id, heads)

    with Daemon(configs["neutral"]):
        told = exchanged("agency-a", terms.session_id, own.latest_heads(terms.session_id))
        assert {head.node for head in told} == {"agency-a", "neutral"}
        assert {head.node for head in its.latest_heads(terms.session_id)} == {"agency-a", "neutral"}
        before = refusals("FAILED_PRECONDITION")
        with pytest.raises(SessionRefused, match=r"^No session [0-9a-f]{16} is known here"):
            exchanged("stranger", terms.session_id, [])
        assert refusals("FAILED_PRECONDITION") == before + 1
        with pytest.raises(SessionRefused, match="No session"):
            exchanged("agency-a", bytes(32), [])


def test_what_has_begun_comes_to_its_end_and_nothing_new_begins(configs: dict[str, Config]) -> None:
    daemon = Daemon(configs["neutral"])
    with daemon, asking(configs) as connection:
        assert health_of(connection) == HealthCheckResponse.SERVING
        with daemon.working() as upload:
            daemon.service.stop()
            while health_of(connection) == HealthCheckResponse.SERVING:
                pass
            with pytest.raises(PeerUnavailable, match=SENTENCE), daemon.service.working():
                pass
            node = NodeServiceStub(connection).GetNode(pb.GetNodeRequest(), timeout=10)
            assert node.name == "neutral"  # calls of what has begun are answered still
            assert upload.is_alive()
            assert not daemon.was_cut.is_set()
            daemon.done.set()
        daemon.join()


def test_it_stops_at_once_when_there_is_nothing_to_wait_for(configs: dict[str, Config]) -> None:
    with Daemon(configs["neutral"]) as daemon:
        daemon.done.set()
        with daemon.working():
            pass
        daemon.service.stop()
        daemon.join()


def test_patience_ends(configs: dict[str, Config]) -> None:
    with Daemon(replace(configs["neutral"], drain_timeout_s=0.05)) as daemon, daemon.working():
        daemon.service.stop()
        daemon.join()
        assert daemon.was_cut.is_set()


def test_housekeeping_ends_calls_that_are_silent(configs: dict[str, Config]) -> None:
    """Where all threads wait for their callers, no other call comes in that would do it."""
    daemon = Daemon(configs["neutral"], every_s=0.01)
    daemon.service._admission._patience_s = 0.0
    silence: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    with daemon, pytest.raises(PeerUnavailable, match="it waited for us too long"), asking(configs) as connection:
        list(connection.stream_stream(UPLOAD)(iter(silence.get, b""), timeout=60))
    silence.put(b"")


def test_it_does_not_wait_for_an_upload_that_is_silent(
    configs: dict[str, Config], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "SILENCE_S", 0.0)
    silence: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    silence.put(b"a")
    with Daemon(replace(configs["neutral"], drain_timeout_s=15.0)) as daemon, asking(configs) as connection:
        upload = connection.stream_stream(UPLOAD)(iter(silence.get, b""), timeout=60)
        assert next(upload) == b"a"
        daemon.service.stop()
        daemon.join()
        silence.put(b"")
    told = [record.getMessage() for record in caplog.records]
    assert "agency-a kept a call waiting for 0 s, which was ended" in told
    assert "stopping before all that had begun is done" not in told


def test_asked_once_more_it_ends_what_is_being_done(configs: dict[str, Config]) -> None:
    with Daemon(configs["neutral"]) as daemon, daemon.working():
        daemon.service.stop()
        daemon.service.stop()
        daemon.join()
        assert daemon.was_cut.is_set()


def test_work_that_fails_is_over_too(configs: dict[str, Config]) -> None:
    with Daemon(configs["neutral"]) as daemon:
        with suppress(ZeroDivisionError), daemon.service.working():
            raise ZeroDivisionError
        daemon.service.stop()
        daemon.join()


def test_housekeeping_goes_on_after_a_failure(configs: dict[str, Config]) -> None:
    service, times = Service(configs["neutral"], "node"), list[int]()

    def housekeeping() -> None:
        times.append(len(times))
        if len(times) == 3:
            service.stop()
        raise StorageError("The disk is full.")

    service.run(lambda _: None, housekeeping, 0.01, lambda: None)
    assert times == [0, 1, 2]


def test_a_node_that_cannot_listen_leaves_nothing_behind(configs: dict[str, Config]) -> None:
    metrics_at = f"127.0.0.1:{free_port()}"
    second = Service(replace(configs["neutral"], metrics=metrics_at), "node")
    with Daemon(configs["neutral"]), pytest.raises(ConfigError, match="Cannot listen on"):
        second.run(lambda _: None, lambda: None, 3600.0, lambda: None)
    with Daemon(replace(configs["neutral"], metrics=metrics_at)):
        pass  # its port for metrics is free


FILES = """
import resource, sys
from parties.service import FILES, allow_files
soft, hard = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
assert allow_files() == min(FILES, hard)
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (max(soft, min(FILES, hard)), hard)
"""


@pytest.mark.parametrize(("soft", "hard"), [(256, 1024), (1024, 8192), (8192, 8192), (1024, 20000), (18000, 20000)])
def test_a_daemon_may_open_what_it_needs_where_the_system_lets_it(soft: int, hard: int) -> None:
    limits = map(str, (soft, hard))
    subprocess.run([sys.executable, "-c", FILES, *limits], check=True, timeout=60)


def test_a_folder_is_served_by_one_daemon(tmp_path: Path) -> None:
    """A second one would take the first one's work for cut off."""
    with service.alone(tmp_path):
        with pytest.raises(ConfigError, match=r"Another process serves .*; stop it first"), service.alone(tmp_path):
            pytest.fail("two daemons")
        (tmp_path / "other").mkdir()
        with service.alone(tmp_path / "other"):
            pass
    with service.alone(tmp_path):
        pass


@pytest.mark.parametrize("serve", [node.serve, coordinator.serve])
def test_a_second_daemon_touches_nothing(configs: dict[str, Config], serve: Callable[[Config, Service], None]) -> None:
    config = configs["neutral"]
    store, session_id = config.store(), terms_of(configs, title="Cut off").session_id
    store.add_session(terms_of(configs, title="Cut off"), State.APPROVED)
    if store.get(session_id).state is State.APPROVED:
        store.begin(session_id, 1, bytes(32), ["agency-a"])
    before = store.entries(b""), store.entries(session_id)
    second = Service(config, "node")
    second.stop()  # should it begin at all
    with service.alone(config.folder), pytest.raises(ConfigError, match="Another process serves"):
        serve(config, second)
    assert store.get(session_id).state is State.RUNNING
    assert (store.entries(b""), store.entries(session_id)) == before


PROGRAM = """
import pathlib, sys, threading
from parties import config, logs
from parties.service import Service
logs.setup("text")
service = Service.until_signal(config.load(pathlib.Path(sys.argv[1])), "node")
cut = threading.Event()
def upload():
    with service.working():
        cut.wait()
threading.Thread(target=upload).start()
service.run(lambda server: None, lambda: None, 3600.0, cut.set)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stop_a_process(configs: dict[str, Config], number: signal.Signals) -> None:
    """The first one drains, the second one ends what is being done."""
    command = [sys.executable, "-c", PROGRAM, str(configs["neutral"].folder / "node.toml")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            assert "node neutral listens on" in process.stderr.readline()
            process.send_signal(number)
            assert "uploads and runs under way: 1; waiting for them up to 60 s" in process.stderr.readline()
            process.send_signal(number)
            assert "stopping before all that had begun is done" in process.stderr.readline()
            assert "node neutral has stopped" in process.stderr.readline()
            assert process.wait() == 0
        finally:
            process.kill()


INTERRUPTED = """
import pathlib, signal, sys, threading
from parties import config
from parties.service import Service
service = Service.until_signal(config.load(pathlib.Path(sys.argv[1])), "node")
listens = threading.Event()
def interrupted():
    listens.wait()
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    threading.Event().wait()
threading.Thread(target=interrupted, daemon=True).start()
service.run(lambda server: None, listens.set, 3600.0, lambda: None)
"""


def test_a_signal_is_heard_whichever_thread_it_interrupts(configs: dict[str, Config]) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(configs["neutral"].folder / "node.toml")]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0
