"""Cells that a spreadsheet would run as formulas: an apostrophe keeps them from it, and is taken off in reading.

A spreadsheet that takes another delimiter than the file's own sees cells where we wrote parts of one, so what follows a
delimiter or a line end inside a cell counts as the beginning of one too; blanks and quotes before it may be dropped.
"""

from __future__ import annotations

import re

DELIMITERS = ",;\t|"
_NUMBER = r"[+-]\d[\d ]*(\.\d+)?"
"""A signed number or a phone number: begins like a formula, but is none."""


def _before(mark: str) -> str:
    """The place of a mark that what could begin a formula follows."""
    begin = rf"(?:\A|[{DELIMITERS}\r\n])[ \"]*(?={mark}[=+\-@＝＋－＠])"
    return rf"(\A(?={mark}[\t\r\n])|{begin})"


_LIVE = re.compile(_before("") + rf"(?!{_NUMBER}\Z)")
_INERT = re.compile(_before("'") + "'")


def inert(cell: str) -> str:
    """The cell with an apostrophe before what could begin a formula."""
    return _LIVE.sub(r"\1'", cell)


def plain(cell: str) -> str:
    """The cell without these apostrophes."""
    return _INERT.sub(r"\1", cell) if "'" in cell else cell
