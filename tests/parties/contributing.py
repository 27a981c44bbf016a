"""Members of a real federation in one process: daemons answer over TLS; the committee computes in the clear."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from mpc import shamir
from mpc.committee import PARTIES
from mpc.replicated import Array, Share, reconstruct
from parties import calls
from parties.config import Config
from parties.contribution import Dealing, Scheme, Shamir, fill_share, scheme_of, whole_component
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
from parties.store import SessionRecord
from parties.transport import listen
from protos.matchbit.v1.committee_pb2_grpc import add_ContributionServiceServicer_to_server
from protos.matchbit.v1.node_pb2_grpc import add_NodeServiceServicer_to_server
from protos.matchbit.v1.session_pb2_grpc import add_SessionServiceServicer_to_server
from tests.parties.samples import RULES, approvals, federate, terms_of, write

MEMBERS, COMMITTEE = ("agency-a", "agency-b", "agency-c"), ("agency-b", "agency-c", "neutral")
FIVE = (*COMMITTEE, "neutral-2", "neutral-3")


Sent = tuple[tuple[bytes, ...], Iterable[bytes]]
"""What a committee node was sent: seeds, and the component that travels whole, in pieces."""


def held_share(party: int, rows: int, seeds: tuple[bytes, ...], whole: Iterable[bytes] = (), words: int = 2) -> Share:
    """What a committee node computes on with the replicated engine, from what it was sent."""
    share = Share(*(np.zeros((rows, words), np.uint64) for _ in "ab"))
    fill_share(PARTIES[party], share, seeds, whole)
    return share


def held_elements(scheme: Shamir, rows: int, whole: Iterable[bytes]) -> Array:
    """What a committee node computes on with the MPyC engine, (rows, 1 + cells) object."""
    component = whole_component(whole, rows, scheme.row_bytes)
    return shamir.decode(component.reshape(rows, -1, shamir.ELEMENT_BYTES))


def dealt_rows(scheme: Scheme, rows: int, sent: Sequence[Sent]) -> Array:
    """What was dealt, (rows, words) uint64, from what every committee node was sent."""
    if not isinstance(scheme, Shamir):
        p0, p1, p2 = (held_share(party, rows, *s, words=scheme.words) for party, s in enumerate(sent))
        return reconstruct((p0, p1, p2))
    shares = [held_elements(scheme, rows, whole) for _, whole in sent]
    keys, *cells = shamir.reconstruct(shares, scheme.threshold).T
    bits = np.zeros((rows, 64 * (scheme.words - 2)), np.uint8)
    for cell, held in enumerate(cells):
        bits[:, cell] = held
    words = np.packbits(bits, axis=1, bitorder="little").view(np.uint64)
    return np.column_stack([(keys % 2**64).astype(np.uint64), (keys >> 64).astype(np.uint64), words])


def pieces(dealing: Dealing) -> list[bytes]:
    """The component that travels whole, in pieces of no whole number of rows; none where none travels."""
    body = b"" if dealing.whole is None else dealing.whole.tobytes()
    return [body[start : start + 100] for start in range(0, len(body), 100)]


class Parties:
    """agency-a has no port; the committee, the nodes that others may have on theirs, and the coordinator listen."""

    def __init__(self, folder: Path) -> None:
        addresses = {name: f"127.0.0.1:{free_port()}" for name in (*FIVE, "hub")}
        self.folder, self.configs = folder, federate(folder / "nodes", (*MEMBERS, *FIVE), addresses)
        hub = self.configs["hub"]
        self.registry = Registry("hub", hub.store(), hub.federation)
        self.guards: dict[str, Guard] = {
            name: guard_of(self.configs[name], self.configs[name].store()) for name in FIVE
        }

    @contextmanager
    def listening(self) -> Iterator[Parties]:
        servers = [self._listen_hub(), *(self._listen(self.configs[name]) for name in FIVE)]
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
        for guard in self.nodes(agreed):
            guard.store.add_session(agreed, State.PROPOSED)
        return agreed

    def nodes(self, agreed: Manifest) -> list[Guard]:
        """The session's committee."""
        return [self.guards[name] for name in agreed.committee]

    def list_of(self, name: str, *people: str) -> Path:
        """A list of these identity numbers."""
        return write(self.folder / f"{name}.csv", "\n".join(["id_number,name", *(f"{p},Name {p}" for p in people), ""]))

    def begin(self, agreed: Manifest) -> SessionRecord:
        """Have the session's attempt begun everywhere; returns the session."""
        session_id = agreed.session_id
        self.registry.run("hub", session_id)
        record = self.registry.store.get(session_id)
        commitments = list(self.registry.store.commitments(session_id).values())
        for guard in self.nodes(agreed):
            assert guard.begin("hub", session_id, record.attempt, commitments)
        return record

    def compute(self, agreed: Manifest) -> None:
        """Have the session computed, by whoever sees all shares, and released."""
        session_id, record = agreed.session_id, self.begin(agreed)
        masks, masked = self._results(agreed)
        for guard, parts in zip(self.nodes(agreed), (masks, masked, {}), strict=True):
            guard.computed(guard.store.get(session_id), parts, [1], {})
            self.registry.collect(record, guard.store.completions(session_id)[0])

    def rows(self, agreed: Manifest) -> dict[str, Array]:
        """Each member's rows, from what the committee holds."""
        nodes, found = [guard.shares for guard in self.nodes(agreed)], {}
        held = [shares.uploads(agreed.session_id) for shares in nodes]
        for member, upload in held[0].items():
            sent = [(u[member].seeds, shares.chunks(u[member].id)) for shares, u in zip(nodes, held, strict=True)]
            found[member] = dealt_rows(scheme_of(agreed), upload.commitment.keys, sent)
        return found

    def _results(self, agreed: Manifest) -> tuple[Mapping[str, bytes], Mapping[str, bytes]]:
        """P0's and P1's parts of whether another member holds each key."""
        keys, masks, masked = self.rows(agreed), {}, {}
        for member, own in keys.items():
            others = {k.tobytes() for m, held in keys.items() if m != member for k in held}
            flags = np.array([k.tobytes() in others for k in own], np.uint8)
            masks[member] = os.urandom(len(flags))
            masked[member] = (np.frombuffer(masks[member], np.uint8) ^ flags).tobytes()
        return masks, masked
