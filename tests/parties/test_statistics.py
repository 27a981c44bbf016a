"""Which table a session may give, and which of its cells a person is in."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.errors import ConfigError
from parties.rules import Rule
from parties.shown import harmless
from parties.statistics import MAX_CELLS, OTHER, Category, Statistics, check, from_json, from_toml, rows_of
from tests.parties.samples import RULES, examples

ONE = RULES[:1]
SEX = {"field": "sex", "values": ["female", "male"]}
AGES = {"field": "birth_date", "ages": [0, 5, 18, 60]}


def table(*categories: Mapping[str, Any], **changes: Any) -> Statistics:
    return from_toml({"category": [dict(c) for c in categories or (SEX, AGES)]} | changes)


def refusal(statistics: Statistics, rules: Sequence[Rule] = ONE, country: str = "UA") -> str:
    with pytest.raises(ConfigError) as caught:
        check(statistics, rules, country)
    return str(caught.value)


# Terms


def test_a_good_table() -> None:
    made = table()
    check(made, ONE, "UA")
    assert (made.smallest_cell, made.cells, made.headings) == (10, 15, ("sex", "age"))
    assert made.to_text() == (
        "people by sex (female, male, other or unknown); age (0 to 4, 5 to 17, 18 to 59, 60 and over, other or "
        "unknown); numbers below 10 are not shown"
    )
    assert from_json(json.loads(json.dumps(asdict(made)))) == made


def test_cells_are_in_mixed_radix() -> None:
    labels = table().labels()
    assert (len(labels), labels[0], labels[-1]) == (15, ("female", "0 to 4"), (OTHER, OTHER))
    assert labels[7] == ("male", "18 to 59")


@pytest.mark.parametrize(
    ("ages", "labels"),
    [
        ([0], ("0 and over", OTHER)),
        ([0, 1, 5], ("0", "1 to 4", "5 and over", OTHER)),
        ([0, 18, 120], ("0 to 17", "18 to 119", "120 and over", OTHER)),
    ],
)
def test_names_of_bands(ages: list[int], labels: tuple[str, ...]) -> None:
    assert table({"field": "birth_year", "ages": ages}).categories[0].labels == labels


@pytest.mark.parametrize("rules", [RULES, (), (Rule("family", ("phone",), "household"),)])
def test_one_rule_for_persons(rules: Sequence[Rule]) -> None:
    assert "exactly one [[rule]], with scope" in refusal(table(), rules)


@pytest.mark.parametrize("smallest", [2, 0, -1, 1001, True, 3.0, "10", None])
def test_the_smallest_cell(smallest: Any) -> None:
    assert "`smallest_cell` must be a whole number from 3 to 1000" in refusal(table(smallest_cell=smallest))
    check(table(smallest_cell=3), ONE, "")


@pytest.mark.parametrize(
    ("category", "fault"),
    [
        ({"field": "sex", "values": []}, "needs `values`"),
        ({"field": "sex", "ages": [0, 5]}, "needs `values`"),
        ({"field": "sex", "values": ["F"], "ages": [0]}, "needs `values`"),
        ({"field": "sex", "values": ["F", "femme"]}, "are the same as lists are compared"),
        ({"field": "admin1", "values": ["Львів", "lviv"]}, "are the same as lists are compared"),
        ({"field": "Camp", "values": ["Ａ 1", "a  1"]}, "are the same as lists are compared"),
        ({"field": "sex", "values": ["neither"]}, "`neither` cannot be read as a value of `sex`"),
        ({"field": "Camp", "values": ["n/a"]}, "`n/a` cannot be read as a value of `Camp`"),
        ({"field": "Camp", "values": ["Other or  Unknown"]}, "leave it out"),
        ({"field": "Camp", "values": ["\u202eevil"]}, "printable"),
        ({"field": "Camp", "values": ["a\nb"]}, "printable"),
        ({"field": "Camp", "values": ["x" * 101]}, "100 printable"),
        ({"field": "Camp", "values": [1]}, "printable"),
        ({"field": "Camp", "values": [["a"]]}, "printable"),
        ({"field": "Camp", "values": [f"c {k}" for k in range(MAX_CELLS)]}, "at most 256 cells"),
        ({"field": "Camp\n", "values": ["a"]}, "`field` of each category"),
        ({"field": "", "values": ["a"]}, "`field` of each category"),
        ({"field": 7, "values": ["a"]}, "`field` of each category"),
        ({"field": "sex:first1", "values": ["f"]}, "takes a field as it is, `sex`"),
        ({"field": "gender", "values": ["f"]}, "`gender` is the field `sex`; write `sex`"),
        ({"field": "Date of birth", "ages": [0]}, "`Date of birth` is the field `birth_date`; write `birth_date`"),
        ({"field": "birth_date", "values": ["1980-01-31"]}, "needs `ages`"),
        ({"field": "birth_date", "ages": []}, "needs `ages`"),
        ({"field": "birth_date", "ages": [5, 18]}, "0 first"),
        ({"field": "birth_date", "ages": [0, 18, 18]}, "above the one before"),
        ({"field": "birth_date", "ages": [0, 18, 5]}, "above the one before"),
        ({"field": "birth_date", "ages": [0, 121]}, "120 at most"),
        ({"field": "birth_date", "ages": [0, 1.5]}, "whole years"),
        ({"field": "birth_date", "ages": [False, 5]}, "whole years"),
        ({"field": "birth_date", "ages": [0, "5"]}, "whole years"),
        *(
            ({"field": field, "values": ["x"]}, "tells single people or families apart")
            for field in ("phone", "id_number", "full_name", "family_name", "household_id", "Phone number", "Прізвище")
        ),
    ],
)
def test_categories_that_no_session_may_have(category: dict[str, Any], fault: str) -> None:
    text = refusal(table(category))
    assert fault in text
    assert text.startswith("The manifest is wrong: [session.statistics]: ")
    assert harmless(text) == text


def test_how_many_categories_and_cells() -> None:
    assert "1 to 4" in refusal(Statistics(10, ()))
    five = [{"field": f"Column {k}", "values": ["a"]} for k in range(5)]
    assert "1 to 4" in refusal(table(*five))
    check(table(*five[:4]), ONE, "")
    three = [{"field": f"Column {k}", "values": list("abcdef")} for k in range(3)]
    assert "343 cells are more than 256" in refusal(table(*three))
    check(table({"field": "Camp", "values": [f"c {k}" for k in range(MAX_CELLS - 1)]}), ONE, "")


@pytest.mark.parametrize(
    "twice",
    [
        (SEX, SEX),
        ({"field": "Camp", "values": ["a"]}, {"field": "CAMP", "values": ["a"]}),
        (AGES, {"field": "birth_year", "ages": [0]}),
    ],
)
def test_no_category_twice(twice: tuple[dict[str, Any], ...]) -> None:
    assert "two categories are of the same field" in refusal(table(*twice))


@pytest.mark.parametrize(
    "toml",
    [
        None, 7, [], {"category": [SEX], "more": 1}, {"category": SEX}, {"category": [7]},
        {"category": [{"values": []}]}, {"category": [SEX | {"age": [0]}]},
        {"category": [{"field": "sex", "values": "F"}]}, {"category": [{"field": "birth_date", "ages": 5}]},
    ],
)  # fmt: skip
def test_toml_that_is_no_table(toml: Any) -> None:
    with pytest.raises(ConfigError, match=r"^The manifest is wrong: \[session\.statistics\]: "):
        from_toml(toml)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), st.lists, max_leaves=4)


@examples()
@given(st.fixed_dictionaries({"field": JSON, "values": JSON, "ages": JSON}), JSON)
def test_whatever_canonical_bytes_hold_is_read_or_refused(category: dict[str, Any], smallest: Any) -> None:
    try:
        check(from_json({"smallest_cell": smallest, "categories": [category]}), ONE, "UA")
    except (ConfigError, KeyError, TypeError):
        return
    assert isinstance(category["field"], str)


# Ages


def band(birth: str, day: date, *ages: int) -> str:
    category = Category("birth_date", (), ages)
    return category.labels[category.kind(birth, {}, day)]


@pytest.mark.parametrize(
    ("birth", "day", "label"),
    [
        ("2008-11-20", date(2026, 11, 19), "5 to 17"),
        ("2008-11-20", date(2026, 11, 20), "18 to 59"),
        ("2008-02-29", date(2026, 2, 28), "5 to 17"),
        ("2008-02-29", date(2026, 3, 1), "18 to 59"),
        ("2010-02-29", date(2028, 2, 29), "18 to 59"),
        ("2026-11-20", date(2026, 11, 20), "0 to 4"),
        ("2026-11-21", date(2026, 11, 20), OTHER),  # not born yet
        ("1906-01-02", date(2026, 11, 20), "60 and over"),
        ("2008", date(2026, 11, 20), OTHER),  # 17 or 18
        ("2008", date(2026, 12, 31), "18 to 59"),
        ("2009", date(2026, 11, 20), "5 to 17"),
        ("2008-11", date(2026, 11, 20), OTHER),
        ("2008-11", date(2026, 11, 30), OTHER),  # it may have been the 31st, for all that is asked here
        ("2008-10", date(2026, 11, 20), "18 to 59"),
        ("2008-12", date(2026, 11, 20), "5 to 17"),
        ("2026", date(2026, 11, 20), "0 to 4"),  # whoever is on a list has been born
        ("2027", date(2026, 11, 20), OTHER),
        ("", date(2026, 11, 20), OTHER),
    ],
)
def test_bands_of_ages(birth: str, day: date, label: str) -> None:
    assert band(birth, day, 0, 5, 18, 60) == label


DAYS = st.dates(date(1900, 1, 1), date(2099, 12, 31))


@examples(200)
@given(DAYS, DAYS)
def test_an_age_is_the_number_of_birthdays(birth: date, day: date) -> None:
    """One by one, with 1 March for 29 February where there is none."""
    birthdays = 0
    for year in range(birth.year + 1, day.year + 1):
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        late = (birth.month, birth.day) == (2, 29) and not leap
        birthdays += (date(year, 3, 1) if late else date(year, birth.month, birth.day)) <= day
    expected = OTHER if birth > day else str(birthdays) if birthdays < 120 else "120 and over"
    assert band(birth.isoformat(), day, *range(121)) == expected


@examples(200)
@given(DAYS, st.integers(0, 40_000), st.sampled_from([4, 7]))
def test_part_of_a_date_gives_a_band_only_where_all_of_its_days_do(birth: date, later: int, known: int) -> None:
    day = min(birth + timedelta(later), date(2099, 12, 31))
    whole, part = birth.isoformat(), birth.isoformat()[:known]
    assert band(part, day, 0, 5, 18, 60) in (band(whole, day, 0, 5, 18, 60), OTHER)


# Rows


@examples()
@given(st.integers(1, MAX_CELLS).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n - 1), max_size=70))))
def test_rows_are_keys_with_one_bit(drawn: tuple[int, list[int]]) -> None:
    number, cells = drawn
    keys = np.arange(2 * len(cells), dtype=np.uint64).reshape(-1, 2)
    rows = rows_of(keys, np.array(cells, np.uint16), number)
    assert (rows.dtype, rows.shape) == (np.uint64, (len(cells), 2 + -(-number // 64)))
    assert np.array_equal(rows[:, :2], keys)
    bits = np.unpackbits(np.ascontiguousarray(rows[:, 2:]).view(np.uint8), axis=1, bitorder="little")
    assert bits.shape[1] >= number
    assert bits.sum(axis=1).tolist() == [1] * len(cells)
    assert bits.argmax(axis=1).tolist() == cells if cells else True


WORDS = st.text(max_size=20) | st.sampled_from(["F", "male", "ж", "sex", "admin1", "Lviv", "Camp", "camp 1", "مخيم"])


@examples(200)
@given(st.lists(WORDS, min_size=1, max_size=4), WORDS, st.lists(WORDS, max_size=4))
def test_any_words_are_refused_or_tell_cells_apart(values: list[str], field: str, cells: list[str]) -> None:
    """Whatever a coordinator writes: what is agreed has one kind for each value, and a label that is safe to show."""
    category = Category(field, tuple(values))
    statistics = Statistics(3, (category,))
    try:
        check(statistics, ONE, "UA")
        refused = ""
    except ConfigError as error:
        refused = str(error)
    assert harmless(refused) == refused
    if not refused:
        canonical = category.canonical("UA")
        kinds = [category.kind(value, canonical, date(2026, 11, 20)) for value in canonical]
        assert kinds == list(range(len(values)))
        assert all(category.kind(cell, canonical, date(2026, 11, 20)) <= len(values) for cell in cells)
        assert harmless(statistics.to_text()) == statistics.to_text()
        assert len(set(category.labels)) == len(values) + 1
