"""Which activations have a Numba kernel: their values in one pass, and their contributions g·φ'(x) in another."""

from __future__ import annotations

from functools import partial

import numpy as np

from minigrad.kernels import twin
from minigrad.ops import elementwise as table

ACTIVATIONS = "sigmoid tanh relu leaky_relu elu softplus silu normal_cdf gelu softsign hard_tanh"


def product(op, g, y, x, **params):
    """g·φ'(x), as `Elementwise.contribution` has it."""
    local = op.local(0, y, (x,), params)
    return np.where(local, g, 0) if local.dtype == bool else g * local


def give_kernels() -> None:
    """Put each kernel beside the line of NumPy that it equals."""
    for name in ACTIVATIONS.split():
        op = getattr(table, name)
        op.forward = twin(name, op.forward, "activations")
        op.product = twin(f"{name}_backward", partial(product, op), "activations")
