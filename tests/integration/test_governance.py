"""What nodes refuse, and what survives: budgets, replays, changed terms, two coordinators, full disks, silent peers."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from mpc.dummies import Dummies, Noise
from parties import calls, config
from parties.cli import main
from parties.contribution import Dealing
from parties.errors import (
    InputError,
    ResultError,
    ServiceError,
    SessionAborted,
    SessionRefused,
)
from parties.launch import Operator
from parties.lifecycle import State
from parties.loopback import COORDINATOR, NEUTRAL, free_port
from parties.manifest import sign
from parties.member import quiet
from parties.statements import Commitment
from parties.store import SessionRecord
from tests.integration.federations import COMMITTEE, MEMBERS, Federation, overlapping, write_numbers
from tests.integration.test_failures import bulk, check_bulk, until_tagging


def answer(federation: Federation, name: str, record: SessionRecord) -> State:
    """Where a session is at a node, as it tells the coordinator."""
    own = federation.configs[COORDINATOR]
    return calls.Committee(own, own.store()).look(name, record.id).state


# Terms


def test_a_replayed_signature_counts_for_nothing(federation: Federation) -> None:
    """An approval of other terms, or by another, is none of these."""
    first, second = (federation.operator.propose(federation.terms()).session_id for _ in range(2))
    own = federation.configs["agency-a"]
    for session, name in ((first, "agency-a"), (second, "agency-b")):
        signature = sign(own.identity().signing_key, session, name)
        with pytest.raises(InputError, match="not signed by agency-a's pinned key"):
            federation.member("agency-a").coordinator.approve(second, signature)
    assert federation.operator.coordinator.get(second).record.signatures == {}


def test_a_manifest_that_was_changed_by_one_byte(fragile: Federation) -> None:
    """The coordinator cannot change what was signed: it is another session then."""
    record = fragile.operator.coordinator.get(fragile.operator.propose(fragile.terms()).session_id).record
    fragile.stop(COORDINATOR)
    changed = record.manifest.to_bytes().replace(b"deconfliction", b"deconflictiom")
    database = sqlite3.connect(fragile.configs[COORDINATOR].database)
    with database:
        database.execute("UPDATE sessions SET manifest = ? WHERE id = ?", (changed, record.id))
    database.close()
    fragile.start(COORDINATOR)
    with pytest.raises(ResultError, match="answered with another session than was asked for"):
        fragile.member("agency-a").approve(record.id)


def test_only_the_sessions_own_coordinator_may_run_and_end_it(federation: Federation, tmp_path: Path) -> None:
    lists = overlapping(MEMBERS, 10)
    record = federation.ready(tmp_path, lists)
    commitments = list(federation.operator.coordinator.get(record.id).commitments.values())
    for name in ("agency-c", NEUTRAL):
        own = federation.configs[name]
        other = calls.Committee(own, own.store())
        for act in (
            lambda other=other: other.start("agency-a", record.id, 1, commitments),
            lambda other=other: other.abort("agency-a", record.id, 1, "because"),
            lambda other=other: other.release("agency-a", record.id, 1, []),
            lambda other=other: other.delete("agency-a", record.id),
        ):
            with pytest.raises(SessionRefused, match="Only the session's coordinator"):
                act()
    federation.check(tmp_path, federation.operator.run(record.id), lists)


def test_two_processes_with_one_coordinators_key(fragile: Federation, tmp_path: Path) -> None:
    """A copy of the coordinator, started by mistake, cannot make nodes release two results or none."""
    record, keys = bulk(fragile, 50_000)
    own = fragile.configs[COORDINATOR]
    fragile.stop(COORDINATOR)
    folder = shutil.copytree(own.folder, tmp_path / "copy")
    address, port = own.listen, f"127.0.0.1:{free_port()}"
    for file in ("node.toml", "federation.toml"):
        text = (folder / file).read_text("utf-8").replace(address, port)
        (folder / file).write_text(text, "utf-8")
    fragile.start(COORDINATOR)
    fragile.configs["copy"] = config.load(folder / "node.toml")
    fragile.start("copy")
    twin = Operator(fragile.configs["copy"], quiet)
    fragile.operator.coordinator.run(record.id)
    twin.coordinator.run(record.id)
    for operator in (fragile.operator, twin) * 3:  # each may lose its attempt to the other, and try again
        with suppress(SessionAborted, SessionRefused):
            operator.run(record.id)
    ends = [operator.coordinator.get(record.id).record for operator in (fragile.operator, twin)]
    assert {(end.state, end.attempt) for end in ends} == {(State.DONE, ends[0].attempt)}
    check_bulk(fragile, record, keys)


def test_fewer_members_where_the_terms_allow_it(federation: Federation, tmp_path: Path) -> None:
    record = federation.approved(min_members=2)
    lists = overlapping(MEMBERS[:2], 20)
    federation.member("agency-a").contribute(record.id, write_numbers(tmp_path / "agency-a.csv", lists["agency-a"]))
    with pytest.raises(SessionRefused, match="Not yet contributed by agency-b, agency-c"):
        federation.operator.run(record.id)
    federation.member("agency-b").contribute(record.id, write_numbers(tmp_path / "agency-b.csv", lists["agency-b"]))
    federation.check(tmp_path, federation.operator.run(record.id), lists)
    with pytest.raises(SessionRefused, match="has not contributed"):
        federation.member("agency-c").results(record.id, tmp_path / "c.csv", tmp_path / "c.html")


@pytest.mark.parametrize("reveal", ["flag", "count", "members"])
def test_dummies_change_nobodys_result(federation: Federation, tmp_path: Path, reveal: str) -> None:
    lists = overlapping(MEMBERS, 30)
    dummies = {"epsilon": 2.0, "delta": 1e-4}
    record = federation.ready(tmp_path, lists, reveal=reveal, dummies=dummies)
    federation.check(tmp_path, federation.operator.run(record.id), lists)
    store = federation.configs[NEUTRAL].store()
    (computed,) = (e for e in store.entries(record.id) if e.event == "computed")
    sizes = computed.facts["group_sizes"]
    keys = sum(c.keys for c in federation.operator.coordinator.get(record.id).commitments.values())
    assert isinstance(sizes, list)
    padded = sum(size * int(many) for size, many in enumerate(sizes, 1))
    assert padded == keys + Noise(Dummies(**dummies), 1, 3).rows


def test_verified_tags_change_nobodys_result(federation: Federation, tmp_path: Path) -> None:
    lists = overlapping(MEMBERS, 30)
    record = federation.ready(tmp_path, lists, verify_tags=True)
    federation.check(tmp_path, federation.operator.run(record.id), lists)
    figures = federation.operator.figures(federation.operator.coordinator.get(record.id).record)
    assert all("verify" in figures[node]["phases"] for node in COMMITTEE)


# Budgets


def test_a_member_over_its_budget_of_sessions(federation: Federation, tmp_path: Path) -> None:
    """The nodes count the sessions that a member has had results of, whatever the coordinator says."""
    lists = overlapping(MEMBERS, 10)
    first = federation.ready(tmp_path, lists, max_sessions=1000)
    federation.check(tmp_path, federation.operator.run(first.id), lists)
    second = federation.approved(max_sessions=1)
    with pytest.raises(SessionRefused, match=r"has had results of \d+ other sessions in the last 30 days"):
        federation.member("agency-c").contribute(second.id, tmp_path / "agency-c.csv")


def test_new_records_are_limited_after_a_members_first_session(fragile: Federation, tmp_path: Path) -> None:
    lists = overlapping(MEMBERS, 20)
    record = fragile.ready(tmp_path, lists, max_new_records=1)
    fragile.check(tmp_path, fragile.operator.run(record.id), lists)
    second = fragile.approved(max_new_records=1)
    view = fragile.member("agency-a").contribute(second.id, tmp_path / "agency-a.csv")
    assert view
    shown = fragile.operator.coordinator.get(second.id).commitments["agency-a"]
    assert (shown.records, shown.new_records) == (22, 0)
    more = write_numbers(tmp_path / "more.csv", [*lists["agency-a"], "GUESS1"])
    fragile.member("agency-a").contribute(second.id, more)
    assert fragile.operator.coordinator.get(second.id).commitments["agency-a"].new_records == 1
    guesses = write_numbers(tmp_path / "guesses.csv", [*lists["agency-a"], "GUESS1", "GUESS2"])
    with pytest.raises(SessionRefused, match="2 records of agency-a are new since its last session; this session allo"):
        fragile.member("agency-a").contribute(second.id, guesses)


def test_lists_that_are_too_short_are_refused_by_the_nodes_too(federation: Federation, tmp_path: Path) -> None:
    record = federation.approved(min_records=10)
    short = write_numbers(tmp_path / "short.csv", ["1", "2", "3"])
    with pytest.raises(InputError, match="asks for at least 10 of each"):
        federation.member("agency-a").contribute(record.id, short)
    own = federation.configs["agency-a"]
    liar = Commitment(record.id, "agency-a", records=3, new_records=3, keys=3, digests=(bytes(32),) * 3)
    signed = liar.signed(own.identity().signing_key)
    for name in COMMITTEE:
        dealing = Dealing(3, (bytes(16), bytes(16)), None, (bytes(32), bytes(32)))
        with pytest.raises(SessionRefused, match="asks for at least 10 of each"):
            calls.contribute(own, own.federation()[name], signed, dealing, lambda _: None)


# Failures


@contextmanager
def full_disk(federation: Federation, name: str) -> Iterator[None]:
    """No file of a daemon may grow, as on a full disk."""
    pid = federation.pid(name)
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def test_a_full_disk(shaken: Federation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose disk it is is said; once there is room again, it goes on, without anyone uploading again."""
    monkeypatch.setattr(calls, "UPLOAD_PAUSES_S", (0.0,))  # there is no room later either
    lists = overlapping(MEMBERS, 10)
    record = shaken.approved()
    paths = {name: write_numbers(tmp_path / f"{name}.csv", numbers) for name, numbers in lists.items()}
    with full_disk(shaken, "agency-b"), pytest.raises(ServiceError, match="its disk may be full") as caught:
        shaken.member("agency-a").contribute(record.id, paths["agency-a"])
    assert "agency-b" in str(caught.value)
    for name, path in paths.items():
        shaken.member(name).contribute(record.id, path)
    with full_disk(shaken, "agency-b"), pytest.raises(SessionAborted, match=r"agency-b.*its disk may be full"):
        shaken.operator.run(record.id)
    shaken.check(tmp_path, shaken.operator.run(record.id), lists)


def test_a_disk_that_is_full_when_results_are_stored(shaken: Federation) -> None:
    record, keys = bulk(shaken)
    shaken.operator.coordinator.run(record.id)
    until_tagging(shaken, record)
    with full_disk(shaken, "agency-a"), pytest.raises(SessionAborted, match="its disk may be full"):
        shaken.operator.wait(record.id, State.DONE, 120)
    check_bulk(shaken, shaken.operator.run(record.id), keys)


def test_a_coordinator_that_is_away_while_all_nodes_compute_and_are_killed(shaken: Federation) -> None:
    """The nodes keep what they have computed, and give nothing out until the coordinator is back."""
    record, keys = bulk(shaken, 50_000)
    shaken.operator.coordinator.run(record.id)
    until_tagging(shaken, record)
    shaken.stop(COORDINATOR, kill=True)
    for name in COMMITTEE:
        while answer(shaken, name, record) is State.RUNNING:
            pass
        assert answer(shaken, name, record) is State.COMPUTED
    shaken.stop(*COMMITTEE, kill=True)
    shaken.start(*COMMITTEE)
    own = shaken.configs["agency-c"]
    with pytest.raises(SessionRefused, match="Results are not released yet"):
        calls.fetch_result(own, own.federation()["agency-a"], record.id, [], 1_000_000)
    shaken.start(COORDINATOR)
    done = shaken.operator.wait(record.id, State.DONE, 60)
    assert done.attempt == 1
    check_bulk(shaken, done, keys)


def test_a_peer_that_stalls_is_noticed(fragile: Federation) -> None:
    """It is not gone, it just says nothing; the others name it, and another attempt succeeds when it is back."""
    for name in (*COMMITTEE, COORDINATOR):
        path = fragile.configs[name].folder / "node.toml"
        path.write_text(re.sub(r"step_timeout_s = \d+", "step_timeout_s = 2", path.read_text("utf-8")), "utf-8")
        fragile.configs[name] = config.load(path)
    fragile.stop()
    fragile.start()
    record, keys = bulk(fragile)
    fragile.operator.coordinator.run(record.id)
    until_tagging(fragile, record)
    os.kill(fragile.pid(NEUTRAL), signal.SIGSTOP)
    try:
        reasons = []
        for name in ("agency-a", "agency-b"):
            while answer(fragile, name, record) is State.RUNNING:
                pass
            reasons.append(fragile.configs[name].store().get(record.id).reason)
    finally:
        os.kill(fragile.pid(NEUTRAL), signal.SIGCONT)
    assert any(reason.startswith("neutral ") for reason in reasons)
    try:
        done = fragile.operator.wait(record.id, State.DONE, 120)
    except SessionAborted:  # all tries fell into its sleep
        done = fragile.operator.run(record.id)
    check_bulk(fragile, done, keys)


def test_an_upload_goes_on_after_its_node_was_killed(shaken: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what has not been acknowledged is sent again."""
    monkeypatch.setattr(calls, "UPLOAD_PAUSES_S", (2.0,) * 5)
    rows = 2_000_000
    record = shaken.approved(max_records=rows)
    sent: list[int] = []
    once = threading.Lock()
    parts = calls._upload_requests

    def watched(commitment, dealing, offset, progress):  # type: ignore[no-untyped-def]
        sent.append(offset)
        for number, request in enumerate(parts(commitment, dealing, offset, progress)):
            yield request
            if dealing.whole is not None and number == 20 and once.acquire(blocking=False):
                shaken.stop("agency-b", kill=True)
                shaken.start("agency-b")

    monkeypatch.setattr(calls, "_upload_requests", watched)
    keys = np.random.default_rng(3).integers(0, 2**64, (rows, 2), np.uint64)
    shaken.member("agency-c").contribute_keys(record, keys)
    assert any(offset > 0 and offset % (1 << 20) == 0 for offset in sent), sent
    assert shaken.operator.coordinator.get(record.id).commitments["agency-c"].keys == rows


# The log


def test_a_log_that_was_tampered_with(fragile: Federation, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lists = overlapping(MEMBERS, 10)
    record = fragile.ready(tmp_path, lists)
    fragile.check(tmp_path, fragile.operator.run(record.id), lists)
    for name in (*MEMBERS, NEUTRAL, COORDINATOR):
        assert main(["audit", "verify", *fragile.own(name)]) == 0, capsys.readouterr().out
    capsys.readouterr()
    database = sqlite3.connect(fragile.configs["agency-b"].database)
    with database:
        changed = database.execute(
            "UPDATE entries SET facts = replace(facts, '\"records\":12', '\"records\":11') WHERE event = 'received'"
        ).rowcount
    database.close()
    assert changed
    assert main(["audit", "verify", *fragile.own("agency-b")]) == 5
    assert "agency-b" in capsys.readouterr().out
