"""Terms as a coordinator writes them, in TOML."""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.dummies import Dummies
from parties.errors import ConfigError
from parties.manifest import MAX_RECORDS, MAX_RULES, MAX_SESSIONS, TWO_AGENCIES, from_bytes
from parties.manifestfile import from_toml, rules_file, rules_from_toml
from parties.statistics import Category, Statistics
from tests.parties.samples import JARGON, NOW, digests, examples, manifest, toml

DIGESTS = digests("agency-a", "agency-b", "agency-c", "neutral", "hub")
zones = st.just(UTC)


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
    limits = {"max_records": 7, "min_records": 2, "max_new_records": 3, "min_members": 2}
    governed = {"max_sessions": 4, "period_days": 60, "legal_basis": "Art. 6(1)(e)"}
    file = toml(reveal="members", retention_days=30, expires=expires, **limits, **governed)
    terms = from_toml(file, "hub", DIGESTS, datetime(2026, 11, 20, 14, 0, 0, 7, tzinfo=east))
    assert (terms.reveal, terms.retention_days) == ("members", 30)
    assert {name: getattr(terms, name) for name in limits | governed} == limits | governed
    assert terms.expires == "2026-12-31T23:00:00+00:00"
    assert terms.created == "2026-11-20T12:00:00.000007+00:00"
    assert from_bytes(terms.to_bytes()) == terms


def test_what_is_left_out_limits_nothing_and_waits_for_everyone() -> None:
    terms = from_toml(toml(max_records=7), "hub", DIGESTS, NOW)
    assert (terms.min_records, terms.max_new_records, terms.min_members) == (1, 7, 3)
    assert (terms.max_sessions, terms.period_days, terms.legal_basis) == (MAX_SESSIONS, 30, "")
    assert (terms.dummies, terms.verify_tags) == (None, False)


@pytest.mark.parametrize(("nodes", "largest"), [(3, 1), (4, 1), (5, 2), (6, 2), (7, 3), (8, 3), (9, 4)])
def test_a_committee_of_any_size_has_the_largest_threshold_unless_it_says_otherwise(nodes: int, largest: int) -> None:
    committee = [f"node-{k}" for k in range(nodes)]
    known, file = DIGESTS | digests(*committee), {"engine": "mpyc", "committee": committee}
    assert from_toml(toml(**file), "hub", known, NOW).threshold == largest
    for threshold in range(1, largest + 1):
        terms = from_toml(toml(**file, threshold=threshold), "hub", known, NOW)
        assert (terms.engine, terms.threshold, len(terms.committee)) == ("mpyc", threshold, nodes)
        assert from_bytes(terms.to_bytes()) == terms


def test_without_an_engine_it_is_the_replicated_one() -> None:
    terms = from_toml(toml(), "hub", DIGESTS, NOW)
    assert (terms.engine, terms.threshold, terms.statistics) == ("replicated", 1, None)


@pytest.mark.parametrize("engine", ["replicated", "mpyc"])
def test_statistics(engine: str) -> None:
    table = {"smallest_cell": 5, "category": [{"field": "sex", "values": ["f", "m"]}]}
    file = toml(reveal="statistics", statistics=table, engine=engine)
    terms = from_toml(file | {"rule": file["rule"][:1]}, "hub", DIGESTS, NOW)
    assert terms.statistics == Statistics(5, (Category("sex", ("f", "m")),))
    assert from_bytes(terms.to_bytes()) == terms


def test_verified_tags() -> None:
    terms = from_toml(toml(verify_tags=True), "hub", DIGESTS, NOW)
    assert terms.verify_tags
    assert from_bytes(terms.to_bytes()) == terms


@pytest.mark.parametrize("table", [{"epsilon": 1.0, "delta": 1e-6}, {"epsilon": 1, "delta": 1e-6}])
def test_dummies(table: dict[str, Any]) -> None:
    terms = from_toml(toml(dummies=table), "hub", DIGESTS, NOW)
    assert terms.dummies == Dummies(1.0, 1e-6)
    assert from_bytes(terms.to_bytes()) == terms


def test_only_the_participants_are_named() -> None:
    terms = from_toml(toml(), "hub", DIGESTS | digests("stranger"), NOW)
    assert set(terms.nodes) == {"agency-a", "agency-b", "agency-c", "neutral", "hub"}


TWO = ["agency-a", "agency-b"]


@pytest.mark.parametrize("engine", ["replicated", "mpyc"])
@pytest.mark.parametrize("committee", [TWO, [], ["agency-a"]])
def test_two_agencies_alone_are_told_what_to_do(committee: list[str], engine: str) -> None:
    assert refused_toml(toml(members=TWO, committee=committee, engine=engine)) == TWO_AGENCIES
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
        ({"title": ""}, "`title` must be one line"),
        ({"title": "two\nlines"}, "`title` must be one line"),
        ({"title": "\x1b[2J"}, "`title` must be one line"),
        ({"title": 7}, "`title` must be one line"),
        ({"title": "x" * 1001}, "`title` must be one line"),
        ({"purpose": ["x"]}, "`purpose` must be one line"),
        ({"reveal": "everything"}, "`reveal` must be flag, grade, count, members or statistics"),
        ({"reveal": True}, "`reveal` must be flag, grade, count, members or statistics"),
        ({"reveal": ["flag"]}, "`reveal` must be flag, grade, count, members or statistics"),
        ({"engine": "shamir"}, "`engine` must be replicated or mpyc"),
        ({"engine": {"mpyc": 1}}, "`engine` must be replicated or mpyc"),
        ({"threshold": 2}, "`threshold` must be 1 with the replicated engine"),
        ({"engine": "mpyc", "threshold": 2}, "`threshold` must be 1, less than half of the 3"),
        ({"engine": "mpyc", "verify_tags": True}, "`dummies` and `verify_tags` are of the replicated engine"),
        ({"engine": "mpyc", "max_records": 10**6}, 'or `engine` to "replicated"'),
        ({"reveal": "statistics"}, "need each other"),
        ({"statistics": {"category": [{"field": "sex", "values": ["f"]}]}}, "need each other"),
        ({"statistics": 7}, "[session.statistics]"),
        ({"max_records": 0}, "`max_records` must be a whole number from 1 to"),
        ({"max_records": -5}, "`max_records` must be a whole number"),
        ({"max_records": True}, "`max_records` must be a whole number"),
        ({"max_records": 10.0}, "`max_records` must be a whole number"),
        ({"max_records": "200000"}, "`max_records` must be a whole number"),
        ({"max_records": MAX_RECORDS + 1}, "`max_records` must be a whole number"),
        ({"max_records": 10**40}, "`max_records` must be a whole number"),
        ({"min_records": 1001}, "`min_records` must be a whole number from 1 to 1000"),
        ({"min_records": 0}, "`min_records` must be a whole number"),
        ({"max_new_records": 1001}, "`max_new_records` must be a whole number from 1 to 1000"),
        ({"max_new_records": "all"}, "`max_new_records` must be a whole number"),
        ({"min_members": 4}, "`min_members` must be a whole number from 2 to 3"),
        ({"min_members": 1}, "`min_members` must be a whole number from 2 to 3"),
        ({"max_sessions": 1001}, "`max_sessions` must be a whole number from 1 to 1000"),
        ({"period_days": 367}, "`period_days` must be a whole number from 1 to 366"),
        ({"period_days": 30.0}, "`period_days` must be a whole number"),
        ({"legal_basis": ["x"]}, "`legal_basis` must be one line"),
        ({"legal_basis": "\x1b[2J"}, "`legal_basis` must be one line"),
        ({"dummies": {"epsilon": 0.0, "delta": 1e-6}}, "`dummies` must have an epsilon from 0.01 to 10.0"),
        ({"dummies": {"epsilon": 1.0, "delta": 0.5}}, "and a delta from 1e-12 to 0.1"),
        ({"dummies": {"epsilon": "1", "delta": 1e-6}}, "`dummies` must have an epsilon"),
        ({"dummies": {"epsilon": 1.0}}, "`dummies` must be like { epsilon = 1.0, delta = 1e-6 }"),
        ({"dummies": {"epsilon": 1.0, "delta": 1e-6, "rows": 7}}, "`dummies` must be like"),
        ({"dummies": 1.0}, "`dummies` must be like"),
        ({"verify_tags": 1}, "`verify_tags` must be true or false"),
        ({"dummies": [1.0, 1e-6]}, "`dummies` must be like"),
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
        ([{"name": "id", "fields": []}], "rule id must have 1 to 16 fields"),
        ([{"name": "id"}], "Rule 1 must have `name` and `fields`"),
        ([{"name": "id", "fields": ["a"]}, {"fields": ["a"]}], "Rule 2 must have `name` and `fields`"),
        ([{"name": "id", "fields": ["a"], "weight": 2}], "`fields`, may have `scope`, and nothing else"),
        ([{"name": "id", "fields": "id_number"}], "`fields` must be a list"),
        ([{"name": "id", "fields": ["a", 3]}], "rule id must have"),
        ([{"name": "id", "fields": ["a"], "scope": 3}], "`scope` of rule id must be person or household"),
        ([{"name": "id", "fields": ["full_name:year"]}], "Rule id: `year` cannot be applied to `full_name`"),
        ([{"name": "id", "fields": [""]}], "rule id must have"),
        ([{"name": "id", "fields": ["x" * 201]}], "rule id must have"),
        ([{"name": "id", "fields": ["x"] * 17}], "rule id must have 1 to 16 fields"),
        ([{"name": "", "fields": ["a"]}], "every rule needs a printable name"),
        ([{"name": 3, "fields": ["a"]}], "every rule needs a printable name"),
        ([{"name": "=cmd()", "fields": ["a"]}], "begins with a letter or a digit"),
        ([{"name": "x" * 101, "fields": ["a"]}], "every rule needs a printable name"),
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


def test_what_whoever_signs_is_warned_of() -> None:
    rules = [{"name": "born", "fields": ["phone", "birthdate"]}, {"name": "weak", "fields": ["sex", "birth_date:year"]}]
    heading, weak = from_toml(toml() | {"rule": rules}, "hub", DIGESTS, NOW).warnings()
    assert "compares the column headed `birthdate`, which is no standard field" in heading
    assert heading.endswith("Was `birth_date` meant?")
    assert "Rule `weak`" in weak
    assert not from_toml(toml(), "hub", DIGESTS, NOW).warnings()


def test_a_manifest_serves_as_a_rules_file() -> None:
    rules, country, table = rules_file(toml(country="SY"))
    assert ([rule.name for rule in rules], country, table) == (["id", "phone and birth date"], "SY", None)
    assert rules_file({"country": "UA", "rule": toml()["rule"]})[1] == "UA"
    assert rules_file({"rule": toml()["rule"]})[1] == ""
    with pytest.raises(ConfigError, match="`country` must be a country's two capital letters"):
        rules_file({"country": "ua", "rule": toml()["rule"]})


def test_a_manifest_with_a_table_serves_as_a_rules_file() -> None:
    table = {"category": [{"field": "sex", "values": ["f", "m"]}]}
    one = {"rule": toml()["rule"][:1]}
    assert rules_file(toml(statistics=table) | one)[2] == Statistics(10, (Category("sex", ("f", "m")),))
    with pytest.raises(ConfigError, match="exactly one"):
        rules_file(toml(statistics=table))


@pytest.mark.parametrize("inside", ["table", "category"])
def test_what_a_table_has_swallowed_is_named_before_what_is_missing(inside: str) -> None:
    """In TOML all that follows the line [session.statistics] is the table's."""
    file = toml(reveal="statistics")
    category: dict[str, Any] = {"field": "sex", "values": ["f", "m"]}
    table: dict[str, Any] = {"category": [category]}
    swallowed = {name: file["session"].pop(name) for name in ("purpose", "expires")}
    (table if inside == "table" else category).update(swallowed)
    file["session"]["statistics"] = table
    text = refused_toml(file)
    assert "[session.statistics]: there are entries that Matchbit does not know: expires, purpose;" in text
    assert "entries of [session] must stand before [session.statistics]" in text
