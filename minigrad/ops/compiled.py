"""Which activations have a Numba kernel: their values in one pass, and their contributions g·φ'(x) in another."""

from __future__ import annotations

from functools import partial

from minigrad.arrays import times
from minigrad.kernels import twin
from minigrad.kernels.dispatch import FLOAT32, FLOAT64
from minigrad.ops import elementwise as table

# name → from how many elements on the kernel of the values is faster (float32, float64); then how many times as fast
# values and contributions are, from there up to 10⁵ normal random numbers (float32)
MEASURED = {
    "sigmoid": ((512, 512), "5 to 15", "2 to 2.8"),
    "tanh": ((8192, 2048), "1.2 to 1.7", "2 to 2.5"),
    "relu": ((4096, 4096), "1.8 to 4", "2.7 to 24"),
    "leaky_relu": ((512, 512), "2.2 to 34", "2.8 to 24"),
    "elu": ((512, 512), "3 to 19", "3 to 20"),
    "softplus": ((512, 512), "6 to 45", "7 to 15"),
    "silu": ((512, 512), "6 to 15", "12 to 25"),
    "gelu": ((512, 512), "20 to 45", "22 to 45"),
    "softsign": ((1024, 1024), "1.8 to 3", "3 to 4"),
    "hard_tanh": ((512, 512), "1.5 to 2.8", "3 to 18"),
}


def product(op, g, y, x, **params):
    """g·φ'(x), as `Elementwise.contribution` computes it; parameters that are not given have their defaults."""
    return times(g, op.rules[0](y, x, **(params or op.defaults)))


def give_kernels() -> None:
    """Put each kernel beside the line of NumPy that it equals."""
    for name, (least, values, products) in MEASURED.items():
        op = getattr(table, name)
        sizes = dict(zip((FLOAT32, FLOAT64), least, strict=True))
        op.forward = twin(name, op.forward, "activations", sizes, f"{values} times as fast")
        op.product = twin(f"{name}_backward", partial(product, op), "activations", why=f"{products} times as fast")
    cdf = table.normal_cdf  # its derivative is one exponential, at which NumPy is as fast
    cdf.forward = twin(
        "normal_cdf", cdf.forward, "activations", why="18 to 65 times as fast: math.erfc takes one number"
    )
