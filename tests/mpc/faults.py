"""Reading AES's key out of encryptions with known faults: what a party that deviates can do with the opened tags.

The same block is encrypted twice, and the input of the last round's S-boxes differs by known bytes. The difference of
the two results then tells that input but for a few candidates, and with it the last round key. With one error inside
all S-boxes of the last round, bytes are no longer equally frequent, and no two blocks need be equal.

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
from mpc.tower import FROM_TOWER, TO_TOWER, M, N, apply, inverse, multiply, power
from tests.mpc.lying import Lie, adding

SBOX = np.array(
    [apply(AFFINE, apply(FROM_TOWER, power(apply(TO_TOWER, x), 254))) ^ AFFINE_CONSTANT for x in range(256)], np.uint8
)
INVERSE = np.argsort(SBOX).astype(np.uint8)


def before_the_last_sboxes(faults: Sequence[int]) -> Lie:
    """Add to every byte of row k, before the last S-boxes, the byte faults[k]."""
    return adding("tag/chunk0/round9/substitute", [apply(TO_TOWER, fault) for fault in faults])


def undone_by_decryption(faults: Sequence[int]) -> Lie:
    """Add on the way back what takes these faults away, of which row k has faults[k] in the verification's order."""
    moved = TO_TOWER @ inverse(AFFINE) % 2  # MixColumns leaves a column of equal bytes as it is
    return adding("tag/verify/chunk0/round9/invert", [apply(moved, fault) for fault in faults])


def faulty_sboxes() -> Array:
    """(16, 4, 16, 256): the S-box with each error in its three inner products, Δ, d and Δ⁻¹ (`mpc.aes`)."""
    of_norm, of_d, of_inverse = np.ogrid[:16, :4, :16]
    times4, times16 = (
        np.array([[multiply(x, y, bits) for y in range(2**bits)] for x in range(2**bits)]) for bits in (2, 4)
    )
    inside = np.array([apply(TO_TOWER, x) for x in range(256)])
    low, high = inside & 15, inside >> 4
    norm = times16[N, times16[high, high]] ^ times16[high, low] ^ times16[low, low] ^ of_norm[..., None]
    b, a = norm & 3, norm >> 2
    root = times4[M, times4[a, a]] ^ times4[a, b] ^ times4[b, b]
    d = times4[root, root] ^ of_d[..., None]
    scalar = (times4[a, d] << 2 | times4[a ^ b, d]) ^ of_inverse[..., None]
    inverted = times16[high, scalar] << 4 | times16[high ^ low, scalar]
    return np.array([apply(AFFINE @ FROM_TOWER % 2, y) ^ AFFINE_CONSTANT for y in range(256)], np.uint8)[inverted]


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
    decryptor = _cipher(last).decryptor()
    return np.frombuffer(decryptor.update(whole.tobytes()), np.uint64).reshape(-1, 2)


def most_frequent(results: Array, sbox: Array) -> Array:
    """(16,) uint8: the last round key, from the encryptions of any blocks with this S-box in the last round."""
    known = np.bincount(sbox).argmax()
    return np.array([np.bincount(place).argmax() ^ known for place in results.T], np.uint8)


def encrypted_through(rows: Array, sbox: Array, last: Array) -> Array:
    """(n, 16) uint8: the encryptions of rows (n, 2) uint64 with this S-box in the last round."""
    whole = np.frombuffer(_cipher(last).encryptor().update(rows.tobytes()), np.uint8).reshape(-1, 16)
    return sbox[INVERSE[whole ^ last]] ^ last


def _cipher(last: Array) -> Cipher[modes.ECB]:
    return Cipher(algorithms.AES(cipher_key(last)), modes.ECB())  # noqa: S305 - one block a key
