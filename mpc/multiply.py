"""Multiplication on shares: any quadratic map of shared bits in one round, one bit sent for each bit of its result.

Ideal functionality: from sharings of x compute a fresh sharing of Q(x) = contract · (left·x ∘ right·x) ⊕ linear·x.
A single AND, a product in GF(16) and a norm are all such maps; sums of products are free.

For one product the local part is x_i y_i ⊕ x_i y_{i+1} ⊕ x_{i+1} y_i, which is
(x_i ⊕ x_{i+1})(y_i ⊕ y_{i+1}) ⊕ x_{i+1} y_{i+1}: two products. P_i adds its part of a zero sharing
and sends the sum z_i to P_{i-1}.

Source: Araki et al., CCS 2016, section 2.1, on replicated pairs as in ABY3 (CCS 2018). Deviation: whatever is linear
after the products is applied to the one component that is sent, not to both components of the result, which halves
that work and changes no message's distribution, because the zero sharing is added last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mpc import kernel
from mpc.circuit import Circuit, Matrix, Program
from mpc.kernel import Step
from mpc.replicated import Array, Share
from mpc.session import Session


@dataclass(frozen=True, eq=False)
class Quadratic:
    """x ↦ contract · (left·x ∘ right·x) ⊕ linear·x over GF(2).

    Attributes:
        left: (rank, inputs) matrix.
        right: (rank, inputs) matrix.
        contract: (outputs, rank) matrix.
        linear: (outputs, inputs) matrix.
    """

    left: Matrix
    right: Matrix
    contract: Matrix
    linear: Matrix

    @cached_property
    def program(self) -> Program:
        """The circuit of one party's local part: planes of x_i, then of x_{i+1}, in; planes of z_i out."""
        rank, inputs = self.left.shape
        circuit = Circuit(2 * inputs)
        own, following = range(inputs), range(inputs, 2 * inputs)
        used = set(np.vstack([self.left, self.right]).nonzero()[1].tolist())
        both = [circuit.xor(own[k], following[k]) if k in used else -1 for k in range(inputs)]
        left, right = ([circuit.linear(m, s) for s in (both, following)] for m in (self.left, self.right))
        terms = [[circuit.both(left[s][k], right[s][k]) for k in range(rank)] for s in (0, 1)]
        products = [circuit.xor(terms[0][k], terms[1][k]) for k in range(rank)]
        return circuit.compile(circuit.linear(np.hstack([self.contract, self.linear]), [*products, *own]))


AND = Quadratic(
    left=np.array([[1, 0]], np.uint8),
    right=np.array([[0, 1]], np.uint8),
    contract=np.array([[1]], np.uint8),
    linear=np.zeros((1, 2), np.uint8),
)
"""(x, y) ↦ x·y, plane by plane."""


@dataclass(frozen=True, eq=False, repr=False)
class Affine:
    """A GF(2)-affine map of a block's planes, each cut into equal pieces, for what is linear across bytes.

    Attributes:
        program: from the pieces' planes, plane after plane, and then the constants, to the result's pieces.
        constants: (k, 1) uint64, words that are equal in all rows; part of component a of what is added.
        pieces: of a plane.
    """

    program: Program
    constants: Array
    pieces: int

    def on(self, planes: Array, result: Array) -> Step:
        """The map from (blocks, planes, length) to (blocks, planes, length), at least one block."""
        cut = [array.reshape(len(array), array.shape[1] * self.pieces, -1) for array in (planes, result)]
        return self.program.on(cut[0], self.constants[None], cut[1], constants=1)


def multiply(session: Session, quadratic: Quadratic, inputs: Sequence[Share], then: Affine | None = None) -> Share:
    """Evaluate a quadratic map on shared planes.

    Args:
        session: at a step of its own.
        quadratic: the map.
        inputs: Shares of (blocks, planes, length) uint64 with the same blocks and length; their planes together, in
            this order, are x.
        then: a map of this party's component of the result (outputs, length) into what is sent, of inputs[0]'s shape.

    Returns:
        Share of (blocks, outputs, length) uint64; with `then`, of the shape of inputs[0].

    Cost: 1 round; 3 bits in all for each bit of the result.
    Reveals: nothing.
    Raises: PeerError.
    Source: Araki et al., CCS 2016, section 2.1.
    """
    blocks, _, length = inputs[0].shape
    program = quadratic.program
    planes = [share.a for share in inputs] + [share.b for share in inputs]
    if then is None:
        own = np.empty((blocks, program.outputs, length), np.uint64)
        steps = [program.on(*planes, own)]
    else:
        own, target = np.empty(inputs[0].shape, np.uint64), np.empty((1, program.outputs, length), np.uint64)
        steps = [program.on(*planes, target), then.on(target, own)]
    kernel.run(steps, blocks)
    return reshare(session, own)


def reshare(session: Session, part: Array) -> Share:
    """A fresh sharing of the sum of the three parties' parts.

    Args:
        session: at a step of its own.
        part: of this party, C-contiguous; any shape and unsigned dtype; masked in place.

    Returns:
        Share of the same shape and dtype.

    Cost: 1 round; 3 B in all for each row of 1 B: 1 a party.
    Reveals: nothing.
    Raises: PeerError.
    Source: Araki et al., CCS 2016, section 2.1.
    """
    session.prss.add_zero(session.step, part)
    session.send(session.party.previous, part)
    return Share(part, session.receive(session.party.next, part.shape, part.dtype))
