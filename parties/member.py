"""A member's or operator's side of a session: look, approve, contribute, fetch results. It only connects out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from parties import audit, calls, fields, results
from parties.check import MIN_ROWS, MOST, judged
from parties.columns import MapFile
from parties.config import Config
from parties.contribution import SECRET_BYTES, Dealing, deal, scheme_of
from parties.copies import Copies
from parties.errors import InputError, ResultError, SessionRefused
from parties.fields import NewRows, ReadableList
from parties.findings import Finding, Severity
from parties.guard import check_completions
from parties.identity import utc_now
from parties.keys import Keys, make_keys
from parties.known import KnownRecords
from parties.lifecycle import MEANING, State
from parties.limits import check_limits
from parties.manifest import Manifest
from parties.page import result_page, table_page
from parties.participant import Participant
from parties.review import Reviews
from parties.sheet import appearing
from parties.statements import Commitment, Receipt, contributions
from parties.statistics import Cells, rows_of
from parties.store import SessionRecord, Store
from parties.table import Table, check_table_target, table_of
from parties.wire import View

Progress = Callable[[str, int, int], None]
"""(what, done, in all)."""


def quiet(what: str, done: int, total: int) -> None:
    """Show no progress."""


class Member(Participant):
    """What a node does in sessions that it brings a list to.

    Args:
        config: of the node.
        progress: told how long work goes on.
    """

    def __init__(self, config: Config, progress: Progress = quiet) -> None:
        super().__init__(config)
        self._progress = progress

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

        The same list can be contributed again after anything was cut off; what has been uploaded is not sent again.

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
        vault = self.config.vault()
        known, copies = KnownRecords(self.store, vault), Copies(self.config, record.id)
        if record.manifest.statistics is not None and new:
            raise InputError(
                "--new-since and --new-column choose rows whose matches are shown, but this session shows no matches: "
                "it gives a table of all people. Leave them out."
            )
        keys, found = self._keys(record, opened, new, Reviews(self.store, vault).record_key())
        check_limits(record.manifest, keys, path)
        findings = judged(opened, keys, found, keys.rows * (len(record.manifest.members) - 1))
        if not accept:
            _stop(path, findings)
        assert keys.records is not None  # noqa: S101 - they were asked for
        dealings = deal(scheme_of(record.manifest), _rows(record.manifest, keys), copies.secret(vault))
        commitment = self._commitment(record, dealings, keys.rows, known.count_new(keys.records))
        if before is None or before.st_mtime_ns != path.stat().st_mtime_ns:
            raise InputError(f"{path} was changed while it was read; save it, close it, and contribute again.")
        # Only what is reported is computed on, so the copy must be in place before: a result is read with it.
        copies.keep_keys(commitment.digest, keys, vault)
        copies.keep(commitment.digest, path, map_file, new)
        known.keep(record.id, commitment.digest, keys.records)
        self._contribute(record, commitment, dealings)
        copies.drop_others(commitment.digest)
        return keys, findings

    def _keys(
        self, record: SessionRecord, opened: ReadableList, new: NewRows, record_key: bytes
    ) -> tuple[Keys, list[Finding]]:
        """A list's keys in a session."""
        m = record.manifest

        def read(rows: int) -> None:
            self._progress("reading rows", rows, 0)

        cells = None if m.statistics is None else Cells(m.statistics, m.country, m.created)
        return make_keys(
            opened, record.id, m.rules, m.country, new=new, table=cells, record_key=record_key, progress=read
        )

    def contribute_keys(
        self, record: SessionRecord, rows: np.typing.NDArray[np.uint64], records: int | None = None
    ) -> None:
        """Contribute (n, 2 + w) uint64 rows that were made elsewhere; w is 0 but for statistics, see `rows_of`.

        Args:
            record: of the session.
            rows: the rows.
            records: how many records they are of; None where each is of one, and there is no similar rule.
        """
        record, number = self._approved(record.id), len(rows) if records is None else records
        dealings = deal(scheme_of(record.manifest), rows, os.urandom(SECRET_BYTES))
        self._contribute(record, self._commitment(record, dealings, number, number), dealings)

    def _commitment(self, record: SessionRecord, dealings: list[Dealing], records: int, new_records: int) -> Commitment:
        """What this member signs on its contribution."""
        commitment = Commitment(
            record.id,
            self.config.name,
            records=records,
            new_records=new_records,
            keys=dealings[0].rows,
            digests=dealings[0].digests,
        )
        return commitment.signed(self.config.identity().signing_key)

    def _contribute(self, record: SessionRecord, commitment: Commitment, dealings: list[Dealing]) -> None:
        """Upload the shares to all committee nodes at once, and show the receipts."""
        committee = record.manifest.committee
        total = sum(d.whole.nbytes for d in dealings if d.whole is not None)
        done = dict.fromkeys(committee, 0)

        def upload(name: str, dealing: Dealing) -> Receipt:
            def note(sent: int) -> None:
                done[name] = sent
                self._progress("uploading bytes", sum(done.values()), total)

            receipt = calls.contribute(self.config, self.federation[name], commitment, dealing, note)
            note(0 if dealing.whole is None else dealing.whole.nbytes)  # a node that had it all may not have asked on
            return receipt

        with ThreadPoolExecutor(len(committee)) as pool:
            receipts = list(pool.map(upload, committee, dealings))
        with self.coordinator.kept():
            self._report(record, commitment, receipts)

    def _report(self, record: SessionRecord, commitment: Commitment, receipts: list[Receipt]) -> None:
        """Show the coordinator the committee's receipts, and keep what was contributed."""
        self.coordinator.report(commitment, receipts)
        with self.store.transaction():
            self.store.add_session(record.manifest, State.APPROVED, record.signatures)
            self.store.add_statement(commitment)
            self.store.log(record.id, audit.Event.CONTRIBUTED, **commitment.facts())
        self.exchange_heads(record)

    def results(self, session_id: bytes, out: Path, page: Path, *, accept: bool = False) -> results.Summary | Table:
        """Fetch and recombine this member's result, and write its sheet, or the table, and a page that shows it.

        Args:
            session_id: the id, or its first bytes.
            out: the sheet, whose suffix is that of the list; or the table in CSV.
            page: HTML.
            accept: a person has seen that the result looks wrong, and wants it all the same.

        Raises:
            SessionRefused: there is none (yet), or it looks wrong; nothing has been written.
            ResultError: the nodes' parts do not fit.
        """
        view = self.coordinator.get(session_id)
        record = view.record
        commitment = self._computed(view)
        copies = Copies(self.config, record.id)
        copy = copies.find(commitment.digest)
        if record.manifest.statistics is not None:
            return self._table(view, commitment, out, page, [copy.original] if copy else [])
        if copy is None:
            raise SessionRefused(self._no_copy(record.id))
        opened = copy.open()
        opened.source.check_target(out)
        check_page_target(page, copy.original, out)
        if out.resolve() == copy.original:
            raise InputError(f"{out} is the list itself; give --out another name.")
        vault = self.config.vault()
        reviews, keys = Reviews(self.store, vault), copies.keys(commitment.digest, record.manifest.rules, vault)
        if keys is None:  # of a list that is read once more
            keys, _ = self._keys(record, opened, copy.new, reviews.record_key())
        result = results.Result(record.manifest, self.config.name, keys, self._fetch(view, keys.values))
        self._got(record, commitment)
        try:
            self.exchange_heads(record)  # before anything depends on what matched: whether, and when, would tell of it
        finally:  # a coordinator that passes on false heads keeps nobody's result from being written
            summary = _write(result, reviews, opened, out, page, accept=accept)
        return summary

    def _table(self, view: View, commitment: Commitment, out: Path, page: Path, taken: Sequence[Path]) -> Table:
        """Write what all members of a session with statistics learn; the list is not needed for it any more."""
        check_table_target(out, *taken)
        check_page_target(page, out, *taken)
        manifest = view.record.manifest
        found = table_of(manifest, self.config.name, self._fetch(view, commitment.keys))
        self._got(view.record, commitment)
        try:
            self.exchange_heads(view.record)
        finally:
            found.write(out)
            write_page(page, table_page(found, manifest))
        return found

    def _got(self, record: SessionRecord, commitment: Commitment) -> None:
        """Keep that results were had on a contribution."""
        KnownRecords(self.store, self.config.vault()).release(record.id, commitment.digest)
        self.store.add_statement(commitment)
        self.store.log(record.id, audit.Event.GOT_RESULT, rows=commitment.records)
        Copies(self.config, record.id).drop_secret()

    def fetch(self, view: View, values: int) -> np.typing.NDArray[np.generic]:
        """What this member learns, recombined from the nodes' parts, once the whole committee has computed."""
        self._computed(view)
        return self._fetch(view, values)

    def _fetch(self, view: View, values: int) -> np.typing.NDArray[np.generic]:
        record = view.record
        limit = results.part_bytes(record.manifest, values)
        nodes = [self.federation[name] for name in results.sources(record.manifest)]
        parts = [calls.fetch_result(self.config, node, record.id, view.completions, limit) for node in nodes]
        return results.recombine(record.manifest, self.config.name, parts, values)

    def _computed(self, view: View) -> Commitment:
        """This member's commitment, if the whole committee says that it has computed on it.

        Raises:
            SessionRefused: there are no results.
            ResultError: the committee computed on something else than the coordinator shows, or not on our list.
        """
        record = view.record
        if record.state is not State.DONE:
            raise SessionRefused(f"There are no results: the session {MEANING[record.state]}.{_why(record)}")
        own = view.commitments.get(self.config.name)
        if own is None:
            raise SessionRefused(self._no_copy(record.id))
        check_completions(self.federation, record.manifest, view.completions)
        for commitment in view.commitments.values():
            commitment.check(self.federation[commitment.name].verifier())
        if contributions(view.commitments.values()) != view.completions[0].contributions:
            raise ResultError(
                "The committee computed on other contributions than the coordinator shows; its operator must act."
            )
        return own

    def forget(self, session_id: bytes) -> int:
        """Delete the private copy of the list that was contributed, and the queue of its matches.

        Returns:
            How many rows of the queue had no decision.

        Raises:
            SessionRefused: there is none.
        """
        reviews = Reviews(self.store, self.config.vault())
        undecided = sum(item.judgement is None for item in reviews.items(session_id))
        if not Copies(self.config, session_id).drop():
            raise SessionRefused(self._no_copy(session_id))
        reviews.drop_queue(session_id)
        self.store.log(session_id, audit.Event.FORGOT)
        return undecided

    def _no_copy(self, session_id: bytes) -> str:
        """Why there is no private copy of a list."""
        forgot = self.store.logged(session_id, audit.Event.FORGOT)
        if forgot:
            return f"{self.config.name} deleted its copy of the list and its matches on {forgot[-1].at[:10]}."
        return f"{self.config.name} has not contributed to this session from this computer."

    def _approved(self, session_id: bytes) -> SessionRecord:
        """A session whose signatures we have checked ourselves."""
        record = self.coordinator.get(session_id).record
        if self.config.name not in record.manifest.members:
            raise SessionRefused(f"{self.config.name} is not a member of this session; it has nothing to contribute.")
        if record.state is State.REFUSED:
            raise SessionRefused(f"The session was refused. {record.reason}")
        self.federation.check_approved(record.manifest, record.signatures, utc_now())
        self.policy().refuse(record.manifest, self.config.name)
        return record


def kept_list(own: Config, store: Store, session_id: bytes) -> ReadableList | None:
    """A node's private copy of the list that it contributed; None where there is none any more."""
    commitment = store.commitments(session_id).get(own.name)
    copy = Copies(own, session_id).find(commitment.digest) if commitment else None
    return copy.open() if copy else None


def _rows(manifest: Manifest, keys: Keys) -> np.typing.NDArray[np.uint64]:
    """(n, 2 + w) uint64: what is shared of a list: keys, each perhaps with its cell, or keys and records."""
    if manifest.statistics is None:
        return keys.shared_rows
    assert keys.cells is not None  # noqa: S101 - they were asked for
    return rows_of(keys.keys, keys.cells[keys.first_rows(0)], manifest.statistics.cells)


def _stop(path: Path, findings: Sequence[Finding]) -> None:
    """Leave what looks wrong to a person."""
    grave = [f.to_text() for f in findings if f.severity is Severity.STOP]
    if grave:
        raise SessionRefused(
            "\n".join([f"{path} looks wrong, and nothing has left this computer:", *grave])
            + "\nCorrect the list, or repeat the command with --accept if it is right as it is."
        )


def _write(
    result: results.Result, reviews: Reviews, opened: ReadableList, out: Path, page: Path, *, accept: bool
) -> results.Summary:
    """Write a result's sheet and page, unless it looks wrong."""
    if not accept:
        _stop_result(result.summary())
    result.reviews = reviews.raise_matches(result)
    summary = result.summary()
    opened.source.write(out, result.headings(), result.cells())
    write_page(page, result_page(summary, result.manifest))
    return summary


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


def _why(record: SessionRecord) -> str:
    return f" {record.reason}" if record.reason else ""
