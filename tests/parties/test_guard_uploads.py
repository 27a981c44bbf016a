"""Uploads to a committee node: from where they stopped, exactly what was committed to, until it is computed on."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mpc.channel import MAX_MESSAGE_BYTES
from mpc.committee import PARTIES
from mpc.replicated import reconstruct
from parties import guard
from parties.errors import InputError, ServiceError, SessionRefused
from parties.lifecycle import Event, State
from parties.statements import Receipt
from tests.parties.contributing import held_share, pieces
from tests.parties.deciding import COMMITTEE, KEYS, CommitteeNode, Contribution, everyones, logged, refusal, terms
from tests.parties.samples import chunk_owners

TERMS = terms()
ID = TERMS.session_id
PER_CHUNK = MAX_MESSAGE_BYTES // 16
LONG = terms(max_records=10 * PER_CHUNK)
"""For lists of several chunks."""


@pytest.fixture
def node(tmp_path: Path) -> CommitteeNode:
    made = CommitteeNode(tmp_path)
    made.agree(TERMS)
    made.agree(LONG)
    return made


def refused(node: CommitteeNode, kind: type[ServiceError], c: Contribution, **how: Any) -> str:
    """The sentence with which an upload is refused; it does not count then."""
    says = refusal(kind, lambda: node.take(c, **how))
    assert c.commitment not in [u.commitment for u in node.shares.uploads(c.commitment.session_id).values()]
    return says


def received(node: CommitteeNode, c: Contribution) -> int:
    return node.guard.received_bytes(c.member, c.commitment.session_id, c.commitment.digest)


# What arrives


@pytest.mark.parametrize("name", COMMITTEE)
@pytest.mark.parametrize("count", [1, 64, PER_CHUNK, PER_CHUNK + 1, 2 * PER_CHUNK])
def test_an_upload_is_kept_whole_and_confirmed(tmp_path: Path, name: str, count: int) -> None:
    node = CommitteeNode(tmp_path, name)
    node.agree(LONG)
    c = Contribution(LONG, "agency-b", count)
    receipt = node.take(c)
    receipt.check(KEYS[name].public_key())
    expected = Receipt(LONG.session_id, name, member="agency-b", commitment=c.commitment.digest)
    assert replace(receipt, signature=b"") == expected
    upload = node.shares.uploads(LONG.session_id)["agency-b"]
    held = held_share(node.party, count, upload.seeds, node.shares.chunks(upload.id))
    dealt = [held_share(p, count, c.seeds(p), pieces(c.dealings[p])) for p in PARTIES]
    assert (reconstruct((dealt[0], dealt[1], dealt[2])) == c.rows).all()
    assert (held.a == dealt[node.party].a).all()
    assert (held.b == dealt[node.party].b).all()
    assert logged(node.store, LONG.session_id)[-1] == "received"


def test_the_same_upload_again_is_confirmed_and_not_sent_again(node: CommitteeNode) -> None:
    c = Contribution(TERMS, "agency-a")
    first = node.take(c)
    assert node.take(c, chunks=[]) == first
    assert received(node, c) == 16 * 3
    assert logged(node.store, ID).count("received") == 1


def broken(chunks: list[bytes]) -> Iterator[bytes]:
    """The connection is lost after these."""
    yield from chunks
    raise ConnectionError


def test_an_upload_goes_on_where_it_stopped(node: CommitteeNode) -> None:
    c = Contribution(LONG, "agency-a", 3 * PER_CHUNK + 5)
    sizes = []
    for sent in (2, 0, 1):
        offset = received(node, c)
        sizes.append(offset)
        with pytest.raises(ConnectionError):
            node.take(c, offset=offset, chunks=broken(c.chunks(node.party, offset)[:sent]))
        node.restart()
        assert node.shares.uploads(LONG.session_id) == {}
    assert sizes == [0, 2 * MAX_MESSAGE_BYTES, 2 * MAX_MESSAGE_BYTES]
    assert logged(node.store, LONG.session_id)[-1] == "approvals"  # what is not whole is not worth an entry
    node.take(c, offset=received(node, c))
    upload = node.shares.uploads(LONG.session_id)["agency-a"]
    assert b"".join(node.shares.chunks(upload.id)) == b"".join(c.chunks(node.party))


def test_an_upload_that_was_whole_but_not_confirmed(node: CommitteeNode) -> None:
    c = Contribution(TERMS, "agency-a")
    with pytest.raises(ConnectionError):
        node.take(c, chunks=broken(c.chunks(node.party)))
    assert node.shares.uploads(ID) == {}
    node.take(c, offset=received(node, c))
    assert list(node.shares.uploads(ID)) == ["agency-a"]


@pytest.mark.parametrize("offset", [16, MAX_MESSAGE_BYTES, 10**12])
def test_an_upload_that_goes_on_elsewhere(node: CommitteeNode, offset: int) -> None:
    c = Contribution(TERMS, "agency-a")
    says = "The upload does not go on where it stopped; contribute again."
    assert refused(node, InputError, c, offset=offset, chunks=[]) == says
    with pytest.raises(ConnectionError):
        node.take(c, chunks=broken(c.chunks(node.party)))
    assert refused(node, InputError, c, offset=0) == says


@pytest.mark.parametrize("chunks", [[b""], [bytes(47)], [bytes(49)], [bytes(48), b""], [bytes(48), bytes(16)]])
def test_chunks_of_other_sizes(node: CommitteeNode, chunks: list[bytes]) -> None:
    says = refused(node, InputError, Contribution(TERMS, "agency-a"), chunks=chunks)
    assert says == "The upload has more or other bytes than it announced."


@pytest.mark.parametrize("first", [PER_CHUNK - 1, PER_CHUNK + 1])
def test_chunks_that_are_cut_otherwise(node: CommitteeNode, first: int) -> None:
    c = Contribution(LONG, "agency-a", PER_CHUNK + 5)
    body = b"".join(c.chunks(node.party))
    says = refused(node, InputError, c, chunks=[body[: 16 * first], body[16 * first :]])
    assert says == "The upload has more or other bytes than it announced."
    assert received(node, c) == 0


def test_p0_is_sent_no_component(tmp_path: Path) -> None:
    node = CommitteeNode(tmp_path, "agency-a")
    node.agree(TERMS)
    c = Contribution(TERMS, "agency-b")
    assert "more or other bytes" in refused(node, InputError, c, chunks=[bytes(48)])
    node.take(c)


@pytest.mark.parametrize(("count", "sent", "early"), [(3, 0, 48), (PER_CHUNK + 5, 1, 80)])
def test_an_upload_that_ends_early(node: CommitteeNode, count: int, sent: int, early: int) -> None:
    c = Contribution(LONG, "agency-a", count)
    says = refused(node, InputError, c, chunks=c.chunks(node.party)[:sent])
    assert says == f"The upload ended {early} bytes early; contribute again."
    node.take(c, offset=received(node, c))


# What was committed to

UNFIT = "The upload does not fit the commitment to it; contribute again."


@pytest.mark.parametrize("place", [0, 20, 47])
def test_a_changed_byte(node: CommitteeNode, place: int) -> None:
    c = Contribution(TERMS, "agency-a")
    body = bytearray(c.chunks(node.party)[0])
    body[place] ^= 1
    assert refused(node, InputError, c, chunks=[bytes(body)]) == UNFIT
    assert (received(node, c), chunk_owners(node.path)) == (0, set())
    node.take(c)


@pytest.mark.parametrize("name", COMMITTEE)
@pytest.mark.parametrize("which", [0, 1])
def test_another_seed(tmp_path: Path, name: str, which: int) -> None:
    node = CommitteeNode(tmp_path, name)
    node.agree(TERMS)
    c = Contribution(TERMS, "agency-b")
    seeds = list(c.seeds(node.party))
    seeds[which] = bytes(16)
    with pytest.raises(InputError, match=UNFIT):
        node.guard.receive("agency-b", c.commitment, tuple(seeds), 0, c.chunks(node.party))
    assert node.shares.uploads(ID) == {}
    node.take(c)


@pytest.mark.parametrize("name", COMMITTEE)
def test_digests_of_something_else(tmp_path: Path, name: str) -> None:
    """A node checks the two components that it holds; the third one's digest is for the others."""
    node = CommitteeNode(tmp_path, name)
    node.agree(TERMS)
    for component in range(3):
        digests = list(Contribution(TERMS, "agency-a").commitment.digests)
        digests[component] = bytes(32)
        c = Contribution(TERMS, "agency-a", digests=tuple(digests))
        if component == (node.party + 2) % 3:
            node.take(c)
        else:
            assert refused(node, InputError, c) == UNFIT


@pytest.mark.parametrize("keys", [2, 4])
def test_another_number_of_keys_than_committed_to(node: CommitteeNode, keys: int) -> None:
    c = Contribution(TERMS, "agency-a", keys=keys)
    assert refused(node, InputError, c) == "The upload has more or other bytes than it announced."
    body = b"".join(c.chunks(node.party)) + bytes(16)
    assert refused(node, InputError, c, chunks=[body[: 16 * keys]]) == UNFIT


# Another list in place of the first


def test_the_first_list_stays_until_the_second_is_whole(node: CommitteeNode) -> None:
    first, second = Contribution(LONG, "agency-a"), Contribution(LONG, "agency-a", PER_CHUNK + 5, seed=1)
    node.take(first)
    with pytest.raises(ConnectionError):
        node.take(second, chunks=broken(second.chunks(node.party)[:1]))
    assert node.shares.uploads(LONG.session_id)["agency-a"].commitment == first.commitment
    node.take(second, offset=received(node, second))
    assert node.shares.uploads(LONG.session_id)["agency-a"].commitment == second.commitment


@pytest.mark.parametrize("chosen", [0, 1])
def test_of_two_lists_either_can_be_computed_on(node: CommitteeNode, chosen: int) -> None:
    """One that reached this node, but not all others, does not take the place of the one that they all have."""
    lists = [Contribution(TERMS, "agency-a", seed=seed) for seed in range(2)]
    made = [lists[chosen], *everyones(TERMS)[1:]]
    for c in (*lists, *made[1:]):
        node.take(c)
    assert node.begin(TERMS, made)
    assert node.shares.uploads(ID)["agency-a"].commitment == lists[chosen].commitment
    assert len(chunk_owners(node.path)) == 3


CLOSED = "The session has been computed on or is over; contributions are closed."
ENDS: dict[str, list[Event]] = {
    "running": [],
    "computed": [Event.COMPUTE],
    "done": [Event.COMPUTE, Event.RELEASE],
    "failed": [Event.ABORT],
    "closed": [Event.ABORT, Event.CLOSE],
    "expired": [Event.ABORT, Event.EXPIRE],
}


@pytest.mark.parametrize("end", ENDS)
def test_what_is_computed_on_cannot_be_changed_any_more(node: CommitteeNode, end: str) -> None:
    made = everyones(TERMS)
    for c in made:
        node.take(c)
    node.begin(TERMS, made)
    for event in ENDS[end]:
        node.store.change(ID, event)
    before = node.shares.uploads(ID)
    assert refused(node, SessionRefused, Contribution(TERMS, "agency-a", seed=1)) == CLOSED
    if end != "failed":
        with pytest.raises(SessionRefused, match=CLOSED):
            node.take(made[0])
    assert node.shares.uploads(ID) == before


def test_an_upload_that_was_lost_is_taken_again_after_an_attempt(node: CommitteeNode) -> None:
    """As after a restore from a backup: what is computed on stays the same."""
    made = everyones(TERMS)
    for c in made:
        node.take(c)
    node.begin(TERMS, made)
    node.guard.failed(ID, 1, "neutral went away.")
    node.shares.drop_upload(node.shares.uploads(ID)["agency-a"])
    says = node.refusal(SessionRefused, lambda: node.begin(TERMS, made, 2))
    assert says == "agency-a did not finish contributing and must contribute again."
    assert refused(node, SessionRefused, Contribution(TERMS, "agency-a", seed=1)) == CLOSED
    node.take(made[0])
    assert node.begin(TERMS, made, 2)


def test_a_session_that_ended_before_an_attempt_began_takes_contributions(node: CommitteeNode) -> None:
    """The coordinator gave up since one node refused to begin: nothing was computed on."""
    made = everyones(TERMS)
    for c in made:
        node.take(c)
    node.guard.abort("hub", ID, 1, "agency-b: agency-c did not finish contributing.")
    second = Contribution(TERMS, "agency-a", seed=1)
    node.take(second)
    assert node.begin(TERMS, [second, *made[1:]], 2)


def test_a_member_contributes_so_often_and_no_more(node: CommitteeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time is an entry of the log, which all others must be able to read."""
    monkeypatch.setattr(guard, "MAX_CONTRIBUTIONS", 3)
    for seed in range(3):
        node.take(Contribution(TERMS, "agency-a", seed=seed))
    says = refused(node, SessionRefused, Contribution(TERMS, "agency-a", seed=3))
    assert says == "agency-a has contributed 3 times to this session already."
    node.take(Contribution(TERMS, "agency-b"))
    other = node.agree(terms(title="Other"))
    node.take(Contribution(other, "agency-a"))


@pytest.mark.parametrize("event", [Event.CLOSE, Event.EXPIRE, Event.REFUSE])
def test_a_session_that_is_over_takes_no_contributions(node: CommitteeNode, event: Event) -> None:
    node.guard.served(ID, "hub")
    node.store.change(ID, event)
    assert refused(node, SessionRefused, Contribution(TERMS, "agency-a")) == CLOSED


def test_an_upload_that_goes_on_while_an_attempt_begins(node: CommitteeNode) -> None:
    made = everyones(LONG)
    for c in made:
        node.take(c)
    second = Contribution(LONG, "agency-a", 2 * PER_CHUNK, seed=1)

    def chunks() -> Iterator[bytes]:
        first, last = second.chunks(node.party)
        yield first
        node.begin(LONG, made)
        yield last

    says = "This upload has been replaced or ended by another one."
    assert refused(node, SessionRefused, second, chunks=chunks()) == says
    assert node.shares.uploads(LONG.session_id)["agency-a"].commitment == made[0].commitment
    assert node.state(LONG) is State.RUNNING
    assert len(chunk_owners(node.path)) == 3


def test_an_upload_that_is_whole_when_an_attempt_has_begun_is_not_confirmed(node: CommitteeNode) -> None:
    made = everyones(TERMS)
    for c in made:
        node.take(c)
    second = Contribution(TERMS, "agency-a", seed=1)

    def chunks() -> Iterator[bytes]:
        yield from second.chunks(node.party)
        node.begin(TERMS, made)

    says = "This upload has been replaced or ended by another one."
    assert refused(node, SessionRefused, second, chunks=chunks()) == says
    assert logged(node.store, ID).count("received") == 3
    assert len(chunk_owners(node.path)) == 3
