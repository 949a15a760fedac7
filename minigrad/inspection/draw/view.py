"""What a drawing of a trace shows, before the layout.

- zoom "op": a box for every value.
- zoom "layer": a box for what one module computes, with its parameters; three or more blocks of the same
  structure in a row are drawn as one, ×50, and so are the steps of a recurrence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minigrad.graph import Node
from minigrad.inspection.draw.boxes import STATE, Box, Wire, gain, into_parameter
from minigrad.inspection.factors import loss_of
from minigrad.inspection.parts import Edge
from minigrad.inspection.trace import Trace

ALIKE, LONGEST = 3, 40  # the fewest blocks that are drawn as one, and the most boxes in a block
USES = 3  # a leaf with more uses than this is drawn at each of them


class Frame(NamedTuple):
    """Blocks of several boxes, drawn as one: which boxes, how many blocks, and the gain over all of them."""

    boxes: range
    repeats: int
    gain: float | None


class GraphView:
    """Boxes in forward order, each with the wires that lead to it, and frames around some of them.

    Parameters
    ----------
    trace : Trace
    zoom : str
        "layer" or "op".
    """

    def __init__(self, trace: Trace, zoom: str = "layer") -> None:
        if zoom not in ("layer", "op"):
            raise ValueError(f"draw: zoom is 'layer' or 'op', not {zoom!r}")
        self.trace = trace
        self.users: dict[int, list[tuple[int, int]]] = defaultdict(list)  # value → (op, slot)
        for i, inputs in enumerate(trace._sources):
            for slot, j in enumerate(inputs):
                if j is not None:
                    self.users[j].append((i, slot))
        self.boxes: list[Box] = []
        self.frames: list[Frame] = []
        self._draw(self._ops() if zoom == "op" else self._modules())
        if zoom == "layer":
            self._fold()

    # From values to boxes

    def _ops(self) -> list[list[int]]:
        return [[i] for i, vertex in enumerate(self.trace._vertices) if isinstance(vertex, Node)]

    def _modules(self) -> list[list[int]]:
        """Groups of consecutive ops: those of one module or, outside modules, of a loss or a recurrence."""
        trace, groups, last = self.trace, [], None
        steps: set[int] = set()  # what leads to a state such as h[3]
        for (i,) in reversed(self._ops()):
            if not trace._vertices[i].scope and (i in steps or STATE.fullmatch(trace._symbols[i])):
                steps.update([i, *(j for j in trace._sources[i] if j is not None)])
        for (i,) in self._ops():
            module = trace._vertices[i].scope or loss_of(trace, i) or ("steps" if i in steps else None)
            if module is None or module != last:
                groups.append([])
            groups[-1].append(i)
            last = module
        return groups

    def _draw(self, groups: list[list[int]]) -> None:
        """A box for each group, after boxes for the leaves that the group uses but does not hold."""
        trace = self.trace
        home = {i: g for g, group in enumerate(groups) for i in group}
        held: dict[int, list[int]] = defaultdict(list)
        above: dict[int, list[tuple[int, list]]] = defaultdict(list)  # group → leaves with their uses
        for i in (i for i, vertex in enumerate(trace._vertices) if not isinstance(vertex, Node)):
            uses = self.users[i]
            edges = [Edge(trace, k) for k in trace._into.get(i, ())]
            if edges and all(into_parameter(edge) and len(groups[home[edge.output.index]]) > 1 for edge in edges):
                for group in dict.fromkeys(home[op] for op, _ in uses):
                    held[group].append(i)
                continue
            for together in [[use] for use in uses] if len(uses) > USES else [uses]:
                above[home[together[0][0]] if together else 0].append((i, together))
        made: dict = {}  # value, or use of a leaf → its box
        for g, group in enumerate(groups or [[]]):
            for i, uses in above[g]:
                made |= dict.fromkeys(uses, len(self.boxes))
                self.boxes.append(Box(trace, [i], [], [i]))
            if group:
                made |= dict.fromkeys(group, len(self.boxes))
                self.boxes.append(self._box(group, held[g], made))

    def _box(self, group: list[int], held: list[int], made: dict) -> Box:
        trace, inside = self.trace, {*group, *held}
        outside = [i for i in group if any(op not in inside for op, _ in self.users[i])]
        wires: dict[tuple, Wire] = {}
        for i in group:
            for slot, j in enumerate(trace._sources[i]):
                if j is not None and j not in inside:
                    source = made[i, slot] if (i, slot) in made else made[j]
                    each = len(group) == len(self.boxes[source].copies[0]) == 1  # x·x has two wires
                    key = source, slot if each else None
                    edges = wires.setdefault(key, Wire(trace, source, [[]])).copies[0]
                    edges += [k for k in trace._into[j] if trace._edges[k][:2] == (i, slot)]
        return Box(trace, group, held, outside or group[-1:], list(wires.values()))

    # Blocks of the same structure

    def _fold(self) -> None:
        """Make one block of those that follow one another and have the same structure."""
        before, self.boxes = self.boxes, []
        last_use = {wire.source: b for b, box in enumerate(before) for wire in box.wires}
        runs, new, start = self._alike(before), {}, 0
        while start < len(before):
            foldable = (
                (period * (run[start] // period + 1), period)
                for period, run in runs.items()
                if run[start] >= (ALIKE - 1) * period
            )
            closed = [option for option in foldable if self._closed(before, start, *option, last_use)]
            size, period = max(closed, default=(1, 1), key=lambda option: (option[0], -option[1]))
            first = len(self.boxes)
            for at in range(start, start + period):
                new |= dict.fromkeys(range(at, start + size, period), len(self.boxes))
                self.boxes.append(Box.of(before[at : start + size : period], new))
            if period > 1:
                self.frames.append(self._frame(range(first, len(self.boxes))))
            start += size

    def _alike(self, boxes: Sequence[Box]) -> dict[int, list[int]]:
        """Period → per box, how many in a row from it on look like the box one period later."""
        numbers: dict[tuple, int] = {}
        codes = np.array([numbers.setdefault(self._look(b, box), len(numbers)) for b, box in enumerate(boxes)])
        runs = {}
        for period in range(1, min(LONGEST, len(boxes) // ALIKE) + 1):
            runs[period] = run = [0] * (len(boxes) + 1)
            for b in np.flatnonzero(codes[:-period] == codes[period:])[::-1].tolist():
                run[b] = run[b + 1] + 1
        return runs

    def _look(self, b: int, box: Box) -> tuple:
        """What two boxes of the same structure share: ops, shapes, and how far before them their inputs are."""
        nodes = [self.trace[i] for i in (*box.copies[0], *box.held[0])]
        return (
            *((node.kind, node.op, node.shape) for node in nodes),
            *((b - wire.source, wire.carries) for wire in box.wires),
        )

    def _closed(self, boxes: Sequence[Box], start: int, size: int, period: int, last_use: dict[int, int]) -> bool:
        """Whether each block is computed from the one before it alone, and only the last one is used elsewhere."""
        end = start + size
        for b in range(start, end):
            before = start + ((b - start) // period - 1) * period
            if b >= start + period and any(wire.source < before for wire in boxes[b].wires):
                return False
            if b < end - period and last_use.get(b, 0) >= end:
                return False
        return True

    def _frame(self, places: range) -> Frame:
        boxes = [self.boxes[b] for b in places]
        edges = [k for box in boxes for wire in box.wires if wire.source not in places for k in wire.copies[0]]
        inside = {i for box in boxes for values in box.copies for i in values}
        last = [i for box in boxes for i in box.results[-1] if any(op not in inside for op, _ in self.users[i])]
        return Frame(places, len(boxes[0].copies), gain(self.trace, last, edges))
