"""From a list to its keys: rows → canonical fields → a key for each rule and value.

Keys are distinct within a member; `RuleKeys` remembers which key stands for which row and rule, so that results can be
brought back to rows. Under a similar rule a row is compared as a whole (`parties.features`). All of it stays with the
member.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mpc.replicated import Array
from parties.errors import InputError
from parties.features import Records
from parties.fields import FieldBatch, FieldSource, NewRows, ReadableList
from parties.findings import FIRST_ROWS, Finding, Severity
from parties.keyparts import MAX_KEYS_OF_A_ROW, derive, distinct_keys, most_repeated, note_values, parts_of
from parties.needs import fields_of, is_complete, lacking, of_record, sources_of
from parties.normalise import libraries
from parties.normalise.notes import Note
from parties.records import Batch
from parties.rules import KEY_BYTES, FieldUse, KeyMaker, Rule
from parties.statistics import Cells, Statistics

NOTES = tuple(Note)
NO_VALUE = 0x80
"""Added to a note's number where the row has no value of the field."""
ALONE = "the list has no household_id, so a rule for whole households finds single persons only."
COUNTED = ("phone", "id_number")
"""Fields whose values should be of one person or household."""


@dataclass(frozen=True, repr=False)
class RuleKeys:
    """A rule's keys.

    Attributes:
        rows: (k,) int32: row of each key, ascending; a row has as many as its fields have values.
        places: (k,) int32: of each the place of what members get: the key's in `Keys.keys`; of a similar rule, whose
            rows are those that have something to compare, the row's number after all keys.
    """

    rows: Array
    places: Array


@dataclass(frozen=True, repr=False)
class Keys:
    """A list's keys in one session; secret.

    Attributes:
        rules: of the session.
        keys: (n, 2) uint64: 16 bytes a key, distinct, in ascending order.
        of_rule: for each rule its keys by row.
        vectors: (rows, record_words) uint64: each row's blocking keys and comparison vector; None without a similar
            rule.
        numbers: (rows,) int64: each row's number in the spreadsheet.
        states: for each field (rows,) uint8: 0, or 1 + the place in `NOTES` of what was noticed, with `NO_VALUE`.
        new: (rows,) bool: rows that are reported; None where all are.
        household: (rows,) int32: equal for rows of one household; None where no rule needs it.
        cells: (rows,) uint16: each row's cell of the session's table; None where there is none.
        table: what these are the cells of.
        records: (rows,) V16: digest of what tells the person apart, under a key of the caller's; None if not asked for.
        repeats: for each of `COUNTED` that was read, how many values stand on how many rows, most first: at most
            `FIRST_ROWS` pairs of a number of rows and the first of them.
        headings: for each field the headings of the columns it was read from.
        used: headings of all columns that rules or the table read.
        missing: a sentence for each field that the list has no column for; rules that need it have no keys.
    """

    rules: tuple[Rule, ...]
    keys: Array
    of_rule: tuple[RuleKeys, ...]
    numbers: Array
    states: Mapping[str, Array]
    new: Array | None = None
    household: Array | None = None
    cells: Array | None = None
    table: Statistics | None = None
    vectors: Array | None = None
    records: Array | None = None
    repeats: Mapping[str, list[tuple[int, tuple[int, ...]]]] = field(default_factory=dict)
    headings: Mapping[str, str] = field(default_factory=dict)
    used: frozenset[str] = frozenset()
    missing: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of the list."""
        return len(self.numbers)

    @property
    def values(self) -> int:
        """How many values the member gets: one for each key, and under a similar rule one for each row."""
        return len(self.keys) + (self.rows if self.vectors is not None else 0)

    @property
    def shared_rows(self) -> Array:
        """(n, 2) uint64: what is shared of a list, but for cells: its keys, then its rows' vectors."""
        return self.keys if self.vectors is None else np.concatenate([self.keys, self.vectors.reshape(-1, 2)])

    def usable(self, k: int) -> Array:
        """(rows,) bool: rows that have a key under rule k, or of whose household one has."""
        has = np.zeros(self.rows, bool)
        has[self.of_rule[k].rows] = True
        return self.shared(k, has)

    def shared(self, k: int, of_row: Array) -> Array:
        """(rows, …) what rule k says of each row; under a household rule, what it says of any row of the household."""
        if self.rules[k].scope == "person" or self.household is None:
            return of_row
        of_household = np.zeros_like(of_row)
        combine(of_row).at(of_household, self.household, of_row)
        return of_household[self.household]

    def first_rows(self, k: int) -> Array:
        """(n,) int32: the first row that each key of rule k is of; nothing that means anything for other keys."""
        of = self.of_rule[k]
        first = np.empty(len(self.keys), np.int32)
        first[of.places[::-1]] = of.rows[::-1]  # the last assignment counts: the smallest row
        return first

    def twins(self, k: int) -> Array:
        """(p, 2) int32: distinct pairs of a row and the first earlier row that shares a key under rule k.

        A household rule says nothing of two rows of one household: that they share its phone is no duplicate. A similar
        rule says nothing of a list's own rows.
        """
        of = self.of_rule[k]
        if self.rules[k].similar is not None:
            return np.empty((0, 2), np.int32)
        earlier = self.first_rows(k)[of.places]
        is_twin = earlier < of.rows
        if self.rules[k].scope == "household" and self.household is not None:
            is_twin &= self.household[earlier] != self.household[of.rows]
        return np.unique(np.stack([of.rows[is_twin], earlier[is_twin]], axis=1), axis=0)

    def reason(self, name: str, row: int) -> str:
        """Why a row has no value of a field, for people; empty where it has one."""
        if name not in self.states:
            return "is no column of the list"
        state = int(self.states[name][row])
        return NOTES[(state & ~NO_VALUE) - 1].value if state & NO_VALUE else ""


def combine(of_row: Array) -> np.ufunc:
    """How what is said of several becomes one: any of their members (2-D), or the most."""
    return np.bitwise_or if of_row.ndim == 2 else np.maximum


def make_keys(
    opened: ReadableList,
    session_id: bytes,
    rules: Sequence[Rule],
    country: str,
    *,
    new: NewRows = NewRows(),  # noqa: B008 - frozen
    table: Cells | None = None,
    record_key: bytes = b"",
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[Keys, list[Finding]]:
    """Derive the keys of every row of a list under every rule.

    Args:
        opened: the list.
        session_id: 32 bytes.
        rules: of the session.
        country: of the session.
        new: which rows are new.
        table: for `Keys.cells`.
        record_key: for `Keys.records`, at most 64 bytes; nothing if they are not needed.
        progress: told the number of rows read, now and then.

    Returns:
        The keys, and what reading the columns brought up.

    Raises:
        InputError: the list cannot be read, or does not tell which rows are new.
        ConfigError: libraries of other versions than the standard's are installed.
    """
    libraries.check()
    used, telling = fields_of(rules, opened), of_record(opened, rules) if record_key else {}
    for name, why in table.fields.items() if table else ():
        used.setdefault(name, why)
    sources, missing = sources_of(opened, telling | used, country)
    is_new = new.source(opened) if new else None
    alike = _records(rules, session_id, record_key)
    absent = lacking(opened, rules, sources, table, missing)
    makers = [KeyMaker(session_id, rule) if is_complete(rule, sources) else None for rule in rules]
    record_fields = [name for name in telling if name in sources]
    made = list(zip(makers, rules, strict=True))
    reader = _Reader(
        sources, made, is_new, table=table, alike=alike, record_fields=record_fields, record_key=record_key
    )
    for batch in opened.source.batches():
        reader.take(batch)
        progress(len(reader.numbers))
    findings = [f for source in [*sources.values(), *([is_new] if is_new else [])] for f in source.findings]
    findings += absent
    findings += reader.findings()
    if any(rule.scope == "household" for rule in rules) and "household_id" not in sources:
        findings.append(Finding(Severity.WARNING, ALONE))
    read = frozenset(opened.source.headings[k] for name in used if name in sources for k in sources[name].indices)
    stops = tuple(f.text for f in absent if f.severity is Severity.STOP)
    return replace(reader.keys(), used=read, missing=stops), list(dict.fromkeys(findings))


def _records(rules: Sequence[Rule], session_id: bytes, record_key: bytes) -> Records | None:
    """What gathers records for the similar rule, if there is one."""
    similar = next((rule.similar for rule in rules if rule.similar is not None), None)
    if similar is None:
        return None
    own = hashlib.blake2b(session_id, key=record_key or os.urandom(32), person=b"matchbit fillers")
    return Records(session_id, similar, own.digest())


class _Reader:
    """Gathers a list's keys, batch by batch."""

    def __init__(
        self,
        sources: Mapping[str, FieldSource],
        rules: list[tuple[KeyMaker | None, Rule]],
        new: FieldSource | None,
        *,
        table: Cells | None,
        alike: Records | None,
        record_fields: Sequence[str],
        record_key: bytes,
    ) -> None:
        self._sources, self._rules, self._new, self._table, self._alike = sources, rules, new, table, alike
        self._record_fields, self._record_key = record_fields, record_key
        self.numbers = array("q")
        self._cut: list[int] = []
        self._undated: list[int] = []
        self._rows = [array("i") for _ in rules]
        self._states: dict[str, bytearray] = {name: bytearray() for name in sources}
        self._is_new, self._records, self._cells = bytearray(), bytearray(), bytearray()
        self._counted = {name: (array("q"), array("i")) for name in COUNTED if name in sources}
        self._households: dict[str, int] = {}
        self._household = array("i")
        self._of_rule = [bytearray() for _ in rules]

    def take(self, batch: Batch) -> None:
        """Add a batch's rows."""
        start = len(self.numbers)
        self.numbers.frombytes(batch.numbers.tobytes())
        read = {name: source.read(batch) for name, source in self._sources.items()}
        for name, values in read.items():
            states = np.array([_state(n.values, n.note) for n in values.normals], np.uint8)
            self._states[name] += states[values.codes].tobytes()
        for name, (hashes, rows) in self._counted.items():
            note_values(read[name], start, hashes, rows)
        parts = {use: parts_of(read[use.field], use) for maker, rule in self._rules if maker for use in rule.uses}
        for (maker, rule), rows, digests in zip(self._rules, self._rows, self._of_rule, strict=True):
            if maker:
                self._cut += derive(maker, [parts[use] for use in rule.uses], start, rows, digests)
        if "household_id" in read:
            self._take_households(read["household_id"])
        if self._alike:
            self._alike.take(read, len(batch.numbers))
        if self._table:
            self._cells += self._table.of(read, len(batch.numbers)).tobytes()
        if self._record_key:
            whole = [parts_of(read[name], FieldUse(name)) for name in self._record_fields]
            self._take_records(whole, len(batch.numbers))
        if self._new:
            self._take_new(self._new.read(batch), batch)

    def _take_households(self, ids: FieldBatch) -> None:
        for code in ids.codes.tolist():
            values = ids.normals[code].values
            # A row without a household's id is a household of its own.
            known = self._households.setdefault(
                values[0] if values else f"\0{len(self._households)}", len(self._households)
            )
            self._household.append(known)

    def _take_records(self, parts: list[list[tuple[bytes, ...]]], rows: int) -> None:
        keyed = hashlib.blake2b(digest_size=KEY_BYTES, key=self._record_key)
        for fields_of_row in zip(*parts, strict=True) if parts else [()] * rows:
            one = keyed.copy()
            for values in fields_of_row:
                one.update(len(values).to_bytes(4, "big") + b"".join(values))
            self._records += one.digest()

    def _take_new(self, marks: FieldBatch, batch: Batch) -> None:
        for code, number in zip(marks.codes.tolist(), batch.numbers.tolist(), strict=True):
            values = marks.normals[code].values
            if not values:
                raise InputError(
                    f"Row {number}, column `{self._new.headings if self._new else ''}`: it must say yes or no (or x, "
                    "1, 0, or nothing) so that new rows can be told."
                )
            self._is_new.append(values[0] == "yes")
            if marks.normals[code].note:
                self._undated.append(number)

    def findings(self) -> Iterator[Finding]:
        """What happened to single rows that a person should know of."""
        if self._undated:
            text = "no day of registration can be read, so these rows count as new."
            first = tuple(self._undated[:FIRST_ROWS])
            yield Finding(Severity.WARNING, text, self._new.headings if self._new else "", len(self._undated), first)
        if self._cut:
            cut = list(dict.fromkeys(self._cut))
            text = f"rows with so many values that only the first {MAX_KEYS_OF_A_ROW} combinations are compared."
            numbers = tuple(self.numbers[row] for row in cut[:FIRST_ROWS])
            yield Finding(Severity.WARNING, text, "", len(cut), numbers)
        if self._alike:
            yield from self._alike.findings()

    def keys(self) -> Keys:
        """All that was gathered."""
        keys, places = distinct_keys(b"".join(self._of_rule))
        ends = np.cumsum([len(rows) for rows in self._rows]).tolist()
        of_rule = [
            RuleKeys(np.frombuffer(rows, np.int32), places[end - len(rows) : end])
            for rows, end in zip(self._rows, ends, strict=True)
        ]
        numbers = np.frombuffer(self.numbers, np.int64)
        vectors = self._alike.array() if self._alike else None
        if self._alike:  # only after `array` is it known which
            rows = np.flatnonzero(self._alike.usable).astype(np.int32)
            whole = RuleKeys(rows, rows + np.int32(len(keys)))
            of_rule = [
                of if rule.similar is None else whole for of, (_, rule) in zip(of_rule, self._rules, strict=True)
            ]
        return Keys(
            rules=tuple(rule for _, rule in self._rules),
            keys=keys,
            of_rule=tuple(of_rule),
            numbers=numbers,
            states={name: np.frombuffer(states, np.uint8) for name, states in self._states.items()},
            new=np.frombuffer(self._is_new, bool) if self._new else None,
            household=np.frombuffer(self._household, np.int32) if self._household else None,
            cells=np.frombuffer(self._cells, np.uint16) if self._table else None,
            table=self._table.statistics if self._table else None,
            vectors=vectors,
            records=np.frombuffer(self._records, "V16") if self._record_key else None,
            repeats={name: most_repeated(*counted, numbers) for name, counted in self._counted.items()},
            headings={name: source.headings for name, source in self._sources.items()},
        )


def _state(values: tuple[str, ...], note: Note | None) -> int:
    return 0 if note is None else 1 + NOTES.index(note) | (0 if values else NO_VALUE)
