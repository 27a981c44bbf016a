import os
import shutil
import stat
import tomllib
from pathlib import Path

import pytest

from parties import config
from parties.config import Config
from parties.errors import ConfigError
from tests.parties.samples import JARGON, files, write

POSIX = pytest.mark.skipif(os.name != "posix", reason="file modes are a matter of POSIX systems")


@pytest.fixture
def node(tmp_path: Path) -> Config:
    return config.create("agency-a", tmp_path / "a", "127.0.0.1:7700", False)


def refused(path: Path) -> str:
    with pytest.raises(ConfigError) as error:
        config.load(path)
    text = str(error.value)
    assert str(path) in text
    assert not any(word in text for word in JARGON)
    return text


def change(node: Config, /, **entries: str) -> Path:
    """node.toml with entries, as TOML text, in place of those of the same key."""
    path = node.folder / "node.toml"
    kept = [line for line in path.read_text("utf-8").splitlines() if line.split(" =")[0] not in entries]
    return write(path, "\n".join([*kept, *(f"{key} = {value}" for key, value in entries.items() if value)]) + "\n")


# Making a node


def test_a_new_nodes_folder(node: Config) -> None:
    assert set(files(node.folder)) == {
        "node.toml", "federation.toml", "entry.toml", "identity.sealed", "storage-key.toml", "storage.key",
    }  # fmt: skip
    assert (node.name, node.listen) == ("agency-a", "127.0.0.1:7700")
    assert (node.lanes, node.step_timeout_s, node.start_timeout_s, node.attempt_timeout_s) == (
        config.LANES,
        120,
        600,
        600,
    )
    assert node == config.load(node.folder / "node.toml")
    assert node.database == node.folder / "matchbit.db"
    assert node.federation_path == node.folder / "federation.toml"
    assert node.policy_path == node.folder / "policy.toml"
    assert (node.drain_timeout_s, node.metrics, node.log) == (60, "", "text")


@POSIX
def test_modes(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        folder = config.create("agency-a", tmp_path / "x" / "y" / "a", "", False).folder
    finally:
        os.umask(mask)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for secret in ("identity.sealed", "storage-key.toml", "storage.key"):
        assert stat.S_IMODE((folder / secret).stat().st_mode) == 0o600


@POSIX
def test_an_empty_folder_that_was_there_becomes_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    folder = config.create("agency-a", tmp_path, "", False).folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_new_node_knows_itself(node: Config) -> None:
    known = node.federation()
    assert list(known.nodes) == ["agency-a"]
    assert known["agency-a"].address == "127.0.0.1:7700"
    assert not known["agency-a"].coordinator
    assert (node.folder / "entry.toml").read_bytes() == node.federation_path.read_bytes()


def test_a_member_without_a_port(tmp_path: Path) -> None:
    member = config.create("agency-a", tmp_path / "a", "", False)
    assert member.listen == ""
    assert member.federation()["agency-a"].address == ""


def test_a_coordinator(tmp_path: Path) -> None:
    hub = config.create("hub", tmp_path / "hub", "hub.example:7700", True)
    assert hub.federation().coordinator.name == "hub"
    with pytest.raises(ConfigError, match="--address HOST:PORT"):
        config.create("hub-2", tmp_path / "hub-2", "", True)
    assert not (tmp_path / "hub-2").exists()


def test_a_folder_that_holds_a_node_is_left_alone(node: Config) -> None:
    before = files(node.folder)
    with pytest.raises(ConfigError, match="holds a node already; choose another folder"):
        config.create("agency-b", node.folder, "", False)
    assert files(node.folder) == before


@pytest.mark.parametrize(
    "left", ["identity.sealed", "storage-key.toml", "storage.key", "tls-key.pem", "signing-key.pem"]
)
def test_keys_that_are_left_in_a_folder_are_never_overwritten(tmp_path: Path, left: str) -> None:
    write(tmp_path / left, "precious")
    with pytest.raises(ConfigError) as error:
        config.create("agency-a", tmp_path, "", False)
    assert str(tmp_path) in str(error.value)
    assert (tmp_path / left).read_text() == "precious"


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    path = write(tmp_path / "a", "a file")
    for folder in (path, path / "below"):
        with pytest.raises(ConfigError) as error:
            config.create("agency-a", folder, "", False)
        assert str(path) in str(error.value)
    assert path.read_text() == "a file"


@pytest.mark.parametrize("name", ["", "Agency", "agency a", "-a", "a_b", "é", "a" * 64, "a\n", "../a", 'a"', "a.b"])
def test_names_that_no_node_may_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="small letters, digits and hyphens"):
        config.create(name, tmp_path / "a", "", False)
    assert files(tmp_path) == {}
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("name", ["a", "0", "agency-a", "a" * 63, "7-b-"])
def test_names_that_are_good(tmp_path: Path, name: str) -> None:
    made = config.create(name, tmp_path / "a", "", False)
    assert made.federation()[name].name == name


@pytest.mark.parametrize("address", ['x"y:1', "host:1\nname = 'x'", "back\\slash:1"])
def test_an_address_never_spoils_the_files(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        config.create("agency-a", tmp_path / "a", address, False)
    assert files(tmp_path) == {}


# Reading node.toml


def test_everything_can_be_set(node: Config, tmp_path: Path) -> None:
    shutil.move(node.federation_path, tmp_path / "others.toml")
    shutil.move(node.folder / "storage.key", tmp_path / "key")
    path = change(
        node,
        listen='"0.0.0.0:1"',
        lanes="32",
        step_timeout_s="0.5",
        start_timeout_s="7",
        drain_timeout_s="300",
        federation='"../others.toml"',
        policy='"../policy.toml"',
        key_file=f'"{tmp_path / "key"}"',
        passphrase_file='"words"',  # noqa: S106 - a file's name
        metrics='"127.0.0.1:9177"',
        log='"json"',
    )
    loaded = config.load(path)
    assert (loaded.listen, loaded.lanes, loaded.step_timeout_s, loaded.start_timeout_s) == ("0.0.0.0:1", 32, 0.5, 7)
    assert (loaded.drain_timeout_s, loaded.metrics, loaded.log) == (300, "127.0.0.1:9177", "json")
    assert loaded.policy_path.resolve() == tmp_path / "policy.toml"
    assert loaded.passphrase_file == "words"  # noqa: S105 - a file's name
    assert list(loaded.federation().nodes) == ["agency-a"]


def test_an_absolute_federation_file(node: Config, tmp_path: Path) -> None:
    shared = tmp_path / "shared.toml"
    shutil.move(node.federation_path, shared)
    assert config.load(change(node, federation=f'"{shared}"')).federation_path == shared


def test_a_relative_path_of_node_toml(node: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(node.folder)
    loaded = config.load(Path("node.toml"))
    assert loaded.folder == node.folder.resolve()
    assert loaded.identity().name == "agency-a"


def test_only_the_name_is_needed(node: Config) -> None:
    path = write(node.folder / "node.toml", 'name = "agency-a"\n')
    folder = node.folder.resolve()
    assert config.load(path) == Config(folder, "agency-a", "", folder / "federation.toml", folder / "policy.toml")
    assert config.load(path).identity().name == "agency-a"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("colour", '"red"'),
        ("lane", "3"),
        ("node", "{}"),
        ("name", "7"),
        ("name", '["agency-a"]'),
        ("listen", "7700"),
        ("federation", "true"),
        ("lanes", '"4"'),
        ("lanes", "2.0"),
        ("lanes", "true"),
        ("step_timeout_s", '"120"'),
        ("step_timeout_s", "true"),
        ("start_timeout_s", "[]"),
        ("start_timeout_s", "2026-12-31T00:00:00Z"),
        ("drain_timeout_s", '"60"'),
        *((key, "7") for key in ("policy", "metrics", "log", "key_file", "passphrase_file")),
    ],
)
def test_unknown_entries_and_wrong_kinds_are_named(node: Config, key: str, value: str) -> None:
    assert f"`{key}` is unknown or of the wrong kind" in refused(change(node, **{key: value}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("lanes", v) for v in ("0", "-1", "33", "1000000")),
        *(("step_timeout_s", v) for v in ("0", "-1", "-0.5", "nan", "-inf", "inf", "1e9")),
        *(("start_timeout_s", v) for v in ("0", "-1", "-0.5", "nan", "-inf", "inf", "1e9")),
        *(("attempt_timeout_s", v) for v in ("0", "-1", "-0.5", "nan", "-inf", "inf", "1e9")),
        *(("drain_timeout_s", v) for v in ("0", "-1", "-0.5", "nan", "-inf", "inf", "1e9")),
    ],
)
def test_numbers_out_of_range(node: Config, key: str, value: str) -> None:
    assert "`lanes` must be 1 to 32, and time-outs above 0" in refused(change(node, **{key: value}))


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("metrics", '"9177"', "must be HOST:PORT, for example 127.0.0.1:9177, or empty"),
        ("metrics", '"localhost"', "must be HOST:PORT"),
        ("log", '"xml"', "must be text or json"),
        ("log", '""', "must be text or json"),
    ],
)
def test_words_that_a_setting_does_not_know(node: Config, key: str, value: str, says: str) -> None:
    assert f"`{key}` {says}" in refused(change(node, **{key: value}))


@pytest.mark.parametrize("name", ["", '""', '"Agency A"', '"a\\n"'])
def test_a_missing_or_malformed_name(node: Config, name: str) -> None:
    assert "`name` must be small letters, digits and hyphens" in refused(change(node, name=name))


@pytest.mark.parametrize("key", ["federation", "policy", "key_file", "passphrase_file"])
def test_paths_that_no_file_can_have(node: Config, key: str) -> None:
    assert "cannot be printed" in refused(change(node, **{key: '"a\\u0000b"'}))


@pytest.mark.parametrize("content", [b"name = ", b"name = 'a'\nname = 'b'\n", b"\0"])
def test_what_is_not_toml(tmp_path: Path, content: bytes) -> None:
    assert "is not valid TOML" in refused(write(tmp_path / "node.toml", content))


def test_a_missing_file_tells_how_to_make_it(tmp_path: Path) -> None:
    assert "`matchbit node init` makes it" in refused(tmp_path / "node.toml")
    refused(tmp_path)


def test_the_template_is_toml_with_a_comment_for_people() -> None:
    text = config.NODE_TOML.format(name="a", listen="", lanes=2)
    settings = tomllib.loads(text)
    assert set(settings) == set(config._KINDS)
    assert settings["key_file"] == config.KEY_FILE
    assert '"${CREDENTIALS_DIRECTORY}/matchbit-key"' in text
