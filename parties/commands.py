"""What the subcommands do: one function for each."""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
from collections import Counter
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from parties import columns, config, errors, fields, generator, launch, network, toml, trial
from parties.bench import check_step, environment
from parties.check import check_list
from parties.columns import MapFile
from parties.config import Config
from parties.demo import Asked, Demo
from parties.engines import Engine
from parties.errors import InputError
from parties.fields import NewRows
from parties.keys import Keys
from parties.lifecycle import MEANING, State
from parties.manifest import is_country
from parties.manifestfile import rules_file
from parties.member import Member, check_page_target, kept_list, write_page
from parties.page import check_page
from parties.progress import Terminal, say
from parties.report import (
    MAX_SHOWN,
    bench_text,
    check_text,
    demo_json,
    demo_text,
    review_text,
    scenarios_text,
    session_text,
    table_text,
)
from parties.review import Decision, Reviews, Verdict
from parties.reviewfile import cells_of, read_verdicts, write_queue
from parties.rules import Rule
from parties.scenarios import SCENARIOS, chosen, ratios
from parties.statistics import Cells, Statistics
from parties.table import Table

DURATION_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


# Lists


def check(a: argparse.Namespace) -> None:
    """Look at a list, offline."""
    rules, country, statistics = _rules(a.rules)
    country = _country(a.country) or country
    table = Cells(statistics, country, datetime.now(UTC).isoformat()) if statistics else None
    report = check_list(fields.open_list(a.list, _map(a.map)), rules, country, table)
    if a.page:
        check_page_target(a.page, a.list)
        write_page(a.page, check_page(report))
    say(json.dumps(report.to_json(), ensure_ascii=False) if a.json else check_text(report))
    if report.missing and a.rules:
        raise InputError(report.missing[0])


def contribute(a: argparse.Namespace) -> None:
    """Take part with a list."""
    member = Member(config.load(a.config), _progress())
    new = NewRows(a.new_since or "", a.new_column or "")
    keys, findings = member.contribute(id_bytes(a.id), a.list, _map(a.map), new, accept=a.accept)
    for finding in findings:
        say(finding.to_text(), sys.stderr)
    say(f"{member.config.name} contributed {contributed(keys)}, in random shares.")


def contributed(keys: Keys) -> str:
    """What a list is in a session, for people: of exact rules its distinct keys, of a similar rule its records."""
    reported = "" if keys.new is None else f", {int(keys.new.sum())} of them new,"
    exact = any(rule.similar is None for rule in keys.rules)
    what = [f"{len(keys.keys)} distinct keys"] if exact else []
    what += [] if keys.vectors is None else [f"{len(keys.vectors)} records"]
    return f"{keys.rows} rows{reported} as {' and '.join(what)}"


def results(a: argparse.Namespace) -> None:
    """Get one's own result."""
    member = Member(config.load(a.config), _progress())
    page = a.page or a.out.with_suffix(".html")
    found = member.results(id_bytes(a.id), a.out, page, accept=a.accept)
    text = table_text(found) if isinstance(found, Table) else found.to_text()
    done = f"{text}\nWritten to {a.out}, with a page to look at in {page}."
    say(json.dumps(found.to_json(), ensure_ascii=False) if a.json else done)


# Reviews


def review_show(a: argparse.Namespace) -> None:
    """Show a session's matches and what was decided on them. Offline."""
    own = config.load(a.config)
    reviews, session_id = _reviews(own, a.id)
    items = reviews.items(session_id)
    counts = Counter(item.decision for item in items)
    if a.json:
        shown = {"session": session_id.hex(), "counts": counts, "rows": [item.to_json() for item in items]}
        say(json.dumps(shown, ensure_ascii=False))
        return
    shown_items = reviews.open_items(session_id)[:MAX_SHOWN]
    opened = kept_list(own, own.store(), session_id)
    order = fields.telling(opened) if opened else []
    found = cells_of(opened.source if opened else None, {item.row for item in shown_items})
    cells = {row: [of_row[k] for k in order if of_row[k].strip()] for row, of_row in found.items()}
    say(review_text(shown_items, cells, counts))


def review_decide(a: argparse.Namespace) -> None:
    """Keep a person's decision on a row."""
    reviews, session_id = _reviews(config.load(a.config), a.id)
    reviews.decide(session_id, [Verdict(a.row, a.decision, a.note, a.by)])
    say(f"Row {a.row}: {a.decision}.")


def review_export(a: argparse.Namespace) -> None:
    """Write the rows that are not judged distinct, to be filled in."""
    own = config.load(a.config)
    reviews, session_id = _reviews(own, a.id)
    items = reviews.open_items(session_id)
    if not items:
        say("Nothing is left to review: every match of this session is judged distinct. No file was written.")
        return
    opened = kept_list(own, own.store(), session_id)
    write_queue(a.out, session_id, items, opened.source if opened else None)
    say(f"{len(items):,} rows are in {a.out}. Fill in decision ({', '.join(d.value for d in Decision)}), note and")
    say("reviewer, save it, and run `matchbit review import`. It holds personal data: delete it afterwards.")


def review_import(a: argparse.Namespace) -> None:
    """Keep the decisions of a file that was filled in, all or none."""
    reviews, session_id = _reviews(config.load(a.config), a.id)
    changed = reviews.decide(session_id, list(read_verdicts(a.list, session_id)))
    left = sum(item.decision == "open" for item in reviews.items(session_id))
    say(f"{changed:,} rows are judged anew; {left:,} are open.")


def review_forget(a: argparse.Namespace) -> None:
    """Delete old decisions."""
    pairs = _own_reviews(config.load(a.config)).forget(_day(a.before))
    say(f"Decisions on {pairs:,} pairs from before {a.before} are deleted.")


def _reviews(own: Config, text: str) -> tuple[Reviews, bytes]:
    """A node's decisions, and a session with matches there."""
    reviews = _own_reviews(own)
    return reviews, reviews.session(id_bytes(text))


def _own_reviews(own: Config) -> Reviews:
    return Reviews(own.store(), own.vault())


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(f"`{text}` is not a day: write for example 2026-01-31.") from None


# Sessions


def session_propose(a: argparse.Namespace) -> None:
    """Publish a manifest."""
    operator = launch.Operator(config.load(a.config), _progress())
    session_id = _propose(operator, a.manifest)
    say(session_id.hex())
    say("Proposed. Every member and committee node now runs `matchbit session approve` with this id.", file=sys.stderr)


def _propose(operator: launch.Operator, path: Path) -> bytes:
    """Publish a manifest; weak rules are named."""
    manifest = operator.propose(toml.read(path))
    for warning in manifest.warnings():
        say(f"warning  {warning}", sys.stderr)
    return manifest.session_id


def session_list(a: argparse.Namespace) -> None:
    """Show one's sessions."""
    views = Member(config.load(a.config)).coordinator.sessions()
    rows = [(r.id.hex(), r.state.value, r.manifest.title) for r in (view.record for view in views)]
    if a.json:
        shown = [dict(zip(("id", "state", "title"), row, strict=True)) for row in rows]
        say(json.dumps({"sessions": shown}, ensure_ascii=False))
        return
    for row in rows:
        say(f"{row[0][:16]:<18}{row[1]:<10}{row[2]}")
    if not rows:
        say("No sessions.")


def session_show(a: argparse.Namespace) -> None:
    """Show one session's terms and state."""
    own = config.load(a.config)
    view = Member(own).coordinator.get(id_bytes(a.id))
    report = session_text(view)
    if a.json:
        record = view.record
        shown = json.loads(record.manifest.to_bytes()) | {"id": record.id.hex(), "state": record.state.value}
        shown |= {"reason": record.reason, "attempt": record.attempt, "approved": sorted(record.signatures)}
        contributed = view.commitments.values()
        shown |= {"contributed": {c.name: c.keys for c in contributed}}
        shown |= {"records": {c.name: {"all": c.records, "new": c.new_records} for c in contributed}}
        report = json.dumps(shown, ensure_ascii=False)
    say(report)


def session_run(a: argparse.Namespace) -> None:
    """Have a session computed, and wait for it."""
    operator = launch.Operator(config.load(a.config), _progress())
    record = operator.run(operator.coordinator.get(id_bytes(a.id)).record.id)
    say(f"'{record.manifest.title}' {MEANING[record.state]}.")


def session_close(a: argparse.Namespace) -> None:
    """Close a session everywhere, or forget one's own copy of the list."""
    own = config.load(a.config)
    member = Member(own)
    record = member.coordinator.get(id_bytes(a.id)).record
    if own.name == record.manifest.coordinator:
        member.coordinator.close(record.id)
        say(f"'{record.manifest.title}' is closed: all committee nodes deleted shares and results.")
    else:
        undecided = member.forget(record.id)
        say(f"The private copy of the list that {own.name} contributed is deleted.")
        if undecided:
            say(f"{undecided:,} rows of its matches had no decision; those that were decided are remembered.")


def session_launch(a: argparse.Namespace) -> None:
    """Propose, wait for approvals and contributions, run, report."""
    operator = launch.Operator(config.load(a.config), _progress())
    wait_s = _seconds(a.wait_approvals)
    session_id = _propose(operator, a.manifest)
    say(f"Proposed {session_id.hex()}; waiting for approvals and contributions.", file=sys.stderr)
    operator.wait(session_id, State.READY, wait_s)
    record = operator.run(session_id)
    report = {
        "session": session_id.hex(),
        "state": record.state.value,
        "keys": {c.name: c.keys for c in operator.coordinator.get(session_id).commitments.values()},
        "committee": operator.figures(record),
    }
    say(json.dumps(report) if a.json else f"{session_id.hex()}\n'{record.manifest.title}' {MEANING[record.state]}.")


# Trials


def demo(a: argparse.Namespace) -> None:
    """Run a whole session on this machine."""
    if a.lists and not a.out:
        raise InputError("With --lists, say with --out into which folder the result sheets are written.")
    if a.lists and a.similar:
        raise InputError('--similar is for made-up lists; for your own give --rules with a rule of `kind` "similar".')
    given = {"engine": a.engine, "committee": a.committee, "reveal": a.reveal, "similar": a.similar}
    asked = Asked(**{name: value for name, value in given.items() if value is not None})
    people = asked.rows if a.rows is None else a.rows
    if not 2 <= a.members <= 50 or people < 1 or not 0 <= a.overlap <= 1:
        raise InputError("--members must be 2 to 50, --rows at least 1, --overlap from 0 to 1.")
    if not a.lists:
        asked.check()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left behind
    with trial.working_folder() as folder:
        (folder / "lists").mkdir()
        out = a.out or folder / "results"
        out.mkdir(parents=True, exist_ok=True)
        if a.lists:
            rules, country, _ = _rules(a.rules, asked.reveal)
            lists = Demo.given(a.lists, rules, _country(a.country) or country, _map(a.map))
        else:
            if a.rows is None and asked.engine == Engine.MPYC.value:
                say(f"The mpyc engine is for short lists: {people} people on each.", sys.stderr)
            lists = Demo.generated(folder / "lists", asked.rules, a.members, people, overlap=a.overlap, seed=a.seed)
        outcome, found = lists.run(folder / "nodes", out, _progress(), asked)
        report = demo_json(outcome, found)
        say(json.dumps(report, ensure_ascii=False) if a.json else demo_text(outcome, found, a.out))
        if report["correct"] is False:
            raise errors.ResultError("The demo found other rows than it expected; please report this.")


def bench(a: argparse.Namespace) -> None:
    """Measure sessions on this machine."""
    if a.list:
        say(json.dumps({"scenarios": [asdict(s) for s in SCENARIOS]}) if a.json else scenarios_text(SCENARIOS))
        return
    given = {"members": a.members, "overlap": a.overlap, "rate": a.rate, "delay_ms": a.delay}
    given |= {"engine": a.engine, "committee": a.committee, "threshold": a.threshold, "reveal": a.reveal}
    given |= {"similar": a.similar or None, "new": a.new}
    chosen_ones = chosen(a.names, a.engine, similar=a.similar)
    scenarios = [scenario.changed(rows=a.rows, **given) for scenario in chosen_ones]
    steps_of_all = [step for scenario in scenarios for step in scenario.steps]
    network.check_rates(step.rate for step in steps_of_all)
    for step in steps_of_all:
        check_step(step)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left behind
    report: dict[str, Any] = {"environment": environment(), "scenarios": []}
    for scenario in scenarios:
        steps: list[dict[str, Any]] = []
        report["scenarios"].append({"name": scenario.name, "shows": scenario.shows, "steps": steps})
        for number, step in enumerate(scenario.steps, 1):
            say(f"{scenario.name}, {number} of {len(scenario.steps)}: {step.to_text()}", sys.stderr)
            with trial.working_folder() as folder:
                steps.append(network.measure(folder, step, _progress()))
            report["scenarios"][-1]["ratios"] = ratios(steps)
            if a.out:  # after every step: all of them may take hours
                a.out.write_text(json.dumps(report, indent=1), "utf-8")
        if not a.json:
            say(bench_text(report["scenarios"][-1]))
    if a.json:
        say(json.dumps(report))
    if not all(step["correct"] for scenario in report["scenarios"] for step in scenario["steps"]):
        raise errors.ResultError("The benchmark found other rows than it expected; please report this.")


# Arguments


def _rules(path: Path | None, reveal: str = "") -> tuple[tuple[Rule, ...], str, Statistics | None]:
    """The rules of a file, or the demo's, the country they are for, and the table if the file is the terms of one.

    Args:
        path: the file.
        reveal: what members learn by them; as the file says, where nothing is given.
    """
    if path is None:
        return tuple(Rule(*rule) for rule in generator.RULES), generator.COUNTRY, None
    given = toml.read(path)
    session = given.get("session")
    if reveal and (session is None or isinstance(session, dict)):
        given |= {"session": (session or {}) | {"reveal": reveal}}
    return rules_file(given)


def _map(path: Path | None) -> MapFile:
    """What a --map file says."""
    return MapFile() if path is None else columns.read_map(toml.read(path), path)


def _country(text: str | None) -> str:
    if not is_country(text or ""):
        raise InputError(f"`{text}` is no country: give its two capital letters, such as UA.")
    return text or ""


def id_bytes(text: str) -> bytes:
    """A session's id, or its first bytes, as people write it.

    Raises:
        InputError: it is not so written.
    """
    text = text.strip().lower()
    if not re.fullmatch(r"([0-9a-f]{2}){4,32}", text):
        raise InputError(f"`{text}` is not a session id: give its 64 hex digits, or the first 8, 10, 12 … of them.")
    return bytes.fromhex(text)


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not found:
        raise InputError(f"`{text}` is not a duration: write for example 90s, 30m, 2h or 1d.")
    return float(found[1]) * DURATION_S[found[2]]


def _progress() -> Terminal:
    return Terminal(sys.stderr)
