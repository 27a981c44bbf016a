"""Which sheet of a workbook is the list, and what of its cells and rows a person should know."""

from pathlib import Path
from typing import Any

import openpyxl
import pytest

from parties.findings import Severity
from parties.records import ListOptions, open_list
from tests.parties.test_records import cells, refused
from tests.parties.test_xlsxfile import HEADINGS, KNOWN, save
from tests.parties.workbooks import MAIN, row, sheet, workbook


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "list.xlsx"


# Sheets

OTHER = [["x", "y"], ["1", "2"]]


def test_the_only_visible_sheet_with_rows(path: Path) -> None:
    source = open_list(save(path, hidden1=KNOWN, empty=[], list=OTHER, hidden2=KNOWN))
    assert (source.headings, source.findings) == (("x", "y"), ())


def test_of_several_sheets_the_one_with_known_headings(path: Path) -> None:
    save(path, notes=OTHER, fewer=[["Given name"], ["Olena"]], people=KNOWN)
    (finding,) = open_list(path).findings
    assert (finding.severity, open_list(path).headings) == (Severity.NOTE, tuple(HEADINGS))
    assert "from the sheet `people`; there are also: notes, fewer." in finding.text
    stated = open_list(path, ListOptions(sheet="notes"))
    assert (stated.headings, stated.findings) == (("x", "y"), ())


@pytest.mark.parametrize(
    ("months", "text"),
    [
        (["Jan", "Feb"], "`Jan` and `Feb` both look like the list; state [list] sheet"),
        (["Jan", "Feb", "Mar"], "`Jan`, `Feb` and `Mar` all look like the list; state [list] sheet"),
    ],
)
def test_between_equal_sheets_a_person_decides(path: Path, months: list[str], text: str) -> None:
    save(path, notes=OTHER, **dict.fromkeys(months, KNOWN), hidden1=KNOWN)
    (finding,) = open_list(path).findings
    assert finding.severity is Severity.STOP
    assert finding.text.startswith(text)
    for month in months:
        assert open_list(path, ListOptions(sheet=month)).findings == ()


def test_sheets_without_known_headings_are_not_equals(path: Path) -> None:
    (finding,) = open_list(save(path, one=OTHER, two=OTHER)).findings
    assert (finding.severity, "`one`; there are also: two." in finding.text) == (Severity.NOTE, True)


def test_a_sheet_without_rows_is_no_equal(path: Path) -> None:
    (finding,) = open_list(save(path, form=[HEADINGS], people=KNOWN)).findings
    assert (finding.severity, "`people`; there are also: form." in finding.text) == (Severity.NOTE, True)


def test_a_stated_row_of_headings_tells_the_sheet(path: Path) -> None:
    save(path, first=[*KNOWN, ["x", "y"], ["1", "2"]], second=[*OTHER, *KNOWN])
    source = open_list(path, ListOptions(heading_row=3))
    assert (source.headings, cells(source)) == (tuple(HEADINGS), {4: KNOWN[1]})


@pytest.mark.parametrize("visible", [[], [["Read me"]], [HEADINGS]], ids=["nothing", "a title", "headings"])
def test_a_hidden_sheet_only_when_it_is_stated(path: Path, visible: list[list[Any]]) -> None:
    save(path, shown=visible, hidden1=KNOWN, hidden2=KNOWN)
    told = refused(path)
    assert "no visible sheet with a heading and rows. Its hidden sheets are: hidden1, hidden2." in told
    assert "[list] sheet = " in told
    assert cells(open_list(path, ListOptions(sheet="hidden1"))) == {2: KNOWN[1]}
    assert "has no sheet `list`. Its sheets are: shown, hidden1, hidden2." in refused(path, ListOptions(sheet="list"))
    assert "has no" in refused(path, ListOptions(sheet="shown"))


def test_all_sheets_hidden(path: Path) -> None:
    assert "no visible sheet" in refused(save(path, hidden1=KNOWN))


def test_a_chart_is_no_list(path: Path) -> None:
    book = openpyxl.Workbook()
    book.create_chartsheet("chart")
    book.save(path)
    assert "no visible sheet" in refused(path)
    assert "chart" in refused(path, ListOptions(sheet="chart"))


# Merged cells


def merged(path: Path, rows: list[list[Any]], *ranges: str) -> Path:
    book = openpyxl.Workbook()
    for values in rows:
        book.worksheets[0].append(values)
    for where in ranges:
        book.worksheets[0].merge_cells(where)
    book.save(path)
    return path


def test_a_heading_over_several_columns(path: Path) -> None:
    merged(path, [["Phone", None, None, "Given name"], ["1", "2", "3", "x"]], "A1:C1")
    assert open_list(path).headings == ("Phone", "Phone (2)", "Phone (3)", "Given name")


def test_a_title_over_the_headings(path: Path) -> None:
    source = open_list(merged(path, [["Given name list", None], HEADINGS, ["x", "y"]], "A1:B1"))
    assert (source.head.row, source.headings) == (2, tuple(HEADINGS))


@pytest.mark.parametrize("tags", [[], [["#name+given", "#name+family", "#contact+phone", "#sex"]]])
def test_two_rows_of_headings(path: Path, tags: list[list[Any]]) -> None:
    rows = [["Names", None, "Phone number", "Sex"], ["Given name", "Family name"], *tags, ["a", "b", "c", "d"]]
    source = open_list(merged(path, rows, "A1:B1", "C1:C2"))
    assert (source.head.row, source.headings) == (2, ("Given name", "Family name", "Phone number", "Sex"))
    assert source.tags == tuple(tags[0] if tags else ())
    assert cells(source) == {3 + len(tags): ["a", "b", "c", "d"]}


def test_a_heading_merged_with_blank_cells_below(path: Path) -> None:
    source = open_list(merged(path, [HEADINGS, [None, None], ["x", "y"]], "A1:A2", "B1:B2"))
    assert (source.head.row, cells(source)) == (1, {3: ["x", "y"]})


def test_merged_cells_among_the_rows_are_told(path: Path) -> None:
    rows = [HEADINGS, ["a", "1"], [None, "2"], [None, "3"], ["b", "4"], [None, "5"]]
    source = open_list(merged(path, rows, "A2:A4", "A5:A6"))
    (finding,) = source.findings
    assert (finding.severity, finding.column, finding.count) == (Severity.WARNING, "Given name", 3)
    assert finding.rows == (3, 4, 6)


def test_cells_merged_over_rows_and_columns_are_told_for_each_column(path: Path) -> None:
    source = open_list(merged(path, [HEADINGS, ["a", "1"], [None, None, "x"]], "A2:B3"))
    assert [(f.column, f.rows) for f in source.findings] == [("Given name", (3,)), ("Phone number", (3,))]


# Formulas

CELLS = [
    ('<c r="B2"><f>1+1</f><v>2</v></c>', "2", False),
    ('<c r="B2" t="str"><f>""</f><v></v></c>', "", False),
    ('<c r="B2"><f t="shared" si="0"/><v>3</v></c>', "3", False),
    ('<c r="B2"><f>1+1</f></c>', "", True),
    ('<c s="1" r="B2"><f>A1&amp;"&gt;"</f><v/></c>', "", True),
    ("<c r='B2'>\n<f>1+1</f>\n<v></v>\n</c>", "", True),
    ('<c r="B2"><f t="shared" si="0"/></c>', "", True),
    ('<x:c r="B2"><x:f>1+1</x:f></x:c>', "", True),
]


@pytest.mark.parametrize(("cell", "value", "told"), CELLS)
def test_formulas_have_the_value_that_was_saved(path: Path, cell: str, value: str, told: bool) -> None:
    text = row(1, *HEADINGS).replace("</row>", '<c r="C1"><f>1</f></c></row>')
    text += f'<row r="2"><c r="A2"><v>1</v></c>{cell}</row>'
    if "x:" in cell:
        text = text.replace("<", "<x:").replace("<x:/", "</x:").replace("x:x:", "x:")
        content = f'<x:worksheet xmlns:x="{MAIN}"><x:sheetData>{text}</x:sheetData></x:worksheet>'
    source = open_list(workbook(path, content if "x:" in cell else sheet(text)))
    assert cells(source)[2][1] == value
    assert [(f.severity, f.column, f.count, f.rows) for f in source.findings] == [
        (Severity.STOP, "Phone number", 1, (2,))
    ] * told


ERRORS = """<row r="1"><c r="A1" t="inlineStr"><is><t>Given name</t></is></c><c r="B1" t="e"><v>#REF!</v></c></row>
<row r="2"><c r="A2" t="e"><v>#N/A</v></c><c t='e' r='B2'><f>1/0</f><v>#DIV/0!</v></c></row>
<row r="3"><c r="A3" t="str"><v>e</v></c></row><row r="7"><c s="1" t="e" r="A7"/></row>"""


def test_errors_are_told(path: Path) -> None:
    source = open_list(workbook(path, sheet(ERRORS)))
    assert cells(source) == {3: ["e", ""]}
    named, nameless = source.findings
    assert (named.severity, named.column, named.count, named.rows) == (Severity.WARNING, "Given name", 2, (2, 7))
    assert named.text.startswith("has errors such as #N/A, which are read as empty")
    assert (nameless.severity, nameless.column, nameless.rows) == (Severity.NOTE, "", (2,)), "no rule can use it"
    assert nameless.text.startswith("column B has errors")


def test_a_column_with_a_tag_alone_can_be_used(path: Path) -> None:
    error = '<row r="4"><c r="B4" t="e"><v>#N/A</v></c></row>'
    text = row(1, "Given name") + row(2, "#name+given", "#contact+phone") + row(3, "x") + error
    (finding,) = open_list(workbook(path, sheet(text))).findings
    assert (finding.severity, finding.column, finding.text[:12]) == (Severity.WARNING, "", "column B has")


# Hidden rows


def test_hidden_rows_among_the_data_are_told(path: Path) -> None:
    text = "".join(row(n, "x", str(n)) for n in range(2, 10)) + row(10, "")
    for n in (3, 10):
        text = text.replace(f'<row r="{n}"', f'<row r="{n}" spans="1:2" hidden="1"')
    text = text.replace('<row r="5"', "<row hidden='true' r='5'").replace('<row r="6"', '<row hidden="0" r="6"')
    text = row(1, *HEADINGS).replace("<row", '<row hidden="1"') + text
    columns = '<cols><col min="1" max="1" hidden="1"/></cols><sheetData>'
    source = open_list(workbook(path, sheet(text).replace("<sheetData>", columns)))
    assert list(cells(source)) == list(range(2, 10)), "they take part"
    (finding,) = source.findings
    assert (finding.severity, finding.column, finding.count) == (Severity.WARNING, "", 2)
    assert (finding.rows, "delete them" in finding.text) == ((3, 5), True)


def test_rows_hidden_by_excels_filter(path: Path) -> None:
    book = openpyxl.Workbook()
    for values in (HEADINGS, ["a", "1"], ["b", "2"]):
        book.worksheets[0].append(values)
    book.worksheets[0].row_dimensions[3].hidden = True
    book.save(path)
    assert [finding.rows for finding in open_list(path).findings] == [(3,)]
