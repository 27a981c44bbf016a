"""Names as they are compared: words of plain letters, whatever the script, the case and the titles. Pure.

A name keeps the order in which it is written; rules sort its words where order must not matter.
"""

from __future__ import annotations

import re
from unicodedata import normalize

from parties.normalise.characters import LETTERS, MAX_CHARS, is_supported, text
from parties.normalise.notes import Context, Normal, Note, unusable
from parties.normalise.placeholders import is_placeholder
from parties.normalise.transliteration import UNSEEN, latin

_WORD = re.compile(f"[{LETTERS}]+")
"""Everything else, digits too, separates words."""


def _words(listed: str) -> frozenset[str]:
    """The words of a table, spelt as `name` spells them in any country."""
    return frozenset(latin(word, country) for word in text(listed).split() for country in ("UA", "RU", "AF"))


_TITLES = _words(
    """
    mr mrs ms miss mister madam dr doctor prof professor eng engr rev sir hon capt ustaz ustadh
    haji hajji hajj haj hadji hadj elhadj alhaj alhaja hajia hajiya hajja sheikh shaikh shaykh sheik cheikh
    sayyid sayyed sayyida sayed sayeda syed syeda mullah mulla maulana maulvi mawlawi
    mme mlle monsieur madame mademoiselle docteur maitre sr sra srta senor senora senorita don dona
    пан пані панна господин госпожа гражданин гражданка громадянин громадянка
    سيد سيدة شيخ شيخة حاج حاجي حاجة دكتور دكتورة استاذ استاذة مهندس مهندسة آنسة ملا مولوي
    ato weizero woizero weyzero woyzero woizerit አቶ ወይዘሮ ወሮ ወይዘሪት ሼህ ሐጂ ዶር ዶክተር u daw ဦး ဒေါ်
    """
)
"""Dropped where a name begins with them and goes on."""
_PARTICLES = _words(
    """
    al el ul il de del della di du da das do dos la las los le les des van von der den zu
    bin ibn bint bn ould بن ابن بنت ولد
    """
)
"""Dropped wherever they stand, unless there is nothing else."""
_ARTICLE_AS_SPOKEN = re.compile(r"[aeu](sh|[dlnrstz])")
"""The Arabic article before a letter that takes over its sound: ash-Shami, ad-Din."""
_FIRST_HALVES = dict.fromkeys(("abd", "abdal", "abdel", "abdol", "abdoul", "abdul"), "abdul")
_FIRST_HALVES |= dict.fromkeys(("abdur", "abdus", "abdun", "abdud", "abdut", "abduz", "abdush"), "abdul")
_FIRST_HALVES |= dict.fromkeys(("abu", "abou", "abo"), "abu")
_LAST_HALVES = dict.fromkeys(("din", "deen", "eddin", "eddine", "uddin", "aldin"), "din")
_LAST_HALVES |= dict.fromkeys(("allah", "ullah", "ollah"), "ullah")
"""Halves of one name that is parted in several ways: Abd al-Rahman, Abu Bakr; Nur al-Din, Rahmat Ullah."""
_NOT_ALONE = _PARTICLES | _FIRST_HALVES.keys() | _LAST_HALVES.keys()
_FORMS = tuple(
    (re.compile(pattern), form)
    for pattern, form in (
        (r"(?<!\S)al(?=(?:[ghjkqrsnw]|m[aou]|a[bh])\S{3})", ""),  # Alkhatib; but not Almaz, Alberto, Alina
        (r"(?<!\S)abd(?:[aeo]l|oul)(?=[a-z]{2})", "abdul"),
        (r"(?<!\S)abd[aeu]([dnrstz])(?=\1)", "abdul"),
        (r"(?<!\S)abdull?ah?(?!\S)", "abdullah"),
        (r"(?<=[a-z]{2})[aeo]llah(?!\S)", "ullah"),
        (r"(?<=[a-z]{2})[aeu]dd(?:in|een|ine)(?!\S)", "din"),
    )
)
"""Spellings in one word of what is otherwise parted."""
_ANY_FORM = re.compile(r"(?<!\S)a(?:l|bd)|llah(?!\S)|dd(?:in|een)")


def name(cell: str, context: Context) -> Normal:
    """A person's name, or a part of it.

    Args:
        cell: as the list has it.
        context: the country decides between Ukrainian and Russian, Arabic and Persian readings of shared letters.

    Returns:
        One value: words with one space between, of a to z, or of letters of a script without a table; or the reason
        why there is none: EMPTY, PLACEHOLDER, UNSUPPORTED, TOO_LONG or NO_LETTERS. The name of a name is itself.
    """
    if len(cell) > MAX_CHARS or not is_supported(cell):
        return unusable(Note.TOO_LONG if len(cell) > MAX_CHARS else Note.UNSUPPORTED)
    folded = text(cell.translate(UNSEEN))
    if is_placeholder(folded):
        return unusable(Note.PLACEHOLDER if folded else Note.EMPTY)
    value = _spelt(folded, context)
    if not value.isascii() and _spelt(value, context) != value:  # a word of several scripts, some without a table
        return unusable(Note.UNSUPPORTED)
    if not value or len(value) > MAX_CHARS:  # a letter can become four
        return unusable(Note.TOO_LONG if value else Note.NO_LETTERS)
    return unusable(Note.PLACEHOLDER) if value != folded and is_placeholder(value) else Normal((value,))


def _spelt(folded: str, context: Context) -> str:
    return _canonical(_WORD.findall(latin(folded, context.country)))


def _canonical(words: list[str]) -> str:
    """The words in their form, which is its own: each step shortens a name or brings a word to its last form."""
    value, before = " ".join(words), ""
    while value != before:
        before, value = value, _step(value)
    # Characters that were taken out may have stood between others that now are one.
    return value if value.isascii() else normalize("NFC", value)


def _step(value: str) -> str:
    """The words put together, in the forms of the table, without the first if it is a title."""
    words = value.split(" ")
    if not _NOT_ALONE.isdisjoint(words) or any(map(_ARTICLE_AS_SPOKEN.fullmatch, words)):
        value = " ".join(_together(words)) or value
    if _ANY_FORM.search(value):
        for pattern, form in _FORMS:
            value = pattern.sub(form, value)
    first, _, others = value.partition(" ")
    return others if others and first in _TITLES else value


def _together(words: list[str]) -> list[str]:
    """The words without particles, halves put together."""
    kept: list[str] = []  # from the last word to the first
    for word in reversed(words):
        following = kept[-1] if kept else ""
        spoken = _ARTICLE_AS_SPOKEN.fullmatch(word)
        if word in _PARTICLES or (spoken and following.startswith(spoken[1])):
            continue
        if following in _LAST_HALVES:
            kept[-1] = word + _LAST_HALVES[following]
        elif following and word in _FIRST_HALVES:
            kept[-1] = _FIRST_HALVES[word] + following
        else:
            kept.append(word)
    return kept[::-1]
