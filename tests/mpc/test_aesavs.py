"""The known answers themselves, against a second implementation."""

from __future__ import annotations

from tests.mpc.aesavs import FIPS197, GFSBOX, KEYSBOX, PUBLISHED, VARKEY, VARTXT, ecb, first_bits


def test_every_published_answer_is_right() -> None:
    wrong = [v for v in PUBLISHED if ecb(bytes.fromhex(v[0]), bytes.fromhex(v[1])).hex() != v[2]]
    assert not wrong


def test_the_sets_are_whole() -> None:
    sizes = [len(set(vectors)) for vectors in (FIPS197, GFSBOX, KEYSBOX, VARTXT, VARKEY)]
    assert sizes == [2, 7, 21, 128, 128]


def test_the_rule_for_variable_blocks() -> None:
    assert first_bits(1) == "8" + "0" * 31
    assert first_bits(7) == "fe" + "0" * 30
    assert first_bits(128) == "f" * 32
