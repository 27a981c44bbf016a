"""Members of a real federation in one process: daemons answer over TLS; the committee computes in the clear."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from mpc.committee import PARTIES, PartyId
from mpc.replicated import Array, Share, reconstruct
from parties import calls
from parties.config import Config
from parties.contribution import Dealing, fill_share
from parties.coordinator import SessionServicer
from parties.guard import Guard
from parties.identity import utc_now
from parties.lifecycle import State
from parties.loopback import free_port
from parties.manifest import Manifest
from parties.member import Member
from parties.node import ContributionServicer, guard_of
from parties.registry import Registry
from parties.runner import Runner
from parties.service import NodeServicer, Service
from parties.transport import listen
from protos.matchbit.v1.committee_pb2_grpc import add_ContributionServiceServicer_to_server
from protos.matchbit.v1.node_pb2_grpc import add_NodeServiceServicer_to_server
from protos.matchbit.v1.session_pb2_grpc import add_SessionServiceServicer_to_server
from tests.parties.samples import RULES, approvals, federate, terms_of, write

MEMBERS, COMMITTEE = ("agency-a", "agency-b", "agency-c"), ("agency-b", "agency-c", "neutral")


def held_share(party: PartyId, rows: int, seeds: tuple[bytes, bytes], whole: Iterable[bytes] = ()) -> Share:
    """What a committee node computes on, from what it was sent."""
    share = Share(*(np.zeros((rows, 2), np.uint64) for _ in "ab"))
    fill_share(party, share, seeds, whole)
    return share


def pieces(dealing: Dealing) -> list[bytes]:
    """Component 2 as it travels, in pieces of no whole number of rows; none at P0."""
    body = b"" if dealing.whole is None else dealing.whole.tobytes()
    return [body[start : start + 100] for start in range(0, len(body), 100)]


class Parties:
    """agency-a has no port; the committee and the coordinator listen."""

    def __init__(self, folder: Path) -> None:
        addresses = {name: f"127.0.0.1:{free_port()}" for name in (*COMMITTEE, "hub")}
        self.folder, self.configs = folder, federate(folder / "nodes", (*MEMBERS, "neutral"), addresses)
        hub = self.configs["hub"]
        self.registry = Registry("hub", hub.store(), hub.federation)
        self.guards: dict[str, Guard] = {
            name: guard_of(self.configs[name], self.configs[name].store()) for name in COMMITTEE
        }

    @contextmanager
    def listening(self) -> Iterator[Parties]:
        servers = [self._listen_hub(), *(self._listen(self.configs[name]) for name in COMMITTEE)]
        try:
            yield self
        finally:
            for server in servers:
                server.stop(None).wait()

    def _listen_hub(self) -> grpc.Server:
        hub, store = self.configs["hub"], self.registry.store
        committee = calls.Committee(hub, store)
        sessions = SessionServicer(self.registry, Runner(self.registry, committee, 1.0), committee)

        def add(server: grpc.Server) -> None:
            add_SessionServiceServicer_to_server(sessions, server)
            add_NodeServiceServicer_to_server(NodeServicer(hub, "coordinator", store), server)

        return listen(hub, add)

    def _listen(self, node: Config) -> grpc.Server:
        servicer = ContributionServicer(self.guards[node.name], Service(node, "node"))
        return listen(node, lambda server: add_ContributionServiceServicer_to_server(servicer, server))

    def member(self, name: str = "agency-a") -> Member:
        return Member(self.configs[name])

    def approved(self, **changes: Any) -> Manifest:
        """A session that all have approved."""
        lasting = {"created": utc_now().isoformat(), "expires": "2999-12-31T00:00:00+00:00"}
        common = {"committee": COMMITTEE, "rules": RULES[:1]}
        agreed = terms_of(self.configs, **common | lasting | changes)
        self.registry.propose("hub", agreed)
        for name, signature in approvals(self.configs, agreed).items():
            self.registry.approve(name, agreed.session_id, signature)
        for guard in self.guards.values():
            guard.store.add_session(agreed, State.PROPOSED)
        return agreed

    def list_of(self, name: str, *people: str) -> Path:
        """A list of these identity numbers."""
        return write(self.folder / f"{name}.csv", "\n".join(["id_number,name", *(f"{p},Name {p}" for p in people), ""]))

    def compute(self, agreed: Manifest) -> None:
        """Have the session computed, by whoever sees all shares, and released."""
        session_id = agreed.session_id
        self.registry.run("hub", session_id)
        record = self.registry.store.get(session_id)
        commitments = list(self.registry.store.commitments(session_id).values())
        for guard in self.guards.values():
            assert guard.begin("hub", session_id, record.attempt, commitments)
        masks, masked = self._results(agreed)
        for guard, parts in zip((self.guards[name] for name in agreed.committee), (masks, masked, {}), strict=True):
            guard.computed(guard.store.get(session_id), parts, [1], {})
            self.registry.collect(record, guard.store.completions(session_id)[0])

    def keys(self, agreed: Manifest) -> dict[str, Array]:
        """Each member's keys, from what the committee holds."""
        held = [self.guards[name].shares.uploads(agreed.session_id) for name in agreed.committee]
        found = {}
        for member, upload in held[0].items():
            nodes = [self.guards[name].shares for name in agreed.committee]
            wholes = [shares.chunks(u[member].id) for shares, u in zip(nodes, held, strict=True)]
            shares = [
                held_share(party, upload.commitment.keys, u[member].seeds, whole)
                for party, u, whole in zip(PARTIES, held, wholes, strict=True)
            ]
            found[member] = reconstruct((shares[0], shares[1], shares[2]))
        return found

    def _results(self, agreed: Manifest) -> tuple[Mapping[str, bytes], Mapping[str, bytes]]:
        """P0's and P1's parts of whether another member holds each key."""
        keys, masks, masked = self.keys(agreed), {}, {}
        for member, own in keys.items():
            others = {k.tobytes() for m, held in keys.items() if m != member for k in held}
            flags = np.array([k.tobytes() in others for k in own], np.uint8)
            masks[member] = os.urandom(len(flags))
            masked[member] = (np.frombuffer(masks[member], np.uint8) ^ flags).tobytes()
        return masks, masked
