"""The coordinator's decisions: what is proposed, who has signed and contributed, how attempts begin and end.

It holds no shares and no results, and nobody believes it: committee nodes and members check signatures for themselves.
Nothing of gRPC is here.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence

from parties import audit
from parties.errors import InputError, ServiceError, SessionRefused
from parties.federation import Federation
from parties.guard import MAX_CONTRIBUTIONS, check_completions
from parties.lifecycle import OVER, Event, State
from parties.manifest import Manifest, verify
from parties.statements import Commitment, Completion, Receipt, contributions
from parties.store import SessionRecord, Store

log = logging.getLogger("matchbit")
MAX_OPEN_SESSIONS = 1000
WAITING = (State.PROPOSED, State.APPROVED, State.READY, State.ABORTED)


class Registry:
    """One coordinator's sessions.

    Args:
        name: of the coordinator.
        store: of the coordinator.
        federation: gives who is who, as of now.
    """

    def __init__(self, name: str, store: Store, federation: Callable[[], Federation]) -> None:
        self.name, self.store, self.federation = name, store, federation
        self._changing = threading.RLock()

    def session(self, session_id: bytes, caller: str) -> SessionRecord:
        """The session, if the caller is part of it; strangers learn nothing.

        Raises:
            SessionRefused: unknown, or none of the caller's.
        """
        record = self.store.of_party(session_id, caller)
        if self._overdue(record) is None:  # as nearly always
            return record
        self._end_overdue(session_id)
        return self.store.get(session_id)

    def sessions(self, caller: str) -> list[SessionRecord]:
        """The caller's sessions, newest first."""
        records = [self.store.get(session_id) for session_id in self.store.session_ids()]
        return [record for record in records if caller in record.manifest.nodes]

    def operator_only(self, caller: str) -> None:
        """Let only the coordinator's own operator go on."""
        if caller != self.name:
            raise SessionRefused("Only the coordinator's own operator may do this.")

    # Terms

    def propose(self, caller: str, manifest: Manifest) -> None:
        """Publish a manifest.

        Raises:
            SessionRefused: it is not the operator's, has expired, or too many sessions are open.
            InputError: a committee node cannot be reached.
        """
        self.operator_only(caller)
        self.federation().check(manifest, self.store.clock())
        if manifest.coordinator != self.name or manifest.is_past(self.store.clock()):
            raise SessionRefused("The manifest names another coordinator or has expired.")
        for name in manifest.committee:
            if not self.federation()[name].address:
                raise InputError(f"{name} has no address in federation.toml, so it cannot be on a committee.")
        if sum(n for state, n in self.store.count_states().items() if state not in OVER) >= MAX_OPEN_SESSIONS:
            raise SessionRefused(
                f"{MAX_OPEN_SESSIONS} sessions are open; close old ones with `matchbit session close`."
            )
        self.store.add_session(manifest, State.PROPOSED)

    def approve(self, caller: str, session_id: bytes, signature: bytes) -> State:
        """Keep the caller's signature.

        Raises:
            SessionRefused: the caller takes no part, or approvals are closed.
            ConfigError: the signature is not the caller's on these terms.
        """
        with self._changing:
            record = self.session(session_id, caller)
            self._participant(record, caller)
            verify(self.federation()[caller].verifier(), record.id, caller, signature)
            if caller in record.signatures and record.state not in OVER:
                return record.state
            if record.state is not State.PROPOSED:
                raise SessionRefused(f"The session is {record.state.value} already; approvals are closed.")
            with self.store.transaction():
                self.store.add_signature(record.id, caller, signature)
                if {*record.signatures, caller} >= set(record.manifest.participants):
                    self.store.change(record.id, Event.ALL_APPROVED)
            return self.store.state(record.id)

    def refuse(self, caller: str, session_id: bytes, reason: str) -> State:
        """End the session with the caller's reason.

        Raises:
            SessionRefused: the caller takes no part, or the session has begun.
            InputError: no reason.
        """
        with self._changing:
            record = self.session(session_id, caller)
            self._participant(record, caller)
            if not reason:
                raise InputError("A refusal needs a reason.")
            why = f"{caller}: {reason}"
            return self.store.change(record.id, Event.REFUSE, audit.Event.REFUSED, why, name=caller, reason=reason)

    def _participant(self, record: SessionRecord, name: str) -> None:
        if name not in record.manifest.participants:
            raise SessionRefused(f"{name} takes no part in this session, so its approval is not asked for.")

    # Contributions

    def report(self, caller: str, commitment: Commitment, receipts: Sequence[Receipt]) -> State:
        """Keep the caller's commitment, since all committee nodes say that they hold what it is to.

        Raises:
            SessionRefused: the caller is no member, or contributions are closed.
            InputError: a receipt is missing or for something else.
        """
        with self._changing:
            record = self.session(commitment.session_id, caller)
            if caller not in record.manifest.members or commitment.name != caller:
                raise SessionRefused(f"{caller} is not a member of this session.")
            fixed = record.contributions is not None
            known = self.store.commitment(record.id, caller) == commitment
            if known and record.state in (State.APPROVED, State.READY):
                return record.state
            if record.state not in (State.APPROVED, State.READY, State.ABORTED) or (fixed and not known):
                raise SessionRefused(f"The session is {record.state.value}; contributions are closed.")
            if self.store.times(record.id, audit.Event.CONTRIBUTED, caller) >= MAX_CONTRIBUTIONS:
                raise SessionRefused(f"{caller} has contributed {MAX_CONTRIBUTIONS} times to this session already.")
            commitment.check(self.federation()[caller].verifier())
            self._check_receipts(record, commitment, receipts)
            with self.store.transaction():
                for statement in (commitment, *receipts):
                    self.store.add_statement(statement)
                self.store.log(record.id, audit.Event.CONTRIBUTED, **commitment.facts())
                everyone = self.store.contributed(record.id) >= set(record.manifest.members)
                if everyone and record.state is State.APPROVED:
                    self.store.change(record.id, Event.ALL_CONTRIBUTED)
            return self.store.state(record.id)

    def _check_receipts(self, record: SessionRecord, commitment: Commitment, receipts: Sequence[Receipt]) -> None:
        """One from each committee node, signed, on this commitment."""
        if sorted(r.name for r in receipts) != sorted(record.manifest.committee):
            raise InputError("There must be one receipt of each committee node.")
        for receipt in receipts:
            receipt.check(self.federation()[receipt.name].verifier())
            if (receipt.session_id, receipt.member, receipt.commitment) != (
                record.id,
                commitment.name,
                commitment.digest,
            ):
                raise InputError(f"The receipt of {receipt.name} is for another contribution.")

    # Attempts

    def run(self, caller: str, session_id: bytes) -> None:
        """Begin a session's next attempt.

        Raises:
            SessionRefused: approvals or contributions are missing, or it is running or over.
        """
        self.operator_only(caller)
        with self._changing:
            record = self.session(session_id, caller)
            commitments = self.store.commitments(record.id)
            missing = missing_parts(record, commitments)
            if record.state in (State.PROPOSED, State.APPROVED) and missing:
                raise SessionRefused(missing)
            if record.state is State.RUNNING:
                raise SessionRefused("The session is being computed.")
            self._begin(record, record.attempt + 1)

    def _begin(self, record: SessionRecord, attempt: int) -> None:
        commitments = self.store.commitments(record.id)
        chosen, fixed = contributions(commitments.values()), record.contributions is not None
        self.store.begin(record.id, attempt, chosen, sorted(commitments), fixed=fixed)

    def fix(self, session_id: bytes) -> None:
        """Every committee node can begin: what it will compute on cannot be changed any more."""
        with self._changing:
            if self.store.get(session_id).state is not State.RUNNING:
                raise SessionRefused("The session is not being computed any more.")
            self.store.fix(session_id, contributions(self.store.commitments(session_id).values()))

    def again(self, session_id: bytes, last: int) -> None:
        """Begin another attempt, above the last one that any node knows."""
        with self._changing:
            record = self.store.get(session_id)
            if record.state is State.RUNNING:
                self._begin(record, max(record.attempt, last) + 1)

    def catch_up(self, session_id: bytes, attempt: int) -> None:
        """Take the attempt that all committee nodes say they have computed for the session's, if it is a later one.

        What they say is checked when it is collected: their statements must be on the contributions known here.
        """
        with self._changing:
            record = self.store.get(session_id)
            if record.state is State.RUNNING and attempt > record.attempt:
                self._begin(record, attempt)

    def collect(self, record: SessionRecord, completion: Completion) -> bool:
        """Keep a committee node's word that it has computed the attempt.

        Returns:
            Whether the whole committee has, which releases the results: from here on nothing is computed any more.
        """
        with self._changing, self.store.transaction():
            if completion.name not in record.manifest.committee or completion.session_id != record.id:
                raise InputError("A completion is of another node or session.")
            completion.check(self.federation()[completion.name].verifier())
            now = self.store.get(record.id)
            if now.state is not State.RUNNING or completion.attempt != now.attempt:
                return now.state is State.DONE
            if completion.contributions != contributions(self.store.commitments(record.id).values()):
                raise SessionRefused(f"{completion.name} computed on other contributions than members have shown here.")
            self.store.add_statement(completion)
            completions = self.store.completions(record.id)
            if len(completions) < len(record.manifest.committee):
                return False
            check_completions(self.federation(), record.manifest, completions)
            self.store.change(record.id, Event.RELEASE, audit.Event.RELEASED, attempt=completion.attempt)
            return True

    def abort(self, session_id: bytes, reason: str) -> None:
        """End the attempts of a `run` without results."""
        with self._changing:
            record = self.store.get(session_id)
            if record.state is State.RUNNING:
                entry = audit.Event.ABORTED
                self.store.change(session_id, Event.ABORT, entry, reason, reason=reason, attempt=record.attempt)

    # The end

    def end_overdue(self) -> None:
        """End what is past its dates, as committee nodes do for themselves."""
        for session_id in self.store.session_ids():
            try:
                self._end_overdue(session_id)
            except ServiceError:  # which must not keep the others
                log.exception("session %s: cannot be ended just now", session_id[:8].hex())

    def _end_overdue(self, session_id: bytes) -> None:
        with self._changing:
            match self._overdue(self.store.get(session_id)):
                case Event.EXPIRE:
                    self.store.change(session_id, Event.EXPIRE, audit.Event.EXPIRED)
                case Event.CLOSE:
                    self.store.change(session_id, Event.CLOSE, audit.Event.CLOSED)

    def _overdue(self, record: SessionRecord) -> Event | None:
        """What a session's dates ask for."""
        now = self.store.clock()
        if record.state in WAITING and record.manifest.is_past(now):
            return Event.EXPIRE
        over = record.state in (*OVER, State.RUNNING)
        return Event.CLOSE if not over and now >= record.manifest.retained_until() else None

    def close(self, caller: str, session_id: bytes, delete: Callable[[str], None]) -> None:
        """Have shares and results deleted by all committee nodes, then close; what is being computed is stopped.

        Args:
            caller: who asks.
            session_id: which.
            delete: asks a committee node; raises if it does not.

        Raises:
            SessionRefused: the caller is not the operator.
        """
        self.operator_only(caller)
        record = self.session(session_id, caller)
        self.abort(session_id, "its operator closed it while it was computed")
        for name in record.manifest.committee:
            delete(name)
            self.store.tell(record.id, name, State.CLOSED)
            self.store.log(record.id, audit.Event.DELETION_TOLD, name=name)
        if record.state is not State.CLOSED:
            self.store.change(record.id, Event.CLOSE, audit.Event.CLOSED)


def missing_parts(record: SessionRecord, contributed: Collection[str] | Mapping[str, Commitment]) -> str:
    """One sentence that says whose approval or contribution a session waits for; empty when it can be run."""
    unsigned = [n for n in record.manifest.participants if n not in record.signatures]
    if unsigned:
        return f"Not yet approved by {', '.join(unsigned)}; each runs `matchbit session approve`."
    absent = [m for m in record.manifest.members if m not in contributed]
    if len(contributed) >= record.manifest.min_members:
        return ""
    return f"Not yet contributed by {', '.join(absent)}; each runs `matchbit contribute`."
