"""Running federations: what tests leave as they found it they share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.federations import Federation


@pytest.fixture(scope="session")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """agency-a, agency-b and agency-c; the committee is agency-a, agency-b and a neutral node."""
    with Federation(tmp_path_factory.mktemp("federation")) as running:
        yield running


@pytest.fixture(scope="session")
def _shaken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(tmp_path_factory.mktemp("shaken")) as running:
        yield running


@pytest.fixture
def shaken(_shaken: Federation) -> Iterator[Federation]:
    """Another one, whose daemons may be stopped and killed; those that are away are started for the next test."""
    yield _shaken
    _shaken.revive()


@pytest.fixture
def fragile(tmp_path: Path) -> Iterator[Federation]:
    """A federation of this test's own, which it may break."""
    with Federation(tmp_path / "nodes") as running:
        yield running
