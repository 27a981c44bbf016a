"""The table of scenarios is sound, options change it where they can, and ratios tie its steps."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from parties import bench, network
from parties.errors import InputError
from parties.manifest import MAX_MEMBERS, MAX_RECORDS
from parties.scenarios import OWN, SCENARIOS, Scenario, Step, chosen, cost_per_row, ratios

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
STEPS = [step for scenario in SCENARIOS for step in scenario.steps]


def test_names_are_words_and_each_says_what_it_shows() -> None:
    assert len(BY_NAME) == len(SCENARIOS)
    assert not {"all", "own"} & set(BY_NAME)
    for scenario in SCENARIOS:
        assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)?", scenario.name)
        assert scenario.shows
        assert scenario.steps


@pytest.mark.parametrize("step", STEPS, ids=Step.to_text)
def test_every_step_is_a_session_that_can_be(step: Step) -> None:
    assert 2 <= step.members <= MAX_MEMBERS
    assert 1 <= step.rows <= MAX_RECORDS
    assert 0 <= step.overlap <= 1
    assert not step.rate or network.parse_rate(step.rate)
    assert step.delay_ms >= 0
    bench.check_step(step)


def test_steps_of_a_scenario_differ() -> None:
    assert all(len(set(scenario.steps)) == len(scenario.steps) for scenario in SCENARIOS)


def test_members_share_the_same_rows_in_all() -> None:
    assert {step.rows * step.members for step in BY_NAME["members"].steps} == {300_000}


def test_a_step_in_words() -> None:
    assert Step(1000, 10_000, rate="1gbit", delay_ms=2.5).to_text() == "1,000 × 10,000 rows, at 1gbit, 2.5 ms each way"
    assert Step(verify_tags=True, dummies=True).to_text() == "3 × 1,000,000 rows, verify_tags, dummies"
    assert Step(rows=5, similar=True, new=7).to_text() == "3 × 5 rows, similar, 7 new"
    own = Step(rows=10, engine="mpyc", committee=5, threshold=1, reveal="count")
    assert own.to_text() == "3 × 10 rows, mpyc, 5 nodes, threshold 1, count"


def test_terms() -> None:
    usual = {"engine": "replicated", "reveal": "flag"}
    assert Step().terms() == usual
    assert Step(verify_tags=True).terms() == usual | {"verify_tags": True}
    assert Step(dummies=True).terms() == usual | {"dummies": {"epsilon": 1.0, "delta": 1e-6}}
    assert Step(engine="mpyc", threshold=2).terms() == {"engine": "mpyc", "reveal": "flag", "threshold": 2}
    assert set(Step(reveal="statistics").terms()) == {"engine", "reveal", "statistics"}


def test_committees_grow_and_all_else_stays() -> None:
    steps = BY_NAME["mpyc-committees"].steps
    assert [step.committee for step in steps] == [3, 5, 7]
    assert {replace(step, committee=3) for step in steps} == {Step(rows=1_000, engine="mpyc")}


# Choosing


def test_scenarios_are_chosen_by_name_each_once_in_the_order_of_the_table() -> None:
    assert [s.name for s in chosen(["far", "small", "far"])] == ["small", "far"]
    assert chosen(["all"]) == chosen(["small", "all"]) == SCENARIOS
    assert chosen([]) == chosen([], "replicated") == (OWN,)
    assert [step.similar for step in chosen([], similar=True)[0].steps] == [True]
    assert chosen(["small"], "mpyc") == (BY_NAME["small"],)


def test_ones_own_session_by_mpyc_is_short_enough() -> None:
    (own,) = chosen([], "mpyc")
    (step,) = own.changed(engine="mpyc", committee=9).steps
    assert (step.engine, step.committee) == ("mpyc", 9)
    bench.check_step(step)


def test_an_unknown_name_is_told_the_names() -> None:
    with pytest.raises(
        InputError, match=r"^There is no scenario `smal`: choose from small, three, .*, or all; "
    ) as caught:
        chosen(["small", "smal"])
    assert all(name in str(caught.value) for name in BY_NAME)


# Options


def test_without_options_nothing_changes() -> None:
    assert all(scenario.changed(members=None, rate=None) == scenario for scenario in SCENARIOS)


def test_options_hold_for_every_step() -> None:
    for step in BY_NAME["verified"].changed(rows=50, members=5, overlap=0.5, rate="1mbit", delay_ms=7.0).steps:
        assert (step.members, step.rows, step.overlap, step.rate, step.delay_ms) == (5, 50, 0.5, "1mbit", 7.0)


def test_rows_keep_their_proportion() -> None:
    assert [step.rows for step in BY_NAME["growth"].changed(rows=1_000).steps] == [1_000, 3_330, 10_000, 33_300]
    assert [step.rows for step in BY_NAME["members"].changed(rows=4).steps] == [4, 1, 1, 1]
    (weekly,) = BY_NAME["similar-weekly"].changed(rows=1_000).steps
    assert (weekly.rows, weekly.new) == (1_000, 30)


@pytest.mark.parametrize(
    ("name", "option", "shown"),
    [
        ("members", {"members": 3}, "members"),
        ("lines", {"rate": "1gbit"}, "rate"),
        ("far", {"delay_ms": 1.0}, "delay"),
        ("mpyc-committees", {"committee": 5}, "committee"),
    ],
)
def test_what_the_steps_differ_in_is_not_overridden(name: str, option: dict[str, Any], shown: str) -> None:
    with pytest.raises(InputError, match=rf"^The steps of `{name}` differ in their {shown}; leave --{shown} out\.$"):
        BY_NAME[name].changed(**option)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"members": 1}, "--members must be"),
        ({"members": 1001}, "--members must be"),
        ({"overlap": -0.1}, "--overlap from 0 to 1"),
        ({"overlap": float("nan")}, "--overlap from 0 to 1"),
        ({"rows": 0}, "--rows must be"),
        ({"rows": -5}, "--rows must be"),
        ({"new": 3}, "goes with --similar"),
        ({"similar": True, "rows": 1, "new": 4}, "--new must be 0 to the number of all records"),
        ({"delay_ms": -1.0}, "--delay must be"),
        ({"delay_ms": float("inf")}, "--delay must be"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        OWN.changed(**options)


# What ties the figures


def report(rows: int, wall_s: float, memory: float = 8.0) -> dict[str, Any]:
    return {
        "rows": {"agency-a": rows, "agency-b": rows},
        "wall_s": wall_s,
        "seconds": {"compute": wall_s / 2},
        "committee": {"agency-a": {"cpu_s": 0.5}, "neutral": {"cpu_s": 1.0}},
        "sent_bytes_per_row": {"agency-a": 400.0, "neutral": 300.0},
        "memory_bytes_per_row": {"agency-a": memory, "neutral": memory / 2},
    }


def test_the_cost_of_a_row_is_that_of_the_node_where_it_is_most() -> None:
    expected = {"wall_s": 0.02, "compute_s": 0.01, "cpu_s": 0.01, "sent_bytes": 400.0, "memory_bytes": 8.0}
    assert cost_per_row(report(50, 2.0)) == pytest.approx(expected)


def test_ratios_are_against_the_first_step() -> None:
    found = ratios([report(50, 2.0), report(500, 30.0)])
    assert set(found[0].values()) == {1.0}
    assert found[1] == {"wall_s": 1.5, "compute_s": 1.5, "cpu_s": 0.1, "sent_bytes": 1.0, "memory_bytes": 1.0}


def test_a_figure_that_a_system_does_not_tell_is_left_out() -> None:
    assert "memory_bytes" not in ratios([report(50, 2.0, memory=0.0)])[0]


def test_a_scenario_is_not_changed_in_place() -> None:
    scenario = Scenario("x", "y", (Step(),))
    scenario.changed(rows=5)
    assert scenario.steps == (Step(),)
