"""From a list to its keys: rows → canonical fields → a key for each rule and value.

Keys are distinct within a member; `RuleKeys` remembers which key stands for which row and rule, so that results can be
brought back to rows. All of it stays with the member.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np

from mpc.replicated import Array
from parties import fields
from parties.columns import FIELDS
from parties.errors import InputError
from parties.fields import FieldBatch, FieldSource, NewRows, ReadableList
from parties.findings import FIRST_ROWS, Finding, Severity
from parties.normalise import libraries
from parties.normalise.notes import Note
from parties.records import Batch
from parties.rules import KEY_BYTES, FieldUse, KeyMaker, Rule, part
from parties.statistics import Cells, Statistics

MAX_KEYS_OF_A_ROW = 64
"""Under one rule: so many combinations of its fields' values."""
NOTES = tuple(Note)
NO_VALUE = 0x80
"""Added to a note's number where the row has no value of the field."""
RECORD_FIELDS = FIELDS[: FIELDS.index("registration_date")]
"""What a person is told apart by; later fields are about what the person got."""
ALONE = "the list has no household_id, so a rule for whole households finds single persons only."
COUNTED = ("phone", "id_number")
"""Fields whose values should be of one person or household."""


@dataclass(frozen=True, repr=False)
class RuleKeys:
    """A rule's keys.

    Attributes:
        rows: (k,) int32: row of each key, ascending; a row has as many as its fields have values.
        places: (k,) int32: the key's place in `Keys.keys`.
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
    records: Array | None = None
    repeats: Mapping[str, list[tuple[int, tuple[int, ...]]]] = field(default_factory=dict)
    headings: Mapping[str, str] = field(default_factory=dict)
    used: frozenset[str] = frozenset()
    missing: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of the list."""
        return len(self.numbers)

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

        A household rule says nothing of two rows of one household: that they share its phone is no duplicate.
        """
        of = self.of_rule[k]
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
    sources: dict[str, FieldSource] = {}
    missing: dict[str, str] = {}
    used, of_record = fields_of(rules, opened), _of_record(opened, rules) if record_key else {}
    for name, why in table.fields.items() if table else ():
        used.setdefault(name, why)
    for name, why in (of_record | used).items():
        try:
            sources[name] = fields.source(opened, name, why, country)
        except InputError as error:
            missing[name] = str(error)
    is_new = new.source(opened) if new else None
    makers = [None if any(u.field in missing for u in rule.uses) else KeyMaker(session_id, rule) for rule in rules]
    record_fields = [name for name in of_record if name in sources]
    made = list(zip(makers, rules, strict=True))
    reader = _Reader(sources, made, is_new, table=table, record_fields=record_fields, record_key=record_key)
    for batch in opened.source.batches():
        reader.take(batch)
        progress(len(reader.numbers))
    findings = [f for source in [*sources.values(), *([is_new] if is_new else [])] for f in source.findings]
    findings += [Finding(Severity.STOP, sentence) for sentence in missing.values()]
    findings += reader.findings()
    if any(rule.scope == "household" for rule in rules) and "household_id" not in sources:
        findings.append(Finding(Severity.WARNING, ALONE))
    read = frozenset(opened.source.headings[k] for name in used if name in sources for k in sources[name].indices)
    return replace(reader.keys(), used=read, missing=tuple(missing.values())), list(dict.fromkeys(findings))


def fields_of(rules: Sequence[Rule], opened: ReadableList) -> dict[str, str]:
    """The fields that rules need of a list, each with a word on what needs it."""
    wanted = {use.field: f"the rule `{rule.name}`" for rule in reversed(rules) for use in rule.uses}
    if any(rule.scope == "household" for rule in rules) and opened.columns.has("household_id"):
        wanted.setdefault("household_id", "a rule for whole households")
    return wanted


def _of_record(opened: ReadableList, rules: Sequence[Rule]) -> dict[str, str]:
    """The fields of a list that tell its people apart: standard ones, and other columns that rules compare.

    Not what rules derive of standard fields besides, which would be another record's in each session.
    """
    other = [use.field for rule in rules for use in rule.uses if use.field not in RECORD_FIELDS]
    return {
        name: "a digest" for name in (*RECORD_FIELDS, *other) if opened.columns.has(name) or opened.columns.of(name)
    }


class _Reader:
    """Gathers a list's keys, batch by batch."""

    def __init__(
        self,
        sources: Mapping[str, FieldSource],
        rules: list[tuple[KeyMaker | None, Rule]],
        new: FieldSource | None,
        *,
        table: Cells | None,
        record_fields: Sequence[str],
        record_key: bytes,
    ) -> None:
        self._sources, self._rules, self._new, self._table = sources, rules, new, table
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
            _count(read[name], start, hashes, rows)
        parts = {use: _parts(read[use.field], use) for maker, rule in self._rules if maker for use in rule.uses}
        for (maker, rule), rows, digests in zip(self._rules, self._rows, self._of_rule, strict=True):
            if maker:
                self._cut += _derive(maker, [parts[use] for use in rule.uses], start, rows, digests)
        if "household_id" in read:
            self._take_households(read["household_id"])
        if self._table:
            self._cells += self._table.of(read, len(batch.numbers)).tobytes()
        if self._record_key:
            whole = [_parts(read[name], FieldUse(name)) for name in self._record_fields]
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

    def keys(self) -> Keys:
        """All that was gathered."""
        keys, places = _distinct(b"".join(self._of_rule))
        ends = np.cumsum([len(rows) for rows in self._rows]).tolist()
        of_rule = [
            RuleKeys(np.frombuffer(rows, np.int32), places[end - len(rows) : end])
            for rows, end in zip(self._rows, ends, strict=True)
        ]
        numbers = np.frombuffer(self.numbers, np.int64)
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
            records=np.frombuffer(self._records, "V16") if self._record_key else None,
            repeats={name: _repeats(*counted, numbers) for name, counted in self._counted.items()},
            headings={name: source.headings for name, source in self._sources.items()},
        )


def _state(values: tuple[str, ...], note: Note | None) -> int:
    return 0 if note is None else 1 + NOTES.index(note) | (0 if values else NO_VALUE)


def _parts(values: FieldBatch, use: FieldUse) -> list[tuple[bytes, ...]]:
    """For each row the field's parts of canonical bytes, in the form that is used."""
    parts = []
    for values_of_cell, _ in values.normals:
        forms = map(use.apply, values_of_cell)
        distinct = forms if len(values_of_cell) < 2 else dict.fromkeys(forms)
        parts.append(tuple([part(form) for form in distinct if form]))
    return [parts[code] for code in values.codes.tolist()]


def _derive(
    maker: KeyMaker, parts: list[list[tuple[bytes, ...]]], start: int, rows: array[int], digests: bytearray
) -> list[int]:
    """A key for each combination of a row's values, one of each field; returns rows that have too many."""
    cut = []
    for row, values in enumerate(zip(*parts, strict=True), start):
        for number, combination in enumerate(product(*values)):
            if number == MAX_KEYS_OF_A_ROW:
                cut.append(row)
                break
            digests += maker.key(b"".join(combination))
            rows.append(row)
    return cut


def _count(values: FieldBatch, start: int, hashes: array[int], rows: array[int]) -> None:
    for row, code in enumerate(values.codes.tolist(), start):
        for value in values.normals[code].values:
            hashes.append(hash(value))
            rows.append(row)


def _repeats(hashes: array[int], rows: array[int], numbers: Array) -> list[tuple[int, tuple[int, ...]]]:
    """The values that stand on most rows: on how many, and on which first."""
    _, first, codes, counts = np.unique(np.frombuffer(hashes, np.int64), True, True, True)
    on = np.frombuffer(rows, np.int32)
    most = np.lexsort((first, -counts))[:FIRST_ROWS]  # hashes differ from run to run, so rows decide between equals
    found = [(int(counts[k]), numbers[on[np.flatnonzero(codes == k)[:FIRST_ROWS]]]) for k in most if counts[k] > 1]
    return [(count, tuple(some.tolist())) for count, some in found]


def _distinct(digests: bytes) -> tuple[Array, Array]:
    """Distinct keys in ascending order, (n, 2) uint64, and for each digest its place among them, int32."""
    words = np.frombuffer(digests, np.uint64).reshape(-1, 2)
    order = np.lexsort((words[:, 1], words[:, 0]))
    ordered = words[order]
    is_new = np.ones(len(words), bool)
    np.any(ordered[1:] != ordered[:-1], axis=1, out=is_new[1:])
    places = np.empty(len(words), np.int32)
    places[order] = np.cumsum(is_new, dtype=np.int32) - 1
    return ordered[is_new], places
