"""Results, at their member only: recombination of nodes' parts, the result sheet, the summary."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from mpc.errors import ShareError
from mpc.matching import Reveal
from mpc.replicated import Array
from mpc.shamir import ELEMENT_BYTES, decode, reconstruct
from parties.engines import Engine
from parties.errors import ResultError
from parties.keys import Keys, combine
from parties.manifest import Manifest
from parties.rules import Rule
from parties.similar import GRADES

REVIEW = "A match is a reason to look, never by itself a reason to exclude anyone."
_GRADES = {(1 << reached) - 1: grade for reached, grade in enumerate(("", *GRADES))}
"""Of a value, where the terms grade matches: a bit for each threshold that is reached."""
MOST_LABEL = 78
"""Characters of a summary's lines before the numbers: what is longer is cut."""
TOO_LITTLE = "too little is known for any rule"


def value_type(reveal: str, members: int) -> tuple[np.dtype[np.uint8 | np.uint16 | np.uint64], tuple[int, ...]]:
    """The dtype and shape of one key's or record's value, as nodes of the replicated engine send their parts of it."""
    match Reveal(reveal):
        case Reveal.COUNT:
            return np.dtype(np.uint16), ()
        case Reveal.MEMBERS:
            return np.dtype(np.uint64), (-(-members // 64),)
        case _:
            return np.dtype(np.uint8), ()


def sources(manifest: Manifest) -> tuple[str, ...]:
    """The committee nodes whose parts make a result: all, or the first two where their parts are each other's mask."""
    return manifest.committee if _is_shamir(manifest) else manifest.committee[:2]


def part_bytes(manifest: Manifest, values: int) -> int:
    """How long each node's part of a member's result is, in bytes.

    Args:
        manifest: the session's terms.
        values: number of the member's keys, and with a similar rule of its records; see `Manifest.values`.
    """
    if _is_shamir(manifest):
        return math.prod(_elements(manifest, values)) * ELEMENT_BYTES
    dtype, shape = value_type(manifest.reveal, len(manifest.members))
    return values * math.prod(shape) * dtype.itemsize


def _is_shamir(manifest: Manifest) -> bool:
    """Whether parts are Shamir shares: a table's always are."""
    return manifest.engine == Engine.MPYC.value or manifest.statistics is not None


def _elements(manifest: Manifest, keys: int) -> tuple[int, int]:
    """How many field elements are shared, in rows and columns."""
    if manifest.statistics is not None:
        return manifest.statistics.cells, len(manifest.members)
    return keys, 1 if Reveal(manifest.reveal) is Reveal.FLAG else len(manifest.members) - 1


def recombine(manifest: Manifest, member: str, parts: Sequence[bytes], keys: int) -> Array:
    """What a member learns, from committee nodes' parts.

    Args:
        manifest: the session's terms.
        member: whose result it is.
        parts: as fetched from `sources`, in their order.
        keys: how many values the member gets; see `Manifest.values`.

    Returns:
        Which members hold each key, or how many: (keys,) uint8 or uint16, or (keys, words) uint64, see
        `mpc.matching.Reveal`; under a similar rule the values of records follow.
        Of statistics (cells, members) int64: how many people of a cell 1, 2, 3 … members hold;
        0 where they are too few to be told.

    Raises:
        ResultError: a part has the wrong length, or the values are impossible: a node sent something else.
    """
    length = part_bytes(manifest, keys)
    for node, part in zip(sources(manifest), parts, strict=True):
        if len(part) != length:
            raise ResultError(f"{node} sent a result of {len(part)} bytes where {length} are due; ask its operator.")
    if _is_shamir(manifest):
        return _reconstructed(manifest, member, parts, keys)
    dtype, shape = value_type(manifest.reveal, len(manifest.members))
    one, other = (np.frombuffer(part, dtype).reshape(keys, *shape) for part in parts)
    values: Array = one ^ other
    if not _is_possible(manifest, member, values):
        raise _false(manifest)
    return values


def _false(manifest: Manifest) -> ResultError:
    *nodes, last = sources(manifest)
    twice = "" if _is_shamir(manifest) else ", or another member named a person twice"
    return ResultError(
        f"The parts that {', '.join(nodes)} and {last} sent do not make a result: one of them sent something "
        f"else{twice}. Tell the coordinator; this result cannot be used."
    )


def _is_possible(manifest: Manifest, member: str, values: Array) -> bool:
    match Reveal(manifest.reveal):
        case Reveal.COUNT:
            return bool(np.all(values < len(manifest.members)))
        case Reveal.MEMBERS:
            allowed = np.bitwise_or.reduce(_masks(manifest, member))
            return not np.any(values & ~allowed)
        case Reveal.GRADE:
            return bool(np.all(np.isin(values, [*_GRADES])))
        case _:
            return bool(np.all(values <= 1))


def _masks(manifest: Manifest, member: str) -> Array:
    """(members - 1, words) uint64: for each other member, in the manifest's order, a mask with its bit set."""
    others = np.array([m for m, name in enumerate(manifest.members) if name != member])
    masks = np.zeros((len(others), -(-len(manifest.members) // 64)), np.uint64)
    masks[np.arange(len(others)), others // 64] = np.uint64(1) << (others % 64).astype(np.uint64)
    return masks


def _reconstructed(manifest: Manifest, member: str, parts: Sequence[bytes], keys: int) -> Array:
    """What Shamir shares say; a non-zero value of a key is random, and says no more than that it is none."""
    shape = _elements(manifest, keys)
    try:
        shares = [decode(np.frombuffer(part, np.uint8).reshape(*shape, ELEMENT_BYTES)) for part in parts]
        values = reconstruct(shares, manifest.threshold)
    except ShareError:
        raise _false(manifest) from None
    if manifest.statistics is not None:
        return _table(manifest, manifest.statistics.smallest_cell, values)
    zero = values == 0
    match Reveal(manifest.reveal):
        case Reveal.COUNT:  # with z zeros among the others' values, just the last z symmetric polynomials are zero
            counts: Array = np.logical_and.accumulate(zero, axis=1).sum(axis=1, dtype=np.uint16)
            return counts
        case Reveal.MEMBERS:
            masks = np.where(zero[:, :, None], _masks(manifest, member), np.uint64(0))
            held: Array = np.bitwise_or.reduce(masks, axis=1)
            return held
        case _:
            flags: Array = zero[:, 0].astype(np.uint8)
            return flags


def _table(manifest: Manifest, smallest: int, values: Array) -> Array:
    """(cells, members) int64, if it can be that many people."""
    told = values[values != 0]
    if np.any(told < smallest) or values.sum() > manifest.max_keys * len(manifest.members):
        raise _false(manifest)
    return values.astype(np.int64)


@dataclass(frozen=True)
class Summary:
    """What a member learned, in numbers.

    Attributes:
        session: title.
        member: whose result it is.
        rows: of the list.
        reported: rows that were asked about: the new ones, or all.
        matched: reported rows that another member has too.
        not_compared: reported rows without any usable key.
        matched_by_rule: reported rows matched on each rule.
        unusable_by_rule: rows without a key under each rule.
        unusable_by_reason: rows that lack a field for each reason, most first: "`phone` is empty".
        same_inside: rows that share a key with an earlier row of the same list.
        judged_distinct: matched rows that a person has judged distinct before.
        matched_by_grade: reported rows matched, by the best grade, the surest first; nothing where the terms do not
            grade.
    """

    session: str
    member: str
    rows: int
    reported: int
    matched: int
    not_compared: int
    matched_by_rule: dict[str, int]
    unusable_by_rule: dict[str, int]
    unusable_by_reason: dict[str, int]
    same_inside: int
    judged_distinct: int = 0
    matched_by_grade: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """As one JSON object."""
        return asdict(self)

    def to_text(self) -> str:
        """As a table for people."""
        new = [("  new rows, which are reported", self.reported)] if self.reported != self.rows else []
        judged = [("    judged distinct before", self.judged_distinct)] if self.judged_distinct else []
        lines = [
            ("  rows", self.rows),
            *new,
            ("  also with another member", self.matched),
            *((f"    {grade}", n) for grade, n in self.matched_by_grade.items()),
            *((f"    on {rule}", n) for rule, n in self.matched_by_rule.items()),
            *judged,
            ("  not compared", self.not_compared),
            *((f"    rows without {rule}", n) for rule, n in self.unusable_by_rule.items() if n),
            *((f"      {reason}", n) for reason, n in self.unusable_by_reason.items()),
            ("  twice in your own list", self.same_inside),
        ]
        labels = [label if len(label) <= MOST_LABEL else f"{label[: MOST_LABEL - 1]}…" for label, _ in lines]
        width = max(map(len, labels))
        told = (f"{label:<{width}}{n:>10,}" for label, (_, n) in zip(labels, lines, strict=True))
        return "\n".join([f"{self.member}: {self.session}", *told, f"  {REVIEW}"])


class Result:
    """A member's result, by row of its list.

    Args:
        manifest: the session's terms.
        member: whose result it is.
        keys: of its list.
        values: from `recombine`.
    """

    def __init__(self, manifest: Manifest, member: str, keys: Keys, values: Array) -> None:
        self.manifest, self.member, self.keys = manifest, member, keys
        self.reviews: Mapping[int, str] = {}
        """Row → what a person has decided on it before; see `parties.review`."""
        self.reported = np.ones(keys.rows, bool) if keys.new is None else keys.new
        """(rows,) bool: rows that were asked about."""
        of_rules = [self._of_rows(k, values) for k in range(len(manifest.rules))]
        self.matched = np.stack([v.any(axis=1) if v.ndim == 2 else v > 0 for v in of_rules], axis=1)
        """(rows, rules) bool: which rules found the row, or its household, at another member."""
        self.matched &= self.reported[:, None]
        self._of_rules, self._others = of_rules, combine(values).reduce(of_rules)
        self._usable = np.stack([keys.usable(k) for k in range(len(manifest.rules))], axis=1)
        self.twins = np.unique(np.concatenate([keys.twins(k) for k in range(len(manifest.rules))]), axis=0)
        """(p, 2) int32: pairs of a row and an earlier row of the list that shares a key."""
        self._same_as = np.full(keys.rows, keys.rows, np.int32)
        np.minimum.at(self._same_as, self.twins[:, 0], self.twins[:, 1])

    def _of_rows(self, k: int, values: Array) -> Array:
        """(rows, …) what a rule found of each row: the most of its keys or of its record, or all members of any."""
        of = self.keys.of_rule[k]
        found = np.zeros((self.keys.rows, *values.shape[1:]), values.dtype)
        combine(values).at(found, of.rows, values[of.places])
        return self.keys.shared(k, found)

    @property
    def matched_rows(self) -> Array:
        """(rows,) bool: whether any rule found the row at another member."""
        matched: Array = np.any(self.matched, axis=1)
        return matched

    @property
    def compared_rows(self) -> Array:
        """(rows,) bool: whether any rule could use the row."""
        compared: Array = np.any(self._usable, axis=1)
        return compared

    def rules_of(self, row: int) -> tuple[str, ...]:
        """Names of the rules that found a row."""
        return tuple(self.manifest.rules[k].name for k in np.flatnonzero(self.matched[row]))

    def members_of(self, row: int) -> tuple[str, ...]:
        """Names of the members that hold a row's person, where the terms let them be known."""
        return self._whom(self._others[row]) if Reveal(self.manifest.reveal) is Reveal.MEMBERS else ()

    def found(self, row: int) -> Iterator[tuple[Rule, str]]:
        """Each rule that found a row, with each member it found it at: by name, or what the terms let be known."""
        for k in np.flatnonzero(self.matched[row]).tolist():
            for whom in self._whom(self._of_rules[k][row]):
                yield self.manifest.rules[k], whom

    def _whom(self, value: Array) -> tuple[str, ...]:
        match Reveal(self.manifest.reveal):
            case Reveal.MEMBERS:
                bits = np.unpackbits(value.view(np.uint8), bitorder="little")
                return tuple(self.manifest.members[m] for m in np.flatnonzero(bits))
            case Reveal.COUNT if value > 1:
                return (f"{value} other members",)
            case Reveal.GRADE:
                return (f"another member ({_GRADES[int(value)]})",)
            case _:
                return ("another member",)

    def headings(self) -> list[str]:
        """The columns that are added to the list."""
        of_mode = {"flag": [], "grade": ["grade"], "count": ["match_count"], "members": ["matched_with"]}
        more = of_mode[self.manifest.reveal]
        return ["match", "matched_on", *more, "not_compared_because", "same_as_row", "review"]

    def cells(self) -> Iterator[list[str]]:
        """The added cells of every row, in the list's order."""
        detail = [""] * (len(self.headings()) - 5)
        columns = (self.reported, self.matched_rows, self.compared_rows, self._same_as)
        for row, (asked, matched, compared, same) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
            earlier = str(self.keys.numbers[same]) if same < row else ""
            own = [earlier, self.reviews.get(row, "")]
            if not asked:
                yield ["not new", "", *detail, "", *own]
            elif matched:
                yield ["yes", "; ".join(self.rules_of(row)), *self._detail(row), "", *own]
            elif compared:
                yield ["no", "", *detail, "", *own]
            else:
                yield ["not compared", "", *detail, " | ".join(self._reasons(row)), *own]

    def _detail(self, row: int) -> list[str]:
        """How many others, or which, or how surely, over all rules."""
        match Reveal(self.manifest.reveal):
            case Reveal.COUNT:
                return [str(self._others[row])]
            case Reveal.GRADE:
                return [_GRADES[int(self._others[row])]]
            case Reveal.MEMBERS:
                return ["; ".join(self.members_of(row))]
            case _:
                return []

    def _reasons(self, row: int) -> list[str]:
        """Why a row has no key."""
        names = dict.fromkeys(use.field for rule in self.manifest.rules for use in rule.uses)
        reasons = [self.keys.reason(name, row) for name in names]
        return [f"{name} {reason}" for name, reason in zip(names, reasons, strict=True) if reason] or [TOO_LITTLE]

    def _by_grade(self) -> dict[str, int]:
        """How many rows matched with each grade at best."""
        if Reveal(self.manifest.reveal) is not Reveal.GRADE:
            return {}
        best = self._others[self.matched_rows]
        return {grade: int((best == value).sum()) for value, grade in reversed(_GRADES.items()) if grade}

    def summary(self) -> Summary:
        """The numbers."""
        matched = self.matched_rows.tolist()
        names = [rule.name for rule in self.manifest.rules]
        absent = np.flatnonzero(self.reported & ~self.compared_rows)
        reasons = Counter(reason for row in absent.tolist() for reason in self._reasons(row))
        return Summary(
            session=self.manifest.title,
            member=self.member,
            rows=self.keys.rows,
            reported=int(self.reported.sum()),
            matched=sum(matched),
            not_compared=len(absent),
            matched_by_rule=dict(zip(names, self.matched.sum(axis=0).tolist(), strict=True)),
            matched_by_grade=self._by_grade(),
            unusable_by_rule=dict(zip(names, (~self._usable).sum(axis=0).tolist(), strict=True)),
            unusable_by_reason=dict(reasons.most_common()),
            same_inside=len(np.unique(self.twins[:, 0])),
            judged_distinct=sum(matched[row] and text.startswith("distinct") for row, text in self.reviews.items()),
        )
