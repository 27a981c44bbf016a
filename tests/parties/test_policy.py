from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.dummies import Dummies
from parties import policyfile
from parties.audit import MAX_TEXT_CHARS
from parties.errors import SessionRefused
from parties.manifest import Manifest, check
from parties.policy import MAX_TOLD_CHARS, Consent, Decision, Past, Policy, Ruling, rule_terms
from parties.rules import Rule
from parties.statistics import Category, Statistics
from tests.parties.samples import ALIKE, JARGON, NOW, SIMILAR, examples, manifest

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "policy.toml"
HERE = Path("policy.toml")
OWN = "agency-a"
SEXES = (Category("sex", ("f", "m")),)
PURPOSE = "deconfliction of multi-purpose cash"


def inside(**changes: Any) -> Manifest:
    """Terms at the bounds of the example, with changes."""
    terms: dict[str, Any] = {"coordinator": "cluster", "purpose": PURPOSE, "legal_basis": "consent of the data subject"}
    terms |= {"max_records": 50_000, "min_records": 500, "max_new_records": 10_000, "retention_days": 14}
    terms |= {"expires": "2026-12-20T12:00:00+00:00", "dummies": Dummies(1.0, 1e-6), "verify_tags": True}
    return manifest(**terms | changes)


def judged(rules: Policy, terms: Manifest, *history: Past) -> Ruling:
    ruling = rules.judge(terms, OWN, history, NOW)
    for reason in ruling.reasons:
        assert reason.isprintable()
        assert len(reason) <= MAX_TEXT_CHARS  # else the log would keep another one
        assert reason[-1] == "."
        assert not any(word in reason for word in JARGON)
    assert ruling.told.isprintable()
    assert 0 < len(ruling.told) <= MAX_TOLD_CHARS
    return ruling


# The example, and what each of its entries refuses

REFUSES: dict[str, tuple[dict[str, Any], str]] = {
    "coordinators": ({"coordinator": "hub"}, "`coordinator` is hub; this node allows cluster."),
    "partners": (
        {"members": ("agency-a", "agency-x", "agency-c")},
        "`members` and `committee` name agency-x; this node allows agency-b, agency-c, neutral.",
    ),
    "reveal": ({"reveal": "members"}, "`reveal` is members; this node allows flag."),
    "min_smallest_cell": (
        {"statistics": Statistics(9, SEXES)},
        "`smallest_cell` is 9; this node allows 10 at least.",
    ),
    "engine": ({"engine": "mpyc"}, "`engine` is mpyc; this node allows replicated."),
    "min_threshold": ({"threshold": 0}, "`threshold` is 0; this node allows 1 at least."),
    "rules": (
        {"rules": (Rule("any", ("phone",)), Rule("id", ("id_number",)))},
        "`fields` of a rule are phone; this node allows birth_date + phone, id_number.",
    ),
    "similar": (
        {"rules": (*manifest().rules, ALIKE)},
        f"The fingerprint of a rule of `kind` similar is {SIMILAR.fingerprint}; this node allows none.",
    ),
    "max_records": ({"max_records": 50_001}, "`max_records` is 50,001; this node allows 50,000 at most."),
    "min_records": ({"min_records": 499}, "`min_records` is 499; this node allows 500 at least."),
    "max_new_records": ({"max_new_records": 10_001}, "`max_new_records` is 10,001; this node allows 10,000 at most."),
    "min_members": ({"min_members": 2}, "`min_members` is 2; this node allows 3 at least."),
    "max_retention_days": ({"retention_days": 15}, "`retention_days` is 15; this node allows 14 at most."),
    "max_days_open": (
        {"expires": "2026-12-20T12:00:01+00:00"},
        "Days from `created` to `expires` are 31; this node allows 30 at most.",
    ),
    "legal_basis": ({"legal_basis": ""}, "`legal_basis` is empty; this node allows terms only that state it."),
    "purposes": ({"purpose": "research"}, f"`purpose` is research; this node allows {PURPOSE}."),
    "dummies": (
        {"dummies": None},
        "`dummies` are not there; this node allows epsilon 1 and delta 1e-06 at most.",
    ),
    "verify_tags": (
        {"verify_tags": False},
        "`verify_tags` is false; this node allows terms only that have it true.",
    ),
}


YES_OR_NO = {"legal_basis", "verify_tags"}
OPENED = {"dummies", "verify_tags"}
"""Entries on what the replicated engine opens, and mpyc does not."""


def test_the_example_allows_what_it_says() -> None:
    rules = policyfile.read(EXAMPLE)
    check(inside())
    ruling = judged(rules, inside())
    assert ruling.decision is Decision.PERSON
    assert ruling.reasons == ("Data protection, Programme must read the terms, and approve or refuse them.",)
    rules.refuse(inside(), OWN)


@pytest.mark.parametrize("entry", REFUSES)
def test_what_each_entry_refuses(entry: str) -> None:
    changes, says = REFUSES[entry]
    rules = policyfile.read(EXAMPLE)
    assert judged(rules, inside(**changes)) == Ruling(Decision.REFUSED, (says,))
    with pytest.raises(SessionRefused) as error:
        rules.refuse(inside(**changes), OWN)
    assert str(error.value) == f"The policy of agency-a refuses the terms: {says}"
    without = replace(rules, **{entry: False if entry in YES_OR_NO else None})
    assert judged(without, inside(**changes)).decision is Decision.PERSON


def test_no_entry_is_forgotten() -> None:
    decided_otherwise = {"consent", "approvers", "cooldown_days"}
    assert {f.name for f in fields(Policy)} == {*REFUSES, *decided_otherwise} == set(policyfile._ENTRIES)
    given = policyfile.read(EXAMPLE)
    assert [f.name for f in fields(Policy) if getattr(given, f.name) == getattr(Policy(), f.name)] == ["consent"]


@pytest.mark.parametrize("dummies", [Dummies(1.1, 1e-6), Dummies(1.0, 1.1e-6), Dummies(0.5, 1e-3)])
def test_dummies_that_hide_too_little(dummies: Dummies) -> None:
    (says,) = judged(policyfile.read(EXAMPLE), inside(dummies=dummies)).reasons
    assert says.startswith(f"`dummies` are epsilon {dummies.epsilon:g} and delta {dummies.delta:g}; this node allows")


def test_dummies_that_hide_better() -> None:
    assert judged(policyfile.read(EXAMPLE), inside(dummies=Dummies(0.5, 1e-9))).decision is Decision.PERSON


def test_every_term_that_is_outside_is_told() -> None:
    for left_out in (OPENED, {"engine"}):
        told = {entry: refused for entry, refused in REFUSES.items() if entry not in left_out}
        changes = {name: value for changed, _ in told.values() for name, value in changed.items()}
        changes |= {"rules": (*REFUSES["rules"][0]["rules"], ALIKE)}
        reasons = judged(policyfile.read(EXAMPLE), inside(**changes)).reasons
        assert list(reasons) == [says for _, says in told.values()]


def test_what_mpyc_does_not_open_need_not_be_hidden() -> None:
    rules = policyfile.from_toml({"dummies": {"epsilon": 1.0, "delta": 1e-6}, "verify_tags": True}, HERE)
    assert judged(rules, manifest(engine="mpyc")).decision is Decision.PERSON
    assert len(judged(rules, manifest()).reasons) == 2


def test_the_smallest_number_of_a_table() -> None:
    rules = policyfile.from_toml({"min_smallest_cell": 10}, HERE)
    terms = manifest(reveal="statistics", rules=manifest().rules[:1], statistics=Statistics(10, SEXES))
    assert judged(rules, terms).decision is Decision.PERSON
    assert judged(rules, manifest()).decision is Decision.PERSON
    few = replace(terms, statistics=Statistics(9, SEXES))
    assert judged(rules, few).reasons == (REFUSES["min_smallest_cell"][1],)


def test_a_node_without_data_has_a_policy_like_any_other() -> None:
    rules = policyfile.from_toml({"partners": ["agency-a", "agency-b", "agency-c"], "cooldown_days": 7}, HERE)
    assert rules.judge(manifest(), "neutral", [], NOW).decision is Decision.PERSON
    assert rules.judge(manifest(), "agency-a", [], NOW).decision is Decision.REFUSED
    past = Past(("agency-c", "agency-b"), NOW - timedelta(1))
    assert rules.judge(manifest(), "neutral", [past], NOW).decision is Decision.REFUSED


def test_the_name_and_the_scope_of_a_rule_do_not_matter_but_its_transforms_do() -> None:
    rules = policyfile.from_toml({"rules": [["birth_date:year", "phone"]]}, HERE)
    same = (Rule("x", ("phone", "birth_date:year", "phone")), Rule("y", ("birth_date:year", "phone"), "household"))
    assert judged(rules, manifest(rules=same)).decision is Decision.PERSON
    for other in (
        ("phone", "birth_date"),
        ("phone",),
        ("phone", "birth_date:year", "sex"),
        ("birth_date:year + phone",),
    ):
        assert judged(rules, manifest(rules=(Rule("x", other),))).decision is Decision.REFUSED


def test_lists_of_names_and_long_texts_are_cut_short() -> None:
    members = tuple(f"agency-{k:03}{'x' * 50}" for k in range(1000))
    terms = manifest(
        members=members, purpose="so " * 300 + "on", rules=(Rule("r", tuple("abcdefghijkl" * 16 for _ in "ab")),)
    )
    allowed = [f"{k}{'y' * 62}" for k in range(9)]
    stated = {"partners": allowed, "purposes": ["x" * 1000], "rules": [[name] for name in allowed]}
    rules = policyfile.from_toml(stated, HERE)
    ruling = judged(rules, terms)
    assert "997 more" in ruling.reasons[0]
    assert "4 more" in ruling.reasons[1]
    assert len(ruling.reasons) == 3
    with pytest.raises(SessionRefused) as error:
        rules.refuse(terms, OWN)
    assert len(str(error.value)) <= MAX_TOLD_CHARS
    many = policyfile.from_toml({"approvers": [f"{k}{'z' * 98}" for k in range(10, 99)]}, HERE)
    assert "84 more must read the terms" in judged(many, manifest()).reasons[0]


# Who decides


def test_without_a_file_a_person_decides_on_everything(tmp_path: Path) -> None:
    rules = policyfile.read(tmp_path / "policy.toml")
    assert rules == Policy()
    ruling = judged(rules, manifest(reveal="members", max_records=50_000_000, retention_days=90))
    assert ruling.decision is Decision.PERSON
    assert ruling.reasons == ("Somebody at this node must read the terms, and approve or refuse them.",)


def test_standing_consent() -> None:
    stated = {"partners": ["agency-b", "agency-c", "neutral"], "reveal": ["flag"], "max_records": 1000}
    stated |= {"rules": [["id_number"], ["phone", "birth_date"]], "consent": "standing"}
    rules = policyfile.from_toml(stated, HERE)
    assert rules.consent is Consent.STANDING
    assert judged(rules, manifest()).decision is Decision.STANDING
    assert judged(rules, manifest(max_records=1001)).decision is Decision.REFUSED


# Cooldown

PAST = Past(("agency-c", "agency-b"), NOW - timedelta(3))
BOTH = "Of `members`, agency-b, agency-c"


def cooled(*history: Past, days: int = 7) -> tuple[str, ...]:
    ruling = judged(policyfile.from_toml({"cooldown_days": days}, HERE), manifest(), *history)
    return ruling.reasons if ruling.decision is Decision.REFUSED else ()


def test_the_same_members_again_too_soon() -> None:
    assert cooled(PAST) == (f"{BOTH} got results on 2026-11-17; this node allows another session 7 days later.",)
    assert cooled(PAST, days=4)
    assert cooled(PAST, days=3) == ()  # to the microsecond
    assert cooled(replace(PAST, ended=NOW - timedelta(7, microseconds=-1)))
    assert cooled(replace(PAST, ended=NOW + timedelta(1)))  # by a clock that was set back since
    assert cooled(replace(PAST, members=("agency-c", "agency-x"))) == ()
    assert cooled() == ()
    assert judged(Policy(), manifest(), PAST).decision is Decision.PERSON


def test_one_day() -> None:
    assert "another session 1 day later." in cooled(replace(PAST, ended=NOW), days=1)[0]


def test_a_session_that_may_still_have_results_is_as_good_as_one_that_had() -> None:
    says = f"{BOTH} are in a session that is not over; this node allows another 7 days after its results."
    assert cooled(PAST, replace(PAST, ended=None)) == (says,)
    assert cooled(replace(PAST, ended=NOW + timedelta(1)), replace(PAST, ended=None)) == (says,)


def test_the_latest_of_several_sessions_is_told() -> None:
    older, other = replace(PAST, ended=NOW - timedelta(5)), replace(PAST, ended=NOW - timedelta(4))
    assert cooled(older, PAST, other) == cooled(other, older, PAST) == cooled(PAST)


def test_a_cooldown_is_for_new_proposals_only() -> None:
    policyfile.from_toml({"cooldown_days": 7}, HERE).refuse(manifest(), OWN)


# Properties

NAMES = [f"agency-{c}" for c in "bcdefgh"]
FIELDS = ["id_number", "phone", "birth_date", "birth_date:year", "full_name:sorted", "Heading"]
FEW = replace(SIMILAR, largest_group=2)
"""So that dummies among blocking keys are not too many."""
some_rules = st.lists(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=3, unique=True), min_size=1, max_size=4)


@st.composite
def terms_and_policy(draw: st.DrawFn) -> tuple[Manifest, Policy]:
    """Terms, and a policy that allows them, some of them barely; this node is agency-a."""
    names = draw(st.permutations(NAMES))
    members = tuple(draw(st.permutations([OWN, *names[: draw(st.integers(2, 4))]])))
    rules = tuple(Rule(f"r{k}", tuple(named)) for k, named in enumerate(draw(some_rules)))
    created = draw(st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
    open_for = timedelta(seconds=draw(st.integers(1, 366 * 86_400)))
    mpyc = draw(st.booleans())
    reveal = draw(st.sampled_from(["flag", "count", "members", "statistics"]))
    table = Statistics(draw(st.integers(3, 1000)), SEXES) if reveal == "statistics" else None
    most = draw(st.integers(2, 20 if mpyc or table else 10**6))
    rules = rules[:1] if table else rules
    alike = reveal == "flag" and not mpyc and draw(st.booleans())
    rules = (*rules, replace(ALIKE, similar=FEW)) if alike else rules
    committee = (OWN, names[0], "neutral", *names[1 : draw(st.integers(1, 7)) if mpyc else 1])
    terms = manifest(
        members=members, committee=committee, rules=rules, engine="mpyc" if mpyc else "replicated",
        threshold=draw(st.integers(1, (len(committee) - 1) // 2)),
        reveal=reveal, statistics=table, legal_basis=draw(st.sampled_from(["", "law"])),
        max_records=most, min_records=draw(st.integers(1, most)), max_new_records=draw(st.integers(1, most)),
        min_members=draw(st.integers(2, len(members))), created=created.isoformat(),
        expires=(created + open_for).isoformat(), retention_days=draw(st.integers(1, 90)),
        dummies=None if mpyc else draw(st.sampled_from([None, Dummies(0.5, 1e-9), Dummies(2.0, 1e-6)])),
        verify_tags=not mpyc and draw(st.booleans()),
    )  # fmt: skip
    check(terms)
    more, fewer = st.integers(0, 3), st.integers(-3, 0)
    allows = Policy(
        coordinators=frozenset({terms.coordinator, *draw(st.sets(st.sampled_from(["x", "y"])))}),
        partners=frozenset({*terms.participants, *draw(st.sets(st.sampled_from(NAMES)))} - {OWN}),
        min_smallest_cell=table and max(3, table.smallest_cell + draw(fewer)),
        reveal=frozenset({terms.reveal, *draw(st.sets(st.sampled_from(["flag", "count", "members"])))}),
        engine=frozenset({terms.engine, *draw(st.sets(st.sampled_from(["replicated", "mpyc"])))}),
        min_threshold=terms.threshold + draw(fewer),
        similar=frozenset({FEW.fingerprint}),
        rules=frozenset(map(rule_terms, (*rules, *(Rule("", tuple(named)) for named in draw(some_rules))))),
        max_records=most + draw(more), min_records=terms.min_records + draw(fewer),
        max_new_records=terms.max_new_records + draw(more), min_members=terms.min_members + draw(fewer),
        max_retention_days=terms.retention_days + draw(more), max_days_open=open_for.days + 1 + draw(more),
        legal_basis=bool(terms.legal_basis) and draw(st.booleans()),
        purposes=frozenset({terms.purpose, *draw(st.sets(st.sampled_from(["p", "q"])))}), cooldown_days=7,
        dummies=terms.dummies and draw(st.sampled_from([None, terms.dummies, Dummies(9.0, 1e-2)])),
        verify_tags=terms.verify_tags and draw(st.booleans()),
    )  # fmt: skip
    unstated = draw(st.sets(st.sampled_from([f.name for f in fields(Policy) if f.default is None])))
    return terms, replace(allows, **dict.fromkeys(unstated))


def stricter(entry: str, terms: Manifest) -> Any:
    """A value of an entry that leaves just these terms outside."""
    some_other: dict[str, Callable[[], Any]] = {
        "coordinators": lambda: frozenset({"other"}),
        "partners": lambda: frozenset({*terms.participants} - {OWN, terms.members[0], terms.members[1]}),
        "reveal": lambda: frozenset({"flag", "count", "members"} - {terms.reveal}),
        "min_smallest_cell": lambda: terms.statistics.smallest_cell + 1 if terms.statistics else 3,
        "engine": lambda: frozenset({"replicated", "mpyc"} - {terms.engine}),
        "min_threshold": lambda: terms.threshold + 1,
        "rules": lambda: frozenset({("sex",), *map(rule_terms, terms.rules)} - {rule_terms(terms.rules[0])}),
        "similar": frozenset,
        "max_records": lambda: terms.max_records - 1,
        "min_records": lambda: terms.min_records + 1,
        "max_new_records": lambda: terms.max_new_records - 1,
        "min_members": lambda: terms.min_members + 1,
        "max_retention_days": lambda: terms.retention_days - 1,
        "max_days_open": lambda: (datetime.fromisoformat(terms.expires) - datetime.fromisoformat(terms.created)).days,
        "purposes": lambda: frozenset({terms.purpose + "."}),
        "dummies": lambda: Dummies(0.5, 1e-10),
    }
    return some_other[entry]()


TERM = {
    "coordinators": "coordinator", "partners": "members", "rules": "fields", "max_retention_days": "retention_days",
    "max_days_open": "expires", "purposes": "purpose", "min_threshold": "threshold", "similar": "kind",
    "min_smallest_cell": "smallest_cell",
}  # fmt: skip


@given(terms_and_policy())
@examples(200)
def test_terms_inside_all_bounds_are_never_refused(drawn: tuple[Manifest, Policy]) -> None:
    terms, rules = drawn
    assert judged(rules, terms, Past((OWN, "stranger"), None)).decision is Decision.PERSON
    named = not terms.similar or rules.similar is not None
    expected = Decision.STANDING if named else Decision.PERSON
    assert judged(replace(rules, consent=Consent.STANDING), terms).decision is expected
    rules.refuse(terms, OWN)


@given(terms_and_policy(), st.sampled_from(sorted(set(REFUSES) - YES_OR_NO)))
@examples(300)
def test_one_step_outside_one_bound_is_refused_with_one_reason(drawn: tuple[Manifest, Policy], entry: str) -> None:
    terms, rules = drawn
    ruling, by_mpyc = judged(replace(rules, **{entry: stricter(entry, terms)}), terms), terms.engine == "mpyc"
    bounded = {"min_smallest_cell": terms.statistics, "similar": terms.similar} | dict.fromkeys(OPENED, not by_mpyc)
    if not bounded.get(entry, True):
        assert ruling.decision is Decision.PERSON  # there is nothing that it bounds
        return
    assert ruling.decision is Decision.REFUSED
    (reason,) = ruling.reasons
    assert f"`{TERM.get(entry, entry)}`" in reason
    assert "; this node allows " in reason


@given(terms_and_policy(), st.lists(st.sampled_from(sorted(REFUSES)), max_size=4), st.randoms(use_true_random=False))
@examples(200)
def test_the_order_of_names_does_not_matter(drawn: tuple[Manifest, Policy], strict: list[str], chance: Any) -> None:
    terms, rules = drawn
    rules = replace(rules, **{e: e in YES_OR_NO or stricter(e, terms) for e in strict})

    def shuffled(names: Any) -> tuple[Any, ...]:
        given = tuple(names)
        return tuple(chance.sample(given, len(given)))

    other = replace(
        terms, members=shuffled(terms.members), committee=shuffled(terms.committee),
        rules=shuffled(replace(r, fields=shuffled(r.fields)) for r in terms.rules),
    )  # fmt: skip
    history = [Past(shuffled(terms.members)[:3], NOW - timedelta(day)) for day in (1, 2, 2, 9)]
    again = [replace(past, members=shuffled(past.members)) for past in shuffled(history)]
    assert judged(rules, terms, *history) == judged(rules, other, *again)
