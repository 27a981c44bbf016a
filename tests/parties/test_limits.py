"""What a member may bring: the limits that its own program and each committee node hold it to."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from parties.errors import InputError, SessionRefused
from parties.fields import open_list
from parties.keys import make_keys
from parties.limits import check_commitment, check_limits
from tests.parties.deciding import FEDERATION, Contribution, refusal, terms
from tests.parties.samples import ALIKE, NOW, RULES, manifest, write

SESSION = bytes(range(32))
DAY = timedelta(days=1)


# A list, before anything leaves the member


def limited(path: Path, rows: list[str], **changes: Any) -> None:
    opened = open_list(write(path / "list.csv", "\n".join(["id_number,phone,birth_date", *rows, ""])))
    terms = manifest(**changes)
    check_limits(terms, make_keys(opened, SESSION, terms.rules, "UA")[0], opened.path)


def test_within_the_limits(tmp_path: Path) -> None:
    limited(tmp_path, ["A1,,", "B1,,"], max_records=2, min_records=2)


def test_more_rows_than_agreed(tmp_path: Path) -> None:
    says = (
        f"{tmp_path / 'list.csv'} has 3 rows; the session allows 2 per member. Shorten the list, or ask the coordinator"
    )
    with pytest.raises(InputError, match=re.escape(says)):
        limited(tmp_path, ["A1,,", "A1,,", "-,,"], max_records=2)


def test_more_keys_than_agreed(tmp_path: Path) -> None:
    rows = ["A1,067 123 45 67; 067 123 45 68; 067 123 45 69,1980-01-31"]
    with pytest.raises(
        InputError, match="makes 4 keys, since rows have several phones or numbers; the session allows 2"
    ):
        limited(tmp_path, rows, max_records=1)
    limited(tmp_path, rows, max_records=2)


@pytest.mark.parametrize(
    ("rows", "counts"),
    [(["A1,,", "B1,,"], "2 rows, 2"), (["A1,,", "A1,,", "A1,,"], "3 rows, 1")],
)
def test_fewer_rows_or_keys_than_agreed(tmp_path: Path, rows: list[str], counts: str) -> None:
    says = f"has {counts} distinct keys; the session asks for at least 3 of each, so that no one is singled out."
    with pytest.raises(InputError, match=re.escape(says)):
        limited(tmp_path, rows, min_records=3)


def test_nothing_to_compare(tmp_path: Path) -> None:
    says = "has all fields of any rule (id: id_number; phone and birth date: phone + birth_date); there is nothing"
    with pytest.raises(InputError, match=re.escape(says)):
        limited(tmp_path, [",0671234567,", ",,1980-01-31"])


def test_a_list_under_a_similar_rule(tmp_path: Path) -> None:
    limited(tmp_path, [",0671234567,", ",,1980-01-31"], rules=(*RULES, ALIKE), max_records=2)
    with pytest.raises(
        InputError, match=r"similar people: similar in phone, birth_date, full_name\); there is nothing"
    ):
        limited(tmp_path, [",,1980-01-31"], rules=(ALIKE,))


PHONE, OTHER_PHONE = ",0671234567,", ",0671234568,"


@pytest.mark.parametrize(
    ("rows", "counts"),
    [
        (["A1,,", "B1,,", PHONE], "1 rows that the similar rule can compare"),
        (["A1,,", PHONE, OTHER_PHONE], "1 distinct keys, 2 rows that the similar rule can compare"),
        ([",,1980-01-31", PHONE], "1 rows that the similar rule can compare"),
    ],
)
def test_keys_and_records_that_are_compared_must_each_be_enough(tmp_path: Path, rows: list[str], counts: str) -> None:
    says = f"{counts}; the session asks for at least 2 of each, so that no one is singled out."
    with pytest.raises(InputError, match=re.escape(says)):
        limited(tmp_path, rows, rules=(*RULES, ALIKE), min_records=2)


@pytest.mark.parametrize("rows", [["A1,,", "B1,,"], [PHONE, OTHER_PHONE]])
def test_of_keys_or_records_there_may_be_none(tmp_path: Path, rows: list[str]) -> None:
    limited(tmp_path, rows, rules=(*RULES, ALIKE), min_records=2)


# A commitment, at a committee node


def checked(*past: timedelta, signer: str = "", changes: dict[str, Any] | None = None, **limits: Any) -> None:
    """Agency-a commits to 3 records, all new, after results so long ago."""
    agreed = terms(**limits)
    c = Contribution(agreed, "agency-a", signer=signer, **changes or {})
    check_commitment(FEDERATION, agreed, c.commitment, [NOW - ago for ago in past], NOW)


def test_a_commitment_within_the_limits() -> None:
    checked()
    checked(DAY, 2 * DAY, max_sessions=3, max_new_records=3)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"keys": 0}, "0 keys are outside the session's limit of 1 to 10."),
        ({"keys": 11}, "11 keys are outside the session's limit of 1 to 10."),
        ({"records": 6}, "6 records of agency-a, 3 of them new, are outside the session's limit of 5."),
        ({"new_records": 4}, "3 records of agency-a, 4 of them new, are outside the session's limit of 5."),
    ],
)
def test_a_commitment_outside_the_limits(changes: dict[str, int], says: str) -> None:
    assert refusal(SessionRefused, lambda: checked(changes=changes, max_records=5)) == says


@pytest.mark.parametrize("changes", [{"records": 2, "new_records": 0}, {"keys": 2}])
def test_a_commitment_to_too_little(changes: dict[str, int]) -> None:
    says = refusal(SessionRefused, lambda: checked(changes=changes, min_records=3))
    assert says.endswith("the session asks for at least 3 of each, so that no one is singled out.")


@pytest.mark.parametrize(
    ("past", "says"),
    [
        ((DAY,), "1 other session"),
        ((DAY, 29 * DAY), "2 other sessions"),
        ((DAY, DAY, 30 * DAY), "2 other sessions"),
    ],
)
def test_results_of_other_sessions_in_the_period(past: tuple[timedelta, ...], says: str) -> None:
    said = refusal(SessionRefused, lambda: checked(*past, max_sessions=1, period_days=30))
    assert said == (f"agency-a has had results of {says} in the last 30 days; this session allows 1 with its own.")


def test_results_before_the_period_do_not_count_but_make_records_known() -> None:
    checked(30 * DAY, max_sessions=1, period_days=30)
    says = refusal(SessionRefused, lambda: checked(300 * DAY, max_new_records=2))
    assert says == "3 records of agency-a are new since its last session; this session allows 2."
    checked(max_new_records=2)  # at first all are new


@pytest.mark.parametrize(("exact", "good"), [(-1, False), (0, True), (10, True), (11, False)])
def test_a_commitment_to_records(exact: int, good: bool) -> None:
    changes = {"records": 3, "keys": 3 * terms(rules=(*RULES, ALIKE)).rows_of_record + exact}
    if good:
        checked(changes=changes, max_records=5, rules=(*RULES, ALIKE))
        return
    says = refusal(SessionRefused, lambda: checked(changes=changes, max_records=5, rules=(*RULES, ALIKE)))
    assert says == f"agency-a has {changes['keys']} rows for 3 records, which cannot be by the terms; compare versions."


@pytest.mark.parametrize(("exact", "good"), [(0, True), (1, False), (2, False), (3, True)])
def test_rows_of_records_do_not_count_as_keys(exact: int, good: bool) -> None:
    limits: dict[str, Any] = {"rules": (*RULES, ALIKE), "min_records": 3}
    changes = {"records": 3, "keys": 3 * terms(**limits).rows_of_record + exact}
    if good:
        checked(changes=changes, **limits)
        return
    says = refusal(SessionRefused, lambda: checked(changes=changes, **limits))
    assert says.startswith(f"agency-a has 3 records, {exact} distinct keys; the session asks for at least 3 of each")


def test_a_commitment_that_is_not_its_members() -> None:
    with pytest.raises(InputError, match="is not signed by its pinned key"):
        checked(signer="agency-b")
    agreed = terms()
    of_another = replace(Contribution(agreed, "neutral").commitment)
    with pytest.raises(SessionRefused, match="neutral is not a member of this session"):
        check_commitment(FEDERATION, agreed, of_another, [], NOW)
