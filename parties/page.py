"""One page for a browser: a result, a look at a list, a session's story.

Pages are self-contained and without scripts; they print and read aloud well, and are well-formed XML too. Whatever is
not `Markup` is escaped where it is put in.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from html import escape

from parties.check import ListCheck
from parties.findings import Finding
from parties.manifest import Manifest
from parties.results import REVIEW, Summary
from parties.revealed import LEARNS, SIMILAR, committee_learns, trust
from parties.shown import shown
from parties.story import Story
from parties.table import COUNTED, SUBTRACTED, Table

_NUMBERS = ("rows", "people", "share", "repeat others")
_UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"/>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
"""
_STYLE = """
:root { color-scheme: light dark; --text: #1d2733; --quiet: #5a6675; --line: #dbe1e8; --back: #fff; --card: #f4f6f9;
  --bar: #2f6fb5; --stop: #b3261e; --warning: #8a5300; --note: #2f6fb5 }
@media (prefers-color-scheme: dark) { :root { --text: #e6eaf0; --quiet: #a3aebb; --line: #39424e; --back: #14181d;
  --card: #1e242b; --bar: #6aa5e3; --stop: #ff8a80; --warning: #f0b455; --note: #6aa5e3 } }
@media print { :root { color-scheme: light; --text: #000; --quiet: #444; --line: #bbb; --back: #fff; --card: #fff;
  --bar: #2f6fb5; --stop: #b3261e; --warning: #8a5300; --note: #2f6fb5 } body { padding: 0 } }
body { font: 16px/1.5 system-ui, "Segoe UI", "Noto Sans", "Noto Sans Arabic", sans-serif; color: var(--text);
  background: var(--back); max-width: 68rem; margin: 0 auto; padding: 2rem 1rem; overflow-wrap: break-word;
  print-color-adjust: exact; -webkit-print-color-adjust: exact }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem }
h2 { font-size: 1.1rem; margin: 2.25rem 0 .5rem }
p { margin: .25rem 0 } .quiet { color: var(--quiet) }
.advice { border-inline-start: .3rem solid var(--bar); background: var(--card); padding: .75rem 1rem; margin: 1.25rem 0;
  font-size: 1.1rem; font-weight: 600 }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; margin: 1.25rem 0 }
dl div { border: 1px solid var(--line); border-radius: .4rem; background: var(--card); padding: .6rem .8rem;
  display: flex; flex-direction: column-reverse; justify-content: flex-end }
dd { margin: 0; font-size: 1.7rem; font-weight: 600; line-height: 1.2; font-variant-numeric: tabular-nums }
dt { color: var(--quiet); font-size: .9rem }
table { border-collapse: collapse; width: 100%; font-size: .95rem }
.wide { overflow-x: auto }
th, td { text-align: start; vertical-align: top; padding: .4rem 1rem .4rem 0; border-bottom: 1px solid var(--line);
  max-width: 20rem }
th { font-weight: 600 } thead th { color: var(--quiet); font-size: .85rem; vertical-align: bottom }
tr { break-inside: avoid } h2 { break-after: avoid }
.number { text-align: end; white-space: nowrap; font-variant-numeric: tabular-nums }
svg { display: block; width: 8rem; height: .8rem; margin-top: .4rem }
.plot svg { width: 100% } .plot th:first-child { width: 30% } .plot .number { width: 5rem }
.all { fill: var(--line) } .part { fill: var(--bar) }
.stop, .warning, .note { font-weight: 700 }
.stop { color: var(--stop) } .warning { color: var(--warning) } .note { color: var(--note) }
"""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def result_page(summary: Summary, manifest: Manifest) -> str:
    """A member's result in numbers.

    Args:
        summary: the numbers.
        manifest: the session's terms.

    Returns:
        An HTML page.
    """
    s = summary
    numbers = {"rows in your list": s.rows}
    if s.reported != s.rows:
        numbers |= {"new rows, which are reported": s.reported}
    numbers |= {"also with another member": s.matched, "not compared": s.not_compared}
    numbers |= {"twice in your own list": s.same_inside, "judged distinct before": s.judged_distinct}
    revealed = f"What was revealed: {s.member} alone learned, {LEARNS[manifest.reveal]}. {_committee_learned(manifest)}"
    return _page(
        f"{s.session}: result of {s.member}",
        _agreed(manifest),
        _tag("p", f"{REVIEW} {SIMILAR}" if manifest.similar else REVIEW, class_="advice"),
        _numbers(numbers),
        _plot("Matched rows, by grade", "grade", s.matched_by_grade, s.reported),
        _plot("Matched rows, by rule", "rule", s.matched_by_rule, s.reported),
        _plot("Rows that a rule cannot use", "rule", s.unusable_by_rule, s.rows),
        _plot("Why rows were not compared", "reason", s.unusable_by_reason, s.reported),
        _tag("h2", "Who learned what"),
        _tag("p", revealed),
    )


def _agreed(manifest: Manifest) -> Markup:
    """Which session it is, and what for."""
    session = f"Session {manifest.session_id.hex()[:16]}, agreed on {manifest.created[:10]}"
    purpose = _tag("p", manifest.purpose, class_="quiet", dir="auto")
    return _join((purpose, _tag("p", session, class_="quiet")))


def _committee_learned(manifest: Manifest) -> str:
    """What the committee learned, and who would have learned more."""
    return (
        f"The committee ({', '.join(manifest.committee)}) learned how many keys each member has, and "
        f"{committee_learns(manifest)}. {trust(manifest)}"
    )


def table_page(table: Table, manifest: Manifest) -> str:
    """What all members of a session with statistics learn.

    Args:
        table: the numbers.
        manifest: the session's terms.

    Returns:
        An HTML page.
    """
    held = table.held_by()
    plot = _plot("People of all cells", "held by", held, sum(held.values()), "people")
    revealed = (
        "What was revealed: all members that contributed learned this table, and nothing of any single person. "
        f"{_committee_learned(manifest)}"
    )
    return _page(
        f"{table.session}: how many members hold the same people",
        _agreed(manifest),
        _tag("p", table.hidden, class_="advice"),
        plot if table.is_whole else Markup(),  # shares of the numbers that are shown would mislead
        _tag("h2", "People by cell"),
        _table(table.headings, table.rows(), set(held)),
        _tag("h2", "How people are counted"),
        _tag("p", COUNTED),
        _tag("h2", "Who learned what"),
        _tag("p", revealed),
        _tag("h2", "Before you pass it on"),
        _tag("p", SUBTRACTED),
    )


def check_page(check: ListCheck) -> str:
    """A look at a list: its columns, how the rules can use it, what a person should know.

    Returns:
        An HTML page.
    """
    columns = [
        (c.heading, c.stands_for, c.how, *_bar(c.heading, c.filled, check.rows), *c.example) for c in check.columns
    ]
    rules = [
        (r.name, *_bar(r.name, r.usable, check.rows), r.repeated, " | ".join(r.example), _rows(r.unusable_rows))
        for r in check.rules
    ]
    return _page(
        f"A look at {shown(check.path)}",
        _tag("p", "Nothing has left your computer.", class_="quiet"),
        _numbers({"rows": check.rows, "can be compared": check.usable, "cannot": check.rows - check.usable}),
        _findings(check.findings),
        _tag("h2", "Columns"),
        _table(("column", "stands for", "found by", "filled", "rows", "share", "for example", "compared as"), columns),
        _tag("h2", "Rules"),
        _table(
            ("rule", "usable", "rows", "share", "repeat others", "compared as, for example", "first unusable rows"),
            rules,
        ),
    )


def story_page(story: Story) -> str:
    """What a node's log tells of a session.

    Returns:
        An HTML page.
    """
    tables = [
        _join((_tag("h2", s.title), _table(s.headings, [(first, _tag("bdi", second)) for first, second in s.rows])))
        for s in story.sections
    ]
    return _page(story.title, _tag("p", story.whose, class_="quiet"), *tables)


def _page(title: str, *body: Markup) -> str:
    head = f"{_HEAD}{_tag('title', title)}<style>{_STYLE}</style></head>\n"
    return head + _tag("body", _tag("main", _tag("h1", title, dir="auto"), *body)) + "</html>\n"


def _numbers(numbers: Mapping[str, int]) -> Markup:
    """Big ones, each with what it counts."""
    return _tag("dl", *(_tag("div", _tag("dt", what), _tag("dd", number)) for what, number in numbers.items()))


def _findings(findings: Sequence[Finding]) -> Markup:
    if not findings:
        return _tag("p", "Nothing in this list needs a person's attention.")
    rows = [
        (
            _tag("span", f.severity.value, class_=f.severity.value),
            f.column,
            _tag("span", f.text),
            f.count or "",
            _rows(f.rows),
        )
        for f in findings
    ]
    return _join((_tag("h2", "What to look at"), _table(("", "column", "what is so", "rows", "first rows"), rows)))


def _plot(title: str, what: str, bars: Mapping[str, int], whole: int, of: str = "rows") -> Markup:
    """Bars in a table of what they show; nothing where there are none."""
    rows = [(name, *_bar(name, number, whole, of)) for name, number in bars.items()]
    table = _table((what, f"of {whole:,} {of}", of, "share"), rows)
    return _tag("section", _tag("h2", title), table, class_="plot") if any(bars.values()) else Markup()


def _bar(name: str, number: int, whole: int, of: str = "rows") -> tuple[Markup, int, float]:
    """A bar, its number and its share: three cells."""
    share = number / whole if whole else 0.0
    title, more = _tag("title", shown(name)), _tag("desc", f"{number:,} of {whole:,} {of}, {share:.1%}")
    whole_bar = _tag("rect", class_="all", width="100", height="8")
    part = _tag("rect", class_="part", width=f"{100 * share:.2f}", height="8")
    drawing = _tag("svg", title, more, whole_bar, part, role="img", viewBox="0 0 100 8", preserveAspectRatio="none")
    return drawing, number, share


def _table(headings: Sequence[str], rows: Iterable[Sequence[object]], numbers: Container[str] = _NUMBERS) -> Markup:
    """The first cell of a row names it; columns of numbers stand to the right."""
    sides = [{"class": "number"} if heading in numbers else {} for heading in headings]
    head = _tag("tr", *(_tag("th", h, scope="col", **side) for h, side in zip(headings, sides, strict=True)))
    body = [_tag("tr", _tag("th", _shown(name), scope="row"), *map(_cell, cells, sides[1:])) for name, *cells in rows]
    return _tag("div", _tag("table", _tag("thead", head), _tag("tbody", *body)), **{"class": "wide"})


def _cell(cell: object, side: Mapping[str, str]) -> Markup:
    return _tag("td", _shown(cell), **side)


def _shown(cell: object) -> object:
    """What stands in a cell; text in its own direction, whatever its neighbours' is."""
    if isinstance(cell, float):
        return f"{cell:.1%}"
    return _tag("bdi", shown(cell)) if isinstance(cell, str) and not isinstance(cell, Markup) else cell


def _rows(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _tag(name: str, *inside: object, **attributes: str) -> Markup:
    """An element; its attributes without a `_` at their end, and nothing in it unescaped but `Markup`."""
    written = "".join(f' {key.rstrip("_")}="{escape(value)}"' for key, value in attributes.items())
    return Markup(f"<{name}{written}>{_join(inside)}</{name}>")


def _join(parts: Iterable[object]) -> Markup:
    return Markup("".join(part if isinstance(part, Markup) else _escaped(part) for part in parts))


def _escaped(part: object) -> str:
    return escape(_UNPRINTABLE.sub(" ", f"{part:,}" if isinstance(part, int) else str(part)))
