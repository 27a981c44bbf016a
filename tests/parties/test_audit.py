import hashlib
import json
from dataclasses import replace
from pathlib import Path
from string import Formatter

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from parties import audit
from parties.audit import MAX_HEADS, MAX_ITEMS, MAX_TEXT_CHARS, NODE, NOTHING, Entry, Event, Head, Log, facts_of
from parties.errors import AuditError, StorageError
from tests.parties.auditing import COUNTS, DIGEST, ID, LIFE, Node
from tests.parties.samples import JARGON, NOW, examples

NAMES = st.from_regex("[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)
NUMBERS = st.integers(0, (1 << 63) - 1)
TEXTS = st.text(max_size=40).filter(str.isprintable)
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
STRATEGIES = {
    audit._NAME: NAMES,
    audit._NUMBER: NUMBERS,
    audit._DIGEST: DIGESTS,
    audit._TEXT: TEXTS,
    audit._KINDS["members"]: st.lists(NAMES, max_size=5),
    audit._KINDS["group_sizes"]: st.lists(NUMBERS, max_size=5),
    audit._KINDS["reasons"]: st.lists(TEXTS, max_size=5),
}


def wanted(event: Event) -> list[str]:
    return sorted({name for _, name, _, _ in Formatter().parse(event.value) if name})


def facts_for(event: Event) -> st.SearchStrategy[dict[str, audit.Fact]]:
    return st.fixed_dictionaries({name: STRATEGIES[audit._KINDS[name]] for name in wanted(event)})


EVENTS = st.sampled_from(Event).flatmap(lambda event: st.tuples(st.just(event), facts_for(event)))


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node("agency-a", tmp_path)


@pytest.fixture
def other(tmp_path: Path) -> Node:
    return Node("agency-b", tmp_path)


# Entries


@given(st.lists(EVENTS, max_size=6), st.sampled_from([NODE, ID]))
@examples(60)
def test_entries_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[Event, dict[str, audit.Fact]]], session: bytes
) -> None:
    node = Node("agency-a", tmp_path_factory.mktemp("node"))
    written = node.live(events, session)
    assert node.entries(session) == written
    assert [(entry.kind, entry.facts) for entry in written] == events
    assert [entry.number for entry in written] == list(range(1, len(events) + 1))
    assert [entry.previous for entry in written] == [NOTHING, *(entry.hash for entry in written)][: len(events)]
    for entry in written:
        node.key.public_key().verify(entry.signature, entry.signed_bytes)
        assert entry.sentence.isprintable()


def test_what_is_signed_byte_for_byte() -> None:
    facts: dict[str, audit.Fact] = {"title": "Зима", "coordinator": "hub"}
    entry = Entry("agency-a", ID, 1, "2026-11-20T12:00:00.000000+00:00", "proposed", facts, NOTHING)
    expected = (
        b'matchbit.v1 audit\0{"at":"2026-11-20T12:00:00.000000+00:00","event":"proposed","facts":{"coordinator":"hub",'
        b'"title":"' + "Зима".encode() + b'"},"node":"agency-a","number":1,"previous":"' + b"00" * 32 + b'",'
        b'"session":"' + ID.hex().encode() + b'"}'
    )
    assert entry.signed_bytes == expected
    assert entry.hash == hashlib.sha256(expected).digest()
    head = Head("agency-a", ID, 1, entry.hash)
    assert head.signed_bytes == (
        b'matchbit.v1 head\0{"hash":"' + entry.hash.hex().encode() + b'","node":"agency-a","number":1,'
        b'"session":"' + ID.hex().encode() + b'"}'
    )


def test_a_hash_covers_the_signature(node: Node) -> None:
    """Heads go to parties that must not learn the facts: they could try out what is likely, but cannot sign it."""
    entry = node.live(LIFE[:1])[0]
    assert len(entry.signature) == 64
    assert entry.hash == hashlib.sha256(entry.signed_bytes + entry.signature).digest() == node.head().hash
    assert replace(entry, signature=b"").hash != entry.hash


def test_each_session_has_a_chain_of_its_own(node: Node) -> None:
    node.live(session=NODE, events=[(Event.STARTED, {"version": "0.1.0"})])
    node.live(LIFE[:2])
    node.live(session=NODE, events=[(Event.STOPPED, {})])
    assert [entry.event for entry in node.entries(NODE)] == ["started", "stopped"]
    assert [entry.number for entry in node.entries()] == [1, 2]
    assert node.entries(NODE)[0].previous == node.entries()[0].previous == NOTHING


def test_time_is_to_the_microsecond_in_every_entry(node: Node) -> None:
    assert [entry.at for entry in node.live(LIFE[:2])] == [
        "2026-11-20T12:00:01.000000+00:00",
        "2026-11-20T12:00:02.000000+00:00",
    ]


def test_an_entry_is_there_only_if_the_callers_transaction_is(node: Node) -> None:
    node.live(LIFE[:1])
    with pytest.raises(ValueError, match="must have the facts"):
        node.live([(Event.CLOSED, {}), (Event.CLOSED, {"reason": "x"})])
    assert [entry.event for entry in node.entries()] == ["proposed"]


def test_without_a_key_nothing_is_written(node: Node) -> None:
    reading = Log("agency-a", None, lambda: NOW)
    with pytest.raises(StorageError, match="without the node's signing key"), node.database.transaction() as db:
        reading.append(db, ID, Event.CLOSED)
    node.live(LIFE[:1])
    with node.database.transaction() as db:
        assert reading.entries(db, ID) == node.entries()


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "null", '{"a":{}}', '{"a":[[]]}', '{"a":1.5}', '{"a":null}', "[" * 9999]
)
def test_an_entry_that_cannot_be_read(node: Node, text: str) -> None:
    node.live(LIFE[:3])
    node.tamper("UPDATE entries SET facts = ? WHERE number = 2", text)
    with pytest.raises(AuditError, match="Entry 2 of the log of agency-a cannot be read: it was changed"):
        node.entries()


# Facts


def test_every_fact_of_every_event_is_of_a_kind() -> None:
    assert {name for event in Event for name in wanted(event)} == set(audit._KINDS)
    assert len({event.value for event in Event}) == len(Event)


@pytest.mark.parametrize("event", Event, ids=lambda e: e.code)
def test_an_event_has_its_facts_and_no_others(event: Event) -> None:
    good: dict[str, audit.Fact] = {
        name: {audit._NAME: "agency-b", audit._NUMBER: 7, audit._DIGEST: DIGEST, audit._TEXT: "why"}.get(kind, [])  # type: ignore[misc]
        for name, kind in audit._KINDS.items()
        if name in wanted(event)
    }
    assert event.checked(good) == good
    with pytest.raises(ValueError, match="must have the facts"):
        event.checked(good | {"phone": "+380671234567"})
    for name in good:
        with pytest.raises(ValueError, match="must have the facts"):
            event.checked({n: value for n, value in good.items() if n != name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("member", "Olena Kovalchuk"),
        ("member", 7),
        ("records", -1),
        ("records", "7"),
        ("records", 7.0),
        ("records", True),
        ("records", 1 << 63),
        ("records", None),
        ("commitment", "AB" * 32),
        ("commitment", "ab" * 31),
        ("commitment", b"a" * 32),
    ],
)
def test_facts_of_another_kind_are_refused(name: str, value: object) -> None:
    good = {"member": "agency-b", **COUNTS}
    with pytest.raises(ValueError, match=rf"received: \['{name}'\] are not what these facts may be") as refused:
        Event.RECEIVED.checked(good | {name: value})
    assert "Olena" not in str(refused.value)


@pytest.mark.parametrize("members", ["agency-a", ["Agency A"], [["agency-a"]], ["a"] * (MAX_ITEMS + 1), ("agency-a",)])
def test_lists_of_another_kind_are_refused(members: object) -> None:
    with pytest.raises(ValueError, match="are not what these facts may be"):
        Event.ATTEMPT.checked({"attempt": 1, "contributions": DIGEST, "members": members})


def test_a_text_becomes_one_line_that_commands_no_terminal() -> None:
    told = Event.ABORTED.checked({"attempt": 1, "reason": "a\nb\x1b[31m\u202e" + "x" * 2000})
    assert told["reason"] == ("a b [31m " + "x" * 2000)[:MAX_TEXT_CHARS]
    assert Event.POLICY.checked({"decision": "ask", "reasons": ["a\nb"]})["reasons"] == ["a b"]
    for reasons in (7, [7], "a"):
        with pytest.raises(ValueError, match="reasons"):
            Event.POLICY.checked({"decision": "ask", "reasons": reasons})


@pytest.mark.parametrize(
    "value", [None, [], "x", {"a": None}, {"a": 1.0}, {"a": {"b": 1}}, {"a": [[1]]}, {"a": [None]}]
)
def test_what_cannot_be_facts(value: object) -> None:
    with pytest.raises(ValueError, match="not what facts may be"):
        facts_of(value)


# Sentences


def test_a_life_in_sentences(node: Node) -> None:
    assert [entry.sentence for entry in node.live()] == [
        "hub proposed the terms of 'Winter cash'.",
        "This node's policy decided: ask a person; reasons: agency-c is new, a long list.",
        "Olha K consented for this node.",
        "agency-a approved the terms.",
        "This node received shares of agency-b: 1,000 records, 200 of them new, 1,950 keys "
        "(commitment 0123456789abcdef).",
        "Attempt 1 began, on the contributions of agency-a, agency-b (digest 0123456789abcdef).",
        "Attempt 1 was computed in 4 seconds; keys held by 1, 2, 3 … members: 3,700, 100.",
        "The results of attempt 1 were released to all members.",
        "agency-b fetched this node's part of its result.",
        "This node deleted its shares and results: the agreed retention ended.",
    ]


@pytest.mark.parametrize("event", Event, ids=lambda e: e.code)
def test_sentences_are_for_people(event: Event) -> None:
    sentence = str(event.value)
    assert sentence.endswith(".")
    assert sentence[0].isupper() or sentence[0] == "{"
    assert not any(word in sentence for word in (*JARGON, "server", "job", "PRSS"))


@pytest.mark.parametrize(
    ("event", "facts"), [("invented", {}), ("closed", {"why": "x"}), ("refused", {"name": "a", "reason": 7}), ("", {})]
)
def test_an_event_of_another_version(event: str, facts: dict[str, audit.Fact]) -> None:
    entry = Entry("agency-a", ID, 1, "", event, facts, NOTHING)
    assert entry.kind is None
    assert entry.shown == {}
    assert entry.sentence == f"Something that this version of Matchbit does not know: {event}."


# Heads


def test_a_head_is_of_the_last_entry_and_signed(node: Node) -> None:
    with node.database.transaction() as db:
        assert node.log.head(db, ID) is None
    last = node.live()[-1]
    head = node.head()
    assert (head.node, head.session, head.number, head.hash) == ("agency-a", ID, last.number, last.hash)
    head.check(node.key.public_key())
    for false in (
        replace(head, number=head.number - 1),
        replace(head, hash=NOTHING),
        replace(head, node="agency-b"),
        replace(head, session=NODE),
        replace(head, signature=b""),
    ):
        with pytest.raises(AuditError, match="is not signed by its pinned key"):
            false.check(node.key.public_key())
    with pytest.raises(AuditError, match="the log of agency-a is not signed by its pinned key"):
        head.check(Ed25519PrivateKey.generate().public_key())


def test_an_entry_is_no_head_and_a_head_no_entry(node: Node) -> None:
    [entry] = node.live(LIFE[:1])
    with pytest.raises(AuditError):
        replace(node.head(), signature=entry.signature).check(node.key.public_key())


def test_what_others_state_is_kept_once_and_logged(node: Node, other: Node) -> None:
    other.live(LIFE[:3])
    first = other.head()
    node.hear(first)
    node.hear(first, first)
    assert node.held() == [first]
    assert [entry.facts for entry in node.entries()] == [{"node": "agency-b", "number": 3, "hash": first.hash.hex()}]
    other.live(LIFE[3:4])
    node.hear(other.head(), first)
    assert [head.number for head in node.held()] == [3, 4]
    assert [entry.event for entry in node.entries()] == ["head", "head"]


def test_what_is_stated_of_ones_own_log_is_no_news(node: Node) -> None:
    node.live(LIFE[:1])
    node.hear(node.head())
    assert node.held() == []
    assert len(node.entries()) == 1


def test_two_nodes_that_answer_each_others_heads_come_to_an_end(node: Node, other: Node) -> None:
    node.live(LIFE[:2])
    other.live(LIFE[:4])
    for _ in range(5):
        other.hear(node.head())
        node.hear(other.head())
    assert [entry.event for entry in node.entries()].count("head") == 1
    assert [entry.event for entry in other.entries()].count("head") == 1


def test_a_head_holds_earlier_heads_in_place(node: Node, other: Node) -> None:
    node.live(LIFE[:1])
    other.live(LIFE[:1])
    node.hear(other.head())
    node.live(LIFE[1:2])
    assert node.head().number == 3


def test_a_contradiction_is_logged_and_both_statements_are_kept(node: Node, other: Node, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    rewritten = Node("agency-b", tmp_path / "again", other.key)
    other.live(LIFE[:2])
    rewritten.live([LIFE[0], LIFE[2]])
    node.hear(other.head())
    node.hear(rewritten.head())
    node.hear(other.head(), rewritten.head())
    assert node.held() == [other.head(), rewritten.head()]
    assert [entry.event for entry in node.entries()] == ["head", "head", "contradiction"]
    assert node.entries()[-1].sentence == (
        "agency-b signed two different statements on entry 2 of its log: it rewrote its log, or restored it from a "
        "backup."
    )
    assert node.head().number == 3


def test_a_node_that_states_without_end_fills_no_disk(node: Node) -> None:
    node.hear(*(Head("agency-b", ID, n, n.to_bytes(32, "big"), b"s" * 64) for n in range(1, MAX_HEADS + 5)))
    assert len(node.held()) == len(node.entries()) == MAX_HEADS
    node.hear(Head("agency-c", ID, 1, NOTHING, b"s" * 64))
    assert len(node.held()) == MAX_HEADS + 1


# Restoring


def test_every_log_tells_of_a_restore(node: Node) -> None:
    node.live(LIFE[:2])
    with node.database.transaction() as db:
        node.log.restored(db, "2026-11-19 03:00")
    for session, number in ((NODE, 1), (ID, 3)):
        last = node.entries(session)[-1]
        assert (last.event, last.number) == ("restored", number)
        assert "from a backup of 2026-11-19 03:00; what it had logged since then is lost" in last.sentence


def test_facts_are_stored_as_they_are_signed(node: Node) -> None:
    [entry] = node.live(LIFE[4:5])
    [(stored,)] = node.database.read("SELECT facts FROM entries")
    assert stored == json.dumps(dict(entry.facts), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert stored.encode() in entry.signed_bytes
