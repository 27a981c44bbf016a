"""Nodes and a coordinator that answer anything to those who call them, and whatever our program asks of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

from parties import calls, partners
from parties.admission import SAID
from parties.approvals import Approvals
from parties.contribution import deal, scheme_of
from parties.identity import utc_now
from parties.lifecycle import State
from parties.loopback import free_port
from parties.manifest import Manifest
from parties.member import Member
from parties.participant import Participant
from parties.registry import Registry
from parties.runner import Runner
from parties.statements import Commitment, Completion, Receipt, contributions
from parties.store import SessionRecord
from parties.transport import listen
from parties.wire import View, completion_to_pb, head_to_pb, receipt_to_pb, view_to_pb
from protos.matchbit.v1 import committee_pb2, node_pb2, session_pb2
from tests.fuzz.changes import Change, Values, changed, values_of
from tests.fuzz.valid import HUB, MEMBERS
from tests.parties.samples import approvals, federate, terms_of

OWN = "agency-a"
COMMITTEE = ("neutral", "agency-b", "agency-c")
KEYS = np.arange(6, dtype=np.uint64).reshape(3, 2)
Script = dict[str, list[Message]]
"""What is answered to a method."""


@dataclass(frozen=True)
class Lie:
    """How an answer differs from a valid one.

    Attributes:
        which: of the methods that are called; taken modulo their number.
        changes: to its messages.
        status: with which it ends, if it is refused.
        words: of the refusal.
        marked: whether they are said to be the node's own.
        streams: whether the last message of a stream is repeated for ever.
        endless: likewise of a method that has one message.
    """

    which: int
    changes: tuple[Change, ...]
    status: grpc.StatusCode | None
    words: str
    marked: bool
    streams: bool = False
    endless: bool = False


class Liar(grpc.GenericRpcHandler):
    """Answers by a script, with one lie."""

    def __init__(self) -> None:
        self.script: dict[str, list[bytes]] = {}
        self.lie: tuple[str, Lie] | None = None

    def tell(self, script: Script, lie: Lie, values: Values) -> None:
        """Answer so from here on."""
        method = [*script][lie.which % len(script)]
        self.lie = method, lie
        self.script = {
            name: changed(said, lie.changes if name == method else (), values) for name, said in script.items()
        }

    def service(self, handler_call_details: Any) -> Any:
        """Every method there is."""
        method = handler_call_details.method.rpartition("/")[2]
        return grpc.stream_stream_rpc_method_handler(partial(self._answer, method), bytes, None)

    def _answer(self, method: str, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        for _ in requests:
            pass
        said = self.script.get(method, [b""])
        lie = self.lie[1] if self.lie and self.lie[0] == method else None
        yield from said
        if lie and lie.status:
            context.set_trailing_metadata(((SAID, "1"),) if lie.marked else ())
            context.abort(lie.status, lie.words)
        if lie and said and (lie.endless or (lie.streams and method == "FetchResult")):
            yield from itertools.repeat(said[-1])


class Callers:
    """agency-a and the coordinator call; all who answer lie. Keys and databases are real."""

    def __init__(self, folder: Path) -> None:
        addresses = {name: f"127.0.0.1:{free_port()}" for name in (*COMMITTEE, HUB)}
        self.configs = federate(folder, (*MEMBERS, "neutral"), addresses)
        self.own, self.hub, self.liar = self.configs[OWN], self.configs[HUB], Liar()
        self.known = self.own.federation()
        self.done, self.proposed = self._terms("Done"), self._terms("Proposed")
        self.registry = Registry(HUB, self.hub.store(), self.hub.federation)
        self.registry.store.add_session(self.done, State.APPROVED, approvals(self.configs, self.done))
        self.registry.store.add_session(self.proposed, State.PROPOSED)
        self.dealings = deal(scheme_of(self.done), KEYS, bytes(32))
        self.commitment = self._commitment(OWN)
        self.commitments = {name: self._commitment(name) for name in MEMBERS}
        for commitment in self.commitments.values():
            self.registry.store.add_statement(commitment)
        self.view = self._view(self.done, State.DONE)
        self.values = values_of(m for _, script in self.asks().values() for said in script.values() for m in said)

    def _terms(self, title: str) -> Manifest:
        lasting = {"created": utc_now().isoformat(), "expires": "2999-12-31T00:00:00+00:00"}
        return terms_of(self.configs, title=title, committee=COMMITTEE, **lasting)

    def key(self, name: str) -> Any:
        """A node's signing key."""
        return self.configs[name].identity().signing_key

    def _commitment(self, name: str) -> Commitment:
        digests = self.dealings[0].digests
        made = Commitment(self.done.session_id, name, records=3, new_records=3, keys=3, digests=digests)
        return made.signed(self.key(name))

    def _view(self, terms: Manifest, state: State) -> View:
        signed = approvals(self.configs, terms) if state is State.DONE else {}
        record = SessionRecord(terms, state, "", 1, signed)
        chosen = contributions(self.commitments.values())
        said = [Completion(terms.session_id, n, attempt=1, contributions=chosen).signed(self.key(n)) for n in COMMITTEE]
        shown = state is State.DONE
        return View(record, self.commitments if shown else {}, tuple(said) if shown else (), ("", 0, 0))

    @contextmanager
    def answered(self) -> Iterator[Callers]:
        """While the liars listen."""
        with ExitStack() as at_the_end:
            for name in (*COMMITTEE, HUB):
                server = listen(self.configs[name], self._add)
                at_the_end.callback(server.stop, None)
            yield self

    def _add(self, server: grpc.Server) -> None:
        server.add_generic_rpc_handlers((self.liar,))

    def ask(self, name: str, lie: Lie) -> object:
        """Ask something, and be lied to once."""
        act, script = self.asks()[name]
        self.liar.tell(script, lie, self.values)
        return act()

    def asks(self) -> dict[str, tuple[Callable[[], object], Script]]:
        """All that our program asks of others, and what is honestly answered."""
        session, node = self.done.session_id, self.known["neutral"]
        hub, committee = calls.Coordinator(self.own, self.known), calls.Committee(self.hub, self.registry.store)
        view, proposed = view_to_pb(self.view), view_to_pb(self._view(self.proposed, State.PROPOSED))
        get: Script = {"GetSession": [session_pb2.GetSessionResponse(session=view)]}
        heads = self._heads(session)
        fetch: Script = {"FetchResult": [committee_pb2.FetchResultResponse(chunk=bytes(3))]}
        look: Script = {
            "GetRun": [
                committee_pb2.GetRunResponse(
                    state=session_pb2.SESSION_STATE_COMPUTED,
                    attempt=1,
                    completion=completion_to_pb(self.view.completions[0]),
                )
            ]
        }
        approve = self._heads(self.proposed.session_id) | {
            "GetSession": [session_pb2.GetSessionResponse(session=proposed)],
            "ApproveSession": [session_pb2.ApproveSessionResponse(state=session_pb2.SESSION_STATE_PROPOSED)],
            "ListSessions": [session_pb2.ListSessionsResponse(sessions=[proposed])],
        }
        return {
            "get": (lambda: hub.get(session), get),
            "sessions": (hub.sessions, {"ListSessions": [session_pb2.ListSessionsResponse(sessions=[view])]}),
            "run": (lambda: hub.run(session), {"RunSession": [session_pb2.RunSessionResponse()]}),
            "contribute": (self._contribute, self._contributing()),
            "fetch": (lambda: calls.fetch_result(self.own, node, session, [], 3), fetch),
            "result": (lambda: Member(self.own).fetch(hub.get(session), 3), get | fetch),
            "look": (lambda: committee.look("neutral", session), look),
            "start": (
                lambda: committee.start("neutral", session, 1, []),
                {"StartRun": [committee_pb2.StartRunResponse()]},
            ),
            "end": (lambda: committee.abort("neutral", session, 1, "."), {"EndRun": [committee_pb2.EndRunResponse()]}),
            "follow": (self._follow, look | heads),
            "heads": (lambda: committee.exchange_heads("neutral", session), heads),
            "approve": (lambda: Participant(self.own).approve(self.proposed.session_id), approve),
            "act": (lambda: Approvals(self.own, self.own.store()).act(), approve),
            "partners": (lambda: partners.ask(self.own, node), self._alive()),
        }

    def _heads(self, session: bytes) -> Script:
        (head,) = (h for h in self.registry.store.latest_heads(session) if h.node == HUB)
        return {"ExchangeHeads": [node_pb2.ExchangeHeadsResponse(heads=[head_to_pb(head)])]}

    def _contribute(self) -> Receipt:
        return calls.contribute(self.own, self.known["neutral"], self.commitment, self.dealings[2], lambda _: None)

    def _contributing(self) -> Script:
        receipt = Receipt(self.done.session_id, "neutral", member=OWN, commitment=self.commitment.digest)
        signed = receipt_to_pb(receipt.signed(self.key("neutral")))
        return {
            "GetUpload": [committee_pb2.GetUploadResponse(received_bytes=0)],
            "Contribute": [committee_pb2.ContributeResponse(receipt=signed)],
        }

    def _alive(self) -> Script:
        node = node_pb2.GetNodeResponse(name="neutral", version="1", protocols=[1], unix_ms=1, role="node")
        return {"Check": [health_pb2.HealthCheckResponse(status=1)], "GetNode": [node]}

    def _follow(self) -> State:
        """What a coordinator makes of what it is told of an attempt."""
        session, store = self.done.session_id, self.registry.store
        with store.transaction() as db:
            db.execute(
                "UPDATE sessions SET state = 'running', attempt = 1, contributions = NULL WHERE id = ?", (session,)
            )
            db.execute("DELETE FROM statements WHERE session = ? AND kind = 'completion'", (session,))
            db.execute("DELETE FROM told WHERE session = ?", (session,))
        runner = Runner(self.registry, calls.Committee(self.hub, store), 1.0)
        for _ in range(2):
            runner.step(session)
        return store.get(session).state


def heads_of(callers: Callers) -> Sequence[Any]:
    """What was kept of what others said of their logs."""
    return callers.registry.store.heads(callers.done.session_id)
