"""What several tests of the command line begin with."""

from pathlib import Path

import pytest

from tests.parties.samples import write

ID_RULE = '[[rule]]\nname = "id"\nfields = ["id_number"]\n'


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    return write(tmp_path / "list.csv", "id_number,name\nA-1,Анна\na-1,Anna\n,Olha\nB-2,Ольга\n")


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return write(tmp_path / "rules.toml", ID_RULE)
