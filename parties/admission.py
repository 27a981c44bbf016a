"""Who calls, how much of a node one caller can hold at a time, and how calls that are refused are answered.

gRPC gives a call a thread before anything of its message is there. So methods of every kind are served as streams of
messages, which are the same on the wire: then what is here runs first, and knows when a call waits for its caller.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from parties import errors, metrics
from parties.errors import InputError, TooManyCalls
from parties.federation import Federation, Node
from parties.manifest import MAX_MANIFEST_BYTES

log = logging.getLogger("matchbit")
SAID = "matchbit-said"
"""Metadata of an answer whose words are the called node's, and not those of gRPC on the way."""
PATIENCE_S = 300.0
"""How long a caller may take for one message, or to take one: 1 MiB at 28 kbit/s."""
CALLS, COORDINATORS_CALLS = 16, 64
"""At most so many open calls of one caller, besides those that have limits of their own."""
LONGEST_BYTES = 2 * MAX_MANIFEST_BYTES
"""Of a message that is neither rows nor frames: a manifest, a thousand members' commitments, or all heads of a session.
What is short on the wire can be long when it is read."""
UPLOADS = 4
QUEUED = 64
"""Sessions that wait for their turn at a committee node: each is an open call of the coordinator's."""
TELL_S = 60.0
"""How often the log tells of one caller's excess."""
_CONTRIBUTE = "/matchbit.v1.ContributionService/Contribute"
_START_RUN = "/matchbit.v1.RunService/StartRun"
EXCHANGE = "/matchbit.v1.ExchangeService/Exchange"

_CALLER: ContextVar[str] = ContextVar("caller")


def who_calls() -> str:
    """Name of the node whose call is being answered."""
    return _CALLER.get()


def answer_to(name: str) -> None:
    """What this thread does from here on answers a call of this node."""
    _CALLER.set(name)


def refuse(context: grpc.ServicerContext, error: Exception) -> None:
    """End a call with the error's status and sentence; our own bugs tell nothing."""
    if isinstance(error, grpc.RpcError):  # the caller has gone
        raise error
    name = errors.status(error)
    metrics.refused(name)
    if name == "INTERNAL":
        context.set_code(grpc.StatusCode.INTERNAL)
        context.set_details("An unexpected error; see the log of the node that was called.")
        raise error
    context.set_trailing_metadata(((SAID, "1"),))
    context.abort(grpc.StatusCode[name], errors.sentence(error))


class Call:
    """A call that is being answered.

    Args:
        name: of its caller.
        method: as gRPC names it.
        context: of the call.
    """

    def __init__(self, name: str, method: str, context: grpc.ServicerContext) -> None:
        self.name, self.context = name, context
        self.waits_since: float | None = None
        """Since when the node waits for the caller: for its message, or for it to take one."""
        self._may_pause = method == EXCHANGE  # while it computes, which no other limit is needed for
        self._may_be_long = method in (EXCHANGE, _CONTRIBUTE)

    def heard(self, requests: Iterator[bytes], read: Callable[[bytes], Any]) -> Iterator[Any]:
        """The caller's messages, which are read here: of damaged ones gRPC would log that we had an error.

        Raises:
            InputError: one is too long, or cannot be read.
        """
        self.waits_since = time.monotonic()
        for request in requests:
            self.waits_since = None
            if len(request) > LONGEST_BYTES and not self._may_be_long:
                raise InputError(f"A message of the call has more than {LONGEST_BYTES >> 10} KiB; compare versions.")
            try:
                message = read(request)
            except DecodeError:
                raise InputError("A message of the call cannot be read; compare versions.") from None
            yield message
            self.waits_since = None if self._may_pause else time.monotonic()
        self.waits_since = None

    def answers(self, handler: grpc.RpcMethodHandler[Any, Any], requests: Iterator[Any]) -> Iterator[Any]:
        """What a method of any kind answers."""
        argument: Any = self.heard(requests, handler.request_deserializer or bytes)
        if not handler.request_streaming:
            argument = next(argument, None)
            if argument is None:
                raise InputError("A call came without its message.")
        kinds = handler.unary_unary, handler.unary_stream, handler.stream_unary, handler.stream_stream
        (method,) = (kind for kind in kinds if kind is not None)
        answer = method(argument, self.context)
        for response in answer if handler.response_streaming else (answer,):
            self.waits_since = time.monotonic()
            yield response
            self.waits_since = None


class Admission(grpc.ServerInterceptor):
    """Lets nodes of the federation call, each up to its limits.

    A call that waits for its caller too long is ended when another one comes, or by `end_silent`.

    Args:
        called: name of this node.
        federation: gives who is who, as of now.
        patience_s: how long a call may wait for its caller.
    """

    def __init__(self, called: str, federation: Callable[[], Federation], patience_s: float = PATIENCE_S) -> None:
        self._called, self._federation, self._patience_s = called, federation, patience_s
        self._lock = threading.RLock()  # an unfinished call may be swept up, and leave, at any allocation
        self._open: set[Call] = set()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._told: dict[str, float] = {}

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """The method that was called, for those that may."""
        self.end_silent()
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        answer = partial(self._answer, handler_call_details.method, handler)
        return grpc.stream_stream_rpc_method_handler(answer, None, handler.response_serializer)

    def _answer(
        self, method: str, handler: grpc.RpcMethodHandler[Any, Any], requests: Iterator[Any], context: Any
    ) -> Iterator[Any]:
        try:
            with self._admitted(method, context) as call:
                yield from call.answers(handler, requests)
        except Exception as error:
            refuse(context, error)

    @contextmanager
    def _admitted(self, method: str, context: grpc.ServicerContext) -> Iterator[Call]:
        """Hold a place for a call.

        Raises:
            PeerIdentityError: its caller is not of the federation (any more).
            TooManyCalls: the caller has no place left.
        """
        certificates = context.auth_context().get("x509_pem_cert", [b""])
        node = self._federation().by_certificate(bytes(certificates[0]))
        answer_to(node.name)
        call, (kind, most) = Call(node.name, method, context), _limit(node, method)
        with self._lock:
            if self._counts[node.name, kind] >= most:
                self._tell(node.name, f"has {most} {kind or 'calls'} open, as many as it may; others are refused")
                raise TooManyCalls(
                    f"{self._called} answers at most {most} {kind or 'calls'} of {node.name} at a time; try again when "
                    "one has ended."
                )
            self._counts[node.name, kind] += 1
            self._open.add(call)
        try:
            yield call
        finally:
            with self._lock:
                self._open.discard(call)
                self._counts[node.name, kind] -= 1

    def end_silent(self, patience_s: float | None = None) -> None:
        """End calls that have waited for their caller for so long; as long as it may take, if left out."""
        patience_s = self._patience_s if patience_s is None else patience_s
        before = time.monotonic() - patience_s
        with self._lock:
            for call in list(self._open):
                since = call.waits_since
                if since is not None and since <= before:
                    call.waits_since = None
                    call.context.cancel()
                    self._tell(call.name, f"kept a call waiting for {patience_s:g} s, which was ended")

    def _tell(self, name: str, what: str) -> None:
        """A log line, unless there has just been one of this caller."""
        now = time.monotonic()
        if now - self._told.get(name, -TELL_S) >= TELL_S:
            self._told[name] = now
            log.warning("%s %s", name, what, extra={"caller": name})


def _limit(node: Node, method: str) -> tuple[str, int]:
    """What kind of a caller's calls a call counts to, and at most how many are open."""
    if method == _CONTRIBUTE:
        return "uploads", UPLOADS
    if method == _START_RUN and node.coordinator:
        return "waiting sessions", QUEUED
    return "", COORDINATORS_CALLS if node.coordinator else CALLS
