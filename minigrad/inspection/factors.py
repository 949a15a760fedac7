"""The factors of a chain: where all paths between the output and a target meet, and what lies between.

On the walk back from the output, the products that were sent and have not yet arrived are the *front*. Where
the whole front leads to one vertex, every path passes through it and the whole gradient arrives there: a cut.
Between two cuts lies one factor, a single local derivative or a sum of branches. In an LSTM the front never
narrows to one vertex, but to the state [h, c] of a time step: that pair counts as one. Inside an opened loss
there is no cut: a cross-entropy is the one factor (p − t)/B.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from itertools import groupby

import numpy as np

from minigrad.graph import Node
from minigrad.inspection import text
from minigrad.inspection.kinds import is_parameter, weight_slot
from minigrad.inspection.local import LocalJacobian
from minigrad.inspection.parts import Edge, TraceNode
from minigrad.inspection.trace import Trace
from minigrad.inspection.ways import path_to


def multiplied_out(edges: Sequence[Edge], seed: np.ndarray) -> dict[Edge, np.ndarray]:
    """What each of `edges` sends if there are no other edges and `seed` arrives at the first one's output."""
    arrived: dict[int, np.ndarray] = {}
    sent = {}
    for edge in edges:  # in backward order: what arrives at a vertex is complete before it is passed on
        sent[edge] = part = edge.local.vjp(arrived.get(edge.output.index, seed))
        at = edge.input.index
        arrived[at] = arrived[at] + part if at in arrived else part
    return sent


def factors_of(edges: Sequence[Edge], seed: np.ndarray) -> list[Factor]:
    """One factor for each pair of neighbouring cuts, from the output to the target."""
    parts = multiplied_out(edges, seed)
    factors: list[Factor] = []
    front: set[int] = set()
    between: list[Edge] = []
    for vertex, group in groupby(edges, key=lambda edge: edge.output):
        leaving = list(group)
        front.discard(vertex.index)
        front.update(edge.input.index for edge in leaving)
        between += leaving
        if is_cut(front, vertex.trace, edges[-1].input.index):
            if factors and any(node.index in front for node in factors[-1].lower):  # what left h reaches c, too: no cut
                between = factors.pop().edges + between
            upper = factors[-1].lower if factors else [edges[0].output]
            arriving = {edge: parts[edge] for edge in between if edge.input.index in front}
            factors.append(class_of(between, front)(upper, between, arriving))
            between = []
    return factors


def is_cut(front: set[int], trace: Trace, target: int) -> bool:
    """Whether the front leads to one vertex, or to the h and c of one time step, neither of them the target."""
    if len(front) == 1:
        (i,) = front
        loss = loss_of(trace, i)  # inside it there is no cut, unless the target is there, too
        return loss in (None, loss_of(trace, target)) or trace._replaced[loss] is trace._vertices[i]
    if len(front) != 2 or target in front:
        return False
    c, h = sorted((TraceNode(trace, i) for i in front), key=lambda node: node.name)
    return c.name.startswith("c[") and h.name == f"h{c.name[1:]}" and h.scope == c.scope


def loss_of(trace: Trace, i: int) -> Node | None:
    """The opened loss that a vertex is a part of, if there is one."""
    fused = trace._within.get(trace._vertices[i])
    return fused if fused is not None and fused.op.kind == "loss" else None


def class_of(edges: Sequence[Edge], lower: set[int]) -> type[Factor]:
    """Which kind of factor stands between two cuts; the lower one has the vertices `lower`."""
    if len(edges) == 1:
        return Derivative
    if len(lower) == 2:
        return Step
    fused = fused_around(edges)
    is_loss = fused is not None and fused.op.kind == "loss"
    return Loss if is_loss and loss_of(edges[0].trace, *lower) is not fused else Factor


def fused_around(edges: Sequence[Edge]) -> Node | None:
    """The opened fused op that contains all of these edges, if there is one."""
    within = {edge.trace._within.get(edge.output.vertex) for edge in edges}
    return within.pop() if len(within) == 1 else None


class Factor:
    """What lies between two neighbouring cuts of a chain: a sum of branches, unless it is a Derivative, Step or Loss.

    Attributes
    ----------
    upper, lower : list of TraceNode
        The two cuts, each of them one vertex, or h and c of an LSTM.
    edges : list of Edge
        All that lies between them, in backward order.
    gradient : ndarray
        What arrives at `lower` through the chain; for h and c, the two joined end to end.
    gain : float
        ‖gradient‖/‖gradient before‖.
    local : LocalJacobian or None
        None for a sum.
    branches : list of Branch
        The terms of a sum; empty for a single derivative.
    """

    gain = float("nan")

    def __init__(self, upper: list[TraceNode], edges: list[Edge], arriving: dict[Edge, np.ndarray]) -> None:
        self.upper = upper
        self.edges = edges
        self.arriving = arriving  # edge that leads to the lower cut → what it sends there
        self.lower = list(dict.fromkeys(edge.input for edge in arriving))
        self.local: LocalJacobian | None = edges[0].local if len(edges) == 1 else None
        self.fused = fused_around(edges)
        self.gradient = self._placed(arriving)

    def _placed(self, arriving: dict[Edge, np.ndarray]) -> np.ndarray:
        """What some of the arriving edges bring to each vertex of the lower cut."""
        sums = [
            sum((part for edge, part in arriving.items() if edge.input == vertex), np.zeros_like(vertex.value))
            for vertex in self.lower
        ]
        return sums[0] if len(sums) == 1 else np.concatenate([g.ravel() for g in sums])

    @property
    def passes_on(self) -> bool:
        return self.local is not None and self.edges[0].passes_on

    @property
    def kind(self) -> str:
        """What the factor does: activation, weight, norm, loss, skip (a sum of branches) …"""
        if self.fused is not None and self.fused.op.kind in ("norm", "loss"):
            return self.fused.op.kind  # all that BatchNorm or a loss was opened into
        if self.local is None:
            return "skip"
        edge, node = self.edges[0], self.edges[0].output.vertex
        if node.op.name == "multiply" and all(is_parameter(x) for x in node.inputs):
            return "weight"  # w·x with a gradient for both: each is the other's weight
        if edge.output.kind == "weight" and edge.slot == weight_slot(node):
            return "input"  # the last factor of a weight's chain: the input that the weight was multiplied with
        return edge.output.kind

    @property
    def name(self) -> str:
        """Where the factor leads to: z1, or [h, c][3]."""
        return state_name(self.lower)

    @cached_property
    def branches(self) -> list[Branch]:
        if self.local is not None:
            return []
        return [
            Branch(path_to(edge, self.edges), share(self._placed({edge: part}), self.gradient))
            for edge, part in self.arriving.items()
        ]

    @property
    def symbol(self) -> str:
        """As it is written in the product: diag(σ'(z1)), W2ᵀ, (I + W1ᵀ · diag(tanh'(z1)) · W2ᵀ)."""
        if self.is_long:
            return f"(sum of {len(self.branches)})"
        return f"({' + '.join(branch.symbol for branch in self.branches)})"

    @property
    def formula(self) -> str:
        return "" if self.is_long else " + ".join(text.percent(branch.share) for branch in self.branches)

    @property
    def is_long(self) -> bool:
        """Whether the sum has too many branches to be written within a product."""
        return len(self.branches) > 3

    def strongest_branches(self) -> str:
        """The shares of the five strongest branches, in words."""
        ranked = sorted(self.branches, key=lambda branch: -abs(branch.share))
        shown = ", ".join(f"{text.percent(branch.share)} {branch.symbol}" for branch in ranked[:5])
        rest = ranked[5:]
        more = f", {len(rest)} more {text.percent(sum(branch.share for branch in rest))}" if rest else ""
        return f"{len(ranked)} branches: {shown}{more}"

    @property
    def size(self) -> str:
        """The units of an activation, or else the shape of the gradient."""
        shape = self.gradient.shape
        return text.shape(shape[1:] if self.kind == "activation" and len(shape) > 1 else shape)

    def __repr__(self) -> str:
        return f"<{self.symbol}, gain {text.fixed(self.gain)}>"


class Derivative(Factor):
    """A single local derivative."""

    @property
    def symbol(self) -> str:
        return in_chain(self.edges[0])

    @property
    def formula(self) -> str:
        part = self.edges[0].output.kind if self.kind == "norm" else self.kind
        return part if part in ("weight", "input", "scale", "gate") else self.local.formula


class Step(Factor):
    """A time step of an LSTM: from the state [h, c] to the one before it."""

    is_long = False

    @property
    def symbol(self) -> str:
        return f"∂{state_name(self.upper)}/∂{self.name}"

    @property
    def formula(self) -> str:
        parts = zip(self.arriving, self.branches, strict=True)
        return ", ".join(f"{in_chain(e)} → {e.input.symbol[0]} {text.percent(b.share)}" for e, b in parts)


class Loss(Factor):
    """All that a loss was opened into, down to one of its inputs."""

    @property
    def symbol(self) -> str:
        (upper,) = self.upper
        return f"∂{self.fused.op.name if upper.symbol == upper.op else upper.symbol}/∂{self.name}"

    @property
    def formula(self) -> str:
        (lower,) = self.lower
        inputs = [None if x is None else lower.trace._position(x) for x in self.fused.inputs]
        return dict(zip(inputs, self.fused.op.formulas, strict=True)).get(lower.index, "")  # "" for a part of an input


class Branch:
    """One term of a sum: the part of the gradient that comes in through one edge.

    Attributes
    ----------
    share : float
        ⟨part, whole⟩/⟨whole, whole⟩: shares are signed and add up to 1; where branches cancel, one exceeds 1.
    edges : list of Edge
        Every edge that this part comes through, in backward order.
    """

    def __init__(self, edges: list[Edge], share: float) -> None:
        self.edges = edges
        self.share = share

    @property
    def symbol(self) -> str:
        into: dict[TraceNode, list[Edge]] = defaultdict(list)
        for edge in self.edges:
            into[edge.input].append(edge)
        row = [self.edges[-1]]
        while len(above := into[row[-1].output]) == 1:
            row += above
        symbols = [in_chain(edge) for edge in row if not edge.passes_on]
        if above:  # the branch branches again
            symbols.append(f"∂{self.edges[0].output.symbol}/∂{row[-1].output.symbol}")
        if len(symbols) > 5:
            symbols[3:-1] = ["…"]
        return " · ".join(symbols) or in_chain(self.edges[-1])

    def __repr__(self) -> str:
        return f"<{self.symbol}, share {text.percent(self.share)}>"


def state_name(vertices: Sequence[TraceNode]) -> str:
    """The symbol of one vertex, or of the h and c of a step: [h, c][3]."""
    symbols = [vertex.symbol for vertex in vertices]
    return symbols[0] if len(symbols) == 1 else f"[h, c]{max(symbols)[1:]}"


def share(part: np.ndarray, whole: np.ndarray) -> float:
    """⟨part, whole⟩/⟨whole, whole⟩, also where the squares of tiny gradients would underflow."""
    rounding = 1e3 * np.finfo(whole.dtype).eps
    part, whole = (np.asarray(g, dtype=np.float64).ravel() for g in (part, whole))
    scale = np.max(np.abs(whole), initial=0.0)
    if scale <= rounding * np.max(np.abs(part), initial=0.0):  # the parts cancel: what is left is rounding
        return float("nan")
    return float((part / scale) @ (whole / scale) / ((whole / scale) @ (whole / scale)))


def in_chain(edge: Edge) -> str:
    """The symbol of an edge as a factor: diag(…) if it acts element by element on an array, (−1) if it has a sign."""
    symbol = edge.symbol
    diagonal = edge.local.kind == "diagonal" and edge.upstream.size > 1
    if diagonal and symbol not in ("I", "Σ", "−I", "−Σ"):
        return f"diag({symbol})"
    return f"({symbol})" if symbol.startswith("−") else symbol
