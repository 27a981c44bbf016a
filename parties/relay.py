"""A long line for the benchmark: every byte comes out a stated time after it went in, in each direction.

A relay is a process of its own in front of one node: whoever calls the node reaches the relay, which opens a connection
to the node for each one that it accepts and forwards between the two. So a connection passes exactly one relay, that of
the node that is called, and each of its directions is delayed once. Ends of streams are passed on like bytes, one
direction at a time.

What protocols above TCP do over a long line is seen, their windows, acknowledgements and handshakes among it. TCP's own
are not: it ends at the relay, which takes in what the line carries at once.

`python -m parties.relay FROM TO MS`, addresses as HOST:PORT, says `ready` when it listens, and runs until its standard
input ends. Due times are kept to about a millisecond.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from contextlib import suppress
from typing import cast

HELD_BYTES = 64 << 20
"""Of one direction of a connection, before reading pauses: what a line of 10 Gbit/s has under way in 50 ms."""


class End(asyncio.Protocol):
    """One end of a relayed connection: what arrives here leaves at the other end when it is due.

    Args:
        delay_s: of what arrives here.
    """

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._loop = asyncio.get_running_loop()
        self._held: deque[tuple[float, bytes | None]] = deque()
        self._held_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._has_ended = self._is_full = False
        self.transport: asyncio.Transport | None = None
        self.other = self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note of the connection."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hold bytes until they are due."""
        self._hold(data)

    def eof_received(self) -> bool:
        """Hold the end of the stream, and leave the other direction open."""
        self._hold(b"")
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """Hold the loss until all before it has been passed on."""
        del error
        self._hold(None)

    def pause_writing(self) -> None:
        """Whoever reads here is slow: what goes out here waits at the other end."""
        self.other._is_full = True

    def resume_writing(self) -> None:
        """And goes on."""
        self.other._is_full = False
        self.other._release()

    def _hold(self, item: bytes | None) -> None:
        self._held.append((self._loop.time() + self._delay_s, item))
        self._held_bytes += len(item or b"")
        if self._held_bytes > HELD_BYTES and self.transport is not None:
            self.transport.pause_reading()
        if self._timer is None:
            self._release()

    def _release(self) -> None:
        """Pass on what is due, in the order in which it came, and come back for the rest."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._held and not self._is_full and self._held[0][0] <= self._loop.time():
            item = self._held.popleft()[1]
            self._held_bytes -= len(item or b"")
            self._pass(item)
        if self._held_bytes <= HELD_BYTES and self.transport is not None:
            self.transport.resume_reading()
        if self._held and not self._is_full:
            self._timer = self._loop.call_at(self._held[0][0], self._release)

    def _pass(self, item: bytes | None) -> None:
        out = self.other.transport
        if out is None or out.is_closing():
            return
        if item is None:
            out.abort()
        elif item:
            out.write(item)
        else:
            with suppress(OSError):  # it is lost just now, and its loss will be told
                out.write_eof()
            self._has_ended = True
            if self.other._has_ended and self.transport is not None:
                self.transport.close()
                out.close()


class Caller(End):
    """The end of whoever calls; the other end is a connection to the node, opened at once.

    Args:
        to: the node's host and port.
        delay_s: of either direction.
    """

    def __init__(self, to: tuple[str, int], delay_s: float) -> None:
        super().__init__(delay_s)
        self.other = End(delay_s)
        self.other.other = self
        self._is_full = True  # until the node answers
        self._opening = self._loop.create_task(self._open(to))

    async def _open(self, to: tuple[str, int]) -> None:
        try:
            await self._loop.create_connection(lambda: self.other, *to)
        except OSError:
            if self.transport is not None:
                self.transport.abort()
        else:
            self.other.resume_writing()


async def serve(listen: tuple[str, int], to: tuple[str, int], delay_s: float) -> asyncio.Server:
    """Begin to relay.

    Args:
        listen: host and port to accept connections on; port 0 for any.
        to: host and port of the node.
        delay_s: of each direction.
    """
    return await asyncio.get_running_loop().create_server(lambda: Caller(to, delay_s), *listen, backlog=1024)


async def _run(listen: str, to: str, delay_ms: str) -> None:
    addresses = [(host, int(port)) for host, _, port in (address.rpartition(":") for address in (listen, to))]
    await serve(addresses[0], addresses[1], float(delay_ms) / 1000)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_run(*sys.argv[1:]))
