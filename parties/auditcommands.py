"""What `matchbit audit` does: check logs, and tell a session's story."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from parties import auditfile, calls, config
from parties.audit import NODE, Event, Head
from parties.auditfile import Export
from parties.config import Config
from parties.errors import AuditError, InputError, PeerUnavailable, ServiceError, SessionRefused
from parties.manifest import Manifest
from parties.member import check_page_target, write_page
from parties.page import story_page
from parties.progress import say
from parties.report import table
from parties.revealed import opens_sizes
from parties.sheet import appearing
from parties.store import SessionRecord, Store
from parties.story import tell
from parties.verdict import Keys, Verdict, judge

OWN_EVENTS = "node"
"""Stands in an id's place for what happened to the node itself."""
MIN_DIGITS = 8


def audit_verify(a: argparse.Namespace) -> None:
    """Check one's own log, or those that were exported."""
    own = config.load(a.config)
    keys = _keys(own)
    unasked: list[str] = []
    if a.files:
        verdicts = judge([auditfile.read(path) for path in a.files], keys)
    else:
        verdicts = list(_verify_own(own, keys, unasked, offline=a.offline))
    faults = [verdict.fault for verdict in verdicts if verdict.fault]
    remarks = [f"{v.node}, {_shown(v.session)}: {remark}" for v in verdicts for remark in v.remarks]
    say("\n".join([_table(verdicts), *faults, *remarks]))
    if faults:
        raise AuditError(
            f"{len(faults)} of {len(verdicts)} logs are not as their nodes wrote them, as said above. Keep all files "
            "as they are, and ask the operators of the nodes that are named."
        )
    if unasked:
        raise PeerUnavailable(f"{unasked[0]} The log was checked by itself only, as --offline does.")


def audit_export(a: argparse.Namespace) -> None:
    """Tell a session's story."""
    own = config.load(a.config)
    store = own.store()
    session = _session(store, a.id)
    record = store.session(session) or _told_by_coordinator(own, session)
    exported = _export(own, store, session, record)
    verdict = judge([exported], _keys(own))[0]
    terms = record.manifest if record else None
    story = tell(exported, terms, verdict)
    if a.page:
        check_page_target(a.page, *filter(None, [a.out]))
        write_page(a.page, story_page(story))
    if a.out:
        with appearing(a.out) as file:
            file.write(exported.to_bytes())
        say(f"{a.out} has all that {own.name} logged of it{_secret(exported, terms)}.", sys.stderr)
    say(json.dumps(_to_json(exported, verdict), ensure_ascii=False) if a.json else story.to_text())
    if verdict.fault:
        raise AuditError(verdict.fault)


def _verify_own(own: Config, keys: Keys, unasked: list[str], *, offline: bool) -> Iterator[Verdict]:
    """Each log of one's own; why the coordinator could not be asked what it holds of them goes to `unasked`."""
    store = own.store()
    for session in store.audited():
        besides: Mapping[str, Sequence[Head]] = {}
        try:
            if not offline and not unasked and session != NODE:
                besides = _held_by_coordinator(own, session)
        except PeerUnavailable as error:
            unasked.append(str(error))
        try:
            yield from judge([_export(own, store, session, store.session(session))], keys, besides)
        except AuditError as error:  # it cannot even be read
            yield Verdict(own.name, session, None, 0, str(error))


def _held_by_coordinator(own: Config, session: bytes) -> Mapping[str, Sequence[Head]]:
    """What the coordinator holds of the logs of a session; nothing where it is oneself, or has forgotten it."""
    name = own.federation().coordinator.name
    if name == own.name:
        return {}
    try:
        heads = calls.Coordinator(own, own.federation()).exchange_heads(session, [])
    except SessionRefused:
        return {}
    return {name: [head for head in heads if head.session == session]}


def _told_by_coordinator(own: Config, session: bytes) -> SessionRecord | None:
    """The terms of a session that one is not on the committee of; whatever is told is checked by its signatures."""
    if session == NODE:
        return None
    try:
        return calls.Coordinator(own, own.federation()).get(session).record
    except ServiceError as error:
        say(f"The terms are not kept here, and the coordinator did not give them: {error}", sys.stderr)
        return None


def _export(own: Config, store: Store, session: bytes, record: SessionRecord | None) -> Export:
    """A log of one's own; the heads are read first, since the log may go on meanwhile."""
    heads = store.heads(session)
    terms, approvals = (record.manifest.to_bytes(), record.signatures) if record else (b"", {})
    return Export(own.name, session, terms, approvals, store.entries(session), heads)


def _secret(exported: Export, terms: Manifest | None) -> str:
    """What whoever hands on a committee node's log must think of; without the terms it may have group sizes."""
    computed = any(entry.kind is Event.COMPUTED for entry in exported.entries)
    opened = computed and (terms is None or opens_sizes(terms))
    return ", also how many keys are shared: give it to those only who may know that" if opened else ""


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


def _shown(session: bytes) -> str:
    return session.hex()[:16] or "the node itself"


def _table(verdicts: Sequence[Verdict]) -> str:
    headings = ("node", "session", "entries", "statements of it held by others", "verdict")
    rows = [
        (
            v.node,
            _shown(v.session),
            "-" if v.entries is None else v.entries,
            v.compared,
            "NOT INTACT" if v.fault else "intact, with remarks" if v.remarks else "intact",
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
