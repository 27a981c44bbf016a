"""A node in one file and back: what it holds, what it must not hold, and files that are no backups."""

from __future__ import annotations

import io
import os
import sqlite3
import stat
import tarfile
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties import audit, backup, identity, vault
from parties import config as configs
from parties.audit import Event
from parties.config import KEY_FILE, Config
from parties.errors import ConfigError, InputError, ServiceError, StorageError
from parties.identity import utc_now
from parties.lifecycle import State
from parties.schema import MIGRATIONS
from parties.store import Store
from parties.verdict import check
from tests.parties.samples import examples, files, manifest, write

SHARE = b"a share that must not outlive its deletion " * 100
TERMS = manifest()


@pytest.fixture
def node(tmp_path: Path) -> Config:
    """A node with a session, shares and results of it, a policy, and a key file."""
    made = configs.create("neutral", tmp_path / "neutral", "127.0.0.1:1", coordinator=True)
    store = made.store()
    store.add_session(TERMS, State.APPROVED, {"agency-a": b"s" * 64})
    with store.transaction() as db:
        upload = (b"u" * 16, TERMS.session_id, "agency-a", b"c" * 32, SHARE.decode(), SHARE)
        db.execute("INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?, 1)", upload)
        db.execute("INSERT INTO results VALUES (?, 'agency-a', ?)", (TERMS.session_id, b"r" * 16))
        db.executemany("INSERT INTO chunks VALUES (?, ?, ?)", [(b"u" * 16, k, SHARE) for k in range(50)])
    write(made.policy_path, "max_records = 1000\n")
    return made


@pytest.fixture
def archive(node: Config, tmp_path: Path) -> Path:
    """The node's backup."""
    backup.write(node, tmp_path / "backup.tar", utc_now())
    return tmp_path / "backup.tar"


def tables(path: Path) -> dict[str, list[Any]]:
    """Every table of a database, read past our own code."""
    with closing(sqlite3.connect(path)) as db:
        names = [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {name: db.execute(f"SELECT * FROM {name}").fetchall() for name in names}  # noqa: S608


def parts(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def packed(path: Path, content: dict[str, bytes], change: Callable[[tarfile.TarInfo], object] = lambda _: None) -> Path:
    """A tar of these parts, each header changed."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, body in content.items():
            header = tarfile.TarInfo(name)
            header.size = len(body)
            change(header)
            tar.addfile(header, io.BytesIO(body) if header.isreg() else None)
    return path


def repacked(archive: Path, content: dict[str, bytes]) -> Path:
    """The same with parts changed, and digests that fit them."""
    content = {name: body for name, body in (parts(archive) | content).items() if name != backup.ABOUT}
    digests = {name: backup.hashlib.sha256(body).hexdigest() for name, body in content.items()}
    about = backup.About("neutral", utc_now(), digests).to_toml()
    return packed(archive.with_suffix(".changed"), {backup.ABOUT: about, **content})


# What it holds


def test_a_node_comes_back_as_it_was(node: Config, archive: Path, tmp_path: Path) -> None:
    restored, about = backup.restore(archive, tmp_path / "again")
    assert about.name == "neutral"
    assert restored.folder == tmp_path / "again"
    for name in ("node.toml", "federation.toml", "policy.toml", configs.ENTRY, vault.STORAGE_KEY, identity.SEALED):
        assert (restored.folder / name).read_bytes() == (node.folder / name).read_bytes()
    (node.folder / KEY_FILE).rename(restored.folder / KEY_FILE)
    assert restored.identity().certificate == node.identity().certificate
    again = restored.store()
    assert again.session(TERMS.session_id) == node.store().session(TERMS.session_id)
    again.add_session(manifest(title="another"), State.PROPOSED)  # it can be written


def test_everything_of_it_is_its_owners_alone(archive: Path, tmp_path: Path) -> None:
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    restored, _ = backup.restore(archive, tmp_path / "again")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [restored.folder, *restored.folder.iterdir()]}
    assert all(mode & 0o077 == 0 for mode in modes.values()), modes


def test_no_shares_no_results_no_key(node: Config, archive: Path, tmp_path: Path) -> None:
    content = archive.read_bytes()
    assert SHARE[:40] not in content
    assert (node.folder / KEY_FILE).read_bytes() not in content
    restored, _ = backup.restore(archive, tmp_path / "again")
    held = tables(restored.database)
    assert all(held[name] == [] for name in backup.LEFT_OUT)
    original = tables(node.database)
    for name in set(backup.KEPT) - {"entries"}:
        assert held[name] == original[name]


def test_every_table_is_either_kept_or_left_out(node: Config) -> None:
    """Whoever adds a table decides."""
    assert set(tables(node.database)) == {*backup.KEPT, *backup.LEFT_OUT}


def test_the_log_says_that_the_node_was_restored(node: Config, archive: Path, tmp_path: Path) -> None:
    restored, about = backup.restore(archive, tmp_path / "again")
    (node.folder / KEY_FILE).rename(restored.folder / KEY_FILE)
    store = restored.store()
    for session in (audit.NODE, TERMS.session_id):
        entries = store.entries(session)
        assert entries[-1].event == Event.RESTORED.code
        assert entries[-1].facts == {"made": about.made.isoformat()}
        check(entries, "neutral", session, restored.identity().signing_key.public_key())
        assert Event.RESTORED.code not in {entry.event for entry in node.store().entries(session)}


def test_a_backup_is_of_one_moment_while_the_node_writes(node: Config, tmp_path: Path) -> None:
    """Every session comes with its log, however the writer and the copy interleave."""
    ended = threading.Event()

    def work() -> None:
        store, number = node.store(), 0
        while not ended.is_set():
            number += 1
            store.add_session(manifest(title=f"session {number}"), State.PROPOSED, {"agency-a": b"s" * 64})

    writer = threading.Thread(target=work)
    writer.start()
    try:
        for k in range(10):
            backup.write(node, tmp_path / f"{k}.tar", utc_now())
    finally:
        ended.set()
        writer.join()
    for k in range(10):
        restored, _ = backup.restore(tmp_path / f"{k}.tar", tmp_path / f"again-{k}")
        held = tables(restored.database)
        ids = {row[0] for row in held["sessions"]}
        assert {row[0] for row in held["signatures"]} == ids
        assert {row[0] for row in held["entries"]} == ids | {audit.NODE}


def test_order_survives(node: Config, tmp_path: Path) -> None:
    store = node.store()
    for title in ("first", "second", "third"):
        store.add_session(manifest(title=title), State.PROPOSED)
    backup.write(node, tmp_path / "b.tar", utc_now())
    restored, _ = backup.restore(tmp_path / "b.tar", tmp_path / "again")
    (node.folder / KEY_FILE).rename(restored.folder / KEY_FILE)
    assert restored.store().session_ids() == store.session_ids()


def test_a_backup_of_a_backup(node: Config, archive: Path, tmp_path: Path) -> None:
    restored, _ = backup.restore(archive, tmp_path / "again")
    (node.folder / KEY_FILE).rename(restored.folder / KEY_FILE)
    backup.write(restored, tmp_path / "second.tar", utc_now())
    backup.restore(tmp_path / "second.tar", tmp_path / "third")


def test_a_node_without_a_policy(node: Config, tmp_path: Path) -> None:
    node.policy_path.unlink()
    backup.write(node, tmp_path / "b.tar", utc_now())
    restored, _ = backup.restore(tmp_path / "b.tar", tmp_path / "again")
    assert not restored.policy_path.exists()


# Where it cannot be made


def test_nothing_is_written_over(node: Config, archive: Path) -> None:
    before = archive.read_bytes()
    with pytest.raises(InputError, match="is there already; choose another name"):
        backup.write(node, archive, utc_now())
    assert archive.read_bytes() == before


def test_a_backup_that_fails_leaves_nothing(node: Config, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with closing(sqlite3.connect(node.database)) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(ConfigError, match="is of another version"):
        backup.write(node, tmp_path / "out" / "b.tar", utc_now())
    for path in node.folder.glob("matchbit.db-*"):
        path.unlink()
    node.database.write_bytes(b"no database" * 1000)
    with pytest.raises(StorageError, match="cannot be copied"):
        backup.write(node, tmp_path / "out" / "b.tar", utc_now())
    with pytest.raises(ConfigError):
        backup.write(replace(node, key_file="elsewhere.key"), tmp_path / "out" / "b.tar", utc_now())
    with pytest.raises(FileNotFoundError):
        backup.write(node, tmp_path / "no-such-folder" / "b.tar", utc_now())
    assert list((tmp_path / "out").iterdir()) == []


# Where it cannot be restored


def refused(archive: Path, folder: Path, match: str = "damaged or no backup") -> None:
    """It is refused in one sentence, and nothing is left."""
    was_there = folder.exists()
    before = files(folder)
    with pytest.raises(ServiceError, match=match):
        backup.restore(archive, folder)
    assert folder.exists() == was_there
    assert files(folder) == before


def test_a_folder_that_is_not_empty(archive: Path, tmp_path: Path) -> None:
    write(tmp_path / "here", "a file")
    refused(archive, tmp_path, "is not empty; restore into a new folder")


def test_an_empty_folder_of_a_disk_of_its_own(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "disk" / "lost+found").mkdir(parents=True)
    restored, _ = backup.restore(archive, tmp_path / "disk")
    assert restored.name == "neutral"


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "storage.key", "matchbit.db-wal", "lists/a.csv", "node.toml/x", "", "./node.toml"]
)
def test_names_that_no_backup_has(archive: Path, tmp_path: Path, name: str) -> None:
    hostile = packed(tmp_path / "hostile.tar", parts(archive) | {name: b"x"})
    refused(hostile, tmp_path / "again")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.CONTTYPE,
             tarfile.GNUTYPE_SPARSE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME]
)  # fmt: skip
def test_kinds_of_entries_that_no_backup_has(archive: Path, tmp_path: Path, kind: bytes) -> None:
    def change(header: tarfile.TarInfo) -> None:
        if header.name == "policy.toml":
            header.type, header.linkname = kind, "/etc/passwd"

    refused(packed(tmp_path / "hostile.tar", parts(archive), change), tmp_path / "again")


def test_parts_that_are_longer_than_they_can_be(archive: Path, tmp_path: Path) -> None:
    refused(repacked(archive, {identity.SEALED: bytes(identity.MAX_BYTES + 1)}), tmp_path / "again")
    refused(repacked(archive, {"node.toml": bytes(backup.TEXT_BYTES + 1)}), tmp_path / "again")


@pytest.mark.parametrize(
    "said", [b"a = " + b"[" * 5000, b"a." * 20_000 + b"a = 1", b"\xff"], ids=["deep", "dots", "no text"]
)
def test_what_a_backup_says_of_itself_cannot_be_read(archive: Path, tmp_path: Path, said: bytes) -> None:
    refused(packed(tmp_path / "hostile.tar", parts(archive) | {backup.ABOUT: said}), tmp_path / "again")


def test_a_length_that_is_a_lie(archive: Path, tmp_path: Path) -> None:
    content = bytearray(archive.read_bytes())
    start = content.index(b"matchbit.db\0")
    header = tarfile.TarInfo.frombuf(bytes(content[start : start + 512]), "utf-8", "strict")
    header.size = 1 << 39
    content[start : start + 512] = header.tobuf(tarfile.GNU_FORMAT)
    refused(write(tmp_path / "hostile.tar", bytes(content)), tmp_path / "again")


@pytest.mark.parametrize("name", [*backup.NEEDED, backup.ABOUT])
def test_parts_that_are_missing(archive: Path, tmp_path: Path, name: str) -> None:
    content = {n: body for n, body in parts(archive).items() if n != name}
    refused(packed(tmp_path / "cut.tar", content), tmp_path / "again")


def test_parts_that_are_there_twice_or_in_another_order(archive: Path, tmp_path: Path) -> None:
    content = parts(archive)
    about = content.pop(backup.ABOUT)
    refused(packed(tmp_path / "order.tar", {**content, backup.ABOUT: about}), tmp_path / "again")
    with tarfile.open(archive, "a", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("entry.toml"))
    refused(archive, tmp_path / "again")


@pytest.mark.parametrize(
    "about",
    [
        b"", b"no toml", b"\xff", b'format = "1"', b"format = 1\n",
        b'format = 1\nname = "neutral"\nmade = "yesterday"\n[sha256]\n',
        b'format = 1\nname = "neutral"\nmade = "2026-11-25T10:00:00"\n[sha256]\n',
        b'format = 1\nname = "Not A Name"\nmade = "2026-11-25T10:00:00+00:00"\n[sha256]\n',
        b'format = 1\nname = "neutral"\nmade = "2026-11-25T10:00:00+00:00"\nsha256 = 5\n',
    ],
)  # fmt: skip
def test_what_it_says_of_itself_cannot_be_read(archive: Path, tmp_path: Path, about: bytes) -> None:
    refused(packed(tmp_path / "hostile.tar", parts(archive) | {backup.ABOUT: about}), tmp_path / "again")


def test_a_newer_format(archive: Path, tmp_path: Path) -> None:
    newer = parts(archive)[backup.ABOUT].replace(b"format = 1", b"format = 2")
    refused(packed(tmp_path / "n.tar", parts(archive) | {backup.ABOUT: newer}), tmp_path / "again", "newer Matchbit")


def changed_database(archive: Path, statement: str) -> Path:
    path = write(archive.with_suffix(".db"), parts(archive)[backup.DATABASE])
    with closing(sqlite3.connect(path)) as db:
        db.execute(statement)
        db.commit()
    return repacked(archive, {backup.DATABASE: path.read_bytes()})


@pytest.mark.parametrize(
    ("statement", "match"),
    [
        (f"PRAGMA user_version = {len(MIGRATIONS) + 1}", "newer Matchbit"),
        ("CREATE TABLE others (a)", "database is damaged or not from a backup"),
        ("DROP TABLE told", "database is damaged or not from a backup"),
        ("INSERT INTO chunks VALUES (x'00', 0, x'00')", "database is damaged or not from a backup"),
        ("CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM entries; END", "damaged or not from a backup"),
        ("CREATE VIEW v AS SELECT 1", "database is damaged or not from a backup"),
    ],
)
def test_databases_that_no_backup_has(archive: Path, tmp_path: Path, statement: str, match: str) -> None:
    refused(changed_database(archive, statement), tmp_path / "again", match)


@pytest.mark.parametrize("database", [b"no database" * 1000, b"SQLite format 3\0" + b"\xff" * 4080])
def test_what_is_no_database(archive: Path, tmp_path: Path, database: bytes) -> None:
    refused(repacked(archive, {backup.DATABASE: database}), tmp_path / "again", "database is damaged")


def test_parts_of_different_nodes(node: Config, archive: Path, tmp_path: Path) -> None:
    other = (node.folder / "node.toml").read_bytes().replace(b'"neutral"', b'"agency-a"')
    refused(repacked(archive, {"node.toml": other}), tmp_path / "again", "parts are of different nodes")


@pytest.mark.parametrize("content", [b"", bytes(1024), b"x" * 5000, os.urandom(512)])
def test_what_is_no_backup_at_all(tmp_path: Path, content: bytes) -> None:
    refused(write(tmp_path / "b.tar", content), tmp_path / "again")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small backup's bytes."""
    folder = tmp_path_factory.mktemp("whole")
    made = configs.create("neutral", folder / "neutral", "127.0.0.1:1", coordinator=True)
    assert isinstance(made.store(), Store)
    backup.write(made, folder / "b.tar", utc_now())
    return (folder / "b.tar").read_bytes()


@examples(60)
@given(st.floats(0, 1, exclude_max=True))
def test_a_backup_that_is_cut_is_refused(whole: bytes, tmp_path: Path, at: float) -> None:
    end = len(whole.rstrip(b"\0"))
    refused(write(tmp_path / "cut.tar", whole[: int(at * end)]), tmp_path / "again")


@examples(150)
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_a_changed_byte_is_noticed_or_changes_nothing(whole: bytes, tmp_path: Path, at: float, by: int) -> None:
    """Some bytes of a tar mean nothing: its padding, a part's time."""
    changed = bytearray(whole)
    changed[int(at * len(whole))] ^= by
    folder = tmp_path / "again"
    try:
        restored, _ = backup.restore(write(tmp_path / "b.tar", bytes(changed)), folder)
    except ServiceError:
        assert not folder.exists()
        return
    same = parts(write(tmp_path / "whole.tar", whole))
    assert files(folder) == {name: body for name, body in same.items() if name != backup.ABOUT}
    for path in restored.folder.iterdir():
        path.unlink()
    folder.rmdir()
