import csv
import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest

from parties import fields
from parties.columns import MapFile, map_columns
from parties.findings import Severity
from parties.generator import COUNTRY, RULES, GeneratedList, generate, write_csv
from parties.habits import HEADINGS, Person, vocabulary
from parties.keys import make_keys
from parties.rules import Rule

SEEDS = (0, 1, 20261231)
COMPARED = ("id_number", "phone", "birth_date")


def names(count: int) -> list[str]:
    return [f"agency-{letter}" for letter in "abcdefgh"[:count]]


def column(generated: GeneratedList, heading: str) -> list[str]:
    return [row[HEADINGS.index(heading)] for row in generated.rows]


def opened(generated: GeneratedList, path: Path) -> fields.ReadableList:
    write_csv(path, generated)
    return fields.open_list(path)


def canonical(generated: GeneratedList, folder: Path) -> dict[str, list[str]]:
    """The compared fields in canonical form; nothing where there is none."""
    a_list = opened(generated, folder / "list.csv")
    sources = {name: fields.source(a_list, name, "the test", COUNTRY) for name in COMPARED}
    values: dict[str, list[str]] = {name: [] for name in COMPARED}
    for batch in a_list.source.batches():
        for name, source in sources.items():
            read = source.read(batch)
            values[name] += ["".join(read.normals[code].values[:1]) for code in read.codes]
    return values


def found(lists: dict[str, GeneratedList], folder: Path) -> dict[str, dict[int, frozenset[str]]]:
    """For each member's rows who else has one of its keys, from the written files alone."""
    rules = [Rule(*rule) for rule in RULES]
    keys = {}
    for name, generated in lists.items():
        keys[name] = make_keys(opened(generated, folder / f"{name}.csv"), bytes(32), rules, COUNTRY)[0]
    held = {name: {key.tobytes() for key in of.keys} for name, of in keys.items()}
    matches: dict[str, dict[int, frozenset[str]]] = {name: {} for name in lists}
    for name, own in keys.items():
        for rule in own.of_rule:
            for row, place in zip(rule.rows.tolist(), rule.places.tolist(), strict=True):
                others = {o for o, theirs in held.items() if o != name and own.keys[place].tobytes() in theirs}
                if others:
                    matches[name][row] = matches[name].get(row, frozenset()) | others
    return matches


def expected(lists: dict[str, GeneratedList]) -> dict[str, dict[int, frozenset[str]]]:
    return {name: generated.expected for name, generated in lists.items()}


def repeated_in_list(generated: GeneratedList) -> list[int]:
    """Indices of the rows whose person is in the list more than once."""
    times = Counter(generated.people)
    return [index for index, person in enumerate(generated.people) if times[person] > 1]


@pytest.fixture(scope="module")
def three() -> dict[str, GeneratedList]:
    return generate(names(3), 4000, 0.2, 7)


@pytest.fixture(scope="module")
def read(three: dict[str, GeneratedList], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[str]]]:
    return {name: canonical(generated, tmp_path_factory.mktemp(name)) for name, generated in three.items()}


def test_the_same_seed_gives_the_same_lists_and_another_seed_others() -> None:
    first = generate(names(3), 300, 0.2, 5)
    assert generate(names(3), 300, 0.2, 5) == first
    assert generate(names(3), 300, 0.2, 6) != first


@pytest.mark.parametrize("members", [1, 2, 3, 7])
@pytest.mark.parametrize("rows", [0, 1, 63, 64, 65])
@pytest.mark.parametrize("overlap", [0.0, 0.3, 1.0])
def test_every_member_gets_exactly_the_rows_asked_for(members: int, rows: int, overlap: float) -> None:
    lists = generate(names(members), rows, overlap, 3)
    assert list(lists) == names(members)
    for generated in lists.values():
        assert len(generated.rows) == len(generated.people) == len(generated.traditions) == rows
        assert {len(row) for row in generated.rows} <= {len(HEADINGS)}
        assert all(0 <= index < rows for index in generated.expected)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("members", [2, 7])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 1.0])
def test_expected_is_what_matching_the_written_lists_finds(
    members: int, overlap: float, seed: int, tmp_path: Path
) -> None:
    lists = generate(names(members), 1000, overlap, seed)
    assert found(lists, tmp_path) == expected(lists)


@pytest.mark.parametrize("rows", [1, 2, 20, 49, 50, 51])
def test_short_lists_leave_no_date_in_doubt(rows: int, tmp_path: Path) -> None:
    for seed in range(12):
        lists = generate(names(3), rows, 0.8, seed)
        assert found(lists, tmp_path) == expected(lists), seed


@pytest.mark.parametrize("members", [2, 3, 7])
@pytest.mark.parametrize("overlap", [0.05, 0.1, 0.5, 1.0])
def test_the_overlap_is_near_what_was_asked(members: int, overlap: float) -> None:
    lists = generate(names(members), 4000, overlap, 11)
    for name, generated in lists.items():
        elsewhere = set().union(*(other.people for o, other in lists.items() if o != name))
        shared = sum(person in elsewhere for person in generated.people)
        assert shared / 4000 == pytest.approx(overlap, rel=0.06, abs=0.006)
        # Missing and wrong values hide some of them; relatives with the same estimated birth date add a few others.
        assert 0.9 * shared < len(generated.expected) < shared + 40


def test_some_people_are_held_by_two_members_and_some_by_all() -> None:
    lists = generate(names(5), 2000, 0.3, 2)
    for name, generated in lists.items():
        sizes = Counter(len(others) for others in generated.expected.values())
        assert sizes[1] > 30
        assert sizes[4] > 30
        assert all(name not in others for others in generated.expected.values())
        assert frozenset().union(*generated.expected.values()) == set(lists) - {name}


def test_rows_are_shuffled(three: dict[str, GeneratedList]) -> None:
    for generated in three.values():
        first_half = sum(index < 2000 for index in generated.expected)
        assert 0.4 < first_half / len(generated.expected) < 0.6
        assert sum(index >= 3880 for index in repeated_in_list(generated)) < 30


@pytest.mark.parametrize("seed", SEEDS)
def test_without_overlap_only_coincidences_match(seed: int) -> None:
    lists = generate(names(3), 4000, 0.0, seed)
    people = [set(generated.people) for generated in lists.values()]
    assert sum(map(len, people)) == len(set().union(*people))
    # Twins, or two of one phone who were born on the same first of January, registered with different members.
    assert sum(len(generated.expected) for generated in lists.values()) < 100


def test_a_person_twice_in_one_list_is_no_match() -> None:
    (alone,) = generate(names(1), 2000, 0.5, 4).values()
    assert 60 < len(repeated_in_list(alone)) < 240
    assert alone.expected == {}
    for generated in generate(names(3), 2000, 0.0, 4).values():
        twice = repeated_in_list(generated)
        assert 60 < len(twice) < 240
        assert len(generated.expected.keys() & set(twice)) < 10


def test_a_person_registered_twice_is_written_differently(three: dict[str, GeneratedList]) -> None:
    generated = three["agency-a"]
    twice = repeated_in_list(generated)
    assert len({tuple(generated.rows[index]) for index in twice}) == len(twice)


def test_numbers_belong_to_one_person(three: dict[str, GeneratedList], read: dict[str, dict[str, list[str]]]) -> None:
    owners: dict[str, set[int]] = {}
    for name, generated in three.items():
        for number, person in zip(read[name]["id_number"], generated.people, strict=True):
            owners.setdefault(number, set()).add(person)
    del owners[""]
    assert {len(people) for people in owners.values()} == {1}


@pytest.mark.parametrize(("heading", "percent"), [("id_number", 3), ("phone", 8), ("birth_date", 5)])
def test_now_and_then_a_registration_is_wrong(
    heading: str, percent: int, three: dict[str, GeneratedList], read: dict[str, dict[str, list[str]]]
) -> None:
    of = {name: dict(zip(three[name].people, read[name][heading], strict=True)) for name in three}
    pairs = [
        (value, of[other][person])
        for name, other in (("agency-a", "agency-b"), ("agency-b", "agency-c"), ("agency-c", "agency-a"))
        for person, value in of[name].items()
        if value and of[other].get(person)
    ]
    assert len(pairs) > 1000
    assert 0.6 * percent < sum(mine != theirs for mine, theirs in pairs) / len(pairs) * 100 < 1.4 * percent


def test_a_shared_person_is_written_differently_in_two_lists(three: dict[str, GeneratedList]) -> None:
    left, right = (dict(zip(three[n].people, three[n].rows, strict=True)) for n in ("agency-a", "agency-b"))
    pairs = [(row, right[person]) for person, row in left.items() if person in right]
    assert len(pairs) > 200
    for heading in ("id_number", "phone", "birth_date", "full_name", "admin2"):
        at = HEADINGS.index(heading)
        assert sum(mine[at] != theirs[at] for mine, theirs in pairs) / len(pairs) > 0.2, heading


@pytest.mark.parametrize("language", vocabulary()["languages"])
def test_every_heading_is_recognised(language: str) -> None:
    words = vocabulary()["languages"][language]["headings"]
    for name in HEADINGS:
        for heading in words[name]:
            used = [heading if other == name else words[other][0] for other in HEADINGS]
            columns = map_columns(used, (), MapFile(), Path("list.csv"))
            assert not [f for f in columns.findings if f.severity == Severity.STOP]
            if name == "household_size":
                assert columns.unknown == (heading,)
            else:
                assert [(c.heading, c.id_type) for c in columns.of(name)] == [(heading, "")]


def test_agencies_have_their_own_ways() -> None:
    lists = generate([f"agency-{k}" for k in range(60)], 50, 0.1, 3).values()
    assert {generated.delimiter for generated in lists} == set(",;\t|")
    assert len({generated.headings for generated in lists}) > 20
    for form in (r"\d{4}-\d\d-\d\d", r"\d\d/\d\d/\d{4}", r"\d\d\.\d\d\.\d{4}", r"\d{4}-.* 00:00:00", r"\d+ \D+ \d{4}"):
        usual = [sum(bool(re.fullmatch(form, cell)) for cell in column(each, "birth_date")) > 35 for each in lists]
        assert any(usual), form
        assert not all(usual), form
    for heading in ("id_number", "phone"):
        shapes = [Counter(re.sub(r"\w", "", cell) for cell in column(each, heading)).most_common(1) for each in lists]
        assert len({shape for ((shape, _),) in shapes}) > 2, heading


def test_identity_numbers_come_as_spreadsheets_and_people_leave_them() -> None:
    cells = [
        c
        for each in generate([f"agency-{k}" for k in range(30)], 200, 0, 3).values()
        for c in column(each, "id_number")
    ]
    for form in (
        r"[a-z]\d{7}",
        r"\d+\.0",
        r"[0-9]{4} [0-9]{6}",
        r"(?![0-9])\w\d*[\uff10-\uff19]",
        r"\s.*",
        r"[1-9]\d{8}",
    ):
        assert any(re.fullmatch(form, cell) for cell in cells), form


def test_national_phones_are_of_the_sessions_country(
    three: dict[str, GeneratedList], read: dict[str, dict[str, list[str]]]
) -> None:
    for name, generated in three.items():
        for cell, phone in zip(column(generated, "phone"), read[name]["phone"], strict=True):
            is_international = re.match(r"\s*'?(\+|00|\uff0b|\uff10\uff10)", cell) or not cell
            assert is_international or phone.startswith("+380"), cell


def test_birth_dates_are_heaped_on_the_first_of_january(read: dict[str, dict[str, list[str]]]) -> None:
    born = [value for values in read.values() for value in values["birth_date"] if value]
    assert all(len(value) == 10 and 1930 < int(value[:4]) < 2023 for value in born)
    heaped = [int(value[:4]) for value in born if value.endswith("-01-01")]
    assert 0.16 < len(heaped) / len(born) < 0.23
    assert sum(year % 5 == 0 for year in heaped) / len(heaped) > 0.45
    others = Counter(value[5:] for value in born if not value.endswith("-01-01"))
    assert len(others) > 350
    assert max(others.values()) < 0.01 * len(born)


def test_households_share_a_phone_and_sometimes_the_first_of_january(
    three: dict[str, GeneratedList], read: dict[str, dict[str, list[str]]]
) -> None:
    people: dict[str, set[int]] = {}
    alike: dict[tuple[str, str], set[int]] = {}
    for name, generated in three.items():
        values = zip(read[name]["phone"], read[name]["birth_date"], generated.people, strict=True)
        for phone, born, person in values:
            people.setdefault(phone, set()).add(person)
            if born.endswith("-01-01"):
                alike.setdefault((phone, born), set()).add(person)
    assert sum(len(sharing) > 1 for phone, sharing in people.items() if phone) > 300
    assert sum(len(sharing) > 1 for (phone, _), sharing in alike.items() if phone) > 10


@pytest.fixture(scope="module")
def everybody(three: dict[str, GeneratedList]) -> list[Person]:
    """What was registered of each person, once."""
    return list({person.number: person for each in three.values() for person in each.registered}.values())


def pairs_of(people: list[Person], alike: Callable[[Person], object]) -> list[tuple[Person, Person]]:
    """All pairs of people that are alike in something."""
    groups: dict[object, list[Person]] = {}
    for person in people:
        groups.setdefault(alike(person), []).append(person)
    return [pair for group in groups.values() for pair in combinations(group, 2)]


def test_some_are_twins(everybody: list[Person]) -> None:
    alike = pairs_of(everybody, lambda p: (p.phone, p.birth_date, p.settlement, p.tradition))
    twins = [(a, b) for a, b in alike if not a.birth_date.endswith("-01-01")]
    assert 0.004 < len(twins) / len(everybody) < 0.014
    assert all(a.name[0] != b.name[0] and a.id_number != b.id_number for a, b in twins)
    assert 0.5 < sum(a.sex == b.sex for a, b in twins) / len(twins) < 0.85
    assert all(a.name[1:] == b.name[1:] for a, b in twins if a.sex == b.sex)


def test_some_have_the_name_of_another(everybody: list[Person]) -> None:
    alike = pairs_of(everybody, lambda p: (p.name, p.sex, p.settlement))
    apart = [(abs(int(a.birth_date[:4]) - int(b.birth_date[:4])), a.phone == b.phone) for a, b in alike]
    juniors = [years for years, same_phone in apart if same_phone]
    assert 0.002 < len(juniors) / len(everybody) < 0.01
    assert all(15 < years < 38 for years in juniors)
    assert 0.003 < sum(years < 4 for years, same_phone in apart if not same_phone) / len(everybody) < 0.02


def test_some_give_the_phone_of_another_household(everybody: list[Person]) -> None:
    sharing = pairs_of(everybody, lambda p: p.phone)
    strangers = [(a, b) for a, b in sharing if a.household_size != b.household_size]
    assert all(a.tradition == b.tradition for a, b in strangers)
    assert sum(a.settlement == b.settlement for a, b in strangers) > 0.9 * len(strangers)
    assert 0.02 < len({p.number for pair in strangers for p in pair}) / len(everybody) < 0.08


def test_values_are_missing_about_as_often_as_in_real_lists(three: dict[str, GeneratedList]) -> None:
    missing = {"id_number": 0.06, "phone": 0.08, "birth_date": 0.02, "sex": 0.01, "admin2": 0.03}
    for heading, share in missing.items():
        cells = [cell for generated in three.values() for cell in column(generated, heading)]
        assert cells.count("") / len(cells) == pytest.approx(share, rel=0.2), heading
    for heading in set(HEADINGS) - set(missing):
        assert all(cell for generated in three.values() for cell in column(generated, heading)), heading


@pytest.mark.parametrize("heading", ["full_name", "admin2"])
def test_names_and_places_come_in_several_scripts(three: dict[str, GeneratedList], heading: str) -> None:
    for generated in three.values():
        cells = filter(None, column(generated, heading))
        scripts = Counter(unicodedata.name(cell[0]).split()[0] for cell in cells)
        for script in ("LATIN", "CYRILLIC", "ARABIC", "ETHIOPIC", "MYANMAR"):
            assert scripts[script] > 20, script


def test_no_cell_holds_a_mark_of_the_notation_that_names_are_kept_in(three: dict[str, GeneratedList]) -> None:
    for generated in three.values():
        for row in generated.rows:
            assert not any(sign in cell for cell in row for sign in "_=#@|{}"), row
        assert not any("/" in cell for cell in column(generated, "full_name"))


@pytest.mark.parametrize("rows", [0, 1, 500])
def test_a_written_list_reads_back_the_same(tmp_path: Path, rows: int) -> None:
    generated = generate(names(2), rows, 0.2, 9)["agency-a"]
    path = tmp_path / "list.csv"
    write_csv(path, generated)
    with path.open(encoding="utf-8", newline="") as file:
        headings, *cells = list(csv.reader(file, delimiter=generated.delimiter))
    assert tuple(headings) == generated.headings
    assert cells == generated.rows


@pytest.mark.skipif(os.name == "nt", reason="modes of files are POSIX")
def test_a_written_list_is_for_its_owner_alone_even_over_an_open_file(tmp_path: Path) -> None:
    generated = generate(names(1), 3, 0.0, 0)["agency-a"]
    fresh, open_before = tmp_path / "fresh.csv", tmp_path / "open.csv"
    open_before.write_text("x" * 10_000)
    open_before.chmod(0o644)
    for path in (fresh, open_before):
        write_csv(path, generated)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert fresh.read_bytes() == open_before.read_bytes()


@pytest.mark.parametrize(("members", "rows", "overlap"), [(["a", "a"], 1, 0.1), (["a"], -1, 0.1), (["a"], 1, 1.1)])
def test_what_cannot_be_generated_is_refused(members: list[str], rows: int, overlap: float) -> None:
    with pytest.raises(ValueError, match=r"members|rows"):
        generate(members, rows, overlap, 0)


def test_no_members_no_lists() -> None:
    assert generate([], 10, 0.1, 0) == {}
