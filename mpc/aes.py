"""Oblivious AES-128: encrypt or decrypt shared blocks under a shared cipher key that no party knows.

Ideal functionality: from sharings of a 128-bit cipher key and of blocks, sharings of the blocks' encryptions, or of
what they are the encryptions of.

The state stays bit-sliced and in the tower's basis from the first round key to the last S-box. Inversion of h·Y + l
is four quadratic maps, one round each:

    Δ   = N·h² ⊕ h·l ⊕ l²                in GF(16), 4 bits, where Δ = a·X + b
    d   = (M·a² ⊕ a·b ⊕ b²)²             in GF(4), 2 bits: the inverse of the norm, since d⁻¹ = d² there
    Δ⁻¹ = a·d·X + (a ⊕ b)·d              in GF(16), 4 bits
    x⁻¹ = h·Δ⁻¹·Y + (h ⊕ l)·Δ⁻¹          in GF(256), 8 bits

18 bits an S-box, 360 bytes a block for the ten rounds' 160 S-boxes. SubBytes' affine map, ShiftRows, MixColumns and
AddRoundKey are folded into the fourth map's message.

Source: FIPS 197; Canright, CHES 2005, and Satoh et al., ASIACRYPT 2001, for the tower; oblivious evaluation by tower
inversion as in Chida et al., "High-Throughput Secure AES Computation", WAHC 2018, section 4. Deviation: inversion in
GF(16) goes down to GF(4) (6 bits) where that paper computes Δ¹⁴ (8 bits): the same four rounds, a tenth less traffic.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property, partial, reduce

import numpy as np

from mpc import kernel
from mpc.circuit import Circuit, Matrix, Program
from mpc.multiply import Affine, Quadratic, multiply
from mpc.replicated import Array, Share, public
from mpc.session import Session
from mpc.tower import (
    CONTRACT4,
    CONTRACT16,
    EXPAND4,
    EXPAND16,
    FROM_TOWER,
    TO_TOWER,
    M,
    N,
    apply,
    inverse,
    matrix,
)
from mpc.tower import multiply as product

ROUNDS = 10
AFFINE: Matrix = np.array([[(k - i) % 8 in (0, 4, 5, 6, 7) for k in range(8)] for i in range(8)], np.uint8)
"""(8, 8): the linear part of SubBytes in AES's basis (FIPS 197, section 5.1.1)."""
AFFINE_CONSTANT = 0x63
SHIFTED = np.array([(r + 4 * ((c + r) % 4)) for c in range(4) for r in range(4)])
"""(16,): the byte that ShiftRows brings to each place; byte r + 4c is row r of column c."""
UNSHIFTED = np.argsort(SHIFTED)
"""(16,): the byte that ShiftRows brought elsewhere from each place."""
BELOW = [np.array([(r + k) % 4 + 4 * c for c in range(4) for r in range(4)]) for k in range(4)]
"""For each k, (16,): the byte k rows below each place, in the same column."""
ALL_ONES = np.uint64(2**64 - 1)


def _zeros(rows: int, columns: int) -> Matrix:
    return np.zeros((rows, columns), np.uint8)


def _square16(coefficient: int) -> Matrix:
    """(4, 4): x ↦ coefficient · x² in GF(16)."""
    return matrix(lambda x: product(coefficient, product(x, x, 4), 4), 4, 4)


def _norm256() -> Quadratic:
    """(l, h) ↦ N·h² ⊕ h·l ⊕ l²."""
    high, low = np.hstack([_zeros(9, 4), EXPAND16]), np.hstack([EXPAND16, _zeros(9, 4)])
    return Quadratic(high, low, CONTRACT16, np.hstack([_square16(1), _square16(N)]))


def _inverse_norm16() -> Quadratic:
    """(b, a) ↦ (M·a² ⊕ a·b ⊕ b²)²."""
    high, low = np.hstack([_zeros(3, 2), EXPAND4]), np.hstack([EXPAND4, _zeros(3, 2)])
    square = matrix(lambda x: product(x, x, 2), 2, 2)
    times_m = matrix(lambda x: product(M, x, 2), 2, 2)
    linear = square @ np.hstack([square, times_m @ square]) % 2
    return Quadratic(high, low, square @ CONTRACT4 % 2, linear)


def _scale(half: int, expand: Matrix, contract: Matrix, output: Matrix) -> Quadratic:
    """(l, h, s) ↦ output · (h·s ‖ (h ⊕ l)·s), the low half first, each of `half` bits."""
    rank = len(expand)
    nothing = _zeros(rank, half)
    scaled = np.vstack([np.hstack([expand, expand, nothing]), np.hstack([nothing, expand, nothing])])
    scalar = np.tile(np.hstack([nothing, nothing, expand]), (2, 1))
    both = np.kron(np.eye(2, dtype=np.uint8), contract)
    return Quadratic(scaled, scalar, output @ both % 2, _zeros(len(output), 3 * half))


_TOWER_AFFINE: Matrix = TO_TOWER @ AFFINE @ FROM_TOWER % 2
_TOWER_TRIPLE: Matrix = matrix(lambda x: product(apply(TO_TOWER, 3), x, 8), 8, 8)

NORM256 = _norm256()
INVERSE_NORM16 = _inverse_norm16()
SCALE16 = _scale(2, EXPAND4, CONTRACT4, np.eye(4, dtype=np.uint8))
SUBSTITUTE = _scale(4, EXPAND16, CONTRACT16, _TOWER_AFFINE)
"""The end of an S-box, bare of its constant: 8 planes in the tower's basis."""
SUBSTITUTE_AND_TRIPLE = _scale(4, EXPAND16, CONTRACT16, np.vstack([_TOWER_AFFINE, _TOWER_TRIPLE @ _TOWER_AFFINE % 2]))
"""The same for MixColumns: 8 planes s, then 8 planes 3·s."""
SUBSTITUTE_LAST = _scale(4, EXPAND16, CONTRACT16, AFFINE @ FROM_TOWER % 2)
"""The end of the last round's S-box: 8 planes in AES's basis."""
_AFFINE_UNDONE: Matrix = TO_TOWER @ inverse(AFFINE) % 2
"""SubBytes' affine map backwards, from AES's basis into the tower's."""
_UNMIXED: Matrix = np.vstack(
    [
        _AFFINE_UNDONE @ FROM_TOWER @ matrix(partial(product, apply(TO_TOWER, coefficient), bits=8), 8, 8) % 2
        for coefficient in (14, 11, 13, 4)
    ]
)
"""(32, 8), in the tower's basis: s ↦ 14·s ‖ 11·s ‖ 13·s ‖ 4·s, each through SubBytes' affine map backwards."""
INVERT_AND_UNMIX = _scale(4, EXPAND16, CONTRACT16, _UNMIXED)
"""The end of an inversion on the way back, and four times 8 planes for MixColumns backwards."""
INVERT_LAST = _scale(4, EXPAND16, CONTRACT16, FROM_TOWER)
"""The end of the last inversion on the way back: 8 planes in AES's basis."""


@dataclass(frozen=True, repr=False)
class Schedule:
    """The round keys as one party holds them.

    Attributes:
        keys: eleven Shares of (8, 16, 1) uint64, every bit spread over a word; those of rounds 1 to 10 hold SubBytes'
            constant too; all but the last are in the tower's basis.
    """

    keys: tuple[Share, ...]


@cache
def _linear(matrix: bytes, inputs: int) -> Program:
    circuit = Circuit(inputs)
    rows = np.frombuffer(matrix, np.uint8).reshape(-1, inputs)
    return circuit.compile(circuit.linear(rows, range(inputs)))


def linear_planes(linear: Matrix, planes: Array) -> Array:
    """A matrix (outputs, inputs) applied to the planes axis, the last but one, of an array (…, inputs, length)."""
    program = _linear(linear.astype(np.uint8).tobytes(), linear.shape[1])
    blocks = np.ascontiguousarray(planes).reshape(-1, *planes.shape[-2:])
    result = np.empty((len(blocks), len(linear), planes.shape[-1]), np.uint64)
    kernel.run([program.on(blocks, result)], len(blocks))
    return result.reshape(*planes.shape[:-2], len(linear), -1)


def _spread(byte: int, basis: Matrix) -> Array:
    """(8, 1, 1): a public byte in a basis, each bit spread over a word."""
    bits = apply(basis, byte)
    return np.array([ALL_ONES * np.uint64(bits >> k & 1) for k in range(8)], np.uint64).reshape(8, 1, 1)


def _inverse_of_norm(session: Session, state: Share) -> Share:
    """Δ⁻¹ for every byte of a state (blocks, 8, length)."""
    norm = multiply(session.at("norm256"), NORM256, [state])
    inverse = multiply(session.at("norm16"), INVERSE_NORM16, [norm])
    return multiply(session.at("scale16"), SCALE16, [norm, inverse])


def key_schedule(session: Session, cipher_key: Share) -> Schedule:
    """Expand a shared cipher key into the eleven shared round keys.

    Args:
        session: at a step of its own.
        cipher_key: Share of (8, 16) uint64: plane k of byte j is bit k of the key's byte j, spread over a word.

    Returns:
        The schedule.

    Cost: 40 rounds; 17280 B in all.
    Reveals: nothing.
    Raises: PeerError.
    Source: FIPS 197, section 5.2.
    """
    words = [cipher_key.map(lambda c: linear_planes(TO_TOWER, c).reshape(8, 4, 4))[:, c] for c in range(4)]
    columns = list(words)
    coefficient = 1
    for number in range(1, ROUNDS + 1):
        here = session.at(f"round{number}")
        rotated = columns[-1].map(lambda c: np.ascontiguousarray(np.roll(c, -1, axis=1))[None])
        scalar = _inverse_of_norm(here, rotated)
        substituted = multiply(here.at("substitute"), SUBSTITUTE, [rotated, scalar])[0]
        constant = np.zeros((8, 4), np.uint64) ^ _spread(AFFINE_CONSTANT, TO_TOWER)[:, :, 0]
        constant[:, 0] ^= _spread(coefficient, TO_TOWER)[:, 0, 0]
        column = substituted ^ public(session.party, constant)
        for _ in range(4):
            column = column ^ columns[-4]
            columns.append(column)
        coefficient = coefficient << 1 ^ (0x11B if coefficient & 0x80 else 0)
    a, b = (np.stack([getattr(c, part) for c in columns], axis=1).reshape(8, -1, 16, 1) for part in "ab")
    keys = [Share(a[:, k], b[:, k]) for k in range(ROUNDS + 1)]
    sub_bytes = public(session.party, np.zeros((8, 16, 1), np.uint64) ^ _spread(AFFINE_CONSTANT, TO_TOWER))
    keys[1:] = [key ^ sub_bytes for key in keys[1:]]
    keys[-1] = keys[-1].map(lambda c: linear_planes(FROM_TOWER, c[..., 0])[..., None])
    return Schedule(tuple(keys))


def encrypt(session: Session, schedule: Schedule, blocks: Share) -> Share:
    """Encrypt shared blocks under the shared cipher key.

    Args:
        session: at a step of its own.
        schedule: from `key_schedule`.
        blocks: Share of (blocks, 8, 16 · words) uint64 planes in AES's basis, as `bitslice.to_planes` makes them.

    Returns:
        Share of the same shape.

    Cost: 40 rounds; 1080 B in all for each row: 360 a party.
    Reveals: nothing.
    Raises: PeerError.
    Source: FIPS 197, section 5.1.
    """
    words = blocks.shape[2] // 16
    first = schedule.keys[0].map(lambda c: np.repeat(c, words, axis=2).reshape(8, -1))
    state = Share(*(linear_planes(TO_TOWER, getattr(blocks, part)) ^ getattr(first, part) for part in "ab"))
    for number in range(1, ROUNDS + 1):
        here = session.at(f"round{number}")
        last = number == ROUNDS
        end, move = (SUBSTITUTE_LAST, SHIFT_ROWS) if last else (SUBSTITUTE_AND_TRIPLE, MIX_COLUMNS)
        then = move.with_key(schedule.keys[number].a)
        state = multiply(here.at("substitute"), end, [state, _inverse_of_norm(here, state)], then)
    return state


def decrypt(session: Session, schedule: Schedule, blocks: Share) -> Share:
    """Decrypt shared blocks under the shared cipher key.

    Args:
        session: at a step of its own.
        schedule: from `key_schedule`.
        blocks: as for `encrypt`.

    Returns:
        Share of the same shape.

    Cost: 40 rounds; 1080 B in all for each row: 360 a party.
    Reveals: nothing.
    Raises: PeerError.
    Source: FIPS 197, section 5.3; SubBytes' affine map is undone before its inversion.
    """
    last = schedule.keys[ROUNDS].map(lambda c: np.repeat(c, blocks.shape[2] // 16, axis=2).reshape(8, -1))
    state = Share(*(_unshift(getattr(blocks, part) ^ getattr(last, part)) for part in "ab"))
    for number in reversed(range(ROUNDS)):
        here, key = session.at(f"round{number}"), schedule.keys[number].a[..., 0]
        if number:
            end, then = INVERT_AND_UNMIX, UNMIX_COLUMNS.with_key(_unmixed(key))
        else:
            end, then = INVERT_LAST, ADD_KEY.with_key(linear_planes(FROM_TOWER, key))
        state = multiply(here.at("invert"), end, [state, _inverse_of_norm(here, state)], then)
    return state


@dataclass(frozen=True, eq=False, repr=False)
class Move:
    """For every byte the sum, over the terms, of the byte that comes there, and of a round key's.

    Attributes:
        terms: each says which byte's planes, eight by eight, and for each place which byte comes there.
    """

    terms: tuple[tuple[int, Array], ...]

    @cached_property
    def program(self) -> Program:
        """The circuit, from the planes of all places and then the key's."""
        planes = 8 * (1 + max(which for which, _ in self.terms))
        circuit = Circuit((planes + 8) * 16, constants=8 * 16)
        signals = np.arange(circuit.inputs).reshape(planes + 8, 16)
        outputs = []
        for plane, place in np.ndindex(8, 16):
            moved = [int(signals[8 * which + plane, source[place]]) for which, source in self.terms]
            outputs.append(reduce(circuit.xor, moved, int(signals[planes + plane, place])))
        return circuit.compile(outputs)

    def with_key(self, key: Array) -> Affine:
        """The move with a round key, (8, 16) or (8, 16, 1)."""
        return Affine(self.program, key.reshape(8 * 16, 1), 16)


SHIFT_ROWS = Move(((0, SHIFTED),))
"""ShiftRows and AddRoundKey."""
MIX_COLUMNS = Move(tuple((which, SHIFTED[BELOW[k]]) for which, k in ((0, 0), (0, 2), (0, 3), (1, 0), (1, 1))))
"""ShiftRows, MixColumns and AddRoundKey, from planes of s and 3·s: 2·s0 ⊕ 3·s1 ⊕ s2 ⊕ s3, where 2·s0 = s0 ⊕ 3·s0."""
UNMIX_COLUMNS = Move(tuple((which, BELOW[k][UNSHIFTED]) for which, k in ((0, 0), (1, 1), (2, 2), (2, 3), (3, 3))))
"""MixColumns (14·s0 ⊕ 11·s1 ⊕ 13·s2 ⊕ 9·s3) and ShiftRows backwards, from _UNMIXED's planes; and AddRoundKey."""
ADD_KEY = Move(((0, np.arange(16)),))
"""AddRoundKey alone."""


def _unshift(planes: Array) -> Array:
    """The last round backwards as far as its inversion: ShiftRows, then SubBytes' affine map, into the tower."""
    moved = planes.reshape(len(planes), 8, 16, -1)[:, :, UNSHIFTED].reshape(planes.shape)
    return linear_planes(_AFFINE_UNDONE, moved)


def _unmixed(key: Array) -> Array:
    """(8, 16): what a round key (8, 16) becomes when it is added after MixColumns backwards instead of before."""
    moved, result = linear_planes(_UNMIXED, key), np.empty((1, 8, 16), np.uint64)
    kernel.run([UNMIX_COLUMNS.with_key(np.zeros((8, 16), np.uint64)).on(moved[None], result)], 1)
    unmixed: Array = result[0]
    return unmixed
