"""What a coordinator's daemon asks of committee nodes when a session is closed, and whom it tells of sessions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from parties import calls
from parties.coordinator import SessionServicer
from parties.errors import InputError, PeerUnavailable, SessionRefused
from parties.identity import utc_now
from parties.lifecycle import State
from parties.loopback import free_port
from parties.manifest import Manifest
from parties.registry import Registry
from parties.runner import Runner
from parties.statements import Commitment
from parties.transport import listen
from protos.matchbit.v1.session_pb2_grpc import add_SessionServiceServicer_to_server
from tests.parties.samples import approvals, federate, terms_of

NAMES = ("agency-a", "agency-b", "agency-c", "neutral")
COMMITTEE = ("agency-a", "agency-b", "neutral")


class Committee(calls.Committee):
    """Notes what it would ask of nodes."""

    asked: list[tuple[str, ...]]
    away = refuses = ""

    def abort(self, name: str, session_id: bytes, attempt: int, reason: str) -> None:
        del session_id
        self.asked.append(("abort", name, f"{attempt}", reason))
        if name == self.refuses:
            raise SessionRefused(f"Attempt {attempt} has been replaced by attempt {attempt + 1}.")

    def delete(self, name: str, session_id: bytes) -> None:
        del session_id
        if name == self.away:
            raise PeerUnavailable(f"{name} cannot be reached.")
        self.asked.append(("delete", name))

    def exchange_heads(self, name: str, session_id: bytes) -> None:
        raise SessionRefused(f"No session {session_id[:8].hex()} is known to {name}.")


class Hub:
    """A coordinator that answers its operator over a real connection."""

    def __init__(self, folder: Path) -> None:
        self.nodes = federate(folder, NAMES, {"hub": f"127.0.0.1:{free_port()}"})
        self.config = self.nodes["hub"]
        self.store = self.config.store()
        registry = Registry("hub", self.store, self.config.federation)
        self.committee = Committee(self.config, self.store)
        self.committee.asked = []
        self._sessions = SessionServicer(registry, Runner(registry, self.committee, 1.0), self.committee)

    def listen(self) -> grpc.Server:
        return listen(self.config, lambda server: add_SessionServiceServicer_to_server(self._sessions, server))

    def agreed(self, **changes: Any) -> Manifest:
        lasting = {"created": utc_now().isoformat(), "expires": "2999-12-31T00:00:00+00:00"}
        terms = terms_of(self.nodes, **lasting, **changes)
        self.store.add_session(terms, State.APPROVED, approvals(self.nodes, terms))
        return terms

    def coordinator(self, name: str) -> calls.Coordinator:
        """As a node calls it."""
        return calls.Coordinator(self.nodes[name], self.nodes[name].federation())

    def close(self, terms: Manifest) -> None:
        self.coordinator("hub").close(terms.session_id)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    made = Hub(tmp_path)
    server = made.listen()
    yield made
    server.stop(None).wait()


def test_what_runs_is_aborted_everywhere_before_it_is_deleted(hub: Hub) -> None:
    """So that a node does not compute what nobody may have any more."""
    terms = hub.agreed()
    hub.store.begin(terms.session_id, 3, bytes(32), list(terms.members))
    hub.close(terms)
    reason = "its operator closed it while it was computed"
    assert hub.committee.asked == [
        asked for name in COMMITTEE for asked in (("abort", name, "3", reason), ("delete", name))
    ]
    assert hub.store.get(terms.session_id).state is State.CLOSED


def test_a_node_that_takes_no_abort_deletes_all_the_same(hub: Hub) -> None:
    terms = hub.agreed()
    hub.store.begin(terms.session_id, 1, bytes(32), list(terms.members))
    hub.committee.refuses = "agency-b"
    hub.close(terms)
    assert [name for what, name, *_ in hub.committee.asked if what == "delete"] == list(COMMITTEE)
    assert hub.store.get(terms.session_id).state is State.CLOSED


def test_what_does_not_run_is_deleted(hub: Hub) -> None:
    terms = hub.agreed()
    hub.close(terms)
    assert hub.committee.asked == [("delete", name) for name in COMMITTEE]


def test_closing_goes_on_when_a_node_is_back(hub: Hub) -> None:
    terms = hub.agreed()
    hub.store.begin(terms.session_id, 1, bytes(32), list(terms.members))
    hub.committee.away = "neutral"
    with pytest.raises(PeerUnavailable, match="neutral cannot be reached"):
        hub.close(terms)
    assert hub.store.get(terms.session_id).state is State.ABORTED
    hub.committee.away = ""
    hub.close(terms)
    assert hub.store.get(terms.session_id).state is State.CLOSED
    assert hub.committee.asked[-1] == ("delete", "neutral")


# What is shown


def test_a_session_is_shown_as_it_is_by_now(hub: Hub) -> None:
    """Also where it was made into a message for another caller before."""
    terms = hub.agreed()
    other = hub.agreed(title="Other")
    shown = [hub.coordinator(name).get(terms.session_id) for name in ("agency-a", "agency-b")]
    assert shown[0] == shown[1]
    assert hub.coordinator("agency-a").get(other.session_id).record.manifest == other
    commitment = Commitment(terms.session_id, "agency-a", bytes(64), 3, 3, 3, (bytes(32),) * 3)
    hub.store.add_statement(commitment)
    assert hub.coordinator("agency-b").get(terms.session_id).commitments == {"agency-a": commitment}
    hub.store.begin(terms.session_id, 1, bytes(32), list(terms.members))
    assert hub.coordinator("agency-b").get(terms.session_id).record.state is State.RUNNING


# The first bytes of an id


def test_who_is_no_party_learns_nothing_of_a_session_by_the_first_bytes_of_its_id(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither that it is there, nor more bytes of its id, nor that there are several."""
    monkeypatch.setattr("parties.coordinator.MIN_PREFIX_BYTES", 0)
    ids = [hub.agreed(title=title, members=("agency-a", "agency-b")).session_id for title in ("one", "two")]
    for prefix in (ids[0][:4], ids[1][:4], b"", bytes(4)):
        with pytest.raises(SessionRefused, match=f"^No session {prefix.hex()} is known here"):
            hub.coordinator("agency-c").get(prefix)
    assert hub.coordinator("agency-a").get(ids[0][:4]).record.id == ids[0]
    with pytest.raises(InputError, match="More than one session begins with these digits"):
        hub.coordinator("agency-a").get(b"")


def test_the_first_bytes_of_an_id_are_those_of_ones_own_session(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parties.coordinator.MIN_PREFIX_BYTES", 0)
    own = hub.agreed(title="own").session_id
    hub.agreed(title="others", members=("agency-a", "agency-b"))
    assert hub.coordinator("agency-c").get(b"").record.id == own
