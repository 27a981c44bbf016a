"""Log lines, for people or for programs. One line is one event, whatever a peer puts into the words that it holds.

What an unexpected error says of itself is not written: it may hold what was being worked on. Its kind and the lines of
code that it went through are.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import sys
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TextIO

from mpc.errors import MpcError
from parties.errors import ServiceError

KINDS = ("text", "json")
_SPEAKABLE = (ServiceError, MpcError, OSError, sqlite3.Error)
"""Errors whose own words hold no values."""
_USUAL = vars(logging.makeLogRecord({})).keys() | {"message", "asctime"}
"""What every record has; the rest are the fields of `extra=`."""


def setup(kind: str, stream: TextIO | None = None) -> None:
    """Write what this process logs to one stream.

    It may be called again. Where another program has set up logging before and merely calls us, that stays as it is.

    Args:
        kind: text or json.
        stream: standard error by default.
    """
    root = logging.getLogger()
    ours = [found for found in root.handlers if isinstance(found.formatter, Text | Json)]
    if root.handlers and not ours:
        return
    for old in ours:
        root.removeHandler(old)
    added = logging.StreamHandler(stream or sys.stderr)
    added.setFormatter({"text": Text, "json": Json}[kind]())
    root.addHandler(added)
    root.setLevel(logging.INFO)
    threading.excepthook = _thread_ended


def _thread_ended(ended: threading.ExceptHookArgs) -> None:
    error = ended.exc_value
    if error is not None and not isinstance(error, SystemExit):
        logging.getLogger("matchbit").error("a thread ended with an unexpected error", exc_info=error)


class Text(logging.Formatter):
    """`2026-11-25T10:00:00.000Z INFO what happened session=9f…`; the lines below it, if any, are indented."""

    def format(self, record: logging.LogRecord) -> str:
        """The entry."""
        fields = [f" {name}={_quoted(value)}" for name, value in _fields(record).items()]
        head = f"{_at(record)} {record.levelname} {_escaped(_words(record))}{''.join(fields)}"
        return "\n".join([head, *(f"    {_escaped(line)}" for line in _stack(record))])


class Json(logging.Formatter):
    """One JSON object a line: at, level, logger, message, the fields of `extra=`, and `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """The entry."""
        entry: dict[str, Any] = {"at": _at(record), "level": record.levelname, "logger": record.name}
        entry["message"] = _words(record)
        if error := _error(record):
            entry["exception"] = {"type": type(error).__name__, "stack": list(_stack(record))}
        return json.dumps({**entry, **_fields(record), **entry})  # no field takes the place of what every line has


def _at(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _error(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if record.exc_info else None


def _words(record: logging.LogRecord) -> str:
    """The message; gRPC's own puts the words of an unexpected error into it, which are taken out again."""
    message, error = record.getMessage(), _error(record)
    if error is not None and not isinstance(error, _SPEAKABLE) and str(error):
        message = message.replace(str(error), type(error).__name__)
    return message


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What was given as `extra=`; ids as hex digits."""
    given = {name: value for name, value in vars(record).items() if name not in _USUAL}
    return {name: _value(value) for name, value in given.items()}


def _value(value: object) -> str | int | float | bool | None:
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, int | float | bool | None) else str(value)


def _stack(record: logging.LogRecord) -> Iterator[str]:
    """An error's way through the code, its causes first."""
    chain: list[BaseException] = []
    error = _error(record)
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    for error in reversed(chain):
        for frame in traceback.extract_tb(error.__traceback__):
            yield f"{frame.filename}:{frame.lineno} in {frame.name}"
        yield type(error).__name__ + (f": {error}" if isinstance(error, _SPEAKABLE) else "")


def _escaped(text: str) -> str:
    """Without anything that would begin another line or that a terminal obeys."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _quoted(value: object) -> str:
    text = str(value)
    return text if text.isalnum() else _escaped(json.dumps(text, ensure_ascii=False))
