"""Keep gradients within bounds, between `backward()` and `step()`.

- `clip_by_global_norm(model.parameters(), 1.0)` shortens the whole gradient and keeps its direction: try it first.
- `clip_by_norm` limits each tensor by itself, `clip_by_value` each element.
- `normalise_gradient` scales the gradient to a given length, `damp_gradient` shortens it smoothly.

Each returns the global norm before the change, ‖g‖ = √Σg² over all parameters, summed in float64. If it is not finite,
the gradients stay as they are, so that `optimizer.step()` can raise and name the parameter. A changed `p.grad` is a new
array; the old one is not written to. Parameters without a gradient are skipped, and frozen ones, as in `step()`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from minigrad import Tensor
from minigrad.arrays import length
from optim.checks import number, positive, tensors


def replace(caller: str, params: Iterable[Tensor], clipped: Callable[..., np.ndarray]) -> float:
    """Replace each gradient g of a parameter w by `clipped(g, w, norm)`; return the global norm before."""
    gradients = {p: p.grad for p in tensors(caller, params) if p.requires_grad and p.grad is not None}
    norm = math.hypot(*map(length, gradients.values()))
    if math.isfinite(norm):
        for p, g in gradients.items():
            p._grad = np.asarray(clipped(g, p.data, norm), p.dtype)  # a new array; `p.grad = …` would copy it
    return norm


def shortening(norm: float, limit: float) -> float:
    """The factor min(1, limit/norm)."""
    return limit / norm if limit < norm else 1.0


def scaled(g: np.ndarray, factor: float) -> np.ndarray:
    return g if factor == 1 else g * factor


def clip_by_value(params: Iterable[Tensor], limit: float) -> float:
    """g ← min(max(g, −limit), limit), element by element; the direction changes.

    >>> import minigrad as mg
    >>> w = mg.tensor([0.0, 0.0], requires_grad=True)
    >>> w.grad = [3.0, -4.0]
    >>> clip_by_value([w], limit=3.5), w.grad
    (5.0, array([ 3. , -3.5]))
    """
    limit = positive("clip_by_value: limit", limit)
    return replace("clip_by_value", params, lambda g, w, norm: np.clip(g, -limit, limit))


def clip_by_norm(params: Iterable[Tensor], limit: float) -> float:
    """g ← g·min(1, limit/‖g‖) for the gradient of each tensor by itself.

    >>> import minigrad as mg
    >>> w, b = mg.tensor([0.0, 0.0], requires_grad=True), mg.tensor(0.0, requires_grad=True)
    >>> w.grad, b.grad = [6.0, 8.0], 0.5
    >>> norm = clip_by_norm([w, b], limit=1.0)
    >>> w.grad, b.grad
    (array([0.6, 0.8]), array(0.5))
    """
    limit = positive("clip_by_norm: limit", limit)
    return replace("clip_by_norm", params, lambda g, w, norm: scaled(g, shortening(length(g), limit)))


def clip_by_global_norm(params: Iterable[Tensor], limit: float) -> float:
    """g ← g·min(1, limit/‖g‖) with the norm of all gradients together (Pascanu et al., ICML 2013).

    >>> import minigrad as mg
    >>> w, b = mg.tensor(0.0, requires_grad=True), mg.tensor(0.0, requires_grad=True)
    >>> w.grad, b.grad = 3.0, 4.0
    >>> clip_by_global_norm([w, b], limit=1.0), w.grad, b.grad
    (5.0, array(0.6), array(0.8))
    """
    limit = positive("clip_by_global_norm: limit", limit)
    return replace("clip_by_global_norm", params, lambda g, w, norm: scaled(g, shortening(norm, limit)))


def normalise_gradient(params: Iterable[Tensor], norm: float) -> float:
    """g ← g·norm/‖g‖: scales the whole gradient to this length, up as well as down. A zero gradient stays zero.

    >>> import minigrad as mg
    >>> w = mg.tensor([0.0, 0.0], requires_grad=True)
    >>> w.grad = [0.03, 0.04]
    >>> round(normalise_gradient([w], norm=1.0), 12), w.grad
    (0.05, array([0.6, 0.8]))
    """
    wanted = number("normalise_gradient: norm", positive("normalise_gradient: norm", norm))
    return replace(
        "normalise_gradient", params, lambda g, w, norm: np.divide(g, norm or 1.0, dtype=np.float64) * wanted
    )


def damp_gradient(params: Iterable[Tensor], limit: float) -> float:
    """g ← g/(1 + ‖g‖/limit): short gradients hardly change, the norm of long ones approaches the limit smoothly.

    >>> import minigrad as mg
    >>> w = mg.tensor([0.0, 0.0], requires_grad=True)
    >>> w.grad = [3.0, 4.0]
    >>> damp_gradient([w], limit=5.0), w.grad
    (5.0, array([1.5, 2. ]))
    """
    limit = positive("damp_gradient: limit", limit)
    return replace("damp_gradient", params, lambda g, w, norm: g * (1 / (1 + norm / limit)))
