"""A session that a coordinator runs: a committee that answers what a test says, and a clock that a test moves."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from parties.errors import PeerUnavailable, ServiceError, SessionRefused
from parties.lifecycle import State
from parties.runner import Runner
from parties.statements import Commitment, Completion
from parties.wire import Answer
from tests.parties.deciding import Contribution, Hub, completions, terms

TERMS = terms(committee=("neutral", "agency-b", "agency-a"))
ID = TERMS.session_id
BY_NAME = ("agency-a", "agency-b", "neutral")
PATIENCE_S = 100.0
AWAY = PeerUnavailable("neutral cannot be reached; check its address, and that its operator has started it.")


class Nodes:
    """A committee: what each node would answer, and what it has been asked to do."""

    def __init__(self) -> None:
        self.answers = dict.fromkeys(BY_NAME, Answer(State.APPROVED))
        self.away: set[str] = set()
        self.refusals: dict[tuple[str, str], ServiceError] = {}
        self.asked: list[tuple[str, str, int]] = []
        self.given: dict[str, list[Commitment] | list[Completion] | str] = {}
        self.when_told: Callable[[], None] = lambda: None

    def _ask(self, what: str, name: str, session_id: bytes, attempt: int = 0) -> None:
        assert session_id == ID
        self.asked.append((what, name, attempt))
        if name in self.away:
            raise AWAY
        if (what, name) in self.refusals:
            raise self.refusals[what, name]

    def look(self, name: str, session_id: bytes) -> Answer:
        assert session_id == ID
        if name in self.away:
            raise AWAY
        if ("look", name) in self.refusals:
            raise self.refusals["look", name]
        return self.answers[name]

    def check(self, name: str, session_id: bytes, commitments: list[Commitment]) -> None:
        assert commitments
        self._ask("check", name, session_id)

    def start(self, name: str, session_id: bytes, attempt: int, commitments: list[Commitment]) -> None:
        self._ask("start", name, session_id, attempt)
        if attempt <= self.answers[name].attempt:
            raise SessionRefused(f"Attempt {attempt} of this session has been used already.")
        self.given[name] = commitments
        self.answers[name] = Answer(State.RUNNING, attempt=attempt)

    def release(self, name: str, session_id: bytes, attempt: int, completions: list[Completion]) -> None:
        self._ask("release", name, session_id, attempt)
        self.given[name] = completions

    def abort(self, name: str, session_id: bytes, attempt: int, reason: str) -> None:
        self._ask("abort", name, session_id, attempt)
        self.given[name] = reason

    def delete(self, name: str, session_id: bytes) -> None:
        self._ask("delete", name, session_id)

    def exchange_heads(self, name: str, session_id: bytes) -> None:
        self._ask("heads", name, session_id)
        self.when_told()

    # What happens there

    def compute(self, made: list[Contribution], *names: str) -> None:
        """These nodes, or all, have computed the attempt that they are at."""
        for name in names or BY_NAME:
            attempt = self.answers[name].attempt
            said = completions(TERMS, made, attempt, [name])[0]
            self.answers[name] = Answer(State.COMPUTED, attempt=attempt, completion=said)

    def fail(self, name: str, reason: str = "agency-b did not answer in time.", *, retriable: bool = True) -> None:
        self.answers[name] = replace(self.answers[name], state=State.ABORTED, reason=reason, retriable=retriable)

    def told(self, what: str) -> list[tuple[str, int]]:
        return [(name, attempt) for asked, name, attempt in self.asked if asked == what]


class Run:
    """A session that is to be run, the runner that follows it, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.hub, self.nodes, self.now = Hub(folder), Nodes(), 0.0
        self.made = self.hub.ready(TERMS)
        self.restart()

    def restart(self) -> None:
        """The coordinator is started again."""
        self.hub.restart()
        self.runner = Runner(self.hub.registry, self.nodes, PATIENCE_S, lambda: self.now)

    def run(self) -> None:
        self.hub.registry.run("hub", ID)

    def step(self, times: int = 1) -> float | None:
        """The last of so many steps."""
        pause: float | None = None
        for _ in range(times):
            pause = self.runner.step(ID)
        return pause

    @property
    def state(self) -> State:
        return self.hub.state(TERMS)

    @property
    def attempt(self) -> int:
        return self.hub.store.get(ID).attempt

    @property
    def reason(self) -> str:
        return self.hub.store.get(ID).reason

    @property
    def told(self) -> set[str]:
        """The nodes that know of the session's state."""
        return self.hub.store.told(ID, self.state)
