"""The published test vectors against this Python: `python -m tests.vectors`.

It needs what the standard needs, and neither NumPy nor a list: other Pythons of this machine run it too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

from parties.normalise import VERSION, Context, Normal, codes, dates, documents, names, phones, text
from parties.normalise.phonetic import phonetic
from parties.normalise.standard import canonical
from parties.rules import KeyMaker, Rule, part

VECTORS = Path(__file__).parent.parent / "docs" / "vectors"
FUNCTIONS: dict[str, Callable[[str, Context], Normal]] = {
    "name": names.name,
    "phones": phones.phones,
    "number": lambda cell, _: documents.number(cell),
    "document_type": lambda cell, _: documents.document_type(cell),
    "date": dates.date,
    "year": dates.year,
} | {name: getattr(codes, name) for name in ("sex", "country", "place", "code", "amount", "plain", "period")}


def cases() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every case of every file, with the file's name."""
    for path in sorted(VECTORS.glob("*.json")):
        whole = json.loads(path.read_text("utf-8"))
        assert whole["standard"] == VERSION
        for case in whole["cases"]:
            yield path.name, {"function": whole["function"], **case}


def answer(case: dict[str, Any]) -> tuple[Any, str | None]:
    """What this program makes of a case: values and the note's name."""
    context = Context(case.get("country", ""), case.get("date_order", ""))
    match case["function"]:
        case "text":
            return text(case["in"]), None
        case "phonetic":
            return phonetic(case["in"]), None
        case "order_evidence":
            return dates.order_evidence(case["in"]), None
        case "key":
            return keys(case, context), None
        case "identity":
            normal = documents.identity(*case["in"], context)
        case function:
            normal = FUNCTIONS[function](case["in"], context)
    return list(normal.values), normal.note.name if normal.note else None


def keys(case: dict[str, Any], context: Context) -> list[str]:
    """A row's keys under a rule, in hex."""
    row = case["in"]

    def values(field: str) -> tuple[str, ...]:
        if field == "id_number":
            document = (row.get(name, "") for name in ("id_number", "id_type", "id_country"))
            return documents.identity(*document, context).values
        return canonical(field, row.get(field, ""), context).values

    rule = Rule(case["rule"]["name"], tuple(case["rule"]["fields"]))
    maker = KeyMaker(bytes.fromhex(case["session"]), rule)
    used = [[v for v in map(use.apply, values(use.field)) if v] for use in rule.uses]
    return [maker.key(b"".join(map(part, combination))).hex() for combination in product(*used)]


def wrong() -> list[str]:
    """The cases that this program answers otherwise."""
    found = []
    for name, case in cases():
        out, note = answer(case)
        if (out, note) != (case["out"], case.get("note")):
            found.append(f"{name}: {case!a}: {out!a} {note}")
    return found


if __name__ == "__main__":
    failed = wrong()
    print(
        "\n".join(
            [*failed, f"{sum(1 for _ in cases())} cases, {len(failed)} of them wrong, Python {sys.version.split()[0]}"]
        )
    )
    sys.exit(bool(failed))
