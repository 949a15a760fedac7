"""Optimizers that give every element of a parameter a step size of its own, from the gradients it has seen.

- `Adam(model.parameters(), lr=0.001)`: the one to try first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from optim.optimizer import Optimizer, Rate, number


class Adam(Optimizer):
    """w ← w − lr·m̂/(√v̂ + eps), with running means of the gradient and of its square.

    m ← β₁·m + (1 − β₁)·g and v ← β₂·v + (1 − β₂)·g² start at 0; m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ) make up
    for it at the parameter's step t = 1, 2, ….

    Parameters
    ----------
    params, lr
        As for `SGD`.
    betas : tuple of float
        How much of the two means is kept each step, both in [0, 1).
    eps : float
        Keeps the quotient bounded where gradients vanish.
    weight_decay : float
        Adds weight_decay·w to g, which the quotient then rescales; `AdamW` does not: see `optim.penalty`.

    References
    ----------
    Kingma and Ba, Adam: a method for stochastic optimization, ICLR 2015.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.tensor([1.0, 1.0], requires_grad=True)
    >>> optimizer = Adam([w], lr=0.1)
    >>> w.grad = [100.0, -0.01]
    >>> optimizer.step()  # the first step has the length of the rate, whatever the gradient
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

    def checked(self, betas: Any, eps: Any, weight_decay: Any) -> dict[str, Any]:
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise TypeError(f"{self.kind}: betas is a pair of numbers, not {betas!r}")
        return {
            "betas": tuple(number(f"{self.kind}: betas[{i}]", b, below=1) for i, b in enumerate(betas)),
            "eps": number(f"{self.kind}: eps", eps),
            "weight_decay": number(f"{self.kind}: weight_decay", weight_decay),
        }

    def change(self, w, g, state, lr, betas, eps, weight_decay) -> np.ndarray:
        return lr * self.direction(g + weight_decay * w if weight_decay else g, state, betas, eps)

    def direction(self, g: np.ndarray, state: dict, betas: tuple[float, float], eps: float) -> np.ndarray:
        """m̂/(√v̂ + eps)."""
        b1, b2 = betas
        t = state["steps"]
        m = state["mean"] = b1 * state.get("mean", 0) + (1 - b1) * g
        v = state["square"] = b2 * state.get("square", 0) + (1 - b2) * (g * g)
        return (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
