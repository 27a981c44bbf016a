import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties import review
from parties.errors import InputError, SessionRefused, StorageError
from parties.results import Result
from parties.review import OWN_LIST, Decision, Reviews, Verdict
from parties.schema import MIGRATIONS
from parties.vault import Vault
from tests.parties.deciding import VAULT, store_of
from tests.parties.reviewing import ANNA, ANNA_AGAIN, BOB, CLEO, TERMS, result
from tests.parties.samples import JARGON, examples, manifest, on_disk

ID = TERMS.session_id
LATER = manifest(created="2026-12-20T12:00:00+00:00")
MEMBERS, LATER_MEMBERS = (manifest(reveal="members", purpose=purpose) for purpose in ("first", "second"))
DAY = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
B, C = 0b010, 0b100
"""Bits of agency-b and agency-c."""
WORDS = tuple(d.value for d in Decision)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "matchbit.db"


@pytest.fixture
def reviews(path: Path, monkeypatch: pytest.MonkeyPatch) -> Reviews:
    monkeypatch.setattr(review, "utc_now", lambda: DAY)
    return Reviews(store_of(path), VAULT)


def verdict(row: int, decision: str = "distinct", note: str = "", reviewer: str = "Olena") -> Verdict:
    return Verdict(row, decision, note, reviewer)


def judged(reviews: Reviews, before: Result, *decisions: str) -> None:
    """Have a result's rows judged, from row 2 on."""
    reviews.raise_matches(before)
    verdicts = [verdict(row, decision) for row, decision in enumerate(decisions, 2)]
    reviews.decide(before.manifest.session_id, verdicts)


def is_raised(reviews: Reviews, again: Result) -> list[int]:
    """Rows that people are asked about."""
    reviews.raise_matches(again)
    return [item.row for item in reviews.open_items(again.manifest.session_id)]


# The queue


def test_matches_and_duplicates_inside_the_list_are_raised(reviews: Reviews) -> None:
    assert reviews.raise_matches(result([ANNA, BOB, CLEO, ANNA_AGAIN], {"id-2": 1, "phone-2": 1, "phone-9": 1})) == {}
    shown = [(i.row, i.matched_on, i.matched_with, i.decision) for i in reviews.open_items(ID)]
    assert shown == [
        (3, ("id", "phone and birth date"), ("another member",), "open"),
        (5, ("phone and birth date", OWN_LIST), ("another member", "row 2"), "open"),
    ]


@pytest.mark.parametrize(
    ("reveal", "found", "matched_with"),
    [
        ("flag", {"id-1": 1}, ("another member",)),
        ("count", {"id-1": 1, "phone-1": 2}, ("another member", "2 other members")),
        ("members", {"id-1": B | C, "phone-1": C}, ("agency-b", "agency-c")),
    ],
)
def test_the_counterpart_is_what_the_terms_let_be_known(
    reviews: Reviews, reveal: str, found: dict[str, int], matched_with: tuple[str, ...]
) -> None:
    terms = manifest(reveal=reveal)
    reviews.raise_matches(result([ANNA], found, terms))
    assert [item.matched_with for item in reviews.items(terms.session_id)] == [matched_with]


def test_only_what_concerns_new_rows_is_raised(reviews: Reviews) -> None:
    rows = [ANNA, BOB, ANNA_AGAIN, BOB]
    found = {"id-1": 1, "id-2": 1}
    assert is_raised(reviews, result(rows, found, new=[True, False, False, False])) == [2, 4]
    assert is_raised(reviews, result(rows, found, new=[False, False, False, True])) == [5]


def test_fetching_again_keeps_decisions_and_makes_the_queue_anew(reviews: Reviews) -> None:
    first = result([ANNA, BOB, CLEO], {"id-1": 1, "id-2": 1})
    judged(reviews, first, "duplicate")
    assert reviews.raise_matches(first) == {0: "duplicate (Olena, 2026-11-25)"}
    reviews.raise_matches(result([ANNA, BOB, CLEO], {"id-1": 1, "id-3": 1}))
    assert [(item.row, item.decision) for item in reviews.items(ID)] == [(2, "duplicate"), (4, "open")]


@pytest.mark.parametrize("order", [(2, 3), (3, 2)])
def test_rows_with_one_record_are_not_decided_differently(reviews: Reviews, order: tuple[int, int]) -> None:
    reviews.raise_matches(result([ANNA, ANNA, BOB], {"id-1": 1, "id-2": 1}))
    words = dict(zip(order, ("distinct", "duplicate"), strict=True))
    verdicts = [Verdict(4, "unsure", "", "Olena"), *(Verdict(r, w, "", "Olena", "f.csv: ") for r, w in words.items())]
    told = f"f.csv: Rows {order[0]} and {order[1]} hold the same record, .* is distinct and the other duplicate"
    with pytest.raises(InputError, match=told):
        reviews.decide(ID, verdicts)
    assert {item.decision for item in reviews.items(ID)} == {"open"}
    reviews.decide(ID, [Verdict(row, "unsure", note, "Olena") for row, note in ((2, "a"), (3, "b"))])


def test_a_decision_is_not_changed_on_one_of_two_rows_with_one_record(reviews: Reviews) -> None:
    """The other row's line in the file still says what was decided before."""
    first = result([ANNA, ANNA], {"id-1": 1})
    judged(reviews, first, "duplicate", "duplicate")
    with pytest.raises(InputError, match="Rows 2 and 3 hold the same record"):
        judged(reviews, first, "distinct", "duplicate")
    judged(reviews, first, "distinct", "distinct")
    assert [item.decision for item in reviews.items(ID)] == ["distinct", "distinct"]


def test_a_row_that_is_graver_by_another_pair_is_no_contradiction(reviews: Reviews) -> None:
    """Row 3 repeats row 2, which is a pair that row 2 is not in."""
    reviews.raise_matches(result([ANNA, ANNA], {"id-1": 1}))
    for row, decision in ((3, "duplicate"), (2, "unsure")):
        reviews.decide(ID, [Verdict(row, decision, "", "Olena")])
    exported = [(item.row, item.decision) for item in reviews.items(ID)]
    assert exported == [(2, "unsure"), (3, "duplicate")]
    assert reviews.decide(ID, [Verdict(*line, "", "Olena") for line in exported]) == 0, "it can be imported again"


def test_the_result_shows_decisions(reviews: Reviews) -> None:
    first = result([ANNA, BOB, CLEO], {"id-1": 1, "id-2": 1, "id-3": 1})
    judged(reviews, first, "distinct", "unsure")
    first.reviews = reviews.raise_matches(first)
    assert [cells[-1] for cells in first.cells()] == ["distinct (Olena, 2026-11-25)", "unsure (Olena, 2026-11-25)", ""]
    assert first.summary().judged_distinct == 1


def test_everything_is_there_after_a_restart(reviews: Reviews, path: Path) -> None:
    judged(reviews, result([ANNA, BOB], {"id-1": 1, "id-2": 1}), "distinct", "unsure")
    again = Reviews(store_of(path), VAULT)
    assert again.record_key() == reviews.record_key()
    assert again.items(ID) == reviews.items(ID)
    assert is_raised(again, result([ANNA, BOB], {"id-1": 1, "id-2": 1}, LATER)) == [3]


# Which pairs are the same


@examples(50)
@given(st.lists(st.sampled_from(["", *WORDS]), min_size=3, max_size=3), st.permutations([ANNA, BOB, CLEO]))
def test_what_was_judged_distinct_is_not_raised_again(
    tmp_path_factory: pytest.TempPathFactory, decisions: list[str], order: list[tuple[str, str, str]]
) -> None:
    reviews = Reviews(store_of(tmp_path_factory.mktemp("node") / "matchbit.db"), VAULT)
    people, found = [ANNA, BOB, CLEO], {"id-1": 1, "id-2": 1, "phone-2": 1, "phone-3": 1}
    reviews.raise_matches(result(people, found))
    reviews.decide(ID, [verdict(row, word) for row, word in enumerate(decisions, 2) if word])
    distinct = [person for person, word in zip(people, decisions, strict=True) if word == "distinct"]
    expected = [row for row, person in enumerate(order, 7) if person not in distinct]
    assert is_raised(reviews, result(order, found, LATER, first=7)) == expected


def test_a_changed_record_is_raised_again(reviews: Reviews) -> None:
    judged(reviews, result([ANNA], {"id-1": 1}), "distinct")
    married = ("Anna Petrenko", *ANNA[1:])
    assert is_raised(reviews, result([married], {"id-1": 1}, LATER)) == [2]


def test_a_match_on_a_further_rule_is_raised_again(reviews: Reviews) -> None:
    judged(reviews, result([ANNA], {"id-1": 1}), "distinct")
    assert is_raised(reviews, result([ANNA], {"id-1": 1, "phone-1": 1}, LATER)) == [2]


@pytest.mark.parametrize(("change", "raised"), [({"name": "new name"}, []), ({"fields": ("full_name",)}, [2])])
def test_a_rule_is_what_it_compares_and_not_its_name(
    reviews: Reviews, change: dict[str, object], raised: list[int]
) -> None:
    judged(reviews, result([ANNA], {"id-1": 1}), "distinct")
    changed = type(TERMS.rules[0])(**({"name": "id", "fields": ("id_number",)} | change))  # type: ignore[arg-type]
    assert is_raised(reviews, result([ANNA], {"id-1": 1}, manifest(rules=(changed, TERMS.rules[1])))) == raised


def test_a_match_with_a_further_member_is_raised_again(reviews: Reviews) -> None:
    judged(reviews, result([ANNA, BOB], {"id-1": B, "id-2": B | C}, MEMBERS), "distinct", "distinct")
    again = result([ANNA, BOB], {"id-1": B | C, "id-2": C}, LATER_MEMBERS)
    assert is_raised(reviews, again) == [2]


def test_a_match_of_a_known_member_on_a_rule_that_found_another_is_raised_again(reviews: Reviews) -> None:
    judged(reviews, result([ANNA], {"id-1": B, "phone-1": C}, MEMBERS), "distinct")
    assert is_raised(reviews, result([ANNA], {"id-1": B | C, "phone-1": C}, LATER_MEMBERS)) == [2]


@pytest.mark.parametrize(
    ("before", "again", "raised"),
    [
        ({}, {"purpose": "the next month"}, []),
        ({}, {"members": ("agency-c", "agency-a", "agency-b")}, []),
        ({}, {"members": ("agency-a", "agency-b", "agency-c", "agency-d")}, [2]),
        ({"reveal": "members"}, {"members": ("agency-a", "agency-b", "agency-d"), "reveal": "members"}, []),
    ],
)
def test_a_member_that_is_not_named_can_be_any_other_of_the_session(
    reviews: Reviews, before: dict[str, object], again: dict[str, object], raised: list[int]
) -> None:
    found = {"id-1": B if "reveal" in before else 1}
    judged(reviews, result([ANNA], found, manifest(**before)), "distinct")
    assert is_raised(reviews, result([ANNA], found, manifest(**again))) == raised


def test_more_members_than_before_are_raised_again(reviews: Reviews) -> None:
    judged(reviews, result([ANNA], {"id-1": 1}, manifest(reveal="count")), "distinct")
    assert is_raised(reviews, result([ANNA], {"id-1": 2}, manifest(reveal="count"))) == [2]


def test_two_rows_of_a_list_are_one_pair_in_either_order(reviews: Reviews) -> None:
    reviews.raise_matches(result([ANNA, ANNA_AGAIN], {}))
    reviews.decide(ID, [verdict(3)])
    assert is_raised(reviews, result([ANNA_AGAIN, BOB, ANNA], {}, LATER)) == []
    assert is_raised(reviews, result([BOB, ("Anne", "id-1", "phone-5"), ANNA], {}, LATER)) == [4]


# Decisions


def test_a_row_is_distinct_when_all_its_pairs_are(reviews: Reviews) -> None:
    judged(reviews, result([ANNA], {"id-1": 1}), "distinct")
    later = result([ANNA], {"id-1": 1, "phone-1": 1}, LATER)
    assert reviews.raise_matches(later) == {}
    reviews.decide(LATER.session_id, [verdict(2, "unsure", reviewer="Amal")])
    assert reviews.raise_matches(later) == {0: "unsure (Amal, 2026-11-25)"}
    reviews.decide(LATER.session_id, [verdict(2)])
    assert reviews.raise_matches(later) == {0: "distinct (Olena, 2026-11-25)"}


def test_a_decision_leaves_what_was_settled_before(reviews: Reviews) -> None:
    judged(reviews, result([ANNA], {"id-1": 1}), "distinct")
    judged(reviews, result([ANNA], {"id-1": 1, "phone-1": 1}, LATER), "duplicate")
    assert [item.decision for item in reviews.items(LATER.session_id)] == ["duplicate"]
    assert [item.decision for item in reviews.items(ID)] == ["distinct"]


def test_a_decision_can_be_taken_back(reviews: Reviews) -> None:
    judged(reviews, result([ANNA], {"id-1": 1}), "distinct")
    assert reviews.decide(ID, [verdict(2, "duplicate", "same mother")]) == 1
    assert [item.decision for item in reviews.items(ID)] == ["duplicate"]
    judged(reviews, result([ANNA], {"id-1": 1}, LATER), "distinct")
    reviews.decide(ID, [verdict(2, "unsure")])  # settled in another session, but there is nothing else on the row
    assert [item.decision for item in reviews.items(LATER.session_id)] == ["unsure"]


def test_the_same_decision_again_keeps_its_day(reviews: Reviews, monkeypatch: pytest.MonkeyPatch) -> None:
    judged(reviews, result([ANNA], {"id-1": 1}), "unsure")
    before = reviews.items(ID)
    monkeypatch.setattr(review, "utc_now", lambda: DAY + timedelta(days=9))
    assert reviews.decide(ID, [verdict(2, " UNSURE ")]) == 0
    assert reviews.items(ID) == before
    assert reviews.decide(ID, [verdict(2, "unsure", "asked again")]) == 1
    assert reviews.items(ID)[0].to_json() == {
        "row": 2,
        "matched_on": ("id",),
        "matched_with": ("another member",),
        "decision": "unsure",
        "note": "asked again",
        "reviewer": "Olena",
        "at": "2026-12-04T09:30:00+00:00",
    }


def test_notes_and_names_become_one_line(reviews: Reviews) -> None:
    reviews.raise_matches(result([ANNA], {"id-1": 1}))
    reviews.decide(ID, [verdict(2, "unsure", " called twice,\r\nno  answer\t", "علی\u200cرضا")])
    judgement = reviews.items(ID)[0].judgement
    assert judgement is not None
    assert (judgement.note, judgement.reviewer) == ("called twice, no answer", "علی\u200cرضا")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (verdict(4), "Row 4 is not among this session's matches"),
        (verdict(2, ""), "`decision` must be one of duplicate, unsure, distinct."),
        (verdict(2, "yes"), "`decision` must be one of"),
        (verdict(2, reviewer=" \n"), "`reviewer` must name the person who decided."),
        (verdict(2, reviewer="x" * 101), "`reviewer` must be at most 100 printable characters."),
        (verdict(2, note="x" * 1001), "`note` must be at most 1000 printable characters."),
        (verdict(2, note="\x1b[2J"), "`note` must be at most 1000 printable"),
        (verdict(2, reviewer="\u202eanelO"), "`reviewer` must be at most"),
    ],
)
def test_a_wrong_decision_keeps_none(reviews: Reviews, wrong: Verdict, says: str) -> None:
    reviews.raise_matches(result([ANNA, BOB], {"id-1": 1, "id-2": 1}))
    with pytest.raises(InputError) as error:
        reviews.decide(ID, [verdict(3), wrong._replace(where="queue.csv, row 9: ")])
    assert str(error.value).startswith(f"queue.csv, row 9: {says}")
    assert not any(word in str(error.value) for word in JARGON)
    assert [item.decision for item in reviews.items(ID)] == ["open", "open"]


# Keeping and forgetting


def test_an_id_is_found_by_its_beginning(reviews: Reviews) -> None:
    reviews.raise_matches(result([ANNA], {"id-1": 1}))
    assert reviews.session(ID[:4]) == reviews.session(ID) == ID
    with pytest.raises(SessionRefused, match=f"^Session {LATER.session_id[:8].hex()} has no matches to review"):
        reviews.session(LATER.session_id)
    reviews.raise_matches(result([ANNA], {"id-1": 1}, LATER))
    with pytest.raises(SessionRefused, match="More than one session begins with"):
        reviews.session(b"")


def test_a_closed_session_leaves_its_decisions(reviews: Reviews, path: Path) -> None:
    judged(reviews, result([ANNA], {"id-1": 1}), "distinct")
    reviews.raise_matches(result([ANNA], {"id-1": 1}, LATER))
    reviews.drop_queue(ID)
    assert reviews.items(ID) == []
    assert [item.decision for item in reviews.items(LATER.session_id)] == ["distinct"]
    assert path.with_name("matchbit.db-wal").stat().st_size == 0


def test_old_decisions_are_forgotten(reviews: Reviews, monkeypatch: pytest.MonkeyPatch) -> None:
    judged(reviews, result([ANNA, BOB], {"id-1": 1, "id-2": 1}), "distinct")
    monkeypatch.setattr(review, "utc_now", lambda: DAY + timedelta(days=1))
    reviews.decide(ID, [verdict(3)])
    assert reviews.forget(date(2026, 11, 25)) == 0
    assert reviews.forget(date(2026, 11, 26)) == 1
    assert [item.decision for item in reviews.items(ID)] == ["open", "distinct"]


def test_the_database_knows_no_record(reviews: Reviews, path: Path) -> None:
    first = result([ANNA], {"id-1": 1})
    judged(reviews, first, "unsure")
    reviews.drop_queue(ID)
    stored = path.read_bytes() + path.with_name("matchbit.db-wal").read_bytes()
    assert first.keys.records is not None
    assert b"Olena" in stored
    assert not any(text in stored for text in (b"Anna", b"id-1", b"phone-1", first.keys.records.tobytes()))


def test_the_key_of_records_is_made_once(path: Path) -> None:
    store = store_of(path)
    with ThreadPoolExecutor(4) as pool:
        keys = list(pool.map(lambda _: Reviews(store, VAULT).record_key(), range(8)))
    assert len(set(keys)) == 1
    assert len(keys[0]) == 32
    assert keys[0] != Reviews(store_of(path.with_name("other.db")), VAULT).record_key()


def test_the_key_of_records_is_kept_sealed(reviews: Reviews, path: Path) -> None:
    key = reviews.record_key()
    assert not any(key[start : start + 8] in on_disk(path) for start in range(0, 32, 8))
    with pytest.raises(StorageError):
        Reviews(store_of(path), Vault(bytes(32))).record_key()
    assert reviews.record_key() == key


def test_a_key_that_an_older_version_kept_in_the_clear_is_sealed(reviews: Reviews, path: Path) -> None:
    store, clear = store_of(path), bytes(range(100, 132))
    with store.transaction() as db:
        db.execute("INSERT INTO secrets VALUES ('record key', ?)", (clear,))
    assert reviews.record_key() == clear
    ((sealed,),) = store.read("SELECT value FROM secrets WHERE name = 'record key'")
    assert clear not in sealed
    assert reviews.record_key() == Reviews(store_of(path), VAULT).record_key() == clear


def test_keys_without_digests_of_records_are_our_fault(reviews: Reviews) -> None:
    bare = result([ANNA], {"id-1": 1})
    object.__setattr__(bare.keys, "records", None)
    with pytest.raises(ValueError, match="digests"):
        reviews.raise_matches(bare)


def test_a_database_of_the_first_version_takes_decisions(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(f"{MIGRATIONS[0]} PRAGMA user_version = 1;")
    connection.close()
    reviews = Reviews(store_of(path), VAULT)
    assert is_raised(reviews, result([ANNA], {"id-1": 1})) == [2]
    reviews.decide(ID, [verdict(2)])
    assert is_raised(reviews, result([ANNA], {"id-1": 1}, LATER)) == []


def test_a_failed_write_keeps_the_queue(reviews: Reviews, monkeypatch: pytest.MonkeyPatch) -> None:
    reviews.raise_matches(result([ANNA], {"id-1": 1}))
    broken: Callable[..., object] = lambda *_: iter([(2, b"digest", "id", None)])  # noqa: E731
    monkeypatch.setattr(review, "_pairs", broken)
    with pytest.raises(sqlite3.IntegrityError):
        reviews.raise_matches(result([ANNA], {"id-1": 1}))
    assert [item.row for item in reviews.items(ID)] == [2]
