"""Results of made-up lists, for the tests of reviews."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from parties.keys import Keys, RuleKeys
from parties.manifest import Manifest
from parties.results import Result
from tests.parties.samples import manifest

TERMS = manifest()
ANNA, ANNA_AGAIN = ("Anna", "id-1", "phone-1"), ("Ana", "id-1", "phone-9")
BOB, CLEO = ("Bob", "id-2", "phone-2"), ("Cleo", "id-3", "phone-3")


def result(
    rows: Sequence[tuple[str, str, str]],
    found: Mapping[str, int],
    terms: Manifest = TERMS,
    *,
    new: Sequence[bool] | None = None,
    first: int = 2,
) -> Result:
    """agency-a's result.

    Args:
        rows: what is known of a person, and what the two rules compare of it.
        found: for what a rule compares what the committee says of it: how many others, or bits of members.
        terms: of the session.
        new: which rows are reported.
        first: number of the first row.
    """
    values = sorted({value for row in rows for value in row[1:]})
    dtype = {"flag": np.uint8, "count": np.uint16, "members": np.uint64}[terms.reveal]
    said = np.array([found.get(value, 0) for value in values], dtype)
    every = np.arange(len(rows), dtype=np.int32)
    records = b"".join(hashlib.blake2b(repr(row).encode(), digest_size=16).digest() for row in rows)
    keys = Keys(
        rules=terms.rules,
        keys=np.zeros((len(values), 2), np.uint64),
        of_rule=tuple(RuleKeys(every, np.array([values.index(row[k]) for row in rows], np.int32)) for k in (1, 2)),
        numbers=np.arange(first, first + len(rows)),
        states={},
        new=None if new is None else np.array(new),
        records=np.frombuffer(records, "V16"),
    )
    return Result(terms, "agency-a", keys, said[:, None] if terms.reveal == "members" else said)
