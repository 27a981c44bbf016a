"""What a hostile party does to a daemon: every attack, and the list of them with who can make it.

test_hostile.py makes each with a few connections or calls, bench_hostile.py with many.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import count, cycle, repeat
from typing import Any

import grpc

from mpc.channel import MAX_MESSAGE_BYTES
from parties import calls
from parties.loopback import COORDINATOR
from parties.rules import KEY_BYTES
from parties.statements import Commitment
from parties.wire import commitment_to_pb, completion_to_pb
from protos.matchbit.v1 import committee_pb2 as pb
from protos.matchbit.v1.committee_pb2_grpc import ContributionServiceStub, ExchangeServiceStub
from tests.integration import floods, http2
from tests.integration.attacker import ROGUE, Attack, Attacker, Moves
from tests.integration.http2 import Connection, message

CONNECTIONS = 4
"""Over which calls are spread."""
PAUSE_S = 0.02
"""Between the moves of who is slow."""

# Calls that go nowhere


def _begin(attacker: Attacker, number: int, body: bytes) -> list[Connection]:
    """Open so many calls of all kinds, each with these first bytes."""
    connections, methods = [attacker.connect() for _ in range(CONNECTIONS)], attacker.methods()
    turns = cycle(connections)

    def begin() -> None:
        connection = next(turns)
        connection.send(connection.opening(next(methods), body))

    attacker.many(number, begin)
    return connections


def unsaid(attacker: Attacker, number: int) -> Moves:
    """Calls whose message never comes."""
    _begin(attacker, number, b"")
    yield


def trickling(attacker: Attacker, number: int) -> Moves:
    """Calls whose message comes byte by byte."""
    connections = _begin(attacker, number, message(bytes(MAX_MESSAGE_BYTES))[:5])
    while True:
        for connection in connections:
            with suppress(OSError):
                connection.send(b"".join(http2.data(stream, b"x") for stream in connection.streams))
        yield
        attacker.over.wait(PAUSE_S)


def announced(attacker: Attacker, number: int) -> Moves:
    """Messages that are said to be 4 GB long."""
    _begin(attacker, number, b"\x00\xff\xff\xff\xff" + bytes(64))
    yield


# Answers that are never read


def unread_results(attacker: Attacker, number: int) -> Moves:
    """A large result, asked for again and again."""
    completions = calls.Coordinator(attacker.own, attacker.own.federation()).get(attacker.aim.done).completions
    request = pb.FetchResultRequest(session_id=attacker.aim.done, completions=map(completion_to_pb, completions))
    yield from _unread(attacker, number, "ContributionService/FetchResult", request.SerializeToString())


def unread_answers(attacker: Attacker, number: int) -> Moves:
    """Short ones."""
    yield from _unread(attacker, number, "NodeService/GetNode", b"")


def _unread(attacker: Attacker, number: int, method: str, request: bytes) -> Moves:
    turns = cycle([attacker.connect(window_bytes=0) for _ in range(CONNECTIONS)])

    def ask() -> None:
        connection = next(turns)
        connection.send(connection.opening(method, message(request), end=True))

    attacker.many(number, ask)
    yield


# Frames of the computation


_steps = count()


def _exchange(attacker: Attacker, attempt: int) -> Any:
    """Send the longest frames there are, of steps that nobody reads."""
    payload = bytes(MAX_MESSAGE_BYTES)

    def requests() -> Iterator[pb.ExchangeRequest]:
        yield pb.ExchangeRequest(header=pb.ExchangeHeader(session_id=attacker.aim.ready, attempt=attempt))
        while not attacker.over.is_set():
            yield pb.ExchangeRequest(frame=pb.ExchangeFrame(step=f"never/{next(_steps)}", payload=payload))

    return ExchangeServiceStub(attacker.channel()).Exchange.future(requests())


def _heard(attacker: Attacker, sent: Sequence[Any]) -> Moves:
    yield
    for call in sent:
        attacker.hear(call)


def frames_of_a_peer(attacker: Attacker, number: int) -> Moves:
    """Sent to an attempt that runs, on so many streams."""
    hub, target, session = attacker.aim.own(COORDINATOR), attacker.aim.target, attacker.aim.ready
    committee = calls.Committee(hub, hub.store())
    attempt = calls.get_run(hub, attacker.node, session).attempt + 1
    committee.start(target, session, attempt, list(hub.store().commitments(session).values()))
    yield from _heard(attacker, [_exchange(attacker, attempt) for _ in range(number)])


def frames_for_nothing(attacker: Attacker, number: int) -> Moves:
    """Sent to attempts that have not begun."""
    yield from _heard(attacker, [_exchange(attacker, 1000 + k) for k in range(number)])


# Uploads


def _commitment(attacker: Attacker, keys: int, name: str = ROGUE) -> Commitment:
    digests = (b"d" * 32,) * 3
    commitment = Commitment(attacker.aim.open, name, records=keys, new_records=keys, keys=keys, digests=digests)
    return commitment.signed(attacker.own.identity().signing_key)


def _header(commitment: Commitment, offset: int = 0) -> pb.ContributeRequest:
    shown = commitment_to_pb(commitment)
    header = pb.ContributionHeader(commitment=shown, seeds=(b"a" * 16, b"b" * 16), offset=offset)
    return pb.ContributeRequest(header=header)


def _chunk(body: bytes) -> pb.ContributeRequest:
    return pb.ContributeRequest(chunk=body)


def lying_uploads(attacker: Attacker, number: int) -> Moves:
    """Longer or shorter than announced, from elsewhere, of nothing, byte by byte, out of order, in another's name."""
    due = 2 * MAX_MESSAGE_BYTES
    commitment, whole = _commitment(attacker, due // KEY_BYTES), _chunk(bytes(MAX_MESSAGE_BYTES))
    begun, foreign = _header(commitment), _header(_commitment(attacker, due // KEY_BYTES, "agency-a"))
    elsewhere = [_header(commitment, offset) for offset in (KEY_BYTES, due + KEY_BYTES, 2**63)]
    lies = [
        [begun, whole, whole, whole], [begun, whole], *([header, whole] for header in elsewhere),
        [begun, *repeat(_chunk(b""), 1000)], [begun, *repeat(_chunk(b"x"), 1000)],
        [begun, begun, whole], [whole, begun], [], [foreign, whole],
    ]  # fmt: skip
    stub = ContributionServiceStub(attacker.channel())
    while True:
        sent = [stub.Contribute.future(iter(lie), timeout=http2.PATIENCE_S) for lie in lies * number]
        yield from _heard(attacker, sent)


def many_ends(attacker: Attacker, number: int) -> Moves:
    """An upload that is long enough, and that so many calls end at the same time."""
    chunks, stub = 8, ContributionServiceStub(attacker.channel())
    due = chunks * MAX_MESSAGE_BYTES
    commitment = _commitment(attacker, due // KEY_BYTES)
    asked = pb.GetUploadRequest(session_id=attacker.aim.open, commitment=commitment.digest)

    def received() -> int:
        try:
            return int(stub.GetUpload(asked, timeout=http2.PATIENCE_S).received_bytes)
        except grpc.RpcError:
            return 0

    while not attacker.over.is_set():
        there, held = received(), threading.Event()

        def upload(there: int = there, held: threading.Event = held) -> Iterator[pb.ContributeRequest]:
            yield _header(commitment, there)
            yield from repeat(_chunk(bytes(MAX_MESSAGE_BYTES)), chunks - there // MAX_MESSAGE_BYTES)
            held.wait()

        first = stub.Contribute.future(upload())
        while not (first.done() or attacker.over.is_set()) and received() < due:
            pass
        yield from _heard(attacker, [stub.Contribute.future(iter([_header(commitment, due)])) for _ in range(number)])
        held.set()
        attacker.hear(first)


# The list

OUTSIDER, MEMBER, PEER, OWNER = "outsider", "member", "committee node", "coordinator"
ATTACKS = (
    Attack(MEMBER, "calls whose message never comes", unsaid, 400, 4000),
    Attack(MEMBER, "the same, to the coordinator", unsaid, 400, 4000, COORDINATOR),
    Attack(MEMBER, "messages that come byte by byte", trickling, 400, 4000),
    Attack(MEMBER, "messages announced with 4 GB", announced, 400, 4000),
    Attack(MEMBER, "large results that are never read", unread_results, 400, 4000),
    Attack(MEMBER, "short answers that are never read", unread_answers, 400, 4000),
    Attack(OUTSIDER, "silent connections", floods.silent, 1500, 10_000),
    Attack(OUTSIDER, "a TLS hello, then silence", floods.half_greeted, 1500, 10_000),
    Attack(OUTSIDER, "connections without TLS", floods.garbled, 1, 1),
    Attack(MEMBER, "idle pinned connections", floods.idle, 200, 5000),
    Attack(PEER, "longest frames to a running attempt, never read", frames_of_a_peer, 8, 64),
    Attack(PEER, "longest frames to attempts that do not exist", frames_for_nothing, 80, 400),
    Attack(MEMBER, "uploads that lie about their length", lying_uploads, 1, 4),
    Attack(MEMBER, "one upload, ended by many calls at once", many_ends, 24, 100),
    Attack(MEMBER, "messages of 64 KB that become 60 MB", floods.bombs, 16, 60),
    Attack(MEMBER, "the same, to the coordinator", floods.bombs, 16, 60, COORDINATOR),
    Attack(MEMBER, "a flood of short calls", floods.short_calls, 50, 100),
    Attack(MEMBER, "the same, to the coordinator", floods.short_calls, 50, 100, COORDINATOR),
    Attack(OWNER, "a flood of runs of sessions that do not exist", floods.runs, 50, 100, stalls=True),
    Attack(MEMBER, "calls opened and reset at once", floods.resets, 100, 100),
    Attack(MEMBER, "a flood of pings", floods.pings, 1000, 1000),
    Attack(MEMBER, "a flood of settings", floods.settings, 1000, 1000),
    Attack(MEMBER, "headers without end", floods.continuations, 10, 10),
    Attack(MEMBER, "headers that name one field 8,000 times", floods.header_bombs, 60, 60, memory_mb=900, stalls=True),
)  # fmt: skip
