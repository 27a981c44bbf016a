"""Records of a similar rule: which rows share blocking keys, and what their comparison vectors hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from mpc import similar as linking
from mpc.linkage import LEVELS, Kind
from mpc.replicated import Array
from parties.features import MAX_CHOICES, Records
from parties.fields import FieldBatch
from parties.findings import Severity
from parties.normalise import Normal
from parties.similar import Block, Compared, Similar
from parties.sounds import word_filter

SESSION, OWN = bytes(range(32)), b"own"
Column = Sequence[Sequence[str]]


def rule(*blocks: Block, compare: Mapping[str, tuple[str, int]] | None = None, largest_group: int = 50) -> Similar:
    comparisons = [
        Compared(field, kind, values, (0,) * LEVELS[Kind(kind)])
        for field, (kind, values) in (compare or {"sex": ("exact", 1)}).items()
    ]
    return Similar(blocks, tuple(comparisons), (1,), largest_group)


def batch(column: Column) -> FieldBatch:
    distinct = list(dict.fromkeys(map(tuple, column)))
    codes = np.array([distinct.index(tuple(values)) for values in column], np.int32)
    return FieldBatch([Normal(values) for values in distinct], codes)


def records(of: Similar, columns: Mapping[str, Column], session: bytes = SESSION, own: bytes = OWN) -> Records:
    made = Records(session, of, own)
    rows = len(next(iter(columns.values())))
    made.take({field: batch(column) for field, column in columns.items()}, rows)
    return made


def keys(of: Similar, made: Records) -> list[set[bytes]]:
    """Each row's blocking keys, fillers too."""
    return [{key.tobytes() for key in row} for row in linking.split(of.linkage, made.array())[0]]


def levels(of: Similar, columns: Mapping[str, Column]) -> Array:
    """Of the first row with each other one."""
    vectors = linking.split(of.linkage, records(of, columns).array())[1]
    return linking.levels(of.linkage, np.repeat(vectors[:1], len(vectors) - 1, axis=0), vectors[1:])


NAMES = [["olena kovalenko"], ["kovalenko olena"], ["olena petrivna kovalenko"], ["oksana petrenko"], []]
PAIRS = Block(("full_name:word-pairs",), 3)


def test_rows_that_agree_share_keys_and_nobody_else_does() -> None:
    of = rule(PAIRS, Block(("phone", "sex"), 1))
    columns = {
        "full_name": NAMES,
        "phone": [["1"], ["2"], ["1"], ["1"], ["1"]],
        "sex": [["F"], ["F"], ["F"], ["M"], []],
    }
    found = keys(of, records(of, columns))
    shared = [[len(a & b) for b in found] for a in found]
    assert shared == [[4, 1, 2, 0, 0], [1, 4, 1, 0, 0], [2, 1, 4, 0, 0], [0, 0, 0, 4, 0], [0, 0, 0, 0, 4]]


def test_keys_are_of_one_session_and_fillers_of_one_member() -> None:
    of = rule(PAIRS)
    here, again = (keys(of, records(of, {"full_name": NAMES})) for _ in range(2))
    there = keys(of, records(of, {"full_name": NAMES}, session=bytes(32)))
    theirs = keys(of, records(of, {"full_name": NAMES}, own=b"other"))
    assert here == again
    assert not set.union(*here) & set.union(*there)
    assert [len(a & b) for a, b in zip(here, theirs, strict=True)] == [1, 1, 3, 1, 0]


def test_of_more_keys_the_same_ones_are_kept_everywhere() -> None:
    names = [["a b c d e f g h"], ["h g f e d c b a"]]
    of = rule(Block(("full_name:word-pairs",), 4))
    one, other = keys(of, records(of, {"full_name": names}))
    assert one == other
    alone = keys(of, records(of, {"full_name": names[1:]}, own=b"other"))
    assert alone == [one]


def test_choices_of_several_fields_are_bounded() -> None:
    many = [[" ".join(chr(97 + k) + "x" + chr(98 + k) for k in range(20))]] * 2
    of = rule(Block(("full_name:word-pairs", "full_name:each-word"), MAX_CHOICES))
    one, other = keys(of, records(of, {"full_name": many}))
    assert len(one) == len(other) == len(one & other) == MAX_CHOICES


def test_batches_make_no_difference() -> None:
    of = rule(PAIRS, compare={"full_name": ("names", 4), "sex": ("exact", 1)})
    sexes = [["F"], ["M"], [], ["F"], ["F"]]
    parts = Records(SESSION, of, OWN)
    for rows in (slice(0, 2), slice(2, 2), slice(2, 5)):
        parts.take({"full_name": batch(NAMES[rows]), "sex": batch(sexes[rows])}, len(NAMES[rows]))
    assert np.array_equal(parts.array(), records(of, {"full_name": NAMES, "sex": sexes}).array())


def test_a_key_that_too_many_rows_share_is_given_by_as_many_as_are_compared_and_told() -> None:
    of = rule(Block(("phone",), 1), Block(("id_number",), 1), largest_group=3)
    made = records(of, {"phone": [["1"]] * 4 + [["2"]] * 3, "id_number": [["A1"], [], [], [], [], [], []]})
    found = keys(of, made)
    assert not set.intersection(*found[:4])
    assert set.intersection(*found[:3])
    assert set.intersection(*found[4:])
    assert made.usable.tolist() == [True, False, False, False, True, True, True]
    (finding,) = made.findings()
    assert finding.severity is Severity.NOTE
    assert finding.text.startswith("4 rows share a blocking key with more than 3 rows")
    assert "3 of them have no other" in finding.text
    others = records(of, {"phone": [["1"]] * 4, "id_number": [["A1"], ["A2"], ["A3"], ["A4"]]})
    assert [f.text.rpartition("; ")[2] for f in others.findings()] == ["all of them have others."]


def test_a_number_that_too_many_rows_have_counts_nothing_and_it_is_told() -> None:
    """A camp's phone is no evidence; names and dates may well be frequent."""
    compare = {"sex": ("exact", 1), "phone": ("number", 2), "full_name": ("names", 2)}
    of = rule(Block(("id_number",), 1), compare=compare, largest_group=3)
    phones = [["+380671234567"]] * 4 + [["+380671234568"]] * 3 + [[]] * 5
    made = records(of, {"phone": phones, "full_name": [["olena"]] * 12, "sex": [["F"]] * 12})
    vectors = linking.split(of.linkage, made.array())[1]
    found = linking.levels(of.linkage, vectors[[0, 4, 0]], vectors[[1, 5, 4]])
    assert found.tolist() == [[1, -1, 2], [1, 2, 2], [1, -1, 2]]
    (finding,) = made.findings()
    assert finding.text.startswith("4 rows have a value of `phone` that more than 3 rows")


def test_a_list_without_a_field_or_without_rows() -> None:
    of = rule(Block(("phone",), 1), PAIRS)
    made = records(of, {"full_name": NAMES})
    assert made.usable.tolist() == [True, True, True, True, False]
    assert not list(made.findings())
    empty = Records(SESSION, of, OWN)
    assert empty.array().shape == (0, of.linkage.record_words)
    assert not list(empty.findings())


@pytest.mark.parametrize(
    ("kind", "values", "level"),
    [
        ("date", ["1980-01-31", "1980-01-31"], 5),
        ("date", ["1980", "1980-01-01"], 4),
        ("date", ["1980-03-04", "1980-04-03"], 3),
        ("date", ["1980", "1980-04-03"], 2),
        ("date", ["1980-03-04", "1981-03-04"], 1),
        ("date", ["1980-03-04", "1999-12-31"], 0),
        ("number", ["UA:passport:AB123456", "UA:-:AB123456"], 2),
        ("number", ["+380671112233", "+380671112234"], 1),
        ("number", ["+380671112233", "+380679998877"], 0),
        ("number", ["AB123456", "A123456"], 1),
        ("text", ["nova vodolaha", "novavodolaha"], 2),
        ("text", ["kharkiv", "lviv"], 0),
        ("exact", ["F", "F"], 1),
        ("exact", ["F", "M"], 0),
    ],
)
def test_levels_of_values(kind: str, values: list[str], level: int) -> None:
    of = rule(PAIRS, compare={"period": (kind, 1)})
    one, other = ([value] for value in values)
    assert levels(of, {"period": [one, other, []]}).tolist() == [[level], [-1]]


def test_the_best_of_several_values_counts() -> None:
    of = rule(PAIRS, compare={"phone": ("number", 2)})
    column = [["1111111", "2222222"], ["3333333", "2222222"], ["3333333", "4444444", "2222222"]]
    assert levels(of, {"phone": column}).tolist() == [[2], [0]]


def test_words_of_names_stand_in_their_order_and_the_last_is_kept() -> None:
    of = rule(PAIRS, compare={"full_name": ("names", 3)})
    vector = linking.split(of.linkage, records(of, {"full_name": [["olena iryna olena maria petrenko"]]}).array())[1][0]
    bits = sum(int(word) << 64 * k for k, word in enumerate(vector))
    words = [(bits >> 33 * k & 1, bits >> 33 * k + 1 & 0xFFFFFFFF) for k in range(4)]
    assert words == [(1, word_filter(code, 32)) for code in ("ALNA", "ARNA", "PTRNKA")] + [(0, 0)]


def test_names_agree_in_any_order_and_script() -> None:
    of = rule(PAIRS, compare={"full_name": ("names", 4)})
    column = [["olena petrivna kovalenko"], ["kovalenko olena"], ["iryna kovalenko"], ["အောင်"]]
    assert levels(of, {"full_name": column}).ravel().tolist() == [4, 1, 0]
