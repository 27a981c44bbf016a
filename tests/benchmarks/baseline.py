"""The stored costs of all kernels, as ratios to the calibration's, and whether today's are like them."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

import mpc.kernel

PATH = Path(__file__).with_name("baseline.json")
CALIBRATION = "calibration"
MOST_GROWTH = {"instructions": 1.10, "time": 4.0}
"""Today's ratio over the baseline's, for each kind: clocks are noisy, instructions are not."""
AGAIN = "write the baseline anew with `make bench-kernels UPDATE=1`"

UNITS = {"instructions": ("instructions a row", 1.0), "time": ("s a million rows", 1e6)}
"""How tables show each kind: its heading, and what a row's cost is multiplied by."""

PerRow = dict[str, dict[str, float]]
"""For each kind of cost, for each kernel, a row's."""
Ratios = dict[str, dict[str, float]]
"""For each kind of cost, for each kernel, a row's cost over a row's of the calibration."""


@dataclass(frozen=True)
class Maker:
    """What ratios depend on besides the program: time on the first two, instructions on all."""

    machine: str
    compiled: bool
    python: str
    numpy: str

    @classmethod
    def here(cls) -> Maker:
        """This machine and this environment."""
        python, numpy = (".".join(v.split(".")[:2]) for v in (platform.python_version(), np.__version__))
        return cls(platform.machine(), mpc.kernel.COMPILED, python, numpy)


@dataclass(frozen=True)
class Costs:
    """What all kernels cost, and where it was measured."""

    maker: Maker
    ratios: Ratios = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write a baseline."""
        ratios = {kind: {name: float(f"{r:.4g}") for name, r in each.items()} for kind, each in self.ratios.items()}
        path.write_text(json.dumps({"maker": asdict(self.maker), "ratios": ratios}, indent=2) + "\n", "utf-8")


def load(path: Path) -> Costs:
    """Read a baseline.

    Raises:
        OSError, ValueError, KeyError, TypeError: there is none, or it is something else.
    """
    found = json.loads(path.read_text("utf-8"))
    return Costs(Maker(**found["maker"]), found["ratios"])


def ratios(today: PerRow) -> Ratios:
    """Costs of a row, over the calibration's."""
    return {kind: {name: cost / each[CALIBRATION] for name, cost in each.items()} for kind, each in today.items()}


def incomparable(stored: Maker, here: Maker) -> dict[str, str]:
    """For each kind that cannot be held to the baseline here, why."""
    same = {key: value == getattr(here, key) for key, value in asdict(stored).items()}
    why = f"the baseline was made on {stored}, this is {here}"
    others = {"time": ("machine", "compiled"), "instructions": tuple(same)}
    return {kind: why for kind, keys in others.items() if not all(same[key] for key in keys)}


def growth(stored: Costs, today: Costs) -> dict[str, dict[str, float]]:
    """For each kind that both have, for each kernel that both have: today's ratio over the stored one."""
    return {
        kind: {name: ratio / stored.ratios[kind][name] for name, ratio in each.items() if name in stored.ratios[kind]}
        for kind, each in today.ratios.items()
        if kind in stored.ratios
    }


def faults(stored: Costs, today: Costs) -> list[str]:
    """What is wrong, a sentence each: kernels that cost more than they did, or that only one of both has."""
    found = []
    grown = growth(stored, today)
    for kind in sorted(grown.keys() - incomparable(stored.maker, today.maker)):
        most = MOST_GROWTH[kind]
        found += [
            f"{name}: {kind} grew to {grown[kind][name]:.2f} of the baseline's, above {most:g}; mend it, or {AGAIN}."
            for name in sorted(grown[kind])
            if grown[kind][name] > most
        ]
    for kind in grown:
        odd = sorted(stored.ratios[kind].keys() ^ today.ratios[kind].keys())
        found += [f"{name}: {_where(name in today.ratios[kind])}; {AGAIN}." for name in odd]
    return list(dict.fromkeys(found))


def _where(here: bool) -> str:
    return "is not in the baseline" if here else "is in the baseline, and is not measured"


def table(today: PerRow, grown: Mapping[str, Mapping[str, float]]) -> str:
    """What a person reads: a line for each kernel.

    Args:
        today: for each kind of cost, for each kernel, a row's: instructions, seconds.
        grown: from `growth`.
    """
    headings = ["kernel"]
    lines = [headings, *([name] for name in today["time"])]
    for kind, each in today.items():
        unit, scale = UNITS[kind]
        headings += [unit, "grown"]
        for line, (name, cost) in zip(lines[1:], each.items(), strict=True):
            factor = grown.get(kind, {}).get(name)
            line += [f"{cost * scale:.4g}", "new" if factor is None else f"{factor:.2f}"]
    return aligned(lines)


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns under their headings, all but the first to the right."""
    first, *others = (max(map(len, column)) for column in zip(*lines, strict=True))
    return "\n".join(
        "  ".join([f"{name:<{first}}", *(f"{cell:>{width}}" for cell, width in zip(cells, others, strict=True))])
        for name, *cells in lines
    )
