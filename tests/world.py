"""Three in-memory parties in threads, and a way to tamper with any message by step.

`run_parties` runs one function as all three parties and returns what each returned or raised. Every message is
recorded with the sender's logical time, so that rounds (the longest chain of messages) and bytes can be counted.
A watched world needs no clock: a wait that nothing can end any more ends at once.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mpc.channel import MAILBOX_BYTES, InMemoryChannel, Mailbox
from mpc.committee import PARTIES, PartyId
from mpc.dummies import Noise
from mpc.engine import Inputs
from mpc.errors import MpcError
from mpc.matching import Reveal
from mpc.replicated import Array, deal, share
from mpc.reveal import digest
from mpc.session import TAG_BYTES, Session, open_session

OF_KEYS = (Reveal.FLAG, Reveal.COUNT, Reveal.MEMBERS)
"""What tells of single keys, by either engine."""
Tamper = Callable[[int, int, str, bytes], list[bytes]]
"""(sender, receiver, step, message) → the messages delivered in its place."""


@dataclass
class Sent:
    """One message as the world saw it."""

    sender: int
    receiver: int
    step: str
    message: bytes
    time: int

    @property
    def payload_bytes(self) -> int:
        """Bytes without the authenticator."""
        return len(self.message) - TAG_BYTES


class DeadlockError(Exception):
    """Parties wait for each other to read, for ever."""


class CountingChannel(InMemoryChannel):
    """An in-memory channel that keeps a logical clock."""

    def __init__(self, world: World, party: int, mailboxes: dict[int, Mailbox]) -> None:
        super().__init__(party, mailboxes, self._deliver_or_tamper)
        self._world, self._boxes = world, mailboxes

    def _deliver_or_tamper(self, sender: int, receiver: int, step: str, message: bytes) -> None:
        with self._world.lock:
            time = self._world.clock[sender] + 1
            self._world.sent.append(Sent(sender, receiver, step, message, time))
            self._world.times[sender, receiver, step] = time
        copies = self._world.tamper(sender, receiver, step, message) if self._world.tamper else [message]
        box = self._boxes[receiver]
        self._world.watch.now(sender, None)
        with box._changed:  # several copies arrive at one instant
            if not copies:
                self._world.watch.lost.add((sender, receiver, step))
            for copy in copies:
                with contextlib.suppress(MpcError):  # the receiver has stopped, and says so itself
                    box.put(sender, step, copy)

    def receive(self, peer: int, step: str) -> bytes:
        self._world.watch.now(self.party, (peer, self.party, step))
        message = super().receive(peer, step)
        with self._world.lock:
            time = self._world.times[peer, self.party, step]
            self._world.clock[self.party] = max(self._world.clock[self.party], time)
        return message


@dataclass
class _Wait:
    """A party that waits: for which message (None: for room in a mailbox), and what ends it."""

    message: tuple[PartyId, PartyId, str] | None
    ready: Callable[[], Any]
    expired: bool = False


class Watch:
    """Knows when all parties wait, which puts an end to the wait for a lost message without a clock.

    Counts one thread a party: for protocols that run their chunks one at a time.
    """

    def __init__(self) -> None:
        self.lost: set[tuple[PartyId, PartyId, str]] = set()
        self._lock = threading.RLock()
        self._conditions: list[threading.Condition] = []
        self._waits: dict[PartyId, _Wait] = {}
        self._ended: set[PartyId] = set()
        self._here = threading.local()

    def now(self, party: PartyId, message: tuple[PartyId, PartyId, str] | None) -> None:
        """From here on this thread waits as this party, and for this message or for room in a mailbox."""
        self._here.who = party, message

    def condition(self) -> threading.Condition:
        """A condition whose waits are watched; all of a world share one lock."""
        condition = _WatchedCondition(self, self._lock)
        self._conditions.append(condition)
        return condition

    def wait(self, condition: threading.Condition, ready: Callable[[], Any], can_expire: bool) -> Any:
        """Wait until ready or expired, the lock being held."""
        party, message = self._here.who
        wait = _Wait(message, ready)
        while not (result := ready()):
            self._waits[party] = wait
            self._expire()
            if wait.expired:
                break
            condition.wait()
        self._waits.pop(party, None)
        if wait.expired and not result and not can_expire:
            raise DeadlockError(f"party {party} cannot send: the reader's mailbox is full")
        return result

    def end(self, party: PartyId) -> None:
        """This party has returned or raised."""
        with self._lock:
            self._ended.add(party)
            self._expire()

    def _expire(self) -> None:
        """If nobody can go on, let the waits for lost messages expire; without any, all of them: a deadlock."""
        waits = self._waits
        if all(p in self._ended or (p in waits and not waits[p].ready()) for p in PARTIES):
            for wait in [w for w in waits.values() if w.message in self.lost] or waits.values():
                wait.expired = True
            for condition in self._conditions:
                condition.notify_all()


class _WatchedCondition(threading.Condition):
    def __init__(self, watch: Watch, lock: Any) -> None:
        super().__init__(lock)
        self._watch = watch

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        return self._watch.wait(self, predicate, can_expire=timeout is not None)


@dataclass
class World:
    """What happened in one run.

    Attributes:
        tamper: what to do to each message.
        timeout_s: how long a party waits for a message.
        capacity_bytes: of each mailbox.
        watched: end hopeless waits at once; only for runs with one thread a party.
        parties: how many there are; three for protocols on the ring.
    """

    tamper: Tamper | None = None
    timeout_s: float = 60.0
    capacity_bytes: int = MAILBOX_BYTES
    watched: bool = False
    parties: int = len(PARTIES)
    watch: Watch = field(default_factory=Watch)
    sent: list[Sent] = field(default_factory=list)
    results: dict[int, Any] = field(default_factory=dict)
    errors: dict[int, BaseException] = field(default_factory=dict)
    clock: Counter[int] = field(default_factory=Counter)
    times: dict[tuple[int, int, str], int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def rounds(self) -> int:
        """Length of the longest chain of messages, each sent after receiving the one before; without key agreement."""
        return max(s.time for s in self.sent) - 1

    def bytes_of(self, party: int) -> int:
        """Payload bytes that a party sent, without key agreement."""
        return sum(s.payload_bytes for s in self.sent if s.sender == party and s.step.split("/")[-1] != "keys")

    def received(self, party: int) -> dict[int, list[Sent]]:
        """What a party received from each of the others, in the sender's order."""
        others = [p for p in range(self.parties) if p != party]
        return {p: [s for s in self.sent if (s.sender, s.receiver) == (p, party)] for p in others}

    def run(self, protocol: Callable[[Session], Any], seed: int | None = None) -> World:
        """Run a protocol as all three parties, each in a thread; a party that raises aborts its channel."""
        return self.connect(lambda me, c: protocol(open_session(PartyId(me), c, private_key(seed, me), b"a session")))

    def connect(self, party_of: Callable[[int, CountingChannel], Any]) -> World:
        """Run what parties do with their channels, given their number and it, each in a thread."""
        mailboxes = {p: Mailbox(self.timeout_s, self.capacity_bytes) for p in range(self.parties)}
        if self.watched:
            for mailbox in mailboxes.values():
                mailbox._changed = self.watch.condition()

        def party(me: int) -> None:
            channel = CountingChannel(self, me, mailboxes)
            try:
                self.results[me] = party_of(me, channel)
            except BaseException as error:  # for the test to look at
                self.errors[me] = error
                channel.abort(error if isinstance(error, MpcError) else MpcError(repr(error)))
            finally:
                self.watch.end(me)

        threads = [threading.Thread(target=party, args=(p,), daemon=True) for p in range(self.parties)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self


def private_key(seed: int | None, party: int) -> X25519PrivateKey:
    """A party's key for one attempt, from a seed or fresh."""
    if seed is None:
        return X25519PrivateKey.generate()
    return X25519PrivateKey.from_private_bytes(bytes([party + 1]) * 16 + seed.to_bytes(16, "little"))


def run_parties(protocol: Callable[[Session], Any], seed: int | None = None) -> list[Any]:
    """The three parties' results; an error is raised, one of our own rather than its echo at a peer."""
    world = World().run(protocol, seed)
    for error in sorted(world.errors.values(), key=lambda e: getattr(e, "reason", "") == "disconnected"):
        raise error
    return [world.results[p] for p in PARTIES]


def shares(value: Array, seed: int = 0) -> tuple[Any, Any, Any]:
    """A value of any unsigned dtype dealt to the three parties, with masks from a seed."""
    rng = np.random.default_rng(seed)
    masks = [rng.integers(0, 256, value.nbytes, np.uint8).view(value.dtype).reshape(value.shape) for _ in "ab"]
    return deal(share(value, *masks))


SECRETS = tuple(bytes([component]) * 32 for component in PARTIES)


def dealt(
    lists: Sequence[Array],
    reveal: Reveal = Reveal.FLAG,
    chunk_rows: int = 0,
    seed: int = 0,
    *,
    noise: Noise | None = None,
    secrets: Sequence[bytes] = SECRETS,
    verified: bool = False,
) -> tuple[Inputs, Inputs, Inputs]:
    """What honest members with these lists of keys, (keys, 2) uint64 each, give the three parties.

    `secrets` fix the noise: that of each component's two holders.
    """
    counts = tuple(len(keys) for keys in lists)
    dealt_rows = shares(np.concatenate(lists), seed)
    cuts = np.cumsum(counts)[:-1].tolist()

    def inputs(party: PartyId) -> Inputs:
        rows = dealt_rows[party]
        a, b = ([digest(part) for part in np.split(component, cuts)] for component in (rows.a, rows.b))
        own = secrets[party], secrets[party.next]
        digests = tuple(zip(a, b, strict=True))
        return Inputs(b"t" * 32, counts, digests, lambda: rows.map(np.copy), reveal, noise, own, verified, chunk_rows)

    return inputs(PartyId.P0), inputs(PartyId.P1), inputs(PartyId.P2)
