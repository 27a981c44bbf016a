"""What the benchmark measures: named scenarios, what they are for, and what ties the figures of their steps. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mpc.matching import Reveal
from parties.engines import Engine
from parties.errors import InputError

STATISTICS = {
    "smallest_cell": 3,
    "category": [{"field": "sex", "values": ["female", "male"]}, {"field": "birth_date", "ages": [0, 18, 60]}],
}
"""The table of a measured session: small enough cells that some are shown."""


@dataclass(frozen=True)
class Step:
    """One session to measure.

    Attributes:
        members: how many.
        rows: keys of each member.
        overlap: part of the keys that others have too.
        rate: of every committee node's line, each way, for example 100mbit; empty for no limit.
        delay_ms: of every committee node's line, each way.
        verify_tags: whether the terms ask for verified tags.
        dummies: whether the terms ask for dummies, with epsilon 1 and delta one in a million.
        engine: that computes.
        committee: how many nodes.
        threshold: so many of them may collude; 0 for the most that the engine allows.
        reveal: what members learn.
        similar: whether lists of so many records are made up and compared, by exact rules and one on similar records;
            else what is compared are random keys.
        new: so many of all lists' records are new, and the others are not reported; 0 for all.
    """

    members: int = 3
    rows: int = 1_000_000
    overlap: float = 0.1
    rate: str = ""
    delay_ms: float = 0.0
    verify_tags: bool = False
    dummies: bool = False
    engine: str = Engine.REPLICATED.value
    committee: int = 3
    threshold: int = 0
    reveal: str = Reveal.FLAG.value
    similar: bool = False
    new: int = 0

    def terms(self) -> dict[str, Any]:
        """Entries of the manifest's session besides the usual ones."""
        asked: dict[str, Any] = {"engine": self.engine, "reveal": self.reveal}
        asked |= {"threshold": self.threshold} if self.threshold else {}
        asked |= {"verify_tags": True} if self.verify_tags else {}
        asked |= {"dummies": {"epsilon": 1.0, "delta": 1e-6}} if self.dummies else {}
        return asked | ({"statistics": STATISTICS} if self.reveal == Reveal.STATISTICS.value else {})

    def to_text(self) -> str:
        """The step in a line for people."""
        words = (
            (self.engine, self.engine != Engine.REPLICATED.value),
            (f"{self.committee} nodes", self.committee != 3),
            (f"threshold {self.threshold}", self.threshold),
            (self.reveal, self.reveal != Reveal.FLAG.value),
            (f"at {self.rate}", self.rate),
            (f"{self.delay_ms:g} ms each way", self.delay_ms),
            ("verify_tags", self.verify_tags),
            ("dummies", self.dummies),
            ("similar", self.similar),
            (f"{self.new:,} new", self.new),
        )
        return ", ".join([f"{self.members:,} × {self.rows:,} rows", *(text for text, is_said in words if is_said)])


@dataclass(frozen=True)
class Scenario:
    """Sessions that are measured one after another.

    Attributes:
        name: what people call it.
        shows: what it is for.
        steps: at least one; figures of the others are shown against the first one's.
    """

    name: str
    shows: str
    steps: tuple[Step, ...]

    def changed(self, *, rows: int | None = None, **options: Any) -> Scenario:
        """The scenario with options of the caller's.

        Args:
            rows: of each member in the first step; the other steps' rows, and new ones, change in proportion.
            options: other fields of every step; None leaves them as they are.

        Raises:
            InputError: no session can be so, or the option is what the scenario's steps differ in.
        """
        given = {field: value for field, value in options.items() if value is not None}
        for field in given:
            if len({getattr(step, field) for step in self.steps}) > 1:
                option = field.removesuffix("_ms")
                raise InputError(f"The steps of `{self.name}` differ in their {option}; leave --{option} out.")
        if rows is not None and rows < 1:
            raise InputError("--rows must be at least 1.")
        of = 1.0 if rows is None else rows / self.steps[0].rows
        steps = tuple(
            replace(step, **{"rows": max(1, round(step.rows * of)), "new": round(step.new * of)} | given)
            for step in self.steps
        )
        for step in steps:
            _check(step)
        return replace(self, steps=steps)


def _check(step: Step) -> None:
    if not 2 <= step.members <= 1000 or not 0 <= step.overlap <= 1:
        raise InputError("--members must be 2 to 1000, --overlap from 0 to 1.")
    if not 0 <= step.delay_ms <= 1000:
        raise InputError("--delay must be 0 to 1000 milliseconds.")
    if not 0 <= step.new <= step.members * step.rows or (step.new and not step.similar):
        raise InputError("--new must be 0 to the number of all records, and goes with --similar.")


LINE = Step(rows=100_000, rate="100mbit")
FAR = replace(LINE, delay_ms=30.0)
THREE = Step(rows=100_000)
FEW = Step(rows=1_000, engine=Engine.MPYC.value)
ALIKE = Step(rows=100_000, similar=True)
SCENARIOS = (
    Scenario("small", "a small session, and how soon daemons are up", (Step(rows=1_000),)),
    Scenario("three", "three agencies with lists of a usual size", (THREE,)),
    Scenario("million", "three agencies with a million rows each", (Step(rows=1_000_000),)),
    Scenario("ten", "ten agencies in one run", (Step(10, 300_000),)),
    Scenario(
        "growth",
        "time, bytes and memory as lists grow",
        tuple(Step(rows=rows) for rows in (100_000, 333_000, 1_000_000, 3_330_000)),
    ),
    Scenario("huge", "thirty million rows in bounded memory", (Step(rows=10_000_000),)),
    Scenario(
        "members",
        "the same rows in all, with more and more members",
        tuple(Step(members, 300_000 // members) for members in (3, 10, 30, 100)),
    ),
    Scenario("centres", "a thousand members over lines of 100 Mbit/s", (replace(LINE, members=1_000, rows=10_000),)),
    Scenario("line", "a line of 100 Mbit/s", (LINE,)),
    Scenario("far", "the same, and with 30 ms each way", (LINE, FAR, replace(FAR, rows=300_000))),
    Scenario(
        "lines",
        "from a thin line to a thick one",
        (replace(LINE, rows=10_000, rate="10mbit"), LINE, replace(LINE, rate="1gbit")),
    ),
    Scenario("verified", "what verified tags cost", (THREE, replace(THREE, verify_tags=True))),
    Scenario("dummies", "what dummies cost", (THREE, replace(THREE, dummies=True))),
    Scenario("similar-10k", "similar people, from file to result", (replace(ALIKE, rows=10_000),)),
    Scenario("similar-100k", "the same with lists of a usual size", (ALIKE,)),
    Scenario("similar-weekly", "a week's new records against standing lists", (replace(ALIKE, new=3_000),)),
    Scenario("mpyc-200", "a short list by the engine that reveals nothing else", (replace(FEW, rows=200),)),
    Scenario("mpyc-1000", "the same with a longer list", (FEW,)),
    Scenario(
        "mpyc-committees",
        "larger and larger committees, of which just less than half may collude",
        tuple(replace(FEW, committee=nodes) for nodes in (3, 5, 7)),
    ),
)
OWN = Scenario("own", "a session of your own", (Step(),))
OWN_FEW = replace(OWN, steps=(FEW,))
"""The same by the MPyC engine, whose lists are short."""
OWN_ALIKE = replace(OWN, steps=(replace(ALIKE, rows=10_000),))
"""The same on similar people."""
ALL = "all"


def chosen(names: Sequence[str], engine: str | None = None, *, similar: bool = False) -> tuple[Scenario, ...]:
    """The scenarios of these names, each once, in the order of the table; one of the caller's own if there is no name.

    Args:
        names: of scenarios, or `all`.
        engine: that the caller asks for.
        similar: whether the caller asks for similar people.

    Raises:
        InputError: there is no such scenario.
    """
    known = [scenario.name for scenario in SCENARIOS]
    for name in names:
        if name not in (*known, ALL):
            raise InputError(
                f"There is no scenario `{name}`: choose from {', '.join(known)}, or {ALL}; "
                "`matchbit bench --list` says what they show."
            )
    own = OWN_FEW if engine == Engine.MPYC.value else OWN_ALIKE if similar else OWN
    return tuple(s for s in SCENARIOS if s.name in names or ALL in names) if names else (own,)


def costs(report: Mapping[str, Any], members: Sequence[str], step: Step) -> dict[str, Any]:
    """A step's report: that of its session, and what a row of it cost.

    Args:
        report: of the session, as `parties.trial.Outcome` gives it.
        members: names.
        step: what was measured.
    """
    total, nodes = step.rows * step.members, report["committee"]
    return {
        **report,
        "rows": dict.fromkeys(members, step.rows),
        "rows_per_s": round(total / report["seconds"]["compute"]),
        "sent_bytes_per_row": {name: round(f["sent_bytes"] / total, 1) for name, f in nodes.items()},
        "memory_bytes_per_row": {
            name: round((f["peak_rss_bytes"] - f["idle_rss_bytes"]) / total, 1) for name, f in nodes.items()
        },
        "phases": next(iter(nodes.values()))["phases"],
    }


def cost_per_row(report: Mapping[str, Any]) -> dict[str, float]:
    """What a row of a step cost.

    It is seconds of the whole session and of its computation; and of the node where it was most, seconds of processor,
    bytes sent and bytes of memory.

    Args:
        report: of the step, as `parties.network.measure` gives it.
    """
    total = sum(report["rows"].values())
    return {
        "wall_s": report["wall_s"] / total,
        "compute_s": report["seconds"]["compute"] / total,
        "cpu_s": max(figures["cpu_s"] for figures in report["committee"].values()) / total,
        "sent_bytes": max(report["sent_bytes_per_row"].values()),
        "memory_bytes": max(report["memory_bytes_per_row"].values()),
    }


def ratios(reports: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """For each step, what a row cost of what one of the first step did; figures that were nothing there are left out.

    1.0 everywhere means that cost is linear in rows.
    """
    costs = [cost_per_row(report) for report in reports]
    return [{name: round(cost[name] / first, 3) for name, first in costs[0].items() if first > 0} for cost in costs]
