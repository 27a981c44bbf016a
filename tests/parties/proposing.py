"""A coordinator that listens, and the nodes of its federation: what tests of proposals begin with."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from parties import calls
from parties.approvals import Approvals
from parties.audit import Log
from parties.config import Config
from parties.coordinator import SessionServicer
from parties.identity import utc_now
from parties.lifecycle import State
from parties.loopback import free_port
from parties.manifest import Manifest, sign
from parties.registry import Registry
from parties.runner import Runner
from parties.service import NodeServicer
from parties.store import Store
from parties.transport import listen
from protos.matchbit.v1.node_pb2_grpc import add_NodeServiceServicer_to_server
from protos.matchbit.v1.session_pb2_grpc import add_SessionServiceServicer_to_server
from tests.parties.samples import federate, terms_of

NAMES = ("agency-a", "agency-b", "agency-c", "neutral")
STANDING = """
consent = "standing"
partners = ["agency-a", "agency-b", "agency-c", "neutral"]
reveal = ["flag"]
rules = [["id_number"], ["phone", "birth_date"]]
max_records = 1000
"""
TWO = 'approvers = ["Data protection", "Programme"]\n'


class Hub:
    """A coordinator, and the nodes of its federation."""

    def __init__(self, folder: Path) -> None:
        self.nodes = federate(folder, NAMES, {"hub": f"127.0.0.1:{free_port()}"})
        self.config = self.nodes["hub"]
        self.store = self.config.store()
        self.registry = Registry("hub", self.store, self.config.federation)
        self._sessions = 0

    def listen(self) -> Any:
        committee = calls.Committee(self.config, self.store)
        sessions = SessionServicer(self.registry, Runner(self.registry, committee, 1.0), committee)

        def add(server: Any) -> None:
            add_SessionServiceServicer_to_server(sessions, server)
            add_NodeServiceServicer_to_server(NodeServicer(self.config, "coordinator", self.store), server)

        return listen(self.config, add)

    def terms(self, **changes: Any) -> Manifest:
        """Terms that are later than all before."""
        self._sessions += 1
        created = (utc_now() - timedelta(hours=1) + timedelta(seconds=self._sessions)).isoformat()
        common = {"title": f"Session {self._sessions}", "created": created, "expires": "2999-12-31T00:00:00+00:00"}
        return terms_of(self.nodes, **common | changes)

    def propose(self, **changes: Any) -> bytes:
        terms = self.terms(**changes)
        self.store.add_session(terms, State.PROPOSED)
        return terms.session_id

    def approve(self, session_id: bytes, *names: str) -> None:
        for name in names:
            signature = sign(self.nodes[name].identity().signing_key, session_id, name)
            self.registry.approve(name, session_id, signature)

    def put(self, session_id: bytes, state: State) -> None:
        """Let the coordinator say that a session is in a state."""
        with self.store.transaction() as db:
            db.execute("UPDATE sessions SET state = ? WHERE id = ?", (state.value, session_id))

    def own(self, name: str) -> list[str]:
        return ["--config", str(self.nodes[name].folder / "node.toml")]


@contextmanager
def listening(folder: Path) -> Iterator[Hub]:
    """A coordinator that answers over real connections."""
    hub = Hub(folder)
    server = hub.listen()
    try:
        yield hub
    finally:
        server.stop(grace=None).wait()


def node(
    hub: Hub, name: str = "agency-a", policy: str = "", clock: Callable[[], datetime] = utc_now
) -> tuple[Approvals, Store]:
    """One of them, with what it says to proposals; with a policy, and at another time than now if that is given."""
    own: Config = hub.nodes[name]
    if policy:
        own.policy_path.write_text(policy, "utf-8")
    store = Store(own.database, Log(name, own.identity().signing_key, clock), clock)
    return Approvals(own, store), store
