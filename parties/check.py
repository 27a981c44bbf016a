"""A look at a list before it is used: columns, how rows normalise, what is unusable and why. Offline."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass

from parties import normalise
from parties.records import SourceList
from parties.rules import Rule, canonical

EXAMPLES = 3


@dataclass(frozen=True)
class RuleCheck:
    """How a rule fares on a list.

    Attributes:
        name: of the rule.
        fields: its headings.
        usable: rows that have all its fields.
        unusable_rows: numbers of the first rows that lack a field (the heading is row 1).
        repeated: rows that agree with an earlier row of the same list.
        example: a usable row's values as they are compared.
    """

    name: str
    fields: tuple[str, ...]
    usable: int
    unusable_rows: tuple[int, ...]
    repeated: int
    example: tuple[str, ...]


@dataclass(frozen=True)
class ListCheck:
    """What a list looks like to Matchbit.

    Attributes:
        path: the file.
        headings: its columns.
        rows: below the heading.
        empty: for each heading the number of rows with an empty cell under it.
        rules: one check for each rule.
        usable: rows that at least one rule can use.
    """

    path: str
    headings: tuple[str, ...]
    rows: int
    empty: dict[str, int]
    rules: tuple[RuleCheck, ...]
    usable: int

    def to_json(self) -> dict[str, object]:
        """As one JSON object."""
        return asdict(self)

    def to_text(self) -> str:
        """For people."""
        lines = [f"{self.path}: {self.rows:,} rows, {self.usable:,} of them can be compared.", "", "Columns:"]
        lines += [f"  {h:<28}{self.rows - self.empty[h]:>10,} filled {self.empty[h]:>10,} empty" for h in self.headings]
        for rule in self.rules:
            lines += ["", f"Rule `{rule.name}` ({' + '.join(rule.fields)}): {rule.usable:,} rows can be used."]
            if rule.example:
                lines += [f"  compared as: {' | '.join(rule.example)}"]
            if rule.unusable_rows:
                rows = ", ".join(map(str, rule.unusable_rows))
                lines += [f"  {self.rows - rule.usable:,} rows lack a field: row {rows} …"]
            if rule.repeated:
                lines += [f"  {rule.repeated:,} rows repeat an earlier row of this list."]
        return "\n".join(lines)


def check_list(source: SourceList, rules: tuple[Rule, ...]) -> ListCheck:
    """Read a whole list as a session with these rules would.

    Raises:
        InputError: the list cannot be read, or lacks a rule's column.
    """
    columns = [source.columns(rule) for rule in rules]
    empty = Counter(dict.fromkeys(source.headings, 0))
    seen: list[set[bytes]] = [set() for _ in rules]
    usable = [0] * len(rules)
    lacking: list[list[int]] = [[] for _ in rules]
    example: list[tuple[str, ...]] = [() for _ in rules]
    rows = comparable = 0
    for number, row in enumerate(source.rows(), 2):
        rows += 1
        empty.update({h for h, cell in zip(source.headings, row, strict=True) if not cell.strip()})
        agreed = [canonical([row[k] for k in places]) for places in columns]
        comparable += any(a is not None for a in agreed)
        for k, value in enumerate(agreed):
            if value is None:
                lacking[k] += [number] if len(lacking[k]) < EXAMPLES else []
                continue
            usable[k] += 1
            seen[k].add(value)
            example[k] = example[k] or tuple(normalise.text(row[c]) for c in columns[k])
    checks = [
        RuleCheck(r.name, r.fields, usable[k], tuple(lacking[k]), usable[k] - len(seen[k]), example[k])
        for k, r in enumerate(rules)
    ]
    return ListCheck(str(source.path), source.headings, rows, dict(empty), tuple(checks), comparable)
