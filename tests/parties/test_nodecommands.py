"""A node's identity from the command line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from parties import cli, config, federation, identity
from parties.config import Config
from parties.identity import PLAIN_CERTIFICATE, PLAIN_SIGNING_KEY, PLAIN_TLS_KEY
from tests.parties.samples import NOW, federate, files, write
from tests.parties.test_cli import ROOT, Captured, fails

POSIX = pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX systems'")
WORDS = "correct horse battery staple"
PROMPT = re.compile(r"(agency-a|words|again): $")


def does(capsys: Captured, *argv: str | Path) -> str:
    """Run a command that succeeds; returns what it says, in one line."""
    assert cli.main([str(a) for a in argv]) == 0
    out, error = capsys.readouterr()
    assert error == ""
    assert "PRIVATE KEY" not in out
    return " ".join(out.split())


def at_a_terminal(*argv: str | Path, answers: Sequence[str] = ()) -> tuple[int, str]:
    """Run a command in a terminal of its own, with somebody who answers its questions; (exit code, what it shows)."""
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "parties.cli", *map(str, argv)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, cwd=ROOT) as run:
        os.close(theirs)
        shown, left = "", list(answers)
        try:
            while part := os.read(ours, 1024).decode():
                shown += part
                if PROMPT.search(shown):
                    if not left:  # it asks for more than it should: nobody answers any longer
                        break
                    os.write(ours, f"{left.pop(0)}\n".encode())
        except OSError:  # how Linux tells the end
            pass
        os.close(ours)
    return run.returncode, shown.replace("\r\n", "\n")


@pytest.fixture
def own(tmp_path: Path) -> Config:
    return federate(tmp_path, ["agency-a", "agency-b"], {"agency-a": "a.example:7700"})["agency-a"]


def settings(own: Config) -> tuple[str, Path]:
    return "--config", own.folder / "node.toml"


# Making and showing


def test_making_a_node(tmp_path: Path, capsys: Captured) -> None:
    folder = tmp_path / "a"
    said = does(capsys, "node", "init", "agency-a", "--dir", folder, "--address", "a.example:7700")
    digest = federation.load(folder / "entry.toml")["agency-a"].digest
    assert digest in said.replace(" ", "")
    for wanted in ("agency-a", str(folder), "entry.toml", "federation.toml", "private", "telephone", "storage.key"):
        assert wanted in said
    assert 'address = "a.example:7700"' in (folder / "entry.toml").read_text("utf-8")
    before = files(folder)
    assert "holds a node already" in fails(2, capsys, "node", "init", "agency-a", "--dir", folder)
    assert files(folder) == before


def test_making_a_coordinator(tmp_path: Path, capsys: Captured) -> None:
    init: list[str | Path] = ["node", "init", "hub", "--coordinator", "--dir", tmp_path / "hub"]
    assert "give its --address HOST:PORT" in fails(2, capsys, *init)
    does(capsys, *init, "--address", "hub.example:1")
    assert "coordinator = true" in (tmp_path / "hub" / "entry.toml").read_text("utf-8")


@pytest.mark.parametrize("name", ["Agency A", "a_b", ""])
def test_making_a_node_with_a_bad_name(tmp_path: Path, name: str, capsys: Captured) -> None:
    assert "small letters, digits and hyphens" in fails(2, capsys, "node", "init", name, "--dir", tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_showing_nodes(own: Config, capsys: Captured) -> None:
    known = own.federation()
    for names, node in (((), known["agency-a"]), (("agency-b",), known["agency-b"]), (("hub",), known["hub"])):
        said = does(capsys, "node", "show", *names, *settings(own))
        assert said.startswith(f"{node.name}, {node.address or 'connects out only'}")
        assert re.sub(r"\W", "", said).find(f"Fingerprint{node.digest}Certificate") > 0
        assert re.search(r"Certificate: valid until 20\d\d-\d\d-\d\d$", said)
    assert ", coordinator " in does(capsys, "node", "show", "hub", *settings(own))
    assert "agency-x is not in federation.toml" in fails(2, capsys, "node", "show", "agency-x", *settings(own))


# Rotating


def test_rotating_from_begin_to_end(own: Config, capsys: Captured) -> None:
    before, others = own.federation()["agency-a"], own.federation()["agency-b"]
    said = does(capsys, "node", "rotate", *settings(own))
    assert f"send {own.folder / 'entry.toml'} to the other nodes' operators" in said
    assert "`matchbit node rotate --finish`" in said
    during = federation.load(own.folder / "entry.toml")["agency-a"]
    assert during.certificates == (before.certificate, own.identity().next_certificate)
    assert during == federation.load(own.federation_path)["agency-a"]
    assert "it is being rotated" in does(capsys, "node", "show", *settings(own))
    sealed = own.identity()
    assert does(capsys, "node", "rotate", *settings(own)) == said, (
        "what was interrupted is completed by the same command"
    )
    assert own.identity().next_certificate == sealed.next_certificate
    does(capsys, "node", "rotate", "--finish", *settings(own))
    after = federation.load(own.folder / "entry.toml")["agency-a"]
    assert after.certificates == (during.next_certificate,) == (own.identity().certificate,)
    assert own.identity().tls_key == sealed.next_tls_key
    assert after == federation.load(own.federation_path)["agency-a"] == own.federation()["agency-a"]
    assert (after.digest, after.address) == (before.digest, "a.example:7700")
    assert federation.load(own.federation_path)["agency-b"] == others


def test_a_rotation_that_was_never_begun_cannot_be_finished(own: Config, capsys: Captured) -> None:
    before = files(own.folder)
    said = fails(2, capsys, "node", "rotate", "--finish", *settings(own))
    assert "No certificate is being rotated; begin with `matchbit node rotate`" in said
    assert files(own.folder) == before


def test_a_federation_file_that_a_program_had_better_leave_alone(own: Config, capsys: Captured) -> None:
    text = own.federation_path.read_text("utf-8").replace('name = "agency-a"', 'name    =   "agency-a"', 1)
    write(own.federation_path, text.replace("[[node]]", "  [[node]]"))
    said = does(capsys, "node", "rotate", *settings(own))
    assert f"Put it in place of agency-a's entry in {own.federation_path} too." in said
    assert len(federation.load(own.folder / "entry.toml")["agency-a"].certificates) == 2
    assert len(own.federation()["agency-a"].certificates) == 2


def test_taking_over_a_nodes_new_entry(own: Config, tmp_path: Path, capsys: Captured) -> None:
    other = config.load(tmp_path / "agency-b" / "node.toml")
    begun = federation.entry_of(other.identity().rotating(NOW), "b.example:7700", False)
    said = does(capsys, "node", "update", write(tmp_path / "new.toml", begun.entry()), *settings(own))
    assert said == "agency-b's entry is the new one, at b.example:7700. Nothing need be restarted."
    assert own.federation()["agency-b"] == begun


def test_an_entry_of_another_signing_key_is_not_taken_over(own: Config, tmp_path: Path, capsys: Captured) -> None:
    stranger = config.create("agency-b", tmp_path / "other", "", False)
    before = files(own.folder)
    said = fails(4, capsys, "node", "update", stranger.folder / "entry.toml", *settings(own))
    assert "the fingerprints differ. Telephone its operator" in said
    unknown = config.create("agency-x", tmp_path / "x", "", False)
    said = fails(2, capsys, "node", "update", unknown.folder / "entry.toml", *settings(own))
    assert "agency-x is not in federation.toml; add its entry.toml" in said
    assert files(own.folder) == before


def test_an_entry_that_a_person_must_put_in_its_place(own: Config, tmp_path: Path, capsys: Captured) -> None:
    text = own.federation_path.read_text("utf-8").replace("[[node]]", "  [[node]]")
    write(own.federation_path, text)
    said = fails(2, capsys, "node", "update", tmp_path / "agency-b" / "entry.toml", *settings(own))
    assert "is best changed by hand" in said
    assert own.federation_path.read_text("utf-8") == text


# Protecting


def test_another_key_file(own: Config, tmp_path: Path, capsys: Captured) -> None:
    sealed = own.vault().seal(b"shares", b"context")
    for key_file in (tmp_path / "disk.key", own.folder / "other.key"):
        said = does(capsys, "node", "protect", "--key-file", key_file, *settings(own))
        assert f"agency-a's storage opens with {key_file}." in said
        loaded = config.load(own.folder / "node.toml")
        assert loaded.key_path == key_file
        assert loaded.vault().open(sealed, b"context") == b"shares"
    does(capsys, "node", "protect", "--key-file", tmp_path / "disk.key", *settings(own))
    assert config.load(own.folder / "node.toml").vault().open(sealed, b"context") == b"shares"


def test_nothing_to_protect(own: Config, capsys: Captured) -> None:
    before = files(own.folder)
    said = fails(2, capsys, "node", "protect", *settings(own))
    assert "say with --passphrase or --key-file FILE what shall open it" in said
    assert files(own.folder) == before


@pytest.mark.parametrize("begun", [False, True])
def test_a_folder_of_an_earlier_version(own: Config, capsys: Captured, begun: bool) -> None:
    digest = own.federation()["agency-a"].digest
    write(own.folder / PLAIN_SIGNING_KEY, identity._pem(own.identity().signing_key)).chmod(0o600)
    write(own.folder / PLAIN_TLS_KEY, own.identity().tls_key).chmod(0o600)
    write(own.folder / PLAIN_CERTIFICATE, own.identity().certificate)
    (own.folder / identity.SEALED).unlink()
    if not begun:
        for name in ("storage-key.toml", "storage.key"):
            (own.folder / name).unlink()
    entry = own.folder / "entry.toml"
    write(entry, re.sub(r"signature = .*\n", "", entry.read_text("utf-8")))
    assert "`matchbit node protect`" in fails(2, capsys, "node", "show", *settings(own))
    said = does(capsys, "node", "protect", *settings(own))
    assert "Copies of them, in backups and on an SSD, may remain." in said
    assert not set(files(own.folder)) & {PLAIN_SIGNING_KEY, PLAIN_TLS_KEY, PLAIN_CERTIFICATE}
    loaded = config.load(own.folder / "node.toml").federation()["agency-a"]
    assert (loaded.digest, loaded.address) == (digest, "a.example:7700")
    assert federation.load(entry)["agency-a"] == loaded


def test_a_lost_storage_key_is_not_made_anew(own: Config, capsys: Captured) -> None:
    (own.folder / "storage-key.toml").unlink()
    before = files(own.folder)
    assert "is missing, and nothing else opens the keys" in fails(2, capsys, "node", "protect", *settings(own))
    assert "Restore it from a backup" in fails(2, capsys, "node", "show", *settings(own))
    assert files(own.folder) == before


@pytest.mark.parametrize("content", ["", "node = 3", "[[node]]\n[[node]]"])
def test_an_earlier_version_without_its_entry(own: Config, capsys: Captured, content: str) -> None:
    write(own.folder / PLAIN_SIGNING_KEY, identity._pem(own.identity().signing_key)).chmod(0o600)
    write(own.folder / "entry.toml", content)
    assert "must hold this node's entry" in fails(2, capsys, "node", "protect", *settings(own))
    assert (own.folder / PLAIN_SIGNING_KEY).exists()


def test_a_damaged_key_of_an_earlier_version(own: Config, capsys: Captured) -> None:
    write(own.folder / PLAIN_SIGNING_KEY, "damaged").chmod(0o600)
    (own.folder / identity.SEALED).unlink()
    assert "is damaged; restore it from a backup" in fails(2, capsys, "node", "protect", *settings(own))
    assert (own.folder / PLAIN_SIGNING_KEY).read_text() == "damaged"


# Passphrases


@POSIX
def test_a_node_under_a_passphrase(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    path = ("--config", folder / "node.toml")
    code, shown = at_a_terminal("node", "init", "agency-a", "--dir", folder, "--passphrase", answers=[WORDS, WORDS])
    assert (code, WORDS in shown) == (0, False)
    assert not (folder / "storage.key").exists()
    code, shown = at_a_terminal("node", "show", *path, answers=[WORDS])
    assert (code, WORDS in shown) == (0, False)
    assert "Passphrase of agency-a: " in shown
    code, shown = at_a_terminal("node", "show", *path, answers=["correct horse battery stable"])
    assert code == 2
    assert "The passphrase is not the one that" in shown
    code, shown = at_a_terminal("node", "protect", "--passphrase", *path, answers=[WORDS, *["other words for it"] * 2])
    assert (code, "agency-a's storage opens with the passphrase." in shown) == (0, True)
    assert at_a_terminal("node", "show", *path, answers=[WORDS])[0] == 2
    assert at_a_terminal("node", "show", *path, answers=["other words for it"])[0] == 0


@POSIX
@pytest.mark.parametrize(
    ("answers", "says"),
    [(["too short"], "shorter than 12 characters"), ([WORDS, WORDS[:-1]], "two passphrases differ")],
)
def test_passphrases_that_are_not_taken(own: Config, answers: list[str], says: str) -> None:
    before = files(own.folder)
    code, shown = at_a_terminal("node", "protect", "--passphrase", *settings(own), answers=answers)
    assert (code, says in shown) == (2, True)
    assert files(own.folder) == before
