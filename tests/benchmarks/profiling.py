"""Where the time of a session goes at each committee node: `make profile`, as root.

py-spy looks at the Python threads of real daemons from outside, without stopping them; gRPC's own threads it does not
see, so the processor time of all threads stands beside it. A sample is of a thread that runs or could run; those that
have only been woken to wait again are left out. Daemons let no process of their own user look into them, hence root.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from parties import trial
from parties.bench import measure_step
from parties.loopback import Loopback
from parties.scenarios import Step
from tests.benchmarks.baseline import aligned
from tests.drawing import flames

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / ".profile"
SAMPLES_A_SECOND = 50
OURS = ("mpc/", "parties/", "protos/")
WAITING = {
    "Condition.wait (threading.py)",
    "_wait_once (grpc/_common.py)",
    "_serve (grpc/_server.py)",
    "_run_channel_spin_thread.<locals>.channel_spin (grpc/_channel.py)",
    "_worker (concurrent/futures/thread.py)",
    "_Outgoing._requests (parties/transport.py)",
    "Service._woken (parties/service.py)",
}
"""Ends of stacks of threads that have just been woken, or are about to wait."""
STARTING = ("Thread.", "Timer.run", "_worker (concurrent", "_WorkItem.run", "_run_module", "_run_code", "<module>")

AROUND = {"on_planes", "map", "<lambda>"}
"""Functions that do to rows what others say."""
LEAST = 0.01
"""Parts below this are not shown."""

Stack = tuple[str, ...]
"""`function (path)`, from the outermost frame."""


def stacks(raw: str) -> Counter[Stack]:
    """Samples of each stack in py-spy's raw format, without numbers of lines, what starts threads, and who waits."""
    found: Counter[Stack] = Counter()
    for line in raw.splitlines():
        frames, _, number = line.rpartition(" ")
        whole = [re.sub(r":\d+\)$", ")", frame) for frame in frames.split(";")]
        kept = [frame for frame in whole if not frame.startswith(STARTING)]
        if whole[-1] not in WAITING:
            found[tuple(kept or whole[-1:])] += int(number)
    return found


def _named(frame: str) -> tuple[str, str]:
    """A frame's function without its class, and its module's path."""
    function, _, path = frame.rstrip(")").rpartition(" (")
    return function.split(".<locals>")[0].split(".")[-1], path.removesuffix(".py")


def place(stack: Stack) -> str:
    """Where a stack ends: the innermost function of ours, or else the library that it is in."""
    named = [_named(frame) for frame in stack]
    own = [f"{path} {function}" for function, path in named if path.startswith(OURS)]
    return own[-1] if own else f"({named[0][1].split('/')[0]})"


def phase(stack: Stack) -> str:
    """What a stack is for: the step of the protocol that the engine's page is in, or else what the node does."""
    named = [(function, path) for function, path in map(_named, stack) if path.startswith(OURS)]
    steps = [(function, path) for function, path in named if path.startswith("mpc/")]
    inner = [function for function, path in steps if path not in ("mpc/engine", "mpc/lanes") and function not in AROUND]
    if any(path == "mpc/engine" for _, path in steps):
        return f"computing: {inner[0] if inner else 'lanes'}"
    calls = [f"{path} {function}" for function, path in named if path != "parties/admission"]
    return calls[0] if calls else "(gRPC's Python)"


def shares(samples: Counter[Stack], of: Callable[[Stack], str]) -> dict[str, float]:
    """The part of a node's samples that is in each place."""
    found = Counter[str]()
    for stack, number in samples.items():
        found[of(stack)] += number
    return {name: number / found.total() for name, number in found.items()}


def parts(heading: str, nodes: Mapping[str, Mapping[str, float]], form: str) -> str:
    """A table of what matters at some node: a line for each part, the largest first; a column for each node."""
    sums = Counter[str]()
    for found in nodes.values():
        sums.update(found)
    least = LEAST * sum(sums.values())
    lines = [
        [name, *(form.format(found.get(name, 0.0)) for found in nodes.values())]
        for name, total in sums.most_common()
        if total >= least
    ]
    return aligned([[heading, *nodes], *lines])


def thread_seconds(pid: int) -> Counter[str]:
    """Processor seconds of a process by the names of its threads; of those that have ended, together."""
    tick, total = os.sysconf("SC_CLK_TCK"), Counter[str]()
    for task in Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        total[re.sub(r"[-_ .]?\d+$", "", name)] += _ticks(task)
    total["(ended)"] = _ticks(Path(f"/proc/{pid}")) - total.total()
    return Counter({name: ticks / tick for name, ticks in total.items()})


def _ticks(task: Path) -> int:
    user, system = (task / "stat").read_text().rpartition(")")[2].split()[11:13]
    return int(user) + int(system)


@contextmanager
def recorded(pid: int, path: Path) -> Iterator[None]:
    """Samples of a process for the length of a block, in a file."""
    command = [str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(pid), "--nonblocking"]
    command += ["--rate", str(SAMPLES_A_SECOND), "--duration", "unlimited", "--format", "raw", "--output", str(path)]
    sampler = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        sampler.send_signal(signal.SIGINT)
        sampler.wait()


@contextmanager
def sampling(federation: Loopback, folder: Path) -> Iterator[None]:
    """All committee nodes recorded for the length of a block; a file for each in a folder."""
    with ExitStack() as every:
        for name in federation.committee:
            every.enter_context(recorded(federation.pid(name), folder / name))
        yield


def main() -> None:
    """Record a session; print tables, write flame graphs."""
    arguments = argparse.ArgumentParser(prog="python -m tests.benchmarks.profiling", description=__doc__)
    arguments.add_argument("--rows", type=int, default=Step.rows, help=f"of each of three members ({Step.rows:,})")
    arguments.add_argument("--similar", action="store_true", help="lists and a rule on similar people, not keys")
    asked = arguments.parse_args()
    step = Step(rows=asked.rows, similar=asked.similar)
    if os.geteuid():
        sys.exit("Run this as root: daemons let no other process of their user look into them.")
    members = trial.names(step.members)
    with tempfile.TemporaryDirectory(prefix="matchbit-profile-") as name:
        folder = Path(name)
        with Loopback(folder / "nodes", members, trial.committee_for(members)) as federation:
            pids = {node: federation.pid(node) for node in federation.committee}
            before = {node: thread_seconds(pid) for node, pid in pids.items()}
            with sampling(federation, folder):
                report = measure_step(federation, step, lambda *_: None)
            seconds = {node: thread_seconds(pid) - before[node] for node, pid in pids.items()}
        samples = {node: stacks((folder / node).read_text("utf-8")) for node in pids}
    print(f"{step.to_text()}: {report['wall_s']} s, {report['seconds']['compute']} s of them computing\n")
    print(parts("processor seconds of threads", seconds, "{:.2f}"))
    for heading, of in (("what for, share of samples", phase), ("where, share of samples", place)):
        print(f"\n{parts(heading, {node: shares(found, of) for node, found in samples.items()}, '{:.1%}')}")
    OUT.mkdir(exist_ok=True)
    for node, found in samples.items():
        (OUT / f"{node}.svg").write_text(flames(f"{node}, {step.to_text()}", found), "utf-8")
    print(f"\nFlame graphs are in {OUT}.")


if __name__ == "__main__":
    main()
