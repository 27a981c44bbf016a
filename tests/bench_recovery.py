"""How long a session takes that is cut off: `make bench-recovery`.

Three members, 300,000 keys in all; one daemon is killed outright at a point and started again at once, as a supervisor
does. Times are from `session run` to results for everyone, beside those of a session that nothing happens to.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from parties.lifecycle import State
from parties.loopback import COORDINATOR
from tests.integration.federations import COMMITTEE, MEMBERS
from tests.integration.test_recovery import Mortal, insist

ROWS, TIMES = 100_000, 5
POINTS = (
    ("nothing happens", "", ""),
    ("a committee node, when it begins", COMMITTEE[1], "after attempt"),
    ("a committee node, in the midst of the cipher", COMMITTEE[1], "send tag/chunk2"),
    ("a committee node, at its last message", COMMITTEE[1], "send finish"),
    ("a committee node, when it has computed", COMMITTEE[1], "after computed"),
    ("the coordinator, when the attempt begins", COORDINATOR, "after attempt"),
    ("the coordinator, when all have computed", COORDINATOR, "before released"),
    ("the coordinator, when results are released", COORDINATOR, "after released"),
)


def seconds(federation: Mortal, mark: Path, name: str, point: str) -> tuple[float, int]:
    """From `session run` to results for everyone, and the number of attempts."""
    record = federation.approved(max_records=ROWS)
    random = np.random.default_rng(7)
    for member in MEMBERS:
        federation.member(member).contribute_keys(record, random.integers(0, 2**64, (ROWS, 2), np.uint64))
    doom = federation.doom(name, point, mark) if name else None
    started = time.monotonic()
    done = insist(lambda: federation.operator.run(record.id))
    passed = time.monotonic() - started
    if doom:
        doom.join()
    assert done.state is State.DONE
    federation.operator.coordinator.close(record.id)
    return passed, done.attempt


def main() -> None:
    print(f"| killed | seconds, median of {TIMES} | beside an undisturbed session | attempts |")
    print("| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder, Mortal(Path(folder) / "nodes") as federation:
        usual = 0.0
        for number, (text, name, point) in enumerate(POINTS):
            runs = [seconds(federation, Path(folder) / f"{number}-{k}", name, point) for k in range(TIMES)]
            median = statistics.median(passed for passed, _ in runs)
            usual = usual or median
            attempts = "/".join(map(str, sorted({attempt for _, attempt in runs})))
            print(f"| {text} | {median:.1f} | {median / usual:.1f} times | {attempts} |", flush=True)


if __name__ == "__main__":
    main()
