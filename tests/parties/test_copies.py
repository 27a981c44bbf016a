"""A member's private copies of lists: each is read back for the commitment that was made on it, and no other."""

import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from parties.columns import MapFile
from parties.config import Config
from parties.copies import Copies
from parties.errors import InputError, StorageError
from parties.fields import NewRows, open_list
from parties.keys import Keys, make_keys
from parties.vault import Vault
from tests.parties.deciding import VAULT
from tests.parties.samples import RULES, files, write

SESSION, OTHER_SESSION = b"\x01" * 32, b"\x02" * 32
FIRST, SECOND = b"\x0a" * 32, b"\x0b" * 32
MAP = MapFile(columns={"phone": (("a", ""), ("b", ""))}, constants={"id_type": "tax"}, date_order="dmy", heading_row=3)
LIST = "id_number,name\nA-1,Анна\n"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    folder = tmp_path / "node"
    folder.mkdir()
    return Config(folder, "agency-a", "", folder / "federation.toml", folder / "policy.toml")


@pytest.fixture
def kept(config: Config) -> Copies:
    return Copies(config, SESSION)


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    return write(tmp_path / "list.csv", LIST)


def content(kept: Copies, commitment: bytes) -> str | None:
    found = kept.find(commitment)
    return found.path.read_text("utf-8") if found else None


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(p.stat().st_mode) for p in folder.rglob("*") if p.is_file()}


# What keys are dealt with


def test_a_sessions_secret_is_made_once(kept: Copies, config: Config) -> None:
    secret = kept.secret(VAULT)
    assert len(secret) == 32
    assert kept.secret(VAULT) == Copies(config, SESSION).secret(VAULT) == secret
    assert Copies(config, OTHER_SESSION).secret(VAULT) != secret


def test_a_secret_is_sealed_for_its_session(kept: Copies, config: Config) -> None:
    secret, other = kept.secret(VAULT), Copies(config, OTHER_SESSION)
    other.secret(VAULT)
    assert not any(secret in data or secret.hex().encode() in data for data in files(config.folder).values())
    with pytest.raises(StorageError):
        kept.secret(Vault(bytes(32)))
    mine, theirs = (config.folder / "lists" / s.hex() / "dealing.sealed" for s in (SESSION, OTHER_SESSION))
    shutil.copy(mine, theirs)
    with pytest.raises(StorageError):
        other.secret(VAULT)


def test_a_secret_that_was_cut_off_is_made_again(kept: Copies, config: Config) -> None:
    folder = config.folder / "lists" / SESSION.hex()
    folder.mkdir(parents=True)
    write(folder / "dealing.part", b"half")
    assert kept.secret(VAULT) == kept.secret(VAULT)


def test_a_secret_is_deleted_when_nothing_is_uploaded_any_more(kept: Copies, listed: Path) -> None:
    secret = kept.secret(VAULT)
    kept.keep(FIRST, listed, MapFile(), NewRows())
    for _ in range(2):
        kept.drop_secret()
    assert content(kept, FIRST) == LIST
    assert kept.secret(VAULT) != secret


# Lists


@pytest.mark.parametrize("map_file", [MapFile(), MAP])
@pytest.mark.parametrize("new", [NewRows(), NewRows(since="2026-01-31"), NewRows(column="neu")])
def test_a_list_is_kept_with_how_it_is_read(
    kept: Copies, config: Config, listed: Path, map_file: MapFile, new: NewRows
) -> None:
    kept.keep(FIRST, listed, map_file, new)
    found = Copies(config, SESSION).find(FIRST)
    assert found is not None
    assert (found.original, found.map_file, found.new) == (listed.resolve(), map_file, new)
    assert found.path.read_bytes() == listed.read_bytes()


def test_a_copy_is_opened_as_the_list_was(kept: Copies, listed: Path) -> None:
    kept.keep(FIRST, listed, MapFile(), NewRows())
    write(listed, "something,else\n1,2\n")
    found = kept.find(FIRST)
    assert found is not None
    assert found.open().source.headings == ("id_number", "name")


@pytest.mark.skipif(os.name != "posix", reason="file modes are a matter of POSIX systems")
def test_only_the_owner_can_read_it(kept: Copies, config: Config, listed: Path) -> None:
    mask = os.umask(0)
    try:
        kept.secret(VAULT)
        kept.keep(FIRST, listed, MapFile(), NewRows())
    finally:
        os.umask(mask)
    assert modes(config.folder) == {0o600}
    session = config.folder / "lists" / SESSION.hex()
    assert {stat.S_IMODE(p.stat().st_mode) for p in (session, session / FIRST.hex())} == {0o700}


def test_there_is_nothing_that_was_not_kept(kept: Copies, config: Config, listed: Path) -> None:
    assert kept.find(FIRST) is None
    kept.keep(FIRST, listed, MapFile(), NewRows())
    assert kept.find(SECOND) is None
    assert Copies(config, OTHER_SESSION).find(FIRST) is None


def test_each_commitment_is_read_with_its_own_list(kept: Copies, listed: Path) -> None:
    """A member may be cut off after it kept a second list and before that was reported: the first one counts then."""
    kept.keep(FIRST, listed, MapFile(), NewRows())
    write(listed, "id_number,name\nB-2,Ольга\n")
    kept.keep(SECOND, listed, MAP, NewRows(column="neu"))
    assert content(kept, FIRST) == LIST
    assert content(kept, SECOND) == "id_number,name\nB-2,Ольга\n"
    first, second = kept.find(FIRST), kept.find(SECOND)
    assert first is not None
    assert second is not None
    assert (first.map_file, first.new) == (MapFile(), NewRows())
    assert (second.map_file, second.new) == (MAP, NewRows(column="neu"))


def test_a_copy_that_was_cut_off_is_none(
    kept: Copies, listed: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_source: Any, target: Any) -> None:
        target.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("parties.copies.shutil.copyfileobj", stop)
        with pytest.raises(KeyboardInterrupt):
            kept.keep(FIRST, listed, MapFile(), NewRows())
    assert kept.find(FIRST) is None
    kept.keep(FIRST, listed, MapFile(), NewRows())
    assert content(kept, FIRST) == LIST


def test_a_list_that_is_changed_while_it_is_copied(kept: Copies, listed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = shutil.copyfileobj

    def copy_and_change(source: Any, target: Any) -> None:
        copy(source, target)
        write(listed, LIST + "C-3,Інна\n")

    monkeypatch.setattr("parties.copies.shutil.copyfileobj", copy_and_change)
    with pytest.raises(InputError, match=r"was changed while it was read; save it, close it, and contribute again\.$"):
        kept.keep(FIRST, listed, MapFile(), NewRows())
    assert kept.find(FIRST) is None


def test_a_second_copy_that_is_cut_off_leaves_the_first(
    kept: Copies, listed: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same list contributed again, as after a lost connection: its result may be there already."""

    def stop(_source: Any, target: Any) -> None:
        target.write(b"half")
        raise KeyboardInterrupt

    kept.keep(FIRST, listed, MAP, NewRows())
    monkeypatch.setattr("parties.copies.shutil.copyfileobj", stop)
    with pytest.raises(KeyboardInterrupt):
        kept.keep(FIRST, listed, MAP, NewRows())
    assert content(kept, FIRST) == LIST


# Deletion


def test_lists_that_are_not_computed_on_are_deleted(kept: Copies, config: Config, listed: Path) -> None:
    secret = kept.secret(VAULT)
    for commitment in (FIRST, SECOND):
        kept.keep(commitment, listed, MapFile(), NewRows())
    elsewhere = Copies(config, OTHER_SESSION)
    elsewhere.keep(FIRST, listed, MapFile(), NewRows())
    kept.drop_others(SECOND)
    assert (content(kept, FIRST), content(kept, SECOND)) == (None, LIST)
    assert content(elsewhere, FIRST) == LIST
    assert kept.secret(VAULT) == secret
    assert [p.name for p in (config.folder / "lists" / SESSION.hex()).iterdir() if p.is_dir()] == [SECOND.hex()]


def test_everything_of_a_session_is_deleted(kept: Copies, config: Config, listed: Path) -> None:
    elsewhere = Copies(config, OTHER_SESSION)
    elsewhere.keep(FIRST, listed, MapFile(), NewRows())
    before = files(config.folder)
    assert not kept.drop()
    kept.secret(VAULT)
    kept.keep(FIRST, listed, MapFile(), NewRows())
    assert kept.drop()
    assert files(config.folder) == before
    assert not kept.drop()


# Keys


def keys_of(listed: Path) -> Keys:
    return make_keys(open_list(listed), SESSION, RULES, "UA", record_key=b"k" * 32)[0]


def test_what_a_result_needs_of_keys_is_sealed_for_its_commitment(kept: Copies, config: Config, listed: Path) -> None:
    keys = keys_of(listed)
    assert kept.keys(FIRST, RULES, VAULT) is None
    kept.keep_keys(FIRST, keys, VAULT)
    found = kept.keys(FIRST, RULES, VAULT)
    assert found is not None
    assert (found.rules, found.values) == (RULES, keys.values)
    assert found.numbers.tolist() == keys.numbers.tolist()
    assert kept.find(FIRST) is None, "a list that was not copied counts for nothing"
    folder = config.folder / "lists" / SESSION.hex()
    assert b"numbers" not in (folder / FIRST.hex() / "keys.sealed").read_bytes()
    shutil.copytree(folder / FIRST.hex(), folder / SECOND.hex())
    with pytest.raises(StorageError):
        kept.keys(SECOND, RULES, VAULT)
    with pytest.raises(StorageError):
        kept.keys(FIRST, RULES, Vault(bytes(32)))
    kept.drop_others(SECOND)
    assert kept.keys(FIRST, RULES, VAULT) is None


def test_of_a_very_long_list_no_keys_are_kept(kept: Copies, listed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parties.copies.MOST_SEALED_BYTES", 1000)
    kept.keep_keys(FIRST, keys_of(listed), VAULT)
    assert kept.keys(FIRST, RULES, VAULT) is None
