"""A session's parties with real keys and databases, for the tests of what each of them allows itself."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mpc.channel import MAX_MESSAGE_BYTES
from mpc.replicated import Array
from parties import audit
from parties.audit import Log
from parties.contribution import deal, scheme_of
from parties.errors import ServiceError, SessionRefused
from parties.federation import Federation, Node
from parties.guard import Guard, Surroundings
from parties.lifecycle import State
from parties.manifest import Manifest, sign
from parties.policy import Policy
from parties.registry import Registry
from parties.shares import Shares
from parties.statements import Commitment, Completion, Receipt, contributions
from parties.statistics import rows_of
from parties.store import SessionRecord, Store
from parties.vault import Vault
from tests.parties.samples import JARGON, NOW, chunk_owners, manifest

NAMES = ("hub", "agency-a", "agency-b", "agency-c", "neutral", "stranger")
COMMITTEE = ("agency-a", "agency-b", "neutral")
KEYS = {name: Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest()) for name in NAMES}
FEDERATION = Federation(
    {
        name: Node(name, f"{name}.example:7700", name == "hub", key.public_key().public_bytes_raw(), b"")
        for name, key in KEYS.items()
    }
)
VAULT = Vault(bytes(range(32)))


class Clock:
    """A time that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> datetime:
        return self.at

    def move(self, **by: float) -> None:
        self.at += timedelta(**by)


def terms(**changes: Any) -> Manifest:
    """Terms by these nodes' keys."""
    plain = manifest(**changes)
    return replace(plain, nodes={n: FEDERATION[n].digest for n in (*plain.participants, plain.coordinator)})


def signatures(agreed: Manifest) -> dict[str, bytes]:
    """Everyone's."""
    return {name: sign(KEYS[name], agreed.session_id, name) for name in agreed.participants}


def store_of(path: Path, name: str = "neutral", clock: Callable[[], datetime] = lambda: NOW) -> Store:
    """A node's database, with a signed log."""
    return Store(path, Log(name, KEYS[name], clock), clock)


def logged(store: Store, session_id: bytes) -> list[str]:
    """The events in a session's log."""
    return [entry.event for entry in store.entries(session_id)]


def check_logs(store: Store) -> None:
    """Check that every log is a chain of signed entries."""
    for session_id in store.audited():
        previous = audit.NOTHING
        for number, entry in enumerate(store.entries(session_id), 1):
            KEYS[entry.node].public_key().verify(entry.signature, entry.signed_bytes)
            assert (entry.number, entry.previous) == (number, previous)
            previous = entry.hash


def refusal(kind: type[ServiceError], act: Callable[[], object]) -> str:
    """The sentence with which something is refused."""
    with pytest.raises(kind) as error:
        act()
    said = str(error.value)
    assert said.endswith(".")
    assert not any(word in said for word in JARGON)
    return said


class Contribution:
    """What a member contributes: rows of its own, dealt, and the commitment to them, with changes.

    Args:
        agreed: the session's terms.
        member: whose.
        count: of rows and of records, all of them new.
        seed: of rows and dealing.
        signer: who signs it, where it is not the member.
        changes: to the commitment.
    """

    def __init__(
        self, agreed: Manifest, member: str, count: int = 3, seed: int = 0, signer: str = "", **changes: Any
    ) -> None:
        self.member = member
        scheme, random = scheme_of(agreed), np.random.default_rng([seed, count])
        self.rows: Array = random.integers(0, 1 << 64, (count, 2), np.uint64)
        if agreed.statistics is not None:
            self.rows = rows_of(self.rows, random.integers(0, scheme.cells, count), scheme.cells)
        self.dealings = deal(scheme, self.rows, hashlib.sha256(f"{member} {seed}".encode()).digest())
        counts: dict[str, Any] = {
            "records": count,
            "new_records": count,
            "keys": count,
            "digests": self.dealings[0].digests,
        }
        made = Commitment(**{"session_id": agreed.session_id, "name": member} | counts | changes)
        self.commitment = made.signed(KEYS[signer or member])

    def seeds(self, party: int) -> tuple[bytes, ...]:
        return self.dealings[party].seeds

    def due(self, party: int) -> int:
        """How many bytes travel to a party."""
        return sum(map(len, self.chunks(party)))

    def chunks(self, party: int, offset: int = 0) -> list[bytes]:
        """What travels to a party from there on."""
        whole = self.dealings[party].whole
        body = b"" if whole is None else whole.tobytes()
        return [body[start : start + MAX_MESSAGE_BYTES] for start in range(offset, len(body), MAX_MESSAGE_BYTES)]

    def receipts(self, names: Sequence[str] = COMMITTEE, **changes: Any) -> list[Receipt]:
        """What the committee says when it holds this."""
        fields: dict[str, Any] = {"member": self.member, "commitment": self.commitment.digest} | changes
        session_id = fields.pop("session_id", self.commitment.session_id)
        return [Receipt(session_id, name, **fields).signed(KEYS[name]) for name in names]


def everyones(agreed: Manifest, **changes: Any) -> list[Contribution]:
    """A contribution of each member."""
    return [Contribution(agreed, member, **changes) for member in agreed.members]


def commitments(made: Iterable[Contribution]) -> list[Commitment]:
    return [c.commitment for c in made]


def completions(
    agreed: Manifest, made: Iterable[Contribution], attempt: int = 1, names: Sequence[str] = COMMITTEE, **changes: Any
) -> list[Completion]:
    """What the committee says when it has computed."""
    fields: dict[str, Any] = {"attempt": attempt, "contributions": contributions(commitments(made))} | changes
    session_id = fields.pop("session_id", agreed.session_id)
    return [Completion(session_id, name, **fields).signed(KEYS[name]) for name in names]


class CommitteeNode:
    """A committee node's decisions on a real database; what a coordinator would tell it is in `agreed`."""

    def __init__(self, folder: Path, name: str = "neutral") -> None:
        self.name, self.path, self.clock = name, folder / f"{name}.db", Clock()
        self.policy, self.federation = Policy(), FEDERATION
        self.agreed: dict[bytes, SessionRecord] = {}
        self.asked: list[bytes] = []
        self.restart()

    def restart(self) -> None:
        """Begin again with what is in the database, as the daemon does."""
        self.store = store_of(self.path, self.name, self.clock)
        self.shares = Shares(self.store, VAULT)
        around = Surroundings(self.name, KEYS[self.name], lambda: self.federation, lambda: self.policy, self._fetch)
        self.guard = Guard(self.store, self.shares, around)

    def _fetch(self, session_id: bytes) -> SessionRecord:
        self.asked.append(session_id)
        if session_id not in self.agreed:
            raise SessionRefused("No such session is known here.")
        return self.agreed[session_id]

    @property
    def party(self) -> int:
        return COMMITTEE.index(self.name)

    def agree(self, agreed: Manifest, given: dict[str, bytes] | None = None) -> Manifest:
        """Have the coordinator know these terms, signed by all unless it is said by whom, and this node its own."""
        signed = signatures(agreed) if given is None else given
        self.agreed[agreed.session_id] = SessionRecord(agreed, State.APPROVED, "", 0, signed)
        self.store.add_session(agreed, State.PROPOSED)
        return agreed

    def take(self, c: Contribution, *, by: str = "", offset: int = 0, chunks: Iterable[bytes] | None = None) -> Receipt:
        """Have a contribution uploaded, all that is due unless other chunks are given."""
        sent = c.chunks(self.party, offset) if chunks is None else chunks
        return self.guard.receive(by or c.member, c.commitment, c.seeds(self.party), offset, sent)

    def begin(self, agreed: Manifest, made: Iterable[Contribution], attempt: int = 1, by: str = "hub") -> bool:
        return self.guard.begin(by, agreed.session_id, attempt, commitments(made))

    def compute(self, agreed: Manifest, parts: dict[str, bytes] | None = None) -> None:
        """Have results of the attempt that is running."""
        given = dict.fromkeys(agreed.members, b"part") if parts is None else parts
        self.guard.computed(self.store.get(agreed.session_id), given, [5, 2], {"tag": 1.4})

    def computed(self, agreed: Manifest, attempt: int = 1, **changes: Any) -> list[Contribution]:
        """Take a session to where results wait to be released; returns what it is on."""
        made = everyones(agreed, **changes)
        for c in made:
            self.take(c)
        assert self.begin(agreed, made, attempt)
        self.compute(agreed)
        return made

    def state(self, agreed: Manifest) -> State:
        return self.store.get(agreed.session_id).state

    def release(self, agreed: Manifest, made: Iterable[Contribution], attempt: int = 1) -> State:
        record = self.store.get(agreed.session_id)
        return self.guard.release(record, completions(agreed, made, attempt))

    def kept(self) -> tuple[object, ...]:
        """All that refusals must leave as it is."""
        store, known = self.store, self.store.session_ids()
        by_session = [(store.get(i), store.entries(i), store.completions(i), self.shares.uploads(i)) for i in known]
        return chunk_owners(self.path), by_session

    def refusal(self, kind: type[ServiceError], act: Callable[[], object]) -> str:
        """The sentence with which something is refused; nothing is changed then."""
        before = self.kept()
        said = refusal(kind, act)
        assert self.kept() == before
        return said


class Hub:
    """A coordinator's decisions on a real database."""

    def __init__(self, folder: Path) -> None:
        self.path, self.clock, self.federation = folder / "hub.db", Clock(), FEDERATION
        self.restart()

    def restart(self) -> None:
        """Begin again with what is in the database, as the daemon does."""
        self.store = store_of(self.path, "hub", self.clock)
        self.registry = Registry("hub", self.store, lambda: self.federation)

    def refusal(self, kind: type[ServiceError], act: Callable[[], object]) -> str:
        """The sentence with which something is refused; nothing is changed then."""
        before = self.kept()
        said = refusal(kind, act)
        assert self.kept() == before
        return said

    def kept(self) -> list[tuple[object, ...]]:
        """All that refusals must leave as it is."""
        known = self.store.session_ids()
        return [(self.store.get(i), self.store.entries(i), self.store.commitments(i)) for i in known]

    def proposed(self, agreed: Manifest) -> Manifest:
        self.registry.propose("hub", agreed)
        return agreed

    def approved(self, agreed: Manifest) -> Manifest:
        self.proposed(agreed)
        for name, signature in signatures(agreed).items():
            self.registry.approve(name, agreed.session_id, signature)
        return agreed

    def report(self, c: Contribution, receipts: list[Receipt] | None = None, by: str = "") -> State:
        return self.registry.report(by or c.member, c.commitment, c.receipts() if receipts is None else receipts)

    def ready(self, agreed: Manifest) -> list[Contribution]:
        """Approved by all, with everyone's contribution."""
        self.approved(agreed)
        made = everyones(agreed)
        for c in made:
            self.report(c)
        return made

    def state(self, agreed: Manifest) -> State:
        return self.store.get(agreed.session_id).state
