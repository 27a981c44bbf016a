"""The command line: one function for each subcommand, help for people who are not programmers."""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from mpc.errors import MpcError
from parties import config, coordinator, errors, generator, launch, network, node, records, toml, trial
from parties.check import check_list
from parties.errors import InputError, ServiceError
from parties.identity import certificate_digest
from parties.lifecycle import MEANING, State
from parties.manifest import rules_from_toml
from parties.member import Member
from parties.progress import Terminal
from parties.report import bench_text, demo_json, demo_text, session_text
from parties.rules import Rule

Run = Callable[[argparse.Namespace], None]
if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
DEBUG = "MATCHBIT_DEBUG"
"""Environment variable that lets unexpected errors through with all their details."""
DURATION_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0 done; 2 wrong usage or unreadable input; 3 refused; 4 a peer failed; 5 integrity failure.
    """
    arguments = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal may lack a list's script
    try:
        arguments.run(arguments)
    except (ServiceError, MpcError) as error:
        _say(f"matchbit: {errors.sentence(error)}", sys.stderr)
        return errors.exit_code(error)
    except OSError as error:
        _say(f"matchbit: Cannot read or write {error.filename or 'a file'}: {error.strerror}.", sys.stderr)
        return errors.exit_code(InputError())
    except KeyboardInterrupt:
        _say("matchbit: stopped.", sys.stderr)
        return 130
    except Exception as error:
        if DEBUG in os.environ:
            raise
        _say(
            f"matchbit: An unexpected error ({type(error).__name__}). Set {DEBUG}=1 and report what you see.",
            sys.stderr,
        )
        return errors.exit_code(error)
    return 0


# Nodes


def node_init(a: argparse.Namespace) -> None:
    """Make a node."""
    made = config.create(a.name, a.dir, a.address or "", a.coordinator)
    _say(f"Node {made.name} is in {made.folder}. Keep that folder private and back it up.")
    _say(f"Certificate: {_groups(certificate_digest(made.identity().certificate))}")
    _say(f"Next: send {made.folder / 'entry.toml'} to the other nodes' operators, put all entries together into")
    _say(f"{made.federation_path}, and compare the certificates' digits by telephone.")


def node_serve(a: argparse.Namespace) -> None:
    """Serve as a node of a committee."""
    node.serve(config.load(a.config))


def coordinator_serve(a: argparse.Namespace) -> None:
    """Serve as the coordinator."""
    coordinator.serve(config.load(a.config))


# Lists


def check(a: argparse.Namespace) -> None:
    """Look at a list, offline."""
    report = check_list(records.open_list(a.list, _names(a.map)), _rules(a.rules))
    _say(json.dumps(report.to_json(), ensure_ascii=False) if a.json else report.to_text())


def contribute(a: argparse.Namespace) -> None:
    """Take part with a list."""
    member = Member(config.load(a.config), _progress())
    keys = member.contribute(_session_id(a.id), a.list, _names(a.map))
    _say(f"{member.config.name} contributed {keys.rows} rows as {len(keys.keys)} distinct keys, in random shares.")


def results(a: argparse.Namespace) -> None:
    """Get one's own result."""
    member = Member(config.load(a.config), _progress())
    summary = member.results(_session_id(a.id), a.out)
    _say(json.dumps(summary.to_json(), ensure_ascii=False) if a.json else f"{summary.to_text()}\nWritten to {a.out}.")


# Sessions


def session_propose(a: argparse.Namespace) -> None:
    """Publish a manifest."""
    operator = launch.Operator(config.load(a.config), _progress())
    session_id = operator.propose(toml.read(a.manifest))
    _say(session_id.hex())
    _say("Proposed. Every member and committee node now runs `matchbit session approve` with this id.", file=sys.stderr)


def session_list(a: argparse.Namespace) -> None:
    """Show one's sessions."""
    views = Member(config.load(a.config)).coordinator.sessions()
    rows = [(r.id.hex(), r.state.value, r.manifest.title) for r, _, _ in views]
    if a.json:
        shown = [dict(zip(("id", "state", "title"), row, strict=True)) for row in rows]
        _say(json.dumps({"sessions": shown}, ensure_ascii=False))
        return
    for row in rows:
        _say(f"{row[0][:16]:<18}{row[1]:<10}{row[2]}")
    if not rows:
        _say("No sessions.")


def session_show(a: argparse.Namespace) -> None:
    """Show one session's terms and state."""
    own = config.load(a.config)
    view = Member(own).coordinator.get(_session_id(a.id))
    report = session_text(*view)
    if a.json:
        record, contributed, _ = view
        shown = json.loads(record.manifest.to_bytes()) | {"id": record.id.hex(), "state": record.state.value}
        shown |= {"reason": record.reason, "attempt": record.attempt, "approved": sorted(record.signatures)}
        shown |= {"contributed": contributed}
        report = json.dumps(shown, ensure_ascii=False)
    _say(report)


def session_approve(a: argparse.Namespace) -> None:
    """Sign a session's terms."""
    member = Member(config.load(a.config))
    record = member.approve(_session_id(a.id))
    _say(f"{member.config.name} approved '{record.manifest.title}' ({record.id.hex()[:16]}).")


def session_refuse(a: argparse.Namespace) -> None:
    """Refuse a session's terms."""
    member = Member(config.load(a.config))
    record = member.coordinator.get(_session_id(a.id))[0]
    member.coordinator.refuse(record.id, a.reason)
    _say(f"{member.config.name} refused '{record.manifest.title}'.")


def session_run(a: argparse.Namespace) -> None:
    """Have a session computed, and wait for it."""
    operator = launch.Operator(config.load(a.config), _progress())
    record = operator.run(operator.coordinator.get(_session_id(a.id))[0].id)
    _say(f"'{record.manifest.title}' {MEANING[record.state]}.")


def session_close(a: argparse.Namespace) -> None:
    """Close a session everywhere, or forget one's own copy of the list."""
    own = config.load(a.config)
    member = Member(own)
    record = member.coordinator.get(_session_id(a.id))[0]
    if own.name == record.manifest.coordinator:
        member.coordinator.close(record.id)
        _say(f"'{record.manifest.title}' is closed: all committee nodes deleted shares and results.")
    else:
        member.forget(record.id)
        _say(f"The private copy of the list that {own.name} contributed is deleted.")


def session_launch(a: argparse.Namespace) -> None:
    """Propose, wait for approvals and contributions, run, report."""
    operator = launch.Operator(config.load(a.config), _progress())
    wait_s = _seconds(a.wait_approvals)
    session_id = operator.propose(toml.read(a.manifest))
    _say(f"Proposed {session_id.hex()}; waiting for approvals and contributions.", file=sys.stderr)
    operator.wait(session_id, State.READY, wait_s)
    record = operator.run(session_id)
    report = {
        "session": session_id.hex(),
        "state": record.state.value,
        "keys": operator.coordinator.get(session_id)[1],
        "committee": operator.figures(record),
    }
    _say(json.dumps(report) if a.json else f"{session_id.hex()}\n'{record.manifest.title}' {MEANING[record.state]}.")


# Trials


def demo(a: argparse.Namespace) -> None:
    """Run a whole session on this machine."""
    if a.lists and not a.out:
        raise InputError("With --lists, say with --out into which folder the result sheets are written.")
    if not 2 <= a.members <= 50 or a.rows < 1 or not 0 <= a.overlap <= 1:
        raise InputError("--members must be 2 to 50, --rows at least 1, --overlap from 0 to 1.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left behind
    with trial.working_folder() as folder:
        (folder / "lists").mkdir()
        out = a.out or folder / "results"
        out.mkdir(parents=True, exist_ok=True)
        if a.lists:
            lists = trial.Demo.given(a.lists, _rules(a.rules))
        else:
            lists = trial.Demo.generated(folder / "lists", a.members, a.rows, a.overlap, a.seed)
        outcome, found = lists.run(folder / "nodes", out, _progress())
        report = demo_json(outcome, found)
        _say(json.dumps(report, ensure_ascii=False) if a.json else demo_text(outcome, found, a.out))
        if report["correct"] is False:
            raise errors.ResultError("The demo found other rows than it expected; please report this.")


def bench(a: argparse.Namespace) -> None:
    """Measure a session on this machine."""
    if not 2 <= a.members <= 1000 or not 0 <= a.overlap <= 1:
        raise InputError("--members must be 2 to 1000, --overlap from 0 to 1.")
    with trial.working_folder() as folder:
        members = trial.names(a.members)
        report = network.bench(folder, members, a.rows, a.overlap, rate=a.rate, show=_progress())
    _say(json.dumps(report) if a.json else bench_text(report))
    if not report["correct"]:
        raise errors.ResultError("The benchmark found other rows than it expected; please report this.")


# Arguments


def _rules(path: Path | None) -> tuple[Rule, ...]:
    """The rules of a file, or the demo's."""
    if path is None:
        return tuple(Rule(*rule) for rule in generator.RULES)
    return rules_from_toml(toml.read(path))


def _names(path: Path | None) -> dict[str, str]:
    """The columns that a --map file names."""
    return {} if path is None else records.column_names(toml.read(path), path)


def _session_id(text: str) -> bytes:
    text = text.strip().lower()
    if not re.fullmatch(r"([0-9a-f]{2}){4,32}", text):
        raise InputError(f"`{text}` is not a session id: give its 64 hex digits, or the first 8, 10, 12 … of them.")
    return bytes.fromhex(text)


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not found:
        raise InputError(f"`{text}` is not a duration: write for example 90s, 30m, 2h or 1d.")
    return float(found[1]) * DURATION_S[found[2]]


def _say(text: str, file: TextIO | None = None) -> None:
    """Print, where a line of progress may have been."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    print(text, file=file or sys.stdout)


def _progress() -> Terminal:
    return Terminal(sys.stderr)


def _groups(digits: str) -> str:
    return " ".join(digits[k : k + 4] for k in range(0, len(digits), 4))


def parser() -> argparse.ArgumentParser:
    """All commands."""
    top = argparse.ArgumentParser(
        prog="matchbit",
        description="Find the people that several agencies all have on their lists; nobody sees anyone's list.",
        epilog="Try `matchbit demo` first: it runs everything on this computer with made-up lists.",
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    _add_trials(commands)
    _add_lists(commands)
    _add_sessions(_group(commands, "session", "Propose, see, approve, run and close sessions."))
    _add_nodes(_group(commands, "node", "Make a node, and run it."))
    coordinators = _group(commands, "coordinator", "Run the coordinator.")
    _add(coordinators, "serve", coordinator_serve, "Run the coordinator until it is stopped.")
    return top


def _group(commands: Commands, name: str, text: str) -> Commands:
    return commands.add_parser(name, help=text, description=text).add_subparsers(required=True, metavar="COMMAND")


def _add(
    commands: Commands, name: str, run: Run, text: str, *, own: bool = True, as_json: bool = False
) -> argparse.ArgumentParser:
    """A command; `own`: it acts as a node of the caller's; `as_json`: it can print for other programs."""
    command = commands.add_parser(name, help=text, description=text)
    command.set_defaults(run=run)
    if own:
        text = "your node's settings (default: node.toml in this folder)"
        command.add_argument("--config", type=Path, default=Path("node.toml"), metavar="DIR/node.toml", help=text)
    if as_json:
        command.add_argument("--json", action="store_true", help="print one JSON object, for other programs")
    return command


def _add_trials(commands: Commands) -> None:
    text = "Run a whole session on this computer, with real nodes, and show what each agency learns."
    c = _add(commands, "demo", demo, text, own=False, as_json=True)
    c.add_argument("--members", type=int, default=3, help="how many agencies (default 3)")
    c.add_argument("--rows", type=int, default=10_000, help="people on each list (default 10000)")
    c.add_argument("--overlap", type=float, default=0.1, help="part of each list that others have too (default 0.1)")
    c.add_argument("--seed", type=int, default=1, help="another number makes other lists")
    c.add_argument("--lists", type=Path, nargs="+", metavar="FILE.csv", help="your own lists instead of made-up ones")
    c.add_argument("--rules", type=Path, metavar="RULES.toml", help="how people are matched on your own lists")
    c.add_argument("--out", type=Path, metavar="DIR", help="folder for the result sheets")
    text = "Measure a session on this computer, with real nodes and generated keys."
    c = _add(commands, "bench", bench, text, own=False, as_json=True)
    c.add_argument("--members", type=int, default=3, help="how many members (default 3)")
    c.add_argument("--rows", type=int, default=1_000_000, help="keys of each member (default 1000000)")
    c.add_argument("--overlap", type=float, default=0.1, help="part of the keys that others have too (default 0.1)")
    c.add_argument("--rate", metavar="100mbit", help="limit every committee node's line (Linux, as root)")


def _add_lists(commands: Commands) -> None:
    text = "Look at a list before you use it: its columns, how rows are compared, which rows cannot be used and why."
    c = _add(commands, "check", check, f"{text} Nothing leaves your computer.", own=False, as_json=True)
    c.add_argument("list", type=Path, metavar="LIST.csv")
    c.add_argument("--rules", type=Path, metavar="RULES.toml", help="the session's rules (default: the demo's)")
    c.add_argument("--map", type=Path, metavar="COLUMNS.toml", help="which column of your list stands for which field")
    text = "Take part in a session with your list. Only random shares of it leave your computer."
    c = _add(commands, "contribute", contribute, text)
    c.add_argument("id", metavar="ID", help="the session's id, or its first 8 or more digits")
    c.add_argument("list", type=Path, metavar="LIST.csv")
    c.add_argument("--map", type=Path, metavar="COLUMNS.toml", help="which column of your list stands for which field")
    text = "Get your own result: your list with columns that say who is also on another member's list."
    c = _add(commands, "results", results, text, as_json=True)
    c.add_argument("id", metavar="ID", help="the session's id, or its first 8 or more digits")
    c.add_argument("--out", type=Path, required=True, metavar="FILE.csv", help="the file to write")


def _add_sessions(sessions: Commands) -> None:
    c = _add(sessions, "propose", session_propose, "Publish a session's terms (for the coordinator).")
    c.add_argument("manifest", type=Path, metavar="MANIFEST.toml")
    text = "Propose, wait for approvals and contributions, run, and report (for a coordinator's script or timer)."
    c = _add(sessions, "launch", session_launch, text, as_json=True)
    c.add_argument("manifest", type=Path, metavar="MANIFEST.toml")
    c.add_argument("--wait-approvals", default="2h", metavar="2h", help="how long to wait for everyone (default 2h)")
    _add(sessions, "list", session_list, "Show the sessions that you are part of.", as_json=True)
    close = "Coordinator: delete shares and results at all nodes. Member: delete your private copy of the list."
    for name, run, text in (
        ("show", session_show, "Show a session's terms, who approved and who contributed."),
        ("approve", session_approve, "Sign a session's terms. Read them first with `session show`."),
        ("refuse", session_refuse, "Refuse a session's terms; it cannot be run then."),
        ("run", session_run, "Have a session computed, and wait until it is (for the coordinator)."),
        ("close", session_close, close),
    ):
        c = _add(sessions, name, run, text, as_json=name == "show")
        c.add_argument("id", metavar="ID", help="the session's id, or its first 8 or more digits")
        if name == "refuse":
            c.add_argument("--reason", required=True, help="in a few words, for everyone to read")


def _add_nodes(nodes: Commands) -> None:
    text = "Make a node: its keys, its settings, and its entry for the others."
    c = _add(nodes, "init", node_init, text, own=False)
    c.add_argument("name", metavar="NAME", help="small letters, digits and hyphens, for example agency-a")
    c.add_argument("--dir", type=Path, required=True, help="a new folder for the node")
    c.add_argument(
        "--address", metavar="HOST:PORT", help="where others reach it; not needed by a member without a port"
    )
    c.add_argument("--coordinator", action="store_true", help="this node is the coordinator")
    _add(nodes, "serve", node_serve, "Run a node of a committee until it is stopped.")


if __name__ == "__main__":
    sys.exit(main())
