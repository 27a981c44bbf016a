"""The benchmark's long line: what goes in comes out, later, in order, in both directions, to its end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from parties import relay
from parties.loopback import free_port

LOCAL = "127.0.0.1"
PATIENCE_S = 20.0
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def through(delay_s: float, run: Callable[[Streams, Streams], Awaitable[None]]) -> None:
    """Have a caller and a node, with a relay between them."""

    async def live() -> None:
        called: asyncio.Queue[Streams] = asyncio.Queue()
        node = await asyncio.start_server(lambda *streams: called.put_nowait(streams), LOCAL, 0)
        line = await relay.serve((LOCAL, 0), node.sockets[0].getsockname(), delay_s)
        caller = await asyncio.open_connection(*line.sockets[0].getsockname())
        await asyncio.wait_for(run(caller, await called.get()), PATIENCE_S)
        caller[1].close()
        line.close()
        node.close()

    asyncio.run(live())


def test_bytes_keep_their_order_in_both_directions() -> None:
    pieces = [bytes([k]) * (1 + 997 * k) for k in range(200)]

    async def run(caller: Streams, node: Streams) -> None:
        for (_, out), (into, _) in ((caller, node), (node, caller)):
            for piece in pieces:
                out.write(piece)
            assert await into.readexactly(sum(map(len, pieces))) == b"".join(pieces)

    through(0.01, run)


@pytest.mark.parametrize("turn", [1, -1])
def test_each_direction_is_delayed(turn: int) -> None:
    async def run(*ends: Streams) -> None:
        (_, out), (into, _) = ends[::turn]
        since = time.monotonic()
        out.write(b"!")
        assert await into.readexactly(1) == b"!"
        assert time.monotonic() - since >= 0.2

    through(0.2, run)


def test_what_follows_is_under_way_at_the_same_time() -> None:
    """A line, not a queue: bytes written one after the other are late together."""

    async def run(caller: Streams, node: Streams) -> None:
        for _ in range(1000):  # one after the other would take ten times the patience of this test
            caller[1].write(b"!")
            await asyncio.sleep(0)
        await node[0].readexactly(1000)

    through(0.2, run)


@pytest.mark.parametrize("turn", [1, -1])
def test_an_end_is_passed_on_and_the_other_direction_goes_on(turn: int) -> None:
    async def run(*ends: Streams) -> None:
        (back, out), (into, answer) = ends[::turn]
        out.write(b"the last")
        out.write_eof()
        assert await into.read() == b"the last"
        answer.write(b"yet this")
        answer.write_eof()
        assert await back.read() == b"yet this"

    through(0.01, run)


@pytest.mark.parametrize("turn", [1, -1])
def test_a_lost_connection_is_lost_at_the_other_end_too(turn: int) -> None:
    async def run(*ends: Streams) -> None:
        (_, out), (into, _) = ends[::turn]
        out.transport.abort()
        with suppress(ConnectionError):  # the other end may read the end or be reset
            assert await into.read() == b""

    through(0.01, run)


def test_a_slow_reader_holds_the_writer_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "HELD_BYTES", 1 << 20)
    total = 64 << 20

    async def run(caller: Streams, node: Streams) -> None:
        sending = asyncio.create_task(_send(caller[1], total))
        done, _ = await asyncio.wait([sending], timeout=0.5)
        assert not done, "64 MiB were taken in, and nobody has read"
        assert len(await node[0].readexactly(total)) == total
        await sending

    through(0.001, run)


async def _send(writer: asyncio.StreamWriter, total: int) -> None:
    for _ in range(total >> 20):
        writer.write(bytes(1 << 20))
        await writer.drain()


def test_a_node_that_does_not_answer_is_a_refused_caller() -> None:
    async def live() -> None:
        line = await relay.serve((LOCAL, 0), (LOCAL, free_port()), 0.0)
        into, _ = await asyncio.open_connection(*line.sockets[0].getsockname())
        with suppress(ConnectionError):  # the caller may read the end or be reset
            assert await asyncio.wait_for(into.read(), PATIENCE_S) == b""
        line.close()

    asyncio.run(live())


def test_the_process_says_that_it_is_ready_and_ends_with_its_input() -> None:
    address = f"{LOCAL}:{free_port()}"
    command = [sys.executable, "-m", "parties.relay", address, f"{LOCAL}:{free_port()}", "5"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
