"""Beneficiary lists that look real, with the truth known: what `matchbit demo` runs on.

The same person is written differently in every list: in another script and order of names, with other forms of dates,
phones and numbers, under other headings. Now and then a registration is wrong. What rules must find is computed from
what was registered, before it is written down, never by the code under demonstration; who is who is kept beside it.
"""

from __future__ import annotations

import csv
import os
import random
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from itertools import chain, product
from operator import add, attrgetter
from pathlib import Path
from string import ascii_uppercase
from typing import NamedTuple

from parties.habits import HEADINGS, SEXES, Habits, Person, Sex, Word, pick, vocabulary

COUNTRY = "UA"
"""The session's country: generated lists have national phone numbers of it."""
RULES = (("id", ("id_number",)), ("phone and birth date", ("phone", "birth_date")))
BY_ID = RULES[0]
"""The one rule of a session on statistics."""
_SEXES, _AGES = ["female", "male"], [0, 5, 18, 60]
CATEGORIES = ({"field": "sex", "values": _SEXES}, {"field": "birth_date", "ages": _AGES})
"""Of the table of such a session."""

_REGISTERED_TWICE = 0.03
_SPLIT_EVERY = 20
_OTHER_PHONE, _WRONG_ID, _ESTIMATED, _SWAPPED = 0.04, 0.015, 0.02, 0.005
_WRONG = _OTHER_PHONE + _WRONG_ID + _ESTIMATED + _SWAPPED
_FIRST_OF_JANUARY = 0.17
_SAME_FIRST_OF_JANUARY = 0.3
_LAST_BIRTH_YEAR = 2022
_DAYS_OF_A_YEAR = tuple((date(2023, 1, 1) + timedelta(days)).strftime("%m-%d") for days in range(365))
_BARE = str.maketrans("КВМЕ", "KBME", " -/()")


class _Tradition(NamedTuple):
    """How one population names people and places; in the patterns of numbers `#` is a digit and `@` a letter."""

    name: str
    given: dict[Sex, tuple[Word, ...]]
    middle: dict[Sex, tuple[Word, ...]]
    family: dict[Sex, tuple[Word, ...]]
    settlements: tuple[Word, ...]
    phones: tuple[str, ...]
    ids: tuple[str, ...]


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
    world = _World(rng)
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
            kinds.setdefault(key, (_sex(own.registered[index]), _band(own.registered[index], own.rows[index], day)))
    people = Counter((kinds[key], times) for key, times in held.items())
    cells = product(range(len(_SEXES) + 1), range(len(_AGES) + 1))
    shown = [[people[cell, times + 1] for times in range(len(lists))] for cell in cells]
    return [[number if number >= smallest else 0 for number in row] for row in shown]


def _sex(person: Person) -> int:
    return ("F", "M").index(person.sex)


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


# People and who holds them


class _World:
    """Everybody there is."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._taken_ids: set[str] = set()
        self._people = 0

    def holdings(self, members: int, rows: int, overlap: float) -> list[list[Person]]:
        """Return the people of each list, `rows` of them, shuffled, some of them twice."""
        twice = round(rows * _REGISTERED_TWICE)
        distinct = rows - twice
        shared = round(distinct * overlap) if members > 1 else 0
        holders = [*_shared_groups(members, shared, self._rng)]
        for member in range(members):
            holders += [[member]] * (distinct - shared)
        self._split_households(holders)
        held: list[list[Person]] = [[] for _ in range(members)]
        for group, person in zip(holders, self._population(len(holders)), strict=True):
            for member in group:
                held[member].append(person)
        for people in held:
            people.extend([pick(people, self._rng) for _ in range(twice)])
            self._rng.shuffle(people)
        return held

    def _split_households(self, holders: list[list[int]]) -> None:
        """Exchange some holders, so that not all of a household are registered by the same members."""
        for one in range(0, len(holders), _SPLIT_EVERY):
            other = int(self._rng.random() * len(holders))
            holders[one], holders[other] = holders[other], holders[one]

    def registered(self, people: list[Person]) -> list[Person]:
        """Return what one list has of these people: now and then not what is true."""
        random_ = self._rng.random
        return [person if random_() > _WRONG else self._registered_wrong(person) for person in people]

    def _registered_wrong(self, person: Person) -> Person:
        draw = self._rng.random() * _WRONG
        if draw < _OTHER_PHONE:
            return person._replace(phone=self._new_phone([person.phone[:-7] + "#######"]))
        if draw < _OTHER_PHONE + _WRONG_ID:
            return person._replace(id_number=self._new_id([person.id_number[:-1] + "#", person.id_number[:-2] + "##"]))
        year, month, day = person.birth_date.split("-")
        if draw < _OTHER_PHONE + _WRONG_ID + _ESTIMATED or int(day) > 12:
            return person._replace(birth_date=f"{year}-01-01")
        return person._replace(birth_date=f"{year}-{day}-{month}")

    def _population(self, count: int) -> list[Person]:
        """Return `count` people, those of one household next to each other."""
        people: list[Person] = []
        while len(people) < count:
            people.extend(self._household())
        return people[:count]

    def _household(self) -> list[Person]:
        """Return the one to three registered people of a household: one phone, family name and settlement."""
        rng = self._rng
        tradition = pick(_traditions(), rng)
        phone = self._new_phone(tradition.phones)
        settlement = pick(tradition.settlements, rng)
        family = rng.randrange(len(tradition.family["F"]))
        registered = pick((1, 1, 1, 1, 2, 2, 3), rng)
        size = registered + int(rng.triangular(0, 9, 2))
        people: list[Person] = []
        for number in range(self._people, self._people + registered):
            sex = SEXES[rng.random() < 0.45]
            born = _birth_date(rng)
            # Where birth dates are estimated, relatives often get the same one: they match by coincidence, as in life.
            if people and people[0].birth_date.endswith("-01-01") and rng.random() < _SAME_FIRST_OF_JANUARY:
                born = people[0].birth_date
            name = (pick(tradition.given[sex], rng), pick(tradition.middle[sex], rng), tradition.family[sex][family])
            id_number = self._new_id(tradition.ids)
            people.append(Person(number, tradition.name, id_number, born, phone, name, sex, settlement, size))
        self._people += registered
        return people

    def _new_id(self, patterns: Sequence[str]) -> str:
        """A number that is no placeholder, and nobody's, however it is written."""
        while True:
            number = _fill(pick(patterns, self._rng), self._rng)
            bare = number.translate(_BARE).lstrip("0")
            if bare not in self._taken_ids and _is_varied(bare):
                self._taken_ids.add(bare)
                return number

    def _new_phone(self, patterns: Sequence[str]) -> str:
        while not _is_varied(phone := _fill(pick(patterns, self._rng), self._rng)):
            pass
        return phone


def _shared_groups(members: int, shared: int, rng: random.Random) -> Iterator[list[int]]:
    """Yield for each shared person the members that hold it, so that every member gets exactly `shared` of them."""
    while shared > 0:
        circle = rng.sample(range(members), members)
        size = pick((2, 2, 3, members), rng)
        if size >= members or size > shared:
            yield circle
            shared -= 1
            continue
        # Windows of this size around the circle give every member the same number of people.
        for start in range(members):
            yield [circle[(start + step) % members] for step in range(size)]
        shared -= size


def _birth_date(rng: random.Random) -> str:
    """Return an ISO date, heaped on 1 January, and there on years divisible by five."""
    year = _LAST_BIRTH_YEAR - int(rng.triangular(0, 85, 25))
    if rng.random() < _FIRST_OF_JANUARY:
        return f"{year - year % 5 if rng.random() < 0.5 else year}-01-01"
    return f"{year}-{pick(_DAYS_OF_A_YEAR, rng)}"


def _fill(pattern: str, rng: random.Random) -> str:
    """Return `pattern` with a random digit for each `#` and a random capital for each `@`."""
    while "@" in pattern:
        pattern = pattern.replace("@", pick(ascii_uppercase, rng), 1)
    first, *rest = pattern.split("#")
    # The last digits of a random number this large are as good as uniform.
    return first + "".join(map(add, f"{rng.getrandbits(64):020d}"[: -len(rest) - 1 : -1], rest))


def _is_varied(number: str) -> bool:
    """Whether nobody takes a number for a placeholder such as 000000 or 1234567."""
    return len(set(number[-7:])) > 2 and "12345" not in number and "98765" not in number


# The traditions


@cache
def _traditions() -> tuple[_Tradition, ...]:
    return tuple(_tradition(name, lines) for name, lines in vocabulary()["traditions"].items())


def _tradition(name: str, lines: dict[str, str]) -> _Tradition:
    """Read a tradition; where it has no middle or family names, the fathers' names serve."""
    middle, family = lines.get("middle", lines["men"]), lines.get("family", lines["men"])
    return _Tradition(
        name,
        {"F": _words(lines["women"]), "M": _words(lines["men"])},
        {sex: _words(middle, sex) for sex in SEXES},
        {sex: _words(family, sex) for sex in SEXES},
        _words(lines["places"]),
        tuple(pattern.replace("_", " ") for pattern in lines["phones"].split()),
        tuple(pattern.replace("_", " ") for pattern in lines["ids"].split()),
    )


def _words(text: str, sex: Sex = "M") -> tuple[Word, ...]:
    """Read words in the notation of generator.toml, in their forms for `sex`."""
    return tuple(_word(item.replace("_", " "), sex) for item in text.split())


def _word(item: str, sex: Sex) -> Word:
    own, _, latin = item.partition("=")
    spellings = [_form(spelling, sex) for spelling in (latin or own).split("|")]
    return _form(own.split("|")[0], sex), *map(_without_accents, spellings)


def _form(word: str, sex: Sex) -> str:
    return word.split("/")[0 if sex == "M" else -1]


def _without_accents(word: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFD", word) if not unicodedata.combining(letter))
