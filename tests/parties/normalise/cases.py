"""The published test vectors, as parameters of tests."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from parties.normalise import VERSION, Normal

VECTORS = Path(__file__).parents[3] / "docs" / "vectors"


def cases(name: str) -> Iterable[Any]:
    """The cases of a file, each with the name of its function."""
    whole = json.loads((VECTORS / f"{name}.json").read_text("utf-8"))
    assert whole["standard"] == VERSION
    return [
        pytest.param(case, id=f"{n} {ascii(case['in'])[:40]}")
        for n, one in enumerate(whole["cases"])
        for case in [{"function": whole["function"], **one}]
    ]


def expected(case: dict[str, Any]) -> tuple[tuple[str, ...], str | None]:
    return tuple(case["out"]), case["note"]


def found(normal: Normal) -> tuple[tuple[str, ...], str | None]:
    return normal.values, normal.note.name if normal.note else None
