"""Cyrillic, Arabic, Ethiopic and Georgian letters in plain Latin ones, by tables that are part of the standard.

Host libraries' tables differ by version, and one byte of difference means no match, so the tables are here.

- Cyrillic: Ukrainian by the national system (Cabinet of Ministers, resolution 55 of 2010), all else by the table of
  machine-readable passports (ICAO Doc 9303-3, section 6) in its Russian reading. Which one is decided for a value as a
  whole: by letters that only one of them has, else by the session's country.
- Arabic script: letters folded to those that people confuse them with, then one Latin spelling for each. Short vowels
  are not written and not invented, so the result agrees with Latin spellings by sound only (`phonetic`).
- Ethiopic: syllables as Amharic names are usually spelt, without a vowel for the sixth order.
- Georgian: the national system of 2002 without its apostrophes.
- Latin: without diacritics, special letters as their plainest neighbours.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache


def _pairs(table: str) -> dict[int, str]:
    """Read a table of letters, each with its spelling right after it; a lone letter is spelt as nothing."""
    return {ord(entry[0]): entry[1:] for entry in table.split()}


# Latin

_SPECIAL = _pairs(
    "æae œoe øo đd ðd þth łl ıi ŋn ħh ŧt ƒf ĸk ʃsh ɓb ɖd ɗd ƙk ƴy ɲny ɛe ǝe əe ɔo ɣg ɩi ɨi ʉu ʊu ʋv ƥp ƭt ɦh ʒzh ƶz ɉj"
)
_MARKS = (*range(0x300, 0x370), *range(0x1AB0, 0x1AFF), *range(0x1DC0, 0x1E00), *range(0x20D0, 0x2100))
_MARKS += tuple(range(0xFE20, 0xFE30))
_INVISIBLE = (0xAD, 0x180B, 0x180C, 0x180D, 0x180E, 0x180F, 0x200B, *range(0x200D, 0x2010), *range(0x202A, 0x202F))
_INVISIBLE += (*range(0x2060, 0x2070), *range(0xFE00, 0xFE10), 0xFEFF, *range(0xE0100, 0xE01F0))
_APOSTROPHES = "'`´ʹʺʻʼʽʾʿˈˊˋ‘’‛′‵＇｀ꞌꞋ՚׳"
UNSEEN = dict.fromkeys((*_INVISIBLE, *map(ord, _APOSTROPHES)))
"""What is taken out of a name before anything else, for `str.translate`: apostrophes of every kind, and characters
without width other than the zero-width non-joiner, which separates words."""


def _without_marks(letter: str) -> str:
    bare = unicodedata.normalize("NFKD", letter).translate(dict.fromkeys(_MARKS))
    return bare.translate(_SPECIAL)


_LATIN_AND_GREEK = (*range(0xDF, 0x250), *range(0x370, 0x400), *range(0x1E00, 0x2000))
_PLAIN = {
    code: bare for code in _LATIN_AND_GREEK if (bare := _without_marks(chr(code))) != chr(code) and bare.isalpha()
}
_PLAIN |= _SPECIAL | dict.fromkeys((*_MARKS, *map(ord, _APOSTROPHES)), "")
_NOT_PLAIN = re.compile(f"[{''.join(map(chr, _PLAIN))}]")


def latin(value: str, country: str) -> str:
    """The text in plain Latin letters, as far as there is a table; other characters stay.

    Args:
        value: without `UNSEEN` characters, and then as `parties.normalise.characters.text` gives it.
        country: the session's country, which decides how letters are read that two languages share.
    """
    if value.isascii():
        return value
    if _NOT_PLAIN.search(value):
        value = value.translate(_PLAIN)
    if _CYRILLIC.search(value):
        value = _from_cyrillic(value, country)
    if _ARABIC.search(value):
        value = _from_arabic(value, country)
    return value if value.isascii() else value.translate(_SYLLABLES_AND_GEORGIAN)


# Cyrillic

_CYRILLIC = re.compile("[\u0400-\u052f]")
_SHARED = "аa бb вv дd еe жzh зz кk лl мm нn оo пp рr сs тt уu фf хkh цts чch шsh щshch ь "
_OTHERS = "ўu ђd јj љlj њnj ћc џdz ѓg ѕdz ќk әa ғg қk ңn өo ұu үu һh җj ӣi ӯu ҳh ҷj ҝg ҹj ѐe ѝi ӂzh ӏ ѣe ѳf ѵi "
_UKRAINIAN = _pairs(_SHARED + _OTHERS + "гh ґg єie иy іi їi йi юiu яia ёe ъ ыy эe")
_RUSSIAN = _pairs(_SHARED + _OTHERS + "гg ґg єie иi іi їi йi юiu яia ёe ъie ыy эe")
_ONLY_UKRAINIAN = re.compile("[іїєґ]")
_NOT_UKRAINIAN = re.compile("[ыэёъўђјљњћџѓѕќәғқңөұүһҗӣӯҳҷ]|(?<![\u0400-\u052f])и")  # no Ukrainian name begins with и
_UKRAINIAN_AT_THE_BEGINNING = {"є": "ye", "ї": "yi", "й": "y", "ю": "yu", "я": "ya"}
_BEGINNING = re.compile("(?<![\u0400-\u052fa-z])[єїйюя]")

# A keyboard left in the other layout gives words that look right; which script was meant, the other letters tell.
_BOTH = re.compile("(?=[a-z]*[\u0400-\u052f])(?=[\u0400-\u052f]*[a-z])[a-z\u0400-\u052f]+")
_LATIN_ALIKE, _CYRILLIC_ALIKE = "abcehikmoptxy", "авсенікмортху"
_TO_CYRILLIC = str.maketrans(_LATIN_ALIKE, _CYRILLIC_ALIKE)
_TO_LATIN = str.maketrans(_CYRILLIC_ALIKE, _LATIN_ALIKE)
_ANY_LATIN = re.compile("[a-z]")


def _from_cyrillic(value: str, country: str) -> str:
    if _ANY_LATIN.search(value):
        value = _BOTH.sub(_one_script, value)
    ukrainian = country in ("", "UA") or _ONLY_UKRAINIAN.search(value)
    if not ukrainian or _NOT_UKRAINIAN.search(value):
        return value.translate(_RUSSIAN)
    value = _BEGINNING.sub(lambda found: _UKRAINIAN_AT_THE_BEGINNING[found[0]], value)
    return value.replace("зг", "zgh").translate(_UKRAINIAN)


def _one_script(word: re.Match[str]) -> str:
    """A word of two scripts in the one in which it is whole, if there is one."""
    cyrillic = word[0].translate(_TO_CYRILLIC)
    return word[0].translate(_TO_LATIN) if _ANY_LATIN.search(cyrillic) else cyrillic


# Arabic script

_ARABIC = re.compile("[\u0600-\u06ff]")
_FOLDS = ("اآأإٱ", "وؤۆۇۈۉۊ", "يئىیېےۍێۓ", "كکڪ", "گګڳ", "هۀہھۂ", "ةۃە")
_UNWRITTEN = (*range(0x610, 0x61B), 0x621, 0x640, *range(0x64B, 0x660), 0x670, 0x674, *range(0x6D6, 0x6EE))
_FOLDED = {ord(other): fold[0] for fold in _FOLDS for other in fold[1:]} | dict.fromkeys(_UNWRITTEN, "")
_PERSIAN_READING = ("AF", "IR", "PK")
_ARABIC_LETTERS = _pairs(
    "اa بb تt ثth جj حh خkh دd ذdh رr زz سs شsh صs ضd طt ظz عa غgh فf قq كk لl مm نn هh وu يi ةa "
    "پp چch ژzh گg ٹt ټt ڈd ډd ڑr ړr ڕr ںn ڼn ڭng ښsh ږzh ځz څs ڤv ۋv ڵl ڨg ڥp"
)
_PERSIAN_LETTERS = _ARABIC_LETTERS | _pairs("ثs ذz ضz")
_ARABIC_WORD = re.compile("[ا-يٮ-ۓۮۯۺ-ۿ]+")
_SPELLING = tuple(
    (re.compile(pattern), spelling)
    for pattern, spelling in (
        ("^الله$|(?<=..)الله$", " allah"),  # God, alone or at the end of a name
        ("(?<=..)الدين$", " ال دين"),
        ("^((?:ال)?عبد)(?=ال..)", r"\1 "),
        ("(?:^| )ال(?!هام$|ياس$|ين|كس)(?=[^ ]{3})", " ال "),  # the article, but not in Ilham, Ilyas, Alina, Alexander
        ("^طه$", "طاها"),
        ("(?<=[^او])ه$", "ة"),
        ("(?<=ا)ة$", "ت"),
        # No Arabic word begins with two consonants, so not `sh` but `s-h`; a letter written twice has a vowel between.
        (r"\b([^اع ])(?=[هح])|([^اويa-z])(?=\2)", r"\1\2ا"),
        ("[اع]{2,}", "ا"),
        (r"\bو|و(?=[اوية])", "w"),
        (r"\bي|ي(?=[اويةw])", "y"),
    )
)
"""Applied in this order to a folded word: compounds are parted, and some vowels told from consonants."""


def _from_arabic(value: str, country: str) -> str:
    letters = _PERSIAN_LETTERS if country in _PERSIAN_READING else _ARABIC_LETTERS
    return _ARABIC_WORD.sub(lambda word: _respelt(word[0]), value.translate(_FOLDED)).translate(letters)


@lru_cache(1 << 16)  # lists repeat the same words
def _respelt(word: str) -> str:
    for pattern, spelling in _SPELLING:
        word = pattern.sub(spelling, word)
    return word


# Ethiopic and Georgian

_ROWS = "h l h m s r s sh k kw k kw b v t ch h hw n ny ' k kw h hw w ' z zh y d d j g gw ng t ch p ts ts f p"
_ORDERS = ("e", "u", "i", "a", "e", "", "o", "wa")
_VOWELS = ("a", "u", "i", "a", "e", "e", "o", "wa")


def _syllable(row: str, order: int) -> str:
    """The spelling of one of a row's eight orders; a row without a consonant and `h` begin with `a`."""
    if row == "'":
        return _VOWELS[order]
    return row + ("a" if row == "h" and order == 0 else _ORDERS[order])


_SYLLABLES_AND_GEORGIAN = {
    0x1200 + 8 * k + order: _syllable(row, order) for k, row in enumerate(_ROWS.split()) for order in range(8)
}
_SYLLABLES_AND_GEORGIAN |= _pairs(
    "აa ბb გg დd ეe ვv ზz თt იi კk ლl მm ნn ოo პp ჟzh რr სs ტt უu ფp ქk ღgh ყq შsh ჩch ცts ძdz წts ჭch ხkh ჯj ჰh"
)
