"""What a node does with proposals: it refuses what its policy refuses, and signs what has all consent that is due."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from parties.audit import NODE, Event
from parties.config import Config
from parties.errors import ConfigError, InputError, PeerUnavailable, ServiceError, SessionRefused
from parties.lifecycle import MEANING, OVER, State
from parties.manifest import MAX_PERIOD_DAYS, Manifest, from_bytes, verify
from parties.participant import Participant
from parties.policy import MAX_PERSON_CHARS, Decision, Past, Policy, Ruling
from parties.store import SessionRecord, Store

log = logging.getLogger("matchbit")
_NOT_COMPUTED = (State.PROPOSED, State.APPROVED, State.READY, State.ABORTED)
"""States from which a session that has expired gets no results any more."""


@dataclass(frozen=True)
class Proposal:
    """A session whose terms this node has not signed.

    Attributes:
        record: as the coordinator tells it.
        ruling: what this node's policy says.
        waits_for: the approvers who have not consented.
        done: what was done: approved, refused, or nothing (empty).
        failure: why that could not be done.
    """

    record: SessionRecord
    ruling: Ruling
    waits_for: tuple[str, ...]
    done: str = ""
    failure: str = ""


class Approvals:
    """One node's answers to proposals. Its policy, and who is who, are read anew each time.

    Args:
        config: of the node.
        store: of the node.
    """

    def __init__(self, config: Config, store: Store) -> None:
        self._config, self._store = config, store
        self._failures: dict[bytes, str] = {}
        self._digest = ""

    def pending(self) -> list[Proposal]:
        """The proposals that this node has not answered, oldest first, each as if it were the only one.

        Raises:
            PeerUnavailable: the coordinator cannot be reached.
            ConfigError: the policy cannot be read.
        """
        participant = Participant(self._config, 0.0)
        rules, records = participant.policy(), self._records(participant)
        history = self._history(records)
        return [self._judged(record, rules, history) for record in records if self._is_pending(record)]

    def act(self) -> list[Proposal]:
        """Refuse what the policy refuses, sign what has all consent that is due, and leave the rest to people.

        A proposal that cannot be answered does not stand in the way of others.

        Returns:
            All that were pending, oldest first.

        Raises:
            PeerUnavailable: the coordinator cannot be reached.
            ConfigError: the policy cannot be read.
        """
        participant = Participant(self._config, 0.0)
        rules, records = participant.policy(), self._records(participant)
        self._note_policy()
        self._recall(participant, records)
        history, proposals = self._history(records), []
        for record in filter(self._is_pending, records):
            proposal = self._judged(record, rules, history)
            try:
                proposal = replace(proposal, done=self._answer(participant, proposal, rules))
            except PeerUnavailable:  # it may have our signature or not: the next one is judged when that is known
                raise
            except ServiceError as error:
                proposal = replace(proposal, failure=str(error))
                self._tell(proposal)
            if proposal.done == "approved":
                history.append(Past(record.manifest.members, None))
            proposals.append(proposal)
        return proposals

    def consent(self, session_id: bytes, person: str = "") -> tuple[SessionRecord, tuple[str, ...]]:
        """A person's consent to a proposal; the node signs once all consent that is due is there.

        Args:
            session_id: the id, or its first bytes.
            person: who consents; one of the policy's approvers where it names any.

        Returns:
            The session, and the approvers that it still waits for: none when the node has signed.

        Raises:
            SessionRefused: the policy refuses the terms, the person is no approver, or approvals are closed.
            InputError: the name is missing, or cannot be a name.
        """
        participant = Participant(self._config, 0.0)
        rules = participant.policy()
        record = participant.coordinator.get(session_id).record
        if self._config.name in record.signatures:
            return record, ()
        self._check_open(record)
        _check_person(person, rules.approvers)
        proposal = self._judged(record, rules, self._history(self._records(participant)))
        self._note_policy()
        self._note(proposal)
        if proposal.ruling.decision is Decision.REFUSED:
            raise SessionRefused(f"The policy of {self._config.name} refuses the terms. {proposal.ruling.told}")
        if person:
            self._store.add_consent(record.id, person)
        waits_for = self._waits_for(record.id, rules)
        if not waits_for:
            participant.approve(record.id)
        return record, waits_for

    def refuse(self, session_id: bytes, reason: str) -> SessionRecord:
        """Refuse a session for good.

        Args:
            session_id: the id, or its first bytes.
            reason: in plain words, for everyone to read.
        """
        participant = Participant(self._config, 0.0)
        record = participant.coordinator.get(session_id).record
        self._refuse(participant, record.id, reason)
        return record

    # One proposal

    def _judged(self, record: SessionRecord, rules: Policy, history: Sequence[Past]) -> Proposal:
        ruling = rules.judge(record.manifest, self._config.name, history, self._store.clock())
        return Proposal(record, ruling, self._waits_for(record.id, rules))

    def _answer(self, participant: Participant, proposal: Proposal, rules: Policy) -> str:
        """Refuse, sign, or do nothing; returns which."""
        record, decision = proposal.record, proposal.ruling.decision
        self._note(proposal)
        if decision is Decision.REFUSED:
            self._refuse(participant, record.id, proposal.ruling.told)
            return "refused"
        # All approvers may have consented when the coordinator could not be reached.
        if decision is Decision.STANDING or (rules.approvers and not proposal.waits_for):
            participant.approve(record.id)
            log.info("session %s is approved: %s", record.id[:8].hex(), proposal.ruling.told)
            return "approved"
        return ""

    def _refuse(self, participant: Participant, session_id: bytes, reason: str) -> None:
        if not self._has_refused(session_id):  # and whatever the coordinator answers, it has
            self._store.log(session_id, Event.REFUSED, name=self._config.name, reason=reason)
        participant.coordinator.refuse(session_id, reason)
        log.info("session %s is refused: %s", session_id[:8].hex(), reason)

    def _waits_for(self, session_id: bytes, rules: Policy) -> tuple[str, ...]:
        consents = self._store.consents(session_id)
        return tuple(person for person in rules.approvers if person not in consents)

    def _check_open(self, record: SessionRecord) -> None:
        """Refuse consent to what cannot be approved any more, or not by this node."""
        if self._config.name not in record.manifest.participants:
            raise SessionRefused(f"{self._config.name} takes no part in this session; its approval is not asked for.")
        if record.state is not State.PROPOSED:
            raise SessionRefused(f"The session {MEANING[record.state]}; approvals are closed.")
        if self._has_refused(record.id):
            raise SessionRefused(f"{self._config.name} has refused this session, and a refusal is for good.")

    def _is_pending(self, record: SessionRecord) -> bool:
        signed = self._config.name in record.signatures
        proposed = record.state is State.PROPOSED and not record.manifest.is_past(self._store.clock())
        return proposed and not signed and not self._has_refused(record.id)

    def _has_refused(self, session_id: bytes) -> bool:
        """Whether this node has refused the session, whatever the coordinator makes of that."""
        return self._config.name in [e.facts["name"] for e in self._store.logged(session_id, Event.REFUSED)]

    def _note(self, proposal: Proposal) -> None:
        """Log what the policy decided, unless that is what it decided last time."""
        facts = {"decision": proposal.ruling.decision.value, "reasons": list(proposal.ruling.reasons)}
        decided = self._store.logged(proposal.record.id, Event.POLICY)
        if not decided or dict(decided[-1].facts) != facts:
            self._store.log(proposal.record.id, Event.POLICY, **facts)

    def _tell(self, proposal: Proposal) -> None:
        """Write a failure to the log lines, once: the next `act` will most likely meet it again."""
        if self._failures.get(proposal.record.id) != proposal.failure:
            self._failures[proposal.record.id] = proposal.failure
            log.warning("session %s cannot be answered: %s", proposal.record.id[:8].hex(), proposal.failure)

    # All of them

    def _recall(self, participant: Participant, records: Sequence[SessionRecord]) -> None:
        """Sessions that this node has signed and forgotten, since it died then or was restored from a backup."""
        name, key = self._config.name, self._config.identity().signing_key.public_key()
        for record in records:
            if record.state in OVER or self._store.session(record.id):
                continue
            told = record if record.state is State.PROPOSED else participant.coordinator.get(record.id).record
            with suppress(ConfigError):  # the coordinator lies
                if signature := told.signatures.get(name):
                    verify(key, record.id, name, signature)
                    self._store.add_session(record.manifest, State.PROPOSED, {name: signature})

    def _note_policy(self) -> None:
        """Log that the policy is another one than when it last decided: no file is as good as an empty one."""
        path = self._config.policy_path
        digest = hashlib.sha256(path.read_bytes() if path.exists() else b"").hexdigest()
        if digest != self._digest:
            logged = [e.facts["policy"] for e in self._store.logged(NODE, Event.POLICY_CHANGED)]
            if digest != (logged[-1] if logged else hashlib.sha256().hexdigest()):
                self._store.log(NODE, Event.POLICY_CHANGED, policy=digest)
            self._digest = digest

    def _records(self, participant: Participant) -> list[SessionRecord]:
        """The sessions that this node takes part in, as the coordinator tells them, oldest first."""
        records = [view.record for view in participant.coordinator.sessions()]
        mine = [record for record in records if self._config.name in record.manifest.participants]
        mine.sort(key=lambda record: (record.manifest.created, record.id))
        # The list has no signatures, and of proposals we must know whether ours is there.
        return [participant.coordinator.get(r.id).record if r.state is State.PROPOSED else r for r in mine]

    def _history(self, records: Sequence[SessionRecord]) -> list[Past]:
        """The sessions that this node has signed, and that had results or may still have them.

        How they stand the coordinator tells; one that it leaves out counts as long as its terms allow results.
        """
        ended = self._ended()
        known = {session_id: self._store.get(session_id) for session_id in self._store.session_ids()}
        known |= {record.id: record for record in records if not self._knows_best(known.get(record.id))}
        unended = [record for session_id, record in known.items() if session_id not in ended]
        return [*ended.values(), *(self._past(record.manifest) for record in unended if self._may_have_results(record))]

    def _knows_best(self, record: SessionRecord | None) -> bool:
        """Whether this node, being on a session's committee, need not believe anyone how it stands."""
        return (
            record is not None and record.state is not State.PROPOSED and self._config.name in record.manifest.committee
        )

    def _ended(self) -> dict[bytes, Past]:
        """The sessions whose results were released here, or fetched by this node."""
        query = (
            "SELECT id, manifest, min(entries.at) FROM sessions JOIN entries ON session = id "
            "WHERE event IN (?, ?) AND entries.at > ? GROUP BY id"
        )
        since = self._store.clock() - timedelta(days=MAX_PERIOD_DAYS + 1)
        rows = self._store.read(query, (Event.RELEASED.code, Event.GOT_RESULT.code, since.isoformat()))
        return {session: Past(from_bytes(terms).members, datetime.fromisoformat(at)) for session, terms, at in rows}

    def _past(self, terms: Manifest) -> Past:
        """A session of which we know no end: nobody gets results after the agreed retention."""
        until = terms.retained_until()
        return Past(terms.members, until if until <= self._store.clock() else None)

    def _may_have_results(self, record: SessionRecord) -> bool:
        if record.state in OVER or (record.state in _NOT_COMPUTED and record.manifest.is_past(self._store.clock())):
            return False
        return record.state is not State.PROPOSED or self._config.name in record.signatures


def _check_person(person: str, approvers: Sequence[str]) -> None:
    """Refuse consent by somebody whose consent is not asked for, or by nobody where it is."""
    if not person.isprintable() or len(person) > MAX_PERSON_CHARS:
        raise InputError(f"The name of who consents must be one line of at most {MAX_PERSON_CHARS} characters.")
    if not person and approvers:
        raise InputError(f"Say with --by who consents: {' or '.join(approvers)}.")
    if approvers and person not in approvers:
        raise SessionRefused(f"`{person}` is not among the `approvers` of this node's policy: {', '.join(approvers)}.")
