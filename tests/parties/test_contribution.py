import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc import shamir
from mpc.committee import PARTIES, PartyId
from mpc.replicated import Array, Share
from parties import contribution
from parties.contribution import (
    PIECE_BYTES,
    SEED_BYTES,
    WHOLE,
    Dealing,
    Replicated,
    Scheme,
    Shamir,
    deal,
    dealt_digest,
    fill_share,
    held_digests,
    scheme_of,
    whole_component,
)
from parties.statistics import Category, Statistics, rows_of
from tests.parties.contributing import dealt_rows, held_elements, held_share, pieces
from tests.parties.samples import examples, manifest

SECRET = bytes(range(32))
SIZES = (1, 63, 64, 65, 1000)
PLAIN = Replicated(cells=0)
SCHEMES = (PLAIN, Replicated(cells=65), Shamir(0, 3, 1), Shamir(0, 9, 4), Shamir(65, 5, 2))
SHORT = pytest.mark.parametrize("count", [1, 64, 65])
EACH = pytest.mark.parametrize("scheme", SCHEMES, ids=repr)


def rows_for(scheme: Scheme, count: int) -> Array:
    random = np.random.default_rng(count)
    keys = random.integers(0, 1 << 64, (count, 2), np.uint64)
    return rows_of(keys, random.integers(0, scheme.cells, count), scheme.cells) if scheme.cells else keys


def dealt(scheme: Scheme, count: int, secret: bytes = SECRET) -> list[Dealing]:
    return deal(scheme, rows_for(scheme, count), secret)


def shares(dealings: list[Dealing], words: int = 2) -> list[Share]:
    return [held_share(p, d.rows, d.seeds, pieces(d), words) for p, d in zip(PARTIES, dealings, strict=True)]


def by_component(scheme: Scheme, dealings: list[Dealing], party: int) -> list[tuple[int, bytes]]:
    """The components that a party holds, each with its bytes."""
    d = dealings[party]
    if isinstance(scheme, Shamir):
        return [(party, b"".join(pieces(d)))]
    share = held_share(party, d.rows, d.seeds, pieces(d), scheme.words)
    return list(zip(scheme.held_by(party), (share.a.tobytes(), share.b.tobytes()), strict=True))


# What comes back


@given(st.data())
@examples(60)
def test_dealing_gives_the_rows_back_in_either_scheme(data: st.DataObject) -> None:
    cells, parties = data.draw(st.integers(0, 130)), data.draw(st.integers(3, 9))
    threshold = data.draw(st.integers(1, (parties - 1) // 2))
    words = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 2**63, 2**64 - 1])
    keys = np.array(data.draw(st.lists(st.tuples(words, words), min_size=1, max_size=70)), np.uint64)
    rows = keys
    if cells:
        rows = rows_of(keys, np.array([data.draw(st.integers(0, cells - 1)) for _ in keys]), cells)
    for scheme in (Replicated(cells), Shamir(cells, parties, threshold)):
        dealings = deal(scheme, rows, data.draw(st.binary(min_size=32, max_size=32)))
        assert len(dealings) == scheme.components
        assert np.array_equal(dealt_rows(scheme, len(rows), [(d.seeds, pieces(d)) for d in dealings]), rows)


@pytest.mark.parametrize("count", SIZES)
def test_any_two_parties_of_the_replicated_engine_hold_the_keys(count: int) -> None:
    held = shares(dealt(PLAIN, count))
    for one, other in itertools.combinations(PARTIES, 2):
        components: dict[int, Array] = {}
        for party in (one, other):
            components |= {int(party): held[party].a, int(party.next): held[party].b}
        assert set(components) == {0, 1, 2}
        assert np.array_equal(components[0] ^ components[1] ^ components[2], rows_for(PLAIN, count))


@pytest.mark.parametrize(("parties", "threshold"), [(3, 1), (4, 1), (5, 2), (7, 3), (9, 4), (9, 2)])
def test_any_of_one_more_than_may_collude_hold_the_keys(parties: int, threshold: int) -> None:
    scheme = Shamir(2, parties, threshold)
    held = [held_elements(scheme, 3, pieces(d)) for d in dealt(scheme, 3)]
    whole = shamir.reconstruct(held, threshold)
    for some in itertools.combinations(range(parties), threshold + 1):
        weights = shamir.lagrange(tuple(p + 1 for p in some), 0)
        found = sum(weight * held[p] for weight, p in zip(weights, some, strict=True)) % shamir.PRIME
        assert np.array_equal(found, whole)


@SHORT
def test_a_row_of_the_mpyc_engine_is_its_key_and_a_bit_for_each_cell(count: int) -> None:
    scheme = Shamir(65, 5, 2)
    rows = rows_for(scheme, count)
    values = shamir.reconstruct([held_elements(scheme, count, pieces(d)) for d in dealt(scheme, count)], 2)
    assert values.shape == (count, 66)
    for row, (key, *cells) in zip(rows.tolist(), values.tolist(), strict=True):
        low, high, *words = row
        assert key == low + (high << 64)
        assert cells == [words[c // 64] >> (c % 64) & 1 for c in range(65)]
        assert sum(cells) == 1


def test_pieces_that_are_split_one_after_the_other_are_one_dealing(monkeypatch: pytest.MonkeyPatch) -> None:
    scheme = Shamir(3, 3, 1)
    whole = dealt(scheme, 65)
    monkeypatch.setattr(contribution, "PIECE_ELEMENTS", 7)
    again = dealt(scheme, 65)
    sent = [(d.seeds, pieces(d)) for d in again]
    assert np.array_equal(dealt_rows(scheme, 65, sent), rows_for(scheme, 65))
    assert [d.seeds for d in again] == [d.seeds for d in whole]


@EACH
def test_rows_of_another_width_are_not_dealt(scheme: Scheme) -> None:
    rows = np.zeros((2, scheme.words + 1), np.uint64)
    for wrong in (rows, rows[:, : scheme.words - 1], rows[0], rows[:, : scheme.words].astype(np.int64)):
        with pytest.raises(ValueError, match=f"where rows of {scheme.words} words are due"):
            deal(scheme, wrong, SECRET)


def test_the_terms_say_how_rows_are_shared() -> None:
    five = ("agency-a", "agency-b", "agency-c", "neutral", "neutral-2")
    table = Statistics(10, (Category("sex", ("f", "m")), Category("birth_date", ages=(0, 18))))
    assert scheme_of(manifest()) == PLAIN
    assert scheme_of(manifest(reveal="statistics", statistics=table)) == Replicated(cells=9)
    assert scheme_of(manifest(engine="mpyc", committee=five, threshold=1)) == Shamir(0, 5, 1)
    with_both = manifest(engine="mpyc", committee=five, threshold=2, reveal="statistics", statistics=table)
    assert scheme_of(with_both) == Shamir(9, 5, 2)


# What travels


@SHORT
@EACH
def test_what_travels(scheme: Scheme, count: int) -> None:
    dealings = dealt(scheme, count)
    for party, dealing in enumerate(dealings):
        held = scheme.held_by(party)
        assert dealing.rows == count
        assert [len(seed) for seed in dealing.seeds] == [SEED_BYTES] * len(held)
        assert sum(map(scheme.is_whole, held)) <= 1
        assert any(map(scheme.is_whole, held)) == (dealing.whole is not None)
        assert scheme.due_bytes(party, count) == sum(map(len, pieces(dealing)))
        if dealing.whole is not None:
            assert (dealing.whole.shape, dealing.whole.dtype) == ((count, scheme.row_bytes), np.uint8)
            assert dealing.whole.flags.c_contiguous


def test_how_long_a_row_is() -> None:
    assert [Replicated(cells).row_bytes for cells in (0, 1, 64, 65)] == [16, 24, 24, 32]
    assert [Shamir(cells, 3, 1).row_bytes for cells in (0, 1, 65)] == [17, 34, 17 * 66]
    assert [PLAIN.due_bytes(party, 10) for party in range(3)] == [0, 160, 160]
    assert [Shamir(1, 4, 1).due_bytes(party, 10) for party in range(4)] == [340] * 4


def test_no_party_is_sent_what_it_must_not_have() -> None:
    """Each lacks the seed of one component: it is known to that component's two holders alone."""
    p0, p1, p2 = dealt(PLAIN, 3)
    assert p0.whole is None
    assert (p0.seeds[1], p1.seeds[1], p2.seeds[1]) == (p1.seeds[0], p2.seeds[0], p0.seeds[0])
    assert len({p0.seeds[0], p1.seeds[0], p2.seeds[0]}) == 3


def test_nobody_is_sent_what_polynomials_are_made_of() -> None:
    scheme = Shamir(0, 5, 2)
    dealings = dealt(scheme, 3)
    seeds = [seed for d in dealings for seed in d.seeds]
    assert len(set(seeds)) == 5
    rows = rows_for(scheme, 3)
    for own_seed in (*seeds, bytes(SEED_BYTES), SECRET[:SEED_BYTES]):
        assert not np.array_equal(scheme.split(rows, seeds, own_seed)[0], dealings[0].whole)


# Digests


@SHORT
@EACH
def test_digests_are_of_what_nodes_hold(scheme: Scheme, count: int) -> None:
    dealings = dealt(scheme, count)
    digests = dealings[0].digests
    assert len(set(digests)) == len(digests) == scheme.components
    assert all(d.digests == digests for d in dealings)
    for party, d in enumerate(dealings):
        held = by_component(scheme, dealings, party)
        for seed, (component, content) in zip(d.seeds, held, strict=True):
            assert dealt_digest(seed, np.frombuffer(content, np.uint8)) == digests[component]
        assert held_digests(scheme, party, count, d.seeds, pieces(d)) == tuple(digests[c] for c, _ in held)


@pytest.mark.parametrize("party", PARTIES)
@pytest.mark.parametrize("count", [1, PIECE_BYTES // 16 - 1, PIECE_BYTES // 16, PIECE_BYTES // 8 + 1])
def test_digests_of_what_is_held_are_the_same_in_pieces(party: PartyId, count: int) -> None:
    dealing = dealt(PLAIN, count)[party]
    whole = b"" if dealing.whole is None else dealing.whole.tobytes()
    for size in (len(whole) or 1, 1000):
        sent = (whole[start : start + size] for start in range(0, len(whole), size))
        due = tuple(dealing.digests[c] for c in PLAIN.held_by(party))
        assert held_digests(PLAIN, party, count, dealing.seeds, sent) == due


def test_digests_of_what_is_held_take_little_memory() -> None:
    tracemalloc.start()
    try:
        held_digests(PLAIN, 0, PIECE_BYTES, (bytes(16), bytes(range(16))), ())
        assert tracemalloc.get_traced_memory()[1] < 3 * PIECE_BYTES
    finally:
        tracemalloc.stop()


# What a node computes on


@pytest.mark.parametrize("cells", [0, 65])
def test_a_component_without_a_seed_must_have_travelled(cells: int) -> None:
    scheme = Replicated(cells)
    size, dealings = scheme.row_bytes, dealt(scheme, 5)
    for party in (1, 2):
        dealing = dealings[party]
        with pytest.raises(ValueError, match=rf"^a component has 0 bytes where {5 * size} are due$"):
            held_share(party, 5, dealing.seeds, words=scheme.words)
        for rows in (4, 6):
            with pytest.raises(ValueError, match=rf"^a component has {5 * size} bytes where {rows * size} are due$"):
                held_share(party, rows, dealing.seeds, pieces(dealing), words=scheme.words)
    assert held_share(0, 5, dealings[0].seeds, words=scheme.words).shape == (5, scheme.words)


def test_a_share_is_written_into_its_place_among_others() -> None:
    share = Share(*(np.zeros((9, 2), np.uint64) for _ in "ab"))
    dealing = dealt(PLAIN, 5)[1]
    fill_share(PARTIES[1], share[2:7], dealing.seeds, pieces(dealing))
    alone = held_share(1, 5, dealing.seeds, pieces(dealing))
    assert np.array_equal(share.a[2:7], alone.a)
    assert np.array_equal(share.b[2:7], alone.b)
    assert not share.a[[0, 1, 7, 8]].any()
    assert not share.b[[0, 1, 7, 8]].any()


def test_a_component_of_the_mpyc_engine_is_read_as_it_was_dealt() -> None:
    scheme = Shamir(2, 3, 1)
    size = scheme.row_bytes
    for dealing in dealt(scheme, 5):
        read = whole_component(pieces(dealing), 5, size)
        assert (read.dtype, read.shape) == (np.uint8, (5, size))
        assert np.array_equal(read, dealing.whole)
        for rows in (4, 6):
            with pytest.raises(ValueError, match=rf"^a component has {5 * size} bytes where {rows * size} are due$"):
                whole_component(pieces(dealing), rows, size)


def test_a_component_that_is_no_elements_is_the_engines_to_refuse() -> None:
    scheme = Shamir(0, 3, 1)
    assert (whole_component([b"\xff" * scheme.row_bytes], 1, scheme.row_bytes) == 0xFF).all()
    digest = held_digests(scheme, 1, 1, (bytes(16),), [b"\xff" * scheme.row_bytes])
    assert digest == (dealt_digest(bytes(16), np.full(scheme.row_bytes, 0xFF, np.uint8)),)


@EACH
def test_dealings_of_one_row_of_zeros(scheme: Scheme) -> None:
    dealings = deal(scheme, np.zeros((1, scheme.words), np.uint64), SECRET)
    assert not dealt_rows(scheme, 1, [(d.seeds, pieces(d)) for d in dealings]).any()
    for party in range(scheme.components):
        assert all(any(content) for _, content in by_component(scheme, dealings, party))


def test_which_component_travels_whole() -> None:
    assert [c for c in range(3) if PLAIN.is_whole(c)] == [WHOLE]
    assert all(map(Shamir(0, 9, 4).is_whole, range(9)))
