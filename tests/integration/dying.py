"""A daemon that kills itself once, outright, at a named point; all else is the real program.

    python -m tests.integration.dying POINT MARK node serve --config node.toml

MARK is a file that is made just before. POINT is one of
    before EVENT    when an event of the audit log is written, in the midst of the transaction
    after EVENT     when the transaction with this event is committed
    send STEP       when a message of a step of the computation is about to be sent
    chunk NUMBER    when so many chunks of an upload are stored
    commit NUMBER   when so many transactions are committed
    call METHOD     when a member is about to show its receipts (report), or to write its sheet (write)
    replace         when a file that is whole is about to take its place
    sealed dealing  when a member has made the secret of a session
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from parties import audit, calls, cli, copies, csvfile, database, shares, transport

written = threading.local()


def die(mark: Path) -> None:
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def at_event(when: str, event: str, mark: Path) -> None:
    append, transaction = audit.Log.append, database.Database.transaction

    def appending(self: audit.Log, db: Any, session: bytes, what: audit.Event, *facts: Any) -> audit.Entry:
        entry = append(self, db, session, what, *facts)
        if what.code == event and when == "before":
            die(mark)
        written.due = getattr(written, "due", False) or what.code == event
        return entry

    @contextmanager
    def committing(self: database.Database) -> Iterator[Any]:
        with transaction(self) as db:
            yield db
        if getattr(written, "due", False) and not db.in_transaction:
            die(mark)

    audit.Log.append, database.Database.transaction = appending, committing  # type: ignore[method-assign,assignment]


def at_step(step: str, mark: Path) -> None:
    send = transport.ExchangeChannel.send

    def sending(self: transport.ExchangeChannel, peer: Any, label: str, *pieces: bytes) -> None:
        if label.startswith(step):
            die(mark)
        send(self, peer, label, *pieces)

    transport.ExchangeChannel.send = sending  # type: ignore[method-assign]


def at_chunk(number: int, mark: Path) -> None:
    add = shares.Shares.add_chunk

    def adding(self: shares.Shares, upload: Any, part: int, body: bytes) -> None:
        add(self, upload, part, body)
        if part + 1 == number:
            die(mark)

    shares.Shares.add_chunk = adding  # type: ignore[method-assign]


def at_call(owner: Any, name: str, mark: Path, *, after: bool = False) -> None:
    method = getattr(owner, name)

    def calling(*args: Any, **named: Any) -> Any:
        if not after:
            die(mark)
        made = method(*args, **named)
        die(mark)
        return made

    setattr(owner, name, calling)


def at_commit(number: int, mark: Path) -> None:
    transaction, committed = database.Database.transaction, [0]

    @contextmanager
    def committing(self: database.Database) -> Iterator[Any]:
        with transaction(self) as db:
            yield db
        committed[0] += not db.in_transaction
        if committed[0] == number:
            die(mark)

    database.Database.transaction = committing  # type: ignore[method-assign,assignment]


def main() -> int:
    kind, _, what = sys.argv[1].partition(" ")
    mark = Path(sys.argv[2])
    match kind:
        case "commit":
            at_commit(int(what), mark)
        case "call" if what == "report":
            at_call(calls.Coordinator, "report", mark)
        case "call":
            at_call(csvfile.CsvList, "write", mark)
        case "replace":
            at_call(Path, "replace", mark)
        case "sealed":
            at_call(copies.Copies, "secret", mark, after=True)
        case "send":
            at_step(what, mark)
        case "chunk":
            at_chunk(int(what), mark)
        case _:
            at_event(kind, what, mark)
    return cli.main(sys.argv[3:])


if __name__ == "__main__":
    sys.exit(main())
