"""What a coordinator writes: a manifest's TOML file, and rules files. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mpc.dummies import Dummies
from mpc.matching import Reveal
from parties import normalise, statistics
from parties.engines import Engine
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
    engine = session.get("engine", Engine.REPLICATED.value)
    manifest = Manifest(
        title=session["title"],
        purpose=session["purpose"],
        legal_basis=session.get("legal_basis", ""),
        coordinator=coordinator,
        members=members,
        committee=committee,
        nodes={name: nodes[name] for name in (*participants, coordinator)},
        rules=rules_from_toml(toml),
        normalisation=normalise.VERSION,
        country=session.get("country", ""),
        reveal=session.get("reveal", Reveal.FLAG.value),
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


def rules_from_toml(toml: Mapping[str, Any]) -> tuple[Rule, ...]:
    """The `[[rule]]` tables of a manifest or of a rules file.

    Raises:
        ConfigError: no rule, or one without name or fields.
    """
    rules = []
    tables = toml.get("rule", [])
    require(isinstance(tables, list), "rules must be [[rule]] tables")
    for number, table in enumerate(tables, 1):
        if not isinstance(table, Mapping) or not {"name", "fields"} <= set(table) <= {"name", "fields", "scope"}:
            raise ConfigError(f"Rule {number} must have `name` and `fields`, may have `scope`, and nothing else.")
        named = table["fields"]
        if not isinstance(named, list | tuple):
            raise ConfigError(f"Rule {number}: `fields` must be a list of fields or headings.")
        rules.append(Rule(table["name"], tuple(named), table.get("scope", "person")))
    check_rules(rules)
    return tuple(rules)


def rules_file(toml: Mapping[str, Any]) -> tuple[tuple[Rule, ...], str, Statistics | None]:
    """A rules file: `[[rule]]` tables, and before them perhaps `country`; or a whole manifest, with its table's terms.

    Raises:
        ConfigError: it is something else.
    """
    session = toml.get("session", {})
    session = session if isinstance(session, Mapping) else {}
    country, table = toml.get("country", session.get("country", "")), session.get("statistics")
    require(is_country(country), COUNTRY_WANTED)
    rules = rules_from_toml(toml)
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
