"""What a column's heading or HXL tag says it holds, by the vendored vocabulary in headings.toml.

Nothing is compared by likeness: a heading is folded (case, accents, punctuation, small words) and must then be in the
vocabulary, exactly. What is not there is not guessed.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from parties import normalise

MULTIPLE = ("phone", "id_number")
"""Fields that several columns may stand for."""
_VOCABULARY = tomllib.loads(Path(__file__).with_name("headings.toml").read_text("utf-8"))
_TAG = re.compile(r"\s*#([a-z][a-z0-9_]*)((?:\s*\+\s*[a-z][a-z0-9_]*)*)\s*(?:\+\s*)?", re.IGNORECASE)
_QUESTION = re.compile(r"^\s*[A-Za-z]?\d+(\.\d+)*[.):]\s+")
"""A questionnaire's numbering: `3. `, `Q3) `."""
_SUFFIX = re.compile(r"_[ih]_?[cf]$")
"""HOPE's ends of names: `birth_date_i_c`."""
_ORDINAL = re.compile("\\.([\N{MASCULINE ORDINAL INDICATOR}\N{DEGREE SIGN}])")
"""`N.º` is `Nº`."""
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_PARENTHESES = re.compile(r"[(\[]([^()\[\]]*)[)\]]")
_LANGUAGES = re.compile(r"\s[/|–—-]\s|\n")
"""Between the same heading in two languages."""
_PARTED = re.compile(r"\b(p|adm|admin) (code|[1-4])\b")
"""One word that may be written as two: `P-code`, `Admin 1`."""
_LETTERS = str.maketrans({"#": " no ", "ʼ": " ", "ـ": None, "ى": "ي", "ی": "ي", "ک": "ك", "ة": "ه"})


class Meaning(NamedTuple):
    """What a heading may stand for.

    Attributes:
        fields: standard fields: none, one, or several of which a person must choose.
        id_type: kind of document whose number it is, or empty.
    """

    fields: tuple[str, ...] = ()
    id_type: str = ""


NOTHING = Meaning()
"""Of a heading that is not known, and of what is known to be about somebody else."""


def of_heading(heading: str) -> Meaning:
    """The meaning of a heading as people and programs write them."""
    heading = _PARENTHESES.sub(lambda m: "" if _fold(m[1]) in _words("hints") else m[0], _QUESTION.sub("", heading))
    whole = _look_up(heading)
    parts = [_in_group(part) for part in _LANGUAGES.split(heading) if part.strip()]
    return whole if whole.fields else _united(parts)


def of_tag(tag: str) -> Meaning | None:
    """The meaning of an HXL hashtag, by the first line of the vocabulary that fits; None where none does."""
    name, attributes = _hashtag(tag)
    for key, patterns in _VOCABULARY["hxl"].items():
        for pattern in patterns:
            wanted, needed = _hashtag(pattern)
            if name and wanted in ("", name) and needed <= attributes:
                return NOTHING if key == "nothing" else _meaning([key])
    return None


def is_hxl(cells: Sequence[str]) -> bool:
    """Whether a row is one of HXL tags: at least half of its filled cells are, as HXL's own programs decide."""
    filled = [cell for cell in cells if cell.strip()]
    tags = sum(bool(_TAG.fullmatch(cell)) for cell in filled)
    return 0 < tags >= len(filled) / 2


def is_code(heading: str, tag: str) -> bool:
    """Whether a column of places holds their codes and not their names."""
    return bool(_words("code") & {*_fold(heading).split(), *_hashtag(tag)[1]})


def recognised(headings: Sequence[str]) -> int:
    """How many different fields these cells are known headings of."""
    return len({of_heading(heading).fields for heading in headings} - {()})


def _in_group(heading: str) -> Meaning:
    """The meaning of a heading behind its groups in a form (`group/phone`), if these are not about somebody else.

    A bare `name` in a group is the name of whatever the group is about, so words with two meanings have none there.
    """
    *groups, last = heading.split("/")
    if not groups:
        return _look_up(heading)
    about = {word for group in groups for word in f"{_fold(group)} {_fold(group.lower())}".split()}  # nextOfKin, HoH
    meaning = _look_up(last)
    return NOTHING if about & _words("other") or len(meaning.fields) > 1 else meaning


def _look_up(heading: str) -> Meaning:
    """The meaning of a folded heading; `phone 2` is a phone."""
    folded = _fold(heading)
    numbered = _headings().get(folded.rstrip("0123456789 "), NOTHING)
    return _headings().get(folded) or (numbered if set(numbered.fields) & set(MULTIPLE) else NOTHING)


def _united(meanings: Sequence[Meaning]) -> Meaning:
    """The meaning of a heading in several languages: every part must have one."""
    if not all(m.fields for m in meanings):
        return NOTHING
    types = {m.id_type for m in meanings}
    fields = dict.fromkeys(f for m in meanings for f in m.fields)
    return Meaning(tuple(fields), types.pop() if len(types) == 1 else "")


def _meaning(keys: Iterable[str]) -> Meaning:
    """From keys of the vocabulary: `field` or `field:type`."""
    parts = [key.partition(":") for key in keys]
    return _united([Meaning((field,), id_type) for field, _, id_type in parts])


@cache
def _headings() -> dict[str, Meaning]:
    """Folded heading → meaning."""
    keys: dict[str, dict[str, None]] = {}
    for key, languages in _VOCABULARY["headings"].items():
        for heading in (key, *(h for headings in languages.values() for h in headings)):
            keys.setdefault(_fold(heading), {})[key] = None
    return {heading: _meaning(found) for heading, found in keys.items()}


@cache
def _words(kind: str) -> frozenset[str]:
    return frozenset(_fold(word) for word in _VOCABULARY["words"][kind])


def _fold(heading: str) -> str:
    """A heading as it is compared: words without case, accents, punctuation and small words."""
    spaced = _CAMEL.sub(" ", _SUFFIX.sub("", _ORDINAL.sub(r"\1", heading.strip())))
    letters = unicodedata.normalize("NFD", normalise.text(spaced)).translate(_LETTERS)
    kept = (c if c.isalnum() else " " for c in letters if unicodedata.category(c) not in ("Mn", "Cf"))
    numbers, small = _VOCABULARY["words"]["number"], _VOCABULARY["words"]["small"]
    words = ("no" if word in numbers else word for word in "".join(kept).split())
    return _PARTED.sub(r"\1\2", " ".join(word for word in words if word not in small))


def _hashtag(cell: str) -> tuple[str, frozenset[str]]:
    """Name and attributes of a hashtag; a pattern may have attributes alone."""
    found = _TAG.fullmatch(cell if "#" in cell else f"#any{cell}")
    if not found:
        return "", frozenset()
    attributes = frozenset(part.strip().lower() for part in found[2].split("+") if part.strip())
    return (found[1].lower() if "#" in cell else ""), attributes
