"""Which activations have a Numba kernel: their values in one pass, and their contributions g·φ'(x) in another."""

from __future__ import annotations

from functools import partial

import numpy as np

from minigrad.kernels import twin
from minigrad.kernels.dispatch import FLOAT32, FLOAT64
from minigrad.ops import elementwise as table

# name → from how many elements on the kernel of the values is faster (float32, float64), and how many times as fast are
# values and contributions from there up to 10⁶ elements (float32)
MEASURED = {
    "sigmoid": ((512, 512), "3 to 14", "1 to 2.3"),
    "tanh": ((8192, 2048), "1.2 to 1.8", "1 to 2.4"),
    "relu": ((4096, 4096), "1.1 to 4", "1.4 to 7"),
    "leaky_relu": ((512, 512), "1.1 to 25", "1.5 to 7"),
    "elu": ((512, 512), "1.7 to 20", "1.5 to 7"),
    "softplus": ((512, 512), "3 to 39", "4 to 14"),
    "silu": ((512, 512), "3 to 15", "8 to 25"),
    "gelu": ((512, 512), "18 to 50", "20 to 40"),
    "softsign": ((1024, 1024), "1.1 to 4", "1.7 to 4"),
    "hard_tanh": ((512, 512), "1.4", "1.6 to 11"),
}


def product(op, g, y, x, **params):
    """g·φ'(x), as `Elementwise.contribution` has it."""
    local = op.local(0, y, (x,), params)
    return np.where(local, g, 0) if local.dtype == bool else g * local


def give_kernels() -> None:
    """Put each kernel beside the line of NumPy that it equals."""
    for name, (least, values, products) in MEASURED.items():
        op = getattr(table, name)
        sizes = dict(zip((FLOAT32, FLOAT64), least, strict=True))
        op.forward = twin(name, op.forward, "activations", sizes, f"{values} times as fast")
        op.product = twin(f"{name}_backward", partial(product, op), "activations", why=f"{products} times as fast")
    area = table.normal_cdf  # its slope is one exponential, at which NumPy is as fast
    area.forward = twin(
        "normal_cdf", area.forward, "activations", why="14 to 48 times as fast: math.erfc takes one number"
    )
