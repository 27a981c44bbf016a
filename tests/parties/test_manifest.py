"""A manifest's canonical bytes, and whatever else may come in their place."""

import hashlib
import json
import re
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.dummies import Dummies
from parties.errors import ConfigError
from parties.manifest import (
    MAX_MANIFEST_BYTES,
    MAX_MEMBERS,
    MAX_PERIOD_DAYS,
    MAX_RECORDS,
    MAX_SESSIONS,
    NAME,
    Manifest,
    from_bytes,
    read,
)
from parties.rules import Rule
from parties.statistics import Category, Statistics
from tests.parties.samples import JARGON, RULES, examples, manifest

VECTOR = (
    b'{"committee":["agency-a","agency-b","neutral"],"coordinator":"hub","country":"UA",'
    b'"created":"2026-11-20T12:00:00+00:00","dummies":{"delta":1e-06,"epsilon":1.0},"engine":"replicated",'
    b'"expires":"2026-12-31T00:00:00+00:00","format":"matchbit.v1","legal_basis":"Art. 6(1)(e)",'
    b'"max_new_records":300,"max_records":1000,"max_sessions":4,'
    b'"members":["agency-a","agency-b","agency-c"],"min_members":2,"min_records":20,"nodes":{'
    b'"agency-a":"' + b"0a" * 32 + b'","agency-b":"' + b"0b" * 32 + b'","agency-c":"' + b"0c" * 32 + b'",'
    b'"hub":"' + b"0d" * 32 + b'","neutral":"' + b"0e" * 32 + b'"},"normalisation":"matchbit-1","period_days":60,'
    b'"purpose":"d\xc3\xa9conflit \\"x\\"","retention_days":7,"reveal":"flag",'
    b'"rules":[{"fields":["id_number"],"name":"id","scope":"person","similar":null},'
    b'{"fields":["phone","birth_date"],"name":"phone and birth date","scope":"person","similar":null}],'
    b'"statistics":null,"threshold":1,"title":"\xd0\x97\xd0\xb8\xd0\xbc\xd0\xb0","verify_tags":true}'
)
VECTOR_ID = "028fa75d8e88b36e7db343947f149d31e85b54fc3083f5df1c882619ce8cbcce"
VECTOR_NODES = {
    "agency-a": "0a" * 32, "agency-b": "0b" * 32, "agency-c": "0c" * 32, "hub": "0d" * 32, "neutral": "0e" * 32,
}  # fmt: skip
GOOD = manifest().to_bytes()


def canonical(terms: Any) -> bytes:
    """The one way in which terms may be written; anything at all can be written so."""
    return json.dumps(terms, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8", "surrogatepass")


def refused(data: bytes) -> str:
    with pytest.raises(ConfigError) as error:
        from_bytes(data)
    text = str(error.value)
    assert not any(word in text for word in JARGON)
    return text


def reads_or_refuses(data: bytes) -> None:
    """Only `ConfigError`, and what is accepted is exactly what was read."""
    try:
        read = from_bytes(data)
    except ConfigError:
        return
    assert read.to_bytes() == data
    assert read.retained_until() >= datetime.min.replace(tzinfo=UTC)
    assert read.is_past(datetime.max.replace(tzinfo=UTC))


# Canonical bytes


def test_canonical_bytes_and_id_by_hand() -> None:
    limits = {"max_new_records": 300, "max_sessions": 4, "min_members": 2, "min_records": 20, "period_days": 60}
    governed = {"legal_basis": "Art. 6(1)(e)", "dummies": Dummies(1.0, 1e-6), "verify_tags": True}
    terms = manifest(title="Зима", purpose='déconflit "x"', nodes=VECTOR_NODES, **limits, **governed)
    assert terms.to_bytes() == VECTOR
    assert from_bytes(VECTOR) == terms
    assert terms.session_id == hashlib.sha256(VECTOR).digest()
    assert terms.session_id.hex() == VECTOR_ID


node_names = st.from_regex(NAME, fullmatch=True)
zones = st.just(UTC)
times = st.datetimes(datetime(2000, 1, 1), datetime(2900, 1, 1), timezones=zones).map(datetime.isoformat)  # noqa: DTZ001
printable = st.characters(codec="utf-8", exclude_categories=("C", "Z"), include_characters=" ")
texts = st.text(printable, min_size=1, max_size=30)
rules = st.lists(
    st.builds(
        Rule,
        st.builds(str.__add__, st.from_regex(r"[a-zA-Z0-9é]", fullmatch=True), st.text(printable, max_size=20)),
        st.lists(texts, min_size=1, max_size=4).map(tuple),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda r: r.name,
).map(tuple)

tables = st.builds(
    Statistics,
    st.integers(3, 1000),
    st.sampled_from(
        [(Category("sex", ("f", "m")),), (Category("birth_date", ages=(0, 5, 18)), Category("Camp", ("A",)))]
    ),
)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    names = draw(st.lists(node_names, min_size=6, max_size=9, unique=True))
    hub, members, mpyc = names[0], names[3:], draw(st.booleans())
    committee = draw(st.permutations(names[1:]))[: draw(st.integers(3, 8)) if mpyc else 3]
    agreed = draw(rules)
    table = draw(st.none() | tables) if len(agreed) == 1 else None
    max_records = draw(st.integers(1, 50 if mpyc or table else MAX_RECORDS))
    return manifest(
        title=draw(texts),
        purpose=draw(texts),
        coordinator=hub,
        members=tuple(members),
        committee=tuple(committee),
        rules=agreed,
        country=draw(st.sampled_from(["", "UA", "SY"])),
        reveal="statistics" if table else draw(st.sampled_from(["flag", "count", "members"])),
        engine="mpyc" if mpyc else "replicated",
        threshold=draw(st.integers(1, (len(committee) - 1) // 2)),
        statistics=table,
        max_records=max_records,
        min_records=draw(st.integers(1, max_records)),
        max_new_records=draw(st.integers(1, max_records)),
        min_members=draw(st.integers(2, len(members))),
        max_sessions=draw(st.integers(1, MAX_SESSIONS)),
        period_days=draw(st.integers(1, MAX_PERIOD_DAYS)),
        legal_basis=draw(texts | st.just("")),
        dummies=None if mpyc else draw(st.none() | st.builds(Dummies, st.floats(1.0, 10.0), st.floats(1e-12, 0.1))),
        verify_tags=not mpyc and draw(st.booleans()),
        created=draw(times),
        expires=draw(times),
        retention_days=draw(st.integers(1, 90)),
    )


@given(manifests())
@examples(100)
def test_round_trip(terms: Manifest) -> None:
    read = from_bytes(terms.to_bytes())
    assert read == terms
    assert read.session_id == terms.session_id


def test_every_term_is_part_of_the_id() -> None:
    changed = [
        manifest(title="Winter cash 2"),
        manifest(purpose="other"),
        manifest(legal_basis="consent"),
        manifest(coordinator="hub-2"),
        manifest(members=("agency-b", "agency-a", "agency-c")),
        manifest(committee=("agency-b", "agency-a", "neutral")),
        manifest(nodes=VECTOR_NODES),
        manifest(rules=RULES[:1]),
        manifest(normalisation="matchbit-2"),
        manifest(country="SY"),
        manifest(reveal="count"),
        manifest(engine="mpyc"),
        manifest(threshold=2),
        manifest(statistics=Statistics(10, (Category("sex", ("f",)),))),
        manifest(max_records=999),
        manifest(min_records=2),
        manifest(max_new_records=999),
        manifest(min_members=2),
        manifest(max_sessions=999),
        manifest(period_days=31),
        manifest(dummies=Dummies(1.0, 1e-6)),
        manifest(verify_tags=True),
        manifest(created="2026-11-20T12:00:01+00:00"),
        manifest(expires="2026-12-31T00:00:01+00:00"),
        manifest(retention_days=8),
    ]
    assert len(changed) == len(fields(Manifest))
    changed += [manifest(dummies=Dummies(2.0, 1e-6)), manifest(dummies=Dummies(1.0, 1e-7))]
    changed += [manifest(statistics=Statistics(11, (Category("sex", ("f",)),)))]
    assert len({m.session_id for m in (manifest(), *changed)}) == len(changed) + 1


def test_what_follows_from_the_terms() -> None:
    terms = manifest()
    assert terms.participants == ("agency-a", "agency-b", "agency-c", "neutral")
    assert terms.max_keys == 2000
    assert terms.retained_until() == datetime(2026, 11, 27, 12, tzinfo=UTC)
    expires = datetime(2026, 12, 31, tzinfo=UTC)
    assert not terms.is_past(expires - timedelta(seconds=1))
    assert terms.is_past(expires)


# Bytes from a peer


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"1",
        b'"format"',
        b"\xff\xfe",
        b"NaN",
        b"9" * 5000,
        b"[" * 100_000,
        b'{"a":' * 50_000,
        GOOD + b"\n",
        b" " + GOOD,
        b"\xef\xbb\xbf" + GOOD,
        GOOD.decode().encode("utf-16"),
        GOOD.replace(b":", b": "),
        GOOD.replace(b'"flag"', b'"fl\\u0061g"'),
        GOOD.replace(b"{", b'{"title":"Other",', 1),
        GOOD.replace(b"{", b'{"aaa":1,', 1),
        GOOD.replace(b'"max_records":1000', b'"max_records":1e3'),
        GOOD.replace(b'"max_records":1000', b'"max_records":1000.0'),
        GOOD.replace(b'"max_records":1000', b'"max_records":NaN'),
        GOOD.replace(b'"max_records":1000', b'"max_records":Infinity'),
        GOOD.replace(b'"max_records":1000', b'"max_records":' + b"9" * 5000),
        GOOD.replace(b"Winter", b"\\ud800"),
        GOOD.replace(b"Winter", b"\xed\xa0\x80"),
        GOOD.replace(b'{"fields"', b'{"also":1,"fields"', 1),
        canonical(dict(reversed(json.loads(GOOD).items())))[:-1] + b',"zzz":null}',
        json.dumps(json.loads(GOOD)).encode(),
        json.dumps(dict(reversed(json.loads(GOOD).items())), separators=(",", ":")).encode(),
    ],
)
def test_only_the_canonical_form_is_read(data: bytes) -> None:
    assert data != GOOD
    refused(data)


def test_a_manifest_of_another_version_says_so() -> None:
    assert "another version of Matchbit" in refused(GOOD.replace(b"matchbit.v1", b"matchbit.v2"))


def test_too_long() -> None:
    assert refused(b" " * (MAX_MANIFEST_BYTES + 1)) == "The manifest is too long."


def test_what_was_agreed_on_is_read_although_it_could_not_be_agreed_on_now() -> None:
    """Whoever keeps a session must be able to delete it after an update."""
    old = GOOD.replace(b'"max_records":1000', b'"max_records":' + str(MAX_RECORDS + 1).encode())
    assert read(old).max_records == MAX_RECORDS + 1
    assert "max_records" in refused(old)
    with pytest.raises(ConfigError, match="The manifest is too long"):
        read(b" " * (MAX_MANIFEST_BYTES + 1))
    with pytest.raises(ConfigError, match="is not in canonical form"):
        read(GOOD.replace(b":", b": ", 1))


WRONG: list[Any] = [None, True, 0, -1, 3, 1.5, 10**30, float("nan"), "", "text", [], {}, [[]], [{}], {"a": {}}, [None]]
WRONG += [["a", "a"], {"name": []}, [{"name": [], "fields": []}], [{"name": "x", "fields": "yz"}], "x" * 1001, ["x"]]
WRONG += [[{"name": "x", "fields": [[]]}], [{"name": "x", "fields": {"a": 1}}], [[["a"]]], "9999-12-31T23:59:59+00:00"]
WRONG += ["0001-01-01T00:00:00+00:00", "2026-12-31", "2026-12-31T00:00:00+05:00", "2026-12-31T00:00:00Z"]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda w: repr(w)[:30])
@pytest.mark.parametrize("field", json.loads(GOOD))
def test_a_wrong_value_in_any_field(field: str, wrong: Any) -> None:
    reads_or_refuses(canonical(json.loads(GOOD) | {field: wrong}))


@pytest.mark.parametrize("field", json.loads(GOOD))
def test_every_field_must_be_there(field: str) -> None:
    terms = json.loads(GOOD)
    del terms[field]
    refused(canonical(terms))


ALLOWED = {("country", ""), ("legal_basis", ""), ("legal_basis", "text")}


@pytest.mark.parametrize("field", sorted(set(json.loads(GOOD)) - {"title", "purpose", "dummies", "statistics"}))
@pytest.mark.parametrize("wrong", [None, [], {}, 1.5, "", "text"])
def test_no_field_takes_another_kind(field: str, wrong: Any) -> None:
    if isinstance(wrong, str) and (field, wrong) in ALLOWED:
        assert getattr(from_bytes(canonical(json.loads(GOOD) | {field: wrong})), field) == wrong
    else:
        refused(canonical(json.loads(GOOD) | {field: wrong}))


ONE = {"epsilon": 1.0, "delta": 1e-6}


@pytest.mark.parametrize(
    "wrong",
    [
        *([], {}, "", "text", 1.5, 0, False, [1.0, 1e-6]),
        {"epsilon": 1.0},
        ONE | {"more": 1},
        *(ONE | {"epsilon": value} for value in (None, "1", True, 1, 0.0, 0.009, 10.1, -1.0, [], {})),
        *(ONE | {"delta": value} for value in (None, "0", False, 1, 0.0, 1e-13, 0.11, -1e-6, [], {})),
    ],
)
def test_dummies_of_another_kind_or_out_of_bounds(wrong: Any) -> None:
    refused(canonical(json.loads(GOOD) | {"dummies": wrong}))


@pytest.mark.parametrize("wrong", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_dummies_that_are_no_numbers(wrong: str) -> None:
    for name in ONE:
        good = canonical(json.loads(GOOD) | {"dummies": ONE}).decode()
        refused(re.sub(f'"{name}":[^,}}]+', f'"{name}":{wrong}', good).encode())


def test_nodes_as_a_list() -> None:
    assert "`nodes` must hold one digest" in refused(canonical(json.loads(GOOD) | {"nodes": [["hub", "0" * 64]]}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for key, child in inner for p in places(child, (*path, key)))]


PLACES = places(json.loads(GOOD))


@given(st.lists(st.tuples(st.sampled_from(PLACES), json_values, st.booleans()), min_size=1, max_size=3))
@examples(600)
def test_changed_terms_are_read_exactly_or_refused(changes: list[tuple[tuple[Any, ...], Any, bool]]) -> None:
    whole = {"": json.loads(GOOD)}
    for path, value, remove in changes:
        at: Any = whole
        *way, last = ("", *path)
        try:
            for key in way:
                at = at[key]
            if isinstance(at, dict) and not isinstance(last, str):
                continue
            if remove and last != "":
                del at[last]
            else:
                at[last] = value
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took this place away
    reads_or_refuses(canonical(whole[""]))


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=3))
@examples(300)
def test_changed_bytes_are_read_exactly_or_refused(changes: list[tuple[int, int]]) -> None:
    data = bytearray(GOOD)
    for place, value in changes:
        data[place] = value
    reads_or_refuses(bytes(data))


@given(st.binary(max_size=60))
@examples(200)
def test_any_bytes(data: bytes) -> None:
    reads_or_refuses(data)
    reads_or_refuses(GOOD[: len(data)] + data)


def test_many_names_are_refused_without_long_work() -> None:
    """As many names as fit: comparing each with each would take minutes."""
    names = tuple(f"a{k}" for k in range(30_000))
    terms = replace(manifest(), members=names)
    assert len(terms.to_bytes()) < MAX_MANIFEST_BYTES
    assert f"2 to {MAX_MEMBERS}" in refused(terms.to_bytes())
