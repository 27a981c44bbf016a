"""`matchbit tune` on made-up lists: what it learns, what it says, and the rule that it writes."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mpc.linkage import LEVELS, Kind
from parties import generator, similar
from parties.cli import main
from parties.fields import open_list
from parties.manifestfile import rules_file
from parties.similar import Similar
from parties.tune import LEVEL_NAMES, STAYS_HERE, Tuned, report_text, to_toml, tuned_on
from parties.tuning import APART

ROWS = 3_000


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two lists with a column that says who is who."""
    folder = tmp_path_factory.mktemp("lists")
    for name, made in generator.generate(["left", "right"], ROWS, 0.2, 11).items():
        rows = [[*row, f"P{person}"] for row, person in zip(made.rows, made.people, strict=True)]
        generator.write_csv(folder / f"{name}.csv", replace(made, headings=(*made.headings, "person"), rows=rows))
    return folder / "left.csv", folder / "right.csv"


def base() -> Similar:
    return similar.from_toml({}, "grade")


def tuned(paths: tuple[Path, ...], labels: str = "") -> tuple[Tuned, list[str]]:
    return tuned_on([open_list(path) for path in paths], base(), generator.COUNTRY, labels)


def at(found: Tuned, threshold: int) -> tuple[float, float]:
    prediction = next(p for p in found.predictions if p.threshold == threshold)
    return prediction.recall, prediction.wrong


def test_two_lists_with_labels_and_without(lists: tuple[Path, Path]) -> None:
    (known, told), (guessed, said) = tuned(lists, "person"), tuned(lists)
    assert not [sentence for sentence in (*told, *said) if not sentence.startswith("Thresholds fall: ")]
    assert known.blocked is not None
    assert known.blocked > 0.98
    assert guessed.blocked is None
    assert guessed.pairs == pytest.approx(known.pairs, rel=0.03)
    for found in (known, guessed):
        similar.check(found.similar, "grade")
        assert found.similar.blocks == base().blocks
        assert at(found, found.similar.thresholds[1])[0] > 0.95
        assert at(found, found.similar.thresholds[1])[1] <= 0.001
        assert found.similar.comparisons != base().comparisons
    shares = [np.abs(a - b).max() for a, b in zip(known.same, guessed.same, strict=True)]
    assert max(shares) < 0.05


def test_a_list_is_compared_with_itself(lists: tuple[Path, Path]) -> None:
    found, _ = tuned(lists[:1], "person")
    assert found.pairs == pytest.approx(0.03 * ROWS, rel=0.1)


def test_a_list_without_duplicates_teaches_what_is_flagged_wrongly(tmp_path: Path) -> None:
    (made,) = generator.generate(["one"], ROWS, 0.0, 12).values()
    once = dict(zip(made.people, made.rows, strict=True))
    generator.write_csv(tmp_path / "one.csv", replace(made, rows=list(once.values())))
    found, (few, unknown) = tuned((tmp_path / "one.csv",))
    assert few.startswith(("No pairs of records are ", "Only "))
    assert "too few to learn from" in few
    assert "Whether records are flagged rightly is not known" in unknown
    assert found.similar == base()
    assert found.pairs == 0
    assert 0 < at(found, found.similar.thresholds[0])[1] < 0.05
    text = report_text(found)
    assert "flagged, rightly or not" in text
    assert "flagged wrongly" not in text
    assert "same person" not in text
    assert {line.split()[1] for line in text.splitlines()[-5:]} == {"-"}


def test_the_command_writes_a_rule_for_the_terms(
    lists: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rules.toml").write_text('[[rule]]\nname = "x"\nkind = "similar"\nthresholds = [30]\n', "utf-8")
    command = ["tune", str(lists[0]), "--other", str(lists[1]), "--labels", "person", "--country", "UA"]
    assert main([*command, "--rules", str(tmp_path / "rules.toml"), "--out", str(tmp_path / "rule.toml")]) == 0
    out = capsys.readouterr().out
    assert "by their labels" in out
    assert "three or more, no others" in out
    assert "probable" in out
    assert out.rstrip().endswith(STAYS_HERE)
    written = tomllib.loads((tmp_path / "rule.toml").read_text("utf-8"))
    ((rule,), _, _) = rules_file({"session": {"reveal": "grade"}} | written)
    assert rule.similar is not None
    assert rule.similar.thresholds == tuple(written["rule"][0]["thresholds"])


def test_without_a_file_the_rule_is_shown(lists: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", str(lists[0])]) == 0
    out = capsys.readouterr().out
    assert "as expected from how they agree" in out
    shown = out[out.index("[[rule]]") : out.index(STAYS_HERE)]
    assert similar.from_toml(tomllib.loads(shown)["rule"][0] | {"tradition": "general"}, "grade").largest_group == 50


def test_a_rule_is_written_as_it_is_read() -> None:
    (table,) = tomllib.loads(to_toml(base()))["rule"]
    assert similar.from_toml({k: v for k, v in table.items() if k in similar.ENTRIES}, "grade") == base()


def test_every_level_has_a_name() -> None:
    assert {kind: len(names) for kind, names in LEVEL_NAMES.items()} == {kind: LEVELS[kind] for kind in Kind}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "No two records share a blocking key"),
        (["--labels", "person"], "no column `person`: give --labels one of these headings: phone, name"),
        (["--country", "Ukraine"], "country"),
        (["--rules", "exact.toml"], 'has no rule of `kind` "similar"'),
        (["--other", "list.csv"], "is given as LIST and as --other"),
        (["--other", "./list.csv"], "is given as LIST and as --other"),
        (["--other", "short.csv"], "short.csv is too short to learn from: it has 2 rows, of 20 at least"),
        (["--other", "strange.csv"], "No block of the similar rule can be made of"),
        (["--other", "strange.csv"], "Its columns are: a, b."),
        (["--out", "exact.toml"], "exact.toml is there already; give --out another name"),
        (["--out", "nowhere/rule.toml"], "there is no folder"),
    ],
)
def test_what_cannot_be_done_is_said(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    phones = "".join(f"06712345{k},Olena\n" for k in range(10, 30))
    for name, text in {
        "list.csv": f"phone,name\n{phones}",
        "short.csv": "phone\n0671234510\n0671234511\n",
        "strange.csv": "a,b\n1,2\n",
        "exact.toml": '[[rule]]\nname = "id"\nfields = ["id_number"]\n',
    }.items():
        (tmp_path / name).write_text(text, "utf-8")
    assert main(["tune", "list.csv", "--country", "UA", *arguments]) == 2
    assert sentence in capsys.readouterr().err
    assert (tmp_path / "exact.toml").read_text("utf-8").startswith("[[rule]]")


def test_columns_that_a_list_lacks_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "list.csv").write_text("full_name,birth_date\n" + "Olena Boiko,1980-03-04\n" * 20, "utf-8")
    assert main(["tune", str(tmp_path / "list.csv")]) == 0
    out, said = capsys.readouterr()
    assert "There is nothing to compare of `id_number`, `phone`, `admin2`, `sex`" in said
    assert f"thresholds = {list(base().thresholds)}\n" in out


def test_a_list_of_one_field_keeps_the_thresholds(lists: tuple[Path, Path], tmp_path: Path) -> None:
    """What its pairs reach says nothing of sums over all comparisons."""
    (tmp_path / "ids.csv").write_text("id_number\n" + "".join(f"FN{k % 300:06}\n" for k in range(600)), "utf-8")
    found, (sentence,) = tuned((tmp_path / "ids.csv",))
    assert found.pairs > 200
    assert found.similar.thresholds == base().thresholds
    assert "`phone`" in sentence
    assert "`id_number`" not in sentence


def test_wrong_labels_make_no_rule_that_finds_everybody_unsaid(lists: tuple[Path, Path]) -> None:
    found, (sentence,) = tuned(lists, "sex")
    possible, probable, certain = found.similar.thresholds
    assert possible + APART <= probable <= certain - APART
    assert certain >= base().thresholds[-1]
    assert possible < base().thresholds[0]
    assert sentence.startswith(f"Thresholds fall: possible from {base().thresholds[0]} to {possible}")
    assert "and if `sex` is equal just where two rows are of one person" in sentence
