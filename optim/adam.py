"""Adam, the optimizer to try first, and AdamW.

- `Adam(model.parameters(), lr=0.001)`: each element moves by about lr per step, whatever the scale of its gradient.
- `AdamW(model.parameters(), lr=0.001, weight_decay=0.01)`: the same, and all weights shrink at the same rate.

If g² of an element overflows (in float32 from |g| = 1.8·10¹⁹ on), its v stays infinite unless β₂ is 0, and gradients no
longer move that element.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from optim.one_pass import in_one_pass
from optim.optimizer import Optimizer, Rate


class Adam(Optimizer):
    """w ← w − lr·m̂/(√v̂ + eps), with running means of the gradient and of its square.

    m ← β₁·m + (1 − β₁)·g and v ← β₂·v + (1 − β₂)·g² start at 0; m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ) correct for
    that, where t = 1, 2, … counts the steps of the parameter.

    Parameters
    ----------
    params, lr, eps
        As for `SGD`; eps keeps the quotient bounded where gradients vanish.
    betas : tuple of float
        β₁ and β₂: the shares of m and v kept at each step, both in [0, 1).
    weight_decay : float
        Adds weight_decay·w to g, so that √v̂ divides it, too; see `optim.penalty`.

    References
    ----------
    Kingma and Ba, Adam: a method for stochastic optimization, ICLR 2015.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.tensor([1.0, 1.0], requires_grad=True)
    >>> optimizer = Adam([w], lr=0.1)
    >>> w.grad = [100.0, -0.01]
    >>> optimizer.step()  # the first step is lr long, whatever the gradient
    >>> w.data.round(4)
    array([0.9, 1.1])
    """

    remembers = ("mean", "square")

    def __init__(
        self,
        params: Iterable,
        lr: Rate,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, betas=betas, eps=eps, weight_decay=weight_decay)

    @in_one_pass("adam", why="2.5 times as fast for 337 elements in 6 tensors, 4.3 times for 100,000")
    def change(self, w, g, state, lr, betas, eps, weight_decay) -> np.ndarray:
        if weight_decay:
            g = g + weight_decay * w
        return normalised(g, state, lr, betas, eps)


class AdamW(Adam):
    """w ← w − lr·(m̂/(√v̂ + eps) + weight_decay·w): Adam, and every weight also shrinks at the same rate.

    Parameters
    ----------
    params, lr, betas, eps
        As for `Adam`.
    weight_decay : float
        Not divided by √v̂, and not part of m and v; see `optim.penalty`.

    References
    ----------
    Loshchilov and Hutter, Decoupled weight decay regularization, ICLR 2019.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.tensor([1.0, 10.0], requires_grad=True)
    >>> optimizer = AdamW([w], lr=0.1, weight_decay=0.5)
    >>> w.grad = 0
    >>> optimizer.step()
    >>> w.data
    array([0.95, 9.5 ])
    """

    def __init__(
        self,
        params: Iterable,
        lr: Rate,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)

    @in_one_pass("adamw", why="2.7 times as fast for 337 elements in 6 tensors, 4.5 times for 100,000")
    def change(self, w, g, state, lr, betas, eps, weight_decay) -> np.ndarray:
        step = normalised(g, state, lr, betas, eps)
        return step + lr * weight_decay * w if weight_decay else step


@np.errstate(over="ignore")
def normalised(g: np.ndarray, state: dict, lr: float, betas: tuple[float, float], eps: float) -> np.ndarray:
    """lr·m̂/(√v̂ + eps); factors that are the same for all elements are multiplied as numbers, before any array."""
    (b1, b2), t = betas, state["steps"]
    m = state["mean"] = b1 * state.get("mean", 0) + (1 - b1) * g
    before = state.get("square", 0) if b2 else 0  # 0·∞ would be NaN
    v = state["square"] = b2 * before + (1 - b2) * (g * g)
    return lr / (1 - b1**t) * m / (np.sqrt(v) * (1 / math.sqrt(1 - b2**t)) + eps)
