"""Penalties on large weights, to add to the loss: `loss + l2_penalty(weights, 1e-4)`.

The optimizers' `weight_decay` is related. With strength λ for both:

- `l2_penalty` adds λ/2·‖w‖² to the loss. `backward()` computes its gradient λ·w with the rest: it is part of `.grad`,
  clipping scales it, and a trace shows where it comes from.
- `SGD(weight_decay=λ)`, with or without momentum, adds λ·w to g inside the step: **the same steps**. Without momentum
  it is also literally a decay: w ← (1 − lr·λ)·w − lr·g.
- `Adam(weight_decay=λ)` also adds λ·w to g: the same steps as with the penalty, **but no decay**. Adam divides λ·w by
  √v̂ like the rest of g, so weights whose gradients are large hardly shrink, however large they are.
- `AdamW(weight_decay=λ)` leaves λ·w out of m̂ and √v̂ and multiplies all weights by 1 − lr·λ: **neither the penalty nor
  Adam's weight_decay**, but the decay of SGD (Loshchilov and Hutter, ICLR 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import minigrad as mg
from minigrad import Tensor
from optim.checks import number, tensors


def l2_penalty(params: Iterable[Tensor], strength: float) -> Tensor:
    """strength/2·Σ‖w‖², whose gradient is strength·w (ridge regression: Hoerl and Kennard, 1970).

    >>> import minigrad as mg
    >>> w = mg.tensor([3.0, -4.0], requires_grad=True)
    >>> penalty = l2_penalty([w], strength=0.1)
    >>> penalty.backward()
    >>> penalty.item(), w.grad
    (1.25, array([ 0.3, -0.4]))
    """
    return number("l2_penalty: strength", strength) / 2 * total("l2_penalty", params, mg.square)


def l1_penalty(params: Iterable[Tensor], strength: float) -> Tensor:
    """strength·Σ|w|, whose gradient strength·sign(w) (0 at 0) drives weights to 0 (lasso: Tibshirani, 1996).

    >>> import minigrad as mg
    >>> w = mg.tensor([3.0, -4.0, 0.0], requires_grad=True)
    >>> penalty = l1_penalty([w], strength=0.1)
    >>> penalty.backward()
    >>> round(penalty.item(), 12), w.grad
    (0.7, array([ 0.1, -0.1,  0. ]))
    """
    return number("l1_penalty: strength", strength) * total("l1_penalty", params, mg.abs)


def total(caller: str, params: Iterable[Tensor], size: Callable[[Tensor], Tensor]) -> Tensor:
    """Σ size(w) over all elements of all parameters."""
    params = tensors(caller, params)
    if not params:
        raise ValueError(f"{caller}: there are no parameters to penalise; does the model have any?")
    return sum((size(p).sum() for p in params[1:]), start=size(params[0]).sum())
