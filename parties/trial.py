"""Whole sessions on a federation of real daemons on this machine, and the demo, which is one over lists."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from parties import fields, generator, records, toml
from parties.columns import MapFile, read_map
from parties.errors import InputError
from parties.findings import Finding
from parties.identity import utc_now
from parties.launch import Operator
from parties.lifecycle import State
from parties.loopback import COORDINATOR, NEUTRAL, Loopback
from parties.member import Member, Progress
from parties.results import Summary
from parties.rules import Rule
from parties.store import SessionRecord

DAY = timedelta(days=1)
EXAMPLES = 3
AT_ONCE = 16
"""Members that act at the same time: as many as one machine gains by."""


class Seconds(dict[str, float]):
    """Seconds of each phase, as the orchestrating process saw it."""

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Take a phase's time."""
        started = time.monotonic()
        yield
        self[phase] = round(time.monotonic() - started, 3)


@dataclass(frozen=True)
class Outcome:
    """One session's course.

    Attributes:
        record: the session at its end.
        seconds: of each phase.
        figures: of each committee node.
    """

    record: SessionRecord
    seconds: Seconds
    figures: dict[str, dict[str, Any]]

    def report(self) -> dict[str, Any]:
        """The part of the JSON report that demo and benchmark have in common."""
        return {
            "members": len(self.record.manifest.members),
            "session": self.record.id.hex(),
            "wall_s": round(sum(self.seconds.values()), 3),
            "seconds": self.seconds,
            "committee": self.figures,
        }


def run_session(
    federation: Loopback, terms: dict[str, Any], contribute: Callable[[Member, SessionRecord], object], show: Progress
) -> Outcome:
    """Propose, approve by everyone, contribute by every member, run.

    Args:
        federation: started.
        terms: the manifest without members, committee and expiry.
        contribute: does one member's part.
        show: progress.
    """
    operator = Operator(federation.configs[COORDINATOR], show)
    manifest = {
        "session": {
            "members": list(federation.members),
            "committee": list(federation.committee),
            "expires": utc_now() + DAY,
            **terms["session"],
        },
        "rule": terms["rule"],
    }
    seconds = Seconds()
    with seconds.timed("propose"):
        session_id = operator.propose(manifest).session_id
        record = operator.coordinator.get(session_id).record

    def member(name: str) -> Member:  # for each step another one, as it is for members; a thousand stay open for none
        return Member(federation.configs[name], show)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        with seconds.timed("approve"):
            list(pool.map(lambda name: member(name).approve(session_id), record.manifest.participants))
        with seconds.timed("contribute"):
            list(pool.map(lambda name: contribute(member(name), record), federation.members))
    with seconds.timed("compute"):
        operator.wait(session_id, State.READY, 60.0)
        record = operator.run(session_id)
    return Outcome(record, seconds, operator.figures(record))


def committee_for(members: Sequence[str]) -> tuple[str, str, str]:
    """Two members and a neutral node."""
    return members[0], members[1], NEUTRAL


def names(count: int) -> list[str]:
    """Names for members: agency-a, agency-b and so on."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return [f"agency-{letters[k]}" if count <= len(letters) else f"agency-{k + 1:04}" for k in range(count)]


@dataclass(frozen=True)
class MemberResult:
    """What the demo shows of one member."""

    summary: Summary
    sheet: Path
    expected: int | None
    correct: bool | None
    examples: list[dict[str, str]]
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Demo:
    """Lists to compare, one for each member, with the truth where it is known.

    Attributes:
        lists: path of each member's list.
        rules: how to match.
        country: of the session.
        maps: for members whose lists need it, what their columns stand for.
        expected: for each member the rows (from 0) that match, where known.
    """

    lists: dict[str, Path]
    rules: tuple[Rule, ...]
    country: str
    expected: dict[str, set[int]] | None
    maps: Mapping[str, MapFile] = field(default_factory=dict)

    @classmethod
    def generated(cls, folder: Path, count: int, rows: int, overlap: float, seed: int) -> Demo:
        """Made-up lists that look real, in a folder."""
        made = generator.generate(names(count), rows, overlap, seed)
        for name, each in made.items():
            generator.write_csv(folder / f"{name}.csv", each)
        rules = tuple(Rule(*rule) for rule in generator.RULES)
        lists = {n: folder / f"{n}.csv" for n in made}
        return cls(lists, rules, generator.COUNTRY, {n: set(m.expected) for n, m in made.items()})

    @classmethod
    def given(cls, paths: Sequence[Path], rules: tuple[Rule, ...], country: str, map_file: MapFile) -> Demo:
        """The caller's own lists; members are named after the files.

        What a list's columns stand for is said by a file `LIST.toml` beside it, else by `map_file`.

        Raises:
            InputError: fewer than two lists, two of the same name, or one that cannot be read.
        """
        lists: dict[str, Path] = {}
        maps: dict[str, MapFile] = {}
        for path in paths:
            name = re.sub(r"[^a-z0-9]+", "-", path.stem.casefold()).strip("-")[:40] or f"list-{len(lists) + 1}"
            name = f"{name}-list" if name in (NEUTRAL, COORDINATOR) else name
            if name in lists:
                raise InputError(f"{path} and {lists[name]} would both be member `{name}`; rename one of them.")
            beside = path.with_suffix(".toml")
            maps[name] = read_map(toml.read(beside), beside) if beside.is_file() else map_file
            fields.open_list(path, maps[name])  # so that faults are found before anything is started
            lists[name] = path
        if len(lists) < 2:
            raise InputError("Give at least two lists; there is nothing to compare one list with.")
        return cls(lists, rules, country, None, maps)

    def run(self, folder: Path, out: Path, show: Progress) -> tuple[Outcome, dict[str, MemberResult]]:
        """Compare the lists over real daemons; write each member's result sheet to `out`."""
        members = list(self.lists)
        for name in members:
            if self._sheet(name, out).resolve() in {path.resolve() for path in self.lists.values()}:
                raise InputError(f"{self._sheet(name, out)} is one of the lists; give --out another folder.")
        terms = {
            "session": {
                "title": "Demonstration",
                "purpose": "show that the members find whom they share",
                "country": self.country,
                "max_records": 5_000_000,
            },
            "rule": [asdict(rule) for rule in self.rules],
        }
        show("starting daemons", 0, 0)
        with Loopback(folder, members, committee_for(members)) as federation:
            found: dict[str, tuple[Finding, ...]] = {}

            def contribute(member: Member, record: SessionRecord) -> None:
                name = member.config.name
                found[name] = member.contribute(
                    record.id, self.lists[name], self.maps.get(name, MapFile()), accept=True
                )[1]

            outcome = run_session(federation, terms, contribute, show)
            results = {}
            with outcome.seconds.timed("results"):
                for name in members:
                    sheet = self._sheet(name, out)
                    member = Member(federation.configs[name], show)
                    summary = member.results(outcome.record.id, sheet, sheet.with_suffix(".html"), accept=True)
                    results[name] = self._result(name, summary, sheet, found[name])
            Operator(federation.configs[COORDINATOR], show).coordinator.close(outcome.record.id)
        return outcome, results

    def _sheet(self, name: str, out: Path) -> Path:
        return out / f"{self.lists[name].stem}{records.open_list(self.lists[name]).suffix}"

    def _result(self, name: str, summary: Summary, sheet: Path, findings: tuple[Finding, ...]) -> MemberResult:
        source = records.open_list(sheet)
        place = _match_column(source.headings)
        found = {}
        for start, batch in zip(count(0, records.BATCH_ROWS), source.batches(), strict=False):
            for row in pc.indices_nonzero(pc.equal(batch.columns.column(place), "yes")).to_pylist():
                found[start + row] = batch.columns.slice(row, 1)
        own = fields.open_list(self.lists[name], self.maps.get(name))
        order = [*fields.telling(own), *range(len(own.source.headings), len(source.headings))]
        examples = [
            {source.headings[k]: row.columns[k][0].as_py() for k in order} for row in list(found.values())[:EXAMPLES]
        ]
        expected = None if self.expected is None else self.expected[name]
        correct = None if expected is None else set(found) == expected
        return MemberResult(summary, sheet, None if expected is None else len(expected), correct, examples, findings)


def _match_column(headings: Sequence[str]) -> int:
    """Where the result column `match` is: the last one of that name."""
    return max(k for k, heading in enumerate(headings) if re.fullmatch(r"match( \(\d+\))?", heading))


@contextmanager
def working_folder() -> Iterator[Path]:
    """A private folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="matchbit-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
