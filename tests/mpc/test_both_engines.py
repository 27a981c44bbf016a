"""Both engines on the same random inputs: the same outputs, in every mode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc import engine
from mpc.matching import Reveal
from mpc.replicated import Array
from parties import worker
from parties.inputs import bits_of
from parties.worker import Task
from tests.mpc.workers import Case, held, results
from tests.world import OF_KEYS, World, dealt, run_parties

POOL = [0, 1, 2**64, 2**64 + 1, 2**127, 2**128 - 1]
"""Keys that share words, and those at the ends."""


@st.composite
def cases(draw: st.DrawFn, reveals: Sequence[Reveal]) -> Case:
    """2 to 4 members with some of a few keys each."""
    lists = draw(st.lists(st.sets(st.sampled_from(POOL)).map(sorted), min_size=2, max_size=4).filter(any))
    cells = [draw(st.lists(st.integers(0, 2), min_size=len(keys), max_size=len(keys))) for keys in lists]
    smallest = draw(st.integers(1, 3))
    return Case(lists, draw(st.sampled_from(reveals)), cells=cells, number=3, smallest=smallest)


def words(lists: Sequence[Sequence[int]]) -> list[Array]:
    """The keys as the replicated engine has them, (n, 2) uint64."""
    return [np.array([[k % 2**64, k >> 64] for k in keys], np.uint64).reshape(-1, 2) for keys in lists]


def replicated(case: Case) -> list[list[object]]:
    """What the replicated engine tells each member of its keys."""
    inputs = dealt(words(case.lists), case.reveal)
    outputs = run_parties(lambda s: engine.run(s, inputs[s.party], lambda *_: None))
    found: list[list[object]] = []
    for member, parts in enumerate(zip(outputs[0].parts, outputs[1].parts, strict=True)):
        values = parts[0] ^ parts[1]
        match case.reveal:
            case Reveal.MEMBERS:
                others = [m for m in range(len(case.lists)) if m != member]
                found.append([tuple(k for k, m in enumerate(others) if int(v) >> m & 1) for v in values[:, 0]])
            case Reveal.COUNT:
                found.append([int(v) for v in values])
            case _:
                found.append([bool(v) for v in values])
    return found


@settings(max_examples=9, deadline=None)
@given(cases(OF_KEYS))
def test_members_learn_the_same(case: Case) -> None:
    by_mpyc = Case(case.lists, case.reveal)
    assert [held(values, case.reveal) for values in by_mpyc.opened(results(by_mpyc.tasks()))] == replicated(case)


@settings(max_examples=5, deadline=None)
@given(cases([Reveal.STATISTICS]))
def test_the_tables_are_the_same(case: Case) -> None:
    by_mpyc = case.opened(results(case.tasks()))
    after = case.opened(tabulated(case))
    for table in (*by_mpyc, *after):
        assert np.array_equal(table, case.table())


def tabulated(case: Case) -> list[list[Array]]:
    """What the parties of the replicated engine return of a table, each by a worker at its end."""
    cells = np.array([1 << c for of_member in case.cells for c in of_member], np.uint64)
    cuts = np.cumsum(case.counts)[:-1]
    rows = [np.column_stack([k, c]) for k, c in zip(words(case.lists), np.split(cells, cuts), strict=True)]
    inputs = dealt(rows, case.reveal)
    outputs = run_parties(lambda s: engine.run(s, inputs[s.party], lambda *_: None))
    tasks = []
    for party, output in enumerate(outputs):
        part = None
        if output.parts is not None:
            part = np.concatenate([bits_of(p, m, len(case.lists), case.number) for m, p in enumerate(output.parts)])
        tasks.append(
            Task(
                party, 3, 1, b"a session", b"t" * 32, case.counts, case.reveal, case.number, case.smallest, part,
                follows=True,
            )
        )  # fmt: skip
    world = World(timeout_s=60.0).connect(lambda me, channel: worker.compute(tasks[me], channel, lambda *_: None).parts)
    for error in world.errors.values():
        raise error
    return [world.results[p] for p in range(3)]
