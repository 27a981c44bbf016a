"""Whatever is answered, our callers return or raise an error for people, and believe nothing that is not signed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parties import calls
from parties.errors import PeerUnavailable, ServiceError, SessionAborted
from parties.lifecycle import State
from parties.statements import Receipt
from parties.wire import View
from tests.fuzz.answers import OWN, Callers, Lie, heads_of
from tests.fuzz.changes import BYTES, FIELDS, HOSTILE, Change
from tests.fuzz.services import Overheard
from tests.parties.samples import JARGON, examples

ANSWERS = int(os.environ.get("HOSTILE_CALLS", "0"))
"""So many new ones; else the same every time."""
ASKED = (
    "get", "sessions", "run", "contribute", "fetch", "result", "look", "start", "end", "follow", "heads", "approve",
    "act", "partners",
)  # fmt: skip
HOWS = (*FIELDS, *BYTES, "silent")
DAMAGED = "Exception deserializing message!"
"""gRPC's own log line, at our side, of an answer that is no message."""


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    made = Callers(tmp_path_factory.mktemp("callers"))
    with pytest.MonkeyPatch.context() as patched, made.answered():
        patched.setattr(calls, "UPLOAD_PAUSES_S", (0.0,))
        yield made


@pytest.fixture(scope="module")
def overheard() -> Iterator[Overheard]:
    handler = Overheard()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


def lies() -> st.SearchStrategy[Lie]:
    changes = st.builds(Change, st.integers(0, 999), st.sampled_from(HOWS), st.integers(0, 1 << 16))
    return st.builds(
        Lie,
        which=st.integers(0, 11),
        changes=st.lists(changes, max_size=2).map(tuple),
        status=st.sampled_from([None, None, None, *grpc.StatusCode]),
        words=st.sampled_from(("", "No.", HOSTILE, HOSTILE * 300, "agency-b: " + "x" * 2000 + ".")),
        marked=st.booleans(),
        streams=st.booleans(),
    )


def test_every_question_has_an_honest_answer(callers: Callers) -> None:
    """Else lies would not be what is tried below."""
    honest = Lie(0, (), None, "", marked=False)
    assert set(callers.asks()) == set(ASKED)
    for name in ASKED:
        callers.ask(name, honest)


@pytest.mark.parametrize("name", ["get", "contribute", "look"])
def test_an_answer_without_an_end_is_not_waited_for(
    callers: Callers, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(calls, "CALL_TIMEOUT_S", 0.2)
    with pytest.raises(PeerUnavailable, match="did not answer in time"):
        callers.ask(name, Lie(0, (), None, "", marked=False, endless=True))


@pytest.mark.parametrize("name", ["get", "contribute", "look", "heads", "partners"])
def test_a_call_that_ends_well_without_an_answer(callers: Callers, name: str) -> None:
    with pytest.raises(SessionAborted, match=r"^\S+ ended a call without an answer; compare versions"):
        callers.ask(name, Lie(0, (Change(0, "silent", 0),), None, "", marked=False))


@settings(examples(ANSWERS or 400), derandomize=not ANSWERS, report_multiple_bugs=False)
@given(name=st.sampled_from(ASKED), lie=lies())
def test_lies(callers: Callers, overheard: Overheard, name: str, lie: Lie) -> None:
    try:
        believed = callers.ask(name, lie)
    except ServiceError as error:
        words = str(error)
        assert words.isprintable(), repr(words)
        assert 0 < len(words) < 2500
        assert not any(word in words for word in JARGON), words
    else:
        check(callers, name, believed)
    assert [line for line in overheard.unexpected if DAMAGED not in line] == []


def check(callers: Callers, name: str, believed: object) -> None:
    """What was believed is true as far as it is signed or can be known."""
    match name, believed:
        case "get", View() as view:
            assert view.record.manifest == callers.done
        case "contribute", Receipt() as receipt:
            receipt.check(callers.known["neutral"].verifier())
            assert (receipt.member, receipt.commitment) == (OWN, callers.commitment.digest)
        case "fetch", bytes() as part:
            assert len(part) <= 3
        case "follow", State() as state:
            assert state is not State.DONE, "released on one node's word"
        case "heads", _:
            for head in heads_of(callers):
                head.check(callers.known[head.node].verifier())
