"""Which fields rules need of a list, where they are read from, and what is said of those that it lacks."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from parties import fields
from parties.columns import FIELDS
from parties.errors import InputError
from parties.fields import FieldSource, ReadableList
from parties.findings import Finding, Severity
from parties.rules import Rule
from parties.shown import listed
from parties.similar import Similar
from parties.statistics import Cells

RECORD_FIELDS = FIELDS[: FIELDS.index("registration_date")]
"""What a person is told apart by; later fields are about what the person got."""


def fields_of(rules: Sequence[Rule], opened: ReadableList) -> dict[str, str]:
    """The fields that rules need of a list, each with a word on what needs it."""
    wanted = {use.field: f"the rule `{rule.name}`" for rule in reversed(rules) for use in rule.uses}
    if any(rule.scope == "household" for rule in rules) and opened.columns.has("household_id"):
        wanted.setdefault("household_id", "a rule for whole households")
    return wanted


def of_record(opened: ReadableList, rules: Sequence[Rule]) -> dict[str, str]:
    """The fields of a list that tell its people apart: standard ones, and other columns that rules compare.

    Not what rules derive of standard fields besides, which would be another record's in each session.
    """
    other = [use.field for rule in rules for use in rule.uses if use.field not in RECORD_FIELDS]
    return {
        name: "a digest" for name in (*RECORD_FIELDS, *other) if opened.columns.has(name) or opened.columns.of(name)
    }


def sources_of(
    opened: ReadableList, wanted: Mapping[str, str], country: str
) -> tuple[dict[str, FieldSource], dict[str, str]]:
    """Where fields are read from; and for those that the list has no column for, a sentence."""
    sources, missing = {}, {}
    for name, why in wanted.items():
        try:
            sources[name] = fields.source(opened, name, why, country)
        except InputError as error:
            missing[name] = str(error)
    return sources, missing


def is_complete(rule: Rule, sources: Mapping[str, FieldSource]) -> bool:
    """Whether an exact rule has all its fields."""
    return rule.similar is None and all(use.field in sources for use in rule.uses)


def lacking(
    opened: ReadableList,
    rules: Sequence[Rule],
    sources: Mapping[str, FieldSource],
    table: Cells | None,
    missing: Mapping[str, str],
) -> list[Finding]:
    """What is said of fields that the list has no column for: a similar rule does without if a block can be made."""
    alike = {f"the rule `{rule.name}`": rule.similar for rule in rules if rule.similar}
    needed = {use.field for rule in rules if rule.similar is None for use in rule.uses}
    needed |= {*table.fields} if table else set()
    without = {name for similar in alike.values() for name in similar.fields} - needed
    blockless = {what: similar for what, similar in alike.items() if not has_block(similar, sources)}
    found = [Finding(Severity.STOP, no_block(opened, similar, what)) for what, similar in blockless.items()]
    for name, sentence in missing.items():
        if name not in without or opened.columns.of(name):
            found.append(Finding(Severity.STOP, sentence))
        elif not blockless:
            text = f"the list has no column for `{name}`; the similar rule compares its rows by all other fields."
            found.append(Finding(Severity.NOTE, text))
    return found


def has_block(similar: Similar, has: Container[str]) -> bool:
    """Whether a list that has these fields has all that some block of a similar rule needs."""
    return any(all(use.use.field in has for use in block.uses) for block in similar.blocks)


def no_block(opened: ReadableList, similar: Similar, what: str) -> str:
    """What is said of a list of which no block of a similar rule can be made.

    Args:
        opened: the list.
        similar: the rule's terms.
        what: the rule, for people.
    """
    needs = dict.fromkeys(" and ".join(f"`{use.use.field}`" for use in block.uses) for block in similar.blocks)
    return (
        f"No block of {what} can be made of {opened.path}: it needs columns for {', or for '.join(needs)}. Its columns "
        f"are: {listed(opened.source.headings)}. Say in a --map file which of them these are, like [columns] "
        f'{similar.blocks[0].uses[0].use.field} = "…".'
    )
