"""Similar records on shares: what members learn is what the plain run finds, bit for bit; what it costs and shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc import compare, engine, similar
from mpc.dummies import Dummies, Noise
from mpc.engine import Inputs, Outputs
from mpc.errors import ShareError
from mpc.lanes import Lanes
from mpc.linkage import MEMBER_BITS, Comparison, Kind, Linkage
from mpc.matching import Reveal, group
from mpc.replicated import Array, reconstruct
from tests.mpc import alike
from tests.mpc.alike import FLAGS, LINKAGE, Record, encoded, expected, people
from tests.mpc.arrays import SEEDS, random_array
from tests.world import World, dealt, run_parties, shares

Three = tuple[Inputs, Inputs, Inputs]


def silent(phase: str, done: int, total: int) -> None:
    """Nobody looks at the progress."""


def inputs(
    records: Array, counts: Sequence[int], linkage: Linkage = LINKAGE, keys: Sequence[Array] = (), **terms: object
) -> Three:
    """What members give who have these records, member after member, and keys besides."""
    lists = list(keys) or [np.zeros((0, 2), np.uint64) for _ in counts]
    reveal = Reveal.FLAG if len(linkage.thresholds) == 1 else Reveal.GRADE
    one, two, three = dealt(lists, reveal)
    shared = shares(records, 4)
    p0, p1, p2 = (
        replace(i, linkage=linkage, records=tuple(counts), record_rows=lambda k=k: shared[k], **terms)
        for k, i in enumerate((one, two, three))
    )
    return p0, p1, p2


def run(given: Three, lanes: int = 2) -> list[Outputs]:
    return run_parties(lambda s: engine.run(s, given[s.party], silent, lanes), 1)


def learned(outputs: list[Outputs]) -> list[list[int]]:
    assert outputs[2].parts is None
    assert outputs[0].parts is not None
    assert outputs[1].parts is not None
    return [(a ^ b).tolist() for a, b in zip(outputs[0].parts, outputs[1].parts, strict=True)]


def counts_of(records: list[Record]) -> list[int]:
    return np.bincount([r.member for r in records], minlength=3).tolist()


def check(records: list[Record], linkage: Linkage = LINKAGE, **terms: object) -> list[Outputs]:
    rows, counts = encoded(linkage, records), counts_of(records)
    outputs = run(inputs(rows, counts, linkage, **terms))
    found = [value for of_member in learned(outputs) for value in of_member]
    assert found == similar.plain(linkage, rows, counts).tolist() == expected(linkage, records)
    return outputs


@settings(max_examples=25)
@given(people().filter(len), st.sampled_from([LINKAGE, FLAGS]))
def test_members_learn_what_the_plain_run_finds(records: list[Record], linkage: Linkage) -> None:
    outputs = check(records, linkage)
    keys = [key for record in records for key in enumerate(record.keys)]
    sizes = np.bincount([keys.count(key) for key in set(keys)])
    assert all(list(o.block_sizes) == sizes.tolist() and o.group_sizes == (0,) for o in outputs)


@pytest.mark.parametrize("number", [1, 21, 22, 63, 64, 65])
def test_odd_numbers_of_records(number: int) -> None:
    rng = np.random.default_rng(number)
    known = [alike._vector(LINKAGE, rng) for _ in range(3)]
    check(
        [
            Record(k % 3 if number > 2 else 0, (k // 3, 0, k), alike._told(LINKAGE, known[k % 2], rng))
            for k in sorted(range(number), key=lambda k: k % 3)
        ]
    )


@settings(max_examples=5)
@given(people().filter(len), SEEDS)
def test_exact_keys_beside_records(records: list[Record], seed: int) -> None:
    """Each is as it is without the other; an equal key is worth all grades."""
    pool = random_array(seed, (6, 2))
    keys = [pool[:3], pool[2:5], pool[5:5]]
    rows, counts = encoded(LINKAGE, records), counts_of(records)
    outputs = run(inputs(rows, counts, keys=keys))
    of_records = np.split(similar.plain(LINKAGE, rows, counts), np.cumsum(counts)[:-1])
    assert learned(outputs) == [
        [*exact, *found.tolist()] for exact, found in zip([[0, 0, 7], [7, 0, 0], []], of_records, strict=True)
    ]
    assert outputs[0].group_sizes == (0, 4, 1)


@settings(max_examples=3)
@given(people(most=12).filter(len))
def test_dummies_change_no_result(records: list[Record]) -> None:
    noise = Noise(Dummies(5.0, 1e-2), LINKAGE.keys, 3 * LINKAGE.largest_group)
    secrets = [bytes([k]) * 32 for k in range(3)]
    rows, counts = encoded(LINKAGE, records), counts_of(records)
    given = inputs(rows, counts, similar_noise=noise)
    given = tuple(replace(i, secrets=(secrets[k], secrets[(k + 1) % 3])) for k, i in enumerate(given))
    outputs, bare = run(given), run(inputs(rows, counts))
    assert learned(outputs) == learned(bare)
    more = np.array([*outputs[0].block_sizes])
    more[: len(bare[0].block_sizes)] -= bare[0].block_sizes
    assert sum(s * n for s, n in enumerate(more)) == noise.rows
    assert np.count_nonzero(more) > LINKAGE.largest_group


def test_verified_tags_change_no_result() -> None:
    rng = np.random.default_rng(2)
    vector = alike._vector(LINKAGE, rng)
    check([Record(m, (k, 1, 2), vector) for m in range(3) for k in range(3)], verified=True)


def test_what_a_member_writes_where_its_number_belongs_does_not_count() -> None:
    """Nor can it make another member's record look like its own."""
    vector = alike._vector(LINKAGE, np.random.default_rng(3))
    records = [Record(m, (1, 2, 3), vector) for m in (0, 0, 1)]
    rows, counts = encoded(LINKAGE, records), counts_of(records)
    honest = run(inputs(rows, counts))
    for number in (1, 2, 2**MEMBER_BITS - 1):
        lying = rows.copy()
        lying[:, -1] |= np.uint64(number << 64 - MEMBER_BITS)
        assert learned(run(inputs(lying, counts))) == learned(honest) == [[7, 7], [7], []]


def test_values_that_are_not_there_but_written_harm_their_member_only() -> None:
    """Bits of an absent value are not looked at, and presence bits say what a member says."""
    vector = alike._vector(LINKAGE, np.random.default_rng(3))
    honest = [Record(m, (m % 2, 5, 6 + m), vector) for m in (0, 1, 2)]
    rows = encoded(LINKAGE, honest)
    lying = rows.copy()
    lying[0, 2 * LINKAGE.keys :] = random_array(1, (LINKAGE.words,))
    found, true = (learned(run(inputs(r, [1, 1, 1]))) for r in (lying, rows))
    assert true == [[7], [7], [7]]
    assert found[1:] == true[1:]


def test_a_crowded_key_tells_its_member_nothing() -> None:
    """Whoever has as many records under one key as are compared learns the same whether or not another one has it."""
    rng = np.random.default_rng(4)
    own = [Record(0, (7, 10 + k, 30 + k), alike._vector(LINKAGE, rng)) for k in range(LINKAGE.largest_group)]
    others = [Record(1, (key, 50, 60), own[0].vector) for key in (7, 8)]
    found = [learned(run(inputs(encoded(LINKAGE, [*own, other]), [len(own), 1, 0]))) for other in others]
    assert found[0] == found[1] == [[0] * len(own), [0], []]


@pytest.mark.parametrize("thresholds", [(1, 2, 3), (40, 5000, 9000), (200, 5000, 5001), (5000,)])
def test_grades_that_are_one_or_cannot_be_reached(thresholds: tuple[int, ...]) -> None:
    coarse = Comparison(Kind.EXACT, 1, (0, 100))
    linkage = Linkage(1, (coarse, coarse), thresholds, 4)
    check([Record(m, (0,), ((1,), (0,))) for m in range(3)], linkage)


def test_groups_that_are_larger_than_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks have none of their own then, or one that is longer."""
    monkeypatch.setattr(compare, "CHUNK_PAIRS", 64)
    linkage = replace(LINKAGE, largest_group=40)
    rng = np.random.default_rng(8)
    vector = alike._vector(linkage, rng)
    check(
        [Record(m, (k % 2, k % 3, k), alike._told(linkage, vector, rng)) for m in range(3) for k in range(26)], linkage
    )


@pytest.mark.parametrize("shared", [0, 3])
def test_progress_tells_rows_and_not_pairs(shared: int) -> None:
    rng = np.random.default_rng(9)
    records = [
        Record(m, (k if k < shared else 100 * m + k, 7 + 100 * m + k, 50 * m + k), alike._vector(LINKAGE, rng))
        for m in range(2)
        for k in range(10)
    ]
    given, told = inputs(encoded(LINKAGE, records), [10, 10, 0]), []

    def progress(phase: str, done: int, total: int) -> None:
        told.append((phase, total))

    World().run(lambda s: engine.run(s, given[s.party], progress, 1), 1)
    assert {total for _, total in told} == {60}


@settings(max_examples=20)
@given(st.lists(st.integers(1, 9), max_size=8), SEEDS)
def test_any_of(lengths: list[int], seed: int) -> None:
    values = random_array(seed, (sum(lengths),), "uint8") & random_array(seed + 1, (sum(lengths),), "uint8")
    shared = shares(values, seed)
    found = run_parties(lambda s: compare.any_of(s.at("test"), shared[s.party], np.array(lengths, int)), 1)
    runs = np.split(values, np.cumsum(lengths)[:-1]) if lengths else []
    assert reconstruct(tuple(found)).tolist() == [np.bitwise_or.reduce(run) for run in runs]


def test_costs_are_what_the_docstrings_say() -> None:
    """Groups of three: two pairs a row."""
    records = [
        Record(m, (k, k, k), alike._vector(LINKAGE, np.random.default_rng(k))) for m in range(3) for k in range(64)
    ]
    rows, (layers, _) = encoded(LINKAGE, records), compare.pair_layers(LINKAGE)
    tags = np.tile(np.arange(64, dtype=np.uint64), 3)[:, None].repeat(2, axis=1)
    shared, groups = shares(rows[:, 2 * LINKAGE.keys :], 1), group(tags)
    lanes = Lanes(silent, 1, 1)
    world = World().run(lambda s: compare.grades(s.at("test"), LINKAGE, groups, shared[s.party], lanes), 1)
    sent = sum(m.payload_bytes for m in world.sent if m.step.startswith("test"))
    assert sent == 3 * layers.ands * 192 // 8 + 3 * 192
    assert world.rounds == len(layers.steps) - 1 + 1
    parts = [np.zeros(3 * 192, np.uint8)] * 2 + [None]
    world = World().run(lambda s: compare.of_records(s.at("test"), parts[s.party], LINKAGE, 192), 1)
    sent = sum(m.payload_bytes for m in world.sent if m.step.startswith("test"))
    assert sent == 3 * (3 * 192 + 2 * 192)
    assert world.rounds == 1 + 2


@pytest.mark.parametrize(
    "change",
    [
        {"reveal": Reveal.COUNT},
        {"records": (1, 2)},
        {"record_rows": None},
        {"similar_noise": Noise(Dummies(1.0, 1e-3), 3, 9)},
    ],
)
def test_inputs_that_do_not_fit(change: dict[str, object]) -> None:
    given = inputs(np.zeros((3, LINKAGE.record_words), np.uint64), [1, 1, 1])[0]
    with pytest.raises(ShareError):
        replace(given, secrets=(b"", b""), **change)


def test_parties_with_other_rules_stop() -> None:
    rows = np.zeros((3, LINKAGE.record_words), np.uint64)
    given = list(inputs(rows, [1, 1, 1]))
    given[1] = replace(given[1], linkage=replace(LINKAGE, largest_group=5))
    world = World().run(lambda s: engine.run(s, given[s.party], silent), 1)
    assert "other terms" in " ".join(map(str, world.errors.values()))
    assert set(world.errors) == {0, 1, 2}
