"""Which normaliser is for which field."""

from __future__ import annotations

from collections.abc import Callable

from parties.normalise import codes, dates, documents, names
from parties.normalise.notes import Context, Normal


def _phones(cell: str, context: Context) -> Normal:
    from parties.normalise import phones  # noqa: PLC0415 - daemons know values of other fields, and do without its tables

    return phones.phones(cell, context)


NORMALISERS: dict[str, Callable[[str, Context], Normal]] = {
    "given_name": names.name,
    "middle_name": names.name,
    "family_name": names.name,
    "full_name": names.name,
    "birth_date": dates.date,
    "birth_year": dates.year,
    "sex": codes.sex,
    "phone": _phones,
    "id_type": lambda cell, _: documents.document_type(cell),
    "id_country": codes.country,
    "id_number": lambda cell, context: documents.identity(cell, "", "", context),
    "household_id": codes.code,
    "admin1": codes.place,
    "admin2": codes.place,
    "admin3": codes.place,
    "admin4": codes.place,
    "registration_date": dates.date,
    "amount": codes.amount,
    "period": codes.period,
}
"""Standard field → its normaliser; every other column is compared as plain text."""


def canonical(field: str, cell: str, context: Context) -> Normal:
    """A cell of a field in canonical form; never raises."""
    return NORMALISERS.get(field, codes.plain)(cell, context)
