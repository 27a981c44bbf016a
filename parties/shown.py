"""Words of others inside sentences of ours: short, in one line, without what a terminal obeys or turns text round."""

from __future__ import annotations

from collections.abc import Sequence

NAME_CHARS = 120
"""Of a heading or the name of a sheet so much is shown."""
NAMES = 30
"""So many of them are listed."""
JOINERS = "\u200c\u200d\u200e\u200f"
"""Not printable by themselves, but Arabic and Persian are written with them."""


def shown(text: str, longest: int = NAME_CHARS) -> str:
    """A text as people may see it: what is not printable as �, what is too long with … at its end."""
    line = " ".join(text[: 8 * longest].split())  # not more than can be seen, but for white space
    safe = harmless(line[:longest])
    return safe if len(text) <= 8 * longest and len(line) <= longest else f"{safe[: longest - 1]}…"


def harmless(text: str, besides: str = "") -> str:
    """A text without what a terminal obeys: � in place of what is neither printable, nor a joiner, nor one of these."""
    return "".join(c if c.isprintable() or c in JOINERS or c in besides else "\N{REPLACEMENT CHARACTER}" for c in text)


def listed(names: Sequence[str]) -> str:
    """Names for a sentence: the first of them, and how many more there are."""
    more = [f"… and {len(names) - NAMES:,} more"] if len(names) > NAMES else []
    return ", ".join([*map(shown, names[:NAMES]), *more])
