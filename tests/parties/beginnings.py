"""Where the histories of a session begin: honest work up to a stage, which need not be done anew for each of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from parties import guard, shares, store
from parties.lifecycle import State
from parties.manifest import Manifest
from parties.statements import Receipt
from tests.parties.daemons import HUB, MEMBERS
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
TERMS = (
    terms_of(**LIMITS, **WHEN, members=MEMBERS[:2]),
    terms_of(**LIMITS, **WHEN, members=MEMBERS[:3], min_members=2),
    terms_of(**LIMITS, **WHEN, members=MEMBERS),
)
STAGES = ("proposed", "approved", "ready")


@dataclass
class Beginning:
    """Where a history begins: honest work up to a stage, that need not be done anew for each."""

    terms: Manifest
    folder: Path
    signatures: dict[str, bytes]
    receipts: dict[str, list[dict[str, Receipt]]]

    def world(self, folder: Path) -> World:
        """Everyone, as they were."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        world = World(folder, self.terms)
        world.signatures = dict(self.signatures)
        for name, receipts in self.receipts.items():
            world.agencies[name].receipts = [dict(r) for r in receipts]
        world.start()
        return world


def beginnings(folder: Path) -> dict[tuple[bytes, str], Beginning]:
    """A beginning for all terms at each stage."""
    found = {}
    past = _past(folder)
    for number, terms in enumerate(TERMS):
        last = Beginning(terms, past, {}, {})
        for stage in STAGES:
            here = folder / f"{number}-{stage}"
            world = last.world(here)
            _advance(world, stage)
            world.end()
            receipts = {name: agency.receipts for name, agency in world.agencies.items()}
            last = Beginning(terms, here, world.signatures, receipts)
            found[terms.session_id, stage] = last
    return found


def _past(folder: Path) -> Path:
    """A session in which all went well."""
    here = folder / "past"
    here.mkdir()
    world = World(here, PAST)
    world.now = LAST_MONTH
    world.start()
    for stage in STAGES:
        _advance(world, stage)
    world.run()
    world.settle()
    assert {node.store.get(world.id).state for node in world.nodes.values()} == {State.DONE}
    world.end()
    return here


def _advance(world: World, stage: str) -> None:
    match stage:
        case "proposed":
            world.hub.registry.propose(HUB, world.terms)
        case "approved":
            for name in world.terms.participants:
                world.approve(name)
        case "ready":
            for agency in world.agencies.values():
                agency.contribute(world, 0)


@contextmanager
def small_pieces() -> Iterator[None]:
    """Lists of a few keys are several messages, and terms that were read once are not read again."""
    with (
        patch.object(guard, "MAX_MESSAGE_BYTES", PIECE_BYTES),
        patch.object(shares, "MAX_MESSAGE_BYTES", PIECE_BYTES),
        patch.object(store, "from_bytes", lru_cache(store.from_bytes)),
    ):
        yield
