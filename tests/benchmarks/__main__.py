"""Hold all kernels to the baseline: `make bench-kernels`; with `--update`, write the baseline anew."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.benchmarks import baseline, measure
from tests.benchmarks.baseline import Costs, Maker


def main(arguments: list[str], path: Path = baseline.PATH) -> int:
    """Measure, show, compare.

    Args:
        arguments: of the command line.
        path: of the baseline.

    Returns:
        The exit code: 1 where a kernel costs more than it did.
    """
    instructions = measure.counted()
    per_row = (
        {"time": measure.timed()} if instructions is None else {"instructions": instructions, "time": measure.timed()}
    )
    today = Costs(Maker.here(), baseline.ratios(per_row))
    if instructions is None:
        print("Instructions are not counted: valgrind is not installed.\n")
    elif "--update" in arguments:
        today.save(path)
    stored = baseline.load(path)
    print(baseline.table(per_row, baseline.growth(stored, today)))
    for kind, why in baseline.incomparable(stored.maker, today.maker).items():
        print(f"\n{kind}: not held to the baseline, for {why}.")
    faults = baseline.faults(stored, today)
    print(*faults, sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
