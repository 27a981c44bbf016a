"""What has been checked is known again, and nothing else is."""

from collections.abc import Iterator

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from parties import signatures
from parties.signatures import PinnedKey

KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([k]) * 32) for k in (1, 2))
DATA = b"what is signed"


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    signatures._verify.cache_clear()
    yield
    signatures._verify.cache_clear()


def pinned(key: Ed25519PrivateKey) -> PinnedKey:
    return PinnedKey(key.public_key().public_bytes_raw())


def test_a_good_signature_is_computed_on_once() -> None:
    for _ in range(3):
        pinned(KEY).verify(KEY.sign(DATA), DATA)
    assert signatures._verify.cache_info().misses == 1


@pytest.mark.parametrize(
    ("key", "signature", "data"),
    [
        (OTHER, KEY.sign(DATA), DATA),
        (KEY, OTHER.sign(DATA), DATA),
        (KEY, KEY.sign(DATA), DATA + b"."),
        (KEY, KEY.sign(DATA)[:-1] + b"\0", DATA),
        (KEY, b"", DATA),
    ],
)
def test_a_false_one_is_refused_each_time_also_beside_a_good_one(
    key: Ed25519PrivateKey, signature: bytes, data: bytes
) -> None:
    pinned(KEY).verify(KEY.sign(DATA), DATA)
    for _ in range(3):
        with pytest.raises(InvalidSignature):
            pinned(key).verify(signature, data)
    assert signatures._verify.cache_info().currsize == 1
