"""From a list's rows to what is uploaded: components, and digests that tell whether they fit together.

A row is a key and, where the session makes a table, the cell of its record; under a similar rule a record is several
rows more. What becomes of rows, and who holds what of it, is the scheme: each engine has its own.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mpc import shamir
from mpc.committee import PARTIES, PartyId
from mpc.prss import Keystream, derive
from mpc.replicated import Array, Share, share
from mpc.reveal import DIGEST_BYTES
from parties.engines import Engine
from parties.manifest import Manifest

SEED_BYTES = 16
SECRET_BYTES = 32
KEY_WORDS = 2
PIECE_BYTES = 1 << 20
PIECE_ELEMENTS = 1 << 14
"""So many field elements are split at once: as Python's integers they take ten times what they take as bytes."""
WHOLE = 2
"""Of the replicated engine's components the one that travels whole; the others are expanded from seeds."""


@dataclass(frozen=True)
class Scheme(ABC):
    """How rows become components, and which of them each party holds.

    Attributes:
        cells: of the session's table; 0 where there is none.
    """

    cells: int

    @property
    @abstractmethod
    def components(self) -> int:
        """How many there are."""

    @property
    @abstractmethod
    def row_bytes(self) -> int:
        """Of a row of one component."""

    @abstractmethod
    def held_by(self, party: int) -> tuple[int, ...]:
        """The components that a party holds; at most one of them is whole."""

    @abstractmethod
    def is_whole(self, component: int) -> bool:
        """Whether a component travels whole; the others are expanded from their seeds."""

    @abstractmethod
    def split(self, rows: Array, seeds: Sequence[bytes], own_seed: bytes) -> list[Array]:
        """The components of rows.

        Args:
            rows: (n, words) uint64.
            seeds: of the components.
            own_seed: another one, that the member alone knows.

        Returns:
            For each component (n, row_bytes) uint8.
        """

    @property
    def words(self) -> int:
        """Of a row before it is split: two for the key, then a bit for each cell."""
        return KEY_WORDS + -(-self.cells // 64)

    def due_bytes(self, party: int, rows: int) -> int:
        """How much travels to a party besides seeds."""
        return rows * self.row_bytes if any(map(self.is_whole, self.held_by(party))) else 0


@dataclass(frozen=True)
class Replicated(Scheme):
    """The replicated engine's: three components, of which each party lacks one."""

    @property
    def components(self) -> int:
        """One for each party."""
        return len(PARTIES)

    @property
    def row_bytes(self) -> int:
        """The row's words."""
        return 8 * self.words

    def held_by(self, party: int) -> tuple[int, int]:
        """Its a and its b."""
        return held_by(PARTIES[party])

    def is_whole(self, component: int) -> bool:
        """Two are random."""
        return component == WHOLE

    def split(self, rows: Array, seeds: Sequence[bytes], own_seed: bytes) -> list[Array]:  # noqa: ARG002 - nothing else is random
        """The last one is what the others leave of the rows."""
        masks = (_component(seed).random(rows.shape) for seed in seeds[:WHOLE])
        return [c.view(np.uint8).reshape(len(rows), self.row_bytes) for c in share(rows, *masks)]


@dataclass(frozen=True)
class Shamir(Scheme):
    """The MPyC engine's: a party's component is its Shamir shares of the key and of a 0 or 1 for each cell.

    Attributes:
        parties: m.
        threshold: t.
    """

    parties: int
    threshold: int

    @property
    def components(self) -> int:
        """One for each party."""
        return self.parties

    @property
    def row_bytes(self) -> int:
        """Encoded field elements."""
        return shamir.ELEMENT_BYTES * (1 + self.cells)

    def held_by(self, party: int) -> tuple[int]:
        """Its own."""
        return (party,)

    def is_whole(self, component: int) -> bool:  # noqa: ARG002 - whichever it is
        """All are."""
        return True

    def split(self, rows: Array, seeds: Sequence[bytes], own_seed: bytes) -> list[Array]:  # noqa: ARG002 - they key digests
        """The polynomials are random by the member's own seed."""
        stream, step = Keystream(derive(own_seed, "coefficients")), max(1, PIECE_ELEMENTS // (1 + self.cells))
        components = [np.empty((len(rows), self.row_bytes), np.uint8) for _ in range(self.parties)]
        for start in range(0, len(rows), step):
            values = self._elements(rows[start : start + step])
            coefficients = shamir.field_elements(stream, (self.threshold, *values.shape))
            for component, piece in zip(components, shamir.split(values, coefficients, self.parties), strict=True):
                component[start : start + step] = shamir.encode(piece).reshape(len(piece), self.row_bytes)
        return components

    def _elements(self, rows: Array) -> Array:
        """(n, 1 + cells) object: the key, then 1 for the row's cell and 0 for every other."""
        cells = np.ascontiguousarray(rows[:, KEY_WORDS:]).view(np.uint8)
        bits = np.unpackbits(cells, axis=1, count=self.cells, bitorder="little").astype(object)
        return np.concatenate([shamir.keys_as_elements(rows[:, :KEY_WORDS])[:, None], bits], axis=1)


def scheme_of(manifest: Manifest) -> Scheme:
    """How members share their rows in a session."""
    cells = manifest.statistics.cells if manifest.statistics else 0
    if manifest.engine == Engine.MPYC.value:
        return Shamir(cells, len(manifest.committee), manifest.threshold)
    return Replicated(cells)


# The member's side


@dataclass(frozen=True, repr=False)
class Dealing:
    """What one committee node is sent, and what the member commits to.

    Attributes:
        rows: number of keys.
        seeds: of its components, 16 bytes each.
        whole: the component that travels whole, (n, row_bytes) uint8, or None where it holds none that does.
        digests: of all components, the same for every node.
    """

    rows: int
    seeds: tuple[bytes, ...] = field(repr=False)
    whole: Array | None = field(repr=False)
    digests: tuple[bytes, ...]


def deal(scheme: Scheme, rows: Array, secret: bytes) -> list[Dealing]:
    """Split rows into components.

    The same rows under the same secret are dealt in the same way, so that an upload can be continued after a restart.
    Other rows are dealt independently: two lists that shared their randomness would show in what they differ.

    Args:
        scheme: of the session.
        rows: (n, words) uint64.
        secret: 32 random bytes of the member's own, fresh for each session.

    Returns:
        What each party gets. That of as many as may collude, with the digests, is independent of the rows.

    Raises:
        ValueError: the rows are not of so many words as the scheme's.
    """
    if rows.ndim != 2 or rows.shape[1] != scheme.words or rows.dtype != np.uint64:
        raise ValueError(f"{rows.dtype}{rows.shape} where rows of {scheme.words} words are due")
    info = b"matchbit.v1 dealing" + hashlib.sha256(np.ascontiguousarray(rows).reshape(-1).data).digest()
    drawn = HKDF(hashes.SHA256(), SEED_BYTES * (scheme.components + 1), None, info).derive(secret)
    *seeds, own_seed = (drawn[start : start + SEED_BYTES] for start in range(0, len(drawn), SEED_BYTES))
    components = scheme.split(rows, seeds, own_seed)
    digests = tuple(dealt_digest(seed, c) for seed, c in zip(seeds, components, strict=True))
    dealings = []
    for party in range(scheme.components):
        held = scheme.held_by(party)
        whole = next((components[c] for c in held if scheme.is_whole(c)), None)
        dealings.append(Dealing(len(rows), tuple(seeds[c] for c in held), whole, digests))
    return dealings


def dealt_digest(seed: bytes, component: Array) -> bytes:
    """The 32-byte digest of a component, keyed with what only its holders know.

    The digest is seen by others: in receipts, and by the parties that lack the component. Without the key these could
    check a guess of a short list against it.
    """
    return _digest(seed, [np.ascontiguousarray(component).reshape(-1).view(np.uint8).data])


# A committee node's side


def held_digests(
    scheme: Scheme, party: int, rows: int, seeds: tuple[bytes, ...], whole: Iterable[bytes]
) -> tuple[bytes, ...]:
    """The digests of the components that a committee node was sent, however long they are in little memory.

    Args:
        scheme: of the session.
        party: the node.
        rows: number of keys.
        seeds: of its components.
        whole: the component that travels whole, in pieces; not read where it holds none that does.
    """
    total = rows * scheme.row_bytes
    return tuple(
        _digest(seed, whole if scheme.is_whole(c) else _expanded(seed, total))
        for c, seed in zip(scheme.held_by(party), seeds, strict=True)
    )


def held_by(party: PartyId) -> tuple[int, int]:
    """The components that a party of the replicated engine holds: its a and its b."""
    return int(party), int(party.next)


def fill_share(party: PartyId, share: Share, seeds: tuple[bytes, ...], whole: Iterable[bytes]) -> None:
    """Write what a committee node's replicated engine computes on into a share, from what it was sent.

    Args:
        party: the node.
        share: of (n, words) uint64 zeros, C-contiguous.
        seeds: of components a and b.
        whole: component 2 in pieces; not read at P0.

    Raises:
        ValueError: component 2 has another length.
    """
    for component, seed, array in zip(held_by(party), seeds, (share.a, share.b), strict=True):
        if component == WHOLE:
            _fill(array.reshape(-1).view(np.uint8), whole)
        else:
            _component(seed).xor_into(array)


def whole_component(pieces: Iterable[bytes], rows: int, row_bytes: int) -> Array:
    """A component that travelled whole, as a committee node's MPyC engine computes on it.

    Args:
        pieces: it, in order.
        rows: number of keys.
        row_bytes: of the scheme.

    Returns:
        (rows, row_bytes) uint8.

    Raises:
        ValueError: it has another length.
    """
    component = np.empty((rows, row_bytes), np.uint8)
    _fill(component.reshape(-1), pieces)
    return component


def _fill(array: Array, pieces: Iterable[bytes]) -> None:
    """Write pieces into a flat uint8 array, one after the other, to its end."""
    place = 0
    for piece in pieces:
        end = place + len(piece)
        if end <= array.size:
            array[place:end] = np.frombuffer(piece, np.uint8)
        place = end
    if place != array.size:
        raise ValueError(f"a component has {place} bytes where {array.size} are due")


def _digest(seed: bytes, pieces: Iterable[bytes | memoryview]) -> bytes:
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES, key=derive(seed, "digest", DIGEST_BYTES))
    for piece in pieces:
        digest.update(piece)
    return digest.digest()


def _expanded(seed: bytes, total: int) -> Iterator[memoryview]:
    """So many bytes of a component that is dealt as a seed, in pieces."""
    stream = _component(seed)
    for start in range(0, total, PIECE_BYTES):
        yield stream.random((min(PIECE_BYTES, total - start),), np.uint8).data


def _component(seed: bytes) -> Keystream:
    """The stream of a component that is dealt as a seed."""
    return Keystream(derive(seed, "component"))
