"""A hostile party attacks a daemon, and a session of the others goes on meanwhile with exactly right results.

Two attacks may keep others waiting while they last; then the session goes on right after.

The daemon's memory, threads and open files stay bounded, its log holds no unexpected error and does not grow much, and
when the attack is over it answers the attacker as it did before.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from parties import calls
from parties.errors import PeerUnavailable, TooManyCalls
from parties.service import allow_files
from protos.matchbit.v1 import node_pb2
from protos.matchbit.v1.node_pb2_grpc import NodeServiceStub
from tests.integration.attacker import ROGUE, Aim, Attack, Attacked, attacking
from tests.integration.attacks import ATTACKS
from tests.integration.vitals import Watch

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the vitals of a process are Linux's")

THREADS = 320
FILES = 1700
NEEDED_FILES = 4096
"""That a process may have, so that the attacks with the most connections can be made, and stood."""
LOG_BYTES = 64 << 10
ROWS = 20


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    federation = Attacked(tmp_path_factory.mktemp("attacked"))
    with federation:
        yield federation


@pytest.fixture(scope="module")
def aims(attacked: Attacked) -> dict[str, Aim]:
    return attacked.aims()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_others_go_on(attacked: Attacked, aims: dict[str, Aim], attack: Attack) -> None:
    if attack.few > 1000 and allow_files() < NEEDED_FILES:
        pytest.skip(f"a process may not have {NEEDED_FILES} files open here")
    log = attacked.configs[attack.target].folder / "log.txt"
    logged = log.stat().st_size
    with Watch(attacked.pid(attack.target)) as watch, attacking(attack, aims[attack.target], attack.few):
        if not attack.stalls:
            attacked.honest(ROWS)
    answers(attacked, attack.target)
    if attack.stalls:
        attacked.honest(ROWS)
    assert watch.most.rss_mb < watch.before.rss_mb + attack.memory_mb
    assert watch.most.threads < THREADS
    assert watch.most.files < watch.before.files + FILES
    words = log.read_text("utf-8")[logged:]
    assert len(words) < LOG_BYTES
    assert "Exception" not in words
    assert "unexpected" not in words


def answers(attacked: Attacked, target: str) -> None:
    """The attacker is no outlaw: when the calls of its attack have ended, the node answers it as before."""
    own = attacked.configs[ROGUE]
    for _ in range(1000):
        with suppress(TooManyCalls, PeerUnavailable), calls.connected(own, own.federation()[target]) as connection:
            assert NodeServiceStub(connection).GetNode(node_pb2.GetNodeRequest(), timeout=10).name == target
            return
    pytest.fail(f"{target} does not answer {ROGUE} any more.")
