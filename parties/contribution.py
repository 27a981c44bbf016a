"""From a list's keys to what is uploaded: shares, and digests that tell whether they fit together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mpc.committee import PARTIES, PartyId
from mpc.prss import Keystream, derive
from mpc.replicated import Array, Share, share
from mpc.reveal import DIGEST_BYTES

SEED_BYTES = 16
SECRET_BYTES = 32
PIECE_ROWS = 1 << 16
WHOLE = 2
"""The component that travels whole; the others are expanded from seeds."""


@dataclass(frozen=True, repr=False)
class Dealing:
    """What one committee node is sent, and what it must acknowledge.

    Attributes:
        rows: number of keys.
        seeds: of its components a and b, 16 bytes each.
        whole: component 2, (n, 2) uint64, or None at P0, which does not hold it.
        digests: of its components a and b.
    """

    rows: int
    seeds: tuple[bytes, bytes] = field(repr=False)
    whole: Array | None = field(repr=False)
    digests: tuple[bytes, bytes]


def deal_keys(keys: Array, secret: bytes) -> list[Dealing]:
    """Split keys into shares.

    The same keys under the same secret are dealt in the same way, so that an upload can be continued after a restart.
    Other keys are dealt independently: two lists that shared their randomness would show in what they differ.

    Args:
        keys: (n, 2) uint64.
        secret: 32 random bytes of the member's own, fresh for each session.

    Returns:
        What P0, P1 and P2 get. Any one of them alone, with the digests of all three, is independent of the keys.
    """
    info = b"matchbit.v1 dealing" + hashlib.sha256(np.ascontiguousarray(keys).view(np.uint8).data).digest()
    drawn = HKDF(hashes.SHA256(), SEED_BYTES * len(PARTIES), None, info).derive(secret)
    seeds = [drawn[SEED_BYTES * c : SEED_BYTES * (c + 1)] for c in range(len(PARTIES))]
    components = share(keys, *(_expand(seed, len(keys)) for seed in seeds[:WHOLE]))
    digests = [dealt_digest(seed, c) for seed, c in zip(seeds, components, strict=True)]
    dealings = []
    for party in PARTIES:
        a, b = held_by(party)
        whole = components[WHOLE] if WHOLE in (a, b) else None
        dealings.append(Dealing(len(keys), (seeds[a], seeds[b]), whole, (digests[a], digests[b])))
    return dealings


def all_digests(dealings: list[Dealing]) -> tuple[bytes, bytes, bytes]:
    """The digests of components 0, 1 and 2."""
    return (*dealings[0].digests, dealings[1].digests[1])


def held_by(party: PartyId) -> tuple[int, int]:
    """The components that a party holds: its a and its b."""
    return int(party), int(party.next)


def dealt_digest(seed: bytes, component: Array) -> bytes:
    """The 32-byte digest of a component, keyed with what only its two holders know.

    The digest is seen by others: in receipts, and by the party that lacks the component. Without the key that party
    could check a guess of a short list against it.
    """
    return _digest(seed, [np.ascontiguousarray(component).view(np.uint8).data])


def held_digests(party: PartyId, rows: int, seeds: tuple[bytes, bytes], whole: Iterable[bytes]) -> tuple[bytes, bytes]:
    """The digests of the components that a committee node was sent, however long they are in little memory.

    Args:
        party: the node.
        rows: number of keys.
        seeds: of its components a and b.
        whole: component 2 in pieces; not read at P0.
    """
    a, b = (
        _digest(seed, whole if c == WHOLE else _expanded(seed, rows))
        for c, seed in zip(held_by(party), seeds, strict=True)
    )
    return a, b


def _digest(seed: bytes, pieces: Iterable[bytes | memoryview]) -> bytes:
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES, key=derive(seed, "digest", DIGEST_BYTES))
    for piece in pieces:
        digest.update(piece)
    return digest.digest()


def _expanded(seed: bytes, rows: int) -> Iterator[memoryview]:
    """What `_expand` makes, in pieces."""
    stream = _component(seed)
    for start in range(0, rows, PIECE_ROWS):
        yield stream.random((min(PIECE_ROWS, rows - start), 2)).reshape(-1).view(np.uint8).data


def fill_share(party: PartyId, share: Share, seeds: tuple[bytes, bytes], whole: Iterable[bytes]) -> None:
    """Write what a committee node computes on into a share, from what it was sent.

    Args:
        party: the node.
        share: of (n, 2) uint64 zeros, C-contiguous.
        seeds: of components a and b.
        whole: component 2 in pieces; not read at P0.

    Raises:
        ValueError: component 2 has another length.
    """
    for component, seed, array in zip(held_by(party), seeds, (share.a, share.b), strict=True):
        if component != WHOLE:
            _component(seed).xor_into(array)
            continue
        place, view = 0, array.reshape(-1).view(np.uint8)
        for piece in whole:
            view[place : place + len(piece)] = np.frombuffer(piece, np.uint8)
            place += len(piece)
        if place != view.size:
            raise ValueError(f"component 2 has {place} bytes where {view.size} are due")


def _expand(seed: bytes, rows: int) -> Array:
    return _component(seed).random((rows, 2))


def _component(seed: bytes) -> Keystream:
    """The stream of a component that is dealt as a seed."""
    return Keystream(derive(seed, "component"))
