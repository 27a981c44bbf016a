from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.channel import MAX_MESSAGE_BYTES
from mpc.committee import PARTIES, PartyId
from mpc.errors import PeerError
from mpc.prss import derive
from mpc.session import TAG_BYTES, Session, open_session
from tests.mpc.arrays import SEEDS, random_array
from tests.world import World, private_key, run_parties

P0, P1, P2 = PARTIES


class Wire:
    """A channel that hands the test what is sent and gives back what the test puts in."""

    def __init__(self) -> None:
        self.sent: dict[tuple[PartyId, str], bytes] = {}
        self.coming: dict[tuple[PartyId, str], bytes] = {}

    def send(self, peer, step, *pieces) -> None:
        assert (peer, step) not in self.sent
        self.sent[peer, step] = b"".join(pieces)

    def receive(self, peer, step):
        return self.coming[peer, step]

    def abort(self, _error) -> None:
        raise AssertionError("not here")


def opened(seed: int = 1, context: bytes = b"a session") -> tuple[dict[PartyId, Session], dict[PartyId, Wire]]:
    """Three sessions without threads: every party's public key is delivered by hand."""
    wires = {p: Wire() for p in PARTIES}
    for p in PARTIES:
        for peer in (p.next, p.previous):
            wires[p].coming[peer, "keys"] = private_key(seed, peer).public_key().public_bytes_raw()
    return {p: open_session(p, wires[p], private_key(seed, p), context) for p in PARTIES}, wires


def streams(session: Session) -> tuple[bytes, bytes]:
    random = session.prss.random("check", (4,))
    return random.a.tobytes(), random.b.tobytes()


def test_neighbours_share_keys_and_the_third_does_not() -> None:
    sessions, wires = opened()
    found = [streams(sessions[p]) for p in PARTIES]
    for p in PARTIES:
        assert found[p][0] == found[p.previous][1]
        assert wires[p].sent == {
            (q, "keys"): private_key(1, p).public_key().public_bytes_raw() for q in PARTIES if q != p
        }
    assert len({s for pair in found for s in pair}) == 3


def test_keys_by_hand() -> None:
    """k_1 of P0 and P1: HKDF-SHA256 (RFC 5869) of the X25519 secret, salt the context, info with numbers and keys."""
    sessions, _ = opened()
    secret = private_key(1, P0).exchange(private_key(1, P1).public_key())
    pair = bytes([0, 1]) + b"".join(private_key(1, p).public_key().public_bytes_raw() for p in (P0, P1))

    def mac(key: bytes, data: bytes) -> bytes:
        h = hmac.HMAC(key, hashes.SHA256())
        h.update(data)
        return h.finalize()

    key = mac(mac(b"a session", secret), b"matchbit.v1 prss" + pair + b"\x01")
    assert sessions[P0].mac_keys[P1] == (derive(key, "mac 0"), derive(key, "mac 1"))
    assert sessions[P1].mac_keys[P0] == (derive(key, "mac 1"), derive(key, "mac 0"))


def test_another_attempt_has_other_keys() -> None:
    one, other = (opened(context=context)[0] for context in (b"attempt 1", b"attempt 2"))
    assert not set(streams(one[P0])) & set(streams(other[P0]))
    fresh = run_parties(streams)
    assert fresh != run_parties(streams), "without a seed, keys are fresh"


def test_a_public_key_of_another_party_gives_no_two_equal_keys() -> None:
    """P1 shows P0 the key of P2 as its own: were P0's two keys equal, its parts of zero sharings would be zero."""
    wires = {p: Wire() for p in PARTIES}
    for p in PARTIES:
        for peer in (p.next, p.previous):
            wires[p].coming[peer, "keys"] = private_key(1, peer).public_key().public_bytes_raw()
    wires[P0].coming[P1, "keys"] = wires[P0].coming[P2, "keys"]
    sessions = {p: open_session(p, wires[p], private_key(1, p), b"a session") for p in PARTIES}
    part = np.zeros(4, np.uint64)
    sessions[P0].prss.add_zero("check", part)
    assert part.any()
    found = [stream for p in PARTIES for stream in streams(sessions[p])]
    assert len(set(found)) == 4, "two keys that two share; at P0 and P1 one each that nobody else has"


SMALL_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    *((2**255 - 19 + k).to_bytes(32, "little") for k in (-1, 0, 1)),
]
"""All that there are below 2^255, on the curve and on its twist (cr.yp.to/ecdh.html)."""


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33), *SMALL_ORDER])
def test_unusable_public_keys_are_refused(key: bytes) -> None:
    """Of the wrong length, or of small order, which would make the secret known to all."""
    wire = Wire()
    wire.coming = {(P2, "keys"): key, (P1, "keys"): X25519PrivateKey.generate().public_key().public_bytes_raw()}
    with pytest.raises(PeerError) as caught:
        open_session(P0, wire, X25519PrivateKey.generate(), b"")
    assert (caught.value.peer, caught.value.step, caught.value.reason) == (2, "keys", "malformed")


def test_labels_nest() -> None:
    session = opened()[0][P0]
    assert session.at("a").at("b").step == "a/b"
    assert session.step == "", "the session itself stays where it is"


@settings(max_examples=30)
@given(st.sampled_from([(1,), (3, 5), (2, 3, 4)]), st.sampled_from(["uint8", "uint16", "uint64"]), SEEDS)
def test_arrays_arrive(shape: tuple[int, ...], dtype: str, seed: int) -> None:
    array = random_array(seed, shape, dtype)
    sessions, wires = opened()
    sessions[P0].at("x").send(P1, array)
    wires[P1].coming[P0, "x#0"] = wires[P0].sent[P1, "x#0"]
    received = sessions[P1].at("x").receive(P0, shape, dtype)
    assert np.array_equal(received, array)
    assert received.dtype == dtype


@pytest.mark.parametrize("extra", [-8, 0, 8])
def test_long_arrays_are_cut_into_messages(extra: int) -> None:
    array = random_array(1, ((2 * MAX_MESSAGE_BYTES + extra) // 8,))
    sessions, wires = opened()
    sessions[P0].at("x").send(P1, array)
    sent = {step: message for (_, step), message in wires[P0].sent.items() if step != "keys"}
    assert list(sent) == ["x#0", "x#1", "x#2"][: 2 + (extra > 0)]
    assert max(map(len, sent.values())) == MAX_MESSAGE_BYTES + TAG_BYTES
    wires[P1].coming |= {(P0, step): message for step, message in sent.items()}
    assert np.array_equal(sessions[P1].at("x").receive(P0, array.shape), array)


def test_an_empty_array_needs_no_message() -> None:
    sessions, wires = opened()
    sessions[P0].at("x").send(P1, np.empty((0, 2), np.uint64))
    assert {step for _, step in wires[P0].sent} == {"keys"}
    assert sessions[P1].at("x").receive(P0, (0, 2)).shape == (0, 2)


def refused(wire: Wire, session: Session, message: bytes, step: str = "x") -> None:
    wire.coming[P0, f"{step}#0"] = message
    with pytest.raises(PeerError) as caught:
        session.at(step).receive(P0, (4,))
    assert (caught.value.peer, caught.value.step, caught.value.reason) == (0, f"{step}#0", "malformed")


def test_what_is_not_this_message_is_refused() -> None:
    """Every flipped bit; other lengths; another step, direction, receiver, attempt; and none is taken for another."""
    array = random_array(1, (4,))
    sessions, wires = opened()
    sessions[P0].at("x").send(P1, array)
    message = wires[P0].sent[P1, "x#0"]
    for bit in range(8 * len(message)):
        flipped = bytearray(message)
        flipped[bit // 8] ^= 1 << bit % 8
        refused(wires[P1], sessions[P1], bytes(flipped))
    for other in (
        b"",
        message[:-1],
        message[1:],
        message + b"\0",
        message[:-TAG_BYTES],
        message * 2,
        message[:TAG_BYTES],
    ):
        refused(wires[P1], sessions[P1], other)
    refused(wires[P1], sessions[P1], message, step="y")
    sessions[P1].at("x").send(P0, array)
    sessions[P2].at("x").send(P1, array)
    refused(wires[P1], sessions[P1], wires[P1].sent[P0, "x#0"])
    refused(wires[P1], sessions[P1], wires[P2].sent[P1, "x#0"])
    for seed, context in ((2, b"a session"), (1, b"another attempt")):
        earlier, earlier_wires = opened(seed, context)
        earlier[P0].at("x").send(P1, array)
        refused(wires[P1], sessions[P1], earlier_wires[P0].sent[P1, "x#0"])
    wires[P1].coming[P0, "x#0"] = message
    assert np.array_equal(sessions[P1].at("x").receive(P0, (4,)), array)


def test_parts_of_one_array_do_not_change_places() -> None:
    array = np.zeros(2 * MAX_MESSAGE_BYTES // 8, np.uint64)
    sessions, wires = opened()
    sessions[P0].at("x").send(P1, array)
    wires[P1].coming |= {(P0, "x#0"): wires[P0].sent[P1, "x#1"], (P0, "x#1"): wires[P0].sent[P1, "x#0"]}
    with pytest.raises(PeerError, match="authentic"):
        sessions[P1].at("x").receive(P0, array.shape)


def test_equal_payloads_have_different_authenticators() -> None:
    sessions, wires = opened()
    for step in ("x", "y"):
        for peer in (P1, P2):
            sessions[P0].at(step).send(peer, np.zeros(4, np.uint64))
    tags = [m[-TAG_BYTES:] for (_, step), m in wires[P0].sent.items() if step != "keys"]
    assert len(set(tags)) == len(tags) == 4


def test_a_ping_pong_counts_rounds() -> None:
    """The world's own clock: the chain of messages, not their number."""

    def protocol(session: Session) -> None:
        for one, other in pairwise([P0, P1, P2, P0]):
            here = session.at(f"from {one}")
            if session.party == one:
                here.send(other, np.zeros(1, np.uint8))
            if session.party == other:
                here.receive(one, (1,), np.uint8)

    world = World().run(protocol, 1)
    assert world.rounds == 3
    assert [world.bytes_of(p) for p in PARTIES] == [1, 1, 1]
