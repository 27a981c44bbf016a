import hashlib
import json
import re
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from parties.errors import ConfigError
from parties.manifest import (
    MAX_MANIFEST_BYTES,
    MAX_MEMBERS,
    MAX_RECORDS,
    MAX_RULES,
    NAME,
    TWO_AGENCIES,
    Manifest,
    check,
    from_bytes,
    from_toml,
    rules_from_toml,
    sign,
    verify,
)
from parties.rules import Rule
from tests.parties.samples import JARGON, NOW, RULES, digests, examples, manifest, toml

DIGESTS = digests("agency-a", "agency-b", "agency-c", "neutral", "hub")
VECTOR = (
    b'{"committee":["agency-a","agency-b","neutral"],"coordinator":"hub","created":"2026-11-20T12:00:00+00:00",'
    b'"expires":"2026-12-31T00:00:00+00:00","format":"matchbit.v1","max_records":1000,'
    b'"members":["agency-a","agency-b","agency-c"],"nodes":{'
    b'"agency-a":"' + b"0a" * 32 + b'","agency-b":"' + b"0b" * 32 + b'","agency-c":"' + b"0c" * 32 + b'",'
    b'"hub":"' + b"0d" * 32 + b'","neutral":"' + b"0e" * 32 + b'"},"normalisation":"text-1",'
    b'"purpose":"d\xc3\xa9conflit \\"x\\"","retention_days":7,"reveal":"flag",'
    b'"rules":[{"fields":["id_number"],"name":"id"},{"fields":["phone","birth_date"],"name":"phone and birth date"}],'
    b'"title":"\xd0\x97\xd0\xb8\xd0\xbc\xd0\xb0"}'
)
VECTOR_ID = "f37edd051440a5db6deb5df3cef3cbea6618c934bb03afa5b2ee66a404523ed6"
VECTOR_NODES = {n: f"0{d}" * 32 for n, d in zip(("agency-a", "agency-b", "agency-c", "hub", "neutral"), "abcde")}
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
    terms = manifest(title="Зима", purpose='déconflit "x"', nodes=VECTOR_NODES)
    assert terms.to_bytes() == VECTOR
    assert from_bytes(VECTOR) == terms
    assert terms.session_id == hashlib.sha256(VECTOR).digest()
    assert terms.session_id.hex() == VECTOR_ID


node_names = st.from_regex(NAME, fullmatch=True)
zones = st.just(UTC)
times = st.datetimes(datetime(2000, 1, 1), datetime(2900, 1, 1), timezones=zones).map(datetime.isoformat)  # noqa: DTZ001
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
rules = st.lists(
    st.builds(
        Rule,
        st.from_regex(r"[a-zA-Z0-9é][^\ud800-\udfff]{0,20}", fullmatch=True),
        st.lists(texts, min_size=1, max_size=4).map(tuple),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda r: r.name,
).map(tuple)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    names = draw(st.lists(node_names, min_size=6, max_size=9, unique=True))
    hub, committee, members = names[0], draw(st.permutations(names[1:]))[:3], names[3:]
    return manifest(
        title=draw(texts),
        purpose=draw(texts),
        coordinator=hub,
        members=tuple(members),
        committee=tuple(committee),
        rules=draw(rules),
        reveal=draw(st.sampled_from(["flag", "count", "members"])),
        max_records=draw(st.integers(1, MAX_RECORDS)),
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
        manifest(coordinator="hub-2"),
        manifest(members=("agency-b", "agency-a", "agency-c")),
        manifest(committee=("agency-b", "agency-a", "neutral")),
        manifest(nodes=VECTOR_NODES),
        manifest(rules=RULES[:1]),
        manifest(normalisation="text-2"),
        manifest(reveal="count"),
        manifest(max_records=999),
        manifest(created="2026-11-20T12:00:01+00:00"),
        manifest(expires="2026-12-31T00:00:01+00:00"),
        manifest(retention_days=8),
    ]
    assert len(changed) == len(fields(Manifest))
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


@pytest.mark.parametrize("field", sorted(set(json.loads(GOOD)) - {"title", "purpose"}))
@pytest.mark.parametrize("wrong", [None, [], {}, 1.5, "", "text"])
def test_no_field_takes_another_kind(field: str, wrong: Any) -> None:
    refused(canonical(json.loads(GOOD) | {field: wrong}))


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


# A coordinator's file


def refused_toml(file: dict[str, Any], nodes: dict[str, str] = DIGESTS) -> str:
    with pytest.raises(ConfigError) as error:
        from_toml(file, "hub", nodes, NOW)
    text = str(error.value)
    assert not any(word in text for word in JARGON)
    assert text.endswith(".")
    return text


def test_a_good_file() -> None:
    assert from_toml(toml(), "hub", DIGESTS, NOW) == manifest()


def test_all_entries_are_taken_over() -> None:
    east = timezone(timedelta(hours=2))
    expires = datetime(2027, 1, 1, 1, tzinfo=east)
    file = toml(reveal="members", retention_days=30, max_records=7, expires=expires)
    terms = from_toml(file, "hub", DIGESTS, datetime(2026, 11, 20, 14, 0, 0, 7, tzinfo=east))
    assert (terms.reveal, terms.retention_days, terms.max_records) == ("members", 30, 7)
    assert terms.expires == "2026-12-31T23:00:00+00:00"
    assert terms.created == "2026-11-20T12:00:00.000007+00:00"
    assert from_bytes(terms.to_bytes()) == terms


def test_only_the_participants_are_named() -> None:
    terms = from_toml(toml(), "hub", DIGESTS | digests("stranger"), NOW)
    assert set(terms.nodes) == {"agency-a", "agency-b", "agency-c", "neutral", "hub"}


TWO = ["agency-a", "agency-b"]


@pytest.mark.parametrize("committee", [TWO, [], ["agency-a"]])
def test_two_agencies_alone_are_told_what_to_do(committee: list[str]) -> None:
    assert refused_toml(toml(members=TWO, committee=committee)) == TWO_AGENCIES
    assert refused_toml(toml(members=TWO, committee=None)) == TWO_AGENCIES
    for wanted in ("third, neutral", "matchbit node init", "entry.toml", "`committee`"):
        assert wanted in TWO_AGENCIES


def test_two_agencies_with_a_neutral_node_can_compute() -> None:
    terms = from_toml(toml(members=TWO), "hub", DIGESTS, NOW)
    assert terms.participants == ("agency-a", "agency-b", "neutral")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"committee": ["agency-a", "agency-b"]}, "`committee` must name exactly three"),
        ({"committee": ["agency-a", "agency-b", "agency-c", "neutral"]}, "`committee` must name exactly three"),
        ({"committee": ["agency-a", "agency-a", "neutral"]}, "`committee` names agency-a twice"),
        ({"members": ["agency-a", "agency-b", "agency-a"]}, "`members` names agency-a twice"),
        ({"members": ["agency-a"]}, "`members` must name 2 to"),
        ({"members": []}, "`members` must name 2 to"),
        ({"members": "agency-a"}, "`members` must be a list"),
        ({"members": ["agency-a", 7]}, "`members` must be a list"),
        ({"members": ["Agency A", "agency-b"]}, "`members` must be a list of node names (small letters"),
        ({"members": ["agency-a", "agency-b\n"]}, "`members` must be a list of node names"),
        ({"committee": {"agency-a": 1}}, "`committee` must be a list"),
        ({"members": ["agency-a", "agency-x", "agency-y"]}, "Not in federation.toml: agency-x, agency-y."),
        ({"committee": ["agency-a", "agency-b", "helper"]}, "Not in federation.toml: helper."),
        ({"members": ["agency-a", "agency-b", "hub"]}, "the coordinator cannot take part"),
        ({"committee": ["agency-a", "agency-b", "hub"]}, "the coordinator cannot take part"),
        ({"title": ""}, "`title` must be a text"),
        ({"title": 7}, "`title` must be a text"),
        ({"title": "x" * 1001}, "`title` must be a text"),
        ({"purpose": ["x"]}, "`purpose` must be a text"),
        ({"reveal": "everything"}, "`reveal` must be flag, count or members"),
        ({"reveal": True}, "`reveal` must be flag, count or members"),
        ({"reveal": ["flag"]}, "`reveal` must be flag, count or members"),
        ({"max_records": 0}, "`max_records` must be a whole number from 1 to"),
        ({"max_records": -5}, "`max_records` must be a whole number"),
        ({"max_records": True}, "`max_records` must be a whole number"),
        ({"max_records": 10.0}, "`max_records` must be a whole number"),
        ({"max_records": "200000"}, "`max_records` must be a whole number"),
        ({"max_records": MAX_RECORDS + 1}, "`max_records` must be a whole number"),
        ({"max_records": 10**40}, "`max_records` must be a whole number"),
        ({"retention_days": 0}, "`retention_days` must be a whole number from 1 to 90"),
        ({"retention_days": 91}, "`retention_days` must be a whole number"),
        ({"retention_days": True}, "`retention_days` must be a whole number"),
        ({"expires": "2026-12-31T00:00:00Z"}, "`expires` must be like 2026-12-31T00:00:00Z"),
        ({"expires": datetime(2026, 12, 31)}, "`expires` must be like"),  # noqa: DTZ001
        ({"expires": datetime(2026, 12, 31, tzinfo=UTC).date()}, "`expires` must be like"),
        ({"expires": NOW}, "expired on 2026-11-20T12:00:00+00:00; set a later `expires`"),
        ({"expires": NOW - timedelta(days=400)}, "expired on"),
        ({"title": None}, "[session] table lacks: title."),
        ({"max_records": None, "expires": None}, "[session] table lacks: expires, max_records."),
        ({"purpose": None}, "[session] table lacks: purpose."),
        ({"colour": "red"}, "entries that Matchbit does not know: colour."),
    ],
)
def test_wrong_terms_are_named(changes: dict[str, Any], says: str) -> None:
    assert says in refused_toml(toml(**changes))


def test_without_members_the_file_says_so() -> None:
    assert "members" in refused_toml(toml(members=None))


@pytest.mark.parametrize("expires", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_the_ends_of_time(expires: str) -> None:
    assert "expire" in refused_toml(toml(expires=datetime.fromisoformat(expires)))


def test_a_coordinator_that_is_not_in_its_own_federation() -> None:
    nodes = {name: d for name, d in DIGESTS.items() if name != "hub"}
    assert "Not in federation.toml: hub." in refused_toml(toml(), nodes)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ([], "there must be 1 to 32 [[rule]] tables"),
        ([{"name": "id", "fields": []}], "rule id must have 1 to 16 headings"),
        ([{"name": "id"}], "Rule 1 must have `name` and `fields`"),
        ([{"name": "id", "fields": ["a"]}, {"fields": ["a"]}], "Rule 2 must have `name` and `fields`"),
        ([{"name": "id", "fields": ["a"], "weight": 2}], "Rule 1 must have `name` and `fields` and nothing else"),
        ([{"name": "id", "fields": "id_number"}], "`fields` must be a list"),
        ([{"name": "id", "fields": ["a", 3]}], "rule id must have"),
        ([{"name": "id", "fields": [""]}], "rule id must have"),
        ([{"name": "id", "fields": ["x" * 201]}], "rule id must have"),
        ([{"name": "id", "fields": ["x"] * 17}], "rule id must have 1 to 16 headings"),
        ([{"name": "", "fields": ["a"]}], "every rule needs a name"),
        ([{"name": 3, "fields": ["a"]}], "every rule needs a name"),
        ([{"name": "=cmd()", "fields": ["a"]}], "begins with a letter or a digit"),
        ([{"name": "x" * 101, "fields": ["a"]}], "every rule needs a name"),
        ([{"name": "id", "fields": ["a"]}] * 2, "two rules have the same name"),
        ([{"name": f"r{k}", "fields": ["a"]} for k in range(MAX_RULES + 1)], "there must be 1 to 32"),
        (["id"], "Rule 1 must have"),
        ({"name": "id", "fields": ["a"]}, "rules must be [[rule]] tables"),
        (3, "rules must be [[rule]] tables"),
    ],
)
def test_wrong_rules_are_named(rule: Any, says: str) -> None:
    assert says in refused_toml(toml() | {"rule": rule})
    with pytest.raises(ConfigError, match=re.escape(says)):
        rules_from_toml({"rule": rule})


def test_as_many_rules_as_allowed() -> None:
    many = [{"name": f"r{k}", "fields": ["a"]} for k in range(MAX_RULES)]
    assert len(rules_from_toml({"rule": many})) == MAX_RULES
    assert len(from_toml(toml() | {"rule": many}, "hub", DIGESTS, NOW).rules) == MAX_RULES


@pytest.mark.parametrize(
    "file",
    [{}, {"session": {}}, {"session": "text"}, {"session": [{}]}, {"session": [["a", "b"]]}, {"session": 3}],
)
def test_files_that_are_something_else(file: dict[str, Any]) -> None:
    refused_toml(file)


def test_unknown_tables_are_named() -> None:
    assert "does not know: rules." in refused_toml(toml() | {"rules": []})


toml_values = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.datetimes() | st.datetimes(timezones=zones),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from([*toml()["session"], "reveal", "retention_days", "rule", "session"]), toml_values)
@examples(300)
def test_any_value_anywhere_is_read_or_refused(key: str, value: Any) -> None:
    file = toml() | {key: value} if key in ("rule", "session") else toml(**{key: value})
    try:
        terms = from_toml(file, "hub", DIGESTS, NOW)
    except ConfigError:
        return
    assert from_bytes(terms.to_bytes()) == terms


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"members": TWO, "committee": TWO}, "neutral node is needed"),
        ({"committee": ("agency-a", "agency-b")}, "exactly three"),
        ({"members": ("agency-a", "agency-b", "hub")}, "coordinator cannot take part"),
        ({"nodes": DIGESTS | digests("stranger")}, "`nodes` must hold"),
        ({"nodes": {}}, "`nodes` must hold"),
        ({"nodes": DIGESTS | {"hub": "abc"}}, "`nodes` must hold"),
        ({"nodes": DIGESTS | {"hub": 7}}, "`nodes` must hold"),
        ({"normalisation": "text-0"}, "normalises by text-0, this node by text-1"),
        ({"created": "yesterday"}, "`created` must be a date and time in UTC"),
        ({"created": "9999-12-31T23:59:59+00:00"}, "`created`"),
        ({"expires": "2026-12-31T00:00:00+02:00"}, "`expires` must be a date and time in UTC"),
        ({"expires": "2026-12-31T00:00:00"}, "`expires` must be a date and time in UTC"),
        ({"reveal": "all"}, "`reveal`"),
        ({"rules": ()}, "1 to 32"),
        ({"coordinator": []}, "coordinator"),
        ({"coordinator": "Hub"}, "coordinator"),
    ],
)
def test_terms_that_no_session_may_have(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        check(replace(manifest(), **wrong))


# Signatures

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ID = manifest().session_id


def test_a_good_signature() -> None:
    signature = sign(KEY, ID, "agency-a")
    assert len(signature) == 64
    verify(KEY.public_key(), ID, "agency-a", signature)
    KEY.public_key().verify(signature, b"matchbit.v1 approval\0" + ID + b"agency-a")


def test_signatures_of_others_on_others_or_with_a_flipped_bit() -> None:
    signature = sign(KEY, ID, "agency-a")
    other = Ed25519PrivateKey.from_private_bytes(bytes(32))
    wrong = [
        (KEY, ID, "agency-b", signature),
        (KEY, manifest(title="Other").session_id, "agency-a", signature),
        (other, ID, "agency-a", signature),
        (KEY, ID, "agency-a", KEY.sign(ID)),
        (KEY, ID, "agency-a", b""),
        (KEY, ID, "agency-a", signature[:-1]),
        (KEY, ID, "agency-a", signature + b"\0"),
    ]
    for bit in range(0, 512, 7):
        flipped = bytearray(signature)
        flipped[bit // 8] ^= 1 << bit % 8
        wrong.append((KEY, ID, "agency-a", bytes(flipped)))
    for key, session_id, name, given_signature in wrong:
        with pytest.raises(ConfigError, match=f"in the name of {name} is not signed by {name}'s pinned key"):
            verify(key.public_key(), session_id, name, given_signature)
