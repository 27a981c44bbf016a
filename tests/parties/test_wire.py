from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from parties import wire
from parties.errors import ConfigError, InputError, ServiceError
from parties.lifecycle import State
from parties.manifest import MAX_MANIFEST_BYTES, MAX_MEMBERS
from parties.store import Receipt, SessionRecord, Store
from protos.matchbit.v1 import committee_pb2
from protos.matchbit.v1 import session_pb2 as pb
from tests.parties.samples import JARGON, examples, manifest

TERMS = manifest(title="Зимова допомога")
ID = TERMS.session_id
SIGNATURES = {"agency-a": b"a" * 64, "neutral": b"n" * 64}
RECEIPT = Receipt(ID, "agency-a", "neutral", 7, (b"d" * 32, b"e" * 32), b"s" * 64)
RECORD = SessionRecord(TERMS, State.READY, "why", 3, SIGNATURES)
PROGRESS = ("tag", 5, 9)
GOOD_SESSION = wire.session_to_pb(RECORD, {"agency-a": 7}, PROGRESS)
GOOD_RECEIPT = wire.receipt_to_pb(RECEIPT)


def over_the_wire(message: Any) -> Any:
    return type(message).FromString(message.SerializeToString())


def refused(read: Callable[[Any], object], message: Any) -> str:
    with pytest.raises((InputError, ConfigError)) as error:
        read(over_the_wire(message))
    text = str(error.value)
    assert text.endswith(".")
    assert not any(word in text for word in JARGON)
    return text


def session(**fields: Any) -> pb.Session:
    changed = pb.Session()
    changed.CopyFrom(GOOD_SESSION)
    for name, value in fields.items():
        changed.ClearField(name)  # type: ignore[arg-type]
        changed.MergeFrom(pb.Session(**{name: value}))
    return changed


def receipt(**fields: Any) -> pb.Receipt:
    changed = pb.Receipt()
    changed.CopyFrom(GOOD_RECEIPT)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


# Round trips


@pytest.mark.parametrize("state", State)
def test_states(state: State) -> None:
    assert wire.state_of(wire.state_to_pb(state)) is state
    record = SessionRecord(TERMS, state, "", 0, {})
    assert wire.session_of(over_the_wire(wire.session_to_pb(record, {}, ("", 0, 0)))) == (record, {}, ("", 0, 0))


def test_every_state_on_the_wire_is_ours_but_the_unspecified_one() -> None:
    assert {n for n in pb.SessionState.values() if n} == {wire.state_to_pb(state) for state in State}


@pytest.mark.parametrize("number", [0, 10, -1, 2**31 - 1])
def test_unknown_states(number: int) -> None:
    with pytest.raises(InputError, match="a state that this version does not know"):
        wire.state_of(number)
    assert "does not know" in refused(wire.session_of, session(state=number))


def test_a_receipt() -> None:
    assert wire.receipt_of(over_the_wire(GOOD_RECEIPT)) == RECEIPT


def test_a_session() -> None:
    assert wire.session_of(over_the_wire(GOOD_SESSION)) == (RECORD, {"agency-a": 7}, PROGRESS)


@given(
    st.sampled_from(["agency-a", "0", "a" * 63]),
    st.integers(0, 10**9),
    st.binary(min_size=160, max_size=160),
)
@examples(50)
def test_any_good_receipt(name: str, rows: int, data: bytes) -> None:
    made = Receipt(data[:32], name, name, rows, (data[32:64], data[64:96]), data[96:])
    assert wire.receipt_of(over_the_wire(wire.receipt_to_pb(made))) == made


# Malformed fields

NAMES = ["", "Agency", "agency a", "-a", "a" * 64, "a\n", "a\0", "агенція", "../a"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("session_id", v) for v in (b"", ID[:-1], ID + b"\0")),
        *(("digest_a", v) for v in (b"", b"d" * 31, b"d" * 33)),
        *(("digest_b", v) for v in (b"", b"d" * 31, b"d" * 64)),
        *(("signature", v) for v in (b"", b"s" * 63, b"s" * 65)),
    ],
)
def test_bytes_of_another_length_in_a_receipt(field: str, value: bytes) -> None:
    due = {"signature": 64}.get(field, 32)
    expected = f"`{field}` has {len(value)} bytes where {due} are due."
    assert refused(wire.receipt_of, receipt(**{field: value})) == expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("field", ["member", "node"])
def test_malformed_names_in_a_receipt_are_not_repeated(field: str, name: str) -> None:
    assert refused(wire.receipt_of, receipt(**{field: name})) == "A node's name is malformed."


@pytest.mark.parametrize("rows", [2**64 - 1, 2**63, 10**13])
def test_more_keys_than_any_session_allows(rows: int) -> None:
    assert "more keys than any session allows" in refused(wire.receipt_of, receipt(rows=rows))


def test_what_is_read_can_be_stored(tmp_path: Path) -> None:
    store = Store(tmp_path / "matchbit.db")
    store.add_session(TERMS, State.APPROVED)
    largest = 50_000_000 * 32
    store.add_receipts([wire.receipt_of(over_the_wire(receipt(rows=largest)))])
    assert store.receipts(ID)[0].rows == largest


@pytest.mark.parametrize("name", NAMES)
def test_malformed_names_of_signers(name: str) -> None:
    assert refused(wire.session_of, session(signatures=[pb.Signature(name=name, signature=b"x" * 64)]))


@pytest.mark.parametrize("signature", [b"", b"x" * 63, b"x" * 65])
def test_signatures_of_another_length(signature: bytes) -> None:
    text = refused(wire.session_of, session(signatures=[pb.Signature(name="agency-a", signature=signature)]))
    assert "where 64 are due" in text


def test_too_many_signatures_or_contributions() -> None:
    signature = pb.Signature(name="agency-a", signature=b"x" * 64)
    assert "more signatures or contributions" in refused(
        wire.session_of, session(signatures=[signature] * (MAX_MEMBERS + 4))
    )
    many = [pb.Contribution(member="agency-a", rows=1)] * (MAX_MEMBERS + 1)
    assert "more signatures or contributions" in refused(wire.session_of, session(contributions=many))


@pytest.mark.parametrize("name", NAMES)
def test_malformed_names_of_contributors(name: str) -> None:
    assert refused(wire.session_of, session(contributions=[pb.Contribution(member=name, rows=1)]))


def test_what_the_coordinator_tells_and_is_told() -> None:
    """No digest of a share goes to parties, and no group size to the coordinator."""
    assert [f.name for f in pb.Contribution.DESCRIPTOR.fields] == ["member", "rows"]
    figures = [f.name for f in committee_pb2.RunFigures.DESCRIPTOR.fields]
    assert figures == ["cpu_s", "sent_bytes", "idle_rss_bytes", "peak_rss_bytes", "phases"]
    assert {f.message_type.name for f in pb.Session.DESCRIPTOR.fields if f.message_type} == {
        "Signature", "Contribution", "Progress",
    }  # fmt: skip


@pytest.mark.parametrize("session_id", [b"", ID[:4], ID[::-1], ID + b"\0"])
def test_an_id_that_is_not_the_digest_of_the_manifest(session_id: bytes) -> None:
    text = refused(wire.session_of, session(session_id=session_id))
    assert text == "The session's id is not the digest of its manifest."


@pytest.mark.parametrize(
    "data", [b"", b"{}", TERMS.to_bytes()[:-1], TERMS.to_bytes() + b" ", b" " * (MAX_MANIFEST_BYTES + 1)]
)
def test_a_malformed_manifest(data: bytes) -> None:
    assert "manifest" in refused(wire.session_of, session(manifest=data))
    with pytest.raises(ServiceError):
        wire.manifest_of(data)


def test_another_sessions_manifest() -> None:
    assert "not the digest" in refused(wire.session_of, session(manifest=manifest(title="Other").to_bytes()))


def test_reasons_are_one_printable_line_of_bounded_length() -> None:
    for reason, shown in (
        ("neutral went away", "neutral went away"),
        ("  a\nb\r\n\tc\0d\x1b[2Je\u202ef  ", "a b   c d [2Je f"),
        ("x" * 5000, "x" * wire.MAX_REASON_CHARS),
        ("", ""),
    ):
        assert wire.reason_of(reason) == shown
        record, _, progress = wire.session_of(over_the_wire(session(reason=reason, progress=pb.Progress(phase=reason))))
        assert record.reason == shown
        assert progress[0] == shown


@pytest.mark.parametrize("length", [0, 31, 33])
def test_sized(length: int) -> None:
    assert wire.sized(b"x" * 32, 32, "session_id") == b"x" * 32
    with pytest.raises(InputError, match=f"`session_id` has {length} bytes where 32 are due"):
        wire.sized(b"x" * length, 32, "session_id")


# Anything at all


def reads_or_refuses(read: Callable[[Any], object], kind: type[Any], data: bytes) -> None:
    try:
        message = kind.FromString(data)
    except DecodeError:
        return
    with suppress(InputError, ConfigError):  # any other error fails the test
        read(message)


@given(st.binary(max_size=200))
@examples(300)
def test_any_bytes(data: bytes) -> None:
    reads_or_refuses(wire.session_of, pb.Session, data)
    reads_or_refuses(wire.receipt_of, pb.Receipt, data)


@pytest.mark.parametrize(
    ("read", "good"), [(wire.session_of, GOOD_SESSION), (wire.receipt_of, GOOD_RECEIPT)], ids=["session", "receipt"]
)
@given(data=st.data())
@examples(400)
def test_changed_bytes(read: Callable[[Any], object], good: Any, data: st.DataObject) -> None:
    changed = bytearray(good.SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(changed)) | st.just(len(changed)))
    reads_or_refuses(read, type(good), bytes(changed[:cut]) + data.draw(st.binary(max_size=20)))


@given(
    st.builds(
        pb.Receipt,
        session_id=st.sampled_from([ID, b"", ID[:5]]),
        member=st.text(max_size=5),
        node=st.sampled_from(["neutral", "N"]),
        rows=st.integers(0, 2**64 - 1),
        digest_a=st.sampled_from([b"d" * 32, b""]),
        digest_b=st.sampled_from([b"d" * 32, b""]),
        signature=st.sampled_from([b"d" * 64, b""]),
    )
)
@examples(200)
def test_any_fields(message: pb.Receipt) -> None:
    reads_or_refuses(wire.receipt_of, pb.Receipt, message.SerializeToString())
