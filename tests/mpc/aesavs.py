"""Known answers for AES-128: FIPS 197's examples and NIST's AESAVS, and a reference to hold them to.

Source: FIPS 197 (2001), appendices A.1, B and C.1; Bassham, "The Advanced Encryption Standard Algorithm Validation
Suite (AESAVS)", 2002: GFSbox, KeySbox, VarTxt and VarKey, KEYSIZE=128.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

Vector = tuple[str, str, str]
"""(cipher key, plaintext, ciphertext) in hexadecimal."""

ZERO = "00" * 16


def ecb(key: bytes, blocks: bytes) -> bytes:
    """AES-128 of every block, by the library."""
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(blocks)  # noqa: S305


def first_bits(count: int) -> str:
    """A block whose first bits are one, the others zero."""
    return f"{(1 << 128) - (1 << 128 - count):032x}"


FIPS197: list[Vector] = [
    ("2b7e151628aed2a6abf7158809cf4f3c", "3243f6a8885a308d313198a2e0370734", "3925841d02dc09fbdc118597196a0b32"),
    ("000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff", "69c4e0d86a7b0430d8cdb78070b4c55a"),
]

FIPS197_ROUND_KEYS = {
    0: "2b7e151628aed2a6abf7158809cf4f3c",
    1: "a0fafe1788542cb123a339392a6c7605",
    2: "f2c295f27a96b9435935807a7359f67f",
    10: "d014f9a8c9ee2589e13f0cc8b6630ca6",
}
"""Of the first example's key."""

GFSBOX: list[Vector] = [
    (ZERO, plaintext, ciphertext)
    for plaintext, ciphertext in (
        ("f34481ec3cc627bacd5dc3fb08f273e6", "0336763e966d92595a567cc9ce537f5e"),
        ("9798c4640bad75c7c3227db910174e72", "a9a1631bf4996954ebc093957b234589"),
        ("96ab5c2ff612d9dfaae8c31f30c42168", "ff4f8391a6a40ca5b25d23bedd44a597"),
        ("6a118a874519e64e9963798a503f1d35", "dc43be40be0e53712f7e2bf5ca707209"),
        ("cb9fceec81286ca3e989bd979b0cb284", "92beedab1895a94faa69b632e5cc47ce"),
        ("b26aeb1874e47ca8358ff22378f09144", "459264f4798f6a78bacb89c15ed3d601"),
        ("58c8e00b2631686d54eab84b91f0aca1", "08a4e2efec8a8e3312ca7460b9040bbf"),
    )
]

KEYSBOX: list[Vector] = [
    (key, ZERO, ciphertext)
    for key, ciphertext in (
        ("10a58869d74be5a374cf867cfb473859", "6d251e6944b051e04eaa6fb4dbf78465"),
        ("caea65cdbb75e9169ecd22ebe6e54675", "6e29201190152df4ee058139def610bb"),
        ("a2e2fa9baf7d20822ca9f0542f764a41", "c3b44b95d9d2f25670eee9a0de099fa3"),
        ("b6364ac4e1de1e285eaf144a2415f7a0", "5d9b05578fc944b3cf1ccf0e746cd581"),
        ("64cf9c7abc50b888af65f49d521944b2", "f7efc89d5dba578104016ce5ad659c05"),
        ("47d6742eefcc0465dc96355e851b64d9", "0306194f666d183624aa230a8b264ae7"),
        ("3eb39790678c56bee34bbcdeccf6cdb5", "858075d536d79ccee571f7d7204b1f67"),
        ("64110a924f0743d500ccadae72c13427", "35870c6a57e9e92314bcb8087cde72ce"),
        ("18d8126516f8a12ab1a36d9f04d68e51", "6c68e9be5ec41e22c825b7c7affb4363"),
        ("f530357968578480b398a3c251cd1093", "f5df39990fc688f1b07224cc03e86cea"),
        ("da84367f325d42d601b4326964802e8e", "bba071bcb470f8f6586e5d3add18bc66"),
        ("e37b1c6aa2846f6fdb413f238b089f23", "43c9f7e62f5d288bb27aa40ef8fe1ea8"),
        ("6c002b682483e0cabcc731c253be5674", "3580d19cff44f1014a7c966a69059de5"),
        ("143ae8ed6555aba96110ab58893a8ae1", "806da864dd29d48deafbe764f8202aef"),
        ("b69418a85332240dc82492353956ae0c", "a303d940ded8f0baff6f75414cac5243"),
        ("71b5c08a1993e1362e4d0ce9b22b78d5", "c2dabd117f8a3ecabfbb11d12194d9d0"),
        ("e234cdca2606b81f29408d5f6da21206", "fff60a4740086b3b9c56195b98d91a7b"),
        ("13237c49074a3da078dc1d828bb78c6f", "8146a08e2357f0caa30ca8c94d1a0544"),
        ("3071a2a48fe6cbd04f1a129098e308f8", "4b98e06d356deb07ebb824e5713f7be3"),
        ("90f42ec0f68385f2ffc5dfc03a654dce", "7a20a53d460fc9ce0423a7a0764c6cf2"),
        ("febd9a24d8b65c1c787d50a4ed3619a9", "f4a70d8af877f9b02b4c40df57d45b17"),
    )
]

VARTXT_PUBLISHED: list[Vector] = [
    (ZERO, first_bits(1), "3ad78e726c1ec02b7ebfe92b23d9ec34"),
    (ZERO, first_bits(2), "aae5939c8efdf2f04e60b9fe7117b2c2"),
    (ZERO, first_bits(3), "f031d4d74f5dcbf39daaf8ca3af6e527"),
    (ZERO, first_bits(128), "3f5b8cc9ea855a0afa7347d23e8d664e"),
]

VARKEY_PUBLISHED: list[Vector] = [
    (first_bits(1), ZERO, "0edd33d3c621e546455bd8ba1418bec8"),
    (first_bits(2), ZERO, "4bc3f883450c113c64ca42e1112a9e87"),
    (first_bits(3), ZERO, "72a1da770f5d7ac4c9ef94d822affd97"),
    (first_bits(128), ZERO, "a1f6258c877d5fcd8964484538bfc92c"),
]

PUBLISHED = FIPS197 + GFSBOX + KEYSBOX + VARTXT_PUBLISHED + VARKEY_PUBLISHED


def _by_library(key: str, plaintext: str) -> Vector:
    return key, plaintext, ecb(bytes.fromhex(key), bytes.fromhex(plaintext)).hex()


VARTXT: list[Vector] = [_by_library(ZERO, first_bits(k)) for k in range(1, 129)]
"""All 128, the ciphertexts by the library, which is held against the published ones."""
VARKEY: list[Vector] = [_by_library(first_bits(k), ZERO) for k in range(1, 129)]
"""All 128, the same way."""
