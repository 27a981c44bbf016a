"""A node's configuration: node.toml as a frozen dataclass."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mpc.engine import LANES
from parties import federation, identity, toml
from parties.errors import ConfigError
from parties.federation import Federation
from parties.identity import Identity
from parties.manifest import NAME

ADDRESS = re.compile(r'[^\s"\\]+:\d{1,5}')
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
"""


@dataclass(frozen=True)
class Config:
    """A node's settings.

    Attributes:
        folder: where its keys, database and private copies of lists are.
        name: its name in the federation.
        listen: HOST:PORT, or empty.
        federation_path: path of federation.toml.
        lanes: chunks of rows in flight.
        step_timeout_s: longest silence of a peer in a computation.
        start_timeout_s: longest wait for a peer to begin.
    """

    folder: Path
    name: str
    listen: str
    federation_path: Path
    lanes: int = LANES
    step_timeout_s: float = 120.0
    start_timeout_s: float = 600.0

    @property
    def database(self) -> Path:
        """The node's SQLite file."""
        return self.folder / "matchbit.db"

    def identity(self) -> Identity:
        """The node's keys."""
        return identity.load(self.name, self.folder)

    def federation(self) -> Federation:
        """Who is who, with this node's own entry checked against its keys.

        Raises:
            ConfigError: this node is missing, or pinned with other keys.
        """
        known = federation.load(self.federation_path)
        own, pinned = self.identity(), known[self.name]
        if federation.entry_of(own, pinned.address, pinned.coordinator).digest != pinned.digest:
            raise ConfigError(f"{self.federation_path} pins other keys for {self.name} than those in {self.folder}.")
        return known


def load(path: Path) -> Config:
    """Read node.toml.

    Raises:
        ConfigError: one sentence that names the file and what is wrong with it.
    """
    settings = toml.read(path, "`matchbit node init` makes it.")
    folder = path.resolve().parent
    known = {"name": str, "listen": str, "federation": str, "lanes": int, "step_timeout_s": (int, float)}
    known |= {"start_timeout_s": (int, float)}
    for key, value in settings.items():
        if key not in known or not isinstance(value, known[key]) or isinstance(value, bool):  # type: ignore[arg-type]
            raise ConfigError(f"{path}: `{key}` is unknown or of the wrong kind.")
    if not NAME.fullmatch(settings.get("name", "")):
        raise ConfigError(f"{path}: `name` must be small letters, digits and hyphens.")
    federation_path = folder / settings.pop("federation", "federation.toml")
    config = Config(folder, settings.pop("name"), settings.pop("listen", ""), federation_path, **settings)
    if not (1 <= config.lanes <= 64 and 0 < config.step_timeout_s <= DAY_S and 0 < config.start_timeout_s <= DAY_S):
        raise ConfigError(f"{path}: `lanes` must be 1 to 64, and time-outs above 0 and at most a day.")
    return config


def create(name: str, folder: Path, address: str, coordinator: bool) -> Config:
    """Make a node's folder: keys, certificate, node.toml, entry.toml, and a federation.toml with its own entry.

    Raises:
        ConfigError: the name or the address is malformed, or the folder holds a node already or cannot be used.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(f"`{name}` cannot be a node's name: use small letters, digits and hyphens.")
    if address and not ADDRESS.fullmatch(address):
        raise ConfigError("The --address must be HOST:PORT, for example matchbit.example.org:7700.")
    if any((folder / file).exists() for file in ("node.toml", identity.TLS_KEY, identity.SIGNING_KEY)):
        raise ConfigError(f"{folder} holds a node already; choose another folder.")
    if coordinator and not address:
        raise ConfigError("A coordinator must be reachable: give its --address HOST:PORT.")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        entry = federation.entry_of(identity.create(name, folder, identity.utc_now()), address, coordinator).entry()
        (folder / "entry.toml").write_text(entry, "utf-8")
        (folder / "federation.toml").write_text(entry, "utf-8")
        text = NODE_TOML.format(name=name, listen=address, lanes=LANES)
        (folder / "node.toml").write_text(text, "utf-8")
    except OSError as error:
        raise ConfigError(f"Cannot make a node in {folder}: {error.strerror}.") from None
    return load(folder / "node.toml")
