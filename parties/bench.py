"""One measured session on a federation of real daemons on this machine, over generated keys.

For a delay there is a relay in front of each committee node, at the address that others call: the bytes of a connection
between two nodes pass the relay of the one that is called, hence one delay each way. Where the node has a line of its
own (`parties.network`), the relay is at the node's end of it. Members and the coordinator reach the nodes through the
same relays; what nodes ask of the coordinator is not delayed.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from mpc import kernel
from mpc.replicated import Array
from parties import trial
from parties.errors import ConfigError
from parties.launch import Operator
from parties.loopback import COORDINATOR, Loopback, free_port, own_environment
from parties.member import Member, Progress
from parties.scenarios import Step
from parties.trial import AT_ONCE, Outcome, run_session

RELAY = [sys.executable, "-m", "parties.relay"]
PACKAGES = ("matchbit", "numpy", "cryptography", "grpcio", "protobuf")


@dataclass(frozen=True)
class Measurement:
    """One run of the benchmark.

    Attributes:
        folder: an empty one, for the nodes.
        step: what is measured.
        hosts: where the nodes are, as `Loopback` takes it; empty for loopback.
    """

    folder: str
    step: Step
    hosts: dict[str, tuple[str, list[str]]]

    def run(self, show: Progress) -> dict[str, Any]:
        """Start the federation and measure a session; returns the JSON report."""
        members = trial.names(self.step.members)
        show("starting daemons", 0, 0)
        federation = Loopback(Path(self.folder), members, trial.committee_for(members), self.hosts)
        with ExitStack() as lines:
            if self.step.delay_ms:
                lines.enter_context(relayed(federation, self.hosts, self.step.delay_ms))
            since = lines.enter_context(started(federation))
            report = measure_session(federation, self.step, show)
        seconds = {name: listened_s(federation.configs[name].folder / "log.txt", at) for name, at in since.items()}
        return {"step": asdict(self.step), "daemons_s": seconds} | report


@contextmanager
def started(federation: Loopback) -> Iterator[dict[str, datetime]]:
    """A federation's daemons for the length of a block: the coordinator alone, then all three nodes at once.

    Yields:
        When each was started.
    """
    since: dict[str, datetime] = {}
    try:
        for names in ([COORDINATOR], federation.committee):
            since |= dict.fromkeys(names, datetime.now(UTC))
            federation.start(*names)
        yield since
    finally:
        federation.stop()


def listened_s(log: Path, since: datetime) -> float:
    """Seconds from then until a daemon listened, by its own log: others ask only now and then whether it is up."""
    line = next(line for line in log.read_text("utf-8").splitlines() if " listens on " in line)
    return round((datetime.fromisoformat(line.split()[0]) - since).total_seconds(), 3)


@contextmanager
def relayed(federation: Loopback, hosts: dict[str, tuple[str, list[str]]], delay_ms: float) -> Iterator[None]:
    """A relay before every committee node for the length of a block.

    It takes the node's address; the daemon, which must not have been started yet, listens behind it.

    Args:
        federation: not started.
        hosts: where its nodes are.
        delay_ms: each way.
    """
    with ExitStack() as relays:
        for name in federation.committee:
            own = federation.configs[name]
            behind = f"127.0.0.1:{free_port()}"
            path = own.folder / "node.toml"
            path.write_text(path.read_text("utf-8").replace(f'"{own.listen}"', f'"{behind}"', 1), "utf-8")
            process = subprocess.Popen(  # noqa: S603 - our own program
                [*hosts.get(name, ("", []))[1], *RELAY, own.listen, behind, str(delay_ms)],
                stdin=subprocess.PIPE,  # the relay ends when this process lets go of it, in whatever way
                stdout=subprocess.PIPE,
                env=own_environment(),
            )
            relays.enter_context(process)
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            if process.stdout.readline() != b"ready\n":
                raise ConfigError(f"The relay of {name} did not start; its messages are above.")
        yield


def measure_session(federation: Loopback, step: Step, show: Progress) -> dict[str, Any]:
    """One session on a started federation.

    Returns:
        The JSON report: what the run cost, in all and for each row, and whether every member got the right flags.
    """
    show("generating keys", 0, 0)
    generated, truth = bench_keys(step.members, step.rows, step.overlap)
    keys = dict(zip(federation.members, generated, strict=True))
    terms = {
        "session": {"title": "Benchmark", "purpose": "measure", "max_records": step.rows, **step.terms()},
        "rule": [{"name": "key", "fields": ["key"]}],
    }
    outcome = run_session(federation, terms, lambda m, record: m.contribute_keys(record, keys[m.config.name]), show)

    def fetch(name: str) -> Array:
        member = Member(federation.configs[name])
        return member.fetch(member.coordinator.get(outcome.record.id), step.rows)

    with outcome.seconds.timed("results"), ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(federation.members, pool.map(fetch, federation.members), strict=True))
    Operator(federation.configs[COORDINATOR], show).coordinator.close(outcome.record.id)
    flags = dict(zip(federation.members, truth, strict=True))
    return _costs(outcome, step) | {
        "matched": {name: int(np.count_nonzero(values)) for name, values in found.items()},
        "expected": {name: int(values.sum()) for name, values in flags.items()},
        "correct": all(np.array_equal(found[name], values) for name, values in flags.items()),
    }


def _costs(outcome: Outcome, step: Step) -> dict[str, Any]:
    total, nodes = step.rows * step.members, outcome.figures
    return outcome.report() | {
        "rows": dict.fromkeys(outcome.record.manifest.members, step.rows),
        "rows_per_s": round(total / outcome.seconds["compute"]),
        "sent_bytes_per_row": {name: round(f["sent_bytes"] / total, 1) for name, f in nodes.items()},
        "memory_bytes_per_row": {
            name: round((f["peak_rss_bytes"] - f["idle_rss_bytes"]) / total, 1) for name, f in nodes.items()
        },
        "phases": nodes[outcome.record.manifest.committee[0]]["phases"],
    }


def bench_keys(members: int, rows: int, overlap: float) -> tuple[list[Array], list[Array]]:
    """Random keys with a known truth: `overlap` of each member's keys are shared, half of them with all others.

    Returns:
        For each member (rows, 2) uint64 keys, and (rows,) uint8 the flags that they must get.
    """
    random = np.random.default_rng()
    shared_by_all, shared_by_two = int(rows * overlap) // 2, int(rows * overlap) // 4
    common = random.integers(0, 2**64, (shared_by_all, 2), np.uint64)
    pairs = random.integers(0, 2**64, (members, shared_by_two, 2), np.uint64)
    keys, flags = [], []
    for m in range(members):
        shared = np.concatenate([common, pairs[m], pairs[(m + 1) % members]])[:rows]
        own = random.integers(0, 2**64, (rows - len(shared), 2), np.uint64)
        order = random.permutation(rows)
        keys.append(np.concatenate([shared, own])[order])
        flags.append((order < len(shared)).astype(np.uint8))
    return keys, flags


def environment() -> dict[str, Any]:
    """What figures depend on besides the program: the machine, its system, versions, whether kernels are compiled."""
    linux = Path("/proc/cpuinfo")
    lines = linux.read_text("utf-8").splitlines() if linux.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "machine": platform.machine(),
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "compiled_kernel": kernel.COMPILED,
    }
