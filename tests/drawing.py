"""Plots as SVG that stands alone, in colours for a light and for a dark page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

_STYLE = (
    "text{font:13px sans-serif;fill:#24292f}.t{font-weight:bold}.a{fill:#0969da}.b{fill:#bf8700}.c{fill:#8250df}"
    "polyline{fill:none;stroke-width:2}.la{stroke:#0969da}.lb{stroke:#bf8700}.lc{stroke:#8250df}.g{stroke:#8c959f;stroke-opacity:.4}"
    ".f{font-size:11px}.f0{fill:#ffd8b5}.f1{fill:#ffe8a3}.f2{fill:#ffc2b8}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.a{fill:#58a6ff}.b{fill:#e3b341}.c{fill:#d2a8ff}"
    ".la{stroke:#58a6ff}.lb{stroke:#e3b341}.lc{stroke:#d2a8ff}"
    ".f0{fill:#7a4100}.f1{fill:#6b5500}.f2{fill:#7d2a20}}"
)
_LEFT, _BAR, _RIGHT, _LINE = 180, 440, 60, 15
_PLOT_LEFT, _PLOT_TOP, _PLOT_WIDTH, _PLOT_HEIGHT = 70, 60, 560, 260
_FLAMES, _BOX = 1200, 18
MOST_TICKS = 7


def document(title: str, width: float, height: float, parts: Iterable[str]) -> str:
    """A whole SVG of parts, without its own background."""
    size = f'viewBox="0 0 {width:g} {height:g}"'
    label = f'role="img" aria-label="{escape(title)}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {label}>\n<style>{_STYLE}</style>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def text(x: float, y: float, words: str, more: str = "") -> str:
    """Words that begin at a place, unless `more` has another anchor."""
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{escape(words)}</text>'


def rect(x: float, y: float, width: float, kind: str) -> str:
    """A bar of one of the colours."""
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="12"/>'


def bars(title: str, kinds: tuple[str, str], groups: Mapping[str, tuple[float, float]]) -> str:
    """Two bars, of two kinds, for each group."""
    most = max((value for pair in groups.values() for value in pair), default=0) or 1
    parts = [
        text(0, 16, title, ' class="t"'),
        text(_LEFT + 16, 38, kinds[0]),
        text(_LEFT + 216, 38, kinds[1]),
    ]
    parts += [rect(_LEFT, 27, 12, "a"), rect(_LEFT + 200, 27, 12, "b")]
    top = 52.0
    for name, values in groups.items():
        parts.append(text(_LEFT - 8, top + _LINE + 3, name, ' text-anchor="end"'))
        for kind, value in zip("ab", values, strict=True):
            width = _BAR * value / most
            shown = f"{round(value, 1 if value >= 1 else 2):,g}"
            parts += [rect(_LEFT, top, width, kind), text(_LEFT + width + 5, top + 11, shown)]
            top += _LINE
        top += _LINE / 2
    return document(title, _LEFT + _BAR + _RIGHT, top, parts)


@dataclass(frozen=True)
class Axis:
    """How values become places: at equal distances for equal ratios, between values of one digit: 1, 2 or 5.

    Attributes:
        label: what it shows, with its unit.
        ticks: values with a line of the grid, at least two; the axis begins at the first and ends at the last.
    """

    label: str
    ticks: tuple[float, ...]

    @classmethod
    def over(cls, label: str, values: Iterable[float]) -> Axis:
        """One that has room for all values, which are above zero."""
        least, most = min(values := list(values)), max(values)
        powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
        round_ones = [float(f"{step}e{power}") for power in powers for step in (1, 2, 5)]
        first = max(value for value in round_ones if value <= least)
        last = min(value for value in (*round_ones, 10 * round_ones[-3]) if value >= most and value > first)
        within = [value for value in round_ones if first <= value < last] + [last]
        whole = [v for v in within if v in (first, last) or f"{v:e}".startswith("1.0")]
        return cls(label, tuple(within if len(within) <= MOST_TICKS else whole))

    def place(self, value: float) -> float:
        """0 at the beginning, 1 at the end."""
        return math.log(value / self.ticks[0]) / math.log(self.ticks[-1] / self.ticks[0])


def curves(title: str, labels: tuple[str, str], series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """At most three lines of points, over logarithmic axes.

    Args:
        title: of the plot.
        labels: of both axes, with units.
        series: for each line its points, whose values are above zero.
    """
    across, up = (Axis.over(label, [p[k] for ps in series.values() for p in ps]) for k, label in enumerate(labels))

    def at(x: float, y: float) -> tuple[float, float]:
        return _PLOT_LEFT + _PLOT_WIDTH * across.place(x), _PLOT_TOP + _PLOT_HEIGHT * (1 - up.place(y))

    (left, bottom), (right, top) = at(across.ticks[0], up.ticks[0]), at(across.ticks[-1], up.ticks[-1])
    parts = [text(0, 16, title, ' class="t"'), text(0, 38, labels[1])]
    for tick in across.ticks:
        x = at(tick, up.ticks[0])[0]
        parts += [_line(x, bottom, x, top), text(x, bottom + 18, short(tick), ' text-anchor="middle"')]
    for tick in up.ticks:
        y = at(across.ticks[0], tick)[1]
        parts += [_line(left, y, right, y), text(left - 8, y + 4, short(tick), ' text-anchor="end"')]
    parts.append(text(right, bottom + 38, labels[0], ' text-anchor="end"'))
    for number, (kind, (name, points)) in enumerate(zip("abc", series.items(), strict=False)):
        places = [at(x, y) for x, y in points]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline class="l{kind}" points="{joined}"/>')
        parts += [f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>' for x, y in places]
        start = left + 190 * number
        parts += [rect(start, bottom + 52, 12, kind), text(start + 16, bottom + 63, name)]
    return document(title, right + 40, bottom + 72, parts)


def short(value: float) -> str:
    """A number of few digits: 20k, 3M, 0.5."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="g" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def flames(title: str, stacks: Mapping[tuple[str, ...], int]) -> str:
    """A flame graph: a box for each frame, as wide as its samples are many; frames that it called stand on it.

    Args:
        title: of the drawing.
        stacks: number of samples of each stack, from the outermost frame.
    """
    total, depth = max(sum(stacks.values()), 1), max(map(len, stacks), default=0)
    boxes: list[str] = []

    def draw(inner: Mapping[tuple[str, ...], int], level: int, left: float) -> None:
        by_frame: dict[str, dict[tuple[str, ...], int]] = {}
        for stack, number in inner.items():
            if stack:
                by_frame.setdefault(stack[0], {})[stack[1:]] = number
        for frame, above in sorted(by_frame.items()):
            number = sum(above.values())
            width = _FLAMES * number / total
            if width >= 1:
                boxes.append(_box(left, 30 + (depth - level - 1) * _BOX, width, frame, number / total))
                draw(above, level + 1, left)
            left += width

    draw(stacks, 0, 0.0)
    return document(title, _FLAMES, 40 + depth * _BOX, [text(0, 16, title, ' class="t"'), *boxes])


def _box(x: float, y: float, width: float, frame: str, share: float) -> str:
    """A frame; its whole name shows where the pointer is."""
    fits = frame[: int(width / 6.5)]
    inside = text(x + 2, y + 13, fits, ' class="f"') if len(fits) > 3 else ""
    shape = f'<rect class="f{sum(frame.encode()) % 3}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}"'
    return f'<g><title>{escape(frame)}, {share:.1%}</title>{shape} height="{_BOX - 1}"/>{inside}</g>'
