import ast
from pathlib import Path

import grpc
import pytest

import mpc
import parties
from mpc.errors import DealingError, IntegrityError, MpcError, PeerError, PrssReuseError, ShareError
from parties import errors
from parties.errors import (
    FROM_STATUS,
    TABLE,
    AuditError,
    ConfigError,
    InputError,
    PeerIdentityError,
    PeerUnavailable,
    ResultError,
    ServiceError,
    SessionAborted,
    SessionRefused,
    StorageError,
    TooManyCalls,
    exit_code,
    sentence,
    status,
)
from tests.parties.samples import JARGON

NAMES = ("agency-a", "agency-b", "neutral")
MEMBERS = ("agency-a", "agency-b", "agency-c", "agency-d")
EXPECTED = {
    ConfigError("x"): ("INVALID_ARGUMENT", 2),
    InputError("x"): ("INVALID_ARGUMENT", 2),
    SessionRefused("x"): ("FAILED_PRECONDITION", 3),
    PeerIdentityError("x"): ("UNAUTHENTICATED", 4),
    PeerUnavailable("x"): ("UNAVAILABLE", 4),
    TooManyCalls("x"): ("RESOURCE_EXHAUSTED", 4),
    SessionAborted("x"): ("ABORTED", 4),
    DealingError(0, 1): ("ABORTED", 4),
    PeerError(0, "s", "timeout"): ("ABORTED", 4),
    IntegrityError("s"): ("DATA_LOSS", 5),
    ResultError("x"): ("DATA_LOSS", 5),
    AuditError("x"): ("DATA_LOSS", 5),
    StorageError("x"): ("UNAVAILABLE", 4),
    ShareError("x"): ("INTERNAL", 1),
    PrssReuseError("x"): ("INTERNAL", 1),
    ValueError("x"): ("INTERNAL", 1),
}
ERRORS = pytest.mark.parametrize("error", EXPECTED, ids=lambda e: type(e).__name__)
REASONS = ("timeout", "disconnected", "slow", "malformed", "violation")


@ERRORS
def test_every_kind_has_its_status_and_exit_code(error: Exception) -> None:
    assert (status(error), exit_code(error)) == EXPECTED[error]


def test_no_kind_is_forgotten() -> None:
    ours = {*ServiceError.__subclasses__(), *PeerUnavailable.__subclasses__(), PeerError, DealingError, IntegrityError}
    assert set(TABLE) == ours
    assert {type(e) for e in EXPECTED} >= ours


def test_a_kind_of_a_kind_counts_as_that_kind() -> None:
    class Late(PeerUnavailable):
        pass

    assert (status(Late("x")), exit_code(Late("x"))) == ("UNAVAILABLE", 4)


@pytest.mark.parametrize("name", [*(name for name, _ in TABLE.values()), *FROM_STATUS])
def test_every_status_is_one_of_grpc(name: str) -> None:
    assert grpc.StatusCode[name]


@pytest.mark.parametrize("kind", TABLE, ids=lambda k: k.__name__)
def test_the_caller_of_a_node_ends_with_the_same_exit_code_as_the_node_would(kind: type[Exception]) -> None:
    name, code = TABLE[kind]
    assert exit_code(FROM_STATUS[name]("x")) == code


@ERRORS
def test_sentences_are_for_people(error: Exception) -> None:
    text = sentence(error, NAMES, MEMBERS)
    assert text == text.strip()
    assert "\n" not in text
    for word in JARGON:
        assert word not in text


@pytest.mark.parametrize("peer", [0, 1, 2])
@pytest.mark.parametrize("reason", REASONS)
def test_a_peers_failure_names_the_node_the_step_and_who_must_act(reason: str, peer: int) -> None:
    text = sentence(PeerError(peer, "tag/round1#0", reason, "7 bytes where 8 are due"), NAMES, MEMBERS)
    assert text.startswith(f"{NAMES[peer]} ")
    assert not any(other in text for other in NAMES if other != NAMES[peer])
    assert "its operator" in text
    assert "tag/round1#0" in text
    assert "7 bytes where 8 are due" in text
    assert text.endswith(".")


def test_the_reasons_read_differently() -> None:
    assert len({sentence(PeerError(1, "s", reason), NAMES) for reason in REASONS}) == len(REASONS)


def test_silence_asks_whether_the_node_runs_and_damage_asks_for_versions() -> None:
    for reason in REASONS[:2]:
        assert "check that it runs and can be reached" in sentence(PeerError(1, "s", reason), NAMES)
    for reason in REASONS[3:]:
        assert "compare versions" in sentence(PeerError(1, "s", reason), NAMES)


def test_without_names_a_party_is_told_by_number() -> None:
    assert sentence(PeerError(2, "s", "timeout")).startswith("party 2 did not answer")
    assert sentence(DealingError(7, 1), NAMES, MEMBERS).startswith("member 7 gave")


def reasons_in_the_sources() -> set[str]:
    """The literal reasons of all `PeerError(...)` calls of the project."""
    found = set()
    for package in (mpc, parties):
        for path in Path(str(package.__file__)).parent.glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "PeerError":
                    assert isinstance(node.args[2], ast.Constant), f"{path}: a reason must be a literal"
                    found.add(str(node.args[2].value))
    return found


def test_every_reason_that_the_computation_gives_has_a_sentence() -> None:
    found = reasons_in_the_sources()
    assert found == set(REASONS)


@pytest.mark.parametrize("member", range(4))
def test_bad_dealing_names_the_member_and_the_node_that_says_so(member: int) -> None:
    """Which of them lies cannot be told."""
    text = sentence(DealingError(member, 1), NAMES, MEMBERS)
    assert text.startswith(f"{MEMBERS[member]} gave {NAMES[1]} other shares than this node, or {NAMES[1]} is wrong")
    assert "propose another session" in text


def test_an_integrity_failure_names_who_differs() -> None:
    said = [sentence(IntegrityError("agree", "other terms", peers), NAMES) for peers in ((), (1,), (2, 0))]
    who = ["the committee nodes", f"{NAMES[1]} and this node", f"{NAMES[2]} and {NAMES[0]}"]
    for text, names in zip(said, who, strict=True):
        assert text.startswith(f"At step agree {names} hold contradicting values (other terms);")


def test_an_integrity_failure_discards_the_result_and_calls_all_operators() -> None:
    text = sentence(IntegrityError("tag/open", "two copies differ"), NAMES, MEMBERS)
    assert "tag/open" in text
    assert "two copies differ" in text
    assert "the result is discarded" in text
    assert "operators of all committee nodes must" in text


@pytest.mark.parametrize("kind", ServiceError.__subclasses__(), ids=lambda k: k.__name__)
def test_our_own_sentences_are_told_as_they_are(kind: type[ServiceError]) -> None:
    assert sentence(kind("Row 7 has 3 cells; correct it.")) == "Row 7 has 3 cells; correct it."


def test_other_errors_of_the_computation_are_told_as_such() -> None:
    assert sentence(MpcError("attempt 2 replaces it")) == "The computation stopped: attempt 2 replaces it."


def test_an_unknown_error_tells_only_its_kind() -> None:
    text = sentence(LookupError("AB-1234567, born 1980-02-03"), NAMES, MEMBERS)
    assert "LookupError" in text
    assert "AB-1234567" not in text
    assert "1980" not in text
    assert "report it" in text


def test_the_base_itself_is_a_bug_of_ours() -> None:
    assert errors.status(ServiceError("x")) == "INTERNAL"
    assert errors.exit_code(ServiceError("x")) == 1


def test_what_others_wrote_neither_obeys_a_terminal_nor_grows() -> None:
    told = str(InputError(f"`a\n\x1b[2J\u202e\ud800` {'x' * 100_000}"))
    assert told.startswith("`a  [2J  ` xxx")
    assert len(told) == errors.LONGEST
    assert told.isprintable()
