"""Training that records everything, for the lessons that compare ways to train.

- `Way(rate, clip, …)`: one way to train; `ways(rate, limit, steps)`: all that are said to bound the steps.
- `train(model, images, way, steps, rng)`: train in one way, and return what was recorded.
- `fit(model, optimizer, images, epochs, rng)`: train without recording.
- `lost(model, images, step)`: the share of units that one step of length `step` leaves dead or saturated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import chain, islice, repeat
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
import optim
from demos.datasets import Dataset
from layers import Module
from minigrad.data import accuracy, batches

SWEEP = {f"{x:g}": float(x) for x in 10.0 ** np.arange(-3, 4)}  # thresholds for the global norm


class Way(NamedTuple):
    """One way to train."""

    rate: Callable[[int], float]
    clip: Callable = partial(optim.clip_by_global_norm, limit=math.inf)  # called with the parameters, or AutoClip
    l2: float = 0.0
    l1: float = 0.0
    optimizer: Callable[..., optim.Optimizer] = optim.SGD

    def objective(self, loss: mg.Tensor, weights: list) -> mg.Tensor:
        """The loss and the penalties on large weights."""
        penalties = ((optim.l2_penalty, self.l2), (optim.l1_penalty, self.l1))
        return sum((penalty(weights, strength) for penalty, strength in penalties if strength), start=loss)


def ways(rate: float, limit: float, steps: int) -> dict[str, Way]:
    """Every way to bound the steps, and a sweep over the threshold."""
    constant, decay = optim.Constant(rate), optim.ExponentialDecay(rate, 0.01, steps)
    by_norm = partial(partial, optim.clip_by_global_norm)
    return {
        "constant": Way(constant),
        "clip value": Way(constant, partial(optim.clip_by_value, limit=limit / 100)),
        "clip tensor": Way(constant, partial(optim.clip_by_norm, limit=limit)),
        "clip global": Way(constant, by_norm(limit=limit)),
        "adaptive": Way(constant, optim.clip_adaptively),
        "AutoClip": Way(constant, optim.AutoClip),
        "scale up too": Way(constant, partial(optim.normalise_gradient, norm=limit)),
        "exponential": Way(decay),
        "square root": Way(optim.SqrtDecay(rate)),
        "natural exp.": Way(optim.NaturalExponentialDecay(rate, 3, steps)),
        "inverse time": Way(optim.InverseTimeDecay(rate, 30, steps)),
        "clip + decay": Way(decay, by_norm(limit=limit)),
        "L2": Way(constant, l2=1e-3),
        "He's weights": Way(constant),  # constant again, but the network starts elsewhere
        **{name: Way(constant, by_norm(limit=x)) for name, x in SWEEP.items()},
    }


def train(model: Module, images: Dataset, way: Way, steps: int, rng: np.random.Generator) -> dict[str, Any]:
    """Curves by step, and the results of training, which a gradient that is not finite ends early.

    A `ReduceOnPlateau` observes the mean loss of each epoch.
    """
    params, weights = model.parameters(), [p for p in model.parameters() if p.ndim == 2]
    clip = way.clip(params) if way.clip is optim.AutoClip else partial(way.clip, params)
    optimizer = way.optimizer(params, lr=way.rate)
    losses: list[float] = []
    rates: list[float] = []
    angle, diverged, epoch = 0.0, False, batches(images.x, images.y, 64, rng)
    with np.errstate(all="ignore"), mg.GradientMonitor(model, optimizer, window=10) as monitor:
        for x, y in islice(chain.from_iterable(repeat(epoch)), steps):
            optimizer.zero_grad()
            loss = mg.cross_entropy(model(x), y)
            way.objective(loss, weights).backward()
            monitor.step()
            before = None if losses else flat(params)
            clip()
            angle = angle if losses else between(before, flat(params))
            losses.append(loss.item())
            rates.append(optimizer.lr)
            try:
                optimizer.step()
            except FloatingPointError:
                diverged = True
                break
            if isinstance(way.rate, optim.ReduceOnPlateau) and len(losses) % len(epoch) == 0:
                way.rate.observe(np.mean(losses[-len(epoch) :]))
        model.eval()
        correct = 0.0 if diverged else accuracy(model(images.x_held_out), images.y_held_out)
        model.train()
        seen = monitor.history
        gradient, nothing = seen["global_norm"], np.full(len(seen["step"]), np.nan)
        coefficient = seen.get("global_clipped_norm", nothing) / gradient
        change = np.hypot.reduce([0 * seen["step"], *seen.of("change_norm").values()])
    return {
        "losses": np.array(losses),
        "step": seen["step"],
        "gradient": gradient,
        "coefficient": np.nan_to_num(coefficient, nan=1.0),  # where there is nothing to clip
        "rate": np.array(rates)[seen["step"]],
        "change": np.nan_to_num(change),
        "angle": angle,
        "dead": float(seen.get("dead/layers.1", nothing)[-1]),
        "correct": correct,
        "diverged": diverged,
    }


def fit(
    model: Module, optimizer: optim.Optimizer, images: Dataset, epochs: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Loss and share correct on held-out images after training in batches of 64; (∞, 0) if it diverged."""
    model.train()
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(epochs):
            for x, y in batches(images.x, images.y, 64, rng):
                optimizer.zero_grad()
                mg.cross_entropy(model(x), y).backward()
                try:
                    optimizer.step()
                except FloatingPointError:  # a gradient that is not finite
                    return math.inf, 0.0
    model.eval()
    with mg.no_grad():
        logits, labels = model(images.x_held_out), images.y_held_out
        return mg.cross_entropy(logits, labels).item(), accuracy(logits, labels)


def flat(params: list) -> np.ndarray:
    return np.concatenate([p.grad.ravel() for p in params])


def between(a: np.ndarray, b: np.ndarray) -> float:
    """The angle between two vectors, in degrees."""
    return float(np.degrees(np.arccos(np.clip(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)), -1, 1))))


def lost(model: Module, images: Dataset, step: float) -> float:
    """The share of units that are dead or saturated after one step of length `step` against the gradient."""
    backward(model, images)
    optim.normalise_gradient(model.parameters(), 1)
    optim.SGD(model.parameters(), lr=step).step()
    with mg.GradientMonitor(model) as monitor:
        for _ in range(3):  # enough samples to call a unit dead
            backward(model, images)
            monitor.step()
    shares = monitor.history.of("dead") or monitor.history.of("saturated")
    return float(np.mean([share[-1] for share in shares.values()]))


def backward(model: Module, images: Dataset) -> None:
    mg.cross_entropy(model(images.x[:500]), images.y[:500]).backward()
