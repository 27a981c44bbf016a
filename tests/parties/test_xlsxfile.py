"""XLSX as Excel and other programs write it: values and sizes; and what is not opened."""

import datetime
import resource
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties import xlsxextent, xlsxparts
from parties.errors import InputError
from parties.records import open_list
from parties.xlsxextent import column_letters, column_number
from tests.parties.samples import examples, files
from tests.parties.test_records import cells, refused
from tests.parties.workbooks import MAIN, SHEET, repacked, row, sheet, unpacked, workbook

HEADINGS = ["Given name", "Phone number"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "list.xlsx"


def save(path: Path, **sheets: list[list[Any]]) -> Path:
    """A workbook with these sheets; one whose name begins with `hidden` is hidden."""
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        page = book.create_sheet(name)
        page.sheet_state = "hidden" if name.startswith("hidden") else "visible"
        for values in rows:
            page.append(values)
    if all(page.sheet_state == "hidden" for page in book.worksheets):
        book.worksheets[0].sheet_state = "visible"
        book.save(path)
        name = "xl/workbook.xml"
        return repacked(path, {name: unpacked(path)[name].replace(b'state="visible"', b'state="hidden"')})
    book.save(path)
    return path


# Values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (" text\nmore ", " text\nmore "),
        (380671234567, "380671234567"),
        (0, "0"),
        (-7, "-7"),
        (12.5, "12.5"),
        (999_999_999_999_999, "999999999999999"),
        (1_234_567_890_123_456, "1.234567890123456E+15"),
        (1e15, "1E+15"),
        (3.8e21, "3.8E+21"),
        (1e-7, "1E-07"),
        (True, "TRUE"),
        (False, "FALSE"),
        (datetime.date(1980, 1, 2), "1980-01-02"),
        (datetime.datetime.fromisoformat("1980-01-02"), "1980-01-02"),
        (datetime.datetime.fromisoformat("1980-01-02T03:04:05"), "1980-01-02T03:04:05"),
        (datetime.time(3, 4, 5), "03:04:05"),
        (datetime.timedelta(days=1, hours=3), "1 day, 3:00:00"),
        ("'=1", "=1"),
    ],
)
def test_values_as_text(path: Path, value: Any, text: str) -> None:
    assert cells(open_list(save(path, a=[HEADINGS, ["x", value]]))) == {2: ["x", text]}


def test_dates_of_the_other_date_system(path: Path) -> None:
    book = openpyxl.Workbook()
    book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    for values in (HEADINGS, ["x", datetime.date(1980, 1, 2)]):
        book.worksheets[0].append(values)
    book.save(path)
    assert cells(open_list(path)) == {2: ["x", "1980-01-02"]}


def test_a_list_in_the_middle_of_a_sheet(path: Path) -> None:
    text = row(4, "", "", *HEADINGS) + row(6, "", "", "Olena", "067") + row(9, "", "", "", "1") + row(10, "", "")
    source = open_list(workbook(path, sheet(text)))
    assert (source.head.row, source.headings) == (4, ("", "", *HEADINGS))
    assert cells(source) == {6: ["", "", "Olena", "067"], 9: ["", "", "", "1"]}


def test_cells_beyond_the_headings_have_a_column_without_heading(path: Path) -> None:
    source = open_list(save(path, a=[HEADINGS, ["Olena", "067", None, "note"]]))
    assert source.headings == (*HEADINGS, "", "")
    assert cells(source) == {2: ["Olena", "067", "", "note"]}


def test_cells_and_rows_that_do_not_say_where_they_are(path: Path) -> None:
    text = "<row><c t='str'><v>x</v></c><c t='str'><v>y</v></c></row><row/><row><c/><c><v>5</v></c></row>"
    assert cells(open_list(workbook(path, sheet(text)))) == {3: ["", "5"]}


KNOWN = [HEADINGS, ["Olena", "067"]]


def test_a_workbook_with_macros_keeps_its_suffix(path: Path) -> None:
    name = "[Content_Types].xml"
    kind = b"application/vnd.ms-excel.sheet.macroEnabled.main+xml"
    content = unpacked(save(path, a=KNOWN))[name]
    plain = b"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"
    assert open_list(repacked(path, {name: content.replace(plain, kind)})).suffix == ".xlsm"


# Size


def large(rows: int) -> Iterator[bytes]:
    yield f'<worksheet xmlns="{MAIN}"><sheetData>{row(1, *HEADINGS)}'.encode()
    for number in range(2, rows + 1):
        yield b'<row r="%d"><c r="A%d"><v>%d</v></c></row>' % (number, number, number)
    yield b"</sheetData></worksheet>"


def test_as_many_rows_as_a_sheet_can_have(path: Path) -> None:
    source = open_list(workbook(path, large(1 << 20)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    numbers = 0
    for batch in source.batches():
        assert batch.columns.column(0).to_pylist() == list(map(str, batch.numbers))
        numbers += len(batch.numbers)
    assert numbers == (1 << 20) - 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "rows are not held as objects"


@pytest.mark.parametrize("reference", ["XFD1048576", "B99999999", "ZZZZZZ2", "xfd1048576", "B" + "9" * 5000])
def test_cells_far_apart_are_refused_before_they_fill_the_memory(path: Path, reference: str) -> None:
    text = row(1, *HEADINGS) + f'<row r="2"><c t="str" r="{reference}"><v>1</v></c></row>'
    assert "has a sheet with cells as far as row" in refused(workbook(path, sheet(text)))


def test_cells_without_places_count_too(path: Path) -> None:
    wide = "<row>" + "<c/>" * 20_000 + "</row>"
    assert "cells as far as row 40005 and column 20000" in refused(
        workbook(path, sheet(wide * 5 + "<row/>" * 20_000 + "<row></row>" * 20_000))
    )


def test_a_bomb_of_zeros(path: Path) -> None:
    bomb = (bytes(1 << 20) for _ in range(80))
    assert "would fill the memory when opened" in refused(workbook(path, bomb))


def test_a_bomb_of_parts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(path, a=KNOWN)
    size = sum(map(len, unpacked(path).values()))
    for name, limit in (("MAX_BYTES", size - 1), ("MAX_PARTS", 3), ("MAX_TABLE_BYTES", 50)):
        with monkeypatch.context() as patch:
            patch.setattr(xlsxparts, name, limit)
            assert "would fill the memory when opened" in refused(path)
    monkeypatch.setattr(xlsxparts, "MAX_BYTES", size)
    assert cells(open_list(path)) == {2: KNOWN[1]}


@pytest.mark.parametrize("field", [16, 20, 24])
def test_a_part_that_is_not_what_the_directory_says(path: Path, field: int) -> None:
    """Check sum, deflated size, inflated size: the last would let a bomb pass for a small part."""
    save(path, a=KNOWN)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(SHEET.encode()))
    value = struct.unpack_from("<I", data, at + field)[0]
    struct.pack_into("<I", data, at + field, value - 1)
    path.write_bytes(data)
    assert "is a damaged workbook" in refused(path)


def shared(path: Path, text: str, rows: int, cell: str = '<c r="A{}" t="s"><v>1</v></c>') -> Path:
    """A list whose cells share a text, as Excel keeps them."""
    texts = (
        f'<sst xmlns="{MAIN}"><si><t>id</t></si><si><t>{text}</t></si><si><r><t>no</t></r><r><t>te</t></r></si></sst>'
    )
    head = '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>2</v></c></row>'
    body = "".join(f'<row r="{n}">{cell.format(n)}</row>' for n in range(2, rows + 2))
    return workbook(path, sheet(head + body), **{"xl/sharedStrings.xml": texts})


def test_shared_texts(path: Path) -> None:
    source = open_list(shared(path, "AB-1", 3))
    assert source.headings == ("id", "note")
    assert cells(source) == {n: ["AB-1", ""] for n in (2, 3, 4)}


@pytest.mark.parametrize(
    "cell", ['<c r="A{}" t="s"><v>1</v></c>', "<c t='s' r='A{}'>\n<v xml:space='preserve'>1</v></c>"]
)
def test_a_bomb_of_shared_texts(path: Path, monkeypatch: pytest.MonkeyPatch, cell: str) -> None:
    shared(path, "x" * 1000, 100, cell)
    monkeypatch.setattr(xlsxextent, "MAX_MEMORY_BYTES", 70_000)
    assert "hold too much text" in refused(path)
    shared(path, "x" * 1000, 20, cell)
    assert len(cells(open_list(path))) == 20


def test_two_parts_of_one_name(path: Path) -> None:
    save(path, a=KNOWN)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(SHEET.upper(), sheet(row(1, "a") + row(2, "b")))
    assert "is a damaged workbook" in refused(path)


@pytest.mark.parametrize(
    "content",
    [
        f'<!DOCTYPE a [<!ENTITY b "c">]>{sheet(row(1, "x") + row(2, "&b;"))}'.encode(),
        f'<?xml version="1.0" encoding="UTF-16"?>{sheet(row(1, "x") + row(2, "y"))}'.encode("utf-16"),
        f'<?xml version="1.0" encoding="UTF-16"?>{sheet(row(1, "x") + row(2, "y"))}'.encode("utf-16-be"),
        f"<?xml version='1.0' encoding='cp1251'?>{sheet(row(1, 'x') + row(2, 'й'))}".encode("cp1251"),
    ],
    ids=["entity", "UTF-16", "UTF-16 without mark", "cp1251"],
)
def test_xml_that_excel_does_not_write(path: Path, content: bytes) -> None:
    assert f"is not written as Excel writes workbooks (part {SHEET})" in refused(workbook(path, content))


def test_a_truncated_file(path: Path) -> None:
    data = save(path, a=KNOWN).read_bytes()
    for end in range(4, len(data), 97):
        path.write_bytes(data[:end])
        refused(path)


@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=4), st.booleans())
@examples(400)
def test_damage_is_told_and_leaves_nothing(tmp_path: Path, damage: list[tuple[int, int]], inside: bool) -> None:
    """Bytes of the file, or of its parts in a file that is whole otherwise."""
    path = save(tmp_path / "list.xlsx", a=[HEADINGS, ["x", 1], ["y", datetime.date(2020, 1, 1)]])
    parts = unpacked(path)
    content = bytearray(b"".join(parts.values()) if inside else path.read_bytes())
    for place, value in damage:
        content[place % len(content)] = value
    if inside:
        repacked(path, {name: bytes(content[at:end]) for name, at, end in slices(parts)})
    else:
        path.write_bytes(content)
    try:
        source = open_list(path)
        source.write(tmp_path / f"out{source.suffix}", ["match"], iter([["yes"]] * len(cells(source))))
    except InputError:
        assert set(files(tmp_path)) <= {"list.xlsx"}
    finally:
        for left in tmp_path.glob("out.*"):
            left.unlink()


def slices(parts: dict[str, bytes]) -> Iterator[tuple[str, int, int]]:
    at = 0
    for name, content in parts.items():
        yield name, at, at + len(content)
        at += len(content)


def test_names_of_columns() -> None:
    names = {1: "A", 26: "Z", 27: "AA", 52: "AZ", 53: "BA", 702: "ZZ", 703: "AAA", 16_384: "XFD"}
    assert {number: column_letters(number) for number in names} == names
    assert all(column_number(column_letters(k)) == k for k in range(16_385))
