"""Targets: what is stored, restored, or handed on as a file, and a node's part of a result."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
from contextlib import suppress
from functools import cache
from random import Random

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mpc.shamir import ELEMENT_BYTES
from parties import auditfile, backup, reviewfile, story, vault, verdict
from parties.errors import ConfigError, InputError
from parties.manifest import Manifest, from_bytes
from parties.results import part_bytes, recombine, sources, value_type
from parties.review import Item
from parties.statistics import Category, Statistics
from parties.vault import KeyFile, Passphrase, Vault
from tests.fuzz.mutations import in_json, mutated
from tests.fuzz.target import MARK, Target, folder, in_file
from tests.parties.auditing import ID, Node, keys
from tests.parties.samples import NOW, federate, manifest

VAULT = Vault(bytes(32))
CONTEXT = b"a place"
SECRET_KEY = hashlib.sha256(MARK).digest()


# A backup


def _backup(data: bytes) -> None:
    """A backup is restored whole or not at all, and nothing is written anywhere else."""
    archive = in_file("backup.tar", data)
    place = folder() / "restoring"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    try:
        backup.restore(archive, place / "node")
    finally:
        assert {path.name for path in place.iterdir()} <= {"node"}
        found = {path.name for path in (place / "node").iterdir()} if (place / "node").exists() else set()
        assert not found or {*backup.NEEDED} <= found <= {*backup.LIMITS}


@cache
def _backups() -> list[bytes]:
    made = folder() / "to-back-up"
    config = federate(made, ("agency-a",))["agency-a"]
    config.store()
    backup.write(config, made / "out.tar", NOW)
    return [(made / "out.tar").read_bytes()]


def _in_archive(data: bytes, random: Random) -> bytes:
    """A backup with one part changed, and the digests as they must be; or with an entry that no backup has."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            parts = {entry.name: tar.extractfile(entry).read() for entry in tar if entry.isreg()}  # type: ignore[union-attr]
    except (tarfile.TarError, ValueError, AttributeError, EOFError):
        return data
    if not parts:
        return data
    name = random.choice(list(parts))
    parts[name] = mutated(_PART, parts[name], list(parts.values()), random)
    about = parts.get(backup.ABOUT, b"")
    if name != backup.ABOUT:
        digests = "".join(
            f'"{part}" = "{hashlib.sha256(content).hexdigest()}"\n'
            for part, content in parts.items()
            if part != backup.ABOUT
        )
        parts[backup.ABOUT] = about.partition(b"[sha256]")[0] + b"[sha256]\n" + digests.encode()
    return _tar(parts, random)


def _tar(parts: dict[str, bytes], random: Random) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in parts.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            if random.random() < 0.02:
                header.name = random.choice(("../" + name, "/tmp/" + name, "./" + name, "x" * 200))  # noqa: S108
            if random.random() < 0.02:
                header.type = random.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE))
                header.linkname = "/etc/passwd"
            tar.addfile(header, io.BytesIO(content))
    return written.getvalue()


def _about(data: bytes) -> None:
    backup._about(in_file(backup.ABOUT, data), InputError("damaged"))


# Secrets


def _sealed(data: bytes) -> None:
    """What opens is what was sealed."""
    assert VAULT.open(data, CONTEXT) == b"a piece"


def _storage_key(data: bytes) -> None:
    """A storage key under a key file; under a passphrase only what scrypt is asked for, which takes too long here."""
    path = in_file("storage-key.toml", data)
    kind, (n, r, _), *_ = vault._read(path)
    if kind == Passphrase.kind:
        assert 128 * n * r <= 1 << 30
        assert n < 1 << 16 * r, "scrypt has no such parameters"
        return
    opened = vault.load(path, lambda _: KeyFile(SECRET_KEY))
    assert opened.open(VAULT.seal(b"a piece", CONTEXT), CONTEXT) == b"a piece"


def _storage_keys() -> list[bytes]:
    path = in_file("seed.toml", b"")
    VAULT.save(path, KeyFile(SECRET_KEY))
    under_key_file = path.read_bytes()
    VAULT.save(path, Passphrase("long enough"))
    return [under_key_file, path.read_bytes()]


def _secret_files(data: bytes) -> None:
    """Files that hold secrets: what is wrong with them is told, what they hold is not."""
    read = (vault.read_passphrase, vault.read_key_file)[len(data) % 2]
    assert MARK.decode() not in repr(read(in_file("secret", data + MARK)))


# Logs


@cache
def _nodes() -> list[Node]:
    def key(name: str) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())

    where = folder() / "logs"
    where.mkdir()
    nodes = [Node(name, where, key(name)) for name in ("agency-a", "agency-b")]
    for node in nodes:
        node.live()
    nodes[0].hear(nodes[1].head())
    return nodes


def _export(data: bytes) -> None:
    """A log that was handed on: it can be judged and told, and a log that is believed is the one that was written."""
    export = auditfile.read(in_file("export.jsonl", data))
    (found, *_) = verdict.judge([export], keys(*_nodes()))
    terms: Manifest | None = None
    with suppress(ConfigError):
        terms = from_bytes(export.terms) if export.terms else None
    told = story.tell(export, terms, found).to_text()
    assert all(line.isprintable() for line in told.split("\n")), "a story with what a terminal obeys"
    if not found.fault and export.session == ID:
        written = {node.name: node.entries() for node in _nodes()}[export.node]
        assert export.entries == written[: len(export.entries)]


def _exports() -> list[bytes]:
    return [node.export(approvals={"agency-a": _nodes()[0].approval()}).to_bytes() for node in _nodes()]


def _in_lines(data: bytes, random: Random) -> bytes:
    """With one line's JSON changed."""
    lines = data.split(b"\n")
    k = random.randrange(len(lines))
    return b"\n".join([*lines[:k], in_json(lines[k], random), *lines[k + 1 :]])


# Results and decisions


def _parts(data: bytes) -> None:
    """Nodes' parts of a result: what is accepted is possible."""
    terms, own = _TERMS[data[0] % len(_TERMS) if data else 0], 4
    length = len(data) // len(sources(terms))
    parts = [data[1:][k * length :][:length] for k in range(len(sources(terms)))]
    values = recombine(terms, "agency-a", parts, own)
    if terms.statistics:
        assert values.shape == (3, 3)
        assert not np.any((values > 0) & (values < terms.statistics.smallest_cell))
        return
    dtype, shape = value_type(terms.reveal, 3)
    assert values.dtype == dtype
    assert values.shape == (own, *shape)
    assert not np.any(values.reshape(-1) > (6 if terms.reveal == "members" else 2))


_FLAGS = [
    manifest(reveal=mode, engine=engine) for engine in ("replicated", "mpyc") for mode in ("flag", "count", "members")
]
_TERMS = [*_FLAGS, manifest(reveal="statistics", statistics=Statistics(3, (Category("sex", ("f", "m")),)))]


def _results() -> list[bytes]:
    """Parts of zeros; and of a table that says 7 everywhere."""
    zeros = [bytes([k]) + bytes(len(sources(terms)) * part_bytes(terms, 4)) for k, terms in enumerate(_TERMS)]
    return [*zeros, bytes([len(_FLAGS)]) + b"".join([b"\7" + bytes(ELEMENT_BYTES - 1)] * 27)]


def _review(data: bytes) -> None:
    rows = [verdict.row for verdict in reviewfile.read_verdicts(in_file("review.csv", data), ID)]
    assert len({*rows}) == len(rows)


def _reviews() -> list[bytes]:
    out = folder() / "queue.csv"
    reviewfile.write_queue(out, ID, [Item(row, ("id",), ("another member",), None) for row in (2, 4)], None)
    return [out.read_bytes().replace(b",,,", b",distinct,looked at,Olena,")]


_PART = Target("part", lambda _: None, list, longest=1 << 20)
TARGETS = (
    Target("backup", _backup, _backups, _in_archive, longest=1 << 20),
    Target("backup-about", _about, lambda: [backup.About("agency-a", NOW, {"node.toml": "00" * 32}).to_toml()]),
    Target("sealed", _sealed, lambda: [VAULT.seal(b"a piece", CONTEXT)], longest=256),
    Target("storage-key", _storage_key, _storage_keys),
    Target("secret-file", _secret_files, lambda: [b"long enough\n", bytes(vault.KEY_BYTES - len(MARK))], longest=2048),
    Target("audit-export", _export, _exports, _in_lines, longest=1 << 16),
    Target("result", _parts, _results, longest=1024),
    Target("review", _review, _reviews, longest=2048),
)
