"""Hostile calls of everyone to everyone: each is answered in a sentence, and no session is the worse for it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import cast

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parties.audit import Entry, Event
from parties.lifecycle import State
from protos.matchbit.v1.committee_pb2 import FetchResultResponse
from protos.matchbit.v1.session_pb2 import ListSessionsResponse
from tests.fuzz.changes import HOWS, Change
from tests.fuzz.services import (
    CALLED,
    CALLERS,
    DUE,
    HONEST,
    OFFERED,
    SLOW,
    STAGES,
    STRANGER,
    Answer,
    Call,
    Federation,
    Session,
)
from tests.fuzz.valid import HUB
from tests.parties.samples import JARGON, examples
from tests.parties.simulator import World
from tests.parties.witness import Witness

CALLS = int(os.environ.get("HOSTILE_CALLS", "0"))
"""So many new ones; else the same every time."""
ENDS = ("RefuseSession", "Exchange")
"""By which parties of a session may end it, or stop an attempt, besides the coordinator."""
STATUS = grpc.StatusCode
REFUSALS = {
    STATUS.INVALID_ARGUMENT,
    STATUS.FAILED_PRECONDITION,
    STATUS.UNAVAILABLE,
    STATUS.RESOURCE_EXHAUSTED,
    STATUS.ABORTED,
    STATUS.DATA_LOSS,
}
GRPCS_OWN = re.compile(r".*[Rr]eceived message larger than max.*|.*Deadline Exceeded.*")
FOR_STRANGERS = ("ListSessions", "GetUpload", "GetNode", "Check", "Watch")
"""What a node of the federation may always ask."""


class Hostile(Witness):
    """A party that contradicts itself is what we play here."""

    def _story(self, past: object, entry: Entry) -> None:
        if entry.kind is not Event.CONTRADICTION:
            super()._story(past, entry)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """With a session at every stage."""
    made = Federation(tmp_path_factory.mktemp("federation"))
    with made.serving():
        for stage in STAGES:
            made.bring(stage, stage)
        made.bring(HONEST, "ready")
        yield made


@pytest.fixture(scope="module")
def witnesses(federation: Federation) -> dict[str, Hostile]:
    return {title: Hostile(cast("World", session)) for title, session in federation.sessions.items()}


def changes() -> st.SearchStrategy[Change]:
    return st.builds(Change, st.integers(0, 999), st.sampled_from(HOWS), st.integers(0, 1 << 16))


def calls() -> st.SearchStrategy[Call]:
    due = st.sampled_from([(caller, o) for o in OFFERED for caller in DUE.get(o[1], ()) if caller != o[0]])
    return st.builds(
        Call,
        made=st.one_of(st.tuples(st.sampled_from(CALLERS), st.sampled_from(OFFERED)), due),
        stage=st.sampled_from((*STAGES, HONEST)),
        variant=st.integers(0, 8),
        changes=st.lists(changes(), max_size=2).map(tuple),
        signed=st.booleans(),
    )


def may_be_made(call: Call) -> bool:
    """Whether what must come to a good end all the same can."""
    can_end = call.caller == HUB or (call.caller != STRANGER and call.offered[1] in ENDS)
    return call.stage != HONEST or not can_end


def check(federation: Federation, call: Call, answer: Answer) -> None:
    """Hold an answer against what answers may be."""
    method = call.offered[1]
    if answer.status is STATUS.OK:
        assert call.caller != STRANGER or method in FOR_STRANGERS, "a stranger is answered"
        if (call.caller, method) == (STRANGER, "ListSessions"):
            assert not ListSessionsResponse.FromString(answer.messages[0]).sessions
    elif answer.status is STATUS.DEADLINE_EXCEEDED:
        assert method in SLOW, "not answered in time"
    elif answer.status is STATUS.NOT_FOUND:
        assert (method, answer.words) == ("Check", ""), "only gRPC's own health says so, of services that there are not"
    else:
        assert answer.status in REFUSALS, f"{answer.status.name}: {answer.words}"
        own = GRPCS_OWN.fullmatch(answer.words)
        assert own or (answer.words.endswith(".") and answer.words.isprintable()), answer.words
        assert len(answer.words) < 2000
        assert not any(word in answer.words for word in (*JARGON, str(federation.folder), ".py")), answer.words
    assert not federation.overheard.unexpected, federation.overheard.unexpected[0]


def note(session: Session, call: Call, answer: Answer) -> None:
    """A part of a result that was given out, for the witness."""
    called, method = call.offered
    if method == "FetchResult" and answer.status is STATUS.OK:
        part = b"".join(FetchResultResponse.FromString(m).chunk for m in answer.messages)
        attempt = session.daemons[called].store.get(session.id).attempt
        session.given.append((called, call.caller, attempt, part))


@settings(examples(CALLS or 600), derandomize=not CALLS, report_multiple_bugs=False)
@given(call=calls().filter(may_be_made))
def test_hostile_calls(federation: Federation, witnesses: dict[str, Hostile], call: Call) -> None:
    answer = federation.call(call)
    check(federation, call, answer)
    note(federation.sessions[call.stage], call, answer)
    witnesses[call.stage].look()


def test_after_the_storm(
    federation: Federation, witnesses: dict[str, Hostile], capfd: pytest.CaptureFixture[str]
) -> None:
    """What nobody wanted to end comes to its end, and so does a new session; logs are whole, and hold no secret."""
    for session in (federation.sessions[HONEST], federation.bring("after the storm", "ready")):
        session.compute()
        assert session.state is State.DONE
        session.check_results()
    for witness in witnesses.values():
        witness.look()
        witness.read_logs()
    said = "\n".join(federation.overheard.lines)
    secrets = [seed for s in federation.sessions.values() for ds in s.dealings.values() for d in ds for seed in d.seeds]
    assert not any(secret.hex() in said or repr(secret)[2:-1] in said for secret in secrets)
    assert "Traceback" not in said + capfd.readouterr().err


@pytest.mark.parametrize("method", ["GetSession", "ListSessions", "ReportContribution"])
def test_what_is_no_message_is_the_callers_fault(federation: Federation, method: str) -> None:
    """And not an error of the node that was called, which would stand in its log."""
    answer = federation.send("agency-a", HUB, method, [b"\xff"])
    said = "A message of the call cannot be read; compare versions."
    assert (answer.status, answer.words) == (STATUS.INVALID_ARGUMENT, said)
    assert not federation.overheard.unexpected


@pytest.mark.parametrize("called", CALLED)
def test_a_stranger_hears_the_same_whether_there_is_a_session_or_not(federation: Federation, called: str) -> None:
    made_up = bytes(32)
    for stage in STAGES:
        session = federation.sessions[stage]
        for method, streams in federation.valid[stage].items():
            if method in (*FOR_STRANGERS, "ProposeSession", "Watch"):
                continue
            heard = []
            for known in (session.id, made_up):
                sent = [message.SerializeToString().replace(session.id[:4], known[:4]) for message in streams[-1]]
                sent = [message.replace(session.id[4:], known[4:]) for message in sent]
                answer = federation.send(STRANGER, called, method, sent)
                heard.append(
                    (answer.status, answer.words.replace(known[:8].hex(), "ID").replace(known[:4].hex(), "ID"))
                )
            assert heard[0] == heard[1], method
            assert heard[0][0] is not STATUS.OK, method
