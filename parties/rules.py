"""Matching rules: which fields of a row must agree, in which form, and the key that stands for them. Pure.

A rule's field is a standard field (`parties.columns.FIELDS`), alone or with transforms behind colons
(`full_name:phonetic:sorted`), or the heading of any other column. A row matches when any rule does. An exact rule
compares by keys; a similar one by what `parties.similar` says.
"""

from __future__ import annotations

import difflib
import hashlib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from parties import normalise
from parties.columns import FIELDS
from parties.errors import ConfigError
from parties.normalise import phonetic

if TYPE_CHECKING:
    from parties.similar import Similar

KEY_BYTES = 16
MAX_FIELDS = 16
SCOPES = ("person", "household")
WEAK = 1e-3
"""A rule is weak when it finds more chance matches than this for each row."""

NAMES = ("given_name", "middle_name", "family_name", "full_name")
DATES = ("birth_date", "registration_date")
TRANSFORMS: dict[str, tuple[tuple[str, ...], Callable[[str], str]]] = {
    "sorted": (NAMES, lambda name: " ".join(sorted(name.split()))),
    "phonetic": (NAMES, phonetic.phonetic),
    "initials": (NAMES, lambda name: " ".join(word[0] for word in name.split())),
    "first-word": (NAMES, lambda name: next(iter(name.split()), "")),
    "last-word": (NAMES, lambda name: next(reversed(name.split()), "")),
    "year": (DATES, lambda date: date[:4]),
    "month": (DATES, lambda date: date[:7] if len(date) >= 7 else ""),
    "number": (("id_number",), lambda identity: identity.rsplit(":", 1)[-1]),
}
"""Name → (the fields that it is for, what it makes of a canonical value; nothing where it cannot)."""
_LETTERS = re.compile(r"(first|last)([1-9]\d?)")
_CUT_AT_END = (*NAMES, "admin1", "admin2", "admin3", "admin4", "household_id")
_CUT_AT_START = (*_CUT_AT_END, "phone", "id_number")
"""Fields of which the first, or the last, characters tell people apart: not the country code of a phone."""

VALUES = {
    "id_number": 1e11, "phone": 1e10, "household_id": 1e6, "full_name": 5e4, "family_name": 1e3, "given_name": 200,
    "middle_name": 200, "birth_date": 2e3, "birth_year": 70, "sex": 2, "admin1": 10, "admin2": 50, "admin3": 300,
    "admin4": 2e3, "registration_date": 300, "assistance_type": 5, "amount": 10, "period": 12, "id_type": 4,
    "id_country": 2,
}  # fmt: skip
"""By how many equally likely values a field tells people apart, roughly and on the careful side: birth dates, for
example, heap on 1 January and on round years."""
ABOUT = dict.fromkeys(NAMES, "full_name") | dict.fromkeys(("birth_date", "birth_year"), "birth_date")
ABOUT |= dict.fromkeys(("admin1", "admin2", "admin3", "admin4"), "admin4")
ABOUT |= dict.fromkeys(("id_number", "id_type", "id_country"), "id_number")
"""Fields that say the same more or less finely: together they tell apart no more people than the finest of them."""
AT_MOST = {"initials": 200, "first-word": 200, "last-word": 1e3, "phonetic": 2e4, "year": 70, "month": 800}
"""As many are left after a transform."""


@dataclass(frozen=True)
class FieldUse:
    """A field as a rule uses it.

    Attributes:
        field: a standard field, or a heading.
        transforms: applied to its canonical values, in this order.
    """

    field: str
    transforms: tuple[str, ...] = ()

    def apply(self, value: str) -> str:
        """What is compared of a canonical value; empty where there is nothing to compare."""
        for transform in self._forms:
            if value:
                value = transform(value)
        return value

    @cached_property
    def _forms(self) -> tuple[Callable[[str], str], ...]:
        return tuple(map(_transform, self.transforms))

    def distinct(self) -> float | None:
        """How many equally likely values are told apart; None for a column that we know nothing of."""
        values = VALUES.get(self.field)
        for name in self.transforms if values else ():
            letters = _LETTERS.fullmatch(name)
            digits = self.field in ("phone", "id_number")
            most = (10.0 if digits else 8.0) ** int(letters[2]) if letters else AT_MOST.get(name, math.inf)
            values = min(values or math.inf, most)
        return values


@dataclass(frozen=True)
class Rule:
    """Rows match when all of these fields agree; or, under a similar rule, when they are alike enough.

    Attributes:
        name: shown to people in `matched_on`.
        fields: as in the terms: `phone`, `birth_date:year`, or a heading; of a similar rule all that it reads, without
            transforms.
        scope: `person`, or `household`: a match of one row is a match of all rows with the same household_id.
        similar: which records are alike enough; None of an exact rule.
    """

    name: str
    fields: tuple[str, ...]
    scope: str = "person"
    similar: Similar | None = None

    @cached_property
    def uses(self) -> tuple[FieldUse, ...]:
        """The fields with their transforms.

        Raises:
            ConfigError: a transform is unknown, or not for this field.
        """
        return tuple(field_use(self.name, text) for text in self.fields)

    @property
    def shown(self) -> str:
        """The rule's fields for people."""
        if self.similar is not None:
            return f"similar in {', '.join(self.fields)}"
        return " + ".join(self.fields) + (", for whole households" if self.scope == "household" else "")

    def headings(self) -> list[str]:
        """A sentence for each field that is no standard field but a heading."""
        found = []
        for use in self.uses:
            if use.field not in FIELDS:
                alike = difflib.get_close_matches(use.field.lower(), FIELDS, 1)
                hint = f" Was `{alike[0]}` meant?" if alike else ""
                needed = "every list needs that heading" if self.similar is None else "lists may lack that heading"
                found.append(
                    f"Rule `{self.name}` compares the column headed `{use.field}`, which is no standard field: "
                    f"{needed}, and its cells are compared as plain text.{hint}"
                )
        return found

    def chance_matches(self, own_rows: int, other_rows: int) -> float | None:
        """How many rows of a list match rows of other people by chance; None where a field is unknown to us.

        Args:
            own_rows: of the list.
            other_rows: of all other lists together.
        """
        told: dict[str, float] = {}
        for use in self.uses:
            values, about = use.distinct(), ABOUT.get(use.field, use.field)
            if values is None:
                return None
            before = told.get(about, 1.0)
            told[about] = min(before * values, VALUES[about]) if about == "full_name" else max(before, values)
        return own_rows * min(1.0, other_rows / math.prod(told.values()))

    def weakness(self, own_rows: int, other_rows: int) -> str:
        """A sentence for people where the rule is too weak by itself, else nothing."""
        if self.similar is not None:
            faults = self.similar.weaknesses(own_rows + other_rows)
            return f"Rule `{self.name}`: {' '.join(faults)}" if faults else ""
        chance = self.chance_matches(own_rows, other_rows)
        if chance is None or chance <= max(1.0, WEAK * own_rows):
            return ""
        return (
            f"Rule `{self.name}` ({self.shown}) is weak: of {own_rows:,} rows compared with {other_rows:,} of others, "
            f"about {chance:,.0f} would match a different person by chance. Add a field to it."
        )


def field_use(rule: str, text: str) -> FieldUse:
    """A field with its transforms, from text.

    Args:
        rule: whose it is, for people.
        text: as in the terms.

    Raises:
        ConfigError: a transform is unknown, or not for this field.
    """
    field, *transforms = text.split(":")
    if field not in FIELDS:
        if transforms and all(_LETTERS.fullmatch(name) or name in TRANSFORMS for name in transforms):
            raise ConfigError(f"Rule {rule}: `{field}` is no standard field; they are {', '.join(FIELDS)}.")
        return FieldUse(text)
    for k, name in enumerate(transforms):
        if not _is_possible(field, name, transforms[:k]):
            known = [n for n, (fields, _) in TRANSFORMS.items() if field in fields]
            known += [f"{end}1, {end}2 …" for end in ("first", "last") if _is_possible(field, f"{end}1", known)]
            possible = f"possible are {', '.join(known)}" if known else "nothing can be"
            raise ConfigError(f"Rule {rule}: `{name}` cannot be applied to `{field}`; {possible}.")
    return FieldUse(field, tuple(transforms))


def _is_possible(field: str, transform: str, before: Sequence[str]) -> bool:
    letters = _LETTERS.fullmatch(transform)
    if letters and field == "id_number" and "number" in before:
        return True
    cut = {"first": _CUT_AT_END, "last": _CUT_AT_START}
    return field in (cut[letters[1]] if letters else TRANSFORMS.get(transform, ((),))[0])


def _transform(name: str) -> Callable[[str], str]:
    letters = _LETTERS.fullmatch(name)
    if not letters:
        return TRANSFORMS[name][1]
    count = int(letters[2])
    if letters[1] == "first":
        return lambda value: value[:count] if len(value) >= count else ""
    return lambda value: value[-count:] if len(value) >= count else ""


def part(value: str) -> bytes:
    """A field's share of a rule's canonical bytes: preceded by its length, so that no two rows share them."""
    data = value.encode("utf-8", "surrogatepass")
    return len(data).to_bytes(4, "big") + data


class KeyMaker:
    """Makes a rule's keys in one session.

    A key is the keyed BLAKE2b-128 of the canonical bytes: the session id is its key; the rule's name and the version
    of the normalisation are its personalisation. Equal canonical bytes give equal keys within a rule and a session
    only. A key is as guessable as what it was made of: it never leaves the member except as shares.
    """

    def __init__(self, session_id: bytes, rule: Rule) -> None:
        purpose = f"{normalise.VERSION}\0{rule.name}".encode()
        person = hashlib.blake2b(purpose, digest_size=16).digest()
        self._keyed = hashlib.blake2b(digest_size=KEY_BYTES, key=session_id, person=person)

    def key(self, canonical_bytes: bytes) -> bytes:
        """16 bytes."""
        keyed = self._keyed.copy()
        keyed.update(canonical_bytes)
        return keyed.digest()
