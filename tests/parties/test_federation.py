import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature

from parties import config, federation, identity
from parties.config import Config
from parties.errors import ConfigError, PeerIdentityError, SessionRefused
from parties.federation import Federation, entry_of
from parties.identity import certificate_digest
from tests.parties.samples import JARGON, NOW, approvals, federate, manifest, terms_of, write

NAMES = ("agency-a", "agency-b", "agency-c", "neutral")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Config]:
    return federate(tmp_path_factory.mktemp("federation"), NAMES, {"agency-a": "a.example:7700", "neutral": "n:1"})


@pytest.fixture(scope="module")
def known(nodes: dict[str, Config]) -> Federation:
    return nodes["agency-a"].federation()


def entry(nodes: dict[str, Config], name: str) -> str:
    return (nodes[name].folder / "entry.toml").read_text("utf-8")


def refused(path: Path) -> str:
    with pytest.raises(ConfigError) as error:
        federation.load(path)
    text = str(error.value)
    assert not any(word in text for word in JARGON)
    return text


def test_entries_that_were_put_together_are_read_as_they_were_made(nodes: dict[str, Config], known: Federation) -> None:
    assert set(known.nodes) == {*NAMES, "hub"}
    assert known.coordinator.name == "hub"
    for name, node in nodes.items():
        found, own = known[name], node.identity()
        assert (found.name, found.address, found.coordinator) == (name, node.listen, name == "hub")
        assert found.certificate == own.certificate
        assert found.signing_key == own.signing_key.public_key().public_bytes_raw()
        assert found == entry_of(own, node.listen, name == "hub")


@pytest.mark.parametrize("separator", ["\n", "\n\n# the next one\n", "\r\n"])
def test_entries_in_any_order_with_anything_between(nodes: dict[str, Config], tmp_path: Path, separator: str) -> None:
    path = write(tmp_path / "federation.toml", separator.join(entry(nodes, name) for name in reversed(NAMES)))
    loaded = federation.load(path)
    assert {n.digest for n in loaded.nodes.values()} == {nodes["hub"].federation()[name].digest for name in NAMES}


def test_an_entry_with_the_line_ends_of_windows_is_the_same_node(nodes: dict[str, Config], tmp_path: Path) -> None:
    path = write(tmp_path / "federation.toml", entry(nodes, "agency-a").replace("\n", "\r\n"))
    assert federation.load(path)["agency-a"] == nodes["agency-a"].federation()["agency-a"]


def test_a_digest_changes_with_either_key_and_with_nothing_else(nodes: dict[str, Config]) -> None:
    a, b = nodes["agency-a"].identity(), nodes["agency-b"].identity()
    own = entry_of(a, "", False)
    assert own.digest == entry_of(a, "elsewhere:1", True).digest
    mixed = identity.Identity("agency-a", a.tls_key, a.certificate, b.signing_key)
    swapped = identity.Identity("agency-a", b.tls_key, b.certificate, a.signing_key)
    assert len({own.digest, entry_of(mixed, "", False).digest, entry_of(swapped, "", False).digest}) == 3


def test_one_name_twice(nodes: dict[str, Config], tmp_path: Path) -> None:
    again = config.create("agency-a", tmp_path / "again", "", False)
    text = entry(nodes, "agency-a") + (again.folder / "entry.toml").read_text("utf-8")
    path = write(tmp_path / "federation.toml", text)
    assert refused(path) == f"{path} has two entries for agency-a; keep the right one."


def test_one_certificate_under_two_names(nodes: dict[str, Config], tmp_path: Path) -> None:
    text = entry(nodes, "agency-a")
    path = write(tmp_path / "federation.toml", text + text.replace('"agency-a"', '"agency-x"'))
    assert "gives two nodes the same certificate" in refused(path)


@pytest.mark.parametrize("names", [("agency-a",), ("agency-a", "agency-b")])
def test_without_a_coordinator(nodes: dict[str, Config], tmp_path: Path, names: tuple[str, ...]) -> None:
    loaded = federation.load(write(tmp_path / "f.toml", "\n".join(entry(nodes, name) for name in names)))
    with pytest.raises(ConfigError, match="exactly one coordinator; it names 0"):
        _ = loaded.coordinator


def test_two_coordinators(nodes: dict[str, Config], tmp_path: Path) -> None:
    other = config.create("hub-2", tmp_path / "hub-2", "h:1", True)
    text = entry(nodes, "hub") + (other.folder / "entry.toml").read_text("utf-8")
    loaded = federation.load(write(tmp_path / "f.toml", text))
    with pytest.raises(ConfigError, match="exactly one coordinator; it names 2"):
        _ = loaded.coordinator


def test_an_unknown_name(known: Federation) -> None:
    with pytest.raises(ConfigError, match=r"agency-x is not in federation.toml; add its entry.toml"):
        known["agency-x"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('name = "agency-a"', "", "`name`, `signing_key` and `certificate` must be"),
        ('name = "agency-a"', "name = 7", "node 1"),
        ('name = "agency-a"', 'name = ["agency-a"]', "node 1"),
        ('name = "agency-a"', 'name = "Agency A"', "the name or the signing key is malformed"),
        ('name = "agency-a"', 'name = "agency-a\\n"', "the name or the signing key is malformed"),
        ('signing_key = "', 'signing_key = "00', "the name or the signing key is malformed"),
        ('signing_key = "', 'signing_key = "zz', "`name`, `signing_key` and `certificate` must be"),
        ('signing_key = "', 'other = "', "`name`, `signing_key` and `certificate` must be"),
        ("signing_key", "signing_key = 7\nother", "`name`, `signing_key` and `certificate` must be"),
        ("certificate", "other", "`name`, `signing_key` and `certificate` must be"),
        ("certificate", "certificate = 7\nother", "`name`, `signing_key` and `certificate` must be"),
        ("BEGIN CERTIFICATE", "BEGIN NOTHING", "certificate is damaged"),
        ("MII", "AAA", "certificate is damaged"),
        ('address = "a.example:7700"', "address = 7700", "node 1"),
        ('address = "a.example:7700"', 'coordinator = "false"', "node 1"),
        ('address = "a.example:7700"', "coordinator = 1", "node 1"),
    ],
)
def test_wrong_entries_are_named(nodes: dict[str, Config], tmp_path: Path, old: str, new: str, says: str) -> None:
    text = entry(nodes, "agency-a")
    assert old in text
    assert says in refused(write(tmp_path / "f.toml", text.replace(old, new, 1)))


@pytest.mark.parametrize("content", ["node = 3", "node = 'x'", "node = ['x']", "[node]\nname = 'a'", "node = [[]]"])
def test_nodes_that_are_something_else(tmp_path: Path, content: str) -> None:
    path = write(tmp_path / "f.toml", content)
    assert str(path) in refused(path)


@pytest.mark.parametrize("content", [b"[[node]", b"[[node]]\nname = "])
def test_what_is_not_toml(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path / "f.toml", content)
    assert f"{path} is not valid TOML" in refused(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert f"Cannot read {tmp_path / 'none.toml'}" in refused(tmp_path / "none.toml")
    assert f"Cannot read {tmp_path}" in refused(tmp_path)


def test_an_empty_file_names_nobody(tmp_path: Path) -> None:
    assert federation.load(write(tmp_path / "f.toml", "")).nodes == {}


# Who is calling


def test_a_caller_is_who_its_certificate_is_pinned_for(nodes: dict[str, Config], known: Federation) -> None:
    for name, node in nodes.items():
        assert known.by_certificate(node.identity().certificate).name == name


def test_a_certificate_with_a_members_name_but_other_keys_is_nobodys(known: Federation, tmp_path: Path) -> None:
    forged = identity.create("agency-a", tmp_path, NOW)
    with pytest.raises(PeerIdentityError, match=r"not in this node's federation\.toml"):
        known.by_certificate(forged.certificate)


@pytest.mark.parametrize("pem", [b"", b"text"])
def test_a_caller_without_a_certificate(known: Federation, pem: bytes) -> None:
    with pytest.raises(ConfigError):
        known.by_certificate(pem)


def test_a_nodes_verifier_is_its_signing_key(nodes: dict[str, Config], known: Federation) -> None:
    signature = nodes["neutral"].identity().signing_key.sign(b"x")
    known["neutral"].verifier().verify(signature, b"x")
    with pytest.raises(InvalidSignature):
        known["agency-a"].verifier().verify(signature, b"x")


# Whether a session may go on


def test_a_session_that_everyone_signed(nodes: dict[str, Config], known: Federation) -> None:
    terms = terms_of(nodes)
    known.check_approved(terms, approvals(nodes, terms), NOW)


@pytest.mark.parametrize("absent", NAMES)
def test_every_signature_is_needed(nodes: dict[str, Config], known: Federation, absent: str) -> None:
    terms = terms_of(nodes)
    signatures = approvals(nodes, terms)
    del signatures[absent]
    with pytest.raises(SessionRefused, match=f"Not yet approved by {absent};"):
        known.check_approved(terms, signatures, NOW)


@pytest.mark.parametrize("name", NAMES)
def test_every_signature_is_checked(nodes: dict[str, Config], known: Federation, name: str) -> None:
    terms = terms_of(nodes)
    signatures = approvals(nodes, terms)
    other = signatures[next(n for n in NAMES if n != name)]
    elsewhere = approvals(nodes, terms_of(nodes, title="Other"))[name]
    for false in (other, elsewhere, bytes(64), b""):
        with pytest.raises(ConfigError, match=f"in the name of {name} is not signed"):
            known.check_approved(terms, signatures | {name: false}, NOW)


def test_an_expired_session(nodes: dict[str, Config], known: Federation) -> None:
    terms = terms_of(nodes)
    expires = datetime.fromisoformat(terms.expires)
    known.check_approved(terms, approvals(nodes, terms), expires - timedelta(seconds=1))
    with pytest.raises(SessionRefused, match=f"'Winter cash' expired on {terms.expires}".replace("+", r"\+")):
        known.check_approved(terms, approvals(nodes, terms), expires)


@pytest.mark.parametrize("name", [*NAMES, "hub"])
def test_terms_that_pin_other_keys_for_a_name(nodes: dict[str, Config], known: Federation, name: str) -> None:
    terms = terms_of(nodes)
    changed = manifest(nodes={**terms.nodes, name: "0" * 64})
    with pytest.raises(PeerIdentityError, match=f"pins other keys for {name} than .* compare with {name}"):
        known.check(changed, NOW)
    with pytest.raises(PeerIdentityError):
        known.check_approved(changed, approvals(nodes, changed), NOW)


def test_terms_from_the_future(nodes: dict[str, Config], known: Federation) -> None:
    """A coordinator cannot put off the end of retention by a false time of creation."""
    terms = manifest(nodes=terms_of(nodes).nodes)
    created = datetime.fromisoformat(terms.created)
    known.check(terms, created - timedelta(hours=23))
    with pytest.raises(SessionRefused, match="still to come"):
        known.check(terms, created - timedelta(hours=25))


def test_terms_with_an_unknown_node(nodes: dict[str, Config], tmp_path: Path) -> None:
    terms = terms_of(nodes)
    few = federation.load(write(tmp_path / "f.toml", entry(nodes, "hub") + entry(nodes, "agency-a")))
    with pytest.raises(ConfigError, match=r"is not in federation\.toml"):
        few.check(terms, NOW)


def test_the_digest_of_an_entry_is_of_its_pinned_certificate(known: Federation, nodes: dict[str, Config]) -> None:
    shutil.copy(nodes["agency-a"].folder / "certificate.pem", nodes["agency-a"].folder / "copy.pem")
    copied = (nodes["agency-a"].folder / "copy.pem").read_bytes()
    assert certificate_digest(copied) == certificate_digest(known["agency-a"].certificate)
