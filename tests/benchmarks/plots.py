"""Plots of docs/performance.md from what `matchbit bench NAME … --out docs/figures/NAME.json` wrote: `make plots`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.drawing import bars, curves

DOCS = Path(__file__).resolve().parents[2] / "docs"
BITS = {"kbit": 1e3, "mbit": 1e6, "gbit": 1e9}

Report = Mapping[str, Any]
"""What the benchmark says of one step."""
Value = Callable[[Report], float]


@dataclass(frozen=True)
class Plot:
    """Figures of steps against one of them.

    Attributes:
        title: what it shows.
        scenarios: whose steps it has.
        across: label of the axis, and what a step has there.
        up: label of the other axis.
        series: for each line, what a step has there.
    """

    title: str
    scenarios: tuple[str, ...]
    across: tuple[str, Value]
    up: str
    series: dict[str, Value]

    def draw(self, steps: Mapping[str, list[Report]]) -> str:
        """An SVG of the steps that were measured; nothing where they are fewer than two."""
        found = [step for name in self.scenarios for step in steps.get(name, [])]
        by_place = {self.across[1](step): step for step in found}
        if len(by_place) < 2:
            return ""
        lines = {
            name: [(place, value(step)) for place, step in sorted(by_place.items(), key=lambda each: each[0])]
            for name, value in self.series.items()
        }
        return curves(self.title, (self.across[0], self.up), lines)


def rows(step: Report) -> float:
    """Of all members."""
    return float(sum(step["rows"].values()))


def most(step: Report, figure: str) -> float:
    """A figure of the committee node where it is highest."""
    return float(max(figures[figure] for figures in step["committee"].values()))


def bits_a_second(step: Report) -> float:
    """Of a line."""
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", step["step"]["rate"]).groups()  # type: ignore[union-attr]
    return float(number) * BITS[unit]


SECONDS: dict[str, Value] = {"whole session": lambda s: s["wall_s"], "computation": lambda s: s["seconds"]["compute"]}
GROWTH = ("small", "growth", "huge")
ROWS_IN_ALL: tuple[str, Value] = ("rows of all three members", rows)
PLOTS = {
    "time-rows": Plot("Time, three members", GROWTH, ROWS_IN_ALL, "seconds", SECONDS),
    "bytes-rows": Plot(
        "Sent by the busiest committee node, three members",
        GROWTH,
        ROWS_IN_ALL,
        "bytes",
        {"sent": lambda s: most(s, "sent_bytes")},
    ),
    "memory-rows": Plot(
        "Memory of the largest committee node, three members",
        GROWTH,
        ROWS_IN_ALL,
        "bytes",
        {"at its peak": lambda s: most(s, "peak_rss_bytes"), "idle": lambda s: most(s, "idle_rss_bytes")},
    ),
    "time-members": Plot(
        "Time, the same rows in all",
        ("members",),
        ("members", lambda s: float(s["members"])),
        "seconds",
        SECONDS,
    ),
    "speed-line": Plot(
        "Computed over a line",
        ("lines",),
        ("bit/s of each committee node's line, each way", bits_a_second),
        "rows a second",
        {"rows a second": lambda s: s["rows_per_s"]},
    ),
}
PEERS = "peers"


def steps_of(documents: Iterable[Mapping[str, Any]]) -> dict[str, list[Report]]:
    """For each scenario its steps, as the last document that has them says."""
    return {s["name"]: s["steps"] for document in documents for s in document.get("scenarios", [])}


def drawn(documents: list[Mapping[str, Any]]) -> dict[str, str]:
    """For each plot that has figures, its SVG."""
    steps = steps_of(documents)
    found = {name: plot.draw(steps) for name, plot in PLOTS.items()}
    for document in documents:
        if document.get(PEERS):
            groups = {peer["name"]: (peer["wall_s"], peer["cpu_s"]) for peer in document[PEERS]}
            found[PEERS] = bars(document["title"], ("seconds", "processor seconds, busiest party"), groups)
    return {name: svg for name, svg in found.items() if svg}


def main(folder: Path = DOCS) -> None:
    """Draw what docs/figures has into docs/images."""
    documents = [json.loads(path.read_text("utf-8")) for path in sorted((folder / "figures").glob("*.json"))]
    for name, svg in drawn(documents).items():
        (folder / "images" / f"performance-{name}.svg").write_text(svg, "utf-8")
        print(f"performance-{name}.svg")


if __name__ == "__main__":
    main()
