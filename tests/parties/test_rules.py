import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties import normalise
from parties.columns import FIELDS
from parties.errors import ConfigError
from parties.normalise import phonetic
from parties.rules import KEY_BYTES, TRANSFORMS, VALUES, FieldUse, KeyMaker, Rule, part
from tests.parties.samples import examples

SESSION = bytes(range(32))
CLOSE = st.lists(st.text("aAb \0", max_size=4), min_size=1, max_size=4)


# Canonical bytes


def test_parts_by_hand() -> None:
    assert part("ab") + part("ç") == b"\0\0\0\2ab" + b"\0\0\0\2\xc3\xa7"


@given(CLOSE, CLOSE)
@examples(500)
def test_fields_have_boundaries(one: list[str], other: list[str]) -> None:
    assert (b"".join(map(part, one)) == b"".join(map(part, other))) == (one == other)


# Fields and transforms


@pytest.mark.parametrize(
    ("use", "value", "compared"),
    [
        ("phone", "+380671234567", "+380671234567"),
        ("phone:last9", "+380671234567", "671234567"),
        ("full_name", "olena kovalchuk", "olena kovalchuk"),
        ("full_name:sorted", "olena ivanivna kovalchuk", "ivanivna kovalchuk olena"),
        ("full_name:initials", "olena kovalchuk", "o k"),
        ("full_name:initials:sorted", "olena kovalchuk", "k o"),
        ("full_name:first-word", "olena kovalchuk", "olena"),
        ("full_name:last-word", "olena kovalchuk", "kovalchuk"),
        ("given_name:first1", "olena", "o"),
        ("family_name:first4", "kovalchuk", "kova"),
        ("family_name:first4", "li", ""),
        ("birth_date:year", "1980-01-31", "1980"),
        ("birth_date:year", "1980", "1980"),
        ("birth_date:month", "1980-01-31", "1980-01"),
        ("birth_date:month", "1980", ""),
        ("id_number", "UA:passport:AB123456", "UA:passport:AB123456"),
        ("id_number:number", "UA:passport:AB123456", "AB123456"),
        ("id_number:number:last4", "UA:passport:AB123456", "3456"),
        ("id_number:number:first2", "UA:passport:AB123456", "AB"),
        ("Beneficiary: code", "x", "x"),
    ],
)
def test_what_is_compared(use: str, value: str, compared: str) -> None:
    (found,) = Rule("r", (use,)).uses
    assert found.apply(value) == compared


def test_phonetic_is_the_standards() -> None:
    (use,) = Rule("r", ("full_name:phonetic:sorted",)).uses
    assert use.apply("olena kovalchuk") == " ".join(sorted(phonetic.phonetic("olena kovalchuk").split()))


@pytest.mark.parametrize(
    "use",
    [
        "phone:sorted", "full_name:year", "sex:phonetic", "phone:last0", "full_name:", "phone:x",
        "phone:first7", "sex:last1", "id_number:first9", "birth_date:first4",
    ],
)  # fmt: skip
def test_a_transform_that_is_not_for_the_field(use: str) -> None:
    with pytest.raises(
        ConfigError, match=f"cannot be applied to `{use.split(':', maxsplit=1)[0]}`; (possible are|nothing)"
    ):
        _ = Rule("r", (use,)).uses


@pytest.mark.parametrize("use", ["full-name:sorted", "Full_Name:phonetic", "telephone:last9"])
def test_a_mistyped_field_is_no_heading(use: str) -> None:
    with pytest.raises(ConfigError, match="is no standard field; they are given_name,"):
        _ = Rule("r", (use,)).uses


def test_a_heading_may_hold_colons() -> None:
    assert Rule("r", ("Code: number",)).uses == (FieldUse("Code: number"),)


def test_every_field_and_transform_has_its_weight() -> None:
    assert set(VALUES) == set(FIELDS)
    for name, (fields, _) in TRANSFORMS.items():
        for field in fields:
            assert 1 <= (FieldUse(field, (name,)).distinct() or 0) <= VALUES[field]


# Weak rules


@pytest.mark.parametrize(
    ("fields", "own", "others", "expected"),
    [
        (("sex", "birth_date:year"), 1000, 2000, 1000.0),
        (("sex", "birth_date:year"), 10, 14, 1.0),
        (("phone", "birth_date"), 200_000, 400_000, 0.004),
        (("full_name", "sex"), 1000, 1000, 10.0),
        (("admin1", "admin2", "admin3", "admin4", "birth_year"), 1000, 7000, 50.0),
        (("given_name", "family_name", "full_name"), 1000, 5000, 100.0),
        (("birth_date:year", "birth_year", "birth_date:month"), 1000, 80, 100.0),
        (("id_number", "id_type", "id_country"), 1000, 1000, 1e-5),
    ],
)
def test_chance_matches(fields: tuple[str, ...], own: int, others: int, expected: float) -> None:
    assert Rule("r", fields).chance_matches(own, others) == pytest.approx(expected)


def test_what_we_know_nothing_of_is_not_judged() -> None:
    rule = Rule("r", ("camp card", "sex"))
    assert rule.chance_matches(1000, 1000) is None
    assert rule.weakness(10**6, 10**6) == ""


def test_weak_rules_are_named_with_figures() -> None:
    text = Rule("sex and year", ("sex", "birth_date:year")).weakness(10_000, 20_000)
    assert "Rule `sex and year` (sex + birth_date:year) is weak" in text
    assert "about 10,000 would match a different person by chance" in text
    assert Rule("id", ("id_number",)).weakness(200_000, 400_000) == ""


# Keys


def expected_key(session: bytes, rule: str, version: str, data: bytes) -> bytes:
    person = hashlib.blake2b(version.encode() + b"\0" + rule.encode(), digest_size=16).digest()
    return hashlib.blake2b(data, digest_size=16, key=session, person=person).digest()


def test_known_answer() -> None:
    data = part("AB-123") + part("1980-02-03")
    key = KeyMaker(SESSION, Rule("phone and birth date", ("phone", "birth_date"))).key(data)
    assert key == expected_key(SESSION, "phone and birth date", "matchbit-1", data)
    assert key.hex() == "d3f79187193855da7ecaac43676142ae"


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


def test_transforms_that_leave_nothing() -> None:
    for ending in ("first-word", "last-word", "initials", "sorted"):
        (use,) = Rule("r", (f"full_name:last2:first1:{ending}",)).uses
        assert use.apply("ab c") == ""
