"""Plots of a small report, flame graphs of a few samples."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests import drawing
from tests.benchmarks import plots, profiling
from tests.drawing import Axis

SVG = "{http://www.w3.org/2000/svg}"


def step(rows: int, rate: str = "") -> dict[str, Any]:
    """What the benchmark says, as far as plots read it."""
    node = {"sent_bytes": 400 * rows, "peak_rss_bytes": 100_000_000 + 120 * rows, "idle_rss_bytes": 80_000_000}
    return {
        "step": {"rate": rate},
        "members": 3,
        "rows": dict.fromkeys("abc", rows),
        "wall_s": rows / 1000,
        "seconds": {"compute": rows / 2000},
        "rows_per_s": 20_000,
        "committee": {"a": node, "b": node | {"sent_bytes": 1}},
    }


def elements(svg: str, name: str) -> list[ET.Element]:
    return list(ET.fromstring(svg).iter(f"{SVG}{name}"))  # noqa: S314 - our own


def test_plots_are_of_what_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "images").mkdir()
    growth = {"scenarios": [{"name": "growth", "steps": [step(10_000), step(1_000), step(100_000)]}]}
    lines = {"scenarios": [{"name": "lines", "steps": [step(1_000, "10mbit"), step(1_000, "1gbit")]}]}
    (tmp_path / "figures" / "growth.json").write_text(json.dumps(growth), "utf-8")
    (tmp_path / "figures" / "lines.json").write_text(json.dumps(lines), "utf-8")
    plots.main(tmp_path)
    names = {f"performance-{name}.svg" for name in ("time-rows", "bytes-rows", "memory-rows", "speed-line")}
    assert {path.name for path in (tmp_path / "images").iterdir()} == names
    assert set(capsys.readouterr().out.split()) == names
    svg = (tmp_path / "images" / "performance-time-rows.svg").read_text("utf-8")
    words = [element.text for element in elements(svg, "text")]
    assert {"seconds", "rows of all three members", "whole session", "computation"} <= set(words)
    whole, compute = elements(svg, "polyline")
    across = [[float(place.split(",")[0]) for place in line.get("points", "").split()] for line in (whole, compute)]
    assert across[0] == across[1] == sorted(across[0])
    assert "prefers-color-scheme:dark" in svg


def test_peers_are_bars() -> None:
    document = {"title": "Beside others", "peers": [{"name": "ours", "wall_s": 8.0, "cpu_s": 12.0}]}
    (svg,) = plots.drawn([document]).values()
    assert {"ours", "8", "12"} <= {element.text for element in elements(svg, "text")}


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([3.0, 40.0], (2, 5, 10, 20, 50)),
        ([1.0, 1.0], (1, 2)),
        ([0.3, 9.0], (0.2, 0.5, 1, 2, 5, 10)),
        ([3e3, 3e7], (2e3, 1e4, 1e5, 1e6, 1e7, 5e7)),
        ([90e6, 150e6], (5e7, 1e8, 2e8)),
    ],
)
def test_axes_end_at_round_values(values: list[float], ticks: tuple[float, ...]) -> None:
    axis = Axis.over("seconds", values)
    assert axis.ticks == ticks
    assert axis.place(ticks[0]) == 0
    assert axis.place(ticks[-1]) == 1
    assert all(0 <= axis.place(value) <= 1 for value in values)


def test_what_grows_in_proportion_is_straight() -> None:
    svg = drawing.curves("Time", ("rows", "s"), {"one": [(10, 1), (100, 10), (1000, 100)]})
    (line,) = elements(svg, "polyline")
    first, second, third = ([float(v) for v in place.split(",")] for place in line.get("points", "").split())
    assert second == pytest.approx([(a + b) / 2 for a, b in zip(first, third, strict=True)], abs=0.1)


RAW = """\
Thread._bootstrap (threading.py:1002);Thread.run (threading.py:982);_worker (concurrent/futures/thread.py:81) 90
Thread.run (threading.py:982);tag.<locals>.encrypted (mpc/engine.py:199);on_planes (mpc/bitslice.py:90);\
encrypt (mpc/aes.py:224);multiply (mpc/multiply.py:116);run (mpc/kernel.py:65) 6
Thread.run (threading.py:982);tag.<locals>.encrypted (mpc/engine.py:199);on_planes (mpc/bitslice.py:90);\
encrypt (mpc/aes.py:225);multiply (mpc/multiply.py:117);run (mpc/kernel.py:66) 2
Thread.run (threading.py:982);Admission._answer (parties/admission.py:9);Sent.Contribute (parties/node.py:74);\
execute (sqlite3.py:1) 1
Thread.run (threading.py:982);consume (grpc/_channel.py:276) 1
"""


def test_samples_become_shares() -> None:
    found = profiling.stacks(RAW)
    assert found.total() == 10
    assert len(found) == 3
    assert profiling.shares(found, profiling.phase) == {
        "computing: encrypt": 0.8,
        "parties/node Contribute": 0.1,
        "(gRPC's Python)": 0.1,
    }
    assert profiling.shares(found, profiling.place) == {
        "mpc/kernel run": 0.8,
        "parties/node Contribute": 0.1,
        "(grpc)": 0.1,
    }
    shown = profiling.parts("what for", {"a": {"x": 0.999, "y": 0.001}, "b": {"x": 1.0}}, "{:.1%}").splitlines()
    assert [line.split() for line in shown] == [["what", "for", "a", "b"], ["x", "99.9%", "100.0%"]]


def test_boxes_of_a_flame_graph_are_as_wide_as_their_samples() -> None:
    svg = drawing.flames("agency-a", Counter({("f", "<g>"): 3, ("f",): 1, ("h",): 4}))
    widths = {group[0].text: float(group[1].get("width", "")) for group in elements(svg, "g")}
    assert widths == {"f, 50.0%": 600.0, "<g>, 37.5%": 450.0, "h, 50.0%": 600.0}
