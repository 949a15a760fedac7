"""Losses: one number that says how far predictions are from targets."""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg
from layers import checks
from layers.module import Module


class Loss(Module):
    """Base of losses: `loss(predictions, targets)`; `reduction` is "mean", "sum", or "none" for unreduced losses."""

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = checks.one_of(type(self).__name__, "reduction", reduction, ("mean", "sum", "none"))


class CrossEntropy(Loss):
    """−log softmax(logits)[label], averaged over the batch. It takes logits, so put no Softmax before it.

    Labels are integers of shape (batch,), or probabilities of the logits' shape.

    >>> import numpy as np
    >>> from layers import CrossEntropy
    >>> round(CrossEntropy()(np.array([[2.0, 0.0]]), [0]).item(), 4)
    0.1269
    """

    def forward(self, logits: Any, labels: Any) -> Any:
        return mg.cross_entropy(logits, labels, reduction=self.reduction)


class MSE(Loss):
    """Mean squared error, over all elements: mean (y − t)².

    >>> import numpy as np
    >>> from layers import MSE
    >>> MSE()(np.array([1.0, 2.0]), np.array([1.0, 4.0])).item()
    2.0
    """

    def forward(self, predictions: Any, targets: Any) -> Any:
        return mg.mse(predictions, targets, reduction=self.reduction)


class BinaryCrossEntropy(Loss):
    """−t·log σ(z) − (1 − t)·log(1 − σ(z)), for logits z (no Sigmoid before it) and targets t in [0, 1]."""

    def forward(self, logits: Any, targets: Any) -> Any:
        loss = mg.binary_cross_entropy_with_logits(logits, targets, reduction=self.reduction)
        checks.targets("BinaryCrossEntropy", targets, lambda t: (t >= 0) & (t <= 1), "from 0 to 1")
        return loss


class Hinge(Loss):
    """max(0, 1 − t·y), for scores y and targets t = ±1 (the loss of support vector machines)."""

    def forward(self, scores: Any, targets: Any) -> Any:
        loss = mg.hinge(scores, targets, reduction=self.reduction)
        checks.targets("Hinge", targets, lambda t: np.abs(t) == 1, "−1 or 1")
        return loss
