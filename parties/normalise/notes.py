"""What a normaliser says of a cell besides its canonical values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Note(Enum):
    """Why a cell has no canonical value, or what to look at although it has one; the value is for people."""

    EMPTY = "is empty"
    PLACEHOLDER = "holds a placeholder, not a value"
    UNSUPPORTED = "has characters that the standard does not know; type it again"
    TOO_LONG = "is longer than the standard allows; shorten it"
    SCIENTIFIC = "was turned into a rounded number such as 3.8E+11: digits are lost; export the column again as text"
    NOT_RECOGNISED = "cannot be read as what this column holds"
    NO_COUNTRY = "is a national number, and the session names no country; write it with + and the country's code"
    WRONG_LENGTH = "has too few or too many digits"
    AMBIGUOUS_DATE = "could be day and month or month and day; say `date_order` under [list] in a --map file"
    NO_SUCH_DATE = "is a day that does not exist"
    TWO_DIGIT_YEAR = "has a year of two digits; write all four"
    EXCEL_SERIAL = (
        "is a number where a date should be (Excel's count of days); "
        "format the column as a date in the spreadsheet and save again"
    )
    OTHER_CALENDAR = "has a year of another calendar; write the Gregorian date"
    PARTIAL_DATE = "is a date without day or month, compared with such dates only"
    CHECK_DIGIT = "has a wrong check digit, so it may be mistyped; it is compared as it is"
    DECIMAL = "was turned into a decimal number by a spreadsheet; the end `.0` is left out"
    NO_LETTERS = "has no letters"


class Normal(NamedTuple):
    """A cell in canonical form.

    Attributes:
        values: canonical values; none when the cell cannot be used, several where a cell lists several.
        note: why there is none, or what to look at; None when all is well.
    """

    values: tuple[str, ...]
    note: Note | None = None


@dataclass(frozen=True)
class Context:
    """What normalisers must know besides the cell.

    Attributes:
        country: the session's country, ISO 3166 alpha-2 in capitals, or empty: of national phone numbers, identity
            documents, and how ambiguous Cyrillic letters are read.
        date_order: of the list: `dmy`, `mdy`, or empty when unknown.
    """

    country: str = ""
    date_order: str = ""


def unusable(note: Note) -> Normal:
    """No value, for this reason."""
    return Normal((), note)
