"""A session's agreed terms: what is signed, byte for byte. Pure.

The canonical form is JSON with sorted keys and no spaces, in UTF-8; its SHA-256 is the session id. It names every
node together with the digest of its pinned certificate and signing key, so that a signature is on exact terms by
exact nodes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import MAXYEAR, UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from mpc.matching import Reveal
from parties import normalise
from parties.errors import ConfigError
from parties.normalise.codes import COUNTRIES
from parties.rules import MAX_FIELDS, SCOPES, Rule

FORMAT = "matchbit.v1"
MAX_MANIFEST_BYTES = 1 << 18
MAX_MEMBERS = 1000
MAX_RULES = 32
MAX_RECORDS = 50_000_000
MAX_RETENTION_DAYS = 90
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
        coordinator: the node that keeps the session.
        members: names of the nodes that bring records, in the order that numbers them.
        committee: names of the three computing nodes: P0, P1, P2.
        nodes: for each of these names the hex digest of its federation entry.
        rules: at least one.
        normalisation: version that the keys are made with.
        country: ISO 3166 alpha-2 in capitals, or empty: of national phone numbers and of documents that name none.
        reveal: flag, count or members.
        max_records: rows that a member may bring.
        created: UTC, ISO 8601 to the microsecond; makes two sessions on the same terms two.
        expires: UTC, ISO 8601: nothing runs after it.
        retention_days: shares and results are deleted so long after the session's creation at the latest.
    """

    title: str
    purpose: str
    coordinator: str
    members: tuple[str, ...]
    committee: tuple[str, ...]
    nodes: Mapping[str, str]
    rules: tuple[Rule, ...]
    normalisation: str
    country: str
    reveal: str
    max_records: int
    created: str
    expires: str
    retention_days: int

    @property
    def participants(self) -> tuple[str, ...]:
        """Everyone who must sign: members, then committee nodes that are not members."""
        return tuple(dict.fromkeys((*self.members, *self.committee)))

    @property
    def max_keys(self) -> int:
        """Keys that a member may upload: one for each rule of each record."""
        return self.max_records * len(self.rules)

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
        terms = {f.name: getattr(self, f.name) for f in fields(self)} | {"format": FORMAT}
        terms["rules"] = [asdict(rule) for rule in self.rules]
        return json.dumps(terms, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def from_bytes(data: bytes) -> Manifest:
    """Read canonical bytes from a peer, strictly: only what `to_bytes` writes is accepted.

    Raises:
        ConfigError: too long, not canonical, or terms that no session may have.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise ConfigError("The manifest is too long.")
    try:
        terms = json.loads(data)
        if terms.pop("format") != FORMAT:
            raise ConfigError("The manifest is of another version of Matchbit; all nodes must run the same one.")
        rules = tuple(Rule(r["name"], tuple(r["fields"]), r["scope"]) for r in terms.pop("rules"))
        members, committee = tuple(terms.pop("members")), tuple(terms.pop("committee"))
        manifest = Manifest(rules=rules, members=members, committee=committee, **terms)
        if manifest.to_bytes() != data:
            raise ConfigError("The manifest is not in canonical form.")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ConfigError("The manifest cannot be read: it is not what Matchbit writes.") from None
    check(manifest)
    return manifest


def from_toml(toml: Mapping[str, Any], coordinator: str, nodes: Mapping[str, str], now: datetime) -> Manifest:
    """The manifest that a coordinator's TOML file describes.

    Args:
        toml: the parsed file: a `[session]` table and `[[rule]]` tables.
        coordinator: name of the coordinator.
        nodes: name → digest of every node of the federation.
        now: time of proposal.

    Raises:
        ConfigError: says which entry is missing or wrong.
    """
    session = toml.get("session", {})
    _require(isinstance(session, Mapping), "[session] must be a table")
    unknown = set(toml) - {"session", "rule"} | set(session) - _SESSION_KEYS
    if unknown:
        raise ConfigError(f"The manifest has entries that Matchbit does not know: {', '.join(sorted(unknown))}.")
    missing = {"title", "purpose", "members", "committee", "max_records", "expires"} - set(session)
    members = _names(session.get("members", []), "members")
    committee = _names(session.get("committee", []), "committee")
    if len(set(members)) == 2 and len(set(committee)) < 3:
        raise ConfigError(TWO_AGENCIES)
    if missing:
        raise ConfigError(f"The manifest's [session] table lacks: {', '.join(sorted(missing))}.")
    participants = dict.fromkeys((*members, *committee))
    strangers = [name for name in (*participants, coordinator) if name not in nodes]
    if strangers:
        raise ConfigError(f"Not in federation.toml: {', '.join(strangers)}. Add their entries or correct the names.")
    manifest = Manifest(
        title=session["title"],
        purpose=session["purpose"],
        coordinator=coordinator,
        members=members,
        committee=committee,
        nodes={name: nodes[name] for name in (*participants, coordinator)},
        rules=rules_from_toml(toml),
        normalisation=normalise.VERSION,
        country=session.get("country", ""),
        reveal=session.get("reveal", Reveal.FLAG.value),
        max_records=session["max_records"],
        created=_utc(now, "created"),
        expires=_utc(session["expires"], "expires"),
        retention_days=session.get("retention_days", 7),
    )
    check(manifest)
    if manifest.is_past(now):
        raise ConfigError(f"The manifest expired on {manifest.expires}; set a later `expires`.")
    return manifest


_SESSION_KEYS = {
    "title", "purpose", "members", "committee", "country", "reveal", "max_records", "expires", "retention_days",
}  # fmt: skip


def rules_from_toml(toml: Mapping[str, Any]) -> tuple[Rule, ...]:
    """The `[[rule]]` tables of a manifest or of a rules file.

    Raises:
        ConfigError: no rule, or one without name or fields.
    """
    rules = []
    tables = toml.get("rule", [])
    _require(isinstance(tables, list), "rules must be [[rule]] tables")
    for number, table in enumerate(tables, 1):
        if not isinstance(table, Mapping) or not {"name", "fields"} <= set(table) <= {"name", "fields", "scope"}:
            raise ConfigError(f"Rule {number} must have `name` and `fields`, may have `scope`, and nothing else.")
        named = table["fields"]
        if not isinstance(named, list | tuple):
            raise ConfigError(f"Rule {number}: `fields` must be a list of fields or headings.")
        rules.append(Rule(table["name"], tuple(named), table.get("scope", "person")))
    _check_rules(rules)
    return tuple(rules)


def rules_file(toml: Mapping[str, Any]) -> tuple[tuple[Rule, ...], str]:
    """A rules file: `[[rule]]` tables, and before them perhaps `country`; or a whole manifest.

    Raises:
        ConfigError: it is something else.
    """
    session = toml.get("session", {})
    country = toml.get("country", session.get("country", "") if isinstance(session, Mapping) else "")
    _require(is_country(country), COUNTRY_WANTED)
    return rules_from_toml(toml), country


def check(manifest: Manifest) -> None:
    """Refuse terms that no session may have.

    Raises:
        ConfigError: one sentence that says what is wrong.
    """
    _names(manifest.members, "members")
    _names(manifest.committee, "committee")
    named = isinstance(manifest.coordinator, str) and NAME.fullmatch(manifest.coordinator)
    _require(bool(named), "`coordinator` must be a node's name")
    for field, text in (("title", manifest.title), ("purpose", manifest.purpose)):
        _require(_is_text(text, 1000), f"`{field}` must be one line of 1 to 1000 printable characters")
    if len(manifest.members) == 2 and len(set(manifest.committee)) < 3:
        raise ConfigError(TWO_AGENCIES)
    _require(2 <= len(manifest.members) <= MAX_MEMBERS, f"`members` must name 2 to {MAX_MEMBERS} nodes")
    _require(len(manifest.committee) == 3, "`committee` must name exactly three nodes")
    _require(manifest.coordinator not in manifest.participants, "the coordinator cannot take part in its own session")
    expected = {*manifest.participants, manifest.coordinator}
    _require(
        isinstance(manifest.nodes, Mapping)
        and set(manifest.nodes) == expected
        and all(isinstance(d, str) and len(d) == 64 for d in manifest.nodes.values()),
        "`nodes` must hold one digest for each participant",
    )
    _require(manifest.reveal in [r.value for r in Reveal], "`reveal` must be flag, count or members")
    _integer(manifest.max_records, "max_records", MAX_RECORDS)
    _integer(manifest.retention_days, "retention_days", MAX_RETENTION_DAYS)
    for name in ("created", "expires"):
        _require(_is_utc(getattr(manifest, name)), f"`{name}` must be a date and time in UTC")
    _require(is_country(manifest.country), COUNTRY_WANTED)
    _check_rules(manifest.rules)
    if manifest.normalisation != normalise.VERSION:
        raise ConfigError(
            f"The session normalises by {manifest.normalisation}, this node by {normalise.VERSION}: update the older."
        )


def _check_rules(rules: Sequence[Rule]) -> None:
    _require(0 < len(rules) <= MAX_RULES, f"there must be 1 to {MAX_RULES} [[rule]] tables")
    for rule in rules:
        named = _is_text(rule.name, 100) and rule.name[0].isalnum()
        _require(named, "every rule needs a printable name that begins with a letter or a digit")
        good = all(_is_text(f, 200) for f in rule.fields)
        _require(good and 0 < len(rule.fields) <= MAX_FIELDS, f"rule {rule.name} must have 1 to {MAX_FIELDS} fields")
        _require(rule.scope in SCOPES, f"`scope` of rule {rule.name} must be {' or '.join(SCOPES)}")
        _ = rule.uses  # raises where a transform is unknown
    _require(len({r.name for r in rules}) == len(rules), "two rules have the same name")


def is_country(value: Any) -> bool:
    """Whether a value is empty or a country's two capital letters."""
    return isinstance(value, str) and value in {"", *COUNTRIES}


def _is_text(value: Any, longest: int) -> bool:
    """Whether a value is text that can be shown to an approver as it is: no line breaks, no codes of a terminal."""
    return isinstance(value, str) and 0 < len(value) <= longest and value.isprintable()


def _require(condition: bool, text: str) -> None:
    if not condition:
        raise ConfigError(f"The manifest is wrong: {text}.")


def _integer(value: Any, name: str, largest: int) -> None:
    good = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= largest
    _require(good, f"`{name}` must be a whole number from 1 to {largest}")


def _names(names: Any, field: str) -> tuple[str, ...]:
    good = isinstance(names, list | tuple) and all(isinstance(n, str) and NAME.fullmatch(n) for n in names)
    _require(good, f"`{field}` must be a list of node names (small letters, digits and hyphens)")
    twice = {name for name, times in Counter(names).items() if times > 1}
    _require(not twice, f"`{field}` names {', '.join(sorted(twice))} twice")
    return tuple(names)


def _utc(value: Any, name: str) -> str:
    try:
        at = value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo is not None else None
    except OverflowError:  # at an end of the calendar
        at = None
    if at is None:
        raise ConfigError(f"The manifest is wrong: `{name}` must be like 2026-12-31T00:00:00Z.")
    return at.isoformat()


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


def verify(key: Ed25519PublicKey, session_id: bytes, name: str, signature: bytes) -> None:
    """Check a node's approval.

    Raises:
        ConfigError: it is not that node's signature on this session.
    """
    try:
        key.verify(signature, _approval(session_id, name))
    except InvalidSignature:
        raise ConfigError(f"The approval in the name of {name} is not signed by {name}'s pinned key.") from None
