"""Parties tell each other how their logs of a session stand, and keep what is truly said."""

from dataclasses import replace
from pathlib import Path

import pytest

from parties import audit, heads
from parties.audit import NODE, Event, Head
from parties.errors import AuditError, SessionRefused
from parties.federation import Federation
from parties.lifecycle import State
from parties.store import Store
from tests.parties.deciding import FEDERATION, KEYS, check_logs, logged, refusal, store_of, terms

TERMS = terms()
ID = TERMS.session_id


class Parties:
    """Parties' databases, made when they are first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stores: dict[str, Store] = {}

    def __getitem__(self, name: str) -> Store:
        if name not in self._stores:
            self._stores[name] = store_of(self._folder / f"{name}.db", name)
            self._stores[name].add_session(TERMS, State.PROPOSED)
        return self._stores[name]

    def tell(self, one: str, other: str) -> None:
        """One tells the other all that it knows."""
        heads.receive(self[other], FEDERATION, TERMS, self[one].latest_heads(ID))


@pytest.fixture
def parties(tmp_path: Path) -> Parties:
    return Parties(tmp_path)


def head(name: str, number: int = 1, session: bytes = ID, content: bytes = b"h" * 32) -> Head:
    made = Head(name, session, number, content)
    return replace(made, signature=KEYS[name].sign(made.signed_bytes))


def others(store: Store, name: str) -> list[Head]:
    return [h for h in store.heads(ID) if h.node != name]


@pytest.mark.parametrize("name", ["agency-b", "agency-c", "neutral", "hub"])
def test_every_partys_word_is_kept_and_logged_once(parties: Parties, name: str) -> None:
    own, said = parties["agency-a"], parties[name].latest_heads(ID)
    for _ in range(2):
        heads.receive(own, FEDERATION, TERMS, said)
    assert others(own, "agency-a") == said
    assert logged(own, ID) == ["proposed", "head"]
    assert own.entries(ID)[-1].facts == {"node": name, "number": 1, "hash": said[0].hash.hex()}
    check_logs(own)


@pytest.mark.parametrize(
    "false",
    [
        replace(head("neutral"), number=2),
        replace(head("neutral"), hash=b"x" * 32),
        replace(head("neutral"), signature=bytes(64)),
        replace(head("neutral"), signature=b""),
        replace(head("agency-b"), node="neutral"),
        replace(head("neutral"), signature=head("neutral", session=NODE).signature),
    ],
)
def test_a_forged_head(parties: Parties, false: Head) -> None:
    own = parties["agency-a"]
    says = refusal(AuditError, lambda: heads.receive(own, FEDERATION, TERMS, [head("agency-c"), false]))
    assert says == f"A statement on entry {false.number} of the log of neutral is not signed by its pinned key."
    assert others(own, "agency-a") == []
    assert logged(own, ID) == ["proposed"]


FOREIGN = [head("stranger"), head("neutral", session=NODE), head("neutral", session=bytes(32))]


@pytest.mark.parametrize("foreign", FOREIGN)
def test_a_head_of_no_party_or_of_another_session(parties: Parties, foreign: Head) -> None:
    own = parties["agency-a"]
    says = refusal(SessionRefused, lambda: heads.receive(own, FEDERATION, TERMS, [head("agency-c"), foreign]))
    assert says == f"A statement on the log of {foreign.node} is not on this session, or of no party of it."
    assert others(own, "agency-a") == []


def test_no_more_are_looked_at_than_there_can_be_parties(parties: Parties) -> None:
    own, false = parties["agency-a"], replace(head("agency-b"), signature=b"")
    heads.receive(own, FEDERATION, TERMS, [*[head("neutral")] * heads.MAX_HEADS, false])
    assert others(own, "agency-a") == [head("neutral")]
    with pytest.raises(AuditError):
        heads.receive(own, FEDERATION, TERMS, [*[head("neutral")] * (heads.MAX_HEADS - 1), false])


def test_of_each_party_its_newest_head_counts(parties: Parties) -> None:
    """However many of its own a party hands over: each that is kept is an entry of the log."""
    own, newest = parties["agency-a"], [head("agency-b", 9), head("neutral", 5)]
    heads.receive(own, FEDERATION, TERMS, [*(head("neutral", n) for n in (5, 1, 3)), head("agency-b", 9)])
    assert others(own, "agency-a") == newest
    assert logged(own, ID) == ["proposed", "head", "head"]


def test_what_is_not_kept_is_not_checked_and_takes_no_turn_to_write(
    parties: Parties, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One party's heads, again and again, must not keep the node from its work."""
    monkeypatch.setattr(audit, "MAX_HEADS", 2)
    own, kept = parties["agency-a"], [head("neutral", 1), head("neutral", 2)]
    for known in kept:
        heads.receive(own, FEDERATION, TERMS, [known])
    with store_of(tmp_path / "agency-a.db", "agency-a").transaction():  # held by another process
        for told in (kept[1], head("neutral", 3), replace(head("neutral", 3), signature=bytes(64))):
            heads.receive(own, FEDERATION, TERMS, [told])
    assert others(own, "agency-a") == kept
    heads.receive(own, FEDERATION, TERMS, [head("neutral", 3), head("hub")])
    assert others(own, "agency-a") == [head("hub"), *kept]


def test_what_is_known_is_not_checked_again(parties: Parties) -> None:
    """Its node may have another key by now."""
    own, said = parties["agency-a"], parties["neutral"].latest_heads(ID)
    heads.receive(own, FEDERATION, TERMS, said)
    before = own.entries(ID)
    others_only = Federation({name: node for name, node in FEDERATION.nodes.items() if name != "neutral"})
    heads.receive(own, others_only, TERMS, said)
    assert own.entries(ID) == before


@pytest.mark.parametrize(
    ("caller", "told"),
    [
        ("agency-c", {"hub", "agency-a", "agency-b", "neutral", "agency-c"}),
        ("agency-b", {"hub", "agency-a", "agency-b", "neutral"}),
        ("hub", {"hub", "agency-a", "agency-b", "neutral"}),
    ],
)
def test_a_caller_is_told_of_the_coordinator_the_committee_and_itself(
    parties: Parties, caller: str, told: set[str]
) -> None:
    """A member's head goes to those that the protocol says, and not to the other members."""
    for name in ("agency-a", "agency-b", "agency-c", "neutral"):
        parties.tell(name, "hub")
    assert {head.node for head in heads.told(parties["hub"], TERMS, caller)} == told


def test_ones_own_head_told_by_others_is_no_news(parties: Parties) -> None:
    own = parties["agency-a"]
    heads.receive(own, FEDERATION, TERMS, [head("agency-a", 5)])
    assert logged(own, ID) == ["proposed"]
    assert own.latest_heads(ID)[0].number == 1


def test_heads_reach_those_who_never_speak_to_each_other(parties: Parties) -> None:
    parties["agency-a"].log(ID, Event.FORGOT)
    parties.tell("agency-a", "hub")
    parties.tell("hub", "agency-b")
    known = {h.node: h.number for h in others(parties["agency-b"], "agency-b")}
    assert known == {"agency-a": 2, "hub": 1}


def test_there_is_an_end_to_news(parties: Parties) -> None:
    names = ("agency-a", "agency-b", "hub")
    for _ in range(3):
        for one in names:
            for other in set(names) - {one}:
                parties.tell(one, other)
    before = [parties[name].entries(ID) for name in names]
    for one in names:
        for other in set(names) - {one}:
            parties.tell(one, other)
    assert [parties[name].entries(ID) for name in names] == before


def test_two_words_on_one_entry_are_kept_as_evidence(parties: Parties) -> None:
    own = parties["agency-a"]
    for content in (b"1" * 32, b"2" * 32):
        heads.receive(own, FEDERATION, TERMS, [head("neutral", 3, content=content)])
    assert [h.hash for h in others(own, "agency-a")] == [b"1" * 32, b"2" * 32]
    assert logged(own, ID) == ["proposed", "head", "head", "contradiction"]
    assert own.entries(ID)[-1].facts == {"node": "neutral", "number": 3}
    check_logs(own)
