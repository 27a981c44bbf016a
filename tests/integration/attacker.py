"""Who attacks a daemon: a hostile party, what it has opened, and what it was told."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from parties import config
from parties.config import Config
from parties.loopback import COORDINATOR, NEUTRAL
from parties.store import SessionRecord
from parties.transport import dial
from tests.integration.federations import COMMITTEE, MEMBERS, Federation
from tests.integration.http2 import PATIENCE_S, WINDOW_BYTES, Connection

ROGUE = "rogue"
METHODS = ("RunService/GetRun", "ContributionService/Contribute", "ExchangeService/Exchange", "NodeService/GetNode")
"""Of a node: unary ones and streams."""
OF_THE_COORDINATOR = ("SessionService/GetSession", "SessionService/ReportContribution", "NodeService/ExchangeHeads")
AFTERWARDS_S = 1.0
"""How long an attack may take to end by itself."""
Moves = Iterator[None]
"""An attack: it stands when the first move is made, and goes on for as long as it is let."""
LARGE_ROWS = 100_000
"""Of a result that does not fit into what is sent unasked: of 8 bytes a row."""


class Attacked(Federation):
    """A federation in which `rogue` is a member, and now and then on a committee."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, (*MEMBERS, ROGUE), (*COMMITTEE, ROGUE))
        path = self.configs[NEUTRAL].folder / "node.toml"  # loses patience with a committee node that is silent
        path.write_text(path.read_text("utf-8").replace("start_timeout_s = 20", "start_timeout_s = 5"), "utf-8")

    def contributed(self, committee: tuple[str, ...], rows: int) -> SessionRecord:
        """A session of `rogue` and agency-a, to which both have contributed."""
        members = ("agency-a", ROGUE)
        record = self.approved(members=members, committee=committee, max_records=LARGE_ROWS, reveal="members")
        for name, own in zip(members, (10, rows), strict=True):
            self.member(name).contribute_keys(record, np.arange(2 * own, dtype=np.uint64).reshape(-1, 2))
        return record

    def aims(self) -> dict[str, Aim]:
        """At each daemon that is attacked, with sessions for every attack."""
        done = self.operator.run(self.contributed((NEUTRAL, *COMMITTEE[:2]), LARGE_ROWS).id)
        ready = self.contributed(("agency-a", NEUTRAL, ROGUE), 10)
        opened = self.approved(members=["agency-a", ROGUE], committee=COMMITTEE, max_records=10**6)
        folder = self.configs[ROGUE].folder.parent
        return {target: Aim(folder, target, opened.id, ready.id, done.id) for target in (NEUTRAL, COORDINATOR)}

    def honest(self, rows: int) -> None:
        """A session of the others from proposal to its end, in which everyone gets the right results."""
        record = self.approved(members=MEMBERS, committee=COMMITTEE, max_records=rows)
        keys = np.random.default_rng(7).integers(0, 2**64, (len(MEMBERS) + 1, rows // 2, 2), np.uint64)
        for k, name in enumerate(MEMBERS):  # the first half of each is common
            self.member(name).contribute_keys(record, np.concatenate([keys[0], keys[k + 1]]))
        self.operator.run(record.id)
        for name in MEMBERS:
            member = self.member(name)
            flags = member.fetch(member.coordinator.get(record.id), 2 * (rows // 2))
            assert flags.tolist() == [1] * (rows // 2) + [0] * (rows // 2), name
        self.operator.coordinator.close(record.id)


@dataclass(frozen=True)
class Aim:
    """What an attack is on.

    Attributes:
        folder: of the federation; a sub-folder for each node.
        target: name of the daemon.
        open: a session to which `rogue` may contribute.
        ready: one on whose committee it is, with all contributions.
        done: one that gave it a large result.
    """

    folder: Path
    target: str
    open: bytes
    ready: bytes
    done: bytes

    def own(self, name: str = ROGUE) -> Config:
        """The settings of a hostile party."""
        return config.load(self.folder / name / "node.toml")


@dataclass(frozen=True)
class Attack:
    """One line of the list.

    Attributes:
        by: who attacks.
        text: what is done.
        moves: does it, so many at once or on so many connections.
        few: how many in the tests.
        many: how many in the benchmark.
        target: the daemon.
        memory_mb: how much the daemon may take for it, and for a session of others meanwhile.
        stalls: whether others may be kept waiting while it lasts: known, and in SECURITY.md.
    """

    by: str
    text: str
    moves: Callable[[Attacker, int], Moves]
    few: int
    many: int
    target: str = NEUTRAL
    memory_mb: int = 256
    stalls: bool = False

    @property
    def name(self) -> str:
        """Short."""
        return f"{self.moves.__name__}-{self.target}"


class Attacker:
    """Holds what an attack has opened, and what it was told."""

    def __init__(self, aim: Aim) -> None:
        self.aim, self.over, self.told = aim, threading.Event(), Counter[str]()
        self.own = aim.own()
        self.node = self.own.federation()[aim.target]
        self._sockets: list[socket.socket] = []
        self._connections: list[Connection] = []
        self._channels = ExitStack()

    def methods(self) -> Iterator[str]:
        """Methods of the target, over and over."""
        return cycle(OF_THE_COORDINATOR if self.aim.target == COORDINATOR else METHODS)

    def many(self, number: int, do: Callable[[], object]) -> None:
        """Do something so many times, also where the node hangs up."""
        for _ in range(number):
            if self.over.is_set():
                return
            try:
                do()
            except OSError:
                self.told["hung up"] += 1

    def touch(self) -> socket.socket:
        """A TCP connection, and nothing on it."""
        host, port = self.node.address.rsplit(":", 1)
        self._sockets.append(socket.create_connection((host, int(port)), timeout=PATIENCE_S))
        return self._sockets[-1]

    def connect(self, window_bytes: int = WINDOW_BYTES, name: str = ROGUE) -> Connection:
        """A pinned connection, made by hand."""
        self._connections.append(Connection(self.node, self.aim.own(name).identity(), window_bytes))
        return self._connections[-1]

    def channel(self) -> grpc.Channel:
        """A connection of gRPC's."""
        channel = dial(self.own.identity(), self.node)
        self._channels.callback(channel.close)
        return channel

    def hear(self, call: Any) -> None:
        """Wait for a call of gRPC's, and take note of how it ends."""
        with suppress(grpc.FutureCancelledError):
            if call.exception() is not None and not self.over.is_set():
                self.told[str(call.details())] += 1

    def drop(self, connection: Connection) -> None:
        """Hear what is to be heard, and hang up."""
        self.told.update(connection.heard())
        connection.socket.close()
        self._connections.remove(connection)

    def stop(self) -> None:
        """Free whoever is still sending or waits for an answer."""
        for connection in tuple(self._connections):
            connection.no_more()
        self._channels.close()

    def close(self) -> None:
        """Hang up everywhere, after the last words."""
        self._channels.close()
        for connection in tuple(self._connections):
            self.drop(connection)
        for held in self._sockets:
            held.close()


@contextmanager
def attacking(attack: Attack, aim: Aim, number: int) -> Iterator[Attacker]:
    """Attack from when the first move is made until the block ends."""
    attacker, stands = Attacker(aim), threading.Event()

    def go_on() -> None:
        try:
            for _ in attack.moves(attacker, number):
                stands.set()
                if attacker.over.is_set():
                    return
        finally:
            stands.set()

    thread = threading.Thread(target=go_on, name=attack.name)
    thread.start()
    try:
        stands.wait()
        yield attacker
    finally:
        attacker.over.set()
        thread.join(AFTERWARDS_S)
        if thread.is_alive():  # who hangs up first does not hear what it was told
            attacker.stop()
        thread.join()
        attacker.close()
