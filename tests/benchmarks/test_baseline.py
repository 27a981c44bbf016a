"""Whether a kernel that costs more is noticed, on figures that are made up, and on kernels that are run once."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mpc.kernel
from tests.benchmarks import __main__ as command
from tests.benchmarks import baseline, kernels, measure
from tests.benchmarks.baseline import Costs, Maker
from tests.benchmarks.kernels import KERNELS, Kernel

HERE = Maker("x86_64", True, "3.11", "2.4")
STORED = Costs(
    HERE, {"instructions": {"calibration": 1.0, "encrypt": 90.0}, "time": {"calibration": 1.0, "encrypt": 80.0}}
)


def today(kind: str, ratio: float, maker: Maker = HERE) -> Costs:
    """Costs as they are stored but for one."""
    return Costs(maker, STORED.ratios | {kind: STORED.ratios[kind] | {"encrypt": ratio}})


@pytest.mark.parametrize(("kind", "ratio"), [("instructions", 99.5), ("time", 321.0)])
def test_what_costs_more_is_named(kind: str, ratio: float) -> None:
    (fault,) = baseline.faults(STORED, today(kind, ratio))
    assert fault.startswith(f"encrypt: {kind} grew to ")
    assert "make bench-kernels UPDATE=1" in fault


@pytest.mark.parametrize(("kind", "ratio"), [("instructions", 98.5), ("instructions", 30.0), ("time", 319.0)])
def test_what_costs_a_little_more_or_less_is_let_pass(kind: str, ratio: float) -> None:
    assert not baseline.faults(STORED, today(kind, ratio))


@pytest.mark.parametrize(
    ("maker", "kinds"),
    [
        (replace(HERE, python="3.13"), {"instructions"}),
        (replace(HERE, numpy="2.5"), {"instructions"}),
        (replace(HERE, machine="aarch64"), {"instructions", "time"}),
        (replace(HERE, compiled=False), {"instructions", "time"}),
        (HERE, set()),
    ],
)
def test_costs_of_another_machine_are_not_compared(maker: Maker, kinds: set[str]) -> None:
    assert set(baseline.incomparable(HERE, maker)) == kinds
    for kind in ("instructions", "time"):
        assert bool(baseline.faults(STORED, today(kind, 1e6, maker))) == (kind not in kinds)


def test_a_kernel_that_only_one_side_has_is_named() -> None:
    renamed = {kind: {"calibration": 1.0, "encipher": 90.0} for kind in STORED.ratios}
    faults = baseline.faults(STORED, Costs(HERE, renamed))
    assert [fault.split(":")[0] for fault in faults] == ["encipher", "encrypt"]
    assert "not in the baseline" in faults[0]
    assert "not measured" in faults[1]


def test_without_instructions_time_alone_is_compared() -> None:
    slow = today("time", 400.0)
    (fault,) = baseline.faults(STORED, replace(slow, ratios={"time": slow.ratios["time"]}))
    assert fault.startswith("encrypt: time")


def test_a_baseline_is_read_as_it_was_written(tmp_path: Path) -> None:
    STORED.save(tmp_path / "baseline.json")
    assert baseline.load(tmp_path / "baseline.json") == STORED


def test_the_stored_baseline_is_of_these_kernels() -> None:
    stored = baseline.load(baseline.PATH)
    assert set(stored.ratios) == {"instructions", "time"}
    assert all(set(each) == set(KERNELS) for each in stored.ratios.values())
    assert all(each["calibration"] == 1.0 for each in stored.ratios.values())


def test_instructions_are_those_between_the_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "KERNELS", {name: Kernel(name, 10, lambda: dict) for name in ("one", "two")})
    dumps = "".join(f"part: {k}\nsummary: {n}\ntotals: {n}\n" for k, n in enumerate((9999, 50, 777, 60, 8888)))
    assert measure.per_row(dumps, ["one", "two"]) == {"one": 5.0, "two": 6.0}
    with pytest.raises(ValueError, match="zip"):
        measure.per_row(dumps, ["one", "two", "three"])


def test_table() -> None:
    per_row = {"instructions": {"calibration": 50.0, "encrypt": 5000.0}, "time": {"calibration": 1e-8, "encrypt": 5e-7}}
    lines = baseline.table(per_row, {"instructions": {"calibration": 1.0, "encrypt": 1.111}}).splitlines()
    assert re.split("  +", lines[0]) == ["kernel", "instructions a row", "grown", "s a million rows", "grown"]
    assert lines[2].split() == ["encrypt", "5000", "1.11", "0.5", "new"]
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize("costs", [40.0, 50.0])
def test_the_command_fails_where_a_kernel_costs_more(
    costs: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "baseline.json"
    found = {"calibration": 1.0, "encrypt": 40.0}
    monkeypatch.setattr(measure, "counted", lambda: found)
    monkeypatch.setattr(measure, "timed", lambda: {"calibration": 1e-8, "encrypt": 1e-6})
    assert command.main(["--update"], path) == 0
    found["encrypt"] = costs
    assert command.main([], path) == (1 if costs > 44 else 0)
    assert ("grew to 1.25" in capsys.readouterr().out) == (costs > 44)


@pytest.mark.parametrize("name", [name for name in KERNELS if not name.endswith(", NumPy")])
def test_every_kernel_can_be_repeated(name: str) -> None:
    run = KERNELS[name].prepare()
    run()
    run()


def test_numpy_is_measured_beside_compiled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def prepare() -> Callable[[], object]:
        return lambda: seen.append(mpc.kernel.COMPILED)

    monkeypatch.setattr(mpc.kernel, "COMPILED", True)
    monkeypatch.setattr(kernels, "KERNELS", {})
    kernels.tapes("sample")(prepare)
    for each in kernels.KERNELS.values():
        each.prepare()()
    assert list(kernels.KERNELS) == ["sample", "sample, NumPy"]
    assert seen == [True, False]
    assert mpc.kernel.COMPILED


def test_arrays_are_the_same_at_every_run() -> None:
    kept = kernels.random(4, 2).copy()
    kernels.random.cache_clear()
    assert np.array_equal(kernels.random(4, 2), kept)
