"""What is drawn: boxes that hold values, and wires between them along which gradients come back.

A box or wire may stand for several of the same structure; its statistics are then lists, with one number per repeat.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from minigrad.arrays import length
from minigrad.inspection.factors import share
from minigrad.inspection.kinds import is_parameter, weight_slot
from minigrad.inspection.parts import Edge, TraceNode

STATE = re.compile(r"(\w+)\[\d+\](:\d+)?")  # h[3]


@dataclass(eq=False)
class Wire:
    """The edges of a trace between two boxes, per repeat; `source` is the number of the box whose values are used."""

    source: int
    copies: list[list[Edge]]

    @cached_property
    def shares(self) -> list[float]:
        """Per repeat its signed share of the gradient at its source: ⟨part, whole⟩/⟨whole, whole⟩."""
        return [
            share(joined(parts.values()), joined(node.grad for node in parts)) for parts in map(summed, self.copies)
        ]

    @property
    def carries(self) -> bool:
        """Whether a gradient comes back along it."""
        return any(self.copies)

    @property
    def is_zero(self) -> bool:
        return not any(np.any(edge.contribution) for edges in self.copies for edge in edges)

    @property
    def is_all(self) -> bool:
        """Whether the values at its source get all their gradient along this wire."""
        return all(
            len(edges) == sum(len(node.incoming) for node in {edge.input for edge in edges}) for edges in self.copies
        )


class Copy(NamedTuple):
    """What one repeat of a box holds."""

    values: list[TraceNode]
    held: list[TraceNode]  # parameters that are shown in this box instead of boxes of their own
    results: list[TraceNode]  # the values that are used outside the box


@dataclass(eq=False)
class Box:
    """One value, or all that a module computed, or several modules of the same structure: a copy for each.

    Its wires come from the boxes it was computed from, left to right.
    """

    copies: list[Copy]
    wires: list[Wire]

    @classmethod
    def of(cls, alike: Sequence[Box], places: Mapping[int, int]) -> Box:
        """One box for several of the same structure; `places`: old number of a box → its new number."""
        wires = [
            Wire(places[same[0].source], [edges for wire in same for edges in wire.copies])
            for same in zip(*(box.wires for box in alike), strict=True)
        ]
        return cls([copy for box in alike for copy in box.copies], wires)

    @property
    def last(self) -> list[TraceNode]:
        """The last value, per repeat."""
        return [copy.values[-1] for copy in self.copies]

    @property
    def is_leaf(self) -> bool:
        return self.last[0].op == "leaf"

    @cached_property
    def repeats(self) -> int:
        """How many blocks or steps it stands for: a weight that it holds is used once in each step."""
        inside = {node for copy in self.copies for node in copy.values}
        leaves = {leaf for copy in self.copies for leaf in copy.held}
        uses = (sum(edge.output in inside for edge in leaf.incoming) for leaf in leaves)
        return max([len(self.copies), *uses])

    @cached_property
    def states(self) -> dict[tuple[str, int], list[TraceNode]]:
        """Values in the box that are named after a time step, without views: h of the first sequence → h[0], h[1] …"""
        found: dict[tuple[str, int], list[TraceNode]] = {}
        count: Counter[str] = Counter()
        for node in (node for copy in self.copies if len(copy.values) > 1 for node in copy.values):
            if node.kind != "view" and (match := STATE.fullmatch(node.name)):
                count[node.name] += 1
                found.setdefault((match[1], count[node.name]), []).append(node)
        return found

    @cached_property
    def gains(self) -> list[list[float | None]]:
        """Per wire and repeat ‖sent back along it‖/‖arrived‖; wires to parameters only if there are no others."""
        wires = [wire for wire in self.wires if wire.carries]
        flow = [wire for wire in wires if not into_parameter(wire.copies[0][0])]
        results = [copy.results for copy in self.copies]
        return [list(map(gain, results, wire.copies)) for wire in flow or wires]

    @cached_property
    def decay(self) -> tuple[float, float] | None:
        """‖grad h[0]‖/‖grad h[T−1]‖ of a recurrence, in all and per step."""
        h = self.states.get(("h", 1), [])
        if len(h) < 2 or not h[0].norm or not h[-1].norm:
            return None
        ratio = h[0].norm / h[-1].norm
        return ratio, ratio ** (1 / (len(h) - 1))

    @cached_property
    def gain(self) -> float | None:
        """What the colour shows: the largest gain of a wire (mean of its repeats), or the decay per step."""
        if self.decay:
            return self.decay[1]
        means = [mean(gains) for gains in self.gains]
        return None if None in means else max(means, default=None)


def joined(arrays: Iterable[np.ndarray]) -> np.ndarray:
    """All elements in one row."""
    return np.concatenate([np.ravel(x) for x in arrays])


def summed(edges: Iterable[Edge]) -> dict[TraceNode, np.ndarray]:
    """Value → what these edges bring to it."""
    arrived: dict[TraceNode, np.ndarray] = {}
    for edge in edges:
        node, part = edge.input, edge.contribution
        arrived[node] = arrived[node] + part if node in arrived else part
    return arrived


def gain(results: Iterable[TraceNode], edges: Iterable[Edge]) -> float | None:
    """‖what these edges bring‖/‖gradient at the results‖; None if no gradient, or exactly 0, arrived there."""
    arrived = math.hypot(*(node.norm or 0 for node in results))
    return math.hypot(*map(length, summed(edges).values())) / arrived if arrived else None


def mean(gains: Sequence[float | None]) -> float | None:
    """The geometric mean, or None if one of them is None."""
    if None in gains:
        return None
    return math.exp(sum(map(math.log, gains)) / len(gains)) if all(gains) else 0.0


def into_parameter(edge: Edge) -> bool:
    """Whether an edge leads to a weight, bias or gain of the net, not to what flows through it."""
    op, leaf = edge.output, edge.input
    if leaf.kind != "parameter":
        return False
    each_other = op.op == "multiply" and all(map(is_parameter, op.vertex.inputs))  # a·b: neither is the weight
    is_weight = op.kind == "weight" and edge.slot == weight_slot(op.vertex) and not each_other
    return is_weight or op.kind in ("bias", "scale") or "." in leaf.name
