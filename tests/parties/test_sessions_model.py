"""Thousands of lives of a session; each failure prints the steps that lead to it."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import initialize, run_state_machine_as_test

from parties import guard, lifecycle, shares
from parties.errors import SessionRefused
from parties.federation import Federation
from parties.guard import Guard
from parties.lifecycle import Event, State
from parties.registry import Registry
from parties.runner import Runner
from parties.shares import Shares
from parties.statements import Commitment
from parties.store import Store
from tests.parties.beginnings import beginnings, small_pieces
from tests.parties.lifetimes import Life
from tests.parties.samples import examples

HISTORIES = int(os.environ.get("SESSION_HISTORIES", "0"))
"""So many new ones; else the same 2,000 every time."""
LIVES = settings(examples(HISTORIES or 2000), derandomize=not HISTORIES, report_multiple_bugs=False)
SEARCH = settings(examples(1000), phases=[Phase.generate], report_multiple_bugs=False)


@pytest.fixture(autouse=True, scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    log = logging.getLogger("matchbit")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with small_pieces():
            Life.begin_at = beginnings(tmp_path_factory.mktemp("beginnings"))
            yield
    finally:
        log.setLevel(level)


def test_a_session_survives_anything() -> None:
    run_state_machine_as_test(Life, settings=LIVES)


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_a_session_ends_although_a_node_stays_away(rounds: int, tmp_path: Path) -> None:
    """Whenever the node goes, the coordinator loses its patience; when it is back, nobody has to contribute again."""
    world = Life.begin_at[3, "ready"].world(tmp_path)
    world.run()
    for _ in range(rounds):
        world.step()
    gone = world.nodes["neutral"]
    gone.die()
    for _ in range(20):
        world.work()
        world.wait(seconds=30)
    states = {daemon.name: daemon.store.get(world.id).state for daemon in world.daemons.values() if daemon is not gone}
    assert set(states.values()) == {State.ABORTED}, states
    assert "neutral" in world.hub.store.get(world.id).reason
    gone.start()
    world.settle()
    assert gone.store.get(world.id).state is State.ABORTED
    world.run()
    world.settle()
    assert {daemon.store.get(world.id).state for daemon in world.daemons.values()} == {State.DONE}
    world.end()


# The machine finds what is wrong


def nothing(*_args: Any, **_kwargs: Any) -> None:
    """What a check does that was left out."""


@contextmanager
def open_when_looked_at(guard: Guard, c: Commitment) -> Iterator[None]:
    """`Guard._contributions_open` that looks once, when an upload begins, and before its transaction."""
    begun = guard.store.read("SELECT 1 FROM uploads WHERE session = ? AND NOT complete", (c.session_id,))
    if not begun and guard.store.get(c.session_id).state is not State.APPROVED:
        raise SessionRefused("contributions are closed")
    yield


def begin_anew(column: str, value: object) -> Callable[..., None]:
    """`Store.begin`, which forgets something first."""
    begin = Store.begin

    def forgetful(store: Store, session: bytes, *args: Any, **kwargs: Any) -> None:
        with store.transaction() as db:
            db.execute(f"UPDATE sessions SET {column} = ? WHERE id = ?", (value, session))  # noqa: S608
            begin(store, session, *args, **kwargs)

    return forgetful


@dataclass(frozen=True)
class Fault:
    """Something that is planted: where, what, and what the machine says of histories that begin at a stage."""

    place: Any
    name: Any
    planted: Any
    stage: str
    may: tuple[str, ...]
    words: str


FAULTS = {
    "approvals are not checked": Fault(
        Federation, "check_approved", nothing, "proposed", ("lie",), "without an approval"
    ),
    "earlier sessions do not count": Fault(
        Store, "had_results", lambda _store, _member, _but: [], "approved", (), "not refused"
    ),
    "receipts are not checked": Fault(
        Registry, "_check_receipts", nothing, "approved", (), "cannot be run again|at the coordinator"
    ),
    "only the newest upload is kept": Fault(shares, "KEPT_UPLOADS", 1, "ready", (), "cannot be run again"),
    "an upload is overtaken by an attempt": Fault(
        Guard, "_contributions_open", open_when_looked_at, "ready", (), "received after an attempt|computed on"
    ),
    "other contributions at a later attempt": Fault(
        Store, "begin", begin_anew("contributions", None), "aborted", ("lie",), "changed after commitment"
    ),
    "a number of an attempt is used again": Fault(
        Store, "begin", begin_anew("attempt", 0), "aborted", ("lie",), "number is used again"
    ),
    "results outlive their attempt": Fault(
        Shares, "drop_results", nothing, "half computed", (), "results that it did not compute"
    ),
    "a run that was cut off goes on for ever": Fault(
        Guard, "recover", nothing, "cut off", (), "does not come to an end"
    ),
    "results without all nodes' word": Fault(
        guard, "check_completions", nothing, "half computed", ("lie",), "before all nodes had computed"
    ),
    "an attempt after the release": Fault(
        lifecycle.TABLE, (State.DONE, Event.BEGIN), State.RUNNING, "released", ("lie",), "attempt after released"
    ),
    "an abort after the release": Fault(
        lifecycle.TABLE, (State.DONE, Event.ABORT), State.ABORTED, "released", ("lie",), "aborted after released"
    ),
    "nodes are not told of the end": Fault(
        Runner, "_untold", lambda _runner, _record: [], "released", (), "at the coordinator"
    ),
    "shares are not deleted": Fault(shares, "_delete", nothing, "ready", ("close",), "outlive their session"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_is_found(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    class Faulty(Life):
        @initialize()
        def begin(self) -> None:
            self.set_out(3, fault.stage, fault.may)

    if isinstance(fault.place, dict):
        monkeypatch.setitem(fault.place, fault.name, fault.planted)
    else:
        monkeypatch.setattr(fault.place, fault.name, fault.planted)
    with pytest.raises(AssertionError, match=fault.words):
        run_state_machine_as_test(Faulty, settings=SEARCH)
