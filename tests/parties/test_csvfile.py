"""CSV as programs export it: delimiters, quotes, line ends, encodings; and what is written back."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.csvfile import MAX_CELL_CHARS, CsvList, write_rows
from parties.encodings import MAX_LINE_CHARS
from parties.errors import InputError
from parties.formulas import DELIMITERS
from parties.records import ListOptions, open_list
from parties.sheet import MAX_COLUMNS
from tests.parties.samples import examples, files, write
from tests.parties.test_records import ADDED, cells, refused, with_more


def opened(path: Path, options: ListOptions | None = None) -> CsvList:
    source = open_list(path, options or ListOptions())
    assert isinstance(source, CsvList)
    return source


def read(path: Path) -> list[list[str]]:
    return list(cells(opened(path)).values())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "list.csv"


# What agencies export


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("last", [b"", b"end"])
@pytest.mark.parametrize("delimiter", list(DELIMITERS))
def test_marks_line_ends_and_delimiters(path: Path, mark: bytes, end: bytes, last: bytes, delimiter: str) -> None:
    lines = [["id_number", "name"], ["AB-1", "Анна"], ["AB-2", " Ö  "]]
    text = end.join(delimiter.join(cells).encode() for cells in lines)
    source = opened(write(path, mark + text + (end if last else b"")))
    assert (source.delimiter, source.findings) == (delimiter, ())
    assert list(source.headings) == lines[0]
    assert list(source.rows()) == [(2, lines[1]), (3, lines[2])]


def test_line_ends_of_all_kinds_in_one_file(path: Path) -> None:
    write(path, "id,name\rA,1\nB,2\r\nC,3\r\n\r\nD,4")
    assert cells(opened(path)) == {2: ["A", "1"], 3: ["B", "2"], 4: ["C", "3"], 6: ["D", "4"]}


def test_quotes_with_line_ends_delimiters_and_quotes(path: Path) -> None:
    write(path, 'id,"na\nme"\r\n"a\nb","c,""d"""\r\n"","e\r\nf"\r\n')
    assert opened(path).headings == ("id", "na\nme")
    assert read(path) == [["a\nb", 'c,"d"'], ["", "e\r\nf"]]


def test_a_mark_before_a_quoted_heading(path: Path) -> None:
    write(path, '\ufeff"id\nnumber",name\r\nA,B\r\n')
    assert opened(path).headings == ("id\nnumber", "name")


def test_a_quote_inside_a_cell_is_a_cell(path: Path) -> None:
    assert read(write(path, 'id,size\nA,5" pipe\n')) == [["A", '5" pipe']]


def test_commas_in_cells_do_not_make_a_comma_the_delimiter(path: Path) -> None:
    assert read(write(path, "id;name;note\nA;Anna;a, b, c, d\n")) == [["A", "Anna", "a, b, c, d"]]


def test_delimiters_inside_a_quoted_heading_do_not_count(path: Path) -> None:
    write(path, '"phone, mobile or other, if any";id\n1;2\n')
    assert opened(path).headings == ("phone, mobile or other, if any", "id")


def test_known_headings_tell_the_delimiter_below_a_title_with_others(path: Path) -> None:
    source = opened(write(path, "List, of 2026, draft, 3\n\nGiven name;Phone number\nAnna;067\n"))
    assert (source.delimiter, source.headings) == (";", ("Given name", "Phone number"))


def test_a_stated_delimiter(path: Path) -> None:
    write(path, "a,b;c^d,e;f\n1,2;3^4,5;6\n")
    assert opened(path, ListOptions(delimiter="^")).headings == ("a,b;c", "d,e;f")
    for wrong in ("tab", ",,", '"', "\n", "\r"):
        assert "`delimiter` in the --map file must be one character" in refused(path, ListOptions(delimiter=wrong))


def test_one_column(path: Path) -> None:
    assert read(write(path, "id_number\nA\nB\n")) == [["A"], ["B"]]


def test_blank_rows_are_left_out_and_counted(path: Path) -> None:
    write(path, "id,name\n\nA,1\n,\n\r\n , \nB,2\n,,,,\n\n")
    assert cells(opened(path)) == {3: ["A", "1"], 7: ["B", "2"]}


def test_a_large_cell_up_to_the_limit(path: Path) -> None:
    assert len(read(write(path, "id,note\nA," + "x" * MAX_CELL_CHARS + "\n"))[0][1]) == MAX_CELL_CHARS


# What cannot be used


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        ("A", "1 cell"),
        ("A,B,C", "3 cells"),
        ("A,B,,C", "4 cells"),
        ("x ", "1 cell"),
        ('"A,B"', "1 cell"),
        ("A;B", "1 cell"),
        (",,,B", "4 cells"),
    ],
)
def test_a_row_of_another_length_is_told_by_number(path: Path, row: str, cells: str) -> None:
    write(path, f"id,name\na,b\nc,d\n{row}\ne,f\n")
    assert f", row 4 (line 4): {cells} where the heading has 2." in refused(path)


def test_row_and_line_differ_after_line_ends_in_cells(path: Path) -> None:
    write(path, 'id,name\n\n"a\nb\nc",d\n\ne\n')
    assert ", row 5 (line 7): 1 cell where" in refused(path)


def test_the_first_row_is_looked_at_when_a_list_is_opened(path: Path) -> None:
    write(path, "id,name\nA\n")
    with pytest.raises(InputError, match="row 2"):
        open_list(path)


@pytest.mark.parametrize(
    "content",
    [
        '"id,name\nA,B\nC,D\n',
        'id,name\nA,"B\nC,D\n',
        'id,name\n"A"B,C\n',
        'id,"name"x\nA,B\n',
        "id,name\nA," + "x" * (MAX_CELL_CHARS + 1) + "\n",
        'id,name\nA,"' + "x,y\n" * (MAX_CELL_CHARS // 2),
        '"' + "x,y\n" * (MAX_CELL_CHARS // 2),
    ],
    ids=["lone quote first", "lone quote", "text after a quote", "heading", "huge", "huge quoted", "huge heading"],
)
def test_broken_csv_is_told_by_line(path: Path, content: str) -> None:
    text = refused(write(path, content))
    assert "not proper CSV" in text
    assert "line " in text


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("id,name\nA,B\n" + "," * MAX_COLUMNS, "row 3: it has more than 16,384 cells"),
        ("," * 50_000 + "\nA\n", "row 1: it has more than 16,384 cells"),
        ('id,name\nA,"' + 'x\n","' * 300_000, "row 2: it has more than a million characters"),
        ("id,name\n" + '"' * 1_000_000 + ",B\n", "not proper CSV"),
        ("id,name\nA," + '"' * 1_000_001 + "\n", "not proper CSV"),
        ("id" + ",x" * (MAX_LINE_CHARS - 2) + "\n", "more than a million characters"),
    ],
    ids=["cells", "headings", "quoted lines", "quotes", "odd quotes", "a line"],
)
def test_rows_larger_than_any_sheets_are_refused_before_they_are_held(path: Path, content: str, told: str) -> None:
    assert told in refused(write(path, content))


def test_as_many_columns_as_a_sheet_can_have(path: Path) -> None:
    source = opened(write(path, "x" + "," * (MAX_COLUMNS - 1) + "\n1\n"))
    assert len(source.headings) == MAX_COLUMNS


@pytest.mark.parametrize("text", ["a\ud800", "\udfff"])
def test_halves_of_characters(path: Path, text: str) -> None:
    for encoding, mark in (("utf-8", ""), ("utf-16-le", ""), ("utf-16-le", "\ufeff")):
        write(path, f"{mark}id,name\nA,{text}\n".encode(encoding, "surrogatepass"))
        assert "it has bytes that mean nothing there" in refused(path, ListOptions(encoding=encoding))


def test_a_list_that_changes_while_it_is_read(path: Path) -> None:
    source = opened(write(path, "id,name\nA,B\n"))
    write(path, b"id,name\nA,\xe9\n")
    with pytest.raises(InputError, match="was changed while it was read"):
        list(source.batches())
    path.unlink()
    with pytest.raises(InputError, match="Cannot read"):
        list(source.batches())


# Writing

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


def parse(path: Path, delimiter: str = ",") -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file, delimiter=delimiter, strict=True))


@given(
    st.sampled_from(DELIMITERS),
    st.integers(2, 4).flatmap(lambda n: st.lists(st.lists(texts, min_size=n, max_size=n), min_size=1, max_size=5)),
)
@examples(200)
def test_what_is_written_reads_the_same(tmp_path: Path, delimiter: str, rows: list[list[str]]) -> None:
    path, out = tmp_path / "list.csv", tmp_path / "out.csv"
    headings = [f"h{k}" for k in range(len(rows[0]))]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([headings, ["x"] * len(headings), *rows])
    stated = ListOptions(heading_row=1)  # any row may hold what is a heading elsewhere
    found = opened(path, stated)
    own = cells(found)
    found.write(out, ADDED, with_more(len(own)))
    again = opened(out, stated)
    assert (again.delimiter, again.headings) == (delimiter, (*headings, *ADDED))
    assert cells(again) == {n: [*row, f"yes{k}", "id"] for k, (n, row) in enumerate(own.items())}
    assert all(is_inert(cell) for row in parse(out, delimiter) for cell in row)


def is_inert(cell: str) -> bool:
    """Whether a spreadsheet cannot take a cell for a formula: it begins otherwise, or is a number."""
    return not cell.startswith(tuple("=+-@\t\r\n＝＋－＠")) or cell[1:].replace(" ", "").replace(".", "").isdecimal()


def test_the_sheet_opens_in_excel_as_the_list_did(path: Path, tmp_path: Path) -> None:
    opened(write(path, "id;name\nA;Анна\n")).write(tmp_path / "out.csv", ADDED, with_more(1))
    data = (tmp_path / "out.csv").read_bytes()
    assert data == b"\xef\xbb\xbf" + "id;name;match;matched_on\r\nA;Анна;yes0;id\r\n".encode()


def test_titles_hashtags_and_blank_rows_keep_their_places(path: Path, tmp_path: Path) -> None:
    write(path, "List of 2026\n\nx,y\n#name,#contact+phone\nA,B\n\n,\nC,D\n")
    opened(path).write(tmp_path / "out.csv", ADDED, with_more(2))
    assert parse(tmp_path / "out.csv") == [
        ["List of 2026"],
        [],
        ["x", "y", *ADDED],
        ["#name", "#contact+phone", "", ""],
        ["A", "B", "yes0", "id"],
        [],
        ["", ""],
        ["C", "D", "yes1", "id"],
    ]
    again = opened(tmp_path / "out.csv")
    assert (again.head.row, again.tags) == (3, ("#name", "#contact+phone", "", ""))


@pytest.mark.parametrize(
    ("heading", "row", "read", "written"),
    [
        ("id,name", "A,B,", ["A", "B"], ["A", "B", "yes0", "id"]),
        ("id,name", "A,B,, ,", ["A", "B"], ["A", "B", "yes0", "id"]),
        ("id,name", "A,,", ["A", ""], ["A", "", "yes0", "id"]),
        ("id,name,", "A,B,", ["A", "B", ""], ["A", "B", "", "yes0", "id"]),
        ("id,name,", "A,B", ["A", "B", ""], ["A", "B", "", "yes0", "id"]),
        ("id,name, ,", "A,B,C", ["A", "B", "C", ""], ["A", "B", "C", "", "yes0", "id"]),
    ],
)
def test_blank_cells_too_many_or_too_few_at_the_end(  # noqa: PLR0917
    path: Path, tmp_path: Path, heading: str, row: str, read: list[str], written: list[str]
) -> None:
    found = opened(write(path, f"{heading}\n{row}\n,,,,\n"))
    assert cells(found) == {2: read}
    found.write(tmp_path / "out.csv", ADDED, with_more(1))
    assert parse(tmp_path / "out.csv") == [[*heading.split(","), *ADDED], written, [""] * 5]


FORMULAS = [
    "=1+1",
    "+38(067)",
    "-x",
    "@SUM(A1)",
    "\tx",
    "＝1",
    "＋1+x",
    "－1",
    "＠x",
    "-1+1",
    "+",
    "-",
]
PLAIN = ["+380 67 123 45 67", "-12.50", "+1", "", "a=1", "'=1", "067", "067, +380 67", "a\r\nb\n\nc;\td"]
INSIDE = {
    "x;=1+41": "x;'=1+41",
    "x,@A1|-x": "x,'@A1|'-x",
    " =1": " '=1",
    'x; "=1': "x; \"'=1",
    "x;+1,y": "x;'+1,y",
    "a\n- b\r\n=c": "a\n'- b\r\n'=c",
    "\t=1": "'\t'=1",
    "\r=1": "'\r'=1",
    "\n=1": "'\n'=1",
}
"""Formulas to a spreadsheet that takes another delimiter."""


@pytest.mark.parametrize(
    ("cell", "written"), [*((c, f"'{c}") for c in FORMULAS), *zip(PLAIN, PLAIN, strict=True), *INSIDE.items()]
)
def test_no_cell_becomes_a_live_formula(path: Path, tmp_path: Path, cell: str, written: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id", cell], ["A", cell]])
    stated = ListOptions(delimiter=",", heading_row=1)  # a number is no heading otherwise
    found = opened(path, stated)
    found.write(tmp_path / "out.csv", [f"{cell}!"], iter([[cell]]))
    headings, row = parse(tmp_path / "out.csv")
    assert (headings[:2], row) == (["id", written], ["A", written, written])
    again = opened(tmp_path / "out.csv", stated)
    assert again.headings[:2] == found.headings
    assert cells(again)[2] == [*cells(found)[2], cell.removeprefix("'")]


@given(st.sampled_from(DELIMITERS), st.lists(st.lists(st.text("=+-@;,|\t\r\n\"' 1a", max_size=8), min_size=2)))
@examples(200)
def test_no_cell_becomes_a_formula_under_another_delimiter(delimiter: str, rows: list[list[str]]) -> None:
    file = io.BytesIO()
    write_rows(file, rows, delimiter)
    for other in DELIMITERS:
        seen = csv.reader(io.StringIO(file.getvalue().decode("utf-8-sig"), newline=""), delimiter=other)
        for cell in (cell for row in seen for cell in row):
            begin = re.match(r'[\s"]*[=+\-@][^,;\t|\r\n]*', cell)
            assert begin is None or is_inert(begin[0].strip(' "')), (other, cell)


def test_a_list_that_breaks_while_it_is_written(path: Path, tmp_path: Path) -> None:
    found = opened(write(path, "id,name\n" + "A,B\n" * 5))
    write(path, "id,name\nA,B\nC\n")
    before = files(tmp_path)

    def more() -> Iterator[list[str]]:
        return with_more(5)

    with pytest.raises(InputError, match="row 3"):
        found.write(tmp_path / "out.csv", ADDED, more())
    assert files(tmp_path) == before
