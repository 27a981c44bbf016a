"""Reading TOML files, with one sentence when it fails."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from parties.errors import ConfigError

MAX_CHARS = 1 << 22
MAX_DOTS = 500
"""In a line: what reading a key with dots takes grows with the square of their number."""
_UNQUOTED = re.compile(r"[\u2018-\u201f\u00ab\u00bb]|=\s*\[?\s*(?!(?:true|false)\b)\w*[^\W\d]", re.IGNORECASE)
"""Quotes of a word processor, or a word where a value begins."""


def read(path: Path, hint: str = "") -> dict[str, Any]:
    """A TOML file.

    Args:
        path: the file.
        hint: what to do when it is missing.

    Raises:
        ConfigError: it cannot be read; names the file, and the line where it is wrong.
    """
    return parsed(text_of(path, hint), path)


def text_of(path: Path, hint: str = "") -> str:
    """A file's text, or the beginning of one that is too long.

    Raises:
        ConfigError: it cannot be read; names the file.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            return file.read(MAX_CHARS + 1)
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror}. {hint}".strip()) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text: in Notepad choose Save as, encoding UTF-8.") from None


def parsed(text: str, path: Path) -> dict[str, Any]:
    """What a file's text says.

    Raises:
        ConfigError: it is no TOML; names the file, and the line where it is wrong.
    """
    if len(text) > MAX_CHARS or any(line.count(".") > MAX_DOTS for line in text.split("\n")):
        raise ConfigError(
            f"{path} has more than {MAX_CHARS:,} characters, or {MAX_DOTS} dots in a line: it is no file of Matchbit's."
        )
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.{_remedy(text, str(error))}") from None
    except (RecursionError, ValueError):
        raise ConfigError(f"{path} cannot be used: a value is nested too deeply, or a number is too long.") from None


def _remedy(text: str, error: str) -> str:
    """What to do where a text is not quoted as TOML wants it, by the line that the error names."""
    line = re.search(r"at line (\d+)", error)
    wrong = text.split("\n")[int(line[1]) - 1] if line else text
    return ' Texts stand in straight quotes, like full_name = "Name".' if _UNQUOTED.search(wrong) else ""
