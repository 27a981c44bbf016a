from __future__ import annotations

import hashlib
import hmac

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.committee import PARTIES
from mpc.errors import PrssReuseError
from mpc.prss import Keystream, Prss, derive, expand
from mpc.replicated import reconstruct
from tests.mpc.aesavs import ecb
from tests.mpc.arrays import random_array

KEYS = [hashlib.sha256(b"key %d" % k).digest() for k in range(3)]
LABELS = st.text(max_size=40)


def parties() -> list[Prss]:
    """Key i is known to P_{i-1} and P_i."""
    return [Prss(KEYS[p], KEYS[p.next]) for p in PARTIES]


def hkdf_expand(key: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869, section 2.3."""
    block, result = b"", b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac.digest(key, block + info + bytes([counter]), "sha256")
        result += block
    return result[:length]


def ctr(key: bytes, length: int) -> bytes:
    """AES-CTR from counter zero, by AES-ECB of the counters."""
    counters = b"".join(k.to_bytes(16, "big") for k in range(-(-length // 16)))
    return ecb(key, counters)[:length]


def test_known_answer() -> None:
    key = derive(bytes(range(32)), "random known answer")
    assert key.hex() == "2f360e51b6ef053b968659f27130499e"
    stream = "21087c41de06d0e942e9c8c8a970df9d"
    assert expand(key, (2,)).tobytes().hex() == stream
    assert Prss(bytes(range(32)), bytes(32)).random("known answer", (2,)).a.tobytes().hex() == stream


@given(st.binary(min_size=32, max_size=32), LABELS, st.integers(1, 80))
def test_derive_is_hkdf_expand(key: bytes, label: str, length: int) -> None:
    assert derive(key, label, length) == hkdf_expand(key, label.encode(), length)


@given(st.binary(min_size=16, max_size=16), st.lists(st.integers(0, 50), max_size=5))
def test_a_stream_is_aes_ctr_each_byte_once(key: bytes, lengths: list[int]) -> None:
    stream = Keystream(key)
    parts = [stream.random((n,), np.uint8).tobytes() for n in lengths]
    assert b"".join(parts) == ctr(key, sum(lengths))


def test_xor_into_adds_in_place() -> None:
    before = random_array(4, (3, 5), "uint16")
    array = before.copy()
    Keystream(KEYS[0][:16]).xor_into(array)
    assert np.array_equal(array ^ before, Keystream(KEYS[0][:16]).random((3, 5), np.uint16))
    assert expand(KEYS[0][:16], (4, 2)).tobytes() == ctr(KEYS[0][:16], 64)


@given(LABELS, st.sampled_from([(), (1,), (7,), (3, 4)]), st.sampled_from(["uint8", "uint64"]))
def test_zero_sharings_sum_to_zero(label: str, shape: tuple[int, ...], dtype: str) -> None:
    parts = [np.zeros(shape, dtype) for _ in PARTIES]
    for prss, part in zip(parties(), parts, strict=True):
        prss.add_zero(label, part)
    assert not np.any(parts[0] ^ parts[1] ^ parts[2])


def test_zero_sharings_are_added_and_not_zero_themselves() -> None:
    x = [random_array(p, (64,)) for p in PARTIES]
    parts = [c.copy() for c in x]
    for prss, part in zip(parties(), parts, strict=True):
        prss.add_zero("label", part)
    assert np.array_equal(parts[0] ^ parts[1] ^ parts[2], x[0] ^ x[1] ^ x[2])
    assert all(np.all(part != before) for part, before in zip(parts, x, strict=True))


@given(LABELS, st.sampled_from(["uint8", "uint64"]))
def test_random_sharings_are_consistent(label: str, dtype: str) -> None:
    parts = tuple(prss.random(label, (40,), dtype) for prss in parties())
    value = reconstruct(parts)
    assert value.dtype == dtype
    assert len({c.tobytes() for part in parts for c in (part.a, part.b)} | {value.tobytes()}) == 4


def test_another_label_key_or_use_is_another_stream() -> None:
    prss, other = Prss(KEYS[0], KEYS[1]), Prss(KEYS[2], KEYS[1])
    zero = np.zeros(4, np.uint64)
    prss.add_zero("x", zero)
    streams = [prss.stream(c, label).random((4,)) for c in "ab" for label in ("x", "y", "zero", "")]
    sharing = prss.random("x", (4,))
    streams += [sharing.a, sharing.b, other.stream("a", "x").random((4,)), zero]
    assert len({s.tobytes() for s in streams}) == len(streams)


def test_a_label_serves_once() -> None:
    prss = Prss(KEYS[0], KEYS[1])
    prss.stream("a", "x")
    prss.stream("b", "x")
    prss.stream("a", "y")
    prss.random("x", (1,))
    prss.add_zero("x", np.zeros(1, np.uint8))
    for again in (
        lambda: prss.stream("a", "x"),
        lambda: prss.stream("b", "x"),
        lambda: prss.random("x", (1,)),
        lambda: prss.add_zero("x", np.zeros(1, np.uint8)),
        lambda: prss.stream("b", "random x"),
        lambda: prss.stream("a", "zero x"),
    ):
        with pytest.raises(PrssReuseError):
            again()


def test_only_what_is_contiguous_is_masked_in_place() -> None:
    with pytest.raises(ValueError, match="C-contiguous"):
        Keystream(bytes(16)).xor_into(np.zeros((4, 4), np.uint64)[:, :2])
