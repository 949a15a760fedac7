"""What every optimizer does; how far a parameter moves is all that each adds.

- `optimizer.step()`: w ← w − change, for every parameter that has a gradient.
- `optimizer.lr`: the learning rate now; assign a number or a schedule to change it.
- `optimizer.state_dict()`: what is needed to go on later as if nothing had happened.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np

from minigrad import Tensor

Rate = float | Callable[[int], float]  # a number, or a function of the step


def tensors(caller: str, params: Iterable[Tensor]) -> list[Tensor]:
    """`params` as a list; TypeError if it is anything but an iterable of tensors."""
    if isinstance(params, Tensor) or not isinstance(params, Iterable):
        kind = type(params).__name__
        raise TypeError(f"{caller}: params is an iterable of tensors such as model.parameters() or [w], not a {kind}")
    params = list(params)
    for i, p in enumerate(params):
        if not isinstance(p, Tensor):
            raise TypeError(f"{caller}: params[{i}] is a {type(p).__name__}, not a tensor; pass model.parameters()")
    return params


def number(what: str, value: Any, below: float = math.inf) -> float:
    """`value` as a Python float (one of NumPy's would widen float32), provided that 0 ≤ value < below."""
    if not isinstance(value, Real):
        raise TypeError(f"{what} is a number, not {value!r}")
    if not 0 <= value < below:
        raise ValueError(f"{what} = {value} is out of range, 0 ≤ value < {below} is allowed")
    return float(value)


class Optimizer:
    """Moves parameters against their gradients. A subclass says how far (`change`) and what it needs (`checked`).

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        A dict is a group with settings of its own: `{"params": [w, b], "lr": 0.01}`; what it leaves out it
        shares with the others.
    lr : float or callable
        The learning rate, or a function of the step: a schedule. The first step is step 0.
    **settings
        Those of the subclass.

    Attributes
    ----------
    groups : list of dict
        Parameters and settings; a group without an "lr" follows that of the optimizer.
    steps : int
        How many steps were taken.
    state : dict
        Tensor → what is remembered about it.
    listeners : list of callable
        Each is told of every move: `listener(parameter, gradient, change)`.
    """

    remembers: tuple[str, ...] = ()  # the arrays that `state` holds for a parameter

    def __init__(self, params: Iterable, lr: Rate, **settings: Any) -> None:
        self.kind = type(self).__name__
        self.lr = lr
        self.steps = 0
        self.state: dict[Tensor, dict[str, Any]] = {}
        self.listeners: list[Callable[[Tensor, np.ndarray, np.ndarray], None]] = []
        params = params if isinstance(params, Tensor) or not isinstance(params, Iterable) else list(params)
        grouped = isinstance(params, list) and params and all(isinstance(part, dict) for part in params)
        self.groups = [self._group(part, settings) for part in (params if grouped else [{"params": params}])]
        self._check_parameters()

    def _group(self, given: dict, settings: dict) -> dict[str, Any]:
        """A group with all its settings, each of them checked."""
        unknown = given.keys() - {"params", "lr", *settings}
        if unknown or "params" not in given:
            raise ValueError(f"{self.kind}: a group has params, lr, {', '.join(settings)}; not {sorted(given)}")
        own = {"lr": self._checked_lr(given["lr"])} if "lr" in given else {}
        checked = self.checked(**{name: given.get(name, value) for name, value in settings.items()})
        return {"params": tensors(self.kind, given["params"]), **own, **checked}

    def _check_parameters(self) -> None:
        params = self.parameters()
        if not params:
            raise ValueError(f"{self.kind}: there are no parameters to train; does the model have any?")
        for i, p in enumerate(params):
            if not p.requires_grad:
                raise ValueError(f"{self.kind}: {self._name(i)} does not require gradients, so nothing can train it")
            if any(p is other for other in params[:i]):
                raise ValueError(f"{self.kind}: {self._name(i)} is given twice")

    def _checked_lr(self, lr: Rate) -> Rate:
        return lr if callable(lr) else number(f"{self.kind}: lr", lr)

    def checked(self, **settings: Any) -> dict[str, Any]:
        """The settings of a group, or an error that names the wrong one."""
        raise NotImplementedError

    def change(self, w: np.ndarray, g: np.ndarray, state: dict, lr: float, **settings: Any) -> np.ndarray:
        """What to subtract from `w`, whose gradient is `g`; it writes to neither, only to `state`."""
        raise NotImplementedError

    def parameters(self) -> list[Tensor]:
        """All parameters, in the order of their positions."""
        return [p for group in self.groups for p in group["params"]]

    def _name(self, i: int) -> str:
        p = self.parameters()[i]
        return f"parameter {p.name!r}" if p.name else f"parameter {i} of shape {p.shape}"

    @property
    def lr(self) -> float:
        """The learning rate of the next step; a number or a schedule can be assigned."""
        return self._rate({})

    @lr.setter
    def lr(self, lr: Rate) -> None:
        self._lr = self._checked_lr(lr)

    def _rate(self, group: dict) -> float:
        lr = group.get("lr", self._lr)
        return number(f"{self.kind}: lr at step {self.steps}", lr(self.steps)) if callable(lr) else lr

    def zero_grad(self) -> None:
        """Forget all gradients; call it before each `backward()`, which adds."""
        for p in self.parameters():
            p.zero_grad()

    def step(self) -> None:
        """Move every parameter that has a gradient. Gradients are only read.

        Raises
        ------
        FloatingPointError
            If a gradient is not finite. Nothing has been changed then.
        """
        rates = [self._rate(group) for group in self.groups]
        for i, p in enumerate(self.parameters()):
            if p.grad is not None and not np.isfinite(p.grad).all():
                raise FloatingPointError(
                    f"{self.kind}.step: the gradient of {self._name(i)} is not finite; nothing was changed"
                )
        for group, lr in zip(self.groups, rates, strict=True):
            settings = {name: value for name, value in group.items() if name not in ("params", "lr")}
            for p in group["params"]:
                if p.grad is not None:
                    self._move(p, lr, settings)
        self.steps += 1

    def _move(self, p: Tensor, lr: float, settings: dict) -> None:
        state = self.state.setdefault(p, {"steps": 0})
        state["steps"] += 1
        change = self.change(p.data, p.grad, state, lr, **settings)
        p.data -= change  # in place: the array keeps its identity, and the graph notices
        for listener in self.listeners:
            listener(p, p.grad, change)

    def state_dict(self) -> dict[str, Any]:
        """A copy of all that steps have changed, by position: `{"steps": 3, "lr": 0.1, "0.velocity": array, …}`.

        All values are arrays or numbers, so `np.savez(path, **optimizer.state_dict())` keeps them in a file.
        """
        saved: dict[str, Any] = {"steps": self.steps}
        for key, lr in self._rates().items():
            if not callable(lr):
                saved[key] = lr
        for i, p in enumerate(self.parameters()):
            saved.update({f"{i}.{name}": np.array(value) for name, value in self.state.get(p, {}).items()})
        return saved

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what another optimizer of this kind saved, over parameters of the same shapes and order."""
        fresh: dict[Tensor, dict[str, Any]] = {}
        params = self.parameters()
        for key in state.keys() - {"steps", *self._rates()}:
            position, _, name = key.partition(".")
            value = np.array(state[key])
            p = params[int(position)] if position.isdecimal() and int(position) < len(params) else None
            if (
                p is None
                or name not in ("steps", *self.remembers)
                or value.shape != (() if name == "steps" else p.shape)
            ):
                raise ValueError(f"{self.kind}.load_state_dict: {key!r} of shape {value.shape} has no place here")
            fresh.setdefault(p, {})[name] = int(value) if name == "steps" else value.astype(p.dtype)
        self.state = fresh
        self.steps = int(state["steps"])

    def _rates(self) -> dict[str, Rate]:
        """The learning rates by their names in a state: that of the optimizer, and those of groups with their own."""
        own = {f"groups.{i}.lr": group["lr"] for i, group in enumerate(self.groups) if "lr" in group}
        return {"lr": self._lr, **own}
