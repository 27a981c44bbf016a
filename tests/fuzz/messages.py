"""Targets: what peers send, as Protobuf messages and as frames of a computation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from mpc.channel import InMemoryChannel, Mailbox
from mpc.committee import PARTIES, PartyId
from mpc.replicated import Array
from mpc.session import Session, open_session
from parties import frames, protocols, wire
from parties.frames import Frame
from parties.statements import Statement
from protos.matchbit.v1.committee_pb2 import ExchangeFrame, ExchangeHeader, ExchangeRequest
from tests.fuzz.mutations import in_message
from tests.fuzz.target import MARK, Target, may_be_refused
from tests.mpc.test_session import Wire, opened
from tests.parties.test_wire import GOOD
from tests.world import private_key

P0, P1, P2 = PARTIES
WRITERS: dict[str, Callable[[Any], Any]] = {
    "session": wire.view_to_pb,
    "commitment": wire.commitment_to_pb,
    "receipt": wire.receipt_to_pb,
    "completion": wire.completion_to_pb,
    "head": wire.head_to_pb,
}
ARRAY: Array = np.arange(6, dtype=np.uint64).reshape(3, 2)


def _message(name: str) -> Target:
    read, good = GOOD[name]
    kind = type(good)

    def run(data: bytes) -> None:
        """What is read of a message, and written again, is the same."""
        try:
            message = kind.FromString(data)
        except DecodeError:
            return
        value = read(message)
        if name in WRITERS:
            assert read(WRITERS[name](value)) == value
        if isinstance(value, Statement):
            assert type(value).from_text(value.to_text()) == value

    return Target(f"message-{name}", run, lambda: [good.SerializeToString()], in_message(kind))


@cache
def _sessions() -> dict[PartyId, Session]:
    return opened()[0]


def _frames(data: bytes) -> None:
    """A peer's frames are refused, or give the array that it has sent."""
    try:
        sent = list(_split(data))
    except DecodeError:
        return
    with may_be_refused():
        _received([ExchangeFrame(step=frame.step, payload=MARK + frame.payload) for frame in sent])
    assert np.array_equal(_received(sent), ARRAY)


def _received(sent: list[ExchangeFrame]) -> Array:
    """What P0 reads of P1's frames at a step."""
    mailbox = Mailbox(timeout_s=0)
    for frame in sent:
        mailbox.put(P1, frame.step, frame.payload)
    mailbox.end(P1)
    channel = InMemoryChannel(P0, {P0: mailbox})
    return replace(_sessions()[P0], channel=channel, step="step").receive(P1, ARRAY.shape)


def _split(data: bytes) -> Iterator[ExchangeFrame]:
    """Messages, each behind its length in two bytes."""
    while data:
        end = 2 + int.from_bytes(data[:2], "big")
        yield ExchangeFrame.FromString(data[2:end])
        data = data[end:]


def _joined(sent: list[ExchangeFrame]) -> bytes:
    parts = [frame.SerializeToString()[: (1 << 16) - 1] for frame in sent]
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def _sent() -> list[bytes]:
    """What P1 sends at two steps."""
    outgoing = Wire()
    sender = replace(_sessions()[P1], channel=outgoing)
    sender.at("step").send(P0, ARRAY)
    sender.at("next").send(P0, ARRAY)
    return [_joined([ExchangeFrame(step=step, payload=sent) for (_, step), sent in outgoing.sent.items()])]


def _in_frames(data: bytes, random: Random) -> bytes:
    try:
        sent = list(_split(data))
    except DecodeError:
        return data
    if not sent:
        return data
    k = random.randrange(len(sent))
    spoilt = ExchangeFrame.FromString(in_message(ExchangeFrame)(sent[k].SerializeToString(), random))
    return _joined([*sent[:k], *random.choice(([spoilt], [sent[k]] * 2, [])), *sent[k + 1 :]])


def _frame(data: bytes) -> None:
    """A frame as it comes is read as Protobuf reads it, whoever wrote it."""
    try:
        request = ExchangeRequest.FromString(data)
    except DecodeError:
        request = None
    try:
        found = frames.read(data)
    except DecodeError:
        assert request is None
        return
    assert request is not None
    is_frame = request.HasField("frame")
    assert found == (Frame(request.frame.step, request.frame.payload) if is_frame else request.header)
    if is_frame:
        assert frames.read(frames.write(request.frame.step, request.frame.payload)) == found


def _as_sent() -> list[bytes]:
    header = ExchangeRequest(header=ExchangeHeader(session_id=bytes(32), attempt=1))
    return [frames.write("tag/chunk0/round1/norm256#0", bytes(40)), header.SerializeToString()]


def _keys(data: bytes) -> None:
    """A public key of a peer: none but its own gives the keys that it has, but for the bit that X25519 leaves out."""
    channel, own = Wire(), private_key(1, P1).public_key().public_bytes_raw()
    channel.coming = {(P2, "keys"): private_key(1, P2).public_key().public_bytes_raw(), (P1, "keys"): data}
    session = open_session(P0, channel, private_key(1, P0), b"a session")
    same = (data[:31], data[31] & 127) == (own[:31], own[31] & 127)
    assert (session.mac_keys == _sessions()[P0].mac_keys) == same


def _public_keys() -> list[bytes]:
    return [private_key(1, P1).public_key().public_bytes_raw()]


def _versions(data: bytes) -> None:
    """What a caller tells in its metadata; gRPC gives text, or bytes."""
    assert protocols.heard(data) == ()
    heard = protocols.heard(data.decode("utf-8", "replace"))
    assert len(heard) <= 16
    protocols.check(heard, "node-b")


def _words(data: bytes) -> None:
    """Names and reasons, which are taken from messages as they are."""
    text = data.decode("utf-8", "replace")
    reason = wire.reason_of(text)
    assert reason.isprintable()
    assert wire.reason_of(reason) == reason
    assert wire.name_of(text) == text


TARGETS = (
    *map(_message, GOOD),
    Target("frames", _frames, _sent, _in_frames),
    Target("frame", _frame, _as_sent),
    Target("public-key", _keys, _public_keys, longest=64),
    Target("protocol-versions", _versions, lambda: [protocols.told().encode(), b"1,2,9999"], longest=256),
    Target("words", _words, lambda: [b"agency-a"], longest=4096),
)
