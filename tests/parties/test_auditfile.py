import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties import auditfile
from parties.audit import NODE, Event
from parties.auditfile import FORMAT, MAX_BYTES, MAX_LINE_BYTES, Export, read
from parties.errors import InputError
from parties.verdict import judge
from tests.parties.auditing import ID, LIFE, TERMS, Node, keys
from tests.parties.samples import JARGON, examples, write

HEAD = {"format": FORMAT, "node": "agency-a", "session": ID.hex(), "terms": ""}


@pytest.fixture
def node(tmp_path: Path) -> Node:
    node = Node("agency-a", tmp_path)
    node.live()
    return node


@pytest.fixture
def exported(node: Node, tmp_path: Path) -> Export:
    other = Node("agency-b", tmp_path)
    other.live(LIFE[:3])
    node.hear(other.head())
    return node.export(approvals={"agency-a": node.approval(), "neutral": b"n" * 64})


def lines(exported: Export) -> list[dict[str, Any]]:
    return [json.loads(line) for line in exported.to_bytes().splitlines()]


def refused(path: Path, *written: object) -> str:
    """The one sentence on a file with these lines."""
    write(path, b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in written))
    with pytest.raises(InputError) as refusal:
        read(path)
    said = str(refusal.value)
    assert said.startswith(str(path))
    assert "\n" not in said
    assert not any(word in said for word in JARGON)
    return said


def test_what_is_written_is_read(exported: Export, node: Node, tmp_path: Path) -> None:
    path = write(tmp_path / "log.jsonl", exported.to_bytes())
    again = read(path)
    assert again == replace(exported, entries=list(exported.entries), heads=list(exported.heads))
    assert again.to_bytes() == exported.to_bytes()
    assert judge([again], keys(node))[0].fault == ""


def test_a_nodes_own_events(node: Node, tmp_path: Path) -> None:
    node.live([(Event.STARTED, {"version": "0.1.0"})], NODE)
    again = read(write(tmp_path / "log.jsonl", node.export(NODE).to_bytes()))
    assert (again.session, again.terms, again.entries) == (NODE, b"", node.entries(NODE))


def test_a_file_says_in_full_what_is_signed(exported: Export) -> None:
    head, *rest = lines(exported)
    assert head == {**HEAD, "terms": TERMS.to_bytes().decode()}
    assert [next(iter(line)) for line in rest] == ["approval"] * 2 + ["entry"] * 11 + ["head"]
    for line, entry in zip(rest[2:], exported.entries, strict=False):
        statement = json.dumps(line["entry"], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        assert b"matchbit.v1 audit\0" + statement.encode() == entry.signed_bytes
        assert line["signature"] == entry.signature.hex()


def test_a_change_in_the_file_is_found(exported: Export, node: Node, tmp_path: Path) -> None:
    changed = exported.to_bytes().replace(b'"records": 1000', b'"records": 1001')
    assert changed != exported.to_bytes()
    [verdict] = judge([read(write(tmp_path / "log.jsonl", changed))], keys(node))
    assert verdict.fault.startswith("Entry 5 of the log of agency-a is not signed")


def with_entry(**changes: Any) -> Callable[[list[dict[str, Any]]], None]:
    def change(written: list[dict[str, Any]]) -> None:
        entry = written[3]["entry"]
        entry |= changes
        for name in [name for name, value in changes.items() if value is None]:
            del entry[name]

    return change


def with_line(k: int, **changes: Any) -> Callable[[list[dict[str, Any]]], None]:
    return lambda written: written[k].update(changes)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (with_line(0, format="matchbit.v2 audit export"), 1),
        (with_line(0, node="Agency A"), 1),
        (with_line(0, node=7), 1),
        (with_line(0, node=None), 1),
        (with_line(0, session=ID.hex()[:-2]), 1),
        (with_line(0, session=ID.hex().upper()), 1),
        (with_line(0, session=None), 1),
        (with_line(0, terms={}), 1),
        (with_line(0, terms="x" * 300_000), 1),
        (with_line(1, approval=["agency-a"]), 2),
        (with_line(1, signature="ab"), 2),
        (with_line(1, signature=None), 2),
        (with_line(1, signature="zz" * 64), 2),
        (with_line(3, entry=[]), 4),
        (with_line(3, entry="x"), 4),
        (with_line(3, entry={}), 4),
        (with_entry(node=""), 4),
        (with_entry(session="00"), 4),
        (with_entry(number=0), 4),
        (with_entry(number=True), 4),
        (with_entry(number=1.0), 4),
        (with_entry(number="1"), 4),
        (with_entry(number=1 << 63), 4),
        (with_entry(number=None), 4),
        (with_entry(at=7), 4),
        (with_entry(event=[]), 4),
        (with_entry(facts=[["member", "agency-b"]]), 4),
        (with_entry(facts={"member": {"a": 1}}), 4),
        (with_entry(facts={"member": 1.5}), 4),
        (with_entry(facts=None), 4),
        (with_entry(previous="00" * 31), 4),
        (with_entry(previous=0), 4),
        (with_entry(more="x"), 4),
        (with_line(-1, head={"node": "agency-b"}), 15),
        (with_line(-1, head=None), 15),
    ],
)
def test_lines_that_no_export_has(
    exported: Export, tmp_path: Path, change: Callable[[list[dict[str, Any]]], None], line: int
) -> None:
    written = lines(exported)
    change(written)
    assert f"line {line}, is not of a log" in refused(tmp_path / "log.jsonl", *written)


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"{}\n",
        b"[]\n",
        b"null\n",
        b"7\n",
        b"{\n",
        b"\xff\xfe\n",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"1" * 9_999,
    ],
    ids=lambda line: repr(line[:6]),
)
def test_what_is_no_export_at_all(tmp_path: Path, line: bytes) -> None:
    assert "line 1, is not of a log" in refused(tmp_path / "log.jsonl", line)
    assert "line 2, is not of a log" in refused(tmp_path / "log.jsonl", HEAD, line)


def test_an_empty_file(tmp_path: Path) -> None:
    assert "line 1, is not of a log" in refused(tmp_path / "log.jsonl")


def test_a_line_that_does_not_end_takes_no_memory(tmp_path: Path) -> None:
    assert "too large" in refused(tmp_path / "log.jsonl", HEAD, b" " * (MAX_LINE_BYTES + 1))


def test_a_file_that_does_not_end_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with path.open("wb") as file:
        file.write(json.dumps(HEAD).encode() + b"\n")
        line = json.dumps({"approval": "agency-a", "signature": "ab" * 64}).encode() + b"\n"
        file.write(line * (MAX_BYTES // len(line) + 1))
    with pytest.raises(InputError, match="is too large for a log of one session"):
        read(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.jsonl")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)


@given(st.data())
@examples(200)
def test_hostile_lines_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """And what is read of them is judged without another error."""
    node = Node("agency-a", tmp_path_factory.mktemp("node"))
    node.live(LIFE[:2])
    node.hear(replace(node.head(), node="agency-b"))
    written = lines(node.export(approvals={"agency-a": node.approval()}))
    line = written[data.draw(st.integers(0, len(written) - 1))]
    inner = [line, *(value for value in line.values() if isinstance(value, dict))]
    part = data.draw(st.sampled_from(inner))
    part[data.draw(st.sampled_from(sorted(part)))] = data.draw(JSON)
    path = write(node.database.path.with_suffix(".jsonl"), "\n".join(map(json.dumps, written)))
    try:
        read_again = auditfile.read(path)
    except InputError:
        return
    if read_again.node == "agency-a":
        assert judge([read_again], keys(node))
        assert all(entry.sentence.isprintable() for entry in read_again.entries)
