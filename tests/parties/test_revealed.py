"""What people are told before they agree: by engine, threshold and what the terms ask for."""

from itertools import product
from typing import Any

import pytest

from mpc.dummies import Dummies
from mpc.matching import Reveal
from parties.revealed import LEARNS, committee_learns, deviates, opens_sizes, trust
from parties.statistics import Category, Statistics
from tests.parties.samples import ALIKE, RULES, manifest

NODES = tuple(f"node-{k}" for k in range(9))


def mpyc(nodes: int, threshold: int) -> Any:
    return manifest(engine="mpyc", committee=NODES[:nodes], threshold=threshold)


def test_every_mode_says_what_members_learn() -> None:
    assert set(LEARNS) == {mode.value for mode in Reveal}


def test_what_the_committee_learns() -> None:
    assert committee_learns(manifest()) == "how many keys are held by 1, 2, 3 … members"
    assert committee_learns(manifest(dummies=Dummies(0.5, 1e-6))).startswith("roughly how many keys")
    assert committee_learns(mpyc(5, 2)) == "nothing else, not even how many keys are held by 1, 2, 3 … members"
    assert (opens_sizes(manifest()), opens_sizes(mpyc(3, 1))) == (True, False)


def test_what_is_revealed_of_similar_records() -> None:
    blocks = "how many blocking keys are shared by 1, 2, 3 … records"
    assert committee_learns(manifest(rules=(ALIKE,))) == blocks
    assert committee_learns(manifest(rules=(*RULES, ALIKE))) == (
        f"how many keys are held by 1, 2, 3 … members and {blocks}"
    )
    hidden = committee_learns(manifest(rules=(ALIKE,), dummies=Dummies(0.5, 1e-6)))
    assert hidden.startswith(f"roughly {blocks}: dummy groups")
    assert deviates(manifest(rules=(ALIKE,))).endswith("than how similar they are.")


@pytest.mark.parametrize(
    ("nodes", "threshold", "says"),
    [
        (3, 1, "No single committee node learns anything of the lists; two that collude would."),
        (5, 1, "No single committee node learns anything of the lists; two that collude would."),
        (5, 2, "No two of the 5 committee nodes learn anything of the lists even together; three that collude would."),
        (9, 4, "No four of the 9 committee nodes learn anything of the lists even together; five that collude would."),
    ],
)
def test_whom_one_must_trust(nodes: int, threshold: int, says: str) -> None:
    assert trust(mpyc(nodes, threshold)) == says
    assert trust(manifest()) == "No single committee node learns anything of the lists; two that collude would."


def test_every_committee_has_its_sentence() -> None:
    said = {(n, t): trust(mpyc(n, t)) for n, t in product(range(3, 10), range(1, 5)) if 2 * t < n}
    assert len(said) == 16
    assert all(said[n, t] != said[n, t + 1] for n, t in said if (n, t + 1) in said)


def test_what_a_node_that_deviates_can_do() -> None:
    assert deviates(manifest()).endswith("on purpose can read every key.")
    assert deviates(manifest(verify_tags=True)).endswith("is noticed first, but for one chance in all keys.")
    assert "can spoil results, and with a member's help learn more of keys than whether they are equal" in deviates(
        mpyc(3, 1)
    )


@pytest.mark.parametrize("terms", [{}, {"verify_tags": True}, {"engine": "mpyc"}], ids=str)
def test_what_a_node_that_deviates_can_do_to_a_table(terms: dict[str, Any]) -> None:
    table = Statistics(12, (Category("sex", ("f", "m")),))
    without, said = deviates(manifest(**terms)), deviates(manifest(**terms, reveal="statistics", statistics=table))
    assert said == (
        f"{without} It can also have numbers of the table below 12 shown, shifted, so that whoever sees the table and "
        "knows by how much can tell them."
    )
