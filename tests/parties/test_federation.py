import dataclasses
import hashlib
import stat
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature

from parties import config, federation, identity
from parties.config import Config
from parties.errors import ConfigError, PeerIdentityError, SessionRefused
from parties.federation import Federation, Node, entry_of
from parties.vault import Vault
from tests.parties.samples import JARGON, NOW, approvals, federate, manifest, terms_of, write

WANTED = "`name`, `signing_key`, `signature` and `certificate` must be"
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


def test_a_digest_is_of_name_and_signing_key_and_outlasts_all_else(nodes: dict[str, Config]) -> None:
    a, b = nodes["agency-a"].identity(), nodes["agency-b"].identity()
    own = entry_of(a, "", False)
    begun = a.rotating(NOW)
    for same in (entry_of(a, "elsewhere:1", True), entry_of(begun, "", False), entry_of(begun.rotated(), "", False)):
        assert same.digest == own.digest
    others = dataclasses.replace(a, signing_key=b.signing_key), dataclasses.replace(a, name="agency-x")
    assert len({own.digest, *(entry_of(other, "", False).digest for other in others)}) == 3
    assert own.digest == hashlib.sha256(b"matchbit node\0agency-a\0" + own.signing_key).hexdigest()


def test_one_name_twice(nodes: dict[str, Config], tmp_path: Path) -> None:
    again = config.create("agency-a", tmp_path / "again", "", False)
    text = entry(nodes, "agency-a") + (again.folder / "entry.toml").read_text("utf-8")
    path = write(tmp_path / "federation.toml", text)
    assert refused(path) == f"{path} has two entries for agency-a; keep the right one."


def test_one_certificate_under_two_names(nodes: dict[str, Config], tmp_path: Path) -> None:
    a = nodes["agency-a"].identity()
    x = dataclasses.replace(nodes["agency-b"].identity(), name="agency-x", next_certificate=a.certificate)
    for entries in (entry_of(a, "", False), entry_of(x, "", False)), (entry_of(x, "", False), entry_of(a, "", False)):
        path = write(tmp_path / "federation.toml", "\n".join(node.entry() for node in entries))
        first, second = (node.name for node in entries)
        assert refused(path) == f"{path}: certificates of {first} and {second} cannot be told apart."


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
        ('name = "agency-a"', "", WANTED),
        ('name = "agency-a"', "name = 7", "node 1"),
        ('name = "agency-a"', 'name = ["agency-a"]', "node 1"),
        ('name = "agency-a"', 'name = "Agency A"', "the name or the signing key is malformed"),
        ('name = "agency-a"', 'name = "agency-a\\n"', "the name or the signing key is malformed"),
        ('signing_key = "', 'signing_key = "00', "the name or the signing key is malformed"),
        ('signing_key = "', 'signing_key = "zz', WANTED),
        ('signing_key = "', 'other = "', WANTED),
        ("signing_key", "signing_key = 7\nother", WANTED),
        ("certificate", "other", WANTED),
        ("certificate", "certificate = 7\nother", WANTED),
        ("certificate", "next_certificate = 7\ncertificate", WANTED),
        ('signature = "', 'other = "', WANTED),
        ('signature = "', 'signature = "zz', WANTED),
        ('signature = "', 'signature = "00', "agency-a's signing key does not vouch for this entry"),
        ('signature = "', 'signature = "" # ', "agency-a's signing key does not vouch for this entry"),
        ('name = "agency-a"', 'name = "agency-x"', "agency-x's signing key does not vouch for this entry"),
        ("BEGIN CERTIFICATE", "BEGIN NOTHING", "certificate is damaged"),
        ("MII", "AAA", "certificate is damaged"),
        ('address = "a.example:7700"', "address = 7700", "node 1"),
        ('address = "a.example:7700"', 'address = "a.example"', "node 1"),
        ('address = "a.example:7700"', 'address = "a\\n:7700"', "node 1"),
        ('address = "a.example:7700"', 'coordinator = "false"', "node 1"),
        ('address = "a.example:7700"', "coordinator = 1", "node 1"),
    ],
)
def test_wrong_entries_are_named(nodes: dict[str, Config], tmp_path: Path, old: str, new: str, says: str) -> None:
    text = entry(nodes, "agency-a")
    assert old in text
    assert says in refused(write(tmp_path / "f.toml", text.replace(old, new, 1)))


def test_only_what_the_signing_key_vouches_for_is_pinned(nodes: dict[str, Config], tmp_path: Path) -> None:
    """Whoever changes an entry on its way cannot slip in a certificate: not in place of another, not beside it."""
    text, good = entry(nodes, "agency-a"), nodes["agency-a"].identity().certificate.decode()
    forged = identity.create("agency-a", tmp_path, nodes["agency-b"].vault(), NOW).certificate.decode()
    beside = f'{text}next_certificate = """\n{forged}"""\n'
    for changed in (*(text.replace(good, new) for new in (forged, good + forged, forged + good)), beside):
        said = refused(write(tmp_path / "f.toml", changed))
        assert "agency-a" in said
        assert "does not vouch for this entry" in said or "it must be one" in said
    for old, new in (("a.example:7700", "b.example:1"), (good, f"With regards:\n{good}")):
        loaded = federation.load(write(tmp_path / "f.toml", text.replace(old, new)))
        assert loaded["agency-a"].certificate == good.encode()


def test_a_certificate_that_another_node_vouches_for(nodes: dict[str, Config], tmp_path: Path) -> None:
    a, b = nodes["agency-a"].identity(), nodes["agency-b"].identity()
    mixed = entry_of(dataclasses.replace(a, signing_key=b.signing_key), "", False)
    false = dataclasses.replace(mixed, signing_key=a.signing_key.public_key().public_bytes_raw())
    assert "does not vouch" in refused(write(tmp_path / "f.toml", false.entry()))


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
    forged = identity.create("agency-a", tmp_path, Vault(bytes(32)), NOW)
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


# Rotation


def test_both_certificates_of_a_node_that_rotates_are_its_own(nodes: dict[str, Config], known: Federation) -> None:
    a = nodes["agency-a"].identity()
    begun = a.rotating(NOW)
    pinning = known.with_own(entry_of(begun, "", False))
    assert {pinning.by_certificate(pem).name for pem in (a.certificate, begun.next_certificate)} == {"agency-a"}
    finished = pinning.with_own(entry_of(begun.rotated(), "", False))
    assert finished.by_certificate(begun.next_certificate).name == "agency-a"
    with pytest.raises(PeerIdentityError):
        finished.by_certificate(a.certificate)


def test_an_entry_with_two_certificates_is_read_as_it_was_made(nodes: dict[str, Config], tmp_path: Path) -> None:
    own = entry_of(nodes["agency-a"].identity().rotating(NOW), "a.example:7700", False)
    assert len(own.certificates) == 2
    assert federation.load(write(tmp_path / "f.toml", own.entry()))["agency-a"] == own


@pytest.fixture(scope="module")
def rotated(nodes: dict[str, Config]) -> Node:
    return entry_of(nodes["agency-b"].identity().rotating(NOW), "b.example:1", False)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_new_entry_takes_the_old_ones_place_and_all_else_stays(
    nodes: dict[str, Config], rotated: Node, tmp_path: Path, ends: str
) -> None:
    texts = ["# Ours\n", entry(nodes, "agency-a"), entry(nodes, "agency-b"), "# The next one\n", entry(nodes, "hub")]
    path = write(tmp_path / "f.toml", "".join(texts).replace("\n", ends))
    path.chmod(0o640)
    assert federation.replace_entry(path, rotated)
    assert federation.load(path)["agency-b"] == rotated
    texts[2] = rotated.entry()
    assert path.read_bytes().decode().replace("\r\n", "\n") == "".join(texts)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_file_without_the_entry_or_arranged_in_another_way_is_left_to_people(
    nodes: dict[str, Config], rotated: Node, tmp_path: Path
) -> None:
    a, b = entry(nodes, "agency-a"), entry(nodes, "agency-b")
    indented = "  " + b.replace("\nname", "\n  name")
    assert "agency-b" in federation.load(write(tmp_path / "f.toml", indented)).nodes
    for text in ("", a, indented, b + b, a.replace("signature", "other") + b, a + b.replace("signature", "[")):
        path = write(tmp_path / "f.toml", text)
        assert not federation.replace_entry(path, rotated)
        assert path.read_text("utf-8") == text


# What is known again


def test_one_text_is_read_once_and_a_changed_one_again(nodes: dict[str, Config], tmp_path: Path) -> None:
    text = "".join(entry(nodes, name) for name in NAMES)
    path, same = write(tmp_path / "one.toml", text), write(tmp_path / "same.toml", text)
    first = federation.load(path)
    assert federation.load(same) is first
    write(path, entry(nodes, "agency-a"))
    assert set(federation.load(path).nodes) == {"agency-a"}
    assert federation.load(same).nodes == first.nodes
    for _ in range(2):
        assert str(same) in refused(write(same, text.replace('name = "', 'name = "X', 1)))


def test_approvals_that_were_good_are_not_good_with_another_signature_or_other_keys(
    nodes: dict[str, Config], tmp_path: Path
) -> None:
    known, terms = nodes["hub"].federation(), terms_of(nodes)
    good = approvals(nodes, terms)
    for _ in range(2):
        known.check_approved(terms, good, NOW)
        for name in terms.participants:
            with pytest.raises(ConfigError, match=f"in the name of {name} is not signed"):
                known.check_approved(terms, good | {name: bytes(64)}, NOW)
            with pytest.raises(SessionRefused, match=f"Not yet approved by {name};"):
                known.check_approved(terms, {n: s for n, s in good.items() if n != name}, NOW)
    again = config.create("agency-b", tmp_path / "again", "", False)
    others = known.with_own(entry_of(again.identity(), "", False))
    with pytest.raises(PeerIdentityError, match="pins other keys for agency-b"):
        others.check_approved(terms, good, NOW)


def test_approvals_of_many_sessions(nodes: dict[str, Config]) -> None:
    known = nodes["agency-c"].federation()
    for k in range(federation.REMEMBERED + 1):
        terms = terms_of(nodes, title=f"Session {k}")
        known.check_approved(terms, approvals(nodes, terms), NOW)
    assert len(known._good) <= federation.REMEMBERED
