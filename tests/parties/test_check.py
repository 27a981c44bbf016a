import json
from pathlib import Path

import pytest

from parties.check import EXAMPLES, check_list
from parties.errors import InputError
from parties.records import open_list
from parties.rules import Rule
from tests.parties.samples import RULES, write

LIST = """ID_Number,Phone,birth_date,note
 Ａ1 ,555 1,1980-02-03,x
a1,556,1980,
,555  1,1980-02-03,\u00a0
,,1990,y
B2,,,
 ,557, ,
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "list.csv", LIST)


def test_counts(path: Path) -> None:
    found = check_list(open_list(path), RULES)
    assert (found.path, found.headings) == (str(path), ("ID_Number", "Phone", "birth_date", "note"))
    assert (found.rows, found.usable) == (6, 4)
    assert found.empty == {"ID_Number": 3, "Phone": 2, "birth_date": 2, "note": 4}
    by_id, by_phone = found.rules
    assert (by_id.name, by_id.fields, by_id.usable, by_id.repeated) == ("id", ("id_number",), 3, 1)
    assert by_id.unusable_rows == (4, 5, 7)
    assert by_id.example == ("a1",)
    assert (by_phone.usable, by_phone.repeated) == (3, 1)
    assert by_phone.unusable_rows == (5, 6, 7)
    assert by_phone.example == ("555 1", "1980-02-03")


def test_rows_are_numbered_as_in_a_spreadsheet_without_blank_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", 'id_number,x\n\n"a\nb",1\n,2\n')
    assert check_list(open_list(path), RULES[:1]).rules[0].unusable_rows == (3,)


def test_only_the_first_unusable_rows_are_told(tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", "id_number,x\n" + ",1\n" * 10)
    found = check_list(open_list(path), RULES[:1])
    assert found.rules[0].unusable_rows == tuple(range(2, 2 + EXAMPLES))
    assert (found.rules[0].usable, found.rules[0].example, found.usable) == (0, (), 0)
    assert "10 rows lack a field" in found.to_text()


def test_json_can_be_written_and_read(path: Path) -> None:
    found = check_list(open_list(path), RULES)
    read = json.loads(json.dumps(found.to_json(), ensure_ascii=False))
    assert read["rows"] == 6
    assert read["empty"]["note"] == 4
    assert read["rules"][0] == {
        "name": "id",
        "fields": ["id_number"],
        "usable": 3,
        "unusable_rows": [4, 5, 7],
        "repeated": 1,
        "example": ["a1"],
    }


def test_text_tells_of_each_rule_and_column(path: Path) -> None:
    lines = [" ".join(line.split()) for line in check_list(open_list(path), RULES).to_text().splitlines()]
    assert lines[0] == f"{path}: 6 rows, 4 of them can be compared."
    for wanted in (
        "ID_Number 3 filled 3 empty",
        "note 2 filled 4 empty",
        "Rule `id` (id_number): 3 rows can be used.",
        "Rule `phone and birth date` (phone + birth_date): 3 rows can be used.",
        "compared as: a1",
        "compared as: 555 1 | 1980-02-03",
        "1 rows repeat an earlier row of this list.",
    ):
        assert wanted in lines
    assert any(line.startswith("3 rows lack a field: row 4, 5, 7") for line in lines)


def test_a_list_where_all_is_well(tmp_path: Path) -> None:
    found = check_list(open_list(write(tmp_path / "list.csv", "id_number\nA\nB\n")), RULES[:1])
    assert (found.rows, found.usable, found.rules[0].repeated, found.rules[0].unusable_rows) == (2, 2, 0, ())
    assert "lack" not in found.to_text()
    assert "repeat" not in found.to_text()


def test_two_columns_of_one_name_that_no_rule_needs(tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", "id_number,note,note\nA,,\nB,x,\n")
    found = check_list(open_list(path), RULES[:1])
    for line in found.to_text().splitlines():
        assert "-" not in line.removeprefix(str(path)), "there are no negative counts"
    assert all(0 <= n <= found.rows for n in found.empty.values())


def test_a_rule_whose_column_is_missing(path: Path) -> None:
    with pytest.raises(InputError, match="has no column `sex`, which the rule `r` needs"):
        check_list(open_list(path), (*RULES, Rule("r", ("sex",))))


def test_columns_by_other_names(tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", "No.,x\nA,1\n,2\n")
    found = check_list(open_list(path, {"id_number": "No."}), RULES[:1])
    assert found.rules[0].usable == 1


def test_a_fault_further_down_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", "id_number,x\n" + "A,1\n" * 50 + "B\n")
    with pytest.raises(InputError, match="row 52"):
        check_list(open_list(path), RULES[:1])
