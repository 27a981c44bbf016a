"""What `matchbit node` does to keep a node well: look at it, ask whether it runs, back it up, restore it."""

from __future__ import annotations

import argparse
import json

from parties import audit, backup, config, doctor, partners
from parties.doctor import Diagnosis, Grade, Part
from parties.errors import ConfigError, StorageError
from parties.identity import utc_now
from parties.progress import say


def node_doctor(a: argparse.Namespace) -> None:
    """Look at everything that an operator answers for.

    Raises:
        ConfigError: something is wrong with the node's own settings.
        StorageError: something else is.
    """
    found: list[Diagnosis] = []
    for diagnosis in doctor.examine(config.load(a.config)):
        found.append(diagnosis)
        if not a.json:
            say(f"{diagnosis.grade.value:<8} {diagnosis.subject:<16} {diagnosis.text}")
    if a.json:
        say(json.dumps({"checks": [diagnosis.to_json() for diagnosis in found]}, ensure_ascii=False))
    failed = [diagnosis for diagnosis in found if diagnosis.grade is Grade.FAIL]
    if failed:
        kind = ConfigError if any(diagnosis.part is Part.SETTINGS for diagnosis in failed) else StorageError
        subjects = ", ".join(dict.fromkeys(diagnosis.subject for diagnosis in failed))
        raise kind(f"Not well: {subjects}. What to do stands beside each FAIL.")


def node_health(a: argparse.Namespace) -> None:
    """Ask this node's own service whether it takes new work; for whatever watches it."""
    own = config.load(a.config)
    partners.check_own(own)
    say(f"{own.name} is well.")


def node_backup(a: argparse.Namespace) -> None:
    """Write the node's backup."""
    own = config.load(a.config)
    store = own.store()
    backup.write(own, a.out, utc_now())
    store.log(audit.NODE, audit.Event.BACKED_UP)
    say(f"{own.name} is backed up in {a.out}: sealed keys, settings, partners, sessions, decisions and the audit log.")
    say("No shares, results and lists. Keep what opens its storage (key file or passphrase) somewhere else.")


def node_restore(a: argparse.Namespace) -> None:
    """Make a node of a backup."""
    restored, about = backup.restore(a.file, a.dir)
    say(f"{restored.name} is in {restored.folder} as it was on {about.made:%Y-%m-%d %H:%M} UTC; its audit log says so.")
    say("Next: put its key file where node.toml says (`key_file`), run `matchbit node doctor`, then start it.")
    say("Members of sessions that were under way contribute again.")
    for path in (restored.federation_path, restored.policy_path):
        if path.parent != restored.folder:
            say(f"node.toml names {path}: the backup's copy is in {restored.folder}.")
