"""Any boolean circuit on shares: what is linear locally, and all AND gates of a level together in one round.

Ideal functionality: from sharings of a circuit's inputs compute fresh sharings of its outputs.

Each level is one tape for a party's local part: the XOR gates that it has come to, on both components, and of every AND
gate x·y the part (x_i ⊕ x_{i+1})(y_i ⊕ y_{i+1}) ⊕ x_{i+1} y_{i+1}, as in `mpc.multiply`.

Source: Araki et al., CCS 2016, section 2.1; Goldreich, Micali, Wigderson, STOC 1987, for a circuit level by level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mpc import kernel
from mpc.circuit import Circuit, Program, Signal
from mpc.kernel import AND
from mpc.multiply import reshare
from mpc.replicated import Array, Share, public
from mpc.session import Session


@dataclass(frozen=True, eq=False, repr=False)
class Step:
    """A party's local work between two rounds.

    Attributes:
        program: from the planes of all arrays so far: first `ands` planes that are sent, then others that are kept.
        ands: AND gates of the next level; 0 in the last step, whose planes are the outputs: components a, then b.
    """

    program: Program
    ands: int


class Layers:
    """A circuit, cut into steps.

    Args:
        circuit: the circuit, whose last input is a plane of ones.
        outputs: its outputs, distinct signals.

    Attributes:
        steps: one more than there are levels of AND gates.
        ands: AND gates in all.
        widest: AND gates of the level that has most.
    """

    def __init__(self, circuit: Circuit, outputs: Sequence[Signal]) -> None:
        self.inputs, self.outputs = circuit.inputs, len(outputs)
        gates, levels = circuit.needed(outputs), dict.fromkeys(range(circuit.inputs), 0)
        for signal, (op, left, right) in gates.items():
            levels[signal] = max(levels[left], levels[right]) + (op == AND)
        last = max((levels[s] for s in outputs), default=0)
        used_at = dict.fromkeys(outputs, last + 1)  # the last step that a signal is used in
        for signal, (op, left, right) in gates.items():
            for source in (left, right):
                used_at[source] = max(used_at.get(source, 0), levels[signal] - (op == AND))
        places = {s: (s, circuit.inputs + s) for s in range(circuit.inputs)}
        planes, self.steps, self.ands = 2 * circuit.inputs, list[Step](), 0
        for level in range(last + 1):
            local = [s for s, (op, *_) in gates.items() if levels[s] == level and op != AND]
            products = [s for s, (op, *_) in gates.items() if levels[s] == level + 1 and op == AND]
            kept = list(outputs) if level == last else [s for s in local if used_at[s] > level]
            step = Circuit(planes)
            at = dict(places)
            for signal in local:
                _, left, right = gates[signal]
                at[signal] = (step.xor(at[left][0], at[right][0]), step.xor(at[left][1], at[right][1]))
            sent = [_product(step, at[gates[s][1]], at[gates[s][2]]) for s in products]
            results = [*sent, *(at[s][0] for s in kept), *(at[s][1] for s in kept)]
            self.steps.append(Step(step.compile(results), len(sent)))
            start, after = planes + len(sent), planes + len(results)
            places |= {s: (planes + k, after + k) for k, s in enumerate(products)}
            places |= {s: (start + k, start + len(kept) + k) for k, s in enumerate(kept)}
            planes = after + len(sent)
            self.ands += len(sent)
        self.widest = max(step.ands for step in self.steps)


def _product(step: Circuit, x: tuple[Signal, Signal], y: tuple[Signal, Signal]) -> Signal:
    """A party's part of x·y, from both components of each."""
    return step.xor(step.both(step.xor(*x), step.xor(*y)), step.both(x[1], y[1]))


def evaluate(session: Session, layers: Layers, planes: Share) -> Share:
    """Evaluate a circuit on shared planes.

    Args:
        session: at a step of its own.
        layers: the circuit; public.
        planes: Share of (inputs - 1, length) uint64: the inputs but for the plane of ones.

    Returns:
        Share of (outputs, length) uint64.

    Cost: as many rounds as the circuit has levels of AND gates; 3 bits in all for each AND gate and row.
    Reveals: nothing.
    Raises: PeerError.
    Source: Araki et al., CCS 2016, section 2.1.
    """
    length = planes.shape[1]
    ones = public(session.party, np.full((1, length), np.uint64(2**64 - 1)))
    arrays = [planes.a[None], ones.a[None], planes.b[None], ones.b[None]]
    for level, step in enumerate(layers.steps):
        result = np.empty((1, step.program.outputs, length), np.uint64)
        kernel.run([step.program.on(*arrays, result)], 1)
        arrays.append(result)
        if step.ands:
            arrays.append(reshare(session.at(f"level{level}"), result[0, : step.ands]).b[None])
    outputs: Array = arrays[-1][0]
    return Share(outputs[: layers.outputs], outputs[layers.outputs :])
