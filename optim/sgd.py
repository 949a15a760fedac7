"""Stochastic gradient descent, with or without momentum.

>>> import minigrad as mg
>>> from optim import SGD
>>> w = mg.tensor(1.0, requires_grad=True)
>>> optimizer = SGD([w], lr=0.1)
>>> (w * w).backward()
>>> optimizer.step()
>>> w.item()
0.8
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from optim.one_pass import in_one_pass
from optim.optimizer import Optimizer, Rate


class SGD(Optimizer):
    """w ← w − lr·v, where v ← momentum·v + g is a running sum of gradients (v = g without momentum).

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        A dict is a group with settings of its own, such as `{"params": [w], "lr": 0.01}`.
    lr : float or callable
        Learning rate, or a function of the step.
    momentum : float
        Share of v kept at each step, in [0, 1). Under a constant gradient, steps grow to 1/(1 − momentum) times lr·g.
    nesterov : bool
        Look ahead: w ← w − lr·(g + momentum·v).
    weight_decay : float
        Adds weight_decay·w to g: the gradient of an L2 penalty, see `optim.penalty`.

    References
    ----------
    Robbins and Monro, A stochastic approximation method, 1951. Polyak, Some methods of speeding up the
    convergence of iteration methods, 1964. Sutskever et al., On the importance of initialization and momentum
    in deep learning, 2013 (the Nesterov form; here the rate multiplies v at the moment it is used).

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.tensor([4.0, -2.0], requires_grad=True)
    >>> optimizer = SGD([w], lr=0.1, momentum=0.5)
    >>> for _ in range(40):
    ...     optimizer.zero_grad()
    ...     (w * w).sum().backward()
    ...     optimizer.step()
    >>> bool(abs(w.data).max() < 1e-4)
    True
    """

    remembers = ("velocity",)

    def __init__(
        self, params: Iterable, lr: Rate, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
        if any(group["nesterov"] and not group["momentum"] for group in self.groups):
            raise ValueError("SGD: nesterov=True needs a momentum above 0")

    @in_one_pass("sgd", why="1.5 times as fast for 337 elements in 6 tensors, 2 to 3 times for 100,000")
    def change(self, w, g, state, lr, momentum, nesterov, weight_decay) -> np.ndarray:
        if weight_decay:
            g = g + weight_decay * w
        if not momentum:
            return lr * g
        v = state["velocity"] = momentum * state.get("velocity", 0) + g
        return lr * (g + momentum * v if nesterov else v)
