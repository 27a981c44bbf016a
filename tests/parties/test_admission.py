"""What one caller can hold of a node, over real connections: places, threads, and other callers' patience."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from parties import admission
from parties.admission import (
    CALLS,
    COORDINATORS_CALLS,
    LONGEST_BYTES,
    PATIENCE_S,
    QUEUED,
    UPLOADS,
    Admission,
    who_calls,
)
from parties.audit import Head
from parties.config import Config
from parties.engines import MAX_COMMITTEE
from parties.errors import InputError, PeerUnavailable, TooManyCalls
from parties.heads import MAX_HEADS
from parties.loopback import free_port
from parties.manifest import MAX_MANIFEST_BYTES, MAX_MEMBERS, MAX_RECORDS, MAX_RULES
from parties.statements import Commitment
from parties.transport import calling, dial, listen
from parties.wire import commitment_to_pb, head_to_pb
from protos.matchbit.v1.committee_pb2 import StartRunRequest
from protos.matchbit.v1.node_pb2 import ExchangeHeadsRequest
from protos.matchbit.v1.session_pb2 import ProposeSessionRequest
from tests.parties.samples import federate
from tests.parties.test_protocols import KINDS, Echoes, call

CONTRIBUTE = "/matchbit.v1.ContributionService/Contribute"
EXCHANGE = "/matchbit.v1.ExchangeService/Exchange"
START_RUN = "/matchbit.v1.RunService/StartRun"
ENDLESS = "/test/endless"


class Methods(grpc.GenericRpcHandler):
    """Echoes under other names; a unary method that names its caller; a stream without end."""

    def __init__(self) -> None:
        self.heard, self.left = threading.Event(), threading.Event()

    def service(self, handler_call_details: Any) -> Any:
        echo = grpc.stream_stream_rpc_method_handler(lambda requests, _: requests)
        return {
            "/test/who": grpc.unary_unary_rpc_method_handler(lambda _request, _: who_calls().encode()),
            CONTRIBUTE: echo,
            START_RUN: echo,
            EXCHANGE: grpc.stream_unary_rpc_method_handler(self._all),
            ENDLESS: grpc.unary_stream_rpc_method_handler(self._endless),
        }.get(handler_call_details.method)

    def _all(self, requests: Iterator[bytes], _context: Any) -> bytes:
        whole = b""
        for request in requests:
            whole += request
            self.heard.set()
        return whole

    def _endless(self, _request: bytes, _context: Any) -> Iterator[bytes]:
        self.heard.set()
        try:
            while True:
                yield bytes(1 << 16)
        finally:
            self.left.set()


class Nodes:
    """agency-a listens; others call."""

    def __init__(self, folder: Path, patience_s: float = PATIENCE_S) -> None:
        address = f"127.0.0.1:{free_port()}"
        self.configs = federate(folder, ["agency-a", "agency-b", "agency-c"], {"agency-a": address, "hub": address})
        self.methods = Methods()
        own = self.configs["agency-a"]
        self.admission = Admission(own.name, own.federation, patience_s)
        self.server = listen(own, self._add, self.admission)

    def _add(self, server: grpc.Server) -> None:
        server.add_generic_rpc_handlers([Echoes(), self.methods])

    @contextmanager
    def connected(self, name: str = "agency-b") -> Iterator[grpc.Channel]:
        own: Config = self.configs[name]
        with dial(own.identity(), own.federation()["agency-a"]) as connection, calling("agency-a"):
            yield connection

    def ask(self, name: str) -> str:
        """Who agency-a says is calling."""
        with self.connected(name) as connection:
            answer: bytes = connection.unary_unary("/test/who")(b"", timeout=60)
        return answer.decode()

    def ask_until(self, over: Callable[[], bool]) -> None:
        """Call as agency-c until something has come about."""
        for _ in range(1000):
            with suppress(PeerUnavailable):  # without patience it may be ended by a call that comes at the same time
                assert self.ask("agency-c") == "agency-c"
            if over():
                return
        pytest.fail("It has not come about.")


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    running = Nodes(tmp_path)
    yield running
    running.server.stop(None).wait()


@pytest.fixture
def hurried(tmp_path: Path) -> Iterator[Nodes]:
    """agency-a has no patience at all."""
    running = Nodes(tmp_path, patience_s=0.0)
    yield running
    running.server.stop(None).wait()


class Held:
    """A call that is being answered, and goes on until it is told to end."""

    def __init__(self, connection: grpc.Channel, method: str) -> None:
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._requests.put(b"x")
        self._answers: Any = connection.stream_stream(method)(iter(self._requests.get, None), timeout=60)
        assert next(self._answers) == b"x"

    def end(self) -> None:
        self._requests.put(None)
        assert list(self._answers) == []


def hold(connection: grpc.Channel, count: int, method: str = "/test/stream_stream") -> list[Held]:
    return [Held(connection, method) for _ in range(count)]


# Methods


@pytest.mark.parametrize("kind", KINDS)
def test_methods_of_every_kind_answer_as_without_it(nodes: Nodes, kind: str) -> None:
    with nodes.connected() as connection:
        assert call(connection, kind) == b"ab"


def test_a_method_knows_who_calls(nodes: Nodes) -> None:
    assert [nodes.ask(name) for name in ("agency-b", "agency-c", "agency-b")] == ["agency-b", "agency-c", "agency-b"]


def test_a_call_without_its_message(nodes: Nodes) -> None:
    with pytest.raises(InputError, match="without its message"), nodes.connected() as connection:
        connection.stream_unary("/test/unary_unary")(iter(()), timeout=10)


@pytest.mark.parametrize(("method", "fits"), [("/test/stream_stream", False), (CONTRIBUTE, True), (EXCHANGE, True)])
def test_only_rows_and_frames_are_long(nodes: Nodes, method: str, fits: bool) -> None:
    def echoed(size: int) -> bool:
        with nodes.connected() as connection:
            return list(connection.stream_stream(method)(iter([bytes(size)]), timeout=60)) == [bytes(size)]

    assert echoed(LONGEST_BYTES)
    if fits:
        assert echoed(LONGEST_BYTES + 1)
    else:
        with pytest.raises(InputError, match="A message of the call has more than 512 KiB; compare versions"):
            echoed(LONGEST_BYTES + 1)


def test_the_longest_that_honest_callers_send_fits() -> None:
    name, longest = "n" * 63, bytes(32)
    digests, most = (longest,) * MAX_COMMITTEE, MAX_RECORDS
    committed = Commitment(
        longest, name, bytes(64), records=most, new_records=most, keys=most * MAX_RULES, digests=digests
    )
    head = Head(name, longest, 2**63, longest, bytes(64))
    commitments = [commitment_to_pb(committed)] * MAX_MEMBERS
    started = StartRunRequest(session_id=longest, attempt=2**31, commitments=commitments)
    exchanged = ExchangeHeadsRequest(session_id=longest, heads=[head_to_pb(head)] * MAX_HEADS)
    proposed = ProposeSessionRequest(manifest=bytes(MAX_MANIFEST_BYTES))
    assert max(message.ByteSize() for message in (started, exchanged, proposed)) < LONGEST_BYTES


def test_a_method_that_is_not_there(nodes: Nodes) -> None:
    with pytest.raises(PeerUnavailable, match="agency-a failed: unimplemented"), nodes.connected() as connection:
        connection.unary_unary("/test/none")(b"", timeout=10)


# Places


@pytest.mark.parametrize(
    ("name", "method", "most", "kind"),
    [
        ("agency-b", "/test/stream_stream", CALLS, "calls"),
        ("agency-b", START_RUN, CALLS, "calls"),
        ("agency-b", CONTRIBUTE, UPLOADS, "uploads"),
        ("hub", "/test/stream_stream", COORDINATORS_CALLS, "calls"),
        ("hub", START_RUN, QUEUED, "waiting sessions"),
    ],
)
def test_a_caller_has_so_many_calls_and_no_more(nodes: Nodes, name: str, method: str, most: int, kind: str) -> None:
    with ExitStack() as opened:
        two = [opened.enter_context(nodes.connected(name)) for _ in range(2)]  # the limit is not the connection's
        held = [call for connection in two for call in hold(connection, most // 2, method)]
        sentence = f"^agency-a answers at most {most} {kind} of {name} at a time; try again when one has ended.$"
        with pytest.raises(TooManyCalls, match=sentence), nodes.connected(name) as connection:
            hold(connection, 1, method)
        assert nodes.ask("agency-c") == "agency-c"
        held.pop().end()
        held += hold(two[0], 1, method)
        for call in held:
            call.end()


def test_limits_of_their_own_take_nothing_from_the_others(nodes: Nodes) -> None:
    with nodes.connected("hub") as connection:
        held = hold(connection, UPLOADS, CONTRIBUTE)
        assert nodes.ask("hub") == "hub"
        held += hold(connection, COORDINATORS_CALLS // 2) + hold(connection, 2, START_RUN)
        for call in held:
            call.end()


def test_whoever_hangs_up_has_all_places_again(nodes: Nodes) -> None:
    with nodes.connected() as connection:
        hold(connection, CALLS)

    def free() -> bool:
        with suppress(TooManyCalls):
            return nodes.ask("agency-b") == "agency-b"
        return False

    nodes.ask_until(free)


def test_the_log_tells_of_a_callers_excess_once_a_minute(nodes: Nodes, caplog: pytest.LogCaptureFixture) -> None:
    minutes = iter((0.0, 1.0, 59.0, 61.0))

    class Clock:
        monotonic = staticmethod(lambda: 0.0)

    with nodes.connected() as connection, pytest.MonkeyPatch.context() as patch:
        held = hold(connection, UPLOADS, CONTRIBUTE)
        patch.setattr(admission, "time", Clock)
        for at in minutes:
            patch.setattr(Clock, "monotonic", staticmethod(lambda at=at: 1000.0 + at))
            with pytest.raises(TooManyCalls), nodes.connected() as another:
                hold(another, 1, CONTRIBUTE)
        for call in held:
            call.end()
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert told == ["agency-b has 4 uploads open, as many as it may; others are refused"] * 2


# Patience


ENDED = "^agency-a ended the call: it waited for us too long, has too many, or is being stopped; try again.$"


@pytest.mark.parametrize(("kind", "sent"), [*((kind, 0) for kind in KINDS), ("stream_unary", 1), ("stream_stream", 1)])
def test_a_caller_that_keeps_a_node_waiting_for_a_message(hurried: Nodes, kind: str, sent: int) -> None:
    silence: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    for _ in range(sent):
        silence.put(b"a")
    with hurried.connected() as connection:
        begun = connection.stream_unary(f"/test/{kind}").future(iter(silence.get, b""), timeout=60)
        hurried.ask_until(begun.done)
        with pytest.raises(PeerUnavailable, match=ENDED), calling("agency-a"):
            begun.result()
        silence.put(b"")


def test_silence_ends_without_another_call(nodes: Nodes) -> None:
    """Where all threads are taken none comes, and a daemon that is to stop does not wait."""
    silence: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    silence.put(b"a")
    with nodes.connected() as connection:
        begun = connection.stream_stream(CONTRIBUTE)(iter(silence.get, b""), timeout=60)
        assert next(begun) == b"a"
        while begun.is_active():
            nodes.admission.end_silent(0.0)
        assert begun.code() is grpc.StatusCode.CANCELLED
        silence.put(b"")


def test_a_caller_that_does_not_read(hurried: Nodes) -> None:
    """The method is left, and with it its thread."""
    with hurried.connected() as connection:
        unread = connection.unary_stream(ENDLESS)(b"", timeout=60)
        assert hurried.methods.heard.wait(60)
        hurried.ask_until(hurried.methods.left.is_set)
        with pytest.raises(PeerUnavailable, match=ENDED), calling("agency-a"):
            list(unread)


def test_a_committee_node_may_be_silent_between_its_frames(hurried: Nodes) -> None:
    """It computes."""
    frames: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    frames.put(b"a")
    with hurried.connected() as connection:
        begun = connection.stream_unary(EXCHANGE).future(iter(frames.get, b""), timeout=60)
        assert hurried.methods.heard.wait(60)
        for _ in range(20):
            hurried.ask("agency-c")
        frames.put(b"b")
        frames.put(b"")
        assert begun.result() == b"ab"


def test_calls_that_were_ended_are_told_of_by_their_callers_name(
    hurried: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    silence: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    with hurried.connected() as connection:
        begun = connection.stream_unary(EXCHANGE).future(iter(silence.get, b""), timeout=60)
        hurried.ask_until(begun.done)
        silence.put(b"")
    told = [said for record in caplog.records if "agency-c" not in (said := record.getMessage())]
    assert told == ["agency-b kept a call waiting for 0 s, which was ended"]
