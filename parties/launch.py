"""A coordinator's operator's side of a session: propose, wait, run, report."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from parties import calls, manifestfile
from parties.config import Config
from parties.errors import PeerUnavailable, SessionAborted, SessionRefused
from parties.identity import utc_now
from parties.lifecycle import OVER, State
from parties.manifest import Manifest
from parties.member import Progress
from parties.registry import missing_parts
from parties.store import SessionRecord
from parties.wire import View

POLL_S = (0.02, 0.25)


class Operator:
    """What a coordinator's operator does.

    Args:
        config: of the coordinator.
        progress: told how a session goes.
    """

    def __init__(self, config: Config, progress: Progress) -> None:
        self.config, self._progress = config, progress
        self.federation = config.federation()
        self.coordinator = calls.Coordinator(config, self.federation)

    def propose(self, terms: Mapping[str, Any]) -> Manifest:
        """Publish the session that a manifest file describes."""
        digests = {name: node.digest for name, node in self.federation.nodes.items()}
        proposed = manifestfile.from_toml(terms, self.config.name, digests, utc_now())
        self.coordinator.propose(proposed)
        return proposed

    def wait(self, session_id: bytes, wanted: State, timeout_s: float) -> SessionRecord:
        """Wait until a session reaches a state.

        Raises:
            SessionRefused: it was refused, has expired, or did not get there in time.
            SessionAborted: its computation failed.
        """
        until, pause = time.monotonic() + timeout_s, POLL_S[0]
        order = [State.PROPOSED, State.APPROVED, State.READY, State.RUNNING, State.DONE]
        heard = time.monotonic()
        while True:
            try:
                view = self.coordinator.get(session_id)
                heard = time.monotonic()
            except PeerUnavailable:  # it may be restarting
                if time.monotonic() > min(until, heard + self.config.step_timeout_s):
                    raise
                time.sleep(POLL_S[1])
                continue
            record = view.record
            if record.state in order and order.index(record.state) >= order.index(wanted):
                return record
            if record.state is State.ABORTED and wanted is State.DONE:
                raise SessionAborted(record.reason)
            if record.state in OVER:
                raise SessionRefused(f"The session is {record.state.value}. {record.reason}".strip())
            if time.monotonic() > until:
                raise SessionRefused(f"Waited {timeout_s:g} s in vain. {missing_parts(record, view.commitments)}")
            self._tell(view)
            time.sleep(min(pause, max(0.0, until - time.monotonic()) + 0.001))
            pause = min(pause * 1.2, POLL_S[1])

    def _tell(self, view: View) -> None:
        manifest = view.record.manifest
        match view.record.state:
            case State.PROPOSED:
                self._progress("approvals", len(view.record.signatures), len(manifest.participants))
            case State.APPROVED:
                self._progress("contributions", len(view.commitments), len(manifest.members))
            case _ if view.progress[0]:
                self._progress(*view.progress)

    def run(self, session_id: bytes) -> SessionRecord:
        """Have a session computed, and wait for its end."""
        if self.coordinator.get(session_id).record.state is not State.RUNNING:
            self.coordinator.run(session_id)
        return self.wait(session_id, State.DONE, float("inf"))

    def figures(self, record: SessionRecord) -> dict[str, dict[str, Any]]:
        """What the run cost each committee node."""
        figures = {}
        for name in record.manifest.committee:
            f = calls.get_run(self.config, self.federation[name], record.id).figures
            figures[name] = {
                "cpu_s": round(f.cpu_s, 3),
                "sent_bytes": f.sent_bytes,
                "idle_rss_bytes": f.idle_rss_bytes,
                "peak_rss_bytes": f.peak_rss_bytes,
                "phases": {phase.name: round(phase.seconds, 3) for phase in f.phases},
            }
        return figures
