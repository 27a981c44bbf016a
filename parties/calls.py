"""The calling side: what members, operators, nodes and the coordinator ask of other nodes."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeVar

import grpc

from mpc.channel import MAX_MESSAGE_BYTES
from parties import heads
from parties.audit import Head
from parties.config import Config
from parties.contribution import Dealing
from parties.errors import PeerUnavailable, ResultError, TooManyCalls
from parties.federation import Federation, Node
from parties.heads import MAX_HEADS
from parties.manifest import Manifest
from parties.statements import Commitment, Completion, Receipt
from parties.store import Store
from parties.transport import CALL_TIMEOUT_S, UPLOAD_TIMEOUT_S, calling, dial
from parties.wire import (
    Answer,
    View,
    answer_of,
    commitment_to_pb,
    completion_to_pb,
    head_of,
    head_to_pb,
    receipt_of,
    receipt_to_pb,
    view_of,
)
from protos.matchbit.v1 import committee_pb2, node_pb2, session_pb2
from protos.matchbit.v1.committee_pb2_grpc import ContributionServiceStub, RunServiceStub
from protos.matchbit.v1.node_pb2_grpc import NodeServiceStub
from protos.matchbit.v1.session_pb2_grpc import SessionServiceStub

T = TypeVar("T")
UPLOAD_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Between the tries of an upload whose connection is lost."""
BUSY_PAUSES_S = (0.1, 0.2, 0.5, *UPLOAD_PAUSES_S)
"""Between the tries of a call to a node that says that it is busy."""
PATIENCE_S = 120.0
"""How long such a call is made again for people; a daemon, whose own callers wait, is not patient."""


@contextmanager
def connected(config: Config, node: Node) -> Iterator[grpc.Channel]:
    """A connection to a node for the length of a block; failed calls raise our own errors."""
    connection = dial(config.identity(), node)
    try:
        with calling(node.name):
            yield connection
    finally:
        connection.close()


def patiently(call: Callable[[], T], patience_s: float = PATIENCE_S) -> T:
    """Make a call, and make it again as long as the node is busy.

    Raises:
        TooManyCalls: it was so each time, or for as long as we are patient.
    """
    until = time.monotonic() + patience_s
    for pause_s in BUSY_PAUSES_S:
        try:
            return call()
        except TooManyCalls:
            if time.monotonic() + pause_s > until:
                raise
        _pause(pause_s)
    return call()


def _pause(pause_s: float) -> None:
    """As long or less, by chance: others wait too, and are not to come back at the same moment."""
    time.sleep(pause_s * (1000 + secrets.randbelow(1001)) / 2000)


class Coordinator:
    """The coordinator's session service, called as this node; it is asked again where it is busy.

    Args:
        config: of this node.
        federation: of this node.
        patience_s: how long a call is made again; `run` and `refuse`, which may have been heard, are not.
    """

    def __init__(self, config: Config, federation: Federation, patience_s: float = PATIENCE_S) -> None:
        self._config, self._node, self._patience_s = config, federation.coordinator, patience_s
        self._kept: grpc.Channel | None = None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """One connection for all calls of a block, which is short and makes one call after the other."""
        with connected(self._config, self._node) as connection:
            self._kept = connection
            try:
                yield
            finally:
                self._kept = None

    def _once(self, ask: Callable[[grpc.Channel], T]) -> T:
        if self._kept is not None:
            with calling(self._node.name):
                return ask(self._kept)
        with connected(self._config, self._node) as connection:
            return ask(connection)

    def _ask(self, ask: Callable[[grpc.Channel], T]) -> T:
        return patiently(lambda: self._once(ask), self._patience_s)

    def _call(self, ask: Callable[[SessionServiceStub], T]) -> T:
        return self._ask(lambda connection: ask(SessionServiceStub(connection)))

    def propose(self, manifest: Manifest) -> bytes:
        """Publish a manifest; returns the session id."""
        request = session_pb2.ProposeSessionRequest(manifest=manifest.to_bytes())
        self._call(lambda service: service.ProposeSession(request, timeout=CALL_TIMEOUT_S))
        return manifest.session_id

    def sessions(self) -> list[View]:
        """The sessions that this node is part of, newest first."""
        request = session_pb2.ListSessionsRequest()
        response = self._call(lambda service: service.ListSessions(request, timeout=CALL_TIMEOUT_S))
        return [view_of(s) for s in response.sessions]

    def get(self, session_id: bytes) -> View:
        """One session; an id may be shortened to its first bytes.

        Raises:
            ResultError: the coordinator answered with another session.
        """
        request = session_pb2.GetSessionRequest(session_id=session_id)
        response = self._call(lambda service: service.GetSession(request, timeout=CALL_TIMEOUT_S))
        view = _view(response.session.SerializeToString())
        if not view.record.id.startswith(session_id):
            raise ResultError(f"{self._node.name} answered with another session than was asked for.")
        return view

    def approve(self, session_id: bytes, signature: bytes) -> None:
        """Sign."""
        request = session_pb2.ApproveSessionRequest(session_id=session_id, signature=signature)
        self._call(lambda service: service.ApproveSession(request, timeout=CALL_TIMEOUT_S))

    def refuse(self, session_id: bytes, reason: str) -> None:
        """Refuse for good."""
        request = session_pb2.RefuseSessionRequest(session_id=session_id, reason=reason)
        self._once(lambda connection: SessionServiceStub(connection).RefuseSession(request, timeout=CALL_TIMEOUT_S))

    def report(self, commitment: Commitment, receipts: Sequence[Receipt]) -> None:
        """Show a contribution's commitment and the committee's receipts."""
        shown = [receipt_to_pb(r) for r in receipts]
        request = session_pb2.ReportContributionRequest(commitment=commitment_to_pb(commitment), receipts=shown)
        self._call(lambda service: service.ReportContribution(request, timeout=CALL_TIMEOUT_S))

    def exchange_heads(self, session_id: bytes, heads: Sequence[Head]) -> list[Head]:
        """Tell how audit logs of a session stand, and hear what the coordinator knows of them; signatures unchecked."""
        return self._ask(lambda connection: exchange_heads(connection, session_id, heads))

    def run(self, session_id: bytes) -> None:
        """Queue for computing."""
        request = session_pb2.RunSessionRequest(session_id=session_id)
        self._once(lambda connection: SessionServiceStub(connection).RunSession(request, timeout=CALL_TIMEOUT_S))

    def close(self, session_id: bytes) -> None:
        """Delete shares and results everywhere."""
        request = session_pb2.CloseSessionRequest(session_id=session_id)
        self._call(lambda service: service.CloseSession(request, timeout=4 * CALL_TIMEOUT_S))


@lru_cache(2)
def _view(session: bytes) -> View:
    """A session as a coordinator tells it, which it mostly tells again as it was: whoever waits for it asks often."""
    return view_of(session_pb2.Session.FromString(session))


def exchange_heads(connection: grpc.Channel, session_id: bytes, heads: Sequence[Head]) -> list[Head]:
    """Tell a node how audit logs of a session stand, and hear what it knows of them; signatures unchecked."""
    request = node_pb2.ExchangeHeadsRequest(session_id=session_id, heads=map(head_to_pb, heads))
    response = NodeServiceStub(connection).ExchangeHeads(request, timeout=CALL_TIMEOUT_S)
    return [head_of(head) for head in response.heads[:MAX_HEADS]]


def contribute(
    config: Config, node: Node, commitment: Commitment, dealing: Dealing, progress: Callable[[int], None]
) -> Receipt:
    """Upload what one committee node is dealt, from where an earlier try was cut off; returns its checked receipt.

    Raises:
        PeerUnavailable: the connection was lost more often than makes sense.
        ResultError: the receipt is not for what was sent, or not signed by the node.
    """
    receipt = _upload(config, node, commitment, dealing, progress)
    expected = Receipt(commitment.session_id, node.name, member=config.name, commitment=commitment.digest)
    receipt.check(node.verifier())
    if receipt.signed_bytes != expected.signed_bytes:
        raise ResultError(
            f"{node.name} confirmed something else than was uploaded; ask its operator, then contribute again."
        )
    return receipt


def _upload(
    config: Config, node: Node, commitment: Commitment, dealing: Dealing, progress: Callable[[int], None]
) -> Receipt:
    """Send what the node does not have yet, and again after a lost connection."""
    pauses, begun = iter(UPLOAD_PAUSES_S), False
    while True:
        try:
            with connected(config, node) as connection:
                service = ContributionServiceStub(connection)
                asked = committee_pb2.GetUploadRequest(session_id=commitment.session_id, commitment=commitment.digest)
                offset = service.GetUpload(asked, timeout=CALL_TIMEOUT_S).received_bytes
                begun = True
                requests = _upload_requests(commitment, dealing, offset, progress)
                return receipt_of(service.Contribute(requests, timeout=UPLOAD_TIMEOUT_S).receipt)
        except PeerUnavailable as error:
            begun = begun or isinstance(error, TooManyCalls)
            pause_s = next(pauses, None)
            if pause_s is None or not begun:  # a node that is down is for its operator
                raise
            _pause(pause_s)


def _upload_requests(
    commitment: Commitment, dealing: Dealing, offset: int, progress: Callable[[int], None]
) -> Iterator[committee_pb2.ContributeRequest]:
    header = committee_pb2.ContributionHeader(
        commitment=commitment_to_pb(commitment), seeds=dealing.seeds, offset=offset
    )
    yield committee_pb2.ContributeRequest(header=header)
    body = memoryview(b"") if dealing.whole is None else dealing.whole.reshape(-1).data
    progress(offset)
    for start in range(offset, len(body), MAX_MESSAGE_BYTES):
        yield committee_pb2.ContributeRequest(chunk=bytes(body[start : start + MAX_MESSAGE_BYTES]))
        progress(min(start + MAX_MESSAGE_BYTES, len(body)))


def fetch_result(
    config: Config, node: Node, session_id: bytes, completions: Sequence[Completion], limit_bytes: int
) -> bytes:
    """A committee node's part of this member's result, at most so long.

    Raises:
        ResultError: the node sends more, or other pieces than nodes keep, which could go on for ever.
    """
    shown = [completion_to_pb(c) for c in completions]
    request = committee_pb2.FetchResultRequest(session_id=session_id, completions=shown)
    return patiently(lambda: _fetched(config, node, request, limit_bytes))


def _fetched(config: Config, node: Node, request: committee_pb2.FetchResultRequest, limit_bytes: int) -> bytes:
    part = bytearray()
    with connected(config, node) as connection:
        for response in ContributionServiceStub(connection).FetchResult(request, timeout=UPLOAD_TIMEOUT_S):
            if len(response.chunk) != min(MAX_MESSAGE_BYTES, limit_bytes - len(part)) or not response.chunk:
                raise ResultError(f"{node.name} sends another result than is due; ask its operator.")
            part += response.chunk
    return bytes(part)


def get_run(config: Config, node: Node, session_id: bytes) -> committee_pb2.GetRunResponse:
    """How a committee node's newest attempt goes."""
    with connected(config, node) as connection:
        request = committee_pb2.GetRunRequest(session_id=session_id)
        response: committee_pb2.GetRunResponse = RunServiceStub(connection).GetRun(request, timeout=CALL_TIMEOUT_S)
    return response


class Committee:
    """Committee nodes, called as the coordinator; see `runner.Committee`.

    Args:
        config: of the coordinator.
        store: of the coordinator, for the heads of audit logs.
    """

    def __init__(self, config: Config, store: Store) -> None:
        self._config, self._store = config, store

    @contextmanager
    def _service(self, name: str) -> Iterator[RunServiceStub]:
        with connected(self._config, self._config.federation()[name]) as connection:
            yield RunServiceStub(connection)

    def look(self, name: str, session_id: bytes) -> Answer:
        """How the newest attempt goes."""
        return answer_of(get_run(self._config, self._config.federation()[name], session_id))

    def check(self, name: str, session_id: bytes, commitments: Sequence[Commitment]) -> None:
        """Ask whether an attempt could begin; nothing is changed."""
        self.start(name, session_id, 0, commitments)

    def start(self, name: str, session_id: bytes, attempt: int, commitments: Sequence[Commitment]) -> None:
        """Begin an attempt; waits for its turn."""
        shown = [commitment_to_pb(c) for c in commitments]
        with self._service(name) as service:
            request = committee_pb2.StartRunRequest(session_id=session_id, attempt=attempt, commitments=shown)
            service.StartRun(request, timeout=self._config.start_timeout_s)

    def release(self, name: str, session_id: bytes, attempt: int, completions: Sequence[Completion]) -> None:
        """Tell that results are released."""
        shown = committee_pb2.Completions(completions=[completion_to_pb(c) for c in completions])
        with self._service(name) as service:
            request = committee_pb2.EndRunRequest(session_id=session_id, attempt=attempt, completions=shown)
            service.EndRun(request, timeout=CALL_TIMEOUT_S)

    def abort(self, name: str, session_id: bytes, attempt: int, reason: str) -> None:
        """Tell that the session is aborted."""
        with self._service(name) as service:
            request = committee_pb2.EndRunRequest(session_id=session_id, attempt=attempt, reason=reason)
            service.EndRun(request, timeout=CALL_TIMEOUT_S)

    def delete(self, name: str, session_id: bytes) -> None:
        """Let a node delete a session's shares and results."""
        with self._service(name) as service:
            request = committee_pb2.DeleteSessionRequest(session_id=session_id)
            service.DeleteSession(request, timeout=CALL_TIMEOUT_S)

    def exchange_heads(self, name: str, session_id: bytes) -> None:
        """Exchange how the audit logs stand."""
        federation = self._config.federation()
        with connected(self._config, federation[name]) as connection:
            told = exchange_heads(connection, session_id, self._store.latest_heads(session_id))
        heads.receive(self._store, federation, self._store.get(session_id).manifest, told)
