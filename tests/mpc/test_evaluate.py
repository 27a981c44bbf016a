"""Random circuits on shares against the same circuits in plain text, and what they cost."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mpc.evaluate import Layers, evaluate
from mpc.logic import Logic
from mpc.replicated import Array, reconstruct
from tests.mpc.arrays import SEEDS, random_array
from tests.world import World, run_parties, shares

INPUTS = 5
ONES = np.uint64(2**64 - 1)


def grown(seed: int, gates: int, outputs: int) -> tuple[Logic, list[int]]:
    """A circuit of random gates, and signals of it, inputs among them."""
    rng, logic = np.random.default_rng(seed), Logic(INPUTS)
    signals = list(range(INPUTS))
    for _ in range(gates):
        make = [logic.xor, logic.both, logic.either][rng.integers(3)]
        signals.append(make(*(signals[k] for k in rng.integers(0, len(signals), 2))))
    chosen = rng.permutation(list(dict.fromkeys(map(logic.plane, signals))))[:outputs]
    return logic, chosen.tolist()


def in_plain_text(logic: Logic, outputs: list[int], planes: Array) -> Array:
    return logic.circuit.compile(outputs).run(np.concatenate([planes, np.full((1, planes.shape[1]), ONES)]))


@given(SEEDS, st.integers(0, 60), st.integers(1, 12), st.integers(1, 3))
def test_a_circuit_on_shares_is_the_circuit(seed: int, gates: int, outputs: int, length: int) -> None:
    logic, chosen = grown(seed, gates, outputs)
    planes = random_array(seed, (INPUTS, length))
    shared, layers = shares(planes, seed), Layers(logic.circuit, chosen)
    found = run_parties(lambda s: evaluate(s.at("test"), layers, shared[s.party]), 1)
    assert np.array_equal(reconstruct(tuple(found)), in_plain_text(logic, chosen, planes))


@given(SEEDS, st.integers(1, 60))
def test_its_cost_is_what_the_docstring_says(seed: int, gates: int) -> None:
    logic, chosen = grown(seed, gates, 4)
    layers, shared = Layers(logic.circuit, chosen), shares(random_array(seed, (INPUTS, 3)), 1)
    world = World().run(lambda s: evaluate(s.at("test"), layers, shared[s.party]), 1)
    deepest = max(map(logic.level, chosen))
    assert world.rounds == deepest
    sent = sum(m.payload_bytes for m in world.sent if m.step.startswith("test"))
    assert sent == 3 * 8 * 3 * layers.ands
    assert len(layers.steps) == 1 + deepest


def test_it_evaluates_each_gate_once() -> None:
    logic = Logic(4)
    both = logic.both(0, 1)
    layers = Layers(logic.circuit, [logic.both(both, 2), logic.both(both, 3), logic.xor(both, 3)])
    assert (layers.ands, len(layers.steps)) == (3, 3)
