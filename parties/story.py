"""A session's story as one node's log tells it, on one page, for whoever must answer for the data. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from parties.audit import NODE, Entry, Event
from parties.auditfile import Export
from parties.errors import line
from parties.manifest import Manifest
from parties.revealed import LEARNS, PAIRS, deviates, opens_sizes, sizes, trust
from parties.verdict import Verdict

WIDTH = 100
"""Columns of a terminal that a line may take."""
_TIME = "time (UTC)"
_BROUGHT = (Event.CONTRIBUTED, Event.RECEIVED)
_RELEASED = (Event.RELEASED, Event.FETCHED, Event.GOT_RESULT)
_DELETED = (Event.DELETED, Event.OVERWRITTEN_LATER, Event.DELETION_TOLD, Event.FORGOT)


@dataclass(frozen=True)
class Section:
    """A part of a story: a table of two columns.

    Attributes:
        title: what it is about.
        headings: of its columns.
        rows: what stands in them.
    """

    title: str
    headings: tuple[str, str]
    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Story:
    """What a node's log tells of a session.

    Attributes:
        title: the session's.
        whose: whose log, of which session.
        sections: in the order in which they are read; those without rows are left out.
    """

    title: str
    whose: str
    sections: tuple[Section, ...]

    def to_text(self) -> str:
        """For a terminal."""
        return "\n".join([self.title, self.whose, *(line for section in self.sections for line in _lines(section))])


def tell(export: Export, manifest: Manifest | None, verdict: Verdict) -> Story:
    """A session's story.

    Args:
        export: the log.
        manifest: the terms; None where the log is the node's own or has none.
        verdict: whether the log can be believed.
    """
    entries = [entry for entry in export.entries if entry.event != Event.HEAD.code]
    happened = [(_minute(entry.at), _sentence(entry, manifest)) for entry in entries]
    sections = [
        Section("What was agreed", ("term", "agreed"), _terms(manifest, export) if manifest else []),
        Section("What happened", (_TIME, "event"), happened),
        Section("Who contributed", ("member", "contributed"), _brought(entries)),
        Section("What was revealed, and to whom", ("to", "what"), _revealed(manifest, entries) if manifest else []),
        Section("What was deleted", (_TIME, "deleted"), _deleted(manifest, entries) if manifest else []),
        Section("What other nodes stated of their logs", ("node", "its newest statement held here"), _heads(export)),
        Section("Whether this log can be believed", ("check", "outcome"), list(_outcome(verdict))),
    ]
    named = "of the node itself" if export.session == NODE else f"of session {export.session.hex()}"
    title = manifest.title if manifest else f"What happened at {export.node}"
    whose = f"As told by the log of {export.node}, {named}. Times are in UTC."
    return Story(title, whose, tuple(s for s in sections if s.rows))


def _sentence(entry: Entry, manifest: Manifest | None) -> str:
    """What happened; a table is no result on rows."""
    table = manifest is not None and manifest.statistics is not None
    return "This node got the table." if table and entry.kind is Event.GOT_RESULT else entry.sentence


def _terms(m: Manifest, export: Export) -> list[tuple[str, str]]:
    hidden = (
        f"hidden by dummy groups, ε = {m.dummies.epsilon:g}, δ = {m.dummies.delta:g}" if m.dummies else "not hidden"
    )
    limits = [
        f"{m.min_records:,} to {m.max_records:,} records of each member",
        f"at most {m.max_new_records:,} of them new",
        f"at least {m.min_members:,} members",
        f"at most {m.max_sessions:,} results for a member in {m.period_days:,} days",
    ]
    return [
        ("purpose", m.purpose),
        ("legal basis", m.legal_basis or "not stated"),
        ("members", ", ".join(m.members)),
        ("committee", f"{', '.join(m.committee)}. {trust(m)} {deviates(m)}"),
        ("engine", m.engine),
        ("coordinator", m.coordinator),
        *((f"rule {rule.name}", rule.shown) for rule in m.rules),
        ("each member learns", LEARNS[m.reveal]),
        *([("table", m.statistics.to_text())] if m.statistics else []),
        ("group sizes", f"revealed to the committee, {hidden}" if opens_sizes(m) else "revealed to nobody"),
        ("limits", "; ".join(limits)),
        ("proposed", _minute(m.created)),
        ("expires", _minute(m.expires)),
        ("deleted by", f"{_until(m)} at the latest"),
        ("signed by", ", ".join(name for name in m.participants if name in export.approvals) or "nobody"),
    ]


def _brought(entries: Sequence[Entry]) -> list[tuple[str, str]]:
    """The newest contribution of each member."""
    newest = {entry.shown["member"]: entry.shown for entry in _only(entries, *_BROUGHT)}
    return [
        (member, f"{f['records']} records, {f['new_records']} of them new; {f['keys']} keys")
        for member, f in sorted(newest.items())
    ]


def _revealed(m: Manifest, entries: Sequence[Entry]) -> list[tuple[str, str]]:
    """To each role, as far as this log can tell."""
    fetched = dict.fromkeys(entry.shown["member"] for entry in _only(entries, Event.FETCHED))
    members = f"{LEARNS[m.reveal]}{'; fetched here by ' + ', '.join(fetched) if fetched else ''}"
    if not any(_only(entries, *_RELEASED)):
        members = "nothing: this log knows of no result that was released"
    committee = f"{', '.join(m.committee)}: how many records and keys each member has; {_sizes(m, entries)}"
    coordinator = f"{m.coordinator}: the terms, who signed them, how many records and keys each member has"
    if m.similar is not None:
        coordinator += f"; {PAIRS}"
    return [("each member", members), ("the committee", committee), ("the coordinator", coordinator)]


def _sizes(m: Manifest, entries: Sequence[Entry]) -> str:
    if not opens_sizes(m):
        return "nothing else"
    what = f"{sizes(m)}{', dummy groups included' if m.dummies else ''}"
    opened = [entry.shown["group_sizes"] for entry in _only(entries, Event.COMPUTED)]
    opened = opened[-1:] if m.exact_rules else []
    opened += [entry.shown["block_sizes"] for entry in _only(entries, Event.BLOCKS)][-1:]
    if opened:
        return f"{what}: {'; '.join(opened)}"
    if any(_only(entries, *_RELEASED)):
        return what
    return f"perhaps {what}: an attempt began" if any(_only(entries, Event.ATTEMPT)) else "nothing else so far"


def _deleted(m: Manifest, entries: Sequence[Entry]) -> list[tuple[str, str]]:
    due = f"This log tells of no deletion; shares and results are due to be deleted by {_until(m)} at the latest."
    return [(_minute(entry.at), entry.sentence) for entry in _only(entries, *_DELETED)] or [("-", due)]


def _heads(export: Export) -> list[tuple[str, str]]:
    newest = {h.node: h for h in sorted(export.heads, key=lambda h: h.number) if h.node != export.node}
    return [(node, f"entry {h.number:,} is {h.hash.hex()[:16]}") for node, h in sorted(newest.items())]


def _outcome(verdict: Verdict) -> Iterator[tuple[str, str]]:
    intact = (
        f"{verdict.entries:,} entries without a gap, each signed by {verdict.node} and following from the one before."
    )
    yield "this log", verdict.fault or intact
    if verdict.compared:
        agreed = f"Statements of {verdict.node} on this log that others hold, and that it agrees with"
        yield "with others", f"{agreed}: {verdict.compared:,}."
    yield from (("remark", remark) for remark in verdict.remarks)


def _only(entries: Sequence[Entry], *events: Event) -> Iterator[Entry]:
    return (entry for entry in entries if entry.kind in events)


def _until(m: Manifest) -> str:
    return _minute(m.retained_until().isoformat())


def _minute(at: str) -> str:
    return line(at, 16).replace("T", " ")


def _lines(section: Section) -> Iterator[str]:
    yield from ("", section.title)
    indent = max(len(first) for first, _ in section.rows) + 4
    for first, second in section.rows:
        lines = wrap(second, max(WIDTH - indent, 40), break_on_hyphens=False) or [""]
        yield f"  {first:<{indent - 2}}{lines[0]}".rstrip()
        yield from (" " * indent + line for line in lines[1:])
