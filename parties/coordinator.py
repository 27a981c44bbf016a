"""The coordinator's daemon: keeps terms, signatures and receipts, and has sessions computed. It holds no shares.

What the servicer allows is decided in `registry`, and `runner` has sessions computed; here are only messages.
"""

from __future__ import annotations

from contextlib import suppress

import grpc

from mpc.channel import MAX_MESSAGE_BYTES
from parties import audit, calls, metrics, protocols
from parties.admission import who_calls
from parties.config import Config
from parties.engines import MAX_COMMITTEE
from parties.errors import InputError, ServiceError, SessionRefused
from parties.lifecycle import State
from parties.registry import Registry
from parties.runner import Runner
from parties.service import NodeServicer, Service, alone
from parties.store import SessionRecord
from parties.wire import (
    SESSION_ID_BYTES,
    SIGNATURE_BYTES,
    View,
    commitment_of,
    manifest_of,
    reason_of,
    receipt_of,
    sized,
    state_to_pb,
    view_to_pb,
)
from protos.matchbit.v1 import session_pb2 as pb
from protos.matchbit.v1 import session_pb2_grpc as services
from protos.matchbit.v1.node_pb2_grpc import add_NodeServiceServicer_to_server

MIN_PREFIX_BYTES = 4
HOUSEKEEPING_S = 30.0


class SessionServicer(services.SessionServiceServicer):
    """Sessions, as their parties and the coordinator's operator see them."""

    def __init__(self, registry: Registry, runner: Runner, committee: calls.Committee) -> None:
        self._registry, self._runner, self._committee = registry, runner, committee
        self._store = registry.store
        self._shown: tuple[View, pb.Session] | None = None

    def _view(self, record: SessionRecord) -> pb.Session:
        """A session for one of its parties; as it was shown last, where nothing has changed."""
        store = self._store
        progress = self._runner.progress.get(record.id, ("", 0, 0))
        view = View(record, store.commitments(record.id), tuple(store.completions(record.id)), progress)
        shown = self._shown
        if shown is None or shown[0] != view:
            self._shown = shown = view, view_to_pb(view)
        return shown[1]

    def _whole_id(self, prefix: bytes, caller: str) -> bytes:
        """The session of the caller's that begins so."""
        if len(prefix) == SESSION_ID_BYTES:
            return prefix
        if not MIN_PREFIX_BYTES <= len(prefix) <= SESSION_ID_BYTES:
            raise InputError(f"A session id has {2 * SESSION_ID_BYTES} hex digits, or its first 8 or more.")
        found = [i for i in self._store.session_ids(prefix) if caller in self._store.get(i).manifest.nodes]
        if len(found) > 1:
            raise InputError("More than one session begins with these digits; give more of them.")
        return found[0] if found else prefix

    def ProposeSession(  # noqa: N802 - named by the contract
        self, request: pb.ProposeSessionRequest, _context: grpc.ServicerContext
    ) -> pb.ProposeSessionResponse:
        """Publish a manifest."""
        caller = who_calls()
        self._registry.operator_only(caller)
        manifest = manifest_of(request.manifest)
        self._registry.propose(caller, manifest)
        return pb.ProposeSessionResponse(session_id=manifest.session_id)

    def ListSessions(  # noqa: N802
        self, request: pb.ListSessionsRequest, _context: grpc.ServicerContext
    ) -> pb.ListSessionsResponse:
        """The caller's sessions."""
        del request
        response = pb.ListSessionsResponse()
        for record in self._registry.sessions(who_calls()):
            view = view_to_pb(View(record, {}, (), self._runner.progress.get(record.id, ("", 0, 0))))
            del view.signatures[:]
            if response.ByteSize() + view.ByteSize() > MAX_MESSAGE_BYTES:
                break
            response.sessions.append(view)
        return response

    def GetSession(self, request: pb.GetSessionRequest, _context: grpc.ServicerContext) -> pb.GetSessionResponse:  # noqa: N802
        """One session."""
        caller = who_calls()
        record = self._registry.session(self._whole_id(request.session_id, caller), caller)
        return pb.GetSessionResponse(session=self._view(record))

    def ApproveSession(  # noqa: N802
        self, request: pb.ApproveSessionRequest, _context: grpc.ServicerContext
    ) -> pb.ApproveSessionResponse:
        """Keep the caller's signature."""
        caller = who_calls()
        session_id = self._whole_id(request.session_id, caller)
        signature = sized(request.signature, SIGNATURE_BYTES, "signature")
        return pb.ApproveSessionResponse(state=state_to_pb(self._registry.approve(caller, session_id, signature)))

    def RefuseSession(  # noqa: N802
        self, request: pb.RefuseSessionRequest, _context: grpc.ServicerContext
    ) -> pb.RefuseSessionResponse:
        """End the session with the caller's reason."""
        caller = who_calls()
        session_id = self._whole_id(request.session_id, caller)
        state = self._registry.refuse(caller, session_id, reason_of(request.reason))
        return pb.RefuseSessionResponse(state=state_to_pb(state))

    def ReportContribution(  # noqa: N802
        self, request: pb.ReportContributionRequest, _context: grpc.ServicerContext
    ) -> pb.ReportContributionResponse:
        """Keep the caller's commitment, and the receipts for it."""
        caller, commitment = who_calls(), commitment_of(request.commitment)
        receipts = [receipt_of(r) for r in request.receipts[: MAX_COMMITTEE + 1]]
        state = self._registry.report(caller, commitment, receipts)
        return pb.ReportContributionResponse(state=state_to_pb(state))

    def RunSession(self, request: pb.RunSessionRequest, _context: grpc.ServicerContext) -> pb.RunSessionResponse:  # noqa: N802
        """Queue a session for computing."""
        caller = who_calls()
        session_id = self._whole_id(request.session_id, caller)
        self._registry.run(caller, session_id)
        self._runner.drive(session_id)
        return pb.RunSessionResponse(state=state_to_pb(self._store.state(session_id)))

    def CloseSession(self, request: pb.CloseSessionRequest, _context: grpc.ServicerContext) -> pb.CloseSessionResponse:  # noqa: N802
        """Have shares and results deleted by all committee nodes, then close."""
        caller = who_calls()
        session_id = self._whole_id(request.session_id, caller)

        def delete(name: str) -> None:
            record = self._store.get(session_id)
            if record.state is State.ABORTED:  # and may be computed there
                with suppress(SessionRefused):  # the node is further, or has never heard of it
                    self._committee.abort(name, session_id, record.attempt, record.reason)
            self._committee.delete(name, session_id)
            with suppress(ServiceError):  # a node that has never heard of the session has no log of it
                self._committee.exchange_heads(name, session_id)

        self._registry.close(caller, session_id, delete)
        return pb.CloseSessionResponse(state=state_to_pb(self._store.state(session_id)))


def serve(config: Config, service: Service | None = None) -> None:
    """Serve until the process is told to stop.

    Raises:
        ConfigError: the coordinator cannot start.
    """
    with alone(config.folder):
        _serve(config, service or Service.until_signal(config, "coordinator"))


def _serve(config: Config, service: Service) -> None:
    store = config.store()
    registry, committee = Registry(config.name, store, config.federation), calls.Committee(config, store)
    runner = Runner(registry, committee, config.step_timeout_s)
    store.log(audit.NODE, audit.Event.STARTED, version=protocols.program())
    metrics.ask_sessions(store.count_states)

    def add(server: grpc.Server) -> None:
        servicer = SessionServicer(registry, runner, committee)
        services.add_SessionServiceServicer_to_server(servicer, server)
        add_NodeServiceServicer_to_server(NodeServicer(config, "coordinator", store), server)

    def keep_house() -> None:
        registry.end_overdue()
        runner.drive_all()

    service.run(add, keep_house, HOUSEKEEPING_S, runner.stop)
    store.log(audit.NODE, audit.Event.STOPPED)
