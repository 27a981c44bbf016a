"""What an operator writes: the file policy.toml; docs/examples/policy.toml has every entry. Pure but for reading it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from string import hexdigits
from typing import Any

from mpc.dummies import DELTAS, EPSILONS, Dummies
from mpc.matching import Reveal
from parties import toml
from parties.engines import MAX_COMMITTEE, Engine
from parties.errors import ConfigError
from parties.manifest import MAX_MEMBERS, MAX_PERIOD_DAYS, MAX_RECORDS, MAX_RETENTION_DAYS, NAME
from parties.policy import MAX_PERSON_CHARS, Consent, Policy, rule_terms
from parties.rules import MAX_FIELDS, Rule
from parties.similar import FINGERPRINT_CHARS
from parties.statistics import SMALLEST_CELLS

_STANDING_NEEDS = ("partners", "reveal", "rules", "max_records")


def read(path: Path) -> Policy:
    """The policy of a file; where there is none, everything that a manifest may say is for a person to decide.

    Raises:
        ConfigError: one sentence that names the file, and the entry that is unknown, malformed or contradictory.
    """
    try:
        path.lstat()
    except FileNotFoundError:
        return Policy()
    except OSError:
        pass  # said by what follows
    return from_toml(toml.read(path), path)


def from_toml(entries: Mapping[str, Any], path: Path) -> Policy:
    """The policy that a parsed file states.

    Raises:
        ConfigError: as `read`.
    """
    unknown = sorted(set(entries) - set(_ENTRIES))
    if unknown:
        raise ConfigError(f"{path} has entries that Matchbit does not know: {', '.join(unknown)}.")
    values = {}
    for name, value in entries.items():
        reader, wanted = _ENTRIES[name]
        try:
            values[name] = reader(value)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
        except (ValueError, TypeError):
            raise ConfigError(f"{path}: `{name}` must be {wanted}.") from None
    policy = Policy(**values)
    _check(policy, path)
    return policy


def _check(policy: Policy, path: Path) -> None:
    """Refuse entries that contradict each other.

    Raises:
        ConfigError: says which, and what to do.
    """
    missing = [f"`{name}`" for name in _STANDING_NEEDS if getattr(policy, name) is None]
    if policy.consent is Consent.STANDING and missing:
        raise ConfigError(
            f"{path}: standing consent without {', '.join(missing)} would be a blank cheque; state them, or set "
            '`consent` to "person".'
        )
    if policy.consent is Consent.STANDING and policy.approvers:
        raise ConfigError(f"{path}: nobody in `approvers` is asked where `consent` is standing; take one of them out.")
    if policy.min_records and policy.max_records and policy.min_records > policy.max_records:
        raise ConfigError(f"{path}: `min_records` is above `max_records`, so that no session would be accepted.")
    if policy.max_new_records and policy.max_records and policy.max_new_records > policy.max_records:
        raise ConfigError(f"{path}: `max_new_records` is above `max_records`, so that it would limit nothing.")
    if policy.engine == frozenset({Engine.REPLICATED.value}) and (policy.min_threshold or 1) > 1:
        raise ConfigError(
            f"{path}: `min_threshold` is above the replicated engine's, which is 1; allow mpyc, or set 1."
        )
    if policy.min_members and policy.partners and policy.min_members > len(policy.partners) + 1:
        raise ConfigError(f"{path}: `min_members` is above the number of `partners` and this node together.")


# What entries of the file must be: a ValueError or TypeError where they are not


def _texts(value: Any, longest: int = 1000) -> tuple[str, ...]:
    """Distinct lines of text, at least one: an empty list would allow nothing, or everything."""
    good = isinstance(value, list) and all(isinstance(t, str) and t.isprintable() for t in value)
    if not good or not value or len({*value}) < len(value) or not all(0 < len(t) <= longest for t in value):
        raise ValueError
    return tuple(value)


def _people(value: Any) -> tuple[str, ...]:
    return _texts(value, MAX_PERSON_CHARS)


def _names(value: Any) -> frozenset[str]:
    names = frozenset(_texts(value))
    if not all(map(NAME.fullmatch, names)):
        raise ValueError
    return names


def _modes(value: Any) -> frozenset[str]:
    return frozenset(Reveal(mode).value for mode in _texts(value))


def _engines(value: Any) -> frozenset[str]:
    return frozenset(Engine(engine).value for engine in _texts(value))


def _fingerprints(value: Any) -> frozenset[str]:
    if value is False:
        return frozenset()
    prints = frozenset(_texts(value))
    if not all(len(text) == FINGERPRINT_CHARS and {*text} <= {*hexdigits.lower()} for text in prints):
        raise ValueError
    return prints


def _rules(value: Any) -> frozenset[tuple[str, ...]]:
    rules = [Rule(" + ".join(named), named) for named in map(_texts, value)]
    if not rules or any(len(rule.uses) > MAX_FIELDS for rule in rules):  # `uses` raises where a transform is unknown
        raise ValueError
    return frozenset(map(rule_terms, rules))


def _whole(largest: int, smallest: int = 1) -> tuple[Callable[[Any], int], str]:
    def reader(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not smallest <= value <= largest:
            raise ValueError
        return value

    return reader, f"a whole number from {smallest} to {largest}"


def _yes(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _dummies(value: Any) -> Dummies:
    match value:
        case {"epsilon": int() | float() as epsilon, "delta": int() | float() as delta} if len(value) == 2:
            if EPSILONS[0] <= epsilon <= EPSILONS[1] and DELTAS[0] <= delta <= DELTAS[1]:
                return Dummies(float(epsilon), float(delta))
    raise ValueError


_TEXTS = "a list of lines of text, each once; leave it out where it does not matter"
_NODES = "a list of names of nodes, each once; leave it out where any will do"
_ENTRIES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "consent": (Consent, '"person" or "standing"'),
    "approvers": (_people, f"{_TEXTS}; the longest has {MAX_PERSON_CHARS} characters"),
    "coordinators": (_names, _NODES),
    "partners": (_names, _NODES),
    "reveal": (_modes, "a list of flag, grade, count, members and statistics, each at most once"),
    "min_smallest_cell": _whole(SMALLEST_CELLS[1], smallest=SMALLEST_CELLS[0]),
    "engine": (_engines, "a list of replicated and mpyc, each at most once"),
    "min_threshold": _whole((MAX_COMMITTEE - 1) // 2),
    "rules": (_rules, 'a list of lists of fields, like [["id_number"], ["phone", "birth_date"]]'),
    "similar": (_fingerprints, "false, or a list of fingerprints as `matchbit session show` prints them"),
    "max_records": _whole(MAX_RECORDS),
    "min_records": _whole(MAX_RECORDS),
    "max_new_records": _whole(MAX_RECORDS),
    "min_members": _whole(MAX_MEMBERS, smallest=2),
    "max_retention_days": _whole(MAX_RETENTION_DAYS),
    "max_days_open": _whole(MAX_PERIOD_DAYS),
    "legal_basis": (_yes, "true or false"),
    "purposes": (_texts, _TEXTS),
    "cooldown_days": _whole(MAX_PERIOD_DAYS),
    "dummies": (_dummies, "like { epsilon = 1.0, delta = 1e-6 }, with what a manifest may promise"),
    "verify_tags": (_yes, "true or false"),
}
"""Entry of the file → (how it is read, what it must be)."""
