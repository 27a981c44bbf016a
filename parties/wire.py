"""Protobuf messages ↔ our own types, with every field of a peer's message checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from parties.audit import Head
from parties.contribution import SEED_BYTES
from parties.engines import MAX_COMMITTEE
from parties.errors import InputError, line
from parties.lifecycle import State
from parties.manifest import MAX_MANIFEST_BYTES, MAX_RECORDS, MAX_RULES, NAME, Manifest, from_bytes
from parties.statements import Commitment, Completion, Receipt
from parties.store import SessionRecord
from protos.matchbit.v1 import committee_pb2
from protos.matchbit.v1 import session_pb2 as pb

SESSION_ID_BYTES = 32
DIGEST_BYTES = 32
SIGNATURE_BYTES = 64
MAX_REASON_CHARS = 1000

_STATES = {state: pb.SessionState.Value(f"SESSION_STATE_{state.name}") for state in State}
_FROM_STATES = {value: state for state, value in _STATES.items()}


def sized(value: bytes, length: int, name: str) -> bytes:
    """A bytes field of an exact length.

    Raises:
        InputError: it has another length.
    """
    if len(value) != length:
        raise InputError(f"`{name}` has {len(value)} bytes where {length} are due.")
    return value


def name_of(value: str) -> str:
    """A node's name.

    Raises:
        InputError: malformed.
    """
    if not NAME.fullmatch(value):
        raise InputError("A node's name is malformed.")
    return value


def reason_of(value: str) -> str:
    """A reason for people: one line, bounded, printable."""
    return line(value, MAX_REASON_CHARS).strip()


def manifest_of(value: bytes) -> Manifest:
    """A manifest from its canonical bytes."""
    if len(value) > MAX_MANIFEST_BYTES:
        raise InputError("The manifest is too long.")
    return from_bytes(value)


def state_to_pb(state: State) -> pb.SessionState:
    """The state's number on the wire."""
    return cast("pb.SessionState", _STATES[state])  # an int at run time


def state_of(value: int) -> State:
    """The state of a number on the wire.

    Raises:
        InputError: unknown.
    """
    if value not in _FROM_STATES:
        raise InputError("The peer named a state that this version does not know; update Matchbit.")
    return _FROM_STATES[value]


def commitment_to_pb(c: Commitment) -> pb.Commitment:
    """A commitment on the wire."""
    return pb.Commitment(
        session_id=c.session_id,
        member=c.name,
        records=c.records,
        new_records=c.new_records,
        keys=c.keys,
        digests=c.digests,
        signature=c.signature,
    )


def commitment_of(message: pb.Commitment) -> Commitment:
    """A commitment from a peer, its signature not yet checked.

    Raises:
        InputError: a field is malformed.
    """
    if max(message.records, message.new_records) > MAX_RECORDS or message.keys > MAX_RECORDS * MAX_RULES:
        raise InputError("A commitment is to more than any session allows.")
    if not 3 <= len(message.digests) <= MAX_COMMITTEE:
        raise InputError(f"A commitment must have the digests of 3 to {MAX_COMMITTEE} components.")
    return Commitment(
        session_id=sized(message.session_id, SESSION_ID_BYTES, "session_id"),
        name=name_of(message.member),
        records=message.records,
        new_records=message.new_records,
        keys=message.keys,
        digests=tuple(sized(d, DIGEST_BYTES, "digest") for d in message.digests),
        signature=sized(message.signature, SIGNATURE_BYTES, "signature"),
    )


def seeds_of(message: committee_pb2.ContributionHeader) -> tuple[bytes, ...]:
    """The seeds of an upload; whether they are as many as the session's terms make due is not yet checked.

    Raises:
        InputError: malformed.
    """
    if not 1 <= len(message.seeds) <= MAX_COMMITTEE:
        raise InputError(f"An upload must have 1 to {MAX_COMMITTEE} seeds.")
    return tuple(sized(seed, SEED_BYTES, "seed") for seed in message.seeds)


def receipt_to_pb(receipt: Receipt) -> pb.Receipt:
    """A receipt on the wire."""
    return pb.Receipt(
        session_id=receipt.session_id,
        member=receipt.member,
        node=receipt.name,
        commitment=receipt.commitment,
        signature=receipt.signature,
    )


def receipt_of(message: pb.Receipt) -> Receipt:
    """A receipt from a peer, its signature not yet checked.

    Raises:
        InputError: a field is malformed.
    """
    return Receipt(
        session_id=sized(message.session_id, SESSION_ID_BYTES, "session_id"),
        name=name_of(message.node),
        member=name_of(message.member),
        commitment=sized(message.commitment, DIGEST_BYTES, "commitment"),
        signature=sized(message.signature, SIGNATURE_BYTES, "signature"),
    )


def completion_to_pb(completion: Completion) -> pb.Completion:
    """A completion on the wire."""
    return pb.Completion(
        session_id=completion.session_id,
        node=completion.name,
        attempt=completion.attempt,
        contributions=completion.contributions,
        signature=completion.signature,
    )


def completion_of(message: pb.Completion) -> Completion:
    """A completion from a peer, its signature not yet checked.

    Raises:
        InputError: a field is malformed.
    """
    return Completion(
        session_id=sized(message.session_id, SESSION_ID_BYTES, "session_id"),
        name=name_of(message.node),
        attempt=message.attempt,
        contributions=sized(message.contributions, DIGEST_BYTES, "contributions"),
        signature=sized(message.signature, SIGNATURE_BYTES, "signature"),
    )


def head_to_pb(head: Head) -> pb.Head:
    """A head on the wire."""
    return pb.Head(
        session_id=head.session, node=head.node, number=head.number, hash=head.hash, signature=head.signature
    )


def head_of(message: pb.Head) -> Head:
    """A head from a peer, its signature not yet checked.

    Raises:
        InputError: a field is malformed.
    """
    if not 0 < message.number < 1 << 63:
        raise InputError("A head is of an entry that no log has.")
    return Head(
        session=sized(message.session_id, SESSION_ID_BYTES, "session_id"),
        node=name_of(message.node),
        number=message.number,
        hash=sized(message.hash, DIGEST_BYTES, "hash"),
        signature=sized(message.signature, SIGNATURE_BYTES, "signature"),
    )


@dataclass(frozen=True)
class View:
    """A session as its coordinator tells it.

    Attributes:
        record: terms, state, signatures.
        commitments: of the members that have contributed, by name.
        completions: of the committee nodes that have computed the newest attempt.
        progress: (phase, rows done, rows in all).
    """

    record: SessionRecord
    commitments: dict[str, Commitment]
    completions: tuple[Completion, ...]
    progress: tuple[str, int, int]


def view_to_pb(view: View) -> pb.Session:
    """A session on the wire."""
    record = view.record
    return pb.Session(
        session_id=record.id,
        manifest=record.manifest.to_bytes(),
        state=state_to_pb(record.state),
        reason=record.reason,
        attempt=record.attempt,
        signatures=[pb.Signature(name=n, signature=s) for n, s in sorted(record.signatures.items())],
        commitments=[commitment_to_pb(c) for c in view.commitments.values()],
        completions=[completion_to_pb(c) for c in view.completions],
        progress=pb.Progress(phase=view.progress[0], rows_done=view.progress[1], rows_total=view.progress[2]),
    )


def view_of(message: pb.Session) -> View:
    """A session from the coordinator: the manifest is checked against the id, signatures are not yet.

    Raises:
        ConfigError, InputError: malformed.
    """
    manifest = manifest_of(message.manifest)
    if manifest.session_id != message.session_id:
        raise InputError("The session's id is not the digest of its manifest.")
    parties, nodes = len(manifest.participants), len(manifest.committee)
    too_many = len(message.signatures) > parties or len(message.completions) > nodes
    if too_many or len(message.commitments) > len(manifest.members):
        raise InputError("The session has more signatures or statements than parties.")
    signatures = {name_of(s.name): sized(s.signature, SIGNATURE_BYTES, "signature") for s in message.signatures}
    record = SessionRecord(manifest, state_of(message.state), reason_of(message.reason), message.attempt, signatures)
    commitments = {c.name: c for c in map(commitment_of, message.commitments)}
    progress = (reason_of(message.progress.phase), message.progress.rows_done, message.progress.rows_total)
    return View(record, commitments, tuple(map(completion_of, message.completions)), progress)


@dataclass(frozen=True)
class Answer:
    """How a committee node says that a session's newest attempt goes there.

    Attributes:
        state: where the session is at the node.
        reason: why it failed.
        attempt: the newest one that the node began; 0 for none.
        progress: (phase, rows done, rows in all).
        retriable: whether another attempt may succeed where this one failed.
        completion: the node's signed statement, once it has computed.
    """

    state: State
    reason: str = ""
    attempt: int = 0
    progress: tuple[str, int, int] = ("", 0, 0)
    retriable: bool = True
    completion: Completion | None = None


def answer_of(message: committee_pb2.GetRunResponse) -> Answer:
    """A committee node's answer; the completion's signature is not checked yet.

    Raises:
        InputError: malformed.
    """
    progress = (reason_of(message.progress.phase), message.progress.rows_done, message.progress.rows_total)
    completion = completion_of(message.completion) if message.HasField("completion") else None
    state, reason = state_of(message.state), reason_of(message.reason)
    return Answer(state, reason, message.attempt, progress, message.retriable, completion)
