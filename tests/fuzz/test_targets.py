"""All targets on what is kept, on common hostile inputs, and on some thousand spoilt ones, the same in every run."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from tests.fuzz.__main__ import FOUND
from tests.fuzz.mutations import mutated
from tests.fuzz.target import CORPUS, Target
from tests.fuzz.targets import TARGETS

EXAMPLES = 250
SLOW = {"backup": 60, "list-check": 100}
"""Fewer where one takes long."""


def hostile(size: int) -> list[bytes]:
    """Inputs that no decoder likes: empty, deep, long, with numbers and lengths that claim much."""
    deep = size // 8
    return [
        b"",
        bytes(size),
        b"\xff" * size,
        b"[" * size,
        b'{"a":' * deep,
        b"a = " + b"[" * size,
        b"a = " + b"{a=" * deep,
        b"a = " + b"9" * size,
        b'"' + b"a" * size,
        b"a." * (size // 2) + b"a = 1",
        b"\n".join(b"a%d.b.c = 1" % k for k in range(deep // 4)),
        b"[[node]]\n" * deep,
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x0a\x02" * deep,
        (1 << 60).to_bytes(8, "little") * deep,
        b"'" * size,
        b"\xed\xa0\x80" * deep,
    ]


@pytest.fixture(params=list(TARGETS.values()), ids=list(TARGETS))
def target(request: pytest.FixtureRequest) -> Target:
    found: Target = request.param
    return found


def test_seeds_are_read(target: Target) -> None:
    for data in target.seeds():
        target.run(data)


def test_kept_and_hostile_inputs_take_little(target: Target) -> None:
    target.seeds()
    for data in (*target.corpus(), *hostile(min(target.longest, 1 << 13))):
        _run(target, target.check_bounded, data, "kept or hostile")


def test_spoilt_inputs(target: Target) -> None:
    """`python -m tests.fuzz NAME FILE` runs one again."""
    known = [*target.seeds(), *target.corpus()]
    for number in range(SLOW.get(target.name, EXAMPLES)):
        random = Random(f"{target.name} {number}")
        _run(target, target.check, mutated(target, random.choice(known), known, random), f"spoilt, number {number}")


def _run(target: Target, check: Callable[[bytes], None], data: bytes, what: str) -> None:
    try:
        check(data)
    except Exception as error:
        path = FOUND / target.name / "finding"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        raise AssertionError(f"{target.name}, {what} ({len(data)} bytes, in {path}): {error!r}") from error


def test_the_corpus_is_small_and_of_targets() -> None:
    kept = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in kept) < 1 << 20
    assert {path.parent.name for path in kept} <= {*TARGETS}
