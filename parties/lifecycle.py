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
    COMPUTED = "computed"
    DONE = "done"
    ABORTED = "aborted"
    REFUSED = "refused"
    EXPIRED = "expired"
    CLOSED = "closed"


class Event(Enum):
    """What can happen to a session."""

    ALL_APPROVED = "every member and committee node signed"
    ALL_CONTRIBUTED = "every member contributed"
    BEGIN = "an attempt begins, with fresh randomness"
    COMPUTE = "this node has computed"
    RELEASE = "all committee nodes have computed"
    ABORT = "the run failed"
    REFUSE = "refuse"
    EXPIRE = "expire"
    CLOSE = "close"


OVER = (State.REFUSED, State.EXPIRED, State.CLOSED)
"""Nothing comes after these but CLOSED."""
_WAITING = (State.PROPOSED, State.APPROVED, State.READY)
TABLE: dict[tuple[State, Event], State] = {
    (State.PROPOSED, Event.ALL_APPROVED): State.APPROVED,
    (State.APPROVED, Event.ALL_CONTRIBUTED): State.READY,
    # A node that has computed may be asked to once more, as long as not all have: nothing has been released.
    **{
        (state, Event.BEGIN): State.RUNNING
        for state in (State.APPROVED, State.READY, State.RUNNING, State.COMPUTED, State.ABORTED)
    },
    (State.RUNNING, Event.COMPUTE): State.COMPUTED,
    (State.RUNNING, Event.RELEASE): State.DONE,  # at the coordinator, which does not compute
    (State.COMPUTED, Event.RELEASE): State.DONE,
    **{(state, Event.ABORT): State.ABORTED for state in (State.APPROVED, State.RUNNING, State.COMPUTED, State.ABORTED)},
    **{(state, Event.REFUSE): State.REFUSED for state in _WAITING},
    **{(state, Event.EXPIRE): State.EXPIRED for state in (*_WAITING, State.ABORTED)},
    **{(state, Event.CLOSE): State.CLOSED for state in State if state is not State.RUNNING},
}
"""Nothing leads out of DONE but its end: what has been released is never computed again."""

MEANING = {
    State.PROPOSED: "waits for approvals",
    State.APPROVED: "waits for contributions",
    State.READY: "waits to be run",
    State.RUNNING: "is being computed",
    State.COMPUTED: "has been computed here; its results are released when all committee nodes say so",
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
