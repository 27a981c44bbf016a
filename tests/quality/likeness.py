"""A rule on similar records, run over lists: its records, the pairs that it compares, and how high it scores them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from mpc import matching, similar
from mpc.linkage import Linkage
from mpc.replicated import Array
from parties import fields
from parties.habits import Person
from parties.keys import make_keys
from parties.rules import Rule
from parties.similar import Similar
from tests.quality.ranking import Ranking, coded, true_pairs
from tests.quality.samples import Sample

_SESSION = bytes(32)


@dataclass(frozen=True, repr=False)
class Likeness:
    """What the rule makes of some lists.

    Attributes:
        sample: the lists.
        rule: the rule.
        records: (n, record_words) uint64, list after list.
        seconds: for reading, canonical forms and records.
    """

    sample: Sample
    rule: Similar
    records: Array
    seconds: float

    @classmethod
    def of(cls, sample: Sample, rule: Similar) -> Likeness:
        """The records that members would contribute."""
        started = time.monotonic()
        rules = (Rule("similar", rule.fields, similar=rule),)
        made = []
        for number, path in enumerate(sample.paths):
            opened = fields.open_list(path, sample.map_file)
            keys, _ = make_keys(opened, _SESSION, rules, sample.country, record_key=bytes([number + 1]))
            assert keys.vectors is not None
            made.append(keys.vectors)
        return cls(sample, rule, np.concatenate(made), time.monotonic() - started)

    @property
    def linkage(self) -> Linkage:
        """The rule as the committee has it."""
        return self.rule.linkage

    @cached_property
    def pairs(self) -> Array:
        """(p, 2) int64: the pairs that are compared."""
        return similar.candidates(self.linkage, self._split[0], self.sample.sizes)

    @cached_property
    def true(self) -> Array:
        """(t, 2) int64: the pairs to be found."""
        return true_pairs(self.sample.people)

    @property
    def same(self) -> Array:
        """(p,) bool: which of the compared pairs are of one person."""
        who = np.concatenate(self.sample.people)[self.pairs]
        one: Array = who[:, 0] == who[:, 1]
        return one

    def levels(self, pairs: Array) -> Array:
        """(p, comparisons) int8: of these pairs."""
        return similar.levels(self.linkage, *self._vectors(pairs))

    @cached_property
    def scores(self) -> Array:
        """(p,) int32: of the compared pairs."""
        return similar.scores(self.linkage, *self._vectors(self.pairs))

    @cached_property
    def ranking(self) -> Ranking:
        """The records by their best scores."""
        return Ranking.of(self.pairs, self.scores, self.sample.people, self.sample.traditions)

    @property
    def blocking_recall(self) -> float:
        """Part of the true pairs that are compared."""
        return self._part_found(self.pairs)

    def strangers(self, threshold: int) -> dict[str, Confused]:
        """The compared pairs of two people, by what makes them alike; of made-up lists."""
        people, others = self.sample.registered, ~self.same
        found: dict[str, Confused] = {kind: Confused(0, 0) for kind in CONFUSED}
        for (left, right), score in zip(self.pairs[others].tolist(), self.scores[others].tolist(), strict=True):
            kind = _alike(people[left], people[right])
            compared, wrong = found[kind]
            found[kind] = Confused(compared + 1, wrong + (score >= threshold))
        return found

    @cached_property
    def group_sizes(self) -> Array:
        """(groups,) rows of each blocking key that more than one row has."""
        sizes = matching.group(self._split[0].reshape(-1, 2)).sizes
        return sizes[sizes > 1]

    def by_block(self) -> Iterator[Blocking]:
        """Each block alone, and with those before it."""
        keys, start = self._split[0], 0
        together = np.zeros(0, np.int64)
        for block in self.rule.blocks:
            own = keys[:, start : start + block.keys]
            start += block.keys
            found = self._blocked(own)
            together = np.union1d(together, coded(found, len(keys)))
            joint = np.stack(np.divmod(together, len(keys)), axis=1)
            yield Blocking(block.shown, block.keys, len(found), self._part_found(found), self._part_found(joint))

    def by_keys(self, name: str, keys: Array) -> Blocking:
        """What other blocking keys, (n, keys, 2) uint64, would have compared."""
        found = self._blocked(keys)
        recall = self._part_found(found)
        return Blocking(name, keys.shape[1], len(found), recall, recall)

    def _blocked(self, keys: Array) -> Array:
        linkage = replace(self.linkage, keys=keys.shape[1])
        return similar.candidates(linkage, np.ascontiguousarray(keys), self.sample.sizes)

    def _part_found(self, pairs: Array) -> float:
        records = len(self.records)
        return float(np.isin(coded(self.true, records), coded(pairs, records)).mean())

    @cached_property
    def _split(self) -> tuple[Array, Array]:
        return similar.split(self.linkage, self.records)

    def _vectors(self, pairs: Array) -> tuple[Array, Array]:
        vectors = self._split[1]
        return vectors[pairs[:, 0]], vectors[pairs[:, 1]]


CONFUSED = ("twins", "people of one name", "others of one phone", "others")
"""Why two people can be taken for one."""


class Confused(NamedTuple):
    """Pairs of two people.

    Attributes:
        compared: how many there are.
        wrong: of those, how many are taken for one.
    """

    compared: int
    wrong: int


def _alike(one: Person, other: Person) -> str:
    if one.name == other.name:
        return CONFUSED[1]
    if one.phone == other.phone:
        is_twin = one.birth_date == other.birth_date and not one.birth_date.endswith("-01-01")
        return CONFUSED[0] if is_twin else CONFUSED[2]
    return CONFUSED[3]


@dataclass(frozen=True)
class Blocking:
    """Which pairs some blocking keys find.

    Attributes:
        name: of the block.
        keys: of a record at most.
        pairs: that are compared.
        recall: part of the true pairs that are among them.
        joint_recall: the same with the blocks before.
    """

    name: str
    keys: int
    pairs: int
    recall: float
    joint_recall: float
