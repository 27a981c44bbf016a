from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.committee import PARTIES, PartyId
from mpc.prss import Keystream
from mpc.replicated import Array, public, reconstruct
from mpc.shuffle import Order, permutation, shuffle, unshuffle
from tests.mpc.arrays import SEEDS, random_array
from tests.world import World, run_parties, shares

SIZES = st.sampled_from([0, 1, 2, 3, 64, 65]) | st.integers(0, 400)


def shuffled(rows: Array, seed: int = 1) -> tuple[Array, list[tuple]]:
    """The reconstructed rows in shuffled order, and what each party holds of them and of the order."""
    dealt = shares(rows, seed)
    results = run_parties(lambda s: shuffle(s.at("shuffle"), dealt[s.party]), seed)
    return reconstruct(tuple(r[0] for r in results)), results


def overall(orders: list[Order]) -> Array:
    """The order of pass 1, then pass 2, then pass 3: result k came from place overall[k]."""
    pass1, pass2, pass3 = orders[1].a, orders[2].a, orders[0].a
    return pass1[pass2[pass3]]


def there_and_back(rows: int, values: Array, seed: int, is_public: bool = False) -> Array:
    """Shuffle row numbers, take each row's value in shuffled order, and un-shuffle the values."""
    numbers = shares(np.arange(rows, dtype=np.uint64)[:, None], seed)

    def first(session):
        return shuffle(session.at("shuffle"), numbers[session.party])

    order = reconstruct(tuple(r[0] for r in run_parties(first, seed)))[:, 0].astype(np.int64)
    moved = values[order]
    dealt = [public(p, moved) for p in PARTIES] if is_public else shares(moved, seed + 1)

    def protocol(session):
        return unshuffle(session.at("unshuffle"), first(session)[1], dealt[session.party])

    p0, p1, p2 = run_parties(protocol, seed)
    assert p2 is None
    assert p0.dtype == p1.dtype == values.dtype
    return p0 ^ p1


@settings(max_examples=40)
@given(SIZES, st.integers(1, 4), SEEDS)
def test_the_multiset_is_kept(n: int, width: int, seed: int) -> None:
    rows = random_array(seed, (n, width)) & np.uint64(3)  # with many equal rows
    result, _ = shuffled(rows, seed)
    assert result.shape == rows.shape
    assert sorted(map(bytes, result)) == sorted(map(bytes, rows))


@settings(max_examples=40)
@given(SIZES, st.sampled_from(["uint8", "uint16", "uint64"]), st.sampled_from([(), (1,), (3,)]), SEEDS, st.booleans())
def test_unshuffle_undoes_shuffle(n: int, dtype: str, tail: tuple[int, ...], seed: int, is_public: bool) -> None:
    values = random_array(seed, (n, *tail), dtype)
    assert np.array_equal(there_and_back(n, values, seed, is_public), values)


def test_longer_than_one_message() -> None:
    rows = random_array(3, (70_000, 2))
    result, parts = shuffled(rows)
    assert np.array_equal(result, rows[overall([order for _, order in parts])])


def test_no_two_passes_make_the_order() -> None:
    rows = np.arange(50, dtype=np.uint64)[:, None]
    result, parts = shuffled(rows)
    orders = [order for _, order in parts]
    for p in PARTIES:
        assert np.array_equal(orders[p].a, orders[p.previous].b), "both holders agree"
    order = result[:, 0].astype(np.int64)
    assert np.array_equal(order, overall(orders))
    identity = np.arange(50, dtype=np.uint32)
    for p in PARTIES:
        mine = [identity, orders[p].a, orders[p].b]
        mine += [np.argsort(permutation) for permutation in mine]
        for one, other in itertools.product(mine, repeat=2):
            assert not np.array_equal(order, one[other]), p


def test_each_party_lacks_a_permutation() -> None:
    _, parts = shuffled(np.arange(50, dtype=np.uint64)[:, None])
    permutations = [parts[p][1].a.tobytes() for p in PARTIES]
    assert len(set(permutations)) == 3
    for p in PARTIES:
        assert permutations[p.previous] not in (parts[p][1].a.tobytes(), parts[p][1].b.tobytes())


def test_the_result_is_a_fresh_sharing() -> None:
    rows = random_array(5, (60, 2))
    dealt = shares(rows, 5)
    _, parts = shuffled(rows, 5)
    before = {bytes(row) for s in dealt for c in (s.a, s.b, s.a ^ s.b) for row in c} | {bytes(row) for row in rows}
    for share, _ in parts:
        assert not before & {bytes(row) for c in (share.a, share.b, share.a ^ share.b) for row in c}


def test_another_session_another_order_and_sharing() -> None:
    rows = np.arange(40, dtype=np.uint64)[:, None]
    (one, first), (two, second) = shuffled(rows, 1), shuffled(rows, 2)
    assert not np.array_equal(one, two)
    assert all(not np.array_equal(first[p][0].a, second[p][0].a) for p in PARTIES)


def test_every_order_of_three_rows_comes_up() -> None:
    """288 shuffles, six orders: chi-square below its quantile at one in a million for five degrees of freedom."""
    rows = np.arange(3, dtype=np.uint64)[:, None]

    def protocol(session):
        dealt = shares(rows)[session.party]
        return [shuffle(session.at(f"shuffle{k}"), dealt)[0] for k in range(288)]

    results = run_parties(protocol, 12)
    orders = [tuple(reconstruct(tuple(r[k] for r in results))[:, 0].tolist()) for k in range(288)]
    counts = [orders.count(order) for order in itertools.permutations(range(3))]
    assert sum(counts) == 288
    assert sum((count - 48) ** 2 / 48 for count in counts) < 35.9, counts


class Scripted(Keystream):
    """A stream whose draws are given."""

    def __init__(self, *draws: list[int]) -> None:
        self.draws = [np.array(draw, np.uint64) for draw in draws]

    def random(self, shape, dtype=np.uint64):
        draw = self.draws.pop(0)
        assert (draw.shape, draw.dtype) == (shape, dtype)
        return draw


def test_ties_are_drawn_anew() -> None:
    stream = Scripted([3, 1, 3], [0, 0, 0], [9, 4, 7], [1, 2, 3])
    assert permutation(stream, 3).tolist() == [1, 2, 0]
    assert len(stream.draws) == 1, "drawn until there is no tie, and no more"


@given(SIZES, st.binary(min_size=16, max_size=16))
def test_a_permutation_is_one_and_the_same_at_both_holders(n: int, key: bytes) -> None:
    mine, theirs = permutation(Keystream(key), n), permutation(Keystream(key), n)
    assert np.array_equal(mine, theirs)
    assert mine.dtype == np.uint32
    assert sorted(mine.tolist()) == list(range(n))
    keys = Keystream(key).random((n,))[mine]
    assert np.all(keys[1:] > keys[:-1]), "it sorts the stream's first words"


def test_a_mailbox_with_room_for_one_pass_is_enough() -> None:
    rows = random_array(1, (100_000, 2))
    dealt = shares(rows)
    world = World(capacity_bytes=1 << 21, watched=True).run(lambda s: shuffle(s, dealt[s.party])[0], 1)
    assert not world.errors
    assert sorted(map(bytes, reconstruct(tuple(world.results[p] for p in PARTIES)))) == sorted(map(bytes, rows))


def test_unshuffle_gives_p2_nothing() -> None:
    values = random_array(2, (5,), "uint8")
    dealt = shares(values)

    def protocol(session):
        _, order = shuffle(session.at("s"), shares(random_array(1, (5, 1)))[session.party])
        return unshuffle(session.at("u"), order, dealt[session.party])

    results = run_parties(protocol, 1)
    assert results[PartyId.P2] is None
    assert all(results[p] is not None for p in (PartyId.P0, PartyId.P1))
