"""Builders that the tests of `parties` share."""

import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings

from parties import config, normalise
from parties.config import Config
from parties.manifest import Manifest, sign
from parties.rules import Rule
from parties.similar import Block, Compared, Similar

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
RULES = (Rule("id", ("id_number",)), Rule("phone and birth date", ("phone", "birth_date")))
SIMILAR = Similar(
    blocks=(Block(("phone",), 1), Block(("birth_date:unordered", "full_name:phonetic:each-word"), 2)),
    comparisons=(
        Compared("full_name", "names", 3, (-40, -20, 10, 0, 40, 30, 60)),
        Compared("birth_date", "date", 1, (-30, 5, 5, 30, 20, 40)),
        Compared("phone", "number", 2, (-8, 20, 40)),
    ),
    thresholds=(60,),
    largest_group=50,
)
"""A similar rule's terms, for a flag."""
GRADED = replace(SIMILAR, thresholds=(30, 60, 90))
ALIKE, ALIKE_GRADED = (Rule("similar people", s.fields, similar=s) for s in (SIMILAR, GRADED))
JARGON = ("Traceback", "traceback", "Exception", "Errno", "NoneType", "object at 0x", "TypeError")
"""What no sentence for people may contain."""


def examples(count: int = 100) -> settings:
    """The same examples in every run, without a clock."""
    unhealthy = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(
        max_examples=count, deadline=None, derandomize=True, print_blob=True, suppress_health_check=unhealthy
    )


def manifest(**changes: Any) -> Manifest:
    """Good terms, with changes; `nodes` follows the names unless it is given."""
    terms: dict[str, Any] = {
        "title": "Winter cash",
        "purpose": "deconfliction before distribution",
        "legal_basis": "",
        "coordinator": "hub",
        "members": ("agency-a", "agency-b", "agency-c"),
        "committee": ("agency-a", "agency-b", "neutral"),
        "rules": RULES,
        "normalisation": normalise.VERSION,
        "country": "UA",
        "reveal": "flag",
        "engine": "replicated",
        "threshold": 1,
        "statistics": None,
        "max_records": 1000,
        "min_records": 1,
        "max_sessions": 1000,
        "period_days": 30,
        "dummies": None,
        "verify_tags": False,
        "created": "2026-11-20T12:00:00+00:00",
        "expires": "2026-12-31T00:00:00+00:00",
        "retention_days": 7,
    } | changes
    terms = {"min_members": len(terms["members"]), "max_new_records": terms["max_records"]} | terms
    names = dict.fromkeys((*terms["members"], *terms["committee"], terms["coordinator"]))
    return Manifest(**({"nodes": {name: hashlib.sha256(name.encode()).hexdigest() for name in names}} | terms))


def toml(**changes: Any) -> dict[str, Any]:
    """A good manifest file as it is parsed, with changes to its [session] table; None takes an entry out."""
    session = {
        "title": "Winter cash",
        "purpose": "deconfliction before distribution",
        "members": ["agency-a", "agency-b", "agency-c"],
        "committee": ["agency-a", "agency-b", "neutral"],
        "country": "UA",
        "max_records": 1000,
        "expires": datetime(2026, 12, 31, tzinfo=UTC),
    } | changes
    rules = [{"name": rule.name, "fields": list(rule.fields)} for rule in RULES]
    return {"session": {k: v for k, v in session.items() if v is not None}, "rule": rules}


def digests(*names: str) -> dict[str, str]:
    """What a coordinator's federation says of nodes."""
    return {name: hashlib.sha256(name.encode()).hexdigest() for name in names}


def federate(folder: Path, names: Sequence[str], addresses: dict[str, str] | None = None) -> dict[str, Config]:
    """Real nodes, each with keys of its own, that know each other; `hub` is their coordinator."""
    known = {"hub": "127.0.0.1:1"} | (addresses or {})
    nodes = {n: config.create(n, folder / n, known.get(n, ""), n == "hub") for n in dict.fromkeys((*names, "hub"))}
    entries = "\n".join((node.folder / "entry.toml").read_text("utf-8") for node in nodes.values())
    for node in nodes.values():
        node.federation_path.write_text(entries, "utf-8")
    return nodes


def terms_of(nodes: dict[str, Config], **changes: Any) -> Manifest:
    """Terms by the nodes' real keys."""
    terms = manifest(**changes)
    known = nodes["hub"].federation()
    named = (*terms.participants, terms.coordinator)
    return manifest(**changes | {"nodes": {name: known[name].digest for name in named}})


def approvals(nodes: dict[str, Config], terms: Manifest) -> dict[str, bytes]:
    """Everyone's real signature."""
    return {name: sign(nodes[name].identity().signing_key, terms.session_id, name) for name in terms.participants}


def write(path: Path, content: str | bytes) -> Path:
    """A file with exactly this content."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def files(folder: Path) -> dict[str, bytes]:
    """Everything in a folder, to see that nothing was changed or left behind."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def chunk_owners(path: Path) -> set[bytes]:
    """Whose pieces a database holds, read past our own code."""
    connection = sqlite3.connect(path)
    try:
        return {row[0] for row in connection.execute("SELECT owner FROM chunks")}
    finally:
        connection.close()


def on_disk(path: Path) -> bytes:
    """A database and all that belongs to it, byte for byte."""
    return b"".join(p.read_bytes() for p in sorted(path.parent.iterdir()) if p.name.startswith(path.name))
