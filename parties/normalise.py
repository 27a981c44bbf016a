"""Canonical forms of what lists contain, the same at every agency. Pure, versioned: one differing byte is no match."""

from __future__ import annotations

import unicodedata

VERSION = "text-1"
"""Version of the normalisation: part of the signed terms and of every key."""


def text(value: str) -> str:
    """A cell as it is compared: NFKC, case-folded, trimmed; white space inside counts as one space.

    NFKC is applied again after case-folding, which can undo it (Unicode, section 3.13), so the form is idempotent.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).casefold())
    return " ".join(folded.split())
