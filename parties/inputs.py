"""What a committee node computes an attempt on, from what members uploaded; and what may wait for a peer meanwhile."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np

from mpc.channel import MAILBOX_BYTES
from mpc.committee import PartyId
from mpc.dummies import pair_secret
from mpc.engine import Inputs, Outputs
from mpc.matching import Reveal
from mpc.replicated import Array, Share
from mpc.reveal import DIGEST_BYTES
from parties import engines
from parties.contribution import fill_share, held_by, scheme_of, whole_component
from parties.errors import StorageError
from parties.guard import Guard
from parties.manifest import Manifest
from parties.shares import Upload
from parties.statements import Commitment
from parties.store import SessionRecord
from parties.worker import Task


@dataclass(frozen=True, repr=False)
class Held:
    """The uploads that an attempt is computed on.

    Attributes:
        terms: 32 bytes: a digest of the session and of what members contributed.
        counts: rows of each member, in the members' order; zero of one that is absent.
        records: of a similar rule, which the last of these rows are; zero where there is no such rule.
        uploads: by member.
    """

    terms: bytes
    counts: tuple[int, ...]
    records: tuple[int, ...]
    uploads: Mapping[str, Upload]

    @classmethod
    def of(cls, guard: Guard, record: SessionRecord, commitments: Sequence[Commitment]) -> Held:
        """Those to the commitments.

        Raises:
            StorageError: one is not there any more.
        """
        manifest, committed = record.manifest, {c.name: c for c in commitments}
        found = {c.name: guard.shares.upload(record.id, c.name, c.digest) for c in commitments}
        held = {name: upload for name, upload in found.items() if upload}
        if len(held) < len(found):  # begun only when all were there
            raise StorageError(f"Shares are missing, of {', '.join(found.keys() - held.keys())}; see the disk.")
        assert record.contributions is not None  # noqa: S101 - set when the attempt began
        terms = hashlib.sha256(record.id + record.contributions).digest()
        counts = tuple(committed[m].keys if m in committed else 0 for m in manifest.members)
        records = tuple(committed[m].records if m in committed and manifest.similar else 0 for m in manifest.members)
        return cls(terms, counts, records, held)


def load_inputs(guard: Guard, record: SessionRecord, commitments: Sequence[Commitment]) -> Inputs:
    """What the replicated engine computes on, in the members' order; those that are absent have no rows."""
    manifest, party = record.manifest, PartyId(guard.party(record.manifest))
    held, committed = Held.of(guard, record, commitments), {c.name: c for c in commitments}
    seeds = zip(*(held.uploads[m].seeds for m in manifest.members if m in committed), strict=True)
    of_a, of_b = (pair_secret(dealt, held.terms) for dealt in seeds)
    return Inputs(
        terms=held.terms,
        counts=tuple(map(manifest.exact_keys, held.counts, held.records)),
        digests=tuple(_digests(committed.get(m), held_by(party)) for m in manifest.members),
        rows=partial(_rows, guard, manifest, held, records=False),
        reveal=Reveal(manifest.reveal),
        noise=engines.noise(manifest),
        secrets=(of_a, of_b),
        verified=manifest.verify_tags,
        linkage=manifest.similar.linkage if manifest.similar else None,
        records=held.records if manifest.similar else (),
        record_rows=partial(_rows, guard, manifest, held, records=True),
        similar_noise=engines.similar_noise(manifest),
    )


def _rows(guard: Guard, manifest: Manifest, held: Held, *, records: bool) -> Share:
    """What members uploaded: their keys, (n, words) uint64; or their records, (n, record_words) uint64."""
    party, words = PartyId(guard.party(manifest)), scheme_of(manifest).words
    keys = [manifest.exact_keys(n, of) for n, of in zip(held.counts, held.records, strict=True)]
    numbers = held.records if records else keys
    share = _zeros(sum(numbers), words * manifest.rows_of_record if records else words)
    start = 0
    for member, total, of_keys, number in zip(manifest.members, held.counts, keys, numbers, strict=True):
        if number:
            here, upload = share[start : start + number], held.uploads[member]
            whole = here if here.a.size == total * words else _zeros(total, words)
            fill_share(party, whole, upload.seeds, guard.shares.chunks(upload.id))
            if whole is not here:
                part = slice(of_keys, None) if records else slice(of_keys)
                here.a[:], here.b[:] = (c[part].reshape(here.shape) for c in (whole.a, whole.b))
            start += number
    return share


def _zeros(rows: int, words: int) -> Share:
    return Share(*(np.zeros((rows, words), np.uint64) for _ in "ab"))


def _digests(commitment: Commitment | None, components: tuple[int, int]) -> tuple[Array, Array]:
    """(32,) uint8 each: what a member committed to of two components; zeros for one that is absent."""
    of_a, of_b = (commitment.digests[c] if commitment else bytes(DIGEST_BYTES) for c in components)
    return np.frombuffer(of_a, np.uint8), np.frombuffer(of_b, np.uint8)


def longest_queue(inputs: Inputs) -> int:
    """Bytes that an honest peer may leave unread: two passes of the shuffle, and a mailbox for what lanes send."""
    words = 2 + (-(-len(inputs.counts) // 64) if inputs.reveal.by_member else 0)
    words = max(words, 4 if inputs.verified else 0)  # rows and tags are shuffled together
    of_similar = 2 + inputs.linkage.words if inputs.linkage else 0  # a row is a key and its record's vector
    return MAILBOX_BYTES + 2 * 8 * max(words * inputs.exact, of_similar * inputs.similar)


def load_task(guard: Guard, record: SessionRecord, commitments: Sequence[Commitment], context: bytes) -> Task:
    """What the MPyC engine computes on."""
    held, row_bytes = Held.of(guard, record, commitments), scheme_of(record.manifest).row_bytes
    uploads = [held.uploads[m] for m in record.manifest.members if m in held.uploads]
    pieces = chain.from_iterable(guard.shares.chunks(upload.id) for upload in uploads)
    rows = whole_component(pieces, sum(held.counts), row_bytes)
    return _of_terms(guard, record.manifest)(context=context, terms=held.terms, counts=held.counts, rows=rows)


def table_task(guard: Guard, manifest: Manifest, context: bytes, inputs: Inputs, outputs: Outputs) -> Task:
    """What a table is made of when the replicated engine has found who is held by whom."""
    cells = 0 if manifest.statistics is None else manifest.statistics.cells
    rows = None
    if outputs.parts is not None:
        rows = np.concatenate([bits_of(part, m, len(inputs.counts), cells) for m, part in enumerate(outputs.parts)])
    task = _of_terms(guard, manifest)
    return task(context=context, terms=inputs.terms, counts=inputs.counts, rows=rows, follows=True)


def bits_of(part: Array, member: int, members: int, cells: int) -> Array:
    """(n, members - 1 + cells) uint8: which others hold a member's rows, and their cells, from words of both."""
    words = -(-members // 64)
    held, cell = (
        np.unpackbits(np.ascontiguousarray(columns).view(np.uint8), axis=1, count=count, bitorder="little")
        for columns, count in ((part[:, :words], members), (part[:, words:], cells))
    )
    return np.concatenate([np.delete(held, member, axis=1), cell], axis=1)


def _of_terms(guard: Guard, manifest: Manifest) -> partial[Task]:
    """What a session's terms say of a task."""
    table = manifest.statistics
    return partial(
        Task,
        party=guard.party(manifest),
        parties=len(manifest.committee),
        threshold=manifest.threshold,
        reveal=Reveal(manifest.reveal),
        cells=table.cells if table else 0,
        smallest=table.smallest_cell if table else 0,
    )
