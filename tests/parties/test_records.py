"""What lists of every format have in common: recognised by content, headings found, batches, writing."""

import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties import sheet
from parties.errors import InputError
from parties.records import ListOptions, SourceList, open_list
from tests.parties.samples import JARGON, examples, files, write

Rows = list[list[str]]
Make = Callable[[Path, Rows], Path]
ADDED = ["match", "matched_on"]


def csv_file(folder: Path, rows: Rows) -> Path:
    return write(folder / "list.csv", "".join(",".join(row) + "\n" for row in rows))


def xlsx_file(folder: Path, rows: Rows) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append([cell or None for cell in row])
    book.save(folder / "list.xlsx")
    return folder / "list.xlsx"


@pytest.fixture(params=[csv_file, xlsx_file], ids=["csv", "xlsx"])
def make(request: pytest.FixtureRequest) -> Make:
    return request.param  # type: ignore[no-any-return]


def cells(source: SourceList, batch_rows: int = 1 << 14) -> dict[int, list[str]]:
    """Row numbers and cells, by way of the batches."""
    return {
        number: list(row)
        for batch in source.batches(batch_rows)
        for number, *row in zip(batch.numbers.tolist(), *(c.to_pylist() for c in batch.columns), strict=True)
    }


def refused(path: Path, options: ListOptions | None = None) -> str:
    with pytest.raises(InputError) as error:
        list(open_list(path, options or ListOptions()).batches())
    text = str(error.value)
    assert str(path) in text
    assert "\n" not in text
    assert not any(word in text for word in JARGON)
    return text


def with_more(rows: int) -> Iterator[list[str]]:
    return ([f"yes{k}", "id"] for k in range(rows))


# Headings

TITLE = ["Beneficiary list", "", ""]
HEADINGS = ["Given name", "Phone number", "My note"]
BLANK = ["", "", ""]
DATA = ["Olena", "067", "a"]


@pytest.mark.parametrize(
    ("above", "row"), [([], 1), ([TITLE], 2), ([BLANK, TITLE, BLANK], 4), ([TITLE, ["a", "b", "c"]] * 9, 19)]
)
def test_headings_are_found_below_titles(make: Make, tmp_path: Path, above: Rows, row: int) -> None:
    source = open_list(make(tmp_path, [*above, HEADINGS, DATA]))
    assert (source.head.row, source.headings, source.tags) == (row, tuple(HEADINGS), ())
    assert cells(source) == {row + 1: DATA}
    told = [finding.text for finding in source.findings if "heading" in finding.text]
    assert len(told) == (row > 1)
    assert all(f"from row {row}" in text and "heading_row = …" in text for text in told)


def test_headings_that_nobody_knows_are_in_the_first_filled_row(make: Make, tmp_path: Path) -> None:
    source = open_list(make(tmp_path, [BLANK, ["x", "y", "z"], DATA]))
    assert (source.head.row, source.headings) == (2, ("x", "y", "z"))


def test_headings_are_not_looked_for_further_down(make: Make, tmp_path: Path) -> None:
    assert open_list(make(tmp_path, [["x", "y", "z"], *[DATA] * 19, HEADINGS])).head.row == 1


@pytest.mark.parametrize("row", [2, 30])
def test_a_stated_row_of_headings(make: Make, tmp_path: Path, row: int) -> None:
    path = make(tmp_path, [HEADINGS] * (row - 1) + [["p", "q", "r"], DATA])
    source = open_list(path, ListOptions(heading_row=row))
    assert (source.headings, source.findings) == (("p", "q", "r"), ())
    assert cells(source) == {row + 1: DATA}


@pytest.mark.parametrize("row", [-1, 2, 5, 1 << 40])
def test_a_stated_row_without_headings(make: Make, tmp_path: Path, row: int) -> None:
    path = make(tmp_path, [HEADINGS, BLANK, DATA])
    assert f"has no headings in row {row}" in refused(path, ListOptions(heading_row=row))


@pytest.mark.parametrize(
    "cell",
    [
        *("1980-01-31", "31.01.1980", "1/2/1980", "13.05.85", "1980-01-31T00:00:00", "31 Jan 1980", "31 січня 1980"),
        *("380671234567", "+380 67 123 45 67", "(067) 123-45-67", "380671234567.0", "AB 123456", "КВ123456", "٠٦٧١٢٣٤"),
    ],
)
def test_a_person_in_place_of_headings(make: Make, tmp_path: Path, cell: str) -> None:
    path = make(tmp_path, [BLANK, ["Olena", cell, ""], DATA])
    told = refused(path)
    assert "row 2 looks like a person and not like headings" in told
    assert "Olena" not in told
    assert cell not in told
    assert open_list(path, ListOptions(heading_row=2)).headings == ("Olena", cell, "")


@pytest.mark.parametrize("cell", ["2026", "Jan 2026", "Q1 2026", "Phone 12345", "a1b2c3d4e5f6", "Question 123456"])
def test_headings_with_numbers(make: Make, tmp_path: Path, cell: str) -> None:
    assert open_list(make(tmp_path, [["x", cell, ""], DATA])).head.row == 1


def test_a_number_beside_a_known_heading_or_above_tags(make: Make, tmp_path: Path) -> None:
    assert open_list(make(tmp_path, [["Given name", "123456", ""], DATA])).headings[1] == "123456"
    assert open_list(make(tmp_path, [["x", "123456", ""], TAGS, DATA])).headings[1] == "123456"


def test_the_delimiter_is_found_where_headings_are_missing(tmp_path: Path) -> None:
    assert "row 1 looks like a person" in refused(write(tmp_path / "list.csv", "Olena;1980-01-31\nAmina;1981-01-31\n"))


TAGS = ["#name+given", "#contact+phone", ""]


@pytest.mark.parametrize("above", [0, 1])
def test_hashtags_below_the_headings_are_not_data(make: Make, tmp_path: Path, above: int) -> None:
    source = open_list(make(tmp_path, [*[TITLE] * above, ["x", "y", "z"], TAGS, DATA]))
    assert (source.head.row, source.headings, source.tags) == (above + 1, ("x", "y", "z"), tuple(TAGS))
    assert cells(source) == {above + 3: DATA}


def test_hashtags_alone_are_the_headings(make: Make, tmp_path: Path) -> None:
    source = open_list(make(tmp_path, [TAGS, DATA]))
    assert (source.headings, source.tags) == (tuple(TAGS), tuple(TAGS))
    assert cells(source) == {2: DATA}


@pytest.mark.parametrize("rows", [[], [BLANK], [BLANK, [" ", " ", " "]]])
def test_without_headings(make: Make, tmp_path: Path, rows: Rows) -> None:
    assert any(text in refused(make(tmp_path, rows)) for text in ("has no heading", "with a heading", "is empty"))


@pytest.mark.parametrize("rows", [[HEADINGS], [HEADINGS, BLANK], [TITLE, HEADINGS, TAGS]])
def test_only_headings(make: Make, tmp_path: Path, rows: Rows) -> None:
    assert "has no rows below its heading" in refused(make(tmp_path, rows))


# Batches


def test_batches_are_short_and_can_be_read_again(make: Make, tmp_path: Path) -> None:
    rows = [[f"a{k}", "", "c"] for k in range(10)]
    source = open_list(make(tmp_path, [HEADINGS, *rows[:4], BLANK, *rows[4:]]))
    expected = dict(zip([2, 3, 4, 5, 7, 8, 9, 10, 11, 12], rows, strict=True))
    assert cells(source, 3) == cells(source) == expected
    assert [len(batch.numbers) for batch in source.batches(3)] == [3, 3, 3, 1]
    batch = next(source.batches())
    assert batch.numbers.dtype == "int64"
    assert batch.columns.schema.names == HEADINGS
    assert {str(column.type) for column in batch.columns} == {"string"}
    assert not any(column.null_count for column in batch.columns)


@pytest.mark.parametrize("cell", ["'=1+1", "'+380 (67)", "'-x", "'@x", "'\uff1dx"])
def test_an_apostrophe_against_formulas_is_not_of_the_value(make: Make, tmp_path: Path, cell: str) -> None:
    source = open_list(make(tmp_path, [["id", cell], ["'Amina", cell], ["''=", f"x{cell}"]]))
    assert source.headings == ("id", cell[1:])
    assert cells(source) == {2: ["'Amina", cell[1:]], 3: ["''=", f"x{cell}"]}


# What a file is


def test_a_name_that_does_not_fit_the_content(tmp_path: Path) -> None:
    sheet = xlsx_file(tmp_path, [HEADINGS, DATA]).rename(tmp_path / "sheet.csv")
    text = csv_file(tmp_path, [HEADINGS, DATA]).rename(tmp_path / "text.xlsx")
    for path, suffix, kind in ((sheet, ".xlsx", "an Excel workbook"), (text, ".csv", "CSV")):
        source = open_list(path)
        assert (source.suffix, cells(source)) == (suffix, {2: DATA})
        assert [f"but is {kind}" in finding.text for finding in source.findings] == [True]
        source.write(tmp_path / f"out{suffix}", ADDED, with_more(1))
        assert list(cells(open_list(tmp_path / f"out{suffix}")).values()) == [[*DATA, "yes0", "id"]]


@pytest.mark.parametrize("name", ["list.csv", "list.tsv", "list.TXT"])
def test_usual_names_of_text(tmp_path: Path, name: str) -> None:
    source = open_list(csv_file(tmp_path, [HEADINGS, DATA]).rename(tmp_path / name))
    assert (source.suffix, source.findings) == (name[4:].lower(), ())


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"%PDF-1.7\n", "a PDF"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook"),
        (b"\xd0\xcf\x11\xe0" + bytes(5000) + "EncryptedPackage".encode("utf-16-le"), "protected by a password"),
        (b"\xef\xbb\xbf <html><table>", "a web page or XML"),
        (b'<?xml version="1.0"?><Workbook>', "a web page or XML"),
    ],
)
@pytest.mark.parametrize("name", ["list.csv", "list.xlsx"])
def test_other_kinds_of_files_are_recognised(tmp_path: Path, name: str, start: bytes, kind: str) -> None:
    assert f"is {kind}" in refused(write(tmp_path / name, start + bytes(100)))


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["mimetype", "content.xml"], "an OpenDocument file"),
        (["[Content_Types].xml", "xl/workbook.bin"], "a binary Excel workbook"),
        (["[Content_Types].xml", "word/document.xml"], "a zip archive, not a workbook"),
        ([], "a zip archive, not a workbook"),
    ],
)
def test_other_archives(tmp_path: Path, names: list[str], kind: str) -> None:
    with zipfile.ZipFile(tmp_path / "list.xlsx", "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    assert f"is {kind}" in refused(tmp_path / "list.xlsx")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.csv").startswith("Cannot read ")
    assert refused(tmp_path).endswith("is not a file.")
    assert refused(Path("/dev/zero")).endswith("is not a file.")
    assert refused(tmp_path / "none" / "list.csv").startswith("Cannot read ")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_an_unreadable_file(make: Make, tmp_path: Path) -> None:
    path = make(tmp_path, [HEADINGS, DATA])
    path.chmod(0)
    assert refused(path).startswith("Cannot read ")


@given(st.binary(max_size=80), st.sampled_from([b"", b"PK\x03\x04", b"PK\x05\x06", b"\xff\xfe", b"\xd0\xcf\x11\xe0"]))
@examples(300)
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: bytes, start: bytes) -> None:
    try:
        rows = cells(open_list(write(tmp_path / "list.csv", start + data)))
    except InputError:
        return
    assert rows
    assert all(a < b for a, b in pairwise(rows))
    assert len({len(row) for row in rows.values()}) == 1


# Writing


def test_headings_that_clash_get_a_number(make: Make, tmp_path: Path) -> None:
    path = make(tmp_path, [["id", " Match ", "x"], DATA])
    for k in range(3):
        source = open_list(path)
        path = tmp_path / f"out{k}{source.suffix}"
        source.write(path, ADDED, with_more(1))
    headings = open_list(path).headings
    assert headings[:5] == ("id", " Match ", "x", "match (2)", "matched_on")
    assert len(set(headings)) == len(headings) == 9


def test_another_format_is_refused(make: Make, tmp_path: Path) -> None:
    source = open_list(make(tmp_path, [HEADINGS, DATA]))
    before = files(tmp_path)
    for name in ("out.ods", "out", "out.csv" if source.suffix == ".xlsx" else "out.xlsx"):
        with pytest.raises(InputError, match=rf"{name} must end in \{source.suffix}"):
            source.write(tmp_path / name, ADDED, with_more(1))
    assert files(tmp_path) == before


@pytest.mark.skipif(os.name != "posix", reason="file modes are a matter of POSIX systems")
@pytest.mark.parametrize("left", [None, "out"])
def test_only_the_owner_can_read_it(make: Make, tmp_path: Path, left: str | None) -> None:
    source = open_list(make(tmp_path, [HEADINGS, DATA]))
    out = tmp_path / f"out{source.suffix}"
    if left:
        write(out, "old").chmod(0o666)
    mask = os.umask(0)
    try:
        source.write(out, ADDED, with_more(1))
    finally:
        os.umask(mask)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert set(files(tmp_path)) == {source.path.name, out.name}
    assert cells(open_list(out)) == {2: [*DATA, "yes0", "id"]}, "an earlier sheet is replaced"


def test_two_writers_of_one_file_do_not_meet(make: Make, tmp_path: Path) -> None:
    """Each writes a file of its own; the last to end has the name, and no half of the other's is in it."""
    source = open_list(make(tmp_path, [HEADINGS, *[DATA] * 3]))
    out = tmp_path / f"out{source.suffix}"

    def interrupted() -> Iterator[list[str]]:
        yield from with_more(2)
        source.write(out, ["other"], iter([["no"]] * 3))
        assert open_list(out).headings == (*HEADINGS, "other")
        yield ["yes2", "id"]

    source.write(out, ADDED, interrupted())
    assert cells(open_list(out)) == {k + 2: [*DATA, f"yes{k}", "id"] for k in range(3)}
    assert set(files(tmp_path)) == {source.path.name, out.name}


@pytest.mark.skipif(os.name != "posix", reason="links are a matter of POSIX systems")
@pytest.mark.parametrize("name", ["out{}", "out{}.part"])
def test_a_link_that_somebody_planted_is_not_followed(make: Make, tmp_path: Path, name: str) -> None:
    source, precious = open_list(make(tmp_path, [HEADINGS, DATA])), write(tmp_path / "precious", "kept")
    (tmp_path / name.format(source.suffix)).symlink_to(precious)
    source.write(tmp_path / f"out{source.suffix}", ADDED, with_more(1))
    assert precious.read_text() == "kept"
    assert cells(open_list(tmp_path / f"out{source.suffix}")) == {2: [*DATA, "yes0", "id"]}


def test_batches_of_long_rows_are_short(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "BATCH_CHARS", 250)
    source = open_list(make(tmp_path, [HEADINGS, *[["x" * 98, "y", "z"]] * 7]))
    assert [len(batch.numbers) for batch in source.batches()] == [3, 3, 1]


def failing(rows: int) -> Iterator[list[str]]:
    yield from with_more(rows)
    raise RuntimeError("the computer went out of memory")


@pytest.mark.parametrize("old", [None, "an earlier result"])
def test_on_failure_nothing_is_changed_or_left_behind(make: Make, tmp_path: Path, old: str | None) -> None:
    source = open_list(make(tmp_path, [HEADINGS, *[DATA] * 5]))
    out = tmp_path / f"out{source.suffix}"
    if old:
        write(out, old)
    before = files(tmp_path)
    with pytest.raises(RuntimeError):
        source.write(out, ADDED, failing(3))
    for rows in (4, 6, 0):
        with pytest.raises(ValueError, match=r"argument|cells than rows"):
            source.write(out, ADDED, with_more(rows))
    assert files(tmp_path) == before


def test_a_place_that_cannot_be_written(make: Make, tmp_path: Path) -> None:
    source = open_list(make(tmp_path, [HEADINGS, DATA]))
    (tmp_path / f"folder{source.suffix}").mkdir()
    for out in (tmp_path / "none" / "out", tmp_path / "folder", source.path / "out"):
        path = out.with_suffix(source.suffix)
        with pytest.raises(InputError) as error:
            source.write(path, ADDED, with_more(1))
        assert f"{path}" in str(error.value)
        assert str(error.value).startswith("Cannot write ") or "there is no folder" in str(error.value)
    assert set(files(tmp_path)) == {source.path.name}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_list(make(tmp_path, [HEADINGS, *[DATA] * 5]))
    real = os.open
    monkeypatch.setattr(
        os,
        "open",
        lambda path, flags, mode=0o777: real("/dev/full", os.O_RDWR) if mode == 0o600 else real(path, flags, mode),
    )
    with pytest.raises(InputError, match="Cannot write"):
        source.write(tmp_path / f"out{source.suffix}", ADDED, with_more(5))
    assert set(files(tmp_path)) == {source.path.name}
