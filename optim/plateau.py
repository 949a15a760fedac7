"""A learning rate that drops when a metric stops improving.

>>> import minigrad as mg
>>> from optim import SGD, ReduceOnPlateau
>>> schedule = ReduceOnPlateau(0.1, factor=0.5, patience=1)
>>> optimizer = SGD([mg.tensor(1.0, requires_grad=True)], lr=schedule)
>>> for loss in (1.0, 0.8, 0.8, 0.8):
...     schedule.observe(loss)
>>> optimizer.lr
0.05
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from optim.checks import number
from optim.schedule import Schedule


@dataclass(eq=False)
class ReduceOnPlateau(Schedule):
    """lr·factorⁿ, where n counts how often more than `patience` observations in a row made no progress.

    Parameters
    ----------
    lr : float
        The rate to start with.
    factor : float
        A drop multiplies the rate by this, in [0, 1).
    patience : int
        How many observations in a row may make no progress before the rate drops.
    mode : str
        Whether the metric should fall, "min", or rise, "max".
    threshold, threshold_mode : float, str
        Progress is a metric below best·(1 − threshold) for threshold_mode "rel", below best − threshold for "abs"; with
        mode "max", above best·(1 + threshold) or best + threshold.
    cooldown : int
        How many observations after a drop do not count as failures.
    min_lr, eps : float
        The rate never falls below min_lr; a drop of eps or less is skipped.

    References
    ----------
    Krizhevsky, Sutskever and Hinton, ImageNet classification with deep convolutional neural networks, 2012, divided
    the rate by 10 whenever the validation error stopped improving.
    """

    lr: float
    factor: float = 0.1
    patience: int = 10
    mode: str = "min"
    threshold: float = 1e-4
    threshold_mode: str = "rel"
    cooldown: int = 0
    min_lr: float = 0.0
    eps: float = 1e-8
    state: dict[str, float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not name.endswith("mode"):
                number(f"ReduceOnPlateau: {name}", value, below=1 if name == "factor" else math.inf)
        if self.mode not in ("min", "max"):
            raise ValueError(f"ReduceOnPlateau: mode is 'min' or 'max', not {self.mode!r}")
        if self.threshold_mode not in ("rel", "abs"):
            raise ValueError(f"ReduceOnPlateau: threshold_mode is 'rel' or 'abs', not {self.threshold_mode!r}")
        worst = math.inf if self.mode == "min" else -math.inf
        self.state = {"lr": float(self.lr), "best": worst, "failures": 0.0, "cooling": 0.0}

    def at(self, t: float) -> float:
        return self.state["lr"]

    def observe(self, metric: Any) -> None:
        """Take a new value of the metric (a number, or a Tensor with one element), for example once an epoch."""
        state, metric = self.state, float(metric)
        if self.is_progress(metric):
            state["best"], state["failures"] = metric, 0
        else:
            state["failures"] += 1
        if state["cooling"] > 0:
            state["cooling"], state["failures"] = state["cooling"] - 1, 0
        if state["failures"] > self.patience:
            state["cooling"], state["failures"] = self.cooldown, 0
            lower = max(state["lr"] * self.factor, self.min_lr)
            if state["lr"] - lower > self.eps:
                state["lr"] = lower

    def is_progress(self, metric: float) -> bool:
        margin = self.threshold if self.mode == "max" else -self.threshold
        bound = self.state["best"] * (1 + margin) if self.threshold_mode == "rel" else self.state["best"] + margin
        return metric > bound if self.mode == "max" else metric < bound
