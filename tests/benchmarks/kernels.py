"""The local work of one party, cut into kernels that can be measured one by one without a network.

A kernel's preparation makes its arrays, the same ones at every run, and returns what is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import count
from unittest.mock import patch

import numpy as np

import mpc.kernel
from mpc import aes, bitslice, matching, shuffle, verify
from mpc.channel import MAX_MESSAGE_BYTES
from mpc.committee import PARTIES, PartyId
from mpc.compare import pair_layers
from mpc.errors import MpcError
from mpc.evaluate import evaluate
from mpc.linkage import Comparison, Kind, Linkage
from mpc.matching import Reveal
from mpc.multiply import AND, Quadratic, multiply
from mpc.prss import Keystream, Prss
from mpc.replicated import Array, Share
from mpc.reveal import digest, reveal
from mpc.session import Session
from parties import frames
from parties.contribution import Replicated, deal
from parties.vault import Vault

ROWS = bitslice.BLOCK_ROWS
"""A full block: enough that the interpreter's own work is small beside that of its arrays."""
MEMBERS = 3
ROW_BYTES = 16
MESSAGE_ROWS = MAX_MESSAGE_BYTES // ROW_BYTES

Run = Callable[[], object]


@dataclass(frozen=True)
class Kernel:
    """A piece of local work.

    Attributes:
        name: as tables and the baseline call it.
        rows: that one run works on.
        prepare: makes what it works on and returns one run of it, which may be repeated.
    """

    name: str
    rows: int
    prepare: Callable[[], Run]


KERNELS: dict[str, Kernel] = {}
"""By name, in the order in which tables show them."""


def kernel(name: str, rows: int = ROWS) -> Callable[[Callable[[], Run]], Callable[[], Run]]:
    """Enter a preparation into the list."""

    def entered(prepare: Callable[[], Run]) -> Callable[[], Run]:
        KERNELS[name] = Kernel(name, rows, prepare)
        return prepare

    return entered


def tapes(name: str) -> Callable[[Callable[[], Run]], Callable[[], Run]]:
    """The same, for what runs tapes of gates: as this machine does it, and by NumPy alone."""

    def entered(prepare: Callable[[], Run]) -> Callable[[], Run]:
        kernel(name)(prepare)
        kernel(f"{name}, NumPy")(partial(_by_numpy, prepare))
        return prepare

    return entered


def _by_numpy(prepare: Callable[[], Run]) -> Run:
    run = prepare()
    return patch.object(mpc.kernel, "COMPILED", new=False)(run)


class Mirror:
    """A channel on which a party receives what it sends."""

    def __init__(self) -> None:
        self._messages: dict[str, bytes] = {}

    def send(self, peer: PartyId, step: str, *pieces: bytes | memoryview) -> None:
        """Keep the message."""
        del peer
        self._messages[step] = b"".join(pieces)

    def receive(self, peer: PartyId, step: str) -> bytes:
        """Give it back."""
        del peer
        return self._messages.pop(step)

    def abort(self, error: MpcError) -> None:
        """Nobody waits here."""


def sessions(party: PartyId = PARTIES[0]) -> Iterator[Session]:
    """A session before a mirror, at a new step each time; all its keys are the same, so that what comes back fits."""
    key = bytes(range(32))
    keys = dict.fromkeys(PARTIES, (key[:16], key[:16]))
    session = Session(party, Mirror(), keys, prss=Prss(key, key))
    return (session.at(f"run{k}") for k in count())


@cache
def random(*shape: int) -> Array:
    """uint64 array of this shape, always the same one."""
    return np.random.default_rng(1).integers(0, 2**64, shape, np.uint64)


def shared(*shape: int) -> Share:
    """What a party holds of an array of this shape; both components are the same one."""
    return Share(random(*shape), random(*shape))


@cache
def schedule() -> aes.Schedule:
    """Round keys of some cipher key."""
    return aes.key_schedule(next(sessions()), shared(8, 16))


@kernel("calibration")
def calibration() -> Run:
    """What all others are compared with: eight sums of arrays and one pass of AES-CTR."""
    left, right, stream = random(ROWS, 2), random(ROWS, 2)[::-1].copy(), Keystream(bytes(16))
    target = np.empty_like(left)

    def run() -> None:
        for _ in range(8):
            np.bitwise_xor(left, right, out=target)
        stream.xor_into(target)

    return run


@tapes("rows to planes")
def rows_to_planes() -> Run:
    layout, rows = bitslice.Layout.of(ROWS), shared(ROWS, 2)
    return lambda: rows.map(lambda c: bitslice.to_planes(c, layout))


@tapes("planes to rows")
def planes_to_rows() -> Run:
    layout = bitslice.Layout.of(ROWS)
    planes = rows_to_planes()()
    assert isinstance(planes, Share)
    return lambda: planes.map(lambda c: bitslice.from_planes(c, layout))


QUADRATICS: dict[str, tuple[Quadratic, tuple[int, ...]]] = {
    "AND": (AND, (1, 1)),
    "NORM256": (aes.NORM256, (8,)),
    "INVERSE_NORM16": (aes.INVERSE_NORM16, (4,)),
    "SCALE16": (aes.SCALE16, (4, 2)),
    "SUBSTITUTE": (aes.SUBSTITUTE, (8, 4)),
    "SUBSTITUTE_AND_TRIPLE": (aes.SUBSTITUTE_AND_TRIPLE, (8, 4)),
    "SUBSTITUTE_LAST": (aes.SUBSTITUTE_LAST, (8, 4)),
    "INVERT_AND_UNMIX": (aes.INVERT_AND_UNMIX, (8, 4)),
    "INVERT_LAST": (aes.INVERT_LAST, (8, 4)),
}
"""Each map with the planes of its inputs."""


def _multiply(quadratic: Quadratic, planes: tuple[int, ...]) -> Run:
    """One round of all bytes, with its mask, message and authenticator."""
    at, inputs = sessions(), [shared(1, p, 16 * ROWS // 64) for p in planes]
    return lambda: multiply(next(at), quadratic, inputs)


for _name, (_quadratic, _planes) in QUADRATICS.items():
    tapes(f"multiply {_name}")(partial(_multiply, _quadratic, _planes))


@tapes("encrypt")
def encrypt() -> Run:
    at, round_keys, planes = sessions(), schedule(), shared(1, 8, 16 * ROWS // 64)
    return lambda: aes.encrypt(next(at), round_keys, planes)


@tapes("decrypt")
def decrypt() -> Run:
    at, round_keys, planes = sessions(), schedule(), shared(1, 8, 16 * ROWS // 64)
    return lambda: aes.decrypt(next(at), round_keys, planes)


LINKAGE = Linkage(
    10,
    (
        Comparison(Kind.NAMES, 4, (-37, -8, 3, -6, 28, 2, 36)),
        Comparison(Kind.DATE, 1, (-26, -13, 13, 37, 21, 41)),
        Comparison(Kind.EXACT, 1, (-49, -1)),
        Comparison(Kind.NUMBER, 1, (-14, 43, 21)),
        Comparison(Kind.NUMBER, 1, (-63, 38, 86)),
        Comparison(Kind.TEXT, 1, (-16, -1, 4)),
    ),
    (56,),
    50,
)
"""Like the preset of similar rules."""


@tapes("vectors to planes")
def vectors_to_planes() -> Run:
    """Of one side of as many pairs as rows."""
    vectors = shared(ROWS, LINKAGE.words)
    return lambda: vectors.map(mpc.kernel.to_planes)


@tapes("compare pairs")
def compare_pairs() -> Run:
    """All levels of AND gates, with their masks, messages and authenticators."""
    at, (layers, _) = sessions(), pair_layers(LINKAGE)
    planes = shared(layers.inputs - 1, ROWS // 64)
    return lambda: evaluate(next(at), layers, planes)


@kernel("sharing of zero")
def sharing_of_zero() -> Run:
    at, rows = sessions(), random(ROWS, 2).copy()
    return lambda: (here := next(at)).prss.add_zero(here.step, rows)


@kernel("message", MESSAGE_ROWS)
def message() -> Run:
    """The longest one: its copy, its authenticator, and the check of both."""
    at, rows = sessions(), random(MESSAGE_ROWS, 2)

    def run() -> None:
        here = next(at)
        here.send(PARTIES[1], rows)
        here.receive(PARTIES[1], rows.shape)

    return run


@kernel("frame", MESSAGE_ROWS)
def frame() -> Run:
    """The longest message: written, and read again."""
    payload = random(MESSAGE_ROWS, 2).tobytes()
    return lambda: frames.read(frames.write("tag/chunk1/round1/substitute#0", payload))


@kernel("permutation")
def permutation() -> Run:
    key = bytes(16)
    return lambda: shuffle.permutation(Keystream(key), ROWS)


@kernel("shuffle")
def shuffled() -> Run:
    """Both permutations and passes of P1, which waits for nobody."""
    at, rows = sessions(PartyId.P1), shared(ROWS, 2)
    return lambda: shuffle.shuffle(next(at), rows)


@kernel("unshuffle")
def unshuffled() -> Run:
    """Both passes of P2, which waits for nobody."""
    at, values = sessions(PartyId.P2), Share(*(random(ROWS // 8).view(np.uint8) for _ in "ab"))
    order = shuffle.permutation(Keystream(bytes(16)), ROWS)
    return lambda: shuffle.unshuffle(next(at), shuffle.Order(order, order), values)


@kernel("reveal")
def revealed() -> Run:
    at, rows = sessions(), shared(ROWS, 2)
    return lambda: reveal(next(at), rows)


@kernel("digest")
def digested() -> Run:
    rows = random(ROWS, 2)
    return lambda: digest(rows)


@cache
def tags() -> Array:
    """Tags of which every third one is there twice."""
    twice = random(ROWS, 2).copy()
    twice[:-1:3] = twice[1::3]
    return twice


@kernel("group")
def grouped() -> Run:
    rows = tags()
    return lambda: matching.group(rows)


def _learned(what: Reveal) -> Run:
    groups = matching.group(tags())
    masks = matching.member_masks(PARTIES[0], (ROWS // MEMBERS,) * MEMBERS, ROWS)
    return lambda: matching.other_members(PARTIES[0], groups, masks, what)


for _reveal in (Reveal.FLAG, Reveal.COUNT, Reveal.MEMBERS):
    kernel(f"what a row learns: {_reveal.value}")(partial(_learned, _reveal))


@kernel("check of tags")
def checked() -> Run:
    """The random products of `verify`, over differences that are zero."""
    at, difference = sessions(), Share(*(np.zeros((ROWS, 2), np.uint64) for _ in "ab"))
    return lambda: verify.require_zero(next(at), difference)


@kernel("dealing")
def dealt() -> Run:
    keys, secret = random(ROWS, 2), bytes(32)
    return lambda: deal(Replicated(cells=0), keys, secret)


@kernel("sealing", MESSAGE_ROWS)
def sealed() -> Run:
    vault, chunk, context = Vault(bytes(32)), random(MESSAGE_ROWS, 2).tobytes(), bytes(16)
    return lambda: vault.open(vault.seal(chunk, context), context)
