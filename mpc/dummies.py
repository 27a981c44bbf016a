"""Dummy groups: the committee sees the group sizes through noise; no member's result changes, no message is added.

Ideal functionality: add rows of fresh random keys, always equally many, so that what a party learns of the group
sizes is (ε, δ)-differentially private: replacing up to K keys of one member by others, as a record with one key under
each of K rules has them, changes the probability of whatever it sees by a factor e^ε at most, and δ besides.

Mechanism. Let H_s be the number of distinct keys that at least s of the N members hold. H_1 + … + H_N is the number
of rows, which is public: H_2 … H_N tell all that group sizes tell. The two holders of each component i add

    D_s = 2c·(N − s) + E_s   to H_s, s = 2 … N,   where   P(E_s = k) ∝ ρ^|k − c|,  k = 0 … 2c,  ρ = e^(−ε/wK),

that is D_s − D_{s+1} ≥ 0 groups of size s, with D_{N+1} = 0, and fill up with groups of size 1 to `pair_rows` rows,
a public number.

Proof. Let w = min(N − 1, 2). A replaced key takes 1 from H_g, where g was the size of its group, and adds 1 to
H_{f+1}, where f was that of its new one. So K of them move (H_2 … H_N) by a v with Σ|v_s| ≤ wK and all |v_s| ≤ K.
A party knows two pairs' noise and is left with H + D of the pair that it is no part of. What can be seen for both
inputs has probabilities within a factor ρ^(−Σ|v_s|) ≤ e^ε. What can be seen for one alone needs an s with
E_s < |v_s|, or the same from above: probability T(|v_s|) = P(E_s < |v_s|). T is convex up to c ≥ K, and T(0) = 0:
Σ T(|v_s|) ≤ w·T(K). The smallest c with w·T(K) ≤ δ is taken; 10^−19 of δ is set aside for the rounding of
probabilities to 2^−128. Streams are pseudo-random, so the guarantee is against bounded adversaries. The noise is fixed
by the members' contributions and the terms: a second attempt opens the same numbers, and there is nothing to average.

Source: Case, Honaker, Movahedi, "The Privacy-preserving Padding Problem", arXiv 2110.08177, section 3.2 (the
distribution); pairs that draw from what they share as in IPA (private-attribution/ipa, oprf_padding); "at least s"
as in the cumulative histograms of Kuo et al., "Differentially Private Hierarchical Count-of-Counts Histograms",
VLDB 2018. Deviations from IPA: a replaced key moves H by 2 where it moves the sizes by 4, which halves c; the number
of rows is constant, so the third party is told nothing; the noise is the session's, not the attempt's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal, localcontext
from itertools import accumulate, pairwise, repeat
from operator import mul

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mpc.committee import PARTIES, PartyId
from mpc.errors import ShareError
from mpc.prss import KEY_BYTES, derive, expand
from mpc.replicated import Array, Share
from mpc.reveal import DIGEST_BYTES

MOST_ROWS = 20_000_000
"""Dummy rows that a session may have."""
EPSILONS = (0.01, 10.0)
DELTAS = (1e-12, 0.1)
SET_ASIDE = Decimal("1e-19")
WORD_BYTES = 16
"""Of a draw: the table of probabilities is in units of 2^−128."""
EXACT = Context(prec=60)
"""Of the arithmetic: `exp`, `ln` and the four operations are correctly rounded, so all machines draw the same."""


@dataclass(frozen=True)
class Dummies:
    """What the terms promise.

    Attributes:
        epsilon: ε, within EPSILONS.
        delta: δ, within DELTAS.
    """

    epsilon: float
    delta: float


@dataclass(frozen=True)
class Noise:
    """The dummy groups of a session, as far as they are public.

    Attributes:
        dummies: the terms.
        keys: K, how many keys of one member are hidden together: one for each rule.
        largest: N, the most rows that a group has, two at least: one for each member, absent ones included; of groups
            by blocking keys as many as each member may bring.

    Raises:
        ValueError: the terms promise nothing, or more than noise can give.
    """

    dummies: Dummies
    keys: int
    largest: int

    def __post_init__(self) -> None:
        epsilon, delta = self.dummies.epsilon, self.dummies.delta
        if not (EPSILONS[0] <= epsilon <= EPSILONS[1] and DELTAS[0] <= delta <= DELTAS[1]):
            raise ValueError(f"no dummies for epsilon {epsilon} and delta {delta}")
        if self.keys < 1 or self.largest < 2:
            raise ValueError(f"no dummies for {self.keys} keys of {self.largest} members")

    @property
    def moved(self) -> int:
        """w: how many of H_2 … H_N one replaced key moves, each by 1, at most."""
        return min(self.largest - 1, 2)

    @property
    def step(self) -> Decimal:
        """ε/wK: what one more or one less in H costs."""
        with localcontext(EXACT):
            return Decimal(self.dummies.epsilon) / (self.moved * self.keys)

    @property
    def centre(self) -> int:
        """c, the smallest one that meets δ, from w·T(K) = w·ρ^(c+1)·(ρ^−K − 1) / (1 + ρ − 2ρ^(c+1))."""
        with localcontext(EXACT):
            delta, step = Decimal(self.dummies.delta) - SET_ASIDE, self.step
            most = delta * (1 + (-step).exp()) / (self.moved * ((step * self.keys).exp() - 1) + 2 * delta)
            exponent = (-most.ln() / step).to_integral_value(ROUND_CEILING)
        return max(self.keys, int(exponent) - 1)

    @property
    def pair_rows(self) -> int:
        """Rows that each pair of parties adds: the most that H_2 … H_N may need, and groups of size 1 for H_1."""
        return self.centre * (self.largest - 1) * (self.largest + 2)

    @property
    def rows(self) -> int:
        """Dummy rows in all; every run of the session has exactly these."""
        return len(PARTIES) * self.pair_rows

    def table(self) -> list[int]:
        """P(E ≤ k) for k = 0 … 2c, in units of 2^−128, rounded down."""
        with localcontext(EXACT):
            falling = list(accumulate(repeat((-self.step).exp(), self.centre), mul, initial=Decimal(1)))
            sums = list(accumulate([*reversed(falling), *falling[1:]]))
            unit = 2 ** (8 * WORD_BYTES) / sums[-1]
            return [int(total * unit) for total in sums[:-1]] + [2 ** (8 * WORD_BYTES)]

    def groups(self, secret: bytes) -> list[int]:
        """How many dummy groups of size 1, 2 … N the pair with this secret adds."""
        table, spacing = self.table(), 2 * self.centre
        levels = [
            spacing * (self.largest - s) + bisect_right(table, int.from_bytes(derive(secret, f"level {s}", WORD_BYTES)))
            for s in range(2, self.largest + 1)
        ]
        return [more - fewer for more, fewer in pairwise([self.pair_rows - sum(levels), *levels, 0])]


def pair_secret(seeds: Sequence[bytes], terms: bytes) -> bytes:
    """The secret of a component's two holders, which fixes their dummies for the session.

    The third party does not know it as long as one member is honest, even together with all others: that member's seed
    is fresh and uniform and went to the two holders alone, so what is derived from it is pseudo-random to the third
    party, and so is the hash of it beside whatever the other members chose. Both holders have the same seeds once
    `engine.agree` has compared digests that are keyed with them.

    Args:
        seeds: of this component, 16 bytes from each member that contributed, in the members' order.
        terms: as in `engine.Inputs`, so that a seed that is used again gives other noise.

    Returns:
        32 bytes.

    Raises:
        ShareError: there is no seed.
    """
    if not seeds:
        raise ShareError("dummies without any member's seed")
    material = b"".join(derive(seed, "dummies", KEY_BYTES) for seed in seeds)
    return HKDF(hashes.SHA256(), KEY_BYTES, terms, b"matchbit.v1 dummies").derive(material)


def secret_digest(secret: bytes) -> Array:
    """(32,) uint8: by which a pair finds that it adds the same dummies."""
    return np.frombuffer(derive(secret, "digest", DIGEST_BYTES), np.uint8)


def dummy_rows(party: PartyId, noise: Noise, secrets: tuple[bytes, bytes]) -> Share:
    """All pairs' dummies, pair 0 first. Local: component i of pair i's rows are the keys, the others are zero.

    Args:
        party: who I am.
        noise: the same at all parties.
        secrets: `pair_secret` of components a and b.

    Returns:
        Share of (noise.rows, 2) uint64.

    Raises:
        ShareError: these would be more than MOST_ROWS.
    """
    if noise.rows > MOST_ROWS:
        raise ShareError(f"{noise.rows} dummy rows, of {MOST_ROWS} that there may be")
    size = noise.pair_rows
    a, b = (np.zeros((noise.rows, 2), np.uint64) for _ in "ab")
    a[party * size : (party + 1) * size] = _keys(noise, secrets[0])
    b[party.next * size : (party.next + 1) * size] = _keys(noise, secrets[1])
    return Share(a, b)


def _keys(noise: Noise, secret: bytes) -> Array:
    """(noise.pair_rows, 2) uint64: a fresh key for every group, in each of its rows."""
    groups = noise.groups(secret)
    sizes = np.repeat(np.arange(1, noise.largest + 1), groups)
    return np.repeat(expand(derive(secret, "keys"), (len(sizes), 2)), sizes, axis=0)
