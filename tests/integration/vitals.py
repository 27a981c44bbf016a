"""What a daemon's process takes of its machine, as Linux tells."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

EVERY_S = 0.01


@dataclass(frozen=True)
class Vitals:
    """At one moment, or the most of a while.

    Attributes:
        rss_mb: resident memory.
        threads: in number.
        files: open ones; 0 where only root may look.
        cpu_s: seconds of all cores since it was started.
    """

    rss_mb: float
    threads: int
    files: int
    cpu_s: float


def vitals(pid: int) -> Vitals:
    """Of a process, now."""
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines())
    status = {line[0]: line[1] for line in lines if len(line) > 1}
    user, system = Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()[11:13]
    cpu_s = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    try:
        files = len(os.listdir(f"/proc/{pid}/fd"))
    except PermissionError:
        files = 0
    return Vitals(int(status["VmRSS:"]) / 1024, int(status["Threads:"]), files, cpu_s)


class Watch:
    """Looks at a process for the length of a block.

    Attributes:
        before: how it was.
        most: what it took at most; of CPU, what it took in all.
    """

    def __init__(self, pid: int) -> None:
        self._pid, self._over = pid, threading.Event()
        self.before = self.most = vitals(pid)
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._over.wait(EVERY_S):
            self._note()

    def _note(self) -> None:
        now, most = vitals(self._pid), self.most
        self.most = Vitals(
            max(now.rss_mb, most.rss_mb),
            max(now.threads, most.threads),
            max(now.files, most.files),
            now.cpu_s - self.before.cpu_s,
        )

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._note()
