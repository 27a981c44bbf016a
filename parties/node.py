"""A committee node's daemon: takes shares, computes with its peers, gives members their parts of the result.

What the servicers allow is decided in `guard`; here are only messages and streams.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import grpc

from mpc import kernel
from mpc.errors import MpcError, PeerError
from parties import audit, calls, metrics, policyfile, protocols
from parties.admission import who_calls
from parties.approvals import Approvals
from parties.compute import Figures, Runs, prepare
from parties.config import Config
from parties.engines import MAX_COMMITTEE
from parties.errors import ConfigError, InputError, PeerUnavailable, SessionRefused
from parties.frames import Frame
from parties.guard import Guard, Surroundings
from parties.lifecycle import State
from parties.policy import Policy
from parties.service import NodeServicer, Service, alone
from parties.shares import Shares
from parties.store import Store
from parties.transport import Mailboxes, add_exchange
from parties.wire import (
    DIGEST_BYTES,
    SESSION_ID_BYTES,
    commitment_of,
    completion_of,
    completion_to_pb,
    reason_of,
    receipt_to_pb,
    seeds_of,
    sized,
    state_to_pb,
)
from protos.matchbit.v1 import committee_pb2 as pb
from protos.matchbit.v1 import committee_pb2_grpc as services
from protos.matchbit.v1.node_pb2_grpc import add_NodeServiceServicer_to_server
from protos.matchbit.v1.session_pb2 import Progress

log = logging.getLogger("matchbit")
HOUSEKEEPING_S = 30.0
LAST_S = 3.0
"""So long before its call ends, a session that waits for its turn is told so: its coordinator would find us silent."""


class ContributionServicer(services.ContributionServiceServicer):
    """Takes members' shares and gives them their parts of the result."""

    def __init__(self, guard: Guard, service: Service) -> None:
        self._guard, self._service = guard, service

    def GetUpload(self, request: pb.GetUploadRequest, _context: grpc.ServicerContext) -> pb.GetUploadResponse:  # noqa: N802 - named by the contract
        """Tell how much of an upload is here."""
        session_id = sized(request.session_id, SESSION_ID_BYTES, "session_id")
        commitment = sized(request.commitment, DIGEST_BYTES, "commitment")
        received = self._guard.received_bytes(who_calls(), session_id, commitment)
        return pb.GetUploadResponse(received_bytes=received)

    def Contribute(  # noqa: N802
        self, request_iterator: Iterator[pb.ContributeRequest], _context: grpc.ServicerContext
    ) -> pb.ContributeResponse:
        """Store an upload, or the rest of it, and confirm what is stored with a signature."""
        header = next(request_iterator, pb.ContributeRequest()).header
        commitment = commitment_of(header.commitment)
        seeds = seeds_of(header)
        member = who_calls()
        with self._service.working():
            receipt = self._guard.receive(member, commitment, seeds, header.offset, _chunks(request_iterator))
        told = {"session": commitment.session_id[:8].hex(), "member": member}
        log.info("session %s: %d keys of %s", told["session"], commitment.keys, member, extra=told)
        return pb.ContributeResponse(receipt=receipt_to_pb(receipt))

    def FetchResult(  # noqa: N802
        self, request: pb.FetchResultRequest, _context: grpc.ServicerContext
    ) -> Iterator[pb.FetchResultResponse]:
        """Send this node's part of the caller's result."""
        session_id = sized(request.session_id, SESSION_ID_BYTES, "session_id")
        completions = [completion_of(c) for c in request.completions[: MAX_COMMITTEE + 1]]
        for chunk in self._guard.result(who_calls(), session_id, completions):
            metrics.sent(len(chunk))
            yield pb.FetchResultResponse(chunk=chunk)


def _chunks(requests: Iterator[pb.ContributeRequest]) -> Iterator[bytes]:
    for request in requests:
        metrics.received(len(request.chunk))
        yield request.chunk


class RunServicer(services.RunServiceServicer):
    """Runs sessions for the coordinator."""

    def __init__(self, guard: Guard, runs: Runs) -> None:
        self._guard, self._runs = guard, runs

    def StartRun(self, request: pb.StartRunRequest, context: grpc.ServicerContext) -> pb.StartRunResponse:  # noqa: N802
        """Begin an attempt when it is this session's turn."""
        session_id = sized(request.session_id, SESSION_ID_BYTES, "session_id")
        commitments = [commitment_of(c) for c in request.commitments]

        def is_waited_for() -> bool:
            left_s = context.time_remaining()
            return context.is_active() and (left_s is None or left_s > LAST_S)

        self._runs.start(who_calls(), session_id, request.attempt, commitments, is_waited_for)
        return pb.StartRunResponse()

    def GetRun(self, request: pb.GetRunRequest, _context: grpc.ServicerContext) -> pb.GetRunResponse:  # noqa: N802
        """Tell how the newest attempt goes; a session that is not known yet is one without attempts."""
        session_id = sized(request.session_id, SESSION_ID_BYTES, "session_id")
        self._guard.by_coordinator(session_id, who_calls())
        self._runs.settle(session_id)
        record = self._guard.store.get(session_id)
        run = self._runs.get(record.id)
        failed = run is not None and run.failure and record.state is State.RUNNING  # and the disk is full
        state, reason = (State.ABORTED, run.failure) if run and failed else (record.state, record.reason)
        phase, done, total = run.progress if run else ("", 0, 0)
        completion = [completion_to_pb(c) for c in self._guard.store.completions(record.id)]
        return pb.GetRunResponse(
            state=state_to_pb(state),
            reason=reason,
            attempt=record.attempt,
            progress=Progress(phase=phase, rows_done=done, rows_total=total),
            figures=_figures_to_pb(run.figures if run else Figures()),
            retriable=state is State.ABORTED and (run is None or run.retriable),
            completion=completion[0] if completion else None,
        )

    def EndRun(self, request: pb.EndRunRequest, _context: grpc.ServicerContext) -> pb.EndRunResponse:  # noqa: N802
        """Release results, or give the session up."""
        session_id, caller = sized(request.session_id, SESSION_ID_BYTES, "session_id"), who_calls()
        if request.WhichOneof("outcome") == "completions":
            record = self._guard.by_coordinator(session_id, caller)
            completions = [completion_of(c) for c in request.completions.completions[: MAX_COMMITTEE + 1]]
            state = self._guard.release(record, completions)
        else:
            reason = reason_of(request.reason)
            state = self._guard.abort(caller, session_id, request.attempt, reason)
            self._runs.abort(session_id, request.attempt, reason)
        return pb.EndRunResponse(state=state_to_pb(state))

    def DeleteSession(  # noqa: N802
        self, request: pb.DeleteSessionRequest, _context: grpc.ServicerContext
    ) -> pb.DeleteSessionResponse:
        """Delete shares and results."""
        session_id = sized(request.session_id, SESSION_ID_BYTES, "session_id")
        self._guard.delete(who_calls(), session_id)
        return pb.DeleteSessionResponse()


def _figures_to_pb(figures: Figures) -> pb.RunFigures:
    """Seconds to hundredths: finer ones would tell the coordinator of the group sizes."""
    return pb.RunFigures(
        cpu_s=round(figures.cpu_s, 2),
        sent_bytes=figures.sent_bytes,
        idle_rss_bytes=figures.idle_rss_bytes,
        peak_rss_bytes=figures.peak_rss_bytes,
        phases=[pb.Phase(name=name, seconds=round(s, 2)) for name, s in figures.phases],
    )


class ExchangeServicer:
    """Delivers a peer's frames to the attempt that they belong to."""

    def __init__(self, config: Config, guard: Guard, mailboxes: Mailboxes) -> None:
        self._config, self._guard, self._mailboxes = config, guard, mailboxes

    def exchange(
        self, parts: Iterator[pb.ExchangeHeader | Frame], context: grpc.ServicerContext
    ) -> pb.ExchangeResponse:
        """Read the peer's stream to its end.

        Raises:
            InputError: it does not begin with one header, or goes on with one.
            SessionRefused: it is no peer's.
            MpcError: the attempt has ended.
        """
        header = next(parts, None)
        if not isinstance(header, pb.ExchangeHeader):
            raise InputError("A peer's stream begins without its header; compare versions.")
        session_id = sized(header.session_id, SESSION_ID_BYTES, "session_id")
        caller = who_calls()
        committee = self._guard.served(session_id, caller).manifest.committee
        if caller not in committee or caller == self._config.name:
            raise SessionRefused(f"{caller} is not a peer of this node in this session.")
        peer = committee.index(caller)
        mailbox = self._mailboxes.find(session_id, header.attempt, self._config.start_timeout_s, context.is_active)
        try:
            for frame in parts:
                if not isinstance(frame, Frame):
                    raise InputError("A peer's stream has a second header; compare versions.")
                metrics.received(len(frame.payload))
                mailbox.put(peer, frame.step, frame.payload)
            mailbox.end(peer)
        except MpcError:
            raise
        except Exception:
            mailbox.abort(PeerError(peer, "exchange", "disconnected", "its stream broke"))
            raise
        return pb.ExchangeResponse()


def guard_of(config: Config, store: Store) -> Guard:
    """The guard of a node, with its real surroundings."""
    around = Surroundings(
        name=config.name,
        key=config.identity().signing_key,
        federation=config.federation,
        policy=lambda: _policy(config),
        fetch=lambda session_id: calls.Coordinator(config, config.federation(), 0.0).get(session_id).record,
    )
    return Guard(store, Shares(store, config.vault()), around)


def _policy(config: Config) -> Policy:
    """What the node's operator allows; what is wrong with the file is for the operator alone."""
    try:
        return policyfile.read(config.policy_path)
    except ConfigError as error:
        log.error("%s", error)
        raise SessionRefused(
            f"The policy of {config.name} cannot be read; its operator must look at its log."
        ) from None


def serve(config: Config, service: Service | None = None) -> None:
    """Serve until the process is told to stop.

    Raises:
        ConfigError: the node cannot start.
    """
    with alone(config.folder):
        _serve(config, service or Service.until_signal(config, "node"))


def _serve(config: Config, service: Service) -> None:
    store = config.store()
    guard, mailboxes = guard_of(config, store), Mailboxes()
    prepare()
    if not kernel.COMPILED:
        log.warning("without its compiled kernel Matchbit computes half as fast; docs/releases.md says who has it")
    store.log(audit.NODE, audit.Event.STARTED, version=protocols.program())
    guard.recover()
    runs, approvals = Runs(config, guard, mailboxes, service), Approvals(config, store)
    metrics.ask_sessions(store.count_states)

    def add(server: grpc.Server) -> None:
        services.add_ContributionServiceServicer_to_server(ContributionServicer(guard, service), server)
        services.add_RunServiceServicer_to_server(RunServicer(guard, runs), server)
        add_exchange(ExchangeServicer(config, guard, mailboxes).exchange, server)
        add_NodeServiceServicer_to_server(NodeServicer(config, "node", store), server)

    def keep_house() -> None:
        guard.delete_overdue()
        try:
            approvals.act()
        except PeerUnavailable as error:
            log.warning("proposals were not looked at: %s", error)

    def cut() -> None:
        runs.stop()
        mailboxes.stop()

    service.run(add, keep_house, HOUSEKEEPING_S, cut)
    store.log(audit.NODE, audit.Event.STOPPED)
