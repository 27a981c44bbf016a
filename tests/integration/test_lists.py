"""Lists as agencies export them, through whole sessions over real daemons: what an information manager does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import openpyxl
import pytest

from parties.cli import main
from parties.loopback import COORDINATOR
from parties.store import SessionRecord
from tests.integration.federations import MEMBERS, Federation, read, write_numbers

RULES = [
    {"name": "id", "fields": ["id_number"]},
    {"name": "phone and birth date", "fields": ["phone", "birth_date"]},
    {"name": "name and birth date", "fields": ["full_name:phonetic:sorted", "birth_date"]},
    {"name": "family", "fields": ["phone", "family_name"], "scope": "household"},
]
UKRAINIAN = """\
№;Прізвище;Ім'я;Дата народження;Номер телефону;РНОКПП;Номер домогосподарства
1;Ковальчук;Олена;31.12.1980;067 123 45 67;0298765432;Д-1
2;Ковальчук;Іван;01.02.2010;;;Д-1
3;Бойко;Андрій;15.06.1975;050 111 22 33;;Д-2
4;Мельник;Ганна;20.08.1990;063 222 33 44;;Д-3
5;;;;0000000000;n/a;Д-4
"""
ENGLISH = """\
Full name,Family name,DOB,Mobile phone,Tax number,HH ID
KOVALCHUK Olena,KOVALCHUK,1980-12-31,+380671234567,298765432,77
Andrii Boiko,Boiko,1975-06-15,380501112233.0,,78
"""


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(tmp_path_factory.mktemp("nodes")) as started:
        yield started


def workbook(path: Path) -> Path:
    """A sheet kept by hand: a title, merged cells, a formula, numbers as numbers, a hidden sheet."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "قائمة"
    sheet.append(["قائمة المستفيدين"])
    sheet.merge_cells("A1:D1")
    sheet.append(["الاسم الكامل", "تاريخ الميلاد", "رقم الهاتف", "اسم العائلة"])
    sheet.append(["حنا مелник".replace("мелник", "ملنيك"), "1990-08-20", 380632223344, "ملنيك"])
    sheet.append(["خالد درويش", "1988-03-04", 380991112233, "درويش"])
    sheet["A3"].font = openpyxl.styles.Font(bold=True)
    hidden = book.create_sheet("old")
    hidden.sheet_state = "hidden"
    hidden.append(["id_number"])
    book.save(path)
    return path


def compared(federation: Federation, folder: Path, lists: dict[str, Path], **session: object) -> SessionRecord:
    record = federation.approved(country="UA", rule=RULES, **session)
    for name, path in lists.items():
        federation.member(name).contribute(record.id, path, accept=True)
    return federation.operator.run(record.id)


def cells(path: Path, *headings: str) -> list[tuple[str, ...]]:
    return [tuple(row[h] for h in headings) for row in read(path)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_three_agencies_three_languages(federation: Federation, tmp_path: Path, encoding: str) -> None:
    lists = {
        "agency-a": tmp_path / "Список.csv",
        "agency-b": tmp_path / "list.csv",
        "agency-c": workbook(tmp_path / "قائمة.xlsx"),
    }
    lists["agency-a"].write_text(UKRAINIAN, encoding, newline="\r\n")
    lists["agency-b"].write_text(ENGLISH.replace("380501112233.0,,", '"380501112233.0",,'), "utf-8")
    # Agency c's workbook has neither ids nor households, so it could not take part under rules that need them.
    rules = [RULES[1], RULES[2]]
    record = federation.approved(country="UA", rule=rules)
    before = {name: path.read_bytes() for name, path in lists.items()}
    for name, path in lists.items():
        federation.member(name).contribute(record.id, path, accept=True)
    record = federation.operator.run(record.id)
    outs = {name: tmp_path / f"{name}-result{path.suffix}" for name, path in lists.items()}
    summaries = {n: federation.member(n).results(record.id, out, out.with_suffix(".html")) for n, out in outs.items()}
    both = "phone and birth date; name and birth date"
    assert cells(outs["agency-a"], "match", "matched_on") == [
        ("yes", both),
        ("no", ""),
        ("yes", both),
        ("yes", "phone and birth date; name and birth date"),
        ("not compared", ""),
    ]
    reason = read(outs["agency-a"])[4]["not_compared_because"]
    assert "phone holds a placeholder" in reason
    assert "birth_date is empty" in reason
    assert cells(outs["agency-b"], "match", "matched_on") == [("yes", both), ("yes", both)]
    sheet = openpyxl.load_workbook(outs["agency-c"])["قائمة"]
    assert [sheet.cell(2, c).value for c in (5, 6)] == ["match", "matched_on"]
    assert [sheet.cell(r, 5).value for r in (1, 3, 4)] == [None, "yes", "no"]
    assert sheet["A3"].font.bold
    assert sheet["C3"].value == 380632223344
    assert summaries["agency-a"].matched == 3
    assert {name: path.read_bytes() for name, path in lists.items()} == before
    assert "<svg" in outs["agency-c"].with_suffix(".html").read_text("utf-8")


def test_households_are_found_through_any_of_their_people(federation: Federation, tmp_path: Path) -> None:
    """The son has neither number nor phone; his mother is registered elsewhere."""
    (tmp_path / "a.csv").write_text(UKRAINIAN, "utf-8")
    (tmp_path / "b.csv").write_text(ENGLISH, "utf-8")
    (tmp_path / "c.csv").write_text(
        ENGLISH.splitlines()[0] + "\nNobody Else,Else,1990-01-01,+380991112233,,1\n", "utf-8"
    )
    lists = {name: tmp_path / f"{name[-1]}.csv" for name in MEMBERS}
    record = compared(federation, tmp_path, lists, reveal="members")
    federation.member("agency-a").results(record.id, tmp_path / "a-out.csv", tmp_path / "a.html")
    assert cells(tmp_path / "a-out.csv", "match", "matched_on", "matched_with")[:3] == [
        ("yes", "id; phone and birth date; name and birth date; family", "agency-b"),
        ("yes", "family", "agency-b"),
        ("yes", "phone and birth date; name and birth date; family", "agency-b"),
    ]


def test_only_new_rows_are_reported(federation: Federation, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By date at one member, by a column at another; old rows are compared, so the others' new rows find them."""
    heading = "id_number,registration date,recent\n"
    (tmp_path / "a.csv").write_text(heading + "A1,2026-01-15,\nA2,2026-02-15,\nA3,2026-02-16,\n", "utf-8")
    (tmp_path / "b.csv").write_text(heading + "A1,2020-01-01,yes\nA2,2020-01-01,\nB9,2020-01-01,yes\n", "utf-8")
    write_numbers(tmp_path / "c.csv", ["A3"])
    record = federation.approved()
    options = {"agency-a": ["--new-since", "2026-02-01"], "agency-b": ["--new-column", "Recent"], "agency-c": []}
    for name, more in options.items():
        command = ["contribute", record.id.hex(), str(tmp_path / f"{name[-1]}.csv"), *more]
        assert main([*command, *federation.own(name)]) == 0
    assert "3 rows, 2 of them new, as 3 distinct keys" in capsys.readouterr().out
    federation.operator.run(record.id)
    found = {}
    for name in MEMBERS:
        out = tmp_path / f"{name}-out.csv"
        federation.member(name).results(record.id, out, out.with_suffix(".html"))
        found[name] = [row["match"] for row in read(out)]
    assert found == {"agency-a": ["not new", "yes", "yes"], "agency-b": ["yes", "not new", "no"], "agency-c": ["yes"]}
    assert (
        main(
            [
                "contribute",
                record.id.hex(),
                str(tmp_path / "a.csv"),
                "--new-since",
                "1.2.26",
                *federation.own("agency-a"),
            ]
        )
        == 2
    )
    assert "is not a day" in capsys.readouterr().err


def test_what_looks_wrong_stops_for_a_person(
    federation: Federation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = federation.approved(country="UA", rule=RULES[:2])
    rows = [f"A{k},067 123 45 67,1/2/1980" for k in range(150)]
    listed = tmp_path / "a.csv"
    listed.write_text("\n".join(["id_number,phone,birth date", *rows, ""]), "utf-8")
    command = ["contribute", record.id.hex(), str(listed), *federation.own("agency-a")]
    assert main(command) == 3
    told = capsys.readouterr().err
    for wanted in (
        "nothing has left this computer",
        "date_order",
        "one value stands on many rows",
        "(150 rows: 2, 3",
        "--accept",
    ):
        assert wanted in told
    assert not federation.operator.coordinator.get(record.id).commitments
    assert not (federation.configs["agency-a"].folder / "lists" / record.id.hex()).exists()
    assert main([*command, "--accept"]) == 0
    for name in ("agency-b", "agency-c"):
        path = tmp_path / f"{name}.csv"
        path.write_text("\n".join(["id_number,phone,birth date", *rows[:90], ""]), "utf-8")
        federation.member(name).contribute(record.id, path, accept=True)
    federation.operator.run(record.id)
    out = tmp_path / "out.csv"
    command = ["results", record.id.hex(), "--out", str(out), *federation.own("agency-a")]
    capsys.readouterr()
    assert main(command) == 3
    told = capsys.readouterr().err
    assert "90 of 150 rows match, more than half, and nothing has been written" in told
    assert not out.exists()
    assert not out.with_suffix(".html").exists()
    assert main([*command, "--accept"]) == 0
    assert [row["match"] for row in read(out)].count("yes") == 90
    assert out.stat().st_mode & 0o77 == out.with_suffix(".html").stat().st_mode & 0o77 == 0


def test_proposing_warns_of_weak_rules(
    federation: Federation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "manifest.toml").write_text(
        '[session]\ntitle = "t"\npurpose = "p"\nmembers = ["agency-a", "agency-b"]\n'
        'committee = ["agency-a", "agency-b", "neutral"]\nmax_records = 1000\nexpires = 2099-12-31T00:00:00Z\n'
        '[[rule]]\nname = "weak"\nfields = ["sex", "birth_date:year"]\n',
        "utf-8",
    )
    assert main(["session", "propose", str(tmp_path / "manifest.toml"), *federation.own(COORDINATOR)]) == 0
    out, err = capsys.readouterr()
    assert "Rule `weak` (sex + birth_date:year) is weak: of 1,000 rows compared with 1,000" in err
    assert main(["session", "show", out.strip(), *federation.own("agency-a")]) == 0
    assert "is weak" in capsys.readouterr().out


def test_a_result_has_the_lists_own_format(federation: Federation, tmp_path: Path) -> None:
    lists = {name: ["A1"] for name in MEMBERS}
    record = federation.ready(tmp_path, lists)
    federation.operator.run(record.id)
    own = federation.own("agency-a")
    assert main(["results", record.id.hex(), "--out", str(tmp_path / "out.xlsx"), *own]) == 2
    assert not (tmp_path / "out.xlsx").exists()
    assert main(["results", record.id.hex(), "--out", str(tmp_path / "out.csv"), "--json", *own]) == 0


def test_nothing_of_ones_own_is_written_over(
    federation: Federation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = federation.ready(tmp_path, {name: ["A1"] for name in MEMBERS})
    federation.operator.run(record.id)
    own, listed = federation.own("agency-a"), tmp_path / "agency-a.csv"
    before = listed.read_bytes()
    results = ["results", record.id.hex(), *own, "--out"]
    for wrong, says in (
        ([str(listed)], "is the list itself"),
        ([str(tmp_path / "out.csv"), "--page", str(listed)], "cannot be written as a page"),
        ([str(tmp_path / "out.csv"), "--page", str(tmp_path / "out.csv")], "cannot be written as a page"),
        ([str(tmp_path / "none" / "out.csv")], "there is no folder"),
        ([str(tmp_path / "out.csv"), "--page", str(tmp_path / "none" / "out.html")], "there is no folder"),
    ):
        assert main([*results, *wrong]) == 2
        assert says in capsys.readouterr().err
    assert main(["check", str(listed), "--page", str(listed)]) == 2
    assert listed.read_bytes() == before
    assert not list(tmp_path.glob("out*"))


def test_what_a_member_closed_it_is_told_of(
    federation: Federation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = federation.ready(tmp_path, {name: ["A1"] for name in MEMBERS})
    federation.operator.run(record.id)
    own = federation.own("agency-a")
    assert main(["results", record.id.hex(), "--out", str(tmp_path / "out.csv"), *own]) == 0
    capsys.readouterr()
    assert main(["session", "close", record.id.hex(), *own]) == 0
    assert "1 rows of its matches had no decision" in capsys.readouterr().out
    assert main(["results", record.id.hex(), "--out", str(tmp_path / "out.csv"), *own]) == 3
    assert "agency-a deleted its copy of the list and its matches on 2" in capsys.readouterr().err


def test_a_demo_in_which_each_list_has_a_map_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text("Card;When;Who\nA1;067 123 45 67;Olena K\nA2;;x\n", "utf-8")
    (tmp_path / "a.toml").write_text('[columns]\nid_number = "Card"\nphone = "When"\nfull_name = "Who"\n', "utf-8")
    (tmp_path / "b.csv").write_text("Number;full name\nB1;Olena K\na-1;y\n", "utf-8")
    (tmp_path / "common.toml").write_text('[columns]\nid_number = "Number"\n', "utf-8")
    (tmp_path / "rules.toml").write_text(
        '[[rule]]\nname = "id"\nfields = ["id_number"]\n[[rule]]\nname = "phone"\nfields = ["phone"]\n', "utf-8"
    )
    lists = [str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), "--map", str(tmp_path / "common.toml")]
    rules = ["--rules", str(tmp_path / "rules.toml"), "--country", "UA", "--out", str(tmp_path / "out")]
    assert main(["demo", "--lists", *lists, *rules]) == 0
    told = capsys.readouterr().out
    assert "Olena K, +380671234567"[:7] in told
    assert "b.csv has no column for `phone`" in told
    assert [row["match"] for row in read(tmp_path / "out" / "b.csv")] == ["no", "yes"]


def test_review_by_hand(federation: Federation, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A match that was judged distinct is not raised again in the next session, unless the record has changed."""
    own = federation.own("agency-a")

    def session(**changed: str) -> tuple[str, dict[str, object]]:
        rows = {"1": "A1,Olena Kovalchuk", "2": "A2,Ivan Boiko"} | changed
        (tmp_path / "a.csv").write_text("\n".join(["id_number,full_name", *rows.values(), ""]), "utf-8")
        record = federation.approved()
        federation.member("agency-a").contribute(record.id, tmp_path / "a.csv")
        for name in MEMBERS[1:]:
            federation.member(name).contribute(record.id, write_numbers(tmp_path / "b.csv", ["A1", "A2"]))
        federation.operator.run(record.id)
        capsys.readouterr()
        assert main(["results", record.id.hex(), "--out", str(tmp_path / "out.csv"), *own]) == 0
        capsys.readouterr()
        assert main(["review", "show", record.id.hex(), "--json", *own]) == 0
        return record.id.hex(), json.loads(capsys.readouterr().out)

    first, queue = session()
    assert "Kovalchuk" in (tmp_path / "out.csv").read_text("utf-8-sig")
    assert main(["review", "decide", first, "2", "distinct", "--by", "Olha", "--note", "spoke to both", *own]) == 0
    _, again = session()
    assert [row["review"].split(" ")[0] for row in read(tmp_path / "out.csv")] == ["distinct", ""]
    _, changed = session(**{"1": "A1,Olena Bondar"})
    assert [row["review"] for row in read(tmp_path / "out.csv")] == ["", ""]
    assert [q["counts"] for q in (queue, again, changed)] == [{"open": 2}, {"distinct": 1, "open": 1}, {"open": 2}]
