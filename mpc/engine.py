"""The whole protocol on one page: from the members' shared keys to each member's shares of its own result.

Ideal functionality: each member gives a set of 128-bit keys; to it alone goes, for each of its keys, whether another
member holds it (`flag`), how many others do (`count`) or which (`members`). The committee learns each member's number
of keys and the multiset of group sizes, exactly or through noise (`mpc.dummies`). Beside keys, or in their stead, there
may be records, of which `mpc.compare` tells. Secure against a passive adversary that controls one of the three parties
and any number of members' inputs. One that deviates can do more, reading every key included, which `mpc.verify` is
against: docs/protocol.md, "In the computation".

    agree → add dummies → shuffle → oblivious AES → (verify) → reveal the tags → group → un-shuffle → done

Records take the same way, with their comparison vectors; what is un-shuffled are grades of pairs within groups.

Source: the components' own; tagging with an oblivious PRF after a shuffle as in IPA (private-attribution/ipa).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from cryptography.hazmat.primitives.constant_time import bytes_eq

from mpc import aes, compare, matching
from mpc.bitslice import on_planes
from mpc.committee import PartyId
from mpc.dummies import Noise, dummy_rows, secret_digest
from mpc.errors import DealingError, IntegrityError, ShareError
from mpc.lanes import LANES, Lanes, Progress, suitable
from mpc.linkage import Linkage
from mpc.matching import Groups, Reveal
from mpc.replicated import Array, Share, additive, concatenate
from mpc.reveal import digest, reveal
from mpc.session import Session, terms_digest
from mpc.session import compare as require_equal
from mpc.shuffle import shuffle, unshuffle
from mpc.verify import verify


@dataclass(frozen=True, repr=False)
class Inputs:
    """What the members gave one party.

    Attributes:
        terms: 32 bytes, public and the same at all parties: a digest of the session's agreed terms.
        counts: keys of each member, in the members' agreed order; zero of one that is absent.
        digests: for each member (32,) uint8 digests of its components a and b, as dealt to this party; keyed, so that
            whoever lacks a component cannot check a guess of it.
        rows: gives a Share of (sum of counts, 2) uint64: all keys, member after member; for statistics with words more,
            in which one bit is set, of the row's cell. Asked when they are needed, and not kept, so that they are in
            memory no longer than that.
        reveal: what members learn.
        noise: the dummy groups that the terms ask for, if they do.
        secrets: with noise, `dummies.pair_secret` of components a and b; the same in every attempt of a session.
        verified: whether the terms ask for verified tags.
        chunk_rows: rows that go through the cipher together; the same at all parties. 0 for as many as suit.
        linkage: the rule on similar records, if there is one; members learn flags or grades then.
        records: of each member, in the members' order.
        record_rows: as `rows`, a Share of (sum of records, record_words) uint64: all records, member after member.
        similar_noise: the dummy groups among blocking keys that the terms ask for, if they do.

    Raises:
        ShareError: noise without secrets, or for another number of members; records that are not each member's, or with
            what there is no grade for.
    """

    terms: bytes
    counts: tuple[int, ...]
    digests: tuple[tuple[Array, Array], ...]
    rows: Callable[[], Share]
    reveal: Reveal
    noise: Noise | None = None
    secrets: tuple[bytes, bytes] = (b"", b"")
    verified: bool = False
    chunk_rows: int = 0
    linkage: Linkage | None = None
    records: tuple[int, ...] = ()
    record_rows: Callable[[], Share] | None = None
    similar_noise: Noise | None = None

    def __post_init__(self) -> None:
        if self.noise is not None and (self.noise.largest != len(self.counts) or not all(self.secrets)):
            raise ShareError(f"noise for {self.noise.largest} members, {len(self.counts)} counts, or no secrets")
        if self.similar_noise is not None and not all(self.secrets):
            raise ShareError("noise among blocking keys without secrets")
        if self.linkage is None:
            return
        if len(self.records) != len(self.counts) or self.record_rows is None:
            raise ShareError(f"{len(self.records)} numbers of records for {len(self.counts)} members, or none of them")
        if self.reveal not in (Reveal.FLAG, Reveal.GRADE):
            raise ShareError(f"records with {self.reveal.value} to reveal")

    @property
    def exact(self) -> int:
        """Rows of keys, dummies included."""
        return sum(self.counts) + (self.noise.rows if self.noise else 0)

    @property
    def similar(self) -> int:
        """Rows of records, dummies included: one for each blocking key."""
        dummies = self.similar_noise.rows if self.similar_noise else 0
        return 0 if self.linkage is None else self.linkage.keys * sum(self.records) + dummies

    @property
    def total(self) -> int:
        """Rows in all."""
        return self.exact + self.similar

    @property
    def most_pairs(self) -> int:
        """Pairs of records that are compared at most: if all groups are as large as they may be."""
        return 0 if self.linkage is None else self.similar * (self.linkage.largest_group - 1) // 2

    def lanes(self, progress: Progress, number: int, rows: int) -> Lanes:
        """How so many rows are cut."""
        return Lanes(progress, number, self.chunk_rows or suitable(rows))


@dataclass(frozen=True, repr=False)
class Outputs:
    """What one party holds at the end.

    Attributes:
        parts: for each member its rows' additive shares, in its order, at P0 and P1; None at P2. For statistics they
            stay with the committee, (n, words) uint64: as for `members`, then the words of the cell.
            Those of records follow those of keys.
        group_sizes: at index s the number of distinct keys that s members hold, dummies included: all that the
            committee learned of keys.
        block_sizes: the same of blocking keys, by the number of records that share one.
    """

    parts: tuple[Array, ...] | None
    group_sizes: tuple[int, ...]
    block_sizes: tuple[int, ...] = (0,)


def run(
    session: Session,
    inputs: Inputs,
    progress: Progress,
    lanes: int = LANES,
) -> Outputs:
    """Find the matches; dummies are rows among the rows, for the cost as well.

    Args:
        session: fresh keys, nothing sent yet.
        inputs: at least one row in all, dummies included.
        progress: told of every phase and chunk, from any thread.
        lanes: chunks in flight.

    Returns:
        This party's outputs, once all three have said that they reached the end with the same tags.

    Tags that are verified cost what `mpc.verify` costs besides. A record costs what rows do, one for each blocking key,
    wider by its vector; and pairs what `compare.grades` says.

    Cost: 86 rounds for one chunk; 1194 B in all for each row (`flag`), 17760 B and 96 B for each member in all besides.
    Reveals: to the committee, each member's numbers of keys and records and the sizes of groups of both; to members
        nothing yet.
    Raises: PeerError, IntegrityError, DealingError.
    """
    agree(session.at("agree"), inputs)
    keys = records = None
    if inputs.exact or inputs.linkage is None:
        keys = _match(session, inputs, progress, lanes)
    if inputs.similar:
        records = _link(session.at("similar"), inputs, progress, lanes)
    found = [of_kind for of_kind in (keys, records) if of_kind is not None]
    finish(session.at("finish"), digest(np.concatenate([of_kind.opened for of_kind in found])))
    progress("done", inputs.total, inputs.total)
    parts = [of_kind.parts for of_kind in found if of_kind.parts is not None]
    return Outputs(
        tuple(map(np.concatenate, zip(*parts, strict=True))) if parts else None,
        keys.group_sizes if keys else (0,),
        records.group_sizes if records else (0,),
    )


@dataclass(frozen=True, repr=False)
class _Found:
    """What a party has found of keys, or of records.

    Attributes:
        parts: as in `Outputs`, of these only.
        group_sizes: at index s the number of groups of s rows.
        opened: (32,) uint8, the digest of all tags.
    """

    parts: tuple[Array, ...] | None
    group_sizes: tuple[int, ...]
    opened: Array


def _match(session: Session, inputs: Inputs, progress: Progress, lanes: int) -> _Found:
    """Who holds the same keys."""
    progress("shuffle", 0, inputs.exact)
    rows, cells = gather(session.party, inputs)
    rows, order = shuffle(session.at("shuffle"), rows)
    cut = inputs.lanes(progress, lanes, inputs.exact)
    tags = tag(session.at("tag"), rows[:, :2], cut, verified=inputs.verified)
    progress("match", 0, inputs.exact)
    masks = rows[:, 2:].map(np.copy)
    del rows
    groups, opened = matching.group(tags), digest(tags)
    del tags
    values = matching.other_members(session.party, groups, masks, inputs.reveal)
    part = unshuffle(session.at("unshuffle"), order, values)
    if part is not None and cells is not None:
        part = np.concatenate([part[: len(cells)], cells], axis=1)
    return _Found(_of_members(part, inputs.counts), _sizes_of(groups), opened)


def _link(session: Session, inputs: Inputs, progress: Progress, lanes: int) -> _Found:
    """Whose records are similar."""
    linkage = inputs.linkage
    assert linkage is not None  # noqa: S101 - there are rows
    assert inputs.record_rows is not None  # noqa: S101 - as above
    progress("shuffle", 0, inputs.similar)
    rows = compare.spread(session.party, linkage, inputs.record_rows(), inputs.records)
    if inputs.similar_noise is not None:
        rows = concatenate([rows, compare.dummies(session.party, linkage, inputs.similar_noise, inputs.secrets)])
    rows, order = shuffle(session.at("shuffle"), rows)
    cut = inputs.lanes(progress, lanes, inputs.similar)
    tags = tag(session.at("tag"), rows[:, :2], cut, verified=inputs.verified)
    groups, opened = matching.group(tags), digest(tags)
    del tags
    values = compare.grades(session.at("compare"), linkage, groups, rows[:, 2:], cut)
    del rows
    progress("match", 0, inputs.similar)
    part = unshuffle(session.at("unshuffle"), order, values)
    part = compare.of_records(session.at("records"), part, linkage, sum(inputs.records))
    return _Found(_of_members(part, inputs.records), _sizes_of(groups), opened)


def _of_members(part: Array | None, counts: tuple[int, ...]) -> tuple[Array, ...] | None:
    """A party's part, member by member; what comes after the members' rows is of dummies."""
    return None if part is None else tuple(np.split(part, np.cumsum(counts))[:-1])


def _sizes_of(groups: Groups) -> tuple[int, ...]:
    """At index s the number of groups of s rows: what tags tell."""
    return (0, *np.bincount(groups.sizes)[1:].tolist())


def gather(party: PartyId, inputs: Inputs) -> tuple[Share, Array | None]:
    """What is shuffled: the members' rows, then dummies; where it is by member each with its member's mask. Local.

    Returns:
        Share of (n, 2) uint64, or (n, 2 + words) with masks; and for statistics at P0 and P1 the additive share of the
        members' rows' cells.
    """
    rows, cells = inputs.rows(), None
    if inputs.reveal is Reveal.STATISTICS:
        cells = additive(party, rows[:, 2:])
        rows = rows[:, :2].map(np.ascontiguousarray)
    if inputs.noise is not None:
        rows = concatenate([rows, dummy_rows(party, inputs.noise, inputs.secrets)])
    if inputs.reveal.by_member:
        rows = concatenate([rows, matching.member_masks(party, inputs.counts, rows.shape[0])], axis=1)
    return rows, cells


def agree(session: Session, inputs: Inputs) -> None:
    """Check that all parties compute on the same terms, and that every member dealt the same to both holders.

    With noise, the pairs' dummies are checked like one member more.

    Cost: 1 round; 192 B and 96 B for each member in all.
    Reveals: to the parties, digests of terms, and of shares and secrets that both already hold.
    Raises: PeerError; IntegrityError for other terms or dummies; DealingError, naming the first member concerned.
    """
    public = (inputs.counts, inputs.reveal, inputs.noise, inputs.verified, inputs.chunk_rows)
    terms = terms_digest(inputs.terms, *public, inputs.linkage, inputs.records, inputs.similar_noise)
    dealt = [*inputs.digests]
    if inputs.noise is not None or inputs.similar_noise is not None:
        dealt.append((secret_digest(inputs.secrets[0]), secret_digest(inputs.secrets[1])))
    a, b = (np.stack(digests) for digests in zip(*dealt, strict=True))
    party = session.party
    session.send(party.previous, a)
    require_equal(
        session.at("terms"), terms, "other terms"
    )  # first, so that digests of other members are not called malformed
    theirs = session.receive(party.next, b.shape, np.uint8)
    for member in range(len(inputs.counts)):
        if not bytes_eq(theirs[member].tobytes(), b[member].tobytes()):
            raise DealingError(member, party.next)
    if not bytes_eq(theirs.tobytes(), b.tobytes()):
        raise IntegrityError(session.step, "other dummies", (party.next,))


def tag(session: Session, rows: Share, lanes: Lanes, *, verified: bool = False) -> Array:
    """Open the AES-128 encryption of every row under a random cipher key that nobody knows.

    Args:
        session: at a step of its own.
        rows: Share of (n, 2) uint64, in an order that nobody knows.
        lanes: how rows are cut.
        verified: open nothing before `mpc.verify` has found all tags right, at its cost besides.

    Returns:
        (n, 2) uint64, public: equal tags are equal keys.

    Cost: 81 rounds for one chunk; 1128 B in all for each row, 17376 B in all besides.
    Reveals: which rows are equal, to all three parties.
    Raises: PeerError, IntegrityError.
    Source: FIPS 197 as a pseudo-random permutation; see `mpc.aes`.
    """
    bits = session.prss.random(f"{session.step}/key", (8, 16), np.uint8)
    cipher_key = bits.map(lambda c: np.negative((c & 1).astype(np.uint64)))  # each bit spread over a word
    schedule, n = aes.key_schedule(session.at("schedule"), cipher_key), rows.shape[0]

    def encrypted(here: Session, chunk: slice) -> Share:
        return on_planes(rows[chunk], partial(aes.encrypt, here, schedule))

    if verified:
        tags = concatenate(lanes.map(session, n, "tag", encrypted))
        verify(session.at("verify"), schedule, rows, tags, lanes)
        return reveal(session.at("reveal"), tags)
    opened = np.empty((n, 2), np.uint64)

    def open_chunk(here: Session, chunk: slice) -> None:
        opened[chunk] = reveal(here.at("reveal"), encrypted(here, chunk))  # padding, known to all, stays shared

    lanes.map(session, n, "tag", open_chunk)
    return opened


def finish(session: Session, opened: Array) -> None:
    """Go on only when both peers have reached this step with the same tags.

    A party that returns from here knows that the others had all they needed. Whoever releases results still waits for
    all three parties to say so, since the last messages themselves can be lost.

    Args:
        session: at a step of its own.
        opened: (32,) uint8, the digest of all tags.

    Cost: 1 round; 192 B in all.
    Reveals: nothing.
    Raises: PeerError; IntegrityError for other tags.
    """
    require_equal(session, opened, "other tags")
