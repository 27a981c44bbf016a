"""What goes wrong between daemons: wrong certificates, stopped, killed and restarted nodes, peers that lie."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import ssl
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest

from mpc.matching import Reveal
from parties import calls, config
from parties.config import Config
from parties.contribution import SECRET_BYTES, Dealing, deal, scheme_of
from parties.errors import InputError, PeerIdentityError, PeerUnavailable, ServiceError, SessionAborted, SessionRefused
from parties.federation import Federation as Known
from parties.identity import utc_now
from parties.launch import Operator
from parties.lifecycle import State
from parties.loopback import COORDINATOR, NEUTRAL
from parties.manifest import sign
from parties.member import quiet
from parties.statements import Commitment
from parties.store import SessionRecord
from parties.transport import calling, dial
from parties.wire import commitment_to_pb
from protos.matchbit.v1 import committee_pb2 as pb
from protos.matchbit.v1.committee_pb2_grpc import ContributionServiceStub, ExchangeServiceStub
from protos.matchbit.v1.session_pb2 import SessionState
from tests.integration.federations import COMMITTEE, MEMBERS, Federation, Keys, overlapping, random_keys, write_numbers

# Identity


def test_a_stranger_is_not_let_in(federation: Federation, tmp_path: Path) -> None:
    """Keys that nobody pinned: the connection itself fails, at the coordinator and at a node."""
    stranger = config.create("stranger", tmp_path / "stranger", "", coordinator=False)
    known = federation.configs["agency-a"].federation()
    for call in (
        lambda: calls.Coordinator(stranger, known).sessions(),
        lambda: calls.get_run(stranger, known[NEUTRAL], bytes(32)),
    ):
        with pytest.raises(PeerUnavailable, match=r"federation\.toml does not hold our certificate"):
            call()


def test_a_node_with_another_certificate_is_not_believed(federation: Federation, tmp_path: Path) -> None:
    """Who answers in a node's place with other keys is noticed by the caller."""
    impostor = config.create(NEUTRAL, tmp_path / "impostor", "127.0.0.1:1", coordinator=False)
    own = federation.configs["agency-a"]
    pinned = own.federation()[NEUTRAL]
    wrong = dataclasses.replace(pinned, certificate=impostor.identity().certificate)
    with pytest.raises(PeerIdentityError, match="neutral does not show the certificate"):
        calls.get_run(own, wrong, bytes(32))


def test_a_pinned_certificate_speaks_for_its_own_name_only(federation: Federation) -> None:
    """agency-c may call nodes, but not as the coordinator, nor as agency-a, nor as a peer of the committee."""
    record = federation.approved()
    own = federation.configs["agency-c"]
    nodes = own.federation()
    federation.member("agency-a").coordinator.get(record.id)
    with pytest.raises(SessionRefused, match="Only the session's coordinator"):
        calls.Committee(own, own.store()).start(NEUTRAL, record.id, 1, [])
    fresh = federation.operator.propose(federation.terms()).session_id
    signature = sign(own.identity().signing_key, fresh, "agency-a")
    with pytest.raises(InputError, match="in the name of agency-c is not signed by"):
        calls.Coordinator(own, nodes).approve(fresh, signature)
    header = pb.ExchangeRequest(header=pb.ExchangeHeader(session_id=record.id, attempt=1))
    with calls.connected(own, nodes[NEUTRAL]) as connection:
        with pytest.raises(grpc.RpcError) as caught:
            ExchangeServiceStub(connection).Exchange(iter([header]), timeout=10)
        assert "not a peer" in caught.value.details()


def test_nothing_below_tls_1_3(federation: Federation, tmp_path: Path) -> None:
    own = federation.configs["agency-c"].identity()
    (tmp_path / "both.pem").write_bytes(own.tls_key + own.certificate)
    host, port = federation.configs[NEUTRAL].listen.split(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(tmp_path / "both.pem")
    context.set_alpn_protocols(["h2"])
    with socket.create_connection((host, int(port))) as raw, context.wrap_socket(raw) as secure:
        assert secure.version() == "TLSv1.3"
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection((host, int(port))) as raw, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(raw)


# Nodes that stop


def test_a_stopped_node_is_named_and_the_session_can_run_later(fragile: Federation, tmp_path: Path) -> None:
    lists = overlapping(MEMBERS, 30)
    record = fragile.ready(tmp_path, lists)
    fragile.stop(NEUTRAL)
    impatient = fragile.configs[COORDINATOR]
    text = (impatient.folder / "node.toml").read_text("utf-8")
    (impatient.folder / "node.toml").write_text(text.replace("step_timeout_s = 20", "step_timeout_s = 2"), "utf-8")
    fragile.stop(COORDINATOR)
    fragile.start(COORDINATOR)
    with pytest.raises(SessionAborted, match="neutral cannot be reached"):
        fragile.operator.run(record.id)
    fragile.start(NEUTRAL)
    fragile.check(tmp_path, fragile.operator.run(record.id), lists)


def test_contributing_while_a_node_is_down_changes_nothing(shaken: Federation, tmp_path: Path) -> None:
    lists = overlapping(MEMBERS, 30)
    record = shaken.ready(tmp_path, lists)
    shaken.stop("agency-b")
    with pytest.raises(PeerUnavailable, match="agency-b cannot be reached"):
        shaken.member("agency-c").contribute(record.id, tmp_path / "agency-c.csv")
    shaken.start("agency-b")
    shaken.member("agency-c").contribute(record.id, tmp_path / "agency-c.csv")
    shaken.check(tmp_path, shaken.operator.run(record.id), lists)


def test_everyone_restarts_between_any_two_steps(shaken: Federation, tmp_path: Path) -> None:
    lists = overlapping(MEMBERS, 40)

    def restart(*, kill: bool) -> None:
        shaken.stop(kill=kill)
        shaken.start()

    record = shaken.operator.coordinator.get(shaken.operator.propose(shaken.terms()).session_id).record
    restart(kill=False)
    for name in record.manifest.participants:
        shaken.member(name).approve(record.id)
        restart(kill=name == NEUTRAL)
    for name, numbers in lists.items():
        shaken.member(name).contribute(record.id, write_numbers(tmp_path / f"{name}.csv", numbers))
        restart(kill=name == "agency-b")
    done = shaken.operator.run(record.id)
    restart(kill=True)
    shaken.check(tmp_path, done, lists)
    restart(kill=False)
    shaken.operator.coordinator.close(record.id)


_RUNNING = SessionState.SESSION_STATE_RUNNING


def until_tagging(federation: Federation, record: SessionRecord) -> None:
    """Wait until the committee is in the midst of the computation."""
    own = federation.configs[COORDINATOR]
    while True:
        run = calls.get_run(own, own.federation()["agency-a"], record.id)
        assert run.state != SessionState.SESSION_STATE_DONE, "the list is too short to be interrupted"
        if run.progress.phase == "tag":
            return


def bulk(federation: Federation, rows: int = 150_000) -> tuple[SessionRecord, Keys]:
    """A session that takes a while, ready to run; and its members' keys, of which the first half is common."""
    record = federation.approved(max_records=rows)
    keys = random_keys(dict.fromkeys(MEMBERS, rows), rows // 2)
    for name in MEMBERS:
        federation.member(name).contribute_keys(record, keys[name])
    return record, keys


def check_bulk(federation: Federation, record: SessionRecord, keys: Keys) -> None:
    federation.check_keys(record, keys, len(keys[MEMBERS[0]]) // 2)


def commitment_of(
    config: Config, record: SessionRecord, keys: np.typing.NDArray[np.uint64]
) -> tuple[Commitment, list[Dealing]]:
    """What a member would commit to, freshly dealt."""
    dealings = deal(scheme_of(record.manifest), keys, os.urandom(SECRET_BYTES))
    counts = {"records": len(keys), "new_records": len(keys), "keys": len(keys)}
    commitment = Commitment(record.id, config.name, **counts, digests=dealings[0].digests)
    return commitment.signed(config.identity().signing_key), dealings


def test_compared_lists_cannot_be_changed(shaken: Federation) -> None:
    """Group sizes may have been opened: another list would open others."""
    record, keys = bulk(shaken)
    shaken.operator.coordinator.run(record.id)
    until_tagging(shaken, record)
    shaken.stop(COORDINATOR, "agency-b", kill=True)
    shaken.start("agency-b")
    own = shaken.configs["agency-c"]
    while calls.get_run(shaken.configs[COORDINATOR], own.federation()[NEUTRAL], record.id).state == _RUNNING:
        pass
    commitment, dealings = commitment_of(own, record, keys["agency-c"][:10])
    for party, name in enumerate(COMMITTEE):
        with pytest.raises(SessionRefused, match="contributions are closed"):
            calls.contribute(own, own.federation()[name], commitment, dealings[party], lambda _: None)
    shaken.start(COORDINATOR)
    check_bulk(shaken, shaken.operator.wait(record.id, State.DONE, 120), keys)


@pytest.mark.parametrize("victim", ["agency-b", COORDINATOR])
def test_killed_in_the_midst_of_computing(shaken: Federation, victim: str) -> None:
    """The session goes on with fresh randomness, or without the coordinator, and ends exactly right."""
    record, keys = bulk(shaken)
    shaken.operator.coordinator.run(record.id)
    until_tagging(shaken, record)
    shaken.stop(victim, kill=True)
    shaken.start(victim)
    done = shaken.operator.wait(record.id, State.DONE, 120)
    assert done.attempt == (2 if victim == "agency-b" else 1)
    check_bulk(shaken, done, keys)


# Peers that lie


def _exchange(federation: Federation, record: SessionRecord, frames: list[pb.ExchangeFrame]) -> None:
    """Begin attempt 1 at agency-a alone, and be its peer `neutral`, sending these frames."""
    coordinator = federation.configs[COORDINATOR]
    store = coordinator.store()
    commitments = list(store.commitments(record.id).values())
    calls.Committee(coordinator, store).start("agency-a", record.id, 1, commitments)
    own = federation.configs[NEUTRAL]
    requests = [pb.ExchangeRequest(header=pb.ExchangeHeader(session_id=record.id, attempt=1))]
    requests += [pb.ExchangeRequest(frame=frame) for frame in frames]
    with calls.connected(own, own.federation()["agency-a"]) as connection:
        ExchangeServiceStub(connection).Exchange(iter(requests), timeout=20)


@pytest.mark.parametrize(
    ("frames", "sentence"),
    [
        ([pb.ExchangeFrame(step="keys", payload=b"x" * 31)], "31 bytes where 32 are due"),
        ([pb.ExchangeFrame(step="keys", payload=bytes(32))], "not a usable public key"),
        ([pb.ExchangeFrame(step="keys", payload=b"x" * 32)] * 2, "the step was sent twice"),
        ([pb.ExchangeFrame(step="k" * 1000, payload=b"")], "oversized message, or no step label"),
        ([], "it ended its stream"),
    ],
)
def test_a_lying_peer_is_named(
    shaken: Federation, tmp_path: Path, frames: list[pb.ExchangeFrame], sentence: str
) -> None:
    lists = overlapping(MEMBERS, 10)
    record = shaken.ready(tmp_path, lists)
    with contextlib.suppress(ServiceError):  # agency-a may hang up first
        _exchange(shaken, record, frames)
    own = shaken.configs[COORDINATOR]
    while (
        run := calls.get_run(own, own.federation()["agency-a"], record.id)
    ).state == SessionState.SESSION_STATE_RUNNING:
        pass
    assert sentence in run.reason
    assert run.reason.startswith("neutral ")
    if not run.retriable:  # the coordinator, behind whose back the attempt was begun, takes its end for its own
        with pytest.raises(SessionAborted, match="neutral "):
            shaken.operator.run(record.id)
    shaken.check(tmp_path, shaken.operator.run(record.id), lists)


def test_a_member_that_deals_inconsistent_shares_is_refused(federation: Federation, tmp_path: Path) -> None:
    """By each node that was dealt something else than the member committed to; what it contributed before stays."""
    lists = overlapping(MEMBERS, 10)
    record = federation.ready(tmp_path, lists)
    liar = federation.configs["agency-b"]
    keys = np.arange(20, dtype=np.uint64).reshape(-1, 2)
    commitment, _ = commitment_of(liar, record, keys)
    _, others = commitment_of(liar, record, keys)
    for node, dealing in zip(COMMITTEE, others, strict=True):
        with pytest.raises(InputError, match="does not fit the commitment"):
            calls.contribute(liar, liar.federation()[node], commitment, dealing, lambda _: None)
    federation.check(tmp_path, federation.operator.run(record.id), lists)


def test_an_upload_that_was_not_reported_is_not_computed_on(federation: Federation, tmp_path: Path) -> None:
    """Else a member that was cut off between the two would read the result with another version of its list."""
    lists = overlapping(MEMBERS, 10)
    record = federation.ready(tmp_path, lists)
    own = federation.configs["agency-a"]
    commitment, dealings = commitment_of(own, record, np.ones((10, 2), np.uint64))
    for node, dealing in zip(COMMITTEE, dealings, strict=True):
        calls.contribute(own, own.federation()[node], commitment, dealing, lambda _: None)
    federation.check(tmp_path, federation.operator.run(record.id), lists)


@pytest.mark.parametrize("_again", range(5))
def test_everyone_at_the_same_moment(federation: Federation, tmp_path: Path, _again: int) -> None:
    lists = overlapping(MEMBERS, 5)
    for name, numbers in lists.items():
        write_numbers(tmp_path / f"{name}.csv", numbers)
    session_id = federation.operator.propose(federation.terms()).session_id
    with ThreadPoolExecutor(8) as pool:
        names = [*MEMBERS, NEUTRAL] * 2  # approving twice is no error
        list(pool.map(lambda name: federation.member(name).approve(session_id), names))
        list(pool.map(lambda n: federation.member(n).contribute(session_id, tmp_path / f"{n}.csv"), MEMBERS))
    assert federation.operator.coordinator.get(session_id).record.state is State.READY


def _upload(federation: Federation, record: SessionRecord, node: str, *parts: pb.ContributeRequest) -> None:
    own = federation.configs["agency-c"]
    with calls.connected(own, own.federation()[node]) as connection:
        ContributionServiceStub(connection).Contribute(iter(parts), timeout=20)


@pytest.mark.parametrize(
    ("keys", "seeds", "chunks", "error"),
    [
        (2, (b"s" * 16, b"t" * 16), [b"x" * 31], "more or other bytes"),
        (2, (b"s" * 16, b"t" * 16), [], "ended 32 bytes early"),
        (2, (b"s" * 16, b"t" * 16), [b"x" * 32, b"y"], "more or other bytes"),
        (2, (b"s" * 16, b"t" * 16), [b""], "more or other bytes"),
        (2, (b"s" * 16, b"t" * 16), [b"x" * 32], "does not fit the commitment"),
        (2, (b"s" * 15, b"t" * 16), [b"x" * 32], "`seed` has 15 bytes"),
        (2, (b"s" * 16, b""), [b"x" * 32], "`seed` has 0 bytes"),
        (2, (b"s" * 16,), [b"x" * 32], "1 seeds where 2 are due"),
        (2, (b"s" * 16,) * 10, [b"x" * 32], "must have 1 to 9 seeds"),
        (0, (b"s" * 16, b"t" * 16), [], "outside the session's limit"),
        (1_000_000_000, (b"s" * 16, b"t" * 16), [b"x" * 16], "outside the session's limit"),
        (2**60, (b"s" * 16, b"t" * 16), [b"x" * 16], "more than any session allows"),
    ],
)
def test_an_upload_that_lies(
    federation: Federation, keys: int, seeds: tuple[bytes, ...], chunks: list[bytes], error: str
) -> None:
    record, own = federation.approved(), federation.configs["agency-c"]
    digests = (b"d" * 32,) * 3
    commitment = Commitment(record.id, "agency-c", records=2, new_records=2, keys=keys, digests=digests)
    shown = commitment_to_pb(commitment.signed(own.identity().signing_key))
    header = pb.ContributionHeader(commitment=shown, seeds=seeds)
    parts = [pb.ContributeRequest(header=header), *(pb.ContributeRequest(chunk=c) for c in chunks)]
    with pytest.raises((InputError, SessionRefused), match=error):
        _upload(federation, record, "agency-b", *parts)


def test_an_empty_or_foreign_call_gets_one_sentence(federation: Federation) -> None:
    record = federation.approved()
    known: Known = federation.configs["agency-c"].federation()
    own: Config = federation.configs["agency-c"]
    with pytest.raises(ServiceError):
        _upload(federation, record, "agency-b")
    with pytest.raises(ServiceError):
        calls.get_run(own, known[NEUTRAL], b"short")
    connection = dial(own.identity(), known[NEUTRAL])
    odd: Callable[..., object] = connection.unary_unary("/matchbit.v1.RunService/NoSuchMethod")
    with pytest.raises(ServiceError), calling(NEUTRAL):
        odd(b"", timeout=10)
    garbled = connection.unary_unary("/matchbit.v1.RunService/GetRun")
    with pytest.raises(grpc.RpcError) as caught:
        garbled(b"\xff" * 100, timeout=10)
    assert "Traceback" not in str(caught.value.details())
    connection.close()


def test_an_operator_of_another_federation_is_refused(federation: Federation, shaken: Federation) -> None:
    """Its coordinator pins the same names with other keys."""
    record = shaken.approved()
    mine = federation.configs["agency-a"]
    with pytest.raises(PeerIdentityError, match="pins other keys"):
        mine.federation().check(record.manifest, utc_now())
    entries = mine.federation_path.read_text("utf-8")
    stranger = dataclasses.replace(shaken.configs[COORDINATOR], federation_path=mine.federation_path)
    with pytest.raises(ServiceError):
        Operator(stranger, quiet).propose(shaken.terms())
    assert mine.federation_path.read_text("utf-8") == entries


def test_logs_hold_no_record_values(federation: Federation, tmp_path: Path) -> None:
    lists = {name: [f"SECRET{k}" for k in range(20)] for name in MEMBERS}
    record = federation.ready(tmp_path, lists, reveal=Reveal.MEMBERS.value)
    federation.check(tmp_path, federation.operator.run(record.id), lists)
    for name in federation.daemons:
        log = (federation.configs[name].folder / "log.txt").read_text("utf-8")
        assert "SECRET" not in log
        found = subprocess.run(
            ["grep", "-c", "-a", "SECRET", federation.configs[name].database], capture_output=True, check=False
        )
        assert found.returncode == 1
