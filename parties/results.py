"""Results, at their member only: recombination of the two parts, the result sheet, the summary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from mpc.matching import Reveal
from mpc.replicated import Array
from parties.contribution import Keys
from parties.errors import ResultError
from parties.manifest import Manifest

REVIEW = "A match is a reason to look, never by itself a reason to exclude anyone."


def value_type(reveal: str, members: int) -> tuple[np.dtype[np.uint8 | np.uint16 | np.uint64], tuple[int, ...]]:
    """The dtype and shape of one key's value, as the committee nodes send their parts of it."""
    match Reveal(reveal):
        case Reveal.FLAG:
            return np.dtype(np.uint8), ()
        case Reveal.COUNT:
            return np.dtype(np.uint16), ()
        case Reveal.MEMBERS:
            return np.dtype(np.uint64), (-(-members // 64),)


def recombine(manifest: Manifest, member: str, parts: list[bytes], keys: int) -> Array:
    """Which members hold each key, or how many, from two committee nodes' parts.

    Args:
        manifest: the session's terms.
        member: whose result it is.
        parts: two, as fetched.
        keys: number of the member's keys.

    Returns:
        (keys,) uint8 or uint16, or (keys, words) uint64: see `mpc.matching.Reveal`.

    Raises:
        ResultError: a part has the wrong length, or the values are impossible: a node sent something else.
    """
    dtype, shape = value_type(manifest.reveal, len(manifest.members))
    length = keys * int(np.prod(shape, dtype=int)) * dtype.itemsize
    for node, part in zip(manifest.committee, parts, strict=False):
        if len(part) != length:
            raise ResultError(f"{node} sent a result of {len(part)} bytes where {length} are due; ask its operator.")
    arrays = [np.frombuffer(part, dtype).reshape(keys, *shape) for part in parts]
    values: Array = arrays[0] ^ arrays[1]
    if not _is_possible(manifest, member, values):
        nodes = " and ".join(manifest.committee[:2])
        raise ResultError(
            f"The parts that {nodes} sent do not make a result: one of them sent something else, or another member "
            "named a person twice. Tell the coordinator; this result cannot be used."
        )
    return values


def _is_possible(manifest: Manifest, member: str, values: Array) -> bool:
    members = len(manifest.members)
    match Reveal(manifest.reveal):
        case Reveal.FLAG:
            return bool(np.all(values <= 1))
        case Reveal.COUNT:
            return bool(np.all(values < members))
        case Reveal.MEMBERS:
            others = [m for m, name in enumerate(manifest.members) if name != member]
            allowed = np.zeros(values.shape[1], np.uint64)
            for m in others:
                allowed[m // 64] |= np.uint64(1) << np.uint64(m % 64)
            return not np.any(values & ~allowed)


@dataclass(frozen=True)
class Summary:
    """What a member learned, in numbers.

    Attributes:
        session: title.
        member: whose result it is.
        rows: of the list.
        matched: rows that another member has too.
        not_compared: rows without any usable key.
        matched_by_rule: rows matched on each rule.
        unusable_by_rule: rows that lack a field of each rule.
        same_inside: rows that share a key with an earlier row of the same list.
    """

    session: str
    member: str
    rows: int
    matched: int
    not_compared: int
    matched_by_rule: dict[str, int]
    unusable_by_rule: dict[str, int]
    same_inside: int

    def to_json(self) -> dict[str, object]:
        """As one JSON object."""
        return asdict(self)

    def to_text(self) -> str:
        """As a table for people."""
        lines = [f"{self.member}: {self.session}", f"  {'rows':<28}{self.rows:>10}"]
        lines += [f"  {'also with another member':<28}{self.matched:>10}"]
        lines += [f"    {'on ' + rule:<26}{n:>10}" for rule, n in self.matched_by_rule.items()]
        lines += [f"  {'not compared':<28}{self.not_compared:>10}"]
        lines += [f"    {'rows without ' + rule:<26}{n:>10}" for rule, n in self.unusable_by_rule.items() if n]
        lines += [f"  {'twice in your own list':<28}{self.same_inside:>10}", f"  {REVIEW}"]
        return "\n".join(lines)


class Result:
    """A member's result, by row of its list.

    Args:
        manifest: the session's terms.
        member: whose result it is.
        keys: of its list.
        values: from `recombine`.
    """

    def __init__(self, manifest: Manifest, member: str, keys: Keys, values: Array) -> None:
        self._manifest, self._member, self._keys, self._values = manifest, member, keys, values
        found = values.any(axis=1) if values.ndim == 2 else values > 0
        nothing = np.append(found, False)  # place -1: no key, no match
        self._matched = np.stack([nothing[places] for places in keys.key_of], axis=1)
        self._usable = np.stack([places >= 0 for places in keys.key_of], axis=1)

    @property
    def matched_rows(self) -> Array:
        """(rows,) bool: whether any rule found the row at another member."""
        matched: Array = np.any(self._matched, axis=1)
        return matched

    def headings(self) -> list[str]:
        """The columns that are added to the list."""
        more = {"flag": [], "count": ["match_count"], "members": ["matched_with"]}[self._manifest.reveal]
        return ["match", "matched_on", *more, "not_compared_because"]

    def cells(self) -> Iterator[list[str]]:
        """The added cells of every row, in the list's order."""
        rules = self._manifest.rules
        missing = "; ".join(f"no {' + '.join(rule.fields)}" for rule in rules)
        plain = ["no", "", *[""] * (len(self.headings()) - 3), ""]
        unusable = ["not compared", *plain[1:-1], missing]
        usable_rows, matched_rows = np.any(self._usable, axis=1).tolist(), self.matched_rows.tolist()
        for row, matched in enumerate(matched_rows):
            if matched:
                on = "; ".join(rules[k].name for k in np.flatnonzero(self._matched[row]))
                yield ["yes", on, *self._detail(row), ""]
            else:
                yield plain if usable_rows[row] else unusable

    def _detail(self, row: int) -> list[str]:
        """How many others, or which: over all rules, the largest count, or every name."""
        places = [p[row] for p in self._keys.key_of if p[row] >= 0]
        match Reveal(self._manifest.reveal):
            case Reveal.FLAG:
                return []
            case Reveal.COUNT:
                return [str(self._values[places].max())]
            case Reveal.MEMBERS:
                mask = np.bitwise_or.reduce(self._values[places], axis=0)
                bits = np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little"))
                return ["; ".join(self._manifest.members[m] for m in bits)]

    def summary(self) -> Summary:
        """The numbers."""
        names = [rule.name for rule in self._manifest.rules]
        repeated = np.zeros(self._keys.rows, bool)
        for places in self._keys.key_of:
            first = np.full(len(self._keys.keys) + 1, self._keys.rows)
            np.minimum.at(first, places, np.arange(len(places)))
            repeated |= (places >= 0) & (first[places] != np.arange(len(places)))
        return Summary(
            session=self._manifest.title,
            member=self._member,
            rows=self._keys.rows,
            matched=int(self.matched_rows.sum()),
            not_compared=int((~self._usable.any(axis=1)).sum()),
            matched_by_rule=dict(zip(names, self._matched.sum(axis=0).tolist(), strict=True)),
            unusable_by_rule=dict(zip(names, (~self._usable).sum(axis=0).tolist(), strict=True)),
            same_inside=int(repeated.sum()),
        )
