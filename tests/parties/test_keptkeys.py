"""What is kept of a list's keys gives the result that the keys give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from parties import fields, keptkeys
from parties.fields import NewRows
from parties.keys import Keys, make_keys
from parties.results import Result
from parties.rules import Rule
from tests.parties.inventing import ALIKE, HEADINGS, ID, invented, write_list
from tests.parties.samples import manifest

HOUSEHOLD = Rule("house hold/ключ", ("phone",), "household")
ODD = Rule("a heading of one's own", ("Mein/Feld",))


def keys_of(folder: Path, rules: tuple[Rule, ...], new: NewRows = NewRows()) -> Keys:  # noqa: B008 - frozen
    rows = [[*row, str(k // 2), "yes" if k % 3 else "no", str(k)] for k, row in enumerate(invented(Random(7), 40))]
    path = write_list(folder / "list.csv", rows, (*HEADINGS, "household_id", "neu", "Mein/Feld"))
    return make_keys(fields.open_list(path), b"s" * 32, rules, "UA", new=new, record_key=b"k" * 32)[0]


@pytest.mark.parametrize("rules", [(ID,), (ALIKE,), (ID, ALIKE, HOUSEHOLD, ODD)], ids=len)
@pytest.mark.parametrize("new", [NewRows(), NewRows(column="neu")], ids=("all", "new"))
def test_results_are_those_of_the_list(tmp_path: Path, rules: tuple[Rule, ...], new: NewRows) -> None:
    keys, terms = keys_of(tmp_path, rules, new), manifest(rules=rules)
    kept = keptkeys.from_bytes(keptkeys.to_bytes(keys), rules)
    assert kept is not None
    assert kept.values == keys.values
    values = np.random.default_rng(1).integers(0, 2, keys.values).astype(np.uint8)
    due, found = (Result(terms, "agency-a", of, values) for of in (keys, kept))
    assert list(found.cells()) == list(due.cells())
    assert found.summary() == due.summary()
    assert found.matched_rows.any()
    assert keys.records is not None
    assert kept.records is not None
    assert np.array_equal(kept.records, keys.records)


@pytest.mark.parametrize("version", [("matchbit-0", keptkeys.VERSION[1]), (keptkeys.VERSION[0], 0)], ids=str)
def test_what_another_version_kept_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: tuple[str, int]
) -> None:
    keys = keys_of(tmp_path, (ID,))
    with monkeypatch.context() as before:
        before.setattr(keptkeys, "VERSION", version)
        written = keptkeys.to_bytes(keys)
        assert keptkeys.from_bytes(written, (ID,)) is not None
    assert keptkeys.from_bytes(written, (ID,)) is None


def test_nothing_that_is_shared_is_kept(tmp_path: Path) -> None:
    keys = keys_of(tmp_path, (ID, ALIKE))
    kept = keptkeys.to_bytes(keys)
    assert keys.vectors is not None
    assert not any(key.tobytes() in kept for key in keys.keys)
    assert not any(row[:2].tobytes() in kept for row in keys.vectors)
    assert len(keptkeys.to_bytes(replace(keys, vectors=keys.vectors.repeat(2, axis=1)))) == len(kept)
