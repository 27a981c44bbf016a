import csv
import stat
from pathlib import Path

import openpyxl
import pytest

from parties import cli
from parties.errors import InputError, SessionRefused
from parties.records import open_list
from parties.review import Decision, Reviews, Verdict
from parties.reviewfile import COLUMNS, cells_of, read_verdicts, write_queue
from tests.parties.deciding import VAULT, store_of
from tests.parties.reviewing import ANNA, BOB, CLEO, TERMS, result
from tests.parties.samples import JARGON, files, manifest, write

ID = TERMS.session_id
NAME = f"session-{ID[:8].hex()}"
LIST = "name,note,phone\r\n=1+1,-5 kg,+380671234567\r\n\r\nОлена,@home,\r\n"


@pytest.fixture
def reviews(tmp_path: Path) -> Reviews:
    """With rows 2 and 4 of a list to be reviewed."""
    opened = Reviews(store_of(tmp_path / "matchbit.db"), VAULT)
    opened.raise_matches(result([ANNA, CLEO, BOB], {"id-1": 1, "id-2": 1, "phone-2": 1}))
    return opened


def table(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def filled(path: Path, *lines: str, delimiter: str = ",", encoding: str = "utf-8") -> Path:
    text = "\r\n".join((",".join(COLUMNS), *lines)).replace(",", delimiter)
    return write(path, text.encode(encoding))


def test_a_queue_with_the_cells_of_the_list(reviews: Reviews, tmp_path: Path) -> None:
    reviews.decide(ID, [Verdict(4, "unsure", "=asked", "Olena")])
    out = tmp_path / "queue.csv"
    write_queue(out, ID, reviews.open_items(ID), open_list(write(tmp_path / "list.csv", LIST)))
    assert table(out) == [
        [*COLUMNS, "name", "note (2)", "phone"],
        [NAME, "2", "id", "another member", "", "", "", "'=1+1", "'-5 kg", "+380671234567"],
        [NAME, "4", "id; phone and birth date", "another member", "unsure", "'=asked", "Olena", "Олена", "'@home", ""],
    ]
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert out.read_bytes().startswith(b"\xef\xbb\xbf")


def test_a_queue_without_the_list(reviews: Reviews, tmp_path: Path) -> None:
    write_queue(tmp_path / "queue.csv", ID, reviews.open_items(ID), None)
    assert [row[:3] for row in table(tmp_path / "queue.csv")] == [[*COLUMNS[:3]], [NAME, "2", "id"],
                                                                  [NAME, "4", "id; phone and birth date"]]  # fmt: skip


def test_what_was_exported_comes_back_as_it_was(reviews: Reviews, tmp_path: Path) -> None:
    reviews.decide(ID, [Verdict(2, "duplicate", '=same, "mother"', "Олена")])
    before, out = reviews.items(ID), tmp_path / "queue.csv"
    write_queue(out, ID, before, None)
    verdicts = list(read_verdicts(out, ID))
    assert verdicts == [Verdict(2, "duplicate", '=same, "mother"', "Олена", f"{out}, row 2: ")]
    assert reviews.decide(ID, verdicts) == 0
    assert reviews.items(ID) == before


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_filled_in_as_csv(reviews: Reviews, tmp_path: Path, delimiter: str) -> None:
    path = filled(
        tmp_path / "queue.csv", f"{NAME},2,id,,Distinct,called,Olena", f"{NAME},4,id,,,,", delimiter=delimiter
    )
    assert reviews.decide(ID, list(read_verdicts(path, ID))) == 1
    assert [item.decision for item in reviews.items(ID)] == ["distinct", "open"]


def test_filled_in_as_a_workbook(reviews: Reviews, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in ([*COLUMNS, "decision"], [NAME, 2, "id", "", "distinct", None, "Olena", "of the list"]):
        book.active.append(row)  # type: ignore[union-attr]
    book.save(tmp_path / "queue.xlsx")
    assert reviews.decide(ID, list(read_verdicts(tmp_path / "queue.xlsx", ID))) == 1


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f"{NAME},4.0,,,distinct,,Olena", "row 3, column `row`: it must be a row's number, as it was exported."),
        (f"{NAME},,,,distinct,,Olena", "row 3, column `row`: it must be a row's number"),
        (f"{NAME},٤,,,distinct,,Olena", "row 3, column `row`: it must be a row's number"),
        ("session-00,4,,,distinct,,Olena", "row 3, column `session`: the line is of another session."),
        (f"{NAME},7,,,distinct,,Olena", "row 3: Row 7 is not among this session's matches"),
        (f"{NAME},2,,,distinct,,Olena", "row 3, column `row`: this row has been decided on further up."),
        (f"{NAME},4,,,perhaps,,Olena", "row 3: `decision` must be one of"),
        (f"{NAME},4,,,distinct,,", "row 3: `reviewer` must name the person"),
        (f"{NAME},4,,,distinct,{'x' * 1001},Olena", "row 3: `note` must be at most 1000"),
        (f"{NAME},4,,,distinct", "row 3 (line 3): 5 cells where the heading has 7"),
    ],
)
def test_one_wrong_line_changes_nothing(reviews: Reviews, tmp_path: Path, line: str, says: str) -> None:
    path = filled(tmp_path / "queue.csv", f"{NAME},2,id,,distinct,,Olena", line)
    with pytest.raises(InputError) as error:
        reviews.decide(ID, list(read_verdicts(path, ID)))
    assert str(error.value).startswith(f"{path}, {says}")
    assert not any(word in str(error.value) for word in JARGON)
    assert [item.decision for item in reviews.items(ID)] == ["open", "open"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("session,row,decision,note\r\nx,2,distinct,\r\n", "has no column `reviewer` in its first row"),
        ("name,phone\r\nAnna,1\r\n", "has no column `session` in its first row"),
        (f"{','.join(COLUMNS)}\r\n{NAME},2,,,distinct,мати та сама,Олена\r\n".encode("cp1251"), "cannot be read for"),
        ("", "is empty"),
        (",".join(COLUMNS), "has no rows"),
        (b"%PDF-1.7", "is a PDF"),
    ],
)
def test_other_files_are_refused(reviews: Reviews, tmp_path: Path, content: str | bytes, says: str) -> None:
    path = write(tmp_path / "queue.csv", content)
    with pytest.raises(InputError) as error:
        list(read_verdicts(path, ID))
    assert f"{path} {says}" in str(error.value)
    assert not any(word in str(error.value) for word in JARGON)


def test_a_file_of_another_session_is_refused(reviews: Reviews, tmp_path: Path) -> None:
    other = manifest(title="another").session_id
    write_queue(tmp_path / "queue.csv", ID, reviews.items(ID), None)
    assert list(read_verdicts(tmp_path / "queue.csv", other)) == []  # nothing is filled in
    path = filled(tmp_path / "queue.csv", f"{NAME},2,,,distinct,,Olena")
    with pytest.raises(InputError, match="another session"):
        list(read_verdicts(path, other))
    with pytest.raises(SessionRefused):
        reviews.session(other)


def test_what_cannot_be_written_leaves_no_file(reviews: Reviews, tmp_path: Path) -> None:
    source = open_list(write(tmp_path / "list.csv", LIST))
    write(tmp_path / "list.csv", LIST + "1,2\r\n")
    before = files(tmp_path)
    for out in (tmp_path / "queue.xlsx", tmp_path / "no folder" / "queue.csv", tmp_path / "queue.csv"):
        with pytest.raises(InputError):
            write_queue(out, ID, reviews.items(ID), source)
    assert files(tmp_path) == before


def test_cells_of_some_rows(tmp_path: Path) -> None:
    source = open_list(write(tmp_path / "list.csv", LIST))
    assert cells_of(source, {4, 9}) == {4: ["Олена", "@home", ""]}
    assert cells_of(None, {4}) == {}


def test_the_command_line_knows_all_decisions() -> None:
    assert {d.value for d in Decision} == set(cli.DECISIONS)
