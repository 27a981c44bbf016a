"""Which cell of a session's table each row of a list is in, and what a person is told of it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from parties.check import judged
from parties.fields import ReadableList, open_list
from parties.findings import Finding, Severity
from parties.keys import Keys, make_keys
from parties.rules import Rule
from parties.statistics import OTHER, Cells, Statistics
from tests.parties.samples import write
from tests.parties.test_statistics import AGES, ONE, SEX, table

PHONE = (Rule("phone", ("phone",)),)
CREATED = "2026-11-20T12:00:00+00:00"


def keys_of(folder: Path, heading: str, *rows: str, of: Statistics, rules: Sequence[Rule] = ONE) -> Keys:
    return read(folder, heading, *rows, of=of, rules=rules)[1]


def read(
    folder: Path, heading: str, *rows: str, of: Statistics, rules: Sequence[Rule] = ONE
) -> tuple[ReadableList, Keys, list[Finding]]:
    opened = open_list(write(folder / "list.csv", "\n".join([heading, *rows, ""])))
    return opened, *make_keys(opened, bytes(32), rules, "UA", table=Cells(of, "UA", CREATED))


def told(keys: Keys, of: Statistics) -> list[tuple[str, ...]]:
    assert keys.cells is not None
    return [of.labels()[cell] for cell in keys.cells.tolist()]


def test_the_cells_of_a_list(tmp_path: Path) -> None:
    of = table(SEX, AGES, {"field": "admin1", "values": ["Lviv", "UA63"]})
    keys = keys_of(
        tmp_path,
        "id_number,sex,date of birth,oblast",
        "A1,Жіноча,31.01.1980,Львівська",
        "A2,M,2020-11-21,ua 63",
        "A3,,,Kyiv",
        "A4,other,1980,Львів обл.",
        ",femme,1950,UA63",
        of=of,
    )
    assert told(keys, of) == [
        ("female", "18 to 59", OTHER),
        ("male", "5 to 17", "UA63"),
        (OTHER, OTHER, OTHER),
        (OTHER, "18 to 59", "Lviv"),
        ("female", "60 and over", "UA63"),
    ]
    assert len(keys.keys) == 4


def test_a_column_that_is_no_standard_field(tmp_path: Path) -> None:
    of = table({"field": "Camp", "values": ["Camp 1", "LAGER"]})
    assert told(keys_of(tmp_path, "id_number,CAMP", "A,lager", "B,camp  1", "C,x", of=of), of) == [
        ("LAGER",),
        ("Camp 1",),
        (OTHER,),
    ]


def test_nothing_but_the_table_reads_differently(tmp_path: Path) -> None:
    rows = ("id_number,sex,birth_date", "A,F,1980", "B,M,", ",F,")
    with_table = keys_of(tmp_path, *rows, of=table())
    without = make_keys(open_list(tmp_path / "list.csv"), bytes(32), ONE, "UA")[0]
    assert without.cells is None
    assert np.array_equal(with_table.keys, without.keys)


def test_a_list_without_a_categorys_column(tmp_path: Path) -> None:
    of = table()
    _, keys, findings = read(tmp_path, "id_number,sex", "A,F", "B,M", of=of)
    (stop,) = [f for f in findings if f.severity is Severity.STOP]
    assert "no column for `birth_date`, which the session's table needs" in stop.text
    assert told(keys, of) == [("female", OTHER), ("male", OTHER)]
    assert len(keys.keys) == 2


def test_what_looks_wrong_in_a_categorys_column_is_told(tmp_path: Path) -> None:
    opened, keys, findings = read(tmp_path, "id_number,sex,birth_date", "A,Q,1980-02-31", "B,M,1980", of=table())
    told = {(f.column, f.rows) for f in judged(opened, keys, findings, 1) if f.severity is Severity.WARNING and f.rows}
    assert told == {("sex", (2,)), ("birth_date", (2,))}


def test_a_key_of_several_rows_takes_the_cell_of_the_first(tmp_path: Path) -> None:
    of = table(SEX)
    rows = ("Z,M", "A,", "B,M", "A,F", "a,M", "B,M")
    opened, keys, findings = read(tmp_path, "id_number,sex", *rows, of=of)
    assert keys.cells is not None
    cells = keys.cells[keys.first_rows(0)]
    found = {
        rows[row]: of.labels()[cell] for row, cell in zip(keys.first_rows(0).tolist(), cells.tolist(), strict=True)
    }
    assert found == {"Z,M": ("male",), "A,": (OTHER,), "B,M": ("male",)}
    (other,) = [f for f in judged(opened, keys, findings, 1) if "the first row counts" in f.text]
    assert (other.severity, other.rows) == (Severity.WARNING, (5, 6))


def test_rows_that_count_as_several_people_are_told(tmp_path: Path) -> None:
    rows = ("067 123 45 67; 050 111 22 33,F", "067 123 45 68,M")
    opened, keys, findings = read(tmp_path, "phone,sex", *rows, of=table(SEX), rules=PHONE)
    (several,) = [f for f in judged(opened, keys, findings, 1) if "counted as a person" in f.text]
    assert (several.severity, several.rows) == (Severity.WARNING, (2,))


def off(folder: Path, sexes: Sequence[str]) -> list[tuple[Severity, str, int]]:
    rows = [f"A{k},{sex},Secret" for k, sex in enumerate(sexes)]
    opened, keys, findings = read(folder, "id_number,Gender,family_name", *rows, of=table(SEX))
    found = [f for f in judged(opened, keys, findings, 1) if "agreed values" in f.text]
    assert not any("Secret" in f.to_text() for f in found)
    return [(f.severity, f.column, f.count) for f in found]


@pytest.mark.parametrize(
    ("sexes", "severity", "count"),
    [
        (["other"] * 11 + ["F"] * 9, Severity.WARNING, 11),
        (["other"] * 10 + ["F"] * 10, None, 0),
        (["other"] * 19 + ["F"], Severity.WARNING, 19),
        (["other"] * 20, Severity.STOP, 20),
        (["other"] * 20 + ["", "n/a"], Severity.STOP, 20),  # of whom nothing is said
        (["other"] * 11 + ["F"] * 9 + [""] * 50, Severity.WARNING, 11),
        ([""] * 50 + ["F"], None, 0),
        (["Q"] * 20, Severity.STOP, 20),  # which cannot be read
        (["other"] * 19, None, 0),  # too few to be judged
    ],
)
def test_values_that_are_none_of_the_agreed_ones_are_told(
    tmp_path: Path, sexes: list[str], severity: Severity | None, count: int
) -> None:
    assert off(tmp_path, sexes) == ([(severity, "Gender", count)] if severity else [])


def test_each_category_is_judged_and_its_agreed_values_are_named(tmp_path: Path) -> None:
    of = table(SEX, AGES, {"field": "Camp", "values": ["North", "South"]})
    rows = [f"A{k},F,2027,Hidden {k}" for k in range(20)]
    opened, keys, findings = read(tmp_path, "id_number,sex,birth_date,camp", *rows, of=of)
    found = {f.column: f.text for f in judged(opened, keys, findings, 1) if "agreed values" in f.text}
    assert set(found) == {"birth_date", "camp"}
    assert found["camp"].endswith("of `Camp` the agreed values are North, South.")
    assert found["birth_date"].endswith("of `age` the agreed values are 0 to 4, 5 to 17, 18 to 59, 60 and over.")
    assert "Hidden" not in found["camp"]


@pytest.mark.parametrize("count", [1, 63, 64, 65, 16_385])
def test_every_row_of_its_own_cell_at_any_size(tmp_path: Path, count: int) -> None:
    of = table({"field": "Camp", "values": [f"c {k}" for k in range(200)]}, smallest_cell=3)
    keys = keys_of(tmp_path, "id_number,camp", *(f"A{k},c {k * 7 % 201}" for k in range(count)), of=of)
    assert keys.cells is not None
    assert keys.cells.dtype == np.uint16
    assert keys.cells.tolist() == [k * 7 % 201 for k in range(count)]
