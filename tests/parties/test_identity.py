import base64
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
from cryptography.hazmat.primitives.hashes import SHA256

from parties import identity
from parties.errors import ConfigError
from parties.identity import (
    PLAIN_CERTIFICATE,
    PLAIN_SIGNING_KEY,
    PLAIN_TLS_KEY,
    SEALED,
    Identity,
    certificate_digest,
    certificate_pem,
    certificate_subject,
    tls_name,
)  # fmt: skip
from parties.vault import Vault
from tests.parties.samples import NOW, files, write

VAULT = Vault(b"v" * 32)


@pytest.fixture
def made(tmp_path: Path) -> Identity:
    return identity.create("agency-a", tmp_path, VAULT, NOW)


def parts(found: Identity) -> tuple[bytes, ...]:
    secret = found.signing_key.private_bytes_raw()
    return secret, found.tls_key, found.certificate, found.next_tls_key, found.next_certificate


def parsed(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def test_a_created_identity_is_the_one_that_is_loaded(made: Identity, tmp_path: Path) -> None:
    loaded = identity.load("agency-a", tmp_path, VAULT)
    assert (made.name, parts(made)) == (loaded.name, parts(loaded))
    assert set(files(tmp_path)) == {SEALED}


def test_every_node_has_keys_of_its_own(made: Identity, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = identity.create("agency-a", tmp_path / "other", VAULT, NOW)
    assert not set(parts(made)[:3]) & set(parts(other)[:3])


def test_no_key_lies_in_the_clear(made: Identity, tmp_path: Path) -> None:
    sealed = (tmp_path / SEALED).read_bytes()
    assert b"PRIVATE" not in sealed
    assert made.signing_key.private_bytes_raw() not in sealed
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / SEALED).stat().st_mode) == 0o600


def test_keys_are_never_overwritten(made: Identity, tmp_path: Path) -> None:
    before = files(tmp_path)
    with pytest.raises(FileExistsError):
        identity.create("agency-a", tmp_path, VAULT, NOW)
    assert files(tmp_path) == before


def test_secrets_are_not_shown(made: Identity) -> None:
    assert "PRIVATE" not in repr(made) + str(made)


# Certificates


def test_the_certificate_speaks_for_its_node_and_nobody_else(made: Identity) -> None:
    names = parsed(made.certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName("agency-a.matchbit.invalid")]
    assert tls_name("agency-a") == "agency-a.matchbit.invalid"


def test_the_certificate_signs_itself_and_cannot_sign_others(made: Identity) -> None:
    found = parsed(made.certificate)
    found.verify_directly_issued_by(found)
    constraints = found.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert not constraints.value.ca


def is_for(pem: bytes, key_pem: bytes) -> bool:
    key, public = serialization.load_pem_private_key(key_pem, None), parsed(pem).public_key()
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert public.curve.name == "secp256r1"
    return key.public_key().public_numbers() == public.public_numbers()


def test_the_certificate_is_for_the_key_beside_it(made: Identity) -> None:
    assert is_for(made.certificate, made.tls_key)


def test_the_certificate_is_valid_now_despite_slow_clocks_and_for_years(made: Identity) -> None:
    assert parsed(made.certificate).not_valid_before_utc <= NOW - timedelta(hours=12)
    assert identity.valid_until(made.certificate) >= NOW + timedelta(days=3600)


def test_no_two_certificates_have_the_same_subject(made: Identity) -> None:
    subjects = {certificate_subject(made.rotating(NOW).next_certificate) for _ in range(20)}
    assert len(subjects | {certificate_subject(made.certificate)}) == 21


def test_the_digest_is_the_one_that_other_tools_show(made: Identity) -> None:
    der = parsed(made.certificate).public_bytes(serialization.Encoding.DER)
    assert certificate_digest(made.certificate) == hashlib.sha256(der).hexdigest()


@pytest.mark.parametrize("pem", [b"", b"text", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_damaged_certificate(pem: bytes) -> None:
    for use in (certificate_digest, certificate_subject, certificate_pem, identity.valid_until):
        with pytest.raises(ConfigError, match="certificate is damaged"):
            use(pem)


def test_what_is_read_of_a_certificate_when_it_is_looked_at(made: Identity) -> None:
    """A version that does not exist, and a subject that is no text."""
    der = parsed(made.certificate).public_bytes(serialization.Encoding.DER)
    subject = certificate_subject(made.certificate)[3:].encode()
    for old, new in ((b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07"), (subject, b"\xff" * 16)):
        assert old in der
        text = base64.encodebytes(der.replace(old, new)).decode()
        test_a_damaged_certificate(f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n".encode())


def test_nothing_but_one_certificate_of_ours_can_be_pinned(made: Identity) -> None:
    pem, other = made.certificate, made.rotating(NOW).next_certificate
    for text in (pem, pem.replace(b"\n", b"\r\n"), b"agency-a's:\n" + pem, pem + made.tls_key, pem.rstrip()):
        assert certificate_pem(text) == pem
    for text in (pem + other, other + b"\n" + pem, pem + pem):
        with pytest.raises(ConfigError, match="it must be one"):
            certificate_pem(text)


def test_a_certificate_of_another_form_is_not_pinned(made: Identity) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    for subject in ("CN=agency-a", "CN=0123456789abcdef,O=x", "CN=0123456789ABCDEF", "O=0123456789abcdef"):
        name = x509.Name.from_rfc4514_string(subject)
        builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + timedelta(1))
        pem = builder.sign(key, SHA256()).public_bytes(serialization.Encoding.PEM)
        with pytest.raises(ConfigError, match="another version of Matchbit or another program"):
            certificate_pem(pem)


# Rotation


def test_a_next_key_stands_beside_the_present_one_and_then_takes_its_place(made: Identity, tmp_path: Path) -> None:
    begun = made.rotating(NOW)
    assert parts(begun)[:3] == parts(made)[:3]
    assert is_for(begun.next_certificate, begun.next_tls_key)
    assert not is_for(begun.next_certificate, begun.tls_key)
    assert begun.rotating(NOW) is begun
    begun.save(tmp_path, VAULT)
    loaded = identity.load("agency-a", tmp_path, VAULT)
    assert parts(loaded) == parts(begun)
    finished = loaded.rotated()
    assert parts(finished) == (parts(made)[0], begun.next_tls_key, begun.next_certificate, b"", b"")
    finished.save(tmp_path, VAULT)
    assert parts(identity.load("agency-a", tmp_path, VAULT)) == parts(finished)


# What is wrong with a folder


def refused(folder: Path, name: str = "agency-a", storage: Vault = VAULT) -> str:
    with pytest.raises(ConfigError) as error:
        identity.load(name, folder, storage)
    assert error.value.__cause__ is None
    return str(error.value)


def test_a_folder_without_keys(tmp_path: Path) -> None:
    assert re.fullmatch(rf"Cannot read .*{SEALED}: .*\. `matchbit node init` makes it\.", refused(tmp_path))


def test_keys_that_others_can_use_are_refused(made: Identity, tmp_path: Path) -> None:
    if os.name == "posix":
        (tmp_path / SEALED).chmod(0o640)
        assert "can be read by other users" in refused(tmp_path)


def test_keys_of_another_node_name_or_storage_key(made: Identity, tmp_path: Path) -> None:
    for text in (refused(tmp_path, "agency-b"), refused(tmp_path, storage=Vault(bytes(32)))):
        assert text == (
            f"{tmp_path / SEALED} cannot be opened with this node's storage key and name; restore the folder from a "
            "backup, all of it."
        )


def test_a_file_that_was_cut_or_grew(made: Identity, tmp_path: Path) -> None:
    whole = (tmp_path / SEALED).read_bytes()
    for length in range(0, len(whole), 97):
        write(tmp_path / SEALED, whole[:length])
        assert "cannot be opened" in refused(tmp_path)
    write(tmp_path / SEALED, whole + bytes(1 << 16))
    assert "too long" in refused(tmp_path)


@pytest.mark.parametrize(
    "text", [b"", b"\xff", b"signing_key = 7", b"signing_key = 'x'", b"signing_key = '{}'\nx = ''"]
)
def test_what_another_version_sealed(tmp_path: Path, text: bytes) -> None:
    text = text.replace(b"'{}'", b"'''" + identity._pem(Ed25519PrivateKey.generate()) + b"'''")
    write(tmp_path / SEALED, VAULT.seal(text, b"identity of agency-a")).chmod(0o600)
    assert "another version of Matchbit" in refused(tmp_path)


# Folders of earlier versions


@pytest.fixture
def former(tmp_path: Path) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    write(tmp_path / PLAIN_SIGNING_KEY, identity._pem(key)).chmod(0o600)
    write(tmp_path / PLAIN_TLS_KEY, identity._pem(ec.generate_private_key(ec.SECP256R1()))).chmod(0o600)
    write(tmp_path / PLAIN_CERTIFICATE, b"certificate")
    return key


def test_a_folder_of_an_earlier_version_says_what_to_do(former: Ed25519PrivateKey, tmp_path: Path) -> None:
    assert identity.is_plain(tmp_path)
    assert refused(tmp_path).endswith("with keys in the clear: `matchbit node protect` seals them.")


def test_its_signing_key_is_sealed_and_nothing_stays_in_the_clear(former: Ed25519PrivateKey, tmp_path: Path) -> None:
    identity.seal_plain("agency-a", tmp_path, VAULT, NOW)
    loaded = identity.load("agency-a", tmp_path, VAULT)
    assert loaded.signing_key.private_bytes_raw() == former.private_bytes_raw()
    assert is_for(loaded.certificate, loaded.tls_key)
    assert set(files(tmp_path)) == {SEALED}
    assert not identity.is_plain(tmp_path)


def test_sealing_goes_on_where_it_was_interrupted(former: Ed25519PrivateKey, tmp_path: Path) -> None:
    left = {name: (tmp_path / name).read_bytes() for name in (PLAIN_SIGNING_KEY, PLAIN_CERTIFICATE)}
    identity.seal_plain("agency-a", tmp_path, VAULT, NOW)
    sealed = files(tmp_path)
    for name, content in left.items():
        write(tmp_path / name, content).chmod(0o600)
    identity.seal_plain("agency-a", tmp_path, VAULT, NOW)
    assert files(tmp_path) == sealed


@pytest.mark.parametrize(
    "content", [b"", b"\0\xff" * 40, b"-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n"]
)
def test_a_damaged_key_is_left_as_it_is(former: Ed25519PrivateKey, tmp_path: Path, content: bytes) -> None:
    tls_key = (tmp_path / PLAIN_TLS_KEY).read_bytes()
    for bad in (content, tls_key):
        before = files(tmp_path) | {PLAIN_SIGNING_KEY: bad}
        write(tmp_path / PLAIN_SIGNING_KEY, bad)
        with pytest.raises(ConfigError, match=f"{PLAIN_SIGNING_KEY} is damaged"):
            identity.seal_plain("agency-a", tmp_path, VAULT, NOW)
        assert files(tmp_path) == before


def test_a_key_behind_a_password(former: Ed25519PrivateKey, tmp_path: Path) -> None:
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    write(tmp_path / PLAIN_SIGNING_KEY, former.private_bytes(*form, serialization.BestAvailableEncryption(b"secret")))
    with pytest.raises(ConfigError, match="is damaged"):
        identity.seal_plain("agency-a", tmp_path, VAULT, NOW)


def test_now_has_a_zone() -> None:
    assert identity.utc_now().utcoffset() == timedelta(0)
    assert identity.utc_now() > datetime(2020, 1, 1, tzinfo=UTC)
