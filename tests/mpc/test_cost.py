"""Every protocol's `Cost:` line, held against counted messages, and the shape of the docstrings."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mpc
from mpc import aes, bitslice, compare, engine, evaluate, multiply, reveal, session, shuffle, verify
from mpc.committee import PARTIES, PartyId
from mpc.dummies import Dummies, Noise
from mpc.lanes import Lanes
from mpc.replicated import Share
from mpc.session import Session
from tests.mpc.arrays import random_array
from tests.world import World, dealt, run_parties, shares

ROWS = bitslice.BLOCK_ROWS
"""One full block: nothing is padding."""
MEMBERS = 4

CLAUSE = re.compile(
    r"(?P<amount>\d+) (?:B|bits)(?: and (?P<per_member>\d+) B for each member)? in all"
    r"(?P<per> for each (?:row|bit of the result)(?: of \d+ B)?)?(?: \(`flag`\))?(?: besides)?"
)
"""Bits for each bit of the result are counted as bytes for each byte."""


@dataclass(frozen=True)
class Cost:
    """What a `Cost:` line says.

    Attributes:
        rounds: length of the longest chain of messages.
        each: bytes for each row, by all parties.
        fixed: bytes besides, by all parties.
        each_by: for each party its part of `each`, if the line tells.
    """

    rounds: int
    each: int
    fixed: int
    each_by: dict[PartyId, int] | None

    @classmethod
    def of(cls, protocol: Callable[..., Any]) -> Cost:
        """Parse the line; a word that is not understood is an error, so that no number escapes the test."""
        text = section(inspect.getdoc(protocol) or "", "Cost").rstrip(".")
        head, _, rest = text.partition("; ")
        rounds = re.fullmatch(r"(\d+) rounds?(?: for one chunk)?", head)
        assert rounds, f"{protocol.__name__}: {head!r}"
        each, fixed, each_by = 0, 0, None
        rest, _, split = rest.partition(": ")
        for clause in rest.split(", "):
            found = CLAUSE.fullmatch(clause)
            assert found, f"{protocol.__name__}: {clause!r}"
            if found["per"]:
                each += int(found["amount"])
            else:
                fixed += int(found["amount"]) + MEMBERS * int(found["per_member"] or 0)
        if everyone := re.fullmatch(r"(\d+) a party", split):
            each_by = dict.fromkeys(PARTIES, int(everyone[1]))
        elif split:
            parts = {part.split(" by ")[1]: part.split(" by ")[0] for part in split.split(", ")}
            each_by = {p: int(parts.get(p.name, 0)) for p in PARTIES}
        return cls(int(rounds[1]), each, fixed, each_by)


def section(doc: str, name: str) -> str:
    """A docstring's line `name: ...`, with the lines that continue it."""
    found = re.search(rf"^{name}: (.+?)(?=\n\w+:|\n\n|\Z)", doc, re.MULTILINE | re.DOTALL)
    assert found, f"no {name} in {doc.splitlines()[0]!r}"
    return " ".join(found[1].split())


def counted(world: World) -> dict[PartyId, int]:
    for error in world.errors.values():
        raise error
    return {p: world.bytes_of(p) for p in PARTIES}


KEY = shares(np.negative(random_array(1, (8, 16)) & np.uint64(1)))
KEYS = [random_array(k, (ROWS // MEMBERS, 2)) for k in range(MEMBERS)]
INPUTS = dealt(KEYS)
ROW_SHARES = tuple(i.rows() for i in INPUTS)
PLANES = tuple(s.map(lambda c: bitslice.to_planes(c, bitslice.Layout.of(ROWS))) for s in ROW_SHARES)
WORDS = shares(random_array(4, (1, 1, ROWS // 8)))
BYTES = shares(random_array(3, (ROWS,), "uint8"))
RANDOM_ORDER = np.random.default_rng(1).permutation(ROWS).astype(np.uint32)


def silent(phase: str, done: int, total: int) -> None:
    """Nobody looks."""


LANES = Lanes(silent, 1, ROWS)
ZERO = np.zeros((8, 16, 1), np.uint64)
NO_KEY = aes.Schedule((Share(ZERO, ZERO),) * (aes.ROUNDS + 1))
TAG_SHARES = run_parties(
    lambda s: bitslice.on_planes(ROW_SHARES[s.party], lambda planes: aes.encrypt(s, NO_KEY, planes)), 1
)

RUNS: dict[Callable[..., Any], tuple[int, Callable[[Session], Any]]] = {
    aes.key_schedule: (0, lambda s: aes.key_schedule(s, KEY[s.party])),
    aes.encrypt: (ROWS, lambda s: aes.encrypt(s, NO_KEY, PLANES[s.party])),
    aes.decrypt: (ROWS, lambda s: aes.decrypt(s, NO_KEY, PLANES[s.party])),
    engine.agree: (0, lambda s: engine.agree(s, INPUTS[s.party])),
    engine.finish: (0, lambda s: engine.finish(s, reveal.digest(KEYS[0]))),
    engine.tag: (ROWS, lambda s: engine.tag(s, ROW_SHARES[s.party], LANES)),
    engine.run: (ROWS, lambda s: engine.run(s, INPUTS[s.party], silent)),
    multiply.multiply: (
        ROWS,
        lambda s: multiply.multiply(s, multiply.AND, [WORDS[s.party], WORDS[s.party]]),
    ),
    multiply.reshare: (ROWS, lambda s: multiply.reshare(s, BYTES[s.party].a.copy())),
    reveal.reveal: (ROWS, lambda s: reveal.reveal(s, ROW_SHARES[s.party])),
    shuffle.shuffle: (ROWS, lambda s: shuffle.shuffle(s, ROW_SHARES[s.party])),
    shuffle.unshuffle: (
        ROWS,
        lambda s: shuffle.unshuffle(s, shuffle.Order(RANDOM_ORDER, RANDOM_ORDER), BYTES[s.party]),
    ),
    verify.require_zero: (0, lambda s: verify.require_zero(s, Share(ZERO[0], ZERO[0]))),
    verify.verify: (ROWS, lambda s: verify.verify(s, NO_KEY, ROW_SHARES[s.party], TAG_SHARES[s.party], LANES)),
}
"""For every protocol the number of rows (bytes of the result, for a multiplication) and a run of it."""
BY_TERMS = {compare.any_of, compare.grades, compare.of_records, evaluate.evaluate}
"""What costs as the terms have it; counted in test_compare.py and test_evaluate.py."""


def functions_of_a_session() -> list[Callable[..., Any]]:
    """Every public function of mpc with a parameter of type Session."""
    found = []
    for path in sorted(Path(mpc.__file__).parent.glob("*.py")):
        module = inspect.importlib.import_module(f"mpc.{path.stem}")  # type: ignore[attr-defined]
        for name, function in inspect.getmembers(module, inspect.isfunction):
            own = function.__module__ == module.__name__ and not name.startswith("_")
            if own and "Session" in str(inspect.get_annotations(function)):
                found.append(function)
    return found


def names(protocol: Callable[..., Any]) -> str:
    return protocol.__name__


def test_every_protocol_is_counted() -> None:
    assert {*RUNS, *BY_TERMS, session.open_session} == {*functions_of_a_session()}


@pytest.mark.parametrize("protocol", RUNS, ids=names)
def test_costs_are_what_the_docstring_says(protocol: Callable[..., Any]) -> None:
    cost, (rows, run) = Cost.of(protocol), RUNS[protocol]
    world = World().run(lambda s: run(s.at("test")), 1)
    sent = counted(world)
    assert sum(sent.values()) == cost.each * rows + cost.fixed
    assert world.rounds == cost.rounds
    if cost.each_by:
        assert sum(cost.each_by.values()) == cost.each
        assert not cost.fixed
        assert sent == {p: each * rows for p, each in cost.each_by.items()}


def test_key_agreement() -> None:
    cost = Cost.of(session.open_session)
    world = World().run(lambda _: None, 1)
    assert {m.step for m in world.sent} == {"keys"}
    assert sum(len(m.message) for m in world.sent) == cost.fixed
    assert (max(m.time for m in world.sent), cost.each) == (cost.rounds, 0)


@pytest.mark.parametrize("line", ["2 rounds; 5 B", "some; 3 B in all", "1 round; 3 B in all for each word", "1 round"])
def test_the_parser_refuses_what_it_does_not_understand(line: str) -> None:
    def protocol() -> None: ...

    protocol.__doc__ = f"Something.\n\nCost: {line}.\n"
    with pytest.raises(AssertionError):
        Cost.of(protocol)


def test_large_runs_stay_within_their_budget() -> None:
    """Above 65,536 rows, with a last chunk that is not full."""
    rows = 70_000
    inputs = dealt([random_array(k, (rows // 2, 2)) for k in range(2)])
    world = World().run(lambda s: engine.run(s, inputs[s.party], silent), 1)
    sent = counted(world)
    for p in PARTIES:
        cipher = [m for m in world.sent if m.sender == p and re.match(r"tag/(schedule|chunk\d+/round)", m.step)]
        assert 350 * rows < sum(m.payload_bytes for m in cipher) <= 365 * rows
        assert sent[p] <= 520 * rows


def test_dummies_cost_what_rows_cost() -> None:
    """And a member more in `agree`; without a round or a message of their own."""
    noise = Noise(Dummies(1.0, 1e-6), 4, MEMBERS)
    rows = ROWS - noise.rows
    inputs = dealt(np.split(np.concatenate(KEYS)[:rows], [1, 2, 5]), noise=noise)
    world, bare = (World().run(lambda s, i=i: engine.run(s, i[s.party], silent), 1) for i in (inputs, INPUTS))
    cost = Cost.of(engine.run)
    assert sum(counted(world).values()) == cost.each * ROWS + cost.fixed + 96
    assert world.rounds == cost.rounds
    assert {(m.sender, m.receiver, m.step) for m in world.sent} == {(m.sender, m.receiver, m.step) for m in bare.sent}


def test_verified_tags_cost_what_verification_costs_besides() -> None:
    inputs = dealt(KEYS, verified=True)
    world = World().run(lambda s: engine.run(s, inputs[s.party], silent), 1)
    once, more = Cost.of(engine.run), Cost.of(verify.verify)
    assert sum(counted(world).values()) == (once.each + more.each) * ROWS + once.fixed + more.fixed
    assert world.rounds == once.rounds + more.rounds


def test_protocols_tell_what_they_cost_reveal_and_raise() -> None:
    for protocol in functions_of_a_session():
        doc = inspect.getdoc(protocol) or ""
        for name in ("Cost", "Reveals", "Raises"):
            assert section(doc, name).endswith("."), (protocol.__name__, name)


def test_all_that_is_public_has_a_docstring() -> None:
    bare = []
    for path in sorted(Path(mpc.__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        public: list[Any] = [tree]
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                public += [
                    node,
                    *(n for n in node.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")),
                ]
        public += [n for n in tree.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]
        bare += [f"{path.name}: {getattr(n, 'name', 'module')}" for n in public if not ast.get_docstring(n)]
    assert not bare
