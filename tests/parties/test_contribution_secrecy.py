"""What few committee nodes see of what a member deals: nothing of its rows, whatever else it deals."""

import hashlib
import itertools
import os

import numpy as np
import pytest

from mpc import shamir
from mpc.committee import PARTIES
from mpc.replicated import Array
from parties.contribution import SEED_BYTES, Dealing, Scheme, Shamir, deal, dealt_digest
from tests.parties.contributing import held_elements, pieces
from tests.parties.test_contribution import EACH, PLAIN, SECRET, SHORT, by_component, dealt, rows_for, shares

# Digests


def test_a_digest_tells_nothing_to_whoever_lacks_the_component() -> None:
    """A party that guesses the keys knows the missing component, but not what its digest is keyed with."""
    keys = rows_for(PLAIN, 1)
    dealings = deal(PLAIN, keys, SECRET)
    for party, share in zip(PARTIES, shares(dealings), strict=True):
        guessed = keys ^ share.a ^ share.b
        (other,) = set(range(3)) - set(PLAIN.held_by(party))
        digest = dealings[party].digests[other]
        held = [*dealings[party].seeds, b"", bytes(SEED_BYTES)]
        assert digest not in {dealt_digest(seed, guessed) for seed in held}
        assert digest != hashlib.blake2b(guessed.tobytes(), digest_size=32).digest()
    seeds = [os.urandom(SEED_BYTES) for _ in range(2)]
    assert dealt_digest(seeds[0], keys) != dealt_digest(seeds[1], keys)


def test_a_digest_tells_nothing_to_as_many_nodes_as_may_collude() -> None:
    """With one key guessed, t nodes know all polynomials and so everyone's component, but not the others' seeds."""
    scheme, keys = Shamir(0, 5, 2), rows_for(PLAIN, 1)
    dealings = deal(scheme, keys, SECRET)
    guess = shamir.keys_as_elements(keys)
    points = [guess, *(held_elements(scheme, 1, pieces(d))[:, 0] for d in dealings[:2])]
    seeds = [seed for d in dealings[:2] for seed in d.seeds]
    for party in (2, 3, 4):
        weights = shamir.lagrange((0, 1, 2), party + 1)
        value = sum(weight * point for weight, point in zip(weights, points, strict=True)) % shamir.PRIME
        guessed = shamir.encode(value)
        assert np.array_equal(guessed, dealings[party].whole)
        assert dealings[0].digests[party] not in {dealt_digest(seed, guessed) for seed in [*seeds, bytes(SEED_BYTES)]}


# The same and others


def drawn(dealings: list[Dealing]) -> list[bytes]:
    """Everything random of a dealing: the seeds of its components, and rows of those that travel whole."""
    seeds = dict.fromkeys(seed for d in dealings for seed in d.seeds)
    wholes = {d.whole.tobytes(): d.whole for d in dealings if d.whole is not None}
    return [*seeds, *(row.tobytes() for whole in wholes.values() for row in whole)]


@SHORT
@EACH
def test_the_same_rows_under_the_same_secret_are_dealt_in_the_same_way(scheme: Scheme, count: int) -> None:
    one, two = (dealt(scheme, count) for _ in range(2))
    assert drawn(one) == drawn(two)
    assert one[0].digests == two[0].digests


def others(rows: Array) -> list[Array]:
    """Lists that differ in a bit, in their length, or in their order."""
    flipped = rows.copy()
    flipped[-1, 1] ^= np.uint64(1)
    return [flipped, rows[:-1], rows[::-1], np.concatenate([rows, rows[:1]])]


def in_other_cells(rows: Array) -> list[Array]:
    """The same keys, one of them in another cell, where there are cells."""
    moved = rows.copy()
    moved[-1, 2:] = np.roll(moved[-1, 2:], 1)
    return [moved] if not np.array_equal(moved, rows) else []


@EACH
def test_other_rows_are_dealt_independently(scheme: Scheme) -> None:
    rows = rows_for(scheme, 64)
    several = [rows, *others(rows), *in_other_cells(rows)]
    dealings = [deal(scheme, some, SECRET) for some in several]
    everything = [piece for dealing in dealings for piece in drawn(dealing)]
    assert len(set(everything)) == len(everything)
    digests = [digest for dealing in dealings for digest in dealing[0].digests]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize("scheme", [PLAIN, Shamir(0, 3, 1)], ids=repr)
def test_components_of_two_lists_do_not_tell_in_what_they_differ(scheme: Scheme) -> None:
    """Else who holds a component of both would see it: with the randomness of one, they would differ as keys do."""
    keys = rows_for(scheme, 64)
    several = [keys, *others(keys)]
    dealings = [deal(scheme, some, SECRET) for some in several]
    for one, other in itertools.combinations(range(len(several)), 2):
        size = min(len(several[one]), len(several[other]))
        for party in range(scheme.components):
            held = (by_component(scheme, dealings[k], party) for k in (one, other))
            for (_, a), (_, b) in zip(*held, strict=True):
                if isinstance(scheme, Shamir):
                    values = [shamir.decode(np.frombuffer(c, np.uint8).reshape(-1, 17))[:size] for c in (a, b)]
                    wanted = [shamir.keys_as_elements(several[k])[:size] for k in (one, other)]
                    assert not np.any((values[0] - values[1] - wanted[0] + wanted[1]) % shamir.PRIME == 0)
                else:
                    words = [np.frombuffer(c, np.uint64).reshape(-1, 2)[:size] for c in (a, b)]
                    assert not np.any((words[0] ^ words[1]) == (several[one][:size] ^ several[other][:size]))


@EACH
def test_another_secret_deals_the_same_rows_independently(scheme: Scheme) -> None:
    everything = [piece for secret in (SECRET, bytes(32)) for piece in drawn(dealt(scheme, 64, secret))]
    assert len(set(everything)) == len(everything)


@EACH
def test_a_dealing_does_not_show_its_secrets(scheme: Scheme) -> None:
    for dealing in dealt(scheme, 3):
        shown = repr(dealing)
        assert not any(seed.hex() in shown or repr(seed)[2:-1] in shown for seed in dealing.seeds)


# What few parties see

COUNT = 4096
BITS = [0, 1]


def is_fair(view: Array) -> bool:
    """Whether bits are fair within 7 deviations: all of them, and each one of a row; (COUNT, bytes) uint8."""
    ones = np.unpackbits(view, axis=1).sum(axis=0).astype(int)
    bits = COUNT * len(ones)
    whole = abs(int(ones.sum()) - bits / 2) < 7 * (bits / 4) ** 0.5
    return whole and bool(np.all(np.abs(ones - COUNT / 2) < 7 * (COUNT / 4) ** 0.5))


def same_rows(bit: int) -> Array:
    """Keys that are all zeros or all ones."""
    return np.full((COUNT, 2), np.uint64(0xFFFF_FFFF_FFFF_FFFF if bit else 0))


@pytest.mark.parametrize("bit", BITS)
def test_one_partys_view_is_uniform_whatever_the_keys(bit: int) -> None:
    for share in shares(deal(PLAIN, same_rows(bit), SECRET)):
        for view in (share.a, share.b, share.a ^ share.b):
            assert is_fair(view.view(np.uint8))


@pytest.mark.parametrize("bit", BITS)
@pytest.mark.parametrize(("parties", "threshold"), [(3, 1), (5, 2), (9, 4)])
def test_the_view_of_as_many_as_may_collude_is_uniform_whatever_the_keys(
    parties: int, threshold: int, bit: int
) -> None:
    """Their shares, and what these would be the first coefficients of: one more would make it the keys."""
    scheme = Shamir(0, parties, threshold)
    held = [held_elements(scheme, COUNT, pieces(d))[:, 0] for d in deal(scheme, same_rows(bit), SECRET)]
    for some in (range(threshold), range(parties - threshold, parties)):
        points = tuple(p + 1 for p in some)
        views = [held[p] for p in some]
        views.append(sum(w * v for w, v in zip(shamir.lagrange(points, 0), views, strict=True)) % shamir.PRIME)
        for view in views:  # below 2^128 but for 51 of them
            assert is_fair(np.ascontiguousarray(shamir.encode(view)[:, :16]))
    assert len({value for view in held for value in view.tolist()}) == parties * COUNT
