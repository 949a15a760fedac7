"""Gradient clipping that chooses its own limits.

- `clip_adaptively(model.parameters())`: from the size of the weights, unit by unit.
- `clip = AutoClip(model.parameters())`, then `clip()` after each `backward()`: from the norms of the gradients so far.

As in `optim.clip`, gradients whose norm is not finite stay as they are, and a changed `p.grad` is a new array.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from minigrad import Tensor
from optim.checks import number, positive, tensors
from optim.clip import clip_by_global_norm, replace


def clip_adaptively(params: Iterable[Tensor], ratio: float = 0.01, eps: float = 1e-3) -> float:
    """g ← g·min(1, ratio·‖w‖/‖g‖) for each unit, with ‖w‖ ≥ eps (Brock et al., ICML 2021: AGC).

    A unit is all weights of one output: a column of a weight (inputs, outputs), but the whole of a vector.

    >>> import minigrad as mg
    >>> w = mg.tensor([[3.0, 3.0], [4.0, 4.0]], requires_grad=True)
    >>> w.grad = [[5.0, 0.01], [0.0, 0.0]]
    >>> norm = clip_adaptively([w], ratio=0.01)
    >>> w.grad
    array([[0.05, 0.01],
           [0.  , 0.  ]])
    """
    ratio, eps = positive("clip_adaptively: ratio", ratio), positive("clip_adaptively: eps", eps)

    def units(x: np.ndarray) -> np.ndarray:
        axis = tuple(range(x.ndim - 1)) if x.ndim > 1 else None
        largest = float(np.max(np.abs(x), initial=0)) or 1.0
        return largest * np.sqrt(np.sum(np.divide(x, largest, dtype=np.float64) ** 2, axis=axis, keepdims=True))

    def clipped(g: np.ndarray, w: np.ndarray, norm: float) -> np.ndarray:
        limits = ratio * np.maximum(units(w), eps)
        return g * (limits / np.maximum(units(g), limits))

    return replace("clip_adaptively", params, clipped)


class AutoClip:
    """`clip_by_global_norm` with a percentile of all norms so far, this one included (Seetharaman et al., MLSP 2020).

    Call it after each `backward()`. `history` lists the norms so far, except those that are 0 or not finite.

    >>> import minigrad as mg
    >>> w = mg.tensor([0.0, 0.0], requires_grad=True)
    >>> clip = AutoClip([w], percentile=50)
    >>> for length in (1.0, 2.0, 30.0):
    ...     w.grad = [0.0, length]
    ...     norm = clip()
    >>> norm, w.grad
    (30.0, array([0., 2.]))
    """

    def __init__(self, params: Iterable[Tensor], percentile: float = 10) -> None:
        self.params = tensors("AutoClip", params)
        self.percentile = number("AutoClip: percentile", percentile)
        if self.percentile > 100:
            raise ValueError(f"AutoClip: percentile = {percentile} is out of range: 0 ≤ value ≤ 100 is allowed")
        self.history: list[float] = []

    def __call__(self) -> float:
        norm = clip_by_global_norm(self.params, math.inf)  # an infinite limit: only measure
        if 0 < norm < math.inf:
            self.history.append(norm)
            clip_by_global_norm(self.params, float(np.percentile(self.history, self.percentile)))
        return norm
