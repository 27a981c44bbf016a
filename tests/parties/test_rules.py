import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties import normalise
from parties.rules import KEY_BYTES, KeyMaker, Rule, canonical
from tests.parties.samples import examples

SESSION = bytes(range(32))
ROW = st.lists(st.text(st.characters(), max_size=6), min_size=1, max_size=4)
CLOSE = st.lists(st.text("aAb \0", max_size=4), min_size=1, max_size=4)


def test_canonical_bytes_by_hand() -> None:
    assert canonical([" AB ", "ç"]) == b"\0\0\0\2ab" + b"\0\0\0\2\xc3\xa7"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["ab", "c"], ["a", "bc"]),
        (["a", "b"], ["b", "a"]),
        (["a b"], ["a", "b"]),
        (["ab"], ["a", "b"]),
        (["a\0\0\0\1b"], ["a", "b"]),
        (["a", "\0\0\0\1b"], ["a\0\0\0\1", "b"]),
    ],
)
def test_fields_have_boundaries(one: list[str], other: list[str]) -> None:
    assert canonical(one) != canonical(other)


@given(CLOSE, CLOSE)
@examples(500)
def test_equal_exactly_when_all_fields_are_compared_equal(one: list[str], other: list[str]) -> None:
    a, b = ([normalise.text(v) for v in row] for row in (one, other))
    if all(a) and all(b):
        assert (canonical(one) == canonical(other)) == (a == b)


@given(ROW)
@examples(300)
def test_total_and_none_exactly_where_a_field_is_empty(row: list[str]) -> None:
    found = canonical(row)
    assert (found is None) == (not all(normalise.text(v) for v in row))
    assert found == canonical([v.upper().lower() for v in row] if all(v.isascii() for v in row) else row)


@pytest.mark.parametrize("row", [[""], ["a", ""], ["", "a"], ["a", " \t\u00a0"], ["\u3000", "\n"]])
def test_a_row_without_all_fields_has_no_key(row: list[str]) -> None:
    assert canonical(row) is None


def expected_key(session: bytes, rule: str, version: str, data: bytes) -> bytes:
    person = hashlib.blake2b(version.encode() + b"\0" + rule.encode(), digest_size=16).digest()
    return hashlib.blake2b(data, digest_size=16, key=session, person=person).digest()


def test_known_answer() -> None:
    data = canonical(["AB-123", "1980-02-03"])
    assert data is not None
    key = KeyMaker(SESSION, Rule("phone and birth date", ("phone", "birth_date"))).key(data)
    assert key == expected_key(SESSION, "phone and birth date", "text-1", data)
    assert key.hex() == "5708500ce72a67f1587dfe2d2ce5fb52"


@given(st.binary(min_size=32, max_size=32), st.text(min_size=1, max_size=20), st.binary(max_size=40))
@examples(50)
def test_keys_as_anyone_can_compute_them(session: bytes, rule: str, data: bytes) -> None:
    key = KeyMaker(session, Rule(rule, ("f",))).key(data)
    assert key == expected_key(session, rule, normalise.VERSION, data)
    assert len(key) == KEY_BYTES


def test_keys_of_another_session_rule_or_normalisation_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = Rule("id", ("id_number",))
    keys = [
        KeyMaker(SESSION, rule).key(b"x"),
        KeyMaker(bytes(32), rule).key(b"x"),
        KeyMaker(SESSION, Rule("id2", ("id_number",))).key(b"x"),
        KeyMaker(SESSION, rule).key(b"y"),
    ]
    monkeypatch.setattr(normalise, "VERSION", "text-2")
    keys.append(KeyMaker(SESSION, rule).key(b"x"))
    assert len(set(keys)) == len(keys)


def test_version_and_name_have_a_boundary(monkeypatch: pytest.MonkeyPatch) -> None:
    long_name = KeyMaker(SESSION, Rule("1id", ("f",))).key(b"x")
    monkeypatch.setattr(normalise, "VERSION", normalise.VERSION + "1")
    assert KeyMaker(SESSION, Rule("id", ("f",))).key(b"x") != long_name


def test_a_maker_makes_the_same_key_again_after_others() -> None:
    maker = KeyMaker(SESSION, Rule("id", ("id_number",)))
    first = maker.key(b"x")
    assert maker.key(b"y") != first
    assert maker.key(b"x") == first
