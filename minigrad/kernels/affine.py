"""What a dense layer does beside its products: φ(z + b) in one pass, and g·φ' with its sum by columns in another.

The three activations that are used most have kernels of their own. For the others the bias is added first, and the
columns are summed last: two passes, which cost a third more where the array fits into the cache.
"""

from __future__ import annotations

import numpy as np

from minigrad.kernels import activations
from minigrad.kernels.compiler import compiled
from minigrad.kernels.exponentials import sigmoid_of, tanh_of


@compiled
def add_row(z, b, out):
    for i in range(z.shape[0]):
        for j in range(b.size):
            out[i, j] = z[i, j] + b[j]


@compiled
def sum_columns(g, total):
    for i in range(g.shape[0]):
        for j in range(total.size):
            total[j] += g[i, j]


@compiled
def bias_sigmoid(z, b, y):
    for i in range(z.shape[0]):
        for j in range(b.size):
            y[i, j] = sigmoid_of(z[i, j] + b[j])


@compiled
def bias_tanh(z, b, y):
    for i in range(z.shape[0]):
        for j in range(b.size):
            y[i, j] = tanh_of(z[i, j] + b[j])


@compiled
def bias_relu(z, b, y):
    zero = z.dtype.type(0)
    for i in range(z.shape[0]):
        for j in range(b.size):
            s = z[i, j] + b[j]
            y[i, j] = zero if s <= zero else s


@compiled
def sigmoid_sums(g, y, out, total):
    one = y.dtype.type(1)
    for i in range(g.shape[0]):
        for j in range(total.size):
            out[i, j] = g[i, j] * (y[i, j] * (one - y[i, j]))
            total[j] += out[i, j]


@compiled
def tanh_sums(g, y, out, total):
    one = y.dtype.type(1)
    for i in range(g.shape[0]):
        for j in range(total.size):
            out[i, j] = g[i, j] * (one - y[i, j] * y[i, j])
            total[j] += out[i, j]


@compiled
def relu_sums(g, y, out, total):
    zero = y.dtype.type(0)
    for i in range(g.shape[0]):
        for j in range(total.size):
            out[i, j] = g[i, j] if y[i, j] > zero else zero
            total[j] += out[i, j]


ONE_PASS = {
    "sigmoid": (bias_sigmoid, sigmoid_sums),
    "tanh": (bias_tanh, tanh_sums),
    "relu": (bias_relu, relu_sums),
}
BY_INPUT = {"softplus", "silu", "gelu", "softsign"}  # those whose φ' is computed from z


def rows(x):
    """(..., n) as a matrix that lies in one piece."""
    return np.ascontiguousarray(x).reshape(-1, x.shape[-1]) if x.size else np.empty((0, x.shape[-1]), x.dtype)


def bias_activation(z, b, activation):
    if b is not None:
        out = np.empty(z.shape, z.dtype)
        run = ONE_PASS[activation][0] if activation in ONE_PASS else add_row
        run(rows(z), b.ravel(), rows(out))
        if activation in ONE_PASS:
            return out, None
        z = out
    return getattr(activations, activation)(z), z if activation in BY_INPUT else None


def bias_activation_backward(g, y, z, b, activation):
    if b is None:
        return getattr(activations, f"{activation}_backward")(g, y, y if z is None else z), None
    total = np.zeros(b.shape, b.dtype)
    if activation in ONE_PASS:
        out = np.empty(g.shape, g.dtype)
        ONE_PASS[activation][1](rows(g), rows(y), rows(out), total)
    else:
        out = getattr(activations, f"{activation}_backward")(g, y, y if z is None else z)
        sum_columns(rows(out), total)
    return out, total
