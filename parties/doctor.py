"""What an operator should look at before others notice: keys, certificates, files, database, disk, clocks, partners.

Nothing is changed by looking.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path

from parties import manifest, partners, policyfile, protocols, toml
from parties.config import Config
from parties.errors import ConfigError, ServiceError
from parties.federation import Federation, Node
from parties.identity import utc_now, valid_until
from parties.partners import Answer
from parties.schema import MIGRATIONS
from parties.vault import KeyFile

EXPIRES_SOON = timedelta(days=30)
MIN_FREE_BYTES, FREE_PER_DATABASE = 2_000_000_000, 10
"""Room that there should be: this much, and so many times the database's size."""
SKEW_WARNING_S, SKEW_FAIL_S = 2.0, 60.0
OVERDUE = timedelta(hours=1)
"""A node that runs deletes much sooner."""
LOCKED_S = 5.0


class Grade(Enum):
    """How grave it is; the value is what people read."""

    OK = "ok"
    WARNING = "warning"
    FAIL = "FAIL"


class Part(Enum):
    """What was looked at."""

    SETTINGS = "settings"
    STATE = "state"
    PARTNERS = "partners"


@dataclass(frozen=True)
class Diagnosis:
    """One thing that was looked at.

    Attributes:
        part: of what.
        subject: in a word or two.
        grade: how grave it is.
        text: what is so, and what to do.
    """

    part: Part
    subject: str
    grade: Grade
    text: str

    def to_json(self) -> dict[str, str]:
        """As a JSON object."""
        return {
            "part": self.part.value,
            "subject": self.subject,
            "grade": self.grade.value,
            "text": self.text,
        }


Found = tuple[Grade, str]
Look = Callable[[Config], Iterator[Found]]


def examine(config: Config) -> Iterator[Diagnosis]:
    """Look at everything; what needs the node's keys is left out when they cannot be opened."""
    keys = list(_seen(Part.SETTINGS, "keys", _keys, config))
    yield from keys
    are_open = all(found.grade is not Grade.FAIL for found in keys)
    for part, subject, look in (*(_LOOKS_WITH_KEYS if are_open else ()), *_LOOKS):
        yield from _seen(part, subject, look, config)
    try:
        known = config.federation() if are_open else None
    except ConfigError:  # told already
        return
    if known is not None:
        yield from _partners(config, known)


def _seen(part: Part, subject: str, look: Look, config: Config) -> Iterator[Diagnosis]:
    """What a look finds; what it raises is a failure."""
    try:
        for grade, text in look(config):
            yield Diagnosis(part, subject, grade, text)
    except ServiceError as error:
        yield Diagnosis(part, subject, Grade.FAIL, str(error))
    except OSError as error:
        text = f"Cannot look at {error.filename or config.folder}: {error.strerror}."
        yield Diagnosis(part, subject, Grade.FAIL, text)


# Settings


def _keys(config: Config) -> Iterator[Found]:
    config.identity()
    yield Grade.OK, "The node's keys can be opened, and no other user can read them."


def _key_file(config: Config) -> Iterator[Found]:
    kind = toml.read(config.storage_key_path).get("wrapped_under")
    if kind != KeyFile.kind:
        yield Grade.OK, "The storage opens with a passphrase."
    elif config.key_path.resolve().is_relative_to(config.folder.resolve()):
        yield (
            Grade.WARNING,
            f"{config.key_path} lies beside what it opens: whoever copies the folder can read all of it. Move it to "
            "another disk or to the service's credentials, and say where in node.toml (`key_file`).",
        )
    else:
        yield Grade.OK, "The key file is kept apart from what it opens."


def _folder(config: Config) -> Iterator[Found]:
    open_to_others = [path for path in (config.folder, config.database) if _is_open(path)]
    for path in open_to_others:
        yield Grade.WARNING, f"{path} is open to other users; run `chmod go= {path}`."
    if not open_to_others:
        yield Grade.OK, f"{config.folder} is closed to other users."


def _is_open(path: Path) -> bool:
    return os.name == "posix" and path.exists() and bool(path.stat().st_mode & 0o077)


def _certificate(config: Config) -> Iterator[Found]:
    yield _validity(valid_until(config.identity().certificate), "run `matchbit node rotate`")
    if config.identity().next_certificate:
        yield Grade.WARNING, "The certificate is being rotated; end it with `matchbit node rotate --finish`."


def _validity(until: datetime, remedy: str) -> Found:
    left = until - utc_now()
    if left <= timedelta():
        return Grade.FAIL, f"The certificate expired on {until:%Y-%m-%d}; {remedy}."
    if left < EXPIRES_SOON:
        return Grade.WARNING, f"The certificate expires on {until:%Y-%m-%d}; {remedy}."
    return Grade.OK, f"The certificate is valid until {until:%Y-%m-%d}."


def _federation(config: Config) -> Iterator[Found]:
    known = config.federation()
    own = known[config.name]
    if not known.coordinator.address:
        yield Grade.FAIL, f"{known.coordinator.name} is the coordinator and has no address in federation.toml."
    if config.listen and not own.address:
        yield Grade.WARNING, "node.toml has `listen`, but this node's entry no address: others cannot call it."
    elif own.address and not config.listen:
        yield Grade.FAIL, f"Others call this node at {own.address}, but `listen` in node.toml is empty."
    yield Grade.OK, f"{len(known.nodes)} nodes are known; the coordinator is {known.coordinator.name}."


def _policy(config: Config) -> Iterator[Found]:
    if config.policy_path.exists():
        consent = policyfile.read(config.policy_path).consent.value
        yield Grade.OK, f"{config.policy_path.name} can be read; what it accepts is approved by: {consent}."
    else:
        yield Grade.OK, f"There is no {config.policy_path.name}: a person decides on each session."


def _metrics(config: Config) -> Iterator[Found]:
    host = config.metrics.rpartition(":")[0].strip("[]")
    try:
        private = not config.metrics or host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        private = False
    if private:
        yield Grade.OK, f"Served on {config.metrics} only." if config.metrics else "Not served."
    else:
        yield Grade.WARNING, f"{config.metrics} answers anybody who can reach it; use an address of loopback."


# State


def _database(config: Config) -> Iterator[Found]:
    if not config.database.exists():
        yield Grade.OK, "There is none yet: this node has taken part in nothing."
        return
    try:
        with closing(_opened(config)) as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            faults = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
            db.execute("BEGIN IMMEDIATE")
            db.execute("ROLLBACK")
    except sqlite3.Error as error:
        yield (
            Grade.FAIL,
            f"{config.database} cannot be read and written ({error}); see the disk and the file's owner.",
        )
        return
    if faults != "ok":
        yield Grade.FAIL, f"{config.database} is damaged; stop the node and restore a backup."
    elif version > len(MIGRATIONS):
        yield Grade.FAIL, f"{config.database} was written by a newer Matchbit; update this one."
    elif version < len(MIGRATIONS):
        yield Grade.WARNING, "It is of an earlier version; it is brought up to date when the node is started."
    else:
        yield Grade.OK, "It can be read and written, and is whole."


def _opened(config: Config) -> sqlite3.Connection:
    """The database as it is: not made, and not brought to another version."""
    uri = f"{config.database.resolve().as_uri()}?mode=rw"
    return sqlite3.connect(uri, uri=True, timeout=LOCKED_S, isolation_level=None)


def _disk(config: Config) -> Iterator[Found]:
    free = shutil.disk_usage(config.folder).free
    used = sum(path.stat().st_size for path in config.folder.glob(f"{config.database.name}*"))
    wanted = max(MIN_FREE_BYTES, FREE_PER_DATABASE * used)
    text = f"{free / 1e9:,.1f} GB are free, the database has {used / 1e9:,.1f} GB"
    if free < wanted:
        yield Grade.WARNING, f"{text}; make room until {wanted / 1e9:,.1f} GB are free."
    else:
        yield Grade.OK, f"{text}."


def _overdue(config: Config) -> Iterator[Found]:
    late = [terms for terms in _held(config) if utc_now() >= terms.retained_until() + OVERDUE]
    for terms in late:
        until = f"{terms.retained_until():%Y-%m-%d}"
        yield (
            Grade.FAIL,
            f"Shares of session {terms.session_id[:8].hex()} should have been deleted on {until}; start the node, "
            "which deletes them, or have the coordinator close the session.",
        )
    if not late:
        yield Grade.OK, "No shares or results are kept longer than agreed."


def _held(config: Config) -> list[manifest.Manifest]:
    """Terms of the sessions of which this node holds shares or results."""
    if not config.database.exists():
        return []
    held = "SELECT session FROM uploads UNION SELECT session FROM results"
    try:
        with closing(_opened(config)) as db:
            if db.execute("PRAGMA user_version").fetchone()[0] != len(MIGRATIONS):
                return []
            rows = db.execute(f"SELECT manifest FROM sessions WHERE id IN ({held})").fetchall()  # noqa: S608
    except sqlite3.Error:
        raise ConfigError("The database cannot be asked; see above.") from None
    return [manifest.from_bytes(row[0]) for row in rows]


_LOOKS_WITH_KEYS: tuple[tuple[Part, str, Look], ...] = (
    (Part.SETTINGS, "certificate", _certificate),
    (Part.SETTINGS, "federation", _federation),
)
_LOOKS: tuple[tuple[Part, str, Look], ...] = (
    (Part.SETTINGS, "key file", _key_file),
    (Part.SETTINGS, "folder", _folder),
    (Part.SETTINGS, "policy", _policy),
    (Part.SETTINGS, "metrics", _metrics),
    (Part.STATE, "database", _database),
    (Part.STATE, "disk", _disk),
    (Part.STATE, "retention", _overdue),
)


# Partners


def _partners(config: Config, known: Federation) -> Iterator[Diagnosis]:
    others = [node for node in known.nodes.values() if node.name != config.name]
    listening = [node for node in others if node.address]
    answers = partners.ask_all(config, [*listening, *([partners.own_node(config)] if config.listen else [])])
    for node in others:
        grade, text = _validity(valid_until(node.certificate), f"ask {node.name} to rotate it")
        if grade is not Grade.OK:
            yield Diagnosis(Part.PARTNERS, node.name, grade, text)
    if config.listen:
        grade, text = _own(config, answers[config.name])
        yield Diagnosis(Part.STATE, "service", grade, text)
    for node in listening:
        for grade, text in _partner(config.name, node, answers[node.name]):
            yield Diagnosis(Part.PARTNERS, node.name, grade, text)


def _own(config: Config, answer: Answer | ServiceError) -> Found:
    if isinstance(answer, ServiceError):
        return Grade.WARNING, f"Nothing answers on {config.listen}: {answer}"
    if answer.version != protocols.program():
        return Grade.WARNING, f"It runs {answer.version}, but {protocols.program()} is installed: restart it."
    return _health(answer)


def _health(answer: Answer) -> Found:
    text = f"It runs {answer.version} and takes new work."
    return (Grade.OK, text) if answer.is_serving else (Grade.WARNING, "It is being stopped.")


def _partner(own: str, node: Node, answer: Answer | ServiceError) -> Iterator[Found]:
    if isinstance(answer, ServiceError):
        yield Grade.FAIL, str(answer)
        return
    if answer.name != node.name:
        yield Grade.FAIL, f"The node at {node.address} calls itself {answer.name}; ask its operator."
    yield _health(answer)
    try:
        protocols.check(protocols.SUPPORTED, node.name, answer.protocols, own)
    except ServiceError as error:
        yield Grade.FAIL, str(error)
    else:
        if answer.version != protocols.program():
            text = f"It runs {answer.version}, this node {protocols.program()}: sessions need the same at all nodes."
            yield Grade.WARNING, text
    yield _clock(answer)


def _clock(answer: Answer) -> Found:
    apart_s = abs(answer.ahead_s)
    surely_s = apart_s - answer.uncertain_s
    if surely_s <= SKEW_WARNING_S:
        return Grade.OK, f"Its clock is within {apart_s + answer.uncertain_s:,.1f} s of ours."
    where = "ahead of" if answer.ahead_s > 0 else "behind"
    return (
        Grade.FAIL if surely_s > SKEW_FAIL_S else Grade.WARNING,
        f"Its clock is {apart_s:,.1f} s {where} ours (give or take {answer.uncertain_s:,.1f} s): let the operating "
        "systems of both keep the time by NTP.",
    )
