"""The calling side against nodes that answer over real connections, and answer wrongly."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mpc.channel import MAX_MESSAGE_BYTES
from mpc.committee import PartyId
from parties import calls
from parties.contribution import Dealing, Replicated, deal
from parties.errors import (
    InputError,
    PeerIdentityError,
    PeerUnavailable,
    ResultError,
    ServiceError,
    SessionRefused,
)
from parties.lifecycle import State
from parties.statements import Commitment, Completion, Receipt
from parties.store import SessionRecord
from parties.wire import (
    MAX_REASON_CHARS,
    View,
    commitment_of,
    completion_of,
    receipt_of,
    receipt_to_pb,
    view_to_pb,
)
from protos.matchbit.v1 import session_pb2
from tests.parties.answering import Nodes
from tests.parties.samples import approvals, terms_of

ID = bytes(range(32))
PER_CHUNK = MAX_MESSAGE_BYTES // 16
COMPLETION = Completion(ID, "neutral", b"s" * 64, attempt=2, contributions=b"c" * 32)
COMMITMENT = Commitment(ID, "agency-a", b"s" * 64, records=3, new_records=2, keys=3, digests=(b"d" * 32,) * 3)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    nodes = Nodes(tmp_path_factory.mktemp("nodes"))
    with nodes.served():
        yield nodes


@pytest.fixture
def nodes(running: Nodes) -> Nodes:
    running.neutral.forget()
    running.hub.asked.clear()
    return running


def dealings(count: int) -> list[Dealing]:
    rows = np.random.default_rng(count).integers(0, 1 << 64, (count, 2), np.uint64)
    return deal(Replicated(cells=0), rows, bytes(32))


def committed(nodes: Nodes, dealt: list[Dealing]) -> Commitment:
    count = dealt[0].rows
    made = Commitment(ID, "agency-a", records=count, new_records=count, keys=count, digests=dealt[0].digests)
    return made.signed(nodes.own.identity().signing_key)


def contribute(
    nodes: Nodes, count: int = 3, party: PartyId = PartyId.P2, progress: Callable[[int], None] = lambda _: None
) -> Receipt:
    dealt = dealings(count)
    return calls.contribute(nodes.own, nodes.known["neutral"], committed(nodes, dealt), dealt[party], progress)


# Uploads


@pytest.mark.parametrize("party", list(PartyId))
@pytest.mark.parametrize("count", [1, 64, PER_CHUNK, PER_CHUNK + 1])
def test_an_upload_arrives_whole_in_bounded_pieces(nodes: Nodes, party: PartyId, count: int) -> None:
    told = list[int]()
    receipt = contribute(nodes, count, party, told.append)
    dealt = dealings(count)
    commitment, dealing = committed(nodes, dealt), dealt[party]
    assert (receipt.session_id, receipt.name, receipt.member) == (ID, "neutral", "agency-a")
    assert receipt.commitment == commitment.digest
    (header,) = nodes.neutral.headers
    assert commitment_of(header.commitment) == commitment
    assert (tuple(header.seeds), header.offset) == (dealing.seeds, 0)
    assert nodes.neutral.held == (b"" if dealing.whole is None else dealing.whole.tobytes())
    assert all(0 < len(chunk) <= MAX_MESSAGE_BYTES for chunk in nodes.neutral.received)
    assert told == [0, *itertools.accumulate(map(len, nodes.neutral.received))]


def whole(count: int) -> bytes:
    sent = dealings(count)[PartyId.P2].whole
    assert sent is not None
    return sent.tobytes()


def test_what_the_node_has_is_not_sent_again(nodes: Nodes) -> None:
    count = 2 * PER_CHUNK + 3
    nodes.neutral.held, told = whole(count)[:MAX_MESSAGE_BYTES], list[int]()
    contribute(nodes, count, progress=told.append)
    assert nodes.neutral.headers[0].offset == MAX_MESSAGE_BYTES
    assert nodes.neutral.held == whole(count)
    assert told == [MAX_MESSAGE_BYTES, 2 * MAX_MESSAGE_BYTES, 16 * count]
    contribute(nodes, count, progress=told.append)
    assert len(nodes.neutral.received) == 2
    assert told[3:] == [16 * count]


def test_an_upload_whose_connection_is_lost_goes_on(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "UPLOAD_PAUSES_S", (0.0, 0.0, 0.0))
    nodes.neutral.lost_after = [1, 0, 1]
    contribute(nodes, 3 * PER_CHUNK + 3)
    assert nodes.neutral.held == whole(3 * PER_CHUNK + 3)
    assert [h.offset // MAX_MESSAGE_BYTES for h in nodes.neutral.headers] == [0, 1, 1, 2]


def test_a_connection_that_is_lost_again_and_again(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "UPLOAD_PAUSES_S", (0.0, 0.0, 0.0))
    nodes.neutral.lost_after = [0] * 9
    with pytest.raises(PeerUnavailable, match="The connection is lost"):
        contribute(nodes)
    assert len(nodes.neutral.headers) == 4


@pytest.mark.parametrize("error", [SessionRefused("The session is over; contributions are closed."), InputError("No.")])
def test_an_upload_that_is_refused_is_not_tried_again(nodes: Nodes, error: ServiceError) -> None:
    nodes.neutral.refusal = error
    with pytest.raises(type(error), match=str(error)):
        contribute(nodes)
    assert len(nodes.neutral.asked) == 1


def test_a_node_that_is_down_is_for_its_operator(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parties.calls.time.sleep", pytest.fail)
    dealt = dealings(3)
    with pytest.raises(PeerUnavailable, match="agency-b cannot be reached"):
        calls.contribute(nodes.own, nodes.known["agency-b"], committed(nodes, dealt), dealt[0], lambda _: None)


@pytest.mark.parametrize("change", [{"member": "agency-b"}, {"session_id": bytes(32)}, {"commitment": b"d" * 32}])
def test_a_receipt_for_something_else_is_not_taken(nodes: Nodes, change: dict[str, Any]) -> None:
    nodes.neutral.lie = lambda receipt: nodes.neutral.honest(replace(receipt, **change))
    with pytest.raises(ResultError, match="neutral confirmed something else than was uploaded; ask its operator"):
        contribute(nodes)


@pytest.mark.parametrize("name", ["neutral", "agency-b"])
def test_a_receipt_that_another_node_signed_is_not_taken(nodes: Nodes, name: str) -> None:
    key = nodes.configs["agency-b"].identity().signing_key
    nodes.neutral.lie = lambda receipt: receipt_to_pb(replace(receipt, name=name).signed(key))
    with pytest.raises(InputError, match=f"^A receipt in the name of {name} is not signed by its pinned key"):
        contribute(nodes)


@pytest.mark.parametrize("field", ["signature", "commitment", "session_id", "member", "node"])
def test_a_malformed_receipt_is_not_taken(nodes: Nodes, field: str) -> None:
    def lie(receipt: Receipt) -> session_pb2.Receipt:
        message = nodes.neutral.honest(receipt)
        message.ClearField(field)
        return message

    nodes.neutral.lie = lie
    with pytest.raises(InputError):
        contribute(nodes)


# Results


def fetch(nodes: Nodes, limit_bytes: int) -> bytes:
    return calls.fetch_result(nodes.own, nodes.known["neutral"], ID, [COMPLETION], limit_bytes)


@pytest.mark.parametrize("chunks", [[], [b"abc"], [b"a" * MAX_MESSAGE_BYTES], [b"a" * MAX_MESSAGE_BYTES, b"tail"]])
def test_a_result_is_put_together(nodes: Nodes, chunks: list[bytes]) -> None:
    nodes.neutral.chunks = chunks
    whole = b"".join(chunks)
    assert fetch(nodes, len(whole)) == whole
    (asked,) = nodes.neutral.asked
    assert (asked.session_id, list(map(completion_of, asked.completions))) == (ID, [COMPLETION])


ENDLESS = [itertools.repeat(b"x" * size) for size in (1, 3, 1000)]


@pytest.mark.parametrize("chunks", [[b"abcd"], [b"abc", b"d"], *ENDLESS])
def test_a_longer_result_is_not_read_to_its_end(nodes: Nodes, chunks: Any) -> None:
    nodes.neutral.chunks = chunks
    with pytest.raises(ResultError, match="neutral sends another result than is due; ask its operator"):
        fetch(nodes, 3)


def test_a_result_in_small_pieces_is_not_read(nodes: Nodes) -> None:
    """Millions of them would take a member's processor for hours, and nobody keeps a result so."""
    nodes.neutral.chunks = itertools.repeat(b"x", 4 * MAX_MESSAGE_BYTES)
    with pytest.raises(ResultError, match="neutral sends another result than is due; ask its operator"):
        fetch(nodes, 4 * MAX_MESSAGE_BYTES)


@pytest.mark.parametrize("chunks", [[b""], [b"ab", b"", b"c"]])
def test_empty_chunks_are_not_read(nodes: Nodes, chunks: list[bytes]) -> None:
    """They could go on without end."""
    nodes.neutral.chunks = chunks
    with pytest.raises(ResultError, match="neutral sends another result than is due; ask its operator"):
        fetch(nodes, 3)


@pytest.mark.parametrize("words", ["No \x1b[2J\x1b]0;pwned\x07\nmatchbit: all is well.", "No " * 5000 + "end."])
def test_a_nodes_words_are_one_line_for_people(nodes: Nodes, words: str) -> None:
    """Whatever it says: a terminal obeys what is printed on it."""
    nodes.neutral.refusal = SessionRefused(words)
    with pytest.raises(SessionRefused, match=r"^No ") as refused:
        contribute(nodes)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) <= MAX_REASON_CHARS


# The coordinator


def view(nodes: Nodes, **terms: Any) -> View:
    made = terms_of(nodes.configs, **terms)
    record = SessionRecord(made, State.APPROVED, "", 0, approvals(nodes.configs, made))
    return View(record, {"agency-a": COMMITMENT}, (COMPLETION,), ("", 0, 0))


def test_a_session_by_its_id_or_the_beginning_of_it(nodes: Nodes) -> None:
    known = view(nodes)
    nodes.hub.answer = lambda: view_to_pb(known)
    for length in (4, 5, 32):
        assert nodes.coordinator.get(known.record.id[:length]) == known
    assert [asked.session_id for asked in nodes.hub.asked] == [known.record.id[:length] for length in (4, 5, 32)]
    assert nodes.coordinator.sessions() == [known] * 2


def test_an_answer_with_another_session(nodes: Nodes) -> None:
    asked, other = view(nodes), view(nodes, title="Other")
    nodes.hub.answer = lambda: view_to_pb(other)
    for length in (4, 32):
        with pytest.raises(ResultError, match="hub answered with another session than was asked for"):
            nodes.coordinator.get(asked.record.id[:length])


def test_an_empty_or_forged_answer(nodes: Nodes) -> None:
    known = view(nodes)
    nodes.hub.answer = session_pb2.Session
    with pytest.raises(ServiceError):
        nodes.coordinator.get(known.record.id)

    def forged() -> session_pb2.Session:
        answer = view_to_pb(known)
        answer.manifest = terms_of(nodes.configs, title="Other terms under the same id").to_bytes()
        return answer

    nodes.hub.answer = forged
    with pytest.raises(InputError, match="not the digest of its manifest"):
        nodes.coordinator.get(known.record.id)


def test_what_the_coordinator_is_told(nodes: Nodes) -> None:
    terms = terms_of(nodes.configs)
    receipts = [Receipt(ID, name, b"s" * 64, member="agency-a", commitment=b"c" * 32) for name in ("a", "b", "c")]
    assert nodes.coordinator.propose(terms) == terms.session_id
    nodes.coordinator.approve(ID, b"s" * 64)
    nodes.coordinator.refuse(ID, "the purpose is too wide")
    nodes.coordinator.report(COMMITMENT, receipts)
    nodes.coordinator.run(ID)
    nodes.coordinator.close(ID)
    proposed, approved, refused, reported, *rest = nodes.hub.asked
    assert proposed.manifest == terms.to_bytes()
    assert (approved.session_id, approved.signature) == (ID, b"s" * 64)
    assert (refused.session_id, refused.reason) == (ID, "the purpose is too wide")
    assert commitment_of(reported.commitment) == COMMITMENT
    assert list(map(receipt_of, reported.receipts)) == receipts
    assert [(type(asked).__name__, asked.session_id) for asked in rest] == [
        ("RunSessionRequest", ID), ("CloseSessionRequest", ID),
    ]  # fmt: skip


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
