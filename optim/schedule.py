"""Learning rates that change with the step. Any function of the step can take their place.

- `schedule = CosineDecay(0.1, steps=1000)`: `schedule(step)` → rate, from `lr` to `final`; the first update is step 0.
- `SGD(params, lr=schedule)` calls it at each step; `schedule.plot(1000)` draws it before anything is trained.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from optim.checks import number, positive

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Schedule:
    """A function of the step. A subclass is a dataclass of numbers with its formula in `at`."""

    state: Any = MappingProxyType({})  # name → number that changes in training; most schedules have none

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            (positive if name in ("steps", "every") else number)(f"{type(self).__name__}: {name}", value)

    def __call__(self, step: int) -> float:
        """The learning rate of update `step`; the first update is step 0."""
        number(f"{type(self).__name__}: step", step)
        return number(f"{type(self).__name__}: the rate at step {step}", self.at(step))

    def at(self, t: float) -> float:
        """The formula."""
        raise NotImplementedError(f"{type(self).__name__} has no at(self, t)")

    def plot(self, steps: int, ax: Axes | None = None) -> Axes:
        """Draw the rates of updates 0 … steps − 1."""
        import matplotlib.pyplot as plt

        ax = plt.subplots()[1] if ax is None else ax
        ax.plot([self(t) for t in range(int(number(f"{type(self).__name__}.plot: steps", steps)))], label=repr(self))
        ax.set(xlabel="step", ylabel="learning rate")
        ax.legend()
        return ax


@dataclass(frozen=True)
class Constant(Schedule):
    """lr, at every step.

    >>> Constant(0.1)(1000)
    0.1
    """

    lr: float

    def at(self, t):
        return self.lr


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """lr·rate^(t/steps): smooth decay by the factor `rate` every `steps` steps (Senior et al., ICASSP 2013).

    >>> ExponentialDecay(0.1, rate=0.5, steps=10)(20)
    0.025
    """

    lr: float
    rate: float
    steps: float = 1

    def at(self, t):
        return self.lr * self.rate ** (t / self.steps)


@dataclass(frozen=True)
class NaturalExponentialDecay(Schedule):
    """lr·e^(−rate·t/steps): the same curve, its rate given as an exponent.

    >>> round(NaturalExponentialDecay(1.0, rate=1.0, steps=5)(5), 4)  # 1/e
    0.3679
    """

    lr: float
    rate: float
    steps: float = 1

    def at(self, t):
        return self.lr * math.exp(-self.rate * t / self.steps)


@dataclass(frozen=True)
class SqrtDecay(Schedule):
    """lr/√(t + 1): the rate of online gradient descent on convex losses (Zinkevich, ICML 2003).

    >>> SqrtDecay(0.1)(3)
    0.05
    """

    lr: float

    def at(self, t):
        return self.lr / math.sqrt(t + 1)


@dataclass(frozen=True)
class InverseTimeDecay(Schedule):
    """lr/(1 + rate·t/steps): Σlr = ∞ and Σlr² < ∞, as stochastic approximation needs (Robbins and Monro, 1951).

    >>> InverseTimeDecay(0.1, rate=1.0, steps=10)(10)
    0.05
    """

    lr: float
    rate: float
    steps: float = 1

    def at(self, t):
        return self.lr / (1 + self.rate * t / self.steps)


@dataclass(frozen=True)
class StepDecay(Schedule):
    """lr·factor^⌊t/every⌋: a drop every `every` steps, as in training ResNets (He et al., CVPR 2016).

    >>> [StepDecay(0.1, factor=0.5, every=30)(t) for t in (29, 30)]
    [0.1, 0.05]
    """

    lr: float
    factor: float
    every: int

    def at(self, t):
        return self.lr * self.factor ** (t // self.every)


@dataclass(frozen=True)
class PiecewiseConstant(Schedule):
    """values[i], where i is the number of boundaries ≤ t (as in Wide ResNets, 2016).

    >>> [PiecewiseConstant(boundaries=[100, 200], values=[0.3, 0.2, 0.1])(t) for t in (99, 100, 200)]
    [0.3, 0.2, 0.1]
    """

    boundaries: Sequence[int]
    values: Sequence[float]

    def __post_init__(self):
        if list(self.boundaries) != sorted(set(self.boundaries)) or len(self.values) != len(self.boundaries) + 1:
            what = f"boundaries {self.boundaries} must increase, and values {self.values} must have one entry more"
            raise ValueError(f"PiecewiseConstant: {what}")
        for value in (*self.boundaries, *self.values):
            number("PiecewiseConstant: one of boundaries and values", value)

    def at(self, t):
        return self.values[bisect_right(self.boundaries, t)]


@dataclass(frozen=True)
class PolynomialDecay(Schedule):
    """final + (lr − final)·(1 − t/steps)^power, and final for t ≥ steps (Chen et al., DeepLab, 2016: power 0.9).

    >>> [PolynomialDecay(0.1, steps=10)(t) for t in (5, 10, 99)]
    [0.05, 0.0, 0.0]
    """

    lr: float
    steps: float
    final: float = 0
    power: float = 1

    def at(self, t):
        return self.final + (self.lr - self.final) * (1 - min(t / self.steps, 1)) ** self.power


@dataclass(frozen=True)
class CosineDecay(Schedule):
    """final + (lr − final)·(1 + cos(π·t/steps))/2, and final for t ≥ steps (Loshchilov and Hutter, SGDR, ICLR 2017).

    >>> [round(CosineDecay(0.1, steps=10)(t), 12) for t in (0, 5, 10, 99)]
    [0.1, 0.05, 0.0, 0.0]
    """

    lr: float
    steps: float
    final: float = 0

    def at(self, t):
        return self.final + (self.lr - self.final) * (1 + math.cos(math.pi * min(t / self.steps, 1))) / 2


@dataclass(frozen=True)
class Warmup(Schedule):
    """schedule(0)·(t + 1)/steps for t < steps, then `schedule` from its own step 0 (Goyal et al., 2017).

    >>> schedule = Warmup(StepDecay(0.4, factor=0.5, every=10), steps=4)
    >>> [schedule(t) for t in (0, 1, 3, 4, 14)]
    [0.1, 0.2, 0.4, 0.4, 0.2]
    """

    schedule: Callable[[int], float]
    steps: int

    def __post_init__(self):
        positive("Warmup: steps", self.steps)
        if not callable(self.schedule):
            raise TypeError(f"Warmup: schedule is a function of the step, not {self.schedule!r}; see Constant")

    def at(self, t):
        return self.schedule(t - self.steps) if t >= self.steps else self.schedule(0) * (t + 1) / self.steps

    @property
    def state(self):
        return self.schedule.state if isinstance(self.schedule, Schedule) else {}
