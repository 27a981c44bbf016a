"""Canonical forms of what lists contain, the same at every agency: the standard `matchbit-1`. Pure, versioned.

Every field's normaliser is total: any text gives canonical values or the reason why not. Documented for other
implementations in docs/normalisation.md, with test vectors.
"""

from __future__ import annotations

from parties.normalise.characters import text
from parties.normalise.notes import Context, Normal, Note

VERSION = "matchbit-1"
"""Version of the normalisation: part of the signed terms and of every key."""

__all__ = ["VERSION", "Context", "Normal", "Note", "text"]
