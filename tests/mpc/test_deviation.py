"""One party runs other code than it should: the two others stop, name the step and the party, and give nothing out.

What is changed, lost, repeated or moved on its way is in test_tampering.py; what nobody notices is in
test_weaknesses.py.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mpc import engine
from mpc.committee import PARTIES, PartyId
from mpc.dummies import Dummies, Noise
from mpc.engine import Inputs
from mpc.errors import DealingError, IntegrityError, MpcError, PeerError
from mpc.replicated import Array
from mpc.reveal import digest
from mpc.session import Session
from tests.mpc.lying import FLAGS, LISTS, SEED, Liar, flags, flipped, honest, instead, lying, noticed, opened, run
from tests.world import World, dealt, private_key

NOISE = Noise(Dummies(2.0, 1e-2), 1, 3)


def blamed(error: MpcError) -> tuple[int, ...]:
    return (error.peer,) if isinstance(error, PeerError | DealingError) else error.peers  # type: ignore[attr-defined]


def names(world: World, liar: PartyId, step: str, by: set[PartyId]) -> None:
    """One of these parties at least, and no other, finds the fault: at this step, with the liar among the named."""
    found = noticed(world, liar)
    assert found
    assert set(found) <= by
    for error in found.values():
        assert isinstance(error, DealingError) or error.step.split("#")[0] == step  # type: ignore[attr-defined]
        assert liar in blamed(error)


@pytest.mark.parametrize("liar", PARTIES)
def test_a_liar_that_tells_the_truth_is_a_party(liar: PartyId) -> None:
    assert flags(run(liar)) == FLAGS


@pytest.mark.parametrize("liar", PARTIES)
def test_the_public_key_of_another_party(liar: PartyId) -> None:
    """Shown to one peer as the liar's own: it cannot authenticate anything to it."""
    shown = private_key(SEED, liar.previous).public_key().public_bytes_raw()
    inputs = dealt(LISTS)

    def lie(sender: PartyId, receiver: PartyId, step: str, message: bytes) -> list[bytes]:
        return [shown] if (sender, receiver, step) == (liar, liar.next, "keys") else [message]

    def protocol(session: Session) -> None:
        own = lying(session) if session.party == liar else session
        engine.run(own, inputs[session.party], lambda *_: None)

    found = noticed(World(lie, watched=True).run(protocol, SEED), liar)
    error = found[liar.next]
    assert isinstance(error, PeerError)
    assert (error.peer, error.step, error.reason) == (liar, "agree/terms#0", "malformed")


@pytest.mark.parametrize("liar", PARTIES)
@pytest.mark.parametrize(
    "change",
    [{"terms": b"u" * 32}, {"counts": (4, 6, 5)}, {"chunk_rows": 77}],
    ids=["other contributions", "other counts", "other chunks"],
)
def test_other_terms(liar: PartyId, change: dict) -> None:
    """`terms` are a digest of the signed terms and of all contributions."""
    world = run(liar, changed=lambda own: replace(own, **change))
    names(world, liar, "agree/terms", set(honest(liar)))


@pytest.mark.parametrize("liar", PARTIES)
@pytest.mark.parametrize("to", ["next", "previous"])
def test_other_terms_told_to_one_peer(liar: PartyId, to: str) -> None:
    told = getattr(liar, to)
    names(run(liar, instead("agree/terms", flipped, told)), liar, "agree/terms", {told})


@pytest.mark.parametrize("liar", PARTIES)
def test_other_shares_of_a_member(liar: PartyId) -> None:
    """The member is named with the party: who lies of the two cannot be told from a digest."""

    def other(own: Inputs) -> Inputs:
        (a, b), *rest = own.digests
        return replace(own, digests=((flipped(a), b), *rest))

    world = run(liar, changed=other)
    names(world, liar, "agree", {liar.previous})
    error = world.errors[liar.previous]
    assert isinstance(error, DealingError)
    assert error.member == 0


@pytest.mark.parametrize("liar", PARTIES)
def test_other_dummies(liar: PartyId) -> None:
    inputs = dealt(LISTS, noise=NOISE)
    world = run(liar, inputs=inputs, changed=lambda own: replace(own, secrets=(b"o" * 32, own.secrets[1])))
    names(world, liar, "agree", {liar.previous})


@pytest.mark.parametrize("liar", PARTIES)
def test_another_component_or_digest_in_the_reveal(liar: PartyId) -> None:
    names(run(liar, instead("tag/chunk0/reveal", flipped)), liar, "tag/chunk0/reveal", {liar.next})
    names(run(liar, instead("tag/chunk0/reveal/hash", flipped)), liar, "tag/chunk0/reveal", {liar.previous})


@pytest.mark.parametrize("liar", PARTIES)
def test_another_component_and_the_digest_of_it(liar: PartyId) -> None:
    """A liar holds two components, and sends one of them to each peer: each of these asks the other."""

    def lie(step: str, peer: PartyId, due: Array) -> Array:
        return flipped(due) if "reveal" in step else due

    names(run(liar, lie), liar, "tag/chunk0/reveal", set(honest(liar)))


@pytest.mark.parametrize("liar", PARTIES)
def test_a_false_digest_of_the_tags(liar: PartyId) -> None:
    names(run(liar, instead("finish", flipped)), liar, "finish", set(honest(liar)))


@pytest.mark.parametrize("liar", PARTIES)
@pytest.mark.parametrize("to", ["next", "previous"])
def test_a_false_digest_of_the_tags_for_one_peer(liar: PartyId, to: str) -> None:
    """The other one may have ended well; nobody gives anything out before this one has, too (`guard.release`)."""
    told = getattr(liar, to)
    error = run(liar, instead("finish", flipped, told)).errors[told]
    assert isinstance(error, IntegrityError)
    assert (error.step, error.peers) == ("finish", (liar,))


@pytest.mark.parametrize("liar", PARTIES)
def test_tags_replaced_before_the_end(liar: PartyId, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on with other tags than were opened: two rows of one person are made two persons'."""
    tag = engine.tag

    def other(session, *args, **options):
        tags = tag(session, *args, **options)
        if isinstance(session, Liar):
            tags[0] ^= np.uint64(1)
        return tags

    monkeypatch.setattr(engine, "tag", other)
    names(run(liar), liar, "finish", set(honest(liar)))


@pytest.mark.parametrize("liar", PARTIES)
def test_an_array_of_another_length(liar: PartyId) -> None:
    for step in ("agree", "tag/schedule/round1/norm256", "tag/chunk0/round3/scale16", "tag/chunk0/reveal", "finish"):
        for change in (lambda due: due.reshape(-1)[:-1].copy(), lambda due: np.concatenate([due, due])):
            found = noticed(run(liar, instead(step, change)), liar)
            assert {(type(e), e.peer, e.step, e.reason) for e in found.values()} == {
                (PeerError, liar, f"{step}#0", "malformed")
            }


@pytest.mark.parametrize("liar", PARTIES)
def test_an_end_before_its_time(liar: PartyId) -> None:
    """It says that it has finished, with the right digest even, as soon as the terms are agreed, and leaves."""
    tags = opened(run(liar))
    inputs = dealt(LISTS)
    waits = {PartyId.P0: "shuffle/pass1#0", PartyId.P1: "shuffle/pass2#0", PartyId.P2: "shuffle/components#0"}
    waiting = PartyId.P2 if liar == PartyId.P0 else PartyId.P0
    world = World(watched=True)
    world.watch.lost.add((liar, waiting, waits[liar]))

    def protocol(session: Session) -> None:
        if session.party != liar:
            engine.run(session, inputs[session.party], lambda *_: None)
        else:
            engine.agree(session.at("agree"), inputs[liar])
            for peer in honest(liar):
                session.at("finish").send(peer, digest(tags))

    ((party, error),) = noticed(world.run(protocol, SEED), liar).items()
    assert (party, error.peer, error.step, error.reason) == (waiting, liar, waits[liar], "timeout")
