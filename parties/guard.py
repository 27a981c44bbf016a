"""What a committee node allows itself to do in a session, whatever anyone asks: every decision, and nothing of gRPC.

Each decision is made on the node's own database, its own copy of the signed terms and its own policy file, in one
transaction with the entry of the audit log that tells of it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.constant_time import bytes_eq

from mpc.channel import MAX_MESSAGE_BYTES
from parties import audit
from parties.contribution import held_digests, scheme_of
from parties.errors import InputError, ServiceError, SessionRefused
from parties.federation import Federation
from parties.lifecycle import MEANING, OVER, Event, State
from parties.limits import check_commitment
from parties.manifest import Manifest
from parties.manifest import check as check_terms
from parties.policy import Policy
from parties.shares import REPLACED, Shares, Upload, folded
from parties.statements import Commitment, Completion, Receipt, contributions
from parties.store import SessionRecord, Store, for_party

log = logging.getLogger("matchbit")
MAX_CONTRIBUTIONS = 100
"""Of a member to a session; each is an entry of the log."""


@dataclass(frozen=True, repr=False)
class Surroundings:
    """What a guard knows besides its database.

    Attributes:
        name: of the node.
        key: its signing key.
        federation: gives who is who, as of now.
        policy: gives what the node's operator allows, as of now.
        fetch: gets a session's terms and signatures from its coordinator.
    """

    name: str
    key: Ed25519PrivateKey
    federation: Callable[[], Federation]
    policy: Callable[[], Policy]
    fetch: Callable[[bytes], SessionRecord]


class Guard:
    """One committee node's decisions.

    Args:
        store: of the node.
        shares: of the node.
        around: what it knows besides.
    """

    def __init__(self, store: Store, shares: Shares, around: Surroundings) -> None:
        self.store, self.shares, self._around = store, shares, around
        self._digesting = threading.Lock()

    # Terms

    def served(self, session_id: bytes, caller: str) -> SessionRecord:
        """A session on whose committee this node is, with every signature and this node's policy checked.

        Fetched from the coordinator until everyone has signed: for a party of what this node has signed itself, and
        for the coordinator. Nobody else has anything looked up, whichever sessions they know or make up.

        Raises:
            SessionRefused: unknown, expired, over, not signed by all, against the policy, or not this node's.
            ConfigError: terms that this version does not take.
        """
        known, name = self.store.session(session_id), self._around.name
        if known is not None or not self._is_coordinator(caller):
            known = for_party(known, session_id, caller)
        approved = known if known is not None and known.state is not State.PROPOSED else None
        record = approved or self._around.fetch(session_id)
        if name not in record.manifest.committee:
            raise SessionRefused(f"{name} is not on the committee of this session.")
        check_terms(record.manifest)  # this node may have been updated since it signed them
        self._around.federation().check_approved(record.manifest, record.signatures, self.store.clock())
        self._around.policy().refuse(record.manifest, name)
        if approved:
            return approved
        if record.state in OVER:
            raise SessionRefused(f"The session {MEANING[record.state]}.")
        self.store.add_session(record.manifest, State.APPROVED, record.signatures)
        return self.store.get(session_id)

    def party(self, manifest: Manifest) -> int:
        """Which party this node is."""
        return manifest.committee.index(self._around.name)

    def _is_coordinator(self, caller: str) -> bool:
        return caller == self._around.federation().coordinator.name

    def by_coordinator(self, session_id: bytes, caller: str) -> SessionRecord:
        """A session as this node has it, whatever has become of it, for its coordinator alone."""
        if self.store.session(session_id) is None:
            self.served(session_id, caller)
        record = self.store.of_party(session_id, caller)
        _require_coordinator(record, caller)
        return record

    # Contributions

    def received_bytes(self, member: str, session_id: bytes, commitment: bytes) -> int:
        """How much of an upload is here, so that it can go on."""
        found = self.shares.upload(session_id, member, commitment)
        return self.shares.received_bytes(found) if found else 0

    def receive(
        self, member: str, commitment: Commitment, seeds: tuple[bytes, ...], offset: int, chunks: Iterable[bytes]
    ) -> Receipt:
        """Take an upload, or the rest of it.

        Args:
            member: who is calling.
            commitment: its statement; the signature is not checked yet.
            seeds: of this node's components.
            offset: bytes that are here already.
            chunks: the rest of the component that travels whole; empty where this node holds none that does.

        Returns:
            This node's statement that it holds what was committed to.

        Raises:
            SessionRefused: outside the terms, or contributions are closed.
            InputError: the upload is not what was announced; it is deleted if it was whole.
        """
        record = self.served(commitment.session_id, member)
        if commitment.name != member:
            raise SessionRefused(f"{member} cannot contribute in the name of {commitment.name}.")
        self._check(record.manifest, commitment)
        if self.store.times(record.id, audit.Event.RECEIVED, member) >= MAX_CONTRIBUTIONS:
            raise SessionRefused(f"{member} has contributed {MAX_CONTRIBUTIONS} times to this session already.")
        scheme, party = scheme_of(record.manifest), self.party(record.manifest)
        if len(seeds) != (held := len(scheme.held_by(party))):
            raise InputError(f"The upload has {len(seeds)} seeds where {held} are due by the terms; compare versions.")
        with self._contributions_open(commitment):
            upload = self.shares.open_upload(commitment, seeds, scheme.due_bytes(party, commitment.keys))
        if not upload.complete:
            self._take(record.manifest, upload, offset, chunks)
        receipt = Receipt(record.id, self._around.name, member=member, commitment=commitment.digest)
        return receipt.signed(self._around.key)

    def _check(self, manifest: Manifest, commitment: Commitment) -> None:
        """Hold what a member commits to against the terms, and against the results that it has had."""
        past = self.store.had_results(commitment.name, manifest.session_id)
        check_commitment(self._around.federation(), manifest, commitment, past, self.store.clock())

    def _take(self, manifest: Manifest, upload: Upload, offset: int, chunks: Iterable[bytes]) -> None:
        """Keep the chunks that are due, and check the whole against the commitment."""
        scheme, party, c = scheme_of(manifest), self.party(manifest), upload.commitment
        due = scheme.due_bytes(party, c.keys)
        if offset != self.shares.received_bytes(upload) or offset > due:
            raise InputError("The upload does not go on where it stopped; contribute again.")
        for chunk in chunks:
            if len(chunk) != min(MAX_MESSAGE_BYTES, due - offset) or not chunk:
                raise InputError("The upload has more or other bytes than it announced.")
            self.shares.add_chunk(upload, offset // MAX_MESSAGE_BYTES, chunk)
            offset += len(chunk)
        if offset < due:
            raise InputError(f"The upload ended {due - offset} bytes early; contribute again.")
        with self._digesting:  # one at a time, since it takes a core
            held = held_digests(scheme, party, c.keys, upload.seeds, self.shares.chunks(upload.id))
        if self.shares.received_bytes(upload) != due:  # an attempt has begun meanwhile, and dropped it
            raise SessionRefused(REPLACED)
        if not bytes_eq(b"".join(held), b"".join(c.digests[component] for component in scheme.held_by(party))):
            self.shares.drop_upload(upload)
            raise InputError("The upload does not fit the commitment to it; contribute again.")
        with self._contributions_open(c):
            self.shares.finish_upload(upload)

    @contextmanager
    def _contributions_open(self, c: Commitment) -> Iterator[None]:
        """A transaction in which a contribution is due: before the first attempt, or one that was lost since then."""
        with self.store.transaction():
            record = self.store.get(c.session_id)
            committed = self.store.commitment(record.id, c.name)
            lost = committed is not None and committed.digest == c.digest
            due = record.contributions is None or lost
            if record.state not in (State.APPROVED, State.ABORTED) or not due:
                raise SessionRefused("The session has been computed on or is over; contributions are closed.")
            yield

    # Attempts

    def check(self, caller: str, session_id: bytes, commitments: Sequence[Commitment]) -> None:
        """Whether an attempt on these commitments could begin here; nothing is changed.

        Raises:
            SessionRefused: outside the terms, or not on what members have uploaded.
        """
        record = self.served(session_id, caller)
        _require_coordinator(record, caller)
        self._check_commitments(record, commitments)

    def begin(self, caller: str, session_id: bytes, attempt: int, commitments: Sequence[Commitment]) -> bool:
        """Begin an attempt on these commitments, which are the session's from then on.

        Returns:
            Whether it has to be computed; False where it is being or has been computed already.

        Raises:
            SessionRefused: outside the terms; not on what members have uploaded; or over.
        """
        record = self.served(session_id, caller)
        _require_coordinator(record, caller)
        chosen = contributions(commitments)
        under_way = record.state in (State.RUNNING, State.COMPUTED, State.DONE)
        if under_way and (record.attempt, record.contributions) == (attempt, chosen):
            return False
        with self.store.transaction():
            self._check_commitments(record, commitments)
            members = [c.name for c in commitments]
            self.store.begin(session_id, attempt, chosen, members)
            self.shares.drop_results(session_id)
            self.shares.choose(session_id, {c.name: c.digest for c in commitments})
            for commitment in commitments:
                self.store.add_statement(commitment)
        return True

    def _check_commitments(self, record: SessionRecord, commitments: Sequence[Commitment]) -> None:
        manifest = record.manifest
        names = [c.name for c in commitments]
        if len(set(names)) != len(names) or len(names) < manifest.min_members:
            raise SessionRefused(
                f"{len(set(names))} members have contributed; nothing is computed before {manifest.min_members} have."
            )
        for c in commitments:
            if c.session_id != record.id:
                raise SessionRefused("A commitment is to another session.")
            self._check(manifest, c)
        held = {n: self.shares.upload(record.id, n, c.digest) for n, c in zip(names, commitments, strict=True)}
        absent = [name for name, upload in held.items() if upload is None or not upload.complete]
        if absent:
            raise SessionRefused(f"{', '.join(absent)} did not finish contributing and must contribute again.")

    def computed(
        self,
        record: SessionRecord,
        parts: Mapping[str, bytes],
        group_sizes: Sequence[int],
        phases: Mapping[str, float],
        block_sizes: Sequence[int] = (),
    ) -> None:
        """Keep the results of an attempt until the whole committee has its own.

        Args:
            record: of the session, at the attempt.
            parts: this node's part of each member's result; empty where its part is not needed.
            group_sizes: what the node learned; nothing with the mpyc engine.
            phases: seconds of each.
            block_sizes: what it learned of blocking keys; nothing without a similar rule.
        """
        assert record.contributions is not None  # noqa: S101 - set when the attempt began
        sizes = folded(group_sizes, len(record.manifest.members))  # longer if a member has repeated a key
        completion = Completion(
            record.id, self._around.name, attempt=record.attempt, contributions=record.contributions
        )
        self.shares.add_results(completion.signed(self._around.key), parts, sizes, phases, block_sizes)

    def failed(self, session_id: bytes, attempt: int, reason: str) -> None:
        """End an attempt without results, unless another has begun."""
        with self.store.transaction():
            record = self.store.get(session_id)
            if (record.attempt, record.state) == (attempt, State.RUNNING):
                self.shares.drop_results(session_id)
                self.store.change(session_id, Event.ABORT, audit.Event.ABORTED, reason, reason=reason, attempt=attempt)

    def abort(self, caller: str, session_id: bytes, attempt: int, reason: str) -> State:
        """The coordinator's word that an attempt has failed for good; why is kept.

        Raises:
            SessionRefused: results have been released, or a later attempt has begun.
        """
        self.by_coordinator(session_id, caller)
        with self.store.transaction():
            record = self.store.get(session_id)
            if record.attempt > attempt:
                raise SessionRefused(f"Attempt {attempt} has been replaced by attempt {record.attempt}.")
            begun, ended = (len(self.store.logged(session_id, e)) for e in (audit.Event.ATTEMPT, audit.Event.ABORTED))
            # For each attempt the node's own reason and the coordinator's: each is an entry of the log.
            known = record.state is State.ABORTED and (record.reason == reason or ended >= 2 * (begun + 1))
            if known or record.state in (State.CLOSED, State.EXPIRED):
                return record.state
            self.shares.drop_results(session_id)
            return self.store.change(
                session_id, Event.ABORT, audit.Event.ABORTED, reason, reason=reason, attempt=attempt
            )

    # Results

    def release(self, record: SessionRecord, completions: Sequence[Completion]) -> State:
        """Release results, on the word of all committee nodes that they have computed the same.

        Raises:
            SessionRefused: a word is missing, or is on another attempt than this node's.
        """
        check_completions(self._around.federation(), record.manifest, completions)
        with self.store.transaction():
            record = self.store.get(record.id)
            if record.state in (State.DONE, State.CLOSED, State.EXPIRED):
                return record.state
            if {(c.attempt, c.contributions) for c in completions} != {(record.attempt, record.contributions)}:
                raise SessionRefused("The committee nodes' statements are on another attempt than this node computed.")
            if record.state is not State.COMPUTED:
                raise SessionRefused(f"The session {MEANING[record.state]}; there is nothing to release here.")
            return self.store.change(record.id, Event.RELEASE, audit.Event.RELEASED, attempt=record.attempt)

    def result(self, member: str, session_id: bytes, completions: Sequence[Completion]) -> Iterator[bytes]:
        """This node's part of a member's result.

        Raises:
            SessionRefused: there is none for the caller, or it is not released.
        """
        self.store.of_party(session_id, member)  # a stranger is not to hold the database
        with self.store.transaction():
            record = self.store.get(session_id)
            chunks = self.shares.result(session_id, member)
            if record.state not in (State.COMPUTED, State.DONE) or chunks is None:
                raise SessionRefused("This node has no result of this session for the caller.")
            if self.store.clock() >= record.manifest.retained_until():
                raise SessionRefused("The agreed retention has ended; results are no longer given out.")
            if record.state is not State.DONE:
                self.release(record, completions)
            if not self.store.times(session_id, audit.Event.FETCHED, member):
                self.store.log(session_id, audit.Event.FETCHED, member=member)
        return chunks

    # The end

    def delete(self, caller: str, session_id: bytes) -> None:
        """Delete shares and results, for the coordinator."""
        if self.store.session(session_id) is None and self._is_coordinator(caller):
            return  # there is nothing to delete
        record = self.by_coordinator(session_id, caller)
        if record.state is not State.CLOSED:
            self.failed(session_id, record.attempt, "the coordinator ended the session")
            self.shares.delete(session_id, Event.CLOSE, "the coordinator closed the session")

    def recover(self) -> None:
        """After a restart: end attempts that were cut off."""
        cut_off = self.store.session_ids(state=State.RUNNING)
        for session_id in cut_off:
            record = self.store.get(session_id)
            self.failed(session_id, record.attempt, f"{self._around.name} was restarted while it computed.")
        if cut_off:
            self.store.log(audit.NODE, audit.Event.RECOVERED)
        self.shares.recover()

    def delete_overdue(self) -> None:
        """Delete the shares and results of sessions that have expired or are past their retention."""
        now = self.store.clock()
        for session_id in self.store.session_ids():
            try:
                record = self.store.get(session_id)
                if record.state in (State.PROPOSED, State.APPROVED, State.ABORTED) and record.manifest.is_past(now):
                    self.shares.delete(session_id, Event.EXPIRE, "the session expired")
                elif record.state not in (*OVER, State.RUNNING) and now >= record.manifest.retained_until():
                    self.shares.delete(session_id, Event.CLOSE, "the agreed retention ended")
            except SessionRefused:
                continue  # it has just begun to run: next time
            except ServiceError:  # which must not keep the others
                log.exception("session %s: cannot be deleted just now", session_id[:8].hex())


def check_completions(federation: Federation, manifest: Manifest, completions: Sequence[Completion]) -> None:
    """Check that all committee nodes say that they have computed one and the same attempt.

    Raises:
        SessionRefused: one does not say so.
        InputError: a statement is not signed by its node.
    """
    said = {c.name: c for c in completions}
    silent = [name for name in manifest.committee if name not in said]
    if silent:
        raise SessionRefused(f"Results are not released yet: {', '.join(silent)} did not say that it has computed.")
    if len(completions) != len(manifest.committee):
        raise SessionRefused("There are more statements than committee nodes.")
    if {c.session_id for c in completions} != {manifest.session_id}:
        raise SessionRefused("A committee node's statement is on another session.")
    if len({(c.attempt, c.contributions) for c in completions}) != 1:
        raise SessionRefused("The committee nodes' statements are on different attempts.")
    for completion in completions:
        completion.check(federation[completion.name].verifier())


def _require_coordinator(record: SessionRecord, caller: str) -> None:
    if caller != record.manifest.coordinator:
        raise SessionRefused("Only the session's coordinator may do this.")
