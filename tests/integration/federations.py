"""Federations of real daemons for tests, and what tests do with them."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from parties import config
from parties.config import Config
from parties.identity import utc_now
from parties.launch import Operator
from parties.lifecycle import State
from parties.loopback import COORDINATOR, NEUTRAL, Loopback
from parties.member import Member, quiet
from parties.store import SessionRecord

MEMBERS = ("agency-a", "agency-b", "agency-c")
COMMITTEE = ("agency-a", "agency-b", NEUTRAL)
Keys = dict[str, np.typing.NDArray[np.uint64]]
CHUNKED = {"agency-a": 70_000, "agency-b": 2000, "agency-c": 2000}
"""Rows that make more than one chunk of an upload, and more than one chunk of the cipher."""


class Federation(Loopback):
    """A federation whose nodes lose patience quickly."""

    def __init__(self, folder: Path, members: Sequence[str] = MEMBERS, committee: Sequence[str] = COMMITTEE) -> None:
        super().__init__(folder, members, committee)
        self._members: dict[str, Member] = {}
        for name, old in self.configs.items():
            path = old.folder / "node.toml"
            text = re.sub(r"(step|start)_timeout_s = \d+", r"\1_timeout_s = 20", path.read_text("utf-8"))
            path.write_text(text, "utf-8")
            self.configs[name] = config.load(path)

    def revive(self) -> None:
        """Start the daemons that are away."""
        if away := [name for name in self.daemons if name not in self._processes]:
            self.start(*away)

    def ended(self, name: str) -> int:
        """Wait until a daemon ends by itself; returns its exit code."""
        return self._processes.pop(name).wait()

    def log(self, name: str) -> str:
        """What a daemon has logged."""
        return (self.configs[name].folder / "log.txt").read_text("utf-8")

    @property
    def operator(self) -> Operator:
        return Operator(self.configs[COORDINATOR], quiet)

    def member(self, name: str) -> Member:
        if name not in self._members:
            self._members[name] = Member(self.configs[name])
        return self._members[name]

    def own(self, name: str) -> list[str]:
        """The command-line option that acts as this node."""
        return ["--config", str(self.configs[name].folder / "node.toml")]

    def terms(self, **session: Any) -> dict[str, Any]:
        """A manifest, as the parsed file."""
        common: dict[str, Any] = {
            "title": "Winter cash, Kharkiv oblast",
            "purpose": "deconfliction",
            "members": list(self.members),
            "committee": list(self.committee),
            "max_records": 100_000,
            "expires": utc_now() + timedelta(hours=1),
        }
        rules = session.pop("rule", [{"name": "id", "fields": ["id_number"]}])
        return {"session": common | session, "rule": rules}

    def approved(self, **session: Any) -> SessionRecord:
        """A session that everyone has approved."""
        session_id = self.operator.propose(self.terms(**session)).session_id
        record = self.operator.coordinator.get(session_id).record
        for name in record.manifest.participants:
            self.member(name).approve(session_id)
        return record

    def ready(self, folder: Path, lists: dict[str, list[str]], **session: Any) -> SessionRecord:
        """A session to which members have contributed these identity numbers."""
        record = self.approved(members=list(lists), **session)
        for name, numbers in lists.items():
            self.member(name).contribute(record.id, write_numbers(folder / f"{name}.csv", numbers))
        assert self.operator.coordinator.get(record.id).record.state is State.READY
        return record

    def check(self, folder: Path, record: SessionRecord, lists: dict[str, list[str]]) -> None:
        """Fetch every member's result, and hold it against a join in the clear."""
        for name, numbers in lists.items():
            out = folder / f"{name}-result.csv"
            summary = self.member(name).results(record.id, out, out.with_suffix(".html"), accept=True)
            rows = read(out)
            assert [row["id_number"] for row in rows] == numbers
            for row in rows:
                expected_row(record, lists, name, row)
            assert summary.matched == sum(row["match"] == "yes" for row in rows)
            assert summary.rows == len(numbers)

    def check_keys(self, record: SessionRecord, keys: Keys, common: int) -> None:
        """Fetch every member's result: the first so many of its keys are shared."""
        for name, own in keys.items():
            member = self.member(name)
            flags = member.fetch(member.coordinator.get(record.id), len(own))
            assert flags[:common].all(), name
            assert not flags[common:].any(), name


def random_keys(rows: Mapping[str, int], common: int) -> Keys:
    """So many keys of each member, of which the first are common to all."""
    random = np.random.default_rng(7)
    keys = {name: random.integers(0, 2**64, (number, 2), np.uint64) for name, number in rows.items()}
    shared = random.integers(0, 2**64, (common, 2), np.uint64)
    return {name: np.concatenate([shared, own[common:]]) for name, own in keys.items()}


def expected_row(record: SessionRecord, lists: dict[str, list[str]], name: str, row: dict[str, str]) -> None:
    """Hold one row of a result against the lists."""
    number = row["id_number"]
    others = [m for m in record.manifest.members if m != name and number in lists.get(m, ())]
    if not number:
        assert (row["match"], row["not_compared_because"]) == ("not compared", "id_number is empty")
        return
    assert row["match"] == ("yes" if others else "no"), (name, number)
    assert row["matched_on"] == ("id" if others else "")
    if record.manifest.reveal == "count":
        assert row["match_count"] == (str(len(others)) if others else "")
    if record.manifest.reveal == "members":
        assert row["matched_with"] == "; ".join(others)


def write_numbers(path: Path, numbers: Sequence[str]) -> Path:
    """A list with one identity number a row."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id_number", "full_name"])
        writer.writerows([number, f"Person {k}"] for k, number in enumerate(numbers))
    return path


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a result sheet."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        delimiter = ";" if ";" in file.readline() else ","
        file.seek(0)
        return list(csv.DictReader(file, delimiter=delimiter))


def overlapping(members: Sequence[str], rows: int) -> dict[str, list[str]]:
    """Lists in which every number divisible by k is held by member k too; with a repeated row and an empty one."""
    lists = {name: [f"AB{n:06}" for n in range(0, rows * (k + 2), k + 2)] for k, name in enumerate(members)}
    for numbers in lists.values():
        numbers += [numbers[0], ""]
    return lists


__all__ = [
    "CHUNKED", "COMMITTEE", "COORDINATOR", "MEMBERS", "NEUTRAL", "Config", "Federation", "Keys", "overlapping",
    "random_keys", "read", "write_numbers",
]  # fmt: skip
