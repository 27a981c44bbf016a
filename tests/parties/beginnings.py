"""Where the histories of a session begin: honest work up to a stage, which need not be done anew for each of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from mpc.errors import IntegrityError
from parties import guard, shares
from parties.lifecycle import State
from parties.manifest import read
from tests.parties.daemons import COMMITTEE, HUB, MEMBERS
from tests.parties.samples import NOW
from tests.parties.simulator import PIECE_BYTES, World, terms_of

LIMITS: dict[str, Any] = {
    "reveal": "members",
    "min_records": 2,
    "max_records": 5,
    "max_new_records": 2,
    "max_sessions": 2,
}
WHEN: dict[str, Any] = {"expires": (NOW + timedelta(days=2)).isoformat(), "retention_days": 4}
LAST_MONTH = NOW - timedelta(days=20)
PAST = terms_of(
    **LIMITS,
    title="Autumn cash",
    members=MEMBERS[:2],
    created=LAST_MONTH.isoformat(timespec="microseconds"),
    expires=(LAST_MONTH + timedelta(days=2)).isoformat(),
    retention_days=4,
)
"""A session that agency-a and agency-b have had results of: for them, limits on new records count."""
TERMS = {
    2: terms_of(**LIMITS, **WHEN, members=MEMBERS[:2]),
    3: terms_of(**LIMITS, **WHEN, members=MEMBERS[:3], min_members=2),
    4: terms_of(**LIMITS, **WHEN, members=MEMBERS),
}
"""By the number of members."""


def _propose(world: World) -> None:
    world.hub.registry.propose(HUB, world.terms)


def _approve(world: World) -> None:
    for name in world.terms.participants:
        world.approve(name)


def _contribute(world: World) -> None:
    for agency in world.agencies.values():
        agency.bring(world, 0)


def _start(world: World) -> None:
    world.run()
    world.step()


def _compute(world: World, *finished: str) -> None:
    _start(world)
    world.meet()
    for name in finished:
        world.finish(name)


def _abort(world: World) -> None:
    _start(world)
    for node in world.nodes.values():
        node.runs.end_with(IntegrityError("tag", "two values of one component"))
    world.settle()
    assert world.hub.store.get(world.id).state is State.ABORTED


def _release(world: World) -> None:
    _compute(world, *COMMITTEE)
    world.step()
    assert world.hub.store.get(world.id).state is State.DONE


STAGES: dict[str, tuple[str, Callable[[World], None]]] = {
    "proposed": ("", _propose),
    "approved": ("proposed", _approve),
    "ready": ("approved", _contribute),
    "cut off": ("ready", _start),
    "half computed": ("ready", lambda world: _compute(world, "agency-a", "neutral")),
    "aborted": ("ready", _abort),
    "released": ("ready", _release),
}
"""Name: what it comes after, and what is done. Then all daemons are started again."""


@dataclass
class Beginning:
    """Where a history begins, that need not be lived through anew each time.

    Attributes:
        folder: of the databases.
        last: everyone, at the end of what has been lived through.
    """

    folder: Path
    last: World

    def world(self, folder: Path) -> World:
        """Everyone, started again on copies of the databases."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        world = World(folder, self.last.terms)
        world.now = self.last.now
        world.signatures = dict(self.last.signatures)
        world.inputs = dict(self.last.inputs)
        world.completions = {attempt: dict(said) for attempt, said in self.last.completions.items()}
        world.shown = {attempt: dict(said) for attempt, said in self.last.shown.items()}
        for name, agency in self.last.agencies.items():
            world.agencies[name].receipts = [dict(receipts) for receipts in agency.receipts]
        world.start()
        return world


def beginnings(folder: Path) -> dict[tuple[int, str], Beginning]:
    """By the number of members and the stage."""
    found = {}
    for members, terms in TERMS.items():
        found[members, ""] = _past(folder / f"{members}", World(folder / f"{members}", terms))
        for stage, (after, live) in STAGES.items():
            here = folder / f"{members} {stage}"
            world = found[members, after].world(here)
            live(world)
            world.end()
            found[members, stage] = Beginning(here, world)
    return found


def _past(folder: Path, world: World) -> Beginning:
    """Databases after a session in which all went well, for everyone before another one."""
    folder.mkdir()
    past = World(folder, PAST)
    past.now = LAST_MONTH
    past.start()
    for live in (_propose, _approve, _contribute, _release, World.settle):
        live(past)
    past.end()
    return Beginning(folder, world)


@contextmanager
def small_pieces() -> Iterator[None]:
    """Lists of a few keys are several messages, and terms that were read once are not read again."""
    with (
        patch.object(guard, "MAX_MESSAGE_BYTES", PIECE_BYTES),
        patch.object(shares, "MAX_MESSAGE_BYTES", PIECE_BYTES),
        patch("parties.store.read", lru_cache(read)),
    ):
        yield
