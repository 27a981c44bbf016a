"""A session's agreed terms: what is signed, byte for byte. Pure.

The canonical form is JSON with sorted keys and no spaces, in UTF-8; its SHA-256 is the session id. It names every
node together with the digest of its name and signing key, so that a signature is on exact terms by
exact nodes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import MAXYEAR, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mpc.dummies import DELTAS, EPSILONS, Dummies
from mpc.matching import Reveal
from parties import engines, normalise, similar, statistics
from parties.errors import ConfigError
from parties.normalise.codes import COUNTRIES
from parties.rules import MAX_FIELDS, SCOPES, Rule
from parties.signatures import Verifier
from parties.similar import Similar
from parties.statistics import Statistics

FORMAT = "matchbit.v1"
MAX_MANIFEST_BYTES = 1 << 18
MAX_MEMBERS = 1000
REMEMBERED = 16
"""Manifests that are known again by their bytes, each as long as a session's members are many."""
MAX_RULES = 32
MAX_RECORDS = 50_000_000
MAX_RETENTION_DAYS = 90
MAX_SESSIONS = 1000
MAX_PERIOD_DAYS = 366
CLOCKS_DIFFER = timedelta(days=1)
"""By how much nodes' clocks may differ."""
COUNTRY_WANTED = "`country` must be a country's two capital letters, such as UA, or be left out"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
TWO_AGENCIES = (
    "Two agencies cannot compute alone: of two computing nodes each could learn the other's list. A third, neutral "
    "node is needed. Ask an organisation that both trust to run `matchbit node init NAME --dir DIR --address "
    "HOST:PORT` and `matchbit node serve`, add its entry.toml to everyone's federation.toml and name it in "
    "`committee`."
)


@dataclass(frozen=True)
class Manifest:
    """The terms.

    Attributes:
        title: for people.
        purpose: why the data may be compared; for people and for the record.
        legal_basis: what allows it, for the record; empty where it is not stated.
        coordinator: the node that keeps the session.
        members: names of the nodes that bring records, in the order that numbers them.
        committee: names of the computing nodes, in the order that numbers them: P0, P1, P2 …
        nodes: for each of these names the hex digest of its federation entry.
        rules: at least one.
        normalisation: version that the keys are made with.
        country: ISO 3166 alpha-2 in capitals, or empty: of national phone numbers and of documents that name none.
        reveal: flag, grade, count, members or statistics.
        engine: replicated or mpyc.
        threshold: so many committee nodes learn nothing even together.
        statistics: the table that members get; there where it is what is revealed, else None.
        max_records: rows that a member may bring.
        min_records: rows that a member must bring: whoever is compared with hides among so many.
        max_new_records: of these, rows that may be new since the member's last session; its first is all new.
        min_members: how many must contribute before anything is computed.
        max_sessions: results that a member may have within `period_days`, this session's included.
        period_days: the days that these are counted in.
        dummies: how well dummy groups hide the group sizes from the committee; None where they do not.
        verify_tags: whether the committee verifies its tags before it opens any.
        created: UTC, ISO 8601 to the microsecond; makes two sessions on the same terms two.
        expires: UTC, ISO 8601: nothing runs after it.
        retention_days: shares and results are deleted so long after the session's creation at the latest.
    """

    title: str
    purpose: str
    legal_basis: str
    coordinator: str
    members: tuple[str, ...]
    committee: tuple[str, ...]
    nodes: Mapping[str, str]
    rules: tuple[Rule, ...]
    normalisation: str
    country: str
    reveal: str
    engine: str
    threshold: int
    statistics: Statistics | None
    max_records: int
    min_records: int
    max_new_records: int
    min_members: int
    max_sessions: int
    period_days: int
    dummies: Dummies | None
    verify_tags: bool
    created: str
    expires: str
    retention_days: int

    @cached_property
    def participants(self) -> tuple[str, ...]:
        """Everyone who must sign: members, then committee nodes that are not members."""
        return tuple(dict.fromkeys((*self.members, *self.committee)))

    @cached_property
    def similar(self) -> Similar | None:
        """The terms of the similar rule; None if all rules are exact."""
        return next((rule.similar for rule in self.rules if rule.similar is not None), None)

    @cached_property
    def exact_rules(self) -> int:
        """How many rules compare by keys."""
        return sum(rule.similar is None for rule in self.rules)

    @property
    def rows_of_record(self) -> int:
        """Rows of 16 bytes that a record takes besides its exact keys: what the similar rule compares of it."""
        return self.similar.linkage.record_words // 2 if self.similar else 0

    @property
    def max_keys(self) -> int:
        """Rows of 16 bytes that a member may upload: a key for each exact rule of each record, and its record."""
        return self.max_records * (self.exact_rules + self.rows_of_record)

    def exact_keys(self, keys: int, records: int) -> int:
        """How many of a member's rows are keys, and not what its records are."""
        return keys - records * self.rows_of_record

    def values(self, keys: int, records: int) -> int:
        """How many values a member gets: one for each exact key, and with a similar rule one for each record."""
        return self.exact_keys(keys, records) + (records if self.similar else 0)

    @cached_property
    def session_id(self) -> bytes:
        """32 bytes: the SHA-256 of the canonical bytes."""
        return hashlib.sha256(self.to_bytes()).digest()

    def is_ahead(self, now: datetime) -> bool:
        """Whether it was created later than any honest clock can say, which would put off deletion."""
        return datetime.fromisoformat(self.created) > now + CLOCKS_DIFFER

    def is_past(self, now: datetime) -> bool:
        """Whether the session has expired."""
        return now >= datetime.fromisoformat(self.expires)

    def warnings(self) -> list[str]:
        """What whoever signs should know of the rules: fields that are headings, and weakness in lists so long."""
        others = self.max_records * (len(self.members) - 1)
        weak = [rule.weakness(self.max_records, others) for rule in self.rules]
        return [*(text for rule in self.rules for text in rule.headings()), *filter(None, weak)]

    def retained_until(self) -> datetime:
        """When shares and results are deleted at the latest."""
        return datetime.fromisoformat(self.created) + timedelta(days=self.retention_days)

    def to_bytes(self) -> bytes:
        """The canonical bytes."""
        return self._canonical

    @cached_property
    def _canonical(self) -> bytes:
        terms = {f.name: getattr(self, f.name) for f in fields(self)} | {"format": FORMAT}
        terms["rules"] = [asdict(rule) for rule in self.rules]
        terms["dummies"] = None if self.dummies is None else asdict(self.dummies)
        terms["statistics"] = None if self.statistics is None else asdict(self.statistics)
        return json.dumps(terms, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def from_bytes(data: bytes) -> Manifest:
    """Read canonical bytes from a peer, strictly: only what `to_bytes` writes is accepted.

    Raises:
        ConfigError: too long, not canonical, or terms that no session may have.
    """
    manifest = read(data)
    check(manifest)
    return manifest


@lru_cache(REMEMBERED)
def read(data: bytes) -> Manifest:
    """Read canonical bytes whose terms were checked when they came; by now this node may want others.

    Raises:
        ConfigError: too long, or not canonical.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise ConfigError("The manifest is too long.")
    try:
        terms = json.loads(data)
        if terms.pop("format") != FORMAT:
            raise ConfigError("The manifest is of another version of Matchbit; all nodes must run the same one.")
        rules = tuple(map(_rule, terms.pop("rules")))
        members, committee = tuple(terms.pop("members")), tuple(terms.pop("committee"))
        dummies = None if (hidden := terms.pop("dummies")) is None else Dummies(**hidden)
        table = None if (agreed := terms.pop("statistics")) is None else statistics.from_json(agreed)
        terms |= {"rules": rules, "dummies": dummies, "statistics": table}
        manifest = Manifest(members=members, committee=committee, **terms)
        if manifest.to_bytes() != data:
            raise ConfigError("The manifest is not in canonical form.")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ConfigError("The manifest cannot be read: it is not what Matchbit writes.") from None
    return manifest


def _rule(terms: Any) -> Rule:
    alike = None if (agreed := terms["similar"]) is None else similar.from_json(agreed)
    return Rule(terms["name"], tuple(terms["fields"]), terms["scope"], alike)


def check(manifest: Manifest) -> None:
    """Refuse terms that no session may have.

    Raises:
        ConfigError: one sentence that says what is wrong.
    """
    names_of(manifest.members, "members")
    names_of(manifest.committee, "committee")
    named = isinstance(manifest.coordinator, str) and NAME.fullmatch(manifest.coordinator) is not None
    require(named, "`coordinator` must be a node's name")
    texts = [("title", manifest.title), ("purpose", manifest.purpose)]
    texts += [] if manifest.legal_basis == "" else [("legal_basis", manifest.legal_basis)]
    for field, text in texts:
        require(_is_text(text, 1000), f"`{field}` must be one line of 1 to 1000 printable characters")
    if len(manifest.members) == 2 and len(set(manifest.committee)) < 3:
        raise ConfigError(TWO_AGENCIES)
    require(2 <= len(manifest.members) <= MAX_MEMBERS, f"`members` must name 2 to {MAX_MEMBERS} nodes")
    require(manifest.coordinator not in manifest.participants, "the coordinator cannot take part in its own session")
    expected = {*manifest.participants, manifest.coordinator}
    require(
        isinstance(manifest.nodes, Mapping)
        and set(manifest.nodes) == expected
        and all(isinstance(d, str) and len(d) == 64 for d in manifest.nodes.values()),
        "`nodes` must hold one digest for each participant",
    )
    require(manifest.reveal in [r.value for r in Reveal], "`reveal` must be flag, grade, count, members or statistics")
    _check_limits(manifest)
    require(isinstance(manifest.verify_tags, bool), "`verify_tags` must be true or false")
    _integer(manifest.retention_days, "retention_days", MAX_RETENTION_DAYS)
    for name in ("created", "expires"):
        require(_is_utc(getattr(manifest, name)), f"`{name}` must be a date and time in UTC")
    require(is_country(manifest.country), COUNTRY_WANTED)
    check_rules(manifest.rules, manifest.reveal)
    _check_statistics(manifest)
    require(not (fault := engines.fault(manifest)), fault)
    if sentence := engines.takes_too_long(manifest) or engines.takes_too_much(manifest):
        raise ConfigError(sentence)
    if manifest.normalisation != normalise.VERSION:
        raise ConfigError(
            f"The session normalises by {manifest.normalisation}, this node by {normalise.VERSION}: update the older."
        )


def _check_limits(manifest: Manifest) -> None:
    _integer(manifest.max_records, "max_records", MAX_RECORDS)
    _integer(manifest.min_records, "min_records", manifest.max_records)
    _integer(manifest.max_new_records, "max_new_records", manifest.max_records)
    _integer(manifest.min_members, "min_members", len(manifest.members), smallest=2)
    _integer(manifest.max_sessions, "max_sessions", MAX_SESSIONS)
    _integer(manifest.period_days, "period_days", MAX_PERIOD_DAYS)
    if manifest.dummies is not None:
        _check_dummies(manifest.dummies)


def _check_statistics(manifest: Manifest) -> None:
    told = manifest.reveal == Reveal.STATISTICS.value
    both = 'a [session.statistics] table and `reveal = "statistics"` need each other'
    require((manifest.statistics is not None) == told, both)
    if manifest.statistics is not None:
        statistics.check(manifest.statistics, manifest.rules, manifest.country)


def _check_dummies(dummies: Dummies) -> None:
    bounds = ((dummies.epsilon, EPSILONS), (dummies.delta, DELTAS))
    good = all(isinstance(value, float) and low <= value <= high for value, (low, high) in bounds)
    within = "an epsilon from {} to {} and a delta from {} to {}".format(*EPSILONS, *DELTAS)
    require(good, f"`dummies` must have {within}")


def check_rules(rules: Sequence[Rule], reveal: str) -> None:
    """Refuse rules that no session may have.

    Args:
        rules: the rules.
        reveal: what members learn by them.

    Raises:
        ConfigError: one sentence that says what is wrong.
    """
    require(0 < len(rules) <= MAX_RULES, f"there must be 1 to {MAX_RULES} [[rule]] tables")
    for rule in rules:
        named = _is_text(rule.name, 100) and rule.name[0].isalnum()
        require(named, "every rule needs a printable name that begins with a letter or a digit")
        good = all(_is_text(f, 200) for f in rule.fields)
        require(good and 0 < len(rule.fields) <= MAX_FIELDS, f"rule {rule.name} must have 1 to {MAX_FIELDS} fields")
        require(rule.scope in SCOPES, f"`scope` of rule {rule.name} must be {' or '.join(SCOPES)}")
        _ = rule.uses  # raises where a transform is unknown
        _check_similar(rule, reveal)
    alike = sum(rule.similar is not None for rule in rules)
    require(alike <= 1, "there may be one rule with `kind` similar, beside any number of others")
    require(alike > 0 or reveal != Reveal.GRADE.value, "`reveal` grade is for sessions with a rule of `kind` similar")
    require(len({r.name for r in rules}) == len(rules), "two rules have the same name")


def _check_similar(rule: Rule, reveal: str) -> None:
    if rule.similar is not None:
        similar.check(rule.similar, reveal)
        require(rule.scope == "person", f"`scope` of rule {rule.name} must be person, since it is of `kind` similar")
        require(rule.fields == rule.similar.fields, f"`fields` of rule {rule.name} are not those that it compares")


def is_country(value: Any) -> bool:
    """Whether a value is empty or a country's two capital letters."""
    return isinstance(value, str) and value in {"", *COUNTRIES}


def _is_text(value: Any, longest: int) -> bool:
    """Whether a value is text that can be shown to an approver as it is: no line breaks, no codes of a terminal."""
    return isinstance(value, str) and 0 < len(value) <= longest and value.isprintable()


def require(condition: bool, text: str) -> None:
    """Refuse terms unless a condition holds.

    Raises:
        ConfigError: what the manifest must be.
    """
    if not condition:
        raise ConfigError(f"The manifest is wrong: {text}.")


def _integer(value: Any, name: str, largest: int, smallest: int = 1) -> None:
    good = isinstance(value, int) and not isinstance(value, bool) and smallest <= value <= largest
    require(good, f"`{name}` must be a whole number from {smallest} to {largest}")


def names_of(names: Any, field: str) -> tuple[str, ...]:
    """Distinct names of nodes.

    Raises:
        ConfigError: they are not.
    """
    good = isinstance(names, list | tuple) and all(isinstance(n, str) and NAME.fullmatch(n) for n in names)
    require(good, f"`{field}` must be a list of node names (small letters, digits and hyphens)")
    twice = {name for name, times in Counter(names).items() if times > 1}
    require(not twice, f"`{field}` names {', '.join(sorted(twice))} twice")
    return tuple(names)


def _is_utc(value: Any) -> bool:
    try:
        at = datetime.fromisoformat(value)
        return at.utcoffset() == timedelta(0) and at.year < MAXYEAR  # so that days can be added
    except (ValueError, TypeError):
        return False


def _approval(session_id: bytes, name: str) -> bytes:
    return b"matchbit.v1 approval\0" + session_id + name.encode()


def sign(key: Ed25519PrivateKey, session_id: bytes, name: str) -> bytes:
    """A node's approval of a session: an Ed25519 signature of 64 bytes."""
    return key.sign(_approval(session_id, name))


def verify(key: Verifier, session_id: bytes, name: str, signature: bytes) -> None:
    """Check a node's approval.

    Raises:
        ConfigError: it is not that node's signature on this session.
    """
    try:
        key.verify(signature, _approval(session_id, name))
    except InvalidSignature:
        raise ConfigError(f"The approval in the name of {name} is not signed by {name}'s pinned key.") from None
