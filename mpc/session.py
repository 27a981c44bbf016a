"""A party's view of one attempt of one session: who it is, its channel, its keys, where in the protocol it is.

Every message carries a 16-byte AES-GMAC authenticator under a key of the two parties, over the step label and the
payload. A message that was changed, cut, moved to another step or kept from another attempt is refused by name at
once: without this a flipped bit in a multiplication would silently spoil matches, since a semi-honest protocol does
not notice. The nonce is a digest of the label, which the mailbox and the PRSS guard keep unique.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mpc.channel import MAX_MESSAGE_BYTES, Channel
from mpc.committee import PARTIES, PartyId
from mpc.errors import IntegrityError, PeerError
from mpc.prss import KEY_BYTES, Prss, derive
from mpc.replicated import Array

TAG_BYTES = 16


@dataclass(frozen=True, repr=False)
class Links:
    """A party's authenticated links to all others.

    Attributes:
        party: who I am.
        channel: how I reach the others.
        mac_keys: for each peer the keys (sending, receiving) that authenticate messages.
        step: label of the step that the protocol is in.
    """

    party: int
    channel: Channel
    mac_keys: dict[int, tuple[bytes, bytes]]
    step: str = ""

    @property
    def peers(self) -> tuple[int, ...]:
        """All others, in the order of their numbers."""
        return tuple(sorted(self.mac_keys))

    def at(self, step: str) -> Self:
        """The same links one step further down in the protocol; labels nest with slashes."""
        return replace(self, step=f"{self.step}/{step}" if self.step else step)

    def send(self, peer: int, array: Array) -> None:
        """Send a C-contiguous array to a peer under this step's label, as messages of at most 1 MiB."""
        flat = array.reshape(-1).view(np.uint8)
        for label, part in self._parts(flat.size):
            self.channel.send(peer, label, flat[part].data, _tag(self.mac_keys[peer][0], label, flat[part].data))

    def receive(self, peer: int, shape: tuple[int, ...], dtype: npt.DTypeLike = np.uint64) -> Array:
        """The array of exactly this shape and dtype that the peer sent under this step's label.

        Returns:
            The array, not to be written to: of a single message it is a view, wherever in memory that begins.

        Raises:
            PeerError: nothing came in time, the length is wrong, or the message is not authentic.
        """
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if 0 < size <= MAX_MESSAGE_BYTES:
            return np.frombuffer(self._payload(peer, f"{self.step}#0", size), dtype).reshape(shape)
        array: Array = np.empty(shape, dtype)
        flat = array.reshape(-1).view(np.uint8)
        for label, part in self._parts(size):
            flat[part] = np.frombuffer(self._payload(peer, label, part.stop - part.start), np.uint8)
        return array

    def _payload(self, peer: int, label: str, size: int) -> memoryview:
        """What a message says, once it is known to be the peer's."""
        message = memoryview(self.channel.receive(peer, label))
        if len(message) != size + TAG_BYTES:
            raise PeerError(peer, label, "malformed", f"{len(message) - TAG_BYTES} bytes where {size} are due")
        payload = message[:size]
        if not bytes_eq(_tag(self.mac_keys[peer][1], label, payload), bytes(message[size:])):
            raise PeerError(peer, label, "malformed", "the message is not authentic")
        return payload

    def _parts(self, size: int) -> Iterator[tuple[str, slice]]:
        """The label and place of each message of so many bytes."""
        for k, start in enumerate(range(0, size, MAX_MESSAGE_BYTES)):
            yield f"{self.step}#{k}", slice(start, min(start + MAX_MESSAGE_BYTES, size))


def _tag(key: bytes, label: str, payload: bytes | memoryview) -> bytes:
    """The AES-128-GMAC of a payload, with a nonce made of the label."""
    nonce = hashlib.blake2b(label.encode(), digest_size=12).digest()
    return AESGCM(key).encrypt(nonce, b"", payload)


@dataclass(frozen=True, repr=False)
class Session(Links):
    """What the protocols of three parties on a ring are given.

    Attributes:
        party: who I am.
        prss: randomness shared with my neighbours.
    """

    party: PartyId
    prss: Prss = field(kw_only=True)


def open_session(party: PartyId, channel: Channel, private_key: X25519PrivateKey, context: bytes) -> Session:
    """Agree fresh keys with both neighbours and return the session they open.

    Args:
        party: who I am.
        channel: as for `agree_keys`.
        private_key: the same.
        context: the same.

    Cost: 1 round; 192 B in all.
    Reveals: nothing.
    Raises: PeerError.
    """
    keys = agree_keys(party, len(PARTIES), channel, private_key, context)
    prss = Prss(keys[party.previous], keys[party.next])
    return Session(party, channel, authenticators(party, keys), prss=prss)


def open_links(party: int, parties: int, channel: Channel, private_key: X25519PrivateKey, context: bytes) -> Links:
    """Agree fresh keys with all others, however many, and return the links that they authenticate.

    Cost: 1 round; 32 B from each party to each other.
    Reveals: nothing.
    Raises: PeerError.
    """
    keys = agree_keys(party, parties, channel, private_key, context)
    return Links(party, channel, authenticators(party, keys))


def authenticators(party: int, keys: dict[int, bytes]) -> dict[int, tuple[bytes, bytes]]:
    """For each peer the keys (sending, receiving) that authenticate messages."""
    return {p: (derive(k, f"mac {party}"), derive(k, f"mac {p}")) for p, k in keys.items()}


def agree_keys(
    party: int, parties: int, channel: Channel, private_key: X25519PrivateKey, context: bytes
) -> dict[int, bytes]:
    """Agree a fresh key with each peer.

    A key is the HKDF-SHA256 of the X25519 secret of two parties, bound to both their numbers and public keys, so that a
    party that passes another one's off as its own makes no two keys equal. It never crosses the wire. A public key that
    was changed on the way shows in the first authenticated message.

    Args:
        party: who I am.
        parties: how many we are.
        channel: to the others, already bound to their identities by its transport.
        private_key: fresh for this attempt.
        context: public and the same at all parties: session id and attempt, so that no key serves two attempts.

    Source: RFC 7748 (X25519; its section 7 on public keys), RFC 5869 (HKDF).
    """
    own, peers = private_key.public_key().public_bytes_raw(), [(party - k) % parties for k in range(1, parties)]
    for peer in peers:
        channel.send(peer, "keys", own)
    keys = {}
    for peer in peers:
        theirs = bytes(channel.receive(peer, "keys"))
        if len(theirs) != len(own):
            raise PeerError(peer, "keys", "malformed", f"{len(theirs)} bytes where {len(own)} are due")
        try:
            secret = private_key.exchange(X25519PublicKey.from_public_bytes(theirs))
        except ValueError:
            raise PeerError(peer, "keys", "malformed", "not a usable public key") from None
        pair = bytes([peer, party]) + theirs + own if peer < party else bytes([party, peer]) + own + theirs
        keys[peer] = HKDF(hashes.SHA256(), KEY_BYTES, context, b"matchbit.v1 prss" + pair).derive(secret)
    return keys


def terms_digest(*public: object) -> Array:
    """(32,) uint8: what stands for public terms, which are the same where all of them print alike."""
    return np.frombuffer(hashlib.blake2b(repr(public).encode(), digest_size=32).digest(), np.uint8)


def compare(links: Links, digest: Array, what: str) -> None:
    """Go on only when all parties are at this step with the same digest.

    Args:
        links: at a step of its own.
        digest: (32,) uint8.
        what: what it says of a party that has another one: "other terms".

    Cost: 1 round; 32 B from each party to each other.
    Reveals: the digest, to all parties.
    Raises: PeerError; IntegrityError that names the first party with another digest.
    """
    for peer in links.peers:
        links.send(peer, digest)
    for peer in links.peers:
        if not np.array_equal(links.receive(peer, digest.shape, np.uint8), digest):
            raise IntegrityError(links.step, what, (peer,))
