"""Verified tags: before any is opened, all are decrypted in another secret order and compared with their rows.

Ideal functionality: if every shared tag is the encryption of its shared row, nothing; if not, all three parties learn
that, and nothing else.

A party that deviates can add errors that it knows to products, and sees what they do in the tags that are opened. So
rows and tags are first shuffled together, and the tags are decrypted under the same shared schedule. Their difference
D from the rows must be zero, and is not shown otherwise, since that of a tag with an error gives key bits away: what is
opened is w = R·D with a secret random matrix R over GF(2): zero if D is, and uniformly random if not, whatever D.

Encrypting twice would not do: whoever adds one error to all rows, both times, is not noticed. Of the 1023 errors that
there are inside an S-box none leaves it a permutation (34 of its 256 values at least are lost), so that the bytes of
tags are not uniform, and show the last round key. Nor can such an S-box be undone: decryption notices it with the first
row that had a lost value. What follows from all this, and what does not: docs/protocol.md, "Verified tags".

Source: comparing two computations in a secret order before opening is in the spirit of Furukawa et al., EUROCRYPT
2017; opening a randomised sum instead of differences as in Chida et al., CRYPTO 2018.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from mpc import aes
from mpc.aes import Schedule
from mpc.bitslice import on_planes
from mpc.errors import IntegrityError
from mpc.lanes import Lanes
from mpc.multiply import reshare
from mpc.replicated import Array, Share, concatenate
from mpc.reveal import reveal
from mpc.session import Session
from mpc.shuffle import shuffle

ZERO_BITS = 40
"""Of w: a difference passes for zero once in 2^40."""
BLOCK_WORDS = 1 << 13
"""Of D, that stay in the processor's cache while all bits of w are added up."""


def verify(session: Session, schedule: Schedule, rows: Share, tags: Share, lanes: Lanes) -> None:
    """Go on only when every tag is the encryption of its row.

    Args:
        session: at a step of its own.
        schedule: from `aes.key_schedule`; whoever erred in it has changed encryption and decryption alike.
        rows: Share of (n, 2) uint64, in an order that nobody knows.
        tags: Share of (n, 2) uint64, of which nothing has been opened.
        lanes: how rows are cut.

    Cost: 44 rounds for one chunk; 1208 B in all for each row, 336 B in all besides.
    Reveals: to the parties, whether all tags are right.
    Raises: PeerError; IntegrityError if one is not.
    Source: see above.
    """
    joint, _ = shuffle(session.at("shuffle"), concatenate([rows, tags], axis=1))

    def back(here: Session, chunk: slice) -> Share:
        return joint[chunk, :2] ^ on_planes(joint[chunk, 2:], partial(aes.decrypt, here, schedule))

    require_zero(session.at("zero"), concatenate(lanes.map(session, rows.shape[0], "verify", back)))


def require_zero(session: Session, difference: Share) -> None:
    """Go on only when a shared array is zero.

    Whoever adds an error to its part of w must guess w. Each party opens its part once it has all that the others
    send for D and w.

    Args:
        session: at a step of its own.
        difference: D, Share of (n, k) uint64.

    Cost: 2 rounds; 336 B in all.
    Reveals: to the parties, whether it is zero.
    Raises: PeerError; IntegrityError if it is not, but for once in 2^ZERO_BITS.
    Source: multiplication as in `mpc.multiply`, here an inner product for each bit of w.
    """
    w = reshare(session, _products(session, difference))
    if reveal(session.at("reveal"), w).any():
        raise IntegrityError(session.step, "tags not of these rows: one of the three does not follow the protocol")


def _products(session: Session, difference: Share) -> Array:
    """(ZERO_BITS,) uint8, each 0 or 1: this party's part of w, without its zero sharing.

    Row k of R is one random stream from its word k on. w is uniform all the same: in row k, the last word of D that is
    not zero meets a word of the stream that nothing met in the rows before.
    """
    a, both = difference.a.reshape(-1), (difference.a ^ difference.b).reshape(-1)
    stream = session.prss.random(session.step, (a.size + ZERO_BITS - 1,))
    sums = np.zeros(ZERO_BITS, np.uint64)
    for start in range(0, a.size, BLOCK_WORDS):
        end = min(start + BLOCK_WORDS, a.size)
        for k in range(ZERO_BITS):
            r = stream[start + k : end + k]
            sums[k] ^= np.bitwise_xor.reduce(r.a & both[start:end] ^ r.b & a[start:end])
    ones: Array = np.bitwise_count(sums) & np.uint8(1)
    return ones
