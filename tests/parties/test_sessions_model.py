"""Thousands of lives of a session; each failure prints the steps that lead to it."""

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.parties.beginnings import beginnings, small_pieces
from tests.parties.lifetimes import Life
from tests.parties.samples import examples

HISTORIES = int(os.environ.get("SESSION_HISTORIES", "0"))
"""So many new ones; else the same 2,000 every time."""
LIVES = settings(examples(HISTORIES or 2000), derandomize=not HISTORIES, report_multiple_bugs=False)


@pytest.fixture(autouse=True, scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    log = logging.getLogger("matchbit")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    with small_pieces():
        Life.begin_at = beginnings(tmp_path_factory.mktemp("beginnings"))
        yield
    log.setLevel(level)


def test_a_session_survives_anything() -> None:
    run_state_machine_as_test(Life, settings=LIVES)
