from pathlib import Path

import pytest

from parties import fields
from parties.columns import MapFile
from parties.errors import InputError
from parties.fields import NewRows, ReadableList, merged, open_list
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


def test_placeholders_among_the_parts_of_a_name(tmp_path: Path) -> None:
    opened = a_list(tmp_path, "first name;middle name;surname", "Olena;N/A;Kovalchuk", "unknown;-;n/a", "Ivan;;unknown")
    assert values(opened, "full_name") == [("olena kovalchuk",), (), ("ivan",)]


def test_a_year_needs_no_order_of_day_and_month(tmp_path: Path) -> None:
    opened = a_list(tmp_path, "date of birth", "01/02/1980", "03/04/1981")
    assert values(opened, "birth_year") == [("1980",), ("1981",)]
    assert fields.source(opened, "birth_year", "", "UA").findings == ()
    assert fields.source(opened, "birth_date", "", "UA").findings != ()


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


# Rows that are new


@pytest.mark.parametrize("since", ["2026", "31.01.2026", "2026-13-01", "yesterday"])
def test_new_since_must_be_a_day(since: str) -> None:
    with pytest.raises(InputError, match="is not a day: write it like 2026-01-31"):
        NewRows(since=since)
