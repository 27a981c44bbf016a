"""The people whom made-up lists are about: who there is, who holds them, and what is registered of them.

Not everybody is easily told apart: relatives share a phone and a family name, twins a birth date besides, namesakes and
juniors a whole name, and whoever has no phone gives a neighbour's or that of a camp's leader. Now and then a
registration is wrong. How often each happens is an assumption; docs/quality.md has them all, with reasons.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from functools import cache
from operator import add
from string import ascii_uppercase
from typing import NamedTuple

from parties.habits import SEXES, Person, Sex, Word, pick, vocabulary

_REGISTERED_TWICE = 0.03
_SPLIT_EVERY = 20
_TWINS, _JUNIORS = 0.025, 0.015
"""Of those who are registered beside somebody of their household."""
_NAMESAKES, _BORROWERS = 0.01, 0.04
"""Of households; a phone is lent to so many of them, on average."""
_BORROWERS_OF_A_PHONE = 6
_SAME_SEX = 1 / 3
"""Of twins, besides those who are by chance."""
_WRONG = {
    "another phone": 0.03, "a digit of the phone": 0.01, "a digit of the number": 0.01, "the end of the number": 0.005,
    "estimated": 0.015, "estimated by years": 0.005, "day and month swapped": 0.01,
}  # fmt: skip
_ANY_WRONG = sum(_WRONG.values())
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


class _Home(NamedTuple):
    """What the people of a household have in common; `family` is a place in the tradition's family names."""

    phone: str
    settlement: Word
    family: int
    size: int


class World:
    """Everybody there is."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._taken_ids: set[str] = set()
        self._people = 0
        self._met: dict[str, list[Person]] = {}
        self._lent: dict[str, tuple[str, Word]] = {}

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
        return [person if random_() > _ANY_WRONG else self._registered_wrong(person) for person in people]

    def _registered_wrong(self, person: Person) -> Person:
        rng = self._rng
        (what,) = rng.choices(list(_WRONG), list(_WRONG.values()))
        match what:
            case "another phone":
                return person._replace(phone=self._new_phone([person.phone[:-7] + "#######"]))
            case "a digit of the phone":
                return person._replace(phone=self._new_phone([_slip(person.phone, rng)]))
            case "a digit of the number":
                return person._replace(id_number=self._new_id([_slip(person.id_number, rng)]))
            case "the end of the number":
                return person._replace(id_number=self._new_id([person.id_number[:-2] + "##"]))
        return person._replace(birth_date=_wrong_birth_date(person.birth_date, what, rng))

    def _population(self, count: int) -> list[Person]:
        """Return `count` people, those of one household next to each other."""
        people: list[Person] = []
        while len(people) < count:
            people.extend(self._household())
        return people[:count]

    def _household(self) -> list[Person]:
        """Return the one to three registered people of a household."""
        rng = self._rng
        tradition = pick(_traditions(), rng)
        met = self._met.setdefault(tradition.name, [])
        registered = pick((1, 1, 1, 1, 2, 2, 3), rng)
        phone, settlement = self._reached_at(tradition)
        family = rng.randrange(len(tradition.family["F"]))
        home = _Home(phone, settlement, family, registered + int(rng.triangular(0, 9, 2)))
        first = self._person(tradition, home)
        if met and rng.random() < _NAMESAKES:
            return [_namesake(first, pick(met, rng), rng)]
        met.append(first)
        return [first, *(self._relative(first, tradition, home) for _ in range(registered - 1))]

    def _reached_at(self, tradition: _Tradition) -> tuple[str, Word]:
        """Return a household's phone, its own or one that is lent, and where it lives."""
        rng = self._rng
        own = self._new_phone(tradition.phones), pick(tradition.settlements, rng)
        if rng.random() > _BORROWERS:
            return own
        if tradition.name not in self._lent or rng.random() < 1 / _BORROWERS_OF_A_PHONE:
            self._lent[tradition.name] = own
        return self._lent[tradition.name]

    def _person(self, tradition: _Tradition, home: _Home) -> Person:
        rng = self._rng
        sex = SEXES[rng.random() < 0.45]
        born = _birth_date(rng)
        name = (pick(tradition.given[sex], rng), pick(tradition.middle[sex], rng), tradition.family[sex][home.family])
        number, self._people = self._people, self._people + 1
        id_number = self._new_id(tradition.ids)
        return Person(number, tradition.name, id_number, born, home.phone, name, sex, home.settlement, home.size)

    def _relative(self, first: Person, tradition: _Tradition, home: _Home) -> Person:
        """Return another one of the household: now and then a twin of the first, or one with the same name."""
        rng = self._rng
        person = self._person(tradition, home)
        draw = rng.random()
        if draw < _TWINS:
            return _twin(person, first, tradition, home, rng)
        if draw < _TWINS + _JUNIORS:
            return _junior(person, first, rng)
        # Where birth dates are estimated, relatives often get the same one: they match by coincidence, as in life.
        if first.birth_date.endswith("-01-01") and rng.random() < _SAME_FIRST_OF_JANUARY:
            return person._replace(birth_date=first.birth_date)
        return person

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


def _twin(person: Person, first: Person, tradition: _Tradition, home: _Home, rng: random.Random) -> Person:
    """Return `person` as a twin: born on the same day, with the same name but for the given one."""
    sex = first.sex if rng.random() < _SAME_SEX else person.sex
    given = [word for word in tradition.given[sex] if word != first.name[0]]
    fathers = tradition.middle[first.sex].index(first.name[1])
    name = pick(given, rng), tradition.middle[sex][fathers], tradition.family[sex][home.family]
    return person._replace(birth_date=first.birth_date, sex=sex, name=name)


def _junior(person: Person, first: Person, rng: random.Random) -> Person:
    """Return `person` with the name of a parent, or of a child."""
    apart = rng.randint(20, 34)
    year = int(first.birth_date[:4])
    born = year + apart if year + apart <= _LAST_BIRTH_YEAR else year - apart
    return person._replace(birth_date=f"{born}{person.birth_date[4:]}", sex=first.sex, name=first.name)


def _namesake(person: Person, other: Person, rng: random.Random) -> Person:
    """Return `person` with the whole name of a stranger from the same place and of near age."""
    born = f"{_near_year(int(other.birth_date[:4]), 3, rng)}{person.birth_date[4:]}"
    return person._replace(birth_date=born, sex=other.sex, name=other.name, settlement=other.settlement)


def _wrong_birth_date(born: str, what: str, rng: random.Random) -> str:
    """A date with its day and month swapped, or the first of January of the right year, or of a near one."""
    year, month, day = born.split("-")
    if what == "day and month swapped" and int(day) <= 12:
        return f"{year}-{day}-{month}"
    return f"{_near_year(int(year), 2, rng) if what == 'estimated by years' else year}-01-01"


def _near_year(year: int, most: int, rng: random.Random) -> int:
    """A year at most so far from another, and not that one where there is a choice."""
    return min(year + pick([years for years in range(-most, most + 1) if years], rng), _LAST_BIRTH_YEAR)


def _slip(number: str, rng: random.Random) -> str:
    """The pattern of a number with another digit among its last six characters."""
    at = pick([k for k in range(max(0, len(number) - 6), len(number)) if number[k].isdigit()], rng)
    return f"{number[:at]}#{number[at + 1 :]}"


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
