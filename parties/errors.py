"""What goes wrong, and who must act: one table from error to gRPC status to exit code."""

from __future__ import annotations

from mpc.errors import DealingError, IntegrityError, MpcError, PeerError


class ServiceError(Exception):
    """Base of every error whose text is one plain sentence for people; it never carries record values or secrets."""


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
    "DEADLINE_EXCEEDED": PeerUnavailable,
    "RESOURCE_EXHAUSTED": PeerUnavailable,
    "ABORTED": SessionAborted,
    "CANCELLED": SessionAborted,
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
            return (
                f"{_name(members, error.member, 'member')} gave the committee nodes shares that do not fit together; "
                "propose another session."
            )
        case PeerError():
            return _peer_sentence(error, _name(names, error.peer, "party"))
        case IntegrityError():
            return (
                f"At step {error.step} the committee nodes hold contradicting values ({error.detail}); the result is "
                "discarded. The operators of all three nodes must compare versions and logs before another run."
            )
        case ServiceError():
            return str(error)
        case MpcError():
            return f"The computation stopped: {error}."
        case _:
            return f"An unexpected error ({type(error).__name__}) stopped this step; see the log and report it."


def _name(names: tuple[str, ...], index: int, kind: str) -> str:
    return names[index] if index < len(names) else f"{kind} {index}"


def _peer_sentence(error: PeerError, name: str) -> str:
    what = {
        "timeout": "did not answer in time; its operator should check that it runs and can be reached",
        "disconnected": "went away; its operator should check that it runs and can be reached",
        "malformed": "sent a message that is damaged or not its own; compare versions with its operator",
        "violation": "broke the protocol; compare versions with its operator",
    }[error.reason]
    return f"{name} {what} (step {error.step}{': ' + error.detail if error.detail else ''})."
