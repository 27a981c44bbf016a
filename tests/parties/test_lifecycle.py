import itertools

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from parties.errors import SessionRefused
from parties.lifecycle import MEANING, OVER, TABLE, Event, State, after
from tests.parties.samples import examples

IMPOSSIBLE = sorted(set(itertools.product(State, Event)) - set(TABLE), key=str)


class Life(RuleBasedStateMachine):
    """A session to which anything happens at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State.PROPOSED
        self.past: list[Event] = []
        self.states = [State.PROPOSED]

    @rule(event=st.sampled_from(Event))
    def happens(self, event: Event) -> None:
        before = self.state
        try:
            self.state = after(before, event)
        except SessionRefused:
            assert (before, event) not in TABLE
            return
        self.past.append(event)
        self.states.append(self.state)
        if before is State.CLOSED:
            assert (event, self.state) == (Event.CLOSE, State.CLOSED)
        if before in (*OVER, State.DONE):
            assert self.state is State.CLOSED
        if before is State.RUNNING:
            assert event in (Event.BEGIN, Event.COMPUTE, Event.RELEASE, Event.ABORT)
        if before is State.COMPUTED:
            assert event in (Event.BEGIN, Event.RELEASE, Event.ABORT, Event.CLOSE)

    @invariant()
    def nothing_is_computed_before_everyone_agreed(self) -> None:
        if State.RUNNING in self.states:
            assert self.past[0] is Event.ALL_APPROVED

    @invariant()
    def results_come_from_a_run_only(self) -> None:
        for state, sources in (
            (State.COMPUTED, {State.RUNNING}),
            (State.DONE, {State.RUNNING, State.COMPUTED}),
        ):
            for k in (k for k, s in enumerate(self.states) if s is state):
                assert self.states[k - 1] in sources

    @invariant()
    def what_is_released_or_over_is_never_computed_again(self) -> None:
        for last in (*OVER, State.DONE):
            if last in self.states:
                later = self.states[self.states.index(last) + 1 :]
                assert set(later) <= {State.CLOSED}


TestLife = Life.TestCase
TestLife.settings = examples(200)


def test_every_state_can_be_reached_from_proposed() -> None:
    reached = {State.PROPOSED}
    while more := {end for (start, _), end in TABLE.items() if start in reached} - reached:
        reached |= more
    assert reached == set(State)


def test_every_event_can_happen() -> None:
    assert {event for _, event in TABLE} == set(Event)


def test_closed_is_the_end() -> None:
    assert {(e, end) for (start, e), end in TABLE.items() if start is State.CLOSED} == {(Event.CLOSE, State.CLOSED)}


def test_only_a_running_session_cannot_be_closed() -> None:
    assert {state for state in State if (state, Event.CLOSE) not in TABLE} == {State.RUNNING}
    with pytest.raises(SessionRefused, match="is being computed"):
        after(State.RUNNING, Event.CLOSE)


def test_a_running_session_cannot_be_refused_and_does_not_expire() -> None:
    for event in (Event.REFUSE, Event.EXPIRE, Event.ALL_CONTRIBUTED):
        with pytest.raises(SessionRefused):
            after(State.RUNNING, event)


@pytest.mark.parametrize(("state", "event"), TABLE, ids=lambda v: v.name)
def test_the_table_is_followed(state: State, event: Event) -> None:
    assert after(state, event) is TABLE[state, event]


@pytest.mark.parametrize(("state", "event"), IMPOSSIBLE, ids=lambda v: v.name)
def test_all_else_is_refused_in_plain_words(state: State, event: Event) -> None:
    with pytest.raises(SessionRefused) as refused:
        after(state, event)
    assert str(refused.value) == f"The session {MEANING[state]}, so '{event.value}' is not possible now."


def test_every_state_means_something_of_its_own() -> None:
    assert set(MEANING) == set(State)
    assert len(set(MEANING.values())) == len(State)
