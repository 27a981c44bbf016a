from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from parties.audit import NODE, Entry, Event, Head
from parties.auditfile import Export
from parties.errors import AuditError, ConfigError
from parties.verdict import CLOCK_STEP, Verdict, check, judge
from tests.parties.auditing import COUNTS, ID, LIFE, TERMS, Node, keys
from tests.parties.samples import JARGON, examples

UNTIL_COMPUTED = LIFE[:7]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    node = Node("agency-a", tmp_path)
    node.live(UNTIL_COMPUTED)
    return node


@pytest.fixture
def other(tmp_path: Path) -> Node:
    other = Node("agency-b", tmp_path)
    other.live(LIFE[:4])
    return other


def rewritten(node: Node, folder: Path, *leave_out: int) -> Node:
    """The same node with its own key, but a history without some events."""
    folder.mkdir()
    again = Node(node.name, folder, node.key)
    again.live(event for number, event in enumerate(UNTIL_COMPUTED, 1) if number not in leave_out)
    return again


def fault(node: Node, *others: Node, besides: dict[str, list[Head]] | None = None) -> str:
    """What is found against a node's log."""
    return judge([node.export()], keys(node, *others), besides or {})[0].fault


# A log by itself


def test_a_log_as_it_was_written(node: Node) -> None:
    assert judge([node.export()], keys(node)) == [Verdict("agency-a", ID, 7, 0, "")]
    assert judge([node.export(NODE)], keys(node)) == [Verdict("agency-a", NODE, 0, 0, "")]


def changed(node: Node) -> None:
    node.tamper("UPDATE entries SET facts = replace(facts, '1000', '1001') WHERE number = 5")


def renamed(node: Node) -> None:
    node.tamper("UPDATE entries SET event = 'closed', facts = '{}' WHERE number = 5")


def redated(node: Node) -> None:
    node.tamper("UPDATE entries SET at = replace(at, '2026', '2025') WHERE number = 5")


def taken_out(node: Node) -> None:
    node.tamper("DELETE FROM entries WHERE number = 5")


def first_taken_out(node: Node) -> None:
    node.tamper("DELETE FROM entries WHERE number = 1")


def taken_out_and_closed(node: Node) -> None:
    node.tamper("DELETE FROM entries WHERE number = 5")
    node.tamper("UPDATE entries SET number = number - 1 WHERE number > 5")


def first_taken_out_and_closed(node: Node) -> None:
    node.tamper("DELETE FROM entries WHERE number = 1")
    node.tamper("UPDATE entries SET number = number - 1")


def swapped(node: Node) -> None:
    for before, after in ((4, -1), (5, 4), (-1, 5)):
        node.tamper("UPDATE entries SET number = ? WHERE number = ?", after, before)


def signed_by_another(node: Node) -> None:
    entry = node.entries()[4]
    signature = Ed25519PrivateKey.generate().sign(entry.signed_bytes)
    node.tamper("UPDATE entries SET signature = ? WHERE number = 5", signature)


def changed_and_signed_anew(node: Node) -> None:
    """By the node itself, which did not go on to sign all that follows."""
    changed(node)
    node.tamper("UPDATE entries SET signature = ? WHERE number = 5", node.key.sign(node.entries()[4].signed_bytes))


def of_another_session(node: Node) -> None:
    node.live([*LIFE[:4], LIFE[6]], bytes(32))
    node.tamper("DELETE FROM entries WHERE session = ? AND number = 5", ID)
    node.tamper("UPDATE entries SET session = ? WHERE session = ? AND number = 5", ID, bytes(32))


@pytest.mark.parametrize(
    ("tampering", "says"),
    [
        (changed, "Entry 5 of the log of agency-a is not signed by the key of agency-a"),
        (renamed, "Entry 5 of the log of agency-a is not signed"),
        (redated, "Entry 5 of the log of agency-a is not signed"),
        (taken_out, "Entry 5 of the log of agency-a is missing"),
        (first_taken_out, "Entry 1 of the log of agency-a is missing"),
        (taken_out_and_closed, "Entry 5 of the log of agency-a does not follow from the one before it"),
        (first_taken_out_and_closed, "Entry 1 of the log of agency-a does not follow"),
        (swapped, "Entry 4 of the log of agency-a does not follow"),
        (signed_by_another, "Entry 5 of the log of agency-a is not signed"),
        (changed_and_signed_anew, "Entry 6 of the log of agency-a does not follow"),
        (of_another_session, "Entry 5 of the log of agency-a does not follow"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_somebody_did_to_the_file_is_found(node: Node, tampering: Callable[[Node], None], says: str) -> None:
    tampering(node)
    assert fault(node).startswith(says)


@given(st.data())
@examples(150)
def test_no_entry_can_be_changed_unnoticed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    node = Node("agency-a", tmp_path_factory.mktemp("node"))
    entries = node.live(UNTIL_COMPUTED)
    k = data.draw(st.integers(0, len(entries) - 1))
    changes: dict[str, st.SearchStrategy[object]] = {
        "node": st.just("agency-b"),
        "session": st.just(bytes(32)),
        "number": st.integers(1, 9),
        "at": st.just("2026-11-20T12:00:59.000000+00:00"),
        "event": st.sampled_from(Event).map(lambda event: event.code),
        "facts": st.just({"reason": "another"}),
        "previous": st.binary(min_size=32, max_size=32),
        "signature": st.binary(min_size=64, max_size=64),
    }
    name = data.draw(st.sampled_from(sorted(changes)))
    entry: Entry = replace(entries[k], **{name: data.draw(changes[name])})
    if entry != entries[k]:
        with pytest.raises(AuditError, match=rf"^Entry {k + 1} of the log of agency-a "):
            check([*entries[:k], entry, *entries[k + 1 :]], "agency-a", ID, node.key.public_key())


@given(st.permutations(range(5)))
@examples(60)
def test_no_entries_can_be_moved_unnoticed(tmp_path_factory: pytest.TempPathFactory, order: list[int]) -> None:
    node = Node("agency-a", tmp_path_factory.mktemp("node"))
    entries = node.live(UNTIL_COMPUTED[:5])
    if order != sorted(order):
        with pytest.raises(AuditError, match="is missing, or out of its place"):
            check([entries[k] for k in order], "agency-a", ID, node.key.public_key())


def test_the_log_of_another_is_not_ones_own(node: Node, other: Node) -> None:
    as_own = replace(other.export(), node="agency-a")
    assert judge([as_own], keys(node, other))[0].fault == "Entry 1 of the log of agency-a is of another log."
    elsewhere = replace(node.export(), session=NODE, terms=b"")
    assert judge([elsewhere], keys(node))[0].fault == "Entry 1 of the log of agency-a is of another log."


def test_a_key_that_is_not_the_pinned_one(node: Node, other: Node) -> None:
    [verdict] = judge([node.export()], {"agency-a": other.key.public_key()})
    assert verdict.fault.startswith("Entry 1 of the log of agency-a is not signed by the key of agency-a in federation")


def test_a_node_that_is_not_in_the_federation(node: Node, other: Node) -> None:
    with pytest.raises(ConfigError, match=r"agency-a is not in federation\.toml, so its log cannot be checked"):
        judge([node.export()], keys(other))


@pytest.mark.parametrize("at", ["", "soon", "2026-11-20T12:00:00", "20261120"])
def test_a_time_that_cannot_be_read(node: Node, at: str) -> None:
    entry = replace(node.entries()[0], at=at)
    entry = replace(entry, signature=node.key.sign(entry.signed_bytes))
    with pytest.raises(AuditError, match="Entry 1 of the log of agency-a has no time that can be read"):
        check([entry], "agency-a", ID, node.key.public_key())


@pytest.mark.parametrize(("back", "remarks"), [(timedelta(0), 0), (CLOCK_STEP, 0), (3 * CLOCK_STEP, 1)])
def test_a_clock_that_was_set_back_is_a_remark(node: Node, back: timedelta, remarks: int) -> None:
    node.clock.at -= back + timedelta(seconds=1)
    node.live(LIFE[7:8])
    [verdict] = judge([node.export()], keys(node))
    assert verdict.fault == ""
    said = "At entry 8 the clock of agency-a was set back by 15 minutes."
    assert verdict.remarks == (said,) * remarks


def signed(node: Node, entry: Entry) -> Entry:
    return replace(entry, signature=node.key.sign(entry.signed_bytes))


@pytest.mark.parametrize("year", ["0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59-12:00"])
def test_times_at_the_ends_of_the_calendar(node: Node, year: str) -> None:
    entry = node.entries()[0]
    early = signed(node, replace(entry, at=year))
    late = signed(node, replace(entry, number=2, at="2026-11-20T12:00:00+00:00", previous=early.hash))
    check([early, late], "agency-a", ID, node.key.public_key())


# A log and what others hold of it


def test_a_log_is_compared_with_what_others_hold(node: Node, other: Node) -> None:
    other.hear(node.head())
    node.live(LIFE[7:])
    other.hear(node.head())
    verdicts = judge([node.export(), other.export()], keys(node, other), {"hub": [node.head()]})
    assert [(v.node, v.entries, v.compared, v.fault) for v in verdicts] == [
        ("agency-a", 10, 3, ""),
        ("agency-b", 6, 0, ""),
    ]


def test_a_cut_end_is_found_by_what_others_hold(node: Node, other: Node) -> None:
    other.hear(node.head())
    node.tamper("DELETE FROM entries WHERE number > 5")
    assert fault(node) == ""
    said = judge([node.export(), other.export()], keys(node, other))[0].fault
    assert said == (
        "The log of agency-a ends at entry 5, but agency-b holds its statement on entry 7: its end was cut off, or "
        "this is an older copy."
    )


def test_a_log_that_is_gone_is_found(node: Node, other: Node) -> None:
    other.hear(node.head())
    node.tamper("DELETE FROM entries")
    assert "ends at entry 0" in judge([node.export(), other.export()], keys(node, other))[0].fault


@pytest.mark.parametrize("left_out", [1, 3, 6])
def test_a_log_rewritten_by_its_own_node_is_found(node: Node, other: Node, tmp_path: Path, left_out: int) -> None:
    other.hear(node.head())
    again = rewritten(node, tmp_path / "again", left_out)
    again.live(LIFE[7:])
    assert fault(again) == ""
    said = judge([again.export(), other.export()], keys(node, other))[0].fault
    assert said == "The log of agency-a was rewritten: up to entry 7 it is not the one that it has stated to agency-b."
    assert fault(again, besides={"hub": [node.head()]}).endswith("not the one that it has stated to hub.")


def test_what_others_do_not_hold_can_be_rewritten(node: Node, other: Node, tmp_path: Path) -> None:
    """That is why heads are exchanged whenever something happens."""
    again = rewritten(node, tmp_path / "again", 7)
    assert judge([again.export(), other.export()], keys(node, other))[0].fault == ""


def test_two_copies_of_a_log_are_compared(node: Node, tmp_path: Path) -> None:
    older = node.export()
    node.live(LIFE[7:])
    for copies in ([older, node.export()], [node.export(), older]):
        assert [v.fault for v in judge(copies, keys(node))] == ["", ""]
    again = rewritten(node, tmp_path / "again", 3)
    again.live(LIFE[7:])
    for verdict in judge([older, again.export()], keys(node)):
        assert "it is not the one that it has stated to another copy" in verdict.fault


def test_a_false_copy_says_nothing_against_the_true_one(node: Node) -> None:
    true = node.export()
    false = replace(true, entries=[*true.entries[:-1], replace(true.entries[-1], facts={"attempt": 2})])
    assert [bool(v.fault) for v in judge([true, false], keys(node))] == [False, True]


def test_a_node_whose_log_is_not_given_contradicts_itself(node: Node, other: Node, tmp_path: Path) -> None:
    again = rewritten(node, tmp_path / "again", 3)
    again.live(LIFE[7:8])
    other.hear(node.head())
    verdicts = judge([other.export()], keys(node, other), {"hub": [again.head(), node.head()]})
    assert [(v.node, v.entries, v.fault == "") for v in verdicts] == [("agency-b", 5, True), ("agency-a", None, False)]
    assert verdicts[1].fault.startswith("agency-a has signed two different statements on entry 7 of its log")


def test_a_statement_that_its_node_has_not_signed_is_its_holders_fault(node: Node, other: Node) -> None:
    forged = replace(node.head(), hash=bytes(32))
    other.hear(forged)
    verdicts = judge([node.export(), other.export()], keys(node, other), {"hub": [forged]})
    assert [(v.node, v.fault) for v in verdicts if v.fault] == [
        (name, f"{name} holds a statement in the name of agency-a that it has not signed.")
        for name in ("agency-b", "hub")
    ]
    assert verdicts[0].compared == 0


def test_those_who_have_left_the_federation_are_remarked(node: Node, other: Node) -> None:
    node.hear(other.head())
    exported = node.export(approvals={"agency-z": b"x" * 64})
    [verdict] = judge([exported], keys(node))
    assert verdict.fault == ""
    assert verdict.remarks == tuple(
        f"{name} is not in federation.toml: what it signed was not checked." for name in ("agency-b", "agency-z")
    )


# Restoring


def test_what_a_restore_has_lost_is_a_remark(node: Node, other: Node, tmp_path: Path) -> None:
    other.hear(node.head())
    restored = rewritten(node, tmp_path / "again", 5, 6, 7)
    with restored.database.transaction() as db:
        restored.log.restored(db, "2026-11-19 03:00")
    for events in ([], LIFE[7:]):
        restored.live(events)
        [verdict, _] = judge([restored.export(), other.export()], keys(node, other))
        assert verdict.fault == ""
        assert verdict.remarks == ("agency-b holds statements on entries up to 7 that were lost by a restore.",)


def test_a_restore_excuses_one_history_and_no_more(node: Node, other: Node, tmp_path: Path) -> None:
    """Else a node that was restored once could rewrite its log for ever."""
    heads = [node.head()]
    for k in range(2):
        restored = rewritten(node, tmp_path / str(k), 2, 3, 4, 5, 6, 7)
        with restored.database.transaction() as db:
            restored.log.restored(db, f"2026-11-1{k} 03:00")
        restored.live(LIFE[k : k + 5])
        heads.append(restored.head())
    other.hear(heads[0])
    [verdict, _] = judge([restored.export(), other.export()], keys(node, other))
    assert (verdict.fault, len(verdict.remarks)) == ("", 1)
    [verdict, _] = judge([restored.export(), other.export()], keys(node, other), {"hub": [heads[1]]})
    assert "was rewritten" in verdict.fault


def test_two_restores_excuse_two_histories(node: Node, other: Node, tmp_path: Path) -> None:
    heads = [node.head()]
    for k in range(2):
        restored = rewritten(node, tmp_path / str(k), 2, 3, 4, 5, 6, 7)
        with restored.database.transaction() as db:
            for _ in range(k + 1):
                restored.log.restored(db, "2026-11-19 03:00")
        restored.live(LIFE[k : k + 5 - k])
        heads.append(restored.head())
    other.hear(heads[0])
    [verdict, _] = judge([restored.export(), other.export()], keys(node, other), {"hub": [heads[1]]})
    assert (verdict.fault, len(verdict.remarks)) == ("", 2)


def test_a_restore_excuses_nothing_before_it(node: Node, other: Node, tmp_path: Path) -> None:
    other.hear(node.head())
    again = rewritten(node, tmp_path / "again", 3)
    again.live(LIFE[7:9])
    with again.database.transaction() as db:
        again.log.restored(db, "2026-11-19 03:00")
    assert "was rewritten" in judge([again.export(), other.export()], keys(node, other))[0].fault


# Terms and approvals


def test_approvals_are_checked(node: Node, other: Node) -> None:
    signed = {node.name: node.approval(), other.name: other.approval()}
    assert judge([node.export(approvals=signed)], keys(node, other))[0].fault == ""
    false = {node.name: node.approval(), other.name: node.approval()}
    [verdict] = judge([node.export(approvals=false)], keys(node, other))
    assert verdict.fault == "agency-a holds an approval that agency-b has not signed."


def test_terms_are_those_of_the_session(node: Node) -> None:
    for terms in (replace(TERMS, max_records=2000).to_bytes(), b"{}"):
        [verdict] = judge([replace(node.export(), terms=terms)], keys(node))
        assert verdict.fault == "The terms beside the log of agency-a are not those of its session."
    without = Export("agency-a", ID, b"", {}, node.entries(), [])
    assert judge([without], keys(node))[0].fault == ""


# In general


def test_faults_are_sentences_for_people(node: Node) -> None:
    changed(node)
    assert not any(word in fault(node) for word in JARGON)
    assert str(COUNTS["keys"]) not in fault(node)
