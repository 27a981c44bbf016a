"""The table that members of a session with statistics get: as a file, a page, on the terminal, for other programs."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.replicated import Array
from parties.errors import InputError
from parties.page import table_page
from parties.report import table_text
from parties.revealed import committee_learns, trust
from parties.statistics import OTHER, Category, Statistics
from parties.table import COUNTED, SUBTRACTED, Table, check_table_target, table_of
from tests.parties.samples import RULES, examples, files, manifest
from tests.parties.test_page import NASTY, Parsed, tables, tree

SEX = Statistics(10, (Category("sex", ("female", "male")), Category("birth_date", (), (0, 18))))
NUMBERS = [[1200, 10, 0], [31, 0, 0], [0, 0, 0], [11, 12, 13], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 15, 0]]
TERMS = manifest(rules=RULES[:1], reveal="statistics", statistics=SEX, purpose="before <b> a conference")
LINES = [
    ["sex", "age", "held by 1 member", "held by 2 members", "held by 3 members"],
    ["female", "0 to 17", "1200", "10", "fewer than 10"],
    ["female", "18 and over", "31", "fewer than 10", "fewer than 10"],
    ["female", OTHER, "fewer than 10", "fewer than 10", "fewer than 10"],
    ["male", "0 to 17", "11", "12", "13"],
    *(["male", age, "fewer than 10", "fewer than 10", "fewer than 10"] for age in ("18 and over", OTHER)),
    *([OTHER, age, "fewer than 10", "fewer than 10", "fewer than 10"] for age in ("0 to 17", "18 and over")),
    [OTHER, OTHER, "fewer than 10", "15", "fewer than 10"],
]


def made(numbers: object = NUMBERS) -> Table:
    return table_of(TERMS, "agency-a", np.array(numbers))


def written(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def test_a_table_as_a_file(tmp_path: Path) -> None:
    made().write(tmp_path / "table.csv")
    assert written(tmp_path / "table.csv") == LINES
    assert list(files(tmp_path)) == ["table.csv"]


def test_a_table_on_the_terminal() -> None:
    text = table_text(made())
    lines = text.splitlines()
    assert lines[0] == "agency-a: Winter cash"
    assert [re.split(r" {2,}", line) for line in lines[4:13]] == [
        [f"{int(c):,}" if c.isdigit() else c for c in line] for line in LINES[1:]
    ]
    for said in (COUNTED, SUBTRACTED, "Numbers below 10, 0 among them, are shown as `fewer than 10`"):
        assert said in text


def test_a_table_for_other_programs() -> None:
    told = json.loads(json.dumps(made().to_json()))
    assert told["cells"][0] == {"cell": {"sex": "female", "age": "0 to 17"}, "held_by": [1200, 10, None]}
    assert told["cells"][2]["held_by"] == [None, None, None]
    assert (told["smallest_cell"], len(told["cells"])) == (10, 9)


def test_a_table_as_a_page() -> None:
    page = table_page(made(), TERMS)
    (cells,) = tables(page)
    assert cells == [[f"{int(c):,}" if c.isdigit() else c for c in line] for line in LINES]
    words = "".join(tree(page).itertext())
    for said in (
        COUNTED,
        SUBTRACTED,
        trust(TERMS),
        committee_learns(TERMS),
        "all members that contributed learned this table, and nothing of any single person",
        "before <b> a conference",
    ):
        assert said in words


def test_a_page_has_shares_where_every_number_is_shown() -> None:
    plot, _ = tables(page := table_page(made([[130, 30, 10], *[[100, 20, 10]] * 8]), TERMS))
    assert plot == [
        ["held by", "of 1,210 people", "people", "share"],
        ["held by 1 member", "", "930", "76.9%"],
        ["held by 2 members", "", "190", "15.7%"],
        ["held by 3 members", "", "90", "7.4%"],
    ]
    first = next(tree(page).iter("svg"))
    assert (first.findtext("desc"), first.findall("rect")[1].get("width")) == ("930 of 1,210 people, 76.9%", "76.86")


@pytest.mark.parametrize("numbers", [np.zeros((9, 3), int), [[100, 20, 0], *[[100, 20, 10]] * 8]])
def test_a_page_with_hidden_numbers_has_no_shares(numbers: object) -> None:
    page = table_page(made(numbers), TERMS)
    assert "<svg" not in page
    assert len(tables(page)) == 1


def test_whoever_passes_a_table_on_knows_that_single_hidden_numbers_can_be_worked_out() -> None:
    assert "where only one or two numbers are hidden they can be worked out from the sum of the others" in SUBTRACTED


NUMBER = st.sampled_from([0, 10, 11, 4_000_000])


@examples(50)
@given(st.lists(st.lists(NUMBER, min_size=3, max_size=3), min_size=9, max_size=9).map(np.array))
def test_no_small_number_is_ever_shown(numbers: Array) -> None:
    shown = [cell for row in made(numbers).rows() for cell in row[2:]]
    assert shown == [n or "fewer than 10" for n in numbers.ravel().tolist()]
    for text in (
        table_text(made(numbers)),
        "".join("|".join(row) for row in tables(table_page(made(numbers), TERMS))[-1]),
    ):
        assert text.count("fewer than 10") >= int((numbers == 0).sum())


@pytest.mark.parametrize("text", [*NASTY, "=1+1", "@x", '"a",b;c'])
def test_no_label_becomes_markup_or_a_formula(text: str, tmp_path: Path) -> None:
    """Terms are checked before; a page, a file and a terminal are safe whatever they say."""
    plain = Statistics(10, (Category("x", ("a",)),))
    nasty = Statistics(10, (Category(text, (text,)),))
    pages = [table_page(Table(t, t, s, ((10, 0), (0, 0))), TERMS) for t, s in (("a", plain), (text, nasty))]
    tags, nasty_tags = ([name for name, _ in Parsed(page).tags] for page in pages)
    assert nasty_tags == tags
    assert [e.tag for e in tree(pages[1]).iter()] == [e.tag for e in tree(pages[0]).iter()]
    table = Table("t", "m", nasty, ((10, 0), (0, 0)))
    assert "\x1b" not in table_text(table)
    assert "\u202e" not in table_text(table)
    if "\ud800" not in text:  # which no text in UTF-8 can hold
        table.write(tmp_path / "table.csv")
        cell = written(tmp_path / "table.csv")[1][0]
        assert cell in (text, f"'{text}") or text.startswith('"')
        assert not cell.startswith(("=", "@"))


def test_where_a_table_can_be_written(tmp_path: Path) -> None:
    own = tmp_path / "list.csv"
    check_table_target(tmp_path / "table.CSV", own)
    for out in (own, tmp_path / "table.xlsx", tmp_path / "table"):
        with pytest.raises(InputError, match=r"the session gives a table.*a name of its own that ends in \.csv"):
            check_table_target(out, own)
    with pytest.raises(InputError, match="there is no folder"):
        check_table_target(tmp_path / "none" / "table.csv", own)
