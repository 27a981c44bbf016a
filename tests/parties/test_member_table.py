"""How lists become a table, and what members are shown of a session that gives one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpc import shamir
from mpc.prss import Keystream
from mpc.replicated import Array
from parties.cli import main
from parties.errors import InputError, ResultError, SessionRefused
from parties.fields import NewRows
from parties.manifest import Manifest
from parties.review import Reviews
from parties.statistics import OTHER, Category, Statistics
from tests.parties.contributing import FIVE, MEMBERS, Parties
from tests.parties.deciding import logged
from tests.parties.samples import write
from tests.parties.test_table import written

TABLE = Statistics(3, (Category("sex", ("female", "male")), Category("birth_date", (), (0, 18))))
FEW = "fewer than 3"
HEADING = "id_number,sex,birth date"


def list_of(parties: Parties, name: str, *rows: str) -> Path:
    return write(parties.folder / f"{name}.csv", "\n".join([HEADING, *rows, ""]))


LISTS = {
    "agency-a": [*(f"A{k},F,1980-01-31" for k in range(4)), *(f"P{k},M,2020-01-31" for k in range(5)), "X1,F,1980"],
    "agency-b": [*(f"P{k},F,1980-01-31" for k in range(5)), *(f"B{k},M,1990" for k in range(3)), "Q1,,", "Q2,,"],
    "agency-c": ["P4,M,2020", "Q1,F,1970", "Q2,F,1970", "C1,M,1970-05", "X1,,", "C2,,", "C2,F,1980", "C3,,", "C4,,"],
}
"""P0 to P4 are at a, who says that they are boys, and at b; P4 is at c too. Q1 and Q2 are at b first, who is silent."""
EXPECTED = {
    ("female", "18 and over"): ["4", FEW, FEW],  # A0 to A3; X1, who is at a and c, is one person held by two
    ("male", "0 to 17"): [FEW, "4", FEW],  # P0 to P3; P4 is one person held by three
    ("male", "18 and over"): ["4", FEW, FEW],  # B0 to B2, C1
    (OTHER, OTHER): ["3", FEW, FEW],  # C2, first row, C3 and C4; Q1 and Q2 are two people held by two
}
"""What is shown; nothing is of all other cells."""
session_number = iter(range(1000))


def session(parties: Parties, **changes: Any) -> Manifest:
    return parties.approved(
        title=f"Table {next(session_number)}", **{"reveal": "statistics", "statistics": TABLE} | changes
    )


def contributed(parties: Parties, **changes: Any) -> Manifest:
    agreed = session(parties, **changes)
    for name, rows in LISTS.items():
        parties.member(name).contribute(agreed.session_id, list_of(parties, name, *rows), accept=True)
    return agreed


def tabulated(parties: Parties, agreed: Manifest) -> Array:
    """The table in the clear, (cells, members) object, one person after the other."""
    assert agreed.statistics is not None
    rows, holders = parties.rows(agreed), dict[bytes, list[int]]()
    for member in agreed.members:
        for row in rows[member]:
            bits = np.unpackbits(row[2:].view(np.uint8), bitorder="little")
            holders.setdefault(row[:2].tobytes(), []).append(int(np.flatnonzero(bits)[0]))
    numbers = np.zeros((agreed.statistics.cells, len(agreed.members)), object)
    for cells in holders.values():
        numbers[cells[0], len(cells) - 1] += 1
    numbers[numbers < agreed.statistics.smallest_cell] = 0
    return numbers


def compute(parties: Parties, agreed: Manifest, numbers: Array | None = None) -> None:
    """Have the table made by whoever sees all shares, and released."""
    session_id, record = agreed.session_id, parties.begin(agreed)
    table = tabulated(parties, agreed) if numbers is None else numbers
    coefficients = shamir.field_elements(Keystream(bytes(32)), (agreed.threshold, *table.shape))
    shares = shamir.split(table, coefficients, len(agreed.committee))
    for guard, share in zip(parties.nodes(agreed), shares, strict=True):
        part = shamir.encode(share).tobytes()
        guard.computed(guard.store.get(session_id), dict.fromkeys(agreed.members, part), [], {})
        parties.registry.collect(record, guard.store.completions(session_id)[0])


FOR_BOTH = pytest.mark.parametrize(
    "terms", [{}, {"engine": "mpyc", "committee": FIVE, "threshold": 2}], ids=["replicated", "mpyc"]
)


@FOR_BOTH
def test_all_members_get_the_same_table(parties: Parties, terms: dict[str, Any]) -> None:
    agreed = contributed(parties, **terms)
    compute(parties, agreed)
    for name in MEMBERS:
        out = parties.folder / f"{name}-table.csv"
        parties.member(name).results(agreed.session_id, out, out.with_suffix(".html"))
        head, *lines = written(out)
        assert head == ["sex", "age", "held by 1 member", "held by 2 members", "held by 3 members"]
        assert len(lines) == TABLE.cells
        assert {(sex, age): numbers for sex, age, *numbers in lines if numbers != [FEW] * 3} == EXPECTED
        assert "numbers below 3" in out.with_suffix(".html").read_text("utf-8").lower()
        assert "got_result" in logged(parties.member(name).store, agreed.session_id)


def test_the_command_shows_the_table(parties: Parties, capsys: pytest.CaptureFixture[str]) -> None:
    agreed = contributed(parties)
    compute(parties, agreed)
    command = ["results", agreed.session_id.hex(), "--out", str(parties.folder / "t.csv")]
    command += ["--config", str(parties.configs["agency-a"].folder / "node.toml")]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert FEW in shown
    assert "A member knows its own people" in shown
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {tuple(c["cell"].values()): c["held_by"] for c in told["cells"]}["female", "18 and over"] == [4, None, None]


def test_there_is_nothing_to_review(parties: Parties) -> None:
    agreed, member = contributed(parties), parties.member()
    compute(parties, agreed)
    member.results(agreed.session_id, parties.folder / "t.csv", parties.folder / "t.html")
    reviews = Reviews(member.store, member.config.vault())
    with pytest.raises(SessionRefused, match="a session that gives a table has none"):
        reviews.session(agreed.session_id)
    assert member.forget(agreed.session_id) == 0
    out = parties.folder / "later.csv"  # the list is not needed for it
    member.results(agreed.session_id, out, out.with_suffix(".html"))
    assert len(written(out)) == 1 + TABLE.cells


def test_records_of_a_table_are_known_afterwards(parties: Parties) -> None:
    agreed = contributed(parties)
    compute(parties, agreed)
    parties.member().results(agreed.session_id, parties.folder / "t.csv", parties.folder / "t.html")
    again, rows = session(parties), [*LISTS["agency-a"], "new,F,1980"]
    parties.member().contribute(again.session_id, list_of(parties, "agency-a", *rows), accept=True)
    contribution = parties.registry.store.commitments(again.session_id)["agency-a"]
    assert (contribution.records, contribution.new_records) == (11, 1)


@pytest.mark.parametrize("new", [NewRows(since="2026-01-31"), NewRows(column="sex")])
def test_a_table_has_no_new_rows(parties: Parties, new: NewRows) -> None:
    agreed = session(parties)
    with pytest.raises(InputError, match=r"^--new-since and --new-column .* Leave them out\.$"):
        parties.member().contribute(agreed.session_id, list_of(parties, "agency-a", "A,F,1980"), new=new)
    assert not parties.registry.store.commitments(agreed.session_id)


def test_a_list_without_a_categorys_column_is_for_a_person_to_decide(parties: Parties) -> None:
    agreed, path = session(parties), write(parties.folder / "a.csv", "id_number,sex\nA,F\n")
    with pytest.raises(SessionRefused, match="no column for `birth_date`, which the session's table needs"):
        parties.member().contribute(agreed.session_id, path)
    parties.member().contribute(agreed.session_id, path, accept=True)
    assert "agency-a" in parties.registry.store.commitments(agreed.session_id)


def test_a_table_is_written_over_nothing(parties: Parties) -> None:
    agreed = contributed(parties)
    compute(parties, agreed)
    for out in (parties.folder / "agency-a.csv", parties.folder / "t.xlsx"):
        with pytest.raises(InputError, match="cannot be written"):
            parties.member().results(agreed.session_id, out, parties.folder / "t.html")
    assert written(parties.folder / "agency-a.csv")[0] == HEADING.split(",")


def test_a_number_that_must_not_be_shown_is_refused(parties: Parties) -> None:
    agreed = contributed(parties)
    numbers = np.zeros((TABLE.cells, len(MEMBERS)), object)
    numbers[0, 0] = 2
    compute(parties, agreed, numbers)
    out = parties.folder / "t.csv"
    with pytest.raises(ResultError, match="do not make a result"):
        parties.member().results(agreed.session_id, out, out.with_suffix(".html"))
    assert not out.exists()
