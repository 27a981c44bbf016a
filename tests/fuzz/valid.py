"""What parties of a session really send, of every method: what hostile calls begin with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

from parties.audit import Head
from parties.contribution import Dealing
from parties.manifest import sign
from parties.statements import Commitment, Completion, Receipt, Statement
from parties.wire import commitment_to_pb, completion_to_pb, head_to_pb, receipt_to_pb
from protos.matchbit.v1 import committee_pb2, node_pb2, session_pb2

if TYPE_CHECKING:
    from tests.fuzz.services import Session

HUB = "hub"
MEMBERS = ("agency-a", "agency-b", "agency-c")
COMMITTEE = ("agency-a", "agency-b", "neutral")


def valid_streams(s: Session) -> Iterator[tuple[str, list[list[Message]]]]:
    """Of every method, what parties of a session send."""
    store, shown = s.daemons[HUB].store, [commitment_to_pb(c) for c in s.commitments.values()]
    words = [completion_to_pb(c) for party in s.daemons.values() for c in party.store.completions(s.id)]
    words = words or [completion_to_pb(c) for c in _unsaid(s)]
    heads = [head_to_pb(h) for party in s.daemons.values() for h in party.store.latest_heads(s.id)]
    attempt = store.get(s.id).attempt
    ids: Any = {"session_id": s.id}
    yield "ProposeSession", [[session_pb2.ProposeSessionRequest(manifest=s.terms.to_bytes())]]
    yield "ListSessions", [[session_pb2.ListSessionsRequest()]]
    yield "GetSession", [[session_pb2.GetSessionRequest(session_id=s.id[:n])] for n in (32, 4)]
    yield (
        "ApproveSession",
        [[session_pb2.ApproveSessionRequest(signature=sign(s.federation.key(n), s.id, n), **ids)] for n in MEMBERS],
    )
    yield "RefuseSession", [[session_pb2.RefuseSessionRequest(reason="too wide", **ids)]]
    yield (
        "ReportContribution",
        [
            [session_pb2.ReportContributionRequest(commitment=commitment_to_pb(c), receipts=_receipts(s, c))]
            for c in s.commitments.values()
        ],
    )
    yield "RunSession", [[session_pb2.RunSessionRequest(**ids)]]
    yield "CloseSession", [[session_pb2.CloseSessionRequest(**ids)]]
    yield "GetUpload", [[committee_pb2.GetUploadRequest(commitment=c.digest, **ids)] for c in s.commitments.values()]
    yield "Contribute", [_upload(s, name, dealing) for name in MEMBERS for dealing in s.dealings[name]]
    yield "FetchResult", [[committee_pb2.FetchResultRequest(completions=words[:3], **ids)]]
    yield (
        "StartRun",
        [[committee_pb2.StartRunRequest(attempt=n, commitments=shown, **ids)] for n in (0, attempt, attempt + 1)],
    )
    yield "GetRun", [[committee_pb2.GetRunRequest(**ids)]]
    released = committee_pb2.Completions(completions=words[:3])
    yield (
        "EndRun",
        [
            [committee_pb2.EndRunRequest(attempt=attempt, completions=released, **ids)],
            [committee_pb2.EndRunRequest(attempt=attempt, reason="agency-b went away.", **ids)],
        ],
    )
    yield "DeleteSession", [[committee_pb2.DeleteSessionRequest(**ids)]]
    frame = committee_pb2.ExchangeFrame(step="keys", payload=bytes(48))
    header = committee_pb2.ExchangeHeader(attempt=max(attempt, 1), **ids)
    yield "Exchange", [[committee_pb2.ExchangeRequest(header=header), committee_pb2.ExchangeRequest(frame=frame)]]
    yield "GetNode", [[node_pb2.GetNodeRequest()]]
    yield "ExchangeHeads", [[node_pb2.ExchangeHeadsRequest(heads=heads, **ids)]]
    yield "Check", [[health_pb2.HealthCheckRequest()]]
    yield "Watch", [[health_pb2.HealthCheckRequest()]]


def _unsaid(s: Session) -> list[Completion]:
    """What nodes would say of an attempt that was never computed; signed all the same, which is worse."""
    return [Completion(s.id, n, attempt=1, contributions=bytes(32)).signed(s.federation.key(n)) for n in COMMITTEE[1:]]


def _receipts(s: Session, c: Commitment) -> list[session_pb2.Receipt]:
    """Of all three nodes."""
    made = [Receipt(s.id, n, member=c.name, commitment=c.digest).signed(s.federation.key(n)) for n in COMMITTEE]
    return [receipt_to_pb(receipt) for receipt in made]


def _upload(s: Session, name: str, dealing: Dealing) -> list[Message]:
    header = committee_pb2.ContributionHeader(commitment=commitment_to_pb(s.commitments[name]), seeds=dealing.seeds)
    chunks = [] if dealing.whole is None else [dealing.whole.tobytes()]
    return [committee_pb2.ContributeRequest(header=header), *(committee_pb2.ContributeRequest(chunk=c) for c in chunks)]


def signed(message: Message, name: str, key: Any) -> Message:
    """The same, with statements of the caller's own in it."""
    made = type(message).FromString(message.SerializeToString())
    for field, held in made.ListFields():
        for part in held if field.is_repeated else [held]:
            if isinstance(part, Message):
                _sign(part, name, key)
    return made


def _sign(part: Any, name: str, key: Any) -> None:
    match part:
        case session_pb2.Commitment():
            counts: Any = {"records": part.records, "new_records": part.new_records, "keys": part.keys}
            statement: Statement | Head = Commitment(part.session_id, name, digests=tuple(part.digests), **counts)
            part.member = name
        case session_pb2.Receipt():
            statement = Receipt(part.session_id, name, member=part.member, commitment=part.commitment)
            part.node = name
        case session_pb2.Completion():
            statement = Completion(part.session_id, name, attempt=part.attempt, contributions=part.contributions)
            part.node = name
        case session_pb2.Head():
            statement = Head(name, part.session_id, part.number, part.hash)
            part.node = name
        case _:
            for _, held in part.ListFields():
                for inner in held if isinstance(held, Sequence) and not isinstance(held, bytes | str) else [held]:
                    if isinstance(inner, Message):
                        _sign(inner, name, key)
            return
    data = statement.signed_bytes
    part.signature = key.sign(data)
