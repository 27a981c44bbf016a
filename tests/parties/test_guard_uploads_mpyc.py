"""Uploads in sessions of the MPyC engine, where each node of a committee of any size is sent a component of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpc.channel import MAX_MESSAGE_BYTES
from mpc.shamir import ELEMENT_BYTES
from parties.contribution import dealt_digest, scheme_of, whole_component
from parties.errors import InputError
from parties.manifest import Manifest
from parties.statistics import Category, Statistics
from tests.parties.contributing import dealt_rows
from tests.parties.deciding import CommitteeNode, Contribution, everyones, logged, refusal, terms
from tests.parties.samples import RULES, chunk_owners

FOUR = ("agency-a", "agency-b", "neutral", "agency-c")
TABLE = Statistics(10, (Category("sex", ("f", "m")), Category("birth_date", ages=tuple(range(70)))))


def mpyc(**changes: Any) -> Manifest:
    return terms(**{"engine": "mpyc", "committee": FOUR, "rules": RULES[:1], "max_records": 500} | changes)


TERMS = mpyc()
LONG = mpyc(reveal="statistics", statistics=TABLE)
"""Of rows so long that a few hundred of them are several chunks."""
ROW_BYTES = ELEMENT_BYTES * (1 + TABLE.cells)
COUNT = MAX_MESSAGE_BYTES // ROW_BYTES + 100
"""Rows that are two chunks, of which the first ends in the midst of one."""


@pytest.fixture
def node(tmp_path: Path) -> CommitteeNode:
    made = CommitteeNode(tmp_path)
    for agreed in (TERMS, LONG):
        made.agree(agreed)
    return made


def received(node: CommitteeNode, c: Contribution) -> int:
    return node.guard.received_bytes(c.member, c.commitment.session_id, c.commitment.digest)


def broken(chunks: list[bytes]) -> Iterator[bytes]:
    """The connection is lost after these."""
    yield from chunks
    raise ConnectionError


@pytest.mark.parametrize("agreed", [TERMS, LONG], ids=["keys", "table"])
@pytest.mark.parametrize("count", [1, 64, 65])
def test_what_nodes_keep_is_what_was_dealt(tmp_path: Path, agreed: Manifest, count: int) -> None:
    c, sent = Contribution(agreed, "agency-b", count), []
    for name in FOUR[:3]:
        node = CommitteeNode(tmp_path, name)
        node.agree(agreed)
        node.take(c)
        upload = node.shares.uploads(agreed.session_id)["agency-b"]
        assert upload.seeds == c.seeds(node.party)
        sent.append((upload.seeds, list(node.shares.chunks(upload.id))))
    rows = dealt_rows(scheme_of(agreed), count, sent)  # more than may collude are enough
    assert np.array_equal(rows, c.rows)


def test_an_upload_goes_on_where_it_stopped(node: CommitteeNode) -> None:
    c, offsets = Contribution(LONG, "agency-a", COUNT), []
    for sent in (1, 0):
        offset = received(node, c)
        offsets.append(offset)
        with pytest.raises(ConnectionError):
            node.take(c, offset=offset, chunks=broken(c.chunks(node.party, offset)[:sent]))
        node.restart()
        assert node.shares.uploads(LONG.session_id) == {}
    assert offsets == [0, MAX_MESSAGE_BYTES]
    node.take(c, offset=received(node, c))
    assert received(node, c) == c.due(node.party) == ROW_BYTES * COUNT
    upload = node.shares.uploads(LONG.session_id)["agency-a"]
    kept = whole_component(node.shares.chunks(upload.id), COUNT, ROW_BYTES)
    assert np.array_equal(kept, c.dealings[node.party].whole)
    assert logged(node.store, LONG.session_id).count("received") == 1


@pytest.mark.parametrize("party", range(3))
def test_another_nodes_component_does_not_fit(node: CommitteeNode, party: int) -> None:
    c = Contribution(TERMS, "agency-a")

    def take() -> None:
        node.guard.receive("agency-a", c.commitment, c.seeds(party), 0, c.chunks(party))

    if party == node.party:
        take()
        return
    assert refusal(InputError, take) == "The upload does not fit the commitment to it; contribute again."
    assert chunk_owners(node.path) == set()


@pytest.mark.parametrize(("sent", "early"), [(0, ROW_BYTES * COUNT), (1, ROW_BYTES * COUNT - MAX_MESSAGE_BYTES)])
def test_an_upload_that_ends_early(node: CommitteeNode, sent: int, early: int) -> None:
    c = Contribution(LONG, "agency-a", COUNT)
    said = refusal(InputError, lambda: node.take(c, chunks=c.chunks(node.party)[:sent]))
    assert said == f"The upload ended {early} bytes early; contribute again."


# How many there must be of each


@pytest.mark.parametrize(("engine", "due"), [("mpyc", 1), ("replicated", 2)])
@pytest.mark.parametrize("seeds", [0, 1, 2, 3, 9])
def test_seeds_are_as_many_as_the_terms_say(node: CommitteeNode, engine: str, due: int, seeds: int) -> None:
    agreed = TERMS if engine == "mpyc" else node.agree(terms())
    c = Contribution(agreed, "agency-a")
    node.guard.served(agreed.session_id, "hub")

    def take() -> None:
        given = (*c.seeds(node.party), *[bytes(16)] * 9)[:seeds]
        node.guard.receive("agency-a", c.commitment, given, 0, c.chunks(node.party))

    if seeds == due:
        take()
        return
    said = node.refusal(InputError, take)
    assert said == f"The upload has {seeds} seeds where {due} are due by the terms; compare versions."


@pytest.mark.parametrize(("engine", "due"), [("mpyc", 4), ("replicated", 3)])
@pytest.mark.parametrize("digests", [0, 1, 3, 4, 5, 9])
def test_digests_are_as_many_as_the_terms_say(node: CommitteeNode, engine: str, due: int, digests: int) -> None:
    agreed = TERMS if engine == "mpyc" else node.agree(terms())
    honest = Contribution(agreed, "agency-a").commitment.digests
    c = Contribution(agreed, "agency-a", digests=(*honest, *[bytes(32)] * 9)[:digests])
    node.guard.served(agreed.session_id, "hub")
    if digests == due:
        node.take(c)
        return
    said = node.refusal(InputError, lambda: node.take(c))
    assert said == f"agency-a commits to {digests} components where the terms make {due}; compare versions."
    others = [Contribution(agreed, name) for name in ("agency-b", "agency-c")]
    assert node.refusal(InputError, lambda: node.begin(agreed, [c, *others])) == said


def test_elements_that_are_none_are_kept_for_the_engine_to_refuse(node: CommitteeNode) -> None:
    """Whether shares are of a field and fit together is asked when they are computed on; here a digest is."""
    c = Contribution(TERMS, "agency-a")
    whole = np.full(c.due(node.party), 0xFF, np.uint8)
    digests = list(c.commitment.digests)
    digests[node.party] = dealt_digest(c.seeds(node.party)[0], whole)
    node.take(Contribution(TERMS, "agency-a", digests=tuple(digests)), chunks=[whole.tobytes()])
    assert list(node.shares.uploads(TERMS.session_id)) == ["agency-a"]


def test_an_attempt_begins_on_what_everyone_uploaded(node: CommitteeNode) -> None:
    made = everyones(TERMS)
    for c in made:
        node.take(c)
    assert node.begin(TERMS, made)
