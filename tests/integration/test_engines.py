"""Both engines on real daemons: committees of three, five and seven, every reveal, and what may die meanwhile.

All sessions are those of one federation, whose seven committee nodes are more than most of them need; those of its
daemons that a test has stopped are started for the next.
"""

from __future__ import annotations

import csv
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from parties import calls, trial
from parties.engines import Engine
from parties.errors import SessionRefused
from parties.lifecycle import State
from parties.store import SessionRecord
from parties.table import Table
from protos.matchbit.v1.session_pb2 import SessionState
from tests.integration.federations import (
    COORDINATOR,
    MEMBERS,
    Federation,
    Keys,
    overlapping,
    random_keys,
    write_numbers,
)

MPYC = {"engine": Engine.MPYC.value, "max_records": 200}
VICTIM = "agency-b"
ROWS, COMMON = 400, 100
"""Keys of each member that take some seconds, and how many of them are common to all."""


@pytest.fixture(scope="module")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    nodes = trial.committee_for(MEMBERS, 7)
    with Federation(tmp_path_factory.mktemp("engines"), MEMBERS, nodes) as running:
        yield running


@pytest.fixture
def engines(_running: Federation) -> Iterator[Federation]:
    """Three members, and seven nodes of which a committee can be chosen."""
    yield _running
    _running.revive()


def of(nodes: int) -> list[str]:
    """A committee of so many of them."""
    return list(trial.committee_for(MEMBERS, 7)[:nodes])


@pytest.mark.parametrize(
    ("engine", "nodes", "reveal"),
    [
        ("replicated", 3, "flag"),
        ("replicated", 3, "count"),
        ("replicated", 3, "members"),
        ("mpyc", 3, "flag"),
        ("mpyc", 5, "count"),
        ("mpyc", 7, "members"),
    ],
)
def test_members_learn_what_the_terms_say(
    engines: Federation, tmp_path: Path, engine: str, nodes: int, reveal: str
) -> None:
    lists = overlapping(MEMBERS, 20)
    terms = {"engine": engine, "max_records": 200, "reveal": reveal, "committee": of(nodes)}
    record = engines.ready(tmp_path, lists, **terms)
    assert record.manifest.threshold == (nodes - 1) // 2
    engines.check(tmp_path, engines.operator.run(record.id), lists)
    engines.operator.coordinator.close(record.id)


def test_less_than_the_most_may_collude(engines: Federation, tmp_path: Path) -> None:
    lists = overlapping(MEMBERS, 10)
    record = engines.ready(tmp_path, lists, **MPYC, committee=of(5), threshold=1)
    engines.check(tmp_path, engines.operator.run(record.id), lists)


@pytest.mark.parametrize("rows", [(1, 63, 64), (65, 1, 1)], ids=str)
def test_lists_about_a_words_length(engines: Federation, tmp_path: Path, rows: tuple[int, ...]) -> None:
    lists = {name: [f"N{k}" for k in range(number)] for name, number in zip(MEMBERS, rows, strict=True)}
    record = engines.ready(tmp_path, lists, **MPYC, committee=of(3), reveal="members")
    engines.check(tmp_path, engines.operator.run(record.id), lists)


def test_no_rows_and_an_absent_member(engines: Federation, tmp_path: Path) -> None:
    """A list without rows cannot be contributed; the others are compared without its owner."""
    lists = overlapping(MEMBERS[:2], 20)
    record = engines.approved(**MPYC, committee=of(5), reveal="count", min_members=2)
    for name, numbers in lists.items():
        engines.member(name).contribute(record.id, write_numbers(tmp_path / f"{name}.csv", numbers))
    with pytest.raises(SessionRefused, match="outside the session's limit"):
        engines.member("agency-c").contribute_keys(record, random_keys({"agency-c": 0}, 0)["agency-c"])
    engines.check(tmp_path, engines.operator.run(record.id), lists)
    with pytest.raises(SessionRefused, match="has not contributed"):
        engines.member("agency-c").results(record.id, tmp_path / "c.csv", tmp_path / "c.html")


# Tables


def write_people(path: Path, people: dict[str, str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id_number", "sex"), *people.items()])
    return path


@pytest.mark.parametrize(("engine", "nodes"), [("replicated", 3), ("mpyc", 5)])
def test_all_members_get_the_same_table(engines: Federation, tmp_path: Path, engine: str, nodes: int) -> None:
    """Of each person by its first holder; and small numbers are not shown to anybody."""
    lists = {
        "agency-a": {f"N{k}": "F" for k in range(20)},
        "agency-b": {f"N{k}": "M" for k in range(16, 38)},
        "agency-c": {f"N{k}": "" for k in (1, 2, *range(18, 26))},
    }
    table = {"smallest_cell": 4, "category": [{"field": "sex", "values": ["female", "male"]}]}
    terms = {"engine": engine, "max_records": 200, "reveal": "statistics", "statistics": table, "committee": of(nodes)}
    record = engines.approved(**terms)
    for name, people in lists.items():
        engines.member(name).contribute(record.id, write_people(tmp_path / f"{name}.csv", people), accept=True)
    done = engines.operator.run(record.id)
    holders = Counter(number for people in lists.values() for number in people)
    first = {number: sex for people in reversed(lists.values()) for number, sex in people.items()}
    counted = Counter((first[number], times) for number, times in holders.items())
    people = [[counted[sex, times] for times in (1, 2, 3)] for sex in ("F", "M", "")]
    assert people == [[14, 4, 2], [12, 6, 0], [0, 0, 0]]
    expected = ((14, 4, 0), (12, 6, 0), (0, 0, 0))
    for name in MEMBERS:
        out = tmp_path / f"{name}-table.csv"
        found = engines.member(name).results(done.id, out, out.with_suffix(".html"))
        assert isinstance(found, Table)
        assert found.numbers == expected
        assert "fewer than 4" in out.read_text("utf-8-sig")


# What may die


def slow(federation: Federation, nodes: int = 3) -> tuple[SessionRecord, Keys]:
    """A session that takes a while, ready to run, and its members' keys."""
    record = federation.approved(**(MPYC | {"max_records": ROWS}), committee=of(nodes))
    keys = random_keys(dict.fromkeys(MEMBERS, ROWS), COMMON)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: federation.member(name).contribute_keys(record, keys[name]), MEMBERS))
    return record, keys


def until_matching(federation: Federation, record: SessionRecord, name: str = VICTIM) -> None:
    """Run a session until a node is in the midst of the computation."""
    federation.operator.coordinator.run(record.id)
    own = federation.configs[COORDINATOR]
    while True:
        run = calls.get_run(own, own.federation()[name], record.id)
        assert run.state != SessionState.SESSION_STATE_DONE, "the lists are too short to be interrupted"
        if run.progress.phase == "match":
            return


def workers(pid: int) -> list[int]:
    """The processes that compute for a node."""
    if not sys.platform.startswith("linux"):
        pytest.skip("processes are found in /proc")
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, status = (folder / "cmdline").read_bytes(), (folder / "stat").read_text("utf-8")
        except OSError:  # it has ended
            continue
        if b"parties.worker" in command and int(status.rpartition(")")[2].split()[1]) == pid:
            found.append(int(folder.name))
    return found


def story(federation: Federation, record: SessionRecord, name: str = VICTIM) -> list[str]:
    """What a node logged of a session."""
    return [entry.sentence for entry in federation.configs[name].store().entries(record.id)]


@pytest.mark.parametrize("nodes", [3, 5])
def test_a_node_is_killed(engines: Federation, nodes: int) -> None:
    """The session goes on with fresh randomness when it is back; its worker does not outlive it."""
    record, keys = slow(engines, nodes)
    until_matching(engines, record)
    (orphan,) = workers(engines.pid(VICTIM))
    engines.stop(VICTIM, kill=True)
    engines.start(VICTIM)
    done = engines.operator.wait(record.id, State.DONE, 120)
    assert done.attempt == 2
    engines.check_keys(done, keys, COMMON)
    assert not _is_alive(orphan)


def _is_alive(pid: int) -> bool:
    try:
        return b"parties.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_a_worker_is_killed(engines: Federation) -> None:
    """Its node says so in one sentence, and the session is run again by itself."""
    record, keys = slow(engines)
    until_matching(engines, record)
    (worker,) = workers(engines.pid(VICTIM))
    os.kill(worker, signal.SIGKILL)
    done = engines.operator.wait(record.id, State.DONE, 120)
    assert done.attempt == 2
    engines.check_keys(done, keys, COMMON)
    told = [sentence for sentence in story(engines, record) if "ended before its time (signal 9)" in sentence]
    assert len(told) == 1
    assert "\n" not in told[0]
    assert "Traceback" not in engines.log(VICTIM)
    assert not workers(engines.pid(VICTIM))


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_node_that_is_asked_to_stop_comes_to_its_end_first(engines: Federation, stop: signal.Signals) -> None:
    """As systemd and a terminal ask: the node and its worker, both."""
    record, keys = slow(engines)
    until_matching(engines, record)
    for pid in (*workers(engines.pid(VICTIM)), engines.pid(VICTIM)):
        os.kill(pid, stop)
    assert engines.ended(VICTIM) == 0
    engines.start(VICTIM)
    done = engines.operator.wait(record.id, State.DONE, 120)
    assert done.attempt == 1
    engines.check_keys(done, keys, COMMON)


def test_a_node_that_is_stopped_at_once(engines: Federation) -> None:
    """Its operator asked twice: it waits for nothing, and the session is run again when it is back."""
    record, keys = slow(engines)
    until_matching(engines, record)
    before = len(engines.log(VICTIM))
    os.kill(engines.pid(VICTIM), signal.SIGTERM)
    while "uploads and runs under way: 1" not in engines.log(VICTIM)[before:]:
        pass
    os.kill(engines.pid(VICTIM), signal.SIGTERM)
    engines.ended(VICTIM)
    engines.start(VICTIM)
    done = engines.operator.wait(record.id, State.DONE, 120)
    assert done.attempt == 2
    engines.check_keys(done, keys, COMMON)
