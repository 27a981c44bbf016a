"""A member's or operator's side of a session: look, approve, contribute, fetch results. It only connects out."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import numpy as np

from parties import calls, records, results
from parties.config import Config
from parties.contribution import Keys, check_limits, deal_keys, make_keys
from parties.errors import InputError, SessionRefused
from parties.identity import utc_now
from parties.lifecycle import MEANING, State
from parties.manifest import sign
from parties.store import SessionRecord

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

    def contribute(self, session_id: bytes, path: Path, names: Mapping[str, str] = MappingProxyType({})) -> Keys:
        """Read a list, keep a private copy of it, and give the committee its shares.

        Args:
            session_id: the id, or its first bytes.
            path: the list.
            names: for a rule's field the heading that stands for it in this list.

        Raises:
            InputError: the list cannot be used; nothing has been sent then.
            SessionRefused: the session does not take contributions.
        """
        record = self._approved(session_id)
        if record.state not in (State.APPROVED, State.READY, State.ABORTED):
            raise SessionRefused(f"The session {MEANING[record.state]}; contributions are closed.")
        source, before = records.open_list(path, names), path.stat()
        keys = make_keys(source, record.id, record.manifest.rules, lambda n: self._progress("reading rows", n, 0))
        check_limits(record.manifest, keys, source)
        copy = self._copy(record.id)
        copy.mkdir(mode=0o700, parents=True, exist_ok=True)
        with private(copy / "new.csv") as target, path.open("rb") as original:
            shutil.copyfileobj(original, target)
        after = path.stat()
        if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
            raise InputError(f"{path} was changed while it was read; save it, close it, and contribute again.")
        receipts = self._upload(record, keys.keys)
        # Only what is reported is computed on, so the copy must be in place before: a result is read with it.
        (copy / "list.csv").unlink(missing_ok=True)
        with private(copy / "names.json") as target:
            target.write(json.dumps(dict(names)).encode())
        (copy / "new.csv").replace(copy / "list.csv")
        self.coordinator.report(record.id, receipts)
        return keys

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

    def results(self, session_id: bytes, out: Path) -> results.Summary:
        """Fetch and recombine this member's result, and write its sheet.

        Raises:
            SessionRefused: there is none (yet).
            ResultError: the nodes' parts do not fit.
        """
        record, _, _ = self.coordinator.get(session_id)
        copy = self._copy(record.id)
        if not (copy / "list.csv").exists():
            raise SessionRefused(f"{self.config.name} has not contributed to this session from this computer.")
        if out.suffix.casefold() != ".csv" or out.is_dir():
            raise InputError(f"{out} cannot be written: name a file that ends in .csv.")
        source = records.open_list(copy / "list.csv", json.loads((copy / "names.json").read_bytes()))
        keys = make_keys(source, record.id, record.manifest.rules, lambda n: self._progress("reading rows", n, 0))
        values = self.fetch(record, len(keys.keys))
        result = results.Result(record.manifest, self.config.name, keys, values)
        records.write_list(source, out, result.headings(), result.cells())
        return result.summary()

    def fetch(self, record: SessionRecord, keys: int) -> np.typing.NDArray[np.generic]:
        """The values of this member's keys, recombined from two committee nodes' parts."""
        if record.state is not State.DONE:
            raise SessionRefused(f"There are no results: the session {MEANING[record.state]}.{_why(record)}")
        dtype, shape = results.value_type(record.manifest.reveal, len(record.manifest.members))
        limit = keys * int(np.prod(shape, dtype=int)) * dtype.itemsize
        nodes = [self.federation[name] for name in record.manifest.committee[:2]]
        parts = [calls.fetch_result(self.config, node, record.id, limit) for node in nodes]
        return results.recombine(record.manifest, self.config.name, parts, keys)

    def forget(self, session_id: bytes) -> None:
        """Delete the private copy of the list that was contributed.

        Raises:
            SessionRefused: there is none.
        """
        if not self._copy(session_id).exists():
            raise SessionRefused(f"{self.config.name} keeps no copy of a list for this session.")
        shutil.rmtree(self._copy(session_id))

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


def private(path: Path) -> BinaryIO:
    """A file to write that its owner alone can read."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def _why(record: SessionRecord) -> str:
    return f" {record.reason}" if record.reason else ""
