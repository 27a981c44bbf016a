"""How one made-up agency fills in its list: headings, scripts, and the forms of dates, phones and numbers.

Whatever an agency does, the standard `matchbit-1` brings the compared fields back to one form; nothing here uses it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from parties import toml

HEADINGS = (
    "id_number", "full_name", "sex", "birth_date", "phone", "admin2", "household_size", "registration_date",
)  # fmt: skip
"""The columns of every made-up list: standard fields, and one that is none."""
HOME_CODE = "+380"
"""Phone numbers of this country may be written without its code."""
_NO_ID, _NO_PHONE, _NO_BIRTH_DATE, _NO_SEX, _NO_PLACE = 0.06, 0.08, 0.02, 0.01, 0.03
_AS_USUAL, _SPACED = 0.88, 0.95
_PROVES_ORDER = 50
"""Rows that are enough to show, by a day after the 12th, that the day comes first."""

Sex = Literal["F", "M"]
SEXES: tuple[Sex, Sex] = ("F", "M")
Word = tuple[str, ...]
"""A token of a name, or a place: in its own script, then in plain Latin letters, the usual spelling first."""
T = TypeVar("T")


class Person(NamedTuple):
    """Clean attributes; those that rules compare are named as in `HEADINGS`.

    Attributes:
        number: who it is; distinct among all lists.
        tradition: name of the population.
        id_number: as printed on the document.
        birth_date: ISO.
        phone: country code with its plus sign, a space, national number.
        name: given, middle, family.
        sex: as SEXES.
        settlement: where the household lives.
        household_size: people.
    """

    number: int
    tradition: str
    id_number: str
    birth_date: str
    phone: str
    name: tuple[Word, Word, Word]
    sex: Sex
    settlement: Word
    household_size: int


@cache
def vocabulary() -> Mapping[str, Any]:
    """Languages and traditions, as generator.toml has them."""
    return toml.read(Path(__file__).with_name("generator.toml"))


def pick(options: Sequence[T], rng: random.Random) -> T:
    """Do as `rng.choice`, in a third of the time."""
    return options[int(rng.random() * len(options))]


# Forms of what rules compare


def _as_it_is(value: str) -> str:
    return value


def _full_width(value: str) -> str:
    return value.translate(_WIDE)


def _apart(value: str) -> str:
    return f"{value[:-6]} {value[-6:]}"


def _dashed(value: str) -> str:
    return f"{value[:-6]}-{value[-6:]}"


def _counted(value: str) -> str:
    """As a spreadsheet keeps what looks like a number: without leading zeros."""
    return value.lstrip("0") if value.isdigit() else value


def _decimal(value: str) -> str:
    return f"{value.lstrip('0')}.0" if value.isdigit() else value


def _phone(form: str, national: str = "") -> Callable[[str], str]:
    """A way of writing phones, as a format of code `c`, area `a` and the last digits `x`, `y`, `z`.

    Args:
        form: of any country's numbers.
        national: of those of `HOME_CODE`, where it differs.
    """

    def write(phone: str) -> str:
        code, _, number = phone.partition(" ")
        chosen = national if national and code == HOME_CODE else form
        return chosen.format(c=code[1:], a=number[:-7], x=number[-7:-4], y=number[-4:-2], z=number[-2:])

    return write


_Form = Callable[[str], str]
_WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
_IDS: tuple[_Form, ...] = (_as_it_is, str.lower, _apart, _dashed, _counted, _decimal, _full_width)
_PHONES: tuple[_Form, ...] = (
    _phone("+{c}{a}{x}{y}{z}"),
    _phone("+{c} {a} {x} {y} {z}"),
    _phone("+{c}-{a}-{x}-{y}-{z}"),
    _phone("+{c} ({a}) {x}-{y}{z}"),
    _phone("00{c}{a}{x}{y}{z}"),
    _phone("'+{c}{a}{x}{y}{z}"),
    _phone("+{c} {a} {x}{y}{z}", "0{a} {x} {y} {z}"),
    _phone("+{c}{a}{x}{y}{z}", "(0{a}) {x}-{y}-{z}"),
    _phone("+{c}{a}{x}{y}{z}", "{a}{x}{y}{z}"),
    _phone("+{c}{a}{x}{y}{z}", "{c}{a}{x}{y}{z}.0"),
)
_ISO, _IN_WORDS = "{y}-{m:02}-{d:02}", "{d} {month} {y}"
_DATES = (_ISO, _IN_WORDS, "{d:02}/{m:02}/{y}", "{d}/{m}/{y}", "{d:02}.{m:02}.{y}", "{y}-{m:02}-{d:02} 00:00:00")
_CLEAR = (_ISO, _IN_WORDS)
"""Forms that say by themselves which is the day."""
_REGISTRATION_DAYS = tuple((date(2023, 1, 1) + timedelta(days)).isoformat() for days in range(1000))
_AROUND = ((" ", ""), ("", " "), ("", "\t"), ("\N{NO-BREAK SPACE}", ""), (" ", "  "))


@dataclass(frozen=True)
class Habits:
    """One agency's ways.

    Attributes:
        headings: one for each of `HEADINGS`.
        delimiter: between cells.
        latin_share: how often names and places are in Latin letters.
        family_first_share: how often the family name comes first.
        sexes: words for `SEXES`.
        months: names of the twelve months.
        id_form: usual form of identity numbers.
        phone_form: of phones.
        date_form: of dates, a format of `y`, `m`, `d` and `month`.
    """

    headings: tuple[str, ...]
    delimiter: str
    latin_share: float
    family_first_share: float
    sexes: Sequence[str]
    months: Sequence[str]
    id_form: _Form
    phone_form: _Form
    date_form: str

    @classmethod
    def of_list(cls, rows: int, rng: random.Random) -> Habits:
        """Those of an agency with a list of so many rows."""
        language = pick(list(vocabulary()["languages"].values()), rng)
        return cls(
            headings=tuple(pick(language["headings"][name], rng) for name in HEADINGS),
            delimiter=pick(",;\t|", rng),
            latin_share=rng.uniform(0.1, 0.9),
            family_first_share=rng.uniform(0.1, 0.6),
            sexes=pick(language["sexes"], rng).split(),
            months=language["months"].split(),
            id_form=pick(_IDS, rng),
            phone_form=pick(_PHONES, rng),
            date_form=pick(_DATES, rng) if rows >= _PROVES_ORDER else _ISO,
        )

    def rows(self, people: Sequence[Person], rng: random.Random) -> list[list[str]]:
        """Cells, as in `HEADINGS`, of one registration of each of these people."""
        days = [self._date(day, self.date_form) for day in _REGISTRATION_DAYS]
        return [self._row(person, pick(days, rng), rng) for person in people]

    def _row(self, person: Person, registered: str, rng: random.Random) -> list[str]:
        return [
            _compared(person.id_number, _NO_ID, self.id_form, _IDS, rng),
            self._full_name(person.name, rng),
            "" if rng.random() < _NO_SEX else self.sexes[person.sex == "M"],
            self._birth_date(person.birth_date, rng),
            _compared(person.phone, _NO_PHONE, self.phone_form, _PHONES, rng),
            "" if rng.random() < _NO_PLACE else _misspelt(self._written((person.settlement,), rng)[0], rng),
            str(max(1, person.household_size + pick((0, 0, 0, 0, 0, -1, 1), rng))),
            registered,
        ]

    def _birth_date(self, born: str, rng: random.Random) -> str:
        draw = rng.random()
        if draw < _NO_BIRTH_DATE:
            return ""
        return self._date(born, self.date_form if draw < _AS_USUAL else pick(_CLEAR, rng))

    def _date(self, iso: str, form: str) -> str:
        month = int(iso[5:7])
        return form.format(y=iso[:4], m=month, d=int(iso[8:]), month=self.months[month - 1])

    def _full_name(self, name: tuple[Word, ...], rng: random.Random) -> str:
        """The name in some script, order and case, now and then shortened or misspelt."""
        given, middle, family = self._written(name, rng)
        called = given if rng.random() < 0.3 else f"{given} {middle}"
        written = f"{called} {family}"
        if rng.random() < self.family_first_share:
            written = pick((f"{family} {called}", f"{family.upper()} {called}", f"{family}, {called}"), rng)
        if rng.random() < 0.08:
            written = written.upper()
        return _misspelt(written, rng)

    def _written(self, words: tuple[Word, ...], rng: random.Random) -> list[str]:
        """Words in their own script, or in Latin letters, each in one of its usual spellings, mostly the first."""
        if rng.random() > self.latin_share:
            return [word[0] for word in words]
        return [word[1] if len(word) == 2 or rng.random() < 0.5 else pick(word[1:], rng) for word in words]


def _compared(value: str, missing: float, usual: _Form, forms: Sequence[_Form], rng: random.Random) -> str:
    """Return `value` in the usual form, now and then in another one or between spaces, or nothing."""
    draw = rng.random()
    if draw < missing:
        return ""
    if draw < _AS_USUAL:
        return usual(value)
    if draw < _SPACED:
        return pick(forms, rng)(value)
    before, after = pick(_AROUND, rng)
    return before + usual(value) + after


def _misspelt(text: str, rng: random.Random) -> str:
    """Return `text`, one time in twelve with a slip of the keyboard inside it."""
    if rng.random() > 1 / 12 or len(text) < 4:
        return text
    at = rng.randrange(1, len(text) - 2)
    swapped = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    replaced = text[:at] + pick(text.replace(" ", ""), rng) + text[at + 1 :]
    return pick((swapped, replaced, text[:at] + text[at + 1 :], text[:at] + text[at] + text[at:]), rng)
