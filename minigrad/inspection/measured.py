"""One local derivative, measured: ⟨g, J·u⟩ for random g and u, by the rule and by central differences.

- `measured(node, slot, rng)`: by how much the two differ, and how many elements a kink excludes.
- `in_float64(trace)`: the same graph with enough digits for that.

A fused op is compared with its definition.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from minigrad.arrays import length
from minigrad.graph import Node
from minigrad.inspection.local import LocalJacobian, widened
from minigrad.inspection.trace import Trace, recorded
from minigrad.inspection.trace import trace as traced
from minigrad.settings import recording
from minigrad.tensor import Tensor

LIMIT, GOOD = 1e-7, 1e-9  # the error of a right rule stays below LIMIT; below GOOD no other step is tried
STEPS = [(1e-5, 1), (1e-5, 0), (1e-3, 1), (1e-3, 0), (1e-8, 1), (1e-8, 0)]  # h, floor: h·max(|x|, floor), or h at x = 0


class Comparison(NamedTuple):
    """Relative error; the number of elements left out at kinks, and the error that includes them."""

    error: float
    kinks: int = 0
    error_with_kinks: float = 0.0


def measured(node: Node, slot: int, rng: np.random.Generator) -> Comparison:
    """Compare the derivative by one input with differences, without the elements that have a kink within the step.

    An output that is not finite is left out, and an input that is not, such as the −∞ of a mask, is not varied. All
    elements are left out where even the smallest step is too large, as near a matrix without an inverse.
    """
    x = node.arrays[slot]
    g, v = rng.normal(size=node.output.shape), rng.normal(size=x.shape)
    g = np.where(np.isfinite(node.output), g, 0)
    best, longest = np.inf, 0.0
    for h, floor in STEPS:
        u = v * np.where(np.isfinite(x), np.maximum(np.abs(x), floor or x == 0), 0)
        slope = slope_along(node, slot, g, u, h)
        error, longest = slope.error(longest), max(longest, slope.size)
        best = min(best, error)
        if best <= GOOD:
            break
        if best > LIMIT and (error > LIMIT or (h, floor) == STEPS[-1]):  # if the error is NaN, other steps first
            kinks = rough(node, slot, u, h) & (g != 0)
            smooth = slope_along(node, slot, np.where(kinks, 0, g), u, h).error()
            if smooth <= LIMIT:
                return Comparison(smooth, int(np.sum(kinks)), error)
    if best > LIMIT:
        half = slope_along(node, slot, g, u, h / 2)  # where y only bends, half the step has a quarter of the error
        if error * slope.size <= 2 * abs(half.by_differences - slope.by_differences):
            return Comparison(0.0, node.output.size, error)
    return Comparison(best)


def error_of_kernel(node: Node) -> float:
    """Relative error of a fused op's output against its definition; where both are NaN or equally infinite, none."""
    y = node.op.definition(*node.arrays, **node.params)
    rest = np.isfinite(y) | ((y != node.output) & ~(np.isnan(y) & np.isnan(node.output)))
    return length(y[rest] - node.output[rest]) / (length(y[rest]) or 1.0)


def changed(node: Node, slot: int, step: np.ndarray) -> np.ndarray:
    """The output of the op, or of its definition, with a step in one input; NaN where the op refuses the values."""
    xs = list(node.arrays)
    xs[slot] = np.asarray(xs[slot] + step)
    try:
        return np.asarray((node.op.definition or node.op.forward)(*xs, **node.params))
    except ValueError:  # such as a matrix that is not positive definite after the step
        return np.full_like(node.output, np.nan)


class Slope(NamedTuple):
    """⟨g, J·u⟩ by the rule and by differences, how large it is, and how much of it may be rounding."""

    by_rule: float
    by_differences: float
    size: float
    rounding: float

    def error(self, longest: float = 0.0) -> float:
        """The relative error, less what rounding explains if it is large.

        If the derivative is exactly 0, as of x³ at 0, the slope must fall with the step: the error is relative to the
        `longest` slope that earlier steps have met.
        """
        scale = max(self.size, 0.0 if self.by_rule else longest)
        error = abs(self.by_rule - self.by_differences)
        if not error <= LIMIT * scale:
            error = np.maximum(error - self.rounding, 0)
        return float(error / scale) if scale else 0.0


def slope_along(node: Node, slot: int, g: np.ndarray, u: np.ndarray, h: float) -> Slope:
    """The slope of ⟨g, y⟩ along u, with a step of h·u; elements where g is 0 do not count."""
    products = LocalJacobian(node, slot).vjp(g)
    if not np.all(g) or not all(np.all(np.isfinite(x)) for x in node.arrays if x is not None):
        u = np.where(np.isnan(products), 0, u)  # 0·∞, from an excluded element or an infinite input: nothing to compare
    by_rule = np.sum(np.where(u == 0, 0, products * u))
    slopes = (changed(node, slot, h * u) - changed(node, slot, -h * u)) / (2 * h)
    terms, values = np.where(g == 0, 0, [g * slopes, g * node.output])
    size = max(abs(by_rule), abs(np.sum(terms)), length(terms))
    rounding = 2 * np.finfo(np.float64).eps * length(values) / h
    return Slope(by_rule, np.sum(terms), size, rounding)


def rough(node: Node, slot: int, u: np.ndarray, h: float) -> np.ndarray:
    """Where the output has a kink within the step: halving the step does not quarter the bend."""
    y = node.output
    bends = [
        np.abs(changed(node, slot, step * u) - 2 * y + changed(node, slot, -step * u)) for step in (h, h / 2, h / 4)
    ]
    noise = 1e-12 * np.max(np.abs(y), initial=0, where=np.isfinite(y))
    smooth = [np.abs(half - whole / 4) <= np.maximum(whole / 20, noise) for whole, half in pairwise(bends)]
    return ~np.all(smooth, axis=0)


def in_float64(trace: Trace) -> Trace:
    """The trace itself or, if it is in float32, one of the same graph computed again in float64."""
    if is_float64(trace):
        return trace
    exact: dict[Any, Tensor] = {}

    def converted(x: Tensor | None, array: Any) -> Any:
        array = widened(array)
        if x is None:
            return array
        key = x.node or x
        if key not in exact:
            exact[key] = Tensor(array, requires_grad=x.requires_grad)
        exact[key].name = x.name
        return exact[key]

    for node in reversed(recorded(trace.output)):
        params = {name: np.float64 if name == "dtype" else value for name, value in node.params.items()}
        with recording(node.scope):
            exact[node] = node.op(*map(converted, node.inputs, node.arrays), **params)
    return traced(converted(trace.output, trace.output.data), trace.seed, trace.expanded)


def is_float64(trace: Trace) -> bool:
    return all(g.dtype == np.float64 for g in trace._gradients.values())
