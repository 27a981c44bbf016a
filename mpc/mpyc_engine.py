"""The second engine: any committee, and nothing revealed but each member's own output; on MPyC.

Ideal functionality: that of `mpc.engine`, for any m ≥ 3 parties of which t < m/2 are corrupted, without the group
sizes: the committee learns how many keys each member has, and nothing else. In mode `statistics` all members get a
table, and nothing of single keys. Secure against a passive adversary: a party that deviates can spoil results, and with
a member's help test other relations of keys than equality.

    agree → check the dealing → products of differences to each other member's keys → mask → done

A member's result is for each of its keys the product of its differences to all keys of the others, times a random
element: zero means a match, and anything else is uniformly random.

Source: the components' own; masked products of differences as in Freedman, Nissim, Pinkas, EUROCRYPT 2004.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpc import shamir
from mpc.dealing import check_cells, check_dealing
from mpc.lanes import Progress
from mpc.matching import Reveal
from mpc.mpyc_runtime import COUNT_BITS, Runtime, SecureArray
from mpc.polynomials import differences, generating, slices
from mpc.replicated import Array
from mpc.session import Links, compare, terms_digest
from mpc.shamir import ELEMENT_BYTES, PRIME


@dataclass(frozen=True, repr=False)
class Inputs:
    """What the members gave one party.

    Attributes:
        terms: 32 bytes, public and the same at all parties: a digest of the session's agreed terms.
        counts: keys of each member, in the members' agreed order; zero of one that is absent.
        shares: (sum of counts, 1 + cells, 17) uint8: of each row this party's shares of the key and, for statistics,
            of one element for each cell: 1 for the row's own, 0 for all others.
        reveal: what members learn.
        smallest: for statistics, the smallest number that a cell of the table may show.
    """

    terms: bytes
    counts: tuple[int, ...]
    shares: Array
    reveal: Reveal
    smallest: int = 0


@dataclass(frozen=True, repr=False)
class Bits:
    """What a party of the replicated engine holds in the end, to make a table of.

    Attributes:
        terms, counts, smallest: as of `Inputs`.
        cells: of the table.
        part: (sum of counts, members - 1 + cells) uint8, at parties 0 and 1: additive shares over GF(2) of which of the
            other members, in their order, hold a row's key, and of its cell; None at all others.
    """

    terms: bytes
    counts: tuple[int, ...]
    smallest: int
    cells: int
    part: Array | None


def run(links: Links, threshold: int, inputs: Inputs, progress: Progress) -> tuple[Array, ...]:
    """Find the matches.

    Args:
        links: at a step of its own.
        threshold: t, less than half of the parties.
        inputs: at least one row in all.
        progress: told of every phase and chunk.

    Returns:
        For each member this party's shares of its result, uint8: (keys, w, 17), where w is 1 for FLAG, and the number
        of other members for COUNT and MEMBERS; for STATISTICS the same (cells, members, 17) for all.

    Cost: `blocks.multiplications`, each 17 B from 2t + 1 parties to all others.
    Reveals: to the committee nothing; to the members nothing yet.
    Raises: PeerError; IntegrityError; DealingError for a member whose shares are not of one key, and one cell, a row.
    """
    total = sum(inputs.counts)
    progress("check", 0, total)
    terms = agree(links, inputs.terms, inputs.counts, inputs.shares.shape, inputs.reveal, inputs.smallest, threshold)
    rt = Runtime(links, threshold)
    lists = np.split(inputs.shares, np.cumsum(inputs.counts)[:-1])
    check_dealing(rt, lists)
    keys, cells = [rt.secure(shamir.decode(rows[:, 0])) for rows in lists], inputs.shares.shape[1] - 1
    parts: list[list[Array]] = [[] for _ in lists]
    counted = rt.constant(0, (cells, len(lists)))
    for member, rows, values in differences(rt, keys, progress):
        if inputs.reveal is not Reveal.STATISTICS:
            parts[member].append(shamir.encode(rt.share(masked(rt, learned(rt, values, inputs.reveal)))))
            continue
        for piece in slices(len(lists[member][rows]), cells + len(lists)):
            of_rows = rt.secure(shamir.decode(lists[member][rows][piece, 1:]))
            counted += holders(rt, member, zeros(values[piece]), check_cells(rt, member, of_rows))
    if inputs.reveal is Reveal.STATISTICS:
        parts = [[shown(rt, counted, inputs.smallest)]] * len(lists)
    compare(links.at("finish"), terms, "other terms")
    progress("done", total, total)
    empty = np.empty((0, 1, ELEMENT_BYTES), np.uint8)
    return tuple(np.concatenate(pieces) if pieces else empty for pieces in parts)


def tabulate(links: Links, inputs: Bits, progress: Progress) -> Array:
    """A table for the members, from what the replicated engine found.

    Args:
        links: of its three parties, at a step of its own.
        inputs: at least one row in all.
        progress: told of every phase.

    Returns:
        (cells, members, 17) uint8: this party's shares of the table.

    Cost: for each row's bit two multiplications, each 17 B from three parties to both others, and few besides.
    Reveals: to the committee nothing; to the members nothing yet.
    Raises: PeerError; IntegrityError; DealingError for a member that put a row in no cell, or in several.
    """
    total, columns = sum(inputs.counts), len(inputs.counts) - 1 + inputs.cells
    progress("tabulate", 0, total)
    terms = agree(links, inputs.terms, inputs.counts, inputs.cells, inputs.smallest)
    rt = Runtime(links, 1)
    others, starts = len(inputs.counts) - 1, np.cumsum((0, *inputs.counts)).tolist()
    counted = rt.constant(0, (inputs.cells, len(inputs.counts)))
    for member, count in enumerate(inputs.counts):
        for rows in slices(count, columns):
            start, shape = starts[member] + rows.start, (rows.stop - rows.start, columns)
            progress("tabulate", start, total)
            part = None if inputs.part is None else inputs.part[start : start + shape[0]]
            one, other = (rt.dealt_by(party, part, shape) for party in (0, 1))
            bits = one + other - 2 * one * other
            counted += holders(rt, member, bits[:, :others], check_cells(rt, member, bits[:, others:]))
    table = shown(rt, counted, inputs.smallest)
    compare(links.at("finish"), terms, "other terms")
    progress("done", total, total)
    return table


def agree(links: Links, *public: object) -> Array:
    """Check that all parties compute on the same terms; returns their (32,) uint8 digest.

    Cost: 1 round; 32 B from each party to each other.
    Reveals: the digest, to all parties.
    Raises: PeerError; IntegrityError.
    """
    terms = terms_digest(*public)
    compare(links.at("terms"), terms, "other terms")
    return terms


def learned(rt: Runtime, values: SecureArray, reveal: Reveal) -> SecureArray:
    """What is masked for a row's owner, from the products of differences to each other member.

    For COUNT these are the elementary symmetric polynomials of the masked products, the highest first: where c of the
    products are zero, so are the first c polynomials, and the next one is not.

    Args:
        rt: the runtime.
        values: (n, others), shared.
        reveal: FLAG, COUNT or MEMBERS.

    Returns:
        (n, 1) for FLAG, else (n, others), shared.
    """
    match reveal:
        case Reveal.FLAG:
            return np.prod(values, axis=1).reshape(-1, 1)
        case Reveal.COUNT:
            return np.fliplr(generating(rt, masked(rt, values), stays=0)[:, 1:])
        case _:
            return values


def masked(rt: Runtime, values: SecureArray) -> SecureArray:
    """Values times random elements: zero stays zero, and all else becomes uniformly random.

    A random element is itself zero, which would be taken for a match, once in 2^128 times.
    """
    return values * rt.random(values.shape)


def zeros(values: SecureArray) -> SecureArray:
    """Which shared elements are zero, as shared bits, by Fermat's little theorem.

    Cost: `blocks.ZERO_TEST` multiplications.
    Reveals: nothing.
    """
    return 1 - values ** (PRIME - 1)


def holders(rt: Runtime, member: int, held: SecureArray, cells: SecureArray) -> SecureArray:
    """How many people of each cell are held by 1, 2, 3 … members, of those that no earlier member holds.

    So a person that several members hold is counted once, in the cell that the first of them gave it.

    Args:
        rt: the runtime.
        member: whose rows they are.
        held: (n, members - 1), shared bits: which of the others, in their order, hold a row's key.
        cells: (n, cells), shared bits, one of each row set.

    Returns:
        (cells, members), shared.

    Cost: some multiplications a row, as many as `generating` takes, and one for each number.
    Reveals: nothing.
    """
    number = generating(rt, held, stays=1)
    if member:
        number *= np.prod(1 - held[:, :member], axis=1).reshape(-1, 1)
    return np.transpose(cells) @ number


def shown(rt: Runtime, counted: SecureArray, smallest: int) -> Array:
    """This party's shares of the numbers that may be shown, and of zero for those below the smallest.

    Args:
        rt: the runtime.
        counted: (cells, members), shared.
        smallest: number that may be shown.

    Returns:
        (cells, members, 17) uint8.

    Cost: a comparison, and one multiplication, for each number.
    Reveals: nothing but what a comparison lets be seen, which is within 2^-72 of independent of the numbers.
    """
    pieces = []
    for cells in slices(counted.shape[0], counted.shape[1] * COUNT_BITS):
        numbers = counted[cells]
        pieces.append(shamir.encode(rt.share(numbers * (1 - rt.less(numbers, smallest)))))
    return np.concatenate(pieces)
