"""From a list to what is uploaded: rows → keys → shares.

Keys are distinct within a member; `key_of` remembers which key stands for which row and rule, so that results can be
brought back to rows. It stays with the member.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mpc.committee import PARTIES, PartyId
from mpc.prss import expand
from mpc.replicated import Array, Share, share
from mpc.reveal import digest
from parties.errors import InputError
from parties.manifest import Manifest
from parties.records import SourceList
from parties.rules import KeyMaker, Rule, canonical

SEED_BYTES = 16
SEEDED = (0, 1)
"""Components that are expanded from seeds; component 2 travels whole."""


@dataclass(frozen=True)
class Keys:
    """A list's keys in one session; secret.

    Attributes:
        keys: (n, 2) uint64: 16 bytes a key, distinct.
        key_of: for each rule an int32 array (rows,): the place of the row's key in `keys`, -1 where it has none.
    """

    keys: Array
    key_of: tuple[Array, ...]

    @property
    def rows(self) -> int:
        """Rows of the list."""
        return len(self.key_of[0])


def make_keys(
    source: SourceList, session_id: bytes, rules: tuple[Rule, ...], progress: Callable[[int], None] = lambda _: None
) -> Keys:
    """Derive the keys of every row of a list under every rule.

    Args:
        source: the list.
        session_id: 32 bytes.
        rules: of the session.
        progress: told the number of rows read, now and then.

    Raises:
        InputError: the list cannot be read, or lacks a rule's column.
    """
    makers = [(KeyMaker(session_id, rule), source.columns(rule)) for rule in rules]
    place: dict[bytes, int] = {}
    key_of: list[list[int]] = [[] for _ in rules]
    for number, row in enumerate(source.rows(), 1):
        for (maker, columns), places in zip(makers, key_of, strict=True):
            agreed = canonical([row[k] for k in columns])
            places.append(-1 if agreed is None else place.setdefault(maker.key(agreed), len(place)))
        if number % 20_000 == 0:
            progress(number)
    keys = np.frombuffer(b"".join(place), np.uint64).reshape(-1, 2)
    return Keys(keys, tuple(np.array(p, np.int32) for p in key_of))


def check_limits(manifest: Manifest, keys: Keys, source: SourceList) -> None:
    """Refuse what the terms do not allow, before anything leaves the member.

    Raises:
        InputError: more rows than the terms allow, or no usable row.
    """
    if keys.rows > manifest.max_records:
        raise InputError(
            f"{source.path} has {keys.rows} rows; the session allows {manifest.max_records} per member. Shorten the "
            "list, or ask the coordinator for a session with a higher `max_records`."
        )
    if len(keys.keys) == 0:
        needed = "; ".join(f"{r.name}: {', '.join(r.fields)}" for r in manifest.rules)
        raise InputError(f"No row of {source.path} has all fields of any rule ({needed}); there is nothing to compare.")


@dataclass(frozen=True)
class Dealing:
    """What one committee node is sent, and what it must acknowledge.

    Attributes:
        rows: number of keys.
        seeds: of its components a and b; empty for the one that travels whole.
        whole: the other component, (n, 2) uint64, or None at P0, which gets two seeds.
        digests: of its components a and b.
    """

    rows: int
    seeds: tuple[bytes, bytes]
    whole: Array | None
    digests: tuple[bytes, bytes]


def deal_keys(keys: Array) -> list[Dealing]:
    """Split keys into shares with fresh randomness of the operating system.

    Args:
        keys: (n, 2) uint64.

    Returns:
        What P0, P1 and P2 get. Any one of them alone is independent of the keys.
    """
    seeds = [os.urandom(SEED_BYTES) for _ in SEEDED] + [b""]
    components = share(keys, expand(seeds[0], keys.shape), expand(seeds[1], keys.shape))
    digests = [digest(c).tobytes() for c in components]
    dealings = []
    for party in PARTIES:
        a, b = int(party), int(party.next)
        whole = components[2] if 2 in (a, b) else None
        dealings.append(Dealing(len(keys), (seeds[a], seeds[b]), whole, (digests[a], digests[b])))
    return dealings


def needs_whole(party: PartyId) -> bool:
    """Whether a party gets component 2, which travels whole."""
    return 2 in (int(party), int(party.next))


def expand_share(rows: int, seeds: tuple[bytes, bytes], whole: Array | None) -> Share:
    """The share that a committee node computes on, from what it was sent."""
    a, b = (expand(seed, (rows, 2)) if seed else whole for seed in seeds)
    if a is None or b is None:
        raise ValueError("a component without a seed travels whole")
    return Share(a, b)
