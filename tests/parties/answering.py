"""Nodes that answer over real connections what a test says, for the tests of the calling side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from parties import calls
from parties.config import Config
from parties.errors import PeerUnavailable, ServiceError
from parties.loopback import free_port
from parties.statements import Receipt
from parties.transport import listen
from parties.wire import commitment_of, head_to_pb, receipt_to_pb
from protos.matchbit.v1 import committee_pb2 as pb
from protos.matchbit.v1 import node_pb2, session_pb2
from protos.matchbit.v1 import session_pb2_grpc as session_services
from protos.matchbit.v1.committee_pb2_grpc import (
    ContributionServiceServicer,
    RunServiceServicer,
    add_ContributionServiceServicer_to_server,
    add_RunServiceServicer_to_server,
)
from protos.matchbit.v1.node_pb2_grpc import NodeServiceServicer, add_NodeServiceServicer_to_server
from tests.parties.samples import federate

NAMES = ("agency-a", "agency-b", "agency-c", "neutral")
Lie = Callable[[Receipt], session_pb2.Receipt]


class Neutral(ContributionServiceServicer, RunServiceServicer, NodeServiceServicer):
    """A committee node that takes uploads, and tells of all else what a test says."""

    def __init__(self, config: Config) -> None:
        self._key = config.identity().signing_key
        self.forget()

    def forget(self) -> None:
        """As it was at the beginning."""
        self.lie: Lie = self.honest
        self.held = b""
        self.headers: list[pb.ContributionHeader] = []
        self.received: list[bytes] = []
        self.lost_after: list[int] = []
        self.refusal: ServiceError | None = None
        self.chunks: Iterable[bytes] = ()
        self.answer = pb.GetRunResponse(state=session_pb2.SESSION_STATE_APPROVED)
        self.heads: list[Any] = []
        self.asked: list[Any] = []

    def honest(self, receipt: Receipt) -> session_pb2.Receipt:
        return receipt_to_pb(receipt.signed(self._key))

    def _note(self, request: Any) -> None:
        self.asked.append(request)
        if self.refusal is not None:
            raise self.refusal

    def GetUpload(self, request: Any, _context: Any) -> pb.GetUploadResponse:  # noqa: N802
        self._note(request)
        return pb.GetUploadResponse(received_bytes=len(self.held))

    def Contribute(self, request_iterator: Any, _context: Any) -> pb.ContributeResponse:  # noqa: N802
        """Keep what comes; the connection is lost after as many chunks as `lost_after` says next."""
        header = next(request_iterator).header
        self.headers.append(header)
        left = self.lost_after.pop(0) if self.lost_after else -1
        for request in request_iterator:
            if left == 0:
                raise PeerUnavailable("The connection is lost.")
            self.received.append(request.chunk)
            self.held += request.chunk
            left -= 1
        commitment = commitment_of(header.commitment)
        receipt = Receipt(commitment.session_id, "neutral", member=commitment.name, commitment=commitment.digest)
        return pb.ContributeResponse(receipt=self.lie(receipt))

    def FetchResult(self, request: Any, _context: Any) -> Iterator[pb.FetchResultResponse]:  # noqa: N802
        self.asked.append(request)
        yield from (pb.FetchResultResponse(chunk=chunk) for chunk in self.chunks)

    def GetRun(self, request: Any, _context: Any) -> pb.GetRunResponse:  # noqa: N802
        self._note(request)
        return self.answer

    def StartRun(self, request: Any, _context: Any) -> pb.StartRunResponse:  # noqa: N802
        self._note(request)
        return pb.StartRunResponse()

    def EndRun(self, request: Any, _context: Any) -> pb.EndRunResponse:  # noqa: N802
        self._note(request)
        return pb.EndRunResponse()

    def DeleteSession(self, request: Any, _context: Any) -> pb.DeleteSessionResponse:  # noqa: N802
        self._note(request)
        return pb.DeleteSessionResponse()

    def ExchangeHeads(self, request: Any, _context: Any) -> node_pb2.ExchangeHeadsResponse:  # noqa: N802
        self._note(request)
        return node_pb2.ExchangeHeadsResponse(heads=map(head_to_pb, self.heads))


class Hub(session_services.SessionServiceServicer):
    """A coordinator that answers what a test says."""

    def __init__(self) -> None:
        self.answer: Callable[[], session_pb2.Session] = session_pb2.Session
        self.asked: list[Any] = []

    def GetSession(self, request: Any, _context: Any) -> session_pb2.GetSessionResponse:  # noqa: N802
        self.asked.append(request)
        return session_pb2.GetSessionResponse(session=self.answer())

    def ListSessions(self, request: Any, _context: Any) -> session_pb2.ListSessionsResponse:  # noqa: N802
        self.asked.append(request)
        return session_pb2.ListSessionsResponse(sessions=[self.answer()] * 2)

    def ProposeSession(self, request: Any, _context: Any) -> session_pb2.ProposeSessionResponse:  # noqa: N802
        self.asked.append(request)
        return session_pb2.ProposeSessionResponse()

    def ApproveSession(self, request: Any, _context: Any) -> session_pb2.ApproveSessionResponse:  # noqa: N802
        self.asked.append(request)
        return session_pb2.ApproveSessionResponse()

    def RefuseSession(self, request: Any, _context: Any) -> session_pb2.RefuseSessionResponse:  # noqa: N802
        self.asked.append(request)
        return session_pb2.RefuseSessionResponse()

    def ReportContribution(self, request: Any, _context: Any) -> session_pb2.ReportContributionResponse:  # noqa: N802
        self.asked.append(request)
        return session_pb2.ReportContributionResponse()

    def RunSession(self, request: Any, _context: Any) -> session_pb2.RunSessionResponse:  # noqa: N802
        self.asked.append(request)
        return session_pb2.RunSessionResponse()

    def CloseSession(self, request: Any, _context: Any) -> session_pb2.CloseSessionResponse:  # noqa: N802
        self.asked.append(request)
        return session_pb2.CloseSessionResponse()


@contextmanager
def serving(node: Config, add: Callable[[grpc.Server], None]) -> Iterator[None]:
    """A node that listens for the length of a block."""
    server = listen(node, add)
    try:
        yield
    finally:
        server.stop(None).wait()


class Nodes:
    """agency-a calls, and so does the coordinator; the neutral node and the coordinator answer over mutual TLS."""

    def __init__(self, folder: Path) -> None:
        addresses = {name: f"127.0.0.1:{free_port()}" for name in ("neutral", "hub", "agency-b")}
        self.configs = federate(folder, NAMES, addresses)
        self.own = self.configs["agency-a"]
        self.known = self.own.federation()
        self.neutral, self.hub = Neutral(self.configs["neutral"]), Hub()

    @contextmanager
    def served(self) -> Iterator[None]:
        def neutral(server: grpc.Server) -> None:
            add_ContributionServiceServicer_to_server(self.neutral, server)
            add_RunServiceServicer_to_server(self.neutral, server)
            add_NodeServiceServicer_to_server(self.neutral, server)

        def hub(server: grpc.Server) -> None:
            session_services.add_SessionServiceServicer_to_server(self.hub, server)
            add_NodeServiceServicer_to_server(self.neutral, server)

        with serving(self.configs["neutral"], neutral), serving(self.configs["hub"], hub):
            yield

    @property
    def coordinator(self) -> calls.Coordinator:
        return calls.Coordinator(self.own, self.known)
