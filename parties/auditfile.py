"""The file that a log is handed on in: one JSON object a line.

The first says whose log of which session it is, with the terms; then come the approvals, the entries and the heads,
each with its signature. What is signed stands there in full, so that anyone can check it without Matchbit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parties.audit import NODE, Entry, Head, facts_of
from parties.errors import InputError
from parties.manifest import MAX_MANIFEST_BYTES, NAME

FORMAT = "matchbit.v1 audit export"
MAX_BYTES = 1 << 26
MAX_LINE_BYTES = 4 * MAX_MANIFEST_BYTES
"""The terms with all their quotes escaped, and more."""


@dataclass(frozen=True)
class Export:
    """A node's log of a session, with what it holds of the session's terms and of others' logs.

    Attributes:
        node: whose log.
        session: 32 bytes, or `audit.NODE`.
        terms: the manifest's canonical bytes; empty where there is none.
        approvals: signatures on the terms, by name.
        entries: the log.
        heads: statements of nodes, each on its own log of the session.
    """

    node: str
    session: bytes
    terms: bytes
    approvals: Mapping[str, bytes]
    entries: Sequence[Entry]
    heads: Sequence[Head]

    def to_bytes(self) -> bytes:
        """As it is written to a file."""
        head = {"format": FORMAT, "node": self.node, "session": self.session.hex(), "terms": self.terms.decode()}
        lines: list[dict[str, Any]] = [head]
        lines += [{"approval": name, "signature": s.hex()} for name, s in sorted(self.approvals.items())]
        lines += [{"entry": entry.statement(), "signature": entry.signature.hex()} for entry in self.entries]
        lines += [{"head": h.statement(), "signature": h.signature.hex()} for h in self.heads]
        return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


def read(path: Path) -> Export:
    """A log that was exported; nothing of it is checked but its form.

    Raises:
        InputError: it is something else; names the line.
    """
    lines = _lines(path)
    try:
        number, head = next(lines, (1, {}))
        if head.get("format") != FORMAT:
            raise ValueError
        node, session, terms = _name(head["node"]), _session(head["session"]), _text(head["terms"]).encode()
        approvals: dict[str, bytes] = {}
        entries: list[Entry] = []
        heads: list[Head] = []
        for number, line in lines:  # noqa: B007 - told below
            signature = _hex(line["signature"], 64)
            match line:
                case {"approval": name}:
                    approvals[_name(name)] = signature
                case {"entry": dict() as statement}:
                    entries.append(_entry(statement, signature))
                case {"head": dict() as statement}:
                    heads.append(_head(statement, signature))
                case _:
                    raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(
            f"{path}, line {number}, is not of a log that `matchbit audit export --out` wrote; ask for the file again."
        ) from None
    return Export(node, session, terms, approvals, entries, heads)


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file with their lines' numbers; a line that holds none is an empty one."""
    with path.open("rb") as file:
        number = size = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            number, size = number + 1, size + len(line)
            if size > MAX_BYTES or len(line) > MAX_LINE_BYTES:
                raise InputError(f"{path} is too large for a log of one session; ask for the file again.")
            yield number, _object(line)


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {}


def _entry(statement: dict[str, Any], signature: bytes) -> Entry:
    entry = Entry(
        node=_name(statement["node"]),
        session=_session(statement["session"]),
        number=_number(statement["number"]),
        at=_text(statement["at"]),
        event=_text(statement["event"]),
        facts=facts_of(statement["facts"]),
        previous=_hex(statement["previous"], 32),
        signature=signature,
    )
    if entry.statement() != statement:
        raise ValueError("what is signed has other parts")
    return entry


def _head(statement: dict[str, Any], signature: bytes) -> Head:
    node, session = _name(statement["node"]), _session(statement["session"])
    return Head(node, session, _number(statement["number"]), _hex(statement["hash"], 32), signature)


def _name(value: Any) -> str:
    if not NAME.fullmatch(value):
        raise ValueError("not a node's name")
    return str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_MANIFEST_BYTES:
        raise ValueError("not a text")
    return value


def _number(value: Any) -> int:
    if type(value) is not int or not 0 < value < 1 << 63:
        raise ValueError("not a number of an entry")
    return value


def _session(value: Any) -> bytes:
    return NODE if value == "" else _hex(value, 32)


def _hex(value: Any, length: int) -> bytes:
    if not re.fullmatch(rf"[0-9a-f]{{{2 * length}}}", value):
        raise ValueError("not so many bytes in hex digits")
    return bytes.fromhex(value)
