"""Whether logs are as their nodes wrote them: each by its chain and signatures, and all by what others hold of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature

from parties.audit import NOTHING, Entry, Event, Head
from parties.auditfile import Export
from parties.errors import AuditError, ConfigError
from parties.manifest import verify
from parties.signatures import Verifier

CLOCK_STEP = timedelta(minutes=5)
"""By so much a node's clock may be set back without a remark."""
Keys = Mapping[str, Verifier]
"""The pinned signing key of each node."""


@dataclass(frozen=True)
class Verdict:
    """What is found of one log.

    Attributes:
        node: whose log.
        session: which.
        entries: how many it has; None where the log itself was not given.
        compared: how many statements on it, held by others, it was compared with.
        fault: why it is not what its node wrote, in one sentence; empty where nothing speaks against it.
        remarks: what a person should know besides.
    """

    node: str
    session: bytes
    entries: int | None
    compared: int
    fault: str
    remarks: tuple[str, ...] = ()


class Held(NamedTuple):
    """A node's statement on its own log, and who holds it."""

    holder: str
    head: Head


def judge(
    exports: Sequence[Export], keys: Keys, besides: Mapping[str, Sequence[Head]] = MappingProxyType({})
) -> list[Verdict]:
    """Check each log by itself, and all against one another.

    Args:
        exports: the logs.
        keys: of the nodes, pinned; statements of other nodes are not looked at.
        besides: heads that parties hold besides those in the exports, by holder.

    Returns:
        A verdict on each export; then one on each other node that is found to be false.

    Raises:
        ConfigError: the key of an export's node is not known.
    """
    unknown = [export.node for export in exports if export.node not in keys]
    if unknown:
        raise ConfigError(f"{unknown[0]} is not in federation.toml, so its log cannot be checked; add its entry.toml.")
    held = [Held(export.node, head) for export in exports for head in export.heads]
    held += [Held(holder, head) for holder, heads in besides.items() for head in heads]
    signed: list[Held] = []
    forged: list[Held] = []
    for holder, head in held:
        if head.node in keys:
            (signed if _is_signed(head, keys) else forged).append(Held(holder, head))
    verdicts = [_judge(export, exports, keys, signed) for export in exports]
    return [*verdicts, *map(_forgery, forged), *_contradictions(exports, signed)]


def check(entries: Sequence[Entry], node: str, session: bytes, key: Verifier) -> list[str]:
    """Check that a log is a chain of its node's signed entries, without gaps.

    Returns:
        Remarks: where the clock was set back.

    Raises:
        AuditError: names the first entry that is not as it must be.
    """
    remarks, previous, last = [], NOTHING, None
    for number, entry in enumerate(entries, 1):
        where = f"Entry {number} of the log of {node}"
        if entry.number != number:
            raise AuditError(f"{where} is missing, or out of its place.")
        if (entry.node, entry.session) != (node, session):
            raise AuditError(f"{where} is of another log.")
        if entry.previous != previous:
            raise AuditError(f"{where} does not follow from the one before it: one of the two was changed.")
        if not _is_signed(entry, {node: key}):
            raise AuditError(f"{where} is not signed by the key of {node} in federation.toml: it was changed.")
        at = _time(entry, where)
        if last is not None and last - at > CLOCK_STEP:
            back = (last - at) // timedelta(minutes=1)
            remarks.append(f"At entry {number} the clock of {node} was set back by {back:,} minutes.")
        previous, last = entry.hash, at
    return remarks


def compare(entries: Sequence[Entry], held: Iterable[Held]) -> list[str]:
    """Check that a log has all that its node has stated of it.

    A node that was restored from a backup has lost entries, and says so in the entry that follows.

    Args:
        entries: the log.
        held: its node's statements on it, their signatures checked.

    Returns:
        Remarks: what was lost by a restore.

    Raises:
        AuditError: the log was rewritten, or cut.
    """
    hashes = {entry.number: entry.hash for entry in entries}
    restores = [entry.number for entry in entries if entry.event == Event.RESTORED.code]
    lost: dict[str, int] = {}
    others: dict[int, set[bytes]] = {}
    for holder, head in held:
        if hashes.get(head.number) == head.hash:
            continue
        # Each restore may have taken one other entry's place at this number, and no more.
        others.setdefault(head.number, set()).add(head.hash)
        if len(others[head.number]) <= sum(number <= head.number for number in restores):
            lost[holder] = max(head.number, lost.get(holder, 0))
        elif head.number > len(entries):
            raise AuditError(
                f"The log of {head.node} ends at entry {len(entries)}, but {holder} holds its statement on entry "
                f"{head.number}: its end was cut off, or this is an older copy."
            )
        else:
            raise AuditError(
                f"The log of {head.node} was rewritten: up to entry {head.number} it is not the one that it has "
                f"stated to {holder}."
            )
    return [f"{h} holds statements on entries up to {n} that were lost by a restore." for h, n in lost.items()]


def _judge(export: Export, exports: Sequence[Export], keys: Keys, signed: Sequence[Held]) -> Verdict:
    own = [h for h in signed if (h.head.node, h.head.session) == (export.node, export.session)]
    others = [h for h in own if h.holder != export.node]
    remarks: list[str] = []
    fault = ""
    try:
        remarks += _check_terms(export, keys)
        remarks += check(export.entries, export.node, export.session, keys[export.node])
        remarks += compare(export.entries, [*own, *_elsewhere(export, exports, keys)])
    except AuditError as error:
        fault = str(error)
    return Verdict(export.node, export.session, len(export.entries), len(others), fault, tuple(remarks))


def _forgery(held: Held) -> Verdict:
    fault = f"{held.holder} holds a statement in the name of {held.head.node} that it has not signed."
    return Verdict(held.holder, held.head.session, None, 0, fault)


def _check_terms(export: Export, keys: Keys) -> list[str]:
    """Check that the terms are the session's, and that who approved them has signed them."""
    if export.terms and hashlib.sha256(export.terms).digest() != export.session:
        raise AuditError(f"The terms beside the log of {export.node} are not those of its session.")
    for name, signature in export.approvals.items():
        try:
            if name in keys:
                verify(keys[name], export.session, name, signature)
        except ConfigError:
            raise AuditError(f"{export.node} holds an approval that {name} has not signed.") from None
    strangers = {*export.approvals, *(head.node for head in export.heads)} - set(keys)
    return [f"{n} is not in federation.toml: what it signed was not checked." for n in sorted(strangers)]


def _elsewhere(export: Export, exports: Sequence[Export], keys: Keys) -> Iterator[Held]:
    """The last entry that another copy of the same log has of those that it should share with this one."""
    for other in exports:
        same = (other.node, other.session) == (export.node, export.session) and other is not export
        for entry in other.entries[: len(export.entries)][-1:] if same else ():
            if _is_signed(entry, keys):
                yield Held("another copy", Head(entry.node, entry.session, entry.number, entry.hash))


def _contradictions(exports: Sequence[Export], signed: Sequence[Held]) -> Iterator[Verdict]:
    """Nodes whose log was not given, and that have signed different statements on one entry."""
    given = {(export.node, export.session) for export in exports}
    first: dict[tuple[str, bytes, int], bytes] = {}
    for _, head in signed:
        differs = first.setdefault((head.node, head.session, head.number), head.hash) != head.hash
        if differs and (head.node, head.session) not in given:
            given.add((head.node, head.session))
            fault = (
                f"{head.node} has signed two different statements on entry {head.number} of its log: it rewrote it, or "
                "restored it from a backup. Ask for its export, and check that too."
            )
            yield Verdict(head.node, head.session, None, 0, fault)


def _is_signed(statement: Entry | Head, keys: Keys) -> bool:
    try:
        keys[statement.node].verify(statement.signature, statement.signed_bytes)
    except InvalidSignature:
        return False
    return True


def _time(entry: Entry, where: str) -> datetime:
    try:
        at = datetime.fromisoformat(entry.at)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise AuditError(f"{where} has no time that can be read.")
    return at
