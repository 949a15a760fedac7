"""Activations in one pass over an array: values, and contributions g·φ'(x).

The functions of one number that they, and other files' kernels, are made of are in `exponentials`: `exp_of`, `tanh_of`,
`sigmoid_of`, `expm1_of`, `log1p_of`, `softplus_of`.
"""

from __future__ import annotations

import numpy as np

from minigrad.kernels.compiler import compiled
from minigrad.kernels.exponentials import sigmoid_of


@compiled
def sigmoid_pass(x, y):
    for i in range(x.size):
        y[i] = sigmoid_of(x[i])


@compiled
def sigmoid_backward_pass(g, y, out):
    one = y.dtype.type(1)
    for i in range(y.size):
        out[i] = g[i] * (y[i] * (one - y[i]))


def sigmoid(x):
    y = np.empty(x.shape, x.dtype)
    sigmoid_pass(x.ravel(), y.ravel())
    return y


def sigmoid_backward(g, y, x):
    out = np.empty(y.shape, y.dtype)
    sigmoid_backward_pass(g.ravel(), y.ravel(), out.ravel())
    return out
