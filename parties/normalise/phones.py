"""Phone numbers in E.164, as the phonenumbers library reads them. Pure.

The library takes ten times as long as a list of a million rows allows, so most numbers take a fast path: for digits
alone almost every step of the library's `parse` changes nothing, and the few that do are done here with the library's
own tables. Where a condition for that does not hold, the library is asked.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from phonenumbers import (
    COUNTRY_CODE_TO_REGION_CODE,
    NumberParseException,
    PhoneMetadata,
    PhoneNumberFormat,
    ValidationResult,
    format_number,
    is_possible_number_with_reason,
    parse,
)

from parties.normalise.cells import content, is_scientific, without_decimal
from parties.normalise.notes import Context, Normal, Note, unusable
from parties.normalise.placeholders import is_placeholder

_EXTENSION = re.compile(
    r"(?<=[0-9])[\s,;.(-]*(?:(?:;ext=|extension|extn|ext|x|#|доб|внутр|вн|poste|anexo|interno|int|تحويلة|داخلي)[\s.:=]*)"
    r"[0-9]{1,6}\)?#?"
)
_BETWEEN = re.compile(r"[,;:|/\\&]|\b[^\W\d_]+\b|(?=\+)")
_LETTER = re.compile(r"[^\W\d_]")
_EDGES = " \t;'\"`=\N{RIGHT SINGLE QUOTATION MARK}"
_UNREADABLE = {
    NumberParseException.NOT_A_NUMBER: Note.NOT_RECOGNISED,
    NumberParseException.INVALID_COUNTRY_CODE: Note.NOT_RECOGNISED,
}
_ALIKE = 7
"""So many equal digits at the end are a placeholder."""


def phones(cell: str, context: Context) -> Normal:
    """A cell's phone numbers in E.164, in the order written, each once.

    A number counts when the library finds its length possible for its country, area code included. Of several
    numbers those that cannot be read are left out, and the note says why the first of them could not.
    """
    compact = cell.replace(" ", "").replace("-", "").replace("(", "").replace(")", "")
    if compact.count(".") > 1:  # one may be the decimal point of a spreadsheet
        compact = compact.replace(".", "")
    is_decimal = compact.endswith(".0") and compact == cell.strip()
    digits = compact[:-2] if is_decimal else compact
    quick = _fast(digits, context.country)
    if quick is None:
        return _by_parts(cell, context)
    return (
        unusable(Note.PLACEHOLDER)
        if _is_made_up(quick, digits)
        else Normal((quick,), Note.DECIMAL if is_decimal else None)
    )


def _by_parts(cell: str, context: Context) -> Normal:
    """`phones` of any cell."""
    value = content(re.sub(r"[\r\n]+", ";", cell).strip(_EDGES))
    if isinstance(value, Note):
        return unusable(value)
    if is_scientific(value):
        return unusable(Note.SCIENTIFIC)
    whole = without_decimal(value)
    parts = _BETWEEN.split(_EXTENSION.sub(" ", whole or value))
    found = [_number(part.strip(), context.country) for part in parts if re.search(r"\d", part)]
    if not found:
        return unusable(Note.NOT_RECOGNISED)
    values = tuple(dict.fromkeys(number for number in found if isinstance(number, str)))
    notes = [note for note in found if isinstance(note, Note)]
    return Normal(values, notes[0] if notes else Note.DECIMAL if whole else None)


def _number(part: str, country: str) -> str | Note:
    if _LETTER.search(part):
        return Note.NOT_RECOGNISED  # the library would dial letters: 1-800-FLOWERS
    number = _by_library(part, country)
    return Note.PLACEHOLDER if _is_made_up(number if isinstance(number, str) else "", part) else number


def _is_made_up(number: str, written: str) -> bool:
    return len(set(number[-_ALIKE:])) == 1 or is_placeholder(written.lstrip("+"))


def _by_library(number: str, country: str) -> str | Note:
    """A number as the library reads it; where it cannot and the number begins with 00, that stands for a plus sign."""
    found = _read(number, country)
    return _read("+" + number[2:], country) if isinstance(found, Note) and number.startswith("00") else found


def _read(number: str, country: str) -> str | Note:
    found = _parsed(number, country)
    if isinstance(found, str) and _parsed(found, "") != found:
        return Note.NOT_RECOGNISED  # behind its national prefix there is what looks like another one
    return found


def _parsed(number: str, country: str) -> str | Note:
    try:
        found = parse(number, country or None)
    except NumberParseException as error:
        if error.error_type == NumberParseException.INVALID_COUNTRY_CODE and not number.startswith("+"):
            return Note.NO_COUNTRY
        return _UNREADABLE.get(error.error_type, Note.WRONG_LENGTH)
    if is_possible_number_with_reason(found) != ValidationResult.IS_POSSIBLE:
        return Note.WRONG_LENGTH
    return str(format_number(found, PhoneNumberFormat.E164))


# The fast path


class _Plan(NamedTuple):
    """What the library knows of a region's numbers.

    Attributes:
        code: of the country.
        international: pattern of the prefix dialled before a country code.
        trunk: pattern of the national prefix, or None.
        transform: whether what is dialled after the prefix may be rewritten.
        number: pattern of all national numbers.
        lengths: of national numbers with their area code.
    """

    code: str
    international: re.Pattern[str]
    trunk: re.Pattern[str] | None
    transform: bool
    number: re.Pattern[str]
    lengths: frozenset[int]


def _plan(data: PhoneMetadata | None) -> _Plan | None:
    if data is None or data.general_desc is None:
        return None
    general, trunk = data.general_desc, data.national_prefix_for_parsing
    return _Plan(
        str(data.country_code),
        re.compile(data.international_prefix or "(?!)"),
        re.compile(trunk) if trunk else None,
        bool(data.national_prefix_transform_rule),
        re.compile(general.national_number_pattern or "(?!)"),
        frozenset(general.possible_length or ()) - frozenset(general.possible_length_local_only or ()),
    )


@cache
def _region(country: str) -> _Plan | None:
    """The plan of a region; None when the library does not know it."""
    return _plan(PhoneMetadata.metadata_for_region(country, None))


@cache
def _calling(code: str) -> _Plan | None:
    """The plan of the main region of a country code, by which the library judges all its numbers."""
    regions = COUNTRY_CODE_TO_REGION_CODE.get(int(code))
    return _plan(PhoneMetadata.metadata_for_region_or_calling_code(int(code), regions[0])) if regions else None


def _fast(number: str, country: str) -> str | None:
    """What `_by_library` gives for a number without punctuation; None when that is not certain.

    Args:
        number: any text; only 7 to 17 digits 0 to 9, perhaps after a plus sign, are answered. Of these the library's
            search for a start, an end, an extension and letters finds nothing to change.
        country: the session's.
    """
    if number[:1] == "+":
        return _international(number[1:])
    if not _are_digits(number):
        return None
    plan = _region(country)
    if plan is None:  # national numbers cannot be read; a plus sign is put for 00
        return _international(number[2:]) if number.startswith("00") else None
    dialled = plan.international.match(number)
    if dialled:
        return _international(number[dialled.end() :])
    if number.startswith(plan.code):
        return _without_plus(number, plan)
    national = _without_trunk(number, plan)
    return None if national is None else _international(plan.code + national)


def _are_digits(number: str) -> bool:
    return 7 <= len(number) <= 17 and number.isascii() and number.isdigit()


def _international(digits: str) -> str | None:
    """The number of a country code and a national number.

    The library finds the code (no code begins another one), takes the main region's plan, strips its national prefix
    and compares the length. Here the prefix must not be there, so the digits stay what they are: leading zeros of the
    national number are counted off and put back. What is answered therefore reads as itself.
    """
    if not _are_digits(digits) or digits[0] == "0":
        return None
    for length in (1, 2, 3):
        plan = _calling(digits[:length])
        if plan:
            national = digits[length:]
            good = len(national) in plan.lengths and _without_trunk(national, plan) == national
            return "+" + digits if good else None
    return None


def _without_plus(number: str, plan: _Plan) -> str | None:
    """A number that begins with the region's own country code.

    The library takes the code off when the number is too long for the region with it. Before that it strips the
    national prefix from what follows, so the prefix must not be there.
    """
    national = number[len(plan.code) :]
    if not plan.lengths or len(number) <= max(plan.lengths) or _without_trunk(national, plan) != national:
        return None
    return _international(number)


def _without_trunk(national: str, plan: _Plan) -> str | None:
    """A national number without its prefix; None when what the library would do is not certain.

    The library leaves the number alone when the pattern is not there or takes nothing. It strips the prefix when the
    rest is a number of the region, or the whole is none: here the rest must be one, of a possible length. A prefix
    with a rule that rewrites the number is left to the library.
    """
    prefix = plan.trunk.match(national) if plan.trunk else None
    if prefix is None:
        return national
    if plan.transform and prefix.groups()[-1] is not None:
        return None
    rest = national[prefix.end() :]
    if rest == national or (plan.number.fullmatch(rest) and len(rest) in plan.lengths):
        return rest
    return None
