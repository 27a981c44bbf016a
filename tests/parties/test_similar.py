import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.dummies import Dummies
from mpc.linkage import Comparison, Kind
from parties import similar
from parties.errors import ConfigError
from parties.manifest import check, from_bytes
from parties.manifestfile import from_toml, rules_file, rules_from_toml
from parties.rules import Rule
from parties.similar import MAX_BLOCKS, MAX_COMPARISONS, SEVERAL, Block, Compared, Similar
from parties.sounds import sounds
from tests.parties.samples import (
    ALIKE,
    ALIKE_GRADED,
    GRADED,
    JARGON,
    NOW,
    RULES,
    SIMILAR,
    digests,
    examples,
    manifest,
    toml,
)

toml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
DIGESTS = digests("agency-a", "agency-b", "agency-c", "neutral", "hub")
STATED = {
    "blocks": [asdict(block) for block in SIMILAR.blocks],
    "compare": [asdict(compared) for compared in SIMILAR.comparisons],
    "thresholds": list(GRADED.thresholds),
    "largest_group": 50,
}
"""The sample's terms as a coordinator writes them."""


def table(**changes: Any) -> dict[str, Any]:
    return {"name": "similar people", "kind": "similar"} | STATED | changes


def file(rule: dict[str, Any], **session: Any) -> dict[str, Any]:
    return toml(**session) | {"rule": [*toml()["rule"], rule]}


def refused(act: Any) -> str:
    with pytest.raises(ConfigError) as error:
        act()
    text = str(error.value)
    assert not any(word in text for word in JARGON)
    return text


# What the committee computes


def test_the_linkage_of_the_terms() -> None:
    linkage = SIMILAR.linkage
    assert (linkage.keys, linkage.thresholds, linkage.largest_group) == (3, (60,), 50)
    assert linkage.comparisons[0] == Comparison(Kind.NAMES, 3, (-40, -20, 10, 0, 40, 30, 60))
    assert SIMILAR.fields == ("phone", "birth_date", "full_name")


def test_rows_and_values_of_a_session() -> None:
    terms = manifest(rules=(*RULES, ALIKE), max_records=100)
    of_record = SIMILAR.linkage.record_words // 2
    assert terms.similar is SIMILAR
    assert (terms.exact_rules, terms.rows_of_record) == (2, of_record)
    assert terms.max_keys == 100 * (2 + of_record)
    assert terms.exact_keys(7 + 10 * of_record, 10) == 7
    assert terms.values(7 + 10 * of_record, 10) == 17


def test_rows_and_values_without_a_similar_rule() -> None:
    terms = manifest(max_records=100)
    assert (terms.similar, terms.exact_rules, terms.rows_of_record, terms.max_keys) == (None, 2, 0, 200)
    assert (terms.exact_keys(7, 10), terms.values(7, 10)) == (7, 7)


# Blocks


@pytest.mark.parametrize(
    ("field", "value", "keys"),
    [
        ("full_name:each-word", "olena petrivna olena", (sounds("olena"), sounds("petrivna"))),
        ("full_name:word-pairs", "c a b", ("A B", "A K", "B K")),
        ("full_name:word-pairs", "one", ()),
        ("full_name:first3:each-word", "olena", (sounds("ole"),)),
        ("birth_date:unordered", "1980-05-03", ("1980-03-05",)),
        ("birth_date:unordered", "1980-03-05", ("1980-03-05",)),
        ("birth_date:unordered", "1980-03", ()),
        ("birth_date:near-years", "1980-03", ("1980", "1981")),
        ("birth_year:near-years", "1979", ("1979", "1980")),
        ("phone:last8:halves", "+380671234567", ("first:7123", "last:4567")),
        ("phone:halves", "1", ()),
        ("phone", "+380671234567", ("+380671234567",)),
        ("phone:last8", "1", ()),
    ],
)
def test_what_a_block_compares_of_a_value(field: str, value: str, keys: tuple[str, ...]) -> None:
    (use,) = Block((field,), 1).uses
    assert use.apply(value) == keys


def test_neighbouring_years_share_a_key() -> None:
    (use,) = Block(("birth_year:near-years",), 2).uses
    of_year = {year: {*use.apply(str(year))} for year in range(1978, 1983)}
    assert all(bool(of_year[a] & of_year[b]) == (abs(a - b) <= 1) for a in of_year for b in of_year)


def test_several_values_only_where_there_are() -> None:
    for name, (fields, _) in SEVERAL.items():
        assert Block((f"{fields[0]}:{name}",), 1).uses[0].several == name
        assert "cannot be applied to `sex`" in refused(lambda: Block((f"sex:{name}",), 1).uses)  # noqa: B023
    assert "cannot be applied" in refused(lambda: Block(("full_name:each-word:phonetic",), 1).uses)


# What no session may have

COMPARED, BLOCK = SIMILAR.comparisons[0], SIMILAR.blocks[0]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"blocks": ()}, "there must be 1 to 16 `blocks`"),
        ({"blocks": (BLOCK,) * (MAX_BLOCKS + 1)}, "there must be 1 to 16 `blocks`"),
        ({"blocks": (Block((), 1),)}, "`fields` of each block must be 1 to 6 fields"),
        ({"blocks": (Block(("phone", 3), 1),)}, "`fields` of each block must be"),  # type: ignore[arg-type]
        ({"blocks": (Block(("phone:year",), 1),)}, "`year` cannot be applied to `phone`"),
        ({"blocks": (Block(("phone",), 0),)}, "`keys` of block phone must be from 1 to 64"),
        ({"blocks": (Block(("phone",), True),)}, "`keys` of block phone must be from 1 to 64"),
        ({"blocks": (Block(("phone",), 64), BLOCK)}, "`keys` of all blocks are 65, of 64 that a record may have"),
        ({"comparisons": ()}, "there must be 1 to 12 comparisons"),
        ({"comparisons": (COMPARED,) * (MAX_COMPARISONS + 1)}, "there must be 1 to 12 comparisons"),
        ({"comparisons": (replace(COMPARED, kind="fuzzy"),)}, "`kind` of comparison full_name must be one of names"),
        ({"comparisons": (replace(COMPARED, field="phone"),)}, "kind names cannot compare phone; it is for given_name"),
        ({"comparisons": (replace(COMPARED, field="full_name:phonetic"),)}, "takes a field as it is"),
        ({"comparisons": (replace(COMPARED, field=""),)}, "`field` of each comparison must be"),
        ({"comparisons": (replace(COMPARED, values=5),)}, "`values` of full_name must be from 1 to 4"),
        ({"comparisons": (replace(COMPARED, weights=(1, 2)),)}, "`weights` of full_name must be 7 whole numbers"),
        ({"comparisons": (replace(COMPARED, weights=(1001, *COMPARED.weights[1:])),)}, "from -1000 to 1000"),
        ({"comparisons": (replace(COMPARED, weights=(1.0, *COMPARED.weights[1:])),)}, "`weights` of full_name"),
        ({"blocks": (BLOCK, BLOCK)}, "given twice"),
        ({"comparisons": (COMPARED, COMPARED)}, "given twice"),
        (
            {"comparisons": tuple(replace(SIMILAR.comparisons[2], field=f"h{k}", values=4) for k in range(5))},
            "80 pairs of values of two records, of 64 at most",
        ),
        ({"thresholds": (141,)}, "no two records can reach 141: all comparisons together give 140 at most"),
        ({"thresholds": ()}, "`thresholds` must be one positive whole number"),
        ({"thresholds": (0,)}, "`thresholds` must be one positive whole number"),
        ({"thresholds": (10, 20)}, "`thresholds` must be one positive whole number"),
        ({"thresholds": (12_001,)}, "`thresholds` must be one positive whole number"),
        ({"largest_group": 1}, "`largest_group` must be a whole number from 2 to 200"),
        ({"largest_group": 201}, "`largest_group` must be a whole number from 2 to 200"),
    ],
)
def test_wrong_terms_are_named(changes: dict[str, Any], says: str) -> None:
    assert says in refused(lambda: similar.check(replace(SIMILAR, **changes), "flag"))


@pytest.mark.parametrize("thresholds", [(60,), (30, 60), (30, 30, 60), (90, 60, 30)])
def test_grades_need_three_thresholds_that_rise(thresholds: tuple[int, ...]) -> None:
    text = refused(lambda: similar.check(replace(SIMILAR, thresholds=thresholds), "grade"))
    assert "3 positive whole numbers, each above the one before: possible, probable, certain" in text


def test_the_samples_are_good() -> None:
    check(manifest(rules=(ALIKE,)))
    check(manifest(rules=(*RULES, ALIKE)))
    check(manifest(rules=(ALIKE_GRADED,), reveal="grade"))
    check(manifest(rules=(Rule("phone", ("phone",), "household"), ALIKE)))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rules": (ALIKE, replace(ALIKE, name="again"))}, "there may be one rule with `kind` similar"),
        ({"rules": (replace(ALIKE, scope="household"),)}, "`scope` of rule similar people must be person"),
        ({"rules": (replace(ALIKE, fields=("phone",)),)}, "`fields` of rule similar people are not those"),
        ({"rules": (ALIKE,), "reveal": "count"}, "the session must have `reveal` flag or grade"),
        ({"rules": (ALIKE,), "reveal": "members"}, "the session must have `reveal` flag or grade"),
        ({"rules": (ALIKE,), "reveal": "statistics"}, "the session must have `reveal` flag or grade"),
        ({"reveal": "grade"}, "`reveal` grade is for sessions with a rule of `kind` similar"),
        ({"rules": (ALIKE,), "engine": "mpyc"}, 'a rule of `kind` similar needs `engine` "replicated"'),
        (
            {"rules": (ALIKE,), "dummies": Dummies(0.01, 1e-12)},
            "of 20,000,000 that a session may have; set `largest_group` lower",
        ),
    ],
)
def test_sessions_that_no_similar_rule_fits(changes: dict[str, Any], says: str) -> None:
    assert says in refused(lambda: check(manifest(**changes)))


def test_dummies_among_few_blocking_keys() -> None:
    few = replace(SIMILAR, largest_group=2)
    check(manifest(rules=(replace(ALIKE, similar=few),), dummies=Dummies(1.0, 1e-6)))


# What is signed


@pytest.mark.parametrize("rule", [ALIKE, ALIKE_GRADED])
def test_canonical_bytes_are_read_back(rule: Rule) -> None:
    terms = manifest(rules=(*RULES, rule), reveal="flag" if rule is ALIKE else "grade")
    assert from_bytes(terms.to_bytes()) == terms


@pytest.mark.parametrize(
    ("what", "otherwise"),
    [
        (b'"keys":2', b'"keys":"2"'),
        (b'"keys":2', b'"keys":2,"more":1'),
        (b'"keys":2', b'"keys":2.0'),
        (b'"kind":"date"', b'"kind":["date"]'),
        (b'"largest_group":50', b'"largest_group":null'),
        (b'"thresholds":[60]', b'"thresholds":60'),
        (b'"thresholds":[60]', b'"thresholds":[[60]]'),
        (b'"thresholds":[60]', b'"thresholds":[true]'),
        (b'"similar":{', b'"similar":[],"other":{'),
        (b'"fields":["phone"],"keys"', b'"fields":"phone","keys"'),
        (b'"weights":[-8,20,40]', b'"weights":{"a":1}'),
    ],
)
def test_bytes_of_something_else_are_refused(what: bytes, otherwise: bytes) -> None:
    data = manifest(rules=(ALIKE,)).to_bytes()
    assert what in data
    refused(lambda: from_bytes(data.replace(what, otherwise, 1)))


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in nested JSON something stands."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*path, key)
        yield from _paths(item, (*path, key))


TERMS = json.loads(manifest(rules=(ALIKE_GRADED,), reveal="grade").to_bytes())
PATHS = list(_paths(TERMS["rules"][0]["similar"]))


@given(st.sampled_from(PATHS), toml_values | st.sampled_from(["names", "phone:halves", ["phone"], 10**30]))
@examples(300)
def test_anything_anywhere_in_signed_terms_is_read_or_refused(path: tuple[Any, ...], value: Any) -> None:
    terms = json.loads(json.dumps(TERMS))
    place = terms["rules"][0]["similar"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    data = json.dumps(terms, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8", "surrogatepass")
    try:
        read = from_bytes(data)
    except ConfigError:
        return
    assert read.to_bytes() == data
    assert read.similar is not None
    assert read.similar.linkage.record_words > 0


def test_the_fingerprint_tells_terms_apart() -> None:
    others = [replace(SIMILAR, largest_group=51), GRADED, replace(SIMILAR, blocks=SIMILAR.blocks[:1])]
    assert len({SIMILAR.fingerprint, *(other.fingerprint for other in others)}) == 4
    assert SIMILAR.fingerprint == replace(SIMILAR).fingerprint
    assert SIMILAR.fingerprint in SIMILAR.to_lines()[0]


# What a coordinator writes


def test_a_rule_that_says_everything() -> None:
    rules = rules_from_toml(file(table()))
    assert rules == (*RULES, ALIKE)
    assert rules_from_toml(file(table()), "grade")[2] == ALIKE_GRADED
    assert rules_from_toml(file(table(thresholds=[60])))[2] == ALIKE
    assert rules_file(file(table(), reveal="grade"))[0][2] == ALIKE_GRADED


def test_a_manifest_file_with_a_similar_rule() -> None:
    terms = from_toml(file(table(), reveal="grade"), "hub", DIGESTS, NOW)
    assert terms.rules[2] == ALIKE_GRADED
    assert from_bytes(terms.to_bytes()) == terms
    exact = [{"kind": "exact"} | rule for rule in toml()["rule"]]
    assert rules_from_toml({"rule": exact}) == RULES


@pytest.mark.parametrize("tradition", similar.presets())
@pytest.mark.parametrize("reveal", ["flag", "grade"])
def test_every_presets_rule_is_good(tradition: str, reveal: str) -> None:
    rule = {"name": "similar people", "kind": "similar", "tradition": tradition}
    terms = from_toml(file(rule, reveal=reveal), "hub", DIGESTS, datetime(2026, 11, 20, tzinfo=UTC))
    assert terms.similar is not None
    assert len(terms.similar.thresholds) == (1 if reveal == "flag" else 3)
    assert from_bytes(terms.to_bytes()) == terms
    assert b"tradition" not in terms.to_bytes()


def test_what_is_left_out_is_the_usual_traditions() -> None:
    usual = rules_from_toml({"rule": [{"name": "similar people", "kind": "similar", "tradition": "general"}]})
    assert rules_from_toml({"rule": [{"name": "similar people", "kind": "similar"}]}) == usual
    (changed,) = rules_from_toml({"rule": [{"name": "similar people", "kind": "similar", "largest_group": 7}]})
    (rule,) = usual
    assert changed.similar == replace(rule.similar or SIMILAR, largest_group=7)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fields": ["phone"]}, "Rule 3 is of `kind` similar: it must have `name`, may have blocks, compare"),
        ({"scope": "person"}, "Rule 3 is of `kind` similar"),
        ({"kind": "fuzzy"}, "Rule 3 must have `name` and `fields`"),
        ({"kind": ["similar"]}, "Rule 3 must have `name` and `fields`"),
        ({"name": 3}, "every rule needs a printable name"),
        ({"tradition": "klingon"}, "`tradition` must be one of general"),
        ({"tradition": []}, "`tradition` must be one of general"),
        ({"blocks": 3}, "`blocks` must be a list"),
        ({"blocks": ["phone"]}, "each of `blocks` must be like"),
        ({"blocks": [{"fields": "phone"}]}, "`fields` must be a list"),
        ({"blocks": [{"fields": ["phone"], "key": 3}]}, "each of `blocks` must be like"),
        ({"compare": [{"field": "sex", "kind": "exact"}]}, "each of `compare` must be like"),
        ({"compare": [{"field": "sex", "kind": "exact", "weights": 3}]}, "`weights` must be a list"),
        ({"compare": [{"field": [], "kind": "exact", "weights": [1, 2]}]}, "`field` of each comparison must be"),
        ({"thresholds": "60"}, "`thresholds` must be a list"),
        ({"thresholds": [10, 20]}, "`thresholds` must be one positive whole number"),
        ({"largest_group": "50"}, "`largest_group` must be a whole number"),
    ],
)
def test_wrong_entries_are_named(changes: dict[str, Any], says: str) -> None:
    assert says in refused(lambda: rules_from_toml(file(table(**changes))))


@given(st.sampled_from([*table(), "tradition"]), toml_values, st.sampled_from(["flag", "grade", "count"]))
@examples(300)
def test_any_value_anywhere_is_read_or_refused(key: str, value: Any, reveal: str) -> None:
    try:
        terms = from_toml(file(table(**{key: value}), reveal=reveal), "hub", DIGESTS, NOW)
    except ConfigError:
        return
    assert from_bytes(terms.to_bytes()) == terms


@given(toml_values)
@examples(100)
def test_any_way_to_reveal_is_read_or_refused(reveal: Any) -> None:
    try:
        from_toml(file(table(), reveal=reveal), "hub", DIGESTS, NOW)
    except ConfigError:
        return
    assert reveal in (None, "flag", "grade")


@pytest.mark.parametrize("reveal", ["flag", "grade"])
def test_the_rules_of_the_page_on_similar_people_are_good(reveal: str) -> None:
    page = Path(__file__).parents[2] / "docs" / "similar.md"
    shown = [tomllib.loads(text) for text in re.findall(r"(?ms)^```toml\n(.*?)^```", page.read_text("utf-8"))]
    assert len(shown) == 2
    for rules in shown:
        from_toml(toml(reveal=reveal) | rules, "hub", DIGESTS, NOW)


def test_the_page_on_similar_people_has_every_entry_transform_and_kind() -> None:
    page = (Path(__file__).parents[2] / "docs" / "similar.md").read_text("utf-8")
    for name in (*similar.ENTRIES, *SEVERAL, *(kind.value for kind in Kind), *similar.GRADES):
        assert f"| `{name}` |" in page


def test_a_column_of_any_heading_can_be_compared() -> None:
    camp = Similar((Block(("camp block",), 1),), (Compared("camp block", "text", 1, (-9, 4, 48)),), (40,), 10)
    similar.check(camp, "flag")
    rule = Rule("camp", camp.fields, similar=camp)
    (warning,) = rule.headings()
    assert "`camp block`, which is no standard field: lists may lack that heading" in warning
    assert not rule.weakness(1000, 1000)
