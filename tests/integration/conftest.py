"""One running federation for all tests that leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.federations import Federation


@pytest.fixture(scope="session")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """agency-a, agency-b and agency-c; the committee is agency-a, agency-b and a neutral node."""
    with Federation(tmp_path_factory.mktemp("federation")) as running:
        yield running
