"""What the computation raises; every error says who must act.

Messages carry party numbers, step labels and lengths, never record values, keys, tags or share bytes.
"""

from __future__ import annotations


class MpcError(Exception):
    """Base of everything that `mpc` raises on purpose."""


class PeerError(MpcError):
    """A peer was silent, went away, or sent what the protocol does not allow.

    Attributes:
        peer: number of the party at fault, from 0.
        step: label of the step at which it was noticed.
        reason: `timeout`, `slow`, `disconnected`, `malformed` or `violation`.
    """

    def __init__(self, peer: int, step: str, reason: str, detail: str = "") -> None:
        self.peer, self.step, self.reason, self.detail = int(peer), step, reason, detail
        super().__init__(f"party {self.peer}: {reason} at step {step}" + (f" ({detail})" if detail else ""))


class IntegrityError(MpcError):
    """What two parties hold of the same value differs: nobody's result can be trusted.

    Attributes:
        step: label of the step at which it was noticed.
        peers: numbers of the parties that differ: one that differs from whoever raises this, or two others.
    """

    def __init__(self, step: str, detail: str = "", peers: tuple[int, ...] = ()) -> None:
        self.step, self.detail, self.peers = step, detail, tuple(map(int, peers))
        who = f"{'party' if len(peers) == 1 else 'parties'} {' and '.join(map(str, self.peers))}: " if peers else ""
        super().__init__(f"integrity failure at step {step}" + (f": {who}{detail}" if detail else ""))


class DealingError(MpcError):
    """A member dealt shares to the parties that do not fit together, or one of these says so.

    Attributes:
        member: index of the member among the session's members.
        peer: number of the party that holds another copy of them than whoever raises this; None where it could be any.
    """

    def __init__(self, member: int, peer: int | None = None) -> None:
        self.member, self.peer = member, None if peer is None else int(peer)
        who = "a party" if peer is None else f"party {self.peer}"
        super().__init__(f"member {member} dealt inconsistent shares, or {who} says so")


class ShareError(MpcError):
    """Shares of incompatible shape, type or party were combined: our own bug."""


class PrssReuseError(MpcError):
    """A labelled stream of shared randomness was asked for twice: our own bug, fatal to secrecy."""
