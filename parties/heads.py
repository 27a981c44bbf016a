"""Exchanging how the audit logs of a session stand, so that no party can rewrite its own unnoticed.

Members tell the coordinator, which tells the committee of everyone. A log holds the heads that its node was told of, so
a head stands for those too: members are told of the coordinator and the committee alone.
"""

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
    """Keep what the parties of a session state of their logs: of each its newest head.

    What is known, or stated too often to be kept, costs a look at the database and no signature's check.

    Raises:
        SessionRefused: a statement is on another session, or of no party of this one.
        AuditError: a signature is false.
    """
    newest = {head.node: head for head in sorted(heads[:MAX_HEADS], key=lambda head: head.number)}
    for head in newest.values():
        if head.session != manifest.session_id or head.node not in manifest.nodes:
            raise SessionRefused(f"A statement on the log of {head.node} is not on this session, or of no party of it.")
    news = [head for head in newest.values() if store.lacks(head)]
    for head in news:
        head.check(federation[head.node].verifier())
    if news:
        store.add_heads(news)


def told(store: Store, manifest: Manifest, caller: str) -> list[Head]:
    """What a caller is told: of the coordinator, the committee, and what it said itself."""
    wanted = {manifest.coordinator, *manifest.committee, caller}
    heads = store.latest_heads(manifest.session_id, wanted)
    return [head for head in heads if head.node in wanted]
