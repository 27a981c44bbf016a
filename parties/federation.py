"""Who is who: every node's name, address, certificate and signing key, exchanged out of band and pinned in a file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from parties import toml
from parties.errors import ConfigError, PeerIdentityError, SessionRefused
from parties.identity import Identity, certificate_digest
from parties.manifest import NAME, Manifest, verify


@dataclass(frozen=True)
class Node:
    """One entry of federation.toml.

    Attributes:
        name: small letters, digits and hyphens.
        address: HOST:PORT where it listens; empty for a member without a port.
        coordinator: whether it is the coordinator.
        certificate: PEM, pinned.
        signing_key: 32 bytes, Ed25519 public key.
    """

    name: str
    address: str
    coordinator: bool
    certificate: bytes
    signing_key: bytes

    @cached_property
    def certificate_digest(self) -> str:
        """Hex SHA-256 of the pinned certificate."""
        return certificate_digest(self.certificate)

    @property
    def digest(self) -> str:
        """Hex SHA-256 over certificate and signing key: what a manifest says of the node."""
        parts = self.certificate_digest, self.signing_key.hex()
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()

    def verifier(self) -> Ed25519PublicKey:
        """The key that checks the node's signatures."""
        return Ed25519PublicKey.from_public_bytes(self.signing_key)

    def entry(self) -> str:
        """The node's table in federation.toml."""
        lines = ["[[node]]", f'name = "{self.name}"']
        lines += [f'address = "{self.address}"'] if self.address else []
        lines += ["coordinator = true"] if self.coordinator else []
        lines += [f'signing_key = "{self.signing_key.hex()}"']
        return "\n".join([*lines, f'certificate = """\n{self.certificate.decode()}"""', ""])


@dataclass(frozen=True)
class Federation:
    """All nodes that this node knows, by name."""

    nodes: Mapping[str, Node]

    def __getitem__(self, name: str) -> Node:
        if name not in self.nodes:
            raise ConfigError(f"{name} is not in federation.toml; add its entry.toml or correct the name.")
        return self.nodes[name]

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
        digest = certificate_digest(pem)
        for node in self.nodes.values():
            if node.certificate_digest == digest:
                return node
        raise PeerIdentityError("The caller's certificate is not in this node's federation.toml.")

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
        for name in manifest.participants:
            verify(self[name].verifier(), manifest.session_id, name, signatures[name])

    def check(self, manifest: Manifest, now: datetime) -> None:
        """Check that a manifest means the same nodes as this federation, and was not created in the future.

        Raises:
            PeerIdentityError: it pins another certificate or key for a name than we do.
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
    """The entry of one's own node."""
    return Node(
        identity.name, address, coordinator, identity.certificate, identity.signing_key.public_key().public_bytes_raw()
    )


def load(path: Path) -> Federation:
    """Read federation.toml.

    Raises:
        ConfigError: one sentence that names the file and what is wrong with it.
    """
    tables = toml.read(path, "It holds all nodes' entry.toml, one after the other.").get("node", [])
    if not isinstance(tables, list):
        raise ConfigError(f"{path} must consist of [[node]] tables; see entry.toml.")
    nodes: dict[str, Node] = {}
    for number, table in enumerate(tables, 1):
        node = _node(table, f"{path}, node {number}")
        if node.name in nodes:
            raise ConfigError(f"{path} has two entries for {node.name}; keep the right one.")
        nodes[node.name] = node
    certificates = {n.certificate_digest for n in nodes.values()}
    if len(certificates) != len(nodes):
        raise ConfigError(f"{path} gives two nodes the same certificate.")
    return Federation(nodes)


def _node(table: Any, where: str) -> Node:
    try:
        name, address, coordinator = table["name"], table.get("address", ""), table.get("coordinator", False)
        signing_key = bytes.fromhex(table["signing_key"])
        certificate = table["certificate"].strip().encode() + b"\n"
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ConfigError(f"{where}: `name`, `signing_key` and `certificate` must be as in its entry.toml.") from None
    if not (isinstance(name, str) and NAME.fullmatch(name)) or len(signing_key) != 32:
        raise ConfigError(f"{where}: the name or the signing key is malformed.")
    if not isinstance(address, str) or not isinstance(coordinator, bool):
        raise ConfigError(f'{where}: `address` must be like "HOST:PORT" and `coordinator` true or false.')
    return Node(name, address, coordinator, certificate, signing_key)
