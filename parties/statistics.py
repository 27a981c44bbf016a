"""The table that `reveal = "statistics"` gives to all members: its terms, and which of its cells a record is in. Pure.

A category is what is told of a person: an agreed value of a field, or a band of ages; whoever is of none of them is of
one more, `other or unknown`. A cell is one choice of each category, and every record is in exactly one cell.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np

from mpc.replicated import Array
from parties import normalise
from parties.columns import FIELDS
from parties.errors import ConfigError
from parties.headings import of_heading
from parties.normalise import Context, standard
from parties.rules import NAMES, Rule
from parties.shown import listed, shown

if TYPE_CHECKING:
    from parties.fields import FieldBatch  # daemons do without what lists need

MAX_CELLS = 256
MAX_CATEGORIES = 4
SMALLEST_CELLS = (3, 1000)
"""Between these is the smallest number of people that a cell may show."""
USUAL_SMALLEST = 10
MAX_AGE = 120
MAX_FIELD_CHARS, MAX_VALUE_CHARS = 200, 100
OTHER = "other or unknown"
AGE = "age"
BIRTHS = ("birth_date", "birth_year")
"""Fields that are told by bands of ages, never by their values."""
TELLING = {*NAMES, "phone", "id_number", "household_id"}
"""Fields that tell single people or families apart."""


@dataclass(frozen=True)
class Category:
    """One way to tell people apart, by values or by ages.

    Attributes:
        field: a standard field, or the heading of any other column.
        values: the agreed values, each of a kind of its own; none where there are ages.
        ages: the first age of each band in whole years, 0 first; none where there are values.
    """

    field: str
    values: tuple[str, ...] = ()
    ages: tuple[int, ...] = ()

    @property
    def heading(self) -> str:
        """What it is called in a table."""
        return AGE if self.ages else self.field

    @property
    def labels(self) -> tuple[str, ...]:
        """What its kinds are called, in their order; the last is of those who are of no other."""
        bands = [f"{a}" if b == a + 1 else f"{a} to {b - 1}" for a, b in pairwise(self.ages)]
        oldest = [f"{age} and over" for age in self.ages[-1:]]  # not `5-17`, which a spreadsheet would call a day
        return (*self.values, *bands, *oldest, OTHER)

    def kind(self, value: str, canonical: Mapping[str, int], day: date) -> int:
        """Which of its kinds a person is of.

        Args:
            value: of the field, canonical; empty where it is not known.
            canonical: the agreed values in canonical form, each with its place.
            day: on which ages are counted.
        """
        if not self.ages:
            return canonical.get(value, len(self.values))
        bands = {bisect_right(self.ages, age) - 1 for age in _ages(value, day)}
        return bands.pop() if len(bands) == 1 else len(self.ages)

    def canonical(self, country: str) -> dict[str, int]:
        """The agreed values as lists' cells are compared, each with its place; those of one form are one.

        Args:
            country: of the session.

        Raises:
            ConfigError: a value that no cell of a list can have.
        """
        places: dict[str, int] = {}
        for place, value in enumerate(self.values):
            read = standard.canonical(self.field, value, Context(country)).values
            _require(len(read) == 1, f"`{shown(value)}` cannot be read as a value of `{shown(self.field)}`")
            places.setdefault(read[0], place)
        return places


@dataclass(frozen=True)
class Statistics:
    """A table's terms.

    Attributes:
        smallest_cell: of fewer people than this a cell says nothing but that they are fewer.
        categories: one to four; each choice of one kind of each is a cell, the last category changing first.
    """

    smallest_cell: int
    categories: tuple[Category, ...]

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return math.prod(len(category.labels) for category in self.categories)

    @property
    def headings(self) -> tuple[str, ...]:
        """What the categories are called."""
        return tuple(category.heading for category in self.categories)

    def labels(self) -> list[tuple[str, ...]]:
        """For each cell, in their order, what each category says of its people."""
        return list(product(*(category.labels for category in self.categories)))

    def kinds(self, cells: Array) -> Iterator[tuple[Category, Array]]:
        """Each category, and which of its kinds the people of these cells are of.

        Args:
            cells: (n,) integers below `cells`.

        Returns:
            Of each category (n,) integers, places in its `labels`.
        """
        shape = tuple(len(category.labels) for category in self.categories)
        return zip(self.categories, np.unravel_index(cells, shape), strict=True)

    def to_text(self) -> str:
        """The table in a sentence, for whoever is to agree to it."""
        told = "; ".join(f"{shown(c.heading)} ({', '.join(map(shown, c.labels))})" for c in self.categories)
        return f"people by {told}; numbers below {self.smallest_cell} are not shown"


# Terms


def check(statistics: Statistics, rules: Sequence[Rule], country: str) -> None:
    """Refuse a table that no session may have.

    Args:
        statistics: the table.
        rules: of the session.
        country: of the session, or empty.

    Raises:
        ConfigError: one sentence that says what is wrong.
    """
    low, high = SMALLEST_CELLS
    smallest = type(statistics.smallest_cell) is int and low <= statistics.smallest_cell <= high
    _require(smallest, f"`smallest_cell` must be a whole number from {low} to {high}")
    number = len(statistics.categories)
    tables = f"there must be 1 to {MAX_CATEGORIES} [[session.statistics.category]] tables"
    _require(0 < number <= MAX_CATEGORIES, tables)
    for category in statistics.categories:
        _check_category(category, country)
    names = {normalise.text(heading) for heading in statistics.headings}
    _require(len(names) == number, "two categories are of the same field")
    _require(statistics.cells <= MAX_CELLS, f"{statistics.cells:,} cells are more than {MAX_CELLS}")
    single = len(rules) == 1 and rules[0].scope == "person"
    why = "a person is counted as a key, so under a second rule, or as a household, somebody would be counted twice"
    _require(single, f'there must be exactly one [[rule]], with scope = "person": {why}')


def _check_category(category: Category, country: str) -> None:
    named = _is_text(category.field, MAX_FIELD_CHARS)
    _require(named, f"`field` of each category must be one line of 1 to {MAX_FIELD_CHARS} printable characters")
    name, of = shown(category.field), category.field.split(":")[0]
    plain = of == category.field or of not in FIELDS
    _require(plain, f"`{name}`: a category takes a field as it is, `{shown(of)}`")
    told = (category.field,) if category.field in FIELDS else of_heading(category.field).fields
    _require(not {*told} & TELLING, f"`{name}` cannot be a category: it tells single people or families apart")
    fields = " or ".join(f"`{field}`" for field in told)
    _require(not told or category.field in FIELDS, f"`{name}` is the field {fields}; write {fields}")
    if category.field in BIRTHS:
        _check_ages(category, name)
    else:
        _check_values(category, name, country)


def _check_ages(category: Category, name: str) -> None:
    ages = category.ages
    _require(bool(ages) and not category.values, f"`{name}` needs `ages`, like [0, 5, 18, 60], in place of `values`")
    good = all(type(age) is int and age <= MAX_AGE for age in ages)
    good = good and ages[0] == 0 and all(a < b for a, b in pairwise(ages))
    _require(good, f"`ages` of `{name}` must be whole years, 0 first, each above the one before, {MAX_AGE} at most")


def _check_values(category: Category, name: str, country: str) -> None:
    values = category.values
    _require(bool(values) and not category.ages, f'`{name}` needs `values`, like ["one", "two"], in place of `ages`')
    _require(len(values) < MAX_CELLS, f"`{name}` has too many values: a table has at most {MAX_CELLS} cells")
    good = all(_is_text(value, MAX_VALUE_CHARS) for value in values)
    _require(good, f"each of the `values` of `{name}` must be one line of 1 to {MAX_VALUE_CHARS} printable characters")
    _require(OTHER not in map(normalise.text, values), f"`{OTHER}` is a kind of every category: leave it out")
    distinct = len(category.canonical(country)) == len(values)
    _require(distinct, f"two of the `values` of `{name}` are the same as lists are compared")


def from_json(value: Any) -> Statistics:
    """What canonical bytes hold; whether it is just that, and good, is for the caller to check.

    Raises:
        KeyError, TypeError: something else.
    """
    categories = (Category(c["field"], tuple(c["values"]), tuple(c["ages"])) for c in value["categories"])
    return Statistics(value["smallest_cell"], tuple(categories))


def from_toml(table: Any) -> Statistics:
    """What a coordinator's `[session.statistics]` says; whether the values are good is for `check`.

    Raises:
        ConfigError: one sentence that says which entry is missing or unknown.
    """
    _require(isinstance(table, Mapping), "it must be a table")
    _check_entries(table, {"smallest_cell", "category"})
    tables = table.get("category", [])
    _require(isinstance(tables, list), "categories must be [[session.statistics.category]] tables")
    return Statistics(table.get("smallest_cell", USUAL_SMALLEST), tuple(map(_category, tables)))


def _category(table: Any) -> Category:
    named = isinstance(table, Mapping) and "field" in table
    _require(named, "each category must have `field`, and `values` or `ages`")
    _check_entries(table, {"field", "values", "ages"})
    values, ages = (table.get(name, []) for name in ("values", "ages"))
    _require(isinstance(values, list | tuple) and isinstance(ages, list | tuple), "`values` and `ages` must be lists")
    return Category(table["field"], tuple(values), tuple(ages))


def _check_entries(table: Mapping[str, Any], known: set[str]) -> None:
    unknown = listed(sorted(set(table) - known))
    where = "entries of [session] must stand before [session.statistics]"  # TOML takes what follows for the table's
    _require(not unknown, f"there are entries that Matchbit does not know: {unknown}; {where}")


def _is_text(value: Any, longest: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= longest and value.isprintable()


def _require(condition: bool, text: str) -> None:
    if not condition:
        raise ConfigError(f"The manifest is wrong: [session.statistics]: {text}.")


# Records


class Cells:
    """Tells which cell each record of a list is in.

    Args:
        statistics: the table.
        country: of the session.
        created: of the session, UTC, ISO 8601: ages are those of that day.
    """

    def __init__(self, statistics: Statistics, country: str, created: str) -> None:
        self.statistics = statistics
        self._categories = [(category, category.canonical(country)) for category in statistics.categories]
        self._day = datetime.fromisoformat(created).date()

    @property
    def fields(self) -> dict[str, str]:
        """The fields that a list must have, each with a word on what needs it."""
        return {category.field: "the session's table" for category, _ in self._categories}

    def of(self, fields: Mapping[str, FieldBatch], rows: int) -> Array:
        """The cell of each row.

        Args:
            fields: of a batch; of a field that is not there nothing is known.
            rows: of the batch.

        Returns:
            (rows,) uint16.
        """
        cells = np.zeros(rows, np.uint16)
        for category, canonical in self._categories:
            read = fields.get(category.field)
            values = [""] if read is None else [n.values[0] if n.values else "" for n in read.normals]
            kinds = np.array([category.kind(value, canonical, self._day) for value in values], np.uint16)
            cells *= np.uint16(len(category.labels))
            cells += kinds[0] if read is None else kinds[read.codes]
        return cells


def rows_of(keys: Array, cells: Array, number: int) -> Array:
    """Keys with their cells, as they are shared.

    Args:
        keys: (n, 2) uint64.
        cells: (n,) integers below `number`.
        number: of cells.

    Returns:
        (n, 2 + ceil(number / 64)) uint64: the key, then bit c of word c // 64 for cell c.
    """
    rows = np.zeros((len(keys), 2 + -(-number // 64)), np.uint64)
    rows[:, :2] = keys
    rows[np.arange(len(keys)), 2 + cells // 64] = np.uint64(1) << (cells % 64).astype(np.uint64)
    return rows


def _ages(birth: str, day: date) -> tuple[int, ...]:
    """The ages, in whole years, that somebody may have on a day: one or two, or none where nothing is known.

    Whoever was born on 29 February is a year older on 1 March where there is no such day.

    Args:
        birth: canonical date, or year and month, or year; or nothing.
        day: on which the person has been born.
    """
    if not birth:
        return ()
    year, *rest = map(int, birth.split("-"))
    birthdays = [(*rest, *unknown[len(rest) :]) for unknown in ((1, 1), (12, 31))]  # the first and the last that may be
    ages = {day.year - year - ((day.month, day.day) < birthday) for birthday in birthdays}
    return tuple(age for age in ages if age >= 0)
