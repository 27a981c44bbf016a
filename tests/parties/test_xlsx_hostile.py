"""Workbooks made to end the process, to fill the memory, or to be measured in one part and read in another."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from parties import records, xlsxextent, xlsxfile
from parties.records import ListOptions
from tests.parties.test_records import cells, refused
from tests.parties.workbooks import LINKS, MAIN, PACKAGE, PARTS, row, sheet, workbook

HEAD = row(1, "id", "name")
GOOD = sheet(HEAD + row(2, "a", "b"))
FAR = 'r="XFD900000"'
FAR_AWAY = sheet(HEAD + f"<row r='2'><c {FAR}><v>1</v></c></row>")
SECOND = "xl/worksheets/sheet2.xml"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "list.xlsx"


def two_sheets(links: str = "", names: str = "") -> dict[str, str]:
    """The parts that say which sheet is where, with more of both."""
    book = PARTS["xl/workbook.xml"].replace("</sheets>", f"{names}</sheets>")
    found = PARTS["xl/_rels/workbook.xml.rels"].replace("</Relationships>", f"{links}</Relationships>")
    return {"xl/workbook.xml": book, "xl/_rels/workbook.xml.rels": found}


# Cells that hide


@pytest.mark.parametrize(
    "cell",
    [
        f'<c a=">" {FAR}>',
        f"""<c a="r='A1'" {FAR}>""",
        f'<c x:r="A1" {FAR}>',
        '<c\n\tr\n=\n"XFD900000"\n>',
        f'<c t = "n" a="/>" {FAR} >',
        f"<!-- <c r='A2' a=\" --><c {FAR}>",
        f"<?a <c r=\"A2\" a=' ?><c {FAR}>",
        f'<c a="&quot;&gt;&#34;" {FAR}>',
    ],
)  # fmt: skip
def test_no_cell_hides_from_the_measure(path: Path, cell: str) -> None:
    text = HEAD + f'<row r="2">{cell}<v>1</v></c></row>'
    assert "cells as far as row 900000 and column 1638" in refused(workbook(path, sheet(text)))


LONG = " " * (3 << 20)  # longer than the pieces that a part is read in


@pytest.mark.parametrize(
    ("text", "far"),
    [
        (f'<row r="2"><c x=":row>" {FAR}><v>1</v></c>{LONG}</row>', "row 900000 and column 16384"),
        (f'<row r="2"><c r="A2"/><c x="x:row>" {FAR}><v>1</v></c>{LONG}</row>', "row 900000 and column 16384"),
        (f'<row x=":row>" r="900000000"><c><v>1</v></c>{LONG}</row>', "row 900000000 "),
        (f'<row r="2">{"<c/>" * 9_000}<rowa></rowa>{LONG}{"<c/>" * 9_000}</row>', "row 2 and column 18002"),
    ],
    ids=["a cell's", "another prefix", "a row's", "another element"],
)
def test_no_place_is_cut_in_two(path: Path, text: str, far: str) -> None:
    assert f"cells as far as {far}" in refused(workbook(path, sheet(HEAD + text)))


@pytest.mark.parametrize(
    "text",
    [f'<row r="{place}"><c><v>1</v></c></row>' for place in ("A4000000000", "A2", "2 ", "+2", "", "&#50;")]
    + [f"<row r='2'><c r='{place}'><v>1</v></c></row>" for place in ("2", "A", "A2B", "A 2", "$A$2", "", "&#65;2")],
)
def test_a_place_that_is_none_is_refused(path: Path, text: str) -> None:
    assert "is a damaged workbook" in refused(workbook(path, sheet(HEAD + text)))


def test_no_cell_hides_behind_an_empty_prefix(path: Path) -> None:
    text = f'{HEAD}<row r="2"><:c {FAR}><:v>1</:v></:c></row>'
    assert "cells as far as row 900000" in refused(workbook(path, sheet(text)))


@pytest.mark.parametrize(
    "cell", [f'<c a="<" {FAR}>', f'<c r="A2" {FAR}>', f'<c a="1"{FAR}>', f"<c a=1 {FAR}>", "<c><d></c>", "<c>&a;"]
)
def test_what_is_no_xml_is_refused_before_another_program_reads_it(path: Path, cell: str) -> None:
    assert "is a damaged workbook" in refused(workbook(path, sheet(f'{HEAD}<row r="2">{cell}<v>1</v></c></row>')))


def test_rows_without_a_place_follow_the_furthest(path: Path) -> None:
    text = f'{HEAD}<row r="1048570"/>' + "<row/>" * 10 + "<row><c><v>1</v></c></row>"
    assert "cells as far as row 1048581" in refused(workbook(path, sheet(text)))


def test_cells_without_a_place_follow_the_furthest(path: Path) -> None:
    text = f'{HEAD}<row r="2"><c r="XFD2"/><c><v>1</v></c></row>'
    assert "column 16385" in refused(workbook(path, sheet(text)))


@pytest.mark.parametrize("end", ["<!-- </row> -->", "<![CDATA[</row>]]>", "<?a </row>?>"])
def test_no_end_of_a_row_is_made_up(path: Path, end: str) -> None:
    """Cells without a place would be counted from the beginning again."""
    text = HEAD + f'<row r="2">{("<c/>" * 10_000 + end) * 9}<c><v>1</v></c></row>'
    assert "is a damaged workbook" in refused(workbook(path, sheet(text)))


def test_cells_on_one_another_are_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = HEAD + '<row r="2">' + '<c r="A2"><v>1</v></c>' * 2000 + "</row>"
    assert cells(records.open_list(workbook(path, sheet(text)))) == {2: ["1", ""]}
    monkeypatch.setattr(xlsxextent, "MAX_MEMORY_BYTES", 100_000)
    assert "its cells or rows are too many" in refused(path)


# One part measured, another read


@pytest.mark.parametrize(
    "target",
    ["worksheets/../worksheets/sheet1.xml", "./worksheets/sheet1.xml", "worksheets//sheet1.xml",
     "xl/worksheets/sheet1.xml", "worksheets\\sheet1.xml",
     "worksheets/sheet%31.xml", "../xl/worksheets/sheet1.xml", "WORKSHEETS/sheet1.xml", "worksheets/SHEET1.XML",
     "/worksheets/sheet1.xml", "file:///worksheets/sheet1.xml", "worksheets/sheet1.xml#a", ""],
)  # fmt: skip
def test_a_sheet_is_named_plainly(path: Path, target: str) -> None:
    links = PARTS["xl/_rels/workbook.xml.rels"].replace("worksheets/sheet1.xml", target)
    workbook(path, GOOD, **{"xl/_rels/workbook.xml.rels": links, "xl/xl/worksheets/sheet1.xml": GOOD})
    assert "is a damaged workbook" in refused(path)


@pytest.mark.parametrize("target", ["worksheets/sheet1.xml", "/xl/worksheets/sheet1.xml"])
def test_both_ways_that_programs_write(path: Path, target: str) -> None:
    links = PARTS["xl/_rels/workbook.xml.rels"].replace("worksheets/sheet1.xml", target)
    workbook(path, GOOD, **{"xl/_rels/workbook.xml.rels": links})
    assert cells(records.open_list(path)) == {2: ["a", "b"]}


LINK = f'<Relationship Id="c" Type="{LINKS}/worksheet" Target="worksheets/sheet2.xml"/>'


@pytest.mark.parametrize(
    ("links", "names"),
    [
        (LINK, '<sheet name="LIST" sheetId="2" r:id="c"/>'),
        ("", '<sheet name="Other" sheetId="2" r:id="b"/>'),
        (LINK.replace('"c"', '"b"'), ""),
        (LINK, f'<sheet name="Other" sheetId="2" x:id="b" xmlns:x="{LINKS}" r:id="c"/>'),
        (LINK, '<definedName name="a"><sheet name="Other" sheetId="2" r:id="c"/></definedName>'),
        (LINK, '<sheet name="Other" sheetId="2"/>'),
    ],
    ids=["one name", "one part", "one link", "two links", "a sheet in a name", "no link"],
)
def test_sheets_that_can_be_told_apart_in_two_ways(path: Path, links: str, names: str) -> None:
    parts = two_sheets(links, names.replace("hidden", ""))
    assert "is a damaged workbook" in refused(workbook(path, GOOD, **parts, **{SECOND: FAR_AWAY}))


@pytest.mark.parametrize("part", ["content.xml", "xl/workbook.bin", "XL/WORKBOOK.BIN"])
def test_a_file_of_two_formats(path: Path, part: str) -> None:
    assert "is a damaged workbook" in refused(workbook(path, GOOD, **{part: "x"}))


TEXT = "x" * 30_000


def shared(text: str, name: str = "xl/sharedStrings.xml") -> dict[str, str]:
    return {name: f'<sst xmlns="{MAIN}">{text}</sst>'}


def sharing(cell: str, rows: int = 3000) -> str:
    head = '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="inlineStr"><is><t>name</t></is></c></row>'
    return sheet(head + "".join(f'<row r="{n}">{cell.format(n)}</row>' for n in range(2, rows + 2)))


ONE = '<c r="A{}" t="s"><v>1</v></c>'
LISTED = f"<si><t>id</t></si><si><t>{TEXT}</t></si>"


@pytest.mark.parametrize(
    ("cell", "parts"),
    [
        (ONE, shared(LISTED)),
        (ONE, shared(LISTED, "xl/SHAREDstrings.xml")),
        ('<c a=">" r="A{}" t="s"><v>1</v></c>', shared(LISTED)),
        ('<c r="A{}" t="s"><v>0</v><v>1</v></c>', shared(LISTED)),
        ('<c r="A{}" t="s"><v>0<!-- -->1</v></c>', shared(LISTED)),
        ('<c r="A{}" t="s"><v> 1 </v></c>', shared(LISTED)),
        (ONE, shared(f"<si/><si><t>{TEXT}</t></si>")),
        (ONE, shared(f"<si><t>id</t></si><si><t>{'x<!-- </si> -->' * 30_000}</t></si>")),
        (ONE, shared(f"<!-- <si> --><si><t>id</t></si><si><t>{TEXT}</t></si>")),
    ],
    ids=[
        "plain",
        "case",
        "attribute",
        "two values",
        "comment",
        "spaces",
        "empty text",
        "cut in comments",
        "comment first",
    ],
)
def test_texts_that_cells_share_are_counted(
    path: Path, monkeypatch: pytest.MonkeyPatch, cell: str, parts: dict[str, str]
) -> None:
    """90 MB in cells, in a file of some kilobytes."""
    monkeypatch.setattr(xlsxextent, "MAX_MEMORY_BYTES", 50_000_000)
    assert "hold too much text" in refused(workbook(path, sharing(cell), **parts))


def test_texts_in_one_another_are_refused(path: Path) -> None:
    assert "is a damaged workbook" in refused(workbook(path, sharing(ONE, 3), **shared(f"<si><si/></si>{LISTED}")))


def test_a_text_longer_than_any_cell(path: Path) -> None:
    parts = shared(f"<si><t>id</t></si><si><t>{TEXT * 20}</t></si>")
    assert "hold too much text" in refused(workbook(path, sharing(ONE, 1), **parts))


# Sizes


def many(count: int, text: str) -> str:
    return "".join(text.format(k) for k in range(count))


@pytest.mark.parametrize(
    ("part", "content"),
    [
        ("xl/workbook.xml", PARTS["xl/workbook.xml"].replace("</workbook>", "<a/>" * 5_000_000 + "</workbook>")),
        ("xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{PACKAGE}">{"<a/>" * 5_000_000}</Relationships>'),
        ("xl/styles.xml", f'<styleSheet xmlns="{MAIN}">{"<a/>" * 5_000_000}</styleSheet>'),
    ],
    ids=["workbook", "links", "styles"],
)
def test_a_part_that_is_held_as_a_whole_is_small(path: Path, part: str, content: str) -> None:
    assert f"its part {part} is larger than 16 MB" in refused(workbook(path, GOOD, **{part: content}))


def test_many_sheets_and_links(path: Path) -> None:
    for parts in (
        two_sheets(names=many(10_001, '<sheet name="s{}" sheetId="2" r:id="b"/>')),
        two_sheets(links=many(10_001, '<Relationship Id="r{}" Target="a"/>')),
    ):
        assert "has more than 10,000 sheets or links" in refused(workbook(path, GOOD, **parts))


@pytest.mark.parametrize(
    ("count", "where", "told"),
    [(300_000, "A3:A4", "262,144 ranges"), (3000, "A2:B1048576", "4,194,304 merged cells")],
    ids=["many", "on one another"],
)
def test_merged_cells(path: Path, count: int, where: str, told: str) -> None:
    merges = f'<mergeCell ref="{where}"/>' * count
    rows = f'<row r="2000"><c r="A2000"/></row></sheetData><mergeCells>{merges}</mergeCells>'
    content = GOOD.replace("</sheetData>", rows)
    assert f"has more than {told}" in refused(workbook(path, content))


def sheets(path: Path, count: int, content: str) -> Path:
    """A workbook with so many visible sheets more, all alike."""
    links = many(count, f'<Relationship Id="r{{0}}" Type="{LINKS}/worksheet" Target="worksheets/more{{0}}.xml"/>')
    parts = two_sheets(links, many(count, '<sheet name="s{0}" sheetId="2" r:id="r{0}"/>'))
    return workbook(path, content, **parts, **{f"xl/worksheets/more{k}.xml": content for k in range(count)})


MERGED = "</sheetData><mergeCells>" + '<mergeCell ref="A2:B2"/>' * 9 + "</mergeCells>"


@pytest.mark.parametrize(
    ("count", "content", "told"),
    [
        (8, GOOD.replace("</sheetData>", '<row r="3"><c r="XFD3"/></row></sheetData>'), "131,072 columns together"),
        (4, GOOD.replace("</sheetData>", '<row r="1048576"/></sheetData>'), "4,194,304 rows or"),
        (5, GOOD.replace("</sheetData>", MERGED), "has more than 50 ranges of merged cells"),
        (2, GOOD.replace("</sheetData>", MERGED), "has more than 50 merged cells"),
        (3, sheet(HEAD + row(2, "x" * 40_000)), "hold too much text"),
    ],
    ids=["columns", "rows", "ranges", "merged", "text"],
)
def test_bounds_are_for_all_sheets_together(
    path: Path, monkeypatch: pytest.MonkeyPatch, count: int, content: str, told: str
) -> None:
    monkeypatch.setattr(xlsxextent, "MAX_MERGES", 50)
    monkeypatch.setattr(xlsxfile, "MAX_MERGED", 50)
    if "text" in told:
        monkeypatch.setattr(xlsxextent, "MAX_MEMORY_BYTES", 150_000)
    assert told in refused(sheets(path, count, content))
    assert cells(records.open_list(path, ListOptions(sheet="s1")))


@pytest.mark.parametrize("part", ["xl/styles.xml", "xl/sharedStrings.xml", "xl/theme/theme1.xml"])
@pytest.mark.parametrize(
    "content",
    ["<a>" * 1_000_000 + "</a>" * 1_000_000, f"<a><!--{' ' * (20 << 20)}--></a>", f"<a>{' ' * (20 << 20)}</a>"],
    ids=["deep", "comment", "text"],
)
def test_xml_that_is_deep_or_of_one_piece(path: Path, part: str, content: str) -> None:
    told = refused(workbook(path, GOOD, **{part: content}))
    assert "is a damaged workbook" in told or "is larger than 16 MB" in told


# Values that another program cannot take


@pytest.mark.parametrize(("value", "style"), [("-1e300", 1), ("-1e300", 2), ("99999999999", 2), ("1e400", 2)])
@pytest.mark.parametrize("at", [2, 3])
def test_dates_beyond_all_calendars_are_told_by_row(path: Path, value: str, style: int, at: int) -> None:
    styles = f'<styleSheet xmlns="{MAIN}"><cellXfs><xf/><xf numFmtId="14"/><xf numFmtId="46"/></cellXfs></styleSheet>'
    last = f'<row r="{at}"><c r="A{at}" s="{style}"><v>{value}</v></c></row>'
    content = sheet(HEAD + (row(2, "a", "b") if at > 2 else "") + last)
    told = refused(workbook(path, content, **{"xl/styles.xml": styles}))
    assert f"list.xlsx, row {at} has a date or a length of time" in told or "no visible sheet" in told
    assert value not in told


def test_no_value_is_told_where_a_workbook_is_damaged(path: Path) -> None:
    content = GOOD.replace('t="inlineStr"><is><t>a</t></is>', 't="e"><v>secret</v>')
    assert "secret" not in refused(workbook(path, content))


# Memory

LOOK = """
import re, sys
from pathlib import Path
from parties import records, xlsxextent
from parties.errors import InputError

def memory(what):
    return int(re.search(what + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) << 10

xlsxextent.MAX_MEMORY_BYTES = int(sys.argv[2])
before = memory("VmRSS")
try:
    source = records.open_list(Path(sys.argv[1]))
except InputError:
    print("refused")
else:
    print(memory("VmHWM") - before)
"""
BOUND, OWN = 32_000_000, 24_000_000
"""In place of 4 GB; and what reading takes besides, of any workbook."""


def taken(path: Path, bound: int = BOUND) -> int:
    """Bytes of memory that a process of its own takes to open it within the bound."""
    command = [sys.executable, "-c", LOOK, path, str(bound)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def rectangle(path: Path) -> Path:
    return workbook(path, sheet(f'{HEAD}<row r="495"><c r="ALL495"><v>1</v></c></row>'))


def numbers(path: Path) -> Path:
    return workbook(path, sheet(HEAD + many(200_000, '<row r="2"><c r="A2"><v>1</v></c><c r="B2"><v>1</v></c></row>')))


def inline(path: Path) -> Path:
    return workbook(path, sheet(HEAD + "".join(row(n, "x" * 200) for n in range(2, 80_000))))


def repeated(path: Path) -> Path:
    return workbook(path, sharing(ONE, 1_000), **shared(LISTED))


def listed(path: Path) -> Path:
    return workbook(path, sharing('<c r="A{}" t="s"><v>1</v></c>', 9), **shared("<si><t>id</t></si>" * 400_000))


measured = pytest.mark.skipif(sys.platform != "linux", reason="memory is measured by Linux's own figures")


@measured
def test_a_hundred_thousand_names_take_little(path: Path) -> None:
    names = many(100_000, '<definedName name="n{}">A1</definedName>')
    book = PARTS["xl/workbook.xml"].replace("</workbook>", f"<definedNames>{names}</definedNames></workbook>")
    assert cells(records.open_list(workbook(path, GOOD, **{"xl/workbook.xml": book}))) == {2: ["a", "b"]}
    assert taken(path) < BOUND + OWN


@measured
@pytest.mark.parametrize("make", [rectangle, numbers, inline, repeated, listed])
def test_memory_is_bounded_before_it_is_taken(
    path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Path]
) -> None:
    """What is just within the bound takes no more than it says; with a tenth less it is refused."""
    assert taken(make(path)) < BOUND + OWN
    monkeypatch.setattr(xlsxextent, "MAX_MEMORY_BYTES", BOUND * 9 // 10)
    refused(path)


@measured
def test_a_sheet_that_is_not_the_list_is_not_held(path: Path) -> None:
    content = sheet(f'{HEAD}<row r="1560"><c r="ALL1560"><v>1</v></c></row>')
    assert taken(sheets(path, 3, content), 250_000_000) < 2 * 50_000_000 + OWN, "the best, and the one that is read"
