"""The channel: all that the computation sees of the world, and its in-memory twin.

Ideal functionality: deliver each labelled message once, to one party, in bounded memory. Authenticity is the
session's business, confidentiality the transport's.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol

from mpc.errors import MpcError, PeerError

MAX_MESSAGE_BYTES = 1 << 20
"""Longest message that a session hands to a channel, its authenticator excluded."""
MAX_STEP_CHARS = 160
"""Longest step label that a mailbox takes, all of it printable ASCII."""
MAILBOX_BYTES = 64 << 20
"""Bytes of unread messages that a mailbox holds for each peer. An honest peer is ahead by two steps of each lane
that the reader has not begun, 1.5 MiB of a full chunk (of pairs, the last group's besides), so that the most lanes stay
below this; or by one pass of the shuffle that the reader is about to read."""
MESSAGE_COST_BYTES = 512
"""What a mailbox counts for a message besides its length, its label included, so that empty ones are bounded too."""


class Channel(Protocol):
    """How a party sends to and receives from the others."""

    def send(self, peer: int, step: str, *pieces: bytes | memoryview) -> None:
        """Queue a message, which is these pieces joined; never blocks for long, and keeps no piece."""

    def receive(self, peer: int, step: str) -> bytes | memoryview:
        """Wait for the message of this step.

        Raises:
            PeerError: the peer was silent too long, went away, or broke the rules.
        """

    def abort(self, error: MpcError) -> None:
        """Let every waiting and later `receive` raise this error."""


class Mailbox:
    """Messages of one party in one session, sorted by peer and step; safe to use from any thread.

    Args:
        timeout_s: how long `receive` waits.
        capacity_bytes: unread bytes for each peer above which `put` waits, which in turn slows the peer.
    """

    def __init__(self, timeout_s: float, capacity_bytes: int = MAILBOX_BYTES) -> None:
        self.timeout_s, self.capacity_bytes = timeout_s, capacity_bytes
        self._changed = threading.Condition()
        self._messages: dict[tuple[int, str], bytes | memoryview] = {}
        self._seen: set[tuple[int, str]] = set()
        self._unread: Counter[int] = Counter()
        self._ended: set[int] = set()
        self._expired = False
        self._error: MpcError | None = None

    def expire(self) -> None:
        """From now on wait for nobody: a peer may be slow at every step, and silent at none."""
        with self._changed:
            self._expired = True
            self._changed.notify_all()

    def put(self, peer: int, step: str, message: bytes | memoryview) -> None:
        """Deliver a message; waits while the peer's unread messages fill the mailbox.

        Raises:
            MpcError: the mailbox has been aborted, by this message or before.
        """
        key = peer, step
        with self._changed:
            shown = "".join(c if c.isascii() and c.isprintable() else "?" for c in step[:MAX_STEP_CHARS])
            if len(message) > MAX_MESSAGE_BYTES + 64 or shown != step:
                self._abort(PeerError(peer, shown, "violation", "oversized message, or no step label"))
            elif key in self._seen:
                self._abort(PeerError(peer, step, "violation", "the step was sent twice"))
            elif not self._error:
                self._seen.add(key)  # before waiting, so that no second copy slips in meanwhile
            self._changed.wait_for(lambda: self._error or self._unread[peer] < self.capacity_bytes)
            self._check()
            self._messages[key] = message
            self._unread[peer] += len(message) + MESSAGE_COST_BYTES
            self._changed.notify_all()

    def receive(self, peer: int, step: str) -> bytes | memoryview:
        """Wait for and take a message.

        Raises:
            PeerError: nothing came in time.
            MpcError: the mailbox was aborted.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._error or (peer, step) in self._messages or peer in self._ended or self._expired,
                self.timeout_s,
            )
            self._check()
            if (peer, step) not in self._messages:
                if peer in self._ended:
                    raise PeerError(peer, step, "disconnected", "it ended its stream")
                if self._expired:
                    raise PeerError(peer, step, "slow", "the attempt's time is up")
                raise PeerError(peer, step, "timeout", f"nothing came for {self.timeout_s:g} s")
            message = self._messages.pop((peer, step))
            self._unread[peer] -= len(message) + MESSAGE_COST_BYTES
            self._changed.notify_all()
            return message

    def end(self, peer: int) -> None:
        """Say that the peer sends nothing more: waiting for it raises at once."""
        with self._changed:
            self._ended.add(peer)
            self._changed.notify_all()

    def abort(self, error: MpcError) -> None:
        """Let every waiting and later call raise; the first error stays."""
        with self._changed:
            self._abort(error)

    def _check(self) -> None:
        """Raise the error, bare of where it was raised before: those frames hold messages."""
        if self._error:
            raise self._error.with_traceback(None)

    def _abort(self, error: MpcError) -> None:
        self._error = self._error or error
        self._messages.clear()
        self._seen.clear()
        self._changed.notify_all()


Deliver = Callable[[int, int, str, bytes], None]
"""(sender, receiver, step, message): brings a message to the receiver's mailbox, or does worse in tests."""


class InMemoryChannel:
    """A party's channel to mailboxes in the same process."""

    def __init__(self, party: int, mailboxes: Mapping[int, Mailbox], deliver: Deliver | None = None) -> None:
        self.party, self._mailboxes = party, mailboxes
        self._deliver = deliver or (lambda sender, receiver, step, m: mailboxes[receiver].put(sender, step, m))

    def send(self, peer: int, step: str, *pieces: bytes | memoryview) -> None:
        """Deliver at once."""
        self._deliver(self.party, peer, step, b"".join(pieces))

    def receive(self, peer: int, step: str) -> bytes | memoryview:
        """Wait for the message of this step."""
        return self._mailboxes[self.party].receive(peer, step)

    def abort(self, error: MpcError) -> None:
        """Stop this party, and tell the others as a lost connection would."""
        self._mailboxes[self.party].abort(error)
        for peer in self._mailboxes.keys() - {self.party}:
            self._mailboxes[peer].abort(PeerError(self.party, "channel", "disconnected"))
