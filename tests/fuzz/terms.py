"""Targets: terms and settings, as bytes of a peer's or as files that people write or are sent."""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mpc.dummies import Dummies
from parties import columns, config, federation, identity, policy, policyfile, toml, vault
from parties.commands import id_bytes
from parties.errors import ServiceError
from parties.identity import certificate_digest, certificate_pem, certificate_subject, valid_until
from parties.manifest import MAX_MANIFEST_BYTES, Manifest, from_bytes
from parties.manifestfile import from_toml, rules_file
from parties.policy import Past
from parties.statistics import Category, Statistics
from tests.fuzz.mutations import in_json
from tests.fuzz.target import Target, in_file
from tests.parties.inventing import GRADED
from tests.parties.samples import NOW, RULES, digests, manifest

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
MANIFEST = b"""\
[session]
title = "Winter cash"
purpose = "deconfliction before distribution"
legal_basis = "an agreement"
members = ["agency-a", "agency-b", "agency-c"]
committee = ["agency-a", "agency-b", "neutral"]
country = "UA"
reveal = "count"
max_records = 50_000
min_records = 10
max_new_records = 1000
min_members = 2
max_sessions = 3
period_days = 30
dummies = { epsilon = 1.0, delta = 1e-6 }
verify_tags = true
engine = "replicated"
threshold = 1
expires = 2026-12-31T00:00:00Z
retention_days = 7
[[rule]]
name = "id"
fields = ["id_number:last4"]
scope = "household"
[[rule]]
name = "name and year"
fields = ["full_name:phonetic:sorted", "birth_date:year", "Heading"]
"""
STATISTICS = b"""\
[session]
title = "Who is held by several"
purpose = "planning"
members = ["agency-a", "agency-b", "agency-c"]
committee = ["agency-a", "agency-b", "agency-c", "neutral", "agency-d"]
reveal = "statistics"
engine = "mpyc"
threshold = 2
max_records = 1000
expires = 2026-12-31T00:00:00Z
[session.statistics]
smallest_cell = 10
[[session.statistics.category]]
field = "sex"
values = ["female", "male"]
[[session.statistics.category]]
field = "birth_date"
ages = [0, 5, 18, 60]
[[rule]]
name = "id"
fields = ["id_number"]
"""
SIMILAR = b"""\
[session]
title = "Winter cash"
purpose = "deconfliction before distribution"
members = ["agency-a", "agency-b", "agency-c"]
committee = ["agency-a", "agency-b", "neutral"]
reveal = "grade"
max_records = 1000
dummies = { epsilon = 8.0, delta = 1e-3 }
expires = 2026-12-31T00:00:00Z
[[rule]]
name = "id"
fields = ["id_number"]
[[rule]]
name = "similar people"
kind = "similar"
tradition = "general"
thresholds = [30, 60, 90]
largest_group = 5
blocks = [
    { fields = ["phone:last8"] },
    { fields = ["birth_date:unordered", "full_name:phonetic:each-word"], keys = 3 },
    { fields = ["full_name:word-pairs", "Heading"], keys = 2 },
]
compare = [
    { field = "full_name", kind = "names", values = 3, weights = [-40, -20, 10, 0, 40, 30, 60] },
    { field = "phone", kind = "number", values = 2, weights = [-8, 20, 40] },
    { field = "Heading", kind = "text", weights = [-8, 4, 8] },
]
"""
MAP = b"""\
[columns]
full_name = "Name"
phone = ["Phone", "Phone 2"]
id_number = { passport = "Passport", national_id = ["ID", "Tax number"] }
mine = "My heading"
[constants]
id_country = "UA"
birth_year = "1980"
[list]
encoding = "windows-1251"
delimiter = ";"
sheet = "Sheet1"
heading_row = 2
date_order = "dmy"
"""
NODE = config.NODE_TOML.format(name="agency-a", listen="0.0.0.0:7700", lanes=4)
NODES = digests("hub", *(f"agency-{letter}" for letter in "abcdefgh"), "neutral")


def _manifest(data: bytes) -> None:
    """Bytes are refused, or are the canonical ones of terms that everything else can work with."""
    terms = from_bytes(data)
    assert terms.to_bytes() == data
    assert from_bytes(terms.to_bytes()) == terms
    _look(terms)


def _look(terms: Manifest) -> None:
    """What is done with terms before anybody has approved them."""
    terms.is_ahead(NOW)
    terms.is_past(NOW)
    terms.retained_until()
    assert all(text.isprintable() for text in (terms.title, terms.purpose, *terms.warnings()))
    past = [Past(terms.members, NOW), Past(terms.members, None)]
    for allowed in _policies():
        ruling = allowed.judge(terms, terms.members[0], past, NOW)
        assert len(ruling.told) <= policy.MAX_TOLD_CHARS


def _policies() -> list[policy.Policy]:
    few = frozenset({"agency-a"})
    strict = policy.Policy(
        coordinators=few, partners=few, reveal=frozenset({"flag"}), rules=frozenset({("phone",)}), max_records=1,
        min_records=1000, max_new_records=1, min_members=1000, max_retention_days=1, max_days_open=1, legal_basis=True,
        purposes=few, cooldown_days=366, verify_tags=True, engine=frozenset({"mpyc"}), min_threshold=4,
    )  # fmt: skip
    return [policy.Policy(), strict]


def _manifests() -> list[bytes]:
    hidden = manifest(dummies=Dummies(1.0, 1e-6), reveal="members", title="Зимова допомога", legal_basis="an agreement")
    table = Statistics(10, (Category("sex", ("female", "male")), Category("birth_date", ages=(0, 5, 18, 60))))
    counted = manifest(reveal="statistics", statistics=table, rules=RULES[:1], engine="mpyc")
    graded = manifest(reveal="grade", rules=(RULES[0], GRADED), dummies=Dummies(8.0, 1e-3))
    return [terms.to_bytes() for terms in (manifest(), hidden, counted, graded)]


def _file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], None]:
    return lambda data: void(read(in_file(name, data)))


def void(_: object) -> None:
    """Of a target that only must not fail."""


def _manifest_file(path: Path) -> None:
    terms = from_toml(toml.read(path), "hub", NODES, NOW)
    assert from_bytes(terms.to_bytes()) == terms
    _look(terms)


def _map_file(path: Path) -> None:
    mapped = columns.read_map(toml.read(path), path)
    assert columns.MapFile.from_json(mapped.to_json()) == mapped
    with suppress(ServiceError):
        columns.map_columns(["Name", "Phone", "ID", "My heading"], [], mapped, Path("list.csv"))


def _policy_file(path: Path) -> None:
    policyfile.read(path).judge(manifest(), "agency-a", [], NOW)


def _federation(path: Path) -> None:
    """Whoever is accepted can be written, and is read again as the same."""
    known = federation.load(path)
    for node in known.nodes.values():
        assert known.by_certificate(node.certificate) == node
    again = in_file("again.toml", "\n".join(node.entry() for node in known.nodes.values()).encode())
    assert federation.load(again).nodes == known.nodes


def _certificate(data: bytes) -> None:
    pem = certificate_pem(data)
    assert certificate_pem(pem) == pem
    assert certificate_digest(pem) == certificate_digest(data)
    assert certificate_subject(pem).isprintable()
    valid_until(pem)


def _session_id(data: bytes) -> None:
    assert 4 <= len(id_bytes(data.decode("utf-8", "replace"))) <= 32


def _entries() -> list[bytes]:
    """entry.toml of two nodes, of which one replaces its certificate."""
    entries = []
    for name in ("agency-a", "neutral"):
        with tempfile.TemporaryDirectory() as made:
            node = identity.create(name, Path(made), vault.new(), NOW)
        node = node.rotating(NOW) if name == "neutral" else node
        entries.append(federation.entry_of(node, f"{name}.example.org:7700", name == "neutral").entry().encode())
    return [*entries, b"\n".join(entries)]


def _certificates() -> list[bytes]:
    return [node["certificate"].encode() for entry in _entries()[:2] for node in tomllib.loads(entry.decode())["node"]]


TARGETS = (
    Target("manifest", _manifest, _manifests, in_json, longest=MAX_MANIFEST_BYTES),
    Target("manifest-file", _file("manifest.toml", _manifest_file), lambda: [MANIFEST, STATISTICS, SIMILAR]),
    Target("rules-file", _file("rules.toml", lambda path: rules_file(toml.read(path))), lambda: [MANIFEST, SIMILAR]),
    Target("policy", _file("policy.toml", _policy_file), lambda: [(EXAMPLES / "policy.toml").read_bytes()]),
    Target("federation", _file("federation.toml", _federation), _entries),
    Target("node-file", _file("node.toml", config.load), lambda: [NODE.encode()]),
    Target("map-file", _file("map.toml", _map_file), lambda: [MAP]),
    Target("certificate", _certificate, _certificates),
    Target("session-id", _session_id, lambda: [b"00" * 32, b"DEADBEEF"], longest=256),
)
