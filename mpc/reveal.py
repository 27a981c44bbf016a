"""Reveal: open a shared array to all three parties, with a cross-check.

Ideal functionality: everyone learns the value. P_i lacks component i-1: P_{i-1} sends it, and P_{i+1}, which holds it
too, sends its hash. Two different copies stop the session: no party can change what another one opens unnoticed.

Source: Araki et al., CCS 2016, section 2.1 (reconstruction); the cross-check with hashes as in Furukawa, Lindell, Nof,
Weinstein, "High-Throughput Secure Three-Party Computation for Malicious Adversaries", EUROCRYPT 2017.
"""

from __future__ import annotations

import hashlib

import numpy as np

from mpc.errors import IntegrityError
from mpc.replicated import Array, Share
from mpc.session import Session

DIGEST_BYTES = 32


def digest(array: Array) -> Array:
    """(32,) uint8: the BLAKE2b-256 of an array's bytes."""
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    return np.frombuffer(hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest(), np.uint8)


def reveal(session: Session, share: Share) -> Array:
    """Open a shared array to all.

    Args:
        session: at a step of its own.
        share: any shape.

    Returns:
        The array, public from here on.

    Cost: 1 round; 48 B in all for each row of 16 B, 96 B in all besides.
    Reveals: the array, to all three parties.
    Raises: PeerError; IntegrityError if two parties hold different copies of a component.
    Source: Furukawa et al., EUROCRYPT 2017.
    """
    party = session.party
    check = session.at("hash")
    session.send(party.next, share.a)
    check.send(party.previous, digest(share.b))
    missing = session.receive(party.previous, share.shape, share.a.dtype)
    if not np.array_equal(check.receive(party.next, (DIGEST_BYTES,), np.uint8), digest(missing)):
        raise IntegrityError(session.step, "different copies of one component", (party.previous, party.next))
    value: Array = share.a ^ share.b ^ missing
    return value
