"""What a trace is made of: nodes, which are values with their gradients, and edges, which are the products.

Each holds the trace and an index into it. The trace does not refer back, so it is freed together with its last user.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.arrays import length
from minigrad.graph import Node
from minigrad.inspection import text
from minigrad.inspection.local import LocalJacobian
from minigrad.inspection.names import symbol

if TYPE_CHECKING:
    from minigrad.inspection.trace import Trace


@dataclass(slots=True, unsafe_hash=True)  # hashable, since neither field is ever set again
class Item:
    """A node or edge of a trace: the trace and an index into it. Two are equal if both of these are."""

    trace: Trace
    index: int


class TraceNode(Item):
    """A value in the graph, with the gradient that arrived at it.

    Attributes
    ----------
    name, op, kind, scope : str
        `op` is "leaf" for a tensor that no op computed; `kind` is the role of the node (weight, bias, activation,
        skip …).
    value, grad : ndarray
        `grad` is None where no gradient was computed.
    shape, formula : tuple of int, str
        The shape of the value; the formulas of the op's local derivatives.
    norm : float or None
        ‖grad‖, in float64.
    incoming, outgoing : list of Edge
        The products that brought gradient here, one per use of the value; those that carry it on to the op's inputs.
    """

    __slots__ = ()

    @property
    def vertex(self) -> Any:
        return self.trace._vertices[self.index]

    @property
    def name(self) -> str:
        return self.trace._given.get(self.index, [self.symbol])[0]

    @property
    def symbol(self) -> str:
        """Its name in formulas: `name`, or a short one such as W1 if that is a path (layers.0.weight)."""
        return self.trace._symbols[self.index]

    @property
    def op(self) -> str:
        return self.vertex.op.name if isinstance(self.vertex, Node) else "leaf"

    @property
    def kind(self) -> str:
        return self.trace._kinds[self.index]

    @property
    def scope(self) -> str:
        return self.vertex.scope if isinstance(self.vertex, Node) else ""

    @property
    def value(self) -> np.ndarray:
        vertex = self.vertex
        return vertex.output if isinstance(vertex, Node) else self.trace._held.get(vertex, vertex.data)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def grad(self) -> np.ndarray | None:
        return self.trace._gradients.get(self.vertex)

    @property
    def norm(self) -> float | None:
        g = self.grad
        return None if g is None else length(g)

    @property
    def derivative(self) -> str:
        """The symbol of its gradient: ∂L/∂W1."""
        return f"∂{self.trace._symbols[-1]}/∂{self.symbol}"

    @property
    def formula(self) -> str:
        """The formulas of the op's local derivatives."""
        return "; ".join(filter(None, self.vertex.op.formulas)) if isinstance(self.vertex, Node) else ""

    @property
    def incoming(self) -> list[Edge]:
        return self.trace.edges(into=self)

    @property
    def outgoing(self) -> list[Edge]:
        return [Edge(self.trace, k) for k, product in enumerate(self.trace._edges) if product.output == self.index]

    def check(self, parts: Sequence[np.ndarray] | None = None) -> float:
        """The error of Σ contributions, or of Σ `parts`, against the gradient.

        Relative to the larger of ‖grad‖ and 10⁻² of the largest term, since the terms may cancel to exactly 0. Where
        the gradient is not finite there is no error, unless the sum is finite there.
        """
        contributions = [edge.contribution for edge in self.incoming]
        parts = contributions if parts is None else parts
        if self.grad is None or not contributions:
            return 0.0
        total = np.sum(parts, axis=0)
        if np.array_equal(total, self.grad, equal_nan=True):
            return 0.0
        finite = np.isfinite(self.grad)
        if np.any(np.isfinite(total[~finite])):
            return np.inf
        norm, *norms = (length(x[finite]) for x in (self.grad, *contributions, *parts))
        return length(total[finite] - self.grad[finite]) / max(norm, 1e-2 * max(norms))

    def __str__(self) -> str:
        path = f" ({self.name})" if self.name != self.symbol else ""
        head = f"{self.symbol}{path}: {self.kind}, {text.shape(self.shape)}, value {text.value(self.value)}"
        if self.grad is None:
            return f"{head}, gradient — (none was computed)"
        parts = text.folded([f"  from {edge.output.symbol}: {edge}" for edge in self.incoming], "contributions", 20)
        total = f"  sum: {self.derivative} = {text.value(self.grad)}"
        return "\n".join([head, *([parts] if parts else []), total])

    def __repr__(self) -> str:
        return f"<{self.symbol}: {self.op}, {text.shape(self.shape)}, ‖grad‖ {text.number(self.norm)}>"


class Edge(Item):
    """One product of the backward pass: upstream gradient × local derivative = contribution.

    Attributes
    ----------
    output, input : TraceNode
        The node whose gradient is multiplied, and the one that receives the product.
    slot : int
        Which input of the op `input` is.
    upstream, contribution : ndarray
        The gradient at `output`, and what is added at `input`.
    local, formula : LocalJacobian, str
        The local derivative, and its formula.
    gain : float or None
        ‖contribution‖/‖upstream‖; None if the upstream gradient is exactly 0.
    """

    __slots__ = ()

    @property
    def output(self) -> TraceNode:
        return TraceNode(self.trace, self.trace._edges[self.index].output)

    @property
    def slot(self) -> int:
        return self.trace._edges[self.index].slot

    @property
    def input(self) -> TraceNode:
        return TraceNode(self.trace, self.trace._edges[self.index].input)

    @property
    def contribution(self) -> np.ndarray:
        return self.trace._edges[self.index].contribution

    @property
    def upstream(self) -> np.ndarray:
        return self.output.grad

    @property
    def local(self) -> LocalJacobian:
        node = self.output.vertex
        return self.trace._instead.get((node, self.slot)) or LocalJacobian(node, self.slot)

    @property
    def formula(self) -> str:
        return self.local.formula

    @property
    def gain(self) -> float | None:
        upstream = length(self.upstream)
        return length(self.contribution) / upstream if upstream else None

    @property
    def passes_on(self) -> bool:
        """Whether the contribution is the upstream gradient: not multiplied, nor summed over a broadcast axis."""
        return self.local.passes_on and self.contribution.shape == self.upstream.shape

    @property
    def symbol(self) -> str:
        """The local derivative as it is written in a chain: σ'(z1), W2ᵀ."""
        return symbol(self)

    def __str__(self) -> str:
        upstream, contribution = text.value(self.upstream), text.value(self.contribution)
        return f"{self._factor()} × upstream {upstream} = {contribution}, added to {self.input.symbol}"

    def _factor(self) -> str:
        """The local derivative with its value: a number, the RMS of a diagonal, the shape of a matrix."""
        local = self.local
        if local.passes_on:
            return self.symbol
        numbers = local.matrix if local.diagonal is None else local.diagonal
        if numbers is not None and local.shape == (1, 1):
            factor = text.number(numbers.item(), 4)
            return factor if factor == self.symbol else f"{self.symbol} = {factor}"
        if local.kind == "diagonal":
            return f"{self.symbol} [rms {text.number(local.expected_gain)}]"
        if local.kind == "matrix":
            return f"{self.symbol} [{text.shape(local.matrix.T.shape)}]"
        return f"{self.symbol} ({local.formula})" if local.formula else self.symbol

    def __repr__(self) -> str:
        return f"<{self}>"
