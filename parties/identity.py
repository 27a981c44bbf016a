"""Who a node is: a TLS key with a self-signed certificate, and an Ed25519 key that signs terms and receipts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from parties.errors import ConfigError

VALID_DAYS = 3650
"""Pinned certificates are replaced by agreement, not by a clock."""
TLS_KEY, CERTIFICATE, SIGNING_KEY = "tls-key.pem", "certificate.pem", "signing-key.pem"


def tls_name(name: str) -> str:
    """The name in a node's certificate, checked by everyone who calls it."""
    return f"{name}.matchbit.invalid"


@dataclass(frozen=True, repr=False)
class Identity:
    """A node's own secrets and certificate.

    Attributes:
        name: the node's name in the federation.
        tls_key: PEM, secret.
        certificate: PEM.
        signing_key: secret.
    """

    name: str
    tls_key: bytes
    certificate: bytes
    signing_key: Ed25519PrivateKey


def create(name: str, folder: Path, now: datetime) -> Identity:
    """Make a node's keys and certificate and write them to its folder, readable by its owner alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
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
    signing_key = Ed25519PrivateKey.generate()
    _write_secret(folder / TLS_KEY, _pem(key))
    _write_secret(folder / SIGNING_KEY, _pem(signing_key))
    (folder / CERTIFICATE).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return load(name, folder)


def load(name: str, folder: Path) -> Identity:
    """Read a node's keys from its folder.

    Raises:
        ConfigError: a file is missing, unreadable, or readable by others.
    """
    try:
        for secret in (TLS_KEY, SIGNING_KEY):
            if os.name == "posix" and (folder / secret).stat().st_mode & 0o077:
                raise ConfigError(f"{folder / secret} can be read by other users; run `chmod 600` on it.")
        serialization.load_pem_private_key((folder / TLS_KEY).read_bytes(), None)
        signing_key = serialization.load_pem_private_key((folder / SIGNING_KEY).read_bytes(), None)
        if not isinstance(signing_key, Ed25519PrivateKey):
            raise ConfigError(f"{folder / SIGNING_KEY} is not an Ed25519 key.")
        return Identity(name, (folder / TLS_KEY).read_bytes(), (folder / CERTIFICATE).read_bytes(), signing_key)
    except OSError as error:
        raise ConfigError(f"Cannot read {error.filename}: {error.strerror}. Run `matchbit node init` first.") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: behind a password
        raise ConfigError(f"The keys in {folder} are damaged; restore them from a backup.") from None


def certificate_digest(pem: bytes) -> str:
    """Hex SHA-256 of a certificate, as people compare it over the telephone.

    Raises:
        ConfigError: not a PEM certificate.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise ConfigError("A certificate is damaged: it must be PEM text as `matchbit node init` writes it.") from None
    return certificate.fingerprint(hashes.SHA256()).hex()


def utc_now() -> datetime:
    """The present time, with its zone."""
    return datetime.now(UTC)


def _pem(key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_secret(path: Path, content: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
