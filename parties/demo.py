"""The demo: a whole session on real daemons over made-up lists, or one's own, and what it shows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from mpc.matching import Reveal
from parties import fields, generator, manifestfile, records, toml
from parties.columns import MapFile, read_map
from parties.engines import Engine
from parties.errors import InputError
from parties.findings import Finding
from parties.generator import GeneratedList
from parties.keys import Keys
from parties.launch import Operator
from parties.loopback import COORDINATOR, NEUTRAL, Loopback
from parties.manifest import Manifest
from parties.member import Member, Progress
from parties.pooled import Pool, Truth, column
from parties.results import Summary
from parties.rules import Rule
from parties.store import SessionRecord
from parties.table import Table
from parties.trial import SIMILAR, Outcome, check_terms, committee_for, names, run_session, values_of

SMALLEST_CELL = 10
"""Number of people that a demo's table may show."""
EXAMPLES = 3


@dataclass(frozen=True)
class Asked:
    """What a demo's session is to be.

    Attributes:
        engine: that computes.
        committee: how many nodes.
        reveal: what members learn.
        similar: whether there is a rule on similar records besides.
    """

    engine: str = Engine.REPLICATED.value
    committee: int = 3
    reveal: str = Reveal.FLAG.value
    similar: bool = False

    @property
    def rows(self) -> int:
        """How long made-up lists are: the mpyc engine's must be short."""
        return 200 if self.engine == Engine.MPYC.value else 10_000

    def check(self) -> None:
        """Refuse for made-up lists what does not go together.

        Raises:
            InputError: says what does.
        """
        is_graded = self.reveal == Reveal.GRADE.value
        if is_graded and not self.similar:
            raise InputError("--reveal grade is for similar people: add --similar, or choose another --reveal.")
        if self.similar and not (is_graded or self.reveal == Reveal.FLAG.value):
            raise InputError("--similar goes with --reveal flag or grade: choose one of these, or leave --similar out.")
        if self.similar and self.engine != Engine.REPLICATED.value:
            raise InputError("--similar goes with --engine replicated only: leave one of the two out.")

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Those for made-up lists: a table counts people by one, and similar people need no second one."""
        by_one = self.similar or self.reveal == Reveal.STATISTICS.value
        exact = (generator.BY_ID,) if by_one else generator.RULES
        tables = [{"name": name, "fields": fields} for name, fields in exact]
        return manifestfile.rules_from_toml({"rule": [*tables, *([SIMILAR] if self.similar else [])]}, self.reveal)

    def terms(self) -> dict[str, Any]:
        """Entries of the manifest's session."""
        table = {"statistics": {"smallest_cell": SMALLEST_CELL, "category": list(generator.CATEGORIES)}}
        asked = {"engine": self.engine, "reveal": self.reveal}
        return asked | (table if self.reveal == Reveal.STATISTICS.value else {})


DEFAULT = Asked()


@dataclass(frozen=True)
class MemberResult:
    """What the demo shows of one member.

    Attributes:
        summary: of its result.
        sheet: where it is.
        expected: rows that should match; None where that is not known.
        correct: whether just these do; or with a similar rule, whether all values are those of `parties.pooled`.
        examples: some rows that match.
        findings: on its list.
        truth: with a similar rule, how its result fits who is who, by grade; empty where that is not known.
    """

    summary: Summary
    sheet: Path
    expected: int | None
    correct: bool | None
    examples: list[dict[str, str]]
    findings: tuple[Finding, ...] = ()
    truth: Mapping[str, Truth] = field(default_factory=dict)


@dataclass(frozen=True)
class MemberTable:
    """What the demo shows of one member where the session gives all of them a table."""

    table: Table
    sheet: Path
    correct: bool | None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Demo:
    """Lists to compare, one for each member, with the truth where it is known.

    Attributes:
        lists: path of each member's list.
        rules: how to match.
        country: of the session.
        maps: for members whose lists need it, what their columns stand for.
        truth: the lists as they were made up; empty where they are somebody's own.
    """

    lists: dict[str, Path]
    rules: tuple[Rule, ...]
    country: str
    maps: Mapping[str, MapFile] = field(default_factory=dict)
    truth: Mapping[str, GeneratedList] = field(default_factory=dict)

    @classmethod
    def generated(
        cls, folder: Path, rules: tuple[Rule, ...], count: int, rows: int, *, overlap: float, seed: int
    ) -> Demo:
        """Made-up lists that look real, in a folder."""
        made = generator.generate(names(count), rows, overlap, seed)
        for name, each in made.items():
            generator.write_csv(folder / f"{name}.csv", each)
        return cls({n: folder / f"{n}.csv" for n in made}, rules, generator.COUNTRY, truth=made)

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
            name = f"{name}-list" if name.startswith((NEUTRAL, COORDINATOR)) else name
            if name in lists:
                raise InputError(f"{path} and {lists[name]} would both be member `{name}`; rename one of them.")
            beside = path.with_suffix(".toml")
            maps[name] = read_map(toml.read(beside), beside) if beside.is_file() else map_file
            fields.open_list(path, maps[name])  # so that faults are found before anything is started
            lists[name] = path
        if len(lists) < 2:
            raise InputError("Give at least two lists; there is nothing to compare one list with.")
        return cls(lists, rules, country, maps)

    def run(
        self, folder: Path, out: Path, show: Progress, asked: Asked = DEFAULT
    ) -> tuple[Outcome, dict[str, MemberResult | MemberTable]]:
        """Compare the lists over real daemons; write each member's result to `out`.

        Raises:
            ConfigError: no session can be as it is asked for.
            InputError: a result would be written over a list.
        """
        members = list(self.lists)
        sheets = {name: self._sheet(name, out, asked) for name in members}
        for sheet in sheets.values():
            if sheet.resolve() in {path.resolve() for path in self.lists.values()}:
                raise InputError(f"{sheet} is one of the lists; give --out another folder.")
        committee, terms = committee_for(members, asked.committee), self._terms(asked)
        check_terms(members, committee, terms)
        show("starting daemons", 0, 0)
        with Loopback(folder, members, committee) as federation:
            found: dict[str, tuple[Finding, ...]] = {}
            keys: dict[str, Keys] = {}

            def contribute(member: Member, record: SessionRecord) -> None:
                name = member.config.name
                brought, found[name] = member.contribute(
                    record.id, self.lists[name], self.maps.get(name, MapFile()), accept=True
                )
                if record.manifest.similar:  # to be run in the clear besides
                    keys[name] = brought

            outcome = run_session(federation, terms, contribute, show)
            results: dict[str, MemberResult | MemberTable] = {}
            with outcome.seconds.timed("results"):
                for name, sheet in sheets.items():
                    member = Member(federation.configs[name], show)
                    learned = member.results(outcome.record.id, sheet, sheet.with_suffix(".html"), accept=True)
                    if isinstance(learned, Table):
                        correct = self._is_right(learned, outcome.record.manifest)
                        results[name] = MemberTable(learned, sheet, correct, found[name])
                    else:
                        results[name] = self._result(name, asked, learned, sheet, found[name])
            if keys:
                expected = Pool.of(outcome.record.manifest, keys).values(outcome.record.manifest)
                learnt = values_of(federation, outcome.record, {n: len(values) for n, values in expected.items()})
                results = {n: replace(r, correct=np.array_equal(learnt[n], expected[n])) for n, r in results.items()}
            Operator(federation.configs[COORDINATOR], show).coordinator.close(outcome.record.id)
        return outcome, results

    def _terms(self, asked: Asked) -> dict[str, Any]:
        by_length = asked.engine == Engine.MPYC.value or asked.reveal == Reveal.STATISTICS.value
        by_length = by_length or any(rule.similar for rule in self.rules)
        session = {
            "title": "Demonstration",
            "purpose": "show that the members find whom they share",
            "country": self.country,
            "max_records": self._longest() if by_length else 5_000_000,
        }
        return {"session": session | asked.terms(), "rule": [table_of(rule) for rule in self.rules]}

    def _longest(self) -> int:
        """Rows of the longest list: by them it is estimated what a committee needs that does more than match keys."""
        sources = (fields.open_list(path, self.maps.get(name)).source for name, path in self.lists.items())
        return max(1, *(sum(int(batch.columns.num_rows) for batch in source.batches()) for source in sources))

    def _sheet(self, name: str, out: Path, asked: Asked) -> Path:
        is_table = asked.reveal == Reveal.STATISTICS.value
        return out / f"{self.lists[name].stem}{'.csv' if is_table else records.open_list(self.lists[name]).suffix}"

    def _is_right(self, table: Table, manifest: Manifest) -> bool | None:
        """Whether a table is that of the lists as they were made up; None where they are somebody's own."""
        if not self.truth:
            return None
        day = datetime.fromisoformat(manifest.created).date()
        expected = generator.expected_table(list(self.truth.values()), table.statistics.smallest_cell, day)
        return list(map(list, table.numbers)) == expected

    def _result(
        self, name: str, asked: Asked, summary: Summary, sheet: Path, findings: tuple[Finding, ...]
    ) -> MemberResult:
        source = records.open_list(sheet)
        match = column("match", source.headings)
        whom = column("matched_with", source.headings) if asked.reveal == Reveal.MEMBERS.value else None
        rows, told = {}, {}
        for start, batch in zip(count(0, records.BATCH_ROWS), source.batches(), strict=False):
            for row in pc.indices_nonzero(pc.equal(batch.columns.column(match), "yes")).to_pylist():
                rows[start + row] = batch.columns.slice(row, 1)
                others = None if whom is None else batch.columns.column(whom)[row].as_py().split("; ")
                told[start + row] = None if others is None else frozenset(others)
        own = fields.open_list(self.lists[name], self.maps.get(name))
        order = [*fields.telling(own), *range(len(own.source.headings), len(source.headings))]
        examples = [
            {source.headings[k]: row.columns[k][0].as_py() for k in order} for row in list(rows.values())[:EXAMPLES]
        ]
        if name not in self.truth:
            return MemberResult(summary, sheet, None, None, examples, findings)
        if asked.similar:
            truth = Truth.of(self.truth, name, sheet)
            others_have = next(iter(truth.values())).shared
            return MemberResult(summary, sheet, others_have, None, examples, findings, truth)
        expected = {row: None if whom is None else others for row, others in self.truth[name].expected.items()}
        return MemberResult(summary, sheet, len(expected), told == expected, examples, findings)


def table_of(rule: Rule) -> dict[str, Any]:
    """A rule as a manifest file has it."""
    if rule.similar is None:
        return {"name": rule.name, "fields": rule.fields, "scope": rule.scope}
    terms = asdict(rule.similar)
    return {"name": rule.name, "kind": "similar", "compare": terms.pop("comparisons"), **terms}
