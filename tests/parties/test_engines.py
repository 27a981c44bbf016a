"""How long lists may be: by the time and the memory that they would take MPyC."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mpc import blocks
from mpc.dummies import Dummies
from parties import engines
from parties.statistics import Category, Statistics
from tests.parties.samples import ALIKE, RULES, SIMILAR, manifest

MANY = Statistics(10, tuple(Category("birth_date", ages=tuple(range(k))) for k in (15, 15)))
"""256 cells."""


@pytest.mark.parametrize("engine", ["mpyc", "replicated"])
def test_a_table_is_bounded_by_time(engine: str) -> None:
    few = Statistics(10, (Category("sex", ("f", "m")),))
    long = manifest(engine=engine, reveal="statistics", statistics=few, max_records=50_000_000)
    told = engines.takes_too_long(long)
    assert (" days, " if engine == "mpyc" else " hours, ") + "of 30 minutes that it may: " in told
    assert ('or `engine` to "replicated" with a committee of three.' in told) == (engine == "mpyc")
    assert "`max_records` to " in told
    assert not engines.takes_too_long(manifest(engine=engine, reveal="statistics", statistics=few, max_records=10_000))


@pytest.mark.parametrize(
    ("seconds", "says"),
    [(1800, "30 minutes"), (1801, "31 minutes"), (7199, "120 minutes"), (7200, "2 hours"), (172_799, "48 hours"),
     (172_800, "2 days"), (864_000_000, "10,000 days")],
)  # fmt: skip
def test_times_are_told_in_what_people_count_in(monkeypatch: pytest.MonkeyPatch, seconds: float, says: str) -> None:
    monkeypatch.setattr(blocks, "seconds", lambda *_, **__: seconds)
    monkeypatch.setattr(blocks, "MOST_SECONDS", 1799)
    assert f"would take the mpyc engine about {says}, of 30 minutes that it may" in engines.takes_too_long(
        manifest(engine="mpyc")
    )


@pytest.mark.parametrize(
    ("nodes", "which"), [(3, "1"), (4, "1"), (5, "a whole number from 1 to 2"), (9, "a whole number from 1 to 4")]
)
def test_the_thresholds_that_are_possible(nodes: int, which: str) -> None:
    terms = manifest(engine="mpyc", committee=tuple(f"n{k}" for k in range(nodes)), threshold=nodes)
    assert engines.fault(terms) == f"`threshold` must be {which}, less than half of the {nodes} committee nodes"


def test_lists_of_any_length_by_the_replicated_engine() -> None:
    longest = manifest(max_records=50_000_000)
    assert not engines.takes_too_long(longest)
    assert not engines.takes_too_much(longest)


def test_shares_are_bounded_by_memory() -> None:
    assert MANY.cells == 256
    of_record = 3 * 257 * 17
    fits = engines.MOST_SHARE_BYTES // of_record
    terms = {"engine": "mpyc", "reveal": "statistics", "statistics": MANY, "rules": manifest().rules[:1]}
    assert not engines.takes_too_much(manifest(**terms, max_records=fits))
    assert f"set `max_records` to {fits:,} at most" in engines.takes_too_much(manifest(**terms, max_records=fits + 1))


def test_estimates_grow_with_all_that_costs() -> None:
    reveal = blocks.Reveal.STATISTICS
    small = blocks.seconds(3, 1000, 3, 1, reveal, cells=4)
    assert small < min(
        blocks.seconds(4, 1000, 3, 1, reveal, cells=4),
        blocks.seconds(3, 2000, 3, 1, reveal, cells=4),
        blocks.seconds(3, 1000, 5, 2, reveal, cells=4),
        blocks.seconds(3, 1000, 3, 1, reveal, cells=256),
    )
    assert blocks.table_seconds(3, 1000, 4) < min(blocks.table_seconds(3, 1000, 256), blocks.table_seconds(9, 1000, 4))


def test_dummies_promise_for_both_kinds_of_keys_together() -> None:
    both = manifest(rules=(*RULES, ALIKE), dummies=Dummies(2.0, 1e-4), max_records=100)
    for added in (engines.noise(both), engines.similar_noise(both)):
        assert added is not None
        assert added.dummies == Dummies(1.0, 5e-5)
    alone = manifest(rules=(ALIKE,), dummies=Dummies(2.0, 1e-4), max_records=100)
    assert engines.noise(alone) is None
    found = engines.similar_noise(alone)
    assert found is not None
    assert (found.dummies, found.keys) == (Dummies(2.0, 1e-4), SIMILAR.linkage.keys)
    assert found.largest == SIMILAR.largest_group * len(alone.members)
    assert "double the smallest" in engines.fault(replace(both, dummies=Dummies(0.01, 1e-4)))


def test_records_are_bounded_by_memory() -> None:
    few, many = (manifest(rules=(ALIKE,), max_records=records) for records in (1_000_000, 50_000_000))
    assert not engines.takes_too_much(few)
    told = engines.takes_too_much(many)
    assert "of 64 that may be, to compare 3 blocking keys of each record: set `max_records` to " in told
    most = int(told.split("`max_records` to ")[1].split(" ")[0].replace(",", ""))
    assert not engines.takes_too_much(replace(many, max_records=most))
    assert engines.takes_too_much(replace(many, max_records=most + 1))
