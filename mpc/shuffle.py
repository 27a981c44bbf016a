"""Secure shuffle in three passes, and the way back to the owners.

Ideal functionality, shuffle: replace a shared list of rows by a fresh sharing of it in a uniformly random order that
nobody knows. Un-shuffle: bring one value a row from that order back to the first one, as additive shares that only
the rows' owners ever add.

Pass i permutes by π_i and masks by Z_i, both from k_i: known to P_{i-1} and P_i, hidden from the third. The order is
that of π0∘π2∘π1, and every party lacks one of them. A list that is permuted by two parties travels as two additive
shares; the third party sees only a share under a mask that it does not know.

Source: Araki, Furukawa, Ohara, Pinkas, Rosemarin, Tsuchida, "Secure Graph Analysis at Scale", CCS 2021, section 5.2.
Deviation: the mask is added after the permutation instead of before, which has the same distribution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpc.committee import PartyId
from mpc.prss import Component, Keystream
from mpc.replicated import Array, Share
from mpc.session import Session
from mpc.sorting import in_runs, order_of


@dataclass(frozen=True, repr=False)
class Order:
    """One party's two of the three permutations, in the order in which the shuffle applied them.

    Attributes:
        a: (n,) uint32, π_i: place k of a pass's result came from place a[k].
        b: (n,) uint32, π_{i+1}.
    """

    a: Array
    b: Array


def permutation(stream: Keystream, n: int) -> Array:
    """A uniformly random permutation of n places, the same at both parties that hold the stream.

    Sorts random words. What is tied is put in order by words drawn anew, so that the order is exactly uniform.

    Returns:
        (n,) uint32.
    """
    order, tied = order_of(stream.random((n,)))
    runs = in_runs(tied)
    if len(runs):
        number = np.cumsum(~tied)[runs]
        words = stream.random((len(runs),))
        while len(np.unique(words)) < len(words):
            words = stream.random((len(runs),))
        order[runs] = order[runs][np.lexsort((words, number))]
    return order


def shuffle(session: Session, rows: Share) -> tuple[Share, Order]:
    """Put shared rows into a random order that nobody knows.

    Args:
        session: at a step of its own.
        rows: Share of (n, k) uint64.

    Returns:
        A fresh Share of the permuted rows, and this party's part of the order for `unshuffle`.

    Cost: 2 rounds; 64 B in all for each row of 16 B: 32 by P0, 16 by P1, 16 by P2.
    Reveals: nothing.
    Raises: PeerError.
    Source: Araki et al., CCS 2021, section 5.2.
    """
    n, shape = rows.shape[0], rows.shape
    order = Order(
        permutation(session.prss.stream("a", f"permutation {session.step}"), n),
        permutation(session.prss.stream("b", f"permutation {session.step}"), n),
    )
    first, second, rest = session.at("pass1"), session.at("pass2"), session.at("components")
    match session.party:  # the engine does not hold the rows: they are let go as soon as they can be
        case PartyId.P0:
            a = _pass(first, "b", rows.a ^ rows.b, order.b)
            del rows
            first.send(PartyId.P2, a)
            del a
            y1 = rest.prss.stream("b", f"component {rest.step}").random(shape)
            b = _pass(session.at("pass3"), "a", second.receive(PartyId.P1, shape), order.a)
            b ^= y1
            rest.send(PartyId.P2, b)
            b ^= rest.receive(PartyId.P2, shape)
            return Share(b, y1), order
        case PartyId.P1:
            b = _pass(first, "a", rows.b, order.a)
            del rows
            second.send(PartyId.P0, _pass(second, "b", b, order.b))
            y1 = rest.prss.stream("a", f"component {rest.step}").random(shape)
            return Share(y1, rest.prss.stream("b", f"component {rest.step}").random(shape)), order
        case PartyId.P2:
            del rows
            a = _pass(second, "a", first.receive(PartyId.P0, shape), order.a)
            a = _pass(session.at("pass3"), "b", a, order.b)
            y2 = rest.prss.stream("a", f"component {rest.step}").random(shape)
            a ^= y2
            rest.send(PartyId.P0, a)
            a ^= rest.receive(PartyId.P0, shape)
            return Share(y2, a), order


def unshuffle(session: Session, order: Order, values: Share) -> Array | None:
    """Bring shared values from the shuffled order back to the rows' first order, for their owners alone.

    Args:
        session: at a step of its own.
        order: from `shuffle`.
        values: Share of (n, ...) of any unsigned dtype, in shuffled order.

    Returns:
        At P0 and P1 the array of one additive share of every value, in the first order: the sum of both is the value.
        At P2 None.

    Cost: 1 round; 2 B in all for each row of 1 B: 1 by P0, 1 by P2.
    Reveals: nothing to the committee; each owner who is sent both parts learns its values.
    Raises: PeerError.
    Source: Araki et al., CCS 2021, section 5.2, applied backwards.
    """
    third, second, first = session.at("pass3"), session.at("pass2"), session.at("pass1")
    match session.party:
        case PartyId.P0:
            third.send(PartyId.P1, _unpass(third, "a", values.a ^ values.b, order.a))
            return _unpass(first, "b", second.receive(PartyId.P2, values.shape, values.a.dtype), order.b)
        case PartyId.P1:
            part = third.receive(PartyId.P0, values.shape, values.a.dtype)
            return _unpass(first, "a", _unpass(second, "b", part, order.b), order.a)
        case PartyId.P2:
            part = _unpass(third, "b", values.a, order.b)
            second.send(PartyId.P0, _unpass(second, "a", part, order.a))
            return None


def _pass(session: Session, component: Component, rows: Array, order: Array) -> Array:
    """Permute and mask with what this key's two parties share."""
    moved: Array = np.take(rows, order, axis=0, mode="clip")
    session.prss.stream(component, f"mask {session.step}").xor_into(moved)
    return moved


def _unpass(session: Session, component: Component, values: Array, order: Array) -> Array:
    """Mask, then undo a permutation."""
    masked = np.ascontiguousarray(values).copy()
    session.prss.stream(component, f"mask {session.step}").xor_into(masked)
    moved = np.empty_like(masked)
    moved[order] = masked
    return moved
