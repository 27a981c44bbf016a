"""From a list's fields to its records under a similar rule: blocking keys and a comparison vector for each row. Pure.

A blocking key stands for one value of each of a block's fields. It is the sum of their digests, keyed by the session,
so that equal values give equal keys at every member, and in no other session. A sum is faster than a digest of all, and
does as well: that one be made up to equal another is nothing to fear of a member, who may give any key. Of more values
than a block has keys for, the smallest keys are kept, which are the same ones everywhere. Keys that a record lacks are
fillers, which nobody else has. `mpc.linkage` has the layout of vectors. All of it is secret and leaves a member as
shares only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from mpc import matching
from mpc.linkage import CHARACTER_BITS, CHARACTERS, DIGEST_BITS, MONTH_BITS, VALUE_BITS, YEAR_BITS, Comparison, Kind
from mpc.prss import expand
from mpc.replicated import Array
from mpc.similar import places
from parties import normalise
from parties.fields import FieldBatch
from parties.findings import Finding, Severity
from parties.rules import KEY_BYTES
from parties.similar import BlockUse, Similar
from parties.sounds import sounds, word_filter

MAX_CHOICES = 64
"""Of the values of a block's first fields together: of more, those with the smallest digests are kept."""
_REMEMBERED = 1 << 17
_DECIMALS, _OTHERS = "0123456789", "abcdef"
"""Hexadecimal digits: those that stand for themselves, and those for letters."""


class Records:
    """Gathers the records of a list, batch by batch.

    Args:
        session_id: 32 bytes.
        similar: the session's similar rule.
        filler_key: the member's own, at most 64 bytes; the same key, list and session give the same fillers.
    """

    def __init__(self, session_id: bytes, similar: Similar, filler_key: bytes) -> None:
        self._similar, self._linkage = similar, similar.linkage
        self._seed = hashlib.blake2b(session_id, digest_size=16, key=filler_key, person=b"fillers").digest()
        purpose = hashlib.blake2b(f"{normalise.VERSION}\0similar".encode(), digest_size=16).digest()
        keyed = hashlib.blake2b(digest_size=KEY_BYTES, key=session_id, person=purpose)
        uses = dict.fromkeys(use for block in similar.blocks for use in block.uses)
        self._digests = {use: _digests(use, keyed) for use in uses}
        self._vectors = [_vector(comparison) for comparison in self._linkage.comparisons]
        self._batches: list[tuple[Array, Array, Array]] = []

    def take(self, read: Mapping[str, FieldBatch], rows: int) -> None:
        """Add a batch's rows.

        Args:
            read: each field that the list has.
            rows: of the batch.
        """
        choices = {
            use: _choices(read[use.use.field], make) for use, make in self._digests.items() if use.use.field in read
        }
        keys, kept = np.zeros((rows, self._linkage.keys, 2), np.uint64), np.zeros((rows, self._linkage.keys), bool)
        start = 0
        for block in self._similar.blocks:
            if all(use in choices for use in block.uses):
                _put(_combined([choices[use] for use in block.uses]), block.keys, keys[:, start:], kept[:, start:])
            start += block.keys
        self._batches.append((keys, kept, self._compared(read, rows)))

    def _compared(self, read: Mapping[str, FieldBatch], rows: int) -> Array:
        """(rows, words) uint64: comparison vectors."""
        words = np.zeros((rows, self._linkage.words), np.uint64)
        layout = zip(self._vectors, self._linkage.comparisons, self._linkage.starts, strict=True)
        for compared, (vector, comparison, start) in zip(self._similar.comparisons, layout, strict=True):
            if compared.field in read:
                batch, (first, shift) = read[compared.field], divmod(start, 64)
                width = -(-(shift + comparison.bits) // 64)
                whole = b"".join((vector(n.values) << shift).to_bytes(8 * width, "little") for n in batch.normals)
                words[:, first : first + width] |= np.frombuffer(whole, np.uint64).reshape(-1, width)[batch.codes]
        return words

    def array(self) -> Array:
        """The records.

        Returns:
            (rows, record_words) uint64: blocking keys, fillers among them, then the vector, without a member's number.
        """
        whole = self._whole
        mixed = np.where(whole.given[:, :, None], whole.keys, expand(self._seed, whole.keys.shape))
        return np.concatenate([mixed.reshape(len(mixed), 2 * self._linkage.keys), whole.vectors], axis=1)

    @property
    def usable(self) -> Array:
        """(rows,) bool: whether a row has a blocking key that not too many share."""
        return np.asarray((self._whole.given & ~self._whole.crowded).any(axis=1))

    def findings(self) -> Iterator[Finding]:
        """What a person should know of the list's records, after all batches."""
        most, partly = self._similar.largest_group, self._whole.crowded.any(axis=1)
        if partly.any():
            alone = int((partly & ~self.usable).sum())
            text = (
                f"{int(partly.sum()):,} rows share a blocking key with more than {most} rows of this list, so the "
                "similar rule does not compare them under this key; "
                f"{f'{alone:,} of them have no other' if alone else 'all of them have others'}."
            )
            yield Finding(Severity.NOTE, text)
        for field, rows in self._whole.common.items():
            text = (
                f"{rows:,} rows have a value of `{field}` that more than {most} rows of this list have, so it counts "
                "nothing for the similar rule."
            )
            yield Finding(Severity.NOTE, text)

    @cached_property
    def _whole(self) -> _Whole:
        if not self._batches:
            self.take({}, 0)
        keys, kept, vectors = (np.concatenate(arrays) for arrays in zip(*self._batches, strict=True))
        self._batches.clear()
        crowded, given = np.zeros_like(kept), np.zeros_like(kept)
        if kept.any():
            most, groups = self._similar.largest_group, matching.group(keys[kept])
            crowded[kept] = groups.spread(groups.sizes > most)
            starts = np.cumsum(groups.sizes) - groups.sizes
            given[kept] = groups.at_rows(np.arange(len(groups.order)) - starts[groups.number] < most)
        return _Whole(keys, given, crowded, vectors, self._forget_common(vectors))

    def _forget_common(self, vectors: Array) -> dict[str, int]:
        """Take numbers that too many rows have out of vectors, a camp's phone: by field, of how many rows."""
        found = {}
        layout = zip(self._linkage.comparisons, self._linkage.starts, strict=True)
        for compared, (comparison, start) in zip(self._similar.comparisons, layout, strict=True):
            if comparison.kind is Kind.NUMBER and len(vectors):
                first, shift = divmod(start, 64)
                mask = ((1 << comparison.bits) - 1 << shift).to_bytes(8 * -(-(shift + comparison.bits) // 64), "little")
                bits = np.frombuffer(mask, np.uint64)
                here = vectors[:, first : first + len(bits)]
                values = np.ascontiguousarray(here & bits).view(f"V{len(mask)}").reshape(-1)
                _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
                common = (counts[which] > self._similar.largest_group) & (here & bits).any(axis=1)
                here[common] &= ~bits
                if common.any():
                    found[compared.field] = int(common.sum())
        return found


class _Whole(NamedTuple):
    """All rows.

    Attributes:
        keys: (rows, keys, 2) uint64.
        given: (rows, keys) bool: which of them are no fillers. Of a key that too many rows share, as many as are
            compared: were all left out, one record more or less would change what the committee sees of many, and
            dummies would not hide it.
        crowded: (rows, keys) bool: which of them too many rows share.
        vectors: (rows, words) uint64.
        common: by field of how many rows a value was taken out of them, since too many rows have it.
    """

    keys: Array
    given: Array
    crowded: Array
    vectors: Array
    common: Mapping[str, int]


# Blocking keys


class _Choices(NamedTuple):
    """Digests of each row, row after row.

    Attributes:
        counts: (rows,) of each row.
        digests: (sum of counts, 2) uint64.
    """

    counts: Array
    digests: Array


def _digests(use: BlockUse, keyed: hashlib.blake2b) -> Callable[[tuple[str, ...]], bytes]:
    """What makes the digests, 16 bytes each, of a cell's values as a block uses them."""
    shown = f"{':'.join((use.use.field, *use.use.transforms))}:{use.several}\0".encode()

    @lru_cache(_REMEMBERED)
    def digest(form: str) -> bytes:
        of_form = keyed.copy()
        of_form.update(shown + form.encode("utf-8", "surrogatepass"))
        return of_form.digest()

    def digests(values: tuple[str, ...]) -> bytes:
        return b"".join(map(digest, dict.fromkeys(form for value in values for form in use.apply(value))))

    return digests


def _choices(batch: FieldBatch, make: Callable[[tuple[str, ...]], bytes]) -> _Choices:
    digests = [make(normal.values) for normal in batch.normals]
    counts = np.array([len(d) // KEY_BYTES for d in digests], np.int64)
    table = np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2)
    of_row = counts[batch.codes]
    return _limited(_Choices(of_row, table[places((np.cumsum(counts) - counts)[batch.codes], of_row)]), MAX_CHOICES)


def _combined(fields: Sequence[_Choices]) -> _Choices:
    """The sums of one digest of each field."""
    sums = fields[0]
    for more in fields[1:]:
        rows = np.repeat(np.arange(len(sums.counts)), sums.counts)
        theirs = more.counts[rows]
        starts = (np.cumsum(more.counts) - more.counts)[rows]
        digests = np.repeat(sums.digests, theirs, axis=0) + more.digests[places(starts, theirs)]
        sums = _limited(_Choices(sums.counts * more.counts, digests), MAX_CHOICES)
    return sums


def _limited(choices: _Choices, most: int) -> _Choices:
    """At most so many of each row: the smallest."""
    if choices.counts.max(initial=0) <= most:
        return choices
    rows = np.repeat(np.arange(len(choices.counts)), choices.counts)
    order = np.lexsort((choices.digests[:, 0], rows))
    fewer = np.minimum(choices.counts, most)
    return _Choices(fewer, choices.digests[order[places(np.cumsum(choices.counts) - choices.counts, fewer)]])


def _put(choices: _Choices, most: int, keys: Array, kept: Array) -> None:
    """Put each row's smallest keys in their places."""
    fewer = _limited(choices, most)
    rows = np.repeat(np.arange(len(fewer.counts)), fewer.counts)
    slots = places(np.zeros_like(fewer.counts), fewer.counts)
    keys[rows, slots] = fewer.digests
    kept[rows, slots] = True


# Comparison vectors


def _vector(comparison: Comparison) -> Callable[[tuple[str, ...]], int]:
    """What makes a comparison's bits, as one number, of a cell's values."""
    kind, most, size = comparison.kind, comparison.values, 1 + VALUE_BITS[comparison.kind]
    value_bits = _VALUE_BITS[kind]

    def vector(values: tuple[str, ...]) -> int:
        chosen = _words(values, most) if kind is Kind.NAMES else values[:most]
        return sum((1 | value_bits(value) << 1) << k * size for k, value in enumerate(chosen))

    return vector


def _words(names: tuple[str, ...], most: int) -> list[str]:
    """The codes of distinct words in their order; of too many all but the last are the first."""
    words = list(dict.fromkeys(word for name in names for word in sounds(name).split()))
    return words if len(words) <= most else [*words[: most - 1], words[-1]]


def _date(iso: str) -> int:
    year, month, day = int(iso[:4]), int(iso[5:7] or 1), int(iso[8:] or 1)
    return year % (1 << YEAR_BITS) | month << YEAR_BITS | day << YEAR_BITS + MONTH_BITS


def _number(value: str) -> int:
    """The last characters behind the last colon, four bits each, the last one in the lowest bits."""
    characters = value.rpartition(":")[2]
    if not (characters.isascii() and characters.isdecimal()):
        characters = "".join(map(_digit, filter(str.isalnum, characters)))
    return int(characters[-CHARACTERS:] or "0", 1 << CHARACTER_BITS)


@lru_cache(1 << 10)
def _digit(character: str) -> str:
    """A digit is itself; a letter is one of those that are left, hashed."""
    return character if character in _DECIMALS else _OTHERS[_hashed(character) % len(_OTHERS)]


def _text(value: str) -> int:
    """The codes of a text's words as one: where words end differs from list to list."""
    return word_filter(sounds(value).replace(" ", ""), VALUE_BITS[Kind.TEXT])


def _digest(value: str) -> int:
    return _hashed(value) % (1 << DIGEST_BITS)


def _hashed(value: str) -> int:
    return int.from_bytes(hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


_VALUE_BITS: Mapping[Kind, Callable[[str], int]] = {
    Kind.NAMES: lambda code: word_filter(code, VALUE_BITS[Kind.NAMES]),
    Kind.DATE: _date,
    Kind.NUMBER: _number,
    Kind.TEXT: _text,
    Kind.EXACT: _digest,
}
"""The bits of a canonical value; of names the word's code."""
