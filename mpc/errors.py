"""What the computation raises; every error says who must act.

Messages carry party numbers, step labels and lengths, never record values, keys, tags or share bytes.
"""

from __future__ import annotations


class MpcError(Exception):
    """Base of everything that `mpc` raises on purpose."""


class PeerError(MpcError):
    """A peer was silent, went away, or sent what the protocol does not allow.

    Attributes:
        peer: number of the party at fault (0, 1 or 2).
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
    """A member dealt different shares to the parties that hold the same component, or one of these says so.

    Attributes:
        member: index of the member among the session's members.
        peer: number of the party that holds other shares of it than whoever raises this.
    """

    def __init__(self, member: int, peer: int) -> None:
        self.member, self.peer = member, int(peer)
        super().__init__(f"member {member} dealt inconsistent shares, or party {self.peer} says so")


class ShareError(MpcError):
    """Shares of incompatible shape, type or party were combined: our own bug."""


class PrssReuseError(MpcError):
    """A labelled stream of shared randomness was asked for twice: our own bug, fatal to secrecy."""
