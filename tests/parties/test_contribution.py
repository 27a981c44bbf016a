import hashlib
import itertools
import os

import numpy as np
import pytest

from mpc.committee import PARTIES, PartyId
from mpc.errors import ShareError
from mpc.replicated import Array, reconstruct
from parties.contribution import (
    SEED_BYTES,
    WHOLE,
    Dealing,
    deal_keys,
    dealt_digest,
    expand_share,
    held_by,
)

SESSION = bytes(range(32))
SIZES = (1, 63, 64, 65, 1000)


def keys_of(count: int) -> Array:
    return np.random.default_rng(count).integers(0, 1 << 64, (count, 2), np.uint64)


def shares(dealings: list[Dealing]) -> list:
    return [expand_share(p, d.rows, d.seeds, d.whole) for p, d in zip(PARTIES, dealings, strict=True)]


@pytest.mark.parametrize("count", SIZES)
def test_any_two_parties_hold_the_keys(count: int) -> None:
    keys = keys_of(count)
    held = shares(deal_keys(keys))
    assert np.array_equal(reconstruct((held[0], held[1], held[2])), keys)
    for one, other in itertools.combinations(PARTIES, 2):
        components = {}
        for party in (one, other):
            components |= {int(party): held[party].a, int(party.next): held[party].b}
        assert set(components) == {0, 1, 2}
        assert np.array_equal(components[0] ^ components[1] ^ components[2], keys)


@pytest.mark.parametrize("count", SIZES)
def test_what_travels(count: int) -> None:
    for party, dealing in zip(PARTIES, deal_keys(keys_of(count)), strict=True):
        assert dealing.rows == count
        assert [len(s) for s in dealing.seeds] == [SEED_BYTES, SEED_BYTES]
        assert (WHOLE in held_by(party)) == (dealing.whole is not None) == (party != PartyId.P0)
        if dealing.whole is not None:
            assert (dealing.whole.shape, dealing.whole.dtype) == ((count, 2), np.uint64)


@pytest.mark.parametrize("count", SIZES)
def test_digests_are_of_what_each_node_holds_and_agree_along_the_ring(count: int) -> None:
    dealings = deal_keys(keys_of(count))
    for party, dealing, share in zip(PARTIES, dealings, shares(dealings), strict=True):
        assert dealing.digests == (dealt_digest(dealing.seeds[0], share.a), dealt_digest(dealing.seeds[1], share.b))
        assert dealing.digests[1] == dealings[party.next].digests[0]
    assert len({d.digests[0] for d in dealings}) == 3


def test_a_digest_tells_nothing_to_whoever_lacks_the_component() -> None:
    """A party that guesses the keys knows the missing component, but not what its digest is keyed with."""
    keys = keys_of(1)
    dealings = deal_keys(keys)
    for party, share in zip(PARTIES, shares(dealings), strict=True):
        guessed = keys ^ share.a ^ share.b
        others = {d for dealing in dealings for d in dealing.digests} - set(dealings[party].digests)
        held = [*dealings[party].seeds, b"", bytes(SEED_BYTES)]
        assert len(others) == 1
        assert not others & {dealt_digest(seed, guessed) for seed in held}
        assert not others & {hashlib.blake2b(guessed.tobytes(), digest_size=32).digest()}
    seeds = [os.urandom(SEED_BYTES) for _ in range(2)]
    assert dealt_digest(seeds[0], keys) != dealt_digest(seeds[1], keys)


def test_randomness_is_fresh_every_time() -> None:
    keys = keys_of(64)
    one, two = deal_keys(keys), deal_keys(keys)
    seeds = [seed for dealing in (one[0], two[0]) for seed in dealing.seeds]
    assert len(set(seeds)) == 4
    assert one[1].seeds[1] != two[1].seeds[1]
    assert one[1].whole is not None
    assert two[1].whole is not None
    assert not np.any(one[1].whole == two[1].whole)


def test_no_party_is_sent_what_it_must_not_have() -> None:
    """Each lacks the seed of one component: it is known to that component's two holders alone."""
    p0, p1, p2 = deal_keys(keys_of(3))
    assert p0.whole is None
    assert (p0.seeds[1], p1.seeds[1], p2.seeds[1]) == (p1.seeds[0], p2.seeds[0], p0.seeds[0])
    assert len({p0.seeds[0], p1.seeds[0], p2.seeds[0]}) == 3


@pytest.mark.parametrize("bit", [0, 1])
def test_one_partys_view_is_uniform_whatever_the_keys(bit: int) -> None:
    """Bits of the components, and of their sum, of keys that are all zeros or all ones: fair within 7 deviations."""
    count = 4096
    keys = np.full((count, 2), np.uint64(0xFFFF_FFFF_FFFF_FFFF if bit else 0))
    bits = count * 128
    for share in shares(deal_keys(keys)):
        for view in (share.a, share.b, share.a ^ share.b):
            ones = int(np.unpackbits(view.view(np.uint8)).sum())
            assert abs(ones - bits / 2) < 7 * (bits / 4) ** 0.5
            per_bit = np.unpackbits(view.view(np.uint8).reshape(count, 16), axis=1).sum(axis=0)
            assert np.all(np.abs(per_bit.astype(int) - count / 2) < 7 * (count / 4) ** 0.5)


def test_a_component_without_a_seed_must_have_travelled() -> None:
    p0, p1, p2 = deal_keys(keys_of(5))
    for party, dealing in ((PartyId.P1, p1), (PartyId.P2, p2)):
        with pytest.raises(ValueError, match="travels whole"):
            expand_share(party, 5, dealing.seeds, None)
    assert p1.whole is not None
    with pytest.raises(ShareError):
        expand_share(PartyId.P1, 6, p1.seeds, p1.whole)
    assert expand_share(PartyId.P0, 5, p0.seeds, None).shape == (5, 2)


def test_dealings_of_one_key_of_zeros() -> None:
    held = shares(deal_keys(np.zeros((1, 2), np.uint64)))
    assert not reconstruct((held[0], held[1], held[2])).any()
    assert all(share.a.any() and share.b.any() for share in held)
