"""Results of sessions with a similar rule: flags and grades of records beside those of keys."""

from pathlib import Path

import numpy as np
import pytest

from mpc.replicated import Array
from parties.errors import ResultError
from parties.fields import open_list
from parties.keys import Keys, make_keys
from parties.page import result_page
from parties.results import Result, part_bytes, recombine, value_type
from parties.rules import Rule
from tests.parties.samples import ALIKE, ALIKE_GRADED, RULES, manifest, write
from tests.parties.test_results import split

ID = RULES[0]
FLAG = manifest(rules=(ID, ALIKE))
GRADE = manifest(rules=(ID, ALIKE_GRADED), reveal="grade")
ROWS = ("A1,067 123 45 67,,", ",067 123 45 68,,", "A3,,,", ",,1980-01-31,Olena Shevchenko", ",,1990-02-03,")


def keys_under(rule: Rule, folder: Path) -> Keys:
    text = "\n".join(("id_number,phone,birth_date,full_name", *ROWS, ""))
    return make_keys(open_list(write(folder / "list.csv", text)), bytes(32), (ID, rule), "UA")[0]


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return keys_under(ALIKE, tmp_path)


@pytest.fixture
def graded(tmp_path: Path) -> Keys:
    return keys_under(ALIKE_GRADED, tmp_path)


def values(keys: Keys, of_id: dict[int, int], of_records: dict[int, int]) -> Array:
    """What the committee tells of the rows' numbers and records, by row."""
    told = np.zeros(keys.values, np.uint8)
    exact = keys.of_rule[0]
    for row, value in of_id.items():
        told[exact.places[exact.rows == row]] = value
    for row, value in of_records.items():
        told[len(keys.keys) + row] = value
    return told


def test_a_value_for_each_key_and_each_record(keys: Keys) -> None:
    assert keys.values == 2 + len(ROWS)
    assert value_type("grade", 3) == (np.dtype(np.uint8), ())
    assert part_bytes(GRADE, keys.values) == 2 + len(ROWS)


@pytest.mark.parametrize("value", [0, 1])
def test_possible_flags(value: int) -> None:
    told = np.array([0, value], np.uint8)
    assert np.array_equal(recombine(FLAG, "agency-a", split(told), 2), told)


@pytest.mark.parametrize("value", [2, 3, 0x40, 0x81])
def test_impossible_flags(value: int) -> None:
    with pytest.raises(ResultError, match="do not make a result"):
        recombine(FLAG, "agency-a", split(np.array([0, value], np.uint8)), 2)


def test_possible_and_impossible_grades() -> None:
    for value in range(256):
        told = np.array([value], np.uint8)
        if value in (0, 1, 3, 7):
            assert np.array_equal(recombine(GRADE, "agency-a", split(told), 1), told)
            continue
        with pytest.raises(ResultError, match="do not make a result"):
            recombine(GRADE, "agency-a", split(told), 1)


def test_flags_of_rows(keys: Keys) -> None:
    result = Result(FLAG, "agency-a", keys, values(keys, {0: 1}, {0: 0, 1: 1, 3: 1}))
    assert result.headings() == ["match", "matched_on", "not_compared_because", "same_as_row", "review"]
    assert [cells[:2] for cells in result.cells()] == [
        ["yes", "id"],
        ["yes", "similar people"],
        ["no", ""],
        ["yes", "similar people"],
        ["not compared", ""],
    ]
    assert [rule.name for rule, _ in result.found(1)] == ["similar people"]


def test_grades_of_rows(graded: Keys) -> None:
    result = Result(GRADE, "agency-a", graded, values(graded, {0: 7}, {0: 1, 1: 3, 3: 1}))
    assert result.headings() == ["match", "matched_on", "grade", "not_compared_because", "same_as_row", "review"]
    assert [cells[:3] for cells in result.cells()] == [
        ["yes", "id; similar people", "certain"],
        ["yes", "similar people", "probable"],
        ["no", "", ""],
        ["yes", "similar people", "possible"],
        ["not compared", "", ""],
    ]
    assert [(rule.name, whom) for rule, whom in result.found(0)] == [
        ("id", "another member (certain)"),
        ("similar people", "another member (possible)"),
    ]


def test_numbers_by_grade(graded: Keys) -> None:
    told = values(graded, {0: 7}, {0: 1, 1: 3, 3: 1})
    summary = Result(GRADE, "agency-a", graded, told).summary()
    assert summary.matched_by_grade == {"certain": 1, "probable": 1, "possible": 1}
    assert list(summary.matched_by_grade) == ["certain", "probable", "possible"]
    assert (summary.matched, summary.not_compared) == (3, 1)
    assert summary.matched_by_rule == {"id": 1, "similar people": 3}
    assert summary.unusable_by_rule == {"id": 3, "similar people": 2}
    text = summary.to_text()
    assert all(f"    {grade} " in text for grade in summary.matched_by_grade)
    page = result_page(summary, GRADE)
    assert "Matched rows, by grade" in page
    assert "no proof" in page


def test_households_of_exact_rules_beside_it(tmp_path: Path) -> None:
    family = Rule("family", ("id_number",), "household")
    text = "id_number,phone,household_id\nA1,,H1\n,067 123 45 67,H1\n,067 123 45 68,H2\n"
    keys = make_keys(open_list(write(tmp_path / "l.csv", text)), bytes(32), (family, ALIKE_GRADED), "UA")[0]
    told = np.array([7, 0, 1, 1], np.uint8)
    result = Result(manifest(rules=(family, ALIKE_GRADED), reveal="grade"), "agency-a", keys, told)
    assert [cells[:3] for cells in result.cells()] == [
        ["yes", "family", "certain"],
        ["yes", "family; similar people", "certain"],
        ["yes", "similar people", "possible"],
    ]


def test_a_page_without_a_similar_rule_says_nothing_of_it(tmp_path: Path) -> None:
    opened = open_list(write(tmp_path / "l.csv", "id_number\nA1\n"))
    keys = make_keys(opened, bytes(32), (ID,), "UA")[0]
    summary = Result(manifest(rules=(ID,)), "agency-a", keys, np.zeros(1, np.uint8)).summary()
    assert "no proof" not in result_page(summary, manifest(rules=(ID,)))
