"""Any daemon may be killed outright at any moment: the session ends everywhere in the same way, and exactly right."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from parties import verdict
from parties.errors import PeerUnavailable, SessionAborted
from parties.lifecycle import State
from parties.loopback import COORDINATOR
from parties.store import SessionRecord
from tests.integration.federations import CHUNKED, COMMITTEE, MEMBERS, Federation, Keys, random_keys

Result = TypeVar("Result")
COMMON_ROWS = 1000
NODE_POINTS = (
    "before received", "chunk 1", "after received",
    "before attempt", "after attempt", "send keys", "send agree/terms", "send agree#", "send shuffle",
    "send tag/schedule", "send tag/chunk1", "send tag/chunk0/reveal", "send unshuffle", "send finish",
    "before computed", "after computed", "before released", "after released", "after fetched",
    "before deleted", "after deleted",
)  # fmt: skip
COORDINATOR_POINTS = (
    "before proposed", "after proposed", "before approved", "after approved", "before contributed", "after contributed",
    "before attempt", "after attempt", "before released", "after released", "after deletion_told", "after closed",
)  # fmt: skip


class Mortal(Federation):
    """A federation in which one daemon dies at a point, and is started again by itself as a supervisor would."""

    dying: tuple[str, str, Path] | None = None

    def program(self, name: str) -> list[str]:
        if self.dying is None or self.dying[0] != name:
            return super().program(name)
        _, point, mark = self.dying
        return [sys.executable, "-m", "tests.integration.dying", point, str(mark)]

    def doom(self, name: str, point: str, mark: Path) -> threading.Thread:
        """Start a daemon anew that dies at a point; the thread ends when it has died and is up again."""
        self.stop(name)
        self.dying = name, point, mark
        self.start(name)
        self.dying = None
        process = self._processes[name]

        def revive() -> None:
            process.wait()
            if mark.exists():
                self.start(name)

        thread = threading.Thread(target=revive)
        thread.start()
        return thread


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mortal]:
    with Mortal(tmp_path_factory.mktemp("mortal") / "nodes") as running:
        yield running


@pytest.fixture(scope="module")
def keys() -> Keys:
    return random_keys(CHUNKED, COMMON_ROWS)


def insist(action: Callable[[], Result]) -> Result:
    """Do something again while a daemon is away."""
    while True:
        try:
            return action()
        except (PeerUnavailable, SessionAborted):
            pass


def whole_session(federation: Mortal, keys: Keys) -> SessionRecord:
    """From proposal to deletion, by people who try again."""
    operator = federation.operator
    session = insist(lambda: operator.propose(federation.terms())).session_id
    record = insist(lambda: operator.coordinator.get(session)).record
    for name in record.manifest.participants:
        insist(partial(federation.member(name).approve, session))
    for name in MEMBERS:
        insist(partial(federation.member(name).contribute_keys, record, keys[name]))
    done = insist(lambda: operator.run(session))
    insist(partial(federation.check_keys, record, keys, COMMON_ROWS))
    insist(lambda: operator.coordinator.close(session))
    return done


def check_ends(federation: Mortal, record: SessionRecord) -> None:
    """All agree on the end, nothing is left, and every log is whole and held in place by the others' heads."""
    for name in (COORDINATOR, *COMMITTEE):
        config = federation.configs[name]
        store = config.store()
        assert store.get(record.id).state is State.CLOSED, name
        key = config.federation()[name].verifier()
        verdict.check(store.entries(record.id), name, record.id, key)
        assert not store.read("SELECT 1 FROM chunks JOIN uploads ON owner = id WHERE session = ?", (record.id,))


@pytest.mark.parametrize("point", NODE_POINTS)
def test_a_node_killed_at_any_step(mortal: Mortal, keys: Keys, tmp_path: Path, point: str) -> None:
    victim = COMMITTEE[0 if "unshuffle" in point else 1]  # P1 sends nothing there
    doom = mortal.doom(victim, point, tmp_path / "died")
    record = whole_session(mortal, keys)
    assert (tmp_path / "died").exists(), "the point was not reached"
    doom.join()
    check_ends(mortal, record)


@pytest.mark.parametrize("point", COORDINATOR_POINTS)
def test_the_coordinator_killed_at_any_step(mortal: Mortal, keys: Keys, tmp_path: Path, point: str) -> None:
    doom = mortal.doom(COORDINATOR, point, tmp_path / "died")
    record = whole_session(mortal, keys)
    assert (tmp_path / "died").exists(), "the point was not reached"
    doom.join()
    check_ends(mortal, record)
