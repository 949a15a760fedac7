"""What is written into the boxes of a graph: titles, value │ gradient, gains, and tooltips with the formulas."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import chain

import numpy as np

from minigrad.arrays import length
from minigrad.inspection import text
from minigrad.inspection.draw.boxes import Box, Wire, mean
from minigrad.inspection.factors import loss_of
from minigrad.inspection.names import array_name
from minigrad.inspection.parts import TraceNode

NUMBERS = 16  # an array of up to this many elements is written out


def lines_of(box: Box) -> list[str]:
    """The title of a box, under it values │ gradients, and the gain."""
    lines = [title(box)]
    if len(box.copies[0].values) > 1:
        rows = [("", "", "value", "grad"), *map(row, rows_of(box))]
        lines += text.table([(*cells, f"│ {grad}") for *cells, grad in rows], "<<><").split("\n")
    elif len(box.copies) == 1 and 1 < box.last[0].value.size <= NUMBERS:
        lines += in_numbers(box.last[0])
    else:
        _, shape, value, grad = row(box.last)
        head = "data" if shape == "1" else f"{shape}  rms"
        lines.append(f"{head} {value} │ grad {grad}")
    if box.decay:
        ratio, step = map(text.fixed, box.decay)
        h = span([node.symbol for node in box.states["h", 1]])
        lines.append(f"grad of {h}: ratio {ratio}, ×{step} per step {arrow(box.gain)}")
    elif not box.is_leaf:
        few = " and ".join(map(gains_in_words, box.gains)) or "—"
        many = f"at most {text.fixed(box.gain)} along {len(box.gains)} lines"
        lines.append(f"gain {few if len(box.gains) <= 3 else many} {arrow(box.gain)}")
    return [shortened(line.rstrip()) for line in lines]


def title(box: Box) -> str:
    times = f"  ×{box.repeats}" if box.repeats > 1 else ""
    if len(box.copies[0].values) > 1:
        return span([node.scope or outside_modules(node) for node in box.last]) + times
    op = "" if box.is_leaf else f" = {box.last[0].op if times else call(box.last[0])}"
    return span([node.symbol for node in box.last]) + op + times


def outside_modules(node: TraceNode) -> str:
    """What stands over several values that no module computed: L = cross_entropy, or a recurrence."""
    loss = loss_of(node.trace, node.index)
    return f"{node.symbol} = {loss.op.name}" if loss else "recurrence"


def rows_of(box: Box) -> list[list[TraceNode]]:
    """The values that each line shows: states over time or results over repeats, then parameters."""
    results = [copy.results for copy in box.copies]
    rows = [chain(*results)] if len(results[0]) > 3 else zip(*results, strict=True)
    held = zip(*(copy.held for copy in box.copies), strict=True)
    return [[*dict.fromkeys(row)] for row in (*(box.states.values() or rows), *held)]


def row(nodes: Sequence[TraceNode]) -> tuple[str, str, str, str]:
    """Symbol, shape, value and gradient of the first and the last node; "—" where there is no gradient."""
    ends = [nodes[0], nodes[-1]]
    value = span([text.number(size(node.value)) for node in ends])
    grad = span([text.number(size(node.grad)) for node in ends])
    return span([node.symbol for node in ends]), text.shape(nodes[0].shape), value, grad


def size(x: np.ndarray | None) -> float | None:
    """A number as it is, an array by its root mean square."""
    return x if x is None else float(x.item()) if x.size == 1 else length(x) / max(x.size, 1) ** 0.5


def in_numbers(node: TraceNode) -> list[str]:
    """Every entry of a small array, and beside it of its gradient."""
    n = node.shape[-1] if 1 < node.shape[-1] <= 4 else 4
    values, grads = (
        [text.number(None if x is None else x.flat[k]) for k in range(node.value.size)] + [""] * (-node.value.size % n)
        for x in (node.value, node.grad)
    )
    rows = [[*values[k : k + n], "│", *grads[k : k + n]] for k in range(0, len(values), n)]
    return [f"{text.shape(node.shape)}  data │ grad", *text.table(rows, ">" * (2 * n + 1)).split("\n")]


def call(node: TraceNode) -> str:
    """The op with its operands: sigmoid(z1)."""
    names = []
    operands = zip(node.trace._sources[node.index], node.vertex.arrays, strict=True)
    for slot, (source, array) in list(enumerate(operands))[:4]:
        if source is not None:
            names.append(node.trace._symbols[source])
        elif np.ndim(array):
            names.append(array_name(node.trace, node.vertex, slot))
        else:
            names.append("—" if array is None else text.number(float(array)))
    return f"{node.op}({', '.join(names)}{', …' if len(node.vertex.inputs) > 4 else ''})"


def tooltip(box: Box) -> str:
    """The formulas: what was computed, and by what the gradient was multiplied on its way back."""
    nodes, rest = box.copies[0].values[:12], len(box.copies[0].values) - 12
    lines = [node.name if node.op == "leaf" else f"{node.symbol} = {call(node)}" for node in nodes]
    lines += [f"… {rest} more"] if rest > 0 else []
    for wire in box.wires:
        for edge in wire.copies[0][:3]:
            says_all = not edge.formula or edge.output.op == "multiply" or edge.local.declared is not None
            local = edge.symbol if says_all else f"{edge.symbol}: {edge.formula}"
            lines.append(f"to {edge.input.symbol}: upstream × {local}, gain {text.fixed(edge.gain)}")
    node = box.last[0]
    lines.append(f"{node.symbol}: ‖value‖ {text.number(length(node.value))} │ ‖grad‖ {text.number(node.norm)}")
    return "\n".join(shortened(line, 200) for line in lines)


def label(wire: Wire) -> str:
    """The share of a wire in the gradient at its source; empty if that is all of it, or if no gradient comes back."""
    return "" if not wire.carries or wire.is_all else span([text.percent(part) for part in wire.shares])


def gains_in_words(gains: Sequence[float | None]) -> str:
    ends = span([text.fixed(gain) for gain in gains])
    return f"{ends}, mean {text.fixed(mean(gains))}" if "…" in ends else ends


def span(items: Sequence[str]) -> str:
    """`first … last`, or one of them if they are equal."""
    return items[0] if items[0] == items[-1] else f"{items[0]} … {items[-1]}"


def arrow(gain: float | None) -> str:
    """The direction of a gain, for readers who do not see the colour."""
    if gain is None or not abs(gain - 1) >= 5e-4:  # also NaN
        return ""
    return "▲" if gain > 1 else "▼"


def shortened(line: str, most: int = 90) -> str:
    """A line of limited length, without control characters: names may be anything."""
    line = "".join(letter if letter.isprintable() else "�" for letter in line)
    return line if len(line) <= most else f"{line[: most - 1]}…"


def columns(line: str) -> int:
    """The width of a line in letters; a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in line)
