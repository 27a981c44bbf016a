"""Pseudo-random secret sharing: correlated randomness without messages.

Ideal functionality: give the parties a fresh random sharing, a fresh sharing of zero, or a fresh value that two of
them know, at no communication. Key k_i is known to P_{i-1} and P_i alone. A labelled stream is AES-128-CTR under a
key derived from k_i and the label by HKDF; k_i itself is bound to session and attempt, so no stream ever repeats.

Source: Cramer, Damgård, Ishai, "Share Conversion, Pseudorandom Secret-Sharing and Applications to Secure
Computation", TCC 2005; zero sharings as in Araki et al., CCS 2016, section 2.2. Secure if AES-128 is a
pseudo-random permutation and HKDF-SHA256 a key-derivation function.
"""

from __future__ import annotations

import threading
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from mpc.errors import PrssReuseError
from mpc.replicated import Array, Share

KEY_BYTES = 32
Component = Literal["a", "b"]


def derive(key: bytes, label: str, length: int = 16) -> bytes:
    """HKDF-Expand (RFC 5869) of a uniform key under a label."""
    return HKDFExpand(hashes.SHA256(), length, label.encode()).derive(key)


class Keystream:
    """The stream of one (key, label): each byte of it is used once."""

    def __init__(self, key: bytes) -> None:
        self._context: CipherContext = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()

    def xor_into(self, array: Array) -> None:
        """Add the next bytes of the stream to an array, in place.

        Raises:
            ValueError: it is not C-contiguous: what would be masked is a copy.
        """
        if not array.flags.c_contiguous:
            raise ValueError("only a C-contiguous array is masked in place")
        flat = array.reshape(-1).view(np.uint8).data
        self._context.update_into(flat, flat)

    def random(self, shape: tuple[int, ...], dtype: npt.DTypeLike = np.uint64) -> Array:
        """The next bytes of the stream as a new array."""
        array: npt.NDArray[Any] = np.zeros(shape, dtype)
        self.xor_into(array)
        return array


def expand(seed: bytes, shape: tuple[int, ...]) -> Array:
    """A uint64 array of this shape from a 16-byte seed that is used for nothing else: how members deal components."""
    return Keystream(seed).random(shape)


class Prss:
    """One party's two keys and the streams made from them.

    Args:
        key_a: k_i, 32 bytes, shared with P_{i-1}.
        key_b: k_{i+1}, 32 bytes, shared with P_{i+1}.
    """

    def __init__(self, key_a: bytes, key_b: bytes) -> None:
        self._keys: dict[Component, bytes] = {"a": key_a, "b": key_b}
        self._used: set[tuple[Component, str]] = set()
        self._lock = threading.Lock()

    def stream(self, component: Component, label: str) -> Keystream:
        """The stream of k_i (`a`) or k_{i+1} (`b`) under a label that has not been used before.

        Raises:
            PrssReuseError: this label has been used with this key.
        """
        with self._lock:
            if (component, label) in self._used:
                raise PrssReuseError(label)
            self._used.add((component, label))
        return Keystream(derive(self._keys[component], label))

    def random(self, label: str, shape: tuple[int, ...], dtype: npt.DTypeLike = np.uint64) -> Share:
        """A uniformly random sharing of a value that nobody knows.

        Cost: 0 rounds; 0 B sent.
        Reveals: nothing.
        Raises: PrssReuseError.
        """
        name = f"random {label}"
        return Share(self.stream("a", name).random(shape, dtype), self.stream("b", name).random(shape, dtype))

    def add_zero(self, label: str, array: Array) -> None:
        """Add this party's part α_i = F(k_i) ⊕ F(k_{i+1}) of a fresh sharing of zero to an array, in place.

        The three parties' parts sum to zero and any two of them are uniformly random.

        Cost: 0 rounds; 0 B sent.
        Reveals: nothing.
        Raises: PrssReuseError.
        """
        name = f"zero {label}"
        self.stream("a", name).xor_into(array)
        self.stream("b", name).xor_into(array)
