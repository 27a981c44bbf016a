"""A node in one file: keys (sealed), settings, partners, and the database without what must not outlive its deletion.

Shares and results are left out, and so are private copies of lists: a backup that held them would keep them beyond the
agreed retention. Sessions that were under way need new contributions after a restore. What opens the storage, the key
file or the passphrase, is left out too: whoever has the backup alone cannot act for the node.

The file is a tar of known names, each with its SHA-256. Nothing else in it is read, and no name of it is followed.
"""

from __future__ import annotations

import hashlib
import io
import os
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from parties import config as configs
from parties import identity, protocols, toml, vault
from parties.audit import Log
from parties.config import ENTRY, Config
from parties.errors import ConfigError, InputError, StorageError
from parties.manifest import NAME
from parties.schema import MIGRATIONS

KEPT = (
    "sessions", "signatures", "statements", "told", "consents", "known_records", "entries", "heads", "unsigned_audit",
    "secrets", "matches", "decisions",
)  # fmt: skip
LEFT_OUT = ("uploads", "chunks", "results")
"""Tables that a backup has, empty: shares and pending results."""
FORMAT = 1
ABOUT, DATABASE = "backup.toml", "matchbit.db"
TEXT_BYTES, DATABASE_BYTES = 1 << 24, 1 << 40
LIMITS = {ABOUT: 1 << 16, "node.toml": TEXT_BYTES, "federation.toml": TEXT_BYTES, "policy.toml": TEXT_BYTES}
LIMITS |= {ENTRY: TEXT_BYTES, vault.STORAGE_KEY: TEXT_BYTES, identity.SEALED: identity.MAX_BYTES}
LIMITS |= {DATABASE: DATABASE_BYTES}
"""Every name that a backup may hold, and the longest that it may be."""
NEEDED = ("node.toml", "federation.toml", vault.STORAGE_KEY, identity.SEALED, DATABASE)
_BLOCK, _PIECE = tarfile.BLOCKSIZE, 1 << 20
_ABOUT = """\
# A backup of a Matchbit node, without shares, results and lists. `matchbit node restore` puts it into an empty folder.
format = {format}
name = "{name}"
made = "{made}"
program = "{program}"
[sha256]
"""


@dataclass(frozen=True)
class About:
    """What a backup says of itself.

    Attributes:
        name: of the node.
        made: when, UTC.
        digests: SHA-256 in hex of each part, by name.
    """

    name: str
    made: datetime
    digests: Mapping[str, str]

    def to_toml(self) -> bytes:
        """As it stands in the file."""
        made = self.made.astimezone(UTC).isoformat(timespec="seconds")
        text = _ABOUT.format(format=FORMAT, name=self.name, made=made, program=protocols.program())
        return (text + "".join(f'"{name}" = "{digest}"\n' for name, digest in self.digests.items())).encode()


# Making a backup


def write(config: Config, out: Path, now: datetime) -> None:
    """Write a node's backup, also while its daemon runs; all of it or nothing.

    The log of the backup ends with the signed entry that it was restored: nobody can go back to it and not say so.

    Args:
        config: of the node.
        out: a file that is not there yet; readable by its owner alone.
        now: the time.

    Raises:
        ConfigError: the node's keys cannot be opened, or its database is of another version.
        InputError: the file is there already.
        OSError: something cannot be read or written.
    """
    log = Log(config.name, config.identity().signing_key, lambda: now)
    parts: dict[str, Path] = {
        "node.toml": config.folder / "node.toml",
        "federation.toml": config.federation_path,
        "policy.toml": config.policy_path,
        **{name: config.folder / name for name in (ENTRY, vault.STORAGE_KEY, identity.SEALED)},
    }
    texts = {name: path.read_bytes() for name, path in parts.items() if name in NEEDED or path.exists()}
    with tempfile.TemporaryDirectory(prefix=".matchbit-", dir=out.absolute().parent) as scratch:
        copy = Path(scratch) / DATABASE
        _copy_database(config.database, copy, log, now)
        digests = {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()}
        with copy.open("rb") as database:
            digests[DATABASE] = hashlib.file_digest(database, "sha256").hexdigest()
        texts = {ABOUT: About(config.name, now, digests).to_toml(), **texts}
        _write_tar(out, texts, copy, now)


def _copy_database(source: Path, target: Path, log: Log, now: datetime) -> None:
    """Copy what is kept, as it is at one moment; what is left out is never written, not even for a moment."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with closing(sqlite3.connect(target, uri=True, timeout=60, isolation_level=None)) as db:
            db.execute("ATTACH ? AS source", (f"{source.resolve().as_uri()}?mode=rw",))
            db.execute("BEGIN")
            version = db.execute("PRAGMA source.user_version").fetchone()[0]
            if version != len(MIGRATIONS):
                raise ConfigError(f"{source} is of another version; start the node once with this Matchbit.")
            query = "SELECT name, sql FROM source.sqlite_schema WHERE type = 'table' ORDER BY rowid"
            for name, sql in db.execute(query).fetchall():
                db.execute(sql)
                if name in KEPT:
                    db.execute(f"INSERT INTO main.{name} SELECT * FROM source.{name}")  # noqa: S608 - a name of ours
            log.restored(db, now.astimezone(UTC).isoformat(timespec="seconds"))
            db.execute(f"PRAGMA main.user_version = {version}")
            db.execute("COMMIT")
    except sqlite3.Error as error:
        raise StorageError(f"{source} cannot be copied ({error}); see `matchbit node doctor`.") from None


def _write_tar(out: Path, texts: Mapping[str, bytes], database: Path, now: datetime) -> None:
    try:
        number = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise InputError(f"{out} is there already; choose another name.") from None
    try:
        with open(number, "wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for name, text in texts.items():
                tar.addfile(_header(name, len(text), now), io.BytesIO(text))
            with database.open("rb") as content:
                tar.addfile(_header(DATABASE, database.stat().st_size, now), content)
            tar.close()
            file.flush()
            os.fsync(number)
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def _header(name: str, size_bytes: int, now: datetime) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size, header.mode, header.mtime = size_bytes, 0o600, int(now.timestamp())
    return header


# Restoring it


def restore(archive: Path, folder: Path) -> tuple[Config, About]:
    """Put a backup into an empty folder: all of it, or nothing.

    `node.toml`, without which a folder is no node, comes last.

    Returns:
        The node's settings, and what the backup says of itself.

    Raises:
        InputError: the folder is not empty, or the file is no backup, damaged, or of a newer version.
        OSError: something cannot be read or written.
    """
    if folder.exists() and any(path.name != "lost+found" for path in folder.iterdir()):
        raise InputError(f"{folder} is not empty; restore into a new folder.")
    is_new = not folder.exists()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        about = _restore(archive, folder)
    except BaseException:
        if is_new:
            folder.rmdir()
        raise
    return configs.load(folder / "node.toml"), about


def _restore(archive: Path, folder: Path) -> About:
    with tempfile.TemporaryDirectory(prefix=".restoring-", dir=folder) as made:
        scratch = Path(made)
        _give_to_owner(scratch, folder)
        about = _unpack(archive, scratch)
        _check_database(scratch / DATABASE)
        if configs.load(scratch / "node.toml").name != about.name:
            raise InputError(f"{archive} cannot be used: its parts are of different nodes.")
        (scratch / ABOUT).unlink()
        for name in sorted((path.name for path in scratch.iterdir()), key=lambda name: name == "node.toml"):
            os.replace(scratch / name, folder / name)
    return about


def _unpack(archive: Path, scratch: Path) -> About:
    """Write the parts of a backup into a folder, each checked."""
    damaged = InputError(f"{archive} is damaged or no backup of a Matchbit node; use another backup.")
    found: dict[str, str] = {}
    with archive.open("rb") as file:
        for name, size_bytes in _parts(file, damaged):
            if name in found:
                raise damaged
            found[name] = _write_part(file, size_bytes, scratch / name, damaged)
    if next(iter(found), "") != ABOUT:
        raise damaged
    about = _about(scratch / ABOUT, damaged)
    del found[ABOUT]
    if found != about.digests or not set(NEEDED) <= set(found):
        raise damaged
    return about


def _parts(file: BinaryIO, damaged: InputError) -> Iterator[tuple[str, int]]:
    """Name and length of each part; the file then stands at its first byte. Nothing is read that we do not write."""
    while (block := file.read(_BLOCK)) != bytes(_BLOCK):
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, ValueError):
            raise damaged from None
        if header.type != tarfile.REGTYPE or not 0 <= header.size <= LIMITS.get(header.name, -1):
            raise damaged
        following = file.tell() + -(-header.size // _BLOCK) * _BLOCK
        yield header.name, header.size
        file.seek(following)


def _write_part(file: BinaryIO, size_bytes: int, path: Path, damaged: InputError) -> str:
    """Copy a part into a file of its own; returns its SHA-256."""
    digest = hashlib.sha256()
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
        while size_bytes:
            piece = file.read(min(size_bytes, _PIECE))
            if not piece:
                raise damaged
            digest.update(piece)
            target.write(piece)
            size_bytes -= len(piece)
        target.flush()
        os.fsync(target.fileno())
    _give_to_owner(path, path.parent)
    return digest.hexdigest()


def _about(path: Path, damaged: InputError) -> About:
    try:
        said = toml.read(path)
        newer = said["format"] > FORMAT
        about = About(said["name"], datetime.fromisoformat(said["made"]), dict(said["sha256"]))
    except (ConfigError, KeyError, TypeError, ValueError):
        raise damaged from None
    if newer:
        raise InputError("The backup was made by a newer Matchbit; restore it with that one.")
    if not isinstance(about.name, str) or not NAME.fullmatch(about.name) or about.made.tzinfo is None:
        raise damaged
    return about


def _check_database(path: Path) -> None:
    """Let a database pass that is whole, and such as a backup holds: tables that we know, and none with shares."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("PRAGMA trusted_schema = OFF")
            whole = db.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok"
            version = db.execute("PRAGMA user_version").fetchone()[0]
            others = db.execute("SELECT name FROM sqlite_schema WHERE type != 'table' AND sql IS NOT NULL").fetchall()
            tables = {row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            as_made = tables == {*KEPT, *LEFT_OUT} or version != len(MIGRATIONS)
            if not whole or others or not as_made or any(_has_rows(db, t) for t in LEFT_OUT):
                raise InputError("The backup's database is damaged or not from a backup; use another backup.")
    except sqlite3.Error:
        raise InputError("The backup's database is damaged; use another backup.") from None
    if version > len(MIGRATIONS):
        raise InputError("The backup was made by a newer Matchbit; restore it with that one.")


def _has_rows(db: sqlite3.Connection, table: str) -> bool:
    return db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None  # noqa: S608 - a name of ours


def _give_to_owner(path: Path, folder: Path) -> None:
    """Where root restores for a service, the files are the service's, as the folder is."""
    if os.name == "posix" and os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
