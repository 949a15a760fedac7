"""The ways from the output of a trace down to some of its vertices, and the backward walk along them.

- `edges_to(trace, targets)`: the edges on all ways; `path_to(last, edges)`: those on the ways to one edge.
- `along(start, value, targets, step)`: the walk with something else in place of gradients, such as numbers of
  paths, or the parts of a gradient by path length; `along_each`: with many gradients, such as those of all units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from minigrad.graph import walk
from minigrad.inspection.anomaly import watching
from minigrad.inspection.local import DENSE_LIMIT
from minigrad.inspection.parts import Edge, TraceNode
from minigrad.inspection.trace import Trace


def edges_to(trace: Trace, targets: Iterable[TraceNode], through: bool = True) -> list[Edge]:
    """The edges that lead to `targets`, in backward order; unless `through`, a way ends at the first target."""
    ends = {target.index for target in targets}
    found, seen, stack = set(), set(ends), list(ends)
    while stack:
        for k in trace._into[stack.pop()]:
            user = trace._edges[k].output
            if through or user not in ends:
                found.add(k)
                if user not in seen:
                    seen.add(user)
                    stack.append(user)
    return [Edge(trace, k) for k in sorted(found)]


def path_to(last: Edge, edges: Sequence[Edge]) -> list[Edge]:
    """Those of `edges` (in backward order) whose products flow into `last`, and `last`."""
    found, wanted = [last], {last.output.index}
    for edge in reversed(edges):
        if edge.input.index in wanted:
            found.append(edge)
            wanted.add(edge.output.index)
    return found[::-1]


def along(start: TraceNode, value: Any, targets: Sequence[TraceNode], step: Callable, through: bool = True) -> list:
    """What arrives at each of `targets` if `value` starts the walk and each edge sends on `step(edge, value)`."""
    trace = start.trace
    ways = {(edge.output.vertex, edge.slot): edge for edge in edges_to(trace, targets, through)}

    def send(node, value):
        edges = [ways.get((node, slot)) for slot in range(len(node.inputs))]
        return [None if edge is None else step(edge, value) for edge in edges]

    ends = [target.vertex for target in targets]
    with watching(None):
        found = walk(trace._nodes, {start.vertex: value}, send, keep=set(ends), replaced=trace._replaced)
    return [found.get(end) for end in ends]


class Many(dict):
    """Number → value, all carried by one walk: the parts of a gradient by path length, the rows of a Jacobian."""

    def __add__(self, other: Many) -> Many:
        total = Many(self)
        for number, part in other.items():
            total[number] = total[number] + part if number in total else part
        return total

    def through(self, step: Callable, higher: int = 0) -> Many:
        """`step` applied to each value, with their numbers raised by `higher`."""
        return Many((number + higher, step(value)) for number, value in self.items())


def along_each(start: TraceNode, gradients: Iterable, targets: Sequence[TraceNode], through: bool = True) -> Iterator:
    """What arrives at each of `targets` from each of many `gradients` at `start`; zeros where no way leads.

    One walk carries as many gradients as are a million numbers. Yields, walk by walk: per target a list of arrays.
    """
    gradients, most = iter(gradients), max(1, DENSE_LIMIT // max(1, start.value.size))
    while portion := list(islice(gradients, most)):
        many = Many(enumerate(portion))
        found = along(start, many, targets, lambda edge, gs: gs.through(edge.local.pullback()), through)
        yield [
            list(arrived.values()) if arrived else [np.zeros(target.shape)] * len(portion)
            for arrived, target in zip(found, targets, strict=True)
        ]
