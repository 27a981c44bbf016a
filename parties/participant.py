"""Whoever must sign a session's terms, member or committee node, towards the coordinator. Daemons do this too."""

from __future__ import annotations

from contextlib import suppress

from parties import calls, heads, policyfile
from parties.config import Config
from parties.errors import PeerUnavailable, SessionRefused
from parties.identity import utc_now
from parties.lifecycle import State
from parties.manifest import sign
from parties.policy import Policy
from parties.store import SessionRecord


class Participant:
    """What one node does in sessions, whether it brings a list or not.

    Args:
        config: of the node.
        patience_s: how long the coordinator is asked again while it is busy.
    """

    def __init__(self, config: Config, patience_s: float = calls.PATIENCE_S) -> None:
        self.config = config
        self.federation = config.federation()
        self.coordinator = calls.Coordinator(config, self.federation, patience_s)
        self.store = config.store()

    def policy(self) -> Policy:
        """What this node allows, as of now."""
        return policyfile.read(self.config.policy_path)

    def approve(self, session_id: bytes) -> SessionRecord:
        """Sign a session's terms, after checking that they mean the nodes that we know, and our policy allows them."""
        with self.coordinator.kept():
            return self._approve(session_id)

    def _approve(self, session_id: bytes) -> SessionRecord:
        record = self.coordinator.get(session_id).record
        self.federation.check(record.manifest, utc_now())
        if record.manifest.is_past(utc_now()):
            raise SessionRefused(f"The session expired on {record.manifest.expires}.")
        self.policy().refuse(record.manifest, self.config.name)
        signature = sign(self.config.identity().signing_key, record.id, self.config.name)
        self.coordinator.approve(record.id, signature)
        self.store.add_session(record.manifest, State.PROPOSED, {self.config.name: signature})
        self.exchange_heads(record)
        return record

    def exchange_heads(self, record: SessionRecord) -> None:
        """Exchange with the coordinator how the audit logs stand; another time if it cannot be reached."""
        with suppress(PeerUnavailable):
            told = self.coordinator.exchange_heads(record.id, self.store.latest_heads(record.id, ()))
            heads.receive(self.store, self.federation, record.manifest, told)
