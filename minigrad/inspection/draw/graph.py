"""The graph of a trace as a picture: `trace.draw()` and, without positions of the boxes, `trace.to_dot()`.

Values flow down, gradients up. The colour of a box shows its gain, by how much it lengthens the gradient; the width
of a line shows which share of the gradient at its upper end came back along it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import count, pairwise
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
from matplotlib.path import Path as Course

from minigrad.inspection import text
from minigrad.inspection.draw.boxes import Box, Wire
from minigrad.inspection.draw.layout import BELOW, layout
from minigrad.inspection.draw.paper import Path, Picture
from minigrad.inspection.draw.view import GraphView
from minigrad.inspection.draw.words import arrow, columns, label, lines_of, shortened, tooltip
from minigrad.inspection.trace import Trace

SIZE, LINE, LETTER, MARGIN = 11.0, 15.0, 7.0, 9.0  # font size, line height, letter width, padding of a box
BLUE, RED, GREY, INK, FAINT = "#6FA8D6", "#EF8A62", "#E4E4E4", "#222222", "#BBBBBB"
HOW_TO_READ = (
    "How to read: values flow down, gradients up. A box shows value │ gradient, for an array the root mean square; "
    "— means that none was computed, 0 is exactly zero. gain = ‖gradient that the box sends up‖/‖gradient that arrives "
    "at it‖: blue ▼ shortens it, white keeps it, red ▲ lengthens it, grey has no gain. The wider a line, the larger "
    "its share of the gradient at its upper end (in percent, unless the line is the only one); it is dashed if exactly "
    "zero came along it, pale if no gradient did. ×n stands for n blocks or steps of one kind, first … last."
)


class Scene(NamedTuple):
    """All that is drawn, with its position; matplotlib and SVG draw it in this order."""

    title: str
    frames: list[tuple[float, float, float, float, str]]  # left, top, width, height, label
    wires: list[tuple[Wire, list[tuple[float, float]]]]
    boxes: list[tuple[Box, float, float, float, float, list[str]]]
    caption: list[str]
    width: float
    height: float


def scene(trace: Trace, zoom: str) -> Scene:
    view = GraphView(trace, zoom)
    texts = [lines_of(box) for box in view.boxes]
    sizes = [(LETTER * max(map(columns, lines)) + 2 * MARGIN, LINE * len(lines) + MARGIN) for lines in texts]
    placed = layout(sizes, [[wire.source for wire in box.wires] for box in view.boxes])
    width = max(placed.width + 40, 560.0)
    left, top = (width - placed.width) / 2, 44.0
    boxes = [
        (box, left + x, top + y, *size, lines)
        for box, (x, y), size, lines in zip(view.boxes, placed.corners, sizes, texts, strict=True)
    ]
    wires = [
        (wire, [(left + x, top + y) for x, y in placed.courses[b, k]])
        for b, box in enumerate(view.boxes)
        for k, wire in enumerate(box.wires)
    ]
    frames = []
    for frame in view.frames:
        inside = [boxes[b] for b in frame.boxes]
        x, y = (min(box[axis] for box in inside) - 14 for axis in (1, 2))
        right, bottom = (max(box[axis] + box[axis + 2] for box in inside) + 14 for axis in (1, 2))
        over_all = f"×{frame.repeats}, gain over all {text.fixed(frame.gain)} {arrow(frame.gain)}".rstrip()
        frames.append((x, y, right - x, bottom - y, over_all))
        width = max(width, right + LETTER * len(over_all) + 20)
    last = shortened(view.nodes[-1].symbol)
    title = f"{last} and its gradients: {len(view.nodes)} values, {len(view.edges)} products"
    caption = textwrap.wrap(HOW_TO_READ, int(width / LETTER) - 4)
    return Scene(title, frames, wires, boxes, caption, width, top + placed.height + LINE * len(caption) + 40)


def colour(box: Box) -> str:
    """White for a gain of 1, full blue from a tenth down, full red from ten up, grey without a gain."""
    if box.gain is None or np.isnan(box.gain):
        return GREY
    with np.errstate(divide="ignore"):
        strength = float(np.clip(np.log10(box.gain), -1, 1))
    end = BLUE if strength < 0 else RED
    parts = (round(255 + (int(end[k : k + 2], 16) - 255) * abs(strength)) for k in (1, 3, 5))
    return "#" + "".join(f"{part:02X}" for part in parts)


def style(wire: Wire) -> tuple[float, str, bool]:
    """Width, colour, and whether it is dashed."""
    if not wire.carries:
        return 0.8, FAINT, False
    shares = np.abs(np.nan_to_num(wire.shares))
    return 0.8 + 2.7 * min(float(np.mean(shares)), 1.0), INK if not wire.is_zero else "#777777", wire.is_zero


def curve(points: list[tuple[float, float]]) -> Iterator[tuple]:
    """Pieces of a smooth line that leaves and enters each point straight down: two handles and an end."""
    for (x0, y0), (x1, y1) in pairwise(points):
        half = (y0 + y1) / 2
        yield (x0, half), (x1, half), (x1, y1)


def labels(s: Scene) -> Iterator[tuple[str, float, float, float]]:
    """Every share, its position and width: beside the line's first bend, on the side it turns to, where it is free."""
    taken: list[tuple[float, float, float]] = []
    for wire, points in s.wires:
        share = label(wire)
        if not share:
            continue
        (x0, y0), (x1, y1) = points[1:3]
        width = LETTER * len(share)
        if y1 - y0 > BELOW:  # the line goes on behind many rows: just below where it starts
            x1, y1 = x0, y0 + BELOW
        side, middle = 1 if x1 > x0 else -1, (x0 + x1) / 2
        start = middle + 4 if side > 0 else middle - 4 - width
        spots = ((start + k * side * width, (y0 + y1) / 2 + 4 + down) for k in count() for down in (0, -LINE, LINE))
        for x, y in spots:
            if not any(a - width < x < a + other and abs(y - b) < LINE for a, b, other in taken):
                break
        taken.append((x, y, width))
        yield share, x, y, width


def draw_graph(trace: Trace, path: Path = None, ax: Axes | None = None, zoom: str = "layer") -> Figure:
    """The graph as a matplotlib figure, scaled to `ax` if there is one."""
    s = scene(trace, zoom)
    if ax is None:
        dpi = min(120.0, 72 * 2**15 / max(s.width, s.height), 72 * (3e7 / s.width / s.height) ** 0.5)  # lower if huge
        ax = Picture(figsize=(s.width / 72, s.height / 72), dpi=dpi).add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, s.width), ylim=(s.height, 0), aspect="equal")
    ax.set_axis_off()
    area = ax.get_window_extent()
    point = min(area.width / s.width, area.height / s.height) * 72 / ax.figure.dpi  # points per unit

    def write(x: float, y: float, lines: str, **style: object) -> None:
        font = {"family": "DejaVu Sans Mono", "size": SIZE * point, "color": INK, "parse_math": False}
        ax.text(x, y, lines, **font, va="baseline", **style)

    def box(x: float, y: float, width: float, height: float, **style: object) -> None:
        ax.add_patch(FancyBboxPatch((x, y), width, height, mutation_aspect=1, **style))

    write(20, 24, s.title, weight="bold")
    for x, y, width, height, words in s.frames:
        box(x, y, width, height, boxstyle="round,pad=0,rounding_size=8", fc="#F7F7F7", ec="#999999", ls=":", lw=point)
        write(x + width + 6, y + LINE, words, weight="bold")
    for wire, points in s.wires:
        wide, ink, dashed = style(wire)
        handles = [place for piece in curve(points) for place in piece]
        course = Course([points[0], *handles], [Course.MOVETO, *[Course.CURVE4] * len(handles)])
        ax.add_patch(PathPatch(course, fill=False, lw=wide * point, ec=ink, ls="--" if dashed else "-", gid="wire"))
        x, y = points[-1]
        ax.add_patch(Polygon([(x, y), (x - 3.5, y - 7), (x + 3.5, y - 7)], color=ink, lw=0))
    for b, x, y, width, height, lines in s.boxes:
        corners = f"round,pad=0,rounding_size={8 if b.is_leaf else 2}"
        for d in (6, 3) if b.repeats > 1 else ():
            box(x + d, y + d, width, height, boxstyle=corners, fc="white", ec=INK, lw=0.8 * point)
        box(x, y, width, height, boxstyle=corners, fc=colour(b), ec=INK, lw=0.8 * point, gid="box")
        for k, line in enumerate(lines):
            write(x + MARGIN, y + LINE * (k + 1), line, weight="bold" if k == 0 else "normal")
    for share, x, y, _ in labels(s):
        write(x, y, share, bbox={"fc": "white", "ec": "none", "alpha": 0.8, "pad": 0.5})
    for k, line in enumerate(s.caption):
        write(20, s.height - LINE * (len(s.caption) - k), line, gid="how to read")
    if path is not None:
        ax.figure.savefig(path)
    return ax.figure


def to_dot(trace: Trace, zoom: str = "layer") -> str:
    """The graph in the language of Graphviz, which places the boxes itself."""
    view = GraphView(trace, zoom)
    out = [
        "digraph {",
        '  node [shape=box style=filled fontname="DejaVu Sans Mono" fontsize=10]',
        "  edge [fontsize=9]",
    ]
    for b, box in enumerate(view.boxes):
        lines = "".join(f"{quoted(line)}\\l" for line in lines_of(box))
        out.append(f'  n{b} [label="{lines}" fillcolor="{colour(box)}" tooltip="{quoted(tooltip(box))}"]')
    for f, (places, repeats, gain) in enumerate(view.frames):
        over_all = f'label="×{repeats}, gain over all {text.fixed(gain)}"'
        out.append(f"  subgraph cluster{f} {{ {over_all} {' '.join(f'n{b}' for b in places)} }}")
    for b, box in enumerate(view.boxes):
        for wire in box.wires:
            wide, ink, dashed = style(wire)
            look = f'penwidth={wide:.2f} color="{ink}"{" style=dashed" if dashed else ""}'
            out.append(f'  n{wire.source} -> n{b} [{look} label="{label(wire)}"]')
    return "\n".join([*out, "}", ""])


def quoted(line: str) -> str:
    return line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
