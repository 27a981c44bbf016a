"""What is fuzzed: functions of hostile bytes that may return, or raise an error for people, and nothing else."""

from __future__ import annotations

import atexit
import logging
import shutil
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from mpc.errors import MpcError
from parties import errors, logs
from parties.errors import ServiceError

MARK = b"Zq7-planted-secret-Zq7"
"""What a target puts where a secret stands: no text for people may hold it."""
MEMORY_BYTES = 64 << 20
WORK = 3_000_000
"""Calls of functions that one input may cause."""
CORPUS = Path(__file__).parent / "corpus"


@dataclass(frozen=True)
class Target:
    """One decoder.

    Attributes:
        name: of the target and of its folder in the corpus: small letters, digits and hyphens.
        run: decodes hostile bytes; asserts what must be true of what comes out.
        seeds: makes valid inputs, by the program's own writers where there are some.
        mutate: changes an input in a way that keeps its form; None where the common ways will do.
        words: that the format is made of, for the common ways.
        memory_bytes: that one input may take at once.
        longest: input, in bytes.
    """

    name: str
    run: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]
    mutate: Callable[[bytes, Random], bytes] | None = None
    words: tuple[bytes, ...] = ()
    memory_bytes: int = MEMORY_BYTES
    longest: int = 1 << 14

    def corpus(self) -> list[bytes]:
        """Inputs that were findings once, and others that are kept."""
        return [path.read_bytes() for path in sorted((CORPUS / self.name).glob("*"))]

    def check(self, data: bytes) -> None:
        """Run one input; any other error than those for people goes through, as a finding.

        Raises:
            AssertionError: a text for people holds a secret, or is no sentence, or what was decoded is wrong.
        """
        if MARK in data:
            return
        with _overhearing() as lines, may_be_refused():
            self.run(data)
        for line in lines:
            _assert_no_secret(line)

    def check_bounded(self, data: bytes) -> None:
        """Run one input, and see what it takes. Memory is what Python and NumPy take.

        Raises:
            AssertionError: more memory or work than one input may cause; and as `check`.
        """
        work = _Work()
        tracemalloc.start()
        sys.setprofile(work)
        try:
            self.check(data)
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            sys.setprofile(None)
            tracemalloc.stop()
        assert work.calls <= WORK, f"more than {WORK:,} calls"
        assert peak_bytes <= self.memory_bytes, f"{peak_bytes:,} bytes at once"


class _Work:
    """Counts calls, and ends what calls too much: a bound that does not depend on the machine."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, _frame: FrameType, event: str, _: Any) -> None:
        self.calls += event.endswith("call")
        if self.calls > WORK:
            raise AssertionError(f"more than {WORK:,} calls")


@cache
def folder() -> Path:
    """Of this process, for the files of targets."""
    made = Path(tempfile.mkdtemp(prefix="matchbit-fuzz-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)  # libFuzzer ends without; its driver clears up
    return made


def in_file(name: str, data: bytes) -> Path:
    """A private file with these bytes, at the same path each time."""
    path = folder() / name
    path.touch(0o600)
    path.write_bytes(data)
    return path


@contextmanager
def may_be_refused() -> Iterator[None]:
    """What is done here may raise an error for people: a sentence that holds no secret, nor do its log lines.

    Raises:
        AssertionError: it is none, or does.
    """
    try:
        yield
    except (ServiceError, MpcError) as error:
        said = errors.sentence(error)
        assert 0 < len(said) <= 2 * errors.LONGEST, f"a sentence of {len(said):,} characters"
        assert said.isprintable(), "a sentence with characters that a terminal obeys"
        for text in (said, *_logged(error)):
            _assert_no_secret(text)


def _assert_no_secret(text: str) -> None:
    for secret in (MARK.decode(), MARK.hex()):
        assert secret not in text, "a secret stands in an error or in a log line"


@contextmanager
def _overhearing() -> Iterator[list[str]]:
    """All that is logged meanwhile, as it would be written."""
    ear, root = _Ear(), logging.getLogger()
    root.addHandler(ear)
    before = root.level
    root.setLevel(logging.INFO)
    try:
        yield ear.lines
    finally:
        root.setLevel(before)
        root.removeHandler(ear)


class _Ear(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logs.Text())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def _logged(error: Exception) -> list[str]:
    """An error as it would be logged."""
    record = logging.LogRecord("matchbit", logging.ERROR, "", 0, "failed", None, (type(error), error, None))
    return [logs.Text().format(record), logs.Json().format(record)]
