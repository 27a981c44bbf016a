"""Which versions of the protocol a node speaks: told with every call, which is refused where none is common.

Such a version is not the program's: it changes when nodes of before and after could misunderstand each other. Health
and `GetNode` answer callers of every version, so that operators can find out who must update.
"""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import grpc

from parties.admission import refuse
from parties.errors import SessionRefused

SUPPORTED = (1,)
"""The versions that this program speaks."""
METADATA = "matchbit-protocols"
EXEMPT = ("/grpc.health.v1.Health/", "/matchbit.v1.NodeService/GetNode")
_TOLD = re.compile(r"[1-9][0-9]{0,3}(,[1-9][0-9]{0,3}){0,15}")

Versions = tuple[int, ...]


def program() -> str:
    """Version of this program, as it was installed."""
    return version("matchbit")


def told(versions: Versions = SUPPORTED) -> str:
    """The metadata's value."""
    return ",".join(map(str, versions))


def heard(value: str | bytes | None) -> Versions:
    """The versions that a caller told; none where it told nothing, or nothing that can be read."""
    return tuple(map(int, value.split(","))) if isinstance(value, str) and _TOLD.fullmatch(value) else ()


def check(theirs: Versions, called: str, ours: Versions = SUPPORTED, caller: str = "the caller") -> None:
    """Let callers with a common version go on.

    Args:
        theirs: the caller's versions.
        called: name of the node that was called.
        ours: its versions.
        caller: the caller's name.

    Raises:
        SessionRefused: there is none; one sentence that names both sides' versions and who must update.
    """
    if set(theirs) & set(ours):
        return
    own = f"{called} speaks {_named(ours)} of Matchbit's protocol"
    if not theirs:
        raise SessionRefused(f"{own}, and {caller} does not say which it speaks: {caller} must update Matchbit.")
    who = called if max(theirs) > max(ours, default=0) else caller
    raise SessionRefused(f"{own} and {caller} {_named(theirs)}: {who} must update Matchbit.")


def _named(versions: Versions) -> str:
    shown = ", ".join(map(str, sorted(versions)))
    return f"version {shown or 'none'}" if len(versions) < 2 else f"versions {shown}"


def announced(channel: grpc.Channel) -> grpc.Channel:
    """The same connection, telling this program's versions with every call."""
    return grpc.intercept_channel(channel, _Announcing())


class _Details(
    namedtuple("_Details", ("method", "timeout", "metadata", "credentials", "wait_for_ready", "compression")),
    grpc.ClientCallDetails,
):
    """A call's details as gRPC wants them from an interceptor."""


class _Announcing(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Adds the metadata to calls of every kind."""

    def _call(self, continuation: Callable[[Any, Any], Any], call: Any, request: Any) -> Any:
        metadata = [*(call.metadata or ()), (METADATA, told())]
        details = (call.method, call.timeout, metadata, call.credentials, call.wait_for_ready, call.compression)
        return continuation(_Details(*details), request)

    intercept_unary_unary = intercept_unary_stream = _call  # type: ignore[assignment]  # stubs tell the kinds apart
    intercept_stream_unary = intercept_stream_stream = _call  # type: ignore[assignment]


class Gate(grpc.ServerInterceptor):
    """Refuses calls with which this node has no version in common, before anything of theirs is read.

    Args:
        called: name of this node.
        supported: its versions.
    """

    def __init__(self, called: str, supported: Versions = SUPPORTED) -> None:
        self._called, self._supported = called, supported

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """The method that was called, or one that refuses."""
        if handler_call_details.method.startswith(EXEMPT):
            return continuation(handler_call_details)
        theirs = heard(dict(handler_call_details.invocation_metadata).get(METADATA))
        try:
            check(theirs, self._called, self._supported)
        except SessionRefused as error:
            return _refusal(error)
        return continuation(handler_call_details)


def _refusal(error: SessionRefused) -> Any:
    """A method of any kind that reads nothing and answers with the error."""
    return grpc.stream_stream_rpc_method_handler(lambda _requests, context: refuse(context, error))
