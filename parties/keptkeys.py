"""What a result needs of a list's keys, as bytes: kept sealed beside the private copy, which is not read again then.

The keys themselves and the vectors of records are not among it. What another version of the program kept is not read:
it could mean something else. Pure.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from parties import normalise
from parties.keys import Keys, RuleKeys
from parties.rules import Rule

VERSION = (normalise.VERSION, 1)
"""Of the standard, and of what is kept: its number is raised with every change of it."""
_OF_ROWS = ("numbers", "new", "household", "records")


def to_bytes(keys: Keys) -> bytes:
    """A list's keys, but for what is shared of them."""
    told = {
        "version": VERSION,
        "keys": len(keys.keys),
        "rules": len(keys.of_rule),
        "states": list(keys.states),
        "similar": keys.vectors is not None,
    }
    arrays: dict[str, Any] = {f"state{k}": states for k, states in enumerate(keys.states.values())}
    for k, of in enumerate(keys.of_rule):
        arrays |= {f"rows{k}": of.rows, f"places{k}": of.places}
    arrays |= {name: array for name in _OF_ROWS if (array := getattr(keys, name)) is not None}
    arrays["told"] = np.frombuffer(json.dumps(told).encode(), np.uint8)
    written = io.BytesIO()
    np.savez(written, **arrays)
    return written.getvalue()


def from_bytes(data: bytes, rules: Sequence[Rule]) -> Keys | None:
    """What `to_bytes` wrote; keys are zeros, and vectors without words. None if it was another version that wrote it.

    Args:
        data: our own: what it was sealed in tells that.
        rules: of the session.
    """
    with np.load(io.BytesIO(data), allow_pickle=False) as kept:
        told = json.loads(kept["told"].tobytes())
        if told.get("version") != list(VERSION):
            return None
        of_rule = tuple(RuleKeys(kept[f"rows{k}"], kept[f"places{k}"]) for k in range(told["rules"]))
        of_rows = {name: kept[name] for name in _OF_ROWS if name in kept}
        states = {name: kept[f"state{k}"] for k, name in enumerate(told["states"])}
    return Keys(
        rules=tuple(rules),
        keys=np.zeros((told["keys"], 2), np.uint64),
        of_rule=of_rule,
        states=states,
        vectors=np.zeros((len(of_rows["numbers"]), 0), np.uint64) if told["similar"] else None,
        **of_rows,
    )
