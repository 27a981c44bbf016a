"""A session whose turn does not come, since others have theirs at a node, loses none of its tries."""

from pathlib import Path

import pytest

from parties.errors import TooManyCalls
from parties.lifecycle import State
from parties.runner import MAX_TRIES, POLL_S
from tests.parties.running import BY_NAME, PATIENCE_S, Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = Run(tmp_path)
    made.run()
    return made


def waited_in_vain(run: Run) -> None:
    """One node has begun and waits no longer, since another has let sessions of others go first."""
    run.nodes.refusals["start", "agency-b"] = TooManyCalls("agency-b computes other sessions.")
    assert run.step() == POLL_S[1]
    run.now += PATIENCE_S + 1
    run.nodes.fail("agency-a")
    run.step()


def test_waiting_for_ones_turn_in_vain_is_no_try(run: Run) -> None:
    for attempt in range(1, 3 * MAX_TRIES):
        waited_in_vain(run)
        assert (run.state, run.attempt) == (State.RUNNING, attempt + 1)
    run.nodes.refusals.clear()
    run.step()
    run.nodes.compute(run.made)
    run.step()
    assert run.state is State.DONE


def test_after_a_wait_tries_count_again(run: Run) -> None:
    waited_in_vain(run)
    run.nodes.refusals.clear()
    for _ in range(MAX_TRIES):
        assert run.state is State.RUNNING
        run.step()
        for name in BY_NAME:
            run.nodes.fail(name)
        run.step()
    assert run.state is State.ABORTED


def test_a_short_wait_excuses_no_failure(run: Run) -> None:
    """Else a node that fails at once would be asked without end."""
    run.nodes.refusals["start", "agency-b"] = TooManyCalls("agency-b computes other sessions.")
    for _ in range(MAX_TRIES):
        assert run.state is State.RUNNING
        run.step()
        run.nodes.fail("agency-a")
        run.step()
    assert run.state is State.ABORTED
