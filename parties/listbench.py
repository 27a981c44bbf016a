"""One measured session on a federation of real daemons on this machine, from made-up lists to every member's result.

Members are processes of their own, as they are in life: to read a list keeps a core busy.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mpc.replicated import Array
from parties import config, generator
from parties.columns import MapFile
from parties.fields import NewRows
from parties.generator import GeneratedList
from parties.keys import Keys
from parties.launch import Operator
from parties.loopback import COORDINATOR, Loopback
from parties.manifest import Manifest
from parties.member import Member, Progress
from parties.memory import memory
from parties.pooled import Pool, Truth
from parties.results import Result
from parties.scenarios import Step, costs
from parties.store import SessionRecord
from parties.trial import run_session, values_of

LIST, RESULT = "list.csv", "result.csv"
"""In a member's folder."""
IS_NEW = "is_new"
"""Heading of the column that says which records are new."""
READING = "reading rows"


class Stopwatch:
    """A member's progress that takes the seconds of each kind of work: from its first word to the next kind's."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._what, self._since = READING, time.monotonic()

    def __call__(self, what: str, _done: int, _total: int) -> None:
        """Progress; what is done before the first word is reading."""
        if what != self._what:
            self.stop()
            self._what = what

    def stop(self) -> None:
        """Write down the work that was done last."""
        now = time.monotonic()
        self.seconds[self._what] = round(self.seconds.get(self._what, 0.0) + now - self._since, 3)
        self._since = now


@dataclass(frozen=True, repr=False)
class Contributed:
    """What a member's process tells of its contribution.

    Attributes:
        keys: what it is of, without rules, which processes do not pass on.
        seconds: of each kind of work.
        cpu_s: seconds of processor for all of it.
        peak_rss_bytes: of the process.
    """

    keys: Keys
    seconds: dict[str, float]
    cpu_s: float
    peak_rss_bytes: int


def contribute(settings: Path, session_id: bytes, path: Path, new: NewRows) -> Contributed:
    """A member's contribution, in its process.

    Args:
        settings: the member's node.toml.
        session_id: the id.
        path: the list.
        new: which rows are new.
    """
    watch, before = Stopwatch(), time.process_time()
    keys, _ = Member(config.load(settings), watch).contribute(session_id, path, MapFile(), new, accept=True)
    watch.stop()
    return Contributed(replace(keys, rules=()), watch.seconds, time.process_time() - before, memory()[1])


def write_result(settings: Path, session_id: bytes, out: Path) -> float:
    """A member's result, in its process; returns seconds of processor.

    Args:
        settings: the member's node.toml.
        session_id: the id.
        out: the sheet; its page is beside it.
    """
    before = time.process_time()
    Member(config.load(settings)).results(session_id, out, out.with_suffix(".html"), accept=True)
    return time.process_time() - before


def measure_lists(federation: Loopback, step: Step, terms: dict[str, Any], show: Progress) -> dict[str, Any]:
    """One session on a started federation, over made-up lists, with a rule on similar records.

    Args:
        federation: started.
        step: what is measured.
        terms: its session's.
        show: progress.

    Returns:
        The JSON report: as that over random keys; and how what was found fits who is who, what each member's part took,
        how many pairs were compared, and how long the rules take in the clear.
    """
    show("making up lists", 0, 0)
    folders = {name: federation.configs[name].folder for name in federation.members}
    made = generator.generate(federation.members, step.rows, step.overlap, seed=1)
    new = _write(made, folders, step)
    given: dict[str, Contributed] = {}
    spawned = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        processes = {name: stack.enter_context(ProcessPoolExecutor(1, spawned)) for name in folders}
        for started in [process.submit(Stopwatch) for process in processes.values()]:
            started.result()  # so that none has to be started while time is taken

        def part(member: Member, record: SessionRecord) -> None:
            name, folder = member.config.name, member.config.folder
            arguments = (folder / "node.toml", record.id, folder / LIST, new)
            given[name] = processes[name].submit(contribute, *arguments).result()

        outcome = run_session(federation, terms, part, show)
        with outcome.seconds.timed("results"):
            writing = {
                name: processes[name].submit(write_result, folder / "node.toml", outcome.record.id, folder / RESULT)
                for name, folder in folders.items()
            }
            of_results = {name: done.result() for name, done in writing.items()}
    show("comparing with the rules in the clear", 0, 0)
    report = costs(outcome.report(), federation.members, step) | {
        "members_s": {name: each.seconds for name, each in given.items()},
        "members_cpu_s": {
            name: {"contribute": round(each.cpu_s, 3), "results": round(of_results[name], 3)}
            for name, each in given.items()
        },
        "members_rss_bytes": {name: each.peak_rss_bytes for name, each in given.items()},
    }
    lists = {name: replace(each.keys, rules=outcome.record.manifest.rules) for name, each in given.items()}
    report |= _compared(federation, outcome.record, lists, made)
    Operator(federation.configs[COORDINATOR], show).coordinator.close(outcome.record.id)
    return report


def _write(made: Mapping[str, GeneratedList], folders: Mapping[str, Path], step: Step) -> NewRows:
    """Write every member's list; returns which rows of them are new: as many at each member, if not all are."""
    for number, (name, each) in enumerate(made.items()):
        own = (step.new + number) // len(made) if step.new else 0
        rows = [[*row, "yes" if k < own else "no"] for k, row in enumerate(each.rows)]
        marked = replace(each, headings=(*each.headings, IS_NEW), rows=rows) if step.new else each
        generator.write_csv(folders[name] / LIST, marked)
    return NewRows(column=IS_NEW) if step.new else NewRows()


def _compared(
    federation: Loopback, record: SessionRecord, lists: Mapping[str, Keys], made: Mapping[str, GeneratedList]
) -> dict[str, Any]:
    """Whether members learned what the rules give in the clear, and how it fits who is who."""
    manifest = record.manifest
    pool, started = Pool.of(manifest, lists), time.monotonic()
    expected, plain_s = pool.values(manifest), time.monotonic() - started
    found = values_of(federation, record, {name: len(values) for name, values in expected.items()})
    told, due = ({name: _matched(manifest, name, lists[name], of[name]) for name in of} for of in (found, expected))
    sheets = {name: federation.configs[name].folder / RESULT for name in made}
    truth = Truth.of_all(Truth.of(made, name, sheet) for name, sheet in sheets.items())
    return {
        "matched": told,
        "expected": due,
        "correct": all(np.array_equal(found[name], values) for name, values in expected.items()),
        "truth": {grade: of.to_json() for grade, of in truth.items()},
        "pairs": pool.pairs(manifest),
        "in_the_clear_s": round(plain_s, 3),
    }


def _matched(manifest: Manifest, member: str, keys: Keys, values: Array) -> int:
    """How many rows match by these values."""
    return Result(manifest, member, keys, values).summary().matched
