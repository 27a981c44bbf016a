"""Versions of the protocol: told with every call, and refused in one sentence, over real connections."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub, add_HealthServicer_to_server

from parties import metrics, protocols
from parties.errors import SessionRefused
from parties.protocols import Gate, announced, check, heard, told
from parties.transport import from_rpc
from protos.matchbit.v1 import node_pb2 as pb
from protos.matchbit.v1.node_pb2_grpc import NodeServiceServicer, NodeServiceStub, add_NodeServiceServicer_to_server

Versions = tuple[int, ...]
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


class Echoes(grpc.GenericRpcHandler):
    """A method of every kind, which gives back what it is sent."""

    def service(self, handler_call_details: Any) -> Any:
        return {
            "/test/unary_unary": grpc.unary_unary_rpc_method_handler(lambda request, _: request),
            "/test/unary_stream": grpc.unary_stream_rpc_method_handler(lambda request, _: iter([request])),
            "/test/stream_unary": grpc.stream_unary_rpc_method_handler(lambda requests, _: b"".join(requests)),
            "/test/stream_stream": grpc.stream_stream_rpc_method_handler(lambda requests, _: requests),
        }.get(handler_call_details.method)


class Told(NodeServiceServicer):
    """Tells what was told."""

    def GetNode(self, _request: Any, context: Any) -> pb.GetNodeResponse:  # noqa: N802
        return pb.GetNodeResponse(version=str(dict(context.invocation_metadata()).get(protocols.METADATA)))

    def ExchangeHeads(self, _request: Any, _context: Any) -> pb.ExchangeHeadsResponse:  # noqa: N802
        return pb.ExchangeHeadsResponse()


@contextmanager
def served(supported: Versions = protocols.SUPPORTED) -> Iterator[grpc.Channel]:
    """A plain connection to a node that speaks these versions."""
    server = grpc.server(ThreadPoolExecutor(8), interceptors=[Gate("agency-b", supported)])
    server.add_generic_rpc_handlers((Echoes(),))
    add_NodeServiceServicer_to_server(Told(), server)
    add_HealthServicer_to_server(HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as connection:
            yield connection
    finally:
        server.stop(None).wait()


def call(connection: grpc.Channel, kind: str, **details: Any) -> bytes:
    """One call of a kind, with a message either way."""
    request: Any = b"ab" if kind.startswith("unary") else iter([b"a", b"b"])
    answer: Any = getattr(connection, kind)(f"/test/{kind}")(request, timeout=10, **details)
    return answer if isinstance(answer, bytes) else b"".join(answer)


def refusal(connection: grpc.Channel, kind: str, **details: Any) -> str:
    """The sentence of a refused call, as the calling side tells it."""
    with pytest.raises(grpc.RpcError) as refused:
        call(connection, kind, **details)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION  # type: ignore[attr-defined]
    error = from_rpc("agency-b", refused.value)
    assert isinstance(error, SessionRefused)
    return str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_calls_of_every_kind_tell_their_versions_and_pass(kind: str) -> None:
    with served() as connection:
        assert call(announced(connection), kind) == b"ab"
        assert call(announced(connection), kind, metadata=(("other", "kept"),)) == b"ab"


@pytest.mark.parametrize("kind", KINDS)
def test_callers_that_do_not_tell_are_refused(kind: str) -> None:
    with served() as connection:
        assert refusal(connection, kind) == (
            "agency-b speaks version 1 of Matchbit's protocol, and the caller does not say which it speaks: the caller "
            "must update Matchbit."
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_newer_node_refuses_and_says_that_the_caller_must_update(kind: str) -> None:
    with served((2, 3)) as connection:
        assert refusal(announced(connection), kind) == (
            "agency-b speaks versions 2, 3 of Matchbit's protocol and the caller version 1: the caller must update "
            "Matchbit."
        )


def test_an_older_node_refuses_and_says_that_it_must_be_updated() -> None:
    with served() as connection:
        told_later = ((protocols.METADATA, "2,3"),)
        assert refusal(connection, "stream_unary", metadata=told_later) == (
            "agency-b speaks version 1 of Matchbit's protocol and the caller versions 2, 3: agency-b must update "
            "Matchbit."
        )


@pytest.mark.parametrize("versions", ["1", "1,2", "2,1", "7,1,3"])
def test_one_common_version_is_enough(versions: str) -> None:
    with served() as connection:
        assert call(connection, "unary_unary", metadata=((protocols.METADATA, versions),)) == b"ab"


def test_health_and_versions_can_be_asked_in_any_version() -> None:
    with served((9,)) as connection:
        health = HealthStub(connection).Check(HealthCheckRequest(), timeout=10)
        assert health.status == HealthCheckResponse.SERVING
        assert NodeServiceStub(connection).GetNode(pb.GetNodeRequest(), timeout=10).version == "None"
        assert NodeServiceStub(announced(connection)).GetNode(pb.GetNodeRequest(), timeout=10).version == "1"
        with pytest.raises(grpc.RpcError, match="must update Matchbit"):
            NodeServiceStub(connection).ExchangeHeads(pb.ExchangeHeadsRequest(), timeout=10)


def test_refusals_are_counted() -> None:
    def refusals() -> float:
        return metrics.REGISTRY.get_sample_value("matchbit_refusals_total", {"status": "FAILED_PRECONDITION"}) or 0.0

    with served((2,)) as connection:
        before = refusals()
        refusal(connection, "unary_unary")
        assert refusals() == before + 1


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "0",
        "01",
        "1,",
        ",1",
        "1, 2",
        "-1",
        "1.0",
        "one",
        "12345",
        b"1",
        "\u0661",
        "1\u0661",
        "1\n",
        ",".join(["1"] * 17),
    ],
)
def test_what_cannot_be_read_counts_as_not_told(value: str | bytes | None) -> None:
    assert heard(value) == ()


@pytest.mark.parametrize("versions", [(1,), (1, 2, 3), (9999,), tuple(range(1, 17))])
def test_what_is_told_is_heard(versions: Versions) -> None:
    assert heard(told(versions)) == versions


def test_who_must_update_is_who_has_the_older_newest_version() -> None:
    check((1, 3), "b", (2, 3))
    with pytest.raises(SessionRefused, match="the caller must update"):
        check((1, 3), "b", (2, 4))
    with pytest.raises(SessionRefused, match="b must update"):
        check((1, 5), "b", (2, 4))
