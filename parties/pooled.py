"""What members must learn: a session's rules in the clear, over all lists in one place; and how that fits the truth.

For the demo, the benchmark and tests, who may see all lists because they made them up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from mpc import similar
from mpc.matching import ALL_GRADES, Reveal, group
from mpc.replicated import Array
from parties import records
from parties.generator import GeneratedList
from parties.keys import Keys
from parties.manifest import Manifest
from parties.similar import GRADES

FLAGGED = "match"


@dataclass(frozen=True, repr=False)
class Pool:
    """What all members contribute to a session with a similar rule, in their order.

    Attributes:
        keys: of each member (k, 2) uint64: its exact keys, distinct.
        records: of each member (rows, record_words) uint64.
    """

    keys: tuple[Array, ...]
    records: tuple[Array, ...]

    @classmethod
    def of(cls, manifest: Manifest, lists: Mapping[str, Keys]) -> Pool:
        """What these lists give; members that are not among them are absent."""
        assert manifest.similar is not None  # noqa: S101 - only then is there anything to pool
        nothing = np.zeros((0, 2), np.uint64), np.zeros((0, manifest.similar.linkage.record_words), np.uint64)
        held = [_of_list(lists[name]) if name in lists else nothing for name in manifest.members]
        return cls(tuple(keys for keys, _ in held), tuple(records for _, records in held))

    def values(self, manifest: Manifest) -> dict[str, Array]:
        """What `Member.fetch` must give each member, bit for bit: (keys + rows,) uint8; of members that are there."""
        certain = np.uint8(ALL_GRADES if Reveal(manifest.reveal) is Reveal.GRADE else 1)
        alike = np.split(self._alike(manifest), np.cumsum(self._counts)[:-1])
        return {
            name: np.concatenate([shared * certain, of_records])
            for name, shared, of_records in zip(manifest.members, self._shared(), alike, strict=True)
            if len(shared) + len(of_records)
        }

    def pairs(self, manifest: Manifest) -> int:
        """How many pairs of records are compared."""
        assert manifest.similar is not None  # noqa: S101 - only then is there anything to pool
        linkage = manifest.similar.linkage
        keys, _ = similar.split(linkage, np.concatenate(self.records))
        return len(similar.candidates(linkage, keys, self._counts))

    @property
    def _counts(self) -> tuple[int, ...]:
        return tuple(len(records) for records in self.records)

    def _alike(self, manifest: Manifest) -> Array:
        """(rows of all,) uint8: what the similar rule says of each record."""
        assert manifest.similar is not None  # noqa: S101 - only then is there anything to pool
        return similar.plain(manifest.similar.linkage, np.concatenate(self.records), self._counts)

    def _shared(self) -> list[Array]:
        """For each member (k,) bool: which of its exact keys another member has too."""
        keys = np.concatenate(self.keys)
        groups = group(keys) if len(keys) else None
        shared = np.zeros(0, bool) if groups is None else groups.spread(groups.sizes) > 1
        return np.split(shared, np.cumsum([len(own) for own in self.keys])[:-1])


def _of_list(keys: Keys) -> tuple[Array, Array]:
    assert keys.vectors is not None  # noqa: S101 - the session has a similar rule
    return keys.keys, keys.vectors


@dataclass(frozen=True)
class Truth:
    """How what members learned fits who is who.

    Attributes:
        shared: rows whose person another list has too.
        found: of those, how many match.
        others: rows whose person no other list has.
        wrong: of those, how many match.
    """

    shared: int
    found: int
    others: int
    wrong: int

    @classmethod
    def of(cls, lists: Mapping[str, GeneratedList], member: str, sheet: Path) -> dict[str, Truth]:
        """Hold a member's result sheet against the truth.

        Args:
            lists: of all members.
            member: whose result it is.
            sheet: the result.

        Returns:
            For each grade, of matches of it or of a surer one; for `FLAGGED`, where matches are not graded.
        """
        held, (asked, told) = _held_by_others(lists, member), _told(sheet)
        truths = {}
        for grade, matched in told.items():
            rows = (asked & held, asked & held & matched, asked & ~held, asked & ~held & matched)
            truths[grade] = cls(*(int(np.count_nonzero(of)) for of in rows))
        return truths

    @classmethod
    def of_all(cls, members: Iterable[Mapping[str, Truth]]) -> dict[str, Truth]:
        """Several members' results as one."""
        known = list(members)
        grades = dict.fromkeys(grade for truths in known for grade in truths)
        return {g: cls(*map(sum, zip(*(astuple(truths[g]) for truths in known), strict=True))) for g in grades}

    def to_json(self) -> dict[str, float]:
        """As one JSON object."""
        return asdict(self) | {"recall": self.recall, "false_positives": self.false_positives}

    @property
    def recall(self) -> float:
        """Part of the shared rows that match."""
        return self.found / max(1, self.shared)

    @property
    def false_positives(self) -> float:
        """Part of the other rows that match."""
        return self.wrong / max(1, self.others)


def column(name: str, headings: Sequence[str]) -> int:
    """Where a result column is: the last one of that name."""
    return max(k for k, heading in enumerate(headings) if re.fullmatch(rf"{name}( \(\d+\))?", heading))


def _told(sheet: Path) -> tuple[Array, dict[str, Array]]:
    """What a result says: (rows,) bool which were asked about; by grade, which match with it or a surer one."""
    source = records.open_list(sheet)
    graded = "grade" in source.headings
    where = [column("match", source.headings), *([column("grade", source.headings)] if graded else [])]
    parts = [[batch.columns.column(k).to_pylist() for k in where] for batch in source.batches()]
    match, *grades = (np.array([*chain.from_iterable(of)]) for of in zip(*parts, strict=True))
    asked: Array = match != "not new"
    if not grades:
        return asked, {FLAGGED: match == "yes"}
    return asked, {grade: np.isin(grades[0], GRADES[k:]) for k, grade in enumerate(GRADES)}


def _held_by_others(lists: Mapping[str, GeneratedList], member: str) -> Array:
    """(rows,) bool: whose person another list has too."""
    others = [people for name, made in lists.items() if name != member for people in made.people]
    held: Array = np.isin(np.asarray(lists[member].people), np.asarray(others))
    return held
