import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.columns import MapFile
from parties.errors import InputError
from parties.fields import NewRows, ReadableList, open_list
from parties.findings import Severity
from parties.keys import ALONE, MAX_KEYS_OF_A_ROW, Keys, make_keys
from parties.rules import KeyMaker, Rule, part
from tests.parties.samples import RULES, examples, write
from tests.vectors import VECTORS

SESSION = bytes(range(32))
ID = RULES[:1]


def a_list(folder: Path, *rows: str, heading: str = "id_number,phone,birth_date") -> ReadableList:
    return open_list(write(folder / "list.csv", "\n".join([heading, *rows, ""])))


def made(opened: ReadableList, rules: tuple[Rule, ...] = RULES, session: bytes = SESSION, **more: object) -> Keys:
    return make_keys(opened, session, rules, "UA", **more)[0]  # type: ignore[arg-type]


def key(rule: Rule, *values: str) -> bytes:
    return KeyMaker(SESSION, rule).key(b"".join(map(part, values)))


def by_row(keys: Keys, rule: int) -> list[list[bytes]]:
    """For each row its keys under a rule."""
    found: list[list[bytes]] = [[] for _ in range(keys.rows)]
    for row, place in zip(keys.of_rule[rule].rows.tolist(), keys.of_rule[rule].places.tolist(), strict=True):
        found[row].append(keys.keys[place].tobytes())
    return found


def test_rows_are_mapped_to_distinct_keys(tmp_path: Path) -> None:
    keys = made(
        a_list(
            tmp_path,
            "AB1,067 123 45 67,1980-01-31",
            "ab 1 ,067 123 45 68,1980-01-31",
            "B2,+380671234567,31.01.1980",
            ",067 123 45 67,",
            "C3,,1980-01-31",
            "'000012,380671234567.0,1980",
        )
    )
    by_id, by_phone = RULES
    first = key(by_phone, "+380671234567", "1980-01-31")
    assert by_row(keys, 0) == [
        [key(by_id, "UA:-:AB1")],
        [key(by_id, "UA:-:AB1")],
        [key(by_id, "UA:-:B2")],
        [],
        [key(by_id, "UA:-:C3")],
        [key(by_id, "UA:-:12")],
    ]
    assert by_row(keys, 1) == [
        [first],
        [key(by_phone, "+380671234568", "1980-01-31")],
        [first],
        [],
        [],
        [key(by_phone, "+380671234567", "1980")],
    ]
    assert len(keys.keys) == len({row.tobytes() for row in keys.keys}) == 7
    assert (keys.keys.dtype, keys.of_rule[0].rows.dtype, keys.of_rule[0].places.dtype) == (
        np.uint64,
        np.int32,
        np.int32,
    )
    assert keys.numbers.tolist() == [2, 3, 4, 5, 6, 7]
    assert (keys.twins(0).tolist(), keys.twins(1).tolist()) == ([[1, 0]], [[2, 0]])
    assert [keys.reason("id_number", k) for k in (3, 4)] == ["is empty", ""]


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 1000, 16_385])
def test_every_row_of_its_own_at_any_size(tmp_path: Path, rows: int) -> None:
    keys = made(a_list(tmp_path, *(f"A{k},," for k in range(rows))), ID)
    assert keys.of_rule[0].rows.tolist() == list(range(rows))
    assert keys.keys.shape == (rows, 2)
    assert by_row(keys, 0) == [[key(ID[0], f"UA:-:A{k}")] for k in range(rows)]
    assert keys.keys.tolist() == sorted(keys.keys.tolist())


def test_several_values_are_several_keys(tmp_path: Path) -> None:
    heading = "id_number,phone,phone 2,birth_date"
    opened = a_list(tmp_path, "A,067 123 45 67; 050 111 22 33,0671234567,1980-01-31", heading=heading)
    keys = made(opened, (RULES[1],))
    values = ("+380671234567", "+380501112233")
    assert by_row(keys, 0) == [[key(RULES[1], value, "1980-01-31") for value in values]]


def test_no_row_makes_more_keys_than_is_bounded(tmp_path: Path) -> None:
    heading = ",".join(["birth_date", *(f"phone {k}" for k in range(1, 101))])
    phones = ",".join(f"+38067{k:07}" for k in range(1_234_000, 1_234_100))
    keys, findings = make_keys(a_list(tmp_path, f"1980-01-31,{phones}", heading=heading), SESSION, (RULES[1],), "UA")
    assert len(keys.keys) == MAX_KEYS_OF_A_ROW
    assert [(f.severity, f.count, f.rows) for f in findings if "combinations" in f.text] == [
        (Severity.WARNING, 1, (2,))
    ]


def test_the_same_value_under_two_rules_is_two_keys(tmp_path: Path) -> None:
    keys = made(a_list(tmp_path, "A1,,"), (Rule("one", ("id_number",)), Rule("two", ("id_number",))))
    assert len(keys.keys) == 2
    assert keys.of_rule[0].places.tolist() != keys.of_rule[1].places.tolist()


def test_the_same_digits_of_two_kinds_of_document_never_match(tmp_path: Path) -> None:
    opened = a_list(
        tmp_path, "A1,passport,UA", "A1,tax number,UA", "A1,Passport,Україна", heading="id_number,id_type,id_country"
    )
    keys = made(opened, ID)
    assert len(keys.keys) == 2
    assert keys.twins(0).tolist() == [[2, 0]]


def test_two_members_agree_in_a_session_and_in_no_other(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    rows = ["Олена Ковальчук,1980-01-31"]
    rules = (Rule("name", ("full_name:sorted", "birth_date")),)
    one = made(a_list(tmp_path / "a", *rows, heading="ПІБ,Дата народження"), rules)
    two = made(a_list(tmp_path / "b", "KOVALCHUK Olena,31/01/1980", heading="Full name,Date of birth"), rules)
    assert one.keys.tolist() == two.keys.tolist()
    other = made(a_list(tmp_path / "a", *rows, heading="ПІБ,Дата народження"), rules, session=bytes(32))
    assert other.keys.tolist() != one.keys.tolist()


def test_no_usable_row(tmp_path: Path) -> None:
    keys = made(a_list(tmp_path, ",067 123 45 67,", " ,,1980-01-31"))
    assert keys.keys.shape == (0, 2)
    assert [of.rows.tolist() for of in keys.of_rule] == [[], []]
    assert not keys.usable(0).any()
    assert keys.twins(0).shape == (0, 2)


def test_a_list_without_a_rules_column(tmp_path: Path) -> None:
    """The other rules can be used; that one cannot is for a person to decide."""
    opened = a_list(tmp_path, "A1,,")
    keys, findings = make_keys(opened, SESSION, (Rule("r", ("id_number", "sex")), *ID), "UA")
    assert by_row(keys, 0) == [[]]
    assert by_row(keys, 1) == [[key(ID[0], "UA:-:A1")]]
    assert keys.reason("sex", 0) == "is no column of the list"
    (sentence,) = keys.missing
    assert "has no column for `sex`, which the rule `r` needs" in sentence
    assert [f.text for f in findings if f.severity is Severity.STOP] == [sentence]


def test_progress_is_told_by_rows(tmp_path: Path) -> None:
    told: list[int] = []
    made(a_list(tmp_path, *(f"A{k},," for k in range(40_001))), ID, progress=told.append)
    assert told[-1] == 40_001
    assert told == sorted(set(told))
    assert len(told) == 3


# What the keys remember


def test_values_on_many_rows_are_remembered(tmp_path: Path) -> None:
    rows = [f"A{k},067 123 45 67,1980-01-31" for k in range(30)] + ["B1,050 111 22 33,1980-01-31"] * 2
    repeats = made(a_list(tmp_path, *rows)).repeats
    assert repeats["phone"] == [(30, (2, 3, 4, 5, 6)), (2, (32, 33))]
    assert repeats["id_number"] == [(2, (32, 33))]


HOUSE = Rule("family", ("phone", "birth_date"), "household")


def test_households(tmp_path: Path) -> None:
    opened = a_list(tmp_path, "1,H-7,,", "2,,,", "3,h7,,", "4,,,", heading="id_number,household_id,phone,birth_date")
    households = made(opened, (HOUSE,)).household
    assert households is not None
    assert households[0] == households[2]
    assert len(set(households.tolist())) == 3
    keys, findings = make_keys(a_list(tmp_path, "A1,,"), SESSION, (HOUSE,), "UA")
    assert keys.household is None
    assert ALONE in [f.text for f in findings]


def test_new_rows_by_date(tmp_path: Path) -> None:
    opened = a_list(
        tmp_path, "1,2026-01-31", "2,2026-02-01", "3,", "4,2026", "5,1.3.2026", "6,31/12/2025",
        heading="id_number,registration_date",
    )  # fmt: skip
    keys, findings = make_keys(opened, SESSION, ID, "UA", new=NewRows(since="2026-02-01"))
    assert keys.new is not None
    assert keys.new.tolist() == [False, True, True, True, True, False]
    assert [(f.count, f.rows) for f in findings if "count as new" in f.text] == [(2, (4, 5))]


def test_new_rows_by_column(tmp_path: Path) -> None:
    opened = a_list(tmp_path, "1,x", "2,", "3,No", "4,так", heading="id_number,Is it new?")
    keys = made(opened, ID, new=NewRows(column="is it new?"))
    assert keys.new is not None
    assert keys.new.tolist() == [True, False, False, True]
    with pytest.raises(InputError, match="has no column `Fresh`"):
        made(opened, ID, new=NewRows(column="Fresh"))


def test_a_mark_that_says_neither_names_row_and_column(tmp_path: Path) -> None:
    opened = a_list(tmp_path, "1,x", "2,perhaps", heading="id_number,new")
    with pytest.raises(InputError, match="Row 3, column `new`: it must say yes or no"):
        made(opened, ID, new=NewRows(column="new"))


def test_digests_of_records(tmp_path: Path) -> None:
    heading = "id_number,full_name,amount,remark"
    rows = ["1,Olena Kovalchuk,5,a", "1,Олена Ковальчук,7,b", "1,Olena Kovalchuk-Bondar,5,a", "2,Olena Kovalchuk,5,a"]
    keys = made(a_list(tmp_path, *rows, heading=heading), ID, record_key=b"k" * 32)
    again = made(a_list(tmp_path, *rows, heading=heading), ID, record_key=b"k" * 32, session=bytes(32))
    other = made(a_list(tmp_path, *rows, heading=heading), ID, record_key=b"j" * 32)
    assert keys.records is not None
    assert again.records is not None
    assert other.records is not None
    assert keys.records[0] == keys.records[1], "written otherwise, or with another amount, it is the same record"
    assert len(set(keys.records.tolist())) == 3
    assert keys.records.tolist() == again.records.tolist()
    more = (*ID, Rule("name", ("full_name", "birth_year")))
    under = made(a_list(tmp_path, *rows, heading=heading), more, record_key=b"k" * 32)
    assert under.records is not None
    assert under.records.tolist() == keys.records.tolist(), "whatever the session compares"
    assert not set(keys.records.tolist()) & set(other.records.tolist())


@given(st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from(["", "1", "2"])), min_size=1, max_size=70))
@examples(60)
def test_twins_against_the_truth(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    opened = a_list(tmp_path, *(f"x{a},y{b}" if b else f"x{a}," for a, b in rows), heading="one,two")
    keys = made(opened, (Rule("both", ("one", "two")), Rule("two", ("two",))))
    for k, same in enumerate((lambda p, q: p == q, lambda p, q: p[1] == q[1])):
        first = [next(e for e in range(row + 1) if same(rows[e], pair)) for row, pair in enumerate(rows)]
        expected = [[row, e] for row, e in enumerate(first) if e < row and rows[row][1]]
        assert keys.twins(k).tolist() == expected


def test_a_shared_phone_in_one_household_is_no_duplicate(tmp_path: Path) -> None:
    rows = ["H1,067 123 45 67", "H1,067 123 45 67", "H2,067 123 45 67", "H2,050 111 22 33"]
    opened = a_list(tmp_path, *rows, heading="household_id,phone")
    assert made(opened, (Rule("phone", ("phone",), "household"),)).twins(0).tolist() == [[2, 0]]
    assert made(opened, (Rule("phone", ("phone",)),)).twins(0).tolist() == [[1, 0], [2, 0]]


def test_whom_a_household_rule_can_use(tmp_path: Path) -> None:
    """Only the head has a document; the rule is for all."""
    opened = a_list(tmp_path, "H1,A1", "H1,", "H2,", heading="household_id,id_number")
    assert made(opened, (Rule("head", ("id_number",), "household"),)).usable(0).tolist() == [True, True, False]
    assert made(opened, ID).usable(0).tolist() == [True, False, False]


@pytest.mark.parametrize("case", json.loads((VECTORS / "keys.json").read_text("utf-8"))["cases"], ids=repr)
def test_the_published_keys(tmp_path: Path, case: dict[str, Any]) -> None:
    """The standard's vectors, through a file."""
    row = {"other": "x", **case["in"]}
    with (tmp_path / "list.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([row.keys(), row.values()])
    rule = Rule(case["rule"]["name"], tuple(case["rule"]["fields"]))
    opened = open_list(tmp_path / "list.csv", MapFile(date_order="dmy"))
    keys, _ = make_keys(opened, bytes.fromhex(case["session"]), (rule,), case["country"])
    assert [keys.keys[place].tobytes().hex() for place in keys.of_rule[0].places] == case["out"]


def test_a_column_that_is_there_twice_is_in_no_record(tmp_path: Path) -> None:
    opened = a_list(tmp_path, "A1,a,b", "A2,a,b", heading="id_number,card,card")
    keys = made(opened, (*ID, Rule("card", ("card",))), record_key=b"k" * 32)
    assert "more than one column `card`" in keys.missing[0]
    assert keys.records is not None
    assert keys.records[0] != keys.records[1]


def test_records_of_a_list_without_standard_fields_differ(tmp_path: Path) -> None:
    opened = a_list(tmp_path, "K-1,a", "K-2,a", heading="case number,note")
    keys = made(opened, (Rule("case", ("case number",)),), record_key=b"k" * 32)
    assert keys.records is not None
    assert keys.records[0] != keys.records[1]
