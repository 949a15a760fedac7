"""The paths that a gradient comes in on: the chain rule is a sum over them.

- `trace.count_paths(to=x)`: how many there are, exactly.
- `trace.paths(to=x, k=10)`: those that bring the most.

Both are the backward walk with something else in place of gradients: numbers of paths, or lists of the
strongest products so far.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from minigrad.arrays import length
from minigrad.inspection import text
from minigrad.inspection.factors import in_chain, share
from minigrad.inspection.local import widened
from minigrad.inspection.parts import Edge, TraceNode
from minigrad.inspection.trace import Trace
from minigrad.inspection.ways import along, edges_to
from minigrad.printed import Printed

EXACT = 10_000  # up to this many paths are all compared


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


class Path:
    """One way from the output of a trace down to a vertex, and the part of the gradient that comes on it.

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
        self.contribution = np.asarray(contribution)
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


class Paths(Printed, list):
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
        short = [shortened(path.symbols) for path in self]
        for k, (path, part) in enumerate(zip(self, shares, strict=True)):
            product = str(path) if short.count(short[k]) > 1 else short[k]  # in full if they would look alike
            rows.append((str(k + 1), text.scientific(path.norm), text.percent(part), product))
        head = f"the strongest {len(self)} of {text.paths(self.total)} ({how})"
        return f"{head}\n{text.table(rows, '>>><')}\ntogether {text.percent(sum(shares))} of {gradient}"


def shortened(symbols: list[str]) -> str:
    """A product without its middle, if it is long."""
    return " · ".join(symbols if len(symbols) <= 12 else [*symbols[:6], "…", *symbols[-4:]]) or "1"


def paths(self: Trace, to: Any, k: int = 10) -> Paths:
    """The `k` paths from the output to `to` that bring the most, the strongest first.

    Up to 10,000 paths are all compared. If there are more, a beam search keeps the 10·k strongest partial
    paths at each vertex. The norms of parts do not add up: paths may cancel.

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
        found = strongest(k, every_path(target))
    else:
        start = Beam([(length(self.seed), widened(self.seed), None)], 10 * k)
        (beam,) = along(self[-1], start, [target], lambda edge, beam: beam.through(edge))
        found = beam.partial[:k]
    return Paths([Path(listed(edges), g) for _, g, edges in found], target, total <= EXACT, total)


def strongest(most: int, partial: Iterable[tuple]) -> list[tuple]:
    """Of paths as (norm, product, edges) those of largest norm; one that is NaN comes first, not to be overlooked."""
    return heapq.nlargest(most, partial, key=lambda path: math.inf if math.isnan(path[0]) else path[0])


def every_path(target: TraceNode) -> Iterator[tuple]:
    """All paths, depth first: what two of them share from the output on is multiplied once."""
    trace = target.trace
    leaving: dict[int, list[tuple[Edge, Callable]]] = defaultdict(list)
    for edge in reversed(edges_to(trace, [target])):
        leaving[edge.output.index].append((edge, edge.local.pullback()))  # once for all paths
    stack: list[tuple] = [(trace[-1].index, widened(trace.seed), None)]
    while stack:
        vertex, g, edges = stack.pop()
        if vertex == target.index:
            yield length(g), g, edges
        else:
            stack += [(edge.input.index, pull(g), (edge, edges)) for edge, pull in leaving[vertex]]


def listed(edges: Any) -> list[Edge]:
    """(last, (the one before, …)) as a list in backward order; partial paths share these pairs."""
    found = []
    while edges:
        edge, edges = edges
        found.append(edge)
    return found[::-1]


class Beam:
    """The strongest partial paths down to one vertex, as (norm, product, edges); `+` keeps the strongest of both."""

    def __init__(self, partial: Iterable[tuple], width: int) -> None:
        self.partial = strongest(width, partial)
        self.width = width

    def __add__(self, other: Beam) -> Beam:
        return Beam(self.partial + other.partial, self.width)

    def through(self, edge: Edge) -> Beam:
        pull = edge.local.pullback()
        longer = ((pull(g), (edge, edges)) for _, g, edges in self.partial)
        return Beam(((length(g), g, edges) for g, edges in longer), self.width)
