"""What a coordinator keeps and allows: terms of its own operator, each party's own word, attempts in their order."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from parties import registry as module
from parties.errors import ConfigError, InputError, PeerIdentityError, SessionRefused
from parties.federation import Federation
from parties.lifecycle import Event, State
from parties.manifest import sign
from parties.registry import missing_parts
from parties.statements import contributions
from tests.parties.deciding import (
    COMMITTEE,
    FEDERATION,
    KEYS,
    Contribution,
    Hub,
    check_logs,
    commitments,
    everyones,
    logged,
    signatures,
    terms,
)

TERMS = terms()
ID = TERMS.session_id


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    return Hub(tmp_path)


def approve(hub: Hub, name: str, signature: bytes | None = None) -> State:
    given = signatures(TERMS)[name] if signature is None else signature
    return hub.registry.approve(name, ID, given)


# Proposals


def test_an_operator_proposes(hub: Hub) -> None:
    hub.proposed(TERMS)
    record = hub.store.get(ID)
    assert (record.manifest, record.state, record.signatures) == (TERMS, State.PROPOSED, {})
    before = hub.kept()
    hub.proposed(TERMS)  # the answer may have been lost
    assert hub.kept() == before


@pytest.mark.parametrize("caller", ["agency-a", "neutral", "stranger"])
def test_only_the_operator_proposes_runs_and_closes(hub: Hub, caller: str) -> None:
    says = "Only the coordinator's own operator may do this."
    assert hub.refusal(SessionRefused, lambda: hub.registry.propose(caller, TERMS)) == says
    hub.ready(TERMS)
    assert hub.refusal(SessionRefused, lambda: hub.registry.run(caller, ID)) == says
    assert hub.refusal(SessionRefused, lambda: hub.registry.close(caller, ID, pytest.fail)) == says


def test_terms_of_another_coordinator_or_of_the_past(hub: Hub) -> None:
    says = "The manifest names another coordinator or has expired."
    other = terms(coordinator="stranger")
    assert hub.refusal(SessionRefused, lambda: hub.registry.propose("hub", other)) == says
    hub.clock.move(days=41)
    assert hub.refusal(SessionRefused, lambda: hub.registry.propose("hub", TERMS)) == says


def test_terms_of_the_future(hub: Hub) -> None:
    hub.clock.move(days=-2)
    assert "which is still to come" in hub.refusal(SessionRefused, lambda: hub.registry.propose("hub", TERMS))


def test_terms_on_other_keys(hub: Hub) -> None:
    other = replace(TERMS, nodes={**TERMS.nodes, "agency-b": "0" * 64})
    says = hub.refusal(PeerIdentityError, lambda: hub.registry.propose("hub", other))
    assert says.startswith("The session pins other keys for agency-b than this node's federation.toml")


def test_a_committee_node_that_cannot_be_called(hub: Hub) -> None:
    hub.federation = Federation({**FEDERATION.nodes, "neutral": replace(FEDERATION["neutral"], address="")})
    says = hub.refusal(InputError, lambda: hub.registry.propose("hub", TERMS))
    assert says == "neutral has no address in federation.toml, so it cannot be on a committee."


def test_too_many_open_sessions(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OPEN_SESSIONS", 2)
    first = hub.proposed(terms(title="First"))
    hub.proposed(terms(title="Second"))
    says = hub.refusal(SessionRefused, lambda: hub.registry.propose("hub", TERMS))
    assert says == "2 sessions are open; close old ones with `matchbit session close`."
    hub.registry.refuse("neutral", first.session_id, "no")
    hub.proposed(TERMS)


# Who sees what


@pytest.mark.parametrize("caller", ["hub", *TERMS.participants])
def test_parties_see_their_sessions(hub: Hub, caller: str) -> None:
    hub.proposed(TERMS)
    pair = hub.proposed(terms(title="Pair", members=("agency-a", "agency-b")))
    assert hub.registry.session(ID, caller).id == ID
    seen = [record.id for record in hub.registry.sessions(caller)]
    assert seen == ([ID] if caller == "agency-c" else [pair.session_id, ID])


def test_strangers_learn_nothing(hub: Hub) -> None:
    hub.proposed(TERMS)
    unknown = hub.refusal(SessionRefused, lambda: hub.registry.session(bytes(32), "agency-a"))
    known = hub.refusal(SessionRefused, lambda: hub.registry.session(ID, "stranger"))
    assert known == unknown.replace("0" * 16, ID[:8].hex())
    assert hub.registry.sessions("stranger") == []


@pytest.mark.parametrize("events", [[], [Event.ALL_APPROVED], [Event.ALL_APPROVED, Event.ALL_CONTRIBUTED]])
def test_a_session_that_waits_expires(hub: Hub, events: list[Event]) -> None:
    hub.proposed(TERMS)
    for event in events:
        hub.store.change(ID, event)
    hub.clock.move(days=41)
    assert hub.registry.session(ID, "agency-a").state is State.EXPIRED
    assert logged(hub.store, ID) == ["proposed", "expired"]
    says = hub.refusal(SessionRefused, lambda: approve(hub, "agency-a"))
    assert says == "The session is expired already; approvals are closed."


@pytest.mark.parametrize("done", [False, True])
def test_a_session_that_is_computed_or_done_does_not_expire_but_ends_with_its_retention(hub: Hub, done: bool) -> None:
    hub.ready(TERMS)
    hub.registry.run("hub", ID)
    if done:
        hub.store.change(ID, Event.RELEASE)
    hub.clock.move(days=41)
    assert hub.registry.session(ID, "agency-a").state is (State.CLOSED if done else State.RUNNING)


# Approvals


def test_the_last_approval_approves(hub: Hub) -> None:
    hub.proposed(TERMS)
    states = [approve(hub, name) for name in TERMS.participants]
    assert states == [*[State.PROPOSED] * 3, State.APPROVED]
    assert hub.store.get(ID).signatures == signatures(TERMS)
    assert logged(hub.store, ID) == ["proposed", *["approved"] * 4]
    before = hub.kept()
    assert approve(hub, "agency-a") is State.APPROVED  # the answer may have been lost
    assert hub.kept() == before


@pytest.mark.parametrize(
    "signature",
    [
        signatures(terms(title="Other"))["agency-a"],
        signatures(TERMS)["agency-b"],
        sign(KEYS["agency-b"], ID, "agency-a"),
        KEYS["agency-a"].sign(ID),
        bytes(64),
    ],
)
def test_a_signature_on_something_else(hub: Hub, signature: bytes) -> None:
    hub.proposed(TERMS)
    says = hub.refusal(ConfigError, lambda: approve(hub, "agency-a", signature))
    assert says == "The approval in the name of agency-a is not signed by agency-a's pinned key."


def test_approvals_that_are_not_asked_for(hub: Hub) -> None:
    hub.proposed(TERMS)
    says = hub.refusal(SessionRefused, lambda: hub.registry.approve("hub", ID, bytes(64)))
    assert says == "hub takes no part in this session, so its approval is not asked for."
    hub.refusal(SessionRefused, lambda: hub.registry.approve("stranger", ID, bytes(64)))


def test_no_approval_after_a_refusal(hub: Hub) -> None:
    hub.proposed(TERMS)
    approve(hub, "agency-b")
    assert hub.registry.refuse("agency-a", ID, "the purpose is too wide") is State.REFUSED
    assert hub.store.get(ID).reason == "agency-a: the purpose is too wide"
    assert hub.store.entries(ID)[-1].facts == {"name": "agency-a", "reason": "the purpose is too wide"}
    for name in ("agency-c", "agency-b"):  # who has approved before would else keep a session that is over
        says = hub.refusal(SessionRefused, lambda name=name: approve(hub, name))
        assert says == "The session is refused already; approvals are closed."


def test_a_refusal_needs_a_reason_and_a_participant(hub: Hub) -> None:
    hub.proposed(TERMS)
    says = hub.refusal(InputError, lambda: hub.registry.refuse("agency-a", ID, ""))
    assert says == "A refusal needs a reason."
    says = hub.refusal(SessionRefused, lambda: hub.registry.refuse("hub", ID, "why"))
    assert says.startswith("hub takes no part in this session")


def test_who_has_approved_can_still_refuse_until_it_is_computed(hub: Hub) -> None:
    hub.ready(TERMS)
    hub.registry.run("hub", ID)
    says = hub.refusal(SessionRefused, lambda: hub.registry.refuse("agency-a", ID, "why"))
    assert says == "The session is being computed, so 'refuse' is not possible now."
    other = terms(title="Other")
    hub.ready(other)
    assert hub.registry.refuse("agency-a", other.session_id, "why") is State.REFUSED


# Contributions


def test_a_contribution_that_all_nodes_hold_is_kept(hub: Hub) -> None:
    hub.approved(TERMS)
    made = everyones(TERMS, records=9, new_records=4)
    assert [hub.report(c) for c in made] == [State.APPROVED, State.APPROVED, State.READY]
    assert hub.store.commitments(ID) == {c.member: c.commitment for c in made}
    digest = made[2].commitment.digest.hex()
    facts = {"member": "agency-c", "records": 9, "new_records": 4, "keys": 3, "commitment": digest}
    assert hub.store.entries(ID)[-1].facts == facts
    check_logs(hub.store)


def test_another_list_takes_the_place_of_the_first(hub: Hub) -> None:
    made = hub.ready(TERMS)
    second = Contribution(TERMS, "agency-a", seed=1)
    assert hub.report(second) is State.READY
    assert list(hub.store.commitments(ID).values()) == commitments([second, *made[1:]])


def test_only_members_report_and_each_for_itself(hub: Hub) -> None:
    hub.approved(TERMS)
    a, neutral = Contribution(TERMS, "agency-a"), Contribution(TERMS, "neutral")
    says = "{} is not a member of this session."
    assert hub.refusal(SessionRefused, lambda: hub.report(a, by="agency-b")) == says.format("agency-b")
    assert hub.refusal(SessionRefused, lambda: hub.report(neutral)) == says.format("neutral")
    assert hub.refusal(SessionRefused, lambda: hub.report(a, by="hub")) == says.format("hub")


def test_a_commitment_that_its_member_did_not_sign(hub: Hub) -> None:
    hub.approved(TERMS)
    false = Contribution(TERMS, "agency-a", signer="agency-b")
    says = hub.refusal(InputError, lambda: hub.report(false))
    assert says == "A commitment in the name of agency-a is not signed by its pinned key."


@pytest.mark.parametrize("names", [(), COMMITTEE[:2], (*COMMITTEE, "neutral"), (*COMMITTEE[:2], "agency-c")])
def test_one_receipt_of_each_committee_node(hub: Hub, names: tuple[str, ...]) -> None:
    hub.approved(TERMS)
    c = Contribution(TERMS, "agency-a")
    says = hub.refusal(InputError, lambda: hub.report(c, c.receipts(names)))
    assert says == "There must be one receipt of each committee node."


@pytest.mark.parametrize("names", [COMMITTEE, (*COMMITTEE, "neutral"), (*COMMITTEE, "agency-c", "agency-c")])
def test_one_receipt_of_each_node_of_a_larger_committee(hub: Hub, names: tuple[str, ...]) -> None:
    four = (*COMMITTEE, "agency-c")
    c = Contribution(hub.approved(terms(engine="mpyc", committee=four, max_records=50)), "agency-a")
    says = hub.refusal(InputError, lambda: hub.report(c, c.receipts(names)))
    assert says == "There must be one receipt of each committee node."
    assert hub.report(c, c.receipts(four)) is State.APPROVED


@pytest.mark.parametrize(
    "change", [{"member": "agency-b"}, {"commitment": bytes(32)}, {"session_id": terms(title="Other").session_id}]
)
def test_a_receipt_for_another_contribution(hub: Hub, change: dict[str, Any]) -> None:
    hub.approved(TERMS)
    c = Contribution(TERMS, "agency-a")
    receipts = [*c.receipts(COMMITTEE[:2]), *c.receipts(["neutral"], **change)]
    says = hub.refusal(InputError, lambda: hub.report(c, receipts))
    assert says == "The receipt of neutral is for another contribution."


def test_receipts_of_an_earlier_list(hub: Hub) -> None:
    hub.approved(TERMS)
    first, second = Contribution(TERMS, "agency-a"), Contribution(TERMS, "agency-a", seed=1)
    hub.report(first)
    says = hub.refusal(InputError, lambda: hub.report(second, [*second.receipts(COMMITTEE[:2]), first.receipts()[2]]))
    assert says == "The receipt of neutral is for another contribution."


@pytest.mark.parametrize("signer", ["hub", "agency-a", "agency-b"])
def test_a_receipt_that_its_node_did_not_sign(hub: Hub, signer: str) -> None:
    hub.approved(TERMS)
    c = Contribution(TERMS, "agency-a")
    *good, last = c.receipts()
    says = hub.refusal(InputError, lambda: hub.report(c, [*good, replace(last, signature=b"").signed(KEYS[signer])]))
    assert says == "A receipt in the name of neutral is not signed by its pinned key."


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([], "proposed"),
        ([Event.ALL_APPROVED, Event.ALL_CONTRIBUTED, Event.BEGIN], "running"),
        ([Event.ALL_APPROVED, Event.ALL_CONTRIBUTED, Event.BEGIN, Event.RELEASE], "done"),
        ([Event.CLOSE], "closed"),
    ],
)
def test_when_contributions_are_closed(hub: Hub, events: list[Event], state: str) -> None:
    hub.proposed(TERMS)
    for event in events:
        hub.store.change(ID, event)
    says = hub.refusal(SessionRefused, lambda: hub.report(Contribution(TERMS, "agency-a")))
    assert says == f"The session is {state}; contributions are closed."


def test_a_commitment_that_is_reported_again_changes_nothing(hub: Hub) -> None:
    """Nor does it make the log longer, which others must be able to read."""
    hub.approved(TERMS)
    first, *others = everyones(TERMS)
    assert hub.report(first) is State.APPROVED
    before = hub.kept()
    assert hub.report(first, []) is State.APPROVED
    assert hub.kept() == before
    for c in others:
        hub.report(c)
    before = hub.kept()
    assert hub.report(first) is State.READY
    assert hub.kept() == before


def test_a_member_reports_so_often_and_no_more(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it has only two lists, in turn: each time is an entry of the log."""
    monkeypatch.setattr(module, "MAX_CONTRIBUTIONS", 3)
    hub.approved(TERMS)
    lists = [Contribution(TERMS, "agency-a", seed=seed) for seed in (0, 1)]
    for k in range(3):
        hub.report(lists[k % 2])
    says = hub.refusal(SessionRefused, lambda: hub.report(lists[1]))
    assert says == "agency-a has contributed 3 times to this session already."
    assert hub.report(lists[0]) is State.APPROVED
    assert hub.report(Contribution(TERMS, "agency-b")) is State.APPROVED


def aborted(hub: Hub, *, fixed: bool) -> list[Contribution]:
    """A session whose attempt was given up before the committee began, or after it."""
    made = hub.ready(TERMS)
    hub.registry.run("hub", ID)
    if fixed:
        hub.registry.fix(ID)
    hub.registry.abort(ID, "agency-b: agency-c did not finish contributing.")
    return made


def test_contributions_are_open_until_the_whole_committee_could_begin(hub: Hub) -> None:
    made = aborted(hub, fixed=False)
    second = Contribution(TERMS, "agency-a", seed=1)
    assert hub.report(second) is State.ABORTED
    hub.registry.run("hub", ID)
    hub.registry.fix(ID)
    assert hub.store.get(ID).contributions == contributions(commitments([second, *made[1:]]))


def test_what_was_computed_on_stays(hub: Hub) -> None:
    made = aborted(hub, fixed=True)
    says = hub.refusal(SessionRefused, lambda: hub.report(Contribution(TERMS, "agency-a", seed=1)))
    assert says == "The session is aborted; contributions are closed."
    assert hub.report(made[0]) is State.ABORTED  # a node may have lost it
    assert hub.store.commitments(ID) == {c.member: c.commitment for c in made}


def test_what_a_session_waits_for(hub: Hub) -> None:
    hub.proposed(TERMS)
    approve(hub, "agency-b")
    record = hub.store.get(ID)
    waits = "Not yet approved by agency-a, agency-c, neutral; each runs `matchbit session approve`."
    assert missing_parts(record, set()) == waits
    signed = replace(record, signatures=signatures(TERMS))
    waits = "Not yet contributed by agency-a, agency-c; each runs `matchbit contribute`."
    assert missing_parts(signed, {"agency-b"}) == waits
    assert missing_parts(signed, set(TERMS.members)) == ""
    few = replace(signed, manifest=terms(min_members=2))
    assert missing_parts(few, {"agency-b", "agency-c"}) == ""
    assert contributions([]) != contributions(commitments(everyones(TERMS)))
