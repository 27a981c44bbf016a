"""A list under a similar rule: its records beside its keys, and what is said of columns that it lacks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mpc.similar import candidates
from parties.check import check_list, judged
from parties.commands import contributed
from parties.fields import ReadableList, open_list
from parties.findings import Finding, Severity
from parties.keys import Keys, make_keys
from parties.rules import Rule
from parties.similar import Compared
from tests.parties.samples import ALIKE, RULES, SIMILAR, write

SESSION = bytes(range(32))
ID = RULES[0]
HEADING = "id_number,phone,birth_date,full_name"
ROWS = (
    "A1,067 123 45 67,31.01.1980,Olena Shevchenko",
    "A2,,,",
    ",067 123 45 67,,",
    ",,1980-01-31,Шевченко Олена",
    ",,1990-02-03,",
)


def a_list(folder: Path, *rows: str, heading: str = HEADING, name: str = "list.csv") -> ReadableList:
    return open_list(write(folder / name, "\n".join([heading, *rows, ""])))


def made(opened: ReadableList, *rules: Rule, session: bytes = SESSION, own: bytes = b"own") -> Keys:
    return make_keys(opened, session, rules, "UA", record_key=own)[0]


def vectors(keys: Keys) -> np.ndarray:
    assert keys.vectors is not None
    return keys.vectors


def test_records_beside_keys(tmp_path: Path) -> None:
    keys, alone = (made(a_list(tmp_path, *ROWS), *rules) for rules in ((ID, ALIKE), (ID,)))
    assert np.array_equal(keys.keys, alone.keys)
    assert vectors(keys).shape == (5, SIMILAR.linkage.record_words)
    assert keys.of_rule[1].rows.tolist() == [0, 2, 3]
    assert keys.of_rule[1].places.tolist() == [2, 4, 5]
    assert keys.usable(1).tolist() == [True, False, True, True, False]
    assert (keys.values, alone.values, alone.vectors) == (7, 2, None)
    assert len(keys.twins(1)) == 0


def test_what_is_shared_are_keys_and_then_records(tmp_path: Path) -> None:
    keys = made(a_list(tmp_path, *ROWS), ID, ALIKE)
    of_record = SIMILAR.linkage.record_words // 2
    assert keys.shared_rows.shape == (2 + 5 * of_record, 2)
    assert np.array_equal(keys.shared_rows[:2], keys.keys)
    assert np.array_equal(keys.shared_rows[2:].reshape(5, -1), vectors(keys))


def test_the_same_list_makes_the_same_records_again_and_nobody_elses_fillers(tmp_path: Path) -> None:
    opened = a_list(tmp_path, *ROWS)
    keys = made(opened, ALIKE)
    assert np.array_equal(vectors(keys), vectors(made(opened, ALIKE)))
    of_record = 2 * SIMILAR.linkage.keys
    other, later = made(opened, ALIKE, own=b"other"), made(opened, ALIKE, session=bytes(32))
    blocking = [{*map(bytes, vectors(k)[:, :of_record].reshape(-1, 2))} for k in (keys, other, later)]
    assert len(blocking[0] & blocking[1]) == 3  # a phone and two words; all else are fillers
    assert not blocking[0] & blocking[2]
    assert np.array_equal(vectors(keys)[:, of_record:], vectors(other)[:, of_record:])


def test_whose_records_share_a_blocking_key(tmp_path: Path) -> None:
    one = made(a_list(tmp_path, *ROWS, name="one.csv"), ALIKE)
    two = made(a_list(tmp_path, *ROWS[::-1], name="two.csv"), ALIKE, own=b"other")
    both = np.concatenate([vectors(one), vectors(two)])[:, : 2 * SIMILAR.linkage.keys].reshape(10, -1, 2)
    pairs = {tuple(pair) for pair in candidates(SIMILAR.linkage, both, (5, 5)).tolist()}
    assert pairs == {(0, 9), (0, 7), (0, 6), (2, 9), (2, 7), (3, 6), (3, 9)}


def findings_of(opened: ReadableList, *rules: Rule) -> tuple[Keys, list[Finding]]:
    return make_keys(opened, SESSION, rules, "UA")


def test_a_column_that_is_lacking_is_a_note_as_long_as_a_block_can_be_made(tmp_path: Path) -> None:
    keys, found = findings_of(a_list(tmp_path, "067 123 45 67", heading="phone"), ALIKE)
    notes = [f.text for f in found if f.severity is Severity.NOTE]
    assert [text.split("`")[1] for text in notes] == ["birth_date", "full_name"]
    assert (
        notes[0] == "the list has no column for `birth_date`; the similar rule compares its rows by all other fields."
    )
    assert not any(f.severity is Severity.STOP for f in found)
    assert keys.missing == ()
    assert keys.of_rule[0].rows.tolist() == [0]


def test_without_any_block_it_stops(tmp_path: Path) -> None:
    keys, found = findings_of(a_list(tmp_path, "Olena", heading="full_name"), ALIKE)
    stops = [f.text for f in found if f.severity is Severity.STOP]
    assert len(keys.missing) == 1
    assert list(keys.missing) == stops
    assert stops[0].startswith("No block of the rule `similar people` can be made of ")
    assert "it needs columns for `phone`, or for `birth_date` and `full_name`." in stops[0]
    assert not any("has no column for" in f.text for f in found)
    assert keys.of_rule[0].rows.tolist() == []


def test_what_is_contributed_is_told_in_keys_and_in_records(tmp_path: Path) -> None:
    phones = a_list(tmp_path, "067 123 45 67", "067 123 45 68", heading="phone")
    assert contributed(findings_of(phones, ALIKE)[0]) == "2 rows as 2 records"
    ids = a_list(tmp_path, "A1,067 123 45 67", "A1,067 123 45 68", heading="id_number,phone")
    assert contributed(findings_of(ids, ID, ALIKE)[0]) == "2 rows as 1 distinct keys and 2 records"
    assert contributed(findings_of(ids, ID)[0]) == "2 rows as 1 distinct keys"


def test_what_an_exact_rule_lacks_still_stops(tmp_path: Path) -> None:
    _, found = findings_of(a_list(tmp_path, "A1", heading="id_number"), ID, *RULES[1:], ALIKE)
    assert {f.severity for f in found if "`phone`" in f.text} == {Severity.STOP}


def test_two_columns_of_one_heading_still_stop(tmp_path: Path) -> None:
    terms = replace(SIMILAR, comparisons=(*SIMILAR.comparisons, Compared("card", "exact", 1, (-8, 8))))
    opened = a_list(tmp_path, "067 123 45 67,1,2", heading="phone,card,Card")
    keys, _ = findings_of(opened, Rule("similar people", terms.fields, similar=terms))
    assert "more than one column `card`" in keys.missing[0]


def test_a_check_of_a_list(tmp_path: Path) -> None:
    report = check_list(a_list(tmp_path, *ROWS), (ID, ALIKE), "UA")
    exact, similar = report.rules
    assert (exact.usable, similar.usable, report.usable) == (2, 3, 4)
    assert similar.unusable_rows == (3, 6)
    assert similar.example == ("+380671234567", "1980-01-31", "olena shevchenko")
    assert similar.repeated == 0


def test_a_check_of_a_list_that_lacks_columns(tmp_path: Path) -> None:
    (similar,) = check_list(a_list(tmp_path, "", "067 123 45 67", heading="phone"), (ALIKE,), "UA").rules
    assert similar.example == ("+380671234567",)


@pytest.mark.parametrize("usable", [9, 11])
def test_a_rule_that_most_rows_cannot_use_stops(tmp_path: Path, usable: int) -> None:
    rows = [f"06712345{k:02}" if k < usable else "x" for k in range(20)]
    opened = a_list(tmp_path, *rows, heading="phone")
    keys, found = findings_of(opened, ALIKE)
    grave = [f.text for f in judged(opened, keys, found, 40) if f.severity is Severity.STOP]
    assert bool(grave) == (usable == 9)


def test_a_phone_of_many_rows_is_no_blocking_key(tmp_path: Path) -> None:
    few = replace(ALIKE, similar=replace(SIMILAR, largest_group=2))
    keys, found = findings_of(a_list(tmp_path, *["067 123 45 67"] * 3, "067 123 45 68", heading="phone"), few)
    assert keys.of_rule[0].rows.tolist() == [3]
    assert any("share a blocking key with more than 2 rows" in f.text for f in found)
