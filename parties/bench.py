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
from mpc.matching import Reveal
from mpc.replicated import Array
from parties import generator, trial
from parties.errors import ConfigError
from parties.launch import Operator
from parties.listbench import measure_lists
from parties.loopback import COORDINATOR, Loopback, free_port, own_environment
from parties.manifest import Manifest
from parties.member import Member, Progress
from parties.scenarios import Step, costs
from parties.statistics import Statistics, rows_of
from parties.store import SessionRecord
from parties.trial import AT_ONCE, run_session

RELAY = [sys.executable, "-P", "-m", "parties.relay"]
PACKAGES = ("matchbit", "numpy", "cryptography", "grpcio", "protobuf", "mpyc")


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
        committee = trial.committee_for(members, self.step.committee)
        federation = Loopback(Path(self.folder), members, committee, self.hosts)
        with ExitStack() as lines:
            if self.step.delay_ms:
                lines.enter_context(relayed(federation, self.hosts, self.step.delay_ms))
            since = lines.enter_context(started(federation))
            report = measure_step(federation, self.step, show)
        seconds = {name: listened_s(federation.configs[name].folder / "log.txt", at) for name, at in since.items()}
        return {"step": asdict(self.step), "daemons_s": seconds} | report


@contextmanager
def started(federation: Loopback) -> Iterator[dict[str, datetime]]:
    """A federation's daemons for the length of a block: the coordinator alone, then all nodes at once.

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


def terms_of(step: Step) -> dict[str, Any]:
    """The terms of a step's session, as `trial.run_session` takes them."""
    session = {"title": "Benchmark", "purpose": "measure", "max_records": step.rows, **step.terms()}
    if step.similar:
        name, fields = generator.BY_ID
        rules = [{"name": name, "fields": fields}, trial.SIMILAR]
        return {"session": session | {"country": generator.COUNTRY}, "rule": rules}
    return {"session": session, "rule": [{"name": "key", "fields": ["key"]}]}


def check_step(step: Step) -> None:
    """Refuse a step that no session could be, before anything is begun.

    Raises:
        ConfigError: says what its terms must be.
    """
    members = trial.names(step.members)
    trial.check_terms(members, trial.committee_for(members, step.committee), terms_of(step))


def measure_step(federation: Loopback, step: Step, show: Progress) -> dict[str, Any]:
    """A step's session on a started federation; returns the JSON report."""
    measure = measure_lists if step.similar else measure_session
    return measure(federation, step, terms_of(step), show)


def measure_session(federation: Loopback, step: Step, terms: dict[str, Any], show: Progress) -> dict[str, Any]:
    """One session on a started federation, over random keys.

    Args:
        federation: started.
        step: what is measured.
        terms: its session's.
        show: progress.

    Returns:
        The JSON report: what the run cost, in all and for each row, and whether every member got the right result.
    """
    show("generating keys", 0, 0)
    made = bench_keys(step.members, step.rows, step.overlap)

    def contribute(member: Member, record: SessionRecord) -> None:
        member.contribute_keys(record, made.rows(record.manifest, federation.members.index(member.config.name)))

    outcome = run_session(federation, terms, contribute, show)

    def fetch(name: str) -> Array:
        member = Member(federation.configs[name])
        return member.fetch(member.coordinator.get(outcome.record.id), step.rows)

    with outcome.seconds.timed("results"), ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(federation.members, pool.map(fetch, federation.members), strict=True))
    Operator(federation.configs[COORDINATOR], show).coordinator.close(outcome.record.id)
    expected = {name: made.expected(outcome.record.manifest, k) for k, name in enumerate(federation.members)}
    return costs(outcome.report(), federation.members, step) | {
        "matched": {name: _telling(values) for name, values in found.items()},
        "expected": {name: _telling(values) for name, values in expected.items()},
        "correct": all(np.array_equal(found[name], values) for name, values in expected.items()),
    }


def _telling(values: Array) -> int:
    """In how many rows, of a list or of a table, there is anything but zeros."""
    return int(np.count_nonzero(values.reshape(len(values), -1).any(axis=1)))


NOBODY, EVERYBODY = -1, -2


@dataclass(frozen=True, repr=False)
class Generated:
    """Random keys with a known truth.

    Attributes:
        keys: for each member (rows, 2) uint64.
        holders: for each member (rows,) int32: which other member has a row's key too, or NOBODY or EVERYBODY.
        places: (members, rows) uint16: a row's cell in a table is this modulo the number of cells.
    """

    keys: list[Array]
    holders: list[Array]
    places: Array

    def rows(self, manifest: Manifest, member: int) -> Array:
        """What a member contributes by a session's terms, as `Member.contribute_keys` takes it."""
        if manifest.statistics is None:
            return self.keys[member]
        cells = manifest.statistics.cells
        return rows_of(self.keys[member], self.places[member] % cells, cells)

    def expected(self, manifest: Manifest, member: int) -> Array:
        """What a member must get by a session's terms, as `Member.fetch` gives it."""
        holders, members = self.holders[member], len(self.keys)
        match Reveal(manifest.reveal):
            case Reveal.COUNT:
                others: Array = (self._held_by(member) - 1).astype(np.uint16)
                return others
            case Reveal.MEMBERS:
                bits = np.zeros((len(holders), -(-members // 64)), np.uint64)
                for other in set(range(members)) - {member}:
                    holds = (holders == other) | (holders == EVERYBODY)
                    bits[:, other // 64] |= holds.astype(np.uint64) << np.uint64(other % 64)
                return bits
            case Reveal.STATISTICS:
                assert manifest.statistics is not None  # noqa: S101 - it was checked
                return self._table(manifest.statistics)
            case _:
                flags: Array = (holders != NOBODY).astype(np.uint8)
                return flags

    def _held_by(self, member: int) -> Array:
        """(rows,) how many members hold each key of this one."""
        holders = self.holders[member]
        held: Array = np.where(holders == NOBODY, 1, np.where(holders == EVERYBODY, len(self.keys), 2))
        return held

    def _table(self, terms: Statistics) -> Array:
        """(cells, members): people by cell and by how many members hold them; each counts with its first holder."""
        table = np.zeros((terms.cells, len(self.keys)), np.int64)
        for member, (holders, places) in enumerate(zip(self.holders, self.places, strict=True)):
            first = (holders == NOBODY) | (holders > member) | ((holders == EVERYBODY) & (member == 0))
            np.add.at(table, (places[first] % terms.cells, self._held_by(member)[first] - 1), 1)
        table[table < terms.smallest_cell] = 0
        return table


def bench_keys(members: int, rows: int, overlap: float) -> Generated:
    """Keys of which `overlap` are shared, half of them with all others and half with one; and where in a table."""
    random = np.random.default_rng()
    shared_by_all, shared_by_two = int(rows * overlap) // 2, int(rows * overlap) // 4
    common = random.integers(0, 2**64, (shared_by_all, 2), np.uint64)
    pairs = random.integers(0, 2**64, (members, shared_by_two, 2), np.uint64)
    keys, holders = [], []
    for m in range(members):
        before, after = (m - 1) % members, (m + 1) % members
        shared = np.concatenate([common, pairs[m], pairs[after]])
        own = random.integers(0, 2**64, (rows - len(shared), 2), np.uint64)
        order = random.permutation(rows)
        codes = np.repeat([EVERYBODY, before, after, NOBODY], [len(common), shared_by_two, shared_by_two, len(own)])
        keys.append(np.concatenate([shared, own])[order])
        holders.append(codes.astype(np.int32)[order])
    return Generated(keys, holders, random.integers(0, 2**16, (members, rows), np.uint16))


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
