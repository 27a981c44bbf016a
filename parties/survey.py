"""One look at all cells of a list before it is normalised: what only a whole column can tell. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from operator import itemgetter
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mpc.replicated import Array
from parties.columns import ID_TYPES, Columns
from parties.findings import FIRST_ROWS, Finding, Severity
from parties.normalise import Context, dates, documents
from parties.sheet import SourceList

DATE_FIELDS = ("birth_date", "registration_date")
BIRTHS = ("birth_date", "birth_year")
USUAL = 0.8
"""A length that so many numbers of a column have is the column's usual one."""
REMEMBERED = 1 << 16
"""Distinct cells of a column that are remembered from batch to batch."""


@dataclass(frozen=True)
class Survey:
    """What a list's columns show.

    Attributes:
        filled: for each column the rows that have something in it.
        orders: column of dates → dmy or mdy, where it is known.
        findings: column → what a person should know or decide.
        of_order: those of them that are about the order of day and month, which a year does without.
    """

    filled: tuple[int, ...]
    orders: Mapping[int, str]
    findings: Mapping[int, tuple[Finding, ...]]
    of_order: frozenset[Finding]


class _Look(Protocol):
    """Gathers what is to be known of a column."""

    def take(self, numbers: Array, cells: pa.StringArray) -> None:
        """Look at a batch: (rows,) numbers of its rows, and its cells without spaces around them."""

    def finding(self) -> Finding | None:
        """What a person should know."""


def survey(source: SourceList, columns: Columns, date_order: str, today: date) -> Survey:
    """Read a list once.

    Args:
        source: the list.
        columns: what they stand for.
        date_order: what the owner says of its dates: dmy, mdy, or nothing.
        today: nobody is born later.

    Raises:
        InputError: a row cannot be read.
    """
    dated = {c.index: _Dates(date_order) for name in DATE_FIELDS for c in columns.of(name)}
    born = {c.index for name in BIRTHS for c in columns.of(name)}
    plain: dict[str, Callable[[], _Look]] = {"id_number": _Numbers, "id_type": _Kinds, "sex": _Sexes}
    looks: list[tuple[int, _Look]] = [
        *dated.items(),
        *((k, _Births(today, dated.get(k))) for k in born),
        *((c.index, look()) for name, look in plain.items() for c in columns.of(name)),
    ]
    filled = np.zeros(len(source.headings), np.int64)
    for batch in source.batches():
        for k, column in enumerate(batch.columns.columns):
            cells = pc.utf8_trim_whitespace(column)
            filled[k] += pc.sum(pc.not_equal(cells, "")).as_py()
            for index, look in looks:
                if index == k:
                    look.take(batch.numbers, cells)
    found = [(k, look, replace(f, column=source.headings[k])) for k, look in looks if (f := look.finding())]
    return Survey(
        filled=tuple(filled.tolist()),
        orders={k: dates_.order for k, dates_ in dated.items()},
        findings={k: tuple(f for at, _, f in found if at == k) for k, _, _ in found},
        of_order=frozenset(f for _, look, f in found if isinstance(look, _Dates)),
    )


class _Rows:
    """Counts rows of several kinds, and remembers the first of each."""

    def __init__(self) -> None:
        self.count: Counter[object] = Counter()
        self._first: dict[object, list[int]] = {}

    def add(self, kind: object, numbers: Array) -> None:
        """Rows of a kind."""
        if len(numbers):
            self.count[kind] += len(numbers)
            first = self._first.setdefault(kind, [])
            first += numbers[: FIRST_ROWS - len(first)].tolist()

    def finding(self, severity: Severity, text: str, *kinds: object) -> Finding:
        """A finding on the rows of some kinds."""
        first = sorted(number for kind in kinds for number in self._first.get(kind, ()))
        return Finding(severity, text, "", sum(self.count[kind] for kind in kinds), tuple(first[:FIRST_ROWS]))


def _each(cells: pa.StringArray, tell: Callable[[str], object]) -> Array:
    """(rows,) objects: what each cell tells; each distinct one is asked once."""
    encoded = cells.dictionary_encode()
    told = np.array([tell(cell) for cell in encoded.dictionary.to_pylist()], object)
    of_row: Array = told[encoded.indices.to_numpy()]
    return of_row


class _Dates:
    """Whether the day comes first or the month: what some dates prove and none contradicts."""

    def __init__(self, stated: str) -> None:
        self._stated, self._rows = stated, _Rows()
        self._evidence = lru_cache(REMEMBERED)(dates.order_evidence)

    def take(self, numbers: Array, cells: pa.StringArray) -> None:
        if self._stated:
            return
        of_row = _each(cells, self._evidence)
        for kind in ("dmy", "mdy", "both"):
            self._rows.add(kind, numbers[of_row == kind])

    @property
    def order(self) -> str:
        """dmy, mdy, or empty where it is not known."""
        proven = [kind for kind in ("dmy", "mdy") if self._rows.count[kind]]
        return self._stated or (proven[0] if len(proven) == 1 else "")

    def finding(self) -> Finding | None:
        dmy, mdy, both = (self._rows.count[kind] for kind in ("dmy", "mdy", "both"))
        if dmy and mdy:
            text = (
                f"some dates have the day first ({dmy:,}), others the month ({mdy:,}): correct the rows, or say "
                "`date_order` under [list] in a --map file; until then unclear dates are not compared."
            )
            return self._rows.finding(Severity.STOP, text, "dmy" if dmy < mdy else "mdy")
        if both and not dmy and not mdy:
            text = (
                'no date shows whether the day or the month comes first: say date_order = "dmy" or "mdy" under [list] '
                "in a --map file; until then these dates are not compared."
            )
            return self._rows.finding(Severity.STOP, text, "both")
        words = "the day first" if dmy else "the month first"
        text = f"dates are read with {words}, as {dmy or mdy:,} of them prove."
        return Finding(Severity.NOTE, text) if both else None


class _Births:
    """Births still to come, as their column's order reads them; in either order where it has none."""

    def __init__(self, today: date, dated: _Dates | None) -> None:
        self._rows, self._today, self._dated = _Rows(), today.isoformat(), dated
        self._later = lru_cache(REMEMBERED)(self._in_which_order)

    def take(self, numbers: Array, cells: pa.StringArray) -> None:
        of_row = _each(cells, self._later)
        for kind in ("dmy", "mdy", "both"):
            self._rows.add(kind, numbers[of_row == kind])

    def _in_which_order(self, cell: str) -> str:
        """`dmy`, `mdy` or `both`; nothing where it is no date, or may be past: 2026 is not after 2026-01-31."""
        read = {order: dates.date(cell, Context("", order)).values for order in ("dmy", "mdy")}
        later = [order for order, values in read.items() if any(v > self._today[: len(v)] for v in values)]
        return "both" if len(later) == 2 else "".join(later)

    def finding(self) -> Finding | None:
        text = "lies in the future: a spreadsheet may have completed a year of two digits."
        finding = self._rows.finding(Severity.WARNING, text, "both", self._dated.order if self._dated else "")
        return finding if finding.count else None


class _Numbers:
    """Numbers one digit shorter than almost all others of their column, which begin with 0 here and there."""

    def __init__(self) -> None:
        self._rows = _Rows()
        self._with_zero: set[int] = set()

    def take(self, numbers: Array, cells: pa.StringArray) -> None:
        digits = pc.match_substring_regex(cells, r"^\d+$").to_numpy(zero_copy_only=False)
        lengths = np.where(digits, pc.utf8_length(cells).to_numpy(zero_copy_only=False), 0)
        zero = pc.starts_with(cells, "0").to_numpy(zero_copy_only=False)
        self._with_zero |= set(lengths[zero].tolist())
        for length in np.unique(lengths[digits]).tolist():
            self._rows.add(length, numbers[lengths == length])

    def finding(self) -> Finding | None:
        count = self._rows.count
        usual, most = max(count.items(), key=itemgetter(1), default=(0, 0))
        assert isinstance(usual, int)  # noqa: S101 - lengths are counted here
        if not count[usual - 1] or usual not in self._with_zero or most < USUAL * count.total():
            return None
        text = (
            f"numbers of {usual - 1} digits where almost all have {usual}, some with a 0 in front: a spreadsheet "
            "probably took the zero away. Numbers are compared without zeros in front, so they match all the same."
        )
        return self._rows.finding(Severity.WARNING, text, usual - 1)


class _Kinds:
    """Kinds of documents that are none of the standard's."""

    def __init__(self) -> None:
        self._rows, self._is_known = _Rows(), lru_cache(REMEMBERED)(_is_known_kind)

    def take(self, numbers: Array, cells: pa.StringArray) -> None:
        of_row = _each(cells, self._is_known)
        for kind in (True, False):
            self._rows.add(kind, numbers[of_row == kind])

    def finding(self) -> Finding | None:
        known, unknown = self._rows.count[True], self._rows.count[False]
        if not unknown:
            return None
        text = (
            "kinds of documents that Matchbit does not know; they match only where others write them the same. Write "
            f"one of {', '.join(ID_TYPES)}."
        )
        return self._rows.finding(Severity.STOP if unknown > known else Severity.WARNING, text, False)


def _is_known_kind(cell: str) -> bool | None:
    """Whether a cell names a kind of document that the standard knows; None where it names none."""
    values = documents.document_type(cell).values
    return values[0] in ID_TYPES if values else None


class _Sexes:
    """A column where M may be mujer: it stands beside H."""

    def __init__(self) -> None:
        self._rows = _Rows()

    def take(self, numbers: Array, cells: pa.StringArray) -> None:
        lower = pc.utf8_lower(cells)
        for word in "hm":
            self._rows.add(word, numbers[pc.equal(lower, word).to_numpy(zero_copy_only=False)])

    def finding(self) -> Finding | None:
        if not (self._rows.count["h"] and self._rows.count["m"]):
            return None
        text = "M stands beside H: if these are hombre and mujer, write mujer instead of M, since M is read as male."
        return self._rows.finding(Severity.STOP, text, "m")
