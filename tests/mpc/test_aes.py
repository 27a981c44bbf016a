from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc import aes, bitslice
from mpc.committee import PARTIES
from mpc.replicated import Array, reconstruct
from mpc.tower import FROM_TOWER, apply
from tests.mpc.aesavs import (
    FIPS197,
    FIPS197_ROUND_KEYS,
    GFSBOX,
    KEYSBOX,
    VARKEY,
    VARTXT,
    Vector,
    ecb,
)
from tests.mpc.arrays import SEEDS, random_array
from tests.world import run_parties, shares


def key_planes(key: bytes) -> Array:
    """(8, 16) uint64: bit k of byte j in plane k, spread over a word."""
    bits = np.unpackbits(np.frombuffer(key, np.uint8)[:, None], axis=1, bitorder="little")
    return np.negative(bits.T.astype(np.uint64))


def rows_of(blocks: list[bytes]) -> Array:
    return np.frombuffer(b"".join(blocks), np.uint64).reshape(-1, 2)


def encrypted(cases: list[tuple[bytes, list[bytes]]], seed: int = 7, cipher=aes.encrypt) -> list[list[bytes]]:
    """For each cipher key its blocks' encryptions, or decryptions, by three parties in one session."""
    dealt = []
    for number, (key, blocks) in enumerate(cases):
        rows = rows_of(blocks)
        layout = bitslice.Layout.of(len(rows))
        planes = bitslice.to_planes(rows, layout)
        dealt.append((shares(key_planes(key), seed + 2 * number), shares(planes, seed + 2 * number + 1), layout))

    def protocol(session):
        here = [session.at(f"case{number}") for number in range(len(dealt))]
        return [
            cipher(h.at("blocks"), aes.key_schedule(h.at("schedule"), key[session.party]), blocks[session.party])
            for h, (key, blocks, _) in zip(here, dealt, strict=True)
        ]

    results = run_parties(protocol, seed)
    answers = []
    for number, (_, _, layout) in enumerate(dealt):
        rows = bitslice.from_planes(reconstruct(tuple(r[number] for r in results)), layout)
        answers.append([row.tobytes() for row in rows])
    return answers


def check(vectors: list[Vector]) -> None:
    """All vectors in one session, those of one key as rows of one run."""
    by_key: dict[str, list[Vector]] = {}
    for vector in vectors:
        by_key.setdefault(vector[0], []).append(vector)
    cases = [(bytes.fromhex(key), [bytes.fromhex(v[1]) for v in group]) for key, group in by_key.items()]
    wrong = [
        vector
        for group, answers in zip(by_key.values(), encrypted(cases), strict=True)
        for vector, answer in zip(group, answers, strict=True)
        if answer.hex() != vector[2]
    ]
    assert not wrong


@pytest.mark.parametrize("vector", FIPS197, ids=["appendix B", "appendix C.1"])
def test_fips197(vector: Vector) -> None:
    check([vector])


def test_gfsbox() -> None:
    check(GFSBOX)


def test_keysbox() -> None:
    check(KEYSBOX)


def test_vartxt() -> None:
    check(VARTXT)


@pytest.mark.parametrize("half", [0, 1])
def test_varkey(half: int) -> None:
    """64 keys at once: every bit of a word is a computation of its own, so bit r may be of key r and of block r."""
    vectors = VARKEY[64 * half :][:64]
    keys = rows_of([bytes.fromhex(v[0]) for v in vectors])
    layout = bitslice.Layout.of(64)
    key = shares(bitslice.to_planes(keys, layout)[0], half)
    blocks = shares(bitslice.to_planes(rows_of([bytes.fromhex(v[1]) for v in vectors]), layout), half + 9)

    def protocol(session):
        schedule = aes.key_schedule(session.at("schedule"), key[session.party])
        return aes.encrypt(session, schedule, blocks[session.party])

    rows = bitslice.from_planes(reconstruct(tuple(run_parties(protocol, half))), layout)
    assert [row.tobytes().hex() for row in rows] == [v[2] for v in vectors]


def test_varkey_one_key_at_a_time() -> None:
    """A few of them as the protocol is used, with every bit of the key spread over a word."""
    check(VARKEY[::17])


def test_round_keys() -> None:
    """FIPS 197, appendix A.1; round keys 1 to 10 hold SubBytes' constant too, all but the last are in the tower."""
    key = shares(key_planes(bytes.fromhex(FIPS197[0][0])))
    schedules = run_parties(lambda s: aes.key_schedule(s.at("schedule"), key[s.party]), 3)
    for number, expected in FIPS197_ROUND_KEYS.items():
        planes = reconstruct(tuple(s.keys[number] for s in schedules))
        assert planes.shape == (8, 16, 1)
        assert np.all((planes == 0) | (planes == 2**64 - 1)), "every bit is spread over its word"
        values = [sum(int(planes[k, j, 0] & np.uint64(1)) << k for k in range(8)) for j in range(16)]
        values = values if number == aes.ROUNDS else [apply(FROM_TOWER, value) for value in values]
        constant = aes.AFFINE_CONSTANT if number else 0
        assert bytes(value ^ constant for value in values).hex() == expected, number


@settings(max_examples=12)
@given(st.binary(min_size=16, max_size=16), st.integers(1, 200), SEEDS)
def test_random_keys_and_rows(key: bytes, rows: int, seed: int) -> None:
    blocks = random_array(seed, (rows, 16), "uint8")
    assert b"".join(encrypted([(key, [b.tobytes() for b in blocks])], seed)[0]) == ecb(key, blocks.tobytes())


def test_more_than_one_block_of_planes() -> None:
    rows, key = bitslice.BLOCK_ROWS + 1, bytes(range(16))
    assert bitslice.Layout.of(rows).blocks == 2
    blocks = random_array(11, (rows, 16), "uint8")
    assert b"".join(encrypted([(key, [b.tobytes() for b in blocks])])[0]) == ecb(key, blocks.tobytes())


@settings(max_examples=8)
@given(st.binary(min_size=16, max_size=16), st.sampled_from([1, 64, 200, bitslice.BLOCK_ROWS + 1]), SEEDS)
def test_decryption_takes_it_back(key: bytes, rows: int, seed: int) -> None:
    blocks = random_array(seed, (rows, 16), "uint8").tobytes()
    sent = np.frombuffer(ecb(key, blocks), np.uint8).reshape(-1, 16)
    assert b"".join(encrypted([(key, [b.tobytes() for b in sent])], seed, aes.decrypt)[0]) == blocks


def test_no_party_holds_the_tags_or_round_keys() -> None:
    """Two sessions of the same inputs and shares: every component of the result differs."""
    key, rows = shares(key_planes(bytes(16))), rows_of([bytes(16)] * 64)
    blocks = shares(bitslice.to_planes(rows, bitslice.Layout.of(64)))

    def protocol(session):
        schedule = aes.key_schedule(session.at("schedule"), key[session.party])
        return schedule.keys[-1], aes.encrypt(session, schedule, blocks[session.party])

    one, two = run_parties(protocol, 1), run_parties(protocol, 2)
    for p in PARTIES:
        for x, y in zip(one[p], two[p], strict=True):
            assert not np.array_equal(x.a, y.a)
            assert not np.array_equal(x.b, y.b)
