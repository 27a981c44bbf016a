"""What people do about proposals: `matchbit session approve`, `refuse` and `pending`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from parties import config
from parties.approvals import Approvals, Proposal
from parties.commands import id_bytes
from parties.config import Config
from parties.errors import InputError, SessionRefused
from parties.progress import say
from parties.report import table
from parties.wire import SESSION_ID_BYTES


def session_approve(a: argparse.Namespace) -> None:
    """Consent to a session's terms; sign them when all consent that is due is there."""
    own = config.load(a.config)
    if len(session_id := id_bytes(a.id)) < SESSION_ID_BYTES:
        raise InputError(
            "Approving needs the session's whole id of 64 digits, so that nobody can put other terms in its place; "
            "`matchbit session show` prints it below the title."
        )
    record, waits_for = _approvals(own).consent(session_id, a.by)
    what = f"'{record.manifest.title}' ({record.id.hex()[:16]})"
    if waits_for:
        say(f"{a.by} consents to {what}; {own.name} still waits for {', '.join(waits_for)}.")
    else:
        say(f"{own.name} approved {what}.")


def session_refuse(a: argparse.Namespace) -> None:
    """Refuse a session's terms."""
    own = config.load(a.config)
    record = _approvals(own).refuse(id_bytes(a.id), a.reason)
    say(f"{own.name} refused '{record.manifest.title}'.")


def session_pending(a: argparse.Namespace) -> None:
    """Show what waits for this node, and do what its policy says."""
    approvals = _approvals(config.load(a.config))
    proposals = approvals.act() if a.act else approvals.pending()
    shown = {"sessions": [_to_json(proposal) for proposal in proposals]}
    say(json.dumps(shown, ensure_ascii=False) if a.json else _text(proposals))
    failed = sum(bool(proposal.failure) for proposal in proposals)
    if failed:
        raise SessionRefused(f"Of {len(proposals)} proposals {failed} could not be answered; see why above.")


def _approvals(own: Config) -> Approvals:
    return Approvals(own, own.store())


def _to_json(proposal: Proposal) -> dict[str, object]:
    return {
        "id": proposal.record.id.hex(),
        "title": proposal.record.manifest.title,
        "policy": proposal.ruling.decision.value,
        "reasons": list(proposal.ruling.reasons),
        "waits_for": list(proposal.waits_for),
        "done": proposal.done,
        "failure": proposal.failure,
    }


def _text(proposals: Sequence[Proposal]) -> str:
    """A line for each proposal, and below what the policy says of it and why."""
    if not proposals:
        return "No proposal waits for this node."
    headings = ("id", "title", "policy", "waits for", "done")
    short = [proposal.record.id.hex()[:16] for proposal in proposals]
    lines = [
        (name, p.record.manifest.title, p.ruling.decision.value, ", ".join(p.waits_for) or "-", p.done or "-")
        for name, p in zip(short, proposals, strict=True)
    ]
    why = [f"{p.record.id.hex()}\n  {p.failure or p.ruling.told}" for p in proposals]
    return "\n".join([table(headings, lines), "", *why])
