"""Optimizers, gradient clipping, penalties and schedules: what to do with a gradient once it is computed.

>>> import minigrad as mg
>>> from optim import Adam, CosineDecay, clip_by_global_norm
>>> w = mg.tensor([3.0, 4.0], requires_grad=True)
>>> optimizer = Adam([w], lr=CosineDecay(0.2, steps=100))
>>> for _ in range(100):
...     optimizer.zero_grad()
...     loss = (w * w).sum()
...     loss.backward()
...     norm = clip_by_global_norm([w], limit=1.0)
...     optimizer.step()
>>> loss.item() < 1e-3
True
"""

from optim.adam import Adam, AdamW
from optim.adaptive import Adagrad, RMSprop
from optim.adaptive_clip import AutoClip, clip_adaptively
from optim.clip import clip_by_global_norm, clip_by_norm, clip_by_value, damp_gradient, normalise_gradient
from optim.optimizer import Optimizer
from optim.penalty import l1_penalty, l2_penalty
from optim.plateau import ReduceOnPlateau
from optim.schedule import (
    Constant,
    CosineDecay,
    ExponentialDecay,
    InverseTimeDecay,
    NaturalExponentialDecay,
    PiecewiseConstant,
    PolynomialDecay,
    Schedule,
    SqrtDecay,
    StepDecay,
    Warmup,
)
from optim.sgd import SGD

__all__ = [
    "Optimizer", "SGD", "Adagrad", "RMSprop", "Adam", "AdamW",
    "l1_penalty", "l2_penalty",
    "clip_by_value", "clip_by_norm", "clip_by_global_norm", "clip_adaptively", "AutoClip",
    "normalise_gradient", "damp_gradient",
    "Schedule", "Constant", "ExponentialDecay", "NaturalExponentialDecay", "SqrtDecay", "InverseTimeDecay",
    "StepDecay", "PiecewiseConstant", "PolynomialDecay", "CosineDecay", "Warmup", "ReduceOnPlateau",
]  # fmt: skip
