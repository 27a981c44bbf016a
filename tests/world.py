"""Three in-memory parties in threads, and a way to tamper with any message by step.

`run_parties` runs one function as all three parties and returns what each returned or raised. Every message is
recorded with the sender's logical time, so that rounds (the longest chain of messages) and bytes can be counted.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mpc.channel import InMemoryChannel, Mailbox
from mpc.committee import PARTIES, PartyId
from mpc.errors import MpcError
from mpc.session import TAG_BYTES, Session, open_session

Tamper = Callable[[PartyId, PartyId, str, bytes], list[bytes]]
"""(sender, receiver, step, message) → the messages delivered in its place."""


@dataclass
class Sent:
    """One message as the world saw it."""

    sender: PartyId
    receiver: PartyId
    step: str
    message: bytes
    time: int

    @property
    def payload_bytes(self) -> int:
        """Bytes without the authenticator."""
        return len(self.message) - TAG_BYTES


class CountingChannel(InMemoryChannel):
    """An in-memory channel that keeps a logical clock."""

    def __init__(self, world: World, party: PartyId, mailboxes: dict[PartyId, Mailbox]) -> None:
        super().__init__(party, mailboxes, self._deliver_or_tamper)
        self._world, self._boxes = world, mailboxes

    def _deliver_or_tamper(self, sender: PartyId, receiver: PartyId, step: str, message: bytes) -> None:
        with self._world.lock:
            time = self._world.clock[sender] + 1
            self._world.sent.append(Sent(sender, receiver, step, message, time))
            self._world.times[sender, receiver, step] = time
        for copy in self._world.tamper(sender, receiver, step, message) if self._world.tamper else [message]:
            with contextlib.suppress(MpcError):  # the receiver has stopped, and says so itself
                self._boxes[receiver].put(sender, step, copy)

    def receive(self, peer: PartyId, step: str) -> bytes:
        message = super().receive(peer, step)
        with self._world.lock:
            time = self._world.times[peer, self.party, step]
            self._world.clock[self.party] = max(self._world.clock[self.party], time)
        return message


@dataclass
class World:
    """What happened in one run."""

    tamper: Tamper | None = None
    timeout_s: float = 30.0
    sent: list[Sent] = field(default_factory=list)
    results: dict[PartyId, Any] = field(default_factory=dict)
    errors: dict[PartyId, BaseException] = field(default_factory=dict)
    clock: dict[PartyId, int] = field(default_factory=lambda: dict.fromkeys(PARTIES, 0))
    times: dict[tuple[PartyId, PartyId, str], int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def rounds(self) -> int:
        """Length of the longest chain of messages, each sent after receiving the one before; without key agreement."""
        return max(s.time for s in self.sent) - 1

    def bytes_of(self, party: PartyId) -> int:
        """Payload bytes that a party sent, without key agreement."""
        return sum(s.payload_bytes for s in self.sent if s.sender == party and s.step != "keys")

    def run(self, protocol: Callable[[Session], Any], seed: int | None = None) -> World:
        """Run a protocol as all three parties, each in a thread; a party that raises aborts its channel."""
        mailboxes = {p: Mailbox(self.timeout_s) for p in PARTIES}

        def party(me: PartyId) -> None:
            channel = CountingChannel(self, me, mailboxes)
            try:
                session = open_session(me, channel, _private_key(seed, me), b"a session")
                self.results[me] = protocol(session)
            except BaseException as error:  # for the test to look at
                self.errors[me] = error
                channel.abort(error if isinstance(error, MpcError) else MpcError(repr(error)))

        threads = [threading.Thread(target=party, args=(p,), daemon=True) for p in PARTIES]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self


def _private_key(seed: int | None, party: PartyId) -> X25519PrivateKey:
    if seed is None:
        return X25519PrivateKey.generate()
    return X25519PrivateKey.from_private_bytes(bytes([party + 1]) * 16 + seed.to_bytes(16, "little"))


def run_parties(protocol: Callable[[Session], Any], seed: int | None = None) -> list[Any]:
    """The three parties' results; the first error is raised."""
    world = World().run(protocol, seed)
    for error in world.errors.values():
        raise error
    return [world.results[p] for p in PARTIES]
