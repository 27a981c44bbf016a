"""The committee: three parties on a ring, P0 → P1 → P2 → P0; all indices are modulo 3."""

from __future__ import annotations

from enum import IntEnum


class PartyId(IntEnum):
    """A computing party. Component i of a sharing, and PRSS key i, are held by P_i and P_{i-1}."""

    P0 = 0
    P1 = 1
    P2 = 2

    @property
    def next(self) -> PartyId:
        """P_{i+1}, which holds component i+1 too."""
        return PartyId((self + 1) % 3)

    @property
    def previous(self) -> PartyId:
        """P_{i-1}, which holds component i too."""
        return PartyId((self + 2) % 3)


PARTIES = tuple(PartyId)
