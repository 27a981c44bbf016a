"""Encodings of text files: certain ones, guessed ones, stated ones, and what is no text."""

from pathlib import Path

import pytest

from parties.encodings import MAX_LINE_CHARS
from parties.findings import Severity
from parties.records import ListOptions
from tests.parties.samples import write
from tests.parties.test_csvfile import opened
from tests.parties.test_records import cells, refused


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "list.csv"


LATIN = "nom;prénom\nLefèvre;André\nGarçon;Zoë\nNoël;Hélène\n"
CYRILLIC = "Прізвище;Імя\nКовальчук;Олена\nІваненко;Петро\nЇжакевич;Софія\nШевченко;Тарас\n"
ARABIC = "الاسم;الهاتف\nمحمد أحمد;123\nفاطمة الزهراء;456\nعبد الرحمن;789\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
@pytest.mark.parametrize("text", [LATIN, CYRILLIC, ARABIC])
def test_unicode_encodings_are_certain(path: Path, encoding: str, text: str) -> None:
    if encoding == "utf-32-be":
        text = "\ufeff" + text
    source = opened(write(path, text.encode(encoding)))
    assert source.findings == ()
    assert [list(source.headings), *cells(source).values()] == [
        line.split(";") for line in text.strip("\ufeff\n").split("\n")
    ]


@pytest.mark.parametrize(
    ("text", "encoding", "name", "example"),
    [
        (LATIN, "cp1252", "windows-1252", "prénom"),
        (LATIN, "mac_roman", "mac-roman", "prénom"),
        (CYRILLIC, "cp1251", "windows-1251", "Прізвище"),
        (CYRILLIC, "koi8_u", "koi8-u", "Прізвище"),
        (ARABIC, "cp1256", "windows-1256", "الاسم"),
        (
            "id;name\n" + "A;B\n" * 9000 + "C;Ковальчук Олена Іванівна\n",
            "cp1251",
            "windows-1251",
            "Ковальчук Олена Іванівна",
        ),
    ],
)
def test_other_encodings_are_guessed_and_to_be_confirmed(
    path: Path, text: str, encoding: str, name: str, example: str
) -> None:
    source = opened(write(path, text.encode(encoding)))
    assert [list(source.headings), *cells(source).values()] == [line.split(";") for line in text.strip().split("\n")]
    (finding,) = source.findings
    assert finding.severity is Severity.STOP
    assert f"`{example}`" in finding.text
    assert f'[list] encoding = "{name}"' in finding.text
    assert opened(path, ListOptions(encoding=name)).findings == ()


def test_a_stated_encoding(path: Path) -> None:
    write(path, CYRILLIC.encode("cp1251"))
    assert opened(path, ListOptions(encoding="cp1251")).headings == ("Прізвище", "Імя")
    assert opened(path, ListOptions(encoding="latin-1")).headings != ("Прізвище", "Імя")
    assert "is not utf-8 text: it has bytes that mean nothing there" in refused(path, ListOptions(encoding="utf8"))


@pytest.mark.parametrize("encoding", ["x", "base64", "rot13", "idna", "utf-7", "unicode_escape", "undefined", "\0"])
def test_a_stated_encoding_that_is_none(path: Path, encoding: str) -> None:
    write(path, CYRILLIC.encode("cp1251"))
    assert "there is no encoding" in refused(path, ListOptions(encoding=encoding))


def test_the_mark_counts_more_than_what_is_stated(path: Path) -> None:
    write(path, CYRILLIC.encode("utf-8-sig"))
    assert opened(path, ListOptions(encoding="cp1251")).headings == ("Прізвище", "Імя")


def test_bytes_that_are_no_text(path: Path) -> None:
    assert "is not UTF-8 text" in refused(write(path, b"id,name\n" + bytes(range(1, 256)) * 9))


def test_a_line_without_end(path: Path) -> None:
    assert "more than a million characters" in refused(write(path, b"x," * (MAX_LINE_CHARS // 2 + (1 << 20))))


@pytest.mark.parametrize("content", [b"id,na\0me\nA,B\n", b"id,name\nA,B\0\n", b"id,name\n" + b"A,B\n" * 5000 + b"\0"])
def test_nul_bytes(path: Path, content: bytes) -> None:
    assert "is not UTF-8 text: it has NUL bytes" in refused(write(path, content))
