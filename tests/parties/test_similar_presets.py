"""Presets of similar rules for sessions of any size, and what is said of rules that find too many."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from parties import similar
from parties.rules import Rule
from tests.parties.samples import SIMILAR, manifest


@pytest.mark.parametrize(
    ("records", "due"),
    [
        (similar.PRESET_RECORDS, [5, 26, 61]),
        (2 * similar.PRESET_RECORDS, [8, 29, 64]),
        (3000, [1, 15, 61]),
        (1, [1, 2, 61]),
    ],
)
def test_presets_thresholds_rise_with_the_records_and_the_highest_does_not_fall(records: int, due: list[int]) -> None:
    assert similar.thresholds_for([5, 26, 61], records) == due


@pytest.mark.parametrize("tradition", similar.presets())
def test_presets_are_good_terms_for_sessions_of_any_size(tradition: str) -> None:
    for records in (1, 100, 40_000, 10_000_000):
        for reveal in ("flag", "grade"):
            made = similar.from_toml({"tradition": tradition}, reveal, records)
            similar.check(made, reveal)
            if tradition == similar.USUAL_TRADITION:
                assert not made.weaknesses(records)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"thresholds": (3,)}, "Its lowest threshold is 3, where the preset has"),
        (
            {"comparisons": tuple(replace(c, weights=c.weights[::-1]) for c in SIMILAR.comparisons)},
            "last weight of full_name",
        ),
        (
            {"comparisons": tuple(replace(c, weights=(90,) * len(c.weights)) for c in SIMILAR.comparisons)},
            "agree in nothing",
        ),
    ],
)
def test_what_finds_people_who_have_little_in_common_is_warned_of(changes: dict[str, Any], says: str) -> None:
    weak = replace(SIMILAR, **changes)
    assert says in " ".join(weak.weaknesses(40_000))
    assert not SIMILAR.weaknesses(40_000)
    terms = manifest(rules=(Rule("similar people", weak.fields, similar=weak),))
    assert any(says in warning and "`similar people`" in warning for warning in terms.warnings())
