"""Protobuf messages ↔ our own types, with every field of a peer's message checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from parties.errors import InputError
from parties.lifecycle import State
from parties.manifest import MAX_MANIFEST_BYTES, MAX_MEMBERS, MAX_RECORDS, MAX_RULES, NAME, Manifest, from_bytes
from parties.store import Receipt, SessionRecord
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
    return "".join(c if c.isprintable() else " " for c in value[:MAX_REASON_CHARS]).strip()


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


def receipt_to_pb(receipt: Receipt) -> pb.Receipt:
    """A receipt on the wire."""
    return pb.Receipt(
        session_id=receipt.session_id,
        member=receipt.member,
        node=receipt.node,
        rows=receipt.rows,
        digest_a=receipt.digests[0],
        digest_b=receipt.digests[1],
        signature=receipt.signature,
    )


def receipt_of(message: pb.Receipt) -> Receipt:
    """A receipt from a peer, its signature not yet checked.

    Raises:
        InputError: a field is malformed.
    """
    if message.rows > MAX_RECORDS * MAX_RULES:
        raise InputError("A receipt is for more keys than any session allows.")
    return Receipt(
        session_id=sized(message.session_id, SESSION_ID_BYTES, "session_id"),
        member=name_of(message.member),
        node=name_of(message.node),
        rows=message.rows,
        digests=(sized(message.digest_a, DIGEST_BYTES, "digest_a"), sized(message.digest_b, DIGEST_BYTES, "digest_b")),
        signature=sized(message.signature, SIGNATURE_BYTES, "signature"),
    )


def session_to_pb(record: SessionRecord, contributed: Mapping[str, int], progress: tuple[str, int, int]) -> pb.Session:
    """A session on the wire."""
    return pb.Session(
        session_id=record.id,
        manifest=record.manifest.to_bytes(),
        state=state_to_pb(record.state),
        reason=record.reason,
        attempt=record.attempt,
        signatures=[pb.Signature(name=n, signature=s) for n, s in sorted(record.signatures.items())],
        contributions=[pb.Contribution(member=name, rows=rows) for name, rows in contributed.items()],
        progress=pb.Progress(phase=progress[0], rows_done=progress[1], rows_total=progress[2]),
    )


def session_of(message: pb.Session) -> tuple[SessionRecord, dict[str, int], tuple[str, int, int]]:
    """A session from the coordinator: the manifest is checked against the id, signatures are not yet.

    Raises:
        ConfigError, InputError: malformed.
    """
    manifest = manifest_of(message.manifest)
    if manifest.session_id != message.session_id:
        raise InputError("The session's id is not the digest of its manifest.")
    if len(message.signatures) > MAX_MEMBERS + 3 or len(message.contributions) > MAX_MEMBERS:
        raise InputError("The session has more signatures or contributions than parties.")
    signatures = {name_of(s.name): sized(s.signature, SIGNATURE_BYTES, "signature") for s in message.signatures}
    record = SessionRecord(manifest, state_of(message.state), reason_of(message.reason), message.attempt, signatures)
    progress = (reason_of(message.progress.phase), message.progress.rows_done, message.progress.rows_total)
    return record, {name_of(c.member): c.rows for c in message.contributions}, progress
