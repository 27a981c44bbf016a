"""A runner starts attempts, follows them, tries again, and tells every node how they end."""

from dataclasses import replace
from pathlib import Path

import pytest

from parties.errors import InputError, SessionRefused
from parties.lifecycle import Event, State
from parties.runner import MAX_TRIES, POLL_S, RUN_TIMEOUT_S, TELL_S
from parties.statements import contributions
from parties.wire import Answer
from tests.parties.deciding import KEYS, Contribution, commitments, completions, logged
from tests.parties.running import AWAY, BY_NAME, ID, PATIENCE_S, TERMS, Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = Run(tmp_path)
    made.run()
    return made


@pytest.fixture
def begun(run: Run) -> Run:
    run.step()
    run.nodes.asked.clear()
    return run


# Beginning


def test_nodes_are_asked_and_then_begin_in_the_order_of_their_names(run: Run) -> None:
    assert run.step() == 0.0
    assert run.nodes.asked == [*[("check", name, 0) for name in BY_NAME], *[("start", name, 1) for name in BY_NAME]]
    assert run.hub.store.get(ID).contributions == contributions(commitments(run.made))
    assert all(given == commitments(run.made) for given in run.nodes.given.values())
    assert run.runner.progress[ID] == ("waiting for the committee", 0, 0)


@pytest.mark.parametrize("begun", BY_NAME)
def test_a_node_that_has_begun_is_not_asked_again(run: Run, begun: str) -> None:
    run.nodes.answers[begun] = Answer(State.RUNNING, attempt=1)
    run.step()
    assert run.nodes.told("start") == [(name, 1) for name in BY_NAME if name != begun]


@pytest.mark.parametrize("name", BY_NAME)
def test_nobody_begins_while_one_is_away(run: Run, name: str) -> None:
    run.nodes.away = {name}
    run.step(3)
    assert run.nodes.asked == []
    assert run.hub.store.get(ID).contributions is None
    run.nodes.away = set()
    run.step()
    assert len(run.nodes.told("start")) == 3


def test_there_is_nothing_to_do_for_other_sessions(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.step() is None
    assert run.nodes.asked == []


@pytest.mark.parametrize("event", [Event.REFUSE, Event.EXPIRE, Event.CLOSE])
def test_nodes_delete_what_they_have_of_a_session_that_is_over(tmp_path: Path, event: Event) -> None:
    run = Run(tmp_path)
    run.hub.store.change(ID, event)
    run.nodes.away = {"neutral"}
    assert run.step() is not None
    run.nodes.away = set()
    assert run.step() is None
    assert run.nodes.told("delete") == [("neutral", 0), ("agency-b", 0), ("agency-a", 0), ("neutral", 0)]


def test_a_node_that_went_away_before_it_began(run: Run) -> None:
    run.nodes.refusals["start", "agency-b"] = AWAY
    assert run.step() == 0.0
    assert (run.state, run.attempt) == (State.RUNNING, 2)
    assert run.nodes.told("start") == [("agency-a", 1), ("agency-b", 1)]
    run.nodes.refusals.clear()
    run.step()
    assert run.nodes.told("start")[2:] == [(name, 2) for name in BY_NAME]


def test_a_node_that_refuses_to_begin(run: Run) -> None:
    run.nodes.refusals["start", "agency-b"] = SessionRefused("agency-c did not finish contributing.")
    run.step()
    assert (run.state, run.reason) == (State.ABORTED, "agency-b: agency-c did not finish contributing.")
    assert ("start", "neutral", 1) not in run.nodes.asked


@pytest.mark.parametrize("name", BY_NAME)
def test_nothing_is_fixed_when_a_node_could_not_begin(run: Run, name: str) -> None:
    """Members can contribute again, and the session can be run again."""
    run.nodes.refusals["check", name] = SessionRefused("agency-c did not finish contributing.")
    run.step()
    assert (run.state, run.reason) == (State.ABORTED, f"{name}: agency-c did not finish contributing.")
    assert run.nodes.told("start") == []
    run.nodes.refusals.clear()
    second = Contribution(TERMS, "agency-c", seed=1)
    run.hub.report(second)
    run.run()
    run.restart()
    run.step()
    assert run.nodes.told("start") == [(name, 2) for name in BY_NAME]
    assert all(given == commitments([*run.made[:2], second]) for given in run.nodes.given.values())


def test_what_is_fixed_is_not_asked_for_again(begun: Run) -> None:
    for name in BY_NAME:
        begun.nodes.fail(name)
    begun.step(2)
    assert begun.nodes.told("start") == [(name, 2) for name in BY_NAME]
    assert begun.nodes.told("check") == []


def test_a_node_that_goes_away_while_it_is_asked(run: Run) -> None:
    run.nodes.refusals["check", "neutral"] = AWAY
    run.step()
    assert (run.state, run.attempt, run.nodes.told("start")) == (State.RUNNING, 2, [])
    run.nodes.refusals.clear()
    run.step()
    assert run.nodes.told("start") == [(name, 2) for name in BY_NAME]


# Following


def test_how_far_the_slowest_is(begun: Run) -> None:
    for name, done in zip(BY_NAME, (30, 10, 20), strict=True):
        begun.nodes.answers[name] = Answer(State.RUNNING, attempt=1, progress=("tag", done, 90))
    begun.step()
    assert begun.runner.progress[ID] == ("tag", 10, 90)
    begun.nodes.answers["neutral"] = Answer(State.RUNNING, attempt=1, progress=("load", 0, 0))
    begun.step()
    assert begun.runner.progress[ID] == ("tag", 10, 90)


def test_questions_become_rarer(begun: Run) -> None:
    pauses = [begun.step() or 0.0 for _ in range(20)]
    assert pauses == sorted(pauses)
    assert POLL_S[0] < pauses[0] < pauses[1]
    assert pauses[-1] == POLL_S[1]
    assert begun.nodes.asked == []


def test_results_are_released_and_everyone_is_told(begun: Run) -> None:
    begun.nodes.compute(begun.made, "agency-a", "neutral")
    begun.step()
    assert begun.state is State.RUNNING
    begun.nodes.compute(begun.made)
    assert begun.step() == 0.0
    assert begun.state is State.DONE
    assert begun.step() is None
    assert begun.nodes.told("release") == [(name, 1) for name in TERMS.committee]
    assert begun.nodes.told("heads") == [(name, 0) for name in TERMS.committee]
    assert all(given == completions(TERMS, begun.made) for given in begun.nodes.given.values())
    assert ID not in begun.runner.progress
    begun.nodes.asked.clear()
    assert begun.step() is None
    assert begun.nodes.asked == []


@pytest.mark.parametrize("liar", BY_NAME)
def test_a_completion_that_its_node_did_not_sign_ends_the_attempt(begun: Run, liar: str) -> None:
    """It will not be true later; it is told by the name of who has handed it out."""
    begun.nodes.compute(begun.made)
    said = completions(TERMS, begun.made, names=["neutral"])[0]
    false = replace(said, signature=b"").signed(KEYS["agency-a"])
    begun.nodes.answers[liar] = Answer(State.COMPUTED, attempt=1, completion=false)
    begun.step()
    says = f"{liar}: A completion in the name of neutral is not signed by its pinned key."
    assert (begun.state, begun.attempt, begun.reason) == (State.ABORTED, 1, says)
    assert begun.nodes.told("release") == []
    begun.step()
    assert begun.nodes.told("abort") == [(name, 1) for name in TERMS.committee]


# Failing


def test_another_attempt_after_a_failure_that_may_pass(begun: Run) -> None:
    begun.nodes.fail("agency-a")
    assert begun.step() != 0.0
    assert begun.attempt == 1  # the others may still be at it
    begun.nodes.fail("neutral")
    begun.step()
    assert begun.attempt == 1
    begun.nodes.fail("agency-b")
    assert begun.step() == 0.0
    assert (begun.state, begun.attempt) == (State.RUNNING, 2)
    begun.step()
    assert begun.nodes.told("start") == [(name, 2) for name in BY_NAME]
    begun.nodes.compute(begun.made)
    begun.step(2)
    assert begun.state is State.DONE
    assert begun.nodes.told("release")[0] == ("neutral", 2)


def test_a_node_that_has_computed_begins_again_with_the_others(begun: Run) -> None:
    begun.nodes.compute(begun.made, "agency-a")
    begun.nodes.fail("agency-b")
    begun.nodes.fail("neutral")
    begun.step(2)
    assert begun.nodes.told("start") == [(name, 2) for name in BY_NAME]


def test_a_failure_that_will_not_pass_is_told_with_its_reason(begun: Run) -> None:
    begun.nodes.fail("agency-b", "agency-a went away.")
    begun.nodes.fail("neutral", "agency-c gave the committee nodes shares that do not fit together.", retriable=False)
    begun.nodes.fail("agency-a", "agency-b went away.")
    assert begun.step() == 0.0
    reason = "neutral: agency-c gave the committee nodes shares that do not fit together."
    assert (begun.state, begun.reason) == (State.ABORTED, reason)
    assert begun.step() is None
    assert begun.nodes.told("abort") == [(name, 1) for name in TERMS.committee]
    assert set(begun.nodes.given.values()) == {reason}


@pytest.mark.parametrize("silent", ["agency-a", "neutral"])
def test_of_nodes_that_blame_each_other_the_one_is_right_that_blames_who_is_silent(begun: Run, silent: str) -> None:
    others = {name: next(o for o in BY_NAME if o not in (name, silent)) for name in BY_NAME if name != silent}
    for k, (name, other) in enumerate(others.items()):
        begun.nodes.fail(name, f"{silent if k else other} went away.", retriable=False)
    begun.nodes.away = {silent}
    begun.step()
    assert begun.state is State.ABORTED
    assert begun.reason == f"{[*others][1]}: {silent} went away."


def test_a_reason_names_the_node_that_gives_it_once(run: Run) -> None:
    run.nodes.refusals["start", "agency-b"] = SessionRefused("agency-b is being stopped; try again when it is back.")
    run.step()
    assert run.reason == "agency-b is being stopped; try again when it is back."


def test_it_is_not_tried_for_ever(run: Run) -> None:
    for attempt in range(1, MAX_TRIES + 1):
        assert (run.state, run.attempt) == (State.RUNNING, attempt)
        run.step()
        for name in BY_NAME:
            run.nodes.fail(name)
        run.step()
    assert (run.state, run.attempt) == (State.ABORTED, MAX_TRIES)
    assert run.reason == "neutral: agency-b did not answer in time."
    assert logged(run.hub.store, ID).count("attempt") == MAX_TRIES


def test_the_coordinators_operator_may_try_again(run: Run) -> None:
    for _ in range(MAX_TRIES):
        run.step()
        for name in BY_NAME:
            run.nodes.fail(name)
        run.step()
    run.step()
    run.run()
    run.restart()
    run.step()
    assert run.nodes.told("start")[-3:] == [(name, MAX_TRIES + 1) for name in BY_NAME]
    run.nodes.compute(run.made)
    run.step()
    assert run.state is State.DONE


# Silence


@pytest.mark.parametrize("name", BY_NAME)
def test_a_silent_node_is_waited_for(begun: Run, name: str) -> None:
    begun.nodes.away = {name}
    begun.now += PATIENCE_S
    begun.step()
    assert (begun.state, begun.attempt) == (State.RUNNING, 1)
    begun.nodes.away = set()
    begun.step()
    begun.nodes.away = {name}
    begun.now += PATIENCE_S
    begun.step()
    assert begun.attempt == 1
    begun.now += 1
    assert begun.step() == 0.0
    assert (begun.state, begun.attempt) == (State.RUNNING, 2)


def test_patience_begins_anew_with_each_attempt_and_has_an_end(begun: Run) -> None:
    begun.nodes.away = {"neutral"}
    for attempt in range(1, MAX_TRIES + 1):
        begun.step()
        assert (begun.state, begun.attempt) == (State.RUNNING, attempt)
        begun.now += PATIENCE_S + 1
        begun.step()
    assert (begun.state, begun.reason) == (State.ABORTED, str(AWAY))


def test_a_node_that_was_away_while_the_others_computed(begun: Run) -> None:
    begun.nodes.compute(begun.made)
    begun.nodes.away = {"neutral"}
    begun.step(3)
    assert begun.state is State.RUNNING
    begun.nodes.away = set()
    begun.step()
    assert begun.state is State.DONE


def test_a_node_that_does_not_answer_as_it_should_is_as_one_that_is_silent(begun: Run) -> None:
    begun.nodes.refusals["look", "neutral"] = InputError("`session_id` has 3 bytes where 32 are due.")
    begun.step()
    begun.now += PATIENCE_S + 1
    begun.step()
    assert begun.attempt == 2


def test_a_failure_beside_one_that_says_it_runs_for_ever(begun: Run) -> None:
    """Two have failed; the third neither fails nor goes on."""
    begun.nodes.fail("agency-a")
    begun.nodes.fail("agency-b")
    begun.step()
    begun.now += PATIENCE_S
    begun.step()
    assert (begun.state, begun.attempt) == (State.RUNNING, 1)
    begun.nodes.answers["neutral"] = Answer(State.RUNNING, attempt=1, progress=("tag", 5, 90))
    begun.step()  # it goes on
    begun.now += PATIENCE_S
    begun.step()
    assert begun.attempt == 1
    begun.now += 1
    begun.step()
    assert begun.attempt == 2
    for _ in range(MAX_TRIES - 1):
        begun.step()
        begun.nodes.fail("agency-a")
        begun.step()
        begun.now += PATIENCE_S + 1
        begun.step()
    assert begun.state is State.ABORTED
    assert begun.reason == "neutral, agency-b did not come to an end, nor said why."


def test_an_attempt_that_does_not_move_is_given_up(begun: Run) -> None:
    begun.nodes.answers["neutral"] = Answer(State.RUNNING, attempt=1, progress=("tag", 5, 90))
    begun.step()
    begun.now += RUN_TIMEOUT_S
    begun.step()
    assert begun.attempt == 1
    begun.nodes.answers["neutral"] = Answer(State.RUNNING, attempt=1, progress=("tag", 6, 90))
    begun.step()
    begun.now += RUN_TIMEOUT_S
    begun.step()
    assert begun.attempt == 1
    begun.now += 1
    begun.step()
    assert (begun.state, begun.attempt) == (State.RUNNING, 2)


# Telling


def test_a_node_that_cannot_be_told_is_told_later(begun: Run) -> None:
    begun.nodes.compute(begun.made)
    begun.step()
    begun.nodes.away = {"agency-b"}
    pauses = [begun.step() or 0.0 for _ in range(12)]
    assert pauses[:2] == [2 * TELL_S[0], 4 * TELL_S[0]]
    assert pauses == sorted(pauses)
    assert pauses[-1] == TELL_S[1]
    assert begun.told == {"agency-a", "neutral"}
    begun.nodes.away = set()
    begun.nodes.asked.clear()
    assert begun.step() is None
    assert begun.nodes.asked == [("release", "agency-b", 1), ("heads", "agency-b", 0)]


def test_a_node_counts_as_told_when_heads_are_exchanged(begun: Run) -> None:
    begun.nodes.compute(begun.made)
    begun.step()
    begun.nodes.refusals["heads", "neutral"] = AWAY
    begun.step()
    assert begun.told == {"agency-a", "agency-b"}
    begun.nodes.refusals.clear()
    assert begun.step() is None
    assert begun.nodes.told("release")[-1] == ("neutral", 1)


@pytest.mark.parametrize("what", ["release", "heads"])
def test_a_node_that_does_not_take_the_end_is_left_in_peace(begun: Run, what: str) -> None:
    begun.nodes.compute(begun.made)
    begun.step()
    begun.nodes.refusals[what, "neutral"] = SessionRefused("The session is closed.")
    assert begun.step() is None
    assert begun.told == set(BY_NAME)
