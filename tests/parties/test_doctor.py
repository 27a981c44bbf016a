"""What the doctor sees at a node by itself: every fault is made, and found."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from parties import config as configs
from parties import doctor, identity, vault
from parties.config import Config
from parties.doctor import Grade, Part
from parties.lifecycle import State
from parties.schema import MIGRATIONS
from parties.vault import Passphrase
from tests.parties.samples import files, manifest, write

Found = list[tuple[Grade, str]]


@pytest.fixture
def node(tmp_path: Path) -> Config:
    """A node that knows itself alone, as its coordinator, and does not run."""
    return configs.create("hub", tmp_path / "hub", "127.0.0.1:1", coordinator=True)


def examined(config: Config, subject: str) -> Found:
    """What is found of one subject."""
    return [(d.grade, d.text) for d in doctor.examine(config) if d.subject == subject]


def grades(config: Config, subject: str) -> list[Grade]:
    return [grade for grade, _ in examined(config, subject)]


def test_a_new_node_is_well_but_for_its_key_file_and_that_it_does_not_run(node: Config) -> None:
    before = files(node.folder)
    found = list(doctor.examine(node))
    assert {d.subject for d in found if d.grade is not Grade.OK} == {"key file", "service"}
    assert Grade.FAIL not in {d.grade for d in found}
    assert files(node.folder) == before


def test_every_diagnosis_is_a_sentence_and_fits_json(node: Config) -> None:
    for found in doctor.examine(node):
        assert found.text.endswith(".")
        assert found.to_json() == {
            "part": found.part.value,
            "subject": found.subject,
            "grade": found.grade.value,
            "text": found.text,
        }


# Settings


def test_keys_that_cannot_be_opened(node: Config) -> None:
    (node.folder / identity.SEALED).write_bytes(b"x" * 100)
    assert grades(node, "keys") == [Grade.FAIL]
    for needs_keys in ("certificate", "federation", "service"):
        assert examined(node, needs_keys) == []
    assert grades(node, "disk") == [Grade.OK]


def test_keys_that_others_can_read(node: Config) -> None:
    (node.folder / identity.SEALED).chmod(0o644)
    ((grade, text),) = examined(node, "keys")
    assert grade is Grade.FAIL
    assert "chmod 600" in text


def test_a_key_file_that_is_kept_apart(node: Config, tmp_path: Path) -> None:
    ((grade, text),) = examined(node, "key file")
    assert grade is Grade.WARNING
    assert str(node.key_path) in text
    shutil.move(node.key_path, tmp_path / "elsewhere.key")
    assert grades(replace(node, key_file=str(tmp_path / "elsewhere.key")), "key file") == [Grade.OK]
    link = node.folder / "link.key"
    link.symlink_to(tmp_path / "elsewhere.key")
    assert grades(replace(node, key_file="link.key"), "key file") == [Grade.OK]


def test_a_passphrase(tmp_path: Path) -> None:
    words = Passphrase("correct horse battery staple")
    made = configs.create("hub", tmp_path / "hub", "127.0.0.1:1", coordinator=True, passphrase=words)
    told = write(tmp_path / "passphrase", words.text)
    told.chmod(0o600)
    made = replace(made, passphrase_file=str(told))
    assert examined(made, "key file") == [(Grade.OK, "The storage opens with a passphrase.")]
    assert grades(made, "keys") == [Grade.OK]


def test_a_storage_key_that_is_missing(node: Config) -> None:
    (node.folder / vault.STORAGE_KEY).unlink()
    assert grades(node, "key file") == [Grade.FAIL]
    assert grades(node, "keys") == [Grade.FAIL]


def test_a_folder_that_is_open_to_others(node: Config) -> None:
    assert grades(node, "folder") == [Grade.OK]
    node.folder.chmod(0o750)
    node.store()
    node.database.chmod(0o640)
    found = examined(node, "folder")
    assert [grade for grade, _ in found] == [Grade.WARNING] * 2
    assert f"chmod go= {node.database}" in found[1][1]


@pytest.mark.parametrize(("days", "grade"), [(0, Grade.FAIL), (29, Grade.WARNING), (31, Grade.OK), (3650, Grade.OK)])
def test_a_certificates_validity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, grade: Grade) -> None:
    monkeypatch.setattr(identity, "VALID_DAYS", days)
    made = configs.create("hub", tmp_path / "hub", "127.0.0.1:1", coordinator=True)
    assert grades(made, "certificate") == [grade]


def test_a_rotation_that_was_not_finished(node: Config) -> None:
    node.identity().rotating(identity.utc_now()).save(node.folder, node.vault())
    assert grades(node, "certificate") == [Grade.OK, Grade.WARNING]


def test_a_certificate_of_another_node_that_expires(
    node: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "VALID_DAYS", 3)
    other = configs.create("agency-a", tmp_path / "a", "", coordinator=False)
    with node.federation_path.open("a", encoding="utf-8") as known:
        known.write((other.folder / "entry.toml").read_text("utf-8"))
    ((grade, text),) = examined(node, "agency-a")
    assert grade is Grade.WARNING
    assert "ask agency-a to rotate it" in text


@pytest.mark.parametrize(
    ("change", "grade"),
    [
        (lambda text: text, Grade.OK),
        (lambda text: text.replace("coordinator = true\n", ""), Grade.FAIL),
        (lambda text: text.replace('name = "hub"', 'name = "other"'), Grade.FAIL),
        (lambda _: "", Grade.FAIL),
        (lambda _: "what = ever", Grade.FAIL),
    ],
)
def test_a_federation_file(node: Config, change: Callable[[str], str], grade: Grade) -> None:
    write(node.federation_path, change(node.federation_path.read_text("utf-8")))
    assert grades(node, "federation") == [grade]


def test_addresses(node: Config, tmp_path: Path) -> None:
    found = examined(replace(node, listen=""), "federation")
    assert found[0][0] is Grade.FAIL
    assert "`listen` in node.toml is empty" in found[0][1]
    member = configs.create("agency-a", tmp_path / "a", "", coordinator=False)
    with member.federation_path.open("a", encoding="utf-8") as known:
        known.write((node.folder / "entry.toml").read_text("utf-8"))
    assert grades(member, "federation") == [Grade.OK]
    assert grades(replace(member, listen="127.0.0.1:1"), "federation") == [Grade.WARNING, Grade.OK]


@pytest.mark.parametrize(
    ("text", "grade", "told"),
    [
        (None, Grade.OK, "a person decides"),
        ("max_records = 1000\n", Grade.OK, "approved by: person"),
        ("max_records = -1\n", Grade.FAIL, "max_records"),
        ("no toml", Grade.FAIL, "not valid TOML"),
    ],
)
def test_a_policy(node: Config, text: str | None, grade: Grade, told: str) -> None:
    if text is not None:
        write(node.policy_path, text)
    ((found, words),) = examined(node, "policy")
    assert found is grade
    assert told in words


@pytest.mark.parametrize(
    ("address", "grade"),
    [
        ("", Grade.OK),
        ("127.0.0.1:9177", Grade.OK),
        ("localhost:9177", Grade.OK),
        ("[::1]:9177", Grade.OK),
        ("0.0.0.0:9177", Grade.WARNING),
        ("10.0.0.7:9177", Grade.WARNING),
        ("metrics.example.org:9177", Grade.WARNING),
    ],
)
def test_who_can_reach_the_metrics(node: Config, address: str, grade: Grade) -> None:
    assert grades(replace(node, metrics=address), "metrics") == [grade]


# State


def test_a_database(node: Config) -> None:
    assert "none yet" in examined(node, "database")[0][1]
    node.store()
    assert examined(node, "database") == [(Grade.OK, "It can be read and written, and is whole.")]


@pytest.mark.parametrize(
    ("version", "grade"), [(len(MIGRATIONS) + 1, Grade.FAIL), (len(MIGRATIONS) - 1, Grade.WARNING)]
)
def test_a_database_of_another_version(node: Config, version: int, grade: Grade) -> None:
    node.store()
    with closing(sqlite3.connect(node.database)) as db:
        db.execute(f"PRAGMA user_version = {version}")
    assert grades(node, "database") == [grade]
    with closing(sqlite3.connect(node.database)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (version,)
    assert grades(node, "retention") == [Grade.OK]


def test_a_damaged_database(node: Config) -> None:
    with closing(sqlite3.connect(node.database)) as db:
        db.execute("CREATE TABLE t (a)")
        db.executemany("INSERT INTO t VALUES (?)", [(bytes(3000),)] * 20)
        db.commit()
    whole = node.database.read_bytes()
    node.database.write_bytes(whole[:8192] + b"\xff" * 4096 + whole[12288:])
    assert grades(node, "database") == [Grade.FAIL]
    node.database.write_bytes(b"no database" * 1000)
    assert grades(node, "database") == [Grade.FAIL]
    assert grades(node, "retention") == [Grade.FAIL]


def test_a_database_that_somebody_holds_locked(node: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LOCKED_S", 0.01)
    store = node.store()
    with store.transaction():
        ((grade, text),) = examined(node, "database")
    assert grade is Grade.FAIL
    assert "locked" in text


@pytest.mark.parametrize(("wanted", "grade"), [(0, Grade.OK), (1 << 60, Grade.WARNING)])
def test_room_on_the_disk(node: Config, monkeypatch: pytest.MonkeyPatch, wanted: int, grade: Grade) -> None:
    monkeypatch.setattr(doctor, "MIN_FREE_BYTES", wanted)
    assert grades(node, "disk") == [grade]


def test_room_in_proportion_to_the_database(node: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    node.store()
    monkeypatch.setattr(doctor, "FREE_PER_DATABASE", 1 << 50)
    assert grades(node, "disk") == [Grade.WARNING]


def test_shares_that_are_kept_too_long(node: Config) -> None:
    store = node.store()
    times = {"created": "2020-01-01T00:00:00+00:00", "expires": "2020-02-01T00:00:00+00:00"}
    terms = [manifest(title=title, **times) for title in ("with results", "without")]
    terms.append(manifest(title="not over", created="2998-12-30T00:00:00+00:00", expires="2999-01-01T00:00:00+00:00"))
    for each in terms:
        store.add_session(each, State.APPROVED)
    with store.transaction() as db:
        for each in (terms[0], terms[2]):
            db.execute("INSERT INTO results VALUES (?, 'agency-a', ?)", (each.session_id, b"owner"))
    ((grade, text),) = examined(node, "retention")
    assert grade is Grade.FAIL
    assert terms[0].session_id[:8].hex() in text
    with store.transaction() as db:
        db.execute("DELETE FROM results WHERE session = ?", (terms[0].session_id,))
    assert grades(node, "retention") == [Grade.OK]


def test_what_is_looked_at_belongs_to_a_part(node: Config) -> None:
    parts = {d.subject: d.part for d in doctor.examine(node)}
    assert {s for s, p in parts.items() if p is Part.STATE} == {"database", "disk", "retention", "service"}
