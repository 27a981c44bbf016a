"""MPyC's runtime over our own links: the only module that imports MPyC.

MPyC runs here without its network, its event loop and its pickles. Operations follow each other, as in all of `mpc`;
each sends and receives by our links, which know who sends; and what a peer sends is an array of field elements of the
length that is due, or an error. There is one runtime in a process, since MPyC keeps it in globals.

Source: Schoenmakers, MPyC (github.com/lschoe/mpyc), for secure arrays and comparisons; multiplication as in Gennaro,
Rabin, Rabin, "Simplified VSS and Fast-track Multiparty Computations", PODC 1998; PRSS as in Cramer, Damgård, Ishai,
TCC 2005.
"""

from __future__ import annotations

import logging
import math
import secrets
import sys
from asyncio import Future
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mpc import shamir
from mpc.errors import IntegrityError, PeerError, ShareError
from mpc.prss import derive
from mpc.replicated import Array
from mpc.session import TAG_BYTES, Links
from mpc.shamir import ELEMENT_BYTES, PRIME, WIDE_BYTES


@contextmanager
def _contained() -> Iterator[None]:
    """Keep MPyC's import to itself: it reads the command line's arguments and sets up logging for the whole process."""
    root, argv = logging.getLogger(), sys.argv
    kept = root.handlers[:], root.level
    sys.argv = [argv[0], "--no-log", "--no-uvloop", "--no-gmpy2"]
    root.addHandler(logging.NullHandler())  # so that it adds none of its own
    try:
        yield
    finally:
        sys.argv = argv
        root.handlers[:], root.level = kept


with _contained():
    from mpyc import asyncoro, mpctools, random, runtime, secgroups, seclists, secpols, sectypes, statistics
    from mpyc.finfields import GF

MODULES = (asyncoro, mpctools, random, seclists, secgroups, secpols, sectypes, statistics)
"""Those of MPyC that know the one runtime."""
SecureArray = Any
"""An array of shared field elements of MPyC, which has no types."""
CHUNK_ELEMENTS = 1 << 17
"""Field elements that one operation works on, as far as lists can be cut: some 20 MB as Python's integers."""
COUNT_BITS = 32
"""A cell of a table counts fewer than 2^31 people."""
STATISTICAL_BITS = 80
"""Of the mask in a comparison. MPyC draws it in as many parts as there are sets of parties, 126 for nine of them, so
that what is opened is within 2^-72 of independent of the number compared."""


class Runtime(runtime.Runtime):  # type: ignore[misc]  # MPyC has no types
    """MPyC's runtime over our links, in step with those of the other parties.

    All that it receives passes `_receive`, as an array of field elements of the shape that is due. What MPyC itself
    would send and receive, much of it pickled, is refused.

    Args:
        links: at a step of its own.
        threshold: t.
    """

    def __init__(self, links: Links, threshold: int) -> None:
        options = SimpleNamespace(
            threshold=threshold, sec_param=STATISTICAL_BITS, bit_length=COUNT_BITS, mix32_64bit=False,
            no_log=True, no_prss=False, no_barrier=True, no_async=True,
        )  # fmt: skip
        super().__init__(links.party, [runtime.Party(p) for p in range(len(links.peers) + 1)], options)
        for module in MODULES:
            module.runtime = self
        runtime.mpc, self._links = self, links
        self.array = self.SecFld(modulus=PRIME).array
        self._agree_prss_keys(links.at("prss"))

    def _agree_prss_keys(self, links: Links) -> None:
        """Give each set of m - t parties a key: its first party makes it, and sends it sealed."""
        for peer in links.peers:
            keys = b"".join(self._prss_keys_to_peer(peer))
            sealer = AESGCM(derive(links.mac_keys[peer][0], "subset keys"))
            links.send(peer, np.frombuffer(sealer.encrypt(bytes(12), keys, None), np.uint8))  # each key seals once
        for peer in links.peers:
            opener = AESGCM(derive(links.mac_keys[peer][1], "subset keys"))
            sealed = links.receive(peer, (self._prss_keys_from_peer(peer) + TAG_BYTES,), np.uint8)
            try:
                keys = opener.decrypt(bytes(12), sealed.tobytes(), None)
            except InvalidTag:
                raise PeerError(peer, links.step, "malformed", "keys that are not sealed for this party") from None
            self._prss_keys_from_peer(peer, keys)

    # Messages

    def _step(self) -> Links:
        """Our links at the next step of the computation; all parties count alike."""
        self._program_counter[0] += 1
        return self._links.at(str(self._program_counter[0]))

    def _receive(self, links: Links, peer: int, shape: tuple[int, ...]) -> Array:
        """The field elements that a peer sent at this step, and nothing else."""
        data = links.receive(peer, (*shape, ELEMENT_BYTES), np.uint8)
        try:
            return shamir.decode(data)
        except ShareError as error:
            raise PeerError(peer, links.step, "malformed", str(error)) from None

    def _send_message(self, peer_pid: int, data: bytes) -> None:
        raise ShareError(f"MPyC would send {len(data)} bytes to party {peer_pid} by itself")

    def _receive_message(self, peer_pid: int) -> bytes:
        raise ShareError(f"MPyC would receive from party {peer_pid} by itself")

    @asyncoro.mpc_coro
    async def _reshare(self, x):  # type: ignore[no-untyped-def]  # MPyC reads return types
        """Shares of degree t of what is shared by degree 2t: products. Called by MPyC's operations."""
        is_secure = isinstance(x, self.SecureArray)
        await self.returnType((type(x), x.shape) if is_secure else Future)
        x = await self.gather(x)
        return x.field.array(self._degree_t(x.value.reshape(-1)).reshape(x.shape), check=False)

    def _degree_t(self, products: Array) -> Array:
        """Each of 2t + 1 parties shares its share, and all add up what they got: (n,) object, both."""
        links, (parties, t) = self._step(), (len(self.parties), self.threshold)
        senders = [(self._program_counter[0] + k) % parties for k in range(2 * t + 1)]  # each party's turn as often
        got: dict[int, Array] = {}
        if self.pid in senders:
            got[self.pid] = self._deal(links, products)
        for peer in senders:
            if peer != self.pid:
                got[peer] = self._receive(links, peer, products.shape)
        points = sorted(got)
        weights = np.array(shamir.lagrange(tuple(p + 1 for p in points), 0), object)
        found: Array = weights @ np.stack([got[p] for p in points]) % PRIME
        return found

    def _deal(self, links: Links, values: Array) -> Array:
        """Share values of our own, object, with all; returns our own share."""
        shape = (self.threshold, *values.shape)
        coefficients = shamir.uniform(secrets.token_bytes(WIDE_BYTES * math.prod(shape)), shape)
        dealt = shamir.split(values, coefficients, len(self.parties))
        for peer in links.peers:
            links.send(peer, shamir.encode(dealt[peer]))
        return dealt[self.pid]

    def shown(self, share: Array) -> list[Array]:
        """All parties' shares of a value, (n,) object each: they show them to all."""
        links = self._step()
        for peer in links.peers:
            links.send(peer, shamir.encode(share))
        return [share if p == self.pid else self._receive(links, p, share.shape) for p in range(len(self.parties))]

    def _opened(self, share: Array, threshold: int) -> Array:
        """A value, (n,) object, from all parties' shares of this degree, which must fit together."""
        shares = self.shown(share)
        try:
            return shamir.reconstruct(shares, threshold)
        except ShareError as error:
            raise IntegrityError(f"{self._links.step}/{self._program_counter[0]}", str(error)) from None

    @asyncoro.mpc_coro
    async def output(self, x, receivers=None, threshold=None, raw=False):  # type: ignore[no-untyped-def]  # noqa: ARG002
        """Open a field array to all. Called by MPyC's operations."""
        await self.returnType(Future)
        t = self.threshold if threshold is None else threshold
        opened = self._opened(x.value.reshape(-1), t).reshape(x.shape)
        return x.field.array(opened, check=False)

    @asyncoro.mpc_coro
    async def np_is_zero_public(self, a):  # type: ignore[no-untyped-def]
        """Open whether elements are zero, and nothing else.

        MPyC opens the product with a random element at degree 2t, where all see a polynomial that the factor's is a
        factor of: its roots give the shared value away to whoever knows one share. So it is shared anew before.
        """
        await self.returnType(Future)
        a = await self.gather(a)
        mask = self._np_randoms(a.field, a.size).reshape(a.shape)
        return (await self.output(await self._reshare(a * mask))) == 0

    # Arrays

    def secure(self, shares: Array) -> SecureArray:
        """A shared array of these shares, object; a constant is its own."""
        return self.array(GF(PRIME).array(shares, check=False))

    def constant(self, value: int, shape: tuple[int, ...]) -> SecureArray:
        """A public value, as a shared array."""
        return self.secure(np.full(shape, value % PRIME, object))

    def share(self, values: SecureArray) -> Array:
        """This party's shares, object."""
        share: Array = (values.share.result() if isinstance(values.share, Future) else values.share).value
        return share

    def matmul(self, a: SecureArray, b: SecureArray) -> SecureArray:
        """The product of two shared matrices; one multiplication for each element of it."""
        product = shamir.matmul(self.share(a), self.share(b))
        return self.secure(self._degree_t(product.reshape(-1)).reshape(product.shape))

    def opened(self, values: SecureArray) -> Array:
        """Shared elements, (n,), that all parties learn, object."""
        return self._opened(self.share(values), self.threshold)

    def dealt_by(self, dealer: int, values: Array | None, shape: tuple[int, ...]) -> SecureArray:
        """What one party shares with all: at that party an integer array of this shape, None or anything elsewhere."""
        links = self._step()
        if dealer != self.pid:
            return self.secure(self._receive(links, dealer, shape))
        assert values is not None  # noqa: S101 - it is the dealer's own
        return self.secure(self._deal(links, values.astype(object)))

    def random(self, shape: tuple[int, ...]) -> SecureArray:
        """Random elements that nobody knows."""
        return self.secure(self._np_randoms(GF(PRIME), math.prod(shape)).value.reshape(shape))

    def less(self, values: SecureArray, bound: int) -> SecureArray:
        """Shared bits: which integers, 0 to 2^31 - 1, are below a public one.

        Reveals: nothing but what is within 2^-72 of independent of them.
        """
        numbers = self.SecInt(COUNT_BITS, p=PRIME).array(GF(PRIME).array(self.share(values), check=False))
        return self.secure(self.share(numbers < bound))
