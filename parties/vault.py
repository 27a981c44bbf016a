"""Secrets at rest: AES-256-GCM under a node's storage key, which is itself wrapped under a key file or a passphrase.

The storage key is 32 random bytes and never changes; `storage-key.toml` holds it wrapped. So another key file or
passphrase is a matter of wrapping it anew, and nothing else need be sealed again.
"""

from __future__ import annotations

import getpass
import os
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from parties import toml
from parties.errors import ConfigError, StorageError
from parties.secrecy import read_secret, write_private

STORAGE_KEY = "storage-key.toml"
VERSION = 1
KEY_BYTES, NONCE_BYTES, TAG_BYTES, SALT_BYTES = 32, 12, 16, 16
MAX_PASSPHRASE_BYTES = 1024
SCRYPT = (1 << 15, 8, 1)
"""n, r, p of new files: 32 MiB and about a tenth of a second for each guess."""
MAX_SCRYPT = (1 << 20, 8, 16)
"""What a file may ask for: at most 1 GiB."""
_WRAPPED = b"matchbit storage key"
_STORAGE_KEY_TOML = """\
# This node's storage key, wrapped under its {kind}: without that, nothing that the node has stored can be opened.
version = {version}
wrapped_under = "{kind}"
{parameters}salt = "{salt}"
wrapped = "{wrapped}"
"""


@dataclass(frozen=True, repr=False)
class KeyFile:
    """A key file's 32 random bytes, from which a wrapping key is derived by HKDF-SHA256."""

    content: bytes
    kind = "key file"

    def wrapping_key(self, salt: bytes, _scrypt: tuple[int, int, int]) -> bytes:
        """32 bytes."""
        return HKDF(SHA256(), KEY_BYTES, salt, b"matchbit key file").derive(self.content)


@dataclass(frozen=True, repr=False)
class Passphrase:
    """What a person remembers, from which a wrapping key is derived by scrypt (RFC 7914)."""

    text: str
    kind = "passphrase"

    def wrapping_key(self, salt: bytes, scrypt: tuple[int, int, int]) -> bytes:
        """32 bytes; the same for the same letters however a keyboard composes them."""
        n, r, p = scrypt
        return Scrypt(salt, KEY_BYTES, n, r, p).derive(unicodedata.normalize("NFC", self.text).encode())


Protection = KeyFile | Passphrase


class Vault:
    """Seals what a node stores, and opens it.

    Nonces are random, 96 bits: one storage key may seal 2^32 pieces (NIST SP 800-38D, section 8.3). In chunks of
    1 MiB that is 4 PiB.

    Args:
        key: the storage key, 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key, self._cipher = key, AESGCM(key)

    def seal(self, data: bytes, context: bytes) -> bytes:
        """Encrypt and authenticate.

        Args:
            data: below 2 GiB.
            context: what the data is and where it belongs; it opens in the same context only.

        Returns:
            Nonce, ciphertext and tag: 28 bytes longer than the data.
        """
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Check and decrypt.

        Raises:
            StorageError: changed, cut, sealed in another context or under another storage key.
        """
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
        except (InvalidTag, ValueError):  # ValueError: shorter than nonce and tag
            raise StorageError(
                "Something that this node has stored cannot be opened: it was changed, or sealed under another storage "
                "key. Restore the node's folder from a backup."
            ) from None

    def save(self, path: Path, protection: Protection) -> None:
        """Write the storage key to its file, wrapped under this protection in place of any other.

        Raises:
            OSError: it cannot be written.
        """
        salt = os.urandom(SALT_BYTES)
        wrapped = Vault(protection.wrapping_key(salt, SCRYPT)).seal(self._key, _WRAPPED)
        text = _STORAGE_KEY_TOML.format(
            version=VERSION,
            kind=protection.kind,
            parameters=f"scrypt = {list(SCRYPT)}\n" if isinstance(protection, Passphrase) else "",
            salt=salt.hex(),
            wrapped=wrapped.hex(),
        )
        write_private(path, text.encode())


def new() -> Vault:
    """A new storage key, to be saved before anything is sealed under it."""
    return Vault(os.urandom(KEY_BYTES))


def load(path: Path, protection: Callable[[str], Protection]) -> Vault:
    """Open the storage key.

    Args:
        path: of storage-key.toml.
        protection: gives what the key is wrapped under, when it is told the kind: `key file` or `passphrase`.

    Raises:
        ConfigError: one sentence that says which file is missing, damaged, or not the right one.
    """
    kind, scrypt, salt, wrapped = _read(path)
    given = protection(kind)
    try:
        return Vault(Vault(given.wrapping_key(salt, scrypt)).open(wrapped, _WRAPPED))
    except StorageError:
        raise ConfigError(f"The {kind} is not the one that {path} is wrapped under, or that file is damaged.") from None


def _read(path: Path) -> tuple[str, tuple[int, int, int], bytes, bytes]:
    """Kind of protection, scrypt's n, r, p, salt, wrapped key."""
    found: dict[str, Any] = toml.read(
        path, "Restore it from a backup; in a folder of an earlier version `matchbit node protect` makes it."
    )
    try:
        kind, salt, wrapped = found["wrapped_under"], bytes.fromhex(found["salt"]), bytes.fromhex(found["wrapped"])
        n, r, p = found.get("scrypt", SCRYPT)
        lengths = len(salt), len(wrapped)
        in_bounds = all(type(v) is int and 1 <= v <= most for v, most in zip((n, r, p), MAX_SCRYPT, strict=True))
    except (KeyError, TypeError, ValueError):
        raise ConfigError(f"{path} is damaged; restore it from a backup.") from None
    if found.get("version") != VERSION or kind not in (KeyFile.kind, Passphrase.kind):
        raise ConfigError(f"{path} was written by another version of Matchbit; use that one.")
    if (
        not in_bounds
        or n & (n - 1)
        or not 1 < n < 1 << 16 * r
        or lengths != (SALT_BYTES, NONCE_BYTES + KEY_BYTES + TAG_BYTES)
    ):
        raise ConfigError(f"{path} is damaged; restore it from a backup.")
    return kind, (n, r, p), salt, wrapped


def new_key_file(path: Path) -> KeyFile:
    """Make a key file.

    Raises:
        OSError: it cannot be written.
    """
    content = os.urandom(KEY_BYTES)
    write_private(path, content)
    return KeyFile(content)


def read_key_file(path: Path) -> KeyFile:
    """Read a key file.

    Raises:
        ConfigError: it is missing, can be read by others, or is something else.
    """
    content = read_secret(path, KEY_BYTES, "node.toml says with `key_file` where the key file is.")
    if len(content) != KEY_BYTES:
        raise ConfigError(f"{path} is not a key file: it must hold {KEY_BYTES} random bytes, as `node init` makes it.")
    return KeyFile(content)


def read_passphrase(path: Path) -> Passphrase:
    """Read a passphrase from a file of one line.

    Raises:
        ConfigError: it is missing, can be read by others, empty, or no text.
    """
    content = read_secret(path, MAX_PASSPHRASE_BYTES, "node.toml says with `passphrase_file` where it is.")
    try:
        text = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text.") from None
    if not text:
        raise ConfigError(f"{path} is empty; it must hold the passphrase.")
    return Passphrase(text)


def ask_passphrase(question: str) -> Passphrase:
    """Ask for a passphrase on the terminal, without showing it.

    Raises:
        ConfigError: there is no terminal.
    """
    if not sys.stdin.isatty():
        raise ConfigError(
            "A passphrase must be typed and there is no terminal for it; one that opens a node's storage can be in a "
            "file, which `passphrase_file` in node.toml names."
        )
    return Passphrase(getpass.getpass(question))
