"""What `matchbit audit` does: check logs, and tell a session's story."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from parties import auditfile, calls, config
from parties.audit import NODE, Head
from parties.auditfile import Export
from parties.config import Config
from parties.errors import AuditError, InputError, PeerUnavailable, SessionRefused
from parties.member import check_page_target, write_page
from parties.page import story_page
from parties.progress import say
from parties.report import table
from parties.sheet import appearing
from parties.store import Store
from parties.story import tell
from parties.verdict import Keys, Verdict, judge

OWN_EVENTS = "node"
"""Stands in an id's place for what happened to the node itself."""
MIN_DIGITS = 8


def verify(a: argparse.Namespace) -> None:
    """Check one's own log, or those that were exported."""
    own = config.load(a.config)
    keys = _keys(own)
    unasked = ""
    if a.files:
        verdicts = judge([auditfile.read(path) for path in a.files], keys)
    else:
        verdicts, unasked = _verify_own(own, keys, offline=a.offline)
    say(_table(verdicts))
    faults = [verdict.fault for verdict in verdicts if verdict.fault]
    for line in (*faults, *(f"{v.node}: {remark}" for v in verdicts for remark in v.remarks)):
        say(line)
    if faults:
        raise AuditError(
            f"{len(faults)} of {len(verdicts)} checks failed: see above. Keep the files as they are, and ask the "
            "operators of the nodes that are named."
        )
    if unasked:
        raise PeerUnavailable(f"{unasked} Until it is asked, only --offline is checked: the log by itself.")


def export(a: argparse.Namespace) -> None:
    """Tell a session's story."""
    own = config.load(a.config)
    store = own.store()
    session = _session(store, a.id)
    exported = _export(own, store, session)
    [verdict, *others] = judge([exported], _keys(own))
    record = store.session(session)
    story = tell(exported, record.manifest if record else None, verdict)
    if a.out:
        with appearing(a.out) as file:
            file.write(exported.to_bytes())
    if a.page:
        check_page_target(a.page, *filter(None, [a.out]))
        write_page(a.page, story_page(story))
    say(json.dumps(_to_json(exported, verdict), ensure_ascii=False) if a.json else story.to_text())
    for false in (verdict, *others):
        if false.fault:
            raise AuditError(false.fault)


def _verify_own(own: Config, keys: Keys, *, offline: bool) -> tuple[list[Verdict], str]:
    """Each log of one's own, and why the coordinator could not be asked for what it holds of them, if so."""
    store, verdicts, unasked = own.store(), [], ""
    coordinator = own.federation().coordinator.name
    for session in store.audited():
        besides: dict[str, Sequence[Head]] = {}
        if not offline and not unasked and session != NODE and coordinator != own.name:
            try:
                heads = calls.Coordinator(own, own.federation()).exchange_heads(session, [])
                besides[coordinator] = [head for head in heads if head.session == session]
            except SessionRefused:  # it has none, or has forgotten the session
                pass
            except PeerUnavailable as error:
                unasked = str(error)
        verdicts += judge([_export(own, store, session)], keys, besides)
    return verdicts, unasked


def _export(own: Config, store: Store, session: bytes) -> Export:
    """A log of one's own; the heads are read first, since the log may go on meanwhile."""
    heads, record = store.heads(session), store.session(session)
    terms, approvals = (record.manifest.to_bytes(), record.signatures) if record else (b"", {})
    return Export(own.name, session, terms, approvals, store.entries(session), heads)


def _session(store: Store, text: str) -> bytes:
    """The logged session whose id begins so."""
    if text == OWN_EVENTS:
        return NODE
    digits = text.strip().lower()
    found = [session for session in store.audited() if session.hex().startswith(digits)]
    if len(digits) < MIN_DIGITS or not found:
        raise InputError(
            f"Nothing is logged here of a session `{text}`: give the first {MIN_DIGITS} digits of its id or more, or "
            f"`{OWN_EVENTS}` for what happened to the node itself; see `matchbit session list`."
        )
    if len(found) > 1:
        raise InputError("More than one session begins with these digits; give more of them.")
    return found[0]


def _keys(own: Config) -> Keys:
    return {name: node.verifier() for name, node in own.federation().nodes.items()}


def _table(verdicts: Sequence[Verdict]) -> str:
    headings = ("node", "session", "entries", "compared with statements held by others", "verdict")
    rows = [
        (
            v.node,
            v.session.hex()[:16] or "the node itself",
            "-" if v.entries is None else v.entries,
            v.compared,
            "NOT INTACT" if v.fault else "intact",
        )
        for v in verdicts
    ]
    return table(headings, rows) if rows else "Nothing has been logged here yet."


def _to_json(exported: Export, verdict: Verdict) -> dict[str, Any]:
    return {
        "node": exported.node,
        "session": exported.session.hex(),
        "terms": json.loads(exported.terms) if exported.terms else None,
        "approved": sorted(exported.approvals),
        "entries": [entry.statement() | {"sentence": entry.sentence} for entry in exported.entries],
        "heads": [head.statement() for head in exported.heads],
        "intact": not verdict.fault,
        "fault": verdict.fault,
        "remarks": list(verdict.remarks),
    }
