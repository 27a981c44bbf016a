import dataclasses
import importlib
import os
import pkgutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mpc
import parties
from parties import secrecy
from parties.errors import ConfigError
from parties.secrecy import erase, read_secret, write_private

ROOT = Path(__file__).resolve().parent.parent.parent
POSIX = pytest.mark.skipif(os.name != "posix", reason="file modes are a matter of POSIX systems")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc and prctl are Linux's")
ROOT_ONLY = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives files away")


# Core dumps

SHOW = """
import ctypes
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
print(next(line for line in open("/proc/self/limits") if line.startswith("Max core file size")).split()[4:6])
"""


def shown(code: str, **environment: str) -> list[str]:
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, cwd=ROOT, check=True)
    return run.stdout.splitlines()[-2:]


@LINUX
def test_a_process_leaves_no_core_dump_and_cannot_be_looked_into() -> None:
    assert shown(SHOW)[0] == "1", "without it, Python can be"
    assert shown(f"from parties import secrecy; secrecy.forbid_dumps(){SHOW}") == ["0", "['0', '0']"]


@LINUX
def test_every_command_forbids_dumps_except_for_whoever_looks_for_a_fault() -> None:
    code = f"from parties import cli; cli.main(['node', 'show', '--config', 'none.toml']){SHOW}"
    assert shown(code) == ["0", "['0', '0']"]
    assert shown(code, MATCHBIT_DEBUG="1")[0] == "1"


def test_a_system_without_limits_is_left_as_it_is() -> None:
    code = "import sys; sys.modules['resource'] = None; from parties import secrecy; print(secrecy.forbid_dumps(), 1)"
    assert shown(code) == ["None 1"]


# What shows itself

SECRET_KINDS = ("Array", "Share", "Prss", "PrivateKey")
SECRET_NAMES = {"seeds", "secrets", "mac_keys", "tls_key", "next_tls_key", "passphrase"}


def dataclasses_of(*packages: object) -> Iterator[type]:
    for package in packages:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):  # type: ignore[attr-defined]
            for found in vars(importlib.import_module(module.name)).values():
                if isinstance(found, type) and dataclasses.is_dataclass(found) and found.__module__ == module.name:
                    yield found


def test_what_holds_secrets_does_not_show_them() -> None:
    """A dataclass shows its fields by itself, and so do tracebacks and log lines with it."""
    secret = {
        found: field.name
        for found in dataclasses_of(mpc, parties)
        for field in dataclasses.fields(found)
        if field.name in SECRET_NAMES or any(kind in str(field.type) for kind in SECRET_KINDS)
    }
    assert {"Identity", "Session", "Share", "Dealing", "Keys"} <= {found.__name__ for found in secret}
    assert not {f"{found.__module__}.{found.__name__}": name for found, name in secret.items()
                if found.__repr__ is not object.__repr__}  # fmt: skip


# Files


def refused(path: Path) -> str:
    with pytest.raises(ConfigError) as error:
        read_secret(path, 4, "Make it.")
    assert error.value.__cause__ is None
    return str(error.value)


@POSIX
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o601])
def test_a_secret_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    write_private(tmp_path / "key", b"1234")
    (tmp_path / "key").chmod(mode)
    assert refused(tmp_path / "key") == f"{tmp_path / 'key'} can be read by other users; run `chmod 600` on it."
    (tmp_path / "key").chmod(0o400)
    assert read_secret(tmp_path / "key", 4) == b"1234"


@POSIX
def test_the_access_list_of_a_credential_shows_as_bits_of_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(secrecy.CREDENTIALS, str(tmp_path / "credentials"))
    for folder in ("credentials", "elsewhere"):
        (tmp_path / folder).mkdir()
        write_private(tmp_path / folder / "key", b"1234")
        (tmp_path / folder / "key").chmod(0o440)
    assert read_secret(tmp_path / "credentials" / "key", 4) == b"1234"
    assert "can be read by other users" in refused(tmp_path / "elsewhere" / "key")
    (tmp_path / "credentials" / "key").chmod(0o444)
    assert "can be read by other users" in refused(tmp_path / "credentials" / "key")


def test_secrets_that_are_missing_or_too_long(tmp_path: Path) -> None:
    assert refused(tmp_path / "key") == f"Cannot read {tmp_path / 'key'}: No such file or directory. Make it."
    write_private(tmp_path / "key", b"12345")
    assert "too long to be what it should be" in refused(tmp_path / "key")


@POSIX
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_private_file_has_its_mode_whatever_the_mask_and_whatever_was_there(tmp_path: Path, mode: int) -> None:
    mask = os.umask(0)
    try:
        (tmp_path / "key").write_bytes(b"older and longer")
        (tmp_path / "key").chmod(0o666)
        write_private(tmp_path / "key", b"1234", mode)
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == mode
    assert (tmp_path / "key").read_bytes() == b"1234"
    assert os.listdir(tmp_path) == ["key"]


@ROOT_ONLY
def test_what_root_writes_belongs_to_the_folders_owner(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    write_private(tmp_path / "key", b"1234")
    assert (tmp_path / "key").stat().st_uid == 65534


def test_a_file_that_cannot_be_put_in_its_place_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "key").mkdir()
    with pytest.raises(OSError):  # noqa: PT011 - which one is the system's choice
        write_private(tmp_path / "key", b"1234")
    assert os.listdir(tmp_path) == ["key"]


def test_an_erased_file_is_overwritten_before_it_is_removed(tmp_path: Path) -> None:
    write_private(tmp_path / "key", b"precious " * 100)
    os.link(tmp_path / "key", tmp_path / "same")
    erase(tmp_path / "key")
    assert not (tmp_path / "key").exists()
    left = (tmp_path / "same").read_bytes()
    assert len(left) == 900
    assert b"precious" not in left
