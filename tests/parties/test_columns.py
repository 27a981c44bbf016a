import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.columns import FIELDS, MULTIPLE, Column, Columns, MapFile, map_columns, read_map
from parties.errors import InputError
from parties.findings import Severity
from tests.parties.samples import examples

LIST, MAP = Path("winter.csv"), Path("columns.toml")
WHOLE = """
[columns]
full_name = "Name of beneficiary"
phone = ["Phone 1", "Phone 2"]
anything = "My heading"
[columns.id_number]
passport = "Passport No"
tax = ["РНОКПП", "Старий ІПН"]
[constants]
id_country = "UA"
period = "2026-12"
[list]
encoding = "windows-1251"
delimiter = ";"
sheet = "Beneficiaries"
heading_row = 3
date_order = "dmy"
"""


def mapped(*headings: str, tags: tuple[str, ...] = (), toml: str = "") -> Columns:
    return map_columns(headings, tags, read_map(tomllib.loads(toml), MAP), LIST)


def named(columns: Columns) -> dict[str, list[str]]:
    return {field: [c.heading for c in found] for field, found in columns.fields.items()}


def findings(columns: Columns) -> list[tuple[Severity, str]]:
    return [(f.severity, f.column) for f in columns.findings]


# What the map file says counts


def test_columns_by_the_map_file() -> None:
    columns = mapped("Phone 2", "name OF  beneficiary", "Phone 1", "Passport No", "РНОКПП", "Старий ІПН", "My heading",
                     "Remarks", "", toml=WHOLE)  # fmt: skip
    assert columns.fields == {
        "full_name": (Column(1, "name OF  beneficiary", "map file"),),
        "phone": (Column(2, "Phone 1", "map file"), Column(0, "Phone 2", "map file")),
        "anything": (Column(6, "My heading", "map file"),),
        "id_number": (
            Column(3, "Passport No", "map file", "passport"),
            Column(4, "РНОКПП", "map file", "tax"),
            Column(5, "Старий ІПН", "map file", "tax"),
        ),
    }
    assert columns.constants == {"id_country": "UA", "period": "2026-12"}
    assert columns.unknown == ("Remarks",)
    assert findings(columns) == [(Severity.NOTE, "My heading")]


def test_the_map_file_counts_before_tags_and_headings() -> None:
    columns = mapped("Phone", "Mobile", "Sex", tags=("#contact+phone", "#contact+phone", "#sex"),
                     toml="columns = {phone = 'Mobile', sex = 'Phone'}")  # fmt: skip
    assert named(columns) == {"phone": ["Mobile"], "sex": ["Phone"]}
    assert columns.unknown == ("Sex",)
    assert columns.findings == ()


def test_one_column_may_stand_for_two_fields_of_the_map_file() -> None:
    columns = mapped("DOB", toml="columns = {birth_date = 'DOB', birth_year = 'DOB'}")
    assert named(columns) == {"birth_date": ["DOB"], "birth_year": ["DOB"]}


def test_a_constant_counts_before_a_column() -> None:
    columns = mapped("Country of issue", "ID number", toml="constants = {id_country = 'UA', id_type = 'passport'}")
    assert named(columns) == {"id_number": ["ID number"]}
    assert columns.findings == ()


@pytest.mark.parametrize(
    ("headings", "says"), [(("A", "B"), "has no column"), (("C", "c "), "has more than one column")]
)
def test_a_heading_of_the_map_file_that_is_not_there_once(headings: tuple[str, ...], says: str) -> None:
    with pytest.raises(InputError) as error:
        mapped(*headings, toml="columns = {sex = 'C'}")
    text = str(error.value)
    assert text.startswith(f"{LIST} {says} `C`, which the map file names for `sex`.")
    assert ", ".join(map(str.strip, headings)) in text


# Tags and headings


def test_an_export_by_its_headings() -> None:
    columns = mapped("No.", "Given name", "Family name", "DOB", "Gender", "Phone 1", "Phone 2", "Passport No", "ІПН",
                     "Household ID", "Oblast", "Raion", "Remarks")  # fmt: skip
    assert named(columns) == {
        "given_name": ["Given name"],
        "family_name": ["Family name"],
        "birth_date": ["DOB"],
        "sex": ["Gender"],
        "phone": ["Phone 1", "Phone 2"],
        "id_number": ["Passport No", "ІПН"],
        "household_id": ["Household ID"],
        "admin1": ["Oblast"],
        "admin2": ["Raion"],
    }
    assert [c.id_type for c in columns.of("id_number")] == ["passport", "tax"]
    assert {c.how for found in columns.fields.values() for c in found} == {"heading"}
    assert columns.unknown == ("No.", "Remarks")
    assert columns.findings == ()


def test_every_field_is_recognised_by_its_own_name() -> None:
    columns = mapped(*FIELDS)
    assert named(columns) == {field: [field] for field in FIELDS}
    assert columns.findings == ()


def test_tags_count_before_headings() -> None:
    columns = mapped(
        "Nombre", "Number", "Region", "Key", tags=("#beneficiary+name", "#contact+phone", "#adm2+code", "")
    )
    assert columns.fields == {
        "full_name": (Column(0, "Nombre", "HXL"),),
        "phone": (Column(1, "Number", "HXL"),),
        "admin2": (Column(2, "Region", "HXL"),),
    }
    assert findings(columns) == [(Severity.NOTE, "Region")]
    assert columns.unknown == ("Key",)


def test_a_heading_counts_where_the_tag_says_nothing() -> None:
    assert named(mapped("Sex", "DOB", tags=("#x_code", "#date+dob"))) == {"birth_date": ["DOB"], "sex": ["Sex"]}


def test_a_tag_may_say_that_it_is_somebody_elses() -> None:
    columns = mapped("Phone", tags=("#contact+phone+kin",))
    assert (columns.fields, findings(columns)) == ({}, [(Severity.NOTE, "Phone")])


def test_a_heading_may_know_the_kind_of_document_where_the_tag_does_not() -> None:
    columns = mapped("Passport No", "National ID", "Document", tags=("#id+number", "#id+tax", "#id+passport"))
    assert [c.id_type for c in columns.of("id_number")] == ["passport", "tax", "passport"]
    assert findings(columns) == [(Severity.NOTE, "National ID")]


def test_a_list_with_tags_only() -> None:
    assert mapped("#sex", tags=("#sex",)).fields == {"sex": (Column(0, "#sex", "HXL"),)}


def test_tags_of_columns_that_are_not_there_do_not_count() -> None:
    assert named(mapped("Sex", tags=("", "#date+dob"))) == {"sex": ["Sex"]}


# What is not guessed


def test_two_columns_for_one_field_are_asked_about() -> None:
    columns = mapped("Date of birth", "DOB")
    assert columns.fields == {}
    assert columns.unknown == ("Date of birth", "DOB")
    (finding,) = columns.findings
    assert finding.severity is Severity.WARNING
    assert "`Date of birth` and `DOB` could each be birth_date" in finding.text
    assert 'birth_date = "the right heading"' in finding.text


def test_the_same_heading_twice_is_asked_about() -> None:
    assert findings(mapped("Sex", "Sex")) == [(Severity.WARNING, "")]


def test_the_map_file_answers() -> None:
    columns = mapped("Date of birth", "DOB", toml="columns = {birth_date = 'DOB'}")
    assert (named(columns), columns.findings) == ({"birth_date": ["DOB"]}, ())


def test_a_fields_own_name_counts_before_other_headings() -> None:
    columns = mapped("DOB", "birth_date")
    assert named(columns) == {"birth_date": ["birth_date"]}
    assert findings(columns) == [(Severity.NOTE, "DOB")]


def test_a_tag_counts_before_another_columns_heading() -> None:
    columns = mapped("DOB", "born", tags=("", "#date+dob"))
    assert named(columns) == {"birth_date": ["born"]}
    assert findings(columns) == [(Severity.NOTE, "DOB")]


@pytest.mark.parametrize(
    ("headings", "tags"),
    [
        (("Admin1", "Admin1 PCode"), ()),
        (("Admin1", "Admin1 PCode"), ("#adm1+name", "#adm1+code")),
        (("Область", "Код області"), ()),
    ],
)
def test_codes_of_places_count_before_names(headings: tuple[str, ...], tags: tuple[str, ...]) -> None:
    columns = mapped(*headings, tags=tags)
    assert named(columns) == {"admin1": [headings[1]]}
    assert findings(columns) == [(Severity.NOTE, headings[0])]


def test_codes_of_households_do_not() -> None:
    assert findings(mapped("Household ID", "Household code")) == [(Severity.STOP, "")]


@pytest.mark.parametrize(
    ("headings", "field", "severity"),
    [
        (("Name",), "full_name", Severity.NOTE),
        (("Name", "First name", "Last name"), "full_name", Severity.NOTE),
        (("Name", "Surname"), "given_name", Severity.NOTE),
        (("Name", "First name"), "", Severity.WARNING),
        (("Nom", "Prénom"), "family_name", Severity.NOTE),
        (("Nom",), "full_name", Severity.NOTE),
        (("Nom", "Nom de famille"), "", Severity.WARNING),
        (("Ім'я", "Прізвище"), "given_name", Severity.NOTE),
        (("Document",), "", Severity.STOP),
        (("Document", "Document type"), "id_number", Severity.NOTE),
        (("Document", "Document number"), "id_type", Severity.NOTE),
        (("Département",), "", Severity.WARNING),
        (("Département", "Région"), "admin2", Severity.NOTE),
    ],
)
def test_a_heading_with_two_meanings(headings: tuple[str, ...], field: str, severity: Severity) -> None:
    columns = mapped(*headings)
    assert [f for f, found in columns.fields.items() if found[0].index == 0] == ([field] if field else [])
    assert (severity, headings[0]) in findings(columns)
    assert (headings[0] in columns.unknown) == (not field)


def test_meanings_that_the_map_file_or_other_columns_have_taken() -> None:
    assert named(mapped("Name", "N", toml="columns = {full_name = 'N'}")) == {"full_name": ["N"]}
    columns = mapped("Document", "ID type", "ID no")
    assert (columns.unknown, findings(columns)) == (("Document",), [(Severity.NOTE, "Document")])


def test_a_column_of_no_standard_field_gets_a_name_of_its_own() -> None:
    columns = mapped("Document", toml="columns = {scan = 'Document'}")
    assert named(columns) == {"scan": ["Document"]}
    assert findings(columns) == [(Severity.NOTE, "Document")]


def test_the_example_of_a_question_is_toml() -> None:
    (finding,) = mapped("Document").findings
    example = finding.text.partition("[columns] ")[2].partition(", or")[0]
    assert tomllib.loads(example) == {"id_type": "Document"}


# Columns of a field


def test_columns_of_a_field_or_of_a_heading() -> None:
    columns = mapped("Phone", "Remarks", "remarks ", "My heading", toml="columns = {anything = 'My heading'}")
    assert columns.of("phone") == (Column(0, "Phone", "heading"),)
    assert columns.of("anything") == (Column(3, "My heading", "map file"),)
    assert columns.of("MY heading") == (Column(3, "My heading", "heading"),)
    assert columns.of("Remarks") == (Column(1, "Remarks", "heading"), Column(2, "remarks ", "heading"))
    assert columns.of("sex") == columns.of("nothing") == ()


def test_a_standard_field_that_is_asked_about_has_no_column() -> None:
    assert mapped("sex", "sex").of("sex") == ()


KNOWN = ["Name", "Nom", "First name", "Surname", "Document", "ID type", "ID no", "Phone", "Phone 2", "DOB", "Remarks"]
KNOWN += ["birth_date", "Admin1", "Admin1 pcode", "Région", "Département", "Commune", ""]
TAGS = ["", "#name", "#contact+phone", "#adm1+code", "#adm1+name", "#id+passport", "#name+kin", "#x_y"]


@given(st.lists(st.tuples(st.sampled_from(KNOWN), st.sampled_from(TAGS)), max_size=8))
@examples(400)
def test_every_column_is_used_once_or_unknown_and_nothing_is_silent(cells: list[tuple[str, str]]) -> None:
    headings, tags = [h for h, _ in cells], [t for _, t in cells]
    columns = map_columns(headings, tags, MapFile(), LIST)
    used = [c.index for found in columns.fields.values() for c in found]
    assert len(set(used)) == len(used)
    assert [h for k, h in enumerate(headings) if h and k not in used] == list(columns.unknown)
    assert all(len(found) == 1 or field in MULTIPLE for field, found in columns.fields.items())
    told = " ".join(f"`{f.column}` {f.text}" for f in columns.findings)
    assert all(f"`{h}`" in told for h in columns.unknown if h != "Remarks")
