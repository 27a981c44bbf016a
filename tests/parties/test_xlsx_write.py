"""Columns more in a workbook: everything else stays as it was, byte for byte."""

import datetime
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.formatting.rule import CellIsRule
from openpyxl.styles import Font, PatternFill
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.table import Table
from python_calamine import load_workbook

from parties.errors import InputError
from parties.records import open_list
from parties.xlsxpatch import patched
from tests.parties.samples import examples, files
from tests.parties.test_records import ADDED, cells, with_more
from tests.parties.workbooks import MAIN, SHEET, row, sheet, unpacked, workbook

ROWS = 40


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "list.xlsx"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.xlsx"


def styled(path: Path) -> Path:
    """What people do with Excel: styles, formulas, merged headings, a table, a filter, rules, a hidden sheet."""
    book = openpyxl.Workbook()
    page = book.worksheets[0]
    page.title = "People"
    page.append(["Winter list"])
    page.append(["Given name", "Phone number", None, "Registered", "Amount", "Twice"])
    for k in range(3, ROWS):
        page.append(
            [f"Olena {k}", 380_671_234_000 + k, f"067 {k}", datetime.date(2026, 1, k % 28 + 1), k / 4, f"=E{k}*2"]
        )
        page.cell(k, 4).number_format = "dd/mm/yyyy"
        page.cell(k, 1).font = Font(bold=True, color="FF0000")
        page.cell(k, 9).fill = PatternFill("solid", "FFFF00")
    page.delete_rows(10)
    page.merge_cells("A1:F1")
    page.merge_cells("B2:C2")
    page.conditional_formatting.add("E3:E39", CellIsRule("greaterThan", ["5"], fill=PatternFill("solid", "00FF00")))
    page.add_data_validation(DataValidation("list", formula1='"a,b"', sqref="A3:A39"))
    page.freeze_panes = "A3"
    page.auto_filter.ref = "A2:F39"
    page.column_dimensions["A"].width = 40
    page.row_dimensions[5].hidden = True
    more = book.create_sheet("Table")
    for values in (["Given", "Code"], ["a", "=People!E3"], ["b", 3]):
        more.append(values)
    more.add_table(Table(displayName="Codes", ref="A1:B3"))
    book.create_sheet("Hidden").sheet_state = "hidden"
    book.save(path)
    return path


def picture(path: Path) -> dict[str, dict[str, tuple[Any, ...]]]:
    """Value or formula, style and format of every cell of every sheet."""
    return {
        page.title: {
            cell.coordinate: (cell.value, cell.style_id, cell.number_format, cell.font.b, cell.fill.fgColor.rgb)
            for cells in page.iter_rows()
            for cell in cells
            if cell.value is not None or cell.has_style
        }
        for page in openpyxl.load_workbook(path).worksheets
    }


def test_everything_but_the_new_cells_is_as_it_was(path: Path, out: Path) -> None:
    source = open_list(styled(path))
    own = cells(source)
    assert (source.head.row, len(own)) == (2, ROWS - 4)
    source.write(out, ADDED, with_more(len(own)))
    before, after = picture(path), picture(out)
    new = {name: set(after[name]) - set(before[name]) for name in before}
    assert {name: {k: after[name][k] for k in before[name]} for name in before} == before
    assert new == {"Table": set(), "Hidden": set(), "People": {f"{c}{n}" for n in (2, *own) for c in "JK"}}
    assert [after["People"][f"{c}{n}"][0] for n in (2, 3, 4) for c in "JK"] == [*ADDED, "yes0", "id", "yes1", "id"]
    parts, written = unpacked(path), unpacked(out)
    assert list(parts) == list(written)
    assert {name for name in parts if parts[name] != written[name]} == {SHEET}
    rest = re.sub(rb'<c r="[JK]\d+" t="inlineStr">.*?</c>', b"", written[SHEET])
    assert rest == re.sub(rb'(<dimension ref="A1:)I', rb"\1K", parts[SHEET])
    page = load_workbook(out).get_sheet_by_name("People")
    old = load_workbook(path).get_sheet_by_name("People")
    for now, then in zip(page.iter_rows(), old.iter_rows(), strict=True):
        assert now[: len(then)] == then
    again = open_list(out)
    assert {n: [*row[:6], *row[9:]] for n, row in cells(again).items()} == {
        n: [*row, f"yes{k}", "id"] for k, (n, row) in enumerate(own.items())
    }


def written(
    path: Path, out: Path, content: str, cells: Sequence[Sequence[str]], headings: Sequence[str] = ADDED
) -> str:
    """The sheet's XML after cells were added."""
    open_list(workbook(path, content)).write(out, headings, iter(cells))
    return unpacked(out)[SHEET].decode()


def added(where: str, text: str, prefix: str = "") -> str:
    p = prefix
    return f'<{p}c r="{where}" t="inlineStr"><{p}is><{p}t xml:space="preserve">{text}</{p}t></{p}is></{p}c>'


def test_a_sheet_with_a_prefix_spans_and_a_dimension(path: Path, out: Path) -> None:
    content = (
        f"<?xml version='1.0' encoding='utf-8'?>\n<x:worksheet xmlns:x='{MAIN}'><x:dimension ref='A1:A3'/>"
        '<x:sheetData><x:row spans="1:1" r="1" ht=">"><x:c r="A1" t="str"><x:v>id</x:v></x:c></x:row><x:row r="2" '
        "spans='1:1'/>"
        '<!-- </x:row> --><x:row r="3" spans="1:1" >\n<x:c r="A3"><x:v>1</x:v></x:c>\n</x:row></x:sheetData>'
        '<x:controls><xdr:row xmlns:xdr="d">3</xdr:row><x:row/></x:controls></x:worksheet>'
    )
    expected = (
        content.replace("'A1:A3'", '"A1:C3"').replace('spans="1:1" r="1"', 'r="1"').replace('"3" spans="1:1" ', '"3" ')
    )
    expected = expected.replace(
        "id</x:v></x:c>", "id</x:v></x:c>" + added("B1", "match", "x:") + added("C1", "on", "x:")
    )
    expected = expected.replace("</x:c>\n", "</x:c>\n" + added("B3", "yes", "x:") + added("C3", "a", "x:"))
    assert written(path, out, content, [["yes", "a"]], ["match", "on"]) == expected


def test_rows_that_do_not_say_their_number(path: Path, out: Path) -> None:
    plain = "<row><c t='str'><v>{}</v></c></row>"
    content = sheet(plain.format("id") + "<row/>" + plain.format("a"))
    text = written(path, out, content, [["yes"]], ["match"])
    places = re.findall(r' r="([A-Z]+)(\d)"', text)
    assert [number for _, number in places] == ["1", "3"]
    assert content == re.sub(r'<c r="[A-Z]\d" t="inlineStr">.*?</c>', "", text)
    assert [[cell for cell in values if cell] for values in cells(open_list(out)).values()] == [["a", "yes"]]


@pytest.mark.parametrize("ref", ["A1", "A1:B2", "A1:Z9"])
def test_the_dimension_is_widened(path: Path, out: Path, ref: str) -> None:
    content = sheet(row(1, "id", "x") + row(2, "a", "b"))
    content = content.replace("<sheetData>", f'<dimension ref="{ref}"/><sheetData>')
    text = written(path, out, content, [["yes", ""]])
    assert f'<dimension ref="{ {"A1": "A1:D1", "A1:B2": "A1:D2", "A1:Z9": "A1:Z9"}[ref] }"/>' in text
    assert "D2" not in text.replace(":D2", ""), "an empty cell is left out"


def test_columns_right_of_styled_and_merged_cells(path: Path, out: Path) -> None:
    content = sheet(row(1, "id") + row(2, "a") + '<row r="9"><c r="AB9" s="0"/></row>')
    assert added("AC2", "yes0") in written(path, out, content, list(with_more(1)))
    content = content.replace("</sheetData>", '</sheetData><mergeCells><mergeCell ref="A5:AZ5"/></mergeCells>')
    assert added("BA2", "yes0") in written(path, out, content, list(with_more(1)))


def test_no_room(path: Path, out: Path) -> None:
    content = sheet(row(1, "id") + row(2, "a") + '<row r="3"><c r="XFC3" s="0"/></row>')
    assert added("XFD2", "yes") in written(path, out, content, [["yes"]], ["match"])
    out.unlink()
    with pytest.raises(InputError, match="no room for the result's columns"):
        written(path, out, content, list(with_more(1)))
    assert set(files(path.parent)) == {"list.xlsx"}


@pytest.mark.parametrize("rows", [row(3, "a") + row(1, "id"), row(1, "id") + row(3, "a") + row(2, "b")])
def test_rows_out_of_order(path: Path, out: Path, rows: str) -> None:
    source = open_list(workbook(path, sheet(rows)))
    with pytest.raises(InputError, match=r"list\.xlsx has rows that are not in their order"):
        source.write(out, ADDED, with_more(len(cells(source))))
    assert set(files(path.parent)) == {"list.xlsx"}


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@x", "<&>", "]]>", " a ", "a\nb\tc", "\r", "\x00\x1f", "_x0041_", "🙂"]
)
def test_any_text_is_text(path: Path, out: Path, text: str) -> None:
    written(path, out, sheet(row(1, "id") + row(2, "a")), [[text]], ["match"])
    assert load_workbook(out).get_sheet_by_index(0).to_python()[1] == ["a", text]
    assert openpyxl.load_workbook(out).worksheets[0]["B2"].data_type != "f" or text.startswith("=")
    assert "<f" not in unpacked(out)[SHEET].decode()


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff"), min_size=1, max_size=6),
        min_size=1,
        max_size=4,
    )
)
@examples(100)
def test_any_text_reads_the_same(tmp_path: Path, texts: list[str]) -> None:
    rows = "".join(row(k, "a") for k in range(2, len(texts) + 2))
    written(tmp_path / "list.xlsx", tmp_path / "out.xlsx", sheet(row(1, "id") + rows), [[t] for t in texts], ["match"])
    assert load_workbook(tmp_path / "out.xlsx").get_sheet_by_index(0).to_python()[1:] == [["a", t] for t in texts]


@given(st.integers(1, 30), st.integers(1, 200), st.integers(1, 40))
@examples(60)
def test_pieces_of_any_size_give_the_same(rows: int, size: int, width: int) -> None:
    content = sheet("".join(row(k, "x", "y" * (k % 7)) for k in range(1, rows + 1))).replace(
        "<row ", '<row spans="1:2" '
    )
    content = content.replace("<sheetData>", '<dimension ref="A1:B9"/><sheetData>')
    data = content.encode()

    def spliced(step: int) -> bytes:
        targets = iter([(k, ["z"] * width) for k in range(1, rows + 1, 2)])
        return b"".join(patched((data[k : k + step] for k in range(0, len(data), step)), Path("x"), 2, width, targets))

    whole = spliced(len(data))
    assert spliced(size) == whole
    assert whole.count(b">z<") == width * len(range(1, rows + 1, 2))


def test_a_large_sheet_is_written_in_pieces(path: Path, out: Path) -> None:
    rows = (row(k, f"a{k}", "b" * 50).encode() for k in range(2, 30_001))
    head = f'<worksheet xmlns="{MAIN}"><sheetData>{row(1, "id", "x")}'.encode()
    source = open_list(workbook(path, (head, *rows, b"</sheetData></worksheet>")))
    source.write(out, ADDED, with_more(29_999))
    found = cells(open_list(out))
    assert found[2] == ["a2", "b" * 50, "yes0", "id"]
    assert found[30_000] == ["a30000", "b" * 50, "yes29998", "id"]


def test_stored_parts_and_dates_of_parts_stay(path: Path, out: Path) -> None:
    workbook(path, sheet(row(1, "id") + row(2, "a")))
    picture = zipfile.ZipInfo("xl/media/bild ü.png", (2020, 1, 2, 3, 4, 6))
    properties = "<!DOCTYPE a><a/>".encode("utf-16")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(picture, bytes(range(256)))
        archive.writestr("customXml/item1.xml", properties)
    open_list(path).write(out, ADDED, with_more(1))
    with zipfile.ZipFile(out) as archive:
        part = archive.getinfo(picture.filename)
        assert (part.compress_type, part.date_time) == (zipfile.ZIP_STORED, picture.date_time)
        assert archive.read(part) == bytes(range(256))
        assert archive.read("customXml/item1.xml") == properties
