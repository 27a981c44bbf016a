"""What `matchbit node` does about a node's identity: make it, show it, protect it, rotate its certificate."""

from __future__ import annotations

import argparse
from pathlib import Path

from cryptography.hazmat.primitives.constant_time import bytes_eq

from parties import audit, config, federation, identity, secrecy, toml, vault
from parties.config import ENTRY, KEY_FILE, Config
from parties.errors import ConfigError, InputError, PeerIdentityError
from parties.federation import Node
from parties.identity import certificate_digest, utc_now, valid_until
from parties.progress import say
from parties.vault import Passphrase, Protection, Vault

MIN_PASSPHRASE = 12


def node_init(a: argparse.Namespace) -> None:
    """Make a node."""
    passphrase = _new_passphrase() if a.passphrase else None
    made = config.create(a.name, a.dir, a.address or "", a.coordinator, passphrase)
    own = federation.load(made.folder / ENTRY)[made.name]
    say(f"Node {made.name} is in {made.folder}. Keep that folder private and back it up.")
    if passphrase:
        say("Its storage opens with the passphrase alone: nobody can replace it, so keep it safe.")
    else:
        say(f"Its storage opens with {KEY_FILE}: best moved to another disk or a service's credentials; see node.toml.")
    say(f"Fingerprint: {_groups(own.digest)}")
    say(f"Next: send {made.folder / ENTRY} to the other nodes' operators, put all entries together into")
    say(f"{made.federation_path}, and compare fingerprints by telephone (`matchbit node show NAME`).")


def node_show(a: argparse.Namespace) -> None:
    """Show what this node's federation.toml pins for a node."""
    own = config.load(a.config)
    node = own.federation()[a.name or own.name]
    say(f"{node.name}, {node.address or 'connects out only'}{', coordinator' if node.coordinator else ''}")
    say(f"Fingerprint: {_groups(node.digest)}")
    say(f"Certificate: valid until {valid_until(node.certificate):%Y-%m-%d}")
    if node.next_certificate:
        say(f"Next certificate: valid until {valid_until(node.next_certificate):%Y-%m-%d}; it is being rotated")


def node_protect(a: argparse.Namespace) -> None:
    """Change what opens the node's storage, and seal what an earlier version kept in the clear."""
    own = config.load(a.config)
    plain, known = identity.is_plain(own.folder), own.storage_key_path.exists()
    if not known and (own.folder / identity.SEALED).exists():
        raise ConfigError(
            f"{own.storage_key_path} is missing, and nothing else opens the keys: restore it from a backup."
        )
    storage = own.vault() if known else vault.new()
    if a.passphrase or a.key_file or not known:
        storage.save(own.storage_key_path, _chosen(a, own))
        if a.key_file:
            config.set_key_file(a.config.resolve(), a.key_file.resolve())
        say(f"{own.name}'s storage opens with {'the passphrase' if a.passphrase else a.key_file or own.key_path}.")
        say("What opened it before, if anything did, still opens backups that were made until now.")
    elif not plain:
        raise InputError(
            f"{own.name} is protected; say with --passphrase or --key-file FILE what shall open it instead."
        )
    if plain:
        _seal(own, storage)


def _seal(own: Config, storage: Vault) -> None:
    """Seal the keys of an earlier version's folder; its entry says where the node is."""
    try:
        (former,) = toml.read(own.folder / ENTRY)["node"]
        address, coordinator = former.get("address", ""), former.get("coordinator", False)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ConfigError(f"{own.folder / ENTRY} must hold this node's entry; restore it from a backup.") from None
    identity.seal_plain(own.name, own.folder, storage, utc_now())
    say("The keys that lay in the clear are removed. Copies of them, in backups and on an SSD, may remain.")
    keys = identity.load(own.name, own.folder, storage)
    _publish(own, federation.entry_of(keys, address, coordinator))


def node_rotate(a: argparse.Namespace) -> None:
    """Bring in a next TLS key and certificate, or let them take the old ones' place."""
    own = config.load(a.config)
    keys, pinned = own.identity(), own.federation()[own.name]
    if a.finish and not keys.next_certificate:
        raise InputError("No certificate is being rotated; begin with `matchbit node rotate`.")
    keys = keys.rotated() if a.finish else keys.rotating(utc_now())
    entry = federation.entry_of(keys, pinned.address, pinned.coordinator)
    # Keys are saved first when it begins and last when it ends: the same command completes what was interrupted.
    if a.finish:
        _publish(own, entry)
        keys.save(own.folder, own.vault())
        own.store().log(audit.NODE, audit.Event.ROTATED, certificate=certificate_digest(keys.certificate))
        say(f"{own.name} shows its new certificate from now on. Others accept the old one until they have this entry.")
    else:
        keys.save(own.folder, own.vault())
        _publish(own, entry)
        say("The fingerprint is as before. When all of them have the entry: `matchbit node rotate --finish`.")


def node_update(a: argparse.Namespace) -> None:
    """Take over the new entry of a node that is known already by the same signing key."""
    own = config.load(a.config)
    known = own.federation()
    for name, entry in federation.load(a.entry).nodes.items():
        if known[name].digest != entry.digest:
            raise PeerIdentityError(
                f"{a.entry} is of another {name} than {own.federation_path} pins: the fingerprints differ. Telephone "
                "its operator before anything is changed."
            )
        if not federation.replace_entry(own.federation_path, entry):
            raise ConfigError(
                f"{own.federation_path} is best changed by hand: put {a.entry} in place of {name}'s entry."
            )
        say(f"{name}'s entry is the new one, at {entry.address or 'no address'}. Nothing need be restarted.")


def _publish(own: Config, entry: Node) -> None:
    """Write this node's new entry, and say what to do with it."""
    secrecy.write_private(own.folder / ENTRY, entry.entry().encode(), 0o644)
    say(f"Next: send {own.folder / ENTRY} to the other nodes' operators, who take it over with")
    say("`matchbit node update entry.toml`. Nothing need be restarted.")
    try:
        replaced = federation.replace_entry(own.federation_path, entry)
    except OSError:  # it may be another's to write
        replaced = False
    if not replaced:
        say(f"Put it in place of {own.name}'s entry in {own.federation_path} too.")


def _chosen(a: argparse.Namespace, own: Config) -> Protection:
    """What shall open the node's storage; a key file is made where there is none."""
    if a.passphrase:
        return _new_passphrase()
    path: Path = a.key_file or own.key_path
    return vault.read_key_file(path) if path.exists() else vault.new_key_file(path)


def _new_passphrase() -> Passphrase:
    """Ask for a new passphrase, twice.

    Raises:
        InputError: too short, or not the same twice.
    """
    first = vault.ask_passphrase(f"New passphrase, at least {MIN_PASSPHRASE} characters, best several words: ")
    if len(first.text) < MIN_PASSPHRASE:
        raise InputError(f"The passphrase is shorter than {MIN_PASSPHRASE} characters; nothing was changed.")
    if not bytes_eq(vault.ask_passphrase("The same again: ").text.encode(), first.text.encode()):
        raise InputError("The two passphrases differ; nothing was changed.")
    return first


def _groups(digits: str) -> str:
    return " ".join(digits[k : k + 4] for k in range(0, len(digits), 4))
