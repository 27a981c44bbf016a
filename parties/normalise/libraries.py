"""The versions of the two libraries whose tables are part of the standard."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from parties.errors import ConfigError

VERSIONS = {"phonenumbers": "9.0.43", "python-stdnum": "2.2"}
"""Package → version, as pyproject.toml pins it; another version can give another key for the same cell."""


def check() -> None:
    """Refuse to normalise by other tables than the standard's.

    Raises:
        ConfigError: names the package, what is installed, and what to do.
    """
    for package, expected in VERSIONS.items():
        try:
            installed = version(package)
        except PackageNotFoundError:
            installed = "none"
        if installed != expected:
            raise ConfigError(
                f"The normalisation standard needs {package} {expected}, and {installed} is installed; its keys could "
                f"differ from other members' keys. Install it with `pip install {package}=={expected}`."
            )
