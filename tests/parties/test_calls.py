"""The calling side against nodes that answer over real connections, and answer wrongly."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from mpc.channel import MAX_MESSAGE_BYTES
from mpc.committee import PartyId
from parties import calls, config, federation
from parties.config import Config
from parties.contribution import Dealing, deal_keys, dealt_digest, expand_share
from parties.errors import (
    ConfigError,
    InputError,
    PeerIdentityError,
    PeerUnavailable,
    ResultError,
    ServiceError,
    SessionRefused,
)
from parties.federation import Node
from parties.lifecycle import State
from parties.loopback import free_port
from parties.store import Receipt, SessionRecord
from parties.transport import guarded, listen
from parties.wire import receipt_to_pb, session_to_pb
from protos.matchbit.v1 import committee_pb2 as pb
from protos.matchbit.v1 import session_pb2
from protos.matchbit.v1.committee_pb2_grpc import (
    ContributionServiceServicer,
    add_ContributionServiceServicer_to_server,
)
from protos.matchbit.v1.session_pb2_grpc import SessionServiceServicer, add_SessionServiceServicer_to_server
from tests.parties.samples import approvals, federate, terms_of, write

NAMES = ("agency-a", "agency-b", "agency-c", "neutral")
ID = bytes(range(32))
Sign = Callable[[bytes], bytes]


class Neutral(ContributionServiceServicer):
    """A committee node that does what a test says with an honest receipt, and sends what it says as a result."""

    def __init__(self, sign: Sign) -> None:
        self.sign = sign
        self.lie: Callable[[Receipt, Sign], session_pb2.Receipt] = honest
        self.chunks: Iterator[bytes] = iter(())
        self.header = pb.ContributionHeader()
        self.received: list[bytes] = []
        self.party = PartyId.P0

    @guarded
    def Contribute(self, request_iterator: Any, _context: Any) -> pb.ContributeResponse:  # noqa: N802
        self.header = next(request_iterator).header
        self.received = [request.chunk for request in request_iterator]
        body, h = b"".join(self.received), self.header
        whole = np.frombuffer(body, np.uint64).reshape(-1, 2) if body else None
        share = expand_share(self.party, h.rows, (h.seed_a, h.seed_b), whole)
        digests = dealt_digest(h.seed_a, share.a), dealt_digest(h.seed_b, share.b)
        receipt = Receipt(h.session_id, "agency-a", "neutral", h.rows, digests)
        return pb.ContributeResponse(receipt=self.lie(receipt, self.sign))

    def FetchResult(self, _request: Any, _context: Any) -> Iterator[pb.FetchResultResponse]:  # noqa: N802
        yield from (pb.FetchResultResponse(chunk=chunk) for chunk in self.chunks)


class Hub(SessionServiceServicer):
    """A coordinator that answers what a test says."""

    def __init__(self) -> None:
        self.answer: Callable[[], session_pb2.Session] = session_pb2.Session
        self.asked: list[bytes] = []

    @guarded
    def GetSession(self, request: Any, _context: Any) -> session_pb2.GetSessionResponse:  # noqa: N802
        self.asked.append(request.session_id)
        return session_pb2.GetSessionResponse(session=self.answer())

    @guarded
    def ListSessions(self, _request: Any, _context: Any) -> session_pb2.ListSessionsResponse:  # noqa: N802
        return session_pb2.ListSessionsResponse(sessions=[self.answer()] * 2)


def honest(receipt: Receipt, sign: Sign) -> session_pb2.Receipt:
    return receipt_to_pb(receipt.with_signature(sign(receipt.signed_bytes())))


def changed(**fields: Any) -> Callable[[Receipt, Sign], session_pb2.Receipt]:
    """A receipt for something else, properly signed."""
    return lambda receipt, sign: honest(replace(receipt, **fields), sign)


@contextmanager
def serving(node: Config, add: Callable[[grpc.Server], None]) -> Iterator[None]:
    server = listen(node, add)
    try:
        yield
    finally:
        server.stop(None).wait()


class Nodes:
    """agency-a calls; the neutral node and the coordinator answer over mutual TLS."""

    def __init__(self, folder: Path) -> None:
        addresses = {name: f"127.0.0.1:{free_port()}" for name in ("neutral", "hub", "agency-b")}
        self.configs = federate(folder, NAMES, addresses)
        self.own = self.configs["agency-a"]
        self.known = self.own.federation()
        self.neutral, self.hub = Neutral(self.configs["neutral"].identity().signing_key.sign), Hub()

    @contextmanager
    def served(self) -> Iterator[None]:
        with (
            serving(self.configs["neutral"], lambda s: add_ContributionServiceServicer_to_server(self.neutral, s)),
            serving(self.configs["hub"], lambda s: add_SessionServiceServicer_to_server(self.hub, s)),
        ):
            yield

    def contribute(self, dealing: Dealing, progress: Callable[[int], None] = lambda _: None) -> calls.SignedReceipt:
        if dealing.whole is not None:  # which of the two parties it was dealt for shows in the digests
            is_b = dealt_digest(dealing.seeds[1], dealing.whole) == dealing.digests[1]
            self.neutral.party = PartyId.P1 if is_b else PartyId.P2
        else:
            self.neutral.party = PartyId.P0
        return calls.contribute(self.own, self.known["neutral"], ID, dealing, progress)

    def fetch(self, limit_bytes: int) -> bytes:
        return calls.fetch_result(self.own, self.known["neutral"], ID, limit_bytes)

    @property
    def coordinator(self) -> calls.Coordinator:
        return calls.Coordinator(self.own, self.known)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    nodes = Nodes(tmp_path_factory.mktemp("nodes"))
    with nodes.served():
        yield nodes


@pytest.fixture
def nodes(running: Nodes) -> Nodes:
    running.neutral.lie, running.neutral.chunks = honest, iter(())
    running.hub.asked.clear()
    return running


def dealings(count: int) -> list[Dealing]:
    return deal_keys(np.random.default_rng(count).integers(0, 1 << 64, (count, 2), np.uint64))


# Receipts


def test_a_receipt_is_checked_with_its_nodes_pinned_key(nodes: Nodes) -> None:
    receipt = Receipt(ID, "agency-a", "neutral", 7, (b"d" * 32, b"e" * 32))
    signature = nodes.neutral.sign(receipt.signed_bytes())
    node = nodes.known["neutral"]
    calls.check_receipt(node, receipt.with_signature(signature))
    flipped = bytes([signature[0] ^ 1]) + signature[1:]
    wrong = [
        (node, receipt.with_signature(flipped)),
        (node, receipt.with_signature(b"")),
        (node, replace(receipt, rows=8, signature=signature)),
        (node, replace(receipt, digests=(b"e" * 32, b"d" * 32), signature=signature)),
        (replace(nodes.known["agency-b"], name="neutral"), receipt.with_signature(signature)),
    ]
    for pinned, false in wrong:
        with pytest.raises(InputError, match=r"^A receipt of neutral is not signed by it\.$"):
            calls.check_receipt(pinned, false)


# Uploads


@pytest.mark.parametrize("party", list(PartyId))
@pytest.mark.parametrize("count", [1, 64, MAX_MESSAGE_BYTES // 16, MAX_MESSAGE_BYTES // 16 + 1])
def test_an_upload_arrives_whole_in_bounded_pieces(nodes: Nodes, party: PartyId, count: int) -> None:
    dealing, told = dealings(count)[party], list[int]()
    receipt = nodes.contribute(dealing, told.append)
    assert (receipt.member, receipt.node, receipt.rows, receipt.session_id) == ("agency-a", "neutral", count, ID)
    assert (receipt.digest_a, receipt.digest_b) == dealing.digests
    header = nodes.neutral.header
    assert (header.session_id, header.rows, (header.seed_a, header.seed_b)) == (ID, count, dealing.seeds)
    body = b"" if dealing.whole is None else dealing.whole.tobytes()
    assert b"".join(nodes.neutral.received) == body
    assert all(0 < len(chunk) <= MAX_MESSAGE_BYTES for chunk in nodes.neutral.received)
    assert told == list(itertools.accumulate(map(len, nodes.neutral.received)))


@pytest.mark.parametrize(
    "lie",
    [
        changed(rows=4),
        changed(member="agency-b"),
        changed(node="agency-b"),
        changed(session_id=bytes(32)),
        changed(digests=(b"d" * 32, b"e" * 32)),
        lambda receipt, sign: honest(replace(receipt, digests=receipt.digests[::-1]), sign),
    ],
)
def test_a_receipt_for_something_else_is_not_taken(nodes: Nodes, lie: Any) -> None:
    nodes.neutral.lie = lie
    with pytest.raises(ResultError, match="neutral confirmed something else than was uploaded; ask its operator"):
        nodes.contribute(dealings(3)[1])


def test_a_receipt_that_another_node_signed_is_not_taken(nodes: Nodes) -> None:
    other = nodes.configs["agency-b"].identity().signing_key
    nodes.neutral.lie = lambda receipt, _: honest(receipt, other.sign)
    with pytest.raises(InputError, match="A receipt of neutral is not signed by it"):
        nodes.contribute(dealings(3)[1])


@pytest.mark.parametrize("field", ["signature", "digest_a", "session_id", "member"])
def test_a_malformed_receipt_is_not_taken(nodes: Nodes, field: str) -> None:
    def lie(receipt: Receipt, sign: Sign) -> session_pb2.Receipt:
        message = honest(receipt, sign)
        message.ClearField(field)  # type: ignore[arg-type]
        return message

    nodes.neutral.lie = lie
    with pytest.raises(InputError):
        nodes.contribute(dealings(3)[1])


# Results


@pytest.mark.parametrize("chunks", [[], [b"abc"], [b"ab", b"c"], [b"a" * MAX_MESSAGE_BYTES, b"tail"]])
def test_a_result_is_put_together(nodes: Nodes, chunks: list[bytes]) -> None:
    nodes.neutral.chunks = iter(chunks)
    whole = b"".join(chunks)
    assert nodes.fetch(len(whole)) == whole


@pytest.mark.parametrize("chunks", [[b"abcd"], [b"ab", b"c", b"d"], itertools.repeat(b"x" * 1000)])
def test_a_longer_result_is_not_read_to_its_end(nodes: Nodes, chunks: Any) -> None:
    nodes.neutral.chunks = iter(chunks)
    with pytest.raises(ResultError, match="neutral sends a longer result than is due; ask its operator"):
        nodes.fetch(3)


# The coordinator


def record(nodes: Nodes, **terms: Any) -> SessionRecord:
    made = terms_of(nodes.configs, **terms)
    return SessionRecord(made, State.APPROVED, "", 0, approvals(nodes.configs, made))


def test_a_session_by_its_id_or_the_beginning_of_it(nodes: Nodes) -> None:
    known = record(nodes)
    nodes.hub.answer = lambda: session_to_pb(known, {}, ("", 0, 0))
    for length in (4, 5, 32):
        assert nodes.coordinator.get(known.id[:length]) == (known, {}, ("", 0, 0))
    assert nodes.hub.asked == [known.id[:4], known.id[:5], known.id]
    assert nodes.coordinator.sessions() == [(known, {}, ("", 0, 0))] * 2


def test_an_answer_with_another_session(nodes: Nodes) -> None:
    asked, other = record(nodes), record(nodes, title="Other")
    nodes.hub.answer = lambda: session_to_pb(other, {}, ("", 0, 0))
    for length in (4, 32):
        with pytest.raises(ResultError, match="hub answered with another session than was asked for"):
            nodes.coordinator.get(asked.id[:length])


def test_an_empty_or_forged_answer(nodes: Nodes) -> None:
    known = record(nodes)
    nodes.hub.answer = session_pb2.Session
    with pytest.raises(ServiceError):
        nodes.coordinator.get(known.id)

    def forged() -> session_pb2.Session:
        answer = session_to_pb(known, {}, ("", 0, 0))
        answer.manifest = terms_of(nodes.configs, title="Other terms under the same id").to_bytes()
        return answer

    nodes.hub.answer = forged
    with pytest.raises(InputError, match="not the digest of its manifest"):
        nodes.coordinator.get(known.id)


def raising(error: Exception) -> Callable[[], session_pb2.Session]:
    def answer() -> session_pb2.Session:
        raise error

    return answer


@pytest.mark.parametrize(
    "error",
    [InputError("Зимова допомога: a reason in any script."), SessionRefused("No."), PeerIdentityError("Not known.")],
)
def test_the_coordinators_sentence_reaches_the_caller(nodes: Nodes, error: ServiceError) -> None:
    nodes.hub.answer = raising(error)
    with pytest.raises(type(error)) as received:
        nodes.coordinator.get(ID)
    assert str(received.value) == str(error)


def test_a_bug_at_the_coordinator_tells_nothing_of_it(nodes: Nodes) -> None:
    nodes.hub.answer = raising(LookupError("a secret of the coordinator"))
    with pytest.raises(ServiceError) as received:
        nodes.coordinator.get(ID)
    assert "secret" not in str(received.value)


# Connections


def test_a_node_that_does_not_run(nodes: Nodes) -> None:
    with pytest.raises(PeerUnavailable, match=r"^agency-b cannot be reached; check its address"):
        calls.delete_session(nodes.own, nodes.known["agency-b"], ID)


def test_a_node_without_an_address(nodes: Nodes) -> None:
    with pytest.raises(ConfigError, match=r"agency-c has no address in federation\.toml, so it cannot be called"):
        calls.get_run(nodes.own, nodes.known["agency-c"], ID)


def test_a_node_that_shows_another_certificate(nodes: Nodes, tmp_path: Path) -> None:
    other = config.create("neutral", tmp_path / "other", nodes.known["neutral"].address, False)
    pinned: Node = other.federation()["neutral"]
    with pytest.raises(PeerIdentityError, match=r"neutral does not show the certificate that federation\.toml pins"):
        calls.fetch_result(nodes.own, pinned, ID, 0)


def test_a_federation_without_a_coordinator(nodes: Nodes, tmp_path: Path) -> None:
    alone = federation.load(write(tmp_path / "f.toml", (nodes.own.folder / "entry.toml").read_bytes()))
    with pytest.raises(ConfigError, match="exactly one coordinator"):
        calls.Coordinator(nodes.own, alone)
