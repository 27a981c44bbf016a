"""Checking Ed25519 signatures, each but once: a session of a thousand members has thousands, due at every call."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

REMEMBERED = 1 << 14
"""Good signatures that are known again: more than those of a thousand members' terms, contributions and receipts."""


class Verifier(Protocol):
    """Whatever checks signatures as a public key does."""

    def verify(self, signature: bytes, data: bytes) -> None:
        """Raise InvalidSignature unless the key has signed the data."""


@dataclass(frozen=True)
class PinnedKey:
    """A public key that knows again what it has checked.

    Attributes:
        signing_key: 32 bytes, public.
    """

    signing_key: bytes

    def verify(self, signature: bytes, data: bytes) -> None:
        """Check a signature.

        Raises:
            InvalidSignature: it is not this key's on the data.
        """
        _verify(self.signing_key, signature, data)


@lru_cache(REMEMBERED)
def _verify(key: bytes, signature: bytes, data: bytes) -> None:
    """What is good once is good for ever, whichever files change, since key, signature and data are compared whole."""
    Ed25519PublicKey.from_public_bytes(key).verify(signature, data)
