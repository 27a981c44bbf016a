from pathlib import Path

import pytest

from parties import toml
from parties.errors import ConfigError

REMEDY = 'Texts stand in straight quotes, like full_name = "Name".'


def refused(path: Path) -> str:
    with pytest.raises(ConfigError) as error:
        toml.read(path, "Make it.")
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_file(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "columns.toml"
    path.write_text('[columns]\r\nfull_name = "Ім\u2019я = «ПІБ»"\r\n', encoding)
    assert toml.read(path) == {"columns": {"full_name": "Ім\u2019я = «ПІБ»"}}


def test_no_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "columns.toml").endswith("No such file or directory. Make it.")


@pytest.mark.parametrize("encoding", ["windows-1251", "utf-16"])
def test_another_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "columns.toml"
    path.write_text('full_name = "ПІБ"', encoding)
    assert refused(path) == f"{path} is not UTF-8 text: in Notepad choose Save as, encoding UTF-8."


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ("full_name = \u201cName\u201d", "line 3"),
        ('full_name = "Name\u201d', "line 3"),
        ("\u201efull_name\u201c = 'Name'", "line 3"),
        ("full_name = \u2018Name\u2019", "line 3"),
        ("full_name = «Name»", "line 3"),
        ("full_name = Name", "line 3"),
        ("full_name = Full name", "line 3"),
        ("phone =Телефон", "line 3"),
        ("phone = 1st phone", "line 3"),
        ('phone = [Phone, "Mobile"]', "line 3"),
    ],
)
def test_texts_that_are_not_quoted(tmp_path: Path, wrong: str, line: str) -> None:
    path = tmp_path / "columns.toml"
    path.write_text(f"# map\n[columns]\n{wrong}\nsex = 'Sex'\n", "utf-8")
    said = refused(path)
    assert line in said
    assert said.endswith(f". {REMEDY}")


@pytest.mark.parametrize("wrong", ["full_name 'Name'", "[columns", "heading_row = 3 4", "new = True", "sex = 'S' 'T'"])
def test_other_faults_have_no_such_remedy(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "columns.toml"
    path.write_text(f"id_type = '“Kind” = Art'\n{wrong}\n", "utf-8")
    said = refused(path)
    assert "is not valid TOML: " in said
    assert "line 2" in said
    assert REMEDY not in said


def test_a_fault_at_the_end_is_looked_for_in_the_whole_text(tmp_path: Path) -> None:
    path = tmp_path / "columns.toml"
    path.write_text("full_name = 'Name\u2019", "utf-8")
    assert refused(path).endswith(f"(at end of document). {REMEDY}")


@pytest.mark.parametrize("wrong", ["a = " + "[" * 5000, "a = " + "{a=" * 5000, "a = " + "9" * 5000])
def test_what_cannot_be_read_although_it_may_be_toml(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "columns.toml"
    path.write_text(wrong, "utf-8")
    assert "nested too deeply, or a number is too long" in refused(path)


@pytest.mark.parametrize("large", ["#" * toml.MAX_CHARS + "\n", "a." * 50_000 + "a = 1"], ids=["long", "dots"])
def test_what_would_take_memory_or_hours(tmp_path: Path, large: str) -> None:
    path = tmp_path / "columns.toml"
    path.write_text(large, "utf-8")
    assert "it is no file of Matchbit's" in refused(path)
