"""A node's configuration: node.toml as a frozen dataclass."""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mpc.lanes import LANES, MOST_LANES
from parties import federation, identity, secrecy, toml, vault
from parties.audit import Log
from parties.errors import ConfigError
from parties.federation import ADDRESS, Federation
from parties.identity import Identity, utc_now
from parties.latest import Latest
from parties.manifest import NAME
from parties.store import Store
from parties.vault import KeyFile, Passphrase, Protection, Vault

DAY_S = 86_400.0
NODE_TOML = """\
# Matchbit node. Everything here can be edited; restart the node afterwards.
name = "{name}"
# Where the node listens, HOST:PORT. Leave empty for a member that only connects out.
listen = "{listen}"
# Who is who: one [[node]] table for each node, this one included (see entry.toml).
federation = "federation.toml"
# How many chunks of rows are computed at the same time.
lanes = {lanes}
# How long to wait for a silent peer within a computation, and for it to begin, in seconds.
step_timeout_s = 120
start_timeout_s = 600
# How long an attempt may take in all once every node has begun, in seconds, besides 5 ms for each row.
attempt_timeout_s = 600
# How long a node that is being stopped lets computations and uploads go on before it ends them, in seconds.
drain_timeout_s = 60
# The key that opens this node's storage: a file, best kept on another disk or handed to the service by systemd, as
# "${{CREDENTIALS_DIRECTORY}}/matchbit-key". It does not count where a passphrase opens the storage.
key_file = "storage.key"
# A file of one line with the passphrase; when empty, it is asked for on the terminal.
passphrase_file = ""
# Which sessions this node takes part in; without the file, a person decides on each.
policy = "policy.toml"
# Where figures for Prometheus are served, HOST:PORT on an address that only its collector reaches; empty for nowhere.
metrics = ""
# How log lines are written: "text", or "json" for programs.
log = "text"
"""
KEY_FILE = "storage.key"
ENTRY = "entry.toml"
LOGS = ("text", "json")
_NODE_FILES = (
    "node.toml", KEY_FILE, vault.STORAGE_KEY, identity.SEALED, identity.PLAIN_TLS_KEY, identity.PLAIN_SIGNING_KEY,
)  # fmt: skip


_KINDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("name", "listen", "federation", "policy", "metrics", "log", "key_file", "passphrase_file"), str),
    **dict.fromkeys(("step_timeout_s", "start_timeout_s", "attempt_timeout_s", "drain_timeout_s"), (int, float)),
    "lanes": int,
}


@dataclass(frozen=True)
class Config:
    """A node's settings.

    Attributes:
        folder: where its keys, database and private copies of lists are.
        name: its name in the federation.
        listen: HOST:PORT, or empty.
        federation_path: path of federation.toml.
        policy_path: path of policy.toml, which need not be there.
        lanes: chunks of rows in flight.
        step_timeout_s: longest silence of a peer in a computation.
        start_timeout_s: longest wait for a peer to begin.
        attempt_timeout_s: longest time that an attempt takes, besides what its rows take.
        drain_timeout_s: how long running work may go on when the node is being stopped.
        metrics: HOST:PORT where figures are served, or empty.
        log: text or json.
        key_file: where the key file is, as node.toml says it.
        passphrase_file: where the passphrase is, likewise, or empty.
    """

    folder: Path
    name: str
    listen: str
    federation_path: Path
    policy_path: Path
    lanes: int = LANES
    step_timeout_s: float = 120.0
    start_timeout_s: float = 600.0
    attempt_timeout_s: float = 600.0
    drain_timeout_s: float = 60.0
    metrics: str = ""
    log: str = "text"
    key_file: str = KEY_FILE
    passphrase_file: str = ""

    @property
    def database(self) -> Path:
        """The node's SQLite file."""
        return self.folder / "matchbit.db"

    @property
    def storage_key_path(self) -> Path:
        """The wrapped storage key."""
        return self.folder / vault.STORAGE_KEY

    @property
    def key_path(self) -> Path:
        """The key file.

        Raises:
            ConfigError: it is a credential of the service, and this process is not the service.
        """
        return self._secret(self.key_file)

    def vault(self) -> Vault:
        """What seals this node's secrets and opens them; opened once.

        Raises:
            ConfigError: its key file or passphrase is missing, not to be had here, or wrong.
        """
        return self._vault

    def store(self) -> Store:
        """The node's database, with its audit log signed by the node."""
        return Store(self.database, Log(self.name, self.identity().signing_key, utc_now))

    def identity(self) -> Identity:
        """The node's keys; read again when they were rotated.

        Raises:
            ConfigError: they are missing or cannot be opened.
        """
        return self._identity.get()

    def federation(self) -> Federation:
        """Who is who, with the node's own entry as its keys are at present; read again when a file has changed.

        Cheap as long as nothing has, so that it can be asked for at every call.

        Raises:
            ConfigError: the file is wrong, or this node is missing, or pinned with another key.
        """
        return self._federation.get()

    @cached_property
    def _vault(self) -> Vault:
        return vault.load(self.storage_key_path, self._protection)

    @cached_property
    def _identity(self) -> Latest[Identity]:
        return Latest(lambda: identity.load(self.name, self.folder, self.vault()), self.folder / identity.SEALED)

    @cached_property
    def _federation(self) -> Latest[Federation]:
        return Latest(self._read_federation, self.federation_path, self.folder / identity.SEALED)

    def _read_federation(self) -> Federation:
        known = federation.load(self.federation_path)
        pinned = known[self.name]
        own = federation.entry_of(self.identity(), pinned.address, pinned.coordinator)
        if own.digest != pinned.digest:
            raise ConfigError(f"{self.federation_path} pins another key for {self.name} than that in {self.folder}.")
        return known.with_own(own)

    def _protection(self, kind: str) -> Protection:
        if kind == KeyFile.kind:
            return vault.read_key_file(self.key_path)
        if self.passphrase_file:
            return vault.read_passphrase(self._secret(self.passphrase_file))
        return vault.ask_passphrase(f"Passphrase of {self.name}: ")

    def _secret(self, text: str) -> Path:
        """The path of a secret that node.toml names."""
        variable, credential = f"${{{secrecy.CREDENTIALS}}}/", text.partition("/")[2]
        if not text.startswith(variable):
            return self.folder / text
        if secrecy.CREDENTIALS not in os.environ:
            raise ConfigError(
                f"{text} is handed to the service alone, by systemd. To run this by hand, set {secrecy.CREDENTIALS} to "
                f"the folder that {credential} is in."
            )
        return Path(os.environ[secrecy.CREDENTIALS]) / credential


def load(path: Path) -> Config:
    """Read node.toml.

    Raises:
        ConfigError: one sentence that names the file and what is wrong with it.
    """
    settings = toml.read(path, "`matchbit node init` makes it.")
    folder = path.resolve().parent
    for key, value in settings.items():
        if key not in _KINDS or not isinstance(value, _KINDS[key]) or isinstance(value, bool):
            raise ConfigError(f"{path}: `{key}` is unknown or of the wrong kind.")
    if not NAME.fullmatch(settings.get("name", "")):
        raise ConfigError(f"{path}: `name` must be small letters, digits and hyphens.")
    if not all(str(value).isprintable() for value in settings.values()):  # no path can have a NUL in it
        raise ConfigError(f"{path}: a text has characters that cannot be printed.")
    federation_path = folder / settings.pop("federation", "federation.toml")
    policy_path = folder / settings.pop("policy", "policy.toml")
    config = Config(folder, settings.pop("name"), settings.pop("listen", ""), federation_path, policy_path, **settings)
    timeouts_s = config.step_timeout_s, config.start_timeout_s, config.attempt_timeout_s, config.drain_timeout_s
    if not (1 <= config.lanes <= MOST_LANES and all(0 < s <= DAY_S for s in timeouts_s)):
        raise ConfigError(f"{path}: `lanes` must be 1 to {MOST_LANES}, and time-outs above 0 and at most a day.")
    if config.metrics and not ADDRESS.fullmatch(config.metrics):
        raise ConfigError(f"{path}: `metrics` must be HOST:PORT, for example 127.0.0.1:9177, or empty.")
    if config.log not in LOGS:
        raise ConfigError(f"{path}: `log` must be {' or '.join(LOGS)}.")
    return config


def set_key_file(path: Path, key_file: Path) -> None:
    """Write into node.toml where the key file is, and leave all else as it was.

    Raises:
        OSError: it cannot be read or written.
    """
    shown = key_file.relative_to(path.parent) if key_file.is_relative_to(path.parent) else key_file
    line = f"key_file = {json.dumps(str(shown), ensure_ascii=False)}"  # such a JSON string is a TOML string
    text, found = re.subn(r"(?m)^key_file *=[^\r\n]*", lambda _: line, path.read_text("utf-8"), count=1)
    secrecy.write_private(
        path, (text if found else f"{text.rstrip()}\n{line}\n").encode(), stat.S_IMODE(path.stat().st_mode)
    )


def create(name: str, folder: Path, address: str, coordinator: bool, passphrase: Passphrase | None = None) -> Config:
    """Make a node's folder: keys, node.toml, entry.toml, and a federation.toml with its own entry.

    Its storage is under the passphrase, or else under a key file that is made in the folder.

    Raises:
        ConfigError: the name or the address is malformed, or the folder holds a node already or cannot be used.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(f"`{name}` cannot be a node's name: use small letters, digits and hyphens.")
    if address and not ADDRESS.fullmatch(address):
        raise ConfigError("The --address must be HOST:PORT, for example matchbit.example.org:7700.")
    if coordinator and not address:
        raise ConfigError("A coordinator must be reachable: give its --address HOST:PORT.")
    if any((folder / file).exists() for file in _NODE_FILES):
        raise ConfigError(f"{folder} holds a node already; choose another folder.")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        storage = vault.new()
        storage.save(folder / vault.STORAGE_KEY, passphrase or vault.new_key_file(folder / KEY_FILE))
        made = identity.create(name, folder, storage, identity.utc_now())
        entry = federation.entry_of(made, address, coordinator).entry()
        (folder / ENTRY).write_text(entry, "utf-8")
        (folder / "federation.toml").write_text(entry, "utf-8")
        text = NODE_TOML.format(name=name, listen=address, lanes=LANES)
        (folder / "node.toml").write_text(text, "utf-8")
    except OSError as error:
        raise ConfigError(f"Cannot make a node in {folder}: {error.strerror}.") from None
    return load(folder / "node.toml")
