"""A member's private copies of lists that it contributed, and what became of their keys: results are read with them.

Each copy belongs to the commitment that was made on it. So whatever is cut off when a list is contributed once or more,
a result is only ever read with the list that it is on.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from parties import fields, keptkeys
from parties.columns import MapFile
from parties.config import Config
from parties.contribution import SECRET_BYTES
from parties.errors import InputError
from parties.fields import NewRows, ReadableList
from parties.keys import Keys
from parties.rules import Rule
from parties.secrecy import write_private
from parties.vault import Vault

DEALING, KEYS = "dealing.sealed", "keys.sealed"
MOST_SEALED_BYTES = 1 << 30
"""So much is sealed as one piece; it is in memory three times meanwhile."""


@dataclass(frozen=True)
class Copy:
    """A copy of a list, and how it is read.

    Attributes:
        path: of the copy.
        original: of the list that it was made of.
        map_file: what its owner said about it.
        new: which rows are new, and reported.
    """

    path: Path
    original: Path
    map_file: MapFile
    new: NewRows

    def open(self) -> ReadableList:
        """The list."""
        return fields.open_list(self.path, self.map_file)


class Copies:
    """The copies of one session.

    Args:
        config: of the node.
        session_id: 32 bytes.
    """

    def __init__(self, config: Config, session_id: bytes) -> None:
        self._folder = config.folder / "lists" / session_id.hex()
        self._session_id = session_id

    def secret(self, vault: Vault) -> bytes:
        """32 bytes that the session's keys are dealt with, made once; see `contribution.deal`."""
        path, context = self._folder / DEALING, b"dealing" + self._session_id
        if path.exists():
            return vault.open(path.read_bytes(), context)
        secret = os.urandom(SECRET_BYTES)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, vault.seal(secret, context))
        return secret

    def drop_secret(self) -> None:
        """Nothing is uploaded any more."""
        (self._folder / DEALING).unlink(missing_ok=True)

    def keep_keys(self, commitment: bytes, keys: Keys, vault: Vault) -> None:
        """Keep what a result needs of a list's keys, before `keep`; of a very long list nothing.

        Args:
            commitment: 32 bytes: its digest.
            keys: of the list.
            vault: that it is sealed with.
        """
        kept = keptkeys.to_bytes(keys)
        if len(kept) <= MOST_SEALED_BYTES:
            folder = self._folder / commitment.hex()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(folder / KEYS, vault.seal(kept, b"keys" + self._session_id + commitment))

    def keys(self, commitment: bytes, rules: Sequence[Rule], vault: Vault) -> Keys | None:
        """What was kept of a list's keys, if it was.

        Args:
            commitment: 32 bytes: its digest.
            rules: of the session.
            vault: that it was sealed with.
        """
        path = self._folder / commitment.hex() / KEYS
        if not path.exists():
            return None
        return keptkeys.from_bytes(vault.open(path.read_bytes(), b"keys" + self._session_id + commitment), rules)

    def keep(self, commitment: bytes, original: Path, map_file: MapFile, new: NewRows) -> None:
        """Copy the list that a commitment is on.

        Args:
            commitment: 32 bytes: its digest.
            original: the list.
            map_file: what its owner says about it.
            new: which rows are new, and reported.

        Raises:
            InputError: the list is being changed.
        """
        folder = self._folder / commitment.hex()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        before = original.stat()
        with private(folder / "list.part") as target, original.open("rb") as source:
            shutil.copyfileobj(source, target)
        after = original.stat()
        if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
            raise InputError(f"{original} was changed while it was read; save it, close it, and contribute again.")
        (folder / "list.part").replace(folder / "list")
        reading = {"path": str(original.resolve()), "map": map_file.to_json()}
        reading["new"] = {"since": new.since, "column": new.column}
        write_private(folder / "reading.json", json.dumps(reading).encode())

    def find(self, commitment: bytes) -> Copy | None:
        """The copy that a commitment is on, if it is here."""
        folder = self._folder / commitment.hex()
        if not (folder / "reading.json").exists():
            return None
        kept: Mapping[str, Any] = json.loads((folder / "reading.json").read_bytes())
        return Copy(folder / "list", Path(kept["path"]), MapFile.from_json(kept["map"]), NewRows(**kept["new"]))

    def drop_others(self, commitment: bytes) -> None:
        """Delete the copies that other commitments are on."""
        for folder in self._folder.iterdir():
            if folder.is_dir() and folder.name != commitment.hex():
                shutil.rmtree(folder)

    def drop(self) -> bool:
        """Delete all; returns whether there was anything."""
        there = self._folder.exists()
        shutil.rmtree(self._folder, ignore_errors=not there)
        return there


def private(path: Path) -> BinaryIO:
    """A file to write that its owner alone can read."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
