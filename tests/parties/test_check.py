import json
import tomllib
from pathlib import Path

import pytest

from parties.check import MANY_ROWS, MIN_ROWS, ListCheck, check_list
from parties.columns import MapFile, read_map
from parties.errors import InputError
from parties.fields import open_list
from parties.findings import Finding, Severity
from parties.report import check_text
from parties.rules import Rule
from tests.parties.samples import ALIKE, RULES, write

LIST = """ID_Number,Phone,birth_date,note
 Ａ1 ,067 123 45 67,1980-02-13,x
a1,067 123 45 68,1980,
,0671234567,13.2.1980,\u00a0
,,1990-01-01,y
B2,,,
 ,067 123 45 69, ,
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "list.csv", LIST)


def checked(path: Path, rules: tuple[Rule, ...] = RULES, map_file: MapFile | None = None) -> ListCheck:
    return check_list(open_list(path, map_file), rules, "UA")


def found(check: ListCheck, text: str) -> Finding:
    """The one finding that says this."""
    (finding,) = [f for f in check.findings if text in f.text]
    return finding


def test_counts(path: Path) -> None:
    check = checked(path)
    assert (check.path, check.headings) == (str(path), ("ID_Number", "Phone", "birth_date", "note"))
    assert (check.rows, check.usable) == (6, 4)
    assert check.empty == {"ID_Number": 3, "Phone": 2, "birth_date": 2, "note": 4}
    by_id, by_phone = check.rules
    assert (by_id.name, by_id.fields, by_id.usable, by_id.repeated) == ("id", ("id_number",), 3, 1)
    assert by_id.unusable_rows == (4, 5, 7)
    assert by_id.example == ("UA:-:A1",)
    assert (by_phone.usable, by_phone.repeated) == (3, 1)
    assert by_phone.unusable_rows == (5, 6, 7)
    assert by_phone.example == ("+380671234567", "1980-02-13")


def test_columns_and_what_they_stand_for(path: Path) -> None:
    columns = {c.heading: (c.stands_for, c.filled, c.example) for c in checked(path).columns}
    assert columns == {
        "ID_Number": ("id_number", 3, ("A1".replace("A1", "Ａ1"), "UA:-:A1")),
        "Phone": ("phone", 4, ("067 123 45 67", "+380671234567")),
        "birth_date": ("birth_date", 4, ("1980-02-13", "1980-02-13")),
        "note": ("", 2, ("x", "")),
    }


def test_rows_are_numbered_as_in_a_spreadsheet(tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", 'id_number,x\n\n"a\n1",1\n,2\n')
    assert checked(path, RULES[:1]).rules[0].unusable_rows == (4,)


def test_only_the_first_unusable_rows_are_told(tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", "id_number,x\n" + ",1\n" * 10)
    check = checked(path, RULES[:1])
    assert check.rules[0].unusable_rows == (2, 3, 4, 5, 6)
    assert (check.rules[0].usable, check.rules[0].example, check.usable) == (0, (), 0)


def test_json_can_be_written_and_read(path: Path) -> None:
    read = json.loads(json.dumps(checked(path).to_json(), ensure_ascii=False))
    assert read["rows"] == 6
    assert read["empty"]["note"] == 4
    assert read["rules"][0] == {
        "name": "id",
        "fields": ["id_number"],
        "usable": 3,
        "unusable_rows": [4, 5, 7],
        "repeated": 1,
        "example": ["UA:-:A1"],
    }
    assert {f["severity"] for f in read["findings"]} <= {"note", "warning", "stop"}


def test_text_tells_of_each_rule_and_column(path: Path) -> None:
    lines = [" ".join(line.split()) for line in check_text(checked(path)).splitlines()]
    assert lines[0] == f"{path}: 6 rows, 4 of them can be compared."
    for wanted in (
        "Phone phone heading 4 067 123 45 67 +380671234567",
        "note - - 2 x",
        "id 3 3 1 UA:-:A1",
        "phone and birth date 3 3 1 +380671234567 | 1980-02-13",
    ):
        assert any(wanted in line for line in lines), wanted


def test_a_cell_cannot_command_the_terminal(tmp_path: Path) -> None:
    text = check_text(checked(write(tmp_path / "list.csv", "id_number,x\nA1,\x1b[2J\x07\n"), RULES[:1]))
    assert "\x1b" not in text
    assert "\x07" not in text


def test_a_rule_whose_column_is_missing(path: Path) -> None:
    check = checked(path, (*RULES, Rule("r", ("sex",))))
    assert [(r.name, r.usable) for r in check.rules] == [("id", 3), ("phone and birth date", 3), ("r", 0)]
    (sentence,) = check.missing
    assert "has no column for `sex`, which the rule `r` needs" in sentence
    assert found(check, "has no column for `sex`").severity is Severity.STOP


@pytest.mark.parametrize(
    ("headings", "toml", "warned"),
    [
        ("ID number,Phone", "", ["ID number"]),
        ("ID number,Passport No", "", ["ID number"]),
        ("ID number,ID type", "", []),
        ("ID number,Phone", "constants = {id_type = 'passport'}", []),
        ("ID number,Phone", "columns = {id_number = {tax = 'ID number'}}", []),
        ("Passport No,Phone", "", []),
        ("Phone,ID number", "", []),
    ],
)
def test_numbers_of_an_unknown_kind_are_warned_about(
    tmp_path: Path, headings: str, toml: str, warned: list[str]
) -> None:
    """The second column is empty."""
    path = write(tmp_path / "list.csv", f"{headings}\nA1,\nB2,\n")
    map_file = read_map(tomllib.loads(toml), path)
    said = [f for f in checked(path, RULES[:1], map_file).findings if "unknown kind of document" in f.text]
    assert [(f.severity, f.column) for f in said] == [(Severity.WARNING, heading) for heading in warned]
    for rules in (RULES[1:], (ALIKE,)):
        assert "unknown kind" not in check_text(checked(path, rules, map_file))


def test_a_list_of_which_no_block_can_be_made_stops_once(tmp_path: Path) -> None:
    check = checked(write(tmp_path / "list.csv", "full_name,sex\n" + "A B,F\n" * 20), (ALIKE,))
    (stop,) = [f for f in check.findings if f.severity is Severity.STOP]
    assert stop.text == check.missing[0]
    assert (
        "needs columns for `phone`, or for `birth_date` and `full_name`. Its columns are: full_name, sex." in stop.text
    )


def test_a_list_that_no_rule_can_use_is_shown_all_the_same(tmp_path: Path) -> None:
    check = checked(write(tmp_path / "list.csv", "full name,DOB\nA B,1980-01-01\n"))
    assert (check.rows, check.usable, [r.usable for r in check.rules]) == (1, 0, [0, 0])
    assert [s.split("`")[1] for s in check.missing] == ["phone", "id_number"]
    assert "full_name" in check_text(check)


def test_columns_by_other_names(tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", "Nothing known,x\nA1,1\n,2\n")
    check = checked(path, RULES[:1], MapFile(columns={"id_number": (("Nothing known", ""),)}))
    assert check.rules[0].usable == 1
    assert check.columns[0].how == "map file"


def test_a_fault_further_down_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", "id_number,x\n" + "A,1\n" * 50 + "B\n")
    with pytest.raises(InputError, match="row 52"):
        checked(path, RULES[:1])


# Findings


@pytest.mark.parametrize(
    ("heading", "cells", "text", "severity"),
    [
        ("phone", ["n/a", "000000", "067 123 45 67"], "placeholder", Severity.WARNING),
        ("phone", ["3.8067E+11", "3,8E+11", "0671234567"], "digits are lost", Severity.WARNING),
        ("phone", ["380671234567.0", "380671234568.0", "0671234567"], "decimal", Severity.NOTE),
        ("phone", ["1234", "06712345678901", "0671234567"], "too few or too many digits", Severity.WARNING),
        ("birth date", ["31/02/1980", "30/02/1981", "1980-01-01"], "does not exist", Severity.WARNING),
        ("birth date", ["29221", "29222", "1980-01-01"], "count of days", Severity.WARNING),
        ("birth date", ["1358-01-01", "1359-02-03", "1980-01-01"], "another calendar", Severity.WARNING),
        ("birth date", ["1980", "1981-02", "1980-01-01"], "without day or month", Severity.NOTE),
    ],
)
def test_faulty_cells_are_counted_with_their_rows(
    tmp_path: Path, heading: str, cells: list[str], text: str, severity: Severity
) -> None:
    lines = [f"{heading};x", *(f'"{cell}";' for cell in cells), ""]
    field = heading.replace(" ", "_")
    check = checked(write(tmp_path / "list.csv", "\n".join(lines)), (Rule("r", (field,)),))
    finding = found(check, text)
    assert (finding.severity, finding.column, finding.count, finding.rows) == (severity, heading, 2, (2, 3))


def test_numbers_that_lost_their_zero(tmp_path: Path) -> None:
    cells = [f"0{k}" for k in range(1_234_567, 1_234_597)] + ["1234599"]
    finding = found(checked(write(tmp_path / "list.csv", "id number\n" + "\n".join(cells)), RULES[:1]), "took the zero")
    assert (finding.severity, finding.count, finding.rows) == (Severity.WARNING, 1, (32,))
    whole = checked(write(tmp_path / "list.csv", "id number\n" + "\n".join(cells[:-1])), RULES[:1])
    assert not [f for f in whole.findings if "took the zero" in f.text]


@pytest.mark.parametrize(("words", "stops"), [("HMhm", True), ("FMfm", False), ("HF", False), ("MM", False)])
def test_a_sex_that_may_be_spanish(tmp_path: Path, words: str, stops: bool) -> None:
    path = write(tmp_path / "list.csv", "\n".join(["id_number,sex", *(f"A{k},{w}" for k, w in enumerate(words))]))
    assert not [f for f in checked(path, RULES[:1]).findings if "mujer" in f.text], "no rule uses it"
    findings = [f for f in checked(path, (Rule("r", ("id_number", "sex")),)).findings if "mujer" in f.text]
    assert [(f.severity, f.column, f.count) for f in findings] == ([(Severity.STOP, "sex", 2)] if stops else [])


@pytest.mark.parametrize(
    ("times", "severity"),
    [(MANY_ROWS[0], None), (MANY_ROWS[0] + 1, Severity.WARNING), (MANY_ROWS[1] + 1, Severity.STOP)],
)
def test_one_phone_on_many_rows(tmp_path: Path, times: int, severity: Severity | None) -> None:
    rows = [f"A{k},0671234567,1980-01-{k % 28 + 1:02}" for k in range(times)]
    path = write(tmp_path / "list.csv", "\n".join(["id_number,phone,birth_date", *rows]))
    findings = [f for f in checked(path).findings if "many rows" in f.text]
    assert [(f.severity, f.column, f.count) for f in findings] == ([(severity, "phone", times)] if severity else [])


@pytest.mark.parametrize(("rows", "stops"), [(MIN_ROWS - 1, False), (MIN_ROWS, True)])
def test_a_rule_that_most_rows_cannot_use(tmp_path: Path, rows: int, stops: bool) -> None:
    lines = [f"A{k}," if k % 3 == 0 else f",B{k}" for k in range(rows)]
    path = write(tmp_path / "list.csv", "\n".join(["id_number,x", *lines]))
    findings = [f for f in checked(path, RULES[:1]).findings if "cannot be used" in f.text]
    assert [f.severity for f in findings] == ([Severity.STOP] if stops else [])


def test_weak_rules_are_warned_of(tmp_path: Path) -> None:
    rows = [f"{'F' if k % 2 else 'M'},{1950 + k % 50}-01-01" for k in range(200)]
    path = write(tmp_path / "list.csv", "\n".join(["sex,birth_date", *rows]))
    finding = found(checked(path, (Rule("weak", ("sex", "birth_date:year")),)), "is weak")
    assert finding.severity is Severity.WARNING


def test_two_columns_of_phones_are_shown_each_by_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", "phone,phone 2\n0671234567,0501112233\nn/a,0631112233\nn/a,n/a\n")
    check = checked(path, (Rule("r", ("phone",)),))
    assert [c.example[1] for c in check.columns] == ["+380671234567", "+380501112233"]
    finding = found(check, "placeholder")
    assert (finding.count, finding.rows) == (2, (3, 4))


def test_the_gravest_comes_first(tmp_path: Path) -> None:
    lines = [f",067123456{k % 10},1/2/1980" for k in range(MIN_ROWS)] + ["A,3.8E+11,1980"]
    path = write(tmp_path / "list.csv", "\n".join(["id_number,phone,birth_date", *lines]))
    severities = [f.severity for f in checked(path).findings]
    assert severities[0] is Severity.STOP
    assert severities == sorted(severities, key=[Severity.STOP, Severity.WARNING, Severity.NOTE].index)
