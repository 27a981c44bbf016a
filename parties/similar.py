"""Rules on similar records: what is compared of them, and by which keys they find each other. Pure.

Two records are compared when they share a blocking key; `mpc.linkage` has how. A block's field is a rule's field with
transforms (`parties.rules`), the last of which may give several values of one, from `SEVERAL`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

from mpc.linkage import LEVELS, MOST_VALUES, MOST_WEIGHT, Comparison, Kind, Linkage
from mpc.matching import Reveal
from parties import toml
from parties.errors import ConfigError
from parties.rules import DATES, NAMES, FieldUse, field_use
from parties.sounds import sounds

MAX_BLOCKS, MAX_BLOCK_FIELDS, MAX_KEYS, MAX_COMPARISONS = 16, 6, 64, 12
MAX_CROSSED = 64
"""Pairs of values that all comparisons of two records look at: each value of one with each of the other."""
MAX_THRESHOLD = MAX_COMPARISONS * MOST_WEIGHT
LARGEST_GROUPS = (2, 200)
"""Between these is the number of records that a blocking key may be shared by."""
USUAL_LARGEST_GROUP = 50
PRESET_RECORDS, PER_DOUBLING = 40_000, 3
"""Presets' thresholds are for so many records of all members; of twice as many, twice as many strangers look alike, for
which they rise by so many quarters of a bit (docs/tuning.md)."""
GRADES = ("possible", "probable", "certain")
"""From the lowest threshold; a flag says that the middle one is reached."""
USUAL_TRADITION = "general"
FINGERPRINT_CHARS = 16


def _halves(number: str) -> tuple[str, ...]:
    middle = len(number) // 2
    return (f"first:{number[:middle]}", f"last:{number[middle:]}") if middle else ()


_OF_KIND = {Kind.NAMES: NAMES, Kind.DATE: DATES}
"""Kinds that are for some fields only."""
SEVERAL: dict[str, tuple[tuple[str, ...], Callable[[str], tuple[str, ...]]]] = {
    "each-word": (NAMES, lambda name: tuple(dict.fromkeys(sounds(name).split()))),
    "word-pairs": (NAMES, lambda name: tuple(map(" ".join, combinations(sorted({*sounds(name).split()}), 2)))),
    "unordered": (DATES, lambda date: ("-".join((date[:4], *sorted(date[5:].split("-")))),) if len(date) == 10 else ()),
    "near-years": ((*DATES, "birth_year"), lambda date: (date[:4], str(int(date[:4]) + 1))),
    "halves": (("phone", "id_number"), _halves),
}
"""Name → (the fields that it is for, the values that it makes of one; none where it cannot)."""


@dataclass(frozen=True)
class BlockUse:
    """A field as a block uses it.

    Attributes:
        use: the field, with the transforms that give one value.
        several: the last transform, of `SEVERAL`; empty if there is none.
    """

    use: FieldUse
    several: str = ""

    def apply(self, value: str) -> tuple[str, ...]:
        """What is compared of a canonical value; empty where there is nothing to compare."""
        form = self.use.apply(value)
        if not form:
            return ()
        return SEVERAL[self.several][1](form) if self.several else (form,)


@dataclass(frozen=True)
class Block:
    """What records must share, exactly, to be compared.

    Attributes:
        fields: with transforms; a record has a key for each choice of one value of every field.
        keys: of a record at most; of more, the smallest by a hash that is the same at all members.
    """

    fields: tuple[str, ...]
    keys: int

    @cached_property
    def uses(self) -> tuple[BlockUse, ...]:
        """The fields with their transforms.

        Raises:
            ConfigError: a transform is unknown, or not for this field.
        """
        return tuple(map(_block_use, self.fields))

    @property
    def shown(self) -> str:
        """For people."""
        return " + ".join(self.fields)


@dataclass(frozen=True)
class Compared:
    """One comparison of two records.

    Attributes:
        field: a standard field, or a heading.
        kind: `mpc.linkage.Kind`, as the terms say it.
        values: of a record at most.
        weights: of the kind's levels, from the worst; quarters of a bit.
    """

    field: str
    kind: str
    values: int
    weights: tuple[int, ...]


@dataclass(frozen=True)
class Similar:
    """Which records are similar.

    Attributes:
        blocks: at least one.
        comparisons: at least one.
        thresholds: least sums of weights, ascending: of `GRADES`, or one for a flag.
        largest_group: records that a blocking key may be shared by; those that more share are not compared under it.
    """

    blocks: tuple[Block, ...]
    comparisons: tuple[Compared, ...]
    thresholds: tuple[int, ...]
    largest_group: int

    @cached_property
    def linkage(self) -> Linkage:
        """What the committee computes."""
        comparisons = tuple(Comparison(Kind(c.kind), c.values, c.weights) for c in self.comparisons)
        return Linkage(sum(b.keys for b in self.blocks), comparisons, self.thresholds, self.largest_group)

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The fields that are read, each once, without transforms."""
        blocked = (use.use.field for block in self.blocks for use in block.uses)
        return tuple(dict.fromkeys((*blocked, *(c.field for c in self.comparisons))))

    def to_lines(self) -> list[str]:
        """For people who approve it."""
        grades = GRADES if len(self.thresholds) > 1 else ("match",)
        thresholds = (f"{grade} from {least}" for grade, least in zip(grades, self.thresholds, strict=True))
        return [
            f"fingerprint {self.fingerprint}",
            *(f"compared if equal in {block.shown}; keys: {block.keys}" for block in self.blocks),
            *(
                f"{c.field} as {c.kind}; values: {c.values}; weights: {', '.join(map(str, c.weights))}"
                for c in self.comparisons
            ),
            f"{', '.join(thresholds)}, in quarters of a bit",
            f"records with a key that more than {self.largest_group} share are not compared under it",
        ]

    def weaknesses(self, records: int) -> list[str]:
        """Sentences for people on what of it finds people who have little in common.

        Args:
            records: of all members at most.
        """
        found = []
        usual = thresholds_for(presets()[USUAL_TRADITION]["thresholds"], records)
        least = usual[len(GRADES) // 2] if len(self.thresholds) == 1 else usual[0]
        if self.thresholds[0] < least:
            found.append(
                f"Its lowest threshold is {self.thresholds[0]}, where the preset has {least} for so many records: it "
                "will find more people who are others."
            )
        upside_down = [c.field for c in self.comparisons if c.weights[-1] < max(c.weights) or c.weights[-1] <= 0]
        if upside_down:
            found.append(
                f"The last weight of {', '.join(upside_down)}, for what agrees best, is not the highest, or not above "
                "zero: weights are given from the worst level to the best."
            )
        if sum(max(0, min(c.weights)) for c in self.comparisons) >= self.thresholds[0]:
            found.append("Even records that agree in nothing reach a threshold: it finds all that share a block.")
        return found

    @cached_property
    def fingerprint(self) -> str:
        """By which a policy can name exactly these terms."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:FINGERPRINT_CHARS]


def _block_use(text: str) -> BlockUse:
    name, _, last = text.rpartition(":")
    if last not in SEVERAL:
        return BlockUse(field_use("similar", text))
    use = field_use("similar", name)
    if use.field not in SEVERAL[last][0]:
        raise ConfigError(f"`{last}` cannot be applied to `{use.field}`; it is for {', '.join(SEVERAL[last][0])}.")
    return BlockUse(use, last)


def check(similar: Similar, reveal: str) -> None:
    """Refuse what no session may have.

    Args:
        similar: the rule.
        reveal: of the session.

    Raises:
        ConfigError: one sentence that says what is wrong.
    """
    _require(reveal in (Reveal.FLAG.value, Reveal.GRADE.value), "the session must have `reveal` flag or grade")
    grades = 1 if reveal == Reveal.FLAG.value else len(GRADES)
    _require(0 < len(similar.blocks) <= MAX_BLOCKS, f"there must be 1 to {MAX_BLOCKS} `blocks`")
    for block in similar.blocks:
        _check_block(block)
    keys = sum(block.keys for block in similar.blocks)
    _require(keys <= MAX_KEYS, f"`keys` of all blocks are {keys}, of {MAX_KEYS} that a record may have")
    comparisons = len(similar.comparisons)
    _require(0 < comparisons <= MAX_COMPARISONS, f"there must be 1 to {MAX_COMPARISONS} comparisons in `compare`")
    for compared in similar.comparisons:
        _check_compared(compared)
    crossed = sum(compared.values**2 for compared in similar.comparisons)
    _require(crossed <= MAX_CROSSED, _too_many_values(crossed))
    for repeated in (similar.blocks, similar.comparisons):
        _require(len({*repeated}) == len(repeated), "a block or a comparison is given twice, so that it counts twice")
    whole = all(_is_whole(t, 1, MAX_THRESHOLD) for t in similar.thresholds)
    rising = whole and all(a < b for a, b in pairwise(similar.thresholds))
    _require(rising and len(similar.thresholds) == grades, _thresholds(grades))
    most = sum(max(0, *compared.weights) for compared in similar.comparisons)
    enough = f"no two records can reach {similar.thresholds[-1]}: all comparisons together give {most} at most"
    _require(similar.thresholds[-1] <= most, enough)
    low, high = LARGEST_GROUPS
    largest = _is_whole(similar.largest_group, low, high)
    _require(largest, f"`largest_group` must be a whole number from {low} to {high}")


def _too_many_values(crossed: int) -> str:
    return f"comparisons with so many `values` make {crossed} pairs of values of two records, of {MAX_CROSSED} at most"


def _thresholds(grades: int) -> str:
    if grades == 1:
        return "`thresholds` must be one positive whole number for `reveal` flag, or three of which the second is taken"
    return f"`thresholds` must be {grades} positive whole numbers, each above the one before: {', '.join(GRADES)}"


def _check_block(block: Block) -> None:
    good = 0 < len(block.fields) <= MAX_BLOCK_FIELDS and all(map(_is_text, block.fields))
    _require(good, f"`fields` of each block must be 1 to {MAX_BLOCK_FIELDS} fields, with transforms behind colons")
    _ = block.uses  # raises where a transform is unknown
    _require(_is_whole(block.keys, 1, MAX_KEYS), f"`keys` of block {block.shown} must be from 1 to {MAX_KEYS}")


def _check_compared(compared: Compared) -> None:
    _require(_is_text(compared.field), "`field` of each comparison must be one line of printable text")
    name, kinds = compared.field, [kind.value for kind in Kind]
    _require(compared.kind in kinds, f"`kind` of comparison {name} must be one of {', '.join(kinds)}")
    _require(not field_use("similar", name).transforms, f"comparison {name} takes a field as it is, without transforms")
    kind = Kind(compared.kind)
    fields = _OF_KIND.get(kind, (name,))
    _require(name in fields, f"kind {kind.value} cannot compare {name}; it is for {', '.join(fields)}")
    _require(_is_whole(compared.values, 1, MOST_VALUES), f"`values` of {name} must be from 1 to {MOST_VALUES}")
    whole = all(_is_whole(w, -MOST_WEIGHT, MOST_WEIGHT) for w in compared.weights)
    levels = f"{LEVELS[kind]} whole numbers from {-MOST_WEIGHT} to {MOST_WEIGHT}, one for each level of {kind.value}"
    good = whole and len(compared.weights) == LEVELS[kind]
    _require(good, f"`weights` of {name} must be {levels}, from the worst")


def from_json(value: Any) -> Similar:
    """What canonical bytes hold; whether it is just that, and good, is for the caller to check.

    Raises:
        KeyError, TypeError: something else.
    """
    blocks = (Block(tuple(b["fields"]), b["keys"]) for b in value["blocks"])
    comparisons = (Compared(c["field"], c["kind"], c["values"], tuple(c["weights"])) for c in value["comparisons"])
    return Similar(tuple(blocks), tuple(comparisons), tuple(value["thresholds"]), value["largest_group"])


# What a coordinator writes


ENTRIES = {"tradition", "blocks", "compare", "thresholds", "largest_group"}
"""Of a similar rule's table, besides what every rule's has."""


def from_toml(
    table: Mapping[str, Any], reveal: str, records: int = PRESET_RECORDS, largest_group: int = USUAL_LARGEST_GROUP
) -> Similar:
    """What a coordinator's `[[rule]]` of kind `similar` says; the tradition's preset says what it leaves out.

    Args:
        table: the rule's entries.
        reveal: of the session: for a flag the middle threshold of three is taken.
        records: of all members at most, for which a preset's thresholds are moved.
        largest_group: where the table does not say.

    Raises:
        ConfigError: one sentence that says which entry is missing, unknown or wrong.
    """
    of_tradition, tradition = presets(), table.get("tradition", USUAL_TRADITION)
    known = isinstance(tradition, str) and tradition in of_tradition
    _require(known, f"`tradition` must be one of {', '.join(of_tradition)}")
    preset = of_tradition[tradition]
    usual = {**preset, "thresholds": thresholds_for(preset["thresholds"], records), "largest_group": largest_group}
    entries = usual | {name: table[name] for name in ENTRIES & set(table)}
    thresholds = _list(entries["thresholds"], "thresholds")
    if reveal == Reveal.FLAG.value and len(thresholds) == len(GRADES):
        thresholds = thresholds[1:2]
    return Similar(
        tuple(_block(b) for b in _list(entries["blocks"], "blocks")),
        tuple(_compared(c) for c in _list(entries["compare"], "compare")),
        thresholds,
        entries["largest_group"],
    )


def thresholds_for(preset: Sequence[int], records: int) -> list[int]:
    """A preset's thresholds for so many records of all members: positive and rising, as they were.

    The highest does not fall: against relatives, who are not fewer in few records, nothing but a high one helps.
    """
    moved = round(PER_DOUBLING * math.log2(records / PRESET_RECORDS))
    *lower, highest = preset
    return [*(max(k, threshold + moved) for k, threshold in enumerate(lower, 1)), highest + max(moved, 0)]


@lru_cache(1)
def presets() -> Mapping[str, Mapping[str, Any]]:
    """By naming tradition, what a rule's table leaves out: `blocks`, `compare`, three `thresholds`."""
    return toml.read(Path(__file__).with_name("similar.toml"))


def _block(table: Any) -> Block:
    good = isinstance(table, Mapping) and {"fields"} <= set(table) <= {"fields", "keys"}
    _require(good, 'each of `blocks` must be like { fields = ["phone"], keys = 1 }')
    return Block(_list(table["fields"], "fields"), table.get("keys", 1))


def _compared(table: Any) -> Compared:
    needed = {"field", "kind", "weights"}
    good = isinstance(table, Mapping) and needed <= set(table) <= {*needed, "values"}
    _require(good, 'each of `compare` must be like { field = "sex", kind = "exact", values = 1, weights = [-20, 4] }')
    return Compared(table["field"], table["kind"], table.get("values", 1), _list(table["weights"], "weights"))


def _list(value: Any, name: str) -> tuple[Any, ...]:
    _require(isinstance(value, list | tuple), f"`{name}` must be a list")
    return tuple(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable()


def _is_whole(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _require(condition: bool, text: str) -> None:
    if not condition:
        raise ConfigError(f"The similar rule is wrong: {text}.")
