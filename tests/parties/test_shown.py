"""Names that others chose, inside sentences of ours."""

from pathlib import Path

import pytest

from parties.columns import MapFile, map_columns
from parties.errors import InputError
from parties.findings import Finding, Severity
from parties.records import ListOptions, open_list
from parties.shown import NAME_CHARS, NAMES, listed, shown
from tests.parties.samples import write
from tests.parties.test_xlsxfile import KNOWN, save

LONG = "x" * 130_000


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (" a\n\tb ", "a b"),
        ("a\x1b[31mb\u202ec\u2066d\0", "a�[31mb�c�d�"),
        ("مى\u200cخواهم", "مى\u200cخواهم"),
        (LONG, "x" * (NAME_CHARS - 1) + "…"),
        ("x" * NAME_CHARS, "x" * NAME_CHARS),
        (" " * 130_000 + "x", "…"),
        ("\ud800", "�"),
    ],
)
def test_what_others_wrote_is_short_and_harmless(text: str, seen: str) -> None:
    assert shown(text) == seen
    assert len(shown(text, 10)) <= 10


def test_of_many_names_the_first_are_listed() -> None:
    names = [f"h{k}" for k in range(16_384)]
    assert listed(names[:NAMES]) == ", ".join(names[:NAMES])
    assert listed(names) == ", ".join([*names[:NAMES], "… and 16,354 more"])


def test_a_finding_on_one_row_and_on_a_long_heading() -> None:
    text = Finding(Severity.NOTE, "is so", f"\u202e{LONG}", 1, (7,)).to_text()
    assert text == f"note     `�{'x' * (NAME_CHARS - 2)}…`: is so (1 row: 7)"
    assert Finding(Severity.NOTE, "is so", "a", 2, (7, 8)).to_text().endswith("(2 rows: 7, 8)")


def test_long_headings_are_cut_in_every_sentence(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    source = open_list(write(path, f'{LONG}1,"Phone\u202e",{LONG}2\n1,2,3\n'))
    with pytest.raises(InputError) as error:
        map_columns(source.headings, (), MapFile({"sex": ((LONG, ""),)}), path)
    told = str(error.value)
    assert len(told) < 1000
    assert "Correct the name in the map file" in told
    assert "\u202e" not in told
    twice = map_columns((f"DOB {LONG}", "DOB"), (f"#date+birth{'+a' * 50_000}", "#date+birth"), MapFile(), path)
    assert twice.findings
    assert all(len(finding.to_text()) < 1000 for finding in twice.findings)


def test_names_of_sheets_are_safe_in_sentences(tmp_path: Path) -> None:
    path = save(tmp_path / "list.xlsx", **{f"s{k}": [["x"], ["1"]] for k in range(40)}, **{"a\u202eb": KNOWN})
    (finding,) = open_list(path).findings
    assert "from the sheet `a�b`; there are also: s0, s1," in finding.text
    assert "… and 10 more" in finding.text
    with pytest.raises(InputError, match=r"has no sheet `�`. Its sheets are: s0, .*… and 11 more\."):
        open_list(path, ListOptions(sheet="\u202e"))
