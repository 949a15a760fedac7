"""Activations in one pass over an array: values, and contributions g·φ'(x), as `minigrad.ops.elementwise` defines them.

The functions of one number that these kernels call are in `minigrad.kernels.exponentials`.

In a kernel a float32 beside a Python number becomes float64, which is half as fast: hence `one` and `zero`.
"""

from __future__ import annotations

import math

import numpy as np

from minigrad.kernels.compiler import compiled, helper
from minigrad.kernels.exponentials import (
    bell_of,
    decay_of,
    expm1_of,
    kept,
    normal_cdf_of,
    sigmoid_of,
    softplus_of,
    tanh_of,
)

PEAK = 1 / math.sqrt(2 * math.pi)  # of the normal density


def pair(values, products, *defaults):
    """Functions of arrays of any shape from two kernels on vectors, y = φ(x) and g·φ'(x)."""

    def forward(x, *given, **named):
        y = np.empty(x.shape, x.dtype)
        values(x.ravel(), y.ravel(), *(map(float, given or named.values()) if given or named else defaults))
        return y

    def backward(g, y, x, **named):
        out = np.empty(g.shape, g.dtype)
        products(g.ravel(), y.ravel(), x.ravel(), out.ravel(), *(map(float, named.values()) if named else defaults))
        return out

    return forward, backward


@compiled
def sigmoid_values(x, y):
    for i in range(x.size):
        y[i] = sigmoid_of(x[i])


@compiled
def sigmoid_products(g, y, x, out):
    one = y.dtype.type(1)
    for i in range(g.size):
        out[i] = g[i] * (y[i] * (one - y[i]))


@compiled
def tanh_values(x, y):
    for i in range(x.size):
        y[i] = tanh_of(x[i])


@compiled
def tanh_products(g, y, x, out):
    one = y.dtype.type(1)
    for i in range(g.size):
        out[i] = g[i] * (one - y[i] * y[i])


@compiled
def relu_values(x, y):
    zero = x.dtype.type(0)
    for i in range(x.size):
        y[i] = zero if x[i] <= zero else x[i]


@compiled
def relu_products(g, y, x, out):
    zero = x.dtype.type(0)
    for i in range(g.size):
        out[i] = zero if x[i] <= zero else g[i]


@compiled
def leaky_relu_values(x, y, slope):
    zero, slope_here = x.dtype.type(0), x.dtype.type(slope)
    for i in range(x.size):
        y[i] = x[i] if x[i] > zero else slope_here * x[i]


@compiled
def leaky_relu_products(g, y, x, out, slope):
    zero, slope_here = x.dtype.type(0), x.dtype.type(slope)
    for i in range(g.size):
        out[i] = g[i] if x[i] > zero else slope_here * g[i]


@compiled
def elu_values(x, y, alpha):
    zero, alpha_here = x.dtype.type(0), x.dtype.type(alpha)
    for i in range(x.size):
        y[i] = x[i] if x[i] > zero else alpha_here * expm1_of(x[i])


@compiled
def elu_products(g, y, x, out, alpha):
    zero, alpha_here = x.dtype.type(0), x.dtype.type(alpha)
    for i in range(g.size):
        out[i] = g[i] if x[i] > zero else g[i] * (y[i] + alpha_here)


@compiled
def softplus_values(x, y):
    for i in range(x.size):
        y[i] = softplus_of(x[i])


@compiled
def softplus_products(g, y, x, out):
    for i in range(g.size):
        out[i] = g[i] * sigmoid_of(x[i])


@compiled
def silu_values(x, y):
    for i in range(x.size):
        y[i] = x[i] * sigmoid_of(x[i])


@helper
def silu_slope(x):
    """σ(x)·(1 + x·σ(−x)), both from one exponential."""
    one = type(x)(1)
    e = decay_of(-abs(x))
    high = one / (one + e)
    low = e * high
    return high * (one + x * low) if x >= 0 else low * (one + x * high)


@compiled
def silu_products(g, y, x, out):
    for i in range(g.size):
        out[i] = g[i] * silu_slope(x[i])


@compiled
def normal_cdf_values(x, y):
    for i in range(x.size):
        y[i] = normal_cdf_of(x[i])


@compiled
def gelu_values(x, y):
    for i in range(x.size):
        y[i] = x[i] * normal_cdf_of(x[i])


@compiled
def gelu_products(g, y, x, out):
    for i in range(g.size):
        out[i] = g[i] * (normal_cdf_of(x[i]) + x[i] * (bell_of(x[i]) * PEAK))


@compiled
def softsign_values(x, y):
    one = x.dtype.type(1)
    for i in range(x.size):
        y[i] = x[i] / (one + abs(x[i]))


@compiled
def softsign_products(g, y, x, out):
    one = x.dtype.type(1)
    for i in range(g.size):
        root = one / (one + abs(x[i]))
        out[i] = g[i] * (root * root)


@compiled
def hard_tanh_values(x, y):
    one = x.dtype.type(1)
    for i in range(x.size):
        y[i] = kept(x[i], -one, one)


@compiled
def hard_tanh_products(g, y, x, out):
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for i in range(g.size):
        out[i] = zero if abs(x[i]) >= one else g[i]


sigmoid, sigmoid_backward = pair(sigmoid_values, sigmoid_products)
tanh, tanh_backward = pair(tanh_values, tanh_products)
relu, relu_backward = pair(relu_values, relu_products)
leaky_relu, leaky_relu_backward = pair(leaky_relu_values, leaky_relu_products, 0.01)
elu, elu_backward = pair(elu_values, elu_products, 1.0)
softplus, softplus_backward = pair(softplus_values, softplus_products)
silu, silu_backward = pair(silu_values, silu_products)
normal_cdf, _ = pair(normal_cdf_values, None)
gelu, gelu_backward = pair(gelu_values, gelu_products)
softsign, softsign_backward = pair(softsign_values, softsign_products)
hard_tanh, hard_tanh_backward = pair(hard_tanh_values, hard_tanh_products)
