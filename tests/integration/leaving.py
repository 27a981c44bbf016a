"""A daemon that is asked to stop, once, at a named point; all else is the real program. Points are those of `dying`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tests.integration import dying


def leave(mark: Path) -> None:
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    dying.die = leave
    sys.exit(dying.main())
