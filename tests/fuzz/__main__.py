"""`make fuzz`: every target in turn by coverage (atheris), each in a process of its own with bounds on time and memory.

python -m tests.fuzz                    all targets, SECONDS_EACH seconds each
python -m tests.fuzz NAME …             these targets
python -m tests.fuzz NAME FILE          what one input does
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from random import Random

FOUND = Path(".fuzz")
MEMORY_MB = 2048
SLOWEST_S = 10
LOOP = "--loop"


def main(arguments: list[str]) -> int:
    """Fuzz; 0 where nothing was found."""
    from tests.fuzz.targets import TARGETS

    if len(arguments) == 2 and Path(arguments[1]).is_file():
        TARGETS[arguments[0]].seeds()
        TARGETS[arguments[0]].check(Path(arguments[1]).read_bytes())
        return 0
    if unknown := {*arguments} - {*TARGETS}:
        sys.exit(f"There is no target {', '.join(sorted(unknown))}. There are {', '.join(TARGETS)}.")
    if not find_spec("atheris"):
        sys.exit("There is no atheris for this machine or this Python; `make test` fuzzes a little without it.")
    return int(sum(map(_fuzz, arguments or TARGETS)) > 0)


def _fuzz(name: str) -> bool:
    """One target in a process; says how much was tried, and whether something was found."""
    found = FOUND / name
    found.mkdir(parents=True, exist_ok=True)
    options = {
        "artifact_prefix": f"{found}/",
        "max_total_time": os.environ.get("SECONDS_EACH", "60"),
        "rss_limit_mb": MEMORY_MB,
        "timeout": SLOWEST_S,
        "print_final_stats": 1,
    }
    command = [sys.executable, "-m", "tests.fuzz", LOOP, name, *(f"-{key}={value}" for key, value in options.items())]
    with tempfile.TemporaryDirectory() as made, (found / "log").open("w+") as log:
        ended = subprocess.run(command, env={**os.environ, "TMPDIR": made}, stdout=log, stderr=log, check=False)
        log.seek(0)
        tried = re.search(r"number_of_executed_units: (\d+)", log.read())
    said = f"found something, see {found}" if ended.returncode else "found nothing"
    print(f"{name:24}{int(tried[1]) if tried else 0:>12,} inputs  {said}", flush=True)
    return ended.returncode != 0


def _loop(name: str, options: list[str]) -> None:
    """All that a process of one target does."""
    import atheris

    with atheris.instrument_imports(include=["mpc", "parties"]):
        from tests.fuzz.mutations import mutated
        from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    known = [*target.seeds(), *target.corpus()]
    corpus = Path(tempfile.mkdtemp())
    for number, data in enumerate(known):
        (corpus / str(number)).write_bytes(data)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        random = Random(seed)
        return atheris.Mutate(data, most) if random.random() < 0.5 else mutated(target, data, known, random)[:most]

    atheris.Setup([name, *options, f"-max_len={target.longest}", str(corpus)], target.check, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == [LOOP]:
        _loop(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(main(sys.argv[1:]))
