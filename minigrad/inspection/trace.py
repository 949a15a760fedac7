"""The backward pass, written down: every product of an upstream gradient with a local derivative.

- `trace(loss)` walks back through the graph of `loss` as `backward()` does, and keeps every product.
- `trace.nodes`, `trace[w]`, `trace["z3"]`, `trace["layers.0/matmul"]`: values and gradients, by tensor or name.
- `for edge in trace.edges(): print(edge)` steps through the backward pass, one product a line.
- `trace.chain(to=w)` is the chain of products between the loss and w.

A trace reads the graph and changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from minigrad.arrays import length
from minigrad.graph import GraphError, Node, order, pull, walk
from minigrad.inspection import text
from minigrad.inspection.kinds import kind_of
from minigrad.inspection.local import LocalJacobian
from minigrad.inspection.lookup import labels_of, look_up
from minigrad.inspection.names import Symbols, given_names
from minigrad.inspection.opened import opened
from minigrad.inspection.parts import Edge, TraceNode
from minigrad.printed import Text
from minigrad.tensor import Tensor


def trace(output: Tensor, gradient: ArrayLike | None = None, expand: bool = True, backward: bool = False) -> Trace:
    """Walk back from `output` as `backward()` does, and record what is multiplied and added.

    Parameters
    ----------
    output : Tensor
        Usually the loss.
    gradient : array_like, optional
        The upstream gradient to start with, of the shape of `output`; 1 for a single number.
    expand : bool
        Open fused ops into the primitive ops of their definition.
    backward : bool
        Also add the gradients to the `.grad` of the leaves, as `backward()` would.

    Raises
    ------
    GraphError
        As in `backward()`: no history, more than one number without `gradient`, an input changed in place.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.tensor(2.0, requires_grad=True, name="x")
    >>> w = mg.tensor(-1.0, requires_grad=True, name="w")
    >>> for edge in mg.trace(mg.tanh(w * x)).edges():
    ...     print(edge)
    tanh'(z1) = 0.07065 × upstream 1 = 0.07065, added to z1
    x = 2 × upstream 0.07065 = 0.1413, added to w
    w = −1 × upstream 0.07065 = −0.07065, added to x
    """
    if not isinstance(output, Tensor):
        raise TypeError(f"trace: output is a Tensor, not {type(output).__name__}; the trace of a matrix is np.trace(x)")
    if output.ndim == 2 and output.size > 1 and gradient is None:
        raise GraphError(f"trace: shape {output.shape} needs gradient= or .sum(); the trace of a matrix is np.trace(x)")
    seed = output.seed_gradient(gradient)
    nodes, replaced, within = opened(recorded(output)) if expand else (recorded(output), {}, {})
    found = Trace(output, seed, nodes, replaced, within, expanded=expand)
    if backward:
        reached = [node for node, vertex in replaced.items() if vertex is node or vertex in found._gradients]
        leaves = (x for node in reached for x in node.inputs if x is not None and x.is_leaf and x.requires_grad)
        zeros = {x: np.zeros_like(x.data) for x in leaves}  # for a leaf that was packed and never taken out
        for leaf, g in (zeros | found._gradients).items():
            if isinstance(leaf, Tensor):
                leaf.accumulate(g, shared=True)
    return found


def recorded(output: Tensor) -> list[Node]:
    """The nodes that computed `output`, fused ops unopened; GraphError if a value was changed in place since."""
    return order(output.node) if output.node else []


class Product(NamedTuple):
    """What an op sent to one of its inputs; `output` and `input` are positions in the trace."""

    output: int
    slot: int
    input: int
    contribution: np.ndarray


class Trace:
    """One recorded backward pass: see `trace`.

    `nodes` come in the order that `order` gives, `replaced` maps each node that was opened to what stands in its
    place, `within` each node of a definition to the fused one it is a part of, and `expanded` says whether fused ops
    and packs were opened. `instead` maps (node, slot) to a local derivative that replaces the op's own.

    A node or a leaf of the graph is a *vertex* here; vertices are numbered in forward order, edges in backward order.
    """

    if TYPE_CHECKING:  # chain, paths, audit … are attached by minigrad.inspection

        def __getattr__(self, name: str) -> Any: ...

    def __init__(
        self,
        output: Tensor,
        seed: np.ndarray,
        nodes: list[Node],
        replaced: Mapping[Node, Any],
        within: Mapping[Node, Node],
        instead: Mapping[tuple[Node, int], LocalJacobian] = MappingProxyType({}),
        expanded: bool = True,
    ) -> None:
        self.output = output
        self.seed = seed
        self.expanded = expanded
        self._nodes = nodes
        self._replaced = replaced
        self._within = within
        self._instead = instead
        uses = (use for node in nodes for use in zip(node.inputs, node.arrays, strict=True))
        held = {x: array for x, array in uses if x is not None and x.is_leaf}
        # Parameters are copied, since optimizer.step() writes into them; data, which may be large, is not
        self._held = {x: array.copy() if x.requires_grad else array for x, array in held.items()}
        self._sent: dict[Node, list] = {}  # what each node sent to its inputs, in backward order
        start = {self._vertex(output): seed}
        gradients = walk(nodes, start, self._send, keep=set(nodes), replaced=replaced)
        self._gradients = {vertex: np.asarray(g) for vertex, g in gradients.items()}  # 0-d sums are NumPy's numbers

    def _send(self, node: Node, g: np.ndarray) -> list:
        self._sent[node] = [
            self._instead[node, slot].vjp(g) if (node, slot) in self._instead else contribution
            for slot, contribution in enumerate(pull(node, g))
        ]
        return self._sent[node]

    def again(self, instead: Mapping[Edge, LocalJacobian], seed: np.ndarray | None = None) -> Trace:
        """Walk the same graph with these local derivatives replaced, on top of earlier replacements."""
        more = {(edge.output.vertex, edge.slot): local for edge, local in instead.items()}
        seed = self.seed if seed is None else seed
        return Trace(self.output, seed, self._nodes, self._replaced, self._within, {**self._instead, **more})

    def opened(self) -> Trace:
        """This trace or, if it was made with expand=False, the one in which fused ops are opened."""
        return self if self.expanded else self._opened

    @cached_property
    def _opened(self) -> Trace:
        return trace(self.output, self.seed)

    # Vertices and edges

    @cached_property
    def _vertices(self) -> list:
        """Nodes and leaves in forward order, each leaf before its first user."""
        vertices: dict = {}
        for node in reversed(self._nodes):
            for x in node.inputs:
                if x is not None:
                    vertices.setdefault(self._vertex(x))
            vertices.setdefault(node)
        return list(vertices) or [self._vertex(self.output)]

    def _vertex(self, x: Tensor) -> Any:
        """The node that computed `x`, or what stands in its place; for a leaf, `x` itself."""
        return x if x.node is None else self._replaced.get(x.node, x.node)

    @cached_property
    def _positions(self) -> dict:
        return {vertex: i for i, vertex in enumerate(self._vertices)}

    @cached_property
    def _sources(self) -> list[list[int | None]]:
        """Per vertex, the positions of its inputs; None for plain arrays and numbers."""
        return [
            [None if x is None else self._position(x) for x in vertex.inputs] if isinstance(vertex, Node) else []
            for vertex in self._vertices
        ]

    def _position(self, x: Tensor) -> int | None:
        return self._positions.get(self._vertex(x))

    @cached_property
    def _kinds(self) -> list[str]:
        return [kind_of(i, self._vertices, self._sources) for i in range(len(self._vertices))]

    @cached_property
    def _given(self) -> dict[int, list[str]]:
        return given_names(self)

    @cached_property
    def _symbols(self) -> list[str]:
        return Symbols(self).names

    @cached_property
    def _edges(self) -> list[Product]:
        """All products in backward order."""
        return [
            Product(self._positions[node], slot, self._position(x), np.asarray(contribution))
            for node, contributions in self._sent.items()
            for slot, (x, contribution) in enumerate(zip(node.inputs, contributions, strict=True))
            if contribution is not None
        ]

    @cached_property
    def _into(self) -> dict[int, list[int]]:
        """Vertex → the edges that bring gradient into it."""
        into: dict[int, list[int]] = defaultdict(list)
        for k, product in enumerate(self._edges):
            into[product.input].append(k)
        return into

    @property
    def nodes(self) -> list[TraceNode]:
        """Every op, leaf and constant, in forward order."""
        return [TraceNode(self, i) for i in range(len(self._vertices))]

    def edges(self, into: Any = None) -> list[Edge]:
        """Every product in the order in which `backward()` computes them; `into`: only those sent to that node."""
        wanted = range(len(self._edges)) if into is None else self._into[self.node(into).index]
        return [Edge(self, i) for i in wanted]

    # Looking things up

    @cached_property
    def _labels(self) -> dict[str, list[int]]:
        return labels_of(self)

    def __getitem__(self, key: Any) -> Any:
        """A node by Tensor, name, position or "scope/op:2"; a pattern with * or ?, or a Module, gives a list."""
        return look_up(self, key)

    def __contains__(self, key: Any) -> bool:
        """Whether `trace[key]` finds something: `w in trace`."""
        if isinstance(key, TraceNode):
            return key.trace is self
        with suppress(LookupError):
            self[key]
            return True
        return False

    def node(self, key: Any) -> TraceNode:
        """The one node that `key` stands for; a TraceNode may come from another trace of the same graph."""
        if isinstance(key, TraceNode):
            position = self._positions.get(self._replaced.get(key.vertex, key.vertex))
            node = None if position is None else TraceNode(self, position)
        else:
            node = self[key]
        if node is None:
            raise ValueError(f"{key!r} is not one node of this trace")
        if isinstance(node, list):  # of a pattern or a module
            some = ", ".join(n.symbol for n in node[:5]) + (" …" if len(node) > 5 else "")
            raise ValueError(f"one node of this trace is needed, not {len(node)}: choose from {some}")
        return node

    def target(self, key: Any) -> TraceNode:
        """The one node that `key` stands for; ValueError if no gradient arrives there."""
        node = self.node(key)
        if node.grad is None:
            why = "make it with requires_grad=True" if node.kind == "constant" else "the output does not depend on it"
            raise ValueError(f"{node.symbol} has no gradient: {why}")
        return node

    def summary(self) -> str:
        """A table of all nodes, with the norms of their values and gradients."""
        rows = [("node", "op", "scope", "kind", "shape", "‖value‖", "‖grad‖")]
        rows += [
            (n.symbol, n.op, n.scope, n.kind, text.shape(n.shape), text.number(length(n.value)), text.number(n.norm))
            for n in self.nodes
        ]
        return Text(text.table(rows, "<<<<<>>"))

    def __str__(self) -> str:
        return text.folded(self.summary().split("\n"), "nodes")

    def __repr__(self) -> str:
        return f"<Trace of {self._symbols[-1]}: {len(self._vertices)} nodes, {len(self._edges)} products>"
