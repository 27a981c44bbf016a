"""Log lines of both kinds: what they hold, and that nobody's words can become a line of their own."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.errors import PeerError
from parties import logs
from parties.errors import StorageError
from tests.parties.samples import examples

PHONE = "067 123 45 67"
FORGED = "agency-b\n2026-11-25T10:00:00.000Z INFO shares deleted\r\x1b[2J\u202e\u2028\ud800\0"
Logged = Callable[[logging.Logger], None]


def written(kind: type[logging.Formatter], say: Logged) -> str:
    """What a logger of its own writes."""
    stream = io.StringIO()
    lines = logging.StreamHandler(stream)
    lines.setFormatter(kind())
    logger = logging.Logger("matchbit")
    logger.addHandler(lines)
    say(logger)
    return stream.getvalue()


def as_json(say: Logged) -> dict[str, Any]:
    (line,) = written(logs.Json, say).splitlines()
    entry = json.loads(line)
    assert isinstance(entry, dict)
    return entry


def raised(error: Exception, cause: Exception | None = None) -> Logged:
    """Logs the error, as it is caught somewhere."""

    def say(logger: logging.Logger) -> None:
        try:
            raise error from cause
        except Exception:
            logger.exception("It stopped: %s", error)

    return say


def test_a_line_for_programs_has_time_level_logger_message_and_fields() -> None:
    extra = {
        "session": bytes([1, 254]),
        "attempt": 3,
        "peer": "agency-b",
        "seconds": 0.5,
        "retriable": True,
        "by": None,
    }
    entry = as_json(lambda logger: logger.warning("attempt %d: %s", 3, "lost", extra=extra))
    at = datetime.fromisoformat(entry.pop("at"))
    assert at.utcoffset() is not None
    assert entry == extra | {
        "session": "01fe", "level": "WARNING", "logger": "matchbit", "message": "attempt 3: lost",
    }  # fmt: skip


def test_a_line_for_people() -> None:
    extra = {"session": bytes([1, 254]), "peer": "agency-b"}
    line = written(logs.Text, lambda logger: logger.info("%s is back", "agency-b", extra=extra))
    at, rest = line.split(" ", 1)
    assert datetime.fromisoformat(at)
    assert rest == 'INFO agency-b is back session=01fe peer="agency-b"\n'


def test_fields_do_not_take_the_place_of_what_every_line_has() -> None:
    extra = {"at": "never", "level": "DEBUG", "logger": "x", "exception": "x"}
    entry = as_json(lambda logger: logger.info("m", extra=extra))
    assert (entry["level"], entry["logger"]) == ("INFO", "matchbit")
    assert entry["at"] != "never"


@pytest.mark.parametrize("kind", [logs.Text, logs.Json])
def test_a_peer_cannot_forge_a_line(kind: type[logging.Formatter]) -> None:
    def say(logger: logging.Logger) -> None:
        logger.info("refused: %s", FORGED, extra={"peer": FORGED})
        raised(StorageError(FORGED))(logger)

    entries = [line for line in written(kind, say).splitlines() if not line.startswith("    ")]
    assert len(entries) == 2
    assert all("shares deleted" in entry for entry in entries)
    assert all(c.isprintable() for line in written(kind, say).split("\n") for c in line)


@examples(300)
@given(st.text(st.characters(), max_size=40), st.text(st.characters(), max_size=40))
def test_no_text_breaks_a_line(message: str, peer: str) -> None:
    def say(logger: logging.Logger) -> None:
        logger.info("%s", message, extra={"peer": peer})

    assert as_json(say)["message"] == message
    assert as_json(say)["peer"] == peer
    text = written(logs.Text, say)
    assert len(text.splitlines()) == 1
    assert text.endswith("\n")
    assert text[:-1].isprintable()


@pytest.mark.parametrize("kind", [logs.Text, logs.Json])
def test_unexpected_errors_tell_where_and_of_what_kind_but_no_values(kind: type[logging.Formatter]) -> None:
    try:
        int(PHONE)
    except ValueError as error:
        cause = error
    text = written(kind, raised(LookupError(PHONE), cause))
    assert PHONE not in text
    assert "LookupError" in text
    assert "ValueError" in text
    assert "test_logs.py" in text
    assert "in say" in text


def test_errors_of_our_own_keep_their_sentence() -> None:
    full = StorageError("The disk is full; make room.")
    entry = as_json(raised(full, PeerError(1, "aes/3", "timeout", "no answer")))
    assert entry["message"] == "It stopped: The disk is full; make room."
    assert entry["exception"]["type"] == "StorageError"
    stack = entry["exception"]["stack"]
    assert stack[-1] == "StorageError: The disk is full; make room."
    assert stack[0].startswith("PeerError: ")


def test_an_error_that_is_its_own_cause() -> None:
    error = LookupError("x")
    error.__context__ = StorageError("y")
    error.__context__.__context__ = error
    assert as_json(raised(error))["exception"]["type"] == "LookupError"


PROGRAM = """
import logging, sys, threading
from parties import logs
for kind in sys.argv[1:]:
    logs.setup(kind)
    logging.getLogger("matchbit").info("once")
    logging.getLogger("matchbit").debug("not shown")
ended = threading.Thread(target=lambda: int("067 123 45 67"))
ended.start()
ended.join()
"""


def run(*arguments: str, before: str = "") -> list[str]:
    command = [sys.executable, "-c", before + PROGRAM, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()


def test_a_process_logs_in_the_kind_that_was_set_up_last() -> None:
    first, second, third, thread = run("text", "text", "json")
    assert first.endswith("Z INFO once")
    assert second.endswith("Z INFO once")
    assert json.loads(third)["message"] == "once"
    ended = json.loads(thread)
    assert (ended["level"], ended["exception"]["type"]) == ("ERROR", "ValueError")
    assert PHONE not in thread


def test_logging_that_somebody_else_set_up_stays() -> None:
    lines = run("json", before='import logging; logging.basicConfig(level="INFO", format="theirs: %(message)s")\n')
    assert lines[0] == "theirs: once"
