"""Whole sessions on a federation of real daemons on this machine: what the demo and the benchmark have in common."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from mpc.replicated import Array
from parties import manifestfile
from parties.identity import utc_now
from parties.launch import Operator
from parties.lifecycle import State
from parties.loopback import COORDINATOR, NEUTRAL, Loopback
from parties.member import Member, Progress
from parties.store import SessionRecord

DAY = timedelta(days=1)
SIMILAR = {"name": "similar people", "kind": "similar"}
"""The rule on similar records for made-up lists, as a manifest file has it."""
AT_ONCE = 16
"""Members that act at the same time: as many as one machine gains by."""


class Seconds(dict[str, float]):
    """Seconds of each phase, as the orchestrating process saw it."""

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Take a phase's time."""
        started = time.monotonic()
        yield
        self[phase] = round(time.monotonic() - started, 3)


@dataclass(frozen=True)
class Outcome:
    """One session's course.

    Attributes:
        record: the session at its end.
        seconds: of each phase.
        figures: of each committee node.
    """

    record: SessionRecord
    seconds: Seconds
    figures: dict[str, dict[str, Any]]

    def report(self) -> dict[str, Any]:
        """The part of the JSON report that demo and benchmark have in common."""
        return {
            "members": len(self.record.manifest.members),
            "session": self.record.id.hex(),
            "wall_s": round(sum(self.seconds.values()), 3),
            "seconds": self.seconds,
            "committee": self.figures,
        }


def run_session(
    federation: Loopback, terms: dict[str, Any], contribute: Callable[[Member, SessionRecord], object], show: Progress
) -> Outcome:
    """Propose, approve by everyone, contribute by every member, run.

    Args:
        federation: started.
        terms: the manifest without members, committee and expiry.
        contribute: does one member's part.
        show: progress.
    """
    operator = Operator(federation.configs[COORDINATOR], show)
    manifest = _manifest(federation.members, federation.committee, terms)
    seconds = Seconds()
    with seconds.timed("propose"):
        session_id = operator.propose(manifest).session_id
        record = operator.coordinator.get(session_id).record

    def member(name: str) -> Member:  # for each step another one, as it is for members; a thousand stay open for none
        return Member(federation.configs[name], show)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        with seconds.timed("approve"):
            list(pool.map(lambda name: member(name).approve(session_id), record.manifest.participants))
        with seconds.timed("contribute"):
            list(pool.map(lambda name: contribute(member(name), record), federation.members))
    with seconds.timed("compute"):
        operator.wait(session_id, State.READY, 60.0)
        record = operator.run(session_id)
    return Outcome(record, seconds, operator.figures(record))


def _manifest(members: Sequence[str], committee: Sequence[str], terms: dict[str, Any]) -> dict[str, Any]:
    session = {"members": list(members), "committee": list(committee), "expires": utc_now() + DAY}
    return {"session": session | terms["session"], "rule": terms["rule"]}


def check_terms(members: Sequence[str], committee: Sequence[str], terms: dict[str, Any]) -> None:
    """Refuse before anything is started what a coordinator could not propose.

    Args:
        members: names.
        committee: names.
        terms: as for `run_session`.

    Raises:
        ConfigError: says what is wrong.
    """
    digests = dict.fromkeys((*members, *committee, COORDINATOR), "0" * 64)
    manifestfile.from_toml(_manifest(members, committee, terms), COORDINATOR, digests, utc_now())


def committee_for(members: Sequence[str], size: int = 3) -> tuple[str, ...]:
    """So many nodes: members first, but at least one of them, the last, is neutral."""
    own = members[: max(size - 1, 0)]
    return *own, *(NEUTRAL if k == 1 else f"{NEUTRAL}-{k}" for k in range(1, size - len(own) + 1))


def names(count: int) -> list[str]:
    """Names for members: agency-a, agency-b and so on."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return [f"agency-{letters[k]}" if count <= len(letters) else f"agency-{k + 1:04}" for k in range(count)]


def values_of(federation: Loopback, record: SessionRecord, counts: Mapping[str, int]) -> dict[str, Array]:
    """What members learned, as it was before it became sheets.

    Args:
        federation: as it ran the session.
        record: the session.
        counts: of each member's values.
    """
    members = {name: Member(federation.configs[name]) for name in counts}
    return {name: m.fetch(m.coordinator.get(record.id), counts[name]) for name, m in members.items()}


@contextmanager
def working_folder() -> Iterator[Path]:
    """A private folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="matchbit-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
