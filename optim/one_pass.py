"""Moving a parameter; with a kernel it goes through the processor once, with its gradient and what is remembered.

`@in_one_pass("sgd", …)` above a `change` says that `minigrad.kernels.updates` has a function `sgd` which does the
same, bit for bit. An optimizer without one, or with a `change` of its own, moves by `change` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad import Tensor
from minigrad.arrays import length, sum_of_squares
from minigrad.kernels import Twin, twin
from minigrad.kernels.dispatch import MANY_CALLS

passes: dict[Callable, Twin] = {}  # change → the kernel that equals it


def in_one_pass(name: str, why: str) -> Callable:
    """A decorator of `change`, which must not need its optimizer (`self`)."""

    def give(change: Callable) -> Callable:
        def line(w, g, state, scale, heard, squares, lr, **settings):
            moved = change(None, w, scaled(g, scale), state, lr, **settings)
            if squares is not None:
                squares[:] = sum_of_squares.line(w), sum_of_squares.line(moved)
            if heard is not None:
                heard[...] = moved
            w -= moved

        passes[change] = twin(name, line, "updates", MANY_CALLS, why)
        return change

    return give


def kernels_of(optimizer: Any) -> tuple[Callable, Callable | None]:
    """What sums squares, and what makes a whole move in one pass; how many numbers there are in all decides."""
    one_pass = passes.get(getattr(optimizer.change, "__func__", None))
    if not (one_pass or sum_of_squares).serves(optimizer.params[0].data, size=optimizer.size):
        return sum_of_squares.line, None
    return sum_of_squares.kernel, one_pass and one_pass.kernel


def move(
    optimizer: Any, p: Tensor, norm: float, scale: float, lr: float, settings: dict, kernel: Callable | None
) -> None:
    """w ← w − change, in place, where the gradient counts `scale` times; then tell who wants to hear of it."""
    w, state = p.data, optimizer.state[p]
    state["steps"] += 1
    if not w.flags.carray:
        kernel = None
    if optimizer.listeners or optimizer.meters:
        return move_and_tell(optimizer, p, norm, scale, lr, settings, kernel)
    if kernel:
        kernel(w, p.grad, state, scale, None, None, lr, **settings)
    else:
        w -= changed(optimizer, w, scaled(p.grad, scale), state, lr, settings)
    p.written()  # the graph notices


def move_and_tell(optimizer, p, norm, scale, lr, settings, kernel):
    w, g, state, listeners, meters = p.data, p.grad, optimizer.state[p], optimizer.listeners, optimizer.meters
    squares = np.empty(2) if meters and kernel and w.dtype == np.float32 else None  # float64's may be 0 or infinite
    measured = bool(meters) and squares is None
    weight = length(w) if measured else None
    if kernel:
        change = np.empty_like(w) if listeners or measured else None
        kernel(w, g, state, scale, change, squares, lr, **settings)
    else:
        change = changed(optimizer, w, scaled(g, scale), state, lr, settings)
        w -= change
    p.written()
    for listener in listeners:
        listener(p, scaled(g, scale), change)
    if meters:
        weight, moved = (weight, length(change)) if measured else np.sqrt(squares)
        for meter in meters:
            meter(p, weight, scale * norm, moved)


def changed(optimizer: Any, w: np.ndarray, g: np.ndarray, state: dict, lr: float, settings: dict) -> np.ndarray:
    """`change`, whose result must have the parameter's shape: another one might broadcast."""
    change = optimizer.change(w, g, state, lr, **settings)
    if getattr(change, "shape", None) != w.shape:
        found = f"shape {change.shape}" if hasattr(change, "shape") else type(change).__name__
        what = f"what to subtract from a parameter of shape {w.shape}"
        raise ValueError(f"{optimizer.kind}: change returned {found}, not {what}")
    return change


def scaled(g: np.ndarray, scale: float) -> np.ndarray:
    return g if scale == 1 else g * scale
