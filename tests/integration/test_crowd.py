"""Many members that all come at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from parties import trial
from parties.loopback import Loopback
from parties.member import Member, quiet
from tests.integration.federations import Keys

CROWD = 64


def ring(names: list[str]) -> Keys:
    """Three keys of each member: one it has in common with the member before, one with that after, one of its own."""
    random = np.random.default_rng(11)
    pairs, own = random.integers(0, 2**64, (2, len(names), 2), np.uint64)
    return {name: np.stack([pairs[k], pairs[k - 1], own[k]]) for k, name in enumerate(names)}


def test_a_crowd_is_served_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "AT_ONCE", CROWD)
    names = trial.names(CROWD)
    keys = ring(names)
    terms = {
        "session": {"title": "Crowd", "purpose": "test", "max_records": 3, "reveal": "count"},
        "rule": [{"name": "key", "fields": ["key"]}],
    }
    with Loopback(tmp_path, names, trial.committee_for(names)) as federation, ThreadPoolExecutor(CROWD) as pool:
        outcome = trial.run_session(federation, terms, lambda m, r: m.contribute_keys(r, keys[m.config.name]), quiet)

        def fetched(name: str) -> list[int]:
            member = Member(federation.configs[name])
            return [int(n) for n in member.fetch(member.coordinator.get(outcome.record.id), 3)]

        assert dict(zip(names, pool.map(fetched, names), strict=True)) == {name: [1, 1, 0] for name in names}
