from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from mpc.dummies import Dummies
from parties.demo import MemberResult
from parties.lifecycle import MEANING, State
from parties.report import bench_text, demo_json, demo_text, session_text, table
from parties.results import REVIEW, Summary
from parties.revealed import LEARNS, SIMILAR, deviates, trust
from parties.scenarios import Step, ratios
from parties.statements import Commitment
from parties.statistics import Category, Statistics
from parties.store import SessionRecord
from parties.trial import Outcome
from parties.wire import View
from tests.parties.samples import ALIKE_GRADED, GRADED, RULES, manifest

TERMS = manifest()
RECORD = SessionRecord(TERMS, State.PROPOSED, "", 0, {"agency-a": b"x" * 64, "neutral": b"y" * 64})
FIGURES = {
    "cpu_s": 1.25,
    "sent_bytes": 52_000_000,
    "idle_rss_bytes": 60_000_000,
    "peak_rss_bytes": 150_000_000,
    "phases": {"tag": 1.0},
}


def view(record: SessionRecord) -> View:
    """agency-b has contributed."""
    commitment = Commitment(record.id, "agency-b", records=1234, new_records=56, keys=2345)
    return View(record, {"agency-b": commitment}, (), ("", 0, 0))


def squeezed(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def summary(name: str, matched: int = 2) -> Summary:
    return Summary("Demonstration", name, 1000, 1000, matched, 7, {"id": matched}, {"id": 7}, {"id is empty": 7}, 3)


def results(correct: bool | None) -> dict[str, MemberResult]:
    expected = None if correct is None else 2
    rows = [
        {"id": "A-1", "name": "Anna", "empty": " ", "match": "yes", "matched_on": "id"},
        {"id": "B-2", "matched_on": "own words", "match (2)": "yes", "matched_on (2)": "id; phone"},
    ]
    return {
        "agency-a": MemberResult(summary("agency-a"), Path("a.csv"), expected, correct, rows),
        "agency-b": MemberResult(summary("agency-b", 0), Path("b.csv"), expected, correct, []),
    }


def outcome() -> Outcome:
    return Outcome(RECORD, {"propose": 0.5, "compute": 2.25}, {"agency-a": FIGURES, "neutral": FIGURES})


def test_a_table_is_aligned_and_groups_digits() -> None:
    assert table(("name", "keys"), [("agency-a", 1234567), ("b", "-")]) == (
        "name           keys\n-------------------\nagency-a  1,234,567\nb                 -"
    )
    assert table(("name", "keys"), []).splitlines() == ["name  keys", "----------"]


def test_a_similar_rule_is_shown_number_by_number() -> None:
    lines = session_text(view(replace(RECORD, manifest=manifest(rules=(*RULES, ALIKE_GRADED), reveal="grade"))))
    for said in (
        "  rule         similar people: similar in phone, birth_date, full_name",
        f"  similar      fingerprint {GRADED.fingerprint}",
        "  similar      compared if equal in birth_date:unordered + full_name:phonetic:each-word; keys: 2",
        "  similar      phone as number; values: 2; weights: -8, 20, 40",
        "  similar      possible from 30, probable from 60, certain from 90, in quarters of a bit",
        "  similar      records with a key that more than 50 share are not compared under it",
        f"  {SIMILAR}",
    ):
        assert said in lines.splitlines()
    assert "blocking keys are shared by 1, 2, 3 … records" in lines


def test_only_exact_rules_keys_are_counted() -> None:
    alone = replace(RECORD, manifest=manifest(rules=(ALIKE_GRADED,), reveal="grade"))
    lines = squeezed(session_text(view(alone)))
    assert "name approved records new" in lines
    assert "agency-b not yet 1,234 56" in lines
    beside = manifest(rules=(*RULES, ALIKE_GRADED), reveal="grade")
    keys = 2345 + 1234 * beside.rows_of_record
    commitment = Commitment(RECORD.id, "agency-b", records=1234, new_records=56, keys=keys)
    both = replace(view(replace(RECORD, manifest=beside)), commitments={"agency-b": commitment})
    assert "agency-b not yet 1,234 56 2,345" in squeezed(session_text(both))


@pytest.mark.parametrize("reveal", LEARNS)
def test_a_sessions_page_tells_who_learns_what(reveal: str) -> None:
    text = session_text(view(replace(RECORD, manifest=manifest(reveal=reveal))))
    lines = squeezed(text)
    assert f"each member learns {LEARNS[reveal]}." in lines
    assert not any(other in text for key, other in LEARNS.items() if key != reveal)
    assert trust(TERMS) in lines
    assert any(line.startswith("the committee learns each member's number of keys") for line in lines)


def test_a_sessions_page_tells_all_terms() -> None:
    limits = {"min_records": 20, "max_new_records": 300, "max_sessions": 4, "period_days": 60, "min_members": 2}
    terms = manifest(legal_basis="Art. 6(1)(e)", **limits)
    lines = squeezed(session_text(view(replace(RECORD, manifest=terms))))
    for wanted in (
        TERMS.title,
        f"id {terms.session_id.hex()}",
        "state waits for approvals",
        f"purpose {TERMS.purpose}",
        "coordinator hub",
        "committee agency-a, agency-b, neutral; computes with the replicated engine",
        "members agency-a, agency-b, agency-c",
        "rule id: id_number",
        "compared as matchbit-1, national numbers of UA",
        "rule phone and birth date: phone + birth_date",
        "legal basis Art. 6(1)(e)",
        "limit 20 to 1,000 records per member, at most 300 new",
        "limit 4 sessions per member in 60 days; computed when at least 2 members have contributed",
        "the committee learns each member's number of keys, and how many keys are held by 1, 2, 3 … members.",
        f"expires {TERMS.expires}; shares are deleted 7 days after proposal at the latest",
        "name approved records new keys",
        "agency-a yes not yet",
        "agency-b not yet 1,234 56 2,345",
        "agency-c not yet not yet",
        "neutral yes - - -",
    ):
        assert wanted in lines
    assert not any(line.startswith("reason") for line in lines)
    assert "legal basis not stated" in squeezed(session_text(view(RECORD)))


def test_a_sessions_page_tells_of_dummy_groups() -> None:
    hidden = replace(RECORD, manifest=manifest(dummies=Dummies(1.0, 1e-6)))
    wanted = (
        "the committee learns each member's number of keys, and roughly how many keys are held by 1, 2, 3 … members: "
        "dummy groups hide any one record with ε = 1 and δ = 1e-06."
    )
    assert wanted in squeezed(session_text(view(hidden)))


@pytest.mark.parametrize("verified", [False, True])
def test_a_sessions_page_tells_what_a_node_that_deviates_can_do(verified: bool) -> None:
    lines = squeezed(session_text(view(replace(RECORD, manifest=manifest(verify_tags=verified)))))
    (told,) = (line for line in lines if line.startswith("One that breaks the protocol on purpose"))
    assert told.endswith("but for one chance in all keys.") is verified
    assert told.endswith("can read every key.") is not verified


def test_a_sessions_page_tells_of_the_mpyc_engine() -> None:
    terms = manifest(engine="mpyc", threshold=2, committee=("agency-a", "agency-b", "agency-c", "neutral", "other"))
    lines = squeezed(session_text(view(replace(RECORD, manifest=terms))))
    assert "committee agency-a, agency-b, agency-c, neutral, other; computes with the mpyc engine" in lines
    nothing = "nothing else, not even how many keys are held by 1, 2, 3 … members"
    assert f"the committee learns each member's number of keys, and {nothing}." in lines
    assert trust(terms) in lines
    assert deviates(terms) in lines


def test_a_sessions_page_tells_of_the_table() -> None:
    table = Statistics(10, (Category("sex", ("f", "m")),))
    lines = squeezed(session_text(view(replace(RECORD, manifest=manifest(reveal="statistics", statistics=table)))))
    assert f"table {table.to_text()}" in lines
    assert f"each member learns {LEARNS['statistics']}." in lines


@pytest.mark.parametrize("state", State)
def test_every_state_reads_as_what_it_means(state: State) -> None:
    record = replace(RECORD, state=state, reason="agency-b: the purpose is too wide")
    lines = squeezed(session_text(View(record, {}, (), ("tag", 1, 2))))
    assert f"state {MEANING[state]} (tag)" in lines
    assert "reason agency-b: the purpose is too wide" in lines


def test_the_demos_json() -> None:
    report = demo_json(outcome(), results(True))
    assert report["members"] == 3
    assert report["rows"] == {"agency-a": 1000, "agency-b": 1000}
    assert report["matched"] == {"agency-a": 2, "agency-b": 0}
    assert report["expected"] == {"agency-a": 2, "agency-b": 2}
    assert report["correct"] is True
    assert report["wall_s"] == 2.75
    for figures in report["committee"].values():
        assert {"cpu_s", "sent_bytes", "peak_rss_bytes"} <= set(figures)
    assert report["sheets"] == {"agency-a": "a.csv", "agency-b": "b.csv"}


def test_the_demos_json_where_the_truth_is_unknown_or_missed() -> None:
    unknown = demo_json(outcome(), results(None))
    assert (unknown["expected"], unknown["correct"]) == (None, None)
    mixed = results(True)
    mixed["agency-b"] = replace(mixed["agency-b"], correct=False)
    assert demo_json(outcome(), mixed)["correct"] is False


def test_the_demos_story() -> None:
    lines = squeezed(demo_text(outcome(), results(True), Path("sheets")))
    for wanted in (
        "agency rows shared not compared expected exactly right",
        "agency-a 1,000 2 7 2 yes",
        "agency-a learned that it shares 2 people, among them:",
        "A-1, Anna (on id)",
        "B-2 (on id; phone)",
        "agency-b learned that it shares 0 people, among them:",
        "nobody",
        "neutral 1.25 s 52.0 MB 150 MB",
        "Time: propose 0.5 s, compute 2.2 s.",
        f"{trust(TERMS)} {REVIEW}",
        "Result sheets are in sheets.",
    ):
        assert wanted in lines, wanted


def test_the_demos_story_without_truth_or_folder() -> None:
    text = demo_text(outcome(), results(None), None)
    assert "exactly right" not in text
    assert "Result sheets" not in text


def step(correct: bool, **changed: Any) -> dict[str, Any]:
    """A measured session."""
    report = outcome().report() | {
        "step": asdict(Step(rate="100mbit")),
        "daemons_s": {"coordinator": 0.5, "neutral": 0.75},
        "rows": {"agency-a": 1_000_000, "agency-b": 1_000_000, "agency-c": 1_000_000},
        "rows_per_s": 123_456,
        "sent_bytes_per_row": {"agency-a": 17.3, "neutral": 18.9},
        "memory_bytes_per_row": {"agency-a": 30.0, "neutral": 31.0},
        "phases": {"tag": 1.5},
        "line_used": {"agency-a": 0.934, "neutral": 0.5},
        "correct": correct,
    }
    return report | changed


@pytest.mark.parametrize("correct", [True, False])
def test_the_benchmarks_table(correct: bool) -> None:
    lines = squeezed(
        bench_text({"name": "million", "shows": "a million rows", "steps": [step(correct)], "ratios": [{}]})
    )
    assert lines[0] == "million: a million rows"
    for wanted in (
        "3 × 1,000,000 rows, at 100mbit, 3,000,000 in all, 123,456 rows/s computed",
        "daemons up after: coordinator 0.50 s, neutral 0.75 s",
        "neutral 1.25 s 0.42 s 18.9 B 31 B 150 MB",
        "of lines of 100mbit each way, sending while computing used: agency-a 93%, neutral 50%",
        "whole session 2.75",
        "tag 1.5",
        "result: exactly right" if correct else "result: WRONG",
    ):
        assert wanted in lines, wanted


def test_the_benchmarks_steps_side_by_side() -> None:
    steps = [step(True), step(False, step=asdict(Step(rows=10)), line_used={}, wall_s=5.5)]
    lines = squeezed(bench_text({"name": "x", "shows": "y", "steps": steps, "ratios": ratios(steps)}))
    for wanted in (
        "3 × 1,000,000 rows, at 100mbit 2.75 s 2.25 s 123,456 0.42 s 18.9 B 31 B 150 MB 93% exactly right",
        "3 × 10 rows 5.50 s 2.25 s 123,456 0.42 s 18.9 B 31 B 150 MB - WRONG",
        "session wall_s compute_s cpu_s sent_bytes memory_bytes",
        "3 × 10 rows 2.00 1.00 1.00 1.00 1.00",
    ):
        assert wanted in lines, wanted
