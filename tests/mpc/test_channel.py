from __future__ import annotations

import threading
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.channel import MAX_MESSAGE_BYTES, MAX_STEP_CHARS, MESSAGE_COST_BYTES, InMemoryChannel, Mailbox
from mpc.committee import PARTIES, PartyId
from mpc.errors import IntegrityError, MpcError, PeerError

P0, P1, P2 = PARTIES
NEVER_S = 60.0
"""Longer than any test; one that waits this long hangs and is wrong."""


class Waits:
    """Tells when a mailbox's thread begins to wait, so that a test need not sleep until it does."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.begun = threading.Semaphore(0)
        wait = mailbox._changed.wait

        def announced(timeout: float | None = None) -> bool:
            self.begun.release()  # the lock is still held: who takes it next finds this thread waiting
            return wait(timeout)

        mailbox._changed.wait = announced  # type: ignore[method-assign]

    def until_one(self) -> None:
        assert self.begun.acquire(timeout=NEVER_S), "nobody waits"


class Background:
    """A call in a thread, and what came of it."""

    def __init__(self, call) -> None:
        self.result = self.error = None

        def run() -> None:
            try:
                self.result = call()
            except MpcError as error:
                self.error = error

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def end(self) -> Background:
        self.thread.join(NEVER_S)
        assert not self.thread.is_alive(), "still waiting"
        return self


@given(st.permutations([(peer, step) for peer in (P1, P2) for step in ("a", "b", "c")]), st.randoms())
def test_messages_are_sorted_by_peer_and_step(order, random) -> None:
    mailbox = Mailbox(NEVER_S)
    for peer, step in order:
        mailbox.put(peer, step, f"{peer} {step}".encode())
    random.shuffle(order)
    assert [mailbox.receive(p, s) for p, s in order] == [f"{p} {s}".encode() for p, s in order]


def test_receive_waits_for_its_own_message() -> None:
    mailbox = Mailbox(NEVER_S)
    waits = Waits(mailbox)
    reader = Background(lambda: mailbox.receive(P1, "a"))
    waits.until_one()
    mailbox.put(P2, "a", b"of another peer")
    waits.until_one()
    mailbox.put(P1, "b", b"of another step")
    waits.until_one()
    mailbox.put(P1, "a", b"this one")
    assert reader.end().result == b"this one"


def test_a_flood_blocks_put_until_it_is_read() -> None:
    size = 1000
    mailbox = Mailbox(NEVER_S, capacity_bytes=3 * (size + MESSAGE_COST_BYTES))
    waits = Waits(mailbox)
    delivered: list[int] = []

    def flood() -> None:
        for k in range(10):
            mailbox.put(P1, f"step{k}", bytes(size))
            delivered.append(k)

    writer = Background(flood)
    for read in range(7):
        waits.until_one()
        assert delivered == list(range(3 + read)), "three unread messages and no more"
        mailbox.receive(P1, f"step{read}")
    writer.end()
    assert writer.error is None
    assert delivered == list(range(10))


def test_empty_messages_fill_a_mailbox_too() -> None:
    mailbox = Mailbox(NEVER_S, capacity_bytes=5 * MESSAGE_COST_BYTES)
    waits = Waits(mailbox)
    delivered: list[int] = []
    writer = Background(lambda: [(mailbox.put(P1, str(k), b""), delivered.append(k)) for k in range(6)])
    waits.until_one()
    assert delivered == list(range(5))
    mailbox.receive(P1, "3")
    writer.end()
    assert delivered == list(range(6))


def test_one_peers_flood_leaves_room_for_the_other() -> None:
    mailbox = Mailbox(NEVER_S, capacity_bytes=10)
    mailbox.put(P1, "a", bytes(1000))
    mailbox.put(P2, "a", b"fine")
    assert mailbox.receive(P2, "a") == b"fine"


def test_a_second_copy_does_not_slip_in_while_the_first_waits() -> None:
    mailbox = Mailbox(NEVER_S, capacity_bytes=10)
    waits = Waits(mailbox)
    mailbox.put(P1, "a", bytes(10))
    first = Background(lambda: mailbox.put(P1, "b", b"first"))
    waits.until_one()
    second = Background(lambda: mailbox.put(P1, "b", b"second"))
    for writer in (second, first):
        error = writer.end().error
        assert isinstance(error, PeerError)
        assert (error.peer, error.step, error.reason) == (1, "b", "violation")


def test_abort_frees_a_blocked_put_and_a_blocked_receive() -> None:
    mailbox = Mailbox(NEVER_S, capacity_bytes=10)
    waits = Waits(mailbox)
    mailbox.put(P1, "a", bytes(10))
    writer = Background(lambda: mailbox.put(P1, "b", b""))
    waits.until_one()
    reader = Background(lambda: mailbox.receive(P2, "a"))
    waits.until_one()
    error = IntegrityError("somewhere")
    mailbox.abort(error)
    assert writer.end().error is error
    assert reader.end().error is error


def test_the_first_error_stays() -> None:
    mailbox = Mailbox(NEVER_S)
    first = PeerError(1, "a", "disconnected")
    mailbox.put(P1, "a", b"unread")
    mailbox.abort(first)
    mailbox.abort(PeerError(2, "b", "disconnected"))
    for call in (lambda: mailbox.receive(P1, "a"), lambda: mailbox.put(P2, "c", b"")):
        with pytest.raises(PeerError) as caught:
            call()
        assert caught.value is first


@pytest.mark.parametrize("read_between", [False, True])
def test_a_step_sent_twice_is_a_violation(read_between: bool) -> None:
    mailbox = Mailbox(NEVER_S)
    mailbox.put(P1, "a", b"x")
    if read_between:
        mailbox.receive(P1, "a")
    with pytest.raises(PeerError) as caught:
        mailbox.put(P1, "a", b"x")
    assert (caught.value.peer, caught.value.step, caught.value.reason) == (1, "a", "violation")
    with pytest.raises(PeerError, match="violation"):
        mailbox.receive(P2, "b")


def test_an_oversized_message_is_a_violation() -> None:
    mailbox = Mailbox(NEVER_S)
    mailbox.put(P1, "fits", bytes(MAX_MESSAGE_BYTES + 16))
    with pytest.raises(PeerError) as caught:
        mailbox.put(P1, "large", bytes(MAX_MESSAGE_BYTES + 65))
    assert (caught.value.peer, caught.value.step, caught.value.reason) == (1, "large", "violation")


def test_an_overlong_step_is_a_violation() -> None:
    mailbox = Mailbox(NEVER_S)
    mailbox.put(P1, "s" * MAX_STEP_CHARS, b"")
    with pytest.raises(PeerError) as caught:
        mailbox.put(P1, "t" * (MAX_STEP_CHARS + 1), b"")
    assert (caught.value.peer, caught.value.reason) == (1, "violation")
    assert caught.value.step == "t" * MAX_STEP_CHARS, "cut, so that no peer writes long lines into a log"


@pytest.mark.parametrize("step", ["a\nb", "a\x00", "\u202ea", "é", "𐀀"])
def test_a_step_that_is_no_printable_ascii_is_a_violation(step: str) -> None:
    """Others would take four bytes a character, or be read as something else in a log."""
    mailbox = Mailbox(NEVER_S)
    with pytest.raises(PeerError) as caught:
        mailbox.put(P1, step, b"")
    assert (caught.value.peer, caught.value.reason) == (1, "violation")
    assert caught.value.step.isascii()
    assert caught.value.step.isprintable()


def traced_bytes(act) -> int:
    """What is taken in memory and not given back."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [0, 16, 5000])
def test_messages_that_nobody_reads_take_no_more_memory_than_a_mailbox_may(size: int) -> None:
    """With labels as long as they may be, each another one; and none once the mailbox is of no more use."""
    capacity = 1 << 20
    mailbox = Mailbox(NEVER_S, capacity)
    each = size + MESSAGE_COST_BYTES

    def fill() -> None:
        for k in range(-(-capacity // each)):
            mailbox.put(P1, f"{k:0{MAX_STEP_CHARS}}", b"x" * size)

    def flood_and_end() -> None:
        fill()
        mailbox.abort(MpcError("over"))
        for k in range(100):
            with pytest.raises(MpcError, match="over"):
                mailbox.put(P2, f"late {k}", bytes(size))

    assert capacity // 3 < traced_bytes(fill) <= capacity + each
    mailbox = Mailbox(NEVER_S, capacity)
    assert traced_bytes(flood_and_end) < capacity // 20


def test_silence_is_a_timeout() -> None:
    mailbox = Mailbox(timeout_s=0.0)
    with pytest.raises(PeerError) as caught:
        mailbox.receive(P2, "a")
    assert (caught.value.peer, caught.value.step, caught.value.reason) == (2, "a", "timeout")
    mailbox.put(P2, "a", b"late")
    assert mailbox.receive(P2, "a") == b"late"


def test_a_peer_that_is_slow_at_every_step_is_named_when_time_is_up() -> None:
    """It is silent at none."""
    mailbox = Mailbox(NEVER_S)
    waits = Waits(mailbox)
    reader = Background(lambda: mailbox.receive(P1, "b"))
    waits.until_one()
    mailbox.put(P1, "a", b"here")
    mailbox.expire()
    error = reader.end().error
    assert isinstance(error, PeerError)
    assert (error.peer, error.step, error.reason) == (1, "b", "slow")
    assert mailbox.receive(P1, "a") == b"here"


def test_a_peer_that_ended_is_not_waited_for_but_still_read() -> None:
    mailbox = Mailbox(NEVER_S)
    waits = Waits(mailbox)
    mailbox.put(P1, "a", b"before the end")
    reader = Background(lambda: mailbox.receive(P1, "b"))
    waits.until_one()
    mailbox.end(P1)
    error = reader.end().error
    assert isinstance(error, PeerError)
    assert (error.peer, error.step, error.reason) == (1, "b", "disconnected")
    assert mailbox.receive(P1, "a") == b"before the end"
    mailbox.put(P2, "a", b"of another peer")
    assert mailbox.receive(P2, "a") == b"of another peer"


def test_many_writers_and_readers() -> None:
    mailbox = Mailbox(NEVER_S, capacity_bytes=4 * MESSAGE_COST_BYTES)
    steps = [f"step{k}" for k in range(200)]
    writers = [Background(lambda p=p: [mailbox.put(p, s, f"{p}{s}".encode()) for s in steps]) for p in (P1, P2)]
    readers = [Background(lambda p=p: [mailbox.receive(p, s) for s in steps]) for p in (P1, P2)]
    assert [r.end().result for r in readers] == [[f"{p}{s}".encode() for s in steps] for p in (P1, P2)]
    assert all(w.end().error is None for w in writers)


def test_in_memory_channels() -> None:
    mailboxes = {p: Mailbox(NEVER_S) for p in PARTIES}
    channels = {p: InMemoryChannel(p, mailboxes) for p in PARTIES}
    for p in PARTIES:
        for peer in (p.next, p.previous):
            channels[p].send(peer, "hello", f"{p} to {peer}".encode())
    for p in PARTIES:
        for peer in (p.next, p.previous):
            assert channels[p].receive(peer, "hello") == f"{peer} to {p}".encode()
    error = MpcError("over")
    channels[P1].abort(error)
    with pytest.raises(MpcError) as own:
        channels[P1].receive(P0, "more")
    assert own.value is error
    for p in (P0, P2):
        with pytest.raises(PeerError) as told:
            channels[p].receive(PartyId(3 - 1 - p), "more")
        assert (told.value.peer, told.value.reason) == (1, "disconnected")
