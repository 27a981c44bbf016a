"""Reading AES's key out of encryptions with known faults: what a party that deviates can do with the opened tags.

The same block is encrypted twice, and the input of the last round's S-boxes differs by known bytes. The difference of
the two results then tells that input but for a few candidates, and with it the last round key.

Source: Biham and Shamir, "Differential Fault Analysis of Secret Key Cryptosystems", CRYPTO 1997; Giraud, "DFA on AES",
AES 2004.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mpc.aes import AFFINE, AFFINE_CONSTANT, ROUNDS
from mpc.replicated import Array
from mpc.tower import FROM_TOWER, TO_TOWER, apply, power

SBOX = np.array(
    [apply(AFFINE, apply(FROM_TOWER, power(apply(TO_TOWER, x), 254))) ^ AFFINE_CONSTANT for x in range(256)], np.uint8
)
INVERSE = np.argsort(SBOX).astype(np.uint8)


def last_round_key(results: Array, faults: Sequence[int]) -> Array:
    """The last round key from the encryptions of blocks, some of which are equal.

    Args:
        results: (n, 16) uint8.
        faults: for each the byte that was added to every byte before the last S-boxes.

    Returns:
        (16,) uint8: for each place the byte that fits most pairs.
    """
    votes = [Counter[int]() for _ in range(16)]
    everything = np.arange(256, dtype=np.uint8)
    for (one, fault), (other, second) in combinations(zip(results, faults, strict=True), 2):
        differences = SBOX ^ SBOX[everything ^ np.uint8(fault ^ second)]
        inputs = [np.flatnonzero(differences == d) for d in one ^ other]
        if fault != second and all(map(len, inputs)):  # two different blocks pass once in 2^16
            for place in range(16):
                votes[place].update((SBOX[inputs[place]] ^ one[place]).tolist())
    return np.array([vote.most_common(1)[0][0] for vote in votes], np.uint8)


def cipher_key(last: Array) -> bytes:
    """The key schedule backwards."""
    words = [last[4 * k : 4 * k + 4] for k in range(4)]
    coefficients = [1, 2, 4, 8, 16, 32, 64, 128, 27, 54]
    for number in reversed(range(ROUNDS)):
        later = [words[k] ^ words[k - 1] for k in (1, 2, 3)]
        first = words[0] ^ SBOX[np.roll(later[2], -1)]
        first[0] ^= coefficients[number]
        words = [first, *later]
    return np.concatenate(words).tobytes()


def decrypted(results: Array, faults: Sequence[int], last: Array) -> Array:
    """(n, 2) uint64: the blocks, the faults taken back."""
    whole = SBOX[INVERSE[results ^ last] ^ np.array(faults, np.uint8)[:, None]] ^ last
    decryptor = Cipher(algorithms.AES(cipher_key(last)), modes.ECB()).decryptor()  # noqa: S305 - one block a key
    return np.frombuffer(decryptor.update(whole.tobytes()), np.uint64).reshape(-1, 2)
