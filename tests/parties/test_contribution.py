import hashlib
import itertools
import os
import tracemalloc

import numpy as np
import pytest

from mpc.committee import PARTIES, PartyId
from mpc.replicated import Array, Share, reconstruct
from parties.contribution import (
    PIECE_ROWS,
    SEED_BYTES,
    WHOLE,
    Dealing,
    all_digests,
    deal_keys,
    dealt_digest,
    held_by,
    held_digests,
)
from tests.parties.contributing import held_share, pieces

SECRET = bytes(range(32))
SIZES = (1, 63, 64, 65, 1000)


def keys_of(count: int) -> Array:
    return np.random.default_rng(count).integers(0, 1 << 64, (count, 2), np.uint64)


def shares(dealings: list[Dealing]) -> list[Share]:
    return [held_share(p, d.rows, d.seeds, pieces(d)) for p, d in zip(PARTIES, dealings, strict=True)]


@pytest.mark.parametrize("count", SIZES)
def test_any_two_parties_hold_the_keys(count: int) -> None:
    keys = keys_of(count)
    held = shares(deal_keys(keys, SECRET))
    assert np.array_equal(reconstruct((held[0], held[1], held[2])), keys)
    for one, other in itertools.combinations(PARTIES, 2):
        components: dict[int, Array] = {}
        for party in (one, other):
            components |= {int(party): held[party].a, int(party.next): held[party].b}
        assert set(components) == {0, 1, 2}
        assert np.array_equal(components[0] ^ components[1] ^ components[2], keys)


@pytest.mark.parametrize("count", SIZES)
def test_what_travels(count: int) -> None:
    for party, dealing in zip(PARTIES, deal_keys(keys_of(count), SECRET), strict=True):
        assert dealing.rows == count
        assert [len(s) for s in dealing.seeds] == [SEED_BYTES, SEED_BYTES]
        assert (WHOLE in held_by(party)) == (dealing.whole is not None) == (party != PartyId.P0)
        if dealing.whole is not None:
            assert (dealing.whole.shape, dealing.whole.dtype) == ((count, 2), np.uint64)


@pytest.mark.parametrize("count", SIZES)
def test_digests_are_of_what_each_node_holds_and_agree_along_the_ring(count: int) -> None:
    dealings = deal_keys(keys_of(count), SECRET)
    for party, dealing, share in zip(PARTIES, dealings, shares(dealings), strict=True):
        assert dealing.digests == (dealt_digest(dealing.seeds[0], share.a), dealt_digest(dealing.seeds[1], share.b))
        assert dealing.digests[1] == dealings[party.next].digests[0]
    assert len({d.digests[0] for d in dealings}) == 3


@pytest.mark.parametrize("party", PARTIES)
@pytest.mark.parametrize("count", [1, PIECE_ROWS - 1, PIECE_ROWS, 2 * PIECE_ROWS + 1])
def test_digests_of_what_is_held_are_the_same_in_pieces(party: PartyId, count: int) -> None:
    dealing = deal_keys(keys_of(count), SECRET)[party]
    whole = b"" if dealing.whole is None else dealing.whole.tobytes()
    for size in (len(whole) or 1, 1000):
        pieces = (whole[start : start + size] for start in range(0, len(whole), size))
        assert held_digests(party, count, dealing.seeds, pieces) == dealing.digests


def test_digests_of_what_is_held_take_little_memory() -> None:
    tracemalloc.start()
    try:
        held_digests(PartyId.P0, 16 * PIECE_ROWS, (bytes(16), bytes(range(16))), ())
        assert tracemalloc.get_traced_memory()[1] < 3 * 16 * PIECE_ROWS
    finally:
        tracemalloc.stop()


def test_a_digest_tells_nothing_to_whoever_lacks_the_component() -> None:
    """A party that guesses the keys knows the missing component, but not what its digest is keyed with."""
    keys = keys_of(1)
    dealings = deal_keys(keys, SECRET)
    for party, share in zip(PARTIES, shares(dealings), strict=True):
        guessed = keys ^ share.a ^ share.b
        others = {d for dealing in dealings for d in dealing.digests} - set(dealings[party].digests)
        held = [*dealings[party].seeds, b"", bytes(SEED_BYTES)]
        assert len(others) == 1
        assert not others & {dealt_digest(seed, guessed) for seed in held}
        assert not others & {hashlib.blake2b(guessed.tobytes(), digest_size=32).digest()}
    seeds = [os.urandom(SEED_BYTES) for _ in range(2)]
    assert dealt_digest(seeds[0], keys) != dealt_digest(seeds[1], keys)


def drawn(dealings: list[Dealing]) -> list[bytes]:
    """Everything random of a dealing: the seeds of its three components, and the one that travels whole."""
    whole = dealings[1].whole
    assert whole is not None
    return [*dealings[0].seeds, dealings[1].seeds[1], *(row.tobytes() for row in whole)]


@pytest.mark.parametrize("count", SIZES)
def test_the_same_keys_under_the_same_secret_are_dealt_in_the_same_way(count: int) -> None:
    one, two = (deal_keys(keys_of(count), SECRET) for _ in range(2))
    assert drawn(one) == drawn(two)
    assert all_digests(one) == all_digests(two)


def others(keys: Array) -> list[Array]:
    """Lists that differ in a bit, in their length, or in their order."""
    flipped = keys.copy()
    flipped[-1, 1] ^= np.uint64(1)
    return [flipped, keys[:-1], keys[::-1], np.concatenate([keys, keys[:1]])]


def test_other_keys_are_dealt_independently() -> None:
    """Else who holds a component of both would see in what the lists differ."""
    keys = keys_of(64)
    several = [keys, *others(keys)]
    dealings = [deal_keys(some, SECRET) for some in several]
    everything = [piece for dealing in dealings for piece in drawn(dealing)]
    assert len(set(everything)) == len(everything)
    digests = [digest for dealing in dealings for digest in all_digests(dealing)]
    assert len(set(digests)) == len(digests)
    for one, other in itertools.combinations(range(len(several)), 2):
        size = min(len(several[one]), len(several[other]))
        for a, b in zip(shares(dealings[one]), shares(dealings[other]), strict=True):
            for of_one, of_other in ((a.a, b.a), (a.b, b.b)):
                assert not np.any((of_one[:size] ^ of_other[:size]) == (several[one][:size] ^ several[other][:size]))


def test_another_secret_deals_the_same_keys_independently() -> None:
    keys = keys_of(64)
    everything = [piece for secret in (SECRET, bytes(32)) for piece in drawn(deal_keys(keys, secret))]
    assert len(set(everything)) == len(everything)


@pytest.mark.parametrize("count", SIZES)
def test_digests_of_all_three_components(count: int) -> None:
    dealings = deal_keys(keys_of(count), SECRET)
    by_component: dict[int, bytes] = {}
    for party, dealing in zip(PARTIES, dealings, strict=True):
        by_component |= dict(zip(held_by(party), dealing.digests, strict=True))
    assert all_digests(dealings) == tuple(by_component[component] for component in range(3))


def test_a_dealing_does_not_show_its_secrets() -> None:
    for dealing in deal_keys(keys_of(3), SECRET):
        shown = repr(dealing)
        assert not any(seed.hex() in shown or repr(seed)[2:-1] in shown for seed in dealing.seeds)


def test_no_party_is_sent_what_it_must_not_have() -> None:
    """Each lacks the seed of one component: it is known to that component's two holders alone."""
    p0, p1, p2 = deal_keys(keys_of(3), SECRET)
    assert p0.whole is None
    assert (p0.seeds[1], p1.seeds[1], p2.seeds[1]) == (p1.seeds[0], p2.seeds[0], p0.seeds[0])
    assert len({p0.seeds[0], p1.seeds[0], p2.seeds[0]}) == 3


@pytest.mark.parametrize("bit", [0, 1])
def test_one_partys_view_is_uniform_whatever_the_keys(bit: int) -> None:
    """Bits of the components, and of their sum, of keys that are all zeros or all ones: fair within 7 deviations."""
    count = 4096
    keys = np.full((count, 2), np.uint64(0xFFFF_FFFF_FFFF_FFFF if bit else 0))
    bits = count * 128
    for share in shares(deal_keys(keys, SECRET)):
        for view in (share.a, share.b, share.a ^ share.b):
            ones = int(np.unpackbits(view.view(np.uint8)).sum())
            assert abs(ones - bits / 2) < 7 * (bits / 4) ** 0.5
            per_bit = np.unpackbits(view.view(np.uint8).reshape(count, 16), axis=1).sum(axis=0)
            assert np.all(np.abs(per_bit.astype(int) - count / 2) < 7 * (count / 4) ** 0.5)


def test_a_component_without_a_seed_must_have_travelled() -> None:
    p0, p1, p2 = deal_keys(keys_of(5), SECRET)
    for party, dealing in ((PartyId.P1, p1), (PartyId.P2, p2)):
        with pytest.raises(ValueError, match=r"^component 2 has 0 bytes where 80 are due$"):
            held_share(party, 5, dealing.seeds)
        with pytest.raises(ValueError, match=r"^component 2 has 80 bytes where 96 are due$"):
            held_share(party, 6, dealing.seeds, pieces(dealing))
    assert held_share(PartyId.P0, 5, p0.seeds).shape == (5, 2)


def test_dealings_of_one_key_of_zeros() -> None:
    held = shares(deal_keys(np.zeros((1, 2), np.uint64), SECRET))
    assert not reconstruct((held[0], held[1], held[2])).any()
    assert all(share.a.any() and share.b.any() for share in held)
