"""An alternative to blocks of chosen fields, measured beside them: bands of MinHash over weighted q-grams.

A record is a set of tokens, each tagged with its field and taken as often as it weighs: pairs of neighbouring letters
of how names and places sound, parts of the birth date with day and month unordered and neighbouring years, fragments
of phone and identity number. The smallest of all tokens' hashes is the same for two records with the probability of
what they share of their tokens; a band's key joins a few of such smallest ones.

Source: Broder, "On the resemblance and containment of documents", SEQUENCES 1997.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from itertools import chain

import numpy as np

from mpc.replicated import Array
from parties.sounds import sounds
from tests.quality.evaluate import canonical
from tests.quality.samples import Sample

_COLUMNS = {
    "name": "full_name", "born": "birth_date", "sex": "sex", "place": "admin2", "phone": "phone",
    "id": "id_number:number",
}  # fmt: skip
_WEIGHTS = {"name": 2, "year": 3, "day": 3, "sex": 1, "place": 1, "phone": 1, "id": 1}
"""How often a token of each kind is taken."""
_CHUNK = 4096
_ODD = np.uint64(0x9E3779B97F4A7C15)


def keys(sample: Sample, bands: int, rows: int) -> Array:
    """Blocking keys by bands of `rows` hashes.

    Returns:
        (n, bands, 2) uint64, list after list.
    """
    known: dict[str, int] = {}
    of_record = [
        [known.setdefault(token, len(known)) for token in _tokens(row)]
        for side in range(len(sample.paths))
        for row in canonical(sample, side, _COLUMNS).to_pylist()
    ]
    hashed = np.frombuffer(b"".join(hashlib.blake2b(t.encode(), digest_size=8).digest() for t in known), np.uint64)
    seeds = _mixed(np.arange(1, bands * rows + 1, dtype=np.uint64) * _ODD)
    chunks = (of_record[k : k + _CHUNK] for k in range(0, len(of_record), _CHUNK))
    smallest = np.concatenate([_smallest(chunk, hashed, seeds) for chunk in chunks])
    by_band = smallest.reshape(len(of_record), bands, rows)
    places = np.arange(rows, dtype=np.uint64)
    halves = [_mixed(by_band + places * _ODD + np.uint64(half)).sum(axis=2, dtype=np.uint64) for half in (0, 1)]
    return np.stack(halves, axis=2) + np.arange(bands, dtype=np.uint64)[None, :, None]


def _tokens(row: Mapping[str, str | None]) -> Iterator[str]:
    value = {name: row[name] or "" for name in _COLUMNS}
    born = value["born"]
    parts = {
        "name": _grams(value["name"]),
        "year": [born[:4], str(int(born[:4]) + 1)] if born else [],
        "day": [part for part in born[5:].split("-") if part],
        "sex": [value["sex"]] if value["sex"] else [],
        "place": _grams(value["place"]),
        "phone": [value["phone"][-8:][k : k + 3] + str(k) for k in range(6)] if value["phone"] else [],
        "id": [value["id"][k : k + 3] for k in range(max(0, len(value["id"]) - 2))],
    }
    yield "any"  # so that no record is without tokens
    for kind, tokens in parts.items():
        yield from (f"{kind} {token} {copy}" for token in tokens for copy in range(_WEIGHTS[kind]))


def _grams(words: str) -> list[str]:
    marked = (f"^{word}$" for word in sounds(words).split())
    return list(chain.from_iterable((word[k : k + 2] for k in range(len(word) - 1)) for word in marked))


def _smallest(of_record: list[list[int]], hashed: Array, seeds: Array) -> Array:
    """(records, hashes) uint64: of each record's tokens, under each hash."""
    tokens = np.fromiter(chain.from_iterable(of_record), np.int64)
    counts = np.fromiter(map(len, of_record), np.int64)
    distinct, which = np.unique(tokens, return_inverse=True)
    table = _mixed(hashed[distinct][:, None] ^ seeds)
    smallest: Array = np.minimum.reduceat(table[which], np.cumsum(counts) - counts, axis=0)
    return smallest


def _mixed(words: Array) -> Array:
    """A permutation of 64-bit words in which every bit depends on all: splitmix64's."""
    mixed: Array = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
