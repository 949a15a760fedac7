"""Keep gradients within bounds, between `backward()` and `step()`.

- `clip_by_global_norm(model.parameters(), 1.0)`: shorten the whole gradient, keep its direction.

Each returns the global norm that it found, ‖g‖ = √Σg² over all parameters, summed in float64. If that is not
finite, the gradients stay as they are, so that `optimizer.step()` can refuse them by name. `p.grad` gets a new array
where it changes; nothing is written into the old one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from minigrad import Tensor
from optim.optimizer import tensors


def norm_of(*gradients: np.ndarray) -> float:
    """√Σg², scaled by the largest element: squares of finite numbers neither overflow nor vanish."""
    largest = float(np.max([np.max(np.abs(g), initial=0.0) for g in gradients], initial=0.0))
    if largest == 0 or not math.isfinite(largest):
        return largest
    return largest * math.sqrt(sum(float(np.sum(np.divide(g, largest, dtype=np.float64) ** 2)) for g in gradients))


def clip_by_global_norm(params: Iterable[Tensor], limit: float) -> float:
    """g ← g·min(1, limit/‖g‖), where ‖g‖ is the norm of all gradients together.

    References
    ----------
    Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks, ICML 2013.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.tensor([0.0, 0.0], requires_grad=True)
    >>> w.grad = [3.0, 4.0]
    >>> clip_by_global_norm([w], limit=1.0)
    5.0
    >>> w.grad
    array([0.6, 0.8])
    """
    params = [p for p in tensors("clip_by_global_norm", params) if p.grad is not None]
    norm = norm_of(*(p.grad for p in params))
    if limit < norm < math.inf:
        for p in params:
            p.grad = p.grad * (limit / norm)
    return norm
