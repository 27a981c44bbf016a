"""A member's or operator's side of a session: look, approve, contribute, fetch results. It only connects out."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from parties import calls, fields, results
from parties.check import MIN_ROWS, MOST, judged
from parties.columns import MapFile
from parties.config import Config
from parties.contribution import deal_keys
from parties.errors import InputError, SessionRefused
from parties.fields import NewRows, ReadableList
from parties.findings import Finding, Severity
from parties.identity import utc_now
from parties.keys import Keys, make_keys
from parties.lifecycle import MEANING, State
from parties.manifest import Manifest, sign
from parties.page import result_page
from parties.review import Reviews
from parties.sheet import appearing
from parties.store import SessionRecord, Store

CLOSED = "the private copy of the list and the queue of matches were deleted"
Progress = Callable[[str, int, int], None]
"""(what, done, in all)."""


def quiet(what: str, done: int, total: int) -> None:
    """Show no progress."""


class Member:
    """What one node does in sessions.

    Args:
        config: of the node.
        progress: told how long work goes on.
    """

    def __init__(self, config: Config, progress: Progress = quiet) -> None:
        self.config, self._progress = config, progress
        self.federation = config.federation()
        self.coordinator = calls.Coordinator(config, self.federation)

    def approve(self, session_id: bytes) -> SessionRecord:
        """Sign a session's terms, after checking that they mean the nodes that we know."""
        record, _, _ = self.coordinator.get(session_id)
        self.federation.check(record.manifest, utc_now())
        signature = sign(self.config.identity().signing_key, record.id, self.config.name)
        self.coordinator.approve(record.id, signature)
        return record

    def contribute(
        self,
        session_id: bytes,
        path: Path,
        map_file: MapFile = MapFile(),  # noqa: B008 - frozen
        new: NewRows = NewRows(),  # noqa: B008 - frozen
        *,
        accept: bool = False,
    ) -> tuple[Keys, tuple[Finding, ...]]:
        """Read a list, keep a private copy of it, and give the committee its shares.

        Args:
            session_id: the id, or its first bytes.
            path: the list.
            map_file: what its owner says about it.
            new: which rows are new, and reported.
            accept: a person has seen what looks wrong, and wants it used all the same.

        Returns:
            The list's keys, and what a person should know of it.

        Raises:
            InputError: the list cannot be used; nothing has been sent then.
            SessionRefused: the session does not take contributions, or the list looks wrong; nothing has been sent.
        """
        record = self._approved(session_id)
        if record.state not in (State.APPROVED, State.READY, State.ABORTED):
            raise SessionRefused(f"The session {MEANING[record.state]}; contributions are closed.")
        before = path.stat() if path.is_file() else None
        opened = fields.open_list(path, map_file)
        keys, found = self._keys(record, opened, new)
        check_limits(record.manifest, keys, path)
        findings = judged(opened, keys, found, keys.rows * (len(record.manifest.members) - 1))
        if not accept:
            _stop(path, findings)
        copy = self._copy(record.id)
        copy.mkdir(mode=0o700, parents=True, exist_ok=True)
        with private(copy / "new") as target, path.open("rb") as original:
            shutil.copyfileobj(original, target)
        after = path.stat()
        if before is None or (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
            raise InputError(f"{path} was changed while it was read; save it, close it, and contribute again.")
        receipts = self._upload(record, keys.keys)
        # Only what is reported is computed on, so the copy must be in place before: a result is read with it.
        (copy / "list").unlink(missing_ok=True)
        with private(copy / "reading.json") as target:
            target.write(json.dumps(_kept(path, map_file, new)).encode())
        (copy / "new").replace(copy / "list")
        self.coordinator.report(record.id, receipts)
        return keys, findings

    def _keys(
        self, record: SessionRecord, opened: ReadableList, new: NewRows, record_key: bytes = b""
    ) -> tuple[Keys, list[Finding]]:
        """A list's keys in a session."""
        m = record.manifest

        def read(rows: int) -> None:
            self._progress("reading rows", rows, 0)

        return make_keys(opened, record.id, m.rules, m.country, new=new, record_key=record_key, progress=read)

    def contribute_keys(self, record: SessionRecord, keys: np.typing.NDArray[np.uint64]) -> None:
        """Contribute keys, (n, 2) uint64, that were made elsewhere."""
        self.coordinator.report(record.id, self._upload(record, keys))

    def _upload(self, record: SessionRecord, keys: np.typing.NDArray[np.uint64]) -> list[calls.SignedReceipt]:
        """Split keys and upload the shares to the three nodes at once; returns their receipts."""
        dealings = deal_keys(keys)
        total = sum(d.whole.nbytes for d in dealings if d.whole is not None)
        done: dict[str, int] = {}

        def upload(party: int) -> calls.SignedReceipt:
            name = record.manifest.committee[party]

            def note(sent: int) -> None:
                done[name] = sent
                self._progress("uploading bytes", sum(done.values()), total)

            return calls.contribute(self.config, self.federation[name], record.id, dealings[party], note)

        with ThreadPoolExecutor(3) as pool:
            return list(pool.map(upload, range(3)))

    def results(self, session_id: bytes, out: Path, page: Path, *, accept: bool = False) -> results.Summary:
        """Fetch and recombine this member's result, and write its sheet and a page that sums it up.

        Args:
            session_id: the id, or its first bytes.
            out: the sheet; its suffix is that of the list.
            page: HTML.
            accept: a person has seen that the result looks wrong, and wants it all the same.

        Raises:
            SessionRefused: there is none (yet), or it looks wrong; nothing has been written.
            ResultError: the nodes' parts do not fit.
        """
        record, _, _ = self.coordinator.get(session_id)
        copy = self._copy(record.id)
        self._check_done(record)
        store = Store(self.config.database)
        if not (copy / "list").exists():
            raise SessionRefused(self._no_copy(store, record.id))
        path, map_file, new = _read_again(json.loads((copy / "reading.json").read_bytes()))
        opened = fields.open_list(copy / "list", map_file)
        opened.source.check_target(out)
        check_page_target(page, path, out)
        if out.resolve() == path:
            raise InputError(f"{out} is the list itself; give --out another name.")
        reviews = Reviews(store)
        keys, _ = self._keys(record, opened, new, reviews.record_key())
        result = results.Result(record.manifest, self.config.name, keys, self.fetch(record, len(keys.keys)))
        if not accept:
            _stop_result(result.summary())
        result.reviews = reviews.raise_matches(result)
        summary = result.summary()
        opened.source.write(out, result.headings(), result.cells())
        write_page(page, result_page(summary, record.manifest))
        return summary

    def fetch(self, record: SessionRecord, keys: int) -> np.typing.NDArray[np.generic]:
        """The values of this member's keys, recombined from two committee nodes' parts."""
        self._check_done(record)
        dtype, shape = results.value_type(record.manifest.reveal, len(record.manifest.members))
        limit = keys * int(np.prod(shape, dtype=int)) * dtype.itemsize
        nodes = [self.federation[name] for name in record.manifest.committee[:2]]
        parts = [calls.fetch_result(self.config, node, record.id, limit) for node in nodes]
        return results.recombine(record.manifest, self.config.name, parts, keys)

    def _check_done(self, record: SessionRecord) -> None:
        if record.state is not State.DONE:
            raise SessionRefused(f"There are no results: the session {MEANING[record.state]}.{_why(record)}")

    def forget(self, session_id: bytes) -> int:
        """Delete the private copy of the list that was contributed, and the queue of its matches.

        Returns:
            How many rows of the queue had no decision.

        Raises:
            SessionRefused: there is none.
        """
        store = Store(self.config.database)
        if not self._copy(session_id).exists():
            raise SessionRefused(self._no_copy(store, session_id))
        reviews = Reviews(store)
        undecided = sum(item.judgement is None for item in reviews.items(session_id))
        shutil.rmtree(self._copy(session_id))
        reviews.drop_queue(session_id)
        store.log(session_id, CLOSED)
        return undecided

    def _no_copy(self, store: Store, session_id: bytes) -> str:
        """Why there is no private copy of a list."""
        closed = [at for at, event in store.events(session_id) if event == CLOSED]
        if closed:
            return f"{self.config.name} deleted its copy of the list and its matches on {closed[-1][:10]}."
        return f"{self.config.name} has not contributed to this session from this computer."

    def _approved(self, session_id: bytes) -> SessionRecord:
        """A session whose signatures we have checked ourselves."""
        record, _, _ = self.coordinator.get(session_id)
        if self.config.name not in record.manifest.members:
            raise SessionRefused(f"{self.config.name} is not a member of this session; it has nothing to contribute.")
        if record.state is State.REFUSED:
            raise SessionRefused(f"The session was refused. {record.reason}")
        self.federation.check_approved(record.manifest, record.signatures, utc_now())
        return record

    def _copy(self, session_id: bytes) -> Path:
        return self.config.folder / "lists" / session_id.hex()


def kept_list(own: Config, session_id: bytes) -> ReadableList | None:
    """A node's private copy of the list that it contributed; None where there is none any more."""
    copy = own.folder / "lists" / session_id.hex()
    if not (copy / "list").exists():
        return None
    _, map_file, _ = _read_again(json.loads((copy / "reading.json").read_bytes()))
    return fields.open_list(copy / "list", map_file)


def check_limits(manifest: Manifest, keys: Keys, path: Path) -> None:
    """Refuse what the terms do not allow, before anything leaves the member.

    Raises:
        InputError: more rows or keys than the terms allow, or no usable row.
    """
    if keys.rows > manifest.max_records:
        raise InputError(
            f"{path} has {keys.rows} rows; the session allows {manifest.max_records} per member. Shorten the "
            "list, or ask the coordinator for a session with a higher `max_records`."
        )
    if len(keys.keys) > manifest.max_keys:
        raise InputError(
            f"{path} makes {len(keys.keys)} keys, since rows have several phones or numbers; the session allows "
            f"{manifest.max_keys} per member. Ask the coordinator for a session with a higher `max_records`."
        )
    if len(keys.keys) == 0 and keys.missing:
        raise InputError(keys.missing[0])
    if len(keys.keys) == 0:
        needed = "; ".join(f"{r.name}: {r.shown}" for r in manifest.rules)
        raise InputError(f"No row of {path} has all fields of any rule ({needed}); there is nothing to compare.")


def _stop(path: Path, findings: Sequence[Finding]) -> None:
    """Leave what looks wrong to a person."""
    grave = [f.to_text() for f in findings if f.severity is Severity.STOP]
    if grave:
        raise SessionRefused(
            "\n".join([f"{path} looks wrong, and nothing has left this computer:", *grave])
            + "\nCorrect the list, or repeat the command with --accept if it is right as it is."
        )


def _stop_result(summary: results.Summary) -> None:
    """Leave a result that looks wrong to a person."""
    if summary.reported >= MIN_ROWS and summary.matched > MOST * summary.reported:
        raise SessionRefused(
            f"{summary.matched:,} of {summary.reported:,} rows match, more than half, and nothing has been written.\n"
            f"{summary.to_text()}\nIs it the same list twice, or a rule that is too weak? Ask the coordinator, or "
            "repeat the command with --accept if it can be so."
        )


def check_page_target(page: Path, *taken: Path) -> None:
    """Refuse to write a page over something else.

    Raises:
        InputError: it is no HTML file by its name, is one of the files taken, or its folder does not exist.
    """
    if page.suffix.lower() not in (".html", ".htm") or page.resolve() in {path.resolve() for path in taken}:
        raise InputError(f"{page} cannot be written as a page: give --page a name of its own that ends in .html.")
    if not page.parent.is_dir():
        raise InputError(f"{page} cannot be written: there is no folder {page.parent}.")


def write_page(path: Path, text: str) -> None:
    """Write a page that its owner alone can read; it appears when it is whole."""
    with appearing(path) as target:
        target.write(text.encode("utf-8", "replace"))


def private(path: Path) -> BinaryIO:
    """A file to write that its owner alone can read."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def _why(record: SessionRecord) -> str:
    return f" {record.reason}" if record.reason else ""


def _kept(path: Path, map_file: MapFile, new: NewRows) -> dict[str, Any]:
    """What must be kept with a private copy of a list to read it again in the same way."""
    return {"path": str(path.resolve()), "map": map_file.to_json(), "new": {"since": new.since, "column": new.column}}


def _read_again(kept: Mapping[str, Any]) -> tuple[Path, MapFile, NewRows]:
    """The way back from `_kept`."""
    return Path(kept["path"]), MapFile.from_json(kept["map"]), NewRows(**kept["new"])
