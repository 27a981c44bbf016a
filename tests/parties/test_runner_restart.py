"""A coordinator that was away, or that somebody stood in for, goes on where the nodes are; one thread a session."""

import threading
from pathlib import Path

import pytest

from parties import runner as module
from parties.errors import StorageError, TooManyCalls
from parties.lifecycle import Event, State
from parties.runner import MAX_AHEAD, MAX_TRIES, POLL_S
from parties.wire import Answer
from tests.parties.deciding import completions
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


# A coordinator that was away


def test_what_had_not_begun_begins(run: Run) -> None:
    run.restart()
    run.step()
    assert run.nodes.told("start") == [(name, 1) for name in BY_NAME]


def test_what_had_begun_in_part_begins_at_the_others(run: Run) -> None:
    run.nodes.refusals["start", "agency-b"] = KeyboardInterrupt()  # type: ignore[assignment]  # it was killed there
    with pytest.raises(KeyboardInterrupt):
        run.step()
    run.nodes.refusals.clear()
    run.restart()
    run.step()
    assert run.nodes.told("start")[2:] == [("agency-b", 1), ("neutral", 1)]


@pytest.mark.parametrize("what", ["check", "start"])
@pytest.mark.parametrize("name", BY_NAME)
def test_a_node_where_too_many_wait_already_is_asked_again(run: Run, name: str, what: str) -> None:
    """The attempt does not fail, and what the other nodes have begun stays begun."""
    run.nodes.refusals = {(what, name): TooManyCalls(f"{name} answers at most 64 waiting sessions of hub at a time.")}
    assert [run.step() for _ in range(MAX_TRIES + 1)] == [POLL_S[1]] * (MAX_TRIES + 1)
    run.nodes.refusals = {}
    run.step()
    assert (run.state, run.attempt) == (State.RUNNING, 1)
    assert {node: run.nodes.answers[node].attempt for node in BY_NAME} == dict.fromkeys(BY_NAME, 1)


def test_what_runs_is_followed(begun: Run) -> None:
    begun.restart()
    assert begun.step() != 0.0
    assert begun.nodes.asked == []


def test_what_was_computed_meanwhile_is_released(begun: Run) -> None:
    begun.nodes.compute(begun.made)
    begun.restart()
    begun.step()
    assert begun.state is State.DONE
    begun.restart()
    assert begun.step() is None
    assert len(begun.nodes.told("release")) == 3


def test_what_failed_meanwhile_is_tried_again(begun: Run) -> None:
    for name in BY_NAME:
        begun.nodes.fail(name)
    begun.restart()
    begun.step(2)
    assert begun.nodes.told("start") == [(name, 2) for name in BY_NAME]


def test_words_of_one_node_are_kept_over_a_restart(begun: Run) -> None:
    begun.nodes.compute(begun.made, "agency-a")
    begun.step()
    begun.restart()
    begun.nodes.away = {"agency-a"}
    begun.nodes.compute(begun.made, "agency-b", "neutral")
    begun.step()
    assert begun.state is State.DONE


@pytest.mark.parametrize("end", [Event.RELEASE, Event.ABORT])
def test_only_those_are_told_that_do_not_know_the_end(begun: Run, end: Event) -> None:
    begun.nodes.away = {"neutral"}
    begun.hub.store.change(ID, end)
    begun.step()
    begun.nodes.away = set()
    begun.nodes.asked.clear()
    begun.restart()
    assert begun.step() is None
    what = "release" if end is Event.RELEASE else "abort"
    assert begun.nodes.asked == [(what, "neutral", 1), ("heads", "neutral", 0)]


# Nodes that are ahead


def ahead(run: Run, attempt: int, *names: str) -> None:
    """These nodes have begun an attempt that this coordinator does not know."""
    for name in names:
        run.nodes.answers[name] = Answer(State.RUNNING, attempt=attempt)


def test_what_all_nodes_have_computed_ahead_of_the_coordinator_is_released(run: Run) -> None:
    ahead(run, 4, *BY_NAME)
    run.nodes.compute(run.made)
    run.step()
    assert (run.state, run.attempt) == (State.DONE, 4)
    assert run.hub.store.completions(ID) == completions(TERMS, run.made, 4)
    assert run.nodes.told("start") == []


def test_one_node_that_says_so_is_not_believed(run: Run) -> None:
    ahead(run, 1_000_000, "agency-b")
    run.nodes.compute(run.made, "agency-b")
    run.step(MAX_TRIES)
    assert (run.state, run.attempt) == (State.ABORTED, MAX_TRIES)
    assert run.reason == "agency-b had begun a later attempt, which this coordinator does not know."


def test_what_nodes_have_computed_on_other_contributions_is_not_released(run: Run) -> None:
    ahead(run, 4, *BY_NAME)
    run.nodes.compute(run.made[:2])
    run.step()
    says = "neutral computed on other contributions than members have shown here."
    assert (run.state, run.reason) == (State.ABORTED, says)
    assert run.nodes.told("release") == []


def test_another_attempt_is_above_those_of_nodes_that_are_ahead(run: Run) -> None:
    ahead(run, 7, "agency-b")
    ahead(run, 3, "neutral")
    run.step()
    assert (run.state, run.attempt) == (State.RUNNING, 8)
    run.step()
    assert run.nodes.told("start") == [(name, 8) for name in BY_NAME]


def test_a_node_that_says_it_is_far_ahead_is_not_believed(run: Run) -> None:
    ahead(run, 2 + MAX_AHEAD, "agency-b")
    run.step()
    assert run.attempt == 2


def test_a_node_that_is_always_ahead_ends_the_session_soon(run: Run) -> None:
    for attempt in (10, 20, 30):
        ahead(run, attempt, "agency-b")
        run.step()
    assert run.state is State.ABORTED
    assert run.reason == "agency-b had begun a later attempt, which this coordinator does not know."


# Threads


def end_of_threads() -> None:
    """Wait for everything that is followed to come to its end."""
    for thread in threading.enumerate():
        if thread.name == "run":
            thread.join()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pauses."""
    monkeypatch.setattr(module, "TELL_S", (0.0, 0.0))
    monkeypatch.setattr(module, "POLL_S", (0.0, 0.0))


@pytest.mark.usefixtures("quick")
def test_a_session_is_followed_to_its_end_everywhere(run: Run) -> None:
    begin = run.nodes.start

    def begin_and_compute(name: str, *how: object) -> None:
        begin(name, *how)  # type: ignore[arg-type]
        run.nodes.compute(run.made, name)

    run.nodes.start = begin_and_compute  # type: ignore[assignment,method-assign]
    run.runner.drive(ID)
    end_of_threads()
    assert (run.state, run.told) == (State.DONE, set(BY_NAME))
    assert not run.runner.busy


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("end", [None, Event.RELEASE, Event.ABORT])
def test_a_coordinator_that_starts_takes_up_what_is_not_at_its_end(begun: Run, end: Event | None) -> None:
    begun.nodes.compute(begun.made)
    if end is not None:
        begun.hub.store.change(ID, end)
    begun.restart()
    begun.runner.drive_all()
    end_of_threads()
    assert begun.told == set(BY_NAME)
    begun.nodes.asked.clear()
    begun.runner.drive_all()
    end_of_threads()
    assert begun.nodes.asked == []


@pytest.mark.usefixtures("quick")
def test_a_session_is_followed_by_one_thread(begun: Run) -> None:
    """It looks once more when it is asked to meanwhile."""
    inside, goes_on = threading.Event(), threading.Event()

    def wait() -> None:
        inside.set()
        assert goes_on.wait(60)

    begun.nodes.when_told = wait
    begun.nodes.compute(begun.made)
    begun.runner.drive(ID)
    assert inside.wait(60)
    for _ in range(5):
        begun.runner.drive(ID)
        begun.runner.drive_all()
    assert [t.name for t in threading.enumerate()].count("run") == 1
    assert begun.runner.busy
    goes_on.set()
    end_of_threads()
    assert begun.nodes.told("release") == [(name, 1) for name in TERMS.committee]
    assert not begun.runner.busy


@pytest.mark.usefixtures("quick")
def test_patience_begins_anew_when_the_operator_runs_it_again(begun: Run) -> None:
    begun.nodes.away = {"neutral"}
    for _ in range(10):
        begun.now += PATIENCE_S + 1
        begun.step()
    assert (begun.state, begun.reason) == (State.ABORTED, str(AWAY))
    begun.run()
    tries = begun.attempt
    begun.nodes.away = set()
    begun.nodes.refusals["start", "agency-a"] = AWAY
    begun.runner.drive(ID)
    end_of_threads()
    assert begun.state is State.ABORTED
    assert begun.attempt - tries == module.MAX_TRIES - 1


@pytest.mark.usefixtures("quick")
def test_what_cannot_even_be_given_up_is_looked_at_again(begun: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full when the coordinator makes a mistake: its thread goes on."""
    abort, failures = begun.hub.registry.abort, [StorageError("The disk is full.")]

    def full_at_first(*what: str) -> None:
        if failures:
            raise failures.pop()
        abort(*what)  # type: ignore[arg-type]

    monkeypatch.setattr(begun.hub.registry, "abort", full_at_first)
    begun.nodes.refusals["look", "neutral"] = LookupError("a mistake")  # type: ignore[assignment]
    begun.runner.drive(ID)
    end_of_threads()
    assert begun.state is State.ABORTED
    assert (failures, begun.runner.busy) == ([], False)


@pytest.mark.usefixtures("quick")
def test_our_own_mistake_ends_an_attempt_and_tells_nothing_of_it(begun: Run) -> None:
    begun.nodes.refusals["look", "neutral"] = LookupError("a secret")  # type: ignore[assignment]
    begun.runner.drive(ID)
    end_of_threads()
    assert (begun.state, begun.reason) == (State.ABORTED, "An unexpected error at the coordinator; see its log.")
    assert begun.nodes.told("abort") == [(name, 1) for name in TERMS.committee]


def test_what_cannot_be_written_now_is_tried_again(begun: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TELL_S", (0.0, 0.0))
    collect, failures = begun.hub.registry.collect, [StorageError("The disk is full.")]

    def full_at_first(*what: object) -> bool:
        if failures:
            raise failures.pop()
        return collect(*what)  # type: ignore[arg-type]

    monkeypatch.setattr(begun.hub.registry, "collect", full_at_first)
    begun.nodes.compute(begun.made)
    begun.runner.drive(ID)
    end_of_threads()
    assert begun.state is State.DONE


def test_a_runner_that_is_stopped_follows_nothing_more(begun: Run) -> None:
    begun.runner.drive(ID)
    begun.runner.stop()
    end_of_threads()
    assert begun.state is State.RUNNING
