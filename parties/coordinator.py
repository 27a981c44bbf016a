"""The coordinator's daemon: keeps terms, signatures and receipts, and has sessions computed. It holds no shares."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, cast

import grpc

from mpc.channel import MAX_MESSAGE_BYTES
from parties import calls
from parties.config import Config
from parties.errors import InputError, PeerUnavailable, ServiceError, SessionRefused
from parties.federation import Federation
from parties.identity import utc_now
from parties.lifecycle import Event, State
from parties.manifest import verify
from parties.node import stop_on_signal
from parties.store import Receipt, SessionRecord, Store
from parties.transport import Caller, Servicer, guarded, listen
from parties.wire import (
    SESSION_ID_BYTES,
    SIGNATURE_BYTES,
    manifest_of,
    reason_of,
    receipt_of,
    session_to_pb,
    sized,
    state_of,
    state_to_pb,
)
from protos.matchbit.v1 import committee_pb2
from protos.matchbit.v1 import session_pb2 as pb
from protos.matchbit.v1 import session_pb2_grpc as services

log = logging.getLogger("matchbit")
MAX_TRIES = 3
"""Attempts for one `run`; each has fresh randomness."""
POLL_S = (0.02, 0.25)
"""Shortest and longest pause between questions to the committee."""
MIN_PREFIX_BYTES = 4
MAX_OPEN_SESSIONS = 1000
Progress = tuple[str, int, int]


def one_at_a_time(method: Servicer) -> Servicer:
    """Let calls that change sessions wait for each other, so that what one has checked still holds when it acts."""

    @wraps(method)
    def call(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        with self._changing:
            return method(self, request, context)

    return cast("Servicer", call)


class SessionServicer(services.SessionServiceServicer):
    """Sessions, as their parties and the coordinator's operator see them."""

    def __init__(self, config: Config, store: Store, runner: Runner) -> None:
        self._config, self._store, self._runner = config, store, runner
        self._changing = threading.RLock()
        self._federation: Federation = config.federation()

    def _caller(self, context: grpc.ServicerContext) -> str:
        return Caller(self._federation, context).name

    def _operator_only(self, context: grpc.ServicerContext) -> None:
        if self._caller(context) != self._config.name:
            raise SessionRefused("Only the coordinator's own operator may do this.")

    def _session(self, session_id: bytes, context: grpc.ServicerContext) -> SessionRecord:
        """The session, if the caller is part of it; strangers learn nothing."""
        found = [session_id] if len(session_id) == SESSION_ID_BYTES else self._by_prefix(session_id)
        record = self._store.get(found[0]) if found else None
        if record is None or self._caller(context) not in record.manifest.nodes:
            raise SessionRefused(f"No session {session_id[:8].hex()} is known here; see `matchbit session list`.")
        if record.manifest.is_past(utc_now()) and record.state in (State.PROPOSED, State.APPROVED, State.READY):
            self._store.change(record.id, Event.EXPIRE)
            record = self._store.get(record.id)
        return record

    def _by_prefix(self, prefix: bytes) -> list[bytes]:
        if not MIN_PREFIX_BYTES <= len(prefix) <= SESSION_ID_BYTES:
            raise InputError(f"A session id has {2 * SESSION_ID_BYTES} hex digits, or its first 8 or more.")
        found = self._store.session_ids(prefix)
        if len(found) > 1:
            raise InputError("More than one session begins with these digits; give more of them.")
        return found

    def _view(self, record: SessionRecord, contributed: Mapping[str, int]) -> pb.Session:
        return session_to_pb(record, contributed, self._runner.progress.get(record.id, ("", 0, 0)))

    @guarded
    def ProposeSession(  # noqa: N802 - named by the contract
        self, request: pb.ProposeSessionRequest, context: grpc.ServicerContext
    ) -> pb.ProposeSessionResponse:
        """Publish a manifest."""
        self._operator_only(context)
        manifest = manifest_of(request.manifest)
        self._federation.check(manifest, utc_now())
        if manifest.coordinator != self._config.name or manifest.is_past(utc_now()):
            raise SessionRefused("The manifest names another coordinator or has expired.")
        for name in manifest.committee:
            if not self._federation[name].address:
                raise InputError(f"{name} has no address in federation.toml, so it cannot be on a committee.")
        over = (State.CLOSED, State.REFUSED, State.EXPIRED)
        open_sessions = [s for s in self._store.session_ids() if self._store.get(s).state not in over]
        if len(open_sessions) >= MAX_OPEN_SESSIONS:
            raise SessionRefused(
                f"{MAX_OPEN_SESSIONS} sessions are open; close old ones with `matchbit session close`."
            )
        self._store.add_session(manifest, State.PROPOSED)
        return pb.ProposeSessionResponse(session_id=manifest.session_id)

    @guarded
    def ListSessions(  # noqa: N802 - named by the contract
        self, request: pb.ListSessionsRequest, context: grpc.ServicerContext
    ) -> pb.ListSessionsResponse:
        """The caller's sessions."""
        del request
        name = self._caller(context)
        records = [self._store.get(session_id) for session_id in self._store.session_ids()]
        response = pb.ListSessionsResponse()
        for record in (r for r in records if name in r.manifest.nodes):
            view = self._view(record, {})
            del view.signatures[:]
            if response.ByteSize() + view.ByteSize() > MAX_MESSAGE_BYTES:
                break
            response.sessions.append(view)
        return response

    @guarded
    def GetSession(self, request: pb.GetSessionRequest, context: grpc.ServicerContext) -> pb.GetSessionResponse:  # noqa: N802
        """One session."""
        record = self._session(request.session_id, context)
        return pb.GetSessionResponse(session=self._view(record, self._store.contributed(record.id)))

    @guarded
    @one_at_a_time
    def ApproveSession(  # noqa: N802 - named by the contract
        self, request: pb.ApproveSessionRequest, context: grpc.ServicerContext
    ) -> pb.ApproveSessionResponse:
        """Keep the caller's signature."""
        record, name = self._session(request.session_id, context), self._caller(context)
        self._participant(record, name)
        signature = sized(request.signature, SIGNATURE_BYTES, "signature")
        verify(self._federation[name].verifier(), record.id, name, signature)
        if name in record.signatures:
            return pb.ApproveSessionResponse(state=state_to_pb(record.state))
        if record.state is not State.PROPOSED:
            raise SessionRefused(f"The session is {record.state.value} already; approvals are closed.")
        self._store.add_signature(record.id, name, signature)
        if set(self._store.get(record.id).signatures) >= set(record.manifest.participants):
            self._store.change(record.id, Event.ALL_APPROVED)
        return pb.ApproveSessionResponse(state=state_to_pb(self._store.get(record.id).state))

    @guarded
    @one_at_a_time
    def RefuseSession(  # noqa: N802 - named by the contract
        self, request: pb.RefuseSessionRequest, context: grpc.ServicerContext
    ) -> pb.RefuseSessionResponse:
        """End the session with the caller's reason."""
        record, name = self._session(request.session_id, context), self._caller(context)
        self._participant(record, name)
        reason = reason_of(request.reason)
        if not reason:
            raise InputError("A refusal needs a reason.")
        state = self._store.change(record.id, Event.REFUSE, f"{name}: {reason}")
        return pb.RefuseSessionResponse(state=state_to_pb(state))

    @guarded
    @one_at_a_time
    def ReportContribution(  # noqa: N802 - named by the contract
        self, request: pb.ReportContributionRequest, context: grpc.ServicerContext
    ) -> pb.ReportContributionResponse:
        """Keep the receipts of the caller's contribution."""
        record, name = self._session(request.session_id, context), self._caller(context)
        if record.state not in (State.APPROVED, State.READY, State.ABORTED):
            raise SessionRefused(f"The session is {record.state.value}; contributions are closed.")
        receipts = [receipt_of(r) for r in request.receipts[:4]]
        self._check_receipts(record, name, receipts)
        self._store.add_receipts(receipts)
        if record.state is State.APPROVED and self._store.contributed(record.id).keys() >= set(record.manifest.members):
            self._store.change(record.id, Event.ALL_CONTRIBUTED)
        return pb.ReportContributionResponse(state=state_to_pb(self._store.get(record.id).state))

    def _check_receipts(self, record: SessionRecord, member: str, receipts: list[Receipt]) -> None:
        """One from each committee node, on the same number of keys, signed, and consistent along the ring."""
        if member not in record.manifest.members:
            raise SessionRefused(f"{member} is not a member of this session.")
        by_node = {r.node: r for r in receipts}
        ring = [by_node.get(name) for name in record.manifest.committee]
        if len(receipts) != 3 or None in ring:
            raise InputError("There must be one receipt of each committee node.")
        for receipt in receipts:
            calls.check_receipt(self._federation[receipt.node], receipt)
            if (receipt.session_id, receipt.member, receipt.rows) != (record.id, member, receipts[0].rows):
                raise InputError(f"The receipt of {receipt.node} is for another contribution.")
        for own, following in zip(ring, [*ring[1:], ring[0]], strict=True):
            if own and following and own.digests[1] != following.digests[0]:
                raise InputError("The committee nodes were given shares that do not fit together; contribute again.")

    def _participant(self, record: SessionRecord, name: str) -> None:
        if name not in record.manifest.participants:
            raise SessionRefused(f"{name} takes no part in this session, so its approval is not asked for.")

    @guarded
    @one_at_a_time
    def RunSession(self, request: pb.RunSessionRequest, context: grpc.ServicerContext) -> pb.RunSessionResponse:  # noqa: N802
        """Queue a session for computing."""
        self._operator_only(context)
        record = self._session(request.session_id, context)
        if record.state in (State.PROPOSED, State.APPROVED):
            raise SessionRefused(missing_parts(record, self._store.contributed(record.id)))
        self._store.change(record.id, Event.RUN)
        self._runner.drive(record.id)
        return pb.RunSessionResponse(state=state_to_pb(State.RUNNING))

    @guarded
    def CloseSession(self, request: pb.CloseSessionRequest, context: grpc.ServicerContext) -> pb.CloseSessionResponse:  # noqa: N802
        """Have shares and results deleted by all committee nodes, then close."""
        self._operator_only(context)
        record = self._session(request.session_id, context)
        if record.state is State.RUNNING:
            raise SessionRefused("The session is being computed; close it when it has ended.")
        for name in record.manifest.committee:
            calls.delete_session(self._config, self._federation[name], record.id)
            self._store.log(record.id, f"{name} deleted shares and results")
        if record.state is not State.CLOSED:
            self._store.change(record.id, Event.CLOSE)
        return pb.CloseSessionResponse(state=state_to_pb(State.CLOSED))


def missing_parts(record: SessionRecord, contributed: Mapping[str, int]) -> str:
    """One sentence that says whose approval or contribution a session waits for."""
    unsigned = [n for n in record.manifest.participants if n not in record.signatures]
    if unsigned:
        return f"Not yet approved by {', '.join(unsigned)}; each runs `matchbit session approve`."
    absent = [m for m in record.manifest.members if m not in contributed]
    return f"Not yet contributed by {', '.join(absent)}; each runs `matchbit contribute`."


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed, and whether another one may succeed."""

    reason: str
    retriable: bool


def _state(answer: committee_pb2.GetRunResponse) -> State:
    return state_of(answer.state)


def _failure(name: str, answer: committee_pb2.GetRunResponse, attempt: int) -> Failure | None:
    """What a node's answer says against an attempt."""
    if answer.attempt != attempt:
        return Failure(f"{name} did not begin attempt {attempt}.", retriable=True)
    return Failure(reason_of(answer.reason), answer.retriable) if _state(answer) is State.ABORTED else None


class Runner:
    """Has sessions computed: starts the attempt at the three nodes and follows it to its end.

    Nodes are asked in the order of their names. Each makes a session wait for its turn, so sessions that share nodes
    queue in the same order everywhere and never wait for each other.

    Args:
        config: of the coordinator.
        store: of the coordinator.
    """

    def __init__(self, config: Config, store: Store) -> None:
        self._config, self._store, self._federation = config, store, config.federation()
        self.progress: dict[bytes, Progress] = {}

    def drive(self, session_id: bytes, *, resume: bool = False) -> None:
        """Follow a session in a thread; after a restart of the coordinator, look first how it stands."""
        threading.Thread(target=self._drive, args=(session_id, resume), name="run", daemon=True).start()

    def _drive(self, session_id: bytes, resume: bool) -> None:
        record, tries = self._store.get(session_id), 0
        try:
            while True:
                failure = None if resume else self._start(record)
                failure = failure or self._follow(record)
                resume = False
                if failure is None:
                    self._store.change(session_id, Event.FINISH)
                    return
                log.error("session %s, attempt %d: %s", session_id[:8].hex(), record.attempt, failure.reason)
                tries += 1
                if not failure.retriable or tries >= MAX_TRIES:
                    self._store.change(session_id, Event.ABORT, failure.reason)
                    return
                self._store.change(session_id, Event.RETRY, failure.reason)
                record = self._store.get(session_id)
        except Exception:
            log.exception("session %s", session_id[:8].hex())
            self._store.change(session_id, Event.ABORT, "An unexpected error at the coordinator; see its log.")

    def _start(self, record: SessionRecord) -> Failure | None:
        """Begin an attempt everywhere, once all three nodes answer."""
        self.progress[record.id] = ("waiting for the committee", 0, 0)
        for name in record.manifest.committee:
            until = time.monotonic() + self._config.step_timeout_s
            while (silent := self._silence(name, record.id)) and time.monotonic() < until:
                time.sleep(POLL_S[1])
            if silent:
                return Failure(silent, retriable=False)
        for name in sorted(record.manifest.committee):
            timeout_s = self._config.start_timeout_s
            try:
                receipts = self._store.receipts(record.id)
                calls.start_run(self._config, self._federation[name], record.attempt, receipts, timeout_s)
            except ServiceError as error:
                return Failure(f"{name}: {error}", isinstance(error, PeerUnavailable))
        return None

    def _silence(self, name: str, session_id: bytes) -> str:
        """Why a node does not answer; empty if it does, whatever it says."""
        try:
            calls.get_run(self._config, self._federation[name], session_id)
        except PeerUnavailable as error:
            return str(error)
        except ServiceError:
            return ""
        return ""

    def _follow(self, record: SessionRecord) -> Failure | None:
        """Wait for the end of an attempt; None when all three are done."""
        pause, heard = POLL_S[0], time.monotonic()
        while True:
            answers: dict[str, committee_pb2.GetRunResponse] = {}
            lost = ""
            for name in record.manifest.committee:
                try:
                    answers[name] = calls.get_run(self._config, self._federation[name], record.id)
                except ServiceError as error:
                    lost = str(error)
            heard = heard if lost else time.monotonic()
            running = [n for n, a in answers.items() if a.attempt == record.attempt and _state(a) is State.RUNNING]
            failures = [f for name, a in answers.items() if (f := _failure(name, a, record.attempt))]
            if failures and not running:
                return next((f for f in failures if not f.retriable), failures[0])
            if lost and time.monotonic() - heard > self._config.step_timeout_s:
                return Failure(lost, retriable=True)
            if not lost and not running and not failures:
                return None
            self._note(record, list(answers.values()))
            time.sleep(pause)
            pause = min(pause * 1.3, POLL_S[1])

    def _note(self, record: SessionRecord, answers: list[committee_pb2.GetRunResponse]) -> None:
        running = [a.progress for a in answers if a.progress.rows_total] or [a.progress for a in answers]
        if running:
            last = min(running, key=lambda p: p.rows_done)
            self.progress[record.id] = (last.phase, last.rows_done, last.rows_total)


def serve(config: Config, stopped: threading.Event | None = None) -> None:
    """Serve until the process is told to stop.

    Raises:
        ConfigError: the coordinator cannot start.
    """
    stopped = stopped or stop_on_signal()
    store = Store(config.database)
    runner = Runner(config, store)
    servicer = SessionServicer(config, store, runner)
    server = listen(config, lambda s: services.add_SessionServiceServicer_to_server(servicer, s))
    for session_id in store.session_ids():
        if store.get(session_id).state is State.RUNNING:
            runner.drive(session_id, resume=True)
    log.info("coordinator %s listens on %s", config.name, config.listen)
    stopped.wait()
    server.stop(grace=1.0).wait()
