"""Common ways to spoil an input: of its bytes, and of its lines where it is text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message import DecodeError, Message

from tests.fuzz.target import Target

NUMBERS = (0, 1, -1, 255, 1 << 15, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, (1 << 60) + 1, (1 << 63) - 1, 1 << 63)
TEXTS = ("", "a", "-", "a\nb", "\0", "\u202ea", "\ud800", "é" * 300, "x" * 5000, "../x", "9" * 5000, "{}", "%s")
VALUES: tuple[Any, ...] = (None, True, [], {}, 1e308, 0.0, [[]], ["a"], {"a": 1}, *NUMBERS, *TEXTS)
TOML_VALUES = (
    b"true", b"-1", b"0x7fffffffffffffff", b"1e400", b"nan", b'""', b'"\\u0000"', b'"a\\nb"', b'"\\u202e"', b"[]",
    b"[[]]", b"{}", b"[1, 'a']", b"1979-05-27", b"1979-05-27T07:32:00Z", b"0001-01-01T00:00:00+23:59", b"9" * 5000,
    b"0x" + b"f" * 5000,
)  # fmt: skip


def mutated(target: Target, data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """An input that was spoiled once or a few times, in the target's own way or in the common ones."""
    for _ in range(random.choice((1, 1, 2, 4))):
        if target.mutate and random.random() < 0.5:
            data = target.mutate(data, random)
        else:
            data = random.choice(_WAYS)(data, random, (*target.words, random.choice(others)))
    return data[: target.longest]


def _bit(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    place = random.randrange(len(data) or 1)
    return data[:place] + bytes(b ^ 1 << random.randrange(8) for b in data[place : place + 1]) + data[place + 1 :]


def _cut(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    start, end = _span(data, random)
    return random.choice((data[:start], data[:start] + data[end:]))


def _repeated(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    start, end = _span(data, random)
    return data[:end] + data[start:end] * random.choice((1, 1, 2, 100)) + data[end:]


def _spliced(data: bytes, random: Random, words: Sequence[bytes]) -> bytes:
    """With a word, or a piece of another input, in place of some bytes."""
    start, end = _span(data, random)
    word = random.choice(words)
    first, last = _span(word, random) if len(word) > 64 else (0, len(word))
    return data[:start] + word[first:last] + data[random.choice((start, end)) :]


def _number(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    """With what may be a length or a count set to something extreme."""
    place, size = random.randrange(len(data) or 1), random.choice((1, 2, 4, 8))
    value = random.choice(NUMBERS) % (1 << 8 * size)
    return data[:place] + value.to_bytes(size, random.choice(("little", "big"))) + data[place + size :]


def _line(data: bytes, random: Random, words: Sequence[bytes]) -> bytes:
    """With a line repeated, moved, left out, or with another value behind its `=`."""
    lines = data.split(b"\n")
    k, m = random.randrange(len(lines)), random.randrange(len(lines))
    key, sign, _ = lines[k].partition(b"=")
    changed = random.choice(([lines[k]] * 2, [lines[m]], [], [key + sign + random.choice((*TOML_VALUES, *words))]))
    return b"\n".join([*lines[:k], *changed, *lines[k + 1 :]])


_WAYS: tuple[Callable[[bytes, Random, Sequence[bytes]], bytes], ...] = (
    _bit, _cut, _repeated, _spliced, _number, _line, _line,
)  # fmt: skip


def _span(data: bytes, random: Random) -> tuple[int, int]:
    start = random.randrange(len(data) + 1)
    return start, min(len(data), start + random.choice((1, 2, 8, 64, len(data))))


def in_json(data: bytes, random: Random) -> bytes:
    """A JSON text with another value at some place, or a part left out; as `json` writes it without spaces."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return data
    text = json.dumps(_changed(value, random), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def _changed(value: Any, random: Random) -> Any:
    if not isinstance(value, dict | list) or not value or random.random() < 0.1:
        return random.choice(VALUES)
    key = random.choice(list(value) if isinstance(value, dict) else range(len(value)))
    items = dict(value) if isinstance(value, dict) else dict(enumerate(value))
    if random.random() < 0.1:
        del items[key]
    else:
        items[key] = _changed(value[key], random)
    return items if isinstance(value, dict) else list(items.values())


def in_message(kind: type[Message]) -> Callable[[bytes, Random], bytes]:
    """Ways to spoil a Protobuf message of a kind: another value in some field, or parts repeated."""

    def mutate(data: bytes, random: Random) -> bytes:
        try:
            message = kind.FromString(data)
        except DecodeError:
            return data
        _spoil(message, random)
        return message.SerializeToString()

    return mutate


def _spoil(message: Any, random: Random) -> None:
    field = random.choice(message.DESCRIPTOR.fields)
    value = getattr(message, field.name)
    if field.is_repeated:
        repeated = [item for item in value for _ in range(random.choice((0, 1, 1, 2, 300)))]
        if repeated and isinstance(repeated[0], Message) and random.random() < 0.5:
            _spoil(random.choice(repeated), random)
        message.ClearField(field.name)
        getattr(message, field.name).extend(repeated)
    elif field.type == Field.TYPE_MESSAGE:
        _spoil(value, random)
    else:
        setattr(message, field.name, _scalar(field, value, random))


def _scalar(field: Field, value: Any, random: Random) -> Any:
    if isinstance(value, bytes):
        return random.choice((b"", value[:-1], value + b"\0", bytes(len(value)), value * 50))
    if isinstance(value, str):
        return random.choice(TEXTS).encode("utf-8", "replace").decode()
    if isinstance(value, bool | float):
        return random.choice((0, 1))
    bits = 64 if field.type in (Field.TYPE_UINT64, Field.TYPE_INT64) else 32
    signed = field.type in (Field.TYPE_INT64, Field.TYPE_ENUM)
    return random.choice(NUMBERS) % (1 << bits - signed)
