"""What goes wrong, and who must act: one table from error to gRPC status to exit code."""

from __future__ import annotations

from mpc.errors import DealingError, IntegrityError, MpcError, PeerError

LONGEST = 4000
"""Characters of an error's text: gRPC carries no longer one."""


def line(text: str, longest: int) -> str:
    """A text as one printable line, cut to so many characters: others may have written it, or parts of it."""
    return "".join(c if c.isprintable() else " " for c in text[:longest])


class ServiceError(Exception):
    """Base of every error whose text is one plain sentence for people; it never carries record values or secrets."""

    def __init__(self, text: str = "") -> None:
        super().__init__(line(text, LONGEST))


class ConfigError(ServiceError):
    """A configuration, federation or manifest file cannot be used: its author must act."""


class InputError(ServiceError):
    """A list or an argument cannot be read: the user must act."""


class SessionRefused(ServiceError):
    """Terms, limits or state do not allow it: the session's parties must act."""


class SessionAborted(ServiceError):
    """A peer failed or misbehaved and the session cannot go on."""


class PeerIdentityError(ServiceError):
    """A peer is not who it must be: the operators must compare certificates."""


class PeerUnavailable(ServiceError):
    """A peer cannot be reached or did not answer in time: its operator must act."""


class TooManyCalls(PeerUnavailable):
    """A peer answers no more calls of ours at present: whoever makes them must wait."""


class StorageError(ServiceError):
    """A node cannot keep what it is given: its operator must act."""


class ResultError(ServiceError):
    """Two parties' statements contradict each other: nobody may use the result."""


class AuditError(ServiceError):
    """A log is not what its node wrote and signed: whoever answers for the session must ask that node's operator."""


TABLE: dict[type[Exception], tuple[str, int]] = {
    ConfigError: ("INVALID_ARGUMENT", 2),
    InputError: ("INVALID_ARGUMENT", 2),
    SessionRefused: ("FAILED_PRECONDITION", 3),
    PeerIdentityError: ("UNAUTHENTICATED", 4),
    TooManyCalls: ("RESOURCE_EXHAUSTED", 4),
    PeerUnavailable: ("UNAVAILABLE", 4),
    StorageError: ("UNAVAILABLE", 4),
    SessionAborted: ("ABORTED", 4),
    DealingError: ("ABORTED", 4),
    PeerError: ("ABORTED", 4),
    IntegrityError: ("DATA_LOSS", 5),
    ResultError: ("DATA_LOSS", 5),
    AuditError: ("DATA_LOSS", 5),
}
"""Error → (name of the gRPC status, exit code of the command line); the first entry that fits counts."""

FROM_STATUS: dict[str, type[ServiceError]] = {
    "INVALID_ARGUMENT": InputError,
    "FAILED_PRECONDITION": SessionRefused,
    "UNAUTHENTICATED": PeerIdentityError,
    "UNAVAILABLE": PeerUnavailable,
    "RESOURCE_EXHAUSTED": TooManyCalls,
    "ABORTED": SessionAborted,
    "DATA_LOSS": ResultError,
}
"""The way back, at the calling side."""


def status(error: Exception) -> str:
    """The gRPC status by which an error is told to a peer; `INTERNAL` for our own bugs."""
    return next((name for kind, (name, _) in TABLE.items() if isinstance(error, kind)), "INTERNAL")


def exit_code(error: Exception) -> int:
    """The command line's exit code: 2 input, 3 refused, 4 peer, 5 integrity; 1 for our own bugs."""
    return next((code for kind, (_, code) in TABLE.items() if isinstance(error, kind)), 1)


def sentence(error: Exception, names: tuple[str, ...] = (), members: tuple[str, ...] = ()) -> str:
    """One sentence for people.

    Args:
        error: what went wrong.
        names: the committee's names, by party number.
        members: the members' names, by index.
    """
    match error:
        case DealingError():
            return _dealing_sentence(error, names, members)
        case PeerError():
            return _peer_sentence(error, _name(names, error.peer, "party"))
        case IntegrityError():
            differing = [_name(names, peer, "party") for peer in error.peers]
            who = " and ".join(differing + ["this node"] * (len(differing) == 1)) or "the committee nodes"
            return (
                f"At step {error.step} {who} hold contradicting values ({error.detail}); the result is "
                "discarded. The operators of all committee nodes must compare versions and logs before another run."
            )
        case ServiceError():
            return str(error)
        case MpcError():
            return f"The computation stopped: {error}."
        case _:
            return f"An unexpected error ({type(error).__name__}) stopped this step; see the log and report it."


def _name(names: tuple[str, ...], index: int, kind: str) -> str:
    return names[index] if index < len(names) else f"{kind} {index}"


def _dealing_sentence(error: DealingError, names: tuple[str, ...], members: tuple[str, ...]) -> str:
    member = _name(members, error.member, "member")
    if error.peer is None:
        return (
            f"{member} gave the committee shares that do not fit together, or a committee node is wrong about its own; "
            "their operators must compare logs, then propose another session."
        )
    peer = _name(names, error.peer, "party")
    return (
        f"{member} gave {peer} other shares than this node, or {peer} is wrong about them; compare logs with its "
        "operator, then propose another session."
    )


def _peer_sentence(error: PeerError, name: str) -> str:
    what = {
        "timeout": "did not answer in time; its operator should check that it runs and can be reached",
        "slow": "was still waited for when the attempt's time was up; its operator should check its machine and line",
        "disconnected": "went away; its operator should check that it runs and can be reached",
        "malformed": "sent a message that is damaged or not its own; compare versions with its operator",
        "violation": "broke the protocol; compare versions with its operator",
    }[error.reason]
    return f"{name} {what} (step {error.step}{': ' + error.detail if error.detail else ''})."
