"""Frames of a computation on the wire: what Protobuf would write of an ExchangeRequest, without its copies.

A committee node sends and receives some 400 bytes a row; Protobuf copies each three times on its way out and twice on
its way in, which cost more than TLS. The messages are the same, and whoever uses Protobuf's own code is understood.
"""

from __future__ import annotations

from dataclasses import dataclass

from protos.matchbit.v1.committee_pb2 import ExchangeFrame, ExchangeHeader, ExchangeRequest

_FRAME, _STEP, _PAYLOAD = (
    bytes([kind.DESCRIPTOR.fields_by_name[name].number << 3 | 2])
    for kind, name in ((ExchangeRequest, "frame"), (ExchangeFrame, "step"), (ExchangeFrame, "payload"))
)
"""Keys of the three fields, each of which has a length and so many bytes (Protobuf encoding, wire type 2)."""


@dataclass(frozen=True, repr=False)
class Frame:
    """One message of a computation.

    Attributes:
        step: its label, not yet checked.
        payload: a view of what came, or its bytes.
    """

    step: str
    payload: bytes | memoryview


def write(step: str, *pieces: bytes | memoryview) -> bytes:
    """An ExchangeRequest with a frame whose payload is these pieces, one after the other."""
    label, size = step.encode(), sum(map(len, pieces))
    start = b"".join((_STEP, _varint(len(label)), label, _PAYLOAD, _varint(size)))
    return b"".join((_FRAME, _varint(len(start) + size), start, *pieces))


def read(message: bytes) -> ExchangeHeader | Frame:
    """What a peer's ExchangeRequest holds.

    Raises:
        DecodeError: it is none.
    """
    view = memoryview(message)
    try:
        frame, rest = _field(_FRAME, view)
        label, inner = _field(_STEP, frame)
        payload, none = _field(_PAYLOAD, inner)
        if not rest and not none:
            return Frame(str(label, "ascii"), payload)
    except (ValueError, IndexError):
        pass  # not as `write` writes it
    request = ExchangeRequest.FromString(message)
    if request.HasField("frame"):
        return Frame(request.frame.step, request.frame.payload)
    return request.header


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last byte have their top bit set."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])


def _field(key: bytes, view: memoryview) -> tuple[memoryview, memoryview]:
    """A field of this key at the beginning of a view, and what follows it.

    Raises:
        ValueError: there is another one, or it is not whole.
        IndexError: the view ends before it does.
    """
    if view[:1] != key:
        raise ValueError("another field")
    length = place = 0
    while True:
        byte = view[1 + place]
        length |= (byte & 0x7F) << 7 * place
        place += 1
        if byte < 0x80:
            break
        if place == 5:  # more than any message of ours
            raise ValueError("too long")
    start = 1 + place
    if len(view) < start + length:
        raise ValueError("cut off")
    return view[start : start + length], view[start + length :]
