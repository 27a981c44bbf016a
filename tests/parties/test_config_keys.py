import io
import shutil
import sys
from pathlib import Path

import pytest

from parties import config, federation
from parties.config import Config
from parties.errors import ConfigError
from parties.vault import Passphrase
from tests.parties.samples import JARGON, NOW, federate, files, write
from tests.parties.test_config import change


@pytest.fixture
def node(tmp_path: Path) -> Config:
    return config.create("agency-a", tmp_path / "a", "127.0.0.1:7700", False)


# What opens the storage


def unopened(node: Config) -> str:
    with pytest.raises(ConfigError) as error:
        config.load(node.folder / "node.toml").vault()
    assert not any(word in str(error.value) for word in JARGON)
    return str(error.value)


def test_a_vault_is_opened_once(node: Config) -> None:
    storage = node.vault()
    (node.folder / "storage.key").unlink()
    assert node.vault() is storage
    sealed = storage.seal(b"shares", b"context")
    assert f"Cannot read {node.folder / 'storage.key'}" in unopened(node)
    assert storage.open(sealed, b"context") == b"shares"


def test_a_key_file_elsewhere(node: Config, tmp_path: Path) -> None:
    sealed = node.vault().seal(b"shares", b"context")
    moved = shutil.move(node.folder / "storage.key", tmp_path / "key")
    loaded = config.load(change(node, key_file=f'"{moved}"'))
    assert loaded.key_path == Path(moved)
    assert loaded.vault().open(sealed, b"context") == b"shares"


def test_a_key_file_among_a_services_credentials(node: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.move(node.folder / "storage.key", tmp_path / "matchbit-key")
    path = change(node, key_file='"${CREDENTIALS_DIRECTORY}/matchbit-key"')
    assert "To run this by hand, set CREDENTIALS_DIRECTORY to the folder that matchbit-key is in" in unopened(node)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert config.load(path).key_path == tmp_path / "matchbit-key"
    assert config.load(path).identity().name == "agency-a"


@pytest.fixture
def remembered(tmp_path: Path) -> Config:
    return config.create("agency-a", tmp_path / "a", "", False, Passphrase("correct horse battery staple"))


def test_a_passphrase_in_a_file(remembered: Config) -> None:
    assert "storage.key" not in files(remembered.folder)
    write(remembered.folder / "words", "correct horse battery staple\n").chmod(0o600)
    path = change(remembered, passphrase_file='"words"')  # noqa: S106 - a file's name
    assert config.load(path).identity().name == "agency-a"
    write(remembered.folder / "words", "correct horse battery stable\n")
    assert "The passphrase is not the one that" in unopened(remembered)


def test_a_passphrase_and_nobody_to_ask(remembered: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert "there is no terminal for it" in unopened(remembered)


@pytest.mark.parametrize("before", ['key_file = "storage.key"\n', "key_file='x' # old\n", ""])
def test_where_the_key_file_is_can_be_changed(node: Config, tmp_path: Path, before: str) -> None:
    path = write(node.folder / "node.toml", f'# Ours\nname = "agency-a"\n{before}lanes = 3')
    strange = tmp_path / 'a "strange" \\ place' / "ключ"
    for key_file, text in ((strange, str(strange)), (node.folder / "new.key", "new.key")):
        config.set_key_file(path, key_file)
        loaded = config.load(path)
        assert (loaded.key_file, loaded.key_path, loaded.lanes) == (text, key_file, 3)
    assert path.read_text("utf-8").startswith("# Ours\n")


# One's own keys and those that the federation pins


def refused_federation(node: Config) -> str:
    with pytest.raises(ConfigError) as error:
        node.federation()
    return str(error.value)


def test_own_keys_must_be_those_pinned(tmp_path: Path) -> None:
    nodes = federate(tmp_path, ["agency-a", "agency-b"])
    other = config.create("agency-a", tmp_path / "again", "", False)
    write(other.federation_path, nodes["agency-a"].federation_path.read_bytes())
    text = refused_federation(other)
    assert "pins another key for agency-a" in text
    assert str(other.folder) in text


def test_keys_of_another_folder_do_not_open(tmp_path: Path) -> None:
    nodes = federate(tmp_path, ["agency-a", "agency-b"])
    shutil.copy(nodes["agency-b"].folder / "identity.sealed", nodes["agency-a"].folder / "identity.sealed")
    assert "cannot be opened with this node's storage key and name" in refused_federation(nodes["agency-a"])


def test_a_federation_without_oneself(tmp_path: Path) -> None:
    nodes = federate(tmp_path, ["agency-a"])
    shutil.copy(nodes["hub"].folder / "entry.toml", nodes["agency-a"].federation_path)
    assert "agency-a is not in federation.toml" in refused_federation(nodes["agency-a"])


def test_an_address_that_others_see_may_differ_from_where_one_listens(node: Config) -> None:
    text = node.federation_path.read_text("utf-8")
    write(node.federation_path, text.replace("127.0.0.1:7700", "matchbit.example.org:443"))
    assert node.federation()["agency-a"].address == "matchbit.example.org:443"
    assert federation.load(node.federation_path)["agency-a"].digest == node.federation()["agency-a"].digest


def test_ones_own_entry_is_as_ones_keys_are_at_present(tmp_path: Path) -> None:
    """A file that still holds the entry of before a rotation is right for everything but that."""
    nodes = federate(tmp_path, ["agency-a"])
    own = nodes["agency-a"]
    before, begun = own.federation(), own.identity().rotating(NOW)
    begun.save(own.folder, own.vault())
    assert own.identity().next_certificate == begun.next_certificate
    during = own.federation()
    assert during["agency-a"].certificates == (begun.certificate, begun.next_certificate)
    begun.rotated().save(own.folder, own.vault())
    after = own.federation()
    assert after["agency-a"].certificates == (begun.next_certificate,)
    assert during["hub"] == before["hub"] == after["hub"]
    assert after.by_certificate(begun.next_certificate).name == "agency-a"


def test_a_federation_is_read_again_only_when_a_file_has_changed(tmp_path: Path) -> None:
    nodes = federate(tmp_path, ["agency-a"])
    own = nodes["agency-a"]
    known, keys = own.federation(), own.identity()
    assert own.federation() is known
    assert own.identity() is keys
    member = config.create("agency-b", tmp_path / "agency-b", "", False)
    with own.federation_path.open("a", encoding="utf-8") as file:
        file.write((member.folder / "entry.toml").read_text("utf-8"))
    assert set(own.federation().nodes) == {"agency-a", "agency-b", "hub"}
    assert own.identity() is keys


def test_a_file_that_is_broken_under_a_running_node_changes_nothing(
    node: Config, caplog: pytest.LogCaptureFixture
) -> None:
    known = node.federation()
    write(node.federation_path, "[[node")
    assert node.federation() is node.federation() is known
    assert len(caplog.records) == 1
    assert str(node.federation_path) in caplog.text
    assert "is not valid TOML" in refused_federation(config.load(node.folder / "node.toml"))
