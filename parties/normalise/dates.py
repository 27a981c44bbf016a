"""Dates in ISO 8601, whole or in part. Pure: there is no today here, so two-digit years have no century."""

from __future__ import annotations

import re
from calendar import monthrange

from parties.normalise.cells import content, without_decimal
from parties.normalise.notes import Context, Normal, Note, unusable

_THREE_NUMBERS = re.compile(r"([0-9]+)[/.-]([0-9]+)[/.-]([0-9]+)")
_TIME = re.compile(r"(?<=[0-9])[t\s,]+[0-9]{1,2}:[0-9]{2}.*")
_EXCEL = re.compile(r"[0-9]{5}(?:[.,][0-9]+)?")
_ORDINAL = re.compile(r"(?<=[0-9])(?:st|nd|rd|th|er|º|ª|-?го|-?е)\b")
_TOKEN = re.compile(r"[0-9]+|[^\W\d_]+")
_SEPARATORS = re.compile(r"[\s/.,'\u060c\u2010-\u2015\u2212-]*")
_TWO_WORDS = re.compile(r"(كانون|تشرين) ")
_MADE_UP = ("1899-12-30", "1899-12-31", "1900-01-00", "1900-01-01")
"""What spreadsheets and databases make of nothing."""
_FILLERS = frozenset(
    ["of", "the", "le", "de", "del", "el", "du", "la", "року", "рік", "р", "года", "год", "г", "عام", "سنة"]
)
_MONTHS = {
    word: number
    for number, words in enumerate(
        """
        january jan janvier janv enero ene يناير كانونالثاني جانفي січень січня січ январь января янв
        february feb février fevrier févr fevr fév febrero فبراير شباط فيفري лютий лютого лют февраль февраля фев февр
        march mar mars marzo مارس آذار اذار березень березня бер берез март марта мар
        april apr avril avr abril abr أبريل ابريل إبريل نيسان أفريل افريل квітень квітня кві квіт апрель апреля апр
        may mai mayo مايو أيار ايار ماي травень травня тра трав май мая
        june jun juin junio يونيو يونيه حزيران جوان червень червня чер черв июнь июня июн
        july jul juillet juil julio يوليو يوليه تموز جويلية липень липня лип июль июля июл
        august aug août aout agosto ago أغسطس اغسطس آب اب أوت اوت серпень серпня сер серп август августа авг
        september sep sept septembre septiembre setiembre set سبتمبر أيلول ايلول вересень вересня вер верес сентябрь\
 сентября сен сент
        october oct octobre octubre أكتوبر اكتوبر تشرينالأول تشرينالاول жовтень жовтня жов жовт октябрь октября окт
        november nov novembre noviembre نوفمبر تشرينالثاني листопад листопада лис лист ноябрь ноября ноя нояб
        december dec décembre decembre déc diciembre dic ديسمبر كانونالأول كانونالاول грудень грудня гру груд декабрь\
 декабря дек
        """.strip().splitlines(),
        1,
    )
    for word in words.split()
}


def date(cell: str, context: Context) -> Normal:
    """A date: `1980-01-31`, or in part `1980-01` or `1980`.

    Year, month, day in this order are always read; day/month/year and month/day/year as the list's order says, or
    where only one of them is a day that exists. Months may be words in six languages. A time of day is left out.
    """
    value = content(cell)
    found = value if isinstance(value, Note) else _read(value, context.date_order)
    if isinstance(found, Note):
        return unusable(found)
    return Normal((found,), None if len(found) == len("1980-01-31") else Note.PARTIAL_DATE)


def year(cell: str, context: Context) -> Normal:
    """The year of a date, also where day and month cannot be told apart: `1980`."""
    found = date(cell, Context(context.country, "dmy"))
    return Normal((found.values[0][:4],)) if found.values else found


def order_evidence(cell: str) -> str:
    """What a cell tells of the order of its column's dates.

    Returns:
        `dmy` or `mdy` when it is a day that exists in this order only, `both` when both orders give different days,
        else empty.
    """
    value = content(cell)
    tokens = [] if isinstance(value, Note) else _tokens(_TIME.sub("", value))
    if [len(token) > 2 for token in tokens if token.isdigit()] != [False, False, True] or len(tokens) > 3:
        return ""
    days = {order: _day_and_month(tokens, order) for order in ("dmy", "mdy")}
    fits = [order for order, day in days.items() if isinstance(day, str)]
    if len(fits) == 1:
        return fits[0]
    return "both" if fits and days["dmy"] != days["mdy"] else ""


def _read(value: str, order: str) -> str | Note:
    usual = _THREE_NUMBERS.fullmatch(value)
    if usual:
        return _numbers(list(usual.groups()), order)
    value = without_decimal(value) or _TIME.sub("", value)
    if _EXCEL.fullmatch(value):
        return Note.EXCEL_SERIAL
    tokens = _tokens(value)
    return _numbers(tokens, order) if all(token.isdigit() for token in tokens) else _with_word(tokens)


def _tokens(value: str) -> list[str]:
    """Numbers and words; none when something else than separators stands between them."""
    value = _TWO_WORDS.sub(r"\1", _ORDINAL.sub("", value))
    if not _SEPARATORS.fullmatch(_TOKEN.sub("", value)):
        return []
    return [token for token in _TOKEN.findall(value) if token not in _FILLERS]


def _numbers(tokens: list[str], order: str) -> str | Note:
    """A date of numbers alone."""
    match tokens, [len(token) for token in tokens]:
        case [only], [4 | 8]:
            return _day(only[:4], only[4:6] or "0", only[6:] or "0")
        case ([first, month], [4, 1 | 2]) | ([month, first], [1 | 2, 4]):
            return _day(first, month, "0")
        case [first, month, day], [4, 1 | 2, 1 | 2]:
            return _day(first, month, day)
        case [_, _, _], [1 | 2, 1 | 2, 4]:
            return _year_last(tokens, order)
    is_short = len(tokens) == 3 and max(map(len, tokens)) == 2 and 2 in (len(tokens[0]), len(tokens[2]))
    return Note.TWO_DIGIT_YEAR if is_short else Note.NOT_RECOGNISED


def _year_last(tokens: list[str], order: str) -> str | Note:
    readings = [_day_and_month(tokens, other) for other in ("dmy", "mdy")]
    if order == "mdy":
        readings.reverse()
    days = [day for day in readings if isinstance(day, str)]
    if not order and len(set(days)) > 1:
        return Note.AMBIGUOUS_DATE
    return days[0] if days else readings[0]


def _day_and_month(tokens: list[str], order: str) -> str | Note:
    first, second, last = tokens
    return _day(last, second, first) if order == "dmy" else _day(last, first, second)


def _with_word(tokens: list[str]) -> str | Note:
    """A date whose month is a word, in any order."""
    years = [token for token in tokens if token.isdigit() and len(token) == 4]
    days = [token for token in tokens if token.isdigit() and len(token) <= 2]
    words = [token for token in tokens if not token.isdigit()]
    if len(tokens) == 3 and len(days) == 2 == max(map(len, days)) and words[0] in _MONTHS:
        return Note.TWO_DIGIT_YEAR
    if len(years) != 1 or len(days) > 1 or len(words) != 1 or len(tokens) != len(days) + 2:
        return Note.NOT_RECOGNISED
    month = _MONTHS.get(words[0])
    if month is None:
        return Note.OTHER_CALENDAR if _is_of_other_calendar(int(years[0])) else Note.NOT_RECOGNISED
    return _day(years[0], str(month), days[0] if days else "0")


def _day(years: str, months: str, days: str) -> str | Note:
    """A date of numbers; a day, or month and day, of 0 is not known."""
    number, month, day = int(years), int(months), int(days)
    whole = f"{number}-{month:02}-{day:02}"
    if number == 9999 or whole in _MADE_UP:
        return Note.PLACEHOLDER
    if not 1900 <= number <= 2099:
        return Note.OTHER_CALENDAR if _is_of_other_calendar(number) else Note.NOT_RECOGNISED
    if month == day == 0:
        return f"{number}"
    if not 1 <= month <= 12 or day > monthrange(number, month)[1]:
        return Note.NO_SUCH_DATE
    return whole if day else f"{number}-{month:02}"


def _is_of_other_calendar(number: int) -> bool:
    """Whether a year looks like one of the Islamic or Persian calendar, or the Buddhist."""
    return 1300 <= number <= 1500 or 2400 <= number <= 2700
