"""What several tests of the command line, and of members among parties that listen, begin with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parties.contributing import Parties
from tests.parties.samples import write

ID_RULE = '[[rule]]\nname = "id"\nfields = ["id_number"]\n'


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    return write(tmp_path / "list.csv", "id_number,name\nA-1,Анна\na-1,Anna\n,Olha\nB-2,Ольга\n")


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return write(tmp_path / "rules.toml", ID_RULE)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parties]:
    with Parties(tmp_path_factory.mktemp("parties")).listening() as parties:
        yield parties


@pytest.fixture
def parties(running: Parties, tmp_path: Path) -> Parties:
    running.folder = tmp_path
    return running
