"""How a list becomes a result, and what it reads its result with, whatever was cut off before."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from parties import calls
from parties.copies import Copies
from parties.errors import InputError, ResultError, SessionRefused
from parties.lifecycle import State
from parties.manifest import Manifest
from parties.member import Member, kept_list
from parties.statistics import Category, Statistics, rows_of
from parties.wire import View
from tests.parties.contributing import FIVE, MEMBERS, Parties
from tests.parties.deciding import logged
from tests.parties.samples import RULES, files, write

# From a list to its result


_SESSIONS = iter(range(1000))


def session(parties: Parties, **changes: Any) -> Manifest:
    """A session in which the two other members have contributed."""
    agreed = parties.approved(title=f"Session {next(_SESSIONS)}", **changes)
    for name, people in (("agency-b", ("P1", "P2", "P5")), ("agency-c", ("P2", "P6", "P7"))):
        parties.member(name).contribute(agreed.session_id, parties.list_of(name, *people), accept=True)
    return agreed


def matches(parties: Parties, agreed: Manifest, member: Member | None = None) -> dict[str, str]:
    """What agency-a learns."""
    out = parties.folder / "result.csv"
    (member or parties.member()).results(agreed.session_id, out, out.with_suffix(".html"), accept=True)
    with out.open(encoding="utf-8-sig", newline="") as file:
        return {row["id_number"]: row["match"] for row in csv.DictReader(file)}


def test_a_list_and_its_result(parties: Parties) -> None:
    agreed, member = session(parties), parties.member()
    member.contribute(agreed.session_id, parties.list_of("agency-a", "P1", "P3", "P2"))
    parties.compute(agreed)
    assert matches(parties, agreed) == {"P1": "yes", "P3": "no", "P2": "yes"}
    assert logged(member.store, agreed.session_id)[-2:] == ["got_result", "head"]
    contributed = next(e for e in member.store.entries(agreed.session_id) if e.event == "contributed")
    assert {name: contributed.facts[name] for name in ("records", "new_records", "keys")} == {
        "records": 3, "new_records": 3, "keys": 3,
    }  # fmt: skip


class Killed(BaseException):
    pass


def killed(*_: object) -> None:
    raise Killed


def test_a_second_list_that_was_cut_off_before_it_was_reported(
    parties: Parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result is on the first list, and read with it, although the second one had reached all nodes."""
    agreed, member = session(parties), parties.member()
    member.contribute(agreed.session_id, parties.list_of("agency-a", "P1", "P3", "P2"))
    with monkeypatch.context() as patched:
        patched.setattr(calls.Coordinator, "report", killed)
        with pytest.raises(Killed):
            member.contribute(agreed.session_id, parties.list_of("agency-a", "P5", "P6", "P8", "P9"))
    parties.compute(agreed)
    assert matches(parties, agreed) == {"P1": "yes", "P3": "no", "P2": "yes"}
    kept = kept_list(member.config, member.store, agreed.session_id)
    assert kept is not None
    assert "P3" in kept.path.read_text("utf-8")


def test_a_second_list_that_was_cut_off_after_it_was_reported(
    parties: Parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreed, member = session(parties), parties.member()
    member.contribute(agreed.session_id, parties.list_of("agency-a", "P1", "P3", "P2"))
    with monkeypatch.context() as patched:
        patched.setattr(Copies, "drop_others", killed)
        with pytest.raises(Killed):
            member.contribute(agreed.session_id, parties.list_of("agency-a", "P5", "P8", "P9", "P6"))
    parties.compute(agreed)
    assert matches(parties, agreed) == {"P5": "yes", "P8": "no", "P9": "no", "P6": "yes"}


def test_an_upload_that_was_cut_off_goes_on_with_the_same_shares(
    parties: Parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreed, listed = session(parties), parties.list_of("agency-a", "P1", "P3", "P2")
    with monkeypatch.context() as patched:
        patched.setattr(calls.Coordinator, "report", killed)
        with pytest.raises(Killed):
            parties.member().contribute(agreed.session_id, listed)
    before = [guard.shares.uploads(agreed.session_id)["agency-a"] for guard in parties.nodes(agreed)]
    parties.member().contribute(agreed.session_id, listed)
    after = [guard.shares.uploads(agreed.session_id)["agency-a"] for guard in parties.nodes(agreed)]
    assert after == before
    for guard in parties.nodes(agreed):
        received = [e for e in guard.store.entries(agreed.session_id) if e.facts.get("member") == "agency-a"]
        assert [e.event for e in received] == ["received"]


def test_after_an_attempt_that_could_not_begin_members_contribute_again(parties: Parties) -> None:
    """One node refused before anything was computed on."""
    agreed, member = session(parties), parties.member()
    member.contribute(agreed.session_id, parties.list_of("agency-a", "P1", "P3"))
    parties.registry.run("hub", agreed.session_id)
    parties.registry.abort(agreed.session_id, "neutral: agency-a did not finish contributing.")
    for guard in parties.nodes(agreed):
        guard.abort("hub", agreed.session_id, 1, "neutral: agency-a did not finish contributing.")
    member.contribute(agreed.session_id, parties.list_of("agency-a", "P2", "P3"))
    parties.compute(agreed)
    assert matches(parties, agreed) == {"P2": "yes", "P3": "no"}


def test_what_a_result_is_on_is_kept_and_heads_do_not_keep_it_from_being_written(
    parties: Parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A coordinator that passes on false heads keeps nobody's result from being written."""
    agreed, member = session(parties), parties.member()
    member.contribute(agreed.session_id, parties.list_of("agency-a", "P1", "P3"))
    parties.compute(agreed)
    (mine,) = (c for c in parties.registry.store.commitments(agreed.session_id).values() if c.name == "agency-a")
    with monkeypatch.context() as patched:
        patched.setattr(Member, "exchange_heads", killed)
        with pytest.raises(Killed):
            matches(parties, agreed, member)
    assert "P3" in (parties.folder / "result.csv").read_text("utf-8-sig")
    assert member.store.commitments(agreed.session_id) == {"agency-a": mine}
    assert logged(member.store, agreed.session_id)[-1] == "got_result"


def test_the_list_that_was_computed_on_is_the_known_one(parties: Parties, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the one that was contributed last, and cut off."""
    agreed, later = session(parties), session(parties)
    parties.member().contribute(agreed.session_id, parties.list_of("agency-a", "L1", "L2", "L3"))
    with monkeypatch.context() as patched:
        patched.setattr(calls.Coordinator, "report", killed)
        with pytest.raises(Killed):
            parties.member().contribute(agreed.session_id, parties.list_of("agency-a", "L3", "L4", "L5", "L6"))
    parties.compute(agreed)
    matches(parties, agreed)
    parties.member().contribute(later.session_id, parties.list_of("agency-a", "L1", "L2", "L3", "L4"))
    assert parties.registry.store.commitments(later.session_id)["agency-a"].new_records == 1


def test_records_count_as_known_when_results_were_had(parties: Parties) -> None:
    def new_in(agreed: Manifest) -> int:
        parties.member().contribute(agreed.session_id, parties.list_of("agency-a", "K1", "K2", "K3"))
        return parties.registry.store.commitments(agreed.session_id)["agency-a"].new_records

    first, second = session(parties), session(parties)
    assert (new_in(first), new_in(second)) == (3, 3)
    parties.compute(first)
    assert new_in(second) == 3
    matches(parties, first)
    assert new_in(second) == 0


def test_what_leaves_no_trace(parties: Parties) -> None:
    """A list that cannot be used, or looks wrong."""
    agreed, member = session(parties, min_records=2, rules=RULES), parties.member()
    before = files(member.config.folder / "lists")
    with pytest.raises(InputError, match="asks for at least 2 of each"):
        member.contribute(agreed.session_id, parties.list_of("agency-a", "P1"), accept=True)
    with pytest.raises(SessionRefused, match="looks wrong, and nothing has left this computer"):
        member.contribute(agreed.session_id, parties.list_of("agency-a", "P1", "P2"))  # without phones
    assert files(member.config.folder / "lists") == before
    assert "agency-a" not in parties.registry.store.commitments(agreed.session_id)


# What a member checks for itself


@pytest.fixture(scope="module")
def done(running: Parties, tmp_path_factory: pytest.TempPathFactory) -> View:
    """A session with results, as the coordinator tells it."""
    running.folder = tmp_path_factory.mktemp("done")
    agreed = session(running)
    running.member().contribute(agreed.session_id, running.list_of("agency-a", "P1", "P3"))
    running.compute(agreed)
    return running.member().coordinator.get(agreed.session_id)


def refused(parties: Parties, kind: type[Exception], view: View) -> str:
    with pytest.raises(kind) as error:
        parties.member().fetch(view, 2)
    return str(error.value)


def test_results_are_fetched_on_the_whole_committees_word(parties: Parties, done: View) -> None:
    assert len(parties.member().fetch(done, 2)) == 2
    for k in range(3):
        fewer = replace(done, completions=(*done.completions[:k], *done.completions[k + 1 :]))
        assert "did not say that it has computed" in refused(parties, SessionRefused, fewer)
    false = replace(done.completions[0], signature=bytes(64))
    assert "is not signed by its pinned key" in refused(
        parties, InputError, replace(done, completions=(false, *done.completions[1:]))
    )


@pytest.mark.parametrize("name", MEMBERS[1:])
def test_contributions_that_the_committee_did_not_compute_on(parties: Parties, done: View, name: str) -> None:
    key = parties.configs[name].identity().signing_key
    other = replace(done.commitments[name], new_records=0).signed(key)
    says = "The committee computed on other contributions than the coordinator shows; its operator must act."
    assert refused(parties, ResultError, replace(done, commitments=done.commitments | {name: other})) == says
    without = {n: c for n, c in done.commitments.items() if n != name}
    assert refused(parties, ResultError, replace(done, commitments=without)) == says
    forged = replace(other, signature=bytes(64))
    assert "is not signed" in refused(parties, InputError, replace(done, commitments=done.commitments | {name: forged}))


def test_ones_own_contribution_must_be_among_them(parties: Parties, done: View) -> None:
    without = {n: c for n, c in done.commitments.items() if n != "agency-a"}
    says = "agency-a has not contributed to this session from this computer."
    assert refused(parties, SessionRefused, replace(done, commitments=without)) == says


@pytest.mark.parametrize("state", [s for s in State if s is not State.DONE])
def test_there_are_no_results_before_they_are_released(parties: Parties, done: View, state: State) -> None:
    view = replace(done, record=replace(done.record, state=state, reason="neutral went away."))
    says = refused(parties, SessionRefused, view)
    assert says.startswith("There are no results: the session ")
    assert says.endswith(" neutral went away.")


def test_what_a_member_contributes_to(parties: Parties, tmp_path: Path) -> None:
    listed = parties.list_of("agency-a", "P1")
    pair = parties.approved(title="Pair", members=("agency-b", "agency-c"))
    with pytest.raises(SessionRefused, match=r"No session .* is known here"):
        parties.member().contribute(pair.session_id, listed)
    other = parties.approved(title="Refused", members=("agency-a", "agency-b"))
    with pytest.raises(SessionRefused, match="neutral is not a member of this session; it has nothing to contribute"):
        parties.member("neutral").contribute(other.session_id, listed)
    parties.registry.refuse("agency-b", other.session_id, "why")
    with pytest.raises(SessionRefused, match=r"^The session was refused\. agency-b: why$"):
        parties.member().contribute(other.session_id, listed)


def test_a_members_own_policy_counts_when_it_contributes(parties: Parties) -> None:
    agreed, own = session(parties), parties.configs["agency-a"]
    listed = parties.list_of("agency-a", "P1")
    write(own.policy_path, "max_records = 999\n")
    try:
        with pytest.raises(SessionRefused, match="The policy of agency-a refuses the terms: `max_records` is 1,000"):
            parties.member().contribute(agreed.session_id, listed)
    finally:
        own.policy_path.unlink()


def test_a_list_is_forgotten_once(parties: Parties) -> None:
    agreed, member = session(parties), parties.member()
    member.contribute(agreed.session_id, parties.list_of("agency-a", "P1", "P2"))
    parties.compute(agreed)
    matches(parties, agreed)
    assert member.forget(agreed.session_id) == 2
    assert kept_list(member.config, member.store, agreed.session_id) is None
    with pytest.raises(SessionRefused, match="agency-a deleted its copy of the list and its matches on 20"):
        member.forget(agreed.session_id)
    with pytest.raises(SessionRefused, match="agency-a deleted its copy"):
        matches(parties, agreed)


# Other engines and committees

SEX = Statistics(3, (Category("sex", ("f", "m")),))


@pytest.mark.parametrize("threshold", [1, 2])
@pytest.mark.parametrize("table", [None, SEX], ids=["keys", "table"])
def test_a_list_reaches_a_committee_of_five(parties: Parties, table: Statistics | None, threshold: int) -> None:
    reveal = "flag" if table is None else "statistics"
    terms = {"engine": "mpyc", "threshold": threshold, "committee": FIVE, "reveal": reveal, "statistics": table}
    agreed = parties.approved(title=f"Session {next(_SESSIONS)}", **terms)
    listed = write(parties.folder / "agency-a.csv", "id_number,sex\nP1,f\nP2,m\nP3,\n")
    told: list[tuple[str, int, int]] = []
    member = Member(parties.configs["agency-a"], lambda *progress: told.append(progress))
    keys, _ = member.contribute(agreed.session_id, listed)
    rows = parties.rows(agreed)["agency-a"]
    assert (rows[:, :2] == keys.keys).all()
    if table is not None:
        assert keys.cells is not None
        assert (rows == rows_of(keys.keys, keys.cells[keys.first_rows(0)], 3)).all()
        assert sorted(rows[:, 2].tolist()) == [1, 2, 4]
    assert parties.registry.store.contributed(agreed.session_id) == {"agency-a"}
    sent = [(done, total) for what, done, total in told if what == "uploading bytes"]
    whole = 5 * 3 * 17 * (1 if table is None else 4)
    assert {total for _, total in sent} == {whole}
    assert max(done for done, _ in sent) == whole
    told.clear()
    member.contribute(agreed.session_id, listed)  # which is there already
    assert max(done for what, done, _ in told if what == "uploading bytes") == whole
