"""The measurements of similar rules behind docs/quality.md, on lists small enough to count by hand, or made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mpc import similar
from parties.rules import Rule
from parties.similar import Block, Compared, Similar, from_toml
from tests.quality import minhash, samples
from tests.quality.evaluate import by_rules
from tests.quality.likeness import CONFUSED, Likeness
from tests.quality.pooled import Pooled
from tests.quality.ranking import Ranking, Rates, coded, true_pairs
from tests.quality.train import trained

LIST = "ID number,Full name,Phone\n"
ID = Rule("id", ("id_number",))
RULE = Similar(
    (Block(("id_number",), 1), Block(("phone",), 1)),
    (Compared("full_name", "names", 4, (-9, 1, 2, 3, 4, 5, 6)), Compared("phone", "number", 1, (-5, 2, 10))),
    (10,),
    50,
)


def of(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


@pytest.fixture
def ann_and_dan(tmp_path: Path) -> Likeness:
    """Three lists: Ann is in all of them, with two phones; Dan has one of her phones."""
    rows = ("AB1001,Ann Other,+380671112233", "AB1001,Ann Other,+380671112244", "AB1004,Dan Kent,+380671112233")
    paths = tuple(tmp_path / f"{k}.csv" for k in range(3))
    for path, row in zip(paths, rows, strict=True):
        path.write_text(f"{LIST}{row}\n", "utf-8")
    return Likeness.of(samples.Sample("small", paths, (of(1), of(1), of(4)), country="UA"), RULE)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Likeness:
    """Three made-up lists under the usual preset."""
    sample = samples.generated(tmp_path_factory.mktemp("lists"), 500, members=3)
    return Likeness.of(sample, from_toml({}, "grade"))


def test_pairs_and_their_scores(ann_and_dan: Likeness) -> None:
    assert ann_and_dan.true.tolist() == [[0, 1]]
    assert ann_and_dan.pairs.tolist() == [[0, 1], [0, 2]]
    assert ann_and_dan.same.tolist() == [True, False]
    assert ann_and_dan.scores.tolist() == [4 + 2, -9 + 10]
    assert ann_and_dan.ranking.best.tolist() == [6, 6, 1]
    assert ann_and_dan.ranking.rates(1) == Rates(shared=2, found=2, others=1, wrong=1)
    assert ann_and_dan.ranking.rates(2) == Rates(shared=2, found=2, others=1, wrong=0)


def test_each_block_by_itself_and_with_those_before(ann_and_dan: Likeness) -> None:
    found = [(b.name, b.pairs, b.recall, b.joint_recall) for b in ann_and_dan.by_block()]
    assert found == [("id_number", 1, 1.0, 1.0), ("phone", 1, 0.0, 1.0)]
    assert ann_and_dan.group_sizes.tolist() == [2, 2]


def test_rates() -> None:
    rates = Rates(shared=4, found=3, others=10, wrong=1)
    assert (rates.recall, rates.false_positives, rates.precision) == (0.75, 0.1, 0.75)
    assert Rates(0, 0, 0, 0).recall == 0


def test_the_threshold_that_lets_a_part_of_the_others_pass() -> None:
    ranking = Ranking(np.array([9, 7, 5, 3, 8, 5, 1, -np.inf]), np.array([True] * 4 + [False] * 4))
    assert ranking.at_most(0.0) == Rates(4, 1, 4, 0)
    assert ranking.at_most(0.25) == Rates(4, 2, 4, 1)  # the others that score 5 come together with one of the shared
    assert ranking.at_most(0.5) == Rates(4, 4, 4, 2)
    assert ranking.at_most(1.0).found == 4
    many = Ranking(np.arange(49.0), np.zeros(49, bool))
    assert [many.at_most(k / 49).wrong for k in range(50)] == list(range(50))


def test_records_of_one_tradition() -> None:
    ranking = Ranking(np.array([1.0, 2.0]), np.array([True, True]), np.array(["Hausa", "Arabic"]))
    assert ranking.rates(2, "Arabic") == Rates(1, 1, 0, 0)
    assert ranking.rates(2, "Hausa") == Rates(1, 0, 0, 0)
    assert ranking.rates(2) == Rates(2, 1, 0, 0)


def test_recall_is_within_its_interval() -> None:
    eight_of_ten = Rates(shared=20, found=16, others=0, wrong=0).recall_interval  # two records of each person
    assert eight_of_ten == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert Rates(20, 20, 0, 0).recall_interval == pytest.approx((1 / (1 + 1.96**2 / 10), 1))
    assert Rates(0, 0, 0, 0).recall_interval[0] == 0


def test_samples_are_counted_together(made_up: Likeness, ann_and_dan: Likeness) -> None:
    assert Rates.total([Rates(1, 2, 3, 4), Rates(10, 20, 30, 40)]) == Rates(11, 22, 33, 44)
    one, other = made_up.ranking, replace(ann_and_dan.ranking, traditions=np.array(["Hausa"] * 3))
    both = Ranking.pooled([one, other])
    for tradition in ("", "Hausa", "Arabic"):
        parts = [ranking.rates(1, tradition) for ranking in (one, other)]
        assert both.rates(1, tradition) == Rates.total(parts)
    assert Ranking.pooled([ann_and_dan.ranking] * 2).traditions is None


def test_pairs_of_lists_are_counted_together(tmp_path: Path) -> None:
    people = [by_rules(samples.generated(tmp_path, 300, seed=seed), (ID,), {}) for seed in (1, 2)]
    pooled = Pooled.of(people, from_toml({}, "grade"))
    least = pooled.rule.thresholds[0]
    alone = [likeness.ranking.rates(least) for likeness in pooled.likenesses]
    assert pooled.ranking.rates(least) == Rates.total(alone)
    exact, either = pooled.rates("id"), pooled.either("id", least)
    assert exact.shared == either.shared == sum(rates.shared for rates in alone)
    assert exact.found < either.found >= Rates.total(alone).found
    wrong = [int((~each.same & (each.scores >= least)).sum()) for each in pooled.likenesses]
    assert sum(pairs.wrong for pairs in pooled.strangers(least).values()) == sum(wrong)


def test_pairs_of_one_person_are_of_different_lists() -> None:
    people = [of(5, 6, 5), of(7, 5), of(6)]
    assert true_pairs(people).tolist() == [[0, 4], [1, 5], [2, 4]]
    assert true_pairs([of(), of()]).tolist() == []


def test_what_is_measured_is_what_members_learn(made_up: Likeness) -> None:
    values = similar.plain(made_up.linkage, made_up.records, made_up.sample.sizes)
    for grade, least in enumerate(made_up.linkage.thresholds):
        assert np.array_equal((values >> grade & 1).astype(bool), made_up.ranking.best >= least)
    assert made_up.ranking.rates(made_up.linkage.thresholds[1]).recall > 0.97


def test_blocks_together_compare_what_the_rule_compares(made_up: Likeness) -> None:
    *_, last = made_up.by_block()
    assert last.joint_recall == made_up.blocking_recall > 0.98
    assert sum(b.keys for b in made_up.by_block()) == made_up.linkage.keys


def test_two_people_are_counted_by_what_makes_them_alike(made_up: Likeness) -> None:
    found = made_up.strangers(made_up.linkage.thresholds[0])
    assert tuple(found) == CONFUSED
    assert sum(pairs.compared for pairs in found.values()) == int((~made_up.same).sum())
    wrong = ~made_up.same & (made_up.scores >= made_up.linkage.thresholds[0])
    assert sum(pairs.wrong for pairs in found.values()) == int(wrong.sum())


def test_lists_that_lack_a_field(tmp_path: Path) -> None:
    whole, lacking = (samples.generated(tmp_path, 60, without=fields) for fields in ((), ("phone",)))
    assert whole.registered == lacking.registered
    rule = replace(from_toml({}, "grade"), blocks=(Block(("phone",), 1),))
    assert len(Likeness.of(whole, rule).pairs) > 0
    assert len(Likeness.of(lacking, rule).pairs) == 0


def test_bands_agree_where_records_are_alike(made_up: Likeness) -> None:
    loose, strict = (made_up.by_keys("", minhash.keys(made_up.sample, 8, rows)) for rows in (2, 6))
    assert loose.keys == strict.keys == 8
    assert loose.recall > 0.9
    assert strict.pairs < loose.pairs
    assert strict.recall < loose.recall


def test_bands_are_the_same_again_and_apart_from_each_other(tmp_path: Path) -> None:
    sample = samples.generated(tmp_path, 20)
    keys = minhash.keys(sample, 4, 1)
    assert np.array_equal(keys, minhash.keys(sample, 4, 1))
    assert keys.shape == (40, 4, 2)
    assert not {*keys[:, 0, 0].tolist()} & {*keys[:, 1, 0].tolist()}


def test_weights_are_learnt_from_several_lists(tmp_path: Path) -> None:
    rule = replace(from_toml({}, "grade"), thresholds=(1,))
    begun = replace(rule, comparisons=tuple(replace(c, weights=(0,) * len(c.weights)) for c in rule.comparisons))
    lists = [samples.generated(tmp_path, 400, seed=seed) for seed in (1, 2)]
    taught = trained(begun, lists)
    rates = [Likeness.of(lists[0], each).ranking.rates(each.thresholds[0]) for each in (begun, taught)]
    assert rates[0].found == 0  # nothing weighs anything
    assert rates[1].recall > 0.95
    assert rates[1].false_positives < 0.01


def test_pairs_as_numbers() -> None:
    assert coded(np.array([[0, 3], [2, 1]]), 4).tolist() == [3, 9]
