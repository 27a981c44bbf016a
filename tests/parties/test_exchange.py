"""Frames of a computation, as a committee node takes them from its peers."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mpc.channel import Mailbox
from mpc.committee import PARTIES
from parties import frames, metrics
from parties.admission import answer_to
from parties.errors import SessionRefused
from parties.node import ExchangeServicer
from parties.transport import Mailboxes
from protos.matchbit.v1.committee_pb2 import ExchangeHeader, ExchangeRequest
from tests.parties.deciding import COMMITTEE, CommitteeNode, terms
from tests.parties.samples import federate

TERMS = terms()
ID = TERMS.session_id
HEADER = ExchangeRequest(header=ExchangeHeader(session_id=ID, attempt=1)).SerializeToString()
CALL: Any = SimpleNamespace(is_active=lambda: True)


class Neutral:
    """The neutral node, which has begun an attempt."""

    def __init__(self, folder: Path) -> None:
        decides, self.mailbox, mailboxes = CommitteeNode(folder), Mailbox(1.0), Mailboxes()
        decides.agree(TERMS)
        mailboxes.open(ID, 1, self.mailbox)
        config = federate(folder / "nodes", ("neutral",))["neutral"]
        self._servicer = ExchangeServicer(config, decides.guard, mailboxes)

    def take(self, caller: str, payloads: dict[str, bytes]) -> None:
        """A stream of a caller's."""
        answer_to(caller)
        self._servicer.exchange(map(frames.read, _stream(payloads)), CALL)


def _stream(payloads: dict[str, bytes]) -> Iterator[bytes]:
    yield HEADER
    for step, payload in payloads.items():
        yield frames.write(step, payload)


def received_bytes() -> float:
    return metrics.REGISTRY.get_sample_value("matchbit_received_bytes_total") or 0.0


@pytest.fixture
def neutral(tmp_path: Path) -> Neutral:
    return Neutral(tmp_path)


@pytest.mark.parametrize("peer", COMMITTEE[:2])
def test_a_peers_frames_are_delivered_and_counted(neutral: Neutral, peer: str) -> None:
    before = received_bytes()
    neutral.take(peer, {"one": b"abc", "two": b"defgh"})
    party = PARTIES[COMMITTEE.index(peer)]
    assert [neutral.mailbox.receive(party, step) for step in ("two", "one")] == [b"defgh", b"abc"]
    assert received_bytes() == before + 8


@pytest.mark.parametrize(
    ("caller", "says"),
    [
        ("agency-c", r"^agency-c is not a peer of this node in this session\.$"),
        ("neutral", r"^neutral is not a peer of this node in this session\.$"),
        ("hub", r"^hub is not a peer of this node in this session\.$"),
        ("stranger", r"^No session [0-9a-f]{16} is known here"),
    ],
)
def test_nobody_elses_are(neutral: Neutral, caller: str, says: str) -> None:
    before = received_bytes()
    with pytest.raises(SessionRefused, match=says):
        neutral.take(caller, {"one": b"abc"})
    assert received_bytes() == before
