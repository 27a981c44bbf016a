import re
from pathlib import Path
from typing import Any

import pytest

from parties.columns import MapFile
from parties.errors import InputError
from parties.fields import NewRows, open_list
from parties.keys import make_keys
from parties.member import _kept, _read_again, check_limits
from tests.parties.samples import manifest, write

SESSION = bytes(range(32))


def limited(path: Path, rows: list[str], **changes: Any) -> None:
    opened = open_list(write(path / "list.csv", "\n".join(["id_number,phone,birth_date", *rows, ""])))
    terms = manifest(**changes)
    check_limits(terms, make_keys(opened, SESSION, terms.rules, "UA")[0], opened.path)


def test_within_the_limits(tmp_path: Path) -> None:
    limited(tmp_path, ["A1,,", "B1,,"], max_records=2)


def test_more_rows_than_agreed(tmp_path: Path) -> None:
    says = (
        f"{tmp_path / 'list.csv'} has 3 rows; the session allows 2 per member. Shorten the list, or ask the coordinator"
    )
    with pytest.raises(InputError, match=re.escape(says)):
        limited(tmp_path, ["A1,,", "A1,,", "-,,"], max_records=2)


def test_more_keys_than_agreed(tmp_path: Path) -> None:
    rows = ["A1,067 123 45 67; 067 123 45 68; 067 123 45 69,1980-01-31"]
    with pytest.raises(
        InputError, match="makes 4 keys, since rows have several phones or numbers; the session allows 2"
    ):
        limited(tmp_path, rows, max_records=1)
    limited(tmp_path, rows, max_records=2)


def test_nothing_to_compare(tmp_path: Path) -> None:
    says = "has all fields of any rule (id: id_number; phone and birth date: phone + birth_date); there is nothing"
    with pytest.raises(InputError, match=re.escape(says)):
        limited(tmp_path, [",0671234567,", ",,1980-01-31"])


def test_what_is_kept_with_a_list_is_read_back() -> None:
    map_file = MapFile(
        columns={"phone": (("a", ""), ("b", ""))}, constants={"id_type": "tax"}, date_order="dmy", heading_row=3
    )
    for new in (NewRows(), NewRows(since="2026-01-31"), NewRows(column="neu")):
        path = Path("/lists/list.csv")
        assert _read_again(_kept(path, map_file, new)) == (path, map_file, new)
