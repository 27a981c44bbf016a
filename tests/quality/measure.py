"""What was found in two lists, beside what is true: as pairs of rows, and as rows that have a match."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpc.replicated import Array
from parties.keys import Keys

Sizes = tuple[int, ...]
"""Rows of each list: of the left and of the right one, where there are two."""


def join(left: Array, right: Array, left_rows: Array, right_rows: Array, right_size: int) -> Array:
    """Pairs of rows whose codes agree.

    Args:
        left: (k,) integers, the codes of the left list.
        right: (l,) integers, of the right one.
        left_rows: (k,) the rows that have them.
        right_rows: (l,) likewise.
        right_size: rows of the right list.

    Returns:
        (n,) int64, ascending and distinct: left row times `right_size` plus right row.
    """
    order = np.argsort(right, kind="stable")
    first = np.searchsorted(right, left, "left", order)
    counts = np.searchsorted(right, left, "right", order) - first
    step = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    agreeing = right_rows[order[np.repeat(first, counts) + step]]
    return np.unique(np.repeat(left_rows, counts).astype(np.int64) * right_size + agreeing)


def true_pairs(left: Array, right: Array) -> Array:
    """Pairs of rows that are of one person, as `join` gives them; (rows,) integers say who each row is."""
    return join(left, right, np.arange(len(left)), np.arange(len(right)), len(right))


def rule_pairs(left: Keys, right: Keys) -> list[Array]:
    """For each rule the pairs of rows that share a key, as `join` gives them."""
    both = np.concatenate([left.keys, right.keys]).view("V16").ravel()
    _, codes = np.unique(both, return_inverse=True)
    mine, theirs = np.split(codes, [len(left.keys)])
    return [
        join(mine[a.places], theirs[b.places], a.rows, b.rows, right.rows)
        for a, b in zip(left.of_rule, right.of_rule, strict=True)
    ]


def flags(pairs: Array, sizes: Sizes) -> Array:
    """(left rows + right rows,) bool: rows that are in a pair, which is what a member learns of its own."""
    left, right = np.divmod(pairs, max(sizes[1], 1))
    has = np.zeros(sum(sizes), bool)
    has[left] = True
    has[sizes[0] + right] = True
    return has


@dataclass(frozen=True)
class Score:
    """How good something is.

    Attributes:
        right: found and true.
        found: found.
        true: to be found.
    """

    right: int
    found: int
    true: int

    @property
    def precision(self) -> float:
        """What part of the found is true; 1 where nothing was found."""
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """What part of the true was found; 1 where there is nothing to find."""
        return self.right / self.true if self.true else 1.0

    @property
    def f1(self) -> float:
        """Their harmonic mean."""
        return 2 * self.right / (self.found + self.true) if self.found + self.true else 1.0

    @property
    def wrong(self) -> int:
        """Found, and not true."""
        return self.found - self.right


def pair_score(found: Array, true: Array) -> Score:
    """How many pairs are right."""
    return Score(len(np.intersect1d(found, true, assume_unique=True)), len(found), len(true))


def row_score(found: Array, true: Array, sizes: Sizes, among: Array | None = None) -> Score:
    """How many rows, of those `among` which we look, have a match and should."""
    has, should = flags(found, sizes), flags(true, sizes)
    if among is not None:
        has, should = has & among, should & among
    return Score(int((has & should).sum()), int(has.sum()), int(should.sum()))


def best(pairs: Array, probability: Array, true: Array) -> tuple[float, Array]:
    """The threshold on scored pairs with the best F1 over pairs, and the pairs that reach it.

    Args:
        pairs: (k,) distinct, as `join` gives them.
        probability: (k,) float64, of each.
        true: pairs.
    """
    order = np.argsort(-probability, kind="stable")
    right = np.cumsum(np.isin(pairs[order], true))
    f1 = 2 * right / (np.arange(1, len(pairs) + 1) + len(true))
    # Pairs of equal probability stand or fall together.
    f1[:-1][np.diff(probability[order]) == 0] = 0
    threshold = float(probability[order][np.argmax(f1)])
    return threshold, np.sort(pairs[probability >= threshold])
