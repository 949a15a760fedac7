"""A gradient split by the length of the paths that it came on.

- `trace.by_path_length(to=x, count="activation")`: what came through no activation, through one, through two …

The backward walk carries a polynomial in place of each gradient: the k-th coefficient is the part that came
through k counted edges. A counted edge raises all powers by one, and where paths meet, polynomials add.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from itertools import groupby
from typing import Any

import numpy as np

from minigrad.arrays import length
from minigrad.inspection import text
from minigrad.inspection.chain import lost
from minigrad.inspection.display import picture
from minigrad.inspection.factors import share
from minigrad.inspection.local import widened
from minigrad.inspection.parts import Edge, TraceNode
from minigrad.inspection.trace import Trace
from minigrad.inspection.ways import Many, along
from minigrad.printed import Printed

ROWS = 12  # the most that a table has


def by_path_length(self: Trace, to: Any, count: str | Callable[[Edge], bool] | None = None) -> PathLengths:
    """The gradient at `to`, split by the length of the paths it comes on; the parts add up to it.

    Paths are summed exactly and in float64, however many there are, and whether they cancel or not (Veit et al.,
    2016, sampled some and multiplied by their number). The cost is at most one backward pass per length. The graph
    is always the one with fused ops opened.

    Parameters
    ----------
    to : Tensor, str, int or TraceNode
    count : str or callable, optional
        Which edges count 1: all (None), those out of nodes of one kind ("activation") or of the modules that
        a pattern matches ("blocks.*"), or those for which a function `(edge) -> bool` is true. The rest count 0.

    Raises
    ------
    KeyError
        If `count` is neither a kind nor the path of a module in this trace.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = h = mg.tensor(0.5, requires_grad=True, name="x")
    >>> for _ in range(3):
    ...     h = h + mg.tanh(h)
    >>> parts = mg.trace(h).by_path_length(to=x, count="activation")
    >>> print(parts)  # doctest: +ELLIPSIS
    ∂L/∂x by path length, counting edges of kind activation: 8 paths
    length  paths    ‖part‖  share of ∂L/∂x
         0      1  1.00e+00           34.5%  ███████████████
         1      3  1.35e+00           46.7%  ████████████████████
         2      3  5.01e-01           17.3%  ███████
         3      1  4.31e-02            1.5%  █
    Σ parts = ∂L/∂x to ... ✓
    >>> parts.counts
    {0: 1, 1: 3, 2: 3, 3: 1}
    """
    trace = self.opened()
    target = trace.target(to)
    counts, words = counting(trace, count)
    gradient, one = Many({0: widened(trace.seed)}), Many({0: 1})
    (parts,) = along(trace[-1], gradient, [target], lambda edge, g: g.through(edge.local.pullback(), counts(edge)))
    (paths,) = along(trace[-1], one, [target], lambda edge, n: n.through(int, counts(edge)))
    return PathLengths(parts, paths, target, words)


def counting(trace: Trace, count: str | Callable[[Edge], bool] | None) -> tuple[Callable[[Edge], bool], str]:
    """A function that says whether an edge counts, and the same in words."""
    if count is None:
        return lambda edge: True, "every edge"
    if callable(count):
        return lambda edge: bool(count(edge)), "the chosen edges"
    if not isinstance(count, str):
        raise TypeError(f"by_path_length: count is a kind, a pattern of modules or a function of edges, not {count!r}")
    kinds, scopes = {node.kind for node in trace.nodes}, {node.scope for node in trace.nodes} - {""}
    if count in kinds:
        return lambda edge: edge.output.kind == count, f"edges of kind {count}"
    modules = count.removesuffix("/*")  # "blocks.0/*" is how a trace is asked for the nodes of a module
    if any(fnmatchcase(scope, modules) for scope in scopes):
        return lambda edge: fnmatchcase(edge.output.scope, modules), f"edges in {count}"
    near = text.near(count, sorted(kinds | scopes))
    raise KeyError(f"by_path_length: {count!r} is no kind and no module in this trace; {near}")


class PathLengths(Printed, dict):
    """Length → the part of a gradient that comes on paths of this length, shortest first.

    Attributes
    ----------
    counts : dict
        Length → how many paths there are.
    target : TraceNode
        The vertex whose gradient was split, in a trace with its fused ops opened.
    counted : str
        What makes a path longer, in words.
    """

    def __init__(self, parts: dict, counts: dict, target: TraceNode, counted: str) -> None:
        super().__init__((n, np.asarray(part)) for n, part in sorted(parts.items()))
        self.counts = dict(sorted(counts.items()))
        self.target = target
        self.counted = counted

    def plot(self, path: Any = None, ax: Any = None) -> Any:
        """Draw the shares as bars: a matplotlib Figure, also written to `path`."""
        return picture("path_lengths")(self, path, ax)

    def __str__(self) -> str:
        gradient = self.target.derivative
        groups = self._groups()
        parts = [sum(self[n] for n in group) for group in groups]
        shares = [share(part, self.target.grad) for part in parts]
        rows = [("length", "paths", "‖part‖", f"share of {gradient}", "")]
        for group, part, fraction, bar in zip(groups, parts, shares, text.bars(shares), strict=True):
            label = f"{group[0]}–{group[-1]}" if len(group) > 1 else str(group[0])
            paths = text.integer(sum(self.counts[n] for n in group))
            rows.append((label, paths, text.scientific(length(part)), text.percent(fraction), bar + self._end(group)))
        head = f"{gradient} by path length, counting {self.counted}: {text.paths(sum(self.counts.values()))}"
        return "\n".join([head, text.table(rows, ">>>><"), self._check()])

    def _end(self, group: list[int]) -> str:
        """What the shortest or the longest paths bring alone, if their row holds other lengths too."""
        end = group[-1] if group[-1] == max(self) else group[0]
        if len(group) == 1 or end not in (min(self), max(self)):
            return ""
        return f"  {end} alone: {text.scientific(length(self[end]))}, {text.paths(self.counts[end])}"

    def _groups(self) -> list[list[int]]:
        """The lengths in each row: one by one where much of the gradient comes in, grouped where little does."""
        if len(self) <= ROWS:
            return [[n] for n in self]
        norms = np.array([length(part) for part in self.values()])
        with np.errstate(all="ignore"):  # each row gets an equal share of the sum of all norms
            rows = np.nan_to_num(ROWS * (np.cumsum(norms) - norms / 2) // norms.sum())
        row_of = dict(zip(self, np.minimum(rows, ROWS - 1), strict=True))
        return [list(group) for _, group in groupby(self, key=row_of.__getitem__)]

    def _check(self) -> str:
        scale = length(self.target.grad)
        if what := lost(scale):
            return f"{self.target.derivative} is {what}: there is nothing to compare"
        agreement = text.agreement(self.target.check(list(self.values())), self.target.grad.dtype)
        return f"Σ parts = {self.target.derivative} {agreement}"
