"""What a kernel costs: instructions under callgrind, and time beside that of the calibration.

Instructions do not depend on what else the machine does. Time does, so it is taken in turns with the calibration's
and the shortest of many runs counts.
"""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from parties.compute import prepare
from tests.benchmarks.kernels import KERNELS, Run

RUNS, ROUNDS = 8, 3
"""So often each kernel runs in turns with the calibration, and again when all have: what disturbed it may be over."""
SHORTEST_S = 0.002
"""What is timed takes at least so long: several runs of a kernel that is quicker."""
MARK = "getloadavg"
"""A function of the C library that nothing else calls: at each call callgrind writes down what it has counted since
the one before, and begins anew."""


def counted() -> dict[str, float] | None:
    """Instructions a row of every kernel; None where valgrind is not installed.

    Raises:
        CalledProcessError: a kernel failed.
    """
    if not shutil.which("valgrind"):
        return None
    with tempfile.TemporaryDirectory(prefix="matchbit-kernels-") as folder:
        out = Path(folder, "counts")
        valgrind = ["valgrind", "--tool=callgrind", f"--dump-before={MARK}", "--combine-dumps=yes", "--quiet"]
        _measured("count", *valgrind, f"--callgrind-out-file={out}")
        return per_row(out.read_text("utf-8"), list(KERNELS))


def timed() -> dict[str, float]:
    """Seconds of one core a row of every kernel, were the calibration as quick at the time as it is at its best.

    Raises:
        CalledProcessError: a kernel failed.
    """
    return dict(json.loads(_measured("time")))


def _measured(what: str, *under: str) -> str:
    """What a process of its own says of all kernels."""
    command = [*under, sys.executable, "-m", __name__, what]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout


def per_row(dumps: str, names: Sequence[str]) -> dict[str, float]:
    """Instructions a row of each kernel.

    Args:
        dumps: callgrind's, one part from each mark to the next: before a kernel, in it, before the next, in that.
        names: of the kernels in their order.

    Raises:
        ValueError: there are more or fewer parts than these kernels make.
    """
    parts = [int(total) for total in re.findall(r"(?m)^totals: (\d+)$", dumps)]
    within = parts[1:-1:2]  # the last one is the end of the program
    return {name: total / KERNELS[name].rows for name, total in zip(names, within, strict=True)}


def _time() -> dict[str, float]:
    calibration = KERNELS["calibration"].prepare()
    usual = min(_seconds(calibration, 1) for _ in range(RUNS * 10))
    rounds = [{name: _ratio(each.prepare(), calibration) for name, each in KERNELS.items()} for _ in range(ROUNDS)]
    return {name: usual * min(each[name] for each in rounds) / KERNELS[name].rows for name in KERNELS}


def _ratio(run: Run, calibration: Run) -> float:
    """The shortest run over the shortest calibration, taken in turns."""
    run()
    many, several = (max(1, round(SHORTEST_S / max(_seconds(each, 1), 1e-6))) for each in (run, calibration))
    both = [(_seconds(run, many), _seconds(calibration, several)) for _ in range(RUNS)]
    shortest, usual = map(min, zip(*both, strict=True))
    return float(shortest / usual)


def _seconds(run: Run, times: int) -> float:
    """Of this thread, for one of several runs."""
    started = time.thread_time()
    for _ in range(times):
        run()
    return (time.thread_time() - started) / times


def _count() -> None:
    """Every kernel between two marks, when it has run once."""
    gc.disable()
    for each in KERNELS.values():
        run = each.prepare()
        run()
        gc.collect()
        os.getloadavg()
        run()
        os.getloadavg()


if __name__ == "__main__":
    prepare()  # as a node does: what the C library keeps of what is freed else depends on all that was before
    _count() if sys.argv[1] == "count" else print(json.dumps(_time()))
