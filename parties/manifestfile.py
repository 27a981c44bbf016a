"""What a coordinator writes: a manifest's TOML file, and rules files. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mpc.dummies import Dummies
from mpc.matching import Reveal
from parties import normalise, similar, statistics
from parties.engines import NOT_SIMILAR, Engine
from parties.errors import ConfigError
from parties.manifest import (
    COUNTRY_WANTED,
    MAX_SESSIONS,
    TWO_AGENCIES,
    Manifest,
    check,
    check_rules,
    is_country,
    names_of,
    require,
)
from parties.rules import Rule
from parties.statistics import Statistics


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
    require(isinstance(session, Mapping), "[session] must be a table")
    unknown = set(toml) - {"session", "rule"} | set(session) - _SESSION_KEYS
    if unknown:
        raise ConfigError(f"The manifest has entries that Matchbit does not know: {', '.join(sorted(unknown))}.")
    table = session.get("statistics")
    told = None if table is None else statistics.from_toml(table)  # first: it may have swallowed what else is missing
    missing = {"title", "purpose", "members", "committee", "max_records", "expires"} - set(session)
    members = names_of(session.get("members", []), "members")
    committee = names_of(session.get("committee", []), "committee")
    if len(set(members)) == 2 and len(set(committee)) < 3:
        raise ConfigError(TWO_AGENCIES)
    if missing:
        raise ConfigError(f"The manifest's [session] table lacks: {', '.join(sorted(missing))}.")
    participants = dict.fromkeys((*members, *committee))
    strangers = [name for name in (*participants, coordinator) if name not in nodes]
    if strangers:
        raise ConfigError(f"Not in federation.toml: {', '.join(strangers)}. Add their entries or correct the names.")
    reveal = session.get("reveal", Reveal.FLAG.value)
    engine = session.get("engine", Engine.REPLICATED.value)
    manifest = Manifest(
        title=session["title"],
        purpose=session["purpose"],
        legal_basis=session.get("legal_basis", ""),
        coordinator=coordinator,
        members=members,
        committee=committee,
        nodes={name: nodes[name] for name in (*participants, coordinator)},
        rules=rules_from_toml(toml, reveal, **_of_similar(session, len(members))),
        normalisation=normalise.VERSION,
        country=session.get("country", ""),
        reveal=reveal,
        engine=engine,
        threshold=session.get("threshold", (len(committee) - 1) // 2 if engine == Engine.MPYC.value else 1),
        statistics=told,
        max_records=session["max_records"],
        min_records=session.get("min_records", 1),
        max_new_records=session.get("max_new_records", session["max_records"]),
        min_members=session.get("min_members", len(members)),
        max_sessions=session.get("max_sessions", MAX_SESSIONS),
        period_days=session.get("period_days", 30),
        dummies=_dummies(session.get("dummies")),
        verify_tags=session.get("verify_tags", False),
        created=_utc(now, "created"),
        expires=_utc(session["expires"], "expires"),
        retention_days=session.get("retention_days", 7),
    )
    check(manifest)
    if manifest.is_past(now):
        raise ConfigError(f"The manifest expired on {manifest.expires}; set a later `expires`.")
    return manifest


_SESSION_KEYS = {
    "title", "purpose", "legal_basis", "members", "committee", "country", "reveal", "engine", "threshold",
    "statistics", "max_records", "min_records", "max_new_records", "min_members", "max_sessions", "period_days",
    "dummies", "verify_tags", "expires", "retention_days",
}  # fmt: skip


def _dummies(table: Any) -> Dummies | None:
    if table is None:
        return None
    given = isinstance(table, Mapping) and set(table) == {"epsilon", "delta"}
    require(given, "`dummies` must be like { epsilon = 1.0, delta = 1e-6 }")
    values = [float(v) if isinstance(v, int) else v for v in (table["epsilon"], table["delta"])]
    return Dummies(*values)


def _of_similar(session: Mapping[str, Any], members: int) -> dict[str, int]:
    """What a session's terms say of presets: how many records there may be, and how large groups if dummies hide them.

    A group may have as many records as `largest_group` of each member, and dummies are needed for each size there is.
    """
    longest = session["max_records"]
    known = {"records": members * longest} if type(longest) is int and members * longest > 0 else {}
    hidden = {"largest_group": max(similar.USUAL_LARGEST_GROUP // max(members, 1), similar.LARGEST_GROUPS[0])}
    return known | (hidden if session.get("dummies") is not None else {})


def rules_from_toml(toml: Mapping[str, Any], reveal: str = Reveal.FLAG.value, **of_similar: int) -> tuple[Rule, ...]:
    """The `[[rule]]` tables of a manifest or of a rules file.

    Args:
        toml: the parsed file.
        reveal: what members learn by the rules.
        of_similar: of the session, see `similar.from_toml`.

    Raises:
        ConfigError: no rule, or one without name or fields.
    """
    tables = toml.get("rule", [])
    require(isinstance(tables, list), "rules must be [[rule]] tables")
    rules = tuple(_rule(number, table, reveal, of_similar) for number, table in enumerate(tables, 1))
    check_rules(rules, reveal)
    return rules


def _rule(number: int, table: Any, reveal: str, of_similar: Mapping[str, int]) -> Rule:
    kind = table.get("kind", "exact") if isinstance(table, Mapping) else "exact"
    if kind == "similar":
        return _similar_rule(number, table, reveal, of_similar)
    needed, known = {"name", "fields"}, {"name", "fields", "scope", "kind"}
    if kind != "exact" or not isinstance(table, Mapping) or not needed <= set(table) <= known:
        raise ConfigError(
            f'Rule {number} must have `name` and `fields`, may have `scope`, and nothing else; or `kind` "similar".'
        )
    named = table["fields"]
    if not isinstance(named, list | tuple):
        raise ConfigError(f"Rule {number}: `fields` must be a list of fields or headings.")
    return Rule(table["name"], tuple(named), table.get("scope", "person"))


def _similar_rule(number: int, table: Mapping[str, Any], reveal: str, of_similar: Mapping[str, int]) -> Rule:
    unknown = sorted(set(table) - similar.ENTRIES - {"name", "kind"})
    if unknown or "name" not in table:
        raise ConfigError(
            f"Rule {number} is of `kind` similar: it must have `name`, may have {', '.join(sorted(similar.ENTRIES))}, "
            "and nothing else."
        )
    alike = similar.from_toml(table, reveal, **of_similar)
    similar.check(alike, reveal)  # so that its fields can be read
    return Rule(table["name"], alike.fields, similar=alike)


def rules_file(toml: Mapping[str, Any]) -> tuple[tuple[Rule, ...], str, Statistics | None]:
    """A rules file: `[[rule]]` tables, and before them perhaps `country`; or a whole manifest, with its table's terms.

    Raises:
        ConfigError: it is something else.
    """
    session = toml.get("session", {})
    session = session if isinstance(session, Mapping) else {}
    country, table = toml.get("country", session.get("country", "")), session.get("statistics")
    require(is_country(country), COUNTRY_WANTED)
    rules = rules_from_toml(toml, session.get("reveal", Reveal.FLAG.value))
    by_mpyc = session.get("engine") == Engine.MPYC.value
    require(not (by_mpyc and any(rule.similar for rule in rules)), NOT_SIMILAR)
    told = None if table is None else statistics.from_toml(table)
    if told:
        statistics.check(told, rules, country)
    return rules, country, told


def _utc(value: Any, name: str) -> str:
    try:
        at = value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo is not None else None
    except OverflowError:  # at an end of the calendar
        at = None
    if at is None:
        raise ConfigError(f"The manifest is wrong: `{name}` must be like 2026-12-31T00:00:00Z.")
    return at.isoformat()
