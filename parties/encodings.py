"""In which encoding a text file is: by its mark, by the pattern of its bytes, else by a guess to be confirmed."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from charset_normalizer import from_bytes

from parties.errors import InputError

MAX_LINE_CHARS = 1 << 20
"""Of a line, and of a row that goes over several."""
SAMPLE_BYTES = 1 << 15
"""Of lines that are not ASCII, to guess from."""
_PIECE = 1 << 20
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_GUESSES = {
    **{f"cp{number}": f"windows-{number}" for number in (1252, 1251, 1256, 1254, 1250, 1253, 1255)},
    **{f"iso8859_{part}": f"iso-8859-{part}" for part in (5, 6, 2, 7, 8)},
    **{name: name.replace("_", "-") for name in ("koi8_u", "koi8_r", "cp866", "cp1125", "mac_cyrillic", "mac_roman")},
    **{name: name for name in ("gb18030", "big5", "cp932", "euc_jp", "cp949")},
}
"""Encodings that are guessed, and how people name them; of those that are equally likely, the first counts."""
_AS_LIKELY = 0.02
"""By how much the disorder of two readings of a sample may differ."""
_NOT_FOR_LISTS = {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"}


@dataclass(frozen=True)
class Encoding:
    """An encoding.

    Attributes:
        name: as Python and a --map file name it.
        is_guess: whether a person must confirm it.
    """

    name: str
    is_guess: bool = False


def find(path: Path, stated: str) -> Encoding:
    """The encoding of a file, which is read once to see that all of it is text.

    Args:
        path: the file.
        stated: encoding that a person has stated, or empty; a mark at the file's start counts more.

    Raises:
        InputError: the encoding is not known, or the file is not text in it.
    """
    with path.open("rb") as file:
        name = _by_start(file.read(4096)) or (_known(path, stated) if stated else "")
        if name:
            error = _fault(file, name)
            if error:
                raise InputError(f"{path} is not {name} text: {error}. {ADVICE}")
            return Encoding(name)
        error = _fault(file, "utf-8")
        if not error:
            return Encoding("utf-8")
        guesses = [] if error in (_TOO_LONG, _NUL) else _guesses(_sample(file))
        guess = next((name for name in guesses if not _fault(file, name)), "")
        if not guess:
            raise InputError(f"{path} is not UTF-8 text: {error}. {ADVICE}")
        return Encoding(guess, is_guess=True)


ADVICE = (
    "In Excel choose 'Save as', then 'CSV UTF-8 (comma delimited)', or state the encoding in the --map file, for "
    'example: [list] encoding = "windows-1251"'
)
_TOO_LONG = "it has a line of more than a million characters"
_NUL = "it has NUL bytes"


def _by_start(start: bytes) -> str:
    """The encoding by a byte order mark, or by line ends that take two bytes."""
    for mark, name in _MARKS.items():
        if start.startswith(mark):
            return name
    for name in ("utf-16-le", "utf-16-be"):
        text = start.decode(name, "ignore")
        if b"\0" in start and "\0" not in text and ("\n" in text or "\r" in text):
            return name
    return ""


def _known(path: Path, stated: str) -> str:
    try:
        name = codecs.lookup(stated).name
        "".encode(name)  # refuses codecs that are not for text
    except (LookupError, ValueError):
        name = "undefined"
    if name in _NOT_FOR_LISTS:
        raise InputError(f"{path}: there is no encoding {stated!r}; correct `encoding` in the --map file.")
    return name


def _fault(file: BinaryIO, encoding: str) -> str:
    """Why a file is not text in an encoding, or empty."""
    decoder, line = codecs.getincrementaldecoder(encoding)(), 0
    file.seek(0)
    try:
        while piece := file.read(_PIECE):
            text = decoder.decode(piece)
            if "\0" in text:
                return _NUL
            line = 0 if "\n" in text or "\r" in text else line + len(text)
            if line > MAX_LINE_CHARS:
                return _TOO_LONG
        decoder.decode(b"", final=True)
    except UnicodeError:
        return "it has bytes that mean nothing there"
    return ""


def _sample(file: BinaryIO) -> bytes:
    """Lines with bytes beyond ASCII, as many as a guess needs."""
    lines: list[bytes] = []
    size = 0
    file.seek(0)
    while size < SAMPLE_BYTES and (piece := file.read(_PIECE)):
        lines += re.findall(rb"[^\r\n]*[\x80-\xff][^\r\n]*", piece)
        size = sum(map(len, lines))
    return b"\n".join(lines)[:SAMPLE_BYTES]


def _guesses(sample: bytes) -> list[str]:
    """The likeliest encodings of a sample."""
    matches = from_bytes(sample, cp_isolation=list(_GUESSES), preemptive_behaviour=False)
    least = min((match.chaos for match in matches), default=0.0)
    likely = {codec for match in matches if match.chaos <= least + _AS_LIKELY for codec in match.could_be_from_charset}
    return [name for codec, name in _GUESSES.items() if codec in likely]
