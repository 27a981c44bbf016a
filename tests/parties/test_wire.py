"""Messages as they are read: every field checked, and every error in plain words."""

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from parties import wire
from parties.audit import Head
from parties.errors import ConfigError, InputError, ServiceError
from parties.lifecycle import State
from parties.manifest import MAX_MANIFEST_BYTES
from parties.statements import Commitment, Completion, Receipt
from parties.store import SessionRecord
from protos.matchbit.v1 import committee_pb2
from protos.matchbit.v1 import session_pb2 as pb
from tests.parties.deciding import store_of
from tests.parties.samples import JARGON, examples, manifest

TERMS = manifest(title="Зимова допомога")
ID = TERMS.session_id
SIGNATURES = {"agency-a": b"a" * 64, "neutral": b"n" * 64}
DIGESTS = (b"d" * 32, b"e" * 32, b"f" * 32)
COMMITMENT = Commitment(ID, "agency-a", b"s" * 64, records=9, new_records=4, keys=17, digests=DIGESTS)
RECEIPT = Receipt(ID, "neutral", b"s" * 64, member="agency-a", commitment=b"c" * 32)
COMPLETION = Completion(ID, "neutral", b"s" * 64, attempt=3, contributions=b"c" * 32)
HEAD = Head("neutral", ID, 12, b"h" * 32, b"s" * 64)
RECORD = SessionRecord(TERMS, State.READY, "why", 3, SIGNATURES)
VIEW = wire.View(RECORD, {"agency-a": COMMITMENT}, (COMPLETION,), ("tag", 5, 9))
EMPTY = wire.View(RECORD, {}, (), ("", 0, 0))
ANSWER = committee_pb2.GetRunResponse(
    state=pb.SESSION_STATE_COMPUTED,
    reason="why",
    attempt=3,
    progress=pb.Progress(phase="tag", rows_done=5, rows_total=9),
    retriable=True,
    completion=wire.completion_to_pb(COMPLETION),
)
GOOD: dict[str, tuple[Callable[[Any], object], Any]] = {
    "session": (wire.view_of, wire.view_to_pb(VIEW)),
    "commitment": (wire.commitment_of, wire.commitment_to_pb(COMMITMENT)),
    "receipt": (wire.receipt_of, wire.receipt_to_pb(RECEIPT)),
    "completion": (wire.completion_of, wire.completion_to_pb(COMPLETION)),
    "head": (wire.head_of, wire.head_to_pb(HEAD)),
    "seeds": (wire.seeds_of, committee_pb2.ContributionHeader(seeds=(b"s" * 16, b"t" * 16))),
    "answer": (wire.answer_of, ANSWER),
}


def over_the_wire(message: Any) -> Any:
    return type(message).FromString(message.SerializeToString())


def changed(kind: str, **fields: Any) -> Any:
    """A good message with other fields."""
    good = GOOD[kind][1]
    message = type(good).FromString(good.SerializeToString())
    for name in fields:
        message.ClearField(name)
    message.MergeFrom(type(good)(**fields))
    return message


def refused(kind: str, message: Any = None, **fields: Any) -> str:
    """The sentence with which a message is refused."""
    with pytest.raises((InputError, ConfigError)) as error:
        GOOD[kind][0](over_the_wire(changed(kind, **fields) if message is None else message))
    text = str(error.value)
    assert text.endswith(".")
    assert not any(word in text for word in JARGON)
    return text


# Round trips


@pytest.mark.parametrize("state", State)
def test_states(state: State) -> None:
    assert wire.state_of(wire.state_to_pb(state)) is state
    view = dataclasses.replace(EMPTY, record=SessionRecord(TERMS, state, "", 0, {}))
    assert wire.view_of(over_the_wire(wire.view_to_pb(view))) == view


def test_every_state_on_the_wire_is_ours_but_the_unspecified_one() -> None:
    assert {n for n in pb.SessionState.values() if n} == {wire.state_to_pb(state) for state in State}


@pytest.mark.parametrize("number", [0, 11, -1, 2**31 - 1])
@pytest.mark.parametrize("kind", ["session", "answer"])
def test_unknown_states(kind: str, number: int) -> None:
    with pytest.raises(InputError, match="a state that this version does not know"):
        wire.state_of(number)
    assert "does not know" in refused(kind, state=number)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("session", VIEW), ("commitment", COMMITMENT), ("receipt", RECEIPT), ("completion", COMPLETION), ("head", HEAD)],
)
def test_what_was_sent_is_read(kind: str, expected: object) -> None:
    read, good = GOOD[kind]
    assert read(over_the_wire(good)) == expected


def test_how_an_attempt_goes() -> None:
    expected = wire.Answer(State.COMPUTED, "why", 3, ("tag", 5, 9), True, COMPLETION)
    assert wire.answer_of(over_the_wire(ANSWER)) == expected
    without = changed("answer")
    without.ClearField("completion")
    assert wire.answer_of(over_the_wire(without)).completion is None


names = st.sampled_from(["agency-a", "0", "a" * 63])


@given(names, st.integers(1, 10**9), st.binary(min_size=192, max_size=192))
@examples(50)
def test_any_good_statement(name: str, number: int, data: bytes) -> None:
    one, two, three, session, signature = data[:32], data[32:64], data[64:96], data[96:128], data[128:]
    commitment = Commitment(
        session, name, signature, records=number % 1000, new_records=number % 7, keys=number, digests=(one, two, three)
    )
    receipt = Receipt(session, name, signature, member=name, commitment=one)
    completion = Completion(session, name, signature, attempt=number, contributions=two)
    head = Head(name, session, number, three, signature)
    assert wire.commitment_of(over_the_wire(wire.commitment_to_pb(commitment))) == commitment
    assert wire.receipt_of(over_the_wire(wire.receipt_to_pb(receipt))) == receipt
    assert wire.completion_of(over_the_wire(wire.completion_to_pb(completion))) == completion
    assert wire.head_of(over_the_wire(wire.head_to_pb(head))) == head


# Malformed fields

NAMES = ["", "Agency", "agency a", "-a", "a" * 64, "a\n", "a\0", "агенція", "../a"]
SIZED = {
    "commitment": {"session_id": 32, "signature": 64},
    "receipt": {"session_id": 32, "commitment": 32, "signature": 64},
    "completion": {"session_id": 32, "contributions": 32, "signature": 64},
    "head": {"session_id": 32, "hash": 32, "signature": 64},
}
NAMED = {"commitment": ["member"], "receipt": ["member", "node"], "completion": ["node"], "head": ["node"]}


@pytest.mark.parametrize("by", [-1, 1, -1000])
@pytest.mark.parametrize(("kind", "field"), [(kind, field) for kind, due in SIZED.items() for field in due])
def test_bytes_of_another_length(kind: str, field: str, by: int) -> None:
    due = SIZED[kind][field]
    length = max(0, due + by)
    assert refused(kind, **{field: b"x" * length}) == f"`{field}` has {length} bytes where {due} are due."


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("kind", "field"), [(kind, field) for kind, fields in NAMED.items() for field in fields])
def test_malformed_names_are_not_repeated(kind: str, field: str, name: str) -> None:
    assert refused(kind, **{field: name}) == "A node's name is malformed."


@pytest.mark.parametrize("number", [2**64 - 1, 2**63, 10**13])
@pytest.mark.parametrize("field", ["records", "new_records", "keys"])
def test_more_than_any_session_allows(field: str, number: int) -> None:
    assert refused("commitment", **{field: number}) == "A commitment is to more than any session allows."


NINE = DIGESTS * 3


@pytest.mark.parametrize("digests", [[], DIGESTS[:2], [*NINE, b"f" * 32], [*DIGESTS[:2], b"f" * 31], [b""] * 9])
def test_digests_of_a_committees_components(digests: list[bytes]) -> None:
    said = refused("commitment", digests=digests)
    wanted = "A commitment must have the digests of 3 to 9 components."
    assert said == wanted if not 3 <= len(digests) <= 9 else "`digest` has" in said
    assert wire.commitment_of(over_the_wire(changed("commitment", digests=NINE))).digests == NINE


@pytest.mark.parametrize("seeds", [[], [b"s" * 16] * 10, [b"s" * 15], [b"s" * 16, b""]])
def test_seeds_of_an_upload(seeds: list[bytes]) -> None:
    said = refused("seeds", seeds=seeds)
    assert said == "An upload must have 1 to 9 seeds." if not 1 <= len(seeds) <= 9 else "`seed` has" in said
    assert not any(seed.hex() in said for seed in seeds if seed)


@pytest.mark.parametrize("number", [0, 2**63, 2**64 - 1])
def test_entries_that_no_log_has(number: int) -> None:
    assert refused("head", number=number) == "A head is of an entry that no log has."


def test_what_is_read_can_be_stored(tmp_path: Path) -> None:
    """Numbers of 64 bits are larger than a database's."""
    store = store_of(tmp_path / "matchbit.db")
    store.add_session(TERMS, State.APPROVED)
    commitment = wire.commitment_of(
        over_the_wire(changed("commitment", records=50_000_000, new_records=50_000_000, keys=50_000_000 * 32))
    )
    completion = wire.completion_of(over_the_wire(changed("completion", attempt=2**32 - 1)))
    store.add_statement(commitment)
    store.add_statement(completion)
    assert store.commitments(ID) == {"agency-a": commitment}
    assert store.completions(ID) == [completion]
    store.begin(ID, 2**32 - 1, b"c" * 32, ["agency-a"])
    store.add_heads([wire.head_of(over_the_wire(changed("head", node="agency-b", number=2**63 - 1)))])
    assert store.latest_heads(ID)[0].number == 2**63 - 1


@pytest.mark.parametrize("name", NAMES)
def test_malformed_names_of_signers(name: str) -> None:
    assert refused("session", signatures=[pb.Signature(name=name, signature=b"x" * 64)])


@pytest.mark.parametrize("signature", [b"", b"x" * 63, b"x" * 65])
def test_signatures_of_another_length(signature: bytes) -> None:
    text = refused("session", signatures=[pb.Signature(name="agency-a", signature=signature)])
    assert "where 64 are due" in text


def test_too_many_signatures_or_statements() -> None:
    says = "The session has more signatures or statements than parties."
    signature = pb.Signature(name="agency-a", signature=b"x" * 64)
    assert refused("session", signatures=[signature] * (len(TERMS.participants) + 1)) == says
    assert refused("session", commitments=[wire.commitment_to_pb(COMMITMENT)] * (len(TERMS.members) + 1)) == says
    assert refused("session", completions=[wire.completion_to_pb(COMPLETION)] * (len(TERMS.committee) + 1)) == says


@pytest.mark.parametrize(
    "inner",
    [
        {"commitments": [changed("commitment", member="Agency")]},
        {"commitments": [changed("commitment", digests=[])]},
        {"completions": [changed("completion", contributions=b"")]},
    ],
)
def test_malformed_statements_in_a_session(inner: dict[str, Any]) -> None:
    refused("session", **inner)


def test_a_malformed_statement_in_an_answer() -> None:
    assert "`signature`" in refused("answer", completion=changed("completion", signature=b"short"))


def test_what_the_coordinator_tells_and_is_told() -> None:
    """Of shares only digests that are keyed with what a component's two holders know; and no group size."""
    figures = [f.name for f in committee_pb2.RunFigures.DESCRIPTOR.fields]
    assert figures == ["cpu_s", "sent_bytes", "idle_rss_bytes", "peak_rss_bytes", "phases"]
    answers = [f.name for f in committee_pb2.GetRunResponse.DESCRIPTOR.fields]
    assert answers == ["state", "reason", "attempt", "progress", "figures", "retriable", "completion"]
    assert {f.message_type.name for f in pb.Session.DESCRIPTOR.fields if f.message_type} == {
        "Signature", "Commitment", "Progress", "Completion",
    }  # fmt: skip
    assert [f.name for f in pb.Commitment.DESCRIPTOR.fields] == [
        "session_id", "member", "records", "new_records", "keys", "digests", "signature",
    ]  # fmt: skip
    assert [f.name for f in pb.Completion.DESCRIPTOR.fields] == [
        "session_id", "node", "attempt", "contributions", "signature",
    ]  # fmt: skip


@pytest.mark.parametrize("session_id", [b"", ID[:4], ID[::-1], ID + b"\0"])
def test_an_id_that_is_not_the_digest_of_the_manifest(session_id: bytes) -> None:
    text = refused("session", session_id=session_id)
    assert text == "The session's id is not the digest of its manifest."


@pytest.mark.parametrize(
    "data", [b"", b"{}", TERMS.to_bytes()[:-1], TERMS.to_bytes() + b" ", b" " * (MAX_MANIFEST_BYTES + 1)]
)
def test_a_malformed_manifest(data: bytes) -> None:
    assert "manifest" in refused("session", manifest=data)
    with pytest.raises(ServiceError):
        wire.manifest_of(data)


def test_another_sessions_manifest() -> None:
    assert "not the digest" in refused("session", manifest=manifest(title="Other").to_bytes())


def test_reasons_are_one_printable_line_of_bounded_length() -> None:
    for reason, shown in (
        ("neutral went away", "neutral went away"),
        ("  a\nb\r\n\tc\0d\x1b[2Je\u202ef  ", "a b   c d [2Je f"),
        ("x" * 5000, "x" * wire.MAX_REASON_CHARS),
        ("", ""),
    ):
        assert wire.reason_of(reason) == shown
        told = {"reason": reason, "progress": pb.Progress(phase=reason)}
        view = wire.view_of(over_the_wire(changed("session", **told)))
        assert (view.record.reason, view.progress[0]) == (shown, shown)
        answer = wire.answer_of(over_the_wire(changed("answer", **told)))
        assert (answer.reason, answer.progress[0]) == (shown, shown)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_sized(length: int) -> None:
    assert wire.sized(b"x" * 32, 32, "session_id") == b"x" * 32
    with pytest.raises(InputError, match=f"`session_id` has {length} bytes where 32 are due"):
        wire.sized(b"x" * length, 32, "session_id")


# Anything at all


def reads_or_refuses(kind: str, data: bytes) -> None:
    read, good = GOOD[kind]
    try:
        message = type(good).FromString(data)
    except DecodeError:
        return
    with suppress(InputError, ConfigError):  # any other error fails the test
        read(message)


@given(st.binary(max_size=200))
@examples(200)
def test_any_bytes(data: bytes) -> None:
    for kind in GOOD:
        reads_or_refuses(kind, data)


@pytest.mark.parametrize("kind", GOOD)
@given(data=st.data())
@examples(200)
def test_changed_bytes(kind: str, data: st.DataObject) -> None:
    changed = bytearray(GOOD[kind][1].SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(changed)) | st.just(len(changed)))
    reads_or_refuses(kind, bytes(changed[:cut]) + data.draw(st.binary(max_size=20)))


digests = st.sampled_from([b"d" * 32, b""])
signatures = st.sampled_from([b"d" * 64, b""])
sessions = st.sampled_from([ID, b"", ID[:5]])
anything = st.integers(0, 2**64 - 1)


@given(
    st.builds(
        pb.Commitment,
        session_id=sessions,
        member=st.text(max_size=5),
        records=anything,
        new_records=anything,
        keys=anything,
        digests=st.lists(digests, max_size=4),
        signature=signatures,
    ),
    st.builds(
        pb.Receipt,
        session_id=sessions,
        member=st.text(max_size=5),
        node=st.sampled_from(["neutral", "N"]),
        commitment=digests,
        signature=signatures,
    ),
)
@examples(200)
def test_any_fields(commitment: pb.Commitment, receipt: pb.Receipt) -> None:
    reads_or_refuses("commitment", commitment.SerializeToString())
    reads_or_refuses("receipt", receipt.SerializeToString())
