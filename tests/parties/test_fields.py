from pathlib import Path

import pytest

from parties import fields
from parties.columns import MapFile
from parties.errors import InputError
from parties.fields import NewRows, ReadableList, merged, open_list
from parties.findings import Severity
from parties.normalise import Normal, Note
from parties.normalise.notes import unusable
from tests.parties.samples import write


def a_list(folder: Path, heading: str, *rows: str, map_file: MapFile | None = None) -> ReadableList:
    return open_list(write(folder / "list.csv", "\n".join([heading, *rows, ""])), map_file)


def values(opened: ReadableList, name: str, country: str = "UA") -> list[tuple[str, ...]]:
    """A field's canonical values, row by row."""
    source = fields.source(opened, name, "this test", country)
    found = []
    for batch in opened.source.batches():
        normals, codes = source.read(batch)
        found += [normals[code].values for code in codes.tolist()]
    return found


def test_a_name_from_its_parts(tmp_path: Path) -> None:
    opened = a_list(tmp_path, "Surname;First name;Middle name", "Ковальчук;Олена;Іванівна", "Kovalchuk;Olena;", "-;;")
    assert values(opened, "full_name") == [("olena ivanivna kovalchuk",), ("olena kovalchuk",), ()]


def test_a_whole_name_cannot_be_split(tmp_path: Path) -> None:
    opened = a_list(tmp_path, "full name", "Olena Kovalchuk")
    with pytest.raises(InputError, match=r"no column for `family_name`.*cannot be split.*full_name:sorted"):
        values(opened, "family_name")


def test_the_year_of_a_birth_date(tmp_path: Path) -> None:
    opened = a_list(tmp_path, "date of birth", "31.12.1980", "1981", "?")
    assert values(opened, "birth_year") == [("1980",), ("1981",), ()]


def test_phones_of_several_columns(tmp_path: Path) -> None:
    opened = a_list(
        tmp_path, "phone 1;phone 2", "067 123 45 67;+380501112233", ";0671234567", "0671234567;380671234567.0"
    )
    assert values(opened, "phone") == [("+380671234567", "+380501112233"), ("+380671234567",), ("+380671234567",)]


def test_documents_with_types_from_headings_columns_and_constants(tmp_path: Path) -> None:
    opened = a_list(tmp_path, "passport no;РНОКПП", "ab123456;", "AB 123456;1234567899")
    assert values(opened, "id_number") == [
        ("UA:passport:AB123456",),
        ("UA:passport:AB123456", "UA:tax:1234567899"),
    ]
    opened = a_list(tmp_path, "id_number;id_type;id_country", "X1;Passport;Syria", "X1;;", "X1;tax;")
    assert values(opened, "id_number") == [("SY:passport:X1",), ("UA:-:X1",), ("UA:tax:X1",)]
    constant = MapFile(columns={"id_number": (("No", ""),)}, constants={"id_type": "passport", "id_country": "SY"})
    opened = a_list(tmp_path, "No;x", "X1;", map_file=constant)
    assert values(opened, "id_number") == [("SY:passport:X1",)]


def test_a_constant_is_every_rows(tmp_path: Path) -> None:
    opened = a_list(tmp_path, "full name", "A B", "C D", map_file=MapFile(constants={"admin1": "UA63"}))
    assert values(opened, "admin1") == [("UA63",), ("UA63",)]


def test_a_column_that_is_no_standard_field(tmp_path: Path) -> None:
    opened = a_list(tmp_path, "full name;Camp Card", "A B; Ｘ-1 ", "C D;x-1")
    assert values(opened, "camp  card") == [("x-1",), ("x-1",)]


def test_many_distinct_rows_keep_their_places(tmp_path: Path) -> None:
    rows = [f"c{k};{k * 7 % 13}" for k in range(40_000)]
    opened = a_list(tmp_path, "one;two", *rows)
    assert values(opened, "one") == [(f"c{k}",) for k in range(40_000)]


def test_merged() -> None:
    a, b, empty = Normal(("1",)), Normal(("2", "1"), Note.DECIMAL), unusable(Note.EMPTY)
    assert merged([a, b, empty]) == Normal(("1", "2"), Note.DECIMAL)
    assert merged([empty, empty]) == empty
    assert merged([empty, unusable(Note.WRONG_LENGTH)]) == unusable(Note.WRONG_LENGTH)


# Day and month


@pytest.mark.parametrize(
    ("dates", "order", "found"),
    [
        (["31/12/1980", "01/02/1980"], "dmy", "dates are read with the day first, as 1 of them prove"),
        (["12/31/1980", "01/02/1980", "02/13/1980"], "mdy", "dates are read with the month first, as 2 of them prove"),
        (["1980-12-31", "1/1/1980"], "", ""),
        (["31/12/1980", "30/12/1980"], "dmy", ""),
    ],
)
def test_the_order_that_the_dates_prove(tmp_path: Path, dates: list[str], order: str, found: str) -> None:
    opened = a_list(tmp_path, "date of birth", *dates)
    (of,) = opened.date_orders.values()
    assert of.order == order
    assert [f.severity for f in of.findings] == ([Severity.NOTE] if found else [])
    assert all(found in f.text for f in of.findings)


def test_what_nobody_can_know_stops(tmp_path: Path) -> None:
    opened = a_list(tmp_path, "date of birth", "01/02/1980", "1/1/1980", "03/04/1981")
    (of,) = opened.date_orders.values()
    assert [(f.severity, f.column, f.count, f.rows) for f in of.findings] == [
        (Severity.STOP, "date of birth", 2, (2, 4))
    ]
    assert values(opened, "birth_date") == [(), ("1980-01-01",), ()]
    stated = a_list(tmp_path, "date of birth", "01/02/1980", map_file=MapFile(date_order="mdy"))
    assert values(stated, "birth_date") == [("1980-01-02",)]
    assert not stated.date_orders[0].findings


def test_two_orders_in_one_column_stop(tmp_path: Path) -> None:
    opened = a_list(tmp_path, "date of birth", "31/12/1980", "12/30/1980", "29/12/1980", "01/02/1980")
    (of,) = opened.date_orders.values()
    assert [(f.severity, f.count, f.rows) for f in of.findings] == [(Severity.STOP, 1, (3,))]
    assert values(opened, "birth_date") == [("1980-12-31",), ("1980-12-30",), ("1980-12-29",), ()]


def test_each_column_has_its_own_order(tmp_path: Path) -> None:
    opened = a_list(tmp_path, "date of birth;registration date", "31/12/1980;12/31/2025", "01/02/1980;01/02/2026")
    assert values(opened, "birth_date")[1] == ("1980-02-01",)
    assert values(opened, "registration_date")[1] == ("2026-01-02",)


# Kept with a private copy


def test_what_is_kept_with_a_list_is_read_back() -> None:
    map_file = MapFile(
        columns={"phone": (("a", ""), ("b", ""))}, constants={"id_type": "tax"}, date_order="dmy", heading_row=3
    )
    for new in (NewRows(), NewRows(since="2026-01-31"), NewRows(column="neu")):
        assert fields.from_json(fields.to_json(map_file, new)) == (map_file, new)


@pytest.mark.parametrize("since", ["2026", "31.01.2026", "2026-13-01", "yesterday"])
def test_new_since_must_be_a_day(since: str) -> None:
    with pytest.raises(InputError, match="is not a day: write it like 2026-01-31"):
        NewRows(since=since)
