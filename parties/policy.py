"""A node's policy: which terms it accepts, and whether people or standing consent approve them. Pure.

The policy is this node's own file, `policy.toml`. What it does not mention, it does not limit; of what it does, others
learn no more than a refusal says.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from mpc.dummies import Dummies
from parties.errors import SessionRefused
from parties.manifest import Manifest
from parties.revealed import opens_sizes
from parties.rules import Rule

MAX_TOLD_CHARS = 1000
"""The longest reason that is told to other nodes."""
MAX_PERSON_CHARS = 100
_SHOWN_TERMS, _SHOWN_CHARS = 5, 80
_STILL_OPEN = datetime.max.replace(tzinfo=UTC)
Term = str | tuple[str, ...]
"""A name or text of a manifest, or a rule: its fields, sorted."""


class Consent(Enum):
    """Who approves what the policy accepts; the value is what the file says."""

    PERSON = "person"
    STANDING = "standing"


class Decision(Enum):
    """What becomes of a proposal."""

    REFUSED = "refused"
    PERSON = "person"
    STANDING = "standing"


@dataclass(frozen=True)
class Past:
    """A session that this node has approved before.

    Attributes:
        members: whose lists it compares.
        ended: UTC, when its results were released; None while it may still have results.
    """

    members: tuple[str, ...]
    ended: datetime | None


@dataclass(frozen=True)
class Ruling:
    """What a policy says of a proposal.

    Attributes:
        decision: what becomes of it.
        reasons: sentences for people; of a refusal one for each term that is not accepted.
    """

    decision: Decision
    reasons: tuple[str, ...]

    @property
    def told(self) -> str:
        """The reasons as one text, short enough for other nodes."""
        return _short(" ".join(self.reasons), MAX_TOLD_CHARS)


@dataclass(frozen=True)
class Policy:
    """What a node accepts; None accepts anything that a manifest may say.

    Attributes:
        consent: who approves what is accepted.
        approvers: people or offices that must all consent before this node signs; empty: whoever runs the command.
        coordinators: nodes that may propose.
        partners: nodes that may be members or on the committee, besides this node.
        reveal: modes.
        min_smallest_cell: of a table's `smallest_cell`, where the terms have one.
        engine: of these the committee must compute with one.
        min_threshold: of the manifest's `threshold`.
        rules: each a set of fields, with transforms exactly as a manifest writes them. A rule's name and scope are
            not looked at: they change what a member makes of its own result, not what it learns.
        similar: fingerprints of rules of kind similar, none if it is empty. Where it is None, standing consent leaves
            terms with such a rule to a person.
        max_records: of the manifest's `max_records`.
        min_records: of the manifest's `min_records`.
        max_new_records: of the manifest's `max_new_records`.
        min_members: of the manifest's `min_members`.
        max_retention_days: of the manifest's `retention_days`.
        max_days_open: from the manifest's `created` to its `expires`.
        legal_basis: whether it must be stated.
        purposes: exact texts.
        cooldown_days: from one session's results until another compares two of its members again.
        dummies: the group sizes must be hidden at least so well, where the engine opens them.
        verify_tags: the committee must verify its tags, where the engine opens them.
    """

    consent: Consent = Consent.PERSON
    approvers: tuple[str, ...] = ()
    coordinators: frozenset[str] | None = None
    partners: frozenset[str] | None = None
    reveal: frozenset[str] | None = None
    min_smallest_cell: int | None = None
    engine: frozenset[str] | None = None
    min_threshold: int | None = None
    rules: frozenset[tuple[str, ...]] | None = None
    similar: frozenset[str] | None = None
    max_records: int | None = None
    min_records: int | None = None
    max_new_records: int | None = None
    min_members: int | None = None
    max_retention_days: int | None = None
    max_days_open: int | None = None
    legal_basis: bool = False
    purposes: frozenset[str] | None = None
    cooldown_days: int | None = None
    dummies: Dummies | None = None
    verify_tags: bool = False

    def judge(self, manifest: Manifest, own: str, history: Sequence[Past], now: datetime) -> Ruling:
        """What becomes of a proposal.

        Args:
            manifest: the proposed terms.
            own: this node's name.
            history: the sessions that this node has approved before.
            now: UTC.
        """
        breaches = [*self._breaches(manifest, own), *filter(None, [self._too_soon(manifest, history, now)])]
        if breaches:
            return Ruling(Decision.REFUSED, tuple(breaches))
        if self.consent is Consent.STANDING and (manifest.similar is None or self.similar is not None):
            return Ruling(Decision.STANDING, ("All terms are within this node's standing consent.",))
        who = _listed(self.approvers) or "Somebody at this node"
        return Ruling(Decision.PERSON, (f"{who} must read the terms, and approve or refuse them.",))

    def refuse(self, manifest: Manifest, own: str) -> None:
        """Refuse terms that are not accepted, or no longer: the policy may be stricter than when they were approved.

        Args:
            manifest: the terms.
            own: this node's name.

        Raises:
            SessionRefused: says which terms, and what this node allows.
        """
        breaches = self._breaches(manifest, own)
        if breaches:
            raise SessionRefused(_short(f"The policy of {own} refuses the terms: {' '.join(breaches)}", MAX_TOLD_CHARS))

    def _breaches(self, m: Manifest, own: str) -> list[str]:
        """A sentence for each term that is not accepted."""
        open_for = datetime.fromisoformat(m.expires) - datetime.fromisoformat(m.created)
        found = (
            _only("`coordinator` is", [m.coordinator], self.coordinators),
            _only("`members` and `committee` name", {*m.participants} - {own}, self.partners),
            _only("`reveal` is", [m.reveal], self.reveal),
            _limit("`smallest_cell` is", m.statistics.smallest_cell, least=self.min_smallest_cell)
            if m.statistics
            else "",
            _only("`engine` is", [m.engine], self.engine),
            _limit("`threshold` is", m.threshold, least=self.min_threshold),
            _only("`fields` of a rule are", (rule_terms(r) for r in m.rules if r.similar is None), self.rules),
            self._alike(m),
            _limit("`max_records` is", m.max_records, most=self.max_records),
            _limit("`min_records` is", m.min_records, least=self.min_records),
            _limit("`max_new_records` is", m.max_new_records, most=self.max_new_records),
            _limit("`min_members` is", m.min_members, least=self.min_members),
            _limit("`retention_days` is", m.retention_days, most=self.max_retention_days),
            _limit("Days from `created` to `expires` are", math.ceil(open_for / timedelta(1)), most=self.max_days_open),
            _stated(m.legal_basis) if self.legal_basis else "",
            _only("`purpose` is", [m.purpose], self.purposes),
            *(self._opened(m) if opens_sizes(m) else ()),
        )
        return [sentence for sentence in found if sentence]

    def _alike(self, m: Manifest) -> str:
        """A sentence on a rule of kind similar that is not accepted."""
        if m.similar is None or self.similar is None or m.similar.fingerprint in self.similar:
            return ""
        names = _listed(self.similar) or "none"
        return f"The fingerprint of a rule of `kind` similar is {m.similar.fingerprint}; this node allows {names}."

    def _opened(self, m: Manifest) -> Iterable[str]:
        """Sentences on what the committee learns of group sizes and tags, for an engine that opens them."""
        yield _hidden(m.dummies, self.dummies) if self.dummies else ""
        yield "" if m.verify_tags or not self.verify_tags else _NOT_VERIFIED

    def _too_soon(self, m: Manifest, history: Sequence[Past], now: datetime) -> str:
        """A sentence where members are compared again too soon: a question that is asked again and again is a probe."""
        if self.cooldown_days is None:
            return ""
        cooldown = timedelta(self.cooldown_days)
        recent = [p for p in history if len(_both(p, m)) > 1 and now < (p.ended or now) + cooldown]
        if not recent:
            return ""
        last = max(recent, key=lambda p: (p.ended or _STILL_OPEN, sorted(_both(p, m))))
        again, pause = f"Of `members`, {_listed(_both(last, m))}", _days(self.cooldown_days)
        if last.ended is None:
            return f"{again} are in a session that is not over; this node allows another {pause} after its results."
        return f"{again} got results on {last.ended:%Y-%m-%d}; this node allows another session {pause} later."


# Sentences: the term, what it is, what this node allows; nothing where it is allowed


_NOT_VERIFIED = "`verify_tags` is false; this node allows terms only that have it true."


def _only(term: str, found: Iterable[Term], allowed: Collection[Term] | None) -> str:
    strange = () if allowed is None else {*found} - {*allowed}
    return f"{term} {_listed(strange)}; this node allows {_listed(allowed)}." if strange and allowed else ""


def _limit(term: str, value: int, *, least: int | None = None, most: int | None = None) -> str:
    if least is not None and value < least:
        return f"{term} {value:,}; this node allows {least:,} at least."
    if most is not None and value > most:
        return f"{term} {value:,}; this node allows {most:,} at most."
    return ""


def _hidden(dummies: Dummies | None, allowed: Dummies) -> str:
    if dummies and dummies.epsilon <= allowed.epsilon and dummies.delta <= allowed.delta:
        return ""
    found = f"epsilon {dummies.epsilon:g} and delta {dummies.delta:g}" if dummies else "not there"
    return f"`dummies` are {found}; this node allows epsilon {allowed.epsilon:g} and delta {allowed.delta:g} at most."


def _stated(legal_basis: str) -> str:
    return "" if legal_basis else "`legal_basis` is empty; this node allows terms only that state it."


def rule_terms(rule: Rule) -> tuple[str, ...]:
    """What an exact rule compares, whatever the order of its fields."""
    return tuple(sorted({*rule.fields}))


def _both(past: Past, manifest: Manifest) -> set[str]:
    """The members of two sessions."""
    return {*past.members} & {*manifest.members}


def _listed(terms: Collection[Term]) -> str:
    """Terms for people, in an order of their own; of many the first few."""
    shown = sorted(term if isinstance(term, str) else " + ".join(term) for term in terms)
    more = [f"{len(shown) - _SHOWN_TERMS:,} more"] if len(shown) > _SHOWN_TERMS else []
    return ", ".join([*(_short(text, _SHOWN_CHARS) for text in shown[:_SHOWN_TERMS]), *more])


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _days(count: int) -> str:
    return f"{count:,} day{'' if count == 1 else 's'}"
