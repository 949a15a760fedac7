"""What a dense layer does besides its matrix products: φ(z + b) in one pass, and g·φ' with its column sums in another.

The three activations that are used most have kernels of their own. For the others the bias is added first, and the
columns are summed last: two passes, which cost a third more where the array fits into the cache.
"""

from __future__ import annotations

import numpy as np

from minigrad.kernels import activations
from minigrad.kernels.compiler import compiled, helper
from minigrad.kernels.exponentials import sigmoid_of, tanh_of


@compiled
def add_row(z, b):
    for i in range(z.shape[0]):
        for j in range(b.size):
            z[i, j] += b[j]


@helper
def add_rows(g, start, end, total):
    """Add up to four rows of g to the float64 `total`; four are added to each other first, which saves conversions."""
    if end == start + 4:
        for j in range(total.size):
            total[j] += (g[start, j] + g[start + 1, j]) + (g[start + 2, j] + g[start + 3, j])
    else:
        for i in range(start, end):
            for j in range(total.size):
                total[j] += g[i, j]


@compiled
def sum_columns(g, total):
    for start in range(0, g.shape[0], 4):
        add_rows(g, start, min(start + 4, g.shape[0]), total)


@compiled
def bias_sigmoid(z, b):
    for i in range(z.shape[0]):
        for j in range(b.size):
            z[i, j] = sigmoid_of(z[i, j] + b[j])


@compiled
def bias_tanh(z, b):
    for i in range(z.shape[0]):
        for j in range(b.size):
            z[i, j] = tanh_of(z[i, j] + b[j])


@compiled
def bias_relu(z, b):
    zero = z.dtype.type(0)
    for i in range(z.shape[0]):
        for j in range(b.size):
            s = z[i, j] + b[j]
            z[i, j] = zero if s <= zero else s


@compiled
def sigmoid_sums(g, y, out, total):
    one = y.dtype.type(1)
    for start in range(0, g.shape[0], 4):
        end = min(start + 4, g.shape[0])
        for i in range(start, end):
            for j in range(total.size):
                out[i, j] = g[i, j] * (y[i, j] * (one - y[i, j]))
        add_rows(out, start, end, total)


@compiled
def tanh_sums(g, y, out, total):
    one = y.dtype.type(1)
    for start in range(0, g.shape[0], 4):
        end = min(start + 4, g.shape[0])
        for i in range(start, end):
            for j in range(total.size):
                out[i, j] = g[i, j] * (one - y[i, j] * y[i, j])
        add_rows(out, start, end, total)


@compiled
def relu_sums(g, y, out, total):
    zero = y.dtype.type(0)
    for start in range(0, g.shape[0], 4):
        end = min(start + 4, g.shape[0])
        for i in range(start, end):
            for j in range(total.size):
                out[i, j] = zero if y[i, j] <= zero else g[i, j]
        add_rows(out, start, end, total)


ONE_PASS = {
    "sigmoid": (bias_sigmoid, sigmoid_sums),
    "tanh": (bias_tanh, tanh_sums),
    "relu": (bias_relu, relu_sums),
}
BY_INPUT = {"softplus", "silu", "gelu", "softsign"}  # those whose φ' is computed from z


def bias_activation(z, b, activation):
    """Like the line of NumPy; z is overwritten, which saves allocating another array of its size."""
    if b is not None:
        z = z if z.flags.carray else z.copy()
        if activation in ONE_PASS:
            ONE_PASS[activation][0](z, np.ascontiguousarray(b))
            return z, None
        add_row(z, np.ascontiguousarray(b))
    if activation is None:
        return z, None
    return getattr(activations, activation)(z), z if activation in BY_INPUT else None


def bias_activation_backward(g, y, z, b, activation):
    total = None if b is None else np.zeros(b.shape)  # in float64: float32 would lose digits, row after row
    if activation in ONE_PASS and b is not None:
        by_z = np.empty(g.shape, g.dtype)
        ONE_PASS[activation][1](np.ascontiguousarray(g), np.ascontiguousarray(y), by_z, total)
    else:
        by_z = g if activation is None else getattr(activations, f"{activation}_backward")(g, y, y if z is None else z)
        if b is not None:
            sum_columns(np.ascontiguousarray(by_z), total)
    return by_z, None if b is None else total.astype(b.dtype, copy=False)
