"""The map file that a list's owner writes, without a list."""

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.columns import _CONSTANTS, FIELDS, ID_TYPES, MapFile, read_map
from parties.errors import InputError
from tests.parties.samples import JARGON, examples
from tests.parties.test_columns import MAP, WHOLE


def refused(toml: str) -> str:
    with pytest.raises(InputError) as error:
        read_map(tomllib.loads(toml), MAP)
    text = str(error.value)
    assert str(MAP) in text
    assert not any(word in text for word in JARGON)
    return text


def test_a_whole_map_file() -> None:
    assert read_map(tomllib.loads(WHOLE), MAP) == MapFile(
        columns={
            "full_name": (("Name of beneficiary", ""),),
            "phone": (("Phone 1", ""), ("Phone 2", "")),
            "anything": (("My heading", ""),),
            "id_number": (("Passport No", "passport"), ("РНОКПП", "tax"), ("Старий ІПН", "tax")),
        },
        constants={"id_country": "UA", "period": "2026-12"},
        date_order="dmy",
        encoding="windows-1251",
        delimiter=";",
        sheet="Beneficiaries",
        heading_row=3,
    )


def test_an_empty_map_file_says_nothing() -> None:
    assert read_map({}, MAP) == MapFile()


@pytest.mark.parametrize("toml", ["", WHOLE])
def test_a_map_file_is_kept_as_json(toml: str) -> None:
    map_file = read_map(tomllib.loads(toml), MAP)
    assert MapFile.from_json(json.loads(json.dumps(map_file.to_json()))) == map_file


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("[column]\nphone = 'Phone'", "`column` is none of the tables [columns], [constants] and [list]"),
        ("columns = 'Phone'", "`columns` must be a table"),
        ("[[list]]\nsheet = 'A'", "`list` must be a table"),
        ("[columns]\nphone = 7", "`phone` must name a heading"),
        ("[columns]\nphone = ''", "`phone` must name a heading"),
        ("[columns]\nphone = []", "`phone` must name a heading"),
        ("[columns]\nphone = ['Phone', 7]", "`phone` must name a heading"),
        ("[columns]\nphone = ['Phone', 'phone ']", "`phone` names the same heading twice"),
        ("[columns.phone]\nmobile = 'Phone'", "`phone` must name a heading"),
        ("[columns]\nsex = ['Sex', 'Gender']", "`sex` can be one column only; phone and id_number can be several"),
        ("[columns.id_number]\nlibrary_card = 'Card'", "`library_card` is no kind of document; these are passport"),
        ("[columns.id_number]\ntax = {a = 'b'}", "`id_number` must name a heading"),
        ("[columns]\nid_number = {}", "`id_number` must name a heading"),
        ("[constants]\nanything = 'x'", "`anything` is no standard field; these are given_name"),
        ("[constants]\namount = 100", "`amount` must be a text in quotes"),
        ("[constants]\nperiod = ' '", "`period` must be a text in quotes"),
        ("[columns]\nsex = 'Sex'\n[constants]\nsex = 'F'", "`sex` is under [columns] and under [constants]"),
        ("[list]\ncolour = 'red'", "`colour` is unknown; there are encoding, delimiter"),
        ("[list]\nheading_row = '3'", "`heading_row` must be a whole number, 1 or more"),
        ("[list]\nheading_row = true", "`heading_row` must be a whole number, 1 or more"),
        ("[list]\nheading_row = 0", "`heading_row` must be a whole number, 1 or more"),
        ("[list]\nsheet = 1", "`sheet` must be a text in quotes"),
        ("[list]\nencoding = ''", "`encoding` must be a text in quotes"),
        ("[list]\ndate_order = 'ymd'", '`date_order` must be "dmy" or "mdy"'),
        ("[list]\ndelimiter = ';;'", "`delimiter` must be one character"),
    ],
)
def test_a_wrong_map_file(toml: str, says: str) -> None:
    assert says in refused(toml)


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("id_country = 'Ukrainia'", '`id_country` = "Ukrainia" cannot be read as a country; write for example UA.'),
        ("id_country = 'n/a'", '`id_country` = "n/a" cannot be read as a country'),
        ("id_type = 'Library card'", '`id_type` = "Library card" cannot be read as a kind of document; write for'),
        ("id_type = '1'", '`id_type` = "1" cannot be read as a kind of document; write for example passport.'),
        ("registration_date = 'yesterday'", '`registration_date` = "yesterday" cannot be read as a date'),
        ("registration_date = '01/02/2026'", '`registration_date` = "01/02/2026" cannot be read as a date'),
        ("registration_date = '1.2.26'", "write for example 2026-01-31."),
        ("birth_date = '?'", '`birth_date` = "?" cannot be read as a date'),
        ("birth_year = '85'", '`birth_year` = "85" cannot be read as a year; write for example 1980.'),
        ("sex = '1'", '`sex` = "1" cannot be read as a sex; write for example F.'),
        ("amount = '1500 UAH'", '`amount` = "1500 UAH" cannot be read as an amount; write for example 1500.50.'),
    ],
)
def test_a_constant_that_cannot_be_read(toml: str, says: str) -> None:
    assert says in refused(f"[constants]\n{toml}")


def test_every_example_of_a_constant_can_be_read() -> None:
    examples = {name: example for name, (_, example, _) in _CONSTANTS.items()}
    assert read_map({"constants": examples}, MAP).constants == examples


@pytest.mark.parametrize(
    "toml", ["id_country = 'Україна'", "id_type = 'РНОКПП'", "registration_date = '31.01.2026'", "admin1 = '?'"]
)
def test_a_constant_that_can_be_read_stays_as_written(toml: str) -> None:
    assert list(read_map(tomllib.loads(f"[constants]\n{toml}"), MAP).constants.values()) == [toml.split("'")[1]]


values: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 3) | st.text(max_size=3) | st.sampled_from(["dmy", "Phone"]),
    lambda v: st.lists(v, max_size=2) | st.dictionaries(st.sampled_from([*ID_TYPES, "x"]), v, max_size=2),
    max_leaves=4,
)
keys = st.sampled_from([*FIELDS, "sheet", "heading_row", "date_order", "delimiter", "x"])
tables = st.dictionaries(keys, values, max_size=3) | values


@given(st.dictionaries(st.sampled_from(["columns", "constants", "list", "x"]), tables, max_size=3))
@examples(300)
def test_any_map_file_is_read_or_refused(toml: dict[str, Any]) -> None:
    try:
        map_file = read_map(toml, MAP)
    except InputError:
        return
    assert MapFile.from_json(json.loads(json.dumps(map_file.to_json()))) == map_file
