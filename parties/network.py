"""The benchmark, over plain loopback or with every committee node behind a line of a given rate.

For lines there are network namespaces of the run's own: a hub with a bridge, where the coordinator and the members
are, and one for each committee node, joined to the bridge by a veth pair with a token bucket at both ends. The
machine's own network is not touched, and no traffic leaves the namespaces.

The measuring process is started anew in the hub by `ip netns exec`. A process could also enter the hub by itself with
setns, but that moves only the calling thread: sockets of threads that gRPC has made earlier would stay outside.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mpc.errors import MpcError
from parties import bench, errors, trial
from parties.errors import ConfigError, InputError, ServiceError
from parties.loopback import COORDINATOR, own_environment
from parties.member import Progress
from parties.progress import Terminal
from parties.scenarios import Step

RATE = re.compile(r"([1-9][0-9]{0,5})([kmg])bit")
UNITS = {"k": 10**3, "m": 10**6, "g": 10**9}
RATES = (10**5, 10**11)
"""Bits per second; below, time-outs would be measured, and above, this machine."""

SMALLEST_BURST_BYTES = 64 << 10
"""The kernel hands over up to 64 KB as one packet; a smaller bucket would have nearly all of them cut up."""
LARGEST_TICK_S = 0.01
"""A bucket must hold what the line carries in one tick of the slowest kernel (100 Hz), or it would be slower."""
QUEUE = "50ms"
"""How long a packet waits for its turn before packets are dropped: a common router's queue, and TCP fills it."""

HUB_ADDRESS = "10.77.0.1"
BEFORE_COMPUTING = ("load", "waiting for the others")


def measure(folder: Path, step: Step, show: Progress) -> dict[str, Any]:
    """Measure a session.

    Args:
        folder: an empty one, for the nodes.
        step: what is measured; a rate is one that `check_rates` has seen.
        show: progress, where there is no rate; else the process in the hub shows it on standard error.

    Returns:
        The JSON report, with `line_used` if there is a rate.

    Raises:
        ConfigError: this machine cannot limit lines.
    """
    if not step.rate:
        return bench.Measurement(str(folder), step, {}).run(show)
    bits = parse_rate(step.rate)
    with limited_lines(trial.committee_for(trial.names(step.members), step.committee), bits) as lines:
        report = _in_hub(lines, bench.Measurement(str(folder), step, lines.hosts()))
    return report | {"line_used": line_used(report["committee"], bits)}


def parse_rate(text: str) -> int:
    """Bits per second of for example 500kbit, 100mbit or 1gbit.

    Raises:
        InputError: it is not a rate, or not a sensible one.
    """
    found = RATE.fullmatch(text)
    bits = int(found[1]) * UNITS[found[2]] if found else 0
    if not RATES[0] <= bits <= RATES[1]:
        raise InputError(f"`{text}` is not a rate: write for example 100mbit or 1gbit, from 100kbit to 100gbit.")
    return bits


def check_rates(rates: Iterable[str]) -> None:
    """Find out whether lines of these rates can be had here, before anything is begun; an empty text is no limit.

    Raises:
        InputError: a rate cannot be read.
        ConfigError: this machine cannot limit lines.
    """
    wanted = [parse_rate(rate) for rate in rates if rate]
    if wanted:
        check_machine()


def check_machine() -> None:
    """Find out whether lines can be limited here, before anything is changed.

    Raises:
        ConfigError: says what to do.
    """
    if not sys.platform.startswith("linux"):
        raise ConfigError("Lines of a --rate need Linux; run the benchmark without them, or on a Linux machine.")
    if os.geteuid() != 0:
        raise ConfigError(
            "Lines of a --rate are network namespaces, which only root may make; run it with sudo, or without them."
        )
    missing = [name for name in ("ip", "tc") if shutil.which(name) is None]
    if missing:
        raise ConfigError(
            f"Lines of a --rate need `{'` and `'.join(missing)}`; install the package iproute2 (or iproute)."
        )


def line_used(committee: dict[str, dict[str, Any]], bits: int) -> dict[str, float]:
    """How full each committee node's sending line was on average while the committee computed together.

    It is what the node sent to the others, divided by what its line carries in the time of the computation's
    steps; loading and waiting for the others to begin do not count as time. Sent are the messages as serialised:
    the headers of TLS, TCP, IP and Ethernet, some per cent, come on top, so a full line shows a little less than 1.
    Steps in which nothing is sent because everyone calculates make it less, and that is what it is there to show.
    The receiving line has the same rate and carries, over the whole committee, the same bytes.

    Args:
        committee: what the run cost each node.
        bits: the line's rate per second.
    """
    used = {}
    for name, figures in committee.items():
        seconds = sum(s for phase, s in figures["phases"].items() if phase not in BEFORE_COMPUTING)
        used[name] = round(8 * figures["sent_bytes"] / (bits * max(seconds, 0.001)), 3)
    return used


@dataclass(frozen=True)
class Lines:
    """Namespaces of one run.

    Attributes:
        hub: name of the namespace with the bridge.
        nodes: for each committee node, its namespace and its address.
    """

    hub: str
    nodes: dict[str, tuple[str, str]]

    @classmethod
    def named(cls, committee: Sequence[str]) -> Lines:
        """Names that no other run has."""
        stem = f"matchbit-{secrets.token_hex(4)}"
        return cls(f"{stem}-hub", {name: (f"{stem}-{k}", f"10.77.1.{k + 1}") for k, name in enumerate(committee)})

    def hosts(self) -> dict[str, tuple[str, list[str]]]:
        """Addresses and command prefixes, for `Loopback` in the hub."""
        nodes = {name: (address, _enter(namespace)) for name, (namespace, address) in self.nodes.items()}
        return {COORDINATOR: (HUB_ADDRESS, []), **nodes}

    def make(self, bits: int) -> None:
        """Make the namespaces and the lines."""
        _command("ip", "netns", "add", self.hub)
        _command("ip", "-n", self.hub, "link", "set", "lo", "up")
        _command("ip", "-n", self.hub, "link", "add", "bridge", "type", "bridge")
        _command("ip", "-n", self.hub, "address", "add", f"{HUB_ADDRESS}/16", "dev", "bridge")
        _command("ip", "-n", self.hub, "link", "set", "bridge", "up")
        for k, (namespace, address) in enumerate(self.nodes.values()):
            self._join(namespace, address, f"line{k}", bits)

    def _join(self, namespace: str, address: str, port: str, bits: int) -> None:
        """Make one node's namespace and its line to the bridge, limited at both ends: each limits what it sends."""
        _command("ip", "netns", "add", namespace)
        _command("ip", "-n", namespace, "link", "set", "lo", "up")
        # Both ends are made where they belong, so that not even a moment's interface is in the machine's own network.
        peer = ("type", "veth", "peer", "name", "line", "netns", namespace)
        _command("ip", "-n", self.hub, "link", "add", port, *peer)
        _command("ip", "-n", self.hub, "link", "set", port, "master", "bridge")
        _command("ip", "-n", namespace, "address", "add", f"{address}/16", "dev", "line")
        burst = str(burst_bytes(bits))
        for where, end in ((self.hub, port), (namespace, "line")):
            limit = ("tbf", "rate", f"{bits}bit", "burst", burst, "latency", QUEUE)
            _command("tc", "-n", where, "qdisc", "add", "dev", end, "root", *limit)
            _command("ip", "-n", where, "link", "set", end, "up")

    def remove(self) -> None:
        """End what still runs in the namespaces, and delete them; those that do not exist are no error."""
        for namespace in (self.hub, *(namespace for namespace, _ in self.nodes.values())):
            for pid in _try("ip", "netns", "pids", namespace).stdout.split():
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    continue
        for namespace in (self.hub, *(namespace for namespace, _ in self.nodes.values())):
            _try("ip", "netns", "delete", namespace)


def burst_bytes(bits: int) -> int:
    """The token bucket's size: as small as works, since a run's first burst is not limited."""
    return max(SMALLEST_BURST_BYTES, round(bits / 8 * LARGEST_TICK_S))


@contextmanager
def limited_lines(committee: Sequence[str], bits: int) -> Iterator[Lines]:
    """Namespaces and lines, gone afterwards.

    A run that is killed outright leaves namespaces behind; they do nothing, and `ip netns delete` removes them.

    Raises:
        ConfigError: the system does not allow it.
    """
    lines = Lines.named(committee)
    with _termination_as_interrupt():
        try:
            lines.make(bits)
            yield lines
        finally:
            lines.remove()


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Let a polite request to end, or a closed terminal, tidy up as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets only the main thread say what signals do
        return
    before = {s: signal.signal(s, signal.default_int_handler) for s in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def _in_hub(lines: Lines, measurement: bench.Measurement) -> dict[str, Any]:
    """Measure in a process of the hub; it gets the measurement on standard input and writes the report to its output.

    It has a terminal session of its own, so that Ctrl-C reaches this process alone, which then ends it.

    Raises:
        ServiceError: what that process raised.
    """
    process = subprocess.Popen(  # noqa: S603 - our own program; no shell, and no argument comes from the caller
        [*_enter(lines.hub), sys.executable, "-P", "-m", "parties.network"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
        env=own_environment(),
    )
    with process:
        try:
            output = process.communicate(json.dumps(asdict(measurement)))[0]
        except BaseException:
            process.kill()  # its daemons are ended with the namespaces
            raise
    if process.returncode:
        raise RuntimeError(f"the benchmark's process ended with {process.returncode}; its messages are above")
    answer: dict[str, Any] = json.loads(output)
    if "error" in answer:
        kind: type[ServiceError] = getattr(errors, answer["error"])
        raise kind(answer["sentence"])
    return answer


def main() -> None:
    """Measure in the hub: the other side of `_in_hub`."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    given = json.load(sys.stdin)
    try:
        answer = bench.Measurement(given["folder"], Step(**given["step"]), given["hosts"]).run(Terminal(sys.stderr))
    except (ServiceError, MpcError) as error:
        kind = type(error).__name__ if isinstance(error, ServiceError) else errors.SessionAborted.__name__
        answer = {"error": kind, "sentence": errors.sentence(error)}
    json.dump(answer, sys.stdout)


def _enter(namespace: str) -> list[str]:
    """What a command is preceded by to run in a namespace."""
    return ["ip", "netns", "exec", namespace]


def _try(*command: str) -> subprocess.CompletedProcess[str]:
    """Run `ip` or `tc`."""
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell, own arguments


def _command(*command: str) -> None:
    """Run `ip` or `tc`.

    Raises:
        ConfigError: it failed; says how.
    """
    done = _try(*command)
    if done.returncode:
        reason = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise ConfigError(
            f"`{' '.join(command)}` failed ({reason}); --rate needs a Linux that lets root make network namespaces, "
            "bridges, veth pairs and tbf queues, which some containers do not."
        )


if __name__ == "__main__":
    main()
