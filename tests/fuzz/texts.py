"""Targets: cells of lists, and what becomes a line of a log."""

from __future__ import annotations

import json
import logging

from parties import logs
from parties.columns import FIELDS
from parties.normalise import Context
from parties.normalise.standard import canonical
from parties.rules import part
from tests.fuzz.target import MARK, Target

CONTEXTS = (Context(), Context("UA", "dmy"), Context("SY", "mdy"), Context("XX"))


def _text(data: bytes) -> str:
    """Any text that Python can hold; halves of surrogate pairs too, which damaged files give."""
    return data.decode("utf-8", "surrogateescape")


def _cell(field: str) -> Target:
    def run(data: bytes) -> None:
        """Any cell of a field has a canonical form or a note, and a canonical form is its own."""
        for context in CONTEXTS:
            values, note = canonical(field, _text(data), context)
            assert values or note
            for value in values:
                assert part(value)
                again = canonical(field, value, context).values
                # A document's has its country and kind in it, which no cell has.
                assert field == "id_number" or again == (value,), "a canonical form changes when it is made once more"

    return Target(f"cell-{field.replace('_', '-')}", run, lambda: [c.encode() for c in CELLS], longest=300)


CELLS = (
    "+380 67 123-45-67; 0501234567", "Олександр Петренко-Коваль", "محمد عبد الله", "31.12.1980", "1980-01-31",
    "12/5/1999", "AB123456", "1234567899", "Female", "Ukraine", "UA80", "1,500.50", "2026-03", "passport",
    "9670909984.0", "3.8E+11", "n/a", "Jean-François d'Arc",
)  # fmt: skip


def _log_line(data: bytes) -> None:
    """Whatever a peer says becomes one line, and an unexpected error's own words none."""
    text = _text(data)
    error = KeyError(text + MARK.decode())
    record = logging.LogRecord("matchbit", logging.INFO, "", 0, "%s went wrong: %s", (text, error), None)
    record.session, record.peer, record.rows = data, text, len(data)
    plain, machine = logs.Text().format(_with(record, error)), logs.Json().format(_with(record, error))
    for line in (*plain.split("\n"), machine):
        assert line.isprintable()
        assert MARK.decode() not in line
    assert json.loads(machine)["level"] == "INFO"


def _with(record: logging.LogRecord, error: Exception) -> logging.LogRecord:
    record.exc_info = (type(error), error, None)
    return record


TARGETS = (
    *map(_cell, (*FIELDS, "My heading")),
    Target("log-line", _log_line, lambda: [b"all is well", b"a\nb"], longest=2048),
)
