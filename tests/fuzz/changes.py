"""What is done to a valid message to make it a hostile one: field by field, and in its bytes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

LONG = 70_000
MANY = 3_000
LARGEST = {
    FieldDescriptor.CPPTYPE_UINT64: (1 << 64) - 1,
    FieldDescriptor.CPPTYPE_INT64: (1 << 63) - 1,
    FieldDescriptor.CPPTYPE_UINT32: (1 << 32) - 1,
    FieldDescriptor.CPPTYPE_ENUM: 999,
    FieldDescriptor.CPPTYPE_DOUBLE: float("inf"),
}
HOSTILE = "\x1b[2J\nhub: all is well.\u202e\0"
Values = Mapping[str, list[Any]]
"""By a field's name, what valid messages have in it: of other members, sessions and attempts."""


@dataclass(frozen=True)
class Change:
    """One change to a stream of messages.

    Attributes:
        which: of all fields in the stream, set or not; taken modulo their number.
        how: one of `FIELDS`, `BYTES` or `STREAMS`.
        seed: of what is drawn.
    """

    which: int
    how: str
    seed: int


def values_of(messages: Iterable[Message]) -> dict[str, list[Any]]:
    """What valid messages have in their fields."""
    found: dict[str, list[Any]] = {}
    for message in messages:
        for owner, field in _fields(message):
            held = getattr(owner, field.name)
            if field.type != FieldDescriptor.TYPE_MESSAGE:
                found.setdefault(field.name, []).extend(held if field.is_repeated else [held])
    return {name: sorted({*held}) for name, held in found.items()}


def changed(stream: list[Message], changes: Iterable[Change], values: Values) -> list[bytes]:
    """A stream as a hostile caller sends it."""
    messages = [type(m).FromString(m.SerializeToString()) for m in stream]
    chosen = [*changes]
    for change in chosen:
        places = [place for message in messages for place in _fields(message)]
        if change.how in FIELDS and places:
            FIELDS[change.how](*places[change.which % len(places)], values, random.Random(change.seed))
    sent = [message.SerializeToString() for message in messages]
    for change in chosen:
        drawn = random.Random(change.seed)
        if change.how in BYTES and sent:
            which = change.which % len(sent)
            sent[which] = BYTES[change.how](sent[which], drawn)
        elif change.how in STREAMS:
            sent = STREAMS[change.how](sent)
    return sent


def _fields(message: Message) -> Iterator[tuple[Message, FieldDescriptor]]:
    """Every field, set or not, of a message and of those within it."""
    fields: Sequence[Any] = message.DESCRIPTOR.fields
    for field in fields:
        yield message, field
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            held = getattr(message, field.name)
            for part in held if field.is_repeated else [held] if message.HasField(field.name) else []:
                yield from _fields(part)


# Fields


def _put(owner: Message, field: FieldDescriptor, value: Any) -> None:
    """Set a field to a value, or to just one where there can be many."""
    if field.is_repeated:
        owner.ClearField(field.name)
        getattr(owner, field.name).append(value)
    else:
        setattr(owner, field.name, value)


def _missing(owner: Message, field: FieldDescriptor, _values: Values, _drawn: random.Random) -> None:
    owner.ClearField(field.name)


def _empty(owner: Message, field: FieldDescriptor, _values: Values, _drawn: random.Random) -> None:
    owner.ClearField(field.name)
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        held = getattr(owner, field.name)
        held.add() if field.is_repeated else held.SetInParent()


def _another(owner: Message, field: FieldDescriptor, values: Values, drawn: random.Random) -> None:
    if field.type != FieldDescriptor.TYPE_MESSAGE and values.get(field.name):
        _put(owner, field, drawn.choice(values[field.name]))


def _huge(owner: Message, field: FieldDescriptor, _values: Values, _drawn: random.Random) -> None:
    if field.cpp_type in LARGEST:
        _put(owner, field, LARGEST[field.cpp_type])


def _long(owner: Message, field: FieldDescriptor, _values: Values, drawn: random.Random) -> None:
    length = drawn.choice((1, 31, 33, 63, 65, LONG))
    if field.type == FieldDescriptor.TYPE_BYTES:
        _put(owner, field, drawn.randbytes(length))
    elif field.type == FieldDescriptor.TYPE_STRING:
        _put(owner, field, (HOSTILE * length)[:length])


def _flipped(owner: Message, field: FieldDescriptor, _values: Values, drawn: random.Random) -> None:
    held = getattr(owner, field.name)
    if field.type == FieldDescriptor.TYPE_BYTES and not field.is_repeated and held:
        place = drawn.randrange(len(held))
        setattr(owner, field.name, held[:place] + bytes([held[place] ^ 1 << drawn.randrange(8)]) + held[place + 1 :])
    elif field.cpp_type in LARGEST and not field.is_repeated and field.cpp_type != FieldDescriptor.CPPTYPE_DOUBLE:
        setattr(owner, field.name, max(int(held) + drawn.choice((-1, 1)), 0))


def _many(owner: Message, field: FieldDescriptor, _values: Values, drawn: random.Random) -> None:
    held = getattr(owner, field.name)
    if field.is_repeated and len(held):
        held.extend([held[0]] * drawn.choice((1, 3, MANY)))


FIELDS: dict[str, Callable[[Message, FieldDescriptor, Values, random.Random], None]] = {
    "missing": _missing,
    "empty": _empty,
    "another's": _another,
    "huge": _huge,
    "long": _long,
    "flipped": _flipped,
    "many": _many,
}
BYTES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "unknown field": lambda sent, drawn: sent + b"\xfa\x3f\x04" + drawn.randbytes(4),
    "cut": lambda sent, drawn: sent[: drawn.randrange(len(sent) + 1)],
    "noise": lambda sent, drawn: drawn.randbytes(len(sent) or 8),
    "no text": lambda sent, _drawn: sent.replace(b"agency", b"\xff\xfe\xfd\xfc\xfb\xfa"),
    "too large": lambda sent, _drawn: sent + b"\xfa\x3f\xff\xff\x7f" + bytes((1 << 21) - 1),
}
STREAMS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "silent": lambda _sent: [],
    "twice": lambda sent: sent * 2,
    "backwards": lambda sent: sent[::-1],
    "first again and again": lambda sent: sent[:1] * 100 or sent,
    "cut off": lambda sent: sent[:-1],
}
HOWS = (*FIELDS, *BYTES, *STREAMS)
