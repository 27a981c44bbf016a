"""How long a million-row list takes from file to keys: `make bench-lists`, or `python -m tests.bench_lists ROWS`.

The list has five fields in the forms that agencies use, phones, documents and nearly all names distinct; four rules,
names by sound among them. One core, one process for each measurement.
"""

from __future__ import annotations

import csv
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from parties import generator
from parties.fields import open_list
from parties.keys import make_keys
from parties.rules import Rule

HEADINGS = ("Full name", "Date of birth", "Phone number", "ID number", "Sex")
RULES = (
    Rule("id", ("id_number",)),
    Rule("phone and birth date", ("phone", "birth_date")),
    Rule("name and birth date", ("full_name:sorted", "birth_date")),
    Rule("name by sound, year and sex", ("full_name:phonetic:sorted", "birth_date:year", "sex")),
)


def write(path: Path, rows: int) -> None:
    """A list of so many people."""
    chance = random.Random(1)
    lists = generator.generate(["agency"], 2000, 0.0, 1)
    kinds: dict[tuple[str, bool], list[str]] = {}  # words that people of one tradition and script have
    for row, tradition in zip(lists["agency"].rows, lists["agency"].traditions, strict=True):
        name = row[generator.HEADINGS.index("full_name")]
        kinds.setdefault((tradition, name.isascii()), []).extend(name.split())
    words = list(kinds.values())
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(HEADINGS)
        for k in range(rows):
            phone = f"{670_000_000 + k * 37 % 100_000_000:09}"
            written = (f"0{phone}", f"+380 {phone[:2]} {phone[2:5]} {phone[5:]}", f"380{phone}.0")[k % 3]
            born = f"{chance.randint(1, 28):02}.{chance.randint(1, 12):02}.{chance.randint(1930, 2024)}"
            name = " ".join(chance.choices(words[k % len(words)], k=3))
            out.writerow((name, born, written, f"kb-{k * 7919 % 10**8:08}", "FM"[k % 2]))


def measure(path: Path) -> None:
    """Read, normalise and key a list; print what it took."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, cpu = time.perf_counter(), time.process_time()
    keys, _ = make_keys(open_list(path), os.urandom(32), RULES, "UA")
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{keys.rows:,} rows, {path.stat().st_size / 1e6:.0f} MB of {path.suffix[1:]}: {len(keys.keys):,} keys under "
        f"{len(RULES)} rules in {wall:.1f} s, {cpu:.1f} s of one core; memory {peak / 1e3:.0f} MB "
        f"({before / 1e3:.0f} MB idle)"
    )


def main() -> None:
    """Measure each size in a process of its own, on one core where the system can be asked for that."""
    if sys.argv[1:2] == ["--measure"]:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        measure(Path(sys.argv[2]))
        return
    with tempfile.TemporaryDirectory() as folder:
        for rows in map(int, sys.argv[1:] or ("10000", "100000", "1000000")):
            path = Path(folder) / "list.csv"
            write(path, rows)
            subprocess.run([sys.executable, "-m", "tests.bench_lists", "--measure", str(path)], check=True)


if __name__ == "__main__":
    main()
