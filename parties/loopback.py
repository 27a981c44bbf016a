"""A whole federation on one machine: real daemons as separate processes on loopback, each with keys of its own."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

import grpc

from parties import config
from parties.config import Config
from parties.errors import PeerUnavailable
from parties.federation import Node
from parties.transport import dial

COORDINATOR, NEUTRAL = "coordinator", "neutral"
START_TIMEOUT_S = 60.0
PORTS = range(10_000, 30_000)
"""Below those that systems give to outgoing connections, so that none is taken before its daemon listens."""
_turns = count(secrets.randbelow(len(PORTS)))


def free_port() -> int:
    """A port that nothing listens on just now, each time another one."""
    while True:
        port = PORTS[next(_turns) % len(PORTS)]
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def own_environment() -> dict[str, str]:
    """For processes that run this program."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


class Loopback:
    """A federation in a folder, and the processes that serve it.

    Args:
        folder: an empty folder; one sub-folder for each node.
        members: names.
        committee: names; those that are not members are neutral nodes.
        hosts: for each node that listens, the address it listens on and a command that its daemon is started with.
    """

    def __init__(
        self,
        folder: Path,
        members: Sequence[str],
        committee: Sequence[str],
        hosts: dict[str, tuple[str, list[str]]] | None = None,
    ) -> None:
        self.members, self.committee = tuple(members), tuple(committee)
        self._hosts = hosts or {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.configs: dict[str, Config] = {}
        for name in dict.fromkeys((COORDINATOR, *committee, *members)):
            listens = name == COORDINATOR or name in committee
            host = self._hosts.get(name, ("127.0.0.1", []))[0]
            address = f"{host}:{free_port() if host == '127.0.0.1' else 7700}" if listens else ""
            self.configs[name] = config.create(name, folder / name, address, name == COORDINATOR)
        entries = "\n".join((c.folder / "entry.toml").read_text("utf-8") for c in self.configs.values())
        known = folder / "federation.toml"
        known.write_text(entries, "utf-8")
        for c in self.configs.values():  # a thousand copies of a thousand entries would fill the disk
            c.federation_path.unlink()
            c.federation_path.hardlink_to(known)

    @property
    def daemons(self) -> tuple[str, ...]:
        """Names of the nodes that listen."""
        return (COORDINATOR, *self.committee)

    def program(self, name: str) -> list[str]:
        """The command that runs Matchbit for a node."""
        del name
        return [sys.executable, "-P", "-m", "parties.cli"]

    def start(self, *names: str) -> None:
        """Start daemons, all by default, and wait until they answer.

        Raises:
            PeerUnavailable: one did not come up; its log says why.
        """
        for name in names or self.daemons:
            folder = self.configs[name].folder
            role = "coordinator" if self._entry(name).coordinator else "node"
            command = [*self._hosts.get(name, ("", []))[1], *self.program(name), role, "serve"]
            with (folder / "log.txt").open("ab") as log:
                self._processes[name] = subprocess.Popen(  # noqa: S603 - our own program
                    [*command, "--config", str(folder / "node.toml")],
                    stdout=log,
                    stderr=log,
                    env=own_environment(),
                )
        for name in names or self.daemons:
            self._wait(name)

    def _entry(self, name: str) -> Node:
        """A daemon's own entry in its federation.toml."""
        return self.configs[name].federation()[self.configs[name].name]

    def _wait(self, name: str) -> None:
        """Wait for a daemon's port; any caller of the federation may ask."""
        own = self.configs[COORDINATOR]
        until = time.monotonic() + START_TIMEOUT_S
        while True:
            connection = dial(own.identity(), self._entry(name))
            try:
                grpc.channel_ready_future(connection).result(timeout=2.0)
                return
            except grpc.FutureTimeoutError:
                if self._processes[name].poll() is not None or time.monotonic() > until:
                    log = self.configs[name].folder / "log.txt"
                    raise PeerUnavailable(f"{name} did not start; see {log}.") from None
            finally:
                connection.close()

    def stop(self, *names: str, kill: bool = False) -> None:
        """Stop daemons, all by default."""
        stopped = [self._processes.pop(name) for name in names or tuple(self._processes)]
        for process in stopped:
            process.kill() if kill else process.terminate()
        for process in stopped:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def pid(self, name: str) -> int:
        """Process id of a daemon."""
        return self._processes[name].pid

    def __enter__(self) -> Loopback:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
