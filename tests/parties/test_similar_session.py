"""Sessions with a rule on similar records, from files to results by the program's own code, with nothing left out but
daemons: what each member learns is what the same rules give over all lists in one place, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from mpc import engine
from mpc.dummies import Dummies
from mpc.engine import Outputs
from mpc.replicated import Array
from mpc.session import Session
from parties import engines
from parties.errors import SessionRefused
from parties.inputs import load_inputs
from parties.keys import Keys
from parties.manifest import Manifest
from parties.pooled import Pool
from parties.rules import Rule
from tests.parties.contributing import MEMBERS, Parties
from tests.parties.inventing import ALIKE, GRADED, HEADINGS, ID, NAMES, SIMILAR, invented, write_list
from tests.world import World


@dataclass
class Ended:
    """A session at its end.

    Attributes:
        terms: of the session.
        keys: what each member contributed.
        found: by party.
    """

    terms: Manifest
    keys: dict[str, Keys]
    found: list[Outputs]


class Computing(Parties):
    """Parties whose committee computes on shares."""

    def run(self, lists: Mapping[str, list[list[str]]], headings: tuple[str, ...] = HEADINGS, **terms: Any) -> Ended:
        """A session over these lists."""
        agreed = self.approved(**{"rules": (ID, ALIKE), "min_members": len(lists)} | terms)
        keys = {}
        for name, rows in lists.items():
            path = write_list(self.folder / f"{name}.csv", rows, headings)
            keys[name], _ = self.member(name).contribute(agreed.session_id, path, accept=True)
        return Ended(agreed, keys, self.jointly(agreed))

    def jointly(self, agreed: Manifest) -> list[Outputs]:
        """Have a session computed by three parties, and released."""
        record, nodes = self.begin(agreed), self.nodes(agreed)
        shown = list(self.registry.store.commitments(record.id).values())
        inputs = [load_inputs(guard, guard.store.get(record.id), shown) for guard in nodes]

        def party(session: Session) -> Outputs:
            return engine.run(session, inputs[session.party], lambda *_: None)

        world = World().run(party)
        assert not world.errors
        found = [world.results[p] for p in range(3)]
        for guard, outputs in zip(nodes, found, strict=True):
            parts = dict(zip(agreed.members, outputs.parts or (), strict=outputs.parts is not None))
            of_members = {c.name: parts[c.name].tobytes() for c in shown if parts}
            guard.computed(guard.store.get(record.id), of_members, list(outputs.group_sizes[1:]), {})
            self.registry.collect(record, guard.store.completions(record.id)[0])
        return found

    def learned(self, ended: Ended) -> dict[str, Array]:
        """Each member's values."""
        values = {}
        for name, keys in ended.keys.items():
            member = self.member(name)
            view = member.coordinator.get(ended.terms.session_id)
            values[name] = member.fetch(view, keys.values)
        return values


@pytest.fixture(scope="module")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Computing]:
    computing = Computing(tmp_path_factory.mktemp("parties"))
    with computing.listening():
        yield computing


def check(parties: Computing, ended: Ended) -> dict[str, Array]:
    """Every member learns what the rules give in the clear, and nothing is revealed besides; returns the values."""
    pool, values = Pool.of(ended.terms, ended.keys), parties.learned(ended)
    for name, due in pool.values(ended.terms).items():
        assert np.array_equal(values[name], due), name
    assert len({outputs.block_sizes for outputs in ended.found}) == 1
    return values


FEW, SAME, NONE = (1, 63, 65), (64, 64, 64), (1, 1, 1)


@pytest.mark.parametrize("sizes", [FEW, SAME, NONE, (130, 1, 20)], ids=str)
@pytest.mark.parametrize(
    "terms",
    [
        {},
        {"rules": (ALIKE,)},
        {"reveal": "grade", "rules": (ID, GRADED)},
        {"reveal": "grade", "rules": (GRADED,), "verify_tags": True},
        {"rules": (Rule("phone", ("phone",), "household"), ALIKE, ID)},
    ],
    ids=("flag", "alone", "grade", "grade-verified", "beside-others"),
)
def test_what_members_learn_is_that_of_the_same_rules_in_the_clear(
    parties: Computing, sizes: tuple[int, int, int], terms: dict[str, Any]
) -> None:
    random = Random(f"{sizes}")
    lists = {name: invented(random, rows) for name, rows in zip(MEMBERS, sizes, strict=True)}
    ended = parties.run(lists, **terms)
    values = check(parties, ended)
    if max(sizes) > 1:
        assert len(ended.found[0].block_sizes) > SIMILAR.largest_group + 1, "some groups are above the cap"
        told = np.unique(np.concatenate(list(values.values())) & 7)
        assert len(told) == (4 if terms.get("reveal") == "grade" else 2), "every grade is there"


def test_dummies_change_nothing_for_members(parties: Computing) -> None:
    random = Random(1)
    lists = {name: invented(random, rows) for name, rows in zip(MEMBERS, (20, 9, 1), strict=True)}
    rows = []
    for terms in ({}, {"dummies": Dummies(8.0, 1e-3)}):
        ended = parties.run(lists, **terms)
        check(parties, ended)
        rows.append(sum(size * number for size, number in enumerate(ended.found[0].block_sizes)))
    noise = engines.similar_noise(ended.terms)
    assert noise is not None
    assert rows == [30 * SIMILAR.linkage.keys, 30 * SIMILAR.linkage.keys + noise.rows]


def test_absent_members_and_lists_that_lack_columns(parties: Computing) -> None:
    random = Random(2)
    lists = {name: invented(random, rows) for name, rows in zip(MEMBERS[::2], (40, 33), strict=True)}
    check(parties, parties.run(lists))
    fewer = {name: [row[1:4] for row in rows] for name, rows in lists.items()}
    check(parties, parties.run(fewer, HEADINGS[1:4], rules=(ALIKE,)))


def test_rows_with_nothing_to_compare_match_nobody(parties: Computing) -> None:
    """Not even each other, and however many there are."""
    nothing = [["", "", "", "", "Lviv", "F"]] * 10
    one = ["", NAMES[0], "1980-01-02", "+380671234567", "Lviv", "F"]
    ended = parties.run({name: [*nothing, one] for name in MEMBERS}, rules=(ALIKE,))
    values = check(parties, ended)
    assert all(own.tolist() == [0] * 10 + [1] for own in values.values())


def test_a_result_is_had_without_the_list_being_read_again(
    parties: Computing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But if what was kept of its keys is not there, it is."""
    ended = parties.run({name: invented(Random(8), 40) for name in MEMBERS})
    member, session_id = parties.member(), ended.terms.session_id
    sheets = [tmp_path / f"{number}.csv" for number in range(2)]
    with monkeypatch.context() as patched:
        patched.setattr("parties.member.make_keys", pytest.fail)
        member.results(session_id, sheets[0], sheets[0].with_suffix(".html"), accept=True)
    (kept,) = (member.config.folder / "lists" / session_id.hex()).glob("*/keys.sealed")
    kept.unlink()
    member.results(session_id, sheets[1], sheets[1].with_suffix(".html"), accept=True)
    assert sheets[0].read_bytes() == sheets[1].read_bytes()
    assert b",yes," in sheets[0].read_bytes()


# Members that do not use this program


def garbage(random: np.random.Generator, kind: str, records: int) -> Array:
    """(records, record_words) uint64 that no honest member has; blocking keys are of few values, so that all meet."""
    linkage = SIMILAR.linkage
    made = np.zeros((records, linkage.record_words), np.uint64)
    made[:, : 2 * linkage.keys : 2] = random.integers(0, 4 * records, (records, linkage.keys), np.uint64)
    vectors = made[:, 2 * linkage.keys :]
    if kind != "nothing present":
        vectors[:] = random.integers(0, 2**64, vectors.shape, np.uint64)
    if kind == "everything present":
        vectors[:] = ~np.uint64(0)
    if kind == "another member's number":
        vectors[:, -1] = (vectors[:, -1] >> np.uint64(16)) | np.uint64(1) << np.uint64(48)
    return made


@pytest.mark.parametrize("kind", ["random", "nothing present", "everything present", "another member's number"])
def test_whatever_a_member_deals_the_rule_is_kept(parties: Computing, kind: str) -> None:
    """Bits that say nothing are bits; the number of its member is nobody's to write. Nobody else's rows are touched."""
    random = np.random.default_rng(3)
    agreed = parties.approved(rules=(ID, ALIKE))
    record = parties.registry.store.get(agreed.session_id)
    keys = tuple(random.integers(0, 30, (20, 2), np.uint64) << np.uint64(3) for _ in MEMBERS)
    pool = Pool(tuple(np.unique(own, axis=0) for own in keys), tuple(garbage(random, kind, 25) for _ in MEMBERS))
    for name, own, records in zip(MEMBERS, pool.keys, pool.records, strict=True):
        parties.member(name).contribute_keys(record, np.concatenate([own, records.reshape(-1, 2)]), len(records))
    parties.jointly(agreed)
    for name, due in pool.values(agreed).items():
        member = parties.member(name)
        assert np.array_equal(member.fetch(member.coordinator.get(record.id), len(due)), due), name


@pytest.mark.parametrize(("rows", "records"), [(7, 1), (4, 10), (4000, 1)])
def test_rows_that_cannot_be_so_many_records_are_refused(parties: Computing, rows: int, records: int) -> None:
    agreed = parties.approved(rules=(ID, ALIKE), max_records=100)
    record = parties.registry.store.get(agreed.session_id)
    with pytest.raises(SessionRefused, match=r"cannot be by the terms|outside the session's limit"):
        parties.member().contribute_keys(record, np.ones((rows, 2), np.uint64), records)


def test_a_member_that_repeats_a_blocking_key_does_not_learn_whether_others_have_it(parties: Computing) -> None:
    """But it keeps them from being compared under this key: what no honest program does, none prevents."""
    linkage, most = SIMILAR.linkage, SIMILAR.largest_group
    random = np.random.default_rng(6)
    counts = (2 * most, 1, 1)
    pool = Pool(
        (np.zeros((0, 2), np.uint64),) * 3, tuple(garbage(random, "everything present", rows) for rows in counts)
    )
    for records in pool.records:
        records[:, : 2 * linkage.keys] = random.integers(0, 2**64, (len(records), 2 * linkage.keys), np.uint64)
    asked, other = (random.integers(0, 2**64, 2, np.uint64) for _ in range(2))
    pool.records[0][:most, :2], pool.records[0][most:, :2] = asked, other
    for records in pool.records[1:]:  # all are alike, and these have the key that is asked for
        records[0, :2] = asked
    agreed = parties.approved(rules=(ALIKE,))
    record = parties.registry.store.get(agreed.session_id)
    for name, records in zip(MEMBERS, pool.records, strict=True):
        parties.member(name).contribute_keys(record, records.reshape(-1, 2), len(records))
    parties.jointly(agreed)
    views = {name: parties.member(name).coordinator.get(record.id) for name in MEMBERS}
    found = [parties.member(n).fetch(views[n], rows).tolist() for n, rows in zip(MEMBERS, counts, strict=True)]
    assert found == [[0] * 2 * most, [0], [0]]
