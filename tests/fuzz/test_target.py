"""That a target which does what it must not is found out."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from parties.errors import InputError
from tests.fuzz import target
from tests.fuzz.target import MARK, Target


def _leaks(_: bytes) -> None:
    raise InputError(f"There is {MARK.decode()} in it.")


def _logs(_: bytes) -> None:
    logging.getLogger("matchbit").info("got %s", MARK.hex())


def _logs_an_error(_: bytes) -> None:
    try:
        _leaks(b"")
    except InputError:
        logging.getLogger("matchbit").exception("failed")


def _says_nothing(_: bytes) -> None:
    raise InputError


def _takes_memory(_: bytes) -> None:
    bytearray(100 << 20)


def _never_ends(_: bytes) -> None:
    while True:
        len(b"")


def _target(run: Callable[[bytes], None]) -> Target:
    return Target("faulty", run, list)


@pytest.mark.parametrize("run", [_leaks, _logs, _logs_an_error, _says_nothing])
def test_what_is_said(run: Callable[[bytes], None]) -> None:
    with pytest.raises(AssertionError, match=r"a secret stands|a sentence of"):
        _target(run).check(b"")


@pytest.mark.parametrize(("run", "says"), [(_takes_memory, "bytes at once"), (_never_ends, "more than 1,000 calls")])
def test_what_is_taken(monkeypatch: pytest.MonkeyPatch, run: Callable[[bytes], None], says: str) -> None:
    monkeypatch.setattr(target, "WORK", 1000)
    with pytest.raises(AssertionError, match=says):
        _target(run).check_bounded(b"")


def _fails(data: bytes) -> None:
    raise KeyError(data)


def _refuses(data: bytes) -> None:
    raise InputError(f"There are {len(data)} bytes too many.")


def test_other_errors_go_through() -> None:
    with pytest.raises(KeyError):
        _target(_fails).check(b"")


def test_no_findings() -> None:
    """A refusal; and what cannot be told from a leak."""
    _target(_refuses).check_bounded(b"")
    _target(_leaks).check(MARK)
