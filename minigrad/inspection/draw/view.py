"""What a drawing of a trace shows, before the layout.

- zoom "op": a box for every value.
- zoom "layer": a box for what one module computes, with its parameters; three or more blocks of the same
  structure in a row are drawn as one, ×50, and so are the steps of a recurrence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from minigrad.inspection.draw.boxes import STATE, Box, Copy, Wire, gain, into_parameter
from minigrad.inspection.factors import loss_of
from minigrad.inspection.parts import TraceNode
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
        self.trace, self.nodes = trace, trace.nodes
        self.edges = {(edge.output.index, edge.slot): edge for edge in trace.edges()}  # by use
        self.inputs = [[(slot, j) for slot, j in enumerate(of) if j is not None] for of in trace._sources]
        self.users: dict[int, list[tuple[int, int]]] = defaultdict(list)  # value → its uses (op, slot)
        for i, inputs in enumerate(self.inputs):
            for slot, j in inputs:
                self.users[j].append((i, slot))
        self.boxes: list[Box] = []
        self.frames: list[Frame] = []
        ops = [node.index for node in self.nodes if node.op != "leaf"] or [0]  # 0: there is only a leaf
        self._draw([[i] for i in ops] if zoom == "op" else self._modules(ops))
        if zoom == "layer":
            self._fold()

    # From values to boxes

    def _modules(self, ops: Sequence[int]) -> list[list[int]]:
        """Groups of consecutive ops: those of one module or, outside modules, of a loss or a recurrence."""
        steps: set[int] = set()  # what leads to a state such as h[3]
        for i in reversed(ops):
            if not self.nodes[i].scope and (i in steps or STATE.fullmatch(self.nodes[i].symbol)):
                steps.update([i, *(j for _, j in self.inputs[i])])

        def module(i: int) -> Any:
            """What the op is a part of, or the op itself."""
            return self.nodes[i].scope or loss_of(self.trace, i) or ("steps" if i in steps else i)

        return [list(group) for _, group in groupby(ops, module)]

    def _draw(self, groups: list[list[int]]) -> None:
        """A box for each group, after boxes for the leaves that the group uses but does not hold."""
        home = {i: g for g, group in enumerate(groups) for i in group}
        held: dict[int, list[int]] = defaultdict(list)
        above: dict[int, list[tuple[int, list]]] = defaultdict(list)  # group → leaves with their uses
        for leaf in (i for i in range(len(self.nodes)) if i not in home):
            uses, edges = self.users[leaf], self.nodes[leaf].incoming
            if edges and all(into_parameter(edge) and len(groups[home[edge.output.index]]) > 1 for edge in edges):
                for group in dict.fromkeys(home[op] for op, _ in uses):
                    held[group].append(leaf)
            else:
                for together in [[use] for use in uses] if len(uses) > USES else [uses]:
                    above[home[together[0][0]]].append((leaf, together))
        sources: dict[tuple[int, int], int] = {}  # use of a value → the box that it comes from
        for g, group in enumerate(groups):
            for leaf, uses in above[g]:
                sources |= dict.fromkeys(uses, len(self.boxes))
                self.boxes.append(self._box([leaf], [], sources))
            sources |= dict.fromkeys((use for i in group for use in self.users[i]), len(self.boxes))
            self.boxes.append(self._box(group, held[g], sources))

    def _box(self, group: list[int], held: list[int], sources: dict[tuple[int, int], int]) -> Box:
        inside = {*group, *held}
        wires: dict[tuple, Wire] = {}
        for i in group:
            for slot, j in self.inputs[i]:
                if j not in inside:
                    source = sources[i, slot]
                    each = len(group) == len(self.boxes[source].copies[0].values) == 1  # x·x has two wires
                    wire = wires.setdefault((source, slot if each else None), Wire(source, [[]]))
                    if (i, slot) in self.edges:
                        wire.copies[0].append(self.edges[i, slot])
        values, parameters = ([self.nodes[i] for i in of] for of in (group, held))
        results = self._used_outside(values, inside) or values[-1:]
        return Box([Copy(values, parameters, results)], list(wires.values()))

    def _used_outside(self, values: Iterable[TraceNode], inside: set[int]) -> list[TraceNode]:
        return [node for node in values if any(op not in inside for op, _ in self.users[node.index])]

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
        return (
            *((node.kind, node.op, node.shape) for node in (*box.copies[0].values, *box.copies[0].held)),
            *((b - wire.source, wire.carries) for wire in box.wires),
        )

    def _closed(self, boxes: Sequence[Box], start: int, size: int, period: int, last_use: dict[int, int]) -> bool:
        """Whether each block is computed from the one before it alone, and only the last one is used elsewhere."""
        end = start + size
        second = boxes[start + period : start + 2 * period]  # the others are like it
        chained = all(wire.source >= start for box in second for wire in box.wires)
        return chained and all(last_use.get(b, 0) < end for b in range(start, end - period))

    def _frame(self, places: range) -> Frame:
        boxes = [self.boxes[b] for b in places]
        edges = [edge for box in boxes for wire in box.wires if wire.source not in places for edge in wire.copies[0]]
        inside = {node.index for box in boxes for copy in box.copies for node in copy.values}
        last = self._used_outside((node for box in boxes for node in box.copies[-1].results), inside)
        return Frame(places, len(boxes[0].copies), gain(last, edges))
