"""All targets, by name."""

from __future__ import annotations

from tests.fuzz import lists, messages, stored, terms, texts

TARGETS = {target.name: target for module in (lists, messages, terms, stored, texts) for target in module.TARGETS}
