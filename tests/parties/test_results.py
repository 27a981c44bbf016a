import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.replicated import Array
from parties.errors import ResultError
from parties.keys import NO_VALUE, NOTES, Keys, RuleKeys
from parties.manifest import Manifest
from parties.normalise import Note
from parties.results import REVIEW, TOO_LITTLE, Result, recombine, value_type
from parties.rules import Rule
from tests.parties.samples import RULES, examples, manifest

MANY = tuple(f"m{k}" for k in range(130))


def split(values: Array, seed: int = 1) -> list[bytes]:
    mask = np.random.default_rng(seed).integers(0, 256, values.nbytes, np.uint8).tobytes()
    other = np.frombuffer(mask, np.uint8) ^ np.frombuffer(values.tobytes(), np.uint8)
    return [mask, other.tobytes()]


def words(members: Sequence[Sequence[int]], count: int) -> Array:
    """For each key the members that hold it, as the committee sends them."""
    values = np.zeros((len(members), -(-count // 64)), np.uint64)
    for key, held in enumerate(members):
        for m in held:
            values[key, m // 64] |= np.uint64(1 << m % 64)
    return values


# Recombination


@pytest.mark.parametrize(
    ("reveal", "members", "dtype", "shape"),
    [
        ("flag", 3, np.uint8, ()),
        ("flag", 130, np.uint8, ()),
        ("count", 130, np.uint16, ()),
        ("members", 2, np.uint64, (1,)),
        ("members", 64, np.uint64, (1,)),
        ("members", 65, np.uint64, (2,)),
        ("members", 128, np.uint64, (2,)),
        ("members", 129, np.uint64, (3,)),
    ],
)
def test_what_travels_for_each_key(reveal: str, members: int, dtype: type, shape: tuple[int, ...]) -> None:
    assert value_type(reveal, members) == (np.dtype(dtype), shape)


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65])
def test_flags(count: int) -> None:
    values = np.arange(count, dtype=np.uint8) % 2
    assert np.array_equal(recombine(manifest(), "agency-a", split(values), count), values)


@pytest.mark.parametrize("members", [3, 130, 300])
def test_counts(members: int) -> None:
    terms = manifest(reveal="count", members=tuple(f"m{k}" for k in range(members)))
    values = np.array([0, 1, 2, members - 1], np.uint16)
    assert np.array_equal(recombine(terms, "m0", split(values), 4), values)
    with pytest.raises(ResultError):
        recombine(terms, "m0", split(np.array([0, 1, 2, members], np.uint16)), 4)


@pytest.mark.parametrize("own", [0, 63, 64, 129])
def test_more_members_than_bits_of_a_word(own: int) -> None:
    terms = manifest(reveal="members", members=MANY)
    held = [[], [1], [65, 128], [k for k in range(130) if k != own]]
    values = words(held, 130)
    assert np.array_equal(recombine(terms, MANY[own], split(values), 4), values)
    for impossible in (own, 130, 191):
        wrong = values.copy()
        wrong[2, impossible // 64] |= np.uint64(1 << impossible % 64)
        with pytest.raises(ResultError, match="do not make a result"):
            recombine(terms, MANY[own], split(wrong), 4)


@pytest.mark.parametrize("reveal", ["flag", "count", "members"])
@pytest.mark.parametrize("change", [-1, 1, -8, 100])
@pytest.mark.parametrize("party", [0, 1])
def test_a_part_of_another_length_names_its_node(reveal: str, change: int, party: int) -> None:
    terms = manifest(reveal=reveal)
    dtype, shape = value_type(reveal, 3)
    parts = split(np.zeros((9, *shape), dtype))
    parts[party] = parts[party][:change] if change < 0 else parts[party] + bytes(change)
    due = 9 * dtype.itemsize
    with pytest.raises(ResultError) as error:
        recombine(terms, "agency-a", parts, 9)
    assert str(error.value).startswith(
        f"{terms.committee[party]} sent a result of {due + change} bytes where {due} are"
    )


@pytest.mark.parametrize(
    ("reveal", "impossible"),
    [
        ("flag", np.array([1, 0, 2], np.uint8)),
        ("flag", np.array([255], np.uint8)),
        ("count", np.array([3], np.uint16)),
        ("count", np.array([0, 65535], np.uint16)),
        ("members", np.array([[1]], np.uint64)),
        ("members", np.array([[6], [8]], np.uint64)),
        ("members", np.array([[1 << 63]], np.uint64)),
    ],
)
def test_impossible_values_name_both_nodes(reveal: str, impossible: Array) -> None:
    says = "The parts that agency-a and agency-b sent do not make a result: one of them "
    with pytest.raises(ResultError) as error:
        recombine(manifest(reveal=reveal), "agency-a", split(impossible), len(impossible))
    assert str(error.value).startswith(says)


@given(st.sampled_from(["flag", "count", "members"]), st.integers(0, 20), st.binary(max_size=200), st.binary())
@examples(200)
def test_any_parts_make_a_possible_result_or_none(reveal: str, keys: int, one: bytes, two: bytes) -> None:
    dtype, _ = value_type(reveal, 3)
    length = keys * dtype.itemsize
    for parts in ([one, two], [(one * length)[:length].ljust(length), (two * length)[:length].ljust(length)]):
        try:
            values = recombine(manifest(reveal=reveal), "agency-c", parts, keys)
        except ResultError:
            continue
        assert len(values) == keys
        assert np.all(values <= {"flag": 1, "count": 2, "members": 3}[reveal])


# What it means for the rows

PLACES = [[0, 2, 0, -1, 5, -1, 7, -1, 8], [1, 3, 4, -1, 1, 6, -1, -1, 9]]
"""For each rule the place of each row's key."""
MATCHED_KEYS = (2, 1, 6)
BOTH = "phone and birth date"
EMPTY = 1 + NOTES.index(Note.EMPTY) | NO_VALUE
MISSING = "id_number is empty | birth_date is empty"


def keys_of(places: Sequence[Sequence[int]], count: int, rules: Sequence[Rule] = RULES, **more: Any) -> Keys:
    """Keys of rows that have at most one under each rule."""
    at = [np.array(p, np.int32) for p in places]
    rows = len(at[0])
    of_rule = tuple(RuleKeys(np.flatnonzero(p >= 0).astype(np.int32), p[p >= 0]) for p in at)
    states = {"id_number": np.where(at[0] < 0, EMPTY, 0).astype(np.uint8), "phone": np.zeros(rows, np.uint8)}
    states["birth_date"] = np.where(at[-1] < 0, EMPTY, 0).astype(np.uint8)
    of = tuple(rules[: len(places)])
    return Keys(of, np.zeros((count, 2), np.uint64), of_rule, np.arange(2, rows + 2), states, **more)


@pytest.fixture
def keys() -> Keys:
    return keys_of(PLACES, 10)


def flags() -> Array:
    values = np.zeros(10, np.uint8)
    values[list(MATCHED_KEYS)] = 1
    return values


def test_flag_rows(keys: Keys) -> None:
    result = Result(manifest(), "agency-a", keys, flags())
    assert result.headings() == ["match", "matched_on", "not_compared_because", "same_as_row", "review"]
    assert list(result.cells()) == [
        ["yes", BOTH, "", "", ""],
        ["yes", "id", "", "", ""],
        ["no", "", "", "2", ""],
        ["not compared", "", MISSING, "", ""],
        ["yes", BOTH, "", "2", ""],
        ["yes", BOTH, "", "", ""],
        ["no", "", "", "", ""],
        ["not compared", "", MISSING, "", ""],
        ["no", "", "", "", ""],
    ]
    assert result.matched_rows.tolist() == [True, True, False, False, True, True, False, False, False]


def test_count_rows(keys: Keys) -> None:
    values = flags().astype(np.uint16)
    values[2] = 2
    values[3] = 1
    result = Result(manifest(reveal="count"), "agency-a", keys, values)
    assert result.headings()[:4] == ["match", "matched_on", "match_count", "not_compared_because"]
    cells = [row[:4] for row in result.cells()]
    assert cells[0] == ["yes", BOTH, "1", ""]
    assert cells[1] == ["yes", f"id; {BOTH}", "2", ""]
    assert cells[2] == ["no", "", "", ""]
    assert cells[3] == ["not compared", "", "", MISSING]


def test_member_rows(keys: Keys) -> None:
    held: list[list[int]] = [[] for _ in range(10)]
    held[2], held[3], held[6] = [1], [1, 2], [2]
    result = Result(manifest(reveal="members"), "agency-a", keys, words(held, 3))
    assert result.headings()[:4] == ["match", "matched_on", "matched_with", "not_compared_because"]
    cells = [row[:4] for row in result.cells()]
    assert cells[0] == ["no", "", "", ""]
    assert cells[1] == ["yes", f"id; {BOTH}", "agency-b; agency-c", ""]
    assert cells[5] == ["yes", BOTH, "agency-c", ""]
    assert cells[3] == ["not compared", "", "", MISSING]
    assert result.members_of(1) == ("agency-b", "agency-c")


def test_member_rows_of_many_members() -> None:
    terms = manifest(reveal="members", members=MANY, rules=RULES[:1])
    result = Result(terms, "m0", keys_of([[2, 0, 1, -1]], 3), words([[63, 64], [129], []], 130))
    assert [row[2] for row in result.cells()] == ["", "m63; m64", "m129", ""]
    assert [row[0] for row in result.cells()] == ["no", "yes", "yes", "not compared"]


def test_only_new_rows_are_reported(keys: Keys) -> None:
    new = np.array([0, 1, 1, 1, 0, 0, 0, 0, 0], bool)
    result = Result(manifest(), "agency-a", replace(keys, new=new), flags())
    assert [row[0] for row in result.cells()] == ["not new", "yes", "no", "not compared", *["not new"] * 5]
    assert [row[1] for row in result.cells()] == ["", "id", *[""] * 7]
    summary = result.summary()
    assert (summary.rows, summary.reported, summary.matched, summary.not_compared) == (9, 3, 1, 1)
    assert summary.matched_by_rule == {"id": 1, BOTH: 0}
    assert "new rows, which are reported" in summary.to_text()


def test_a_match_of_one_is_a_match_of_the_household() -> None:
    rules = (RULES[0], Rule("family", ("phone", "birth_date"), "household"))
    household = np.array([0, 1, 0, 2, 1], np.int32)
    keys = keys_of([[0, 1, 2, -1, -1], [3, -1, 4, -1, -1]], 5, rules, household=household)
    values = np.array([0, 1, 0, 1, 0], np.uint8)
    result = Result(manifest(rules=rules), "agency-a", keys, values)
    assert [row[:2] for row in result.cells()] == [
        ["yes", "family"],
        ["yes", "id"],
        ["yes", "family"],
        ["not compared", ""],
        ["not compared", ""],
    ]
    assert result.summary().unusable_by_rule == {"id": 2, "family": 3}
    counted = Result(manifest(rules=rules, reveal="count"), "agency-a", keys, np.array([0, 1, 0, 2, 1], np.uint16))
    assert [row[2] for row in counted.cells()] == ["2", "1", "2", "", ""]
    named = Result(manifest(rules=rules, reveal="members"), "agency-a", keys, words([[], [1], [], [1], [2]], 3))
    assert [row[2] for row in named.cells()] == ["agency-b; agency-c", "agency-b", "agency-b; agency-c", "", ""]


def test_summary_by_hand(keys: Keys) -> None:
    summary = Result(manifest(), "agency-a", keys, flags()).summary()
    assert summary.to_json() == {
        "session": "Winter cash",
        "member": "agency-a",
        "rows": 9,
        "reported": 9,
        "matched": 4,
        "not_compared": 2,
        "matched_by_rule": {"id": 1, BOTH: 3},
        "unusable_by_rule": {"id": 3, BOTH: 3},
        "unusable_by_reason": {"id_number is empty": 2, "birth_date is empty": 2},
        "same_inside": 2,
        "judged_distinct": 0,
        "matched_by_grade": {},
    }
    assert json.loads(json.dumps(summary.to_json())) == summary.to_json()


def test_what_was_judged_before_is_shown(keys: Keys) -> None:
    result = Result(manifest(), "agency-a", keys, flags())
    result.reviews = {
        0: "distinct (Olena, 2026-11-25)",
        1: "unsure (Olena, 2026-11-25)",
        2: "distinct (Olena, 2026-11-25)",
    }
    assert [row[-1].split(" ")[0] for row in result.cells()][:4] == ["distinct", "unsure", "distinct", ""]
    assert result.summary().judged_distinct == 1, "row 3 is not matched"


def test_a_row_that_repeats_under_both_rules_counts_once() -> None:
    result = Result(manifest(), "agency-a", keys_of([[0, 0, 0], [1, 1, -1]], 2), np.zeros(2, np.uint8))
    assert result.summary().same_inside == 2


def test_a_row_without_keys_is_never_matched_or_repeated() -> None:
    result = Result(manifest(rules=RULES[:1]), "agency-a", keys_of([[-1, 0, -1]], 1), np.ones(1, np.uint8))
    assert result.matched_rows.tolist() == [False, True, False]
    assert result.summary().same_inside == 0
    assert result.summary().unusable_by_rule == {"id": 2}


def test_a_value_that_is_too_little_for_the_rule() -> None:
    keys = keys_of([[-1, 0]], 1)
    keys.states["id_number"][:] = 0
    keys.states["birth_date"][:] = 0
    result = Result(manifest(rules=RULES[:1]), "agency-a", keys, np.zeros(1, np.uint8))
    assert next(result.cells())[2] == TOO_LITTLE


def test_summary_for_people(keys: Keys) -> None:
    text = Result(manifest(), "agency-a", keys, flags()).summary().to_text()
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for wanted in (
        "agency-a: Winter cash",
        "rows 9",
        "also with another member 4",
        "on id 1",
        "on phone and birth date 3",
        "not compared 2",
        "id_number is empty 2",
        "twice in your own list 2",
        REVIEW,
    ):
        assert wanted in lines
    assert "never by itself a reason to exclude" in REVIEW


def test_numbers_of_a_summary_stay_below_each_other(keys: Keys) -> None:
    summary = Result(manifest(), "agency-a", keys, flags()).summary()
    reasons = {"`birth_date` is a date that cannot be told from another one": 3, "long " * 40: 1234}
    for found in (summary, replace(summary, unusable_by_reason=reasons)):
        lines = found.to_text().splitlines()[1:-1]
        assert len({len(line) for line in lines}) == 1
        assert all(line.split()[-1].replace(",", "").isdigit() for line in lines)
        assert len(lines[0]) <= 90


SUBSETS = st.frozensets(st.integers(1, 2), max_size=2)


@given(
    st.sampled_from(["flag", "count", "members"]),
    st.lists(SUBSETS, min_size=1, max_size=6),
    st.lists(st.tuples(*[st.integers(-1, 5)] * 2), min_size=1, max_size=70),
)
@examples(150)
def test_rows_against_the_truth(reveal: str, held: list[frozenset[int]], rows: list[tuple[int, int]]) -> None:
    rows = [tuple(p if p < len(held) else -1 for p in row) for row in rows]
    terms: Manifest = manifest(reveal=reveal)
    values = {
        "flag": lambda: np.array([bool(h) for h in held], np.uint8),
        "count": lambda: np.array([len(h) for h in held], np.uint16),
        "members": lambda: words([sorted(h) for h in held], 3),
    }[reveal]()
    received = recombine(terms, "agency-a", split(values), len(held))
    result = Result(terms, "agency-a", keys_of(list(zip(*rows, strict=True)), len(held)), received)
    for row, cells in zip(rows, result.cells(), strict=True):
        usable = [(rule.name, held[p]) for rule, p in zip(RULES, row, strict=True) if p >= 0]
        on = [name for name, others in usable if others]
        union = frozenset().union(*(others for _, others in usable))
        detail = {
            "flag": [],
            "count": [str(max(len(others) for _, others in usable))] if on else [""],
            "members": ["; ".join(terms.members[m] for m in sorted(union))],
        }[reveal]
        state = "yes" if on else "no" if usable else "not compared"
        assert cells[:-2] == [state, "; ".join(on), *detail, "" if usable else MISSING]
    summary = result.summary()
    assert summary.matched == sum(cells[0] == "yes" for cells in result.cells())
    assert summary.not_compared == sum(cells[0] == "not compared" for cells in result.cells())
