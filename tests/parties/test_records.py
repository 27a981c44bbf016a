import csv
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.errors import InputError
from parties.records import DELIMITERS, MAX_CELL_CHARS, SourceList, column_names, open_list, write_list
from parties.rules import Rule
from tests.parties.samples import JARGON, examples, files, write

ID = Rule("id", ("id_number",))


def read(path: Path) -> list[list[str]]:
    return list(open_list(path).rows())


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error:
        read(path)
    text = str(error.value)
    assert str(path) in text
    assert "\n" not in text
    assert not any(word in text for word in JARGON)
    return text


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
    write(path, mark + text + (end if last else b""))
    source = open_list(path)
    assert source.delimiter == delimiter
    assert list(source.headings) == lines[0]
    assert list(source.rows()) == lines[1:]
    assert list(source.rows()) == lines[1:], "a list can be read again"


def test_quotes_with_line_ends_delimiters_and_quotes(path: Path) -> None:
    write(path, 'id,"na\nme"\r\n"a\nb","c,""d"""\r\n"","e\r\nf"\r\n')
    assert open_list(path).headings == ("id", "na\nme")
    assert read(path) == [["a\nb", 'c,"d"'], ["", "e\r\nf"]]


def test_a_mark_before_a_quoted_heading(path: Path) -> None:
    write(path, '\ufeff"id\nnumber",name\r\nA,B\r\n')
    assert open_list(path).headings == ("id\nnumber", "name")
    assert read(path) == [["A", "B"]]


def test_a_quote_inside_a_cell_is_a_cell(path: Path) -> None:
    write(path, 'id,size\nA,5" pipe\n')
    assert read(path) == [["A", '5" pipe']]


def test_commas_in_cells_do_not_make_a_comma_the_delimiter(path: Path) -> None:
    write(path, "id;name;note\nA;Anna;a, b, c, d\n")
    assert read(path) == [["A", "Anna", "a, b, c, d"]]


def test_delimiters_inside_a_quoted_heading_do_not_count(path: Path) -> None:
    write(path, '"phone, mobile or other, if any";id\n1;2\n')
    assert open_list(path).headings == ("phone, mobile or other, if any", "id")


def test_one_column(path: Path) -> None:
    write(path, "id_number\nA\nB\n")
    assert read(path) == [["A"], ["B"]]


def test_blank_lines_are_left_out(path: Path) -> None:
    write(path, "id,name\n\nA,1\n\r\n\nB,2\n\n\n")
    assert read(path) == [["A", "1"], ["B", "2"]]


def test_empty_cells_are_cells(path: Path) -> None:
    write(path, "id,name\n,\n , \n")
    assert read(path) == [["", ""], [" ", " "]]


def test_a_large_cell_up_to_the_limit(path: Path) -> None:
    write(path, "id,note\nA," + "x" * MAX_CELL_CHARS + "\n")
    assert len(read(path)[0][1]) == MAX_CELL_CHARS


# What cannot be used


@pytest.mark.parametrize(
    ("row", "cells"), [("A", 1), ("A,B,C", 3), ("A,B,", 3), (" ", 1), ('"A,B"', 1), ("A;B", 1), (",,,", 4)]
)
def test_a_row_of_another_length_is_told_by_number(path: Path, row: str, cells: int) -> None:
    write(path, f"id,name\na,b\nc,d\n{row}\ne,f\n")
    assert f", row 4 (line 4): {cells} cells where the heading has 2." in refused(path)


def test_row_and_line_differ_after_blank_lines_and_line_ends_in_cells(path: Path) -> None:
    write(path, 'id,name\n\n"a\nb\nc",d\n\ne\n')
    assert ", row 3 (line 7): 1 cells" in refused(path)


def test_the_first_row_is_looked_at_when_a_list_is_opened(path: Path) -> None:
    write(path, "id,name\nA\n")
    with pytest.raises(InputError, match="row 2"):
        open_list(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_unicode_encodings(path: Path, encoding: str) -> None:
    write(path, "id,name\nA,Anna\n".encode(encoding))
    assert "is not UTF-8 text. In Excel choose 'Save as'" in refused(path)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
@pytest.mark.parametrize("text", ["id,prénom\nA,Anna\n", "id,name\nA,André\n", "id,name\n" + "A,B\n" * 9000 + "C,É\n"])
def test_a_western_code_page(path: Path, encoding: str, text: str) -> None:
    write(path, text.encode(encoding))
    assert "is not UTF-8 text" in refused(path)


def test_an_arabic_code_page(path: Path) -> None:
    write(path, "id,الاسم\nA,محمد\n".encode("cp1256"))
    assert "is not UTF-8 text" in refused(path)


def test_nul_bytes_in_the_heading(path: Path) -> None:
    write(path, b"id,na\0me\nA,B\n")
    assert "is not UTF-8 text" in refused(path)


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"PK\x03\x04", "an Excel workbook or a zip archive"),
        (b"PK\x05\x06", "an Excel workbook or a zip archive"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook"),
    ],
)
def test_other_kinds_of_files_are_recognised(path: Path, start: bytes, kind: str) -> None:
    write(path, start + bytes(100))
    assert f"is {kind}. Save the list as CSV (UTF-8)" in refused(path)


@pytest.mark.parametrize("content", ["", "\n", "\r\n\r\n", "\ufeff", ",,\n1,2,3\n", " , \nA,B\n", "\nid,name\nA,B\n"])
def test_without_a_heading(path: Path, content: str) -> None:
    write(path, content)
    assert "has no heading: its first line must name the columns" in refused(path)


@pytest.mark.parametrize("content", ["id,name", "id,name\n", "id,name\r\n\r\n\n"])
def test_only_a_heading(path: Path, content: str) -> None:
    write(path, content)
    assert "has no rows below its heading" in refused(path)


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
    write(path, content)
    text = refused(path)
    assert "not proper CSV" in text
    assert "line " in text


def test_a_lone_quote_in_the_heading_of_a_file_that_is_not_utf8_further_down(path: Path) -> None:
    write(path, b'"id,name\n' + b"A,B\n" * 10_000 + b"C,\xe9\n")
    refused(path)


def test_a_first_line_without_end(path: Path) -> None:
    write(path, b"x" * (MAX_CELL_CHARS + 10))
    refused(path)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.csv").startswith("Cannot read ")
    assert refused(tmp_path).endswith("is not a file.")
    assert refused(Path("/dev/zero")).endswith("is not a file.")
    assert refused(tmp_path / "none" / "list.csv").startswith("Cannot read ")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_an_unreadable_file(path: Path) -> None:
    write(path, "id\nA\n").chmod(0)
    assert refused(path).startswith("Cannot read ")


@given(st.binary(max_size=80))
@examples(300)
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: bytes) -> None:
    try:
        rows = read(write(tmp_path / "list.csv", data))
    except InputError:
        return
    assert rows
    assert len({len(row) for row in rows}) == 1


# Columns


def source(headings: str, path: Path, names: dict[str, str] | None = None) -> SourceList:
    return open_list(write(path, f"{headings}\n{',' * headings.count(',')}x\n"), names or {})


def test_headings_are_found_whatever_their_case_and_spaces(path: Path) -> None:
    found = source("Name, ID_Number ,birth\u00a0 Date,x", path)
    assert found.columns(Rule("r", ("birth date", "id_number"))) == [2, 1]
    assert found.columns(Rule("r", ("  BIRTH DATE", "NAME"))) == [2, 0]


def test_a_missing_column_names_the_field_the_rule_and_all_columns(path: Path) -> None:
    with pytest.raises(InputError) as error:
        source("Name,Phone", path).columns(ID)
    text = str(error.value)
    assert "has no column `id_number`, which the rule `id` needs" in text
    assert "Its columns are: Name, Phone." in text


def test_a_needed_column_twice(path: Path) -> None:
    twice = source("id_number,name,ID_NUMBER ", path)
    with pytest.raises(InputError, match="has more than one column `id_number`"):
        twice.columns(ID)
    assert twice.columns(Rule("r", ("name",))) == [1]


def test_columns_by_other_names(path: Path) -> None:
    found = source("Beneficiary No.,id_number", path, {"id_number": "beneficiary no."})
    assert found.columns(ID) == [0]
    with pytest.raises(InputError, match="has no column `Number`"):
        source("Beneficiary No.,id_number", path, {"id_number": "Number"}).columns(ID)


def test_a_file_of_column_names(path: Path) -> None:
    assert column_names({"columns": {"id_number": "No."}}, path) == {"id_number": "No."}
    wrong: list[dict[str, object]] = [{}, {"columns": []}, {"columns": {"a": 3}}, {"columns": {}, "x": 1}, {"a": "b"}]
    for toml in wrong:
        with pytest.raises(InputError, match=r"must be a \[columns\] table"):
            column_names(toml, path)


# Writing

ADDED = ["match", "matched_on"]
cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


def with_more(rows: int) -> Iterator[list[str]]:
    return ([f"yes{k}", "id"] for k in range(rows))


def parse(path: Path, delimiter: str) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file, delimiter=delimiter, strict=True))


@given(
    st.sampled_from(DELIMITERS),
    st.integers(2, 4).flatmap(lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), min_size=1, max_size=5)),
)
@examples(200)
def test_all_cells_are_kept_in_their_order(tmp_path: Path, delimiter: str, rows: list[list[str]]) -> None:
    path, out = tmp_path / "list.csv", tmp_path / "out.csv"
    headings = [f"h{k}" for k in range(len(rows[0]))]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([headings, *rows])
    found = open_list(path)
    write_list(found, out, ADDED, with_more(len(rows)))
    expected = [[*headings, *ADDED], *([*row, f"yes{k}", "id"] for k, row in enumerate(rows))]
    assert parse(out, delimiter) == expected
    again = open_list(out)
    assert again.delimiter == delimiter
    assert [list(again.headings), *again.rows()] == expected


def test_the_sheet_opens_in_excel_as_the_list_did(path: Path, tmp_path: Path) -> None:
    write(path, "id;name\nA;Анна\n")
    write_list(open_list(path), tmp_path / "out.csv", ADDED, with_more(1))
    data = (tmp_path / "out.csv").read_bytes()
    assert data == b"\xef\xbb\xbf" + "id;name;match;matched_on\r\nA;Анна;yes0;id\r\n".encode()


def test_headings_that_clash_get_a_number(path: Path, tmp_path: Path) -> None:
    write(path, "id, Match ,x\nA,B,C\n")
    write_list(open_list(path), tmp_path / "out.csv", ADDED, with_more(1))
    assert parse(tmp_path / "out.csv", ",")[0] == ["id", " Match ", "x", "match (2)", "matched_on"]


def test_a_result_sheet_of_a_result_sheet_has_no_heading_twice(path: Path, tmp_path: Path) -> None:
    write(path, "id,name\nA,B\n")
    for k in range(3):
        out = tmp_path / f"out{k}.csv"
        write_list(open_list(path), out, ADDED, with_more(1))
        path = out
    headings = parse(path, ",")[0]
    assert len(set(headings)) == len(headings) == 8


@pytest.mark.skipif(os.name != "posix", reason="file modes are a matter of POSIX systems")
@pytest.mark.parametrize("left", [None, "out.csv", "out.csv.part"])
def test_only_the_owner_can_read_it(path: Path, tmp_path: Path, left: str | None) -> None:
    write(path, "id,name\nA,B\n")
    if left:
        write(tmp_path / left, "old").chmod(0o666)
    mask = os.umask(0)
    try:
        write_list(open_list(path), tmp_path / "out.csv", ADDED, with_more(1))
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "out.csv").stat().st_mode) == 0o600
    assert set(files(tmp_path)) == {"list.csv", "out.csv"}


def test_an_earlier_sheet_is_replaced(path: Path, tmp_path: Path) -> None:
    write(path, "id,name\nA,B\n")
    out = write(tmp_path / "out.csv", "old")
    write_list(open_list(path), out, ADDED, with_more(1))
    assert parse(out, ",")[1] == ["A", "B", "yes0", "id"]


def failing(rows: int) -> Iterator[list[str]]:
    yield from with_more(rows)
    raise RuntimeError("the computer went out of memory")


@pytest.mark.parametrize("old", [None, "an earlier result"])
def test_on_failure_nothing_is_changed_or_left_behind(path: Path, tmp_path: Path, old: str | None) -> None:
    found = open_list(write(path, "id,name\n" + "A,B\n" * 5))
    out = tmp_path / "out.csv"
    if old:
        write(out, old)
    before = files(tmp_path)
    with pytest.raises(RuntimeError):
        write_list(found, out, ADDED, failing(3))
    for rows in (4, 6, 0):
        with pytest.raises(ValueError, match="argument"):
            write_list(found, out, ADDED, with_more(rows))
    assert files(tmp_path) == before
    write(path, "id,name\nA,B\nC\n")
    before = files(tmp_path)
    with pytest.raises(InputError, match="row 3"):
        write_list(found, out, ADDED, with_more(5))
    assert files(tmp_path) == before


def test_a_place_that_cannot_be_written(path: Path, tmp_path: Path) -> None:
    found = open_list(write(path, "id,name\nA,B\n"))
    (tmp_path / "folder.csv").mkdir()
    for out in (tmp_path / "none" / "out.csv", tmp_path / "folder.csv", path / "out.csv"):
        with pytest.raises(InputError) as error:
            write_list(found, out, ADDED, with_more(1))
        assert str(error.value).startswith(f"Cannot write {out}: ")
    assert set(files(tmp_path)) == {"list.csv"}
