import tomllib
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties import headings
from parties.columns import FIELDS, ID_TYPES
from parties.headings import NOTHING, Meaning, is_code, is_hxl, of_heading, of_tag, recognised
from tests.parties.samples import examples

VOCABULARY = tomllib.loads(Path(headings.__file__).with_suffix(".toml").read_text("utf-8"))
EVERY = [(key, h) for key, languages in VOCABULARY["headings"].items() for hs in languages.values() for h in hs]
IMPORTANT = (
    "given_name",
    "family_name",
    "full_name",
    "birth_date",
    "sex",
    "phone",
    "id_type",
    "id_number",
    "household_id",
)
OPEN = {("id_type", "id_number"), ("given_name", "full_name"), ("family_name", "full_name"), ("admin1", "admin2"),
        ("admin2", "admin3")}  # fmt: skip


# The vocabulary itself


def test_the_vocabulary_names_standard_fields_and_kinds_of_documents_only() -> None:
    keys = [*VOCABULARY["headings"], *(key for key in VOCABULARY["hxl"] if key != "nothing")]
    assert {key.partition(":")[0] for key in keys} == set(FIELDS)
    assert {key.partition(":")[2] for key in VOCABULARY["headings"]} == {"", *ID_TYPES}
    assert {key.partition(":")[2] for key in VOCABULARY["hxl"]} == {"", *ID_TYPES}


@pytest.mark.parametrize("field", IMPORTANT)
def test_important_fields_are_known_in_every_language(field: str) -> None:
    assert set(VOCABULARY["headings"][field]) == {"en", "fr", "es", "ar", "uk", "ru"}


@pytest.mark.parametrize(("key", "heading"), EVERY)
def test_every_heading_has_its_meaning_however_it_is_written(key: str, heading: str) -> None:
    field, _, id_type = key.partition(":")
    meaning = of_heading(heading)
    assert field in meaning.fields
    assert len(meaning.fields) == 1 or meaning.fields in OPEN
    assert meaning.id_type == id_type
    bare = "".join(c for c in unicodedata.normalize("NFD", heading) if not unicodedata.combining(c))
    for written in (heading.upper(), f"  {heading}: ", f"*{heading}*", heading.replace(" ", "_"), bare):
        assert of_heading(written) == meaning


def test_no_heading_is_there_twice() -> None:
    for key, languages in VOCABULARY["headings"].items():
        for language, written in languages.items():
            folded = [headings._fold(heading) for heading in written]
            assert len(set(folded)) == len(folded), (key, language)


def test_every_tag_of_the_vocabulary_is_one_and_reaches_its_field() -> None:
    for key, patterns in VOCABULARY["hxl"].items():
        field, _, id_type = key.partition(":")
        expected = NOTHING if key == "nothing" else Meaning((field,), id_type)
        assert all(of_tag(p if "#" in p else f"#contact{p}") == expected for p in patterns), key


# Headings as they are written


@pytest.mark.parametrize(
    ("heading", "field"),
    [
        ("Phone 1", "phone"),
        ("phone_number_2", "phone"),
        ("PHONE (2)", "phone"),
        ("Phone #", "phone"),
        ("Tel. No.:", "phone"),
        ("N° de téléphone", "phone"),
        ("Nº de teléfono", "phone"),
        ("№ телефону", "phone"),
        ("رقم الهـــاتف", "phone"),
        ("group_x/phone", "phone"),
        ("form/contact info/Phone number", "phone"),
        ("phoneNumber", "phone"),
        ("Phone\nالهاتف", "phone"),
        ("Телефон / Phone", "phone"),
        ("phone_no_i_c", "phone"),
        ("Q12. Phone number", "phone"),
        ("3) Full name *", "full_name"),
        ("Beneficiary’s name", "full_name"),
        ("members[1]/full_name", "full_name"),
        ("Прізвище, ім’я, по батькові", "full_name"),
        ("Date of Birth (DD/MM/YYYY)", "birth_date"),
        ("Дата народження (дд.мм.рррр)", "birth_date"),
        ("dateOfBirth", "birth_date"),
        ("birth_date_i_c", "birth_date"),
        ("Sex (M/F)", "sex"),
        ("Gender [Male/Female]", "sex"),
        ("الأسرة/رقم الأسره", "household_id"),
        ("HHID", "household_id"),
        ("admin1_pcode", "admin1"),
        ("Admin 2 P-Code", "admin2"),
        ("Громада", "admin3"),
        ("registrationCreatedDate", "registration_date"),
        ("IDNumber", "id_number"),
    ],
)
def test_a_heading_is_recognised(heading: str, field: str) -> None:
    assert of_heading(heading) == Meaning((field,))


@pytest.mark.parametrize(
    ("heading", "id_type"),
    [
        ("Passport No", "passport"),
        ("national_passport_no_i_c", "passport"),
        ("Серія та номер паспорта", "passport"),
        ("РНОКПП", "tax"),
        ("ІПН", "tax"),
        ("РНОКПП/ІПН", "tax"),
        ("Tax number", "tax"),
        ("nationalId", "national_id"),
        ("Cédula de ciudadanía", "national_id"),
        ("الرقم الوطنى", "national_id"),
        ("Birth certificate", "birth_certificate"),
        ("ProGres ID", "refugee"),
        ("UNHCR ID", "refugee"),
        ("Driver's License No.", "driving_licence"),
        ("electoral_card_no_i_c", "voter"),
        ("Titre de séjour", "residence"),
        ("Passport / National ID", ""),
    ],
)
def test_a_heading_says_which_document_it_is_of(heading: str, id_type: str) -> None:
    assert of_heading(heading) == Meaning(("id_number",), id_type)


@pytest.mark.parametrize(
    "heading",
    [
        "", " ", "*", "#", "1", "id", "ID", "number", "code", "date", "age", "type", "status", "contact", "country",
        "nationality", "currency", "household size", "number of household members", "head of household name",
        "HoH name", "phone of next of kin", "name of enumerator", "mother's name", "date of arrival", "place of birth",
        "Phone / Email", "email", "Beneficiary ID", "Name (head of household)", "Phone (next of kin)",
        "head_of_household/phone", "nextOfKin/phone", "HoH/phone", "enumerator/phone_number", "school/name",
        "camp/name", "household/name", "голова домогосподарства/телефон", "رب الأسرة/الهاتف", "full_name_2", "Sex 2",
        "Phoen", "Phones numbers list", "prefix phone 1",
    ],
)  # fmt: skip
def test_what_could_be_anything_or_is_of_somebody_else_is_not_guessed(heading: str) -> None:
    assert of_heading(heading) == NOTHING


@pytest.mark.parametrize("heading", ["Name", "Nombre", "الاسم", "Ім’я", "Имя", "Name / الاسم"])
def test_a_bare_name_is_a_full_or_a_given_name(heading: str) -> None:
    assert of_heading(heading) == Meaning(("given_name", "full_name"))


def test_a_bare_document_is_a_number_or_a_kind() -> None:
    assert of_heading("Документ") == Meaning(("id_type", "id_number"))


def test_headings_are_counted() -> None:
    assert recognised(["Beneficiaries of November", "", ""]) == 0
    assert recognised(["No.", "Full name", "Sex", "Remarks"]) == 2


@given(st.text(st.characters(), max_size=40))
@examples(300)
def test_any_cell_can_be_asked_about(cell: str) -> None:
    assert set(of_heading(cell).fields) <= set(FIELDS)
    assert is_hxl([cell]) == (of_tag(cell) is not None or bool(headings._TAG.fullmatch(cell)))
    assert is_code(cell, cell) in (True, False)


# Hashtags


@pytest.mark.parametrize(
    ("tag", "field"),
    [
        ("#beneficiary+name", "full_name"),
        ("#name", "full_name"),
        ("#beneficiary +name +first", "given_name"),
        ("#Name+Family", "family_name"),
        ("#beneficiary+localGivenName", "given_name"),
        ("#date+birth", "birth_date"),
        ("#date+dob+", "birth_date"),
        ("#date+birth+year", "birth_year"),
        ("#indicator+sex", "sex"),
        ("#contact+phone+main", "phone"),
        ("#beneficiary+id+type", "id_type"),
        ("#beneficiary+hh+id", "household_id"),
        ("#adm1+code+v_pcode", "admin1"),
        ("#adm4+name", "admin4"),
        ("#date+reg", "registration_date"),
        ("#modality", "assistance_type"),
        ("#value+transfer", "amount"),
        ("#date+period", "period"),
    ],
)
def test_a_tag_is_recognised(tag: str, field: str) -> None:
    assert of_tag(tag) == Meaning((field,))


def test_a_tag_says_which_document_it_is_of() -> None:
    assert of_tag("#beneficiary+id+tax") == Meaning(("id_number",), "tax")


@pytest.mark.parametrize("tag", ["#contact+phone+kin", "#beneficiary+name+hh", "#adm1+origin", "#name+head"])
def test_a_tag_about_somebody_or_something_else(tag: str) -> None:
    assert of_tag(tag) == NOTHING


@pytest.mark.parametrize("tag", ["", "phone", "#", "#beneficiary+id", "#id", "#loc", "#currency", "#adm", "#1", "#a b"])
def test_a_tag_that_says_nothing_of_a_field(tag: str) -> None:
    assert of_tag(tag) is None


def test_a_row_of_tags() -> None:
    assert is_hxl(["#name", "", "#x_foo + bar"])
    assert is_hxl(["#name", "#sex", "do not remove this line"])
    assert not is_hxl(["Phone #", "# of people", "#1"])
    assert not is_hxl(["#hello", "what is", "this row"])
    assert not is_hxl(["", " "])
    assert not is_hxl([])


def test_codes_of_places() -> None:
    assert is_code("Admin1 P-code", "")
    assert is_code("adm1PCode", "")
    assert is_code("Область", "#adm1+code")
    assert is_code("Код області", "")
    assert not is_code("Область", "#adm1+name")
