"""Our session for all members beside the fastest two-party program, run for every pair of them: `make bench-peers`.

The other program is SecretFlow SPU with RR22, one process for each party over loopback, from CSV files of keys to CSV
files of those that both have. One pair is run, and its seconds count as often as there are pairs: three members need
three runs, ten need forty-five. Ours is a whole session of `matchbit bench`, from signing the terms to every member's
result, keys in memory at both ends. Neither counts starting its processes. All runs take turns, so that a busy machine
is busy for both; figures are medians.

The two do not answer the same question: pairwise runs tell each member which other one it shares a person with.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from parties.bench import bench_keys
from parties.loopback import free_port
from parties.report import table
from parties.scenarios import Step, chosen

RUNS = 3
NAMES = ("million", "ten")
OVERLAP = 0.1


def write_lists(folder: Path, rows: int) -> int:
    """Two lists as CSV files of one column, a.csv and b.csv; returns how many keys are on both."""
    lists, flags = bench_keys(2, rows, OVERLAP)
    for name, keys in zip("ab", lists, strict=True):
        lines = (f"{high:016x}{low:016x}\n" for high, low in keys.tolist())
        (folder / f"{name}.csv").write_text("key\n" + "".join(lines), "utf-8")
    return int(flags[0].sum())


def pairwise(python: str, folder: Path, expected: int) -> dict[str, float]:
    """One pair's run; figures of the party that took more."""
    ports = f"{free_port()},{free_port()}"
    command = [python, str(Path(__file__).with_name("rr22.py"))]
    environment = {**os.environ, "TMPDIR": str(folder)}
    with (folder / "log.txt").open("wb") as log:
        parties = [
            subprocess.Popen(
                [*command, str(k), ports, *(str(folder / file) for file in (f"{n}.csv", f"{n}-both.csv", f"{n}.json"))],
                stdout=log,
                stderr=log,
                cwd=folder,
                env=environment,
            )
            for k, n in enumerate("ab")
        ]
        codes = [party.wait() for party in parties]
        if any(codes):
            sys.exit(f"a party failed; it said:\n{(folder / 'log.txt').read_text('utf-8', errors='replace')[-2000:]}")
    reports = [json.loads((folder / f"{n}.json").read_text("utf-8")) for n in "ab"]
    if [report["found"] for report in reports] != [expected, expected]:
        sys.exit(f"the pair found {[report['found'] for report in reports]} keys in place of {expected}")
    return {name: max(report[name] for report in reports) for name in ("wall_s", "cpu_s", "peak_rss_bytes")}


def session(name: str, rows: int) -> dict[str, Any]:
    """A run of one of our scenarios."""
    command = [sys.executable, "-m", "parties.cli", "bench", name, "--rows", str(rows), "--json"]
    run = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    (step,) = json.loads(run.stdout)["scenarios"][0]["steps"]
    return step


def compare(python: str, name: str, step: Step) -> list[tuple[object, ...]]:
    """Both programs in turns; two rows of the table."""
    pairs = step.members * (step.members - 1) // 2
    with tempfile.TemporaryDirectory() as made:
        expected = write_lists(Path(made), step.rows)
        runs = [(pairwise(python, Path(made), expected), session(name, step.rows)) for _ in range(RUNS)]
    one = median(pair["wall_s"] for pair, _ in runs)
    ours = median(mine["wall_s"] for _, mine in runs)
    cpu = median(pair["cpu_s"] for pair, _ in runs)
    own = median(max(f["cpu_s"] for f in mine["committee"].values()) for _, mine in runs)
    memory = median(pair["peak_rss_bytes"] for pair, _ in runs) / 1e6
    held = median(max(f["peak_rss_bytes"] for f in mine["committee"].values()) for _, mine in runs) / 1e6
    theirs = f"{pairs} pairwise runs of RR22"
    return [
        (step.to_text(), theirs, f"{one:.2f} s", f"{pairs * one:.2f} s", "1.00", f"{cpu:.2f} s", f"{memory:.0f} MB"),
        (
            "",
            "one session",
            f"{ours:.2f} s",
            f"{ours:.2f} s",
            f"{ours / (pairs * one):.2f}",
            f"{own:.2f} s",
            f"{held:.0f} MB",
        ),
    ]


def main(python: str, scale: str = "1") -> None:
    """Compare.

    Args:
        python: of the environment that has SPU.
        scale: part of the usual rows.
    """
    rows = []
    for scenario in chosen(NAMES):
        (step,) = scenario.steps
        (step,) = scenario.changed(rows=round(step.rows * float(scale)), overlap=OVERLAP).steps
        rows += compare(str(Path(python).absolute()), scenario.name, step)
    headings = ("", "medians of three", "one run", "for all", "ratio", "cpu, a party and run", "memory of a party")
    print(table(headings, rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
