"""What people read on the terminal: sessions, demo and benchmark as text and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from parties.check import ListCheck
from parties.demo import MemberResult, MemberTable
from parties.findings import Severity
from parties.lifecycle import MEANING
from parties.pooled import FLAGGED, Truth
from parties.results import REVIEW
from parties.revealed import LEARNS, SIMILAR, committee_learns, deviates, trust
from parties.review import Item
from parties.scenarios import Scenario, Step, cost_per_row
from parties.shown import shown
from parties.similar import GRADES
from parties.table import COUNTED, SUBTRACTED, Table
from parties.trial import Outcome
from parties.wire import View

IN_THE_CLEAR = "Exactly right: bit for bit what the same rules give over all lists in one place."
MAX_SHOWN = 50
"""Rows of a queue that the terminal shows."""


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns of text: numbers to the right, words to the left."""
    cells = [list(headings), *([f"{c:,}" if isinstance(c, int) else str(c) for c in row] for row in rows)]
    columns = list(zip(*cells, strict=True))
    widths = [max(map(len, column)) for column in columns]
    numbers = [k > 0 and all(map(_is_number, filter(None, column[1:]))) for k, column in enumerate(columns)]
    aligned = [[c.rjust(w) if n else c.ljust(w) for c, w, n in zip(row, widths, numbers, strict=True)] for row in cells]
    lines = ["  ".join(row).rstrip() for row in aligned]
    return "\n".join([lines[0], "-" * (sum(widths) + 2 * len(widths) - 2), *lines[1:]])


def _is_number(cell: str) -> bool:
    """Whether it is a number, perhaps with its unit."""
    return cell == "-" or (cell[0].isdigit() and len(cell.split()) <= 2)


def check_text(check: ListCheck) -> str:
    """What a list looks like to Matchbit, for people."""
    lines = [f"{check.path}: {check.rows:,} rows, {check.usable:,} of them can be compared.", ""]
    columns = [(shown(c.heading), c.stands_for or "-", c.how or "-", c.filled, *c.example) for c in check.columns]
    lines += [table(("column", "stands for", "found by", "filled", "for example", "compared as"), columns), ""]
    rules = [(r.name, r.usable, check.rows - r.usable, r.repeated, shown(" | ".join(r.example))) for r in check.rules]
    lines += [table(("rule", "usable rows", "unusable", "repeat others", "compared as, for example"), rules)]
    lines += ["", *(finding.to_text() for finding in check.findings)]
    return "\n".join(lines).rstrip()


def table_text(found: Table) -> str:
    """What all members of a session with statistics learn, for people."""
    rows = [tuple(shown(c) if isinstance(c, str) else c for c in row) for row in found.rows()]
    headings = [shown(heading) for heading in found.headings]
    lines = [f"{found.member}: {found.session}", "", table(headings, rows), "", found.hidden, COUNTED, SUBTRACTED]
    return "\n".join(lines)


def session_text(view: View) -> str:
    """A session's terms and state on one page."""
    record, m = view.record, view.record.manifest
    phase = f" ({view.progress[0]})" if view.progress[0] else ""
    headings = ("name", "approved", "records", "new", *(("keys",) if m.exact_rules else ()))
    lines = [
        m.title,
        f"  id           {record.id.hex()}",
        f"  state        {MEANING[record.state]}{phase}",
        f"  purpose      {m.purpose}",
        f"  legal basis  {m.legal_basis or 'not stated'}",
        f"  coordinator  {m.coordinator}",
        f"  committee    {', '.join(m.committee)}; computes with the {m.engine} engine",
        f"  members      {', '.join(m.members)}",
        *(f"  rule         {r.name}: {r.shown}" for r in m.rules),
        *([f"  similar      {line}" for line in m.similar.to_lines()] if m.similar else []),
        *(f"  warning      {text}" for text in m.warnings()),
        f"  compared as  {m.normalisation}, national numbers of {m.country or 'no country'}",
        f"  limit        {m.min_records:,} to {m.max_records:,} records per member, at most {m.max_new_records:,} new",
        f"  limit        {m.max_sessions:,} sessions per member in {m.period_days} days; computed when at least "
        f"{m.min_members} members have contributed",
        f"  expires      {m.expires}; shares are deleted {m.retention_days} days after proposal at the latest",
        *([f"  table        {m.statistics.to_text()}"] if m.statistics else []),
        f"  each member learns {LEARNS[m.reveal]}.",
        *([f"  {SIMILAR}"] if m.similar else []),
        f"  the committee learns each member's number of keys, and {committee_learns(m)}.",
        f"  {trust(m)}",
        f"  {deviates(m)}",
        *([f"  reason       {record.reason}"] if record.reason else []),
        "",
        table(headings, (_party(view, name)[: len(headings)] for name in m.participants)),
    ]
    return "\n".join(lines)


def _party(view: View, name: str) -> tuple[object, ...]:
    """A participant's line in a session's table; the last is of exact rules' keys."""
    approved = "yes" if name in view.record.signatures else "not yet"
    m = view.record.manifest
    if name not in m.members:
        return (name, approved, "-", "-", "-")
    c = view.commitments.get(name)
    return (
        name,
        approved,
        *((c.records, c.new_records, m.exact_keys(c.keys, c.records)) if c else ("not yet", "", "")),
    )


def demo_json(outcome: Outcome, results: Mapping[str, MemberResult | MemberTable]) -> dict[str, Any]:
    """The demo's JSON report."""
    verdicts = [r.correct for r in results.values()]
    return outcome.report() | {
        **_learned(results),
        "correct": all(verdicts) if None not in verdicts else None,
        "sheets": {n: str(r.sheet) for n, r in results.items()},
        "findings": {n: [f.to_json() for f in r.findings] for n, r in results.items()},
    }


def _learned(results: Mapping[str, MemberResult | MemberTable]) -> dict[str, Any]:
    """What members learned, for other programs: of their own lists, or the table that is the same for all."""
    lists = {n: r for n, r in results.items() if isinstance(r, MemberResult)}
    if not lists:
        return {"tables": {n: r.table.to_json() for n, r in results.items() if isinstance(r, MemberTable)}}
    expected = {n: r.expected for n, r in lists.items()}
    return {
        "rows": {n: r.summary.rows for n, r in lists.items()},
        "matched": {n: r.summary.matched for n, r in lists.items()},
        "expected": None if None in expected.values() else expected,
        **_truth_json(lists.values()),
        "summaries": {n: r.summary.to_json() for n, r in lists.items()},
    }


def _truth_json(results: Iterable[MemberResult]) -> dict[str, Any]:
    """How well similar people were found, for other programs; nothing where that is not known."""
    truth = Truth.of_all(r.truth for r in results)
    return {"truth": {grade: of.to_json() for grade, of in truth.items()}} if truth else {}


def _at_least(grade: str) -> str:
    return grade if grade in (FLAGGED, GRADES[-1]) else f"{grade} or surer"


def _truth_text(truth: Mapping[str, Truth]) -> list[str]:
    """How well similar people were found, for people."""
    rows = [
        (_at_least(grade), t.shared, f"{t.recall:.2%}", t.others, f"{t.false_positives:.3%}")
        for grade, t in truth.items()
    ]
    headings = ("matches", "rows whose person others have", "found", "other rows", "found all the same")
    return [table(headings, rows), "", IN_THE_CLEAR, ""]


def demo_text(outcome: Outcome, results: Mapping[str, MemberResult | MemberTable], out: Path | None) -> str:
    """The demo's story for people."""
    tables = [r for r in results.values() if isinstance(r, MemberTable)]
    lists = {n: r for n, r in results.items() if isinstance(r, MemberResult)}
    figures = [
        (n, f"{f['cpu_s']:.2f} s", f"{f['sent_bytes'] / 1e6:.1f} MB", f"{f['peak_rss_bytes'] / 1e6:.0f} MB")
        for n, f in outcome.figures.items()
    ]
    seconds = ", ".join(f"{phase} {s:.1f} s" for phase, s in outcome.seconds.items())
    lines = ["", *(_tables_told(tables) if tables else _lists_told(lists))]
    lines += ["", table(("committee node", "computing", "sent", "memory"), figures), "", f"Time: {seconds}."]
    lines += [trust(outcome.record.manifest) if tables else f"{trust(outcome.record.manifest)} {REVIEW}"]
    lines += [f"{'Tables' if tables else 'Result sheets'} are in {out}."] if out else []
    return "\n".join(lines)


def _tables_told(results: Sequence[MemberTable]) -> list[str]:
    """What all members learned: the same table."""
    known = all(r.correct is not None for r in results)
    right = [f"exactly right: {'yes' if all(r.correct for r in results) else 'NO'}", ""] if known else []
    grave = [f.to_text() for r in results for f in r.findings if f.severity is not Severity.NOTE]
    return [*right, table_text(results[0].table), *([] if known else grave)]


def _lists_told(results: Mapping[str, MemberResult]) -> list[str]:
    """What each member learned of its own list."""
    known = all(r.expected is not None for r in results.values())
    truth = Truth.of_all(r.truth for r in results.values())
    due = "others have" if truth else "expected"
    headings = ["agency", "rows", "shared", "not compared", *([due, "exactly right"] if known else [])]
    rows = []
    for name, r in results.items():
        right = [r.expected, "yes" if r.correct else "NO"] if known else []
        rows.append([name, r.summary.rows, r.summary.matched, r.summary.not_compared, *right])
    lines = [table(headings, rows), ""]
    lines += _truth_text(truth) if truth else []
    for name, r in results.items():
        lines.append(f"{name} learned that it shares {r.summary.matched:,} people, among them:")
        lines += [f"    {_example(example)}" for example in r.examples] or ["    nobody"]
        lines += [] if known else [f"    {f.to_text()}" for f in r.findings if f.severity is not Severity.NOTE]
    return lines


def review_text(items: Sequence[Item], cells: Mapping[int, Sequence[str]], counts: Mapping[str, int]) -> str:
    """A session's queue: rows that are not judged distinct, as far as they are given, and how many are judged how."""
    rows = [
        (
            i.row,
            "; ".join(i.matched_on),
            "; ".join(i.matched_with),
            i.decision,
            shown(" | ".join(cells.get(i.row, ())[:3]), 61),
        )
        for i in items
    ]
    more = sum(counts.values()) - counts.get("distinct", 0) - len(rows)
    lines = [table(("row", "matched on", "with", "decision", "your list"), rows)] if rows else []
    lines += [f"… and {more:,} more; `matchbit review export` writes all of them."] if more else []
    lines += ["", ", ".join(f"{n:,} {what}" for what, n in sorted(counts.items())) + ".", REVIEW]
    return "\n".join(lines).lstrip()


def _example(row: dict[str, str]) -> str:
    """A matched row in short: its first cells, and what it matched on."""
    added = ("match", "matched_on", "match_count", "matched_with", "not_compared_because", "same_as_row", "review")
    own = [value.strip() for heading, value in row.items() if not heading.startswith(added) and value.strip()]
    on = next(value for heading, value in reversed(row.items()) if heading.startswith("matched_on"))
    return f"{', '.join(map(shown, own[:4]))}  (on {on})"


def scenarios_text(scenarios: Iterable[Scenario]) -> str:
    """What can be measured, for people."""
    rows: list[tuple[str, str, str]] = []
    for scenario in scenarios:
        first, *others = (step.to_text() for step in scenario.steps)
        rows += [(scenario.name, scenario.shows, first), *(("", "", other) for other in others)]
    return table(("name", "what it shows", "sessions"), rows)


def bench_text(scenario: Mapping[str, Any]) -> str:
    """A scenario's figures for people: of a single step in full, of several side by side."""
    steps, title = scenario["steps"], f"{scenario['name']}: {scenario['shows']}"
    if len(steps) == 1:
        return f"{title}\n\n{_step_text(steps[0])}\n"
    names = [Step(**step["step"]).to_text() for step in steps]
    rows = [(name, *_summary(step)) for name, step in zip(names, steps, strict=True)]
    kinds = list(scenario["ratios"][0])
    against = [
        (name, *(f"{r:.2f}" for r in each.values())) for name, each in zip(names, scenario["ratios"], strict=True)
    ]
    lines = [title, "", table(("session", *SUMMARY), rows), ""]
    lines += ["what a row cost, against the first session", "", table(("session", *kinds), against), ""]
    return "\n".join(lines)


SUMMARY = ("whole", "compute", "rows/s", "cpu/1M", "sent/row", "memory/row", "memory", "line used", "result")


def _summary(step: Mapping[str, Any]) -> tuple[object, ...]:
    """A step in a row; figures of nodes are of that node where they are highest."""
    cost, used = cost_per_row(step), step.get("line_used")
    return (
        f"{step['wall_s']:.2f} s",
        f"{step['seconds']['compute']:.2f} s",
        step["rows_per_s"],
        f"{cost['cpu_s'] * 1e6:.2f} s",
        f"{cost['sent_bytes']:.1f} B",
        f"{cost['memory_bytes']:.0f} B",
        f"{max(f['peak_rss_bytes'] for f in step['committee'].values()) / 1e6:.0f} MB",
        f"{max(used.values()):.0%}" if used else "-",
        _result(step),
    )


def _result(step: Mapping[str, Any]) -> str:
    return "exactly right" if step["correct"] else "WRONG"


def _step_text(report: Mapping[str, Any]) -> str:
    """A step in full."""
    total = sum(report["rows"].values())
    rows = [
        (
            name,
            f"{f['cpu_s']:.2f} s",
            f"{f['cpu_s'] / total * 1e6:.2f} s",
            f"{report['sent_bytes_per_row'][name]:.1f} B",
            f"{report['memory_bytes_per_row'][name]:.0f} B",
            f"{f['peak_rss_bytes'] / 1e6:.0f} MB",
        )
        for name, f in report["committee"].items()
    ]
    up = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in report["daemons_s"].items())
    lines = [f"{Step(**report['step']).to_text()}, {total:,} in all, {report['rows_per_s']:,} rows/s computed"]
    lines += [f"daemons up after: {up}", ""]
    lines += [table(("committee node", "cpu", "cpu/1M", "sent/row", "memory/row", "memory"), rows), ""]
    if "line_used" in report:
        used = ", ".join(f"{name} {part:.0%}" for name, part in report["line_used"].items())
        lines += [f"of lines of {report['step']['rate']} each way, sending while computing used: {used}", ""]
    lines += [table(("phase", "seconds"), [*report["seconds"].items(), ("whole session", report["wall_s"])]), ""]
    lines += [table(("step of compute", "seconds"), list(report["phases"].items())), ""]
    lines += _lists_measured(report) if "truth" in report else []
    return "\n".join([*lines, f"result: {_result(report)}"])


def _lists_measured(report: Mapping[str, Any]) -> list[str]:
    """What members' own work took, what was compared, and how it fits who is who."""
    work = list(dict.fromkeys(what for seconds in report["members_s"].values() for what in seconds))
    rows = []
    for name, seconds in report["members_s"].items():
        cpu = [f"{s:.1f} s" for s in report["members_cpu_s"][name].values()]
        clock = [f"{seconds.get(what, 0.0):.1f} s" for what in work]
        rows.append((name, *clock, *cpu, f"{report['members_rss_bytes'][name] / 1e6:.0f} MB"))
    headings = ("member", *work, "cpu to contribute", "cpu for the result", "memory")
    truth = {grade: Truth(**{f.name: of[f.name] for f in fields(Truth)}) for grade, of in report["truth"].items()}
    clear, compute = report["in_the_clear_s"], report["seconds"]["compute"]
    return [
        table(headings, rows),
        "",
        f"{report['pairs']:,} pairs of records compared; in the clear the rules take {clear:.1f} s, computed jointly "
        f"{compute / max(clear, 0.001):.1f} times as long.",
        "",
        *_truth_text(truth),
    ]
