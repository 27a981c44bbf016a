"""A federation whose daemons answer over mutual TLS in this process, sessions in every state, and hostile calls."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import Message

from parties import calls, coordinator, logs, node, protocols
from parties.audit import Log
from parties.config import Config
from parties.contribution import Dealing, deal, scheme_of
from parties.errors import ServiceError
from parties.identity import tls_name, utc_now
from parties.lifecycle import State
from parties.loopback import free_port
from parties.manifest import Manifest, sign
from parties.member import Member
from parties.participant import Participant
from parties.registry import Registry
from parties.service import Service
from parties.statements import Commitment, Completion
from parties.store import Store
from tests.fuzz.changes import Change, changed, values_of
from tests.fuzz.valid import COMMITTEE, HUB, MEMBERS, signed, valid_streams
from tests.parties.samples import RULES, federate, terms_of

STRANGER = "stranger"
CALLERS = (*MEMBERS, "neutral", HUB, STRANGER)
CALLED = (*COMMITTEE, HUB)
STAGES = ("proposed", "approved", "ready", "done", "aborted", "refused", "closed")
HONEST = "honest"
"""A session that is ready, and that only those call about who cannot end it."""
QUICK_S, SLOW_S = 20.0, 0.1
"""How long an answer may take; and how long one is waited for that may never come."""
POOL = np.random.default_rng(7).integers(0, 1 << 64, (8, 2), np.uint64)
LISTS = {"agency-a": (0, 1, 2, 3), "agency-b": (1, 2, 4), "agency-c": (2, 3, 6)}
_PACKAGE = "/matchbit.v1."
METHODS: dict[str, str] = {
    name: f"{_PACKAGE}{service}/{name}"
    for service, names in {
        "SessionService": "ProposeSession ListSessions GetSession ApproveSession RefuseSession ReportContribution "
        "RunSession CloseSession",
        "ContributionService": "GetUpload Contribute FetchResult",
        "RunService": "StartRun GetRun EndRun DeleteSession",
        "ExchangeService": "Exchange",
        "NodeService": "GetNode ExchangeHeads",
    }.items()
    for name in names.split()
} | {name: f"/grpc.health.v1.Health/{name}" for name in ("Check", "Watch")}
OFFERED = [
    (called, name)
    for name, method in METHODS.items()
    for called in CALLED
    if name != "Watch"
    and ("NodeService" in method or "health" in method or ("SessionService" in method) == (called == HUB))
]
"""Which daemon has which method; health can be watched, which only takes time."""
DUE = {
    **dict.fromkeys(("ProposeSession", "RunSession", "StartRun", "GetRun", "EndRun"), (HUB,)),
    **dict.fromkeys(("GetUpload", "Contribute", "FetchResult", "ReportContribution"), MEMBERS),
    "Exchange": COMMITTEE,
}
"""Whose calls go on to where they can do harm; of other methods anybody's."""
SLOW = ("StartRun", "Exchange", "Watch")
"""Methods that wait for somebody else by their nature."""


@dataclass(frozen=True)
class Call:
    """A hostile call.

    Attributes:
        made: whose keys it is made with; to which daemon, and which of its methods by its short name.
        stage: which session its valid beginning is about.
        variant: which of the valid beginnings.
        changes: what is done to that.
        signed: whether the caller then signs the statements within, whoever they are said to be of.
    """

    made: tuple[str, tuple[str, str]]
    stage: str
    variant: int
    changes: tuple[Change, ...]
    signed: bool

    @property
    def caller(self) -> str:
        """Whose keys."""
        return self.made[0]

    @property
    def offered(self) -> tuple[str, str]:
        """Which daemon, which method."""
        return self.made[1]


@dataclass(frozen=True)
class Answer:
    """What came of a call.

    Attributes:
        status: OK, or how it was refused.
        words: of the refusal.
        messages: that came, 50 at most.
    """

    status: grpc.StatusCode
    words: str
    messages: tuple[bytes, ...]


class Read(Store):
    """A daemon's database, as somebody else reads it."""

    @property
    def changes(self) -> int:
        """Another number when the daemon has written since."""
        return int(self.read("PRAGMA data_version")[0][0])


@dataclass
class Party:
    """What a witness looks at."""

    name: str
    store: Store
    life: int = 0


class Session:
    """A session, all of whose parties are in this process.

    Attributes:
        given: what `Witness` holds against each other, as in `simulator.World`.
    """

    def __init__(self, federation: Federation, terms: Manifest) -> None:
        self.federation, self.terms, self.id = federation, terms, terms.session_id
        self.daemons = {name: Party(name, federation.stores[name]) for name in CALLED}
        self.keys = federation.verifiers
        self.signatures: dict[str, bytes] = {}
        self.given: list[tuple[str, str, int, bytes]] = []
        self.completions: dict[int, dict[str, Completion]] = {}
        self.dealings = {name: deal(scheme_of(terms), POOL[list(LISTS[name])], self.id) for name in MEMBERS}
        self.commitments = {name: self._commit(name, dealings) for name, dealings in self.dealings.items()}

    def _commit(self, name: str, dealings: list[Dealing]) -> Commitment:
        rows, digests = dealings[0].rows, dealings[0].digests
        made = Commitment(self.id, name, records=rows, new_records=rows, keys=rows, digests=digests)
        return made.signed(self.federation.key(name))

    def note_completions(self, party: Party) -> None:
        """Remember what is said there to be computed."""
        for completion in party.store.completions(self.id):
            self.completions.setdefault(completion.attempt, {})[completion.name] = completion

    # What is done honestly

    def approve(self, *names: str) -> None:
        for name in names or self.terms.participants:
            Participant(self.federation.configs[name]).approve(self.id)
            self.signatures[name] = sign(self.federation.key(name), self.id, name)

    def contribute(self, *names: str) -> None:
        for name in names or MEMBERS:
            own = self.federation.configs[name]
            commitment, known = self.commitments[name], own.federation()
            dealt = zip(COMMITTEE, self.dealings[name], strict=True)
            receipts = [calls.contribute(own, known[n], commitment, dealing, lambda _: None) for n, dealing in dealt]
            calls.Coordinator(own, known).report(commitment, receipts)

    def compute(self) -> None:
        self.federation.hub.run(self.id)
        self.federation.until(lambda: self.state is not State.RUNNING)

    @property
    def state(self) -> State:
        """As the coordinator has it."""
        return self.federation.stores[HUB].get(self.id).state

    def check_results(self) -> None:
        """Hold every member's result against what it must be.

        Raises:
            AssertionError: it is another.
        """
        for name, held in LISTS.items():
            others = {n for other in set(LISTS) - {name} for n in LISTS[other]}
            found = Member(self.federation.configs[name]).fetch(self.federation.hub.get(self.id), len(held))
            assert found.tolist() == [n in others for n in held], name


class Overheard(logging.Handler):
    """All that this process logs."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.unexpected: list[str] = []
        self.setFormatter(logs.Text())

    def emit(self, record: logging.LogRecord) -> None:
        """As it would be written."""
        line = self.format(record)
        self.lines.append(line)
        if record.exc_info and not isinstance(record.exc_info[1], ServiceError):
            self.unexpected.append(line)


class Federation:
    """Daemons in threads.

    Args:
        folder: an empty one.
    """

    def __init__(self, folder: Path) -> None:
        addresses = {name: f"127.0.0.1:{free_port()}" for name in CALLED}
        made = federate(folder, (*MEMBERS, "neutral", STRANGER), addresses)
        self.folder = folder
        self.configs = {name: replace(c, start_timeout_s=2, step_timeout_s=5) for name, c in made.items()}
        self.known = self.configs[HUB].federation()
        self.stores = {n: Read(self.configs[n].database, Log(n, self.key(n), utc_now)) for n in CALLED}
        self.verifiers = {name: self.known[name].verifier() for name in CALLERS}
        self.sessions: dict[str, Session] = {}
        self.overheard = Overheard()
        self._services = {name: Service(c, "node") for name, c in self.configs.items() if name in CALLED}
        self._connections: dict[tuple[str, str], grpc.Channel] = {}
        self._paused = threading.Event()

    def key(self, name: str) -> Any:
        """A node's signing key."""
        return self.configs[name].identity().signing_key

    @property
    def hub(self) -> calls.Coordinator:
        """The coordinator, as its operator calls it."""
        return calls.Coordinator(self.configs[HUB], self.known)

    @contextmanager
    def serving(self) -> Iterator[Federation]:
        """While all daemons answer."""
        root = logging.getLogger()
        level = root.level
        root.addHandler(self.overheard)
        root.setLevel(logging.INFO)
        threads = [threading.Thread(target=self._serve, args=(name,), name=name) for name in CALLED]
        for thread in threads:
            thread.start()
        try:
            for name in CALLED:
                grpc.channel_ready_future(self.connection(HUB, name)).result(timeout=60)
            yield self
        finally:
            for connection in self._connections.values():
                connection.close()
            for service in self._services.values():
                service.stop()
                service.stop()
            for thread in threads:
                thread.join()
            root.removeHandler(self.overheard)
            root.setLevel(level)

    def _serve(self, name: str) -> None:
        serve: Callable[[Config, Service], None] = coordinator.serve if name == HUB else node.serve
        serve(self.configs[name], self._services[name])

    def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for what daemons do in threads of their own.

        Raises:
            AssertionError: they do not within a minute.
        """
        for _ in range(3000):
            if is_so():
                return
            self._paused.wait(0.02)
        raise AssertionError("it does not come to an end")

    def connection(self, caller: str, called: str) -> grpc.Channel:
        """A node's connection to another one, kept, on which it may send what it likes."""
        if (caller, called) not in self._connections:
            own, node = self.configs[caller].identity(), self.known[called]
            credentials = grpc.ssl_channel_credentials(node.certificate, own.tls_key, own.certificate)
            options = [("grpc.ssl_target_name_override", tls_name(called)), ("grpc.max_send_message_length", -1)]
            connection = grpc.secure_channel(node.address, credentials, options)
            self._connections[caller, called] = protocols.announced(connection)
        return self._connections[caller, called]

    # Sessions

    def propose(self, title: str) -> Session:
        """A new one."""
        lasting = {"created": utc_now().isoformat(), "expires": "2999-12-31T00:00:00+00:00"}
        terms = terms_of(self.configs, title=title, rules=RULES[:1], committee=COMMITTEE, **lasting)
        self.hub.propose(terms)
        self.sessions[title] = Session(self, terms)
        return self.sessions[title]

    def bring(self, title: str, stage: str) -> Session:
        """A new one, honestly brought to a stage."""
        session = self.propose(title)
        if stage in ("proposed", "refused"):
            session.approve("agency-a")
        else:
            session.approve()
            session.contribute(*(("agency-a",) if stage == "approved" else ()))
        if stage in ("done", "closed"):
            session.compute()
            session.check_results()
        match stage:
            case "refused":
                calls.Coordinator(self.configs["agency-b"], self.known).refuse(session.id, "too wide")
            case "closed":
                self.hub.close(session.id)
            case "aborted":
                self._abort(session)
        return session

    def _abort(self, session: Session) -> None:
        registry = Registry(HUB, self.stores[HUB], self.configs[HUB].federation)
        registry.run(HUB, session.id)
        for name in COMMITTEE:
            calls.Committee(self.configs[HUB], self.stores[HUB]).abort(name, session.id, 1, "neutral went away.")
        registry.abort(session.id, "neutral went away.")

    # Hostile calls

    def call(self, call: Call) -> Answer:
        """Make it."""
        stream = self._valid(call)
        if call.signed:
            stream = [signed(message, call.caller, self.key(call.caller)) for message in stream]
        return self.send(call.caller, *call.offered, changed(stream, call.changes, self.values))

    def send(self, caller: str, called: str, method: str, sent: Sequence[bytes]) -> Answer:
        """Send bytes, as messages of a stream, which is the same on the wire as a single message."""
        timeout_s = SLOW_S if method in SLOW else QUICK_S
        answers: Any = self.connection(caller, called).stream_stream(METHODS[method])(iter(sent), timeout=timeout_s)  # type: ignore[arg-type]  # as the stubs know bytes
        messages: list[bytes] = []
        with suppress(grpc.RpcError):
            messages.extend(itertools.islice(answers, 50))
        answers.cancel()
        return Answer(answers.code(), answers.details() or "", tuple(messages))

    def _valid(self, call: Call) -> list[Message]:
        found = self.valid[call.stage][call.offered[1]]
        return found[call.variant % len(found)]

    @cached_property
    def values(self) -> Mapping[str, list[Any]]:
        """What valid messages have in their fields, but those of the session that nobody who can end it may name."""
        kinds = [kind for title, kind in self.valid.items() if title != HONEST]
        return values_of(m for kind in kinds for streams in kind.values() for stream in streams for m in stream)

    @cached_property
    def valid(self) -> dict[str, dict[str, list[list[Message]]]]:
        """By session and method, valid streams of messages of all parties."""
        return {title: dict(valid_streams(session)) for title, session in self.sessions.items()}
