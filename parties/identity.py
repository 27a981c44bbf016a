"""Who a node is: an Ed25519 key that signs, and a TLS key whose self-signed certificate the signing key vouches for.

The signing key is the node's identity for good. The TLS key is replaced now and then (`rotate`): for a time the next
one stands beside it, so that all partners can pin the next certificate before it is used.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from parties.errors import ConfigError, StorageError
from parties.secrecy import erase, read_secret, write_private
from parties.vault import Vault

VALID_DAYS = 3650
"""Pinned certificates are replaced by agreement, not by a clock."""
SEALED = "identity.sealed"
"""All of a node's keys and certificates in one file, so that it changes at once or not at all."""
PLAIN_TLS_KEY, PLAIN_CERTIFICATE, PLAIN_SIGNING_KEY = "tls-key.pem", "certificate.pem", "signing-key.pem"
"""What folders of earlier versions hold in the clear."""
MAX_BYTES = 1 << 16
_SUBJECT = re.compile(r"CN=[0-9a-f]{16}")


def tls_name(name: str) -> str:
    """The name in a node's certificate, checked by everyone who calls it."""
    return f"{name}.matchbit.invalid"


@dataclass(frozen=True, repr=False)
class Identity:
    """A node's own secrets and certificates.

    Attributes:
        name: the node's name in the federation.
        signing_key: secret.
        tls_key: PEM, secret.
        certificate: PEM.
        next_tls_key: PEM, secret; empty when no rotation is under way.
        next_certificate: PEM, likewise.
    """

    name: str
    signing_key: Ed25519PrivateKey
    tls_key: bytes
    certificate: bytes
    next_tls_key: bytes = b""
    next_certificate: bytes = b""

    def rotating(self, now: datetime) -> Identity:
        """The same with a next TLS key; as it is when it has one already."""
        if self.next_certificate:
            return self
        key, certificate = _tls(self.name, now)
        return replace(self, next_tls_key=key, next_certificate=certificate)

    def rotated(self) -> Identity:
        """The same with the next TLS key in place of the present one."""
        return replace(
            self, tls_key=self.next_tls_key, certificate=self.next_certificate, next_tls_key=b"", next_certificate=b""
        )

    def save(self, folder: Path, vault: Vault) -> None:
        """Write it to the node's folder, sealed.

        Raises:
            OSError: it cannot be written.
        """
        parts = {
            "signing_key": _pem(self.signing_key),
            "tls_key": self.tls_key,
            "certificate": self.certificate,
            "next_tls_key": self.next_tls_key,
            "next_certificate": self.next_certificate,
        }
        text = "".join(f'{name} = """\n{pem.decode()}"""\n' for name, pem in parts.items())
        write_private(folder / SEALED, vault.seal(text.encode(), _context(self.name)))


def create(name: str, folder: Path, vault: Vault, now: datetime) -> Identity:
    """Make a node's keys and certificate and write them to its folder, sealed.

    Raises:
        FileExistsError: the folder holds an identity already.
    """
    if (folder / SEALED).exists():
        raise FileExistsError(17, os.strerror(17), str(folder / SEALED))
    made = Identity(name, Ed25519PrivateKey.generate(), *_tls(name, now))
    made.save(folder, vault)
    return made


def load(name: str, folder: Path, vault: Vault) -> Identity:
    """Open a node's keys.

    Raises:
        ConfigError: missing, unreadable, readable by others, damaged, or sealed under another storage key.
    """
    hint = "`matchbit node init` makes it."
    if is_plain(folder):
        hint = "The folder is of an earlier version, with keys in the clear: `matchbit node protect` seals them."
    sealed = read_secret(folder / SEALED, MAX_BYTES, hint)
    try:
        parts = {key: pem.encode() for key, pem in tomllib.loads(vault.open(sealed, _context(name)).decode()).items()}
        return Identity(name, _signing_key(parts.pop("signing_key")), **parts)
    except StorageError:
        raise ConfigError(
            f"{folder / SEALED} cannot be opened with this node's storage key and name; restore the folder from a "
            "backup, all of it."
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, UnsupportedAlgorithm):
        raise ConfigError(f"{folder / SEALED} was written by another version of Matchbit; use that one.") from None


def is_plain(folder: Path) -> bool:
    """Whether a folder holds keys in the clear, as earlier versions wrote them."""
    return any((folder / file).exists() for file in (PLAIN_TLS_KEY, PLAIN_SIGNING_KEY))


def seal_plain(name: str, folder: Path, vault: Vault, now: datetime) -> None:
    """Seal the signing key of an earlier version's folder, and remove what lies in the clear.

    The TLS key that lay there is not kept: the node gets a new one, with a new certificate.

    Raises:
        ConfigError: the signing key is missing, unreadable, readable by others, or damaged.
        OSError: a file cannot be written.
    """
    if not (folder / SEALED).exists():
        try:
            signing_key = _signing_key(read_secret(folder / PLAIN_SIGNING_KEY, MAX_BYTES))
        except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: behind a password
            raise ConfigError(f"{folder / PLAIN_SIGNING_KEY} is damaged; restore it from a backup.") from None
        Identity(name, signing_key, *_tls(name, now)).save(folder, vault)
    load(name, folder, vault)  # nothing is removed that could not be had back
    for file in (PLAIN_TLS_KEY, PLAIN_SIGNING_KEY):
        if (folder / file).exists():
            erase(folder / file)
    (folder / PLAIN_CERTIFICATE).unlink(missing_ok=True)


def certificate_digest(pem: bytes) -> str:
    """Hex SHA-256 of a certificate.

    Raises:
        ConfigError: not a PEM certificate.
    """
    return _certificate(pem).fingerprint(hashes.SHA256()).hex()


def certificate_pem(pem: bytes) -> bytes:
    """A certificate as we write it, without whatever else its text holds: nothing but it can be pinned.

    Raises:
        ConfigError: not exactly one PEM certificate, or not one of ours.
    """
    if not _SUBJECT.fullmatch(certificate_subject(pem)):
        raise ConfigError("A certificate is of another version of Matchbit or another program.")
    return _certificate(pem).public_bytes(serialization.Encoding.PEM)


def certificate_subject(pem: bytes) -> str:
    """What TLS finds a pinned certificate by.

    Raises:
        ConfigError: not a PEM certificate.
    """
    return _certificate(pem).subject.rfc4514_string()


def valid_until(pem: bytes) -> datetime:
    """When a certificate expires.

    Raises:
        ConfigError: not a PEM certificate.
    """
    return _certificate(pem).not_valid_after_utc


def utc_now() -> datetime:
    """The present time, with its zone."""
    return datetime.now(UTC)


def _certificate(pem: bytes) -> x509.Certificate:
    try:
        (certificate,) = x509.load_pem_x509_certificates(pem)
        _ = certificate.subject, certificate.not_valid_after_utc  # which are read when they are looked at
        return certificate
    except (ValueError, x509.InvalidVersion):
        raise ConfigError(
            "A certificate is damaged: it must be one, as PEM text, as `matchbit node init` writes it."
        ) from None


def _tls(name: str, now: datetime) -> tuple[bytes, bytes]:
    """A TLS key and its certificate, PEM.

    TLS finds a pinned certificate by its subject, so each has another one: two of one node can then be pinned side by
    side. It is short, since a listener sends the subjects of all whom it accepts.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, os.urandom(8).hex())])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(tls_name(name))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _pem(key), certificate.public_bytes(serialization.Encoding.PEM)


def _pem(key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _signing_key(pem: bytes) -> Ed25519PrivateKey:
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("not an Ed25519 key")
    return key


def _context(name: str) -> bytes:
    return b"identity of " + name.encode()
