"""`dense`, the layer φ(x·W + b) as one op, and the activations φ by name.

Besides the matrix products it takes one pass over the output each way: φ(z + b), and g·φ'(z) with its column sums.
"""

from __future__ import annotations

import math

from minigrad.arrays import sum_rows
from minigrad.define import fused
from minigrad.kernels import twin
from minigrad.kernels.matrices import matrix_product
from minigrad.op import operand
from minigrad.ops import elementwise as table
from minigrad.ops.compiled import MEASURED, product
from minigrad.ops.linear import matmul

__all__ = ["dense"]

activations = {name: getattr(table, name) for name in MEASURED}  # those that have a kernel
BY_INPUT = {"softplus", "silu", "gelu", "softsign"}  # φ' of all others follows from φ: z need not be kept


def bias_activation_line(z, b, activation):
    """φ(z + b) of the rows of a matrix, and z + b if φ' needs it; z may be overwritten."""
    z = z if b is None else z + b
    if activation is None:
        return z, None
    return activations[activation].forward(z), z if activation in BY_INPUT else None


def bias_activation_backward_line(g, y, z, b, activation):
    """The gradients of z and of b."""
    if activation is not None:
        g = product(activations[activation], g, y, y if z is None else z)
    return g, None if b is None else sum_rows(g)


bias_activation = twin(
    "bias_activation", bias_activation_line, "affine", why="tanh 1.1 to 3 times as fast, sigmoid 4 to 12, relu 1.5 to 9"
)
bias_activation_backward = twin(
    "bias_activation_backward", bias_activation_backward_line, "affine", why="1 to 4 times as fast, relu 2 to 20"
)


def rows(x):
    """(..., n) as a matrix."""
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def like(x, y):
    """y, a matrix, with its rows arranged along the leading axes of x."""
    return y if x.ndim == 2 else y.reshape(*x.shape[:-1], y.shape[1])


def check_dense(x, w, b, activation):
    """ValueError unless the shapes fit and the activation is known."""
    if not x.ndim or w.ndim != 2 or x.shape[-1] != w.shape[0]:
        raise ValueError(f"dense: input {x.shape} and weight {w.shape} must be (..., inputs), (inputs, outputs)")
    if b is not None and b.shape != w.shape[1:]:
        raise ValueError(f"dense: bias {b.shape} must be {w.shape[1:]}, one number per output")
    if activation is not None and activation not in activations:
        raise ValueError(f"dense: activation {activation!r} is not one of {', '.join(activations)}")


def dense_forward(x, w, b, activation):
    check_dense(x, w, b, activation)
    y, saved = bias_activation(matrix_product(rows(x), w), b, activation)
    return like(x, y), saved


def dense_backward(g, y, saved, x, w, b, activation):
    g, by_bias = bias_activation_backward(rows(g), rows(y), saved, b, activation)
    return lambda: like(x, matrix_product(g, w.T)), lambda: matrix_product(rows(x).T, g), by_bias


def dense_definition(x, w, b, activation=None):
    x, w, b = operand(x), operand(w), None if b is None else operand(b)
    check_dense(x, w, b, activation)
    z = matmul(x, w) if b is None else matmul(x, w) + b
    return z if activation is None else activations[activation](z)


dense = fused(
    "dense",
    dense_forward,
    dense_backward,
    dense_definition,
    formulas=["g·Wᵀ", "xᵀ·g", "Σ g over the batch"],
    doc="φ(x·W + b) for x of shape (..., inputs), W (inputs, outputs) and b (outputs,) or None; φ by name or None.",
    fresh=True,
)
