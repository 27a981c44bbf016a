"""Rules on similar records over real daemons: by hand, and with a node that dies at any of their steps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import pytest

from parties.cli import main
from parties.demo import table_of
from parties.keys import Keys
from parties.pooled import Pool
from parties.results import Result
from parties.rules import Rule
from parties.store import SessionRecord
from parties.trial import values_of
from tests.integration.federations import COMMITTEE, MEMBERS, Federation, read
from tests.integration.test_recovery import Mortal, check_ends, insist
from tests.parties.inventing import ALIKE, GRADED, ID, invented, write_list

POINTS = (
    "send similar/shuffle", "send similar/tag/schedule", "send similar/tag/chunk0/reveal", "send similar/compare",
    "send similar/unshuffle", "send similar/records", "send finish", "before computed",
)  # fmt: skip


def written(folder: Path, sizes: tuple[int, ...] = (65, 30, 1)) -> dict[str, Path]:
    """A list for each member."""
    random = Random(4)
    return {
        name: write_list(folder / f"{name}.csv", invented(random, rows))
        for name, rows in zip(MEMBERS, sizes, strict=True)
    }


def agreed(federation: Federation, *rules: Rule, reveal: str = "flag") -> SessionRecord:
    """A session that everyone has approved."""
    return federation.approved(rule=[table_of(rule) for rule in rules], reveal=reveal)


@pytest.mark.parametrize(("reveal", "rule"), [("flag", ALIKE), ("grade", GRADED)])
def test_a_session_by_hand(
    federation: Federation, tmp_path: Path, reveal: str, rule: Rule, capsys: pytest.CaptureFixture[str]
) -> None:
    record, keys = agreed(federation, ID, rule, reveal=reveal), dict[str, Keys]()
    for name, path in written(tmp_path).items():
        keys[name] = federation.member(name).contribute(record.id, path, accept=True)[0]
    assert main(["session", "show", record.id.hex(), *federation.own("agency-a")]) == 0
    assert "similar people: similar in " in capsys.readouterr().out
    done = federation.operator.run(record.id)
    expected = Pool.of(done.manifest, keys).values(done.manifest)
    for name, due in expected.items():
        assert np.array_equal(values_of(federation, done, {name: len(due)})[name], due)
        out = tmp_path / f"{name}-result.csv"
        command = ["results", record.id.hex(), "--out", str(out), "--accept", "--json", *federation.own(name)]
        assert main(command) == 0
        summary, result = json.loads(capsys.readouterr().out), Result(done.manifest, name, keys[name], due)
        rows = read(out)
        assert [row["match"] == "yes" for row in rows] == result.matched_rows.tolist()
        assert summary["matched"] == int(result.matched_rows.sum())
        if reveal == "grade":
            graded = [row["grade"] for row in rows if row["grade"]]
            assert {g: graded.count(g) for g in summary["matched_by_grade"]} == summary["matched_by_grade"]
    assert sum(int(own.astype(bool).sum()) for own in expected.values()) > 0
    federation.operator.coordinator.close(record.id)


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mortal]:
    with Mortal(tmp_path_factory.mktemp("mortal") / "nodes") as running:
        yield running


@pytest.mark.parametrize("point", POINTS)
def test_a_node_killed_at_any_step(mortal: Mortal, tmp_path: Path, point: str) -> None:
    """Nobody uploads again, and results are those of the rules in the clear."""
    victim, keys = COMMITTEE[0 if "unshuffle" in point else 1], dict[str, Keys]()
    record = agreed(mortal, ID, ALIKE)
    for name, path in written(tmp_path).items():
        keys[name] = mortal.member(name).contribute(record.id, path, accept=True)[0]
    doom = mortal.doom(victim, point, tmp_path / "died")
    done = insist(lambda: mortal.operator.run(record.id))
    assert (tmp_path / "died").exists(), "the point was not reached"
    doom.join()
    expected = Pool.of(done.manifest, keys).values(done.manifest)
    found = insist(partial(values_of, mortal, done, {name: len(due) for name, due in expected.items()}))
    assert all(np.array_equal(found[name], due) for name, due in expected.items())
    insist(lambda: mortal.operator.coordinator.close(record.id))
    check_ends(mortal, record)
