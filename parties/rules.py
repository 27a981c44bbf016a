"""Matching rules: which fields of a row must agree, and the key that stands for them. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from parties import normalise

KEY_BYTES = 16
MAX_FIELDS = 16


@dataclass(frozen=True)
class Rule:
    """Rows match when all of these fields agree.

    Attributes:
        name: shown to people in `matched_on`.
        fields: headings of the list.
    """

    name: str
    fields: tuple[str, ...]


def canonical(values: Sequence[str]) -> bytes | None:
    """The canonical bytes of a rule's fields in one row, or None where a field is empty.

    Every field is preceded by its length, so that no two different rows share canonical bytes.
    """
    parts = [normalise.text(value).encode("utf-8", "surrogatepass") for value in values]
    if not all(parts):
        return None
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


class KeyMaker:
    """Makes a rule's keys in one session.

    A key is the keyed BLAKE2b-128 of the canonical bytes: the session id is its key; the rule's name and the version
    of the normalisation are its personalisation. Equal canonical bytes give equal keys within a rule and a session
    only. A key is as guessable as what it was made of: it never leaves the member except as shares.
    """

    def __init__(self, session_id: bytes, rule: Rule) -> None:
        purpose = f"{normalise.VERSION}\0{rule.name}".encode()
        person = hashlib.blake2b(purpose, digest_size=16).digest()
        self._keyed = hashlib.blake2b(digest_size=KEY_BYTES, key=session_id, person=person)

    def key(self, canonical_bytes: bytes) -> bytes:
        """16 bytes."""
        keyed = self._keyed.copy()
        keyed.update(canonical_bytes)
        return keyed.digest()
