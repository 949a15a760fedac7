"""The paths that a gradient comes in on: the chain rule is a sum over them.

- `trace.count_paths(to=x)`: how many there are, exactly.
- `trace.paths(to=x, k=10)`: those that bring the most.

Both are the backward walk with something else in place of gradients: numbers of paths, or lists of the
strongest products so far. `along` is that walk; the split by path length and Jacobians use it as well.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from operator import itemgetter
from typing import Any

import numpy as np

from minigrad.arrays import length
from minigrad.graph import walk
from minigrad.inspection import text
from minigrad.inspection.anomaly import watching
from minigrad.inspection.factors import in_chain, share
from minigrad.inspection.parts import Edge, TraceNode
from minigrad.inspection.trace import Trace

EXACT = 10_000  # so many paths are all looked at


def leading(trace: Trace, targets: Iterable[TraceNode], through: bool = True) -> dict[int, dict[int, Edge]]:
    """Vertex → slot → edge, for the edges that lead to `targets`; those that start at one only if `through`."""
    ends = {target.index for target in targets}
    leads = set(ends)
    found: dict[int, dict[int, Edge]] = defaultdict(dict)
    for k in range(len(trace._edges) - 1, -1, -1):  # forward: whether an input leads there is known
        output, slot, source, _ = trace._edges[k]
        if source in leads and (through or output not in ends):
            leads.add(output)
            found[output][slot] = Edge(trace, k)
    return found


def along(start: TraceNode, value: Any, targets: Sequence[TraceNode], step: Callable, through: bool = True) -> list:
    """What arrives at each of `targets` when the walk starts with `value` and `step(edge, value)` is sent on."""
    trace = start.trace
    ways = leading(trace, targets, through)

    def pull(node, value):
        edges = ways[trace._positions[node]]
        return [step(edges[slot], value) if slot in edges else None for slot in range(len(node.inputs))]

    ends = [target.vertex for target in targets]
    with watching(None):
        found = walk(trace._forward[::-1], {start.vertex: value}, pull, keep=set(ends), replaced=trace._replaced)
    return [found.get(end) for end in ends]


class Many:
    """Several values under numbers: the parts of a gradient by path length, the unit gradients of a Jacobian."""

    def __init__(self, parts: dict[int, Any]) -> None:
        self.parts = parts

    def __add__(self, other: Many) -> Many:
        parts = dict(self.parts)
        for number, part in other.parts.items():
            parts[number] = parts[number] + part if number in parts else part
        return Many(parts)

    def through(self, step: Callable[[Iterable], Iterable], higher: int = 0) -> Many:
        """What `step` makes of the values, under numbers that are so much higher."""
        parts = step(self.parts.values())
        return Many({number + higher: part for number, part in zip(self.parts, parts, strict=True)})


def integer(n: int) -> str:
    """2 118 760, and in powers of ten from ten million on."""
    return f"{n:,}".replace(",", " ") if n < 10**7 else f"{Decimal(n):.1e}"


def counted(paths: int) -> str:
    return f"{integer(paths)} path{'s' * (paths != 1)}"


# How many


def count_paths(self: Trace, to: Any) -> int:
    """How many paths lead from the output down to `to`: the terms that the chain rule sums.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = h = mg.tensor(0.1, requires_grad=True)
    >>> for _ in range(70):  # each block doubles them: around, or through the tanh
    ...     h = h + mg.tanh(h)
    >>> mg.trace(h).count_paths(to=x) == 2**70
    True
    """
    return along(self[-1], 1, [self.target(to)], lambda edge, paths: paths)[0]


# Which


class Path:
    """One way from the output of a trace down to a vertex, and what comes in on it.

    Attributes
    ----------
    edges : list of Edge
        In backward order.
    contribution : ndarray
        The product of their local derivatives, applied to the seed.
    norm : float
        ‖contribution‖.
    """

    def __init__(self, edges: list[Edge], contribution: np.ndarray) -> None:
        self.edges = edges
        self.contribution = contribution
        self.norm = length(contribution)

    @property
    def symbols(self) -> list[str]:
        """The factors from the target (left) to the output, without those that pass the gradient on unchanged."""
        return [in_chain(edge) for edge in reversed(self.edges) if not edge.passes_on]

    def __iter__(self) -> Iterator[Edge]:
        return iter(self.edges)

    def __str__(self) -> str:
        return " · ".join(self.symbols) or "1"

    def __repr__(self) -> str:
        return f"<Path of {len(self.edges)} edges: {self}>"


class Paths(list):
    """The strongest paths to a vertex, first the one with the largest ‖contribution‖.

    Attributes
    ----------
    target : TraceNode
    exact : bool
        True if all paths were compared; False if a beam search found these, so that stronger ones may exist.
    total : int
        How many paths there are.
    """

    def __init__(self, found: Iterable[Path], target: TraceNode, exact: bool, total: int) -> None:
        super().__init__(found)
        self.target = target
        self.exact = exact
        self.total = total

    def __str__(self) -> str:
        gradient = self.target.derivative
        how = "all compared" if self.exact else "by beam search: there may be stronger ones"
        shares = [share(path.contribution, self.target.grad) for path in self]
        rows = [("", "‖part‖", "share", f"{gradient} on this path")]
        for k, (path, part) in enumerate(zip(self, shares, strict=True)):
            symbols = path.symbols if len(path.symbols) <= 12 else [*path.symbols[:6], "…", *path.symbols[-4:]]
            rows.append((str(k + 1), text.scientific(path.norm), text.percent(part), " · ".join(symbols) or "1"))
        head = f"the strongest {len(self)} of {counted(self.total)} ({how})"
        return f"{head}\n{text.table(rows, '>>><')}\ntogether {text.percent(sum(shares))} of {gradient}"


def paths(self: Trace, to: Any, k: int = 10) -> Paths:
    """The `k` paths from the output to `to` that bring the most, the strongest first.

    Up to 10,000 paths are all compared. Beyond, a beam search keeps the 10·k strongest beginnings at each vertex.
    The norms of parts do not add up: paths may cancel.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.tensor(0.5, requires_grad=True, name="x")
    >>> print(mg.trace(x + mg.tanh(x)).paths(to=x))
    the strongest 2 of 2 paths (all compared)
         ‖part‖  share  ∂L/∂x on this path
    1  1.00e+00  56.0%  1
    2  7.86e-01  44.0%  tanh'(x)
    together 100.0% of ∂L/∂x
    """
    if k < 1:
        raise ValueError(f"paths: k must be at least 1, not {k}")
    target, total = self.target(to), self.count_paths(to)
    if total <= EXACT:
        found = heapq.nlargest(k, every_path(self[-1], target), key=lambda path: path.norm)
        return Paths(found, target, True, total)
    start = Beam([(length(self.seed), self.seed, None)], 10 * k)
    (beam,) = along(self[-1], start, [target], lambda edge, beam: beam.through(edge))
    return Paths([Path(listed(edges), g) for _, g, edges in beam.strongest[:k]], target, False, total)


def every_path(start: TraceNode, target: TraceNode) -> Iterator[Path]:
    """All paths, depth first: what two of them share is multiplied once."""
    ways = leading(start.trace, [target])
    stack: list[tuple] = [(start.index, start.trace.seed, None)]
    while stack:
        vertex, g, edges = stack.pop()
        if vertex == target.index:
            yield Path(listed(edges), g)
        else:
            stack += [(edge.input.index, edge.local.vjp(g), (edge, edges)) for edge in ways[vertex].values()]


def listed(edges: Any) -> list[Edge]:
    """(last, (the one before, …)) as a list in backward order; beginnings share these pairs."""
    found = []
    while edges:
        edge, edges = edges
        found.append(edge)
    return found[::-1]


class Beam:
    """The strongest beginnings of paths down to one vertex, as (norm, product, edges); `+` joins and cuts off."""

    def __init__(self, beginnings: Iterable[tuple], width: int) -> None:
        self.strongest = heapq.nlargest(width, beginnings, key=itemgetter(0))
        self.width = width

    def __add__(self, other: Beam) -> Beam:
        return Beam(self.strongest + other.strongest, self.width)

    def through(self, edge: Edge) -> Beam:
        local = edge.local
        products = [(local.vjp(g), (edge, edges)) for _, g, edges in self.strongest]
        return Beam([(length(g), g, edges) for g, edges in products], self.width)
