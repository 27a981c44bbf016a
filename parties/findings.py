"""What a look at a list brings up, for a person to decide on. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from parties.shown import shown

FIRST_ROWS = 5
"""How many row numbers a finding names."""


class Severity(Enum):
    """What a finding asks for."""

    NOTE = "note"
    """Good to know."""
    WARNING = "warning"
    """Rows or matches are lost; better corrected before contributing."""
    STOP = "stop"
    """Nothing leaves the computer before a person has decided."""


@dataclass(frozen=True)
class Finding:
    """One thing that a person should know of a list.

    Attributes:
        severity: what it asks for.
        text: one sentence that says what is so and what to do; never with a cell's value but where it names a choice.
        column: heading, or empty.
        count: rows concerned, or 0 where it concerns the file.
        rows: numbers of the first rows concerned, as the spreadsheet shows them.
    """

    severity: Severity
    text: str
    column: str = ""
    count: int = 0
    rows: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self) | {"severity": self.severity.value}

    def to_text(self) -> str:
        """As one line for people."""
        where = f"`{shown(self.column)}`: " if self.column else ""
        more = ", …" if self.count > len(self.rows) else ""
        count = "1 row" if self.count == 1 else f"{self.count:,} rows"
        rows = f" ({count}: {', '.join(map(str, self.rows))}{more})" if self.rows else ""
        return f"{self.severity.value:<8} {where}{self.text}{rows}"
