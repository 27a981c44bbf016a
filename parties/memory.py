"""How much memory this process has taken."""

from __future__ import annotations

import sys
from pathlib import Path


def memory() -> tuple[int, int]:
    """Resident bytes of this process now, and at most so far; zeros where the system does not tell."""
    if not sys.platform.startswith("linux"):
        return 0, 0
    lines = (line.split() for line in Path("/proc/self/status").read_text("ascii").splitlines())
    kilobytes = {line[0]: line[1] for line in lines if len(line) > 1}
    now, peak = (int(kilobytes[key]) * 1024 for key in ("VmRSS:", "VmHWM:"))
    return now, peak
