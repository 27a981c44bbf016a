"""Who is who: every node's name, address, signing key and certificates, exchanged out of band and pinned in a file.

The signing key is what people compare and what sessions pin. It signs the node's certificates, so that they can be
replaced without comparing anything again: an entry with a certificate that its key does not vouch for is refused.
"""

from __future__ import annotations

import hashlib
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature

from parties import toml
from parties.errors import ConfigError, PeerIdentityError, SessionRefused
from parties.identity import Identity, certificate_digest, certificate_pem, certificate_subject
from parties.manifest import NAME, Manifest, verify
from parties.secrecy import write_private
from parties.signatures import PinnedKey

ADDRESS = re.compile(r'[^\s"\\]+:\d{1,5}')
"""HOST:PORT, such as can stand in a TOML string as it is."""
REMEMBERED = 16
"""Sessions whose approvals are not checked again, which a node does at every call, until federation.toml changes."""
_QUOTES = '"""'
_READ: dict[bytes, Federation] = {}
"""What was read last, by the SHA-256 of its text: nodes that one process plays have a thousand entries in common."""


@dataclass(frozen=True)
class Node:
    """One entry of federation.toml.

    Attributes:
        name: small letters, digits and hyphens.
        address: HOST:PORT where it listens; empty for a member without a port.
        coordinator: whether it is the coordinator.
        signing_key: 32 bytes, Ed25519 public key: the node's identity.
        certificate: PEM, pinned.
        next_certificate: PEM, pinned beside it while the node rotates; else empty.
        signature: by the signing key, over name and certificates.
    """

    name: str
    address: str
    coordinator: bool
    signing_key: bytes
    certificate: bytes
    next_certificate: bytes = b""
    signature: bytes = b""

    @cached_property
    def certificates(self) -> tuple[bytes, ...]:
        """PEM: those that the node may show."""
        return (self.certificate, self.next_certificate) if self.next_certificate else (self.certificate,)

    @cached_property
    def certificate_digests(self) -> tuple[str, ...]:
        """Hex SHA-256 of each.

        Raises:
            ConfigError: one is damaged.
        """
        return tuple(map(certificate_digest, self.certificates))

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 over name and signing key: what a manifest says of the node, and what people compare."""
        return hashlib.sha256(b"matchbit node\0" + self.name.encode() + b"\0" + self.signing_key).hexdigest()

    def signed_bytes(self) -> bytes:
        """What the signature is over.

        Raises:
            ConfigError: a certificate is damaged.
        """
        return " ".join(["matchbit entry", self.name, *self.certificate_digests]).encode()

    def verifier(self) -> PinnedKey:
        """The key that checks the node's signatures."""
        return PinnedKey(self.signing_key)

    def entry(self) -> str:
        """The node's table in federation.toml."""
        lines = ["[[node]]", f'name = "{self.name}"']
        lines += [f'address = "{self.address}"'] if self.address else []
        lines += ["coordinator = true"] if self.coordinator else []
        lines += [f'signing_key = "{self.signing_key.hex()}"', f'signature = "{self.signature.hex()}"']
        lines += [f'certificate = """\n{self.certificate.decode()}"""']
        lines += [f'next_certificate = """\n{self.next_certificate.decode()}"""'] if self.next_certificate else []
        return "\n".join([*lines, ""])


@dataclass(frozen=True)
class Federation:
    """All nodes that this node knows, by name."""

    nodes: Mapping[str, Node]

    def __getitem__(self, name: str) -> Node:
        if name not in self.nodes:
            raise ConfigError(f"{name} is not in federation.toml; add its entry.toml or correct the name.")
        return self.nodes[name]

    @cached_property
    def _owners(self) -> dict[str, Node]:
        return {digest: node for node in self.nodes.values() for digest in node.certificate_digests}

    @cached_property
    def _good(self) -> dict[bytes, dict[str, bytes]]:
        """Approvals that were all found good by these keys, of the sessions that were looked at last."""
        return {}

    @property
    def coordinator(self) -> Node:
        """The one coordinator."""
        found = [n for n in self.nodes.values() if n.coordinator]
        if len(found) != 1:
            raise ConfigError(f"federation.toml must name exactly one coordinator; it names {len(found)}.")
        return found[0]

    def by_certificate(self, pem: bytes) -> Node:
        """The node whose pinned certificate this is.

        Raises:
            PeerIdentityError: it is nobody's.
        """
        owner = self._owners.get(certificate_digest(pem))
        if owner is None:
            raise PeerIdentityError("The caller's certificate is not in this node's federation.toml.")
        return owner

    def with_own(self, own: Node) -> Federation:
        """The same with this entry in place of the one of the same name."""
        if self.nodes.get(own.name) == own:
            return self
        return Federation({**self.nodes, own.name: own})

    def check_approved(self, manifest: Manifest, signatures: Mapping[str, bytes], now: datetime) -> None:
        """Check for oneself that a session may go on: same nodes, not expired, signed by every participant.

        Raises:
            PeerIdentityError: it pins other keys than we do.
            SessionRefused: it has expired or a signature is missing.
            ConfigError: a signature is false.
        """
        self.check(manifest, now)
        if manifest.is_past(now):
            raise SessionRefused(f"The session '{manifest.title}' expired on {manifest.expires}.")
        missing = [name for name in manifest.participants if name not in signatures]
        if missing:
            raise SessionRefused(f"Not yet approved by {', '.join(missing)}; each runs `matchbit session approve`.")
        if self._good.get(manifest.session_id) == signatures:
            return
        for name in manifest.participants:
            verify(self[name].verifier(), manifest.session_id, name, signatures[name])
        if len(self._good) >= REMEMBERED:
            self._good.clear()
        self._good[manifest.session_id] = dict(signatures)

    def check(self, manifest: Manifest, now: datetime) -> None:
        """Check that a manifest means the same nodes as this federation, and was not created in the future.

        Raises:
            PeerIdentityError: it pins another key for a name than we do.
            SessionRefused: its time of creation is ahead of our clock.
        """
        if manifest.is_ahead(now):
            raise SessionRefused(f"The session says it was created on {manifest.created}, which is still to come.")
        for name, digest in manifest.nodes.items():
            if self[name].digest != digest:
                raise PeerIdentityError(
                    f"The session pins other keys for {name} than this node's federation.toml; compare with {name}."
                )


def entry_of(identity: Identity, address: str, coordinator: bool) -> Node:
    """The entry of one's own node, signed."""
    key = identity.signing_key
    certificates = identity.certificate, identity.next_certificate
    node = Node(identity.name, address, coordinator, key.public_key().public_bytes_raw(), *certificates)
    return replace(node, signature=key.sign(node.signed_bytes()))


def load(path: Path) -> Federation:
    """Read federation.toml.

    Raises:
        ConfigError: one sentence that names the file and what is wrong with it.
    """
    text = toml.text_of(path, "It holds all nodes' entry.toml, one after the other.")
    digest = hashlib.sha256(text.encode()).digest()
    known = _READ.get(digest)
    if known is None:
        known = _of(toml.parsed(text, path), path)
        _READ.clear()
        _READ[digest] = known
    return known


def replace_entry(path: Path, own: Node) -> bool:
    """Put a node's new entry in place of its old one in federation.toml, and leave all else as it was.

    Returns:
        Whether it was done; not where the file is arranged in a way that a person must look at.

    Raises:
        OSError: the file cannot be read or written.
    """
    text = path.read_bytes().decode("utf-8-sig")
    pieces = re.split(r"(?m)^(?=\[\[node\]\])", text)
    for number, piece in enumerate(pieces):
        if re.search(rf'(?m)^name *= *"{own.name}"', piece):
            pieces[number] = own.entry().rstrip("\n") + (piece.rpartition(_QUOTES)[2] or "\n")
    changed = "".join(pieces)
    try:
        if _of(tomllib.loads(changed), path).nodes != load(path).with_own(own).nodes:
            return False
    except (ConfigError, tomllib.TOMLDecodeError):
        return False
    write_private(path, changed.encode(), stat.S_IMODE(path.stat().st_mode))
    return True


def _of(found: Mapping[str, Any], path: Path) -> Federation:
    tables = found.get("node", [])
    if not isinstance(tables, list):
        raise ConfigError(f"{path} must consist of [[node]] tables; see entry.toml.")
    nodes: dict[str, Node] = {}
    owners: dict[str, str] = {}
    for number, table in enumerate(tables, 1):
        node = _node(table, f"{path}, node {number}")
        if node.name in nodes:
            raise ConfigError(f"{path} has two entries for {node.name}; keep the right one.")
        nodes[node.name] = node
        for subject in map(certificate_subject, node.certificates):  # TLS would take one for the other
            if subject in owners:
                raise ConfigError(f"{path}: certificates of {owners[subject]} and {node.name} cannot be told apart.")
            owners[subject] = node.name
    return Federation(nodes)


def _node(table: Any, where: str) -> Node:
    try:
        name, address, coordinator = table["name"], table.get("address", ""), table.get("coordinator", False)
        signing_key, signature = bytes.fromhex(table["signing_key"]), bytes.fromhex(table["signature"])
        certificate, following = table["certificate"].encode(), table.get("next_certificate", "").encode()
    except (KeyError, TypeError, ValueError, AttributeError):
        wanted = "`name`, `signing_key`, `signature` and `certificate`"
        raise ConfigError(f"{where}: {wanted} must be as in the node's newest entry.toml.") from None
    if not (isinstance(name, str) and NAME.fullmatch(name)) or len(signing_key) != 32:
        raise ConfigError(f"{where}: the name or the signing key is malformed.")
    if not (isinstance(address, str) and ADDRESS.fullmatch(address or "none:0")) or not isinstance(coordinator, bool):
        raise ConfigError(f'{where}: `address` must be like "HOST:PORT" and `coordinator` true or false.')
    try:
        certificates = certificate_pem(certificate), certificate_pem(following) if following else b""
        node = Node(name, address, coordinator, signing_key, *certificates, signature)
        node.verifier().verify(signature, node.signed_bytes())
    except ConfigError as error:
        raise ConfigError(f"{where}, {name}: {error}") from None
    except InvalidSignature:
        raise ConfigError(
            f"{where}: {name}'s signing key does not vouch for this entry; ask its operator for its entry.toml."
        ) from None
    return node
