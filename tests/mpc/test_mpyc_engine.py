"""The MPyC engine, each party in a worker process as in a node: right, quiet, and safe from what peers send."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc import blocks, shamir
from mpc.errors import DealingError, IntegrityError, MpcError, PeerError
from mpc.matching import Reveal
from parties import worker
from parties.worker import Task
from tests.mpc.workers import Case, held, results, run, truth
from tests.world import OF_KEYS

COMMITTEES = [(3, 1), (4, 1), (5, 2), (5, 1), (7, 3)]
KEYS = st.integers(0, 2**128 - 1) | st.integers(0, 3) | st.integers(2**128 - 3, 2**128 - 1)


@st.composite
def lists(draw: st.DrawFn) -> list[list[int]]:
    """2 to 4 members with some of a few keys, at least one in all."""
    pool = draw(st.lists(KEYS, min_size=1, max_size=6, unique=True))
    subset = st.sets(st.sampled_from(pool)).map(sorted)
    return draw(st.lists(subset, min_size=2, max_size=4).filter(any))


def sample(sizes: tuple[int, ...], seed: int = 1) -> list[list[int]]:
    """Lists of these sizes from a pool of which about half is shared."""
    chance = random.Random(seed)
    pool = [chance.getrandbits(128) for _ in range(2 * max(sizes) + 1)]
    return [chance.sample(pool, size) for size in sizes]


@settings(max_examples=8, deadline=None)
@given(lists(), st.sampled_from(OF_KEYS), st.sampled_from(COMMITTEES))
def test_members_learn_what_is_so(keys: list[list[int]], reveal: Reveal, committee: tuple[int, int]) -> None:
    case = Case(keys, reveal, *committee)
    found = case.opened(results(case.tasks()))
    assert [held(values, reveal) for values in found] == truth(keys, reveal)


@pytest.mark.parametrize("sizes", [(0, 1, 1), (63, 64, 65), (1, 130), (33, 0)])
@pytest.mark.parametrize("reveal", OF_KEYS)
def test_odd_sizes(sizes: tuple[int, ...], reveal: Reveal) -> None:
    case = Case(sample(sizes), reveal)
    found = case.opened(results(case.tasks()))
    assert [held(values, reveal) for values in found] == truth(case.lists, reveal)


@pytest.mark.parametrize("committee", COMMITTEES)
def test_a_table(committee: tuple[int, int]) -> None:
    keys = sample((20, 20, 20))
    cells = [[row % 3 for row in range(20)] for _ in keys]
    case = Case(keys, Reveal.STATISTICS, *committee, cells=cells, number=4, smallest=3)
    found = case.opened(results(case.tasks()))
    assert all(np.array_equal(table, case.table()) for table in found)
    assert 0 < np.count_nonzero(case.table()) < case.table().size


def test_what_is_not_zero_tells_nothing() -> None:
    """The same lists again give other values, and no value is there twice."""
    case = Case([[1, 2, 3, 4], [3, 4, 5]], Reveal.MEMBERS)
    both = [[v for values in case.opened(results(case.tasks())) for v in values.reshape(-1).tolist()] for _ in range(2)]
    assert [v == 0 for v in both[0]] == [v == 0 for v in both[1]]
    nonzero = [v for values in both for v in values if v]
    assert len({*nonzero}) == len(nonzero)


@pytest.mark.parametrize("reveal", [Reveal.FLAG, Reveal.COUNT])
@pytest.mark.parametrize("committee", [(3, 1), (5, 2), (5, 1)])
def test_traffic_is_that_of_the_multiplications(reveal: Reveal, committee: tuple[int, int]) -> None:
    """Between two sizes of lists the bytes differ by exactly what `blocks.multiplications` says."""
    parties, t = committee
    sent, counted = [], []
    for size in (20, 37):
        case = Case(sample((size, size, size)), reveal, parties, t)
        world = run(case.tasks())
        assert not world.errors
        sent.append(sum(world.bytes_of(p) for p in range(parties)))
        counted.append(blocks.multiplications(case.counts, reveal))
    each = (2 * t + 1) * (parties - 1) * shamir.ELEMENT_BYTES
    assert sent[1] - sent[0] == (counted[1] - counted[0]) * each


def test_messages_do_not_depend_on_matches() -> None:
    seen = []
    for keys in ([[1, 2, 3], [4, 5]], [[1, 2, 3], [2, 3]]):
        world = run(Case(keys).tasks())
        assert not world.errors
        seen.append(sorted((m.sender, m.receiver, m.step, len(m.message)) for m in world.sent))
    assert seen[0] == seen[1]


# Hostile peers and members


class Bomb:
    """Runs a command where it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (sys.exit, (42,))


def is_step(step: str) -> bool:
    """Whether a message is of a multiplication, or of what is opened."""
    return step.rsplit("/", maxsplit=1)[-1].partition("#")[0].isdecimal()


@pytest.mark.parametrize(
    "hostile",
    [pickle.dumps(Bomb()), pickle.dumps(np.arange(3)), b"", b"\xff" * 17 * 4, b"\x80\x04" + bytes(10**6)],
    ids=["bomb", "array", "empty", "elements", "long"],
)
def test_what_is_no_message_of_ours_is_refused(hostile: bytes) -> None:
    """A peer that sends anything else, its authenticator right or not, is named, and nothing is unpickled."""

    def tamper(sender: int, receiver: int, step: str, message: bytes) -> list[bytes]:
        return [hostile if (sender, receiver) == (1, 0) and is_step(step) else message]

    world = run(Case([[1, 2], [2, 3]]).tasks(), tamper)
    error = world.errors[0]
    assert isinstance(error, PeerError)
    assert (error.peer, error.reason) == (1, "malformed")


@pytest.mark.parametrize("sent", ["too large", "short"])
def test_a_peers_element_that_is_none(sent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An authentic message that is not of field elements, or not of as many, from a peer that runs other code."""
    monkeypatch.setattr(worker, "COMMAND", [sys.executable, "-m", "tests.mpc.lying_worker", sent])
    world = run(Case([[1, 2], [2, 3]]).tasks())
    assert any(isinstance(e, PeerError) and (e.peer, e.reason) == (1, "malformed") for e in world.errors.values())


def blamed(tasks: list[Task]) -> int:
    """The member that parties blame; one may hear that another has stopped before it sees why."""
    errors = run(tasks).errors
    assert len(errors) == len(tasks)
    members = {e.member for e in errors.values() if isinstance(e, DealingError)}
    assert all(isinstance(e, DealingError) or e.reason == "disconnected" for e in errors.values())
    assert len(members) == 1
    return members.pop()


def test_a_member_whose_shares_do_not_fit_is_named() -> None:
    tasks = Case([[1, 2], [2, 3], [4]]).tasks()
    rows = tasks[2].rows.copy()
    rows[3, 0, 0] ^= 1
    tasks[2] = replace(tasks[2], rows=rows)
    assert blamed(tasks) == 1


def test_a_number_above_the_field_is_the_members() -> None:
    tasks = Case([[1, 2], [2, 3], [4]]).tasks()
    rows = tasks[0].rows.copy()
    rows[4] = 0xFF
    tasks[0] = replace(tasks[0], rows=rows)
    assert blamed(tasks) == 2


@pytest.mark.parametrize("cells", [[0, 0], [2, 0], [1, 1]], ids=["none", "two", "both"])
def test_a_row_is_in_one_cell(cells: list[int]) -> None:
    """Shares of numbers that are no cell: none, two, or each a half of it in sum."""
    case = Case([[1, 2], [2, 3]], Reveal.STATISTICS, cells=[[0, 1], [1, 1]], number=2)
    rows = np.array([[1, 1, 0], [2, 0, 1], [2, 0, 1], [3, *cells]], object)
    coefficients = np.full((1, *rows.shape), 7, object)
    shares = shamir.split(rows, coefficients, 3)
    tasks = [replace(task, rows=shamir.encode(share)) for task, share in zip(case.tasks(), shares, strict=True)]
    assert blamed(tasks) == 1


@pytest.mark.parametrize(
    "change",
    [{"terms": b"u" * 32}, {"reveal": Reveal.COUNT}, {"smallest": 2}, {"threshold": 2}],
    ids=["terms", "reveal", "smallest", "threshold"],
)
def test_other_terms_are_noticed(change: dict) -> None:
    tasks = Case([[1, 2], [2, 3]], parties=5, threshold=1).tasks()
    tasks[3] = replace(tasks[3], **change)
    world = run(tasks)
    own = {p: e for p, e in world.errors.items() if isinstance(e, IntegrityError)}
    assert own
    assert all(e.peers == (3,) for p, e in own.items() if p != 3)
    assert all(isinstance(e, MpcError) for e in world.errors.values())
    assert len(world.errors) == 5


# Its process


def test_importing_it_leaves_the_process_as_it_was() -> None:
    """No argument is read, no logging set up, nothing printed; MPyC's options in the arguments do nothing."""
    program = (
        "import logging, sys; before = (sys.argv[:], logging.root.handlers[:], logging.root.level)\n"
        "import mpc.mpyc_engine\n"
        "assert (sys.argv, logging.root.handlers, logging.root.level) == before, sys.argv"
    )
    done = subprocess.run([sys.executable, "-c", program, "--help", "-M5", "-T", "0"], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_worker_ends_when_its_node_is_gone() -> None:
    done = subprocess.run([sys.executable, "-m", "parties.worker"], input=b"", capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
