"""Similar records: pairs that share a blocking key are compared on shares, and each record learns of its best grade.

Ideal functionality: each member gives records, each with blocking keys and a comparison vector. To it alone goes, for
each of its records, the best grade of any pair with a record of another member that shares a blocking key with it. The
committee learns each member's number of records and the multiset of sizes of the groups that share a blocking key,
exactly or through dummies.

    rows → shuffle → oblivious AES → group → compare pairs → any of a row's pairs → un-shuffle → any of a record's rows

A row is one of a record's blocking keys with a copy of its comparison vector; nobody can tell which rows are of one
record. Groups above `Linkage.largest_group` are left out, the rule that a plain run keeps as well: the pairs that are
compared, and so every result, are the same in each run on the same records.

Source: blocking, comparison vectors and weights as in Fellegi and Sunter, JASA 1969; candidate pairs by shared keys
after a shuffle as in `mpc.engine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from mpc.committee import PartyId
from mpc.dummies import Noise, dummy_rows
from mpc.evaluate import Layers, evaluate
from mpc.lanes import Lanes
from mpc.linkage import Linkage, Pair
from mpc.logic import distinct
from mpc.matching import Groups
from mpc.multiply import AND, multiply, reshare
from mpc.prss import KEY_BYTES, derive
from mpc.replicated import Array, Share, additive, public
from mpc.session import Session
from mpc.similar import (
    CHUNK_PAIRS,
    Chunks,
    as_bytes,
    marked,
    member_numbers,
    pair_planes,
    places,
    split,
)

LEVEL_BYTES = 3 << 18
"""Of a chunk's pairs, that a party sends in one round: half of what `channel.MAILBOX_BYTES` counts on for a lane."""


@lru_cache(8)
def pair_layers(linkage: Linkage) -> tuple[Layers, list[int]]:
    """A rule's circuit, for shares; and which of its outputs each grade is."""
    pair = Pair(linkage)
    outputs, which = distinct(pair.logic, pair.grades)
    return Layers(pair.logic.circuit, outputs), which


def chunk_pairs(layers: Layers) -> int:
    """Pairs that go through a circuit together: as many as make messages of a good length."""
    return max(64, min(8 * LEVEL_BYTES // max(layers.widest, 1) // 64 * 64, CHUNK_PAIRS))


def spread(party: PartyId, linkage: Linkage, records: Share, counts: Sequence[int]) -> Share:
    """A row for each blocking key of each record; in its comparison vector, the number of its member. Local.

    Args:
        party: who I am.
        linkage: the rule.
        records: Share of (sum of counts, record_words) uint64.
        counts: records of each member.

    Returns:
        Share of (keys · sum of counts, 2 + words) uint64, record after record.
    """
    number = public(party, member_numbers(counts))

    def rows(component: Array, numbers: Array) -> Array:
        keys, vectors = split(linkage, component)
        made = np.empty((len(component), linkage.keys, 2 + linkage.words), np.uint64)
        made[:, :, :2] = keys
        made[:, :, 2:] = marked(vectors, numbers)[:, None]
        return made.reshape(-1, made.shape[2])

    return Share(rows(records.a, number.a), rows(records.b, number.b))


def dummies(party: PartyId, linkage: Linkage, noise: Noise, secrets: tuple[bytes, bytes]) -> Share:
    """Rows of dummy blocking keys, as `dummies.dummy_rows` makes them, of records that are similar to none. Local.

    Args:
        party: who I am.
        linkage: the rule.
        noise: the same at all parties.
        secrets: of components a and b.

    Returns:
        Share of (noise.rows, 2 + words) uint64; comparison vectors are zero.
    """
    own, other = (derive(secret, "similar", KEY_BYTES) for secret in secrets)
    keys = dummy_rows(party, noise, (own, other))
    return keys.map(lambda c: np.pad(c, ((0, 0), (0, linkage.words))))


def grades(session: Session, linkage: Linkage, groups: Groups, vectors: Share, lanes: Lanes) -> Share:
    """For every row the grades of its pairs with other rows of its group.

    Args:
        session: at a step of its own.
        linkage: the rule.
        groups: of the opened tags.
        vectors: Share of (n, words) uint64, in the same order.
        lanes: how many chunks of pairs are in flight, and who is told.

    Returns:
        Share of (n,) uint8: bit k for grade k; nothing for rows of groups that are not compared.

    Cost: for each chunk of pairs the rounds of the rule's circuit and one for each doubling of the largest group; for
        each pair 3 bits in all for each of its AND gates, and 6 B.
    Reveals: nothing.
    Raises: PeerError.
    Source: see above.
    """
    values = Share(*(np.zeros(vectors.shape[0], np.uint8) for _ in "ab"))
    layers, which = pair_layers(linkage)
    chunks, rows = Chunks(linkage, groups, chunk_pairs(layers)), vectors.shape[0]

    def lane(here: Session, place: slice) -> None:
        pairs = chunks.pairs(place.start // chunks.size)
        if not len(pairs.left):  # all of it is of the last group before
            return
        planes = vectors[pairs.rows].map(lambda c: pair_planes(c, pairs))
        reached = evaluate(here.at("grades"), layers, planes)
        of_pairs = reached.map(lambda c: as_bytes(c[which], len(pairs.left)))
        index, lengths = pairs.by_row()
        found = any_of(here.at("any"), of_pairs[index], lengths)
        for component, part in ((values.a, found.a), (values.b, found.b)):
            component[pairs.rows] ^= part

    def in_rows(phase: str, done: int, total: int) -> None:  # not in pairs: whoever is shown progress need not know
        lanes.progress(phase, done * rows // max(total, 1), rows)

    Lanes(in_rows, lanes.number, chunks.size).map(session, chunks.total, "compare", lane)
    return values


def any_of(session: Session, bits: Share, lengths: Array) -> Share:
    """The OR, bit by bit, of each of several runs of bytes.

    Args:
        session: at a step of its own.
        bits: Share of (sum of lengths,) uint8.
        lengths: (r,) public, each at least 1.

    Returns:
        Share of (r,) uint8.

    Cost: a round for each doubling of the longest run; 3 B in all for each byte but the last of each run.
    Reveals: nothing.
    Raises: PeerError.
    Source: x ∨ y = x ⊕ y ⊕ x·y, by `mpc.multiply`.
    """
    number = 0
    while len(lengths) and lengths.max() > 1:
        moved = lengths // 2
        kept = lengths - moved
        starts = np.cumsum(lengths) - lengths
        bits, others = bits[places(starts, kept)], bits[places(starts + kept, moved)]
        targets = places(np.cumsum(kept) - kept, moved)
        product = _product(session.at(f"halve{number}"), bits[targets], others)
        for component, more in ((bits.a, others.a ^ product.a), (bits.b, others.b ^ product.b)):
            component[targets] ^= more
        lengths, number = kept, number + 1
    return bits


def of_records(session: Session, part: Array | None, linkage: Linkage, records: int) -> Array | None:
    """From un-shuffled rows to each record's result, for its owner alone.

    Args:
        session: at a step of its own.
        part: (n,) uint8 at P0 and P1, from `shuffle.unshuffle`; rows after the records' are dummies.
        linkage: the rule.
        records: of all members.

    Returns:
        At P0 and P1 (records,) uint8: additive shares of the OR of each record's rows; at P2 None.

    Cost: 1 round, and one for each doubling of a record's blocking keys; 3 B in all for each row, and 3 B for each but
        the last of a record.
    Reveals: nothing to the committee; each owner who is sent both parts learns its records' values.
    Raises: PeerError.
    Source: see `multiply.reshare`.
    """
    rows = linkage.keys * records
    shared = reshare(session.at("share"), np.zeros(rows, np.uint8) if part is None else part[:rows].copy())
    return additive(session.party, any_of(session.at("any"), shared, np.full(records, linkage.keys)))


def _product(session: Session, left: Share, right: Share) -> Share:
    """Byte by byte of two shared arrays (n,) uint8, as words."""
    length = left.shape[0]

    def words(component: Array) -> Array:
        padded = np.zeros(-(-length // 8) * 8, np.uint8)
        padded[:length] = component
        return padded.view(np.uint64)[None, None]

    result = multiply(session, AND, [left.map(words), right.map(words)])
    return result.map(lambda c: np.ascontiguousarray(c).reshape(-1).view(np.uint8)[:length])
