"""Matches of similar records in the queue: told apart from exact ones, and by how sure they are."""

from pathlib import Path

import numpy as np

from parties.fields import open_list
from parties.keys import make_keys
from parties.results import Result
from parties.review import _pairs
from parties.rules import Rule
from tests.parties.samples import ALIKE, ALIKE_GRADED, SIMILAR, manifest, write

KEY = bytes(32)
EXACT = Rule("similar people", SIMILAR.fields)


def digests(folder: Path, rule: Rule, value: int) -> tuple[set[bytes], set[str]]:
    """Of the pairs of a list of one row, and whom it is with."""
    text = "phone,birth_date,full_name\n067 123 45 67,1980-01-31,Olena\n"
    keys = make_keys(open_list(write(folder / "l.csv", text)), bytes(32), (rule,), "UA", record_key=KEY)[0]
    terms = manifest(rules=(rule,), reveal="grade" if rule is ALIKE_GRADED else "flag")
    pairs = list(_pairs(Result(terms, "agency-a", keys, np.array([value], np.uint8)), KEY))
    return {digest for _, digest, _, _ in pairs}, {whom for *_, whom in pairs}


def test_a_decision_on_a_similar_record_is_none_on_an_exact_match_of_the_same_fields(tmp_path: Path) -> None:
    (exact, _), (alike, _) = digests(tmp_path, EXACT, 1), digests(tmp_path, ALIKE, 1)
    assert len(exact) == len(alike) == 1
    assert not exact & alike


def test_a_match_that_has_become_surer_is_raised_again(tmp_path: Path) -> None:
    possible, probable, certain = (digests(tmp_path, ALIKE_GRADED, value) for value in (1, 3, 7))
    assert possible[1] == {"another member (possible)"}
    assert certain[1] == {"another member (certain)"}
    assert len(possible[0] | probable[0] | certain[0]) == 3
    assert digests(tmp_path, ALIKE_GRADED, 1) == possible
