"""A gradient as a product: the local derivatives between the output and one value, in a row.

- `trace.chain(to=w)`: its factors, how much each lengthens or shortens the gradient, and what is left.
- `chain.ledger()`: the same in decades, told apart by cause.

Where the graph branches, the factors lie between the vertices that every path passes; what happens between
two of them is a sum, and each branch has its share in it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from functools import cached_property
from typing import Any

import numpy as np

from minigrad.inspection import text
from minigrad.inspection.ledger import Ledger
from minigrad.inspection.parts import Edge, TraceNode
from minigrad.inspection.trace import Trace


class Chain:
    """The product of local derivatives from the output of a trace down to one vertex.

    Parameters
    ----------
    trace : Trace
    target : TraceNode
        Whose gradient is written as a product.
    use : int, optional
        Follow only this one of the uses of the target, counted in backward order.
    norm : str
        "l2" (‖g‖, telescopes to the norm of the gradient) or "rms" (‖g‖/√n, free of the width).

    Attributes
    ----------
    factors : list of Factor
        From the output to the target. A step that passes the gradient on unchanged (adding a bias) is none.
    gains, running, decades : ndarray
        Per factor ‖gradient after‖/‖gradient before‖, the product of the gains so far, and its log10.
    product : ndarray
        All factors applied to the seed, anew: the gradient that this chain brings to the target.

    Raises
    ------
    ValueError
        If the target has no gradient, or the output does not depend on it.
    """

    def __init__(self, trace: Trace, target: TraceNode, use: int | None = None, norm: str = "l2") -> None:
        if norm not in ("l2", "rms"):
            raise ValueError(f"chain: norm is 'l2' or 'rms', not {norm!r}")
        if target.grad is None:
            wish = (
                "make it with requires_grad=True" if target.kind == "constant" else "the output does not depend on it"
            )
            raise ValueError(f"chain: {target.name} has no gradient; {wish}")
        self.trace = trace
        self.target = target
        self.norm = norm
        self.edges = edges_between(trace, target, use)
        self.factors = [factor for factor in segments(self.edges, target) if not factor.passes_on]
        lengths = [self._length(trace.seed), *(self._length(factor.gradient) for factor in self.factors)]
        with np.errstate(divide="ignore", invalid="ignore"):  # behind a gradient of exactly 0 a gain is undefined
            self.gains = np.divide(lengths[1:], lengths[:-1])
            self.running = np.divide(lengths[1:], lengths[0])
            self.decades = np.log10(self.running)
        for factor, gain in zip(self.factors, self.gains, strict=True):
            factor.gain = float(gain)

    def _length(self, g: np.ndarray) -> float:
        return text.norm(g) / (max(g.size, 1) ** 0.5 if self.norm == "rms" else 1)

    @cached_property
    def product(self) -> np.ndarray:
        arrived: dict[int, Any] = {self.trace.vertex(-1).index: self.trace.seed}
        for edge in self.edges:  # in backward order: what arrives at a vertex is complete before it is used
            part = edge.local.vjp(arrived[edge.output.index])
            at = edge.input.index
            arrived[at] = arrived[at] + part if at in arrived else part
        return arrived[self.target.index]

    def ledger(self) -> Ledger:
        """Where the decades went: per layer and in sum."""
        return Ledger(self.factors)

    def __len__(self) -> int:
        return len(self.factors)

    @property
    def symbols(self) -> list[str]:
        """The product as it is written, from the target (left) to the output."""
        return [factor.symbol for factor in reversed(self.factors)]

    def text(self, show: str = "folded") -> str:
        """The chain as a table; `show="all"` prints every step of a long one."""
        if show not in ("folded", "all"):
            raise ValueError(f"chain: show is 'folded' or 'all', not {show!r}")
        head = ("step", "factor", "formula", "shape", "actual", "expected", "max", "‖g‖", "running", "decades")
        rows = [head, *(self._row(k) for k in range(len(self)))]
        lines = text.table(rows, "><<<>>>>>>").split("\n")
        symbols = self.symbols
        if show == "folded" and len(self) > 12:
            lines[5:-4] = [f"   …  {len(self) - 8} steps folded (show='all')"]
            symbols[5:-3] = ["…"]
        return "\n".join(
            [f"{self._derivative} = {' · '.join(symbols) or '1'}", *lines, str(self.ledger()), self._check()]
        )

    def _row(self, k: int) -> tuple[str, ...]:
        factor = self.factors[k]
        local = factor.local
        small = local is not None and (local.kind != "linear" or local.shape[0] * local.shape[1] <= 10_000)
        spread = [text.fixed(local.expected_gain), text.fixed(local.max_gain)] if small else ["", ""]
        return (
            str(k),
            factor.symbol,
            factor.formula,
            factor.size,
            text.fixed(self.gains[k]),
            *spread,
            text.scientific(text.norm(factor.gradient)),
            text.scientific(self.running[k]),
            text.signed(self.decades[k]),
        )

    @property
    def _derivative(self) -> str:
        return f"∂{self.trace.vertex(-1).name}/∂{self.target.name}"

    def _check(self) -> str:
        """The product multiplied out again, against the gradient that the walk brought."""
        gradient = self.factors[-1].gradient if self.factors else self.trace.seed
        scale = text.norm(gradient)
        if scale == 0:
            return "check   the gradient is exactly 0: there is nothing to compare"
        error = text.norm(self.product - gradient) / scale
        exactly = f"to {error:.0e}" if error else "to the last bit"
        mark = "✓" if error <= np.sqrt(np.finfo(gradient.dtype).eps) else "✗"
        return (
            f"check   the factors multiplied out = ∂{self.trace.vertex(-1).name}/∂{self.target.name} {exactly} {mark}"
        )

    def __str__(self) -> str:
        return self.text()


def edges_between(trace: Trace, target: TraceNode, use: int | None) -> list[Edge]:
    """The products on any path from the output to the target, in backward order."""
    uses = trace._into[target.index]
    if use is not None and not -len(uses) <= use < len(uses):
        raise ValueError(f"chain: {target.name} is used {len(uses)} times, there is no use {use}")
    found = set(uses if use is None else [uses[use]])
    stack, seen = list(found), {target.index}
    while stack:
        user = trace._edges[stack.pop()][0]
        if user not in seen:
            seen.add(user)
            found.update(trace._into[user])
            stack.extend(trace._into[user])
    return [Edge(trace, k) for k in sorted(found)]


def cut_vertices(edges: list[Edge], target: TraceNode) -> list[TraceNode]:
    """The vertices that every path passes, from the output to the target.

    Walking back, the edges that were left and not yet arrived at are the front; where nothing but one
    vertex is left of it, all paths meet.
    """
    arriving: dict[int, int] = defaultdict(int)
    leaving: dict[int, int] = defaultdict(int)
    for edge in edges:
        leaving[edge.output.index] += 1
        arriving[edge.input.index] += 1
    open_edges, cuts = 0, []
    for i in sorted({*arriving, *leaving, target.index}, reverse=True):
        open_edges -= arriving[i]
        if open_edges == 0:
            cuts.append(TraceNode(target.trace, i))
        open_edges += leaving[i]
    return cuts


def segments(edges: list[Edge], target: TraceNode) -> list[Factor]:
    """The factors between neighbouring cut vertices, from the output to the target."""
    cuts = cut_vertices(edges, target)
    between: dict[int, list[Edge]] = {cut.index: [] for cut in cuts}
    ends = sorted(between)
    for edge in edges:  # it belongs to the cut vertex at or below its input
        between[ends[bisect_right(ends, edge.input.index) - 1]].append(edge)
    return [Factor(lower, between[lower.index]) for lower in cuts[1:]]


class Factor:
    """What lies between two neighbouring cut vertices of a chain: one local derivative, or a sum of branches.

    Attributes
    ----------
    lower : TraceNode
        Where the factor takes the gradient to.
    gradient : ndarray
        What has arrived there.
    gain : float
        ‖gradient‖/‖gradient before‖.
    local : LocalJacobian or None
        None for a sum.
    branches : list of Branch
        The terms of a sum; empty for a single derivative.
    """

    gain = float("nan")

    def __init__(self, lower: TraceNode, edges: list[Edge]) -> None:
        self.lower = lower
        self.edges = edges
        self.last = [edge for edge in edges if edge.input == lower]
        parts = [edge.contribution for edge in self.last]
        self.gradient = parts[0] if len(parts) == 1 else np.sum(parts, axis=0)
        self.single = edges[0] if len(edges) == 1 else None
        self.local = self.single.local if self.single else None

    @property
    def passes_on(self) -> bool:
        return self.single is not None and self.single.symbol in ("I", "1")

    @property
    def kind(self) -> str:
        """What the factor does: activation, weight, norm, loss, skip (a sum of branches) …"""
        if self.single is None:
            return "skip"
        if self.single.output.kind == "weight" and self.single.input.kind == "parameter":
            return "input"
        return self.single.output.kind

    @cached_property
    def branches(self) -> list[Branch]:
        if self.single is not None:
            return []
        return [Branch(edge, path_to(edge, self.edges), self.gradient) for edge in self.last]

    @property
    def symbol(self) -> str:
        """As it is written in the product: diag(σ'(z1)), W2ᵀ, (I + W1ᵀ · diag(tanh'(z1)) · W2ᵀ)."""
        return in_chain(self.single) if self.single else f"({' + '.join(branch.symbol for branch in self.branches)})"

    @property
    def formula(self) -> str:
        if self.single is not None:
            return self.kind if self.kind in ("weight", "input") else self.single.formula
        return " + ".join(f"{100 * branch.share:.1f}%".replace("-", "−") for branch in self.branches)

    @property
    def size(self) -> str:
        """The matrix of one sample: units of a diagonal, rows × columns of a weight."""
        if self.local is not None and self.local.kind == "matrix":
            return text.by(self.local.matrix.T.shape)
        shape = self.gradient.shape
        return text.by(shape[1:] if self.kind == "activation" and len(shape) > 1 else shape)


class Branch:
    """One term of a sum: the part of the gradient that comes in through one edge.

    Attributes
    ----------
    share : float
        ⟨part, whole⟩/⟨whole, whole⟩: shares are signed and add up to 1; where branches cancel one exceeds 1.
    edges : list of Edge
        Every product on the way of this part, in backward order.
    """

    def __init__(self, last: Edge, edges: list[Edge], whole: np.ndarray) -> None:
        self.edges = edges
        part, whole = (np.asarray(g, dtype=np.float64).ravel() for g in (last.contribution, whole))
        scale = np.max(np.abs(whole), initial=0.0) or 1.0  # squares of tiny gradients underflow
        part, whole = part / scale, whole / scale
        self.share = float(part @ whole / (whole @ whole)) if whole.any() else float("nan")

    @property
    def symbol(self) -> str:
        outputs = [edge.output.index for edge in self.edges]
        if len(set(outputs)) < len(outputs):  # the branch branches again
            return f"∂{self.edges[0].output.name}/∂{self.edges[-1].input.name}"
        symbols = [in_chain(edge) for edge in reversed(self.edges)]
        return " · ".join(symbol for symbol in symbols if symbol not in ("I", "1")) or "I"


def path_to(last: Edge, edges: list[Edge]) -> list[Edge]:
    """Those of `edges` (in backward order) whose products end up in `last`."""
    found, wanted = [last], {last.output.index}
    for edge in reversed(edges):
        if edge.input.index in wanted:
            found.append(edge)
            wanted.add(edge.output.index)
    return found[::-1]


def in_chain(edge: Edge) -> str:
    """The symbol of an edge, marked as a diagonal matrix where it acts on each element of an array."""
    symbol = edge.symbol
    diagonal = edge.local.kind == "diagonal" and edge.upstream.size > 1 and not edge.local.passes_on
    return f"diag({symbol})" if diagonal else symbol
