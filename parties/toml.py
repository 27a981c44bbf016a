"""Reading TOML files, with one sentence when it fails."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from parties.errors import ConfigError


def read(path: Path, hint: str = "") -> dict[str, Any]:
    """A TOML file.

    Args:
        path: the file.
        hint: what to do when it is missing.

    Raises:
        ConfigError: it cannot be read; names the file, and the line where it is wrong.
    """
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror}. {hint}".strip()) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from None
