"""Every element of a parameter gets a step size of its own, from its gradients so far.

- `Adagrad` divides the gradient by the root of the sum of all its squares so far.
- `RMSprop` divides it by the root of their running mean, in which old gradients fade.

If g² of an element overflows (in float32 from |g| = 1.8·10¹⁹ on), its s stays infinite unless decay is 0, and the
element stops moving.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from optim.one_pass import in_one_pass
from optim.optimizer import Optimizer, Rate


class Adagrad(Optimizer):
    """w ← w − lr·g/(√s + eps), where s ← s + g² starts at 0.

    Parameters
    ----------
    params, lr
        As for `SGD`.
    eps : float
        Keeps the quotient bounded where gradients vanish.

    References
    ----------
    Duchi, Hazan and Singer, Adaptive subgradient methods for online learning and stochastic optimization, JMLR 2011.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.tensor(0.0, requires_grad=True)
    >>> optimizer = Adagrad([w], lr=1.0)
    >>> for _ in range(4):  # the same gradient moves it less each time: 1, 1/√2, 1/√3, 1/2
    ...     w.grad = -1.0
    ...     optimizer.step()
    >>> round(w.item(), 4)
    2.7845
    """

    remembers = ("sum_of_squares",)

    def __init__(self, params: Iterable, lr: Rate, eps: float = 1e-10) -> None:
        super().__init__(params, lr, eps=eps)

    @in_one_pass("adagrad", why="1.9 times as fast for 337 elements in 6 tensors, 3.1 times for 100,000")
    @np.errstate(over="ignore")
    def change(self, w, g, state, lr, eps) -> np.ndarray:
        s = state["sum_of_squares"] = state.get("sum_of_squares", 0) + g * g
        return lr * g / (np.sqrt(s) + eps)


class RMSprop(Optimizer):
    """w ← w − lr·g/(√s + eps), where s ← decay·s + (1 − decay)·g² starts at 0.

    Parameters
    ----------
    params, lr, eps
        As for `Adagrad`.
    decay : float
        Share of s kept at each step, in [0, 1).

    References
    ----------
    Tieleman and Hinton, Lecture 6.5: RMSprop, Neural networks for machine learning, Coursera 2012.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.tensor([0.0, 0.0], requires_grad=True)
    >>> optimizer = RMSprop([w], lr=0.1, decay=0.75)
    >>> w.grad = [8.0, -0.5]
    >>> optimizer.step()  # the first step is lr/√(1 − decay) long, whatever the gradient
    >>> w.data.round(4)
    array([-0.2,  0.2])
    """

    remembers = ("mean_square",)

    def __init__(self, params: Iterable, lr: Rate, decay: float = 0.99, eps: float = 1e-8) -> None:
        super().__init__(params, lr, decay=decay, eps=eps)

    @in_one_pass("rmsprop", why="2.2 times as fast for 337 elements in 6 tensors, 3.4 times for 100,000")
    @np.errstate(over="ignore")
    def change(self, w, g, state, lr, decay, eps) -> np.ndarray:
        before = state.get("mean_square", 0) if decay else 0  # 0·∞ would be NaN
        s = state["mean_square"] = decay * before + (1 - decay) * (g * g)
        return lr * g / (np.sqrt(s) + eps)
