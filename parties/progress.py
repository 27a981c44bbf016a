"""Progress of long work: a line that rewrites itself on a terminal, log lines now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import TextIO

from parties.shown import harmless

log = logging.getLogger("matchbit")
QUIET_S = 10.0


class Terminal:
    """Shows what is being done, how far, how fast, and the time left.

    Args:
        stream: where to; usually standard error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._tty = stream, stream.isatty()
        self._lock = threading.Lock()
        self._what, self._started, self._shown = "", 0.0, 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Tell of progress; cheap enough to call often."""
        with self._lock:
            now = time.monotonic()
            is_new = what != self._what
            if is_new:
                self._what, self._started = what, now
            if is_new or now - self._shown > (0.2 if self._tty else QUIET_S):
                self._shown = now
                self._show(line(what, done, total, now - self._started))

    def _show(self, text: str) -> None:
        if self._tty:
            self._stream.write(f"\r{text:<78}"[:80] + "\r")
            self._stream.flush()
        else:
            log.info(text)


def line(what: str, done: int, total: int, elapsed_s: float) -> str:
    """One line of progress."""
    if not done:
        return what
    rate = done / elapsed_s if elapsed_s > 0.5 else 0.0
    text = f"{what}: {done:,}" + (f" of {total:,}" if total else "")
    text += f", {rate:,.0f}/s" if rate else ""
    return text + (f", {(total - done) / rate:.0f} s left" if rate and total > done else "")


def say(text: str, file: TextIO | None = None) -> None:
    """Print, where a line of progress may have been, without anything that a terminal obeys."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    print(harmless(text, besides="\n\t"), file=file or sys.stdout)
