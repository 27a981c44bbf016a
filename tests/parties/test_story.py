from dataclasses import replace
from pathlib import Path

import pytest

from mpc.dummies import Dummies
from parties.audit import NODE, Event
from parties.revealed import LEARNS, trust
from parties.statistics import Category, Statistics
from parties.story import WIDTH, Section, Story, tell
from parties.verdict import Verdict, judge
from tests.parties.auditing import COUNTS, DIGEST, ID, LIFE, TERMS, Node, keys
from tests.parties.samples import ALIKE, JARGON, RULES

INTACT = Verdict("agency-a", ID, 10, 0, "")


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node("agency-a", tmp_path)


def rows(story: Story, title: str) -> dict[str, str]:
    """What a section says; the last where it says several things of one."""
    return next((dict(section.rows) for section in story.sections if section.title == title), {})


def told(node: Node, upto: int | None = None, **changes: object) -> Story:
    """The story of a node's life up to some event."""
    node.live(LIFE[:upto])
    return tell(node.export(), replace(TERMS, **changes), INTACT)  # type: ignore[arg-type]


def revealed(node: Node, upto: int | None = None, **changes: object) -> dict[str, str]:
    return rows(told(node, upto, **changes), "What was revealed, and to whom")


def test_a_whole_story(node: Node, tmp_path: Path) -> None:
    other = Node("agency-b", tmp_path)
    other.live(LIFE[:3])
    node.live()
    node.hear(other.head())
    exported = node.export(approvals={"agency-a": node.approval(), "agency-b": other.approval()})
    [verdict] = judge([exported], keys(node, other))
    text = tell(exported, TERMS, verdict).to_text()
    assert text.splitlines()[:2] == [
        "Winter cash",
        f"As told by the log of agency-a, of session {ID.hex()}. Times are in UTC.",
    ]
    flat = " ".join(text.split())
    for said in (
        "purpose deconfliction before distribution",
        "committee agency-a, agency-b, neutral. " + trust(TERMS),
        f"each member learns {LEARNS['flag']}",
        "expires 2026-12-31 00:00",
        "deleted by 2026-11-27 12:00 at the latest",
        "signed by agency-a, agency-b What happened",
        "2026-11-20 12:00 hub proposed the terms of 'Winter cash'.",
        "2026-11-20 12:00 agency-a approved the terms.",
        "Who contributed agency-b 1,000 records, 200 of them new; 1,950 keys",
        f"to whom each member {LEARNS['flag']}; fetched here by agency-b",
        "how many keys are held by 1, 2, 3 … members: 3,700, 100",
        "What was deleted 2026-11-20 12:00 This node deleted its shares and results: the agreed retention ended.",
        f"agency-b entry 3 is {other.head().hash.hex()[:16]}",
        "this log 11 entries without a gap, each signed by agency-a and following from the one before.",
    ):
        assert said in flat
    assert "stated that entry 3" not in flat
    assert not any(word in text for word in (*JARGON, "{", "}"))


def test_a_story_fits_a_terminal(node: Node) -> None:
    story = told(node, purpose="deconfliction " * 70, title="t" * 300)
    assert all(len(line) <= WIDTH for line in story.to_text().splitlines()[2:])


def test_terms_in_short(node: Node) -> None:
    terms = rows(
        told(
            node,
            legal_basis="agreement of 3 May",
            min_records=50,
            max_records=2_000,
            max_new_records=300,
            min_members=2,
            max_sessions=4,
            period_days=30,
            dummies=Dummies(epsilon=0.5, delta=1e-6),
            verify_tags=True,
        ),
        "What was agreed",
    )
    assert "on purpose to read keys is noticed first" in terms["committee"]
    assert rows(told(node), "What was agreed")["committee"].endswith("on purpose can read every key.")
    assert terms["legal basis"] == "agreement of 3 May"
    assert terms["limits"] == (
        "50 to 2,000 records of each member; at most 300 of them new; at least 2 members; "
        "at most 4 results for a member in 30 days"
    )
    assert terms["group sizes"] == "revealed to the committee, hidden by dummy groups, ε = 0.5, δ = 1e-06"
    assert terms["signed by"] == "nobody"
    assert rows(told(node), "What was agreed")["group sizes"] == "revealed to the committee, not hidden"
    assert rows(told(node), "What was agreed")["legal basis"] == "not stated"


# What was revealed


def test_nothing_is_said_to_be_revealed_before_it_is(node: Node) -> None:
    found = revealed(node, 5)
    assert found["each member"] == "nothing: this log knows of no result that was released"
    assert found["the committee"] == (
        "agency-a, agency-b, neutral: how many records and keys each member has; nothing else so far"
    )


def test_an_attempt_may_have_revealed_group_sizes(node: Node) -> None:
    assert (
        "; perhaps how many keys are held by 1, 2, 3 … members: an attempt began" in revealed(node, 6)["the committee"]
    )


def test_what_was_computed_and_not_released_is_revealed_to_the_committee_alone(node: Node) -> None:
    found = revealed(node, 7)
    assert found["each member"].startswith("nothing")
    assert found["the committee"].endswith("how many keys are held by 1, 2, 3 … members: 3,700, 100")


@pytest.mark.parametrize("reveal", LEARNS)
def test_what_was_released(node: Node, reveal: str) -> None:
    assert revealed(node, 8, reveal=reveal)["each member"] == LEARNS[reveal]


def test_with_dummy_groups_the_sizes_are_not_the_true_ones(node: Node) -> None:
    found = revealed(node, 8, dummies=Dummies(epsilon=0.5, delta=1e-6))["the committee"]
    assert found.endswith("members, dummy groups included: 3,700, 100")


@pytest.mark.parametrize(
    ("event", "facts"), [(Event.RELEASED, {"attempt": 1}), (Event.GOT_RESULT, {"rows": 1_000})], ids=str
)
def test_a_coordinator_and_a_member_know_of_a_release_but_no_sizes(
    node: Node, event: Event, facts: dict[str, int]
) -> None:
    node.live([*LIFE[:2], (event, facts)])
    found = rows(tell(node.export(), TERMS, INTACT), "What was revealed, and to whom")
    assert found["each member"] == LEARNS["flag"]
    assert found["the committee"].endswith("; how many keys are held by 1, 2, 3 … members")
    assert found["the coordinator"].startswith("hub: the terms")


def test_a_table_is_no_result_on_rows(node: Node) -> None:
    node.live([*LIFE[:2], (Event.GOT_RESULT, {"rows": 1_000})])
    table = replace(TERMS, reveal="statistics", statistics=Statistics(10, (Category("sex", ("f", "m")),)))
    for terms, says in ((table, "the table."), (TERMS, "its own result, on 1,000 rows.")):
        assert f"This node got {says}" in rows(tell(node.export(), terms, INTACT), "What happened").values()


def test_a_later_contribution_counts(node: Node) -> None:
    again = {"member": "agency-b", **COUNTS, "records": 7}
    node.live([*LIFE, (Event.CONTRIBUTED, {"member": "agency-c", **COUNTS}), (Event.RECEIVED, again)])
    assert rows(tell(node.export(), TERMS, INTACT), "Who contributed") == {
        "agency-b": "7 records, 200 of them new; 1,950 keys",
        "agency-c": "1,000 records, 200 of them new; 1,950 keys",
    }


MPYC: dict[str, object] = {
    "engine": "mpyc",
    "threshold": 2,
    "committee": ("agency-a", "agency-b", "agency-c", "neutral", "other"),
}


def test_what_a_similar_rule_reveals(node: Node) -> None:
    blocks = (Event.BLOCKS, {"attempt": 1, "block_sizes": [90, 12, 3]})
    node.live([*LIFE[:7], blocks, *LIFE[7:8]])
    found = rows(tell(node.export(), replace(TERMS, rules=(ALIKE,)), INTACT), "What was revealed, and to whom")
    assert found["the committee"].endswith("blocking keys are shared by 1, 2, 3 … records: 90, 12, 3")
    assert found["the coordinator"].endswith("roughly how many pairs of records were compared")
    both = rows(tell(node.export(), replace(TERMS, rules=(*RULES, ALIKE)), INTACT), "What was revealed, and to whom")
    assert both["the committee"].endswith(
        "and how many blocking keys are shared by 1, 2, 3 … records: 3,700, 100; 90, 12, 3"
    )


def test_the_mpyc_engine_reveals_no_group_sizes(node: Node) -> None:
    node.live([*LIFE[:6], (Event.COMPUTED, {"attempt": 1, "group_sizes": [], "seconds": 4}), *LIFE[7:8]])
    story = tell(node.export(), replace(TERMS, **MPYC), INTACT)  # type: ignore[arg-type]
    found = rows(story, "What was revealed, and to whom")
    assert found["the committee"].endswith(": how many records and keys each member has; nothing else")
    assert "keys held by 1, 2, 3 … members: not opened." in story.to_text().replace("\n", "")
    terms = rows(story, "What was agreed")
    assert (terms["engine"], terms["group sizes"]) == ("mpyc", "revealed to nobody")
    assert "No two of the 5 committee nodes learn anything of the lists even together" in terms["committee"]


@pytest.mark.parametrize("upto", range(len(LIFE)))
def test_at_no_time_does_the_mpyc_engine_reveal_more(node: Node, upto: int) -> None:
    assert revealed(node, upto, **MPYC)["the committee"].endswith("; nothing else")


def test_a_table_is_among_the_terms(node: Node) -> None:
    table = Statistics(10, (Category("sex", ("f", "m")),))
    terms = rows(told(node, reveal="statistics", statistics=table), "What was agreed")
    assert terms["table"] == table.to_text()
    assert "table" not in rows(told(node), "What was agreed")


# What was deleted


def test_what_is_not_yet_deleted_is_due(node: Node) -> None:
    said = "This log tells of no deletion; shares and results are due to be deleted by 2026-11-27 12:00 at the latest."
    assert rows(told(node, 8), "What was deleted") == {"-": said}


# Whether it can be believed


def test_a_log_that_cannot_be_believed_says_so(node: Node) -> None:
    node.live()
    node.tamper("DELETE FROM entries WHERE number = 5")
    [verdict] = judge([node.export()], keys(node))
    outcome = rows(tell(node.export(), TERMS, verdict), "Whether this log can be believed")
    assert outcome == {"this log": "Entry 5 of the log of agency-a is missing, or out of its place."}


def test_remarks_and_comparisons_are_told(node: Node) -> None:
    node.live()
    verdict = replace(INTACT, compared=3, remarks=("The clock was set back.",))
    outcome = rows(tell(node.export(), TERMS, verdict), "Whether this log can be believed")
    assert outcome["with others"] == "Statements of agency-a on this log that others hold, and that it agrees with: 3."
    assert outcome["remark"] == "The clock was set back."


# Without terms


def test_the_nodes_own_events(node: Node) -> None:
    node.live([(Event.STARTED, {"version": "0.1.0"}), (Event.ROTATED, {"certificate": DIGEST})], NODE)
    story = tell(node.export(NODE), None, INTACT)
    assert (story.title, story.whose) == (
        "What happened at agency-a",
        "As told by the log of agency-a, of the node itself. Times are in UTC.",
    )
    assert [section.title for section in story.sections] == ["What happened", "Whether this log can be believed"]
    assert rows(story, "What happened") == {
        "2026-11-20 12:00": "This node began to use the certificate 0123456789abcdef."
    }


def test_a_story_of_another_version_is_told_as_far_as_it_is_known(node: Node) -> None:
    node.live()
    node.tamper("UPDATE entries SET event = 'invented' WHERE number = 5")
    story = tell(node.export(), TERMS, INTACT)
    assert ("2026-11-20 12:00", "Something that this version of Matchbit does not know: invented.") in [
        row for section in story.sections for row in section.rows
    ]
    assert rows(story, "Who contributed") == {}


def test_a_story_obeys_no_terminal(node: Node) -> None:
    node.live()
    node.tamper("UPDATE entries SET at = ? WHERE number = 5", "\x1b[2J\n2026")
    assert tell(node.export(), TERMS, INTACT).to_text().replace("\n", "").isprintable()


def test_empty_cells_and_long_words() -> None:
    story = Story("t", "w", (Section("s", ("a", "b"), [("x", ""), ("y", "z" * 300)]),))
    assert story.to_text().splitlines()[:5] == ["t", "w", "", "s", "  x"]
