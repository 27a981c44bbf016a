"""What a committee computes with, which committees each engine takes, and how long lists may be. Pure."""

from __future__ import annotations

import math
from bisect import bisect_right
from enum import Enum
from typing import TYPE_CHECKING

from mpc import blocks
from mpc.dummies import DELTAS, EPSILONS, MOST_ROWS, Dummies, Noise
from mpc.matching import Reveal
from mpc.shamir import ELEMENT_BYTES

if TYPE_CHECKING:
    from parties.manifest import Manifest

MAX_COMMITTEE = 9
MOST_RECORD_BYTES, ROW_WORD_BYTES = 64 << 30, 64
"""Of memory at a node that compares similar records; and of that for each word of a blocking key's row, at its most."""
MOST_SHARE_BYTES = 1 << 29
"""Of all members, at a node that computes by mpyc: it and its worker hold them at the same time."""
NOT_SIMILAR = 'a rule of `kind` similar needs `engine` "replicated", with a committee of three'


class Engine(Enum):
    """What a committee computes with; the value is what the terms say."""

    REPLICATED = "replicated"
    """`mpc.engine`: three nodes, lists of any size, and the committee learns the group sizes."""
    MPYC = "mpyc"
    """`mpc.mpyc_engine`: any committee, short lists, and the committee learns nothing but how long they are."""


def fault(manifest: Manifest) -> str:
    """What of the terms an engine does not take, as a sentence's end; empty if nothing."""
    nodes, threshold = len(manifest.committee), manifest.threshold
    whole, most = type(threshold) is int, (nodes - 1) // 2
    match manifest.engine:
        case Engine.REPLICATED.value:
            if nodes != 3:
                return '`committee` must name exactly three nodes, or `engine` be "mpyc"'
            alone = "`threshold` must be 1 with the replicated engine: any two of its three nodes can read the lists"
            return _too_many_dummies(manifest) if whole and threshold == 1 else alone
        case Engine.MPYC.value:
            if not 3 <= nodes <= MAX_COMMITTEE:
                return f"`committee` must name 3 to {MAX_COMMITTEE} nodes"
            if not (whole and 1 <= threshold <= most):
                which = "1" if most == 1 else f"a whole number from 1 to {most}"
                return f"`threshold` must be {which}, less than half of the {nodes} committee nodes"
            opened = manifest.dummies is not None or manifest.verify_tags
            hidden = "`dummies` and `verify_tags` are of the replicated engine: mpyc opens neither group sizes nor tags"
            return NOT_SIMILAR if manifest.similar else hidden if opened else ""
        case _:
            return "`engine` must be replicated or mpyc"


def noise(manifest: Manifest) -> Noise | None:
    """The dummy groups among exact keys, if the terms ask for any."""
    if manifest.dummies is None or not manifest.exact_rules:
        return None
    return Noise(_each(manifest, manifest.dummies), manifest.exact_rules, len(manifest.members))


def similar_noise(manifest: Manifest) -> Noise | None:
    """The same among blocking keys: a member's own program gives no more than `largest_group` records with one."""
    if manifest.dummies is None or manifest.similar is None:
        return None
    largest = manifest.similar.largest_group * len(manifest.members)
    return Noise(_each(manifest, manifest.dummies), manifest.similar.linkage.keys, largest)


def _each(manifest: Manifest, dummies: Dummies) -> Dummies:
    """What is promised for each of the two kinds of keys: for both together, it is what the terms promise."""
    kinds = 2 if manifest.exact_rules and manifest.similar else 1
    return Dummies(dummies.epsilon / kinds, dummies.delta / kinds)


def _too_many_dummies(manifest: Manifest) -> str:
    if manifest.dummies is None:
        return ""
    each = _each(manifest, manifest.dummies)
    if each.epsilon < EPSILONS[0] or each.delta < DELTAS[0]:
        return "`dummies` are for exact and for similar rules together: double the smallest epsilon and delta"
    rows = sum(added.rows for added in (noise(manifest), similar_noise(manifest)) if added)
    if rows <= MOST_ROWS:
        return ""
    fewer = "; set `largest_group` lower" if manifest.similar else ""
    return f"`dummies` would add {rows:,} rows, of {MOST_ROWS:,} that a session may have{fewer}"


def takes_too_long(manifest: Manifest) -> str:
    """Why MPyC would compute for too long on the longest lists of these terms: a sentence; empty if it would not."""
    members, rules, reveal = len(manifest.members), len(manifest.rules), Reveal(manifest.reveal)
    cells = 0 if manifest.statistics is None else manifest.statistics.cells
    by_mpyc = manifest.engine == Engine.MPYC.value
    if not by_mpyc and reveal is not Reveal.STATISTICS:
        return ""

    def seconds(records: int) -> float:
        if not by_mpyc:
            return blocks.table_seconds(members, records, cells)
        nodes = len(manifest.committee)
        return blocks.seconds(members, records * rules, nodes, manifest.threshold, reveal, cells=cells)

    if (estimate := seconds(manifest.max_records)) <= blocks.MOST_SECONDS:
        return ""
    fits = bisect_right(range(1, manifest.max_records), blocks.MOST_SECONDS, key=seconds)
    what = "mpyc engine" if by_mpyc else "committee, for the table,"
    changes = [f"set `max_records` to {fits:,} at most" if fits else "name fewer members"]
    changes += ['`engine` to "replicated" with a committee of three'] if by_mpyc else ["agree on fewer cells"]
    lists = f"{members:,} lists of {manifest.max_records:,} records, {rules} key{'s' * (rules > 1)} each,"
    long = f"about {_time(estimate)}, of {_time(blocks.MOST_SECONDS)} that it may"
    return f"{lists} would take the {what} {long}: {', or '.join(changes)}."


def _time(seconds: float) -> str:
    """A time for people, rounded up: in minutes, from two hours on in hours, from two days on in days."""
    long = (unit for unit in ((86_400, "days"), (3600, "hours")) if seconds >= 2 * unit[0])
    unit_s, unit = next(long, (60, "minutes"))
    return f"{math.ceil(seconds / unit_s):,} {unit}"


def takes_too_much(manifest: Manifest) -> str:
    """Why the longest lists of these terms are too large for a node: a sentence; empty if they are not."""
    if manifest.engine != Engine.MPYC.value:
        return _too_many_records(manifest)
    cells = 0 if manifest.statistics is None else manifest.statistics.cells
    of_record = len(manifest.members) * len(manifest.rules) * (1 + cells) * ELEMENT_BYTES
    fits = MOST_SHARE_BYTES // of_record
    if manifest.max_records <= fits:
        return ""
    size = (
        f"{manifest.max_records * of_record / 2**30:.1f} GiB of shares, of {MOST_SHARE_BYTES / 2**30:.1f} that may be"
    )
    return f"Each committee node would hold {size}: set `max_records` to {fits:,} at most, or agree on fewer cells."


def _too_many_records(manifest: Manifest) -> str:
    if manifest.similar is None:
        return ""
    linkage = manifest.similar.linkage
    of_record = len(manifest.members) * linkage.keys * (2 + linkage.words) * ROW_WORD_BYTES
    fits = MOST_RECORD_BYTES // of_record
    if manifest.max_records <= fits:
        return ""
    size = f"{manifest.max_records * of_record / 2**30:,.0f} GiB of memory, of {MOST_RECORD_BYTES >> 30} that may be"
    return (
        f"Each committee node would need {size}, to compare {linkage.keys} blocking keys of each record: set "
        f"`max_records` to {fits:,} at most, or agree on fewer blocks or comparisons."
    )
