"""What a simulation stands on: a network that loses, delays and repeats calls, and daemons that die at any transaction.

Keys and databases are real. All is in one thread, so that a history can be run again exactly.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from enum import Enum
from functools import lru_cache
from pathlib import Path
from sqlite3 import Connection
from typing import Any, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from parties.audit import Log
from parties.errors import FROM_STATUS, PeerUnavailable, ServiceError, StorageError, status
from parties.store import Store
from tests.parties.samples import NOW

T = TypeVar("T")


class Signer:
    """A real Ed25519 key, both halves; what it has signed or checked before it does not compute once more."""

    def __init__(self, name: str) -> None:
        key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
        self.public_bytes, self._public = key.public_key().public_bytes_raw(), key.public_key()
        self.sign = lru_cache(1 << 14)(key.sign)
        self._fits = lru_cache(1 << 14)(self._check)

    def _check(self, signature: bytes, data: bytes) -> bool:
        try:
            self._public.verify(signature, data)
        except InvalidSignature:
            return False
        return True

    def verify(self, signature: bytes, data: bytes) -> None:
        """As a public key does."""
        if not self._fits(signature, data):
            raise InvalidSignature


class Fate(Enum):
    """What becomes of a call."""

    DONE = "it is done and answered"
    LOST = "it does not arrive"
    ANSWER_LOST = "it is done, and its answer does not arrive"
    LATE = "the caller gives it up, and it arrives later"
    TWICE = "it is done, and once more later"
    OVERTAKEN = "it is done, and before its answer arrives so is a call that was late"


class Trouble(Enum):
    """What happens to a daemon at the edge of a transaction."""

    CRASH = "it dies"
    FULL = "its disk is full"
    MEANWHILE = "others go on"


class Crash(BaseException):
    """A daemon dies: nothing happens that it would have done."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Disk(Store):
    """A daemon's database, which tells of the edges of its transactions: where each begins, and where it has ended."""

    def __init__(self, path: Path, log: Log, clock: Callable[[], datetime], edge: Callable[[bool], None]) -> None:
        self._edge = edge
        super().__init__(path, log, clock)

    @property
    def _connection(self) -> Connection:
        fresh = not hasattr(self._local, "connection")
        connection = super()._connection
        if fresh:
            connection.execute("PRAGMA synchronous=OFF")  # processes die here, not the machine
        return connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """As it is, between two edges; one within another has none."""
        if self._connection.in_transaction:
            yield self._connection
            return
        self._edge(True)
        with super().transaction() as db:
            yield db
        self._edge(False)

    @property
    def changes(self) -> int:
        """How much has been written since it was opened."""
        return self._connection.total_changes

    def close(self) -> None:
        """What the system does when the process has ended."""
        self._connection.close()


class Daemon:
    """A process on a database of its own.

    Attributes:
        life: another number whenever it has died or been started.
        calls: how many it is doing.
        troubles: that it will have, each with the number of edges that go well before it.
    """

    store: Disk

    def __init__(self, name: str, key: Any, network: Network) -> None:
        self.name, self.key, self.network = name, key, network
        self.alive, self.life, self.calls = False, 0, 0
        self.troubles: deque[tuple[int, Trouble]] = deque()

    def start(self) -> None:
        """Begin a life on what the last one left; it may be short."""
        self.life += 1
        path, clock, last = self.network.folder / f"{self.name}.db", self.network.clock, getattr(self, "store", None)
        try:
            self.store = Disk(path, Log(self.name, self.key, clock), clock, self._edge)
            if last:
                last.close()
            self.take_up()
        except (Crash, ServiceError):
            self.die()
        else:
            self.alive = True

    def take_up(self) -> None:
        """What the daemon does before it answers calls."""

    def keep_house(self) -> None:
        """What it does now and then."""

    def die(self) -> None:
        """End this life; what it had in memory is lost."""
        self.alive, self.life = False, self.life + 1

    @property
    def busy(self) -> bool:
        """Whether a call to it has to wait for another one."""
        return False

    def _edge(self, before: bool) -> None:
        if not self.troubles or (self.troubles[0][1] is Trouble.FULL and not before):
            return
        left, trouble = self.troubles.popleft()
        if left:
            self.troubles.appendleft((left - 1, trouble))
        elif trouble is Trouble.CRASH:
            raise Crash(self.name)
        elif trouble is Trouble.FULL:
            raise StorageError("The disk is full.")
        else:
            life = self.life
            self.network.meanwhile()
            self.go_on(life)

    def go_on(self, life: int) -> None:
        """End what was begun in a life that is over."""
        if self.life != life:
            raise Crash(self.name)

    def do(self, what: Callable[[], T]) -> T:
        """Have it do something.

        Raises:
            PeerUnavailable: it was dead, or died of it.
        """
        if not self.alive:
            raise PeerUnavailable(f"{self.name} cannot be reached.")
        life, self.calls = self.life, self.calls + 1
        try:
            return what()
        except Crash as crash:
            if crash.name != self.name:
                raise
            if self.life == life:
                self.die()
            raise PeerUnavailable(f"{self.name} went away.") from None
        finally:
            self.calls -= 1


class Network:
    """Carries calls, each as its fate is.

    Attributes:
        folder: of all databases.
        now: the time, on all clocks.
        fates: of the next calls; then they are done and answered.
        late: calls that are still on their way.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, NOW
        self.fates: deque[Fate] = deque()
        self.late: list[tuple[Daemon, Callable[[], object]]] = []

    def clock(self) -> datetime:
        """The time."""
        return self.now

    def seconds(self) -> float:
        """The same, as a number that only grows."""
        return self.now.timestamp()

    def wait(self, **time: float) -> None:
        """Let time pass."""
        self.now += timedelta(**time)

    def call(self, caller: Daemon | None, target: Daemon, what: Callable[[], T]) -> T:
        """Have a daemon do something for another one, or for somebody who never dies.

        Raises:
            ServiceError: what the target answers, or that it did not in time.
        """
        fate, life = self.fates.popleft() if self.fates else Fate.DONE, caller.life if caller else 0
        if fate in (Fate.LATE, Fate.TWICE):
            self.late.append((target, what))
        lost = PeerUnavailable(f"{target.name} did not answer in time.")
        if fate in (Fate.LATE, Fate.LOST):
            raise lost
        error: ServiceError | None = None
        try:
            answer = target.do(what)
        except ServiceError as refused:
            error = FROM_STATUS[status(refused)](str(refused))
        if fate is Fate.OVERTAKEN:
            self.deliver_late(0)
        if caller:
            caller.go_on(life)
        if error or fate is Fate.ANSWER_LOST:
            raise error if error and fate is not Fate.ANSWER_LOST else lost
        return answer

    def meanwhile(self) -> None:
        """Let something else happen, in the middle of what somebody does."""
        self.deliver_late(0)

    def deliver_late(self, which: int) -> None:
        """Let a call arrive that was late; nobody waits for its answer any more."""
        if self.late and not self.late[which % len(self.late)][0].busy:
            target, what = self.late.pop(which % len(self.late))
            with suppress(ServiceError):
                target.do(what)
