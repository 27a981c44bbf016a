import csv
import os
import stat
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from parties.generator import HEADINGS, RULES, GeneratedList, generate, write_csv

SEEDS = (0, 1, 20261231)


def names(count: int) -> list[str]:
    return [f"agency-{letter}" for letter in "abcdefgh"[:count]]


def canonical(cell: str) -> str:
    return unicodedata.normalize("NFKC", cell.strip()).casefold()


def column(generated: GeneratedList, heading: str) -> list[str]:
    return [row[HEADINGS.index(heading)] for row in generated.rows]


def key(row: list[str], fields: tuple[str, ...]) -> tuple[str, ...] | None:
    cells = tuple(canonical(row[HEADINGS.index(field)]) for field in fields)
    return cells if all(cells) else None


def joined(lists: dict[str, GeneratedList]) -> dict[str, dict[int, frozenset[str]]]:
    """Join the written cells of all pairs of lists, knowing nothing of the people behind them."""
    found: dict[str, dict[int, frozenset[str]]] = {name: {} for name in lists}
    for name, mine in lists.items():
        for other, theirs in lists.items():
            if other == name:
                continue
            for _, fields in RULES:
                held = {key(row, fields) for row in theirs.rows} - {None}
                for index, row in enumerate(mine.rows):
                    if key(row, fields) in held:
                        found[name][index] = found[name].get(index, frozenset()) | {other}
    return found


def repeated_in_list(generated: GeneratedList) -> list[int]:
    """Indices of the rows whose identity number is in the list more than once."""
    numbers = [canonical(cell) for cell in column(generated, "id_number")]
    times = Counter(numbers)
    return [index for index, number in enumerate(numbers) if number and times[number] > 1]


@pytest.fixture(scope="module")
def three() -> dict[str, GeneratedList]:
    return generate(names(3), 4000, 0.2, 7)


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
        assert len(generated.rows) == rows
        assert {len(row) for row in generated.rows} <= {len(HEADINGS)}
        assert all(0 <= index < rows for index in generated.expected)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("members", [2, 3, 7])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 1.0])
def test_expected_is_what_a_plaintext_join_of_the_cells_finds(members: int, overlap: float, seed: int) -> None:
    lists = generate(names(members), 1500, overlap, seed)
    assert {name: generated.expected for name, generated in lists.items()} == joined(lists)


@pytest.mark.parametrize("members", [2, 3, 7])
@pytest.mark.parametrize("overlap", [0.05, 0.1, 0.5, 1.0])
def test_the_overlap_is_near_what_was_asked(members: int, overlap: float) -> None:
    # Missing values hide about two in a hundred of the shared people; households and estimated dates add a few.
    for generated in generate(names(members), 4000, overlap, 11).values():
        assert len(generated.expected) / 4000 == pytest.approx(overlap, rel=0.06, abs=0.006)


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
    numbers = [{canonical(cell) for cell in column(generated, "id_number")} - {""} for generated in lists.values()]
    assert sum(map(len, numbers)) == len(set().union(*numbers))
    assert sum(len(generated.expected) for generated in lists.values()) <= 4


def test_a_person_twice_in_one_list_is_no_match() -> None:
    (alone,) = generate(names(1), 2000, 0.5, 4).values()
    assert 60 < len(repeated_in_list(alone)) < 240
    assert alone.expected == {}
    for generated in generate(names(3), 2000, 0.0, 4).values():
        twice = repeated_in_list(generated)
        assert 60 < len(twice) < 240
        assert not generated.expected.keys() & set(twice)


def test_a_person_registered_twice_is_written_differently(three: dict[str, GeneratedList]) -> None:
    generated = three["agency-a"]
    twice = repeated_in_list(generated)
    assert len({tuple(generated.rows[index]) for index in twice}) == len(twice)


def test_identity_numbers_belong_to_one_person(three: dict[str, GeneratedList]) -> None:
    birth_dates: dict[str, set[str]] = {}
    for generated in three.values():
        pairs = zip(column(generated, "id_number"), column(generated, "birth_date"), strict=True)
        for number, born in pairs:
            if number and born:
                birth_dates.setdefault(canonical(number), set()).add(canonical(born))
    assert {len(dates) for dates in birth_dates.values()} == {1}


def test_a_shared_person_is_written_differently_in_two_lists(three: dict[str, GeneratedList]) -> None:
    left, right = three["agency-a"], three["agency-b"]
    by_number = {canonical(row[0]): row for row in right.rows if row[0]}
    pairs = [(row, by_number[canonical(row[0])]) for row in left.rows if row[0] and canonical(row[0]) in by_number]
    assert len(pairs) > 200
    for heading, least in (("id_number", 0.2), ("phone", 0.2), ("full_name", 0.5), ("settlement", 0.2)):
        at = HEADINGS.index(heading)
        differently = sum(mine[at] != theirs[at] for mine, theirs in pairs)
        assert differently / len(pairs) > least, heading


def test_cells_that_rules_compare_show_case_spaces_and_full_width(three: dict[str, GeneratedList]) -> None:
    numbers = column(three["agency-a"], "id_number")
    assert any(cell != cell.strip() for cell in numbers)
    assert any(cell != cell.upper() for cell in numbers)
    full_width = sum(unicodedata.normalize("NFKC", cell) != cell for cell in numbers) / len(numbers)
    assert 0.005 < full_width < 0.1


def test_birth_dates_are_dates_heaped_on_the_first_of_january(three: dict[str, GeneratedList]) -> None:
    written = [canonical(cell) for generated in three.values() for cell in column(generated, "birth_date")]
    born = [cell for cell in written if cell]
    assert all(len(cell) == 10 and 1930 < int(cell[:4]) < 2023 and 0 < int(cell[5:7]) < 13 for cell in born)
    heaped = [int(cell[:4]) for cell in born if cell.endswith("-01-01")]
    assert 0.14 < len(heaped) / len(born) < 0.21
    assert sum(year % 5 == 0 for year in heaped) / len(heaped) > 0.45
    others = Counter(cell[5:] for cell in born if not cell.endswith("-01-01"))
    assert len(others) > 350
    assert max(others.values()) < 0.01 * len(born)


def test_households_share_a_phone_and_sometimes_the_first_of_january() -> None:
    (alone,) = generate(names(1), 4000, 0.0, 8).values()
    # Different numbers mean different people, so that people registered twice do not count here.
    people: dict[str, set[str]] = {}
    alike: dict[tuple[str, str], set[str]] = {}
    for row in alone.rows:
        cells = dict(zip(HEADINGS, map(canonical, row), strict=True))
        if cells["id_number"] and cells["phone"]:
            people.setdefault(cells["phone"], set()).add(cells["id_number"])
            if cells["birth_date"].endswith("-01-01"):
                alike.setdefault((cells["phone"], cells["birth_date"]), set()).add(cells["id_number"])
    assert sum(len(numbers) > 1 for numbers in people.values()) > 300
    assert sum(len(numbers) > 1 for numbers in alike.values()) > 10


def test_values_are_missing_about_as_often_as_in_real_lists(three: dict[str, GeneratedList]) -> None:
    for heading, share in (("id_number", 0.06), ("phone", 0.08), ("birth_date", 0.02)):
        cells = [cell for generated in three.values() for cell in column(generated, heading)]
        assert cells.count("") / len(cells) == pytest.approx(share, rel=0.2), heading
    for heading in ("full_name", "sex", "settlement", "household_size", "registered_on"):
        assert all(cell for generated in three.values() for cell in column(generated, heading)), heading


@pytest.mark.parametrize("heading", ["full_name", "settlement"])
def test_names_and_places_come_in_several_scripts(three: dict[str, GeneratedList], heading: str) -> None:
    for generated in three.values():
        cells = column(generated, heading)
        scripts = Counter(unicodedata.name(cell[0]).split()[0] for cell in cells)
        for script in ("LATIN", "CYRILLIC", "ARABIC", "ETHIOPIC", "MYANMAR"):
            assert scripts[script] > 20, script


def test_no_cell_holds_a_mark_of_the_notation_that_names_are_kept_in(three: dict[str, GeneratedList]) -> None:
    for generated in three.values():
        for row in generated.rows:
            assert not any(sign in cell for cell in row for sign in "_=#@"), row
        assert not any("/" in cell for cell in column(generated, "full_name"))


@pytest.mark.parametrize("rows", [0, 1, 500])
def test_a_written_list_reads_back_the_same(tmp_path: Path, rows: int) -> None:
    generated = generate(names(2), rows, 0.2, 9)["agency-a"]
    path = tmp_path / "list.csv"
    write_csv(path, generated)
    with path.open(encoding="utf-8", newline="") as file:
        headings, *read = list(csv.reader(file))
    assert tuple(headings) == HEADINGS
    assert read == generated.rows
    if rows == 500:
        text = path.read_bytes().decode()
        assert {"ARABIC", "CYRILLIC"} <= {unicodedata.name(letter, "").split(" ")[0] for letter in text}


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
