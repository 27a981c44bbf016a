"""Beneficiary lists that look real, with the truth known: what `matchbit demo` runs on.

The same person is written differently in every list: in another script and order of names, with other forms of dates,
phones and numbers, under other headings. Now and then a registration is wrong. What rules must find is computed from
what was registered, before it is written down, never by the code under demonstration; who is who is kept beside it.
"""

from __future__ import annotations

import csv
import os
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain, product
from operator import attrgetter
from pathlib import Path

from parties.habits import HEADINGS, Habits, Person
from parties.population import World

COUNTRY = "UA"
"""The session's country: generated lists have national phone numbers of it."""
RULES = (("id", ("id_number",)), ("phone and birth date", ("phone", "birth_date")))
BY_ID = RULES[0]
"""The one rule of a session on statistics."""
_SEXES, _AGES = ["female", "male"], [0, 5, 18, 60]
CATEGORIES = ({"field": "sex", "values": _SEXES}, {"field": "birth_date", "ages": _AGES})
"""Of the table of such a session."""


@dataclass(frozen=True, slots=True)
class GeneratedList:
    """One member's list and what a correct match must say about it.

    Attributes:
        headings: of the member's own, one for each of `parties.habits.HEADINGS`.
        delimiter: between cells.
        rows: Cells, as in the headings; a missing value is the empty string.
        expected: Row index to the names of the other members that hold a row that agrees under `RULES`; rows without a
            match are absent.
        registered: For each row what was registered, before it was written down.
    """

    headings: tuple[str, ...]
    delimiter: str
    rows: list[list[str]]
    expected: dict[int, frozenset[str]]
    registered: list[Person]

    @property
    def people(self) -> list[int]:
        """For each row who it is: equal numbers, in whatever list, are one person."""
        return [person.number for person in self.registered]

    @property
    def traditions(self) -> list[str]:
        """For each row the population whose names it bears."""
        return [person.tradition for person in self.registered]


def generate(members: Sequence[str], rows: int, overlap: float, seed: int) -> dict[str, GeneratedList]:
    """Return for each member a list of exactly `rows` rows, the same for the same arguments.

    Args:
        members: Distinct names of the members.
        rows: Rows in each list.
        overlap: About which part of each list, 0 to 1, are people whom at least one other member holds too.
        seed: Decides everything random.

    Raises:
        ValueError: The names repeat, or `rows` or `overlap` is out of range.
    """
    if len(set(members)) != len(members):
        raise ValueError("members must have distinct names")
    if rows < 0 or not 0 <= overlap <= 1:
        raise ValueError("rows must be 0 or more and overlap between 0 and 1")
    rng = random.Random(seed)  # noqa: S311 - invented people, to be replayed from the seed
    world = World(rng)
    lists = [world.registered(people) for people in world.holdings(len(members), rows, overlap)]
    habits = [Habits.of_list(rows, rng) for _ in members]
    written = [own.rows(people, rng) for own, people in zip(habits, lists, strict=True)]
    expected = _expected(members, lists, written)
    return {
        name: GeneratedList(own.headings, own.delimiter, cells, e, people)
        for name, own, cells, e, people in zip(members, habits, written, expected, lists, strict=True)
    }


def write_csv(path: Path, generated: GeneratedList) -> None:
    """Write headings and rows as UTF-8 CSV that only the owner can read."""
    with open(path, "w", encoding="utf-8", newline="", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        # The mode given on opening does not apply to a file that was there before.
        path.chmod(0o600)
        writer = csv.writer(file, delimiter=generated.delimiter)
        writer.writerow(generated.headings)
        writer.writerows(generated.rows)


# What rules and tables must find


def expected_table(lists: Sequence[GeneratedList], smallest: int, day: date) -> list[list[int]]:
    """Return how many people 1, 2, 3 … lists hold, for each cell of a session by `BY_ID` on `CATEGORIES`.

    Args:
        lists: in the order of the members.
        smallest: number that is shown; a smaller one is 0.
        day: on which ages are counted.
    """
    kinds: dict[object, tuple[int, int]] = {}
    held: Counter[object] = Counter()
    for own in lists:
        keys = _clean_keys(own.registered, own.rows, BY_ID[1])
        held.update(set(keys.values()))
        for index, key in keys.items():
            person, row = own.registered[index], own.rows[index]
            kinds.setdefault(key, (_sex(person, row), _band(person, row, day)))
    people = Counter((kinds[key], times) for key, times in held.items())
    cells = product(range(len(_SEXES) + 1), range(len(_AGES) + 1))
    shown = [[people[cell, times + 1] for times in range(len(lists))] for cell in cells]
    return [[number if number >= smallest else 0 for number in row] for row in shown]


def _sex(person: Person, row: list[str]) -> int:
    """Return which of the sexes a person is of; one more than there are where none is written."""
    return ("F", "M").index(person.sex) if row[HEADINGS.index("sex")] else len(_SEXES)


def _band(person: Person, row: list[str], day: date) -> int:
    """Return which of the ages a person is of; one more than there are where no birth date is written."""
    if not row[HEADINGS.index("birth_date")]:
        return len(_AGES)
    born = date.fromisoformat(person.birth_date)
    age = day.year - born.year - ((day.month, day.day) < (born.month, born.day))
    return sum(first <= age for first in _AGES) - 1


def _expected(
    members: Sequence[str], lists: list[list[Person]], written: list[list[list[str]]]
) -> list[dict[int, frozenset[str]]]:
    """Return for each member, by row index, which others hold a row that agrees with it under a rule."""
    found: list[dict[int, frozenset[str]]] = [{} for _ in members]
    for _, fields in RULES:
        keys = [_clean_keys(people, rows, fields) for people, rows in zip(lists, written, strict=True)]
        held = dict(zip(members, (set(of_list.values()) for of_list in keys), strict=True))
        in_lists = Counter(chain.from_iterable(held.values()))
        for name, of_list, matches in zip(members, keys, found, strict=True):
            for index, key in of_list.items():
                if in_lists[key] > 1:
                    holders = {other for other in members if other != name and key in held[other]}
                    matches[index] = matches.get(index, frozenset()) | holders
    return found


def _clean_keys(people: list[Person], rows: list[list[str]], fields: Sequence[str]) -> dict[int, object]:
    """Return by row index the clean values of every row that has all of `fields`."""
    columns = [HEADINGS.index(field) for field in fields]
    clean = attrgetter(*fields)
    return {
        index: clean(person)
        for index, (person, row) in enumerate(zip(people, rows, strict=True))
        if "" not in [row[column] for column in columns]
    }
