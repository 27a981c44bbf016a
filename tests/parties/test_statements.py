"""What parties sign: each statement on everything in it, by its name's key, and never as one of another kind."""

import hashlib
from dataclasses import fields, replace
from itertools import permutations, product
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from parties.errors import InputError
from parties.statements import Commitment, Completion, Receipt, Statement, contributions
from tests.parties.samples import JARGON, examples

KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([k]) * 32) for k in (1, 2))
ID = bytes(range(32))
DIGESTS = (b"\x01" * 32, b"\x02" * 32, b"\x03" * 32)
COMMITMENT = Commitment(ID, "agency-a", records=10, new_records=4, keys=19, digests=DIGESTS)
RECEIPT = Receipt(ID, "neutral", member="agency-a", commitment=b"c" * 32)
COMPLETION = Completion(ID, "neutral", attempt=2, contributions=b"d" * 32)
STATEMENTS: tuple[Statement, ...] = (COMMITMENT, RECEIPT, COMPLETION)
EACH = pytest.mark.parametrize("statement", STATEMENTS, ids=lambda s: s.KIND)
OTHER_VALUES: dict[str, list[Any]] = {
    "session_id": [bytes(32), ID[::-1], ID[:-1]],
    "name": ["agency-b", "", "agency-a "],
    "records": [9, 0, 100],
    "new_records": [5, 0],
    "keys": [18, 190],
    "digests": [DIGESTS[::-1], DIGESTS[:2], (), (*DIGESTS, b""), (b"".join(DIGESTS),)],
    "member": ["agency-b", "neutral", ""],
    "commitment": [b"d" * 32, b""],
    "attempt": [1, 3, 22],
    "contributions": [b"c" * 32, b""],
}


class Commit(Statement):
    """A kind whose name is the beginning of another's."""

    KIND = "commit"


def refusal(statement: Statement, key: Ed25519PrivateKey = KEY) -> str:
    with pytest.raises(InputError) as error:
        statement.check(key.public_key())
    return str(error.value)


@EACH
def test_a_signature_is_by_the_pinned_key(statement: Statement) -> None:
    signed = statement.signed(KEY)
    signed.check(KEY.public_key())
    assert len(signed.signature) == 64
    assert replace(signed, signature=b"") == statement
    says = f"A {statement.KIND} in the name of {statement.name} is not signed by its pinned key."
    assert refusal(signed, OTHER) == says
    assert not any(word in says for word in JARGON)
    for false in (
        b"",
        signed.signature[:-1],
        signed.signature + b"\0",
        bytes(64),
        OTHER.sign(statement.signed_bytes),
    ):
        assert refusal(replace(signed, signature=false)) == says


@EACH
def test_a_signature_with_a_flipped_bit(statement: Statement) -> None:
    signature = statement.signed(KEY).signature
    for bit in range(0, 512, 7):
        flipped = bytearray(signature)
        flipped[bit // 8] ^= 1 << bit % 8
        refusal(replace(statement, signature=bytes(flipped)))


@EACH
def test_every_field_is_signed(statement: Statement) -> None:
    signed = statement.signed(KEY)
    for field in (f.name for f in fields(statement) if f.name != "signature"):
        for value in OTHER_VALUES[field]:
            changed = replace(signed, **{field: value})
            assert changed.signed_bytes != signed.signed_bytes
            assert changed.digest != signed.digest
            refusal(changed)


def test_a_statement_of_one_kind_is_none_of_another() -> None:
    """Also where two kinds say nothing but what all say."""
    bare: list[Statement] = [kind(ID, "agency-a") for kind in (Commit, Commitment, Receipt, Completion)]
    assert len({s.signed_bytes for s in bare}) == 4
    for one, other in product(bare, bare):
        taken = replace(other, signature=one.signed(KEY).signature)
        if one is other:
            taken.check(KEY.public_key())
        else:
            refusal(taken)


def test_the_signed_bytes_of_each_kind_by_hand() -> None:
    tail = b'"name":"neutral","session_id":{"hex":"' + ID.hex().encode() + b'"}}'
    receipt = b'{"commitment":{"hex":"' + b"63" * 32 + b'"},"member":"agency-a",' + tail
    assert RECEIPT.signed_bytes == b"matchbit.v1 receipt\0" + receipt
    completion = b'{"attempt":2,"contributions":{"hex":"' + b"64" * 32 + b'"},' + tail
    assert COMPLETION.signed_bytes == b"matchbit.v1 completion\0" + completion
    digests = ",".join(f'{{"hex":"{d.hex()}"}}' for d in DIGESTS).encode()
    assert COMMITMENT.signed_bytes == (
        b'matchbit.v1 commitment\0{"digests":[' + digests + b'],"keys":19,"name":"agency-a","new_records":4,'
        b'"records":10,"session_id":{"hex":"' + ID.hex().encode() + b'"}}'
    )
    assert COMMITMENT.digest == hashlib.sha256(COMMITMENT.signed_bytes).digest()


@EACH
def test_the_signature_is_no_part_of_what_is_signed(statement: Statement) -> None:
    assert statement.signed(KEY).signed_bytes == statement.signed_bytes
    assert statement.signed(KEY).digest == statement.digest


names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)
digests = st.binary(min_size=32, max_size=32)
counts = st.integers(0, 1 << 63)
three = st.tuples(digests, digests, digests)
common = {"session_id": digests, "name": names, "signature": st.binary(max_size=64)}
any_statement = st.one_of(
    st.builds(
        Commitment,
        **common,
        records=counts,
        new_records=counts,
        keys=counts,
        digests=three,
    ),
    st.builds(Receipt, **common, member=names | st.text(max_size=5), commitment=st.binary(max_size=32)),
    st.builds(Completion, **common, attempt=counts, contributions=st.binary(max_size=32)),
)


@given(any_statement)
@examples(200)
def test_what_is_stored_is_read_back(statement: Statement) -> None:
    read = type(statement).from_text(statement.to_text())
    assert read == statement
    assert read.signed_bytes == statement.signed_bytes


@given(st.lists(any_statement, min_size=2, max_size=2))
@examples(200)
def test_different_statements_are_signed_differently(pair: list[Statement]) -> None:
    one, other = (replace(s, signature=b"") for s in pair)
    assert (one == other) == (one.signed_bytes == other.signed_bytes)


# What stands for all commitments


def test_contributions_are_the_commitments_in_any_order() -> None:
    all_of_them = [replace(COMMITMENT, name=f"agency-{k}") for k in "abc"]
    whole = contributions(all_of_them)
    assert whole == hashlib.sha256(b"".join(sorted(c.digest for c in all_of_them))).digest()
    assert {contributions(order) for order in permutations(all_of_them)} == {whole}


def test_other_commitments_are_other_contributions() -> None:
    one, two = COMMITMENT, replace(COMMITMENT, name="agency-b")
    several = [[], [one], [two], [one, two], [one, one], [one, replace(two, keys=18)], [one, replace(two, records=11)]]
    assert len({contributions(some) for some in several}) == len(several)


def test_a_commitment_signed_twice_is_the_same_contribution() -> None:
    assert contributions([COMMITMENT.signed(KEY)]) == contributions([COMMITMENT.signed(OTHER)])
