from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from parties import fields
from parties.columns import MapFile
from parties.findings import Finding, Severity
from parties.survey import survey
from tests.parties.test_fields import a_list, values


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
    assert opened.survey.orders == {0: order}
    findings = opened.survey.findings.get(0, ())
    assert [f.severity for f in findings] == ([Severity.NOTE] if found else [])
    assert all(found in f.text for f in findings)


def test_what_nobody_can_know_stops(tmp_path: Path) -> None:
    opened = a_list(tmp_path, "date of birth", "01/02/1980", "1/1/1980", "03/04/1981")
    findings = opened.survey.findings[0]
    assert [(f.severity, f.column, f.count, f.rows) for f in findings] == [(Severity.STOP, "date of birth", 2, (2, 4))]
    assert values(opened, "birth_date") == [(), ("1980-01-01",), ()]
    stated = a_list(tmp_path, "date of birth", "01/02/1980", map_file=MapFile(date_order="mdy"))
    assert values(stated, "birth_date") == [("1980-01-02",)]
    assert not stated.survey.findings


def test_two_orders_in_one_column_stop(tmp_path: Path) -> None:
    opened = a_list(tmp_path, "date of birth", "31/12/1980", "12/30/1980", "29/12/1980", "01/02/1980")
    assert [(f.severity, f.count, f.rows) for f in opened.survey.findings[0]] == [(Severity.STOP, 1, (3,))]
    assert values(opened, "birth_date") == [("1980-12-31",), ("1980-12-30",), ("1980-12-29",), ()]


def test_each_column_has_its_own_order(tmp_path: Path) -> None:
    opened = a_list(tmp_path, "date of birth;registration date", "31/12/1980;12/31/2025", "01/02/1980;01/02/2026")
    assert values(opened, "birth_date")[1] == ("1980-02-01",)
    assert values(opened, "registration_date")[1] == ("2026-01-02",)


def test_filled_cells(tmp_path: Path) -> None:
    assert a_list(tmp_path, "a;b;c", "1; ;", "2;x;\u00a0", ";;z").survey.filled == (2, 1, 1)


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 16_385])
def test_any_size(tmp_path: Path, rows: int) -> None:
    opened = a_list(tmp_path, "id number;date of birth", *(f"0{k:06};13/01/1980" for k in range(rows)))
    assert opened.survey.filled == (rows, rows)
    assert opened.survey.orders == {1: "dmy"}
    assert not opened.survey.findings


@pytest.mark.parametrize(
    ("kinds", "severity", "rows"),
    [
        (["Passport", "tax number", "n/a", ""], None, ()),
        (["Passport", "Паспорт", "membership"], Severity.WARNING, (4,)),
        (["1", "2", "Passport"], Severity.STOP, (2, 3)),
    ],
)
def test_kinds_of_documents_that_nobody_knows(
    tmp_path: Path, kinds: list[str], severity: Severity | None, rows: tuple[int, ...]
) -> None:
    opened = a_list(tmp_path, "id number;id type", *(f"A{k};{kind}" for k, kind in enumerate(kinds)))
    findings = fields.source(opened, "id_number", "", "UA").findings
    assert [(f.severity, f.column, f.rows) for f in findings] == ([(severity, "id type", rows)] if severity else [])


def test_kinds_beside_columns_that_say_theirs_do_not_count(tmp_path: Path) -> None:
    opened = a_list(tmp_path, "passport no;id type", "A1;1", "A2;2")
    assert opened.survey.findings[1]
    assert fields.source(opened, "id_number", "", "UA").findings == ()


def births(folder: Path, *cells: str, heading: str = "date of birth", stated: str = "") -> list[Finding]:
    """What is found of births on the last day of January 2026."""
    opened = a_list(folder, f"{heading};x", *(f"{cell};" for cell in cells))
    found = survey(opened.source, opened.columns, stated, date(2026, 1, 31)).findings.get(0, ())
    return [f for f in found if "lies in the future" in f.text]


@pytest.mark.parametrize(
    ("cells", "stated", "rows"),
    [
        (("1929-05-13", "2026-01-31", "2026-01", "2026", ""), "", ()),
        (("2026-02-01", "1980-01-01", "2026-02", "2027"), "", (2, 4, 5)),
        (("13/05/2029", "05/06/2029", "1/1/1980"), "", (2, 3)),
        (("31/01/1980", "10/01/2026", "01/10/2026"), "", (4,)),
        (("01/31/1980", "10/01/2026", "01/10/2026"), "", (3,)),
        (("10/01/2026", "01/10/2026"), "", ()),
        (("10/01/2026", "01/10/2026"), "dmy", (3,)),
        (("2100-01-01", "2529-01-01", "n/a", "31/02/2029", "13.05.29"), "", ()),
        (tuple(f"20{k}-01-01" for k in range(30, 40)), "", (2, 3, 4, 5, 6)),
    ],
)
def test_births_in_the_future(tmp_path: Path, cells: tuple[str, ...], stated: str, rows: tuple[int, ...]) -> None:
    found = births(tmp_path, *cells, stated=stated)
    assert [(f.severity, f.column, f.rows) for f in found] == ([(Severity.WARNING, "date of birth", rows)] * bool(rows))
    assert all(f.count == (10 if len(cells) == 10 else len(rows)) for f in found)


def test_years_of_birth_in_the_future(tmp_path: Path) -> None:
    (found,) = births(tmp_path, "1929", "2029", "2026", heading="year of birth")
    assert (found.count, found.rows) == (1, (3,))


def test_a_registration_may_lie_in_the_future(tmp_path: Path) -> None:
    assert not births(tmp_path, "2029-01-01", heading="registration date")


def test_the_clock_says_what_the_future_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "utc_now", lambda: datetime(1980, 1, 1, tzinfo=UTC))
    opened = a_list(tmp_path, "date of birth", "01/02/1980", "1979")
    of_date = fields.source(opened, "birth_date", "", "UA").findings
    of_year = fields.source(opened, "birth_year", "", "UA").findings
    assert [(f.severity, f.rows) for f in of_date] == [(Severity.STOP, (2,)), (Severity.WARNING, (2,))]
    assert of_year == of_date[1:]
