"""What attacks cost a daemon, and the sessions of others meanwhile: `python -m tests.bench_hostile [NAME ...]`.

Each attack is made by a process of its own at full size, three times; in between the same session runs undisturbed. The
table and, below it, JSON go to standard output; progress to standard error. NAME is a part of an attack's name.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path

from parties.errors import ServiceError
from tests.integration.attacker import Aim, Attack, Attacked, attacking
from tests.integration.attacks import ATTACKS
from tests.integration.vitals import Watch

ROWS, TIMES = 20_000, 3
SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Line:
    """Of the table.

    Attributes:
        by: who attacks.
        attack: what is done, and how often.
        target: the daemon.
        memory_mb: of the daemon at most, above what it had before.
        threads: at most.
        files: open ones at most.
        cpu_s: of the daemon for each session under attack.
        log_kb: that its log grew for each.
        usual_s: the session's seconds, undisturbed; the median.
        attacked_s: the same under attack; none where it did not end well.
        failed: what its people were told then.
        told: what the attacker was told most often, and how often.
    """

    by: str
    attack: str
    target: str
    memory_mb: int
    threads: int
    files: int
    cpu_s: float
    log_kb: int
    usual_s: float
    attacked_s: float | None
    failed: str
    told: list[tuple[str, int]]

    def __str__(self) -> str:
        ratio = f"{self.attacked_s / self.usual_s:.1f}" if self.attacked_s else self.failed
        told = "; ".join(f"{text} ({count:,})" for text, count in self.told) or "nothing"
        cells = [self.by, self.attack, self.target, f"{self.memory_mb}", f"{self.threads}", f"{self.files}"]
        return "| " + " | ".join([*cells, ratio, f"{self.cpu_s:.1f}", f"{self.log_kb}", told]) + " |"


HEAD = "| by | attack | on | memory, MB above idle | threads | files | session, times | CPU s | log KB | it is told |"


def attack_until(attack: Attack, aim: Aim, stands: Event, over: Event, told: Queue[Counter[str]]) -> None:
    """In a process of the attacker's."""
    with attacking(attack, aim, attack.many) as attacker:
        stands.set()
        over.wait()
    told.put(attacker.told)


@contextmanager
def attacked_by_another(attack: Attack, aim: Aim, told: Counter[str]) -> Iterator[None]:
    stands, over, said = SPAWN.Event(), SPAWN.Event(), SPAWN.Queue()
    process = SPAWN.Process(target=attack_until, args=(attack, aim, stands, over, said))
    process.start()
    try:
        stands.wait()
        yield
    finally:
        over.set()
        told.update(said.get())
        process.join()


def seconds(federation: Attacked) -> float:
    """Of one session."""
    started = time.monotonic()
    federation.honest(ROWS)
    return time.monotonic() - started


def measure(federation: Attacked, aim: Aim, attack: Attack) -> Line:
    """One line."""
    federation.stop(attack.target)
    federation.start(attack.target)
    seconds(federation)
    log = federation.configs[attack.target].folder / "log.txt"
    logged, told, failed = log.stat().st_size, Counter[str](), ""
    usual: list[float] = []
    under_attack: list[float] = []
    watches: list[Watch] = []
    for _ in range(TIMES):
        usual.append(seconds(federation))
        with Watch(federation.pid(attack.target)) as watch, attacked_by_another(attack, aim, told):
            try:
                under_attack.append(seconds(federation))
            except ServiceError as error:
                failed = str(error)
        watches.append(watch)
    return Line(
        attack.by,
        f"{attack.text} ({attack.many:,})",
        attack.target,
        round(max(w.most.rss_mb for w in watches) - watches[0].before.rss_mb),
        max(w.most.threads for w in watches),
        max(w.most.files for w in watches),
        round(statistics.median(w.most.cpu_s for w in watches), 1),
        (log.stat().st_size - logged) // 1024 // TIMES,
        round(statistics.median(usual), 2),
        round(statistics.median(under_attack), 2) if len(under_attack) == TIMES else None,
        failed,
        told.most_common(2),
    )


def main() -> None:
    """Print the table."""
    wanted = [a for a in ATTACKS if not sys.argv[1:] or any(part in a.name for part in sys.argv[1:])]
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as folder:
        federation = Attacked(Path(folder) / "nodes")
        with federation:
            aims = federation.aims()
            for number, attack in enumerate(wanted, 1):
                lines.append(measure(federation, aims[attack.target], attack))
                print(f"{number} of {len(wanted)}: {lines[-1]}", file=sys.stderr, flush=True)
    print(HEAD)
    print("|" + " --- |" * HEAD.count(" | ") + " --- |")
    print(*lines, sep="\n")
    print(json.dumps([asdict(line) for line in lines], ensure_ascii=False))


if __name__ == "__main__":
    main()
