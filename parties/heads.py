"""Exchanging how the audit logs of a session stand, so that no party can rewrite its own unnoticed."""

from __future__ import annotations

from collections.abc import Sequence

from parties.audit import Head
from parties.errors import SessionRefused
from parties.federation import Federation
from parties.manifest import MAX_MEMBERS, Manifest
from parties.store import Store

MAX_HEADS = MAX_MEMBERS + 4
"""In one message: the newest of each party."""


def receive(store: Store, federation: Federation, manifest: Manifest, heads: Sequence[Head]) -> None:
    """Keep what the parties of a session state of their logs.

    Raises:
        SessionRefused: a statement is on another session, or of no party of this one.
        AuditError: a signature is false.
    """
    for head in heads[:MAX_HEADS]:
        if head.session != manifest.session_id or head.node not in manifest.nodes:
            raise SessionRefused(f"A statement on the log of {head.node} is not on this session, or of no party of it.")
        head.check(federation[head.node].verifier())
    store.add_heads(heads[:MAX_HEADS])
