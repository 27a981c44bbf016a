from __future__ import annotations

import hashlib
import hmac
import math
from bisect import bisect_right
from decimal import Context, Decimal
from fractions import Fraction
from itertools import combinations, pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mpc.committee import PARTIES
from mpc.dummies import MOST_ROWS, Dummies, Noise, dummy_rows, pair_secret, secret_digest
from mpc.errors import ShareError
from mpc.prss import derive
from mpc.replicated import reconstruct
from tests.world import SECRETS

UNIT = 2**128
SECRET = bytes(range(32))


def noise(epsilon: float, delta: float, keys: int = 1, members: int = 2) -> Noise:
    return Noise(Dummies(epsilon, delta), keys, members)


def noises() -> st.SearchStrategy[Noise]:
    epsilons, deltas = st.floats(0.01, 10), st.sampled_from([1e-12, 1e-9, 1e-6, 1e-3, 0.1])
    return st.builds(noise, epsilons, deltas, st.integers(1, 40), st.integers(2, 30))


def tail(step: float, c: int, keys: int) -> float:
    """P(E < keys): equation 11 of Case, Honaker and Movahedi."""
    rho = math.exp(-step)
    return (1 - rho) / (1 + rho - 2 * rho ** (c + 1)) * sum(rho**k for k in range(c - keys + 1, c + 1))


# The distribution


OF_IPA = [
    (1, 0.5, 1e-6, 25), (1, 1.0, 1e-6, 14), (1, 0.1, 1e-7, 132), (1, 0.01, 1e-8, 1313),
    (10, 1.0, 1e-6, 23), (10, 0.1, 1e-8, 183), (100, 0.1, 1e-6, 231), (100, 0.01, 1e-8, 1827),
]  # fmt: skip
"""(keys, step, delta, centre): IPA's tests (oprf_padding/insecure.rs) expect this of a count that moves by `keys`."""


@pytest.mark.parametrize(("keys", "step", "delta", "centre"), OF_IPA)
def test_centres_of_ipa(keys: int, step: float, delta: float, centre: int) -> None:
    """With two members there is one count."""
    assert noise(step * keys, delta, keys).centre == centre


@given(noises())
def test_the_centre_is_the_smallest(n: Noise) -> None:
    assume(n.keys < n.centre)
    step, target = float(n.step), n.dummies.delta
    assert n.moved * tail(step, n.centre, n.keys) <= target * (1 + 1e-9)
    assert n.moved * tail(step, n.centre - 1, n.keys) > target * (1 - 1e-9)


@given(noises())
def test_the_table_is_the_distribution(n: Noise) -> None:
    assume(n.centre < 5000)
    weights = math.exp(-float(n.step)) ** np.abs(np.arange(2 * n.centre + 1) - n.centre)
    assert np.allclose(np.array(probabilities(n), float) / UNIT, weights / weights.sum(), rtol=1e-9, atol=0)


def probabilities(n: Noise) -> list[int]:
    """P(E = k) in units of 2^-128, as it is drawn."""
    found = [b - a for a, b in pairwise([0, *n.table()])]
    assert sum(found) == UNIT
    return found


def divergence(n: Noise, shift: tuple[int, ...]) -> Fraction:
    """The largest P(S) - e^ε P'(S) over all sets S of outputs, exactly, for H' = H + shift and e^ε rounded down."""
    single = probabilities(n)
    factor = Fraction(Context(prec=50).exp(Decimal(n.dummies.epsilon))) - Fraction(1, 10**40)
    total = Fraction(0)
    for drawn in product(range(len(single)), repeat=len(shift)):
        other = [k - v for k, v in zip(drawn, shift, strict=True)]
        p = math.prod(single[k] for k in drawn)
        q = math.prod(single[k] if 0 <= k < len(single) else 0 for k in other)
        total += max(Fraction(0), p - factor * q)
    return total / UNIT ** len(shift)


def at_least(lists: tuple[frozenset[int], ...]) -> tuple[int, ...]:
    """H_2 … H_N."""
    holders = [sum(key in keys for keys in lists) for key in frozenset[int]().union(*lists)]
    return tuple(sum(h >= s for h in holders) for s in range(2, len(lists) + 1))


def shifts(members: int, keys: int, universe: int) -> set[tuple[int, ...]]:
    """What replacing up to `keys` keys of the first member's list does to H_2 … H_N, for all lists there are."""
    lists = [frozenset(c) for size in range(universe + 1) for c in combinations(range(universe), size)]
    found = set()
    for others in product(lists, repeat=members - 1):
        levels = {own: at_least((own, *others)) for own in lists}
        for own, other in product(lists, repeat=2):
            if len(own) == len(other) and len(own - other) <= keys:
                found.add(tuple(b - a for a, b in zip(levels[own], levels[other], strict=True)))
    return found


@pytest.mark.parametrize(
    ("members", "keys", "universe", "epsilon", "delta"),
    [(2, 1, 4, 1.0, 1e-6), (2, 2, 4, 0.5, 1e-9), (3, 1, 4, 1.0, 1e-6), (3, 2, 4, 4.0, 1e-4), (4, 1, 3, 6.0, 1e-2)],
)
def test_the_guarantee_holds_exactly(members: int, keys: int, universe: int, epsilon: float, delta: float) -> None:
    """For all neighbours over a small universe of keys, and every set of what a party can see."""
    n = noise(epsilon, delta, keys, members)
    moved = shifts(members, keys, universe)
    assert max(sum(map(abs, v)) for v in moved) == n.moved * keys
    assert max(map(max, moved)) == keys
    worst = max(divergence(n, v) for v in moved)
    assert delta / 20 < worst <= Fraction(delta), "and is not given away for nothing"


def test_the_guarantee_would_not_hold_for_one_key_more() -> None:
    assert divergence(noise(1.0, 1e-6, keys=1), (2,)) > Fraction(1e-6)
    assert divergence(noise(1.0, 1e-6, keys=1, members=3), (2, 1)) > Fraction(1e-6)


# What a pair draws


def expand(key: bytes, label: str) -> bytes:
    """The first 16 bytes of HKDF-Expand, RFC 5869, section 2.3."""
    return hmac.digest(key, label.encode() + b"\x01", "sha256")[:16]


@pytest.mark.parametrize(("epsilon", "keys", "members"), [(1.0, 4, 3), (0.5, 1, 2), (2.0, 8, 10)])
def test_groups_by_other_means(epsilon: float, keys: int, members: int) -> None:
    """The definition once more, in floating point."""
    n = noise(epsilon, 1e-6, keys, members)
    c, rho = n.centre, math.exp(-epsilon / (min(members - 1, 2) * keys))
    sums = np.cumsum(rho ** np.abs(np.arange(2 * c + 1) - c))
    draws = [int.from_bytes(expand(SECRET, f"level {s}"), "big") / UNIT for s in range(2, members + 1)]
    added = [2 * c * (members - s) + bisect_right(sums / sums[-1], u) for s, u in enumerate(draws, 2)]
    added = [c * (members - 1) * (members + 2) - sum(added), *added, 0]
    assert n.groups(SECRET) == [a - b for a, b in pairwise(added)]


def test_known_answers() -> None:
    """So that two versions of the program, or two machines, do not draw differently unnoticed."""
    assert noise(1.0, 1e-6, 4, 3).groups(SECRET) == [305, 216, 111]
    assert hashlib.sha256(repr(noise(0.1, 1e-9, 7, 5).table()).encode()).hexdigest()[:16] == "0cb7e3907e04c161"


@given(noises(), st.binary(min_size=32, max_size=32))
def test_the_number_of_rows_is_public(n: Noise, secret: bytes) -> None:
    assume(n.centre < 5000)
    groups = n.groups(secret)
    assert len(groups) == n.largest
    assert min(groups) >= 0
    assert sum(size * number for size, number in enumerate(groups, 1)) == n.pair_rows
    assert n.rows == 3 * n.pair_rows


class Ends(Noise):
    """Noise that is only ever the least or the most."""

    def table(self) -> list[int]:
        return [UNIT // 2] * (2 * self.centre) + [UNIT]


@pytest.mark.parametrize("members", [2, 3, 4])
def test_no_number_of_groups_is_negative(members: int) -> None:
    """When all combinations of ends come up there are sometimes none of each size, and never less."""
    n = Ends(Dummies(1.0, 1e-6), 3, members)
    drawn = [n.groups(derive(SECRET, str(k))) for k in range(400)]
    assert [min(numbers) for numbers in zip(*drawn, strict=True)] == [0] * members


def test_draws_follow_the_table() -> None:
    n = noise(0.5, 0.1)
    draws = np.bincount([n.groups(derive(SECRET, str(k)))[1] for k in range(4000)], minlength=2 * n.centre + 1)
    expected = np.array(probabilities(n), float) / UNIT * 4000
    assert len(expected) == 7
    assert np.sum((draws - expected) ** 2 / expected) < 39, "chi-square, six degrees of freedom, one in a million"


# The secret of a pair


def test_a_pairs_secret_by_other_means() -> None:
    seeds = [bytes([k]) * 16 for k in range(3)]
    halves = [hmac.digest(seed, b"dummies\x01", "sha256") for seed in seeds]
    key = hmac.digest(b"t" * 32, b"".join(halves), "sha256")
    assert pair_secret(seeds, b"t" * 32) == hmac.digest(key, b"matchbit.v1 dummies\x01", "sha256")


def test_every_seed_and_the_terms_change_a_pairs_secret() -> None:
    seeds = [bytes([k]) * 16 for k in range(3)]
    found = {pair_secret(seeds, b"t" * 32), pair_secret(seeds, b"u" * 32), pair_secret(seeds[:2], b"t" * 32)}
    found |= {pair_secret([*seeds[:k], b"x" * 16, *seeds[k + 1 :]], b"t" * 32) for k in range(3)}
    assert len(found) == 6
    assert len({tuple(noise(0.1, 1e-6).groups(secret)) for secret in found}) > 3


def test_without_a_seed_there_is_no_secret() -> None:
    with pytest.raises(ShareError):
        pair_secret([], b"t" * 32)


def test_the_digest_is_of_the_secret() -> None:
    found = {secret_digest(secret).tobytes() for secret in SECRETS}
    assert len(found) == 3
    assert not found & set(SECRETS)


# Rows


def test_rows_are_groups_of_fresh_keys() -> None:
    n = noise(1.0, 1e-3, 2, 4)
    rows = reconstruct(tuple(dummy_rows(p, n, (SECRETS[p], SECRETS[p.next])) for p in PARTIES))
    assert rows.shape == (n.rows, 2)
    keys, sizes = np.unique(rows, axis=0, return_counts=True)
    drawn = np.sum([n.groups(secret) for secret in SECRETS], axis=0)
    assert np.bincount(sizes, minlength=5)[1:].tolist() == drawn.tolist()
    assert len(np.unique(keys.view(np.uint8))) == 256


@pytest.mark.parametrize("pair", PARTIES)
def test_the_third_party_gets_nothing_of_a_pairs_dummies(pair: int) -> None:
    """Component i, and so the secret of its holders, is unknown to P_{i+1}: all its rows of theirs are zero."""
    n, third = noise(1.0, 1e-3, 1, 3), PARTIES[pair].next
    share = dummy_rows(third, n, (SECRETS[third], SECRETS[third.next]))
    theirs = slice(pair * n.pair_rows, (pair + 1) * n.pair_rows)
    assert not share.a[theirs].any()
    assert not share.b[theirs].any()
    assert share.a.any()


def test_more_rows_than_there_may_be() -> None:
    """Refused before memory is taken: these would be a hundred gigabytes."""
    n = noise(0.01, 1e-12, 32, 1000)
    assert n.rows > 100 * MOST_ROWS
    with pytest.raises(ShareError, match="dummy rows"):
        dummy_rows(PARTIES[0], n, (SECRETS[0], SECRETS[1]))


NONSENSE = [
    (0.0, 1e-6, 1, 2), (-1.0, 1e-6, 1, 2), (11.0, 1e-6, 1, 2), (math.nan, 1e-6, 1, 2), (math.inf, 1e-6, 1, 2),
    (1.0, 0.0, 1, 2), (1.0, 0.5, 1, 2), (1.0, math.nan, 1, 2), (1.0, 1e-6, 0, 2), (1.0, 1e-6, 1, 1),
]  # fmt: skip


@pytest.mark.parametrize(("epsilon", "delta", "keys", "members"), NONSENSE)
def test_terms_that_promise_nothing(epsilon: float, delta: float, keys: int, members: int) -> None:
    with pytest.raises(ValueError, match="no dummies"):
        noise(epsilon, delta, keys, members)


def test_the_table_in_the_documentation() -> None:
    """docs/protocol.md: dummy rows for δ = 10⁻⁶."""
    text = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text("utf-8")
    for keys, members in product((1, 4), (2, 3, 10)):
        rows = [f"{noise(epsilon, 1e-6, keys, members).rows:,}" for epsilon in (0.5, 1.0, 2.0)]
        assert f"| {members} | {keys} | {' | '.join(rows)} |" in text
