from datetime import date as day
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.normalise import Context, Note, dates
from parties.normalise.dates import date, order_evidence
from tests.parties.normalise.cases import cases, expected, found
from tests.parties.samples import examples

ORDERS = st.sampled_from(["", "dmy", "mdy"])
DAYS = st.dates(day(1900, 1, 2), day(2099, 12, 31))


@pytest.mark.parametrize("case", cases("dates"))
def test_vectors(case: dict[str, Any]) -> None:
    normalise = getattr(dates, case["function"])
    assert found(normalise(case["in"], Context("", case["date_order"]))) == expected(case)


@given(st.text(st.characters() | st.sampled_from("0123456789/-. :Tjanміс"), max_size=20), ORDERS)
@examples(500)
def test_any_text_and_again(cell: str, order: str) -> None:
    normal = date(cell, Context("", order))
    assert normal.values or normal.note
    for value in normal.values:
        assert date(value, Context()) == normal
    assert order_evidence(cell) in {"dmy", "mdy", "both", ""}


@given(DAYS, st.sampled_from("/-. "), st.booleans())
@examples(300)
def test_every_day_in_both_orders(at: day, separator: str, padded: bool) -> None:
    width = 2 if padded else 1
    first, second = f"{at.day:0{width}}", f"{at.month:0{width}}"
    for order, parts in (("dmy", (first, second)), ("mdy", (second, first))):
        cell = separator.join((*parts, str(at.year)))
        assert date(cell, Context("", order)).values == (at.isoformat(),)
        unknown = date(cell, Context())
        if at.day > 12 or at.day == at.month:
            assert unknown.values == (at.isoformat(),)
            assert order_evidence(cell) == ("" if at.day == at.month else order)
        else:
            assert unknown.note is Note.AMBIGUOUS_DATE
            assert order_evidence(cell) == "both"


@pytest.mark.parametrize(
    "cell", ["1980-01-31", "1/1/1980", "31 Jan 1980", "05/1980", "31/02/1980", "01/02/1445", "", "-"]
)
def test_what_tells_nothing_of_the_order(cell: str) -> None:
    assert order_evidence(cell) == ""


def test_the_time_does_not_hide_the_order() -> None:
    assert order_evidence("1/31/1980 12:00:00 AM") == "mdy"
