"""A session's life: states, events and the one table of transitions. Pure."""

from __future__ import annotations

from enum import Enum

from parties.errors import SessionRefused


class State(Enum):
    """Where a session is; the value is what people read and what is stored."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    ABORTED = "aborted"
    REFUSED = "refused"
    EXPIRED = "expired"
    CLOSED = "closed"


class Event(Enum):
    """What can happen to a session."""

    ALL_APPROVED = "every member and committee node signed"
    ALL_CONTRIBUTED = "every member contributed"
    RUN = "run"
    RETRY = "run again with fresh randomness"
    FINISH = "all committee nodes are done"
    ABORT = "the run failed"
    REFUSE = "refuse"
    EXPIRE = "expire"
    CLOSE = "close"


TABLE: dict[tuple[State, Event], State] = {
    (State.PROPOSED, Event.ALL_APPROVED): State.APPROVED,
    (State.APPROVED, Event.ALL_CONTRIBUTED): State.READY,
    (State.READY, Event.RUN): State.RUNNING,
    (State.ABORTED, Event.RUN): State.RUNNING,
    (State.RUNNING, Event.RETRY): State.RUNNING,
    (State.RUNNING, Event.FINISH): State.DONE,
    (State.RUNNING, Event.ABORT): State.ABORTED,
    (State.PROPOSED, Event.REFUSE): State.REFUSED,
    (State.APPROVED, Event.REFUSE): State.REFUSED,
    (State.READY, Event.REFUSE): State.REFUSED,
    (State.PROPOSED, Event.EXPIRE): State.EXPIRED,
    (State.APPROVED, Event.EXPIRE): State.EXPIRED,
    (State.READY, Event.EXPIRE): State.EXPIRED,
    (State.ABORTED, Event.EXPIRE): State.EXPIRED,
    **{(state, Event.CLOSE): State.CLOSED for state in State if state is not State.RUNNING},
}

MEANING = {
    State.PROPOSED: "waits for approvals",
    State.APPROVED: "waits for contributions",
    State.READY: "waits to be run",
    State.RUNNING: "is being computed",
    State.DONE: "has results to fetch",
    State.ABORTED: "was stopped by a failure and can be run again",
    State.REFUSED: "was refused",
    State.EXPIRED: "has expired",
    State.CLOSED: "is closed; shares and results are deleted",
}
"""What each state means to people."""


def after(state: State, event: Event) -> State:
    """The state that follows.

    Raises:
        SessionRefused: the event cannot happen in this state.
    """
    try:
        return TABLE[state, event]
    except KeyError:
        raise SessionRefused(f"The session {MEANING[state]}, so '{event.value}' is not possible now.") from None
