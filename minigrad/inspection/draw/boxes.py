"""What is drawn: boxes that hold values, and wires between them along which gradients come back.

A box or wire may stand for several of the same structure; its statistics are then lists, with one number per repeat.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np

from minigrad.arrays import length
from minigrad.inspection.factors import share
from minigrad.inspection.kinds import is_parameter, weight_slot
from minigrad.inspection.parts import Edge, TraceNode
from minigrad.inspection.trace import Trace

STATE = re.compile(r"(\w+)\[\d+\](:\d+)?")  # h[3]


class Wire:
    """The edges of a trace between two boxes, per repeat; `source` is the number of the box whose values are used."""

    def __init__(self, trace: Trace, source: int, copies: list[list[int]]) -> None:
        self.trace, self.source, self.copies = trace, source, copies

    @cached_property
    def shares(self) -> list[float]:
        """Per repeat its signed share of the gradient at its source: ⟨part, whole⟩/⟨whole, whole⟩."""
        found = []
        for parts in (summed(self.trace, edges) for edges in self.copies):
            wholes = [self.trace[i].grad for i in parts]
            found.append(share(*(np.concatenate([np.ravel(x) for x in of]) for of in (parts.values(), wholes))))
        return found

    @property
    def carries(self) -> bool:
        """Whether a gradient comes back along it."""
        return any(self.copies)

    @property
    def is_zero(self) -> bool:
        return not any(np.any(self.trace._edges[k][3]) for edges in self.copies for k in edges)

    @property
    def is_all(self) -> bool:
        """Whether the values at its source get all their gradient along this wire."""
        ends = ({self.trace._edges[k][2] for k in edges} for edges in self.copies)
        into = [sum(len(self.trace._into[i]) for i in end) for end in ends]
        return into == [len(edges) for edges in self.copies]


class Box:
    """One value, or all that a module computed, or several modules of the same structure.

    Attributes
    ----------
    copies, held, results : list of list of int
        Positions in the trace, per repeat: of the values, of the parameters that are shown in this box instead of
        boxes of their own, and of the values that are used outside the box.
    wires : list of Wire
        From the boxes it was computed from, left to right.
    """

    def __init__(self, trace: Trace, values: list, held: list, results: list, wires: Iterable[Wire] = ()) -> None:
        self.trace, self.wires = trace, list(wires)
        self.copies, self.held, self.results = [values], [held], [results]

    @classmethod
    def of(cls, alike: Sequence[Box], places: Mapping[int, int]) -> Box:
        """One box for several of the same structure; `places`: old number of a box → its new number."""
        box = cls(alike[0].trace, [], [], [])
        for name in ("copies", "held", "results"):
            setattr(box, name, [part for one in alike for part in getattr(one, name)])
        for wires in zip(*(one.wires for one in alike), strict=True):
            copies = [edges for wire in wires for edges in wire.copies]
            box.wires.append(Wire(box.trace, places[wires[0].source], copies))
        return box

    @property
    def last(self) -> list[TraceNode]:
        """The last value, per repeat."""
        return [TraceNode(self.trace, values[-1]) for values in self.copies]

    @property
    def is_leaf(self) -> bool:
        return self.last[0].op == "leaf"

    @cached_property
    def repeats(self) -> int:
        """How many blocks or steps it stands for: a weight that it holds is used once in each step."""
        inside, into = {i for values in self.copies for i in values}, self.trace._into
        leaves = {leaf for held in self.held for leaf in held}
        uses = (sum(self.trace._edges[k][0] in inside for k in into[leaf]) for leaf in leaves)
        return max([len(self.copies), *uses])

    @cached_property
    def states(self) -> dict[tuple, list[int]]:
        """Values in the box that are named after a time step, without views: h → h[0], h[1] …"""
        found: dict[tuple, list[int]] = {}
        for i in (i for values in self.copies for i in values if len(values) > 1):
            if self.trace[i].kind != "view" and (match := STATE.fullmatch(self.trace._symbols[i])):
                found.setdefault(match.groups(), []).append(i)
        return found

    @cached_property
    def gains(self) -> list[list[float | None]]:
        """Per wire and repeat ‖sent back along it‖/‖arrived‖; wires to parameters only if there are no others."""
        wires = [wire for wire in self.wires if wire.carries]
        flow = [wire for wire in wires if not into_parameter(Edge(self.trace, wire.copies[0][0]))]
        return [
            [gain(self.trace, results, edges) for results, edges in zip(self.results, wire.copies, strict=True)]
            for wire in flow or wires
        ]

    @cached_property
    def decay(self) -> tuple[float, float] | None:
        """‖grad h[0]‖/‖grad h[T−1]‖ of a recurrence, in all and per step."""
        h = [self.trace[i] for i in self.states.get(("h", None), ())]
        if len(h) < 2 or not h[0].norm or not h[-1].norm:
            return None
        ratio = h[0].norm / h[-1].norm
        return ratio, ratio ** (1 / (len(h) - 1))

    @cached_property
    def gain(self) -> float | None:
        """What the colour shows: the largest gain of a wire (mean of its repeats), or the decay per step."""
        means = [mean(gains) for gains in self.gains]
        return self.decay[1] if self.decay else None if None in means else max(means, default=None)


def summed(trace: Trace, edges: Iterable[int]) -> dict[int, np.ndarray]:
    """Value → what these edges bring to it."""
    arrived: dict[int, np.ndarray] = {}
    for k in edges:
        _, _, i, part = trace._edges[k]
        arrived[i] = arrived[i] + part if i in arrived else part
    return arrived


def gain(trace: Trace, results: Sequence[int], edges: Sequence[int]) -> float | None:
    """‖what these edges bring‖/‖gradient at the results‖; None if no gradient, or exactly 0, arrived there."""
    arrived = math.hypot(*(trace[i].norm or 0 for i in results))
    return math.hypot(*map(length, summed(trace, edges).values())) / arrived if arrived else None


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
