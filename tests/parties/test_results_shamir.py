"""Recombination of Shamir shares: results of the mpyc engine, and tables of either."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.replicated import Array
from mpc.shamir import ELEMENT_BYTES, PRIME, encode, split
from parties.errors import ResultError
from parties.manifest import Manifest
from parties.results import part_bytes, recombine, sources
from parties.statistics import Category, Statistics
from tests.parties.samples import RULES, examples, manifest

MANY = tuple(f"m{k}" for k in range(130))
NODES = tuple(f"node-{k}" for k in range(9))
TABLE = Statistics(10, (Category("sex", ("f", "m")),))
ELEMENTS = st.integers(1, PRIME - 1)


def agreed(nodes: int = 3, threshold: int = 1, **changes: Any) -> Manifest:
    return manifest(engine="mpyc", committee=NODES[:nodes], threshold=threshold, **changes)


def counted(engine: str) -> Manifest:
    return manifest(engine=engine, reveal="statistics", statistics=TABLE, rules=RULES[:1])


def elements(values: Any) -> Array:
    array = np.empty(np.shape(values), object)
    array[...] = values
    return array


def dealt(terms: Manifest, values: Array, seed: int = 1) -> list[bytes]:
    """Each node's part."""
    random = np.random.default_rng(seed)
    wanted = (terms.threshold, *values.shape)
    drawn = [int.from_bytes(random.bytes(16), "little") for _ in range(int(np.prod(wanted)))]
    coefficients = np.array([*drawn, None], object)[:-1].reshape(wanted)
    return [encode(share).tobytes() for share in split(values, coefficients, len(terms.committee))]


def masked(zeros: Array) -> Array:
    """What is shared of the others: zero for each that holds a key, and something random else."""
    random = np.random.default_rng(7)
    noise = np.array([1 + int.from_bytes(random.bytes(16), "little") for _ in range(zeros.size)] + [None], object)[:-1]
    return np.where(zeros, 0, noise.reshape(zeros.shape))


def symmetric(values: Array) -> Array:
    """The elementary symmetric polynomials of each row, e_k first, e_1 last."""
    rows = []
    for row in values.tolist():
        found = [1, *[0] * len(row)]
        for value in row:
            found = [found[0], *((found[k] + found[k - 1] * value) % PRIME for k in range(1, len(found)))]
        rows.append(found[:0:-1])
    return elements(rows) if rows else np.zeros(values.shape, object)


def held_by(zeros: Array, terms: Manifest, member: str) -> Array:
    """Masks of the members that hold each key."""
    others = [m for m, name in enumerate(terms.members) if name != member]
    masks = np.zeros((len(zeros), -(-len(terms.members) // 64)), np.uint64)
    for key, column in np.argwhere(zeros).tolist():
        masks[key, others[column] // 64] |= np.uint64(1 << others[column] % 64)
    return masks


@st.composite
def committees(draw: st.DrawFn) -> tuple[int, int]:
    nodes = draw(st.integers(3, 9))
    return nodes, draw(st.integers(1, (nodes - 1) // 2))


@given(committees(), st.integers(0, 66), st.integers(2, 4), st.integers(0, 2**32), st.data())
@examples(60)
def test_every_mode_against_the_truth(
    committee: tuple[int, int], keys: int, members: int, seed: int, data: st.DataObject
) -> None:
    zeros = np.random.default_rng(seed).integers(0, 2, (keys, members - 1)).astype(bool)
    own = data.draw(st.sampled_from(MANY[:members]))
    values = masked(zeros)
    found = {
        reveal: recombine(terms, own, dealt(terms, shown), keys)
        for reveal, shown in (
            ("flag", elements(values.prod(axis=1).reshape(keys, 1) % PRIME)),
            ("count", symmetric(values)),
            ("members", values),
        )
        for terms in [agreed(*committee, reveal=reveal, members=MANY[:members])]
    }
    assert [found[reveal].dtype for reveal in found] == [np.uint8, np.uint16, np.uint64]
    assert np.array_equal(found["flag"], zeros.any(axis=1))
    assert np.array_equal(found["count"], zeros.sum(axis=1))
    assert np.array_equal(found["members"], held_by(zeros, agreed(members=MANY[:members]), own))


@pytest.mark.parametrize("own", [0, 63, 64, 129])
def test_more_members_than_bits_of_a_word(own: int) -> None:
    terms = agreed(reveal="members", members=MANY)
    zeros = np.zeros((3, 129), bool)
    zeros[0, :] = zeros[1, [0, 62, 63, 64, 128]] = True
    found = recombine(terms, MANY[own], dealt(terms, masked(zeros)), 3)
    assert np.array_equal(found, held_by(zeros, terms, MANY[own]))


@given(st.lists(st.booleans(), min_size=1, max_size=6), st.data())
@examples(60)
def test_a_count_is_where_the_first_polynomial_is_not_zero(held: list[bool], data: st.DataObject) -> None:
    terms = agreed(reveal="count", members=MANY[: len(held) + 1])
    values = elements([[0 if h else data.draw(ELEMENTS) for h in held]])
    masks = elements([[data.draw(ELEMENTS) for _ in held]])
    parts = dealt(terms, symmetric(values) * masks % PRIME)
    assert recombine(terms, MANY[0], parts, 1).tolist() == [sum(held)]


@pytest.mark.parametrize("engine", ["replicated", "mpyc"])
def test_a_table(engine: str) -> None:
    terms = counted(engine)
    numbers = elements([[0, 10, 11], [1000, 0, 0], [0, 0, 12]])
    found = recombine(terms, "agency-b", dealt(terms, numbers), 7)
    assert found.dtype == np.int64
    assert np.array_equal(found, numbers)


@pytest.mark.parametrize("wrong", [9, 1, 3001, PRIME - 1])
def test_an_impossible_table(wrong: int) -> None:
    """Fewer people than may be told, or more than there are rows."""
    terms = counted("mpyc")
    numbers = np.zeros((3, 3), object)
    numbers[1, 2] = wrong
    with pytest.raises(ResultError, match="The parts that agency-a, agency-b and neutral sent do not make a result"):
        recombine(terms, "agency-a", dealt(terms, numbers), 7)


def test_whose_parts_make_a_result() -> None:
    assert sources(manifest()) == ("agency-a", "agency-b")
    assert sources(counted("replicated")) == ("agency-a", "agency-b", "neutral")
    assert sources(agreed(7, 3)) == NODES[:7]


@pytest.mark.parametrize(
    ("terms", "elements_due"),
    [
        (agreed(), 5),
        (agreed(reveal="count", members=MANY), 5 * 129),
        (agreed(reveal="members"), 10),
        (counted("mpyc"), 9),
        (counted("replicated"), 9),
    ],
)
def test_how_long_parts_are(terms: Manifest, elements_due: int) -> None:
    assert part_bytes(terms, 5) == elements_due * ELEMENT_BYTES


@pytest.mark.parametrize("node", range(5))
@pytest.mark.parametrize("reveal", ["flag", "count", "members"])
def test_a_node_that_sends_something_else_is_found_out(node: int, reveal: str) -> None:
    terms = agreed(5, 2, reveal=reveal)
    width = 1 if reveal == "flag" else 2
    parts = dealt(terms, masked(np.zeros((4, width), bool)))
    parts[node] = bytes([parts[node][0] ^ 1]) + parts[node][1:]
    with pytest.raises(ResultError) as error:
        recombine(terms, "agency-a", parts, 4)
    assert str(error.value) == (
        "The parts that node-0, node-1, node-2, node-3 and node-4 sent do not make a result: one of them sent "
        "something else. Tell the coordinator; this result cannot be used."
    )


def test_no_element_of_the_field_and_other_lengths() -> None:
    terms = agreed()
    parts = dealt(terms, masked(np.zeros((4, 1), bool)))
    with pytest.raises(ResultError, match="do not make a result"):
        recombine(terms, "agency-a", [*parts[:2], b"\xff" * len(parts[2])], 4)
    with pytest.raises(ResultError, match=r"^node-1 sent a result of 67 bytes where 68 are due; ask its operator"):
        recombine(terms, "agency-a", [parts[0], parts[1][:-1], parts[2]], 4)


@given(st.sampled_from(["flag", "count", "members"]), st.lists(st.binary(max_size=80), min_size=3, max_size=3))
@examples(100)
def test_any_parts_make_a_possible_result_or_none(reveal: str, parts: list[bytes]) -> None:
    terms = agreed(reveal=reveal)
    length = part_bytes(terms, 2)
    for given_parts in (parts, [(part * length)[:length].ljust(length, b"\0") for part in parts]):
        try:
            values = recombine(terms, "agency-c", given_parts, 2)
        except ResultError:
            continue
        assert len(values) == 2
        assert np.all(values <= {"flag": 1, "count": 2, "members": 7}[reveal])
