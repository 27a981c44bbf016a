"""What crosses the wire depends on public counts only: sessions with other overlaps look the same, message by message.
So do the pieces that committee nodes keep. Under a similar rule all is the same but the messages of comparing pairs.

Lists have equally many rows and keys; what differs is how many keys the members share: none, half of them, or all.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import count, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpc import engine, matching, shuffle
from mpc.committee import PartyId
from mpc.engine import Inputs
from mpc.session import Session
from parties import audit, inputs
from parties.compute import Run
from parties.errors import SessionRefused
from parties.member import Member
from protos.matchbit.v1 import committee_pb2, session_pb2
from tests.integration.federations import COMMITTEE, COORDINATOR, MEMBERS
from tests.integration.recording import Call, Recorded

ROWS = 64
SHARED = (0, ROWS // 2, ROWS)
"""Of each member's keys, how many both others have too."""
CHUNK_ROWS = 64
"""So that a run has several chunks, in two lanes."""
MARGIN_BYTES = 512
"""Of a connection in one direction: ECDSA signatures of its handshake differ by some bytes, and gRPC sends pings,
window updates and more or fewer TLS records as its threads go."""
POLLS = {"GetRun", "GetSession"}
ALIKE = {
    "name": "alike",
    "kind": "similar",
    "blocks": [{"fields": ["id_number"]}],
    "compare": [{"field": "id_number", "kind": "number", "weights": [-10, 10, 20]}],
    "thresholds": [20],
}

numbers = count()


@dataclass(frozen=True)
class Lived:
    """A session as the wire saw it.

    Attributes:
        calls: all, in the order in which they began.
        connections: of each two parties, [bytes of the caller, bytes of the called] of each, oldest first.
        at_rest: of each committee node, bytes of every sealed piece of shares and results.
        group_sizes: what the committee learned of keys, and of blocking keys.
    """

    calls: list[Call]
    connections: dict[tuple[str, str], list[list[int]]]
    at_rest: dict[str, list[Any]]
    group_sizes: object


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    with pytest.MonkeyPatch.context() as patch:
        federation = Recorded(tmp_path_factory.mktemp("recorded"), patch)
        with federation:
            yield federation


def lived(federation: Recorded, folder: Path, shared: int, **terms: Any) -> Lived:
    """A whole session in which each member shares so many keys with both others; its numbers are new to everyone."""
    number, before = next(numbers), {pair: len(relay.connections) for pair, relay in federation.relays.items()}
    own = {m: [f"{number:03}{'x' if k < shared else m[-1]}{k:04}" for k in range(ROWS)] for m in MEMBERS}
    record = federation.ready(folder, own, expires=datetime(2099, 12, 31, tzinfo=UTC), **terms)
    federation.operator.run(record.id)
    federation.rest()
    stores = {name: federation.configs[name].store() for name in COMMITTEE}
    at_rest = {name: store.read("SELECT length(body) FROM chunks ORDER BY 1") for name, store in stores.items()}
    for name in MEMBERS:
        with suppress(SessionRefused):  # more than half of its rows match: nobody has looked at it yet
            federation.member(name).results(record.id, folder / f"{name}-result.csv", folder / f"{name}.html")
    federation.operator.coordinator.close(record.id)
    federation.rest()
    connections = {pair: relay.connections[before[pair] :] for pair, relay in federation.relays.items()}
    events = (audit.Event.COMPUTED, audit.Event.BLOCKS)
    learned = [entry.facts for event in events for entry in stores[COMMITTEE[0]].logged(record.id, event)]
    opened = [facts.get("group_sizes", facts.get("block_sizes")) for facts in learned]
    return Lived(federation.record.take(), connections, at_rest, opened)


def conversations(calls: list[Call]) -> dict[tuple[str, str], list[tuple[Any, ...]]]:
    """What each two parties said to each other, call by call; without what is asked again until it changes."""
    found = defaultdict(list)
    for call in calls:
        if not is_poll(call):
            metadata = [[(key, len(value)) for key, value in pairs] for pairs in (call.metadata, call.trailing)]
            end = (call.status, len(call.details))
            found[call.caller, call.called].append((call.method, metadata, sizes(call), end))
    return found


def is_poll(call: Call) -> bool:
    return call.method in POLLS and call.caller == COORDINATOR


def sizes(call: Call) -> list[tuple[str, int]]:
    """Way and size of each message; lanes overlap as threads go, so where there are several, one after the other."""
    found = [(way, len(raw)) for way, raw in call.messages]
    if call.method != "Exchange":
        return found
    lanes = [_lane(raw) for way, raw in call.messages]
    return found if len({*lanes}) <= 2 else [found[k] for k in sorted(range(len(found)), key=lanes.__getitem__)]


def _lane(raw: bytes) -> int:
    """Of a frame's chunk; -1 for what is no chunk's."""
    chunk = re.search(r"/chunk(\d+)", committee_pb2.ExchangeRequest.FromString(raw).frame.step)
    return int(chunk[1]) if chunk else -1


def answers(calls: list[Call]) -> dict[tuple[Any, ...], int]:
    """Size of each answer to a poll by what it tells: which states one happens to see is by the clock.

    Figures are left out: the size of memory's is the machine's matter; see `last_words` for the rest.
    """
    found: dict[tuple[Any, ...], int] = {}
    for call in filter(is_poll, calls):
        told: Any
        if call.method == "GetRun":
            told = run_of(call)
            told.ClearField("figures")
            said = told.HasField("completion")
        else:
            told = session_pb2.GetSessionResponse.FromString(call.messages[-1][1]).session
            said = tuple(completion.node for completion in told.completions)
        progress = told.progress.phase, told.progress.rows_done, told.progress.rows_total
        place = (call.called, call.method, told.state, told.attempt, told.reason, *progress, said)
        assert found.setdefault(place, told.ByteSize()) == told.ByteSize(), place
    return found


def run_of(call: Call) -> Any:
    """What a committee node said of its run."""
    return committee_pb2.GetRunResponse.FromString(call.messages[-1][1])


def last_words(calls: list[Call]) -> dict[str, Any]:
    """Of each committee node: how far its run had come at last, and what of its figures is not the machine's."""
    runs = {call.called: run_of(call) for call in calls if call.method == "GetRun"}
    return {
        name: (str(run.progress), run.figures.sent_bytes, [phase.name for phase in run.figures.phases])
        for name, run in runs.items()
    }


def differences(one: Lived, other: Lived) -> list[str]:
    """What somebody could tell two sessions from each other by."""
    said, said_by_other = conversations(one.calls), conversations(other.calls)
    found = [
        f"{caller} → {called}: {a} is not {b}"
        for (caller, called) in sorted(said.keys() | said_by_other.keys())
        for a, b in zip_longest(said[caller, called], said_by_other[caller, called])
        if a != b
    ]
    told, told_by_other = answers(one.calls), answers(other.calls)
    found += [f"answer {place}" for place in told.keys() & told_by_other.keys() if told[place] != told_by_other[place]]
    if last_words(one.calls) != last_words(other.calls):
        found.append(f"last words: {last_words(one.calls)} are not {last_words(other.calls)}")
    if one.at_rest != other.at_rest:
        found.append("pieces at rest")
    for pair, connections in one.connections.items():
        if pair[0] != COORDINATOR:  # which polls
            both = list(zip_longest(connections, other.connections[pair], fillvalue=[0, 0]))
            found += [f"bytes of {pair}: {a}, {b}" for a, b in both if max(map(_apart, a, b)) > MARGIN_BYTES]
    return found


def _apart(one: int, other: int) -> int:
    return abs(one - other)


@pytest.mark.parametrize("reveal", ["flag", "count", "members"])
def test_the_wire_does_not_tell_how_many_are_shared(recorded: Recorded, tmp_path: Path, reveal: str) -> None:
    none, half, every = (lived(recorded, tmp_path, shared, reveal=reveal) for shared in SHARED)
    assert none.group_sizes != half.group_sizes != every.group_sizes
    assert differences(none, half) == differences(none, every) == []


@pytest.mark.parametrize("reveal", ["flag", "count", "members"])
def test_nor_with_dummies_and_in_lanes(
    recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reveal: str
) -> None:
    monkeypatch.setattr(inputs, "Inputs", partial(Inputs, chunk_rows=CHUNK_ROWS))
    hidden = {"epsilon": 8.0, "delta": 0.01}
    none, every = (lived(recorded, tmp_path, shared, reveal=reveal, dummies=hidden) for shared in (0, ROWS))
    assert any("/chunk1/" in step for step in steps(none)), "there are several lanes"
    assert none.group_sizes != every.group_sizes
    assert differences(none, every) == []


def steps(session: Lived) -> set[str]:
    """Labels of all frames."""
    frames = (raw for call in session.calls if call.method == "Exchange" for _, raw in call.messages)
    return {committee_pb2.ExchangeRequest.FromString(raw).frame.step for raw in frames}


def test_of_similar_records_nothing_but_the_traffic_of_comparing_tells(recorded: Recorded, tmp_path: Path) -> None:
    """It grows with the number of pairs, which follows from the sizes of groups: others can tell it, too."""
    lives = [lived(recorded, tmp_path, shared, rule=[ALIKE]) for shared in SHARED]
    none, half, every = map(without_comparing, lives)
    assert none.group_sizes != half.group_sizes != every.group_sizes
    assert differences(none, half) == differences(none, every) == []
    traffic = [compared_bytes(life) for life in lives]
    assert traffic == sorted({*traffic}), "if it does not grow any more, the documents can promise more"
    sent = [sum(bytes_sent for _, bytes_sent, _ in last_words(life.calls).values()) for life in lives]
    assert sent == sorted({*sent})


def without_comparing(session: Lived) -> Lived:
    """But for the messages in which pairs are compared, and the bytes that have them in it."""
    calls = []
    for call in session.calls:
        if call.method == "Exchange":
            messages = [(way, raw) for way, raw in call.messages if not compares(raw)]
        elif call.method == "GetRun":
            told = run_of(call)
            told.figures.sent_bytes = 0
            messages = [*call.messages[:-1], (call.messages[-1][0], told.SerializeToString())]
        else:
            messages = call.messages
        calls.append(replace(call, messages=messages))
    connections = {pair: bytes_of for pair, bytes_of in session.connections.items() if not {*pair} <= {*COMMITTEE}}
    return replace(session, calls=calls, connections=connections)


def compared_bytes(session: Lived) -> int:
    """Of all messages in which pairs are compared."""
    frames = (raw for call in session.calls if call.method == "Exchange" for _, raw in call.messages)
    return sum(len(raw) for raw in frames if compares(raw))


def compares(raw: bytes) -> bool:
    return "/compare/" in committee_pb2.ExchangeRequest.FromString(raw).frame.step


@pytest.fixture(scope="module")
def session(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> Lived:
    return lived(recorded, tmp_path_factory.mktemp("session"), ROWS)


def test_seconds_are_told_to_hundredths(session: Lived) -> None:
    """Finer ones would tell the coordinator of the group sizes."""
    figures = [run_of(call).figures for call in session.calls if call.method == "GetRun"]
    seconds = [s for of_run in figures for s in (of_run.cpu_s, *(phase.seconds for phase in of_run.phases))]
    assert sum(seconds) > 0
    assert seconds == [round(s, 2) for s in seconds]


def test_all_messages_are_among_the_bytes_and_more_bytes_are_seen(session: Lived) -> None:
    for pair, connections in session.connections.items():
        messages = [m for call in session.calls if (call.caller, call.called) == pair for m in call.messages]
        for way, counts in zip(("read", "written"), zip(*connections, strict=True), strict=True):
            assert sum(counts) > sum(len(raw) for what, raw in messages if what == way), pair
        more = [[of_caller, of_called + MARGIN_BYTES + 1] for of_caller, of_called in connections]
        found = differences(session, replace(session, connections=session.connections | {pair: more}))
        assert len(found) == (len(connections) if pair[0] != COORDINATOR else 0)


# Leaks that are planted


def a_message_as_long_as_there_are_groups(patch: pytest.MonkeyPatch) -> None:
    finish = engine.finish

    def leaking(session: Session, *opened: Any) -> None:
        session.at("spare").send(session.party.next, np.zeros(groups(), np.uint8))
        finish(session, *opened)

    groups = counted(patch)
    patch.setattr(engine, "finish", leaking)


def progress_that_counts_groups(patch: pytest.MonkeyPatch) -> None:
    mark, groups = Run.mark, counted(patch)
    patch.setattr(
        Run, "mark", lambda self, phase, done, total: mark(self, phase, groups() if phase == "done" else done, total)
    )


def nothing_matched_and_nothing_is_brought_back(patch: pytest.MonkeyPatch) -> None:
    unshuffle, groups = shuffle.unshuffle, counted(patch)

    def leaking(session: Session, order: Any, values: Any) -> Any:
        if groups() < len(MEMBERS) * ROWS:
            return unshuffle(session, order, values)
        return None if session.party is PartyId.P2 else np.zeros_like(values.a)

    patch.setattr(engine, "unshuffle", leaking)


def heads_after_a_look_at_the_result(patch: pytest.MonkeyPatch) -> None:
    exchange, results = Member.exchange_heads, Member.results

    def leaking(self: Member, session_id: bytes, *paths: Path) -> None:
        with pytest.MonkeyPatch.context() as silent:
            silent.setattr(Member, "exchange_heads", lambda *_: None)
            results(self, session_id, *paths)
        exchange(self, self.coordinator.get(session_id).record)

    patch.setattr(Member, "results", leaking)


def counted(patch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many groups the newest run has found."""
    group, found = matching.group, [0]

    def counting(tags: Any) -> matching.Groups:
        made = group(tags)
        found[0] = int(np.count_nonzero(made.sizes))
        return made

    patch.setattr(matching, "group", counting)
    return lambda: found[0]


@pytest.mark.parametrize(
    ("leak", "seen"),
    [
        (a_message_as_long_as_there_are_groups, "'Exchange'"),
        (progress_that_counts_groups, "last words"),
        (nothing_matched_and_nothing_is_brought_back, "'Exchange'"),
        (heads_after_a_look_at_the_result, "'ExchangeHeads'"),
    ],
)
def test_a_planted_leak_is_seen(
    recorded: Recorded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    leak: Callable[[pytest.MonkeyPatch], None],
    seen: str,
) -> None:
    leak(monkeypatch)
    none, every = (lived(recorded, tmp_path, shared) for shared in (0, ROWS))
    assert any(seen in difference for difference in differences(none, every))
