import hashlib
import os
import re
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from parties import identity
from parties.errors import ConfigError
from parties.identity import CERTIFICATE, SIGNING_KEY, TLS_KEY, certificate_digest, tls_name
from tests.parties.samples import NOW, files

POSIX = pytest.mark.skipif(os.name != "posix", reason="file modes are a matter of POSIX systems")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    identity.create("agency-a", tmp_path, NOW)
    return tmp_path


def certificate(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / CERTIFICATE).read_bytes())


def test_a_created_identity_is_the_one_that_is_loaded(tmp_path: Path) -> None:
    made = identity.create("agency-a", tmp_path, NOW)
    loaded = identity.load("agency-a", tmp_path)
    assert (made.name, made.tls_key, made.certificate) == (loaded.name, loaded.tls_key, loaded.certificate)
    assert made.signing_key.private_bytes_raw() == loaded.signing_key.private_bytes_raw()
    assert set(files(tmp_path)) == {CERTIFICATE, SIGNING_KEY, TLS_KEY}


def test_every_node_has_keys_of_its_own(tmp_path: Path) -> None:
    nodes = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        nodes.append(identity.create("agency-a", tmp_path / name, NOW))
    one, two = nodes
    assert one.tls_key != two.tls_key
    assert one.certificate != two.certificate
    assert one.signing_key.private_bytes_raw() != two.signing_key.private_bytes_raw()


@POSIX
def test_secrets_are_readable_by_their_owner_alone_whatever_the_mask(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        identity.create("agency-a", tmp_path, NOW)
    finally:
        os.umask(mask)
    for secret in (TLS_KEY, SIGNING_KEY):
        assert stat.S_IMODE((tmp_path / secret).stat().st_mode) == 0o600


def test_the_certificate_names_its_node_and_nobody_else(folder: Path) -> None:
    found = certificate(folder)
    assert found.subject.rfc4514_string() == found.issuer.rfc4514_string() == "CN=agency-a"
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName("agency-a.matchbit.invalid")]
    assert tls_name("agency-a") == "agency-a.matchbit.invalid"


def test_the_certificate_signs_itself_and_cannot_sign_others(folder: Path) -> None:
    found = certificate(folder)
    found.verify_directly_issued_by(found)
    constraints = found.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert not constraints.value.ca


def test_the_certificate_is_for_the_key_in_the_folder(folder: Path) -> None:
    key = serialization.load_pem_private_key((folder / TLS_KEY).read_bytes(), None)
    public = certificate(folder).public_key()
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert key.public_key().public_numbers() == public.public_numbers()
    assert public.curve.name == "secp256r1"


def test_the_certificate_is_valid_now_despite_slow_clocks_and_for_years(folder: Path) -> None:
    found = certificate(folder)
    assert found.not_valid_before_utc <= NOW - timedelta(hours=12)
    assert found.not_valid_after_utc >= NOW + timedelta(days=3600)


def test_keys_are_never_overwritten(folder: Path) -> None:
    before = files(folder)
    with pytest.raises(FileExistsError):
        identity.create("agency-a", folder, NOW)
    assert files(folder) == before


def test_secrets_are_not_shown(folder: Path) -> None:
    loaded = identity.load("agency-a", folder)
    assert "PRIVATE" not in repr(loaded) + str(loaded)


def refused(folder: Path) -> str:
    with pytest.raises(ConfigError) as error:
        identity.load("agency-a", folder)
    assert error.value.__cause__ is None
    return str(error.value)


@POSIX
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o601])
@pytest.mark.parametrize("secret", [TLS_KEY, SIGNING_KEY])
def test_keys_that_others_can_use_are_refused(folder: Path, secret: str, mode: int) -> None:
    (folder / secret).chmod(mode)
    assert refused(folder) == f"{folder / secret} can be read by other users; run `chmod 600` on it."
    (folder / secret).chmod(0o400)
    identity.load("agency-a", folder)


@pytest.mark.parametrize("name", [TLS_KEY, SIGNING_KEY, CERTIFICATE])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert re.fullmatch(rf"Cannot read .*{name}: .*\. Run `matchbit node init` first\.", refused(folder))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\xff" * 40,
        b"-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n",
    ],
)
def test_a_damaged_signing_key(folder: Path, content: bytes) -> None:
    (folder / SIGNING_KEY).write_bytes(content)
    assert refused(folder) == f"The keys in {folder} are damaged; restore them from a backup."


def test_a_truncated_signing_key(folder: Path) -> None:
    whole = (folder / SIGNING_KEY).read_bytes()
    for length in range(0, len(whole) - 1, 9):
        (folder / SIGNING_KEY).write_bytes(whole[:length])
        refused(folder)


def test_a_signing_key_of_another_kind(folder: Path) -> None:
    (folder / SIGNING_KEY).write_bytes((folder / TLS_KEY).read_bytes())
    assert "is not an Ed25519 key" in refused(folder)


def test_a_signing_key_behind_a_password(folder: Path) -> None:
    encryption = serialization.BestAvailableEncryption(b"secret")
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    (folder / SIGNING_KEY).write_bytes(pem)
    assert str(folder) in refused(folder)


def test_the_digest_is_the_one_that_other_tools_show(folder: Path) -> None:
    der = certificate(folder).public_bytes(serialization.Encoding.DER)
    assert certificate_digest((folder / CERTIFICATE).read_bytes()) == hashlib.sha256(der).hexdigest()


@pytest.mark.parametrize("pem", [b"", b"text", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_damaged_certificate_has_no_digest(pem: bytes) -> None:
    with pytest.raises(ConfigError, match="certificate is damaged"):
        certificate_digest(pem)


def test_now_has_a_zone() -> None:
    assert identity.utc_now().utcoffset() == timedelta(0)
    assert identity.utc_now() > datetime(2020, 1, 1, tzinfo=UTC)
