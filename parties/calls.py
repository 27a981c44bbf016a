"""The calling side: what members, operators, nodes and the coordinator ask of other nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import grpc
from cryptography.exceptions import InvalidSignature

from mpc.channel import MAX_MESSAGE_BYTES
from parties.config import Config
from parties.contribution import Dealing
from parties.errors import InputError, ResultError
from parties.federation import Federation, Node
from parties.manifest import Manifest
from parties.store import Receipt, SessionRecord
from parties.transport import CALL_TIMEOUT_S, UPLOAD_TIMEOUT_S, calling, dial
from parties.wire import receipt_of, receipt_to_pb, session_of
from protos.matchbit.v1 import committee_pb2, session_pb2
from protos.matchbit.v1.committee_pb2_grpc import ContributionServiceStub, RunServiceStub
from protos.matchbit.v1.session_pb2_grpc import SessionServiceStub

SignedReceipt = session_pb2.Receipt
"""A receipt as its node sent it."""
SessionView = tuple[SessionRecord, dict[str, int], tuple[str, int, int]]
"""A session as the coordinator tells it: record, keys that members contributed, (phase, rows done, rows in all)."""


@contextmanager
def connected(config: Config, node: Node) -> Iterator[grpc.Channel]:
    """A connection to a node for the length of a block; failed calls raise our own errors."""
    connection = dial(config.identity(), node)
    try:
        with calling(node.name):
            yield connection
    finally:
        connection.close()


class Coordinator:
    """The coordinator's session service, called as this node.

    Args:
        config: of this node.
        federation: of this node.
    """

    def __init__(self, config: Config, federation: Federation) -> None:
        self._config, self._node = config, federation.coordinator

    @contextmanager
    def _service(self) -> Iterator[SessionServiceStub]:
        with connected(self._config, self._node) as connection:
            yield SessionServiceStub(connection)

    def propose(self, manifest: Manifest) -> bytes:
        """Publish a manifest; returns the session id."""
        with self._service() as service:
            request = session_pb2.ProposeSessionRequest(manifest=manifest.to_bytes())
            service.ProposeSession(request, timeout=CALL_TIMEOUT_S)
        return manifest.session_id

    def sessions(self) -> list[SessionView]:
        """The sessions that this node is part of, newest first."""
        with self._service() as service:
            response = service.ListSessions(session_pb2.ListSessionsRequest(), timeout=CALL_TIMEOUT_S)
        return [session_of(s) for s in response.sessions]

    def get(self, session_id: bytes) -> SessionView:
        """One session; an id may be shortened to its first bytes.

        Raises:
            ResultError: the coordinator answered with another session.
        """
        with self._service() as service:
            request = session_pb2.GetSessionRequest(session_id=session_id)
            response = service.GetSession(request, timeout=CALL_TIMEOUT_S)
        view = session_of(response.session)
        if not view[0].id.startswith(session_id):
            raise ResultError(f"{self._node.name} answered with another session than was asked for.")
        return view

    def approve(self, session_id: bytes, signature: bytes) -> None:
        """Sign."""
        with self._service() as service:
            request = session_pb2.ApproveSessionRequest(session_id=session_id, signature=signature)
            service.ApproveSession(request, timeout=CALL_TIMEOUT_S)

    def refuse(self, session_id: bytes, reason: str) -> None:
        """Refuse for good."""
        with self._service() as service:
            request = session_pb2.RefuseSessionRequest(session_id=session_id, reason=reason)
            service.RefuseSession(request, timeout=CALL_TIMEOUT_S)

    def report(self, session_id: bytes, receipts: list[SignedReceipt]) -> None:
        """Show the committee's receipts."""
        with self._service() as service:
            request = session_pb2.ReportContributionRequest(session_id=session_id, receipts=receipts)
            service.ReportContribution(request, timeout=CALL_TIMEOUT_S)

    def run(self, session_id: bytes) -> None:
        """Queue for computing."""
        with self._service() as service:
            service.RunSession(session_pb2.RunSessionRequest(session_id=session_id), timeout=CALL_TIMEOUT_S)

    def close(self, session_id: bytes) -> None:
        """Delete shares and results everywhere."""
        with self._service() as service:
            service.CloseSession(session_pb2.CloseSessionRequest(session_id=session_id), timeout=4 * CALL_TIMEOUT_S)


def contribute(
    config: Config, node: Node, session_id: bytes, dealing: Dealing, progress: Callable[[int], None]
) -> SignedReceipt:
    """Upload what one committee node is dealt; returns its receipt, checked against what was sent.

    Raises:
        ResultError: the receipt is not for what was sent, or not signed by the node.
    """

    def requests() -> Iterator[committee_pb2.ContributeRequest]:
        seed_a, seed_b = dealing.seeds
        head = committee_pb2.ContributionHeader(session_id=session_id, rows=dealing.rows, seed_a=seed_a, seed_b=seed_b)
        yield committee_pb2.ContributeRequest(header=head)
        body = b"" if dealing.whole is None else dealing.whole.tobytes()
        for start in range(0, len(body), MAX_MESSAGE_BYTES):
            yield committee_pb2.ContributeRequest(chunk=body[start : start + MAX_MESSAGE_BYTES])
            progress(min(start + MAX_MESSAGE_BYTES, len(body)))

    response: committee_pb2.ContributeResponse
    with connected(config, node) as connection:
        response = ContributionServiceStub(connection).Contribute(requests(), timeout=UPLOAD_TIMEOUT_S)
    receipt = receipt_of(response.receipt)
    expected = Receipt(session_id, config.name, node.name, dealing.rows, dealing.digests)
    check_receipt(node, receipt)
    if receipt.signed_bytes() != expected.signed_bytes():
        raise ResultError(
            f"{node.name} confirmed something else than was uploaded; ask its operator, then contribute again."
        )
    return response.receipt


def check_receipt(node: Node, receipt: Receipt) -> None:
    """Check that a receipt is signed by the node it names.

    Raises:
        InputError: it is not.
    """
    try:
        node.verifier().verify(receipt.signature, receipt.signed_bytes())
    except InvalidSignature:
        raise InputError(f"A receipt of {node.name} is not signed by it.") from None


def fetch_result(config: Config, node: Node, session_id: bytes, limit_bytes: int) -> bytes:
    """A committee node's part of this member's result, at most so long.

    Raises:
        ResultError: the node sends more.
    """
    parts: list[bytes] = []
    with connected(config, node) as connection:
        request = committee_pb2.FetchResultRequest(session_id=session_id)
        for response in ContributionServiceStub(connection).FetchResult(request, timeout=UPLOAD_TIMEOUT_S):
            parts.append(response.chunk)
            if sum(map(len, parts)) > limit_bytes:
                raise ResultError(f"{node.name} sends a longer result than is due; ask its operator.")
    return b"".join(parts)


def start_run(config: Config, node: Node, attempt: int, receipts: Sequence[Receipt], timeout_s: float) -> None:
    """Let a committee node begin an attempt on the contributions of these receipts; waits for its turn."""
    shown = [receipt_to_pb(r) for r in receipts if r.node == node.name]
    with connected(config, node) as connection:
        request = committee_pb2.StartRunRequest(session_id=receipts[0].session_id, attempt=attempt, receipts=shown)
        RunServiceStub(connection).StartRun(request, timeout=timeout_s)


def get_run(config: Config, node: Node, session_id: bytes) -> committee_pb2.GetRunResponse:
    """How a committee node's newest attempt goes."""
    with connected(config, node) as connection:
        request = committee_pb2.GetRunRequest(session_id=session_id)
        response: committee_pb2.GetRunResponse = RunServiceStub(connection).GetRun(request, timeout=CALL_TIMEOUT_S)
    return response


def delete_session(config: Config, node: Node, session_id: bytes) -> None:
    """Let a committee node delete a session's shares and results."""
    with connected(config, node) as connection:
        request = committee_pb2.DeleteSessionRequest(session_id=session_id)
        RunServiceStub(connection).DeleteSession(request, timeout=CALL_TIMEOUT_S)
