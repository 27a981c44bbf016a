"""Keeping secrets from other users of the machine: private files, files that are gone, and no core dumps."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from pathlib import Path

from parties.errors import ConfigError

PR_SET_DUMPABLE = 4
CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""Environment variable by which systemd names the folder of a service's credentials."""
_OTHERS, _OTHERS_OF_CREDENTIALS = 0o077, 0o007
"""Modes that let others in. systemd admits the service by an access list, which shows as bits of the group."""


def forbid_dumps() -> None:
    """Let this process leave no core dump, and on Linux let no other process of the same user look into it."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # the limit does not count where the kernel pipes dumps to a program
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def read_secret(path: Path, limit_bytes: int, hint: str = "") -> bytes:
    """A secret file.

    Args:
        path: the file.
        limit_bytes: the longest that it can be.
        hint: what to do when it is missing.

    Raises:
        ConfigError: it is missing, unreadable, too long, or can be read by other users.
    """
    given = os.environ.get(CREDENTIALS)
    others = _OTHERS_OF_CREDENTIALS if given and path.is_relative_to(given) else _OTHERS
    try:
        with path.open("rb") as file:
            if os.name == "posix" and os.fstat(file.fileno()).st_mode & others:
                raise ConfigError(f"{path} can be read by other users; run `chmod 600` on it.")
            content = file.read(limit_bytes + 1)
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror}. {hint}".strip()) from None
    if len(content) > limit_bytes:
        raise ConfigError(f"{path} is too long to be what it should be; restore it from a backup.")
    return content


def write_private(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Put a file in its place at once and whole, or leave what was there; readable by its owner alone.

    The owner is the folder's, also where root acts for it.

    Raises:
        OSError: it cannot be written.
    """
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(number, "wb") as file:
            file.write(content)
            file.flush()
            if os.name == "posix":
                os.fchmod(number, mode)
                if os.geteuid() == 0:
                    owner = path.parent.stat()
                    os.fchown(number, owner.st_uid, owner.st_gid)
            os.fsync(number)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    if os.name == "posix":  # the name itself must outlast a power cut too
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def erase(path: Path) -> None:
    """Overwrite a file and remove it. Copies in backups, and in the spare blocks of an SSD, may remain.

    Raises:
        OSError: it cannot be written.
    """
    with path.open("r+b") as file:
        file.write(os.urandom(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
