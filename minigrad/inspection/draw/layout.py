"""Where boxes go: in rows, each box below all it was computed from, with its inputs from left to right.

The method is that of Sugiyama, Tagawa and Toda (1981): a row for each length of the longest path, an order within
the rows that avoids crossings, then positions as close to the neighbours as the widths allow. It knows only the
sizes and numbers of boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

BESIDE, BELOW, PORT = 26.0, 44.0, 16.0  # between boxes of a row, between rows, between arrows into one box
BEND = 6.0  # the width of an arrow that passes a row
LONGEST = 12  # an arrow over more rows than this is drawn behind the boxes instead of around them
SWEEPS = 4

Point = tuple[float, float]


class Layout(NamedTuple):
    """Upper left corners of the boxes, the course of each arrow by (box, input), and the size of the whole."""

    corners: list[Point]
    courses: dict[tuple[int, int], list[Point]]
    width: float
    height: float


def layout(sizes: Sequence[tuple[float, float]], sources: Sequence[Sequence[int]]) -> Layout:
    """Place boxes of `sizes` (width, height); `sources`: per box the numbers of its inputs, all lower than its own."""
    rank = ranks(sources)
    rows, above, passed = with_bends(rank, sources)
    widths = [width for width, _ in sizes] + [BEND] * (len(above) - len(sizes))
    below: list[list[tuple[int, float]]] = [[] for _ in above]  # users, and where their input is: −½ left, ½ right
    for item, inputs in enumerate(above):
        for k, source in enumerate(inputs):
            below[source].append((item, (k + 1) / (len(inputs) + 1) - 0.5))
    arrange(rows, above, below)
    x = places(rows, above, below, widths)
    heights = [max(sizes[i][1] for i in row if i < len(sizes)) for row in rows]
    tops = [0.0, *accumulate(height + BELOW for height in heights)]
    corners = [(x[i] - widths[i] / 2, tops[rank[i]]) for i in range(len(sizes))]
    courses = {}
    for i, inputs in enumerate(sources):
        step = min(PORT, widths[i] / (len(inputs) + 1))
        for k, j in enumerate(inputs):
            port = x[i] + (k - (len(inputs) - 1) / 2) * step
            around = [(x[bend], tops[r] + y) for bend, r in passed.get((i, k), []) for y in (0, heights[r])]
            start = [(x[j], tops[rank[j]] + sizes[j][1]), (x[j], tops[rank[j]] + heights[rank[j]])]
            courses[i, k] = [*start, *around, (port, tops[rank[i]])]
    return Layout(corners, courses, max(x[i] + widths[i] / 2 for i in range(len(x))), tops[-1] - BELOW)


def ranks(sources: Sequence[Sequence[int]]) -> list[int]:
    """The row of each box, from the longest path that leads from it, so that it stands right above its first use."""
    steps = [0] * len(sources)
    for i in reversed(range(len(sources))):
        for j in sources[i]:
            steps[j] = max(steps[j], steps[i] + 1)
    last = max(steps)
    return [last - n for n in steps]


def with_bends(rank: Sequence[int], sources: Sequence[Sequence[int]]) -> tuple:
    """The rows, the inputs of each item one row above it, and the bends: an item in each row that an arrow passes."""
    rows: list[list[int]] = [[] for _ in range(max(rank) + 1)]
    for i, r in enumerate(rank):
        rows[r].append(i)
    above: list[list[int]] = [[] for _ in rank]
    passed: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for i, inputs in enumerate(sources):
        for k, j in enumerate(inputs):
            if rank[i] - rank[j] > LONGEST:
                continue
            for r in range(rank[j] + 1, rank[i]):
                passed.setdefault((i, k), []).append((len(above), r))
                rows[r].append(len(above))
                above.append([j])
                j = len(above) - 1
            above[i].append(j)
    return rows, above, passed


def arrange(rows: list[list[int]], above: Sequence, below: Sequence) -> None:
    """Sort the items of each row by the positions of their neighbours; finally by users, to keep inputs in order."""
    at = {item: float(k) for row in rows for k, item in enumerate(row)}

    def sort(row: list[int], keys: dict[int, float]) -> None:
        row.sort(key=lambda item: keys.get(item, at[item]))
        at.update((item, float(k)) for k, item in enumerate(row))

    for sweep in range(SWEEPS):
        for row in rows if sweep else ():
            sort(row, {i: sum(at[j] for j in above[i]) / len(above[i]) for i in row if above[i]})
        for row in reversed(rows):
            sort(row, {i: sum(at[j] + side for j, side in below[i]) / len(below[i]) for i in row if below[i]})


def places(rows: list[list[int]], above: Sequence, below: Sequence, widths: Sequence[float]) -> list[float]:
    """The centre of each item, as near to its neighbours as the order and the widths allow."""
    x = [0.0] * len(widths)
    weight = [1.0 if inputs else 1e-4 for inputs in above]  # leaves give way
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wishes = []
            for i in row:
                near = [(x[j], weight[j]) for j in above[i]] if sweep % 2 == 0 else []
                near += [(x[j], 1.0) for j, _ in below[i]] if sweep else []
                wishes.append(sum(place * w for place, w in near) / sum(w for _, w in near) if near else x[i])
            row_widths, row_weights = [widths[i] for i in row], [weight[i] for i in row]
            for i, place in zip(row, spread(wishes, row_widths, row_weights), strict=True):
                x[i] = place
    left = min(x[i] - widths[i] / 2 for i in range(len(x)))
    return [place - left for place in x]


def spread(wishes: Sequence[float], widths: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Centres as near to the wishes as they can be (least squares) in this order and without overlap."""
    starts = [0.0, *accumulate((a + b) / 2 + BESIDE for a, b in pairwise(widths))]
    pools: list[tuple[float, float, int]] = []  # mean, weight and number of neighbours that push each other
    for wish, start, weight in zip(wishes, starts, weights, strict=True):
        mean, n = wish - start, 1
        while pools and pools[-1][0] > mean:
            other, w, m = pools.pop()
            mean, weight, n = (mean * weight + other * w) / (weight + w), weight + w, n + m
        pools.append((mean, weight, n))
    shifts = (mean for mean, _, n in pools for _ in range(n))
    return [start + shift for start, shift in zip(starts, shifts, strict=True)]
