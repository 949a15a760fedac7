"""The role of each vertex of a trace in its net: an `add` may be a bias or a shortcut, a `multiply` a gate."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any

from minigrad.graph import Node
from minigrad.tensor import Tensor


def is_parameter(vertex: Any) -> bool:
    """Whether this is a leaf that requires a gradient, or a frozen Parameter; not a node, data or None (an array)."""
    return isinstance(vertex, Tensor) and vertex.is_leaf and (vertex.requires_grad or type(vertex) is not Tensor)


def kind_of(i: int, vertices: Sequence, sources: Sequence[Sequence[int | None]]) -> str:
    """The kind of vertex i; `sources` holds the positions of each one's inputs, None for plain arrays and numbers."""
    vertex = vertices[i]
    if not isinstance(vertex, Node):
        return "parameter" if vertex.requires_grad else "constant"
    op, inputs = vertex.op, [j for j in sources[i] if j is not None]
    if any(is_parameter(vertices[j]) for j in inputs):
        factor = "weight" if vertex.output.size == 1 else "scale"  # a neuron's one weight, or a gain per unit
        return {"matmul": "weight", "add": "bias", "multiply": factor}.get(op.name, op.kind)
    if op.name == "add" and len(inputs) == 2 and share_ancestor(inputs, vertices, sources):
        return "skip"
    if op.name == "multiply" and any(bounded(vertices[j]) for j in inputs):
        return "gate"
    return op.kind


def weight_slot(node: Node) -> int:
    """Which operand of a product is the weight: the parameter or, of two, the one in its usual place: x @ W, w * x."""
    slots = [slot for slot, x in enumerate(node.inputs) if is_parameter(x)]
    return slots[0] if len(slots) == 1 else int(node.op.name == "matmul")


def bounded(vertex: Any) -> bool:
    return isinstance(vertex, Node) and vertex.op.name in ("sigmoid", "tanh")


def share_ancestor(pair: Sequence[int], vertices: Sequence, sources: Sequence) -> bool:
    """Whether two vertices were computed from a common one, or one from the other: go back from both, side by side."""
    left, right = (ancestors(i, vertices, sources) for i in pair)
    i, j = next(left, -1), next(right, -1)  # −1: there is none left
    while i != j and min(i, j) >= 0:
        if i > j:
            i = next(left, -1)
        else:
            j = next(right, -1)
    return i == j and i >= 0


def ancestors(i: int, vertices: Sequence, sources: Sequence) -> Iterator[int]:
    """Vertex i and what it was computed from, the youngest first, without leaves.

    The search stops at a mean or a loss: two terms of a loss are not shortcuts past each other.
    """
    waiting, found = [-i], {i}
    while waiting:
        i = -heapq.heappop(waiting)
        if not isinstance(vertices[i], Node):
            continue
        yield i
        for source in sources[i] if vertices[i].op.kind not in ("reduce", "loss") else ():
            if source is not None and source not in found:
                found.add(source)
                heapq.heappush(waiting, -source)
