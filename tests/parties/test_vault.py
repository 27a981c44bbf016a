import hashlib
import hmac
import io
import os
import stat
import sys
import tomllib
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from parties import vault
from parties.errors import ConfigError, StorageError
from parties.vault import KeyFile, Passphrase, Protection, Vault
from tests.parties.samples import JARGON, examples, write

POSIX = pytest.mark.skipif(os.name != "posix", reason="file modes are a matter of POSIX systems")
KEY = bytes(range(32))
KEY_FILE, PASSPHRASE = KeyFile(b"k" * 32), Passphrase("correct horse battery staple")
PROTECTIONS = pytest.mark.parametrize("protection", [KEY_FILE, PASSPHRASE], ids=["key file", "passphrase"])


def refused(sealed: bytes, context: bytes = b"context", storage: Vault | None = None) -> None:
    with pytest.raises(StorageError, match=r"^Something that this node has stored cannot be opened.*\.$") as error:
        (storage or Vault(KEY)).open(sealed, context)
    assert error.value.__cause__ is None


# Sealing


@given(data=st.binary(max_size=300), context=st.binary(max_size=50))
@examples()
def test_what_is_sealed_opens_in_its_context_and_in_no_other(data: bytes, context: bytes) -> None:
    sealed = Vault(KEY).seal(data, context)
    assert len(sealed) == len(data) + 28
    assert Vault(KEY).open(sealed, context) == data
    refused(sealed, context + b"\0")
    refused(sealed, context, Vault(bytes(32)))


def test_the_form_is_nonce_ciphertext_tag() -> None:
    sealed = Vault(KEY).seal(b"a row", b"context")
    assert AESGCM(KEY).decrypt(sealed[:12], sealed[12:], b"context") == b"a row"


def test_a_nonce_is_never_used_twice() -> None:
    assert len({Vault(KEY).seal(b"", b"")[:12] for _ in range(1000)}) == 1000


def test_every_changed_bit_is_refused() -> None:
    sealed = Vault(KEY).seal(b"shares", b"context")
    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        refused(bytes(changed))


def test_what_was_cut_or_lengthened_is_refused() -> None:
    sealed = Vault(KEY).seal(b"shares", b"context")
    for length in range(len(sealed)):
        refused(sealed[:length])
    refused(sealed + b"\0")


def test_a_vault_and_what_protects_it_show_no_secret() -> None:
    shown = repr([Vault(KEY), KEY_FILE, PASSPHRASE])
    assert "kkkk" not in shown
    assert "horse" not in shown
    assert repr(KEY)[2:10] not in shown


# The storage key


def giving(protection: Protection) -> Callable[[str], Protection]:
    def give(kind: str) -> Protection:
        assert kind == protection.kind
        return protection

    return give


@PROTECTIONS
def test_a_storage_key_that_was_saved_opens_what_it_sealed(tmp_path: Path, protection: Protection) -> None:
    storage = vault.new()
    storage.save(tmp_path / "key.toml", protection)
    sealed = storage.seal(b"shares", b"context")
    assert vault.load(tmp_path / "key.toml", giving(protection)).open(sealed, b"context") == b"shares"


def test_every_node_has_a_storage_key_of_its_own() -> None:
    refused(vault.new().seal(b"", b"context"), storage=vault.new())


def unwrapped(path: Path, wrapping_key: Callable[[bytes], bytes]) -> bytes:
    """The storage key by other means than ours."""
    found = tomllib.loads(path.read_text("utf-8"))
    wrapped = bytes.fromhex(found["wrapped"])
    key = wrapping_key(bytes.fromhex(found["salt"]))
    return AESGCM(key).decrypt(wrapped[:12], wrapped[12:], b"matchbit storage key")


def test_the_derivation_under_a_key_file_is_hkdf(tmp_path: Path) -> None:
    Vault(KEY).save(tmp_path / "key.toml", KEY_FILE)

    def hkdf(salt: bytes) -> bytes:
        extracted = hmac.digest(salt, KEY_FILE.content, "sha256")
        return hmac.digest(extracted, b"matchbit key file\x01", "sha256")

    assert unwrapped(tmp_path / "key.toml", hkdf) == KEY


def test_the_derivation_under_a_passphrase_is_scrypt_with_the_parameters_in_the_file(tmp_path: Path) -> None:
    Vault(KEY).save(tmp_path / "key.toml", PASSPHRASE)
    assert tomllib.loads((tmp_path / "key.toml").read_text("utf-8"))["scrypt"] == [32768, 8, 1]

    def scrypt(salt: bytes) -> bytes:
        text = PASSPHRASE.text.encode()
        return hashlib.scrypt(text, salt=salt, n=1 << 15, r=8, p=1, maxmem=1 << 26, dklen=32)

    assert unwrapped(tmp_path / "key.toml", scrypt) == KEY


def test_another_protection_takes_the_place_of_the_first_and_what_was_sealed_stays(tmp_path: Path) -> None:
    storage, path = vault.new(), tmp_path / "key.toml"
    sealed = storage.seal(b"shares", b"context")
    for protection in (KEY_FILE, PASSPHRASE, Passphrase("another passphrase"), KeyFile(b"n" * 32)):
        storage.save(path, protection)
        assert vault.load(path, giving(protection)).open(sealed, b"context") == b"shares"
    for former in (KEY_FILE, Passphrase("another passphrase")):
        with pytest.raises(ConfigError, match="is not the one"):
            vault.load(path, lambda _, former=former: former)  # type: ignore[misc]


@PROTECTIONS
def test_the_file_holds_no_secret_and_is_its_owners_alone(tmp_path: Path, protection: Protection) -> None:
    Vault(KEY).save(tmp_path / "key.toml", protection)
    text = (tmp_path / "key.toml").read_text("utf-8")
    for secret in (KEY.hex(), KEY_FILE.content.hex(), PASSPHRASE.text):
        assert secret not in text
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "key.toml").stat().st_mode) == 0o600


def test_the_same_letters_are_the_same_passphrase(tmp_path: Path) -> None:
    composed = unicodedata.normalize("NFC", "Пароль для їжі é")
    assert composed != (decomposed := unicodedata.normalize("NFD", composed))
    Vault(KEY).save(tmp_path / "key.toml", Passphrase(composed))
    assert vault.load(tmp_path / "key.toml", giving(Passphrase(decomposed)))


# What is wrong with it


def unloadable(path: Path, protection: Protection = KEY_FILE) -> str:
    with pytest.raises(ConfigError) as error:
        vault.load(path, lambda _: protection)
    text = str(error.value)
    assert str(path) in text
    assert error.value.__cause__ is None
    assert not any(word in text for word in (*JARGON, "kkkk", "horse"))
    return text


def test_the_wrong_key_file_or_passphrase_is_named(tmp_path: Path) -> None:
    path = tmp_path / "key.toml"
    Vault(KEY).save(path, KEY_FILE)
    assert unloadable(path, KeyFile(b"j" * 32)).startswith("The key file is not the one that")
    Vault(KEY).save(path, PASSPHRASE)
    assert unloadable(path, Passphrase("correct horse battery stapel")).startswith("The passphrase is not the one that")


def test_a_missing_file_tells_what_makes_it(tmp_path: Path) -> None:
    assert "`matchbit node protect` makes it" in unloadable(tmp_path / "key.toml")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("version = 1", "version = 2", "another version"),
        ("version = 1", "", "another version"),
        ('"passphrase"', '"smart card"', "another version"),
        ('"passphrase"', "7", "another version"),
        ("wrapped_under", "other", "damaged"),
        ("salt", "other", "damaged"),
        ('salt = "', 'salt = "00', "damaged"),
        ('salt = "', "salt = 7 #", "damaged"),
        ('wrapped = "', 'wrapped = "zz', "damaged"),
        ('wrapped = "', 'wrapped = "0000', "damaged"),
        ("[32768, 8, 1]", "[1073741824, 8, 1]", "damaged"),  # it would take a terabyte
        ("[32768, 8, 1]", "[32768, 1024, 1]", "damaged"),
        ("[32768, 8, 1]", "[32768, 8, 1000000]", "damaged"),
        ("[32768, 8, 1]", "[32767, 8, 1]", "damaged"),
        ("[32768, 8, 1]", "[65536, 1, 1]", "damaged"),  # scrypt has no such parameters
        ("[32768, 8, 1]", "[1, 8, 1]", "damaged"),
        ("[32768, 8, 1]", "[0, 8, 1]", "damaged"),
        ("[32768, 8, 1]", "[-2, 8, 1]", "damaged"),
        ("[32768, 8, 1]", "[32768.0, 8, 1]", "damaged"),
        ("[32768, 8, 1]", "[32768, true, 1]", "damaged"),
        ("[32768, 8, 1]", "[32768, 8]", "damaged"),
        ("[32768, 8, 1]", '"32768"', "damaged"),
        ("[32768, 8, 1]", "[16384, 8, 1]", "is not the one"),
        ('salt = "', "salt =", "not valid TOML"),
    ],
)
def test_a_file_that_was_changed(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = tmp_path / "key.toml"
    Vault(KEY).save(path, PASSPHRASE)
    text = path.read_text("utf-8")
    assert old in text
    assert says in unloadable(write(path, text.replace(old, new, 1)), PASSPHRASE)


# What is asked for


def test_a_key_file_that_was_made(tmp_path: Path) -> None:
    one, two = (vault.new_key_file(tmp_path / name) for name in ("one", "two"))
    assert one != two
    assert vault.read_key_file(tmp_path / "one") == one
    assert (tmp_path / "one").stat().st_size == 32
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == 0o600


@pytest.mark.parametrize(("length", "says"), [(0, "is not a key file"), (31, "is not a key file"), (33, "too long")])
def test_another_file_in_place_of_a_key_file(tmp_path: Path, length: int, says: str) -> None:
    path = write(tmp_path / "key", b"k" * length)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=says) as error:
        vault.read_key_file(path)
    assert str(path) in str(error.value)


def passphrase_in(tmp_path: Path, content: bytes) -> str:
    path = write(tmp_path / "passphrase", content)
    path.chmod(0o600)
    return vault.read_passphrase(path).text


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_passphrase_in_a_file(tmp_path: Path, end: bytes) -> None:
    assert passphrase_in(tmp_path, "  пароль із пробілами ".encode() + end) == "  пароль із пробілами "


@pytest.mark.parametrize(
    ("content", "says"), [(b"\n", "is empty"), (b"\xff\xfe", "is not UTF-8 text"), (b"x" * 1025, "too long")]
)
def test_no_passphrase_in_a_file(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        passphrase_in(tmp_path, content)


@POSIX
@pytest.mark.parametrize("read", [vault.read_key_file, vault.read_passphrase])
def test_files_that_others_can_read(tmp_path: Path, read: Callable[[Path], Protection]) -> None:
    path = write(tmp_path / "secret", b"k" * 32)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="can be read by other users"):
        read(path)


def test_nobody_is_asked_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("correct horse battery staple\n"))
    with pytest.raises(ConfigError, match=r"`passphrase_file` in node\.toml"):
        vault.ask_passphrase("Passphrase: ")
