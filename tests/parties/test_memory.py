"""What stays in memory when an attempt has ended, and what secrets show of themselves."""

import gc
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grpc
import pytest

from mpc.channel import Mailbox
from mpc.committee import PARTIES
from mpc.engine import Inputs
from parties.lifecycle import State
from parties.loopback import free_port
from parties.transport import ExchangeChannel, add_exchange, listen
from protos.matchbit.v1.committee_pb2 import ExchangeResponse
from tests.parties.deciding import COMMITTEE
from tests.parties.samples import federate
from tests.parties.test_compute import Ready


@pytest.fixture
def closed() -> str:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"127.0.0.1:{listening.getsockname()[1]}"


def alive(kind: type) -> list[object]:
    gc.collect()
    return [found for found in gc.get_objects() if type(found) is kind]


def test_a_failed_attempt_leaves_no_share_in_memory(tmp_path: Path, closed: str) -> None:
    ready = Ready(tmp_path, federate(tmp_path, COMMITTEE, dict.fromkeys(COMMITTEE, closed))["neutral"])
    before = alive(Inputs)
    ready.start(1)
    for thread in threading.enumerate():
        if thread.name == "compute":
            thread.join()
    assert ready.node.state(ready.agreed) is State.ABORTED
    assert len(alive(Inputs)) == len(before)


class Listening:
    """Takes whatever comes."""

    def __init__(self) -> None:
        self.heard = threading.Semaphore(0)

    def exchange(self, requests: Iterator[object], _: grpc.ServicerContext) -> ExchangeResponse:
        for _ in requests:
            self.heard.release()
        return ExchangeResponse()


def test_no_thread_keeps_what_was_not_sent(tmp_path: Path) -> None:
    addresses = {name: f"127.0.0.1:{free_port()}" for name in COMMITTEE}
    own, *others = federate(tmp_path, COMMITTEE, addresses).values()
    listening = Listening()
    servers = [listen(other, partial(add_exchange, listening.exchange)) for other in others]
    peers = {party: own.federation()[other.name] for party, other in zip(PARTIES[1:], others, strict=False)}
    before = set(threading.enumerate())
    channel = ExchangeChannel(Mailbox(1.0), bytes(32), 1, peers, own.identity())
    for _ in peers:  # the streams are open
        assert listening.heard.acquire(timeout=60)
    begun = [thread for thread in set(threading.enumerate()) - before if "ThreadPool" not in thread.name]
    channel.close(done=False)
    for thread in begun:
        thread.join(60)
    assert begun
    assert not [thread.name for thread in begun if thread.is_alive()]
    for server in servers:
        server.stop(None)


def test_memory_is_kept_between_messages() -> None:
    """Every page that is given back to the system must be got and cleared anew: a tenth of all time."""
    program = """
from resource import RUSAGE_SELF, getrusage
from parties.compute import prepare
def faults() -> int:
    before = getrusage(RUSAGE_SELF).ru_minflt
    for _ in range(20):
        messages = [bytes(b"x" * (1 << 20)) for _ in range(8)]
        del messages
    return getrusage(RUSAGE_SELF).ru_minflt - before
faults()
usual = faults()
prepare()
faults()
print(usual, faults())
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    usual, prepared = map(int, run.stdout.split())
    assert prepared < 100
    if usual < 100:
        pytest.skip("this system's C library keeps memory by itself")
