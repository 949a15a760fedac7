"""What all optimizers share; a subclass adds only `change`, which says how far a parameter moves.

- `optimizer.step()`: w ← w − change, for every parameter that has a gradient; `step(clip=1.0)` limits their norm.
- `optimizer.lr`: the learning rate now; assign a number or a schedule to change it.
- `optimizer.state_dict()`: everything needed to resume training with the same steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from minigrad import Tensor
from minigrad.arrays import length
from optim.checks import number, positive, setting, tensors
from optim.clip import shortening
from optim.one_pass import kernels_of, move
from optim.state import restore, saved

Rate = float | Callable[[int], float]


class Optimizer:
    """Moves parameters against their gradients.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        A dict is a group with settings of its own, `{"params": [w, b], "lr": 0.01}`. Frozen tensors do not move.
    lr : float or callable
        The learning rate, or a function of the step: a schedule. The first step is step 0.
    **settings
        Those of the subclass, such as momentum.

    Attributes
    ----------
    params, groups, size, steps
        All parameters in order, their groups, how many numbers they hold, and how many steps were taken.
    state, listeners, meters
        What is remembered of each parameter; functions called after each move, as `listener(parameter, gradient,
        change)` and `meter(parameter, ‖w‖ before, ‖gradient‖, ‖change‖)`, with the gradient after clipping.
    """

    remembers: tuple[str, ...] = ()  # names of the arrays in a parameter's state, which have its shape

    def __init__(self, params: Iterable, lr: Rate, **settings: Any) -> None:
        self.kind = type(self).__name__
        self.lr = lr
        self.steps = 0
        self.listeners: list[Callable[[Tensor, np.ndarray, np.ndarray], None]] = []
        self.meters: list[Callable[..., None]] = []
        given = tensors(self.kind, params, allowed=(Tensor, dict))
        grouped = any(isinstance(part, dict) for part in given)
        self.groups = [self._group(part, settings) for part in (given if grouped else [{"params": given}])]
        self.params: list[Tensor] = [p for group in self.groups for p in group["params"]]
        self.size = sum(p.size for p in self.params)
        self.state: dict[Tensor, dict[str, Any]] = {}
        if not self.params:
            raise ValueError(f"{self.kind}: there are no parameters to train; does the model have any?")
        trainable = any(p.requires_grad for p in self.params)  # some may be frozen now and trained later
        for i, p in enumerate(self.params):
            if not (trainable and p.is_leaf):
                raise ValueError(f"{self.kind}: {self._name(i)} is not a leaf that requires gradients")
            if p in self.state:
                raise ValueError(f"{self.kind}: {self._name(i)} is given twice")
            self.state[p] = {"steps": 0}

    def _group(self, given: Any, settings: dict) -> dict[str, Any]:
        """A group with all its settings, checked."""
        if not isinstance(given, dict) or "params" not in given or given.keys() - {"params", "lr", *settings}:
            what = sorted(given) if isinstance(given, dict) else type(given).__name__
            raise ValueError(f"{self.kind}: a group is a dict of params, lr, {', '.join(settings)}; this one is {what}")
        own = {"lr": self._checked_lr(given["lr"])} if "lr" in given else {}
        values = {name: setting(self.kind, name, given.get(name, value)) for name, value in settings.items()}
        return {"params": tensors(self.kind, given["params"]), **own, **values}

    def _checked_lr(self, lr: Rate) -> Rate:
        return lr if callable(lr) else number(f"{self.kind}: lr", lr)

    def _name(self, i: int) -> str:
        p = self.params[i]
        return f"parameter {p.name!r}" if p.name else f"parameter {i} of shape {p.shape}"

    @property
    def lr(self) -> float:
        """The learning rate of the next step, except in groups with a rate of their own: `groups[i]["lr"]`."""
        return self._rate({})

    @lr.setter
    def lr(self, lr: Rate) -> None:
        self.common = {"lr": self._checked_lr(lr)}

    def _rate(self, group: dict) -> float:
        lr = group.get("lr", self.common["lr"])
        return number(f"{self.kind}: lr at step {self.steps}", lr(self.steps) if callable(lr) else lr)

    def zero_grad(self) -> None:
        """Set all gradients to None; otherwise the next `backward()` adds to them."""
        for p in self.params:
            p.zero_grad()

    def step(self, clip: float = math.inf) -> None:
        """Move every parameter that requires and has a gradient; gradients are only read.

        Parameters
        ----------
        clip : float
            Use every gradient times min(1, clip/‖g‖), as `clip_by_global_norm` would leave it, in the same pass.

        Raises
        ------
        FloatingPointError
            If a gradient, or its norm, is not finite. Nothing is changed then.
        """
        rates = [self._rate(group) for group in self.groups]  # everything that can fail comes before the first write
        sum_of_squares, kernel = kernels_of(self)
        norms = self._norms(sum_of_squares)
        scale = shortening(math.hypot(*norms.values()), positive(f"{self.kind}.step: clip", clip))
        for group, lr in zip(self.groups, rates, strict=True):
            settings = {name: value for name, value in group.items() if name not in ("params", "lr")}
            for p in group["params"]:
                if p in norms:
                    move(self, p, norms[p], scale, lr, settings, kernel)
        self.steps += 1

    def _norms(self, sum_of_squares: Callable) -> dict[Tensor, float]:
        """Parameter to be moved → ‖g‖; FloatingPointError if one is not finite."""
        norms = {}
        for i, p in enumerate(self.params):
            if p.requires_grad and (g := p.grad) is not None:
                norms[p] = norm = length(g, sum_of_squares)
                if not math.isfinite(norm):
                    what = f"{'the gradient of ' if np.all(np.isfinite(p.data)) else ''}{self._name(i)} is not finite"
                    raise FloatingPointError(f"{self.kind}: {what}; nothing changed; mg.detect_anomaly() finds the op")
        return norms

    def change(self, w: Any, g: Any, state: dict, lr: float, *args: Any, **settings: Any) -> np.ndarray:
        """What to subtract from `w`, given its gradient `g`; writes to `state` only, {"steps": 1} in the first step."""
        raise NotImplementedError(f"{self.kind} has no change(self, w, g, state, lr)")

    state_dict, load_state_dict = saved, restore

    def __repr__(self) -> str:
        groups = [{**self.common, **group, "params": len(group["params"])} for group in self.groups]
        settings = (", ".join(f"{name}={value}" for name, value in group.items()) for group in groups)
        return f"{self.kind}({'; '.join(settings)})"
