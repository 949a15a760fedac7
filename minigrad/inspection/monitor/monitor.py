"""Watching a training run: activations, gradients and updates, layer by layer and step by step.

- `monitor = mg.GradientMonitor(model, optimizer)`, and `monitor.step()` after every `backward()`.
- `print(monitor.table())`, `monitor.plot("run.png")`: what it saw.
- `monitor.save("run.npz")`, `.to_csv(path)`, `.to_tensorboard(folder)`: the same in files.

It listens to the gradients that `backward()` sends anyway, and changes no number.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from time import perf_counter
from typing import Any, Literal, get_args

import numpy as np

from minigrad.files import npz, replacing
from minigrad.graph import GraphError, Node
from minigrad.inspection.monitor.histogram import Histograms
from minigrad.inspection.monitor.history import History
from minigrad.inspection.monitor.layer import Layer
from minigrad.inspection.monitor.listening import listen
from minigrad.inspection.monitor.looks import Walk, finite_or_infinite, length
from minigrad.printed import Text
from minigrad.tensor import Tensor

Level = Literal["norms", "hist", "full"]
TINY = 1e-8  # a weight with a smaller norm has no update ratio


def timed(method: Callable) -> Callable:
    """The method, with the time it takes added to the monitor's own."""

    @functools.wraps(method)
    def run(self: GradientMonitor, *xs: Any) -> None:
        begun = perf_counter()
        self.begun = self.begun or begun
        try:
            method(self, *xs)
        finally:
            self.ended = perf_counter()
            self.inside += self.ended - begun

    return run


class GradientMonitor:
    """Records what activations, gradients and parameters do while a model is trained.

    Call `step()` after `backward()` and before the gradients are clipped. The monitor hears every `backward()` of
    its thread from the moment it is made until `close()`, the end of its `with` block, or until it is freed.
    `print(monitor.table())` shows the result, and marks what looks wrong; `monitor.plot("run.png")` draws it.

    Parameters
    ----------
    model : Module
        Only what is computed with its parameters counts: two models can be watched side by side.
    optimizer : Optimizer, optional
        If given, its steps are recorded too: the gradients it used, after clipping, and how far it moved parameters.
    every : int
        Record one step out of this many. It costs about 20 µs for each layer and parameter, and one pass over their
        arrays: little for large layers, as much as the rest of the step for layers of 64 units.
    level : "norms", "hist" or "full"
        "hist" adds `histograms`, and "full" `units` as well.
    window : int or None
        A ReLU unit is dead if no sample made it active in this many recorded batches, or since the last `reset()` if
        those are fewer; it is never judged by fewer than 256 samples. None: always since the last `reset()`.

    Attributes
    ----------
    history : History
        "quantity/name" → values over time, in memory that does not grow: see `minigrad.inspection.monitor.history`.

        Of each layer, at its output h: `activation_norm`, `activation_rms` = ‖h‖/√n, `activation_zeros` (the share
        of exact zeros), and `gradient_…` the same; `saturated`, the share of bounded activations with
        φ'(z) < 0.1·max φ'; `dead`, the share of dead ReLU units; `born_dead`, of those that were never active.
        Of each parameter: `gradient_norm`, `weight_norm`, and from an optimizer `clipped_norm` (of the gradient it
        used), `change_norm` = ‖Δw‖, and `update_ratio` = ‖Δw‖/‖w‖ unless ‖w‖ < 1e-8.
        Of all parameters, or those that the optimizer trains: `global_norm`, `global_clipped_norm`.
    histograms : Histograms
        "activation/layer", "gradient/layer", "gradient/parameter" → counts, in fixed bins of one octave.

    Raises
    ------
    GraphError
        By `step()`, if no gradient of the model was heard: a monitor that records nothing should not stay silent.

    Notes
    -----
    A layer is named by the path of its module. Its output is what the module itself computed and other modules use,
    those inside it included. A module that is called several times in a step counts as one.

    Examples
    --------
    >>> import numpy as np, minigrad as mg
    >>> from layers import Dense, Sequential
    >>> from optim import SGD
    >>> model = Sequential(Dense(2, 2, "tanh", init=np.eye(2)), Dense(2, 1, init=np.ones((2, 1))))
    >>> optimizer = SGD(model.parameters(), lr=0.01)
    >>> with mg.GradientMonitor(model, optimizer) as monitor:
    ...     for _ in range(3):
    ...         optimizer.zero_grad()
    ...         mg.mse(model(np.ones((4, 2))), np.zeros((4, 1))).backward()
    ...         monitor.step()
    ...         optimizer.step()
    >>> monitor.history["update_ratio/layers.1.weight"].round(4)
    array([0.0232, 0.0217, 0.0203])
    """

    def __init__(
        self, model: Any, optimizer: Any = None, every: int = 1, level: Level = "norms", window: int | None = 100
    ) -> None:
        if not hasattr(model, "named_parameters"):
            raise TypeError(f"GradientMonitor: model must be a Module, not {type(model).__name__}")
        if optimizer is not None and not hasattr(optimizer, "meters"):
            raise TypeError(f"GradientMonitor: optimizer must be an Optimizer, not {type(optimizer).__name__}")
        if level not in get_args(Level):
            raise ValueError(f"GradientMonitor: level {level!r} is not one of {', '.join(get_args(Level))}")
        for name, count in (("every", every), ("window", 1 if window is None else window)):
            if not isinstance(count, int) or count < 1:
                raise ValueError(f"GradientMonitor: {name} must be a whole number above 0, not {count!r}")
        self.model, self.optimizer = model, optimizer
        self.every, self.level, self.window = every, level, window
        self.names: dict[Tensor, str] = {p: name for name, p in model.named_parameters()}
        self.trained = [p for p in (optimizer.params if optimizer is not None else self.names) if p in self.names]
        if not self.trained:
            raise ValueError("GradientMonitor: the optimizer trains no parameter of the model")
        self.history = History()
        self.histograms = Histograms(size=sum(p.size for p in self.names))
        self.layers: dict[str, Layer] = {}  # by scope, in the order of the forward pass
        self.steps = 0
        self.walk = Walk()  # what was heard and is not yet in the layers
        self.heard = False  # whether this step had a gradient of the model
        self.waiting: set[Tensor] = set()  # parameters that the optimizer has yet to move
        self.used: list[float] = []  # norms of the gradients that the optimizer used
        self.closed = False
        self.begun = self.ended = self.inside = 0.0
        self.measure, self.leave = listen(self, self._hear, self._moved, optimizer)

    @timed
    def _hear(self, node: Node, g: np.ndarray) -> None:
        """Called by `backward()` for each node, younger ones first."""
        if self.steps % self.every == 0 and not self.closed:
            self.measure(True)
            if self.walk.is_before(node):
                self._take_in()
            self.walk.hear(node, g, self.histograms.count if self.level != "norms" else None, self.level == "full")

    @timed
    def step(self) -> None:
        """Record what `backward()` brought since the last step."""
        if self.closed:
            raise GraphError("GradientMonitor.step: the monitor is closed")
        self.waiting, self.used = set(), []
        if self.steps % self.every == 0:
            self._take_in()
            if not self.heard:
                raise GraphError(
                    "GradientMonitor.step: no gradient of the model has arrived since the last step; call it between "
                    "backward() (not grad()) and optimizer.step(), in the thread that made the monitor"
                )
            self._record()
        else:
            self.measure(False)
        self.steps += 1

    def _take_in(self) -> None:
        """Hand what was heard to the layers, in forward order; a `backward()` that was cut off is dropped."""
        for scope, look in () if self.walk.is_cut_off() else self.walk.of_model(self.names.keys()):
            self.heard = True
            if look is not None:
                if scope not in self.layers:
                    self.layers[scope] = Layer(scope or type(self.model).__name__, self.window)
                self.layers[scope].take(look)
        self.walk = Walk()

    def _record(self) -> None:
        """Write down the step in the history and in the histograms."""
        self.heard = False
        self.history.begin(self.steps)
        self.histograms.begin(self.steps)
        for layer in self.layers.values():
            for what, counts in layer.counts.items():
                self.histograms.add(f"{what}/{layer.name}", counts)
            for quantity, value in layer.finish():
                self.history.put(f"{quantity}/{layer.name}", value)
        gradients = {p: length(p.grad) for p in self.names if p.grad is not None}
        moving = [p for p in self.trained if p in gradients]
        if self.optimizer is not None:
            self.waiting = set(moving)
        for p, norm in gradients.items():
            name = self.names[p]
            self.history.put(f"gradient_norm/{name}", norm)
            if p not in self.waiting:  # else the optimizer reports it, which reads the parameter anyway
                self.history.put(f"weight_norm/{name}", length(p.data))
            if self.level != "norms":
                self.histograms.add(f"gradient/{name}", self.histograms.count(p.grad))
        if moving:
            self.history.put("global_norm", math.hypot(*(gradients[p] for p in moving)))

    @timed
    def _moved(self, parameter: Tensor, weight: float, gradient: float, change: float) -> None:
        """Called by the optimizer for each parameter that it has moved."""
        if self.walk.looks or self.heard:  # the optimizer moved weights before `step()`: drop what was heard
            self.walk, self.heard = Walk(), False
            for layer in self.layers.values():
                layer.start()
        if parameter in self.waiting:
            name = self.names[parameter]
            self.waiting.remove(parameter)
            self.used.append(gradient)
            self.history.put(f"weight_norm/{name}", finite_or_infinite(weight))
            self.history.put(f"clipped_norm/{name}", gradient)
            self.history.put(f"change_norm/{name}", change)
            if weight >= TINY:
                self.history.put(f"update_ratio/{name}", change / weight)
            if not self.waiting:
                self.history.put("global_clipped_norm", math.hypot(*self.used))

    def reset(self) -> None:
        """Forget which units were active, and the averages in `units`: a new window begins."""
        for layer in self.layers.values():
            layer.reset()

    def close(self) -> None:
        """Stop listening; what was recorded stays."""
        self.closed = True
        self.walk, self.waiting = Walk(), set()
        self.leave()

    def __enter__(self) -> GradientMonitor:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def units(self) -> dict[str, dict[str, np.ndarray]]:
        """Layer → quantity → one number per unit, over all samples since `reset()`; empty but for level "full".

        `activation_rms`, `gradient_rms`, and the shares `active` (of ReLU) and `saturated` (of bounded activations).
        """
        return {layer.name: layer.unit_map() for layer in self.layers.values() if layer.totals}

    @property
    def overhead(self) -> float:
        """The share of the time since the first `backward()` that was spent inside the monitor."""
        return self.inside / (self.ended - self.begun) if self.inside else 0.0

    def table(self) -> str:
        """The last step as plain text, marked where a value was out of bounds three times in a row."""
        from minigrad.inspection.monitor.table import table

        return Text(table(self))

    def plot(self, path: str | os.PathLike | None = None) -> Any:
        """Update ratios and gradient norms over time: a matplotlib Figure, also written to `path` if there is one."""
        from minigrad.inspection.monitor.plot import plot

        return plot(self, path)

    def save(self, path: str | os.PathLike) -> None:
        """Write all that was recorded to an .npz file; `np.load(path)` gives the arrays of `history` under their names.

        Save now and then: the file is replaced at once, so a run that is killed while it saves leaves the old one.
        """
        arrays: dict[str, Any] = {**self.history, **self.histograms.arrays()}
        arrays |= {f"units/{layer}/{name}": x for layer, xs in self.units.items() for name, x in xs.items()}
        with replacing(npz(path)) as file:
            np.savez(file, **arrays)

    def to_csv(self, path: str | os.PathLike) -> None:
        """Write the history, a line per row; a cell is empty where nothing was computed."""
        self.history.to_csv(path)

    def to_tensorboard(self, folder: str | os.PathLike) -> None:
        """Write event files for TensorBoard, through the package tensorboardX."""
        self.history.to_tensorboard(folder, self.histograms)

    def __repr__(self) -> str:
        return f"<GradientMonitor of {len(self.layers)} layers after {self.steps} steps, level {self.level!r}>"
