from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import zip_longest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc import engine
from mpc.committee import PARTIES, PartyId
from mpc.dummies import Dummies, Noise
from mpc.engine import Inputs, Outputs
from mpc.errors import DealingError, IntegrityError, MpcError, ShareError
from mpc.matching import Reveal
from mpc.replicated import Array
from tests.mpc.arrays import SEEDS, random_array
from tests.world import OF_KEYS, SECRETS, World, dealt, run_parties

Keys = list[list[int]]
"""For each member its keys, as places in a pool of keys."""


def silent(phase: str, done: int, total: int) -> None:
    """Nobody looks at the progress."""


def expected(members: Keys, reveal: Reveal) -> tuple[list[list], list[int]]:
    """What each member learns of each of its keys, and the group sizes, by a dict."""
    holders: dict[int, set[int]] = {}
    for member, keys in enumerate(members):
        for key in keys:
            holders.setdefault(key, set()).add(member)
    others = [[holders[key] - {member} for key in keys] for member, keys in enumerate(members)]
    shown = {Reveal.FLAG: lambda o: int(len(o) > 0), Reveal.COUNT: len, Reveal.MEMBERS: lambda o: o}[reveal]
    sizes = Counter(map(len, holders.values()))
    return [[shown(o) for o in row] for row in others], [sizes[k] for k in range(max(sizes, default=0) + 1)]


def learned(outputs: list[Outputs], reveal: Reveal) -> list[list]:
    """What each member recombines."""
    assert outputs[PartyId.P2].parts is None
    values = [a ^ b for a, b in zip(outputs[PartyId.P0].parts, outputs[PartyId.P1].parts, strict=True)]
    if reveal is not Reveal.MEMBERS:
        return [value.tolist() for value in values]
    bits = [np.unpackbits(np.ascontiguousarray(v).view(np.uint8), axis=1, bitorder="little") for v in values]
    return [[set(np.flatnonzero(row).tolist()) for row in member] for member in bits]


def run(inputs: tuple[Inputs, Inputs, Inputs], seed: int = 1, lanes: int = 3) -> list[Outputs]:
    return run_parties(lambda s: engine.run(s, inputs[s.party], silent, lanes), seed)


def check(
    members: Keys,
    reveal: Reveal,
    seed: int = 1,
    chunk_rows: int = 1 << 16,
    lanes: int = 3,
    *,
    noise: Noise | None = None,
    verified: bool = False,
) -> None:
    """Members learn the same whether or not tags are verified; noise is added to what the committee sees alone."""
    pool = random_array(seed, (1 + max(max(keys, default=0) for keys in members), 2))
    inputs = dealt(
        [pool[np.array(keys, np.int64)] for keys in members], reveal, chunk_rows, seed, noise=noise, verified=verified
    )
    outputs = run(inputs, seed, lanes)
    values, sizes = expected(members, reveal)
    assert learned(outputs, reveal) == values
    for secret in SECRETS if noise else ():
        sizes = [a + b for a, b in zip_longest(sizes, [0, *noise.groups(secret)], fillvalue=0)]
    assert all(list(o.group_sizes) == np.trim_zeros(sizes, "b") for o in outputs)


@st.composite
def lists(draw: st.DrawFn) -> Keys:
    """One to ten members, lists of all lengths, some keys held by all, some by one alone."""
    rng = np.random.default_rng(draw(SEEDS))
    sizes = draw(st.lists(st.sampled_from([0, 1, 2, 20, 63, 64, 65, 130]), min_size=1, max_size=10))
    pool = draw(st.sampled_from([150, 200, 1000]))
    members = [rng.choice(pool, size, replace=False).tolist() for size in sizes]
    for_all = draw(st.integers(0, 3))
    members = [[*range(pool, pool + for_all), *keys] for keys in members]
    for keys in members:
        rng.shuffle(keys)
    return members if any(members) else [[0], *members[1:]]


@settings(max_examples=18)
@given(lists(), st.sampled_from(OF_KEYS), SEEDS, st.sampled_from([64, 100, 128, 1 << 16]), st.integers(1, 4))
def test_each_member_learns_its_matches(members: Keys, reveal: Reveal, seed: int, chunk: int, lanes: int) -> None:
    chunk = max(chunk, sum(map(len, members)) // 6)  # six chunks at most, for time
    check(members, reveal, seed, chunk, lanes, verified=bool(seed % 2))


@settings(max_examples=12)
@given(lists(), st.sampled_from(OF_KEYS), SEEDS, st.sampled_from([0.5, 2.0, 8.0]), st.integers(1, 4))
def test_dummies_change_what_the_committee_sees_alone(
    members: Keys, reveal: Reveal, seed: int, epsilon: float, keys: int
) -> None:
    members = members if len(members) > 1 else [*members, []]
    check(members, reveal, seed, noise=Noise(Dummies(epsilon, 1e-4), keys, len(members)))


@pytest.mark.parametrize("reveal", OF_KEYS)
def test_dummies_alone(reveal: Reveal) -> None:
    """Members without any key are told nothing."""
    check([[], []], reveal, noise=Noise(Dummies(1.0, 1e-6), 1, 2))


@pytest.mark.parametrize("reveal", OF_KEYS)
@pytest.mark.parametrize("noise", [None, Noise(Dummies(1.0, 1e-3), 1, 6)], ids=["exact", "noisy"])
def test_absent_members(noise: Noise | None, reveal: Reveal) -> None:
    """First, last and in between."""
    check([[], [1, 2, 3], [], [], [3, 4, 2], []], reveal, noise=noise)


@pytest.mark.parametrize("reveal", OF_KEYS)
def test_very_different_lists(reveal: Reveal) -> None:
    check([[4321], list(range(5000)), [], [4321, 6000]], reveal, chunk_rows=2000)


@pytest.mark.parametrize("reveal", OF_KEYS)
def test_two_hundred_members(reveal: Reveal) -> None:
    rng = np.random.default_rng(200)
    members = [rng.choice(900, 20, replace=False).tolist() for _ in range(200)]
    check(members, reveal)


@pytest.mark.parametrize("reveal", OF_KEYS)
def test_one_row_in_all(reveal: Reveal) -> None:
    check([[], [0], []], reveal)


def test_all_hold_the_same() -> None:
    check([[0, 1, 2]] * 5, Reveal.MEMBERS)


def test_chunks_of_one_row() -> None:
    check([[0, 1], [1, 2]], Reveal.COUNT, chunk_rows=1)


def test_rows_are_opened_and_no_padding() -> None:
    """Padding is zeros at places that all know: opened, it would tell whoever errs in it on purpose the cipher key."""
    inputs = dealt([random_array(1, (5, 2)), random_array(2, (70, 2))], chunk_rows=70)
    world = World().run(lambda s: engine.run(s, inputs[s.party], silent), 1)
    lengths = {m.step: m.payload_bytes for m in world.sent if m.step.endswith("reveal#0")}
    assert lengths == {"tag/chunk0/reveal#0": 70 * 16, "tag/chunk1/reveal#0": 5 * 16}


def test_progress_reaches_the_end() -> None:
    inputs = dealt([random_array(1, (50, 2)), random_array(2, (80, 2))], chunk_rows=64)
    told: dict[PartyId, list[tuple[str, int, int]]] = {p: [] for p in PARTIES}
    run_parties(lambda s: engine.run(s, inputs[s.party], lambda *p: told[s.party].append(p)))
    for phases in told.values():
        assert list(dict.fromkeys(phase for phase, _, _ in phases)) == ["shuffle", "tag", "match", "done"]
        tagged = [done for phase, done, _ in phases if phase == "tag"]
        assert tagged == sorted(tagged)
        assert tagged[-1] == 130
        assert all(total == 130 for _, _, total in phases)


def agree(inputs: list[Inputs]) -> dict[PartyId, BaseException]:
    """Run the whole protocol: no party may end well or get as far as opening a tag."""
    world = World().run(lambda s: engine.run(s, inputs[s.party], silent), 1)
    assert not world.results
    assert not [s.step for s in world.sent if "reveal" in s.step]
    return world.errors


def three_members() -> list[Inputs]:
    return list(dealt([random_array(member, (4, 2)) for member in range(3)], noise=Noise(Dummies(1.0, 1e-6), 2, 3)))


@pytest.mark.parametrize("odd", PARTIES)
@pytest.mark.parametrize(
    "other",
    [
        {"terms": b"u" * 32},
        {"counts": (4, 5, 3)},
        {"reveal": Reveal.COUNT},
        {"chunk_rows": 77},
        {"noise": Noise(Dummies(1.0, 1e-6), 1, 3)},
        {"noise": Noise(Dummies(0.5, 1e-6), 2, 3)},
        {"noise": None},
        {"verified": True},
        {"counts": (4, 8), "digests": ()},
    ],
    ids=["terms", "counts", "reveal", "chunk_rows", "keys", "epsilon", "no noise", "verified", "members"],
)
def test_other_terms_are_noticed(odd: PartyId, other: dict) -> None:
    inputs = three_members()
    if "digests" in other:
        other = {**other, "digests": inputs[odd].digests[:2], "noise": Noise(Dummies(1.0, 1e-6), 2, 2)}
    inputs[odd] = replace(inputs[odd], **other)
    errors = agree(inputs)
    own = [e for e in errors.values() if isinstance(e, IntegrityError)]
    assert own, errors
    assert all(e.step.startswith("agree") for e in own)
    assert all(isinstance(e, MpcError) for e in errors.values())


@pytest.mark.parametrize("member", range(3))
@pytest.mark.parametrize("component", range(3))
def test_a_member_who_deals_two_versions_is_named(component: int, member: int) -> None:
    """The party that holds the component as its `a` was dealt something else, and its digest says so."""
    inputs = three_members()
    holder, checker = PartyId(component), PartyId(component).previous
    digests = [list(pair) for pair in inputs[holder].digests]
    digests[member][0] = digests[member][0] ^ np.uint8(1)
    inputs[holder] = replace(inputs[holder], digests=tuple((a, b) for a, b in digests))
    errors = agree(inputs)
    assert isinstance(errors[checker], DealingError)
    assert (errors[checker].member, errors[checker].peer) == (member, holder)


@pytest.mark.parametrize("component", range(3))
def test_a_party_that_adds_other_dummies_is_named(component: int) -> None:
    """The two holders of a component would else compute on different rows, and open nonsense."""
    inputs = three_members()
    holder, checker = PartyId(component), PartyId(component).previous
    inputs[holder] = replace(inputs[holder], secrets=(b"other", inputs[holder].secrets[1]))
    error = agree(inputs)[checker]
    assert isinstance(error, IntegrityError)
    assert str(error) == f"integrity failure at step agree: party {component}: other dummies"


def test_every_attempt_has_the_same_noise_and_every_session_its_own() -> None:
    lists = [random_array(member, (4, 2)) for member in range(3)]
    noise = Noise(Dummies(0.1, 1e-6), 2, 3)
    first = dealt(lists, noise=noise)
    other = dealt(lists, noise=noise, secrets=[b"another session's"] * 3)
    seen = [run(inputs, seed)[0].group_sizes for inputs, seed in ((first, 1), (first, 2), (other, 1))]
    assert seen[0] == seen[1] != seen[2]
    assert len({sum(size * number for size, number in enumerate(sizes)) for sizes in seen}) == 1


@pytest.mark.parametrize("pair", PARTIES)
def test_the_third_party_is_sent_nothing_of_a_pairs_dummies(pair: PartyId) -> None:
    """With another secret of a pair the third party has the same rows, and is sent messages of the same lengths."""
    third, views, rows = pair.next, [], []
    for secret in (b"one", b"other"):
        secrets = [secret if p == pair else b"same" for p in PARTIES]
        lists = [random_array(member, (4, 2)) for member in range(2)]
        inputs = dealt(lists, noise=Noise(Dummies(1.0, 0.1), 1, 2), secrets=secrets)
        world = World().run(lambda s, i=inputs: engine.run(s, i[s.party], silent, 1), 1)
        assert not world.errors
        of_both = [m for sent in world.received(third).values() for m in sent]
        views.append([(m.step, len(m.message), m.message if m.step.startswith("agree") else b"") for m in of_both])
        gathered, _ = engine.gather(third, inputs[third])
        rows.append((gathered.a.tobytes(), gathered.b.tobytes()))
    assert views[0] == views[1]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("change", [{"secrets": (b"", b"")}, {"noise": Noise(Dummies(1.0, 1e-6), 1, 4)}])
def test_noise_that_does_not_fit(change: dict) -> None:
    with pytest.raises(ShareError):
        replace(three_members()[0], **change)


def test_secrets_are_not_shown() -> None:
    assert repr(SECRETS[0])[2:-1] not in repr(three_members()[0])


def test_the_first_member_at_fault_is_named() -> None:
    inputs = three_members()
    wrong: list[tuple[Array, Array]] = [(a ^ np.uint8(m > 0), b) for m, (a, b) in enumerate(inputs[1].digests)]
    inputs[1] = replace(inputs[1], digests=tuple(wrong))
    error = agree(inputs)[PartyId.P0]
    assert isinstance(error, DealingError)
    assert error.member == 1


def test_a_failing_lane_stops_all_parties() -> None:
    """One of several chunks' messages is spoilt: every party ends with an error, and none is left waiting."""

    def spoil(sender: PartyId, receiver: PartyId, step: str, message: bytes) -> list[bytes]:
        return [message[::-1]] if step == "tag/chunk2/round5/norm16#0" and sender == PartyId.P1 else [message]

    inputs = dealt([random_array(1, (200, 2)), random_array(2, (200, 2))], chunk_rows=64)
    aborted: list[tuple[PartyId, MpcError]] = []

    def protocol(session):
        abort = session.channel.abort

        def recorded(error: MpcError) -> None:
            aborted.append((session.party, error))
            abort(error)

        session.channel.abort = recorded
        try:
            engine.run(session, inputs[session.party], silent)
        finally:
            session.channel.abort = abort

    world = World(spoil).run(protocol, 1)
    assert set(world.errors) == set(PARTIES)
    error = world.errors[PartyId.P0]
    assert (error.peer, error.step, error.reason) == (1, "tag/chunk2/round5/norm16#0", "malformed")
    assert aborted[0] == (PartyId.P0, error), "the other lanes are told before they are waited for"
