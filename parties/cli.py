"""The command line: every command with its help, written for people who are not programmers."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from mpc.errors import MpcError
from mpc.matching import Reveal
from parties import config, coordinator, errors, logs, node, nodecommands, secrecy
from parties.engines import Engine
from parties.errors import InputError, ServiceError
from parties.progress import say

Run = Callable[[argparse.Namespace], None]
DECISIONS = ("distinct", "duplicate", "unsure")
if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
DEBUG = "MATCHBIT_DEBUG"
"""Environment variable that lets unexpected errors through with all their details."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0 done; 2 wrong usage or unreadable input; 3 refused; 4 a peer failed; 5 integrity failure.
    """
    if DEBUG not in os.environ:
        secrecy.forbid_dumps()
    arguments = parser().parse_args(argv)
    logs.setup("text")
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal may lack a list's script
    try:
        arguments.run(arguments)
    except (ServiceError, MpcError) as error:
        say(f"matchbit: {errors.sentence(error)}", sys.stderr)
        return errors.exit_code(error)
    except BrokenPipeError:  # whoever read what we print has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        say(f"matchbit: Cannot read or write {error.filename or 'a file'}: {error.strerror}.", sys.stderr)
        return errors.exit_code(InputError())
    except KeyboardInterrupt:
        say("matchbit: stopped.", sys.stderr)
        return 130
    except Exception as error:
        if DEBUG in os.environ:
            raise
        say(
            f"matchbit: An unexpected error ({type(error).__name__}). Set {DEBUG}=1 and report what you see.",
            sys.stderr,
        )
        return errors.exit_code(error)
    return 0


def node_serve(a: argparse.Namespace) -> None:
    """Serve as a node of a committee."""
    own = config.load(a.config)
    logs.setup(own.log)
    node.serve(own)


def coordinator_serve(a: argparse.Namespace) -> None:
    """Serve as the coordinator."""
    own = config.load(a.config)
    logs.setup(own.log)
    coordinator.serve(own)


def command(name: str, arguments: argparse.Namespace) -> None:
    """Run a function of `parties.commands`, or of the module that is named: daemons do without what these bring."""
    module, _, function = name.rpartition(".")
    getattr(import_module(f"parties.{module or 'commands'}"), function)(arguments)


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
    _add_reviews(_group(commands, "review", "Decide on the matches of your result. Nothing leaves your computer."))
    _add_audit(_group(commands, "audit", "Check what was logged in sessions, and show it in plain words."))
    _add_nodes(_group(commands, "node", "Make a node, and run it."))
    coordinators = _group(commands, "coordinator", "Run the coordinator.")
    _add(coordinators, "serve", coordinator_serve, "Run the coordinator until it is stopped.")
    return top


def _group(commands: Commands, name: str, text: str) -> Commands:
    return commands.add_parser(name, help=text, description=text).add_subparsers(required=True, metavar="COMMAND")


def _add(
    commands: Commands, name: str, run: Run | str, text: str, *, own: bool = True, as_json: bool = False
) -> argparse.ArgumentParser:
    """A command; `own`: it acts as a node of the caller's; `as_json`: it can print for other programs."""
    added = commands.add_parser(name, help=text, description=text)
    added.set_defaults(run=partial(command, run) if isinstance(run, str) else run)
    if own:
        text = "your node's settings (default: node.toml in this folder)"
        added.add_argument("--config", type=Path, default=Path("node.toml"), metavar="DIR/node.toml", help=text)
    if as_json:
        added.add_argument("--json", action="store_true", help="print one JSON object, for other programs")
    return added


def _add_trials(commands: Commands) -> None:
    text = "Run a whole session on this computer, with real nodes, and show what each agency learns."
    c = _add(commands, "demo", "demo", text, own=False, as_json=True)
    c.add_argument("--members", type=int, default=3, help="how many agencies (default 3)")
    c.add_argument("--rows", type=int, help="people on each list (default 10000; with the engine mpyc 200)")
    c.add_argument("--overlap", type=float, default=0.1, help="part of each list that others have too (default 0.1)")
    c.add_argument("--seed", type=int, default=1, help="another number makes other lists")
    c.add_argument("--lists", type=Path, nargs="+", metavar="FILE.csv", help="your own lists instead of made-up ones")
    c.add_argument("--rules", type=Path, metavar="RULES.toml", help="how people are matched on your own lists")
    text = "what the columns of your own lists stand for; a file LIST.toml beside a list is for that list alone"
    c.add_argument("--map", type=Path, metavar="COLUMNS.toml", help=text)
    c.add_argument("--country", metavar="UA", help="of national phone numbers on your own lists")
    c.add_argument("--out", type=Path, metavar="DIR", help="folder for the result sheets")
    _add_terms(c)
    c.add_argument("--similar", action="store_true", help="match similar people as well, not only equal fields")
    text = "Measure sessions on this computer, with real nodes and generated keys."
    c = _add(commands, "bench", "bench", text, own=False, as_json=True)
    c.add_argument("names", nargs="*", metavar="NAME", help="what to measure, or `all` (default: one session)")
    c.add_argument("--list", action="store_true", help="show the names, what they are for and what they run")
    text = "keys of each member, in the first of several sessions (default 1000000, with the engine mpyc 1000); "
    c.add_argument("--rows", type=int, help=f"{text}the others change in proportion")
    c.add_argument("--members", type=int, help="how many members (default 3)")
    c.add_argument("--overlap", type=float, help="part of the keys that others have too (default 0.1)")
    c.add_argument("--rate", metavar="100mbit", help="limit every committee node's line (Linux, as root)")
    c.add_argument("--delay", type=float, metavar="MS", help="delay every committee node's line by this, each way")
    _add_terms(c)
    text = "measure with made-up lists and a rule on similar people, from file to result"
    c.add_argument("--similar", action="store_true", help=text)
    c.add_argument("--new", type=int, metavar="N", help="with --similar: so many records in all are new (default all)")
    c.add_argument(
        "--threshold", type=int, metavar="T", help="so many nodes may collude (default: the most there can be)"
    )
    c.add_argument("--out", type=Path, metavar="FILE.json", help="also write what --json prints, after each session")


def _add_terms(c: argparse.ArgumentParser) -> None:
    """Options of a session that is run on this computer."""
    c.add_argument("--engine", choices=[e.value for e in Engine], help="what the committee computes with")
    c.add_argument("--committee", type=int, metavar="N", help="how many nodes compute (default 3; more with mpyc)")
    c.add_argument("--reveal", choices=[r.value for r in Reveal], help="what the members learn (default flag)")


MAP = "what your list's columns stand for and how it is written; only for what Matchbit cannot find out by itself"
ID = "the session's id, or its first 8 or more digits"
BY = "who consents; needed where your node's policy names approvers"
ACCEPT = "go on although it looks wrong; first read what the command says without this"


def _add_lists(commands: Commands) -> None:
    text = "Look at a list before you use it: its columns, how rows are compared, which rows cannot be used and why."
    c = _add(commands, "check", "check", f"{text} Nothing leaves your computer.", own=False, as_json=True)
    c.add_argument("list", type=Path, metavar="LIST", help="a CSV or XLSX file")
    c.add_argument("--rules", type=Path, metavar="RULES.toml", help="the session's rules (default: the demo's)")
    c.add_argument("--country", metavar="UA", help="the session's country, for national phone numbers")
    c.add_argument("--map", type=Path, metavar="COLUMNS.toml", help=MAP)
    c.add_argument("--page", type=Path, metavar="PAGE.html", help="write a page to look at in a browser")
    text = "Find weights and thresholds of a rule on similar people from your own lists, and what they would do."
    c = _add(commands, "tune", "tune.tune", f"{text} Nothing leaves your computer.", own=False)
    c.add_argument("list", type=Path, metavar="LIST", help="a CSV or XLSX file; by itself it is compared with itself")
    c.add_argument("--other", type=Path, metavar="LIST", help="another list, to compare with")
    c.add_argument("--labels", metavar="HEADING", help="the column that is equal where two rows are of one person")
    c.add_argument("--rules", type=Path, metavar="RULES.toml", help="a similar rule to begin with (default: general)")
    c.add_argument("--country", metavar="UA", help="the session's country, for national phone numbers")
    c.add_argument("--map", type=Path, metavar="COLUMNS.toml", help=MAP)
    c.add_argument("--out", type=Path, metavar="RULE.toml", help="write the rule into a file, instead of showing it")
    text = "Take part in a session with your list. Only random shares of it leave your computer."
    c = _add(commands, "contribute", "contribute", text)
    c.add_argument("id", metavar="ID", help=ID)
    c.add_argument("list", type=Path, metavar="LIST", help="a CSV or XLSX file")
    c.add_argument("--map", type=Path, metavar="COLUMNS.toml", help=MAP)
    only = c.add_mutually_exclusive_group()
    text = "report only people registered on this day or later; all rows take part in the comparison"
    only.add_argument("--new-since", metavar="2026-01-31", help=text)
    only.add_argument("--new-column", metavar="HEADING", help="report only rows that say yes in this column")
    c.add_argument("--accept", action="store_true", help=ACCEPT)
    text = "Get your result: your list with columns that say who is on another member's list too, or the agreed table."
    c = _add(commands, "results", "results", text, as_json=True)
    c.add_argument("id", metavar="ID", help=ID)
    text = "the file to write, CSV or XLSX as your list was; CSV for a table"
    c.add_argument("--out", type=Path, required=True, metavar="FILE", help=text)
    c.add_argument("--page", type=Path, metavar="PAGE.html", help="the page that sums it up (default: beside FILE)")
    c.add_argument("--accept", action="store_true", help=ACCEPT)


def _add_sessions(sessions: Commands) -> None:
    c = _add(sessions, "propose", "session_propose", "Publish a session's terms (for the coordinator).")
    c.add_argument("manifest", type=Path, metavar="MANIFEST.toml")
    text = "Propose, wait for approvals and contributions, run, and report (for a coordinator's script or timer)."
    c = _add(sessions, "launch", "session_launch", text, as_json=True)
    c.add_argument("manifest", type=Path, metavar="MANIFEST.toml")
    c.add_argument("--wait-approvals", default="2h", metavar="2h", help="how long to wait for everyone (default 2h)")
    _add(sessions, "list", "session_list", "Show the sessions that you are part of.", as_json=True)
    close = "Coordinator: delete shares and results at all nodes. Member: delete your private copy of the list."
    for name, run, text in (
        ("show", "session_show", "Show a session's terms, who approved and who contributed."),
        ("approve", "approvalcommands.session_approve", "Sign a session's terms. Read them first with `session show`."),
        ("refuse", "approvalcommands.session_refuse", "Refuse a session's terms; it cannot be run then."),
        ("run", "session_run", "Have a session computed, and wait until it is (for the coordinator)."),
        ("close", "session_close", close),
    ):
        c = _add(sessions, name, run, text, as_json=name == "show")
        c.add_argument("id", metavar="ID", help=ID)
        if name == "approve":
            c.add_argument("--by", default="", metavar="NAME", help=BY)
        if name == "refuse":
            c.add_argument("--reason", required=True, help="in a few words, for everyone to read")
    text = "Show which proposals wait for your node, and what its policy says of each and why."
    c = _add(sessions, "pending", "approvalcommands.session_pending", text, as_json=True)
    c.add_argument("--act", action="store_true", help="refuse and approve by the policy, as a running node does")


def _add_reviews(reviews: Commands) -> None:
    for name, run, text, as_json in (
        ("show", "review_show", "Show a session's matches and what was decided on them.", True),
        ("decide", "review_decide", "Keep your decision on one row.", False),
        ("export", "review_export", "Write the rows that are not judged distinct into a file to fill in.", False),
        ("import", "review_import", "Keep the decisions of a file that was filled in: all of them or none.", False),
    ):
        c = _add(reviews, name, run, text, as_json=as_json)
        c.add_argument("id", metavar="ID", help=ID)
        if name == "decide":
            c.add_argument("row", type=int, metavar="ROW", help="the row's number in your list")
            meaning = "another person (distinct), the same (duplicate), or not known yet (unsure)"
            c.add_argument("decision", choices=DECISIONS, help=meaning)
            c.add_argument("--by", required=True, metavar="NAME", help="who decided")
            c.add_argument("--note", default="", metavar="TEXT", help="why; without personal data")
        if name == "export":
            c.add_argument("--out", type=Path, required=True, metavar="FILE.csv", help="the file to write")
        if name == "import":
            c.add_argument("list", type=Path, metavar="FILE", help="the exported file, as CSV or XLSX")
    c = _add(reviews, "forget", "review_forget", "Delete decisions that are no longer needed.")
    c.add_argument("--before", required=True, metavar="2026-01-31", help="decisions of earlier days are deleted")


def _add_audit(audit: Commands) -> None:
    text = "Check that logs are as their nodes wrote them: your own, or files that were exported, also by others."
    c = _add(audit, "verify", "auditcommands.audit_verify", text)
    c.add_argument("files", type=Path, nargs="*", metavar="FILE", help="exported logs (default: your node's own log)")
    text = "check your own log by itself; do not ask the coordinator what it holds of it"
    c.add_argument("--offline", action="store_true", help=text)
    text = "Show what your node logged of a session: who approved it, what was revealed to whom, what was deleted when."
    c = _add(audit, "export", "auditcommands.audit_export", text, as_json=True)
    c.add_argument("id", metavar="ID", help=f"{ID}; or `node`, for what happened to the node itself")
    c.add_argument("--out", type=Path, metavar="FILE.jsonl", help="write the log, for others to check")
    c.add_argument("--page", type=Path, metavar="FILE.html", help="write a page to read in a browser or to print")


def _add_nodes(nodes: Commands) -> None:
    text = "Make a node: its keys, its settings, and its entry for the others."
    c = _add(nodes, "init", nodecommands.node_init, text, own=False)
    c.add_argument("name", metavar="NAME", help="small letters, digits and hyphens, for example agency-a")
    c.add_argument("--dir", type=Path, required=True, help="a new folder for the node")
    c.add_argument(
        "--address", metavar="HOST:PORT", help="where others reach it; not needed by a member without a port"
    )
    c.add_argument("--coordinator", action="store_true", help="this node is the coordinator")
    c.add_argument("--passphrase", action="store_true", help="ask for what opens its storage, in place of a key file")
    _add(nodes, "serve", node_serve, "Run a node of a committee until it is stopped.")
    c = _add(nodes, "show", nodecommands.node_show, "Show a node's fingerprint, to compare by telephone.")
    c.add_argument("name", metavar="NAME", nargs="?", help="a node of your federation.toml (default: your own)")
    text = "Say what opens your node's storage: a passphrase or a key file. Seals the keys of earlier versions."
    c = _add(nodes, "protect", nodecommands.node_protect, text)
    only = c.add_mutually_exclusive_group()
    only.add_argument("--passphrase", action="store_true", help="ask for a new passphrase")
    only.add_argument("--key-file", type=Path, metavar="FILE", help="a key file; made if it is not there")
    c = _add(nodes, "rotate", nodecommands.node_rotate, "Replace your node's certificate without stopping anything.")
    c.add_argument("--finish", action="store_true", help="all others have the new entry: show the new certificate")
    text = "Look at everything that you answer for: keys, files, disk, clock, and whether partners can be reached."
    _add(nodes, "doctor", "upkeep.node_doctor", text, as_json=True)
    _add(nodes, "health", "upkeep.node_health", "Ask whether your node is running and takes new work.")
    text = "Save your node in one file, while it runs: without shares, results and lists, and without what opens it."
    c = _add(nodes, "backup", "upkeep.node_backup", text)
    c.add_argument("--out", type=Path, required=True, metavar="FILE.tar", help="the file to write")
    c = _add(nodes, "restore", "upkeep.node_restore", "Make your node again from a backup.", own=False)
    c.add_argument("file", type=Path, metavar="FILE.tar", help="the backup")
    c.add_argument("--dir", type=Path, required=True, help="an empty folder for the node")
    text = "Take over another node's new entry: its certificate or its address has changed."
    c = _add(nodes, "update", nodecommands.node_update, text)
    c.add_argument("entry", type=Path, metavar="ENTRY.toml", help="the file that its operator sent")


if __name__ == "__main__":
    sys.exit(main())
