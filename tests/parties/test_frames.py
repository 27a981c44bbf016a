"""Frames on the wire: the same bytes as Protobuf's, whoever writes and whoever reads."""

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from parties import frames
from parties.frames import Frame
from protos.matchbit.v1.committee_pb2 import ExchangeFrame, ExchangeHeader, ExchangeRequest

LABELS = st.text(st.characters(codec="ascii"), min_size=1, max_size=200)
PAYLOADS = st.binary(min_size=1, max_size=300) | st.sampled_from([bytes(n) for n in (127, 128, 16383, 16384, 1 << 21)])


def by_protobuf(step: str, payload: bytes) -> bytes:
    return ExchangeRequest(frame=ExchangeFrame(step=step, payload=payload)).SerializeToString(deterministic=True)


@given(LABELS, PAYLOADS, st.integers(0, 300))
def test_what_is_written_is_what_protobuf_writes(step: str, payload: bytes, cut: int) -> None:
    assert frames.write(step, payload[:cut], memoryview(payload)[cut:]) == by_protobuf(step, payload)


@given(LABELS, PAYLOADS)
def test_what_protobuf_writes_is_read(step: str, payload: bytes) -> None:
    assert frames.read(by_protobuf(step, payload)) == Frame(step, payload)


@given(st.text(max_size=5), st.binary(max_size=20))
def test_empty_fields_and_other_alphabets_are_read_by_protobuf(step: str, payload: bytes) -> None:
    assert frames.read(by_protobuf(step, payload)) == Frame(step, payload)
    assert frames.read(frames.write(step, payload)) == Frame(step, payload)


def test_a_payload_is_not_copied() -> None:
    message = frames.write("step", bytes(1000))
    found = frames.read(message)
    assert isinstance(found, Frame)
    assert isinstance(found.payload, memoryview)
    assert found.payload.obj is message


def test_a_header_is_read() -> None:
    header = ExchangeHeader(session_id=bytes(32), attempt=3)
    assert frames.read(ExchangeRequest(header=header).SerializeToString()) == header
    assert frames.read(b"") == ExchangeHeader()


def test_fields_in_another_order_or_twice_are_what_protobuf_makes_of_them() -> None:
    step, payload = b"\x0a\x01s", b"\x12\x03abc"
    for inner in (payload + step, step + payload + payload, step + payload + b"\x18\x01"):
        assert frames.read(b"\x12" + bytes([len(inner)]) + inner) == Frame("s", b"abc")


@given(LABELS, st.binary(min_size=1, max_size=40), st.data())
def test_what_is_spoilt_is_read_as_protobuf_reads_it(step: str, payload: bytes, data: st.DataObject) -> None:
    message = bytearray(by_protobuf(step, payload))
    for _ in range(data.draw(st.integers(1, 3))):
        message[data.draw(st.integers(0, min(len(message), 12) - 1))] = data.draw(st.integers(0, 255))
    spoilt = bytes(message[: data.draw(st.integers(0, len(message)))])
    try:
        request = ExchangeRequest.FromString(spoilt)
    except DecodeError:
        with pytest.raises(DecodeError):
            frames.read(spoilt)
        return
    due = Frame(request.frame.step, request.frame.payload) if request.HasField("frame") else request.header
    assert frames.read(spoilt) == due


def test_nothing_of_a_frame_is_shown() -> None:
    assert "secret" not in repr(Frame("step", b"secret"))
