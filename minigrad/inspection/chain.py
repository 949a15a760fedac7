"""A gradient as a product: the local derivatives between the output and one value, in a row.

- `trace.chain(to=w)`: its factors, how much each lengthens or shortens the gradient, and what is left.
- `trace.chain(to=w, sample=3)`: the same for one sample of the batch; `element=(0, 2)`: for one weight, in
  plain numbers along one path, which goes from each unit to the one that brings most of its gradient.
- `trace.chain(to=w, use=0)` or `path=trace.paths(to=w)[0]`: only what comes through one use of w, or along one path.
- `chain.ledger()`: the chain in decades, split by cause.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from minigrad.arrays import length
from minigrad.inspection import text
from minigrad.inspection.display import picture
from minigrad.inspection.factors import Factor, Loss, factors_of
from minigrad.inspection.ledger import Ledger
from minigrad.inspection.parts import Edge, TraceNode
from minigrad.inspection.sample import of_row, of_sample
from minigrad.inspection.trace import Trace
from minigrad.inspection.ways import edges_to, path_to
from minigrad.printed import Printed


def chain(self: Trace, to: Any, **options: Any) -> Chain:
    """The product of local derivatives from the output down to `to`: see `Chain`."""
    return Chain(self, self.target(to), **options)


def ledger(self: Trace, to: Any = None) -> Ledger:
    """The decades gained and lost in each layer on the way to `to`; by default to the first parameter."""
    first = next((node for node in self.nodes if node.kind == "parameter"), 0)
    return Chain(self, self.target(first if to is None else to)).ledger()


class Chain(Printed):
    """The product of local derivatives from the output of a trace down to one vertex.

    Parameters
    ----------
    trace : Trace
    target : TraceNode
        The vertex whose gradient is written as a product: `trace.target(key)`.
    sample : int, optional
        Only the loss of this one sample of the batch.
    element : tuple of int, or int, optional
        Write out the gradient of this one element of the target in plain numbers as well.
    path : Path or sequence of Edge, optional
        Follow only these edges, which lead from the output to the target.
    use : int, optional
        Follow only this one of the uses of the target, counted in backward order.
    norm : str
        "l2" (‖g‖: the product of the gains is the norm of the gradient over that of the seed) or "rms" (‖g‖/√n,
        which does not depend on the width).

    Attributes
    ----------
    factors : list of Factor
        From the output to the target. Steps that pass the gradient on unchanged (adding a bias) are left out.
    gains, running, decades : ndarray
        Per factor ‖gradient after‖/‖gradient before‖, the product of the gains so far, and its log10.
    product : ndarray
        The gradient that this chain brings to the target, computed again: all factors applied to the seed.

    Raises
    ------
    ValueError
        If there is no gradient (by `trace.target`), or no such sample, element, path or use.

    Examples
    --------
    >>> import minigrad as mg
    >>> h = mg.tensor(1.0, requires_grad=True, name="x")
    >>> for n in (1, 2):
    ...     h = mg.tanh(mg.tensor(0.8, requires_grad=True, name=f"w{n}") * h)
    >>> print(mg.trace(h).chain(to="x", element=()))
    ∂L/∂x = w1 · tanh'(z1) · w2 · tanh'(z2)
    step  factor     formula  shape  actual  expected    max       ‖g‖   running  decades
       0  tanh'(z2)  1−tanh²  1       0.763     0.763  0.763  7.63e-01  7.63e-01    −0.12
       1  w2         weight   1       0.800     0.800  0.800  6.11e-01  6.11e-01    −0.21
       2  tanh'(z1)  1−tanh²  1       0.559     0.559  0.559  3.41e-01  3.41e-01    −0.47
       3  w1         weight   1       0.800     0.800  0.800  2.73e-01  2.73e-01    −0.56
    ledger  operating point −0.37 │ weights −0.19 │ total −0.56 decades   (×0.523 per layer)
    check   the factors multiplied out = ∂L/∂x to the last bit ✓
    units   ∂L/∂x = w1=0.8 · tanh'(z1)=0.559 · w2=0.8 · tanh'(z2)=0.763 = 0.273
    """

    def __init__(
        self,
        trace: Trace,
        target: TraceNode,
        *,
        sample: int | None = None,
        element: tuple[int, ...] | int | None = None,
        path: Iterable[Edge] | None = None,
        use: int | None = None,
        norm: str = "l2",
    ) -> None:
        if norm not in ("l2", "rms"):
            raise ValueError(f"chain: norm is 'l2' or 'rms', not {norm!r}")
        if path is not None and use is not None:
            raise ValueError("chain: a path leads to one use already; give either path= or use=")
        if element is not None:
            element = tuple(element) if np.iterable(element) else (element,)
            pairs = zip(element, target.shape, strict=False)
            inside = all(isinstance(i, (int, np.integer)) and 0 <= i < n for i, n in pairs)
            if len(element) != len(target.shape) or not inside:
                raise ValueError(f"chain: {target.symbol} of shape {target.shape} has no element {element}")
            element = tuple(map(int, element))
        if sample is not None:
            trace = of_sample(trace, sample)
            target = TraceNode(trace, target.index)
        self.trace = trace
        self.target = target
        self.norm = norm
        self.element = element
        self.sample = sample
        self.edges = whole = edges_to(trace, [target])
        if path is not None:
            self.edges = edges_of(path, target)
        elif use is not None:
            self.edges = path_to(use_of(target, use), whole)
        if element is not None and (empty := [edge.output for edge in self.edges if not edge.output.value.size]):
            raise ValueError(f"chain: there is no unit on the way to {element}: {empty[-1].symbol} is empty")
        self.is_part = len(self.edges) < len(whole)
        steps = factors_of(self.edges, trace.seed)
        self.product = np.asarray(steps[-1].gradient if steps else trace.seed)
        self.factors = [factor for factor in steps if not factor.passes_on]
        gradients = [trace.seed, *(factor.gradient for factor in self.factors)]
        self.units = np.sqrt([max(g.size, 1) if norm == "rms" else 1 for g in gradients])
        self.lengths = lengths = np.array([length(g) for g in gradients]) / self.units
        with np.errstate(all="ignore"):  # after a gradient of exactly 0, a gain is undefined
            self.gains = lengths[1:] / lengths[:-1]
            self.running = lengths[1:] / lengths[0]
            self.decades = np.log10(lengths[1:]) - np.log10(lengths[0])  # also where the quotient is out of range
        for factor, gain in zip(self.factors, self.gains, strict=True):
            factor.gain = float(gain)

    def ledger(self) -> Ledger:
        """The decades gained and lost, per layer and in total."""
        return Ledger(self.factors)

    def __len__(self) -> int:
        return len(self.factors)

    # Printing

    @property
    def symbols(self) -> list[str]:
        """The product as it is written, from the target (left) to the output."""
        return [factor.symbol for factor in reversed(self.factors)]

    @property
    def derivative(self) -> str:
        return self.target.derivative

    def text(self, show: str = "folded") -> str:
        """The chain as a table; `show="all"` prints every step of a long one."""
        if show not in ("folded", "all"):
            raise ValueError(f"chain: show is 'folded' or 'all', not {show!r}")
        size = "‖g‖" if self.norm == "l2" else "RMS g"
        head = ("step", "factor", "formula", "shape", "actual", "expected", "max", size, "running", "decades")
        steps, symbols = list(range(len(self))), self.symbols
        folded = len(self) - 8 if show == "folded" and len(self) > 12 else 0
        if folded:
            steps[4:-4], symbols[5:-3] = [], ["…"]
        lines = text.table([head, *map(self._row, steps)], "><<<>>>>>>").split("\n")
        if folded:
            lines.insert(5, f"   …  {folded} steps folded (chain.text(show='all'))")
        sample = "" if self.sample is None else f"sample {self.sample}: "
        lines = [f"{sample}{self.derivative} = {' · '.join(symbols) or '1'}", *lines]
        lines += [
            f"step {k} sums {factor.strongest_branches()}" for k, factor in enumerate(self.factors) if factor.is_long
        ]
        lines += [str(self.ledger()), self._check()]
        return "\n".join(lines if self.element is None else [*lines, self.in_numbers()])

    def _row(self, k: int) -> tuple[str, ...]:
        factor = self.factors[k]
        local = factor.local
        if local is not None and self.sample is not None:
            local = of_row(factor.edges[0], self.sample, factor.kind)
        unit = self.units[k] / self.units[k + 1]  # of gains: a Jacobian's are in ‖·‖
        small = local is not None and (local.kind != "linear" or local.shape[0] * local.shape[1] <= 10_000)
        return (
            str(k),
            factor.symbol,
            factor.formula,
            text.shape(local.matrix.T.shape) if local is not None and local.kind == "matrix" else factor.size,
            text.fixed(self.gains[k]),
            text.fixed(unit * local.expected_gain) if small else "",
            text.fixed(unit * local.max_gain) if small else "",
            text.scientific(self.lengths[k + 1]),
            "—" if np.isnan(self.running[k]) else text.scientific(self.running[k]),
            text.signed(self.decades[k]),
        )

    def _check(self) -> str:
        """The product, multiplied out again, against the gradient that the walk found."""
        whole = self.target.grad
        scale = length(whole)
        if what := lost(scale):
            return f"check   the gradient is {what}{self._since(what)}: there is nothing to compare"
        if self.is_part:
            return f"part    ‖·‖ = {text.number(length(self.product))}; ‖{self.derivative}‖ = {text.number(scale)}"
        agreement = text.agreement(length(self.product - whole) / scale, whole.dtype)
        return f"check   the factors multiplied out = {self.derivative} {agreement}"

    def _since(self, what: str) -> str:
        """From which step on the gradient is exactly 0 or not finite, and whether it underflows there."""
        k = len(self)
        while k and lost(length(self.factors[k - 1].gradient)) == what:
            k -= 1
        if k == len(self):
            return ""
        upstream, local = self.factors[k - 1].gradient if k else self.trace.seed, self.factors[k].local
        largest = np.max(np.abs(upstream), initial=0.0)
        too_small = what == "exactly 0" and local is not None and not lost(largest)
        if too_small and np.any(local.vjp(upstream / largest)):
            return f" from step {k} on, where it underflows in {upstream.dtype}"
        return f" from step {k} on"

    def in_numbers(self) -> str:
        """The gradient of one element in numbers along a path, from each unit to the one that brings most."""
        numbers = self._along_units()
        along = float(np.prod([slope for _, slope in numbers]))
        whole = float(self.product[self.element])
        written = ((symbol, text.number(slope)) for symbol, slope in numbers)
        product = " · ".join(number if symbol == number else f"{symbol}={number}" for symbol, number in written)
        name = f"{self.derivative}[{', '.join(map(str, self.element))}]".removesuffix("[]")
        if np.isclose(along, whole, atol=0, equal_nan=True):
            return f"units   {name} = {product} = {text.number(along)}"
        of_whole = f"{text.number(100 * along / whole)}% of {name}" if whole else name
        by = "each time by the unit that brings most"  # the whole path need not be the strongest one
        return f"units   {product} = {text.number(along)}, {by}: {of_whole} = {text.number(whole)}"

    def _along_units(self) -> list[tuple[str, float]]:
        """The factors (symbol, slope) on that path, from the element to the output."""
        at = int(np.ravel_multi_index(self.element, self.target.shape))
        vertex, followed = self.target, set(self.edges)
        losses = {edge: factor for factor in self.factors if isinstance(factor, Loss) for edge in factor.edges}
        slopes: dict[Any, float] = {}
        while vertex != self.trace[-1]:
            found = [strongest_unit(edge, at) for edge in vertex.incoming if edge in followed]
            _, edge, at, slope = max(found, key=lambda unit: unit[0])
            factor = losses.get(edge, edge)  # an opened loss is one factor, however many steps it has
            if edge in losses or not edge.local.passes_on:
                slopes[factor] = slope * slopes.get(factor, 1)
            vertex = edge.output
        numbers = [(factor.symbol.removesuffix("ᵀ"), slope) for factor, slope in slopes.items()]
        if (seed := float(self.trace.seed.flat[at])) != 1 or not numbers:
            numbers.append(("gradient", seed))
        return numbers

    def latex(self) -> str:
        """The product in LaTeX, without surrounding dollars; below a factor the formula, if its op declares `latex`."""
        product = r" \, ".join(in_latex(factor) for factor in reversed(self.factors))
        return text.latex(f"{self.derivative} = ") + (product or "1")

    def plot(self, path: Any = None, ax: Any = None) -> Any:
        """Draw what is left of the gradient, factor by factor: a matplotlib Figure, also written to `path`."""
        return picture("plot_chain")(self, path, ax)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        decades = text.signed(self.decades[-1]) if len(self) else "0"
        return f"<Chain {self.derivative}: {len(self)} factors, {decades} decades>"


def in_latex(factor: Factor) -> str:
    symbol, formula = text.latex(factor.symbol), factor.local and factor.local.latex
    return rf"\underset{{{formula}}}{{{symbol}}}" if formula else symbol


def lost(norm: float) -> str:
    """What is wrong with a gradient of this norm: it is "exactly 0", "not finite", or nothing ("")."""
    return "exactly 0" if norm == 0 else "" if np.isfinite(norm) else "not finite"


def strongest_unit(edge: Edge, element: int) -> tuple[float, Edge, int, float]:
    """Which unit of the edge's output brings most gradient to one element of its input: |part|, edge, unit, slope."""
    unit = np.zeros(edge.input.shape)
    unit.flat[element] = 1
    slopes = edge.local.jvp(unit).ravel()
    parts = np.abs(edge.upstream.ravel().astype(np.float64) * slopes)  # in float32 they might underflow
    at = int(np.argmax(parts))
    return float(parts[at]), edge, at, float(slopes[at])


def edges_of(path: Iterable[Edge], target: TraceNode) -> list[Edge]:
    """The edges of a path in backward order, in the target's trace; ValueError unless they lead to the target."""
    trace = target.trace
    edges = [Edge(trace, k) for k in sorted(edge.index for edge in path)]
    if [trace[-1], *(edge.input for edge in edges)] != [*(edge.output for edge in edges), target]:
        raise ValueError(f"chain: path must lead, edge after edge, from {trace[-1].symbol} to {target.symbol}")
    return edges


def use_of(target: TraceNode, use: int) -> Edge:
    """One of the uses of the target, which are counted in backward order."""
    uses = target.incoming
    if not -len(uses) <= use < len(uses):
        raise ValueError(f"chain: {target.symbol} is used {len(uses)} times, there is no use {use}")
    return uses[use]
