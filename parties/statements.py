"""What parties sign in a session besides its terms: what a member contributes, who holds it, what has been computed.

A signature is Ed25519 over a canonical encoding that begins with the statement's kind, so that no signature on one kind
of statement is one on another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from parties.errors import InputError
from parties.signatures import Verifier

REMEMBERED = 1 << 12
"""Statements that are known again by their text: a session of a thousand members has four thousand."""


@dataclass(frozen=True)
class Statement:
    """A signed statement.

    Attributes:
        session_id: 32 bytes.
        name: of the node that signs.
        signature: 64 bytes, or empty before it is signed.
    """

    KIND: ClassVar[str]
    session_id: bytes
    name: str
    signature: bytes = b""

    @cached_property
    def signed_bytes(self) -> bytes:
        """What the signature is over."""
        content = self._content()
        del content["signature"]
        return f"matchbit.v1 {self.KIND}\0".encode() + _json(content)

    @cached_property
    def digest(self) -> bytes:
        """32 bytes: the SHA-256 of what is signed."""
        return hashlib.sha256(self.signed_bytes).digest()

    def signed(self, key: Ed25519PrivateKey) -> Self:
        """The same, signed."""
        return replace(self, signature=key.sign(self.signed_bytes))

    def check(self, key: Verifier) -> None:
        """Check the signature.

        Raises:
            InputError: it is not that of the node's pinned key.
        """
        try:
            key.verify(self.signature, self.signed_bytes)
        except InvalidSignature:
            raise InputError(f"A {self.KIND} in the name of {self.name} is not signed by its pinned key.") from None

    def to_text(self) -> str:
        """As it is stored."""
        return _json(self._content()).decode()

    @classmethod
    @lru_cache(REMEMBERED)
    def from_text(cls, text: str) -> Self:
        """The way back from `to_text`."""
        return cls(**{name: _read(value) for name, value in json.loads(text).items()})

    def _content(self) -> dict[str, Any]:
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


@dataclass(frozen=True)
class Commitment(Statement):
    """A member's statement on what it contributes; see session.proto.

    Attributes:
        records: rows of its list.
        new_records: rows that were in no session that it has had results of.
        keys: number of distinct keys, and under a similar rule of the rows of 16 bytes that its records are.
        digests: of the components in their order, 32 bytes each, keyed with what only each one's holders know.
    """

    KIND = "commitment"
    records: int = 0
    new_records: int = 0
    keys: int = 0
    digests: tuple[bytes, ...] = ()

    def facts(self) -> dict[str, str | int]:
        """What an audit log tells of it."""
        counts = {"records": self.records, "new_records": self.new_records, "keys": self.keys}
        return {"member": self.name, "commitment": self.digest.hex(), **counts}


@dataclass(frozen=True)
class Receipt(Statement):
    """A committee node's statement that it holds a member's shares; see session.proto.

    Attributes:
        member: whose.
        commitment: 32 bytes: the digest of the member's commitment.
    """

    KIND = "receipt"
    member: str = ""
    commitment: bytes = b""


@dataclass(frozen=True)
class Completion(Statement):
    """A committee node's statement that it has computed an attempt; see session.proto.

    Attributes:
        attempt: its number.
        contributions: 32 bytes: what `contributions` makes of the commitments that it computed on.
    """

    KIND = "completion"
    attempt: int = 0
    contributions: bytes = b""


def contributions(commitments: Iterable[Commitment]) -> bytes:
    """32 bytes that stand for all commitments that are computed on, in any order."""
    return hashlib.sha256(b"".join(sorted(c.digest for c in commitments))).digest()


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    """Bytes as {"hex": …}, so that they are told from text."""
    match value:
        case bytes():
            return {"hex": value.hex()}
        case tuple():
            return [_plain(v) for v in value]
        case _:
            return value


def _read(value: Any) -> Any:
    match value:
        case {"hex": digits}:
            return bytes.fromhex(digits)
        case list():
            return tuple(_read(v) for v in value)
        case _:
            return value
