"""What files say at present: read once, and again when one of them has changed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from parties.errors import ConfigError

log = logging.getLogger("matchbit")
T = TypeVar("T")


class Latest(Generic[T]):
    """A value that is read from files; for daemons, whose files are changed under them.

    Args:
        read: makes the value anew; raises ConfigError where the files are wrong.
        paths: the files.
    """

    def __init__(self, read: Callable[[], T], *paths: Path) -> None:
        self._read, self._paths = read, paths
        self._lock = threading.Lock()
        self._value: T | None = None
        self._seen: object = None

    def get(self) -> T:
        """The value; the same object as long as no file has changed.

        A fault in a file that was right before is logged once, and the last good value stays in use.

        Raises:
            ConfigError: the files have not been right so far.
        """
        with self._lock:
            seen = [
                _stamp(path) for path in self._paths
            ]  # before reading, so that a change meanwhile is seen next time
            if self._value is None or seen != self._seen:
                try:
                    self._value = self._read()
                except ConfigError as error:
                    if self._value is None:
                        raise
                    log.error("%s Until it is right this node goes on with what it read before.", error)
                self._seen = seen
            return self._value


def _stamp(path: Path) -> tuple[int, ...]:
    """What differs when a file was written or replaced; empty without a file."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
