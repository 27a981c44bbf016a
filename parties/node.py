"""A committee node's daemon: takes shares, computes with its two peers, gives members their parts of the result."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress

import grpc
import numpy as np

from mpc.channel import MAX_MESSAGE_BYTES
from mpc.committee import PARTIES, PartyId
from mpc.errors import MpcError, PeerError
from parties import calls
from parties.compute import Figures, Runs
from parties.config import Config
from parties.contribution import SEED_BYTES, WHOLE, dealt_digest, expand_share, held_by
from parties.errors import InputError, ServiceError, SessionRefused
from parties.federation import Federation
from parties.identity import utc_now
from parties.lifecycle import Event, State
from parties.manifest import Manifest
from parties.rules import KEY_BYTES
from parties.store import Receipt, SessionRecord, Store, StoredContribution
from parties.transport import Caller, Mailboxes, guarded, listen, refuse
from parties.wire import SESSION_ID_BYTES, receipt_of, receipt_to_pb, sized, state_to_pb
from protos.matchbit.v1 import committee_pb2 as pb
from protos.matchbit.v1 import committee_pb2_grpc as services
from protos.matchbit.v1.session_pb2 import Progress

log = logging.getLogger("matchbit")
HOUSEKEEPING_S = 600.0


class Sessions:
    """The sessions that this node serves, each checked by the node itself before it does anything for it.

    Args:
        config: of this node.
        store: of this node.
    """

    def __init__(self, config: Config, store: Store) -> None:
        self._config, self._store = config, store
        self.federation: Federation = config.federation()

    def served(self, session_id: bytes) -> SessionRecord:
        """A session on whose committee this node is, with every signature checked.

        Fetched from the coordinator when it is not known here yet.

        Raises:
            SessionRefused: unknown, expired, over, not signed by all, or not this node's.
        """
        record = self._store.session(sized(session_id, SESSION_ID_BYTES, "session_id"))
        if record is None:
            record, _, _ = calls.Coordinator(self._config, self.federation).get(session_id)
        if self._config.name not in record.manifest.committee:
            raise SessionRefused(f"{self._config.name} is not on the committee of this session.")
        self.federation.check_approved(record.manifest, record.signatures, utc_now())
        if self._store.session(session_id) is None:
            self._store.add_session(record.manifest, State.APPROVED, record.signatures)
        return self._store.get(session_id)

    def caller(self, context: grpc.ServicerContext) -> str:
        """Who is calling."""
        return Caller(self.federation, context).name

    def coordinator_only(self, context: grpc.ServicerContext, manifest: Manifest) -> None:
        """Let only the session's coordinator go on."""
        if self.caller(context) != manifest.coordinator:
            raise SessionRefused("Only the session's coordinator may do this.")


class ContributionServicer(services.ContributionServiceServicer):
    """Takes members' shares and gives them their parts of the result."""

    def __init__(self, config: Config, store: Store, sessions: Sessions) -> None:
        self._config, self._store, self._sessions = config, store, sessions
        self._signing_key = config.identity().signing_key

    @guarded
    def Contribute(  # noqa: N802 - named by the contract
        self, request_iterator: Iterator[pb.ContributeRequest], context: grpc.ServicerContext
    ) -> pb.ContributeResponse:
        """Store an upload, and confirm what was stored with a signature."""
        header = next(request_iterator, pb.ContributeRequest()).header
        record = self._sessions.served(header.session_id)
        member = self._sessions.caller(context)
        party = self._check(record, member, header)
        upload = os.urandom(16)
        try:
            self._receive(upload, header.rows * KEY_BYTES if WHOLE in held_by(party) else 0, request_iterator)
            contribution = self._finished(party, member, upload, header)
            self._store.add_contribution(record.id, contribution)
        except BaseException:
            self._store.drop_chunks(upload)
            raise
        receipt = Receipt(record.id, member, self._config.name, header.rows, contribution.digests)
        signed = receipt.with_signature(self._signing_key.sign(receipt.signed_bytes()))
        log.info("session %s: %d keys of %s", record.id[:8].hex(), header.rows, member)
        return pb.ContributeResponse(receipt=receipt_to_pb(signed))

    def _check(self, record: SessionRecord, member: str, header: pb.ContributionHeader) -> PartyId:
        """Which party this node is, if the upload may begin."""
        manifest = record.manifest
        if member not in manifest.members:
            raise SessionRefused(f"{member} is not a member of this session.")
        if record.state not in (State.APPROVED, State.ABORTED):
            raise SessionRefused("The session is being computed or over; contributions are closed.")
        if not 1 <= header.rows <= manifest.max_keys:
            raise SessionRefused(f"{header.rows} keys are outside the session's limit of 1 to {manifest.max_keys}.")
        for seed in (header.seed_a, header.seed_b):
            sized(seed, SEED_BYTES, "seed")
        return PartyId(manifest.committee.index(self._config.name))

    def _receive(self, upload: bytes, missing: int, requests: Iterator[pb.ContributeRequest]) -> None:
        """Keep the chunks of the component that travels whole, exactly as many bytes as are due."""
        for part, request in enumerate(requests):
            missing -= len(request.chunk)
            if missing < 0 or not 0 < len(request.chunk) <= MAX_MESSAGE_BYTES:
                raise InputError("The upload has more or other bytes than it announced.")
            self._store.add_chunk(upload, part, request.chunk)
        if missing:
            raise InputError(f"The upload ended {missing} bytes early; contribute again.")

    def _finished(
        self, party: PartyId, member: str, upload: bytes, header: pb.ContributionHeader
    ) -> StoredContribution:
        body = b"".join(self._store.chunks(upload))
        whole = np.frombuffer(body, np.uint64).reshape(-1, 2) if body else None
        seeds = header.seed_a, header.seed_b
        share = expand_share(party, header.rows, seeds, whole)
        digests = dealt_digest(seeds[0], share.a), dealt_digest(seeds[1], share.b)
        return StoredContribution(member, upload, header.rows, seeds, digests)

    def FetchResult(  # noqa: N802 - named by the contract
        self, request: pb.FetchResultRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.FetchResultResponse]:
        """Send this node's part of the caller's result."""
        try:
            record = self._store.get(sized(request.session_id, SESSION_ID_BYTES, "session_id"))
            chunks = self._store.result(record.id, self._sessions.caller(context))
            if utc_now() >= record.manifest.retained_until():
                raise SessionRefused("The agreed retention has ended; results are no longer given out.")
            if record.state is not State.DONE or chunks is None:
                raise SessionRefused("This node has no result of this session for the caller.")
            self._store.log(record.id, f"{self._sessions.caller(context)} fetched its part of the result")
            for chunk in chunks:
                yield pb.FetchResultResponse(chunk=chunk)
        except Exception as error:
            refuse(context, error)


class RunServicer(services.RunServiceServicer):
    """Runs sessions for the coordinator."""

    def __init__(self, store: Store, sessions: Sessions, runs: Runs) -> None:
        self._store, self._sessions, self._runs = store, sessions, runs

    @guarded
    def StartRun(self, request: pb.StartRunRequest, context: grpc.ServicerContext) -> pb.StartRunResponse:  # noqa: N802
        """Begin an attempt when it is this session's turn."""
        record = self._sessions.served(request.session_id)
        self._sessions.coordinator_only(context, record.manifest)
        reported = {r.member: r.digests for r in map(receipt_of, request.receipts)}
        self._runs.start(record, request.attempt, reported, context.is_active)
        return pb.StartRunResponse()

    @guarded
    def GetRun(self, request: pb.GetRunRequest, context: grpc.ServicerContext) -> pb.GetRunResponse:  # noqa: N802
        """Tell how the newest attempt goes."""
        record = self._store.get(sized(request.session_id, SESSION_ID_BYTES, "session_id"))
        self._sessions.coordinator_only(context, record.manifest)
        run = self._runs.get(record.id)
        phase, done, total = run.progress if run else ("", 0, 0)
        return pb.GetRunResponse(
            state=state_to_pb(record.state),
            reason=record.reason,
            attempt=record.attempt,
            progress=Progress(phase=phase, rows_done=done, rows_total=total),
            figures=_figures_to_pb(run.figures if run else Figures()),
            retriable=record.state is State.ABORTED and (run is None or run.retriable),
        )

    @guarded
    def DeleteSession(  # noqa: N802 - named by the contract
        self, request: pb.DeleteSessionRequest, context: grpc.ServicerContext
    ) -> pb.DeleteSessionResponse:
        """Delete shares and results."""
        record = self._store.session(sized(request.session_id, SESSION_ID_BYTES, "session_id"))
        if record is not None and record.state is not State.CLOSED:
            self._sessions.coordinator_only(context, record.manifest)
            self._store.delete_shares(record.id, Event.CLOSE, "the session was closed")
        return pb.DeleteSessionResponse()


def _figures_to_pb(figures: Figures) -> pb.RunFigures:
    return pb.RunFigures(
        cpu_s=figures.cpu_s,
        sent_bytes=figures.sent_bytes,
        idle_rss_bytes=figures.idle_rss_bytes,
        peak_rss_bytes=figures.peak_rss_bytes,
        phases=[pb.Phase(name=name, seconds=s) for name, s in figures.phases],
    )


class ExchangeServicer(services.ExchangeServiceServicer):
    """Delivers a peer's frames to the attempt that they belong to."""

    def __init__(self, config: Config, sessions: Sessions, mailboxes: Mailboxes) -> None:
        self._config, self._sessions, self._mailboxes = config, sessions, mailboxes

    @guarded
    def Exchange(  # noqa: N802 - named by the contract
        self, request_iterator: Iterator[pb.ExchangeRequest], context: grpc.ServicerContext
    ) -> pb.ExchangeResponse:
        """Read the peer's stream to its end."""
        header = next(request_iterator, pb.ExchangeRequest()).header
        committee = self._sessions.served(header.session_id).manifest.committee
        caller = self._sessions.caller(context)
        if caller not in committee or caller == self._config.name:
            raise SessionRefused(f"{caller} is not a peer of this node in this session.")
        peer = PARTIES[committee.index(caller)]
        mailbox = self._mailboxes.find(
            header.session_id, header.attempt, self._config.start_timeout_s, context.is_active
        )
        try:
            for request in request_iterator:
                mailbox.put(peer, request.frame.step, request.frame.payload)
            mailbox.end(peer)
        except MpcError:
            raise
        except Exception:
            mailbox.abort(PeerError(peer, "exchange", "disconnected", "its stream broke"))
            raise
        return pb.ExchangeResponse()


def serve(config: Config, stopped: threading.Event | None = None) -> None:
    """Serve until the process is told to stop.

    Raises:
        ConfigError: the node cannot start.
    """
    stopped = stopped or stop_on_signal()
    store = Store(config.database)
    store.recover("the node was restarted while it computed")
    sessions, mailboxes = Sessions(config, store), Mailboxes()
    runs = Runs(config, store, mailboxes)

    def add(server: grpc.Server) -> None:
        services.add_ContributionServiceServicer_to_server(ContributionServicer(config, store, sessions), server)
        services.add_RunServiceServicer_to_server(RunServicer(store, sessions, runs), server)
        services.add_ExchangeServiceServicer_to_server(ExchangeServicer(config, sessions, mailboxes), server)

    server = listen(config, add)
    log.info("node %s listens on %s", config.name, config.listen)
    while True:
        try:
            delete_overdue(store)
        except ServiceError:
            log.exception("could not delete what is overdue; trying again in %g s", HOUSEKEEPING_S)
        if stopped.wait(HOUSEKEEPING_S):
            break
    runs.stop()
    mailboxes.stop()
    server.stop(grace=1.0).wait()


def delete_overdue(store: Store) -> None:
    """Delete the shares and results of sessions that are past their retention."""
    for session_id in store.session_ids():
        record = store.get(session_id)
        over = record.state in (State.CLOSED, State.RUNNING)
        if not over and utc_now() >= record.manifest.retained_until():
            with suppress(SessionRefused):  # it has just begun to run: next time
                store.delete_shares(session_id, Event.CLOSE, "the agreed retention ended")


def stop_on_signal() -> threading.Event:
    """An event that is set when the process is asked to stop."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    return stopped
