"""What a party sees: the same steps and lengths for all inputs of equal leakage, and bytes that look random.

Statistics over all that a party received, alone and added to what it was dealt (a sum without a mask would show there).
A broken protocol must fail the same statistics.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mpc import engine, shuffle
from mpc.committee import PARTIES, PartyId
from mpc.dummies import Dummies, Noise
from mpc.engine import Inputs
from mpc.matching import Reveal
from mpc.prss import Prss
from mpc.replicated import Array
from mpc.session import TAG_BYTES
from tests.world import OF_KEYS, Sent, World, dealt

KEYS = 700
"""Of each of three members."""
SHARED = 300
"""Keys that two members hold."""
EXCLUDED = ("keys", "finish")
"""Public keys are not uniform bytes and `finish` is the same digest of both peers, by design."""
ONE_IN_A_MILLION = 4.7534
"""Quantile of the normal distribution."""


def quantile(freedom: int) -> float:
    """Of chi-square at one in a million, by Wilson and Hilferty's approximation: 377 for 255, as exactly."""
    return freedom * (1 - 2 / (9 * freedom) + ONE_IN_A_MILLION * (2 / (9 * freedom)) ** 0.5) ** 3


LIMIT = quantile(255)


def inputs(
    case: int, reveal: Reveal, noise: Noise | None = None, *, verified: bool = False
) -> tuple[Inputs, Inputs, Inputs]:
    """Two cases of equal leakage: other keys, and each is shared by another pair, or all by the first two members.

    Keys are far from uniform (small numbers), so that whatever shows of them shows in the statistics.
    """
    rng = np.random.default_rng(case)
    fresh = iter(range(1 + 100_000 * case, 100_000 * (case + 1)))
    members: list[list[int]] = [[], [], []]
    for number in range(SHARED):
        pair = [(0, 1), (1, 2), (0, 2)][number % 3] if case == 0 else (0, 1)
        key = next(fresh)
        for member in pair:
            members[member].append(key)
    for held in members:
        held += [next(fresh) for _ in range(KEYS - len(held))]
    keys = [rng.permutation(np.array(held, np.uint64)) for held in members]
    lists = [np.stack([k, k * np.uint64(3) % np.uint64(1000)], axis=1) for k in keys]
    return dealt(lists, reveal, seed=50 + case, noise=noise, verified=verified)


def session(
    case: int, reveal: Reveal = Reveal.FLAG, noise: Noise | None = None, *, verified: bool = False
) -> tuple[World, tuple[Inputs, Inputs, Inputs]]:
    given = inputs(case, reveal, noise, verified=verified)
    world = World().run(lambda s: engine.run(s, given[s.party], lambda *_: None), seed=90 + case)
    assert not world.errors
    return world, given


def received(world: World, party: PartyId) -> list[Sent]:
    """In each sender's order, without what is not uniform by design."""
    of_both = world.received(party).values()
    return [m for sent in of_both for m in sent if m.step.split("#")[0] not in EXCLUDED]


def payload(message: Sent) -> Array:
    return np.frombuffer(message.message, np.uint8)[:-TAG_BYTES]


def histograms(world: World, given: tuple[Inputs, ...], party: PartyId) -> dict[str, Array]:
    """Counts of the 256 byte values in all that was received, and in its sums with the party's own shares."""
    messages = received(world, party)
    everything = np.concatenate([payload(m) for m in messages])
    samples = {"all": everything}
    rows, _ = engine.gather(party, replace(given[party], reveal=Reveal.FLAG))
    for name, own in (("a", rows.a), ("b", rows.b), ("a + b", rows.a ^ rows.b)):
        mine = np.ascontiguousarray(own).reshape(-1).view(np.uint8)
        like = [payload(m) for m in messages if len(payload(m)) == mine.size]
        if like:
            samples[f"rows + {name}"] = np.concatenate([p ^ mine for p in like])
    return {name: np.bincount(sample, minlength=256) for name, sample in samples.items()}


def uniformity(counts: Array) -> float:
    """Chi-square against the uniform distribution, 255 degrees of freedom."""
    expected = counts.sum() / 256
    return float(((counts - expected) ** 2 / expected).sum())


def difference(one: Array, other: Array) -> float:
    """Chi-square of two samples, 255 degrees of freedom."""
    scale = (other.sum() / one.sum()) ** 0.5
    return float(((one * scale - other / scale) ** 2 / (one + other)).sum())


@pytest.mark.parametrize(("reveal", "verified"), [*((reveal, False) for reveal in OF_KEYS), (Reveal.FLAG, True)])
def test_views_of_equal_leakage_look_the_same(reveal: Reveal, verified: bool) -> None:
    (one, given_one), (other, given_other) = (session(case, reveal, verified=verified) for case in (0, 1))
    assert (
        one.results[PartyId.P0].group_sizes
        == other.results[PartyId.P0].group_sizes
        == (0, 3 * KEYS - 2 * SHARED, SHARED)
    )
    rows_one, rows_other = (given[0].rows().a ^ given[2].rows().a for given in (given_one, given_other))
    assert not np.array_equal(rows_one, rows_other)
    for party in PARTIES:
        for peer in (party.next, party.previous):
            views = [[(m.step, len(m.message)) for m in w.received(party)[peer]] for w in (one, other)]
            assert views[0] == views[1]
        mine, theirs = histograms(one, given_one, party), histograms(other, given_other, party)
        assert mine.keys() == theirs.keys()
        for name in mine:
            assert mine[name].sum() > 2560
            found = uniformity(mine[name]), uniformity(theirs[name]), difference(mine[name], theirs[name])
            assert max(found) < LIMIT, (party, name, found)


def test_no_message_comes_twice() -> None:
    """Neither within a view nor, the parties' keys being fresh, in that of another session of the same inputs."""
    given = inputs(0, Reveal.FLAG)
    worlds = [World().run(lambda s: engine.run(s, given[s.party], lambda *_: None), seed) for seed in (1, 2)]
    for party in PARTIES:
        seen = [payload(m).tobytes() for w in worlds for m in received(w, party) if not m.step.startswith("agree")]
        seen = [m for m in seen if len(m) >= 16]
        assert len(seen) > 100
        assert len(set(seen)) == len(seen)


def test_the_committee_sees_no_key() -> None:
    """No row that a member dealt appears in anything that a party received."""
    world, given = session(0)
    rows = given[0].rows().a ^ given[0].rows().b ^ given[1].rows().b
    keys = {row.tobytes() for row in rows}
    for party in PARTIES:
        for message in received(world, party):
            whole = payload(message)
            pieces = whole[: whole.size // 16 * 16].reshape(-1, 16)
            assert not keys & {piece.tobytes() for piece in pieces}, message.step


def failures(world: World, given: tuple[Inputs, ...]) -> set[tuple[PartyId, str]]:
    """Which parties' statistics show something."""
    return {
        (party, name)
        for party in PARTIES
        for name, counts in histograms(world, given, party).items()
        if uniformity(counts) >= LIMIT
    }


def test_a_view_with_dummies_looks_random() -> None:
    """Dummies are dealt with two components of zeros: nothing of that shows in what is sent."""
    assert not failures(*session(0, noise=Noise(Dummies(0.5, 1e-6), 2, 3)))


def test_a_multiplication_without_its_mask_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not failures(*session(0))
    monkeypatch.setattr(Prss, "add_zero", lambda self, label, array: None)
    world, given = session(0)
    assert {(party, "all") for party in PARTIES} <= failures(world, given)


def test_a_shuffle_that_does_not_hide_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes that neither permute nor mask: P2 is sent x0 + x1, which with its own x2 are the keys."""
    monkeypatch.setattr(shuffle, "_pass", lambda session, component, rows, order: rows.copy())
    world, given = session(0)
    found = failures(world, given)
    assert (PartyId.P2, "rows + a") in found
    assert (PartyId.P0, "rows + a + b") in found


def test_the_statistic_itself() -> None:
    assert 377 < LIMIT < 378
    rng = np.random.default_rng(5)
    found = [uniformity(np.bincount(rng.integers(0, 256, 50_000), minlength=256)) for _ in range(300)]
    assert max(found) < LIMIT
    assert 245 < np.mean(found) < 265, "255 on average"
