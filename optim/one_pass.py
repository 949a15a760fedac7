"""Move a parameter; a kernel does so in one pass over the parameter, its gradient and its state.

`@in_one_pass("sgd", …)` above a `change` says that `minigrad.kernels.updates` has a function `sgd` that does the same,
bit for bit. A `change` without the decorator, such as one that a subclass writes anew, runs as NumPy alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad import Tensor
from minigrad.arrays import length, squares_in_blocks, sum_of_squares
from minigrad.kernels import Twin, twin
from minigrad.kernels.dispatch import MANY_CALLS
from optim.clip import scaled

passes: dict[Callable, Twin] = {}  # change → the update w ← w − change, as NumPy lines and as a kernel


def in_one_pass(name: str, why: str) -> Callable:
    """A decorator for a `change` that does not use its optimizer (`self`): gives it the kernel `name`."""

    def register(change: Callable) -> Callable:
        def line(w, g, state, scale, out, squares, lr, **settings):  # the kernel alone fills `out` and `squares`
            w -= change(None, w, scaled(g, scale), state, lr, **settings)

        passes[change] = twin(name, line, "updates", MANY_CALLS, why)
        return change

    return register


def kernels_of(optimizer: Any) -> tuple[Callable, Callable | None]:
    """The function that sums squares, and the kernel of the update or None; the optimizer's `size` decides."""
    one_pass = passes.get(getattr(optimizer.change, "__func__", None))
    if not (one_pass or sum_of_squares).serves(optimizer.params[0].data, size=optimizer.size):
        return sum_of_squares.line, None
    return sum_of_squares.kernel, one_pass and one_pass.kernel


def move(
    optimizer: Any, p: Tensor, norm: float, scale: float, lr: float, settings: dict, kernel: Callable | None
) -> None:
    """w ← w − change, in place, for the gradient times `scale`; then call the optimizer's listeners and meters."""
    w, g, state = p.data, p.grad, optimizer.state[p]
    state["steps"] += 1
    kernel = kernel if w.flags.carray else None
    squares = weight = change = None
    if optimizer.meters:
        if kernel and w.dtype == np.float32:  # in float64, w² may be 0 or ∞
            squares = np.empty(2)
        else:
            weight = length(w, squares_in_blocks)
    if kernel:
        if optimizer.listeners or weight is not None:
            change = np.empty_like(w)
        kernel(w, g, state, scale, change, squares, lr, **settings)
    else:
        change = changed(optimizer, w, scaled(g, scale), state, lr, settings)
        w -= change
    p.written()  # older graphs that used w now raise
    for listener in optimizer.listeners:
        listener(p, scaled(g, scale), change)
    if optimizer.meters:
        weight, moved = np.sqrt(squares) if weight is None else (weight, length(change, squares_in_blocks))
        for meter in optimizer.meters:
            meter(p, weight, scale * norm, moved)


def changed(optimizer: Any, w: np.ndarray, g: np.ndarray, state: dict, lr: float, settings: dict) -> np.ndarray:
    """The optimizer's `change`; ValueError unless it has the parameter's shape, since another shape might broadcast."""
    change = optimizer.change(w, g, state, lr, **settings)
    if getattr(change, "shape", None) != w.shape:
        found = f"shape {change.shape}" if hasattr(change, "shape") else type(change).__name__
        what = f"what to subtract from a parameter of shape {w.shape}"
        raise ValueError(f"{optimizer.kind}: change returned {found}, not {what}")
    return change
