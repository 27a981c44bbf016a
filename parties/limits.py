"""What a member may bring to a session: its own program holds its list to it, each committee node its commitment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from parties.errors import InputError, SessionRefused
from parties.federation import Federation
from parties.manifest import Manifest
from parties.statements import Commitment

if TYPE_CHECKING:
    from parties.keys import Keys  # daemons do without what lists need

KEYS = "distinct keys"


def check_limits(manifest: Manifest, keys: Keys, path: Path) -> None:
    """Refuse what the terms do not allow, before anything leaves the member.

    Raises:
        InputError: more rows or keys than the terms allow, or no usable row.
    """
    exact, similar = (
        len(keys.keys),
        sum(len(of.rows) for of, r in zip(keys.of_rule, keys.rules, strict=True) if r.similar),
    )
    if keys.rows > manifest.max_records:
        raise InputError(
            f"{path} has {keys.rows} rows; the session allows {manifest.max_records} per member. Shorten the "
            "list, or ask the coordinator for a session with a higher `max_records`."
        )
    if exact > (most := manifest.max_records * manifest.exact_rules):
        raise InputError(
            f"{path} makes {exact} keys, since rows have several phones or numbers; the session allows "
            f"{most} per member. Ask the coordinator for a session with a higher `max_records`."
        )
    if exact + similar == 0 and keys.missing:
        raise InputError(keys.missing[0])
    if exact + similar == 0:
        needed = "; ".join(f"{r.name}: {r.shown}" for r in manifest.rules)
        raise InputError(f"No row of {path} has all fields of any rule ({needed}); there is nothing to compare.")
    if few := _too_few(manifest, {"rows": keys.rows}, {KEYS: exact, "rows that the similar rule can compare": similar}):
        raise InputError(f"{path} has {few}")


def _too_few(manifest: Manifest, listed: Mapping[str, int], compared: Mapping[str, int]) -> str:
    """What a list has, if it is less than the terms ask for; else nothing.

    Args:
        manifest: the terms.
        listed: how many there are, by their name.
        compared: the same of what is compared. Where there is none of it, nobody is singled out by it.
    """
    counts = {**listed, **{name: count for name, count in compared.items() if count}}
    if min(counts.values()) >= manifest.min_records:
        return ""
    has = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"{has}; the session asks for at least {manifest.min_records} of each, so that no one is singled out."


def check_commitment(
    federation: Federation, manifest: Manifest, c: Commitment, past: Sequence[datetime], now: datetime
) -> None:
    """Refuse a commitment that the terms do not allow, or that is not its member's.

    Args:
        federation: who is who.
        manifest: the terms.
        c: the commitment.
        past: when there were results on the member's contributions to other sessions.
        now: the time.

    Raises:
        SessionRefused: says which limit.
        InputError: it is not signed by the member, or has not one component's digest for each committee node.
    """
    if c.name not in manifest.members:
        raise SessionRefused(f"{c.name} is not a member of this session.")
    c.check(federation[c.name].verifier())
    if len(c.digests) != (nodes := len(manifest.committee)):
        raise InputError(
            f"{c.name} commits to {len(c.digests)} components where the terms make {nodes}; compare versions."
        )
    if not 1 <= c.keys <= manifest.max_keys:
        raise SessionRefused(f"{c.keys} keys are outside the session's limit of 1 to {manifest.max_keys}.")
    if not 0 <= (exact := manifest.exact_keys(c.keys, c.records)) <= manifest.max_records * manifest.exact_rules:
        raise SessionRefused(
            f"{c.name} has {c.keys} rows for {c.records} records, which cannot be by the terms; compare versions."
        )
    if not c.new_records <= c.records <= manifest.max_records:
        raise SessionRefused(
            f"{c.records} records of {c.name}, {c.new_records} of them new, are outside the session's limit of "
            f"{manifest.max_records}."
        )
    if few := _too_few(manifest, {"records": c.records}, {KEYS: exact}):
        raise SessionRefused(f"{c.name} has {few}")
    recent = sum(at > now - timedelta(days=manifest.period_days) for at in past)
    if recent >= manifest.max_sessions:
        raise SessionRefused(
            f"{c.name} has had results of {recent} other session{'s' * (recent > 1)} in the last "
            f"{manifest.period_days} days; this session allows {manifest.max_sessions} with its own."
        )
    if past and c.new_records > manifest.max_new_records:
        raise SessionRefused(
            f"{c.new_records} records of {c.name} are new since its last session; this session allows "
            f"{manifest.max_new_records}."
        )
